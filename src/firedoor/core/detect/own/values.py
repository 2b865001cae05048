"""The shopper's own e-mail addresses, phone numbers, ids and postcodes in a text, however written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from firedoor.core.detect.own.text import Letters, OwnFolding
from firedoor.core.detect.own.words import (
    AT_WORDS,
    DOT_WORDS,
    JOIN_WORDS,
    ORDINARY,
    POSTCODE_CUES,
    USER_CUES,
)
from firedoor.core.detect.rules.cues import cue_before

Places = Iterator[tuple[int, int]]
"""Start and end in the text, in code points."""

_PARTS = re.compile(r"[\W_]+")
_REACH = 32

# --- e-mail ---
_MIN_TRIGGER = 3
_MAX_GAP = 6  # " (at) "
_REST_OF_ADDRESS = re.compile(r"(?:[.+-]?[\w.+-]{0,40})@[\w-]+(?:\.[\w-]+){0,5}")
_MIN_LOCAL = 6


class Email:
    """Finds one address: as written, with "at" and "dot" in words, without its punctuation, spaced, at another host."""

    __slots__ = ("_before", "_hosts", "_known_alone", "_mine", "_starts_in_mine", "_trigger")

    def __init__(self, address: str, folding: OwnFolding) -> None:
        local, _, domain = address.rpartition("@")
        mine = [part for part in map(folding.text, _PARTS.split(local)) if part]
        hosts = [part for part in map(folding.text, domain.split(".")) if part]
        parts = mine + hosts
        # The words that may stand before each part.
        words = [JOIN_WORDS] * len(mine) + [AT_WORDS] + [DOT_WORDS] * len(hosts)
        first = max(range(len(mine)), key=lambda number: len(mine[number]), default=-1)
        if first < 0 or len(mine[first]) < _MIN_TRIGGER:
            first = max(range(len(parts)), key=lambda number: len(parts[number]), default=-1)
        self._trigger = parts[first] if first >= 0 else ""
        self._before = [(parts[number], words[number + 1]) for number in range(first - 1, -1, -1)]
        self._mine = [(parts[number], words[number]) for number in range(first + 1, len(mine))]
        self._hosts = [(parts[number], words[number]) for number in range(max(first + 1, len(mine)), len(parts))]
        self._starts_in_mine = first < len(mine)
        own = "".join(mine)
        has_digit = any(map(str.isdigit, own))
        self._known_alone = has_digit and not own.isdigit() and len(own) >= _MIN_LOCAL

    def spans(self, letters: Letters) -> Places:
        """Where it stands."""
        if len(self._trigger) < 2:
            return
        for at in letters.places(self._trigger):
            start = _back(letters.folded, at, self._before)
            middle = _on(letters.folded, at + len(self._trigger), self._mine)
            if start < 0 or middle < 0 or not letters.gap(start):
                continue
            end = _on(letters.folded, middle, self._hosts)
            if end > 0 and letters.gap(end) and letters.together(start, end, _MAX_GAP):
                yield letters.span(start, end)
            elif self._starts_in_mine and letters.together(start, middle, 2):
                yield from self._at_another_host(letters, start, middle)

    def _at_another_host(self, letters: Letters, start: int, middle: int) -> Places:
        """The local part before another host (mistyped), or alone when no other text looks like it."""
        begin, end = letters.span(start, middle)
        rest = _REST_OF_ADDRESS.match(letters.text, end)
        if rest:
            yield begin, rest.end()
        elif self._known_alone and letters.gap(middle):
            yield begin, end


def _on(folded: str, place: int, parts: list[tuple[str, tuple[str, ...]]]) -> int:
    """The end of `parts` that stand at `place`, each with one of its joining words before it or none; -1."""
    for part, joints in parts:
        if not folded.startswith(part, place):
            place += next((len(joint) for joint in joints if folded.startswith(joint + part, place)), 0)
            if not folded.startswith(part, place):
                return -1
        place += len(part)
    return place


def _back(folded: str, place: int, parts: list[tuple[str, tuple[str, ...]]]) -> int:
    """The beginning of `parts`, nearest first, that stand before `place`; -1."""
    for part, joints in parts:
        if not folded.endswith(part, 0, place):
            place -= next((len(joint) for joint in joints if folded.endswith(part + joint, 0, place)), 0)
            if not folded.endswith(part, 0, place):
                return -1
        place -= len(part)
    return place


# --- phone: country codes of ITU-T E.164; those that are not listed have three digits ---
_ONE = frozenset("17")
_TWO = frozenset(
    map(
        str,
        (
            20,
            27,
            30,
            31,
            32,
            33,
            34,
            36,
            39,
            *range(40, 50),
            *range(51, 59),
            *range(60, 67),
            81,
            82,
            84,
            86,
            *range(90, 96),
            98,
        ),
    )
) - {"42"}
_MIN_NATIONAL = 6
_PHONE_GAP = 4
_OPENING = re.compile(r"(?:\+|\(\s?\+?|\+\s?\()[\s\u00ad\u200b-\u200f\u2060]?$")
_EXTENSION = re.compile(r"\s*(?:x|ext\.?|durchwahl|dw)\s*[0-9]{1,6}\s*$", re.IGNORECASE)
_ANY_COUNTRY = re.compile(r"(?:00)?[1-9][0-9]{0,2}")


class Phone:
    """Finds one number: with and without its country code and its trunk zero, grouped in any way."""

    __slots__ = ("_country", "_national")

    def __init__(self, number: str, folding: OwnFolding) -> None:
        number = _EXTENSION.sub("", number).replace("(0)", "")
        digits = "".join(c for c in folding.text(number) if c.isdigit())
        international = number.lstrip("( ").startswith("+") or digits.startswith("00")
        digits = digits.removeprefix("00") if international else digits
        size = (1 if digits[:1] in _ONE else 2 if digits[:2] in _TWO else 3) if international else 0
        self._country = digits[:size]
        self._national = digits[size:].lstrip("0")

    def spans(self, letters: Letters) -> Places:
        """Where it stands."""
        if len(self._national) < _MIN_NATIONAL:
            return
        for at, end in letters.ranges(self._national, partial(self._end, letters)):
            start = self._start(letters, at)
            begin, finish = letters.span(start, end)
            opening = _OPENING.search(letters.text[max(0, begin - 4) : begin])
            yield begin - (len(opening[0]) if opening else 0), finish

    def _end(self, letters: Letters, at: int) -> int:
        end = at + len(self._national)
        if letters.folded[end : end + 1].isdigit() and not letters.gap(end):
            return 0
        start = self._start(letters, at)
        if start < 0 or letters.between_digits(start, end) or not letters.together(start, end, _PHONE_GAP):
            return 0
        return end

    def _start(self, letters: Letters, at: int) -> int:
        """Where the prefix before `at` begins: none, 0, or the country code with 00 and (0); -1 for another number."""
        head = at
        while head > 0 and at - head < 6 and letters.folded[head - 1].isdigit() and letters.gap(head) <= _PHONE_GAP:
            head -= 1
        prefix = letters.folded[head:at]
        most = len(prefix) - len(prefix.rstrip("0"))
        for zeros in range(most + 1):
            if self._is_country(prefix[: len(prefix) - zeros]):
                return head
        for zeros in range(most + 1):
            start = at - zeros - len(self._country)
            if self._country and prefix[: len(prefix) - zeros].endswith(self._country) and letters.gap(start):
                return start
        return next((at - zeros for zeros in range(most, -1, -1) if not prefix or letters.gap(at - zeros)), -1)

    def _is_country(self, prefix: str) -> bool:
        if not self._country:
            return not prefix or _ANY_COUNTRY.fullmatch(prefix) is not None
        return prefix in ("", self._country, "00" + self._country)


# --- ids ---
_LONG_NUMBER = 8
_SHORT_NUMBER = 5
_ID_GAP = 3
_PRICE_AFTER = re.compile(
    r"[.,][0-9]|\s?(?:[%€$£]|(?:eur|euros?|usd|gbp|chf|pln|zł|kč|czk|kr|cm|mm|kg|ml|g|m)(?![^\W_]))", re.IGNORECASE
)
_PRICE_BEFORE = re.compile(r"(?:[0-9][.,]|[€$£]\s?)$")
_YEAR_OR_ROUND = re.compile(r"(?:19|20)[0-9]{2}|[0-9]{2}00")
_EDGES = re.compile(r"([\W_]{0,8})[^\W_](?:.*[^\W_])?([\W_]{0,8})", re.DOTALL)
_SIGNS = re.compile(r"[\W_]+")
_HEAD = re.compile(r"[a-z]+")
_USER = re.compile(USER_CUES)
_MIN_WORD = 5
_MIN_MIXED = 4


class Id:
    """Finds one id, number or user name.

    A number of three digits, a year and a round number need a ``#`` or a word before them that says what they are.
    """

    __slots__ = ("_after", "_before", "_needles", "_order", "_word_gap", "_written")

    def __init__(self, value: str, folding: OwnFolding, *, order: bool = False) -> None:
        folded = folding.text(value)
        self._written = value.casefold()
        self._before, self._after = _edges(value)
        self._word_gap = max((len(gap) for gap in _SIGNS.findall(value)), default=1)
        needles = {folded, folded.lstrip("0")}
        if order:
            rest = _HEAD.sub("", folded, count=1)
            if rest.isdigit() and len(rest) >= _SHORT_NUMBER:
                needles |= {rest, rest.lstrip("0")}
        self._needles = tuple(needle for needle in needles if len(needle) >= _MIN_TRIGGER)
        self._order = order

    def spans(self, letters: Letters) -> Places:
        """Where it stands."""
        for needle in (needle for needle in self._needles if needle in letters.folded):
            for at, end in letters.ranges(needle, partial(self._end, letters, needle)):
                yield self._with_signs(letters.text, *letters.span(at, end))

    def _end(self, letters: Letters, needle: str, at: int) -> int:
        end = at + len(needle)
        return end if self._is_it(letters, needle, at, end) else 0

    def _with_signs(self, text: str, start: int, end: int) -> tuple[int, int]:
        """With the signs that the value itself begins and ends with, such as those of a password."""
        if text.startswith(self._after, end):
            end += len(self._after)
        if text.endswith(self._before, 0, start):
            start -= len(self._before)
        return start, end

    def _is_it(self, letters: Letters, needle: str, at: int, end: int) -> bool:
        if not needle.isdigit():
            return self._is_word(letters, needle, at, end)
        if letters.between_digits(at, end):
            return False
        if len(needle) >= _LONG_NUMBER:
            return letters.together(at, end, _ID_GAP)
        start, finish = letters.span(at, end)
        text = letters.text
        if text[start:finish].casefold() == self._written != needle:
            return True
        if _is_price(text, start, finish):
            return False
        if len(needle) >= _SHORT_NUMBER:
            inner = text[start:finish]
            return letters.together(at, end, 1) and not any(sign in inner for sign in ".,:/")
        if letters.spread(at, end) or not letters.alone(at, end):
            return False
        return (len(needle) > 3 and not _YEAR_OR_ROUND.fullmatch(needle)) or self._is_announced(text, start)

    def _is_announced(self, text: str, start: int) -> bool:
        """Whether a ``#`` or a word stands before a short number that says that it is such an id."""
        if text[start - 1 : start] == "#":
            return True
        cue = cue_before(text, start)
        if cue is None or not cue.near:
            return False
        return cue.kind == "order" if self._order else cue.kind not in ("phone", "version", "ip", "card")

    def _is_word(self, letters: Letters, needle: str, at: int, end: int) -> bool:
        if not letters.alone(at, end) or not letters.together(at, end, max(_ID_GAP, self._word_gap)):
            return False
        if any(map(str.isdigit, needle)) and len(needle) >= _MIN_MIXED:
            return True
        start = letters.offsets[at]
        before = letters.text[max(0, start - _REACH) : start]
        if before.endswith("@") or _USER.search(before):
            return True
        return len(needle) >= _MIN_WORD and needle not in ORDINARY and letters.together(at, end, self._word_gap)


