"""Everything on the way of a switch breaks: nothing that is shut opens, AI goes off in time, all heals by itself."""

import asyncio
import json
import shutil
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from firedoor.agent import page
from firedoor.agent.page import PageReader
from firedoor.bus.nats import NatsBus
from firedoor.core import topics
from firedoor.core.switches import Scope
from firedoor.store.tablecopy import TableCopy
from tests.rooms.links import Namespace

from .fleet import SCOPE, Fleet


@pytest.fixture
def folder():
    """With a short path: Unix sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="fd") as name:
        yield Path(name)


def run(scenario, folder, **options):
    async def main():
        async with Fleet(folder, **options) as fleet:
            await scenario(fleet)

    asyncio.run(main())


@asynccontextmanager
async def bystander(fleet, heard=None):
    """Somebody with the credentials of the region's bus, and none of its keys. `heard` gets what hosts say."""
    url = f"nats://127.0.0.1:{fleet.nats.servers['eu'].port}"
    bus = NatsBus([url], credentials_file=fleet.nats.credentials("eu"), name="stranger")
    if heard is not None:
        bus.subscribe(topics.hosts("eu"), heard.append)
    await bus.open()
    try:
        await fleet.comes(lambda: bus.status.server is not None)
        yield bus
    finally:
        await bus.aclose()


def test_the_hub_is_killed_and_comes_back(folder):
    async def scenario(fleet):
        server = fleet.nats.servers["eu"]
        server.kill()
        await fleet.lapse()
        await fleet.shut_by()  # nobody hears of it yet
        await fleet.stays("stale", seconds=0.3)
        await asyncio.to_thread(server.start)
        await fleet.everywhere("shut")
        await fleet.open_by()
        await fleet.everywhere("open")

    run(scenario, folder)


def test_the_hub_hangs_and_what_it_held_back_is_old(folder):
    """What was said before and during the hang arrives all at once afterwards: it may shut, and makes nothing fresh."""

    async def scenario(fleet):
        server = fleet.nats.servers["eu"]
        server.hang()
        await fleet.shut_by()
        await fleet.comes(lambda: all(host.look() != "open" for host in fleet.hosts.values()))
        await fleet.stop_control()
        server.go_on()
        await fleet.never("open", seconds=0.5)
        await fleet.start_control()
        await fleet.everywhere("shut")
        await fleet.open_by()
        await fleet.everywhere("open")

    run(scenario, folder)


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_the_link_of_one_host_breaks(folder, how):
    async def scenario(fleet):
        link = fleet.hosts["two"].link
        getattr(link, how)()
        await fleet.shut_by()
        await fleet.everywhere("shut", ["one"])
        await fleet.lapse(["two"])
        link.heal()
        await fleet.everywhere("shut")
        await fleet.open_by()
        await fleet.everywhere("open")

    run(scenario, folder)


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_the_link_of_control_breaks(folder, how):
    async def scenario(fleet):
        getattr(fleet.link, how)()
        await fleet.lapse()
        await fleet.shut_by()
        fleet.link.heal()
        await fleet.everywhere("shut")

    run(scenario, folder)


def test_packets_vanish(folder):
    """As when a cable is pulled: no end of the connection is told to anybody."""
    with Namespace() as there:

        async def scenario(fleet):
            there.drop()
            await fleet.lapse()
            await fleet.shut_by()
            there.heal()
            await fleet.everywhere("shut")

        run(scenario, folder, namespace=there)


def test_a_host_that_hears_late_does_not_take_old_for_new(folder):
    """Everything reaches it, more than a lease after its question: what control said then keeps no AI running."""

    async def scenario(fleet):
        fleet.hosts["two"].link.delay(0.35)
        await fleet.everywhere("stale", ["two"])
        await fleet.shut_by()
        await fleet.everywhere("shut")
        await fleet.open_by()
        await fleet.everywhere("open", ["one"])
        await fleet.never("open", ["two"], seconds=0.3)
        await fleet.everywhere("open", ["one"])
        fleet.hosts["two"].link.delay(0.0)
        await fleet.everywhere("open")

    run(scenario, folder)


