"""ENISA's severity: the vectors of the method, exact sums, and flips that really flip."""

import itertools
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.incident import severity_table as table
from firedoor.core.incident.entries import Scored
from firedoor.core.incident.severity import (
    MAX_ADJUSTMENTS,
    MAX_CATEGORIES,
    MAX_UNKNOWN,
    Adjustment,
    Category,
    Circumstance,
    Flag,
    Identification,
    Inputs,
    Malice,
    band_of,
    decimal,
    decode,
    encode,
    explain,
    score,
)
from firedoor.core.incident.severity_table import GROUNDS, Ground
from firedoor.core.plan.decode import decode as decode_plan
from firedoor.core.plan.model import LABELS, Attribute
from firedoor.core.taxonomy import IDS

GOOD = decode_plan((Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml").plan


def category(*grounds: str, base: str | None = None, **more: object) -> Category:
    adjustments = tuple(Adjustment(ground=ground, why="test") for ground in grounds)  # type: ignore[arg-type]
    base = base or grounds[0].partition(".")[0]
    return Category(base=base, adjustments=adjustments, why="test", **more)  # type: ignore[arg-type]


def of_context(context: int) -> Category:
    return category(base=next(base for base, (begins, _) in table.BASES.items() if begins == context))


def inputs(context: int | Category, ei: int, c: int = 0, i: int = 0, a: int = 0, m: int = 0, **flags: bool) -> Inputs:
    """Quarters; `context` 0 is no personal data."""
    data = context if isinstance(context, Category) else of_context(context) if context else None
    return Inputs(
        categories=() if data is None else (data,),
        identification=Identification(quarters=ei, why="test"),  # type: ignore[arg-type]
        confidentiality=Circumstance(quarters=c, why="test"),  # type: ignore[arg-type]
        integrity=Circumstance(quarters=i, why="test"),  # type: ignore[arg-type]
        availability=Circumstance(quarters=a, why="test"),  # type: ignore[arg-type]
        malice=Malice(quarters=m, why="test"),  # type: ignore[arg-type]
        many=Flag(holds=flags.get("many", False), why="test"),
        unintelligible=Flag(holds=flags.get("unintelligible", False), why="the disk is encrypted"),
    )


# --- the method ---


@pytest.mark.parametrize(
    ("what", "data", "context"),
    [
        ("a supermarket's list of customers", category(base="simple"), 1),
        ("a list of customers of luxury goods", category("simple.profile"), 2),
        ("addresses that an adult bookstore delivers to", category("simple.beliefs"), 3),
        ("undercover officers", category("simple.safety"), 4),
        ("calls of a helpdesk", category("behavioural.no_insight"), 1),
        ("calls of one week", category(base="behavioural"), 2),
        ("calls of one year", category("behavioural.daily_life"), 3),
        ("calls to a psychological helpline", category("behavioural.sensitive_profile"), 4),
        ("purchases of a month with a loyalty card", category(base="behavioural"), 2),
        ("a transport card's journeys of one year", category("behavioural.daily_life"), 3),
        ("purchases in a pharmacy", category("behavioural.sensitive_profile"), 4),
        ("a letter that shows who banks where", category("financial.no_insight"), 1),
        ("transactions of a day without detail", category("financial.partial"), 2),
        ("balances of a month", category(base="financial"), 3),
        ("detailed statements of a year", category("financial.fraud"), 4),
        ("cards that expired long ago", category("financial.no_insight"), 1),
        ("a part of card data", category("financial.partial"), 2),
        ("more of card data", category(base="financial"), 3),
        ("full card data", category("financial.fraud"), 4),
        ("'had general blood tests'", category("sensitive.no_insight"), 1),
        ("an emergency test", category("sensitive.general"), 2),
        ("a test for a certain disease", category("sensitive.assumptions"), 3),
        ("results", category(base="sensitive"), 4),
        ("the login of a music shop", category(base="simple"), 1),
        ("the login of online banking", category("financial.fraud"), 4),
        ("more than there is", category("simple.safety", "simple.beliefs"), 4),
        ("less than there is", category("sensitive.no_insight", "sensitive.general"), 1),
        ("up and down", category("financial.fraud", "financial.partial"), 3),
    ],
)
def test_the_context_of_data(what, data, context):
    assert data.context == context
    assert score(inputs(data, 4)).context == context


@pytest.mark.parametrize(
    ("context", "ei", "cb", "said", "band"),
    [
        (1, 4, {"c": 1}, "1.25", "low"),
        (1, 4, {"c": 2, "m": 2}, "2.00", "medium"),
        (2, 4, {"c": 1}, "2.25", "medium"),
        (3, 4, {"c": 2, "m": 2}, "4.00", "very_high"),
        (4, 4, {"c": 1}, "4.25", "very_high"),
        (4, 4, {"c": 2, "m": 2}, "5.00", "very_high"),
        (2, 3, {"c": 1}, "1.75", "low"),
        (2, 1, {"c": 2, "m": 2}, "1.50", "low"),
        (2, 4, {"c": 2}, "2.50", "medium"),
        (1, 1, {}, "0.25", "low"),
        (4, 4, {"c": 2, "i": 2, "a": 2, "m": 2}, "6.00", "very_high"),
        (3, 4, {}, "3.00", "high"),
        (3, 3, {"c": 2}, "2.75", "medium"),
    ],
)
def test_composed_vectors(context, ei, cb, said, band):
    result = score(inputs(context, ei, **cb))
    assert (decimal(result.quarters), result.band) == (said, band)


def test_of_several_categories_the_highest_counts():
    both = structs.replace(inputs(1, 4), categories=(of_context(2), category("financial.fraud"), of_context(1)))
    result = score(both)
    assert (result.context, result.quarters) == (4, 16)
    assert sum("which counts" in line for line in result.lines) == 1


@pytest.mark.parametrize(
    ("quarters", "near"),
    [(q, q in {7, 8, 9, 11, 12, 13, 15, 16, 17}) for q in range(1, 25)],
)
def test_scores_near_a_border(quarters, near):
    found = {score(each).near_border for each in _EVERY if score(each).quarters == quarters}
    assert found == {near}


_EVERY = [
    inputs(context, ei, c, i, a, m)
    for context, ei, c, i, a, m in itertools.product(range(5), range(1, 5), range(3), range(3), range(3), (0, 2))
]
_ALLOWED = {"context": range(1, 5), "identification": range(1, 5), "malice": (0, 2)}
_LETTERS = {"confidentiality": 2, "integrity": 3, "availability": 4, "malice": 5, "context": 0, "identification": 1}


def levels(each: Inputs) -> tuple[int, ...]:
    context = max((data.context for data in each.categories), default=0)
    parts = (each.identification, each.confidentiality, each.integrity, each.availability, each.malice)
    return (context, *(part.quarters for part in parts))


def test_every_score_is_in_range_and_every_factor_only_adds():
    by_levels = {levels(each): score(each).quarters for each in _EVERY}
    assert {quarters for at, quarters in by_levels.items() if at[0]} == set(range(1, 25))
    for at, quarters in by_levels.items():
        for position in range(6):
            more = (*at[:position], at[position] + (2 if position == 5 else 1), *at[position + 1 :])
            assert by_levels.get(more, quarters) >= quarters


def test_flips_flip_and_nothing_smaller_does():
    bands = {levels(each): score(each).band for each in _EVERY}
    for each in _EVERY:
        at, result = levels(each), score(each)
        nearest = [abs(flip.quarters - result.quarters) for flip in result.flips]
        assert nearest == sorted(nearest)
        found = {(flip.factor, flip.then > flip.now): flip for flip in result.flips}
        for factor, position in _LETTERS.items():
            allowed = _ALLOWED.get(factor, range(3))
            for up in (True, False):
                side = sorted((v for v in allowed if (v > at[position]) is up and v != at[position]), reverse=not up)
                moved = [v for v in side if bands[(*at[:position], v, *at[position + 1 :])] != result.band]
                flip = found.pop((factor, up), None)
                assert (flip.then if flip else None) == (moved[0] if moved else None)
                if flip is not None:
                    assert flip.now == at[position]
                    assert flip.band == band_of(flip.quarters) != result.band
                    assert flip.quarters == score(inputs(*(*at[:position], flip.then, *at[position + 1 :]))).quarters
        assert not found


CATEGORIES = st.builds(
    lambda base, picks: category(*(g for g in picks if g.startswith(f"{base}.")), base=base),
    st.sampled_from(sorted(table.BASES)),
    st.lists(st.sampled_from(sorted(GROUNDS)), max_size=MAX_ADJUSTMENTS),
)


@given(st.lists(CATEGORIES, max_size=MAX_CATEGORIES), st.sampled_from(_EVERY), st.sampled_from(sorted(GROUNDS)))
def test_a_category_or_a_ground_more_moves_the_score_the_way_it_says(categories, each, ground):
    before = structs.replace(each, categories=tuple(categories))
    assert score(structs.replace(before, categories=tuple(categories[:-1]))).quarters <= score(before).quarters
    assert decode(encode(before)) == before
    for data in categories:
        if len(data.adjustments) < MAX_ADJUSTMENTS and ground.startswith(f"{data.base}."):
            moved = structs.replace(data, adjustments=(*data.adjustments, Adjustment(ground=ground, why="more")))
            up = GROUNDS[ground].steps > 0
            assert moved.context >= data.context if up else moved.context <= data.context


def test_the_tables_are_whole():
    assert set(GROUNDS) == set(get_args(Ground))
    assert {ground.partition(".")[0] for ground in GROUNDS} == set(table.BASES)
    assert set(table.LABEL_MEANS) == set(table.LABEL_IDENTIFIES) == set(LABELS)
    assert set(LABELS) > table.NAMES_WITH
    assert set(table.ATTRIBUTE_MEANS) < set(get_args(Attribute))
    rules = {*table.RULE_MEANS, *table.BUSINESS, *table.ATTACKS, *table.MALICIOUS, *table.ALTERED, *table.EXCHANGED}
    assert rules <= set(IDS)
    assert table.MALICIOUS <= table.ATTACKS | table.ALTERED
    assert not table.BUSINESS & set(table.RULE_MEANS)
    for meaning in (*table.LABEL_MEANS.values(), *table.RULE_MEANS.values(), *table.ATTRIBUTE_MEANS.values()):
        assert all(ground.startswith(f"{meaning.base}.") for ground in meaning.grounds)
    for grounds in table.CATALOGUE_GROUNDS.values():
        assert all(ground.startswith(f"{base}.") for base, (ground, _) in grounds.items())


def test_a_ground_of_another_kind_of_data_is_refused():
    with pytest.raises(ValueError, match="no ground for financial data"):
        category("simple.profile", base="financial")
    text = encode(inputs(category("simple.profile"), 1)).replace('"simple"', '"financial"')
    with pytest.raises(msgspec.ValidationError, match="no ground"):
        decode(text)
    for wrong in ('"quarters":5', '"quarters":3', '"quarters":-1'):
        with pytest.raises(msgspec.ValidationError):
            decode(encode(inputs(1, 1, c=2)).replace('"quarters":2', wrong))


def test_the_longest_inputs_fit_into_an_entry():
    long = "W" * 200
    longest = structs.replace(
        inputs(1, 4),
        categories=tuple(
            structs.replace(
                category(*["behavioural.sensitive_profile"] * MAX_ADJUSTMENTS, labels=("W" * 20,) * len(LABELS)),
                why=long,
            )
            for _ in range(MAX_CATEGORIES)
        ),
        unknown=(long,) * MAX_UNKNOWN,
    )
    longest = msgspec.json.decode(msgspec.json.encode(longest).replace(b'"test"', f'"{long}"'.encode()), type=Inputs)
    assert msgspec.convert({"inputs": encode(longest), "quarters": 24, "because": "x", "kind": "scored"}, Scored)


def test_a_score_says_its_reasons_line_by_line():
    lines = explain(score(inputs(category("behavioural.daily_life"), 4, c=1, many=True, unintelligible=True)))
    assert lines[0] == "3.25 high, many, unintelligible, within 0.25 of a border, 3.00"
    assert [line.split()[0] for line in lines[1:8]] == [
        "context", "+1", "identification", "confidentiality", "integrity", "availability", "malice",
    ]  # fmt: skip
    assert lines[8].startswith("  flag: more than 100 people")
    assert [line for line in lines if line.startswith("  would change it: identification 1.00 -> 0.75 (")]
    assert explain(score(inputs(2, 4, c=2)))[0] == "2.50 medium"
    assert explain(score(inputs(0, 1)))[0].startswith("not to be scored")
