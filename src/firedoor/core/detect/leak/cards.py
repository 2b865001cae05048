"""Payment cards in an answer, while it grows: the issuers' prefixes and lengths, and the checksum (ISO/IEC 7812-1).

Stricter than with what shoppers write: a number that a word before it calls an order, an article or a parcel is none,
and its digits stand together or in groups as on a card.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Literal, NamedTuple

from firedoor.core.detect.rules.cues import REACH, cue_before
from firedoor.core.detect.rules.numbers import MIN_CARD, Run, card_in, run_of
from firedoor.core.detect.rules.personal import plain

_BETWEEN = r"[ \-.\u200b-\u200d\u2060\ufeff]"
_MAX_DIGITS = 48
"""Digits of one number: a longer one is looked at in parts."""
_LONG = re.compile(rf"[0-9](?:{_BETWEEN}{{0,2}}[0-9]){{{MIN_CARD - 1},{_MAX_DIGITS - 1}}}")
_GROWS = re.compile(rf"[0-9](?:{_BETWEEN}{{0,2}}[0-9]){{0,{_MAX_DIGITS - 2}}}{_BETWEEN}{{0,2}}\Z")
_MAX_LENGTH = 3 * _MAX_DIGITS
_DIGIT = re.compile(r"\d")
_GAP = re.compile(rf"{_BETWEEN}{{0,2}}\Z")
_CARD_BEGINS = "23456"
_MAX_BESIDE = 4
"""Digits of a group beside a card: its month and year, its code, a quantity before it."""
_NO_CARD = frozenset({"order", "other", "phone", "iban", "version"})


class Secret(NamedTuple):
    """Code points `start`..`end`, the rule that found it, and what is written there."""

    start: int
    end: int
    rule: str
    written: str
    kind: Literal["secret", "card"] = "secret"


class Cards:
    """Card numbers in one growing text, asked like a `Watch`."""

    __slots__ = ("_before", "_fed", "_open")

    def __init__(self) -> None:
        self._before = ""  # what stands before the open number
        self._open = ""
        self._fed = 0

    def feed(self, text: str) -> list[Secret]:
        """See `Watch.feed`."""
        self._fed += len(text)
        if not self._open and _DIGIT.search(text) is None:
            self._before = (self._before + text)[-REACH:]
            return []
        return self._read(text, final=False)

    @property
    def idle(self) -> bool:
        """Whether nothing that was fed can be part of a number to come."""
        return not self._open

    def held_from(self) -> int:
        """See `Watch.held_from`: where a number begins that can still become a card's."""
        number = self._open
        if not number or (number[0] not in _CARD_BEGINS and number.isdigit()):
            return self._fed
        return self._fed - len(number)

    def end(self) -> list[Secret]:
        """See `Watch.end`."""
        return self._read("", final=True) if self._open else []

    def skip(self, count: int, before: str) -> None:
        """`count` code points that hold nothing are not read; `before` is their end."""
        self._fed += count
        self._before, self._open = before[-REACH:], ""

    def _read(self, text: str, *, final: bool) -> list[Secret]:
        data = plain(self._before + self._open + text)
        base = self._fed - len(data)
        at, self._open = len(self._before), ""
        found: list[Secret] = []
        while (match := _LONG.search(data, at)) is not None:
            start, at = match.span()
            whole = sum(map(str.isdigit, match[0])) == _MAX_DIGITS
            if not final and not whole and _GAP.match(data, at):
                at = start
                break
            if (card := _card(data, start, at)) is not None:
                found.append(Secret(base + card[0], base + card[1], "card", data[slice(*card)], "card"))
        number = None if final else _GROWS.search(data, max(at, len(data) - _MAX_LENGTH))
        if number is not None:
            self._open = number[0]
        self._before = data[: len(data) - len(self._open)][-REACH:]
        return found


def _card(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Where a card's number stands in the digits from `start` to `end`."""
    run = run_of(text, start, end)
    found = card_in(run, named=False)
    if found is None or not _stands_alone(text, run, *found):
        return None
    cue = cue_before(text, start)
    if cue is not None and cue.kind in _NO_CARD:
        return None
    before = text[found[0] - 1 : found[0]]
    if before and before in "-_/#=&,$€£" and (cue is None or cue.kind != "card"):
        return None
    return found


def _stands_alone(text: str, run: Run, start: int, end: int) -> bool:
    """Whether the digits are grouped as on a card, and nothing but short groups stands beside them."""
    if text[end : end + 1].isalnum() or text[start - 1 : start].isalnum():
        return False
    before = [*takewhile(lambda group: group[0] < start, run.groups)]
    inside = [stop - begin for begin, stop in run.groups if start <= begin < end]
    after = [group for group in run.groups if group[0] >= end]
    if any(stop - begin > _MAX_BESIDE for begin, stop in (*before[-1:], *after)) or len(before) > 1 or len(after) > 2:
        return False
    return len(inside) == 1 or max(inside) == 1 or (inside[0] == 4 and all(1 <= n <= 7 for n in inside[1:]))
