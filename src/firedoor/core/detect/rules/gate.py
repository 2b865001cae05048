"""Which rules a text needs: all words and the outlines of all forms asked for in two passes over its bytes.

The gate only ever skips work. It asks for more than the rules do (parts of words, forms without their checksums), and
where `hyperscan` is missing everything is needed: slower, with the same findings.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

ALL = -1
"""Every bit is set: everything is needed."""

_OUTLINE = bytes.maketrans(b"123456789bcdefghijklmnopqrstuvwxyz", b"0" * 9 + b"a" * 25)
_TINY, _SHORT = 2, 4  # letters of a word
_BETWEEN = b"[^a-z0-9]+"  # bytes between the words of a phrase
_WORD = re.compile(r"[^\W\d_]+")
_MAX_BYTES = 1 << 26  # what one call certainly takes; larger texts need everything


class Gate:
    """``needed(low)``: a bit set of what the folded text `low` may hold.

    Bit n: one of ``outlines[n]``, texts in which ``0`` stands for any digit, ``a`` for any ASCII letter and every other
    sign for itself. The bit after them: one of the phrases `words`.
    """

    def __init__(self, outlines: Sequence[Iterable[str]], words: Iterable[str]) -> None:
        self._words_bit = 1 << len(outlines)
        self._outlines: Any = None
        try:
            self._hyperscan: Any = importlib.import_module("hyperscan")
        except ImportError:
            return
        literals = [(number, text) for number, texts in enumerate(outlines) for text in texts]
        self._outlines = self._compiled([(number, re.escape(text).encode()) for number, text in literals])
        self._words = self._compiled(list(enumerate(_expressions(words))))

    def _compiled(self, numbered: list[tuple[int, bytes]]) -> Any:
        database = self._hyperscan.Database(mode=self._hyperscan.HS_MODE_BLOCK)
        numbers, expressions = zip(*numbered, strict=True)
        flags = self._hyperscan.HS_FLAG_SINGLEMATCH
        database.compile(expressions=list(expressions), ids=list(numbers), flags=flags)
        return database

    def needed(self, low: str) -> int:
        """What `low` may hold. A lone surrogate is no part of any word or form."""
        if self._outlines is None:
            return ALL
        data = low.encode("utf-8", "replace")
        if len(data) > _MAX_BYTES:
            return ALL
        seen: list[int] = []
        said: list[int] = []
        try:
            self._outlines.scan(data.translate(_OUTLINE), match_event_handler=_note, context=seen)
            self._words.scan(data, match_event_handler=_note, context=said)
        except self._hyperscan.error:  # another thread uses the working memory of the database
            return ALL
        bits = self._words_bit if said else 0
        for number in seen:
            bits |= 1 << number
        return bits


def _note(number: int, _start: int, _end: int, _flags: int, seen: list[int]) -> None:
    seen.append(number)


def _expressions(phrases: Iterable[str]) -> list[bytes]:
    """The phrases by their longest words: a short one must stand alone, a long one may be part of another.

    Phrases of one or two letters a word (``c.f.``) are asked for whole.
    """
    long: list[str] = []
    short: dict[bytes, None] = {}
    for phrase in sorted(phrases, key=len):
        words = _WORD.findall(phrase)
        longest = max(words, key=len)
        if len(longest) <= _TINY:
            short[_BETWEEN.join([word.encode() for word in words])] = None
        elif len(longest) <= _SHORT:
            short[longest.encode()] = None
        elif not any(word in longest for word in long):
            long.append(longest)
    return [b"(?:^|[^a-z])(?:" + b"|".join(short) + b")(?:[^a-z]|$)", *(word.encode() for word in long)]
