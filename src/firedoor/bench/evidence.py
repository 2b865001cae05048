"""What evidence costs and what it holds: durable records a second, verification, recovery, and `kill -9`.

One process writes as a gateway worker does: one kilobyte of content a record, a thousand subjects, every record
acknowledged when it is on the disk. The disk decides much of it: its own figure stands beside the others.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

from firedoor.agent.logsigner import LogSigner
from firedoor.bench.evidence_kills import Kills, kill
from firedoor.bench.evidence_load import REGION, SLOT, SUBJECTS, Keys, open_for_load, places, produce
from firedoor.bench.load import percentile
from firedoor.bench.processes import Machine, machine
from firedoor.core.evidence.chain import OpenExchanges
from firedoor.core.evidence.leaf import GENESIS
from firedoor.core.evidence.note import NoteSeeds, log_signers
from firedoor.core.evidence.record import Fact, Kind, Record
from firedoor.core.evidence.scribe import Scribe
from firedoor.errors import EvidenceDamaged
from firedoor.store.journal import SEGMENT_BYTES, FileJournal
from firedoor.store.journal_verify import verify
from firedoor.store.segments import Disk, SegmentFile
from firedoor.store.slotlog import HostLogs
from firedoor.store.tilelog import check

LEVELS: Final = (1, 10, 100, 1000)
WARM_UP: Final = 0.5
"""Seconds in which every subject gets its key."""
SYNCS: Final = 300
SYNC_BYTES: Final = 16_384
OPEN: Final = 100
"""Exchanges that the slot leaves open whose recovery is measured."""
PER_WRITE: Final = 2000
ORIGIN: Final = f"firedoor.bench/{REGION}/host/{SLOT}"


class Level(Struct, frozen=True):
    """Records made durable with so many in flight; times in milliseconds from `append` to the acknowledgement."""

    in_flight: int
    records: int
    per_second: float
    p50: float
    p99: float


class Reading(Struct, frozen=True):
    """Records verified by one thread."""

    what: str
    records: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Records a second."""
        return self.records / self.seconds


class Recovery(Struct, frozen=True):
    """Taking up a slot of `records` records with `open` exchanges left open, until the next record may be written."""

    records: int
    open: int
    seconds: float


class Figures(Struct, frozen=True):
    """The whole run. `sync_ms` is the median of writing and syncing 16 KiB at the end of a plain file."""

    machine: Machine
    sync_ms: float
    levels: list[Level]
    readings: list[Reading]
    recovery: Recovery | None
    kills: Kills | None


def run(seconds: float, records: int, kills: int, say: Callable[[str], None]) -> Figures:
    """The whole benchmark; `records` 0 leaves recovery out, `kills` 0 the kills. Raises `SetupError`, OSError."""
    here = machine()
    with _folder() as folder:
        sync_ms = _sync_ms(folder)
        levels = uvloop.run(_levels(folder, seconds, say))
        readings = list(_readings(folder, say))
    recovery = None
    if records:
        with _folder() as folder:
            say(f"recovery of {records:,} records")
            recovery = _recovery(folder, records)
    killed = kill(kills, say) if kills else None
    return Figures(here, sync_ms, levels, readings, recovery, killed)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="firedoor-bench-") as folder:
        yield Path(folder)


def _sync_ms(folder: Path) -> float:
    """A disk that answers in microseconds does not write, or is memory: then the other figures mean little."""
    times: list[float] = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            start = time.perf_counter()
            file.write(bytes(SYNC_BYTES))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return percentile(sorted(times), 0.5) * 1000


async def _levels(folder: Path, seconds: float, say: Callable[[str], None]) -> list[Level]:
    journal = open_for_load(folder, Keys())
    numbers = itertools.count()
    try:
        await _level(journal, numbers, LEVELS[-1], WARM_UP)
        levels: list[Level] = []
        for in_flight in LEVELS:
            say(f"writing, {in_flight} in flight")
            levels.append(await _level(journal, numbers, in_flight, seconds))
        return levels
    finally:
        await journal.aclose()


async def _level(journal: FileJournal, numbers: itertools.count[int], in_flight: int, seconds: float) -> Level:
    times: list[float] = []
    start = time.perf_counter()

    def done(_number: int, _seq: int, took: float) -> None:
        times.append(took)

    await asyncio.gather(*(produce(journal, numbers, SUBJECTS, start + seconds, done) for _ in range(in_flight)))
    took = time.perf_counter() - start
    times.sort()
    p50, p99 = (1000 * percentile(times, share) for share in (0.5, 0.99))
    return Level(in_flight, len(times), len(times) / took, p50, p99)


def _readings(folder: Path, say: Callable[[str], None]) -> Iterator[Reading]:
    """Verification of the journal that the levels wrote, and of the log that is published of it."""
    journals, bodies = folder / "journal", folder / "bodies"
    for what, beside in (("journal", None), ("journal and bodies", bodies)):
        say(f"verifying {what}")
        start = time.perf_counter()
        report = verify(journals, beside)
        took = time.perf_counter() - start
        if not report.ok:
            raise EvidenceDamaged(f"The bench's own journal does not verify: {report.damage[0].problem}")
        yield Reading(what, report.slots[0].records, took)
    signer = LogSigner(log_signers(ORIGIN, NoteSeeds(bytes(32), bytes(32)))[:1], time.time_ns)
    say("publishing the log")
    log = HostLogs(journals, folder / "log").open(SLOT, signer)
    size = 0
    while read := log.read_new(PER_WRITE):
        size += read
    log.publish()
    log.close()
    say("verifying the published log")
    start = time.perf_counter()
    damage = check(folder / "log" / SLOT, signer)
    took = time.perf_counter() - start
    if damage:
        raise EvidenceDamaged(f"The bench's own log does not verify: {damage[0].problem}")
    yield Reading("published log", size, took)


def _recovery(folder: Path, records: int) -> Recovery:
    records = _fill(folder, records)
    keys = Keys()

    async def take_up() -> float:
        start = time.perf_counter()
        journal = open_for_load(folder, keys)
        took = time.perf_counter() - start
        await journal.aclose()
        return took

    return Recovery(records, OPEN, asyncio.run(take_up()))


def _fill(folder: Path, records: int, segment_bytes: int = SEGMENT_BYTES) -> int:
    """A slot of at least `records` records without bodies whose newest segment is full: the longest to recover."""
    slot = places(folder).slot
    slot.mkdir(parents=True)
    file = SegmentFile(slot, Disk())
    scribe = Scribe(REGION, SLOT, 0, GENESIS, OpenExchanges())
    facts: dict[str, Fact] = {"shop": "alpenladen", "surface": "support", "outcome": "answered", "released": 600}
    frames: list[bytes] = []
    used, number = segment_bytes, 0
    while scribe.seq < records or used < segment_bytes:
        at = time.time_ns()
        if used >= segment_bytes:
            if frames:
                file.append(frames)
            file.begin(scribe.seq + 1)
            frames = [written.frame for written in scribe.begin(at, carry=True)]
            used = sum(map(len, frames))
        pair, outcome = divmod(max(number - OPEN, 0), 2)
        kind: Kind = "outcome" if outcome else "intent"
        exchange = f"fx-{number}" if number < OPEN else f"fx-{OPEN + pair}"
        frame = scribe.write(Record(kind=kind, exchange=exchange, at=at, facts=facts), None, b"").frame
        number += 1
        frames.append(frame)
        used += len(frame)
        if len(frames) >= PER_WRITE:
            file.append(frames)
            frames = []
    if frames:
        file.append(frames)
    file.close()
    return scribe.seq
