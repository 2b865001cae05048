"""The durable evidence journal of one writing process: `open_journal` and the `FileJournal` behind `ports.Journal`.

Records are chained, sealed and framed on the event loop, in the order given; one thread writes and syncs whatever has
gathered since its last sync (group commit) and resolves the futures. The first failure of a write or a sync poisons the
journal: what the disk holds after it is unknown until it is read again, so nothing is retried.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

from firedoor.core.evidence.leaf import check_name
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.evidence.scribe import Scribe, Written
from firedoor.core.evidence.seal import EvidenceSeal
from firedoor.errors import FiredoorError, JournalFull, JournalPoisoned, KeyUnusable, SetupError
from firedoor.store.files import sync_folder
from firedoor.store.recovery import Resume, find_end
from firedoor.store.segments import Disk, SegmentFile

SEGMENT_BYTES: Final = 64 * 1024 * 1024
"""A segment is closed before it grows past this: recovery reads the newest one whole, about a second."""
BATCH_BYTES: Final = 1024 * 1024
"""Bytes gathered for one sync. More would make the first of them wait longer than a sync costs."""
QUEUE_RECORDS: Final = 20_000
"""Records that may wait for the disk: about one second of the fastest traffic. Older callers have timed out."""
QUEUE_BYTES: Final = 64 * 1024 * 1024
"""Bytes that may wait for the disk, so that a hung disk does not fill the worker's memory."""

RECOVERED_PER_SYNC: Final = 1000
REAL_DISK: Final = Disk()


class _Entry(NamedTuple):
    """A frame on its way to the disk. `begins` says that it is the first of a new segment."""

    written: Written
    waiter: asyncio.Future[int] | None
    begins: bool = False


class _Stop(NamedTuple):
    done: asyncio.Future[None]


