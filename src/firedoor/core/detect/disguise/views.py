"""A text rewritten, and where each of its characters came from."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple


class Edit(NamedTuple):
    """Code points `start`..`end` of a text become `written`."""

    start: int
    end: int
    written: str


_NO_EDITS = array("q")


class View:
    """A text as it reads once a disguise is undone.

    `text` is the rewritten text, `name` says what was undone, `origin` leads back.
    """

    __slots__ = ("_before", "_begins", "_ends", "_froms", "_tos", "name", "text")

    def __init__(self, name: str, text: str, before: View | None = None) -> None:
        """`text` unchanged; `before`: the view that `text` is of, if it is not the original."""
        self.name = name
        self.text = text
        self._before = before
        # For each edit, where it stands in this text and where it stood in the one before: 32 bytes an edit.
        self._begins = self._ends = self._froms = self._tos = _NO_EDITS

    def rewritten(self, name: str, edits: Iterable[Edit]) -> View:
        """A view of this one with `edits`, which are in the order of the text and do not overlap."""
        view = View(name, "", self)
        view._begins, view._ends, view._froms, view._tos = array("q"), array("q"), array("q"), array("q")
        parts: list[str] = []
        taken = length = 0
        for start, end, written in edits:
            parts += (self.text[taken:start], written)
            length += start - taken
            view._begins.append(length)
            length += len(written)
            view._ends.append(length)
            view._froms.append(start)
            view._tos.append(end)
            taken = end
        parts.append(self.text[taken:])
        view.text = "".join(parts)
        return view

    def respelt(self, name: str, text: str) -> View:
        """A view of this one with `text`, which has other characters at the same places."""
        if len(text) != len(self.text):
            raise ValueError("a respelt text is as long as before")
        return View(name, text, self)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The code points of the original that `start`..`end` of this view were made from, and all between them."""
        view: View | None = self
        while view is not None:
            start, end = view._step(start, end)
            view = view._before
        return start, end

    def _step(self, start: int, end: int) -> tuple[int, int]:
        if start >= end:
            at = self._start(start)
            return at, at
        return self._start(start), self._end(end)

    def _start(self, at: int) -> int:
        """Where the character at `at` came from: an edit it is part of, or behind the last one before it."""
        i = bisect_right(self._begins, at) - 1
        if i < 0:
            return at
        if at < self._ends[i]:
            return self._froms[i]
        return self._tos[i] + at - self._ends[i]

    def _end(self, at: int) -> int:
        """Where the character before `at` ended."""
        i = bisect_left(self._ends, at)  # the first edit that ends at or behind `at`
        if i < len(self._ends) and self._begins[i] < at:
            return self._tos[i]
        # Deletions at `at` itself are behind the character; those before it are not.
        return at if i == 0 else self._tos[i - 1] + at - self._ends[i - 1]
