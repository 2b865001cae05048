"""One worker's view of the switches: page, SHUT file, and what it shut by itself."""

from firedoor.core.switches import Scope, Switch, Table
from firedoor.gateway.doors import Doors
from firedoor.store.switchfile import ShutFileWatch

HERE = Scope("eu", "shop", "support", "m1")
ELSEWHERE = Scope("eu", "shop", "search", "m1")


class Page:
    """The port, with the table the test wants."""

    def __init__(self):
        self.table = Table("eu", 1, "p")
        self.age = 0.0

    def look(self):
        return self.table, self.age


def make(tmp_path):
    page = Page()
    return page, Doors(page, ShutFileWatch(tmp_path / "SHUT", tmp_path / "latched"), slot="worker-0")


def test_an_old_or_missing_table_is_stale_and_a_fresh_one_ends_it(tmp_path):
    page, doors = make(tmp_path)
    assert doors.standing(HERE, 2.0).state == "open"
    page.age = 2.1
    assert doors.standing(HERE, 2.0).reason == "lease_over"
    page.age, table, page.table = 0.0, page.table, None
    assert doors.standing(HERE, 2.0).reason == "no_table"
    page.table = table
    assert doors.standing(HERE, 2.0).state == "open"


def test_a_reflex_shuts_at_once_and_lasts_until_the_table_knows(tmp_path):
    page, doors = make(tmp_path)
    told = []
    doors.watch(HERE, 2.0, told.append)
    doors.watch(ELSEWHERE, 2.0, told.append)
    doors.reflex(HERE)
    assert [s.state for s in told] == ["shut"]
    assert doors.standing(ELSEWHERE, 2.0).state == "open"
    page.table = Table("eu", 2, "p", absorbed={"worker-0": 99})
    assert doors.standing(HERE, 2.0).state == "shut"  # its record is not durable yet: no table can know of it
    doors.recorded(HERE, 100)
    assert doors.standing(HERE, 2.0).state == "shut"
    page.table = Table("eu", 3, "p", (Switch(HERE, "leak", 0.0, ("firedoor",)),), absorbed={"worker-0": 100})
    assert doors.standing(HERE, 2.0).by == HERE
    page.table = Table("eu", 4, "p", absorbed={"worker-0": 100})  # two people opened it
    assert doors.standing(HERE, 2.0).state == "open"


def test_a_second_leak_of_a_scope_keeps_the_reflex_until_it_too_is_known(tmp_path):
    page, doors = make(tmp_path)
    doors.reflex(HERE)
    doors.recorded(HERE, 5)
    doors.reflex(HERE)
    page.table = Table("eu", 2, "p", absorbed={"worker-0": 5})
    assert doors.standing(HERE, 2.0).state == "shut"
    doors.recorded(HERE, 9)
    page.table = Table("eu", 3, "p", absorbed={"worker-0": 9})
    assert doors.standing(HERE, 2.0).state == "open"


def test_the_shut_file_latches_until_the_table_has_it(tmp_path):
    page, doors = make(tmp_path)
    (tmp_path / "SHUT").touch()
    doors.look_at_file()
    assert doors.standing(HERE, 2.0).reason == "file"
    (tmp_path / "SHUT").unlink()
    doors.look_at_file()
    assert doors.standing(HERE, 2.0).reason == "file"  # nobody has told control yet
    assert (tmp_path / "latched").exists()
    page.table = Table("eu", 2, "p", (Switch(Scope("eu"), "file", 0.0, ("firedoor",)),))
    (tmp_path / "latched").unlink()  # control took it into the table
    doors.look_at_file()
    assert doors.standing(HERE, 2.0).by == Scope("eu")
    page.table = Table("eu", 3, "p")  # two people opened it
    assert doors.standing(HERE, 2.0).state == "open"


def test_a_latch_that_cannot_be_written_stays_in_the_worker(tmp_path):
    page = Page()
    doors = Doors(page, ShutFileWatch(tmp_path / "SHUT", tmp_path / "no" / "latched"), slot="worker-0")
    (tmp_path / "SHUT").touch()
    doors.look_at_file()
    (tmp_path / "SHUT").unlink()
    doors.look_at_file()
    assert doors.standing(HERE, 2.0).state == "shut"

    (tmp_path / "no").mkdir()  # the disk has room again
    doors.look_at_file()
    assert (tmp_path / "no" / "latched").exists()


def test_a_region_that_was_shut_already_does_not_keep_the_latch_for_ever(tmp_path):
    page, doors = make(tmp_path)
    page.table = Table("eu", 2, "p", (Switch(Scope("eu"), "operator", 0.0, ("ana",)),))
    (tmp_path / "SHUT").touch()
    doors.look_at_file()
    (tmp_path / "SHUT").unlink()
    (tmp_path / "latched").unlink()  # control took the note; the older switch stands for it
    page.table = Table("eu", 3, "p")  # two people opened it
    doors.look_at_file()
    assert doors.standing(HERE, 2.0).state == "open"


def test_a_shut_file_that_is_a_dangling_link_shuts(tmp_path):
    _, doors = make(tmp_path)
    (tmp_path / "SHUT").symlink_to(tmp_path / "nowhere")
    doors.look_at_file()
    assert doors.standing(HERE, 2.0).state == "shut"


def test_a_worker_that_starts_later_sees_the_latch(tmp_path):
    (tmp_path / "latched").touch()
    _, doors = make(tmp_path)
    assert doors.standing(HERE, 2.0).reason == "file"


def test_a_leak_that_cannot_be_recorded_shuts_the_region(tmp_path):
    _, doors = make(tmp_path)
    told = []
    doors.watch(ELSEWHERE, 2.0, told.append)
    doors.latch()
    assert [s.state for s in told] == ["shut"]
    assert (tmp_path / "latched").exists()


def test_notice_comes_once_and_not_after_unwatch(tmp_path):
    page, doors = make(tmp_path)
    told = []
    doors.watch(HERE, 2.0, told.append)
    quiet = doors.watch(HERE, 2.0, told.append)
    doors.unwatch(quiet)
    page.age = 3.0
    doors.tell()
    doors.tell()
    assert len(told) == 1
