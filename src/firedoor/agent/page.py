"""The switch page: what a host shows its workers in a memory-mapped file, one writer, any number of readers.

Layout, in the byte order of the host (nobody else reads it)::

    offset  bytes
    0       8      magic, format 2
    8       8      beat: since when the region's table is known to hold, CLOCK_BOOTTIME in nanoseconds
    16      8      global beat: the same of the global table, 0 without one
    24      8      sequence: odd while the tables are being written (seqlock)
    32      8      length of the tables in bytes
    40      8      CRC-32 of sequence, boot id, time of writing and tables
    48      16     boot id: a beat from before a restart of the host means nothing
    64      8      when the tables were written, on the same clock: a page written earlier is a replay
    4096    393216 the tables as JSON

Each number is one aligned 8-byte word, written and read by one machine instruction. The clock is CLOCK_BOOTTIME because
it does not stop while a virtual machine is suspended and cannot be set. The file has its full size from the start and
is never shortened: a reader that touches a page behind the end of a mapped file is killed by the kernel.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
import time
import uuid
import zlib
from math import inf
from pathlib import Path
from typing import NamedTuple

import msgspec

from firedoor.core.switches import Look, Shown
from firedoor.errors import SetupError

TABLE_LIMIT = 393_216
"""Bytes of the encoded tables: the largest message's, as many switches kept on this host, and the global table."""

_TABLE_AT = 4096
PAGE_BYTES = _TABLE_AT + TABLE_LIMIT
MAGIC = int.from_bytes(b"FDPAGE02", "little")
_MAGIC, _BEAT, _GLOBAL_BEAT, _SEQUENCE, _LENGTH, _CRC = range(6)
_BOOT_AT, _WRITTEN = 48, 8
_read_head = struct.Struct("@QQQ").unpack_from
"""Beats and sequence in this order: the beats are never newer than the tables that the sequence stands for."""
_HEAD_AT = 8
_SEQUENCE_MASK = (1 << 62) - 1  # a damaged word must not overflow when counted on

REOPEN_AFTER = 0.6
"""Seconds without a beat after which a reader looks whether the file was replaced: two beats were missed."""
_REOPEN_AFTER_NS = int(REOPEN_AFTER * 1e9)
REOPEN_EVERY = 0.1
"""Seconds between such looks: each costs a few system calls."""

_clock_ns, _CLOCK = time.clock_gettime_ns, time.CLOCK_BOOTTIME
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_decoder = msgspec.json.Decoder(Shown)
_encoder = msgspec.json.Encoder(order="deterministic")


def boot_id() -> bytes:
    """16 bytes that change with every start of this host's kernel. Raises `SetupError`."""
    try:
        return uuid.UUID(_BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError) as error:
        raise SetupError(f"{_BOOT_ID} cannot be read.", remedy="Firedoor needs Linux with /proc mounted.") from error


def boottime_ns() -> int:
    """Nanoseconds since this host's kernel started, suspended time included."""
    return _clock_ns(_CLOCK)


def _checksum(sequence: int, boot: bytes, written: int, tables: bytes) -> int:
    head = sequence.to_bytes(8, "little") + boot + written.to_bytes(8, "little")
    return zlib.crc32(tables, zlib.crc32(head))


