"""The cases of a region: opened by findings, people and hooks; durable, on record, and whole after any crash."""

import asyncio
import itertools
import json
import secrets

import pytest
from msgspec import structs
from tests.rooms.incidentdesk import SCOPE, Desk, MemoryStore
from tests.rooms.incidentstores import opened_store

from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import case_of, fold
from firedoor.core.incident.checks import open_clocks
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import FoundOne, decode_entry, encode_payload, payload_digest
from firedoor.core.incident.hooks import Message
from firedoor.core.people import LIFETIME, SKEW
from firedoor.core.plan.response import IncidentRules, OpensRule
from firedoor.core.switches import Scope
from firedoor.core.switchstate import AUTOMATIC, Entry
from firedoor.errors import ActRefused, FiredoorError, StateUnavailable
from firedoor.store.journal_read import read
from firedoor.store.opening import BodyOpener

NOTE = kinds.Noted(text="I am at it")
OPENED = kinds.Opened(cause="person", title="A shopper wrote to us", scope="eu/alpen", detected=1_799_999_999_000_000)
AWARE = kinds.MomentSet(event="aware", at=1_799_999_999_500_000, because="the log shows it")


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def run(life):
    return asyncio.run(asyncio.wait_for(life(), 60))


async def refusal(awaitable):
    with pytest.raises(ActRefused) as refused:
        await awaitable
    return refused.value.code


def only(incidents):
    (case,) = incidents.open_cases()
    return case


def kinds_of(case):
    return [kinds.kind_of(entry.payload) for entry in case.entries]


# Findings


def test_a_leak_opens_a_case_and_more_of_it_join(desk):
    async def life():
        async with desk.running() as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            case = only(incidents)
            assert kinds_of(case) == ["opened", "findings"]
            assert case.opened.title == "Leak of protected values: alpen, support, m0"
            assert (case.opened.scope, case.opened.shut, case.opened.purge) == (SCOPE, True, ("cache",))
            assert case.moments["detected"] == case.found[0].at == desk.micro()
            calls = desk.store.calls
            await incidents.look()
            assert desk.store.calls <= calls + 3  # at most the evidence catching up
            desk.now += 3600
            await desk.finds("eu/alpen/support/m1", "eu/alpen/search/m0", {"rule": "stranger_data", "verdict": "mask"})
            await incidents.look()
            assert kinds_of(only(incidents)) == ["opened", "findings", "findings"]
            assert only(incidents).found_count == 3
        assert [(n, case) for _, n, case in desk.told] == [(1, 2), (2, 2), (3, 3)]

    run(life)


def test_a_hundred_findings_make_the_cases_a_person_would_make(desk):
    many = [
        f"eu/{shop}/{surface}/m{n}" for n in range(10) for shop in ("alpen", "berg") for surface in ("support", "faq")
    ]

    async def life():
        await desk.finds(*many, *many, *many)
        async with desk.running() as incidents:
            cases = incidents.open_cases()
            assert sorted(case.opened.scope.split("/")[1] for case in cases) == ["alpen", "berg"]
            assert [case.found_count for case in cases] == [60, 60]
            assert [case.number for case in cases] == [2, 2]
            assert {len(case.found) for case in cases} == {50}
            assert {len(case.scopes) for case in cases} == {20}  # those of every place are named

    run(life)


def test_a_restart_finds_the_same_cases_and_nothing_twice(desk):
    async def life():
        async with desk.running() as incidents:
            await desk.finds(SCOPE, "eu/berg/faq/m1")
            await incidents.look()
            before = {case.opened.scope: case.id for case in incidents.open_cases()}
        await desk.finds(SCOPE)
        async with desk.running() as incidents:
            after = {case.opened.scope: case for case in incidents.open_cases()}
            assert {scope: case.id for scope, case in after.items()} == before
            assert {scope: case.found_count for scope, case in after.items()} == {SCOPE: 2, "eu/berg/faq/m1": 1}
            assert await incidents.entries(before[SCOPE]) == list(after[SCOPE].entries)
            assert sorted((c.open, c.entries) for c in await incidents.listing()) == [(True, 2), (True, 3)]

    run(life)


