"""Watches the model instances of a region: looks, compares with the baseline, tells a change once, shuts if planned."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from firedoor.control.switchboard import Switchboard
from firedoor.core.integrity import Baseline, Look, Verified, compare, drift_facts
from firedoor.core.plan.model import Integrity
from firedoor.core.switches import Scope
from firedoor.core.switchstate import AUTOMATIC, Entry
from firedoor.errors import FiredoorError

log = logging.getLogger("firedoor.control")

LEAST = 5.0
"""Seconds between two looks, whatever the plan says: they cost the model instance an answer for each probe."""
SOON = 15.0
"""Seconds to the next look after one that could not see everything: a server that starts is verified soon."""


class Looker(Protocol):
    """Sees model instances. Owes: bounded time, and an error of ours or OSError for whatever goes wrong."""

    async def look(self, model: str, baseline: Baseline | None) -> Look:
        """What is to be seen of `model` now."""
        ...


class Baselines(Protocol):
    """The region's baselines, and which drift was told. Owes: what `tell` noted is durable when it returns."""

    def baseline(self, model: str) -> Baseline | None:
        """None if nobody took one. Raises `FiredoorError`."""
        ...

    def told(self, model: str) -> str:
        """`Verified.print` of the drift that was told last; empty for none. Raises `FiredoorError`."""
        ...

    def tell(self, model: str, drift: str) -> None:
        """Note that `drift` was told. Raises `FiredoorError`, OSError."""
        ...


class ModelWatch:
    """The model instances of one region that the plan has watched. Used from one event loop.

    `show` is given all that is known after every look, in a thread: for people, nothing depends on it.
    """

    def __init__(
        self,
        models: Mapping[str, Integrity],
        *,
        looker: Looker,
        baselines: Baselines,
        board: Switchboard,
        show: Callable[[Mapping[str, Verified]], None],
    ) -> None:
        self.found: dict[str, Verified] = {}
        self._models = models
        self._looker = looker
        self._baselines = baselines
        self._board = board
        self._show = show
        self._told: dict[str, str] = {}
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Look for ever, at one model instance at a time. Ends only when cancelled: a look that fails ends nothing."""
        await asyncio.gather(*map(self._keep_looking, self._models))

    async def look(self, model: str) -> Verified:
        """Look once, tell a drift that was not told yet, and shut if the plan says so. Never raises errors of ours."""
        async with self._turn:
            found = self.found[model] = await self._compare(model)
            if found.state == "drift":
                await self._drifted(model, found)
            elif found.state == "same":
                await self._note_told(model, "")
            await asyncio.to_thread(self._show, dict(self.found))
        return found

    async def _keep_looking(self, model: str) -> None:
        every = max(LEAST, float(self._models[model].every))
        while True:
            found = await self.look(model)
            await asyncio.sleep(min(every, SOON) if found.state == "not_verified" else every)

    async def _compare(self, model: str) -> Verified:
        try:
            baseline = await asyncio.to_thread(self._baselines.baseline, model)
            return compare(baseline, await self._looker.look(model, baseline))
        except (FiredoorError, OSError) as error:
            log.warning("model instance %s cannot be looked at: %s", model, type(error).__name__)
            return Verified("not_verified", unseen={"instance": "cannot_be_looked_at"})
        except Exception as error:  # noqa: BLE001  # a look must not end the watch, or control with it
            log.error("looking at model instance %s failed: %s", model, type(error).__name__)
            return Verified("not_verified", unseen={"instance": "internal_error"})

    async def _drifted(self, model: str, found: Verified) -> None:
        """Shut first, then record: what cannot be recorded is told again at the next look."""
        if found.print == await self._last_told(model):
            return
        integrity, board = self._models[model], self._board
        if integrity.on_drift == "shut":
            scope = Scope(board.region, model=model)
            now = board.keeper.now
            board.keeper.shut(
                Entry(state="shut", scope=scope, reason="suspicion", cause="finding", at=now, by=AUTOMATIC)
            )
        try:
            # Control reads this record from its own journal and finds the scope shut; it withdraws requests to open it.
            await board.keeper.record("finding", drift_facts(board.region, model, found, integrity))
        except FiredoorError as error:
            log.error("the drift of model instance %s is not recorded: %s", model, type(error).__name__)
            return
        await self._note_told(model, found.print)

    async def _last_told(self, model: str) -> str:
        if model not in self._told:
            try:
                self._told[model] = await asyncio.to_thread(self._baselines.told, model)
            except FiredoorError:
                return ""  # told twice is better than never
        return self._told[model]

    async def _note_told(self, model: str, drift: str) -> None:
        if drift == await self._last_told(model):
            return
        self._told[model] = drift
        try:
            await asyncio.to_thread(self._baselines.tell, model, drift)
        except (FiredoorError, OSError) as error:
            log.warning("what was told of model instance %s cannot be kept: %s", model, type(error).__name__)
