"""The deterministic score: every operator, near misses, and transactions nobody should send."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.plan.model import Rule, RulesFallback
from firedoor.core.rules import MAX_SCORE, Decision, parse_decision, rules

ABSENT = object()


def fires(op, field_value, rule_value=None, **others) -> bool:
    transaction = {**others} if field_value is ABSENT else {"f": field_value, **others}
    spec = RulesFallback(rules=(Rule(field="f", op=op, value=rule_value, points=1, reason="r"),), review=1, block=2)
    return json.loads(rules(spec, transaction))["reasons"] == ["r"]


@pytest.mark.parametrize(
    ("op", "field_value", "rule_value", "fired"),
    [
        ("gt", 10.01, 10, True),
        ("gt", 10, 10, False),
        ("ge", 10, 10.0, True),
        ("ge", 9.99, 10, False),
        ("lt", 9, 10, True),
        ("lt", 10, 10, False),
        ("le", 10, 10, True),
        ("le", 11, 10, False),
        ("gt", "129.90", 100, True),  # shops write amounts as text
        ("gt", "-1", -2, True),
        ("gt", "1e9", 100, False),
        ("gt", "1,290", 100, False),
        ("gt", "129.90 ", 100, False),
        ("gt", "١٢٩", 100, True),  # digits of other scripts are digits
        ("gt", "9" * 400, 100, False),
        ("gt", True, 0, False),
        ("gt", None, 0, False),
        ("gt", [5], 0, False),
        ("gt", {"a": 5}, 0, False),
        ("gt", math.nan, 0, False),
        ("gt", math.inf, 0, False),
        ("lt", -math.inf, 0, False),
        ("gt", 10**400, 0, False),
        ("gt", 5, None, False),
        ("gt", "b", "a", False),
        ("eq", "DE", "DE", True),
        ("eq", "de", "DE", False),
        ("eq", 1, 1.0, True),
        ("eq", True, True, True),
        ("eq", 1, True, False),
        ("eq", "true", True, False),
        ("ne", "FR", "DE", True),
        ("ne", "DE", "DE", False),
        ("ne", ABSENT, "DE", False),
        ("ne", 5, "DE", False),
        ("in", "DE", ("DE", "AT"), True),
        ("in", "D", ("DE", "AT"), False),
        ("in", 5, ("5",), False),
        ("in", "DE", "DE", False),
        ("not_in", "FR", ("DE", "AT"), True),
        ("not_in", "DE", ("DE", "AT"), False),
        ("not_in", ABSENT, ("DE",), False),
        ("missing", ABSENT, None, True),
        ("missing", None, None, True),
        ("missing", "", None, True),
        ("missing", "  ", None, True),
        ("missing", {}, None, True),
        ("missing", math.nan, None, True),
        ("missing", 0, None, False),
        ("missing", False, None, False),
        ("missing", "0", None, False),
        ("missing", {"a": None}, None, False),
    ],
)
def test_operators(op, field_value, rule_value, fired):
    assert fires(op, field_value, rule_value) is fired


@pytest.mark.parametrize(
    ("left", "right", "fired"),
    [
        ("DE", "US", True),
        ("DE", "DE", False),
        (5, "5", False),
        (5, 6, True),
        ("DE", 5, False),
        ("DE", None, False),
        (None, "DE", False),
        (None, None, False),
        ({"a": 1}, {"a": 2}, False),
        (True, False, True),
    ],
)
def test_two_fields_that_differ(left, right, fired):
    assert fires("differs_from", left, "other.field", other={"field": right}) is fired


@pytest.mark.parametrize(
    ("transaction", "reasons"),
    [
        ({"amount": 600}, ["high"]),
        ({"amount": 5}, []),
        ({"amount": "lots"}, ["none"]),
        ({"amount": [600]}, ["none"]),
        ({"amount": math.nan}, ["none"]),
        ({}, ["none"]),
    ],
)
def test_a_field_that_cannot_be_compared_counts_as_missing(transaction, reasons):
    spec = RulesFallback(
        rules=(
            Rule(field="amount", op="missing", points=1, reason="none"),
            Rule(field="amount", op="gt", value=500, points=1, reason="high"),
        ),
        review=1,
        block=2,
    )
    assert json.loads(rules(spec, transaction))["reasons"] == reasons


def test_paths_go_into_objects_and_whole_keys_come_first():
    def reason(path, transaction):
        spec = RulesFallback(rules=(Rule(field=path, op="eq", value=1, points=1, reason="r"),), review=1, block=2)
        return json.loads(rules(spec, transaction))["reasons"]

    assert reason("a.b.c", {"a": {"b": {"c": 1}}}) == ["r"]
    assert reason("a.b", {"a.b": 1, "a": {"b": 2}}) == ["r"]
    assert reason("a.0", {"a": [1]}) == []
    assert reason("a.b.c", {"a": {"b": 1}}) == []
    assert reason("", {"": 1}) == ["r"]


@pytest.mark.parametrize(
    ("points", "decision", "score"),
    [
        ((), "allow", 0.0),
        ((0.1, 0.2), "review", 0.3),
        ((0.1, 0.1), "allow", 0.2),
        ((0.5, 0.5), "block", 1.0),
        ((math.inf,), "block", MAX_SCORE),
        ((-math.inf,), "allow", -MAX_SCORE),
        ((math.inf, -math.inf), "block", MAX_SCORE),
    ],
)
def test_points_add_up_against_the_thresholds(points, decision, score):
    made = tuple(Rule(field="f", op="missing", points=p, reason=f"r{i}") for i, p in enumerate(points))
    said = json.loads(rules(RulesFallback(rules=made, review=0.3, block=1.0), {}))
    assert (said["decision"], said["score"], said["by"]) == (decision, score, "rules")
    assert said["reasons"] == [f"r{i}" for i in range(len(points))]


def test_a_reason_is_given_once():
    twice = tuple(Rule(field=name, op="missing", points=1, reason="unknown") for name in ("a", "b"))
    said = json.loads(rules(RulesFallback(rules=twice, review=9, block=9, base=0.5), {}))
    assert (said["score"], said["reasons"]) == (2.5, ["unknown"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "a.b", "f"]), inner),
    max_leaves=8,
)
RULE = st.builds(
    Rule,
    field=st.sampled_from(["a", "b", "a.b", "f", "", "."]),
    op=st.sampled_from(["gt", "ge", "lt", "le", "eq", "ne", "in", "not_in", "missing", "differs_from"]),
    value=st.floats() | st.text(max_size=4) | st.booleans() | st.tuples(st.text(max_size=3)) | st.none(),
    points=st.floats(),
    reason=st.sampled_from(["x", "y"]),
)


@given(st.lists(RULE, max_size=6), st.dictionaries(st.sampled_from(["a", "b", "f", "a.b"]), VALUES), st.floats())
def test_no_transaction_and_no_rule_can_keep_a_decision_away(made, transaction, base):
    text = rules(RulesFallback(rules=tuple(made), review=1, block=2, base=base), transaction)
    decided = parse_decision(text, "local-rules")
    assert isinstance(decided, Decision)
    assert text == rules(RulesFallback(rules=tuple(made), review=1, block=2, base=base), transaction)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_parsing_a_decision_never_raises(text):
    assert parse_decision(text, "model") is None or "decision" in text


def test_a_decision_may_say_more_than_is_asked():
    said = '{"decision":"block","score":3,"reasons":["a"],"explanation":"because","by":"rules"}'
    assert parse_decision(f"  {said}\n", "model", "x-1") == Decision("block", 3.0, ("a",), "model", "x-1")
