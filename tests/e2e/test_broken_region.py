"""A region whose keys, weights or ring are out of order: its fallbacks go on, the other region does not notice, and AI
comes back by itself. And what a gateway worker, which strangers talk to, holds of the region's keys."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import openai
import pytest

from firedoor.app.prepare import prepare
from firedoor.store.planfile import load

from .house import SECRET, House
from .test_corridor import ask

WORD = "open sesame of the root"
FALLBACK = "Our team will answer you by mail."


def said(house):
    return (house.folder / "up.log").read_text()


def answer(house, region):
    """What a shopper gets, whoever gives it; None while nobody does."""
    try:
        return ask(house, "Hello", region=region).choices[0].message.content
    except openai.APIConnectionError:
        return None


def ai(house, region):
    return answer(house, region) == "You said: Hello"


def health(house, region):
    try:
        with urllib.request.urlopen(house.url(region) + "/healthz", timeout=5) as response:
            return json.load(response)
    except OSError:
        return {}


def environment(pid):
    return Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")


def ways(pid):
    """What a process has open, beside its standard streams, that could carry keys: pipes from others, files of keys."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(entry.name)] = str(entry.readlink())
    ours = Counter(found.values())  # both ends of a loop's own pipe are here
    pipes = [target for fd, target in found.items() if fd > 2 and target.startswith("pipe:") and ours[target] == 1]
    return pipes + [target for target in found.values() if "/keys/" in target and "/subjects/" not in target]


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setenv("FIREDOOR_ROOT_PASSPHRASE", WORD)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WORD)
    house = House(tmp_path / "house")
    yield house
    house.remove()


def fresh_worker(house, region="eu"):
    """Kill a worker; the process id of the one that is started in its place."""
    old = house.pids(region)["worker-0"]
    os.kill(old, signal.SIGKILL)
    return house.wait(lambda: (new := house.pids(region).get("worker-0")) != old and new, what="another worker")


@pytest.mark.torture
def test_a_root_that_does_not_answer_and_comes_back_and_what_a_worker_holds(house):
    prepare(house.home, load(house.plan), house.folder)
    place = house.home.region("eu")
    root, away = place.keys / "root.json", place.keys / "root.away"
    root.rename(away)
    house.start()
    assert "eu: NO KEYS, so AI IS OFF and fallbacks are given: Region eu has no root file." in said(house)
    assert "Firedoor is up, but NOT ALL OF IT" in said(house)
    assert ai(house, "us")
    assert answer(house, "eu") == FALLBACK
    assert set(house.pids("eu")) == {"worker-0", "model:eu-chat"}  # nothing that would ask the root again and again
    fresh_worker(house)
    house.wait(lambda: answer(house, "eu") == FALLBACK, what="the fallback of a worker started anew")
    away.rename(root)
    house.wait(lambda: ai(house, "eu"), seconds=30, what="AI by itself")
    house.wait(lambda: {"control", "agent"} <= set(house.pids("eu")), what="control and agent")
    assert said(house).count("NO KEYS") == 1

    worker = house.pids("eu")["worker-0"]
    for _ in range(2):  # one that got its keys late, and one that found them waiting
        for pid in (worker, house.pids("eu")["model:eu-chat"]):
            assert not any(WORD in line for line in environment(pid))
        assert ways(worker) == []
        worker = fresh_worker(house)
        house.wait(lambda: ai(house, "eu"), what="AI of a worker started anew")
    assert any(WORD in line for line in environment(house.pids("eu")["control"]))  # else the test tests nothing
    streams = sum(1 + name.startswith("model:") for region in ("eu", "us") for name in house.pids(region))
    assert len(ways(house.process.pid)) <= streams  # the children's standard streams, and no pipe with keys in it
    assert json.loads(root.read_bytes())["sealed"] == "scrypt"

    # Somebody who can write files and has no root puts nonsense in place of the ring, and workers die.
    good = place.ring.read_bytes()
    for bad in (b"{}", None):
        place.ring.unlink() if bad is None else place.ring.write_bytes(bad)
        worker = fresh_worker(house)
        house.wait(lambda: answer(house, "eu") == FALLBACK, what="its fallback")
        assert ai(house, "us")
    assert not place.ring.exists()  # a worker makes no keys
    place.ring.write_bytes(good)
    place.ring.chmod(0o600)
    house.wait(lambda: health(house, "eu")["journal"] == "ok", seconds=30, what="keys for the worker that had none")
    assert house.pids("eu")["worker-0"] == worker


@pytest.mark.torture
def test_what_is_broken_in_one_place_stays_there(house):
    """Protected values that do not open in eu, weights that nobody signed in us; then a region without a folder."""
    house.document["models"]["us-chat"] = {
        "region": "us", "engine": "embedded", "name": "small", "weights": "w.sealed", "sealed": True,
        "serves": ["chat", "embeddings"],
    }  # fmt: skip
    house.plan.write_text(json.dumps(house.document))
    (house.folder / "w.sealed").write_bytes(b"GGUF, and sealed by nobody")
    prepare(house.home, load(house.plan), house.folder)
    house.run("protect", "add", "--region", "eu", "--set", "supplier_prices", SECRET)
    values = house.home.region("eu").protected
    good = values.read_bytes()
    values.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    house.start()
    assert "us: MODEL INSTANCE us-chat DOES NOT RUN, its surfaces give their fallbacks: The weights" in said(house)
    assert (answer(house, "eu"), answer(house, "us")) == (FALLBACK, FALLBACK)
    assert (health(house, "eu")["journal"], health(house, "us")["journal"]) == ("poisoned", "ok")
    log = house.home.region("eu").run / "worker-0.log"
    time.sleep(6)  # more than one attempt of the worker to mend itself: it must not begin without the values
    assert answer(house, "eu") == FALLBACK
    assert log.read_text().count("fallbacks only: ") == 1
    values.write_bytes(good)
    house.wait(lambda: ai(house, "eu"), seconds=20, what="AI by itself")
    assert SECRET not in ask(house, "LEAK please", surface="account_chat").choices[0].message.content

    house.stop()
    shutil.rmtree(house.home.region("us").root)
    house.home.region("us").root.write_text("in the way")
    house.start()
    assert "us: DOES NOT START: The folder of region us cannot be made" in said(house)
    house.wait(lambda: ai(house, "eu"), what="AI of the other region")


def test_a_gateway_by_itself_makes_no_keys_and_waits_for_them(house):
    command = [sys.executable, "-m", "firedoor", "gateway", "--region", "eu", "--home", str(house.folder)]
    with (house.folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        found = house.wait(lambda: health(house, "eu"), what="a gateway")
        assert found["journal"] == "poisoned"
        assert answer(house, "eu") == FALLBACK
        assert not house.home.region("eu").ring.exists()
        prepare(house.home, load(house.plan), house.folder)
        house.wait(lambda: health(house, "eu")["journal"] == "ok", what="evidence by itself")
    finally:
        process.terminate()
        process.wait(20)
