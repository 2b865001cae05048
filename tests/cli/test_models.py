"""`firedoor models`: baselines are taken and compared, and the exit status says which of the three it is."""

import asyncio
import json
import threading

import pytest
from typer.testing import CliRunner

from firedoor.cli.models_cmds import app
from firedoor.core.plan.model import Plan
from firedoor.errors import SetupError
from firedoor.store.planfile import load
from firedoor.upstream.script import Answer, Script
from firedoor.upstream.scripted import serve_scripted
from tests.cli.home import PLAN, furnish

WATCHED = """
  eu-chat:
    region: eu
    engine: openai
    name: shop
    url: "{url}"
    integrity: {{probes: [{{ask: "Capital of Austria?"}}]}}
  us-chat: {{region: us, engine: openai, name: m, url: "http://127.0.0.1:3"}}
datasets: {{}}
shops:"""


class Scripted:
    """A scripted model instance in a thread, whose script can be replaced while it runs."""

    def __init__(self):
        self.url = ""
        self.served = None
        self._ready, self._stop = threading.Event(), None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self):
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        async with serve_scripted(Script(model="shop", default=Answer(text="Vienna it is"))) as self.served:
            self.url = self.served.base_url
            self._ready.set()
            await self._stop.wait()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)


@pytest.fixture
def server():
    with Scripted() as scripted:
        yield scripted


@pytest.fixture
def home(tmp_path, server):
    before, _, rest = PLAN.partition("\n  eu-chat:")
    plan = before + WATCHED.format(url=server.url) + rest.partition("\nshops:")[2]
    return furnish(tmp_path / "home", plan)


def call(home, *arguments):
    return CliRunner().invoke(app, [*arguments, "--home", str(home.root)])


def test_the_three_answers_of_verify(home, server):
    unknown = call(home, "verify", "--json")
    assert unknown.exit_code == 2
    assert json.loads(unknown.stdout) == [
        {
            "region": "eu",
            "model": "eu-chat",
            "state": "not_verified",
            "what": [],
            "not_seen": {"baseline": "no_baseline"},
        }
    ]
    taken = call(home, "baseline", "--json")
    assert taken.exit_code == 0, taken.output
    (row,) = json.loads(taken.stdout)
    assert (row["model"], row["not_used"], row["before"]) == ("eu-chat", {}, "the first one")
    assert "description.models" in row["used"]
    assert call(home, "verify").exit_code == 0
    assert call(home, "verify", "--region", "eu", "eu-chat").stdout == "eu/eu-chat: the same as its baseline\n"

    server.served.instance.script = Script(model="shop", default=Answer(text="Berlin, of course"))
    changed = call(home, "verify", "--json")
    assert changed.exit_code == 1
    assert json.loads(changed.stdout)[0]["what"] == ["probe"]
    assert "Berlin" not in changed.output
    assert "NOT THE SAME" in call(home, "verify").stdout

    again = call(home, "baseline")
    assert again.exit_code == 0
    assert "in the place of the one of" in again.stdout
    assert call(home, "verify").exit_code == 0

    server.stop()
    gone = call(home, "verify")
    assert gone.exit_code == 2
    assert "NOT VERIFIED" in gone.stdout
    refused = call(home, "baseline")
    assert isinstance(refused.exception, SetupError)
    assert "eu-chat: The model server does not answer" in refused.exception.message


def test_a_model_instance_that_nobody_watches_can_be_named(home):
    assert call(home, "verify", "us-chat").exit_code == 2
    named = call(home, "verify", "eu-chat", "us-chat", "--json")
    assert {row["model"] for row in json.loads(named.stdout)} == {"eu-chat", "us-chat"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody"], "no model instance nobody"),
        (["--region", "us"], "no model instance watched"),
        (["--region", "mars"], "no region mars"),
    ],
)
def test_what_cannot_be_asked_is_no_change(home, arguments, says):
    done = call(home, "verify", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_damaged_file_of_baselines_is_not_the_same(home):
    assert call(home, "baseline").exit_code == 0
    path = home.region("eu").baselines
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    done = call(home, "verify")
    assert done.exit_code == 2
    assert "does not open" in done.stderr


def test_integrity_stands_in_the_plan(home):
    plan = load(home.plan).plan
    assert isinstance(plan, Plan)
    integrity = plan.models["eu-chat"].integrity
    assert integrity is not None
    assert (float(integrity.every), integrity.on_drift, integrity.probes[0].tokens) == (300.0, "record", 16)
