"""What lies in the file of the answer cache: its tables, and how an entry is sealed into its place."""

from __future__ import annotations

import contextlib
import hmac
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from firedoor.core.cache import Partition, Source, canonical

PURPOSE: Final = "cache"
"""What the region's key for the cache is for: see `firedoor.keys.derive.SealingBox.subkey`."""
PAGES: Final = 524_288
"""Pages of 4 KiB: 2 GiB for one file. Behind it nothing is kept until something has left."""
VALUE_BYTES: Final = 256 * 1024
"""The longest value read from the file; ours are an answer (64 KiB) and a tag."""
NONCE_BYTES: Final = 12
VERSION: Final = 1

TABLES: Final = ("entries", "quarantined")
COLUMNS: Final = "key, created, expires, epoch, exchange, shop, surface, subject, session, sealed"
SELECT: Final = {table: f"SELECT id, {COLUMNS} FROM {table} WHERE " for table in TABLES}  # noqa: S608  # constants
INSERT: Final = {
    table: f"INSERT INTO {table} ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # constants
    for table in TABLES
}

_SCHEMA: Final = (
    *(
        f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, key BLOB NOT NULL{unique}, created INTEGER NOT NULL,"
        " expires INTEGER NOT NULL, epoch INTEGER NOT NULL, exchange TEXT NOT NULL, shop TEXT NOT NULL,"
        " surface TEXT NOT NULL, subject TEXT, session TEXT, sealed BLOB NOT NULL)"
        for table, unique in zip(TABLES, (" UNIQUE", ""), strict=True)
    ),
    *(
        f"CREATE INDEX {table}_{column.partition(',')[0]} ON {table} ({column})"
        for table in TABLES
        for column in ("exchange", "subject", "session", "expires", "epoch", "shop, surface, created")
    ),
    """CREATE TABLE counts (shop TEXT, surface TEXT, entries INTEGER, PRIMARY KEY (shop, surface)) WITHOUT ROWID""",
    """CREATE TRIGGER kept AFTER INSERT ON entries BEGIN
        INSERT INTO counts VALUES (new.shop, new.surface, 1) ON CONFLICT DO UPDATE SET entries = entries + 1; END""",
    """CREATE TRIGGER gone AFTER DELETE ON entries BEGIN
        UPDATE counts SET entries = entries - 1 WHERE shop = old.shop AND surface = old.surface; END""",
    f"PRAGMA user_version = {VERSION}",
)


class Entry(NamedTuple):
    """A row. Times are Unix seconds; `subject` and `session` are the look-up pseudonyms of who asked first."""

    id: int
    key: bytes
    created: int
    expires: int
    epoch: int
    exchange: str
    shop: str
    surface: str
    subject: str | None
    session: str | None
    sealed: bytes


class CacheKeys:
    """The keys of a region's cache, made from its 32-byte `secret`: places, seals, and the seal of the quarantine."""

    def __init__(self, secret: bytes) -> None:
        self.lookup = hmac.digest(secret, b"lookup", "sha256")
        self._seal = hmac.digest(secret, b"seal", "sha256")
        self._quarantine = hmac.digest(secret, b"quarantine", "sha256")

    def seal(self, key: bytes, data: bytes, partition: Partition, source: Source, created: int, expires: int) -> Entry:
        """The row that keeps `data` under `key`."""
        entry = Entry(
            0, key, created, expires, partition.cache_epoch, source.exchange, partition.shop, partition.surface,
            source.subject, source.session, b"",
        )  # fmt: skip
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher(self._seal, key).encrypt(nonce, data, _bound(entry, partition))
        return entry._replace(sealed=nonce + sealed)

    def open(self, entry: Entry, partition: Partition) -> str:
        """The answer. Raises InvalidTag, ValueError or TypeError if it is not one that was kept here."""
        nonce, sealed = entry.sealed[:NONCE_BYTES], entry.sealed[NONCE_BYTES:]
        return (
            self._cipher(self._seal, entry.key)
            .decrypt(nonce, sealed, _bound(entry, partition))
            .decode("utf-8", "surrogatepass")
        )

    def seal_again(self, entry: Entry) -> bytes:
        """The seal that a quarantined entry gets over its own: moved back into its place it does not open."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(self._quarantine, entry.key).encrypt(nonce, entry.sealed, entry.key)

    def _cipher(self, key: bytes, place: bytes) -> AESGCM:
        """A key for each place: the nonces of one never reach the number at which two may be equal."""
        return AESGCM(hmac.digest(key, place, "sha256"))


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """A connection to the cache, which is made if the file is empty. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=patience, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip
    try:
        connection.text_factory = _text
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
        for pragma in (
            "trusted_schema = OFF",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "secure_delete = ON",
            f"max_page_count = {PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        if _version(connection) == 0:
            with transaction(connection):
                if _version(connection) == 0:
                    for statement in _SCHEMA:
                        connection.execute(statement)
        if _version(connection) != VERSION:
            raise sqlite3.DatabaseError("made by another version")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing. Raises `sqlite3.Error`."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def move_to_quarantine(writer: sqlite3.Connection, entry: Entry, keys: CacheKeys) -> None:
    """Take the entry from those that are served, and keep it under a second seal. Inside a transaction."""
    moved = entry._replace(sealed=keys.seal_again(entry))
    writer.execute(INSERT["quarantined"], moved[1:])
    writer.execute("DELETE FROM entries WHERE id = ?", (entry.id,))


def _bound(entry: Entry, partition: Partition) -> bytes:
    """What is authenticated with the answer: where it belongs and all that stands in clear."""
    return canonical(partition) + b"\n" + canonical(entry[1:-1])


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _text(data: bytes) -> str:
    """Text that somebody broke is read all the same: its entry does not open, and that is what is to be found."""
    return data.decode("utf-8", "replace")
