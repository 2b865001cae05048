"""The sealed file of a region's baselines: how its model instances looked when somebody said that they are right.

The command line writes baselines; control notes which drift it has told, so that a restart does not tell it again, and
does not shut again what two people opened knowing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from firedoor.core.integrity import Baseline
from firedoor.errors import KeyUnusable, SetupError
from firedoor.store.box import Box
from firedoor.store.files import locked, read_bounded, write_atomic

PURPOSE: Final = "baselines"
MAGIC: Final = b"firedoor baselines 1\n"
FILE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes: a thousand model instances with twenty probes each."""


class _Kept(Struct, frozen=True):
    baselines: dict[str, Baseline] = {}
    told: dict[str, str] = {}


class BaselineFile:
    """The baselines of one region, by model instance. Not there yet means none. Read anew by every call."""

    def __init__(self, path: Path, box: Box) -> None:
        self._path = path
        self._box = box

    def load(self) -> dict[str, Baseline]:
        """Every baseline. Raises `KeyUnusable` if the file does not open, `SetupError` if it cannot be read."""
        return self._read().baselines

    def baseline(self, model: str) -> Baseline | None:
        """The baseline of one model instance. Raises as `load`."""
        return self._read().baselines.get(model)

    def take(self, baselines: Mapping[str, Baseline]) -> None:
        """Put these in the place of what was there of the same names. Raises as `load`, and OSError."""
        with locked(self._path):
            kept = self._read()
            told = {model: drift for model, drift in kept.told.items() if model not in baselines}
            self._write(_Kept({**kept.baselines, **baselines}, told))

    def told(self, model: str) -> str:
        """The drift that was told last (`Verified.print`); empty for none. Raises as `load`."""
        return self._read().told.get(model, "")

    def tell(self, model: str, drift: str) -> None:
        """Note that `drift` was told. Raises as `load`, and OSError."""
        with locked(self._path):
            kept = self._read()
            self._write(_Kept(kept.baselines, {**kept.told, model: drift}))

    def _read(self) -> _Kept:
        try:
            data = read_bounded(self._path, FILE_LIMIT)
        except FileNotFoundError:
            return _Kept()
        except OSError as error:
            raise SetupError(f"{self._path.name} cannot be read: {error.strerror}.") from None
        if not data.startswith(MAGIC):
            raise KeyUnusable(f"{self._path.name} is not a file of baselines.", remedy="Restore it from a backup.")
        try:
            return msgspec.json.decode(self._box.open(data[len(MAGIC) :], PURPOSE), type=_Kept)
        except msgspec.DecodeError as error:
            raise KeyUnusable(
                f"{self._path.name} was written by another release.", remedy="Take the baselines again."
            ) from error

    def _write(self, kept: _Kept) -> None:
        write_atomic(self._path, MAGIC + self._box.seal(msgspec.json.encode(kept), PURPOSE))
