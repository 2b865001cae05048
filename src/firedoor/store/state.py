"""The state database of a region: a SQLite file, or a PostgreSQL database, with one writing process.

One database holds one region: its name is written into it, and another region's is refused. SQLite runs in WAL mode
with `synchronous=FULL`; the writer's one connection alone checkpoints (releases before 3.51.3 can lose the WAL's reset
when two connections do), and all others open the file read-only.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc
from sqlalchemy.pool import QueuePool

from firedoor.errors import FiredoorError, SetupError, StateBusy, StateDamaged, StateUnavailable

BUSY: Final = 5.0
"""Seconds to wait for another connection's lock. Readers hold none in WAL mode; a backup tool may for a moment."""
DAMAGED: Final = ".damaged"
"""Appended to the name of a SQLite file that was set aside. One is kept, to be looked at."""

_SETTINGS = sa.Table(
    "settings", sa.MetaData(), sa.Column("name", sa.String(40), primary_key=True), sa.Column("value", sa.String(200))
)
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_WRITER_LOCK: Final = 0x66646F6F72
"""Key of the advisory lock that the writer holds on PostgreSQL: ``fdoor`` in ASCII."""


class State:
    """An open database. `writing` and `reading` raise `StateUnavailable` and `StateDamaged`, also from within."""

    def __init__(self, engine: sa.Engine, region: str, *, writable: bool, lock: int = -1) -> None:
        self.region = region
        self.writable = writable
        self._engine = engine
        self._lock = lock

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction: durable on leaving, undone by an exception."""
        if not self.writable:
            raise ValueError("this state was opened for reading")
        with _told(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A snapshot: all statements see the same."""
        with _told(), self._engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def wipe_traces(self, table: str) -> bool:
        """Make deleted values of `table` unreadable in the files: SQLite empties its WAL, PostgreSQL vacuums.

        False if a reader kept an old state alive meanwhile: then it must be done again.
        """
        with _told(), contextlib.closing(self._engine.raw_connection()) as pooled:
            connection: Any = pooled.driver_connection  # neither may stand in a transaction
            if self.dialect == "sqlite":
                return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0] == 0)
            connection.autocommit = True
            try:
                connection.execute(f"VACUUM {self._engine.dialect.identifier_preparer.quote(table)}")
            finally:
                connection.autocommit = False
            return True

    def setting(self, connection: sa.Connection, name: str) -> str | None:
        """A value that holds for the whole database, None if it was never set."""
        value = connection.scalar(sa.select(_SETTINGS.c.value).where(_SETTINGS.c.name == name))
        return None if value is None else str(value)

    def set(self, connection: sa.Connection, name: str, value: str) -> None:
        """Keep `value` (at most 200 characters) under `name`."""
        changed = connection.execute(_SETTINGS.update().where(_SETTINGS.c.name == name).values(value=value))
        if not changed.rowcount:
            connection.execute(_SETTINGS.insert().values(name=name, value=value))

    def close(self) -> None:
        """Let go of the database, and of the writer's lock."""
        self._engine.dispose()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def open_state(where: Path | str, region: str) -> State:
    """Open for writing: make it if it is not there, bring an older one up to date.

    `where` is a SQLite file or a ``postgresql://`` URL. Raises `SetupError` for another region's, a newer release's, or
    one that another process writes; `StateUnavailable`; `StateDamaged`.
    """
    lock = -1
    if isinstance(where, Path):
        lock = _lock_file(where)
    try:
        engine = _writer(where)
        try:
            state = State(engine, region, writable=True, lock=lock)
            with state.writing() as connection:
                _migrate(connection)
                known = state.setting(connection, "region")
                if known is None:
                    state.set(connection, "region", region)
                elif known != region:
                    raise _another_region(known, region)
        except BaseException:
            engine.dispose()
            raise
    except BaseException:
        if lock >= 0:
            os.close(lock)
        raise
    return state


