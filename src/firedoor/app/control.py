"""The control process of a region: the only writer of its switch table, and the control API.

Without a bus in the plan it is this host's switch agent too, and writes the switch page. With one, every host has an
agent of its own, also this one: control says the table on the bus and hears from the hosts what they found.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.agent.page import PageReader, PageWriter
from firedoor.agent.switchagent import SwitchAgent
from firedoor.app.buses import region_bus
from firedoor.app.hostpart import SPEAKS, host_part
from firedoor.app.isolation import region_isolation
from firedoor.app.modelwatch import watch_models
from firedoor.app.onecontrol import Alone, begin_alone, when_readable
from firedoor.app.regionkeys import epochs, open_region, places
from firedoor.app.signals import on_stop
from firedoor.app.switchkeys import SwitchSigner, home_keys
from firedoor.app.tasks import first, meanwhile, wait, work_while
from firedoor.bus.nudge import NudgeAll, NudgeReceiver
from firedoor.bus.several import Several
from firedoor.config import Home, RegionHome
from firedoor.control import service
from firedoor.control.announcer import Announcer
from firedoor.control.begin import take_up
from firedoor.control.hosts import Hosts, heal
from firedoor.control.isolation import Isolations
from firedoor.control.switchboard import Switchboard
from firedoor.core import switchtable, topics
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import GlobalTable
from firedoor.errors import FiredoorError, TableRefused
from firedoor.keys.derive import WorkerKeys
from firedoor.ports.evidence import Journal
from firedoor.ports.models import Isolation
from firedoor.ports.switches import TableOutput
from firedoor.store.controlstate import ControlState
from firedoor.store.journal import FileJournal, open_journal
from firedoor.store.journal_tail import JournalTail
from firedoor.store.shutfile import ShutFileWatch
from firedoor.store.tablecopy import TableCopy

if TYPE_CHECKING:
    from firedoor.app.incidents import RegionIncidents

log = logging.getLogger("firedoor.control")

SLOT = "control"


async def serve_control(home: Home, loaded: Loaded, region: str, plan_folder: Path) -> None:
    """Keep the region's switches until SIGTERM or SIGINT. Raises `SetupError`, `KeyUnusable`, `EvidenceDamaged`."""
    place = home.region(region)
    ring = open_region(place, loaded, plan_folder)
    keys, seed = ring.worker(), ring.switch_seed()
    del ring
    signer = SwitchSigner(place, loaded, plan_folder, keys, seed)
    bus = region_bus(home, loaded, region, SLOT, plan_folder)
    control = Control(home, loaded, place, keys, signer, bus, plan_folder)
    async with control.open() as board:
        stop = asyncio.Event()
        on_stop(stop.set)
        waits = [asyncio.create_task(wait(event), name="control") for event in (control.begun, stop)]
        keeping = asyncio.create_task(control.keep(board), name="switchboard")
        following = asyncio.create_task(signer.follow(), name="switch key")
        tasks = [keeping, *waits]
        beside = [following]
        cases = contextlib.AsyncExitStack()
        try:
            await first(tasks)
            if control.begun.is_set() and not stop.is_set():  # people are answered only once the table is said
                log.info(SPEAKS)
                for slow in ("firedoor.app.incidents", "firedoor.api.app"):  # the table comes first, and goes on
                    await asyncio.to_thread(import_module, slow)
                from firedoor.api.app import build  # noqa: PLC0415
                from firedoor.api.server import serve  # noqa: PLC0415

                kept = await control.open_cases(cases, board)
                incidents = kept.incidents if kept is not None else None
                app = build(board, control.hosts, control.everywhere, cases=incidents)
                api = asyncio.create_task(serve(app, place.control_socket, lambda: None), name="api")
                tasks = [api, keeping, waits[1]]
                looking = watch_models(place, loaded, plan_folder, keys.protect, board)
                beside.append(asyncio.create_task(looking, name="models"))  # whatever becomes of it, control goes on
                beside.append(asyncio.create_task(control.resume_isolations(board), name="isolation"))
                if kept is not None:
                    beside.append(asyncio.create_task(kept.run(), name="cases"))
                await first(tasks)
        finally:
            for task in (*tasks, *beside):
                task.cancel()
            await asyncio.gather(*tasks, *beside, return_exceptions=True)
            await cases.aclose()


