"""The commands of an on-call night against a real control task: API on its socket, beat, journals."""

import asyncio
import contextlib
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest
import typer
from msgspec import structs
from typer.testing import CliRunner

from firedoor.api.app import build
from firedoor.api.server import serve
from firedoor.cli import people_cmds, switch_cmds, switches_show
from firedoor.config import Home
from firedoor.control.service import serve_control
from firedoor.core.plan.model import Loaded, SwitchRules
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
    app.add_typer(switches_show.app, name="switches")
    app.add_typer(people_cmds.people_app, name="people")
    return app


class House:
    """Control of region eu in a thread, people with key files, and the command line."""

    def __init__(self, folder, keeps_all=None):
        self.home = Home(folder)
        people = People()
        for who in ("ana", "ben", "cem"):
            people.keys[who] = keys.create(self.home.keys / f"{who}.key", PASSPHRASE)
        people.keys["ana2"] = people.keys["ana"]
        shutil.copy(self.home.keys / "ana.key", self.home.keys / "ana2.key")
        self.region = Now(self.home.region("eu").root, people, keeps_all)
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
            tasks = [asyncio.create_task(serve_control(board, asyncio.Event(), shown.set, beat=0.25))]
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

    def board(self):
        return self.region.board

    def run(self, *args, code=0, text=None, passphrase=PASSPHRASE):
        env = {"FIREDOOR_HOME": str(self.home.root), "FIREDOOR_PASSPHRASE": passphrase, "COLUMNS": "200"}
        result = CliRunner().invoke(commands(), list(map(str, args)), input=text, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, *args, **more):
        return json.loads(self.run(*args, "--json", **more).stdout)


@contextlib.contextmanager
def made_house(keeps_all=None):
    folder = Path(tempfile.mkdtemp(prefix="fd"))  # a Unix socket's path is short
    made = House(folder, keeps_all)
    made.start()
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


@pytest.fixture
def house():
    with made_house() as made:
        yield made


def test_a_night(house):
    assert house.json("switches")["regions"][0]["state"] == "open"
    said = house.run("shut", ONE, "--reason", "leak", "--note", "odd answers", "--as", "cem").stdout
    assert said == f"{ONE} is shut.\n"
    assert "was shut already" in house.run("shut", ONE, "--as", "ana").stdout
    listed = house.run("switches", code=3).stdout
    assert ONE in listed
    assert "leak" in listed
    said = house.run("open", ONE, "--note", "prompt changed", "--as", "ana").stdout
    request = said.split()[1].rstrip(":")
    assert f"firedoor approve {request} --as" in said
    assert request in house.run("requests").stdout
    assert house.json("requests")[0]["id"] == request
    refused = house.run("approve", request, "--as", "ben", text="n\n", code=1)
    assert "prompt changed" in refused.output
    assert "by cem for: leak" in refused.output
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


def test_a_star_is_one_act_where_the_switches_of_all_regions_are_kept():
    with made_house(keeps_all="eu") as house:
        house.home.region("us").make()  # a region on this machine without control
        assert house.json("shut", "*/alpen", "--as", "cem")["scope"] == "*/alpen/*/*"
        request = house.json("open", "*/alpen", "--note", "all clear", "--as", "ana")
        assert request["scope"] == "*/alpen/*/*"
        done = house.json("approve", request["id"], "--as", "ben", "--yes")
        assert (done["state"], done["scope"]) == ("open", "*/alpen/*/*")
        house.end()
        with pytest.raises(ActRefused, match="switches of all"):
            house.run("open", "*", "--note", "x", "--as", "ana")
        output = house.run("shut", "*", "--as", "cem", code=1).output
        assert [output.count(f"{region}: Control") for region in ("eu", "us")] == [1, 1], "each is tried by itself"


def test_what_a_region_shut_everywhere_is_opened_there_also_when_another_plan_holds():
    with made_house(keeps_all="eu") as house:
        house.run("shut", "*/alpen", "--as", "cem")
        house.end()
        plan = structs.replace(house.region.loaded.plan, switches=SwitchRules())
        house.region.loaded = Loaded(plan, "cd" * 32, "plan.yaml")
        house.start()
        request = house.json("open", "*/alpen", "--note", "all clear", "--as", "ana")
        house.run("approve", request["id"], "--as", "ben", "--yes")
        assert house.board().table.shut == ()


def test_an_opening_is_of_the_shut_that_was_looked_at(house):
    house.run("shut", ONE, "--as", "cem")
    of = house.board().table.shut[0].version
    request = house.json("open", ONE, "--note", "x", "--as", "ana")
    assert request["of"] == of
    house.run("approve", request["id"], "--as", "ben", "--yes")
    house.run("shut", ONE, "--as", "cem")
    assert house.json("open", ONE, "--note", "x", "--as", "ana")["of"] > of
    house.run("open", ONE, "--as", "ana", code=2)
    house.run("open", "--note", "x", "--as", "ana", code=2)


def test_a_drill_shuts_and_one_person_ends_it(house):
    house.run("shut", "eu/berg", "--as", "cem")
    said = house.run("shut", ONE, "--drill", "friday", "--as", "cem").stdout
    assert said == f"{ONE} is shut in drill friday.\n"
    (drill,) = house.board().table.drills
    assert (drill.reason, drill.drill) == ("drill", "friday")
    with pytest.raises(ActRefused) as error:
        house.run("shut", ONE, "--reason", "drill", "--as", "cem")
    assert error.value.code == "bad_act"
    for args in (("monday",), ("monday", "eu")):
        with pytest.raises(ActRefused) as error:
            house.run("open", *args[1:], "--drill", args[0], "--as", "cem")
        assert error.value.code == "no_drill"
    house.run("open", "eu/berg", "--drill", "friday", "--as", "cem", code=2)  # it ends as a whole
    assert "drill friday has ended" in house.run("open", "*", "--drill", "friday", "--as", "cem").stdout
    assert house.region.shut_scopes() == ["eu/berg/*/*"]
    house.run("shut", "*", "--drill", "friday", "--as", "cem")
    (drill,) = house.board().table.drills
    assert str(drill.scope) == "eu/*/*/*", "a drill lies in each region by itself"
    assert house.json("open", "eu", "--drill", "friday", "--as", "ana")[0]["region"] == "eu"


def test_a_model_instance_is_isolated_by_its_own_scope_only(house):
    house.run("shut", "eu/*/*/m0", "--isolate", "freeze", "--incident", "INC-7", "--as", "cem")
    entry = house.board().keeper.trail[-1]
    assert (entry.signed.act.args["isolate"], entry.switch().incident) == ("freeze", "INC-7")
    with pytest.raises(ActRefused) as error:
        house.run("shut", ONE, "--isolate", "stop", "--as", "cem")
    assert error.value.code == "bad_act"


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
    page[8:16] = bytes(8)  # the beat
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
