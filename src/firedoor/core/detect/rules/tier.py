"""The rule tier: everything that a form, a checksum or a word before it gives away.

The gate says what a text needs; the rules run on the text and on each view of it in which a disguise is undone. Where
findings overlap, the label that matters more names the characters, and none of them is given up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

from firedoor.core.detect.disguise.undone import views
from firedoor.core.detect.rules import credentials
from firedoor.core.detect.rules.gate import Gate
from firedoor.core.detect.rules.identifiers import OUTLINES, cue_phrases, identifiers
from firedoor.core.detect.rules.identifiers_fields import fold
from firedoor.core.detect.rules.personal import PersonalData, plain
from firedoor.core.detect.spans import Span

PRECEDENCE = (
    *("EMAIL", "IBAN", "CREDIT_CARD", "NATIONAL_ID", "TAX_ID", "IP", "PHONE", "SECRET", "DATE_OF_BIRTH", "ORDER_ID"),
    *("ACCOUNT_ID", "USERNAME", "URL", "POSTCODE"),
)
_RANK = {label: rank for rank, label in enumerate(PRECEDENCE)}
SURE = 0.7
"""Below this score a form names characters only where nothing surer does."""


class Rules:
    """The rules, with a gate before them unless `gated` is false, which finds the same in more time."""

    def __init__(self, *, gated: bool = True) -> None:
        self._numbers = PersonalData()
        self._gate = Gate([outlines.split("|") for outlines in OUTLINES], cue_phrases()) if gated else None

    def find(self, text: str) -> list[Span]:
        """Spans of personal data in the order of the text, not overlapping; offsets count code points."""
        found = list(self._search(text))
        for view in views(text):
            for span in self._search(view.text):
                start, end = view.origin(span.start, span.end)
                if start < end:
                    found.append(span._replace(start=start, end=end, rule=f"{span.rule}+{view.name}"))
        return settled(found, text) if found else found

    def _search(self, text: str) -> Iterator[Span]:
        text = plain(text)
        yield from self._numbers.spans(text)
        if any(digit in text for digit in "0123456789"):
            low = fold(text)
            needed = self._gate.needed(low) if self._gate else -1
            if needed:
                yield from identifiers(text, low, needed)
        yield from credentials.spans(text)


def settled(found: Iterable[Span], text: str) -> list[Span]:
    """`found` in order without overlaps; every letter and digit of `text` that was covered stays covered.

    What overlaps a span of the same label becomes one with it. What is left of another stays a span of its own, if it
    has letters or digits; bare signs go to the span beside them.
    """
    order = sorted(found)
    if all(left.end <= right.start for left, right in pairwise(order)):
        return order
    kept: list[Span] = []
    for span in sorted(order, key=_strength):
        first = bisect_left(kept, span.start, key=_end_of)
        first += first < len(kept) and kept[first].end == span.start
        last = bisect_left(kept, span.end, first, key=_start_of)
        over = kept[first:last]
        kept[first:last] = _joined(over, span, text) if over else [span]
    return kept


def _joined(over: list[Span], span: Span, text: str) -> list[Span]:
    """`over`, which overlap `span` and come first, and what is left of it."""
    joined: list[Span] = []
    at = span.start
    for other in over:
        piece = _stripped(text, at, other.start)
        if piece is not None:
            if other.label == span.label or not _says_something(text, piece):
                joined.append(other._replace(start=piece[0]))
            else:
                joined += (span._replace(start=piece[0], end=piece[1]), other)
        else:
            joined.append(other)
        at = max(at, other.end)
    piece = _stripped(text, at, span.end)
    if piece is not None:
        if over[-1].label == span.label or not _says_something(text, piece):
            joined[-1] = joined[-1]._replace(end=piece[1])
        else:
            joined.append(span._replace(start=piece[0], end=piece[1]))
    return joined


def _stripped(text: str, start: int, end: int) -> tuple[int, int] | None:
    """`start`..`end` without white space around it; None if nothing is left."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


def _says_something(text: str, piece: tuple[int, int]) -> bool:
    return any(map(str.isalnum, text[piece[0] : piece[1]]))


def _strength(span: Span) -> tuple[bool, int, int, float, int]:
    return span.score < SURE, _RANK.get(span.label, len(_RANK)), span.start - span.end, -span.score, span.start


def _start_of(span: Span) -> int:
    return span.start


def _end_of(span: Span) -> int:
    return span.end
