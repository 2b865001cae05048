"""``ring.json``: every key of a region, wrapped; public halves in clear; signed by a key that lies in it, wrapped.

Workers hold the public half of that key: they notice a ring of somebody who can write files and does not have the root,
and a worker that is taken over cannot make one either.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from firedoor.core.evidence.subjects import EpochPublic
from firedoor.core.switchtable import key_id
from firedoor.errors import KeyUnusable
from firedoor.keys.derive import KEY_BYTES, WorkerKeys
from firedoor.keys.files import read_private

RING_FILE: Final = "ring.json"
RING_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a ring file: about 500 for a key, so some 8000 models, data sets and epochs."""

Purpose = Literal["pseudonym", "protect", "ring", "log", "witness", "switches", "epoch", "model", "dataset"]
State = Literal["current", "retiring", "destroyed"]

BASE: Final[tuple[Purpose, ...]] = ("pseudonym", "protect", "ring", "log", "witness")
"""Purposes a region has exactly one key for, from its first day. `ring` signs the ring file.

`switches`, which signs switch tables, is made when it is first asked for: rings of earlier releases have none.
"""
FILES: Final[dict[str, Purpose]] = {"model": "model", "dataset": "dataset"}
"""Purposes with a key for each named model or data set."""


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One key. `version` counts how often it was wrapped anew, `made_at` is in Unix seconds.

    `name` is empty, the epoch's number, or the model's or data set's name. `wrapped` (base64) is empty once destroyed;
    `handle` names the wrapping key in the root. `public` holds public halves (base64) by algorithm. `gone` says when a
    destroyed wrapping key is gone for good, as the root told it: ``now`` or a date; empty until the root did.
    """

    purpose: Purpose
    name: str
    version: int
    state: State
    made_at: int
    handle: str
    wrapped: str
    public: dict[str, str] = {}
    gone: str = ""

    @property
    def id(self) -> str:
        """``log``, ``epoch/3``, ``model/NAME``."""
        return f"{self.purpose}/{self.name}" if self.name else self.purpose

    def context(self, region: str) -> str:
        """What wrapping binds the key to: ``region|purpose|name|version``."""
        return f"{region}|{self.purpose}|{self.name}|{self.version}"


class RingState(Struct, frozen=True, forbid_unknown_fields=True):
    """The signed part. `serial` grows with every change, `erasures` with every subject that is erased.

    `base` is the handle of the wrapping key of all keys but the epochs'. `doomed` are handles the root must still
    destroy: nothing in the ring is wrapped by them any more.
    """

    region: str
    serial: int
    erasures: int
    base: str
    entries: tuple[Entry, ...]
    doomed: tuple[str, ...] = ()

    def find(self, purpose: str, name: str = "") -> Entry | None:
        """The entry of this purpose and name."""
        return next((entry for entry in self.entries if (entry.purpose, entry.name) == (purpose, name)), None)

    def epochs(self, *states: State) -> list[Entry]:
        """The epochs in one of these states, oldest first."""
        return [entry for entry in self.entries if entry.purpose == "epoch" and entry.state in states]

    @property
    def epoch(self) -> Entry:
        """The epoch that keys are minted under. Raises `KeyUnusable` if there is not exactly one."""
        current = self.epochs("current")
        if len(current) != 1:
            raise damaged(self.region)
        return current[0]


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    firedoor_ring: Literal[1]
    signature: str
    ring: msgspec.Raw


class SignedRing(Struct, frozen=True):
    """What was read: the state, and the signature over the exact bytes of it. Not verified yet."""

    state: RingState
    signature: bytes
    content: bytes


def signed_content(ring: bytes) -> bytes:
    """The bytes that are signed (Ed25519) for these bytes of `ring`."""
    return b"firedoor/ring/1\0" + ring


def encode_state(state: RingState) -> bytes:
    """The bytes of a state; any JSON of it would do, for they are signed and stored as they are."""
    return msgspec.json.encode(state)


def encode_document(ring: bytes, signature: bytes) -> bytes:
    """The file. `ring` is from `encode_state`."""
    return msgspec.json.encode(_Document(1, base64.b64encode(signature).decode(), msgspec.Raw(ring))) + b"\n"


def read_ring(folder: Path, region: str) -> SignedRing | None:
    """The ring in `folder`, None if there is none. Raises `KeyUnusable` if it is damaged or another region's."""
    data = read_private(folder / RING_FILE, RING_LIMIT, f"ring file of region {region}")
    if data is None:
        return None
    try:
        document = msgspec.json.decode(data, type=_Document)
        state = msgspec.json.decode(document.ring, type=RingState)
        signature = base64.b64decode(document.signature, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise damaged(region) from error
    if state.region != region:
        raise KeyUnusable(
            f"This ring belongs to region {state.region}, not {region}.", remedy="Keys never change their region."
        )
    return SignedRing(state, signature, signed_content(bytes(document.ring)))


def need_ring(folder: Path, region: str) -> SignedRing:
    """As `read_ring`; a missing ring raises `KeyUnusable` too."""
    signed = read_ring(folder, region)
    if signed is None:
        raise KeyUnusable(
            f"Region {region} has no ring of keys.",
            remedy="Run `firedoor up` once, or restore ring.json from a backup.",
        )
    return signed


def epoch_public(region: str, entry: Entry) -> EpochPublic:
    """The public half of an epoch's entry. Raises `KeyUnusable`."""
    public = unbase64(entry.public.get("x25519", ""), region)
    if len(public) != KEY_BYTES or not entry.name.isdecimal():
        raise damaged(region)
    return EpochPublic(region, int(entry.name), public)


def switch_keys(state: RingState) -> dict[str, bytes]:
    """Who may sign the region's switch tables: public keys (32 bytes) by id. Raises `KeyUnusable`."""
    entry = state.find("switches")
    if entry is None:
        return {}
    public = unbase64(entry.public.get("ed25519", ""), state.region)
    if len(public) != KEY_BYTES:
        raise damaged(state.region)
    return {key_id(public): public}


def unbase64(text: str, region: str) -> bytes:
    """Raises `KeyUnusable` if `text` is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise damaged(region) from error


def damaged(region: str) -> KeyUnusable:
    """The refusal for a ring that is not one of this release."""
    return KeyUnusable(
        f"The ring file of region {region} is damaged.", remedy="Restore ring.json from the newest backup."
    )


class RingFile:
    """The region's ring as a worker follows it: a `firedoor.ports.keys.EpochSource` that needs no root.

    It remembers the highest serial it saw: an older copy put in place while the worker runs is refused.
    """

    def __init__(self, folder: Path, keys: WorkerKeys) -> None:
        self._folder = folder
        self._keys = keys
        self._stamp: tuple[int, int, int] | None = None
        self._serial = 0
        self._current = (keys.epoch, 0)
        self._switch_keys: dict[str, bytes] = {}

    def current(self) -> tuple[EpochPublic, int]:
        """See the port."""
        self._follow()
        return self._current

    def switch_keys(self) -> dict[str, bytes]:
        """Who may sign the region's switch tables: public keys (32 bytes) by id. None before the first was made.

        Cheap: one stat when nothing changed. Raises `KeyUnusable`, OSError.
        """
        self._follow()
        return self._switch_keys

    def _follow(self) -> None:
        stamp = file_stamp(self._folder / RING_FILE)
        if stamp is None or stamp != self._stamp:
            signed = need_ring(self._folder, self._keys.region)
            self._keys.verify_ring(signed.signature, signed.content)
            check_serial(signed.state, self._serial)
            self._current = (epoch_public(self._keys.region, signed.state.epoch), signed.state.erasures)
            self._switch_keys = switch_keys(signed.state)
            self._stamp, self._serial = stamp, signed.state.serial


def check_serial(state: RingState, seen: int) -> None:
    """Raises `KeyUnusable` if `state` is older than one that was seen."""
    if state.serial < seen:
        raise KeyUnusable(
            f"The ring file of region {state.region} was replaced by an older one.",
            remedy="Put the newest one back; after restoring a backup on purpose, restart.",
        )


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when `path` is replaced (inode, mtime in ns, size); None while there is no such file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
