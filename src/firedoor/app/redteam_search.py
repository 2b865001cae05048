"""The adaptive part of the red team: a search against our own detector, with its score in sight. No region is needed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from firedoor.app.attacks import AttackReaders
from firedoor.app.redteam_suite import Suite
from firedoor.core.prompts.asking import ASKABLE
from firedoor.core.redteam.canaries import invent
from firedoor.core.redteam.cases import Case
from firedoor.core.redteam.forms import fill
from firedoor.core.redteam.search import Score, Searches, search
from firedoor.errors import SetupError


def adapt(suite: Suite, cases: Sequence[Case], seeds: int, budget: int, seed: int) -> Searches:
    """Try `seeds` attacks of `cases` with `budget` queries each, the same ones for the same `seed`. Raises
    `SetupError`.
    """
    chance = random.Random(seed)  # noqa: S311  a run that can be repeated
    canaries = invent(chance)
    usable = [case for case in cases if len(case.ask) == 1 and not case.steps and case.carrier is None]
    if not usable:
        raise SetupError("None of these cases is a text that somebody types.", remedy="Choose other kinds.")
    picked = chance.sample(usable, min(seeds, len(usable)))
    return search(picked, suite.cases, suite.wordings, shopper_score(), budget, chance, lambda text: fill(text, canaries))


def shopper_score() -> Score:
    """How near a text of a shopper without grants is to being stopped: 0.5 and more is stopped."""
    detector = AttackReaders().detector()

    def score(text: str) -> float:
        reading = detector.read(text, "shopper")
        return max(reading.score, *(reading.asked.get(attribute, 0.0) for attribute in ASKABLE))

    return score
