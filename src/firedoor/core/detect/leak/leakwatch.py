"""Everything an answer must not hold, in every disguise: one watch of all others.

A text is read as it stands by every watch, and once more wherever a disguise may be: symbols for letters, escapes,
encoded runs, and what is in these again. A reading that nothing in a piece concerns reads the piece later, together with
the next that does: answers come in pieces of four characters, nearly all of them plain words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from firedoor.core.detect.leak.encoded import EncodedReading
from firedoor.core.detect.leak.escapes import ESCAPES, Escapes
from firedoor.core.detect.leak.respelt import RespeltReading
from firedoor.core.detect.leak.secrets import BEGINNINGS, PREFIXES
from firedoor.core.detect.leak.symbols import SYMBOLS, Symbols
from firedoor.core.detect.leak.watch import Watch
from firedoor.core.detect.spans import Hit

MAX_DEPTH: Final = 2
"""Codes within codes that are decoded."""
MAX_TOLD: Final = 64
"""Hits remembered, so that no disguise reports them again."""
MAX_WAITING: Final = 64
"""Pieces that a reading may leave for later."""
MAX_REMEMBERED: Final = 8192
"""Pieces whose concerns are remembered, of at most `_SHORT` characters: about 1 MiB."""
_SHORT = 16

_SYMBOLS, _ESCAPES, _CODES, _SECRETS = 1, 2, 4, 8
_ALL = _SYMBOLS | _ESCAPES | _CODES | _SECRETS
_RESPELT = _SYMBOLS | _ESCAPES

# What concerns the decoding of runs: a digit, or a capital that does not begin a word.
_CODE = re.compile(r"[0-9]|(?<![ \n])[A-Z]")
# What concerns keys and cards: digits, signs behind a word for a key, capitals, makers' prefixes and their beginnings.
_SECRET = re.compile(rf"[0-9:=]|--|-\Z|(?<![ \n])[A-Z]|{PREFIXES.pattern}|{BEGINNINGS.pattern}|[^\x00-\u052f]")


class Concerns(dict[str, int]):
    """Which idle readings a piece of text concerns; remembers short pieces. Not for use from several threads at once."""

    def __missing__(self, text: str) -> int:
        concerned = (
            _SYMBOLS * (SYMBOLS.search(text) is not None)
            | _ESCAPES * (ESCAPES.search(text) is not None)
            | _CODES * (_CODE.search(text) is not None)
            | _SECRETS * (_SECRET.search(text) is not None)
        )
        if len(text) <= _SHORT:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[text] = concerned
        return concerned


class LeakParts(Struct, frozen=True):
    """What makes fresh watches of one exchange, for each text of its answer and each way to read it.

    None: not looked for. `values`, `documents` and `prompt` also see texts that are turned round or in ROT13.
    `concerns` may be shared by all exchanges of a thread, which is quicker.
    """

    values: Callable[[], Watch] | None = None
    documents: Callable[[], Watch] | None = None
    rows: Callable[[], Watch] | None = None
    prompt: Callable[[], Watch] | None = None
    secrets: Callable[[], Watch] | None = None
    concerns: Concerns = msgspec.field(default_factory=Concerns)

    def plain(self) -> list[Watch]:
        """Fresh watches that read a text as it stands, but not the one for keys and cards."""
        return [make() for make in (self.values, self.documents, self.rows, self.prompt) if make is not None]


class LeakWatch:
    """All that an answer must not hold, in one growing text: a `Watch`.

    A hit in a disguise stands where the disguised text does. What a disguise shows of a value, document or row that the
    text shows there as it stands as well is not reported again.
    """

    __slots__ = ("_busy", "_concerns", "_fed", "_feeds", "_mask", "_pieces", "_plain", "_readings", "_told")

    def __init__(self, parts: LeakParts, depth: int = 0) -> None:
        self._plain = parts.plain()
        self._feeds = [watch.feed for watch in self._plain]
        self._concerns = parts.concerns
        self._readings = [*_readings(parts, depth)] if self._plain or parts.secrets else []
        self._mask = sum(reading.concern for reading in self._readings)
        self._busy = 0  # readings that every piece concerns
        self._fed = 0
        self._pieces: list[str] = []  # what not all readings have read
        self._told: list[Hit] = []

    def feed(self, text: str) -> list[Hit]:
        """See `Watch.feed`."""
        concerned = self._concerns[text] & self._mask | self._busy
        held = self.held_from() if concerned & _RESPELT else 0
        hits: list[Hit] = []
        for feed in self._feeds:
            found = feed(text)
            if found:
                hits += found
        self._fed += len(text)
        self._pieces.append(text)
        if hits:
            self._told = [*self._told, *hits][-MAX_TOLD:]
        if len(self._pieces) >= MAX_WAITING:
            hits += self._read(concerned | self._mask, held)
            self._pieces.clear()
            for reading in self._readings:
                reading.seen = 0
        elif concerned:
            hits += self._read(concerned, held)
        return hits

    def held_from(self) -> int:
        """See `Watch.held_from`."""
        held = self._fed
        for watch in self._plain:
            at = watch.held_from()
            if at < held:
                held = at
        if self._busy:
            for reading in self._readings:
                if reading.concern & self._busy:
                    held = min(held, reading.watch.held_from())
        return held

    def end(self) -> list[Hit]:
        """See `Watch.end`."""
        hits = [hit for watch in self._plain for hit in watch.end()]
        self._told += hits
        hits += self._read(self._mask, self.held_from())
        for reading in self._readings:
            hits += self._new(reading.watch.end())
        return hits

    def _read(self, concerned: int, held: int) -> list[Hit]:
        """The readings that are concerned read on; before the last piece, all before `held` could leave."""
        hits: list[Hit] = []
        pieces = self._pieces
        count = len(pieces)
        for reading in self._readings:
            if reading.concern & concerned:
                found = reading.read("".join(pieces[reading.seen :]), held)
                reading.seen = count
                if found:
                    hits += self._new(found)
                if reading.idle(self._fed):
                    self._busy &= ~reading.concern
                else:
                    self._busy |= reading.concern
        return hits

    def _new(self, hits: list[Hit]) -> list[Hit]:
        """Those of `hits` that were not told as they stand."""
        return [hit for hit in hits if not any(_tells(told, hit) for told in self._told)]


def _tells(told: Hit, hit: Hit) -> bool:
    return told.value_id == hit.value_id and told.set == hit.set and hit.start < told.end <= hit.end


class _Reading:
    """A way to read a text: `concern` is its bit, `seen` how many of the pieces that wait it has read."""

    __slots__ = ("concern", "seen", "watch")

    def __init__(self, concern: int, watch: Watch) -> None:
        self.concern = concern
        self.watch = watch
        self.seen = 0

    def read(self, text: str, held: int) -> list[Hit]:  # noqa: ARG002  # for those that go back
        """More of the text."""
        return self.watch.feed(text)

    def idle(self, fed: int) -> bool:
        """Whether pieces that do not concern it may wait."""
        return self.watch.held_from() >= fed


class _Encoded(_Reading):
    watch: EncodedReading

    def idle(self, fed: int) -> bool:  # noqa: ARG002
        return self.watch.idle


class _Respelt(_Reading):
    watch: RespeltReading

    def read(self, text: str, held: int) -> list[Hit]:
        return self.watch.feed(text, held)

    def idle(self, fed: int) -> bool:  # noqa: ARG002
        return self.watch.idle


def _readings(parts: LeakParts, depth: int) -> Iterator[_Reading]:
    if parts.secrets is not None:
        yield _Reading(_SECRETS, parts.secrets())
    if depth < MAX_DEPTH:

        def decoded() -> LeakWatch:
            return LeakWatch(parts, depth + 1)

        def respelt() -> LeakWatch:
            return LeakWatch(msgspec.structs.replace(parts, secrets=None), MAX_DEPTH)

        yield _Respelt(_SYMBOLS, RespeltReading(Symbols(), respelt))
        yield _Respelt(_ESCAPES, RespeltReading(Escapes(), decoded))
        yield _Encoded(_CODES, EncodedReading(decoded))
