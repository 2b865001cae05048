"""A region whose keys, weights or ring are out of order: its fallbacks go on, the other region does not notice, and AI
comes back by itself. And what a gateway worker, which strangers talk to, holds of the region's keys."""

import contextlib
import json
import os
import signal
import time
import urllib.request
from collections import Counter
from pathlib import Path

import openai
import pytest

from firedoor.app.prepare import prepare
from firedoor.store.planfile import load

from .house import House
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


def test_a_root_that_does_not_answer_at_start_and_comes_back(house):
    prepare(house.home, load(house.plan), house.folder)
    root = house.home.region("eu").keys / "root.json"
    root.rename(root.with_name("root.away"))
    house.start()
    assert "eu: NO KEYS, so AI IS OFF and fallbacks are given: Region eu has no root file." in said(house)
    assert "Firedoor is up, but NOT ALL OF IT" in said(house)
    assert ai(house, "us")
    assert answer(house, "eu") == FALLBACK
    assert set(house.pids("eu")) == {"worker-0", "model:eu-chat"}  # nothing that would ask the root again and again

    before = house.pids("eu")["worker-0"]
    os.kill(before, signal.SIGKILL)
    house.wait(lambda: answer(house, "eu") == FALLBACK, what="the fallback of a worker started anew")
    root.with_name("root.away").rename(root)
    house.wait(lambda: ai(house, "eu"), seconds=30, what="AI by itself")
    assert {"control", "agent"} <= set(house.pids("eu"))
    assert said(house).count("NO KEYS") == 1


def test_what_a_worker_holds(house):
    house.start()
    place = house.home.region("eu")
    house.wait(lambda: ai(house, "eu"), what="AI")
    for _ in range(2):
        pids = house.pids("eu")
        worker = pids["worker-0"]
        assert not any(WORD in line for pid in (worker, pids["model:eu-chat"]) for line in environment(pid))
        assert any(WORD in line for line in environment(pids["control"]))
        assert ways(worker) == []
        os.kill(worker, signal.SIGKILL)
        house.wait(lambda old=worker: house.pids("eu").get("worker-0") not in {None, old}, what="another worker")
        house.wait(lambda: ai(house, "eu"), what="AI of a worker started anew")
    streams = sum(1 + name.startswith("model:") for region in ("eu", "us") for name in house.pids(region))
    assert len(ways(house.process.pid)) <= streams  # standard streams of children, and no pipe with keys in it
    assert json.loads((place.keys / "root.json").read_bytes())["sealed"] == "scrypt"


def test_a_worker_is_never_left_for_dead_because_the_ring_is(house):
    """Somebody who can write files and has no root puts nonsense in place of the ring, and a worker dies."""
    house.start()
    house.wait(lambda: ai(house, "eu"), what="AI")
    ring = house.home.region("eu").ring
    good, worker = ring.read_bytes(), house.pids("eu")["worker-0"]
    for bad in (b"{}", None):
        if bad is None:
            ring.unlink()
        else:
            ring.write_bytes(bad)
        os.kill(worker, signal.SIGKILL)
        house.wait(lambda old=worker: house.pids("eu").get("worker-0") not in {None, old}, what="another worker")
        worker = house.pids("eu")["worker-0"]
        house.wait(lambda: answer(house, "eu") == FALLBACK, what="its fallback")
        assert ai(house, "us")
    assert not ring.exists()  # no worker makes new keys
    ring.write_bytes(good)
    ring.chmod(0o600)
    house.wait(lambda: house.pids("eu").get("worker-0") == worker and _journal(house, "eu") == "ok", seconds=40)


def _journal(house, region):
    with urllib.request.urlopen(house.url(region) + "/healthz", timeout=5) as response:
        return json.load(response)["journal"]


def test_protected_values_that_do_not_open_keep_ai_off(house):
    """A worker that got its keys late must not begin to answer without the values that it protects."""
    prepare(house.home, load(house.plan), house.folder)
    house.run("protect", "add", "--region", "eu", "--set", "supplier_prices", "ALP-2210 cost EUR 41.85")
    values = house.home.region("eu").protected
    good = values.read_bytes()
    values.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    house.start()
    assert answer(house, "eu") == FALLBACK
    time.sleep(6)  # more than one attempt of the worker to mend itself
    assert answer(house, "eu") == FALLBACK
    values.write_bytes(good)
    house.wait(lambda: ai(house, "eu"), seconds=20, what="AI by itself")


def test_refused_weights_stop_one_model_instance_only(house):
    house.document["models"]["eu-chat"] = {
        "region": "eu", "engine": "embedded", "name": "small", "weights": "w.sealed", "sealed": True,
        "serves": ["chat", "embeddings"],
    }  # fmt: skip
    house.plan.write_text(json.dumps(house.document))
    (house.folder / "w.sealed").write_bytes(b"GGUF, and sealed by nobody")
    house.start()
    assert "eu: MODEL INSTANCE eu-chat DOES NOT RUN, its surfaces give their fallbacks: The weights" in said(house)
    assert "Firedoor is up, but NOT ALL OF IT" in said(house)
    assert answer(house, "eu") == FALLBACK
    assert ai(house, "us")
    assert "model:eu-chat" not in house.pids("eu")


def test_a_region_that_cannot_start_at_all(house):
    folder = house.home.region("eu").root
    folder.parent.mkdir()
    folder.write_text("in the way")
    house.start()
    assert "eu: DOES NOT START: The folder of region eu cannot be made" in said(house)
    assert ai(house, "us")