def test_a_new_region_opens_nothing_for_what_is_long_past(desk):
    async def life():
        await desk.finds(SCOPE)
        desk.now += 25 * 3600
        await desk.finds("eu/berg/faq/m1")
        async with desk.running() as incidents:
            assert [case.opened.scope for case in incidents.open_cases()] == ["eu/berg/faq/m1"]

    run(life)


def test_records_that_say_nothing_are_skipped_and_counted(desk):
    async def life():
        async with desk.running() as incidents:
            await desk.finds({"verdict": "mask", "rule": 7}, {"verdict": "cut", "scope": "eu//"}, {"scope": "nonsense"})
            await incidents.look()
            assert incidents.counts["findings_unreadable"] == 2
            assert only(incidents).opened.scope == "eu/*/*/*"

    run(life)


def test_findings_after_the_end_open_a_case_that_names_the_earlier_one(desk):
    async def life():
        async with desk.running() as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            case = only(incidents)
            await desk.write(incidents, case.id, kinds.Closed(because="false alarm"))
            desk.now += 60
            await desk.finds(SCOPE)
            await incidents.look()
            again = only(incidents)
            assert again.id != case.id
            assert [(link.system, link.ref) for link in again.links] == [("firedoor", case.id)]
            assert (await incidents.case(case.id)).number == 3

    run(life)


def test_a_flood_on_one_case_makes_few_entries(desk):
    rules = IncidentRules(opens=(OpensRule(findings=("any",), verdicts=("record",)),))
    desk.rules = rules
    attack = {"verdict": "record", "rule": "prompt_attack"}

    async def life():
        async with desk.running() as incidents:
            for n in range(12):
                await desk.finds(*[attack] * 5)
                desk.now += 0.01
                await incidents.look()
                if n == 5:
                    assert only(incidents).number < 6
            desk.now += 10
            await incidents.look()
            case = only(incidents)
            assert case.found_count == 60
            assert case.number < 10
        async with desk.running() as incidents:
            assert only(incidents).found_count == 60

    run(life)


def test_what_was_held_back_is_not_lost_by_a_crash(desk):
    desk.rules = IncidentRules(opens=(OpensRule(findings=("any",), verdicts=("record",)),))
    attack = {"verdict": "record", "rule": "prompt_attack"}

    async def life():
        async with desk.running() as incidents:
            await desk.finds(attack)
            await incidents.look()
            await desk.finds(attack)
            await incidents.look()
            assert only(incidents).found_count == 1
        async with desk.running() as incidents:
            assert only(incidents).found_count == 2
            await desk.finds(attack)
            await incidents.look()
            await desk.write(incidents, only(incidents).id, kinds.Resolved(because="x"))  # takes along what waits
            assert only(incidents).found_count == 3

    run(life)


def test_a_person_who_writes_between_two_batches_loses_none_of_them(desk):
    async def life():
        async with desk.running() as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            await desk.finds(SCOPE)
            await incidents._finder._some()  # read, and not sorted into cases yet
            await desk.write(incidents, only(incidents).id, kinds.Resolved(because="x"))
            assert kinds_of(only(incidents)) == ["opened", "findings", "findings", "resolved"]
        async with desk.running() as incidents:
            assert only(incidents).found_count == 2

    run(life)


def test_a_case_of_a_drill_takes_no_findings(desk):
    async def life():
        async with desk.running() as incidents:
            drill = structs.replace(OPENED, drill="friday", scope=SCOPE, rule="protected_value")
            name = (await desk.write(incidents, None, drill)).case
            await desk.finds(SCOPE)
            await incidents.look()
            assert [case.found_count for case in incidents.open_cases() if case.id != name] == [1]
            assert (await incidents.case(name)).number == 1

    run(life)


# Leaks of other hosts, and the trail of the switches


def leak(seq, slot="h1/w0", exchange=None, at=1_800_000_000.0, scope=SCOPE, **more):
    return Entry(
        state="shut", scope=Scope.parse(scope), reason="leak", cause="finding", at=at, by=AUTOMATIC, slot=slot, seq=seq,
        found=scope, exchange=exchange or f"x{seq}", **more,
    )  # fmt: skip


