"""Cases taken up again from the evidence, and what `firedoor doctor` says of cases."""

import sqlite3

import pytest
from msgspec import structs

from firedoor.app.incidentcheck import verify_incidents
from firedoor.app.incidentdoctor import incident_findings
from firedoor.app.incidentrestore import restore
from firedoor.app.operator import as_operator
from firedoor.control.caselog import Draft
from firedoor.core.incident.entries import Called, Closed, Findings, FoundOne, Noted
from firedoor.core.plan.response import IncidentRules, OtherSystem
from firedoor.core.plan.words import Duration
from firedoor.errors import StateBusy
from firedoor.store.journal_read import read

from .casehouse import CASE, handled


@pytest.fixture
def house(tmp_path):
    house = handled(tmp_path)
    found = tuple(
        FoundOne(slot=slot, seq=seq, at=5, rule="leak.documents", verdict="shut", scope="eu/alpen/support/m0")
        for slot, seq in (("w0", 7), ("w1", 3), ("gw-2/w0", 900), ("w0", 5))
    )
    house.write_case(Draft(CASE, Findings(found=found)))
    return house


def put_back(house):
    return as_operator(
        house.place, house.epochs, lambda write: restore(house.place, house.loaded, house.ring, write)
    )  # fmt: skip


def everything(house):
    with house.store() as store:
        listed = store.cases()
        return listed, [store.entries(one.id) for one in listed]


def lose(house):
    for path in house.place.root.glob("control.sqlite*"):
        path.unlink()


def change(house, *statements):
    connection = sqlite3.connect(house.place.control_state)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


class TestRestore:
    def test_all_cases_come_back_as_they_were(self, house):
        house.write_case(house.signed("ana", Closed(because="over"), case=CASE, after=5))
        before = everything(house)
        lose(house)
        done = put_back(house)
        assert (done.cases, done.entries, done.left) == (2, 7, {})
        assert everything(house) == before
        assert [case.open for case in before[0]].count(False) == 1
        with house.store() as store:
            assert store.unrecorded(10) == []
            assert store.cursors() == {"w0": 7, "w1": 3}, "the journals are read on from the newest finding of a case"
        assert verify_incidents(house.place, house.loaded, house.home.root.parent).ok
        assert put_back(house).entries == 0
        told = [one.leaf.facts for one in read(house.place.journal("operator")) if one.leaf.kind == "repair"]
        assert told == [{"what": "cases", "cases": 2, "entries": 7}]

    def test_what_the_store_holds_stays_and_is_only_added_to(self, house):
        before = everything(house)
        change(
            house,
            f"DELETE FROM incident_entries WHERE case_id = '{CASE}' AND number > 3",
            f"UPDATE incident_cases SET entries = 3 WHERE id = '{CASE}'",
            "INSERT INTO incident_cursors (host, slot, seq) VALUES ('', 'w0', 99)",
        )
        assert put_back(house).entries == 2
        assert everything(house) == before
        with house.store() as store:
            assert store.cursors() == {"w0": 99, "w1": 3}

    def test_a_case_with_a_damaged_row_comes_back_whole(self, house):
        before = everything(house)
        change(house, f"UPDATE incident_entries SET content = substr(content, 2) WHERE case_id = '{CASE}'")
        done = put_back(house)
        assert (done.cases, done.entries, done.left) == (1, 5, {})
        assert everything(house) == before

    def test_a_damaged_case_of_which_the_evidence_knows_less_is_left(self, house):
        house.write_case(house.signed("ana", Noted(text="more"), after=5), record=False)
        change(
            house, f"UPDATE incident_entries SET content = substr(content, 2) WHERE case_id = '{CASE}' AND number = 2"
        )
        done = put_back(house)
        assert done.entries == 0
        assert "the evidence lacks 1" in done.left[CASE]
        with house.store() as store:
            assert {one.id: one.entries for one in store.cases()}[CASE] == 6

    def test_where_both_tell_different_things_nothing_is_changed(self, house):
        lose(house)
        house.write_case(house.opened(shut=False), record=False)
        before = everything(house)
        done = put_back(house)
        assert (done.cases, done.entries) == (1, 1), "the other case"
        assert "different things" in done.left[CASE]
        with house.store() as store:
            assert store.entries(CASE) == before[1][0]

    def test_half_a_case_is_none(self, house):
        bodies = sorted(path for path in house.place.bodies.rglob("*") if path.is_file())
        lose(house)
        for path in bodies:
            path.unlink()
        done = put_back(house)
        assert (done.entries, len(done.left)) == (0, 2)
        assert everything(house) == ([], [])

    def test_not_while_control_runs(self, house):
        with house.store(), pytest.raises(StateBusy, match="Control of region eu runs"):
            put_back(house)


class TestDoctor:
    def look(self, house):
        rules = IncidentRules(acknowledge=Duration(900))
        loaded = structs.replace(house.loaded, plan=structs.replace(house.loaded.plan, incidents=rules))
        return [(one.level, one.what) for one in incident_findings(house.place, loaded, house.box)]

    def test_nothing_where_control_never_ran(self, house):
        lose(house)
        assert self.look(house) == []

    def test_a_region_whose_calls_reach_nobody(self, house):
        def warned(webhook):
            pager = OtherSystem(webhook=webhook, jurisdiction="DE", secret_file="s")
            rules = IncidentRules(systems={"pager": pager})
            loaded = structs.replace(house.loaded, plan=structs.replace(house.loaded.plan, incidents=rules))
            found = [(one.level, one.what) for one in incident_findings(house.place, loaded, house.box)]
            return any(level == "warn" and "not reached" in what for level, what in found)

        assert warned(None)
        assert not warned("https://pager.example/in")

    def test_what_waits_for_somebody(self, house):
        other = "eu-20260921-bbbbbbbbbb"
        house.write_case(house.opened(other))
        found = self.look(house)
        assert found[-1] == ("ok", "incidents: 3 open")
        warned = [what for level, what in found if level == "warn"]
        waits = [what for what in warned if "nobody has acknowledged" in what]
        assert len(waits) == 2
        assert any(other in what for what in waits)
        assert not any(CASE in what for what in waits)
        undone = {what.split()[2]: what.partition("yet: ")[2] for what in warned if "not done by itself" in what}
        assert undone[CASE] == "contain, purge, clocks, count"
        assert undone[other] == "contain, seal, purge, clocks, count"

    def test_entries_that_are_not_on_record_and_messages_that_were_dropped(self, house):
        called = Called(role="dpo", person="ben", reason="opened")
        house.write_case(Draft(CASE, called), Draft(CASE, called), record=False)
        change(house, "INSERT INTO incident_dropped (system, messages) VALUES ('pager', 12)")
        found = self.look(house)
        assert ("warn", "incidents: 2 entries are not in the evidence yet") in found
        assert (
            "warn",
            "incidents: 12 messages to pager were dropped: it was away for too long, or left the plan",
        ) in found

    def test_a_case_that_cannot_be_read(self, house):
        change(
            house, f"UPDATE incident_entries SET content = substr(content, 2) WHERE case_id = '{CASE}' AND number = 2"
        )
        assert ("FAIL", f"incidents: case {CASE} cannot be read") in self.look(house)

    def test_an_older_release(self, house):
        change(house, "UPDATE control_version SET version_num = '0001'")
        assert [level for level, what in self.look(house) if "older release" in what] == ["warn"]
