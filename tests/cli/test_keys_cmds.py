"""`firedoor keys` on a home with a plan, regions and a real journal."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.keys_cmds import app
from firedoor.config import Home
from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.ring import create_ring, open_ring
from firedoor.keys.roots.file import FileRoot
from firedoor.store.journal_read import read

from ..rooms.rings import write_cells  # noqa: TID252  # tests are no installed package

PLAN = Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml"


def root_of(where):
    return FileRoot(where.keys / "root.json", where.name)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("FIREDOOR_ROOT_PASSPHRASE", raising=False)
    found = Home(tmp_path / "home")
    for name in ("eu", "us"):
        where = found.region(name)
        where.make()
        create_ring(where.keys, name, root_of(where))
    found.plan.write_bytes(PLAN.read_bytes())
    return found


def run(home, *arguments, status=0):
    """What it printed, as JSON when that is asked for. Errors raised on purpose come through."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--home", str(home.root)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def keys_recorded(home, region="eu"):
    leaves = [stored.leaf for stored in read(home.region(region).journal("operator"))]
    return [leaf.facts for leaf in leaves if leaf.kind == "key"]


def test_status_is_short_and_tells_both_regions(home):
    text = run(home, "status")
    assert "region eu: development root in root.json, not sealed: the file is the secret" in text
    assert "  epoch 1, 0 h old, 0 subjects erased so far" in text
    assert "  warning: The root is a file, for development." in text
    eu, us = run(home, "status", "--json")
    assert (eu["region"], us["region"], eu["ok"], eu["epoch"]) == ("eu", "us", True, 1)
    assert [finding["level"] for finding in eu["findings"]] == ["warning"]
    assert len(run(home, "status", "--json", "--region", "us")) == 1


def test_a_new_epoch_is_begun_and_recorded(home):
    where = home.region("eu")
    minted = write_cells(open_ring(where.keys, "eu", root_of(where)), "w0", 4)
    text = run(home, "new-epoch", "--region", "eu")
    assert text == "Epoch 2 of region eu has begun.\n4 subjects' keys were carried over. The old key is destroyed.\n"
    facts = keys_recorded(home)
    assert [one["act"] for one in facts] == ["new_epoch", "destroy_epoch", "destroyed"]
    assert {one["by"] for one in facts} == {f"uid:{os.getuid()}"}
    change = run(home, "new-epoch", "--region", "eu", "--json")
    assert (change["epoch"], change["made"], change["held_by"]) == (3, True, [])
    assert change["moved"]["cells"] >= len(minted)
    assert [one["epoch"] for one in run(home, "status", "--json")] == [3, 1]


def test_a_writer_that_holds_the_old_epoch_is_named(home):
    import fcntl

    where = home.region("eu")
    write_cells(open_ring(where.keys, "eu", root_of(where)), "w0", 1)
    with (where.subjects / "1" / "w0.cells").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        text = run(home, "new-epoch", "--region", "eu", "--wait", "0", status=1)
        assert "Epoch 2 of region eu has begun." in text
        assert "still held by w0" in text
        assert run(home, "new-epoch", "--region", "eu", "--wait", "0", "--json", status=1)["held_by"] == ["w0"]
    assert "Ending what an earlier run left; epoch 2 stays." in run(home, "new-epoch", "--region", "eu")


def test_the_base_key_is_rotated_and_recorded(home):
    assert run(home, "rotate", "--region", "eu") == "Region eu has a new base key. The old key is destroyed.\n"
    assert [one["act"] for one in keys_recorded(home)] == ["rotate", "destroyed"]
    (line,) = [one for one in run(home, "audit", "--json")[0]["keys"] if one["id"] == "log"]
    assert (line["version"], line["wrapped_by"]) == (2, "file root, base key")


def test_the_audit_lists_every_key_and_fails_on_errors(home):
    text = run(home, "audit", "--region", "us")
    for key in ("pseudonym", "protect", "ring", "log", "witness", "epoch/1"):
        assert f"  {key} " in text
    assert "file root, own key" in text
    home.region("us").ring.chmod(0o644)
    text = run(home, "audit", "--region", "us", status=1)
    assert "  ERROR: Other users have access to keys/ring.json. Run chmod 600 on it.\n" in text
    eu, us = run(home, "audit", "--json", status=1)
    assert (eu["ok"], us["ok"], us["keys"]) == (True, False, [])
    assert run(home, "status", "--region", "us", status=1)


def test_no_secret_is_printed(home):
    where = home.region("eu")
    secrets = json.loads((where.keys / "root.json").read_text())["secrets"].values()
    wrapped = [entry["wrapped"] for entry in json.loads(where.ring.read_text())["ring"]["entries"]]
    for arguments in (("audit",), ("audit", "--json"), ("status",), ("status", "--json")):
        result = CliRunner().invoke(app, [*arguments, "--home", str(home.root)])
        assert not [one for one in (*secrets, *wrapped) if one in result.output]


def test_a_region_must_be_named_and_have_keys(home):
    for act in ("rotate", "new-epoch"):
        with pytest.raises(SetupError, match="--region"):
            run(home, act)
    home.region("eu").ring.unlink()
    with pytest.raises(KeyUnusable, match="no ring"):
        run(home, "rotate", "--region", "eu")
    assert "no ring of keys" in run(home, "status", "--region", "eu", status=1)
