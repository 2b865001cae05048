"""Agents of two regions that witness each other: cosigning, killing, restoring, and what people see of it."""

import asyncio
import json
import os
import signal
import socket
from hashlib import sha256

import pytest
from typer.testing import CliRunner

from firedoor.app import agent as agent_module
from firedoor.app import cosigning
from firedoor.app.doctor import examine
from firedoor.app.evidencecheck import verify_region
from firedoor.app.identity import KEYS, published_keys
from firedoor.cli.main import app

from .agents import House, forget_status, until

SLOT = "worker-0"


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "home")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What is tried again is tried again at once: the waits are not what is tested here."""
    monkeypatch.setattr(cosigning, "RETRY", 0.3)
    monkeypatch.setattr(cosigning, "MEET", 0.3)
    monkeypatch.setattr(agent_module, "AGAIN", 0.3)
    monkeypatch.setattr(agent_module, "STATUS_EVERY", 0.1)


def run(house, *arguments):
    result = CliRunner().invoke(app, [*arguments, "--home", str(house.root)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def findings(house, region):
    return [f"{f.level} {f.what} {f.remedy}" for f in examine(house.home, region)]


def test_regions_cosign_each_other_and_everything_says_so(house):
    house.write("eu", 300)

    async def go():
        async with house.agent("eu"), house.agent("us"):
            await until(lambda: house.size("eu", SLOT) > 300)
            size = await until(lambda: house.size("eu"))
            await until(lambda: house.cosigned("eu", "us") >= size)
            await until(lambda: house.cosigned("us", "eu"))
            await until(lambda: house.witness("eu", "us").get("size", 0) >= size)
            return await asyncio.to_thread(run, house, "evidence", "status"), findings_now()

    def findings_now():
        return house.status("eu")

    result, status = asyncio.run(go())
    assert result.exit_code == 0, result.stdout
    assert "witness us: cosigned" in result.stdout
    assert (status["failed"], status["cosigns"]) == ({}, None)
    assert {log["slot"] for log in status["logs"]} == {SLOT, "checkpoints"}
    report = verify_region(house.home, house.place("eu"), house.loaded)
    assert report.ok, report.damage
    assert report.cosigned == (published_keys(house.place("us")).witness[0].name,)
    for name in ("log/status.json", "log/keys", "log/checkpoints/checkpoint", "witness/cosigned"):
        data = (house.place("eu").root / name).read_bytes()
        assert b"Example" not in data

    printed = run(house, "evidence", "keys", "--region", "eu").stdout
    assert [line.strip(" -") for line in printed.splitlines()[1:]] == (
        house.place("eu").logs / KEYS
    ).read_text().split()
    (listed,) = map(json.loads, run(house, "evidence", "keys", "--region", "eu", "--json").stdout.splitlines())
    assert len(listed["log_keys"]) == 4


def test_a_killed_agent_goes_on_where_it_was(house):
    house.write("eu", 20)

    async def go():
        async with house.agent("us"):
            sizes = []
            for more in (30, 40):
                with house.process("eu") as child:
                    wanted = house.size("eu", SLOT) + 1
                    await until(lambda wanted=wanted: house.size("eu", SLOT) >= wanted)
                    await until(lambda: house.cosigned("eu", "us"))
                    os.kill(child.pid, signal.SIGKILL)
                    child.wait()
                sizes.append(house.size("eu"))
                await asyncio.to_thread(house.write, "eu", more)
            async with house.agent("eu"):
                await until(lambda: house.size("eu", SLOT) >= 90)
                await until(lambda: house.cosigned("eu", "us") > sizes[-1])
            return sizes

    first, second = asyncio.run(go())
    assert 0 < first <= second
    assert verify_region(house.home, house.place("eu"), house.loaded).ok


def test_a_restored_region_signs_nothing_until_it_gets_new_logs(house, tmp_path, caplog):
    """The journal, the logs and the witness's file are those of yesterday; the other region remembers."""
    house.write("eu", 20)

    async def live(us):
        async with house.agent("eu"):
            await until(lambda: house.size("eu", SLOT) > 20)
            await until(lambda: house.cosigned("eu", "us"))

    async def halted():
        forget_status(house, "eu")
        async with house.agent("eu"):
            await until(lambda: house.status("eu").get("logs"))
            await until(lambda: {log["reason"] for log in house.status("eu")["logs"]} == {"halted"})
            await asyncio.sleep(1.2)  # a tick: nothing more may be signed

    async def go():
        async with house.agent("us"):
            await live("us")
            await asyncio.to_thread(house.snapshot, "eu", tmp_path / "yesterday")
            kept = house.size("eu")
            await asyncio.to_thread(house.write, "eu", 30)
            async with house.agent("eu"):
                await until(lambda: house.size("eu", SLOT) > 50)
                await until(lambda: house.cosigned("eu", "us") > kept)
            await asyncio.to_thread(house.restore, "eu", tmp_path / "yesterday")
            before = house.note("eu"), house.note("eu", SLOT)
            await asyncio.to_thread(house.write, "eu", 7)
            await halted()
            assert (house.note("eu"), house.note("eu", SLOT)) == before, "nothing at all was signed"
            assert house.witness("eu", "us")["reason"] == "rolled_back"
        await halted()  # with nobody there to say it again
        assert (house.note("eu"), house.note("eu", SLOT)) == before
        result = await asyncio.to_thread(run, house, "evidence", "status", "--region", "eu")
        assert result.exit_code == 1
        assert "ALL SIGNING STOPPED" in result.stdout
        assert "rolled_back: witness us knows" in result.stdout
        assert any(
            "halted" in finding and "FAIL" in finding for finding in await asyncio.to_thread(findings, house, "eu")
        )

        async with house.agent("us"):  # it runs on while eu gets its new name
            result = await asyncio.to_thread(
                run, house, "evidence", "new-log", "--region", "eu", "--reason", "restored"
            )
            assert result.exit_code == 0
            async with house.agent("eu"):
                await until(lambda: house.size("eu", SLOT) > 27)
                size = await until(lambda: house.size("eu"))
                await until(lambda: house.cosigned("eu", "us") >= size)
                await until(lambda: house.witness("eu", "us").get("size", 0) >= size)
                return await asyncio.to_thread(run, house, "evidence", "status")

    result = asyncio.run(go())
    assert result.exit_code == 0, result.stdout
    assert "all signing stops" in caplog.text
    assert (house.place("eu").root / "set-aside/log-1/halted").exists()
    report = verify_region(house.home, house.place("eu"), house.loaded)
    assert report.ok, report.damage
    assert report.cosigned
    listed = run(house, "evidence", "list", "--region", "eu", "--kind", "key").stdout
    assert "act=new_log" in listed
    assert "reason=restored" in listed


