"""The end of a slot's journal: what was written after a record that is known, and how much there is.

The place of a record is found by the lengths in the frames' headers alone, so that reading on behind the last record of
a full segment takes milliseconds. Records that are not read are counted the same way.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from firedoor.core.evidence.frames import HEADER_BYTES, MAGIC, skip_frame
from firedoor.core.evidence.leaf import GENESIS, VERSION, Leaf, decode, encode
from firedoor.errors import EvidenceDamaged
from firedoor.store.segments import SegmentReader, first_seq, segments

LEAST_FRAME: Final = HEADER_BYTES + len(encode(Leaf(VERSION, "r", "s", 1, GENESIS, "k", "", 0, {})))
"""Bytes of the smallest frame: bounds how many records may stand where none can be read."""
_LENGTH: Final = struct.Struct("<I")
_MARKS: Final = (1 << 31) - 1


class End(NamedTuple):
    """What stands after the known record: `leaves` were read, `unread` more records were only counted, or bounded.

    `replaced`: the journal ends before the known record, or another one stands there: then all of it is `unread`.
    """

    leaves: list[Leaf]
    unread: int = 0
    replaced: bool = False


def read_end(folder: Path, after: int, hashed: str, limit: int) -> End:
    """What the slot in `folder` holds after record `after`, whose leaf has the SHA-256 `hashed` (hex).

    At most `limit` leaves, and none behind a damaged place. Raises OSError, and `EvidenceDamaged` for a file that is no
    segment.
    """
    paths = [(first_seq(path), path) for path in segments(folder)]
    leaves: list[Leaf] = []
    whole = _read_on(paths, after, hashed, limit, leaves)
    if whole:
        return End(leaves)
    last = paths[-1][0] - 1 + _count(paths[-1][1].read_bytes()) if paths else 0
    if whole is None:
        return End([], last, replaced=True)
    return End(leaves, max(0, last - after - len(leaves)))


def _read_on(paths: list[tuple[int, Path]], after: int, hashed: str, limit: int, leaves: list[Leaf]) -> bool | None:
    """Add leaves; whether that was to the journal's end. None if the known record is not there."""
    left = [part for n, part in enumerate(paths) if n + 1 == len(paths) or paths[n + 1][0] > after + 1]
    if not left or left[0][0] > after + 1:
        return None if after or left else True
    offset = _behind(*left[0], after, hashed)
    if offset is None:
        return None
    prev = hashed if after else GENESIS
    for first, path in left:
        if first > after + len(leaves) + 1:
            return False  # the segment before it is damaged, and ended early
        reader = SegmentReader(path, offset)
        offset = 0
        try:
            for _, frame in reader.frames():
                if len(leaves) >= limit:
                    return False
                leaf = decode(frame.leaf)
                if leaf.prev != prev:
                    return False if leaves else None
                prev = sha256(frame.leaf).hexdigest()
                leaves.append(leaf)
        except EvidenceDamaged:
            return False
        finally:
            reader.close()
    return True


def _behind(first: int, path: Path, after: int, hashed: str) -> int | None:
    """The offset behind record `after` in the segment that begins with `first`; None if it is not there.

    A wrong length on the way leads to bytes that do not have the hash.
    """
    data = path.read_bytes()
    start, offset = 0, len(MAGIC)
    try:
        for _ in range(first, after + 1):
            start = offset
            offset += HEADER_BYTES + (_LENGTH.unpack_from(data, offset)[0] & _MARKS)
    except struct.error:
        return None
    if start and sha256(data[start + HEADER_BYTES : offset]).hexdigest() != hashed:
        return None
    return offset


def _count(data: bytes) -> int:
    """How many records a segment holds, or may hold where it is damaged. What a crash left half written counts too."""
    count, offset = 0, len(MAGIC)
    while offset < len(data):
        following = skip_frame(data, offset)
        if following is None:
            return count + -(-(len(data) - offset) // LEAST_FRAME)
        count, offset = count + 1, following
    return count
