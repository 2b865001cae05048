"""What a snapshot takes of files that change all the time: answers that are kept, and sums of sessions. Only reads.

Both stay as they are sealed or hashed in their files: nothing is opened here, and no key is needed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from firedoor.core.sessionnews import BUCKETS, WAYS
from firedoor.errors import StateDamaged, StateUnavailable
from firedoor.store.cache_rows import COLUMNS, TABLES, VALUE_BYTES
from firedoor.store.sessionfile import ENTRY, HOSTS, OWN_TAGS, ROW, SEGMENT, SEGMENTS_AT, SLOTS, TAG, TAGS_AT, is_whole

ANSWERS: Final = 10_000
"""Entries of the cache that are listed, about 500 bytes each; beyond that they are counted."""
ANSWER_BYTES: Final = 4 * 1024 * 1024
"""Bytes of sealed answers that are taken along: thousands of usual ones. Of others the SHA-256 is listed. A snapshot is
sealed by the process that keeps the switches, which stands still for some 10 ms for each megabyte."""
SUMS: Final = 10_000
"""Entries of the session table that are taken, 184 bytes each. A turn that leaves nothing behind is in none."""
_BUSY: Final = 0.2
"""Seconds to wait for a worker that writes."""
_EMPTY: Final = bytes(ROW)


class Taken(NamedTuple):
    """What was taken, how many there were, and how many of them are not whole in it."""

    items: list[dict[str, Any]]
    there: int
    cut: int


def kept_answers(
    path: Path, exchanges: Collection[str], places: Collection[tuple[str, str]], go_on: Callable[[], bool]
) -> Taken:
    """The entries of an answer cache, as sealed, those of `exchanges` and `places` first, the newest before others.

    `places` are shops and surfaces, ``*`` for all. Taking ends when `go_on` says so; what is left is counted. Raises
    `StateUnavailable`, `StateDamaged`.
    """
    if not path.exists():
        return Taken([], 0, 0)
    try:
        connection = _cache(path)
        try:
            connection.execute("BEGIN")
            there = sum(int(connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0]) for t in TABLES)  # noqa: S608
            items: list[dict[str, Any]] = []
            left, cut = ANSWER_BYTES, 0
            for table, row in _rows(connection, exchanges, places):
                if len(items) >= ANSWERS or not go_on():
                    break
                item, whole = _answer(table, row, left)
                left -= len(row[-1]) if whole else 0
                cut += not whole
                items.append(item)
            return Taken(items, there, cut + there - len(items))
        finally:
            connection.close()
    except (sqlite3.Error, TypeError, ValueError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
            raise StateUnavailable(f"{path.name} cannot be read now.") from None
        raise StateDamaged(f"{path.name} is damaged.") from None


def session_sums(path: Path, go_on: Callable[[], bool]) -> Taken:
    """The entries of a session table that are not empty: hashed keys and sums, with the place where they lie.

    Raises OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return Taken([], 0, 0)
    try:
        items: list[dict[str, Any]] = []
        there = cut = 0
        for slot, bucket, way in _used(descriptor):
            there += 1
            if len(items) >= SUMS or not go_on():
                continue
            entry = os.pread(descriptor, ENTRY, SEGMENTS_AT + slot * SEGMENT + (bucket * WAYS + way) * ENTRY)
            if is_whole(entry) and len(entry) == ENTRY:
                items.append({"slot": slot, "bucket": bucket, "way": way, "entry": _base64(entry)})
            else:  # written at this moment, or by a worker that was killed: it counts for nothing
                cut += 1
        return Taken(items, there, there - len(items))
    finally:
        os.close(descriptor)


def _used(descriptor: int) -> Iterator[tuple[int, int, int]]:
    """Slot, bucket and way of every entry that is there."""
    tags = os.pread(descriptor, BUCKETS * ROW, TAGS_AT)
    for bucket in range(len(tags) // ROW):
        row = tags[bucket * ROW : (bucket + 1) * ROW]
        if row == _EMPTY:
            continue
        for slot in range(SLOTS + HOSTS):
            own = row[slot * OWN_TAGS : (slot + 1) * OWN_TAGS]
            for way in range(WAYS):
                if own[way * TAG : (way + 1) * TAG] != bytes(TAG):
                    yield slot, bucket, way


def _cache(path: Path) -> sqlite3.Connection:
    """Read-only. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=_BUSY, isolation_level=None
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection


def _rows(
    connection: sqlite3.Connection, exchanges: Collection[str], places: Collection[tuple[str, str]]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """All rows of all tables, those asked for first."""
    parts, values = ["0"], list[object]()
    if exchanges:
        parts.append(f"exchange IN ({', '.join('?' * len(exchanges))})")
        values += exchanges
    for shop, surface in places:
        parts.append("(? IN ('*', shop) AND ? IN ('*', surface))")
        values += [shop, surface]
    asked = " OR ".join(parts)
    for condition in (asked, f"NOT ({asked})"):
        for table in TABLES:
            query = f"SELECT {COLUMNS} FROM {table} WHERE {condition} ORDER BY id DESC"  # noqa: S608  # fixed words
            for row in connection.execute(query, values):
                yield table, row


def _answer(table: str, row: tuple[Any, ...], left: int) -> tuple[dict[str, Any], bool]:
    """A row as it stands, with its sealed bytes if they find room."""
    key, created, expires, epoch, exchange, shop, surface, subject, session, sealed = row
    item = {
        "table": table, "key": key.hex(), "created": created, "expires": expires, "cache_epoch": epoch,
        "exchange": exchange, "shop": shop, "surface": surface, "subject": subject, "session": session,
        "bytes": len(sealed), "sha256": hashlib.sha256(sealed).hexdigest(),
    }  # fmt: skip
    whole = len(sealed) <= left
    return ({**item, "sealed": _base64(sealed)} if whole else item), whole


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
