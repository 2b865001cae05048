"""Calls people for the open cases of a region until somebody acknowledges: `core.incident.oncall` says whom and when.

A call is an entry of its case, and the messages that go with it are queued in the same transaction: what was called is
known after any crash, and nobody is called twice for the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import structs

from firedoor.core.incident.calendars import Calendars
from firedoor.core.incident.case import Case
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO, Called, Entry
from firedoor.core.incident.hooks import carriers
from firedoor.core.incident.oncall import calls_due
from firedoor.core.plan.model import Plan
from firedoor.errors import StateBusy

log = logging.getLogger("firedoor.control")

EVERY: Final = 1.0
"""Seconds between two looks: a case that opens calls within one, and to look costs microseconds a case."""
CLOCKS_EVERY: Final = 20 * MICRO
"""Microseconds for which the clocks of a case stand if nothing is written: to reckon them takes some milliseconds, and
a share of the shortest is a quarter of an hour.
"""


class Cases(Protocol):
    """What calling asks of `firedoor.control.incidents.Incidents`."""

    def open_cases(self) -> Sequence[Case]:
        """The cases that have not ended."""
        ...

    def clocks(self, case: Case, now: int) -> tuple[Clock, ...]:
        """The clocks of a case at `now` (Unix microseconds)."""
        ...

    async def add(self, case_id: str, payload: Called) -> Entry:
        """Write an entry. Raises `ActRefused`, `FiredoorError`, OSError."""
        ...


class _Reckoned(NamedTuple):
    """The clocks of a case with its newest entry `number`, as they stood `at` (microseconds)."""

    number: int
    at: int
    clocks: tuple[Clock, ...]


class Calling:
    """Looks at the open cases of `region` about once a second. `now_ns` is Unix nanoseconds."""

    def __init__(
        self, cases: Cases, plan: Plan, region: str, calendars: Calendars, now_ns: Callable[[], int]
    ) -> None:  # fmt: skip
        self._cases = cases
        self._plan = plan
        self._told = carriers(plan, region)
        self._calendars = calendars
        self._now_ns = now_ns
        self._said: dict[str, str] = {}
        self._reckoned: dict[str, _Reckoned] = {}

    async def run(self) -> None:
        """Until cancelled. Raises `StateBusy` when another process took over."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> int:
        """Make the calls that are due, and say how many. A case that cannot be looked at keeps no other one waiting."""
        made = 0
        cases = list(self._cases.open_cases())
        self._reckoned = {case.id: self._reckoned[case.id] for case in cases if case.id in self._reckoned}
        for case in cases:
            try:
                made += await self._call_for(case)
            except StateBusy:
                raise
            except Exception as error:  # noqa: BLE001  calling goes on, whatever one case holds
                self._say(f"case {case.id}", error)
            else:
                self._said.pop(f"case {case.id}", None)
        return made

    async def _call_for(self, case: Case) -> int:
        now = self._now_ns() // 1000
        due = calls_due(case, await self._clocks(case, now), self._plan, now, self._calendars)
        for called in due:
            await self._cases.add(case.id, structs.replace(called, told=self._told))
            how = f"is called by {', '.join(self._told)}" if self._told else "is NOT REACHED, no system carries calls,"
            log.warning("case %s: %s %s as %s: %s", case.id, called.person, how, called.role, called.reason)
        return len(due)

    async def _clocks(self, case: Case, now: int) -> tuple[Clock, ...]:
        """Its clocks; none while they cannot be reckoned: that a case opened calls all the same."""
        known = self._reckoned.get(case.id)
        if known is not None and known.number == case.number and abs(now - known.at) < CLOCKS_EVERY:
            return known.clocks
        await asyncio.sleep(0)  # between two cases the switches have their turn
        try:
            found = self._cases.clocks(case, now)
        except Exception as error:  # noqa: BLE001  whatever is wrong with the law
            self._say(f"clocks of {case.id}", error)
            return ()
        self._said.pop(f"clocks of {case.id}", None)
        self._reckoned[case.id] = _Reckoned(case.number, now, found)
        return found

    def _say(self, what: str, error: Exception) -> None:
        """Once for each kind of failure: it is tried again every second."""
        kind = type(error).__name__
        if self._said.get(what) != kind:
            self._said[what] = kind
            log.error("calling: %s: %s; it is tried again", what, kind)
