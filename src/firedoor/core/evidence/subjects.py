"""Keys of subjects: minted by the worker that meets one, sealed to the region's epoch, destroyed to erase. Pure.

A worker draws a 32-byte key per subject, seals it to the epoch's X25519 *public* key and keeps the sealed form in a
cell of 128 bytes in its key file before the first record that uses it. It can write evidence that it cannot read back
in another life. Zeroing the cell destroys the key, and with it every body under it and the tie between the pseudonym in
the leaves and the person. The caller brings the random bytes.
"""

from __future__ import annotations

import hmac
from struct import Struct as Layout
from typing import NamedTuple
from zlib import crc32

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.xaes import Xaes
from firedoor.errors import EvidenceDamaged

CELL_BYTES = 128
WRAPPED_BYTES = 80
"""Ephemeral public key (32), sealed key (32), tag (16)."""
NOBODY = "0" * 32
"""Look-up pseudonym of the slot's own key, for records about no subject."""
RANDOM_BYTES = 80
"""For a new key: id (16), key (32), ephemeral private key (32)."""

_CELL = Layout("<4sI16s16sQ80s")
_MARK = b"FDK1"
_ONE_USE_NONCE = bytes(12)


class EpochPublic(Struct, frozen=True):
    """The public half (32 bytes) of an epoch's key: enough to mint subject keys, not to read them."""

    region: str
    epoch: int
    public: bytes


class Sealing:
    """Seals keys to an epoch. `ephemeral` is 32 fresh random bytes; whoever keeps this object can read what it sealed.

    A worker makes one for each key and forgets it; re-wrapping, which holds all keys anyway, makes one for all.
    """

    __slots__ = ("_epoch", "_mine", "_shared")

    def __init__(self, epoch: EpochPublic, ephemeral: bytes) -> None:
        secret = X25519PrivateKey.from_private_bytes(ephemeral)
        self._epoch = epoch
        self._mine = secret.public_key().public_bytes_raw()
        self._shared = secret.exchange(X25519PublicKey.from_public_bytes(epoch.public))

    def wrap(self, key: bytes, key_id: str, lookup: str) -> bytes:
        """`key` sealed for this id and subject: the ephemeral public key, ciphertext, tag."""
        cipher = _cipher(self._shared, self._mine, self._epoch, key_id, lookup)
        return self._mine + cipher.encrypt(_ONE_USE_NONCE, key, None)


