"""Processes of a benchmark: started on one core, waited for, measured from /proc, ended. Linux only."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from firedoor.errors import SetupError

READY_SECONDS = 30.0


class Machine(Struct, frozen=True):
    """Where and when figures were measured; without it they mean nothing."""

    cpu: str
    cores: int
    python: str
    date: str
    load: float

    def line(self) -> str:
        """One line for people."""
        return f"{self.cpu}, {self.cores} cores, Python {self.python}, {self.date}, load {self.load:.2f} at the start"


def machine() -> Machine:
    """What the figures of now are measured on."""
    models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    cpu = models[0] if models else platform.machine()
    return Machine(cpu, len(os.sched_getaffinity(0)), platform.python_version(), date, os.getloadavg()[0])


def two_cores() -> tuple[int, int]:
    """One core for load and model, one for what is measured. Raises `SetupError` on a machine with one core."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SetupError("This benchmark needs two cores.", remedy="Run it on a machine with at least two.")
    return cores[0], cores[1]


@contextlib.contextmanager
def running(
    arguments: list[str], *, core: int | None, log: Path, environment: dict[str, str] | None = None
) -> Iterator[Process]:
    """``python arguments…`` on `core`, or on any, for the length of the block."""
    with running_program([sys.executable, *arguments], core=core, log=log, environment=environment) as process:
        yield process


@contextlib.contextmanager
def running_program(
    command: list[str], *, core: int | None = None, log: Path, environment: dict[str, str] | None = None
) -> Iterator[Process]:
    """Another program, the same way."""
    with log.open("ab") as errors:
        child = subprocess.Popen(  # noqa: S603 (our own interpreter and modules, servers that were found on this machine)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environment or {})},
        )
        # Before it has started a thread: threads made later inherit this.
        if core is not None:
            os.sched_setaffinity(child.pid, {core})
    process = Process(child, log)
    try:
        yield process
    finally:
        process.end()


class Process:
    """A running child."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path) -> None:
        self._child = child
        self._log = log

    def first_line(self) -> dict[str, Any]:
        """The JSON line it prints, at its start or as its result. Raises `SetupError` if it ends without one."""
        assert self._child.stdout is not None
        try:
            line: dict[str, Any] = json.loads(self._child.stdout.readline())
        except ValueError:
            raise SetupError(f"A process of the bench failed: {self.last_words()}") from None
        return line

    def check(self) -> None:
        """Raises `SetupError` if it has ended."""
        if self._child.poll() is not None:
            raise SetupError(f"A process of the bench ended: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log. Nothing here is secret: every text of a bench is made up."""
        return self._log.read_text("utf-8", "replace")[-1000:].strip() or "no message"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def output(self) -> IO[bytes]:
        """What it prints."""
        assert self._child.stdout is not None
        return self._child.stdout

    def kill(self) -> None:
        """End it as a power cut would, and wait for that."""
        self._child.kill()
        self._child.wait()

    def private_mib(self) -> float:
        """Memory that would come back if it ended (private clean and dirty pages), in MiB."""
        lines = _lines(f"/proc/{self._child.pid}/smaps_rollup")
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024

    def ask_to_end(self) -> None:
        """Ask only. One that was halted goes on first."""
        self._child.send_signal(signal.SIGCONT)
        self._child.terminate()

    def end(self) -> None:
        """Ask, then insist."""
        self.ask_to_end()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all threads; steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(answers: Any, *processes: Process, what: str, seconds: float = READY_SECONDS) -> None:
    """Call `answers` until it says True, as long as `processes` live. Raises `SetupError`."""
    end = time.monotonic() + seconds
    while not answers():
        for process in processes:
            process.check()
        if time.monotonic() > end:
            raise SetupError(f"{what} is not ready after {seconds:g} s: {processes[-1].last_words()}")
        time.sleep(0.05)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
