"""Sealed bodies beside the journal: ``bodies/CLASS/HOUR/SLOT.FIRST``, one process's bodies one after another.

What a body is, its leaf says: file, offset, length, hash. A file is unlinked when its retention is over; a single body
is blanked (overwritten with zeros) when its subject is erased.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from firedoor.core.evidence.leaf import HOUR, Body, Leaf, body_file
from firedoor.core.evidence.scribe import Placed
from firedoor.errors import EvidenceDamaged
from firedoor.store.segments import Disk

OPEN_FILES: Final = 16
"""Files kept open at a time: a worker writes to one for each surface it serves."""
RESERVE: Final = 128 * 1024
"""Bytes of zeros written ahead of the bodies: a sync of a file that does not grow takes half as long."""

State = Literal["whole", "blank", "gone", "changed"]
"""A body as found: as its leaf says; overwritten with zeros; its file is not there; anything else."""


class _Growing:
    """A body file being written: its bodies end at `end`, zeros follow up to `size`."""

    __slots__ = ("_disk", "descriptor", "end", "size")

    def __init__(self, disk: Disk, descriptor: int, end: int) -> None:
        self._disk = disk
        self.descriptor = descriptor
        self.end = self.size = end
        os.lseek(descriptor, end, os.SEEK_SET)

    def append(self, data: bytes) -> None:
        end = self.end + len(data)
        if end <= self.size:
            self._disk.write_all(self.descriptor, data)
        else:
            self._disk.write_all(self.descriptor, data + bytes(RESERVE))
            self.size = end + RESERVE
            os.lseek(self.descriptor, end, os.SEEK_SET)
        self.end = end
        self._disk.fdatasync(self.descriptor)

    def close(self, *, trim: bool) -> None:
        """Let go of the file; `trim` takes the zeros off. After a crash they stay, and nothing speaks of them."""
        try:
            if trim and self.size > self.end:
                with contextlib.suppress(OSError):
                    self._disk.truncate(self.descriptor, self.end)
        finally:
            os.close(self.descriptor)


class BodyFiles:
    """The body files one process writes. Every method raises OSError when the disk refuses."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._open: OrderedDict[str, _Growing] = OrderedDict()
        self._newest: dict[str, str] = {}  # class -> the file begun last, whose name is durable

    def append(self, bodies: list[Placed]) -> None:
        """Write all of them, each at the end of its file, and sync every file that was touched."""
        by_file: dict[str, list[Placed]] = {}
        for placed in bodies:
            by_file.setdefault(placed.path, []).append(placed)
        for path, parts in by_file.items():
            self._file(path, parts[0].offset).append(b"".join([part.data for part in parts]))

    def close(self, *, failed: bool = False) -> None:
        """Let go of the files. With `failed` nothing more is asked of the disk."""
        for file in self._open.values():
            file.close(trim=not failed)
        self._open.clear()

    def _file(self, path: str, offset: int) -> _Growing:
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        if len(self._open) >= OPEN_FILES:
            self._open.popitem(last=False)[1].close(trim=True)
        self._open[path] = file = self._begin(path, offset)
        return file

    def _begin(self, path: str, offset: int) -> _Growing:
        target = self._folder / path
        retention = path.partition("/")[0]
        known = self._newest.get(retention) == path
        if not known:
            self._disk.make_folder(target.parent.parent)
            self._disk.make_folder(target.parent)
        descriptor = self._disk.open(target, os.O_WRONLY | (0 if known else os.O_CREAT))
        try:
            size = os.fstat(descriptor).st_size
            if size < offset:
                raise OSError(errno.EIO, "a body file was shortened")
            if size > offset:  # what an earlier process wrote for records that never became durable
                self._disk.truncate(descriptor, offset)
            if not known:
                self._disk.sync_folder(target.parent)
            file = _Growing(self._disk, descriptor, offset)
        except BaseException:
            os.close(descriptor)
            raise
        self._newest[retention] = path
        return file


class _Source:
    """One body file open for reading, with the bytes read ahead of what was asked for."""

    __slots__ = ("_ahead", "_data", "_start", "descriptor")

    def __init__(self, path: Path, ahead: int) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._ahead = ahead
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + length > len(self._data):
            self._data = os.pread(self.descriptor, max(length, self._ahead), offset)
            self._start, at = offset, 0
        return self._data[at : at + length]


class BodyReader:
    """Reads bodies by their leaves, keeping the files of late open.

    With `ahead` it reads that many bytes at a time, for whoever reads all in order and cannot be misled by what was
    erased meanwhile.
    """

    def __init__(self, folder: Path, ahead: int = 0) -> None:
        self._folder = folder
        self._ahead = ahead
        self._open: OrderedDict[tuple[str, int, str, int], _Source] = OrderedDict()

    def read(self, leaf: Leaf) -> bytes:
        """The sealed body of `leaf`. Raises `EvidenceDamaged` if it has none, or it is not there as the leaf says."""
        state, sealed = self.look(leaf)
        if state != "whole":
            raise EvidenceDamaged(f"The body of record {leaf.seq} of slot {leaf.slot} {_SAID[state]}")
        return sealed

    def look(self, leaf: Leaf) -> tuple[State, bytes]:
        """What is where the body of `leaf` should be. Raises `EvidenceDamaged` for a leaf without body."""
        body = leaf.body
        if body is None:
            raise EvidenceDamaged(f"Record {leaf.seq} of slot {leaf.slot} has no body.")
        try:
            sealed = self._source(leaf, body).read(body.offset, body.length)
        except FileNotFoundError:
            return "gone", b""
        if len(sealed) == body.length and sha256(sealed).hexdigest() == body.sha256:
            return "whole", sealed
        return ("blank" if len(sealed) == body.length and not sealed.strip(b"\0") else "changed"), b""

    def close(self) -> None:
        """Let go of the files."""
        for source in self._open.values():
            os.close(source.descriptor)
        self._open.clear()

    def _source(self, leaf: Leaf, body: Body) -> _Source:
        name = leaf.slot, leaf.at // HOUR, body.retention, body.file
        found = self._open.get(name)
        if found is None:
            if len(self._open) >= OPEN_FILES:
                os.close(self._open.popitem(last=False)[1].descriptor)
            path = self._folder / body_file(leaf.slot, leaf.at, body)
            found = self._open[name] = _Source(path, self._ahead)
        return found


def blank(path: Path, ranges: list[tuple[int, int]]) -> None:
    """Overwrite these (offset, length) ranges with zeros and sync. Raises OSError."""
    with path.open("r+b", buffering=0) as file:
        for offset, length in ranges:
            file.seek(offset)
            view = memoryview(bytes(length))
            while view:
                view = view[file.write(view) or 0 :]
        os.fsync(file.fileno())


_SAID: Final[dict[State, str]] = {
    "blank": "was erased or has expired.",
    "gone": "is not there: its file was deleted.",
    "changed": "is not the one its leaf names.",
}
