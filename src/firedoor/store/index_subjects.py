"""Which key belongs to which subject: read from the cells of the region, kept as integers, forgotten on erasure."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from firedoor.core.evidence.subjects import CELL_BYTES, NOBODY, Cell, decode_cell
from firedoor.errors import EvidenceDamaged, StateUnavailable
from firedoor.store.cells import cell_files
from firedoor.store.index_tables import IndexTables
from firedoor.store.state import State

log = logging.getLogger("firedoor.index")

CELLS_AT_ONCE: Final = 8192
"""Cells (1 MiB) learned in one transaction."""
REMEMBERED: Final = 100_000
"""Keys whose integer is remembered between batches, about 150 bytes each."""
CHUNK: Final = 1000
"""Values in one IN list: SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535."""


class _Seen(Struct, frozen=True):
    """How far a file of cells was read: its inode, cells, and the id of the last cell's key (None if it was erased)."""

    inode: int
    cells: int
    last: str | None


class SubjectKeyIds:
    """The `subject_keys` table. `subjects` is the region's folder of cells."""

    def __init__(self, state: State, tables: IndexTables, subjects: Path) -> None:
        self._state = state
        self._keys = tables.subject_keys
        self._files = tables.cell_files
        self._subjects = subjects
        self._ids: dict[str, int] = {}

    def forget(self) -> None:
        """Drop what is remembered: a transaction was undone, or the tables are others now."""
        self._ids.clear()

    def learn_missing(self, keys: set[str]) -> None:
        """If any of `keys` is new, read the cells that were added since: a cell is durable before its key is used.

        In transactions of its own, so that each is bounded.
        """
        with self._state.writing() as connection:
            missing = keys - self._known(connection, keys).keys()
            seen = {row.name: _Seen(row.inode, row.cells, row.last) for row in connection.execute(self._files.select())}
        if not missing:
            return
        try:
            names = [(f"{epoch}/{path.name}", path) for epoch, path in cell_files(self._subjects)]
            files = [self._learn_file(name, path, seen.get(name)) for name, path in names]
            # In turns: keys stand in a file in the order of their first use, so that a batch's come early in each.
            while missing and files:
                files = [file for file in files if self._advance(file, missing)]
        except OSError as error:
            raise StateUnavailable(f"The subjects' keys cannot be read: {error.strerror}.") from error

    def ids(self, connection: sa.Connection, keys: set[str]) -> dict[str, int]:
        """The integer of each key. One that no cell tells of has no subject: erased before it was indexed, or lost."""
        found = self._known(connection, keys)
        if missing := sorted(keys - found.keys()):
            following = self._next(connection)
            added = {key: following + n for n, key in enumerate(missing)}
            rows = [{"id": i, "key": key, "lookup": None, "subject": None, "erased": False} for key, i in added.items()]
            connection.execute(self._keys.insert(), rows)
            found.update(added)
        if len(self._ids) + len(found) > REMEMBERED:
            self._ids.clear()
        self._ids.update(found)
        return found

    def erase(self, connection: sa.Connection, keys: set[str]) -> None:
        """Forget whose these keys were, for ever: also a cell met later brings nothing back."""
        self.ids(connection, keys)
        for part in _parts(sorted(keys)):
            gone = self._keys.update().where(self._keys.c.key.in_(part))
            connection.execute(gone.values(lookup=None, subject=None, erased=True))

    def _known(self, connection: sa.Connection, keys: set[str]) -> dict[str, int]:
        found = {key: self._ids[key] for key in keys if key in self._ids}
        for part in _parts(sorted(keys - found.keys())):
            rows = connection.execute(sa.select(self._keys.c.key, self._keys.c.id).where(self._keys.c.key.in_(part)))
            found.update((row.key, row.id) for row in rows)
        return found

    def _next(self, connection: sa.Connection) -> int:
        return (connection.scalar(sa.select(sa.func.max(self._keys.c.id))) or 0) + 1

    @staticmethod
    def _advance(file: Iterator[Iterable[str]], missing: set[str]) -> bool:
        """Learn some more of a file, take it from `missing`; whether there may be more."""
        learned = next(file, None)
        missing.difference_update(learned or ())
        return learned is not None

    def _learn_file(self, name: str, path: Path, seen: _Seen | None) -> Iterator[Iterable[str]]:
        """The keys that are new in a file of cells, learned some at a time. Raises OSError."""
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(path.open("rb"))
            except FileNotFoundError:
                return  # its epoch ended meanwhile: the living cells are in the next one
            status = os.fstat(file.fileno())
            if seen is None or seen.inode != status.st_ino or not _same(file.fileno(), seen):
                seen = _Seen(status.st_ino, 0, None)
            file.seek(seen.cells * CELL_BYTES)
            while data := file.read(CELLS_AT_ONCE * CELL_BYTES):
                whole = len(data) // CELL_BYTES
                if not whole:
                    break  # its writer is at work
                found = list(_cells(name, data[: whole * CELL_BYTES]))
                last = found[-1]
                seen = _Seen(status.st_ino, seen.cells + whole, last.key if last else None)
                lookups = {cell.key: cell.lookup for cell in found if cell and cell.lookup != NOBODY}
                with self._state.writing() as connection:
                    self._learn(connection, lookups)
                    connection.execute(self._files.delete().where(self._files.c.name == name))
                    row = {"name": name, "inode": seen.inode, "cells": seen.cells, "last": seen.last}
                    connection.execute(self._files.insert(), row)
                file.seek(seen.cells * CELL_BYTES)
                yield lookups

    def _learn(self, connection: sa.Connection, lookups: dict[str, str]) -> None:
        """Add what is new; fill in a key that was met before its cell. What was erased stays erased."""
        table = self._keys
        known = {}
        subjects: dict[str, int] = {}
        for part in _parts(sorted(lookups)):
            known.update({row.key: row for row in connection.execute(table.select().where(table.c.key.in_(part)))})
        for part in _parts(sorted(set(lookups.values()))):
            query = sa.select(table.c.lookup, sa.func.min(table.c.subject).label("subject"))
            rows = connection.execute(query.where(table.c.lookup.in_(part)).group_by(table.c.lookup))
            subjects.update((row.lookup, row.subject) for row in rows)
        following = self._next(connection)
        new, late = [], []
        for key, lookup in lookups.items():
            row = known.get(key)
            if row is None:
                subject = subjects.setdefault(lookup, following)
                new.append({"id": following, "key": key, "lookup": lookup, "subject": subject, "erased": False})
                following += 1
            elif row.lookup is None and not row.erased:
                late.append({"at": row.id, "found": lookup, "of": subjects.setdefault(lookup, row.id)})
        if new:
            connection.execute(table.insert(), new)
        if late:
            fill = table.update().where(table.c.id == sa.bindparam("at"))
            connection.execute(fill.values(lookup=sa.bindparam("found"), subject=sa.bindparam("of")), late)


def _same(descriptor: int, seen: _Seen) -> bool:
    """Whether the file still holds what was read: after a power cut another cell may stand in a lost one's place."""
    if not seen.cells:
        return True
    data = os.pread(descriptor, CELL_BYTES, (seen.cells - 1) * CELL_BYTES)
    if len(data) < CELL_BYTES:
        return False
    cell = next(_cells("", data))
    return cell is None or cell.key == seen.last


def _cells(name: str, data: bytes) -> Iterator[Cell | None]:
    damaged = 0
    for start in range(0, len(data), CELL_BYTES):
        try:
            yield decode_cell(data[start : start + CELL_BYTES])
        except EvidenceDamaged:
            damaged += 1
            yield None
    if damaged and name:
        log.error("%d key cells of %s are damaged: the index does not know their subjects", damaged, name)


def _parts(values: list[str]) -> Iterable[list[str]]:
    return (values[i : i + CHUNK] for i in range(0, len(values), CHUNK))
