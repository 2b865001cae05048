"""What a worker does in a thread while the exchange goes on: bounded, and nothing any more once it has ended."""

import asyncio
import threading

import pytest

from firedoor.gateway.service import MAX_BESIDE, Service


@pytest.fixture
def worker():
    worker = Service(
        region="eu", plan_digest="p", doors=None, journal=None, surfaces={}, embeddings={}, nudge=None, pseudonym=None,
        sessions=None,
    )  # fmt: skip
    yield worker
    worker.close()


def not_kept(worker):
    return b'firedoor_events_total{event="not_kept"} 1' in worker.metrics.render(0)


async def the_rest_of(worker):
    """Until the thread has done all that was given to it before this."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    worker.beside(lambda: loop.call_soon_threadsafe(done.set))
    await done.wait()
    await asyncio.sleep(0)


def test_a_disk_that_hangs_makes_no_queue_without_end(worker):
    done, hangs = [], threading.Event()

    async def play():
        worker.beside(hangs.wait)
        for number in range(MAX_BESIDE):
            worker.beside(lambda number=number: done.append(number))
        assert not_kept(worker)
        hangs.set()
        await asyncio.to_thread(worker._beside.submit(lambda: None).result)
        await asyncio.sleep(0)
        await the_rest_of(worker)

    asyncio.run(play())
    assert done == list(range(MAX_BESIDE - 1))


def test_what_fails_there_is_logged_and_the_next_is_done(worker, caplog):
    done = []

    async def play():
        worker.beside(lambda: int("x"))
        worker.beside(lambda: done.append(1))
        await the_rest_of(worker)

    asyncio.run(play())
    assert done == [1]
    assert "ValueError" in caplog.text


def test_after_the_end_nothing_is_begun(worker):
    async def play():
        worker.close()
        worker.beside(lambda: None)

    asyncio.run(play())
    assert not_kept(worker)
