"""Questions to the index of exchanges: which they are, and how many subjects, categories, jurisdictions and outcomes.

What is not known is counted apart, never left out: exchanges without a known subject, those whose subject was erased,
those that are still open or ended unknown. Readers hold no lock that a writer waits for, but for the swap of a rebuild.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from firedoor.core.evidence.questions import LONGEST, OPEN, Found, Question, Summary
from firedoor.store.index_tables import LIVE, NOTHING, OTHER, bit, shares_bit
from firedoor.store.state import State, open_state_for_reading

MOST: Final = 100_000
"""Exchanges that one question lists: with every column, about 50 MB."""
_CHUNK: Final = 1000
_EXCHANGES: Final = LIVE.exchanges.c
_KEYS: Final = LIVE.subject_keys.c
_FINDINGS: Final = LIVE.findings.c


class IndexReader:
    """The index, read-only, beside its writer or without one."""

    def __init__(self, state: State) -> None:
        self._state = state

    def find(self, question: Question, limit: int) -> list[Found]:
        """The newest `limit` exchanges (at most `MOST`), newest first. Raises `StateUnavailable`, `StateDamaged`."""
        with self._snapshot() as snapshot:
            return snapshot.find(question, min(limit, MOST))

    def summary(self, question: Question) -> Summary:
        """Counts over all exchanges in question. Raises `StateUnavailable`, `StateDamaged`."""
        with self._snapshot() as snapshot:
            return snapshot.summary(question)

    def read_up_to(self) -> dict[str, int]:
        """Per slot the last record that is in the index. Raises `StateUnavailable`, `StateDamaged`."""
        with self._snapshot() as snapshot:
            return dict(sorted(snapshot.slots.values()))

    def close(self) -> None:
        """Let go of the database."""
        self._state.close()

    @contextmanager
    def _snapshot(self) -> Iterator[_Snapshot]:
        with self._state.reading() as connection:
            if self._state.dialect == "postgresql":  # all tables of one generation: a swap waits, or was before
                names = ", ".join(table.name for table in LIVE.all())
                connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
            yield _Snapshot(connection, sqlite=self._state.dialect == "sqlite")


def open_index(where: Path | str, region: str) -> IndexReader:
    """The index of `region` in a SQLite file or PostgreSQL database. Raises like `open_state_for_reading`."""
    return IndexReader(open_state_for_reading(where, region))


class _Snapshot:
    """One question's view: all of it sees the same state. The small tables are read first, whole."""

    def __init__(self, connection: sa.Connection, *, sqlite: bool) -> None:
        self._connection = connection
        self._sqlite = sqlite
        run = connection.execute
        self.slots = {row.number: (row.slot, row.seq) for row in run(LIVE.slots.select())}
        self._words = {row.id: row.word for row in run(LIVE.words.select())}
        self._scopes = {row.id: row for row in run(LIVE.scopes.select())}
        self._labels = {row.id: row.label for row in run(LIVE.labels.select())}

    def find(self, question: Question, limit: int) -> list[Found]:
        newest = _EXCHANGES.began.desc()
        sift = _is_broad(question)
        where = self._conditions(question, sift=sift)
        if self._sqlite and sift:
            # Left to itself SQLite fetches every row in question to sort them: choose by the narrow index first.
            row: sa.ColumnElement[int] = sa.literal_column(f"{LIVE.exchanges.name}.rowid")
            best = sa.select(row).select_from(LIVE.exchanges).where(*where).order_by(newest).limit(limit)
            where = [row.in_(best)]
        query = (
            sa.select(LIVE.exchanges, _KEYS.lookup, _KEYS.erased)
            .outerjoin(LIVE.subject_keys, _KEYS.id == _EXCHANGES.key)
            .where(*where)
            .order_by(newest, _EXCHANGES.exchange)
            .limit(limit)
        )
        rows = self._connection.execute(query).all()
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

    # --- conditions ---------------------------------------------------------------------------------------------------

    def _conditions(self, question: Question, *, sift: bool) -> list[Any]:
        """`sift`: all exchanges in the window are looked at, whatever else is asked."""
        began: sa.ColumnElement[int] = _EXCHANGES.began
        scope: sa.ColumnElement[int] = _EXCHANGES.scope
        if self._sqlite:
            # It has no statistics to choose an index by. A unary plus keeps it from the one for this column: the few
            # rows of a subject, session or rule are found by that, all others in the index that holds what is asked.
            narrow = _is_narrow(question)
            if narrow or sift:
                began = sa.literal_column("+exchanges.began", _EXCHANGES.began.type)
            if narrow:
                scope = sa.literal_column("+exchanges.scope", _EXCHANGES.scope.type)
        where: list[Any] = []
        if question.until is not None:
            where.append(began < question.until)
        if question.since is not None:
            ended = sa.and_(_EXCHANGES.last < question.since, _EXCHANGES.outcome.is_not(None))
            where += [began >= question.since - LONGEST, sa.or_(began >= question.since, sa.not_(ended))]
        if (scopes := self._wanted_scopes(question)) is not None:
            where.append(scope.in_(scopes))
        if question.subject is not None:
            mine = sa.select(_KEYS.id).where(_KEYS.lookup == question.subject)
            where.append(_EXCHANGES.key.in_(mine))
        if question.session is not None:
            where.append(_EXCHANGES.session == question.session)
        if question.category is not None:
            mask = self._mask(question.category)
            where.append(_EXCHANGES.present.bitwise_or(_EXCHANGES.restored).bitwise_and(mask) != 0)
        if question.outcome == OPEN:
            where.append(_EXCHANGES.outcome.is_(None))
        elif question.outcome is not None:
            where.append(_EXCHANGES.outcome == self._word(question.outcome))
        if question.finding is not None:
            rule = self._word(question.finding)
            mine = sa.select(_FINDINGS.exchange, _FINDINGS.slot).where(_FINDINGS.rule == rule)
            where += [_EXCHANGES.found, sa.tuple_(_EXCHANGES.exchange, _EXCHANGES.slot).in_(mine)]
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
        by = [_EXCHANGES[n] for n in ("scope", "outcome", "present", "restored", "called", "found")]
        return list(self._connection.execute(sa.select(*by, sa.func.count().label("n")).where(*where).group_by(*by)))

    def _subjects(self, where: list[Any]) -> tuple[int, int, int, int]:
        """Distinct subjects; exchanges that name one at all; of these with an erased key, and with a lost one."""
        lost = sa.and_(_KEYS.subject.is_(None), sa.not_(_KEYS.erased))
        query = (
            sa.select(
                sa.func.count(sa.distinct(_KEYS.subject)),
                sa.func.count(),
                sa.func.sum(sa.case((_KEYS.erased, 1), else_=0)),
                sa.func.sum(sa.case((lost, 1), else_=0)),
            )
            .join_from(LIVE.exchanges, LIVE.subject_keys, _KEYS.id == _EXCHANGES.key)
            .where(*where)
        )
        subjects, with_key, erased, unknown = self._connection.execute(query).one()
        return int(subjects), int(with_key), int(erased or 0), int(unknown or 0)

    def _findings(self, where: list[Any]) -> dict[str, int]:
        each = sa.distinct(_FINDINGS.exchange)
        query = (
            sa.select(_FINDINGS.rule, sa.func.count(each).label("n"))
            .join(LIVE.exchanges, sa.and_(_EXCHANGES.exchange == _FINDINGS.exchange, _EXCHANGES.slot == _FINDINGS.slot))
            .where(_EXCHANGES.found, *where)
            .group_by(_FINDINGS.rule)
        )
        return _counted((self._words[row.rule] or "unknown", row.n) for row in self._connection.execute(query))

    def _rules(self, exchanges: list[str]) -> dict[tuple[str, int], set[str]]:
        rules: dict[tuple[str, int], set[str]] = {}
        for start in range(0, len(exchanges), _CHUNK):
            part = exchanges[start : start + _CHUNK]
            for row in self._connection.execute(LIVE.findings.select().where(_FINDINGS.exchange.in_(part))):
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


def _counted(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Summed up by name, the most frequent first."""
    counts: Counter[str] = Counter()
    for name, n in pairs:
        counts[name] += n
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
