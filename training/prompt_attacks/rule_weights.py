"""Sets the weights of the rules: ``python -m training.prompt_attacks.rule_weights DATA RULES``.

Counts which rules match which texts of DATA (the development sets) and of our templates, and rewrites the lines
``roles`` of the rule file RULES; at its top stands how a weight follows from the counts. With ``--dry-run`` the file
stays as it is. Either way every rule is printed whose weights change.
"""

from __future__ import annotations

import argparse
import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.attack.rulefile import Rule, read_rules
from firedoor.core.detect.attack.rules import RuleSet
from firedoor.core.detect.attack.signs import ROLES
from training.prompt_attacks.corpora import ATTACKS, HARMLESS, SHOP, Example, development, harmless
from training.prompt_attacks.fill import all_made

Floats = npt.NDArray[np.float64]
Group = Literal["typed", "planted", "chat", "paper", "personas", "other", ""]

NOT_COUNTED = "encoded_own"
"""A source that repeats others in disguise: rules see texts with disguises undone."""
PAPERS = frozenset({"reviews_womens", "bipia", "t0_adversarial_qa", "t0_amazon_polarity"})
LEAST, MOST = 0.5, 5.0
"""Log-odds (nats) of a rule: less is not worth its time, more is more than a few thousand texts can tell."""
PENALTY = 3.0
"""Of the regression on large coefficients (half the square of each)."""
STEPS = 30
"""Of the regression: it changes nothing any more after some fifteen."""
ASKED = "asked."


class Counts(NamedTuple):
    """Which group are attacks, and how much a harmless text of each other group counts."""

    attacks: Group
    harmless: Mapping[Group, float]


SHOPPER = Counts("typed", {"chat": 1.0, "other": 1.0, "personas": 1 / 3})
DOCUMENT = Counts("planted", {"paper": 1.0, "personas": 1 / 3, "other": 1 / 4})

BY_HAND_SHOPPER: Mapping[str, float | None] = {
    "canary.taunt": 5.0, "document.act": None, "document.hidden": 1.5, "document.important": 1.5, "exfil.image": 2.5,
    "override.task_switch": 3.0, "override.user": None, "persona.no_ethics": 4.0, "prompt.tools": 1.5,
    "prompt.your_rules": 3.5, "tool.forged": 2.5, "turn.fence": 2.5,
}  # fmt: skip
"""Few attacks had them, or most of one source; None: no sign of anything where a shopper writes it."""
BY_HAND_DOCUMENT: Mapping[str, float] = {
    "canary.taunt": 4.0, "claim.authority": 0.5, "decode.follow": 2.5, "document.hidden": 2.0, "document.important": 2.5,
    "exfil.image": 5.0, "game.password": 2.0, "mode.developer": 1.5, "override.everything": 3.5,
    "override.guardrails": 2.5, "override.not_bound": 3.0, "override.standards": 3.0, "override.user": 4.0,
    "persona.become": 0.5, "persona.named": 1.5, "persona.no_ethics": 2.0, "prompt.above": 2.5, "prompt.bare": 1.5,
    "prompt.config": 1.5, "prompt.forbidden": 2.0, "prompt.named": 1.5, "prompt.replay": 2.0, "prompt.system": 2.5,
    "prompt.tools": 1.0, "prompt.your_rules": 2.5, "refusal.prefix": 1.0, "refusal.suppress": 2.0, "tool.forged": 4.0,
    "turn.fence": 3.0, "turn.token": 4.0,
}  # fmt: skip
BY_HAND_ASKED = 3.0
"""Of all rules ``asked.*``: they count for the attribute that is asked for, and for no attack."""


def group(example: Example) -> Group:
    """What `example` counts as; nothing for questions in our templates that neither attack nor are harmless."""
    if not harmless(example):
        return "planted" if example.kind == "indirect" else "" if example.kind == "asked" else "typed"
    if example.source == "awesome_prompts":
        return "personas"
    if example.source in PAPERS or example.kind in {"benign_document", "benign_tool"}:
        return "paper"
    if example.source in {*SHOP, "hinglish", "ecom_own_templates"} or example.source.startswith("templates-"):
        return "chat"
    return "other"


class Matches(NamedTuple):
    """`matched` [texts, rules] is 1 where a rule matches a text; `groups` are those of the texts."""

    matched: npt.NDArray[np.float32]
    groups: list[Group]


