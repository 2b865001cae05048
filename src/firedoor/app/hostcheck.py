"""What `firedoor doctor` looks at on the machine: disk, how long a sync takes, clocks, swap."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from firedoor.app.hostclock import unsynchronised

Level = Literal["ok", "warn", "FAIL"]

LEAST_FREE, FEW_FREE = 256 << 20, 5 << 30
"""Bytes. Evidence of a busy minute is some hundred MiB; with less than that AI is off soon."""
SYNCS = 21
"""Measured one after the other; their median counts."""
FASTEST_SYNC, SLOW_SYNC = 50e-6, 20e-3
"""Seconds. No disk that keeps its word is faster; slower ones hold up every answer noticeably."""
CLOCK_SLACK = 60.0
"""Seconds that a file may be younger than now: clocks are stepped, and files come from elsewhere."""


class Finding(Struct, frozen=True):
    """One line of `firedoor doctor`. `region` is None for what concerns the whole machine or plan."""

    level: Level
    what: str
    remedy: str = ""
    region: str | None = None


def host_findings(root: Path, *, memory_weights: bool) -> Iterator[Finding]:
    """What is right and wrong with the machine for the installation in `root`."""
    if root.is_dir():
        yield _space(root)
        yield _sync(root)
    yield from _clocks(root)
    if memory_weights:
        yield _swap()


def _space(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    said = f"disk: {free / (1 << 30):.1f} GiB free"
    if free < LEAST_FREE:
        return Finding("FAIL", said, "Make room: with a full disk nothing can be recorded, and AI is off.")
    if free < FEW_FREE:
        return Finding("warn", said, "Make room, or shorten `retention` in the plan.")
    return Finding("ok", said)


def _sync(root: Path) -> Finding:
    """The median time in which 512 bytes become durable, on a file that is gone afterwards."""
    try:
        seconds = _measure(root)
    except OSError as error:
        return Finding("FAIL", f"disk: cannot be written: {error.strerror}", f"See to {root} and its owner.")
    said = f"disk: a sync takes {seconds * 1e3:.2f} ms"
    if seconds < FASTEST_SYNC:
        remedy = "This disk or file system may not keep its word after a power cut: evidence needs one that does."
        return Finding("warn", said, remedy)
    if seconds > SLOW_SYNC:
        return Finding("warn", said, "Every answer waits for two of them: use a faster disk for the journals.")
    return Finding("ok", said)


def _measure(root: Path) -> float:
    path = root / f".doctor.{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        path.unlink()
        times = []
        for _ in range(SYNCS):
            os.write(descriptor, bytes(512))
            begun = time.perf_counter()
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - begun)
        return statistics.median(times)
    finally:
        os.close(descriptor)


def _clocks(root: Path) -> Iterator[Finding]:
    """Leases count on the boot clock, law and people on the wall clock."""
    if time.clock_gettime(time.CLOCK_BOOTTIME) + 1 < time.clock_gettime(time.CLOCK_MONOTONIC):
        yield Finding("FAIL", "clock: the boot clock runs behind", "Leases cannot be kept here: update the kernel.")
    newest = max((_written(path) for path in root.glob("regions/*/journal/*/*.journal")), default=0.0)
    ahead = newest - time.time()
    if ahead > CLOCK_SLACK:
        yield Finding("FAIL", f"clock: it is {ahead:.0f} s behind the newest evidence", "Set the clock: it went back.")
    elif unsynchronised():
        yield Finding("warn", "clock: nothing keeps it right", "Run an NTP client: legal clocks are counted on it.")
    else:
        yield Finding("ok", "clock: synchronised")


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # gone while we looked


def _swap() -> Finding:
    try:
        lines = Path("/proc/swaps").read_text("utf-8", "replace").splitlines()[1:]
    except OSError:
        lines = []
    if lines:
        remedy = "Turn it off (swapoff -a) or encrypt it: weights in memory can get onto it in clear."
        return Finding("warn", f"swap: {len(lines)} area(s), and this plan has sealed weights", remedy)
    return Finding("ok", "swap: none, so weights in memory get onto no disk")
