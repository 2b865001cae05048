"""Characters that look like plain ones or like nothing: whether a text has any, and what they stand for.

Sources: the Unicode Standard, chapter 23 (format characters), NFKC (UAX #15) for compatibility forms, and a small table
of ours for the letters of other scripts that look like a Latin one (UTS #39 has thousands of them).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from firedoor.core.detect.disguise.views import Edit

# Soft hyphen, joiners, zero-width, direction and variation marks, fillers, tags, and marks that combine with a letter.
_INVISIBLE = (
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef"
    "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_ZEROS = (
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0,
)  # fmt: skip
"""The zeros of the decimal digits of other scripts (category Nd, basic plane)."""
_FORMS = (
    "".join(f"{chr(zero)}-{chr(zero + 9)}" for zero in _ZEROS)
    # full-width, small and ideographic signs; Letterlike Symbols; mathematical and squared letters
    + "\uff01-\uff5e\uff61\ufe52\ufe63\ufe6b\u2024\u3002\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128-\u2138"
    + "\U0001d400-\U0001d7ff\U0001f130-\U0001f149"
)
_SMALL = "\u00b2\u00b3\u00b9\u2070-\u209c\u2460-\u24ff\u2776-\u2793\u1d2c-\u1d6a\u02b0-\u02b8"
"""Superscripts, subscripts, circled characters: ordinary when they stand alone (``m²``)."""
_SIGNS = {"\u3002": ".", "\uff61": "."} | {chr(0x2776 + n): str(n + 1) for n in range(10)}
_SIGNS |= {chr(0x2780 + n): str(n % 10 + 1) for n in range(20)} | {"\u24ff": "0"}

_LOOK_ALIKES = dict(
    zip(
        "авекмнорстухіјѕһԁԛԝӏзб" + "АВЕКМНОРСТУХІЈЅԌԚԜЗ" + "αβεικνορτυχγω" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "ɑɡıօցհոս",  # noqa: RUF001
        "abekmhopctyxijshdqwl36" + "ABEKMHOPCTYXIJSGQW3" + "abeikvoptuxyw" + "ABEZHIKMNOPTYX" + "agioghnu",
        strict=True,
    )
)
"""Cyrillic, Greek, phonetic and Armenian letters; the Cyrillic Ze and Be are 3 and 6 to the eye."""
_ALIKE = "".join(_LOOK_ALIKES)

_ODD = re.compile(f"[{_INVISIBLE}{_FORMS}{_SMALL}]")
_BETWEEN = re.compile(rf"[{_INVISIBLE}](?<=[\w@.+()\- ][{_INVISIBLE}])|[{_FORMS}]|[{_SMALL}]\W?[{_SMALL}]\W?[{_SMALL}]")
_MIXED = re.compile(rf"[{_ALIKE}](?:(?<=[A-Za-z0-9@._+-][{_ALIKE}])|[A-Za-z0-9@._+-])")
_ESCAPE = re.compile("%40|&(?:#(?:64|46|x40|x2e)|commat|period);", re.IGNORECASE)
_ESCAPES = {"%40": "@", "&#64;": "@", "&#x40;": "@", "&commat;": "@", "&#46;": ".", "&#x2e;": ".", "&period;": "."}

_FORM = re.compile(f"[{_FORMS}{_SMALL}]")
_CHANGED = re.compile(f"[{_INVISIBLE}]+|[{_SMALL}\U0001f130-\U0001f149]|{_ESCAPE.pattern}", re.IGNORECASE)
_TOKEN = re.compile(rf"[A-Za-z0-9@._+{_ALIKE}-]+")
_LATIN = re.compile("[A-Za-z0-9@]")


def dressed(text: str) -> bool:
    """Whether some characters of `text` stand for plain ones."""
    if not text.isascii():
        odd = _ODD.search(text)  # one class of characters: the cheapest search there is
        if (odd and _BETWEEN.search(text, max(0, odd.start() - 1))) or _MIXED.search(text):
            return True
    return ("%40" in text or "&" in text) and _ESCAPE.search(text) is not None


def plain(text: str) -> str:
    """`text`, as long as before, with the plain character for each compatibility form that stands for one."""
    return _FORM.sub(_one, text)


def undressed(text: str) -> Iterator[Edit]:
    """Characters nobody sees go; what stands for several characters, or is escaped, is written out."""
    for match in _CHANGED.finditer(text):
        written = match[0]
        if written[0] in "%&":
            yield Edit(*match.span(), _ESCAPES[written.lower()])
        elif _FORM.match(written):
            yield Edit(*match.span(), unicodedata.normalize("NFKC", written))
        else:
            yield Edit(*match.span(), "")


def latin(text: str) -> str:
    """`text`, as long as before, with Latin letters for those that look like them, in tokens of mixed scripts."""
    return _TOKEN.sub(_latin, text)


def _one(match: re.Match[str]) -> str:
    character = match[0]
    plain_one = _SIGNS.get(character) or unicodedata.normalize("NFKC", character)
    if len(plain_one) == 1 and not plain_one.isascii():
        value = unicodedata.decimal(plain_one, None)
        return character if value is None else str(value)
    return plain_one if len(plain_one) == 1 else character


def _latin(match: re.Match[str]) -> str:
    token = match[0]
    if token.isascii() or not _LATIN.search(token):
        return token
    return "".join([_LOOK_ALIKES.get(character, character) for character in token])