class FileJournal:
    """See `firedoor.ports.Journal`. Used from one event loop; made by `open_journal`."""

    def __init__(self, scribe: Scribe, file: SegmentFile, used: int, segment_bytes: int, lock: int) -> None:
        self._scribe = scribe
        self._file = file
        self._used = used
        self._segment_bytes = segment_bytes
        self._lock = lock
        self._queue: SimpleQueue[_Entry | _Stop] = SimpleQueue()
        self._queued_records = 0
        self._queued_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: str | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"journal-{scribe.slot}", daemon=True)

    def start(self) -> None:
        """Begin to write. `open_journal` calls it."""
        self._thread.start()

    @property
    def slot(self) -> str:
        """The slot this process writes to."""
        return self._scribe.slot

    @property
    def poisoned(self) -> bool:
        """Whether the disk has failed: nothing more is taken until a restart."""
        return self._failure is not None

    def append(self, record: Record) -> asyncio.Future[int]:
        """The future gives the sequence number once the record is synced.

        It fails with `JournalPoisoned` after the first failure of the disk or `aclose`, and with `JournalFull` while
        too much waits for the disk. Raises ValueError at once for a record that the format cannot hold.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        refusal = self._refusal()
        if refusal is not None:
            future.set_exception(refusal)
        else:
            self._take(record, future, loop)
        return future

    def note(self, record: Record) -> None:
        """Queue `record` for the next sync; dropped if the journal is poisoned or full. ValueError as `append`."""
        if self._refusal() is None:
            self._take(record, None, asyncio.get_running_loop())

    async def aclose(self) -> None:
        """Sync what is queued, then let go of the slot. What comes later is refused."""
        if self._closed:
            return
        self._closed = True
        self._loop = asyncio.get_running_loop()
        done = self._loop.create_future()
        self._queue.put(_Stop(done))
        await done
        self._thread.join()
        os.close(self._lock)

    def _refusal(self) -> FiredoorError | None:
        if self._failure is not None:
            return _poisoned(self.slot, self._failure)
        if self._closed:
            return _poisoned(self.slot, "it is closed")
        if self._queued_records >= QUEUE_RECORDS or self._queued_bytes >= QUEUE_BYTES:
            return JournalFull(f"{self._queued_records} records of slot {self.slot} wait for the disk.")
        return None

    def _take(self, record: Record, waiter: asyncio.Future[int] | None, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        if self._used >= self._segment_bytes:
            head = self._scribe.new_key(record.at, os.urandom(64), carry=True)
            self._used = 0
            for number, written in enumerate(head):
                self._put(_Entry(written, None, begins=number == 0))
        self._put(_Entry(self._scribe.write(record), waiter))

    def _put(self, entry: _Entry) -> None:
        size = len(entry.written.frame)
        self._used += size
        self._queued_bytes += size
        self._queued_records += 1
        self._queue.put(entry)

    def _settle(self, batch: list[_Entry], failure: str | None) -> None:
        self._queued_records -= len(batch)
        for written, waiter, _ in batch:
            self._queued_bytes -= len(written.frame)
            if waiter is None or waiter.done():
                continue
            if failure is None:
                waiter.set_result(written.seq)
            else:
                waiter.set_exception(_poisoned(self.slot, failure))

    # From here on: the writer's thread. It alone touches the file.

    def _run(self) -> None:
        stop = None
        while stop is None:
            batch, stop = self._gather()
            if batch and self._failure is None:
                self._write(batch)
            self._tell(partial(self._settle, batch, self._failure))
        self._file.close()
        self._tell(partial(stop.done.set_result, None))

    def _gather(self) -> tuple[list[_Entry], _Stop | None]:
        """Wait for an entry, then take what else is there, up to `BATCH_BYTES`."""
        batch: list[_Entry] = []
        size = 0
        while size < BATCH_BYTES:
            if batch and self._queue.empty():
                break
            item = self._queue.get()
            if isinstance(item, _Stop):
                return batch, item
            batch.append(item)
            size += len(item.written.frame)
        return batch, None

    def _write(self, batch: list[_Entry]) -> None:
        frames: list[bytes] = []
        try:
            for entry in batch:
                if entry.begins:
                    if frames:
                        self._file.append(b"".join(frames))
                    frames = []
                    self._file.begin(entry.written.seq)
                frames.append(entry.written.frame)
            self._file.append(b"".join(frames))
        except Exception as error:  # noqa: BLE001  whatever it was, what the disk holds is now unknown
            self._failure = _reason(error)

    def _tell(self, call: Callable[[], object]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call)


def open_journal(
    folder: Path,
    *,
    region: str,
    slot: str,
    seal: EvidenceSeal,
    clock_ns: Callable[[], int],
    disk: Disk = REAL_DISK,
    segment_bytes: int = SEGMENT_BYTES,
) -> FileJournal:
    """Take the slot, cut off a torn tail, close what a crash left open as `unknown`, and go on with a fresh key.

    Raises `SetupError` if another process has the slot or the folder cannot be used, `EvidenceDamaged` if a whole frame
    of the newest segment does not verify, `JournalPoisoned` if the disk takes nothing.
    """
    check_name("region", region)
    check_name("slot", slot)
    if seal.region != region:
        raise KeyUnusable(f"The evidence key of region {seal.region} cannot seal the journal of region {region}.")
    lock = _take_slot(folder, slot)
    try:
        file = SegmentFile(folder, disk)
        try:
            end = find_end(folder, region, slot)
            scribe = Scribe(seal, slot, end.seq, end.prev, end.open)
            used = end.length + _begin(scribe, file, end, clock_ns)
        except OSError as error:
            file.close()
            raise _poisoned(slot, _reason(error)) from error
    except BaseException:
        os.close(lock)
        raise
    journal = FileJournal(scribe, file, used, segment_bytes, lock)
    journal.start()
    return journal


def _begin(scribe: Scribe, file: SegmentFile, end: Resume, clock_ns: Callable[[], int]) -> int:
    """Write this process's key and the outcomes that a crash left out; how many bytes that took."""
    if end.segment is None:
        file.begin(end.seq + 1)
    else:
        file.resume(end.segment, end.length)
    frames = [written.frame for written in scribe.new_key(clock_ns(), os.urandom(64), carry=False)]
    total = 0
    for exchange in end.open.ids():
        facts: dict[str, Fact] = {"outcome": "unknown", "reason": "recovered"}
        record = Record(kind="outcome", exchange=exchange, at=clock_ns(), facts=facts)
        frames.append(scribe.write(record).frame)
        if len(frames) >= RECOVERED_PER_SYNC:
            total += _append(file, frames)
            frames = []
    return total + _append(file, frames)


def _append(file: SegmentFile, frames: list[bytes]) -> int:
    data = b"".join(frames)
    if data:
        file.append(data)
    return len(data)


def _take_slot(folder: Path, slot: str) -> int:
    """The descriptor that holds the slot's lock; the kernel lets go of it when the process dies."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(
            f"The journal of slot {slot} cannot be used: {_reason(error)}.",
            remedy="Check its owner and the disk.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SetupError(
            f"Slot {slot} is in use by another process.", remedy="One process writes to a slot: stop the other one."
        ) from error
    return lock


def _poisoned(slot: str, reason: str) -> JournalPoisoned:
    return JournalPoisoned(
        f"The journal of slot {slot} takes nothing more: {reason}.",
        remedy="Free or replace the disk and restart; what was acknowledged is whole.",
    )


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
