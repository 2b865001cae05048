"""Our model of attacks: what a text asks for, as log-odds, stretch by stretch.

Two parts are added up. The linear one has a number for every part of a word and every phrase of two or three words
(`features.py`). The other knows what words mean: a word's vector is the sum of those of its parts, and a convolution looks
at some words side by side; of every stretch of some sentences its strongest and its mean response go through one more
layer. What a single word adds to either is worked out once and remembered. How both were trained, on what and how well
they do is told in the model card beside the training scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.attack.features import GRAMS, PARTS, PHRASES, VECTORS, features, parts, phrases, places, stem, words
from firedoor.core.detect.attack.signs import ROLES, Role, Scores
from firedoor.core.plan.model import Attribute

Floats = npt.NDArray[np.float32]

ASKED: tuple[Attribute, ...] = (
    "cost", "margin", "floor_price", "supplier", "discount_code", "unreleased", "order", "staff", "prompt",
)  # fmt: skip
"""Attributes that have a head of their own, behind those of the roles."""
HEADS = (*ROLES, *ASKED, "any")
"""What the model answers; `any` is whether any attribute is asked for, whichever it is."""
_ANY = len(HEADS) - 1

BLOCK = 32
"""Words of half a stretch: a stretch is two blocks, so a sentence that is cut in one is whole in the next."""
SLICE = 64 * BLOCK
"""Words read at once: what they need besides the text is less than 4 MiB."""
NEAR = 6.0
"""Nats below the threshold from which on it is told which stretch speaks most for an attack."""
BESIDE = 2
"""Words to either side that are looked at: the reach of the convolution, and of a phrase."""
MAX_WORDS = 12_000
"""Words remembered: those of a shop's conversations, about 20 MiB. Then all are forgotten."""


class Weights(NamedTuple):
    """What was trained. Tables are int8; their scale turns them into numbers.

    `vectors` [VECTORS, size] and `scale` [size] are the words' vectors; `near` [size, reach * width] says what a word adds
    at each of `reach` places side by side, `near_bias` is [width]. `hidden` [2 * width, middle] and `leave` [middle, heads]
    are behind the pooling, with a bias each; that of `leave` is the linear part's as well. `parts` [PARTS, heads] and
    `phrases` [PHRASES, heads] are the linear part, both times `said_scale` [heads].
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

    The last column of `said` is how many parts and phrases there are.
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
        self._says: Floats = np.zeros((1 + MAX_WORDS, len(HEADS) + 1), dtype=np.float32)

    def blocks(self, found: Sequence[str], start: int, end: int) -> Blocks:
        """The blocks of the words `start` to `end`, at most `SLICE`, with those beside them in view."""
        first, last = max(0, start - BESIDE), min(len(found), end + BESIDE)
        numbers = np.zeros(end - start + 2 * BESIDE, dtype=np.int64)
        offset = BESIDE - start
        numbers[first + offset : last + offset] = self._known(found[first:last])
        count = -(-(end - start) // BLOCK)
        responses = self._in_blocks(self._responses(numbers), count)
        said = self._in_blocks(self._said(numbers), count)
        return Blocks(responses.max(axis=1), responses.sum(axis=1), said.sum(axis=1))

    @staticmethod
    def _in_blocks(values: Floats, count: int) -> Floats:
        """`values` [words, n] as [blocks, words, n], zeros behind the last: no response is negative."""
        if count == 1:
            return values[None]
        padded = np.zeros((count * BLOCK, values.shape[1]), dtype=np.float32)
        padded[: len(values)] = values
        return padded.reshape(count, BLOCK, -1)

    def _responses(self, numbers: npt.NDArray[np.int64]) -> Floats:
        size = len(numbers) - 2 * BESIDE
        responses: Floats = self._adds[0].take(numbers[:size], axis=0)
        for place in range(1, self._reach):
            responses += self._adds[place].take(numbers[place : place + size], axis=0)
        responses += self._weights.near_bias
        return np.maximum(responses, 0, out=responses)

    def _said(self, numbers: npt.NDArray[np.int64]) -> Floats:
        said = self._says.take(numbers[BESIDE:-BESIDE], axis=0)
        rows = phrases(self._stems.take(numbers[BESIDE:]))
        said[:, :-1] += self._weights.phrases.take(rows, axis=0).sum(axis=0, dtype=np.int16)
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
        self._says[begin:end, :-1] = np.add.reduceat(weights.parts[parts(hashes)], starts, dtype=np.int32)
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
        best = int(odds[:, head].argmax())
        each = odds[:, len(ROLES) : _ANY].max(axis=0)
        asked = (float(odds[:, _ANY].max()) + each - each.max()).tolist()
        attack = float(odds[best, head])
        start, end = 0, len(text)
        if len(odds) > 1 and attack > self._thresholds[role] - NEAR:
            start, end = _stretch(text, best, last=len(odds) - 1)
        return Scores(attack, dict(zip(ASKED, asked, strict=True)), start, end)

    def odds(self, found: Sequence[str]) -> Floats:
        """Log-odds [stretches, heads] of a text of these words; stretch i is of the blocks i and i + 1."""
        slices = [
            self._reader.blocks(found, at, min(at + SLICE, len(found))) for at in range(0, len(found), SLICE)
        ]
        strongest, total, said = slices[0] if len(slices) == 1 else map(np.concatenate, zip(*slices, strict=True))
        count = np.full((len(strongest), 1), BLOCK, dtype=np.float32)
        count[-1] = len(found) - BLOCK * (len(strongest) - 1)
        if len(strongest) > 1:
            strongest = np.maximum(strongest[:-1], strongest[1:])
            total, said, count = (part[:-1] + part[1:] for part in (total, said, count))
        weights = self._weights
        pooled = np.concatenate([strongest, total / count], axis=1)
        middle = np.maximum(pooled @ weights.hidden + weights.hidden_bias, 0)
        odds: Floats = middle @ weights.leave + weights.leave_bias
        odds += said[:, :-1] * (weights.said_scale / np.sqrt(said[:, -1:]))
        return odds


def _stretch(text: str, number: int, last: int) -> tuple[int, int]:
    """The code points of stretch `number` of `text`."""
    begins = places(text)
    end = len(text) if number == last else begins[BLOCK * (number + 2)]
    return begins[BLOCK * number], end


