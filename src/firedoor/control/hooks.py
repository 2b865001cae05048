"""Takes what another system told, signature and shape looked at before, into the cases of the region.

Told again, nothing happens again: a case that a system opens is known by its id there, and an entry that a system's
words made already is not made twice. So no list of deliveries must be kept, and a restart forgets none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from firedoor.core.incident import incoming
from firedoor.core.incident.calendars import Calendars
from firedoor.core.incident.case import Case, by_person
from firedoor.core.incident.entries import AUTOMATIC, MICRO, Called, Entry, Linked, MomentSet, Opened, Payload
from firedoor.core.incident.hooks import carriers
from firedoor.core.incident.incoming import Incoming, LinkCase, OpenCase, TellMoment, TellState
from firedoor.core.incident.oncall import TOLD, order_for
from firedoor.core.plan.model import Plan
from firedoor.core.plan.words import Role
from firedoor.errors import ActRefused

OPEN_CASES: Final = 50
"""Cases of one system that may be open at a time: more is no shop's bad day but a rule gone wrong."""
ENTRIES: Final = 200
"""Entries that one system may add to one case: states and moments of weeks."""
_MERGES: Final = 20
"""How often a case may have gone on as another one."""


class Cases(Protocol):
    """What hooks ask of `firedoor.control.incidents.Incidents`."""

    def open_cases(self) -> Sequence[Case]:
        """The cases that have not ended."""
        ...

    async def case(self, case_id: str) -> Case:
        """A case, ended or not. Raises `ActRefused` if there is none."""
        ...

    async def open_for(self, by: str, payload: Opened, trigger: bytes) -> Case:
        """The case that `trigger` opens, or opened already."""
        ...

    async def add(self, case_id: str, payload: Payload, by: str = ...) -> Entry:
        """Write an entry. Raises `ActRefused`, `FiredoorError`, OSError."""
        ...


class Taken(NamedTuple):
    """What came of it: the case, the number of its newest entry, its state, and whether anything is new."""

    case: str
    entry: int
    state: str
    new: bool


