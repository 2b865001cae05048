"""Questions to the index of exchanges: which they are, and how many subjects, categories, jurisdictions and outcomes.

What is not known is counted apart, never left out: exchanges without a known subject, those whose subject was erased,
those that are still open or ended unknown. Readers hold no lock that a writer waits for, but for the swap of a rebuild.
Where several hosts share a database, each has an index of its own in it: a question goes to all, in one snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from msgspec import structs

from firedoor.core.evidence.questions import LONGEST, OPEN, Found, Question, Summary
from firedoor.store.index_tables import LIVE, NOTHING, OTHER, IndexTables, bit, shares_bit
from firedoor.store.state import State, open_hosts_for_reading, open_state_for_reading

MOST: Final = 100_000
"""Exchanges that one question lists: with every column, about 50 MB."""
_CHUNK: Final = 1000


class IndexReader:
    """The index, read-only, beside its writer or without one. `parts` are the tables of each host, by its name.

    Slots of a host that has a name are called ``HOST/SLOT``.
    """

    def __init__(self, state: State, parts: Mapping[str, IndexTables]) -> None:
        self._state = state
        self._parts = parts

    def find(self, question: Question, limit: int) -> list[Found]:
        """The newest `limit` exchanges (at most `MOST`), newest first. Raises `StateUnavailable`, `StateDamaged`."""
        limit = min(limit, MOST)
        with self._snapshots() as snapshots:
            found = [one for snapshot in snapshots for one in snapshot.find(question, limit)]
        if len(self._parts) > 1:
            found.sort(key=lambda one: (-one.began, one.exchange, one.slot))
        return found[:limit]

    def summary(self, question: Question) -> Summary:
        """Counts over all exchanges in question. Raises `StateUnavailable`, `StateDamaged`."""
        with self._snapshots() as snapshots:
            counts = [snapshot.summary(question) for snapshot in snapshots]
            if len(counts) == 1:
                return counts[0]
            return structs.replace(_added(counts), subjects=_distinct(snapshots, question))

    def read_up_to(self) -> dict[str, int]:
        """Per slot the last record that is in the index. Raises `StateUnavailable`, `StateDamaged`."""
        with self._snapshots() as snapshots:
            return dict(sorted(slot for snapshot in snapshots for slot in snapshot.slots.values()))

    def close(self) -> None:
        """Let go of the database."""
        self._state.close()

    @contextmanager
    def parts(self) -> Iterator[tuple[sa.Connection, Mapping[str, IndexTables]]]:
        """The tables of each host, all of one generation, and a connection to which they all show the same state.

        Raises `StateUnavailable`, `StateDamaged`, also from within.
        """
        with self._state.reading() as connection:
            if self._state.dialect != "sqlite":  # all tables of one generation: a swap waits, or was before
                tables = (table.fullname for part in self._parts.values() for table in part.all())
                connection.exec_driver_sql(f"LOCK TABLE {', '.join(map(_quoted, tables))} IN ACCESS SHARE MODE")
            yield connection, self._parts

    @contextmanager
    def _snapshots(self) -> Iterator[list[_Snapshot]]:
        """One of each part; all of them see the same state."""
        with self.parts() as (connection, parts):
            sqlite = self._state.dialect == "sqlite"
            yield [_Snapshot(connection, tables, host, sqlite=sqlite) for host, tables in parts.items()]


def open_index(where: Path | str, region: str, *, of_hosts: bool = False) -> IndexReader:
    """The index of `region` in a SQLite file or PostgreSQL database; `of_hosts`: what all its hosts wrote there.

    Raises like `open_state_for_reading`.
    """
    if of_hosts and isinstance(where, str):
        state, schemas = open_hosts_for_reading(where, region)
        return IndexReader(state, {host: IndexTables(schema=schema) for host, schema in schemas.items()})
    return IndexReader(open_state_for_reading(where, region), {"": LIVE})


class _Snapshot:
    """One question's view of one part: all of it sees the same state. The small tables are read first, whole."""

    def __init__(self, connection: sa.Connection, tables: IndexTables, host: str, *, sqlite: bool) -> None:
        self.connection = connection
        self._sqlite = sqlite
        self._tables = tables
        self._exchanges = tables.exchanges.c
        self._keys = tables.subject_keys.c
        self._findings_of = tables.findings.c
        run = connection.execute
        before = f"{host}/" if host else ""
        self.slots = {row.number: (before + row.slot, row.seq) for row in run(tables.slots.select())}
        self._words = {row.id: row.word for row in run(tables.words.select())}
        self._scopes = {row.id: row for row in run(tables.scopes.select())}
        self._labels = {row.id: row.label for row in run(tables.labels.select())}

    def find(self, question: Question, limit: int) -> list[Found]:
        newest = self._exchanges.began.desc()
        sift = _is_broad(question)
        where = self._conditions(question, sift=sift)
        if self._sqlite and sift:
            # Left to itself SQLite fetches every row in question to sort them: choose by the narrow index first.
            row: sa.ColumnElement[int] = sa.literal_column(f"{self._tables.exchanges.name}.rowid")
            best = sa.select(row).select_from(self._tables.exchanges).where(*where).order_by(newest).limit(limit)
            where = [row.in_(best)]
        query = (
            sa.select(self._tables.exchanges, self._keys.lookup, self._keys.erased)
            .outerjoin(self._tables.subject_keys, self._keys.id == self._exchanges.key)
            .where(*where)
            .order_by(newest, self._exchanges.exchange)
            .limit(limit)
        )
        rows = self.connection.execute(query).all()
        rules = self._rules([row.exchange for row in rows if row.found])
        return [self._found(row, rules.get((row.exchange, row.slot), set())) for row in rows]

    def summary(self, question: Question) -> Summary:
        where = self._conditions(question, sift=True)
        groups = self._groups(where)
        total = sum(row.n for row in groups)
        subjects, with_key, erased, unknown = self._subjects(where)
        return Summary(
            exchanges=total,
            called=sum(row.n for row in groups if row.called),
            subjects=subjects,
            no_subject=total - with_key,
            erased=erased,
            unknown_subject=unknown,
            jurisdictions=_counted((self._scopes[row.scope].jurisdiction or "unknown", row.n) for row in groups),
            categories=_counted((label, row.n) for row in groups for label in self._in(row.present)),
            restored=_counted((label, row.n) for row in groups for label in self._in(row.restored)),
            outcomes=_counted((self._outcome(row.outcome), row.n) for row in groups),
            findings=self._findings(where) if any(row.found for row in groups) else {},
        )

    def subjects(self, question: Question) -> sa.Select[Any]:
        """The look-up pseudonyms of the subjects in question: the same ones in every part."""
        where = self._conditions(question, sift=True)
        joined = sa.select(self._keys.lookup).join_from(
            self._tables.exchanges, self._tables.subject_keys, self._keys.id == self._exchanges.key
        )
        return joined.where(self._keys.lookup.is_not(None), *where).distinct()

    # --- conditions ---------------------------------------------------------------------------------------------------

    def _conditions(self, question: Question, *, sift: bool) -> list[Any]:
        """`sift`: all exchanges in the window are looked at, whatever else is asked."""
        began: sa.ColumnElement[int] = self._exchanges.began
        scope: sa.ColumnElement[int] = self._exchanges.scope
        if self._sqlite:
            # It has no statistics to choose an index by. A unary plus keeps it from the one for this column: the few
            # rows of a subject, session or rule are found by that, all others in the index that holds what is asked.
            narrow = _is_narrow(question)
            if narrow or sift:
                began = sa.literal_column("+exchanges.began", self._exchanges.began.type)
            if narrow:
                scope = sa.literal_column("+exchanges.scope", self._exchanges.scope.type)
        where: list[Any] = []
        if question.until is not None:
            where.append(began < question.until)
        if question.since is not None:
            ended = sa.and_(self._exchanges.last < question.since, self._exchanges.outcome.is_not(None))
            where += [began >= question.since - LONGEST, sa.or_(began >= question.since, sa.not_(ended))]
        if (scopes := self._wanted_scopes(question)) is not None:
            where.append(scope.in_(scopes))
        if question.subject is not None:
            mine = sa.select(self._keys.id).where(self._keys.lookup == question.subject)
            where.append(self._exchanges.key.in_(mine))
        if question.session is not None:
            where.append(self._exchanges.session == question.session)
        if question.category is not None:
            mask = self._mask(question.category)
            where.append(self._exchanges.present.bitwise_or(self._exchanges.restored).bitwise_and(mask) != 0)
        if question.outcome == OPEN:
            where.append(self._exchanges.outcome.is_(None))
        elif question.outcome is not None:
            where.append(self._exchanges.outcome == self._word(question.outcome))
        if question.finding is not None:
            rule = self._word(question.finding)
            mine = sa.select(self._findings_of.exchange, self._findings_of.slot).where(self._findings_of.rule == rule)
            where += [self._exchanges.found, sa.tuple_(self._exchanges.exchange, self._exchanges.slot).in_(mine)]
        return where

    def _wanted_scopes(self, question: Question) -> list[int] | None:
        wanted = {
            part: value
            for part in ("shop", "surface", "model", "jurisdiction")
            if (value := getattr(question, part)) is not None
        }
        if not wanted:
            return None
        return [i for i, row in self._scopes.items() if all(getattr(row, part) == v for part, v in wanted.items())]

    def _word(self, word: str) -> int:
        """Its integer; one that no row has, if it was never seen."""
        return next((i for i, known in self._words.items() if known == word), -1)

    def _mask(self, label: str) -> int:
        if label == OTHER:
            return bit(max(self._labels, default=1)) if any(map(shares_bit, self._labels)) else 0
        return next((bit(i) for i, known in self._labels.items() if known == label and not shares_bit(i)), 0)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _groups(self, where: list[Any]) -> list[Any]:
        names = ("scope", "outcome", "credential", "present", "restored", "called", "found")  # the index's own order
        by = [self._exchanges[name] for name in names]
        return list(self.connection.execute(sa.select(*by, sa.func.count().label("n")).where(*where).group_by(*by)))

    def _subjects(self, where: list[Any]) -> tuple[int, int, int, int]:
        """Distinct subjects; exchanges that name one at all; of these with an erased key, and with a lost one."""
        lost = sa.and_(self._keys.subject.is_(None), sa.not_(self._keys.erased))
        query = (
            sa.select(
                sa.func.count(sa.distinct(self._keys.subject)),
                sa.func.count(),
                sa.func.sum(sa.case((self._keys.erased, 1), else_=0)),
                sa.func.sum(sa.case((lost, 1), else_=0)),
            )
            .join_from(self._tables.exchanges, self._tables.subject_keys, self._keys.id == self._exchanges.key)
            .where(*where)
        )
        subjects, with_key, erased, unknown = self.connection.execute(query).one()
        return int(subjects), int(with_key), int(erased or 0), int(unknown or 0)

    def _findings(self, where: list[Any]) -> dict[str, int]:
        each = sa.distinct(self._findings_of.exchange)
        query = (
            sa.select(self._findings_of.rule, sa.func.count(each).label("n"))
            .join(
                self._tables.exchanges,
                sa.and_(
                    self._exchanges.exchange == self._findings_of.exchange,
                    self._exchanges.slot == self._findings_of.slot,
                ),
            )
            .where(self._exchanges.found, *where)
            .group_by(self._findings_of.rule)
        )
        return _counted((self._words[row.rule] or "unknown", row.n) for row in self.connection.execute(query))

    def _rules(self, exchanges: list[str]) -> dict[tuple[str, int], set[str]]:
        rules: dict[tuple[str, int], set[str]] = {}
        for start in range(0, len(exchanges), _CHUNK):
            part = exchanges[start : start + _CHUNK]
            for row in self.connection.execute(
                self._tables.findings.select().where(self._findings_of.exchange.in_(part))
            ):
                rules.setdefault((row.exchange, row.slot), set()).add(self._words[row.rule])
        return rules

    def _found(self, row: Any, rules: set[str]) -> Found:
        scope = self._scopes[row.scope]
        return Found(
            exchange=row.exchange,
            began=row.began,
            last=row.last,
            shop=scope.shop,
            surface=scope.surface,
            model=scope.model,
            jurisdiction=scope.jurisdiction,
            credential=self._words[row.credential],
            plan=self._words[row.plan],
            subject=row.lookup,
            erased=bool(row.erased),
            session=row.session,
            called=row.called,
            outcome=self._outcome(row.outcome),
            reason=self._words[row.reason or NOTHING],
            released=row.released,
            present=self._in(row.present),
            restored=self._in(row.restored),
            findings=sorted(rules),
            slot=self.slots[row.slot][0],
            first_seq=row.first_seq,
            last_seq=row.last_seq,
        )

    def _outcome(self, outcome: int | None) -> str:
        return OPEN if outcome is None else self._words[outcome]

    def _in(self, mask: int) -> list[str]:
        """The labels whose bits are set."""
        if not mask:
            return []
        names = {OTHER if shares_bit(i) else label for i, label in self._labels.items() if mask & bit(i)}
        return sorted(names)


