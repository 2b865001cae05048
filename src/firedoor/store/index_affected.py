"""The index of exchanges as columns, for counting who is affected: one host's part of it, in one snapshot.

Most exchanges stand in packs, which are read as they are; the newest ones, which are in none yet, come from the table
as numbers in a text, so that the database makes no row of each exchange and numpy reads them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from firedoor.core.evidence.exchanges import ExchangeChange, Place
from firedoor.core.evidence.questions import LONGEST
from firedoor.store.index import CAUGHT_UP
from firedoor.store.index_columns import OPEN, Columns, Ints, joined, unpack
from firedoor.store.index_packs import Span, columns_of, gaps
from firedoor.store.index_tables import NOTHING, OTHER, IndexTables, bit, shares_bit
from firedoor.store.state_connect import BINARY

CHUNK: Final = 1000
PIECE: Final = 32 * 1024
"""Exchanges that are counted at a time: their columns fit into a processor's cache."""
PACKS: Final = 64
"""Packs that are fetched at a time, 50 kB each."""

ERASED: Final = -1
LOST: Final = -2
"""In place of a subject: the key was erased; its cell is not to be found."""
KEY_DIGITS: Final = 10
LOOKUP: Final = 32

Which = Literal["sure", "maybe", "blank"]
"""Under way in the time in question for sure; perhaps, for it began before and nobody recorded its end; one of which
no record tells the place, and whose last record is not before the time in question.
"""


class Window(NamedTuple):
    """Which time is in question. Moments are Unix microseconds, `unknown` is the number of that outcome."""

    since: int
    until: int | None
    unknown: int


class Row(NamedTuple):
    """An exchange as the index has it, and the number of its slot."""

    change: ExchangeChange
    slot: int


class Found(NamedTuple):
    """A finding of an exchange."""

    exchange: str
    rule: str
    verdict: str


