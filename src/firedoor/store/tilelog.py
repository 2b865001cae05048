"""The published log of one slot, as C2SP tlog-tiles lays it out: an origin, a signed checkpoint, tiles and bundles.

Order of every publication: full tiles and bundles, partial ones, the names of all of them, and only then the checkpoint
that covers them. A crash in between leaves the older checkpoint and files that nobody refers to: they are written anew.
A new log gets a checkpoint of size 0 first, so that a log without a checkpoint is always a damaged one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from firedoor.core.evidence.checkpoint import Checkpoint
from firedoor.core.evidence.note import NOTE_LIMIT, parse_note
from firedoor.core.evidence.tree import EMPTY_ROOT, TILE_WIDTH, edge_root, encode_bundle
from firedoor.errors import EvidenceDamaged, JournalPoisoned, KeyUnusable, LogRefused, SetupError
from firedoor.ports.logs import CheckpointSigner
from firedoor.store.files import read_bounded, sync_folder
from firedoor.store.segments import Disk
from firedoor.store.tilelog_check import Damage, check_tree
from firedoor.store.tilelog_files import Grower, LogFiles
from firedoor.store.tilelog_read import CHECKPOINT, COSIGNED, ORIGIN, LogReader, leaf_hashes, read_bundle, read_rows

REAL_DISK: Final = Disk()
ORIGIN_LIMIT: Final = 1024
REBUILT: Final = "rebuilt"
"""Folder of the new tiles while a log is repaired; what an interrupted or refused repair left is of no use."""
REBUILD: Final = 4096
"""Entries taken at a time while a log is rebuilt."""
NAMED: Final = 5
"""Damaged files named in one error; `check` names all."""


class TileLog:
    """One log, open for appending by this process alone; made by `open_log`.

    The first failure of the disk poisons it: every later call that writes raises `JournalPoisoned`.
    """

    def __init__(self, folder: Path, signer: CheckpointSigner, grower: Grower, note: bytes, lock: int) -> None:
        self.folder = folder
        self._signer = signer
        self._grower = grower
        self._lock = lock
        self._failure: str | None = None
        self._note = note
        self._tree = signer.open(note), [bytes(row) for row in grower.rows]

    @property
    def size(self) -> int:
        """Entries appended; those after the checkpoint's are not published yet."""
        return self._grower.size

    @property
    def checkpoint(self) -> Checkpoint:
        """The published checkpoint."""
        return self._tree[0]

    @property
    def note(self) -> bytes:
        """The published checkpoint with its signatures."""
        return self._note

    def append(self, entries: Sequence[bytes]) -> None:
        """Take entries; they are published by the next `publish`. Raises `JournalPoisoned`."""
        with self._writing():
            self._grower.append(entries)

    def publish(self) -> bytes:
        """Publish all that was appended, or sign the same tree anew; the new note.

        Raises `JournalPoisoned`, `KeyUnusable` if it cannot be signed (it may be called again), `LogRefused` if
        somebody changed the checkpoint on the disk.
        """
        with self._writing():
            self._grower.write_partials()
            self._check_unchanged()
        rows = [bytes(row) for row in self._grower.rows]
        checkpoint = Checkpoint(self._signer.origin, self._grower.size, edge_root(rows))
        note = self._signer.sign(checkpoint)
        if self._signer.open(note) != checkpoint:
            raise KeyUnusable(f"The signer of {checkpoint.origin} signed something else.")
        with self._writing():
            self._grower.files.replace(CHECKPOINT, note)
            self._note, self._tree = note, (checkpoint, rows)
            self._grower.published()
        return note

    def cosign(self, note: bytes, *, enough: bool = True) -> bool:
        """Keep a checkpoint of this log that came back with more signatures; whether it was the newest one.

        The newest one replaces the checkpoint, signatures being all that changes. With `enough` of them it is also kept
        as `cosigned`, as an older one is, so that a trusted checkpoint stays when the log moves on. Raises
        `EvidenceDamaged` if this log did not sign it or is not the log it speaks of, `JournalPoisoned`, `LogRefused` as
        `publish`.
        """
        checkpoint = self._signer.open(note)
        if checkpoint.root != self.reader().root(checkpoint.size):
            raise EvidenceDamaged("A cosigned checkpoint is of another tree than the published one.")
        newest = checkpoint == self.checkpoint
        if newest:
            note = _merged(self._note, note)
        with self._writing():
            if newest:
                self._check_unchanged()
                self._grower.files.replace(CHECKPOINT, note)
                self._note = note
            if enough and checkpoint.size >= _signed_size(self.folder, COSIGNED, self._signer):
                self._grower.files.replace(COSIGNED, note)
        return newest

    def reader(self) -> LogReader:
        """The published log, for reading; it stays as it is while this one grows."""
        return LogReader(self.folder, *self._tree)

    def close(self) -> None:
        """Let go of the log."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._failure = self._failure or "it is closed"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._poisoned()
        try:
            yield
        except LogRefused:
            raise
        except Exception as error:
            self._failure = _reason(error)
            raise self._poisoned() from error

    def _poisoned(self) -> JournalPoisoned:
        return JournalPoisoned(
            f"The log {self.folder.name} takes nothing more: {self._failure}.",
            remedy="Free or replace the disk and restart; what was published is whole.",
        )

    def _check_unchanged(self) -> None:
        found = b""
        with contextlib.suppress(EvidenceDamaged):
            found = _read(self.folder, CHECKPOINT)
        if found != self._note:
            raise LogRefused(
                "checkpoint_changed",
                f"The checkpoint of {self.folder.name} on the disk is not the one that was published.",
                remedy="Nothing more is signed. Find out who changed it; put the newest signed checkpoint back.",
            )


def open_log(folder: Path, signer: CheckpointSigner, disk: Disk = REAL_DISK) -> TileLog:
    """Take up the log in `folder`, or begin it; it is ready as soon as its right edge is read, whatever its size.

    Raises `LogRefused` with the reasons ``origin_changed``, ``checkpoint_damaged``, ``log_damaged``; `SetupError` if
    another process has it; `JournalPoisoned`.
    """
    lock = _take(folder)
    try:
        files = LogFiles(folder, disk)
        try:
            note = _read_note(folder, signer) or _begin(files, signer)
            grower = _resume(files, signer.open(note))
        except OSError as error:
            raise JournalPoisoned(f"The log {folder.name} cannot be opened: {_reason(error)}.") from error
        return TileLog(folder, signer, grower, note, lock)
    except BaseException:
        os.close(lock)
        raise


def check(folder: Path, signer: CheckpointSigner) -> list[Damage]:
    """Every file of a log that is damaged, missing or in another's place; none if it is whole. Reads all of it.

    Raises OSError.
    """
    try:
        origin = _read(folder, ORIGIN).decode(errors="replace").rstrip("\n")
    except EvidenceDamaged as error:
        return [Damage(ORIGIN, error.message)]
    if origin != signer.origin:
        return [Damage(ORIGIN, "it names another log")]
    try:
        checkpoint = signer.open(_read(folder, CHECKPOINT))
    except EvidenceDamaged as error:
        return [Damage(CHECKPOINT, error.message)]
    found = check_tree(folder, checkpoint)
    if (folder / COSIGNED).exists():
        try:
            signer.open(_read(folder, COSIGNED))
        except EvidenceDamaged as error:
            found.append(Damage(COSIGNED, error.message))
    return found


def repair(folder: Path, signer: CheckpointSigner, entries: Iterable[bytes], disk: Disk = REAL_DISK) -> Path | None:
    """Rebuild all tiles and bundles from `entries`, the leaves of the journal, up to the signed checkpoint.

    The new files take the place of the old ones only if they lead to the checkpoint's root; the old ones are moved to
    the folder that is returned (None if there were none). Raises `EvidenceDamaged` if the journal is too short or says
    something else, `LogRefused` if there is no checkpoint to go by, `SetupError` if a process has the log, OSError.
    """
    lock = _take(folder)
    try:
        note = _read_note(folder, signer)
        if note is None:
            raise LogRefused("checkpoint_damaged", f"The log {folder.name} was never begun.")
        checkpoint = signer.open(note)
        files = LogFiles(folder, disk)
        files.remove(REBUILT)
        grower = Grower(LogFiles(folder / REBUILT, disk))
        leaves = islice(entries, checkpoint.size)
        while batch := list(islice(leaves, REBUILD)):
            grower.append(batch)
        if grower.size < checkpoint.size:
            raise EvidenceDamaged(f"The journal has {grower.size} of the {checkpoint.size} signed records.")
        grower.write_partials()
        if edge_root([bytes(row) for row in grower.rows]) != checkpoint.root:
            raise EvidenceDamaged("The journal does not hold the records that were signed: it was changed.")
        aside = files.exchange("tile", f"{REBUILT}/tile")
        files.remove(REBUILT)
        return aside
    finally:
        os.close(lock)


def _begin(files: LogFiles, signer: CheckpointSigner) -> bytes:
    """A new log: the checkpoint of the empty tree, then the origin, which says that there must be a checkpoint."""
    note = signer.sign(Checkpoint(signer.origin, 0, EMPTY_ROOT))
    files.replace(CHECKPOINT, note)
    files.replace(ORIGIN, f"{signer.origin}\n".encode())
    return note


def _read_note(folder: Path, signer: CheckpointSigner) -> bytes | None:
    """The signed checkpoint; None if the log was not begun. Raises `LogRefused`."""
    if not (folder / ORIGIN).exists():
        if (folder / "tile").exists() or _signed_size(folder, CHECKPOINT, signer):
            raise LogRefused(
                "origin_changed",
                f"The log {folder.name} has entries, but does not say whose they are.",
                remedy="Restore its file `origin`, or set the folder aside.",
            )
        return None
    origin = _read(folder, ORIGIN).decode(errors="replace").rstrip("\n")
    if origin != signer.origin:
        raise LogRefused(
            "origin_changed",
            f"The log {folder.name} belongs to {origin}, not to {signer.origin}.",
            remedy="Set the folder aside as it is (it stays evidence) and restart: a log under the new name begins.",
        )
    try:
        note = _read(folder, CHECKPOINT)
        signer.open(note)
    except EvidenceDamaged as error:
        raise LogRefused(
            "checkpoint_damaged",
            f"The checkpoint of {folder.name} cannot be trusted: {error.message}",
            remedy="Put the newest signed checkpoint back: the region's log and its witnesses have it.",
        ) from error
    return note


def _signed_size(folder: Path, name: str, signer: CheckpointSigner) -> int:
    """The size in a signed checkpoint; 0 if there is none that can be trusted."""
    with contextlib.suppress(EvidenceDamaged):
        return signer.open(_read(folder, name)).size
    return 0


def _resume(files: LogFiles, checkpoint: Checkpoint) -> Grower:
    """Where the published log ends. Raises `LogRefused` that names the damaged files."""
    try:
        rows = read_rows(files.folder, checkpoint.size)
        LogReader(files.folder, checkpoint, rows)
        index, width = divmod(checkpoint.size, TILE_WIDTH)
        bundle = read_bundle(files.folder, index, width) if width else []
        if width and leaf_hashes(bundle) != rows[0]:
            raise EvidenceDamaged("The last bundle does not match its hashes.")
    except EvidenceDamaged as error:
        names = [damage.file for damage in check_tree(files.folder, checkpoint)] or [error.message]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise LogRefused(
            "log_damaged",
            f"The log {files.folder.name} is damaged: {', '.join(names[:NAMED])}{more}.",
            remedy="Rebuild its tiles from the journal; the checkpoint says whether the journal is whole.",
        ) from error
    files.clean(checkpoint.size)
    return Grower(files, checkpoint.size, rows, encode_bundle(bundle))


def _merged(ours: bytes, theirs: bytes) -> bytes:
    """Our note with the signatures that theirs has beyond it. Raises `EvidenceDamaged` if the text is another."""
    note, other = parse_note(ours), parse_note(theirs)
    if note.text != other.text:
        raise EvidenceDamaged("A cosigned checkpoint has another text than the one that was sent.")
    known = {(signature.name, signature.id) for signature in note.signatures}
    added = "".join(one.line() for one in other.signatures if (one.name, one.id) not in known)
    return ours + added.encode()


def _read(folder: Path, name: str) -> bytes:
    try:
        return read_bounded(folder / name, NOTE_LIMIT if name != ORIGIN else ORIGIN_LIMIT)
    except FileNotFoundError as error:
        raise EvidenceDamaged(f"{name} is missing.") from error
    except SetupError as error:
        raise EvidenceDamaged(f"{name} is too long.") from error


def _take(folder: Path) -> int:
    """The descriptor that holds the log's lock; the kernel lets go of it when the process dies."""
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder.parent)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(
            f"The log {folder.name} cannot be used: {_reason(error)}.", remedy="Check its owner and the disk."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SetupError(
            f"The log {folder.name} is in use by another process.", remedy="Stop the agent of this host first."
        ) from error
    return lock


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
