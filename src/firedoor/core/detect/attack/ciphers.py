"""Letters that stand for others: shifted (rot13, Caesar), mirrored (Atbash), backwards, digits and signs for letters.

Only what reads better deciphered, and reads like language then: letters one by one do not tell.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np

from firedoor.core.detect.attack import likeness
from firedoor.core.detect.attack.budget import Budget
from firedoor.core.detect.attack.likeness import Floats, Stretch
from firedoor.core.detect.disguise.views import Edit

REACH = 1 << 13
"""Code points around the strangest stretch that ciphers are tried on: two milliseconds for 26 alphabets."""
_AROUND = 160
"""Code points beside the strangest stretch: it ends where a name or a number stands."""
_LEAST_GAIN = 9.0
"""Nats that a stretch must gain; each of 26 alphabets is given a chance, so chance alone gives three."""
_LEAST_UNKNOWN, _LEAST_LETTERS = 18.0, 14
"""The same, and letters, where no common word comes out."""
_LEAST_CAESAR = 28.0
"""The same for the other 24 alphabets."""
_WORTH, _MOST_KNOWN = 1.5, 3
_GAIN_A_LETTER = 0.3
_MOST_COST = 3.05
_EDGE, _WORD_WORTH = 4.0, 3.0
"""Nats that may be lost to take a stretch up to the end of its sentence or its quotes."""


class _Ciphers(NamedTuple):
    """Alphabets: their names, what each pair of letters gains (a row each), and what each letter stands for."""

    names: tuple[str, ...]
    weights: Floats
    tables: tuple[dict[int, int], ...]


@functools.cache
def _ciphers() -> _Ciphers:
    alphabets = [("rot13" if shift == 13 else "caesar", letters) for shift, letters in likeness.shifts().items()]
    alphabets.append(("atbash", likeness.mirrored()))
    meant = ["".join(chr(96 + at) for at in letters[1:]) for _, letters in alphabets]
    return _Ciphers(
        tuple(name for name, _ in alphabets),
        np.stack([likeness.substitution(letters) for _, letters in alphabets]),
        tuple(str.maketrans(string.ascii_letters, letters + letters.upper()) for letters in meant),
    )


def deciphered(text: str, budget: Budget) -> tuple[str, list[Edit]]:
    """The name of the cipher whose stretch of `text` gains the most, and that stretch deciphered."""
    base, part = _window(text, likeness.strangest(likeness.pairs(text)))
    pairs = likeness.pairs(part)
    if not len(pairs):
        return "", []
    ciphers = _ciphers()
    row, gain = likeness.best_of(ciphers.weights, pairs)
    if gain < _LEAST_GAIN - _WORTH * _MOST_KNOWN:
        return "", []
    weights = ciphers.weights[row]
    stretch = likeness.best_stretch(weights, pairs)
    start, end = _sentence(part, stretch, weights, lambda run: run.translate(ciphers.tables[row]))
    run = part[start:end]
    written = run.translate(ciphers.tables[row])
    known = likeness.known_words(written) - likeness.known_words(run)
    if ciphers.names[row] == "caesar" and known < 1 and stretch.gain < _LEAST_CAESAR:
        return "", []
    if not _gained(stretch, run, written, known) or not budget.takes(end - start, len(written)):
        return "", []
    return ciphers.names[row], [Edit(base + start, base + end, written)]


def _window(text: str, stretch: Stretch) -> tuple[int, str]:
    """The part of `text` around `stretch`, and where it begins."""
    base = max(0, stretch.start - _AROUND)
    return base, text[base : min(base + REACH, stretch.end + _AROUND)]


def _gained(stretch: Stretch, run: str, written: str, known: int) -> bool:
    """Whether chance does not do it: `known` common words more are worth some nats each."""
    letters = sum(map(str.isalpha, run))
    if known > 0:
        least, share = _LEAST_GAIN - _WORTH * min(known, _MOST_KNOWN), _GAIN_A_LETTER
    else:
        least, share = _LEAST_UNKNOWN, 2 * _GAIN_A_LETTER
        if letters < _LEAST_LETTERS:
            return False
    return stretch.gain >= max(least, share * letters) and likeness.cost(written) <= _MOST_COST


def _whole(text: str, stretch: Stretch) -> tuple[int, int]:
    """`stretch` up to the ends of its words."""
    start, end = stretch.start, min(stretch.end, len(text))
    while start > 0 and text[start - 1].isalpha():
        start -= 1
    while start < end and not text[start].isalpha():
        start += 1
    while end < len(text) and text[end].isalpha():
        end += 1
    while end > start and not text[end - 1].isalpha():
        end -= 1
    return start, end


# --- backwards ---

_LEAST_BACKWARDS = 15.0
"""Nats for a stretch without a common word: one pair of letters backwards tells less than one in a cipher."""


def backwards(text: str, budget: Budget) -> tuple[list[Edit], list[Edit]]:
    """A stretch written backwards: read from its end, and word for word."""
    weights = _reversal()
    base, part = _window(text, likeness.most_backwards(likeness.pairs(text)))
    stretch = likeness.best_stretch(weights, likeness.pairs(part))
    start, end = _sentence(part, stretch, weights, lambda run: run[::-1])
    run = part[start:end]
    written = run[::-1]
    known = likeness.known_words(written, one_way=True) - likeness.known_words(run, one_way=True)
    if not _gained(stretch, run, written, known):
        words_lost = likeness.known_words(run)
        if stretch.gain < _LEAST_BACKWARDS or words_lost:
            return [], []
    if likeness.cost(written) > _MOST_COST:
        return [], []
    if not budget.takes(end - start, 2 * len(written)):
        return [], []
    words = _WORD.sub(lambda word: word[0][::-1], run)
    return [Edit(base + start, base + end, written)], [Edit(base + start, base + end, words)]


_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")


@functools.cache
def _reversal() -> Floats:
    return likeness.reversal()


def _little(more: str, weights: Floats, written: Callable[[str], str]) -> bool:
    """Whether little is lost if `more` is deciphered as well."""
    known = likeness.known_words(written(more)) - likeness.known_words(more)
    return -likeness.gain(weights, more) <= _EDGE + _WORD_WORTH * max(0, known)


def _sentence(text: str, stretch: Stretch, weights: Floats, written: Callable[[str], str]) -> tuple[int, int]:
    """`stretch` up to a line's end, a colon or a quote on either side, if that loses little."""
    start, end = _whole(text, stretch)
    low = _last(text, start)
    if _little(text[low:start], weights, written):
        start = low
    high = _next(text, end)
    if _little(text[end:high], weights, written):
        end = high
    colon = text.find(": ", start, min(end, start + _HEADING))
    if colon >= 0 and likeness.gain(weights, text[start:colon]) < _EDGE / 2:
        start = colon + 2
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


