"""Amounts said in words in a growing text: ``forty-one euros eighty-five``, ``einundvierzig Komma acht fünf``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from firedoor.core.detect.leak.words import CENTS, CURRENCIES, HUNDRED, LINKS, POINTS, THOUSAND, said

_MAX_WORDS = 14
"""Words of one amount: more than the longest price below a million takes."""
_MAX_LETTERS = 28
"""Letters of one word: ``neunhundertneunundneunzig`` has 25."""
_REACH = 48
"""Code points before a word for a number at which its amount may have begun with shorter words."""
_WORD = re.compile(rf"[^\W\d_]{{1,{_MAX_LETTERS}}}")
_MAX_GAP = 4
_GAPS = ",.\u00ad\u200b\u2010\u2011\u2012\u2013\u2014\u2015*_-"
_GAP = re.compile(rf"[\s{_GAPS}]{{1,{_MAX_GAP}}}")
_GAP_GROWS = re.compile(rf"[\s{_GAPS}]{{0,{_MAX_GAP}}}")
_NONE: dict[str, int] = {}
_GERMAN = re.compile(r"(?:(?P<hundreds>[a-zäöüß]{2,6})?hundert(?:und)?)(?P<rest>[a-zäöüß]{0,24})")


class _Said(NamedTuple):
    start: int
    end: int
    word: str
    values: dict[str, int]


class Spelt:
    """Reads the words of a growing text. `open_from` is where an amount begins that is not over."""

    __slots__ = ("_upto", "open_from")

    def __init__(self) -> None:
        self.open_from: int | None = None
        self._upto = 0  # before this everything is read

    def read(
        self, text: str, base: int, said: Sequence[int] | None, fresh: int, *, final: bool
    ) -> list[tuple[int, int, list[Fraction]]]:
        """Amounts in `text`, the end of the growing text, which begins at `base`; its last `fresh` are new.

        They are looked for around the offsets `said`, or everywhere.
        """
        found: list[tuple[int, int, list[Fraction]]] = []
        if self.open_from is not None:
            at, self.open_from = self.open_from - base, None
            self._scan(text, base, at, len(text) if said is None else at + 1, found, final=final)
        elif said is None:
            self._scan(text, base, self._begin(text, base, len(text) - fresh), len(text), found, final=final)
        for offset in said or ():
            if self.open_from is not None:
                break
            if offset <= self._upto:
                continue
            start = _start(text, offset - base, 0)
            word = _WORD.match(text, start)
            if word and ((word.end() == len(text) and not final) or _values(word[0].casefold())):
                self._scan(text, base, self._first(text, base, start), offset - base, found, final=final)
        return found

    def _first(self, text: str, base: int, start: int) -> int:
        """Where the first of the words for numbers begins that lead up to the one at code point `start`."""
        least = max(0, self._upto - base, start - _REACH)
        while True:
            end = start
            while end > least and start - end < _MAX_GAP and _is_gap(text[end - 1]):
                end -= 1
            begin = _start(text, end, least)
            word = text[begin:end].casefold()
            if not begin < end < start or not (_values(word) or _is_sign(word)):
                return start
            start = begin

    def _begin(self, text: str, base: int, at: int) -> int:
        """Where to begin with all words about code point `at`."""
        at = max(0, at - _REACH, self._upto - base)
        while 0 < at < len(text) and base + at > self._upto and _WORD.match(text, at - 1):
            at -= 1
        return at

    def _scan(
        self, text: str, base: int, at: int, until: int, found: list[tuple[int, int, list[Fraction]]], *, final: bool
    ) -> None:
        """Read from code point `at` until no amount is open behind `until`."""
        run: list[_Said] = []
        while (match := _WORD.search(text, at)) is not None:
            start, at = match.span()
            follows = bool(run) and _GAP.fullmatch(text, run[-1].end - base, start) is not None
            if at == len(text) and not final:
                if run and not follows:
                    self._close(run, found)
                    run = []
                self.open_from = run[0].start if run else base + start
                return
            word = match[0].casefold()
            values = _values(word)
            if run and (not follows or len(run) >= _MAX_WORDS or not (values or _is_sign(word))):
                self._close(run, found)
                run = []
            if values or run:
                run.append(_Said(base + start, base + at, word, values))
            elif at >= until:
                return
        if run and not final and _GAP_GROWS.fullmatch(text, run[-1].end - base):
            self.open_from = run[0].start
        elif run:
            self._close(run, found)

    def _close(self, run: list[_Said], found: list[tuple[int, int, list[Fraction]]]) -> None:
        """Take the amount of a run of words, in the first language that makes one of it."""
        self._upto = run[-1].end
        values = [value for one in run for value in one.values.values()]
        if all(0 <= value < 10 for value in values) and sum(1 for one in run if one.values) == 1:
            return  # one of many: three colours
        for language in sorted({language for one in run for language in one.values}):
            words = [one.values.get(language) for one in run]
            numbers = [at for at, one in enumerate(run) if words[at] is not None and one.word not in CENTS]
            if all(words[at] == 1 for at in numbers):
                continue  # articles
            if not all(words[at] is not None or _is_sign(one.word) for at, one in enumerate(run)):
                continue
            amount, last = _Amount(run, words).read(numbers[0])
            if amount:
                found.append((run[numbers[0]].start, run[last - 1].end, amount))
                return


def _start(text: str, end: int, least: int) -> int:
    """Where the letters begin that end at code point `end`, not before `least`."""
    start = end
    while (
        start > least and end - start < _MAX_LETTERS and text[start - 1].isalnum() and not text[start - 1].isdecimal()
    ):
        start -= 1
    return start


def _is_gap(character: str) -> bool:
    return character.isspace() or character in _GAPS


def _is_sign(word: str) -> bool:
    return word in LINKS or word in CURRENCIES or word in CENTS or word in POINTS


def _values(word: str) -> dict[str, int]:
    known = said()
    values = known.get(word)
    if values is not None:
        return values
    if "hundert" not in word:
        return _NONE
    match = _GERMAN.fullmatch(word)
    if match is None:
        return _NONE
    times = known.get(match["hundreds"], _NONE).get("de", 0) if match["hundreds"] else 1
    rest = known.get(match["rest"], _NONE).get("de", 0) if match["rest"] else 0
    return {"de": 100 * times + rest} if 0 < times < 10 and (rest > 0 or not match["rest"]) else _NONE


class _Amount:
    """Words of one language, `values` of those that are numbers, read as an amount."""

    def __init__(self, run: list[_Said], values: list[int | None]) -> None:
        self._words = [one.word for one in run]
        self._values = values

    def read(self, at: int) -> tuple[list[Fraction], int]:
        """What the amount that begins at `at` can be, and the place after it; nothing for small numbers of prose."""
        whole, at = self._digits(at)
        if self._is(at, POINTS) and (decimals := self._decimals(at + 1)) is not None:
            digits, end = decimals
            return [whole + Fraction(int(digits), 10 ** len(digits))], end
        money = self._is(at, CURRENCIES)
        behind = at + 1 if money else at
        if self._is(at, CENTS) and not self._number(at):
            return [whole / 100], at + 1
        if self._is(behind, LINKS) and money and not self._number(behind):
            behind += 1
        if self._number(behind):
            minor, end = self._cardinal(behind)
            if 10 <= minor < 100 or (money and minor < 10):
                return [whole + Fraction(minor, 100)], end
        return ([whole], at) if whole >= 10 else ([], at)

    def _is(self, at: int, words: frozenset[str]) -> bool:
        return at < len(self._words) and self._words[at] in words

    def _number(self, at: int) -> bool:
        return at < len(self._values) and self._values[at] is not None

    def _value(self, at: int) -> int:
        value = self._values[at] if at < len(self._values) else None
        return -1 if value is None else value

    def _digits(self, at: int) -> tuple[Fraction, int]:
        """A cardinal, or digits said one by one."""
        first, end = self._cardinal(at)
        digits = str(first)
        while first < 10 and 0 <= self._value(end) < 10 and len(digits) < _MAX_WORDS:
            digits += str(self._value(end))
            end += 1
        return Fraction(int(digits)), end

    def _decimals(self, at: int) -> tuple[str, int] | None:
        if not self._number(at):
            return None
        digits = ""
        while 0 <= self._value(at) < 10:
            digits += str(self._value(at))
            at += 1
        if (not digits or set(digits) == {"0"}) and 10 <= self._value(at) < 100:
            number, at = self._cardinal(at)
            digits += str(number)
        return (digits, at) if digits else None

    def _cardinal(self, at: int) -> tuple[int, int]:
        """The number that begins at `at`, and the place after it."""
        total, below = 0, self._value(at)
        if below == THOUSAND:
            total, below = 1000, 0
        elif below == HUNDRED:
            below = 100
        at += 1
        while at < len(self._values):
            step = at + 1 if self._is(at, LINKS) and not self._number(at) else at
            value = self._value(step)
            if value == THOUSAND and 0 < below < 1000 and not total:
                total, below = below * 1000, 0
            elif value == HUNDRED and 0 < below < 10:
                below *= 100
            elif value == 20 and below % 100 == 4 and step == at:  # quatre-vingt
                below += 76
            elif _fits(below, value) or (not below and total and value > 0):
                below += value
            else:
                break
            at = step + 1
        return total + below, at


def _fits(below: int, value: int) -> bool:
    """Whether `value` can be said after `below` as a part of the same number."""
    if value <= 0 or below <= 0:
        return False
    if below % 100 == 0:
        return value < 100 or (below % 1000 == 0 and value < 1000)
    tens = below % 100
    if tens in (60, 80) and 10 <= value < 20:  # soixante-dix
        return True
    if tens in (70, 90, 10) and 7 <= value < 10 and below:  # soixante-dix-sept
        return True
    return tens >= 20 and tens % 10 == 0 and value < 10