def _is_narrow(question: Question) -> bool:
    """Whether few exchanges are in question, which an index of their own finds."""
    return any(value is not None for value in (question.subject, question.session, question.finding))


def _is_broad(question: Question) -> bool:
    """Whether all exchanges in the window must be looked at, for values that the summary's index holds."""
    place = (question.shop, question.surface, question.model, question.jurisdiction)
    values = (*place, question.category, question.outcome)
    return not _is_narrow(question) and any(value is not None for value in values)


def _distinct(snapshots: list[_Snapshot], question: Question) -> int:
    """How many subjects there are in all parts together: one that spoke with two hosts is one."""
    connection = snapshots[0].connection
    every = sa.union(*(snapshot.subjects(question) for snapshot in snapshots)).subquery()
    return int(connection.scalar(sa.select(sa.func.count()).select_from(every)) or 0)


def _added(counts: list[Summary]) -> Summary:
    """The parts' counts as one: an exchange lies in one of them."""
    added: dict[str, Any] = {}
    for name in Summary.__struct_fields__:
        values = [getattr(one, name) for one in counts]
        is_number = isinstance(values[0], int)
        added[name] = sum(values) if is_number else _counted(pair for value in values for pair in value.items())
    return Summary(**added)


def _quoted(name: str) -> str:
    """A schema and a table, as SQL takes names with any characters. Both are ours: neither has a quote in it."""
    return ".".join(f'"{part}"' for part in name.split("."))


def _counted(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Summed up by name, the most frequent first."""
    counts: Counter[str] = Counter()
    for name, n in pairs:
        counts[name] += n
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
