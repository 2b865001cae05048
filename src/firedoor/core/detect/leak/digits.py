"""Values that are digits and no amounts: phone numbers, parcels, customers, dates, however they are grouped.

They are compared as digit strings, a phone number without its country code and trunk zeros, a date in every order.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

MIN_DIGITS = 7
"""Digits of such a value; shorter ones are looked for as numbers."""
_MIN_WHOLE, _MAX_WHOLE = 11, 15
"""Digits of what begins neither with ``+`` nor with 0, and may be a phone number with its country code (E.164)."""
_MIN_SUBSCRIBER = 9
_AMOUNT = re.compile(r".*[%٪€$£¥₹].*|\d+[.,]\d{1,2}|\d{1,3}([.,'\u2019])\d{3}(?:\1\d{3})*(?:[.,]\d{1,2})?", re.DOTALL)
_CODE = re.compile("1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9][0-9]")
"""Country codes (ITU-T E.164, assigned codes by their first digits)."""
_BEFORE_PHONE = re.compile(f"(?:00)?(?:{_CODE.pattern})?0{{0,2}}")
_BEFORE = re.compile("0*")
_DAY = re.compile(r"(\d{4})\D{1,2}(\d{1,2})\D{1,2}(\d{1,2})|(\d{1,2})\D{1,2}(\d{1,2})\D{1,2}(\d{4})")
_APART = re.compile(r"[\W_]{7}|[,;]\s|[;|%٪€$£¥₹]")
"""Between digits of two numbers: more than brackets, spaces and bold marks together, or what stands between prices."""
_ONE_BY_ONE = re.compile(r"\d(?:[\W_]{1,6}\d)+")
_REACH = 24
"""Code points before a number that are looked at: more digits than any prefix has."""


class Digits(NamedTuple):
    """A value by its digits: `keys`, each of which tells it; `phone` when another prefix, or none, may stand before."""

    keys: tuple[str, ...]
    phone: bool


def digits_of(value: str, folded: str) -> Digits | None:
    """`value`, which is `folded`, by its digits; nothing if it is an amount, a text or too short."""
    value = value.strip()
    if not folded.isdigit() or len(folded) < MIN_DIGITS or _AMOUNT.fullmatch(value):
        return None
    if day := _DAY.fullmatch(value):
        year, *rest = (day[1], day[2], day[3]) if day[1] else (day[6], day[4], day[5])
        return Digits(_orders(year, *rest), phone=False)
    subscriber = _subscriber(value, folded)
    bare = folded.lstrip("0")
    return Digits((subscriber or (bare if len(bare) >= MIN_DIGITS else folded),), phone=bool(subscriber))


def stands(text: str, start: int, end: int, *, phone: bool) -> bool:
    """Whether the digits at `start`..`end` of `text` are a number of their own, but for zeros or a prefix."""
    if end < len(text) and text[end].isdigit():
        return False
    if _APART.search(text, start, end) and not _ONE_BY_ONE.fullmatch(text, start, end):
        return False
    at = start
    while at and start - at < _REACH and text[at - 1].isdigit():
        at -= 1
    return (_BEFORE_PHONE if phone else _BEFORE).fullmatch(
        "".join(str(unicodedata.digit(c)) for c in text[at:start])
    ) is not None


def _subscriber(value: str, folded: str) -> str:
    """A phone number without its prefix; nothing if it is none."""
    least = MIN_DIGITS
    if len(folded) > _MAX_WHOLE + 2:  # 00
        return ""
    if value.startswith(("+", "(+", "00")):
        folded = folded.removeprefix("00")
    elif folded[0] == "0":
        number = folded.lstrip("0")
        return number if len(number) >= least else ""
    elif _MIN_WHOLE <= len(folded) <= _MAX_WHOLE:
        least = _MIN_SUBSCRIBER
    else:
        return ""
    code = _CODE.match(folded)
    number = folded[code.end() :].lstrip("0") if code else ""
    return number if len(number) >= least else ""


def _orders(year: str, one: str, other: str) -> tuple[str, ...]:
    """A date with the year first or last, day and month in both orders, with zeros before them and without."""
    found = []
    for wide in (True, False):
        first, second = (part.zfill(2) if wide else part.lstrip("0") for part in (one, other))
        for days in (first + second, second + first):
            found += [year + days, days + year]
    return tuple(dict.fromkeys(found))
