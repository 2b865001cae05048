"""The commands of an on-call night against a real control task: API on its socket, beat, journals."""

import asyncio
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from firedoor.api.app import build
from firedoor.api.server import serve
from firedoor.cli import people_cmds, switch_cmds
from firedoor.config import Home
from firedoor.control.service import serve_control
from firedoor.errors import ActRefused, ControlUnreachable, KeyUnusable, PlanInvalid, SetupError
from firedoor.keys import people as keys

from ..rooms.region import People, Region  # noqa: TID252  # tests are no installed package

PASSPHRASE = "correct horse battery staple"
ONE = "eu/alpen/support/m0"


class Now(Region):
    """A region on the real clock: the commands sign with it."""

    now = property(lambda self: time.time(), lambda self, value: None)


def commands():
    app = typer.Typer()
    app.command()(switch_cmds.shut)
    app.command("open")(switch_cmds.open_)
    app.command()(switch_cmds.approve)
    app.command()(switch_cmds.requests)
    app.command()(switch_cmds.switches)
    app.add_typer(people_cmds.people_app, name="people")
    return app


class House:
    """Control of region eu in a thread, people with key files, and the command line."""

    def __init__(self, folder):
        self.home = Home(folder)
        people = People()
        for who in ("ana", "ben", "cem"):
            people.keys[who] = keys.create(self.home.keys / f"{who}.key", PASSPHRASE)
        people.keys["ana2"] = people.keys["ana"]
        shutil.copy(self.home.keys / "ana.key", self.home.keys / "ana2.key")
        self.region = Now(self.home.region("eu").root, people)
        self.loop = self.stop = self.thread = None

    def start(self):
        ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self.thread.start()
        assert ready.wait(30)

    async def _serve(self, ready):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.region.control(begin=False) as board:
            shown = asyncio.Event()
            tasks = [asyncio.create_task(serve_control(board, asyncio.Event(), shown.set))]
            await shown.wait()
            tasks.append(asyncio.create_task(serve(build(board), self.region.home.control_socket, ready.set)))
            await self.stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def end(self):
        if self.thread is not None:
            self.loop.call_soon_threadsafe(self.stop.set)
            self.thread.join(30)
            self.thread = None

    def run(self, *args, code=0, text=None, passphrase=PASSPHRASE):
        env = {"FIREDOOR_HOME": str(self.home.root), "FIREDOOR_PASSPHRASE": passphrase, "COLUMNS": "200"}
        result = CliRunner().invoke(commands(), list(map(str, args)), input=text, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, *args, **more):
        return json.loads(self.run(*args, "--json", **more).stdout)


@pytest.fixture
def house():
    folder = Path(tempfile.mkdtemp(prefix="fd"))  # a Unix socket's path is short
    made = House(folder)
    made.start()
    yield made
    made.end()
    shutil.rmtree(folder)


def test_a_night(house):
    assert house.json("switches")["regions"][0]["state"] == "open"
    said = house.run("shut", ONE, "--reason", "leak", "--note", "odd answers", "--as", "cem").stdout
    assert said == f"{ONE} is shut.\n"
    assert "was shut already" in house.run("shut", ONE, "--as", "ana").stdout
    listed = house.run("switches", code=3).stdout
    assert ONE in listed
    assert "by cem  leak" in listed
    said = house.run("open", ONE, "--note", "prompt changed", "--as", "ana").stdout
    request = said.split()[1].rstrip(":")
    assert f"firedoor approve {request} --as" in said
    assert request in house.run("requests").stdout
    assert house.json("requests")[0]["id"] == request
    refused = house.run("approve", request, "--as", "ben", text="n\n", code=1)
    assert "prompt changed" in refused.output
    assert '"scope":"' + ONE in refused.output
    assert "firedoor/act/1" in refused.output
    house.run("switches", code=3)
    for who, code in (("ana", "same_person"), ("ana2", "same_key"), ("cem", "role_missing")):
        with pytest.raises(ActRefused) as error:
            house.run("approve", request, "--as", who, "--yes")
        assert error.value.code == code
    done = house.json("approve", request, "--as", "ben", "--yes")
    assert (done["state"], done["by"]) == ("open", ["ana", "ben"])
    assert "all open" in house.run("switches").stdout
    assert house.run("requests").stdout == "No requests wait.\n"


def test_a_star_shuts_every_region_here(house):
    house.run("shut", "*/alpen", "--as", "cem")
    assert house.json("switches", code=3)["regions"][0]["shut"][0]["scope"] == "eu/alpen/*/*"


def test_nothing_is_signed_with_a_wrong_passphrase_or_key(house):
    with pytest.raises(KeyUnusable, match="passphrase"):
        house.run("shut", ONE, "--as", "cem", passphrase="wrong")
    with pytest.raises(KeyUnusable, match="no key file"):
        house.run("shut", ONE, "--as", "dora")
    with pytest.raises(ActRefused) as error:
        house.run("shut", ONE, "--as", "cem", "--key", house.home.keys / "ana.key")
    assert error.value.code == "bad_signature"
    house.run("switches")


