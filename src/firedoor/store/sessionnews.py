"""The session table between hosts: what this host's workers have become, and what other hosts have said of theirs.

Workers mark each bucket that they write (`sessionfile`), so news is found without asking them; their parts are added up
before they go out. Every marked bucket is said again in about a minute, so what was lost on the way comes, and a host
that joins knows all. What another host says goes into a segment of its own, bucket by bucket; which host has which
segment, and its newest message, is in the file, so a new process begins with what was known.

Everything is read and written by calls: a full disk or a file that somebody shortened is an error here, and ends no
process.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from firedoor.core.sessionnews import BUCKETS, SAID, WAYS, News, bucket_of, digest_of, kind_of, sums_of
from firedoor.core.sessions import RULES, Kind, Rules
from firedoor.core.sums import FUTURE, Sums, add_up, decayed, is_nothing, pack, size, unpack
from firedoor.errors import SetupError
from firedoor.store.sessionfile import (
    ENTRIES,
    ENTRY,
    HOST,
    HOSTS,
    HOSTS_AT,
    OWN_TAGS,
    ROW,
    SEGMENT,
    SEGMENTS_AT,
    SLOTS,
    TAG,
    TAGS_AT,
    WORKERS_AT,
    entry_of,
    is_whole,
    open_for_hosts,
    tag_of,
)
from firedoor.store.sessiontable import FORGET_AFTER

SWEEP: Final = 64
"""Marked buckets looked through again with each `look`: all of them in 256 looks, about a minute."""
READ: Final = 256
"""Parts read for one message, about two milliseconds."""
SILENT: Final = 3600.0
"""Seconds. A host that has said nothing for so long makes room for a new one."""
_BLOCK: Final = 64
_NONE: Final = bytes(OWN_TAGS)
_NOBODY: Final = bytes(SLOTS * OWN_TAGS)
_FREE: Final = bytes(8)
_TRIES: Final = 3
_AGAIN, _NEW = 1, 2
"""Why a bucket is due."""
_ALL: Final = bytes([_AGAIN, _AGAIN, _NEW, *range(3, 256)])
_AT = struct.Struct("<d")


class SessionNews:
    """One process's view of the table of its host, for what passes between hosts. Only one process at a time has it.

    `counts` says what happened to messages: ``taken``, ``repeated`` (or overtaken), ``other_clock`` (its time and ours
    differ by more than `sums.FUTURE`), ``no_room`` (more than `HOSTS` other hosts).
    """

    def __init__(self, path: Path, key: bytes, rules: Mapping[Kind, Rules] = RULES) -> None:
        """Open the table at `path`; one is made if there is none. Raises `SetupError`."""
        self._path = path
        self._key = key
        self._rules = rules
        self._keep_for = FORGET_AFTER * max(r.half_life for r in rules.values())
        self._descriptor = -1
        self._marks: dict[int, bytes] = {}
        self._due = bytearray()
        self._next = self._swept = 0
        self.counts: Counter[str] = Counter()
        try:
            self._open()
        except OSError as error:
            raise SetupError(
                f"The session table {path.name} cannot be used: {error.strerror}.",
                remedy="It must belong to this user, and its file system must have files with holes.",
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    # --- what is said -------------------------------------------------------------------------------------------------

    def say_all(self) -> None:
        """Have all buckets said anew, those without anything too."""
        self._due = self._due.translate(_ALL)

    def look(self, now: float) -> None:
        """Find the buckets that were written since the last look, and some to be said again. Raises OSError."""
        self._follow()
        workers = os.pread(self._descriptor, SLOTS, WORKERS_AT)
        for slot, ever in enumerate(workers):
            if ever:
                marks = self._read(BUCKETS, SEGMENTS_AT + slot * SEGMENT + ENTRIES)
                known = self._marks.get(slot, bytes(BUCKETS))
                if marks != known:
                    self._compare(known, marks)
                    self._marks[slot] = marks
        for bucket in range(self._swept, self._swept + SWEEP):
            if not self._due[bucket] and any(marks[bucket] for marks in self._marks.values()):
                self._due[bucket] = _AGAIN
        self._swept = (self._swept + SWEEP) % BUCKETS
        if self._swept == 0:
            self._forget(now)

    def said(self, now: float) -> dict[int, tuple[bytes, ...]]:
        """The next message's buckets with all that is in them, empty if there is no news. Raises OSError."""
        found: dict[int, tuple[bytes, ...]] = {}
        read = 0
        while len(found) < SAID and read < READ:
            bucket = self._next_due()
            if bucket is None:
                break
            parts = self._here(bucket)
            read += sum(map(len, parts.values()))
            found[bucket] = self._largest([self._joined(same, now) for same in parts.values()], now)
            self._due[bucket] = 0
            self._next = bucket + 1
        return found

    def _next_due(self) -> int | None:
        """Each in its turn, but first of all what is new."""
        for why in (_NEW, _AGAIN):
            for start in (self._next, 0):
                bucket = self._due.find(why, start)
                if bucket >= 0:
                    return bucket
        return None

    def _compare(self, known: bytes, marks: bytes) -> None:
        for start in range(0, BUCKETS, _BLOCK):
            end = start + _BLOCK
            if known[start:end] != marks[start:end]:
                for bucket in range(start, end):
                    if known[bucket] != marks[bucket]:
                        self._due[bucket] = _NEW

    def _here(self, bucket: int) -> dict[bytes, list[bytes]]:
        """The parts of this host's workers in a bucket, by key."""
        found: dict[bytes, list[bytes]] = {}
        tags = self._read(len(_NOBODY), TAGS_AT + bucket * ROW)
        if tags == _NOBODY:
            return found
        for slot in range(SLOTS):
            own = tags[slot * OWN_TAGS : (slot + 1) * OWN_TAGS]
            if own != _NONE:
                for part in self._parts(slot, bucket, own):
                    found.setdefault(digest_of(part), []).append(part)
        return found

    def _parts(self, slot: int, bucket: int, tags: bytes) -> Iterable[bytes]:
        """Those in a bucket of a segment that are whole and in their place."""
        for _ in range(_TRIES):
            lie = self._read(WAYS * ENTRY, _place(slot, bucket))
            entries = [lie[way * ENTRY : (way + 1) * ENTRY] for way in range(WAYS) if any(_tag(tags, way))]
            if all(map(is_whole, entries)):
                break
        for entry in filter(is_whole, entries):
            with suppress(ValueError):
                kind_of(entry[4:])
                unpack(sums_of(entry[4:]))
                if bucket_of(digest_of(entry[4:])) == bucket:
                    yield entry[4:]

    def _joined(self, parts: list[bytes], now: float) -> bytes:
        """One part for those of several workers; the same one as long as nobody writes."""
        if len(parts) == 1:
            return parts[0]
        packed = [sums_of(part) for part in parts]
        as_of = max((at for (at,) in map(_AT.unpack_from, packed) if at <= now + FUTURE), default=now)
        half_life = self._rules[kind_of(parts[0])].half_life
        return parts[0][: -len(packed[0])] + pack(add_up(packed, as_of, half_life, trails=True))

    def _largest(self, parts: list[bytes], now: float) -> tuple[bytes, ...]:
        """So many as another host has room for, without those that are nothing."""
        some = [part for part in parts if not is_nothing(unpack(sums_of(part)))]
        if len(some) <= WAYS:
            return tuple(some)
        return tuple(sorted(some, key=lambda part: size(self._as_of(part, now)), reverse=True)[:WAYS])

    def _as_of(self, part: bytes, now: float) -> Sums:
        return decayed(unpack(sums_of(part)), now, self._rules[kind_of(part)].half_life)

    # --- what others say ----------------------------------------------------------------------------------------------

    def take(self, host: str, news: News, now: float) -> None:
        """Put what `host` says in its place, or count why not. Raises OSError."""
        if abs(news.count / 1e9 - now) > FUTURE:
            self.counts["other_clock"] += 1
            return
        name = hashlib.blake2b(host.encode(), key=self._key, digest_size=8, person=b"host").digest()
        number = self._number(name, now)
        if number is None:
            self.counts["no_room"] += 1
            return
        newest = self._hosts()[number][1]
        if news.count <= newest <= (now + FUTURE) * 1e9:
            self.counts["repeated"] += 1
            return
        for bucket, parts in news.found.items():
            self._replace(SLOTS + number, bucket, parts)
        self._write(HOST.pack(name, news.count), HOSTS_AT + number * HOST.size)
        self.counts["taken"] += 1

    def _number(self, name: bytes, now: float) -> int | None:
        """Which segment of other hosts is that of `name`, if need be that of one that is silent."""
        known = self._hosts()
        names = [other for other, _ in known]
        if name in names:
            return names.index(name)
        if _FREE in names:
            return names.index(_FREE)
        number = min(range(HOSTS), key=lambda n: known[n][1])
        if known[number][1] / 1e9 > now - SILENT:
            return None
        self._wipe(number)
        return number

    def _hosts(self) -> list[tuple[bytes, int]]:
        """Name and newest count of the host of each segment."""
        return list(HOST.iter_unpack(self._read(HOSTS * HOST.size, HOSTS_AT)))

    def _replace(self, slot: int, bucket: int, parts: tuple[bytes, ...]) -> None:
        """Have exactly `parts` lie in a bucket of a segment; what stays does so in its place."""
        tags_at = TAGS_AT + bucket * ROW + slot * OWN_TAGS
        before = self._read(OWN_TAGS, tags_at)
        if not parts and before == _NONE:
            return
        lie = self._read(WAYS * ENTRY, _place(slot, bucket))
        held = [lie[way * ENTRY + 8 : way * ENTRY + 24] if any(_tag(before, way)) else b"" for way in range(WAYS)]
        fresh = {digest_of(part): part for part in parts}
        kept = [fresh.pop(digest, None) for digest in held]
        placed = [part or (fresh.popitem()[1] if fresh else None) for part in kept]
        entries = b"".join(bytes(ENTRY) if part is None else entry_of(part) for part in placed)
        tags = b"".join(bytes(TAG) if part is None else tag_of(digest_of(part)) for part in placed)
        if entries != lie:
            self._write(entries, _place(slot, bucket))
        if tags != before:
            self._write(tags, tags_at)

    def _forget(self, now: float) -> None:
        """Empty the segments of hosts of which everything has decayed."""
        for number, (name, newest) in enumerate(self._hosts()):
            if name != _FREE and newest / 1e9 < now - self._keep_for:
                self._wipe(number)

    def _wipe(self, number: int) -> None:
        for bucket in range(BUCKETS):
            self._replace(SLOTS + number, bucket, ())
        self._write(HOST.pack(_FREE, 0), HOSTS_AT + number * HOST.size)

    # --- the file -----------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Take up the file that is at the path now: a worker replaces one that is damaged."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            self._open()
            return
        here = os.fstat(self._descriptor)
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            self._open()

    def _open(self) -> None:
        opened = open_for_hosts(self._path, self._key)
        self.close()
        self._descriptor = opened
        self._marks = {}
        self._due = bytearray([_AGAIN]) * BUCKETS
        self._next = self._swept = 0

    def _read(self, count: int, offset: int) -> bytes:
        data = os.pread(self._descriptor, count, offset)
        if len(data) < count:
            raise OSError("the session table was shortened")
        return data

    def _write(self, data: bytes, offset: int) -> None:
        if os.pwrite(self._descriptor, data, offset) < len(data):
            raise OSError("the disk has no room for the session table")


def _place(slot: int, bucket: int) -> int:
    """Where the entries of a bucket begin."""
    return SEGMENTS_AT + slot * SEGMENT + bucket * WAYS * ENTRY


def _tag(tags: bytes, way: int) -> bytes:
    return tags[way * TAG : (way + 1) * TAG]
