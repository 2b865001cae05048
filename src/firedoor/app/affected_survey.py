"""One count of who is affected: the columns of the index, corrected by what the journals say since, into a tally.

Exchanges that journals say more of, and those that a case names, are taken out of the columns and counted one by one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np

from firedoor.app.affected_people import People
from firedoor.core.evidence.exchanges import Changes, ExchangeChange, Place, merge
from firedoor.core.incident.affected import AskedFor
from firedoor.core.incident.counting import Columns, Ints, Names, Tally
from firedoor.core.incident.inquestion import LEAKS, NOWHERE, SHUT, UNKNOWN, ended, is_leak, scopes_of, standing, wanted
from firedoor.store import index_columns
from firedoor.store.index_affected import Part, Row, Which, Window
from firedoor.store.index_columns import CALLED, OPEN, RELEASED
from firedoor.store.index_tables import NOTHING, OTHER

LABELS: Final = 63
"""Kinds of personal data that are told apart: bits of an integer. There are some thirty; if they run out, the rest
shares the last.
"""
T = TypeVar("T")


class AffectedSubject(NamedTuple):
    """A shopper who is affected: the region's look-up pseudonym, and what is known of their exchanges in question."""

    lookup: str
    confirmed: bool
    exposed: bool
    jurisdictions: tuple[str, ...]
    categories: tuple[str, ...]


class _One(NamedTuple):
    """An exchange that is counted by itself: what all records say, and the row of the index it replaces."""

    part: Part
    change: ExchangeChange
    row: Row | None