def test_what_another_host_reports_is_taken_once(desk):
    async def life():
        async with desk.running(host="h0") as incidents:
            for _ in range(3):
                incidents.leak("h1/w0", 7, SCOPE, "x7")
                incidents.leak("h0/w0", 3, SCOPE, "x3")  # of this host: its journal tells
                incidents.leak("w0", 3, SCOPE, "x3")
                await incidents.look()
            incidents.leak("h1/w0", 2, SCOPE, "y2")  # the slot holds another journal now
            await incidents.look()
            assert [(one.slot, one.seq, one.rule) for one in only(incidents).found] == [
                ("h1/w0", 7, "leak"),
                ("h1/w0", 2, "leak"),
            ]
        async with desk.running(trail=[leak(7), leak(2, exchange="y2"), leak(8)]) as incidents:
            assert [one.seq for one in only(incidents).found] == [7, 2, 8]
        async with desk.running(trail=[leak(7), leak(2, exchange="y2"), leak(8)]) as incidents:
            assert only(incidents).found_count == 3

    run(life)


def test_shuts_that_no_case_knows_of_open_one_when_control_begins(desk):
    trail = [
        leak(1),
        leak(2, scope="eu/berg/faq/m1"),
        leak(5, drill="friday", scope="eu/berg/search/m1"),
        structs.replace(leak(6, scope="eu/berg/search/m1"), cause="person"),
        structs.replace(leak(9, scope="eu/berg/search/m1"), slot=None, seq=None),
        structs.replace(leak(9, scope="eu/berg/search/m1"), state="open"),
    ]

    async def life():
        async with desk.running(trail=trail) as incidents:
            assert sorted(case.opened.scope for case in incidents.open_cases()) == [SCOPE, "eu/berg/faq/m1"]
        async with desk.running(trail=trail) as incidents:
            assert sorted(case.number for case in incidents.open_cases()) == [2, 2]

    run(life)


def test_a_leak_of_this_host_in_the_trail_is_the_one_of_its_journal(desk):
    async def life():
        await desk.finds(SCOPE)
        (record,) = [s.leaf for s in read(desk.evidence.slot) if s.leaf.kind == "finding"]
        trail = [leak(record.seq, slot="w0", exchange=record.exchange)]
        async with desk.running(trail=trail) as incidents:
            assert only(incidents).found_count == 1
        async with desk.running(trail=trail) as incidents:
            assert only(incidents).found_count == 1

    run(life)


def test_a_lost_store_meets_leaks_that_shut_again(desk):
    async def life():
        async with desk.running(begin=False) as incidents:
            desk.store.fail_at, desk.store.dies = 1, True
            with pytest.raises(OSError, match="refuses"):
                await incidents.begin([leak(1)])
            await desk.finds("eu/berg/faq/m1")
            incidents.leak("h2/w0", 4, "eu/berg/search/m7", "x4")
            await incidents.look()
            with pytest.raises(StateUnavailable):
                await desk.write(incidents, None, OPENED)
            desk.store.fail_at = None
            await incidents.begin([leak(1)])
            scopes = [case.opened.scope for case in incidents.open_cases()]
            assert sorted(scopes) == [SCOPE, "eu/berg/faq/m1", "eu/berg/search/m7"]

    run(life)


# People


def test_a_person_opens_a_case_and_writes_into_it(desk):
    async def life():
        async with desk.running() as incidents:
            signed = desk.signed(None, OPENED, "cem")
            entry = await incidents.write(signed, OPENED)
            assert (entry.case, entry.number, entry.by, entry.signed) == (case_of(signed.act), 1, "cem", signed)
            desk.now += 1
            await desk.write(incidents, entry.case, kinds.Acknowledged(), "ana2")
            await desk.write(incidents, entry.case, AWARE, "ben")
            case = only(incidents)
            assert (case.state, case.acknowledged_by, case.moments["aware"]) == ("in_progress", "ana2", AWARE.at)
            assert (await incidents.case(case.id, case.opened_at)).state == "new"
            assert await refusal(incidents.case(case.id, case.opened_at - 1)) == "unknown_case"
            assert await refusal(incidents.case("eu-nowhere")) == "unknown_case"

    run(life)


