"""What one more entry makes of a case. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UnsetType, structs

from firedoor.core.incident import affected
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.casestate import KEPT, LEAKED, PLACES, Call, Case, Task, Waiver, by_person
from firedoor.core.incident.entries import Entry, FoundOne, Payload


def begin(entry: Entry, opened: kinds.Opened) -> Case:
    """The case that its first entry makes."""
    return Case(
        id=entry.case,
        number=1,
        opened=opened,
        opened_at=entry.at,
        opened_by=entry.by,
        clocks_at=entry.case,
        scopes=(opened.scope,),
        rules=(opened.rule,) if opened.rule else (),
        moments={"detected": opened.detected},
        restricted=kinds.Restricted(roles=opened.restricted) if opened.restricted else None,
    )


def at_work(case: Case, entry: Entry) -> Case:
    """Whatever a person writes into a new case says that somebody is at it."""
    return structs.replace(case, state="in_progress") if case.state == "new" and by_person(entry) else case


def step(case: Case, entry: Entry, payload: Payload) -> Case:
    """`case` after `entry`, which says `payload` as corrected."""
    changes = _found(case, payload) or _done(case, entry, payload) or _worked(case, entry, payload)
    changes = changes or _legal(case, entry, payload) or _joined(case, entry, payload)
    return structs.replace(case, **changes) if changes else case


def _found(case: Case, payload: Payload) -> dict[str, Any]:
    """What findings add, a case's own or those of one that it takes in."""
    if not isinstance(payload, kinds.Findings | kinds.TookIn):
        return {}
    new = payload.found
    moments = [one.at for one in new]
    if isinstance(payload, kinds.Findings) and payload.more:
        moments += [payload.since, payload.until]
    changes: dict[str, Any] = {
        "found": _kept(case.found, new),
        "found_count": case.found_count + len(new) + payload.more,
        "scopes": _several(case.scopes, (*(one.scope for one in new), *_places(payload))),
        "rules": _several(case.rules, (one.rule for one in new)),
        "sets": _several(case.sets, (name for one in new for name in one.sets)),
    }
    if moments:
        changes["first_found"] = min(moments) if case.first_found is None else min(case.first_found, *moments)
        changes["last_found"] = max(moments) if case.last_found is None else max(case.last_found, *moments)
    if isinstance(payload, kinds.TookIn):
        changes |= {"moments": _earlier(case, {**payload.moments, "detected": payload.detected})}
        changes |= {"took_in": (*case.took_in, payload.case), "clocks_at": case.id}
        changes |= {"submitted": (*case.submitted, *payload.submitted)}
    elif moments and "detected" not in case.moments_set:
        changes["moments"] = {**case.moments, "detected": min(case.moments["detected"], *moments)}
    return changes


def _done(case: Case, entry: Entry, payload: Payload) -> dict[str, Any]:
    """What the first minute did, and who was called."""
    match payload:
        case kinds.Contained():
            return {"contained": payload, "contained_at": case.contained_at or entry.at}
        case kinds.Sealed():
            return {"sealed": payload, "sealed_at": case.sealed_at or entry.at}
        case kinds.Purged():
            return {"purged": payload, "purged_at": case.purged_at or entry.at}
        case kinds.ClocksSet():
            return {"clocks_set": payload}
        case kinds.Counted():
            return {
                "counted": _affected(payload),
                "counted_at": entry.at,
                "first_counted_at": case.first_counted_at or entry.at,
            }
        case kinds.StepFailed():
            return {"failures": (*case.failures, payload)}
        case kinds.Called():
            told = None if isinstance(payload.told, UnsetType) else payload.told
            call = Call(
                at=entry.at, role=payload.role, person=payload.person, reason=payload.reason, rung=payload.rung,
                told=told,
            )  # fmt: skip
            return {"calls": (*case.calls, call)}
    return {}


