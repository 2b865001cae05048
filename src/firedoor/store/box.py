"""What seals the small files of a region: `firedoor.keys.derive.SealingBox`, as the store sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from firedoor.errors import KeyUnusable


class Box(Protocol):
    """Seals and opens for one region; what it opens was sealed there for the same purpose."""

    def seal(self, data: bytes, purpose: str) -> bytes:
        """`data`, sealed."""
        ...

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises `KeyUnusable`."""
        ...

    def subkey(self, purpose: str) -> bytes:
        """32 secret bytes for another use."""
        ...


@contextmanager
def same_release(name: str) -> Iterator[None]:
    """Around the decoding of what opened: other fields than we know of are another release's. Raises `KeyUnusable`."""
    try:
        yield
    except msgspec.DecodeError as error:
        raise KeyUnusable(
            f"{name} was written by another release of Firedoor.",
            remedy="Run that release, or restore the file from a backup of this one.",
        ) from error
