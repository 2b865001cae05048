"""The one connection through which a region's control writes its state: to a SQLite file, or to PostgreSQL.

On PostgreSQL control may run on two hosts, and only one of them may write. That one holds an advisory lock of its
session: it ends with the session, and PostgreSQL ends the session when its process dies, when its host does not answer
(keep-alives), and when it asks nothing for `LEASE` (a process that hangs). So control asks twice a second.

A server that hangs must not hang control: what takes longer than `ANSWER` is ended from this side, at the socket.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from firedoor.errors import SetupError, StateBusy, StateUnavailable
from firedoor.store.state import set_aside
from firedoor.store.state_connect import lock_file, postgres, told, writer

CONNECT: Final = 2
"""Seconds for a connection to PostgreSQL; fewer are not possible."""
ANSWER: Final = 2.0
"""Seconds for PostgreSQL to carry out a save. It takes milliseconds."""
FRESH: Final = 5.0
"""Seconds for which it counts that PostgreSQL was asked: an answer that does not come, and a connection on top."""
LEASE: Final = FRESH + 1
"""Seconds after which PostgreSQL lets go of a control that asked nothing: nobody takes over while it is `FRESH`."""
WAIT: Final = 0.5
"""Seconds to wait for the connection while another thread of this process uses it."""
OLDEST: Final = 14
"""The PostgreSQL release that brought `idle_session_timeout`."""

_SECONDS: Final = f"{LEASE:g}s"
_SETTINGS: Final = {
    "idle_session_timeout": _SECONDS,
    "idle_in_transaction_session_timeout": _SECONDS,
    "statement_timeout": f"{ANSWER:g}s",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": f"{int(LEASE * 1000)}",
}
"""Of the session, on the server's side."""
_HOLDER: Final = sa.text(
    "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database() "
    "AND l.database = a.datid AND (l.classid::bigint << 32) | l.objid::bigint = :key"
)


class SqliteSide:
    """A SQLite file, locked for this process until closed. A file that was taken away is made again."""

    dialect: Final = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = -1
        self._engine: sa.Engine | None = None
        self._file = (0, 0)

    def claim(self, connection: sa.Connection) -> None:
        """The file's lock is enough."""

    @contextlib.contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """Raises `StateBusy` if another process has the file, `StateUnavailable`, `StateDamaged`."""
        if self._lock < 0:
            self._lock = lock_file(self._path)
        if self._engine is None or self._identity() != self._file:
            self._dispose()
            self._engine = writer(self._path)
            self._file = self._identity()
        with told(), self._engine.connect() as connection:
            yield connection

    def set_aside(self) -> bool:
        """Rename the file. Raises OSError."""
        self._dispose()
        set_aside(self._path)
        return True

    def close(self) -> None:
        """Let another process write."""
        self._dispose()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _identity(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0
        return found.st_dev, found.st_ino

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


class PostgresSide:
    """A PostgreSQL database, in which this process alone may write while it holds the region's lock."""

    dialect: Final = "postgresql"

    def __init__(self, url: str, region: str) -> None:
        self._key = int.from_bytes(hashlib.sha256(b"firedoor/control/" + region.encode()).digest()[:8], signed=True)
        self._name = f"firedoor control {secrets.token_hex(8)}"
        self._engine = postgres(
            url,
            connect_args={
                "connect_timeout": CONNECT,
                "application_name": self._name,
                "keepalives_idle": 1,
                "keepalives_interval": 1,
                "keepalives_count": 3,
                "tcp_user_timeout": int(ANSWER * 1000),
            },
        )

    def claim(self, connection: sa.Connection) -> None:
        """Take the region's lock in a new session. Raises `StateBusy` while another process has it."""
        if connection.dialect.server_version_info < (OLDEST,):  # type: ignore[operator]
            raise SetupError(f"The state database needs PostgreSQL {OLDEST} or newer.")
        connection.execute(sa.select(*(sa.func.set_config(name, value, False) for name, value in _SETTINGS.items())))
        if connection.scalar(sa.func.current_setting("synchronous_commit")) == "off":
            connection.execute(sa.select(sa.func.set_config("synchronous_commit", "on", False)))
        connection.commit()
        if not self._lock(connection) and not (self._end_own_old(connection) and self._lock(connection)):
            raise StateBusy("Another control process of the region is running.")

    @contextlib.contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """For `ANSWER` at the longest. Raises `StateUnavailable`, `StateDamaged`."""
        with told(), self._engine.connect() as connection, _no_longer_than(ANSWER, connection):
            yield connection

    def set_aside(self) -> bool:
        """Nothing: the tables of others are in the same database."""
        return False

    def close(self) -> None:
        """End the session, and with it the lock."""
        self._engine.dispose()

    def _lock(self, connection: sa.Connection) -> bool:
        taken = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(self._key))))
        connection.commit()
        return taken

    def _end_own_old(self, connection: sa.Connection) -> bool:
        """After a broken connection the server may still hold our own session for alive. True if it was that."""
        key = self._key & 0xFFFF_FFFF_FFFF_FFFF
        key -= (key >> 63) << 64  # as the shifted bigint of the query
        holder = connection.execute(_HOLDER, {"key": key}).first()
        if holder is None or holder.application_name != self._name:
            return False
        wait_ms = int(WAIT * 1000)
        return bool(connection.scalar(sa.select(sa.func.pg_terminate_backend(holder.pid, wait_ms))))


def side(where: Path | str, region: str) -> SqliteSide | PostgresSide:
    """`where` is a SQLite file or a ``postgresql://`` URL. Raises `SetupError`."""
    return SqliteSide(where) if isinstance(where, Path) else PostgresSide(where, region)


@contextlib.contextmanager
def _no_longer_than(seconds: float, connection: sa.Connection) -> Iterator[None]:
    """End the connection at its socket if the block takes longer: whoever waits in it then gets an error."""
    driver: Any = connection.connection.driver_connection
    try:
        end = socket.socket(fileno=os.dup(driver.fileno()))
    except Exception as error:  # psycopg's, of a connection that is no more
        connection.invalidate()
        raise StateUnavailable("The connection to PostgreSQL was lost.") from error
    closing = threading.Lock()

    def cut() -> None:
        with closing, contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with closing:
            end.close()
