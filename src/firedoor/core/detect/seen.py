"""Texts seen before are not searched again: a chat sends its whole history with every turn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Generic, TypeVar

from firedoor.core.detect.spans import Span

MIN_LENGTH = 64
"""Code points. Shorter texts are searched faster than they are hashed and looked up."""

T = TypeVar("T")


class Memory(Generic[T]):
    """What was made of at most `capacity` texts, least recently used out first.

    It remembers a keyed hash of a text, never the text: without `key` (16 to 64 random bytes of the process) nobody can
    try out which texts were seen.
    """

    def __init__(self, key: bytes, capacity: int) -> None:
        self._key = key
        self._capacity = capacity
        self._kept: OrderedDict[bytes, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, text: str, make: Callable[[], T], beside: str = "") -> T:
        """What `make` makes of `text`, or made of it before; `beside` is what else it depends on (without ``NUL``)."""
        data = f"{beside}\0{text}".encode("utf-8", "surrogatepass")
        name = blake2b(data, key=self._key, digest_size=16).digest()
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        made = self._kept[name] = make()
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return made


class SeenTexts:
    """`find` with a memory. It keeps where the spans are: 0.3 KiB for a text and 0.1 KiB for each of its spans."""

    def __init__(self, find: Callable[[str], list[Span]], key: bytes, capacity: int) -> None:
        self._find = find
        self._memory: Memory[tuple[Span, ...]] = Memory(key, capacity)

    def __len__(self) -> int:
        return len(self._memory)

    def find(self, text: str) -> list[Span]:
        """What `find` gives for `text`."""
        if len(text) < MIN_LENGTH:
            return self._find(text)
        return list(self._memory.of(text, lambda: tuple(self._find(text))))
