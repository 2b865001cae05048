"""Base64, base32, hexadecimal and binary runs in an answer, decoded while they grow.

A run is what one of these codes can write without a space between; also over line breaks once it is long. Where a code
begins in it nobody knows (``id=U3Vw…``), so it is decoded from each place where a group of its characters can begin:
four for base64. Runs that are ordinary words are not decoded, and garbage is given up after a few bytes.
"""

from __future__ import annotations

import re
from base64 import b32decode
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from firedoor.core.detect.leak.decoding import BEGINS, Found, Make, Stretch
from firedoor.core.detect.spans import Hit, View

LEAST_RUN = 11
"""Characters of a run that is decoded: eight bytes, the shortest protected value, are as many in base64."""
_LEAST_LINE = 24
"""Characters before a line break over which a run goes on."""
_BEFORE = 64
"""Characters before the first telling one that are decoded too: more of a code do not look like a word."""
_MOST_WAITING = 64
"""Characters of a run that may wait to be decoded all at once."""

RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{LEAST_RUN},}}")
_MORE = re.compile(r"[A-Za-z0-9+/_-]*")
_LAST = re.compile(r"[A-Za-z0-9+/_-]+\Z")
TELLING = re.compile(r"[0-9]|(?<=[A-Za-z0-9+/_-])[A-Z]")
"""What an ordinary word has not; a name has its capital at the beginning."""
_BREAK = re.compile(r"[ \t]{0,2}\\?\r?\n[ \t>]{0,8}(?=[A-Za-z0-9+/_-])")
_OPEN_BREAK = re.compile(r"[ \t]{0,2}\\?\r?(?:\n[ \t>]{0,8})?\Z")


class _Code(NamedTuple):
    """How bytes are written in characters of an alphabet.

    `worth`: a stretch of it that is long enough, or may become so. `bits` a character; `unit` characters make whole
    bytes; `least` characters in a row are tried.
    """

    view: View
    alphabet: re.Pattern[str]
    worth: re.Pattern[str]
    bits: int
    unit: int
    least: int
    decode: Callable[[str], bytes]


def _base64(text: str) -> bytes:
    if "-" in text or "_" in text:
        text = text.translate(_URL_SAFE)
    return a2b_base64(text[: len(text) - (len(text) % 4 == 1)] + "==="[: -len(text) % 4])


def _base32(text: str) -> bytes:
    text = text[: len(text) - (len(text) % 8 in (1, 3, 6))]
    return b32decode(text + "=" * (-len(text) % 8))


def _hex(text: str) -> bytes:
    return bytes.fromhex(text[: len(text) & ~1])


def _binary(text: str) -> bytes:
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text) - 7, 8))


_URL_SAFE = str.maketrans("-_", "+/")


def _code(view: View, characters: str, bits: int, unit: int, least: int, decode: Callable[[str], bytes]) -> _Code:
    worth = rf"[{characters}]{{{least},}}|(?<![{characters}])[{characters}]+\Z"
    return _Code(view, re.compile(f"[{characters}]+"), re.compile(worth), bits, unit, least, decode)


_CODES = (
    _code("base64", "A-Za-z0-9+/_-", 6, 4, LEAST_RUN, _base64),
    _code("hex", "0-9A-Fa-f", 4, 2, 16, _hex),
    _code("base64", "A-Z2-7", 5, 8, 13, _base32),
    _code("hex", "01", 1, 8, 64, _binary),
)


