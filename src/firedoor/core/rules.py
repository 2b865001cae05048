"""A deterministic score over one transaction: the answer of checkout surfaces when no model gives one.

A field that is absent, empty, not a finite number where one is compared, or of another type than its rule expects
counts as `missing`. So a transaction nobody can read makes every `missing` rule fire, and nothing ever raises.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from firedoor.core.plan.model import Rule, RulesFallback

Verdict = Literal["allow", "review", "block"]
DecidedBy = Literal["model", "gateway-fallback", "local-rules"]

MAX_TRANSACTION = 65_536
"""Code points searched for a transaction. A Magento order with 100 lines is about 40 kB of JSON."""
MAX_TRIES = 8
"""Opening braces tried outside an object; each failed one may read to the end of the text."""
MAX_SCORE = 1e9
"""Scores are cut here, so that the answer stays valid JSON when the plan's points are infinite."""
MAX_REASONS = 32
MAX_REASON = 200
"""Code points of one reason in a model's answer: reasons are shown to whoever reviews the order."""

_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,9})?\Z")
_ABSENT = object()


class Decision(Struct, frozen=True):
    """What to do with an order. `by` says who decided: the model, the gateway's fallback or this shop's own rules.

    `exchange` is the id of the exchange behind it, when a gateway answered.
    """

    decision: Verdict
    score: float
    reasons: tuple[str, ...]
    by: DecidedBy
    exchange: str | None = None


class _Answer(Struct, frozen=True):
    decision: Verdict
    score: float
    reasons: tuple[str, ...] = ()


def rules(spec: RulesFallback, transaction: dict[str, Any]) -> str:
    """The decision as JSON text: ``{"decision","score","reasons","by":"rules"}``. Never raises for any transaction."""
    unusable = _unusable_fields(spec, transaction)
    fired = [rule for rule in spec.rules if _fires(rule, transaction, unusable)]
    score = _bounded(spec.base + sum(rule.points for rule in fired))
    decision: Verdict = "block" if score >= spec.block else "review" if score >= spec.review else "allow"
    reasons = list(dict.fromkeys(rule.reason for rule in fired))
    return json.dumps({"decision": decision, "score": score, "reasons": reasons, "by": "rules"})


def parse_decision(text: str, by: DecidedBy, exchange: str | None = None) -> Decision | None:
    """A decision out of an answer; None unless the whole text is one, with a known verdict and a finite score."""
    try:
        answer = msgspec.json.decode(text.strip(), type=_Answer)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    fits = len(answer.reasons) <= MAX_REASONS and all(len(reason) <= MAX_REASON for reason in answer.reasons)
    if not fits or abs(answer.score) > MAX_SCORE:
        return None
    return Decision(answer.decision, answer.score, answer.reasons, by, exchange)


def transaction_in_text(text: str) -> dict[str, Any]:
    """The one JSON object in `text`: alone, fenced, or between sentences. None or several: ``{}``.

    Two objects would let a shopper's note pose as the transaction, so in doubt there is none.
    """
    if len(text) > MAX_TRANSACTION:
        return {}
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    position = 0
    for _ in range(MAX_TRIES):
        start = text.find("{", position)
        if start < 0:
            return found[0] if len(found) == 1 else {}
        try:
            value, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
            continue
        found.append(value)
    return {}


def _unusable_fields(spec: RulesFallback, transaction: dict[str, Any]) -> set[str]:
    unusable: set[str] = set()
    for rule in spec.rules:
        value = _lookup(transaction, rule.field)
        if not _present(value):
            unusable.add(rule.field)
        elif rule.op == "differs_from":
            other = _lookup(transaction, str(rule.value))
            if not _present(other):
                unusable.add(str(rule.value))
            elif _pair(value, other) is None:
                unusable.add(rule.field)
        elif rule.op != "missing" and _compare(rule, value) is None:
            unusable.add(rule.field)
    return unusable


def _fires(rule: Rule, transaction: dict[str, Any], unusable: set[str]) -> bool:
    if rule.op == "missing":
        return rule.field in unusable
    value = _lookup(transaction, rule.field)
    if not _present(value):
        return False
    if rule.op == "differs_from":
        pair = _pair(value, _lookup(transaction, str(rule.value)))
        return pair is not None and pair[0] != pair[1]
    return _compare(rule, value) is True


def _compare(rule: Rule, value: Any) -> bool | None:
    """Whether the comparison holds; None when the two cannot be compared."""
    if rule.op in ("in", "not_in"):
        if not isinstance(value, str) or not isinstance(rule.value, tuple):
            return None
        return (value in rule.value) == (rule.op == "in")
    pair = _pair(value, rule.value)
    if pair is None:
        return None
    left, right = pair
    if rule.op in ("eq", "ne"):
        return bool(left == right) == (rule.op == "eq")
    if not isinstance(left, float) or not isinstance(right, float):
        return None
    if rule.op == "gt":
        return left > right
    if rule.op == "ge":
        return left >= right
    return left < right if rule.op == "lt" else left <= right


def _pair(left: Any, right: Any) -> tuple[bool | float | str, bool | float | str] | None:
    """Both sides in one type, or None. Shops write amounts as ``"129.90"``: such a string compares as a number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return (left, right) if isinstance(left, bool) and isinstance(right, bool) else None
    if isinstance(left, str) and isinstance(right, str):
        return left, right
    first, second = _number(left), _number(right)
    return None if first is None or second is None else (first, second)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if _DECIMAL.match(value) else None
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _lookup(transaction: Any, path: str) -> Any:
    """The value at a dotted path of object keys. A key that holds dots itself wins at the top."""
    if isinstance(transaction, dict) and path in transaction:
        return transaction[path]
    value = transaction
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return _ABSENT
        value = value[key]
    return value


def _present(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, dict | list):
        return bool(value)
    return isinstance(value, bool) or _number(value) is not None


def _bounded(score: float) -> float:
    if math.isnan(score):
        return MAX_SCORE
    return round(max(-MAX_SCORE, min(MAX_SCORE, score)), 6)
