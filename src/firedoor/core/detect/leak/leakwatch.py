"""Everything an answer must not hold, in every disguise: one watch of all others.

A text is read as it stands by every watch, and once more wherever a disguise may be: symbols for letters, escapes,
encoded runs, and what is in these again. A reading that nothing in a piece concerns is spared the piece: answers are
nearly all plain words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from firedoor.core.detect.leak.concerns import CODE, ESCAPE, SECRET, SIGN, START, SYMBOL, concern, plain_word
from firedoor.core.detect.leak.encoded import EncodedReading
from firedoor.core.detect.leak.escapes import Escapes
from firedoor.core.detect.leak.keyforms import BEGINNINGS, may_announce
from firedoor.core.detect.leak.respelt import REACH, RespeltReading
from firedoor.core.detect.leak.secrets import SecretWatch
from firedoor.core.detect.leak.symbols import Symbols
from firedoor.core.detect.leak.watch import Watch
from firedoor.core.detect.spans import Hit

MAX_DEPTH: Final = 2
"""Codes within codes that are decoded."""
MAX_TOLD: Final = 64
"""Hits remembered, so that no disguise reports them again."""
NEAR: Final = 96
"""Code points before a piece that are read with it: the word and the number that it goes on."""
MAX_PIECES: Final = 64
"""Pieces kept one by one."""
LAST: Final = 48
"""Code points at the end of a large piece that are looked at by themselves: a sign there may go on with what stands
before it, and what that is, is known only of what came in a piece of its own."""
_KEPT = NEAR + REACH
_SAID_BEFORE = 128
"""Code points before a piece in which a word for a key may stand."""
_SAID_IN = 32
"""Pieces that these are in, if they are not smaller than tokens."""
_RESPELT = SYMBOL | ESCAPE
_BITS = (SYMBOL, ESCAPE, CODE, SECRET)


class LeakParts(Struct, frozen=True):
    """What makes fresh watches of one exchange, for each text of its answer and each way to read it.

    None: not looked for. `values`, `documents` and `prompt` also see texts that are turned round or in ROT13.
    """

    values: Callable[[], Watch] | None = None
    documents: Callable[[], Watch] | None = None
    rows: Callable[[], Watch] | None = None
    prompt: Callable[[], Watch] | None = None
    secrets: Callable[[], SecretWatch] | None = None

    def plain(self) -> list[Watch]:
        """Fresh watches that read a text as it stands, but not the one for keys and cards."""
        return [make() for make in (self.values, self.documents, self.rows, self.prompt) if make is not None]


class LeakWatch:
    """All that an answer must not hold, in one growing text: a `Watch`.

    A hit in a disguise stands where the disguised text does. What a disguise shows of a value, document or row that the
    text shows there as it stands as well is not reported again.
    """

    __slots__ = ("_busy", "_depth", "_end", "_fed", "_feeds", "_held", "_helds", "_hold", "_opened", "_parts",
                 "_pieces", "_possible", "_readings", "_told", "_watches", "_word")  # fmt: skip

    def __init__(self, parts: LeakParts, depth: int = 0) -> None:
        self._parts = parts
        self._depth = depth
        self._watches = parts.plain()
        self._feeds = [watch.feed for watch in self._watches]
        self._helds = [watch.held_from for watch in self._watches]
        self._possible = SECRET if parts.secrets is not None else 0
        if depth < MAX_DEPTH and (self._watches or parts.secrets):
            self._possible |= CODE | ESCAPE | (SYMBOL if self._watches else 0)
        self._readings: dict[int, _Reading] = {}  # made when something concerns them
        self._busy: list[_Reading] = []  # those that every piece concerns
        self._end = START  # what is looked at again with the next piece
        self._word: str | None = "" if self._possible else None  # or the plain word that it is
        self._hold = 0
        self._held = -1  # what `held_from` says, once it is known
        self._opened = -1  # what was held when something began that may be respelt
        self._fed = 0
        self._pieces: list[str] = []  # the end of the text
        self._told: list[Hit] = []

    def feed(self, text: str) -> list[Hit]:
        """See `Watch.feed`."""
        if len(text) > 2 * LAST:
            return self._take(text[:-LAST]) + self._take(text[-LAST:])
        return self._take(text)

    def _take(self, text: str) -> list[Hit]:
        concerned, held = 0, self._opened
        self._pieces.append(text)
        word = self._word
        if word is not None and text.islower() and text.replace(" ", "a").isalpha():  # half of all pieces
            at = text.rfind(" ")
            word = self._word = word + text if at < 0 else text[at + 1 :]
            self._hold = len(word) if word in BEGINNINGS else 0
        elif self._possible and text:
            concerned, self._end, hold, opens = concern((self._end if word is None else " " + word) + text)
            if held < 0 and (opens or concerned & _RESPELT):
                held = self.held_from()
            self._opened = held if opens else -1
            self._hold = hold
            self._word = None if hold or opens else plain_word(self._end)
        self._held = -1
        self._fed += len(text)
        hits: list[Hit] = []
        for feed in self._feeds:
            found = feed(text)
            if found:
                hits += found
                self._told = [*self._told, *found][-MAX_TOLD:]
        if concerned or self._busy:
            hits += self._read(concerned, text, held)
        elif len(self._pieces) >= MAX_PIECES:
            self._pieces = [self._recent()[-_KEPT:]]
        return hits

    def held_from(self) -> int:
        """See `Watch.held_from`."""
        held = self._held
        if held < 0:
            held = self._fed - self._hold
            if 0 <= self._opened < held:
                held = self._opened
            for held_from in self._helds:
                at = held_from()
                if at < held:  # noqa: PLR1730  # in half of the time of `min`
                    held = at
            for reading in self._busy:
                held = min(held, reading.watch.held_from())
            self._held = held
        return held

    def end(self) -> list[Hit]:
        """See `Watch.end`."""
        hits = [hit for watch in self._watches for hit in watch.end()]
        self._told += hits
        if self._word is None:
            concerned = concern(self._end + "\n").readings  # as if the last word were over
            hits += self._read(concerned, "", self.held_from())
        for reading in self._readings.values():
            hits += self._new(reading.watch.end())
        return hits

    def _read(self, concerned: int, text: str, held: int) -> list[Hit]:
        """The readings that are concerned read on, up to and with `text`; before it, all before `held` could leave."""
        hits: list[Hit] = []
        if concerned & SIGN and self._announced(len(text)):
            concerned |= SECRET
        if not (concerned & self._possible or self._busy):
            return hits
        readings = [reading for reading in self._busy if not reading.concern & concerned]
        readings += [self._reading(bit) for bit in _BITS if bit & concerned & self._possible]
        for reading in readings:
            found = reading.watch.feed(self._unread(reading, text), held)
            reading.read = self._fed
            if found:
                hits += self._new(found)
        self._busy = [reading for reading in readings if not reading.watch.idle]
        self._held = -1
        return hits

    def _reading(self, bit: int) -> _Reading:
        reading = self._readings.get(bit)
        if reading is None:
            reading = self._readings[bit] = _Reading(bit, _made(bit, self._parts, self._depth))
        return reading

    def _unread(self, reading: _Reading, text: str) -> str:
        """What `reading` is to read: `text`, and before it what it left, but nothing that is far away."""
        start = self._fed - len(text)
        if reading.read == start:
            return text
        recent = self._recent()
        begin = max(start - NEAR, reading.read)
        if begin > reading.read:
            reading.watch.skip(begin - reading.read, recent[: begin - self._fed])
        return recent[begin - self._fed :] if begin < self._fed else ""

    def _announced(self, length: int) -> bool:
        """Whether a word for a key stands in the last `length` code points or before them."""
        return may_announce("".join(self._pieces[-_SAID_IN:])[-length - _SAID_BEFORE :])

    def _recent(self) -> str:
        """The end of the text."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def _new(self, hits: list[Hit]) -> list[Hit]:
        """Those of `hits` that were not told as they stand."""
        return [hit for hit in hits if not any(_tells(told, hit) for told in self._told)]


