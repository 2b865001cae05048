"""Model servers as child processes, with the scripted one as the child."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firedoor.errors import ModelFailed, SetupError
from firedoor.upstream import process as under_test
from firedoor.upstream.http import HttpModelServer
from firedoor.upstream.lifeline import read_key
from firedoor.upstream.process import Backoff, ModelProcess, scripted_argv

BODY = b'{"messages":[{"role":"user","content":"hello"}]}'


def made(folder: Path, *, script: bytes = b"firedoor_script: 1\n", argv: list[str] | None = None) -> ModelProcess:
    (folder / "script.yaml").write_bytes(script)
    return ModelProcess(
        argv or scripted_argv(folder / "script.yaml"),
        name="demo",
        key_file=folder / "demo.key",
        log_path=folder / "demo.log",
        backoff=Backoff(first=0.01, most=0.05),
        ready_seconds=30,
    )


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


async def ask(process: ModelProcess, key: str) -> int:
    server = HttpModelServer(process.base_url, key)
    try:
        answer = await server.call("/chat/completions", BODY, timeout=5)
        await answer.aclose()
        return answer.status
    finally:
        await server.aclose()


def test_starts_answers_with_its_fresh_key_and_stops(tmp_path):
    async def main() -> None:
        process = made(tmp_path)
        await process.start()
        try:
            assert process.listening
            key_file = tmp_path / "demo.key"
            key = key_file.read_text()
            assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
            assert len(key) >= 43
            assert await ask(process, key) == 200
            assert await ask(process, key + "x") == 401
            pid = process.pid
            assert pid is not None
        finally:
            await process.stop()
        assert process.pid is None
        assert not process.listening
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(ModelFailed, match="refused"):
            await ask(process, key)
        await process.start()
        try:
            assert key_file.read_text() != key
        finally:
            await process.stop()

    asyncio.run(main())


def test_comes_back_on_the_same_address_with_the_same_key_when_it_dies(tmp_path):
    async def main() -> None:
        process = made(tmp_path)
        await process.start()
        try:
            key, url = (tmp_path / "demo.key").read_text(), process.base_url
            for times in (1, 2):
                first = process.pid
                assert first is not None
                os.kill(first, signal.SIGKILL)
                await until(lambda times=times: process.restarts >= times and process.listening)
                assert process.pid != first
                assert process.base_url == url
                assert await ask(process, key) == 200
        finally:
            await process.stop()

    asyncio.run(main())


def test_keeps_trying_while_a_restart_fails_and_stops_when_told(tmp_path):
    async def main() -> None:
        process = made(tmp_path)
        await process.start()
        (tmp_path / "script.yaml").write_bytes(b"rulez: 1\n")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: process.restarts >= 2)
        (tmp_path / "script.yaml").write_bytes(b"firedoor_script: 1\n")
        async with asyncio.timeout(30):
            await process.wait_listening()
        assert await ask(process, (tmp_path / "demo.key").read_text()) == 200
        await process.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (None, "rulez"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended before it listened"),
        ([sys.executable, "-c", "print('hello')"], "ended before it listened"),
        ([sys.executable, "-c", "print('x' * 100000)"], "ended before it listened"),
    ],
)
def test_a_server_that_cannot_start_says_why_and_leaves_no_child(tmp_path, argv, says):
    async def main() -> None:
        process = made(tmp_path, script=b"rulez: 1\n", argv=argv)
        with pytest.raises(SetupError) as error:
            await process.start()
        assert says in str(error.value)
        assert error.value.remedy
        assert process.pid is None

    asyncio.run(main())


def test_a_server_that_never_listens_is_given_up(tmp_path):
    async def main() -> None:
        process = made(tmp_path, argv=[sys.executable, "-c", "import time; time.sleep(600)"])
        process._ready_seconds = 0.3
        with pytest.raises(SetupError, match="does not listen"):
            await process.start()
        assert process.pid is None

    asyncio.run(main())


def test_the_child_ends_when_its_parent_is_killed(tmp_path):
    (tmp_path / "script.yaml").write_bytes(b"firedoor_script: 1\n")
    parent = f"""
import asyncio, sys
from pathlib import Path
from firedoor.upstream.process import ModelProcess, scripted_argv
async def main():
    folder = Path({str(tmp_path)!r})
    p = ModelProcess(scripted_argv(folder / "script.yaml"), name="d", key_file=folder / "k", log_path=folder / "l")
    await p.start()
    print(p.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        child = int(running.stdout.readline())
        running.kill()
    # The child is not ours to wait for: it is gone when the kernel no longer knows it or shows it as a zombie of init.
    asyncio.run(until(lambda: not _alive(child)))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_waits_double_up_to_the_most():
    backoff = Backoff(first=0.5, most=30)
    assert [backoff.after(n) for n in (0, 1, 2, 5, 6, 7, 10_000)] == [0.5, 1, 2, 16, 30, 30, 30]


def test_a_long_log_starts_anew_and_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr(under_test, "MAX_LOG_BYTES", 10)
    path = tmp_path / "log"
    for text in (b"12345678901", b"abc", b"def"):
        with under_test._open_log(path) as log:
            log.write(text)
    assert path.read_bytes() == b"abcdef"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff", b"x" * 5000])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SetupError):
        read_key(path)
    with pytest.raises(SetupError):
        read_key(tmp_path / "none")
    path.write_bytes(b"sk-1\n")
    assert read_key(path) == "sk-1"
