"""What a gateway worker holds of its region's keys: enough to write evidence, not to read it; no way to the root."""

from __future__ import annotations

import hmac
import os

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from firedoor.core.evidence.subjects import EpochPublic
from firedoor.errors import KeyUnusable

KEY_BYTES = 32
NONCE_BYTES = 12
BUNDLE_LIMIT = 4096
"""Bytes of a worker's bundle; ours are about 250."""


class SealingBox:
    """AES-256-GCM for small files of a region that are rewritten whole (fewer than 2^32 times).

    Region and purpose are authenticated: what was sealed for another of either does not open.
    """

    __slots__ = ("_cipher", "_key", "region")

    def __init__(self, region: str, key: bytes) -> None:
        self.region = region
        self._key = key
        self._cipher = AESGCM(key)

    def subkey(self, purpose: str) -> bytes:
        """32 bytes for another use than sealing small files: HMAC-SHA256 of region and purpose."""
        return hmac.digest(self._key, b"subkey|" + self._context(purpose), "sha256")

    def seal(self, data: bytes, purpose: str) -> bytes:
        """Nonce, ciphertext, tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, self._context(purpose))

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises `KeyUnusable` if `sealed` was changed, or sealed for another region or purpose."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._context(purpose))
        except (InvalidTag, ValueError) as error:
            raise KeyUnusable(
                f"The {purpose} file does not open with the key of region {self.region}.",
                remedy="It was changed, or sealed with another ring: restore both from the same backup.",
            ) from error

    def _context(self, purpose: str) -> bytes:
        return f"{self.region}|{purpose}".encode()


class WorkerBundle(Struct, frozen=True, forbid_unknown_fields=True):
    """What the process that opened the ring hands to a worker over an inherited descriptor; never on a disk.

    `pseudonym` and `protect` are secret keys, `ring` the public key that proves the ring file, `public` the public half
    of epoch `epoch` (32 bytes each).
    """

    region: str
    pseudonym: bytes
    protect: bytes
    ring: bytes
    epoch: int
    public: bytes

    def __repr__(self) -> str:
        return f"WorkerBundle({self.region!r}, …)"

    def encode(self) -> bytes:
        """MessagePack."""
        return msgspec.msgpack.encode(self)


class WorkerKeys:
    """The keys a gateway worker needs. No private key is among them.

    `epoch` is the region's epoch when they were made; `keys.ringfile.RingFile` follows it from there.
    """

    def __init__(self, bundle: WorkerBundle) -> None:
        if any(len(key) != KEY_BYTES for key in (bundle.pseudonym, bundle.protect, bundle.ring, bundle.public)):
            raise KeyUnusable(f"A worker's key of region {bundle.region} is not {KEY_BYTES} bytes.")
        self.region = bundle.region
        self.epoch = EpochPublic(bundle.region, bundle.epoch, bundle.public)
        self.protect = SealingBox(bundle.region, bundle.protect)
        self._pseudonym = bundle.pseudonym
        self._ring = Ed25519PublicKey.from_public_bytes(bundle.ring)

    @classmethod
    def from_bundle(cls, data: bytes) -> WorkerKeys:
        """What `Ring.worker_bundle` gave, in another process. Raises `KeyUnusable`."""
        try:
            return cls(msgspec.msgpack.decode(data[: BUNDLE_LIMIT + 1], type=WorkerBundle))
        except msgspec.DecodeError as error:
            raise KeyUnusable(
                "The keys handed to this worker are not whole.",
                remedy="A worker is started by `firedoor up` or an agent.",
            ) from error

    def pseudonym(self, kind: str, value: str) -> str:
        """32 hex digits that stand for `value` (a shopper's or session's id) in this region only.

        HMAC-SHA256, cut to 128 bits; `kind` keeps equal ids of different kinds apart.
        """
        message = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._pseudonym, message, "sha256").hex()[:32]

    def verify_ring(self, signature: bytes, content: bytes) -> None:
        """Raises `KeyUnusable` unless the holder of the region's root wrote exactly this ring."""
        try:
            self._ring.verify(signature, content)
        except InvalidSignature as error:
            raise KeyUnusable(
                f"The ring file of region {self.region} was changed by somebody else.",
                remedy="Restore ring.json from the newest backup, then run `firedoor keys audit`.",
            ) from error
