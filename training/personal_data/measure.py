"""The score of many texts; how it counts is told in `firedoor.bench.pii_score`."""

from __future__ import annotations

from collections.abc import Iterable

from firedoor.bench.pii_score import NEUTRAL, Score, Spans
from training.personal_data.fill import Labelled

__all__ = ["NEUTRAL", "Score", "Spans", "score"]


def score(pairs: Iterable[tuple[Labelled, Spans]]) -> Score:
    """The score of many texts."""
    total = Score()
    for text, spans in pairs:
        total.add(text, spans)
    return total
