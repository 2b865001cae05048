"""One text read for attacks: all its views by the rules and by the model, and one score."""

from __future__ import annotations

import math
from typing import NamedTuple

from firedoor.core.detect.attack.comparisons import compared_numbers
from firedoor.core.detect.attack.normal import views
from firedoor.core.detect.attack.signs import Model, Reading, Role, RuleHit, RuleSearch, Scores, Sign
from firedoor.core.detect.disguise.views import View
from firedoor.core.plan.model import Attribute

MAX_SIGNS = 16
"""Signs kept of one text: enough to see why; a text of nothing but attacks has no end of them."""
ASKED = "asked."
"""How the names of rules begin that speak for an attribute being asked for: ``asked.cost``. They are no sign of an
attack: a buyer may ask."""


HIDDEN = 2.0
"""What it weighs (nats) that a text had to be decoded to be read: harmless ones seldom are. Chosen on development data:
four more of a hundred hidden attacks are found, and no more of what shoppers write."""


class Weighed(NamedTuple):
    """What rules and model make of one view, in log-odds (nats) and together; and what each of them said."""

    attack: float
    asked: dict[Attribute, float]
    hits: list[RuleHit]
    scores: Scores


def weigh(view: View, role: Role, rules: RuleSearch, model: Model) -> Weighed:
    """Read one view. Thresholds are calibrated on these sums."""
    text = view.text
    hits = rules.find(text, role)
    scores = model.scores(text, role)
    attack, asked = scores.attack, dict(scores.asked)
    if view.name != "plain":
        attack += HIDDEN
    for hit in hits:
        if not hit.rule.startswith(ASKED):
            attack += hit.weight
    for attribute in asked:
        asked[attribute] += sum(hit.weight for hit in hits if hit.rule == ASKED + attribute)
    return Weighed(attack, asked, hits, scores)


class AttackDetector:
    """Reads texts for attacks. Bounded and linear; for one thread, as the rules and the model are."""

    def __init__(self, rules: RuleSearch, model: Model) -> None:
        self._rules = rules
        self._model = model

    def read(self, text: str, role: Role) -> Reading:
        """What `text`, written by `role`, asks of the model; offsets count its code points."""
        normal = views(text)
        threshold, least = self._model.threshold(role), self._model.asked_threshold()
        signs: list[Sign] = []
        best = -math.inf
        leaning: dict[Attribute, float] = {}
        for view in normal.views:
            found = weigh(view, role, self._rules, self._model)
            best = max(best, found.attack)
            score = _chance(found.attack - threshold)
            for hit in found.hits:
                start, end = view.origin(hit.start, hit.end)
                if not hit.rule.startswith(ASKED):
                    signs.append(Sign(hit.rule, start, end, view.name, score, "rule"))
            if found.attack >= threshold:
                start, end = view.origin(found.scores.start, found.scores.end)
                signs.append(Sign(f"model.{role}", start, end, view.name, score, "model"))
            for attribute, odds in found.asked.items():
                leaning[attribute] = max(odds - least, leaning.get(attribute, -math.inf))
                if odds >= least:
                    start, end = view.origin(0, len(view.text))
                    signs.append(Sign(ASKED + attribute, start, end, view.name, _chance(odds - least), "asked"))
        return Reading(
            _chance(best - threshold),
            _strongest(signs),
            {attribute: _chance(odds) for attribute, odds in leaning.items() if odds >= 0},
            best - threshold,
            leaning,
            compared_numbers(normal.views[0].text) if role == "shopper" else (),
            normal.refused,
        )


def _strongest(signs: list[Sign]) -> tuple[Sign, ...]:
    """The strongest of `signs`. However many speak for an attack, each attribute that is asked for keeps its best."""
    signs.sort(key=lambda sign: -sign.score)
    asked = {sign.rule: sign for sign in reversed(signs) if sign.source == "asked"}
    kept = set(asked.values())
    for sign in signs:
        if len(kept) >= MAX_SIGNS:
            break
        kept.add(sign)
    return tuple(dict.fromkeys(sign for sign in signs if sign in kept))


def _chance(odds: float) -> float:
    """0.5 at 0 nats, without overflow at the ends."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, odds))))
