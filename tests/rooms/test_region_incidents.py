"""The cases of a region beside its switches: whatever fails among them, shutting and beating go on."""

import asyncio
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest
from tests.rooms.firstminutes import LEAK, kinds_of, until
from tests.rooms.incidentstores import BOX
from tests.rooms.region import Region

from firedoor.app import incidents as cases
from firedoor.app.incidents import CaseHome, region_incidents
from firedoor.errors import SetupError, StateBusy
from firedoor.store.incidents import IncidentStore

FAST = (0.02,)


class Faulty(IncidentStore):
    """A store that fails as it is told to."""

    error = None

    def cases(self):
        self._fail()
        return super().cases()

    def append(self, *arguments, **more):
        self._fail()
        super().append(*arguments, **more)

    def _fail(self):
        if Faulty.error is not None:
            raise Faulty.error


@pytest.fixture
def region(tmp_path, monkeypatch):
    monkeypatch.setattr(cases, "AGAIN", FAST)
    monkeypatch.setattr("firedoor.control.firstminute.AGAIN", FAST)
    monkeypatch.setattr(cases, "IncidentStore", Faulty)
    monkeypatch.setattr(Faulty, "error", None)
    return Region(tmp_path / "eu")


@asynccontextmanager
async def living(region):
    """Control with its switches, and the cases beside them as the process has them."""
    parts = {}

    def keep(part, real):
        parts[part] = real
        return real

    async with region.control(wrap=keep) as board:
        keys = SimpleNamespace(protect=BOX, epoch=region.epochs.current()[0], region="eu")
        home = CaseHome(region.home, region.loaded, region.home.root, keys, region.store, parts["journal"], board)
        nudged = asyncio.Event()
        async with region_incidents(home, nudged) as kept:
            task = asyncio.create_task(kept.run())
            try:
                yield SimpleNamespace(board=board, incidents=kept.incidents, nudged=nudged, task=task)
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def run(life):
    return asyncio.run(asyncio.wait_for(life(), 120))


def steps(life):
    found = life.incidents.open_cases()
    return set(kinds_of(found[0])) if found else set()


async def leak(region, life, scope=LEAK, **more):
    await region.finding(scope, **more)
    life.board.beat()
    life.nudged.set()


@pytest.fixture
def now(region, monkeypatch):
    """The wall clock of cases is the region's."""
    monkeypatch.setattr(cases.time, "time_ns", lambda: int(region.now * 1e9))


@pytest.mark.usefixtures("now")
def test_a_store_that_refuses_from_the_start_stops_no_switch(region):
    Faulty.error = OSError(28, "no space left")

    async def life():
        async with living(region) as life:
            await leak(region, life)
            assert region.shut_scopes() == [LEAK]
            await life.board.shut(region.shut_by("eu/berg"))
            for _ in range(5):
                life.board.beat()
                await asyncio.sleep(0.02)
            assert region.shut_scopes() == [LEAK, "eu/berg/*/*"]
            assert life.incidents.open_cases() == []
            assert not life.task.done()
            Faulty.error = None
            await until(lambda: {"contained", "sealed", "purged", "clocks_set"} <= steps(life), "the case")
            assert life.incidents.open_cases()[0].scopes == (LEAK,)

    run(life)


@pytest.mark.usefixtures("now")
def test_law_that_cannot_be_read_stops_the_clocks_alone_and_is_read_again(region, monkeypatch):
    real = cases.law_book
    broken = True

    def law():
        if broken:
            raise SetupError("a law file is damaged")
        return real()

    monkeypatch.setattr(cases, "law_book", law)

    async def life():
        nonlocal broken
        async with living(region) as life:
            await leak(region, life)
            await until(lambda: {"contained", "sealed", "purged", "step_failed"} <= steps(life), "the others")
            assert "clocks_set" not in steps(life)
            broken = False
            await until(lambda: "clocks_set" in steps(life), "the clocks")

    run(life)


@pytest.mark.usefixtures("now")
def test_cases_end_where_another_control_took_over_and_the_switches_learn_it_by_themselves(region):
    Faulty.error = StateBusy("taken over")

    async def life():
        async with living(region) as life:
            await leak(region, life)
            assert region.shut_scopes() == [LEAK]
            await asyncio.sleep(0.2)
            assert life.incidents.open_cases() == []

    run(life)


@pytest.mark.usefixtures("now")
def test_a_case_whose_first_minute_breaks_off_without_a_reason_keeps_no_other_waiting(region, monkeypatch):
    """A mistake of the program in one step is logged by its class, and tried again."""
    calls = []

    def purge(*_):
        calls.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(cases.HostCache, "clear", lambda self, **_: purge())

    async def life():
        async with living(region) as life:
            await leak(region, life)
            await until(lambda: {"contained", "sealed", "clocks_set", "step_failed"} <= steps(life), "the others")
            await until(lambda: len(calls) > 1, "another try")
            (failure,) = [f for f in life.incidents.open_cases()[0].failures if f.step == "purge"]
            assert failure.code == "failed"
            await leak(region, life, "eu/alpen/search/m0", slot="w1")
            assert "eu/alpen/search/m0" in region.shut_scopes()

    run(life)
