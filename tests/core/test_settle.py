"""Overlapping findings: every character stays covered, no two spans overlap, the better tier keeps its extent."""

from __future__ import annotations

import itertools
import time

from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.detect.brands import Brands
from firedoor.core.detect.pipeline import Pipeline
from firedoor.core.detect.settle import settled
from firedoor.core.detect.spans import Span

spans = st.builds(
    lambda start, length, label, score, tier: Span(start, start + length, label, f"{tier}.x", score, tier),
    st.integers(0, 60),
    st.integers(1, 20),
    st.sampled_from(("PERSON", "EMAIL", "PHONE")),
    st.floats(0, 1),
    st.sampled_from(("own", "rule", "model", "deep")),
)


@given(st.lists(spans, max_size=12))
def test_everything_that_was_found_stays_covered_once(found: list[Span]) -> None:
    kept = settled(found)
    assert kept == sorted(kept)
    assert all(left.end <= right.start for left, right in itertools.pairwise(kept))
    assert {i for span in kept for i in range(span.start, span.end)} == {
        i for span in found for i in range(span.start, span.end)
    }


@given(st.lists(spans, max_size=8))
def test_the_order_of_the_findings_does_not_matter(found: list[Span]) -> None:
    cover = [(s.start, s.end, s.label) for s in settled(found)]
    assert cover == [(s.start, s.end, s.label) for s in settled(reversed(found))]


def test_a_rule_names_what_the_classifier_only_guesses() -> None:
    rule = Span(10, 20, "TAX_ID", "tax.context", 0.8)
    model = Span(8, 22, "ACCOUNT_ID", "model.account_id", 0.9, "model")
    assert [(s.start, s.end, s.label) for s in settled([model, rule])] == [
        (8, 10, "ACCOUNT_ID"),
        (10, 20, "TAX_ID"),
        (20, 22, "ACCOUNT_ID"),
    ]


def test_an_unsure_rule_gives_way_to_the_classifier() -> None:
    rule = Span(10, 20, "ORDER_ID", "order.hash", 0.6)
    model = Span(8, 20, "PHONE", "model.phone", 0.9, "model")
    assert settled([rule, model]) == [model]


def test_the_shops_own_knowledge_stands_above_all() -> None:
    own = Span(0, 4, "PERSON", "own.name", 1.0, "own")
    assert settled([Span(0, 4, "CITY", "rule.x", 1.0), own]) == [own]


class _Names:
    def find(self, text: str) -> list[Span]:
        return [
            Span(i, i + len(name), "PERSON", "model.person", 0.9, "model")
            for name in ("Hugo Boss", "Hugo Meyer", "Charlie")
            if (i := text.find(name)) >= 0
        ]


def test_a_brand_of_the_catalogue_is_nobody() -> None:
    found = Pipeline((_Names(),), Brands(products=["Hugo Boss Jacke Charlie"])).find(
        "Hugo Boss für Hugo Meyer und Charlie"
    )
    # One word of a product's name may well be a shopper's: it stays masked.
    assert [(s.start, s.end) for s in found] == [(14, 24), (29, 36)]


def test_a_name_that_the_plan_says_is_nobodys_passes_with_other_case_and_accents() -> None:
    assert Pipeline((_Names(),), Brands(phrases=["CHARLÍE"])).find("Charlie") == []


def test_what_a_rule_found_is_never_a_brand() -> None:
    class Rule:
        def find(self, text: str) -> list[Span]:
            return [Span(0, len(text), "PERSON", "own.name", 1.0, "own")]

    assert Pipeline((Rule(),), Brands(phrases=["Hugo Boss"])).find("Hugo Boss")


def test_many_overlaps_take_no_square_of_time() -> None:
    spans = [Span(10 * n + shift, 10 * n + shift + 6, "EMAIL", "x") for n in range(20_000) for shift in (0, 4)]
    began = time.process_time()
    assert len(settled(spans)) == 40_000
    assert time.process_time() - began < 5
