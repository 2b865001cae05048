import math
import os
import subprocess
import sys
import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from firedoor.agent import page as pages
from firedoor.agent.page import PAGE_BYTES, TABLE_LIMIT, PageReader, PageWriter, boottime_ns
from firedoor.core.switches import MAX_SWITCHES, GlobalTable, Lease, Look, Scope, Shown, Switch, Table, standing
from firedoor.core.switchtable import MESSAGE_LIMIT
from firedoor.errors import SetupError

NOTHING = Look()
SECOND = 1_000_000_000
AT = {"beat": 8, "global": 16, "sequence": 24, "crc": 40}


def switches(*scopes):
    return tuple(Switch(Scope.parse(s), "leak", 1.5) for s in scopes)


def shown(version, *scopes, everywhere=None):
    return Shown(Table("eu", version, "p", switches(*scopes)), everywhere)


def everywhere(version, *scopes):
    return GlobalTable("us", version, switches(*scopes))


def beating(path, what):
    """A writer whose page shows `what` since now."""
    writer = PageWriter(path)
    writer.publish(what)
    writer.beat()
    return writer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "switches.page"


@pytest.fixture
def impatient(monkeypatch):
    """A reader that looks for a replaced file at every look after a missed beat."""
    monkeypatch.setattr(pages, "REOPEN_EVERY", 0)


def put(path, word, value):
    with path.open("r+b") as file:
        file.seek(AT[word])
        file.write(value.to_bytes(8, sys.byteorder))


def get(path, word):
    return int.from_bytes(path.read_bytes()[AT[word] : AT[word] + 8], sys.byteorder)


def age_beats(path, seconds):
    """Make the page's beats older, as if the writer had stopped."""
    for word in ("beat", "global"):
        put(path, word, max(0, get(path, word) - int(seconds * 1e9)))


# Beats


def test_what_is_published_is_stale_until_a_beat_and_beats_keep_it_young(path):
    writer, reader = PageWriter(path), PageReader(path)
    assert reader.look() == NOTHING
    writer.publish(shown(1))
    reader = PageReader(path)
    assert reader.look() == Look(shown(1))
    writer.beat()
    look = reader.look()
    assert 0 <= look.age < 60
    assert look.global_age == math.inf
    age_beats(path, 500)
    assert reader.look().age > 400
    writer.beat()
    assert reader.look().age < 60
    writer.publish(shown(2, "eu/s"))
    look = reader.look()
    assert look.shown == shown(2, "eu/s")
    assert look.age < 60, "a new table is as old as the last beat says"
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_beat_before_the_first_tables(path):
    writer = PageWriter(path)
    for beat in (writer.beat, writer.beat_global):
        with pytest.raises(SetupError):
            beat()
    assert not writer.exists()


def test_a_beat_says_since_when_and_is_never_taken_back(path):
    writer, reader = beating(path, shown(1)), PageReader(path)
    now = boottime_ns()
    reader.look()
    writer.beat(now - 500 * SECOND)
    assert reader.look().age < 60
    put(path, "beat", now - 500 * SECOND)
    assert 499 < reader.look().age < 600
    writer.beat(now)
    assert reader.look().age < 60


def test_both_beats_are_their_own(path):
    writer = PageWriter(path)
    writer.publish(shown(1, everywhere=everywhere(4, "*/s")))
    writer.beat_global()
    look = PageReader(path).look()
    assert look.age == math.inf
    assert look.global_age < 60
    writer.beat()
    put(path, "global", boottime_ns() - 500 * SECOND)
    look = PageReader(path).look()
    assert look.age < 60
    assert 499 < look.global_age < 600


def test_a_beat_in_the_future_is_no_beat(path):
    writer = beating(path, shown(1))
    writer.beat_global()
    reader = PageReader(path)
    reader.look()
    age_beats(path, -600)
    assert reader.look() == Look(shown(1))


# Processes that come and go


def test_a_page_made_later_is_found(path, impatient):
    reader = PageReader(path)
    assert reader.look() == NOTHING
    PageWriter(path).publish(shown(3))
    assert reader.look().shown == shown(3)


def test_a_writer_that_comes_back_goes_on_in_the_same_file_with_its_beats(path):
    first = beating(path, shown(1))
    first.beat_global()
    reader = PageReader(path)
    reader.look()
    inode, beats = path.stat().st_ino, (get(path, "beat"), get(path, "global"))
    first.close()
    second = PageWriter(path)
    assert second.last() == shown(1)
    second.publish(shown(2))
    assert path.stat().st_ino == inode
    assert (get(path, "beat"), get(path, "global")) == beats, "neither lowered nor made younger"
    assert reader.look().shown == shown(2)
    second.beat(beats[0] - 7)
    assert get(path, "beat") == beats[0]


