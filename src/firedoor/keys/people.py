"""A person's key file: an Ed25519 private key (PKCS#8 PEM) encrypted with a passphrase that only they know."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firedoor.core.people import KEY_PREFIX, Act, Signature
from firedoor.errors import KeyUnusable, SetupError

PASSPHRASE_MIN = 8
"""Characters: the least NIST SP 800-63B asks for a secret a person remembers."""

PASSPHRASE_MAX = 1000
"""Characters: OpenSSL takes at most 1024 bytes when it decrypts a PEM file."""

_FILE_LIMIT = 16 * 1024
"""Bytes of a key file: an encrypted Ed25519 key has about 300."""


class PersonKey:
    """An unlocked key. It signs here; it is never sent anywhere."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> str:
        """The public half as it stands in the plan: ``ed25519:`` and base64."""
        raw = self._key.public_key().public_bytes(forms.Encoding.Raw, forms.PublicFormat.Raw)
        return KEY_PREFIX + base64.b64encode(raw).decode()

    def sign(self, person_id: str, act: Act) -> Signature:
        """The signature of `person_id` over the exact content of `act`."""
        return Signature(person_id, base64.b64encode(self._key.sign(act.content)).decode())


def create(path: Path, passphrase: str) -> PersonKey:
    """A new key, encrypted in a new file (0600). Raises `SetupError`; an existing file is never replaced."""
    check_passphrase(passphrase)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(passphrase.encode())
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise SetupError(f"{path} exists.", remedy="Keys are never overwritten: move it away first.") from None
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from error
    return PersonKey(key)


def load(path: Path, passphrase: str) -> PersonKey:
    """Unlock the key in `path`. Raises `KeyUnusable`."""
    try:
        with path.open("rb") as file:
            pem = file.read(_FILE_LIMIT)
    except FileNotFoundError:
        raise KeyUnusable(f"There is no key file {path}.", remedy="Name yours with --key.") from None
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be read: {error.strerror}.") from error
    if b"-----BEGIN ENCRYPTED PRIVATE KEY-----" not in pem:
        raise KeyUnusable(
            f"{path} is not an encrypted key file.", remedy="Use the file that `firedoor people add` made."
        )
    try:
        key = forms.load_pem_private_key(pem, passphrase.encode() or b"\0")
    except ValueError:
        raise KeyUnusable(
            f"{path} does not open with this passphrase.", remedy="Type it again; if it is lost, add the person anew."
        ) from None
    except (TypeError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} is not a key file of this release.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} does not hold an Ed25519 key.", remedy="Use the file `firedoor people add` made.")
    return PersonKey(key)


def check_passphrase(passphrase: str) -> None:
    """Raises `SetupError` if it is too short or too long."""
    if not len(passphrase) >= PASSPHRASE_MIN or len(passphrase.encode()) > PASSPHRASE_MAX:
        raise SetupError(f"A passphrase has {PASSPHRASE_MIN} to {PASSPHRASE_MAX} characters.", remedy="Choose another.")
