"""The file of the session table: its layout, and how it is opened, made and made anew.

Little-endian::

    offset     bytes
    0          8        magic, format 1
    8          12       sizes that the layout follows from: buckets, ways, bytes of an entry
    20         16       check of the key: a file hashed with another key knows nobody
    36         4        CRC-32 of the 36 bytes before
    4096       8 MiB    tags: bucket x slot x way, two bytes of the key's hash each; zero: nothing there
    8392704    12 MB    the segment of slot 0: bucket x way, an entry each
    ...        12 MB    of slot 1, and so on

    an entry   4        CRC-32 of what follows
               4        zero
               16       the key's hash
               160      its sums, `core.sums.pack`

The file only grows, and every byte that a worker writes was taken from the disk before: a write to a mapped page that
the disk has no room for kills the process.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

from firedoor.core.sums import SUMS_BYTES
from firedoor.store.files import locked

SLOTS: Final = 64
"""Workers of one host, as many as a plan may ask for."""
BUCKETS: Final = 16_384
WAYS: Final = 4
"""Places of a bucket: 65,536 keys that one worker remembers something bad of."""

TAG: Final = 2
OWN_TAGS: Final = WAYS * TAG
ROW: Final = SLOTS * OWN_TAGS
TAGS_AT: Final = 4096
ENTRY: Final = 24 + SUMS_BYTES
SEGMENTS_AT: Final = TAGS_AT + BUCKETS * ROW
SEGMENT: Final = BUCKETS * WAYS * ENTRY

_HEAD = struct.Struct("<8s3I16s")
_MAGIC = b"FDSESS01"


class Opened(NamedTuple):
    """The mapped file, what tells it from another (device, inode, size), how many slots it has room for."""

    page: mmap.mmap
    file: tuple[int, int, int]
    slots: int
    begun_anew: bool


def table_bytes(workers: int) -> int:
    """Size of the file with so many workers: 8.4 MB and 12.1 MB for each."""
    return SEGMENTS_AT + workers * SEGMENT


def identity(status: os.stat_result) -> tuple[int, int, int]:
    """What changes when a file is replaced, or grows."""
    return status.st_dev, status.st_ino, status.st_size


def open_file(path: Path, slot: int, key: bytes) -> Opened:
    """Map the table at `path`, with room for `slot`: a new one, if it is not there, damaged or not ours.

    Raises OSError.
    """
    head = _head(key)
    with locked(path):
        descriptor, begun_anew = _open_whole(path, head)
        if descriptor is None:
            _make(path, head)
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.posix_fallocate(descriptor, SEGMENTS_AT + slot * SEGMENT, SEGMENT)
            status = os.fstat(descriptor)
            page = mmap.mmap(descriptor, status.st_size)
        finally:
            os.close(descriptor)
    return Opened(page, identity(status), (status.st_size - SEGMENTS_AT) // SEGMENT, begun_anew)


def _head(key: bytes) -> bytes:
    check = hashlib.blake2b(b"session table", key=key, digest_size=16).digest()
    head = _HEAD.pack(_MAGIC, BUCKETS, WAYS, ENTRY, check)
    return head + zlib.crc32(head).to_bytes(4, "little")


def _open_whole(path: Path, head: bytes) -> tuple[int | None, bool]:
    """A descriptor of the file if it is a table of this format and key; else None, and whether something was there."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None, False
    try:
        sized = SEGMENTS_AT <= os.fstat(descriptor).st_size <= table_bytes(SLOTS)
        if sized and os.pread(descriptor, len(head), 0) == head:
            return descriptor, False
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None, True


def _make(path: Path, head: bytes) -> None:
    """Put an empty table in the place of whatever is there: other workers take it up within seconds."""
    temporary = path.with_name(f".{path.name}.new")  # the lock is held: nobody else makes it
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.posix_fallocate(descriptor, 0, SEGMENTS_AT)
            os.pwrite(descriptor, head, 0)
        finally:
            os.close(descriptor)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
