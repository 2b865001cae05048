"""Letters and pieces of words taken apart or run together by signs: ``i g n o r e``, ``ig|no|re``, ``ignore_all``."""

from __future__ import annotations

import re
from collections import Counter

from firedoor.core.detect.attack import likeness
from firedoor.core.detect.attack.budget import Budget
from firedoor.core.detect.attack.escapes import merged
from firedoor.core.detect.disguise.views import Edit

# --- singly ---

_GAP = r"[\W_]{1,4}"
_SINGLE = re.compile(rf"(?<![^\W_])[^\W_](?:{_GAP}[^\W_](?![^\W_])){{4,}}")
_GAPS = re.compile(r"[\W_]+")
_WIDE = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Scripts without spaces between words, or with a whole syllable in a sign."""
_LETTER_SHARE = 0.6
_SURE = 12
"""Letters that are not written singly by chance; fewer must read like language."""
_USUAL = 0.5


def singles(text: str, budget: Budget) -> list[Edit]:
    """Letters that stand singly, closed up; where the gap is not the usual one, a word ends."""
    edits = []
    for match in _SINGLE.finditer(text):
        if not budget.tries():
            break
        written = _closed(match[0])
        if written is not None and budget.takes(len(match[0]), len(written)):
            edits.append(Edit(*match.span(), written))
    return edits


def _closed(run: str) -> str | None:
    characters = [character for character in run if character.isalnum()]
    letters = sum(character.isalpha() for character in characters)
    if letters < _LETTER_SHARE * len(characters) or _WIDE.search(run):
        return None
    gaps = _GAPS.findall(run)
    usual, times = Counter(gaps).most_common(1)[0]
    if times < _USUAL * len(gaps):
        return None
    parts = characters[:1]
    for gap, character in zip(gaps, characters[1:], strict=True):
        parts += ("" if gap == usual else _between(gap, usual), character)
    written = "".join(parts)
    low = {character.lower() for character in characters}
    return (
        written
        if (letters >= _SURE and len(low) > 4) or (len(low) > 2 and likeness.cost(written) <= _MOST_SHORT)
        else None
    )


_MOST_SHORT = 3.0


def _between(gap: str, usual: str) -> str:
    """What a gap says that is not the usual one: the end of a word, and the signs beside."""
    signs = gap.replace(usual.strip(), "") if usual.strip() else gap
    shown = signs.strip()
    return f"{shown} " if shown and shown in ",.!?;:" else (shown or " ") if len(shown) < 2 else " "


# --- in pieces ---

_SIGNS = r"|~^_.\-*\\\xb7"
_PIECES = re.compile(rf"(?<![^\W_])[^\W\d_]{{1,12}}(?:[{_SIGNS}]{{1,2}}(?![A-Z])[^\W\d_]{{1,12}}(?![^\W_]))+")
_SIGN = re.compile(rf"[{_SIGNS}]+")
_LEAST_GAIN = 6.0
"""Nats that a run of words must read better for without its signs."""


def pieces(text: str, budget: Budget) -> list[Edit]:
    """Words in pieces, closed up, if that reads better: the pieces of compound words are words."""
    edits = []
    total = 0.0
    for match in _PIECES.finditer(text):
        closed = _SIGN.sub("", match[0])
        others = (
            (_SIGN.sub(" ", match[0]), match[0].replace("|", "i")) if "|" in match[0] else (_SIGN.sub(" ", match[0]),)
        )
        better = min(map(likeness.total, others)) - likeness.total(closed)
        if better > 0 and budget.takes(len(match[0]), len(closed)):
            total += better
            edits.append(Edit(*match.span(), closed))
    return edits if total >= _LEAST_GAIN and len(edits) > 1 else []


# --- run together ---

_CAMEL = re.compile(r"(?<![^\W_])[A-Z]?[a-z]{1,20}(?:[A-Z][a-z]{0,20}){3,}(?![^\W_])")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[AI])(?=[A-Z][a-z])")
_SNAKE = re.compile(r"(?<![\w+.\-/@:])[A-Za-z']{1,20}(?:([_+.\-])[A-Za-z']{1,20})(?:\1[A-Za-z']{1,20}){2,}(?![\w+@/])")
_LEAST_HUMP = 3
"""Letters of a word, in the mean."""
_LEAST_WORDS = {"_": 4, "+": 4, "-": 5, ".": 5}


def joined(text: str, budget: Budget) -> list[Edit]:
    """``IgnoreAllPrevious``, ``ignore_all_previous``: words with spaces between them."""
    edits = []
    for match in _CAMEL.finditer(text):
        words = _HUMP.sub(" ", match[0])
        if len(match[0]) < _LEAST_HUMP * (words.count(" ") + 1):
            continue  # "iGnOrE"
        if budget.takes(len(match[0]), len(words)):
            edits.append(Edit(*match.span(), words))
    more = [
        Edit(*match.span(), match[0].replace(match[1], " "))
        for match in _SNAKE.finditer(text)
        if match[0].count(match[1]) + 1 >= _LEAST_WORDS[match[1]]
    ]
    return merged(edits, more)
