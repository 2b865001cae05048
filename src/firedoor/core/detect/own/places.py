"""The shopper's own street and city in a text: type of street left out or shortened, number on either side, inflected.

A street's name alone says little ("Main", "Długa"): it counts with a word such as "street" beside it, or with the house
number on record. A city that is an everyday word as well counts behind a postcode or a word such as "in".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from firedoor.core.detect.own.names import Word, capital, has_no_case
from firedoor.core.detect.own.text import Letters, OwnFolding
from firedoor.core.detect.own.words import (
    BEFORE_PLACES,
    ON_A_RIVER,
    ORDINARY_PLACES,
    STREET_SUFFIXES,
    STREET_TYPES,
    STREET_WORDS,
    UNITS,
)

Places = Iterator[tuple[int, int]]

_PARTS = re.compile(r"[\W_]+")
_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ø": "oe", "Ø": "Oe", "å": "aa"}
)
_UNIT_WORDS = frozenset(UNITS.replace("é", "e").split("|"))
_MIN_CORE = 3
_MIN_WHOLE = 6
_BARE_SUFFIX = 7
_BEHIND = 48
_LETTER = r"(?:(?:[a-z]|\s[a-h])(?![^\W_]|\.?\s?[0-9]))"
_HOUSE = rf"[0-9]{{1,5}}{_LETTER}?(?:\s?[/-]\s?[0-9]{{1,4}}{_LETTER}?)?"
_UNIT = rf"(?:[\s,]{{1,2}}(?:{UNITS})\.?\s?[0-9]{{1,4}}{_LETTER}?)"
_AFTER = re.compile(
    rf"(?P<type>[\s.-]{{0,2}}(?:{STREET_TYPES})(?![^\W\d_])\.?)?"
    rf"(?P<house>[\s,.]{{1,3}}(?:nr|no|n°|num|number|nummer|numer|č|č\.p)?\.?\s?(?P<number>{_HOUSE})(?![^\W_]))?"
    rf"(?P<unit>{_UNIT})?",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    rf"(?P<house>(?<![^\W_])(?P<number>{_HOUSE}),?\s{{1,2}})?"
    rf"(?P<type>(?<![^\W_])(?:{STREET_TYPES})\.?[\s-]{{1,2}}(?:(?:de|del|della|di|du|des|la|le|van|der|den)\s){{0,2}})?$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]+(?:\s?[a-z](?![^\W_]))?", re.IGNORECASE)
_FULL_SUFFIX = ("", "asse", "ase", "assen")


class Street:
    """Finds one street, given as a line with street and number in any order."""

    __slots__ = ("_folding", "_number", "_whole", "_with_type", "_words")

    def __init__(self, line: str, folding: OwnFolding) -> None:
        self._folding = folding
        words = [word for word in map(folding.text, _PARTS.split(line)) if word]
        self._number = next((word for word in words if word[0].isdigit()), "")
        self._with_type = False
        self._whole: list[Word] = []
        self._words: list[Word] = []
        for spelling in dict.fromkeys((line, line.translate(_UMLAUTS))):
            self._add(spelling)

    def _add(self, line: str) -> None:
        parts = [part for part in map(self._folding.text, _PARTS.split(line)) if part]
        whole = "".join(parts)
        if len(whole) >= _MIN_WHOLE and len(parts) > 1 and not whole.isdigit():
            self._whole.append(Word(whole, _joints(parts), exact=True))
        core = _core(parts)
        joined = "".join(core)
        if len(joined) < _MIN_CORE:
            return
        stem = joined.removesuffix("strasse") if joined.endswith("strasse") else joined.removesuffix("str")
        if stem != joined and len(stem) >= _MIN_CORE:
            self._words.append(_Glued(stem + "str", _joints(core) | {len(stem)}))
            self._with_type = True
        else:
            self._words.append(Word(joined, _joints(core)))
            self._with_type = self._with_type or (joined.endswith(STREET_SUFFIXES) and len(joined) > _BARE_SUFFIX)

    def spans(self, letters: Letters) -> Places:
        """Where it stands."""
        text = letters.text
        for word in self._whole:
            for at, end in word.places(letters):
                yield letters.span(at, end)
        for word in self._words:
            for at, end in word.places(letters):
                start, finish = letters.span(at, end)
                after = _AFTER.match(text, finish, finish + _BEHIND)
                head = max(0, start - _BEHIND)
                before = _BEFORE.search(text, head, start)
                assert after is not None  # the pattern matches nothing as well
                assert before is not None
                own_after, own_before = self._is_house(after["number"]), self._is_house(before["number"])
                if not (self._with_type or after["type"] or before["type"] or own_after or own_before):
                    continue
                end_of = after.end() if own_after or not after["house"] else after.start("house")
                yield before.start("type") if before["type"] and not own_before else start, end_of
                if own_before:
                    yield before.start(), finish

    def _is_house(self, written: str | None) -> bool:
        """Whether `written` begins with the house number on record."""
        match = _NUMBER.match(written or "")
        return match is not None and self._folding.text(match[0]) == self._number


def _core(parts: list[str]) -> list[str]:
    """The words of a line that are the street's name: those beside a word such as "street", else the first ones."""
    runs: list[list[str]] = [[]]
    beside = -1
    for part in parts:
        if part in STREET_WORDS:
            beside = len(runs) - 1 if runs[-1] else len(runs)
        if part in STREET_WORDS or part in _UNIT_WORDS or part[0].isdigit():
            runs.append([])
        else:
            runs[-1].append(part)
    if 0 <= beside < len(runs) and runs[beside]:
        return runs[beside]
    return next((run for run in runs if run), [])


