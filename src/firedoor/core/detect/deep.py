"""Tier "deep": a transformer reads the texts that the classifier is unsure of, or all of them.

Here is what is made of its numbers; `models/deep.py` loads it. The model (Rampart, a MiniLM of six layers) gives each
token a chance for ``O`` and for ``B-`` and ``I-`` of each kind of data. Its kinds are finer than ours: given name and
surname become one PERSON, house number and street one STREET_ADDRESS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.spans import Span

Floats = npt.NDArray[np.float32]

WINDOW = 254
"""Tokens looked at together, about 1,000 characters: twice as many cost more than twice the time and find no more."""
OVERLAP = 64
"""Tokens that two windows share. Each is judged by the one that sees more of what stands around it."""
THRESHOLD = 0.5
"""Chance of being personal data at all, from which a token counts."""

KINDS: dict[str, tuple[str, str]] = {
    "GIVEN_NAME": ("PERSON", "deep.name"),
    "SURNAME": ("PERSON", "deep.name"),
    "BUILDING_NUMBER": ("STREET_ADDRESS", "deep.street"),
    "STREET_NAME": ("STREET_ADDRESS", "deep.street"),
    "SECONDARY_ADDRESS": ("STREET_ADDRESS", "deep.street"),
    "CITY": ("CITY", "deep.city"),
    "ZIP_CODE": ("POSTCODE", "deep.zip_code"),
    "EMAIL": ("EMAIL", "deep.email"),
    "PHONE": ("PHONE", "deep.phone"),
    "URL": ("URL", "deep.url"),
    "TAX_ID": ("TAX_ID", "deep.tax_id"),
    "BANK_ACCOUNT": ("ACCOUNT_ID", "deep.bank_account"),
    "ROUTING_NUMBER": ("ACCOUNT_ID", "deep.routing_number"),
    "GOVERNMENT_ID": ("NATIONAL_ID", "deep.government_id"),
    "PASSPORT": ("NATIONAL_ID", "deep.passport"),
    "DRIVERS_LICENSE": ("NATIONAL_ID", "deep.drivers_license"),
}
"""The model's kinds: our label and the rule's name. A state or province (its STATE) is nobody's."""

