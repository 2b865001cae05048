"""One supervisor in a folder: the lock that it and all its processes hold."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from firedoor.errors import SetupError

LOCK = ".up.lock"
LEFTOVER_SECONDS = 15.0
"""For the children of a parent that was killed to end: they notice at once and take a few seconds."""


async def take(root: Path, say: Callable[[str], None]) -> int:
    """The descriptor that holds the installation's lock. Raises `SetupError` while another supervisor runs.

    The processes it starts hold it too, by inheritance: after a kill -9 of their parent it is free when the last of
    them has gone, so that nothing of two starts ever runs side by side.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240  # nothing else runs yet
        lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(f"{root} cannot be used: {error.strerror}.", remedy="Check its owner and the disk.") from error
    try:
        clock = asyncio.get_running_loop().time
        ends = 0.0
        while not _locked(lock):
            if _alive(os.pread(lock, 32, 0)) or 0 < ends < clock():
                raise SetupError(
                    f"Another `firedoor up` runs in {root}, or a `firedoor gateway --workers`.",
                    remedy="Stop that one first.",
                )
            if not ends:
                ends = clock() + LEFTOVER_SECONDS
                say("Waiting for the processes of an earlier start to end …")
            await asyncio.sleep(0.05)  # the kernel tells nobody
        os.pwrite(lock, b"%-16d" % os.getpid(), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: bytes) -> bool:
    return pid.strip().isdigit() and Path(f"/proc/{int(pid)}").exists()
