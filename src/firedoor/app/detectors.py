"""The detectors of personal data, put together once in a process and shared by its surfaces."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from firedoor.core.detect.brands import Brands
from firedoor.core.detect.deep import Deep
from firedoor.core.detect.pipeline import Pipeline, WhenUnsure
from firedoor.core.detect.rules.tier import Rules
from firedoor.core.detect.spans import Detector
from firedoor.core.plan.model import LABELS, PersonalDataRules
from firedoor.models.deep import load_deep
from firedoor.models.shipped import Weights

GUESS = 0.1
"""Chance from which the classifier has noticed a word at all: what it is not sure of, the deep model reads."""


class Detectors:
    """The rule tier and the models, for one thread; `pipeline` makes a search for one surface's settings."""

    def __init__(self, weights: Weights | None = None) -> None:
        """`weights` are shared between threads. Raises `SetupError` if those of the package are damaged."""
        self.weights = weights or Weights()
        self.rules = Rules()
        self._embedder = self.weights.embedder()

    @cached_property
    def _deep(self) -> Deep:
        return load_deep()

    def pipeline(
        self,
        settings: PersonalDataRules | None = None,
        brands: Brands | None = None,
        *,
        deep: Literal["off", "unsure", "always"] | None = None,
    ) -> Pipeline:
        """The tiers with the thresholds of `settings`, whose `deep` another one may overrule.

        Raises `SetupError` if the deep model is asked for and not installed.
        """
        chosen = settings or PersonalDataRules()
        thresholds = {str(label): chance for label, chance in chosen.thresholds.items()}
        detectors: list[Detector] = [self.rules, self.weights.classifier(self._embedder, thresholds)]
        wanted = deep or chosen.deep
        if wanted == "always":
            detectors.append(self._deep)
        elif wanted == "unsure":
            guesses = self.weights.classifier(self._embedder, dict.fromkeys(LABELS, GUESS))
            detectors.append(WhenUnsure(guesses, self._deep))
        return Pipeline(detectors, brands)
