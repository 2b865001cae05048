"""The agent of a region's host: publishes and signs the evidence, has it cosigned, cosigns for others, keeps the index.

It holds the keys that sign, so it is a process of its own: gateway workers and control hold none. What it does beside
the logs (witness, index, time stamps) may fail by itself: it is begun again, the status says why, and the logs go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from firedoor.agent.housekeeper import Housekeeper
from firedoor.agent.indexer import Indexer
from firedoor.agent.logkeeper import LogKeeper
from firedoor.agent.logsigner import LogSigner
from firedoor.app.cosigning import Cosigning
from firedoor.app.housekeeping import RegionHousekeeping
from firedoor.app.identity import REGION_SLOT, WITNESS_STATE, others_keys, read_identity, witnesses
from firedoor.app.indexplace import index_place
from firedoor.app.operator import durable
from firedoor.app.regionkeys import epochs, open_region, places
from firedoor.app.signals import on_stop
from firedoor.app.stamping import Stamping
from firedoor.config import Home
from firedoor.core.evidence.note import Vkey, log_signers, witness_signers
from firedoor.core.evidence.retention import Periods
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError
from firedoor.keys.ring import Ring
from firedoor.store.files import write_atomic
from firedoor.store.journal import open_journal
from firedoor.store.journal_slots import JournalSlots
from firedoor.store.slotlog import SLOTS, HostLogs
from firedoor.store.witness import Witness

log = logging.getLogger("firedoor.agent")

STATUS_EVERY: Final = 2.0
"""Seconds between two writings of how the agent does, for `firedoor doctor` and people."""
FILES: Final = 8 * SLOTS
"""Files open at a time: four a slot, for its log and the index, and as many again for connections."""
AGAIN: Final = 10.0
"""Seconds until a part that failed is begun again."""


async def serve_agent(home: Home, loaded: Loaded, region: str, plan_folder: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises `SetupError`, `KeyUnusable`, `EvidenceDamaged` when it cannot start."""
    stop = asyncio.Event()
    on_stop(stop.set)
    _allow_files()
    async with open_agent(home, loaded, region, plan_folder) as agent:
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
        self._failed: dict[str, tuple[str, float]] = {}
        self._witness: Witness | None = None
        self._asked = False
        self._place = place = home.region(region)
        self._ring = ring
        self._keeper = keeper
        self._cosigning = cosigning
        self._stamping = stamping
        self._housekeeper = housekeeper
        index = index_place(place, loaded.plan.regions[region])
        self._indexer = Indexer(index, JournalSlots(place.journals), region)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, or the logs cannot be kept any more."""
        stopped = asyncio.create_task(_wait(stop), name="stop")
        keeping = asyncio.create_task(self._keep(), name="logs")
        parts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "index": self._indexer.run,
            "cosigning": self._cosigning.run,
            "time stamps": self._stamping.run,
            "housekeeping": self._housekeeper.run,
            "witness": self._serve_witness,
            "status": self._tell,
        }
        beside = [asyncio.create_task(self._apart(name, part), name=name) for name, part in parts.items()]
        try:
            done, _ = await asyncio.wait([stopped, keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (stopped, keeping, *beside):
                task.cancel()
            await asyncio.gather(stopped, keeping, *beside, return_exceptions=True)
            await self._cosigning.aclose()
            if self._asked:
                with contextlib.suppress(FiredoorError, OSError):
                    await self._keeper.tick()  # what was written before the end is signed
            self._write_status()

    async def _keep(self) -> None:
        """Keep the logs. Before anything is signed the witnesses are asked whether they know more of them.

        A restored backup then signs nothing. A witness that does not answer in its time is not waited for.
        """
        signed = await self._keeper.published()
        if signed is not None:
            try:
                await self._cosigning.ask_first(*signed)
            except (FiredoorError, OSError) as error:
                log.warning("no witness could be asked before the first signature: %s", _said(error))
        self._asked = True
        await self._keeper.run()

    async def _apart(self, name: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a part whose failure must not end the logs; begin it again until it ends by itself."""
        while True:
            try:
                return await part()
            except Exception as error:  # noqa: BLE001  whatever it was, the logs go on
                said = _said(error)
            if self._failing().get(name) != said:
                log.error("%s failed and is begun again: %s", name, said)
            self._failed[name] = said, time.monotonic()
            await asyncio.sleep(AGAIN)

    def _failing(self) -> dict[str, str]:
        """The parts that fail, and why; one that has not failed again since it was begun again is well."""
        now = time.monotonic()
        return {name: said for name, (said, at) in self._failed.items() if now - at < 2 * AGAIN}

    async def _serve_witness(self) -> None:
        """Cosign for the other regions."""
        declared = self._loaded.plan.regions[self._place.name].witness
        name = read_identity(self._place).witness
        if declared is None or not name:
            return
        from firedoor.api.witness import build, listen, serve  # noqa: PLC0415  slow to load, and not every region has one

        host, _, port = declared.listen.rpartition(":")
        signers = witness_signers(name, self._ring.witness_seeds())
        self._witness = Witness(self._place.witness / WITNESS_STATE, signers, self._keys_of)
        await serve(build(self._witness), listen(host.strip("[]"), int(port)), lambda: None)

    def _keys_of(self, origin: str) -> tuple[Vkey, ...] | None:
        """The keys of another region's log, as they are known now: a restored region comes with a new log."""
        for keys in others_keys(self._home, self._loaded.plan, self._place.name).values():
            if keys is not None and keys.log and keys.log[0].name == origin:
                return keys.log
        return None

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
            "cosigns": self._witness.problem if self._witness is not None else None,
            "failed": self._failing(),
            "timestamp": self._stamping.state,
            "index": self._indexer.status,
            "housekeeping": self._housekeeper.status,
        }
        with contextlib.suppress(OSError):
            write_atomic(self._place.agent_status, msgspec.json.encode(status), 0o644)


@contextlib.asynccontextmanager
async def open_agent(home: Home, loaded: Loaded, region: str, plan_folder: Path) -> AsyncIterator[Agent]:
    """The agent of `region`, and all that it holds, closed at the end. Raises as `serve_agent`."""
    place, plan = home.region(region), loaded.plan
    ring = open_region(place, loaded, plan_folder)
    identity, seeds = read_identity(place), ring.log_seeds()
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
    cosigning = Cosigning(lambda: witnesses(home, plan, region), plan.evidence.quorum, keeper)
    keys = open_region(place, loaded, plan_folder)  # of its own: housekeeping runs in a thread
    housekeeper = Housekeeper(RegionHousekeeping(place, Periods(plan, region), keys, durable(journal)))
    try:
        yield Agent(home, loaded, region, ring, keeper, cosigning, stamping, housekeeper)
    finally:
        await keeper.aclose()
        await journal.aclose()


def _allow_files() -> None:
    """Many systems begin a process with 1,024 files, too few for the slots of a large host. The hard limit stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _said(error: Exception) -> str:
    """What went wrong: our own words, or the kind of it and where; other texts may quote what no log may hold."""
    if isinstance(error, FiredoorError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
