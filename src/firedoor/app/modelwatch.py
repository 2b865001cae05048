"""Whether the model instances of a region are still those of their baselines: for control, people and `doctor`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from firedoor.app.hostcheck import Finding
from firedoor.app.latemodel import model_address
from firedoor.config import RegionHome
from firedoor.control.modelwatch import SOON, ModelWatch
from firedoor.control.switchboard import Switchboard
from firedoor.core.integrity import Baseline, Look, Verified, compare
from firedoor.core.plan.model import Integrity, Loaded, Model
from firedoor.errors import FiredoorError, SetupError
from firedoor.keys.derive import SealingBox
from firedoor.store.baselines import BaselineFile
from firedoor.store.files import read_bounded, write_atomic
from firedoor.upstream.embedded import find_weights
from firedoor.upstream.integrity import ModelLooker, Target
from firedoor.upstream.ownprocess import OwnProcess

STATUS = "models.json"
"""In the region's folder run: what control saw last. No secret and no answer is in it."""
STATUS_LIMIT = 1_048_576
PIDS_LIMIT = 65_536
LATE = 60.0
"""Seconds that a look may be late: it waits for those at other model instances, and for files to be hashed."""


def watched(loaded: Loaded, region: str) -> dict[str, Integrity]:
    """The model instances of `region` that the plan has watched."""
    models = loaded.plan.models.items()
    return {name: m.integrity for name, m in models if m.region == region and m.integrity is not None}


def target(place: RegionHome, name: str, model: Model, plan_folder: Path) -> Target:
    """What there is to look at of a model instance. Raises `SetupError` for one that was never started here."""
    url, key = model_address(place, name, model, plan_folder)
    probes = model.integrity.probes if model.integrity is not None and "chat" in model.serves else ()
    return Target(
        url, key, (model.remote_name or model.name, model.name), probes, own_process(place, name, model, plan_folder)
    )


def own_process(place: RegionHome, name: str, model: Model, plan_folder: Path) -> OwnProcess | None:
    """The process of a server that Firedoor starts; None for any other. Raises `SetupError` without its weights."""
    if model.engine == "openai":
        return None
    pid = _pids(place).get(f"model:{name}")
    if model.engine == "scripted":
        assert model.script is not None  # the plan's checks
        return OwnProcess(pid, plan_folder / model.script)
    if model.sealed:
        assert model.weights is not None  # the plan's checks
        return OwnProcess(pid, plan_folder / model.weights)
    return OwnProcess(pid, find_weights(plan_folder / model.weights if model.weights else None), mapped=True)


def _pids(place: RegionHome) -> dict[str, int]:
    try:
        return msgspec.json.decode(read_bounded(place.run / "pids.json", PIDS_LIMIT), type=dict[str, int])
    except (OSError, FiredoorError, msgspec.MsgspecError):
        return {}  # then no process is known, and that is what the look says


class RegionLooker:
    """See `firedoor.control.modelwatch.Looker`, for the model instances of one region."""

    def __init__(self, place: RegionHome, loaded: Loaded, plan_folder: Path) -> None:
        self._place = place
        self._models = loaded.plan.models
        self._plan_folder = plan_folder
        self._looker = ModelLooker()

    async def look(self, model: str, baseline: Baseline | None) -> Look:
        """See the protocol. Raises `SetupError`, OSError."""
        return await self._looker.look(self._target(model), baseline)

    async def baseline(self, model: str) -> Baseline:
        """The model instance as it is now. Raises `SetupError`, OSError."""
        return await self._looker.baseline(self._target(model), int(time.time()))

    async def verify(self, model: str, baseline: Baseline | None) -> Verified:
        """Compare with `baseline` now; what cannot be looked at is not verified. For people: a drift is not told."""
        try:
            return compare(baseline, await self.look(model, baseline))
        except (FiredoorError, OSError) as error:
            why = error.message if isinstance(error, FiredoorError) else "its files cannot be read"
            return Verified("not_verified", unseen={"instance": why})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._looker.aclose()

    def _target(self, model: str) -> Target:
        return target(self._place, model, self._models[model], self._plan_folder)


async def watch_models(
    place: RegionHome, loaded: Loaded, plan_folder: Path, box: SealingBox, board: Switchboard
) -> None:
    """Watch the model instances that the plan has watched, until cancelled. Returns at once if there is none."""
    models = watched(loaded, place.name)
    if not models:
        return
    looker = RegionLooker(place, loaded, plan_folder)
    baselines = BaselineFile(place.baselines, box)

    def show(found: Mapping[str, Verified]) -> None:
        with contextlib.suppress(OSError):  # for people: nothing depends on it
            write_status(place, found)

    try:
        await ModelWatch(models, looker=looker, baselines=baselines, board=board, show=show).run()
    finally:
        await looker.aclose()


# --- what was seen last -----------------------------------------------------------------------------------------------


class Seen(Struct, frozen=True):
    """What control saw at its last look, by model instance; `at` is Unix seconds."""

    at: int
    models: dict[str, Verified]


def write_status(place: RegionHome, found: Mapping[str, Verified]) -> None:
    """Keep what was seen for `firedoor doctor`. Raises OSError."""
    write_atomic(place.run / STATUS, msgspec.json.encode(Seen(int(time.time()), dict(found))))


def read_status(place: RegionHome) -> Seen | None:
    """What control saw last; None if it never looked. Raises `SetupError`."""
    try:
        return msgspec.json.decode(read_bounded(place.run / STATUS, STATUS_LIMIT), type=Seen)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        raise SetupError("What control saw of the model instances cannot be read.") from None


def model_findings(place: RegionHome, loaded: Loaded) -> Iterator[Finding]:
    """What `firedoor doctor` says about the model instances that the plan has watched, by what control saw last."""
    models = watched(loaded, place.name)
    try:
        seen = read_status(place) if models else None
    except FiredoorError as error:
        yield Finding("FAIL", f"models: {error.message}", "A running control rewrites it.")
        return
    longest = max((max(float(i.every), SOON) for i in models.values()), default=0.0) + LATE
    fresh = seen is not None and abs(time.time() - seen.at) <= longest
    for name in models:
        found = seen.models.get(name) if seen is not None and fresh else None
        yield _finding(name, found)


def _finding(name: str, found: Verified | None) -> Finding:
    if found is None:
        what = f"model {name}: NOT VERIFIED: nobody looks whether it is the same"
        return Finding("warn", what, "Control looks while it runs; `firedoor models verify` looks now.")
    if found.state == "drift":
        what = f"model {name}: NOT THE SAME as its baseline: {', '.join(found.what)}"
        return Finding("FAIL", what, "Find out who changed it. If it is right so: `firedoor models baseline`.")
    if found.state == "not_verified":
        said = ", ".join(sorted(f"{item} ({why})" for item, why in found.unseen.items()))
        remedy = "Without a baseline, `firedoor models baseline` takes one; else see what cannot be looked at."
        return Finding("warn", f"model {name}: NOT VERIFIED: {said}", remedy)
    return Finding("ok", f"model {name}: the same as its baseline")
