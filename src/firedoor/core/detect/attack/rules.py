"""The rules that speak for an attack.

One pass over a text finds the words that patterns need: `hyperscan`, or RE2 where it is missing. The few patterns whose
words are all there are then tried by RE2, which says where they stand. Words are literals, so both engines find the
same ones, and what a text costs hardly depends on what it is made of; RE2 never goes back in the text.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import re2

from firedoor.core.detect.attack.rulefile import Rule
from firedoor.core.detect.attack.rulefold import folded
from firedoor.core.detect.attack.rulesyntax import MAX_WIDTH
from firedoor.core.detect.attack.rulewords import sentences, spaced
from firedoor.core.detect.attack.signs import Role, RuleHit

BLOCK = 4096
"""Bytes looked at together, at most: words that stand far from each other say nothing together."""
STRETCH = 200
"""Bytes of whole sentences that are looked at together: fewer make more passes, more make more patterns possible."""
_STEP = BLOCK - MAX_WIDTH - 2  # what begins behind it is whole in the next block, with the sign before it
_MEMORY = 8 << 20  # bytes that one automaton of RE2 may take


class RuleSet:
    """All rules, compiled. Implements `RuleSearch`; may be shared between threads."""

    def __init__(self, rules: Sequence[Rule], *, hyperscan: bool = True) -> None:
        """`hyperscan`: whether it is used where it is installed."""
        self._named = [(rule.name, dict(rule.weights)) for rule in rules]
        self._expressions = [made.expression for rule in rules for made in rule.patterns]
        self._rule_of = [number for number, rule in enumerate(rules) for _ in rule.patterns]
        self._searches: list[Any] = [None] * len(self._expressions)
        parts: dict[tuple[bool, frozenset[bytes]], int] = {}
        # For each part of a pattern, the patterns of which it is the most telling, each with its other parts.
        self._tried: list[list[tuple[int, frozenset[int]]]] = []
        for number, made in enumerate(made for rule in rules for made in rule.patterns):
            numbers = [parts.setdefault((made.latin, part), len(parts)) for part in made.parts]
            self._tried += ([] for _ in range(len(parts) - len(self._tried)))
            self._tried[numbers[0]].append((number, frozenset(numbers[1:])))
        told: dict[bool, dict[bytes, list[int]]] = {True: {}, False: {}}
        for (latin, part), number in parts.items():
            for literal in part:
                told[latin].setdefault(literal, []).append(number)
        self._latin = _Words(told[True], hyperscan=hyperscan)
        self._other = _Words(told[False], hyperscan=hyperscan)

    @property
    def names(self) -> tuple[str, ...]:
        """The rules' names, in the order of the file."""
        return tuple(name for name, _ in self._named)

    def find(self, text: str, role: Role) -> list[RuleHit]:
        """Rules that match `text`, each once, in the order of the text; offsets count code points."""
        data = folded(text).encode("utf-8", "replace")  # a lone surrogate is one byte that no pattern has
        first: dict[int, tuple[int, int]] = {}
        for begin, end in _blocks(0, len(data)):
            self._search(self._other.seen(data[begin:end]), data, begin, end, role, first)
        in_sentences: dict[int, tuple[int, int]] = {}
        for sentence in sentences(data, STRETCH):
            for begin, end in _blocks(*sentence):
                self._search(self._latin.seen(spaced(data[begin:end])), data, begin, end, role, in_sentences)
        for rule, place in in_sentences.items():
            first[rule] = min(place, first.get(rule, place))
        return self._hits(data, sorted((start, end, rule) for rule, (start, end) in first.items()), role)

    def _search(
        self, seen: set[int], data: bytes, begin: int, end: int, role: Role, first: dict[int, tuple[int, int]]
    ) -> None:
        """Adds where rules first match in `data` from `begin` to `end`, where the words of `seen` are."""
        found: dict[int, tuple[int, int]] = {}
        for number in self._possible(seen):
            rule = self._rule_of[number]
            if rule in first or role not in self._named[rule][1]:
                continue
            # In all of the data, to know whether the words at the edges are whole.
            match = self._searched(number).search(data, begin, end)
            if match is not None:
                place = match.span()
                found[rule] = min(place, found.get(rule, place))
        first |= found

    def _possible(self, seen: set[int]) -> Iterator[int]:
        """The patterns of which all parts are seen."""
        for number in seen:
            for pattern, others in self._tried[number]:
                if others <= seen:
                    yield pattern

    def _searched(self, number: int) -> Any:
        search = self._searches[number]
        if search is None:
            options = re2.Options()
            options.encoding = re2.Options.Encoding.LATIN1
            options.max_mem = _MEMORY
            options.log_errors = False
            search = self._searches[number] = re2.compile(b"(?m)" + self._expressions[number], options)
        return search

    def _hits(self, data: bytes, places: list[tuple[int, int, int]], role: Role) -> list[RuleHit]:
        hits = []
        counted = points = 0  # bytes, and the code points they are
        for start, end, number in places:
            points += _points(data[counted:start])
            counted = start
            name, weights = self._named[number]
            hits.append(RuleHit(name, points, points + _points(data[start:end]), weights[role]))
        return hits


class _Words:
    """Finds which words a text has, and the numbers that they tell."""

    def __init__(self, told: dict[bytes, list[int]], *, hyperscan: bool) -> None:
        self._words = sorted(told)
        self._told = [told[word] for word in self._words]
        self._database: Any = None
        self._set: Any = None
        if hyperscan and self._words:
            self._compile()

    def _compile(self) -> None:
        try:
            self._engine: Any = importlib.import_module("hyperscan")
        except ImportError:
            return
        self._database = self._engine.Database(mode=self._engine.HS_MODE_BLOCK)
        self._database.compile(
            expressions=self._words,
            ids=list(range(len(self._words))),
            flags=[self._engine.HS_FLAG_SINGLEMATCH] * len(self._words),
            literal=True,
        )

    def seen(self, data: bytes) -> set[int]:
        """The numbers that the words in `data` tell."""
        numbers: set[int] = set()
        for word in self._found(data):
            numbers.update(self._told[word])
        return numbers

    def _found(self, data: bytes) -> Sequence[int]:
        if self._database is not None:
            found: list[int] = []
            try:
                self._database.scan(data, match_event_handler=_note, context=found)
            except self._engine.error:  # another thread uses the working memory of the database
                pass
            else:
                return found
        if self._set is None:
            self._set = _search_set(self._words)
        matched: Sequence[int] | None = self._set.Match(data)
        return matched or ()


def _blocks(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """`begin`..`end` in blocks; each match is whole in one of them."""
    while end - begin > BLOCK:
        yield begin, begin + BLOCK
        begin += _STEP
    yield begin, end


def _search_set(words: Sequence[bytes]) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY * 8
    options.log_errors = False
    made = re2.Set.SearchSet(options)
    for word in words:
        made.Add(re2.escape(word))
    made.Compile()
    return made


def _note(number: int, _start: int, _end: int, _flags: int, found: list[int]) -> None:
    found.append(number)


def _points(data: bytes) -> int:
    return len(data) if data.isascii() else len(data.decode("utf-8", "ignore"))
