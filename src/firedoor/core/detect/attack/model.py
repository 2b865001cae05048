"""Our model of attacks: what a text asks for, as log-odds, stretch by stretch.

Two parts are added up. The linear one has a number for every part of a word and every phrase of two or three words
(`features.py`). The other knows what words mean: a word's vector is the sum of those of its parts, and a convolution
looks at some words side by side; of every stretch of a sentence or two its strongest and its mean response go through
one more layer. What a single word adds to either is worked out once and remembered. How both were trained, on what and
how well they do is told in the model card beside the training scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.attack.features import (
    GRAMS,
    PARTS,
    PHRASES,
    VECTORS,
    features,
    parts,
    phrases,
    places,
    stem,
    words,
)
from firedoor.core.detect.attack.signs import ROLES, Role, Scores
from firedoor.core.plan.model import Attribute

Floats = npt.NDArray[np.float32]

ASKED: tuple[Attribute, ...] = (
    "cost", "margin", "floor_price", "supplier", "discount_code", "unreleased", "order", "staff", "prompt",
)  # fmt: skip
"""Attributes that have a head of their own, behind those of the roles."""
HEADS = (*ROLES, *ASKED, "any")
"""What the model answers; `any` is whether any attribute is asked for, whichever it is."""

BLOCK = 16
"""Words of half a stretch: a stretch is two blocks, so a sentence that is cut in one is whole in the next."""
SLICE = 128 * BLOCK
"""Words read at once: what they need besides the text is less than 4 MiB."""
NEAR = 3.0
"""Nats below the threshold from which on it is told which stretch speaks most for an attack."""
BESIDE = 2
"""Words to either side that are looked at: the reach of the convolution, and of a phrase."""
MAX_WORDS = 12_000
"""Words remembered: those of a shop's conversations, about 20 MiB. Then all are forgotten."""


class Weights(NamedTuple):
    """What was trained. Tables are int8; their scale turns them into numbers.

    `vectors` [VECTORS, size] and `scale` [size] are the words' vectors; `near` [size, reach * width] says what a word
    adds at each of `reach` places side by side, `near_bias` is [width]. `hidden` [2 * width, middle] and `leave`
    [middle, heads] are behind the pooling, with a bias each; that of `leave` is the linear part's as well. `parts`
    [PARTS, heads] and `phrases` [PHRASES, heads] are the linear part, both times `said_scale` [heads].
    """

    vectors: npt.NDArray[np.int8]
    scale: Floats
    near: Floats
    near_bias: Floats
    hidden: Floats
    hidden_bias: Floats
    leave: Floats
    leave_bias: Floats
    parts: npt.NDArray[np.int8]
    phrases: npt.NDArray[np.int8]
    said_scale: Floats


class Blocks(NamedTuple):
    """What was read in `BLOCK` words at a time: the strongest responses, their sum, what parts and phrases say.

    The last columns of `said` are how many words there are, and how many parts and phrases.
    """

    strongest: Floats
    total: Floats
    said: Floats


