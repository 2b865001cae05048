"""Cases at their edges: writers that meet, floods that hide, requests played again, words that change what was signed."""

import asyncio
import threading

import pytest
from tests.rooms.incidentdesk import SCOPE, Desk, MemoryStore
from tests.rooms.test_incidents import AWARE, NOTE, OPENED, only, refusal, run

from firedoor.control import casefinder
from firedoor.control.caselog import RECENT
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import KEPT, fold
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import NAMED, encode_payload
from firedoor.core.incident.steps import Region, to_contain, to_count
from firedoor.core.plan.response import IncidentRules, OpensRule
from firedoor.errors import EvidenceDamaged
from firedoor.store.journal_tail import JournalTail

CLOSED = kinds.Closed(because="over")
REOPENED = kinds.Reopened(because="there is more")
REGION = Region("eu", 86_400)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


class Slow(MemoryStore):
    """A store whose next answer to `slow` comes only when `go` is set."""

    slow = None

    def __init__(self, kept=None):
        super().__init__(kept)
        self.go, self.asked = threading.Event(), threading.Event()

    def _wait(self, name, found):
        if self.slow == name:
            self.slow = None
            self.asked.set()
            assert self.go.wait(30)
        return found

    def entries(self, case):
        return self._wait("entries", super().entries(case))

    def unrecorded(self, limit):
        return self._wait("unrecorded", super().unrecorded(limit))


def correction(of, instead):
    return kinds.Correction(of=of, instead=encode_payload(instead).decode(), because="a slip")


# Writers that meet


def test_a_case_read_while_it_is_written_stays_as_it_was_written(desk):
    async def life():
        store = Slow()
        async with desk.running(store=store) as incidents:
            first = (await desk.write(incidents, None, OPENED)).case
            await desk.write(incidents, first, CLOSED)
            for _ in range(RECENT):  # it is not at hand any more
                await desk.write(incidents, (await desk.write(incidents, None, OPENED)).case, CLOSED)
            closed = fold(store.entries(first))
            store.slow = "entries"
            reading = asyncio.create_task(incidents.case(first))
            await asyncio.to_thread(store.asked.wait, 30)
            await incidents.write(desk.signed(closed, REOPENED), REOPENED)
            store.go.set()
            assert (await reading).state == "in_progress"
            assert [case.id for case in incidents.open_cases()] == [first]
            await desk.write(incidents, first, NOTE)

    run(life)


def test_an_entry_written_while_the_evidence_catches_up_is_recorded_before_the_answer(desk):
    async def life():
        store = Slow()
        async with desk.running(store=store) as incidents:
            case = (await desk.write(incidents, None, OPENED)).case
            store.slow = "unrecorded"
            recording = incidents._cases.record_soon()
            incidents._cases._unrecorded = True
            await asyncio.to_thread(store.asked.wait, 30)
            writing = asyncio.create_task(desk.write(incidents, case, NOTE))
            while len(store.kept["entries"][case]) < 2:  # noqa: ASYNC110  the store is looked at from outside
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            store.go.set()
            await writing
            await recording
            assert store.kept["unrecorded"] == []

    run(life)


def test_a_slot_that_cannot_be_read_for_a_moment_loses_nothing_of_the_others(desk, tmp_path, monkeypatch):
    async def life():
        await desk.finds(SCOPE, slot="w0")
        await desk.finds("eu/berg/faq/m1", slot="w1")
        tail = JournalTail(desk.evidence.journals)
        tail.open({})
        tail.read(0)
        broken = tail._cursors["w1"][1]
        real, calls = broken.new, []

        def new(limit):
            calls.append(limit)
            if len(calls) == 1:
                raise EvidenceDamaged("for a moment")
            return real(limit)

        broken.new = new
        assert [leaf.slot for leaf in tail.read(1000) if leaf.kind == "finding"] == ["w0"]
        with pytest.raises(EvidenceDamaged):
            tail.read(1000)
        assert [leaf.slot for leaf in tail.read(1000) if leaf.kind == "finding"] == ["w1"]
        tail.close()

    run(life)


