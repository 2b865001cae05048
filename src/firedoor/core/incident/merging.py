"""What had been decided, scored and waived before a case was taken in: what it still counts for. Pure.

A person decided of what they knew. A case that takes another one in is a wider one, so nothing that was said of either
part rules anything out in it until it is said again: the clock that a decision or a waiver had answered asks again.
What speaks for more counts at once: that it was a breach, the higher score, malice. Nothing is taken over as if its
author had said it of the whole (GDPR Art. 33(1): risk is judged for the breach as it is), and nothing gets lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec import UnsetType

from firedoor.core.incident import severity
from firedoor.core.incident.case import Case, Waiver, said
from firedoor.core.incident.entries import (
    BROUGHT,
    HANDED_IN,
    Before,
    Decided,
    Entry,
    Payload,
    Scored,
    Submitted,
    TookIn,
    Waived,
)

REASON: Final = 200
"""Characters of a reason that go along; the whole one stands where it was signed."""

Part = Literal["decided", "scored"]


def brought(case: Case) -> tuple[Before, ...]:
    """What was said in cases that `case` took in, and was not said again here since."""
    if not case.took_in:
        return ()
    found: list[Before] = []
    says = _by_time(case)
    for position, payload in says:
        if isinstance(payload, TookIn) and not isinstance(payload.before, UnsetType):
            later = [one for number, one in says if number > position]
            found += (one for one in payload.before if not _said_again(one, later))
    return tuple(found)


def lapsed(case: Case) -> frozenset[Part]:
    """What was decided and scored in `case` itself before it took another one in the last time, and not again."""
    if not case.took_in:
        return frozenset()
    says = _by_time(case)
    last = max(number for number, payload in says if isinstance(payload, TookIn))
    decided = max((number for number, payload in says if isinstance(payload, Decided)), default=last)
    scored = max((number for number, payload in says if isinstance(payload, Scored)), default=last)
    parts: dict[Part, int] = {"decided": decided, "scored": scored}
    return frozenset(part for part, number in parts.items() if number < last)


def standing_waivers(case: Case) -> tuple[Waiver, ...]:
    """What was said of clocks since `case` took another one in: what was said before is to be said again."""
    return case.waived[len(case.waived) - _waived_since(case) :] if case.took_in else case.waived


def lapsed_waivers(case: Case) -> tuple[Waiver, ...]:
    """The newest word on each clock that no longer stands, of those that let it rest."""
    old = {one.clock: one for one in case.waived[: len(case.waived) - len(standing_waivers(case))]}
    since = {one.clock for one in standing_waivers(case)}
    return tuple(one for one in old.values() if one.state != "resumed" and one.clock not in since)


def said_before(case: Case) -> tuple[Before, ...]:
    """What a case that takes `case` in is told of: its decision, its score, what was waived, and what it was told."""
    newest: dict[str, Before] = {}
    says = said(case.entries)
    for entry in case.entries:
        payload = says[entry.number]
        if isinstance(payload, Decided | Scored | Waived):
            newest[_key(payload)] = _before(entry, payload)
    resumed = {w.clock for w in {w.clock: w for w in case.waived}.values() if w.state == "resumed"}
    own = [one for one in newest.values() if one.waived not in resumed]
    return tuple(sorted((*own, *brought(case)), key=lambda one: bool(one.waived))[:BROUGHT])


def handed_in(case: Case) -> tuple[Submitted, ...]:
    """The newest submissions, as a case takes them over that takes `case` in."""
    newest = case.submitted[-HANDED_IN:]
    return tuple(msgspec.structs.replace(one, delay=one.delay[:REASON]) if one.delay else one for one in newest)


def _key(payload: Decided | Scored | Waived) -> str:
    return payload.clock if isinstance(payload, Waived) else type(payload).__name__


def _before(entry: Entry, payload: Decided | Scored | Waived) -> Before:
    one = Before(case=entry.case, number=entry.number, by=entry.by, at=entry.at, because=payload.because[:REASON])
    match payload:
        case Decided():
            return msgspec.structs.replace(one, outcome=payload.outcome, ground=payload.ground or "")
        case Scored():
            return msgspec.structs.replace(one, quarters=payload.quarters, malicious=_malicious(payload))
        case Waived():
            return msgspec.structs.replace(one, waived=payload.clock)


def _malicious(scored: Scored) -> bool:
    """Whether a person scored that it was done on purpose."""
    try:
        malice = severity.decode(scored.inputs).malice
    except msgspec.DecodeError:
        return False
    return malice.by == "person" and malice.quarters > 0


def _said_again(one: Before, later: Iterable[Payload | None]) -> bool:
    if one.waived:
        return any(isinstance(each, Waived) and each.clock == one.waived for each in later)
    kind = Decided if one.outcome is not None else Scored
    return any(isinstance(each, kind) for each in later)


def _waived_since(case: Case) -> int:
    """How many of `Case.waived` came after the last case was taken in."""
    says = said(case.entries)
    last = max(entry.number for entry in case.entries if isinstance(says[entry.number], TookIn))
    return sum(isinstance(says[entry.number], Waived) for entry in case.entries[last:])


def _by_time(case: Case) -> list[tuple[int, Payload | None]]:
    """What entries say, each with the number at which it was said: that of its correction, if there is one."""
    return [(case.corrected.get(number, number), payload) for number, payload in said(case.entries).items()]
