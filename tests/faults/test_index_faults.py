"""The indexer when it is killed, when disk or database fail under it, and when its file is damaged."""

import asyncio
import contextlib
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from firedoor.agent import indexer as indexer_module
from firedoor.agent.follower import Follower, bring_up_to_date
from firedoor.agent.indexer import Indexer
from firedoor.core.evidence.questions import Question
from firedoor.errors import SetupError, StateDamaged, StateUnavailable
from firedoor.store import state_connect
from firedoor.store.index_read import open_index
from firedoor.store.state import open_state
from tests.rooms.indexed import Region
from tests.rooms.postgres import running

KILLS = 12


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@pytest.fixture
def region(tmp_path):
    made = Region(tmp_path / "eu")
    yield made
    for writer in made.writers.values():
        writer.close()


def fill(region, exchanges, first=0):
    for number in range(first, first + exchanges):
        writer = region.slot(f"w{number % 2}")
        writer.whole(f"fx-{number}", 1000 + number, subject=number % 7, minimised={"EMAIL": 1})
        if number % 5 == 0:
            writer.write("finding", f"fx-{number}", 1000 + number, rule="honeytoken", verdict="cut")


def ask(region, limit=100_000):
    reader = open_index(region.where, "eu")
    try:
        return reader.find(Question(), limit), reader.summary(Question()), reader.read_up_to()
    finally:
        reader.close()


def settled(indexer):
    while indexer.work():
        pass


def made_anew(region, tmp_path):
    """What an index says that was made in one go, from the same journals."""
    other = Region.__new__(Region)
    other.folder, other.journals, other.subjects = region.folder, region.journals, region.subjects
    other.where = tmp_path / "anew.sqlite"
    bring_up_to_date(other.place, other.slots, "eu")
    return ask(other)


CHILD = """
import sys
from pathlib import Path
from firedoor.agent.follower import Follower
from tests.rooms.indexed import Region
region = Region.__new__(Region)
region.folder = Path(sys.argv[1])
region.where = sys.argv[2] if "://" in sys.argv[2] else Path(sys.argv[2])
region.journals, region.subjects = region.folder / "journal", region.folder / "subjects"
live = region.place.open()
target = live.fresh() if sys.argv[3] == "rebuild" else live
follower = Follower(target, region.slots, "eu")
print("ready", flush=True)
while follower.step(60):
    pass
if target is not live:
    live.replace_by(target)
print("done", flush=True)
sys.stdin.read()
"""


def start_child(region, what="follow"):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(region.folder), str(region.where), what],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def kill_at_random(region, chance, what="follow"):
    """Start an indexer and kill it at a random moment of its work; whether it was done before."""
    with start_child(region, what) as child:
        if child.stdout.readline() != "ready\n":
            pytest.fail("the indexer did not start")
        time.sleep(chance.random() * 0.12)
        child.kill()
        return "done" in child.stdout.read()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.torture)])
def test_killed_at_random_moments_nothing_is_lost_or_doubled(request, tmp_path, kind):
    where = request.getfixturevalue("server").database() if kind == "postgresql" else None
    region = Region(tmp_path / "eu", where)
    chance = random.Random(20261123)
    open_and_close(region)
    interrupted = 0
    for round_ in range(KILLS):
        fill(region, 120, round_ * 120)
        interrupted += not kill_at_random(region, chance)
        found, _, _ = ask(region)
        assert len({one.exchange for one in found}) == len(found)
    assert interrupted, "every run was over before it was killed: the test tests nothing"
    eventually(lambda: bring_up_to_date(region.place, region.slots, "eu"))
    assert ask(region) == made_anew(region, tmp_path)
    assert ask(region)[1].exchanges == KILLS * 120


def test_killed_while_it_rebuilds_the_present_index_stays(tmp_path):
    region = Region(tmp_path / "eu")
    fill(region, 600)
    bring_up_to_date(region.place, region.slots, "eu")
    before = ask(region)
    chance = random.Random(7)
    for _ in range(4):
        kill_at_random(region, chance, "rebuild")
        assert ask(region) == before
    bring_up_to_date(region.place, region.slots, "eu", rebuild=True)
    assert ask(region) == before


def open_and_close(region):
    region.place.open().close()


