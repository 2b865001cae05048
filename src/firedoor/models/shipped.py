"""The weights that come with the package, checked against their SHA-256 before they are used.

``personal-data.json`` names the files and what the code must know about them. It comes in the same wheel: the check
notices damage and mixed versions, not somebody who can write to the installation.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from importlib import resources

import msgspec
import numpy as np
from msgspec import Struct

from firedoor.core.detect.classifier import Classifier, Embedder
from firedoor.core.detect.names import Names
from firedoor.core.detect.tokens import FEATURES
from firedoor.errors import SetupError
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
        self.card = read_card()
        if self.card.features != FEATURES:
            raise _damaged("its weights belong to another version of the features")
        table = np.load(io.BytesIO(_checked(self.card, "personal-data.npz")), allow_pickle=False)
        self._table, self._scale = table["table"], table["scale"]
        self._names = Names(_checked(self.card, "names.bin"))
        self._graph = TokenGraph(_checked(self.card, "personal-data.onnx"))

    def embedder(self) -> Embedder:
        """Vectors of tokens, for one thread; the table is shared."""
        return Embedder(self._table, self._scale, self._names)

    def classifier(self, embedder: Embedder, thresholds: Mapping[str, float] | None = None) -> Classifier:
        """A classifier with the calibrated thresholds, but for the labels in `thresholds`."""
        return Classifier(embedder, self._graph, self.card.tags, {**self.card.thresholds, **(thresholds or {})})


def read_card() -> Card:
    """What the package says about its weights. Raises `SetupError`."""
    try:
        return msgspec.json.decode(_read(CARD), type=Card)
    except msgspec.DecodeError:
        raise _damaged(f"{CARD} cannot be read") from None


def _checked(card: Card, name: str) -> bytes:
    data = _read(name)
    if hashlib.sha256(data).hexdigest() != card.files.get(name):
        raise _damaged(f"{name} is not the file that was shipped")
    return data


def _read(name: str) -> bytes:
    try:
        return resources.files("firedoor.data").joinpath(name).read_bytes()
    except OSError:
        raise _damaged(f"{name} is missing") from None


def _damaged(why: str) -> SetupError:
    return SetupError(f"This installation of Firedoor is damaged: {why}.", remedy="Install the package anew.")
