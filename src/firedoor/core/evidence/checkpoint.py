"""Checkpoints (C2SP tlog-checkpoint): what a log says about itself, signed by it and cosigned by witnesses. Pure.

The text is three lines: the log's origin, its size and its root. Extension lines are neither written nor read: auditors
cannot check them, and they would be a place for free text. What each kind of key signs is in tlog-cosignature v1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from firedoor.core.evidence.note import (
    COSIGNER_ED25519,
    COSIGNER_MLDSA44,
    ED25519,
    SIGNATURE_BYTES,
    Note,
    Signature,
    Signer,
    Vkey,
    check_name,
    decode_base64,
    encode_base64,
    parse_note,
)
from firedoor.core.evidence.tree import EMPTY_ROOT, HASH_BYTES, SIZE_LIMIT
from firedoor.errors import EvidenceDamaged

TIME_LIMIT: Final = 2**63
"""Seconds since the epoch stay below this (tlog-cosignature)."""
TIME_BYTES: Final = 8

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Checkpoint(Struct, frozen=True):
    """A log's `origin`, its `size` in entries and its `root` (32 bytes). Raises `EvidenceDamaged` if they cannot be."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_name(self.origin)
        if not 0 <= self.size < SIZE_LIMIT:
            raise EvidenceDamaged("A checkpoint's size is not below 2^63.")
        if len(self.root) != HASH_BYTES:
            raise EvidenceDamaged(f"A checkpoint's root is not {HASH_BYTES} bytes.")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise EvidenceDamaged("A checkpoint of an empty log has the root of another.")

    def encode(self) -> str:
        """The three lines."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"


class Verified(Struct, frozen=True):
    """A signature that verified: whose it is, and when it says it was made (seconds since the epoch), if it says so."""

    vkey: Vkey
    time: int | None


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a note as a checkpoint, strictly. Raises `EvidenceDamaged`."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise EvidenceDamaged("A checkpoint is not three lines: origin, size, root.")
    return Checkpoint(lines[0], parse_size(lines[1]), decode_base64(lines[2]))


def parse_size(text: str) -> int:
    """A decimal number below 2^63 without leading zeroes. Raises `EvidenceDamaged`."""
    if _DECIMAL.fullmatch(text) is None or int(text) >= SIZE_LIMIT:
        raise EvidenceDamaged("A size is not a decimal number below 2^63 without leading zeroes.")
    return int(text)


# Signing


def sign(checkpoint: Checkpoint, signers: Iterable[Signer], now: int) -> bytes:
    """The checkpoint as a signed note. `now` in seconds since the epoch, for the signatures that carry a time."""
    return Note(checkpoint.encode(), tuple(signature(checkpoint, s, now) for s in signers)).encode()


def signature(checkpoint: Checkpoint, signer: Signer, now: int) -> Signature:
    """One key's signature of a checkpoint at `now`. Raises ValueError for a time before 1970 or beyond 2^63."""
    if not 0 <= now < TIME_LIMIT:
        raise ValueError("a time is seconds since the epoch")
    bare = signer.sign(_message(checkpoint, signer.vkey, now))
    payload = bare if signer.vkey.kind == ED25519 else now.to_bytes(TIME_BYTES, "big") + bare
    return Signature(signer.vkey.name, signer.vkey.id, payload)


def _message(checkpoint: Checkpoint, vkey: Vkey, time: int) -> bytes:
    """What a key signs at `time`, by its kind (signed-note; tlog-cosignature, the signed message of either kind)."""
    text = checkpoint.encode().encode()
    if vkey.kind == ED25519:
        return text
    if vkey.kind == COSIGNER_ED25519:
        return b"cosignature/v1\ntime %d\n%s" % (time, text)
    name, origin = vkey.name.encode(), checkpoint.origin.encode()
    return b"".join(
        (
            b"subtree/v1\n\0",
            len(name).to_bytes(1, "big"),
            name,
            time.to_bytes(8, "big"),
            len(origin).to_bytes(1, "big"),
            origin,
            bytes(8),  # a checkpoint begins with its log
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


# Verifying


def verify_signature(checkpoint: Checkpoint, signature: Signature, vkey: Vkey) -> Verified:
    """Check that `vkey` made `signature` over `checkpoint`. Raises `EvidenceDamaged`."""
    if not signature.by(vkey) or len(signature.payload) != SIGNATURE_BYTES[vkey.kind]:
        raise EvidenceDamaged(f"A signature is not one by the key of {vkey.name}.")
    if vkey.kind == ED25519:
        vkey.verify(_message(checkpoint, vkey, 0), signature.payload)
        return Verified(vkey, None)
    time = int.from_bytes(signature.payload[:TIME_BYTES], "big")
    if time >= TIME_LIMIT:
        raise EvidenceDamaged(f"A signature by {vkey.name} has an impossible time.")
    vkey.verify(_message(checkpoint, vkey, time), signature.payload[TIME_BYTES:])
    # An ML-DSA-44 signature at time zero says nothing about when; an Ed25519 one must say it.
    return Verified(vkey, None if time == 0 and vkey.kind == COSIGNER_MLDSA44 else time)


def verify_signatures(
    checkpoint: Checkpoint, signatures: Iterable[Signature], keys: Sequence[Vkey]
) -> tuple[Verified, ...]:
    """The signatures made with one of `keys`; those of other keys are passed over (signed-note).

    Raises `EvidenceDamaged` if one that says it is by one of `keys` does not verify.
    """
    known = {(vkey.name, vkey.id): vkey for vkey in keys}
    return tuple(
        verify_signature(checkpoint, signature, vkey)
        for signature in signatures
        if (vkey := known.get((signature.name, signature.id))) is not None
    )


def open_checkpoint(data: bytes, keys: Sequence[Vkey]) -> tuple[Checkpoint, tuple[Verified, ...]]:
    """Read a signed checkpoint that at least one of the log's `keys` signed. Raises `EvidenceDamaged`.

    Only keys named after the checkpoint's origin count: another log's key does not speak for this one.
    """
    note = parse_note(data)
    checkpoint = parse_checkpoint(note.text)
    verified = verify_signatures(checkpoint, note.signatures, [key for key in keys if key.name == checkpoint.origin])
    if not verified:
        raise EvidenceDamaged(f"The checkpoint of {checkpoint.origin} is not signed by a key of that log.")
    return checkpoint, verified
