"""Letters as the attack rules read them: small, without accents, one code point for one code point.

Patterns and texts go through the same folding, so that a pattern is written as people write (``système``) and finds
what people type (``SYSTEME``). The number of code points stays: a place in the folded text is that place in the text.
"""

from __future__ import annotations

import re
import unicodedata

# Where letters and signs have a plainer twin: Latin, Greek, Cyrillic, Arabic, punctuation, CJK signs, full width.
_RANGES = (
    (0x80, 0x250),
    (0x370, 0x530),
    (0x600, 0x700),
    (0x1E00, 0x2070),
    (0x3000, 0x3020),
    (0xFF00, 0xFFF0),
)
_BY_HAND = dict(
    zip("đħıłøŧœæς‘’‚‛“”„‟«»‹›‐‑‒–—―−。、।؟،؛", "dhilotoaσ''''\"\"\"\"\"\"''-------.,.?,;", strict=True)  # noqa: RUF001
)
_FEW = 32  # different letters up to which it is faster to change them one after the other


def _twins() -> dict[str, str]:
    twins = {}
    for code in (code for first, behind in _RANGES for code in range(first, behind)):
        letter = chr(code).lower()
        parts = unicodedata.normalize("NFKD", letter)
        if parts != letter and all(map(unicodedata.combining, parts[1:])):
            twins[chr(code)] = parts[0].lower()
    return twins | _BY_HAND


_TWINS = _twins()
_TO_CHANGE = re.compile("[" + re.escape("".join(_TWINS)) + "]")


def folded(text: str) -> str:
    """`text` folded: as many code points as before. Linear."""
    if text.isascii():
        return text.lower()
    text = text.replace("\u0130", "i").lower()  # the only letter that becomes two
    found = set(_TO_CHANGE.findall(text))
    if len(found) > _FEW:
        return _TO_CHANGE.sub(_twin, text)
    for letter in found:
        text = text.replace(letter, _TWINS[letter])
    return text


def _twin(match: re.Match[str]) -> str:
    return _TWINS[match[0]]
