"""Numbers in a growing text, in the ways people write and say them, each with every value that it may have.

``41.85``, ``41,85 €``, ``EUR 41.850``, ``4185 cents``, ``41 euros 85``, ``1,234.50``, ``1.234,50``, ``1 234,50``,
``1'234.50``, digits of any script, ``4 1 . 8 5``, invisible characters between, ``forty-one euros eighty-five``. Values
are integers, scaled by `SCALE`, so that equal ones are equal however they were written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from firedoor.core.detect.leak import spelt
from firedoor.core.detect.leak.words import CENTS, CURRENCIES, GOES_ON, LINKS, PERCENT

SCALE = 10**6
"""A unit in scaled values: prices of metered goods have up to six decimals."""
MAX_DIGITS = 18
"""Digits of a number; longer runs are ids, accounts and cards."""
_KEPT = 192
"""Code points kept of what was read: what a number in words, or of spaced digits, can look back on."""
_MAX_GAP = 9
_MAX_CHAIN = 16
"""Numbers in a row that can be one with gaps: more than the digits of any amount."""

_INVISIBLE = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
_SIGNS = ".,'\u2019\u2018\u02bc\u00b7\u066b\u066c\uff0c\uff0e\u3002\u201a"
_AROUND = rf"[{_INVISIBLE}*_`]{{0,4}}"
_TOKEN = re.compile(rf"\d{{1,31}}(?:(?:[{_INVISIBLE}]{{1,8}}|{_AROUND}[{_SIGNS}]{_AROUND})\d{{1,31}}){{0,18}}")
_GROWS = re.compile(rf"[{_INVISIBLE}]{{0,8}}|{_AROUND}[{_SIGNS}]?{_AROUND}")
_SKIP = rf"[\s{_INVISIBLE}*_`|]{{0,4}}"
_UNIT = re.compile(rf"(?P<gap>{_SKIP})(?P<unit>[^\W\d_]{{1,12}}|[%٪€$£¥₹¢])?")
_UNIT_GROWS = re.compile(rf"{_SKIP}[^\W\d_]{{0,12}}")
_BETWEEN = re.compile(rf"{_SKIP}([^\W\d_]{{1,12}}|[€$£¥₹])[.]?{_SKIP}(?:,\s?|([^\W\d_]{{1,3}})\s{{1,3}})?")
_BETWEEN_GROWS = re.compile(rf"[.]?{_SKIP}(?:,\s?|[^\W\d_]{{0,3}}\s{{0,3}})\d{{0,2}}")
_SPACE = re.compile(rf"[\s{_INVISIBLE}]{{1,4}}")
_SPACED_SIGN = re.compile(rf"[\s{_INVISIBLE}]{{1,4}}[{_SIGNS}][\s{_INVISIBLE}]{{0,4}}")
_SPACE_GROWS = re.compile(rf"[\s{_INVISIBLE}]{{0,4}}[{_SIGNS}]?[\s{_INVISIBLE}]{{0,4}}")
TAIL = 24
"""Code points behind a number that can say how it goes on, at most."""
_DIGIT = re.compile(r"\d")
_PLAIN = re.compile(r"([1-9][0-9]{0,8}|0)(?:[.,]([0-9]{1,2}))?", re.ASCII)
_LETTERS_BEFORE = re.compile(r"[^\W\d_]{1,12}\Z")
_TO_SIGN = str.maketrans({"\u066b": ".", "\uff0c": ",", "\uff0e": ".", "\u3002": ".", "\u00b7": ".", "\u201a": ","})
_TOUCHING = CURRENCIES | CENTS | PERCENT
_OF_MONEY = CURRENCIES | CENTS | PERCENT | GOES_ON
_NO_UNIT = frozenset(".,;:!?)(/-\"'") | frozenset("0123456789")
"""Behind a number, or a space behind it: no word for what it counts follows."""
_REMEMBERED = 4096
"""Numbers, and what is between two, that are remembered: prices and sizes come again and again."""
_QUOTES = "'\u2019\u2018\u02bc\u066c"


class Amount(NamedTuple):
    """A number at code points `start`..`end`; `values`, scaled, are all that it can mean."""

    start: int
    end: int
    values: tuple[int, ...]


_Token = tuple[int, int, str, int | None]
"""Where it stands, ASCII digits and the signs between them, and its value when it is digits only."""


def significant(value: int) -> int:
    """Significant digits of a scaled value, not counting zeros at the end: 2 of 45.00."""
    return len(str(abs(value)).rstrip("0"))


def shown_digits(value: int) -> str:
    """The digits of a scaled value without zeros around them: ``4185`` of 41.850."""
    return str(value).strip("0")


def plain_value(written: str) -> tuple[int, ...]:
    """The scaled value of digits with at most two decimals; nothing for 0 and whatever is written otherwise."""
    plain = _PLAIN.fullmatch(written)
    if plain is None:
        return ()
    value = int(plain[1]) * SCALE + int((plain[2] or "").ljust(6, "0"))
    return (value,) if value else ()


def is_count(behind: str) -> bool:
    """Whether `behind`, what follows a number, says what it counts: days, pieces, grams."""
    unit = _UNIT.match(behind)
    word = unit["unit"] if unit else None
    return word is not None and word.casefold() not in _OF_MONEY


def is_forward(before: str, behind: str) -> bool:
    """Whether a currency beside a number, in letters, says that its text is not written backwards."""
    unit = _UNIT.match(behind)
    letters = _LETTERS_BEFORE.search(before.rstrip(" \u00a0"))
    words = (unit["unit"] or "" if unit else "", letters[0] if letters else "")
    return any(len(word) > 1 and word.casefold() in CURRENCIES for word in words)


def amounts(text: str) -> list[Amount]:
    """All numbers of `text`, in the order in which they become certain; those of one place may overlap."""
    reader = Amounts()
    return reader.feed(text) + reader.end()


class Amounts:
    """Numbers of one growing text. Offsets count code points from its start; wherever it is cut, the same are found."""

    __slots__ = ("_base", "_chain", "_next", "_said", "_text", "_whole")

    def __init__(self) -> None:
        self._text = ""  # what is kept of the text; begins at `_base`
        self._base = 0
        self._next = 0  # in `_text`: before this, digits are read
        self._chain: list[_Token] = []  # numbers with only gaps between
        self._whole: _Token | None = None  # a whole amount of money that may go on: 41 euros
        self._said = spelt.Spelt()

    def feed(self, text: str, said: Sequence[int] | None = None) -> list[Amount]:
        """Take the next piece; the numbers that are certain now. `said`, in order, are offsets at which words for
        numbers may end, or parts of them: all words may be, if that is not known.
        """
        self._text += text
        found: list[Amount] = []
        if self._chain or self._whole or _DIGIT.search(self._text, self._next):
            found = self._read(final=False)
        else:
            self._next = len(self._text)
        if said is None or said or self._said.open_from is not None:
            found += self._spelt(said, len(text), final=False)
        if len(self._text) > 8 * _KEPT:
            self._forget()
        return found

    def end(self) -> list[Amount]:
        """No more will come: what only now is certain."""
        return self._read(final=True) + self._spelt((), 0, final=True)

    def held_from(self) -> int:
        """Where a number begins that is not over; the length fed if there is none."""
        text = self._text
        starts = [self._base + len(text)]
        if self._next == len(text) and not self._chain and self._whole is None and self._said.open_from is None:
            return starts[0]
        if self._said.open_from is not None:
            starts.append(self._said.open_from)
        match = _DIGIT.search(text, self._next)
        if match is not None:
            starts.append(self._base + match.start())
            if self._chain and _joins(text[self._chain[-1][1] - self._base : match.start()]) is not None:
                starts.append(self._chain[0][0])
        elif self._chain and _SPACE_GROWS.fullmatch(text, self._chain[-1][1] - self._base):
            starts.append(self._chain[0][0])
        if self._whole is not None:
            starts.append(self._whole[0])
        return min(starts)

    def _forget(self) -> None:
        at = max(0, min(len(self._text) - _KEPT, self._next))
        if self._chain:
            at = min(at, self._chain[0][0] - self._base)
        if self._whole is not None:
            at = min(at, self._whole[0] - self._base)
        if self._said.open_from is not None:
            at = min(at, self._said.open_from - self._base)
        self._text = self._text[at:]
        self._base += at
        self._next -= at

    def _spelt(self, said: Sequence[int] | None, fresh: int, *, final: bool) -> list[Amount]:
        return [
            Amount(start, end, tuple(sorted({round(value * SCALE) for value in values})))
            for start, end, values in self._said.read(self._text, self._base, said, fresh, final=final)
        ]

    # --- digits ---

    def _read(self, *, final: bool) -> list[Amount]:
        found: list[Amount] = []
        text = self._text
        open_from = len(text) if final else len(text) - TAIL
        while (match := _TOKEN.search(text, self._next)) is not None:
            start, end = match.span()
            if end > open_from and (_GROWS.fullmatch(text, end) or _UNIT_GROWS.fullmatch(text, end)):
                return found
            self._next = end
            found += self._take(start, end, match[0])
        self._next = len(text)
        self._drop(final=final)
        return found

    def _drop(self, *, final: bool) -> None:
        """Let go of what cannot go on."""
        text, base = self._text, self._base
        if self._chain and (final or not _SPACE_GROWS.fullmatch(text, self._chain[-1][1] - base)):
            self._chain = []
        if self._whole is not None:
            unit = _UNIT.match(text, self._whole[1] - base)
            if final or unit is None or not _BETWEEN_GROWS.fullmatch(text, unit.end()):
                self._whole = None

    def _take(self, start: int, end: int, written: str) -> list[Amount]:
        """What the number at `start` says, by itself and with those before it."""
        base, text = self._base, self._text
        touched = (start and text[start - 1].isalpha()) or text[end : end + 1].isalpha()
        if touched and written.isdigit() and self._labelled(start, end):
            self._chain, self._whole = [], None
            return []
        written, whole, values = _meaning(written)
        token = base + start, base + end, written, whole
        word = "" if whole is None else self._unit(end)
        if whole is not None and word in CENTS:
            values = (*values, whole * SCALE // 100)
        found = [Amount(base + start, base + end, values)] if values else []
        if self._whole is not None:
            found += self._with_cents(token)
        if self._chain and token[0] - self._chain[-1][1] <= _MAX_GAP:
            found += self._with_gaps(token)
        else:
            self._chain = [token]
        if whole is not None and word in CURRENCIES:
            self._whole = token
        return found

    def _unit(self, end: int) -> str:
        """The word behind a number."""
        text = self._text
        behind = text[end : end + 2]
        if behind[:1] in _NO_UNIT or (behind[:1] == " " and behind[1:] in _NO_UNIT):
            return ""
        unit = _UNIT.match(text, end)
        return unit["unit"].casefold() if unit and unit["unit"] else ""

    def _labelled(self, start: int, end: int) -> bool:
        """Whether letters that are no currency touch what is at `start`..`end`: ``MH01``, ``500ml``."""
        text = self._text
        if start and text[start - 1].isalpha():
            before = _LETTERS_BEFORE.search(text, max(0, start - 12), start)
            if before is not None and before[0].casefold() not in CURRENCIES:
                return True
        if end == len(text) or not text[end].isalpha():
            return False
        unit = _UNIT.match(text, end)
        return unit is not None and (unit["unit"] or "").casefold() not in _TOUCHING

    def _with_cents(self, token: _Token) -> list[Amount]:
        """``41 euros 85``."""
        whole, self._whole = self._whole, None
        start, end, written, cents = token
        if whole is None or whole[3] is None or cents is None or len(written) != 2:
            return []
        match = _BETWEEN.fullmatch(self._text, whole[1] - self._base, start - self._base)
        if match is None or match[1].casefold() not in CURRENCIES:
            return []
        if match[2] is not None and match[2].casefold() not in LINKS:
            return []
        return [Amount(whole[0], end, (whole[3] * SCALE + cents * SCALE // 100,))]

    def _with_gaps(self, token: _Token) -> list[Amount]:
        """``1 234,50``, ``4 1 . 8 5`` and ``41 . 85``."""
        chain = self._chain
        last_start, last_end, before, last_whole = chain[-1]
        start, end, written, whole = token
        joint = _joins(self._text[last_end - self._base : start - self._base])
        if joint is None or len(chain) >= _MAX_CHAIN:
            self._chain = [token]
            return []
        self._chain = [*chain, token]
        found = []
        if joint == "" and (grouped := _grouped(self._chain)) is not None:
            found.append(grouped)
        if joint and last_whole is not None and whole is not None and len(before) > 1:
            found += _joined(last_start, end, f"{before}.{written}")
        found += self._single()
        return found

    def _single(self) -> list[Amount]:
        """The number whose digits stand alone at the end of the chain."""
        digits: list[str] = []
        first = behind = 0
        for start, end, written, _ in reversed(self._chain):
            if len(written) != 1:
                break
            if digits:
                digits.append("." if _joins(self._text[end - self._base : behind - self._base]) else "")
            first = behind = start
            digits.append(written)
        if len(digits) < 5:  # three digits, and what is between
            return []
        return _joined(first, self._chain[-1][1], "".join(reversed(digits)))


@lru_cache(_REMEMBERED)
def _joins(gap: str) -> str | None:
    """What a gap between two numbers stands for when they are one: nothing, or a decimal sign."""
    if _SPACE.fullmatch(gap):
        return ""
    return "." if _SPACED_SIGN.fullmatch(gap) else None


def _joined(start: int, end: int, written: str) -> list[Amount]:
    values = _values(written)
    return [Amount(start, end, values)] if values else []


def _grouped(chain: list[_Token]) -> Amount | None:
    """Thousands with spaces between, as many groups as there are at the end of `chain`."""
    _, end, written, _ = chain[-1]
    head, sign, decimals = written.replace(",", ".").partition(".")
    if len(head) != 3 or (sign and not decimals.isdigit()):
        return None
    groups = [head]
    start = 0
    for before, _, group, whole in reversed(chain[:-1]):
        if whole is None or len(group) > 3 or group[0] == "0":
            break
        groups.append(group)
        start = before
        if len(group) < 3:
            break
    if len(groups) < 2:
        return None
    values = _values("".join(reversed(groups)) + (f".{decimals}" if sign else ""), grouped=True)
    return Amount(start, end, values) if values else None


@lru_cache(_REMEMBERED)
def _meaning(written: str) -> tuple[str, int | None, tuple[int, ...]]:
    """What is written, in ASCII digits and signs, its value when it is digits only, and its values."""
    plain = _PLAIN.fullmatch(written)
    if plain is not None:
        whole, decimals = int(plain[1]), plain[2]
        value = whole * SCALE + (int(decimals.ljust(6, "0")) if decimals else 0)
        return written, None if decimals else whole, (value,)
    if not written.isascii() or "'" in written or "*" in written or "_" in written or "`" in written:
        written = "".join(str(int(c)) if c.isdigit() else c for c in written if c.isdigit() or c in _SIGNS)
        written = written.translate(_TO_SIGN)
    number = int(written) if written.isdigit() and len(written) <= MAX_DIGITS else None
    return written, number, _values(written)


def _values(written: str, *, grouped: bool = False) -> tuple[int, ...]:
    """What ASCII digits with signs between can mean; nothing for dates, versions, ids and long runs."""
    if plain := plain_value(written):
        return plain
    if len(written) > MAX_DIGITS + 8:
        return ()
    if written.isdigit():
        if len(written) > MAX_DIGITS or (len(written) > 1 and written[0] == "0"):
            return ()
        return (int(written) * SCALE,)
    for quote in _QUOTES:
        written = written.replace(quote, "'")
    signs = [c for c in written if not c.isdigit()]
    parts = re.split("[.,']", written)
    if sum(map(len, parts)) > MAX_DIGITS:
        return ()
    found = []
    decimals = parts[-1]
    if signs[-1] != "'" and len(decimals) <= 6 and (len(signs) == 1 or _are_groups(parts[:-1], signs[:-1], signs[-1])):
        found.append(int("".join(parts[:-1])) * SCALE + int(decimals.ljust(6, "0")))
    if not grouped and _are_groups(parts, signs, ""):
        found.append(int("".join(parts)) * SCALE)
    return tuple(found)


def _are_groups(parts: list[str], signs: list[str], other: str) -> bool:
    """Whether `parts` are groups of thousands (or of hundreds, in India), all with one sign that is not `other`."""
    if not 1 <= len(parts[0]) <= 3 or parts[0] == "0" or len(set(signs)) != 1 or signs[0] == other:
        return False
    return len(parts[-1]) == 3 and all(2 <= len(part) <= 3 for part in parts[1:])
