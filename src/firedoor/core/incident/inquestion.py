"""Which exchanges are in question: by place and time, for sure or maybe. Pure.

An exchange is under way from its first record to its last, and until it has an outcome. Where nobody recorded its
end it may have ended at any moment: nothing lasts longer than `LONGEST`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from firedoor.core.detect.spans import CONFIRMED
from firedoor.core.evidence.exchanges import ExchangeChange, Place
from firedoor.core.evidence.questions import LONGEST
from firedoor.core.incident.affected import AskedFor
from firedoor.core.incident.counting import ENDED, GIVEN, LOST_END, OPEN
from firedoor.core.policy import RULES
from firedoor.core.switches import Scope, where_found

Standing = Literal["sure", "maybe", "blank", "no"]
"""In question; perhaps; one of which no record tells the place, so that it may be anything; not."""

UNKNOWN: Final = "unknown"
"""The outcome that recovery writes."""
MODEL_SAID: Final = frozenset({"answered", "minimised"})
"""Outcomes of an answer that a model wrote, now or before: it was kept."""
SHUT: Final = "shut"
LEAKS: Final = frozenset(rule for kind, rule in RULES.items() if kind in CONFIRMED)
"""Rules of findings that are a leak for certain, whatever the surface did about it."""
NOWHERE: Final = Place()


def scopes_of(asked: AskedFor) -> tuple[Scope, ...]:
    """The scopes in question. One that cannot be read means the region."""
    return tuple(where_found(text, asked.region) for text in asked.scopes)


def wanted(scopes: Iterable[Scope], region: str, place: Place) -> bool:
    """Whether any of `scopes` covers `place`."""
    here = Scope(region, place.shop, place.surface, place.model)
    return place != NOWHERE and any(scope.covers(here) for scope in scopes)


def ended(outcome: str | None) -> int:
    """How an exchange with this outcome ended, as `counting` names it."""
    if outcome is None:
        return OPEN
    if outcome == UNKNOWN:
        return LOST_END
    return GIVEN if outcome in MODEL_SAID else ENDED


def is_leak(rule: str, verdict: str) -> bool:
    """Whether a finding confirms a leak in an answer."""
    return verdict == SHUT or rule in LEAKS


def standing(asked: AskedFor, scopes: tuple[Scope, ...], change: ExchangeChange) -> Standing:
    """Whether an exchange is in question by its place and time; one that is named is so whatever this says."""
    if change.place is None or change.place == NOWHERE:
        # All that is known is that it had begun by its last record.
        return "blank" if change.last >= asked.since else "no"
    if not wanted(scopes, asked.region, change.place) or (asked.until is not None and change.began >= asked.until):
        return "no"
    if change.began >= asked.since:
        return "sure"
    if change.began < asked.since - LONGEST:
        return "no"
    if ended(change.outcome) in (OPEN, LOST_END):
        return "maybe"
    return "sure" if change.last >= asked.since else "no"
