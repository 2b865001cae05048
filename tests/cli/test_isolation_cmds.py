"""`firedoor models isolated`: what was done, and what is left for a person; `isolate` refuses what names nothing."""

import json
import os

import pytest
from msgspec import structs
from typer.testing import CliRunner

from firedoor.cli.models_cmds import app
from firedoor.core.isolation import STEPS, Halted, isolated
from firedoor.core.switches import Scope
from firedoor.core.switchstate import Entry
from firedoor.errors import SetupError
from firedoor.store.isolated import IsolationFiles
from firedoor.upstream.procs import identity
from tests.cli.home import PLAN, furnish

MODELS = """
  eu-chat: {region: eu, engine: openai, name: m, url: "http://127.0.0.1:3", api_key_file: eu.key}
  us-chat: {region: us, engine: openai, name: m, url: "http://127.0.0.1:3"}
datasets: {}
shops:"""
AT = 1_800_000_000.0


@pytest.fixture
def home(tmp_path):
    before, _, rest = PLAN.partition("\n  eu-chat:")
    home = furnish(tmp_path / "home", before + MODELS + rest.partition("\nshops:")[2])
    (home.root / "eu.key").write_text("sk-old")
    os.utime(home.root / "eu.key", (AT - 60, AT - 60))
    return home


def files(home, region="eu"):
    return IsolationFiles(home.region(region).isolated, home.region(region).run)


def note(model, *, own, **more):
    entry = Entry(
        state="shut", scope=Scope("eu", model=model), reason="leak", cause="person", at=AT, by=("ana",), version=7
    )
    return structs.replace(isolated(model, "freeze", entry, own=own), **more)


def call(home, *arguments):
    return CliRunner().invoke(app, [*arguments, "--home", str(home.root)])


def rows(home):
    return {row["model"]: row for row in json.loads(call(home, "isolated", "--json").stdout)}


def test_nothing_is_isolated(home):
    assert call(home, "isolated").stdout == "No model instance is isolated.\n"


def test_what_is_to_do_about_keys_that_are_not_ours(home):
    done = {"steps": STEPS, "record": 3}
    files(home).save(note("eu-chat", own=False, details={"key": "at_provider"}, **done))
    files(home, "us").save(note("us-chat", own=False, details={"key": "none"}, **done))
    found = rows(home)
    assert "Revoke it at the provider and replace eu.key" in found["eu-chat"]["todo"]
    assert "no API key" in found["us-chat"]["todo"]
    assert found["eu-chat"]["process"] == "not_ours"
    assert "TO DO: Firedoor cannot revoke its API key." in call(home, "isolated").stdout
    os.utime(home.root / "eu.key", (AT + 60, AT + 60))
    assert rows(home)["eu-chat"]["todo"] is None


def test_how_far_it_is_and_what_the_process_does_now(home):
    files(home).save(note("small", own=True, steps=STEPS[:2], details={"key": "revoked"}))
    row = rows(home)["small"]
    assert (row["process"], row["state"], row["next"], row["evidence"]) == ("unconfirmed", None, "halted", None)
    assert "NOT DONE YET: halted (done: revoked, seen)" in call(home, "isolated").stdout
    me = os.getpid()
    halted = Halted(version=7, how="freeze", did="frozen", pid=me, born=identity(me), processes=(me,), woken=2)
    files(home).tell("small", halted)
    files(home).save(note("small", own=True, steps=STEPS, details={"key": "revoked"}, record=4, releasing=True))
    row = rows(home)["small"]
    assert (row["process"], row["pid"], row["woken"], row["evidence"]) == ("frozen", me, 2, "isolated.small.7")
    assert row["state"] in set("RS")
    said = call(home, "isolated").stdout
    assert "SOMEBODY CONTINUED IT 2 times" in said
    assert "firedoor evidence show isolated.small.7" in said
    assert "about to take its place" in said
    files(home).tell("small", structs.replace(halted, born="another process"))
    assert rows(home)["small"]["state"] is None


def test_a_note_that_cannot_be_read_is_told(home):
    (home.region("eu").isolated).mkdir(exist_ok=True)
    (home.region("eu").isolated / "small.json").write_text("{")
    assert "cannot be read" in rows(home)["small"]["problem"]
    home.plan.write_text("people: {")  # at night nothing depends on the plan
    assert "eu/small: small.json cannot be read" in call(home, "isolated").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["nobody"], "no model instance nobody"), (["eu-chat", "--region", "us"], "not in region us")],
)
def test_what_names_nothing_is_not_isolated(home, arguments, says):
    done = call(home, "isolate", *arguments, "--as", "ana")
    assert isinstance(done.exception, SetupError)
    assert says in str(done.exception)
