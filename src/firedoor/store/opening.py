"""Opening sealed bodies: from a leaf to its key's cell, from the cell to the key, from the key to the body."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.subjects import EpochPrivate, SubjectKey
from firedoor.errors import EvidenceDamaged
from firedoor.store.bodies import BodyReader
from firedoor.store.cells import find_cell


class EpochKeys(Protocol):
    """The private halves of a region's epochs, as its opened key ring has them."""

    def epoch_private(self, number: int) -> EpochPrivate:
        """Raises `KeyUnusable` if the epoch was destroyed or never was."""
        ...


class BodyOpener:
    """Opens the bodies of a region. It remembers the keys it met; let go of it soon."""

    def __init__(self, bodies: Path, subjects: Path, ring: EpochKeys) -> None:
        self._reader = BodyReader(bodies)
        self._subjects = subjects
        self._ring = ring
        self._epochs: dict[int, EpochPrivate] = {}
        self._keys: dict[str, SubjectKey] = {}

    def open(self, leaf: Leaf) -> bytes:
        """The body of `leaf` in clear. Raises `EvidenceDamaged` if it is erased, expired, changed or never was."""
        return self.key(leaf).open(leaf, self._reader.read(leaf))

    def sealed(self, leaf: Leaf) -> tuple[bytes, bytes]:
        """The sealed body of `leaf` and the key that opens it alone. Raises as `open`."""
        sealed = self._reader.read(leaf)
        return sealed, self.key(leaf).record_key(sealed)

    def key(self, leaf: Leaf) -> SubjectKey:
        """The key of the subject of `leaf`. Raises `EvidenceDamaged` if it was erased, `KeyUnusable`."""
        if leaf.key is None:
            raise EvidenceDamaged(f"Record {leaf.seq} of slot {leaf.slot} has no key.")
        key = self._keys.get(leaf.key)
        if key is None:
            found = find_cell(self._subjects, leaf.key)
            if found is None:
                raise EvidenceDamaged(f"The key of record {leaf.seq} of slot {leaf.slot} was erased.")
            epoch, cell = found
            if epoch not in self._epochs:
                self._epochs[epoch] = self._ring.epoch_private(epoch)
            key = self._keys[leaf.key] = SubjectKey(cell.key, self._epochs[epoch].unwrap(cell), cell.lookup)
        return key

    def close(self) -> None:
        """Let go of files and keys."""
        self._reader.close()
        self._keys.clear()
        self._epochs.clear()