class PageWriter:
    """Writes the page at `path`; the only one that does. See `firedoor.ports.switches.PageOutput`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._words: memoryview | None = None
        self._boot = b""
        self._inode = (0, 0)
        self._beats: tuple[int, int] | None = None

    def exists(self) -> bool:
        """Whether there is anything at the path."""
        return os.path.lexists(self._path)

    def last(self) -> Shown | None:
        """The tables on the page now, whatever their age; None if they are not whole."""
        try:
            with self._path.open("rb") as file:
                data = file.read(PAGE_BYTES + 1)
        except OSError:
            return None
        found = _decode(data)
        return found.shown if found else None

    def publish(self, shown: Shown) -> None:
        """Show `shown`, in a new file if the old one is gone from its path; the beats stay as they were.

        A writer that takes up the page of an earlier process takes up its beats: `shown` must shut all that is shut
        there. Raises `SetupError` if the tables are too large, OSError if the page cannot be made.
        """
        data = _encoder.encode(shown)
        if len(data) > TABLE_LIMIT:
            raise SetupError(f"The switch tables have {len(data)} bytes, more than the {TABLE_LIMIT} of the page.")
        left = (self._map, self._words) if self.lost() else (None, None)
        if self._map is None or left[0] is not None:
            self._open()
        self._write(data)
        _leave(*left)

    def _write(self, data: bytes) -> None:
        page, words = self._map, self._words
        assert page is not None
        assert words is not None
        sequence = (words[_SEQUENCE] & _SEQUENCE_MASK) | 1  # a writer that was killed in here left it odd
        written = boottime_ns()
        words[_SEQUENCE] = sequence
        page[_TABLE_AT : _TABLE_AT + len(data)] = data
        words[_LENGTH] = len(data)
        page[_BOOT_AT : _BOOT_AT + 16] = self._boot
        words[_WRITTEN] = written
        words[_CRC] = _checksum(sequence + 1, self._boot, written, data)
        words[_BEAT], words[_GLOBAL_BEAT] = self._beats or (0, 0)
        words[_SEQUENCE] = sequence + 1

    def beat(self, since: int | None = None) -> None:
        """Say that the region's table on the page is known to hold since `since` (CLOCK_BOOTTIME, ns; None: now).

        Never takes back what it said before. Raises `SetupError` if nothing was published.
        """
        if self._words is None or self._beats is None:
            raise SetupError("The switch page has no table yet.")
        self._beats = (max(self._beats[0], boottime_ns() if since is None else since), self._beats[1])
        self._words[_BEAT] = self._beats[0]

    def beat_global(self) -> None:
        """Say that the global table on the page is known to hold now. Raises `SetupError` as `beat`."""
        if self._words is None or self._beats is None:
            raise SetupError("The switch page has no table yet.")
        self._beats = (self._beats[0], boottime_ns())
        self._words[_GLOBAL_BEAT] = self._beats[1]

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
            fresh = mmap.mmap(descriptor, PAGE_BYTES)
        finally:
            os.close(descriptor)
        self._map, self._words = fresh, memoryview(fresh).cast("Q")
        self._inode = (status.st_dev, status.st_ino)
        if self._beats is None:
            self._beats = self._earlier_beats(self._map)

    def _earlier_beats(self, page: mmap.mmap) -> tuple[int, int]:
        """What an earlier writer said of the tables on the page; (0, 0) of torn ones, or from before a restart."""
        found, now = _decode(page), boottime_ns()
        if found is None or found.boot != self._boot:
            return (0, 0)
        beat, everywhere = (b if b <= now else 0 for b in found.beats)
        return (beat, everywhere)


def _leave(page: mmap.mmap | None, words: memoryview | None) -> None:
    """Let go of a page that is no longer at its path, and take its beats back: whoever looks there looks anew."""
    if page is not None and words is not None:
        words[_BEAT] = words[_GLOBAL_BEAT] = 0
        words.release()
        page.close()


class PageReader:
    """Reads the page at `path`. See `firedoor.ports.switches.SwitchPage`.

    Keeps the last whole table. A page that is torn, damaged, from before a restart of the host, or older than the table
    already seen does not refresh it, so its age grows until the looker calls it stale.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._inode = (0, 0)
        self._sequence = -1
        self._beats = (0, 0)
        self._shown: Shown | None = None
        self._written = 0
        self._boot: bytes | None = None
        self._next_open = 0

    def look(self) -> Look:
        """The newest whole tables and their ages in seconds; infinite before the first, or without a usable beat."""
        page = self._map
        if page is not None:
            beat, everywhere, sequence = _read_head(page, _HEAD_AT)
            if sequence == self._sequence:
                self._beats = beat, everywhere
            else:
                self._take()
        beat, everywhere = self._beats
        now = _clock_ns(_CLOCK)
        if not 0 <= now - beat <= _REOPEN_AFTER_NS and now >= self._next_open:
            self._next_open = now + int(REOPEN_EVERY * 1e9)
            self._reopen()
            now, (beat, everywhere) = boottime_ns(), self._beats
        return Look(
            self._shown,
            (now - beat) * 1e-9 if 0 < beat <= now else inf,
            (now - everywhere) * 1e-9 if 0 < everywhere <= now else inf,
        )

    def close(self) -> None:
        """Let go of the file; the next look opens it again."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def _take(self) -> None:
        """Take the page's tables, if they are whole and not older than those kept."""
        page = self._map
        assert page is not None
        found = _decode(page)
        if found is None or _read_head(page, _HEAD_AT)[2] != found.sequence or found.boot != self._boot:
            return
        if self._shown is None or (found.written >= self._written and _may_follow(found.shown, self._shown)):
            self._shown, self._written = found.shown, found.written
            self._sequence, self._beats = found.sequence, found.beats

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
        self._map = fresh
        self._inode, self._sequence = (status.st_dev, status.st_ino), -1
        self._take()


class _Found(NamedTuple):
    shown: Shown
    boot: bytes
    written: int
    sequence: int
    beats: tuple[int, int]


def _decode(page: bytes | mmap.mmap) -> _Found | None:
    """What the bytes of a page say, or None if they are not those of one whole page."""
    if len(page) != PAGE_BYTES:
        return None
    with memoryview(page) as whole, whole.cast("Q") as words:
        beat, everywhere, sequence = _read_head(page, _HEAD_AT)
        length, written = words[_LENGTH], words[_WRITTEN]
        if words[_MAGIC] != MAGIC or sequence & 1 or not 0 < length <= TABLE_LIMIT:
            return None
        boot, tables = page[_BOOT_AT : _BOOT_AT + 16], page[_TABLE_AT : _TABLE_AT + length]
        if words[_CRC] != _checksum(sequence, boot, written, tables):
            return None
    try:
        return _Found(_decoder.decode(tables), boot, written, sequence, (beat, everywhere))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _may_follow(new: Shown, kept: Shown) -> bool:
    """Tables with an older version are a replay, whatever their beats say. The same version may keep more shut.

    A global table of an older version may follow if it shuts as much: an agent that starts puts such a one together.
    """
    if new.table.region != kept.table.region or new.table.version < kept.table.version:
        return False
    now, before = new.everywhere, kept.everywhere
    if before is None or (now is not None and now.version >= before.version):
        return True
    shut = {s.scope for s in (*new.table.shut, *(now.shut if now is not None else ()))}
    return all(s.scope in shut for s in before.shut)


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
