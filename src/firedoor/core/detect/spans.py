"""The shared words of every detector: what was found where, and how a streaming detector is asked."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

Tier = Literal["own", "rule", "model", "deep"]
"""Who found it: the session's own values, a rule, our classifier, the deep model."""


class Span(NamedTuple):
    """Personal data in a text: code points `start`..`end`, a label of the plan's list, and the rule that found it."""

    start: int
    end: int
    label: str
    rule: str
    score: float = 1.0
    tier: Tier = "rule"


class Detector(Protocol):
    """Whatever finds personal data. Owes: bounded time for any text, and the same spans for the same text."""

    def find(self, text: str) -> list[Span]:
        """Spans in the order of the text, not overlapping; offsets count code points."""
        ...


class Hit(NamedTuple):
    """A protected value in a text, by the id of the value, never the value itself."""

    start: int
    end: int
    value_id: str
    set: str
    kind: str  # "value" | "honeytoken"
