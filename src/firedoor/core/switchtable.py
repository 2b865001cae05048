"""A switch table on its way: signed by the region's control, with proof of every opening. Pure.

The bytes are a line that says what this is, the id of the key, the signature (base64), an empty line, and JSON::

    firedoor/table/1
    3f7a…  (16 hex digits: the beginning of the SHA-256 of the public key)
    m4zX…  (Ed25519, RFC 8032, over everything from the next line on, behind the domain)

    {"table": …, "beat": 17, "opened": […], "echo": {"host-2": 391}}

The whole table is said anew with every beat, whether it changed or not: whoever missed one needs nothing but the next.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from firedoor.core.people import Signed
from firedoor.core.switches import Table
from firedoor.errors import TableRefused

HEAD: Final = b"firedoor/table/1\n"
DOMAIN: Final = b"firedoor/table/1\0"
MESSAGE_LIMIT: Final = 192 * 1024
"""Bytes: a full table is under 64 KiB, 32 openings with two signatures each under 64 KiB; a datagram takes 200 kB."""
OPENINGS: Final = 32
"""Newest openings that a table proves. A host that missed more of them keeps those doors shut, and says so."""


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """One beat of a region's control. `beat` counts from 0 in each version.

    `opened` are the newest openings, each signed by two persons. `echo` is, per host, the count of the newest message
    that control had of it: so a host knows how long ago at least this table was made, whatever clocks say.
    """

    table: Table
    beat: int
    opened: tuple[Signed, ...] = ()
    echo: dict[str, int] = {}


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Said)


def key_id(public: bytes) -> str:
    """What a public key (32 bytes) is called in tables and records."""
    return hashlib.sha256(public).hexdigest()[:16]


def seal(said: Said, sign: Callable[[bytes], bytes], key: str) -> bytes:
    """The signed bytes; `sign` gives an Ed25519 signature of the key whose id is `key`. Raises `TableRefused`."""
    payload = _encoder.encode(said)
    if len(payload) + 256 > MESSAGE_LIMIT:
        raise TableRefused("too_large", f"The switch table would take more than {MESSAGE_LIMIT} bytes.")
    return HEAD + key.encode() + b"\n" + base64.b64encode(sign(DOMAIN + payload)) + b"\n\n" + payload


def unseal(data: bytes, keys: Mapping[str, bytes]) -> Said:
    """What is said in `data`, if one of `keys` (public keys by id) signed it. Raises `TableRefused`."""
    payload = payload_of(data, HEAD, DOMAIN, keys)
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise TableRefused("malformed", "A signed switch table is not of the form it must have.") from None


def unproven(data: bytes) -> Said | None:
    """What `data` says, whoever signed it; None if it is no table. For what it shuts: that needs no proof."""
    try:
        return _decoder.decode(data.partition(b"\n\n")[2]) if data.startswith(HEAD) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def payload_of(data: bytes, head: bytes, domain: bytes, keys: Mapping[str, bytes]) -> bytes:
    """The signed part of a message with this head. Raises `TableRefused`: nothing of it is read before it is proven."""
    if len(data) > MESSAGE_LIMIT or not data.startswith(head):
        raise TableRefused("malformed", "This is no switch table.")
    lines, empty, payload = data[len(head) :].partition(b"\n\n")
    key, _, signature = lines.partition(b"\n")
    if not empty or len(lines) > 200:
        raise TableRefused("malformed", "A switch table has no signature.")
    public = keys.get(key.decode("ascii", "replace"))
    if public is None:
        raise TableRefused("unknown_signer", "A switch table is signed with a key that is not known, or not any more.")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature, validate=True), domain + payload)
    except (InvalidSignature, binascii.Error, ValueError):
        raise TableRefused("bad_signature", "The signature of a switch table does not fit it.") from None
    return payload
