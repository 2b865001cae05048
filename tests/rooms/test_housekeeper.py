"""The agent's housekeeping: it runs, it says what keeps it back, it does not stop for it."""

import asyncio
import contextlib
import logging
import time

from tests.rooms.archives import ALICE, BO, Archive, Days

from firedoor.agent.housekeeper import Housekeeper
from firedoor.app.housekeeping import RegionHousekeeping
from firedoor.app.operator import durable
from firedoor.core.evidence.retention import DAY
from firedoor.errors import JournalPoisoned
from firedoor.store.holds import load


def keep(region, days=30, ticks=1, change=lambda tick: None):
    """Housekeeping as the agent has it, `ticks` runs of it; its last status."""

    async def run():
        journal = region.journal("agent")
        keeper = Housekeeper(RegionHousekeeping(region.place, Days(days), region.ring, durable(journal)))
        try:
            for tick in range(ticks):
                change(tick)
                await keeper.tick()
        finally:
            await journal.aclose()
        return keeper.status

    return asyncio.run(run())


def at(days):
    """So many days ago, in microseconds."""
    return time.time_ns() // 1000 - days * DAY


def test_what_is_over_goes_and_what_was_cut_short_is_finished(tmp_path):
    region = Archive(tmp_path / "home")
    region.write(
        region.record("fx-1", ALICE, at(40)), region.record("fx-2", BO, at(40)), region.record("fx-3", BO, at(0))
    )
    region.write(region.record("fx-4", ALICE, at(0)))
    region.now = at(0)

    def cut(append, record):
        append(record)
        raise JournalPoisoned("the process ends")

    with contextlib.suppress(JournalPoisoned):
        region.erase(ALICE, write=cut)
    assert "fx-4" in region.readable()
    status = keep(region)
    assert status.problem is None
    assert (status.expired.hours, status.expired.clock) == (1, "ok")
    assert region.readable() == {"fx-3"}
    assert load(region.place.holds).erasures_pending[0].state == "done"
    region.verify()


def test_what_keeps_it_back_is_said_once_and_in_the_status(tmp_path, caplog):
    region = Archive(tmp_path / "home")
    region.write(region.record("fx-1", ALICE, at(40)))
    with caplog.at_level(logging.ERROR, "firedoor.agent"):
        status = keep(region, ticks=3)
    assert "--confirm-clock" in status.problem
    assert status.expired.refused
    assert len([record for record in caplog.records if "housekeeping" in record.message]) == 1
    assert region.readable() == {"fx-1"}


def test_it_goes_on_after_a_failure(tmp_path):
    region = Archive(tmp_path / "home")
    region.write(region.record("fx-1", ALICE, at(0)))
    region.place.holds.write_bytes(b"{")

    def mend(tick):
        if tick == 1:
            region.place.holds.unlink()

    assert "holds.json" in keep(region).problem
    status = keep(region, ticks=2, change=mend)
    assert status.problem is None
    assert status.at is not None


def test_it_runs_until_cancelled_and_finishes_the_run_it_is_in(tmp_path):
    region = Archive(tmp_path / "home")

    async def run():
        journal = region.journal("agent")
        pauses = []

        async def sleep(seconds):
            pauses.append(seconds)
            await asyncio.sleep(0)

        keeping = Housekeeper(
            RegionHousekeeping(region.place, Days(30), region.ring, durable(journal)), every=5, sleep=sleep
        )
        task = asyncio.create_task(keeping.run())
        async with asyncio.timeout(10):
            while len(pauses) < 3:  # noqa: ASYNC110  # counted by what is tested
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await journal.aclose()
        return pauses

    assert set(asyncio.run(run())) == {5}
    assert region.expire(30, now=at(0)).clock in {"ok", "back"}
