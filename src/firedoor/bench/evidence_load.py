"""Writes evidence as fast as it is taken: for the benchmark, and as the process that is killed again and again.

``python -m firedoor.bench.evidence_load FOLDER PUBLIC FIRST`` writes until it is killed, 100 records in flight, and
reports every acknowledged record on stdout: sequence number and number of the record, 8 bytes each, little-endian.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from struct import Struct as Layout
from typing import Final

import uvloop

from firedoor.core.evidence.record import Fact, Record
from firedoor.core.evidence.subjects import EpochPrivate, EpochPublic
from firedoor.store.journal import SEGMENT_BYTES, FileJournal, Places, open_journal

REGION: Final = "bench"
SLOT: Final = "worker-0"
SURFACE: Final = "support"
BODY_BYTES: Final = 1000
SUBJECTS: Final = 1000
IN_FLIGHT: Final = 100
"""Records in flight in the process that is killed."""
KILLED_SUBJECTS: Final = 50
KILLED_SEGMENT_BYTES: Final = 1024 * 1024
"""Small enough that some kills hit the change to a new segment."""
ACKNOWLEDGED: Final = Layout("<QQ")

_FACTS: Final[dict[str, Fact]] = {
    "shop": "alpenladen",
    "surface": SURFACE,
    "model": "bench-chat",
    "jurisdiction": "AT",
    "credential": "c-0123456789abcdef",
    "plan": "0123456789abcdef" * 4,
    "outcome": "answered",
    "released": 600,
}


class OneEpoch:
    """A region whose epoch never changes. See `firedoor.ports.keys.EpochSource`."""

    def __init__(self, public: EpochPublic) -> None:
        self._public = public

    def current(self) -> tuple[EpochPublic, int]:
        """The epoch; nobody is ever erased."""
        return self._public, 0


class Keys(OneEpoch):
    """The same with the private half, for whoever opens bodies."""

    def __init__(self) -> None:
        self._private = EpochPrivate(REGION, 1, os.urandom(32))
        super().__init__(self._private.public)

    @property
    def public(self) -> bytes:
        """32 bytes."""
        return self._private.public.public

    def epoch_private(self, number: int) -> EpochPrivate:
        """The private half; there is only one epoch."""
        del number
        return self._private


def places(folder: Path) -> Places:
    """Where a journal of the bench writes below `folder`; the folder of keys is made."""
    subjects = folder / "keys" / "subjects"
    subjects.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Places(folder / "journal" / SLOT, folder / "bodies", subjects)


def record(number: int, subjects: int) -> Record:
    """Record `number`: intents and outcomes in turn, one kilobyte of content, one session a subject."""
    exchange, outcome = divmod(number, 2)
    lookup = f"{exchange % subjects:032x}"
    return Record(
        kind="outcome" if outcome else "intent",
        exchange=f"fx-{exchange}",
        at=time.time_ns(),
        facts=_FACTS,
        body=content(number),
        retention=SURFACE,
        subject=lookup,
        session=lookup,
    )


def content(number: int) -> bytes:
    """`BODY_BYTES` bytes that only record `number` has."""
    return f"{number}:".encode().ljust(BODY_BYTES, b".")


async def produce(
    journal: FileJournal,
    numbers: itertools.count[int],
    subjects: int,
    until: float,
    done: Callable[[int, int, float], None],
) -> None:
    """Append records one after another until the monotonic time `until`.

    `done` gets the number, the sequence number and the seconds until it was durable.
    """
    while (start := time.perf_counter()) < until:
        number = next(numbers)
        seq = await journal.append(record(number, subjects))
        done(number, seq, time.perf_counter() - start)


async def _forever(folder: Path, public: bytes, first: int) -> None:
    journal = open_journal(
        places(folder),
        region=REGION,
        slot=SLOT,
        epochs=OneEpoch(EpochPublic(REGION, 1, public)),
        clock_ns=time.time_ns,
        segment_bytes=KILLED_SEGMENT_BYTES,
    )

    def done(number: int, seq: int, _seconds: float) -> None:
        os.write(sys.stdout.fileno(), ACKNOWLEDGED.pack(seq, number))  # whole, or not at all: shorter than PIPE_BUF

    numbers = itertools.count(first)
    await asyncio.gather(*(produce(journal, numbers, KILLED_SUBJECTS, float("inf"), done) for _ in range(IN_FLIGHT)))


def open_for_load(folder: Path, keys: OneEpoch) -> FileJournal:
    """The journal of the bench, with segments as long as in service."""
    return open_journal(
        places(folder), region=REGION, slot=SLOT, epochs=keys, clock_ns=time.time_ns, segment_bytes=SEGMENT_BYTES
    )


if __name__ == "__main__":
    uvloop.run(_forever(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])))
