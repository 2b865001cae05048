"""Which decoders a text needs: the outlines of all that they take, looked for in one pass over its bytes.

They ask for more than the decoders take, and so only ever save work: where `hyperscan` is missing everything is needed,
slower and with the same views.
"""

from __future__ import annotations

import enum
import functools
import importlib
from typing import Any

from firedoor.core.detect.attack import likeness


class Need(enum.IntFlag):
    """What a text may hold."""

    NOTHING = 0
    ESCAPES = enum.auto()
    LITERALS = enum.auto()
    RUNS = enum.auto()
    GROUPS = enum.auto()
    DENSE = enum.auto()
    NUMBERS = enum.auto()
    MORSE = enum.auto()
    SPELLING = enum.auto()
    PIG_LATIN = enum.auto()
    SPACED = enum.auto()
    PIECES = enum.auto()
    JOINED = enum.auto()
    LEET = enum.auto()
    CIPHER = enum.auto()
    BACKWARDS = enum.auto()
    SYMBOLS = enum.auto()


LEAST_RUN = 16
"""Characters of a run without a space that is worth decoding: twelve bytes of base64."""
GROUP_SIZES = (4, 5, 6, 8, 10, 16)
"""Characters of each of the groups that a longer run is written in."""
CODE_WORDS = (
    "alfa alpha bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa "
    "quebec romeo sierra tango uniform victor whiskey whisky xray x-ray yankee zulu"
)
"""The spelling alphabet of ICAO and NATO."""

_LETTER = "[A-Za-z\\xc0-\\xff?]"  # "?": a letter outside Latin-1
_SIGN = "[^A-Za-z0-9\\xc0-\\xff]"
_LEET = "[a-zA-Z][0134578@$!|+]{1,2}[a-zA-Z]"
_PIECE = r"[|~^_.*\\\xb7-]"
_OUTLINES: tuple[tuple[Need, str], ...] = (
    (Need.ESCAPES, r"%[0-9A-Fa-f]{2}|\\[xuU0-7ntr\"\\/]|&(#|[A-Za-z]{2,8};)|=[0-9A-F]{2}"),
    (Need.LITERALS, r"[\"'][ \t]*[+.&,][ \t]*[\"']|[\"'][ ][\"']|[=:][ \t]*[\"'].{0,300}[=:][ \t]*[\"']"),
    (Need.RUNS, rf"[A-Za-z0-9+/_-]{{{LEAST_RUN}}}|[A-Za-z0-9+/]{{7}}="),
    (Need.DENSE, r"[!-~]{20}"),
    *((Need.GROUPS, rf"[^A-Za-z0-9+/-]([A-Za-z0-9+/]{{{size}}}[ \n]){{4}}") for size in GROUP_SIZES),
    *((Need.GROUPS, rf"^([A-Za-z0-9+/]{{{size}}}[ \n]){{4}}") for size in GROUP_SIZES),
    (Need.NUMBERS, r"[0-9]{1,8}([^0-9A-Za-z]{1,3}[0-9]{1,8}){5}|[01]{32}"),
    (Need.NUMBERS, r"[0-9A-Fa-f]{2}([^0-9A-Za-z]{1,3}[0-9A-Fa-f]{2}){5}|0[xX][0-9A-Fa-f]{2}|U\+[0-9A-Fa-f]{4}"),
    (Need.MORSE, r"[.\-_\xb7?]{1,6}([ /|\n]{1,3}[.\-_\xb7?]{1,6}){3}"),
    (Need.SPELLING, rf"(?i)(({'|'.join(CODE_WORDS.split())})[^A-Za-z]{{1,4}}){{3}}"),
    (Need.PIG_LATIN, r"(?i)ay[^a-z]{1,3}[a-z]{1,20}ay[^a-z]{1,3}[a-z]{1,20}ay"),
    (Need.SPACED, rf"{_LETTER}({_SIGN}{{1,4}}{_LETTER}){{4}}{_SIGN}|{_LETTER}({_SIGN}{{1,4}}{_LETTER}){{4}}$"),
    (Need.PIECES, rf"[a-zA-Z]{{1,4}}{_PIECE}[a-zA-Z]{{1,4}}{_PIECE}[a-zA-Z]|[a-zA-Z][|~^][a-zA-Z]"),
    (Need.JOINED, r"[A-Za-z]{2}([_+][A-Za-z]{1,20}){3}|[A-Za-z]{2}([.-][A-Za-z]{1,20}){4}"),
    (Need.JOINED, r"([a-z]{1,20}[A-Z]){3}"),
    (Need.SYMBOLS, r"[2-9:-@A-K]{2,20} [2-9:-@A-K]{3}|[2-9:-@A-K]{8}"),
    (Need.LEET, rf"{_LEET}.{{0,40}}{_LEET}"),
)
EVERYTHING = functools.reduce(lambda a, b: a | b, Need)


def outlines(text: str) -> Need:
    """The decoders of runs and signs that may find something in `text`."""
    return _outlines().needed(text.encode("latin-1", "replace"))


def strangeness(text: str) -> Need:
    """The ciphers that may find something in `text`."""
    found = Need.NOTHING
    cipher, backwards = likeness.strange(likeness.pairs(text))
    if cipher:
        found |= Need.CIPHER
    return found | Need.BACKWARDS if backwards else found


@functools.cache
def _outlines() -> _Outlines:
    return _Outlines()


class _Outlines:
    """Compiled on the first use, a tenth of a second."""

    def __init__(self) -> None:
        self._database: Any = None
        try:
            hyperscan = importlib.import_module("hyperscan")
        except ImportError:
            return
        self._error = hyperscan.error
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[outline.encode("latin-1") for _, outline in _OUTLINES],
            ids=[need.value for need, _ in _OUTLINES],
            flags=hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL,
        )

    def needed(self, data: bytes) -> Need:
        if self._database is None:
            return EVERYTHING
        seen: list[int] = []
        try:
            self._database.scan(data, match_event_handler=_note, context=seen)
        except self._error:  # another thread uses the working memory of the database
            return EVERYTHING
        return Need(functools.reduce(int.__or__, seen, 0))


def _note(number: int, _start: int, _end: int, _flags: int, seen: list[int]) -> None:
    seen.append(number)
