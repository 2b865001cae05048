"""Nudges: datagrams on a Unix socket that say "look now". Their content is ignored; losing one loses only time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from firedoor.errors import SetupError

PATH_BYTES = 107
"""Longest path of a Unix socket on Linux: sun_path is 108 bytes with its end mark."""

DRAIN = 256
"""Datagrams taken at a time: all of them mean the same, and the event loop has other work."""


class NudgeSender:
    """Nudges whoever listens at `path`. Never waits and never raises: `failed` counts what did not arrive."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket: socket.socket | None = None
        self.failed = 0

    def send(self) -> None:
        """Nudge, or count a failure."""
        try:
            if self._socket is None:
                self._socket = socket.socket(
                    socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
                )
            self._socket.sendto(b"!", self._path)
        except OSError:  # nobody there, or so many waiting that they will look anyway
            self.failed += 1

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class NudgeReceiver:
    """Calls `on_nudge` in the running event loop when nudges arrive; many that wait together are one call."""

    def __init__(self, path: Path, on_nudge: Callable[[], None]) -> None:
        self._path = path
        self._on_nudge = on_nudge
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Bind the socket, for this user only. Raises `SetupError`."""
        if len(str(self._path).encode()) > PATH_BYTES:
            raise SetupError(
                f"The path of {self._path.name} is longer than {PATH_BYTES} bytes.",
                remedy="Put the installation into a folder with a shorter path (FIREDOOR_HOME).",
            )
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(self._path.lstat().st_mode):
                    self._path.unlink()
            listener.bind(str(self._path))
            self._path.chmod(0o600)
        except OSError as error:
            listener.close()
            raise SetupError(
                f"{self._path.name} cannot be made: {error.strerror}.", remedy="Look at the region's folder."
            ) from error
        self._socket = listener
        asyncio.get_running_loop().add_reader(listener, self._readable)

    def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(DRAIN):
            try:
                self._socket.recv(16)
            except OSError:
                break
        self._on_nudge()
