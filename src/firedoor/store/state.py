"""The state database of a region: a SQLite file, or a PostgreSQL database, with one writing process.

One database holds one region: its name is written into it, and another region's is refused. Where a region has several
hosts they share a PostgreSQL database: each writes in a schema of its own, as if it were alone. SQLite runs in WAL mode
with `synchronous=FULL`; the writer's one connection alone checkpoints (releases before 3.51.3 can lose the WAL's reset
when two connections do), and all others open the file read-only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from firedoor.errors import SetupError, StateUnavailable
from firedoor.store.state_connect import SCHEMA_PREFIX, lock_file, reader, told, writer
from firedoor.store.steps import Steps

DAMAGED: Final = ".damaged"
"""Appended to the name of a SQLite file that was set aside. One is kept, to be looked at."""
_SUFFIXES: Final = ("-wal", "-shm", "")
"""What belongs to a SQLite file; itself last, so that a file half set aside is found damaged again."""

STEPS: Final = Steps("migrations", "alembic_version")
_SETTINGS = sa.Table(
    "settings", sa.MetaData(), sa.Column("name", sa.String(40), primary_key=True), sa.Column("value", sa.String(200))
)


class State:
    """An open database. `writing` and `reading` raise `StateUnavailable` and `StateDamaged`, also from within."""

    def __init__(
        self, engine: sa.Engine, region: str, *, writable: bool, file: Path | None = None, lock: int = -1
    ) -> None:
        self.region = region
        self.writable = writable
        self._engine = engine
        self._file = file
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
        with told(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A snapshot: all statements see the same."""
        with told(), self._engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def wipe_traces(self, table: str) -> bool:
        """Make deleted values of `table` unreadable in the files: SQLite empties its WAL, PostgreSQL vacuums.

        A damaged copy that was set aside still holds them, and goes. False if a reader kept an old state alive
        meanwhile: then it must be done again.
        """
        if self._file is not None:
            try:
                _remove(_aside(self._file))
            except OSError as error:
                raise StateUnavailable(f"A damaged copy cannot be removed: {error.strerror}.") from error
        with told(), contextlib.closing(self._engine.raw_connection()) as pooled:
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


def open_state(where: Path | str, region: str, host: str | None = None) -> State:
    """Open for writing: make it if it is not there, bring an older one up to date.

    `where` is a SQLite file or a ``postgresql://`` URL, where `host` has a part of its own. Raises `SetupError` for
    another region's, a newer release's, or one that another process writes; `StateUnavailable`; `StateDamaged`.
    """
    file = where if isinstance(where, Path) else None
    lock = lock_file(file) if file is not None else -1
    try:
        engine = writer(where, host)
        try:
            state = State(engine, region, writable=True, file=file, lock=lock)
            with state.writing() as connection:
                if not STEPS.latest(connection):
                    STEPS.take(connection)
                known = state.setting(connection, "region")
                if known is None:
                    state.set(connection, "region", region)
                elif known != region:
                    raise another_region(known, region)
                if host is not None:
                    state.set(connection, "host", host)
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
    state = State(reader(where), region, writable=False)
    try:
        with state.reading() as connection:
            if _check_readable(connection, region, None) is None:
                raise _missing(region)
    except BaseException:
        state.close()
        raise
    return state


def open_hosts_for_reading(url: str, region: str) -> tuple[State, dict[str, str]]:
    """Open the parts of all hosts; per host the schema of its part. Raises like `open_state_for_reading`."""
    state = State(reader(url), region, writable=False)
    try:
        with state.reading() as connection:
            every = sa.text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :prefix) ORDER BY nspname")
            found = {}
            for schema in connection.scalars(every, {"prefix": SCHEMA_PREFIX}):
                host = _check_readable(connection, region, schema)
                if host is not None:
                    found[host] = str(schema)
            if not found:
                raise _missing(region)
    except BaseException:
        state.close()
        raise
    return state, found


def _check_readable(connection: sa.Connection, region: str, schema: str | None) -> str | None:
    """The name of the host whose part this is, empty for the only one; None if nothing is there yet.

    Raises `SetupError` for what this release cannot read.
    """
    if not sa.inspect(connection).has_table(_SETTINGS.name, schema=schema):
        return None
    settings = _SETTINGS if schema is None else _SETTINGS.to_metadata(sa.MetaData(), schema=schema)
    values: dict[str, str] = {row.name: row.value for row in connection.execute(settings.select())}
    host = values.get("host", "")
    if not STEPS.latest(connection, schema):
        whose = f" of host {host}" if host else ""
        raise SetupError(
            f"The state database of region {region} is of an older release{whose}.",
            remedy="Start `firedoor up` or `firedoor agent` once: it brings it up to date.",
        )
    if values.get("region") != region:
        raise another_region(values.get("region") or "no name", region)
    return host


def set_aside(path: Path) -> Path:
    """Rename a damaged SQLite file and what belongs to it; the copy set aside before is removed. Raises OSError."""
    aside = _aside(path)
    _remove(aside)
    for suffix in _SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _aside(path: Path) -> Path:
    return path.with_name(path.name + DAMAGED)


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _missing(region: str) -> SetupError:
    return SetupError(
        f"Region {region} has no state database yet.", remedy="Start `firedoor up` or `firedoor agent` once."
    )


def another_region(found: str, wanted: str) -> SetupError:
    """What is said of a database that holds region `found`."""
    return SetupError(
        f"This state database belongs to region {found}, not {wanted}.",
        remedy="Each region has a database of its own: correct `state` in the plan, or restore the right file.",
    )
