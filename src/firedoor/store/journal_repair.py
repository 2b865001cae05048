"""A damaged journal made whole again from the slot's published log, which holds the same leaves."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from firedoor.core.evidence.chain import Chain
from firedoor.core.evidence.frames import MAGIC, Frame, begin_write, decode_frame, encode_frame, skip_frame
from firedoor.core.evidence.leaf import BEGIN, carried_after
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.store.files import sync_folder
from firedoor.store.journal import REAL_DISK
from firedoor.store.segments import Disk, first_seq, segment_path, segments

WRITE_BYTES: Final = 1024 * 1024
"""Bytes written at a time."""


class Repaired(Struct, frozen=True):
    """What became of a journal: `signed` records from the log, `unsigned` newer ones saved from the old journal.

    `lost` says that the old journal had more which cannot be read. `aside` is where the old one lies now.
    """

    signed: int
    unsigned: int
    lost: bool
    aside: Path


def repair_journal(
    journal: Path, region: str, signed: Iterable[bytes], size: int, aside: Path, disk: Disk = REAL_DISK
) -> Repaired:
    """Write the journal of a slot anew from its `size` `signed` leaves and what of the old one follows them.

    The old journal is moved into the folder `aside`. Raises `SetupError` if a process has the slot, `EvidenceDamaged`
    if the leaves are not those of this slot, OSError; then the old journal is where it was.
    """
    lock = _take(journal)
    try:
        slot = journal.name
        # A segment begins with what recovery needs: the new ones begin where the old ones did.
        heads = {first_seq(path) for path in segments(journal)}
        fresh = journal.parent / f".{slot}.repaired"
        _empty(fresh)
        chain = Chain(region, slot)
        tail = _Tail(journal, size)
        _write(fresh, heads, _checked(chain, signed, tail), disk)
        assert chain.seq is not None
        if chain.seq < size:
            raise EvidenceDamaged(f"The log gave {chain.seq} of {size} records.")
        (fresh / "lock").touch(0o600)
        sync_folder(fresh)
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = next(path for n in itertools.count(1) if not (path := aside / f"{slot}-{n}").exists())
        journal.rename(target)
        fresh.rename(journal)
        sync_folder(journal.parent)
        sync_folder(aside)
        return Repaired(size, chain.seq - size, tail.lost, target)
    finally:
        os.close(lock)


class _Tail:
    """The leaves after the signed ones, as far as the old journal can be read and they follow without a gap."""

    def __init__(self, journal: Path, after: int) -> None:
        self._journal = journal
        self._next = after + 1
        self.lost = False

    def __iter__(self) -> Iterator[bytes]:
        paths = segments(self._journal)
        starts = [first_seq(path) for path in paths]
        for number, path in enumerate(paths):
            if number + 1 < len(paths) and starts[number + 1] <= self._next:
                continue  # all of it is signed
            seq = starts[number]
            for leaf in self._leaves(path):
                if seq >= self._next and leaf is None:
                    self.lost = True
                    return
                if seq == self._next and leaf is not None:
                    self._next += 1
                    yield leaf
                seq += 1

    def _leaves(self, path: Path) -> Iterator[bytes | None]:
        """The leaves of one segment in order, None for one that is damaged; ends where no frame can be found."""
        data = path.read_bytes()
        at = len(MAGIC)
        while at < len(data):
            try:
                frame: Frame | None = decode_frame(data, at)
            except EvidenceDamaged:
                end = skip_frame(data, at)
                if end is None:
                    self.lost = self.lost or bool(data[at:].strip(b"\0"))
                    return
                at = end
                yield None
                continue
            if frame is None:
                return
            at = frame.end
            yield frame.leaf


def _checked(chain: Chain, signed: Iterable[bytes], tail: _Tail) -> Iterator[tuple[int, bytes]]:
    """(sequence number, leaf) of each, checked against the one before. Raises `EvidenceDamaged` for a signed one.

    The head of a segment (begin record and what it carries) comes whole or not at all, as recovery takes it. A log that
    follows a journal does not end within one; if it does, and the rest is lost, that is refused: whoever writes
    next would write other records under numbers that are signed.
    """
    head: list[tuple[int, bytes]] = []
    missing = 0
    for data in signed:
        leaf = chain.follow(data)
        missing = carried_after(leaf) if leaf.kind == BEGIN else max(0, missing - 1)
        yield leaf.seq, data
    within = bool(missing)
    before = chain.seq, chain.prev
    for data in tail:
        try:
            leaf = chain.follow(data)
        except EvidenceDamaged:
            break
        missing = carried_after(leaf) if leaf.kind == BEGIN else max(0, missing - 1)
        head.append((leaf.seq, data))
        if not missing:
            yield from head
            head, before, within = [], (chain.seq, chain.prev), False
    else:
        if not head and not within:
            return
    if within:
        raise EvidenceDamaged("The log ends within the head of a segment, and the journal has lost the rest of it.")
    tail.lost = True
    chain.seq, chain.prev = before


def _write(folder: Path, heads: set[int], leaves: Iterable[tuple[int, bytes]], disk: Disk) -> None:
    descriptor, waiting, size = -1, list[bytes](), 0
    try:
        for seq, leaf in leaves:
            if descriptor < 0 or seq in heads or size >= WRITE_BYTES:
                _flush(descriptor, waiting, disk)
                waiting, size = [], 0
            if descriptor < 0 or seq in heads:
                if descriptor >= 0:
                    disk.fsync(descriptor)
                    os.close(descriptor)
                descriptor = disk.open(segment_path(folder, seq), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                disk.write_all(descriptor, MAGIC)
            frame = encode_frame(leaf)
            waiting.append(frame if waiting else begin_write(frame))
            size += len(frame)
        _flush(descriptor, waiting, disk)
        if descriptor >= 0:
            disk.fsync(descriptor)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _flush(descriptor: int, frames: list[bytes], disk: Disk) -> None:
    if frames:
        disk.write_all(descriptor, b"".join(frames))


def _empty(folder: Path) -> None:
    """A fresh folder; what an earlier attempt left in it is removed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


def _take(journal: Path) -> int:
    try:
        lock = os.open(journal / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(f"The journal {journal.name} cannot be opened: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SetupError(
            f"Slot {journal.name} is in use.", remedy="Stop the process that writes to it first."
        ) from error
    return lock
