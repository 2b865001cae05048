"""Of two control processes of a region one speaks: the other stands by, takes over, and the first notices in time."""

import asyncio
import logging

import pytest
from tests.rooms.controlstates import open_control_state

from firedoor.app import onecontrol
from firedoor.app.onecontrol import RIVAL, Alone, begin_alone, when_readable
from firedoor.core.switches import Table
from firedoor.core.switchstate import Stored
from firedoor.errors import StateBusy
from firedoor.store.control_connect import FRESH, LEASE

from .postgres import running

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(onecontrol, "ASK", 0.02)


@pytest.fixture
def url(server):
    return server.database()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


class Output:
    def __init__(self):
        self.said = []

    def publish(self, table, opened):
        self.said.append(table.version)

    def beat(self):
        self.said.append("beat")


class Clock:
    def __init__(self):
        self.ns = 5 * SECOND

    def __call__(self):
        return self.ns

    def forward(self, seconds):
        self.ns += int(seconds * SECOND)


def stored(version):
    return Stored(Table("eu", version, "ab" * 32))


async def until(true, task):
    """Until `true` holds, or `task` ends."""
    while not true() and not task.done():  # noqa: ASYNC110  # a log, a counter of another thread
        await asyncio.sleep(0.01)


class Watched:
    """An `Alone` with its watch running, on a clock that is set by hand."""

    def __init__(self, where):
        self.clock, self.output = Clock(), Output()
        self.state = open_control_state(where, "eu")
        self.alone = Alone(self.output, self.state, boottime_ns=self.clock)
        self.questions = 0
        confirm = self.state.confirm

        def counted():
            self.questions += 1
            confirm()

        self.state.confirm = counted

    async def __aenter__(self):
        self.watching = asyncio.create_task(self.alone.watch())
        return self

    async def __aexit__(self, *_):
        self.watching.cancel()
        await asyncio.gather(self.watching, return_exceptions=True)
        self.state.close()

    async def answered(self):
        """Two questions more were asked, so that one of them began after this call."""
        enough = self.questions + 2
        await until(lambda: self.questions > enough, self.watching)


def test_nobody_takes_over_while_a_beat_counts():
    assert LEASE > FRESH


def test_it_beats_while_the_database_says_that_it_is_the_one(url):
    async def life():
        async with Watched(url) as one:
            for _ in range(3):
                one.alone.beat()
                one.clock.forward(FRESH - 1)
                await one.answered()
            assert one.output.said == ["beat"] * 3

    run(life())


def test_after_a_long_sleep_it_asks_before_it_beats(url):
    async def life():
        async with Watched(url) as one:
            await one.answered()
            one.clock.forward(FRESH)
            one.alone.beat()
            assert one.output.said == [], "not before it asked"
            assert not one.alone.sure
            await one.answered()
            assert one.alone.sure
            one.alone.beat()
            assert one.output.said == ["beat"]

    run(life())


def test_who_was_taken_over_in_its_sleep_never_beats_again(server, url):
    async def life():
        async with Watched(url) as one:
            await one.answered()
            one.watching.cancel()
            await asyncio.gather(one.watching, return_exceptions=True)
            server.end_sessions()
            other = open_control_state(url, "eu")
            one.clock.forward(LEASE)
            one.alone.beat()
            one.watching = asyncio.create_task(one.alone.watch())
            for _ in range(100):
                one.alone.beat()
                await asyncio.sleep(0.005)
            assert one.output.said == []
            assert isinstance(one.watching.exception(), StateBusy)
            other.close()

    run(life())


def test_a_database_that_is_gone_stops_no_beat(server, url, caplog):
    async def life():
        async with Watched(url) as one:
            await one.answered()
            server.stop()
            try:
                for _ in range(3):
                    one.clock.forward(FRESH - 1)
                    await one.answered()
                    one.alone.beat()
            finally:
                server.start()
            assert one.output.said == ["beat"] * 3
            await until(lambda: "answers again" in caplog.text, one.watching)
            assert not one.watching.done()

    with caplog.at_level(logging.WARNING):
        run(life())
    assert caplog.text.count("does not answer") == 1


def test_without_the_database_it_ends_when_another_is_heard(server, url):
    async def life():
        async with Watched(url) as one:
            await one.answered()
            server.stop()
            try:
                one.clock.forward(FRESH)
                one.alone.heard(version=7, ours=7)
                await one.answered()
                assert not one.watching.done(), "that was its own"
                one.alone.heard(version=8, ours=7)
                await until(lambda: False, one.watching)
                assert isinstance(one.watching.exception(), StateBusy)
            finally:
                server.start()

    run(life())


def test_with_the_database_it_is_asked_who_is_right(url):
    async def life():
        async with Watched(url) as one:
            one.alone.heard(version=8, ours=7)
            await one.answered()
            one.clock.forward(RIVAL / 2)
            one.alone.beat()
            await one.answered()
            one.alone.beat()
            assert one.output.said == ["beat"]
            assert not one.watching.done()

    run(life())


def test_with_sqlite_nothing_is_asked(tmp_path):
    async def life():
        async with Watched(tmp_path / "control.sqlite") as one:
            one.clock.forward(100)
            one.alone.beat()
            one.alone.publish(Table("eu", 3, "ab" * 32), ())
            assert (one.output.said, one.questions) == (["beat", 3], 0)

    run(life())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_second_control_stands_by(kind, request, tmp_path, caplog):
    where = tmp_path / "control.sqlite" if kind == "sqlite" else request.getfixturevalue("url")

    async def life():
        first = await begin_alone(where, "eu")
        second = asyncio.create_task(begin_alone(where, "eu"))
        await until(lambda: "stands by" in caplog.text, second)
        await asyncio.sleep(0.3)
        assert not second.done()
        first.save(stored(4), ())
        first.close()
        state = await second
        assert state.load() == stored(4)
        state.close()

    with caplog.at_level(logging.WARNING):
        run(life())
    assert caplog.text.count("stands by") == 1


def test_it_waits_for_a_database_and_never_begins_an_empty_table(server, url, caplog):
    async def life():
        state = await begin_alone(url, "eu")
        state.save(stored(4), ())
        state.close()
        server.stop()
        try:
            beginning = asyncio.create_task(begin_alone(url, "eu"))
            await until(lambda: "AI IS OFF" in caplog.text, beginning)
            assert not beginning.done()
        finally:
            server.start()
        state = await beginning
        server.stop()
        caplog.clear()
        try:
            taking = asyncio.create_task(when_readable(lambda: state.load() or stored(1)))
            await until(lambda: "AI IS OFF" in caplog.text, taking)
            assert not taking.done()
        finally:
            server.start()
        assert await taking == stored(4)
        state.close()

    with caplog.at_level(logging.WARNING):
        run(life())
