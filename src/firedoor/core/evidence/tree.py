"""The hash tree of a log: RFC 6962 hashes and proofs, and its tiles and entry bundles as C2SP tlog-tiles lays them out.

Pure. A node is named by its height above the leaves and its index at that height: node (h, i) is the root over the
leaves ``i * 2**h`` up to, not including, ``(i + 1) * 2**h``. A tile of level L holds up to 256 neighbouring nodes of
height 8 * L; a bundle holds the entries under one tile of level 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

from firedoor.errors import EvidenceDamaged

HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 256
"""Hashes of a full tile, entries of a full bundle."""
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
ENTRY_LIMIT: Final = 65_535
"""Bytes of one entry: a bundle writes its length in two bytes."""
SIZE_LIMIT: Final = 2**63
"""Entries of a tree stay below this, as in every checkpoint that common verifiers read."""
PROOF_LIMIT: Final = 64
"""Hashes in a proof: a tree below `SIZE_LIMIT` needs no more."""

EMPTY_ROOT: Final = sha256(b"").digest()
"""Root of the tree without leaves (RFC 6962, 2.1)."""

Node = Callable[[int, int], bytes]
"""Gives the hash of node (height, index), asked only for nodes whose leaves are all in the tree."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of an entry (RFC 6962, 2.1)."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 6962, 2.1)."""
    return sha256(b"\1" + left + right).digest()


def parents(hashes: bytes) -> bytes:
    """The row above `hashes` (an even number of hashes, side by side)."""
    return b"".join(
        [sha256(b"\1" + hashes[i : i + 2 * HASH_BYTES]).digest() for i in range(0, len(hashes), 2 * HASH_BYTES)]
    )


def perfect_root(hashes: bytes) -> bytes:
    """The root over `hashes`, side by side, of which there are a power of two."""
    while len(hashes) > HASH_BYTES:
        hashes = parents(hashes)
    return hashes


class Frontier:
    """A tree that only grows, kept as the roots of its perfect subtrees: what appending and the root need."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """`peaks` as the property of that name gave them at `size`. Raises ValueError if they do not fit each other."""
        if not 0 <= size < SIZE_LIMIT or len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves does not have {len(peaks)} perfect subtrees")
        self.size = size
        self._peaks = list(peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, largest first: one for each set bit of `size`."""
        return tuple(self._peaks)

    def append(self, hash_: bytes, height: int = 0) -> None:
        """Append a leaf hash, or the root of a perfect subtree of ``2**height`` leaves.

        Raises ValueError if a subtree of that height cannot stand at this place.
        """
        above, rest = self.size >> height, self.size & ((1 << height) - 1)
        if rest:
            raise ValueError(f"no subtree of height {height} begins at leaf {self.size}")
        while above & 1:
            hash_ = sha256(b"\1" + self._peaks.pop() + hash_).digest()
            above >>= 1
        self._peaks.append(hash_)
        self.size += 1 << height

    def extend(self, hashes: Iterable[bytes]) -> None:
        """Append leaf hashes."""
        peaks, size = self._peaks, self.size
        for hash_ in hashes:
            above = size
            while above & 1:
                hash_ = sha256(b"\1" + peaks.pop() + hash_).digest()  # noqa: PLW2901  the node grows as it moves up
                above >>= 1
            peaks.append(hash_)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


# Proofs


