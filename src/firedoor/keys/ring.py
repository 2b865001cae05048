"""The ring of a region's keys, opened with its root. Who holds a `Ring` has every key of the region.

Of the keys only what is meant for others comes out: a worker's share, the seeds of the signers, the key of a sealed
file. The root itself cannot be asked for.
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firedoor.core.evidence.leaf import check_name
from firedoor.core.evidence.note import NoteSeeds
from firedoor.core.evidence.subjects import EpochPrivate
from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.derive import KEY_BYTES, WorkerBundle, WorkerKeys
from firedoor.keys.files import locked, replace
from firedoor.keys.rewrap import CELLS
from firedoor.keys.ringfile import (
    BASE,
    FILES,
    RING_FILE,
    Entry,
    Purpose,
    RingState,
    check_serial,
    damaged,
    encode_document,
    encode_state,
    epoch_public,
    file_stamp,
    need_ring,
    read_ring,
    signed_content,
    unbase64,
)
from firedoor.ports.keys import Root

SUBJECTS: Final = "subjects"
"""The folder of subjects' keys, beside the ring: ``subjects/EPOCH/SLOT.cells``."""


class Ring:
    """See the module. Made by `create_ring` and `open_ring`; it follows changes of other processes. Not for threads."""

    def __init__(self, folder: Path, region: str, root: Root) -> None:
        self.region = region
        self.folder = folder
        self.root = root
        self._held = False
        self._proven = False
        self._stamp = file_stamp(folder / RING_FILE)
        signed = need_ring(folder, region)
        self._state = signed.state
        self._secrets = {purpose: self._base_secret(purpose) for purpose in BASE}
        self._worker = WorkerKeys(self._bundle(signed.state))
        self._worker.verify_ring(signed.signature, signed.content)

    @property
    def state(self) -> RingState:
        """What the ring file says now. Raises `KeyUnusable` if somebody without the root changed it."""
        stamp = file_stamp(self.folder / RING_FILE)
        if stamp is None or stamp != self._stamp:
            signed = need_ring(self.folder, self.region)
            self._worker.verify_ring(signed.signature, signed.content)
            check_serial(signed.state, self._state.serial)
            self._state, self._stamp = signed.state, stamp
        return self._state

    @property
    def subjects(self) -> Path:
        """The folder of subjects' keys."""
        return self.folder / SUBJECTS

    def worker(self) -> WorkerKeys:
        """The share of a gateway worker. Raises `KeyUnusable` if what is written with it could never be read."""
        self._prove_epoch()
        return WorkerKeys(self._bundle(self.state))

    def worker_bundle(self) -> bytes:
        """The same as bytes, for `WorkerKeys.from_bundle`: hand them over a pipe, never leave them on a disk."""
        self._prove_epoch()
        return self._bundle(self.state).encode()

    def epoch_private(self, number: int) -> EpochPrivate:
        """The private half of an epoch that is alive. Raises `KeyUnusable` for one that was destroyed or never was."""
        private = EpochPrivate(self.region, number, self.epoch_secret(number))
        if private.public != epoch_public(self.region, self._epoch(number)):
            raise damaged(self.region)
        return private

    def epoch_secret(self, number: int) -> bytes:
        """The 32 bytes `epoch_private` is made from, for the processes that re-wrap. Raises `KeyUnusable`."""
        return self._unwrap(self._epoch(number))

    def log_seeds(self) -> NoteSeeds:
        """What signs the checkpoints of the region's evidence."""
        return _seeds(self._secrets["log"])

    def witness_seeds(self) -> NoteSeeds:
        """What cosigns the checkpoints of other regions."""
        return _seeds(self._secrets["witness"])

    def file_key(self, purpose: str, name: str) -> bytes:
        """The 32-byte key of the sealed files of a model or data set: see `firedoor.ports.keys.FileKeys`.

        Made and stored when it is asked for the first time. Raises `KeyUnusable`, ValueError for other purposes.
        """
        kept = FILES.get(purpose)
        if kept is None:
            raise ValueError(f"no sealed files for purpose {purpose!r}")
        check_name(purpose, name)
        return self._unwrap(self._made(kept, name))

    def switch_seed(self) -> bytes:
        """The 32-byte seed of the Ed25519 key that signs the region's switch tables.

        Made and stored when it is asked for the first time. Raises `KeyUnusable`.
        """
        secret = self._unwrap(self._made("switches"))
        if len(secret) != KEY_BYTES:
            raise damaged(self.region)
        return secret

    def renew(self, purpose: Literal["log", "witness", "switches"]) -> None:
        """Put a new signing key in the place of one that others may have; nothing signs with the old one any more.

        Raises `KeyUnusable`.
        """
        with self.alone():
            secret = os.urandom(_size(purpose))
            entry = self._wrapped(_entry(purpose, "", self.state.base, _public(purpose, secret)), secret)
            others = tuple(one for one in self.state.entries if one.purpose != purpose)
            self.write(msgspec.structs.replace(self.state, entries=(*others, entry)))
            if purpose in self._secrets:
                self._secrets[purpose] = secret

    def note_erasure(self) -> int:
        """Say that a subject was erased, so that every worker forgets its keys. Durable on return; the count so far.

        Hold `alone` around looking for the cells, zeroing them and this: re-wrapping copies cells meanwhile.
        """
        with self.alone():
            erasures = self.state.erasures + 1
            self.write(msgspec.structs.replace(self.state, erasures=erasures))
        return erasures

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the ring and the subjects' keys against every other process that changes them; waits for its turn.

        May be nested. Raises `KeyUnusable` if the lock cannot be had.
        """
        if self._held:
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder / RING_FILE))
            except OSError as error:
                raise KeyUnusable(f"The keys of region {self.region} cannot be locked: {error.strerror}.") from error
            self._held = True
            stack.callback(setattr, self, "_held", False)
            yield

    def write(self, state: RingState) -> None:
        """Sign and store a changed state, the next serial. Only inside `alone`. Raises `KeyUnusable`."""
        if not self._held:
            raise RuntimeError("a ring is changed only while it is held")
        state = msgspec.structs.replace(state, serial=self.state.serial + 1)
        try:
            _store(self.folder, state, self._secrets["ring"])
        except OSError as error:
            raise KeyUnusable(f"The ring of region {self.region} cannot be written: {error.strerror}.") from error
        self._stamp, self._state = file_stamp(self.folder / RING_FILE), state

    def new_epoch_entry(self, handle: str) -> Entry:
        """The entry of the epoch after the newest one, wrapped by `handle`; not in the ring yet."""
        numbers = [int(entry.name) for entry in self.state.entries if entry.purpose == "epoch"]
        return self._wrapped(*_epoch_entry(max(numbers) + 1, handle))

    def wrapped_anew(self, base: str) -> tuple[Entry, ...]:
        """Every entry; those of the base key wrapped by `base` instead, their version one higher."""
        return tuple(
            entry
            if entry.purpose == "epoch"
            else self._wrapped(
                msgspec.structs.replace(entry, version=entry.version + 1, handle=base), self._unwrap(entry)
            )
            for entry in self.state.entries
        )

    def opens(self, entry: Entry) -> None:
        """Raises `KeyUnusable` if the root does not unwrap this entry."""
        self._unwrap(entry)

    def _prove_epoch(self) -> None:
        """Once: that the root opens the present epoch.

        An older ring, restored after its epoch was destroyed, verifies. From then on only newer ones are taken.
        """
        if not self._proven:
            self.epoch_private(int(self.state.epoch.name))
            self._proven = True

    def _bundle(self, state: RingState) -> WorkerBundle:
        epoch = epoch_public(self.region, state.epoch)
        sign = Ed25519PrivateKey.from_private_bytes(self._secrets["ring"])
        return WorkerBundle(
            self.region,
            self._secrets["pseudonym"],
            self._secrets["protect"],
            sign.public_key().public_bytes_raw(),
            epoch.epoch,
            epoch.public,
        )

    def _base_secret(self, purpose: Purpose) -> bytes:
        entry = self._state.find(purpose)
        secret = b"" if entry is None else self._unwrap(entry)
        if len(secret) != _size(purpose):
            raise damaged(self.region)
        return secret

    def _made(self, purpose: Purpose, name: str = "") -> Entry:
        """The entry of a key that is made when it is first asked for."""
        entry = self.state.find(purpose, name)
        if entry is None:
            with self.alone():
                entry = self.state.find(purpose, name)
                if entry is None:
                    secret = os.urandom(_size(purpose))
                    entry = self._wrapped(_entry(purpose, name, self.state.base, _public(purpose, secret)), secret)
                    self.write(msgspec.structs.replace(self.state, entries=(*self.state.entries, entry)))
        return entry

    def _epoch(self, number: int) -> Entry:
        entry = self.state.find("epoch", str(number))
        if entry is None or entry.state == "destroyed":
            raise KeyUnusable(
                f"Epoch {number} of region {self.region} was destroyed or never was.",
                remedy="What was sealed under it and not carried on was erased for good.",
            )
        return entry

    def _unwrap(self, entry: Entry) -> bytes:
        wrapped = unbase64(entry.wrapped, self.region)
        return self.root.unwrap(entry.handle, wrapped, entry.context(self.region))

    def _wrapped(self, entry: Entry, secret: bytes) -> Entry:
        return _wrapped(self.root, self.region, entry, secret)


def create_ring(folder: Path, region: str, root: Root) -> Ring:
    """Make the keys of `region` in `folder` (made if missing), wrapped by `root`. Raises `KeyUnusable`, `SetupError`.

    An existing ring is never replaced, nor is one made where subjects' keys of a lost ring still lie.
    """
    check_name("region", region)
    _check_root(root, region)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)  # it may be there as the parent of another folder, which mkdir leaves open to all
        with locked(folder / RING_FILE):
            _check_fresh(folder, region)
            with _handles(root) as create:
                base, epoch = create("base"), create("epoch-1")
                secrets = {purpose: os.urandom(_size(purpose)) for purpose in BASE}
                entries = [_wrapped(root, region, _entry(p, "", base, _public(p, s)), s) for p, s in secrets.items()]
                entries.append(_wrapped(root, region, *_epoch_entry(1, epoch)))
                _store(folder, RingState(region, 1, 0, base, tuple(entries)), secrets["ring"])
    except OSError as error:
        raise KeyUnusable(f"The ring of region {region} cannot be written: {error.strerror}.") from error
    return open_ring(folder, region, root)


def open_ring(folder: Path, region: str, root: Root) -> Ring:
    """The keys of `region`. Raises `KeyUnusable` if ring or root is missing, damaged, changed or another region's."""
    _check_root(root, region)
    return Ring(folder, region, root)


