"""Tier "model": our token classifier, for names, addresses, cities and whatever rules miss.

A token's vector is the sum of the embeddings of its hashed features (`tokens.py`); a few convolutions (an ONNX graph)
look at its neighbours and give each token a chance for every tag. How it was trained, on what and how well it does is
told in the model card beside the training scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.names import KINDS, Names
from firedoor.core.detect.spans import Span
from firedoor.core.detect.tokens import ROWS, Token, features, folded, tokens
from firedoor.core.plan.model import LABELS

Floats = npt.NDArray[np.float32]

WINDOW = 384
"""Tokens looked at together: a long message. What is longer is read in windows."""
OVERLAP = 32
"""Tokens before a window that are read again: as far as the convolutions see."""
MAX_VECTORS = 20_000
"""Vectors of tokens remembered: the words of a shop's conversations, about 7 MiB. Then all are forgotten."""
MAX_LETTERS = 1_000_000
"""Of all tokens remembered: a word is short, but a letter may have any number of combining marks behind it."""


class Graph(Protocol):
    """The trained convolutions."""

    def __call__(self, vectors: Floats) -> Floats:
        """Vectors [tokens, size] to chances [tokens, tags], each row summing to 1."""
        ...


class Embedder:
    """Vectors of tokens. `table` [rows, size] is int8, `scale` [size] turns it into numbers. For one thread."""

    def __init__(self, table: npt.NDArray[np.int8], scale: Floats, names: Names) -> None:
        if len(table) != ROWS + KINDS:
            raise ValueError("the embedding table has another size than the features")
        self._table = table
        self._scale = scale
        self._names = names
        self._places: dict[str, int] = {}
        self._letters = 0
        self._vectors: Floats = np.zeros((256, table.shape[1]), dtype=np.float32)

    def vectors(self, keys: Sequence[str]) -> Floats:
        """One row [size] for each key."""
        places = self._places
        try:
            return self._vectors[[places[key] for key in keys]]
        except KeyError:
            self._learn(keys)
        return self._vectors[[self._places[key] for key in keys]]

    def _learn(self, keys: Sequence[str]) -> None:
        new = [key for key in dict.fromkeys(keys) if key not in self._places]
        if len(self._places) + len(new) > MAX_VECTORS or self._letters > MAX_LETTERS:
            self._places.clear()
            self._letters = 0
            new = list(dict.fromkeys(keys))
        self._letters += sum(map(len, new))
        begin = len(self._places)
        if begin + len(new) > len(self._vectors):
            grown = np.zeros((max(2 * len(self._vectors), begin + len(new)), self._vectors.shape[1]), dtype=np.float32)
            grown[:begin] = self._vectors[:begin]
            self._vectors = grown
        flags = self._names.flags([folded(key.strip()) for key in new])
        bags = [
            [*features(key), ROWS + int(flag)] if flag else features(key) for key, flag in zip(new, flags, strict=True)
        ]
        starts = np.cumsum([0, *map(len, bags[:-1])])
        rows = self._table[[row for bag in bags for row in bag]].astype(np.float32)
        self._vectors[begin : begin + len(new)] = np.add.reduceat(rows, starts) * self._scale
        self._places.update(zip(new, range(begin, begin + len(new)), strict=True))


class Classifier:
    """Finds personal data token by token: where the chance of a label is at least its threshold.

    `tags` are the columns of the graph's answer: ``O``, then ``B-LABEL`` and ``I-LABEL``. Labels that the plan does not
    know (organisations, places, dates) only keep the others from being chosen.
    """

    def __init__(self, embedder: Embedder, graph: Graph, tags: Sequence[str], thresholds: Mapping[str, float]) -> None:
        self._embedder = embedder
        self._graph = graph
        self._labels = tuple(label for label in LABELS if f"B-{label}" in tags)
        self._rules = tuple(f"model.{label.lower()}" for label in self._labels)
        self._begins = [tags.index(f"B-{label}") for label in self._labels]
        self._insides = [tags.index(f"I-{label}") for label in self._labels]
        self._thresholds = np.array([thresholds[label] for label in self._labels], dtype=np.float32)
        self._least = 1 - float(self._thresholds.min())

    def find(self, text: str) -> list[Span]:
        """Spans in the order of the text, not overlapping."""
        found = tokens(text)
        spans: list[Span] = []
        for start in range(0, len(found), WINDOW):
            before = min(OVERLAP, start)
            window = found[start - before : start + WINDOW + OVERLAP]
            chances = self._graph(self._embedder.vectors([token.key for token in window]))
            upto = before + len(found[start : start + WINDOW])
            self._add_spans(window[before:upto], chances[before:upto], spans, text)
        return [trimmed for span in spans if (trimmed := _trimmed(span, text)) is not None]

    def _add_spans(self, window: list[Token], chances: Floats, spans: list[Span], text: str) -> None:
        noticed = np.flatnonzero(chances[:, 0] <= self._least)  # nearly all words are certainly nothing
        if not len(noticed):
            return
        rows = chances[noticed]
        begins, insides = rows[:, self._begins], rows[:, self._insides]
        both = begins + insides
        best = both.argmax(axis=1)
        # A word that is certainly personal is masked, whatever it is: its label's threshold is for all labels together.
        certain = both.sum(axis=1)
        wanted = np.flatnonzero(certain >= self._thresholds[best])
        best = best[wanted]
        goes_on = begins[wanted, best] < insides[wanted, best]
        found = zip(noticed[wanted].tolist(), best.tolist(), certain[wanted].tolist(), goes_on.tolist(), strict=True)
        for place, number, chance, inside in found:
            start, end, _ = window[place]
            label, score = self._labels[number], min(chance, 1.0)
            last = spans[-1] if spans else None
            if last is not None and last.label == label and _belongs(text, last, start, inside=inside):
                spans[-1] = Span(last.start, end, label, last.rule, min(last.score, score), "model")
            else:
                spans.append(Span(start, end, label, self._rules[number], score, "model"))


def _belongs(text: str, last: Span, start: int, *, inside: bool) -> bool:
    """Whether a token goes on with `last`: nothing but spaces and a sign or two stand between them.

    Names side by side are one name, whatever the classifier thinks of the second: two persons have a word or a comma
    between them.
    """
    between = text[last.end : start]
    if not inside:
        return last.label == "PERSON" and between == " "
    return len(between) <= 3 and not any(c.isalnum() or c == "\n" for c in between)


def _trimmed(span: Span, text: str) -> Span | None:
    """`span` without signs at its ends; None if no letter or digit is left."""
    start, end = span.start, span.end
    if text[start].isalnum() and text[end - 1].isalnum():
        return span
    while start < end and not text[start].isalnum() and text[start] not in "+(@#":
        start += 1
    while end > start and not text[end - 1].isalnum() and text[end - 1] != ")":
        end -= 1
    if not any(map(str.isalnum, text[start:end])):
        return None
    return span._replace(start=start, end=end)
