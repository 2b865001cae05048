"""The journals of a host as the source of its published logs: only what is on the disk, only what follows.

A reader sees a frame as soon as it is written, which may be before its writer's `fdatasync` returned. Every segment
that new leaves came from is therefore synced here once more, through a descriptor of its own, before they enter the
tree: what is signed survives a power cut even where its writer was never told so.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from firedoor.core.evidence.checkpoint import Checkpoint
from firedoor.core.evidence.leaf import GENESIS
from firedoor.errors import EvidenceDamaged, LogRefused, SetupError
from firedoor.ports.logs import CheckpointSigner
from firedoor.store.files import write_atomic
from firedoor.store.journal_read import JournalCursor, Stored
from firedoor.store.segments import Disk, slots
from firedoor.store.tilelog import REAL_DISK, TileLog, open_log
from firedoor.store.tilelog_read import ORIGIN

SLOTS = 512
"""Slots of one host: 64 workers, control and spares many times over. More means that something makes folders."""
HALTED = "halted"
"""File beside the logs that says why nothing more is signed. It goes where they go: new logs have none."""
_REMEDY = "Nothing more of this slot is signed. Set its journal aside as it is; the log's bundles hold what was signed."


class JournalLog:
    """See `firedoor.ports.logs.SlotLog`. Made by `HostLogs.open`; not for use from two threads at once."""

    def __init__(self, journal: Path, log: TileLog, disk: Disk) -> None:
        self._slot = journal.name
        self._log = log
        self._disk = disk
        self._synced: tuple[str, int] = "", -1
        self._prev, self._waiting = GENESIS, list[Stored]()
        self._end: tuple[str, int] = "", 0
        self._cursor = JournalCursor(journal, max(log.size - 1, 0))
        if log.size:
            self._join()

    @property
    def size(self) -> int:
        """Entries appended."""
        return self._log.size

    @property
    def checkpoint(self) -> Checkpoint:
        """The published checkpoint."""
        return self._log.checkpoint

    @property
    def note(self) -> bytes:
        """The published checkpoint with its signatures."""
        return self._log.note

    def read_new(self, limit: int) -> int:
        """Append at most about `limit` new leaves; how many there were. Raises `JournalPoisoned`, `LogRefused`."""
        found, self._waiting = self._waiting or self._read(limit), []
        if not found:
            self._check_there()
            return 0
        prev = self._prev
        for stored in found:
            if stored.leaf.prev != prev or stored.leaf.slot != self._slot:
                raise self._differs(stored.leaf.seq)
            prev = sha256(stored.data).hexdigest()
        self._sync(found)
        self._log.append([stored.data for stored in found])
        self._prev = prev
        return len(found)

    def publish(self) -> bytes:
        """Publish what was appended, or sign the same tree anew; the new note. Raises as `TileLog.publish`."""
        return self._log.publish()

    def cosign(self, note: bytes, *, enough: bool = True) -> bool:
        """Keep a checkpoint that came back with more signatures. Raises as `TileLog.cosign`."""
        return self._log.cosign(note, enough=enough)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """Proof that the first `size` published entries begin with the first `old`. Raises `EvidenceDamaged`."""
        return self._log.reader().consistency(old, size)

    def close(self) -> None:
        """Let go of the files."""
        self._cursor.close()
        self._log.close()
        if self._synced[1] >= 0:
            os.close(self._synced[1])
            self._synced = "", -1

    def _join(self) -> None:
        """Check that the journal holds the last signed record as it was signed, and go on after it."""
        size = self._log.size
        try:
            last = next(self._log.reader().entries(size - 1))
        except EvidenceDamaged as error:
            raise LogRefused("log_damaged", f"The log {self._slot} is damaged: {error.message}") from error
        found = self._read(1)
        if not found:
            raise self._short()
        if found[0].data != last:
            raise self._differs(size)
        self._prev, self._waiting = sha256(last).hexdigest(), found[1:]

    def _read(self, limit: int) -> list[Stored]:
        try:
            found = self._cursor.new(limit)
        except EvidenceDamaged as error:
            raise LogRefused("journal_damaged", error.message, remedy=_REMEDY) from error
        except OSError as error:
            raise LogRefused(
                "journal_unreadable", f"The journal of slot {self._slot} cannot be read: {error.strerror}."
            ) from error
        if found:
            self._end = found[-1].segment, found[-1].offset + len(found[-1].data)
        return found

    def _check_there(self) -> None:
        """What was read must still be there: a journal only grows. Raises `LogRefused`."""
        segment, end = self._end
        try:
            if segment and (self._cursor.folder / segment).stat().st_size < end:
                raise self._short()
        except FileNotFoundError:
            raise self._short() from None
        except OSError as error:
            raise LogRefused(
                "journal_unreadable", f"The journal of slot {self._slot} cannot be read: {error.strerror}."
            ) from error

    def _sync(self, found: list[Stored]) -> None:
        try:
            for name in dict.fromkeys(stored.segment for stored in found):
                if name != self._synced[0]:
                    self._open(name)
                self._disk.fdatasync(self._synced[1])
        except OSError as error:
            raise LogRefused(
                "journal_unreadable", f"The journal of slot {self._slot} cannot be synced: {error.strerror}."
            ) from error

    def _open(self, name: str) -> None:
        # Kept open while the segment grows: a sync reports a failed write to those who had the file open by then.
        descriptor = os.open(self._cursor.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        if self._synced[1] >= 0:
            os.close(self._synced[1])
        self._synced = name, descriptor

    def _short(self) -> LogRefused:
        return LogRefused(
            "journal_short",
            f"The journal of slot {self._slot} ends before record {self._log.size}, which was taken into its log.",
            remedy=_REMEDY,
        )

    def _differs(self, seq: int) -> LogRefused:
        return LogRefused(
            "journal_differs",
            f"Record {seq} of slot {self._slot} does not go on from what was signed: the journal was rewritten.",
            remedy=_REMEDY,
        )


class HostLogs:
    """See `firedoor.ports.logs.SlotLogs`: the journals under one folder, their logs under another."""

    def __init__(self, journals: Path, logs: Path, disk: Disk = REAL_DISK) -> None:
        self._journals = journals
        self._logs = logs
        self._disk = disk

    def slots(self) -> list[str]:
        """The slots that have a journal now, or a log: one whose journal is gone is not forgotten.

        Raises `SetupError` if there are more than `SLOTS`.
        """
        logs = (slot for slot in slots(self._logs) if (self._logs / slot / ORIGIN).exists())
        found = sorted(slot for slot in {*slots(self._journals), *logs} if not slot.startswith("."))
        if len(found) > SLOTS:
            raise SetupError(
                f"{self._journals.name} has more than {SLOTS} slots.", remedy="Remove the folders that are no slots."
            )
        return found

    def open(self, slot: str, signer: CheckpointSigner) -> JournalLog:
        """Take up the log of `slot`, or begin it. Raises `LogRefused`, `SetupError`, `JournalPoisoned`."""
        log = open_log(self._logs / slot, signer, self._disk)
        try:
            return JournalLog(self._journals / slot, log, self._disk)
        except BaseException:
            log.close()
            raise

    def halted(self) -> bool:
        """Whether `halt` was called for the logs that lie here."""
        return (self._logs / HALTED).exists()

    def halt(self, why: str) -> None:
        """Note, for every later start, that nothing more is signed here. Raises OSError."""
        if not self.halted():
            write_atomic(self._logs / HALTED, f"{why}\n".encode())