class Reader:
    """Reads words in blocks. For one thread: words are remembered."""

    def __init__(self, weights: Weights) -> None:
        if (len(weights.vectors), len(weights.parts), len(weights.phrases)) != (VECTORS, PARTS, PHRASES):
            raise ValueError("a table has another size than the features")
        self._weights = weights
        self._width = len(weights.near_bias)
        self._reach = weights.near.shape[1] // self._width
        self._side = self._reach // 2
        if self._side != BESIDE:
            raise ValueError("the convolution has another reach than the phrases")
        self._numbers: dict[str, int] = {}
        # Number 0 is what stands before and behind a text: nothing.
        self._adds: Floats = np.zeros((self._reach, 1 + MAX_WORDS, self._width), dtype=np.float32)
        self._stems = np.zeros(1 + MAX_WORDS, dtype=np.int64)
        self._says: Floats = np.zeros((1 + MAX_WORDS, len(HEADS) + 2), dtype=np.float32)

    def blocks(self, found: Sequence[str], start: int, end: int) -> Blocks:
        """The blocks of the words `start` to `end`, at most `SLICE`, with those beside them in view."""
        size = end - start
        count = -(-size // BLOCK)
        padded = size if count == 1 else count * BLOCK
        first, last = max(0, start - BESIDE), min(len(found), end + BESIDE)
        numbers = np.zeros(padded + 2 * BESIDE, dtype=np.int64)
        numbers[first - start + BESIDE : last - start + BESIDE] = self._known(found[first:last])
        responses, said = self._responses(numbers, padded), self._said(numbers)
        responses[size:] = 0  # no response is negative
        said[size:] = 0
        responses = responses.reshape(count, -1, self._width)
        return Blocks(responses.max(axis=1), responses.sum(axis=1), said.reshape(count, -1, said.shape[1]).sum(axis=1))

    def _responses(self, numbers: npt.NDArray[np.int64], size: int) -> Floats:
        responses: Floats = self._adds[0].take(numbers[:size], axis=0)
        for place in range(1, self._reach):
            responses += self._adds[place].take(numbers[place : place + size], axis=0)
        responses += self._weights.near_bias
        return np.maximum(responses, 0, out=responses)

    def _said(self, numbers: npt.NDArray[np.int64]) -> Floats:
        said = self._says.take(numbers[BESIDE:-BESIDE], axis=0)
        rows = phrases(self._stems.take(numbers[BESIDE:]))
        said[:, : len(HEADS)] += self._weights.phrases.take(rows, axis=0).sum(axis=0, dtype=np.int16)
        return said

    def _known(self, found: Sequence[str]) -> list[int]:
        try:
            return [self._numbers[word] for word in found]
        except KeyError:
            self._learn(found)
        return [self._numbers[word] for word in found]

    def _learn(self, found: Sequence[str]) -> None:
        new = [word for word in dict.fromkeys(found) if word not in self._numbers]
        if len(self._numbers) + len(new) > MAX_WORDS:
            self._numbers.clear()
            new = list(dict.fromkeys(found))
        begin = 1 + len(self._numbers)
        end = begin + len(new)
        bags = [features(word) for word in new]
        sizes = np.array([len(bag) for bag in bags])
        hashes = np.array([each for bag in bags for each in bag], dtype=np.int64)
        starts = np.cumsum(sizes) - sizes
        weights = self._weights
        vectors = np.add.reduceat(weights.vectors[hashes & (VECTORS - 1)].astype(np.float32), starts) * weights.scale
        adds = (vectors @ weights.near).reshape(len(new), self._reach, self._width)
        self._adds[:, begin:end] = adds.transpose(1, 0, 2)
        self._says[begin:end, : len(HEADS)] = np.add.reduceat(weights.parts[parts(hashes)], starts, dtype=np.int32)
        self._says[begin:end, -2] = 1
        self._says[begin:end, -1] = sizes + GRAMS
        self._stems[begin:end] = [stem(word) for word in new]
        self._numbers.update(zip(new, range(begin, end), strict=True))


class AttackModel:
    """Implements `signs.Model`. `thresholds` has an entry for each role and ``asked``: log-odds. For one thread."""

    def __init__(self, weights: Weights, thresholds: Mapping[str, float]) -> None:
        self._weights = weights
        self._reader = Reader(weights)
        self._thresholds: dict[Role, float] = {role: thresholds[role] for role in ROLES}
        self._asked = thresholds["asked"]

    def threshold(self, role: Role) -> float:
        """Log-odds from which a text of `role` is an attack."""
        return self._thresholds[role]

    def asked_threshold(self) -> float:
        """Log-odds from which an attribute is asked for."""
        return self._asked

    def scores(self, text: str, role: Role) -> Scores:
        """What it makes of `text`; a text without words asks for nothing."""
        found = words(text)
        if not found:
            return Scores(-20.0, {}, 0, 0)
        odds = self.odds(found)
        head = ROLES.index(role)
        highest = odds.max(axis=0).tolist()
        attack, each = highest[head], highest[len(ROLES) : -1]
        more = highest[-1] - max(each)
        start, end = 0, len(text)
        if len(odds) > 1 and attack > self._thresholds[role] - NEAR:
            start, end = _stretch(text, int(odds[:, head].argmax()), last=len(odds) - 1)
        return Scores(attack, {name: value + more for name, value in zip(ASKED, each, strict=True)}, start, end)

    def odds(self, found: Sequence[str]) -> Floats:
        """Log-odds [stretches, heads] of a text of these words; stretch i is of the blocks i and i + 1."""
        slices = [self._reader.blocks(found, at, min(at + SLICE, len(found))) for at in range(0, len(found), SLICE)]
        strongest, total, said = slices[0] if len(slices) == 1 else map(np.concatenate, zip(*slices, strict=True))
        if len(strongest) > 1:
            strongest = np.maximum(strongest[:-1], strongest[1:])
            total = total[:-1] + total[1:]
            said = said[:-1] + said[1:]
        weights = self._weights
        middle = np.concatenate((strongest, total / said[:, -2:-1]), axis=1) @ weights.hidden
        middle += weights.hidden_bias
        np.maximum(middle, 0, out=middle)
        odds: Floats = middle @ weights.leave
        odds += weights.leave_bias
        odds += said[:, : len(HEADS)] * (weights.said_scale / np.sqrt(said[:, -1:]))
        return odds


def _stretch(text: str, number: int, last: int) -> tuple[int, int]:
    """The code points of stretch `number` of `text`."""
    begins = places(text)
    end = len(text) if number == last else begins[BLOCK * (number + 2)]
    return begins[BLOCK * number], end