class Control:
    """The parts of one control process, wired: with a bus in the plan, or as this host's switch agent."""

    def __init__(
        self, home: Home, loaded: Loaded, place: RegionHome, keys: WorkerKeys, signer: SwitchSigner, bus: Several,
        plan_folder: Path,
    ) -> None:  # fmt: skip
        self.begun = asyncio.Event()
        self.hosts: Hosts | None = None
        self._place = place
        self._loaded = loaded
        self._keys = keys
        self._signer = signer
        self._bus = bus
        self._plan_folder = plan_folder
        self._isolations: Isolations | None = None
        self._nudged = asyncio.Event()
        self._cases_nudged = asyncio.Event()
        self._page = PageReader(place.page)
        self._is_home = loaded.plan.switches.home == place.name
        self._agent: SwitchAgent | None = None
        self._writer: PageWriter | None = None
        if loaded.plan.regions[place.name].bus is None:
            others = home_keys(home, loaded.plan, place, keys)
            self._writer = PageWriter(place.page)
            self._agent = SwitchAgent(
                place.name,
                loaded,
                None,
                page=self._writer,
                copy=TableCopy(place.table_copy),
                keys=signer.accepted,
                global_keys=signer.accepted if self._is_home else others,
                nudge=NudgeAll(place.nudges).send,
            )
        self._announcer = Announcer(
            signer=signer,
            bus=bus,
            home=self._is_home,
            echo=lambda: self.hosts.echo() if self.hosts is not None else {},
            sure=lambda: self._speaking.sure,
            local=self._take if self._agent is not None else None,
            local_global=self._agent.take_global if self._agent is not None else None,
        )

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Switchboard]:
        """The switchboard with its files open, not begun yet. Raises `SetupError`."""
        own_host = self._agent is not None
        with contextlib.closing(self._page):
            async with (
                _alone(self._place, self._loaded) as store,
                _journal(self._place, self._keys) as journal,
                region_isolation(
                    self._place, self._loaded, self._plan_folder, self._keys.protect, journal, time.time_ns
                ) as self._isolations,
                _switchboard(
                    self._place, self._loaded, store, journal, self._announced(store), self._isolations,
                    own_host=own_host,
                ) as board,
            ):  # fmt: skip
                self._state, self._journal = store, journal
                try:
                    yield board
                finally:
                    if self._writer is not None:
                        self._writer.close()

    def _announced(self, store: ControlState) -> TableOutput:
        """What says the table, while no other control of the region can have taken over."""
        self._speaking = Alone(self._announcer, store)
        return self._speaking

    async def open_cases(self, stack: contextlib.AsyncExitStack, board: Switchboard) -> RegionIncidents | None:
        """The cases of the region, to be run beside `board`; None, and the log says why, if they cannot be had."""
        from firedoor.app.incidents import CaseHome, region_incidents  # noqa: PLC0415  slow to load

        home = CaseHome(
            self._place, self._loaded, self._plan_folder, self._keys, self._state, self._journal, board, self.hosts
        )
        try:
            return await stack.enter_async_context(region_incidents(home, self._cases_nudged))
        except (FiredoorError, OSError) as error:
            log.error("the region keeps no cases: %s", error)
            return None

    async def resume_isolations(self, board: Switchboard) -> None:
        """Go on with what an earlier process began to isolate or to let back."""
        if self._isolations is not None:
            await self._isolations.resume(board.keeper.trail, board.table)

    async def keep(self, board: Switchboard) -> None:
        """Keep the switches until cancelled. `begun` is set once the table is said."""
        receiver = NudgeReceiver(self._place.nudge_socket, self._nudge)
        if self._agent is not None:
            self._agent.begin()
            heal(board, self._agent.belief.version, self._agent.belief.beat, self._agent.shut, beat=-1)
        self._listen(board)
        try:
            receiver.start()
            await self._bus.open()
            async with meanwhile(self._agent.keep_copies() if self._agent is not None else None):
                serving = service.serve_control(
                    board,
                    self._nudged,
                    self.begun.set,
                    beat=float(self._loaded.plan.switches.beat),
                    after_beat=lambda: self._heal(board),
                )
                await work_while(self._speaking.watch(), serving)
        finally:
            receiver.close()
            await self._bus.aclose()

    def everywhere(self) -> GlobalTable | None:
        """The switches of all regions as this host shows them."""
        shown = self._page.look().shown
        return shown.everywhere if shown is not None else None

    def _listen(self, board: Switchboard) -> None:
        if self._agent is not None:
            if not self._is_home:
                self._bus.subscribe(topics.GLOBAL, self._agent.take_global)
            return
        hosts = self.hosts = Hosts(
            self._place.name,
            self._keys.protect.subkey("hosts"),
            board,
            _boottime,
            ask=self._nudged.set,
            beat=lambda: self._announcer.beats,
        )

        def take(data: bytes) -> None:
            if self.begun.is_set():  # before, the journals are not open yet; what a host says comes again
                hosts.take(data)
                self._cases_nudged.set()

        def heard(data: bytes) -> None:
            with contextlib.suppress(TableRefused):
                version = switchtable.unseal(data, self._signer.accepted()).table.version
                self._speaking.heard(version, board.table.version)

        self._bus.subscribe(topics.hosts(self._place.name), take)
        if self._loaded.plan.regions[self._place.name].state is not None:
            self._bus.subscribe(topics.table(self._place.name), heard)
        self._bus.on_connect = self._nudged.set

    def _nudge(self) -> None:
        """There may be something new in the journals: the switches look first."""
        self._nudged.set()
        self._cases_nudged.set()

    def _take(self, data: bytes) -> None:
        """Show the table on this host. Raises OSError: without its page, control must not go on."""
        assert self._agent is not None
        self._agent.take_table(data)
        self._agent.beat()

    def _heal(self, board: Switchboard) -> None:
        if self._agent is None:
            return
        belief, refused = self._agent.belief, self._agent.refused
        heal(board, belief.version, belief.beat, belief.kept, beat=self._announcer.beats, split=refused == "split")


