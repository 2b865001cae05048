"""What the search costs: CPU time for each character of an answer, and an index of many fingerprints."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct

from firedoor.bench.answers_texts import SEED
from firedoor.core.detect.leak.grams import DocumentRef
from firedoor.core.detect.leak.guard import LeakGuard, LeakIndex
from firedoor.store import fingerprints
from firedoor.store.files import write_atomic
from firedoor.store.fingerprints import Index, MappedFingerprints, Printed

TOKEN: Final = 4
"""Characters fed at a time, about a token of a model."""
RUNS: Final = 5


class Speed(Struct, frozen=True):
    """CPU microseconds for each character of clean answers, with everything looked for."""

    whole: float
    tokens: float


class IndexFigures(Struct, frozen=True):
    """An index of so many fingerprints: bytes mapped, seconds to build and to open, microseconds a look-up."""

    fingerprints: int
    mapped: int
    build_seconds: float
    open_seconds: float
    lookup_us: float


def guard(index: LeakIndex) -> LeakGuard:
    """The guard of an answer to somebody who brought nothing and may receive nothing."""
    return index.guard(index.read({}))


def pieces(text: str) -> Iterable[str]:
    """`text` as a model streams it."""
    return (text[at : at + TOKEN] for at in range(0, len(text), TOKEN))


def speed_of(index: LeakIndex, answers: Sequence[str]) -> Speed:
    """Of `answers`, whole and in pieces."""
    characters = sum(map(len, answers))

    def whole() -> None:
        for answer in answers:
            guard(index).look(answer)

    def tokens() -> None:
        for answer in answers:
            watch = guard(index).watch()
            for piece in pieces(answer):
                watch.feed(piece)
                watch.held_from()
            watch.end()

    return Speed(*(1e6 * _median(work) / characters for work in (whole, tokens)))


def _median(work: Callable[[], None]) -> float:
    """CPU seconds of `work`: the median of some runs, after one that makes tables."""
    work()
    times = []
    for _ in range(RUNS):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return statistics.median(times)


def index_of(count: int, folder: Path) -> IndexFigures:
    """Of `count` fingerprints of nothing, in `folder`: what an index costs depends on their number alone."""
    random_numbers = np.random.default_rng(SEED)
    hashes = np.unique(random_numbers.integers(0, 2**64, count, dtype=np.uint64))
    identities = random_numbers.integers(0, 2**32, len(hashes), dtype=np.uint32)
    numbers = np.zeros(len(hashes), np.uint32)
    secret, generation = os.urandom(32), os.urandom(16)
    path = folder / "index.bench"
    begun = time.process_time()
    write_atomic(path, fingerprints.encode(Index(Printed(hashes, identities), numbers, [_NOBODY]), secret, generation))
    built = time.process_time()
    mapped = MappedFingerprints(path, secret, generation)
    opened = time.process_time()
    grams = [b"%020d" % number for number in range(100_000)]
    for gram in grams:
        mapped.number(gram)
    looked = time.process_time()
    size = path.stat().st_size
    path.unlink()
    return IndexFigures(len(hashes), size, built - begun, opened - built, 1e6 * (looked - opened) / len(grams))


_NOBODY: Final = DocumentRef("bench", "documents")
