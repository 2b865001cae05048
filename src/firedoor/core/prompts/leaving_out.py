"""Stretches taken out of the texts of a request. The request itself is not touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from firedoor.core.prompts.passages import Passage, Place, document_in

WITHHELD = "[withheld]"
"""What the model reads in place of what was taken out."""


class Cut(NamedTuple):
    """Code points `start`..`end` of a passage's own text."""

    passage: Passage
    start: int
    end: int


def without(request: dict[str, Any], cuts: Iterable[Cut]) -> dict[str, Any]:
    """`request` with `WITHHELD` in place of each cut. What no cut is in is shared, not copied."""
    by_string: dict[Place, list[Cut]] = {}
    for cut in cuts:
        by_string.setdefault(cut.passage.place, []).append(cut)
    for place, found in by_string.items():
        request = _replaced(request, place, _rewritten(_at(request, place), found))
    return request


def _rewritten(text: str, cuts: Sequence[Cut]) -> str:
    value = document_in(text) if any(cut.passage.inside for cut in cuts) else None
    if value is None:
        return cut_out(text, [(cut.passage.start + cut.start, cut.passage.start + cut.end) for cut in cuts])
    leaves: dict[Place, list[tuple[int, int]]] = {}
    for cut in cuts:
        leaves.setdefault(cut.passage.inside, []).append((cut.start, cut.end))
    for inside, spans in leaves.items():
        leaf = _at(value, inside)
        # Where the place is an object, the sentence is one of its keys.
        written = cut_out(leaf, spans) if isinstance(leaf, str) else WITHHELD
        value = _replaced(value, inside, written) if inside else WITHHELD
    return msgspec.json.encode(value).decode()


def cut_out(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """`text` with `WITHHELD` in place of each of `spans`, or of several that overlap."""
    parts: list[str] = []
    upto = 0
    for start, end in sorted(spans):
        if end <= upto:
            continue
        if start > upto or not parts:
            parts += (text[upto:start], WITHHELD)
        upto = end
    return "".join([*parts, text[upto:]])


def _at(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value


def _replaced(value: Any, place: Place, new: Any) -> Any:
    if not place:
        return new
    step = place[0]
    inner = _replaced(value[step], place[1:], new)
    if isinstance(value, list):
        assert isinstance(step, int)
        return [*value[:step], inner, *value[step + 1 :]]
    return {**value, step: inner}
