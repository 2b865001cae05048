"""What looks as if it could not be is taken only once its author says how it can be."""

import pytest
from msgspec import structs

from firedoor.core.incident.checks import check, check_opening
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import Correction, MomentSet, Opened, Submitted, encode_payload
from firedoor.errors import ActRefused

from .test_deadlines import DETECTED, HOUR, case  # the same cases

MINUTE, DAY, YEAR = HOUR // 60, 24 * HOUR, 366 * 24 * HOUR
NOW = DETECTED + 2 * DAY


def moment(event, at, **more):
    return MomentSet(event=event, at=at, because="seen in the log", **more)


def implausible(one, payload, clocks=()):
    """What is said against it; with a reason it is taken."""
    with pytest.raises(ActRefused) as refused:
        check(one, payload, clocks=clocks, now=NOW)
    assert refused.value.code == "implausible"
    assert "--even-so" in refused.value.remedy
    check(one, structs.replace(payload, even_so="told by phone"), clocks=clocks, now=NOW)
    return refused.value.message


@pytest.mark.parametrize(
    ("event", "at", "said"),
    [
        ("aware", DETECTED - 6 * MINUTE, "6 min before anything was detected"),
        ("aware", DETECTED - 3 * DAY, "3 d before anything was detected"),
        ("knew", DETECTED - 5 * HOUR, "5 h before"),
        ("handled", DETECTED - HOUR, "1 h before"),
        ("occurred_from", DETECTED + HOUR, "begun 1 h after it was detected"),
        ("occurred_from", NOW - YEAR - HOUR, "366 d ago"),
        ("detected", NOW - YEAR - HOUR, "366 d ago"),
        ("aware", 0, "before anything was detected"),
    ],
)
def test_moments_that_look_impossible(event, at, said):
    assert said in implausible(case(), moment(event, at))


@pytest.mark.parametrize(
    ("event", "at"),
    [
        ("aware", DETECTED - 4 * MINUTE),
        ("aware", NOW),
        ("occurred_from", DETECTED - 300 * DAY),
        ("processor_told", DETECTED - 3 * DAY),
        ("fix_available", DETECTED - 3 * DAY),
        ("detected", DETECTED - 3 * DAY),
    ],
)
def test_moments_that_are_as_they_may_be(event, at):
    check(case(), moment(event, at), now=NOW)


def test_who_was_told_by_a_processor_may_be_aware_before_anything_was_detected():
    told = case(moment("processor_told", DETECTED - DAY))
    check(told, moment("aware", DETECTED - DAY + HOUR), now=NOW)
    assert "2 d before" in implausible(told, moment("aware", DETECTED - 2 * DAY))


def test_detection_is_not_moved_behind_what_is_known():
    assert "after `aware`" in implausible(case(moment("aware", DETECTED)), moment("detected", DETECTED + HOUR))


def test_a_correction_is_no_way_round():
    one = case(moment("aware", DETECTED))
    wrong = moment("aware", DETECTED - DAY)

    def correction(payload):
        return Correction(of=2, instead=encode_payload(payload).decode(), because="a slip")

    with pytest.raises(ActRefused, match="1 d before"):
        check(one, correction(wrong), now=NOW)
    check(one, correction(structs.replace(wrong, even_so="they rang")), now=NOW)
    check(one, correction(structs.replace(one.said(2), because="in other words")), now=NOW)


def clock(name="eu.gdpr.33.1", **more):
    return Clock(
        id=name, title="", rule_version="1", basis="law", source="", recipients=(), start_event="aware", start_at=None,
        length="72 h", zone="UTC", due=None, **more,
    )  # fmt: skip


def test_what_nobody_asked_for_is_taken_with_a_reason():
    handed = Submitted(clock="eu.gdpr.33.1", at=NOW, to="LfDI")
    check(case(), handed, clocks=(clock(),), now=NOW)
    said = implausible(case(), handed, (clock(applies="no", why="not established there"),))
    assert "does not apply here (not established there)" in said
    assert "before anything was detected" in implausible(
        case(), structs.replace(handed, at=DETECTED - HOUR), (clock(),)
    )
    final = clock("eu.dora.19.final", depends_on="eu.dora.19.intermediate")
    first = structs.replace(handed, clock=final.id)
    assert "follows eu.dora.19.intermediate" in implausible(case(), first, (final,))
    check(case(structs.replace(handed, clock="eu.dora.19.intermediate")), first, clocks=(final,), now=NOW)


def test_a_case_of_long_ago_takes_a_reason():
    opened = Opened(cause="person", title="t", scope="eu/*", detected=NOW - YEAR - DAY)
    with pytest.raises(ActRefused, match="367 d ago"):
        check_opening(opened, NOW)
    check_opening(structs.replace(opened, even_so="a letter that lay unread"), NOW)
    check_opening(structs.replace(opened, detected=NOW - YEAR), NOW)
