"""`firedoor evidence repair`, `new-log` and `status` on regions whose files are damaged, gone, short or half made."""

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.app import newlog
from firedoor.app.evidencecheck import verify_region
from firedoor.app.identity import IDENTITY, KEYS, others_keys, policy_of, read_identity, witnesses
from firedoor.cli.main import app
from firedoor.core.evidence.leaf import decode
from firedoor.errors import EvidenceDamaged, FiredoorError, SetupError
from firedoor.store.journal_read import read
from firedoor.store.segments import segments

from ..rooms.agents import House  # noqa: TID252  # tests are no installed package

SLOT = "worker-0"


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path / "home")
    house.write("eu", 40)
    house.publish("eu")
    return house


def run(house, *arguments):
    result = CliRunner().invoke(app, ["evidence", *arguments, "--home", str(house.root), "--region", "eu"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def leaves(house, slot=SLOT):
    return [stored.data for stored in read(house.place("eu").journal(slot))]


def damage(path, at=-100):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def whole(house):
    report = verify_region(house.home, house.place("eu"), None)
    return report.ok and all(state == ("ok", None) for state in house.publish("eu").values())


# Repair


def test_what_is_whole_is_left_alone(house):
    before = leaves(house)
    assert run(house, "repair", SLOT).stdout == "journal: whole\nlog: whole\n"
    house.write("eu", 3)
    (said,) = map(json.loads, run(house, "repair", SLOT, "--json").stdout.splitlines())
    assert said == {"region": "eu", "slot": SLOT, "journal": "whole", "log": "whole"}
    assert leaves(house)[: len(before)] == before
    assert not (house.place("eu").root / "set-aside").exists()


@pytest.mark.parametrize("how", ["flipped", "segment gone", "folder gone", "short"])
def test_a_journal_comes_back_from_its_log(house, how):
    before = leaves(house)
    (path,) = segments(house.place("eu").journal(SLOT))
    if how == "flipped":
        damage(path, at=2000)
    elif how == "segment gone":
        path.unlink()
    elif how == "folder gone":
        shutil.rmtree(path.parent)
    else:  # an older copy, or its end was cut off at a record's end
        last = list(read(path.parent))[-5]
        os.truncate(path, last.offset)
    assert house.publish("eu")[SLOT][0] == "refused"
    said = run(house, "repair", SLOT).stdout
    assert f"journal: written anew: {len(before)} signed records" in said
    assert leaves(house) == before
    assert whole(house)
    house.write("eu", 3)
    assert whole(house)


def test_a_damaged_log_comes_back_from_its_journal(house):
    for file in ("tile/0/000.p/41", "tile/entries/000.p/41"):
        damage(house.place("eu").logs / SLOT / file, at=-2)
    assert house.publish("eu")[SLOT] == ("refused", "log_damaged")
    assert "log: rebuilt from the journal" in run(house, "repair", SLOT).stdout
    assert whole(house)
    assert (house.place("eu").logs / SLOT / "tile.damaged-1").is_dir()


def test_a_journal_that_says_something_else_is_not_overwritten(house, tmp_path):
    """Right checksums, right chain, other records than the signed ones: an older copy that grew on, or an insider."""
    journal = house.place("eu").journal(SLOT)
    shutil.rmtree(journal)
    house.write("eu", 45)
    assert house.publish("eu")[SLOT] == ("refused", "journal_differs")
    before = leaves(house)
    with pytest.raises(EvidenceDamaged, match="differ from record 1 on"):
        run(house, "repair", SLOT)
    assert leaves(house) == before


def test_both_damaged_or_no_such_slot(house):
    with pytest.raises(SetupError, match="no slot worker-7"):
        run(house, "repair", "worker-7")
    assert not house.place("eu").journal("worker-7").exists()
    for wrong in ("../eu", ".", "worker-0/../worker-0"):
        with pytest.raises(SetupError, match="no slot"):
            run(house, "repair", wrong)
    damage(house.place("eu").logs / SLOT / "tile/entries/000.p/41", at=-2)
    damage(segments(house.place("eu").journal(SLOT))[0], at=2000)
    with pytest.raises(EvidenceDamaged, match="Both copies"):
        run(house, "repair", SLOT)


# New logs


def test_a_new_log_is_recorded_first_and_publishes_the_journals_anew(house):
    place = house.place("eu")
    old = read_identity(place)
    (said,) = map(json.loads, run(house, "new-log", "--reason", "restored", "--json").stdout.splitlines())
    new = read_identity(place)
    assert (said["old"], said["new"]) == (old.logs, new.logs)
    assert new.witness == old.witness, "the witness keeps its name, and what it cosigned"
    facts = [decode(data).facts for data in leaves(house, "operator") if decode(data).kind == "key"]
    expected = {"act": "new_log", "reason": "restored", "new_keys": False}
    assert facts[-1] == {**expected, **{k: said[k] for k in ("old", "new", "size")}}
    assert not (place.logs / SLOT).exists()
    assert whole(house)
    assert (place.root / "set-aside/log-1" / SLOT / "checkpoint").exists()
    with pytest.raises(SetupError, match="code"):
        run(house, "new-log", "--reason", "Erika's backup")


def test_a_repair_is_on_record_and_looking_is_not(house):
    run(house, "repair", SLOT)
    assert not house.place("eu").journal("operator").exists()
    damage(segments(house.place("eu").journal(SLOT))[0])
    run(house, "repair", SLOT)
    records = [decode(data) for data in leaves(house, "operator")]
    assert [leaf.facts for leaf in records if leaf.kind == "repair"] == [{"slot": SLOT, "mended": ["journal"]}]


def test_new_keys_sign_and_the_old_ones_do_not_any_more(house):
    place = house.place("eu")
    before, old = (place.logs / KEYS).read_text().splitlines(), read_identity(place)
    assert run(house, "new-log", "--reason", "key_exposed", "--new-keys").exit_code == 0
    after, new = (place.logs / KEYS).read_text().splitlines(), read_identity(place)
    assert not {line.rpartition("+")[2] for line in before} & {line.rpartition("+")[2] for line in after}
    assert new.witness != old.witness, "a witness with another key is another witness"
    assert (place.root / "set-aside/cosigned-1").exists()
    assert whole(house)
    house.prepare("eu")
    assert read_identity(place) == new


def test_a_crash_anywhere_in_a_new_log_leaves_something_that_goes_on(house, monkeypatch):
    """Whatever step it dies at: the old logs go on, or the command does it once more and the new ones begin."""
    place = house.place("eu")
    old = read_identity(place).logs
    rename, seen = Path.rename, set()
    for at in itertools.count(1):
        steps = itertools.count(1)

        def dies(call, at=at, steps=steps):
            def step(*arguments):
                if next(steps) == at:
                    raise KeyboardInterrupt
                return call(*arguments)

            return step

        dying = dies(rename)
        with monkeypatch.context() as patched:
            for name in ("renew_identity", "sync_folder"):
                patched.setattr(newlog, name, dies(getattr(newlog, name)))
            patched.setattr(
                Path, "rename", lambda a, b, dying=dying: (dying if a.parent == place.root else rename)(a, b)
            )
            done = run(house, "new-log", "--reason", "restored").exit_code == 0
        if done:
            break
        house.prepare("eu")  # a start in between
        try:
            seen.add("old" if read_identity(place).logs == old else "new")
        except SetupError as error:
            assert "new-log" in error.remedy
            seen.add("none")
    assert seen >= {"old", "none"}
    assert read_identity(place).logs != old
    assert whole(house)


def test_a_lost_log_folder_is_no_dead_end(house):
    place = house.place("eu")
    witness = read_identity(place).witness
    shutil.rmtree(place.logs)
    house.prepare("eu")
    with pytest.raises(SetupError) as told:
        house.publish("eu")
    assert "evidence new-log" in told.value.remedy
    assert run(house, "new-log", "--reason", "lost").exit_code == 0
    assert read_identity(place).witness == witness
    assert whole(house)


def test_nothing_begins_while_an_agent_has_the_logs(house):
    with newlog.agent_stopped(house.place("eu")):
        for arguments in (("new-log", "--reason", "restored"),):
            with pytest.raises(SetupError, match="runs"):
                run(house, *arguments)


# Who is believed


def test_a_quorum_is_not_lowered_by_hiding_who_should_be_in_it(house):
    assert policy_of(house.home, house.loaded.plan, "eu").quorum == "quorum"
    (house.place("us").logs / KEYS).unlink()
    with pytest.raises(SetupError, match="asks for 1 witnesses, and the keys of 0"):
        policy_of(house.home, house.loaded.plan, "eu")
    report = verify_region(house.home, house.place("eu"), house.loaded)
    assert any("asks for 1 witnesses" in found.problem for found in report.damage)


def test_a_region_speaks_for_no_other_regions_log_and_is_no_other_regions_witness(house):
    """Else it could have a made-up history of another's log cosigned, and that log would be halted."""
    ours, theirs = house.place("eu").logs / KEYS, house.place("us").logs / KEYS
    theirs.write_bytes(ours.read_bytes())
    assert others_keys(house.home, house.loaded.plan, "eu")["us"] == ((), ())
    assert witnesses(house.home, house.loaded.plan, "eu")["us"] is None


def test_a_status_that_cannot_be_read_is_told(house):
    (house.place("eu").logs / "status.json").write_text("{")
    result = run(house, "status")
    assert result.exit_code == 1
    assert "cannot be read" in result.stdout
    (said,) = map(json.loads, run(house, "status", "--json").stdout.splitlines())
    assert said["ok"] is False


def test_a_half_made_identity_is_made_again(tmp_path):
    house = House(tmp_path / "home")
    place = house.place("eu")
    (place.logs / IDENTITY).unlink()
    house.prepare("eu")
    house.write("eu", 3)
    assert whole(house)
    (place.logs / IDENTITY).write_bytes(b"\xff")
    with pytest.raises(FiredoorError):
        house.publish("eu")
