"""Chance, as the core takes it: from outside, so that the same seed gives the same run."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class Chance(Protocol):
    """What is used of `random.Random`."""

    def random(self) -> float:
        """From 0 to less than 1."""
        ...

    def randrange(self, start: int, stop: int | None = None) -> int:
        """A whole number below `stop`."""
        ...

    def choice(self, seq: Sequence[_T]) -> _T:
        """One of `seq`."""
        ...

    def sample(self, population: Sequence[_T], k: int) -> list[_T]:
        """`k` different ones of `population`."""
        ...

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Put `x` into another order."""
        ...
