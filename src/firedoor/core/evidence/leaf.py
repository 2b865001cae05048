"""The leaf of a record: the small public part that is chained, hashed and kept for as long as the log. Pure.

A leaf is one line of JSON with sorted keys and no spaces. What it may hold is limited so that there is one way to write
it: keys and codes are text, floats are finite and have at most four decimals. Its SHA-256 stands in the next leaf as
`prev`; the sealed body lies beside it and is bound by its own SHA-256. Deleting a body therefore changes no leaf.
"""

from __future__ import annotations

import math
import re
from datetime import date

import msgspec
from msgspec import Struct

from firedoor.core.evidence.record import Fact
from firedoor.errors import EvidenceDamaged

VERSION = 2
GENESIS = "0" * 64
"""`prev` of the first leaf of a slot."""

LEAF_LIMIT = 65_535
"""Bytes of one leaf. An entry of a C2SP tlog-tiles bundle is at most this long, and leaves become such entries."""

BEGIN = "begin"
"""Kind of the journal's own first record of a segment: fact `carried` says how many `carried` records follow."""

CARRIED = "carried"
"""Kind of the journal's own records at the head of a segment: exchanges that were open when the segment began."""

HOUR = 3_600_000_000
"""Microseconds."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}\Z")


class Body(Struct, frozen=True, gc=False):
    """What a leaf says about the sealed body beside it: where it lies, its length in bytes and its SHA-256 (hex).

    The body is at `offset` of the file that `body_file` names: `retention` is its class, `file` the sequence number of
    the first record of that file.
    """

    file: int
    length: int
    offset: int
    retention: str
    sha256: str


class Leaf(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One record as it stands in the log. `prev` is the SHA-256 (hex) of the leaf before it.

    `at` is Unix microseconds: nanoseconds are above 2^53, which RFC 8785 cannot write.

    `key` is the id of the subject key that sealed the body and made the pseudonyms `subject` and `session`.
    """

    v: int
    region: str
    slot: str
    seq: int
    prev: str
    kind: str
    exchange: str
    at: int
    facts: dict[str, Fact]
    key: str | None = None
    subject: str | None = None
    session: str | None = None
    body: Body | None = None


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
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EvidenceDamaged("A leaf is not JSON of the expected shape.") from error
    if leaf.v != VERSION:
        raise EvidenceDamaged(f"A leaf has version {leaf.v}; this release reads version {VERSION}.")
    return leaf


def carried_after(leaf: Leaf) -> int:
    """How many `carried` records belong to this begin record. Raises `EvidenceDamaged` if it does not say."""
    carried = leaf.facts.get("carried")
    if leaf.kind != BEGIN or not isinstance(carried, int):
        raise EvidenceDamaged(f"Record {leaf.seq} does not begin a segment.")
    return carried


def body_file(slot: str, at: int, body: Body) -> str:
    """The path of a body's file below the region's bodies folder: class, hour (UTC), slot and first record."""
    return f"{body.retention}/{hour(at)}/{slot}.{body.file:020d}"


def hour(at: int) -> str:
    """The hour (UTC) of a moment in Unix microseconds, as body folders are named: ``2026-11-23T04``."""
    days, hours = divmod(at // HOUR, 24)
    return f"{date.fromordinal(_EPOCH_DAY + days).isoformat()}T{hours:02d}"


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
