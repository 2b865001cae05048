"""Where findings overlap: who names the characters. None of them is ever given up, only a finding's name for it."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from firedoor.core.detect.spans import Span, Tier

_RANK: dict[Tier, int] = {"own": 0, "rule": 1, "deep": 2, "model": 3}
"""The shop knows its shopper best; a checksum knows more than a guess."""
SURE = 0.75
"""A rule below this score gives way to the classifier: a bare number in the form of an order id, say."""


def settled(found: Iterable[Span]) -> list[Span]:
    """`found` in the order of the text without overlaps, covering exactly the same characters.

    Where two overlap, the one of the better tier keeps its extent, within a tier the longer, then the surer. What is
    left of the other, if it holds more than signs, stays a span of its own.
    """
    order = sorted(found)
    if all(left.end <= right.start for left, right in itertools.pairwise(order)):
        return order
    kept: list[Span] = []  # in order, without overlaps
    for span in sorted(order, key=_strength):
        first = bisect_right(kept, span.start, key=_end_of)
        last = bisect_left(kept, span.end, first, key=_start_of)
        kept[first:last] = sorted((*kept[first:last], *_left(span, kept[first:last])))
    return kept


def _strength(span: Span) -> tuple[int, int, float, int]:
    rank = _RANK[span.tier]
    if span.tier == "rule" and span.score < SURE:
        rank = _RANK["model"] + 1
    return rank, span.start - span.end, -span.score, span.start


def _left(span: Span, over: list[Span]) -> Iterator[Span]:
    """What `over`, which overlap `span` and are in order, leave of it."""
    at = span.start
    for other in over:
        if at < other.start:
            yield span._replace(start=at, end=other.start)
        at = max(at, other.end)
    if at < span.end:
        yield span._replace(start=at)


def _start_of(span: Span) -> int:
    return span.start


def _end_of(span: Span) -> int:
    return span.end
