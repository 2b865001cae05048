"""The switch agent of a host, a process of its own: switch tables from the bus to this host's workers, and back to the
region's control what this host found, and how it does. Beside that, sums of sessions between hosts (`sessiontalk`).

Nothing here waits for control, a disk or a key server once it runs. Without keys it waits for them: the page grows
stale meanwhile, and AI is off.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

from firedoor.agent.page import PageWriter
from firedoor.agent.reporter import Reporter
from firedoor.agent.switchagent import SwitchAgent
from firedoor.app.buses import region_bus
from firedoor.app.handover import HandedKeys
from firedoor.app.hostpart import FOLLOWS, WAITS
from firedoor.app.regionkeys import open_region
from firedoor.app.sessiontalk import SessionTalk
from firedoor.app.signals import on_stop
from firedoor.app.switchkeys import home_keys, region_keys
from firedoor.bus.nudge import NudgeAll, NudgeReceiver
from firedoor.bus.several import Several
from firedoor.config import Home, RegionHome
from firedoor.core import hosts, topics
from firedoor.core.hosts import Report
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import Scope
from firedoor.errors import FiredoorError, SetupError
from firedoor.keys.derive import WorkerKeys
from firedoor.store.cursorfile import CursorFile
from firedoor.store.journal_tail import JournalTail
from firedoor.store.shutfile import ShutFileWatch
from firedoor.store.tablecopy import TableCopy
from firedoor.upstream.process import Backoff

log = logging.getLogger("firedoor.switches")

LOOK: Final = 0.25
"""Seconds between looks whether the parent has keys by now."""
AGAIN: Final = Backoff(first=2.0, most=60.0)
"""Between two questions to a root that has given no keys."""
FILE_TICK: Final = 0.05
"""Seconds between looks at the SHUT file. This host's workers look by themselves; this is for the other hosts."""
COUNT_STEP: Final = 1 << 22
"""Own messages are counted in steps below this, drawn anew each time: nobody can guess the next count and have control
answer it before it is sent. 200 messages a second stay behind the nanoseconds that a start counts from.
"""
SPACING: Final = 0.005
"""Seconds between two messages at least: whatever happens here, control is not flooded."""
KEEP_CURSORS: Final = 10.0
"""Seconds between two savings of how far the journals were read: so much is read again by the next start."""
CHECK: Final = 1000
"""Records read at a time before the first table is taken."""


