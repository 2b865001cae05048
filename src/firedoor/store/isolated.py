"""Small files about isolated model instances: control's note of each, and what the parent of its process did.

``REGION/isolated/MODEL.json`` is written by control alone, ``REGION/run/MODEL.halted.json`` by the parent alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec

from firedoor.core.isolation import Halted, Isolated
from firedoor.errors import SetupError
from firedoor.store.files import read_bounded, sync_folder, write_atomic

LIMIT: Final = 1_048_576
"""Bytes of such a file: 200 ids of exchanges and some hundred paths of mapped files are under 100 kB."""
_ENDING: Final = ".json"

_Kept = TypeVar("_Kept", Isolated, Halted)


class IsolationFiles:
    """The notes of one region: what is saved is durable on return, and a crash leaves the old note or the new."""

    def __init__(self, folder: Path, run: Path) -> None:
        """`folder` is the region's ``isolated``, `run` its ``run``."""
        self._folder = folder
        self._run = run

    def models(self) -> list[str]:
        """The model instances that have a note, readable or not. Raises OSError."""
        names = (path.name for path in self._folder.iterdir()) if self._folder.is_dir() else ()
        return sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING) and name[0] != ".")

    def note(self, model: str) -> Isolated | None:
        """Control's note, None if `model` is not isolated. Raises `SetupError` if it cannot be read."""
        return _read(self._note(model), Isolated)

    def save(self, note: Isolated) -> None:
        """Replace the note. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_atomic(self._note(note.model), msgspec.json.encode(note))

    def remove(self, model: str) -> None:
        """The model instance is isolated no more. Raises OSError."""
        self._note(model).unlink(missing_ok=True)
        sync_folder(self._folder)

    def halted(self, model: str) -> Halted | None:
        """What the parent said last; None if nothing. Raises `SetupError` if it cannot be read."""
        return _read(self._halted(model), Halted)

    def tell(self, model: str, halted: Halted) -> None:
        """Say what became of the process. Raises OSError."""
        write_atomic(self._halted(model), msgspec.json.encode(halted))

    def forget(self, model: str) -> None:
        """There is nothing to say any more. Raises OSError."""
        self._halted(model).unlink(missing_ok=True)

    def _note(self, model: str) -> Path:
        return self._folder / f"{model}{_ENDING}"

    def _halted(self, model: str) -> Path:
        return self._run / f"{model}.halted{_ENDING}"


def _read(path: Path, kind: type[_Kept]) -> _Kept | None:
    try:
        return msgspec.json.decode(read_bounded(path, LIMIT), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        raise SetupError(
            f"{path.name} cannot be read: nobody knows how far this isolation is.",
            remedy="The model instance stays as it is. Restore the file from a copy, or isolate it again.",
        ) from None
