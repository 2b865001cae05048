"""Names what is damaged in a published log, with nothing but its signed checkpoint to go by.

From below, every hash tile can be made again out of the bundles; from above, every full tile has a hash in the tile
over it, and the partial ones lead to the root. Where a stored tile and the one made from below differ, the hash above
says which of the two is right. Where it speaks for neither it may be wrong itself: then the one above it decides
whether what was made from below is right. Where nothing decides, both are named.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from msgspec import Struct

from firedoor.core.evidence.checkpoint import Checkpoint
from firedoor.core.evidence.tree import (
    HASH_BYTES,
    TILE_BYTES,
    TILE_WIDTH,
    edge_root,
    encode_bundle,
    entries_path,
    levels,
    perfect_root,
    tile_path,
    tile_width,
)
from firedoor.errors import EvidenceDamaged
from firedoor.store.tilelog_read import CHECKPOINT, leaf_hashes, read_bundle, read_tile


class Damage(Struct, frozen=True):
    """A file of a log (path below its folder) and what is wrong with it."""

    file: str
    problem: str


def check_tree(folder: Path, checkpoint: Checkpoint) -> list[Damage]:
    """All tiles and bundles against the checkpoint, which the caller has verified. Raises OSError."""
    return _Check(folder, checkpoint).run()


class _Edge(Struct):
    """A partial tile: as stored (None if it cannot be read) and as made from below."""

    stored: bytes | None = b""
    made: bytes | None = b""


class _Check:
    def __init__(self, folder: Path, checkpoint: Checkpoint) -> None:
        self._folder = folder
        self._size = checkpoint.size
        self._root = checkpoint.root
        self._found: dict[str, str] = {}
        self._suspects: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self._made_right: set[tuple[int, int]] = set()
        self._above: tuple[int, int, bytes | None] = (-1, -1, None)

    def run(self) -> list[Damage]:
        edges: list[_Edge] = []
        below = b""
        for level in range(levels(self._size)):
            below, edge = self._level(level, below)
            edges.append(edge)
        self._settle_edges(edges)
        self._settle_suspects()
        for level in range(levels(self._size)):
            self._check_older_partials(level)
        return [Damage(file, problem) for file, problem in self._found.items()]

    def _level(self, level: int, below: bytes) -> tuple[bytes, _Edge]:
        """Hashes of all full tiles of a level, made from the hashes `below` (level 0: from bundles), and its edge."""
        roots: list[bytes] = []
        count = self._size >> (8 * level)
        for index in range(count // TILE_WIDTH):
            stored = self._stored(level, index, TILE_WIDTH)
            made = self._made(level, index, TILE_WIDTH, below)
            if stored is not None and stored == made:
                roots.append(perfect_root(stored))
            else:
                roots.append(self._settle(level, index, stored, made))
        edge = _Edge()
        index, width = divmod(count, TILE_WIDTH)
        if width:
            edge = _Edge(self._stored(level, index, width), self._made(level, index, width, below))
        return b"".join(roots), edge

    def _stored(self, level: int, index: int, width: int) -> bytes | None:
        try:
            return read_tile(self._folder, level, index, width)
        except EvidenceDamaged as error:
            self._name(tile_path(level, index, width), error.message)
            return None

    def _made(self, level: int, index: int, width: int, below: bytes) -> bytes | None:
        if level:
            return below[index * TILE_BYTES : index * TILE_BYTES + width * HASH_BYTES]
        try:
            return leaf_hashes(read_bundle(self._folder, index, width))
        except EvidenceDamaged as error:
            self._name(entries_path(index, width), error.message)
            return None

    def _settle(self, level: int, index: int, stored: bytes | None, made: bytes | None) -> bytes:
        """The hash of a full tile whose two forms differ, after naming what is wrong."""
        above = self._hash_above(level, index)
        if made is not None and perfect_root(made) == above:
            self._blame_tile(level, index, TILE_WIDTH)
            self._made_right.add((level, index))
            return above
        if stored is not None and perfect_root(stored) == above:
            self._blame_below(level, index, stored, made)
            return above
        if stored is not None and made is not None:
            self._suspects[level, index] = stored, made
        known = made or stored
        return perfect_root(known) if known is not None else above or bytes(HASH_BYTES)

    def _settle_edges(self, edges: list[_Edge]) -> None:
        """Name the partial tiles that do not lead to the root, or what lies below them."""
        choices = [[e.stored, e.made] if e.stored != e.made else [e.stored] for e in edges]
        for chosen in product(*choices):
            rows = [row for row in chosen if row is not None]
            if len(rows) == len(edges) and edge_root(rows) == self._root:
                break
        else:
            chosen = ()
        if not chosen and edges and all(len(choice) == 1 for choice in choices) and not self._found:
            self._name(CHECKPOINT, "the tree does not lead to its root: one of the two was replaced")
        for level, edge in enumerate(edges):
            if edge.stored == edge.made:
                continue
            index, width = divmod(self._size >> (8 * level), TILE_WIDTH)
            if not chosen or chosen[level] != edge.stored:
                self._blame_tile(level, index, width)
            if chosen and chosen[level] == edge.made:
                self._made_right.add((level, index))
            if (not chosen or chosen[level] != edge.made) and edge.stored is not None:
                self._blame_below(level, index, edge.stored, edge.made)

    def _settle_suspects(self) -> None:
        """Tiles for which neither form led to the hash above, the highest first."""
        for (level, index), (stored, made) in sorted(self._suspects.items(), reverse=True):
            self._blame_tile(level, index, TILE_WIDTH)
            if (level + 1, index // TILE_WIDTH) in self._made_right:
                self._made_right.add((level, index))
            else:
                self._blame_below(level, index, stored, made)

    def _blame_tile(self, level: int, index: int, width: int) -> None:
        self._name(tile_path(level, index, width), "its hashes are not those of what lies below it")

    def _blame_below(self, level: int, index: int, stored: bytes, made: bytes | None) -> None:
        """The tile is right: name what is below it and led to other hashes (what could not be read has been named)."""
        if level == 0:
            if made is not None:
                width = len(stored) // HASH_BYTES
                self._name(entries_path(index, width), "it holds entries that are not in the log")
            return
        for place in range(0, len(stored), HASH_BYTES):
            if made is not None and stored[place : place + HASH_BYTES] != made[place : place + HASH_BYTES]:
                child = index * TILE_WIDTH + place // HASH_BYTES
                self._name(tile_path(level - 1, child), "it does not lead to the hash above it")
                if level == 1:
                    self._name(entries_path(child), "it holds entries that are not in the log")

    def _hash_above(self, level: int, index: int) -> bytes | None:
        """What the stored tile above says about a full tile; None if it cannot be read."""
        parent, place = divmod(index, TILE_WIDTH)
        if self._above[:2] != (level + 1, parent):
            width = tile_width(level + 1, parent, self._size)
            self._above = level + 1, parent, self._stored(level + 1, parent, width)
        hashes = self._above[2]
        return None if hashes is None else hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]

    def _check_older_partials(self, level: int) -> None:
        """Partial files of earlier checkpoints, while their full one is not there: each is a head of the newest."""
        index, width = divmod(self._size >> (8 * level), TILE_WIDTH)
        if not width:
            return
        newest = tile_path(level, index, width)
        if newest not in self._found:
            whole = read_tile(self._folder, level, index, width)
            self._check_heads(newest, [whole[i : i + HASH_BYTES] for i in range(0, len(whole), HASH_BYTES)])
        bundle = entries_path(index, width)
        if level == 0 and bundle not in self._found:
            entries = read_bundle(self._folder, index, width)
            self._check_heads(bundle, [encode_bundle([entry]) for entry in entries])

    def _check_heads(self, newest: str, parts: list[bytes]) -> None:
        name = newest.rpartition("/")[0]
        for path in sorted((self._folder / name).iterdir()):
            if path.name.isdecimal() and 0 < int(path.name) < len(parts):
                head = b"".join(parts[: int(path.name)])
                with path.open("rb") as file:
                    if file.read(len(head) + 1) != head:
                        self._name(f"{name}/{path.name}", "it is not the head of the newer one")

    def _name(self, file: str, problem: str) -> None:
        self._found.setdefault(file, problem)