async def serve_switches(
    home: Home,
    loaded: Loaded,
    region: str,
    host: str,
    plan_folder: Path,
    keys_from: int | None = None,
    *,
    beside_control: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT. `host` is what this host is called on the region's bus.

    `keys_from` is the descriptor from which the parent's share of the region's keys is read; without one the root is
    asked. `beside_control`: the region's control reads the journals of this folder itself. Raises `SetupError` where
    there is nothing to follow; `EvidenceDamaged`, OSError when it must not go on: AI then goes off on this host. While
    another one follows here, it stands by.
    """
    if loaded.plan.regions[region].bus is None:
        raise SetupError(
            f"Region {region} has no bus: its control writes the switch page by itself.",
            remedy="A region of several hosts needs a `bus` in the plan.",
        )
    stop = asyncio.Event()
    on_stop(stop.set)
    place = home.region(region)

    async def follow() -> None:
        keys = await _wait_for_keys(place, loaded, plan_folder, keys_from)
        async with _alone(place):
            log.info(FOLLOWS)
            bus = region_bus(home, loaded, region, host, plan_folder)
            follower = Follower(home, loaded, place, host, keys, bus, beside_control=beside_control)
            try:
                await follower.run()
            finally:
                await follower.aclose()

    await _first(asyncio.create_task(follow(), name="switches"), asyncio.create_task(stop.wait(), name="stop"))


class Follower:
    """The parts of one switch agent."""

    def __init__(
        self,
        home: Home,
        loaded: Loaded,
        place: RegionHome,
        host: str,
        keys: WorkerKeys,
        bus: Several,
        *,
        beside_control: bool = False,
    ) -> None:
        self._place = place
        self._beat = float(loaded.plan.switches.beat)
        self._bus = bus
        self._secret = keys.protect.subkey("hosts")
        self._workers = NudgeAll(place.nudges)
        self._page = PageWriter(place.page)
        self._agent = SwitchAgent(
            place.name,
            loaded,
            host,
            page=self._page,
            copy=TableCopy(place.table_copy),
            keys=region_keys(place, keys),
            global_keys=home_keys(home, loaded.plan, place, keys),
            nudge=self._workers.send,
            beside_control=beside_control,
        )
        say = partial(bus.publish, topics.sessions(place.name))
        self._sessions = SessionTalk(host, keys.protect, place.sessions, say)
        self._journals = JournalTail(place.journals)
        self._reporter = Reporter(self._journals, place.name)
        self._cursors = CursorFile(place.report_cursors)
        self._files = ShutFileWatch(place.shut_file, place.latch_file)
        self._woken = asyncio.Event()
        self._nudged = NudgeReceiver(place.switches_nudge, self._woken.set)
        self._count = time.time_ns()
        self._ask = True
        self._told_latch = False
        self._reading = False
        self._failed: Exception | None = None

    async def run(self) -> None:
        """Show what was known before, then follow until cancelled. Raises `FiredoorError`, OSError."""
        self._agent.begin()
        await asyncio.to_thread(self._check_journals, self._begin_after())
        self._bus.subscribe(topics.table(self._place.name), self._take_table)
        self._bus.subscribe(topics.GLOBAL, self._take_global)
        self._bus.subscribe(topics.sessions(self._place.name), self._sessions.take)
        self._bus.on_connect = self._connected
        await self._bus.open()
        self._nudged.start()
        parts = {
            "messages": self._talk(),
            "SHUT file": self._watch_file(),
            "copies": self._agent.keep_copies(),
            "cursors": self._keep_cursors(),
            "sessions": self._sessions.run(),
        }
        await _first(*(asyncio.create_task(part, name=name) for name, part in parts.items()))

    async def aclose(self) -> None:
        """Stop listening. The page grows stale from here on."""
        self._nudged.close()
        await self._bus.aclose()
        if self._reading:
            with contextlib.suppress(OSError):
                self._cursors.save(self._reporter.cursors)
        self._sessions.close()
        self._journals.close()
        self._page.close()

    # What comes

    def _take_table(self, data: bytes) -> None:
        try:
            self._agent.take_table(data)
            if not self._reading and self._agent.counts["table"]:
                begun = self._reporter.begin(self._begin_after())
                self._reading = True
                self._agent.journals_known(begun)
            self._end_note()
        except (FiredoorError, OSError) as error:
            self._fail(error)

    def _take_global(self, data: bytes) -> None:
        try:
            self._agent.take_global(data)
        except OSError as error:
            self._fail(error)

    def _connected(self) -> None:
        """What was said while there was no connection is lost."""
        self._ask = True
        self._sessions.say_all()
        self._woken.set()

    def _fail(self, error: Exception) -> None:
        self._failed = error
        self._woken.set()

    # What goes out

    async def _talk(self) -> None:
        """One message with every beat, and at once when there is something to say."""
        while True:
            self._woken.clear()
            if self._failed is not None:
                raise self._failed
            self._agent.beat()
            self._end_note()
            self._say(self._reporter.look(self._agent.absorbed) if self._reading else ())
            await asyncio.sleep(SPACING)
            if self._reporter.behind:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat - SPACING):
                    await self._woken.wait()

    def _say(self, reports: tuple[Report, ...]) -> None:
        self._count += 1 + secrets.randbelow(COUNT_STEP)
        ask, self._ask = self._ask, False
        self._told_latch = self._latched()
        said = self._agent.said(
            self._count, ask=ask, workers=self._workers.listening(), latched=self._told_latch, reports=reports
        )
        self._bus.publish(topics.hosts(self._place.name), hosts.seal(said, self._secret))

    async def _watch_file(self) -> None:
        while True:
            await asyncio.sleep(FILE_TICK)
            if self._latched() != self._told_latch:
                self._woken.set()

    def _latched(self) -> bool:
        return self._files.shut() or self._files.noted()

    def _end_note(self) -> None:
        """Remove the workers' note of a SHUT file once the table that they see holds what it says.

        While the file is there they stay shut without it; after that two people open what the table holds.
        """
        table = self._agent.belief.table
        if table is None or Scope(self._place.name) not in {s.scope for s in table.shut}:
            return
        if self._files.noted():
            with contextlib.suppress(OSError):  # tried again with every beat
                self._files.clear_note()

    # Journals

    def _begin_after(self) -> dict[str, int]:
        """How far the journals need not be read again: control knows of it, or nothing in it was for control."""
        known, absorbed = self._cursors.load(), self._agent.absorbed
        return {slot: max(known.get(slot, 0), absorbed.get(slot, 0)) for slot in known.keys() | absorbed.keys()}

    def _check_journals(self, after: dict[str, int]) -> None:
        """See that what was not read yet can be read, before any table makes AI run here. Raises `EvidenceDamaged`."""
        tail = JournalTail(self._place.journals)
        try:
            tail.open(after)
            while tail.read(CHECK):
                pass
        finally:
            tail.close()

    async def _keep_cursors(self) -> None:
        while True:
            await asyncio.sleep(KEEP_CURSORS)
            if self._reading:
                with contextlib.suppress(OSError):  # a full disk: more is read again
                    await asyncio.to_thread(self._cursors.save, self._reporter.cursors)


async def _wait_for_keys(place: RegionHome, loaded: Loaded, plan_folder: Path, keys_from: int | None) -> WorkerKeys:
    """Our share of the region's keys, once there are any."""
    handed = HandedKeys(keys_from) if keys_from is not None else None
    told, failures = "", 0
    while True:
        try:
            if handed is not None:
                return handed.take()
            return (await asyncio.to_thread(open_region, place, loaded, plan_folder)).worker()
        except (FiredoorError, OSError) as error:
            lack = error.message if isinstance(error, FiredoorError) else type(error).__name__
        if lack != told:
            log.error("no switch table is taken, so AI goes off here: %s", lack)
            told = lack
        await asyncio.sleep(LOOK if handed is not None else AGAIN.after(failures))
        failures += 1


@contextlib.asynccontextmanager
async def _alone(place: RegionHome) -> AsyncIterator[None]:
    """While inside, no other switch agent writes the page. Waits for one that does."""
    lock = os.open(place.root / f".{place.page.name}.writer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(lock):
            log.warning(WAITS)
            while not _locked(lock):  # noqa: ASYNC110  the kernel tells nobody
                await asyncio.sleep(FILE_TICK)
        yield
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _first(*tasks: asyncio.Task[object]) -> None:
    """Wait until one of `tasks` ends, end the others; its error, if it had one, is ours."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