@contextlib.contextmanager
def _handles(root: Root) -> Iterator[Callable[[str], str]]:
    """`root.create`, whose keys are destroyed again if what needs them fails."""
    made: list[str] = []

    def create(name: str) -> str:
        made.append(root.create(name))
        return made[-1]

    try:
        yield create
    except Exception:
        for handle in made:
            with contextlib.suppress(KeyUnusable):
                root.destroy(handle)
        raise


def _check_root(root: Root, region: str) -> None:
    if root.region != region:
        raise KeyUnusable(
            f"This root belongs to region {root.region}, not {region}.", remedy="Keys never change their region."
        )


def _check_fresh(folder: Path, region: str) -> None:
    if read_ring(folder, region) is not None:
        raise KeyUnusable(
            f"There is a ring for region {region} already.", remedy="Without it no evidence can be read: keep it."
        )
    if any((folder / SUBJECTS).glob(f"*/*{CELLS}")):
        raise SetupError(
            f"Region {region} has subjects' keys but no ring: a new one could not read them.",
            remedy="Restore ring.json from the newest backup.",
        )


def _store(folder: Path, state: RingState, signing_seed: bytes) -> None:
    ring = encode_state(state)
    signature = Ed25519PrivateKey.from_private_bytes(signing_seed).sign(signed_content(ring))
    replace(folder / RING_FILE, encode_document(ring, signature))


