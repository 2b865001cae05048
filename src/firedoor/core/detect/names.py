"""Which words are on a list: first names, last names, cities, ordinary words. Hashes only, looked up many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

FIRST, LAST, CITY, ORDINARY = 1, 2, 4, 8
"""Flags of a word. An ordinary word is a frequent one that is on no list of names."""
KINDS = 16


def word_hash(word: str) -> int:
    """The name of a folded word in the lists: CRC-32, of whose four thousand million values the lists use thousands."""
    return crc32(word.encode("utf-8", "surrogatepass"))


class Names:
    """The lists. `data` is a count (4 bytes, little-endian), as many sorted hashes (u4), as many flags (u1)."""

    def __init__(self, data: bytes) -> None:
        count = int.from_bytes(data[:4], "little")
        if len(data) != 4 + 5 * count:
            raise ValueError("the word lists are damaged")
        self._hashes = np.frombuffer(data, dtype="<u4", count=count, offset=4)
        self._flags = np.frombuffer(data, dtype="u1", count=count, offset=4 + 4 * count)

    def flags(self, words: Sequence[str]) -> npt.NDArray[np.uint8]:
        """The flags of each folded word; 0 for one that is on no list."""
        wanted = np.fromiter(map(word_hash, words), dtype=np.uint32, count=len(words))
        places = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        return np.where(self._hashes[places] == wanted, self._flags[places], 0).astype(np.uint8)
