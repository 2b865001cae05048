"""The shopper's own date of birth in a text, however written."""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.own.text import Letters, OwnFolding
from firedoor.core.detect.own.words import MONTHS

Places = Iterator[tuple[int, int]]
"""Start and end in the text, in code points."""

_NUMBERS = re.compile(r"(?<![0-9])([0-9]{1,4})(?:\s?[./-]\s?|\s)([0-9]{1,2})(?:\s?[./-]\s?|\s)([0-9]{1,4})(?![0-9])")
_RUN = re.compile(r"(?<![0-9])(?:[0-9]{8}|[0-9]{6})(?![0-9])")
_DAY_FIRST = re.compile(
    r"(?<![0-9])([0-9]{1,2})(?:st|nd|rd|th|er|º|°)?[\s.,-]{0,2}(?:(?:of|de|den)\s)?([^\W\d_]{3,13})[\s.,-]{1,2}(?:(?:de|del|of)\s)?"
    r"['\u2019]?([0-9]{4}|[0-9]{2})(?![0-9])",
    re.IGNORECASE,
)
_MONTH_FIRST = re.compile(
    r"(?<![^\W_])([^\W\d_]{3,13})[\s.]{1,2}(?:the\s)?([0-9]{1,2})(?:st|nd|rd|th)?[\s,.]{1,3}['\u2019]?([0-9]{4}|[0-9]{2})(?![0-9])",
    re.IGNORECASE,
)


class DateOfBirth:
    """Finds one date (given as ``YYYY-MM-DD``) in figures or with its month in words, day or month first."""

    __slots__ = ("_date", "_folding", "_runs", "_year")

    def __init__(self, date: str, folding: OwnFolding) -> None:
        year, month, day = date.split("-")
        self._year = year
        self._date = (int(year), int(month), int(day))
        self._runs = frozenset({year + month + day, day + month + year, month + day + year})
        self._runs |= {day + month + year[2:], year[2:] + month + day, month + day + year[2:]}
        self._folding = folding

    def spans(self, letters: Letters) -> Places:
        """Where it stands."""
        text = letters.text if letters.text.isascii() else "".join(map(_digit, letters.text))
        if self._year[2:] not in text:
            return
        for match in _NUMBERS.finditer(text):
            if self._same_figures(*match.groups()):
                yield match.span()
        for match in _RUN.finditer(text):
            if match[0] in self._runs:
                yield match.span()
        for match in _DAY_FIRST.finditer(text):
            if self._same(match[3], match[2], match[1]):
                yield match.span()
        for match in _MONTH_FIRST.finditer(text):
            if self._same(match[3], match[1], match[2]):
                yield match.span()

    def _same_figures(self, first: str, second: str, third: str) -> bool:
        _, month, day = self._date
        if len(first) > 2:
            return (int(first), int(second), int(third)) == self._date
        return self._is_year(third) and (int(first), int(second)) in ((day, month), (month, day))

    def _same(self, year: str, month: str, day: str) -> bool:
        known = MONTHS.get(self._folding.text(month))
        return int(day) == self._date[2] and known == self._date[1] and self._is_year(year)

    def _is_year(self, written: str) -> bool:
        return written == self._year or (len(written) == 2 and written == self._year[2:])


def _digit(character: str) -> str:
    return str(int(character)) if character.isdecimal() else character
