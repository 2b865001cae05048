"""What `firedoor doctor` says of a region's switches: keys, page, a real NATS server, hosts."""

import asyncio
import base64
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from firedoor.agent.page import PageWriter
from firedoor.app.prepare import prepare
from firedoor.app.regionkeys import open_region
from firedoor.app.switchcheck import switch_findings
from firedoor.config import Home
from firedoor.core.nkeys import Credentials
from firedoor.core.switches import GlobalTable, Scope, Shown, Switch, Table
from firedoor.keys.ringfile import switch_keys
from firedoor.store.planfile import load
from tests.cli.home import PLAN
from tests.rooms import nats_servers

from .manyhosts import Controlled

OTHER = "ed25519:" + base64.b64encode(bytes(32)).decode()


class House:
    """A region's folder with keys, and what doctor finds about its switches under a plan of the test's."""

    def __init__(self, root):
        self.home = Home(root)
        self.place = self.home.region("eu")
        self.root = root
        self.plan()
        prepare(self.home, load(self.home.plan), root)

    def plan(self, region="", more=""):
        """The plan of all tests of the command line, with `region` added to eu and `more` at its end."""
        text = PLAN.replace('listen: "127.0.0.1:1"}', f'listen: "127.0.0.1:1"{region and ", "}{region}}}') + more
        self.home.plan.write_text(text)

    def own_key(self):
        ring = open_region(self.place, load(self.home.plan), self.root)
        ring.switch_seed()
        (public,) = switch_keys(ring.state).values()
        return "ed25519:" + base64.b64encode(public).decode()

    def found(self):
        loaded = load(self.home.plan)
        findings = asyncio.run(switch_findings(self.home, self.place, loaded, self.root))
        assert all(one.remedy for one in findings if one.level != "ok")
        return [(one.level, one.what) for one in findings]


@pytest.fixture(scope="module")
def house():
    folder = Path(tempfile.mkdtemp(prefix="fd"))  # a Unix socket's path is short
    yield House(folder)
    shutil.rmtree(folder)


def test_the_key_that_signs_tables(house):
    assert house.found() == [("warn", "switch key: none yet")]
    own = house.own_key()
    ((level, what),) = house.found()
    assert (level, what[:12]) == ("ok", "switch key: ")
    house.plan(f'switch_keys: ["{own}"]')
    assert house.found()[0][0] == "ok"
    house.plan(f'switch_keys: ["{OTHER}"]')
    assert house.found() == [("FAIL", "switch key: the plan names another one, so other machines take no table")]
    house.plan(f'switch_keys: ["{OTHER}", "{own}"]')
    assert house.found()[0][0] == "ok"


def test_the_key_of_the_region_that_keeps_the_switches_of_all(house):
    house.own_key()
    house.plan(more="switches: {home: us}\n")
    assert ("FAIL", "switches of all regions: the key of region us is not known here") in house.found()
    us = House.__new__(House)
    us.home, us.place, us.root = house.home, house.home.region("us"), house.root
    us.own_key()
    assert [level for level, _ in house.found()] == ["ok"]


def test_how_old_the_tables_are(house):
    house.own_key()
    house.plan(more="switches: {home: us}\n")
    writer = PageWriter(house.place.page)
    try:
        writer.publish(Shown(Table("eu", 1, "p"), GlobalTable("us", 1)))
        assert ("warn", "switches: the table is without a beat, so AI is off") in house.found()
        writer.beat()
        assert ("ok", "switches: fresh, all open") in house.found()
        drill = Switch(Scope("eu"), "drill", 1.0, drill="d")
        writer.publish(Shown(Table("eu", 2, "p", (Switch(Scope("eu", "x"), "leak", 1.0),), drills=(drill,))))
        writer.beat()
        assert ("ok", "switches: fresh, 2 shut") in house.found()
        text = house.home.plan.read_text().replace("    deadline: 2s\n", "    deadline: 2s\n    global_lease: 60s\n")
        house.home.plan.write_text(text)
        assert any("global_lease are off" in what for level, what in house.found() if level == "warn")
        house.place.page.write_bytes(b"")
        assert ("warn", "switches: no table that can be read") in house.found()
    finally:
        writer.close()
        house.place.page.unlink()


def bus(house, port, file="eu.creds"):
    house.plan(f'bus: {{kind: nats, servers: ["nats://127.0.0.1:{port}"], credentials_file: {file}}}')


def test_the_bus(house, tmp_path):
    house.own_key()
    given = Credentials(os.urandom(32))
    (house.root / "eu.creds").write_bytes(given.file())
    (house.root / "eu.creds").chmod(0o644)
    port = nats_servers.free_port()
    bus(house, port)
    assert ("FAIL", "bus: other users have access to eu.creds") in house.found()
    (house.root / "eu.creds").chmod(0o600)
    assert ("warn", f"bus: 127.0.0.1:{port} does not answer as a NATS server") in house.found()
    bus(house, port, "none.creds")
    assert ("FAIL", "bus: none.creds cannot be read: No such file or directory") in house.found()

    def told(config):
        server = nats_servers.Server(tmp_path, "server", port, f"listen: 127.0.0.1:{port}\n{config}").start()
        try:
            return [(level, what) for level, what in house.found() if what.startswith("bus")]
        finally:
            server.kill()

    bus(house, port)
    hear = 'permissions: {publish: {deny: ">"}, subscribe: {allow: ["firedoor.eu.*"]}}'
    users = "max_payload: 256KB\nauthorization: {{users: [{{nkey: {}, {}}}]}}"
    ours = users.format(given.public, hear)
    assert told(ours) == [("ok", f"bus: 127.0.0.1:{port} answers, and lets us hear the switches")]
    ((level, what),) = told("max_payload: 64KB")
    assert (level, what) == ("FAIL", f"bus: 127.0.0.1:{port} takes only 65536 bytes at a time")
    ((level, what),) = told(users.format(Credentials(os.urandom(32)).public, hear))
    assert (level, what) == ("FAIL", f"bus: 127.0.0.1:{port} refuses the credentials")
    ((level, what),) = told(ours.replace("firedoor.eu.*", "firedoor.us.*"))
    assert (level, what.partition(" does ")[2]) == ("FAIL", "not let these credentials hear the region's switches")


def test_hosts_that_control_hears_of_and_does_not(house):
    house.own_key()
    (house.root / "eu.creds").write_bytes(Credentials(os.urandom(32)).file())
    (house.root / "eu.creds").chmod(0o600)
    bus(house, nats_servers.free_port())
    with Controlled(house.place.root).running() as controlled:
        assert ("warn", "hosts: control has heard of none") in house.found()
        controlled.hear("shop-1")
        assert ("ok", "hosts: 1, all heard of") in house.found()
        controlled.clock += 5
        controlled.hear("shop-2", refused="older")
        found = house.found()
        assert ("warn", "host shop-1: not heard of for 5 s") in found
        assert ("FAIL", "host shop-2: takes no newer table: older") in found
    assert not any("host" in what.split(":")[0] for _, what in house.found())
