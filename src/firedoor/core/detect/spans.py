"""The shared words of every detector: what was found where, and how a streaming detector is asked."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """Personal data in a text: code points `start`..`end`, a label of the plan's list, and the rule that found it."""

    start: int
    end: int
    label: str
    rule: str
    score: float = 1.0


class Hit(NamedTuple):
    """A protected value in a text, by the id of the value, never the value itself."""

    start: int
    end: int
    value_id: str
    set: str
    kind: str  # "value" | "honeytoken"
