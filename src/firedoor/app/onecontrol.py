"""Of the control processes of a region one speaks. The others wait; and one that was taken over says nothing more.

A second one stands by until the first is gone: with SQLite on the same host, as when a new process is to follow the
old one, with PostgreSQL on any host. There the first one, if it only hung, must notice before its next beat that
another speaks now. So it asks the database all the time, and beats only if it asked within `FRESH`: for so long nobody
can have taken over. A database that does not answer is no reason to stop: the beat goes on, shutting works, and nobody
else can begin.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from firedoor.app.hostpart import STANDS_BY
from firedoor.core.people import Signed
from firedoor.core.switches import Table
from firedoor.errors import StateBusy, StateUnavailable
from firedoor.ports.switches import TableOutput
from firedoor.store.control_connect import FRESH
from firedoor.store.controlstate import ControlState

log = logging.getLogger("firedoor.control")

ASK: Final = 0.5
"""Seconds between two questions to the database: whether we are still the one, or whether we may begin."""
LOOK: Final = 0.05
"""Seconds between two looks at the lock of a SQLite file, which cost nothing."""
RIVAL: Final = 10.0
"""Seconds for which it counts that another control of the region was heard."""

_T = TypeVar("_T")


async def begin_alone(where: Path | str, region: str, host: str = "") -> ControlState:
    """The durable state, once this process is the one that writes it.

    Waits while another one does, and while the database cannot be reached. Raises `SetupError`.
    """
    state = ControlState(where, region, host)
    try:
        await _until_done(state.begin, STANDS_BY, ASK if state.shared else LOOK)
    except BaseException:
        await asyncio.to_thread(state.close)
        raise
    return state


async def when_readable(take_up: Callable[[], _T]) -> _T:
    """What `take_up` gives, as soon as the database can be asked what it holds. Raises `SetupError`."""

    def work() -> _T:
        try:
            return take_up()
        except OSError as error:
            raise StateUnavailable(f"{error.strerror}.") from error

    return await _until_done(work, None, ASK)


async def _until_done(work: Callable[[], _T], busy: str | None, pause: float) -> _T:
    """What `work` gives once it does; `busy` is what to say while another control writes, None to raise then."""
    said = ""
    while True:
        try:
            return await asyncio.to_thread(work)
        except StateBusy:
            if busy is None:
                raise
            why = busy
        except StateUnavailable as error:
            why = f"AI IS OFF until the switch table can be read: {error}"
        if why != said:
            log.warning("%s", why)
        said = why
        await asyncio.sleep(pause)


class Alone:
    """A `TableOutput` that beats only while no other control of the region can have taken over."""

    def __init__(
        self, output: TableOutput, state: ControlState, *, boottime_ns: Callable[[], int] | None = None
    ) -> None:
        self._output = output
        self._state = state
        self._boottime_ns = boottime_ns or _boottime_ns
        self._held = self._tried = self._now()  # the database was asked just now
        self._rival = -RIVAL
        self._ask = asyncio.Event()
        self._answers = True

    @property
    def sure(self) -> bool:
        """Whether the database was asked so lately that nobody can have taken over."""
        return not self._state.shared or self._now() - self._tried < FRESH

    def publish(self, table: Table, opened: Sequence[Signed]) -> None:
        """See the port. A shut never waits; an opening is durable by now, which proves that nobody took over."""
        self._output.publish(table, opened)

    def beat(self) -> None:
        """See the port. Nothing is said while it is not sure who speaks."""
        if self.sure:
            self._output.beat()
        else:
            self._ask.set()

    def heard(self, version: int, ours: int) -> None:
        """Another process said a table of this region. One that is newer than ours: has somebody taken over?"""
        if version > ours:
            self._rival = self._now()
            self._ask.set()

    async def watch(self) -> None:
        """Ask until cancelled. Raises `StateBusy` once another control has taken over: end then."""
        if not self._state.shared:
            await asyncio.Event().wait()
        while True:
            self._ask.clear()
            asked = self._now()
            try:
                await asyncio.to_thread(self._state.confirm)
            except OSError as error:
                self._unanswered(asked, error)
            else:
                self._held = self._tried = asked
                if not self._answers:
                    log.warning("the database of the switch table answers again")
                self._answers = True
            try:
                async with asyncio.timeout(ASK):
                    await self._ask.wait()
            except TimeoutError:
                continue

    def _unanswered(self, asked: float, error: OSError) -> None:
        """Go on as before, unless another control was heard. An answer that was slept through is none."""
        now = self._now()
        if now - self._rival < RIVAL and now - self._held >= FRESH:
            raise StateBusy("Another control process of this region is heard, and the database does not answer.")
        if now - asked < FRESH:
            self._tried = now
        if self._answers:
            log.error("the database of the switch table does not answer: what is shut now is not durable (%s)", error)
        self._answers = False

    def _now(self) -> float:
        return self._boottime_ns() / 1e9


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