@contextlib.asynccontextmanager
async def _alone(place: RegionHome, loaded: Loaded) -> AsyncIterator[ControlState]:
    """The durable state, once no other process writes it. Raises `SetupError`, OSError."""
    where = loaded.plan.regions[place.name].state
    store = await begin_alone(where or place.control_state, place.name, host_part(place) if where else "")
    try:
        yield store
    finally:
        await asyncio.to_thread(store.close)


@contextlib.asynccontextmanager
async def _journal(place: RegionHome, keys: WorkerKeys) -> AsyncIterator[FileJournal]:
    """Control's journal, open. Raises `SetupError`, `KeyUnusable`, `EvidenceDamaged`."""
    journal = open_journal(
        places(place, SLOT), region=place.name, slot=SLOT, epochs=epochs(place, keys), clock_ns=time.time_ns
    )
    try:
        yield journal
    finally:
        await journal.aclose()


@contextlib.asynccontextmanager
async def _switchboard(
    place: RegionHome,
    loaded: Loaded,
    store: ControlState,
    journal: Journal,
    output: TableOutput,
    isolation: Isolation,
    *,
    own_host: bool,
) -> AsyncIterator[Switchboard]:
    tail = JournalTail(place.journals, only=None if own_host else SLOT)
    files = ShutFileWatch(place.shut_file, place.latch_file)
    try:
        page = PageWriter(place.page)
        state = await when_readable(
            lambda: take_up(
                place.name,
                loaded.digest,
                store=store,
                page=page,
                files=files,
                now=time.time(),
                copied=_had_table(place),
            )
        )
        yield Switchboard(
            state,
            loaded,
            store=store,
            output=output,
            files=files,
            journal=journal,
            journals=tail,
            now_ns=time.time_ns,
            own_host=own_host,
            isolation=isolation,
        )
    finally:
        tail.close()


def _had_table(place: RegionHome) -> bool:
    """Whether this host's copy tells of a table of the region. One that does not open does, in doubt.

    The global table alone does not: it may come to a host before the region's control was ever started.
    """
    there = place.table_copy.exists()
    copied = TableCopy(place.table_copy).load()
    return there and (copied.table is not None or bool(copied.kept) or copied.everywhere is None)


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
