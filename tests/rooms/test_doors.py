"""One worker's view of the switches: page, SHUT file, and what it shut by itself."""

import asyncio
import math

from firedoor.bus.nudge import NudgeAll, NudgeReceiver
from firedoor.core.switches import GlobalTable, Lease, Look, Scope, Shown, Switch, Table
from firedoor.gateway.doors import Doors
from firedoor.store.shutfile import ShutFileWatch

HERE = Scope("eu", "shop", "support", "m1")
ELSEWHERE = Scope("eu", "shop", "search", "m1")
LEASE = Lease(2.0)


class Page:
    """The port, with the tables the test wants."""

    def __init__(self):
        self.show(1)
        self.age = self.global_age = 0.0

    def show(self, version, *shut, everywhere=None, **table):
        self.shown = Shown(Table("eu", version, "p", shut, **table), everywhere)

    def look(self):
        return Look(self.shown, self.age, self.global_age)


def make(tmp_path):
    page = Page()
    return page, Doors(page, ShutFileWatch(tmp_path / "SHUT", tmp_path / "latched"), slot="worker-0")


def test_an_old_or_missing_table_is_stale_and_a_fresh_one_ends_it(tmp_path):
    page, doors = make(tmp_path)
    assert doors.standing(HERE, LEASE).state == "open"
    page.age = 2.1
    assert doors.standing(HERE, LEASE).reason == "lease_over"
    page.age, shown, page.shown = 0.0, page.shown, None
    assert doors.standing(HERE, LEASE).reason == "no_table"
    page.shown = shown
    assert doors.standing(HERE, LEASE).state == "open"


def test_the_global_table_shuts_here_and_has_a_lease_of_its_own(tmp_path):
    page, doors = make(tmp_path)
    both = Lease(2.0, 5.0)
    page.global_age = math.inf
    assert doors.standing(HERE, LEASE).state == "open"  # the plan does not ask for one
    assert doors.standing(HERE, both).reason == "global_lease_over"
    page.show(2, everywhere=GlobalTable("us", 7, (Switch(Scope("*", surface="support"), "operator", 0.0),)))
    page.global_age = 1.0
    assert doors.standing(HERE, both).by == Scope("*", surface="support")
    assert doors.standing(ELSEWHERE, both).state == "open"


def test_a_reflex_shuts_at_once_and_lasts_until_the_table_knows(tmp_path):
    page, doors = make(tmp_path)
    told = []
    doors.watch(HERE, LEASE, told.append)
    doors.watch(ELSEWHERE, LEASE, told.append)
    doors.reflex(HERE)
    assert [s.state for s in told] == ["shut"]
    assert doors.standing(ELSEWHERE, LEASE).state == "open"
    page.show(2, absorbed={"worker-0": 99})
    assert doors.standing(HERE, LEASE).state == "shut"  # its record is not durable yet: no table can know of it
    doors.recorded(HERE, 100)
    assert doors.standing(HERE, LEASE).state == "shut"
    page.show(3, Switch(HERE, "leak", 0.0), absorbed={"worker-0": 100})
    assert doors.standing(HERE, LEASE).by == HERE
    page.show(4, absorbed={"worker-0": 100})  # two people opened it
    assert doors.standing(HERE, LEASE).state == "open"


def test_a_second_leak_of_a_scope_keeps_the_reflex_until_it_too_is_known(tmp_path):
    page, doors = make(tmp_path)
    doors.reflex(HERE)
    doors.recorded(HERE, 5)
    doors.reflex(HERE)
    page.show(2, absorbed={"worker-0": 5})
    assert doors.standing(HERE, LEASE).state == "shut"
    doors.recorded(HERE, 9)
    page.show(3, absorbed={"worker-0": 9})
    assert doors.standing(HERE, LEASE).state == "open"


def test_the_shut_file_latches_until_the_table_has_it(tmp_path):
    page, doors = make(tmp_path)
    (tmp_path / "SHUT").touch()
    doors.look_at_file()
    assert doors.standing(HERE, LEASE).reason == "file"
    (tmp_path / "SHUT").unlink()
    doors.look_at_file()
    assert doors.standing(HERE, LEASE).reason == "file"  # nobody has told control yet
    assert (tmp_path / "latched").exists()
    page.show(2, Switch(Scope("eu"), "file", 0.0))
    (tmp_path / "latched").unlink()  # control took it into the table
    doors.look_at_file()
    assert doors.standing(HERE, LEASE).by == Scope("eu")
    page.show(3)  # two people opened it
    assert doors.standing(HERE, LEASE).state == "open"


