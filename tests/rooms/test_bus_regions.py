"""What passes between the NATS servers of two regions, and who is let in: the rendered configuration on real servers."""

import asyncio
import base64
import json
import logging

import msgspec
import nats
import pytest
from tests.rooms.links import Link
from tests.rooms.nats_servers import Nats, free_port, serving, two_regions
from tests.rooms.test_bus import TABLE, heard, listening, opened, run, until

from firedoor.bus.nats import NatsBus
from firedoor.core import natsconfig, topics
from firedoor.core.nkeys import Credentials
from firedoor.core.plan.model import Loaded
from firedoor.core.plan.model import NatsBus as Declared
from firedoor.errors import SetupError


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    """The rendered servers of two regions, with a link between them that can be cut."""
    links = []

    def through(region, port):
        links.append(Link(port))
        return links[0].port

    servers = Nats(tmp_path_factory.mktemp("regions"), two_regions(), through=through)
    servers.link = links[0]
    yield servers.start()
    servers.stop()
    servers.link.close()


@pytest.fixture
def serve(tmp_path):
    with serving(tmp_path) as make:
        yield make


def member(regions, region, name):
    servers = regions.loaded.plan.regions[region].bus.servers
    return NatsBus(servers, credentials_file=regions.credentials(region), name=name)


def test_only_the_keys_of_the_region_are_let_in(regions, tmp_path, caplog):
    foreign = tmp_path / "foreign"
    foreign.write_bytes(Credentials(b"\1" * 32).file())
    servers = regions.loaded.plan.regions["eu"].bus.servers
    wrong = [NatsBus(servers, credentials_file=foreign, name="one"), NatsBus(servers, name="two")]
    wrong.append(NatsBus(servers, credentials_file=regions.credentials("us"), name="three"))

    async def life():
        for bus in wrong:
            await bus.open()
        await until(lambda: all(bus.status.trouble == "authorization" for bus in wrong))
        foreign.write_bytes(regions.credentials("eu").read_bytes())  # it is read at each attempt
        await until(lambda: wrong[0].status.server)
        foreign.unlink()
        for bus in wrong:
            await bus.aclose()
        assert [bus.status.connects for bus in wrong] == [1, 0, 0]

    caplog.set_level(logging.DEBUG)
    run(life())
    assert "SU" not in caplog.text
    for data in (b"", b"-----BEGIN NATS USER JWT-----\n", foreign):
        if data is not foreign:
            foreign.write_bytes(data)
        else:
            foreign.unlink()
        with pytest.raises(SetupError, match="credentials"):
            run(wrong[0].open())


def test_what_the_server_forbids_is_said_and_the_rest_goes_on(regions):
    one, two = member(regions, "us", "one"), member(regions, "us", "two")
    listening(one, TABLE)  # another region's
    got = listening(one, topics.table("us"))

    async def life():
        async with opened(one, two):
            assert one.status.trouble == "permissions"
            two.publish(topics.GLOBAL, b"not from here")
            await until(lambda: two.status.trouble == "permissions")
            await heard(two, topics.table("us"), got, b"m")
            assert (one.status.connects, two.status.connects) == (1, 1)

    run(life())


def test_the_global_topic_crosses_the_leaf_and_comes_back_after_every_failure(regions):
    control, there, here = member(regions, "eu", "c"), member(regions, "us", "h"), member(regions, "eu", "h")
    got, own = listening(there, topics.GLOBAL), listening(here, topics.GLOBAL)

    async def life():
        async with opened(control, there, here):
            await heard(control, topics.GLOBAL, got, b"1")
            await asyncio.to_thread(regions.link.cut)
            await heard(control, topics.GLOBAL, own, b"2")  # the region itself needs no link
            await asyncio.to_thread(regions.link.heal)
            await heard(control, topics.GLOBAL, got, b"3")
            regions.servers["eu"].kill()
            regions.servers["eu"].start()
            await heard(control, topics.GLOBAL, got, b"4")
            assert (there.status.connects, there.status.server) == (1, f"127.0.0.1:{regions.servers['us'].port}")
            regions.servers["us"].kill()
            regions.servers["us"].start()
            await heard(control, topics.GLOBAL, got, b"5")
            assert b"2" not in got

    run(life())


