"""What a person should know about a clock beside its end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from firedoor.core.incident.case import Case
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO, Submitted, TookIn
from firedoor.core.incident.law import ASAP, Rule
from firedoor.core.incident.reckoning import HOUR

SLOW: Final = 24 * HOUR
TOO_SLOW: Final = 48 * HOUR
"""Seconds from detection to knowing after which a person is warned, and then warned again: a short investigation may
come first, and must be quick (GDPR Art. 24, 32, recital 87).
"""
KNOWN: Final = ("aware", "significant_aware", "noticed", "discovered", "determined", "knew", "suspected")
"""Events that say since when somebody knew; law by law they have other names."""


FOR_A_PART: Final = "handed in before another case was taken in"
"""How the warning begins of a clock that is answered for a part of the case alone."""


def warnings_of(
    rule: Rule, clock: Clock, case: Case, handed_in: Sequence[Submitted], now: int, today: str
) -> Iterator[str]:
    """Warnings about `clock`, which applies or may. `today` is an ISO date."""
    if rule.status != "in_force":
        yield f"not law ({rule.status}): shown because the plan switches it on"
    if rule.confidence == "?":
        yield "not established: have counsel confirm it"
    if rule.review_by is not None and rule.review_by < today:
        yield f"the rule was to be read again by {rule.review_by}: it may have changed"
    yield from _slow(rule, case, now)
    yield from _not_said(rule, clock, case)
    if clock.state == "halted" and clock.due is not None and now > clock.due:
        yield "halted, and its end is over: see that the law still lets it wait, or resume it"
    if handed_in and case.took_in and not _after_the_last(case, handed_in):
        yield f"{FOR_A_PART}: hand in what that adds (GDPR Art. 33(4)), if it does"
    if clock.start_at is not None and any(one.at < clock.start_at for one in handed_in):
        yield f"handed in before it started: see that `{rule.starts}` and what was handed in are right"
    yield from _late(rule, clock, handed_in, now)


def _slow(rule: Rule, case: Case, now: int) -> Iterator[str]:
    """Whether finding out took long. A slow investigation is itself a failing."""
    if rule.starts not in KNOWN:
        return
    detected, known = case.moments["detected"], case.moments.get(rule.starts)
    took = ((now if known is None else known) - detected) / MICRO
    if took <= SLOW:
        return
    hours = int(took // HOUR)
    if known is None:
        said = f"detected {hours} h ago, and `{rule.starts}` is not decided"
    else:
        said = f"`{rule.starts}` is {hours} h after detection: a slow investigation is a failing of its own"
    yield f"more than 48 h: {said}" if took > TOO_SLOW else said


def _not_said(rule: Rule, clock: Clock, case: Case) -> Iterator[str]:
    """Whether something else that is known speaks for an earlier start."""
    if rule.starts in KNOWN and clock.start_at is None and clock.state == "not_started":
        others = [event for event in KNOWN if event in case.moments]
        if others:
            yield f"`{others[0]}` is decided: say when `{rule.starts}` was, which starts this clock"
    told = case.moments.get("processor_told")
    if rule.starts == "aware" and told is not None and clock.start_at is not None and clock.start_at > told:
        yield "`aware` is later than `processor_told`: in principle one is aware once the processor has told"


def _after_the_last(case: Case, handed_in: Sequence[Submitted]) -> bool:
    """Whether anything was handed in since the last case was taken in."""
    last = max(entry.at for entry in case.entries if isinstance(entry.payload, TookIn))
    return any(one.at >= last for one in handed_in)


def _late(rule: Rule, clock: Clock, handed_in: Sequence[Submitted], now: int) -> Iterator[str]:
    """What follows from having missed the end, or our own target."""
    if clock.due is None:
        return
    first = min(handed_in, key=lambda one: one.at) if handed_in else None
    if rule.length == ASAP:
        if (now if first is None else first.at) > clock.due:
            yield "over the target of ours; the law says without undue delay"
        return
    if (first is None and clock.state == "missed") or (first is not None and first.at > clock.due):
        at = now if first is None else first.at
        if any(other.reading == "hours_1182" and at <= other.at for other in clock.alternatives):
            yield "later than the strict end, and within that of Regulation 1182/71 Art. 3(1)"
    if clock.state == "missed":
        yield "over: hand it in all the same, with the reasons for the delay"
    if clock.state == "met_late" and not any(one.delay for one in handed_in):
        yield "handed in late without the reasons for the delay"
