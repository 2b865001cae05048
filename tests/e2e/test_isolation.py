"""A model instance is isolated under `firedoor up`: a stream in flight is cut, its process is evidence, two let it back."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from firedoor.store.isolated import IsolationFiles
from firedoor.upstream import procs

from .house import PASSPHRASE, House
from .test_corridor import client

MODEL = "eu-chat"
SCOPE = f"eu/*/*/{MODEL}"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("house"))
    document = house.document
    for part in ("regions", "models"):
        document[part] = {name: one for name, one in document[part].items() if name.startswith("eu")}
    document["shops"]["alpenladen"]["sells_to"] = ["DE", "FR"]
    for surface in document["surfaces"].values():
        surface["models"] = {"eu": MODEL}
        if "embeddings" in surface:
            surface["embeddings"] = {"eu": MODEL}
    house.plan.write_text(json.dumps(document))
    house.start()
    yield house
    with contextlib.suppress(ProcessLookupError, TypeError):
        halted = files(house).halted(MODEL)
        os.kill(halted.pid if halted is not None else None, signal.SIGKILL)
    house.remove()


def files(house):
    place = house.home.region("eu")
    return IsolationFiles(place.isolated, place.run)


class Stream(threading.Thread):
    """A shopper who reads a long answer."""

    def __init__(self, house):
        super().__init__(daemon=True)
        self.begun = threading.Event()
        self.words = []
        self.last = None
        self._asking = client(house, "eu", "support")

    def run(self):
        stream = self._asking.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "SLOW"}], stream=True
        )
        for chunk in stream:
            self.last = chunk
            if chunk.choices and chunk.choices[0].delta.content:
                self.words.append(chunk.choices[0].delta.content)
                if "".join(self.words).count("word") >= 3:
                    self.begun.set()


def ask(house):
    answer = client(house, "eu", "support").chat.completions.with_raw_response.create(
        model="small", messages=[{"role": "user", "content": "Hello"}]
    )
    return answer.headers["Firedoor-Outcome"], answer.parse().choices[0].message.content


def status(url, key):
    """What the model server itself answers to who has `key`."""
    request = urllib.request.Request(f"{url}/models", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def recorded(house, exchange):
    return [json.loads(line) for line in house.run("evidence", "show", exchange, "--json").stdout.splitlines()]


def test_isolated_while_it_speaks_and_control_is_killed_and_let_back_by_two(house):
    place = house.home.region("eu")
    assert ask(house)[0] == "answered"
    old = house.pids("eu")[f"model:{MODEL}"]
    url, key = place.model_url(MODEL).read_text(), place.model_key(MODEL).read_text()
    assert status(url, key) == 200
    stream = Stream(house)
    stream.start()
    assert stream.begun.wait(20)

    control = house.pids("eu")["control"]
    environment = {**os.environ, "FIREDOOR_HOME": str(house.home.root), "FIREDOOR_PASSPHRASE": PASSPHRASE}
    command = [
        sys.executable, "-m", "firedoor", "models", "isolate", MODEL, "--as", "cem", "--key", str(house.keys["cem"]),
        "--reason", "leak", "--note", "it spoke of suppliers",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as isolating:
        house.wait(lambda: files(house).note(MODEL) is not None, what="a note")
        os.kill(control, signal.SIGKILL)
        isolating.wait(60)

    # The stream is over long before its 400 words; what ran is cut.
    stream.join(30)
    assert not stream.is_alive()
    assert "".join(stream.words).count("word") < 400

    # Another control goes on; the process stands still, and so do its threads.
    house.wait(lambda: files(house).note(MODEL).next is None, 60, "all steps")
    note = files(house).note(MODEL)
    assert note.halted.did == "frozen"
    assert note.halted.pid == old
    assert procs.process(old).state == "T"
    assert not place.model_key(MODEL).exists()
    outcome, text = ask(house)
    assert (outcome, text) == ("fallback", "Our team will answer you by mail.")

    # On record, sealed, and it verifies.
    (row,) = json.loads(house.run("models", "isolated", "--json").stdout)
    assert (row["process"], row["pid"], row["state"], row["key"]) == ("frozen", old, "T", "revoked")
    assert row["next"] is None
    facts = recorded(house, row["evidence"])[-1]["facts"]
    assert (facts["act"], facts["process"], facts["by"], facts["reason"]) == ("isolate", "frozen", ["cem"], "leak")
    assert len(facts["weights_sha256"]) == len(facts["program_sha256"]) == 64
    assert facts["exchanges"] >= 1

    # Nothing brings it back but two persons; then it is another process with another key.
    assert procs.process(old).state == "T"
    propose = ("open", SCOPE, "--as", "ana", "--key", house.keys["ana"], "--note", "memory was copied", "--json")
    request = json.loads(house.run(*propose).stdout)["id"]
    assert procs.process(old).state == "T"
    house.run("approve", request, "--as", "ben", "--key", house.keys["ben"], "--yes")
    house.wait(lambda: files(house).models() == [], 60, "the release")
    assert procs.process(old) is None
    assert house.pids("eu")[f"model:{MODEL}"] != old
    url, fresh = place.model_url(MODEL).read_text(), place.model_key(MODEL).read_text()
    assert fresh != key
    assert (status(url, key), status(url, fresh)) == (401, 200)
    house.wait(lambda: ask(house)[0] == "answered", what="an answer of the fresh process")
    first, last = (recorded(house, row["evidence"])[n] for n in (0, -1))
    assert first["body"]["length"] > 0
    assert (last["facts"]["act"], last["facts"]["old_pid"]) == ("release", old)
    assert house.run("evidence", "verify").returncode == 0


def test_only_a_model_instance_of_the_plan_can_be_isolated(house):
    done = house.run("models", "isolate", "us-chat", "--as", "cem", check=False)
    assert done.returncode != 0
    assert "no model instance us-chat" in done.stderr
    done = house.run("shut", "eu", "--isolate", "freeze", "--as", "cem", "--key", house.keys["cem"], check=False)
    assert done.returncode != 0
    assert "one model instance" in done.stderr
    assert ask(house)[0] == "answered"
