"""A process of `firedoor up`: started, started again whenever it dies, ended with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from firedoor.app.handover import Handover, bare_environment
from firedoor.upstream.process import Backoff

STABLE_SECONDS = 30.0
"""A process that lived this long is not in a crash loop: the next wait starts small again."""
RESTART = Backoff(first=0.2, most=5.0)
"""A checkout waits for its gateway: first restart at once, and never more than five seconds apart."""


class Child:
    """A process of ours, started again whenever it dies."""

    def __init__(self, name: str, arguments: list[str], log: Path, lock: int, handover: Handover | None = None) -> None:
        """With a `handover` it gets its keys by that, and no way to the root."""
        self.name = name
        self.handover = handover
        self._argv = [sys.executable, "-m", "firedoor", *arguments, "--lifeline"]
        self._log = log
        self._lock = lock
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.on_start: Callable[[], None] = lambda: None

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it and keep it alive from now on. Raises OSError if it cannot be started the first time."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> None:
        """Ask it to end, insist after five seconds."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self.handover is not None:
            self.handover.close()
        process = self._process
        if process is None or process.returncode is not None:
            return
        for ask in (process.terminate, process.kill):
            with contextlib.suppress(ProcessLookupError):
                ask()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 5)
                return

    async def _spawn(self) -> None:
        keys = self.handover.pipe() if self.handover is not None else None
        handed = [] if keys is None else ["--keys-from", str(keys)]
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._argv, *handed, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                    pass_fds=[self._lock, *([] if keys is None else [keys])],
                    env=None if keys is None else bare_environment(os.environ),
                )  # fmt: skip
        finally:
            if keys is not None:
                os.close(keys)
        self.on_start()

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            assert self._process is not None
            born = clock()
            await self._process.wait()
            failures = 0 if clock() - born > STABLE_SECONDS else failures + 1
            await asyncio.sleep(RESTART.after(failures))
            with contextlib.suppress(OSError):  # out of processes or memory: tried again
                await self._spawn()
