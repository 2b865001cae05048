"""Keys are replaced while gateways write: nothing is lost, nobody falls back, and an erased shopper stays erased."""

import json
import threading
from collections import Counter

import pytest

from firedoor.app.regionkeys import open_region
from firedoor.errors import EvidenceDamaged
from firedoor.store.journal_read import read
from firedoor.store.opening import BodyOpener
from firedoor.store.planfile import load
from firedoor.store.segments import slots

from .house import House
from .test_corridor import client


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path / "house", workers=2)
    house.start()
    yield house
    house.remove()


class Shoppers:
    """Three shoppers who ask without a pause, each in a thread of their own."""

    def __init__(self, house):
        self.answers = Counter()
        self.asked = Counter()
        self._house = house
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(f"shopper-{n}",), daemon=True) for n in range(3)]

    def __enter__(self):
        self._house.token("eu", "support")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self, shopper):
        asking = client(self._house, "eu", "support")
        while not self._over.is_set():
            answer = asking.chat.completions.create(
                model="small",
                messages=[{"role": "user", "content": f"Hello from {shopper}"}],
                extra_headers={"Firedoor-Subject": shopper},
            )
            self.answers[answer.choices[0].message.content.startswith("You said: Hello")] += 1
            self.asked[shopper] += 1


def bodies(house):
    """How many bodies of region eu open, by kind, and how many were ``erased``; any other that does not is an error."""
    place, loaded = house.home.region("eu"), load(house.plan)
    opener = BodyOpener(place.bodies, place.subjects, open_region(place, loaded, house.folder))
    opened = Counter()
    for slot in slots(place.journals):
        for stored in read(place.journal(slot)):
            if stored.leaf.body is None:
                continue
            try:
                opener.open(stored.leaf)
                opened[stored.leaf.kind] += 1
            except EvidenceDamaged as error:
                assert "was erased" in error.message, error
                opened["erased"] += 1
    opener.close()
    return opened


def search(house, shopper):
    done = house.run("evidence", "search", "--region", "eu", "--subject", shopper, "--summary", "--json")
    return json.loads(done.stdout)["exchanges"]


@pytest.mark.torture
def test_new_epochs_and_a_new_base_key_under_traffic(house):
    house.wait((house.home.region("eu").keys / "subjects" / "1").is_dir, what="cells")
    with Shoppers(house) as shoppers:
        house.wait(lambda: sum(shoppers.asked.values()) > 20, what="traffic")
        for act in ("new-epoch", "rotate", "new-epoch", "rotate"):
            before = sum(shoppers.asked.values())
            changed = json.loads(house.run("keys", act, "--region", "eu", "--json").stdout)
            assert changed["held_by"] == []  # every writer moved over by itself, in less than ten seconds
            house.wait(lambda seen=before: sum(shoppers.asked.values()) > seen + 10, what="traffic")
        erased = search(house, "shopper-0")
        house.run("keys", "erase-subject", "shopper-0", "--region", "eu")
        seen = shoppers.asked["shopper-0"]
        house.wait(lambda: shoppers.asked["shopper-0"] > seen + 10, what="a shopper who was erased and comes back")
    assert set(shoppers.answers) == {True}
    subjects = house.home.region("eu").keys / "subjects"
    assert [path.name for path in subjects.iterdir()] == ["3"]
    opened = bodies(house)
    assert opened["intent"] + opened["outcome"] + opened["erased"] == 2 * sum(shoppers.asked.values())
    assert opened["erased"] >= 2 * erased > 0

    def counted():
        """The index knows of every exchange, and of the erased shopper's those since."""
        since = shoppers.asked["shopper-0"] - (opened["erased"] + 1) // 2
        expected = {**shoppers.asked, "shopper-0": since}
        return all(
            abs(search(house, shopper) - count) <= (shopper == "shopper-0") for shopper, count in expected.items()
        )

    house.wait(counted, what="the index")
    assert house.run("keys", "audit", "--region", "eu").returncode == 0
    # Idle writers let go as well, and the index made again says what the one that was followed says.
    assert json.loads(house.run("keys", "new-epoch", "--region", "eu", "--json").stdout)["held_by"] == []
    house.stop()
    house.run("evidence", "search", "--region", "eu", "--summary", "--rebuild")
    assert counted()
    assert bodies(house) == opened
