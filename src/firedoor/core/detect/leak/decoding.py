"""Bytes that an answer spells in some code, as text for a watch: as long as they read like text at all.

Most runs of letters and digits are no code, and decode to garbage. So a watch is only asked where the bytes are mostly
characters that can be read, and what is garbage holds nothing back.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from typing import NamedTuple

from firedoor.core.detect.leak.watch import Watch
from firedoor.core.detect.spans import Hit

Make = Callable[[], Watch]
"""Makes a fresh watch for a decoded text."""

_LEAST = 6
"""Characters that can be read, before a watch is made for them: no protected value has fewer than eight."""
_TRUST, _PENALTY = 12, 3
"""So many characters in a row buy four bytes of garbage; random bytes are used up at once."""

_PARTS = re.compile(
    rb"(?P<ascii>[\t\n\r\x20-\x7e]+)"
    rb"|(?P<utf16>[\xa0-\xff]\x00)"
    rb"|(?P<utf8>(?:[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})+)"
    rb"|(?P<more>(?:[\xa0-\xff]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z)"
    rb"|(?P<zero>\x00)"  # of UTF-16: behind the letters
    rb"|(?P<bad>[\s\S])"
)
_CHARACTER = rb"(?:[\t\n\r\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})"
_UNFINISHED = rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})"
_TWO_BYTES = rb"[\t\n\r\x20-\x7e\xa0-\xff]\x00"
BEGINS = re.compile(_CHARACTER + b"{%d}|(?:%s){3}" % (_LEAST, _TWO_BYTES))
"""What random bytes seldom have: one place in two hundred."""
_MAY_BEGIN = re.compile(
    b"(?:%s{1,%d}%s?|%s|(?:%s){1,2}[\t\n\r\x20-\x7e\xa0-\xff]?|[\xa0-\xff])\\Z"
    % (_CHARACTER, _LEAST - 1, _UNFINISHED, _UNFINISHED, _TWO_BYTES)
)
_MOST_LEFT = 4 * _LEAST


class Found(NamedTuple):
    """A hit in decoded text: it comes from the bytes `start`..`end`."""

    start: int
    end: int
    hit: Hit


class Stretch:
    """The readable text in a growing sequence of bytes, watched. Bytes are counted from its beginning."""

    __slots__ = ("_begins", "_child", "_count", "_ends", "_left", "_make", "_reading", "_text", "_trust")

    def __init__(self, make: Make) -> None:
        self._make = make
        self._child: Watch | None = None
        self._reading = False  # whether a readable stretch has begun
        self._text = ""  # what the child has not read
        self._begins = array("q")  # the first byte of each character of the child's text, and behind its last
        self._ends = array("q")
        self._trust = 0
        self._left = b""  # what may begin a readable stretch, or a character that is not whole
        self._count = 0

    def feed(self, data: bytes, *, final: bool = False) -> list[Found]:
        """Take more bytes; what is found in the text they complete. `final`: no more will come."""
        self._count += len(data)
        if self._left:
            data = self._left + data
            self._left = b""
        found: list[Found] = []
        base = self._count - len(data)
        at = 0
        while at < len(data):
            if not self._reading:
                begin = BEGINS.search(data, at)
                if begin is None:
                    left = None if final else _MAY_BEGIN.search(data, max(at, len(data) - _MOST_LEFT))
                    self._left = b"" if left is None else left[0]
                    break
                at = begin.start()
                self._reading = True
            at = self._follow(data, at, base, found, final=final)
        if self._reading:
            found += self._over() if final else self._read()
        return found

    def held_from(self) -> int:
        """The byte from which a hit may still come; the number of bytes fed if none can."""
        at = self._count - len(self._left)
        if self._child is None:
            return self._begins[0] if self._begins else at
        held = self._child.held_from()
        return self._begins[held] if held < len(self._begins) else at

    def _follow(self, data: bytes, at: int, base: int, found: list[Found], *, final: bool) -> int:
        """Read on in `data` from `at`, up to garbage or to the end; where that is."""
        for match in _PARTS.finditer(data, at):
            start, end = match.span()
            part = match.lastgroup
            if part == "ascii":
                self._begins.extend(range(base + start, base + end))
                self._ends.extend(range(base + start + 1, base + end + 1))
                self._readable(match[0].decode("ascii"))
            elif part == "utf8":
                self._wide(base + start, match[0].decode("utf-8", "ignore"))
            elif part == "utf16":
                self._begins.append(base + start)
                self._ends.append(base + end)
                self._readable(chr(data[start]))
            elif part == "more" and not final:
                self._left = match[0]
            elif part != "zero":
                self._trust -= _PENALTY * (end - start)
                if self._trust <= 0:
                    found += self._over()
                    return end
        return len(data)

    def _wide(self, start: int, text: str) -> None:
        for character in text:
            end = start + len(character.encode())
            self._begins.append(start)
            self._ends.append(end)
            start = end
        self._readable(text)

    def _readable(self, text: str) -> None:
        self._text += text
        self._trust = min(_TRUST, self._trust + len(text))

    def _read(self) -> list[Found]:
        """Have the child read on."""
        if not self._text or (self._child is None and len(self._text) < _LEAST):
            return []
        if self._child is None:
            self._child = self._make()
        text, self._text = self._text, ""
        return self._placed(self._child.feed(text))

    def _over(self) -> list[Found]:
        """The stretch ends here."""
        found = self._read()
        if self._child is not None:
            found += self._placed(self._child.end())
        self._child, self._text, self._trust, self._reading = None, "", 0, False
        self._begins, self._ends = array("q"), array("q")
        return found

    def _placed(self, hits: list[Hit]) -> list[Found]:
        return [Found(self._begins[hit.start], self._ends[hit.end - 1], hit) for hit in hits]
