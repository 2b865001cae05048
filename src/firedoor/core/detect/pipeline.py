"""All tiers on one text: rules, classifier, brands taken out; the session's own values are added for each request."""

from __future__ import annotations

from collections.abc import Iterable

from firedoor.core.detect.brands import Brands
from firedoor.core.detect.settle import settled
from firedoor.core.detect.spans import Detector, Span

SURE = 0.8
"""A score of the classifier from which nobody else needs to look."""


class Pipeline:
    """Several detectors as one. What it finds depends on the text alone, so that texts seen before need no search."""

    def __init__(self, detectors: Iterable[Detector], brands: Brands | None = None) -> None:
        self._detectors = tuple(detectors)
        self._brands = brands or Brands()

    def find(self, text: str) -> list[Span]:
        """Spans in the order of the text, not overlapping."""
        found = [span for detector in self._detectors for span in detector.find(text)]
        return settled(self._brands.without(found, text))


class WhenUnsure:
    """A slow detector that is asked only about texts in which a fast one has a guess and is not sure of it."""

    def __init__(self, guesses: Detector, slow: Detector) -> None:
        self._guesses = guesses
        self._slow = slow

    def find(self, text: str) -> list[Span]:
        """What the slow one finds; nothing if it was not asked."""
        return self._slow.find(text) if any(span.score < SURE for span in self._guesses.find(text)) else []