def eventually(act):
    """What `act` gives, within some seconds: PostgreSQL ends a killed client's session by and by."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return act()
        except (SetupError, StateUnavailable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def disk_full(bytes_left):
    """No file of this process may grow beyond this: SQLite gets EFBIG, as it would get ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_it_back_and_loses_nothing(region, tmp_path, caplog):
    fill(region, 50)
    indexer = Indexer(region.place, region.slots, "eu")
    settled(indexer)
    fill(region, 2000, 50)
    wal = region.where.with_name("state.sqlite-wal").stat().st_size
    with disk_full(max(wal, region.where.stat().st_size) + 20_000):
        for _ in range(4):
            indexer.work()
        assert indexer.status.problem is not None
        found, _, _ = ask(region)
        assert len(found) == len({one.exchange for one in found}) >= 50
    settled(indexer)
    assert indexer.status.problem is None
    indexer.close()
    assert ask(region) == made_anew(region, tmp_path)
    assert caplog.text.count("the index is behind") == 1


def test_a_database_locked_by_another_tool(region, monkeypatch):
    monkeypatch.setattr(state_connect, "BUSY", 0.05)
    fill(region, 20)
    indexer = Indexer(region.place, region.slots, "eu")
    settled(indexer)
    fill(region, 20, 20)
    other = sqlite3.connect(region.where, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not indexer.work()
    assert "SQLITE_BUSY" in indexer.status.problem
    assert len(ask(region)[0]) == 20  # who only reads is not kept waiting
    other.execute("COMMIT")
    other.close()
    settled(indexer)
    indexer.close()
    assert len(ask(region)[0]) == 40


def test_a_reader_that_stays_keeps_no_writer_waiting(region, monkeypatch):
    monkeypatch.setattr(state_connect, "BUSY", 0.05)
    fill(region, 20)
    indexer = Indexer(region.place, region.slots, "eu")
    settled(indexer)
    other = sqlite3.connect(f"file:{region.where}?mode=ro", uri=True, isolation_level=None)
    other.execute("BEGIN")
    assert other.execute("SELECT count(*) FROM exchanges").fetchone() == (20,)
    fill(region, 20, 20)
    writer = region.slot("w0")
    writer.write("erasure", "", facts={"keys": [writer.keys[0].id]})  # its traces stay while somebody reads them
    settled(indexer)
    assert indexer.status.problem is None
    assert len(ask(region)[0]) == 40
    assert other.execute("SELECT count(*) FROM exchanges").fetchone() == (20,)
    other.close()
    pseudonym = f"{0:032x}".encode()
    fill(region, 1, 40)
    settled(indexer)
    assert pseudonym not in region.where.with_name("state.sqlite-wal").read_bytes()
    indexer.close()


class TestDamage:
    @pytest.mark.parametrize("how", ["garbage", "header", "truncated", "pages", "empty schema"])
    def test_a_damaged_file_is_set_aside_and_made_again(self, region, tmp_path, caplog, how):
        fill(region, 400)
        bring_up_to_date(region.place, region.slots, "eu")
        before = ask(region)
        damage(region.where, how)
        indexer = Indexer(region.place, region.slots, "eu")
        fill(region, 1, 400)
        for _ in range(20):
            indexer.work()
        assert indexer.status.problem is None
        indexer.close()
        assert "set aside as state.sqlite.damaged: it is made again from the log" in caplog.text
        assert region.where.with_name("state.sqlite.damaged").exists()
        after = ask(region)
        assert len(after[0]) == len(before[0]) + 1
        assert after == made_anew(region, tmp_path)

    def test_damaged_while_it_is_open(self, region, tmp_path, caplog):
        fill(region, 400)
        indexer = Indexer(region.place, region.slots, "eu")
        settled(indexer)
        indexer.close()
        settled(indexer)
        damage(region.where, "pages")
        fill(region, 400, 400)
        for _ in range(20):
            indexer.work()
        indexer.close()
        assert ask(region) == made_anew(region, tmp_path)

    def test_a_reader_says_so(self, region):
        fill(region, 400)
        bring_up_to_date(region.place, region.slots, "eu")
        damage(region.where, "pages")
        with pytest.raises(StateDamaged, match="The agent makes it again"):
            ask(region)

    def test_a_folder_that_cannot_be_written(self, region, caplog):
        """Set aside is a rename: where that fails, it says so and tries again."""
        region.where.mkdir()
        indexer = Indexer(region.place, region.slots, "eu")
        assert not indexer.work()
        assert indexer.status.problem is not None
        region.where.rmdir()
        fill(region, 1)
        settled(indexer)
        indexer.close()
        assert len(ask(region)[0]) == 1


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "garbage":
        data[:] = random.Random(1).randbytes(len(data))
    elif how == "header":
        data[:16] = b"\0" * 16
    elif how == "truncated":
        del data[len(data) // 2 :]
    elif how == "pages":
        for start in range(8192, len(data), 4096):
            data[start : start + 100] = b"\xff" * 100
    elif how == "empty schema":
        connection = sqlite3.connect(path)
        connection.execute("DROP TABLE exchanges")
        connection.commit()
        connection.close()
        return
    path.write_bytes(data)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_postgresql_restarts_under_the_indexer(server, tmp_path, how):
    region = Region(tmp_path / "eu", server.database())
    fill(region, 100)
    indexer = Indexer(region.place, region.slots, "eu")
    indexer.work()
    fill(region, 300, 100)
    server.stop(how)
    try:
        indexer.work()
        assert "cannot be used now" in indexer.status.problem
        indexer.work()
    finally:
        server.start()
    eventually(lambda: go_on(indexer))
    settled(indexer)
    indexer.close()
    assert ask(region) == made_anew(region, tmp_path)
    assert len(ask(region)[0]) == 400


def test_postgresql_ends_the_session_in_the_middle_of_a_batch(server, tmp_path, monkeypatch):
    region = Region(tmp_path / "eu", server.database())
    fill(region, 100)
    indexer = Indexer(region.place, region.slots, "eu")
    settled(indexer)
    fill(region, 100, 100)
    index = indexer._live.index
    add = index._add_findings

    def add_and_lose_the_session(connection, *rest):
        add(connection, *rest)
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        monkeypatch.undo()
        with server._connect(region.where.rpartition("/")[2]) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))

    monkeypatch.setattr(index, "_add_findings", add_and_lose_the_session)
    assert not indexer.work()
    eventually(lambda: go_on(indexer))
    settled(indexer)
    indexer.close()
    assert ask(region) == made_anew(region, tmp_path)


