"""The same for what shops use today: a poller with ETags, Redis publish/subscribe, a NATS key-value watch.

Each is set up as its own documentation says, and to keep what it was told: a flip is on the disk before it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from firedoor.bench import switch_servers as servers
from firedoor.bench.processes import Process
from firedoor.bench.switch_clients import BUCKET, KEY
from firedoor.bench.switch_crowd import Crowd, client_readers, now
from firedoor.bench.switch_figures import Failure, Flip, Size, flip_figures
from firedoor.errors import SetupError

PAUSE: Final = 0.3
SETTLING: Final = 2.0
"""Pauses after which every client has asked once, or subscribed."""
JETSTREAM: Final = 'listen: "127.0.0.1:{port}"\njetstream: {{store_dir: "{folder}/js", sync_interval: always}}\n'

Say = Callable[[str], None]


class Setter(Protocol):
    """Says the value to the server. Raises if it cannot."""

    def __call__(self, value: str) -> None:
        """Durable on return."""
        ...


class Peer(NamedTuple):
    """A product: how its server is started, its value set, its readers called."""

    kind: str
    name: str
    way: str
    share: float
    """Of the flips that are measured: a poller needs a second for each."""
    start: Callable[[int, Path], contextlib.AbstractContextManager[Process]]
    setter: Callable[[int], contextlib.AbstractContextManager[Setter]]


def _nats(port: int, folder: Path) -> contextlib.AbstractContextManager[Process]:
    return servers.nats_server(port, JETSTREAM.format(port=port, folder=folder), folder)


@contextlib.contextmanager
def _poll_setter(port: int) -> Iterator[Setter]:
    def put(value: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("PUT", "/", value)
            connection.getresponse().read()
        finally:
            connection.close()

    yield put


@contextlib.contextmanager
def _redis_setter(port: int) -> Iterator[Setter]:
    import redis  # noqa: PLC0415  only where it is installed

    server = redis.Redis(host="127.0.0.1", port=port)

    def put(value: str) -> None:
        server.set(KEY, value)
        server.publish(KEY, value)

    yield put
    server.close()


@contextlib.contextmanager
def _kv_setter(port: int) -> Iterator[Setter]:
    """Its client lives in an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)

    client, bucket = run(_kv_bucket(port))

    def put(value: str) -> None:
        run(bucket.put(KEY, value.encode()))

    try:
        yield put
    finally:
        with contextlib.suppress(Exception):  # its server may be gone
            run(client.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _kv_bucket(port: int) -> tuple[Any, Any]:
    import nats  # noqa: PLC0415  only where it is installed
    from nats.js.api import StorageType  # noqa: PLC0415

    client = await nats.connect(f"nats://127.0.0.1:{port}", max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    return client, await client.jetstream().create_key_value(bucket=BUCKET, history=1, storage=StorageType.FILE)


PEERS: Final = (
    Peer("poll", "poller, ETag", "HTTP every {every:g} s", 0.2, servers.poll_server, _poll_setter),
    Peer("redis", "Redis", "SET + PUBLISH", 1.0, servers.redis_server, _redis_setter),
    Peer("kv", "NATS KV", "nats-py watch", 1.0, _nats, _kv_setter),
)


class Peers:
    """Measures each peer that is installed here."""

    def __init__(self, folder: Path, size: Size, say: Say) -> None:
        folder.mkdir()
        self._folder = folder
        self._size = size
        self._say = say
        self.flips: list[Flip] = []
        self.failures: list[Failure] = []
        self.skipped: list[str] = []

    def run(self) -> None:
        """All of them; one that cannot be started is skipped with a reason."""
        for peer in PEERS:
            if peer.kind not in self._size.peers:
                continue
            try:
                self._measure(peer)
            except (SetupError, ImportError) as error:
                remedy = f" {error.remedy}" if isinstance(error, SetupError) else ""
                self.skipped.append(f"{peer.name}: {error}{remedy}")

    def _measure(self, peer: Peer) -> None:
        (port,) = servers.free_ports(1)
        flips = max(2, round(self._size.flips * peer.share))
        with peer.start(port, self._folder / peer.kind), peer.setter(port) as put:
            for count in self._size.readers:
                self._say(f"{peer.name}, {count} readers")
                with self._readers(peer, port, count) as crowd:
                    times = [_flip(crowd, put, peer, self._pause(peer)) for _ in range(flips)]
                self.flips.append(flip_figures(peer.name, peer.way.format(every=self._size.every), 0, times))
        self._say(f"{peer.name}, without its server")
        self.failures.append(self._without(peer, port, self._size.readers[-1]))

    def _without(self, peer: Peer, port: int, count: int) -> Failure:
        """Kill the server, wait, start it again, and flip at once: who listens hears of it when back, or never."""
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(peer.start(port, self._folder / peer.kind))
            crowd = stack.enter_context(self._readers(peer, port, count))
            crowd.forget()
            server.kill()
            time.sleep(self._size.watched)
            safe = not crowd.wait("open", within=0)
            stack.enter_context(peer.start(port, self._folder / peer.kind))
            back = now()
            put = stack.enter_context(peer.setter(port))
            put("shut")
            heard = crowd.wait("shut", within=self._size.back)
            return Failure(
                system=peer.name,
                what="server killed, back, flipped at once",
                readers=count,
                safe=self._size.watched if safe else None,
                over=None,
                back=max(crowd.since(back, "shut")) if heard else None,
                watched=self._size.back,
                note="" if heard else f"{len(crowd.since(back, 'shut'))} of {count} heard of the flip",
            )

    @contextlib.contextmanager
    def _readers(self, peer: Peer, port: int, count: int) -> Iterator[Crowd]:
        """Readers whose clients have all asked once, or subscribed."""
        with client_readers(peer.kind, port, count, self._size.every, self._folder / "readers.log") as crowd:
            crowd.need("open", peer.name)
            time.sleep(SETTLING * self._pause(peer))
            yield crowd

    def _pause(self, peer: Peer) -> float:
        """Seconds between two flips at most: they come at any time."""
        return self._size.every if peer.kind == "poll" else PAUSE


def _flip(crowd: Crowd, put: Setter, peer: Peer, pause: float) -> list[float]:
    time.sleep(random.uniform(0, pause))  # noqa: S311  a flip comes at any time
    crowd.forget()
    start = now()
    put("shut")
    crowd.need("shut", peer.name)
    times = crowd.since(start, "shut")
    put("open")
    crowd.need("open", peer.name)
    return times