class EpochPrivate:
    """The private half: opens the cells of its epoch."""

    __slots__ = ("_last", "_private", "public")

    def __init__(self, region: str, epoch: int, private: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(private)
        self.public = EpochPublic(region, epoch, self._private.public_key().public_bytes_raw())
        self._last = (b"", b"")  # re-wrapped cells share an ephemeral key

    def unwrap(self, cell: Cell) -> bytes:
        """The subject's key. Raises `EvidenceDamaged` if the cell is another region's, epoch's or subject's."""
        theirs = cell.wrapped[:32]
        try:
            if self._last[0] != theirs:
                self._last = (theirs, self._private.exchange(X25519PublicKey.from_public_bytes(theirs)))
            cipher = _cipher(self._last[1], theirs, self.public, cell.key, cell.lookup)
            return cipher.decrypt(_ONE_USE_NONCE, cell.wrapped[32:], None)
        except (InvalidTag, ValueError) as error:
            raise EvidenceDamaged(
                f"Key {cell.key} was not sealed to epoch {self.public.epoch} of region {self.public.region}."
            ) from error


class Cell(NamedTuple):
    """One sealed key: its id and the subject's look-up pseudonym (32 hex digits each), Unix nanoseconds."""

    key: str
    lookup: str
    made_at: int
    wrapped: bytes

    def encode(self) -> bytes:
        """The 128 bytes of the cell."""
        rest = _CELL.pack(_MARK, 0, bytes.fromhex(self.key), bytes.fromhex(self.lookup), self.made_at, self.wrapped)[8:]
        return _MARK + crc32(rest).to_bytes(4, "little") + rest


def decode_cell(data: bytes) -> Cell | None:
    """The cell in these 128 bytes, None if it was erased. Raises `EvidenceDamaged`."""
    if len(data) == CELL_BYTES and not data.strip(b"\0"):
        return None
    if len(data) != CELL_BYTES or data[:4] != _MARK:
        raise EvidenceDamaged("A key cell is not one of this version.")
    _, checksum, key, lookup, made_at, wrapped = _CELL.unpack(data)
    if crc32(data[8:]) != checksum:
        raise EvidenceDamaged("A key cell does not match its CRC.")
    return Cell(key.hex(), lookup.hex(), made_at, wrapped)


class SubjectKey:
    """A subject's key in use: seals bodies, makes the pseudonyms that stand in the log."""

    __slots__ = ("_cipher", "_key", "_session", "id", "subject")

    def __init__(self, key_id: str, key: bytes, lookup: str) -> None:
        self.id = key_id
        self._key = key
        self._cipher = Xaes(key)
        self.subject = None if lookup == NOBODY else self.pseudonym("subject", lookup)
        """What stands for this subject in the log."""
        self._session = ("", "")

    def session(self, lookup: str) -> str:
        """What stands for a session of this subject in the log; the last one is remembered, for it comes again."""
        if self._session[0] != lookup:
            self._session = lookup, self.pseudonym("session", lookup)
        return self._session[1]

    def pseudonym(self, kind: str, lookup: str) -> str:
        """32 hex digits that stand for a look-up pseudonym in the log: HMAC-SHA256 under this key, cut to 128 bits."""
        return hmac.digest(self._key, f"{kind}\0{lookup}".encode(), "sha256").hex()[:32]

    def seal(self, nonce: bytes, body: bytes, context: bytes) -> bytes:
        """Nonce (24 fresh random bytes), ciphertext, tag."""
        return self._cipher.seal(nonce, body, context)

    def open(self, leaf: Leaf, sealed: bytes) -> bytes:
        """The body in clear. Raises `EvidenceDamaged` if `sealed` is not the body of exactly this record."""
        try:
            return self._cipher.open(sealed, body_context(leaf))
        except (InvalidTag, ValueError) as error:
            raise EvidenceDamaged(f"The body of record {leaf.seq} of slot {leaf.slot} does not open.") from error

    def record_key(self, sealed: bytes) -> bytes:
        """The key that opens this one body: what a receiver of evidence is given."""
        return self._cipher.message_key(sealed)


def mint(epoch: EpochPublic, lookup: str, at: int, random: bytes) -> tuple[Cell, SubjectKey]:
    """A new key for the subject `lookup`; `random` is `RANDOM_BYTES` fresh random bytes."""
    key_id, key, ephemeral = random[:16].hex(), random[16:48], random[48:RANDOM_BYTES]
    return Cell(key_id, lookup, at, Sealing(epoch, ephemeral).wrap(key, key_id, lookup)), SubjectKey(
        key_id, key, lookup
    )


def rewrap(cell: Cell, old: EpochPrivate, new: Sealing) -> Cell:
    """The same key sealed to another epoch. Raises `EvidenceDamaged`."""
    return cell._replace(wrapped=new.wrap(old.unwrap(cell), cell.key, cell.lookup))


def body_context(leaf: Leaf) -> bytes:
    """What a body is bound to: its record and key. Raises ValueError for a leaf without key."""
    if leaf.key is None:
        raise ValueError("a leaf without key has no body")
    return context_of(leaf.region, leaf.slot, leaf.seq, leaf.kind, leaf.exchange, leaf.key)


def context_of(region: str, slot: str, seq: int, kind: str, exchange: str, key: str) -> bytes:
    """The authenticated data of a body. No part before `exchange` can hold a NUL: names and kinds are checked."""
    return f"firedoor/body/2\0{region}\0{slot}\0{key}\0{seq}\0{kind}\0{exchange}".encode()


def _cipher(shared: bytes, ephemeral_public: bytes, epoch: EpochPublic, key_id: str, lookup: str) -> AESGCM:
    """The one-use cipher of one key: region, epoch, id and subject are part of its derivation."""
    name = f"firedoor/subject-key/1\0{epoch.region}\0{epoch.epoch}\0{key_id}\0{lookup}\0".encode()
    info = name + ephemeral_public + epoch.public
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(shared))
