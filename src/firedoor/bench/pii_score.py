"""How well spans hide values: characters and values, whatever the label, as redaction does. Also used in training.

Only letters and digits count. Texts hold neutral spans too (organisations, places, dates): a span there counts neither
as right nor as wrong.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

Spans = list[tuple[int, int, str]]
"""Start, end and label."""

NEUTRAL = frozenset({"ORG", "LOCATION", "DATE", "OTHER"})
CLEAR = 3
"""Letters and digits of a value that may not stay in clear: fewer tell nothing."""


class Labelled(Protocol):
    """A text and what is personal in it."""

    @property
    def text(self) -> str:
        """The text."""
        ...

    @property
    def spans(self) -> Spans:
        """Its spans, neutral ones too, not overlapping."""
        ...


class Score:
    """Counts over texts: characters that are personal (`gold`), that were `found`, that are both (`right`);
    distinct values of a text, and those `left` in clear; characters that are nobody's, and those hit all the same.
    """

    def __init__(self) -> None:
        self.right = self.found = self.gold = 0
        self.left = self.values = 0
        self.innocent = self.innocent_hit = 0
        self.missed: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.false: Counter[str] = Counter()
        self.gold_of: Counter[str] = Counter()
        self.masked_of: Counter[str] = Counter()
        self.found_of: Counter[str] = Counter()
        self.right_of: Counter[str] = Counter()

    def add(self, text: Labelled, spans: Spans) -> None:
        """Compare `spans`, found in `text`, with its own."""
        size = len(text.text)
        gold, neutral, masked = bytearray(size), bytearray(size), bytearray(size)
        for start, end, label in text.spans:
            (neutral if label in NEUTRAL else gold)[start:end] = b"\1" * (end - start)
        for start, end, _ in spans:
            masked[start:end] = b"\1" * (end - start)
        counted = [c.isalnum() and not neutral[i] for i, c in enumerate(text.text)]
        for i in range(size):
            if counted[i]:
                self.gold += gold[i]
                self.found += masked[i]
                self.right += gold[i] & masked[i]
                if not gold[i]:
                    self.innocent += 1
                    self.innocent_hit += masked[i]
        for start, end, label in spans:
            if not any(gold[start:end]) and not any(neutral[start:end]):
                self.false[label] += 1
            self.found_of[label] += sum(counted[start:end])
            self.right_of[label] += sum(gold[i] for i in range(start, end) if counted[i])
        self._add_values(text, masked)

    def _add_values(self, text: Labelled, masked: bytearray) -> None:
        leaks: dict[tuple[str, str], bool] = {}
        for start, end, label in text.spans:
            if label in NEUTRAL:
                continue
            size = sum(map(str.isalnum, text.text[start:end]))
            clear = sum(text.text[i].isalnum() and not masked[i] for i in range(start, end))
            self.gold_of[label] += size
            self.masked_of[label] += size - clear
            key = (label, text.text[start:end].lower())
            leaks[key] = leaks.get(key, False) or clear >= CLEAR
        for (label, _), leaked in leaks.items():
            self.values += 1
            self.asked[label] += 1
            self.left += leaked
            self.missed[label] += leaked

    @property
    def precision(self) -> float:
        """Of characters; 0 if none were found."""
        return self.right / max(1, self.found)

    @property
    def recall(self) -> float:
        """Of characters; 0 if none are personal."""
        return self.right / max(1, self.gold)

    @property
    def f1(self) -> float:
        """Of characters."""
        return 2 * self.right / max(1, self.found + self.gold)

    @property
    def values_left(self) -> float:
        """Share of distinct values of a text of which `CLEAR` or more characters stay in clear."""
        return self.left / max(1, self.values)

    @property
    def alarms(self) -> float:
        """Innocent characters masked, of 1,000."""
        return 1000 * self.innocent_hit / max(1, self.innocent)

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.3f} (P {self.precision:.3f} R {self.recall:.3f}) left {self.values_left:.3f} "
            f"alarms {self.alarms:.1f}"
        )
