"""Whether cases are whole: what is right is found right, and every kind of damage is named."""

import json
import shutil
import sqlite3

import pytest
import typer
from msgspec import structs
from typer.testing import CliRunner

from firedoor.app.incidentcheck import verify_incidents
from firedoor.app.regionkeys import epochs
from firedoor.cli import incident_verify
from firedoor.core.incident.entries import Acknowledged, Noted, encode_entry
from firedoor.core.plan.model import Loaded
from firedoor.errors import ActRefused

from .casehouse import CASE, SECRET, handled
from .postgres import running


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, handled(folder)


@pytest.fixture
def house(whole, tmp_path):
    """A copy of that house, to be damaged."""
    folder, made = whole
    shutil.copytree(folder, tmp_path / "copy")
    copied = object.__new__(type(made))
    copied.__dict__ = dict(made.__dict__)
    copied.home = structs.replace(made.home, root=tmp_path / "copy" / made.home.root.relative_to(folder))
    copied.place = copied.home.region("eu")
    copied.epochs = epochs(copied.place, copied.ring.worker())
    return copied


def look(house, only=None, loaded=None):
    return verify_incidents(house.place, loaded or house.loaded, house.home.root.parent, only)


def damage(house, **more):
    """What is wrong: by case and number."""
    report = look(house, **more)
    assert report.ok is (not report.damage)
    return {((d.case if d.case == CASE else "other"), d.number): d.problem for d in report.damage}


def rewrite(house, number, entry):
    """Put another entry in the place of one, well sealed: as somebody with the region's key would."""
    content = house.box.seal(encode_entry(entry), f"incident/{entry.case}/{number}")
    with sqlite3.connect(house.place.control_state) as connection:
        where = (content, entry.at, entry.case, number)
        connection.execute("UPDATE incident_entries SET content = ?, at = ? WHERE case_id = ? AND number = ?", where)
    connection.close()


def change(house, *statements):
    connection = sqlite3.connect(house.place.control_state)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def entries(house, case=CASE):
    with house.store() as store:
        return store.entries(case)


def test_all_of_it_is_proved(whole):
    _, house = whole
    report = look(house)
    assert report.damage == []
    assert (report.cases, report.entries, report.proved, report.signed, report.snapshots) == (2, 5, 5, 3, 1)
    assert (report.waiting, report.unchecked) == (0, {})
    assert look(house, CASE).entries == 4
    with pytest.raises(ActRefused, match="no case"):
        look(house, "eu-20260921-bbbbbbbbbb")


def test_while_control_runs(house):
    with house.store():
        assert look(house).ok


def test_what_is_not_recorded_yet_is_told_and_no_damage(house):
    house.write_case(house.signed("ana", Noted(text="more"), after=4), record=False)
    report = look(house)
    assert report.ok
    assert (report.entries, report.proved, report.waiting) == (6, 5, 1)
    change(house, "DELETE FROM incident_unrecorded")
    assert damage(house) == {(CASE, 5): "The evidence does not hold this entry."}


class TestDamage:
    def test_an_entry_that_says_something_else(self, house):
        known = entries(house)[3]
        rewrite(house, 4, structs.replace(known, payload=Noted(text="nobody called")))
        found = look(house)
        assert [d.problem for d in found.damage] == [
            "It does not say what was signed.", "The evidence holds another entry of this number.",
        ]  # fmt: skip
        assert SECRET not in json.dumps([d.problem for d in found.damage])

    def test_an_automatic_entry_that_was_moved_in_time(self, house):
        first = entries(house)[0]
        rewrite(house, 1, structs.replace(first, at=first.at - 1))
        assert damage(house) == {(CASE, 1): "The evidence holds another entry of this number."}

    def test_a_signature_of_somebody_else_or_of_another_case(self, house):
        house.write_case(
            house.signed("ana", Noted(text="a"), after=4, key_of="ben"),
            house.signed("ana", Noted(text="b"), case="eu-20260921-cccccccccc", after=4)._replace(case=CASE),
            house.signed("ana", Noted(text="c"), after=4)._replace(by="ben"),
            house.signed("ana", Noted(text="d"), after=4)._replace(signed=None),
            house.signed("ana", Noted(text="e"), after=4, instead=Acknowledged()),
        )
        found = damage(house)
        assert found.keys() == {(CASE, number) for number in (5, 6, 7, 8, 9)}
        assert "does not hold" in found[CASE, 5]
        assert found[CASE, 6] == found[CASE, 7] == found[CASE, 9] == "What was signed is about something else."
        assert "nobody signed it" in found[CASE, 8]

    def test_a_row_that_was_taken_out_or_cut_off(self, house):
        change(house, "DELETE FROM incident_entries WHERE number = 2")
        assert list(damage(house)) == [(CASE, 0)]

    def test_a_store_that_was_shortened_at_its_end(self, house):
        change(
            house,
            f"DELETE FROM incident_entries WHERE case_id = '{CASE}' AND number = 4",
            f"UPDATE incident_cases SET entries = 3 WHERE id = '{CASE}'",
        )
        assert damage(house) == {(CASE, 4): "The evidence has entries that the store lacks."}

    def test_a_case_that_was_taken_out(self, house):
        for table, column in (("incident_entries", "case_id"), ("incident_cases", "id")):
            change(house, f"DELETE FROM {table} WHERE {column} = '{CASE}'")
        assert damage(house) == {(CASE, 0): "The evidence has a case that the store lacks."}

    def test_a_snapshot_that_is_another(self, house):
        sealed = entries(house)[1]
        for payload, problem in (
            (structs.replace(sealed.payload, bytes=3), "Its snapshot is not what was sealed."),
            (structs.replace(sealed.payload, seq=3), "The record that it names is not its snapshot."),
            (structs.replace(sealed.payload, slot="w7"), "Its snapshot, record 2 of w7, is missing."),
        ):
            rewrite(house, 2, structs.replace(sealed, payload=payload))
            assert {d.problem for d in look(house).damage} == {
                "The evidence holds another entry of this number.", problem,
            }, payload  # fmt: skip

    def test_a_journal_that_lacks_its_end(self, house):
        folder = house.place.journal("control")
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes()[:-40])
        found = damage(house)
        assert found
        assert all(case in (CASE, "other") for case, _ in found)


