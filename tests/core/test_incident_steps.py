"""Which step of the first minute is next: asked of any case, and of cases in every state that a crash may leave."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.incident import affected
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.affected import Affected, AskedFor, Range
from firedoor.core.incident.case import fold
from firedoor.core.incident.steps import (
    STEPS,
    Region,
    behind,
    is_leak,
    left,
    next_step,
    same_count,
    to_contain,
    to_count,
    unsettled,
)

M = 1_000_000
AT = 1_800_000_000 * M
HERE = Region("eu", 3600)
SUPPORT, SEARCH = "eu/alpen/support/m0", "eu/alpen/search/m0"
NONE = Range(0, 0)
DONE = {
    "contain": kinds.Contained(scope=SUPPORT, version=7, at=AT + M),
    "seal": kinds.Sealed(slot="control", seq=4, sha256="ab" * 32, bytes=9, items={}),
    "purge": kinds.Purged(seal="ab" * 32, cache_epoch=3),
    "clocks": kinds.ClocksSet(clocks=()),
}


def found(seq=5, *, verdict="shut", scope=SUPPORT, slot="w0", at=AT, exchange=None):
    return kinds.FoundOne(
        slot=slot, seq=seq, at=at, rule="honeytoken", verdict=verdict, scope=scope, exchange=exchange or f"fx-{seq}"
    )


def opened(**more):
    values = {"cause": "finding", "title": "A leak", "scope": SUPPORT, "detected": AT, "purge": ("cache",)}
    return kinds.Opened(**values | more)


def case(*payloads):
    return fold(
        kinds.Entry(case="eu-1", number=n, at=AT + n, by="firedoor", payload=p) for n, p in enumerate(payloads, 1)
    )


def count_of(asked, **more):
    values = {
        "asked": asked, "as_of": AT, "took": 0.1, "exchanges": Range(2, 3), "exposed": NONE, "confirmed": NONE,
        "subjects": NONE, "exposed_subjects": NONE, "jurisdictions": {}, "categories": {}, "subjects_by_category": {},
        "recipients": {}, "findings": {}, "unknown": {}, "read_up_to": {"w0": 5},
    }  # fmt: skip
    return Affected(**values | more)


def counted(*payloads):
    """The entry that a count makes of a case with these entries."""
    return kinds.Counted(affected=affected.encode(count_of(to_count(case(*payloads), HERE))))


LEAK = (opened(), kinds.Findings(found=(found(),)))


def test_a_new_leak_is_contained_sealed_purged_clocked_and_counted_in_this_order():
    entries, seen = list(LEAK), []
    while (step := next_step(case(*entries), HERE)) is not None:
        seen.append(step)
        entries.append(DONE.get(step) or counted(*entries))
    assert tuple(seen) == STEPS
    assert left(case(*entries), HERE) == ()


@given(st.permutations(STEPS), st.sets(st.sampled_from(STEPS)))
def test_whatever_was_done_before_a_crash_the_rest_is_left_and_purging_waits_for_the_seal(order, resting):
    entries = list(LEAK)
    for step in order:
        now = case(*entries)
        done = {s for s in STEPS if s not in left(now, HERE)}
        following = next_step(now, HERE, resting)
        assert following not in done | resting
        assert following != "purge" or "seal" in done
        if following is None:
            assert set(left(now, HERE)) <= resting | {"purge"}
        entries.append(DONE.get(step) or counted(*entries))
    # A count before the case was contained counted up to no end, a seal did not cover it: they are done again.
    again = {"count"} | ({"purge"} if order.index("purge") < order.index("seal") else set())
    again |= {"seal", "purge"} if order.index("seal") < order.index("contain") else set()
    assert set(left(case(*entries), HERE)) <= again


@pytest.mark.parametrize("resting", [*itertools.combinations(STEPS, 2), STEPS])
def test_a_step_that_failed_keeps_only_those_waiting_that_need_it(resting):
    step = next_step(case(*LEAK), HERE, resting)
    waiting = [s for s in STEPS if s not in resting and s != "purge"]
    assert step == (waiting[0] if waiting else None)


def test_a_case_that_ended_needs_nothing():
    merged = case(*LEAK, kinds.MergedInto(case="eu-2", because="the same"))
    closed = case(*LEAK, kinds.Closed(because="nothing was there"))
    assert left(merged, HERE) == left(closed, HERE) == ()
    assert "seal" in left(case(*LEAK, kinds.Closed(because="x"), kinds.Reopened(because="there was")), HERE)


def test_a_case_that_shuts_nothing_is_sealed_clocked_and_counted():
    quiet = (opened(shut=False, cause="person", purge=()), kinds.Findings(found=(found(verdict="record"),)))
    assert to_contain(case(*quiet), HERE) == ()
    told = (*quiet, kinds.Contained(asked=False))
    assert left(case(*told), HERE) == ("seal", "purge", "clocks", "count")


def test_a_split_case_has_its_own_scope_to_contain():
    split = case(
        opened(scope=SEARCH), kinds.SplitFrom(case="eu-0", because="another"), kinds.Findings(found=(found(scope=SEARCH),))
    )  # fmt: skip
    assert to_contain(split, HERE) == (SEARCH,)
    there = case(*LEAK, DONE["contain"])
    assert to_contain(there, HERE) == ()


@pytest.mark.parametrize(
    ("joined", "asked"),
    [
        (found(6, scope=SEARCH), (SEARCH,)),  # a leak elsewhere is shut for itself
        (found(6, scope=SEARCH, verdict="record"), ()),  # what was only seen shuts nothing
        (found(6, scope=SUPPORT), ()),
        (found(6, scope="eu/alpen/support/m1"), ("eu/alpen/support/m1",)),
        (found(6, scope="no scope at all"), ("no scope at all",)),  # in doubt the region, as for the switches
    ],
)
def test_a_leak_that_joins_elsewhere_is_contained_there(joined, asked):
    now = case(*LEAK, DONE["contain"], kinds.Findings(found=(joined,)))
    assert to_contain(now, HERE) == asked
    assert ("contain" in left(now, HERE)) == bool(asked)
    assert is_leak(now, SUPPORT)


def test_a_wider_switch_contains_all_that_lies_in_it():
    shop = kinds.Contained(scope="eu/alpen/*/*", version=9, at=AT + 2 * M)
    now = case(*LEAK, kinds.Findings(found=(found(6, scope=SEARCH),)), shop)
    assert to_contain(now, HERE) == ()
    assert to_count(now, HERE).until == AT + 2 * M


@given(st.lists(st.tuples(st.sampled_from((SUPPORT, SEARCH)), st.integers(-50, 50)), min_size=1, max_size=6))
def test_the_window_reaches_from_the_lookback_before_the_first_finding_to_the_last_switch(places):
    items = tuple(found(n, scope=scope, at=AT + at * M) for n, (scope, at) in enumerate(places))
    now = case(opened(), kinds.Findings(found=items))
    asked = to_count(now, HERE)
    assert asked.since == min(AT, *(one.at for one in items)) - HERE.lookback * M
    assert asked.until is None
    assert set(asked.scopes) == {SUPPORT, *(scope for scope, _ in places)}
    assert set(asked.exchanges) == {one.exchange for one in items}
    shut = [kinds.Contained(scope=s, version=n, at=AT + (60 + n) * M) for n, s in enumerate(sorted(asked.scopes), 1)]
    after = to_count(case(opened(), kinds.Findings(found=items), *shut), HERE)
    assert after.until == AT + (60 + len(shut)) * M
    half = to_count(case(opened(), kinds.Findings(found=items), shut[0]), HERE)
    assert (half.until is None) == (len(shut) > 1)


def test_who_knows_when_it_happened_says_so():
    told = [
        kinds.MomentSet(event="occurred_from", at=AT - 90_000 * M, because="the log of the shop"),
        kinds.MomentSet(event="occurred_to", at=AT - 80_000 * M, because="the log of the shop"),
    ]
    asked = to_count(case(*LEAK, DONE["contain"], *told), HERE)
    assert (asked.since, asked.until) == (AT - 90_000 * M, AT - 80_000 * M)


def test_a_count_of_another_question_is_counted_again():
    entries = [*LEAK, *DONE.values()]
    entries.append(counted(*entries))
    assert left(case(*entries), HERE) == ()
    entries.append(kinds.Findings(found=(found(9),)))
    assert left(case(*entries), HERE) == ("count",)


def test_a_count_is_behind_until_the_index_read_what_was_found():
    now = case(opened(), kinds.Findings(found=(found(5), found(8), found(3, slot="h2/w1"))))
    asked = to_count(now, HERE)
    assert behind(now, count_of(asked, read_up_to={}))
    assert behind(now, count_of(asked, read_up_to={"w0": 8, "h2/w1": 2}))
    assert not behind(now, count_of(asked, read_up_to={"w0": 8, "h2/w1": 3}))
    assert not behind(now, count_of(asked, read_up_to={"h1/w0": 8, "h2/w1": 3}))  # hosts share the index
    assert behind(now, count_of(asked, read_up_to={"h1/w0": 8, "h3/w0": 7, "h2/w1": 3}))


def test_a_count_is_unsettled_while_exchanges_have_no_end():
    now = case(*LEAK)
    asked = AskedFor(region="eu", scopes=(), since=0, until=None)
    assert unsettled(now, count_of(asked, unknown={"open_or_unknown": 2}))
    assert not unsettled(now, count_of(asked, unknown={"no_subject": 2}))


def test_the_same_counts_at_another_time_say_the_same():
    asked = AskedFor(region="eu", scopes=(), since=0, until=None)
    one = count_of(asked)
    assert same_count(one, count_of(asked, as_of=AT + 5, took=9.0, read_up_to={"w0": 99}))
    assert not same_count(one, count_of(asked, exchanges=Range(2, 4)))
