import math
import os
import subprocess
import sys
import time

import msgspec
import pytest

from firedoor.agent import page as pages
from firedoor.agent.page import PAGE_BYTES, TABLE_LIMIT, PageReader, PageWriter
from firedoor.core.switches import Scope, Switch, Table
from firedoor.errors import SetupError


def table(version, *scopes):
    return Table("eu", version, "p", tuple(Switch(Scope.parse(s), "leak", 1.5, ("firedoor",)) for s in scopes))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "switches.page"


@pytest.fixture
def impatient(monkeypatch):
    """A reader that looks for a replaced file at every look after a missed beat."""
    monkeypatch.setattr(pages, "REOPEN_EVERY", 0)


def age_beat(path, seconds):
    """Make the page's last beat older, as if the writer had stopped."""
    data = bytearray(path.read_bytes())
    beat = int.from_bytes(data[16:24], sys.byteorder) - int(seconds * 1e9)
    with path.open("r+b") as file:
        file.seek(16)
        file.write(beat.to_bytes(8, sys.byteorder))


def test_what_is_published_is_seen_and_beats_keep_it_young(path):
    writer, reader = PageWriter(path), PageReader(path)
    assert reader.look() == (None, math.inf)
    writer.publish(table(1))
    reader = PageReader(path)
    seen, age = reader.look()
    assert seen == table(1)
    assert 0 <= age < 2
    age_beat(path, 5)
    assert reader.look()[1] > 5
    writer.beat()
    assert reader.look()[1] < 2
    writer.publish(table(2, "eu/s"))
    assert reader.look()[0] == table(2, "eu/s")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_page_made_later_is_found(path, impatient):
    reader = PageReader(path)
    assert reader.look() == (None, math.inf)
    PageWriter(path).publish(table(3))
    assert reader.look()[0] == table(3)


def test_a_writer_that_comes_back_goes_on_in_the_same_file(path):
    first = PageWriter(path)
    first.publish(table(1))
    reader = PageReader(path)
    reader.look()
    inode = path.stat().st_ino
    first.close()
    second = PageWriter(path)
    assert second.last() == table(1)
    second.publish(table(2))
    assert path.stat().st_ino == inode
    assert reader.look()[0] == table(2)


def test_a_replaced_file_is_followed_once_the_old_one_is_silent(path, impatient):
    writer = PageWriter(path)
    writer.publish(table(1))
    reader = PageReader(path)
    reader.look()
    path.rename(path.with_suffix(".old"))
    assert writer.lost()
    writer.publish(table(2))
    assert not writer.lost()
    age_beat(path.with_suffix(".old"), 5)
    assert reader.look()[0] == table(2)


def test_an_older_version_is_a_replay_and_refreshes_nothing(path, impatient):
    writer = PageWriter(path)
    writer.publish(table(9, "eu/s"))
    reader = PageReader(path)
    assert reader.look()[0] == table(9, "eu/s")
    writer.publish(table(8))
    seen, _ = reader.look()
    assert seen == table(9, "eu/s")
    age_beat(path, 0)
    writer.beat()
    kept_since = reader._beat
    reader.look()
    assert reader._beat == kept_since, "beats of a page that was not taken make nothing younger"


def test_a_different_table_under_the_same_version_is_not_taken(path):
    writer = PageWriter(path)
    writer.publish(table(9, "eu/s"))
    reader = PageReader(path)
    reader.look()
    writer.publish(table(9))
    assert reader.look()[0] == table(9, "eu/s")


def test_beats_of_another_boot_mean_nothing(path, monkeypatch):
    monkeypatch.setattr(pages, "boot_id", lambda: b"an earlier boot!")
    PageWriter(path).publish(table(1))
    monkeypatch.undo()
    assert PageReader(path).look() == (None, math.inf)


def test_a_beat_in_the_future_is_no_beat(path):
    PageWriter(path).publish(table(1))
    reader = PageReader(path)
    reader.look()
    age_beat(path, -60)
    seen, age = reader.look()
    assert seen == table(1)
    assert age == math.inf


def test_a_writer_killed_in_the_middle_leaves_the_last_table_to_grow_old(path):
    writer = PageWriter(path)
    writer.publish(table(1, "eu/s"))
    reader = PageReader(path)
    reader.look()
    sequence = writer._words[pages._SEQUENCE]
    writer._words[pages._SEQUENCE] = sequence + 1
    writer._map[4096:4100] = b"torn"
    beat = reader._beat
    writer.beat()
    assert reader.look()[0] == table(1, "eu/s")
    assert reader._beat == beat
    assert PageReader(path).look() == (None, math.inf)
    writer.close()
    after = PageWriter(path)
    assert after.last() is None
    after.publish(table(2))
    assert reader.look()[0] == table(2)


