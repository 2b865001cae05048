"""`kill -HUP` of `firedoor up`: new processes take the places of the old ones, and AI stays on meanwhile."""

import http.client
import json
import signal
import threading
from collections import Counter

import pytest

from firedoor.agent.page import PageReader
from firedoor.app.hostpart import STANDS_BY

from .house import House

PATIENCE = 90
SURFACE = "support"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("house"), workers=2)
    del house.document["regions"]["us"], house.document["models"]["us-chat"]
    house.document["regions"]["eu"]["jurisdictions"] = ["EU", "CH", "US"]
    for surface in house.document["surfaces"].values():
        surface["models"].pop("us", None)  # the surfaces share it
    house.plan.write_text(json.dumps(house.document))
    house.start()
    yield house
    house.remove()


def ask(house, token):
    """Outcome and reason of an answer. A worker that ends may drop a connection that it has not looked at yet."""
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "Hello"}]})
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", house.ports["eu"], timeout=30)
        try:
            connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            response.read()
        except ConnectionError:
            continue
        finally:
            connection.close()
        return response.headers["firedoor-outcome"], response.headers.get("firedoor-reason")
    return "no connection", None


class Shoppers(threading.Thread):
    """Ask all the time, one question after the other."""

    def __init__(self, house):
        super().__init__()
        self.house, self.token = house, house.token("eu", SURFACE)
        self.answers = Counter()
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            self.answers[ask(self.house, self.token)] += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def shown(house):
    """Version of the table that workers see, and what is shut in it."""
    reader = PageReader(house.home.region("eu").page)
    try:
        table = reader.look().shown.table
        return table.version, [str(switch.scope) for switch in table.shut]
    finally:
        reader.close()


def renew(house, word):
    """Ask for new processes, and wait until `up` says `word` about it."""
    log = house.folder / "up.log"
    before = log.read_text().count(word)
    house.process.send_signal(signal.SIGHUP)
    house.wait(lambda: log.read_text().count(word) > before, PATIENCE, word)


def test_ai_stays_on_while_all_processes_are_replaced(house):
    house.wait(lambda: ask(house, house.token("eu", SURFACE)) == ("answered", None), PATIENCE, "AI")
    house.run("shut", "eu/*/recommendations", "--as", "ana", "--key", house.keys["ana"])
    pids, told = house.pids("eu"), shown(house)
    with Shoppers(house) as shoppers:
        renew(house, "new processes run")
    assert set(shoppers.answers) == {("answered", None)}
    after = house.pids("eu")
    assert after.keys() == pids.keys()
    assert {name for name in pids if pids[name] == after[name]} == {"model:eu-chat"}
    assert STANDS_BY in (house.home.region("eu").run / "control.log").read_text()
    assert shown(house)[0] > told[0]
    assert shown(house)[1] == told[1] == ["eu/*/recommendations/*"]


def test_a_new_control_that_cannot_start_leaves_everything_as_it_is(house):
    pids, plan = house.pids("eu"), house.plan.read_text()
    house.plan.write_text("firedoor: 1\nregions: 7\n")
    try:
        with Shoppers(house) as shoppers:
            renew(house, "NOT RENEWED, control")
    finally:
        house.plan.write_text(plan)
    assert house.pids("eu") == pids
    assert set(shoppers.answers) == {("answered", None)}
