"""Chance, as the core takes it: from outside, so that the same seed gives the same run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

_T = TypeVar("_T")


class Chance(Protocol):
    """What is used of `random.Random`."""

    def randrange(self, start: int, stop: int | None = None) -> int:
        """A whole number below `stop`, from `start` on; below `start` where that is all there is."""
        ...

    def choice(self, seq: Sequence[_T]) -> _T:
        """One of `seq`."""
        ...
