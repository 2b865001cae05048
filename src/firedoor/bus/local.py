"""The bus of one machine: Unix datagrams between the sockets of one folder. Private to this user, as the folder is.

A datagram is the topic, a line feed, the message. Every process binds ``FOLDER/NAME.sock`` and sends what it publishes
to each other socket there, over a connection of its own: what one peer has not read yet takes no room from the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from firedoor.bus.nudge import PATH_BYTES
from firedoor.errors import SetupError

MESSAGE_BYTES: Final = 192 * 1024
"""Longest message: the bound of a switch table."""
TOPIC_BYTES: Final = 255
"""Longest topic: ``firedoor.``, the name of a region, one word."""
TOPIC: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+){0,7}")
"""What topics look like on every bus: no wildcard, no white space."""
DRAIN: Final = 32
"""Datagrams taken at a time: the event loop has other work, and the kernel keeps what waits."""
PEERS: Final = 64
"""Sockets of one folder: a machine has a control process and a switch agent for each region, and not 32 regions."""
_SUFFIX: Final = ".sock"
_SEND_BYTES: Final = 4 * (MESSAGE_BYTES + TOPIC_BYTES + 1)
"""Asked of the kernel for each peer; what it gives at least, 416 kB, takes the longest message."""
_LOCK_SECONDS: Final = 2.0
"""Others hold the lock of the folder for some system calls only."""
_FLAGS: Final = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


class LocalBus:
    """A `ports.Bus` over the sockets of `folder`; this process is `name` there, and hears all but itself.

    `failed` counts messages that a peer did not get, or that were too large; `ignored` datagrams that were not of this
    form, or of a topic nobody here subscribed to. What a subscriber raises goes to the event loop's handler.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._path = folder / f"{name}{_SUFFIX}"
        self._takers: dict[str, Callable[[bytes], None]] = {}
        self._socket: socket.socket | None = None
        self._peers: dict[str, socket.socket] = {}
        self._buffer = memoryview(bytearray(TOPIC_BYTES + 1 + MESSAGE_BYTES + 1))
        self.failed = 0
        self.ignored = 0

    def subscribe(self, topic: str, take: Callable[[bytes], None]) -> None:
        """Have `take` called with every message of `topic`. Before `open`."""
        self._takers[topic] = take

    async def open(self) -> None:
        """Bind the socket, in place of one whose process is gone, and listen. Raises `SetupError`."""
        if len(os.fsencode(self._path)) > PATH_BYTES:
            raise SetupError(
                f"The path of {self._path.name} is longer than {PATH_BYTES} bytes.",
                remedy="Put the installation into a folder with a shorter path (FIREDOOR_HOME).",
            )
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            deadline = asyncio.get_running_loop().time() + _LOCK_SECONDS
            while True:
                with _lock(self._folder) as locked:
                    if locked:
                        self._socket = self._bind()
                        break
                if asyncio.get_running_loop().time() > deadline:
                    raise SetupError(f"{self._folder} stays locked by another process.", remedy="End it.")
                await asyncio.sleep(0.01)
        except OSError as error:
            raise SetupError(
                f"{self._path.name} cannot be made: {error.strerror}.", remedy=f"Look at {self._folder}."
            ) from error
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def publish(self, topic: str, message: bytes) -> None:
        """Send `message` to every other socket of the folder, or count those who do not get it."""
        if self._socket is None or not fits(topic, message):
            self.failed += 1
            return
        datagram = b"%b\n%b" % (topic.encode(), message)
        names = self._names()
        if self._path.name not in names:
            self._heal()
        for name in names:
            if name != self._path.name and not self._send(name, datagram):
                self.failed += 1

    def close(self) -> None:
        """Stop listening and remove the socket."""
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _bind(self) -> socket.socket:
        if _alive(self._path):
            raise SetupError(
                f"{self._path.name} is another process's: it runs already.",
                remedy="End that one, or give this one another name.",
            )
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()
        listener = socket.socket(socket.AF_UNIX, _FLAGS)
        try:
            listener.bind(str(self._path))
            self._path.chmod(0o600)
        except BaseException:
            listener.close()
            raise
        return listener

    def _heal(self) -> None:
        """Somebody removed the socket, so that nobody finds this process: bind it anew."""
        with contextlib.suppress(OSError, SetupError):  # the next time, then
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _lock(self._folder) as locked:
                if locked and self._socket is not None:
                    fresh = self._bind()
                    loop = asyncio.get_running_loop()
                    loop.remove_reader(self._socket)
                    self._socket.close()
                    self._socket = fresh
                    loop.add_reader(fresh, self._readable)

    def _names(self) -> list[str]:
        """Names of the sockets of the folder. Connections to those that are gone are let go."""
        try:
            with os.scandir(self._folder) as entries:
                found = [entry.name for entry in entries if entry.name.endswith(_SUFFIX)]
        except OSError:
            self.failed += 1
            return []
        if len(found) > PEERS:
            self.failed += len(found) - PEERS
            found = sorted(found, key=lambda name: (name != self._path.name, name))[:PEERS]
        for name in self._peers.keys() - set(found):
            self._peers.pop(name).close()
        return found

    def _send(self, name: str, datagram: bytes) -> bool:
        """Whether `name` has it. The second try is for a process that came in place of a dead one."""
        for _ in range(2):
            try:
                peer = self._peers.get(name)
                if peer is None:
                    peer = self._peers[name] = _connect(self._folder / name)
                peer.send(datagram)
                return True
            except BlockingIOError:  # it does not read: it gets the next beat, or not
                return False
            except OSError as error:
                if name not in self._peers:  # there was nobody to connect to
                    if error.errno == errno.ECONNREFUSED:
                        self._remove_dead(name)
                    return False
                self._peers.pop(name).close()
        return False

    def _remove_dead(self, name: str) -> None:
        """Remove a socket without a process. Under the lock, so that nobody is just binding it anew."""
        with contextlib.suppress(OSError), _lock(self._folder) as locked:
            path = self._folder / name
            if locked and stat.S_ISSOCK(path.lstat().st_mode) and not _alive(path):
                path.unlink()

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(DRAIN):
            try:
                size = self._socket.recv_into(self._buffer)
            except OSError:
                return
            self._take(bytes(self._buffer[:size]))
            if self._socket is None:  # a subscriber closed this
                return

    def _take(self, datagram: bytes) -> None:
        topic, line, message = datagram.partition(b"\n")
        take = self._takers.get(topic.decode("ascii", "replace")) if len(topic) <= TOPIC_BYTES else None
        if take is None or not line or len(message) > MESSAGE_BYTES:
            self.ignored += 1
            return
        take(message)


def fits(topic: str, message: bytes) -> bool:
    """Whether this is a topic, and a message that every bus carries."""
    return len(message) <= MESSAGE_BYTES and len(topic) <= TOPIC_BYTES and TOPIC.fullmatch(topic) is not None


def _connect(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, _FLAGS)
    try:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        peer.connect(str(path))
    except BaseException:
        peer.close()
        raise
    return peer


def _alive(path: Path) -> bool:
    """Whether a process has the socket `path`. What cannot be asked is taken for alive."""
    try:
        _connect(path).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError as error:
        return error.errno != errno.ENOTSOCK
    return True


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Whether this process has the lock of `folder` now: who makes or removes sockets there has it. Never waits."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
