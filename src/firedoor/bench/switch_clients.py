"""What other products give their callers, each as its own documentation shows it: one client for each reader.

The switch is called ``ks`` and is ``open`` or ``shut``. Every function here runs in a thread of a reader's process and
writes what its clients hold into `cells`; a client that loses its server keeps what it had.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import aiohttp

KEY: Final = "ks"
BUCKET: Final = "switches"


def poll(port: int, cells: list[str], every: float) -> None:
    """Ask an HTTP server every `every` seconds with the ETag of the last answer, as Unleash's SDKs do."""
    asyncio.run(_all([_poll(port, cells, at, every) for at in range(len(cells))]))


def redis(port: int, cells: list[str], _every: float) -> None:
    """SUBSCRIBE, after one GET: redis-py's own connection comes back by itself, and reads nothing again."""
    asyncio.run(_all([_redis(port, cells, at) for at in range(len(cells))]))


def kv(port: int, cells: list[str], _every: float) -> None:
    """A watch of nats-py on a JetStream key-value bucket, told to reconnect for ever and soon."""
    asyncio.run(_all([_kv(port, cells, at) for at in range(len(cells))]))


async def _all(clients: list[object]) -> None:
    await asyncio.gather(*clients)  # type: ignore[call-overload]


async def _poll(port: int, cells: list[str], at: int, every: float) -> None:
    url, tag = f"http://127.0.0.1:{port}/", ""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=every)) as session:
        await asyncio.sleep(random.uniform(0, every))  # noqa: S311  clients start at different times
        while True:
            try:
                async with session.get(url, headers={"If-None-Match": tag}) as answer:
                    if answer.status == 200:
                        cells[at], tag = (await answer.text()), answer.headers.get("ETag", "")
            except (aiohttp.ClientError, TimeoutError):
                pass  # it keeps what it had, and asks again
            await asyncio.sleep(every)


async def _redis(port: int, cells: list[str], at: int) -> None:
    from redis import asyncio as client  # noqa: PLC0415  only where it is installed
    from redis.exceptions import RedisError  # noqa: PLC0415

    server = client.Redis(host="127.0.0.1", port=port, decode_responses=True)
    listener = server.pubsub()
    await listener.subscribe(KEY)
    cells[at] = str(await server.get(KEY) or "open")
    while True:
        try:
            message = await listener.get_message(ignore_subscribe_messages=True, timeout=1.0)
        except (RedisError, OSError):
            await asyncio.sleep(0.05)
            continue
        if message is not None:
            cells[at] = message["data"]


async def _kv(port: int, cells: list[str], at: int) -> None:
    import nats  # noqa: PLC0415  only where it is installed

    async def silent(_error: Exception) -> None:
        """The client logs every lost connection otherwise."""

    connection = await nats.connect(
        f"nats://127.0.0.1:{port}", max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=silent
    )
    bucket = await connection.jetstream().key_value(BUCKET)
    watcher = await bucket.watch(KEY)
    while True:
        try:
            entry = await watcher.updates(timeout=5)  # type: ignore[no-untyped-call]  # as the library has it
        except TimeoutError:
            continue
        if entry is not None and entry.value is not None:
            cells[at] = entry.value.decode()
