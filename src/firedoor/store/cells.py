"""Subjects' keys on disk: cells appended before the first record that uses them, and erased in place.

``subjects/EPOCH/SLOT.cells`` is a row of 128-byte cells. Its writer holds a shared lock on it for as long as it may
append, so that an epoch is only destroyed when nobody mints keys under it any more.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firedoor.core.evidence.subjects import (
    CELL_BYTES,
    NOBODY,
    RANDOM_BYTES,
    Cell,
    EpochPublic,
    SubjectKey,
    decode_cell,
    mint,
)
from firedoor.errors import EvidenceDamaged
from firedoor.ports.keys import EpochSource
from firedoor.store.segments import Disk

SUFFIX = ".cells"
CACHED_KEYS: Final = 8192
"""Subjects whose keys a worker remembers, about 1 kB each. One that comes back later gets another key."""


class SubjectKeys:
    """The keys a writer mints: one for each subject it meets, as long as it remembers them and the epoch lasts."""

    __slots__ = ("_epoch", "_erasures", "_keys", "_source", "unwritten")

    def __init__(self, source: EpochSource) -> None:
        self._source = source
        self._keys: OrderedDict[str, SubjectKey] = OrderedDict()
        self._epoch, self._erasures = source.current()
        self.unwritten: list[tuple[int, bytes]] = []
        """(epoch, cell) of keys minted and not yet handed to the disk."""

    def refresh(self) -> None:
        """Follow the region: forget every key when an epoch begins or a subject is erased."""
        epoch, erasures = self._source.current()
        if (epoch, erasures) != (self._epoch, self._erasures):
            self._epoch, self._erasures = epoch, erasures
            self._keys.clear()
            self.unwritten = []  # minted for a record that was refused: nothing was sealed with them

    def key(self, lookup: str, at: int) -> SubjectKey:
        """The key of a subject (`lookup` is their look-up pseudonym), minted at `at` (ns) if there is none."""
        key = self._keys.get(lookup)
        if key is None:
            cell, key = mint(self._epoch, lookup, at, os.urandom(RANDOM_BYTES))
            self.unwritten.append((self._epoch.epoch, cell.encode()))
            self._keys[lookup] = key
            if len(self._keys) > CACHED_KEYS:
                self._keys.popitem(last=False)
        elif lookup != NOBODY:
            self._keys.move_to_end(lookup)
        return key


class CellFile:
    """The cells of one slot, open for appending. Every method raises OSError when the disk refuses."""

    def __init__(self, subjects: Path, slot: str, disk: Disk) -> None:
        self._subjects = subjects
        self._slot = slot
        self._disk = disk
        self._epoch = 0
        self._source: EpochSource | None = None
        self._descriptor = -1

    def open(self, source: EpochSource) -> EpochPublic:
        """Begin the present epoch's file; a cell that a crash left torn is cut off. Durable on return."""
        self._source = source
        while True:
            epoch, _ = source.current()
            self._begin(epoch.epoch)
            if source.current()[0] == epoch:  # else it changed before we had the lock, and may be gone by now
                return epoch

    def append(self, epoch: int, cells: bytes) -> None:
        """Write cells of keys minted under `epoch`, and sync them."""
        if epoch != self._epoch:
            self._begin(epoch)
            if self._source is not None and self._source.current()[0].epoch != epoch:
                raise OSError(errno.ESTALE, "the epoch of these keys was destroyed")
        self._disk.write_all(self._descriptor, cells)
        self._disk.fdatasync(self._descriptor)

    def leave(self, epoch: int) -> None:
        """Let go of the file unless it is that of `epoch`: nothing more is minted under an older one."""
        if self._epoch != epoch:
            self.close()

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._epoch = -1, 0

    def _begin(self, epoch: int) -> None:
        self.close()
        folder = self._subjects / str(epoch)
        self._disk.make_folder(folder)
        self._descriptor = self._disk.open(folder / f"{self._slot}{SUFFIX}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        self._epoch = epoch
        size = os.fstat(self._descriptor).st_size
        if size % CELL_BYTES:
            self._disk.truncate(self._descriptor, size - size % CELL_BYTES)
        self._disk.fsync(self._descriptor)
        self._disk.sync_folder(folder)


def cell_files(subjects: Path) -> Iterator[tuple[int, Path]]:
    """(epoch, file) of every file of cells, oldest epoch first."""
    folders = [path for path in subjects.iterdir() if path.name.isdecimal()] if subjects.is_dir() else []
    for folder in sorted(folders, key=lambda path: int(path.name)):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            yield int(folder.name), path


def cells(path: Path) -> Iterator[tuple[int, Cell]]:
    """(offset, cell) of every living cell of one file. Raises `EvidenceDamaged`, OSError."""
    with path.open("rb") as file:
        offset = 0
        while len(data := file.read(CELL_BYTES)) == CELL_BYTES:
            cell = decode_cell(data)
            if cell is not None:
                yield offset, cell
            offset += CELL_BYTES


def find_cell(subjects: Path, key: str) -> tuple[int, Cell] | None:
    """The epoch and living cell of the key with this id. Raises `EvidenceDamaged`, OSError.

    Newest epoch first: while an epoch is replaced a key lies in two, and the older one may be destroyed already.
    """
    wanted = bytes.fromhex(key)
    for epoch, path in reversed(list(cell_files(subjects))):
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                at = data.find(wanted)
                while at >= 0:
                    start = at - at % CELL_BYTES
                    cell = decode_cell(data[start : start + CELL_BYTES]) if at % CELL_BYTES == _KEY_AT else None
                    if cell is not None and cell.key == key:
                        return epoch, cell
                    at = data.find(wanted, at + 1)
    return None


def erase(path: Path, offsets: list[int]) -> None:
    """Overwrite these cells with zeros and sync. Raises OSError, `EvidenceDamaged` for an offset that is none."""
    with path.open("r+b", buffering=0) as file:
        for offset in offsets:
            if offset % CELL_BYTES:
                raise EvidenceDamaged(f"{path.name}: byte {offset} is not the start of a cell.")
            file.seek(offset)
            file.write(bytes(CELL_BYTES))
        os.fsync(file.fileno())


_KEY_AT: Final = 8
"""Where in a cell the key's id stands."""
