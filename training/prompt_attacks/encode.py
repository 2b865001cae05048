"""Texts as numbers: every distinct word once, texts as rows of places in that table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.attack.features import VECTORS, features, stem, words

WIDTH = 64
"""Features of one word at most."""
PAD = VECTORS
"""The row of nothing."""


class Vocabulary:
    """Distinct words and their features, growing; place 0 is nothing."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self.hashes: list[list[int]] = [[]]
        self._stems: list[int] = [0]

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """The places of the words of `text`."""
        return np.array([self._place(word) for word in words(text)], dtype=np.int32)

    def _place(self, word: str) -> int:
        found = self._places.get(word)
        if found is None:
            found = self._places[word] = len(self.hashes)
            self._stems.append(stem(word))
            self.hashes.append(features(word))
        return found

    def bags(self) -> npt.NDArray[np.int32]:
        """The rows [words, WIDTH] of the vectors of everything placed so far."""
        bags = np.full((len(self.hashes), WIDTH), PAD, dtype=np.int32)
        for number, hashes in enumerate(self.hashes):
            bags[number, : min(len(hashes), WIDTH)] = np.array(hashes[:WIDTH], dtype=np.int64) & (VECTORS - 1)
        return bags

    def stems(self) -> npt.NDArray[np.int64]:
        """The stems [words] of the same."""
        return np.array(self._stems, dtype=np.int64)
