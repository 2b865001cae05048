"""The chain of one slot: what makes leaves follow each other, and which exchanges they leave open. Pure."""

from __future__ import annotations

from hashlib import sha256

from firedoor.core.evidence.leaf import CARRIED, GENESIS, Leaf
from firedoor.core.evidence.leaf import decode as decode_leaf
from firedoor.errors import EvidenceDamaged


class OpenExchanges:
    """Exchanges whose intent is recorded and whose outcome is not, oldest first."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> list[str]:
        """Oldest intent first."""
        return list(self._ids)

    def see(self, kind: str, exchange: str) -> None:
        """Take note of one record."""
        if kind == "intent":
            self._ids[exchange] = None
        elif kind == "outcome":
            self._ids.pop(exchange, None)

    def carry(self, leaf: Leaf) -> None:
        """Take over the ids of a `carried` record."""
        ids = leaf.facts.get("open")
        if leaf.kind == CARRIED and isinstance(ids, list):
            self._ids.update(dict.fromkeys(ids))


class Chain:
    """Checks that leaves follow one another: same region and slot, next sequence number, hash of the one before.

    With `seq` None the first leaf is taken as it comes (a segment read alone); its successors are checked.
    """

    __slots__ = ("prev", "region", "seq", "slot")

    def __init__(self, region: str, slot: str, seq: int | None = 0, prev: str = GENESIS) -> None:
        self.region = region
        self.slot = slot
        self.seq = seq
        self.prev = prev

    def follow(self, data: bytes) -> Leaf:
        """The leaf in `data`, checked against the one before. Raises `EvidenceDamaged`."""
        leaf = decode_leaf(data)
        if leaf.region != self.region or leaf.slot != self.slot:
            raise EvidenceDamaged(f"Record {leaf.seq} belongs to {leaf.region}/{leaf.slot}.")
        if self.seq is not None:
            if leaf.seq != self.seq + 1:
                raise EvidenceDamaged(f"Record {self.seq + 1} is missing: record {leaf.seq} stands in its place.")
            if leaf.prev != self.prev:
                raise EvidenceDamaged(f"Record {leaf.seq} does not follow from the record before it: one was changed.")
        self.seq = leaf.seq
        self.prev = sha256(data).hexdigest()
        return leaf
