"""How much of what is protected is found in answers, however it is written; how much else; what gets out.

All of it is invented (`answers_texts.py`). What a region protects is put into the region's own files in a temporary
folder and read back, as a gateway worker does. Times are CPU times of this process, medians of several runs.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from firedoor.app.protection import Protection, Stores
from firedoor.bench.answers_cost import IndexFigures, Speed, guard, index_of, pieces, speed_of
from firedoor.bench.answers_disguises import DISGUISES, changed_words
from firedoor.bench.answers_texts import (
    SEED,
    WORDS,
    Protected,
    clean_answers,
    cost_answer,
    protected,
    stretch,
)
from firedoor.bench.processes import Machine, machine
from firedoor.config import RegionHome
from firedoor.core.detect.fold import normalise
from firedoor.core.detect.leak.grams import GRAM, Fingerprints
from firedoor.core.detect.leak.guard import LeakGuard, LeakIndex
from firedoor.core.detect.leak.rows import Row
from firedoor.core.detect.spans import Hit
from firedoor.core.exchange.texts import Text
from firedoor.core.plan.model import AnswerRules
from firedoor.keys.derive import SealingBox

LENGTHS: Final = (60, 120, 300)
SHARES: Final = (0.05, 0.1, 0.2)
TIMED: Final = 300
"""Answers of one run of the clock."""
SETS: Final = frozenset(("documents", "values", "costs"))

Say = Callable[[str], None]


class Cell(Struct, frozen=True):
    """`found` of `asked` leaks of `what`, written as `how`; `length` in characters, 0 for a whole value."""

    what: str
    how: str
    length: int
    asked: int
    found: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.found / max(1, self.asked)


class Clean(Struct, frozen=True):
    """Answers that hold nothing protected. `alarms` are those with a leak that is certain, `doubts` others."""

    answers: int
    alarms: int
    doubts: int
    kinds: dict[str, int]


class Stream(Struct, frozen=True):
    """Answers fed four characters at a time.

    `released` is, by what leaked, the most normalised characters of it that left before the stop. `held_p50` and
    `held_max` are characters of clean answers held back after a piece, in normalised ones and in tokens of four.
    """

    released: dict[str, int]
    held_p50: float
    held_max: int
    held_max_normalised: int
    first_p50: float


class Way(Struct, frozen=True):
    """A way of guarding answers: shares found, and characters that have come when the first leaves (median)."""

    name: str
    documents: float
    disguised_documents: float
    values: float
    disguised_values: float
    first_p50: float


class AnswerFigures(Struct, frozen=True):
    """The whole run."""

    machine: Machine
    recall: list[Cell]
    changed: list[Cell]
    clean: Clean
    stream: Stream
    speed: Speed
    index: IndexFigures
    ways: list[Way]


def run(samples: int, answers: int, prints: int, say: Say) -> AnswerFigures:
    """Measure with `samples` leaks of each kind, `answers` clean answers and an index of `prints` fingerprints."""
    here = machine()
    said = list(clean_answers(answers))
    content = protected()
    with tempfile.TemporaryDirectory(prefix="firedoor-bench-") as folder:
        say("protecting")
        index, documents = protect(content, Path(folder))
        leaks = _Leaks(content, said, samples)
        say("leaks, disguised")
        recall = [*leaks.documents(index), *leaks.values(index), *leaks.amounts(index)]
        say("leaks, words changed")
        changed = list(leaks.changed(index))
        say("clean answers")
        clean = _clean(index, said)
        say("streams")
        stream = leaks.streams(index, documents)
        say("speed")
        speed = speed_of(index, said[:TIMED])
        say("index")
        sizes = index_of(prints, Path(folder))
    ways = [_ours(recall, stream), *leaks.others()]
    return AnswerFigures(here, recall, changed, clean, stream, speed, sizes, ways)


def protect(content: Protected, folder: Path) -> tuple[LeakIndex, Fingerprints]:
    """`content`, put into the files of a region in `folder` and read from there; and its documents by themselves."""
    place, box = RegionHome("bench", folder), SealingBox("bench", os.urandom(32))
    stores = Stores.of(place, box)
    stores.documents.add("documents", content.documents.items())
    stores.values.add("values", "value", content.values)
    stores.rows.add(
        Row("", "costs", "cost", (product.sku, product.name), (cost, supplier))
        for product, cost, supplier in content.costs
    )
    return Protection.load(place, box).index(SETS, AnswerRules()), _opened(stores)


def _opened(stores: Stores) -> Fingerprints:
    opened = stores.documents.open()
    assert opened is not None  # some were added
    return opened


class _Leaks:
    """Clean answers with something protected in the middle."""

    def __init__(self, content: Protected, clean: Sequence[str], samples: int) -> None:
        self._content = content
        self._clean = clean
        self._samples = samples
        self._documents = list(content.documents.values())

    def documents(self, index: LeakIndex) -> Iterable[Cell]:
        for how, disguise in DISGUISES.items():
            for length in LENGTHS:
                yield self._cell(index, "document", how, length, map(disguise, self._stretches(length)))

    def changed(self, index: LeakIndex) -> Iterable[Cell]:
        for share in SHARES:
            rng = _rng(int(100 * share))
            for length in LENGTHS:
                leaks = [changed_words(text, share, WORDS, rng) for text in self._stretches(length)]
                yield self._cell(index, "document", f"{share:.0%} of words changed", length, leaks)

    def values(self, index: LeakIndex) -> Iterable[Cell]:
        for how, disguise in DISGUISES.items():
            yield self._cell(index, "value", how, 0, map(disguise, self._values()))

    def amounts(self, index: LeakIndex) -> Iterable[Cell]:
        rng = _rng(3)
        costs = self._content.costs
        leaks = ["".join(cost_answer(costs[at % len(costs)], rng)) for at in range(self._samples)]
        yield self._cell(index, "amount", "as it is", 0, leaks)

    def streams(self, index: LeakIndex, documents: Fingerprints) -> Stream:
        rng = _rng(4)
        costs = [cost_answer(one, rng) for one in self._content.costs[: self._samples]]
        told = {
            "document": [(f"{before} ", leak) for leak, before, _ in self._framed(self._stretches(300))],
            "value": [(f"{before} ", leak) for leak, before, _ in self._framed(self._values())],
            "amount": costs,
        }
        released = {}
        for what, leaks in told.items():
            left = [_released(guard(index), *leak) for leak in leaks]
            released[what] = max(_in_a_row(text, documents) if what == "document" else len(text) for text in left)
        held, first, most = _held(index, self._clean[:TIMED])
        return Stream(released, statistics.median(held), max(held), most, statistics.median(first))

    def others(self) -> list[Way]:
        """Filters that search for the text as it is, and one that waits for the whole answer."""
        rng = _rng(5)
        marks = [f"{rng.getrandbits(32):08x}" for _ in self._documents]
        marked = []
        for text, mark in zip(self._documents, marks, strict=True):
            at = rng.randrange(len(text))
            marked.append(f"{text[:at]}<!-- {mark} -->{text[at:]}")
        leaks = [stretch(marked[at % len(marked)], 120, rng) for at in range(self._samples)]
        values = list(self._values())

        def canary(text: str) -> bool:
            return any(mark in text for mark in marks)

        def literal(text: str) -> bool:
            return any(value in text for value in self._content.values)

        disguises = [disguise for how, disguise in DISGUISES.items() if how != "as it is"]
        found = Way(
            "canary words and values, searched for as they are",
            _share(canary(leak) for leak in leaks),
            _share(canary(disguise(leak)) for disguise in disguises for leak in leaks),
            _share(literal(value) for value in values),
            _share(literal(disguise(value)) for disguise in disguises for value in values),
            0,
        )
        waits = statistics.median(map(len, self._clean[:TIMED]))
        name = "the same, when the whole answer is there"
        return [
            found,
            Way(name, found.documents, found.disguised_documents, found.values, found.disguised_values, waits),
        ]

    def _cell(self, index: LeakIndex, what: str, how: str, length: int, leaks: Iterable[str]) -> Cell:
        seen = [_leaks(guard(index).look(f"{before} {leak} {after}")) for leak, before, after in self._framed(leaks)]
        return Cell(what, how, length, len(seen), sum(seen))

    def _framed(self, leaks: Iterable[str]) -> Iterable[tuple[str, str, str]]:
        for number, leak in enumerate(leaks):
            yield leak, self._clean[number % len(self._clean)], self._clean[(number + 7) % len(self._clean)]

    def _stretches(self, length: int) -> Iterable[str]:
        rng = _rng(length)
        for number in range(self._samples):
            yield stretch(self._documents[number % len(self._documents)], length, rng)

    def _values(self) -> Iterable[str]:
        return (self._content.values[number % len(self._content.values)] for number in range(self._samples))


def _ours(recall: Sequence[Cell], stream: Stream) -> Way:
    def mean(what: str, length: int, *, plain: bool) -> float:
        cells = [c.share for c in recall if (c.what, c.length) == (what, length) and (c.how == "as it is") == plain]
        return sum(cells) / len(cells)

    return Way(
        "firedoor",
        mean("document", 120, plain=True),
        mean("document", 120, plain=False),
        mean("value", 0, plain=True),
        mean("value", 0, plain=False),
        stream.first_p50,
    )


def _leaks(hits: Iterable[Hit]) -> bool:
    return any(hit.confirmed for hit in hits)


def _clean(index: LeakIndex, answers: Sequence[str]) -> Clean:
    alarms = doubts = 0
    kinds: Counter[str] = Counter()
    for answer in answers:
        hits = guard(index).look(answer)
        alarms += _leaks(hits)
        doubts += bool(hits) and not _leaks(hits)
        kinds.update(hit.kind for hit in hits)
    return Clean(len(answers), alarms, doubts, dict(kinds))


def _released(guarded: LeakGuard, before: str, leak: str) -> str:
    """What leaves of `leak`, said after `before`, before the stop: normalised."""
    text = Text(guarded.watch(), None, as_json=False)
    out = []
    for piece in pieces(before + leak):
        if _leaks(text.feed(piece)):
            break
        out.append(text.take(text.fed))
    return normalise("".join(out))[len(normalise(before)) :]


def _in_a_row(folded: str, documents: Fingerprints) -> int:
    """Normalised characters in a row that stand in a document, and are not left out of it as boilerplate."""
    most = run = 0
    for at in range(len(folded)):
        run = run + 1 if documents.number(folded[at : at + GRAM].encode()) >= 0 else 0
        most = max(most, run)
    return most + GRAM - 1 if most else min(len(folded), GRAM - 1)


def _held(index: LeakIndex, answers: Sequence[str]) -> tuple[list[int], list[int], int]:
    """Characters held after each piece; those that have come when the first leaves; the most normalised ones held."""
    held: list[int] = []
    first: list[int] = []
    most = 0
    for answer in answers:
        watch = guard(index).watch()
        began = False
        fed = 0
        for piece in pieces(answer):
            watch.feed(piece)
            fed += len(piece)
            covered = watch.held_from()
            held.append(fed - covered)
            most = max(most, len(normalise(answer[covered:fed])))
            if covered and not began:
                began = True
                first.append(fed)
    return held, first, most


def _share(found: Iterable[bool]) -> float:
    seen = list(found)
    return sum(seen) / len(seen)


def _rng(stream: int) -> random.Random:
    return random.Random(SEED + 1000 + stream)  # noqa: S311  samples, not secrets