CHANGES = [
    ("other_plan", {"plan": "cd" * 32}),
    ("wrong_region", {"region": "us"}),
    ("expired", {"made_at": 1_800_000_000 - LIFETIME - 1}),
    ("from_the_future", {"made_at": 1_800_000_000 + SKEW + 1}),
    ("bad_act", {"act": "see_incident"}),
    ("unknown_person", {"by": "zoe"}),
]


@pytest.mark.parametrize(("code", "changes"), CHANGES)
def test_an_act_that_is_not_in_order_writes_nothing(desk, code, changes):
    async def life():
        async with desk.running() as incidents:
            await desk.write(incidents, None, OPENED)
            case = only(incidents)
            desk.people.keys["zoe"] = desk.people.keys["ana"]
            assert await refusal(desk.write(incidents, case.id, NOTE, **changes)) == code
            assert only(incidents).number == 1

    run(life)


def test_what_was_signed_is_what_is_written(desk):
    async def life():
        async with desk.running() as incidents:
            case = await incidents.case((await desk.write(incidents, None, OPENED)).case)
            signed = desk.signed(case, NOTE)
            assert await refusal(incidents.write(signed, kinds.Noted(text="I am not"))) == "bad_payload"
            nonce = secrets.token_hex(16)
            args = {"incident": case.id, "entry": "tasked", "after": "1", "payload": payload_digest(nonce, NOTE)}
            other = desk.signed(case, NOTE, args=args, nonce=nonce)
            assert await refusal(incidents.write(other, NOTE)) == "bad_act"
            forged = structs.replace(signed, signatures=desk.signed(case, NOTE, "ben").signatures)
            assert await refusal(incidents.write(forged, NOTE)) == "not_the_maker"
            written = await incidents.write(signed, NOTE)
            assert written.number == 2
            assert await refusal(incidents.write(signed, NOTE)) == "nonce_spent"
        async with desk.running() as incidents:
            assert await refusal(incidents.write(signed, NOTE)) == "nonce_spent"
        refused = [s.leaf.facts for s in read(desk.evidence.journals / "control") if s.leaf.kind == "request"]
        assert [facts["code"] for facts in refused] == [
            "bad_payload",
            "bad_act",
            "not_the_maker",
            "nonce_spent",
            "nonce_spent",
        ]

    run(life)


def test_deny_by_default(desk):
    async def life():
        async with desk.running() as incidents:
            case = await incidents.case((await desk.write(incidents, None, OPENED)).case)
            for payload in (
                kinds.Sealed(slot="w0", seq=1, sha256="ab" * 32, bytes=1, items={}),
                kinds.ClocksSet(clocks=()),
            ):
                assert await refusal(desk.write(incidents, case.id, payload, "ben")) == "role_missing"
            assert await refusal(desk.write(incidents, case.id, kinds.Closed(because="x"), "cem")) == "role_missing"
            assert await refusal(desk.write(incidents, case.id, AWARE, "cem")) == "role_missing"
            assert await refusal(incidents.add(case.id, AWARE, "hook:jira")) == "not_signed"
            await incidents.add(case.id, structs.replace(AWARE, event="detected"), "hook:jira")
            assert await refusal(incidents.add(case.id, kinds.Closed(because="x"))) == "not_signed"
            merged = kinds.MergedInto(case="x", because="x")
            assert await refusal(incidents.add(case.id, merged)) == "not_signed"
            bad = structs.replace(OPENED, cause="hook", system="jira")
            assert await refusal(desk.write(incidents, None, bad)) == "bad_payload"
            assert await refusal(desk.write(incidents, None, structs.replace(OPENED, scope="us/x"))) == "other_region"
            later = structs.replace(OPENED, detected=desk.micro() + 600_000_000)
            assert await refusal(desk.write(incidents, None, later)) == "in_the_future"

    run(life)