def torn(path):
    put(path, "sequence", get(path, "sequence") | 1)


def damaged(path):
    put(path, "crc", get(path, "crc") ^ 1)


def of_the_future(path):
    age_beats(path, -600)


@pytest.mark.parametrize("harm", [torn, damaged, of_the_future])
def test_a_writer_that_comes_back_takes_up_no_beat_that_may_be_wrong(path, harm):
    first = beating(path, shown(1))
    first.beat_global()
    first.close()
    harm(path)
    PageWriter(path).publish(shown(2))
    assert PageReader(path).look() == Look(shown(2))


def test_beats_of_another_boot_mean_nothing(path, monkeypatch):
    monkeypatch.setattr(pages, "boot_id", lambda: b"an earlier boot!")
    beating(path, shown(1)).close()
    monkeypatch.undo()
    assert PageReader(path).look() == NOTHING
    writer = PageWriter(path)
    assert writer.last() == shown(1), "what was shut then is still known"
    writer.publish(shown(1))
    assert PageReader(path).look() == Look(shown(1))


def test_a_replaced_file_is_followed_at_once_if_its_writer_lives(path, impatient):
    writer = beating(path, shown(1))
    reader = PageReader(path)
    reader.look()
    path.rename(path.with_suffix(".old"))
    assert writer.lost()
    writer.publish(shown(2))
    assert not writer.lost()
    look = reader.look()
    assert look.shown == shown(2)
    assert look.age < 60, "the new file has the beats of the writer, which goes on"


def test_a_replaced_file_is_followed_once_the_old_one_is_silent(path, impatient):
    beating(path, shown(1)).close()
    reader = PageReader(path)
    reader.look()
    path.rename(path.with_suffix(".old"))
    beating(path, shown(2))
    assert reader.look().shown == shown(1)
    age_beats(path.with_suffix(".old"), 500)
    assert reader.look().shown == shown(2)


def test_a_writer_does_not_take_up_the_beats_of_a_file_that_was_put_in_its_place(path, tmp_path):
    other = tmp_path / "other.page"
    beating(other, shown(1)).close()
    writer = PageWriter(path)
    writer.publish(shown(2))
    other.replace(path)
    writer.publish(shown(2))
    assert PageReader(path).look() == Look(shown(2))


