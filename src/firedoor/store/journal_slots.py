"""The journal slots of a region, each readable from any record on. See `firedoor.ports.evidence.Slots`."""

from __future__ import annotations

import os
from pathlib import Path

from firedoor.store.journal_read import JournalCursor


class JournalSlots:
    """``journal/SLOT/`` of every slot; one that appears later is in the next `present`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def present(self) -> dict[str, int]:
        """Slots and the inodes of their folders. Raises OSError."""
        try:
            with os.scandir(self._folder) as entries:
                return {e.name: e.inode() for e in entries if e.is_dir() and not e.name.startswith(".")}
        except FileNotFoundError:
            return {}

    def reader(self, slot: str, after: int) -> JournalCursor:
        """See the Protocol."""
        return JournalCursor(self._folder / slot, after)