def test_who_may_not_see_a_case_writes_nothing_into_it(desk):
    async def life():
        async with desk.running() as incidents:
            case = await incidents.case((await desk.write(incidents, None, OPENED)).case)
            await desk.write(incidents, case.id, kinds.Restricted(people=("ana2",)))
            assert await refusal(desk.write(incidents, case.id, NOTE, "cem")) == "may_not_see"
            await desk.write(incidents, case.id, NOTE, "ana2")

    run(life)


def test_who_decides_has_seen_what_others_wrote(desk):
    async def life():
        async with desk.running() as incidents:
            case = await incidents.case((await desk.write(incidents, None, OPENED)).case)
            await desk.write(incidents, case.id, NOTE, "cem")
            assert await refusal(desk.write(incidents, case.id, AWARE, after=1)) == "case_moved"
            await desk.write(incidents, case.id, NOTE, "cem", after=1)
            await desk.write(incidents, case.id, AWARE, after=3)
            assert await refusal(desk.write(incidents, case.id, NOTE, after=9)) == "bad_act"

    run(life)


def test_many_write_at_once_and_every_entry_is_there(desk):
    async def life():
        async with desk.running() as incidents:
            name = (await desk.write(incidents, None, OPENED)).case
            await desk.finds(*[SCOPE] * 20)
            notes = [
                desk.write(incidents, name, kinds.Noted(text=str(n)), by)
                for n, by in zip(range(12), itertools.cycle(("ana", "ben", "cem")))
            ]
            await asyncio.gather(
                *notes,
                incidents.look(),
                *(incidents.add(name, kinds.Linked(system="jira", ref=str(n))) for n in range(5)),
            )
            case = await incidents.case(name)
            assert [e.number for e in case.entries] == list(range(1, 19))
            assert {e.payload.text for e in case.entries if isinstance(e.payload, kinds.Noted)} == {
                str(n) for n in range(12)
            }
            assert case == fold(case.entries)

    run(life)


# Hooks


def test_a_repeated_webhook_finds_the_case_it_opened(desk):
    payload = kinds.Opened(cause="hook", title="From the pager", scope="eu", detected=1, system="pager", ref="P-1")
    found = [FoundOne(slot="h9/w0", seq=n, at=5, rule="leak", verdict="shut", scope=SCOPE) for n in range(60)]

    async def life():
        async with desk.running() as incidents:
            case = await incidents.open_for("hook:pager", payload, b"pager P-1", found)
            assert (case.found_count, case.number, case.opened_by) == (60, 3, "hook:pager")
            await desk.write(incidents, case.id, kinds.Closed(because="x"))
            desk.now += 2 * 86400
        async with desk.running() as incidents:
            again = await incidents.open_for("hook:pager", payload, b"pager P-1")
            assert (again.id, again.state) == (case.id, "closed")
            other = await incidents.open_for("hook:pager", payload, b"pager P-2")
            assert other.id != case.id

    run(life)


# Cases that hang together


async def two(desk, incidents):
    await desk.finds(SCOPE, "eu/berg/faq/m1")
    await incidents.look()
    return incidents.open_cases()


def test_merging_is_two_entries_and_one_owner_of_the_clocks(desk):
    async def life():
        async with desk.running() as incidents:
            one, other = await two(desk, incidents)
            await desk.write(incidents, one.id, AWARE)
            await desk.write(incidents, other.id, structs.replace(AWARE, at=AWARE.at + 5))
            await desk.write(incidents, one.id, kinds.MergedInto(case=other.id, because="the same"))
            into = only(incidents)
            assert (into.took_in, into.moments["aware"], into.found_count) == ((one.id,), AWARE.at, 2)
            gone = await incidents.case(one.id)
            assert (gone.state, gone.clocks_at, incidents.clocks(gone, desk.micro())) == ("merged", other.id, ())
            for payload in (NOTE, kinds.Reopened(because="x")):
                assert await refusal(desk.write(incidents, one.id, payload)) in ("case_merged", "not_ended")
            back = kinds.MergedInto(case=one.id, because="x")
            assert await refusal(desk.write(incidents, other.id, back)) == "case_merged"
            itself = kinds.MergedInto(case=other.id, because="x")
            assert await refusal(desk.write(incidents, other.id, itself)) == "same_case"
            await desk.finds(SCOPE)
            await incidents.look()
            assert only(incidents).found_count == 3  # what belonged to the one belongs to the other now

    run(life)


