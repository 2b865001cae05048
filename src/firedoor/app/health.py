"""What answers at a gateway's address, and who holds a journal's slot: asked from outside, changing nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import Struct

ANSWER_SECONDS = 2.0
"""For a process on this machine to answer."""
READY_SECONDS = 30.0
"""For a gateway or control process to answer: importing takes about a second each on a busy machine."""
MOST = 65_536
"""Bytes of an answer; ours have about 200."""
LISTENS = "this worker listens"
"""What a gateway worker says in its log once connections are taken."""


class Health(Struct, frozen=True):
    """What a gateway worker says of itself; an empty region if something else answers there.

    `breakers` are those that are not closed in this worker, as ``SURFACE/MODEL``.
    """

    region: str = ""
    journal: str = ""
    breakers: dict[str, str] = {}


async def health(listen: str) -> Health | None:
    """What listens on the address `listen` of the plan; None if nothing does."""
    host, _, port = listen.rpartition(":")
    host = "127.0.0.1" if host in {"0.0.0.0", "*"} else host.strip("[]")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return None
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answer = b""
            while len(answer) < MOST and (more := await reader.read(MOST)):
                answer += more
        return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=Health)
    except (OSError, TimeoutError, msgspec.MsgspecError):
        return Health()
    finally:
        writer.close()


async def serves(listen: str, region: str) -> bool:
    """Whether the program that listens there is the gateway of `region`."""
    found = await health(listen)
    return found is not None and found.region == region


async def comes_true(ask: Callable[[], Awaitable[bool]]) -> bool:
    """Ask until it is so, for `READY_SECONDS` at most. Other processes come up: there is no event to wait for."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await ask():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True


def last_line(log: Path) -> str:
    """What a process said last: why it does not start."""
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1].strip() if lines else f"see {log}"


def slot_is_held(folder: Path) -> bool:
    """Whether a process writes the journal in `folder`. It holds the slot's lock for as long as it lives."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)
