"""Who is on call for a role at a moment, and who of them is called now. Pure: plan, case and clocks in, calls out.

Calls follow from the case alone: what was called stands in its entries, so a restart calls nobody twice. Calling begins
when a case opens, when a share of a clock's time is over, or when another system said something that a person has to
look at. Each reason calls once; then it goes on from person to person, one line for each role however many its reasons
are, until somebody acknowledges after the last call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

from firedoor.core.incident.calendars import Calendars
from firedoor.core.incident.case import Call, Case
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO, Called
from firedoor.core.incident.rights import may_see
from firedoor.core.plan.model import Plan
from firedoor.core.plan.response import Shift, Weekday
from firedoor.core.plan.words import Role

COMMANDER: Final[Role] = "incident_commander"
OPENED: Final = "opened"
"""Reason of the first call of a case."""
SHARES: Final = (100, 90, 75, 50)
"""Per cent of a clock's time after which its owner is called."""
TOLD: Final = "told:"
"""How the reason of a call begins that is made because another system said something: ``told:SYSTEM:EVENT``."""
ROUNDS: Final = 5
"""How often calling goes round for a reason: who answers none of five calls is not woken by more. A new one may be."""
LAST_RUNG: Final = 1000
"""Highest number of a call, as entries have it."""
SHORTEST_TURN: Final = 3600
"""Seconds: the change of clocks is an hour, and who is in turn must not depend on which of its hours it is."""

_DAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def on_call(plan: Plan, role: Role, at: int, calendars: Calendars) -> list[str]:
    """The people to call for `role` at `at` (Unix microseconds), in order: who is in turn, primary, deputy, everybody
    with the role; then the same of the incident commander's. Never nobody: at last everybody of the plan.
    """
    moment = _EPOCH + timedelta(microseconds=at)
    names = [name for wanted in (role, COMMANDER) for name in _of_role(plan, wanted, moment, calendars)]
    return [name for name in dict.fromkeys(names) if name in plan.people] or list(plan.people)


def calls_due(case: Case, clocks: Iterable[Clock], plan: Plan, now: int, calendars: Calendars) -> list[Called]:
    """The calls to make now (Unix microseconds). `clocks` are those of `case` as they stand.

    Each share of each clock calls once, the highest that is over. A clock that is met, waived, halted or does not apply
    calls nobody. Who holds a role in the case (`Assigned`) is called before those on call.
    """
    if case.ended:
        return []
    standing: dict[Role, list[str]] = {}
    for role, reason in (*_opening(case), *_told(case), *(one[2:] for one in sorted(_pressing(case, clocks)))):
        standing.setdefault(role, []).append(reason)
    return [call for role, reasons in standing.items() for call in _for_role(case, plan, role, reasons, now, calendars)]


def clock_reason(clock: str, share: int) -> str:
    """Why somebody is called for a clock: ``eu.gdpr.33.1:75``."""
    return f"{clock}:{share}"


# Who is on call


def _of_role(plan: Plan, role: Role, moment: datetime, calendars: Calendars) -> Iterator[str]:
    duty = plan.duties.get(role)
    if duty is not None:
        for shift in duty.shifts:
            person = in_turn(shift, moment, calendars.zone(shift.zone))
            if person is not None:
                yield person
        yield from (name for name in (duty.primary, duty.deputy) if name is not None)
    yield from (name for name, person in plan.people.items() if role in person.roles)


def in_turn(shift: Shift, moment: datetime, zone: tzinfo) -> str | None:
    """Whose turn it is at `moment` (aware), or None out of the shift's hours and before its first turn.

    Turns and hours begin and end at local times. One that comes twice (clocks go back) counts when it first comes, one
    that never comes (clocks go forward) when it would have come without the change.
    """
    start, end = (time.fromisoformat(text) for text in shift.hours.split("-"))
    today = moment.astimezone(zone).date()
    for day in (today, today - _DAY):
        last = day if start < end else day + _DAY
        if _DAYS[day.weekday()] in shift.days and _at(day, start, zone) <= moment < _at(last, end, zone):
            turn = _turn(shift, start, moment, zone)
            return shift.people[turn % len(shift.people)] if turn >= 0 else None
    return None


