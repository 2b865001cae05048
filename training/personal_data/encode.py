"""Labelled texts as numbers: every distinct token once, texts as rows of places in that table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.names import Names
from firedoor.core.detect.tokens import ROWS, features, folded, tokens
from training.personal_data.fill import Labelled
from training.personal_data.network import PAD, TAGS

WIDTH = 44
"""Features of one token at most, its list flags included."""
_TAG = {tag: number for number, tag in enumerate(TAGS)}
UNKNOWN = -100
"""The tag of tokens whose label nobody knows (`OTHER`)."""


class Vocabulary:
    """Distinct tokens and their features, growing."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._places: dict[str, int] = {}
        self._rows: list[list[int]] = []
        self.bags: npt.NDArray[np.int32] = np.zeros((0, WIDTH), dtype=np.int32)

    def place(self, key: str) -> int:
        """The row of `bags` that a token with this `key` will have."""
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = len(self._rows)
            self._rows.append(features(key)[: WIDTH - 1])
        return found

    def close(self) -> None:
        """Make `bags` [V, WIDTH] of everything placed so far; the last column is for the lists."""
        self.bags = np.full((len(self._rows), WIDTH), PAD, dtype=np.int32)
        for number, row in enumerate(self._rows):
            self.bags[number, : len(row)] = row
        flags = self._names.flags([folded(key.strip()) for key in self._places])
        self.bags[:, -1] = np.where(flags > 0, ROWS + flags.astype(np.int32), PAD)


class Encoded:
    """One text: places of its tokens, their tags."""

    __slots__ = ("places", "tags")

    def __init__(self, text: Labelled, vocabulary: Vocabulary, limit: int = 320) -> None:
        found = tokens(text.text)[:limit]
        self.places = np.fromiter((vocabulary.place(t.key) for t in found), dtype=np.int32, count=len(found))
        self.tags = np.zeros(len(found), dtype=np.int64)
        at = 0
        for start, end, label in text.spans:
            first = True
            while at < len(found) and found[at].end <= start:
                at += 1
            here = at
            while here < len(found) and found[here].start < end:
                self.tags[here] = UNKNOWN if label == "OTHER" else _TAG[f"{'B' if first else 'I'}-{label}"]
                first = False
                here += 1
            at = here