def matches(examples: Sequence[Example], rules: Sequence[Rule]) -> Matches:
    """Which of `rules` match which texts, whatever they weigh there and whoever they count for."""
    search = RuleSet([rule._replace(weights=dict.fromkeys(ROLES, 1.0)) for rule in rules])
    column = {name: at for at, name in enumerate(search.names)}
    counted = [(example.text, found) for example in examples if (found := group(example))]
    matched = np.zeros((len(counted), len(rules)), dtype=np.float32)
    for row, (text, _) in enumerate(counted):
        for hit in search.find(text, "shopper"):
            matched[row, column[hit.rule]] = 1
    return Matches(matched, [found for _, found in counted])


def weights(found: Matches, counts: Counts) -> Floats:
    """Log-odds (nats) [rules]: the mean of what each rule says alone and of what it says beside the others."""
    attack = np.array([one == counts.attacks for one in found.groups])
    amount = np.array([counts.harmless.get(one, 0.0) for one in found.groups])
    seen = found.matched[attack].sum(0, dtype=np.float64)
    false = (found.matched * amount[:, None]).sum(0, dtype=np.float64)
    alone = np.log((seen + 0.5) / (attack.sum() + 1)) - np.log((false + 0.5) / (amount.sum() + 1))
    used = attack | (amount > 0)
    balanced = np.where(attack, amount.sum() / attack.sum(), amount)
    mean: Floats = (alone + coefficients(found.matched[used], attack[used], balanced[used])) / 2
    return mean


def coefficients(matched: npt.NDArray[np.float32], attack: npt.NDArray[np.bool_], amount: Floats) -> Floats:
    """Logistic regression by Newton's method: what each rule [rules] says beside the others."""
    texts = np.hstack([matched.astype(np.float64), np.ones((len(matched), 1))])
    penalty = np.full(texts.shape[1], PENALTY)
    penalty[-1] = 0.0  # how many attacks there are at all is not held back
    found = np.zeros(texts.shape[1])
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-texts @ found))
        slope = texts.T @ (amount * (likely - attack)) + penalty * found
        curve = (texts * (amount * likely * (1 - likely))[:, None]).T @ texts + np.diag(penalty)
        found -= np.linalg.solve(curve, slope)
    coefficients: Floats = found[:-1]
    return coefficients


def roles(rule: str, shopper: float, document: float) -> str:
    """The line of a rule, from what the counts say of it."""
    by_shopper: float | None
    if rule.startswith(ASKED):
        by_shopper = in_document = BY_HAND_ASKED
    else:
        by_shopper = BY_HAND_SHOPPER.get(rule, _within(shopper))
        in_document = BY_HAND_DOCUMENT.get(rule, _within(document))
    told = [] if by_shopper is None else [f"shopper {by_shopper:g}"]
    return "  roles " + ", ".join([*told, f"document {in_document:g}", f"tool {in_document:g}"])


def _within(weight: float) -> float:
    if not math.isfinite(weight):
        raise ValueError("the counts say nothing: is DATA the folder of the development sets?")
    return round(max(LEAST, min(MOST, weight)), 1)


def rewritten(text: str, lines: Mapping[str, str]) -> str:
    """The rule file `text` with these lines ``roles``, by the names of their rules."""
    name, out = "", []
    for line in text.split("\n"):
        if heading := re.fullmatch(r"rule (\S+)\s*", line):
            name = heading[1]
        out.append(lines[name] if name and line.startswith("  roles ") else line)
    return "\n".join(out)


def main() -> None:
    """Count, and write."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("data", type=Path)
    ask.add_argument("rules", type=Path)
    ask.add_argument("--dry-run", action="store_true")
    given = ask.parse_args()
    text = given.rules.read_text(encoding="utf-8")
    rules = read_rules(text)
    examples = [
        example
        for source in dict.fromkeys((*ATTACKS, *HARMLESS))
        if source != NOT_COUNTED
        for example in development(given.data, source)
    ]
    found = matches([*examples, *all_made(random.Random(1))], rules)
    print(dict(Counter(found.groups)))
    by_shopper, in_document = weights(found, SHOPPER), weights(found, DOCUMENT)
    lines = {
        rule.name: roles(rule.name, float(by_shopper[at]), float(in_document[at])) for at, rule in enumerate(rules)
    }
    new = rewritten(text, lines)
    for rule, changed in zip(rules, read_rules(new), strict=True):
        if rule.weights != changed.weights:
            print(rule.name, dict(rule.weights), "->", dict(changed.weights))
    if not given.dry_run:
        given.rules.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
