"""A list of one kind of entry in one sealed file: read whole, replaced whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import msgspec

from firedoor.errors import KeyUnusable
from firedoor.store.box import Box, same_release
from firedoor.store.files import read_bounded, stamp, write_atomic

Entry = TypeVar("Entry")


class SealedList(Generic[Entry]):
    """The entries of one region. Not there yet means none. Writers hold `locked(path)` around `load` and `_write`."""

    magic: ClassVar[bytes]
    purpose: ClassVar[str]
    limit: ClassVar[int]
    """Bytes of the file."""
    what: ClassVar[str]
    """What the entries are called in errors."""
    entries: ClassVar[type]
    """The type of the whole list, as it is decoded."""

    def __init__(self, path: Path, box: Box) -> None:
        self.path = path
        self._box = box
        self._stamp: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether the file was replaced since the last `load`. One stat."""
        return stamp(self.path) != self._stamp

    def load(self) -> tuple[Entry, ...]:
        """Every entry. Raises `KeyUnusable` if the file does not open: none is another answer than unreadable."""
        seen = stamp(self.path)
        entries = self._read() if seen is not None else ()
        self._stamp = seen
        return entries

    def _read(self) -> tuple[Entry, ...]:
        data = read_bounded(self.path, self.limit)
        if not data.startswith(self.magic):
            raise KeyUnusable(f"{self.path.name} is not a file of {self.what}.", remedy="Restore it from a backup.")
        plain = self._box.open(data[len(self.magic) :], self.purpose)
        with same_release(self.path.name):
            read: tuple[Entry, ...] = msgspec.json.decode(plain, type=self.entries)
        return read

    def _write(self, entries: Sequence[Entry]) -> None:
        write_atomic(self.path, self.magic + self._box.seal(msgspec.json.encode(entries), self.purpose))
