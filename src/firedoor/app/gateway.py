"""A gateway worker: one process, one core, one journal slot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from firedoor.agent.page import PageReader
from firedoor.app.handover import HandedKeys
from firedoor.app.health import LISTENS
from firedoor.app.protection import Protection
from firedoor.app.regionkeys import epochs, open_region, places
from firedoor.app.signals import on_stop
from firedoor.app.surfaces import Surfaces, Tables
from firedoor.bus.nudge import NudgeReceiver, NudgeSender
from firedoor.config import RegionHome
from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import Loaded
from firedoor.core.residency import Grant, Residency
from firedoor.errors import FiredoorError, SetupError
from firedoor.gateway.asgi import Gateway
from firedoor.gateway.doors import Doors
from firedoor.gateway.protocol import BoundedProtocol
from firedoor.gateway.service import Service
from firedoor.keys.derive import WorkerKeys
from firedoor.ports.evidence import Journal
from firedoor.ports.exchange import Sessions
from firedoor.store.credentials import KnownCredentials, token_digest
from firedoor.store.journal import FileJournal, open_journal
from firedoor.store.nojournal import NoJournal
from firedoor.store.nosessions import NoSessions
from firedoor.store.sessionfile import SLOTS as SEGMENTS
from firedoor.store.sessiontable import SessionTable
from firedoor.store.shutfile import ShutFileWatch
from firedoor.upstream.http import ModelClient

log = logging.getLogger("firedoor.gateway")

RELOAD = 0.25
"""Seconds between looks at the credentials and the protected values: a revoked credential ends this fast."""
LOOK = 0.25
"""Seconds between looks whether the parent has keys by now."""
UNREAD = 1.0
"""Seconds between attempts to read protected content that could not be read."""
MEND = 5.0
"""Seconds between attempts to open a journal that could not be opened: a full or damaged disk needs a person first."""
FINISH = 2.0
"""Seconds for exchanges in flight to end by themselves when the worker is told to stop. Then streams are cut, whole
answers fall back."""
GRACE = 3
"""Seconds after which the worker ends even if a caller has not taken its last bytes; such an exchange is closed as
unknown by the next start."""


class Worker:
    """The parts of one worker, from the plan and the region's files. `start` and `aclose` inside a running loop.

    Keys, protected values and journal come together or not at all. Without them (a root that does not answer, a damaged
    file) no model is called; fallbacks are given, and all of it is tried again.
    """

    def __init__(
        self, place: RegionHome, loaded: Loaded, slot: str, plan_folder: Path, keys_from: int | None = None
    ) -> None:
        self._place = place
        self._loaded = loaded
        self._slot = slot
        self._plan_folder = plan_folder
        self._credentials = KnownCredentials(place.credentials, place.name)
        self._handed = HandedKeys(keys_from) if keys_from is not None else None
        self._keys: WorkerKeys | None = None
        self._protection: Protection | None = None
        self._unread: float | None = None  # when to try again to read what is protected
        self._lack = ""
        self._sessions: Sessions = NoSessions()
        self._nudges = (NudgeSender(place.nudge_socket), NudgeSender(place.switches_nudge))
        self._page = PageReader(place.page)
        self._client = ModelClient()
        self._surfaces = Surfaces(place, loaded, plan_folder, self._client)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> Gateway:
        """Open the journal, load the protected values and begin to watch the switches. Returns the ASGI application."""
        place, loaded = self._place, self._loaded
        self._journal: Journal = NoJournal(self._slot)
        tables = self._surfaces.tables(None)
        try:
            tables, self._journal = self._equip()
        except (FiredoorError, OSError) as error:
            if isinstance(error, SetupError) and self._keys is not None:
                raise  # another process has the slot: two workers of one slot must not share the port
            self._tell_lack(error)
        files = ShutFileWatch(place.shut_file, place.latch_file)
        doors = self._doors = Doors(self._page, files, slot=self._slot)
        chat, embeddings = tables
        self._service = Service(
            region=place.name,
            plan_digest=loaded.digest[:16],
            doors=doors,
            journal=self._journal,
            surfaces=chat,
            embeddings=embeddings,
            nudge=self._nudge,
            pseudonym=self._pseudonym,
            sessions=self._sessions,
        )
        self._nudged = NudgeReceiver(place.nudges / f"{self._slot}.sock", doors.look)
        try:
            self._nudged.start()
        except SetupError as error:
            log.error("switches are looked at by ticks only: %s", error.message)
        self._tasks = [
            asyncio.create_task(doors.run(), name="doors"),
            asyncio.create_task(self._service.watch_callers(), name="callers"),
            asyncio.create_task(self._reload(), name="reload"),
            asyncio.create_task(self._mend(), name="mend"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        residency = Residency(loaded.plan, place.name, JurisdictionTable(loaded.plan))
        self._gateway = Gateway(self._service, residency, self._find)
        return self._gateway

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A worker that no longer looks at its switches or credentials must not go on: it ends, and is started anew."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("%s failed: %s", task.get_name(), type(error).__name__)
        self._doors.close()
        os.kill(os.getpid(), signal.SIGTERM)

    def end_exchanges(self) -> None:
        """End what is still in flight, well-formed: the process is about to go."""
        self._doors.close()

    async def aclose(self) -> None:
        """Stop watching, sync the journal, close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._nudged.close()
        self._gateway.close()
        self._service.close()
        self._sessions.close()
        self._surfaces.close()
        await self._journal.aclose()
        await self._client.aclose()
        for sender in self._nudges:
            sender.close()
        self._page.close()

    def _nudge(self) -> None:
        """Have this worker's journal read now: by control, and by the switch agent where control is on another host."""
        for sender in self._nudges:
            sender.send()

    def _find(self, token: str) -> Grant | None:
        digest = token_digest(token)
        if digest is None:
            return None
        found = self._credentials.get(digest)
        if found is None:  # issued a moment ago? One stat tells
            with contextlib.suppress(FiredoorError, OSError):
                self._credentials = self._credentials.newer() or self._credentials
                found = self._credentials.get(digest)
        if found is None or not found.usable(time.time()):
            return None
        return Grant(found.id, found.shop, found.surface, found.role)

    def _equip(self) -> tuple[Tables, FileJournal]:
        """Surfaces with models and protected values, and the journal. Raises `FiredoorError`, OSError."""
        if self._keys is None:
            self._keys = self._take_keys()
        self._protection = Protection.load(self._place, self._keys.protect)
        self._surfaces.open_cache(self._keys.protect)
        if isinstance(self._sessions, NoSessions):
            secret = self._keys.protect.subkey("sessions")
            self._sessions = SessionTable.open(self._place.sessions, session_segment(self._slot), secret)
        tables = self._surfaces.tables(self._protection)
        journal = open_journal(
            places(self._place, self._slot),
            region=self._place.name,
            slot=self._slot,
            epochs=epochs(self._place, self._keys),
            clock_ns=time.time_ns,
        )
        return tables, journal

    def _take_keys(self) -> WorkerKeys:
        """The worker's share: what the parent hands down; a worker started by itself asks the root."""
        if self._handed is not None:
            return self._handed.take()
        return open_region(self._place, self._loaded, self._plan_folder).worker()

    def _tell_lack(self, error: Exception) -> None:
        """Say once why there is no AI here."""
        lack = error.message if isinstance(error, FiredoorError) else type(error).__name__
        if lack != self._lack:
            self._lack = lack
            log.error("fallbacks only: %s", lack)

    def _pseudonym(self, kind: str, value: str) -> str | None:
        """What stands for a shopper's or session's id; None without keys, for then nothing is recorded."""
        return self._keys.pseudonym(kind, value) if self._keys is not None else None

    async def _mend(self) -> None:
        """While this worker has no evidence, see whether it can have some by now."""
        while isinstance(self._journal, NoJournal):
            await asyncio.sleep(LOOK if self._handed is not None and self._keys is None else MEND)
            try:
                (chat, embeddings), journal = await asyncio.to_thread(self._equip)
            except (FiredoorError, OSError) as error:
                self._tell_lack(error)
                continue
            # At once: no exchange may find the journal without the protected values.
            self._service.surfaces, self._service.embeddings = chat, embeddings
            self._journal = self._service.journal = journal
            self._service.sessions = self._sessions
            log.info("evidence is written from now on")

    async def _reload(self) -> None:
        """Follow the credential and protected files."""
        while True:
            await asyncio.sleep(RELOAD)
            try:
                newer = await asyncio.to_thread(self._credentials.newer)
                self._credentials = newer or self._credentials
            except (FiredoorError, OSError) as error:  # the old ones stay in force
                log.error("reload failed: %s", type(error).__name__)
            await self._follow_protection()

    async def _follow_protection(self) -> None:
        """Take up what the region protects when it changed. While it cannot be read no model is called."""
        if self._keys is None or self._protection is None:
            return
        if self._unread is None and not self._protection.changed():
            return
        now = asyncio.get_running_loop().time()
        if self._unread is not None and now < self._unread:
            return
        try:
            protection = await asyncio.to_thread(Protection.load, self._place, self._keys.protect, self._protection)
            tables = await asyncio.to_thread(self._surfaces.tables, protection)
        except (FiredoorError, OSError) as error:
            self._unread = now + UNREAD
            self._tell_lack(error)
            tables = self._surfaces.tables(None)
        else:
            if self._unread is not None:
                log.info("protected content can be read again")
            self._protection, self._unread, self._lack = protection, None, ""
        self._service.surfaces, self._service.embeddings = tables


