"""Seals of a case that goes on: each containing has one, floods have few, and nothing is purged under one too old."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs

from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import fold
from firedoor.core.incident.checks import check
from firedoor.core.incident.entries import decode_entry, encode_entry
from firedoor.core.incident.rounds import (
    SEALS,
    WINDOW,
    contained,
    needs_purge,
    needs_seal,
    rounds,
    seal_wait,
    unsealed,
    valid_seal,
    wrong_purges,
)
from firedoor.core.incident.steps import Region, left, next_step, to_contain, was_told
from firedoor.errors import ActRefused

M = 1_000_000
AT = 1_800_000_000 * M
HERE = Region("eu", 3600)
SUPPORT, SEARCH = "eu/alpen/support/m0", "eu/alpen/search/m0"
OPENED = kinds.Opened(cause="finding", title="A leak", scope=SUPPORT, detected=AT, purge=("cache",))


def shut(version, scope=SUPPORT, at=AT, **more):
    return kinds.Contained(scope=scope, version=version, at=at + version * M, **more)


def sealed(number=UNSET, covers=UNSET, sha=None):
    digest = f"{sha if sha is not None else number:064x}"
    return kinds.Sealed(slot="control", seq=7, sha256=digest, bytes=1, items={}, round=number, covers=covers)


def purged(number, after=UNSET):
    return kinds.Purged(seal=f"{number:064x}", cache_epoch=number, after=after)


def case(*payloads):
    return fold(
        kinds.Entry(case="eu-1", number=n, at=AT + n * M, by="firedoor", payload=p)
        for n, p in enumerate((OPENED, *payloads), 1)
    )


def refused(code, *arguments):
    with pytest.raises(ActRefused) as error:
        check(*arguments)
    assert error.value.code == code


def test_what_is_contained_later_asks_for_a_seal_and_a_purge_of_its_own():
    now = case(shut(3), sealed(1, 2), purged(1, 3))
    assert (needs_seal(now), needs_purge(now)) == (False, False)
    now = case(shut(3), sealed(1, 2), purged(1, 3), shut(9))  # people had opened, and it leaked again
    assert unsealed(now.entries) == ((5, SUPPORT),)
    assert (needs_seal(now), valid_seal(now)) == (True, None)
    now = case(shut(3), sealed(1, 2), purged(1, 3), shut(9), shut(10, SEARCH), sealed(2, 6))
    assert (needs_seal(now), needs_purge(now)) == (False, True)
    assert [(one.round, one.covers, one.scopes, one.purge) for one in rounds(now.entries)] == [
        (1, 2, (SUPPORT,), 4),
        (2, 6, (SUPPORT, SEARCH), None),
    ]
    assert not needs_purge(case(shut(3), sealed(1, 2), purged(1, 3), shut(9), sealed(2, 5), purged(2, 6)))


@pytest.mark.parametrize(
    "more",
    [
        shut(3, at=AT + 60 * M),  # more leaks behind the same shut door: a host that had not heard of it
        kinds.Contained(asked=False),
        shut(9, SEARCH, asked=False),
    ],
)
def test_what_shuts_no_further_door_asks_for_none(more):
    assert not needs_seal(case(shut(3), sealed(1, 2), purged(1, 3), more))


def test_a_seal_that_was_begun_before_does_not_cover_what_came_meanwhile():
    now = case(shut(3), shut(4, SEARCH), sealed(1, 2))
    assert unsealed(now.entries) == ((3, SEARCH),)
    refused("not_sealed", now, purged(1))
    check(now, sealed(2, 3))


def test_a_purge_takes_the_newest_seal_of_all_that_was_contained_when_it_began():
    two = (shut(3), sealed(1, 2), purged(1, 3), shut(9))
    refused("done_before", case(*two), purged(1, 5))
    refused("not_sealed", case(shut(3), sealed(1, 2), shut(9)), purged(1))
    refused("not_sealed", case(shut(3), sealed(1, 2), shut(9)), purged(1, 4))
    check(case(shut(3), sealed(1, 2), shut(9)), purged(1, 3))  # it was under way when the door was shut again
    check(case(shut(3), sealed(1, 2), shut(9), sealed(2, 4)), purged(1, 3))
    refused("not_sealed", case(shut(3), sealed(1, 2)), purged(1, 9))  # of entries that are not there
    refused("not_sealed", case(shut(3), sealed(1, 2)), purged(1, 2))  # begun before its seal
    check(case(*two, sealed(2, 5)), purged(2, 6))
    refused("other_seal", case(*two, sealed(2, 5)), purged(3, 6))
    refused("done_before", case(*two, sealed(2, 5), purged(2, 6)), purged(2, 7))
    refused("done_before", case(*two, sealed(2, 5)), kinds.Purged(asked=False))
    refused("done_before", case(shut(3), sealed(1, 2), kinds.Purged(asked=False)), purged(1, 4))


def test_a_seal_comes_when_something_asks_for_it_in_its_turn():
    now = case(shut(3), sealed(1, 2))
    refused("done_before", now, sealed(2, 3))
    again = case(shut(3), sealed(1, 2), shut(9))
    refused("done_before", again, sealed(2, 3))  # covers nothing new
    refused("bad_payload", again, sealed(3, 4))
    refused("bad_payload", again, sealed(1, 4))
    refused("bad_payload", again, sealed(2, 5))
    check(again, sealed(2, 4))


def test_entries_of_earlier_releases_are_read_and_written_as_they_were():
    lines = [
        b'{"at":1,"by":"firedoor","case":"eu-1","number":3,"payload":{"bytes":9,"items":{},"kind":"sealed","missing":{},'
        b'"seq":4,"sha256":"' + b"ab" * 32 + b'","slot":"control"},"signed":null}',
        b'{"at":1,"by":"firedoor","case":"eu-1","number":4,"payload":{"asked":true,"cache_epoch":3,"items":{},"kind":'
        b'"purged","seal":"' + b"ab" * 32 + b'"},"signed":null}',
    ]
    read = [decode_entry(line) for line in lines]
    assert [encode_entry(entry) for entry in read] == lines
    old = case(shut(3), *(entry.payload for entry in read))
    assert not needs_seal(old)
    assert not needs_purge(old)
    assert wrong_purges(old.entries) == ()
    # It purged once whatever had leaked meanwhile: that was no wrong then. What came later is sealed now.
    late = case(shut(3), read[0].payload, shut(9), read[1].payload)
    assert wrong_purges(late.entries) == ()
    assert (needs_seal(late), [one.covers for one in rounds(late.entries)]) == (True, [2])
    assert wrong_purges(case(read[1].payload).entries) == (2,)


def test_a_purge_that_was_written_past_the_rule_is_found():
    good = case(shut(3), sealed(1, 2), purged(1, 3))
    assert wrong_purges(good.entries) == ()
    assert wrong_purges(case(shut(3), sealed(1, 2), shut(9), purged(1, 4)).entries) == (5,)
    assert wrong_purges(case(shut(3), sealed(1, 2), purged(8, 3)).entries) == (4,)
    assert wrong_purges(case(shut(3), purged(1, 2), sealed(1, 2)).entries) == (3,)


def test_a_flood_gets_few_seals_and_one_of_all_that_waited():
    entries = []
    for n in range(SEALS):
        entries += [shut(2 * n + 3, f"eu/alpen/support/m{n}"), sealed(n + 1, 2 * n + 2)]
    now = case(*entries, shut(90, SEARCH))
    last = now.entries[-1].at
    first = rounds(now.entries)[0].at
    assert seal_wait(now, last) == first + WINDOW - last > 0
    assert seal_wait(now, first + WINDOW) == 0
    assert seal_wait(now, first - 1) == 0  # the clock was put back
    assert seal_wait(case(*entries[:-1]), last) == 0


def test_a_failure_is_told_once_in_each_round():
    failed = kinds.StepFailed(step="seal", code="disk_refuses")
    assert not was_told(case(shut(3)), failed)
    assert was_told(case(shut(3), failed), failed)
    assert not was_told(case(shut(3), failed, sealed(1, 3)), failed)
    count = structs.replace(failed, step="count")
    assert was_told(case(shut(3), count, sealed(1, 3)), count)


# Whatever happens

SCOPES = (SUPPORT, SEARCH, "eu/alpen/support/m1")
ACTS = st.one_of(
    st.tuples(st.just("leak"), st.sampled_from(SCOPES)),
    st.tuples(st.just("reopen"), st.sampled_from(SCOPES)),
    st.tuples(
        st.just("work"), st.sampled_from(("done", "failed", "killed before", "killed after", "leaked meanwhile"))
    ),
    st.tuples(st.just("time"), st.integers(1, 400)),
    st.tuples(st.just("close"), st.just("")),
)


class Shop:
    """Switches, evidence and cache as simple as can be; a case that is written as control does it."""

    def __init__(self):
        self.now, self.version, self.found = AT, 2, 0
        self.doors, self.entries, self.snapshots = {}, [], 0
        self.purges, self.waiting = [], None
        self.write(OPENED)
        self.leak(SUPPORT)

    @property
    def case(self):
        return fold(self.entries)

    def write(self, payload):
        if self.entries:
            check(self.case, payload)
        self.now += 1
        self.entries.append(
            kinds.Entry(case="eu-1", number=len(self.entries) + 1, at=self.now, by="firedoor", payload=payload)
        )

    def leak(self, scope):
        if self.case.ended:
            return
        self.found += 1
        self.now += 20 * M
        self.shut(scope)
        one = kinds.FoundOne(slot="w0", seq=self.found, at=self.now, rule="x", verdict="shut", scope=scope)
        self.write(kinds.Findings(found=(one,)))

    def shut(self, scope):
        if scope not in self.doors:
            self.version += 1
            self.doors[scope] = (self.version, self.now)

    def reopen(self, scope):
        self.doors.pop(scope, None)

    def time(self, seconds):
        self.now += seconds * M

    def close(self, _):
        if not self.case.ended:
            self.write(kinds.Closed(because="x"))
            self.write(kinds.Reopened(because="x"))

    def work(self, how):
        """The next step; cut off before or after it is told, or with a leak in the middle."""
        case = self.case
        resting = {"seal"} if seal_wait(case, self.now) else set()
        step = next_step(case, HERE, resting | {"clocks", "count"})
        if step is None or how in ("failed", "killed before"):
            return
        told = getattr(self, f"_{step}")(case)
        if how == "leaked meanwhile" and step != "contain":  # slow steps go on beside it
            self.leak(SEARCH)
            self.reopen(SUPPORT)
            self.leak(SUPPORT)
            for text in to_contain(self.case, HERE):
                self.write(self._told(text))
        if how != "killed after":
            for payload in told:
                self.write(payload)

    def _told(self, scope):
        self.shut(scope)
        version, since = self.doors[scope]
        leaked = max(
            (f.at for e in self.entries for f in getattr(e.payload, "found", ()) if f.scope == scope), default=0
        )
        return kinds.Contained(scope=scope, version=version, at=max(since, leaked))

    def _contain(self, case):
        return [self._told(text) for text in to_contain(case, HERE)]

    def _seal(self, case):
        self.snapshots += 1
        return [sealed(len(rounds(case.entries)) + 1, case.number, sha=self.snapshots)]

    def _purge(self, case):
        under = valid_seal(case)
        assert under is not None
        doors = [number for number, _ in contained(case.entries)]
        assert all(number <= under.covers < under.entry <= case.number for number in doors)
        self.purges.append(under.sha256)
        return [kinds.Purged(seal=under.sha256, cache_epoch=self.version, after=case.number)]


@settings(deadline=None, max_examples=150)
@given(st.lists(ACTS, max_size=30))
def test_no_purge_without_a_younger_seal_that_covers_it(acts):
    shop = Shop()
    for act, what in acts:
        getattr(shop, act)(what)
        assert wrong_purges(shop.entries) == ()
    for _ in range(40):
        shop.work("done")
        shop.time(60)
    case = shop.case
    assert set(left(case, HERE)) <= {"clocks", "count"}
    known = rounds(case.entries)
    doors = list(contained(case.entries))
    assert known[-1].purge is not None
    assert all(any(number <= one.covers for one in known) for number, _ in doors)
    assert {scope for _, scope in doors} == {scope for one in known for scope in one.scopes}
    # A purge is told once for each seal, and few seals are taken in a window.
    told = [e.payload.seal for e in case.entries if isinstance(e.payload, kinds.Purged)]
    assert len(set(told)) == len(told) <= len(known) <= len(doors) + 1
    assert all(later.at - one.at >= WINDOW for one, later in zip(known, known[SEALS:], strict=False))
