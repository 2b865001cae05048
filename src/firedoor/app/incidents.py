"""The cases of a region beside its switches: store, first minute, calling, other systems, put together for control.

The table is said before any of this begins, and nothing here ends it or waits with it: what fails is logged, rests, and
is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from firedoor.app.hooks import serve_hooks
from firedoor.app.hostpart import host_part
from firedoor.app.isolation import ModelExaminer
from firedoor.app.lawbook import calendars, law_book
from firedoor.app.outbox import Outbox
from firedoor.app.regionkeys import epochs
from firedoor.app.snapshot import RegionSnapshots
from firedoor.config import HOST_VARIABLE, RegionHome, host_name
from firedoor.control.calling import Calling
from firedoor.control.firstminute import FirstMinute
from firedoor.control.hooks import HookDesk
from firedoor.control.hosts import LIVING, Hosts
from firedoor.control.incidents import Incidents
from firedoor.control.switchboard import Switchboard
from firedoor.core.cache import Chosen
from firedoor.core.incident.affected import Affected, AskedFor
from firedoor.core.incident.calendars import Calendars
from firedoor.core.incident.case import Case
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.deadlines import clocks_of
from firedoor.core.incident.entries import Entry
from firedoor.core.incident.hooks import Message, messages_for, systems_of
from firedoor.core.incident.law import LawBook
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError, SetupError, StateBusy, StateUnavailable
from firedoor.keys.derive import WorkerKeys
from firedoor.ports.evidence import Journal
from firedoor.ports.incidents import AffectedSource
from firedoor.store import cache_care
from firedoor.store.cache_rows import PURPOSE
from firedoor.store.controlstate import ControlState
from firedoor.store.incidents import IncidentStore
from firedoor.store.journal_tail import JournalTail

log = logging.getLogger("firedoor.control")

AGAIN: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before what failed is tried again, the last from then on."""

CLOSING: Final = 5.0
"""Seconds for the evidence to catch up when control ends; the next process goes on with what it lacks."""


class CaseHome(NamedTuple):
    """What control has of a region when it takes up its cases. `state` is begun, `journal` control's own."""

    place: RegionHome
    loaded: Loaded
    plan_folder: Path
    keys: WorkerKeys
    state: ControlState
    journal: Journal
    board: Switchboard
    hosts: Hosts | None = None


class HostCache:
    """See `firedoor.control.firstminute.Caches`: the answer cache of this host."""

    def __init__(self, path: Path, secret: bytes) -> None:
        self._path = path
        self._secret = secret

    def clear(self, *, before_epoch: int, until: int, sealed: bool) -> dict[str, int]:
        """See the protocol. What is not sealed goes into quarantine."""
        chosen = Chosen(before_epoch=before_epoch, until=until)
        if sealed:
            return {"removed": cache_care.purge(self._path, chosen)}
        return {"quarantined": cache_care.quarantine(self._path, chosen, self._secret)}


class _Counting:
    """See `firedoor.ports.incidents.AffectedSource`: of the region; loaded late, for that is slow."""

    def __init__(self, place: RegionHome, loaded: Loaded, hosts: Hosts | None) -> None:
        self._place = place
        self._declared = loaded.plan.regions[place.name]
        self._hosts = hosts

    def load(self) -> None:
        """Blocks."""
        _ = self._source

    def count(self, asked: AskedFor) -> Affected:
        """See the Protocol."""
        return self._source.count(asked)

    @cached_property
    def _source(self) -> AffectedSource:
        from firedoor.app.affected import affected_source  # noqa: PLC0415

        return affected_source(self._place, self._declared, silent=self._silent)

    def _silent(self) -> list[str]:
        heard = self._hosts.heard() if self._hosts is not None else ()
        return [said.host for said, age in heard if age > LIVING]


class _Law:
    """What the clocks go by. Read in a thread once control speaks; what is wrong with it stops clocks and no case."""

    def __init__(self, loaded: Loaded) -> None:
        self._plan = loaded.plan
        self._book: LawBook | None = None

    async def read(self) -> None:
        """Raises `SetupError`."""
        await asyncio.to_thread(self.calendars.knows, "US")  # imports the package of holidays: a tenth of a second
        self._book = await asyncio.to_thread(law_book)

    @property
    def known(self) -> bool:
        """Whether it was read."""
        return self._book is not None

    @cached_property
    def calendars(self) -> Calendars:
        return calendars()

    def clocks(self, case: Case, now: int) -> tuple[Clock, ...]:
        """Raises `StateUnavailable` while the law is not read."""
        if self._book is None:
            raise StateUnavailable("The law of this installation is not read.", remedy="See the log of control.")
        return clocks_of(case, self._plan, self._book, self.calendars, now)


