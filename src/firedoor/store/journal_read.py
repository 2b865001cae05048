"""Reading journals while their writers live: streams of records, a cursor that goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from firedoor.core.evidence.leaf import BEGIN, Leaf, carried_after
from firedoor.core.evidence.leaf import decode as decode_leaf
from firedoor.errors import EvidenceDamaged
from firedoor.store.segments import SegmentReader, first_seq, segment_path, segments

BATCH: Final = 1000
"""Records a cursor gives at a time unless asked for another number, so that its caller's memory stays bounded."""


class Stored(Struct, frozen=True):
    """A record as it lies in a segment: its leaf, the exact bytes of it, the name of the segment, the offset there."""

    leaf: Leaf
    data: bytes
    segment: str
    offset: int


class JournalCursor:
    """New records of one slot since the last call. Cheap when there are none: one read and one stat.

    `after` is the last sequence number already known, 0 for none. The slot's folder may be empty or missing yet.
    """

    def __init__(self, folder: Path, after: int = 0) -> None:
        self.folder = folder
        self.seq = after
        self._reader: SegmentReader | None = None

    def new(self, limit: int = BATCH) -> list[Stored]:
        """At most `limit` records after `seq` (a segment's head stays whole), in order; fewer if there are no more.

        An incomplete last frame is left for the next call. Raises `EvidenceDamaged` if a whole frame does not verify or
        a record is missing.
        """
        found: list[Stored] = []
        while len(found) < limit:
            reader = self._reader or self._find()
            if reader is None:
                break
            self._reader = reader
            following = segment_path(self.folder, self.seq + 1)
            # Looked for before reading on: once the next segment is there, this one grows no more.
            closed = following != reader.path and following.exists()
            if self._read(reader, found, limit):
                continue
            if closed:
                reader.check_end()
                self.close()
                self._reader = SegmentReader(following)
                continue
            if not reader.path.exists():
                self.close()  # its head was not whole, and its writer came back and removed it
                continue
            break
        return found

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _read(self, reader: SegmentReader, found: list[Stored], limit: int) -> bool:
        """Whether there was anything new in this segment.

        The head of a segment is taken whole or not at all: a writer that died within it comes back and removes it.
        """
        before = len(found)
        head_left, head_offset = 0, 0
        for offset, frame in reader.frames():
            leaf = decode_leaf(frame.leaf)
            if leaf.seq > self.seq:
                if leaf.seq != self.seq + 1:
                    raise EvidenceDamaged(f"{reader.path.name}: record {self.seq + 1} is missing.")
                self.seq = leaf.seq
                found.append(Stored(leaf, frame.leaf, reader.path.name, offset))
                if head_left:
                    head_left -= 1
                elif leaf.kind == BEGIN:
                    head_left, head_offset = carried_after(leaf), offset
                if len(found) >= limit and not head_left:
                    break
        if head_left:
            reader.offset = head_offset
            while found and found[-1].segment == reader.path.name and found[-1].offset >= head_offset:
                self.seq = found.pop().leaf.seq - 1
        return len(found) > before

    def _find(self) -> SegmentReader | None:
        """The newest segment that begins at or before the next record."""
        paths = segments(self.folder)
        for path in reversed(paths):
            if first_seq(path) <= self.seq + 1:
                return SegmentReader(path)
        if paths:
            raise EvidenceDamaged(f"{self.folder.name}: records up to {first_seq(paths[0]) - 1} are missing.")
        return None


def read(folder: Path, from_seq: int = 1) -> Iterator[Stored]:
    """The records of a slot from `from_seq` to its end now, streaming. Raises `EvidenceDamaged`."""
    cursor = JournalCursor(folder, from_seq - 1)
    try:
        while batch := cursor.new():
            yield from batch
    finally:
        cursor.close()
