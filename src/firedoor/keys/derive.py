"""From a region's root secret to the keys in use: HKDF-SHA256 with the purpose and the region in the label.

There is no call that gives a key out. What a gateway worker gets (`WorkerKeys`) can write evidence but not read it.
"""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firedoor.core.evidence.seal import EvidenceOpener, EvidenceSeal
from firedoor.errors import KeyUnusable

ROOT_BYTES = 32
NONCE_BYTES = 12


class SealingBox:
    """AES-256-GCM for small files of a region that are rewritten whole (fewer than 2^32 times).

    Region and purpose are authenticated: what was sealed for another of either does not open.
    """

    __slots__ = ("_cipher", "region")

    def __init__(self, region: str, key: bytes) -> None:
        self.region = region
        self._cipher = AESGCM(key)

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
                remedy="It was changed, or sealed with another root: restore both from the same backup.",
            ) from error

    def _context(self, purpose: str) -> bytes:
        return f"{self.region}|{purpose}".encode()


class WorkerKeys:
    """The keys a gateway worker needs. No private key is among them."""

    def __init__(self, region: str, seal: EvidenceSeal, pseudonym: bytes, protect: bytes) -> None:
        self.region = region
        self.seal = seal
        self.protect = SealingBox(region, protect)
        self._pseudonym = pseudonym

    def pseudonym(self, kind: str, value: str) -> str:
        """32 hex digits that stand for `value` (a shopper's or session's id) in this region only.

        HMAC-SHA256, cut to 128 bits; `kind` keeps equal ids of different kinds apart.
        """
        message = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._pseudonym, message, "sha256").hex()[:32]


class RegionKeys:
    """All keys of a region: the worker's, and the private half that opens evidence."""

    def __init__(self, region: str, root: bytes) -> None:
        if len(root) != ROOT_BYTES:
            raise KeyUnusable(f"A root is {ROOT_BYTES} bytes.")
        self.region = region
        self.opener = EvidenceOpener(region, _derive(root, "evidence", region))
        self.worker = WorkerKeys(
            region,
            self.opener.seal,
            _derive(root, "pseudonym", region),
            _derive(root, "protect", region),
        )

    @property
    def seal(self) -> EvidenceSeal:
        """The public half of the evidence key."""
        return self.worker.seal


def _derive(root: bytes, purpose: str, region: str) -> bytes:
    info = f"firedoor/{purpose}/1\0{region}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)
