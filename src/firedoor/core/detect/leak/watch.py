"""How whatever an answer must not hold is asked for: one watch reads one growing text."""

from __future__ import annotations

from typing import Protocol

from firedoor.core.detect.spans import Hit


class Watch(Protocol):
    """One thing looked for in one growing text. Offsets count code points from the start of the text.

    Owes: all feeds together, and the end, find what one feed of the whole finds, wherever the text was cut; the time is
    linear in the text.
    """

    def feed(self, text: str) -> list[Hit]:
        """Take the next piece; the hits that it completes."""
        ...

    def held_from(self) -> int:
        """Text before this offset may leave: no hit that is yet to come begins before it. The length fed if none can.

        Documents are the exception: a stretch is noticed only once some of it is there, and then held from its start.
        """
        ...

    def end(self) -> list[Hit]:
        """No more will come: the hits that only the end completes."""
        ...
