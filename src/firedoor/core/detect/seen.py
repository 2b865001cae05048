"""Texts seen before are not searched again: a chat sends its whole history with every turn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from firedoor.core.detect.spans import Span

MIN_LENGTH = 64
"""Code points. Shorter texts are searched faster than they are hashed and looked up."""


class SeenTexts:
    """`find` with a memory of at most `capacity` texts, least recently used out first.

    It remembers a keyed hash of a text and where the spans are, never the text: without `key` (16 to 64 random bytes of
    the process) nobody can try out which texts were seen. One entry takes about 0.3 KiB and 0.1 KiB for each span.
    """

    def __init__(self, find: Callable[[str], list[Span]], key: bytes, capacity: int) -> None:
        self._find = find
        self._key = key
        self._capacity = capacity
        self._seen: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def find(self, text: str) -> list[Span]:
        """What `find` gives for `text`."""
        if len(text) < MIN_LENGTH:
            return self._find(text)
        name = blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
        known = self._seen.get(name)
        if known is not None:
            self._seen.move_to_end(name)
            return list(known)
        spans = self._find(text)
        self._seen[name] = tuple(spans)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return spans
