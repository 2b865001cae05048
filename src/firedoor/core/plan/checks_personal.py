"""Checks of what becomes of personal data: cards never pass, and rules for fields can be followed."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.core.minimise.fields import compiled
from firedoor.core.minimise.handlings import CARD, for_label
from firedoor.core.plan.faults import Fault, Path
from firedoor.core.plan.model import PersonalDataRules, Plan

MAX_FIELDS = 64
"""Rules for fields of one surface. Each is looked up in every message that is JSON."""

_CARDS = "Write mask, drop or refuse: card data never reaches a model."


def cards_never_pass(plan: Plan) -> Iterator[Fault]:
    """Card numbers and verification codes are masked at least, whatever the default is (PCI DSS)."""
    for path, rules in _rules(plan):
        handling = rules.labels.get(CARD)
        if handling is not None and for_label(CARD, handling) != handling:
            yield Fault((*path, "labels", CARD), f"is {handling}, which lets card data through", _CARDS)
        for position, rule in enumerate(rules.fields):
            if rule.label == CARD and for_label(CARD, rule.handling) != rule.handling:
                problem = f"is {rule.handling}, which lets card data through"
                yield Fault((*path, "fields", position, "handling"), problem, _CARDS)


def field_rules_can_be_looked_up(plan: Plan) -> Iterator[Fault]:
    """Each path is a JSONPath, and the time it takes is bounded."""
    for path, rules in _rules(plan):
        if len(rules.fields) > MAX_FIELDS:
            problem = f"has {len(rules.fields)} rules"
            yield Fault((*path, "fields"), problem, f"At most {MAX_FIELDS}: let one path name several fields.")
        for position, rule in enumerate(rules.fields):
            try:
                compiled(rule.path)
            except ValueError as error:
                remedy = "Write for example `$.customer.email` or `$..email`."
                yield Fault((*path, "fields", position, "path"), str(error), remedy)


def field_rules_say_something(plan: Plan) -> Iterator[Fault]:
    """No rule stands behind another for the same path, where it would never be followed."""
    for path, rules in _rules(plan):
        first: dict[str, int] = {}
        for position, rule in enumerate(rules.fields):
            before = first.setdefault(rule.path, position)
            if before != position:
                problem = f"is already ruled by fields[{before}]"
                yield Fault((*path, "fields", position, "path"), problem, "Remove one of them: the first counts.")


def _rules(plan: Plan) -> Iterator[tuple[Path, PersonalDataRules]]:
    for name, surface in plan.surfaces.items():
        yield ("surfaces", name, "personal_data"), surface.personal_data