def tree_root(size: int, node: Node) -> bytes:
    """Root of the tree of the first `size` leaves."""
    return _range_root(0, size, node)


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Audit path of leaf `index` in the tree of `size` leaves (RFC 6962, 2.1.1). Raises ValueError."""
    if not 0 <= index < size < SIZE_LIMIT:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_root(middle, end, node))
            end = middle
        else:
            proof.append(_range_root(start, middle, node))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, size: int, node: Node) -> list[bytes]:
    """Proof that the tree of `size` leaves begins with the tree of `old` (RFC 6962, 2.1.2); empty for 0 and for `size`.

    Raises ValueError.
    """
    if not 0 <= old <= size < SIZE_LIMIT:
        raise ValueError(f"a tree of {size} leaves cannot follow one of {old}")
    if old in (0, size):
        return []
    proof: list[bytes] = []
    start, end = 0, size
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_root(middle, end, node))
            end = middle
        else:
            proof.append(_range_root(start, middle, node))
            start = middle
    if start:
        proof.append(_range_root(start, end, node))
    return proof[::-1]


def verify_inclusion(index: int, size: int, leaf_hash: bytes, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that `leaf_hash` is leaf `index` of the tree (RFC 9162, 2.1.3.2). Raises `EvidenceDamaged`."""
    if not 0 <= index < size < SIZE_LIMIT:
        raise EvidenceDamaged(f"There is no entry {index} in a log of {size}.")
    _check_hashes(proof)
    place, last, computed = index, size - 1, leaf_hash
    for step in proof:
        if last == 0:
            raise EvidenceDamaged(f"The inclusion proof of entry {index} is too long.")
        if place & 1 or place == last:
            computed = node_hash(step, computed)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            computed = node_hash(computed, step)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise EvidenceDamaged(f"The inclusion proof of entry {index} is too short.")
    if computed != root:
        raise EvidenceDamaged(f"Entry {index} is not in the log: its proof leads to another root.")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that one tree begins with the other (RFC 9162, 2.1.4.2). Raises `EvidenceDamaged`."""
    if not 0 <= old_size <= size < SIZE_LIMIT:
        raise EvidenceDamaged(f"A log of {size} entries cannot follow one of {old_size}.")
    _check_hashes(proof)
    if old_size in (0, size):
        if proof:
            raise EvidenceDamaged("The consistency proof is too long.")
        if old_root != (root if old_size else EMPTY_ROOT):
            raise EvidenceDamaged(f"Two trees of {old_size} entries have different roots.")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise EvidenceDamaged("The consistency proof is too short.")
    place, last = old_size - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old, new = path[0], path[0]
    for step in path[1:]:
        if last == 0:
            raise EvidenceDamaged("The consistency proof is too long.")
        if place & 1 or place == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, step)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise EvidenceDamaged("The consistency proof is too short.")
    if old != old_root or new != root:
        raise EvidenceDamaged(
            f"The log of {size} entries does not begin with the log of {old_size}: one was rewritten."
        )


def _check_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > PROOF_LIMIT:
        raise EvidenceDamaged(f"A proof has at most {PROOF_LIMIT} hashes.")
    if any(len(step) != HASH_BYTES for step in proof):
        raise EvidenceDamaged("A proof holds something that is not a hash.")


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_root(start: int, end: int, node: Node) -> bytes:
    """Root over leaves `start` to `end` (excluded), a subtree as RFC 6962 splits them."""
    frontier = Frontier()
    while start < end:
        height = (end - start).bit_length() - 1
        frontier.append(node(height, start >> height), height)
        start += 1 << height
    return frontier.root()


# Tiles


def tile_width(level: int, index: int, size: int) -> int:
    """How many hashes tile `index` of `level` has in a tree of `size` leaves; 0 if it does not exist."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path of a hash tile below the log's folder: ``tile/0/x001/234.p/5``."""
    return f"tile/{level}/{_tile_name(index, width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Path of an entry bundle below the log's folder: ``tile/entries/x001/234.p/5``."""
    return f"tile/entries/{_tile_name(index, width)}"


def _tile_name(index: int, width: int) -> str:
    if index < 0 or not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"there is no tile {index} of width {width}")
    high, low = divmod(index, 1000)
    name = f"{low:03d}"
    while high:
        high, low = divmod(high, 1000)
        name = f"x{low:03d}/{name}"
    return name if width == TILE_WIDTH else f"{name}.p/{width}"


def edge_root(rows: Sequence[bytes]) -> bytes:
    """Root of the tree whose partial tiles are `rows`: hashes side by side, one row for each level from 0 on."""
    frontier = Frontier()
    for level in range(len(rows) - 1, -1, -1):
        for start in range(0, len(rows[level]), HASH_BYTES):
            frontier.append(rows[level][start : start + HASH_BYTES], TILE_HEIGHT * level)
    return frontier.root()


def levels(size: int) -> int:
    """How many levels of tiles a tree of `size` leaves has."""
    return (size.bit_length() + TILE_HEIGHT - 1) // TILE_HEIGHT


def tile_nodes(tile: Callable[[int, int], bytes]) -> Node:
    """Nodes out of tiles, for the proofs. `tile` (level, index) gives a tile's hashes, partial or full, side by side.

    The function made raises `EvidenceDamaged` for a node that its tile does not hold.
    """

    def node(height: int, index: int) -> bytes:
        level, inside = divmod(height, TILE_HEIGHT)
        first = index << inside
        start = first % TILE_WIDTH * HASH_BYTES
        hashes = tile(level, first // TILE_WIDTH)[start : start + (HASH_BYTES << inside)]
        if len(hashes) != HASH_BYTES << inside:
            raise EvidenceDamaged(f"{tile_path(level, first // TILE_WIDTH)} is too short.")
        return perfect_root(hashes)

    return node


# Entry bundles


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle holds them: each behind its length in two bytes, big-endian. Raises ValueError."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > ENTRY_LIMIT:
            raise ValueError(f"an entry of {len(entry)} bytes is over {ENTRY_LIMIT}")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def decode_bundle(data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises `EvidenceDamaged` if bytes are missing or there are more than a bundle holds."""
    entries: list[bytes] = []
    position, length = 0, len(data)
    while position < length:
        start = position + 2
        position = start + int.from_bytes(data[position:start], "big")
        if position > length or start > length or len(entries) == TILE_WIDTH:
            raise EvidenceDamaged("A bundle does not hold whole entries, or too many.")
        entries.append(data[start:position])
    return entries
