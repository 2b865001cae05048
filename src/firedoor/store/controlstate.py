"""The durable state of a region's control in a database: the switch table with its trail, the requests that wait.

Each is one row of JSON with its SHA-256: SQLite has no checksums of its own, and a table that changed by itself must
not decide what is open. On PostgreSQL control may go on on another host, which has other journals: how far control has
read those of a host stands in a row of that host.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct, structs
from sqlalchemy import Column, LargeBinary, String, Table

from firedoor.core.switchstate import PENDING, Pending, Stored
from firedoor.errors import FiredoorError, SetupError, StateBusy, StateDamaged
from firedoor.store.controldb import TABLES, ControlDatabase

STATE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes: a full table, 256 trail entries with two signatures each, and 8192 nonces."""
REQUESTS_LIMIT: Final = 64 * 1024
"""Bytes: 32 requests of at most 2 kB."""

_STATE: Final = Table(
    "control_state",
    TABLES,
    Column("name", String(80), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
)
_SWITCHES: Final = "switches"
_REQUESTS: Final = "requests"
_DAMAGED: Final = "switches.damaged"
_SLOTS: Final = "slots "
"""Before the name of a host."""


class _Slots(Struct, frozen=True):
    """How far the journals of a host were read, and its leaks absorbed: by slot, those of other hosts are not in it."""

    cursors: dict[str, int] = {}
    absorbed: dict[str, int] = {}


_encoder = msgspec.json.Encoder(order="deterministic")
_stored_decoder = msgspec.json.Decoder(Stored)
_pending_decoder = msgspec.json.Decoder(tuple[Pending, ...])
_slots_decoder = msgspec.json.Decoder(_Slots)


class ControlState:
    """See `firedoor.ports.switches.ControlStore`. `where` is a SQLite file, or a ``postgresql://`` URL for `host`.

    `begin` comes first, and may be called until it succeeds. Calls may come from several threads. Raises `SetupError`.
    """

    def __init__(self, where: Path | str, region: str, host: str = "") -> None:
        self.database = ControlDatabase(where, region)
        self._slots_row = _SLOTS + host if host else ""

    @property
    def shared(self) -> bool:
        """See `ControlDatabase`."""
        return self.database.shared

    def begin(self) -> None:
        """See `ControlDatabase`."""
        self.database.begin()

    def load(self) -> Stored | None:
        """See the Protocol."""
        try:
            content = self._content(_SWITCHES, STATE_LIMIT)
            stored = None if content is None else _stored_decoder.decode(content)
        except (StateDamaged, msgspec.DecodeError) as error:
            raise SetupError("The saved switch table is damaged: it is not what was saved.") from error
        return stored if stored is None else _joined(stored, self._own_slots())

    def requests(self) -> tuple[Pending, ...]:
        """See the Protocol. What was asked for in a damaged copy stays shut."""
        try:
            content = self._content(_REQUESTS, REQUESTS_LIMIT)
            return () if content is None else _pending_decoder.decode(content)[:PENDING]
        except (StateDamaged, msgspec.DecodeError):
            return ()

    def save(self, stored: Stored, pending: Sequence[Pending]) -> None:
        """See the Protocol. One transaction."""
        rows = {_REQUESTS: _encoder.encode(tuple(pending))}
        if self._slots_row:
            stored, own = _parted(stored)
            rows[self._slots_row] = _encoder.encode(own)
        rows[_SWITCHES] = _encoder.encode(stored)
        with _as_os_error(), self.database.writing() as connection:
            for name, content in rows.items():
                _put(connection, name, content)

    def confirm(self) -> None:
        """Return if this process still is the one that writes.

        Raises `StateBusy` if another one took over: stop then; and OSError if the database cannot be asked. It takes
        `FRESH` at the longest.
        """
        with _as_os_error():
            self.database.confirm()

    def set_aside(self) -> None:
        """See the Protocol. A damaged row gets another name; a SQLite file that cannot be read at all does."""
        with _as_os_error():
            try:
                with self.database.writing() as connection:
                    connection.execute(_STATE.delete().where(_STATE.c.name == _DAMAGED))
                    connection.execute(_STATE.update().where(_STATE.c.name == _SWITCHES).values(name=_DAMAGED))
            except StateDamaged:
                if not self.database.set_aside():
                    raise

    def close(self) -> None:
        """Let another process write."""
        self.database.close()

    def _own_slots(self) -> _Slots:
        """Nothing, if that row is damaged or was never written: then the journals are read again, and shut again."""
        if not self._slots_row:
            return _Slots()
        try:
            content = self._content(self._slots_row, STATE_LIMIT)
            return _Slots() if content is None else _slots_decoder.decode(content)
        except (StateDamaged, msgspec.DecodeError):
            return _Slots()

    def _content(self, name: str, limit: int) -> bytes | None:
        """What was saved under `name`, None if nothing was. Raises `StateDamaged` if it is something else."""
        with self.database.reading() as connection:
            found = connection.execute(
                sa.select(_STATE.c.sha256, sa.func.length(_STATE.c.content).label("size")).where(_STATE.c.name == name)
            ).first()
            if found is None:
                return None
            if found.size > limit:
                raise StateDamaged(f"What is saved as {name} is larger than {limit} bytes.")
            content: Any = connection.scalar(sa.select(_STATE.c.content).where(_STATE.c.name == name))
        if not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != found.sha256:
            raise StateDamaged(f"What is saved as {name} does not match its SHA-256.")
        return content


def _parted(stored: Stored) -> tuple[Stored, _Slots]:
    """What holds for every host, and what for this one: its slots have no host before their name."""
    shared, own = _of_hosts(stored.cursors), _of_hosts(stored.table.absorbed)
    table = structs.replace(stored.table, absorbed=own[True])
    return structs.replace(stored, table=table, cursors=shared[True]), _Slots(shared[False], own[False])


def _joined(stored: Stored, slots: _Slots) -> Stored:
    table = structs.replace(stored.table, absorbed=stored.table.absorbed | slots.absorbed)
    return structs.replace(stored, table=table, cursors=stored.cursors | slots.cursors)


def _of_hosts(slots: dict[str, int]) -> dict[bool, dict[str, int]]:
    """The slots of named hosts (True), and of this one (False)."""
    return {named: {slot: seq for slot, seq in slots.items() if ("/" in slot) is named} for named in (True, False)}


def _put(connection: sa.Connection, name: str, content: bytes) -> None:
    row = {"sha256": hashlib.sha256(content).hexdigest(), "content": content}
    if not connection.execute(_STATE.update().where(_STATE.c.name == name).values(row)).rowcount:
        connection.execute(_STATE.insert(), {"name": name, **row})


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """A database that cannot be used is to its caller what a disk is that cannot be written."""
    try:
        yield
    except StateBusy:
        raise
    except FiredoorError as error:
        raise OSError(errno.EIO, error.message) from error