SPY = '{{user: "{0}", password: "{0}"}}'


def test_nothing_but_the_global_topic_crosses_whatever_somebody_tries(tmp_path):
    """Spies without any limit sit in every account of both servers; the leaf's own server obeys an attacker too."""
    servers = Nats(tmp_path, two_regions())
    for region, server in servers.servers.items():
        config = server._config.read_text()
        for account in ("REGION", "LINK"):
            spy = SPY.format(f"{region}-{account}")
            config = config.replace(f"{account} {{\n    users: [\n", f"{account} {{\n    users: [\n      {spy}\n")
        server._config.write_text(config)
    tried = [
        "firedoor.global",
        "firedoor.eu.table",
        "firedoor.us.hosts",
        "x",
        "firedoor.global.x",
        "_INBOX.a",
        "$SYS.x",
    ]

    async def life():
        got, clients = {}, {}
        for region, server in servers.servers.items():
            for account in ("REGION", "LINK"):
                name = f"{region}-{account}"
                clients[name] = await nats.connect(server.url, user=name, password=name, no_echo=True)
                got[name] = set()

                async def take(message, name=name):
                    got[name].add((message.subject, message.data))

                await clients[name].subscribe(">", cb=take)
                await clients[name].flush()
        while not got["us-REGION"]:  # the servers have found each other
            await clients["eu-REGION"].publish("firedoor.global", b"eu-REGION")
            await asyncio.sleep(0.05)
        for name, client in clients.items():
            for subject in tried:
                await client.publish(subject, name.encode())
            await client.flush()
        await asyncio.sleep(0.3)  # what crosses has crossed by then: the legitimate one took a few milliseconds
        for client in clients.values():
            await client.close()
        crossed = {
            (name, subject, data.decode())
            for name, seen in got.items()
            for subject, data in seen
            if data.decode()[:2] != name[:2]
        }
        assert crossed == {
            ("us-LINK", "firedoor.global", "eu-REGION"),
            ("us-REGION", "firedoor.global", "eu-REGION"),
            ("us-LINK", "firedoor.global", "eu-LINK"),
            ("us-REGION", "firedoor.global", "eu-LINK"),
        }
        assert ("firedoor.eu.table", b"eu-LINK") not in got["eu-REGION"]

    try:
        servers.start()
        run(life())
        servers.servers["us"].kill()
        config = servers.servers["us"]._config.read_text()
        servers.servers["us"]._config.write_text(config.replace('      deny_exports: ">"\n', ""))
        assert config != servers.servers["us"]._config.read_text()
        servers.servers["us"].start()
        run(life())
    finally:
        servers.stop()


def test_a_leaf_that_speaks_for_itself_is_thrown_out_at_its_first_word(tmp_path):
    """No server of ours, and no limit of its own: the hub's permissions and accounts alone."""
    servers = Nats(tmp_path, two_regions())
    hub, key = servers.servers["eu"], servers.leaves["us"]
    config = hub._config.read_text()
    for account in ("REGION", "LINK"):
        spy = SPY.format(account)
        config = config.replace(f"{account} {{\n    users: [\n", f"{account} {{\n    users: [\n      {spy}\n")
    hub._config.write_text(config)
    got = []

    async def attack(subject):
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port + natsconfig.LEAF_PORT)
        nonce = json.loads((await reader.readline())[5:])["nonce"]
        signature = base64.urlsafe_b64encode(base64.b64decode(key.sign(nonce))).rstrip(b"=").decode()
        hello = {
            "nkey": key.public,
            "sig": signature,
            "server_id": "x",
            "name": "x",
            "version": "2.15.1",
            "protocol": 1,
        }
        writer.write(b"CONNECT " + json.dumps(hello).encode() + b"\r\nPING\r\nLS+ >\r\n")
        await reader.readuntil(b"PONG\r\n")  # it was let in
        writer.write(b"LMSG %b 5\r\nhello\r\n" % subject)
        said = await reader.read()
        writer.close()
        return said

    async def life():
        spies = [await nats.connect(hub.url, user=account, password=account) for account in ("REGION", "LINK")]

        async def take(message):
            got.append(message.subject)

        for spy in spies:
            await spy.subscribe(">", cb=take)
            await spy.flush()
        await spies[0].publish("firedoor.eu.table", b"not for the leaf")
        for subject in (b"firedoor.global", b"firedoor.eu.table", b"x"):
            said = await attack(subject)
            assert b"Permissions Violation for Publish" in said
            assert b"LMSG" not in said
        for spy in spies:
            await spy.flush()
            await spy.close()
        assert set(got) == {"firedoor.eu.table"}  # the spy's own

    try:
        hub.start()
        run(life())
    finally:
        servers.stop()


