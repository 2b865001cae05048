"""The first steps of the README, done as written in an empty folder."""

import json
import re
import shlex
import subprocess

import pytest
from typer.testing import CliRunner

from firedoor.app.prepare import prepare
from firedoor.cli.main import app
from firedoor.client import ShopClient
from firedoor.config import Home
from firedoor.store.planfile import load

from .reading import fences, page, section

INSTALL = section(page("README.md"), "## Install for your shop")
BLOCKS = fences(INSTALL)


def commands(first):
    """The commands of the console block that begins with `first`."""
    (block,) = (content for language, content in BLOCKS if language == "console" and content.startswith(f"$ {first}"))
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The reader's folder after step 1; `firedoor up` makes the region's files, without its processes."""
    folder = tmp_path_factory.mktemp("reader")
    runner = CliRunner()
    said = ""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FIREDOOR_PASSPHRASE", "correct horse battery staple")
        for line in commands("firedoor init"):
            if line.startswith("export "):
                patch.setenv("FIREDOOR_HOME", str(folder / "myshop"))
                continue
            done = runner.invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, f"{line}: {done.output}"
            said = done.output
        home = Home(folder / "myshop")
        prepare(home, load(home.plan), home.root)
        yield folder, runner, said


def test_the_plan_is_in_order_after_step_one(shop):
    _, _, said = shop
    assert "in order" in said


def test_a_credential_is_issued(shop):
    _, runner, _ = shop
    (line,) = commands("firedoor credentials issue")
    done = runner.invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("fd_eu_")


def test_the_client_file_is_made_and_read(shop, monkeypatch):
    folder, runner, _ = shop
    (line,) = commands("firedoor client-file")
    done = runner.invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    made = re.search(r'Path\("(.+?)"\), "support"', INSTALL)[1]
    monkeypatch.setenv("FIREDOOR_CREDENTIAL_SUPPORT", "fd_eu_none_none")
    with ShopClient.from_file(folder / made, "support") as client:
        assert client.surface.model == "smollm2-135m"
    assert (folder / made).with_name("alpenladen.sqlite").exists()


def test_what_is_protected_is_found_and_stopped(shop):
    folder, runner, _ = shop
    *files, asked, judged = commands("mkdir")
    for line in files:
        if line.startswith("firedoor"):
            done = runner.invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, f"{line}: {done.output}"
        else:
            subprocess.run(["sh", "-c", line], check=True, cwd=folder)
    said, _, command = asked.partition(" | ")
    found = runner.invoke(app, shlex.split(command)[1:], input=shlex.split(said)[1])
    assert (found.exit_code, "supplier_prices" in found.output) == (1, True), found.output
    said, _, command = judged.partition(" | ")
    done = runner.invoke(app, shlex.split(command)[1:], input=shlex.split(said)[1] + "\n")
    verdict = json.loads(done.stdout)
    assert (verdict["verdict"], verdict["released"]) == ("block", "")
    stretch = (folder / "contracts" / "schuh.txt").read_text()[20:70]
    assert "document" in runner.invoke(app, ["protect", "test"], input=f"They told me: {stretch}").output
    code = re.search(r"[A-Z]{3}(-[0-9A-Z]{4}){4}", (folder / "prices.csv").read_text())[0]
    assert "honeytoken" in runner.invoke(app, ["protect", "test"], input=f"Ask for {code}.").output


def test_the_starter_plan_is_what_the_readme_shows(shop):
    folder, _, _ = shop
    plan = load(folder / "myshop" / "plan.yaml").plan
    assert plan.regions["eu"].listen == "127.0.0.1:8080"
    assert f'base_url="{plan.regions["eu"].address}/v1"' in INSTALL
    assert plan.models["eu-chat"].name == "smollm2-135m"
    assert plan.serves("support", "alpenladen")
