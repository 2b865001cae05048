"""The evidence bench: every figure is taken, and the count of losses counts them."""

import asyncio
import itertools
import json
import random
import time

import pytest
from typer.testing import CliRunner

from firedoor.bench import evidence, evidence_kills
from firedoor.bench.evidence_kills import Kills, _Journal
from firedoor.bench.evidence_load import Keys, content, open_for_load, places, produce, record
from firedoor.cli.bench_cmds import app
from firedoor.core.evidence.leaf import body_file
from firedoor.store.bodies import blank
from firedoor.store.journal_read import read
from firedoor.store.segments import segments


def test_every_figure_is_taken(monkeypatch):
    monkeypatch.setattr(evidence, "LEVELS", (1, 20))
    monkeypatch.setattr(evidence, "WARM_UP", 0.05)
    monkeypatch.setattr(evidence, "SYNCS", 3)
    fill = evidence._fill
    monkeypatch.setattr(evidence, "_fill", lambda folder, records: fill(folder, records, 50_000))
    result = CliRunner().invoke(app, ["evidence", "--seconds", "0.2", "--records", "3000", "--json"])
    assert result.exit_code == 0
    figures = json.loads(result.stdout)
    assert [level["in_flight"] for level in figures["levels"]] == [1, 20]
    assert all(level["records"] > 0 and 0 < level["p50"] <= level["p99"] for level in figures["levels"])
    assert [reading["what"] for reading in figures["readings"]] == ["journal", "journal and bodies", "published log"]
    assert len({reading["records"] for reading in figures["readings"]}) == 1
    assert figures["recovery"]["records"] >= 3000
    assert figures["recovery"]["seconds"] > 0
    assert figures["sync_ms"] > 0
    assert figures["kills"] is None


def test_the_slot_whose_recovery_is_timed_is_whole(tmp_path):
    count = evidence._fill(tmp_path, 1000, 50_000)
    found = list(read(places(tmp_path).slot))
    assert 1000 <= count == len(found)
    assert segments(places(tmp_path).slot)[-1].stat().st_size >= 50_000
    intents = {stored.leaf.exchange for stored in found if stored.leaf.kind == "intent"}
    outcomes = {stored.leaf.exchange for stored in found if stored.leaf.kind == "outcome"}
    assert len(intents - outcomes) in (evidence.OPEN, evidence.OPEN + 1)


@pytest.fixture
def killed(tmp_path):
    """A journal of 40 records, all acknowledged, as a killed writer leaves it."""
    journal = _Journal(tmp_path, Kills(), random.Random(1))

    async def go():
        file = open_for_load(tmp_path, journal._keys)

        def done(number, seq, _seconds):
            journal._acknowledged[seq] = number
            if number >= 39:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await produce(file, itertools.count(), 5, time.perf_counter() + 60, done)
        await file.aclose()

    asyncio.run(go())
    return journal


def test_nothing_lost_is_counted_as_nothing(killed):
    killed.check()
    assert killed._kills == Kills(acknowledged=40)
    killed.check()
    assert killed._kills.ok


def test_what_is_lost_is_counted(killed, tmp_path):
    leaves = [stored.leaf for stored in read(places(tmp_path).slot)]
    (path,) = segments(places(tmp_path).slot)
    with path.open("r+b") as file:
        file.truncate(list(read(places(tmp_path).slot))[-2].offset)
    blank(tmp_path / "bodies" / body_file("worker-0", leaves[3].at, leaves[3].body), [(leaves[3].body.offset, 100)])
    killed._acknowledged[leaves[5].seq] += 2  # another record than the one that was acknowledged
    killed.check()
    assert (killed._kills.lost, killed._kills.unreadable, killed._kills.damaged) == (3, 1, 1)
    assert not killed._kills.ok


def test_a_journal_that_refuses_to_open_is_counted(killed, tmp_path):
    (path,) = segments(places(tmp_path).slot)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    killed.check()
    assert killed._kills.damaged == 1


def test_losses_end_the_command_with_an_error(monkeypatch):
    monkeypatch.setattr(evidence, "_levels", lambda *_: _nothing())
    monkeypatch.setattr(evidence, "_readings", lambda *_: [])
    monkeypatch.setattr(evidence, "kill", lambda times, _say: Kills(times=times, acknowledged=9, lost=1))
    result = CliRunner().invoke(app, ["evidence", "--records", "0", "--kills", "3"])
    assert result.exit_code == 1
    assert "3 x kill -9 under load: 9 records acknowledged, 1 lost" in result.stdout


async def _nothing():
    return []


def test_a_writer_is_killed_and_nothing_is_lost():
    said = []
    kills = evidence_kills.kill(2, said.append, seed=1)
    assert (kills.times, kills.ok) == (2, True)
    assert kills.acknowledged > 0
    assert len(said) == 2


def test_every_record_has_its_own_content():
    assert len({content(n) for n in range(1000)}) == 1000
    assert {len(record(n, 10).body) for n in range(10)} == {1000}
    assert [record(n, 10).kind for n in range(4)] == ["intent", "outcome"] * 2
    assert Keys().public != Keys().public
