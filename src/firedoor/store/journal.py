"""The durable evidence journal of one writing process: `open_journal` and the `FileJournal` behind `ports.Journal`.

Records are chained, sealed and framed on the event loop, in the order given; one thread writes and syncs whatever has
gathered since its last sync (group commit) and resolves the futures. New keys are synced before the bodies under them,
bodies before the leaves that name them: what a leaf speaks of is always there. The first failure of a write or a sync
poisons the journal: what the disk holds after it is unknown until it is read again, so nothing is retried.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from firedoor.core.evidence.leaf import check_name
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.evidence.scribe import Scribe, Written, needs_key
from firedoor.core.evidence.subjects import EpochPublic
from firedoor.core.evidence.xaes import NONCE_BYTES
from firedoor.errors import FiredoorError, JournalFull, JournalPoisoned, KeyUnusable, SetupError
from firedoor.ports.keys import EpochSource
from firedoor.store.bodies import BodyFiles
from firedoor.store.cells import CellFile, SubjectKeys
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

REFRESH: Final = 0.25
"""Seconds between looks at the region's epoch: after an erasure, a key is forgotten this fast."""
IDLE: Final = 0.5
"""Seconds without a record after which the writer sees whether its epoch is still the present one."""

RECOVERED_PER_SYNC: Final = 1000
REAL_DISK: Final = Disk()


class Places(NamedTuple):
    """The folders a journal writes to: its slot's own, and the region's bodies and subjects' keys."""

    slot: Path
    bodies: Path
    subjects: Path


class _Entry(NamedTuple):
    """A frame on its way to the disk, with the cells of keys it is the first to use.

    `begins` says that it is the first of a new segment.
    """

    written: Written
    waiter: asyncio.Future[int] | None
    cells: tuple[tuple[int, bytes], ...] = ()
    begins: bool = False

    @property
    def size(self) -> int:
        body = self.written.body
        return len(self.written.frame) + (len(body.data) if body else 0)


class _Stop(NamedTuple):
    done: asyncio.Future[None]


class FileJournal:
    """See `firedoor.ports.evidence.Journal`. Used from one event loop; made by `open_journal`."""

    def __init__(
        self, scribe: Scribe, keys: SubjectKeys, files: _Files, source: EpochSource, used: int, segment_bytes: int
    ) -> None:
        self._scribe = scribe
        self._keys = keys
        self._files = files
        self._source = source
        self._used = used
        self._segment_bytes = segment_bytes
        self._refreshed = -math.inf
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
            try:
                self._take(record, future, loop)
            except JournalPoisoned as error:
                future.set_exception(error)
        return future

    def note(self, record: Record) -> None:
        """Queue `record` for the next sync; dropped if the journal is poisoned or full. ValueError as `append`."""
        if self._refusal() is None:
            with contextlib.suppress(JournalPoisoned):
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
        os.close(self._files.lock)

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
            head = self._scribe.begin(record.at, carry=True)
            self._used = 0
            for number, written in enumerate(head):
                self._put(_Entry(written, None, begins=number == 0))
        lookup, key, nonce = needs_key(record), None, b""
        if lookup is not None:
            self._refresh(loop.time())
            key = self._keys.key(lookup, record.at)
            nonce = os.getrandom(NONCE_BYTES)  # unlike urandom it keeps the GIL: giving it up costs more than the call
        try:
            written = self._scribe.write(record, key, nonce)
        except ValueError:
            self._refreshed = -math.inf  # the key may lie unused for long: look again before it is used
            raise
        cells, self._keys.unwritten = tuple(self._keys.unwritten), []
        self._put(_Entry(written, waiter, cells))

    def _refresh(self, now: float) -> None:
        if now - self._refreshed < REFRESH:
            return
        self._refreshed = now
        try:
            self._keys.refresh()
        except (FiredoorError, OSError) as error:
            # Without the ring nobody knows which keys are still good: nothing more is sealed.
            self._failure = f"the key ring cannot be read ({type(error).__name__})"
            raise _poisoned(self.slot, self._failure) from error

    def _put(self, entry: _Entry) -> None:
        self._used += len(entry.written.frame)
        self._queued_bytes += entry.size
        self._queued_records += 1
        self._queue.put(entry)

    def _settle(self, batch: list[_Entry], failure: str | None) -> None:
        self._queued_records -= len(batch)
        for entry in batch:
            self._queued_bytes -= entry.size
            waiter = entry.waiter
            if waiter is None or waiter.done():
                continue
            if failure is None:
                waiter.set_result(entry.written.seq)
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
        self._files.close(failed=self._failure is not None)
        self._tell(partial(stop.done.set_result, None))

    def _gather(self) -> tuple[list[_Entry], _Stop | None]:
        """Wait for an entry, then take what else is there, up to `BATCH_BYTES`."""
        batch: list[_Entry] = []
        size = 0
        while size < BATCH_BYTES:
            if batch and self._queue.empty():
                break
            try:
                item = self._queue.get(timeout=IDLE)
            except Empty:
                self._leave_old_epoch()
                continue
            if isinstance(item, _Stop):
                return batch, item
            batch.append(item)
            size += item.size
        return batch, None

    def _leave_old_epoch(self) -> None:
        """An idle writer must not keep an old epoch alive."""
        with contextlib.suppress(FiredoorError, OSError):  # whoever needs the ring next will say so
            self._files.cells.leave(self._source.current()[0].epoch)

    def _write(self, batch: list[_Entry]) -> None:
        frames: list[bytes] = []
        files = self._files
        try:
            cells: dict[int, list[bytes]] = {}
            for entry in batch:
                for epoch, cell in entry.cells:
                    cells.setdefault(epoch, []).append(cell)
            for epoch, new in cells.items():
                files.cells.append(epoch, b"".join(new))
            if bodies := [entry.written.body for entry in batch if entry.written.body is not None]:
                files.bodies.append(bodies)
            for entry in batch:
                if entry.begins:
                    if frames:
                        files.leaves.append(frames)
                    frames = []
                    files.leaves.begin(entry.written.seq)
                frames.append(entry.written.frame)
            files.leaves.append(frames)
        except Exception as error:  # noqa: BLE001  whatever it was, what the disk holds is now unknown
            self._failure = _reason(error)

    def _tell(self, call: Callable[[], object]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call)


