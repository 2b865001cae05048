"""What other systems are told of a case: ids, codes, counts and moments, in a closed shape. Pure.

Nothing in it is free text, names a person (people are told by their ids in the plan) or is about a shopper. Told are
only systems that stand in a jurisdiction of the region (`systems_of`): even counts and moments of its cases stay there.
Of a restricted case only calls are told, without where and what it is. Each message carries the same case as an OCSF
Incident Finding (class 2005) beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from firedoor.core.incident import entries as kinds
from firedoor.core.incident.affected import Range
from firedoor.core.incident.case import Case
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import Entry, Payload
from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import Plan
from firedoor.core.plan.response import OtherSystem

BODY_LIMIT: Final = 16 * 1024
"""Bytes of a body: the standard asks for less than 20 kB, and a queue of thousands must stay small."""
CLOCKS: Final = 25
"""Clocks told in one message, the most urgent first; a case of a shop with customers in all of the EU has ten."""
PLACES: Final = 10
"""Scopes and rules told in one message, each."""

Type = Literal[
    "case.opened", "case.changed", "case.called", "case.acknowledged", "case.clocks", "case.linked", "case.closed"
]
FOR_PAGERS: Final[frozenset[Type]] = frozenset({"case.called", "case.acknowledged", "case.closed"})
"""What a system with ``events: calls`` is told."""
RESTRICTED: Final = FOR_PAGERS
"""What is told of a restricted case."""

SAME_CALL: Final = 60 * kinds.MICRO
"""Whoever is called for several clocks in one minute is told once: the message has all clocks."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CODE: Final = re.compile(r"[A-Za-z0-9_.:/*~-]{1,300}", re.ASCII)
_DONE: Final = frozenset({"met", "met_late", "waived", "not_applicable"})


class Message(NamedTuple):
    """Something to be told to another system until it has it. `id` is the same at every try; `body` is JSON.

    `not_before` is Unix seconds, `tries` how often it was tried.
    """

    id: str
    system: str
    body: bytes
    not_before: float = 0.0
    tries: int = 0


class Counts(Struct, frozen=True, kw_only=True):
    """How many are affected, as far as is known `at`; `most` is null where nobody can say."""

    at: str
    exchanges: Range
    exposed: Range
    subjects: Range
    exposed_subjects: Range


class ClockTold(Struct, frozen=True, kw_only=True):
    """A clock as it stands. `cautious` counts from detection, `percent` says how much of the time is over."""

    id: str
    version: str
    state: str
    applies: str
    owner: str
    start: str | None
    due: str | None
    cautious: str | None
    percent: int


class CallTold(Struct, frozen=True, kw_only=True):
    """Who is called: `person` is an id of the plan. `reason` is ``opened``, ``CLOCK:PERCENT`` or ``told:…``."""

    role: str
    person: str
    reason: str
    rung: int


class CaseTold(Struct, frozen=True, kw_only=True):
    """A case after its entry `entry`. `ref` is its id in the system that is told, if it is linked there.

    Of a restricted case, where and what it is is left out.
    """

    case: str
    entry: int
    region: str
    state: str
    restricted: bool
    drill: str | None
    ref: str | None
    opened_at: str
    acknowledged_at: str | None
    contained_at: str | None = None
    sealed_at: str | None = None
    purged_at: str | None = None
    resolved_at: str | None = None
    closed_at: str | None = None
    leads: str = "here"
    merged_into: str | None = None
    split_from: str | None = None
    scopes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    findings: int = 0
    failed: str | None = None
    moments: dict[str, str] = {}
    affected: Counts | None = None
    clocks: tuple[ClockTold, ...] = ()
    clocks_left_out: int = 0
    called: CallTold | None = None


class Told(Struct, frozen=True, kw_only=True):
    """The body of a message. `timestamp` is that of the entry it tells of, whenever it arrives."""

    type: Type
    timestamp: str
    data: CaseTold
    ocsf: dict[str, object]


_encoder = msgspec.json.Encoder()


def systems_of(plan: Plan, region: str) -> dict[str, OtherSystem]:
    """The systems that may be told of cases of `region`, and may tell it of some: those that stand in a jurisdiction
    that this region serves. One of which nobody says where it stands is none.
    """
    table = JurisdictionTable(plan)
    return {
        name: system
        for name, system in plan.incidents.systems.items()
        if system.jurisdiction is not None and table.region_of(system.jurisdiction) == region
    }


def carriers(plan: Plan, region: str) -> tuple[str, ...]:
    """The systems that are told of calls in `region`: through them people are reached, and through nothing else."""
    return tuple(name for name, system in systems_of(plan, region).items() if system.webhook is not None)


def messages_for(
    case: Case, entry: Entry, plan: Plan, region: str, clocks: Callable[[], Iterable[Clock]]
) -> list[Message]:
    """What to tell to whom of `entry`; `case` is the case with it, `clocks` reckons its clocks if they are told.

    The same entry always makes messages of the same ids: ``CASE/NUMBER/SYSTEM``.
    """
    type_ = type_of(entry.payload)
    if type_ is None or (case.restricted is not None and type_ not in RESTRICTED):
        return []
    if isinstance(entry.payload, kinds.Called) and _just_called(case, entry, entry.payload):
        return []
    told = None
    messages = []
    for name, system in systems_of(plan, region).items():
        for_it = system.events == "all" or type_ in FOR_PAGERS
        if system.webhook is None or not for_it or not _meant(entry, name):
            continue
        told = told or _told(case, entry, type_, region, clocks)
        ref = next((link.ref for link in case.links if link.system == name), None)
        ref = ref or (case.opened.ref if case.opened.system == name else None)
        body = _encoder.encode(msgspec.structs.replace(told, data=msgspec.structs.replace(told.data, ref=ref or None)))
        messages.append(Message(f"{case.id}/{entry.number}/{name}", name, body))
    return messages


def type_of(payload: Payload) -> Type | None:
    """What kind of message an entry makes; None for notes, tasks, and what stays inside."""
    match payload:
        case kinds.Opened():
            return "case.opened"
        case kinds.Called():
            return "case.called"
        case kinds.Acknowledged():
            return "case.acknowledged"
        case kinds.ClocksSet() | kinds.Submitted() | kinds.Waived():
            return "case.clocks"
        case kinds.Linked():
            return "case.linked"
        case kinds.Closed() | kinds.MergedInto():
            return "case.closed"
        case (
            kinds.Contained() | kinds.Sealed() | kinds.Purged() | kinds.Counted() | kinds.StepFailed()
            | kinds.MomentSet() | kinds.HandedOver() | kinds.TookIn() | kinds.SplitOff() | kinds.SplitFrom()
            | kinds.Resolved() | kinds.Reopened() | kinds.Correction()
        ):  # fmt: skip
            return "case.changed"
    return None


def moment(at: int) -> str:
    """Unix microseconds as RFC 3339, UTC, to the millisecond."""
    text = (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _just_called(case: Case, entry: Entry, called: kinds.Called) -> bool:
    return any(
        one.person == called.person and one.reason != called.reason and entry.at - SAME_CALL <= one.at < entry.at
        for one in case.calls
    )


def _meant(entry: Entry, system: str) -> bool:
    """A link is told to the linked system alone, and not to the one that said it."""
    return not isinstance(entry.payload, kinds.Linked) or (
        entry.payload.system == system and entry.by != f"hook:{system}"
    )


def _told(case: Case, entry: Entry, type_: Type, region: str, clocks: Callable[[], Iterable[Clock]]) -> Told:
    data = CaseTold(
        case=case.id,
        entry=entry.number,
        region=region,
        state=case.state,
        restricted=case.restricted is not None,
        drill=case.opened.drill,
        ref=None,
        opened_at=moment(case.opened_at),
        acknowledged_at=_moment(case.acknowledged_at),
        called=_call(entry.payload),
        closed_at=_moment(case.closed_at),
    )
    if case.restricted is None:
        data = _more(data, case, entry, clocks())
    return Told(type=type_, timestamp=moment(entry.at), data=data, ocsf=_ocsf(case, entry, type_))


def _more(data: CaseTold, case: Case, entry: Entry, clocks: Iterable[Clock]) -> CaseTold:
    urgent = sorted((clock for clock in clocks if clock.applies != "no"), key=_urgency)
    failed = entry.payload if isinstance(entry.payload, kinds.StepFailed) else None
    return msgspec.structs.replace(
        data,
        contained_at=_moment(case.contained_at),
        sealed_at=_moment(case.sealed_at),
        purged_at=_moment(case.purged_at),
        resolved_at=_moment(case.resolved_at),
        leads=case.leads,
        merged_into=case.merged_into,
        split_from=case.split_from,
        scopes=tuple(_codes(case.scopes)),
        rules=tuple(_codes(case.rules)),
        findings=case.found_count,
        failed=f"{failed.step}:{_code(failed.code)}"[:100] if failed else None,
        moments={event: moment(at) for event, at in sorted(case.moments.items())[:20]},
        affected=_counts(case),
        clocks=tuple(map(_clock, urgent[:CLOCKS])),
        clocks_left_out=max(0, len(urgent) - CLOCKS),
    )


def _urgency(clock: Clock) -> tuple[bool, bool, int, str]:
    """Those that count first: what is done, and what nobody knows to apply, comes last."""
    doubtful = clock.state == "not_started" and clock.applies == "unknown"
    return clock.state in _DONE, doubtful, clock.due or clock.cautious or 1 << 60, clock.id


def _call(payload: Payload) -> CallTold | None:
    if not isinstance(payload, kinds.Called):
        return None
    return CallTold(role=payload.role, person=payload.person, reason=_code(payload.reason), rung=payload.rung)


def _counts(case: Case) -> Counts | None:
    known = case.counted
    if known is None:
        return None
    return Counts(
        at=moment(known.as_of),
        exchanges=known.exchanges,
        exposed=known.exposed,
        subjects=known.subjects,
        exposed_subjects=known.exposed_subjects,
    )


def _clock(clock: Clock) -> ClockTold:
    return ClockTold(
        id=_code(clock.id)[:80],
        version=_code(clock.rule_version)[:40],
        state=clock.state,
        applies=clock.applies,
        owner=clock.owner,
        start=_moment(clock.start_at),
        due=_moment(clock.due),
        cautious=_moment(clock.cautious),
        percent=min(9999, max(0, int(clock.share * 100))),
    )


def _ocsf(case: Case, entry: Entry, type_: Type) -> dict[str, object]:
    """The essentials of OCSF 1.8 class 2005; times in milliseconds. Its severity is that of the breach, if scored."""
    activity = {"case.opened": 1, "case.closed": 3}.get(type_, 2)
    status = {"new": 1, "in_progress": 2, "resolved": 4}.get(case.state, 5)
    return {
        "category_uid": 2,
        "class_uid": 2005,
        "activity_id": activity,
        "type_uid": 200_500 + activity,
        "time": entry.at // 1000,
        "severity_id": _severity(case),
        "status_id": status,
        "finding_info_list": [{"uid": case.id, "title": "Firedoor case"}],
        "metadata": {"version": "1.8.0", "product": {"name": "Firedoor", "vendor_name": "Firedoor"}},
    }


def _severity(case: Case) -> int:
    """0 unknown, then ENISA's low, medium, high, very high as 2 to 5: from 2, 3 and 4 points on. Restricted: 0."""
    if case.scored is None or case.restricted is not None:
        return 0
    return 2 + sum(case.scored.quarters >= limit for limit in (8, 12, 16))


def _moment(at: int | None) -> str | None:
    return moment(at) if at is not None else None


def _codes(values: Iterable[str]) -> Iterator[str]:
    return (_code(value) for value, _ in zip(values, range(PLACES), strict=False))


def _code(text: str) -> str:
    """`text`, if it is a code; nothing that could be words of somebody passes."""
    return text if _CODE.fullmatch(text) else "other"
