"""The index of a region's exchanges, as its one writer sees it. Readers: `firedoor.store.index_read`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from firedoor.core.evidence.exchanges import Changes, ExchangeChange, FindingRow, Place
from firedoor.errors import StateUnavailable
from firedoor.ports.evidence import ExchangeIndex
from firedoor.store import state as state_store
from firedoor.store.index_packs import Packs
from firedoor.store.index_subjects import SubjectKeyIds
from firedoor.store.index_tables import FRESH, LIVE, NOTHING, IndexTables, bit
from firedoor.store.state import State

GENERATION: Final = "index_generation"
"""Setting that counts rebuilds: their indexes are named after it."""
CAUGHT_UP: Final = "index_caught_up"
"""Setting of a host's part: up to which moment (Unix microseconds) it holds all of the host's records."""
IDLE_PACKS: Final = 16
"""Packs made at a time while there is nothing to index: a fifth of a second, in which nothing new is read."""
_NOWHERE: Final = Place()


class FileIndex:
    """See `firedoor.ports.evidence.ExchangeIndex`. `subjects` is the region's folder of key cells.

    `shared`: it is one host's part of a database, and other hosts must be able to tell that it lives.
    """

    def __init__(self, state: State, subjects: Path, tables: IndexTables = LIVE, *, shared: bool = False) -> None:
        self._state = state
        self._subjects = subjects
        self._tables = tables
        self._shared = shared
        self._keys = SubjectKeyIds(state, tables, subjects)
        self._packs = Packs(tables)
        self._may_pack = True
        self._words = _Ids(tables.words, "word")
        self._scopes = _Ids(tables.scopes, *Place._fields)
        self._labels = _Ids(tables.labels, "label")
        self._numbers: dict[str, int] | None = None
        self._traces = False
        self._merge = _merge(tables.exchanges, state.dialect)

    def positions(self) -> dict[str, tuple[int, str]]:
        """See the Protocol."""
        with self._writing() as connection:
            return {row.slot: (row.seq, row.prev) for row in connection.execute(self._tables.slots.select())}

    def apply(self, changes: Changes, positions: Mapping[str, tuple[int, str]]) -> None:
        """See the Protocol. One transaction; what the cells tell is learned before it."""
        exchanges = list(changes.exchanges.values())
        keys = {change.key for change in exchanges if change.key is not None}
        if keys:
            with self._undone():
                self._keys.learn_missing(keys)
        with self._writing() as connection:
            numbers = self._slot_numbers(connection, positions)
            words = self._words.ids(connection, _words(changes))
            scopes = self._scopes.ids(connection, _places(changes))
            bits = self._bits(connection, exchanges)
            ids = self._keys.ids(connection, keys)
            if exchanges:
                self._packs.changing(connection, exchanges, numbers)
                rows = [_row(change, numbers, words, scopes, bits, ids) for change in exchanges]
                connection.execute(self._merge, rows)
            if changes.findings:
                self._add_findings(connection, changes.findings, numbers, words, scopes)
            if changes.erased:
                self._keys.erase(connection, changes.erased)
            moved = [{"at": numbers[slot], "now": seq, "hash": prev} for slot, (seq, prev) in positions.items()]
            if moved:
                slots = self._tables.slots
                move = slots.update().where(slots.c.number == sa.bindparam("at"))
                connection.execute(move.values(seq=sa.bindparam("now"), prev=sa.bindparam("hash")), moved)
            self._packs.make(connection, {numbers[slot]: seq for slot, (seq, _) in positions.items()})
        self._may_pack = True
        self._wipe(wanted=bool(changes.erased))

    def forget(self, slot: str) -> None:
        """See the Protocol. What is known of subjects' keys stays: it does not come from the slot."""
        tables = self._tables
        with self._writing() as connection:
            number = connection.scalar(sa.select(tables.slots.c.number).where(tables.slots.c.slot == slot))
            if number is not None:
                self._packs.slot_gone(connection, number)
                connection.execute(tables.exchanges.delete().where(tables.exchanges.c.slot == number))
                connection.execute(tables.findings.delete().where(tables.findings.c.slot == number))
                connection.execute(tables.slots.delete().where(tables.slots.c.number == number))
        self._numbers = None

    def fresh(self) -> FileIndex:
        """See the Protocol."""
        with self._writing() as connection:
            generation = int(self._state.setting(connection, GENERATION) or 0) + 1
            self._state.set(connection, GENERATION, str(generation))
            tables = IndexTables(FRESH, f"_{generation}")
            tables.metadata.drop_all(connection)
            tables.metadata.create_all(connection)
        return FileIndex(self._state, self._subjects, tables)

    def drop_fresh(self) -> bool:
        """See the Protocol."""
        left = IndexTables(FRESH)
        with self._writing() as connection:
            if not sa.inspect(connection).has_table(left.subject_keys.name):
                return False
            left.metadata.drop_all(connection)
        self._wipe(wanted=True)
        return True

    def replace_by(self, fresh: ExchangeIndex) -> None:
        """See the Protocol. One transaction, which on PostgreSQL waits for the readers under way."""
        assert isinstance(fresh, FileIndex)
        with self._writing() as connection:
            if self._state.dialect == "postgresql":
                names = ", ".join(table.name for table in self._tables.all())
                connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
            for old, new in zip(self._tables.all(), fresh._tables.all(), strict=True):
                connection.exec_driver_sql(f"DROP TABLE {old.name}")
                connection.exec_driver_sql(f"ALTER TABLE {new.name} RENAME TO {old.name}")
        self._forget_ids()
        self._wipe(wanted=True)

    def caught_up(self, at: int) -> None:
        """See the Protocol."""
        if self._shared:
            with self._writing() as connection:
                self._state.set(connection, CAUGHT_UP, str(at))

    def tidy(self) -> None:
        """See the Protocol. What is in no pack yet is packed."""
        if self._may_pack:
            with self._writing() as connection:
                slots = self._tables.slots.c
                ends = {row.number: row.seq for row in connection.execute(sa.select(slots.number, slots.seq))}
                made = self._packs.make(connection, ends, IDLE_PACKS)
                self._may_pack = made + self._packs.mend(connection, IDLE_PACKS - made) > 0

    def close(self) -> None:
        """See the Protocol."""
        self._state.close()

    @contextlib.contextmanager
    def _undone(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._forget_ids()
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction; if it is undone, so is what is remembered of it."""
        with self._undone(), self._state.writing() as connection:
            yield connection

    def _wipe(self, *, wanted: bool) -> None:
        """Leave no look-up pseudonym of an erased subject in the files; while a reader prevents it, try each time."""
        self._traces = self._traces or wanted
        if self._traces:
            self._traces = not self._state.wipe_traces(self._tables.subject_keys.name)

    def _forget_ids(self) -> None:
        self._numbers = None
        self._may_pack = True
        for remembered in (self._words, self._scopes, self._labels, self._keys, self._packs):
            remembered.forget()

    def _slot_numbers(self, connection: sa.Connection, positions: Iterable[str]) -> dict[str, int]:
        slots = self._tables.slots
        if self._numbers is None:
            rows = connection.execute(sa.select(slots.c.slot, slots.c.number))
            self._numbers = {row.slot: row.number for row in rows}
        for slot in positions:
            if slot not in self._numbers:
                number = max(self._numbers.values(), default=0) + 1
                connection.execute(slots.insert(), {"number": number, "slot": slot, "seq": 0, "prev": ""})
                self._numbers[slot] = number
        return self._numbers

    def _bits(self, connection: sa.Connection, exchanges: list[ExchangeChange]) -> dict[str, int]:
        labels = {label for change in exchanges for label in change.present | change.restored}
        ids = self._labels.ids(connection, {(label,) for label in labels})
        return {label: bit(ids[label,]) for label in labels}

    def _add_findings(
        self,
        connection: sa.Connection,
        findings: list[FindingRow],
        numbers: dict[str, int],
        words: dict[tuple[str, ...], int],
        scopes: dict[tuple[str, ...], int],
    ) -> None:
        rows = [
            {
                "slot": numbers[found.slot], "seq": found.seq, "at": found.at, "exchange": found.exchange,
                "rule": words[found.rule,], "verdict": words[found.verdict,], "scope": scopes[found.place],
            }
            for found in findings
        ]  # fmt: skip
        insert = _insert(self._tables.findings, self._state.dialect)
        connection.execute(insert.on_conflict_do_nothing(), rows)


class IndexPlace:
    """See `firedoor.ports.evidence.IndexHome`. `where`: SQLite file or PostgreSQL URL; `request` asks for a rebuild.

    In a database that the hosts of a region share, `host` has a part of its own.
    """

    def __init__(
        self, where: Path | str, region: str, *, subjects: Path, request: Path, host: str | None = None
    ) -> None:
        self._where = where
        self._region = region
        self._host = host
        self._subjects = subjects
        self._request = request

    def open(self) -> FileIndex:
        """See the Protocol. Raises `StateBusy` as well. A rebuild that was cut short is asked for again."""
        state = state_store.open_state(self._where, self._region, self._host)
        index = FileIndex(state, self._subjects, shared=self._host is not None)
        try:
            if index.drop_fresh():
                self.ask_rebuild()
        except BaseException:
            index.close()
            raise
        return index

    def set_aside(self) -> str:
        """See the Protocol."""
        if isinstance(self._where, str):
            raise StateUnavailable(
                "The index in the PostgreSQL database is damaged.",
                remedy="Restore the database, or drop the index's tables: it is made again. Never drop control's.",
            )
        try:
            return state_store.set_aside(self._where).name
        except OSError as error:
            raise StateUnavailable(f"{self._where.name} cannot be set aside: {error.strerror}.") from error

    def ask_rebuild(self) -> None:
        """Have the process that writes the index rebuild it. Raises `StateUnavailable`."""
        try:
            self._request.touch(mode=0o600)
        except OSError as error:
            raise StateUnavailable(f"The rebuild cannot be asked for: {error.strerror}.") from error

    def rebuild_wanted(self) -> bool:
        """See the Protocol."""
        try:
            self._request.unlink()
        except OSError:
            return False
        return True


class _Ids:
    """A small table of texts, each with an integer; held in memory whole. Empty text is always `NOTHING`."""

    def __init__(self, table: sa.Table, *columns: str) -> None:
        self._table = table
        self._columns = columns
        self._ids: dict[tuple[str, ...], int] | None = None

    def forget(self) -> None:
        """Read the table again the next time."""
        self._ids = None

    def known(self, connection: sa.Connection) -> dict[tuple[str, ...], int]:
        """All of them."""
        if self._ids is None:
            rows = connection.execute(sa.select(self._table.c.id, *(self._table.c[name] for name in self._columns)))
            self._ids = {tuple(row[1:]): row[0] for row in rows}
        return self._ids

    def ids(self, connection: sa.Connection, texts: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
        """The integers of `texts`, and of all others known."""
        known = self.known(connection)
        if new := sorted(text for text in set(texts) if text not in known):
            first = max(known.values(), default=0) + 1
            added = {tuple(text): first + n if any(text) else NOTHING for n, text in enumerate(new)}
            rows = [{"id": i, **dict(zip(self._columns, text, strict=True))} for text, i in added.items()]
            connection.execute(self._table.insert(), rows)
            known.update(added)
        return known


def _words(changes: Changes) -> set[tuple[str]]:
    words = {("",)}
    for change in changes.exchanges.values():
        words |= {(change.credential,), (change.plan,)}
        if change.outcome is not None:
            words |= {(change.outcome,), (change.reason,)}
    for found in changes.findings:
        words |= {(found.rule,), (found.verdict,)}
    return words


def _places(changes: Changes) -> set[Place]:
    places = {change.place or _NOWHERE for change in changes.exchanges.values()}
    return places | {found.place for found in changes.findings} | {_NOWHERE}


def _row(
    change: ExchangeChange,
    numbers: dict[str, int],
    words: dict[tuple[str, ...], int],
    scopes: dict[tuple[str, ...], int],
    bits: dict[str, int],
    keys: dict[str, int],
) -> dict[str, Any]:
    ended = change.outcome is not None
    return {
        "exchange": change.exchange,
        "slot": numbers[change.slot],
        "first_seq": change.first_seq,
        "last_seq": change.last_seq,
        "began": change.began,
        "last": change.last,
        "scope": scopes[change.place or _NOWHERE],
        "credential": words[change.credential,],
        "plan": words[change.plan,],
        "key": None if change.key is None else keys[change.key],
        "session": change.session,
        "called": change.called,
        "outcome": words[change.outcome,] if change.outcome is not None else None,
        "reason": words[change.reason,] if ended else None,
        "outcome_seq": change.outcome_seq,
        "released": change.released,
        "present": _mask(change.present, bits),
        "restored": _mask(change.restored, bits),
        "found": change.found,
    }


def _mask(labels: frozenset[str], bits: dict[str, int]) -> int:
    mask = 0
    for label in labels:
        mask |= bits[label]
    return mask


def _insert(table: sa.Table, dialect: str) -> Any:
    """Both dialects' INSERT knows ON CONFLICT, in the same words; the common base does not."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415  slow to load, and most regions have SQLite

        return postgresql.insert(table)
    return sqlite.insert(table)


def _merge(table: sa.Table, dialect: str) -> Any:
    """INSERT of a row, or its union with the one that is there. Applied again, it changes nothing."""
    insert = _insert(table, dialect)
    old, new = table.c, insert.excluded
    later = new.outcome_seq > old.outcome_seq  # the last outcome counts
    return insert.on_conflict_do_update(
        index_elements=["exchange", "slot"],
        set_={
            **{n: _chosen(old[n] <= new[n], old[n], new[n]) for n in ("first_seq", "began")},
            **{n: _chosen(old[n] >= new[n], old[n], new[n]) for n in ("last_seq", "last", "released")},
            **{n: _chosen(old[n] != NOTHING, old[n], new[n]) for n in ("scope", "credential", "plan")},
            **{n: _chosen(later, new[n], old[n]) for n in ("outcome", "reason", "outcome_seq")},
            **{name: sa.func.coalesce(old[name], new[name]) for name in ("key", "session")},
            **{name: old[name].bitwise_or(new[name]) for name in ("present", "restored")},
            **{name: sa.or_(old[name], new[name]) for name in ("called", "found")},
        },
    )


def _chosen(condition: Any, this: Any, that: Any) -> Any:
    return sa.case((condition, this), else_=that)
