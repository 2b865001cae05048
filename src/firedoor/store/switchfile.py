"""The durable switch table of a region as one JSON file, its writer's lock, and the SHUT file beside it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from firedoor.core.switchstate import Stored
from firedoor.errors import SetupError
from firedoor.store.files import read_bounded, write_atomic

FORMAT = "firedoor/switches/1"

STATE_LIMIT = 4 * 1024 * 1024
"""Bytes of the file: a full table, 256 trail entries with two signatures each, and 8192 nonces."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    """What is on the disk: the state as JSON, and the SHA-256 (hex) of exactly those bytes."""

    format: str
    sha256: str
    state: msgspec.Raw


_file_decoder = msgspec.json.Decoder(_File)
_state_decoder = msgspec.json.Decoder(Stored)
_encoder = msgspec.json.Encoder(order="deterministic")


class SwitchFile:
    """`switches.json`. See `firedoor.ports.SwitchStore`. Made by `open_switches`, which holds the writer's lock."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock

    def load(self) -> Stored | None:
        """Raises `SetupError` if the file is there and is not exactly what was saved."""
        try:
            data = read_bounded(self._path, STATE_LIMIT)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SetupError(f"{self._path} cannot be read: {error.strerror}.") from error
        try:
            file = _file_decoder.decode(data)
            if file.format != FORMAT or hashlib.sha256(file.state).hexdigest() != file.sha256:
                raise SetupError(f"{self._path} is damaged: its content does not match its SHA-256.")
            return _state_decoder.decode(file.state)
        except msgspec.DecodeError as error:
            raise SetupError(f"{self._path} is damaged: it is not a switch table.") from error

    def save(self, stored: Stored) -> None:
        """Replace the file; on return it is on the disk. Raises OSError."""
        state = _encoder.encode(stored)
        file = _File(FORMAT, hashlib.sha256(state).hexdigest(), msgspec.Raw(state))
        write_atomic(self._path, _encoder.encode(file))

    def set_aside(self) -> None:
        """Rename a damaged file. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}"))

    def close(self) -> None:
        """Let another process write."""
        os.close(self._lock)


def open_switches(path: Path) -> SwitchFile:
    """The switch table at `path`, locked for this process until closed. Raises `SetupError` if another one has it."""
    descriptor = os.open(path.with_name(f".{path.name}.writer"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SetupError(
            f"Another control process has the switches of {path.parent}.", remedy="Stop that `firedoor up` first."
        ) from None
    return SwitchFile(path, descriptor)


class ShutFileWatch:
    """The SHUT file and the workers' note `run/latched`. See `firedoor.ports.ShutFiles`."""

    def __init__(self, shut_file: Path, latch_file: Path) -> None:
        self._shut_file = shut_file
        self._latch_file = latch_file

    def shut(self) -> bool:
        """Whether the SHUT file is there."""
        return _there(self._shut_file)

    def noted(self) -> bool:
        """Whether a worker noted one."""
        return _there(self._latch_file)

    def note(self) -> None:
        """Leave the note. Raises OSError."""
        self._latch_file.touch(mode=0o600)

    def clear_note(self) -> None:
        """Remove the note. Raises OSError."""
        self._latch_file.unlink(missing_ok=True)


def _there(path: Path) -> bool:
    """Whether there is anything at `path`, a dangling link too. A path that cannot be looked at counts as there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
