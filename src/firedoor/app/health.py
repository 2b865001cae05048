"""What answers at a gateway's address, and who holds a journal's slot: asked from outside, changing nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import msgspec
from msgspec import Struct

ANSWER_SECONDS = 2.0
"""For a process on this machine to answer."""
MOST = 65_536
"""Bytes of an answer; ours have about 200."""


class Health(Struct, frozen=True):
    """What a gateway worker says of itself; an empty region if something else answers there."""

    region: str = ""
    journal: str = ""


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
