"""`firedoor up`: all processes of an installation on this machine, started in order, kept alive, ended together.

Per region a compartment: gateway workers, model servers, one control process, one agent. Each child holds the read end
of a pipe to this process and ends when it does, so that none is left behind however the parent goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from firedoor.app.compartment import Compartment, Say
from firedoor.app.health import health
from firedoor.config import Home
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError, SetupError

READY_SECONDS = 30.0
"""For a gateway or control process to answer: importing takes about a second each on a busy machine."""

LOCK = ".up.lock"
LEFTOVER_SECONDS = 15.0
"""For the children of a parent that was killed to end: they notice at once and take a few seconds."""


class Installation:
    """Everything that runs for one plan on this machine."""

    def __init__(self, home: Home, loaded: Loaded, plan_path: Path, say: Say = print) -> None:
        self._home = home
        self._loaded = loaded
        self._say = say
        self._lock = -1
        self._compartments = {
            region: Compartment(home, loaded, plan_path.absolute(), region, say) for region in loaded.plan.regions
        }

    async def start(self) -> None:
        """Start all of it; returns when the gateways answer. Raises `SetupError` if none does; nothing runs then.

        What is broken in one region does not stop the others, nor its own fallbacks: it is said, and in `troubles`.
        """
        self._lock = await _take(self._home.root, self._say)
        try:
            answering = await asyncio.gather(*map(self._start, self._compartments.values()))
            if not any(answering):
                raise SetupError("No gateway answers.", remedy=f"See the logs in {self._home.root}/regions/*/run.")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything, in each region its gateways first."""
        await asyncio.gather(*(compartment.stop() for compartment in self._compartments.values()))
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    @property
    def troubles(self) -> dict[str, str]:
        """What does not run, as ``REGION/keys`` or ``REGION/MODEL``, and why."""
        return {f"{c.region}/{what}": why for c in self._compartments.values() for what, why in c.troubles.items()}

    def pids(self, region: str) -> dict[str, int]:
        """Process ids by name: ``control``, ``worker-0`` …, ``model:NAME``."""
        return self._compartments[region].pids()

    async def _start(self, compartment: Compartment) -> bool:
        """Whether a gateway of this region answers."""
        try:
            await compartment.start(self._lock)
        except (FiredoorError, OSError) as error:
            self._say(f"{compartment.region}: DOES NOT START: {error}")
            await compartment.stop()
            return False
        return await self._answers(compartment)

    async def _answers(self, compartment: Compartment) -> bool:
        """Wait for a region's gateway, then for its control; say what answers and what does not."""
        region, place = compartment.region, self._home.region(compartment.region)
        address = self._loaded.plan.regions[region].listen
        if not await _comes_true(lambda: _serves(address, region)):
            self._say(f"{region}: NO GATEWAY answers on {address}: {_last_line(place.run / 'worker-0.log')}")
            return False
        if not compartment.has_keys:
            self._say(f"{region}: gateway on {address} gives fallbacks only, until there are keys")
        elif await _comes_true(lambda: _connects(asyncio.open_unix_connection(place.control_socket))):
            self._say(f"{region}: gateway on {address}, control answers")
        else:
            self._say(f"{region}: gateway on {address} gives fallbacks only, AI IS OFF: control does not start: ")
            self._say(f"{region}: {_last_line(place.run / 'control.log')}")
        return True


async def _take(root: Path, say: Say) -> int:
    """The descriptor that holds the installation's lock. Raises `SetupError` while another `firedoor up` runs.

    The gateways and control processes hold it too, by inheritance: after a kill -9 of their parent it is free when the
    last of them has gone, so that nothing of two starts ever runs side by side.
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
                raise SetupError(f"Another `firedoor up` runs in {root}.", remedy="Stop that one first.")
            if not ends:
                ends = clock() + LEFTOVER_SECONDS
                say("Waiting for the processes of an earlier `firedoor up` to end …")
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


async def _comes_true(ask: Callable[[], Awaitable[bool]]) -> bool:
    """Ask until it is so, for `READY_SECONDS` at most. Other processes come up: there is no event to wait for."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await ask():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True


async def _serves(listen: str, region: str) -> bool:
    """Whether the program that listens there is the gateway of `region`."""
    found = await health(listen)
    return found is not None and found.region == region


async def _connects(opening: Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    """Whether somebody takes the connection: the file of a dead process's socket is there, and takes none."""
    try:
        _, writer = await opening
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _last_line(log: Path) -> str:
    """What a process said last: why it does not start."""
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1].strip() if lines else f"see {log}"
