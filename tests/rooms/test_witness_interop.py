"""Witnesses and verifiers of others: each is a process of its own with its own key and store, and agrees with ours.

witness-log (Rust) is a development dependency. aics-witness and aics-tlog need Python >= 3.12 and so an environment of
their own, named by FIREDOOR_TEST_AICS or at `.interop` in the repository.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from firedoor.bus.witness import Cosigned, Failed, Forked, RolledBack
from firedoor.core.evidence.note import COSIGNER_ED25519, Note, Signature, Vkey, parse_note
from firedoor.core.evidence.policy import satisfied, write

from ..core.logs import MemoryLog  # noqa: TID252  # tests are no installed package
from .witnesses import KEYS, process, submit

LOG = MemoryLog()
FORK = MemoryLog(fork_at=3)
AICS = Path(os.environ.get("FIREDOOR_TEST_AICS", Path(__file__).parents[2] / ".interop")) / "bin"
needs_aics = pytest.mark.skipif(
    not (AICS / "aics-witness").exists(),
    reason="python3.12 -m venv .interop && .interop/bin/pip install aics-witness aics-tlog",
)

WITNESS_LOG = """
import http.server, json, sys
import witness_log
asked = json.loads(sys.stdin.readline())
if asked["new"]:
    witness_log.WitnessService.create_state(asked["path"])
service = witness_log.WitnessService.new("witness.theirs.example/w1", bytes.fromhex(asked["seed"]), asked["path"])
service.add_log(asked["origin"], asked["key"])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, kind, answer = service.handle_add_checkpoint_http(body.decode())
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer.encode())))
        self.end_headers()
        self.wfile.write(answer.encode())
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], service.vkey(), flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def child(arguments: list[str], first_line: str = "", **more) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more) as running:
        try:
            running.stdin.write(first_line)
            running.stdin.flush()
            yield running
        finally:
            running.kill()


@contextlib.contextmanager
def witness_log(folder: Path) -> Iterator[tuple[str, Vkey]]:
    """witness-log's witness over HTTP; its address and key."""
    import json

    pytest.importorskip("witness_log", reason="pip install witness-log")
    path = folder / "state"
    asked = {
        "new": not path.exists(), "path": str(path), "seed": "07" * 32, "origin": LOG.origin, "key": str(LOG.keys[0]),
    }  # fmt: skip
    with child([sys.executable, "-c", WITNESS_LOG], json.dumps(asked) + "\n") as running:
        port, key = running.stdout.readline().split()
        yield f"http://127.0.0.1:{port}", Vkey.parse(key)