def _tells(told: Hit, hit: Hit) -> bool:
    return told.value_id == hit.value_id and told.set == hit.set and hit.start < told.end <= hit.end


class _Readable(Protocol):
    """What a reading is asked."""

    @property
    def idle(self) -> bool:
        """Whether pieces that do not concern it may be left out."""
        ...

    def feed(self, text: str, held: int) -> list[Hit]: ...
    def skip(self, count: int, before: str) -> None: ...
    def held_from(self) -> int: ...
    def end(self) -> list[Hit]: ...


class _Reading:
    """A way to read a text: `concern` is its bit, `read` the code points that it has read."""

    __slots__ = ("concern", "read", "watch")

    def __init__(self, concern: int, watch: _Readable) -> None:
        self.concern = concern
        self.watch = watch
        self.read = 0


def _made(bit: int, parts: LeakParts, depth: int) -> _Readable:
    """A fresh reading. What is respelt may hide a code, and a code anything; only symbols hide no more."""

    def inner() -> LeakWatch:
        return LeakWatch(parts, depth + 1)

    def plain() -> LeakWatch:
        return LeakWatch(msgspec.structs.replace(parts, secrets=None), MAX_DEPTH)

    if bit == SECRET:
        assert parts.secrets is not None
        return parts.secrets()
    if bit == CODE:
        return EncodedReading(inner)
    return RespeltReading(Symbols(), plain) if bit == SYMBOL else RespeltReading(Escapes(), inner)