class RegionIncidents:
    """The cases of one region in its control; `incidents` is what the control API asks, from the beginning."""

    def __init__(
        self,
        home: CaseHome,
        incidents: Incidents,
        first: FirstMinute,
        *,
        law: _Law,
        counting: _Counting,
        outbox: Outbox,
        nudged: asyncio.Event,
    ) -> None:
        self.incidents = incidents
        self.first_minute = first
        self._home = home
        self._law = law
        self._counting = counting
        self._outbox = outbox
        self._nudged = nudged
        self._beat = float(home.loaded.plan.switches.beat)

    async def run(self) -> None:
        """Until cancelled, or until another control took over. Raises nothing for whatever fails here."""
        board, plan = self._home.board, self._home.loaded.plan
        await _kept("law", self._law.read, again=False)
        board.findings.on_leak = self.incidents.leak  # first: what comes after this is not in the trail that begins
        await _kept("cases", lambda: self.incidents.begin(board.keeper.trail))
        await _kept("counting", lambda: asyncio.to_thread(self._counting.load), again=False)
        works: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [
            ("first minute", self.first_minute.resume),
            ("findings", self._look),
            ("messages", self._outbox.run),
        ]
        if not self._law.known:
            works.append(("law", self._law.read))
        calling = Calling(self.incidents, plan, board.region, self._law.calendars, time.time_ns)
        works.append(("calls", calling.run))
        hooks = plan.regions[board.region].hooks
        if hooks is not None:
            desk = HookDesk(self.incidents, plan, board.region, self._law.calendars, time.time_ns)
            works.append(("hooks", lambda: self._serve(hooks.listen, desk)))
        await asyncio.gather(*(_kept(name, work) for name, work in works))

    async def _look(self) -> None:
        """Take in new findings with every nudge and beat."""
        while True:
            self._nudged.clear()
            await self.incidents.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat):
                    await self._nudged.wait()

    async def _serve(self, listen: str, desk: HookDesk) -> None:
        systems = systems_of(self._home.loaded.plan, self._home.place.name)
        await serve_hooks(listen, desk, systems, self._home.plan_folder, lambda: None)


@contextlib.asynccontextmanager
async def region_incidents(home: CaseHome, nudged: asyncio.Event) -> AsyncIterator[RegionIncidents]:
    """The cases of a region; `run` them once the table is said. `nudged` is set when there may be something new.

    Raises `SetupError`, OSError.
    """
    place, plan, now_ns = home.place, home.loaded.plan, time.time_ns
    declared = plan.regions[place.name]
    shared = host_part(place) if declared.state is not None else ""
    host = shared or (host_name(os.environ.get(HOST_VARIABLE) or None) if declared.bus is not None else "")
    store = IncidentStore(home.state.database, home.keys.protect, shared)
    law = _Law(home.loaded)
    counting = _Counting(place, home.loaded, home.hosts)
    outbox = Outbox(store, systems_of(plan, place.name), home.plan_folder, place.run)

    def tell(case: Case, entry: Entry) -> Sequence[Message]:
        if not plan.incidents.systems:
            return ()
        return messages_for(case, entry, plan, place.name, lambda: _known_clocks(law, case, now_ns() // 1000))

    journals = JournalTail(place.journals)
    incidents = Incidents(
        place.name,
        home.loaded,
        store=store,
        journal=home.journal,
        journals=journals,
        now_ns=now_ns,
        clocks=law.clocks,
        tell=tell,
        host=host,
    )
    incidents.listen(lambda _, __: outbox.wake())
    examiner = ModelExaminer(place, home.loaded, home.plan_folder, home.keys.protect, now_ns)
    snapshots = RegionSnapshots(
        place,
        home.loaded,
        board=home.board,
        examiner=examiner,
        box=home.keys.protect,
        epochs=epochs(place, home.keys),
        now_ns=now_ns,
    )
    first = FirstMinute(
        home.board,
        incidents,
        journal=home.journal,
        snapshots=snapshots,
        affected=counting,
        caches=HostCache(place.cache, home.keys.protect.subkey(PURPOSE)),
        now_ns=now_ns,
    )
    try:
        yield RegionIncidents(home, incidents, first, law=law, counting=counting, outbox=outbox, nudged=nudged)
    finally:
        await _closed("first minute", first.aclose())
        await _closed("evidence", incidents.aclose())
        await _closed("snapshots", snapshots.aclose())
        journals.close()


def _known_clocks(law: _Law, case: Case, now: int) -> tuple[Clock, ...]:
    """What another system is told of clocks; nothing, where another case has them or the law is not read."""
    try:
        return law.clocks(case, now) if case.has_clocks else ()
    except FiredoorError:
        return ()


async def _closed(name: str, work: Coroutine[Any, Any, None]) -> None:
    """End `work`, or give it up: control ends all the same, and the next process goes on."""
    try:
        async with asyncio.timeout(CLOSING):
            await work
    except Exception as error:  # noqa: BLE001
        log.error("cases: %s ended badly: %s", name, type(error).__name__)


async def _kept(name: str, work: Callable[[], Coroutine[Any, Any, None]], *, again: bool = True) -> None:
    """Do `work` until it ends by itself, again and again where it fails; no error leaves this."""
    failures, said = 0, ""
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            await work()
            return
        except StateBusy:
            log.error("cases: %s: another control of the region goes on", name)
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, the switches go on
            why = error.message if isinstance(error, SetupError) else type(error).__name__
            if why != said:
                log.error("cases: %s fails and is tried again: %s", name, why)
            said = why
        if not again:
            return
        failures = 0 if clock() - began > 2 * AGAIN[-1] else failures
        await asyncio.sleep(AGAIN[min(failures, len(AGAIN) - 1)])
        failures += 1
