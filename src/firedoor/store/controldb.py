"""The database of a region's control: one process writes it, and notices when another one took over.

Whoever begins to write leaves its mark (`control_writer`): the one before, if it comes back, finds another's and writes
nothing more. What is kept here (`controlstate`, `incidents`) shares one connection, so that one fence holds for all.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table

from firedoor.errors import SetupError, StateBusy, StateDamaged, StateUnavailable
from firedoor.store.control_connect import ANSWER, WAIT, side
from firedoor.store.state import another_region
from firedoor.store.state_connect import reader, told
from firedoor.store.steps import Steps

STEPS: Final = Steps("control_migrations", "control_version")
TABLES: Final = MetaData()
_WRITER: Final = Table(
    "control_writer",
    TABLES,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("region", String(63), nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("mark", String(32), nullable=False),
)


class ControlDatabase:
    """`where` is a SQLite file, or a ``postgresql://`` URL. `begin` comes first, and may be called until it succeeds.

    Calls may come from several threads: one at a time has the connection, the others wait `ANSWER` for it. So keep
    transactions short. Raises `SetupError`.
    """

    def __init__(self, where: Path | str, region: str) -> None:
        self.region = region
        self._side = side(where, region)
        self._mark = secrets.token_hex(16)
        self._term = 0
        self._lost = False
        self._using = threading.Lock()

    @property
    def shared(self) -> bool:
        """Whether control may run on another host, too: whoever finds it busy may wait for it."""
        return self._side.dialect == "postgresql"

    def begin(self) -> None:
        """Become the one that writes. A damaged SQLite file is left to whoever loads from it.

        Raises `StateBusy` while another process writes, `StateUnavailable`, and `SetupError` for another region's
        database or a newer release's.
        """
        try:
            with contextlib.suppress(StateDamaged), self.reading():
                pass
        except StateBusy as error:
            raise StateBusy(
                f"Another control process has the switches of region {self.region}.",
                remedy="Stop that `firedoor up` or `firedoor control` first.",
            ) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that changes nothing. Raises `StateBusy`, `StateUnavailable`, `StateDamaged`, `SetupError`."""
        with self._connected(ANSWER) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction of the one process that writes: durable on leaving, undone by an exception.

        Raises as `reading`; `StateBusy` if another process took over.
        """
        with self._connected(ANSWER) as connection, connection.begin():
            mine = _WRITER.update().where(_WRITER.c.mark == self._mark).values(term=self._term)
            if connection.execute(mine).rowcount != 1:
                raise taken_over()
            yield connection

    def confirm(self) -> None:
        """Return if this process still is the one that writes. Raises as `reading`; it takes `FRESH` at the longest."""
        try:
            self._ask()
        except StateUnavailable:  # the connection may have ended while nobody looked: a new one tells
            self._ask()

    def set_aside(self) -> bool:
        """Give a SQLite file another name. False where there is no such file. Raises OSError."""
        return self._side.set_aside()

    def close(self) -> None:
        """Let another process write."""
        self._side.close()

    def _ask(self) -> None:
        with self._connected(WAIT) as connection, connection.begin():
            if connection.scalar(sa.select(_WRITER.c.mark)) != self._mark:
                raise taken_over()

    @contextlib.contextmanager
    def _connected(self, patience: float) -> Iterator[sa.Connection]:
        """The connection, with this process's mark in the database. Whoever was taken over never comes back."""
        if not self._using.acquire(timeout=patience):
            raise StateUnavailable("The state database is in use by this process.")
        try:
            if self._lost:
                raise taken_over()
            with self._side.connected() as connection:
                if "begun" not in connection.info:
                    self._side.claim(connection)
                    with connection.begin():
                        self._leave_mark(connection)
                    connection.info["begun"] = True
                yield connection
        except StateBusy as error:
            if not self._term:
                raise
            self._lost = True
            self._side.close()
            raise taken_over() from error
        finally:
            self._using.release()

    def _leave_mark(self, connection: sa.Connection) -> None:
        """In a new connection. Whoever began before finds another's mark if somebody took over in between."""
        if not STEPS.latest(connection):
            STEPS.take(connection)
        row = connection.execute(_WRITER.select()).first()
        if row is not None and row.region != self.region:
            raise another_region(row.region, self.region)
        term = 0 if row is None else row.term
        if row is None:
            connection.execute(_WRITER.insert(), {"id": 1, "region": self.region, "term": term, "mark": self._mark})
        elif row.mark != self._mark:
            if self.shared and self._term and term >= self._term:
                raise taken_over()
            connection.execute(_WRITER.update().values(mark=self._mark))
        self._term = max(self._term, term + 1)
        connection.execute(_WRITER.update().values(term=self._term))


class ControlReader:
    """The same database beside the process that writes it, or without one: nothing is changed, nobody waits.

    Raises `SetupError` while nothing is there, for another region's, and for one that this release cannot read.
    """

    def __init__(self, where: Path | str, region: str) -> None:
        if isinstance(where, Path) and not where.exists():
            raise _missing(region)
        self._engine = reader(where)
        try:
            with self.reading() as connection:
                self._check(connection, region)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction. Raises `StateUnavailable`, `StateDamaged`."""
        with told(), self._engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _check(self, connection: sa.Connection, region: str) -> None:
        if STEPS.found(connection) is None:
            raise _missing(region)
        if not STEPS.latest(connection):
            raise SetupError(
                f"The state database of control of region {region} is of an older release.",
                remedy="Start `firedoor up` or `firedoor control` once: it brings it up to date.",
            )
        found = connection.scalar(sa.select(_WRITER.c.region))
        if found is not None and found != region:
            raise another_region(found, region)


def _missing(region: str) -> SetupError:
    return SetupError(
        f"Control of region {region} has kept nothing yet.", remedy="Start `firedoor up` or `firedoor control` once."
    )


def taken_over() -> StateBusy:
    """What is said to a process whose mark is another's now."""
    return StateBusy("Another control process of this region took over.", remedy="This one stops.")
