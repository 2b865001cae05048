"""The switch agent as a process has it: keys, bus, journals and files around it. Control is the test."""

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs
from tests.rooms.region import People
from tests.rooms.rings import make_ring

from firedoor.agent.page import PageReader
from firedoor.app import switchagent
from firedoor.app.handover import Handover
from firedoor.app.hostpart import FOLLOWS, WAITS
from firedoor.app.regionkeys import epochs, places
from firedoor.app.switchagent import Follower, serve_switches
from firedoor.bus.local import LocalBus
from firedoor.bus.nudge import NudgeReceiver, NudgeSender
from firedoor.bus.several import Several
from firedoor.config import Home
from firedoor.core import hosts, switchtable, topics
from firedoor.core.evidence.record import Record
from firedoor.core.plan.model import Loaded, NatsBus
from firedoor.core.switches import Scope, Switch, Table
from firedoor.core.switchtable import Said
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.gateway.doors import TICK
from firedoor.store.journal import open_journal
from firedoor.store.segments import segments

NOBODY = NatsBus(servers=("nats://127.0.0.1:9",))


class Region:
    """A host's folder, and the bus at whose other end the test sits."""

    def __init__(self, folder):
        self.home = Home(folder)
        self.place = self.home.region("eu")
        self.place.make()
        self.ring = make_ring(self.place.keys)
        self.seed = Ed25519PrivateKey.from_private_bytes(self.ring.switch_seed())
        self.keys = self.ring.worker()
        plan = People().plan()
        regions = {"eu": structs.replace(plan.regions["eu"], bus=NOBODY)}
        self.loaded = Loaded(structs.replace(plan, regions=regions), "ab" * 32, "plan.yaml")
        self.heard = []
        self.page = PageReader(self.place.page)
        self._beat = 0

    @asynccontextmanager
    async def control(self):
        """Hear what hosts say, and be able to say tables."""
        self._bus = LocalBus(self.place.bus, "control")
        secret = self.keys.protect.subkey("hosts")
        self._bus.subscribe(topics.hosts("eu"), lambda data: self.heard.append(hosts.unseal(data, secret)))
        await self._bus.open()
        try:
            yield
        finally:
            self._bus.close()

    def say(self, version, *shut, echo=None, absorbed=None):
        """A table, which echoes the newest message unless told otherwise."""
        self._beat += 1
        table = Table("eu", version, "p", shut, absorbed or {})
        count = self.heard[-1].count if self.heard else 0
        said = Said(table, self._beat, echo={"h": count} if echo is None else echo)
        data = switchtable.seal(said, self.seed.sign, switchtable.key_id(self.seed.public_key().public_bytes_raw()))
        self._bus.publish(topics.table("eu"), data)

    @asynccontextmanager
    async def follower(self):
        """A running one, on the bus of this machine alone."""
        bus = Several(LocalBus(self.place.bus, "h"), LocalBus(self.home.bus, "eu.h"), None)
        follower = Follower(self.home, self.loaded, self.place, "h", self.keys, bus)
        task = asyncio.create_task(follower.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await follower.aclose()

    def journal(self, slot="worker-0"):
        return open_journal(
            places(self.place, slot), region="eu", slot=slot, epochs=epochs(self.place, self.keys),
            clock_ns=time.time_ns,
        )  # fmt: skip


def finding(scope="eu/alpen/support/m0"):
    facts = {"verdict": "shut", "scope": scope, "kind": "leak"}
    return Record(kind="finding", exchange="x-1", at=time.time_ns(), facts=facts)


async def until(condition):
    async with asyncio.timeout(30):
        while not (found := condition()):  # noqa: ASYNC110  # files and other processes
            await asyncio.sleep(0.01)
        return found


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@pytest.fixture
def region(tmp_path):
    return Region(tmp_path)


def test_it_asks_shows_what_comes_and_its_age_is_that_of_its_own_message(region):
    async def life():
        async with region.control(), region.follower():
            first = await until(lambda: region.heard)
            assert (first[0].ask, first[0].version, first[0].age_ms) == (True, -1, hosts.NO_AGE)
            region.say(3, Switch(Scope("eu"), "operator", 0.0, version=3), echo={"h": 5, "other": 9})
            await until(lambda: region.page.look().shown)
            assert region.page.look().age == float("inf")  # none of its messages led to that table
            region.say(3, Switch(Scope("eu"), "operator", 0.0, version=3))
            await until(lambda: region.page.look().age < 10)
            told = await until(lambda: [m for m in region.heard if m.version == 3 and m.age_ms < 10_000])
            assert not told[-1].ask
            counts = [m.count for m in region.heard]
            assert counts == sorted(set(counts))

    run(life())


def test_workers_are_nudged_and_counted(region):
    async def life():
        async with region.control(), region.follower():
            nudged = asyncio.Event()
            worker = NudgeReceiver(region.place.nudges / "worker-0.sock", nudged.set)
            worker.start()
            await until(lambda: region.heard and region.heard[-1].workers == 1)
            region.say(1, Switch(Scope("eu"), "leak", 0.0, version=1))
            await asyncio.wait_for(nudged.wait(), 30)
            assert region.page.look().shown.table.shut
            worker.close()
            await until(lambda: region.heard[-1].workers == 0)

    run(life())


def test_a_finding_is_said_at_once_and_until_the_table_knows_and_once_more_after_a_restart_if_it_does_not(region):
    async def life():
        async with region.control():
            journal = region.journal()
            async with region.follower():
                await until(lambda: region.heard)
                region.say(1)
                await until(lambda: region.page.look().shown)
                seq = await journal.append(finding())
                NudgeSender(region.place.switches_nudge).send()
                (report,) = (await until(lambda: [m.reports for m in region.heard if m.reports]))[0]
                assert (report.slot, report.seq, report.scope) == ("worker-0", seq, "eu/alpen/support/m0")
            region.heard.clear()
            async with region.follower():
                await until(lambda: region.heard)
                region.say(2)
                await until(lambda: [m.reports for m in region.heard if m.reports])
                region.say(3, absorbed={"h/worker-0": seq})
                await until(lambda: region.heard[-1].version == 3 and not region.heard[-1].reports)
                shown = region.page.look().shown
                assert shown.table.absorbed == {"worker-0": seq}
            region.heard.clear()
            async with region.follower():
                await until(lambda: region.heard)
                region.say(4)  # put back to an older copy: what was reported and taken up is not reported again
                await until(lambda: region.heard[-1].version == 4)
                assert not any(m.reports for m in region.heard)
            await journal.aclose()

    run(life())


def test_a_shut_file_is_told_and_its_note_ends_only_with_a_table_that_holds_it(region):
    async def life():
        async with region.control(), region.follower():
            await until(lambda: region.heard)
            region.place.shut_file.touch()
            await until(lambda: region.heard[-1].latched)
            region.place.latch_file.touch()  # a worker's
            region.place.shut_file.unlink()
            region.say(1, Switch(Scope("eu", "alpen"), "leak", 0.0, version=1))
            await until(lambda: region.heard[-1].version == 1)
            assert region.place.latch_file.exists()
            assert region.heard[-1].latched
            region.say(2, Switch(Scope("eu"), "file", 0.0, version=2))
            await until(lambda: not region.heard[-1].latched)
            assert not region.place.latch_file.exists()
            assert Scope("eu") in {s.scope for s in region.page.look().shown.table.shut}

    run(life())


def test_a_journal_that_cannot_be_read_ends_it_before_any_table_is_fresh(region):
    async def life():
        journal = region.journal()
        for _ in range(3):
            await journal.append(finding())
        await journal.aclose()
        (path,) = segments(region.place.journal("worker-0"))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
        async with region.control(), region.follower() as following:
            with pytest.raises(EvidenceDamaged):
                await following
            assert region.heard == []

    run(life())


def test_it_waits_for_keys_and_there_is_one_of_it_and_none_without_a_bus(region, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(switchagent, "on_stop", lambda _: None)
    share = [None]
    handover = Handover(lambda: share[0])

    def serve(loaded, keys_from):
        return serve_switches(region.home, loaded, "eu", "h", region.home.root, keys_from)

    async def life():
        async with region.control():
            first = asyncio.create_task(serve(region.loaded, handover.pipe()))
            await asyncio.sleep(5 * TICK)
            assert not region.heard
            share[0] = region.ring.worker_bundle()
            handover.hand_over()
            await until(lambda: region.heard)
            second = asyncio.create_task(serve(region.loaded, None))
            await until(lambda: WAITS in caplog.text)
            assert caplog.text.count(FOLLOWS) == 1
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await until(lambda: caplog.text.count(FOLLOWS) == 2)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
        alone = structs.replace(region.loaded.plan.regions["eu"], bus=None)
        without = Loaded(structs.replace(region.loaded.plan, regions={"eu": alone}), "ab" * 32, "plan.yaml")
        with pytest.raises(SetupError, match="has no bus"):
            await serve(without, None)

    run(life())


def test_a_page_that_cannot_be_written_ends_it(region):
    async def life():
        async with region.control(), region.follower() as following:
            await until(lambda: region.heard)
            region.place.page.mkdir()
            region.say(1)
            with pytest.raises(OSError, match=os.strerror(21)):
                await following

    run(life())
