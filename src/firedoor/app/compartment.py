"""One region of a running installation: its gateways, keys, model servers, control and agent.

The gateways come first and need nothing of the rest: they give the fallbacks. Keys and model servers are tried for as
long as it takes, apart from those of the other regions, so that what is broken in one region stays there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from firedoor.app.child import Child
from firedoor.app.handover import Handover, bare_environment
from firedoor.app.prepare import prepare_files
from firedoor.app.regionkeys import make_region
from firedoor.app.sealed import Unlocked, What
from firedoor.config import Home
from firedoor.core.plan.model import Loaded, Model
from firedoor.errors import FiredoorError, KeyUnusable, SealBroken
from firedoor.keys.ring import Ring
from firedoor.store.files import write_atomic
from firedoor.upstream.process import Backoff, ModelProcess, embedded_argv, scripted_argv
from firedoor.upstream.sealedweights import MemoryWeights

AGAIN = Backoff(first=2.0, most=60.0)
"""Between two attempts at keys or a model server: a key server that comes back is noticed soon, and not flooded."""

Say = Callable[[str], None]


class Compartment:
    """The processes of one region, kept alive."""

    def __init__(self, home: Home, loaded: Loaded, plan_path: Path, region: str, say: Say) -> None:
        self.region = region
        self.troubles: dict[str, str] = {}
        """What does not run, and why: ``keys``, or a model instance."""
        self._home = home
        self._place = home.region(region)
        self._loaded = loaded
        self._plan_path = plan_path
        self._say = say
        self._lock = -1
        self._children: list[Child] = []
        self._ring: Ring | None = None
        self._models: dict[str, ModelProcess] = {}
        self._weights: dict[str, MemoryWeights] = {}
        self._given_up: set[str] = set()
        self._tried = asyncio.Event()
        self._lacking = asyncio.Event()
        self._raising: asyncio.Task[None] | None = None

    @property
    def has_keys(self) -> bool:
        """Whether its keys are open: only then control and agent are started."""
        return self._ring is not None

    async def start(self, lock: int) -> None:
        """Start the gateways, then try all else once; what failed is tried again from then on.

        Every process inherits `lock`. Raises `FiredoorError`, OSError if not even the gateways can start.
        """
        self._lock = lock
        prepare_files(self._place, self._loaded, self._plan_path.parent)
        for name in self._own_models():  # of an earlier run: another program may listen there by now
            self._place.model_url(name).unlink(missing_ok=True)
        for number in range(self._loaded.plan.regions[self.region].workers):
            slot = f"worker-{number}"
            await self._start_child(slot, ["gateway", "--slot", slot], Handover(self._worker_keys))
        self._raising = asyncio.create_task(self._raise(), name=f"raise {self.region}")
        await self._tried.wait()
        if self._raising.done():
            self._raising.result()

    async def stop(self) -> None:
        """End everything, gateways first: they close their exchanges while control and models still answer."""
        if self._raising is not None:
            self._raising.cancel()
            await asyncio.gather(self._raising, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self._children if child.name != "control"))
        await asyncio.gather(*(child.stop() for child in self._children))
        await asyncio.gather(*(model.stop() for model in self._models.values()))
        for weights in self._weights.values():
            weights.close()

    def pids(self) -> dict[str, int]:
        """Process ids by name: ``control``, ``worker-0`` …, ``model:NAME``."""
        found = {child.name: child.pid for child in self._children}
        found |= {f"model:{name}": process.pid for name, process in self._models.items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    async def _raise(self) -> None:
        """Keys, what needs them, and the model servers: until all of it runs, and again when a worker lacks keys."""
        failures = 0
        while True:
            self._lacking.clear()
            try:
                await self._try_keys()
                await asyncio.gather(*(self._try_model(name) for name in self._own_models()))
            finally:
                self._tried.set()
            if self.troubles.keys() - self._given_up:
                await asyncio.sleep(AGAIN.after(failures))
                failures += 1
            else:
                failures = 0
                await self._lacking.wait()

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
            for name in ("control", "agent"):
                if not any(child.name == name for child in self._children):
                    await self._start_child(name, [name])
        except OSError as error:
            self._tell("keys", "AI IS OFF, control and agent cannot be started", error)
            return
        if self.troubles.pop("keys", None) is not None:
            self._say(f"{self.region}: keys are there again")

    async def _try_model(self, name: str) -> None:
        if name in self._given_up or (name in self._models and name not in self.troubles):
            return
        try:
            if name not in self._models:
                self._models[name] = await self._start_model(name, self._loaded.plan.models[name])
            write_atomic(self._place.model_url(name), self._models[name].base_url.encode())
        except (FiredoorError, OSError) as error:
            if isinstance(error, SealBroken):  # that does not mend itself, and looking reads all of it
                self._given_up.add(name)
            self._tell(name, f"MODEL INSTANCE {name} DOES NOT RUN, its surfaces give their fallbacks", error)
            return
        self.troubles.pop(name, None)
        self._note_pids()
        self._say(f"{self.region}: model instance {name} ({self._loaded.plan.models[name].name}) listens")

    async def _start_model(self, name: str, model: Model) -> ModelProcess:
        if model.sealed and name not in self._weights:
            self._weights[name] = await asyncio.to_thread(self._open_weights, name, model)
        opened = self._weights.get(name)
        process = ModelProcess(
            model_argv(model, self._plan_path.parent, opened),
            name=name,
            key_file=self._place.model_key(name),
            log_path=self._place.run / f"{name}.log",
            pass_fds=[opened.descriptor] if opened is not None else [],
            environment=bare_environment(os.environ),
        )
        await process.start()
        process.on_start = self._note_pids
        return process

    def _open_ring(self) -> Ring:
        ring = make_region(self._place, self._loaded, self._plan_path.parent)
        ring.worker_bundle()  # asks the root, the first time only
        return ring

    def _open_weights(self, name: str, model: Model) -> MemoryWeights:
        """Sealed weights in memory, with the key of the region that the model is in, and of no other."""
        assert model.weights is not None  # the plan's checks
        if self._ring is None:
            raise KeyUnusable(f"Region {self.region} has no keys: sealed weights stay closed.")
        unlocked = Unlocked(self._plan_path.parent / model.weights, What("model", name), self._ring)
        self._say(f"{self.region}: weights of {name} are signed; opening them in memory")
        return MemoryWeights(name, unlocked.size(), unlocked.open_into)

    def _own_models(self) -> list[str]:
        """The model instances here that are ours to start."""
        models = self._loaded.plan.models.items()
        return [name for name, model in models if model.region == self.region and model.engine != "openai"]

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


def model_argv(model: Model, plan_folder: Path, opened: MemoryWeights | None = None) -> list[str]:
    """The command of a model server that is ours to start; `opened` are its weights if they are sealed."""
    if model.engine == "scripted":
        assert model.script is not None  # the plan's checks
        return scripted_argv(plan_folder / model.script)
    return embedded_argv(
        model.remote_name or model.name,
        context=model.context,
        slots=model.slots,
        weights=opened.path if opened is not None else str(plan_folder / model.weights) if model.weights else None,
        memory_weights=opened is not None,
        embeddings="embeddings" in model.serves,
    )
