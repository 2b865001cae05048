"""One region of a running installation: what a host runs for it, and besides its control and its model servers.

Keys and model servers are tried for as long as it takes, apart from those of the other regions, so that what is broken
in one region stays there.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from pathlib import Path

from firedoor.app.handover import bare_environment
from firedoor.app.isolating import Isolating
from firedoor.app.regionhost import RegionHost, Say
from firedoor.app.regionkeys import make_region
from firedoor.app.sealed import Unlocked, What
from firedoor.config import Home
from firedoor.core.plan.model import Loaded, Model
from firedoor.errors import FiredoorError, KeyUnusable, SealBroken
from firedoor.keys.ring import Ring
from firedoor.store.files import write_atomic
from firedoor.upstream.process import ModelProcess, embedded_argv, scripted_argv
from firedoor.upstream.sealedweights import MemoryWeights


class Compartment(RegionHost):
    """All processes of one region, kept alive."""

    services = ("control", "agent")

    def __init__(
        self, home: Home, loaded: Loaded, plan_path: Path, region: str, say: Say, *, host: str | None = None
    ) -> None:
        super().__init__(home, loaded, plan_path, region, say, host=host)
        self._models: dict[str, ModelProcess] = {}
        self._weights: dict[str, MemoryWeights] = {}
        self._given_up: set[str] = set()
        self._starting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._isolating = Isolating(self._place, self._own_models(), self._models, self._start_fresh, say)
        self._looking: asyncio.Task[None] | None = None

    async def start(self, lock: int) -> None:
        """See `RegionHost`; from then on model instances are isolated as control says."""
        self._looking = asyncio.create_task(self._isolating.run(), name=f"isolate {self.region}")
        await super().start(lock)

    async def stop(self) -> None:
        """End everything, the model servers last. One that is halted as evidence stays, and its memory with it."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await super().stop()
        stays = {name for name in self._models if self._isolating.frozen(name)}
        for name in stays:
            self._say(f"{self.region}: the process of {name} stays, halted: its memory is evidence")
        await asyncio.gather(*(m.leave() if name in stays else m.stop() for name, m in self._models.items()))
        for weights in self._weights.values():
            weights.close()

    def pids(self) -> dict[str, int]:
        """Process ids by name: ``control``, ``worker-0`` …, ``model:NAME``."""
        models = {f"model:{name}": pid for name, model in self._models.items() if (pid := model.pid) is not None}
        return super().pids() | models

    def _prepare(self) -> None:
        super()._prepare()
        for name in self._own_models():  # of an earlier run: another program may listen there by now
            self._place.model_url(name).unlink(missing_ok=True)

    async def _try_all(self) -> None:
        await self._try_keys()
        await asyncio.gather(*(self._try_model(name) for name in self._own_models()))

    def _to_be_tried(self) -> bool:
        return bool(self.troubles.keys() - self._given_up)

    async def _start_fresh(self, name: str) -> bool:
        """Start the model instance unless it runs; whether it does then."""
        await self._try_model(name)
        return name in self._models and name not in self.troubles

    async def _try_model(self, name: str) -> None:
        async with self._starting[name]:
            if not self._isolating.holds(name):
                await self._start_or_say(name)

    async def _start_or_say(self, name: str) -> None:
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

    def _make_ring(self) -> Ring:
        return make_region(self._place, self._loaded, self._plan_path.parent)

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
