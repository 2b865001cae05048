"""Reading journals while their writers live: streams of records, a cursor that goes on where it stopped, bodies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from firedoor.core.evidence.leaf import KEY, Leaf, carried_after
from firedoor.core.evidence.leaf import decode as decode_leaf
from firedoor.core.evidence.seal import BodyKey, key_id
from firedoor.errors import EvidenceDamaged
from firedoor.store.segments import SegmentReader, first_seq, segment_path, segments

BATCH: Final = 1000
"""Records a cursor gives at a time unless asked for another number, so that its caller's memory stays bounded."""


class Stored(Struct, frozen=True):
    """A record as it lies in a segment: its leaf, the name of the segment, the offset there, the sealed body."""

    leaf: Leaf
    segment: str
    offset: int
    sealed: bytes


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
                found.append(Stored(leaf, reader.path.name, offset, frame.sealed))
                if head_left:
                    head_left -= 1
                elif leaf.kind == KEY:
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


class Opener(Protocol):
    """The private half of a region's evidence key."""

    def unwrap(self, wrapped: bytes, slot: str) -> bytes:
        """The data key in a key record's body. Raises `EvidenceDamaged`."""
        ...


class KeyRing:
    """Data keys met while reading, opened when a body asks for one. `learn` from every record before its bodies."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._wrapped: dict[tuple[str, str], bytes] = {}
        self._keys: dict[tuple[str, str], BodyKey] = {}

    def learn(self, stored: Stored) -> None:
        """Remember the data key if this is a key record."""
        if stored.leaf.kind == KEY:
            self._wrapped[stored.leaf.slot, key_id(stored.sealed)] = stored.sealed

    def key(self, leaf: Leaf, name: str) -> BodyKey:
        """Raises `EvidenceDamaged` if there was no such key record, or it was not sealed to this region."""
        slot = leaf.slot
        key = self._keys.get((slot, name))
        if key is None:
            wrapped = self._wrapped.get((slot, name))
            if wrapped is None:
                raise EvidenceDamaged(f"The key record {name} of slot {slot} is missing.")
            key = self._keys[slot, name] = BodyKey(leaf.region, slot, wrapped, self._opener.unwrap(wrapped, slot))
        return key


def open_body(stored: Stored, keyring: KeyRing) -> bytes:
    """The body of a record in clear. Raises `EvidenceDamaged` if it has none or does not open."""
    body = stored.leaf.body
    if body is None or stored.leaf.kind == KEY:
        raise EvidenceDamaged(f"Record {stored.leaf.seq} of slot {stored.leaf.slot} has no body.")
    return keyring.key(stored.leaf, body.key).open(stored.leaf, stored.sealed)
