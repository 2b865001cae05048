"""Who the keys of a count belong to: a number for each shopper, the same whichever host they spoke with."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from firedoor.core.evidence.subjects import CELL_BYTES, NOBODY, decode_cell
from firedoor.core.incident import counting
from firedoor.core.incident.counting import Ints
from firedoor.errors import EvidenceDamaged
from firedoor.store.cells import cell_files
from firedoor.store.index_affected import ERASED, Part


class People:
    """`kinds` says of each number what is known of that person, as `counting` names it.

    `own` is this host's part: its journals may name keys that are not in it yet (`keys`), whose cells lie in
    `subjects`, and tell that some were `erased`. An erased or lost key is a person of its own.
    """

    def __init__(
        self, parts: list[Part], own: Part | None, keys: Collection[str], erased: Collection[str], subjects: Path
    ) -> None:
        self._parts = parts
        self._names: npt.NDArray[np.bytes_] | None = None
        self._numbers: dict[str, Ints] = {}
        self._new: dict[str, int] = {}
        self._late: dict[str, int] = {}
        self._count = 0
        self._others: list[int] = []
        self._number(parts)
        self._known = {part.host: part.keys({*keys, *(erased if part is own else ())}) for part in parts}
        if own is not None:
            self._forget(own, erased)
            self._learn(own, set(keys) - self._known[own.host].keys(), erased, subjects)

    @property
    def kinds(self) -> npt.NDArray[np.uint8]:
        """Of every person."""
        known = np.full(self._count, counting.KNOWN, np.uint8)
        return np.concatenate([known, np.array(self._others, np.uint8)])

    def numbers(self, part: Part) -> Ints:
        """The person of each key of `part`, by the key's number there; `NOBODY` for 0."""
        return self._numbers[part.host]

    def of(self, part: Part, key: str | None) -> int:
        """The person of the key with this id, `NOBODY` for none."""
        if key is None:
            return counting.NOBODY
        number = self._known[part.host].get(key)
        return self._late[key] if number is None else int(self._numbers[part.host][number])

    def pseudonyms(self) -> Iterator[tuple[str, int]]:
        """The look-up pseudonyms of the known persons, with their numbers; one may come several times."""
        kinds = self.kinds
        for part in self._parts:
            numbers = self._numbers[part.host]
            for key, lookup in part.pseudonyms():
                if kinds[numbers[key]] == counting.KNOWN:
                    yield lookup, int(numbers[key])
        yield from self._new.items()

    def _number(self, parts: list[Part]) -> None:
        """A subject's number is that of their first key, or, where there are several parts, their pseudonym's rank."""
        subjects = [part.people() for part in parts]
        if len(parts) == 1:
            self._count = len(subjects[0])
            self._numbers[parts[0].host] = subjects[0].copy()
        else:
            found = [part.lookups() for part in parts]
            self._names = np.unique(np.concatenate([lookups for _, lookups in found]))
            self._count = len(self._names)
            for part, every, (known, lookups) in zip(parts, subjects, found, strict=True):
                numbers = np.full(len(every), counting.NOBODY, np.int64)
                numbers[known] = np.searchsorted(self._names, lookups)
                self._numbers[part.host] = numbers
        for part, every in zip(parts, subjects, strict=True):
            numbers = self._numbers[part.host]
            numbers[0] = counting.NOBODY
            for key in np.flatnonzero(every < 0).tolist():
                numbers[key] = self._another(counting.ERASED if every[key] == ERASED else counting.UNKNOWN)

    def _forget(self, own: Part, erased: Collection[str]) -> None:
        """Keys that were destroyed since the index was written."""
        for key in erased:
            number = self._known[own.host].get(key)
            if number is not None:
                self._numbers[own.host][number] = self._another(counting.ERASED)

    def _learn(self, own: Part, keys: set[str], erased: Collection[str], subjects: Path) -> None:
        """Keys that the index does not know yet: their cells were durable before they were used."""
        cells = _new_cells(subjects, own.cells_read(), keys - set(erased)) if keys else {}
        known = self._ranks(own, set(cells.values()))
        for key in sorted(keys):
            if key in erased:
                self._late[key] = self._another(counting.ERASED)
            elif (lookup := cells.get(key)) is None:
                self._late[key] = self._another(counting.UNKNOWN)
            else:
                if lookup not in self._new:
                    self._new[lookup] = known[lookup] if lookup in known else self._another(counting.KNOWN)
                self._late[key] = self._new[lookup]

    def _ranks(self, own: Part, lookups: set[str]) -> dict[str, int]:
        """The numbers of those of these shoppers who are known already."""
        if self._names is None:
            return own.subjects_of(lookups)
        names = np.array(sorted(lookups), self._names.dtype)
        ranks = np.searchsorted(self._names, names)
        return {
            name.decode(): int(rank)
            for name, rank in zip(names.tolist(), ranks, strict=True)
            if rank < self._count and self._names[rank] == name
        }

    def _another(self, kind: int) -> int:
        self._others.append(kind)
        return self._count + len(self._others) - 1


def _new_cells(subjects: Path, read: dict[str, tuple[int, int]], wanted: set[str]) -> dict[str, str]:
    """Of the keys `wanted` the look-up pseudonyms, from the cells behind those that were read. Raises OSError."""
    found: dict[str, str] = {}
    for epoch, path in cell_files(subjects):
        if not wanted - found.keys():
            break
        try:
            with path.open("rb") as file:
                inode, cells = read.get(f"{epoch}/{path.name}", (0, 0))
                file.seek(cells * CELL_BYTES if os.fstat(file.fileno()).st_ino == inode else 0)
                data = file.read()
        except FileNotFoundError:
            continue  # its epoch ended meanwhile: the living cells are in the next one
        for start in range(0, len(data) - CELL_BYTES + 1, CELL_BYTES):
            try:
                cell = decode_cell(data[start : start + CELL_BYTES])
            except EvidenceDamaged:
                continue
            if cell is not None and cell.key in wanted and cell.lookup != NOBODY:
                found[cell.key] = cell.lookup
    return found
