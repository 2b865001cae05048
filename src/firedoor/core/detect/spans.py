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


HitKind = Literal["value", "honeytoken", "amount", "document", "partial", "rounded", "secret", "card", "prompt"]
CONFIRMED: frozenset[str] = frozenset({"value", "honeytoken", "amount", "document"})
"""Kinds that are a leak for certain. The others may be chance, or are judged by a setting of their own."""
View = Literal["plain", "symbols", "rot13", "reversed", "base64", "hex", "percent", "escaped", "entities"]
"""How the text had to be read: `plain` is as it stands, without case, spaces, look-alikes and digits for letters."""


class Hit(NamedTuple):
    """What must not leave, in a text: code points `start`..`end`, by id, never the content itself.

    `value_id` is the id of the value, row or document, `set` the plan's protected set (empty for none). `score` (0 to
    1) says how much of it there is, or how sure the rule is.
    """

    start: int
    end: int
    value_id: str
    set: str
    kind: HitKind
    view: View = "plain"
    score: float = 1.0

    @property
    def confirmed(self) -> bool:
        """Whether it is a leak for certain."""
        return self.kind in CONFIRMED
