"""The switches of one region on a real NATS server, in one event loop: control, hosts, and a look at every page.

Everything is real but the processes: a control with its files and keys, two hosts with folders of their own and a TCP
link each to the server, and a reader of each host's page that checks, at every look, what must hold whatever breaks.
"""

import asyncio
import contextlib
import shutil
import time

import msgspec

from firedoor.agent.page import PageReader
from firedoor.app.buses import region_bus
from firedoor.app.control import Control
from firedoor.app.regionkeys import make_region, open_region
from firedoor.app.switchagent import Follower
from firedoor.app.switchkeys import SwitchSigner
from firedoor.config import Home
from firedoor.core import topics
from firedoor.core.people import Act, Signed, note_digest
from firedoor.core.plan.model import Loaded, SwitchRules
from firedoor.core.plan.words import Duration
from firedoor.core.switches import Lease, Scope, standing
from tests.rooms.links import Link
from tests.rooms.nats_servers import Nats, with_bus
from tests.rooms.region import NOTE, People

SCOPE = Scope("eu", "alpen", "support", "m0")
BEAT, LEASE = 0.05, 0.5
PATIENCE = 20.0
"""Seconds until something that must happen has not: the machine may be busy with other tests."""


def boottime():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Spoken:
    """Stands between control and its bus, and writes down when each table was said."""

    def __init__(self, bus):
        self._bus = bus
        self.at = {}
        self.messages = []

    def publish(self, topic, message):
        if topic == topics.table("eu"):
            said = msgspec.json.decode(message.partition(b"\n\n")[2])
            self.at[said["table"]["version"], said["beat"]] = boottime()
            self.messages.append(message)
        self._bus.publish(topic, message)

    def __getattr__(self, name):
        return getattr(self._bus, name)

    def __setattr__(self, name, value):
        if name == "on_connect":
            self._bus.on_connect = value
        else:
            super().__setattr__(name, value)