def test_an_agent_is_killed_while_something_is_shut(folder):
    async def scenario(fleet):
        two = fleet.hosts["two"]
        await fleet.shut_by()
        await fleet.everywhere("shut")
        await two.stop(crash=True)
        other = Scope("eu", "berg", "search", "m1")
        assert two.look(other) != "shut"  # what it knew is still on the page
        await fleet.lapse(["two"], other)
        await fleet.stays("shut", ["two"], seconds=0.3)
        fleet.nats.servers["eu"].kill()
        await two.start()
        await asyncio.sleep(0.3)
        assert two.look() == "shut"  # from the page and its copy, without a bus
        assert two.look(other) == "stale"
        await asyncio.to_thread(fleet.nats.servers["eu"].start)
        await fleet.everywhere("open", scope=other)
        await fleet.stays("shut", seconds=0.3)

    run(scenario, folder)


@pytest.mark.parametrize("lost", ["page", "copy", "both", "torn"])
def test_an_agent_begins_without_what_it_knew(folder, lost):
    async def scenario(fleet):
        two = fleet.hosts["two"]
        await fleet.shut_by()
        await fleet.everywhere("shut")
        shut = two.page.look().shown.table.version
        await fleet.comes(lambda: TableCopy(two.place.table_copy).load().floor >= shut)  # written after the page
        await two.stop(crash=True)
        if lost in {"page", "both"}:
            two.place.page.unlink()
        if lost in {"copy", "both"}:
            two.place.table_copy.write_bytes(b"\0" * 700)
        if lost == "torn":
            with two.place.page.open("r+b") as page:
                page.seek(8)
                page.write((7).to_bytes(8, "little"))  # odd: somebody was killed while writing
                page.seek(4096)
                page.write(b"{" * 500)
        fleet.link.hang()
        await fleet.lapse(["one"], Scope("eu", "berg"))
        await two.start()
        two.page = PageReader(two.place.page)  # a worker that starts now
        await fleet.everywhere("stale" if lost == "both" else "shut", ["two"])
        await fleet.never("open", ["two"], seconds=0.3, scope=Scope("eu", "berg"))
        fleet.link.heal()
        await fleet.everywhere("shut")
        await fleet.everywhere("open", scope=Scope("eu", "berg", "search", "m1"))

    run(scenario, folder)


def test_tables_that_were_said_before_are_said_again_by_a_stranger(folder):
    async def scenario(fleet):
        await fleet.comes(lambda: len(fleet.spoken.messages) >= 8)
        before = list(fleet.spoken.messages)
        await fleet.shut_by()
        await fleet.everywhere("shut")
        await fleet.comes(lambda: len(fleet.spoken.messages) >= len(before) + 8)
        shut = list(fleet.spoken.messages)
        async with bystander(fleet) as stranger:
            agent = fleet.hosts["one"].follower._agent
            for message in before[-5:] + shut[-5:]:
                stranger.publish(topics.table("eu"), message)
                agent.take_table(message)  # the bus knows again what it brought a moment ago
            forged = json.loads(shut[-1].partition(b"\n\n")[2])
            forged["table"] |= {"version": forged["table"]["version"] + 1, "shut": []}
            head = shut[-1].partition(b"\n\n")[0]
            for garbage in (head + b"\n\n" + json.dumps(forged).encode(), b"", b"\xff" * 1000, head, shut[-1][:-1]):
                stranger.publish(topics.table("eu"), garbage)
            await fleet.stays("shut")
            assert agent.counts["older"] >= 9
            assert agent.counts["bad_signature"] >= 2
            await fleet.stop_control()
            await fleet.lapse(scope=Scope("eu", "berg"))
            for message in shut[-5:]:
                stranger.publish(topics.table("eu"), message)
                agent.take_table(message)
            await fleet.stays("stale", seconds=0.3, scope=Scope("eu", "berg"))

    run(scenario, folder)


