"""A witness: store, HTTP and client together, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import aiohttp
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firedoor.bus.witness import Cosigned, Failed, Forked, RolledBack, WitnessClient
from firedoor.core.crossing import AddCheckpoint, Conflict, Cosignatures, encode
from firedoor.core.evidence.checkpoint import verify_signatures
from firedoor.core.evidence.note import Note, Signature, parse_note
from firedoor.core.evidence.policy import satisfied, write
from firedoor.errors import SetupError
from firedoor.ports.logs import Refusal
from firedoor.store import witness as store
from firedoor.store.witness import create_witness, forget_clock

from ..core.logs import NOW, MemoryLog, witness_keys  # noqa: TID252
from .witnesses import KEYS, NAME, SIGNERS, again, raw_server, says, served, submit, witness

LOG = MemoryLog()
OTHER = MemoryLog("evidence.alpenladen.example/us/host-9")
FORK = MemoryLog(fork_at=3)


def request(log: MemoryLog, old: int, size: int, **changes) -> AddCheckpoint:
    values = {"proof": log.proof(old, size) if old < size else (), "signatures": log.signatures(size), **changes}
    return AddCheckpoint(old, values["proof"], log.checkpoint(size), values["signatures"])


# The client and the witness together


def test_a_growing_log_is_cosigned_and_satisfies_a_policy(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG)) as address:
            client = WitnessClient(address, KEYS, clock=lambda: NOW)
            for size in (0, 1, 2, 7, 7, 8, 300):
                result = await again(client, LOG, size)
                assert isinstance(result, Cosigned), (size, result)
                verified = verify_signatures(LOG.checkpoint(size), result.signatures, KEYS)
                assert {v.vkey for v in verified} == set(KEYS)
                note = parse_note(LOG.note(size))
                note = Note(note.text, note.signatures + result.signatures)
                assert satisfied(note, write(LOG.keys, {"eu": KEYS}, 1), LOG.keys[0]) == (NAME,)
            await client.aclose()

    asyncio.run(run())


def test_a_restarted_agent_learns_what_the_witness_knows(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG)) as address:
            assert isinstance(await submit(address, LOG, 5), Cosigned)
            assert isinstance(await submit(address, LOG, 9), Cosigned)
            assert isinstance(await submit(address, LOG, 9), Cosigned)

    asyncio.run(run())


def test_a_log_that_went_back_is_told_to_stop(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG)) as address:
            assert isinstance(await submit(address, LOG, 9), Cosigned)
            assert await submit(address, LOG, 5) == RolledBack(9)
            assert await submit(address, LOG, 0) == RolledBack(9)

    asyncio.run(run())


def test_a_rewritten_log_is_told_to_stop(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG)) as address:
            assert isinstance(await submit(address, LOG, 9), Cosigned)
            assert await submit(address, FORK, 12) == Forked(9)
            assert await submit(address, FORK, 9) == Forked(9)
            assert isinstance(await submit(address, LOG, 12), Cosigned)

    asyncio.run(run())


def test_logs_do_not_disturb_each_other_and_strangers_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG, OTHER)) as address:
            assert isinstance(await submit(address, LOG, 9), Cosigned)
            assert isinstance(await submit(address, OTHER, 2), Cosigned)
            assert await submit(address, MemoryLog("stranger.example/log"), 2) == Failed("status_404")
            thief = MemoryLog()
            thief.signers = OTHER.signers
            assert await submit(address, thief, 12) == Failed("status_403")

    asyncio.run(run())


def test_many_at_once_leave_one_line_of_history(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG)) as address:
            results = await asyncio.gather(*(submit(address, LOG, size) for size in range(1, 9)))
            assert all(isinstance(r, Cosigned | RolledBack) or r == Failed("busy") for r in results)
            assert isinstance(await submit(address, LOG, 20), Cosigned)

    asyncio.run(run())


# The witness's decisions


def test_each_refusal_of_the_specification(tmp_path: Path) -> None:
    judge = witness(tmp_path, LOG)
    assert judge.add(request(LOG, 4, 9)) == Conflict(0)
    assert isinstance(judge.add(request(LOG, 0, 9)), Cosignatures)
    assert judge.add(request(LOG, 0, 9)) == Conflict(9)
    assert judge.add(request(LOG, 0, 5)) == Conflict(9)
    assert judge.add(request(LOG, 9, 5)) == Refusal.BAD_REQUEST
    assert judge.add(request(OTHER, 0, 5)) == Refusal.UNKNOWN_LOG
    assert judge.add(request(FORK, 9, 12)) == Refusal.NOT_CONSISTENT
    assert judge.add(request(FORK, 9, 9)) == Conflict(9)
    assert judge.add(request(LOG, 9, 12, proof=())) == Refusal.NOT_CONSISTENT
    assert judge.add(request(LOG, 9, 9, proof=(bytes(32),))) == Refusal.NOT_CONSISTENT
    assert judge.add(request(LOG, 9, 12, proof=(*LOG.proof(9, 12), bytes(32)))) == Refusal.NOT_CONSISTENT
    lines = LOG.signatures(12)
    strangers = tuple(Signature(s.name, bytes(4), s.payload) for s in lines)
    assert judge.add(request(LOG, 9, 12, signatures=strangers)) == Refusal.NOT_SIGNED
    forged = (lines[0], Signature(lines[1].name, lines[1].id, bytes(2428)))
    assert judge.add(request(LOG, 9, 12, signatures=forged)) == Refusal.NOT_SIGNED
    assert isinstance(judge.add(request(LOG, 9, 12, signatures=(*strangers, lines[0]))), Cosignatures)


def test_it_never_signs_backwards_in_time(tmp_path: Path) -> None:
    now = [NOW]
    judge = witness(tmp_path, LOG, clock=lambda: now[0])
    assert isinstance(judge.add(request(LOG, 0, 5)), Cosignatures)
    now[0] = NOW - 1
    assert judge.add(request(LOG, 5, 6)) == Refusal.CLOCK_WENT_BACK
    assert witness(tmp_path, LOG, clock=lambda: now[0]).add(request(LOG, 5, 6)) == Refusal.CLOCK_WENT_BACK
    now[0] = NOW
    assert isinstance(judge.add(request(LOG, 5, 6)), Cosignatures)


def test_a_clock_that_ran_ahead_can_be_forgotten_and_what_was_cosigned_cannot(tmp_path: Path) -> None:
    assert isinstance(witness(tmp_path, LOG, clock=lambda: NOW + 10**8).add(request(LOG, 0, 5)), Cosignatures)
    forget_clock(tmp_path / "cosigned", SIGNERS, NOW)
    judge = witness(tmp_path, LOG)
    assert judge.add(request(LOG, 0, 4)) == Conflict(5)
    assert isinstance(judge.add(request(LOG, 5, 6)), Cosignatures)


def test_a_witness_is_made_once_and_its_file_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "cosigned"
    judge = witness(tmp_path, LOG)
    judge.add(request(LOG, 0, 5))
    with pytest.raises(SetupError, match="exists already"):
        create_witness(path, SIGNERS)
    with pytest.raises(SetupError, match="with these keys"):
        witness(tmp_path, LOG, signers=witness_keys("witness.nordlicht.example/us"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert LOG.origin in path.read_text()


def test_invented_logs_do_not_use_up_the_witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOGS", 2)
    logs = [MemoryLog(f"evidence.alpenladen.example/us/host-{n}") for n in range(3)]
    ours = witness(tmp_path, *logs)
    answers = [ours.add(request(log, 0, 5)) for log in logs]
    assert answers[2] is Refusal.UNKNOWN_LOG
    assert all(isinstance(answer, Cosignatures) for answer in answers[:2])
    assert isinstance(ours.add(request(logs[1], 5, 9)), Cosignatures)


def test_threads_and_other_processes_wait_for_each_other(tmp_path: Path) -> None:
    first, second = witness(tmp_path, LOG), witness(tmp_path, LOG)
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda w=w, n=n: answers.append((n, w.add(request(LOG, 0, n)))))
        for n, w in enumerate([first, second] * 8, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    signed = [size for size, answer in answers if isinstance(answer, Cosignatures)]
    assert len(signed) == 1, "all build on nothing: only one can be first"
    assert all(a == Conflict(signed[0]) for _, a in answers if not isinstance(a, Cosignatures))


class GrowsOnly(RuleBasedStateMachine):
    """Whatever is asked, in whatever order, with restarts: what was cosigned is one growing history."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.now = NOW
        self.signed = [LOG.checkpoint(0)]
        self.restart()

    @rule()
    def restart(self) -> None:
        self.judge = witness(Path(self.folder.name), LOG, clock=lambda: self.now)

    @rule(step=st.integers(0, 5))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule(old=st.integers(0, 12), size=st.integers(0, 12), log=st.sampled_from([LOG, FORK]))
    def asked(self, old: int, size: int, log: MemoryLog) -> None:
        answer = self.judge.add(request(log, old, size))
        last = self.signed[-1]
        if isinstance(answer, Cosignatures):
            assert old == last.size <= size
            assert all(v.time == self.now for v in verify_signatures(log.checkpoint(size), answer.signatures, KEYS))
            self.signed.append(log.checkpoint(size))
        elif isinstance(answer, Conflict):
            assert answer.size == last.size
            assert old != last.size or log.checkpoint(size).root != last.root

    @invariant()
    def one_history(self) -> None:
        if hasattr(self, "signed"):
            history = LOG if self.signed[-1] == LOG.checkpoint(self.signed[-1].size) else FORK
            assert all(history.checkpoint(c.size) == c for c in self.signed)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


