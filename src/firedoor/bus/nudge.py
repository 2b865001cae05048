"""Nudges: datagrams on a Unix socket that say "look now". Their content is ignored; losing one loses only time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from firedoor.errors import SetupError

PATH_BYTES = 107
"""Longest path of a Unix socket on Linux: sun_path is 108 bytes with its end mark."""

SOCKETS = 256
"""Sockets in one folder that are nudged: four times the workers that a session table has room for."""

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
                self._socket = _datagrams()
            self._socket.sendto(b"!", self._path)
        except OSError:  # nobody there, or so many waiting that they will look anyway
            self.failed += 1

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class NudgeAll:
    """Nudges everybody who listens in `folder`: one socket ``NAME.sock`` each. Never waits, never raises."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self) -> None:
        """One datagram to each. Who is not there, or has so many waiting that he will look anyway, is passed over."""
        with contextlib.suppress(OSError), _datagrams() as sender:  # out of descriptors
            for path in self._paths():
                with contextlib.suppress(OSError):
                    sender.sendto(b"!", path)

    def listening(self) -> int:
        """How many listen now: the socket of a process that was killed is there, and takes nothing."""
        return sum(map(_listens, self._paths()))

    def _paths(self) -> list[str]:
        try:
            with os.scandir(self._folder) as entries:
                return list(itertools.islice((e.path for e in entries if e.name.endswith(".sock")), SOCKETS))
        except OSError:
            return []


class NudgeReceiver:
    """Calls `on_nudge` in the running event loop when nudges arrive; many that wait together are one call."""

    def __init__(self, path: Path, on_nudge: Callable[[], None]) -> None:
        self._path = path
        self._on_nudge = on_nudge
        self._socket: socket.socket | None = None
        self._inode = (0, 0)

    def start(self) -> None:
        """Bind the socket, for this user only. Raises `SetupError`."""
        if len(str(self._path).encode()) > PATH_BYTES:
            raise SetupError(
                f"The path of {self._path.name} is longer than {PATH_BYTES} bytes.",
                remedy="Put the installation into a folder with a shorter path (FIREDOOR_HOME).",
            )
        listener = _datagrams()
        try:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(self._path.lstat().st_mode):
                    self._path.unlink()
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            self._inode = _inode(self._path)
        except OSError as error:
            listener.close()
            raise SetupError(
                f"{self._path.name} cannot be made: {error.strerror}.", remedy="Look at the region's folder."
            ) from error
        self._socket = listener
        asyncio.get_running_loop().add_reader(listener, self._readable)

    def close(self) -> None:
        """Stop listening and remove the socket, unless another process put its own there."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        with contextlib.suppress(OSError):
            if _inode(self._path) == self._inode:
                self._path.unlink()

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(DRAIN):
            try:
                self._socket.recv(16)
            except OSError:
                break
        self._on_nudge()


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def _listens(path: str) -> bool:
    try:
        with _datagrams() as caller:
            caller.connect(path)
    except OSError:
        return False
    return True


def _inode(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
