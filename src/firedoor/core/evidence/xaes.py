"""XAES-256-GCM (C2SP XAES-256-GCM): AES-256-GCM with 192-bit nonces that may be drawn at random without a count.

Half of the nonce derives a key for this one message (NIST SP 800-108r1 counter mode with CMAC), which is then used with
the other half. That message key opens this one message and nothing else: it is what a receiver of evidence is given.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

KEY_BYTES = 32
NONCE_BYTES = 24
OVERHEAD = NONCE_BYTES + 16
"""Bytes that sealing adds: nonce in front, tag behind."""


class Xaes:
    """One 32-byte key. Sealed bytes are nonce, ciphertext, tag."""

    __slots__ = ("_blocks", "_mask")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._blocks = Cipher(AES(key), ECB()).encryptor()  # noqa: S305  # one block at a time, inside CMAC
        doubled = int.from_bytes(self._blocks.update(bytes(16)), "big") << 1
        if doubled >> 128:
            doubled = (doubled & ((1 << 128) - 1)) ^ 0x87
        self._mask = doubled << 128 | doubled  # CMAC's K1 over both blocks

    def seal(self, nonce: bytes, data: bytes, context: bytes) -> bytes:
        """`nonce` is 24 fresh random bytes; `context` is authenticated and not stored."""
        return nonce + AESGCM(self.message_key(nonce)).encrypt(nonce[12:], data, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises `cryptography.exceptions.InvalidTag` if anything differs, ValueError if `sealed` is too short."""
        return open_message(self.message_key(sealed), sealed, context)

    def message_key(self, sealed: bytes) -> bytes:
        """The AES-256-GCM key of the message that begins with this nonce."""
        if len(sealed) < NONCE_BYTES:
            raise ValueError("too short for a nonce")
        half = sealed[:12]
        blocks = b"\x00\x01X\x00" + half + b"\x00\x02X\x00" + half
        return self._blocks.update((int.from_bytes(blocks, "big") ^ self._mask).to_bytes(32, "big"))


def open_message(message_key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Open one message with its own key. Raises as `Xaes.open`."""
    if len(sealed) < OVERHEAD:
        raise ValueError("too short for a nonce and a tag")
    return AESGCM(message_key).decrypt(sealed[12:NONCE_BYTES], sealed[NONCE_BYTES:], context)
