"""A second reading of an answer in which some characters stand for others, watched where there are any.

What is respelt may begin anywhere in a value, so the second reading begins a value's length before the first character
that is, and goes on for as long after the last. An answer without any is not read twice.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple, Protocol

from firedoor.core.detect.leak.decoding import Make
from firedoor.core.detect.leak.values import MAX_CHARACTERS
from firedoor.core.detect.leak.watch import Watch
from firedoor.core.detect.spans import Hit, View

REACH = MAX_CHARACTERS
"""Code points before and after that are read a second time."""


class Respelt(NamedTuple):
    """Code points `start`..`end` of a text read as `written`. If that is not `sure`, only near others that are."""

    start: int
    end: int
    written: str
    view: View
    sure: bool = True


class Spelling(Protocol):
    """Which characters stand for others. Owes: the same for each text, however it was cut."""

    def read(self, text: str, first: int, *, final: bool) -> tuple[list[Respelt], int]:
        """What is to be respelt in `text` from `first` on, and before which place that is certain.

        What stands before `first` is the end of the text before. `final`: nothing follows.
        """
        ...


class RespeltReading:
    """The second reading of one growing text: a `Watch` that is also told what is held at the beginning of each piece.

    `idle`: no character that could be respelt is near.
    """

    __slots__ = ("_child", "_edits", "_fed", "_from", "_held", "_last", "_length", "_make", "_places", "_said",
                 "_spelling", "_tail", "_undecided", "_views", "idle")  # fmt: skip

    def __init__(self, spelling: Spelling, make: Make) -> None:
        self._spelling = spelling
        self._make = make
        self._child: Watch | None = None
        self._tail = ""  # the end of the text, with what is undecided
        self._undecided = 0
        self._fed = 0
        self._held = 0  # what was held before the undecided text
        self._last = 0  # where the last respelt character ends
        self._reset()
        self.idle = True

    def feed(self, text: str, held: int = 0) -> list[Hit]:
        """See `Watch.feed`; before `text`, everything before `held` could leave."""
        if not self._undecided:
            self._held = min(held, self._fed)
        return self._take(text, final=False)

    def held_from(self) -> int:
        """See `Watch.held_from`."""
        if self._child is not None:
            return self._place(self._child.held_from())
        return self._held if self._undecided else self._fed

    def end(self) -> list[Hit]:
        """See `Watch.end`."""
        hits = self._take("", final=True)
        return hits if self._child is None else hits + self._told(self._child.end())

    def skip(self, count: int, before: str) -> None:
        """`count` code points that hold nothing are not read; `before` is their end."""
        self._fed += count
        self._tail = before[-REACH:]

    def _take(self, text: str, *, final: bool) -> list[Hit]:
        data = self._tail + text
        self._fed += len(text)
        base = self._fed - len(data)
        first = len(data) - len(text) - self._undecided
        edits, upto = self._spelling.read(data, first, final=final)
        hits: list[Hit] = []
        at = first
        for edit in edits:
            hits += self._pass(data[at : edit.start], base + at)
            at = edit.start
            if self._child is None and edit.sure:
                self._go_back(data, edit.start, base, final=final)
            if self._child is not None:
                self._respell(base + edit.start, base + edit.end, edit)
                at = edit.end
        hits += self._pass(data[at:upto], base + at) + self._read_on(base + upto)
        self._undecided = len(data) - upto
        self._tail = data[-REACH - self._undecided :]
        self.idle = self._child is None and not self._undecided
        return hits

    def _go_back(self, data: str, upto: int, base: int, *, final: bool) -> None:
        """Begin `REACH` before `upto`, with what stands up to there."""
        at = max(0, upto - REACH)
        self._reset()
        self._child = self._make()
        self._places.append(base + at)
        self._from.append(0)
        self._last = base + upto
        for edit in self._spelling.read(data, at, final=final)[0]:
            if edit.end > upto:
                break
            self._say(data[at : edit.start])
            self._respell(base + edit.start, base + edit.end, edit)
            at = edit.end
        self._say(data[at:upto])

    def _reset(self) -> None:
        self._said: list[str] = []  # what the child has not read
        self._length = 0  # of the child's text
        self._from = array("q")  # characters of the child's text from which on they stand elsewhere
        self._places = array("q")  # and the code points they stand at
        self._edits = array("q")  # characters of the child's text that are respelt
        self._views: list[View] = []

    def _pass(self, text: str, at: int) -> list[Hit]:
        """`text`, which stands at code point `at`, is for the child, if there is one, as far as it may concern it."""
        if self._child is None:
            return []
        near = max(0, self._last + REACH - at)
        self._say(text[:near])
        if len(text) <= near:
            return []
        hits = self._read_on(at + near)
        if self._child is not None:
            self._say(text[near:])
        return hits

    def _say(self, text: str) -> None:
        if text:
            self._said.append(text)
            self._length += len(text)

    def _respell(self, start: int, end: int, edit: Respelt) -> None:
        if edit.sure:
            self._last = end
        if len(edit.written) != end - start:
            self._from.extend((self._length, self._length + len(edit.written)))
            self._places.extend((start, end))
        if edit.written:
            self._edits.append(self._length)
            self._views.append(edit.view)
        self._say(edit.written)

    def _read_on(self, upto: int) -> list[Hit]:
        """Have the child read what was said, up to code point `upto`; stop when nothing more concerns it."""
        if self._child is None:
            return []
        hits = self._told(self._child.feed("".join(self._said)))
        self._said.clear()
        if upto - self._last >= REACH and self._place(self._child.held_from()) >= self._last:
            self._child = None
            self._reset()
        return hits

    def _told(self, hits: list[Hit]) -> list[Hit]:
        """Those of `hits` that have something respelt in them: the others are found without."""
        told = []
        for hit in hits:
            at = bisect_left(self._edits, hit.end) - 1
            if at >= 0 and self._edits[at] >= hit.start:
                start, end = self._place(hit.start), self._end_of(hit.end)
                told.append(hit._replace(start=start, end=end, view=self._views[at]))
        return told

    def _end_of(self, character: int) -> int:
        """Where the character before `character` of the child's text ends: what says nothing behind it is not of it."""
        at = bisect_left(self._from, character)
        if at < len(self._from) and self._from[at] == character:
            return self._places[at]
        return self._place(character)

    def _place(self, character: int) -> int:
        """The code point of a character of the child's text."""
        at = bisect_right(self._from, character) - 1
        return self._places[at] + character - self._from[at]
