"""The shops' credentials of a region: ``fd_REGION_ID_SECRET``, of which only a hash is kept.

One credential stands for one shop and surface in one region; the caller chooses none of them. The secret has 192
random bits, so a plain SHA-256 is enough to store: there is nothing to guess. Looking a token up by its digest takes
the same time for every wrong token, because the digest tells nothing about how much of the token was right.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from firedoor.errors import ActRefused, SetupError
from firedoor.store.files import locked, read_bounded, stamp, write_atomic

FILE_LIMIT: Final = 16 * 1024 * 1024
CREDENTIAL_LIMIT: Final = 20_000
"""Credentials of a region, about 300 bytes each: thousands of shops with every surface."""
TOKEN_LIMIT: Final = 256
"""Characters of a token; ours have at most 130. Longer headers are not hashed."""
_ID_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


class Credential(Struct, frozen=True):
    """What a token stands for. Times are Unix seconds; `expires` and `revoked` are None while they do not apply."""

    id: str
    shop: str
    surface: str
    created: float
    expires: float | None = None
    revoked: float | None = None
    role: str | None = None

    def usable(self, now: float) -> bool:
        """Neither revoked nor expired at `now`."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class _Stored(Struct, frozen=True, forbid_unknown_fields=True):
    credential: Credential
    sha256: str


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    firedoor_credentials: Literal[1]
    region: str
    credentials: tuple[_Stored, ...] = ()


def token_digest(token: str) -> str | None:
    """The key under which `load` has the token's credential; None for what cannot be a token."""
    if not token.startswith("fd_") or len(token) > TOKEN_LIMIT or not token.isascii():
        return None
    return sha256(token.encode()).hexdigest()


class CredentialFile:
    """The credentials of one region. Not there yet means none."""

    def __init__(self, path: Path, region: str) -> None:
        self.path = path
        self.region = region
        self._stamp: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether the file was replaced since the last `load`. One stat."""
        return stamp(self.path) != self._stamp

    def load(self) -> dict[str, Credential]:
        """SHA-256 of the token (hex) -> credential, revoked and expired ones included. Raises `SetupError`."""
        return {stored.sha256: stored.credential for stored in self._load()}

    def issue(
        self, shop: str, surface: str, now: float, expires: float | None = None, role: str | None = None
    ) -> tuple[str, Credential]:
        """A new token, which is nowhere kept, and its credential. Raises `ActRefused`."""
        name = "".join(secrets.choice(_ID_ALPHABET) for _ in range(12))
        token = f"fd_{self.region}_{name}_{secrets.token_hex(24)}"
        credential = Credential(name, shop, surface, now, expires, role=role)
        digest = token_digest(token)
        assert digest is not None
        with locked(self.path):
            stored = self._load()
            if len(stored) >= CREDENTIAL_LIMIT:
                raise ActRefused("too_many_credentials", f"A region has at most {CREDENTIAL_LIMIT} credentials.")
            self._write((*stored, _Stored(credential, digest)))
        return token, credential

    def revoke(self, name: str, now: float) -> Credential:
        """The credential, revoked at `now` or earlier. Raises `ActRefused` if there is none with this id."""
        with locked(self.path):
            stored = self._load()
            for place, entry in enumerate(stored):
                if entry.credential.id != name:
                    continue
                if entry.credential.revoked is not None:
                    return entry.credential
                revoked = msgspec.structs.replace(entry.credential, revoked=now)
                self._write((*stored[:place], _Stored(revoked, entry.sha256), *stored[place + 1 :]))
                return revoked
        raise ActRefused(
            "unknown_credential", f"There is no credential {name}.", remedy="See `firedoor credentials list`."
        )

    def _load(self) -> tuple[_Stored, ...]:
        seen = stamp(self.path)
        stored: tuple[_Stored, ...] = ()
        if seen is not None:
            try:
                file = msgspec.json.decode(read_bounded(self.path, FILE_LIMIT), type=_File)
            except msgspec.DecodeError as error:
                raise SetupError(f"{self.path.name} is damaged.", remedy="Restore it from a backup.") from error
            if file.region != self.region:
                raise SetupError(f"{self.path.name} belongs to region {file.region}, not {self.region}.")
            stored = file.credentials
        self._stamp = seen
        return stored

    def _write(self, stored: tuple[_Stored, ...]) -> None:
        document = msgspec.json.format(msgspec.json.encode(_File(1, self.region, stored)), indent=1)
        write_atomic(self.path, document + b"\n")


class KnownCredentials:
    """The credentials of a region as they were read, with what tells whether they were replaced since.

    Both are one value: whoever takes a newer one in the place of this one takes them together, so that nobody asks
    the old credentials after the file was seen to be new. Raises `SetupError` and OSError where they cannot be read.
    """

    def __init__(self, path: Path, region: str) -> None:
        self._file = CredentialFile(path, region)
        self._known = self._file.load()

    def get(self, digest: str) -> Credential | None:
        """The credential whose token has this `token_digest`."""
        return self._known.get(digest)

    def newer(self) -> KnownCredentials | None:
        """The credentials as they are now, if the file was replaced. One stat if not."""
        return KnownCredentials(self._file.path, self._file.region) if self._file.changed() else None
