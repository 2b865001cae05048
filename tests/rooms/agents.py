"""Regions on this machine with their agents: as tasks of one loop, or as processes that can be killed."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from firedoor.app.agent import open_agent
from firedoor.app.identity import REGION_SLOT, published_keys
from firedoor.app.prepare import prepare_region
from firedoor.app.regionkeys import epochs, open_region, places
from firedoor.config import Home
from firedoor.core.evidence.checkpoint import open_checkpoint
from firedoor.core.evidence.record import Record
from firedoor.store.journal import open_journal
from firedoor.store.planfile import load

PLAN = """\
firedoor: 1
name: alpenladen
people:
  ana: {{name: Ana Example, roles: [incident_commander, platform_engineer, ai_engineer], key: "ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}}
  ben: {{name: Ben Example, roles: [dpo, soc_analyst, communications, legal], key: "ed25519:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}}
regions:
  eu:
    {{jurisdictions: [EU], address: "https://eu.example", listen: "127.0.0.1:1",
     witness: {{listen: "127.0.0.1:{eu}", address: "http://127.0.0.1:{eu}"}}}}
  us:
    {{jurisdictions: [US], address: "https://us.example", listen: "127.0.0.1:2",
     witness: {{listen: "127.0.0.1:{us}", address: "http://127.0.0.1:{us}"}}}}
models:
  eu-chat: {{region: eu, engine: openai, name: m, url: "http://127.0.0.1:3"}}
  us-chat: {{region: us, engine: openai, name: m, url: "http://127.0.0.1:4"}}
shops:
  alpenladen: {{platform: other, home: DE}}
surfaces:
  support:
    models: {{eu: eu-chat, us: us-chat}}
    deadline: 2s
    fallback: {{kind: message, text: {{en: "A person will answer."}}}}
evidence: {{quorum: 1}}
"""
PATIENCE = 30.0
"""Seconds for what takes one or two on an idle machine."""


def free_ports(count):
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


class House:
    """An installation of two regions that witness each other."""

    def __init__(self, root: Path, *regions: str) -> None:
        root.mkdir(mode=0o700)
        ports = free_ports(2)
        (root / "plan.yaml").write_text(PLAN.format(eu=ports[0], us=ports[1]))
        self.root, self.home = root, Home(root)
        self.ports = dict(zip(("eu", "us"), ports, strict=True))
        self.loaded = load(self.home.plan)
        for region in regions or ("eu", "us"):
            self.prepare(region)

    def prepare(self, region):
        prepare_region(self.home.region(region), self.loaded, self.root)

    def place(self, region):
        return self.home.region(region)

    def write(self, region, count, slot="worker-0"):
        """Records as a gateway worker leaves them."""
        place = self.place(region)
        keys = open_region(place, self.loaded, self.root).worker()

        async def go():
            journal = open_journal(
                places(place, slot), region=region, slot=slot, epochs=epochs(place, keys), clock_ns=time.time_ns
            )
            records = [Record(kind="switch", exchange="", at=time.time_ns(), facts={"n": n}) for n in range(count)]
            await asyncio.gather(*(journal.append(one) for one in records))
            await journal.aclose()

        asyncio.run(go())

    def publish(self, region):
        """What an agent does in its first second, without witnesses; what it says of its logs."""

        async def go():
            async with open_agent(self.home, self.loaded, region, self.root) as agent:
                await agent._keeper.tick()
                await agent._keeper.tick()  # the region's log covers what the first one recorded
                return {state.slot: (state.state, state.reason) for state in agent._keeper.status()}

        return asyncio.run(go())

    @contextlib.asynccontextmanager
    async def agent(self, region):
        """The agent of `region` in this loop."""
        stop = asyncio.Event()
        async with open_agent(self.home, self.loaded, region, self.root) as agent:
            running = asyncio.create_task(agent.run(stop))
            try:
                # Alembic's environment is one for the whole process; agents are processes of their own otherwise.
                await until(lambda: agent._indexer._live is not None)
                yield agent
            finally:
                stop.set()
                await running

    @contextlib.contextmanager
    def process(self, region):
        """The agent of `region` as a process; killed at the end."""
        argv = [sys.executable, "-m", "firedoor", "agent", "--home", str(self.root), "--region", region]
        with (self.root / f"{region}.log").open("ab") as log:
            child = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield child
        finally:
            child.kill()
            child.wait()

    def status(self, region):
        """What the agent says of itself; empty before it said anything."""
        try:
            return json.loads(self.place(region).agent_status.read_bytes())
        except FileNotFoundError:
            return {}

    def witness(self, region, name):
        """What the agent of `region` says of the witness `name`."""
        return next((one for one in self.status(region).get("witnesses", []) if one["name"] == name), {})

    def note(self, region, slot=REGION_SLOT):
        try:
            return (self.place(region).logs / slot / "checkpoint").read_bytes()
        except FileNotFoundError:
            return b""

    def size(self, region, slot=REGION_SLOT):
        """Entries in the region's signed log."""
        note = self.note(region, slot)
        return int(note.split(b"\n")[1]) if note else 0

    def cosigned(self, region, other):
        """Size of the region's newest checkpoint that has enough witnesses, verified with the keys of `other`."""
        path = self.place(region).logs / REGION_SLOT / "cosigned"
        if not path.exists():
            return 0
        mine, theirs = published_keys(self.place(region)).log, published_keys(self.place(other)).witness
        checkpoint, _ = open_checkpoint(path.read_bytes(), mine)
        text = path.read_text()
        assert all(f"— {key.name} " in text for key in theirs)
        return checkpoint.size

    def snapshot(self, region, folder):
        shutil.copytree(self.place(region).root, folder, symlinks=True)

    def restore(self, region, folder):
        shutil.rmtree(self.place(region).root)
        shutil.copytree(folder, self.place(region).root, symlinks=True)


async def until(what, seconds=PATIENCE):
    """Wait until `what()` holds, for at most that long; its value."""
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.05)
    return value


def forget_status(house, region):
    """So that what is read next is from the agent that runs next."""
    with contextlib.suppress(FileNotFoundError):
        house.place(region).agent_status.unlink()
