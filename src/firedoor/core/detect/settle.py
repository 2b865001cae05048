"""Where findings overlap: who names the characters. None of them is ever given up, only a finding's name for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

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
    kept: list[Span] = []
    for span in sorted(order, key=_strength):
        pieces = [(span.start, span.end)]
        for other in kept:
            pieces = [rest for piece in pieces for rest in _outside(piece, other)]
            if not pieces:
                break
        kept += [span._replace(start=start, end=end) for start, end in pieces]
    return sorted(kept)


def _strength(span: Span) -> tuple[int, int, float, int]:
    rank = _RANK[span.tier]
    if span.tier == "rule" and span.score < SURE:
        rank = _RANK["model"] + 1
    return rank, span.start - span.end, -span.score, span.start


def _outside(piece: tuple[int, int], other: Span) -> list[tuple[int, int]]:
    start, end = piece
    if other.end <= start or end <= other.start:
        return [piece]
    return [(a, b) for a, b in ((start, other.start), (other.end, end)) if a < b]
