"""Model servers as child processes: started, waited for, started again when they die, stopped.

Every such server takes the options of `lifeline.add_arguments`, prints one JSON line when it listens, and exits when
its standard input ends, so that none is left behind however the parent goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from firedoor.errors import SetupError

MAX_LOG_BYTES = 1_048_576
"""A log longer than this starts anew with the next start of the server."""

MAX_READY_BYTES = 4096
LOOK_SECONDS = 0.05
"""Between two looks whether the server lives. It is started again half a second after its end at the earliest."""
STABLE_SECONDS = 30.0
"""A server that lived this long is not in a crash loop: the next wait starts small again."""


class Backoff(Struct, frozen=True):
    """Seconds between two starts: doubled each time, never more than `most`; tried for ever."""

    first: float = 0.5
    most: float = 30.0

    def after(self, failures: int) -> float:
        """The wait after so many failures in a row."""
        return float(min(self.most, self.first * 2 ** min(failures, 16)))


class Ready(Struct):
    """The line a server prints once: it listens on `port`, or why it never will."""

    ready: bool
    port: int = 0
    error: str = ""
    remedy: str = ""


class ModelProcess:
    """One model server as a child process of this one, the leader of a session and process group of its own.

    `argv` is the command without ``--port``, ``--key-file`` and ``--lifeline``. The port is free at the first start and
    kept over restarts; the API key is made fresh by `start` and lies in `key_file`, readable by this user only. What
    the server writes to standard error goes to `log_path`. The descriptors `pass_fds` are the child's too, under
    the same numbers; they stay the caller's to close after `stop`. `environment` is the child's, ours unless given.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        name: str,
        key_file: Path,
        log_path: Path,
        backoff: Backoff | None = None,
        ready_seconds: float = 60.0,
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.held = False
        """Whether nobody starts it again."""
        self.on_start: Callable[[], None] = lambda: None
        self._argv = list(argv)
        self._key_file = key_file
        self._log_path = log_path
        self._backoff = backoff or Backoff()
        self._ready_seconds = ready_seconds
        self._pass_fds = tuple(pass_fds)
        self._environment = environment
        self._port = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()

    @property
    def base_url(self) -> str:
        """The OpenAI base URL, the same for as long as this object lives; known once `start` has returned."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def listening(self) -> bool:
        """Whether the server has said that it listens and has not died since."""
        return self._listening.is_set() and self.pid is not None

    async def start(self) -> None:
        """Start the server and return when it listens. Raises `SetupError` with the server's own reason when it cannot.

        From then on it is started again whenever it dies, until `stop`.
        """
        self.held = False
        _write_private(self._key_file, secrets.token_urlsafe(32).encode())
        try:
            await self._spawn()
        except BaseException:
            await self._end()
            raise
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def wait_listening(self) -> None:
        """Wait until the server listens (again)."""
        await self._listening.wait()

    async def hold(self) -> None:
        """Leave the server as it is: from now on it is not started again, whatever becomes of it."""
        self.held = True
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    async def stop(self) -> None:
        """End the server and wait for it."""
        await self.hold()
        await self._end()

    async def leave(self) -> None:
        """Let go of the server without ending it: it outlives this process if somebody has halted it."""
        await self.hold()
        self._child = None

    async def _keep(self) -> None:
        failures = 0
        clock = asyncio.get_running_loop().time
        while True:
            born = clock()
            if self._child is not None:
                await _gone(self._child)
                _let_go(self._child)
            self._listening.clear()
            failures = 0 if clock() - born > STABLE_SECONDS else failures + 1
            await asyncio.sleep(self._backoff.after(failures - 1))
            self.restarts += 1
            # The reason is in the log; the next attempt may succeed, so there is nobody to tell.
            with contextlib.suppress(SetupError, OSError):
                await self._spawn()

    async def _spawn(self) -> None:
        """Start the child and wait for its line. Raises `SetupError`; the child is gone then."""
        options = ["--port", str(self._port), "--key-file", str(self._key_file), "--lifeline"]
        with _open_log(self._log_path) as log:
            # Not by asyncio: it kills what is left when it goes, and a halted server is evidence. In a session of its
            # own, or the kernel would continue it when its parent goes (setpgid(2), orphaned process groups).
            self._child = subprocess.Popen(  # noqa: ASYNC220, S603  # as asyncio would, some milliseconds
                [*self._argv, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=self._pass_fds,
                env=self._environment,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(self._ready_seconds):
                self._port = await self._hear()
        except TimeoutError:
            await self._end()
            raise SetupError(
                f"Model server {self.name} does not listen after {self._ready_seconds:g} s.",
                remedy=f"See {self._log_path.name} in the region's run folder.",
            ) from None
        except SetupError:
            await self._end()
            raise
        self._listening.set()
        self.on_start()

    async def _hear(self) -> int:
        """The port of the ready line. Standard output carries nothing after it: servers keep it for this line alone."""
        assert self._child is not None
        assert self._child.stdout is not None
        reader = asyncio.StreamReader(limit=MAX_READY_BYTES)
        heard, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(self._child.stdout.fileno()), "rb")
        )
        try:
            said = msgspec.json.decode(await reader.readline(), type=Ready)
        except (msgspec.MsgspecError, ValueError):
            raise SetupError(
                f"Model server {self.name} ended before it listened.",
                remedy=f"See {self._log_path.name} in the region's run folder.",
            ) from None
        finally:
            heard.close()
        if not said.ready:
            raise SetupError(f"Model server {self.name}: {said.error}", remedy=said.remedy)
        return said.port

    async def _end(self) -> None:
        """Close the lifeline, ask, insist."""
        child, self._child = self._child, None
        self._listening.clear()
        if child is None:
            return
        _let_go(child)
        for ask in (child.terminate, child.kill):
            with contextlib.suppress(ProcessLookupError):
                ask()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_gone(child), 3)
                return


def embedded_argv(
    model: str,
    *,
    context: int,
    slots: int,
    weights: str | None = None,
    memory_weights: bool = False,
    embeddings: bool = False,
    threads: int | None = None,
) -> list[str]:
    """The command of an embedded model server for `ModelProcess`; `memory_weights`: the weights are on no disk."""
    argv = [sys.executable, "-m", "firedoor.upstream.embedded", "--model", model]
    argv += ["--context", str(context), "--slots", str(slots)]
    if weights is not None:
        argv += ["--weights", weights, *(["--memory-weights"] if memory_weights else [])]
    if threads is not None:
        argv += ["--threads", str(threads)]
    return [*argv, "--embeddings"] if embeddings else argv


def scripted_argv(script: Path) -> list[str]:
    """The command of a scripted model server for `ModelProcess`."""
    return [sys.executable, "-m", "firedoor.upstream.scripted", "--script", str(script)]


async def _gone(child: subprocess.Popen[bytes]) -> None:
    """Wait for the end of `child`, whoever still holds its output."""
    while child.poll() is None:  # noqa: ASYNC110  # the kernel tells nobody who may miss it
        await asyncio.sleep(LOOK_SECONDS)


def _let_go(child: subprocess.Popen[bytes]) -> None:
    """Close our ends of its pipes: the lifeline is one of them."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _open_log(path: Path) -> BinaryIO:
    long = path.exists() and path.stat().st_size > MAX_LOG_BYTES
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if long else os.O_APPEND)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _write_private(path: Path, data: bytes) -> None:
    """Replace `path` by a file of this user's only; a reader sees the old key or the new one, never half of one."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)
