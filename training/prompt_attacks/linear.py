"""The linear part of the model: logistic regression on parts of words and phrases, a head at a time.

A text longer than a stretch is read in stretches, as the product does. A harmless one is harmless in all of them; of an
attack the stretch counts that speaks most for it, as far as is known so far: so it is trained twice.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from firedoor.core.detect.attack.features import PARTS, PHRASES, parts, phrases
from firedoor.core.detect.attack.model import ASKED, BLOCK, HEADS
from firedoor.core.detect.attack.signs import ROLES
from training.prompt_attacks import corpora
from training.prompt_attacks.corpora import Example
from training.prompt_attacks.encode import Vocabulary

Floats = npt.NDArray[np.float32]

STRENGTH = 10.0
"""The inverse of the penalty on large numbers."""
STRETCHES = 6
"""Of a long text, drawn anew each time."""
FEW = 0.05
"""Of the texts that ask for nothing: what a head for one attribute sees of them."""


class Linear(NamedTuple):
    """`said` [PARTS + PHRASES, heads], `bias` [heads]."""

    said: Floats
    bias: Floats

    def odds(self, stretches: csr_matrix) -> Floats:
        """Log-odds [stretches, heads]."""
        found: Floats = np.asarray(stretches @ self.said + self.bias, dtype=np.float32)
        return found


def cut(places: npt.NDArray[np.int32]) -> list[npt.NDArray[np.int32]]:
    """The stretches of a text, as `AttackModel.odds` has them."""
    count = max(1, -(-len(places) // BLOCK) - 1)
    return [places[BLOCK * n : BLOCK * (n + 2)] if n < count - 1 else places[BLOCK * n :] for n in range(count)]


def matrix(stretches: list[npt.NDArray[np.int32]], vocabulary: Vocabulary) -> csr_matrix:
    """Parts and phrases [stretches, PARTS + PHRASES], each row of length 1 if none is in it twice."""
    hashes = [parts(np.array(found, dtype=np.int64)).astype(np.int32) for found in vocabulary.hashes]
    stems = vocabulary.stems()
    columns, ends, values = [], [0], []
    for places in stretches:
        said = phrases(np.append(stems[places], (0, 0))).reshape(-1).astype(np.int32) + PARTS
        row = np.concatenate([*(hashes[place] for place in places), said])
        columns.append(row)
        values.append(np.full(len(row), 1 / np.sqrt(len(row)), dtype=np.float32))
        ends.append(ends[-1] + len(row))
    found = csr_matrix(
        (np.concatenate(values), np.concatenate(columns), np.array(ends)), shape=(len(stretches), PARTS + PHRASES)
    )
    found.sum_duplicates()
    return found


def fit(examples: list[Example], counts: list[float], rng: random.Random) -> Linear:
    """Train on `examples`, each counted so often."""
    vocabulary = Vocabulary()
    texts: list[int] = []
    stretches: list[npt.NDArray[np.int32]] = []
    share: list[float] = []
    for number, example in enumerate(examples):
        found = cut(vocabulary.encode(example.text))
        if not len(found[0]):
            continue
        if len(found) > STRETCHES:
            found = rng.sample(found, STRETCHES)
        texts += [number] * len(found)
        stretches += found
        share += [counts[number] / len(found) ** 0.5] * len(found)
    whole = matrix(stretches, vocabulary)
    targets, weights = corpora.answers(examples)
    owner = np.array(texts)
    base = np.array(share, dtype=np.float32)
    said = np.zeros((PARTS + PHRASES, len(HEADS)), dtype=np.float32)
    bias = np.zeros(len(HEADS), dtype=np.float32)
    asked = targets[owner, -1] * weights[owner, -1] > 0
    few = asked | (np.array([rng.random() for _ in owner]) < FEW)
    for head, name in enumerate(HEADS):
        if name == "tool":  # the same answers as for a document
            said[:, head], bias[head] = said[:, head - 1], bias[head - 1]
            continue
        target, weight = targets[owner, head], weights[owner, head] * base
        if name in ASKED:  # which one it is; whether it is one, the last head says
            weight = weight * few
        elif name == "any":
            weight = weight * (1 + target)
        for again in (True, False) if name in ROLES else (False,):
            known = weight > 0
            model = LogisticRegression(C=STRENGTH, solver="liblinear", max_iter=15)
            model.fit(whole[known], target[known], sample_weight=weight[known])
            if again:
                weight = np.where(_strongest(owner, model.decision_function(whole)) | (target == 0), weight, 0)
        said[:, head], bias[head] = model.coef_[0], model.intercept_[0]
    return Linear(said, bias)


def _strongest(owner: npt.NDArray[np.int64], odds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Of the stretches of each text the one with the highest odds."""
    order = np.lexsort((-odds, owner))
    first = np.ones(len(order), dtype=bool)
    first[1:] = owner[order][1:] != owner[order][:-1]
    found = np.zeros(len(order), dtype=bool)
    found[order[first]] = True
    return found