def _entry(purpose: Purpose, name: str, handle: str, public: dict[str, str] | None = None) -> Entry:
    return Entry(purpose, name, 1, "current", int(time.time()), handle, "", public or {})


def _epoch_entry(number: int, handle: str) -> tuple[Entry, bytes]:
    private = X25519PrivateKey.generate()
    public = {"x25519": _text(private.public_key().public_bytes_raw())}
    return _entry("epoch", str(number), handle, public), private.private_bytes_raw()


def _wrapped(root: Root, region: str, entry: Entry, secret: bytes) -> Entry:
    wrapped = root.wrap(entry.handle, secret, entry.context(region))
    return msgspec.structs.replace(entry, wrapped=_text(wrapped))


def _size(purpose: Purpose) -> int:
    return 2 * KEY_BYTES if purpose in {"log", "witness"} else KEY_BYTES


def _public(purpose: Purpose, secret: bytes) -> dict[str, str]:
    """Public halves of a signer, so that printing a verifier key needs no root."""
    if purpose == "switches":
        return {"ed25519": _ed25519(secret)}
    if purpose not in {"log", "witness"}:
        return {}
    seeds = _seeds(secret)
    return {
        "ed25519": _ed25519(seeds.ed25519),
        "mldsa44": _text(MLDSA44PrivateKey.from_seed_bytes(seeds.mldsa44).public_key().public_bytes_raw()),
    }


def _ed25519(seed: bytes) -> str:
    return _text(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def _seeds(secret: bytes) -> NoteSeeds:
    return NoteSeeds(secret[:KEY_BYTES], secret[KEY_BYTES:])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
