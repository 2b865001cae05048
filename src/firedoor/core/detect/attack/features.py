"""Words of a text and what the model of attacks is told about each: hashes of the word and its parts.

Training and the running product share this file: a change here needs new weights (`FEATURES` is kept beside them).
A word that somebody disguised keeps some of its features: its letters in any order between the first and the last
(``ingore``), without telling i, l and 1 apart (``wrlte``), its parts where the spaces are gone.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from zlib import crc32

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.leak.words import attribute_words
from firedoor.core.detect.tokens import folded

FEATURES = 1
"""Version of everything in this file that weights depend on."""

VECTORS = 1 << 15
"""Rows of the table of vectors, which `features` address by their lowest bits."""
PARTS = 1 << 17
"""Rows of the table of parts of words, which they address by other bits."""
PHRASES = 1 << 17
"""Rows of the table of phrases."""
GRAMS = 3
"""Phrases that begin at a word: it with one behind it, with two, with the second behind it."""
STEM = 6
"""Letters of a word that count in a phrase: ``instruction`` and ``instructions`` are the same there."""

MAX_WORD = 20
"""Letters of one word; a longer run is cut, so that one word costs little whatever the text."""

# Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[a-z]{{1,{MAX_WORD}}}|[0-9]{{1,2}}|\n|\S")  # of a text in ASCII
_ANY = re.compile(
    rf"(?P<run>[{_UNSPACED}]+)"
    rf"|(?:[^\W\d_{_UNSPACED}][\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0900-\u0dff\u200b-\u200d]*){{1,{MAX_WORD}}}"
    rf"|[0-9]{{1,2}}|\n|\S"
)
_GRAM = 3


def words(text: str) -> list[str]:
    """The words and signs of `text` in small letters, in order; a line break is one, a number one for two digits.

    In scripts without spaces every character is one, written with the two behind it.
    """
    text = _small(text)
    if text.isascii():
        return _WORDS.findall(text)
    found: list[str] = []
    for match in _ANY.finditer(text):
        if match["run"]:
            run = match["run"]
            found += [run[i : i + _GRAM] for i in range(len(run))]
        else:
            found.append(match[0])
    return found


def places(text: str) -> list[int]:
    """The code point of `text` at which each of its `words` begins."""
    text = _small(text)
    if text.isascii():
        return [match.start() for match in _WORDS.finditer(text)]
    found: list[int] = []
    for match in _ANY.finditer(text):
        start, end = match.span()
        found += range(start, end) if match["run"] else (start,)
    return found


def _small(text: str) -> str:
    """`text` in small letters, as long as before."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(c if len(c.lower()) > 1 else c.lower() for c in text)


def features(word: str) -> list[int]:
    """Hashes (32 bits) of what `word` is and what it is made of; never none."""
    if word.isdecimal():
        return [_hash(f"d{len(word)}")]
    first = word[0]
    if first >= "\u0e00" and _UNSPACED_START.match(word):
        return [_hash(f"u{word[: size + 1]}") for size in range(len(word))]
    if not first.isalpha():
        return [_hash("g" + word), _hash("k" + unicodedata.category(first))]
    plain = folded(word)[:MAX_WORD]  # one ligature may fold to a dozen letters
    found = _letters(plain.encode("utf-8", "surrogatepass"))
    bits = _attributes(plain)
    if bits:
        found.append(_hash(f"b{bits}"))
    return found


_UNSPACED_START = re.compile(f"[{_UNSPACED}]")


def parts(hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rows of the table of parts that `features` address."""
    rows: npt.NDArray[np.int64] = (hashes >> 13) & (PARTS - 1)
    return rows


def stem(word: str) -> int:
    """What `word` counts as in phrases, above 0."""
    plain = "0" if word.isdecimal() else folded(word)[:STEM]
    return _hash(plain) >> 1 | 1


def phrases(stems: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rows [GRAMS, ..., words] of the phrases that begin at each word, by the stems [..., words + 2].

    Behind the words of a text the stem is 0.
    """
    one, two, three = stems[..., :-2], stems[..., 1:-1], stems[..., 2:]
    rows = np.empty((GRAMS, *one.shape), dtype=np.int64)
    np.add(one * _TIMES[0], two * _TIMES[1], out=rows[0])
    np.add(rows[0], three * _TIMES[2], out=rows[1])
    np.add(one * _TIMES[1], three * _TIMES[3], out=rows[2])
    rows >>= 20
    rows &= PHRASES - 1
    return rows


# Odd and below 2**30, stems below 2**31: a sum of three products stays within 63 bits.
_TIMES = (0x2545F491, 0x1B873593, 0x27D4EB2F, 0x165667B1)


def _hash(part: str) -> int:
    return crc32(part.encode("utf-8", "surrogatepass"))


# A checksum may begin with that of a prefix: the hash of "w" and then "anna" is the hash of "wanna".
_W, _K, _Y, _T, _Q, _P, _A, _E, _L = (crc32(letter.encode()) for letter in "wkytqpael")
_ALIKE = bytes.maketrans(b"1l0", b"iio")


def _letters(word: bytes) -> list[int]:
    size = len(word)
    found = [crc32(word, _W), crc32(b"%d" % min(size, 12), _L)]
    if size > 2:
        edged = b"<" + word + b">"
        found += [crc32(edged[i : i + 3], _T) for i in range(size)]
        if size > 3:
            found += [crc32(edged[i : i + 4], _Q) for i in range(size - 1)]
            found += [crc32(edged[i : i + 5], _P) for i in range(size - 2)]
            found += [
                crc32(word.translate(_ALIKE), _K), crc32(word[:1] + bytes(sorted(word[1:-1])) + word[-1:], _Y),
                crc32(word[:4], _A), crc32(word[-3:], _E),
            ]  # fmt: skip
    return found


def _attributes(word: str) -> int:
    """What protected attributes `word` speaks of, as bits; ``einkaufspreise`` speaks of costs as ``einkaufspreis``."""
    exact, open_ = _stems()
    word = word.replace("l", "i")  # as the words for attributes are folded
    bits = exact.get(word, 0)
    if bits or len(word) < _STEM:
        return bits
    for size in range(len(word) - 1, _STEM - 1, -1):
        if word[:size] in open_:
            return open_[word[:size]]
    return 0


_STEM = 4


@functools.cache
def _stems() -> tuple[dict[str, int], dict[str, int]]:
    """Single words that speak of attributes: whole ones, and those that may go on."""
    exact: dict[str, int] = {}
    open_: dict[str, int] = {}
    for phrase, word in attribute_words().items():
        exact[phrase] = word.bits
        if word.open and len(phrase) >= _STEM:
            open_[phrase] = word.bits
    return exact, open_
