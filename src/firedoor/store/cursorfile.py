"""How far a host's journals were read for its region's control: a small file, so that a start does not read all again.

Losing it costs time and nothing else: what was reported before is reported again, and control knows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from firedoor.core.plan.words import Name
from firedoor.errors import SetupError
from firedoor.store.files import read_bounded, write_atomic

LIMIT: Final = 64 * 1024
"""Bytes: 512 slots of the longest names."""

_decoder = msgspec.json.Decoder(dict[Name, Annotated[int, Meta(ge=0)]])


class CursorFile:
    """The cursors at `path`, written by one process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, int]:
        """Sequence numbers by slot; empty if there are none, or if they cannot be read."""
        try:
            return dict(_decoder.decode(read_bounded(self._path, LIMIT)))
        except (OSError, SetupError, msgspec.DecodeError, UnicodeError, RecursionError):
            return {}

    def save(self, cursors: dict[str, int]) -> None:
        """Replace the file. Blocks for the disk. Raises OSError."""
        write_atomic(self._path, msgspec.json.encode(cursors))
