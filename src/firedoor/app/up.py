"""`firedoor up`: all processes of an installation on this machine, started in order, kept alive, ended together.

Per region: its own model servers, one control process, the gateway workers. Each child holds the read end of a pipe to
this process and ends when it does, so that none is left behind however the parent goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from firedoor.app.prepare import prepare
from firedoor.app.regionkeys import open_region
from firedoor.app.sealed import Unlocked, What
from firedoor.config import Home, RegionHome
from firedoor.core.plan.model import Loaded, Model
from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.ring import Ring
from firedoor.keys.roots.file import PASSPHRASE_VARIABLE
from firedoor.store.files import write_atomic
from firedoor.upstream.process import Backoff, ModelProcess, embedded_argv, scripted_argv
from firedoor.upstream.sealedweights import MemoryWeights

READY_SECONDS = 30.0
"""For a gateway or control process to answer: importing takes about a second each on a busy machine."""
RESTART = Backoff(first=0.2, most=5.0)
"""A checkout waits for its gateway: first restart at once, and never more than five seconds apart."""

LOCK = ".up.lock"
LEFTOVER_SECONDS = 15.0
"""For the children of a parent that was killed to end: they notice at once and take a few seconds."""

Say = Callable[[str], None]


class Child:
    """A process of ours, started again whenever it dies."""

    def __init__(
        self, name: str, arguments: list[str], log: Path, lock: int, keys: Callable[[], bytes] | None = None
    ) -> None:
        """`keys` gives the region's share of a worker; each start of it gets that over a pipe of its own."""
        self.name = name
        self._keys = keys
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
        """Start it and keep it alive from now on."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> None:
        """Ask it to end, insist after five seconds."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
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
        handed, fds, environment = self._hand_keys()
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._argv, *handed, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                    pass_fds=[self._lock, *fds], env=environment,
                )  # fmt: skip
        finally:
            for descriptor in fds:
                os.close(descriptor)
        self.on_start()

    def _hand_keys(self) -> tuple[list[str], list[int], dict[str, str] | None]:
        """Arguments, descriptors and environment of a worker that needs no root: it gets no way to it either."""
        if self._keys is None:
            return [], [], None
        read, write = os.pipe()
        with os.fdopen(write, "wb") as pipe:
            pipe.write(self._keys())  # a pipe holds far more than this
        environment = {name: value for name, value in os.environ.items() if name != PASSPHRASE_VARIABLE}
        return ["--keys-from", str(read)], [read], environment

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            assert self._process is not None
            born = clock()
            await self._process.wait()
            failures = 0 if clock() - born > READY_SECONDS else failures + 1
            await asyncio.sleep(RESTART.after(failures))
            with contextlib.suppress(OSError):  # out of processes or memory: tried again
                await self._spawn()


