"""What a host of a region says to the region's control: that it lives, what it shows, what its workers found. Pure.

One message type, said with every beat and at once when something happened, authenticated with a key that only processes
of this region have (HMAC-SHA-256). It asks for nothing but shutting, so whoever plays one again opens nothing.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from firedoor.core.patterns import END
from firedoor.core.plan.words import Name
from firedoor.core.switches import MAX_SWITCHES, Switch
from firedoor.errors import TableRefused

HEAD: Final = b"firedoor/host/1\n"
MESSAGE_LIMIT: Final = 96 * 1024
"""Bytes: 96 switches of the longest names are under 64 KiB, 32 reports under 16 KiB."""
REPORTS: Final = 32
"""Findings in one message; the others come with the next, after these were absorbed."""
SLOTS: Final = 64
"""Slots whose new journals one message names; the others come with the next."""
_TAG: Final = 64

Count = Annotated[int, Meta(ge=0, le=1 << 62)]
Version = Annotated[int, Meta(ge=-1, le=1 << 53)]
Slot = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.-]{0,62}" + END, description="as in `core.evidence.leaf`")]

NO_AGE: Final = 1 << 62
"""`age_ms` of a host to which no table came that one of its own messages led to."""


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """A confirmed leak: record `seq` of journal slot `slot` of the host, the scope it was found in, the exchange."""

    slot: Slot
    seq: Count
    scope: Annotated[str, Meta(max_length=300)]
    exchange: Annotated[str, Meta(max_length=64)]


class HostSaid(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One message of a host. `count` grows with each, also over restarts, by an amount nobody can guess; control
    echoes the newest.

    `ask` wants the table now: the host has just come, or come back. `version` and `beat` are of the table it shows, -1
    before the first; `age_ms` how old that is. `refused` is the code why it takes no newer one, empty if it does.
    `workers` are its gateway workers that live. `latched` says that its SHUT file is or was there. `kept` are switches
    that it keeps shut without control's knowing: all that is shut here, if it refuses control's table as ``older`` or
    ``split``. `begun` are journal slots in which another journal begins now: what control absorbed of the old one
    counts no more. Nothing is reported from them before control has forgotten that.
    """

    region: Name
    host: Name
    count: Count
    ask: bool = False
    version: Version = -1
    beat: Version = -1
    global_version: Version = -1
    age_ms: Count = 0
    refused: Annotated[str, Meta(max_length=40)] = ""
    workers: Annotated[int, Meta(ge=0, le=4096)] = 0
    latched: bool = False
    reports: Annotated[tuple[Report, ...], Meta(max_length=REPORTS)] = ()
    kept: Annotated[tuple[Switch, ...], Meta(max_length=MAX_SWITCHES)] = ()
    begun: Annotated[tuple[Slot, ...], Meta(max_length=SLOTS)] = ()


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(HostSaid)


def seal(said: HostSaid, key: bytes) -> bytes:
    """The bytes of a message, authenticated with the region's `key` (32 bytes)."""
    payload = _encoder.encode(said)
    return HEAD + hmac.digest(key, HEAD + payload, "sha256").hex().encode() + b"\n" + payload


def unseal(data: bytes, key: bytes) -> HostSaid:
    """The message in `data`. Raises `TableRefused` if it was not made with `key`, or is not whole."""
    start = len(HEAD) + _TAG + 1
    if len(data) > MESSAGE_LIMIT or not data.startswith(HEAD) or data[start - 1 : start] != b"\n":
        raise TableRefused("malformed", "This is no message of a host.")
    tag, payload = data[len(HEAD) : start - 1], data[start:]
    if not hmac.compare_digest(tag, hmac.digest(key, HEAD + payload, "sha256").hex().encode()):
        raise TableRefused("bad_signature", "A message of a host was made without the region's key.")
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise TableRefused("malformed", "A message of a host is not of the form it must have.") from None