def test_a_clock_that_is_put_back_keeps_no_finding_waiting(desk):
    async def life():
        rules = IncidentRules(opens=(OpensRule(findings=("any",), verdicts=("mask",)),))
        desk.rules = rules
        async with desk.running() as incidents:
            for n in range(3):
                desk.now += 1
                await desk.finds({"verdict": "mask"})
                await incidents.look()
                assert only(incidents).found_count == n + 1
            desk.now -= 7200
            await desk.finds({"verdict": "mask"})
            await incidents.look()
            assert only(incidents).found_count == 4
            assert [entry.at for entry in only(incidents).entries] == sorted(e.at for e in only(incidents).entries)

    run(life)


# Floods that hide


def test_a_flood_hides_no_leak_from_the_case(desk):
    quiet = {"verdict": "mask", "rule": "secret"}
    desk.rules = IncidentRules(opens=(OpensRule(findings=("any",), verdicts=("mask", "shut")),))

    async def life():
        async with desk.running() as incidents:
            await desk.finds(*[quiet] * (KEPT + 3 * NAMED))
            for _ in range(8):
                desk.now += 1
                await incidents.look()
            while len(only(incidents).found) < KEPT:
                await desk.finds(*[quiet] * NAMED)
                desk.now += 5
                await incidents.look()
            assert to_contain(only(incidents), REGION) == ()
            await desk.finds(*[quiet] * NAMED, SCOPE, *[quiet] * NAMED)
            await incidents.look()
            case = only(incidents)
            assert to_contain(case, REGION) == (SCOPE,)
            assert len(case.found) == KEPT
            [leak] = [one for one in case.found if one.verdict == "shut"]
            assert leak.exchange in {one.exchange for one in case.entries[-1].payload.found}
            assert len(case.entries[-1].payload.found) <= casefinder.FEW  # memory holds every entry
            assert fold(case.entries) == case

    run(life)


def test_the_leak_among_many_of_its_place_is_named(desk):
    desk.rules = IncidentRules(opens=(OpensRule(findings=("any",), verdicts=("mask", "shut")),))

    async def life():
        async with desk.running() as incidents:
            await desk.finds(*[{"verdict": "mask"}] * (NAMED + 5), SCOPE)
            await incidents.look()
            assert to_contain(only(incidents), REGION) == (SCOPE,)

    run(life)


def test_what_is_merged_is_shut_and_counted_where_it_goes_on(desk):
    async def life():
        async with desk.running() as incidents:
            many = [f"eu/alpen/support/m{n}" for n in range(60)]
            await desk.finds(*many[:30])
            await incidents.look()
            await desk.finds(*many[30:])
            await incidents.look()
            case = only(incidents)
            into = (await desk.write(incidents, None, OPENED)).case
            merged = kinds.MergedInto(case=into, because="one leak")
            await desk.write(incidents, case.id, merged)
            after = await incidents.case(into)
            assert set(many) <= set(after.scopes)
            assert set(many) <= set(to_contain(after, REGION))
            assert set(many) <= set(to_count(after, REGION).scopes)
            assert {one.exchange for one in after.found} == {one.exchange for one in case.found}
            assert after.found_count == case.found_count
            assert (await incidents.case(case.id)).state == "merged"

    run(life)


# What few may see


def test_findings_that_few_may_see_join_no_case_that_all_see(desk):
    few = OpensRule(findings=("payment_card",), verdicts=("shut",), restricted=("dpo",))
    desk.rules = IncidentRules(opens=(few, OpensRule(findings=("any",), verdicts=("shut",))))
    card = {"rule": "payment_card"}

    async def life():
        async with desk.running() as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            await desk.finds(card, card)
            await incidents.look()
            await desk.finds(card)
            await incidents.look()
            everybodys, restricted = sorted(incidents.open_cases(), key=lambda case: case.restricted is not None)
            assert (everybodys.restricted, everybodys.rules) == (None, ("protected_value",))
            assert restricted.restricted.roles == ("dpo",)
            assert restricted.found_count == 3

    run(life)


