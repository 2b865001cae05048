"""The keys of one log. See `firedoor.ports.logs.CheckpointSigner`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firedoor.core.evidence.checkpoint import Checkpoint, open_checkpoint, sign
from firedoor.core.evidence.note import Signer, vkeys
from firedoor.errors import EvidenceDamaged, KeyUnusable


class LogSigner:
    """Signs with every one of `signers`, whose names are the log's origin. `clock_ns` gives Unix nanoseconds."""

    def __init__(self, signers: Sequence[Signer], clock_ns: Callable[[], int]) -> None:
        if len({signer.vkey.name for signer in signers}) != 1:
            raise KeyUnusable("The keys of a log are all named after its origin.")
        self._signers = tuple(signers)
        self._vkeys = vkeys(signers)
        self._clock_ns = clock_ns

    @property
    def origin(self) -> str:
        """The log whose keys these are."""
        return self._vkeys[0].name

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint as a signed note. Raises `KeyUnusable` for another log's."""
        if checkpoint.origin != self.origin:
            raise KeyUnusable(f"The keys of {self.origin} do not sign for {checkpoint.origin}.")
        return sign(checkpoint, self._signers, self._clock_ns() // 1_000_000_000)

    def open(self, note: bytes) -> Checkpoint:
        """The checkpoint in a note that all keys of this log signed. Raises `EvidenceDamaged`."""
        checkpoint, verified = open_checkpoint(note, self._vkeys)
        missing = set(self._vkeys) - {one.vkey for one in verified}
        if missing:
            raise EvidenceDamaged(f"{len(missing)} of the signatures of {self.origin} are missing.")
        return checkpoint