GrowsOnly.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
TestGrowsOnly = GrowsOnly.TestCase


# HTTP


async def post(
    address: str, body: bytes, path: str = "/add-checkpoint", method: str = "POST"
) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.request(method, address + path, data=body) as response:
        return response.status, response.headers.get("Content-Type", ""), await response.read()


def test_what_goes_out_is_a_message_or_a_bare_status(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG)) as address:
            status, _, body = await post(address, encode(request(LOG, 0, 5)))
            assert status == 200
            assert body.startswith("— witness".encode())
            assert await post(address, encode(request(LOG, 0, 7))) == (409, "text/x.tlog.size", b"5\n")
            assert (await post(address, encode(request(OTHER, 0, 7))))[::2] == (404, b"")
            assert (await post(address, encode(request(FORK, 5, 7))))[::2] == (422, b"")
            assert (await post(address, encode(request(LOG, 7, 5))))[::2] == (400, b"")
            for garbage in (b"", b"old 0\n\n", b"GET / HTTP/1.1\r\n\r\n", encode(request(LOG, 5, 7)) + b"\n"):
                assert (await post(address, garbage))[::2] == (400, b"")
            assert (await post(address, b"x" * 70_000))[::2] == (413, b"")
            assert (await post(address, b"", method="GET"))[::2] == (405, b"")
            assert (await post(address, b"", "/other"))[::2] == (404, b"")

    asyncio.run(run())


