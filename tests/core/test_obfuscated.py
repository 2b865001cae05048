"""How much of what people write in disguise is found: a table by disguise, of generated values in eight languages."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from firedoor.app.detectors import Detectors
from firedoor.core.detect.pipeline import Pipeline

from .disguised import DISGUISES, Disguised, samples

COUNT = 96
"""Texts of each disguise: every kind of value in every language, twice where there are six kinds."""
MOST = 0.8
"""A value is found when this share of its letters and digits is masked."""
BAR = 0.9
"""Values found, of each disguise."""


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Detectors().pipeline()


def is_found(sample: Disguised, pipeline: Pipeline) -> bool:
    masked = {at for span in pipeline.find(sample.text) for at in range(span.start, span.end)}
    return sum(at in masked for at in sample.own) >= MOST * len(sample.own)


@pytest.mark.parametrize("disguise", DISGUISES)
def test_values_in_disguise_are_found(disguise: str, pipeline: Pipeline) -> None:
    found: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    missed: defaultdict[str, list[str]] = defaultdict(list)
    for sample in samples(disguise, COUNT):
        tried[sample.kind] += 1
        if is_found(sample, pipeline):
            found[sample.kind] += 1
        else:
            missed[sample.kind].append(sample.text)
    table = "\n".join(f"  {kind:<10}{found[kind]:>4} of {tried[kind]}  {missed[kind][:3]}" for kind in tried)
    print(f"{disguise}: {found.total()} of {tried.total()}\n{table}")  # noqa: T201  # pytest shows it for what fails
    assert found.total() >= BAR * tried.total()
