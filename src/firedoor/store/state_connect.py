"""Connections to a region's state database, for its one writer and for readers; its errors as ours."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import QueuePool

from firedoor.errors import FiredoorError, SetupError, StateBusy, StateDamaged, StateUnavailable

BUSY: Final = 5.0
"""Seconds to wait for another connection's lock. Readers hold none in WAL mode; a backup tool may for a moment."""

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_WRITER_LOCK: Final = 0x66646F6F72
"""Key of the advisory lock that the writer holds on PostgreSQL: ``fdoor`` in ASCII. Hosts have keys of their own."""
BINARY: Final = "firedoor_binary"
"""Execution option of a statement whose rows a reader of PostgreSQL takes in binary form."""
SCHEMA_PREFIX: Final = "firedoor_"
"""With what the names of hosts' schemas begin."""


def schema_of(host: str) -> str:
    """The PostgreSQL schema in which a host keeps its part: its name, and what tells long ones apart (63 bytes)."""
    return f"{SCHEMA_PREFIX}{host[:37]}_{hashlib.sha256(host.encode()).hexdigest()[:16]}"


def writer(where: Path | str, host: str | None = None) -> sa.Engine:
    """One connection that may write. A SQLite file is made if there is none; its lock is the caller's.

    With a `host` it writes in the schema of that host, beside those of others. Raises `SetupError`,
    `StateUnavailable`; the engine raises `StateBusy` if another process writes there on PostgreSQL.
    """
    if isinstance(where, str):
        engine = _postgres(where)
        sa.event.listen(engine, "connect", lambda connection, _: _begin_writing(connection, host))
        return engine
    try:
        os.close(os.open(where, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would use the umask
    except OSError as error:
        raise StateUnavailable(f"{where.name} cannot be opened: {error.strerror}.") from error
    engine = _sqlite(where, "rw")
    sa.event.listen(engine, "connect", _set_pragmas)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def reader(where: Path | str) -> sa.Engine:
    """One connection to read with: a SQLite file is opened read-only. Raises `SetupError`."""
    if isinstance(where, str):
        engine = _postgres(where)
        sa.event.listen(engine, "before_cursor_execute", _choose_format)
        return engine
    engine = _sqlite(where, "ro")
    sa.event.listen(engine, "connect", _set_cache)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _sqlite(path: Path, mode: str) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}",
            uri=True,
            timeout=BUSY,
            isolation_level=None,
            check_same_thread=False,
        )

    return sa.create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True
    )


def _set_pragmas(connection: Any, _: Any) -> None:
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
    _set_cache(connection, None)


def _set_cache(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA cache_size=-65536").close()  # KiB: the upper pages of all indexes


def _postgres(url: str) -> sa.Engine:
    return postgres(url, pool_pre_ping=True, connect_args={"connect_timeout": 5, "application_name": "firedoor"})


def postgres(url: str, **options: Any) -> sa.Engine:
    """An engine of one connection, with what `sqlalchemy.create_engine` takes besides. Raises `SetupError`."""
    try:
        importlib.import_module("psycopg")
    except ImportError as error:
        raise SetupError(
            "The package for PostgreSQL is not installed.", remedy='Run pip install "firedoor[postgres]".'
        ) from error
    try:
        parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
    except (exc.ArgumentError, ValueError):
        raise SetupError("`state` is not a postgresql:// URL.", remedy="Correct it in the plan.") from None
    return sa.create_engine(parsed, pool_size=1, max_overflow=0, hide_parameters=True, **options)


def _choose_format(_: Any, cursor: Any, __: str, ___: Any, context: Any, ____: bool) -> None:
    """Rows of bytes come as they are, and not as text of twice the length, where the statement asks for it."""
    if context.execution_options.get(BINARY):
        cursor.format = 1


def _begin_writing(connection: Any, host: str | None) -> None:
    """One writer; a lock of the session, so that it ends with the connection and is taken again by the next."""
    key = _WRITER_LOCK
    if host is not None:
        key = int.from_bytes(hashlib.sha256(b"firedoor/index/" + host.encode()).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (key,))
        taken = cursor.fetchone()[0]
        if taken and host is not None:
            cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema_of(host)}"')
            cursor.execute(f'SET search_path TO "{schema_of(host)}"')
    connection.commit()
    if not taken:
        raise _busy("The state database")


def lock_file(path: Path) -> int:
    """The descriptor that holds the writer's lock of a SQLite file. Raises `StateBusy`, `StateUnavailable`."""
    try:
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateUnavailable(f"{path.name} cannot be locked: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise _busy(path.name) from error
    return lock


def _busy(what: str) -> StateBusy:
    return StateBusy(f"{what} is written by another process.", remedy="One process writes it: is the agent running?")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """The database's errors as ours, without their text: it may quote values."""
    try:
        yield
    except (exc.DBAPIError, sqlite3.Error) as error:
        raise _as_ours(error) from None
    except exc.TimeoutError:
        raise StateUnavailable("The state database is in use by this process.") from None


def _as_ours(error: exc.DBAPIError | sqlite3.Error) -> FiredoorError:
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        name = getattr(cause, "sqlite_errorname", type(cause).__name__)
        if code in _CORRUPT or "no such table" in str(cause):
            return StateDamaged(
                f"The state database is damaged ({name}).", remedy="The agent makes it again from the evidence."
            )
        return StateUnavailable(f"The state database cannot be used now ({name}).", remedy="Check disk and rights.")
    state = getattr(cause, "sqlstate", None)
    if state is not None and state[:2] == "XX":  # internal error, data corrupted, index corrupted
        return StateDamaged(f"The state database is damaged ({state}).", remedy="Restore it in PostgreSQL.")
    name = f"SQLSTATE {state}" if state else type(cause).__name__
    return StateUnavailable(f"The state database cannot be used now ({name}).", remedy="Is PostgreSQL running?")
