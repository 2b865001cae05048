"""Processes on this machine (Linux, proc(5)): who belongs to whom, halting all of one family, ending it. Blocks.

A family is a process, all its descendants, and all of its process group and session: model servers are started as
leaders of a session of their own. What left all three on purpose is not found; a control group would hold it too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
HALT_SECONDS: Final = 2.0
"""For a family to stand still: a signal reaches a process that waits for a disk when the disk has answered."""
END_SECONDS: Final = 5.0
"""For a family to be gone: gigabytes of memory take a moment to be given back."""
PAUSE: Final = 0.005
"""Seconds between two looks."""
STAT_LIMIT: Final = 4096
"""Bytes of a stat file: 52 numbers and a name."""
_STILL: Final = frozenset("TtZXx")
"""States (proc(5)) in which nothing of a program runs: halted, traced, ended."""
_ENDED: Final = frozenset("ZXx")


class Proc(NamedTuple):
    """One line of the process table. `began` counts clock ticks from the start of the machine."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    began: int


class Halt(NamedTuple):
    """What halting a family found: its processes, whether some of them ran, whether all stand still now."""

    pids: tuple[int, ...]
    ran: bool
    still: bool


def processes() -> list[Proc]:
    """Every process of this machine that can be seen now."""
    found = (process(int(path.name)) for path in PROC.iterdir() if path.name.isdecimal())
    return [one for one in found if one is not None]


def process(pid: int) -> Proc | None:
    """One process, None if there is none."""
    fields = _stat(PROC / str(pid) / "stat")
    if fields is None:
        return None
    return Proc(pid, fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def identity(pid: int) -> str:
    """What tells this process from any other that had or will have its number; empty if there is none."""
    found = process(pid)
    if found is None or found.state in _ENDED:
        return ""
    return f"{_boot()}:{found.began}"


def family(root: int, table: Iterable[Proc]) -> frozenset[int]:
    """The process `root` and all that belong to it, living ones only; never this process."""
    rows = [one for one in table if one.state not in _ENDED and one.pid not in (1, os.getpid())]
    found = {one.pid for one in rows if root in (one.pid, one.group, one.session)}
    while more := {one.pid for one in rows if one.parent in found} - found:
        found |= more
    return frozenset(found)


def halt(root: int, seconds: float = HALT_SECONDS) -> Halt:
    """Halt `root` and its family, again until two looks in a row find the same ones, all of them standing still."""
    deadline = time.monotonic() + seconds
    before: frozenset[int] | None = None
    ran = False
    while True:
        members = family(root, processes())
        running = [pid for pid in members if not _stands(pid)]
        if not running and members == before:
            return Halt(tuple(sorted(members)), ran, still=True)
        if time.monotonic() >= deadline:
            return Halt(tuple(sorted(members)), ran, still=not running)
        ran = ran or bool(running)
        _send(running, signal.SIGSTOP)
        before = members
        time.sleep(PAUSE)


def end(root: int, seconds: float = END_SECONDS) -> bool:
    """Halt the family first, so that nobody of it starts another, then kill it; whether all are gone.

    A zombie is gone: its parent only has not asked yet.
    """
    halt(root)
    deadline = time.monotonic() + seconds
    while members := family(root, processes()):
        if time.monotonic() >= deadline:
            return False
        _send(members, signal.SIGKILL)
        time.sleep(PAUSE)
    return True


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the next look tells who still runs
            os.kill(pid, number)


def _stands(pid: int) -> bool:
    """Whether no thread of it runs."""
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return process(pid) is None
    states = (_stat(thread / "stat") for thread in threads)
    return all(fields is None or fields[0] in _STILL for fields in states)


def _stat(path: Path) -> list[str] | None:
    """The fields after the name, which may hold any character."""
    try:
        with path.open("rb") as file:
            text = file.read(STAT_LIMIT).decode("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > 19 else None


def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
