"""Requests and streams at every gateway worker, all the time, and when each was refused, cut or answered.

``python -m firedoor.bench.switch_load --port P --model M --workers PID,PID… --requests 1 --streams 2``

The credential comes in the environment variable of `firedoor.bench.load`. Prints ``{"ready": true}``, then a line for
each request that is over: ``request WORKER SENT DONE OUTCOME SWITCH``, and for each stream
``stream WORKER FIRST_TEXT LAST_TEXT CLOSED``; times are nanoseconds of CLOCK_MONOTONIC, 0 for no text.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import sys
import time
from pathlib import Path
from typing import Final

from firedoor.bench.load import CREDENTIAL_VARIABLE
from firedoor.bench.shapes import Shape

THINK: Final = 0.02
"""Seconds between an answer and the next request of a connection: load, but not more than two cores take."""
CONNECTIONS: Final = 400
"""Tried until every worker has its share: the kernel chooses who gets one."""

_TEXT: Final = re.compile(rb'"content": ?"(?!We are back)[^"]')
_HEADER: Final = re.compile(rb"\r\nfiredoor-(outcome|switch): ?(\w+)", re.IGNORECASE)


class Wire:
    """A connection to one worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> tuple[dict[str, str], int, int]:
        """What the response's Firedoor headers say, and when the model's text began and ended (0: there was none)."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        said = {key.decode().lower(): value.decode() for key, value in _HEADER.findall(head)}
        length = re.search(rb"content-length: ?(\d+)", head, re.IGNORECASE)
        if length is not None:
            await self._reader.readexactly(int(length[1]))
            return said, 0, 0
        first = last = 0
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            chunk = await self._reader.readexactly(size + 2)
            if _TEXT.search(chunk):
                last = time.monotonic_ns()
                first = first or last
        await self._reader.readexactly(2)
        return said, first, last

    def close(self) -> None:
        """Let go."""
        self._writer.close()


async def ask_on(wire: Wire, worker: int, shape: Shape, number: int) -> None:
    """Request after request on one connection."""
    while True:
        sent = time.monotonic_ns()
        said, _, _ = await wire.ask(shape.request(number, 0))
        outcome, switch = said.get("outcome", "none"), said.get("switch", "none")
        _say(f"request {worker} {sent} {time.monotonic_ns()} {outcome} {switch}")
        number += 1
        await asyncio.sleep(THINK)


async def stream_on(wire: Wire, worker: int, shape: Shape, number: int) -> None:
    """Stream after stream on one connection."""
    while True:
        _, first, last = await wire.ask(shape.request(number, 0))
        _say(f"stream {worker} {first} {last} {time.monotonic_ns()}")
        number += 1
        await asyncio.sleep(THINK)


async def load(port: int, pids: list[int], requests: int, streams: int, model: str) -> None:
    """Load until killed."""
    wires = await _connect(port, pids, requests + streams)
    credential, host = os.environ[CREDENTIAL_VARIABLE], f"127.0.0.1:{port}"
    shapes = [Shape("short", host, credential, stream=streamed, model=model) for streamed in (False, True)]
    tasks = []
    for worker, mine in enumerate(wires):
        for at, wire in enumerate(mine):
            first = (worker * (requests + streams) + at) * 1_000_000
            on, shape = (ask_on, shapes[0]) if at < requests else (stream_on, shapes[1])
            tasks.append(asyncio.create_task(on(wire, worker, shape, first)))
    _say('{"ready": true}')
    await asyncio.gather(*tasks)


async def _connect(port: int, pids: list[int], each: int) -> list[list[Wire]]:
    """`each` connections to every worker."""
    found: list[list[Wire]] = [[] for _ in pids]
    for _ in range(CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wire, ours = Wire(reader, writer), int(writer.get_extra_info("sockname")[1])
        worker = await _worker(port, ours, pids)
        if worker is None or len(found[worker]) == each:
            wire.close()
        else:
            found[worker].append(wire)
        if all(len(mine) == each for mine in found):
            return found
    raise SystemExit("bench: some gateway worker takes no connections")


async def _worker(port: int, ours: int, pids: list[int]) -> int | None:
    """Which of the processes has accepted our connection from port `ours`."""
    for _ in range(200):
        wanted = f"socket:[{_inode(port, ours)}]"
        for number, pid in enumerate(pids):
            if wanted in _open_files(pid):
                return number
        await asyncio.sleep(0.01)
    return None


def _inode(port: int, ours: int) -> str:
    """Of the other end of a connection on loopback."""
    ends = [f"0100007F:{number:04X}" for number in (port, ours)]
    rows = (line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:])
    return next((row[9] for row in rows if row[1:3] == ends), "none")


def _open_files(pid: int) -> set[str]:
    """What the descriptors of a process are."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed while we looked
            found.add(str(entry.readlink()))
    return found


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Load until killed."""
    parser = argparse.ArgumentParser(prog="python -m firedoor.bench.switch_load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--workers", required=True, help="their process ids, separated by commas")
    parser.add_argument("--requests", type=int, default=1, help="connections with requests, at each worker")
    parser.add_argument("--streams", type=int, default=2, help="connections with streams, at each worker")
    options = parser.parse_args(arguments)
    pids = [int(pid) for pid in options.workers.split(",")]
    asyncio.run(load(options.port, pids, options.requests, options.streams, options.model))
    return 0


if __name__ == "__main__":
    sys.exit(main())
