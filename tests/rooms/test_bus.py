"""What every bus owes: the same tests over Unix datagrams and a real NATS server, and both behind `region_bus`."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.rooms.nats_servers import Nats
from tests.rooms.region import People

from firedoor.app.buses import region_bus
from firedoor.bus.local import MESSAGE_BYTES, LocalBus
from firedoor.bus.nats import NatsBus
from firedoor.config import Home
from firedoor.core import topics
from firedoor.core.plan.model import Loaded, SwitchRules

TABLE, HOSTS = topics.table("eu"), topics.hosts("eu")


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def until(true):
    while not true():  # noqa: ASYNC110  what is waited for tells nobody
        await asyncio.sleep(0.002)


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    plan = msgspec.structs.replace(People().plan(), switches=SwitchRules(home="eu"))
    servers = Nats(tmp_path_factory.mktemp("nats"), Loaded(plan, "0" * 64, "test")).start()
    yield servers
    servers.stop()


@pytest.fixture(params=["local", "nats"])
def make(request, tmp_path):
    """Makes buses that hear one another: `make(name)`. Only what they have in common is used."""
    if request.param == "local":
        return lambda name: LocalBus(tmp_path / "bus", name)
    nats = request.getfixturevalue("nats")
    servers = nats.loaded.plan.regions["eu"].bus.servers
    return lambda name: NatsBus(servers, credentials_file=nats.credentials("eu"), name=name)


def failed(bus):
    return bus.failed if isinstance(bus, LocalBus) else bus.status.failed


@asynccontextmanager
async def opened(*buses):
    for bus in buses:
        await bus.open()
    await until(lambda: all(not isinstance(bus, NatsBus) or bus.status.server for bus in buses))
    try:
        yield
    finally:
        for bus in buses:
            if isinstance(bus, LocalBus):
                bus.close()
            else:
                await bus.aclose()


def listening(bus, *names):
    got = []
    for name in names or (TABLE,):
        bus.subscribe(name, got.append)
    return got


async def heard(publisher, topic, got, message):
    """Say `message` until it is heard, as beats do: after a reconnect servers need a moment to learn who listens."""
    while message not in got:
        publisher.publish(topic, message)
        await asyncio.sleep(0.02)


def test_messages_arrive_whole_and_in_order(make):
    one, two, three = make("one"), make("two"), make("three")
    here, there = listening(two), listening(three)
    sent = [b"", b"\n", bytes(range(256)), *(b"%d" % i for i in range(100)), b"x" * (190 * 1024), b"last"]

    async def life():
        async with opened(one, two, three):
            for number, message in enumerate(sent, 1):
                one.publish(TABLE, message)
                await until(lambda number=number: min(len(here), len(there)) >= number)
            assert here == there == sent
            assert failed(one) == 0

    run(life())


def test_a_burst_keeps_its_order(make):
    one, two = make("one"), make("two")
    got = listening(two)

    async def life():
        async with opened(one, two):
            for i in range(300):
                one.publish(TABLE, b"%03d" % i)
                if i % 5 == 0:
                    await asyncio.sleep(0.001)
            while b"end" not in got:  # the newest gets through, whatever was lost
                one.publish(TABLE, b"end")
                await asyncio.sleep(0.01)
            numbers = [message for message in got if message != b"end"]
            assert len(numbers) > 50
            assert numbers == sorted(set(numbers))

    run(life())


def test_nobody_hears_himself_or_what_he_did_not_ask_for(make):
    one, two = make("one"), make("two")
    own, got, other = listening(one, TABLE, HOSTS), listening(two), listening(two, HOSTS)

    async def life():
        async with opened(one, two):
            one.publish(topics.sessions("eu"), b"nobody's")
            one.publish(HOSTS, b"hosts")
            one.publish(TABLE, b"table")
            await until(lambda: got and other)
            assert (got, other) == ([b"table"], [b"hosts"])
            two.publish(HOSTS, b"back")
            await until(lambda: own)
            assert own == [b"back"]

    run(life())


def test_the_largest_message_passes_and_a_larger_one_is_counted(make):
    one, two = make("one"), make("two")
    got = listening(two)

    async def life():
        async with opened(one, two):
            one.publish(TABLE, b"x" * (MESSAGE_BYTES + 1))
            assert failed(one) == 1
            one.publish(TABLE, b"x" * MESSAGE_BYTES)
            await until(lambda: got)
            assert [len(message) for message in got] == [MESSAGE_BYTES]

    run(life())


def test_what_is_no_topic_goes_nowhere_and_breaks_nothing(make):
    one, two = make("one"), make("two")
    got = listening(two)
    wrong = [
        "",
        " ",
        "firedoor.>",
        "firedoor.*.table",
        "a b",
        "a\r\nPUB x 0\r\n\r\n",
        "a\nb",
        ".",
        "a..b",
        "Ä",
        "x" * 256,
    ]

    async def life():
        async with opened(one, two):
            for topic in wrong:
                one.publish(topic, b"m")
            assert failed(one) == len(wrong)
            one.publish(TABLE, b"m")
            await until(lambda: got)
            assert got == [b"m"]

    run(life())


def test_a_subscriber_that_raises_is_told_to_the_loop_and_nobody_else_suffers(make):
    one, two = make("one"), make("two")
    got, told = listening(two, HOSTS), []
    two.subscribe(TABLE, lambda message: 1 / 0)

    async def life():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(type(context["exception"])))
        async with opened(one, two):
            one.publish(TABLE, b"1")
            await until(lambda: told)
            one.publish(HOSTS, b"2")
            await until(lambda: got)
            assert told == [ZeroDivisionError]

    run(life())


def test_who_is_not_open_publishes_nothing(make):
    one, two = make("one"), make("two")
    got = listening(two)

    async def life():
        one.publish(TABLE, b"before")
        async with opened(two):
            one.publish(TABLE, b"still")
            async with opened(one):
                one.publish(TABLE, b"now")
                await until(lambda: got)
            one.publish(TABLE, b"after")
            await asyncio.sleep(0.05)
            assert got == [b"now"]
            assert failed(one) == 3

    run(life())


def test_on_one_machine_with_nats_everything_comes_once(nats, tmp_path):
    control, host = (region_bus(Home(tmp_path), nats.loaded, "eu", name, tmp_path) for name in ("control", "host-1"))
    connected = []
    control.on_connect = lambda: connected.append("control")
    got = listening(host, TABLE), listening(host, topics.GLOBAL), listening(control, HOSTS)

    async def life():
        await control.open()
        await host.open()
        await until(lambda: control.status.nats.server and host.status.nats.server and connected)
        for i in range(3):
            control.publish(TABLE, b"table %d" % i)
            control.publish(topics.GLOBAL, b"global %d" % i)
            host.publish(HOSTS, b"host %d" % i)
            await asyncio.sleep(0.05)
        await until(lambda: all(len(one) >= 3 for one in got))
        assert [len(one) for one in got] == [3, 3, 3]
        assert (control.status.failed, control.status.ignored, control.status.nats.failed) == (0, 0, 0)
        assert [path.name for path in (tmp_path / "bus").iterdir()] != []
        await control.aclose()
        await host.aclose()
        assert [*(tmp_path / "bus").iterdir(), *(tmp_path / "regions/eu/bus").iterdir()] == []

    run(life())


def test_only_the_global_topic_passes_between_regions_of_one_machine(nats, tmp_path):
    regions = {"eu": nats.loaded.plan.regions["eu"]}
    regions = {name: msgspec.structs.replace(regions["eu"], bus=None) for name in ("eu", "us")}
    loaded = Loaded(msgspec.structs.replace(nats.loaded.plan, regions=regions), "0" * 64, "test")
    control, there = (region_bus(Home(tmp_path), loaded, region, "control", tmp_path) for region in regions)
    got = listening(there, TABLE, HOSTS, topics.table("us"), topics.GLOBAL)

    async def life():
        await control.open()
        await there.open()
        for topic in (TABLE, HOSTS, topics.table("us"), topics.sessions("us"), topics.GLOBAL):
            control.publish(topic, topic.encode())
        await until(lambda: got)
        await asyncio.sleep(0.05)
        assert got == [topics.GLOBAL.encode()]
        assert control.status.nats is None
        control.publish(topics.GLOBAL, topics.GLOBAL.encode())  # the same once more says nothing new
        await asyncio.sleep(0.05)
        assert len(got) == 1
        await control.aclose()
        await there.aclose()

    run(life())