def session_segment(slot: str) -> int:
    """The part of the session table that the worker in journal slot `slot` writes. Raises `SetupError`."""
    number = slot.rpartition("-")[2]
    if not (number.isascii() and number.isdecimal() and int(number) < SEGMENTS):
        raise SetupError(
            f"The slot {slot} has no part in the session table.",
            remedy=f"Name the workers of a host worker-0 to worker-{SEGMENTS - 1}.",
        )
    return int(number)


def listen(address: str) -> socket.socket:
    """A listening TCP socket that other workers of the region may share. Raises `SetupError`."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host.strip("[]"), int(port)))
    except OSError as error:
        bound.close()
        raise SetupError(f"Cannot listen on {address}: {error.strerror}.", remedy="Is another one running?") from None
    bound.set_inheritable(True)
    return bound


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, which raise the signal anew at the end of `serve`: that would kill
    the process before its journal is synced. It says when it listens.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info(LISTENS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_gateway(
    place: RegionHome,
    loaded: Loaded,
    slot: str,
    plan_folder: Path,
    keys_from: int | None = None,
    address: str | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises `SetupError` when it cannot start.

    `keys_from` is the descriptor from which the parent's share of the region's keys is read. `address` is bound instead
    of the one in the plan.
    """
    worker = Worker(place, loaded, slot, plan_folder, keys_from)
    bound = listen(address or loaded.plan.regions[place.name].listen)
    application = await worker.start()
    try:
        config = uvicorn.Config(
            application,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE,
        )
        server = _Server(config)

        def stop() -> None:
            if not server.should_exit:
                server.should_exit = True
                asyncio.get_running_loop().call_later(FINISH, worker.end_exchanges)

        on_stop(stop)
        await server.serve(sockets=[bound])
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await worker.aclose()
        bound.close()
