"""One connection to one NATS server, made anew whenever it fails.

Each attempt is a client of its own, which does not reconnect by itself: so nothing that waited for a dead server goes
out late, no state outlives it, and one that hangs is left within 1.5 s, however full its buffers are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from firedoor.bus.local import MESSAGE_BYTES
from firedoor.core.nkeys import Credentials
from firedoor.errors import SetupError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.subscription import Subscription

log = logging.getLogger("firedoor.bus")

CONNECT_SECONDS: Final = 3.0
"""For name, TCP, TLS and greeting: a server on another continent answers in one."""
PING_SECONDS: Final = 0.5
PONG_SECONDS: Final = 1.0
"""A server that hangs is left before the shortest usual lease (2 s) is over; one far away answers in 0.3 s."""
WAIT_SECONDS: Final = (0.05, 0.25)
"""Between two attempts, drawn anew each time: hosts that lost one server do not come back all at once."""
CLOSE_SECONDS: Final = 0.5
OUTBOX: Final = 64
"""Messages that wait to be sent; then the oldest are dropped. A region says some ten in a second."""
PENDING_BYTES: Final = 1024 * 1024
"""Bytes given to the client that it has not sent: five tables of full size. What waits longer waits in the outbox."""
INBOX: Final = 64
"""Messages of a topic that wait to be taken; then the oldest are dropped."""
QUEUE: Final = (4096, 16 * 1024 * 1024)
"""Messages and bytes the client may hold until `INBOX` is applied: beyond it the newest are dropped."""
_CODES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ConnectionRefusedError, "refused"),
    (socket.gaierror, "unknown_host"),
    (ssl.SSLError, "tls"),
    (TimeoutError, "timeout"),
    (SetupError, "credentials"),
    (OSError, "died"),
)


_T = TypeVar("_T")


class Carried(Struct, frozen=True):
    """What every connection of a bus needs: who listens to what, who it is, and what to call when it is connected."""

    name: str
    takers: Mapping[str, Callable[[bytes], None]]
    credentials: Callable[[], Credentials | None]
    tls: ssl.SSLContext | None
    on_connect: Callable[[], None]


class Connection:
    """A connection to `server`, from `start` to `aclose`. `connected` says whether there is one now.

    `connects` counts how often there was; `dropped` messages that waited too long, to be sent or to be taken; `trouble`
    is the code of the last failure, see `nats.NatsStatus`.
    """

    def __init__(self, server: str, carried: Carried) -> None:
        self._server = server
        self._carried = carried
        self._outbox: deque[tuple[str, bytes]] = deque(maxlen=OUTBOX)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._said: set[str] = set()
        self._denied = False
        self.address = address_of(server)
        self.connects = self.dropped = 0
        self.trouble = ""

    @property
    def connected(self) -> bool:
        """Whether what is offered now is sent."""
        return self._client is not None

    def start(self) -> None:
        """Begin to connect, and do so for ever."""
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Send what is still to be sent, for half a second at most, and disconnect."""
        task, self._task = self._task, None
        if task is None:
            return
        if self._client is not None:
            with contextlib.suppress(Exception):  # then it is lost
                async with asyncio.timeout(CLOSE_SECONDS):
                    while self._outbox:  # noqa: ASYNC110  at most some milliseconds, once
                        await asyncio.sleep(0.005)
                    await self._client.flush()
        await _end(task)

    def offer(self, topic: str, message: bytes) -> bool:
        """Whether `message` is on its way: while there is no connection, nothing is kept for later."""
        if self._client is None:
            return False
        if len(message) > self._client.max_payload:
            self._in_trouble("max_payload")
            return False
        if len(self._outbox) == OUTBOX:
            self.dropped += 1  # the oldest makes room
        self._outbox.append((topic, message))
        self._wake.set()
        return True

    async def _run(self) -> None:
        while self._task is not None:
            try:
                await self._carry()
            except* Exception as group:  # noqa: BLE001  whatever a server sends: the next attempt is the answer
                self._in_trouble(_code(group))
            await asyncio.sleep(random.uniform(*WAIT_SECONDS))  # noqa: S311  spreads, hides nothing

    async def _carry(self) -> None:
        """Connect, and carry messages until it fails. Raises whatever ended it."""
        from nats.aio.client import Client  # noqa: PLC0415  an extra

        client = Client()
        self._denied = False
        try:
            heard = await _within(CONNECT_SECONDS, self._begin(client))
            async with asyncio.TaskGroup() as group:
                for subscription, take in heard:
                    group.create_task(self._hear(subscription, take))
                group.create_task(self._send(client))
                group.create_task(_watch(client))
                self._connected(client)
        finally:
            self._client = None
            self.dropped += len(self._outbox)
            self._outbox.clear()
            await _drop(client)

    async def _begin(self, client: Client) -> list[tuple[Subscription, Callable[[bytes], None]]]:
        """Connect and subscribe. Returns when the server has the subscriptions."""
        await self._connect(client)
        heard = [(await _subscribe(client, topic), take) for topic, take in self._carried.takers.items()]
        await client.rtt()
        return heard

    def _connected(self, client: Client) -> None:
        self._client, self.trouble = client, "permissions" if self._denied else ""
        self._said.clear()
        self.connects += 1
        log.info("Connected to the NATS server %s.", self.address)
        asyncio.get_running_loop().call_soon(self._carried.on_connect)

    async def _connect(self, client: Client) -> None:
        async def on_error(error: Exception) -> None:
            code = _code(error)
            self._denied |= code == "permissions"
            self._in_trouble(code)

        secure = self._server.startswith("tls://")
        credentials = self._carried.credentials()
        options: dict[str, Any] = {
            "servers": [self._server], "name": self._carried.name, "error_cb": on_error, "no_echo": True,
            "allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": WAIT_SECONDS[0],
            "pending_size": 2 * PENDING_BYTES,
        }  # fmt: skip
        if credentials is not None:
            options["signature_cb"] = credentials.sign
            jwt = credentials.jwt
            if jwt is not None:
                options["user_jwt_cb"] = lambda: jwt
            client._public_nkey = credentials.public  # its own way to set it needs another library
        if secure:
            options["tls"] = self._carried.tls
        await client.connect(**options)
        if secure and _stream(client).get_extra_info("ssl_object") is None:
            raise ssl.SSLError("the server wants no TLS")  # which the client would do without

    async def _hear(self, subscription: Subscription, take: Callable[[bytes], None]) -> None:
        while True:
            message = await subscription.next_msg(timeout=None)
            if subscription.pending_msgs >= INBOX or len(message.data) > MESSAGE_BYTES:
                self.dropped += 1
                continue
            try:
                take(message.data)
            except Exception as error:  # noqa: BLE001  the subscriber's, not the connection's
                told = {"message": "A message of the bus could not be taken.", "exception": error}
                asyncio.get_running_loop().call_exception_handler(told)

    async def _send(self, client: Client) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                # Beyond its own bound the client would wait, and would not notice that it is told to stop.
                while client.pending_data_size > PENDING_BYTES:  # noqa: ASYNC110  it tells nobody
                    await asyncio.sleep(0.01)
                await client.publish(*self._outbox.popleft())

    def _in_trouble(self, code: str) -> None:
        if code and code not in self._said:  # said once until it is connected, not four times a second
            log.warning("NATS server %s: %s", self.address, code)
            self._said.add(code)
        self.trouble = code or self.trouble


