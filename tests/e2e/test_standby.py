"""Two control processes of one region, on two hosts, with one PostgreSQL: one speaks, the other takes over."""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from firedoor.agent.page import PageReader
from firedoor.config import Home
from tests.rooms.postgres import running

from .house import House

SCOPE = "eu/alpenladen/support"
PATIENCE = 60


class Host:
    """A machine that runs control of eu, in a home of its own."""

    def __init__(self, name, root):
        self.name, self.home = name, Home(root)
        self.process = None

    def start(self):
        self.log = self.home.root / f"{self.name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "firedoor", "control", "--region", "eu", "--home", str(self.home.root)],
                stdout=log, stderr=log,
            )  # fmt: skip
        return self

    def said(self):
        return self.log.read_text()

    def shown(self):
        """The version it shows its workers, the scopes that are shut, and how old that is."""
        reader = PageReader(self.home.region("eu").page)
        try:
            look = reader.look()
            if look.shown is None:
                return -1, [], look.age
            return look.shown.table.version, [str(s.scope) for s in look.shown.table.shut], look.age
        finally:
            reader.close()

    def speaks(self):
        version, _, age = self.shown()
        return version >= 0 and age < 1.5

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(PATIENCE)


@pytest.fixture
def hosts(tmp_path):
    with running() as server:
        house = House(tmp_path / "one")
        house.document["regions"]["eu"]["state"] = server.database()
        house.plan.write_text(json.dumps(house.document))
        one = Host("one", house.home.root).start()
        pair = [one]
        try:
            house.wait(one.speaks, PATIENCE, "a table on the page")
            two = Host("two", tmp_path / "two")
            pair.append(two)
            shutil.copytree(
                house.folder, two.home.root, ignore=shutil.ignore_patterns("*.sock", "*.nudge", "run", ".*")
            )
            region = two.home.region("eu")
            for path in (region.page, region.table_copy):
                path.unlink(missing_ok=True)
            shutil.rmtree(region.journals)
            two.start()
            yield house, one, two
        finally:
            for host in pair:
                host.end()


def test_the_other_takes_over_and_who_hung_says_nothing_more(hosts):
    house, one, two = hosts
    house.wait(lambda: "stands by" in two.said(), PATIENCE, "standing by")
    house.run("shut", SCOPE, "--as", "ana", "--key", house.keys["ana"])
    before, shut, _ = one.shown()
    assert shut == [f"{SCOPE}/*"]
    assert not two.speaks()

    one.process.send_signal(signal.SIGSTOP)
    house.wait(two.speaks, PATIENCE, "taking over from one that hangs")
    version, shut, _ = two.shown()
    assert version > before
    assert shut == [f"{SCOPE}/*"]
    hung = one.shown()[2]

    one.process.send_signal(signal.SIGCONT)
    assert one.process.wait(PATIENCE) != 0
    assert "took over" in one.said()
    assert one.shown()[2] >= hung, "not one beat came after the other began"
    assert two.speaks()

    one.start()
    house.wait(lambda: one.said().count("stands by") == 1, PATIENCE, "standing by")
    two.process.kill()
    house.wait(one.speaks, PATIENCE, "taking over from one that is gone")
    assert one.shown()[0] > version
    assert one.shown()[1] == [f"{SCOPE}/*"]
