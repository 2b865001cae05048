"""What becomes of personal data on one surface: the plan's rules, prepared once."""

from __future__ import annotations

from typing import Final

from firedoor.core.minimise.fields import FieldRules
from firedoor.core.plan.model import LABELS, FieldRule, Handling, PersonalDataRules

CARD: Final = "CREDIT_CARD"
"""Card numbers and verification codes: masked at least, whatever a rule says and in every mode (PCI DSS 3.3, 3.4)."""

_CARD_MAY: frozenset[Handling] = frozenset({"mask", "drop", "refuse"})


class Handlings:
    """The rules of a surface. Raises `ValueError` for a field's path that is no JSONPath; a checked plan has none."""

    def __init__(self, rules: PersonalDataRules) -> None:
        self.rules = rules
        self.shadow = rules.mode == "shadow"
        self.media = rules.media
        self.answers = "record" if self.shadow and rules.answers == "cut" else rules.answers
        self.fields = FieldRules(() if self.shadow else rules.fields)
        declared: dict[str, Handling] = dict(rules.labels.items())
        self._by_label = {label: for_label(label, declared.get(label, rules.default)) for label in LABELS}

    def of(self, label: str, rule: FieldRule | None = None) -> Handling:
        """What the rules say becomes of a value of `label`, found in a field with `rule` or anywhere."""
        if rule is not None:
            return for_label(label, rule.handling)
        return self._by_label.get(label, "mask")  # a label nobody declared is not let through

    def done(self, label: str, said: Handling) -> Handling:
        """What is done where the rules say `said`: in shadow mode nothing, but to cards."""
        if not self.shadow:
            return said
        return "mask" if label == CARD else "pass"


def for_label(label: str, handling: Handling) -> Handling:
    """`handling`, or `mask` where it would let a card through."""
    return "mask" if label == CARD and handling not in _CARD_MAY else handling
