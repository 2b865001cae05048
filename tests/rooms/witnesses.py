"""Witnesses for tests: ours in this loop or as a process of its own, and raw servers that say what a test needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from firedoor.api.witness import build, listen, serve
from firedoor.bus.witness import Result, WitnessClient
from firedoor.core.evidence.note import vkeys
from firedoor.ports.logs import Cosigner
from firedoor.store.witness import Witness, create_witness

from ..core.logs import NOW, MemoryLog, seeds, witness_keys  # noqa: TID252  # tests are no installed package

NAME = "witness.nordlicht.example/eu"
SIGNERS = witness_keys(NAME)
KEYS = vkeys(SIGNERS)

PROCESS = """
import asyncio, json, os, signal, sys
from pathlib import Path
from firedoor.api import witness as api
from firedoor.core.evidence.note import NoteSeeds, Vkey, witness_signers
from firedoor.store import witness as store

asked = json.loads(sys.stdin.readline())
signers = witness_signers(asked["name"], NoteSeeds(*(bytes.fromhex(s) for s in asked["seeds"])))
path = Path(asked["path"])
if not path.exists():
    store.create_witness(path, signers)
if asked["die_after_write"]:
    write = store.write_atomic
    def write_and_die(*arguments):
        write(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    store.write_atomic = write_and_die
logs = {}
for key in map(Vkey.parse, asked["logs"]):
    logs.setdefault(key.name, []).append(key)
witness = store.Witness(path, signers, logs.get)
listener = api.listen("127.0.0.1", 0)
port = listener.getsockname()[1]
asyncio.run(api.serve(api.build(witness), listener, lambda: print(port, flush=True)))
"""


def witness(folder: Path, *logs: MemoryLog, clock: Callable[[], float] = lambda: NOW, signers=SIGNERS) -> Witness:
    """A witness with its file in `folder`, made if it is not there."""
    path = folder / "cosigned"
    if not path.exists():
        create_witness(path, signers)
    return Witness(path, signers, {log.origin: log.keys for log in logs or (MemoryLog(),)}.get, clock)


@contextlib.asynccontextmanager
async def served(cosigner: Cosigner) -> AsyncIterator[str]:
    """The witness over HTTP in this loop; its address."""
    ready = asyncio.Event()
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    task = asyncio.create_task(serve(build(cosigner), listener, ready.set))
    await ready.wait()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def process(folder: Path, *logs: MemoryLog, die_after_write: bool = False) -> Iterator[str]:
    """Our witness as a process of its own, with its own key and file; its address. The clock is the machine's."""
    halves = [seeds(NAME).ed25519.hex(), seeds(NAME).mldsa44.hex()]
    asked = {
        "name": NAME, "seeds": halves, "path": str(folder / "cosigned"), "die_after_write": die_after_write,
        "logs": [str(key) for log in logs for key in log.keys],
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", PROCESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        try:
            child.stdin.write(json.dumps(asked).encode() + b"\n")
            child.stdin.flush()
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.kill()


async def submit(
    address: str, log: MemoryLog, size: int, keys=KEYS, clock: Callable[[], float] = lambda: NOW, **more
) -> Result:
    """One submission by a client of its own, as after a restart of the agent."""
    client = WitnessClient(address, keys, clock=clock, **more)
    try:
        return await again(client, log, size)
    finally:
        await client.aclose()


async def again(client: WitnessClient, log: MemoryLog, size: int) -> Result:
    """One submission by `client`."""
    return await client.submit(log.checkpoint(size), log.signatures(size), lambda old: log.proof(old, size))


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[str]:
    """A server that reads one request and lets `handler` answer."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = [int(li.split(b":")[1]) for li in head.split(b"\r\n") if li.lower().startswith(b"content-length:")]
            await reader.readexactly(length[0])
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def says(status: int, body: bytes = b"", *headers: str) -> Handler:
    """Answer with just this."""

    async def handler(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return handler
