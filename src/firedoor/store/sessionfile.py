"""The file of the session table: its layout, and how it is opened, made and made anew.

Little-endian::

    offset     bytes
    0          8        magic, format 2
    8          12       sizes that the layout follows from: buckets, ways, bytes of an entry
    20         16       check of the key: a file hashed with another key knows nobody
    36         4        CRC-32 of the 36 bytes before
    64         64       a byte for each slot of a worker: 1, if there was ever one
    1024       512      16 for each of 32 other hosts: a hash of its name under the key, the count of its newest message
    4096       12 MiB   tags: bucket x slot x way, two bytes of the key's hash each; zero: nothing there
    12587008   12 MB    the segment of slot 0: bucket x way, an entry each; then a mark for each bucket
    ...        12 MB    of slot 1, and so on: 64 for workers of this host, 32 for what other hosts have told

    an entry   4        CRC-32 of what follows
               4        the kind of the key, `core.sessions.KINDS`, from 1
               16       the key's hash
               160      its sums, `core.sums.pack`

A mark is one byte that counts on with every write into its bucket, and so tells where to look for news.

The file only grows, and every byte that a worker writes was taken from the disk before: a write to a mapped page that
the disk has no room for kills the process. Segments of other hosts lie at the end and have holes, which read as zeros;
they are written by calls, which fail instead.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

from firedoor.core.sessionnews import BUCKETS, PART, WAYS
from firedoor.store.files import locked

SLOTS: Final = 64
"""Workers of one host, as many as a plan may ask for."""
HOSTS: Final = 32
"""Other hosts of the region that are heard at a time."""

TAG: Final = 2
OWN_TAGS: Final = WAYS * TAG
ROW: Final = (SLOTS + HOSTS) * OWN_TAGS
WORKERS_AT: Final = 64
HOSTS_AT: Final = 1024
HOST: Final = struct.Struct("<8sQ")
TAGS_AT: Final = 4096
ENTRY: Final = 4 + PART
ENTRIES: Final = BUCKETS * WAYS * ENTRY
SEGMENTS_AT: Final = TAGS_AT + BUCKETS * ROW
SEGMENT: Final = ENTRIES + BUCKETS

_HEAD = struct.Struct("<8s3I16s")
_MAGIC = b"FDSESS02"


class Opened(NamedTuple):
    """The mapped file, what tells it from another (device, inode, size), how many slots it has room for."""

    page: mmap.mmap
    file: tuple[int, int, int]
    slots: int
    begun_anew: bool


def table_bytes(slots: int) -> int:
    """Size of the file with so many slots: 12.6 MB and 12.1 MB for each."""
    return SEGMENTS_AT + slots * SEGMENT


def tag_of(digest: bytes) -> bytes:
    """What stands for a key's hash in its bucket: never zeros."""
    tag = digest[4:6]
    return tag if tag != b"\0\0" else b"\1\0"


def entry_of(part: bytes) -> bytes:
    """`part` as it lies in a segment."""
    return zlib.crc32(part).to_bytes(4, "little") + part


def is_whole(entry: bytes) -> bool:
    """Whether `entry` was not read while it was written, nor half written by a worker that was killed."""
    return zlib.crc32(entry[4:]) == int.from_bytes(entry[:4], "little")


def identity(status: os.stat_result) -> tuple[int, int, int]:
    """What changes when a file is replaced, or grows."""
    return status.st_dev, status.st_ino, status.st_size


def open_file(path: Path, slot: int, key: bytes) -> Opened:
    """Map the table at `path`, with room for `slot`: a new one, if it is not there, damaged or not ours.

    Raises OSError.
    """
    with locked(path):
        descriptor, begun_anew = _open(path, key)
        try:
            os.posix_fallocate(descriptor, SEGMENTS_AT + slot * SEGMENT, SEGMENT)
            os.pwrite(descriptor, b"\1", WORKERS_AT + slot)
            status = os.fstat(descriptor)
            page = mmap.mmap(descriptor, status.st_size)
        finally:
            os.close(descriptor)
    return Opened(page, identity(status), (status.st_size - SEGMENTS_AT) // SEGMENT, begun_anew)


def open_for_hosts(path: Path, key: bytes) -> int:
    """A descriptor of the table at `path`, with room, but no blocks of the disk, for what other hosts say.

    Raises OSError.
    """
    with locked(path):
        descriptor, _ = _open(path, key)
        try:
            if os.fstat(descriptor).st_size < table_bytes(SLOTS + HOSTS):
                os.ftruncate(descriptor, table_bytes(SLOTS + HOSTS))
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _open(path: Path, key: bytes) -> tuple[int, bool]:
    """A descriptor of the table at `path`, and whether something else was there. Under the lock."""
    head = _head(key)
    descriptor, begun_anew = _open_whole(path, head)
    if descriptor is None:
        _make(path, head)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    return descriptor, begun_anew


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
        sized = SEGMENTS_AT <= os.fstat(descriptor).st_size <= table_bytes(SLOTS + HOSTS)
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
