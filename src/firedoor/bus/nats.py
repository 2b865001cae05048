"""The bus between hosts: core NATS, at most once, over every server that is named.

Each message goes out over all servers that are connected, so that one which dies or hangs costs nothing while another
lives; they need not know of each other. What comes over several of them is given on several times: `several.Several`
keeps the first.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from firedoor.bus.local import fits
from firedoor.bus.natsconnection import Carried, Connection
from firedoor.core.nkeys import FILE_LIMIT, Credentials, parse_credentials
from firedoor.errors import SetupError

SERVERS: Final = 16
"""As many as a plan may name."""


class NatsStatus(Struct, frozen=True):
    """How it does. `servers` are those it is connected to (HOST:PORT), of `named`; `connects` how often it came to one.

    `failed` counts messages that no server was given (not connected, too large), `dropped` those that waited too long.
    `trouble` is the code of the last failure of a server, empty once all are connected: ``refused``, ``timeout``,
    ``died``, ``unknown_host``, ``tls``, ``authorization``, ``permissions``, ``credentials``, ``max_payload``,
    ``garbage``.
    """

    servers: tuple[str, ...]
    named: int
    connects: int
    failed: int
    dropped: int
    trouble: str

    @property
    def server(self) -> str | None:
        """One of the servers that it is connected to, None if there is none."""
        return self.servers[0] if self.servers else None


class NatsBus:
    """A `ports.Bus` over all of `servers`; what this process publishes it does not hear. Needs ``nats-py``.

    `name` is what the servers' monitoring calls it. `credentials_file` is read at each connect. `on_connect` is called
    in the event loop whenever a server is connected: what was said before may be lost. Set it before `open`.
    """

    def __init__(
        self, servers: Sequence[str], *, credentials_file: Path | None = None, ca_file: Path | None = None, name: str
    ) -> None:
        self._servers = tuple(dict.fromkeys(servers))[:SERVERS]
        self._credentials_file = credentials_file
        self._ca_file = ca_file
        self._name = name
        self._takers: dict[str, Callable[[bytes], None]] = {}
        self._connections: tuple[Connection, ...] = ()
        self._failed = 0
        self.on_connect: Callable[[], None] = lambda: None

    @property
    def status(self) -> NatsStatus:
        """How it does now."""
        all_ = self._connections
        return NatsStatus(
            tuple(one.address for one in all_ if one.connected),
            len(self._servers),
            sum(one.connects for one in all_),
            self._failed,
            sum(one.dropped for one in all_),
            next((one.trouble for one in all_ if one.trouble), ""),
        )

    def subscribe(self, topic: str, take: Callable[[bytes], None]) -> None:
        """Have `take` called with every message of `topic`. Before `open`."""
        self._takers[topic] = take

    async def open(self) -> None:
        """Begin to connect, and do so for ever. Raises `SetupError` if it cannot be tried at all."""
        try:
            import nats.aio.client  # noqa: F401, PLC0415  an extra
        except ImportError as error:
            remedy = 'Run pip install "firedoor[nats]".'
            raise SetupError("The plan names a NATS server, but nats-py is not installed.", remedy=remedy) from error
        for server in self._servers:
            _check_server(server)
        self._credentials()
        secure = any(server.startswith("tls://") for server in self._servers)
        tls = _tls_context(self._ca_file) if secure else None
        carried = Carried(self._name, self._takers, self._credentials, tls, self.on_connect)
        self._connections = tuple(Connection(server, carried) for server in self._servers)
        for connection in self._connections:
            connection.start()

    async def aclose(self) -> None:
        """Send what is still to be sent, for half a second at most, and disconnect."""
        await asyncio.gather(*(connection.aclose() for connection in self._connections))

    def publish(self, topic: str, message: bytes) -> None:
        """Send `message`, or count a failure: while there is no connection, nothing is kept for later."""
        taken = [one.offer(topic, message) for one in self._connections] if fits(topic, message) else []
        if not any(taken):
            self._failed += 1

    def _credentials(self) -> Credentials | None:
        """Raises `SetupError`."""
        if self._credentials_file is None:
            return None
        try:
            with self._credentials_file.open("rb") as file:
                return parse_credentials(file.read(FILE_LIMIT + 1))
        except OSError as error:
            raise SetupError(
                f"The NATS credentials {self._credentials_file.name} cannot be read: {error.strerror}.",
                remedy="Correct `credentials_file` in the plan, or the file's owner and mode.",
            ) from error


def _check_server(server: str) -> None:
    try:
        parts = urlsplit(server)
        good = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or "@" in server or parts.path.strip("/") or parts.query or parts.fragment:
        raise SetupError(
            "A NATS server of the plan is not nats://HOST:PORT or tls://HOST:PORT.",
            remedy="Correct `bus.servers`; users and keys go into `credentials_file`.",
        )


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(
            "The certificates of the NATS server's CA cannot be read.", remedy="Correct `bus.ca_file` in the plan."
        ) from error
