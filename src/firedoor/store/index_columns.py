"""Exchanges as columns of numbers, and how a pack of them is written: narrow, and read without looking at each."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.errors import StateDamaged

Ints = npt.NDArray[np.int64]

VERSION: Final = 1
OPEN: Final = -1
"""The outcome of an exchange that has none yet."""
CALLED: Final = 2
RELEASED: Final = 1
"""Bits of `marks`: an intent is on record; characters were released."""

_CHECK: Final = struct.Struct("<BI")
_HEAD: Final = struct.Struct("<Iq")
_COLUMN: Final = struct.Struct("<qB")
_COUNT: Final = struct.Struct("<H")
_WIDTHS: Final = {0: "", 1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}


class Columns(NamedTuple):
    """Exchanges of one slot or of several, a number for each in every column, as the table has them.

    `seq` is that of the first record. `outcome` is `OPEN`, `key` 0 where the table has nothing; `labels` are those of
    request and answer together.
    """

    seq: Ints
    began: Ints
    last: Ints
    scope: Ints
    outcome: Ints
    credential: Ints
    key: Ints
    marks: Ints
    labels: Ints

    def only(self, which: npt.NDArray[np.bool_]) -> Columns:
        """Those of which `which` is true."""
        return self if which.all() else Columns(*(column[which] for column in self))


def joined(parts: Sequence[Columns]) -> Columns:
    """All of them (one at least), one behind the other."""
    return parts[0] if len(parts) == 1 else Columns(*map(np.concatenate, zip(*parts, strict=True)))


def pack(columns: Columns) -> bytes:
    """`columns`, in the order of `seq` and at most 65,535, as bytes: each less its least value, as wide as it needs.

    Of `seq` the steps are written, of `last` what it is later than `began`, of `labels` where in a list of them.
    """
    kinds, which = np.unique(columns.labels, return_inverse=True)
    narrow = columns._replace(
        seq=np.diff(columns.seq, prepend=columns.seq[:1]),
        last=columns.last - columns.began,
        labels=which.astype(np.int64),
    )
    first = int(columns.seq[0]) if len(which) else 0
    written = [_HEAD.pack(len(which), first), *map(_written, narrow)]
    data = b"".join([*written, _COUNT.pack(len(kinds)), kinds.astype("<i8").tobytes()])
    return _CHECK.pack(VERSION, zlib.crc32(data)) + data


def unpack(data: bytes) -> Columns:
    """What `pack` wrote. Raises `StateDamaged` for anything else."""
    try:
        version, check = _CHECK.unpack_from(data)
        if version != VERSION or zlib.crc32(data[_CHECK.size :]) != check:
            raise ValueError
        count, first = _HEAD.unpack_from(data, _CHECK.size)
        at = _CHECK.size + _HEAD.size
        found: list[Ints] = []
        for _ in Columns._fields:
            column, at = _read(data, at, count)
            found.append(column)
        (size,) = _COUNT.unpack_from(data, at)
        kinds = np.frombuffer(data, "<i8", size, at + _COUNT.size)
        narrow = Columns(*found)
        return narrow._replace(
            seq=np.cumsum(narrow.seq) + first,
            last=narrow.last + narrow.began,
            labels=kinds[narrow.labels].astype(np.int64),
        )
    except (struct.error, KeyError, IndexError, ValueError):
        raise StateDamaged(
            "A pack of the index is damaged.", remedy="Make it again: firedoor evidence search --rebuild."
        ) from None


def _written(column: Ints) -> bytes:
    least = int(column.min()) if len(column) else 0
    most = int(column.max()) - least if len(column) else 0
    width = next(width for width in _WIDTHS if most < 1 << 8 * width)
    values = (column - least).astype(_WIDTHS[width]).tobytes() if width else b""
    return _COLUMN.pack(least, width) + values


def _read(data: bytes, at: int, count: int) -> tuple[Ints, int]:
    least, width = _COLUMN.unpack_from(data, at)
    at += _COLUMN.size
    if not width:
        return np.full(count, least, np.int64), at
    values = np.frombuffer(data, _WIDTHS[width], count, at)
    return values.astype(np.int64) + least, at + width * count