def test_a_witness_that_cannot_sign_says_503_and_its_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def add(self, request: AddCheckpoint) -> Refusal:
            return Refusal.CLOCK_WENT_BACK

    async def run() -> None:
        async with served(Broken()) as address:
            assert (await post(address, encode(request(LOG, 0, 5))))[::2] == (503, b"")

    asyncio.run(run())
    assert "clock_went_back" in caplog.text


def test_an_endless_head_and_an_address_that_is_taken(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG)) as address:
            port = int(address.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /add-checkpoint HTTP/1.1\r\nX: " + b"x" * 40_000)
            assert b"400" in (await reader.read())[:20]
            writer.close()
            from firedoor.api.witness import listen

            with pytest.raises(SetupError, match="cannot listen"):
                listen("127.0.0.1", port)

    asyncio.run(run())


def test_a_caller_that_never_finishes_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firedoor.api.hasty.EXCHANGE_SECONDS", 0.1)

    async def run() -> None:
        async with served(witness(tmp_path, LOG)) as address:
            for start in (b"", b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 10\r\n\r\nold"):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
                writer.write(start)
                try:
                    assert await reader.read() == b""
                except ConnectionError:
                    pass
                writer.close()

    asyncio.run(run())


# The client


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (says(200, b""), "garbage"),
        (says(200, b"hello\n"), "garbage"),
        (says(200, b"x" * 70_000), "too_large"),
        (says(409, b"5 \n", "Content-Type: text/x.tlog.size"), "garbage"),
        (says(409, b"0\n", "Content-Type: text/x.tlog.size"), "garbage"),
        (says(409, b"Mara Weiss\n"), "garbage"),
        (says(301, b"", "Location: http://127.0.0.1:1/"), "redirect"),
        (says(403), "status_403"),
        (says(500, b"a long story"), "status_500"),
        (says(200, b"", "Content-Encoding: gzip"), "garbage"),
        (says(200, b"", *("X: y",) * 60), "garbage"),
    ],
)
def test_what_a_witness_should_not_say_has_a_reason(handler, reason) -> None:
    async def run() -> None:
        async with raw_server(handler) as address:
            assert await submit(address, LOG, 5) == Failed(reason)

    asyncio.run(run())


def test_an_address_with_a_path_keeps_it() -> None:
    seen = []

    async def run() -> None:
        async def note_path(reader, writer) -> None:
            seen.append((await reader.readuntil(b"\r\n")).decode())
            writer.close()

        server = await asyncio.start_server(note_path, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await submit(f"http://127.0.0.1:{port}/witness/eu/", LOG, 5)

    asyncio.run(run())
    assert seen == ["POST /witness/eu/add-checkpoint HTTP/1.1\r\n"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "witness",
        "ftp://w.example",
        "http://",
        "http://user@w.example",
        "http://w.example/?a=b",
        "http://w.example/#a",
    ],
)
def test_an_address_that_is_none_is_refused(address) -> None:
    with pytest.raises(SetupError):
        WitnessClient(address, KEYS)
    with pytest.raises(SetupError):
        WitnessClient("http://w.example", ())


def test_proxies_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{trap.getsockname()[1]}")

        async def run() -> None:
            async with served(witness(tmp_path, LOG)) as address:
                assert isinstance(await submit(address, LOG, 5), Cosigned)

        asyncio.run(run())
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()
