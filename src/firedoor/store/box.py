"""What seals the small files of a region: `firedoor.keys.derive.SealingBox`, as the store sees it."""

from __future__ import annotations

from typing import Protocol


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