class Part:
    """What a host wrote. `host` is empty where there is but one. The small tables are read at once."""

    def __init__(self, connection: sa.Connection, tables: IndexTables, host: str) -> None:
        self.host = host
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        self._tables = tables
        self._of = tables.exchanges.c
        self._keys = tables.subject_keys.c
        run = connection.execute
        self.slots: dict[int, tuple[str, int, str]] = {
            row.number: (row.slot, row.seq, row.prev) for row in run(tables.slots.select())
        }
        self.words: dict[int, str] = {row.id: row.word for row in run(tables.words.select())}
        self.places: dict[int, Place] = {
            row.id: Place(row.shop, row.surface, row.model, row.jurisdiction) for row in run(tables.scopes.select())
        }
        self.labels: list[str] = self._label_names()
        settings = sa.table("settings", sa.column("name"), sa.column("value"), schema=tables.exchanges.schema)
        caught_up = connection.scalar(sa.select(settings.c.value).where(settings.c.name == CAUGHT_UP))
        self.caught_up = None if caught_up is None else int(caught_up)

    def word(self, word: str) -> int:
        """Its number; one that no row has, if it was never seen."""
        return next((i for i, known in self.words.items() if known == word), -1)

    # --- the scan -----------------------------------------------------------------------------------------------------

    def scan(self, window: Window, scopes: Collection[int], but: Mapping[int, Ints]) -> Iterator[tuple[Which, Columns]]:
        """All exchanges in the window whose scope is among `scopes`, and blank ones, in pieces.

        Those are left out whose first records `but` names, by number of the slot.
        """
        here = np.zeros(max(self.places, default=0) + 1, np.bool_)
        here[sorted(scopes)] = True
        parts: list[Columns] = []
        size = 0
        for slot, found in itertools.chain(self._packed(window), self._unpacked()):
            gone = but.get(slot)
            parts.append(found if gone is None else found.only(~np.isin(found.seq, gone)))
            size += len(parts[-1].seq)
            if size >= PIECE:
                yield from _divided(joined(parts), window, here)
                parts, size = [], 0
        if parts:
            yield from _divided(joined(parts), window, here)

    def _packed(self, window: Window) -> Iterator[tuple[int, Columns]]:
        """The packs in which something may be in the window, each with its slot."""
        of = self._tables.packs.c
        query = sa.select(of.slot, of.data).where(of.last >= window.since - LONGEST)
        if window.until is not None:
            query = query.where(sa.or_(of.began < window.until, of.blank))
        for row in self._connection.execute(query.execution_options(yield_per=PACKS, **{BINARY: True})):
            yield row.slot, unpack(row.data)

    def _unpacked(self) -> Iterator[tuple[int, Columns]]:
        """All exchanges that are in no pack."""
        of = self._tables.packs.c
        packed: dict[int, list[tuple[int, int]]] = {number: [] for number in self.slots}
        for row in self._connection.execute(sa.select(of.slot, of.first, of.after).order_by(of.slot, of.first)):
            packed[row.slot].append((row.first, row.after))
        for slot, spans in packed.items():
            for gap in gaps(spans):
                yield from ((slot, found) for found in self._rows_of(slot, gap))

    def _rows_of(self, slot: int, span: Span) -> Iterator[Columns]:
        """The exchanges of a slot in `span`, in pieces."""
        numbers = map(sa.ColumnElement.label, columns_of(self._tables.exchanges), Columns._fields)
        query = sa.select(*numbers).where(self._of.slot == slot).order_by(self._of.first_seq).limit(PIECE)
        if span.after is not None:
            query = query.where(self._of.first_seq < span.after)
        first = span.first
        while True:
            some = query.where(self._of.first_seq >= first).subquery()
            texts = self._connection.execute(sa.select(*(self._joined(some.c[name]) for name in Columns._fields))).one()
            if texts[0] is None:
                return
            found = Columns(*(np.fromstring(text, np.int64, sep=",") for text in texts))
            yield found
            if len(found.seq) < PIECE:
                return
            first = int(found.seq[-1]) + 1  # no two exchanges of a slot begin with one record

    def leaks(
        self,
        window: Window,
        which: Which,
        scopes: Collection[int],
        rules: Collection[str],
        verdict: str,
        *,
        but: Collection[str] = (),
    ) -> dict[str, int]:
        """The exchanges of the window in which a finding has one of `rules`, or `verdict`, with their keys (0: none).

        Those in `but` are left out.
        """
        found = self._tables.findings.c
        of_rule = found.rule.in_([self.word(rule) for rule in rules])
        query = self._with_findings(window, which, scopes, but, self._of.exchange, self._of.key)
        query = query.where(sa.or_(of_rule, found.verdict == self.word(verdict)))
        return {row.exchange: row.key or 0 for row in self._connection.execute(query)}

    def rules(
        self, window: Window, which: Which, scopes: Collection[int], *, but: Collection[str] = ()
    ) -> Counter[str]:
        """In how many exchanges of the window each rule found something. Those in `but` are left out."""
        found = self._tables.findings.c
        count = sa.func.count(sa.distinct(found.exchange)).label("n")
        query = self._with_findings(window, which, scopes, but, found.rule, count).group_by(found.rule)
        return Counter({self.words[row.rule] or "unknown": row.n for row in self._connection.execute(query)})

    def _with_findings(
        self,
        window: Window,
        which: Which,
        scopes: Collection[int],
        but: Collection[str],
        *columns: sa.ColumnElement[Any],
    ) -> sa.Select[Any]:
        found = self._tables.findings
        exchange: sa.ColumnElement[str] = found.c.exchange
        if self._sqlite:
            # It has no statistics to choose an index by, and a unary plus keeps it from the one of this column: it
            # must go from the findings, which are few, to their exchanges.
            exchange = sa.literal_column("+findings.exchange", exchange.type)
        same = sa.and_(exchange == self._of.exchange, found.c.slot == self._of.slot)
        query = sa.select(*columns).select_from(found.join(self._tables.exchanges, same))
        query = query.where(self._of.found, found.c.at >= window.since - LONGEST)
        if window.until is not None:
            query = query.where(found.c.at < window.until + LONGEST)
        if but:
            query = query.where(found.c.exchange.not_in(sorted(but)))
        return query.where(*self._conditions(window, which, scopes))

    def _conditions(self, window: Window, which: Which, scopes: Collection[int]) -> list[sa.ColumnElement[bool]]:
        """The same as `_divided` says of columns."""
        of, since = self._of, window.since
        began: sa.ColumnElement[int] = of.began
        scope: sa.ColumnElement[int] = of.scope
        if self._sqlite:
            scope = sa.literal_column("+exchanges.scope", of.scope.type)
            began = sa.literal_column("+exchanges.began", of.began.type)
        where: list[sa.ColumnElement[bool]] = []
        if set(scopes) >= self.places.keys() - {NOTHING}:
            where.append(scope != NOTHING)
        else:
            where.append(scope.in_(sa.bindparam(None, sorted(scopes), expanding=True, literal_execute=True)))
        if window.until is not None:
            where.append(began < window.until)
        without_end = sa.or_(of.outcome.is_(None), of.outcome == window.unknown)
        if which == "maybe":
            return [*where, began >= since - LONGEST, began < since, without_end]
        ended_later = sa.and_(began >= since - LONGEST, of.last >= since, sa.not_(without_end))
        return [*where, sa.or_(began >= since, ended_later)]

    def _joined(self, number: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
        """All numbers of a column as one text; those of a query are in the same order: that of the rows."""
        if self._sqlite:
            return sa.func.group_concat(number)
        return sa.func.string_agg(sa.cast(number, sa.Text), ",")

    # --- single exchanges ---------------------------------------------------------------------------------------------

    def rows(self, exchanges: Collection[str]) -> list[Row]:
        """The rows of these exchanges."""
        found = []
        for part in _parts(sorted(exchanges)):
            query = (
                sa.select(self._tables.exchanges, self._keys.key.label("key_id"))
                .outerjoin(self._tables.subject_keys, self._keys.id == self._of.key)
                .where(self._of.exchange.in_(part))
            )
            found += [Row(self._change(row), row.slot) for row in self._connection.execute(query)]
        return found

    def findings(self, exchanges: Collection[str]) -> list[Found]:
        """The findings of these exchanges."""
        found = []
        table = self._tables.findings
        for part in _parts(sorted(exchanges)):
            rows = self._connection.execute(table.select().where(table.c.exchange.in_(part)))
            found += [Found(row.exchange, self.words[row.rule], self.words[row.verdict]) for row in rows]
        return found

    def last_of(self, slot: str) -> int | None:
        """The moment of the newest record of an exchange of `slot`, None if there is none."""
        numbers = [number for number, (name, _, _) in self.slots.items() if name == slot]
        newest = sa.select(sa.func.max(self._of.last)).where(self._of.slot.in_(numbers))
        found: int | None = self._connection.scalar(newest)
        return found

    def _change(self, row: Any) -> ExchangeChange:
        place = self.places[row.scope]
        return ExchangeChange(
            slot=self.slots[row.slot][0],
            exchange=row.exchange,
            first_seq=row.first_seq,
            last_seq=row.last_seq,
            began=row.began,
            last=row.last,
            place=place if row.scope != NOTHING else None,
            credential=self.words[row.credential],
            plan=self.words[row.plan],
            key=row.key_id,
            session=row.session,
            called=row.called,
            outcome=None if row.outcome is None else self.words[row.outcome],
            reason=self.words[row.reason or NOTHING],
            outcome_seq=row.outcome_seq,
            released=row.released,
            present=self._names(row.present),
            restored=self._names(row.restored),
            found=row.found,
        )

    # --- subjects -----------------------------------------------------------------------------------------------------

    def people(self) -> Ints:
        """Of every key, by its number, the number of its subject, or `ERASED`, or `LOST`; 0 where there is no key."""
        keys = self._keys
        found = np.arange((self._connection.scalar(sa.select(sa.func.max(keys.id))) or 0) + 1)
        # A subject's number is that of their first key, and most have no other.
        subject = sa.case((keys.subject.is_not(None), keys.subject), (keys.erased, ERASED), else_=LOST)
        others = sa.select(self._joined(keys.id), self._joined(subject))
        numbers, subjects = self._connection.execute(others.where(keys.id.is_distinct_from(keys.subject))).one()
        found[_numbers(numbers)] = _numbers(subjects)
        return found

    def lookups(self) -> tuple[Ints, npt.NDArray[np.bytes_]]:
        """Of every key whose subject is known its number, and the subject's look-up pseudonym."""
        keys = self._keys
        if self._sqlite:
            printed = sa.func.printf(f"%0{KEY_DIGITS}d%s", keys.id, keys.lookup)
            query = sa.select(sa.func.group_concat(printed, ""))
        else:
            padded = sa.func.lpad(sa.cast(keys.id, sa.Text), KEY_DIGITS, "0")
            query = sa.select(sa.func.string_agg(padded.concat(keys.lookup), ""))
        text: str = self._connection.scalar(query.where(keys.lookup.is_not(None))) or ""
        both = np.frombuffer(text.encode(), np.dtype([("key", f"S{KEY_DIGITS}"), ("lookup", f"S{LOOKUP}")]))
        return both["key"].astype(np.int64), both["lookup"]

    def keys(self, keys: Collection[str]) -> dict[str, int]:
        """The numbers of the keys with these ids, as far as they are known."""
        table = self._tables.subject_keys
        found: dict[str, int] = {}
        for part in _parts(sorted(keys)):
            rows = self._connection.execute(sa.select(table.c.key, table.c.id).where(table.c.key.in_(part)))
            found.update((row.key, row.id) for row in rows)
        return found

    def subjects_of(self, lookups: Collection[str]) -> dict[str, int]:
        """The number of the subject with each of these look-up pseudonyms, as far as there is one."""
        keys = self._keys
        found: dict[str, int] = {}
        for part in _parts(sorted(lookups)):
            query = sa.select(keys.lookup, sa.func.min(keys.subject).label("subject")).where(keys.lookup.in_(part))
            found.update((row.lookup, row.subject) for row in self._connection.execute(query.group_by(keys.lookup)))
        return found

    def pseudonyms(self) -> Iterator[tuple[int, str]]:
        """Every key whose subject is known: its number, and the look-up pseudonym; streaming."""
        query = sa.select(self._keys.id, self._keys.lookup).where(self._keys.lookup.is_not(None))
        rows = self._connection.execute(query.execution_options(yield_per=10 * CHUNK))
        yield from ((row.id, row.lookup) for row in rows)

    def cells_read(self) -> dict[str, tuple[int, int]]:
        """Per file of key cells its inode, and how many cells of it were read."""
        rows = self._connection.execute(self._tables.cell_files.select())
        return {row.name: (row.inode, row.cells) for row in rows}

    # --- labels -------------------------------------------------------------------------------------------------------

    def _label_names(self) -> list[str]:
        """What each bit of `present` and `restored` stands for."""
        names: dict[int, str] = {}
        for row in self._connection.execute(self._tables.labels.select()):
            names[bit(row.id).bit_length() - 1] = OTHER if shares_bit(row.id) else row.label
        return [names.get(at, "") for at in range(max(names, default=-1) + 1)]

    def _names(self, mask: int) -> frozenset[str]:
        return frozenset(name for at, name in enumerate(self.labels) if mask >> at & 1)


def _divided(all_of: Columns, window: Window, here: npt.NDArray[np.bool_]) -> Iterator[tuple[Which, Columns]]:
    """Those that are in question: for sure, maybe, or of which nobody knows. `here` says it of every scope."""
    since, began = window.since, all_of.began
    asked = here[all_of.scope]
    if window.until is not None:
        asked &= began < window.until
    later = began >= since
    sure, maybe = asked & later, asked & ~later & (began >= since - LONGEST)
    if maybe.any():
        endless = (all_of.outcome == OPEN) | (all_of.outcome == window.unknown)
        sure |= maybe & ~endless & (all_of.last >= since)
        maybe &= endless
    blank = (all_of.scope == NOTHING) & (all_of.last >= since)
    kinds: tuple[tuple[Which, npt.NDArray[np.bool_]], ...] = (("sure", sure), ("maybe", maybe), ("blank", blank))
    for which, mask in kinds:
        if mask.any():
            yield which, all_of.only(mask)


def _numbers(text: str | None) -> Ints:
    return np.fromstring(text, np.int64, sep=",") if text else np.zeros(0, np.int64)


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[i : i + CHUNK] for i in range(0, len(values), CHUNK))
