"""`firedoor bench incident` counts what is true, and takes leaks through every step of a case."""

import json

from typer.testing import CliRunner

from firedoor.bench import incident_chain
from firedoor.cli.bench_cmds import app


def test_figures_are_true_and_every_step_is_timed(monkeypatch):
    monkeypatch.setattr(incident_chain, "SHOPS", incident_chain.SHOPS[:2])
    monkeypatch.setattr(incident_chain, "PAUSE", 0.0)
    ran = CliRunner().invoke(app, ["incident", "--exchanges", "2000", "--json"])
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.stdout)
    assert [one["wrong"] for one in figures["counted"]] == [[], []]
    assert figures["counted"][0]["in_question"] == 2000
    chain = figures["chain"]
    assert [step["entry"] for step in chain["steps"]] == list(incident_chain.STEPS)
    assert all(0 < step["p50"] <= chain["total_p50"] for step in chain["steps"])
