"""Checks of the fallbacks: each must be able to answer without AI, whatever has happened."""

from __future__ import annotations

import math
from collections.abc import Iterator

from firedoor.core.plan.faults import Fault, Path
from firedoor.core.plan.model import CHECKOUT_SURFACES, MessageFallback, Plan, Rule, RulesFallback, SearchFallback

_NUMERIC = frozenset({"gt", "ge", "lt", "le"})


def checkout_decides_by_rules(plan: Plan) -> Iterator[Fault]:
    """A checkout waits for a decision, not for a sentence."""
    for name in sorted(CHECKOUT_SURFACES & plan.surfaces.keys()):
        if not isinstance(plan.surfaces[name].fallback, RulesFallback):
            problem = f"{name} is in the checkout path and needs a decision"
            yield Fault(
                ("surfaces", name, "fallback", "kind"), problem, "Write `kind: rules` with rules and thresholds."
            )


def search_has_a_catalogue(plan: Plan) -> Iterator[Fault]:
    """A search fallback searches in every shop that the surface serves."""
    for name, surface in plan.surfaces.items():
        if not isinstance(surface.fallback, SearchFallback):
            continue
        for shop in plan.shops:
            if plan.serves(name, shop) and plan.shops[shop].catalog is None:
                problem = f"searches the catalogue of shop {shop}, which names none"
                remedy = f"Add `catalog: FILE` to shops.{shop}, or choose `kind: message`."
                yield Fault(("surfaces", name, "fallback"), problem, remedy)


def languages_have_texts(plan: Plan) -> Iterator[Fault]:
    """The default language is there, so that every shopper gets a sentence."""
    for name, surface in plan.surfaces.items():
        fallback, path = surface.fallback, ("surfaces", name, "fallback")
        if isinstance(fallback, MessageFallback | SearchFallback):
            texts = {"text": fallback.text}
            if isinstance(fallback, SearchFallback):
                texts["empty"] = fallback.empty
            for key, languages in texts.items():
                if fallback.default not in languages:
                    problem = f"has no text in the default language {fallback.default}"
                    yield Fault((*path, key), problem, f"Add `{fallback.default}: …`, or change `default`.")
        if not surface.cut_text:
            yield Fault(
                ("surfaces", name, "cut_text"), "is empty", "Say in one language at least that an answer was stopped."
            )


def rules_can_be_computed(plan: Plan) -> Iterator[Fault]:
    """Every rule compares what can be compared, and the thresholds are in order."""
    for name, surface in plan.surfaces.items():
        fallback, path = surface.fallback, ("surfaces", name, "fallback")
        if not isinstance(fallback, RulesFallback):
            continue
        if not fallback.rules:
            yield Fault(
                (*path, "rules"), "is empty", "Write one rule at least; otherwise every order gets the same score."
            )
        if fallback.review > fallback.block:
            yield Fault(
                (*path, "review"), "lies above block", "An order is reviewed at a lower score than it is blocked."
            )
        for position, rule in enumerate(fallback.rules):
            yield from _rule(rule, (*path, "rules", position, "value"))


def _rule(rule: Rule, path: Path) -> Iterator[Fault]:
    value = rule.value
    if rule.op in _NUMERIC:
        fits, wanted = (
            isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value),
            "a number",
        )
    elif rule.op in ("in", "not_in"):
        fits, wanted = isinstance(value, tuple) and bool(value), "a list of texts"
    elif rule.op == "missing":
        fits, wanted = value is None, "no value"
    elif rule.op == "differs_from":
        fits, wanted = isinstance(value, str) and bool(value), "the name of another field"
    else:
        fits, wanted = value is not None and not isinstance(value, tuple), "one text, number, or true or false"
    if not fits:
        yield Fault(path, f"{rule.op} needs {wanted}", "Correct `value`; only `missing` goes without one.")
