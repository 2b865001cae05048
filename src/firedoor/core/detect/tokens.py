"""Tokens of a text and what the classifier is told about each: hashes of the word, its parts, its shape, its lists.

Training and the running product share this file: a change here needs new weights (`FEATURES` is kept beside them).
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple
from zlib import crc32

FEATURES = 1
"""Version of everything in this file that weights depend on."""

ROWS = 1 << 16
"""Rows of the embedding table that the hashes address."""

MAX_WORD = 24
"""Letters of one token; a longer run is cut, so that one token costs little whatever the text."""

# A space before a token belongs to it: "Anna" after a space and after a hyphen are told apart. Combining marks and
# zero-width characters stay with their word.
_TOKEN = re.compile(
    rf"[^\S\n]*(?:(?:[^\W\d_][\u0300-\u036f\u200b-\u200d]*){{1,{MAX_WORD}}}|[0-9]{{1,{MAX_WORD}}}|\n\s*|\S)"
)


class Token(NamedTuple):
    """Code points `start`..`end` of the text; `key` is what its features depend on: all of it, and a space before."""

    start: int
    end: int
    key: str


def tokens(text: str) -> list[Token]:
    """The tokens of `text`, in order. White space is in none of them but line breaks."""
    found = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        key = match[0]
        if key[0].isspace():
            if key[0] == "\n":
                end, key = start + 1, "\n"
            elif key[0] == " " and not key[1].isspace():  # nearly always
                start += 1
            else:
                written = key.lstrip()
                if written:
                    start = end - len(written)
                    key = " " + written
                else:  # spaces before a line break
                    start += key.index("\n")
                    end, key = start + 1, " \n"
        if len(key) > 5 and key[-1] in "0123456789":  # of a long number only its size and its head are features
            head = 4 if key[0] == " " else 3
            key = key[:head] + "0" * (len(key) - head)
        found.append(_token(Token, (start, end, key)))
    return found


_token = tuple.__new__  # the constructor of a named tuple takes three times as long


def features(key: str) -> list[int]:
    """The rows of the embedding table whose sum stands for a token with this `key`; lists are added by `Names`."""
    spaced = key[0] == " " and len(key) > 1
    written = key[1:] if spaced else key
    if written.isascii() and written.isalpha():
        return _ascii_rows(written, spaced=spaced)
    parts = ["s1" if spaced else "s0"]
    if written.isdecimal() and written.isascii():
        parts += _digits(written)
    elif len(written) > 1 or written.isalnum():
        parts += _letters(written)
    else:
        parts += ("g" + written, "gk" + unicodedata.category(written))
    return [crc32(part.encode("utf-8", "surrogatepass")) & (ROWS - 1) for part in parts]


# A checksum may begin with that of a prefix: the hash of "w" and then "anna" is the hash of "wanna".
_W, _F, _C, _L, _T, _A, _E = (crc32(letter.encode()) for letter in "wfcltae")
_SPACED, _TIGHT = crc32(b"s1"), crc32(b"s0")


def _ascii_rows(written: str, *, spaced: bool) -> list[int]:
    """What `features` says of a word without accents, in half of the time: most words in most texts."""
    word = written.lower().encode()
    size = len(word)
    rows = [
        _SPACED if spaced else _TIGHT, crc32(word, _W), crc32(word, _F),
        crc32(_shape(written).encode(), _C), crc32(b"%d" % min(size, 12), _L),
    ]  # fmt: skip
    if size > 2:
        edged = b"<" + word + b">"
        rows += [crc32(edged[i : i + 3], _T) for i in range(size)]
        rows += (crc32(word[:3], _A), crc32(word[-3:], _E), crc32(word[-2:], _E))
    if size > 3:
        rows += (crc32(word[:4], _A), crc32(word[-4:], _E))
    if size > 4:
        rows += (crc32(word[:5], _A), crc32(word[-5:], _E))
    return [row & (ROWS - 1) for row in rows]


def folded(word: str) -> str:
    """`word` without case and accents, as word lists are compared."""
    if word.isascii():
        return word.lower()
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))
    return plain.translate(_FOLDED)


_FOLDED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe", "\u0131": "i", "ð": "d", "þ": "th"}
)


def _digits(written: str) -> list[str]:
    size = len(written)
    parts = [f"d{min(size, 20)}", "dz" if written[0] == "0" else "dn"]
    if size <= 4:
        parts.append("n" + written)
        if size == 4:
            parts.append("y" + written[:2])
    else:
        parts += ("p" + written[:2], "p" + written[:3])
    return parts


def _letters(written: str) -> list[str]:
    lower = written.lower()
    plain = folded(written)[:MAX_WORD]  # one ligature may fold to a dozen letters
    size = len(plain)
    edged = f"<{plain}>"
    parts = ["w" + lower, "f" + plain, "c" + _shape(written), f"l{min(size, 12)}"]
    if size > 2:
        parts += [f"t{edged[i : i + 3]}" for i in range(size)]
        parts += ("a" + plain[:3], "e" + lower[-3:], "e" + lower[-2:])
    if size > 3:
        parts += ("a" + plain[:4], "e" + lower[-4:])
    if size > 4:
        parts += ("a" + plain[:5], "e" + lower[-5:])
    return parts


def _shape(written: str) -> str:
    """How a word is capitalised, and roughly how long it is."""
    if written.islower():
        case = "x"
    elif written.isupper():
        case = "X" if len(written) > 1 else "I"
    elif written[0].isupper() and written[1:].islower():
        case = "Xx"
    else:
        case = "xX"
    return f"{case}{min(len(written), 4)}"