def test_what_was_decided_goes_along_and_is_to_be_said_again(desk):
    async def life():
        async with desk.running() as incidents:
            one, other = await two(desk, incidents)
            spared = kinds.Decided(outcome="not_notified", because="risk is unlikely")
            number = (await desk.write(incidents, one.id, spared, "ben")).number
            await desk.write(incidents, one.id, kinds.MergedInto(case=other.id, because="the same"))
            [told] = [e.payload for e in only(incidents).entries if isinstance(e.payload, kinds.TookIn)]
            [before] = told.before
            assert (before.case, before.number, before.outcome) == (one.id, number, "not_notified")
            assert only(incidents).decided is None

    run(life)


def test_nothing_has_happened_after_it_was_said(desk):
    async def life():
        async with desk.running() as incidents:
            case = (await two(desk, incidents))[0]
            ahead = structs.replace(AWARE, at=desk.micro() + 2_000_000)
            assert await refusal(desk.write(incidents, case.id, ahead)) == "in_the_future"
            signed = desk.signed(case, ahead)
            assert signed.act.made_at <= desk.now
            await desk.write(incidents, case.id, structs.replace(AWARE, at=desk.micro()))

    run(life)


def test_splitting_begins_a_case_of_some_of_the_findings(desk):
    async def life():
        async with desk.running() as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            await desk.finds("eu/alpen/support/m9")
            await incidents.look()
            case = only(incidents)
            await desk.write(incidents, case.id, AWARE)
            await desk.write(incidents, case.id, kinds.Restricted(people=("ana2",)))
            nonce = secrets.token_hex(16)
            draft = kinds.SplitOff(case="eu-x", because="another cause", entries=(3,), clocks="here")
            assert await refusal(desk.write(incidents, case.id, draft, nonce=nonce)) == "wrong_case"
            new = case_of(desk.signed(case, draft, nonce=nonce).act)
            await desk.write(incidents, case.id, structs.replace(draft, case=new), nonce=nonce)
            left, split = await incidents.case(case.id), await incidents.case(new)
            assert (left.found_count, left.split_off, left.has_clocks) == (1, (new,), True)
            assert (split.found_count, split.split_from, split.clocks_at) == (1, case.id, case.id)
            assert split.opened.scope == "eu/alpen/support/m9"
            assert split.moments == {"aware": AWARE.at, "detected": split.found[0].at}
            assert split.restricted.people == ("ana2",)

    run(life)


# Clocks


def clock(case, now):
    due = case.moments.get("aware", 0) + 72 * 3600 * 1_000_000 if "aware" in case.moments else None
    return (
        Clock(
            id="eu.gdpr.33.1", title="", rule_version="1", basis="law", source="", recipients=(), start_event="aware",
            start_at=case.moments.get("aware"), length="72h", zone="UTC", due=due,
            cautious=case.moments["detected"] + 72 * 3600 * 1_000_000, applies="yes",
            state="not_started" if due is None else "met" if case.submitted else "running",
        ),
    )  # fmt: skip