class EncodedReading:
    """The decoded runs of one growing text: a `Watch`. `idle`: nothing that was fed can be part of a code."""

    __slots__ = ("_fed", "_gap", "_make", "_run", "idle")

    def __init__(self, make: Make) -> None:
        self._make = make
        self._run: _Run | None = None
        self._gap = ""  # a line break that may be within the run
        self._fed = 0
        self.idle = True

    def feed(self, text: str, held: int = 0) -> list[Hit]:  # noqa: ARG002  # like other readings
        """See `Watch.feed`."""
        data = self._gap + text
        base = self._fed - len(self._gap)
        self._fed += len(text)
        self._gap = ""
        hits: list[Hit] = []
        at = self._go_on(data, base, hits, 0) if self._run is not None else 0
        while self._run is None and (match := RUN.search(data, at)) is not None:
            start, end = match.span()
            if end < len(data) and not TELLING.search(match[0]):
                at = end
                continue
            self._run = _Run(self._make)
            at = self._go_on(data, base, hits, start)
        if self._run is None and (last := _LAST.search(data, max(at, len(data) - LEAST_RUN))) is not None:
            self._run = _Run(self._make)
            self._run.add(last[0], base + last.start(), hits)
        self.idle = self._run is None or not self._run.telling
        return hits

    def held_from(self) -> int:
        """See `Watch.held_from`."""
        return min(self._run.held_from(), self._fed) if self._run is not None else self._fed

    def end(self) -> list[Hit]:
        """See `Watch.end`."""
        hits: list[Hit] = []
        if self._run is not None:
            self._run.close(hits)
        self._run = None
        return hits

    def skip(self, count: int, before: str) -> None:  # noqa: ARG002
        """`count` code points that hold nothing are not read."""
        self._fed += count
        self._run, self._gap = None, ""

    def _go_on(self, data: str, base: int, hits: list[Hit], at: int) -> int:
        """The run goes on in `data` from `at`; where it ends there."""
        run = self._run
        assert run is not None
        while True:
            more = _MORE.match(data, at)
            assert more is not None
            run.add(more[0], base + at, hits)
            at = more.end()
            if at == len(data):
                return at
            joint = _BREAK.match(data, at) if run.long else None
            if joint is None:
                break
            at = joint.end()
        if run.long and _OPEN_BREAK.match(data, at):
            self._gap = data[at:]
            return len(data)
        run.close(hits)
        self._run = None
        return at


class _Run:
    """One run: characters of the widest of the alphabets, counted from its beginning."""

    __slots__ = ("_count", "_floor", "_head", "_make", "_places", "_tries")

    def __init__(self, make: Make) -> None:
        self._make = make
        self._head = ""  # its end, as long as nothing is decoded
        self._count = 0
        self._places: list[tuple[int, int]] = []  # (character, code point) where it begins, and behind line breaks
        self._floor = -1  # the code point of the first telling character
        self._tries: list[_Try] = []

    @property
    def telling(self) -> bool:
        """Whether it is no ordinary word."""
        return self._floor >= 0

    @property
    def long(self) -> bool:
        """Whether it may go on over a line break."""
        return self._floor >= 0 and self._count >= _LEAST_LINE

    def add(self, text: str, offset: int, hits: list[Hit]) -> None:
        """`text` follows, at code point `offset`."""
        if not text:
            return
        places = self._places
        if not places or places[-1][1] + self._count - places[-1][0] != offset:
            places.append((self._count, offset))
        self._count += len(text)
        if self._tries:
            self._decode(text, hits)
            return
        head = self._head = self._head + text
        if self._floor < 0:
            telling = TELLING.search(head)
            if telling is None:
                self._head = head[-_BEFORE:]
                return
            self._floor = self._place(self._count - len(head) + telling.start())
            self._head = head[max(0, telling.start() - _BEFORE) :]
        if len(self._head) > _MOST_WAITING:
            self._begin(hits)

    def held_from(self) -> int:
        """The code point from which a hit may still come."""
        if self._floor < 0:
            return self._places[-1][1] + self._count - self._places[-1][0]
        if not self._tries:
            return self._floor
        return max(self._floor, self._place(min(each.held_from() for each in self._tries)))

    def close(self, hits: list[Hit]) -> None:
        """The run ends."""
        if self._floor >= 0 and not self._tries and reads(self._head):
            self._begin(hits)
        for each in self._tries:
            hits += self._placed(each.code.view, each.close())

    def _begin(self, hits: list[Hit]) -> None:
        head, self._head = self._head, ""
        self._tries = [_Try(code, self._count - len(head), self._make) for code in _CODES]
        self._decode(head, hits)

    def _decode(self, text: str, hits: list[Hit]) -> None:
        for each in self._tries:
            hits += self._placed(each.code.view, each.feed(text))

    def _placed(self, view: View, found: list[Found]) -> list[Hit]:
        return [
            hit._replace(start=max(self._floor, self._place(start)), end=self._place(end - 1) + 1, view=view)
            for start, end, hit in found
        ]

    def _place(self, character: int) -> int:
        """The code point of a character of the run."""
        places = self._places
        first, offset = places[bisect_right(places, character, key=_first) - 1]
        return offset + character - first


