"""The control process of a region: the only writer of its switch table, and the control API."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from firedoor.agent.page import PageWriter
from firedoor.api.app import build
from firedoor.api.server import serve
from firedoor.app.modelwatch import watch_models
from firedoor.app.regionkeys import epochs, open_region, places
from firedoor.app.signals import on_stop
from firedoor.bus.nudge import NudgeReceiver
from firedoor.config import RegionHome
from firedoor.control import service
from firedoor.control.begin import take_up
from firedoor.control.switchboard import Switchboard
from firedoor.core.plan.model import Loaded
from firedoor.keys.derive import WorkerKeys
from firedoor.store.journal import open_journal
from firedoor.store.journal_tail import JournalTail
from firedoor.store.requests import RequestFile
from firedoor.store.switchfile import ShutFileWatch, open_switches

SLOT = "control"


async def serve_control(place: RegionHome, loaded: Loaded, plan_folder: Path) -> None:
    """Keep the region's switches until SIGTERM or SIGINT. Raises `SetupError`, `KeyUnusable`, `EvidenceDamaged`."""
    keys = open_region(place, loaded, plan_folder).worker()
    async with _switchboard(place, loaded, keys) as board:
        nudged = asyncio.Event()
        receiver = NudgeReceiver(place.nudge_socket, nudged.set)
        receiver.start()
        begun, stop = asyncio.Event(), asyncio.Event()
        on_stop(stop.set)
        waits = [asyncio.create_task(_wait(event), name="control") for event in (begun, stop)]
        keeping = asyncio.create_task(service.serve_control(board, nudged, begun.set), name="switchboard")
        tasks = [keeping, *waits]
        watching: list[asyncio.Task[None]] = []
        try:
            await _first(tasks)
            if begun.is_set() and not stop.is_set():  # people are answered only once the table shows
                api = asyncio.create_task(serve(build(board), place.control_socket, lambda: None), name="api")
                tasks = [api, keeping, waits[1]]
                looking = watch_models(place, loaded, plan_folder, keys.protect, board)
                watching = [asyncio.create_task(looking, name="models")]  # whatever becomes of it, control goes on
                await _first(tasks)
        finally:
            receiver.close()
            for task in (*tasks, *watching):
                task.cancel()
            await asyncio.gather(*tasks, *watching, return_exceptions=True)


@contextlib.asynccontextmanager
async def _switchboard(place: RegionHome, loaded: Loaded, keys: WorkerKeys) -> AsyncIterator[Switchboard]:
    store = open_switches(place.switches)
    page = PageWriter(place.page)
    tail = JournalTail(place.journals)
    files = ShutFileWatch(place.shut_file, place.latch_file)
    journal = open_journal(
        places(place, SLOT), region=place.name, slot=SLOT, epochs=epochs(place, keys), clock_ns=time.time_ns
    )
    try:
        state = take_up(place.name, loaded.digest, store=store, page=page, files=files, now=time.time())
        yield Switchboard(
            state,
            loaded,
            store=store,
            requests=RequestFile(place.requests),
            page=page,
            files=files,
            journal=journal,
            journals=tail,
            now_ns=time.time_ns,
        )
    finally:
        await journal.aclose()
        tail.close()
        page.close()
        store.close()


async def _first(tasks: list[asyncio.Task[None]]) -> None:
    """Wait until one of `tasks` ends; its error, if it had one, is ours."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
