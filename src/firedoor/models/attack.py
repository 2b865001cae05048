"""The model of attacks that comes with the package."""

from __future__ import annotations

import io

import numpy as np
from msgspec import Struct

from firedoor.core.detect.attack.features import FEATURES
from firedoor.core.detect.attack.model import HEADS, AttackModel, Weights
from firedoor.models.files import checked, damaged, read_card

CARD = "prompt-attacks.json"


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    """What belongs to one set of weights. `files` maps a name in the package's data to its SHA-256 (hex)."""

    version: str
    features: int
    heads: tuple[str, ...]
    thresholds: dict[str, float]
    files: dict[str, str]


class AttackWeights:
    """The weights of the model of attacks, loaded once in a process: they are shared."""

    def __init__(self) -> None:
        """Raises `SetupError` if the package's files are damaged or belong to another version."""
        self.card = read_card(CARD, Card)
        if self.card.features != FEATURES or self.card.heads != HEADS:
            raise damaged("its weights for attacks belong to another version of the features")
        found = np.load(io.BytesIO(checked("prompt-attacks.npz", self.card.files)), allow_pickle=False)
        self._weights = Weights(**{name: found[name] for name in Weights._fields})

    def model(self) -> AttackModel:
        """A model with the calibrated thresholds, for one thread."""
        return AttackModel(self._weights, self.card.thresholds)