@contextlib.contextmanager
def aics_witness(folder: Path) -> Iterator[tuple[str, Vkey]]:
    """aics-witness; its address and key."""
    config = str(folder / "witness.json")

    def command(*words: str) -> str:
        return subprocess.run([AICS / "aics-witness", *words], check=True, capture_output=True, text=True).stdout

    if not Path(config).exists():
        command("init", "-c", config, "--name", "witness.theirs.example/w1", "--listen", "127.0.0.1:1")
        command("add-log", "-c", config, "--origin", LOG.origin, "--vkey", str(LOG.keys[0]))
    key = next(
        word for word in command("status", "-c", config).split() if word.startswith("witness.theirs.example/w1+")
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with child(
        [str(AICS / "aics-witness"), "serve", "-c", config, "--listen", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    ):
        yield f"http://127.0.0.1:{port}", Vkey.parse(key)


async def ask(address: str, log: MemoryLog, size: int, key: Vkey):
    """Submit, again while the other process is still starting."""
    for _ in range(500):
        result = await submit(address, log, size, keys=(key,), clock=time.time)
        if result != Failed("refused"):
            return result
        await asyncio.sleep(0.02)
    raise AssertionError("the witness never came up")


@pytest.mark.parametrize("theirs", [witness_log, pytest.param(aics_witness, marks=needs_aics)])
def test_their_witness_cosigns_our_log_and_refuses_a_fork_and_a_rollback(tmp_path: Path, theirs) -> None:
    async def run() -> None:
        with theirs(tmp_path) as (address, key):
            for size in (1, 7, 12, 12, 40):
                result = await ask(address, LOG, size, key)
                assert isinstance(result, Cosigned), (size, result)
                note = parse_note(LOG.note(size, now=int(time.time())))
                note = Note(note.text, note.signatures + result.signatures)
                assert satisfied(note, write(LOG.keys, {"theirs": [key]}, 1), LOG.keys[0]) == (key.name,)
            assert await ask(address, FORK, 44, key) == Forked(40)
            assert await ask(address, FORK, 40, key) == Forked(40)
            assert await ask(address, LOG, 12, key) == RolledBack(40)
            assert await ask(address, MemoryLog("stranger.example/log"), 3, key) == Failed("status_404")
        with theirs(tmp_path) as (address, key):
            assert await ask(address, FORK, 44, key) == Forked(40), "after its restart too"
            assert isinstance(await ask(address, LOG, 44, key), Cosigned)

    asyncio.run(run())


# The other direction: our witness, asked by others


def verified_by_scales(checkpoint, signatures: tuple[Signature, ...]) -> int:
    """How many of `signatures` another implementation verifies with our witness's keys."""
    scales = pytest.importorskip("tlog_scales.signing", reason="pip install tlog-scales")
    tlog = pytest.importorskip("tlog_scales.tlog")
    theirs = tlog.Checkpoint(origin=checkpoint.origin, size=checkpoint.size, root_hash=checkpoint.root, signatures=[])
    known = scales.VkeySet(*(scales.Vkey.from_string(str(key)) for key in KEYS))
    return len(known.verify([scales.NoteSignature.from_line(s.line().rstrip("\n")) for s in signatures], theirs))


def test_our_witness_as_a_process_cosigns_and_refuses_a_fork_and_a_rollback(tmp_path: Path) -> None:
    async def run() -> None:
        with process(tmp_path, LOG) as address:
            for size in (1, 7, 12):
                result = await submit(address, LOG, size, clock=time.time)
                assert isinstance(result, Cosigned)
                assert verified_by_scales(LOG.checkpoint(size), result.signatures) == 2
            assert await submit(address, FORK, 14, clock=time.time) == Forked(12)
            assert await submit(address, FORK, 12, clock=time.time) == Forked(12)
            assert await submit(address, LOG, 7, clock=time.time) == RolledBack(12)
        with process(tmp_path, LOG) as address:
            assert await submit(address, FORK, 14, clock=time.time) == Forked(12)
            assert isinstance(await submit(address, LOG, 14, clock=time.time), Cosigned)

    asyncio.run(run())


def test_their_log_is_cosigned_by_our_witness(tmp_path: Path) -> None:
    """witness-log makes the requests, follows the conflict and verifies the cosignature."""
    theirs = pytest.importorskip("witness_log", reason="pip install witness-log")
    import aiohttp

    async def post(address: str, body: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.post(f"{address}/add-checkpoint", data=body) as answer:
            return answer.status, await answer.text()

    async def run() -> None:
        log = theirs.WitnessLog.resume(bytes(range(32)), 1)
        for number in range(5):
            log.append_intent(b"entry %d" % number)
        known = SimpleNamespace(keys=(Vkey.parse(log.c2sp_vkey(log.canonical_origin())),))
        with process(tmp_path, known) as address:
            status, answer = await post(address, log.add_checkpoint_body(0))
            assert status == 200
            dossier, count = log.dossier_from_responses([(KEYS[0].key.hex(), answer)])
            assert count == 1
            assert dossier
            log.append_intent(b"one more")
            assert await post(address, log.add_checkpoint_body(0)) == (409, "5\n")
            status, answer = await post(address, log.add_checkpoint_body(5))
            assert status == 200

    asyncio.run(run())


@needs_aics
def test_aics_tlog_verifies_our_checkpoint_with_our_witness_as_quorum(tmp_path: Path) -> None:
    async def cosigned() -> Note:
        with process(tmp_path, LOG) as address:
            result = await submit(address, LOG, 12, clock=time.time)
        assert isinstance(result, Cosigned)
        note = parse_note(LOG.note(12, now=int(time.time())))
        return Note(note.text, note.signatures + result.signatures)

    note = asyncio.run(cosigned())
    ed25519 = next(key for key in KEYS if key.kind == COSIGNER_ED25519)

    def verify(note: Note) -> int:
        path = tmp_path / "checkpoint"
        path.write_bytes(note.encode())
        words = ["--note", str(path), "--log-key", str(LOG.keys[0]), "--witness-key", str(ed25519), "--quorum", "1"]
        return subprocess.run(
            [AICS / "aics-tlog", "verify-checkpoint", *words], capture_output=True, check=False
        ).returncode

    assert verify(note) == 0
    assert verify(Note(note.text, tuple(s for s in note.signatures if not s.by(ed25519)))) != 0
    assert verify(Note(note.text.replace("\n12\n", "\n13\n"), note.signatures)) != 0
