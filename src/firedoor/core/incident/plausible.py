"""What of a person's words about a case looks as if it could not be, or as if nobody asked for it. Pure.

Nothing of it is impossible: one may be aware before anything was detected here, for a processor told by phone (EDPB
Guidelines 9/2022, 44), and a notice may go out that no law asks for. So it is taken once its author says how that can
be (`even_so`), and kept with that.
"""

from __future__ import annotations

from typing import Final, get_args

from firedoor.core.incident.case import Case
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO, MomentSet, Opened, Submitted
from firedoor.core.plan.response import StartEvent

LONG_AGO: Final = 366 * 86_400 * MICRO
"""Microseconds: few breaches are found later than a year, and a mistyped year is as likely."""
NEAR: Final = 300 * MICRO
"""Microseconds by which clocks of machines, and people who say "five minutes ago", may be off."""

FREE: Final = frozenset({"detected", "fix_available", "processor_told", "occurred_from", "occurred_to"})
"""Events that may well come before anything was detected."""
AFTER: Final = frozenset(get_args(StartEvent)) - FREE
"""Events that come after it, unless somebody was told some other way."""


def doubt_about_opening(payload: Opened, now: int) -> str | None:
    """What is implausible of a case that begins at `now` (microseconds); None, if nothing is."""
    return _long_ago("It", payload.detected, now)


def doubt_about_moment(case: Case, payload: MomentSet, now: int | None) -> str | None:
    """What is implausible of a moment in `case`; None, if nothing is."""
    event, at = payload.event, payload.at
    detected = case.moments["detected"]
    if event == "detected":
        first = case.first_found
        if first is not None and at > first + NEAR:
            return f"It would have been detected {_apart(at - first)} after the first finding of the case."
        known = sorted((case.moments[each], each) for each in AFTER if each in case.moments)
        if known and at > known[0][0] + NEAR:
            return f"It would have been detected {_apart(at - known[0][0])} after `{known[0][1]}`."
    elif event == "occurred_from" and at > detected + NEAR:
        return f"It would have begun {_apart(at - detected)} after it was detected."
    elif event in AFTER and at < detected - NEAR and not _told(case, at):
        return f"`{event}` would be {_apart(detected - at)} before anything was detected."
    return _long_ago(f"`{event}`", at, now)


def doubt_about_submission(case: Case, payload: Submitted, clock: Clock, now: int | None) -> str | None:
    """What is implausible of what was handed in for `clock`; None, if nothing is."""
    if clock.applies == "no":
        return f"Nothing asks for it: {clock.id} does not apply here ({clock.why})."
    if clock.depends_on is not None and not any(one.clock == clock.depends_on for one in case.submitted):
        return f"It follows {clock.depends_on}, of which nobody said that it was handed in."
    if payload.at < case.moments["detected"] - NEAR and not _told(case, payload.at):
        early = case.moments["detected"] - payload.at
        return f"It would have been handed in {_apart(early)} before anything was detected."
    return _long_ago("It", payload.at, now)


def _told(case: Case, at: int) -> bool:
    """Whether a processor had told by then: then that is how."""
    told = case.moments.get("processor_told")
    return told is not None and told <= at + NEAR


def _long_ago(what: str, at: int, now: int | None) -> str | None:
    return f"{what} would be {_apart(now - at)} ago." if now is not None and at < now - LONG_AGO else None


def _apart(micro: int) -> str:
    """``3 d``, ``5 h``, ``12 min``."""
    minutes = micro // (60 * MICRO)
    return next(
        (f"{minutes // per} {unit}" for unit, per in (("d", 1440), ("h", 60)) if minutes >= per), f"{minutes} min"
    )
