"""The answer cache of a region's host: one SQLite file that all its gateway workers share.

Each entry is sealed (AES-256-GCM) under a key of its own, made from the region's key and the entry's place; its
partition, its place and every column that stands in clear are bound to it. So an entry that was copied to another
place, altered, or made by anybody else does not open: that is found, and the entry is gone. The columns in clear are
what a purge needs: times, the exchange, shop and surface, pseudonyms.

A file that is locked, damaged or gone is a miss and never an error.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag

from firedoor.core.cache import MAX_ANSWER, Found, Partition, Poisoned, Source, key_of
from firedoor.core.plan.model import CacheRules
from firedoor.store.cache_rows import INSERT, SELECT, CacheKeys, Entry, connect, move_to_quarantine, transaction

log = logging.getLogger("firedoor.cache")

BUSY: Final = 0.02
"""Seconds to wait for another worker's write, which takes a tenth of a millisecond. A shopper must not wait longer."""
OPENING: Final = 1.0
"""Seconds to wait for another worker that makes the file at the same time."""
AGAIN: Final = 5.0
"""Seconds between attempts to open a file that could not be opened."""
SWEEP: Final = 64
"""Entries whose time is over that go with each new one: they leave faster than others come, and nobody waits for it."""
SEALING: Final = 600
"""Seconds that entries of an earlier cache epoch stay in the file, given to nobody: what began the new epoch may be a
leak, and its case puts them into the evidence first."""
EVICT: Final = 256
"""Entries that make room for one: more than one only when the plan allows fewer than before."""
_FIND: Final = SELECT["entries"] + "key = ?"
_SWEEP_TIME: Final = "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires <= ? LIMIT ?)"
_SWEEP_EPOCH: Final = "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE epoch < ? LIMIT ?)"
_EXCHANGE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CacheFile:
    """See `firedoor.ports.exchange.Cache`. `secret` is the region's 32-byte key for this use.

    `find` is for one thread, the event loop's; `keep` and `set_aside` may be called from others.
    """

    def __init__(self, path: Path, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._keys = CacheKeys(secret)
        self._clock = clock
        self._lock = threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._closed = False
        self._next_try = 0.0
        self._epoch, self._epoch_since = -1, 0
        self._open(OPENING)

    def find(self, partition: Partition, request: Mapping[str, Any]) -> Found | Poisoned | None:
        """See the port. One look at one index, whatever is in the file."""
        key = key_of(partition, request, self._keys.lookup)
        row = None
        with self._survived():
            if self._ready() and self._reader is not None:
                row = self._reader.execute(_FIND, (key,)).fetchone()
        if row is None:
            return None
        entry = Entry(*row)
        try:
            text = self._keys.open(entry, partition)
        except (InvalidTag, ValueError, TypeError):
            self._remove(entry)
            return Poisoned(entry.exchange if _is_exchange(entry.exchange) else "")
        if not entry.created <= self._clock() < entry.expires:
            return None
        return Found(text, entry.exchange, entry.created)

    def keep(
        self, partition: Partition, request: Mapping[str, Any], text: str, source: Source, rules: CacheRules
    ) -> bool:
        """See the port."""
        data = text.encode("utf-8", "surrogatepass")
        if not data or len(data) > MAX_ANSWER:
            return False
        key = key_of(partition, request, self._keys.lookup)
        now = int(self._clock())
        entry = self._keys.seal(key, data, partition, source, now, now + max(1, int(rules.ttl)))
        with self._survived(), self._writing() as writer:
            _sweep(writer, now, self._sealed_epoch(partition.cache_epoch, now))
            writer.execute("DELETE FROM entries WHERE key = ?", (key,))
            writer.execute(INSERT["entries"], entry[1:])
            _make_room(writer, entry.shop, entry.surface, rules.entries)
            return True
        return False

    def set_aside(self, partition: Partition, request: Mapping[str, Any]) -> bool:
        """See the port."""
        key = key_of(partition, request, self._keys.lookup)
        with self._survived(), self._writing() as writer:
            row = writer.execute(_FIND, (key,)).fetchone()
            if row is not None:
                move_to_quarantine(writer, Entry(*row), self._keys)
            return row is not None
        return False

    def close(self) -> None:
        """See the port."""
        with self._lock:
            self._closed = True
            self._drop()

    def _sealed_epoch(self, epoch: int, now: int) -> int:
        """Before which epoch entries may leave: `epoch`, once it has held for `SEALING`. The lock is held."""
        if epoch > self._epoch:
            self._epoch, self._epoch_since = epoch, now
        return epoch if now - self._epoch_since >= SEALING else 0

    # --- the file -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _survived(self) -> Iterator[None]:
        """Whatever the file or the disk does, the exchange goes on."""
        try:
            yield
        except (sqlite3.Error, OSError, TypeError, ValueError) as error:  # the last two: a table of somebody else's
            if not _is_busy(error):
                log.warning(
                    "the answer cache cannot be used: %s", getattr(error, "sqlite_errorname", type(error).__name__)
                )
                with self._lock:
                    self._drop()
                    self._next_try = time.monotonic() + AGAIN

    def _ready(self) -> bool:
        """Whether there is a file to look into. One that was replaced is opened anew: what was open is nobody's now."""
        with contextlib.suppress(FileNotFoundError):
            status = self._path.stat()
            if (status.st_dev, status.st_ino) == self._inode:
                return True
        if self._closed or time.monotonic() < self._next_try or not self._lock.acquire(blocking=False):
            return False
        try:
            self._open(BUSY)
        finally:
            self._lock.release()
        return self._reader is not None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that may write; nothing is done if the file cannot be had."""
        with self._lock:
            if not self._ready() or self._writer is None:
                raise FileNotFoundError
            with transaction(self._writer):
                yield self._writer

    def _open(self, patience: float) -> None:
        with self._lock, self._survived():
            self._drop()
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would use the umask
            status = self._path.stat()
            self._writer = connect(self._path, patience)
            self._reader = connect(self._path, patience)
            for connection in (self._writer, self._reader):
                connection.execute(f"PRAGMA busy_timeout = {int(BUSY * 1000)}")
            self._inode = status.st_dev, status.st_ino

    def _drop(self) -> None:
        reader, writer, self._reader, self._writer, self._inode = self._reader, self._writer, None, None, None
        for connection in (reader, writer):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def _remove(self, entry: Entry) -> None:
        with self._survived(), self._writing() as writer:
            writer.execute("DELETE FROM entries WHERE id = ? AND key = ?", (entry.id, entry.key))


def _sweep(writer: sqlite3.Connection, now: int, epoch: int) -> None:
    writer.execute(_SWEEP_TIME, (now, SWEEP))
    writer.execute(_SWEEP_EPOCH, (epoch, SWEEP))


def _make_room(writer: sqlite3.Connection, shop: str, surface: str, entries: int) -> None:
    """The oldest go. Only this shop's on this surface: nobody pushes out what is another shop's."""
    (count,) = writer.execute("SELECT entries FROM counts WHERE shop = ? AND surface = ?", (shop, surface)).fetchone()
    if count > entries:
        writer.execute(
            "DELETE FROM entries WHERE id IN"
            " (SELECT id FROM entries WHERE shop = ? AND surface = ? ORDER BY created, id LIMIT ?)",
            (shop, surface, min(count - entries, EVICT)),
        )


def _is_exchange(value: object) -> bool:
    return isinstance(value, str) and _EXCHANGE.fullmatch(value) is not None


def _is_busy(error: Exception) -> bool:
    if isinstance(error, FileNotFoundError):  # it is opened again with the next look
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