class TestUnchecked:
    def test_a_snapshot_whose_body_expired(self, house):
        shutil.rmtree(house.place.bodies)
        report = look(house)
        assert report.ok
        assert report.snapshots == 0
        assert report.unchecked == {"snapshots whose body is gone or cannot be opened": 1}

    def test_people_who_left_and_keys_that_were_changed(self, house):
        people = dict(house.loaded.plan.people)
        del people["cem"]
        people["ana"] = structs.replace(people["ana"], key=house.keys["dora"].public)
        plan = structs.replace(house.loaded.plan, people=people)
        report = look(house, loaded=Loaded(plan, "cd" * 32, "plan.yaml"))
        assert report.ok
        assert report.signed == 1
        assert sorted(report.unchecked.values()) == [1, 1]
        same = look(house, loaded=Loaded(plan, house.loaded.digest, "plan.yaml"))
        assert not same.ok, "under this very plan the key was another one"

    def test_without_keys_the_numbers_are_looked_at(self, house):
        house.place.ring.unlink()
        report = look(house)
        assert report.ok
        assert (report.entries, report.proved) == (0, 0)
        assert len(report.unchecked) == 1
        assert next(iter(report.unchecked)).startswith("all that the store holds")


def test_where_hosts_share_a_database_another_hosts_evidence_is_not_missed(house):
    with running() as server:
        house.where = server.database()
        regions = {"eu": structs.replace(house.loaded.plan.regions["eu"], state=house.where)}
        plan = structs.replace(house.loaded.plan, regions=regions)
        with house.store() as store:
            for entry in entries_of_file(house):
                store.append([entry], cursors={}, ended={})
            store.recorded(store.unrecorded(10))
        shutil.rmtree(house.place.journal("control"))
        report = look(house, loaded=Loaded(plan, house.loaded.digest, "plan.yaml"))
        assert report.ok
        assert (report.entries, report.proved) == (4, 0)
        assert list(report.unchecked.values()) == [5], "four entries and a snapshot"


def entries_of_file(house):
    where, house.where = house.where, None
    try:
        return entries(house)
    finally:
        house.where = where


class TestCommand:
    def ask(self, house, monkeypatch, *options):
        app = typer.Typer()
        app.command()(incident_verify.verify)
        monkeypatch.setattr(incident_verify.planfile, "load", lambda _: house.loaded)
        return CliRunner().invoke(app, ["--home", str(house.home.root), *options])

    def test_it_says_what_it_proved(self, house, monkeypatch):
        ran = self.ask(house, monkeypatch)
        assert ran.exit_code == 0, ran.output
        assert ran.stdout.splitlines() == [
            "eu: 2 cases, 5 entries, 5 of them in the evidence, 3 signatures and 1 snapshots hold", "verified",
        ]  # fmt: skip

    def test_it_says_what_is_wrong_and_fails(self, house, monkeypatch):
        change(house, "DELETE FROM incident_unrecorded", "DELETE FROM incident_entries WHERE number = 3")
        ran = self.ask(house, monkeypatch)
        assert ran.exit_code == 1
        assert f"DAMAGED {CASE}: Entry 3 of case {CASE} is missing." in ran.stdout
        assert ran.stdout.splitlines()[-1] == "DAMAGED"
        found = json.loads(self.ask(house, monkeypatch, "--json").stdout)
        assert found["ok"] is False
        assert found["regions"][0]["damage"][0]["case"] == CASE

    @pytest.mark.parametrize("named", ["last", CASE[5:]])
    def test_a_part_of_the_name_is_enough(self, house, monkeypatch, named):
        ran = self.ask(house, monkeypatch, named, "--json")
        assert ran.exit_code == 0, ran.output
        assert json.loads(ran.stdout)["regions"][0]["cases"] == 1

    def test_no_such_case(self, house, monkeypatch):
        ran = self.ask(house, monkeypatch, "eu-20260921-bbbbbbbbbb")
        assert isinstance(ran.exception, ActRefused)
