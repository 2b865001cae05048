"""Follows the journals of a region into its index of exchanges. The journal is the queue: what fails is read again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from firedoor.agent.follower import Follower
from firedoor.errors import FiredoorError, StateBusy, StateDamaged, StateUnavailable
from firedoor.ports.evidence import IndexHome, Slots

log = logging.getLogger("firedoor.agent")

PAUSE: Final = 0.25
"""Seconds between looks when there was nothing new: one listing of a folder and two calls a slot."""
RETRY: Final = (0.5, 1.0, 2.0, 5.0)
"""Seconds before the database is tried again, the last one from then on."""
SAID_EVERY: Final = 2_000_000_000
"""Nanoseconds after which an idle index says again that it holds everything: a write on shared databases."""


class Status(Struct, frozen=True):
    """How the indexer is. `problem` is what keeps it back now, `damaged` the slots that cannot be read on."""

    indexed: int
    rebuilding: bool
    problem: str | None
    damaged: tuple[str, ...]


class Indexer:
    """Keeps the index of one region up to date until cancelled, in a thread beside the event loop.

    A database that cannot be used is tried again, for as long as it takes; a damaged one is set aside and made again.
    `clock_ns` gives Unix nanoseconds.
    """

    def __init__(
        self, home: IndexHome, slots: Slots, region: str, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._clock_ns = clock_ns
        self._at_rest = 0
        self._home = home
        self._slots = slots
        self._region = region
        self._live: Follower | None = None
        self._fresh: Follower | None = None
        self._rebuild = False
        self._turn = 0
        self._indexed = 0
        self._problem: str | None = None
        self._failures = 0
        self._nudged = asyncio.Event()
        self._working = threading.Lock()

    @property
    def status(self) -> Status:
        """How it is now."""
        damaged = self._live.damaged if self._live is not None else ()
        return Status(self._indexed, self._rebuild or self._fresh is not None, self._problem, damaged)

    def nudge(self) -> None:
        """There is something new: look at once."""
        self._nudged.set()

    def rebuild(self) -> None:
        """Make the index again from the start of the log. Readers see the present one until it is done."""
        self._rebuild = True
        self.nudge()

    async def run(self) -> None:
        """Follow until cancelled. Raises `SetupError` if this database cannot be ours."""
        try:
            while True:
                self._nudged.clear()
                busy = await asyncio.to_thread(self.work)
                if self._problem is not None:
                    await asyncio.sleep(RETRY[min(self._failures, len(RETRY)) - 1])
                elif not busy:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._nudged.wait(), PAUSE)
        finally:
            await asyncio.to_thread(self.close)

    def work(self) -> bool:
        """One bounded piece of work; whether there may be more. Failures of the database are kept in `status`."""
        with self._working:
            try:
                busy = self._step()
            except StateDamaged as error:
                self._failed(error)
                self._let_go()
                self._replace_damaged()
            except (StateUnavailable, StateBusy) as error:
                self._failed(error)
                self._let_go()
            else:
                if self._problem is not None:
                    log.info("the index goes on")
                self._problem, self._failures = None, 0
                return busy
            return False

    def close(self) -> None:
        """Let go of journals and database, after the work under way."""
        with self._working:
            self._let_go()

    def _step(self) -> bool:
        if self._live is None:
            index = self._home.open()
            try:
                self._live = Follower(index, self._slots, self._region)
            except BaseException:
                index.close()
                raise
        if self._home.rebuild_wanted():
            self._rebuild = True
        if self._rebuild:
            self._begin_rebuild(self._live)
        if self._fresh is not None:
            return self._rebuild_on(self._live, self._fresh)
        return self._read_on(self._live)

    def _read_on(self, live: Follower) -> bool:
        """Take a batch into the present index; whether there was any."""
        began = self._clock_ns()
        taken = live.step()
        self._indexed += taken
        if not taken and began - self._at_rest >= SAID_EVERY:
            if not live.damaged:
                live.index.caught_up(began // 1000)
            live.index.tidy()
            self._at_rest = began
        return taken > 0

    def _begin_rebuild(self, live: Follower) -> None:
        log.info("the index is made again from the log")
        if self._fresh is not None:
            self._fresh.close()
        self._fresh = Follower(live.index.fresh(), self._slots, self._region)
        self._rebuild = False

    def _rebuild_on(self, live: Follower, fresh: Follower) -> bool:
        """The new index and the present one in turn: questions asked meanwhile are answered from the present."""
        self._turn ^= 1
        if self._turn:
            self._read_on(live)
            return True
        if fresh.step():
            return True
        if fresh.damaged:
            log.error("no rebuild, the index stays as it is: %s cannot be read whole", ", ".join(fresh.damaged))
            fresh.close()
            self._fresh = None
            live.index.drop_fresh()
            return True
        live.index.replace_by(fresh.index)
        fresh.close()
        live.close()
        self._fresh = None
        self._live = Follower(live.index, self._slots, self._region)
        log.info("the index that was made again is in place")
        return True

    def _failed(self, error: FiredoorError) -> None:
        if self._problem != error.message:
            log.error("the index is behind: %s", error)
        self._problem = error.message
        self._failures += 1

    def _let_go(self) -> None:
        """Close everything; a rebuild under way begins anew."""
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None
            self._rebuild = True
        if self._live is not None:
            self._live.close()
            self._live.index.close()
            self._live = None

    def _replace_damaged(self) -> None:
        try:
            where = self._home.set_aside()
        except FiredoorError as error:
            self._failed(error)
            return
        self._rebuild = False  # an empty index is made from the start of the log anyway
        log.error("the damaged index was set aside as %s: it is made again from the log", where)
