"""The durable cases when control is killed, when disk or database fail, and when another control takes over."""

import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from firedoor.errors import StateBusy
from firedoor.store.incidents import IncidentStore
from tests.rooms.controlstates import begun, open_control_state, pending, stored, version_of
from tests.rooms.incidentstores import BOX, CASE, add, case_of, found, message, opened, opened_store
from tests.rooms.postgres import running

KILLS = 2


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
from tests.rooms.controlstates import begun, pending, stored
from tests.rooms.incidentstores import BOX, CASE, add, found, message, opened
from firedoor.store.incidents import IncidentStore
where = sys.argv[1]
state = begun(where if where.startswith("postgresql:") else Path(where))
store = IncidentStore(state.database, BOX)
number = len(store.entries(CASE))
store.recorded(store.unrecorded(10))
print(number, flush=True)
while True:
    entries = [opened() if number == 0 else found(number + 1), found(number + 2)]
    number += 2
    add(store, *entries, cursors={"w0": number}, ended={CASE: number % 4 == 0}, messages=[message(number)])
    print(number, flush=True)
    store.recorded(entries)
    state.save(stored(number), pending(number))
"""


def kill_in_the_midst(where, chance):
    """The number of the last entry whose append returned before the kill."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(where)], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        known = int(child.stdout.readline())
        time.sleep(chance.random() * 0.15)
        child.kill()
        return max([known, *map(int, child.stdout.read().split("\n")[:-1])])


def check_after_kill(where, known):
    state = begun(where)
    store = IncidentStore(state.database, BOX)
    entries = store.entries(CASE)
    count = len(entries)
    assert count in (known, known + 2), "both entries of an append or none"
    if count:
        assert entries == case_of(count)
        assert store.cursors() == {"w0": count}
        assert [(one.open, one.entries) for one in store.cases()] == [(count % 4 != 0, count)]
        assert store.unrecorded(10) in ([], entries[-2:])
        newest = store.messages("pager", 100)
        assert newest[0] == message(2)
        assert store.entries(CASE)[-1].number % 2 == 0
    version_of(state)
    state.close()


def test_kill_9_in_the_midst_of_appends_leaves_whole_ones(where):
    chance = random.Random(11)
    for _ in range(KILLS):
        check_after_kill(where, kill_in_the_midst(where, chance))


@pytest.mark.torture
def test_kill_9_again_and_again(where):
    chance = random.Random(13)
    for _ in range(int(os.environ.get("FIREDOOR_TORTURE_ROUNDS", "20"))):
        check_after_kill(where, kill_in_the_midst(where, chance))


def test_a_full_disk_is_said_and_takes_no_half_entry(tmp_path):
    where = tmp_path / "control.sqlite"
    with opened_store(where) as store:
        add(store, *case_of(3), cursors={"w0": 3})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (where.with_name("control.sqlite-wal").stat().st_size + 100, hard))
        try:
            for _ in range(2):
                with pytest.raises(OSError, match="cannot be used now"):
                    add(store, found(4), found(5), cursors={"w0": 5}, messages=[message(5)])
                assert store.entries(CASE) == case_of(3)
                assert (store.cursors(), store.messages("pager", 9)) == ({"w0": 3}, [])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        add(store, found(4), found(5))
    with opened_store(where) as store:
        assert store.entries(CASE) == case_of(5)


def test_a_database_that_takes_no_writes_is_said(tmp_path):
    where = tmp_path / "control.sqlite"
    state = open_control_state(where, "eu")
    store = IncidentStore(state.database, BOX)
    add(store, *case_of(2))
    set_query_only(state, "ON")
    for call in (lambda: add(store, found(3)), lambda: store.recorded([opened()]), lambda: store.sent(message(1))):
        with pytest.raises(OSError, match="cannot be used now"):
            call()
    set_query_only(state, "OFF")
    assert store.entries(CASE) == case_of(2)
    add(store, found(3))
    state.close()


def set_query_only(state, value):
    """As a disk that was mounted read-only is to SQLite."""
    with state.database._side.connected() as connection:
        connection.connection.driver_connection.execute(f"PRAGMA query_only = {value}")


def test_a_crash_of_the_database_loses_no_entry(server, url):
    with opened_store(url) as store:
        add(store, *case_of(2))
        server.stop(signal.SIGQUIT)
        try:
            for call in (lambda: add(store, found(3)), lambda: store.entries(CASE), store.cases):
                with pytest.raises(OSError, match="cannot be used now"):
                    call()
        finally:
            server.start()
        assert store.entries(CASE) == case_of(2)
        add(store, found(3))
        assert store.entries(CASE) == case_of(3)


def test_a_control_that_was_taken_over_writes_nothing_more(server, url):
    with opened_store(url) as first:
        add(first, *case_of(2))
        server.end_sessions()
        state = begun(url)
        second = IncidentStore(state.database, BOX)
        add(second, found(3), messages=[message(3)])
        writes = (
            lambda: add(first, found(3)),
            lambda: first.recorded(case_of(2)),
            lambda: first.sent(message(3)),
            lambda: first.again(message(3), 5),
        )
        for call in writes:
            with pytest.raises((StateBusy, OSError)):
                call()
        with pytest.raises(StateBusy):
            first.cases()
        assert second.entries(CASE) == case_of(3)
        assert len(second.unrecorded(9)) == 3
        assert second.messages("pager", 9) == [message(3)]
        state.close()
        with pytest.raises(StateBusy):
            add(first, found(4))


def test_another_mark_in_the_database_is_enough(where):
    """As after a host that hung: its connection still stands, and the writer is another."""
    state = open_control_state(where, "eu")
    store = IncidentStore(state.database, BOX)
    add(store, *case_of(2))
    with state.database.reading() as connection:
        connection.exec_driver_sql("UPDATE control_writer SET mark = 'of another'")
    with pytest.raises(StateBusy):
        add(store, found(3))
    with pytest.raises(StateBusy):
        state.save(stored(1), pending(1))
    state.close()
    with opened_store(where) as again:
        assert again.entries(CASE) == case_of(2)