READ = """
import os, sys
from pathlib import Path
from firedoor.agent.page import PageReader, PageWriter
from firedoor.core.switches import Shown, Table
path = Path(sys.argv[1])
writer, reader = PageWriter(path), PageReader(path)
writer.publish(Shown(Table("eu", 1, "p")))
writer.beat()
assert reader.look().shown.table.version == 1
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    before = reader.look()
    os.write(ready[1], b"!")
    os.read(go[0], 1)
    after = reader.look()
    fine = (before.shown.table.version, after.shown.table.version) == (1, 2) and after.age < 60 and after.global_age < 60
    os._exit(0 if fine else 9)
os.read(ready[0], 1)
writer.publish(Shown(Table("eu", 2, "p")))
writer.beat_global()
os.write(go[1], b"!")
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_worker_that_forks_after_mapping_the_page_sees_what_comes_later(path):
    done = subprocess.run([sys.executable, "-c", READ, str(path)], env=environment(), timeout=60, check=False)
    assert done.returncode == 0


# Replays


def test_an_older_version_is_a_replay_and_refreshes_nothing(path, impatient):
    writer = beating(path, shown(9, "eu/s"))
    reader = PageReader(path)
    assert reader.look().shown == shown(9, "eu/s")
    writer.publish(shown(8))
    assert reader.look().shown == shown(9, "eu/s")
    since = reader._beats
    writer.beat()
    reader.look()
    assert reader._beats == since, "beats of a page that was not taken make nothing younger"


def test_a_switch_that_is_kept_or_opened_under_the_same_version_is_taken(path):
    writer = beating(path, shown(9))
    reader = PageReader(path)
    reader.look()
    for what in (shown(9, "eu/s"), shown(9)):
        writer.publish(what)
        assert reader.look().shown == what


@pytest.mark.parametrize("version", [8, 9, 10])
def test_a_file_that_was_written_earlier_is_a_replay_whatever_it_says(path, tmp_path, impatient, version):
    earlier = tmp_path / "earlier.page"
    beating(earlier, shown(version)).close()
    writer = beating(path, shown(9, "eu/s"))
    reader = PageReader(path)
    reader.look()
    writer.close()
    age_beats(path, 500)
    put(earlier, "beat", boottime_ns())
    earlier.replace(path)
    look = reader.look()
    assert look.shown == shown(9, "eu/s")
    assert look.age > 400


def test_an_older_global_table_is_a_replay_unless_it_shuts_as_much(path):
    writer = beating(path, shown(9, everywhere=everywhere(5, "*/s", "*/t")))
    reader = PageReader(path)
    reader.look()
    for replay in (None, everywhere(4), everywhere(4, "*/s", "*/u")):
        writer.publish(shown(9, everywhere=replay))
        assert reader.look().shown.everywhere == everywhere(5, "*/s", "*/t")
    for taken in (everywhere(4, "*/t", "*/s"), everywhere(5), None):
        writer.publish(shown(9, everywhere=taken))
        assert reader.look().shown.everywhere == taken


def test_another_regions_page_is_not_taken(path):
    writer = beating(path, shown(9, "eu/s"))
    reader = PageReader(path)
    reader.look()
    writer.publish(Shown(Table("us", 10, "p")))
    assert reader.look().shown == shown(9, "eu/s")


# Damage


def test_a_writer_killed_in_the_middle_leaves_the_last_tables_to_grow_old(path):
    writer = beating(path, shown(1, "eu/s"))
    reader = PageReader(path)
    reader.look()
    writer._words[pages._SEQUENCE] += 1
    writer._map[4096:4100] = b"torn"
    since = reader._beats
    writer.beat()
    assert reader.look().shown == shown(1, "eu/s")
    assert reader._beats == since
    assert PageReader(path).look() == NOTHING
    writer.close()
    after = PageWriter(path)
    assert after.last() is None
    after.publish(shown(2))
    assert reader.look().shown == shown(2)


GOOD = shown(4, "eu/s/support", everywhere=everywhere(3, "*/s"))


def whole_page(path):
    writer = beating(path, GOOD)
    writer.beat_global()
    writer.close()
    data = path.read_bytes()
    return data, 4096 + int.from_bytes(data[32:40], sys.byteorder)


def test_a_flipped_bit_at_any_byte_is_never_a_fresh_other_table(path, tmp_path):
    data, end = whole_page(path)
    bad = tmp_path / "bad.page"
    bad.write_bytes(data)
    with bad.open("r+b") as file:
        for at in [*range(72), *range(4096, end)]:
            for bit in (0x01, 0x80):
                os.pwrite(file.fileno(), bytes([data[at] ^ bit]), at)
                reader = PageReader(bad)
                look = reader.look()
                reader.close()
                if 8 <= at < 24:
                    assert look.shown == GOOD, "the beats' own bits say how old it is"
                else:
                    assert look == NOTHING, at
                os.pwrite(file.fileno(), data[at : at + 1], at)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=40)), min_size=1, max_size=6))
def test_whatever_is_written_over_a_page_it_raises_nothing_and_shows_nothing_else(tmp_path, writes):
    whole = tmp_path / "whole.page"
    data = bytearray(whole.read_bytes() if whole.exists() else whole_page(whole)[0])
    for at, harm in writes:
        data[at : at + len(harm)] = harm
    bad = tmp_path / "bad.page"
    bad.write_bytes(data)
    reader, writer = PageReader(bad), PageWriter(bad)
    assert reader.look().shown in (None, GOOD)
    assert writer.last() in (None, GOOD)
    reader.close()
    writer.publish(shown(5))
    assert PageReader(bad).look().shown == shown(5)
    writer.close()


def test_damage_under_a_running_reader_keeps_the_last_good_tables(path):
    writer = beating(path, shown(4, "eu/s"))
    reader = PageReader(path)
    reader.look()
    writer.publish(shown(5, "eu/s", "eu/t"))
    good = path.read_bytes()
    for at in range(4096, 4096 + 120):
        writer._map[at] ^= 0x20
        assert reader.look().shown == shown(4, "eu/s")
        writer._map[at] ^= 0x20
    assert path.read_bytes() == good
    assert reader.look().shown == shown(5, "eu/s", "eu/t")


@pytest.mark.parametrize("size", [0, 1, 8, 55, 4096, 4200, PAGE_BYTES - 1, PAGE_BYTES + 1])
def test_a_file_of_another_size_is_no_page_and_is_replaced(path, tmp_path, size):
    data, _ = whole_page(tmp_path / "whole")
    path.write_bytes((data + b"\0")[:size])
    assert PageReader(path).look() == NOTHING
    writer = PageWriter(path)
    assert writer.exists()
    assert writer.last() is None
    writer.publish(shown(1))
    assert PageReader(path).look().shown == shown(1)


def test_what_is_not_a_file_is_no_page(path):
    path.mkdir()
    assert PageReader(path).look() == NOTHING
    assert PageWriter(path).last() is None
    with pytest.raises(OSError):
        PageWriter(path).publish(shown(1))


# Sizes


def test_tables_over_the_limit_are_refused_and_the_page_stays(path):
    writer = beating(path, shown(1))
    with pytest.raises(SetupError):
        writer.publish(Shown(Table("eu", 2, "p" * (TABLE_LIMIT + 1))))
    assert PageReader(path).look().shown == shown(1)


def longest(first, region="n" * 63):
    n = "n" * 63
    return tuple(
        Switch(Scope(region, n, n, f"{i:063d}"), "maintenance", 1234567890.123456, ("k" * 64,) * 2, "e" * 64,
               "i" * 64, 1 << 53, n)
        for i in range(first, first + MAX_SWITCHES)
    )  # fmt: skip


def test_the_largest_message_and_all_that_is_kept_beside_it_have_room(path):
    kept, told = longest(0), GlobalTable("us", 1 << 53, longest(0, "*"))
    sizes = [len(msgspec.json.encode(part)) for part in (kept, told)]
    assert MESSAGE_LIMIT + sum(sizes) <= TABLE_LIMIT
    full = Shown(Table("n" * 63, 1 << 53, "f" * 64, (*longest(96), *kept), drills=longest(0)[:32]), told)
    PageWriter(path).publish(full)
    assert PageReader(path).look().shown == full


def test_the_tables_survive_their_way_through_the_page(path):
    switch = Switch(Scope("eu"), "file", 1e9 + 0.25, ("ab", "cd"), "fx-1", "inc-1", 3, "d")
    full = Shown(Table("eu", 3, "p", (switch,), {"w0": 17}, 5, (switch,)), everywhere(7, "*"))
    PageWriter(path).publish(full)
    assert PageReader(path).look().shown == full
    assert PageWriter(path).last() == full


# Two processes

WRITER = """
import sys
from pathlib import Path
from firedoor.agent.page import PageWriter
from firedoor.core.switches import GlobalTable, Scope, Shown, Switch, Table
writer = PageWriter(Path(sys.argv[1]))
for version in range(1, 4001):
    shut = tuple(Switch(Scope("eu", f"s{version}-{i}"), "leak", float(version)) for i in range(version % 60))
    writer.publish(Shown(Table("eu", version, f"{version}", shut), GlobalTable("us", version)))
    if version % 7 == 0:
        writer.beat()
        writer.beat_global()
