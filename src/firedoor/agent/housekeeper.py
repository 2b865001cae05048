"""Keeps house in the evidence of a region: bodies whose time is over go, erasures that were cut short are finished."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from msgspec import Struct

from firedoor.core.evidence.retention import Expired
from firedoor.errors import FiredoorError
from firedoor.ports.evidence import Housekeeping

EVERY: Final = 600.0
"""Seconds from one run to the next."""

log = logging.getLogger("firedoor.agent")

T = TypeVar("T")


class HouseStatus(Struct, frozen=True):
    """How housekeeping does. `at` (Unix seconds) is when the last run ended, `problem` what kept it back, if anything.

    `expired` is what the last whole run did, None before the first.
    """

    at: int | None = None
    problem: str | None = None
    expired: Expired | None = None


class Housekeeper:
    """Runs `housekeeping` now and every ten minutes. What fails is tried again the next time, and said."""

    def __init__(
        self,
        housekeeping: Housekeeping,
        *,
        every: float = EVERY,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._housekeeping = housekeeping
        self._every = every
        self._sleep = sleep
        self.status = HouseStatus()

    async def run(self) -> None:
        """Until cancelled; a run that is under way is finished first."""
        while True:
            await self.tick()
            await self._sleep(self._every)

    async def tick(self) -> None:
        """One run."""
        problems: list[str] = []
        expired = self.status.expired
        try:
            await _in_thread(self._housekeeping.finish_erasures)
        except (FiredoorError, OSError) as error:
            problems.append(_said("erasures", error))
        try:
            expired = await _in_thread(self._housekeeping.expire)
        except (FiredoorError, OSError) as error:
            problems.append(_said("expiry", error))
        else:
            problems += _complaints(expired)
        problem = " ".join(problems) or None
        if problem is not None and problem != self.status.problem:
            log.error("housekeeping: %s", problem)
        self.status = HouseStatus(int(time.time()), problem, expired)


def _said(what: str, error: FiredoorError | OSError) -> str:
    return f"{what}: {error if isinstance(error, FiredoorError) else error.strerror or type(error).__name__}"


def _complaints(expired: Expired) -> list[str]:
    found = []
    if expired.refused:
        found.append(
            "The clock is more than a day ahead of the last run: nothing expires until a person has looked at it and"
            " runs `firedoor evidence expire --confirm-clock`."
        )
    if expired.damaged:
        found.append(
            f"{len(expired.damaged)} hours that holds may keep bodies of cannot be read, and stay whole: run"
            " `firedoor evidence verify`."
        )
    return found


async def _in_thread(call: Callable[[], T]) -> T:
    """Run `call` in a thread; a cancelled caller waits for its end, so that nobody closes the journal under it."""
    running = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