def test_a_message_of_a_host_is_made_up_or_said_again(folder):
    async def scenario(fleet):
        heard = []
        async with bystander(fleet, heard) as stranger:
            await fleet.comes(lambda: len(heard) >= 3)
            taken = fleet.control.hosts.counts["taken"]
            for data in (
                heard[0],
                heard[0].replace(b'"kept":[]', b'"kept":[{}]'),
                b"",
                b"firedoor/host/1\n" + b"0" * 64,
            ):
                stranger.publish(topics.hosts("eu"), data)
            fleet.control.hosts.take(heard[0])
            await fleet.comes(lambda: fleet.control.hosts.counts["taken"] >= taken + 4)
        counts = fleet.control.hosts.counts
        assert counts["replayed"] >= 1, counts
        assert counts["bad_signature"] >= 1
        await fleet.never("shut", seconds=0.3)
        await fleet.everywhere("open")

    run(scenario, folder)


def test_the_key_that_signs_is_renewed(folder):
    """The hosts that have the new ring take nothing more of the old key; control follows."""

    async def scenario(fleet):
        old = list(fleet.spoken.messages)[-1].split(b"\n")[1]
        await fleet.shut_by()
        await fleet.everywhere("shut")
        one = fleet.hosts["one"]
        fleet.ring.renew("switches")
        shutil.copy(fleet.place.keys / "ring.json", one.place.keys / "ring.json")
        await fleet.comes(lambda: fleet.spoken.messages[-1].split(b"\n")[1] != old)
        await fleet.open_by()
        await fleet.everywhere("open", ["one"])
        await fleet.stays("shut", ["two"], seconds=0.3)  # it knows the old key only: nothing new reaches it
        assert fleet.hosts["two"].follower._agent.counts["unknown_signer"] > 0
        shutil.copy(fleet.place.keys / "ring.json", fleet.hosts["two"].place.keys / "ring.json")
        await fleet.everywhere("open")

    run(scenario, folder)


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_clock_of_control_is_stepped(folder, hours, monkeypatch):
    real, stepped = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + stepped[0])

    async def scenario(fleet):
        stepped[0] = hours * 3_600_000_000_000
        await fleet.never("shut", seconds=0.3)
        await fleet.everywhere("open")
        await fleet.shut_by()
        await fleet.everywhere("shut")
        await fleet.stop_control()
        await fleet.start_control()
        await fleet.everywhere("shut")
        stepped[0] = 0
        await fleet.stays("shut", seconds=0.3)
        await fleet.open_by()
        await fleet.everywhere("open")

    run(scenario, folder)


def test_control_is_put_back_to_an_old_copy(folder):
    """It does not know what was shut since. The hosts do, and tell it; two persons can open it then."""

    async def scenario(fleet):
        await fleet.stop_control()
        shutil.copytree(fleet.place.root, folder / "old")
        await fleet.start_control()
        await fleet.everywhere("open")
        await fleet.shut_by()
        await fleet.everywhere("shut")
        await fleet.stop_control()
        for path in (folder / "old").glob("control.sqlite*"):
            shutil.copy(path, fleet.place.root / path.name)
        await fleet.start_control()
        await fleet.everywhere("shut")
        await fleet.comes(lambda: SCOPE in {s.scope for s in fleet.board.table.shut})
        await fleet.open_by()
        await fleet.everywhere("open")

    run(scenario, folder)


def test_the_store_is_gone_at_a_cold_start(folder):
    """No store, no page beside it: control begins anew, and the hosts do not believe that nothing is shut."""

    async def scenario(fleet):
        await fleet.shut_by()
        await fleet.everywhere("shut")
        await fleet.stop_control()
        for path in fleet.place.root.glob("control.sqlite*"):
            path.unlink()
        await fleet.start_control()
        await fleet.everywhere("shut")
        await fleet.comes(lambda: SCOPE in {s.scope for s in fleet.board.table.shut})
        await fleet.open_by()
        await fleet.everywhere("open")

    run(scenario, folder)


def test_a_suspended_host_wakes_up(folder, monkeypatch):
    """The clock of the leases goes on while a machine sleeps: ten minutes later nothing it knew is fresh."""

    async def scenario(fleet):
        two = fleet.hosts["two"]
        two.link.hang()
        real = page._clock_ns
        monkeypatch.setattr(page, "_clock_ns", lambda clock: real(clock) + 600_000_000_000)
        assert two.look() == "stale"
        two.link.heal()
        await fleet.everywhere("open", ["two"])

    run(scenario, folder, hosts=("two",))
