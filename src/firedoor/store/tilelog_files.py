"""Growing a C2SP tlog-tiles log on disk: which files, in which order, synced and read back."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

from firedoor.core.evidence.tree import (
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    encode_bundle,
    entries_path,
    levels,
    perfect_root,
    tile_path,
)
from firedoor.store.segments import Disk
from firedoor.store.tilelog_read import leaf_hashes

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC


class LogFiles:
    """Files of one log. Whatever `write` left is durable after `sync_folders`. Every method raises OSError."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk
        self._unsynced: set[Path] = set()

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file, sync it and read it back."""
        path = self.folder / name
        try:
            descriptor = self._disk.open(path, _NEW)
        except FileNotFoundError:
            self._make(path.parent)
            descriptor = self._disk.open(path, _NEW)
        self._unsynced.add(path.parent)
        try:
            self._fill(descriptor, data)
        finally:
            os.close(descriptor)

    def replace(self, name: str, data: bytes) -> None:
        """Replace a file by `data`: a crash leaves the old or the new one, and on return it is the new one."""
        path = self.folder / name
        temporary = self.folder / f".{name}.new"
        descriptor = self._disk.open(temporary, _NEW)
        try:
            self._fill(descriptor, data)
        finally:
            os.close(descriptor)
        temporary.rename(path)
        self._unsynced.add(self.folder)
        self.sync_folders()

    def sync_folders(self) -> None:
        """Make the names of all files written since the last call durable."""
        for folder in sorted(self._unsynced):
            self._disk.sync_folder(folder)
        self._unsynced.clear()

    def remove_partials(self, full_name: str) -> None:
        """Remove the partial forms of a tile or bundle."""
        folder = self.folder / f"{full_name}.p"
        if folder.is_dir():
            shutil.rmtree(folder)

    def clean(self, size: int) -> None:
        """Remove what a crash left near the end of a log whose checkpoint says `size`.

        That is partial forms of full files, if it died after publishing, and wider ones than the published, if before.
        """
        for level in range(levels(size)):
            index, width = divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)
            for name in _forms(level, index):
                edge = self.folder / name
                for path in edge.parent.glob("[0-9]*.p"):
                    if path.stem < edge.name:
                        shutil.rmtree(path)
                for path in edge.with_name(f"{edge.name}.p").glob("[0-9]*"):
                    if int(path.name) > width:
                        path.unlink()

    def remove(self, name: str) -> None:
        """Remove a folder and all in it, if it is there."""
        if (self.folder / name).is_dir():
            shutil.rmtree(self.folder / name)

    def exchange(self, name: str, new: str) -> Path | None:
        """Move `new` to the place of `name`, and what is there to ``name.damaged-N``, which is returned."""
        path, aside = self.folder / name, None
        if path.exists():
            aside = next(a for n in count(1) if not (a := self.folder / f"{name}.damaged-{n}").exists())
            path.rename(aside)
        if (self.folder / new).exists():
            (self.folder / new).rename(path)
        self._unsynced.add(self.folder)
        self.sync_folders()
        return aside

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make(folder.parent)
        self._disk.make(folder)
        self._unsynced.add(folder.parent)

    def _fill(self, descriptor: int, data: bytes) -> None:
        self._disk.write_all(descriptor, data)
        self._disk.fdatasync(descriptor)
        # Let go of the cached pages, so that what is read back comes from the disk.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if _read_back(descriptor, len(data)) != data:
            raise OSError(errno.EIO, "the disk gives back other bytes than it took")


def _read_back(descriptor: int, length: int) -> bytes:
    data = os.pread(descriptor, length + 1, 0)
    while 0 < len(data) < length and (more := os.pread(descriptor, length + 1 - len(data), len(data))):
        data += more
    return data


def _forms(level: int, index: int) -> tuple[str, ...]:
    """Names of a full tile, and of the bundle below it if it is one of level 0."""
    return (tile_path(level, index), entries_path(index)) if level == 0 else (tile_path(level, index),)


class Grower:
    """The right edge of a log: takes entries, writes bundles and tiles once they are full, partial ones on demand.

    `rows` are the partial tiles, `bundle` the encoded entries of the partial bundle: state to go on from.
    """

    def __init__(self, files: LogFiles, size: int = 0, rows: Sequence[bytes] = (), bundle: bytes = b"") -> None:
        self.files = files
        self.size = size
        self.rows = [bytearray(row) for row in rows] or [bytearray()]
        self._bundle = bytearray(bundle)
        self._published = size
        self._filled: list[str] = []

    def append(self, entries: Sequence[bytes]) -> None:
        """Raises OSError, ValueError for an entry that is too long. After either the state is of no use any more."""
        position = 0
        while position < len(entries):
            chunk = entries[position : position + TILE_WIDTH - self.size % TILE_WIDTH]
            position += len(chunk)
            self._bundle += encode_bundle(chunk)
            self.rows[0] += leaf_hashes(chunk)
            self.size += len(chunk)
            if self.size % TILE_WIDTH == 0:
                self._write_full()

    def write_partials(self) -> None:
        """Write what the tree of `size` needs beyond the full files, and make all names durable. Raises OSError.

        A partial file that the last published tree had already is not touched again.
        """
        for level, row in enumerate(self.rows):
            above = self.size >> (TILE_HEIGHT * level)
            index, width = divmod(above, TILE_WIDTH)
            before, had = divmod(self._published >> (TILE_HEIGHT * level), TILE_WIDTH)
            if not width or (index, width) == (before, had):
                continue
            if index != before or not had:
                for name in _forms(level, index):
                    self.files.remove_partials(name)  # of a process that died before it had published them
            if level == 0:
                self.files.write(entries_path(index, width), bytes(self._bundle))
            self.files.write(tile_path(level, index, width), bytes(row))
        self.files.sync_folders()

    def published(self) -> None:
        """The checkpoint of this size is on the disk: remove partial files of what is full now. Raises OSError."""
        self._published = self.size
        filled, self._filled = self._filled, []
        for name in filled:
            self.files.remove_partials(name)

    def _write_full(self) -> None:
        index = self.size // TILE_WIDTH - 1
        self._fill(entries_path(index), self._bundle)
        self._bundle = bytearray()
        level = 0
        while len(self.rows[level]) == TILE_BYTES:
            index = (self.size >> (TILE_HEIGHT * (level + 1))) - 1
            self._fill(tile_path(level, index), self.rows[level])
            root = perfect_root(bytes(self.rows[level]))
            self.rows[level] = bytearray()
            level += 1
            if level == len(self.rows):
                self.rows.append(bytearray())
            self.rows[level] += root

    def _fill(self, name: str, data: bytearray) -> None:
        self.files.write(name, bytes(data))
        self._filled.append(name)
