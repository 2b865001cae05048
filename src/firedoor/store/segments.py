"""Segments of a journal slot on disk: their names, reading frames from them, appending to the newest."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from firedoor.core.evidence.frames import MAGIC, Frame, begin_write, decode_frame, torn_write
from firedoor.errors import EvidenceDamaged
from firedoor.store.files import sync_folder

SUFFIX = ".journal"
CHUNK: Final = 1024 * 1024


TORN_BYTES: Final = 2 * 1024 * 1024
"""More than one write of a journal: what a power cut may have left half written at the end of a segment."""


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)


class Disk(Struct, frozen=True):
    """The system calls by which evidence gets to the disk. Another set of them stands in for a failing one."""

    write: Callable[[int, bytes | memoryview], int] = os.write
    fdatasync: Callable[[int], None] = os.fdatasync
    fsync: Callable[[int], None] = os.fsync
    open: Callable[[Path, int], int] = _open
    truncate: Callable[[int, int], None] = os.ftruncate
    make: Callable[[Path], None] = _make
    """Make a folder if it is not there."""
    unlink: Callable[[Path], None] = os.unlink
    sync_folder: Callable[[Path], None] = sync_folder

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Write all of `data`: one call may take only a part of it. Raises OSError."""
        view = memoryview(data)
        while view:
            written = self.write(descriptor, view)
            if written <= 0:
                raise OSError(errno.EIO, "the disk takes no more bytes")
            view = view[written:]

    def make_folder(self, folder: Path) -> None:
        """Make `folder` if it is not there; its name is durable on return, whoever made it. Raises OSError."""
        self.make(folder)
        self.sync_folder(folder.parent)


def segment_path(folder: Path, first: int) -> Path:
    """A segment is named by the sequence number of its first record."""
    return folder / f"{first:020d}{SUFFIX}"


def first_seq(path: Path) -> int:
    """The sequence number in the name of a segment. Raises `EvidenceDamaged`."""
    if len(path.stem) != 20 or not path.stem.isdecimal():
        raise EvidenceDamaged(f"{path.name} is not the name of a journal segment.")
    return int(path.stem)


def segments(folder: Path) -> list[Path]:
    """The segments of a slot, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def slots(journals: Path) -> list[str]:
    """The slots under a region's journal folder."""
    return sorted(path.name for path in journals.iterdir() if path.is_dir()) if journals.is_dir() else []


class SegmentReader:
    """Frames of one segment, in bounded memory. When the bytes end, `frames` ends; called again, it goes on.

    `offset` is where the next frame starts. Raises `EvidenceDamaged` with file name and offset.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self._file = path.open("rb", buffering=0)
        self._file.seek(offset)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """(offset, frame) of each whole frame from here on."""
        if self.offset == 0 and not self._magic():
            return
        self._file.seek(self.offset)
        buffer, position = b"", 0
        while True:
            try:
                frame = decode_frame(buffer, position)
            except EvidenceDamaged as error:
                if self._torn(buffer[position:]):
                    return
                raise EvidenceDamaged(f"{self.path.name} at byte {self.offset}: {error.message}") from error
            if frame is None:
                more = self._file.read(CHUNK)
                if not more:
                    return
                buffer, position = buffer[position:] + more, 0
                continue
            start = self.offset
            self.offset += frame.end - position
            position = frame.end
            yield start, frame

    def rest(self) -> int:
        """Bytes after the last whole frame."""
        return os.fstat(self._file.fileno()).st_size - self.offset

    def check_end(self) -> None:
        """Raises `EvidenceDamaged` if bytes follow the last whole frame: only the newest segment may end torn."""
        if self.rest():
            raise EvidenceDamaged(f"{self.path.name} at byte {self.offset}: the segment ends within a frame.")

    def _magic(self) -> bool:
        self._file.seek(0)
        start = self._file.read(len(MAGIC))
        if not MAGIC.startswith(start) and start.strip(b"\0"):
            raise EvidenceDamaged(f"{self.path.name} at byte 0: this is not a journal segment of this version.")
        if start != MAGIC:
            return False
        self.offset = len(MAGIC)
        return True

    def _torn(self, rest: bytes) -> bool:
        """Whether `rest` and what follows it is no damage, but a write that was never synced."""
        while len(rest) < TORN_BYTES and (more := self._file.read(CHUNK)):
            rest += more
        while more := self._file.read(CHUNK):
            if more.strip(b"\0"):
                return False
        return torn_write(rest, self.offset)


class SegmentFile:
    """The newest segment of a slot, open for appending. Every method raises OSError when the disk refuses."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._descriptor = -1

    def resume(self, path: Path, length: int) -> None:
        """Go on after the first `length` bytes of an existing segment; what follows them is cut off.

        What stays is durable on return: a killed process may have written it and not synced it.
        """
        self._descriptor = self._disk.open(path, os.O_WRONLY | os.O_APPEND)
        if os.fstat(self._descriptor).st_size != length:
            self._disk.truncate(self._descriptor, length)
        self._disk.fsync(self._descriptor)

    def begin(self, first: int) -> None:
        """Start the segment whose first record is `first`; its name is durable on return."""
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._descriptor = self._disk.open(segment_path(self._folder, first), flags)
        self._disk.write_all(self._descriptor, MAGIC)
        self._disk.fsync(self._descriptor)
        self._disk.sync_folder(self._folder)

    def append(self, frames: list[bytes]) -> None:
        """Write these frames as one write, and sync it."""
        self._disk.write_all(self._descriptor, b"".join([begin_write(frames[0]), *frames[1:]]))
        self._disk.fdatasync(self._descriptor)

    def close(self) -> None:
        """Let go of the file, if one is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