def test_without_control_it_says_so_and_how_to_shut_all_the_same(house):
    house.end()
    for args in (("shut", ONE, "--as", "cem"), ("open", ONE, "--note", "x", "--as", "ana"), ("requests",)):
        with pytest.raises(ControlUnreachable, match=rf"touch {house.region.home.shut_file}"):
            house.run(*args)
    page = bytearray(house.region.home.page.read_bytes())
    page[16:24] = bytes(8)
    house.region.home.page.write_bytes(page)
    state = house.json("switches", code=4)["regions"][0]
    assert state["state"] == "stale"
    house.region.home.shut_file.touch()
    assert "SHUT file" in house.run("switches", code=4).stdout
    house.start()
    house.region.home.shut_file.unlink()
    state = house.json("switches", code=3)["regions"][0]
    assert (state["shut_file"], state["shut"][0]["reason"]) == (False, "file")


def test_the_passphrase_can_come_from_a_file(house, tmp_path):
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    house.run("shut", ONE, "--as", "cem", "--passphrase-file", file, passphrase="wrong")
    with pytest.raises(SetupError):
        house.run("shut", ONE, "--as", "cem", "--passphrase-file", tmp_path / "none")


def test_typing_errors_are_told(house):
    for scope, code in (("eu/alpn", "unknown_scope"), ("eu//", "bad_scope")):
        with pytest.raises(ActRefused) as error:
            house.run("shut", scope, "--as", "cem")
        assert error.value.code == code
    with pytest.raises(SetupError, match="no region moon"):
        house.run("shut", "moon", "--as", "cem")
    with pytest.raises(ActRefused) as error:
        house.run("open", ONE, "--note", "x", "--as", "ana")
    assert error.value.code == "not_shut"
    house.run("shut", ONE, "--reason", "file", "--as", "cem", code=2)


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("firedoor: 1  # ours\nname: tests\npeople: {}\n")
    return path


def people(tmp_path, *args, code=0, env=None, text=None):
    result = CliRunner().invoke(
        commands(),
        ["people", *map(str, args)],
        env={"FIREDOOR_HOME": str(tmp_path), "FIREDOOR_PASSPHRASE": PASSPHRASE, **(env or {})},
        input=text,
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def test_people_are_added_listed_and_revoked(tmp_path, plan):
    said = people(tmp_path, "add", "ana", "--name", "Ana Example", "--role", "dpo", "--role", "legal")
    assert "restart" in said
    key = tmp_path / "keys" / "ana.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in key.read_bytes()
    (entry,) = json.loads(people(tmp_path, "list", "--json"))
    assert entry == {
        "id": "ana",
        "name": "Ana Example",
        "roles": ["dpo", "legal"],
        "key": keys.load(key, PASSPHRASE).public,
    }
    assert "Ana Example" in people(tmp_path, "list")
    for other in ("ben", "cleo"):
        people(tmp_path, "add", other, "--name", other.title(), "--role", "dpo", "--role", "legal")
    assert "restart" in people(tmp_path, "revoke", "ana")
    assert [p["id"] for p in json.loads(people(tmp_path, "list", "--json"))] == ["ben", "cleo"]
    assert "# ours" in plan.read_text()


def test_a_person_who_cannot_be_added_leaves_no_key(tmp_path, plan):
    people(tmp_path, "add", "ana", "--name", "Ana", "--role", "dpo")
    before = plan.read_bytes()
    with pytest.raises(PlanInvalid):
        people(tmp_path, "add", "ben", "--name", "Ben", "--role", "chief")
    with pytest.raises(SetupError):
        people(tmp_path, "add", "ana", "--name", "Ana", "--role", "dpo", "--key-dir", tmp_path / "other")
    with pytest.raises(SetupError, match="exists"):
        people(tmp_path, "add", "ana", "--name", "Ana", "--role", "dpo")
    with pytest.raises(SetupError, match="8 to 1000"):
        people(tmp_path, "add", "ben", "--name", "Ben", "--role", "dpo", env={"FIREDOOR_PASSPHRASE": "short"})
    for bad in ("../ben", "Ben", "b n", ""):
        with pytest.raises(SetupError, match="not an id"):
            people(tmp_path, "add", bad, "--name", "Ben", "--role", "dpo")
    assert plan.read_bytes() == before
    assert [p.name for p in tmp_path.rglob("*.key")] == ["ana.key"]


def test_a_new_passphrase_is_asked_for_twice(tmp_path, plan):
    text = f"{PASSPHRASE}\nanother one\n{PASSPHRASE}\n{PASSPHRASE}\n"
    people(tmp_path, "add", "ana", "--name", "Ana", "--role", "dpo", env={"FIREDOOR_PASSPHRASE": None}, text=text)
    assert keys.load(tmp_path / "keys" / "ana.key", PASSPHRASE).public.startswith("ed25519:")


def test_what_is_no_key_file(tmp_path):
    made = tmp_path / "a.key"
    keys.create(made, PASSPHRASE)
    whole = made.read_bytes()
    for bad in (
        b"",
        whole[: len(whole) // 2],
        whole.replace(b"ENCRYPTED ", b""),
        b"x" * 20_000,
        whole[:60] + b"!!" + whole[62:],
    ):
        made.write_bytes(bad)
        with pytest.raises(KeyUnusable):
            keys.load(made, PASSPHRASE)
    made.write_bytes(whole)
    for wrong in ("", "correct horse battery stapl", "x" * 5000):
        with pytest.raises(KeyUnusable):
            keys.load(made, wrong)
