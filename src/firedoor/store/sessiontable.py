"""The session table: the sums of `core.sessions` in one memory-mapped file per host.

A worker writes its own segment and its own tags, nobody else does, so there is no lock; it reads everybody's and adds
them up, so a session that four workers serve is one session. What other hosts have told lies in segments of its own
(`sessionnews`), and counts besides. An entry that is read while it is written, or that a
killed worker left half written, fails its CRC and counts for nothing. Damage, another key, a new format: the table is
begun anew and says so; sessions that were forgotten begin at zero, which is the safe failure for the shop.
`sessionfile` has the layout.

The file holds sums and hashes under the region's key: no identifier, no content. A turn that leaves nothing behind, as
nearly all do, writes nothing. When the four places of a bucket are taken, the entry with the smallest sums goes, so a
flood of new sessions displaces harmless ones first.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, NamedTuple

from firedoor.core.sessionnews import BUCKETS, HASH, WAYS, bucket_of
from firedoor.core.sessions import (
    KINDS,
    OBSERVE,
    RULES,
    Key,
    Kind,
    Rules,
    Standing,
    Turn,
    follows,
    ladder,
    leaves_nothing,
    note,
    worst,
)
from firedoor.core.sums import Sums, add_up, is_nothing, merge, pack, size, unpack
from firedoor.errors import SetupError
from firedoor.store.sessionfile import (
    ENTRIES,
    ENTRY,
    OWN_TAGS,
    ROW,
    SEGMENT,
    SEGMENTS_AT,
    SLOTS,
    TAG,
    TAGS_AT,
    entry_of,
    identity,
    is_whole,
    open_file,
    table_bytes,
    tag_of,
)

CHECK_EVERY: Final = 5.0
"""Seconds between looks whether the file was replaced, and between steps of forgetting."""
FORGET_AFTER: Final = 8
"""Half-lives, of the longest: less than half a percent of any sum is left, and what is left of a person goes."""
HASHED: Final = 4096
"""Keys whose hashes are remembered, a few hundred bytes each: an exchange notes the question, and then the answer."""
_STEP = 64
"""Buckets looked through in one step: all of them in about 20 minutes."""
_TRIES = 3
"""Reads of an entry that fails its CRC: writing one takes some nanoseconds."""


class SessionTable:
    """One worker's view of the table. For one thread. See `firedoor.ports.exchange.Sessions`.

    `counts` says what happened: ``begun_anew``, ``displaced``, ``lost`` (the file was gone or replaced while in use).
    """

    def __init__(self, path: Path, slot: int, key: bytes, rules: Mapping[Kind, Rules]) -> None:
        self._path = path
        self._slot = slot
        self._marks_at = SEGMENTS_AT + slot * SEGMENT + ENTRIES
        self._key = key
        self._hashed = lru_cache(HASHED)(partial(_Hashed.of, key))
        self._rules = rules
        self._keep_for = FORGET_AFTER * max(r.half_life for r in rules.values())
        self._map: mmap.mmap | None = None
        self._file = (0, 0, 0)
        self._tags = 0
        self._checked = 0.0
        self._bucket = 0
        self.counts: Counter[str] = Counter()

    @classmethod
    def open(cls, path: Path, slot: int, key: bytes, rules: Mapping[Kind, Rules] = RULES) -> SessionTable:
        """The table at `path` for the worker in `slot`, the only one that writes there; made if there is none.

        `key` (16 to 64 bytes) hides who is in it. Raises ValueError for a slot or key that cannot be, `SetupError` if
        the file can be neither used nor made: its whole size is taken from the disk here, never under a mapped write.
        """
        if not 0 <= slot < SLOTS or not 16 <= len(key) <= 64:
            raise ValueError("a slot from 0 to 63 and a key of 16 to 64 bytes")
        table = cls(path, slot, key, rules)
        try:
            table._open()
        except OSError as error:
            raise SetupError(
                f"The session table {path.name} cannot be used: {error.strerror}.",
                remedy=f"It needs {table_bytes(slot + 1) // 1_000_000} MB of disk and must belong to this user.",
            ) from error
        return table

    def note(self, keys: Iterable[Key], turn: Turn, now: float) -> Standing:
        """Add a turn to the sums of all its keys; what holds for them with it at `now`, Unix seconds."""
        self._look_after(now)
        found, harmless, trails = [], leaves_nothing(turn), follows(turn)
        for key in keys:
            rules, hashed = self._rules[key.kind], self._hashed(key)
            cells = self._cells(hashed, now, rules, trails=trails)
            if cells is None:
                if harmless:
                    continue
                cells = _Cells(Sums(now), None, None, None)
            half_life, elsewhere = rules.half_life, cells.elsewhere
            whole = cells.whole(half_life)
            known = None if elsewhere is None else merge(elsewhere, whole, half_life)
            own = note(whole, cells.own, turn, rules, known)
            if own != cells.own:
                self._keep(hashed, cells.way, own)
                whole = own if cells.others is None else merge(cells.others, own, half_life)
            found.append(ladder(key.kind, whole if elsewhere is None else merge(elsewhere, whole, half_life), rules))
        return worst(found) if found else OBSERVE

    def close(self) -> None:
        """Let go of the file. What is in it stays."""
        if self._map is not None:
            self._map.close()
        self._map = None

    # --- entries ------------------------------------------------------------------------------------------------------

    def _cells(self, hashed: _Hashed, now: float, rules: Rules, *, trails: bool) -> _Cells | None:
        """What the workers know of one key, as of `now`; None if nobody knows anything. Others' `trails` on request."""
        page = self._page()
        tags_at = TAGS_AT + hashed.bucket * ROW
        tags = page[tags_at : tags_at + self._tags]
        at = tags.find(hashed.tag)
        if at < 0:
            return None
        own: list[bytes] = []
        others: list[bytes] = []
        elsewhere: list[bytes] = []
        way = None
        while at >= 0:
            if at % TAG == 0:
                slot, number = divmod(at // TAG, WAYS)
                packed = self._read(slot, hashed.bucket * WAYS + number, hashed.digest)
                if packed is None:
                    pass
                elif slot == self._slot:
                    own, way = [packed], number
                elif slot < SLOTS:
                    others.append(packed)
                else:
                    elsewhere.append(packed)
            at = tags.find(hashed.tag, at + 1)
        half_life = rules.half_life
        rest = add_up(others, now, half_life, trails=trails) if others else None
        hosts = add_up(elsewhere, now, half_life, trails=trails) if elsewhere else None
        return _Cells(add_up(own, now, half_life, trails=True), rest, hosts, way)

    def _read(self, slot: int, index: int, digest: bytes | None) -> bytes | None:
        """The packed sums in an entry; None if it is not whole, or not of this key."""
        start = SEGMENTS_AT + slot * SEGMENT + index * ENTRY
        page = self._page()
        for _ in range(_TRIES):
            entry = page[start : start + ENTRY]
            if digest is not None and entry[8:24] != digest:
                return None
            if is_whole(entry):
                return entry[24:]
        return None

    def _own(self, bucket: int, way: int) -> Sums | None:
        """What lies in a place of the own segment, whosever it is; None if it is not whole."""
        packed = self._read(self._slot, bucket * WAYS + way, None)
        try:
            return None if packed is None else unpack(packed)
        except ValueError:
            return None

    def _keep(self, hashed: _Hashed, way: int | None, sums: Sums) -> None:
        """Write this worker's part of a key's sums; what is nothing is not kept."""
        if is_nothing(sums):
            if way is not None:
                self._empty(hashed.bucket, way)
            return
        self._put(hashed, way, sums)

    def _empty(self, bucket: int, way: int) -> None:
        page = self._page()
        at = TAGS_AT + bucket * ROW + self._slot * OWN_TAGS + way * TAG
        start = SEGMENTS_AT + self._slot * SEGMENT + (bucket * WAYS + way) * ENTRY
        page[at : at + TAG] = bytes(TAG)
        page[start : start + ENTRY] = bytes(ENTRY)
        self._mark(bucket)

    def _put(self, hashed: _Hashed, way: int | None, sums: Sums) -> None:
        page = self._page()
        tags_at = TAGS_AT + hashed.bucket * ROW + self._slot * OWN_TAGS
        if way is None:
            way = self._way(hashed.bucket, page[tags_at : tags_at + OWN_TAGS])
        start = SEGMENTS_AT + self._slot * SEGMENT + (hashed.bucket * WAYS + way) * ENTRY
        page[start : start + ENTRY] = entry_of(hashed.head + pack(sums))
        at = tags_at + way * TAG
        page[at : at + TAG] = hashed.tag  # after it: until then nobody looks for the new key here
        self._mark(hashed.bucket)

    def _mark(self, bucket: int) -> None:
        """Say that there is news in a bucket."""
        page, at = self._page(), self._marks_at + bucket
        page[at] = (page[at] + 1) & 0xFF

    def _way(self, bucket: int, tags: bytes) -> int:
        """Where in a bucket a new entry goes: a free place, or that of the entry with the smallest sums."""
        smallest, least = 0, float("inf")
        for way in range(WAYS):
            sums = self._own(bucket, way) if any(tags[way * TAG : (way + 1) * TAG]) else None
            if sums is None:
                return way
            if size(sums) < least:
                smallest, least = way, size(sums)
        self.counts["displaced"] += 1
        return smallest

    # --- the file -----------------------------------------------------------------------------------------------------

    def _look_after(self, now: float) -> None:
        """Every `CHECK_EVERY` seconds: another file in the place of this one is taken up; old entries go."""
        if 0 <= now - self._checked < CHECK_EVERY:
            return
        self._checked = now
        try:
            here = identity(self._path.stat())
        except OSError:
            here = (0, 0, 0)
        if here != self._file:
            if here[:2] != self._file[:2]:
                self.counts["lost"] += 1
            try:
                self._open()  # another file, or this one with room for one more worker
            except (OSError, ValueError):
                return  # go on with the one that is mapped
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Empty the places of own entries that have decayed, in the next few buckets."""
        page = self._page()
        for bucket in range(self._bucket, self._bucket + _STEP):
            at = TAGS_AT + bucket * ROW + self._slot * OWN_TAGS
            tags = page[at : at + OWN_TAGS]
            if not any(tags):
                continue
            for way in range(WAYS):
                if any(tags[way * TAG : (way + 1) * TAG]):
                    sums = self._own(bucket, way)
                    if sums is None or now - sums.at > self._keep_for:
                        self._empty(bucket, way)
        self._bucket = (self._bucket + _STEP) % BUCKETS

    def _open(self) -> None:
        """Map what is at the path now. Raises OSError."""
        opened = open_file(self._path, self._slot, self._key)
        if opened.begun_anew:
            self.counts["begun_anew"] += 1
        self.close()
        self._map, self._file, self._tags = opened.page, opened.file, opened.slots * OWN_TAGS

    def _page(self) -> mmap.mmap:
        page = self._map
        if page is None:
            raise ValueError("the session table is closed")
        return page


class _Cells(NamedTuple):
    """What is known of a key: this worker's part and where it lies, the sums of other workers and of other hosts."""

    own: Sums
    others: Sums | None
    elsewhere: Sums | None
    way: int | None

    def whole(self, half_life: float) -> Sums:
        """That of this host."""
        return self.own if self.others is None else merge(self.others, self.own, half_life)


class _Hashed(NamedTuple):
    """The beginning of a key's part, its hash, and where it lies."""

    head: bytes
    digest: bytes
    bucket: int
    tag: bytes

    @classmethod
    def of(cls, secret: bytes, key: Key) -> _Hashed:
        name = f"{key.kind}\0{key.name}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(name, key=secret, digest_size=HASH).digest()
        head = (KINDS.index(key.kind) + 1).to_bytes(4, "little") + digest
        return cls(head, digest, bucket_of(digest), tag_of(digest))
