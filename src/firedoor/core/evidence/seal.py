"""Sealing of evidence: who writes it cannot read it back. Pure: the caller brings the random bytes.

A journal draws a fresh 32-byte data key, seals it to the region's X25519 public key and writes it as a key record.
Bodies are AES-256-GCM under that key. The nonce is the record's sequence number, which a data key sees once: a journal
that is opened again draws another key. The authenticated data of a body names region, slot, sequence number, kind,
exchange and key, so that a body moved to any other record does not open.
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from firedoor.core.evidence.leaf import Leaf
from firedoor.errors import EvidenceDamaged

DATA_KEY_BYTES = 32
WRAPPED_BYTES = 32 + DATA_KEY_BYTES + 16
"""Ephemeral public key, sealed data key, tag."""

_ONE_USE_NONCE = bytes(12)


class EvidenceSeal(Struct, frozen=True):
    """The public half of a region's evidence key (32 bytes): enough to write evidence, not to read it."""

    region: str
    public: bytes

    def wrap(self, data_key: bytes, ephemeral: bytes, slot: str) -> bytes:
        """`data_key` sealed to the region for `slot`; `ephemeral` is 32 fresh random bytes, used once."""
        secret = X25519PrivateKey.from_private_bytes(ephemeral)
        mine = secret.public_key().public_bytes_raw()
        shared = secret.exchange(X25519PublicKey.from_public_bytes(self.public))
        cipher = AESGCM(_wrapping_key(shared, mine, self.public))
        return mine + cipher.encrypt(_ONE_USE_NONCE, data_key, _key_context(self.region, slot))


class EvidenceOpener:
    """The private half: opens data keys that were sealed to this region, and with them the bodies."""

    __slots__ = ("_private", "region")

    def __init__(self, region: str, private: bytes) -> None:
        self.region = region
        self._private = X25519PrivateKey.from_private_bytes(private)

    @property
    def seal(self) -> EvidenceSeal:
        """The public half."""
        return EvidenceSeal(self.region, self._private.public_key().public_bytes_raw())

    def unwrap(self, wrapped: bytes, slot: str) -> bytes:
        """Raises `EvidenceDamaged` if `wrapped` was not sealed to this region for this slot, or was changed."""
        if len(wrapped) != WRAPPED_BYTES:
            raise EvidenceDamaged("A key record has the wrong length.")
        theirs = wrapped[:32]
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(theirs))
            cipher = AESGCM(_wrapping_key(shared, theirs, self.seal.public))
            return cipher.decrypt(_ONE_USE_NONCE, wrapped[32:], _key_context(self.region, slot))
        except (InvalidTag, ValueError) as error:
            raise EvidenceDamaged(f"A key record of slot {slot} was not sealed to region {self.region}.") from error


class BodyKey:
    """A data key in use, for one slot of one region."""

    __slots__ = ("_cipher", "_owner", "id")

    def __init__(self, region: str, slot: str, wrapped: bytes, data_key: bytes) -> None:
        self.id = key_id(wrapped)
        self._owner = f"{region}\0{slot}"
        self._cipher = AESGCM(data_key)

    def seal(self, seq: int, kind: str, exchange: str, body: bytes) -> bytes:
        """Ciphertext and tag of `body`. Of two bodies sealed with one `seq`, at most one may leave this process."""
        context = _body_context(self._owner, self.id, seq, kind, exchange)
        return self._cipher.encrypt(seq.to_bytes(12, "big"), body, context)

    def open(self, leaf: Leaf, sealed: bytes) -> bytes:
        """Raises `EvidenceDamaged` if `sealed` is not the body of exactly this record."""
        context = _body_context(f"{leaf.region}\0{leaf.slot}", self.id, leaf.seq, leaf.kind, leaf.exchange)
        try:
            return self._cipher.decrypt(leaf.seq.to_bytes(12, "big"), sealed, context)
        except InvalidTag as error:
            raise EvidenceDamaged(f"The body of record {leaf.seq} of slot {leaf.slot} does not open.") from error


def key_id(wrapped: bytes) -> str:
    """The id of a data key: the first half of the SHA-256 of its sealed form, so that it names exactly that one."""
    return sha256(wrapped).hexdigest()[:32]


def _wrapping_key(shared: bytes, ephemeral_public: bytes, public: bytes) -> bytes:
    info = b"firedoor/evidence-key/1" + ephemeral_public + public
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(shared)


def _key_context(region: str, slot: str) -> bytes:
    return f"firedoor/evidence-key/1\0{region}\0{slot}".encode()


def _body_context(owner: str, key: str, seq: int, kind: str, exchange: str) -> bytes:
    # No part before `exchange` can hold a NUL: names are checked, kinds are a closed list.
    return f"firedoor/body/1\0{owner}\0{key}\0{seq}\0{kind}\0{exchange}".encode()
