"""Serves the control API on a Unix socket that only this user, and root, can use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from firedoor.errors import SetupError

PATH_BYTES = 107
"""Longest path of a Unix socket on Linux: sun_path is 108 bytes with its end mark."""

HEAD_LIMIT = 16 * 1024
"""Bytes of a request's head: the client sends under 300."""

CALLERS = 64
"""Connections at a time: people and a console, not traffic."""

GRACE = 2
"""Seconds that requests under way have to finish when the server stops: the longest wait for a disk."""

_PEER = struct.Struct("3i")


class OwnUserProtocol(HttpToolsProtocol):
    """Drops connections of other users (SO_PEERCRED, unix(7)) and of callers that send an endless head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base does
        """Look at who it is before a byte is read."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        if peer_uid(transport.get_extra_info("socket")) not in (0, os.geteuid()):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse, then see whether the head has come to its end in time."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > HEAD_LIMIT:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A new request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is over; the application bounds the body."""
        self._in_head = False
        super().on_headers_complete()


def peer_uid(connection: Any) -> int:
    """The user id of the process at the other end, as the kernel noted it when it connected."""
    _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


class _Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers (the process has its own) and with a call when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: Any, socket_path: Path, on_ready: Callable[[], None]) -> None:
    """Serve the ASGI `app` until cancelled; then finish what is under way and remove the socket.

    `on_ready` is called once connections are accepted. Raises `SetupError` if the socket cannot be made.
    """
    listener = _listen(socket_path)
    config = uvicorn.Config(
        app, http=OwnUserProtocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        date_header=False, limit_concurrency=CALLERS, timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    try:
        await serve_until_cancelled(config, listener, on_ready, "control API")
    finally:
        with contextlib.suppress(OSError):
            socket_path.unlink()  # noqa: ASYNC240  # one system call, at the end


async def serve_until_cancelled(
    config: uvicorn.Config, listener: socket.socket, on_ready: Callable[[], None], name: str
) -> None:
    """Serve on `listener` in a task called `name`; when cancelled, finish what is under way. Closes the listener."""
    server = _Server(config, on_ready)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name=name)
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()


def _listen(path: Path) -> socket.socket:
    """A bound socket, readable and writable by this user only before it accepts anybody."""
    if len(str(path).encode()) > PATH_BYTES:
        raise SetupError(
            f"The path of {path.name} is longer than {PATH_BYTES} bytes.",
            remedy="Put the installation into a folder with a shorter path (FIREDOOR_HOME).",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise SetupError(f"{path} is in the way and is not a socket.", remedy="Move it away.")
            path.unlink()
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError as error:
        listener.close()
        raise SetupError(f"{path} cannot be made: {error.strerror}.", remedy="Look at the region's folder.") from error
    except SetupError:
        listener.close()
        raise
    return listener
