"""A record of named values as one text that is searched at once: a name beside an address tells more than it alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from firedoor.core.detect.spans import Span


class Cell(NamedTuple):
    """A value and what its column or key is called; without a name the value stands for itself."""

    value: str
    name: str = ""


Edit = Callable[[Sequence[Cell]], list[str]]
"""What becomes of the values of cells that belong together: as many texts, in their order."""

MAX_NAME = 64
"""Characters of a name that are read with its value. What is longer is no name of a column."""


def untouched(cells: Sequence[Cell]) -> list[str]:
    """The edit that changes nothing."""
    return [cell.value for cell in cells]


def spans_of(cells: Sequence[Cell], find: Callable[[str], list[Span]]) -> list[list[Span]]:
    """What `find` finds in each cell, when it reads all of them as lines ``name: value``. Offsets count in the cell.

    A span over several cells becomes one in each; what lies in names is left out.
    """
    lines: list[str] = []
    starts: list[int] = []
    size = 0
    for cell in cells:
        before = f"{cell.name.replace('_', ' ')}: " if 0 < len(cell.name) <= MAX_NAME else ""
        starts.append(size + len(before))
        lines.append(before + cell.value)
        size += len(before) + len(cell.value) + 1
    found: list[list[Span]] = [[] for _ in cells]
    if not any(cell.value for cell in cells):
        return found
    for span in find("\n".join(lines)):
        for number, part in _parts(span, starts, cells):
            found[number].append(part)
    return found


def _parts(span: Span, starts: Sequence[int], cells: Sequence[Cell]) -> Iterator[tuple[int, Span]]:
    for number in range(max(bisect_right(starts, span.start) - 1, 0), len(cells)):
        start = starts[number]
        if start >= span.end:
            return
        begin, end = max(span.start - start, 0), min(span.end - start, len(cells[number].value))
        if any(map(str.isalnum, cells[number].value[begin:end])):
            yield number, span._replace(start=begin, end=end)


def spliced(text: str, pieces: Iterable[tuple[int, int, str]]) -> str:
    """`text` with each ``start, end`` replaced; pieces in order, not overlapping."""
    out: list[str] = []
    position = 0
    for start, end, put in pieces:
        out += (text[position:start], put)
        position = end
    out.append(text[position:])
    return "".join(out)