def address_of(server: str) -> str:
    """HOST:PORT of a server's URL."""
    parts = urlsplit(server)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{host}:{parts.port or 4222}"


async def _within(seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` gives. Raises TimeoutError when it takes longer, also where it does not take its cancellation."""
    task = asyncio.create_task(work)
    try:
        if not (await asyncio.wait({task}, timeout=seconds))[0]:
            raise TimeoutError
        return task.result()
    finally:
        await _end(task)


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel until it ends: the client, and `wait_for` of Python 3.11, lose a cancellation now and then."""
    for _ in range(10):
        task.cancel()
        if (await asyncio.wait({task}, timeout=CLOSE_SECONDS / 5))[0]:
            break


async def _subscribe(client: Client, topic: str) -> Subscription:
    messages, size = QUEUE
    return await client.subscribe(topic, pending_msgs_limit=messages, pending_bytes_limit=size)


async def _watch(client: Client) -> None:
    """Raises as soon as the server does not answer, whatever the client believes of it."""
    while True:
        await asyncio.sleep(PING_SECONDS)
        async with asyncio.timeout(PONG_SECONDS):
            await client.rtt()


async def _drop(client: Client) -> None:
    """Let go of a connection, also of one whose server takes nothing more."""
    with contextlib.suppress(AttributeError):  # it never came that far
        _stream(client).transport.abort()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()


def _stream(client: Client) -> asyncio.StreamWriter:
    """The client's stream, which it does not show: to see whether it is encrypted, and to abort it."""
    stream: asyncio.StreamWriter = client._transport._io_writer  # type: ignore[union-attr]
    return stream


def _code(error: BaseException) -> str:
    """What to call `error`, empty if its cause was told before: a server's own words are not repeated."""
    first = next(_flat(error))
    if not type(first).__module__.startswith("nats."):
        return next((code for kind, code in _CODES if isinstance(first, kind)), "garbage")
    name, text = type(first).__name__, str(first).lower()
    for words in ("authorization", "permissions"):
        if words in text:
            return words
    if name == "NoServersError":
        return ""
    if isinstance(first, TimeoutError):
        return "timeout"
    return "garbage" if name in {"Error", "ProtocolError"} else "died"


def _flat(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _flat(inner)
    else:
        yield error
