"""What one host runs for a region: its gateways, the agent of its evidence, and, with a bus, its switch agent.

The gateways come first and need nothing of the rest: they give the fallbacks. Keys are tried for as long as it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import msgspec

from firedoor.app.child import Child
from firedoor.app.handover import Handover
from firedoor.app.health import LISTENS
from firedoor.app.hostpart import FOLLOWS, SPEAKS, STANDS_BY, WAITS
from firedoor.app.prepare import prepare_files
from firedoor.app.regionkeys import join_region
from firedoor.config import Home
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError
from firedoor.keys.ring import Ring
from firedoor.store.files import write_atomic
from firedoor.upstream.process import Backoff

AGAIN = Backoff(first=2.0, most=60.0)
"""Between two attempts at keys or a model server: a key server that comes back is noticed soon, and not flooded."""

STAND_BY = {"control": (STANDS_BY, SPEAKS), "switches": (WAITS, FOLLOWS)}
"""What stands by while another one runs, and what it says in its log then, or when it runs itself."""

WORKER = "worker-"
"""How the gateway workers' slots begin."""

Say = Callable[[str], None]


class RegionHost:
    """The processes of one region on this host, kept alive."""

    services: ClassVar[tuple[str, ...]] = ("agent",)
    """What is started besides, once there are keys: commands of `firedoor` that ask the root by themselves."""

    def __init__(
        self,
        home: Home,
        loaded: Loaded,
        plan_path: Path,
        region: str,
        say: Say,
        *,
        workers: int | None = None,
        host: str | None = None,
        listen: str | None = None,
    ) -> None:
        """`workers` and `listen` instead of those of the plan; `host` is what this host is called on the bus."""
        self.region = region
        self.troubles: dict[str, str] = {}
        """What does not run, and why: ``keys``, or a model instance."""
        self._home = home
        self._place = home.region(region)
        self._loaded = loaded
        self._plan_path = plan_path
        self._say = say
        self._workers = workers or loaded.plan.regions[region].workers
        self._host = host
        self._listen = listen
        self._lock = -1
        self._children: list[Child] = []
        self._ring: Ring | None = None
        self._tried = asyncio.Event()
        self._lacking = asyncio.Event()
        self._raising: asyncio.Task[None] | None = None

    @property
    def has_keys(self) -> bool:
        """Whether its keys are open: only then the other services are started."""
        return self._ring is not None

    async def start(self, lock: int) -> None:
        """Start the gateways, then try all else once; what failed is tried again from then on.

        Every process inherits `lock`. Raises `FiredoorError`, OSError if not even the gateways can start.
        """
        self._lock = lock
        self._prepare()
        listen = ["--listen", self._listen] if self._listen is not None else []
        for number in range(self._workers):
            slot = f"{WORKER}{number}"
            await self._start_child(slot, ["gateway", "--slot", slot, *listen], Handover(self._worker_keys))
        self._raising = asyncio.create_task(self._raise(), name=f"raise {self.region}")
        await self._tried.wait()
        if self._raising.done():
            self._raising.result()

    async def stop(self) -> None:
        """End everything, gateways first: they close their exchanges while all else still answers."""
        if self._raising is not None:
            self._raising.cancel()
            await asyncio.gather(self._raising, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self._children if child.name.startswith(WORKER)))
        await asyncio.gather(*(child.stop() for child in self._children))

    async def renew(self) -> None:
        """Put new processes in the places of the running ones, one after another: as of now, with program and plan.

        A new control or switch agent, started beside the old one, takes over without a pause; each worker is waited for
        before the next one ends. If a new process does not get ready, it and what comes after it stays as it is.
        """
        order = {"control": 0, "switches": 1, "agent": 2}  # then the workers
        children = sorted(self._children, key=lambda child: order.get(child.name, 3))
        for child in children:
            try:
                if child.name in STAND_BY:
                    await child.hand_over(*STAND_BY[child.name])
                elif child.name.startswith(WORKER):
                    await child.renew(LISTENS)
                else:
                    await child.renew()
            except (FiredoorError, OSError) as error:
                self._say(f"{self.region}: NOT RENEWED, {child.name} and what comes after it: {error}")
                return
        self._say(f"{self.region}: new processes run: {', '.join(child.name for child in children)}")

    def pids(self) -> dict[str, int]:
        """Process ids by name: ``worker-0`` …, ``agent``, ``switches``."""
        return {child.name: pid for child in self._children if (pid := child.pid) is not None}

    def _prepare(self) -> None:
        """What the gateways need. Raises `SetupError`, OSError."""
        prepare_files(self._place, self._loaded, self._plan_path.parent)

    async def _raise(self) -> None:
        """Keys and what needs them: until all of it runs, and again when a worker lacks keys."""
        failures = 0
        while True:
            self._lacking.clear()
            try:
                await self._try_all()
            finally:
                self._tried.set()
            if self._to_be_tried():
                await asyncio.sleep(AGAIN.after(failures))
                failures += 1
            else:
                failures = 0
                await self._lacking.wait()

    async def _try_all(self) -> None:
        await self._try_keys()

    def _to_be_tried(self) -> bool:
        """Whether something does not run that may run later."""
        return bool(self.troubles)

    async def _try_keys(self) -> None:
        try:
            if self._ring is None:
                self._ring = await asyncio.to_thread(self._open_ring)
                self._say(f"{self.region}: {self._ring.root.describe()}")
            self._ring.worker_bundle()
        except (FiredoorError, OSError) as error:
            self._tell("keys", "NO KEYS, so AI IS OFF and fallbacks are given", error)
            return
        for child in self._children:
            if child.handover is not None:
                child.handover.hand_over()
        try:
            await self._start_services()
        except OSError as error:
            self._tell("keys", f"AI IS OFF, {' and '.join(self.services)} cannot be started", error)
            return
        if self.troubles.pop("keys", None) is not None:
            self._say(f"{self.region}: keys are there again")

    async def _start_services(self) -> None:
        """Start what needs keys and does not run yet; without a bus control itself keeps the switch page."""
        running = {child.name for child in self._children}
        if self._loaded.plan.regions[self.region].bus is not None and "switches" not in running:
            host = ["--host", self._host] if self._host is not None else []
            beside = ["--beside-control"] if "control" in self.services else []
            await self._start_child("switches", ["switches", "follow", *host, *beside], Handover(self._worker_keys))
        for name in self.services:
            if name not in running:
                await self._start_child(name, [name])

    def _make_ring(self) -> Ring:
        """The region's keys, which were brought here. Raises `KeyUnusable`, `SetupError`."""
        return join_region(self._place, self._loaded, self._plan_path.parent)

    def _open_ring(self) -> Ring:
        ring = self._make_ring()
        ring.worker_bundle()  # asks the root, the first time only
        return ring

    def _worker_keys(self) -> bytes | None:
        """A worker's share of the keys, None while there are none that can be used."""
        try:
            return self._ring.worker_bundle() if self._ring is not None else None
        except (FiredoorError, OSError) as error:
            self._tell("keys", "NO KEYS for a worker that starts, so it gives fallbacks", error)
            self._lacking.set()
            return None

    async def _start_child(self, name: str, arguments: list[str], handover: Handover | None = None) -> None:
        common = ["--home", str(self._home.root), "--plan", str(self._plan_path), "--region", self.region]
        child = Child(name, [*arguments, *common], self._place.run / f"{name}.log", self._lock, handover)
        child.on_start = self._note_pids
        self._children.append(child)
        try:
            await child.start()
        except BaseException:
            self._children.remove(child)
            raise

    def _note_pids(self) -> None:
        with contextlib.suppress(OSError):  # for people and `firedoor doctor`: nothing depends on it
            write_atomic(self._place.run / "pids.json", msgspec.json.encode(self.pids()))

    def _tell(self, what: str, how: str, error: Exception) -> None:
        """Say what does not run; again only if the reason is another one."""
        reason = str(error) if isinstance(error, FiredoorError) else f"{type(error).__name__}: {error}"
        if self.troubles.get(what) != reason:
            self.troubles[what] = reason
            self._say(f"{self.region}: {how}: {reason}")