def test_a_latch_that_cannot_be_written_stays_in_the_worker(tmp_path):
    doors = Doors(Page(), ShutFileWatch(tmp_path / "SHUT", tmp_path / "no" / "latched"), slot="worker-0")
    (tmp_path / "SHUT").touch()
    doors.look_at_file()
    (tmp_path / "SHUT").unlink()
    doors.look_at_file()
    assert doors.standing(HERE, LEASE).state == "shut"

    (tmp_path / "no").mkdir()  # the disk has room again
    doors.look_at_file()
    assert (tmp_path / "no" / "latched").exists()


def test_a_region_that_was_shut_already_does_not_keep_the_latch_for_ever(tmp_path):
    page, doors = make(tmp_path)
    page.show(2, Switch(Scope("eu"), "operator", 0.0))
    (tmp_path / "SHUT").touch()
    doors.look_at_file()
    (tmp_path / "SHUT").unlink()
    (tmp_path / "latched").unlink()  # control took the note; the older switch stands for it
    page.show(3)  # two people opened it
    doors.look_at_file()
    assert doors.standing(HERE, LEASE).state == "open"


def test_a_shut_file_that_is_a_dangling_link_shuts(tmp_path):
    _, doors = make(tmp_path)
    (tmp_path / "SHUT").symlink_to(tmp_path / "nowhere")
    doors.look_at_file()
    assert doors.standing(HERE, LEASE).state == "shut"


def test_a_worker_that_starts_later_sees_the_latch(tmp_path):
    (tmp_path / "latched").touch()
    _, doors = make(tmp_path)
    assert doors.standing(HERE, LEASE).reason == "file"


def test_a_leak_that_cannot_be_recorded_shuts_the_region(tmp_path):
    _, doors = make(tmp_path)
    told = []
    doors.watch(ELSEWHERE, LEASE, told.append)
    doors.latch()
    assert [s.state for s in told] == ["shut"]
    assert (tmp_path / "latched").exists()


def test_notice_comes_once_and_not_after_unwatch(tmp_path):
    page, doors = make(tmp_path)
    told = []
    doors.watch(HERE, LEASE, told.append)
    quiet = doors.watch(HERE, LEASE, told.append)
    doors.unwatch(quiet)
    page.age = 3.0
    doors.tell()
    doors.tell()
    assert len(told) == 1


def test_a_nudge_tells_of_page_and_file_without_a_tick(tmp_path):
    """No `run` here: what is told came by the nudge."""
    page, doors = make(tmp_path)

    async def life():
        nudges = tmp_path / "nudges"
        nudges.mkdir()
        receiver = NudgeReceiver(nudges / "worker-0.sock", doors.look)
        receiver.start()
        for change in (lambda: page.show(2, Switch(HERE, "operator", 0.0)), (tmp_path / "SHUT").touch):
            told = asyncio.get_running_loop().create_future()
            doors.watch(HERE if change is not (tmp_path / "SHUT").touch else ELSEWHERE, LEASE, told.set_result)
            change()
            NudgeAll(nudges).send()
            assert (await asyncio.wait_for(told, 30)).state == "shut"
        receiver.close()

    asyncio.run(life())


def test_a_tick_notices_a_lease_that_runs_out_and_a_page_nobody_spoke_of(tmp_path):
    page, doors = make(tmp_path)

    async def told_after(change):
        told = asyncio.get_running_loop().create_future()
        doors.watch(HERE, LEASE, told.set_result)
        change()
        return await asyncio.wait_for(told, 30)

    async def life():
        ticking = asyncio.create_task(doors.run())
        assert (await told_after(lambda: page.show(2, Switch(Scope("eu"), "leak", 0.0)))).reason == "leak"
        page.show(3)
        assert (await told_after(lambda: setattr(page, "age", 2.5))).reason == "lease_over"
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)

    asyncio.run(life())