def _joints(parts: list[str]) -> frozenset[int]:
    """Where one of the joined `parts` ends and the next begins."""
    return frozenset(sum(map(len, parts[:count])) for count in range(1, len(parts)))


class _Glued(Word):
    """A German street: ``Hauptstr``, and what may be left of ``Hauptstraße`` behind it."""

    __slots__ = ()

    def places(self, letters: Letters) -> Iterator[tuple[int, int]]:
        """Where it stands, start and end, as places of `letters`."""
        yield from letters.ranges(self.folded, partial(self._end_of_street, letters))

    def _end_of_street(self, letters: Letters, at: int) -> int:
        end = at + len(self.folded)
        if not letters.begins_word(at) or not letters.together(at, end, 0, self.joints):
            return 0
        tail = letters.tail(end, 5)
        return end + len(tail) if tail in _FULL_SUFFIX else 0


class City:
    """Finds one city."""

    __slots__ = ("_folding", "_words")

    def __init__(self, city: str, folding: OwnFolding) -> None:
        self._folding = folding
        self._words: list[tuple[Word, bool]] = []
        for spelling in dict.fromkeys((city, city.translate(_UMLAUTS))):
            parts = [part for part in map(folding.text, _PARTS.split(spelling)) if part]
            joined = "".join(parts)
            if len(joined) < _MIN_CORE and not has_no_case(joined):
                continue
            weak = joined in ORDINARY_PLACES or len(joined) <= _MIN_CORE
            self._words.append((Word(joined, _joints(parts), exact=weak), weak))
            if len(parts) > 2 and parts[1] in ON_A_RIVER and len(parts[0]) > _MIN_CORE:
                self._words.append((Word(parts[0]), False))

    def spans(self, letters: Letters) -> Places:
        """Where it stands."""
        for word, weak in self._words:
            for at, end in word.places(letters):
                if not weak or (capital(letters, at) and self._is_place(letters, at)):
                    yield letters.span(at, end)

    def _is_place(self, letters: Letters, at: int) -> bool:
        start = letters.offsets[at]
        before = re.search(r"([^\W_]{1,16})[\s,-]{1,2}$", letters.text[max(0, start - 20) : start])
        return before is not None and (before[1].isdigit() or self._folding.text(before[1]) in BEFORE_PLACES)