def _is_price(text: str, start: int, end: int) -> bool:
    return bool(_PRICE_AFTER.match(text, end) or _PRICE_BEFORE.search(text, max(0, start - 4), start))


def _edges(value: str) -> tuple[str, str]:
    """The signs before and after the letters and digits of `value`; not the ``#`` of an order."""
    match = _EDGES.fullmatch(value)
    return (match[1].removeprefix("#"), match[2]) if match else ("", "")


# --- postcodes ---
_POSTCODE_CUE = re.compile(POSTCODE_CUES)
_LONG_POSTCODE = 5


class Postcode:
    """Finds one postcode. Four digits alone may be a year: they need the `city` behind them or a word before."""

    __slots__ = ("_apart", "_city", "_folded")

    def __init__(self, postcode: str, city: str, folding: OwnFolding) -> None:
        self._folded = folding.text(postcode)
        self._city = folding.text(_PARTS.split(city)[0])
        self._apart = len(_PARTS.split(postcode)) - 1

    def spans(self, letters: Letters) -> Places:
        """Where it stands."""
        if len(self._folded) >= _MIN_MIXED:
            for at, end in letters.ranges(self._folded, partial(self._end, letters)):
                yield letters.span(at, end)

    def _end(self, letters: Letters, at: int) -> int:
        end = at + len(self._folded)
        if not letters.alone(at, end) or letters.spread(at, end) > max(2, self._apart):
            return 0
        return end if not self._folded.isdigit() or self._is_no_other_number(letters, at, end) else 0

    def _is_no_other_number(self, letters: Letters, at: int, end: int) -> bool:
        start, finish = letters.span(at, end)
        if _is_price(letters.text, start, finish):
            return False
        return end - at >= _LONG_POSTCODE or self._is_announced(letters, start, end)

    def _is_announced(self, letters: Letters, start: int, end: int) -> bool:
        if self._city and letters.folded.startswith(self._city, end) and letters.gap(end) <= _ID_GAP:
            return True
        return _POSTCODE_CUE.search(letters.text[max(0, start - _REACH) : start]) is not None
