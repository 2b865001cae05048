"""A witness: cosigns checkpoints of the logs it was told of, as long as each only grows (C2SP tlog-witness).

What it cosigned last of each log is one small file, replaced whole and synced before a signature leaves, so that a
crash between the two only costs the log another request. Nothing is ever guessed: without its file, with a damaged one,
with one that is older than what this process has signed, or with a clock behind its last signature, a witness signs
nothing. The file names the keys it belongs to: keys without their file would be a witness that forgot.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from firedoor.core.crossing import AddCheckpoint, Conflict, Cosignatures
from firedoor.core.evidence.checkpoint import Checkpoint, parse_checkpoint, parse_size, signature, verify_signatures
from firedoor.core.evidence.note import Signer, Vkey, encode_base64
from firedoor.core.evidence.tree import EMPTY_ROOT, verify_consistency
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.ports.logs import Refusal
from firedoor.store.files import locked, read_bounded, write_atomic

STATE_LIMIT = 1024 * 1024
"""Bytes of the file: `LOGS` of at most 280 bytes, and the keys."""
LOGS = 2048
"""Logs it has ever cosigned: more hosts than the regions of one plan have, and their logs before a restored backup.

One more is refused, so that a region that invents logs does not use up what the others need.
"""

_HEAD = "firedoor witness 1"
_REMEDY = (
    "If no copy of it is newer than the last cosignature, retire this witness: `firedoor evidence new-log --new-keys` "
    "gives the region another, so that nobody trusts one that forgot."
)


class _State(Struct):
    """Last signature's time (seconds since the epoch), and by origin the last checkpoint cosigned."""

    time: int
    logs: dict[str, Checkpoint]


class Witness:
    """Cosigns for those logs, by origin, that `logs` gives keys of. The state is the file `path`; see `create_witness`.

    `clock` gives seconds since the epoch. `problem` is why it can sign for nobody now, if so. Raises `SetupError` if
    the file is missing, damaged or another key's.
    """

    def __init__(
        self,
        path: Path,
        signers: Sequence[Signer],
        logs: Callable[[str], Sequence[Vkey] | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._signers = tuple(signers)
        self._logs = logs
        self.problem: Refusal | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = _read(path, self._signers)

    def add(self, request: AddCheckpoint) -> Cosignatures | Conflict | Refusal:
        """See `firedoor.ports.logs.Cosigner`."""
        checkpoint = request.checkpoint
        keys = self._logs(checkpoint.origin)
        if keys is None:
            return Refusal.UNKNOWN_LOG
        try:
            if not verify_signatures(checkpoint, request.signatures, keys):
                return Refusal.NOT_SIGNED
        except EvidenceDamaged:
            return Refusal.NOT_SIGNED
        if request.old > checkpoint.size:
            return Refusal.BAD_REQUEST
        try:
            with self._lock, locked(self._path):
                answer = self._cosign(request)
        except (OSError, SetupError):
            answer = Refusal.STATE_UNUSABLE
        self.problem = answer if answer in {Refusal.CLOCK_WENT_BACK, Refusal.STATE_UNUSABLE} else None
        return answer

    def _cosign(self, request: AddCheckpoint) -> Cosignatures | Conflict | Refusal:
        """Check against what is on the disk, replace that, sign: nobody comes between."""
        state, now = _read(self._path, self._signers), int(self._clock())
        if _forgot(state, self._seen):
            return Refusal.STATE_UNUSABLE
        if now < state.time:
            return Refusal.CLOCK_WENT_BACK
        checkpoint = request.checkpoint
        if checkpoint.origin not in state.logs and len(state.logs) >= LOGS:
            return Refusal.UNKNOWN_LOG
        last = state.logs.get(checkpoint.origin, Checkpoint(checkpoint.origin, 0, EMPTY_ROOT))
        if request.old != last.size:
            return Conflict(last.size)
        if checkpoint.size == last.size and checkpoint.root != last.root:
            return Conflict(last.size)
        try:
            verify_consistency(last.size, last.root, checkpoint.size, checkpoint.root, request.proof)
        except EvidenceDamaged:
            return Refusal.NOT_CONSISTENT
        state.time = now
        state.logs[checkpoint.origin] = checkpoint
        write_atomic(self._path, _encode(state, self._signers))
        self._seen = state
        return Cosignatures(tuple(signature(checkpoint, signer, now) for signer in self._signers))


def create_witness(path: Path, signers: Sequence[Signer]) -> None:
    """Begin a witness that has cosigned nothing. Only for keys that never signed: see `Witness`.

    Raises `SetupError` if there is a file already, OSError.
    """
    with locked(path):
        if path.exists():
            raise SetupError("This witness exists already.", remedy="Keep its file: it holds what was cosigned.")
        write_atomic(path, _encode(_State(0, {}), signers))


def forget_clock(path: Path, signers: Sequence[Signer], now: int) -> None:
    """After a clock that ran ahead was set right: let the witness sign from `now` on. What it cosigned stays.

    Raises `SetupError`, OSError.
    """
    with locked(path):
        state = _read(path, signers)
        state.time = now
        write_atomic(path, _encode(state, signers))


def _read(path: Path, signers: Sequence[Signer]) -> _State:
    try:
        return _decode(read_bounded(path, STATE_LIMIT), signers)
    except FileNotFoundError as error:
        raise SetupError("The file of what this witness cosigned is gone.", remedy=_REMEDY) from error
    except (EvidenceDamaged, SetupError) as error:
        message = f"The file of what this witness cosigned is damaged: {error.message}"
        raise SetupError(message, remedy=_REMEDY) from error


def _forgot(state: _State, seen: _State) -> bool:
    """Whether the file is older than what this process has read or written: somebody put a copy back."""
    return any(origin not in state.logs or state.logs[origin].size < last.size for origin, last in seen.logs.items())


def _encode(state: _State, signers: Sequence[Signer]) -> bytes:
    lines = [_HEAD, *(f"key {signer.vkey}" for signer in signers), f"time {state.time}"]
    lines += [f"log {c.origin} {c.size} {encode_base64(c.root)}" for c in state.logs.values()]
    text = "\n".join(lines) + "\n"
    return f"{text}sha256 {sha256(text.encode()).hexdigest()}\n".encode()


def _decode(data: bytes, signers: Sequence[Signer]) -> _State:
    """Read the file: nothing but what `_encode` writes. Raises `EvidenceDamaged`."""
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise EvidenceDamaged("it is not ASCII.") from error
    head = [_HEAD, *(f"key {signer.vkey}" for signer in signers)]
    if lines[: len(head)] != head:
        raise EvidenceDamaged("it is not the file of a witness with these keys.")
    if len(lines) < len(head) + 2:
        raise EvidenceDamaged("lines are missing.")
    moment, logs = lines[len(head)], lines[len(head) + 1 : -1]
    checkpoints = [parse_checkpoint(line.removeprefix("log ").replace(" ", "\n") + "\n") for line in logs]
    state = _State(parse_size(moment.removeprefix("time ")), {c.origin: c for c in checkpoints})
    if _encode(state, signers) != data:
        raise EvidenceDamaged("its last line does not fit the others.")
    return state
