"""`firedoor switches keys` and `new-key`, on a home with a plan and rings."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.switches_show import app
from firedoor.config import Home
from firedoor.keys.ring import create_ring, open_ring
from firedoor.keys.roots.file import FileRoot
from firedoor.store.journal_read import read

PLAN = Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml"


def root_of(where):
    return FileRoot(where.keys / "root.json", where.name)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("FIREDOOR_ROOT_PASSPHRASE", raising=False)
    found = Home(tmp_path / "home")
    where = found.region("eu")
    where.make()
    create_ring(where.keys, "eu", root_of(where))  # of an earlier release: it has no key for switch tables
    found.plan.write_bytes(PLAN.read_bytes())
    return found


def run(home, *arguments):
    result = CliRunner().invoke(app, [*arguments, "--home", str(home.root)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def test_keys_are_printed_as_a_plan_takes_them_and_stay(home):
    said = run(home, "keys", "--json")
    assert list(said) == ["eu"], "region us has no ring here"
    (key,) = said["eu"]
    assert re.fullmatch(r"ed25519:[A-Za-z0-9+/]{43}=", key)
    assert run(home, "keys") == f"eu: {key}\n"
    assert run(home, "keys", "--region", "eu", "--json") == said


def test_a_new_key_is_recorded_and_takes_the_place_of_the_old_one(home):
    (old,) = run(home, "keys", "--json")["eu"]
    place = home.region("eu")
    seed = open_ring(place.keys, "eu", root_of(place)).switch_seed()
    done = run(home, "new-key", "--region", "eu", "--json")
    assert done["key"] != old
    assert run(home, "keys", "--json")["eu"] == [done["key"]]
    assert open_ring(place.keys, "eu", root_of(place)).switch_seed() != seed
    acts = [stored.leaf.facts for stored in read(place.journal("operator")) if stored.leaf.kind == "key"]
    assert [facts["act"] for facts in acts] == ["new_switch_key"]
    assert "Copy ring.json" in run(home, "new-key", "--region", "eu")