_NEEDED = {"STREET_ADDRESS": "STREET_NAME"}
"""A house number without a street is any number."""
_BETWEEN = {"PERSON": re.compile(r"[\s,.'\u2019-]{0,3}"), "STREET_ADDRESS": re.compile(r"[\s,.#/-]{0,3}")}
_SPACE = re.compile(r"\s{0,2}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Encoded(NamedTuple):
    """A text in tokens: the model's number of each, its place in the text (code points), the word it belongs to."""

    ids: Sequence[int]
    places: Sequence[tuple[int, int]]
    words: Sequence[int | None]


class Transformer(Protocol):
    """The model and its tokenizer."""

    tags: Sequence[str]
    """What the columns of `chances` stand for: ``O``, ``B-KIND``, ``I-KIND``."""

    def encode(self, text: str) -> Encoded:
        """`text` in tokens. It has no lone surrogates."""
        ...

    def chances(self, ids: Sequence[int]) -> Floats:
        """Chances [tokens, tags] for at most `WINDOW` tokens, each row summing to 1."""
        ...


class _Part(NamedTuple):
    """A run of tokens of one kind."""

    start: int
    end: int
    kind: str
    score: float


class Deep:
    """Finds personal data with `model`. About 0.1 ms a character on one core: for a thread beside the event loop."""

    def __init__(self, model: Transformer, threshold: float = THRESHOLD) -> None:
        self._model = model
        self._threshold = threshold
        self._kinds = tuple(kind for kind in KINDS if f"B-{kind}" in model.tags)
        self._begins = [model.tags.index(f"B-{kind}") for kind in self._kinds]
        self._insides = [model.tags.index(f"I-{kind}") for kind in self._kinds]

    def find(self, text: str, go_on: Callable[[], bool] | None = None) -> list[Span]:
        """Spans in the order of the text, not overlapping; offsets count code points.

        `go_on` is asked before each window of a long text. Raises `TimeoutError` when it says no: nothing is known
        about the rest.
        """
        encoded = self._model.encode(_SURROGATE.sub("\ufffd", text))
        chances = self._chances(encoded, go_on)
        return list(_joined(text, self._parts(text, encoded, chances))) if len(chances) else []

    def _chances(self, encoded: Encoded, go_on: Callable[[], bool] | None) -> Floats:
        """Chances of each kind [tokens, 2, kinds], begin and inside, from the window that sees most around a token."""
        ids = encoded.ids
        pieces: list[Floats] = []
        done = 0
        for start, end in windows(encoded.words):
            if go_on is not None and not go_on():
                raise TimeoutError
            upto = end if end == len(ids) else end - OVERLAP // 2
            found = self._model.chances(ids[start:end])[done - start : upto - start]
            pieces.append(np.stack([found[:, self._begins], found[:, self._insides]], axis=1))
            done = upto
        return np.concatenate(pieces) if pieces else np.zeros((0, 2, len(self._kinds)), dtype=np.float32)

    def _parts(self, text: str, encoded: Encoded, chances: Floats) -> Iterator[_Part]:
        """Runs of tokens of one kind. All tokens of a word are of the kind that they are most likely of together."""
        both = _by_word(chances.sum(axis=1), encoded.words)
        best = both.argmax(axis=1)
        personal = both.sum(axis=1)
        current: _Part | None = None
        for token in np.flatnonzero(personal >= self._threshold).tolist():
            start, end = encoded.places[token]
            if start >= end:
                continue
            place = best[token]
            part = _Part(start, end, self._kinds[place], min(float(personal[token]), 1.0))
            inside = chances[token, 1, place] >= chances[token, 0, place]
            if (
                current is not None
                and current.kind == part.kind
                and (part.start <= current.end or (inside and _SPACE.fullmatch(text, current.end, part.start)))
            ):
                current = _Part(current.start, max(current.end, part.end), part.kind, max(current.score, part.score))
                continue
            if current is not None:
                yield current
            current = part if current is None or part.start >= current.end else part._replace(start=current.end)
        if current is not None:
            yield current


def windows(words: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Begin and end of overlapping windows that cover all tokens; none but the first begins within a word."""
    start, count = 0, len(words)
    while start < count:
        end = min(start + WINDOW, count)
        yield start, end
        if end == count:
            return
        following = end - OVERLAP
        # A word of more tokens than half the overlap is cut: the token before the middle must be in both windows.
        while following > end - OVERLAP - OVERLAP // 2 and words[following] == words[following - 1]:
            following -= 1
        start = following


def _by_word(chances: Floats, words: Sequence[int | None]) -> Floats:
    """The mean over the tokens of each word, for each of its tokens."""
    numbers = np.fromiter((-1 - place if word is None else word for place, word in enumerate(words)), dtype=np.int64)
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
    sizes = np.diff(starts, append=len(numbers))
    means = np.add.reduceat(chances, starts) / sizes[:, None]
    return np.repeat(means.astype(np.float32), sizes, axis=0)


def _joined(text: str, parts: Iterator[_Part]) -> Iterator[Span]:
    """Our spans: neighbouring parts of one person or address are one."""
    group: list[_Part] = []
    for part in parts:
        if group and not _belong(text, group[-1], part):
            yield from _span(group)
            group = []
        group.append(part)
    yield from _span(group)


def _belong(text: str, one: _Part, other: _Part) -> bool:
    label = KINDS[one.kind][0]
    between = _BETWEEN.get(label)
    return between is not None and KINDS[other.kind][0] == label and bool(between.fullmatch(text, one.end, other.start))


def _span(group: list[_Part]) -> Iterator[Span]:
    if not group:
        return
    label, rule = KINDS[group[0].kind]
    needed = _NEEDED.get(label)
    if needed is None or any(part.kind == needed for part in group):
        yield Span(group[0].start, group[-1].end, label, rule, max(part.score for part in group), "deep")
