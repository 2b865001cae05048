"""Writes the leaves of one slot: sequence numbers, chain, places of bodies. Pure; the caller brings keys and nonces."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

from firedoor.core.evidence.chain import OpenExchanges
from firedoor.core.evidence.frames import encode_frame
from firedoor.core.evidence.leaf import (
    BEGIN,
    CARRIED,
    HOUR,
    VERSION,
    Body,
    Leaf,
    body_file,
    check_name,
    encode,
    plain_facts,
)
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.evidence.subjects import NOBODY, SubjectKey, context_of

CARRIED_PER_LEAF = 500
"""Exchange ids in one `carried` leaf: 500 ids of at most 120 bytes fit into a leaf."""
BODY_LIMIT = 32 * 1024 * 1024
"""Bytes of one sealed body. The largest request a plan may allow is 16 MiB; minimising may lengthen it."""

_EXCHANGE = re.compile(r"[A-Za-z0-9_.:-]{0,120}\Z")


class Placed(NamedTuple):
    """A sealed body, the file it belongs to (path below the bodies folder) and the offset there."""

    path: str
    offset: int
    data: bytes


class _File(NamedTuple):
    """The newest body file of a class: its hour, first record, path and length."""

    hour: int
    first: int
    path: str
    end: int


class Written(NamedTuple):
    """A record as bytes of the journal, its sequence number, and its sealed body if it has one."""

    seq: int
    frame: bytes
    body: Placed | None = None


class Scribe:
    """The one writer of a slot. What it returns must reach the disk in the order returned, or not at all."""

    __slots__ = ("_files", "_prev", "open", "region", "seq", "slot")

    def __init__(self, region: str, slot: str, seq: int, prev: str, open_: OpenExchanges) -> None:
        self.region = region
        self.slot = slot
        self.seq = seq
        self.open = open_
        self._prev = prev
        self._files: dict[str, _File] = {}

    def begin(self, at: int, *, carry: bool) -> list[Written]:
        """The head of a segment, or of a new process in one. With `carry`, name the open exchanges.

        A segment begins with what `carry` gives, so that recovery needs to read no segment but the newest.
        """
        ids = self.open.ids() if carry else []
        parts = [ids[i : i + CARRIED_PER_LEAF] for i in range(0, len(ids), CARRIED_PER_LEAF)]
        head = self._write(self._leaf(BEGIN, "", at // 1000, {"carried": len(parts)}))
        return [head, *(self._write(self._leaf(CARRIED, "", at // 1000, {"open": part})) for part in parts)]

    def write(self, record: Record, key: SubjectKey | None, nonce: bytes) -> Written:
        """`record` as the next frame. Raises ValueError if it cannot be written; then nothing has changed.

        `key` is needed for a body and for pseudonyms, `nonce` (24 fresh random bytes) for a body.
        """
        if not _EXCHANGE.match(record.exchange):
            raise ValueError("an exchange id is at most 120 letters, digits, '_', '.', ':' and '-'")
        at, facts = record.at // 1000, plain_facts(record.facts)
        if key is None:
            written = self._write(self._leaf(record.kind, record.exchange, at, facts))
        else:
            sealed, body = self._seal(record, key, nonce) if record.body is not None else (b"", None)
            session = None if record.session is None else key.session(record.session)
            leaf = self._leaf(record.kind, record.exchange, at, facts, key.id, key.subject, session, body)
            written = self._write(leaf, sealed)
        self.open.see(record.kind, record.exchange)
        return written

    def _seal(self, record: Record, key: SubjectKey, nonce: bytes) -> tuple[bytes, Body]:
        """The sealed body, and what the leaf says of it."""
        assert record.body is not None
        seq = self.seq + 1
        context = context_of(self.region, self.slot, seq, record.kind, record.exchange, key.id)
        sealed = key.seal(nonce, record.body, context)
        if len(sealed) > BODY_LIMIT:
            raise ValueError(f"a body of {len(sealed)} bytes is over {BODY_LIMIT}")
        file = self._files.get(record.retention)
        first, end = (file.first, file.end) if file and file.hour == record.at // 1000 // HOUR else (seq, 0)
        return sealed, Body(first, len(sealed), end, check_name("retention class", record.retention), _hash(sealed))

    def _leaf(
        self,
        kind: str,
        exchange: str,
        at: int,
        facts: dict[str, Fact],
        key: str | None = None,
        subject: str | None = None,
        session: str | None = None,
        body: Body | None = None,
    ) -> Leaf:
        seq = self.seq + 1
        return Leaf(
            VERSION, self.region, self.slot, seq, self._prev, kind, exchange, at, facts, key, subject, session, body
        )

    def _write(self, leaf: Leaf, sealed: bytes = b"") -> Written:
        data = encode(leaf)
        self.seq = leaf.seq
        self._prev = _hash(data)
        body, placed = leaf.body, None
        if body is not None:
            file = self._files.get(body.retention)
            path = file.path if file and file.first == body.file else body_file(self.slot, leaf.at, body)
            placed = Placed(path, body.offset, sealed)
            self._files[body.retention] = _File(leaf.at // HOUR, body.file, path, body.offset + body.length)
        return Written(leaf.seq, encode_frame(data), placed)


def needs_key(record: Record) -> str | None:
    """The look-up pseudonym of the subject whose key `record` needs, `NOBODY` if any key will do; None: no key."""
    if record.subject is not None:
        return record.subject
    return NOBODY if record.body is not None or record.session is not None else None


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