def _worked(case: Case, entry: Entry, payload: Payload) -> dict[str, Any]:
    """What people do about it."""
    match payload:
        case kinds.Acknowledged():
            return {"acknowledged_by": entry.by, "acknowledged_at": entry.at}
        case kinds.Assigned():
            return {"assigned": {**case.assigned, payload.role: payload.person}}
        case kinds.Tasked():
            task = Task(
                number=entry.number, text=payload.text, by=entry.by, role=payload.role, person=payload.person,
                due=payload.due,
            )  # fmt: skip
            return {"tasks": (*case.tasks, task)}
        case kinds.TaskEnded():
            ended = {"state": payload.state, "ended_at": entry.at}
            return {"tasks": tuple(structs.replace(t, **ended) if t.number == payload.task else t for t in case.tasks)}
        case kinds.Linked():
            return {"links": (*(one for one in case.links if one.system != payload.system), payload)}
        case kinds.HandedOver():
            return {"leads": "here" if payload.leads == "here" else payload.system}
        case kinds.Restricted():
            return {"restricted": payload if payload.roles or payload.people else None}
        case kinds.Resolved():
            return {"state": "resolved", "resolved_at": entry.at}
        case kinds.Closed():
            return {"state": "closed", "closed_at": entry.at}
        case kinds.Reopened():
            return {"state": "in_progress", "resolved_at": None, "closed_at": None}
    return {}


def _legal(case: Case, entry: Entry, payload: Payload) -> dict[str, Any]:
    """What counts in law."""
    match payload:
        case kinds.MomentSet():
            moments = {**case.moments, payload.event: payload.at}
            return {"moments": moments, "moments_set": case.moments_set | {payload.event}}
        case kinds.Scored():
            return {"scored": payload, "scored_at": entry.at}
        case kinds.Decided():
            return {"decided": payload, "decided_at": entry.at}
        case kinds.Submitted():
            return {"submitted": (*case.submitted, payload)}
        case kinds.Waived():
            waiver = Waiver(at=entry.at, clock=payload.clock, state=payload.state, because=payload.because)
            return {"waived": (*case.waived, waiver)}
    return {}


def _joined(case: Case, entry: Entry, payload: Payload) -> dict[str, Any]:
    """How it hangs together with other cases. For `TookIn` see `_found`: who took a case in has its clocks."""
    match payload:
        case kinds.MergedInto():
            return {"state": "merged", "merged_into": payload.case, "clocks_at": payload.case, "closed_at": entry.at}
        case kinds.SplitOff():
            return {"split_off": (*case.split_off, payload.case)}
        case kinds.SplitFrom():
            there = {"clocks_at": payload.case} if payload.clocks == "there" else {}
            return {"split_from": payload.case, "moments": {**payload.moments, **case.moments}, **there}
    return {}


def _places(payload: kinds.Findings | kinds.TookIn) -> tuple[str, ...]:
    return payload.scopes if isinstance(payload, kinds.TookIn) else ()


def _affected(payload: kinds.Counted) -> affected.Affected | None:
    """None for what an older release counted in another shape: it is counted again."""
    try:
        return affected.decode(payload.affected)
    except msgspec.DecodeError:
        return None


def _earlier(case: Case, others: dict[str, int]) -> dict[str, int]:
    """Of two moments of an event the earlier one counts: it starts a clock first."""
    return case.moments | {event: min(at, case.moments.get(event, at)) for event, at in others.items()}


def _kept(known: tuple[FoundOne, ...], new: tuple[FoundOne, ...]) -> tuple[FoundOne, ...]:
    """The findings that a folded case names, in order. Confirmed leaks are kept before all others: they are what is to
    be shut and counted, and whoever can make a thousand of the others must not push one out.
    """
    over = len(known) + len(new) - KEPT
    if over <= 0:
        return (*known, *new)
    if len(known) == KEPT and not any(one.verdict == LEAKED for one in new):
        return known
    every = (*known, *new)
    others = [number for number, one in enumerate(every) if one.verdict != LEAKED]
    gone = set(others[max(0, len(others) - over) :])
    left = tuple(one for number, one in enumerate(every) if number not in gone)
    return left[: KEPT // 2] + left[max(KEPT // 2, len(left) - KEPT // 2) :]


def _several(known: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*known, *more]))[:PLACES]
