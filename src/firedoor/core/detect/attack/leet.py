"""Digits and signs for letters: ``1gn0r3 4ll pr3v10u5``."""

from __future__ import annotations

import re

from firedoor.core.detect.attack import likeness
from firedoor.core.detect.attack.budget import Budget
from firedoor.core.detect.disguise.views import Edit

_LETTERS: dict[str, str] = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il", "|": "il", "+": "t", "(": "c", "<": "c", "€": "e", "£": "l", "¢": "c",
}  # fmt: skip
"""What each sign may be; the first that follows best is taken."""
_SIGNS = "0-9@$!|+(<€£¢"
_TOKEN = re.compile(rf"(?<![^\W_])(?<![{_SIGNS}])[A-Za-z{_SIGNS}]+(?:['-][A-Za-z{_SIGNS}]+)*")
_WITHIN = re.compile(rf"[A-Za-z][{_SIGNS}]{{1,4}}[A-Za-z]")
_DRESSED = re.compile(rf"[A-Za-z].*[{_SIGNS}]|[{_SIGNS}].*[A-Za-z]")
_ENDS = re.compile(r"[!|(<]+$")
_LEAST_DRESSED, _LEAST_LETTERS = 2, 8
_MOST_COST = 2.95
_MOST_TOKEN = 40
MAX_LEET = 1 << 15
"""Code points of one text in which words are respelt, each letter on its own."""


def leet(text: str, budget: Budget) -> list[Edit]:
    """The words from the first to the last with signs for letters, if they read like language."""
    if len(text) > MAX_LEET:
        budget.refused += 1
        text = text[:MAX_LEET]
    tokens = [match for match in _TOKEN.finditer(text) if len(match[0]) <= _MOST_TOKEN]
    dressed = [at for at, token in enumerate(tokens) if _WITHIN.search(token[0])]
    if len(dressed) < _LEAST_DRESSED:
        return []
    edits: list[Edit] = []
    written: list[str] = []
    for token in tokens[max(0, dressed[0] - _NEAR) : dressed[-1] + _NEAR + 1]:
        word = token[0] if token[0].isalpha() else _ENDS.sub("", token[0])
        if not word or word.isalpha():
            continue
        letters = _best(word)
        edits.append(Edit(token.start(), token.start() + len(word), letters))
        if _DRESSED.search(word):
            written.append(letters)
    said = " ".join(written)
    if sum(map(str.isalpha, said)) < _LEAST_LETTERS or likeness.cost(said) > _MOST_COST:
        return []
    return edits if budget.takes(len(text), len(said)) else []


_NEAR = 3
"""Words beside that are all signs: ``+0 3x1+``."""


def _best(word: str) -> str:
    """The letters of which each follows the one before best: few signs stand for two."""
    if len(word) == 1:
        return _LETTERS.get(word, word)[0]
    paths = [("", 0.0, 0)]
    for character in word:
        paths = _longer(paths, _LETTERS.get(character, character))
    end = min(paths, key=lambda path: path[1] + likeness.COSTS[path[2], 0])
    return end[0]


def _longer(paths: list[tuple[str, float, int]], letters: str) -> list[tuple[str, float, int]]:
    longer = []
    for letter in letters:
        code = likeness.code(letter)
        written, cost, before = min(paths, key=lambda path: path[1] + likeness.COSTS[path[2], code])
        longer.append((written + letter, cost + float(likeness.COSTS[before, code]), code))
    return longer