class Installation:
    """Everything that runs for one plan on this machine."""

    def __init__(self, home: Home, loaded: Loaded, plan_path: Path, say: Say = print) -> None:
        self._home = home
        self._loaded = loaded
        self._plan_path = plan_path.absolute()
        self._say = say
        self._children: list[Child] = []
        self._rings: dict[str, Ring] = {}
        self._lock = -1
        self.models: dict[str, ModelProcess] = {}
        self._weights: dict[str, MemoryWeights] = {}

    async def start(self) -> None:
        """Start all of it; returns when the gateways answer. Raises `SetupError` if none does; nothing runs then.

        One region that cannot start, or has no control, does not stop the others, nor its own fallbacks.
        """
        self._lock = await _take(self._home.root, self._say)
        try:
            prepare(self._home, self._loaded, self._plan_path.parent)
            self._open_rings()
            await self._start_models()
            for region, settings in self._loaded.plan.regions.items():
                place = self._home.region(region)
                await self._start_child(place, "control", ["control"])
                for number in range(settings.workers):
                    slot = f"worker-{number}"
                    await self._start_child(place, slot, ["gateway", "--slot", slot])
                await self._start_child(place, "agent", ["agent"])
            answering = await asyncio.gather(
                *(self._answers(r, s.listen) for r, s in self._loaded.plan.regions.items())
            )
            if not any(answering):
                raise SetupError("No gateway answers.", remedy=f"See the logs in {self._home.root}/regions/*/run.")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything, gateways first: they close their exchanges while control and models still answer."""
        await asyncio.gather(*(child.stop() for child in self._children if not child.name.endswith("/control")))
        await asyncio.gather(*(child.stop() for child in self._children))
        await asyncio.gather(*(model.stop() for model in self.models.values()))
        for weights in self._weights.values():
            weights.close()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def pids(self, region: str) -> dict[str, int]:
        """Process ids by name: ``control``, ``worker-0`` …, ``model:NAME``."""
        found = {c.name.removeprefix(f"{region}/"): c.pid for c in self._children if c.name.startswith(f"{region}/")}
        models = self._loaded.plan.models
        found |= {f"model:{m}": p.pid for m, p in self.models.items() if models[m].region == region}
        return {name: pid for name, pid in found.items() if pid is not None}

    async def _start_models(self) -> None:
        own = {name: m for name, m in self._loaded.plan.models.items() if m.engine != "openai"}
        for name, model in own.items():
            place = self._home.region(model.region)
            opened = None
            if model.sealed:
                opened = self._weights[name] = await asyncio.to_thread(self._open_weights, place, name, model)
            self.models[name] = ModelProcess(
                model_argv(model, self._plan_path.parent, opened),
                name=name,
                key_file=place.model_key(name),
                log_path=place.run / f"{name}.log",
                pass_fds=[opened.descriptor] if opened is not None else [],
            )
        starts = await asyncio.gather(*(process.start() for process in self.models.values()), return_exceptions=True)
        for failure in starts:
            if isinstance(failure, BaseException):
                raise failure
        for name, process in self.models.items():
            place = self._home.region(own[name].region)
            write_atomic(place.model_url(name), process.base_url.encode())
            process.on_start = partial(self._note_pids, place)
            self._say(f"{place.name}: model instance {name} ({own[name].name}) listens")

    def _open_rings(self) -> None:
        """Open every region's keys once. A region whose root does not answer has no AI, and gives its fallbacks."""
        for region in self._loaded.plan.regions:
            try:
                ring = open_region(self._home.region(region), self._loaded, self._plan_path.parent)
            except (KeyUnusable, SetupError) as error:
                self._say(f"{region}: NO KEYS, so AI IS OFF and fallbacks are given: {error}")
                continue
            self._rings[region] = ring
            self._say(f"{region}: {ring.root.describe()}")

    def _open_weights(self, place: RegionHome, name: str, model: Model) -> MemoryWeights:
        """Sealed weights in memory, with the key of the region that the model is in, and of no other."""
        assert model.weights is not None  # the plan's checks
        ring = self._rings.get(place.name)
        if ring is None:
            raise KeyUnusable(f"Region {place.name} has no keys: sealed weights stay closed.")
        unlocked = Unlocked(self._plan_path.parent / model.weights, What("model", name), ring)
        self._say(f"{place.name}: weights of {name} are signed; opening them in memory")
        return MemoryWeights(name, unlocked.size(), unlocked.open_into)

    def _note_pids(self, place: RegionHome) -> None:
        write_atomic(place.run / "pids.json", msgspec.json.encode(self.pids(place.name)))

    async def _start_child(self, place: RegionHome, name: str, arguments: list[str]) -> None:
        common = ["--home", str(self._home.root), "--plan", str(self._plan_path), "--region", place.name]
        ring = self._rings.get(place.name) if arguments[0] == "gateway" else None
        keys = ring.worker_bundle if ring is not None else None
        child = Child(f"{place.name}/{name}", [*arguments, *common], place.run / f"{name}.log", self._lock, keys)
        child.on_start = partial(self._note_pids, place)
        self._children.append(child)
        await child.start()

    async def _answers(self, region: str, address: str) -> bool:
        """Wait for a region's gateway, then for its control; say what answers and what does not."""
        host, _, port = address.rpartition(":")
        place = self._home.region(region)
        if not await _comes_true(lambda: _serves(host, int(port), region)):
            self._say(f"{region}: NO GATEWAY answers on {address}: {_last_line(place.run / 'worker-0.log')}")
            return False
        if await _comes_true(lambda: _connects(asyncio.open_unix_connection(place.control_socket))):
            self._say(f"{region}: gateway on {address}, control answers")
        else:
            self._say(f"{region}: gateway on {address} gives fallbacks only, AI IS OFF: control does not start: ")
            self._say(f"{region}: {_last_line(place.run / 'control.log')}")
        return True


def model_argv(model: Model, plan_folder: Path, opened: MemoryWeights | None = None) -> list[str]:
    """The command of a model server that is ours to start; `opened` are its weights if they are sealed."""
    if model.engine == "scripted":
        assert model.script is not None  # the plan's checks
        return scripted_argv(plan_folder / model.script)
    return embedded_argv(
        model.remote_name or model.name,
        context=model.context,
        slots=model.slots,
        weights=opened.path if opened is not None else str(plan_folder / model.weights) if model.weights else None,
        memory_weights=opened is not None,
        embeddings="embeddings" in model.serves,
    )


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


async def _serves(host: str, port: int, region: str) -> bool:
    """Whether the program that listens there is the gateway of `region`."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                _, _, body = (await reader.read(65_536)).partition(b"\r\n\r\n")
            finally:
                writer.close()
        return bool(msgspec.json.decode(body)["region"] == region)
    except (OSError, TimeoutError, msgspec.MsgspecError, TypeError, KeyError):
        return False


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
