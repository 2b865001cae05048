"""Logs over the evidence: what signs, keeps and countersigns them."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from firedoor.core.crossing import AddCheckpoint, Conflict, Cosignatures
from firedoor.core.evidence.checkpoint import Checkpoint


class CheckpointSigner(Protocol):
    """The keys of one log.

    Owes: signs only checkpoints of its own log; `open` accepts a note only if every one of its keys signed it.
    """

    @property
    def origin(self) -> str:
        """The log whose keys these are."""
        ...

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint as a signed note. Raises `KeyUnusable`."""
        ...

    def open(self, note: bytes) -> Checkpoint:
        """The checkpoint in a note that this log signed, whoever else did. Raises `EvidenceDamaged`."""
        ...


class SlotLog(Protocol):
    """The published log of one journal slot.

    Owes: a checkpoint is on the disk only after all that it covers, and is only ever followed by one that extends it.
    After the first failure of the disk every call that writes raises `JournalPoisoned`.
    """

    @property
    def size(self) -> int:
        """Entries appended; those after the checkpoint's are not published yet."""
        ...

    @property
    def checkpoint(self) -> Checkpoint:
        """The published checkpoint."""
        ...

    @property
    def note(self) -> bytes:
        """The published checkpoint with its signatures."""
        ...

    def read_new(self, limit: int) -> int:
        """Append at most about `limit` new leaves of the slot's journal, synced ones only; how many there were.

        Raises `JournalPoisoned`, and `LogRefused` if the journal does not go on where the log ends.
        """
        ...

    def publish(self) -> bytes:
        """Publish what was appended, or sign the same tree anew; the new note.

        Raises `JournalPoisoned`, `LogRefused`, `KeyUnusable`.
        """
        ...

    def cosign(self, note: bytes, *, enough: bool = True) -> bool:
        """Keep a checkpoint of this log that came back with more signatures; whether it was the newest one.

        `enough` of them make it trusted: it stays when the log moves on. Raises `EvidenceDamaged` if anything but
        signatures was added, `JournalPoisoned`.
        """
        ...

    def consistency(self, old: int, size: int) -> list[bytes]:
        """Proof that the first `size` published entries begin with the first `old`. Raises `EvidenceDamaged`."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


class SlotLogs(Protocol):
    """The logs of all journal slots of this host."""

    def slots(self) -> list[str]:
        """The slots that have a journal or a log now."""
        ...

    def open(self, slot: str, signer: CheckpointSigner) -> SlotLog:
        """Take up the log of `slot`, or begin it. Raises `LogRefused`, `SetupError`, `JournalPoisoned`."""
        ...

    def halted(self) -> bool:
        """Whether nothing more is to be signed under the name that these logs have."""
        ...

    def halt(self, why: str) -> None:
        """Note that, and why, for every later start. Raises OSError."""
        ...


class Refusal(Enum):
    """Why a witness does not cosign."""

    BAD_REQUEST = "bad_request"
    """The old size is above the checkpoint's."""
    NOT_SIGNED = "not_signed"
    """No signature by a key of the log, or one of them is wrong."""
    UNKNOWN_LOG = "unknown_log"
    """Not a log that this witness was told of."""
    NOT_CONSISTENT = "not_consistent"
    """The proof does not show that the log only grew."""
    CLOCK_WENT_BACK = "clock_went_back"
    """The clock is behind the witness's last signature."""
    STATE_UNUSABLE = "state_unusable"
    """What was cosigned before cannot be read, is older than it was, or cannot be kept."""


class Cosigner(Protocol):
    """A witness of other regions' logs.

    Owes: what it is about to sign is on the disk before the signature leaves; for each log it never signs a checkpoint
    that does not extend the last one, however often it was restarted, and never at a time before its last signature's.
    """

    def add(self, request: AddCheckpoint) -> Cosignatures | Conflict | Refusal:
        """Cosign, or say what stands against it. Blocks for the disk; may be called from several threads."""
        ...