def test_clocks_that_move_are_written_and_closing_stops_none(desk):
    desk.clocks = clock

    async def life():
        async with desk.running() as incidents:
            case = (await two(desk, incidents))[0]
            assert case.clocks_set is None  # the first minute starts them
            await desk.write(incidents, case.id, AWARE)
            case = await incidents.case(case.id)
            assert case.clocks_set.clocks[0].due == AWARE.at + 72 * 3600 * 1_000_000
            assert kinds_of(case)[-2:] == ["moment_set", "clocks_set"]
            moved = encode_payload(structs.replace(AWARE, at=AWARE.at - 9)).decode()
            await desk.write(incidents, case.id, kinds.Correction(of=3, instead=moved, because="typo"))
            dues = [
                e.payload.clocks[0].due
                for e in (await incidents.case(case.id)).entries
                if isinstance(e.payload, kinds.ClocksSet)
            ]
            assert dues[0] - dues[1] == 9
            assert open_clocks(await incidents.case(case.id), incidents.clocks(await incidents.case(case.id), 1))
            assert await refusal(desk.write(incidents, case.id, kinds.Closed(because="x"))) == "clock_running"
            done = kinds.Submitted(clock="eu.gdpr.33.1", at=AWARE.at + 1, to="LfDI")
            await desk.write(incidents, case.id, done, "ben")
            await desk.write(incidents, case.id, kinds.Closed(because="x"))

    run(life)


def test_clocks_that_cannot_be_reckoned_keep_no_entry_from_being_written(desk):
    def broken(case, now):
        raise RuntimeError("no law")

    desk.clocks = broken

    async def life():
        async with desk.running() as incidents:
            case = (await two(desk, incidents))[0]
            assert (await desk.write(incidents, case.id, AWARE)).number == 3
            assert incidents.counts["clocks_failed"] == 1

    run(life)


# Evidence, messages, listeners


def test_every_entry_is_in_the_evidence_with_what_it_says_sealed(desk):
    async def life():
        async with desk.running() as incidents:
            case = (await two(desk, incidents))[0]
            await desk.write(incidents, case.id, NOTE)
        records = [s for s in read(desk.evidence.journals / "control") if s.leaf.kind == "incident"]
        assert sorted((r.leaf.facts["case"], r.leaf.facts["number"]) for r in records) == sorted(
            (name, n) for name, entries in desk.store.kept["entries"].items() for n in range(1, len(entries) + 1)
        )
        opener = BodyOpener(desk.evidence.bodies, desk.evidence.subjects, desk.evidence.epochs)
        for record in records:
            entry = decode_entry(opener.open(record.leaf))
            assert (entry.case, entry.number) == (record.leaf.facts["case"], record.leaf.facts["number"])
        assert records[-1].leaf.facts["by"] == "ana"
        assert json.loads(records[-1].leaf.facts["content"].partition("\n")[2])["by"] == "ana"
        assert "I am at it" not in str([r.leaf.facts for r in records])

    run(life)


def test_an_evidence_that_refuses_is_caught_up_with(desk):
    async def life():
        async with desk.running(journal_fails_at=2) as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            assert (await desk.write(incidents, only(incidents).id, NOTE)).number == 3
            assert incidents.counts["evidence_failed"] >= 1
        async with desk.running():
            pass
        assert [facts["number"] for facts in desk.records()] == [1, 2, 3]

    run(life)


def test_messages_are_queued_with_their_entry_and_nobody_who_listens_can_break_it(desk):
    def tell(case, entry):
        if entry.number == 2:
            raise RuntimeError("a mistake")
        return [Message(f"{entry.case}/{entry.number}", "jira", b"{}")]

    def listen(case, entry):
        raise RuntimeError("a mistake")

    async def life():
        async with desk.running(tell=tell) as incidents:
            incidents.listen(listen)
            await desk.finds(SCOPE)
            await incidents.look()
            await desk.write(incidents, only(incidents).id, NOTE)
            assert [m.id.rpartition("/")[2] for m in desk.store.kept["messages"]] == ["1", "3"]
            assert (incidents.counts["message_failed"], incidents.counts["listener_failed"]) == (1, 3)

    run(life)


# Crashes


async def play(desk, store=None, journal_fails_at=None):
    """What happens to a region in a few minutes; whatever fails is tried again by the next life. What was confirmed."""
    confirmed = []
    async with desk.running(begin=False, store=store, journal_fails_at=journal_fails_at) as incidents:
        try:
            await incidents.begin([leak(1, scope="eu/berg/search/m3")])
            await incidents.look()
            for case in incidents.open_cases():
                for n in range(2):
                    text = f"{case.id} {n}"
                    if any(getattr(e.payload, "text", "") == text for e in case.entries):
                        continue
                    confirmed.append(await desk.write(incidents, case.id, kinds.Noted(text=text)))
            incidents.leak("h1/w0", 2, "eu/berg/search/m3", "x2")
            await incidents.look()
            if len(cases := incidents.open_cases()) == 3:
                into = kinds.MergedInto(case=cases[1].id, because="one cause")
                confirmed.append(await desk.write(incidents, cases[0].id, into))
        except (OSError, FiredoorError):
            pass
    return confirmed