class HookDesk:
    """Takes one message at a time: two deliveries of the same thing do not overtake each other. Used from one loop."""

    def __init__(
        self, cases: Cases, plan: Plan, region: str, calendars: Calendars, now_ns: Callable[[], int]
    ) -> None:  # fmt: skip
        self._cases = cases
        self._plan = plan
        self._region = region
        self._calendars = calendars
        self._now_ns = now_ns
        self._one = asyncio.Lock()

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self._now_ns() / 1e9

    async def take(self, system: str, message: Incoming) -> Taken:
        """Take what `system` says. Raises `ActRefused` with a code, and as `Incidents` does."""
        async with self._one:
            match message:
                case OpenCase():
                    return await self._open(system, message)
                case LinkCase(data=data):
                    return await self._write(system, await self._case(system, data.case, None), _link(system, data))
                case TellMoment():
                    return await self._moment(system, message)
                case TellState(data=data):
                    case = await self._case(system, data.case, data.ref)
                    return await self._write(system, case, incoming.noted(system, message, self._micro()))

    async def _open(self, system: str, message: OpenCase) -> Taken:
        ref = message.data.ref
        case = await self._of_ref(system, ref)
        new = False
        if case is None:
            payload = incoming.opened(system, message, self._plan, self._region, self._micro())
            if sum(one.opened.system == system for one in self._cases.open_cases()) >= OPEN_CASES:
                raise ActRefused(
                    "too_many_cases",
                    f"{OPEN_CASES} cases of this system are open.",
                    remedy="Look at them first: close, or merge, what is one.",
                )
            case = await self._cases.open_for(_by(system), payload, incoming.trigger(system, ref))
            new = not case.ended
        if case.ended:  # it was opened for this long ago: a person opens it again, if need be
            return Taken(case.id, case.number, case.state, False)
        taken = await self._write(system, case, _link(system, message.data))
        return taken._replace(new=new)

    async def _moment(self, system: str, message: TellMoment) -> Taken:
        data, now = message.data, self._micro()
        case = await self._case(system, data.case, data.ref)
        if data.event == "detected":
            moved = incoming.detected(system, data, now)
            if _has(case, system, moved) or (not _set_by_person(case) and moved.at < case.moments["detected"]):
                return await self._write(system, case, moved)
            return await self._write(system, case, incoming.noted(system, message, now))
        taken = await self._write(system, case, incoming.noted(system, message, now))
        case = await self._cases.case(case.id)
        reason = f"{TOLD}{system}:{data.event}"
        told = [call.at for call in case.calls if call.reason == reason]
        pause = int(float(self._plan.incidents.acknowledge) * MICRO)
        if not told or (taken.new and now - max(told) >= pause):  # a machine that talks on wakes nobody every time
            await self._call(case, "dpo", reason)
        return taken

    async def _call(self, case: Case, role: Role, reason: str) -> None:
        """The first call; `control.calling` goes on. Of `aware` and its like a person must say whether it is so."""
        person = order_for(case, self._plan, role, self._micro(), self._calendars)[0]
        called = Called(role=role, person=person, reason=reason, told=carriers(self._plan, self._region))
        await self._cases.add(case.id, called, by=AUTOMATIC)

    async def _write(self, system: str, case: Case, payload: Payload) -> Taken:
        if _has(case, system, payload):
            return Taken(case.id, case.number, case.state, False)
        if sum(entry.by == _by(system) for entry in case.entries) >= ENTRIES:
            raise ActRefused("too_many_entries", f"This system has added {ENTRIES} entries to the case already.")
        entry = await self._cases.add(case.id, payload, by=_by(system))
        return Taken(case.id, entry.number, case.state, True)

    async def _case(self, system: str, name: str | None, ref: str | None) -> Case:
        """The case that is meant, as it goes on. Raises `ActRefused` with ``unknown_case``."""
        case = await self._cases.case(name) if name is not None else await self._of_ref(system, ref)
        if case is None:
            raise ActRefused("unknown_case", "No open case is linked to this `ref`.", remedy="Open or link it first.")
        return await self._living(case)

    async def _living(self, case: Case) -> Case:
        """The case as which it goes on."""
        for _ in range(_MERGES):
            if case.merged_into is None:
                break
            case = await self._cases.case(case.merged_into)
        return case

    async def _of_ref(self, system: str, ref: str | None) -> Case | None:
        """The open case that is `ref` there, or that took such a one in."""
        for case in self._cases.open_cases():
            if _is(case, system, ref) or await self._took_in(case, system, ref, _MERGES):
                return case
        return None

    async def _took_in(self, case: Case, system: str, ref: str | None, depth: int) -> bool:
        for name in case.took_in if depth else ():
            one = await self._cases.case(name)
            if _is(one, system, ref) or await self._took_in(one, system, ref, depth - 1):
                return True
        return False

    def _micro(self) -> int:
        return self._now_ns() // 1000


def _is(case: Case, system: str, ref: str | None) -> bool:
    """Whether the case is `ref` in that system: it opened it so, or it is linked so."""
    opened = case.opened.system == system and case.opened.ref == ref
    return opened or any(link.system == system and link.ref == ref for link in case.links)


def _by(system: str) -> str:
    return f"hook:{system}"


def _link(system: str, data: incoming.OpenData | incoming.LinkData) -> Linked:
    return incoming.linked(system, data)


def _has(case: Case, system: str, payload: Payload) -> bool:
    """Whether the system's words made this entry already."""
    return any(entry.by == _by(system) and entry.payload == payload for entry in case.entries)


def _set_by_person(case: Case) -> bool:
    """Whether a person said when it was detected: what they signed stands."""
    said = (case.said(entry.number) for entry in case.entries if by_person(entry))
    return any(isinstance(payload, MomentSet) and payload.event == "detected" for payload in said)
