"""Signed notes (C2SP signed-note): a text, an empty line, and one line for each signature. Pure.

Three kinds of key sign our notes, told apart by the byte in their verifier key (``name+id+base64``):

==== ================================================================== =============
byte what                                                               signature
==== ================================================================== =============
0x01 Ed25519 over the text: the log's own signature                     64 bytes
0x04 Ed25519 with a time: a witness's cosignature (tlog-cosignature v1) 8 + 64 bytes
0x06 ML-DSA-44 with a time: a log's signature or a cosignature          8 + 2420 bytes
==== ================================================================== =============

What the last two sign is made from a checkpoint: see `firedoor.core.evidence.checkpoint`. Names are held to the
characters of a URL without its scheme; the specification allows more, nobody here needs it, and no free text fits.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from msgspec import Struct

from firedoor.errors import EvidenceDamaged, KeyUnusable

ED25519: Final = 0x01
COSIGNER_ED25519: Final = 0x04
COSIGNER_MLDSA44: Final = 0x06
PUBLIC_BYTES: Final = {ED25519: 32, COSIGNER_ED25519: 32, COSIGNER_MLDSA44: 1312}
"""Bytes of a public key by its kind."""
SIGNATURE_BYTES: Final = {ED25519: 64, COSIGNER_ED25519: 72, COSIGNER_MLDSA44: 2428}
"""Bytes of a signature by the kind of its key, the time included."""

NOTE_LIMIT: Final = 512 * 1024
"""Bytes of a note: 64 witnesses with two keys each and a signature of 3.3 kB on a line."""
SIGNATURE_LIMIT: Final = 132
"""Signatures on a note: 64 witnesses (the plan's bound) and the log, two each; the specification asks for 16."""
PAYLOAD_LIMIT: Final = 8192
"""Bytes of one signature: the largest of the post-quantum ones in use are under 5 kB."""
NAME_LIMIT: Final = 200
"""Characters of a name; an ML-DSA-44 cosignature has one byte for its length."""
VKEY_LIMIT: Final = 2300
"""Characters of a verifier key: a name, and an ML-DSA-44 key of 1,752."""

ID_BYTES: Final = 4
SEED_BYTES: Final = 32

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._~:/-]{{0,{NAME_LIMIT - 1}}}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)", re.ASCII)
_DASH = "\u2014 "


def check_name(name: str) -> str:
    """`name` if it can be an origin or a key's name. Raises `EvidenceDamaged`."""
    if _NAME.fullmatch(name) is None:
        raise EvidenceDamaged(
            "A name of a log or a key is empty, too long or has characters that a URL without its scheme has not."
        )
    return name


def decode_base64(text: str) -> bytes:
    """Standard base64 in its one canonical form (RFC 4648, 4). Raises `EvidenceDamaged`."""
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or encode_base64(data) != text:
        raise EvidenceDamaged("Something in a note is not base64 as it must be.")
    return data


def encode_base64(data: bytes) -> str:
    """Standard base64 on one line."""
    return binascii.b2a_base64(data, newline=False).decode()


class Vkey(Struct, frozen=True):
    """A verifier key: `name`, `kind` (one of the three bytes above) and the public `key`. Text form: ``str(vkey)``.

    Making one that cannot be raises `EvidenceDamaged`.
    """

    name: str
    kind: int
    key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if PUBLIC_BYTES.get(self.kind) != len(self.key):
            raise EvidenceDamaged("A verifier key is of a kind not known here, or not as long as its kind.")

    @property
    def id(self) -> bytes:
        """The first four bytes of SHA-256 over name, newline, kind and key (signed-note, Signatures)."""
        return sha256(b"%s\n%c%s" % (self.name.encode(), self.kind, self.key)).digest()[:ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode_base64(bytes([self.kind]) + self.key)}"

    @staticmethod
    def parse(text: str) -> Vkey:
        """Read ``name+id+base64``. Raises `EvidenceDamaged`."""
        parts = _VKEY.fullmatch(text) if len(text) <= VKEY_LIMIT else None
        if parts is None:
            raise EvidenceDamaged("A verifier key is not of the form name+id+base64.")
        data = decode_base64(parts[3])
        vkey = Vkey(parts[1], data[0], data[1:])
        if vkey.id.hex() != parts[2]:
            raise EvidenceDamaged(f"The verifier key of {vkey.name} has an id that is not its own.")
        return vkey

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check `signature` (64 or 2420 bytes, without a time) over `message`. Raises `EvidenceDamaged`."""
        try:
            if self.kind == COSIGNER_MLDSA44:
                MLDSA44PublicKey.from_public_bytes(self.key).verify(signature, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise EvidenceDamaged(f"A signature by {self.name} does not verify.") from error


class Signature(Struct, frozen=True):
    """One signature line: the key's name and id (4 bytes), and what it signed with (the time included, if there is)."""

    name: str
    id: bytes
    payload: bytes

    def line(self) -> str:
        """The line, with its newline."""
        return f"{_DASH}{self.name} {encode_base64(self.id + self.payload)}\n"

    def by(self, vkey: Vkey) -> bool:
        """Whether the line says that `vkey` signed; whether it did, only verifying tells."""
        return self.name == vkey.name and self.id == vkey.id


