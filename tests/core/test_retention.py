"""How long bodies stay, what the clock may do, what a hold keeps."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence.leaf import GENESIS, HOUR, Body, Leaf, hour
from firedoor.core.evidence.retention import (
    DAY,
    Held,
    Hold,
    Kept,
    Periods,
    Window,
    body_hour,
    clock,
    gaps,
    is_over,
    parse_kept,
    runs,
)
from firedoor.core.plan.model import MessageFallback, Model, Plan, Region, Shop, Surface
from firedoor.core.plan.words import DAY as SECONDS_OF_A_DAY
from firedoor.core.plan.words import Duration

NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * 1_000_000
ALICE, BO = "a" * 32, "b" * 32


def plan(**retentions):
    days = {name: Duration(days * SECONDS_OF_A_DAY) for name, days in retentions.items()}
    region = Region(
        jurisdictions=("DE",),
        address="https://eu.example",
        listen="127.0.0.1:8100",
        retention=days.pop("region"),
    )
    surfaces = {
        name: Surface(
            models={"eu": "m0"}, deadline=Duration(1), fallback=MessageFallback(text={"en": "x"}), retention=kept
        )
        for name, kept in days.items()
    }
    return Plan(
        firedoor=1, name="test", people={}, regions={"eu": region},
        models={"m0": Model(region="eu", engine="openai", name="m", url="http://m")},
        shops={"alpen": Shop(platform="other", home="DE")}, surfaces=surfaces,
    )  # fmt: skip


def leaf(exchange="fx-1", key="1" * 32, at=NOON, retention="support", facts=None, body=True):
    sealed = Body(1, 10, 0, retention, "0" * 64) if body else None
    return Leaf(2, "eu", "w0", 1, GENESIS, "intent", exchange, at, facts or {}, key, None, None, sealed)


def hold(number=1, **scope):
    return Hold(id=f"hold-{number}", incident="INC-1", by="uid:0", at=NOON, **scope)


@pytest.mark.parametrize(
    ("surface", "region", "class_", "days"),
    [
        (30, 365, "support", 30),
        (30, 7, "support", 7),  # the region's is the longest
        (30, 365, "operations", 365),
        (30, 365, "gone_from_the_plan", 365),
    ],
)
def test_the_shorter_of_surface_and_region_counts(surface, region, class_, days):
    assert Periods(plan(support=surface, region=region), "eu").of(class_) == days * DAY


def test_a_running_hour_is_never_over_whatever_the_plan_says():
    periods = Periods(plan(support=0, region=0), "eu")
    running = body_hour("support", hour(NOON))
    assert not is_over(running, periods, NOON + HOUR - 1)


@given(start=st.integers(0, 400_000), days=st.integers(1, 3000), offset=st.integers(-2 * HOUR, 2 * HOUR))
def test_an_hour_is_over_when_all_of_it_is(start, days, offset):
    found = body_hour("support", hour(start * HOUR))
    assert found.start == start * HOUR
    end = found.start + HOUR + days * DAY
    assert is_over(found, Periods(plan(support=days, region=3000), "eu"), end + offset) == (offset >= 0)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "2026-11-23",
        "2026-11-23T24",
        "2026-11-23T4",
        "2026-02-30T04",
        "1969-12-31T23",
        "2026-11-23T04 ",
        "2026-11-23T04\n",
        "../../etc",
        "٢٠٢٦-11-23T04",
    ],
)
def test_what_is_not_the_name_of_an_hour_never_expires(name):
    assert body_hour("support", name) is None


@pytest.mark.parametrize(
    ("last", "now", "verdict"),
    [
        (None, NOON, "ok"),
        (NOON, NOON, "ok"),
        (NOON, NOON + DAY, "ok"),
        (NOON, NOON + DAY + 1, "ahead"),
        (NOON, NOON - 1, "back"),
    ],
)
def test_a_clock_that_jumps_is_seen(last, now, verdict):
    assert clock(last, now) == verdict


def test_a_hold_keeps_what_it_names_and_nothing_else():
    held = Held(
        [
            hold(1, exchanges=("fx-1",)),
            hold(2, subjects=(ALICE,)),
            hold(3, windows=(Window("support", NOON, NOON + HOUR),)),
        ],
        {ALICE: ["2" * 32]},
    )
    assert held.by(leaf(at=0)) == "hold-1"
    assert held.by(leaf("fx-2", key="2" * 32, at=0)) == "hold-2"
    assert held.by(leaf("fx-2", at=NOON)) == "hold-3"
    assert held.by(leaf("fx-2", at=NOON, body=False, facts={"surface": "support"})) == "hold-3"
    for other in (
        leaf("fx-2", at=NOON - 1),
        leaf("fx-2", at=NOON + HOUR),
        leaf("fx-2", retention="account_chat"),
        leaf("fx-2", key=None, at=0, body=False),
        leaf("", key="3" * 32, at=0),
    ):
        assert held.by(other) is None
    assert (held.subject(ALICE), held.subject(BO)) == ("hold-2", None)


def test_an_hour_that_no_hold_can_touch_needs_no_leaf():
    window = Held([hold(windows=(Window("support", NOON, NOON + 1),))], {})
    assert window.may_touch(body_hour("support", hour(NOON)))
    assert not window.may_touch(body_hour("support", hour(NOON - HOUR)))
    assert not window.may_touch(body_hour("support", hour(NOON + HOUR)))
    assert not window.may_touch(body_hour("account_chat", hour(NOON)))
    assert Held([hold(exchanges=("fx-1",))], {}).may_touch(body_hour("account_chat", hour(0)))
    assert not Held([hold(subjects=(ALICE,))], {ALICE: []}).may_touch(body_hour("support", hour(0)))
    assert not Held([], {}).may_touch(body_hour("support", hour(0)))


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=30))
def test_runs_hold_exactly_what_is_held(steps):
    bodies, seq = [], 0
    for step, held in steps:
        seq += step
        bodies.append((seq, held))
    kept = Kept("support/2026-11-23T04", "w0", runs(bodies))
    assert [kept.has(seq) for seq, _ in bodies] == [held for _, held in bodies]
    if kept.runs:
        assert parse_kept(kept.encode()) == kept


@pytest.mark.parametrize(
    "text", ["", "a:1", "a/b:", "a/b/c:1-", "a/b/c:-1", "a/b/c:1,,2", "a/b/c", "a/b/:1", "/c:1", "a/b/c:x"]
)
def test_a_kept_fact_that_no_writer_writes_is_nothing(text):
    found = parse_kept(text)
    assert found is None or found.encode() == text


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.booleans()), max_size=20), st.integers(0, 9))
def test_gaps_are_all_bytes_that_are_not_kept(bodies, tail):
    """Bodies one after another, with holes as torn writes leave them."""
    end, kept, expected = 0, [], bytearray()
    for hole, length, keep in bodies:
        expected += b"\0" * hole + (b"k" if keep else b"\0") * length
        if keep:
            kept.append((end + hole, length))
        end += hole + length
    expected += bytes(tail)
    found = bytearray(b"k" * len(expected))
    for offset, length in gaps(kept, len(expected)):
        assert length > 0
        found[offset : offset + length] = bytes(length)
    assert found == expected
