"""The rule tier as a whole: families together, disguises, and that no covered character is ever given up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.rules.tier import PRECEDENCE, Rules, settled
from firedoor.core.detect.spans import Span

RULES = Rules()


def found(text: str) -> list[tuple[str, str]]:
    return [(span.label, text[span.start : span.end]) for span in RULES.find(text)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "order 10042, mia@example.org, PESEL 79030835344, geboren am 12.03.1940",
            [
                ("ORDER_ID", "10042"),
                ("EMAIL", "mia@example.org"),
                ("NATIONAL_ID", "79030835344"),
                ("DATE_OF_BIRTH", "12.03.1940"),
            ],
        ),
        ("Nr konta: 61 1090 1014 0000 0712 1981 2874", [("IBAN", "61 1090 1014 0000 0712 1981 2874")]),
        ("card 4111 1111 1111 1111 cvv 123", [("CREDIT_CARD", "4111 1111 1111 1111"), ("CREDIT_CARD", "123")]),
        ("phone 536-90-4399", [("PHONE", "536-90-4399")]),
        ("do you ship the Galaxy S24 8GB in size M, 2 pieces at 199,00 EUR?", []),
        ("", []),
    ],
)
def test_families_together(text: str, values: list[tuple[str, str]]) -> None:
    assert found(text) == values


@pytest.mark.parametrize(
    ("text", "label", "value"),
    [
        ("my PESEL is 790\u200b308\u200b35344", "NATIONAL_ID", "790\u200b308\u200b35344"),
        ("ＰＥＳＥＬ ７９０３０８３５３４４", "NATIONAL_ID", "７９０３０８３５３４４"),
        ("mail: jan at example dot org", "EMAIL", "jan at example dot org"),
    ],
)
def test_disguised_values_are_found_where_they_stand(text: str, label: str, value: str) -> None:
    [span] = [span for span in RULES.find(text) if span.label == label]
    assert text[span.start : span.end] == value
    if label == "EMAIL":
        assert "+" in span.rule  # which view it was found in


def test_a_view_adds_no_second_span() -> None:
    [span] = RULES.find("card 4111 1111 1111 1111 \u200bok")
    assert span.rule == "card.context"


LETTERS = "ab 1-.\n@"
SPANS = st.lists(
    st.builds(
        lambda start, length, label, score: Span(start, start + length, label, "test", score),
        st.integers(0, 36),
        st.integers(1, 12),
        st.sampled_from([*PRECEDENCE, "PERSON"]),
        st.sampled_from([0.6, 0.8, 1.0]),
    ),
    max_size=8,
)


def covered(spans: list[Span]) -> set[int]:
    return {at for span in spans for at in range(span.start, span.end)}


@given(st.text(LETTERS, min_size=48, max_size=48), SPANS)
def test_settling_keeps_what_was_covered(text: str, spans: list[Span]) -> None:
    kept = settled(spans, text)
    assert kept == sorted(kept)
    assert all(left.end <= right.start for left, right in pairwise(kept))
    before, after = covered(spans), covered(kept)
    assert after <= before
    assert {at for at in before - after if not text[at].isspace()} == set()
    assert settled(kept, text) == kept


@pytest.mark.parametrize(
    ("spans", "kept"),
    [
        ([(0, 5, "PHONE", 1.0), (0, 5, "EMAIL", 1.0)], [(0, 5, "EMAIL")]),
        ([(0, 9, "URL", 1.0), (3, 6, "EMAIL", 1.0)], [(0, 3, "URL"), (3, 6, "EMAIL"), (6, 9, "URL")]),
        ([(0, 6, "PHONE", 1.0), (4, 9, "PHONE", 0.8)], [(0, 9, "PHONE")]),
        ([(0, 5, "PHONE", 0.8), (0, 5, "NATIONAL_ID", 0.6)], [(0, 5, "PHONE")]),
        ([(0, 5, "PHONE", 1.0), (5, 9, "EMAIL", 1.0)], [(0, 5, "PHONE"), (5, 9, "EMAIL")]),
        ([], []),
    ],
)
def test_who_names_the_characters(spans: list[tuple[int, int, str, float]], kept: list[tuple[int, int, str]]) -> None:
    result = settled([Span(a, b, label, "test", score) for a, b, label, score in spans], "x" * 9)
    assert [span[:3] for span in result] == kept


def test_signs_go_to_the_span_beside_them() -> None:
    text = "(555) 1"
    result = settled([Span(1, 7, "PHONE", "a"), Span(0, 7, "POSTCODE", "b")], text)
    assert result == [Span(0, 7, "PHONE", "a")]


UNITS = ["1", "12 ", "pesel 1 ", "PESEL 12345678901 ", "1 my ssn ", "geboren 1", "account no 1", "AB12 3CD ", "123-45-6789 ",
         "\ud800", "7.8.1.", "zip 1234\n", "١٢٣ ", "Musterstr. 5, 12345 X ", "\u200f1\u202e@", "a@", "cvv "]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_long_texts_of_anything_end(unit: str) -> None:
    text = unit * (30_000 // len(unit))
    spans = RULES.find(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


@settings(max_examples=150)
@given(st.text(max_size=120))
def test_any_text_gives_spans_in_order(text: str) -> None:
    spans = RULES.find(text)
    assert spans == sorted(spans)
    assert all(left.end <= right.start for left, right in pairwise(spans))
    assert RULES.find(text) == spans
