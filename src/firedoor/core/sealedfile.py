"""Large sealed files: Cobblestone-256 of C2SP chunked-encryption version 1 (c2sp.org/chunked-encryption). Pure.

A file is a head of 56 bytes (salt, key commitment) and chunks of 16 KiB, each sealed with AES-256-GCM under a key of
this one file; the last chunk is shorter, perhaps empty, and so says that it is the last. Chunk `k` begins at byte
``56 + k * 16400``: any part can be opened without the rest, and nothing opens that was moved, cut off or added.
The caller brings the random bytes.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from firedoor.errors import KeyUnusable, SealBroken

KEY_BYTES = 32
SALT_BYTES = 24
HEAD_BYTES = 56
CHUNK = 16_384
TAG_BYTES = 16
SEALED_CHUNK = CHUNK + TAG_BYTES
MAX_CHUNKS = 1 << 38
"""Chunks of one file (4 PiB): the counter's room in the nonce."""

_LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
_NONCE_BYTES = 12
_COMMITMENT_BYTES = 32


def file_context(region: str, purpose: str, name: str, part: str = "", signer: str = "") -> bytes:
    """What a sealed file of ours is bound to. It opens for exactly these.

    `part` is the file's path in a sealed folder, `signer` the fingerprint of the key that must have signed it.
    Raises ValueError if one of them holds a NUL.
    """
    parts = (region, purpose, name, part, signer)
    if any("\0" in text for text in parts):
        raise ValueError("a NUL cannot be part of a name")
    return "\0".join(("firedoor/file/1", *parts)).encode()


class ChunkCipher:
    """One sealed file's cipher, for whole chunks in any order. Safe to use in several threads."""

    __slots__ = ("_aead", "_nonce", "head")

    def __init__(self, key: bytes, context: bytes, salt: bytes) -> None:
        """To seal a new file: `salt` is 24 fresh random bytes, used once."""
        if len(key) != KEY_BYTES or len(salt) != SALT_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes and a salt {SALT_BYTES}")
        length = KEY_BYTES + _NONCE_BYTES + _COMMITMENT_BYTES
        made = HKDFExpand(algorithm=SHA512(), length=length, info=_LABEL + salt + context).derive(key)
        self._aead = AESGCM(made[:KEY_BYTES])
        self._nonce = int.from_bytes(made[KEY_BYTES : KEY_BYTES + _NONCE_BYTES], "big")
        self.head = salt + made[-_COMMITMENT_BYTES:]

    @classmethod
    def of_head(cls, key: bytes, context: bytes, head: bytes) -> ChunkCipher:
        """To open the file that begins with `head`. Raises `SealBroken` if it is too short for one.

        Raises `KeyUnusable` if the file was sealed with another key or context: nothing of it is looked at then.
        """
        if len(head) != HEAD_BYTES:
            raise SealBroken("This is not a sealed file.", remedy="Seal it with `firedoor keys seal`.")
        cipher = cls(key, context, head[:SALT_BYTES])
        if not hmac.compare_digest(cipher.head, head):
            raise KeyUnusable(
                "The file is not sealed, or with another key, or as something else.",
                remedy="Name the region, the model or dataset, and the signature it was sealed with.",
            )
        return cipher

    def seal(self, first: int, clear: memoryview, out: memoryview, *, last: bool) -> int:
        """Seal `clear`, which begins with chunk `first`, into `out`; returns the bytes written.

        Unless it is the `last` part of the file, `clear` is a whole number of chunks. Raises ValueError.
        """
        whole, rest = divmod(len(clear), CHUNK)
        if rest and not last:
            raise ValueError("only the last part of a file may end inside a chunk")
        _check_count(first + whole + last)
        encrypt, start, at = self._aead.encrypt_into, 0, 0
        for number in range(first, first + whole):
            at += encrypt(self._number(number), clear[start : start + CHUNK], None, out[at : at + SEALED_CHUNK])
            start += CHUNK
        if last:
            end = at + rest + TAG_BYTES
            at += encrypt(self._number(first + whole), clear[start:], None, out[at:end])
        return at

    def open(self, first: int, sealed: memoryview, out: memoryview, *, last: bool) -> int:
        """Open `sealed`, which begins with chunk `first`, into `out`; returns the bytes written.

        Raises `SealBroken` if anything of it was changed, moved, cut off or added; `out` is then worth nothing.
        """
        whole, rest = divmod(len(sealed), SEALED_CHUNK)
        if bool(rest) != last or 0 < rest < TAG_BYTES:
            raise _broken("is cut off" if last else "ends inside a chunk")
        _check_count(first + whole + last)
        decrypt, start, at = self._aead.decrypt_into, 0, 0
        try:
            for number in range(first, first + whole):
                at += decrypt(self._number(number), sealed[start : start + SEALED_CHUNK], None, out[at : at + CHUNK])
                start += SEALED_CHUNK
            if last:
                end = at + rest - TAG_BYTES
                at += decrypt(self._number(first + whole), sealed[start:], None, out[at:end])
        except InvalidTag:
            raise _broken("was changed, or its parts were moved") from None
        return at

    def _number(self, chunk: int) -> bytes:
        return (self._nonce ^ chunk).to_bytes(_NONCE_BYTES, "big")


def sealed_size(clear: int) -> int:
    """Bytes of the sealed file of a file of `clear` bytes."""
    return HEAD_BYTES + clear + TAG_BYTES * (clear // CHUNK + 1)


def clear_size(sealed: int) -> int:
    """Bytes of the file in a sealed file of `sealed` bytes. Raises `SealBroken`: not every length is possible."""
    whole, rest = divmod(sealed - HEAD_BYTES, SEALED_CHUNK)
    if sealed < HEAD_BYTES or rest < TAG_BYTES:
        raise _broken("is cut off")
    return whole * CHUNK + rest - TAG_BYTES


def chunk_at(number: int) -> int:
    """Where chunk `number` begins in the sealed file."""
    return HEAD_BYTES + number * SEALED_CHUNK


def _check_count(chunks: int) -> None:
    if chunks > MAX_CHUNKS:
        raise SealBroken("A sealed file has at most 4 PiB.", remedy="Split it.")


def _broken(how: str) -> SealBroken:
    return SealBroken(f"The sealed file {how}.", remedy="Restore it from a copy, or seal it again.")
