"""Bytes of a journal segment <-> frames. Pure; the format is described in docs/formats.md.

A segment is `MAGIC` and then frames. A frame is a header of 16 bytes (little-endian unsigned 32-bit: payload length,
CRC-32 of the payload, leaf length, CRC-32 of the header's first 12 bytes) and the payload: the leaf, then the sealed
body. The header has a CRC of its own because a flipped bit in the length must not make whole records look like a torn
tail, which recovery cuts off.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import NamedTuple
from zlib import crc32

from firedoor.core.evidence.leaf import LEAF_LIMIT
from firedoor.errors import EvidenceDamaged

MAGIC = b"firedoor journal 1\n"
HEADER_BYTES = 16
BODY_LIMIT = 32 * 1024 * 1024
"""Bytes of one sealed body. The largest request a plan may allow is 16 MiB; minimising may lengthen it."""

_HEADER = Layout("<IIII")
_HEAD = Layout("<III")


class Frame(NamedTuple):
    """One frame and where it ends (offset of the next one in the same buffer)."""

    leaf: bytes
    sealed: bytes
    end: int


def encode_frame(leaf: bytes, sealed: bytes = b"") -> bytes:
    """Raises ValueError if the body is over `BODY_LIMIT`."""
    if len(sealed) > BODY_LIMIT:
        raise ValueError(f"a body of {len(sealed)} bytes is over {BODY_LIMIT}")
    payload = leaf + sealed
    head = _HEAD.pack(len(payload), crc32(payload), len(leaf))
    return b"".join((head, crc32(head).to_bytes(4, "little"), payload))


def decode_frame(buffer: bytes, offset: int) -> Frame | None:
    """The frame at `offset`, or None if the buffer ends before the frame does. Raises `EvidenceDamaged`."""
    start = offset + HEADER_BYTES
    if start > len(buffer):
        return None
    length, checksum, leaf_length, head_checksum = _HEADER.unpack_from(buffer, offset)
    if head_checksum != crc32(buffer[offset : offset + 12]):
        raise EvidenceDamaged("The header of a frame does not match its CRC.")
    if not 0 < leaf_length <= min(length, LEAF_LIMIT) or length > LEAF_LIMIT + BODY_LIMIT:
        raise EvidenceDamaged("The header of a frame has impossible lengths.")
    end = start + length
    if end > len(buffer):
        return None
    payload = buffer[start:end]
    if crc32(payload) != checksum:
        raise EvidenceDamaged("A frame does not match its CRC.")
    return Frame(payload[:leaf_length], payload[leaf_length:], end)
