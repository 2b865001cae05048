"""The classifier of personal data that comes with the package."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from firedoor.core.detect.classifier import Classifier, Embedder
from firedoor.core.detect.names import Names
from firedoor.core.detect.tokens import FEATURES
from firedoor.models import files
from firedoor.models.onnx import TokenGraph

CARD = "personal-data.json"


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    """What belongs to one set of weights. `files` maps a name in the package's data to its SHA-256 (hex)."""

    version: str
    features: int
    tags: tuple[str, ...]
    thresholds: dict[str, float]
    files: dict[str, str]


class Weights:
    """The classifier's weights, loaded once in a process: its embedding table and graph are shared."""

    def __init__(self) -> None:
        """Raises `SetupError` if the package's files are damaged or belong to another version."""
        self.card = files.read_card(CARD, Card)
        if self.card.features != FEATURES:
            raise files.damaged("its weights belong to another version of the features")
        table = np.load(io.BytesIO(files.checked("personal-data.npz", self.card.files)), allow_pickle=False)
        self._table, self._scale = table["table"], table["scale"]
        self._names = Names(files.checked("names.bin", self.card.files))
        self._graph = TokenGraph(files.checked("personal-data.onnx", self.card.files))

    def embedder(self) -> Embedder:
        """Vectors of tokens, for one thread; the table is shared."""
        return Embedder(self._table, self._scale, self._names)

    def classifier(self, embedder: Embedder, thresholds: Mapping[str, float] | None = None) -> Classifier:
        """A classifier with the calibrated thresholds, but for the labels in `thresholds`."""
        return Classifier(embedder, self._graph, self.card.tags, {**self.card.thresholds, **(thresholds or {})})