def go_on(indexer):
    indexer.work()
    if indexer.status.problem:
        raise StateUnavailable(indexer.status.problem)


def test_the_task_follows_tries_again_and_ends(region, monkeypatch):
    monkeypatch.setattr(indexer_module, "RETRY", (0.01,))
    monkeypatch.setattr(indexer_module, "PAUSE", 0.01)

    async def until(condition):
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  # the indexer tells nobody
                await asyncio.sleep(0.01)

    async def go():
        blocked = region.where
        blocked.mkdir()
        indexer = Indexer(region.place, region.slots, "eu")
        task = asyncio.create_task(indexer.run())
        await until(lambda: indexer.status.problem)
        blocked.rmdir()
        await until(lambda: indexer.status.problem is None)
        fill(region, 30)
        indexer.nudge()
        await until(lambda: indexer.status.indexed >= 68)
        indexer.rebuild()
        await until(lambda: indexer.status.rebuilding)
        await until(lambda: not indexer.status.rebuilding)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert len(ask(region)[0]) == 30
    region.place.open().close()  # the lock is free


def test_the_task_ends_when_the_database_is_another_regions(region):
    open_state(region.where, "us").close()
    with pytest.raises(SetupError, match="belongs to region us"):
        asyncio.run(Indexer(region.place, region.slots, "eu").run())


def test_a_batch_that_could_not_be_stored_is_read_again(region, monkeypatch):
    fill(region, 10)
    live = region.place.open()
    follower = Follower(live, region.slots, "eu")

    def refuse(*_):
        raise StateUnavailable("no")

    monkeypatch.setattr(live, "apply", refuse)
    with pytest.raises(StateUnavailable):
        follower.step()
    monkeypatch.undo()
    follower.catch_up()
    follower.close()
    live.close()
    assert len(ask(region)[0]) == 10
