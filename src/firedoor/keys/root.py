"""The development root of a region: a file of 32 random bytes, optionally sealed with a passphrase.

Who can read the file and knows the passphrase, if there is one, has every key of the region. It is for development and
for shops without an HSM; `status` says so.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import stat
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Struct

from firedoor.core.evidence.leaf import check_name
from firedoor.errors import KeyUnusable
from firedoor.keys.derive import NONCE_BYTES, ROOT_BYTES, RegionKeys

PASSPHRASE_VARIABLE: Final = "FIREDOOR_ROOT_PASSPHRASE"  # noqa: S105  the name of the variable
SCRYPT_COST: Final = 2**16
"""64 MiB and about a fifth of a second for each guess (RFC 7914: N = 2^16, r = 8, p = 1)."""
FILE_LIMIT: Final = 4096
"""Bytes of a root file; ours are about 250."""


class _RootFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON document. `secret` is base64: the root itself, or nonce and ciphertext of it."""

    firedoor_root: Literal[1]
    region: str
    sealed: Literal["none", "scrypt"]
    secret: str
    salt: str = ""


def create_root(path: Path, region: str, passphrase: str | None = None) -> RegionKeys:
    """Make the root of `region` at `path`, readable by this user only. An existing file is never replaced.

    The passphrase, or else `$FIREDOOR_ROOT_PASSPHRASE`, seals it. Raises `KeyUnusable`.
    """
    check_name("region", region)
    root = os.urandom(ROOT_BYTES)
    phrase = passphrase or os.environ.get(PASSPHRASE_VARIABLE)
    if phrase:
        salt, nonce = os.urandom(16), os.urandom(NONCE_BYTES)
        secret = nonce + AESGCM(_stretch(phrase, salt)).encrypt(nonce, root, _context(region))
        document = _RootFile(1, region, "scrypt", _text(secret), _text(salt))
    else:
        document = _RootFile(1, region, "none", _text(root))
    try:
        _create(path, msgspec.json.encode(document) + b"\n")
    except FileExistsError as error:
        raise KeyUnusable(
            f"There is a root for region {region} already.", remedy="Without it no evidence can be read: keep it."
        ) from error
    except OSError as error:
        raise KeyUnusable(f"The root of region {region} cannot be written: {error.strerror}.") from error
    return RegionKeys(region, root)


def load_root(path: Path, region: str, passphrase: str | None = None) -> RegionKeys:
    """The keys of `region`. Raises `KeyUnusable` for a missing, damaged, locked, too open or another region's file."""
    document = _read(path, region)
    if document.sealed == "none":
        return RegionKeys(region, _bytes(document.secret, region))
    phrase = passphrase or os.environ.get(PASSPHRASE_VARIABLE)
    if not phrase:
        raise KeyUnusable(f"The root of region {region} is locked.", remedy=f"Set {PASSPHRASE_VARIABLE}.")
    secret = _bytes(document.secret, region)
    key = _stretch(phrase, _bytes(document.salt, region))
    try:
        root = AESGCM(key).decrypt(secret[:NONCE_BYTES], secret[NONCE_BYTES:], _context(region))
    except (InvalidTag, ValueError) as error:
        raise KeyUnusable(f"The passphrase does not open the root of region {region}.") from error
    return RegionKeys(region, root)


def status(path: Path, region: str) -> str:
    """One line for people. Raises `KeyUnusable` like `load_root`, but needs no passphrase."""
    document = _read(path, region)
    lock = "sealed with a passphrase" if document.sealed == "scrypt" else "not sealed: the file is the secret"
    return f"region {region}: development root, {lock}"


def _read(path: Path, region: str) -> _RootFile:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(FILE_LIMIT + 1)
    except FileNotFoundError as error:
        raise KeyUnusable(
            f"Region {region} has no root.", remedy="Run `firedoor up` once, or restore root.json."
        ) from error
    except OSError as error:
        raise KeyUnusable(f"The root of region {region} cannot be read: {error.strerror}.") from error
    if stat.S_IMODE(mode) & 0o077:
        raise KeyUnusable(f"Other users can read the root of region {region}.", remedy="Run chmod 600 on root.json.")
    if len(data) > FILE_LIMIT:
        raise _damaged(region)
    try:
        document = msgspec.json.decode(data, type=_RootFile)
    except msgspec.DecodeError as error:
        raise _damaged(region) from error
    if document.region != region:
        raise KeyUnusable(
            f"This root belongs to region {document.region}, not {region}.", remedy="Keys never change their region."
        )
    return document


def _create(path: Path, data: bytes) -> None:
    """Write `path` so that it is there whole or not at all, and never over another. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike rename, fails if the name is taken
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _stretch(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=SCRYPT_COST, r=8, p=1).derive(passphrase.encode())


def _context(region: str) -> bytes:
    return f"firedoor/root/1|{region}".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str, region: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _damaged(region) from error


def _damaged(region: str) -> KeyUnusable:
    return KeyUnusable(f"The root file of region {region} is damaged.", remedy="Restore root.json from a backup.")