class Survey:
    """The exchanges in question of all parts, counted.

    `own` is this host's part, `changes` what its journals say beyond it, `subjects` its folder of key cells. Raises
    `StateUnavailable`, `StateDamaged`, OSError.
    """

    def __init__(self, asked: AskedFor, parts: list[Part], own: Part | None, changes: Changes, subjects: Path) -> None:
        self.blank = 0
        self.not_found = 0
        self.rules: Counter[str] = Counter()
        self._asked = asked
        self._scopes = scopes_of(asked)
        self._parts = parts
        self._own = own
        self._changes = changes
        self._named = frozenset(asked.exchanges)
        ones = self._single()
        keys = {one.change.key for one in ones if one.change.key is not None}
        self._people = People(parts, own, keys, changes.erased, subjects)
        self._countries = self._every_country(ones)
        self._labels = self._every_label(ones)
        told = {word for part in parts for word in part.words.values()}
        self._credentials = _numbered(told | {one.change.credential for one in ones})
        self._models = _numbered(place.model for place in self._places(ones))
        names = Names(list(self._countries), self._labels, list(self._credentials), list(self._models))
        self.tally = Tally(self._people.kinds, names)
        for part in parts:
            self._scan(part, [one for one in ones if one.part is part])
        self._count_single(ones)
        self.not_found = len(self._named - {one.change.exchange for one in ones})

    def people(self) -> Iterator[AffectedSubject]:
        """The known ones, each once."""
        seen = bytearray(len(self._people.kinds))
        for lookup, person in self._people.pseudonyms():
            found = self.tally.person(person)
            if found is not None and not seen[person]:
                seen[person] = 1
                yield AffectedSubject(lookup, *found)

    # --- single exchanges ---------------------------------------------------------------------------------------------

    def _single(self) -> list[_One]:
        """Those that the journals say more of, and those that are named."""
        since = dict(self._changes.exchanges)
        wanted_here = {exchange for _, exchange in since} | self._named
        found = []
        for part in self._parts:
            for row in part.rows(wanted_here if part is self._own else self._named):
                new = since.pop((row.change.slot, row.change.exchange), None) if part is self._own else None
                found.append(_One(part, row.change if new is None else merge(row.change, new), row))
        if self._own is not None:
            found += [_One(self._own, change, None) for change in since.values()]
        return found

    def _count_single(self, ones: list[_One]) -> None:
        """Into the tally, each with its findings."""
        rules: dict[str, set[str]] = defaultdict(set)
        leaks = set(self._named)
        found = [(f.exchange, f.rule, f.verdict) for f in self._changes.findings]
        for part in self._parts:
            mine = {one.change.exchange for one in ones if one.part is part and one.change.found}
            found += [(f.exchange, f.rule, f.verdict) for f in part.findings(mine)]
        for exchange, rule, verdict in found:
            rules[exchange].add(rule)
            if is_leak(rule, verdict):
                leaks.add(exchange)
        by_kind: dict[tuple[bool, bool], list[_One]] = defaultdict(list)
        for one in ones:
            which = "sure" if one.change.exchange in self._named else standing(self._asked, self._scopes, one.change)
            if which == "blank":
                self.blank += 1
            elif which != "no":
                by_kind[which == "sure", one.change.exchange in leaks].append(one)
                self.rules.update(rule or "unknown" for rule in rules[one.change.exchange])
        for (sure, confirmed), some in by_kind.items():
            self.tally.add(self._columns(some), sure=sure, confirmed=confirmed)

    def _columns(self, ones: list[_One]) -> Columns:
        changes = [one.change for one in ones]
        places = [change.place or NOWHERE for change in changes]
        masks = [sum(1 << at for at in {self._label(name) for name in c.present | c.restored}) for c in changes]
        return Columns(
            np.array([self._people.of(one.part, one.change.key) for one in ones], np.int64),
            np.array(masks, np.int64),
            np.array([change.called for change in changes], np.bool_),
            np.array([change.released > 0 for change in changes], np.bool_),
            np.array([ended(change.outcome) for change in changes], np.int8),
            np.array([self._countries.get(place.jurisdiction, -1) for place in places], np.int64),
            np.array([self._credentials[change.credential] for change in changes], np.int64),
            np.array([self._models[place.model] for place in places], np.int64),
        )

    # --- all others ---------------------------------------------------------------------------------------------------

    def _scan(self, part: Part, ones: list[_One]) -> None:
        """Into the tally, without those that are counted by themselves."""
        region = self._asked.region
        scopes = [i for i, place in part.places.items() if i != NOTHING and wanted(self._scopes, region, place)]
        gone: dict[int, list[int]] = defaultdict(list)
        for one in ones:
            if one.row is not None:
                gone[one.row.slot].append(one.row.change.first_seq)
        but = {slot: np.array(seqs, np.int64) for slot, seqs in gone.items()}
        window = Window(self._asked.since, self._asked.until, part.word(UNKNOWN))
        translated = self._translation(part)
        for which, found in part.scan(window, scopes, but):
            if which == "blank":
                self.blank += len(found.seq)
            else:
                self.tally.add(translated(found), sure=which == "sure")
        single = {one.change.exchange for one in ones}
        for which in ("sure", "maybe"):
            self._add_findings(part, window, which, scopes, single)

    def _translation(self, part: Part) -> Callable[[index_columns.Columns], Columns]:
        """From the numbers of `part` to those of the tally."""
        people = self._people.numbers(part)
        countries = _table(part.places, lambda place: self._countries.get(place.jurisdiction, -1))
        models = _table(part.places, lambda place: self._models[place.model])
        credentials = _table(part.words, self._credentials.__getitem__)
        ends = _table(part.words, ended).astype(np.int8)
        ends[OPEN] = ended(None)

        def translated(found: index_columns.Columns) -> Columns:
            return Columns(
                people[found.key],
                self._translated(part, found.labels),
                found.marks & CALLED != 0,
                found.marks & RELEASED != 0,
                ends[found.outcome],
                countries[found.scope],
                credentials[found.credential],
                models[found.scope],
            )

        return translated

    def _add_findings(
        self, part: Part, window: Window, which: Which, scopes: Collection[int], single: set[str]
    ) -> None:
        rules = part.rules(window, which, scopes, but=single)
        if rules:
            self.rules.update(rules)
            numbers = self._people.numbers(part)
            leaks = part.leaks(window, which, scopes, LEAKS, SHUT, but=single)
            self.tally.add_confirmed([int(numbers[key]) for key in leaks.values()], sure=which == "sure")

    # --- names --------------------------------------------------------------------------------------------------------

    def _every_country(self, ones: list[_One]) -> dict[str, int]:
        return _numbered({place.jurisdiction for place in self._places(ones)} - {""})

    def _places(self, ones: list[_One]) -> Iterator[Place]:
        """All there are, some several times."""
        yield NOWHERE
        for part in self._parts:
            yield from part.places.values()
        yield from (one.change.place for one in ones if one.change.place is not None)

    def _every_label(self, ones: list[_One]) -> list[str]:
        """The first part's in its own order, so that its numbers need no translation."""
        names = dict.fromkeys(name for part in self._parts for name in part.labels)
        names |= dict.fromkeys(name for one in ones for name in sorted(one.change.present | one.change.restored))
        listed = list(names)
        return listed if len(listed) <= LABELS else [*[n for n in listed if n != OTHER][: LABELS - 1], OTHER]

    def _label(self, name: str) -> int:
        return self._labels.index(name) if name in self._labels else len(self._labels) - 1

    def _translated(self, part: Part, masks: Ints) -> Ints:
        if part.labels == self._labels[: len(part.labels)]:
            return masks
        found = np.zeros(len(masks), np.int64)
        for at, name in enumerate(part.labels):
            found |= (masks >> at & 1) << self._label(name)
        return found


def _numbered(names: Iterable[str]) -> dict[str, int]:
    """Each name once, in their order, with its number."""
    return {name: at for at, name in enumerate(sorted(set(names)))}


def _table(numbers: Mapping[int, T], of: Callable[[T], int]) -> Ints:
    """What `of` says of each number of a part; one more at the end, for `OPEN`."""
    found = np.zeros(max(numbers, default=0) + 2, np.int64)
    for number, value in numbers.items():
        found[number] = of(value)
    return found
