"""Bytes of a journal segment <-> frames. Pure; the format is described in docs/formats.md.

A segment is `MAGIC` and then frames. A frame is a header of 12 bytes (little-endian unsigned 32-bit: length of the
leaf, CRC-32 of the leaf, CRC-32 of the header's first 8 bytes) and the leaf. The header has a CRC of its own because a
flipped bit in the length must not make whole records look like a torn tail, which recovery cuts off.

The highest bit of the length marks the first frame of a write. A write is only begun when the one before it is synced:
a mark behind a damaged place says that what was damaged had been synced.
"""

from __future__ import annotations

import contextlib
from struct import Struct as Layout
from zlib import crc32

from msgspec import Struct

from firedoor.core.evidence.leaf import LEAF_LIMIT
from firedoor.errors import EvidenceDamaged

MAGIC = b"firedoor journal 2\n"
HEADER_BYTES = 12
BLOCK_BYTES = 512
"""What a disk writes whole or not at all."""

_FIRST = 1 << 31
_HEADER = Layout("<III")
_HEAD = Layout("<II")
_MARK = b"\x00\x80"
"""The upper half of a marked length: leaves are shorter than 64 KiB."""


class Frame(Struct, gc=False):
    """The leaf in one frame, and where the frame ends (offset of the next one in the same buffer)."""

    leaf: bytes
    end: int
    begins_write: bool = False


def encode_frame(leaf: bytes) -> bytes:
    """The frame around `leaf`, which `leaf.encode` has bounded."""
    head = _HEAD.pack(len(leaf), crc32(leaf))
    return b"".join((head, crc32(head).to_bytes(4, "little"), leaf))


def begin_write(frame: bytes) -> bytes:
    """`frame`, which `encode_frame` made, marked as the first one of a write."""
    length, checksum = _HEAD.unpack_from(frame)
    head = _HEAD.pack(length | _FIRST, checksum)
    return b"".join((head, crc32(head).to_bytes(4, "little"), frame[HEADER_BYTES:]))


def decode_frame(buffer: bytes, offset: int) -> Frame | None:
    """The frame at `offset`, or None if the buffer ends before the frame does. Raises `EvidenceDamaged`."""
    start = offset + HEADER_BYTES
    if start > len(buffer):
        return None
    length, checksum, head_checksum = _HEADER.unpack_from(buffer, offset)
    if head_checksum != crc32(buffer[offset : offset + 8]):
        raise EvidenceDamaged("The header of a frame does not match its CRC.")
    first = length >= _FIRST
    length &= _FIRST - 1
    if not 0 < length <= LEAF_LIMIT:
        raise EvidenceDamaged("The header of a frame has an impossible length.")
    end = start + length
    if end > len(buffer):
        return None
    leaf = buffer[start:end]
    if crc32(leaf) != checksum:
        raise EvidenceDamaged("A frame does not match its CRC.")
    return Frame(leaf, end, first)


def skip_frame(buffer: bytes, offset: int) -> int | None:
    """Where the frame at `offset` ends by its header, whatever its leaf holds; None if the header is damaged too."""
    if offset + HEADER_BYTES > len(buffer):
        return None
    length, _, head_checksum = _HEADER.unpack_from(buffer, offset)
    if head_checksum != crc32(buffer[offset : offset + 8]):
        return None
    return offset + HEADER_BYTES + (int(length) & (_FIRST - 1))


def torn_write(rest: bytes, offset: int) -> bool:
    """Whether a frame that does not verify is what a power cut left of the last write, not damage to what was synced.

    `rest` is the file from the frame's start at `offset` to its end. Of a write that was not synced, blocks may be
    missing in any order: they read as zeros. Behind one that was synced stands the mark of another, unless it was the
    last one; and no flipped bit makes a block of zeros out of JSON.
    """
    return _has_hole(rest, offset) and not _write_begins(rest)


def _has_hole(rest: bytes, offset: int) -> bool:
    """Whether a block (`BLOCK_BYTES` of the file) of the first frame is missing."""
    length, _, head_checksum = _HEADER.unpack_from(rest.ljust(HEADER_BYTES, b"\0"))
    whole_head = head_checksum == crc32(rest[:8])
    frame = rest[: HEADER_BYTES + (length & (_FIRST - 1) if whole_head else 0)]
    start = 0
    while start < len(frame):
        end = start + BLOCK_BYTES - (offset + start) % BLOCK_BYTES
        if not rest[start:end].strip(b"\0"):
            return True
        start = end
    return False


def _write_begins(rest: bytes) -> bool:
    """Whether a whole frame with the mark of a new write stands anywhere behind the first byte."""
    at = rest.find(_MARK, 1)
    while at >= 0:
        with contextlib.suppress(EvidenceDamaged):
            frame = decode_frame(rest, at - 2)
            if frame is not None and frame.begins_write:
                return True
        at = rest.find(_MARK, at + 1)
    return False
