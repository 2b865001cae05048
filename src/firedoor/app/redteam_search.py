"""The adaptive part of the red team: a search against our own detector, with its score in sight, without a region."""

from __future__ import annotations

import random
from collections.abc import Sequence

from msgspec.structs import replace

from firedoor.app.attacks import AttackReaders
from firedoor.app.redteam_suite import Suite
from firedoor.core.prompts.asking import ASKABLE
from firedoor.core.redteam.canaries import invent
from firedoor.core.redteam.cases import Case
from firedoor.core.redteam.forms import fill
from firedoor.core.redteam.search import Searches, search
from firedoor.errors import SetupError


def adapt(suite: Suite, cases: Sequence[Case], seeds: int, budget: int, seed: int) -> Searches:
    """Try `seeds` attacks of `cases` with `budget` queries each, the same ones for the same `seed`. Raises
    `SetupError`.
    """
    chance = random.Random(seed)  # noqa: S311  a run that can be repeated
    canaries = invent(chance, chance)
    usable = [case for case in cases if len(case.ask) == 1 and not case.steps and case.carrier is None]
    if not usable:
        raise SetupError("None of these cases is a text that somebody types.", remedy="Choose other kinds.")
    picked = chance.sample(usable, min(seeds, len(usable)))
    score = ShopperScore()
    found = search(picked, suite.cases, suite.wordings, score, budget, chance, lambda text: fill(text, canaries))
    return replace(found, unread=score.unread)


class ShopperScore:
    """How near a text of a shopper without grants is to being stopped: 0.5 and more is stopped.

    So is a text that the detector cannot read (`unread` counts them): its surface falls back.
    """

    def __init__(self) -> None:
        self._detector = AttackReaders().detector()
        self.unread = 0

    def __call__(self, text: str) -> float:
        """The score of `text`, 0 to 1."""
        try:
            reading = self._detector.read(text, "shopper")
        except Exception:  # noqa: BLE001  as the gateway takes it
            self.unread += 1
            return 1.0
        return max(reading.score, *(reading.asked.get(attribute, 0.0) for attribute in ASKABLE))