# Played again, and changed afterwards


def test_an_act_is_not_played_again_after_a_restart_however_many_cases_ended_since(desk):
    async def life():
        async with desk.running() as incidents:
            first = (await desk.write(incidents, None, OPENED)).case
            await desk.write(incidents, first, CLOSED)
            again = desk.signed(await incidents.case(first), REOPENED)
            await incidents.write(again, REOPENED)
            await desk.write(incidents, first, CLOSED)
            begun = desk.signed(None, OPENED)
            await incidents.write(begun, OPENED)
            for _ in range(RECENT + 2):
                await desk.write(incidents, (await desk.write(incidents, None, OPENED)).case, CLOSED)
        async with desk.running() as incidents:
            assert await refusal(incidents.write(again, REOPENED)) == "nonce_spent"
            assert await refusal(incidents.write(begun, OPENED)) == "nonce_spent"
            incidents._spent.clear()  # a clock that jumped there and back forgets them
            assert await refusal(incidents.write(begun, OPENED)) == "nonce_spent"
            assert (await incidents.case(first)).state == "closed"

    run(life)


def test_a_correction_says_nothing_that_could_not_have_been_said(desk):
    def clocks(case, now):
        return tuple(
            Clock(
                id=name, title="", rule_version="1", basis="law", source="", recipients=(), start_event="aware",
                start_at=1, length="72h", zone="UTC", due=due, state="running", applies="yes", depends_on=None,
            )
            for name, due in (("eu.gdpr.33.1", 1 << 52), ("eu.late", 1_700_000_000_000_000))
        )  # fmt: skip

    desk.clocks = clocks
    sent = kinds.Submitted(clock="eu.gdpr.33.1", at=AWARE.at, to="LfDI")

    async def life():
        async with desk.running() as incidents:
            case = (await desk.write(incidents, None, OPENED)).case
            number = (await desk.write(incidents, case, sent, "ben")).number
            for clock, code in (("eu.late", "delay_missing"), ("eu.never", "no_clock")):
                other = kinds.Submitted(clock=clock, at=1_750_000_000_000_000, to="LfDI")
                assert await refusal(desk.write(incidents, case, correction(number, other), "ben")) == code
            words = kinds.Submitted(clock=sent.clock, at=sent.at, to="BlnBDI")
            await desk.write(incidents, case, correction(number, words), "ben")
            role = (await desk.write(incidents, case, kinds.Assigned(role="dpo", person="ben"))).number
            nobody = correction(role, kinds.Assigned(role="dpo", person="nobody"))
            assert await refusal(desk.write(incidents, case, nobody)) == "unknown_person"

    run(life)


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (kinds.Linked(system="siem", ref="1", url="javascript:alert(1)"), "url"),
        (kinds.Linked(system="siem", ref="1", url="https://x.example/\x1b[2J"), "url"),
        (kinds.Linked(system="siem", ref="1\n"), "ref"),
        (kinds.Opened(cause="person", title="a\n", scope="eu", detected=1), "title"),
        (kinds.Opened(cause="person", title="a", scope="eu\x1b[2J", detected=1), "scope"),
    ],
)
def test_no_entry_writes_to_a_terminal_or_runs_in_a_browser(desk, made, field):
    async def life():
        async with desk.running() as incidents:
            name = None if field in ("title", "scope") else (await desk.write(incidents, None, OPENED)).case
            assert await refusal(desk.write(incidents, name, made)) == "bad_payload"

    run(life)


def test_every_place_of_a_burst_is_shut_and_counted(desk):
    many = [f"eu/alpen/support/m{n}" for n in range(110)]

    async def life():
        async with desk.running() as incidents:
            await desk.finds(*many, *many)
            await incidents.look()
            case = only(incidents)
            assert set(to_contain(case, REGION)) == set(many) == set(to_count(case, REGION).scopes)
            assert case.found_count == 2 * len(many)
            assert all(len(e.payload.found) <= NAMED for e in case.entries if isinstance(e.payload, kinds.Findings))

    run(life)
