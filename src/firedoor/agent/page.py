"""The switch page: a region's table in a memory-mapped file, one writer, any number of readers in other processes.

Layout, in the byte order of the host (nobody else reads it)::

    offset  bytes
    0       8      magic, format 1
    8       8      sequence: odd while the table is being written (seqlock)
    16      8      beat: when the writer last said that the table holds, CLOCK_BOOTTIME in nanoseconds
    24      8      length of the table in bytes
    32      8      CRC-32 of sequence, boot id and table
    40      16     boot id: a beat from before a restart of the host means nothing
    4096    65536  the table as JSON

Each number is one aligned 8-byte word, written and read by one machine instruction. The clock is CLOCK_BOOTTIME because
it does not stop while a virtual machine is suspended and cannot be set. The file has its full size from the start and
is never shortened: a reader that touches a page behind the end of a mapped file is killed by the kernel.
"""

from __future__ import annotations

import math
import mmap
import os
import secrets
import time
import uuid
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from firedoor.core.switches import Table
from firedoor.errors import SetupError

TABLE_LIMIT = 65_536
"""Bytes of the encoded table: `core.switches.MAX_SWITCHES` of the longest names fit."""

_TABLE_AT = 4096
PAGE_BYTES = _TABLE_AT + TABLE_LIMIT
MAGIC = int.from_bytes(b"FDPAGE01", "little")
_MAGIC, _SEQUENCE, _BEAT, _LENGTH, _CRC = range(5)
_BOOT_AT = 40
_SEQUENCE_MASK = (1 << 62) - 1  # a damaged word must not overflow when counted on

REOPEN_AFTER = 0.6
"""Seconds without a beat after which a reader looks whether the file was replaced: two beats were missed."""
REOPEN_EVERY = 0.1
"""Seconds between such looks: each costs a few system calls."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_decoder = msgspec.json.Decoder(Table)
_encoder = msgspec.json.Encoder(order="deterministic")


def boot_id() -> bytes:
    """16 bytes that change with every start of this host's kernel. Raises `SetupError`."""
    try:
        return uuid.UUID(_BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError) as error:
        raise SetupError(f"{_BOOT_ID} cannot be read.", remedy="Firedoor needs Linux with /proc mounted.") from error


def _checksum(sequence: int, boot: bytes, table: bytes) -> int:
    return zlib.crc32(table, zlib.crc32(boot, zlib.crc32(sequence.to_bytes(8, "little"))))


