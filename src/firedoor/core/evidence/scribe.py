"""Writes the leaves of one slot: sequence numbers, chain, sealed bodies. Pure; the caller brings the random bytes."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

from firedoor.core.evidence.chain import OpenExchanges
from firedoor.core.evidence.frames import encode_frame
from firedoor.core.evidence.leaf import CARRIED, KEY, VERSION, Body, Leaf, encode, plain_facts
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.evidence.seal import BodyKey, EvidenceSeal

CARRIED_PER_LEAF = 500
"""Exchange ids in one `carried` leaf: 500 ids of at most 120 bytes fit into a leaf."""

_EXCHANGE = re.compile(r"[A-Za-z0-9_.:-]{0,120}\Z")


class Written(NamedTuple):
    """A record as bytes of the journal, and its sequence number."""

    seq: int
    frame: bytes


class Scribe:
    """The one writer of a slot. What it returns must reach the disk in the order returned, or not at all."""

    __slots__ = ("_key", "_prev", "open", "seal", "seq", "slot")

    def __init__(self, seal: EvidenceSeal, slot: str, seq: int, prev: str, open_: OpenExchanges) -> None:
        self.seal = seal
        self.slot = slot
        self.seq = seq
        self.open = open_
        self._prev = prev
        self._key: BodyKey | None = None

    def new_key(self, at: int, random: bytes, *, carry: bool) -> list[Written]:
        """Change to a fresh data key; `random` is 64 random bytes. With `carry`, name the open exchanges after it.

        A segment begins with what `carry` gives, so that recovery needs to read no segment but the newest.
        """
        data_key = random[:32]
        wrapped = self.seal.wrap(data_key, random[32:64], self.slot)
        ids = self.open.ids() if carry else []
        parts = [ids[i : i + CARRIED_PER_LEAF] for i in range(0, len(ids), CARRIED_PER_LEAF)]
        self._key = BodyKey(self.seal.region, self.slot, wrapped, data_key)
        head = self._write(KEY, "", at, {"carried": len(parts)}, _sealed(wrapped, self._key.id))
        return [head, *(self._write(CARRIED, "", at, {"open": part}, _NO_BODY) for part in parts)]

    def write(self, record: Record) -> Written:
        """`record` as the next frame. Raises ValueError if it cannot be written; then nothing has changed."""
        key = self._key
        assert key is not None, "new_key() comes first"
        if not _EXCHANGE.match(record.exchange):
            raise ValueError("an exchange id is at most 120 letters, digits, '_', '.', ':' and '-'")
        body = _NO_BODY
        if record.body is not None:
            body = _sealed(key.seal(self.seq + 1, record.kind, record.exchange, record.body), key.id)
        written = self._write(record.kind, record.exchange, record.at, plain_facts(record.facts), body)
        self.open.see(record.kind, record.exchange)
        return written

    def _write(self, kind: str, exchange: str, at: int, facts: dict[str, Fact], sealed: _Sealed) -> Written:
        seq = self.seq + 1
        body, data = sealed
        leaf = encode(Leaf(VERSION, self.seal.region, self.slot, seq, self._prev, kind, exchange, at, facts, body))
        frame = encode_frame(leaf, data)
        self.seq = seq
        self._prev = sha256(leaf).hexdigest()
        return Written(seq, frame)


class _Sealed(NamedTuple):
    body: Body | None
    data: bytes


_NO_BODY = _Sealed(None, b"")


def _sealed(data: bytes, key: str) -> _Sealed:
    return _Sealed(Body(sha256(data).hexdigest(), key, len(data)), data)
