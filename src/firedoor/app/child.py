"""A process of `firedoor up`: started, started again whenever it dies, replaced by a new one, ended with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from firedoor.app.handover import Handover, bare_environment
from firedoor.app.health import comes_true, last_line
from firedoor.errors import SetupError
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
        self._use(await self._spawn())
        self._keep_alive()

    async def stop(self) -> None:
        """Ask it to end, insist after five seconds."""
        await self._leave_alone()
        if self.handover is not None:
            self.handover.close()
        await _end(self._process)

    async def renew(self, *ready: str) -> None:
        """Put a new process in the place of this one, and return once its log says one of the words `ready`, if any.

        Raises `SetupError` if it never does: it is tried again for ever, like one that died. Raises OSError.
        """
        said = self._log_size()
        await self._leave_alone()
        try:
            await _end(self._process)
            self._use(await self._spawn())
        finally:
            self._keep_alive()
        await self._says(ready, said, self._process)

    async def hand_over(self, *ready: str) -> None:
        """As `renew`, but start the new process first, and end the old one once the new one is ready to take over.

        Raises `SetupError` if it never is, OSError if it cannot be started: then the old one stays.
        """
        said = self._log_size()
        new = await self._spawn()
        try:
            await self._says(ready, said, new)
            await self._leave_alone()
        except BaseException:
            await _end(new)
            raise
        old = self._process
        self._use(new)
        self._keep_alive()
        await _end(old)

    async def _says(self, ready: tuple[str, ...], since: int, process: asyncio.subprocess.Process | None) -> None:
        """Wait until the log has one of the words after byte `since`. Raises `SetupError` if the process ends first."""

        async def said() -> bool:
            if process is None or process.returncode is not None:
                raise SetupError(f"The new {self.name} ended: {last_line(self._log)}")
            with self._log.open("rb") as log:
                log.seek(since)
                text = log.read().decode("utf-8", "replace")
            return not ready or any(word in text for word in ready)

        if not await comes_true(said):
            raise SetupError(f"The new {self.name} does not get ready: {last_line(self._log)}")

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    async def _spawn(self) -> asyncio.subprocess.Process:
        keys = self.handover.pipe() if self.handover is not None else None
        handed = [] if keys is None else ["--keys-from", str(keys)]
        try:
            with self._log.open("ab") as log:
                return await asyncio.create_subprocess_exec(
                    *self._argv, *handed, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                    pass_fds=[self._lock, *([] if keys is None else [keys])],
                    env=None if keys is None else bare_environment(os.environ),
                )  # fmt: skip
        finally:
            if keys is not None:
                os.close(keys)

    def _use(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.on_start()

    def _keep_alive(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def _leave_alone(self) -> None:
        """Until `_keep_alive` it is not started again."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

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
                self._use(await self._spawn())


async def _end(process: asyncio.subprocess.Process | None) -> None:
    if process is None or process.returncode is not None:
        return
    for ask in (process.terminate, process.kill):
        with contextlib.suppress(ProcessLookupError):
            ask()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
            return