class PageWriter:
    """Writes the page at `path`; the only one that does. See `firedoor.ports.PageOutput`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._words: memoryview | None = None
        self._boot = b""
        self._inode = (0, 0)

    def exists(self) -> bool:
        """Whether there is anything at the path."""
        return os.path.lexists(self._path)

    def last(self) -> Table | None:
        """The table on the page now, whatever its age; None if it is not whole."""
        try:
            with self._path.open("rb") as file:
                data = file.read(PAGE_BYTES + 1)
        except OSError:
            return None
        found = _decode(data)
        return found.table if found else None

    def publish(self, table: Table) -> None:
        """Show `table`, and beat; in a new file if the old one is gone from its path.

        Raises `SetupError` if the table is too large, OSError if the page cannot be made.
        """
        data = _encoder.encode(table)
        if len(data) > TABLE_LIMIT:
            raise SetupError(f"The switch table has {len(data)} bytes, more than the {TABLE_LIMIT} of the page.")
        if self.lost():
            self.close()
        if self._map is None or self._words is None:
            self._open()
        page, words = self._map, self._words
        assert page is not None
        assert words is not None
        sequence = (words[_SEQUENCE] & _SEQUENCE_MASK) | 1  # a writer that was killed in here left it odd
        words[_SEQUENCE] = sequence
        page[_TABLE_AT : _TABLE_AT + len(data)] = data
        words[_LENGTH] = len(data)
        page[_BOOT_AT : _BOOT_AT + 16] = self._boot
        words[_CRC] = _checksum(sequence + 1, self._boot, data)
        words[_BEAT] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        words[_SEQUENCE] = sequence + 1

    def beat(self) -> None:
        """Say that the table on the page holds now. Raises `SetupError` if nothing was published."""
        if self._words is None:
            raise SetupError("The switch page has no table yet.")
        self._words[_BEAT] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def lost(self) -> bool:
        """Whether the file at the path is no longer the one being written: somebody deleted or replaced it."""
        return self._map is not None and not _same_file(self._path, self._inode)

    def close(self) -> None:
        """Let go of the page. What it says stays, and grows stale."""
        if self._words is not None:
            self._words.release()
        if self._map is not None:
            self._map.close()
        self._map = self._words = None

    def _open(self) -> None:
        """Map the page of an earlier process and go on with its sequence, or put a new one in its place."""
        self._boot = boot_id()
        descriptor = _open_whole(self._path, os.O_RDWR)
        if descriptor is None:
            _make(self._path)
            descriptor = _open_whole(self._path, os.O_RDWR)
            assert descriptor is not None
        try:
            status = os.fstat(descriptor)
            self._inode = (status.st_dev, status.st_ino)
            self._map = mmap.mmap(descriptor, PAGE_BYTES)
        finally:
            os.close(descriptor)
        self._words = memoryview(self._map).cast("Q")


class PageReader:
    """Reads the page at `path`. See `firedoor.ports.SwitchPage`.

    Keeps the last whole table. A page that is torn, damaged, from before a restart of the host, or older than the table
    already seen does not refresh it, so its age grows until the looker calls it stale.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._words: memoryview | None = None
        self._inode = (0, 0)
        self._sequence = -1
        self._beat = 0
        self._table: Table | None = None
        self._boot: bytes | None = None
        self._next_open = 0

    def look(self) -> tuple[Table | None, float]:
        """The newest whole table and its age in seconds; an infinite age before the first, or without a usable beat."""
        words = self._words
        if words is not None:
            beat = words[_BEAT]  # before the sequence: a beat read here is never newer than the table kept
            if words[_SEQUENCE] == self._sequence:
                self._beat = beat
            else:
                self._decode()
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        age = (now - self._beat) * 1e-9
        if words is None or not 0 <= age <= REOPEN_AFTER:
            if now >= self._next_open:
                self._next_open = now + int(REOPEN_EVERY * 1e9)
                self._reopen()
            age = self._age()
        return self._table, age

    def close(self) -> None:
        """Let go of the file; the next look opens it again."""
        if self._words is not None:
            self._words.release()
        if self._map is not None:
            self._map.close()
        self._map = self._words = None

    def _age(self) -> float:
        age = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._beat) * 1e-9
        return age if self._table is not None and age >= 0 else math.inf

    def _decode(self) -> None:
        """Take the page's table, if it is whole and not older than the one kept."""
        page, words = self._map, self._words
        assert page is not None
        assert words is not None
        beat, sequence = words[_BEAT], words[_SEQUENCE]
        if sequence & 1:
            return
        found = _decode(page[:])
        if found is None or words[_SEQUENCE] != sequence or found.boot != self._boot:
            return
        if self._table is None or _may_follow(found.table, self._table):
            self._table, self._sequence, self._beat = found.table, sequence, beat

    def _reopen(self) -> None:
        """Map the file at the path, if it is not the one already mapped. Never raises."""
        if self._map is not None and _same_file(self._path, self._inode):
            return
        try:
            if self._boot is None:
                self._boot = boot_id()
            descriptor = _open_whole(self._path, os.O_RDONLY)
            if descriptor is None:
                return
            try:
                status = os.fstat(descriptor)
                fresh = mmap.mmap(descriptor, PAGE_BYTES, prot=mmap.PROT_READ)
            finally:
                os.close(descriptor)
        except (OSError, ValueError, SetupError):
            return
        self.close()
        self._map, self._words = fresh, memoryview(fresh).cast("Q")
        self._inode, self._sequence = (status.st_dev, status.st_ino), -1
        self._decode()


class _Found(NamedTuple):
    table: Table
    boot: bytes


def _decode(data: bytes) -> _Found | None:
    """The table in the bytes of a page, or None if they are not those of one whole page."""
    if len(data) != PAGE_BYTES:
        return None
    words = memoryview(data).cast("Q")
    sequence, length = words[_SEQUENCE], words[_LENGTH]
    if words[_MAGIC] != MAGIC or sequence & 1 or not 0 < length <= TABLE_LIMIT:
        return None
    boot, table = data[_BOOT_AT : _BOOT_AT + 16], data[_TABLE_AT : _TABLE_AT + length]
    if words[_CRC] != _checksum(sequence, boot, table):
        return None
    try:
        return _Found(_decoder.decode(table), boot)
    except msgspec.DecodeError:
        return None


def _may_follow(new: Table, kept: Table) -> bool:
    """A table with an older version is a replay, whatever its beat says."""
    return new.region == kept.region and (new.version > kept.version or new == kept)


def _same_file(path: Path, inode: tuple[int, int]) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == inode


def _open_whole(path: Path, flags: int) -> int | None:
    """A descriptor of `path` if it is a page of full size, else None. Raises OSError for anything but absence."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        magic = os.pread(descriptor, 8, 0)
        if os.fstat(descriptor).st_size == PAGE_BYTES and int.from_bytes(magic, "little") == MAGIC:
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _make(path: Path) -> None:
    """Put an empty page at `path`, its blocks allocated: a full disk must fail here and not under a mapped write."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, PAGE_BYTES)
        os.pwrite(descriptor, MAGIC.to_bytes(8, "little"), 0)
    finally:
        os.close(descriptor)
    temporary.rename(path)