class Host:
    """One host: a folder of its own, a link to the server, a switch agent, and a worker that looks."""

    def __init__(self, fleet, name):
        self.fleet = fleet
        self.name = name
        self.home = Home(fleet.folder / name)
        self.place = self.home.region("eu")
        self.place.make()
        shutil.copytree(fleet.place.keys, self.place.keys, dirs_exist_ok=True)
        self.link = Link(fleet.nats.servers["eu"].port)
        self.loaded = fleet.linked(self.link)
        self.page = PageReader(self.place.page)
        self.follower = self._task = None

    async def start(self):
        keys = open_region(self.place, self.loaded, self.fleet.folder).worker()
        bus = region_bus(self.home, self.loaded, "eu", self.name, self.fleet.folder)
        self.follower = Follower(self.home, self.loaded, self.place, self.name, keys, bus)
        self._task = asyncio.create_task(self.follower.run(), name=self.name)

    async def stop(self, *, crash=False):
        """End the agent; as kill -9 would with `crash`: nothing is saved or told."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if crash:
            self.follower._reading = False
        await self.follower.aclose()
        self._task = None

    def look(self, scope=SCOPE):
        """What a worker of this host would do now; checks what must always hold of it."""
        now = boottime()
        look = self.page.look()
        state = standing(look, Lease(LEASE), scope)
        if state.state == "open":
            self.fleet.check_open(self, look, now, scope)
        return state.state


class Fleet:
    """Control and hosts. `shut_since` are scopes that were shut and not opened by two persons since."""

    def __init__(self, folder, hosts=("one", "two"), namespace=None):
        """With a `namespace` the server is in it, and nothing but the cable between."""
        self.folder = folder
        self.people = People()
        plan = msgspec.structs.replace(self.people.plan(), switches=SwitchRules(beat=Duration(BEAT)))
        self._loaded = Loaded(plan, "ab" * 32, "plan.yaml")
        self._namespace = namespace
        self.nats = Nats(folder / "nats", self._loaded, ["eu"])
        if namespace is not None:
            self.nats.servers["eu"].move(namespace)
        self.nats.start()
        self.home = Home(folder / "control")
        self.place = self.home.region("eu")
        self.place.make()
        self.ring = make_region(self.place, self._loaded, folder)
        self.ring.switch_seed()
        self.link = Link(self.nats.servers["eu"].port)
        self.loaded = self.linked(self.link)
        self.hosts = {name: Host(self, name) for name in hosts}
        self.board = self.control = self.spoken = None
        self.shut = {}
        self.seen = []
        self._stack = None

    def linked(self, link):
        creds = str(self.nats.credentials("eu"))
        server = self.nats.servers["eu"]
        url = f"nats://127.0.0.1:{link.port}" if self._namespace is None else f"nats://{server.host}:{server.port}"
        return with_bus(self._loaded, {"eu": (url, creds)})

    async def __aenter__(self):
        try:
            await self.start_control()
            for host in self.hosts.values():
                await host.start()
            await self.everywhere("open")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        for host in self.hosts.values():
            await host.stop()
            host.page.close()
        await self.stop_control()
        for link in (self.link, *(host.link for host in self.hosts.values())):
            link.close()
        self.nats.stop()

    async def start_control(self):
        """A new start of control, on what its folder holds."""
        ring = open_region(self.place, self.loaded, self.folder)
        keys = ring.worker()
        signer = SwitchSigner(self.place, self.loaded, self.folder, keys, ring.switch_seed())
        bus = region_bus(self.home, self.loaded, "eu", "control", self.folder)
        self.spoken = Spoken(bus)
        self.control = Control(self.home, self.loaded, self.place, keys, signer, self.spoken, self.folder)
        self._stack = contextlib.AsyncExitStack()
        self.board = await self._stack.enter_async_context(self.control.open())
        self._tasks = [
            asyncio.create_task(self.control.keep(self.board), name="control"),
            asyncio.create_task(signer.follow(), name="switch key"),
        ]
        begun = asyncio.create_task(self.control.begun.wait())
        done, _ = await asyncio.wait([begun, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        for task in done:
            task.result()

    async def stop_control(self):
        if self._stack is None:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        stack, self._stack = self._stack, None
        await stack.aclose()

    # What people do

    async def shut_by(self, who="cem", scope=SCOPE):
        act = self._act("shut", who, {"scope": str(scope), "reason": "leak"})
        done = await self.board.shut(Signed(act, (self._sign(act, who),)))
        self.shut[scope] = done.entry.version
        return done

    async def open_by(self, first="ana", second="ben", scope=SCOPE):
        of = next(s.version for s in self.board.table.shut if s.scope == scope)
        act = self._act("open", first, {"scope": str(scope), "of": str(of)}, NOTE)
        pending = await self.board.propose(Signed(act, (self._sign(act, first),)), NOTE)
        del self.shut[scope]  # from here on a host may be open
        return await self.board.approve(pending.id, self._sign(act, second))

    def _act(self, act, by, args, note=None):
        nonce = f"{len(self.seen):08x}{time.time_ns():024x}"[-32:]
        bound = {"note_sha256": note_digest(nonce, note)} if note is not None else {}
        return Act(
            region="eu", act=act, args={**args, **bound}, plan=self.loaded.digest, by=by,
            made_at=time.time_ns() // 1_000_000_000, nonce=nonce,
        )  # fmt: skip

    def _sign(self, act, who):
        return self.people.keys[who].sign(who, act)

    # What must hold

    def check_open(self, host, look, now, scope):
        """A worker lets AI run: nobody shut that, and control said this table at most a lease ago."""
        table = look.shown.table
        assert scope not in self.shut or table.version < self.shut[scope], f"{host.name} opened what was shut"
        said = max((at for (version, _), at in self.spoken.at.items() if version == table.version), default=None)
        if said is not None:  # else of a control before this one
            assert now - said <= LEASE + 0.05 or look.age >= now - said - 0.05, f"{host.name} takes old for new"
            assert look.age <= LEASE

    async def everywhere(self, state, hosts=None, scope=SCOPE):
        """Wait until the workers of `hosts` (all) see `state`; checks every look on the way."""
        watched = [self.hosts[name] for name in hosts or self.hosts]
        async with asyncio.timeout(PATIENCE):
            while True:
                states = [host.look(scope) for host in watched]
                if set(states) == {state}:
                    return
                await asyncio.sleep(0.005)

    async def lapse(self, hosts=None, scope=SCOPE):
        """Wait until the leases of `hosts` (all) are over for good; checks every look on the way.

        One stale look is not enough: a test that was paused sees one too, before the beats that wait are read.
        """
        watched = [self.hosts[name] for name in hosts or self.hosts]
        since = None
        async with asyncio.timeout(PATIENCE):
            while since is None or time.monotonic() - since < LEASE:
                states = {host.look(scope) for host in watched}
                since = (since or time.monotonic()) if states == {"stale"} else None
                await asyncio.sleep(0.005)

    async def comes(self, condition):
        """Wait until it is so; checks every look meanwhile."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                for host in self.hosts.values():
                    host.look()
                await asyncio.sleep(0.005)

    async def never(self, state, hosts=None, *, seconds, scope=SCOPE):
        """No worker of `hosts` sees `state`, for some time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for name in hosts or self.hosts:
                assert self.hosts[name].look(scope) != state, name
            await asyncio.sleep(0.005)

    async def stays(self, state, hosts=None, *, seconds=2 * LEASE, scope=SCOPE):
        """What the workers of `hosts` see is `state` at every look, for some time."""
        watched = [self.hosts[name] for name in hosts or self.hosts]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert {host.name: host.look(scope) for host in watched} == dict.fromkeys([h.name for h in watched], state)
            await asyncio.sleep(0.005)
