"""Keys of NATS users (nkeys) and the files that hold them: Ed25519, written in base32 with a checksum. Pure.

A file of credentials holds the seed, and in front of it a JWT where the server knows its users by JWT::

    -----BEGIN NATS USER JWT-----
    eyJ0…
    ------END NATS USER JWT------
    -----BEGIN USER NKEY SEED-----
    SUAM…
    ------END USER NKEY SEED------

Source: the README of github.com/nats-io/nkeys, and "Decentralized JWT" in the NATS documentation.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from firedoor.errors import SetupError

FILE_LIMIT: Final = 16 * 1024
"""Bytes of a file of credentials: a JWT with permissions is about 1 kB."""
_SEED: Final = 18 << 3
_USER: Final = 20 << 3
_JWT_BLOCK: Final = re.compile(rb"BEGIN NATS USER JWT-+\s+([A-Za-z0-9_.-]+)\s+-+END NATS USER JWT")
_SEED_BLOCK: Final = re.compile(rb"BEGIN USER NKEY SEED-+\s+(SU[A-Z2-7]{56})\s+-+END USER NKEY SEED")


class Credentials(Struct, frozen=True):
    """Who a process is on a NATS server. `seed` is secret (32 bytes); `jwt` is None where the server knows the key."""

    seed: bytes
    jwt: bytes | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.public})"

    @property
    def public(self) -> str:
        """The public key as a server's configuration names it: ``U`` and 55 characters."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return _encode(bytes([_USER]) + public)

    def sign(self, nonce: str) -> bytes:
        """The signature of a server's `nonce`, in base64."""
        return base64.b64encode(Ed25519PrivateKey.from_private_bytes(self.seed).sign(nonce.encode()))

    @property
    def seed_text(self) -> str:
        """The seed as NATS writes it: ``SU`` and 56 characters. Secret."""
        return _encode(bytes([_SEED | _USER >> 5, (_USER & 31) << 3]) + self.seed)

    def file(self) -> bytes:
        """A file that holds the seed."""
        return f"-----BEGIN USER NKEY SEED-----\n{self.seed_text}\n------END USER NKEY SEED------\n".encode()


def parse_credentials(data: bytes) -> Credentials:
    """The credentials in a file. Raises `SetupError`, which names nothing of it."""
    remedy = "Have a .creds file of a user made, or make a key: firedoor switches nats-key FILE"
    seed, jwt = _SEED_BLOCK.search(data), _JWT_BLOCK.search(data)
    if len(data) > FILE_LIMIT or seed is None or (jwt is None and b"NATS USER JWT" in data):
        raise SetupError("The NATS credentials are not the file of a user.", remedy=remedy)
    raw = base64.b32decode(seed[1] + b"======")
    if raw[:2] != bytes([_SEED | _USER >> 5, (_USER & 31) << 3]) or _checksum(raw[:-2]) != raw[-2:]:
        raise SetupError("The seed in the NATS credentials is mistyped.", remedy=remedy)
    return Credentials(raw[2:-2], None if jwt is None else jwt[1])


def _encode(data: bytes) -> str:
    return base64.b32encode(data + _checksum(data)).rstrip(b"=").decode()


def _checksum(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0).to_bytes(2, "little")
