"""What runs while switches are measured: control, switch agents of several hosts, NATS servers. All real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from firedoor.bench import switch_servers as servers
from firedoor.bench.house import REGION, SHOP, SURFACE
from firedoor.bench.processes import Process, running, wait_until
from firedoor.bench.switch_crowd import Crowd, now, page_readers
from firedoor.bench.switch_house import EVERYWHERE, FAR, HERE, Operator, SwitchHouse, copy_host, furnish_switches
from firedoor.bench.switch_nats import Nats
from firedoor.config import Home
from firedoor.core.switches import Scope
from firedoor.errors import SetupError

DATAGRAM: Final = 256 * 1024
_DISTANT: Final = Scope(FAR, SHOP, SURFACE, "distant")


class Stage:
    """One region under control, and the pages that its hosts show."""

    def __init__(self, made: SwitchHouse, folder: Path, stack: contextlib.ExitStack, way: str, scope: Scope) -> None:
        self.made = made
        self.way = way
        self.folder = folder
        self.homes: list[Home] = []
        self.looked_at = scope
        """The scope that readers look at."""
        self._nats: Process | None = None
        self._start_nats: Callable[[], Process] | None = None
        self._stack = stack
        self._processes: list[Process] = []
        self.control = self._control(made.house.home, REGION)
        self.operator = Operator(made, EVERYWHERE if scope.region == FAR else HERE)
        self.said = stack.enter_context(_probe(made.house.region.bus))
        wait_until(self.operator.answers, self.control, what="Control")

    @property
    def pages(self) -> list[Path]:
        """What the hosts show."""
        return [home.region(self.looked_at.region).page for home in self.homes]

    @property
    def nats(self) -> Process:
        """The server of the region's bus."""
        assert self._nats is not None
        return self._nats

    @contextlib.contextmanager
    def readers(self, count: int, lease: float) -> Iterator[Crowd]:
        """`count` readers on the hosts' pages, in turns, that all see it open."""
        scope = str(self.looked_at)
        with page_readers(self.pages, count, scope, lease, self.folder / "readers.log") as crowd:
            self.need(crowd, "open")
            yield crowd

    def need(self, crowd: Crowd, state: str) -> None:
        """Wait until all readers see `state`. Raises `SetupError` with what each process said last."""
        try:
            crowd.need(state, self.way)
        except SetupError as error:
            said = "\n".join(process.last_words()[-300:] for process in self._processes)
            raise SetupError(f"{error.message} The processes said last:\n{said}") from error

    def with_nats(self, server: Process, start: Callable[[], Process]) -> None:
        """Note the running server, and how to start it again."""
        self._nats, self._start_nats = server, start

    def start_nats(self) -> None:
        """Start it again; it listens."""
        assert self._start_nats is not None
        self._nats = self._start_nats()

    def start_control(self) -> None:
        """Start it again."""
        self.control = self._control(self.made.house.home, REGION)

    def add_hosts(self, count: int, region: str, *, share_bus: bool) -> None:
        """Start switch agents of so many more hosts."""
        for number in range(count):
            name = f"host-{number}"
            home = copy_host(self.made, self.folder / name, region, share_bus=share_bus)
            arguments = ["-m", "firedoor", "switches", "follow", "--host", name, *_where(home, region)]
            self._start(arguments, name)
            self.homes.append(home)

    def add_far(self, count: int) -> None:
        """Start the far region: its own control and hosts, on machines of its own."""
        machine = copy_host(self.made, self.folder / "far-control", FAR, share_bus=False)
        self._control(machine, FAR)
        self.add_hosts(count, FAR, share_bus=False)

    def ask_to_end(self) -> None:
        """Ask all at once, so that they end together."""
        for process in self._processes:
            process.ask_to_end()

    def _control(self, home: Home, region: str) -> Process:
        return self._start(["-m", "firedoor", "control", *_where(home, region)], f"control-{region}")

    def _start(self, arguments: list[str], name: str) -> Process:
        process = self._stack.enter_context(running(arguments, core=None, log=self.folder / f"{name}.log"))
        self._processes.append(process)
        return process


