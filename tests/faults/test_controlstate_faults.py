"""The state of control when it is killed, when disk or database fail under it, and when another control takes over."""

import asyncio
import contextlib
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from msgspec import structs

from firedoor.errors import FiredoorError, SetupError, StateBusy
from firedoor.store import control_connect
from firedoor.store.controlstate import ControlState
from tests.rooms.controlstates import begun, open_control_state, pending, stored, version_of
from tests.rooms.postgres import running
from tests.rooms.region import NOTE, Region

KILLS = 3
ONE = "eu/alpen/support/m0"
PATIENCE = 60


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("server").database()
    return tmp_path / "control.sqlite"


@pytest.fixture
def url(server):
    return server.database()


CHILD = """
import sys
from pathlib import Path
from tests.rooms.controlstates import begun, pending, stored, version_of
where = sys.argv[1]
state = begun(where if where.startswith("postgresql:") else Path(where))
version = version_of(state)
print(version, flush=True)
while True:
    version += 1
    state.save(stored(version), pending(version))
    print(version, flush=True)
"""


def test_kill_9_in_the_midst_of_saving_loses_nothing_that_was_saved(where):
    chance = random.Random(7)
    for _ in range(KILLS):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(where)], stdout=subprocess.PIPE, text=True, env=environment
        ) as child:
            known = int(child.stdout.readline())
            time.sleep(chance.random() * 0.15)
            child.kill()
            known = max([known, *map(int, child.stdout.read().split("\n")[:-1])])
        state = begun(where)
        assert version_of(state) in (known, known + 1)
        state.close()


