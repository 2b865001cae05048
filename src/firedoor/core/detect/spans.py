"""The shared words of every detector: what was found where, and how a streaming detector is asked."""

from __future__ import annotations

from typing import NamedTuple, Protocol


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


class Watch(Protocol):
    """A detector over one growing text. Offsets count code points from the start of that text.

    The verdict must not depend on how the text was cut into chunks: for every split, all hits of feed() and close()
    together equal the hits of one feed of the whole.
    """

    def feed(self, text: str) -> list[Hit]:
        """Take the next piece; return the hits completed by it."""
        ...

    def held_from(self) -> int:
        """Where the longest live partial match starts; the length fed so far when there is none.

        Text before this offset can no longer become part of a hit and may be released.
        """
        ...
