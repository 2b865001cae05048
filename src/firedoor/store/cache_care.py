"""What operators and erasures do to the answer cache of a host: look, purge, put in quarantine.

A purge needs no key. Workers that have the file open see it at once: it is done in the file, in one transaction.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from firedoor.core.cache import Chosen
from firedoor.errors import StateDamaged, StateUnavailable
from firedoor.store.cache_rows import SELECT, CacheKeys, Entry, connect, move_to_quarantine, transaction

PATIENCE: Final = 10.0
"""Seconds to wait for workers' writes. They come by the hundred, each of a tenth of a millisecond."""
BATCH: Final = 500
"""Entries that are sealed anew at a time, so that memory stays bounded."""

Where = Literal["served", "quarantined", "both"]
_TABLES: Final[dict[Where, tuple[str, ...]]] = {
    "served": ("entries",),
    "quarantined": ("quarantined",),
    "both": ("entries", "quarantined"),
}


class Held(Struct, frozen=True, kw_only=True):
    """Entries of one surface of one shop: those that may be served, those whose time is over, those in quarantine."""

    shop: str
    surface: str
    served: int
    over: int
    quarantined: int


def status(path: Path, *, epoch: int, now: float) -> list[Held]:
    """What the cache holds, by shop and surface. `epoch` is the switch table's: entries of an earlier one are over.

    Raises `StateUnavailable`, `StateDamaged`.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    with _opened(path) as connection:
        if connection is None:
            return []
        for place, query in enumerate(_COUNT):
            values = {"now": now, "epoch": epoch}
            for shop, surface, count in connection.execute(query, values):
                counts.setdefault((str(shop), str(surface)), [0, 0, 0])[place] = count
    return [
        Held(shop=shop, surface=surface, served=served, over=over, quarantined=quarantined)
        for (shop, surface), (served, over, quarantined) in sorted(counts.items())
    ]


_COUNT: Final = (
    "SELECT shop, surface, count(*) FROM entries WHERE expires > :now AND epoch >= :epoch GROUP BY shop, surface",
    "SELECT shop, surface, count(*) FROM entries WHERE expires <= :now OR epoch < :epoch GROUP BY shop, surface",
    "SELECT shop, surface, count(*) FROM quarantined GROUP BY shop, surface",
)


def purge(path: Path, chosen: Chosen, where: Where = "served") -> int:
    """Delete the chosen entries; how many. They are overwritten in the file. `Chosen()` is all of them.

    Durable on return. Raises `StateUnavailable`, `StateDamaged`.
    """
    conditions, values = _conditions(chosen)
    gone = 0
    with _opened(path) as connection:
        if connection is None:
            return 0
        with transaction(connection):
            for table in _TABLES[where]:
                gone += connection.execute(f"DELETE FROM {table} WHERE {conditions}", values).rowcount  # noqa: S608
        # What was deleted still stands in the log of the file until that is written back and cut off.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return gone


def sweep(path: Path, now: float) -> int:
    """Delete the entries whose time is over; how many. Raises `StateUnavailable`, `StateDamaged`."""
    with _opened(path) as connection:
        if connection is None:
            return 0
        with transaction(connection):
            return connection.execute("DELETE FROM entries WHERE expires <= ?", (now,)).rowcount


def quarantine(path: Path, chosen: Chosen, secret: bytes) -> int:
    """Serve the chosen entries no more, and keep them sealed for evidence; how many. `secret` is the cache's key.

    Durable on return. Raises `StateUnavailable`, `StateDamaged`.
    """
    conditions, values = _conditions(chosen)
    keys = CacheKeys(secret)
    moved = 0
    with _opened(path) as connection:
        if connection is None:
            return 0
        while True:
            with transaction(connection):
                query = f"{SELECT['entries']} {conditions} LIMIT {BATCH}"
                rows = connection.execute(query, values).fetchall()
                for row in rows:
                    move_to_quarantine(connection, Entry(*row), keys)
            moved += len(rows)
            if len(rows) < BATCH:
                return moved


def discard(path: Path) -> None:
    """Remove a file that cannot be read, with what belongs to it. Workers make a new one. Raises OSError."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def _conditions(chosen: Chosen) -> tuple[str, list[object]]:
    """SQL of fixed words and the values for it."""
    parts, values = ["1 = 1"], list[object]()
    for column, wanted in (
        ("exchange", chosen.exchanges),
        ("subject", chosen.subjects),
        ("session", chosen.sessions),
    ):
        if wanted:
            parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    for condition, value in (
        ("shop = ?", chosen.shop),
        ("surface = ?", chosen.surface),
        ("created >= ?", chosen.since),
        ("created < ?", chosen.until),
        ("epoch < ?", chosen.before_epoch),
    ):
        if value is not None:
            parts.append(condition)
            values.append(value)
    return " AND ".join(parts), values


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection whose commits are on the disk; None without a file. Raises `StateUnavailable`, `StateDamaged`."""
    if not path.exists():
        yield None
        return
    try:
        connection = connect(path, PATIENCE)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
        finally:
            connection.close()
    except (sqlite3.Error, TypeError, ValueError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FOR_NOW:
            raise StateUnavailable(
                f"{path.name} cannot be written now ({getattr(error, 'sqlite_errorname', '')}).",
                remedy="Check disk and rights, and run it again.",
            ) from None
        raise StateDamaged(
            f"{path.name} is damaged: nothing in it is served.",
            remedy="Remove all of it: `firedoor cache purge --all`.",
        ) from None


_FOR_NOW: Final = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
}  # fmt: skip
