"""A case as its entries make it: what follows what, what was known when, and that nothing is ever lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.incident import affected, severity
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import Case, add, case_of, day_of, fold, said
from firedoor.core.incident.checks import check, check_merge, check_seen, open_clocks
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import Entry, FoundOne, encode_payload
from firedoor.core.incident.rights import check_may_write, check_people, may_see, may_write
from firedoor.core.people import Act
from firedoor.core.plan.words import ROLES
from firedoor.errors import ActRefused
from tests.rooms.region import People

PLAN = People().plan()
AT = 1_800_000_000_000_000
SHA = "ab" * 32
SCOPE = "eu/alpen/support/m0"
OPENED = kinds.Opened(cause="finding", title="A leak", scope=SCOPE, detected=AT, rule="protected_value")
SEALED = kinds.Sealed(slot="control", seq=7, sha256=SHA, bytes=10, items={"switches": 1})
COUNT = affected.Affected(
    asked=affected.AskedFor(region="eu", scopes=(SCOPE,), since=0, until=None), as_of=AT, took=0.1,
    **dict.fromkeys(("exchanges", "exposed", "confirmed", "subjects", "exposed_subjects"), affected.Range(1, 2)),
    **{name: {} for name in ("jurisdictions", "categories", "subjects_by_category", "recipients", "findings", "unknown")},
)  # fmt: skip
COUNTED = kinds.Counted(affected=affected.encode(COUNT))


def found(seq=1, at=AT, scope=SCOPE, rule="protected_value", **more):
    return FoundOne(slot="w0", seq=seq, at=at, rule=rule, verdict="shut", scope=scope, exchange=f"x{seq}", **more)


def findings(*seqs, at=AT):
    return kinds.Findings(found=tuple(found(n, at + n) for n in seqs))


def moment(event="aware", at=AT):
    return kinds.MomentSet(event=event, at=at, because="seen in the log")


def corrected(of, instead=None):
    text = None if instead is None else encode_payload(instead).decode()
    return kinds.Correction(of=of, instead=text, because="wrong")


def entry(number, payload, by="firedoor", at=None, case="c"):
    return Entry(case=case, number=number, at=AT + number if at is None else at, by=by, payload=payload)


def case_with(*payloads, by="ana", case="c", opened=OPENED):
    """A case of `opened`, findings, and `payloads` by a person."""
    started = [entry(1, opened, case=case), entry(2, findings(1), case=case)]
    return fold([*started, *(entry(n, p, by, case=case) for n, p in enumerate(payloads, 3))])


def clock(state="running", *, applies="yes", basis="law", due=AT + 10, depends_on=None, name="eu.gdpr.33.1"):
    return Clock(
        id=name, title="", rule_version="1", basis=basis, source="", recipients=(), start_event="aware", start_at=AT,
        length="72h", zone="UTC", due=due, state=state, applies=applies, depends_on=depends_on,
    )  # fmt: skip


def refused(code, call, *args, **more):
    with pytest.raises(ActRefused) as error:
        call(*args, **more)
    assert error.value.code == code


# Folding


def test_a_case_tells_what_its_entries_say():
    case = case_with(
        kinds.Assigned(role="dpo", person="ben"), moment(), kinds.Tasked(text="ask the shop", role="dpo"),
        kinds.TaskEnded(task=5, state="done"), kinds.Decided(outcome="authority", because="risk"),
        kinds.Submitted(clock="x", at=AT, to="LfDI"), kinds.Linked(system="jira", ref="A-1"),
        kinds.Linked(system="jira", ref="A-2"), kinds.HandedOver(leads="there", system="jira", because="they lead"),
    )  # fmt: skip
    assert (case.state, case.number, case.found_count, case.scopes) == ("in_progress", 11, 1, (SCOPE,))
    assert case.assigned == {"dpo": "ben"}
    assert case.moments == {"detected": AT, "aware": AT}
    assert [(t.number, t.state, t.ended_at) for t in case.tasks] == [(5, "done", AT + 6)]
    assert (case.decided.outcome, case.decided_at) == ("authority", AT + 7)
    assert [link.ref for link in case.links] == ["A-2"]
    assert case.leads == "jira"
    assert case.first_found == case.last_found == AT + 1


def test_only_a_persons_work_takes_a_case_in_hand():
    case = fold([entry(1, OPENED), entry(2, SEALED), entry(3, kinds.Linked(system="jira", ref="1"), by="hook:jira")])
    assert case.state == "new"
    assert add(case, entry(4, kinds.Noted(text="looking"), by="ana")).state == "in_progress"


def test_detection_is_the_earliest_finding_until_a_person_says_when():
    late = entry(3, findings(1, at=AT - 50))
    case = add(case_with(), late)
    assert case.moments["detected"] == AT - 49
    told = add(case, entry(4, moment("detected", AT - 10), by="ana"))
    assert told.moments["detected"] == AT - 10
    assert add(told, entry(5, findings(1, at=AT - 90))).moments["detected"] == AT - 10


def test_a_correction_counts_from_then_on_and_both_stay_visible():
    case = case_with(moment(at=AT), moment("triaged"))
    corrected_case = add(case, entry(5, corrected(3, moment(at=AT - 7)), by="ana"))
    assert corrected_case.moments["aware"] == AT - 7
    assert fold(corrected_case.entries, at=AT + 4).moments["aware"] == AT
    assert corrected_case.corrected == {3: 5}
    assert corrected_case.entries[2].payload == moment(at=AT)
    assert corrected_case.said(3) == moment(at=AT - 7)
    withdrawn = add(corrected_case, entry(6, corrected(3), by="ana"))
    assert "aware" not in withdrawn.moments
    assert withdrawn.moments["triaged"] == AT


def test_of_two_moments_set_the_newest_counts_and_a_corrected_one_keeps_its_place():
    case = case_with(moment(at=AT + 1), moment(at=AT + 2), corrected(3, moment(at=AT + 9)))
    assert case.moments["aware"] == AT + 2


def test_a_false_alarm_withdrawn_takes_its_findings_away():
    case = add(case_with(), entry(3, findings(2, 3)))
    assert add(case, entry(4, corrected(3), by="ana")).found_count == 1


def test_time_travel_shows_what_was_known():
    case = case_with(moment(), kinds.Resolved(because="done"), kinds.Closed(because="done"))
    states = [fold(case.entries, at=AT + n).state for n in range(1, 6)]
    assert states == ["new", "new", "in_progress", "resolved", "closed"]
    with pytest.raises(ValueError, match="begins"):
        fold(case.entries, at=AT)


def test_a_gap_or_a_strange_entry_is_no_case():
    with pytest.raises(ValueError, match="missing"):
        fold([entry(1, OPENED), entry(3, SEALED)])
    with pytest.raises(ValueError, match="missing"):
        add(case_with(), entry(3, SEALED, case="other"))
    with pytest.raises(ValueError, match="begins"):
        fold([entry(1, SEALED)])


def test_a_count_of_an_older_release_is_counted_again():
    assert case_with(kinds.Counted(affected='{"old": 1}')).counted is None
    assert case_with(COUNTED).counted == COUNT


def test_merged_cases_have_one_owner_of_the_clocks_and_the_earlier_moments():
    case, into = case_with(moment(at=AT + 5), case="a"), case_with(moment(at=AT + 9), moment("triaged"), case="b")
    took = kinds.TookIn(
        case="a", because="same", detected=AT - 3, moments={"aware": AT + 5, "knew": AT}, found=(found(4, AT + 99),),
        more=2,
    )  # fmt: skip
    after = add(into, entry(5, took, case="b"))
    assert after.moments == {"detected": AT - 3, "aware": AT + 5, "knew": AT, "triaged": AT}
    assert (after.found_count, after.last_found, after.took_in, after.has_clocks) == (4, AT + 99, ("a",), True)
    gone = add(case, entry(4, kinds.MergedInto(case="b", because="same"), by="ana", case="a"))
    assert (gone.state, gone.clocks_at, gone.has_clocks) == ("merged", "b", False)


def test_what_was_split_off_is_no_longer_here():
    case = add(add(case_with(), entry(3, findings(2))), entry(4, kinds.Noted(text="two things"), by="ana"))
    after = add(case, entry(5, kinds.SplitOff(case="new", because="x", entries=(3,)), by="ana"))
    assert (after.found_count, after.split_off) == (1, ("new",))
    split = fold(
        [entry(1, OPENED), entry(2, kinds.SplitFrom(case="c", because="x", clocks="there", moments={"aware": 5}))]
    )
    assert (split.split_from, split.clocks_at, split.moments["aware"]) == ("c", "c", 5)
    assert add(split, entry(3, kinds.TookIn(case="z", because="x", detected=AT))).has_clocks


def test_the_id_follows_from_the_act():
    act = Act(region="eu", act="incident", args={}, plan=SHA, by="ana", made_at=AT // 1_000_000, nonce="1" * 32)
    assert case_of(act).startswith(f"eu-{day_of(AT)}-")
    assert day_of(AT) == "20270115"
    assert case_of(act) == kinds.case_id("eu", "20270115", ("1" * 32).encode())


# What may follow what


def test_the_first_entry_opens_and_only_the_first():
    check(None, OPENED)
    refused("unknown_case", check, None, kinds.Noted(text="x"))
    refused("case_begun", check, case_with(), OPENED)


@pytest.mark.parametrize(
    "payload", [kinds.Noted(text="x"), findings(9), moment(), corrected(2), kinds.Closed(because="x"), COUNTED]
)
def test_closed_takes_nothing_but_reopening(payload):
    case = case_with(kinds.Resolved(because="x"), kinds.Closed(because="x"))
    refused("case_closed", check, case, payload)
    check(case, kinds.Restricted(roles=("dpo",)))
    check(case, kinds.Reopened(because="x"))
    again = add(case, entry(5, kinds.Reopened(because="x"), by="ana"))
    assert (again.state, again.closed_at) == ("in_progress", None)
    check(again, kinds.Noted(text="x"))


def test_merged_takes_nothing_and_is_never_reopened():
    case = case_with(kinds.MergedInto(case="d", because="x"))
    refused("case_merged", check, case, kinds.Noted(text="x"))
    refused("not_ended", check, case, kinds.Reopened(because="x"))
    check(case, SEALED)


def test_states_go_their_way():
    refused("not_ended", check, case_with(), kinds.Reopened(because="x"))
    refused("done_before", check, case_with(kinds.Resolved(because="x")), kinds.Resolved(because="x"))


def test_purging_needs_the_seal_of_the_case():
    purge = kinds.Purged(seal=SHA, cache_epoch=2, items={"cache": 1})
    refused("not_sealed", check, case_with(), purge)
    check(case_with(SEALED), purge)
    refused("other_seal", check, case_with(SEALED), structs.replace(purge, seal="cd" * 32))
    refused("other_seal", check, case_with(SEALED), structs.replace(purge, seal=None))
    check(case_with(), kinds.Purged(asked=False))
    refused("done_before", check, case_with(SEALED), SEALED)
    refused("done_before", check, case_with(SEALED, purge), purge)


def test_each_scope_is_contained_once():
    case = case_with(kinds.Contained(scope=SCOPE, version=3, at=AT))
    refused("done_before", check, case, kinds.Contained(scope=SCOPE, version=4, at=AT))
    check(case, kinds.Contained(scope="eu/alpen/*/*", version=4, at=AT))
    check(case, kinds.Contained(scope=SCOPE, version=9, at=AT + 1))  # it leaked again


def test_tasks_and_links_must_be_there():
    refused("no_task", check, case_with(), kinds.TaskEnded(task=2, state="done"))
    case = case_with(kinds.Tasked(text="x"), kinds.TaskEnded(task=3, state="dropped"))
    refused("task_ended", check, case, kinds.TaskEnded(task=3, state="done"))
    handed = kinds.HandedOver(leads="there", system="jira", because="x")
    refused("no_link", check, case_with(), handed)
    check(case_with(kinds.Linked(system="jira", ref="1")), handed)


def test_what_an_entry_says_must_hold():
    refused("in_the_future", check, case_with(), moment(at=AT + 1), now=AT)
    check(case_with(), moment(at=AT), now=AT)
    refused("bad_payload", check, case_with(), kinds.Counted(affected="{}"))
    refused("bad_payload", check, case_with(), kinds.Noted(text=""))
    refused("bad_payload", check, case_with(), kinds.Noted(text="x" * 8001))
    ground = kinds.Decided(outcome="authority_and_people", because="x", ground="unintelligible")
    refused("bad_payload", check, case_with(), ground)
    check(case_with(), structs.replace(ground, outcome="authority"))
    refused("bad_payload", check, case_with(moment("occurred_to", AT)), moment("occurred_from", AT + 1))


@pytest.mark.parametrize(
    ("clocks", "decided", "closes"),
    [
        ([], False, True),
        ([clock()], False, False),
        ([clock()], True, False),
        ([clock("missed")], False, False),
        ([clock("halted")], False, False),
        ([clock("met")], False, True),
        ([clock("met_late"), clock("waived"), clock("not_applicable")], False, True),
        ([clock(applies="no")], False, True),
        ([clock(basis="contract")], False, True),
        ([clock("not_started", applies="likely")], False, False),
        ([clock("not_started", applies="likely")], True, True),
        ([clock("not_started", applies="unknown")], False, True),
        ([clock("not_started", depends_on="eu.nis2.early")], False, True),
    ],
)
def test_closing_stops_no_clock_of_law(clocks, decided, closes):
    case = case_with(*([kinds.Decided(outcome="not_notified", because="no risk")] if decided else []))
    if closes:
        check(case, kinds.Closed(because="x"), clocks=clocks)
    else:
        refused("clock_running", check, case, kinds.Closed(because="x"), clocks=clocks)


def test_a_drill_and_a_case_whose_clocks_are_elsewhere_may_close():
    drill = case_with(opened=structs.replace(OPENED, drill="friday"))
    assert open_clocks(drill, [clock()]) == []
    assert open_clocks(case_with(kinds.SplitFrom(case="d", because="x", clocks="there")), [clock()]) == []


def test_a_score_is_the_one_of_its_inputs():
    quarters = dict.fromkeys(
        ("confidentiality", "integrity", "availability"), severity.Circumstance(quarters=0, why="x")
    )
    flags = dict.fromkeys(("many", "unintelligible"), severity.Flag(holds=False, why="x"))
    inputs = severity.Inputs(
        categories=(severity.Category(base="simple", why="x"),),
        identification=severity.Identification(quarters=3, why="x"), malice=severity.Malice(quarters=2, why="x"),
        **quarters, **flags,
    )  # fmt: skip
    scored = kinds.Scored(inputs=severity.encode(inputs), quarters=severity.score(inputs).quarters, because="x")
    check(case_with(), scored)
    refused("bad_payload", check, case_with(), structs.replace(scored, quarters=scored.quarters + 1))
    refused("bad_payload", check, case_with(), structs.replace(scored, inputs="{}"))


def test_what_is_handed_in_belongs_to_a_clock_and_late_it_gives_reasons():
    done = kinds.Submitted(clock="eu.gdpr.33.1", at=AT + 11, to="LfDI")
    refused("no_clock", check, case_with(), done, clocks=[])
    refused("delay_missing", check, case_with(), done, clocks=[clock()])
    check(case_with(), structs.replace(done, delay="phone line down"), clocks=[clock()])
    check(case_with(), structs.replace(done, at=AT + 10), clocks=[clock()])
    refused(
        "not_halted",
        check,
        case_with(),
        kinds.Waived(clock="eu.gdpr.33.1", state="resumed", because="x"),
        clocks=[clock()],
    )
    there = case_with(kinds.SplitFrom(case="d", because="x", clocks="there"))
    refused("clocks_elsewhere", check, there, done, clocks=[clock()])


def test_what_may_be_corrected():
    case = case_with(SEALED, moment(), kinds.Resolved(because="x"))
    for number in (1, 3):
        refused("fixed_entry", check, case, corrected(number))
    refused("fixed_entry", check, case, corrected(5))
    check(case, corrected(5, kinds.Resolved(because="y")))
    refused("no_entry", check, case, corrected(6))
    refused("other_kind", check, case, corrected(4, kinds.Noted(text="x")))
    refused("bad_payload", check, case, kinds.Correction(of=4, instead="{}", because="x"))
    refused("in_the_future", check, case, corrected(4, moment(at=AT + 9)), now=AT)
    check(case, corrected(2))
    after = add(case, entry(6, corrected(4), by="ana"))
    refused("fixed_entry", check, after, corrected(6))
    check(after, corrected(4, moment()))


def test_splitting_takes_some_findings_and_leaves_some():
    case = add(case_with(), entry(3, findings(2)))
    split = kinds.SplitOff(case="n", because="x", entries=(3,))
    check(case, split)
    refused("nothing_left", check, case, structs.replace(split, entries=(2, 3)))
    refused("no_findings", check, case, structs.replace(split, entries=(1,)))
    refused("no_findings", check, add(case, entry(4, split, by="ana")), structs.replace(split, entries=(3,)))


def test_merging():
    one, other = case_with(case="a"), case_with(case="b")
    check_merge(one, other)
    refused("same_case", check_merge, one, one)
    merged = case_with(kinds.MergedInto(case="a", because="x"), case="b")
    refused("case_merged", check_merge, one, merged)
    closed = case_with(kinds.Closed(because="x"), case="b")
    refused("case_closed", check_merge, one, closed)
    drill = case_with(case="b", opened=structs.replace(OPENED, drill="friday"))
    refused("drill", check_merge, one, drill)
    secret = case_with(kinds.Restricted(people=("ben",)), case="a")
    refused("other_audience", check_merge, secret, other)
    check_merge(secret, case_with(kinds.Restricted(people=("ben",)), case="b"))
    check_merge(one, case_with(kinds.Restricted(people=("ben",)), case="b"))


def test_who_decides_must_have_seen_what_others_wrote():
    case = add(case_with(kinds.Noted(text="x")), entry(4, COUNTED))
    check_seen(case, "noted", 1)
    refused("case_moved", check_seen, case, "decided", 2)
    refused("case_moved", check_seen, case, "decided", 3)
    check_seen(case, "decided", 4)
    leak = findings(3)
    masked = kinds.Findings(found=tuple(structs.replace(one, verdict="mask") for one in leak.found))
    check_seen(add(case, entry(5, masked)), "decided", 4)  # what shoppers can make keeps nobody from deciding
    for telling in (leak, kinds.TookIn(case="eu-1", because="one leak", detected=AT), moment("detected")):
        refused("case_moved", check_seen, add(case, entry(5, telling)), "decided", 4)
        check_seen(add(case, entry(5, telling)), "noted", 4)
    refused("bad_act", check_seen, case, "noted", 5)


# Rights


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("noted", set(ROLES)),
        ("opened", set(ROLES)),
        ("closed", {"incident_commander", "dpo"}),
        ("restricted", {"incident_commander", "dpo"}),
        ("decided", {"dpo"}),
        ("scored", {"dpo"}),
        ("submitted", {"dpo", "legal"}),
        ("sealed", set()),
        ("clocks_set", set()),
        ("no_such_kind", set()),
    ],
)
def test_who_may_write(kind, allowed):
    assert {role for role in ROLES if may_write(kind, [role])} == allowed


def test_moments_of_law_are_for_those_who_answer_for_it():
    assert may_write("moment_set", ["soc_analyst"], "triaged")
    assert not may_write("moment_set", ["soc_analyst"], "aware")
    assert may_write("moment_set", ["legal"], "aware")
    assert not may_write("moment_set", [], "aware")


def test_a_correction_takes_the_right_to_write_what_is_corrected():
    case = case_with(moment(), moment("triaged"), COUNTED)
    check_may_write(case, corrected(3), ["dpo"])
    refused("role_missing", check_may_write, case, corrected(3), ["soc_analyst"])
    check_may_write(case, corrected(4), ["soc_analyst"])
    refused("role_missing", check_may_write, case, corrected(4, moment("aware")), ["soc_analyst"])
    check_may_write(case, corrected(2), ["soc_analyst"])
    refused("role_missing", check_may_write, case, corrected(2), ["legal"])
    refused("role_missing", check_may_write, case, corrected(5), ["soc_analyst"])


def test_who_may_see_a_restricted_case():
    assert may_see(case_with(), None, PLAN)
    secret = case_with(kinds.Restricted(roles=("soc_analyst",)))
    seen = {name for name in (*PLAN.people, None, "nobody") if may_see(secret, name, PLAN)}
    assert seen == {"ana", "ben", "cem"}
    assert may_see(case_with(kinds.Restricted(people=("ana2",))), "ana2", PLAN)
    assert may_see(case_with(kinds.Restricted(people=("ana2",)), kinds.Restricted()), None, PLAN)
    born = case_with(opened=structs.replace(OPENED, restricted=("dpo",)))
    assert not may_see(born, "cem", PLAN)


def test_people_that_are_named_are_in_the_plan():
    check_people(kinds.Assigned(role="dpo", person="ben"), PLAN)
    refused("role_missing", check_people, kinds.Assigned(role="dpo", person="ana"), PLAN)
    refused("unknown_person", check_people, kinds.Restricted(people=("zoe",)), PLAN)
    check_people(kinds.Tasked(text="x", role="dpo"), PLAN)


# Whatever comes

PAYLOADS = st.one_of(
    st.builds(kinds.Noted, text=st.just("x")),
    st.builds(moment, st.sampled_from(["aware", "triaged", "detected"]), st.integers(AT - 9, AT)),
    st.builds(findings, st.integers(1, 99), at=st.integers(AT - 50, AT + 50)),
    st.builds(kinds.Tasked, text=st.just("x")),
    st.builds(kinds.TaskEnded, task=st.integers(1, 12), state=st.just("done")),
    st.builds(kinds.Assigned, role=st.just("dpo"), person=st.sampled_from(["ana", "ben"])),
    st.builds(corrected, st.integers(1, 12), st.one_of(st.none(), st.builds(moment), st.just(kinds.Noted(text="y")))),
    st.sampled_from(
        [
            kinds.Resolved(because="x"), kinds.Closed(because="x"), kinds.Reopened(because="x"), SEALED, COUNTED,
            kinds.Decided(outcome="no_breach", because="x"), kinds.Restricted(roles=("dpo",)), kinds.Restricted(),
            kinds.Purged(seal=SHA), kinds.Linked(system="jira", ref="1"), kinds.MergedInto(case="z", because="x"),
            kinds.TookIn(case="y", because="x", detected=AT - 5, moments={"aware": AT - 5}),
            kinds.SplitOff(case="s", because="x", entries=(2,)), kinds.ClocksSet(clocks=()),
            kinds.Called(role="dpo", person="ben", reason="opened"),
        ]
    ),
)  # fmt: skip


def written(payloads, *, checked):
    """A case of those of `payloads` that may follow (all of them, unless `checked`), entry by entry."""
    case = add(add(None, entry(1, OPENED)), entry(2, findings(1)))
    for by, payload in payloads:
        try:
            if checked:
                check(case, payload)
        except ActRefused:
            continue
        case = add(case, entry(case.number + 1, payload, by))
    return case


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["ana", "firedoor"]), PAYLOADS), max_size=14), st.booleans())
def test_folding_at_once_is_folding_one_by_one(payloads, checked):
    case = written(payloads, checked=checked)
    assert fold(case.entries) == case
    assert [e.number for e in case.entries] == list(range(1, case.number + 1))
    for known in case.entries:
        then = fold(case.entries, at=known.at)
        assert then.entries == case.entries[: known.number]
        assert add(fold(case.entries[: known.number - 1]) if known.number > 1 else None, known) == then


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["ana", "firedoor"]), PAYLOADS), max_size=14))
def test_what_may_follow_keeps_a_case_in_order(payloads):
    case = written(payloads, checked=True)
    says = said(case.entries)
    assert case.corrected.keys() <= says.keys()
    assert all(case.entries[of - 1].payload is not None for of in case.corrected)
    assert case.purged is None or (case.sealed is not None and case.purged.seal == case.sealed.sha256)
    assert sum(isinstance(e.payload, kinds.Sealed) for e in case.entries) <= 1
    merged = [e.number for e in case.entries if isinstance(e.payload, kinds.MergedInto)]
    assert bool(merged) is (case.state == "merged") is not case.has_clocks
    after = {type(e.payload) for e in case.entries if merged and e.number > merged[0]}
    assert after <= {kinds.Restricted, kinds.Sealed, kinds.Purged, kinds.Linked}
    assert isinstance(case, Case)
