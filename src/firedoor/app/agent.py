"""The agent of a region's host: publishes and signs the evidence, has it cosigned, cosigns for others, keeps the index.

It holds the keys that sign, so it is a process of its own: gateway workers and control hold none. What it does beside
the logs (witness, index, time stamps) may fail by itself; the logs go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from firedoor.agent.housekeeper import Housekeeper
from firedoor.agent.indexer import Indexer
from firedoor.agent.logkeeper import LogKeeper
from firedoor.agent.logsigner import LogSigner
from firedoor.api.witness import build, listen, serve
from firedoor.app.cosigning import Cosigning
from firedoor.app.housekeeping import RegionHousekeeping
from firedoor.app.identity import REGION_SLOT, WITNESS_STATE, known_keys, read_identity, witnesses
from firedoor.app.operator import durable
from firedoor.app.regionkeys import epochs, open_region, places
from firedoor.app.signals import on_stop
from firedoor.app.stamping import Stamping
from firedoor.bus.witness import WitnessClient
from firedoor.config import Home
from firedoor.core.evidence.note import Vkey, log_signers, witness_signers
from firedoor.core.evidence.retention import Periods
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError
from firedoor.keys.ring import Ring
from firedoor.store.files import write_atomic
from firedoor.store.index import IndexPlace
from firedoor.store.journal import open_journal
from firedoor.store.journal_slots import JournalSlots
from firedoor.store.slotlog import HostLogs
from firedoor.store.witness import Witness

log = logging.getLogger("firedoor.agent")

STATUS: Final = "status.json"
STATUS_EVERY: Final = 2.0
"""Seconds between two writings of how the agent does, for `firedoor doctor` and people."""


async def serve_agent(home: Home, loaded: Loaded, region: str, plan_folder: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises `SetupError`, `KeyUnusable`, `EvidenceDamaged` when it cannot start."""
    stop = asyncio.Event()
    on_stop(stop.set)
    async with _agent(home, loaded, region, plan_folder) as agent:
        await agent.run(stop)


class Agent:
    """The parts of one agent, and how they do."""

    def __init__(
        self,
        home: Home,
        loaded: Loaded,
        region: str,
        ring: Ring,
        keeper: LogKeeper,
        cosigning: Cosigning,
        stamping: Stamping,
        housekeeper: Housekeeper,
    ) -> None:
        self._home = home
        self._loaded = loaded
        self._place = place = home.region(region)
        self._ring = ring
        self._keeper = keeper
        self._cosigning = cosigning
        self._stamping = stamping
        self._housekeeper = housekeeper
        where = loaded.plan.regions[region].state or place.state
        subjects, request = place.subjects, place.run / "rebuild-index"
        self._indexer = Indexer(
            IndexPlace(where, region, subjects=subjects, request=request), JournalSlots(place.journals), region
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, or the logs cannot be kept any more."""
        stopped = asyncio.create_task(_wait(stop), name="stop")
        keeping = asyncio.create_task(self._keeper.run(), name="logs")
        beside = [
            asyncio.create_task(_apart("the index", self._indexer.run()), name="index"),
            asyncio.create_task(_apart("cosigning", self._cosigning.run()), name="cosigning"),
            asyncio.create_task(_apart("time stamps", self._stamping.run()), name="time stamps"),
            asyncio.create_task(_apart("housekeeping", self._housekeeper.run()), name="housekeeping"),
            asyncio.create_task(_apart("the witness", self._witness()), name="witness"),
            asyncio.create_task(_apart("the status", self._tell()), name="status"),
        ]
        try:
            done, _ = await asyncio.wait([stopped, keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (stopped, keeping, *beside):
                task.cancel()
            await asyncio.gather(stopped, keeping, *beside, return_exceptions=True)
            with contextlib.suppress(FiredoorError, OSError):
                await self._keeper.tick()  # what was written before the end is signed
            self._write_status()

    async def _witness(self) -> None:
        """Cosign for the other regions. A region that publishes its keys later is known after a restart."""
        declared = self._loaded.plan.regions[self._place.name].witness
        if declared is None:
            return
        host, _, port = declared.listen.rpartition(":")
        signers = witness_signers(read_identity(self._place).witness, self._ring.witness_seeds())
        witness = Witness(self._place.witness / WITNESS_STATE, signers, self._others())
        await serve(build(witness), listen(host.strip("[]"), int(port)), lambda: None)

    def _others(self) -> dict[str, tuple[Vkey, ...]]:
        """The keys of the other regions' logs, by origin."""
        found: dict[str, tuple[Vkey, ...]] = {}
        for region in self._loaded.plan.regions:
            keys = known_keys(self._home, self._loaded.plan, region) if region != self._place.name else None
            if keys is not None and keys.log:
                found[keys.log[0].name] = keys.log
        return found

    async def _tell(self) -> None:
        while True:
            await asyncio.to_thread(self._write_status)
            await asyncio.sleep(STATUS_EVERY)

    def _write_status(self) -> None:
        age = self._keeper.age()
        status = {
            "at": int(time.time()),
            "checkpoint_age": round(age, 3) if age < float("inf") else None,
            "logs": self._keeper.status(),
            "witnesses": list(self._cosigning.states.values()),
            "timestamp": self._stamping.state,
            "index": self._indexer.status,
            "housekeeping": self._housekeeper.status,
        }
        with contextlib.suppress(OSError):
            write_atomic(self._place.logs / STATUS, msgspec.json.encode(status), 0o644)


@contextlib.asynccontextmanager
async def _agent(home: Home, loaded: Loaded, region: str, plan_folder: Path) -> AsyncIterator[Agent]:
    place, plan = home.region(region), loaded.plan
    ring = open_region(place, loaded, plan_folder)
    identity, seeds = read_identity(place), ring.log_seeds()
    clients = {who: WitnessClient(address, keys) for who, (address, keys) in witnesses(home, plan, region).items()}
    stamping = Stamping(place.logs, plan.evidence.timestamps, plan_folder)
    journal = open_journal(
        places(place, REGION_SLOT), region=region, slot=REGION_SLOT, epochs=epochs(place, ring.worker()),
        clock_ns=time.time_ns,
    )  # fmt: skip
    keeper = LogKeeper(
        HostLogs(place.journals, place.logs),
        journal,
        lambda slot: LogSigner(log_signers(identity.origin(slot), seeds), time.time_ns),
        on_checkpoint=lambda note, old, proof: cosigning.offer(note, old, proof),  # noqa: PLW0108  made below
    )
    cosigning = Cosigning(clients, keeper.cosigned, lambda: keeper.halt(REGION_SLOT))
    keys = open_region(place, loaded, plan_folder)  # of its own: housekeeping runs in a thread
    housekeeper = Housekeeper(RegionHousekeeping(place, Periods(plan, region), keys, durable(journal)))
    try:
        yield Agent(home, loaded, region, ring, keeper, cosigning, stamping, housekeeper)
    finally:
        await keeper.aclose()
        await journal.aclose()


async def _apart(what: str, work: Coroutine[Any, Any, None]) -> None:
    """Run a part whose failure must not end the logs."""
    try:
        await work
    except FiredoorError as error:
        log.error("%s stopped: %s", what, error)
    except Exception as error:  # noqa: BLE001  whatever it was, the logs go on
        log.error("%s stopped: %s", what, type(error).__name__)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
