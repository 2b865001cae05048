"""Packs: exchanges of a slot once more, some thousand at a time in columns, so that counting them all reads few rows.

A pack holds exactly the exchanges of its slot whose first record is in ``[first, after)``, as the table has them: when
one of these changes, the pack is dropped in the same transaction, and made again later. What is in no pack stands in
the table alone. The newest exchanges of a slot are left there: more will be written of them. Packs hold numbers of
keys and no look-up pseudonyms: erasing does not touch them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa

from firedoor.core.evidence.exchanges import ExchangeChange
from firedoor.store.index_columns import CALLED, OPEN, RELEASED, Columns, pack
from firedoor.store.index_tables import NOTHING, IndexTables

SIZE: Final = 2048
"""Exchanges in a pack, 12 to 20 bytes each: reading one takes as long as reading thirty rows."""
AT_ONCE: Final = 4
"""Packs made in one transaction, some ten milliseconds each."""
_CHUNK: Final = 1000


class Span(NamedTuple):
    """First records from `first` on, before `after` (None: all later ones)."""

    first: int
    after: int | None


def gaps(packed: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """What lies between the packs of a slot, which come in order, and behind them."""
    end = 0
    for first, after in packed:
        if first > end:
            yield Span(end, first)
        end = after
    yield Span(end, None)


class Packs:
    """The `packs` table, as the one writer of the index keeps it. `size` is how many exchanges one holds."""

    def __init__(self, tables: IndexTables, size: int = SIZE) -> None:
        self._packs = tables.packs
        self._exchanges = tables.exchanges
        self._size = size
        self._known: dict[int, list[tuple[int, int]]] | None = None
        self._look: dict[int, int] = {}

    def forget(self) -> None:
        """Read the table again: a transaction was undone, or the tables are others now."""
        self._known = None
        self._look.clear()

    def changing(
        self, connection: sa.Connection, changes: Collection[ExchangeChange], numbers: Mapping[str, int]
    ) -> None:
        """Drop the packs of exchanges that are about to change, and those in whose place new ones come."""
        known = self._spans(connection)
        mine = [change for change in changes if known.get(numbers[change.slot])]
        if not mine:
            return
        firsts = {(numbers[change.slot], change.first_seq) for change in mine}
        slots = {(change.exchange, numbers[change.slot]) for change in mine}
        of = self._exchanges.c
        names = sorted({change.exchange for change in mine})
        for start in range(0, len(names), _CHUNK):
            query = sa.select(of.exchange, of.slot, of.first_seq).where(of.exchange.in_(names[start : start + _CHUNK]))
            rows = connection.execute(query)
            firsts |= {(row.slot, row.first_seq) for row in rows if (row.exchange, row.slot) in slots}
        for slot, first in {(slot, at) for slot, seq in firsts if (at := _pack_of(known[slot], seq)) is not None}:
            connection.execute(self._packs.delete().where(self._packs.c.slot == slot, self._packs.c.first == first))
            known[slot] = [span for span in known[slot] if span[0] != first]

    def slot_gone(self, connection: sa.Connection, slot: int) -> None:
        """Drop all packs of a slot."""
        connection.execute(self._packs.delete().where(self._packs.c.slot == slot))
        self.forget()

    def make(self, connection: sa.Connection, ends: Mapping[int, int], most: int = AT_ONCE) -> int:
        """Make up to `most` packs of what is due in slots whose last record is known (`ends`); how many it made.

        Dropped ones are made again in turn with new ones, so that an exchange that goes on for long costs no more;
        `mend` does the rest.
        """
        made = 0
        for slot, end in ends.items():
            while made < most and self._new(connection, slot, end):
                made += 1
                if made < most:
                    made += self._again(connection, slot)
        return made

    def mend(self, connection: sa.Connection, most: int = AT_ONCE) -> int:
        """Make up to `most` of the dropped ones again; how many it made. For when there is nothing else to do."""
        made = 0
        for slot in self._spans(connection):
            while made < most and self._again(connection, slot):
                made += 1
        return made

    def _spans(self, connection: sa.Connection) -> dict[int, list[tuple[int, int]]]:
        """Of every slot the packs there are, in order."""
        if self._known is None:
            self._known = {}
            of = self._packs.c
            for row in connection.execute(sa.select(of.slot, of.first, of.after).order_by(of.slot, of.first)):
                self._known.setdefault(row.slot, []).append((row.first, row.after))
        return self._known

    def _may_be_new(self, slot: int, end: int) -> bool:
        assert self._known is not None
        spans = self._known.get(slot, [])
        start = spans[-1][1] if spans else 0
        return end - start >= 2 * self._size and end >= self._look.get(slot, 0)

    def _new(self, connection: sa.Connection, slot: int, end: int) -> bool:
        """The next pack of a slot, if there are twice as many exchanges behind the last one."""
        spans = self._spans(connection).setdefault(slot, [])
        if not self._may_be_new(slot, end):
            return False
        start = spans[-1][1] if spans else 0
        seq = self._exchanges.c.first_seq
        query = sa.select(seq).where(self._exchanges.c.slot == slot, seq >= start).order_by(seq)
        if connection.scalar(query.offset(2 * self._size - 1).limit(1)) is None:
            self._look[slot] = end + max(1, self._size // 4)  # records more, and it is looked at again
            return False
        after = connection.scalar(query.offset(self._size).limit(1))
        assert after is not None  # of one transaction, with one writer
        self._make(connection, slot, start, after)
        return True

    def _again(self, connection: sa.Connection, slot: int) -> bool:
        """The first one of a slot that was dropped; whether there was any."""
        gap = next(gaps(self._spans(connection)[slot]))
        if gap.after is None:
            return False
        of = self._exchanges.c.first_seq
        query = sa.select(of).where(self._exchanges.c.slot == slot, of >= gap.first, of < gap.after).order_by(of)
        after = connection.scalar(query.offset(self._size).limit(1))  # several in a row may have been dropped
        self._make(connection, slot, gap.first, gap.after if after is None else after)
        return True

    def _make(self, connection: sa.Connection, slot: int, first: int, after: int) -> None:
        of = self._exchanges.c
        query = sa.select(*columns_of(self._exchanges)).where(of.slot == slot, of.first_seq >= first)
        rows = connection.execute(query.where(of.first_seq < after).order_by(of.first_seq)).all()
        found = Columns(*np.array([tuple(row) for row in rows], np.int64).reshape(-1, len(Columns._fields)).T)
        row = {
            "slot": slot, "first": first, "after": after,
            "began": int(found.began.min(initial=np.iinfo(np.int64).max)), "last": int(found.last.max(initial=0)),
            "blank": bool((found.scope == NOTHING).any()), "data": pack(found),
        }  # fmt: skip
        connection.execute(self._packs.insert(), row)
        insort(self._spans(connection)[slot], (first, after))


def columns_of(exchanges: sa.Table) -> list[sa.ColumnElement[Any]]:
    """What `Columns` holds, of each row of the table."""
    of = exchanges.c
    marks = sa.case((of.called, CALLED), else_=0) + sa.case((of.released > 0, RELEASED), else_=0)
    return [
        of.first_seq, of.began, of.last, of.scope, sa.func.coalesce(of.outcome, OPEN), of.credential,
        sa.func.coalesce(of.key, 0), marks, of.present.bitwise_or(of.restored),
    ]  # fmt: skip


def _pack_of(spans: list[tuple[int, int]], seq: int) -> int | None:
    """Where the pack begins that `seq` lies in, None if in none."""
    at = bisect_right(spans, seq, key=lambda span: span[0]) - 1
    return spans[at][0] if at >= 0 and seq < spans[at][1] else None