class _Files(NamedTuple):
    """What the writer's thread writes to, and the descriptor that holds the slot."""

    leaves: SegmentFile
    bodies: BodyFiles
    cells: CellFile
    lock: int

    def close(self, *, failed: bool = False) -> None:
        self.leaves.close()
        self.bodies.close(failed=failed)
        self.cells.close()


def open_journal(
    places: Places,
    *,
    region: str,
    slot: str,
    epochs: EpochSource,
    clock_ns: Callable[[], int],
    disk: Disk = REAL_DISK,
    segment_bytes: int = SEGMENT_BYTES,
) -> FileJournal:
    """Take the slot, cut off a torn tail, close what a crash left open as `unknown`, and go on with fresh keys.

    Raises `SetupError` if another process has the slot or the folder cannot be used, `EvidenceDamaged` if a whole frame
    of the newest segment does not verify, `KeyUnusable`, `JournalPoisoned` if the disk takes nothing.
    """
    check_name("region", region)
    check_name("slot", slot)
    lock = _take_slot(places.slot, slot, disk)
    try:
        leaves = SegmentFile(places.slot, disk)
        files = _Files(leaves, BodyFiles(places.bodies, disk), CellFile(places.subjects, slot, disk), lock)
        try:
            disk.make_folder(places.bodies)
            epoch = files.cells.open(epochs)
            _check_region(epoch, region)
            end = find_end(places.slot, region, slot, disk)
            scribe = Scribe(region, slot, end.seq, end.prev, end.open)
            used = end.length + _begin(scribe, leaves, end, clock_ns)
        except OSError as error:
            files.close()
            raise _poisoned(slot, _reason(error)) from error
        except BaseException:
            files.close()
            raise
        journal = FileJournal(scribe, SubjectKeys(epochs), files, epochs, used, segment_bytes)
    except BaseException:
        os.close(lock)
        raise
    journal.start()
    return journal


def _check_region(epoch: EpochPublic, region: str) -> None:
    if epoch.region != region:
        raise KeyUnusable(f"The keys of region {epoch.region} cannot seal the journal of region {region}.")


def _begin(scribe: Scribe, file: SegmentFile, end: Resume, clock_ns: Callable[[], int]) -> int:
    """Write that this process begins, and the outcomes that a crash left out; how many bytes that took."""
    if end.segment is None:
        file.begin(end.seq + 1)
    else:
        file.resume(end.segment, end.length)
    frames = [written.frame for written in scribe.begin(clock_ns(), carry=False)]
    total = 0
    for exchange in end.open.ids():
        facts: dict[str, Fact] = {"outcome": "unknown", "reason": "recovered"}
        record = Record(kind="outcome", exchange=exchange, at=clock_ns(), facts=facts)
        frames.append(scribe.write(record, None, b"").frame)
        if len(frames) >= RECOVERED_PER_SYNC:
            total += _append(file, frames)
            frames = []
    return total + _append(file, frames)


def _append(file: SegmentFile, frames: list[bytes]) -> int:
    if frames:
        file.append(frames)
    return sum(map(len, frames))


def _take_slot(folder: Path, slot: str, disk: Disk) -> int:
    """The descriptor that holds the slot's lock; the kernel lets go of it when the process dies."""
    try:
        disk.make_folder(folder.parent)
        disk.make_folder(folder)
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