def open_state_for_reading(where: Path | str, region: str) -> State:
    """Open beside the writer, or without one. Raises like `open_state`, and `SetupError` while nothing is there."""
    if isinstance(where, Path) and not where.exists():
        raise _missing(region)
    state = State(_reader(where), region, writable=False)
    try:
        with state.reading() as connection:
            if not sa.inspect(connection).has_table(_SETTINGS.name):
                raise _missing(region)
            found = MigrationContext.configure(connection).get_current_revision()
            _check_known(found)
            if found != _head():
                raise SetupError(
                    f"The state database of region {region} is of an older release.",
                    remedy="Start `firedoor up` or `firedoor agent` once: it brings it up to date.",
                )
            known = state.setting(connection, "region")
            if known != region:
                raise _another_region(known or "no name", region)
    except BaseException:
        state.close()
        raise
    return state


def set_aside(path: Path) -> Path:
    """Rename a damaged SQLite file and what belongs to it; the copy set aside before is removed. Raises OSError."""
    aside = path.with_name(path.name + DAMAGED)
    for suffix in ("-wal", "-shm", ""):
        aside.with_name(aside.name + suffix).unlink(missing_ok=True)
    for suffix in ("-wal", "-shm", ""):  # the file itself last: until then it is found damaged again
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def revisions() -> list[str]:
    """The steps of the database's shape, oldest first."""
    return [script.revision for script in _scripts().walk_revisions()][::-1]


def migrate(connection: sa.Connection, target: str = "head") -> None:
    """Bring the database up to `target`, in the caller's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def _migrate(connection: sa.Connection) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    _check_known(found)
    if found != _head():
        migrate(connection)


def _check_known(revision: str | None) -> None:
    if revision is not None and revision not in revisions():
        raise SetupError(
            f"The state database was made by a newer release (step {revision}).", remedy="Install that release again."
        )


def _head() -> str:
    return revisions()[-1]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


# Connections


def _writer(where: Path | str) -> sa.Engine:
    if isinstance(where, str):
        engine = _postgres(where)
        sa.event.listen(engine, "connect", _take_advisory_lock)
        return engine
    try:
        os.close(os.open(where, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would use the umask
    except OSError as error:
        raise StateUnavailable(f"{where.name} cannot be opened: {error.strerror}.") from error
    engine = _sqlite(where, "rw")
    sa.event.listen(engine, "connect", _set_pragmas)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _reader(where: Path | str) -> sa.Engine:
    if isinstance(where, str):
        return _postgres(where)
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
    return sa.create_engine(
        parsed,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "application_name": "firedoor"},
    )


def _take_advisory_lock(connection: Any, _: Any) -> None:
    """One writer; a lock of the session, so that it ends with the connection and is taken again by the next."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (_WRITER_LOCK,))
        taken = cursor.fetchone()[0]
    connection.commit()
    if not taken:
        raise _busy("The state database")


def _lock_file(path: Path) -> int:
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


# Errors


def _busy(what: str) -> StateBusy:
    return StateBusy(f"{what} is written by another process.", remedy="One process writes it: is the agent running?")


def _missing(region: str) -> SetupError:
    return SetupError(
        f"Region {region} has no state database yet.", remedy="Start `firedoor up` or `firedoor agent` once."
    )


def _another_region(found: str, wanted: str) -> SetupError:
    return SetupError(
        f"This state database belongs to region {found}, not {wanted}.",
        remedy="Each region has a database of its own: correct `state` in the plan, or restore the right file.",
    )


@contextlib.contextmanager
def _told() -> Iterator[None]:
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
        return StateDamaged(f"The state database is damaged ({state}).", remedy="Restore or empty it in PostgreSQL.")
    name = f"SQLSTATE {state}" if state else type(cause).__name__
    return StateUnavailable(f"The state database cannot be used now ({name}).", remedy="Is PostgreSQL running?")
