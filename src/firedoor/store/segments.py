"""Segments of a journal slot on disk: their names, reading frames from them, appending to the newest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from firedoor.core.evidence.frames import HEADER_BYTES, MAGIC, Frame, decode_frame
from firedoor.errors import EvidenceDamaged
from firedoor.store.files import sync_folder

SUFFIX = ".journal"
CHUNK: Final = 1024 * 1024


class Disk(Struct, frozen=True):
    """The system calls of a journal. Another set of them stands in for a failing disk."""

    write: Callable[[int, bytes | memoryview], int] = os.write
    fdatasync: Callable[[int], None] = os.fdatasync
    fsync: Callable[[int], None] = os.fsync


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
                if self._only_zeros(buffer[position:]):
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

    def _only_zeros(self, rest: bytes) -> bool:
        """A power cut may leave zeros where the last write should be; a frame never starts with zeros."""
        if rest[:HEADER_BYTES].strip(b"\0"):
            return False
        while rest:
            if rest.strip(b"\0"):
                return False
            rest = self._file.read(CHUNK)
        return True


class SegmentFile:
    """The newest segment of a slot, open for appending. Every method raises OSError when the disk refuses."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._descriptor = -1

    def resume(self, path: Path, length: int) -> None:
        """Go on after the first `length` bytes of an existing segment; what follows them is cut off."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if os.fstat(self._descriptor).st_size != length:
            os.ftruncate(self._descriptor, length)
            self._disk.fsync(self._descriptor)

    def begin(self, first: int) -> None:
        """Start the segment whose first record is `first`; its name is durable on return."""
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(segment_path(self._folder, first), flags, 0o600)
        self._write(MAGIC)
        self._disk.fsync(self._descriptor)
        sync_folder(self._folder)

    def append(self, data: bytes) -> None:
        """Write all of `data` and sync it."""
        self._write(data)
        self._disk.fdatasync(self._descriptor)

    def close(self) -> None:
        """Let go of the file, if one is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        written = self._disk.write(self._descriptor, data)
        if written != len(data):
            view = memoryview(data)[written:]
            while view:
                written = self._disk.write(self._descriptor, view)
                if written <= 0:
                    raise OSError(5, "the disk takes no more bytes")
                view = view[written:]