def _turn(shift: Shift, start: time, moment: datetime, zone: tzinfo) -> int:
    """How many turns are over at `moment`; below 0 before the first."""
    first = datetime.combine(date.fromisoformat(shift.first), start)
    every = timedelta(seconds=max(float(shift.every), SHORTEST_TURN))
    turn = (moment.astimezone(zone).replace(tzinfo=None) - first) // every
    while _local(first + (turn + 1) * every, zone) <= moment:
        turn += 1
    while _local(first + turn * every, zone) > moment:
        turn -= 1
    return turn


def _at(day: date, hour: time, zone: tzinfo) -> datetime:
    return _local(datetime.combine(day, hour), zone)


def _local(wall: datetime, zone: tzinfo) -> datetime:
    """The moment of a local time, in UTC: Python compares two of one zone by what their clocks show."""
    return wall.replace(tzinfo=zone).astimezone(UTC)


# Who is called now


class _Pressing(NamedTuple):
    """A clock of which `share` per cent are over. They sort by urgency."""

    left: int
    due: int
    role: Role
    reason: str


def _pressing(case: Case, clocks: Iterable[Clock]) -> Iterator[_Pressing]:
    for clock in clocks if case.has_clocks else ():
        share = next((share for share in SHARES if clock.share * 100 >= share), None)
        if share is not None and _counts(clock):
            due = clock.due if clock.due is not None else clock.cautious or 0
            yield _Pressing(100 - share, due, clock.owner, clock_reason(clock.id, share))


def _counts(clock: Clock) -> bool:
    """Whether it calls. One that has not started and of which nobody knows whether it applies does not yet: there are
    dozens of them in the world, and the case itself has called.
    """
    if clock.state == "not_started":
        return clock.applies in {"yes", "likely"}
    return clock.state in {"running", "missed"} and clock.applies != "no"


def _opening(case: Case) -> list[tuple[Role, str]]:
    """The case itself calls, unless somebody is known to be at it: who split it off, acknowledged or resolved it."""
    at_it = case.split_from is not None or case.acknowledged_at is not None or case.state == "resolved"
    return [] if at_it else [(COMMANDER, OPENED)]


def _told(case: Case) -> list[tuple[Role, str]]:
    """What other systems said: the listener made the first call."""
    return list(dict.fromkeys((call.role, call.reason) for call in case.calls if call.reason.startswith(TOLD)))


def _for_role(
    case: Case, plan: Plan, role: Role, reasons: Sequence[str], now: int, calendars: Calendars
) -> list[Called]:
    """The calls for `role`: one for each of `reasons` that has not called yet; else the next person's, if it is time.

    Without an answer it goes to whoever was called least, in order; a new reason does not start it all over.
    """
    answered = case.acknowledged_at
    calls = [
        call for call in case.calls
        if call.role == role and call.reason in reasons and (answered is None or call.at > answered)
    ]  # fmt: skip
    order = order_for(case, plan, role, now, calendars)
    tries = [call for number, call in enumerate(calls) if call.rung or number == 0]
    late = bool(tries) and now - tries[-1].at >= plan.incidents.acknowledge * MICRO
    times = Counter(call.person for call in tries)
    person = min(order, key=lambda name: times[name]) if late else order[0]
    rung = min(len(tries), LAST_RUNG) if late else 0
    known = {call.reason for call in case.calls}
    new = [reason for reason in reasons if reason not in known]
    if new:
        return [_call(role, person, reason, rung if reason is new[0] else 0) for reason in new]
    if not late or _since_new(calls) >= ROUNDS * len(order):
        return []
    reason = next(reason for reason in reasons if any(call.reason == reason for call in calls))
    return [_call(role, person, reason, rung)]


def _since_new(calls: Sequence[Call]) -> int:
    """How many calls were made since a reason called first, with that one."""
    firsts = {call.reason: number for number, call in reversed(list(enumerate(calls)))}
    return len(calls) - max(firsts.values())


def order_for(case: Case, plan: Plan, role: Role, now: int, calendars: Calendars) -> list[str]:
    """Who is called for `role` in this case: of a restricted one only who may see it, if anybody may."""
    names = [name for name in (case.assigned.get(role), *on_call(plan, role, now, calendars)) if name in plan.people]
    names = list(dict.fromkeys(names))
    may = [name for name in (*names, *plan.people) if may_see(case, name, plan)]
    return [name for name in names if name in may] or may or names


def _call(role: Role, person: str, reason: str, rung: int) -> Called:
    return Called(role=role, person=person, reason=reason, rung=rung)
