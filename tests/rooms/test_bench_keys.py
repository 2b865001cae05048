"""`firedoor bench keys` measures every row, and leaves the process on all its cores."""

import json
import os

from typer.testing import CliRunner

from firedoor.bench import keys
from firedoor.cli.bench_cmds import app


def test_every_row_is_measured(monkeypatch):
    monkeypatch.setattr(keys, "FILE", 4 << 20)
    cores = os.sched_getaffinity(0)
    ran = CliRunner().invoke(app, ["keys", "--seconds", "0.1", "--subjects", "20", "--json"])
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.stdout)
    assert len(figures["rows"]) == 10
    assert all(row["value"] > 0 for row in figures["rows"])
    assert figures["rows"][-1]["what"] == "20 subjects into a new epoch"
    assert figures["machine"]["cores"] == len(cores)
    assert os.sched_getaffinity(0) == cores
    shown = CliRunner().invoke(app, ["keys", "--seconds", "0.1", "--subjects", "20"])
    assert shown.exit_code == 0
    assert "seal a file, cipher alone" in shown.output
    assert "1.50 GB/s" in shown.output