def test_an_agent_that_is_stopped_before_a_witness_answered_has_signed_nothing(house):
    house.write("eu", 5)
    house.publish("eu")
    before = house.note("eu"), house.note("eu", SLOT)
    house.write("eu", 5)

    async def go():
        with socket.create_server(("127.0.0.1", house.ports["us"])) as mute:
            mute.setblocking(False)
            async with house.agent("eu"):
                await asyncio.get_running_loop().sock_accept(mute)

    asyncio.run(go())
    assert (house.note("eu"), house.note("eu", SLOT)) == before


def test_a_witness_that_is_down_or_not_known_yet_is_said_and_taken_up_when_it_comes(tmp_path):
    house = House(tmp_path / "home", "eu")
    house.write("eu", 5)

    async def go():
        async with house.agent("eu"):
            await until(lambda: house.witness("eu", "us").get("reason") == "no_keys")
            await asyncio.to_thread(house.prepare, "us")
            await until(lambda: house.witness("eu", "us").get("reason") == "refused")
            first = await asyncio.to_thread(run, house, "evidence", "status", "--region", "eu")
            async with house.agent("us"):
                await until(lambda: house.cosigned("eu", "us"))
                await until(lambda: house.witness("eu", "us").get("reason", "") is None)
            await asyncio.to_thread(house.write, "eu", 5)
            await until(lambda: house.witness("eu", "us").get("reason") == "refused")
            return first

    first = asyncio.run(go())
    assert "witness us: refused" in first.stdout
    assert any("us: refused" in finding for finding in findings(house, "eu"))


def test_another_regions_damage_stops_nobody_else(house):
    (house.place("us").logs / KEYS).write_bytes(b"\xff not a key\n")
    house.write("eu", 5)

    async def go():
        async with house.agent("eu"):
            await until(lambda: house.size("eu", SLOT) > 5)
            await until(lambda: house.witness("eu", "us").get("reason") == "no_keys")

    asyncio.run(go())


def test_a_part_that_fails_is_said_and_begun_again(house):
    async def go():
        taken = socket.create_server(("127.0.0.1", house.ports["eu"]))
        async with house.agent("eu"), house.agent("us"):
            await until(lambda: house.status("eu").get("failed"))
            failing = await asyncio.to_thread(run, house, "evidence", "status", "--region", "eu")
            doctor = await asyncio.to_thread(findings, house, "eu")
            taken.close()
            await until(lambda: not house.status("eu").get("failed"))
            await until(lambda: house.cosigned("us", "eu"))
        return failing, doctor

    failing, doctor = asyncio.run(go())
    assert failing.exit_code == 1
    assert "part witness FAILED" in failing.stdout
    assert any("its part witness failed" in finding for finding in doctor)


def test_a_witness_whose_clock_ran_ahead_says_so_and_is_set_right_by_a_person(house):
    state = house.place("us").witness / "cosigned"

    async def go():
        async with house.agent("eu"), house.agent("us"):
            await until(lambda: house.cosigned("eu", "us"))
        lines = state.read_text().splitlines()
        ahead = "\n".join("time 4000000000" if line.startswith("time ") else line for line in lines[:-1]) + "\n"
        state.write_text(f"{ahead}sha256 {sha256(ahead.encode()).hexdigest()}\n")
        await asyncio.to_thread(house.write, "eu", 5)
        async with house.agent("eu"), house.agent("us"):
            await until(lambda: house.witness("eu", "us").get("reason") == "status_503")
            await until(lambda: house.status("us").get("cosigns") == "clock_went_back")
            said = await asyncio.to_thread(run, house, "evidence", "status")
            before = house.cosigned("eu", "us")
            await asyncio.to_thread(run, house, "evidence", "witness-clock", "--region", "us")
            await until(lambda: house.cosigned("eu", "us") > before)
            await until(lambda: house.status("us").get("cosigns") is None)
        return said

    assert "its own witness signs for nobody: clock_went_back" in asyncio.run(go()).stdout


def test_a_region_whose_agent_never_ran_does_not_hide_the_others(house):
    async def go():
        async with house.agent("us"):
            await until(lambda: house.status("us").get("logs"))
            return await asyncio.to_thread(run, house, "evidence", "status")

    result = asyncio.run(go())
    assert result.exit_code == 1
    assert "eu: The agent of region eu has not run" in result.stdout
    assert "us: checkpoint" in result.stdout
