"""A leak behind a real gateway: the case that is there by itself, as true as what happened, also after kill -9 of
control, and when it leaks again. All of it is invented."""

import json
import os
import signal
from collections import Counter
from datetime import UTC, datetime

import pytest

from .leaks import FALLBACK, VALUE, GuardedHouse, Player

SCOPE = "eu/alpenladen/shut/eu-chat"
DEAR = "Parcels take three days."


@pytest.fixture(scope="module")
def player():
    player = Player()
    yield player
    player.close()


@pytest.fixture(scope="module")
def house(player, tmp_path_factory):
    house = GuardedHouse(tmp_path_factory.mktemp("incident") / "house", {"chat": player.url})
    house.start()
    house.protect("codes")
    player.say(VALUE)
    house.wait(lambda: house.ask("x").reason == "leak", what="protection")
    yield house
    house.remove()


def asked(house, subject=None, jurisdiction=None):
    headers = {"Firedoor-Subject": subject, "Firedoor-Jurisdiction": jurisdiction}
    return house.ask("How long?", "shut", extra_headers={k: v for k, v in headers.items() if v})


def shown(house, case="last"):
    return json.loads(house.run("incident", "show", case, "--json").stdout)


def listed(house):
    (region,) = json.loads(house.run("incident", "list", "--json").stdout)["regions"]
    return region["incidents"]


def counted(house, true):
    """The case, once its count says what `true` asks of it."""
    found = {}

    def is_it():
        found.update(shown(house) if listed(house) else {})
        count = (found.get("details") or {}).get("counted")
        return count is not None and true(count)

    house.wait(is_it, seconds=30, what="who is affected")
    return found


def kinds(case):
    return Counter(entry["payload"]["kind"] for entry in case["entries"])


def figures(case):
    return {name: case["details"]["counted"][name] for name in ("exchanges", "exposed", "confirmed", "subjects")}


def exact(number):
    return {"least": number, "most": number}


def test_a_leak_leaves_a_case_that_is_true(house, player):
    player.say(DEAR)
    for who, where in (("anna", None), ("anna", None), ("boris", "FR"), (None, None)):
        assert asked(house, who, where).outcome == "answered"
    assert listed(house) == []  # leaks that only cut open none in this plan
    player.say(f"Between us: {VALUE}.")
    leak = asked(house, "carl")
    assert leak.reason == "leak"
    house.wait(lambda: listed(house) and shown(house)["details"]["contained"], what="the case that tells it is shut")
    assert asked(house, "dora").text == FALLBACK
    case = counted(house, lambda count: count["asked"]["until"] is not None)
    steps = kinds(case)
    assert [steps[kind] for kind in ("opened", "contained", "sealed", "purged")] == [1, 1, 1, 1]
    order = [entry["payload"]["kind"] for entry in case["entries"]]
    assert order.index("contained") < order.index("sealed") < order.index("purged")
    details = case["details"]
    assert [one["exchange"] for one in details["found"]] == [leak.exchange]
    assert details["scopes"] == [SCOPE]
    # Nothing of the leaking answer went out. The one who gave no name may be one of the others, or somebody else. Dora
    # got a fallback, behind the shut door.
    assert figures(case) == {
        "exchanges": exact(5), "exposed": exact(4), "confirmed": exact(1), "subjects": {"least": 3, "most": 4},
    }  # fmt: skip
    assert details["counted"]["unknown"]["no_subject"] == 1
    (clock,) = [clock for clock in case["clocks"]["clocks"] if clock["id"] == "eu.gdpr.33.1"]
    assert (clock["state"], clock["due"]) == ("not_started", None)
    assert clock["cautious"] - details["opened"]["detected"] == 72 * 3600 * 1_000_000


def test_the_evidence_holds_every_entry(house):
    house.run("incident", "verify")
    house.run("evidence", "verify")


def test_killed_control_takes_it_up_again_and_does_nothing_twice(house):
    before = shown(house)
    pid = house.pids("eu")["control"]
    os.kill(pid, signal.SIGKILL)
    house.wait(lambda: house.pids("eu")["control"] != pid, seconds=30, what="control")
    house.wait(lambda: house.run("incident", "list", check=False).returncode == 0, seconds=30, what="its answer")
    after = shown(house)
    assert len(listed(house)) == 1
    assert after["entries"][: len(before["entries"])] == before["entries"]
    assert kinds(after) == kinds(before)


def test_what_leaks_again_joins_the_case_and_is_counted(house, player):
    """Two people opened the door, and it leaks again: the same case, with those of the second time as well."""
    house.reopen(SCOPE)
    player.say(DEAR)
    house.wait(lambda: asked(house, "emil").outcome == "answered", what="the open door")
    player.say(f"It is {VALUE}.")
    again = asked(house, "fred")
    assert again.reason == "leak"
    # Beside those of the first time: Dora, who got a fallback in between, Emil, and Fred.
    case = counted(house, lambda count: count["confirmed"]["least"] == 2 and count["subjects"]["least"] == 6)
    assert [line["id"] for line in listed(house)] == [case["id"]]
    assert again.exchange in [one["exchange"] for one in case["details"]["found"]]
    assert figures(case) == {
        "exchanges": exact(8), "exposed": exact(5), "confirmed": exact(2), "subjects": {"least": 6, "most": 7},
    }  # fmt: skip
    assert kinds(case)["contained"] == 2
    house.run("incident", "verify")


def test_time_travel_shows_what_was_known(house):
    case = shown(house)
    first = next(entry for entry in case["entries"] if entry["payload"]["kind"] == "contained")
    stamp = first["at"] // 1000 / 1000 + 0.001
    then = json.loads(
        house.run("incident", "show", "last", "--json", "--at", datetime.fromtimestamp(stamp, UTC).isoformat()).stdout
    )
    assert then["details"]["contained"] is not None
    assert then["details"]["findings"] == 1
    assert len(then["entries"]) < len(case["entries"])
    assert then["entries"] == case["entries"][: len(then["entries"])]
