"""The durable cases of a region, in the database of its control (`controldb`): entries, cursors, messages that wait.

Each entry is one row, sealed with the region's key for its case and number. What it returned from is on the disk; a
gap, a row that does not open or one that stands in another's place is `StateDamaged`, never a shorter case. All share
control's one connection: reading is in batches, so that the switch table is saved in between.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import msgspec
import sqlalchemy as sa

from firedoor.core.incident.entries import Entry, decode_entry, encode_entry, kind_of
from firedoor.core.incident.hooks import Message
from firedoor.errors import FiredoorError, KeyUnusable, StateBusy, StateDamaged
from firedoor.ports.incidents import StoredCase
from firedoor.store import incident_messages as queue
from firedoor.store.box import Box
from firedoor.store.controldb import ControlDatabase
from firedoor.store.incident_tables import CASES, CURSORS, DROPPED, ENTRIES, UNRECORDED

log = logging.getLogger("firedoor.incidents")

ENTRY_LIMIT: Final = 256 * 1024
"""Bytes of an encoded entry: a correction holds a payload of 64 kB once more, with each of its quotes escaped, and two
signatures fit beside it."""
BATCH: Final = 100
"""Entries read in one transaction: a few milliseconds, in which nobody else has the connection."""
LISTED: Final = 1000
"""Cases read in one transaction: narrow rows."""

_SEALED: Final = ENTRY_LIMIT + 28
"""Nonce and tag of the sealing box."""
_ROW: Final = sa.select(ENTRIES.c.case_id, ENTRIES.c.number, ENTRIES.c.at, ENTRIES.c.kind, ENTRIES.c.content)


class Reading(Protocol):
    """Whence transactions that only read come: `ControlDatabase`, or `controldb.ControlReader` beside it."""

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """See there."""
        ...


class IncidentReader:
    """What a region's cases say, read beside the process that writes them. Raises as the Protocol.

    `region`'s sealing box opens the rows; `host` is this host's name where several share the database.
    """

    def __init__(self, database: Reading, box: Box, host: str = "") -> None:
        self._reading = database
        self._box = box
        self._host = host

    def cases(self) -> list[StoredCase]:
        """See the Protocol."""
        order = sa.tuple_(CASES.c.opened_at, CASES.c.id)
        found: list[StoredCase] = []
        while True:
            query = CASES.select().order_by(CASES.c.opened_at, CASES.c.id).limit(LISTED)
            if found:
                query = query.where(order > sa.tuple_(sa.literal(found[-1].opened_at), sa.literal(found[-1].id)))
            with _told(), self._reading.reading() as connection:
                rows = connection.execute(query).all()
            found += [StoredCase(row.id, row.opened_at, not row.ended, row.entries) for row in rows]
            if len(rows) < LISTED:
                return found

    def entries(self, case: str) -> list[Entry]:
        """See the Protocol. All that were there when it was called, without a gap."""
        with _told(), self._reading.reading() as connection:
            newest = connection.scalar(sa.select(CASES.c.entries).where(CASES.c.id == case)) or 0
        found: list[Entry] = []
        while len(found) < newest:
            after = len(found)
            query = (
                _ROW.where(ENTRIES.c.case_id == case, ENTRIES.c.number > after, ENTRIES.c.number <= newest)
                .where(sa.func.length(ENTRIES.c.content) <= _SEALED)
                .order_by(ENTRIES.c.number)
                .limit(BATCH)
            )
            with _told(), self._reading.reading() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                if row.number != len(found) + 1:
                    raise _missing(case, len(found) + 1)
                found.append(self._entry(row))
            if not rows:
                raise _missing(case, after + 1)
        return found

    def unrecorded(self, limit: int) -> list[Entry]:
        """See the Protocol. One that does not open is left out, and logged: the others still come on record."""
        found: list[Entry] = []
        position = 0
        while len(found) < limit:
            query = (
                _ROW.add_columns(UNRECORDED.c.position)
                .join(UNRECORDED, _same_entry())
                .where(UNRECORDED.c.position > position, sa.func.length(ENTRIES.c.content) <= _SEALED)
                .order_by(UNRECORDED.c.position)
                .limit(min(limit, BATCH))
            )
            with _told(), self._reading.reading() as connection:
                rows = connection.execute(query).all()
            for row in rows[: limit - len(found)]:
                try:
                    found.append(self._entry(row))
                except StateDamaged as error:
                    log.error("an entry cannot be put on record: %s", error.message)
            if not rows:
                break
            position = rows[-1].position
        return found

    def unrecorded_count(self) -> int:
        """How many entries the evidence is not known to hold."""
        with _told(), self._reading.reading() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(UNRECORDED)) or 0)

    def dropped(self) -> dict[str, int]:
        """How many messages to each system were dropped, because more than `QUEUE` waited for it, or
        it was gone from the plan.
        """
        with _told(), self._reading.reading() as connection:
            return {row.system: row.messages for row in connection.execute(DROPPED.select())}

    def cursors(self) -> dict[str, int]:
        """See the Protocol."""
        with _told(), self._reading.reading() as connection:
            rows = connection.execute(CURSORS.select().where(CURSORS.c.host == self._host))
            return {row.slot: row.seq for row in rows}

    def _entry(self, row: Any) -> Entry:
        """The entry of a row. Raises `StateDamaged` if it does not open, or its columns say something else."""
        try:
            entry = decode_entry(self._box.open(row.content, _purpose(row.case_id, row.number)))
        except (KeyUnusable, msgspec.DecodeError) as error:
            raise StateDamaged(f"Entry {row.number} of case {row.case_id} does not open.", remedy=_REMEDY) from error
        if (entry.case, entry.number, entry.at, kind_of(entry.payload)) != (row.case_id, row.number, row.at, row.kind):
            raise StateDamaged(f"Entry {row.number} of case {row.case_id} is not in its place.", remedy=_REMEDY)
        return entry


class IncidentStore(IncidentReader):
    """See `firedoor.ports.incidents.IncidentStore`. `database`: of this process's `ControlState`, begun."""

    def __init__(self, database: ControlDatabase, box: Box, host: str = "") -> None:
        super().__init__(database, box, host)
        self._database = database

    def append(
        self,
        entries: Sequence[Entry],
        *,
        cursors: Mapping[str, int],
        ended: Mapping[str, bool],
        messages: Sequence[Message] = (),
    ) -> None:
        """See the Protocol. Raises ValueError for what is larger than its limit, and `StateDamaged` for an entry that
        is there with other bytes, or that does not follow the one before.

        If all of `entries` are there already, `messages` are queued already, too: they came with them.
        """
        rows = [self._row(entry) for entry in entries]
        waiting = [queue.row(message, self._box) for message in messages]
        with self._writing() as connection:
            added = self._add(connection, entries, rows)
            for case, over in ended.items():
                if connection.execute(CASES.update().where(CASES.c.id == case).values(ended=over)).rowcount != 1:
                    raise StateDamaged(f"There is no case {case}.", remedy=_REMEDY)
            for slot, seq in cursors.items():
                self._move(connection, slot, seq)
            if added or not entries:
                queue.put(connection, waiting)

    def recorded(self, entries: Sequence[Entry]) -> None:
        """See the Protocol."""
        with self._writing() as connection:
            for entry in entries:
                here = (UNRECORDED.c.case_id == entry.case) & (UNRECORDED.c.number == entry.number)
                connection.execute(UNRECORDED.delete().where(here))

    def forget(self, case: str) -> None:
        """Drop a case that cannot be read, so that it can be taken up again from the evidence. Raises as `append`."""
        with self._writing() as connection:
            connection.execute(ENTRIES.delete().where(ENTRIES.c.case_id == case))
            connection.execute(UNRECORDED.delete().where(UNRECORDED.c.case_id == case))
            connection.execute(CASES.delete().where(CASES.c.id == case))

    def messages(self, system: str, limit: int) -> list[Message]:
        """See the Protocol. One that does not open is left out, and logged."""
        with _told(), self._database.reading() as connection:
            return queue.waiting(connection, self._box, system, limit)

    def tell_only(self, systems: Collection[str]) -> None:
        """See the Protocol."""
        with self._writing() as connection:
            queue.drop_others(connection, systems)

    def sent(self, message: Message) -> None:
        """See the Protocol."""
        with self._writing() as connection:
            queue.remove(connection, message)

    def again(self, message: Message, not_before: float) -> None:
        """See the Protocol."""
        with self._writing() as connection:
            queue.postpone(connection, message, not_before)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with _told(), self._database.writing() as connection:
            yield connection

    def _row(self, entry: Entry) -> dict[str, Any]:
        data = encode_entry(entry)
        if len(data) > ENTRY_LIMIT:
            raise ValueError(f"an entry of {len(data)} bytes is over {ENTRY_LIMIT}")
        content = self._box.seal(data, _purpose(entry.case, entry.number))
        kind = kind_of(entry.payload)
        return {"case_id": entry.case, "number": entry.number, "at": entry.at, "kind": kind, "content": content}

    def _add(self, connection: sa.Connection, entries: Sequence[Entry], rows: list[dict[str, Any]]) -> bool:
        """Whether any of them was new."""
        position = connection.scalar(sa.select(sa.func.max(UNRECORDED.c.position))) or 0
        known: dict[str, int] = {}
        new: dict[str, list[dict[str, Any]]] = {}
        for entry, row in zip(entries, rows, strict=True):
            before = known[entry.case] if entry.case in known else self._newest(connection, entry)
            known[entry.case] = before
            following = before + len(new.get(entry.case, ())) + 1
            if entry.number <= before:
                self._compare(connection, entry)
            elif entry.number == following:
                new.setdefault(entry.case, []).append(row)
            else:
                raise _missing(entry.case, following)
        for case, added in new.items():
            connection.execute(ENTRIES.insert(), added)
            waiting = [{"case_id": case, "number": row["number"]} for row in added]
            connection.execute(
                UNRECORDED.insert(), [{"position": position + n, **one} for n, one in enumerate(waiting, 1)]
            )
            position += len(added)
            connection.execute(CASES.update().where(CASES.c.id == case).values(entries=added[-1]["number"]))
        return bool(new)

    def _newest(self, connection: sa.Connection, entry: Entry) -> int:
        """The number of the case's newest entry; a case that begins gets its row."""
        found = connection.scalar(sa.select(CASES.c.entries).where(CASES.c.id == entry.case))
        if found is None:
            begun = {"id": entry.case, "opened_at": entry.at, "ended": False, "entries": 0}
            connection.execute(CASES.insert(), begun)
        return int(found or 0)

    def _compare(self, connection: sa.Connection, entry: Entry) -> None:
        row = connection.execute(_ROW.where(ENTRIES.c.case_id == entry.case, ENTRIES.c.number == entry.number)).first()
        if row is None:
            raise _missing(entry.case, entry.number)
        if encode_entry(self._entry(row)) != encode_entry(entry):
            raise StateDamaged(f"Case {entry.case} has another entry {entry.number} already.", remedy=_REMEDY)

    def _move(self, connection: sa.Connection, slot: str, seq: int) -> None:
        here = (CURSORS.c.host == self._host) & (CURSORS.c.slot == slot)
        if not connection.execute(CURSORS.update().where(here).values(seq=seq)).rowcount:
            connection.execute(CURSORS.insert(), {"host": self._host, "slot": slot, "seq": seq})


_REMEDY: Final = (
    "What the evidence holds of it: `firedoor incident verify`; to put it back: `firedoor incident restore`."
)


def _purpose(case: str, number: int) -> str:
    """What a row is sealed for: nothing else opens it there. A case's id has no slash."""
    return f"incident/{case}/{number}"


def _same_entry() -> Any:
    return (UNRECORDED.c.case_id == ENTRIES.c.case_id) & (UNRECORDED.c.number == ENTRIES.c.number)


def _missing(case: str, number: int) -> StateDamaged:
    return StateDamaged(f"Entry {number} of case {case} is missing.", remedy=_REMEDY)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A database that cannot be used is to its caller what a disk is that cannot be written."""
    try:
        yield
    except (StateBusy, StateDamaged):
        raise
    except FiredoorError as error:
        raise OSError(errno.EIO, error.message) from error