def whole_page(path):
    PageWriter(path).publish(table(4, "eu/s/support"))
    data = path.read_bytes()
    used = 4096 + int.from_bytes(data[24:32], sys.byteorder)
    return data, [*range(8, 56), *range(4096, used)]


def test_a_flipped_bit_at_any_byte_is_never_a_fresh_other_table(path, tmp_path):
    data, places = whole_page(path)
    good = table(4, "eu/s/support")
    bad = tmp_path / "bad.page"
    bad.write_bytes(data)
    for at in [*range(8), *places]:
        for bit in (0x01, 0x80):
            with bad.open("r+b") as file:
                file.seek(at)
                file.write(bytes([data[at] ^ bit]))
            reader = PageReader(bad)
            seen, age = reader.look()
            reader.close()
            assert seen in (None, good), at
            if 16 <= at < 24:
                assert seen == good, "the beat's own bits say how old it is"
            else:
                assert (seen, age) == (None, math.inf), at
            with bad.open("r+b") as file:
                file.seek(at)
                file.write(data[at : at + 1])


def test_damage_under_a_running_reader_keeps_the_last_good_table(path):
    writer = PageWriter(path)
    writer.publish(table(4, "eu/s"))
    reader = PageReader(path)
    reader.look()
    writer.publish(table(5, "eu/s", "eu/t"))
    good = path.read_bytes()
    for at in range(4096, 4096 + 120):
        writer._map[at] ^= 0x20
        assert reader.look()[0] == table(4, "eu/s")
        writer._map[at] ^= 0x20
    assert path.read_bytes() == good
    assert reader.look()[0] == table(5, "eu/s", "eu/t")


@pytest.mark.parametrize("size", [0, 1, 8, 55, 4096, 4200, PAGE_BYTES - 1, PAGE_BYTES + 1])
def test_a_file_of_another_size_is_no_page_and_is_replaced(path, tmp_path, size):
    data, _ = whole_page(tmp_path / "whole")
    path.write_bytes((data + b"\0")[:size])
    assert PageReader(path).look() == (None, math.inf)
    writer = PageWriter(path)
    assert writer.exists()
    assert writer.last() is None
    writer.publish(table(1))
    assert PageReader(path).look()[0] == table(1)


def test_what_is_not_a_file_is_no_page(path):
    path.mkdir()
    assert PageReader(path).look() == (None, math.inf)
    assert PageWriter(path).last() is None
    with pytest.raises(OSError):
        PageWriter(path).publish(table(1))


def test_a_table_over_the_limit_is_refused_and_the_page_stays(path):
    writer = PageWriter(path)
    writer.publish(table(1))
    huge = Table("eu", 2, "p" * (TABLE_LIMIT + 1))
    with pytest.raises(SetupError):
        writer.publish(huge)
    assert PageReader(path).look()[0] == table(1)


WRITER = """
import sys
from pathlib import Path
from firedoor.agent.page import PageWriter
from firedoor.core.switches import Scope, Switch, Table
writer = PageWriter(Path(sys.argv[1]))
for version in range(1, 4001):
    shut = tuple(Switch(Scope("eu", f"s{version}-{i}"), "leak", float(version), ("firedoor",)) for i in range(version % 60))
    writer.publish(Table("eu", version, f"{version}", shut))
    if version % 7 == 0:
        writer.beat()
"""


def test_two_processes_a_reader_never_sees_a_mixture(path, monkeypatch, impatient):
    monkeypatch.setattr(pages, "REOPEN_AFTER", 0)
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        reader = PageReader(path)
        last, seen = 0, set()
        deadline = time.monotonic() + 60
        while last < 4000 and time.monotonic() < deadline:
            now, age = reader.look()
            if now is None:
                continue
            assert age >= 0
            assert now.version >= last
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


def test_the_table_survives_its_way_through_the_page(path):
    full = Table("eu", 3, "p", (Switch(Scope("eu"), "file", 1e9 + 0.25, ("ana", "ben"), "fx-1"),), {"w0": 17}, 5)
    PageWriter(path).publish(full)
    assert PageReader(path).look()[0] == full
    assert msgspec.json.decode(msgspec.json.encode(full), type=Table) == full