"""


def test_two_processes_a_reader_never_sees_a_mixture(path, monkeypatch, impatient):
    monkeypatch.setattr(pages, "_REOPEN_AFTER_NS", 0)
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], env=environment())
    try:
        reader = PageReader(path)
        last, seen = 0, set()
        deadline = time.monotonic() + 60
        while last < 4000 and time.monotonic() < deadline:
            look = reader.look()
            if look.shown is None:
                continue
            now = look.shown.table
            assert look.age >= 0
            assert look.global_age >= 0
            assert look.shown.everywhere.version == now.version >= last
            assert now.plan == str(now.version)
            assert len(now.shut) == now.version % 60
            assert all(s.scope.shop.startswith(f"s{now.version}-") for s in now.shut)
            last = now.version
            seen.add(last)
        assert child.wait(30) == 0
        assert last == 4000
        assert len(seen) > 10, "the reader ran beside the writer"
    finally:
        child.kill()
        child.wait()


def test_a_worker_is_shut_by_what_the_page_shows_and_stale_without_its_beats(path):
    place, lease = Scope("eu", "s", "chat", "m"), Lease(120.0, 120.0)
    writer, reader = PageWriter(path), PageReader(path)

    def state(*scopes, **changes):
        writer.publish(structs.replace(shown(2, *scopes), **changes))
        return standing(PageReader(path).look(), lease, place).header()

    assert standing(reader.look(), lease, place).reason == "no_table"
    assert state() == "stale; v=2; reason=lease_over"
    writer.beat()
    assert state() == "stale; v=2; reason=global_lease_over"
    writer.beat_global()
    assert state() == "open; v=2"
    assert state("eu/s") == "shut; v=2; reason=leak"
    assert state(everywhere=everywhere(1, "*/s")) == "shut; v=2; reason=leak"