def test_a_full_disk_is_said_and_the_state_before_stays(tmp_path):
    where = tmp_path / "control.sqlite"
    state = open_control_state(where, "eu")
    state.save(stored(1), pending(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (where.with_name("control.sqlite-wal").stat().st_size + 100, hard))
    try:
        for version in (2, 3):
            with pytest.raises(OSError, match="cannot be used now"):
                state.save(stored(version), pending(version))
            assert version_of(state) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    state.save(stored(4), pending(4))
    state.close()
    state = open_control_state(where, "eu")
    assert version_of(state) == 4
    state.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(control_connect, "ANSWER", 0.5)


@pytest.mark.usefixtures("impatient")
def test_a_database_that_hangs_is_given_up_and_written_when_it_is_back(server, url):
    state = open_control_state(url, "eu")
    state.save(stored(1), pending(1))
    with server.hanging():
        for call in (lambda: state.save(stored(2), pending(2)), state.confirm):
            failed = []
            waiting = threading.Thread(target=lambda f=call, to=failed: to.append(caught(f)), daemon=True)
            waiting.start()
            waiting.join(PATIENCE)
            assert [type(error) for error in failed] == [OSError], "it came back, with an error"
    state.confirm()
    state.save(stored(3), pending(3))
    assert version_of(state) == 3
    state.close()


def caught(call):
    try:
        return call()
    except OSError as error:
        return error


def test_a_crash_of_the_database_loses_nothing(server, url):
    state = open_control_state(url, "eu")
    state.save(stored(1), pending(1))
    server.stop(signal.SIGQUIT)
    try:
        for _ in range(2):
            with pytest.raises(OSError, match="cannot be used now"):
                state.save(stored(2), pending(2))
            with pytest.raises(OSError, match="cannot be used now"):
                state.confirm()
    finally:
        server.start()
    state.confirm()
    assert version_of(state) == 1
    state.save(stored(2), pending(2))
    state.close()
    state = begun(url)
    assert version_of(state) == 2
    state.close()


@pytest.fixture
def region(tmp_path, url):
    made = Region(tmp_path / "eu")
    made.state = url
    return made


@pytest.mark.usefixtures("impatient")
def test_a_hanging_database_keeps_neither_shut_nor_beat_waiting(server, region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by("eu/berg"))
            with server.hanging():
                shut = await board.shut(region.shut_by(ONE))
                assert (shut.changed, shut.durable) == (True, False)
                assert ONE in region.shut_scopes()
                before = region.announcer.beats
                for _ in range(3):
                    board.beat()
                assert region.announcer.beats == before + 3
                refused = await caught_async(board.propose(region.open_by("eu/berg"), NOTE))
                assert "durable" in refused.message
            while not board.keeper.durable:
                board.beat()
                await board.settled()
        region.home.page.unlink()
        region.home.table_copy.unlink(missing_ok=True)
        async with region.control():
            assert region.shut_scopes() == [ONE, "eu/berg/*/*"], "the database knows"

    asyncio.run(asyncio.wait_for(life(), PATIENCE))


def test_control_that_was_taken_over_opens_nothing_and_stops(server, region, url):
    async def life():
        async with region.control(crash=True) as board:
            await board.shut(region.shut_by(ONE))
            pending = await board.propose(region.open_by(ONE), NOTE)
            server.end_sessions()
            other = begun(url)
            other.save(structs.replace(other.load(), cursors={"w9": 9}), other.requests())
            with pytest.raises((StateBusy, SetupError)):
                await board.approve(pending.id, region.sign(pending.signed.act, "ben"))
            assert region.shut_scopes() == [ONE]
            with pytest.raises(StateBusy):
                for _ in range(3):
                    board.beat()
                    await board.settled()
            assert other.load().cursors == {"w9": 9}
            other.close()

    asyncio.run(asyncio.wait_for(life(), PATIENCE))


async def caught_async(call):
    try:
        return await call
    except FiredoorError as error:
        return error


class TestTakingOver:
    def test_after_a_failover_one_of_two_goes_on(self, server, url):
        first, second = open_control_state(url, "eu"), ControlState(url, "eu")
        first.save(stored(1), pending(1))
        server.end_sessions()
        second.begin()
        second.save(stored(2), pending(2))
        for call in (lambda: first.save(stored(9), pending(9)), first.confirm, first.load):
            with pytest.raises((StateBusy, OSError)):
                call()
        with pytest.raises(StateBusy):
            first.confirm()
        second.close()
        with pytest.raises(StateBusy):
            first.save(stored(9), pending(9))
        third = begun(url)
        assert version_of(third) == 2
        third.close()
        first.close()

    def test_who_is_back_first_after_a_failover_goes_on(self, server, url):
        first, second = open_control_state(url, "eu"), ControlState(url, "eu")
        server.end_sessions()
        first.confirm()
        with pytest.raises(StateBusy):
            second.begin()
        first.save(stored(1), pending(1))
        first.close()
        second.close()

    def test_one_that_took_over_and_went_is_noticed_too(self, server, url):
        first = open_control_state(url, "eu")
        server.end_sessions()
        second = begun(url)
        second.save(stored(5), pending(5))
        second.close()
        with pytest.raises(StateBusy):
            for _ in range(2):
                with contextlib.suppress(OSError):
                    first.save(stored(2), pending(2))
        first.close()
        third = begun(url)
        assert version_of(third) == 5
        third.close()

    def test_a_state_put_back_to_before_the_last_save_is_written_again(self, server, url):
        """An asynchronous standby server that became the first one lacks the newest transactions."""
        state = open_control_state(url, "eu")
        state.save(stored(1), pending(1))
        server.execute(url, "UPDATE control_writer SET term = 0, mark = 'of an earlier start'")
        server.end_sessions()
        state.confirm()
        state.save(stored(2), pending(2))
        assert version_of(state) == 2
        state.close()

    def test_a_process_that_hangs_loses_it(self, url, monkeypatch):
        monkeypatch.setitem(control_connect._SETTINGS, "idle_session_timeout", "300ms")
        first = open_control_state(url, "eu")
        second = begun(url)
        second.save(stored(1), pending(1))
        with pytest.raises(StateBusy):
            first.confirm()
        first.close()
        second.close()

    def test_its_own_broken_connection_does_not_keep_it_out(self, url):
        with Middleman(url) as through:
            state = open_control_state(through.url, "eu")
            state.save(stored(1), pending(1))
            through.strand()
            state.confirm()
            state.save(stored(2), pending(2))
            assert through.stranded, "the server still had the first connection"
            assert version_of(state) == 2
            state.close()


class Middleman:
    """A TCP proxy before PostgreSQL that can lose the client's side of a connection and keep the server's."""

    def __init__(self, url):
        self._place = url.rpartition("@")[2].partition("/")[0]
        host, _, port = self._place.partition(":")
        self._to = host, int(port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(self._place, f"127.0.0.1:{self._listening.getsockname()[1]}")
        self._pairs = []
        self.stranded = []
        self._end = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end = True
        self._thread.join(PATIENCE)
        for one in [*(s for pair in self._pairs for s in pair), *self.stranded, self._listening]:
            one.close()

    def strand(self):
        with self._lock:
            for client, server in self._pairs:
                client.close()
                self.stranded.append(server)
            self._pairs.clear()

    def _run(self):
        while not self._end:
            with self._lock:
                ways = {a: b for pair in self._pairs for a, b in (pair, pair[::-1])}
                ready, _, _ = select.select([self._listening, *ways], [], [], 0.01)
                for one in ready:
                    if one is self._listening:
                        self._pairs.append((one.accept()[0], socket.create_connection(self._to)))
                    elif data := one.recv(65536):
                        ways[one].sendall(data)
                    else:
                        self._drop(one)
            time.sleep(0.001)

    def _drop(self, one):
        for pair in [pair for pair in self._pairs if one in pair]:
            self._pairs.remove(pair)
            for end in pair:
                end.close()
