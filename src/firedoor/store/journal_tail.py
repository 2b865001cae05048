"""All journal slots of a region as one queue for the control process. See `firedoor.ports.evidence.Journals`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from firedoor.core.evidence.leaf import Leaf
from firedoor.errors import EvidenceDamaged
from firedoor.store.journal_read import JournalCursor
from firedoor.store.segments import first_seq, segments

SLOTS = 512
"""Slots of one region: 64 workers, control and spares many times over. More means that something makes folders."""


class JournalTail:
    """Reads `journal/SLOT/` of every slot, or of `only` one; slots that appear later are found by the next `read`."""

    def __init__(self, folder: Path, *, only: str | None = None) -> None:
        self._folder = folder
        self._only = only
        self._after: dict[str, int] = {}
        self._cursors: dict[str, tuple[int, JournalCursor]] = {}
        self._failed: EvidenceDamaged | OSError | None = None

    def open(self, cursors: Mapping[str, int]) -> set[str]:
        """Begin after these records; returns the slots whose journal does not reach that far any more."""
        cursors = {slot: seq for slot, seq in cursors.items() if self._wanted(slot)}
        gone = {slot for slot, seq in cursors.items() if seq > 0 and not self._reaches(slot, seq)}
        self._after = {slot: seq for slot, seq in cursors.items() if slot not in gone}
        return gone

    def read(self, limit: int) -> list[Leaf]:
        """At most `limit` new leaves of all slots. Raises `EvidenceDamaged`, OSError: what was read before comes first,
        and then the error.
        """
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        self._discover()
        leaves: list[Leaf] = []
        for _, cursor in self._cursors.values():
            if len(leaves) >= limit:
                break
            try:
                leaves += [stored.leaf for stored in cursor.new(limit - len(leaves))]
            except (EvidenceDamaged, OSError) as error:
                if not leaves:
                    raise
                self._failed = error  # the leaves of other slots are beyond their cursors: they come once
                break
        return leaves

    def close(self) -> None:
        """Let go of the files."""
        for _, cursor in self._cursors.values():
            cursor.close()
        self._cursors.clear()

    def _discover(self) -> None:
        """Take up new slots. Raises `EvidenceDamaged` if the folder of a slot being read was removed or replaced."""
        try:
            with os.scandir(self._folder) as entries:
                present = {e.name: e.inode() for e in entries if e.is_dir() and self._wanted(e.name)}
        except FileNotFoundError:
            present = {}
        for slot, (inode, _) in self._cursors.items():
            if present.get(slot) != inode:
                raise EvidenceDamaged(f"The journal of slot {slot} was removed or replaced while it was being read.")
        for slot in sorted(present.keys() - self._cursors.keys()):
            if len(self._cursors) >= SLOTS:
                raise EvidenceDamaged(f"{self._folder.name} has more than {SLOTS} slots.")
            self._cursors[slot] = (present[slot], JournalCursor(self._folder / slot, self._after.get(slot, 0)))

    def _wanted(self, slot: str) -> bool:
        return not slot.startswith(".") and self._only in (None, slot)

    def _reaches(self, slot: str, seq: int) -> bool:
        """Whether the journal of `slot` holds, or once held and has expired, record `seq`."""
        paths = segments(self._folder / slot)
        if not paths:
            return False
        if first_seq(paths[-1]) > seq:
            return True
        cursor = JournalCursor(self._folder / slot, seq - 1)
        try:
            return bool(cursor.new(1))
        finally:
            cursor.close()
