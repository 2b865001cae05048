"""The leaf of a record: the small public part that is chained, hashed and kept for as long as the log. Pure.

A leaf is one line of JSON with sorted keys and no spaces. What it may hold is limited so that there is one way to write
it: keys and codes are text, floats are finite and have at most four decimals. Its SHA-256 stands in the next leaf as
`prev`; the sealed body lies beside it and is bound by its own SHA-256. Deleting a body therefore changes no leaf.
"""

from __future__ import annotations

import math
import re

import msgspec
from msgspec import Struct

from firedoor.core.evidence.record import Fact
from firedoor.errors import EvidenceDamaged

VERSION = 1
GENESIS = "0" * 64
"""`prev` of the first leaf of a slot."""

LEAF_LIMIT = 65_535
"""Bytes of one leaf. An entry of a C2SP tlog-tiles bundle is at most this long, and leaves become such entries."""

KEY = "key"
"""Kind of the journal's own records: its body is the data key, sealed to the region, that seals the bodies after it."""

CARRIED = "carried"
"""Kind of the journal's own records at the head of a segment: exchanges that were open when the segment began."""

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}\Z")


class Body(Struct, frozen=True):
    """What a leaf says about the sealed body beside it: its SHA-256 (hex), the id of the key, its length in bytes."""

    sha256: str
    key: str
    length: int


class Leaf(Struct, frozen=True, forbid_unknown_fields=True):
    """One record as it stands in the log. `at` is Unix nanoseconds, `prev` the SHA-256 (hex) of the leaf before it."""

    v: int
    region: str
    slot: str
    seq: int
    prev: str
    kind: str
    exchange: str
    at: int
    facts: dict[str, Fact]
    body: Body | None


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Leaf)


def encode(leaf: Leaf) -> bytes:
    """The canonical bytes of `leaf`. Raises ValueError for facts that cannot be written in one way, or too many."""
    data = _encoder.encode(leaf)
    if len(data) > LEAF_LIMIT:
        raise ValueError(f"a leaf of {len(data)} bytes is over {LEAF_LIMIT}: facts are codes, ids and counts, not text")
    return data


def decode(data: bytes) -> Leaf:
    """Raises `EvidenceDamaged` if these are not the bytes of a leaf of this version."""
    try:
        leaf = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise EvidenceDamaged("A leaf is not JSON of the expected shape.") from error
    if leaf.v != VERSION:
        raise EvidenceDamaged(f"A leaf has version {leaf.v}; this release reads version {VERSION}.")
    return leaf


def carried_after(leaf: Leaf) -> int:
    """How many `carried` records belong to this key record. Raises `EvidenceDamaged` if it does not say."""
    carried = leaf.facts.get("carried")
    if leaf.kind != KEY or not isinstance(carried, int):
        raise EvidenceDamaged(f"Record {leaf.seq} is not a key record.")
    return carried


def plain_facts(facts: dict[str, Fact]) -> dict[str, Fact]:
    """`facts` with floats rounded to four decimals and whole ones as integers. Raises ValueError if one is not finite.

    RFC 8785 writes numbers as ECMAScript does; within these limits that is also how every other JSON writer does it.
    """
    changed: dict[str, Fact] = {}
    for name, value in facts.items():
        if type(value) is float:
            changed[name] = _plain_float(name, value)
    return {**facts, **changed} if changed else facts


def _plain_float(name: str, value: float) -> Fact:
    if not math.isfinite(value) or abs(value) >= 1e15:
        raise ValueError(f"fact {name!r} is not a finite number below 1e15")
    rounded = round(value, 4)
    return int(rounded) if rounded.is_integer() else rounded


def check_name(what: str, value: str) -> str:
    """Region and slot names go into file names and authenticated data. Raises ValueError for any other text."""
    if not _NAME.match(value):
        raise ValueError(f"{what} must be lower-case letters, digits, '.', '-' and '_', at most 63: {value!r}")
    return value