def _first(place: tuple[int, int]) -> int:
    return place[0]


def reads(text: str) -> bool:
    """Whether some code makes anything readable of a run. Most runs are numbers of articles and parcels."""
    for code in _CODES:
        if len(text) < code.least:
            continue
        for stretch in code.worth.findall(text):
            if len(stretch) >= code.least and any(
                BEGINS.search(code.decode(stretch[skip:])) for skip in range(code.unit)
            ):
                return True
    return False


class _Try:
    """One code, tried on a run: on each stretch of its alphabet, from each place where a group can begin."""

    __slots__ = ("_at", "_head", "_lanes", "_make", "code")

    def __init__(self, code: _Code, first: int, make: Make) -> None:
        self.code = code
        self._make = make
        self._at = first  # the character of the run that comes next
        self._head = ""  # a stretch that is too short yet
        self._lanes: list[_Lane] = []

    def feed(self, text: str) -> list[Found]:
        """More characters of the run."""
        found: list[Found] = []
        at = 0
        if self._lanes or self._head:
            go_on = self.code.alphabet.match(text)
            at = 0 if go_on is None else go_on.end()
            found += self._extend(text[:at], self._at)
            if at < len(text):
                found += self._break()
        while at < len(text) and (match := self.code.worth.search(text, at)) is not None:
            at = match.end()
            found += self._extend(match[0], self._at + match.start())
            if at < len(text):
                found += self._break()
        self._at += len(text)
        return found

    def held_from(self) -> int:
        """The character of the run from which a hit may still come; behind its last one if none can."""
        return min((lane.held_from() for lane in self._lanes), default=self._at - len(self._head))

    def close(self) -> list[Found]:
        """The run ends."""
        return self._break()

    def _extend(self, text: str, first: int) -> list[Found]:
        if self._lanes:
            return [found for lane in self._lanes for found in lane.feed(text)]
        first -= len(self._head)
        self._head += text
        if len(self._head) < self.code.least:
            return []
        text, self._head = self._head, ""
        self._lanes = [_Lane(self.code, first + skip, self._make) for skip in range(self.code.unit)]
        return [found for skip, lane in enumerate(self._lanes) for found in lane.feed(text[skip:])]

    def _break(self) -> list[Found]:
        found = [found for lane in self._lanes for found in lane.feed("", final=True)]
        self._lanes, self._head = [], ""
        return found


class _Lane:
    """One code, decoded from one place on."""

    __slots__ = ("_code", "_first", "_rest", "_stretch")

    def __init__(self, code: _Code, first: int, make: Make) -> None:
        self._code = code
        self._first = first
        self._rest = ""  # less than a unit
        self._stretch = Stretch(make)

    def feed(self, text: str, *, final: bool = False) -> list[Found]:
        """More characters. What is found comes from these characters of the run."""
        text = self._rest + text
        whole = len(text) if final else len(text) - len(text) % self._code.unit
        self._rest = text[whole:]
        found = self._stretch.feed(self._code.decode(text[:whole]), final=final)
        return [Found(self._character(start), self._character(end - 1, 7) + 1, hit) for start, end, hit in found]

    def held_from(self) -> int:
        """The character from which a hit may still come."""
        return self._character(self._stretch.held_from())

    def _character(self, byte: int, bit: int = 0) -> int:
        return self._first + (byte * 8 + bit) // self._code.bits
