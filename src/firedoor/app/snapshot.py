"""Takes what would be gone tomorrow, for the evidence of a case: see `firedoor.ports.incidents.Snapshots`.

In the order of volatility (RFC 3227, 2.1): what lives in memory, then files that change all the time, then what hardly
changes. One canonical JSON document; each item says where it comes from, how and when it was taken, and the SHA-256 of
its content (ISO/IEC 27037: who, when, where, by what method). Nothing is opened: answers stay sealed, sessions hashed.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from firedoor.app.hostpart import known_host_part
from firedoor.app.indexplace import read_index
from firedoor.app.isolation import ModelExaminer
from firedoor.app.taking import Item, Part, Taking, version
from firedoor.config import RegionHome
from firedoor.control.switchboard import Switchboard
from firedoor.core.evidence.questions import Question
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import ANY, Scope, where_found
from firedoor.errors import FiredoorError
from firedoor.keys.derive import SealingBox
from firedoor.ports.incidents import SnapshotTaken
from firedoor.ports.keys import EpochSource
from firedoor.store.baselines import BaselineFile
from firedoor.store.credentials import CredentialFile
from firedoor.store.segments import segments, slots
from firedoor.store.takings import Taken, kept_answers, session_sums

MODELS_WAIT: Final = 1.0
"""Seconds for all that living model servers tell; each of them is given 0.9."""
FILES_WAIT: Final = 1.2
"""Seconds for all files together; reading of lists ends after two thirds of it."""
MODELS: Final = 32
"""Model instances that are looked at; others are named as missing."""
EXCHANGES: Final = 5000
"""Exchanges of the window that are named, the newest; the index and the journals have all of them."""
SCOPES: Final = 16
"""Scopes of a case for which exchanges are looked up."""
SIDE_BY_SIDE: Final = 4
"""Snapshots whose files are read at a time; a disk that hangs holds up these, and nothing else."""


class RegionSnapshots:
    """Snapshots of one region, on the host of its control. `aclose` in the end."""

    def __init__(
        self,
        place: RegionHome,
        loaded: Loaded,
        *,
        board: Switchboard,
        examiner: ModelExaminer,
        box: SealingBox,
        epochs: EpochSource,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._place = place
        self._loaded = loaded
        self._board = board
        self._examiner = examiner
        self._box = box
        self._epochs = epochs
        self._now_ns = now_ns
        self._threads = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="snapshot")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="snapshot")  # waits for no disk

    async def aclose(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._writing.shutdown(wait=False)
        await self._examiner.aclose()

    async def take(self, case: str, scopes: Sequence[str], exchanges: Sequence[str]) -> SnapshotTaken:
        """See the port."""
        taking = Taking(case, self._place.name, self._now_ns)
        wanted = [where_found(text, self._place.name) for text in scopes]
        taking.add(self._switches())
        in_thread = asyncio.get_running_loop().run_in_executor
        looking = asyncio.ensure_future(self._models(wanted))
        reading = in_thread(self._threads, taking.read, self._parts(wanted, exchanges))
        done, _ = await asyncio.wait({looking}, timeout=MODELS_WAIT)
        if done and looking.exception() is None:
            taking.add(looking.result(), place=1)
        else:
            looking.cancel()
            taking.missing["models"] = "time_over" if not done else "failed"
        await asyncio.wait({reading}, timeout=max(0.0, FILES_WAIT - taking.age))
        if not reading.done():
            reading.cancel()
        if self._loaded.plan.regions[self._place.name].bus is not None:
            taking.missing["other_hosts"] = "not_reached"
        return await in_thread(self._writing, taking.document, tuple(scopes), _host(self._place))

    # --- what lives in memory -----------------------------------------------------------------------------------------

    def _switches(self) -> Item:
        """The table as it is said, how it came about, who waits to open, and how far control has read."""
        keeper = self._board.keeper
        content = {
            "table": keeper.table,
            "trail": keeper.trail,
            "requests": [{"id": p.id, "digest": p.signed.act.digest} for p, _ in self._board.requests()],
            "cursors": keeper.cursors,
            "durable": keeper.durable,
            "recorded": keeper.recorded,
        }
        return Item("switches", "control", "memory of this process", content, len(keeper.table.shut))

    async def _models(self, scopes: Sequence[Scope]) -> Item:
        """What the model instances in question are at this moment."""
        plan, region = self._loaded.plan, self._place.name
        mine = [name for name, model in plan.models.items() if model.region == region]
        if all(scope.model != ANY for scope in scopes):
            mine = [name for name in mine if name in {scope.model for scope in scopes}]
        asked = mine[:MODELS]
        looks = await asyncio.gather(*map(self._examiner.glance, asked), return_exceptions=True)
        content = {
            name: {"not_seen": type(look).__name__} if isinstance(look, BaseException) else look
            for name, look in zip(asked, looks, strict=True)
        }
        missing = "cut_off" if len(mine) > len(asked) else ""
        return Item("models", "processes and their own pages", "live look", content, len(content), missing)

    # --- files --------------------------------------------------------------------------------------------------------

    def _parts(self, scopes: Sequence[Scope], exchanges: Sequence[str]) -> list[Part]:
        place = self._place
        until = time.monotonic() + FILES_WAIT * 2 / 3
        places = {(scope.shop, scope.surface) for scope in scopes}

        def go_on() -> bool:
            return time.monotonic() < until

        def sessions() -> tuple[Any, int, str]:
            return _listed(session_sums(place.sessions, go_on))

        def cache() -> tuple[Any, int, str]:
            return _listed(kept_answers(place.cache, exchanges, sorted(places), go_on))

        return [
            Part("sessions", place.sessions.name, "entries copied, keys stay hashed", sessions),
            Part("cache", place.cache.name, "rows copied, answers stay sealed", cache),
            Part("journals", place.journals.name, "sizes of the newest segments", self._journals),
            Part("index", place.state.name, "how far each slot was read", self._index),
            Part("credentials", place.credentials.name, "ids copied, no secret and no hash", self._credentials),
            Part("baselines", place.baselines.name, "opened and copied", self._baselines),
            Part("versions", "this installation", "asked and hashed", self._versions),
            Part("exchanges", place.state.name, "looked up", lambda: self._exchanges(scopes, exchanges)),
        ]

    def _journals(self) -> tuple[Any, int, str]:
        content: dict[str, Any] = {}
        for slot in slots(self._place.journals):
            newest = segments(self._place.journal(slot))[-1:]
            content[slot] = {path.name: path.stat().st_size for path in newest}
        return content, len(content), ""

    def _index(self) -> tuple[Any, int, str]:
        index = read_index(self._place, self._loaded.plan.regions[self._place.name])
        try:
            content = index.read_up_to()
        finally:
            index.close()
        return content, len(content), ""

    def _credentials(self) -> tuple[Any, int, str]:
        known = CredentialFile(self._place.credentials, self._place.name).load()
        content = sorted(known.values(), key=lambda one: one.id)
        return content, len(content), ""

    def _baselines(self) -> tuple[Any, int, str]:
        content = BaselineFile(self._place.baselines, self._box).load()
        return content, len(content), ""

    def _versions(self) -> tuple[Any, int, str]:
        epoch, erased = self._epochs.current()
        data = _data_digests()
        content = {
            "firedoor": version(),
            "python": platform.python_version(),
            "plan": self._loaded.digest,
            "epoch": epoch.epoch,
            "erased_subjects": erased,
            "data": data,
        }
        return content, len(data), ""

    def _exchanges(self, scopes: Sequence[Scope], exchanges: Sequence[str]) -> tuple[Any, int, str]:
        """The newest exchanges in the scopes since the plan's lookback, and those of the findings."""
        since = self._now_ns() // 1000 - int(self._loaded.plan.incidents.lookback) * 1_000_000
        found: dict[str, int] = {}
        index = read_index(self._place, self._loaded.plan.regions[self._place.name])
        try:
            for scope in scopes[:SCOPES]:
                for one in index.find(_question(scope, since), EXCHANGES):
                    found[one.exchange] = one.began
        finally:
            index.close()
        newest = sorted(found.items(), key=lambda one: (-one[1], one[0]))
        cut = len(newest) >= EXCHANGES or len(scopes) > SCOPES
        content = {"since": since, "window": dict(newest[:EXCHANGES]), "findings": list(exchanges), "more": cut}
        return content, min(len(newest), EXCHANGES), "cut_off" if cut else ""


def _listed(taken: Taken) -> tuple[Any, int, str]:
    content = {"there": taken.there, "cut": taken.cut, "entries": taken.items}
    return content, len(taken.items), "cut_off" if taken.cut else ""


def _question(scope: Scope, since: int) -> Question:
    shop, surface, model = (None if part == ANY else part for part in (scope.shop, scope.surface, scope.model))
    return Question(since=since, shop=shop, surface=surface, model=model)


def _host(place: RegionHome) -> str:
    """What this host is called in the region, or by itself."""
    try:
        return known_host_part(place) or platform.node()
    except (FiredoorError, OSError):
        return platform.node()


@functools.cache
def _data_digests() -> dict[str, str]:
    """SHA-256 of every file of rules that is shipped: they do not change while the process lives."""
    return dict(_digests(files("firedoor") / "data", ""))


def _digests(folder: Traversable, before: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            found += _digests(entry, f"{before}{entry.name}/") if entry.name != "__pycache__" else []
        else:
            found.append((before + entry.name, hashlib.sha256(entry.read_bytes()).hexdigest()))
    return found
