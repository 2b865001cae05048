"""The journal slot of people at the command line: what they read, erase or hold is recorded there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from firedoor.app.regionkeys import places
from firedoor.config import RegionHome
from firedoor.core.evidence.record import Record
from firedoor.errors import SetupError
from firedoor.ports.evidence import Journal
from firedoor.ports.keys import EpochSource
from firedoor.store.holds import Write
from firedoor.store.journal import FileJournal, open_journal

OPERATOR_SLOT: Final = "operator"
WAIT: Final = 10.0
"""Seconds to wait for another person's command to let go of the slot."""
POLL: Final = 0.05

T = TypeVar("T")


@contextlib.asynccontextmanager
async def operator_journal(place: RegionHome, epochs: EpochSource) -> AsyncIterator[FileJournal]:
    """The journal of the slot `operator`, closed at the end. Waits a little while another command has it.

    Raises `SetupError`, `EvidenceDamaged`, `KeyUnusable`, `JournalPoisoned`.
    """
    journal = await _open(place, epochs)
    try:
        yield journal
    finally:
        await journal.aclose()


def as_operator(place: RegionHome, epochs: EpochSource, work: Callable[[Write], T]) -> T:
    """Run blocking `work` with a way to leave records in the slot `operator`. Raises as `operator_journal`."""
    return asyncio.run(_as_operator(place, epochs, work))


def durable(journal: Journal) -> Write:
    """`append` for threads other than that of the running loop: returns when the record is durable."""
    loop = asyncio.get_running_loop()

    async def append(record: Record) -> int:
        return await journal.append(record)

    return lambda record: asyncio.run_coroutine_threadsafe(append(record), loop).result()


async def _as_operator(place: RegionHome, epochs: EpochSource, work: Callable[[Write], T]) -> T:
    async with operator_journal(place, epochs) as journal:
        return await asyncio.to_thread(work, durable(journal))


async def _open(place: RegionHome, epochs: EpochSource) -> FileJournal:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            return open_journal(
                places(place, OPERATOR_SLOT),
                region=place.name,
                slot=OPERATOR_SLOT,
                epochs=epochs,
                clock_ns=time.time_ns,
            )
        except SetupError:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(POLL)
