"""The journal of a process that cannot write one."""

from __future__ import annotations

import asyncio

from firedoor.core.evidence.record import Record
from firedoor.errors import JournalPoisoned


class NoJournal:
    """Takes nothing and says so: without evidence a worker serves fallbacks. See `firedoor.ports.evidence.Journal`."""

    poisoned = True

    def __init__(self, slot: str) -> None:
        self.slot = slot

    def append(self, record: Record) -> asyncio.Future[int]:
        """A future that has failed with `JournalPoisoned`."""
        del record
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_exception(
            JournalPoisoned(f"Slot {self.slot} has no journal.", remedy="See `firedoor evidence verify`.")
        )
        return future

    def note(self, record: Record) -> None:
        """Drop it."""

    async def aclose(self) -> None:
        """Nothing was opened."""
