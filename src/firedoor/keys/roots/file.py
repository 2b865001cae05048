"""The development root: a file with a random secret for each wrapping key, optionally sealed with a passphrase.

Who can read the file, and knows the passphrase if there is one, can open every key of the region. It is for development
and for trying Firedoor out. A backup that holds this file beside the ring undoes erasure: an HSM or a key server does
not have that weakness.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Struct

from firedoor.core.evidence.leaf import check_name
from firedoor.errors import KeyUnusable
from firedoor.keys.files import locked, read_private, replace
from firedoor.keys.roots.common import (
    NONCE_BYTES,
    check_label,
    check_size,
    check_wrapped,
    does_not_open,
    fresh_label,
    no_key,
)

PASSPHRASE_VARIABLE: Final = "FIREDOOR_ROOT_PASSPHRASE"  # noqa: S105  the name of the variable
SECRET_BYTES: Final = 32
SCRYPT_COST: Final = 2**16
"""64 MiB and about a fifth of a second for each guess (RFC 7914: N = 2^16, r = 8, p = 1)."""
FILE_LIMIT: Final = 256 * 1024
"""Bytes of a root file: a secret has about 150, and a region has a few that are alive."""


class _RootFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON document. `secrets` are base64, by handle: the secret itself, or nonce and ciphertext of it."""

    firedoor_root: Literal[2]
    region: str
    sealed: Literal["none", "scrypt"]
    salt: str
    secrets: dict[str, str]


class FileRoot:
    """See `firedoor.ports.keys.Root`. The file at `path` (0600) is made with the first wrapping key.

    `passphrase`, or else `$FIREDOOR_ROOT_PASSPHRASE`, seals it and is needed from then on.
    """

    kind = "file"

    def __init__(self, path: Path, region: str, passphrase: str | None = None) -> None:
        self.region = check_name("region", region)
        self._path = path
        self._passphrase = passphrase or os.environ.get(PASSPHRASE_VARIABLE)
        self._stretched = ("", b"")

    def create(self, name: str) -> str:
        """See the port."""
        handle = fresh_label("/", self.region, name)
        with self._writing():
            document = self._read() or self._blank()
            self._prove(document)
            secrets = {**document.secrets, handle: self._seal(document, handle, os.urandom(SECRET_BYTES))}
            self._write(msgspec.structs.replace(document, secrets=secrets))
        return handle

    def wrap(self, handle: str, data: bytes, context: str) -> bytes:
        """See the port."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._secret(handle)).encrypt(nonce, check_size(data), context.encode())

    def unwrap(self, handle: str, wrapped: bytes, context: str) -> bytes:
        """See the port."""
        check_wrapped(wrapped, self.region)
        try:
            return AESGCM(self._secret(handle)).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context.encode())
        except InvalidTag as error:
            raise does_not_open(self.region) from error

    def destroy(self, handle: str) -> str:
        """See the port. The file is written anew without the secret; the disk's free blocks may still hold it."""
        check_label("/", self.region, handle)
        with self._writing():
            document = self._need()
            secrets = {other: secret for other, secret in document.secrets.items() if other != handle}
            if len(secrets) != len(document.secrets):
                self._write(msgspec.structs.replace(document, secrets=secrets))
        return "now"

    def check(self) -> None:
        """See the port."""
        self._prove(self._need())

    def describe(self) -> str:
        """See the port. Raises `KeyUnusable` for a file that cannot be used, but needs no passphrase."""
        document = self._read()
        sealed = document.sealed if document else "scrypt" if self._passphrase else "none"
        lock = "sealed with a passphrase" if sealed == "scrypt" else "not sealed: the file is the secret"
        return f"development root in {self._path.name}, {lock}; not for production, must not be in backups"

    def _secret(self, handle: str) -> bytes:
        check_label("/", self.region, handle)
        document = self._need()
        if handle not in document.secrets:
            raise no_key(self.region)
        return self._open(document, handle)

    def _need(self) -> _RootFile:
        document = self._read()
        if document is None:
            raise KeyUnusable(
                f"Region {self.region} has no root file.", remedy=f"Restore {self._path.name} from where you keep it."
            )
        return document

    def _read(self) -> _RootFile | None:
        data = read_private(self._path, FILE_LIMIT, f"root of region {self.region}")
        if data is None:
            return None
        try:
            document = msgspec.json.decode(data, type=_RootFile)
        except msgspec.DecodeError as error:
            raise self._damaged() from error
        if document.region != self.region:
            raise KeyUnusable(
                f"This root belongs to region {document.region}, not {self.region}.",
                remedy="Keys never change their region.",
            )
        return document

    def _blank(self) -> _RootFile:
        if self._passphrase:
            return _RootFile(2, self.region, "scrypt", _text(os.urandom(16)), {})
        return _RootFile(2, self.region, "none", "", {})

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._path):
                yield
        except OSError as error:
            raise KeyUnusable(f"The root of region {self.region} cannot be written: {error.strerror}.") from error

    def _write(self, document: _RootFile) -> None:
        replace(self._path, msgspec.json.encode(document) + b"\n")

    def _prove(self, document: _RootFile) -> None:
        """Raises `KeyUnusable` unless the secrets open: a second passphrase must not come into one file."""
        for handle in document.secrets:
            self._open(document, handle)
        self._key(document)

    def _seal(self, document: _RootFile, handle: str, secret: bytes) -> str:
        key = self._key(document)
        if key is None:
            return _text(secret)
        nonce = os.urandom(NONCE_BYTES)
        return _text(nonce + AESGCM(key).encrypt(nonce, secret, self._context(handle)))

    def _open(self, document: _RootFile, handle: str) -> bytes:
        secret, key = self._bytes(document.secrets[handle]), self._key(document)
        if key is not None:
            try:
                secret = AESGCM(key).decrypt(secret[:NONCE_BYTES], secret[NONCE_BYTES:], self._context(handle))
            except (InvalidTag, ValueError) as error:
                raise KeyUnusable(f"The passphrase does not open the root of region {self.region}.") from error
        if len(secret) != SECRET_BYTES:
            raise self._damaged()
        return secret

    def _key(self, document: _RootFile) -> bytes | None:
        """What the passphrase and the salt give, or None if the file is not sealed."""
        if document.sealed == "none":
            return None
        if not self._passphrase:
            raise KeyUnusable(f"The root of region {self.region} is locked.", remedy=f"Set {PASSPHRASE_VARIABLE}.")
        if self._stretched[0] != document.salt:
            stretch = Scrypt(salt=self._bytes(document.salt), length=32, n=SCRYPT_COST, r=8, p=1)
            self._stretched = (document.salt, stretch.derive(self._passphrase.encode()))
        return self._stretched[1]

    def _context(self, handle: str) -> bytes:
        return f"firedoor/root/2|{self.region}|{handle}".encode()

    def _bytes(self, text: str) -> bytes:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self._damaged() from error

    def _damaged(self) -> KeyUnusable:
        return KeyUnusable(
            f"The root file of region {self.region} is damaged.", remedy=f"Restore {self._path.name} from a copy."
        )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
