"""Signatures of webhooks, after Standard Webhooks 1.0 (https://www.standardwebhooks.com): both ways the same. Pure.

Headers ``webhook-id``, ``webhook-timestamp`` (Unix seconds) and ``webhook-signature``: ``v1,`` and the base64 of
HMAC-SHA-256 over ``ID.TIMESTAMP.BODY``, several with a space between. Libraries for it exist in most languages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final, Literal

TOLERANCE: Final = 300
"""Seconds a timestamp may be off, either way: well-kept clocks differ by less, and nothing is replayed later."""
SECRETS: Final = 4
"""Secrets of one system: the one in use, the one before while it is exchanged, and room."""
SIGNATURES: Final = 8
"""Signatures looked at: as many secrets as the other side may have in use."""
PREFIX: Final = "whsec_"
SECRET_BYTES: Final = range(24, 65)
"""Length of a secret in bytes, as the standard has it."""

_ID: Final = re.compile(r"[!-\-/-~]{1,256}", re.ASCII)
"""Printable, without spaces and full stops: what is signed has one reading."""
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """The secrets of a secret file: ``whsec_`` and base64, with spaces between; the first is the one in use.

    Raises ValueError. All of them sign and all are accepted, so that a secret can be exchanged without a gap.
    """
    words = text.split()
    if not 1 <= len(words) <= SECRETS:
        raise ValueError(f"a secret file has 1 to {SECRETS} secrets")
    return tuple(_secret(word) for word in words)


def sign(secrets: Sequence[bytes], id_: str, at: int, body: bytes) -> str:
    """The header ``webhook-signature`` of a message sent `at` (Unix seconds): one signature for each secret."""
    return " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in _macs(secrets, id_, at, body))


def verify(
    secrets: Sequence[bytes], id_: str, timestamp: str, signature: str, body: bytes, now: float
) -> Literal["good", "bad", "old"]:
    """Whether one of `secrets` signed exactly this; ``old`` if so, but long ago or in the future. Constant in time."""
    if not _ID.fullmatch(id_) or not _SECONDS.fullmatch(timestamp):
        return "bad"
    given = [part.encode() for part in signature.split(" ")[:SIGNATURES]]
    good = False
    for mac in _macs(secrets, id_, int(timestamp), body):
        expected = b"v1," + base64.b64encode(mac)
        for one in given:
            good |= hmac.compare_digest(expected, one)
    if not good:
        return "bad"
    return "good" if abs(now - int(timestamp)) <= TOLERANCE else "old"


def _macs(secrets: Sequence[bytes], id_: str, at: int, body: bytes) -> list[bytes]:
    return [hmac.digest(secret, f"{id_}.{at}.".encode() + body, hashlib.sha256) for secret in secrets]


def _secret(word: str) -> bytes:
    try:
        if not word.startswith(PREFIX):
            raise ValueError("no prefix")
        secret = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        raise ValueError(f"a secret is {PREFIX} and base64") from None
    if len(secret) not in SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES.start} to {SECRET_BYTES.stop - 1} bytes")
    return secret