def test_with_two_servers_in_each_region_any_one_may_fail(serve, tmp_path):
    loaded, creds, leaf = two_regions(), {}, Credentials(b"\6" * 32)
    ports = {region: [free_port(natsconfig.LEAF_PORT) for _ in range(2)] for region in ("eu", "us")}
    regions = {
        name: msgspec.structs.replace(
            region, bus=Declared(servers=tuple(f"nats://127.0.0.1:{port}" for port in ports[name]))
        )
        for name, region in loaded.plan.regions.items()
    }
    loaded = Loaded(msgspec.structs.replace(loaded.plan, regions=regions), "0" * 64, "test")
    servers = {}
    for number, region in enumerate(regions):
        key = Credentials(bytes([number]) * 32)
        creds[region] = tmp_path / f"{region}.creds"
        creds[region].write_bytes(key.file())
        link = {natsconfig.LEAF_SEED: leaf.seed_text, natsconfig.leaf_variable("us"): leaf.public}
        for n, port in enumerate(ports[region]):
            config = natsconfig.render(loaded, region, n)
            servers[region, n] = serve(f"{region}{n}", port, config, link | {natsconfig.CLIENT: key.public})
            servers[region, n].start()

    def member_of(region, name):
        return NatsBus(regions[region].bus.servers, credentials_file=creds[region], name=name)

    control, host, far = member_of("eu", "c"), member_of("eu", "h"), member_of("us", "h")
    got, there = listening(host), listening(far, topics.GLOBAL)

    async def life():
        async with opened(control, host, far):
            await until(lambda: all(len(bus.status.servers) == 2 for bus in (control, host, far)))
            control.publish(TABLE, b"0")
            await until(lambda: got == [b"0", b"0"])
            for lost in (("eu", 0), ("us", 1)):
                servers[lost].hang()  # nobody notices before a message has passed by another way
                await heard(control, TABLE, got, b"%d" % lost[1] + b" hung")
                await heard(control, topics.GLOBAL, there, b"%d" % lost[1] + b" hung")
                servers[lost].kill()
            await until(lambda: len(control.status.servers) == len(far.status.servers) == 1)
            await heard(control, topics.GLOBAL, there, b"one of each is left")
            assert control.status.failed == 0
            assert control.status.trouble in {"refused", "died", "timeout"}
            servers["eu", 0].start()
            await until(lambda: len(control.status.servers) == 2)
            assert control.status.trouble == ""

    run(life())


def test_what_cannot_be_rendered_is_refused():
    loaded = two_regions()
    with pytest.raises(SetupError, match="0 NATS servers for region eu"):
        natsconfig.render(loaded, "eu")
    bus = Declared(servers=("nats://h:4222",))
    same = {name: msgspec.structs.replace(loaded.plan.regions["eu"], bus=bus) for name in ("eu", "us-a", "us_a")}
    plan = Loaded(msgspec.structs.replace(loaded.plan, regions=same), "0" * 64, "test")
    with pytest.raises(SetupError, match="1 NATS servers"):
        natsconfig.render(plan, "eu", 1)
    with pytest.raises(SetupError, match="share a key"):
        natsconfig.render(plan, "eu")
    assert "0.0.0.0:4222" in natsconfig.render(plan, "us-a")