class Said:
    """When control had said each version of its table, as a datagram on this machine's bus shows it."""

    def __init__(self) -> None:
        self._at: dict[int, int] = {}
        self.newest = 0
        """When it said anything last."""

    def take(self, datagram: bytes, at: int) -> None:
        """Note the version of the table in `datagram`."""
        _, _, payload = datagram.partition(b"\n\n")
        with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
            self._at.setdefault(msgspec.json.decode(payload)["table"]["version"], at)
            self.newest = at

    def after(self, start: int, version: int) -> float:
        """Seconds from `start` (ns) until this version was said; infinite if it was not."""
        return (self._at[version] - start) / 1e9 if version in self._at else float("inf")


@contextlib.contextmanager
def embedded(folder: Path, model_port: int) -> Iterator[Stage]:
    """One host: control shows its table by itself."""
    made = furnish_switches(folder / "home", model_port, {})
    with contextlib.ExitStack() as stack:
        stage = Stage(made, folder, stack, "one host, in control", HERE)
        stage.homes.append(made.house.home)
        stack.callback(stage.ask_to_end)
        yield stage


@contextlib.contextmanager
def datagrams(folder: Path, model_port: int, hosts: int) -> Iterator[Stage]:
    """Hosts on one machine, reached by datagrams; the NATS server of the plan is not there."""
    (nobody,) = servers.free_ports(1)
    bus = {"kind": "nats", "servers": [f"nats://127.0.0.1:{nobody}"]}
    made = furnish_switches(folder / "home", model_port, {REGION: bus})
    with contextlib.ExitStack() as stack:
        stage = Stage(made, folder, stack, "Unix datagrams", HERE)
        stage.add_hosts(hosts, REGION, share_bus=True)
        stack.callback(stage.ask_to_end)
        yield stage


@contextlib.contextmanager
def over_nats(folder: Path, model_port: int, hosts: int) -> Iterator[Stage]:
    """Hosts that share nothing but a NATS server."""
    folder.mkdir(mode=0o700)
    nats = Nats(folder / "nats", [REGION])
    made = furnish_switches(folder / "home", model_port, nats.planned())
    with contextlib.ExitStack() as stack:

        def start() -> Process:
            return stack.enter_context(nats.start(made.loaded, REGION))

        server = start()
        stage = Stage(made, folder, stack, "NATS", HERE)
        stage.with_nats(server, start)
        stage.add_hosts(hosts, REGION, share_bus=False)
        stack.callback(stage.ask_to_end)
        yield stage


@contextlib.contextmanager
def over_leaf(folder: Path, model_port: int, hosts: int) -> Iterator[Stage]:
    """Hosts of another region, whose NATS server is a leaf node of the first region's."""
    folder.mkdir(mode=0o700)
    nats = Nats(folder / "nats", [REGION, FAR])
    made = furnish_switches(folder / "home", model_port, nats.planned())
    with contextlib.ExitStack() as stack:
        for region in (REGION, FAR):
            stack.enter_context(nats.start(made.loaded, region))
        stage = Stage(made, folder, stack, "NATS hub and leaf, all regions", _DISTANT)
        stage.add_far(hosts)
        stack.callback(stage.ask_to_end)
        yield stage


@contextlib.contextmanager
def gateway_workers(stage: Stage, home: Home, count: int) -> Iterator[list[Process]]:
    """Real gateway workers on the host of `home`."""
    with contextlib.ExitStack() as stack:
        workers = []
        for number in range(count):
            arguments = ["-m", "firedoor", "gateway", "--slot", f"worker-{number}", *_where(home, REGION)]
            log = stage.folder / f"worker-{number}.log"
            workers.append(stack.enter_context(running(arguments, core=None, log=log)))
        yield workers


def halt(process: Process) -> None:
    """Make it hang: its connections stay open, and nothing answers."""
    os.kill(process.pid, signal.SIGSTOP)


def go_on(process: Process) -> None:
    """End of `halt`."""
    os.kill(process.pid, signal.SIGCONT)


def _where(home: Home, region: str) -> list[str]:
    return ["--home", str(home.root), "--plan", str(home.plan), "--region", region]


@contextlib.contextmanager
def _probe(folder: Path) -> Iterator[Said]:
    """Hear what control says on the bus of its own machine, for as long as the block runs."""
    said, path = Said(), folder / "probe.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(0.5)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    data = listener.recv(DATAGRAM)
                    said.take(data, now())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield said
        finally:
            over.set()
            thread.join()
