"""Where keys come from."""

from __future__ import annotations

from typing import Protocol

from firedoor.core.evidence.subjects import EpochPublic


class Root(Protocol):
    """Where the keys that wrap a region's ring live: an HSM, a key server, or a file for development.

    Owes: no call gives a wrapping key out; `context` is authenticated, so that what was wrapped in one context does not
    unwrap in another; every refusal is `KeyUnusable`, or `SetupError` for what this installation lacks, and names
    neither data nor credentials.
    """

    @property
    def kind(self) -> str:
        """``file``, ``pkcs11``, ``vault`` or ``aws_kms``."""
        ...

    @property
    def region(self) -> str:
        """The one region whose keys it wraps."""
        ...

    def create(self, name: str) -> str:
        """Make a new AES-256 wrapping key that cannot be exported; its handle is its own, whatever `name` is."""
        ...

    def wrap(self, handle: str, data: bytes, context: str) -> bytes:
        """`data` (1 to 64 bytes) sealed under the key `handle`."""
        ...

    def unwrap(self, handle: str, wrapped: bytes, context: str) -> bytes:
        """What `wrap` was given, if `handle` and `context` are the same."""
        ...

    def destroy(self, handle: str) -> str:
        """End the key `handle` for good; it may be gone already. Returns when: ``now``, or a date in ISO 8601."""
        ...

    def check(self) -> None:
        """Return if the root can be used at this moment."""
        ...

    def describe(self) -> str:
        """One line for people: what kind of root it is and where, and what it is not fit for."""
        ...


class EpochSource(Protocol):
    """Which epoch a writer of evidence mints keys under. Owes: only an epoch that the region's root vouches for."""

    def current(self) -> tuple[EpochPublic, int]:
        """The present epoch, and how many subjects were ever erased. Cheap: one stat when nothing changed.

        Raises `KeyUnusable`, OSError.
        """
        ...


class FileKeys(Protocol):
    """The keys of a region's sealed files.

    Owes: the same key for the same region, purpose and name, for as long as the ring exists; other keys for any other.
    """

    @property
    def region(self) -> str:
        """The region whose files it opens."""
        ...

    def file_key(self, purpose: str, name: str) -> bytes:
        """The 32-byte key of the sealed files of `name`; `purpose` is ``model`` or ``dataset``.

        It is made when it is asked for the first time. Raises `KeyUnusable`.
        """
        ...