def whole(desk, confirmed):
    """Nothing is lost, nothing is there twice."""
    cases = {name: fold([decode_entry(e) for e in entries]) for name, entries in desk.store.kept["entries"].items()}
    assert len(cases) == 3
    found = [
        (one.slot, one.seq)
        for c in cases.values()
        for e in c.entries
        if isinstance(e.payload, kinds.Findings)
        for one in e.payload.found
    ]
    assert len(found) == len(set(found)) == 5
    for case in cases.values():
        texts = [e.payload.text for e in case.entries if isinstance(e.payload, kinds.Noted)]
        assert sorted(texts) == [f"{case.id} {n}" for n in range(2)]
    assert all(entry in cases[entry.case].entries for entry in confirmed)
    assert sorted(c.state for c in cases.values()) == ["in_progress", "in_progress", "merged"]
    took = [c for c in cases.values() if c.took_in]
    assert [c.took_in for c in took] == [(next(c.id for c in cases.values() if c.state == "merged"),)]
    on_record = {}
    for facts in desk.records():
        on_record.setdefault((facts["case"], facts["number"]), set()).add(facts["entry_sha256"])
    assert on_record.keys() == {(c.id, n) for c in cases.values() for n in range(1, c.number + 1)}
    assert all(len(digests) == 1 for digests in on_record.values())


async def survives(root, how, call):
    """Whether the store was asked `call` times; it failed at the last of them, and nothing was lost."""
    desk = Desk(root / f"{how} {call}")
    await desk.finds(SCOPE, "eu/berg/faq/m1", SCOPE)
    store = MemoryStore()
    store.fail_at, store.done, store.dies = call, "after" in how, "dies" in how
    confirmed = await play(desk, store)
    for _ in range(2):
        confirmed += await play(desk)
    whole(desk, confirmed)
    return store.calls >= call


HOWS = ["before", "after", "dies before", "dies after"]
CALLS = 30
"""Calls of the store in one life, at least."""


@pytest.mark.parametrize("how", HOWS)
def test_a_store_that_fails_at_some_call_loses_nothing_and_doubles_nothing(tmp_path, how):
    async def life():
        for call in range(1 + HOWS.index(how), CALLS, 2 * len(HOWS)):
            assert await survives(tmp_path, how, call)

    run(life)


@pytest.mark.torture
@pytest.mark.parametrize("how", HOWS)
def test_a_store_that_fails_at_any_call_loses_nothing_and_doubles_nothing(tmp_path, how):
    async def life():
        calls = itertools.count(1)
        while await survives(tmp_path, how, call := next(calls)):
            pass
        assert call > CALLS

    run(life)


def test_a_journal_that_fails_at_any_record_loses_nothing(tmp_path):
    async def life():
        for record in (1, 2, 7):
            desk = Desk(tmp_path / str(record))
            await desk.finds(SCOPE, "eu/berg/faq/m1", SCOPE)
            confirmed = await play(desk, journal_fails_at=record)
            confirmed += await play(desk)
            whole(desk, confirmed)

    run(life)


def test_the_same_on_the_real_store(desk, tmp_path):
    async def life():
        for _ in range(2):
            with opened_store(tmp_path / "control.sqlite") as store:
                async with desk.running(store=store) as incidents:
                    await desk.finds(SCOPE)
                    await incidents.look()
                    case = only(incidents)
                    await desk.write(incidents, case.id, NOTE)
                    assert case.id in {c.id for c in await incidents.listing()}
        assert [kinds.kind_of(e.payload) for e in case.entries] == ["opened", "findings", "noted", "findings"]

    run(life)