class Note(Struct, frozen=True):
    """A text that ends in a newline, and its signatures, none of them verified."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The bytes of the note."""
        return f"{self.text}\n{''.join(s.line() for s in self.signatures)}".encode()


def parse_note(data: bytes) -> Note:
    """Read a note strictly: what is read encodes to the same bytes. Raises `EvidenceDamaged`."""
    if len(data) > NOTE_LIMIT:
        raise EvidenceDamaged(f"A note is larger than {NOTE_LIMIT} bytes.")
    text, empty_line, lines = _text(data).rpartition("\n\n")
    if not empty_line or not text or not lines:
        raise EvidenceDamaged("A note has no empty line between its text and its signatures.")
    return Note(text + "\n", _signatures(lines))


def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    """Read signature lines alone, one or more, as a witness answers with. Raises `EvidenceDamaged`."""
    if len(data) > NOTE_LIMIT:
        raise EvidenceDamaged(f"Signature lines are larger than {NOTE_LIMIT} bytes.")
    return _signatures(_text(data))


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise EvidenceDamaged("A note is not UTF-8.") from error
    if _CONTROL.search(text):
        raise EvidenceDamaged("A note has a control character other than newline.")
    return text


def _signatures(lines: str) -> tuple[Signature, ...]:
    *whole, rest = lines.split("\n")
    if rest or not 1 <= len(whole) <= SIGNATURE_LIMIT:
        raise EvidenceDamaged(f"A note has no signature, more than {SIGNATURE_LIMIT}, or one that is cut off.")
    signatures = tuple(map(_signature, whole))
    if len({(s.name, s.id) for s in signatures}) != len(signatures):
        raise EvidenceDamaged("A note has two signatures by one key.")
    return signatures


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH):
        raise EvidenceDamaged("A signature line does not begin with an em dash.")
    data = decode_base64(encoded)
    if not ID_BYTES < len(data) <= ID_BYTES + PAYLOAD_LIMIT:
        raise EvidenceDamaged("A signature is shorter than a key's id, or too long.")
    return Signature(check_name(name), data[:ID_BYTES], data[ID_BYTES:])


# Signing


class NoteSeeds(Struct, frozen=True):
    """What a log or a witness signs with: two seeds of 32 bytes. Secret: never logged, written only sealed."""

    ed25519: bytes
    mldsa44: bytes

    def __repr__(self) -> str:
        return "NoteSeeds(...)"


class Signer:
    """One key that signs. Raises `KeyUnusable` for a seed that is not 32 bytes, `EvidenceDamaged` for a bad name."""

    __slots__ = ("_key", "vkey")

    def __init__(self, name: str, kind: int, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise KeyUnusable(f"A seed of a signing key has {SEED_BYTES} bytes.")
        self._key: Ed25519PrivateKey | MLDSA44PrivateKey
        if kind == COSIGNER_MLDSA44:
            self._key = MLDSA44PrivateKey.from_seed_bytes(seed)
        else:
            self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.vkey = Vkey(name, kind, self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The bare signature of `message`: 64 or 2420 bytes."""
        return self._key.sign(message)


def log_signers(origin: str, seeds: NoteSeeds) -> tuple[Signer, Signer]:
    """What a log signs its checkpoints with: Ed25519, which every verifier knows, and ML-DSA-44, which outlives it.

    tlog-checkpoint recommends the latter, and that the keys are named after the log's origin.
    """
    return Signer(origin, ED25519, seeds.ed25519), Signer(origin, COSIGNER_MLDSA44, seeds.mldsa44)


def witness_signers(name: str, seeds: NoteSeeds) -> tuple[Signer, Signer]:
    """What a witness cosigns with. The Ed25519 seed must be no log's and no other witness's (tlog-cosignature)."""
    return Signer(name, COSIGNER_ED25519, seeds.ed25519), Signer(name, COSIGNER_MLDSA44, seeds.mldsa44)


def vkeys(signers: Sequence[Signer]) -> tuple[Vkey, ...]:
    """The public halves."""
    return tuple(signer.vkey for signer in signers)