_HEADING = 40
"""Code points before a colon that may say what follows: "order note: …"."""
_STOPS = re.compile(r"[\n\"`\u201d)\]]")


def _last(text: str, start: int) -> int:
    """Where what is said before `start` ends: behind a colon, a line break or a quote."""
    return max(at + len(sign) if (at := text.rfind(sign, 0, start)) >= 0 else 0 for sign in _BEFORE)


_BEFORE = (": ", "\n", '"', "`", "\u201c")


def _next(text: str, end: int) -> int:
    found = _STOPS.search(text, end)
    return found.start() if found else len(text)


# --- rot47 ---

_ROT47 = {code: chr(33 + (code - 33 + 47) % 94) for code in range(33, 127)}
_TOKENS = re.compile(r"[!-~]+(?: [!-~]+)*")
_LEAST_ROT47, _LETTERS_ROT47 = 12, 0.8


def rot47(text: str, budget: Budget) -> list[Edit]:
    """Each character that is printed stands for the one 47 places on."""
    edits = []
    for match in _TOKENS.finditer(text[:REACH]):
        start = match.start()
        for gap in islice(_COLON.finditer(match[0]), _MOST_COLONS):
            if likeness.reads(text[start : match.start() + gap.start()]):
                start = match.start() + gap.end()
        run = text[start : match.end()]
        written = run.translate(_ROT47)
        known = likeness.known_words(written) - likeness.known_words(run)
        letters = sum(character.isalpha() or character == " " for character in written)
        if len(written) < _LEAST_ROT47 or known < 1 or letters < _LETTERS_ROT47 * len(written):
            continue
        if likeness.cost(written) > _MOST_COST:
            continue
        if budget.takes(len(written), len(written)):
            edits.append(Edit(start, match.end(), written))
    return edits


_COLON, _MOST_COLONS = re.compile(": "), 4
