"""Reading a published log: every byte it gives is checked against a checkpoint. Layout: C2SP tlog-tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from firedoor.core.evidence.checkpoint import Checkpoint
from firedoor.core.evidence.tree import (
    ENTRY_LIMIT,
    HASH_BYTES,
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    consistency_proof,
    decode_bundle,
    edge_root,
    entries_path,
    inclusion_proof,
    leaf_hash,
    levels,
    perfect_root,
    tile_nodes,
    tile_path,
    tile_width,
    tree_root,
)
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.store.files import read_bounded

CHECKPOINT: Final = "checkpoint"
COSIGNED: Final = "cosigned"
"""The newest checkpoint that came back from enough witnesses; it may be older than `CHECKPOINT`."""
ORIGIN: Final = "origin"
BUNDLE_LIMIT: Final = TILE_WIDTH * (2 + ENTRY_LIMIT)
CACHED_TILES: Final = 64
"""Full tiles kept while reading (512 KiB): enough for the path to any entry, and for reading on from there."""


def leaf_hashes(entries: Iterable[bytes]) -> bytes:
    """The hashes of entries, side by side."""
    return b"".join(map(leaf_hash, entries))


def read_tile(folder: Path, level: int, index: int, width: int) -> bytes:
    """A hash tile as it lies there. Raises `EvidenceDamaged` if it is missing or not as long as it must be."""
    name = tile_path(level, index, width)
    data = _read(folder, name, TILE_BYTES)
    if len(data) != width * HASH_BYTES:
        raise EvidenceDamaged(f"{name} has {len(data)} bytes instead of {width * HASH_BYTES}.")
    return data


def read_bundle(folder: Path, index: int, width: int) -> list[bytes]:
    """The entries of a bundle as it lies there. Raises `EvidenceDamaged` if it is missing or has not `width`."""
    name = entries_path(index, width)
    try:
        entries = decode_bundle(_read(folder, name, BUNDLE_LIMIT))
    except EvidenceDamaged as error:
        raise EvidenceDamaged(f"{name}: {error.message}") from error
    if len(entries) != width:
        raise EvidenceDamaged(f"{name} has {len(entries)} entries instead of {width}.")
    return entries


def _read(folder: Path, name: str, limit: int) -> bytes:
    try:
        return read_bounded(folder / name, limit)
    except FileNotFoundError as error:
        raise EvidenceDamaged(f"{name} is missing.") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise EvidenceDamaged(f"{name} is not a file.") from error
    except SetupError as error:
        raise EvidenceDamaged(f"{name} is longer than {limit} bytes.") from error


def read_rows(folder: Path, size: int) -> list[bytes]:
    """The partial tiles of a log of `size` entries, level 0 first. Raises `EvidenceDamaged`."""
    rows: list[bytes] = []
    for level in range(levels(size)):
        index, width = divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)
        rows.append(read_tile(folder, level, index, width) if width else b"")
    return rows


class LogReader:
    """The log in `folder` as `checkpoint` says it is, which the caller has verified.

    `rows` are its partial tiles. All methods raise `EvidenceDamaged` and name the file that does not verify; OSError if
    the disk does not give it.
    """

    def __init__(self, folder: Path, checkpoint: Checkpoint, rows: Sequence[bytes]) -> None:
        if edge_root(rows) != checkpoint.root:
            raise EvidenceDamaged("The partial hash tiles do not lead to the root in the checkpoint.")
        self.folder = folder
        self.size = checkpoint.size
        self.rows = rows
        self._tiles: dict[tuple[int, int], bytes] = {}

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of a tile, partial if the log ends in it."""
        width = tile_width(level, index, self.size)
        if width < TILE_WIDTH:
            return self.rows[level]
        known = self._tiles.pop((level, index), None)
        if known is None:
            known = read_tile(self.folder, level, index, width)
            if perfect_root(known) != self._hash_above(level, index):
                raise EvidenceDamaged(f"{tile_path(level, index)} does not lead to the hash above it.")
            if len(self._tiles) >= CACHED_TILES:
                self._tiles.pop(next(iter(self._tiles)))
        self._tiles[level, index] = known
        return known

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Entries `start` to `end` (excluded; None: the log's end), each checked, in bounded memory.

        Hash tiles of level 0 are not needed for full bundles: the entries come out even where such a tile is damaged.
        """
        end = self.size if end is None else end
        if not 0 <= start <= end <= self.size:
            raise EvidenceDamaged(f"The log has {self.size} entries: there are none from {start} to {end}.")
        while start < end:
            index, skip = divmod(start, TILE_WIDTH)
            bundle = self._bundle(index)[skip : skip + end - start]
            yield from bundle
            start += len(bundle)

    def root(self, size: int) -> bytes:
        """Root of the first `size` entries."""
        if not 0 <= size <= self.size:
            raise EvidenceDamaged(f"The log has {self.size} entries, not {size}.")
        return tree_root(size, tile_nodes(self.tile))

    def inclusion(self, index: int) -> list[bytes]:
        """Audit path of entry `index`."""
        return inclusion_proof(index, self.size, tile_nodes(self.tile))

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """Proof that the first `size` entries (None: all) begin with the first `old`."""
        size = self.size if size is None else size
        if not 0 <= old <= size <= self.size:
            raise EvidenceDamaged(f"The log has {self.size} entries: {size} cannot follow {old}.")
        return consistency_proof(old, size, tile_nodes(self.tile))

    def _hash_above(self, level: int, index: int) -> bytes:
        start = index % TILE_WIDTH * HASH_BYTES
        return self.tile(level + 1, index // TILE_WIDTH)[start : start + HASH_BYTES]

    def _bundle(self, index: int) -> list[bytes]:
        width = tile_width(0, index, self.size)
        entries = read_bundle(self.folder, index, width)
        hashes = leaf_hashes(entries)
        full = width == TILE_WIDTH
        if (perfect_root(hashes) != self._hash_above(0, index)) if full else (hashes != self.rows[0]):
            raise EvidenceDamaged(f"{entries_path(index, width)} holds entries that are not in the log.")
        return entries
