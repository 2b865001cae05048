"""The end of a journal: read behind a known record in any segment, counted beyond the bound, bounded where damaged."""

from hashlib import sha256

import pytest
from tests.rooms.indexed import Region, first_segment

from firedoor.core.evidence.leaf import GENESIS
from firedoor.store.journal_end import LEAST_FRAME, read_end
from firedoor.store.journal_read import read
from firedoor.store.segments import segments


@pytest.fixture
def region(tmp_path):
    made = Region(tmp_path / "eu")
    writer = made.slot()
    for number in range(3):
        writer.whole(f"fx-{number}")
        writer.next_segment()
    yield made
    writer.close()


def hashes(region):
    return [GENESIS, *(sha256(stored.data).hexdigest() for stored in read(region.journals / "w0"))]


def seqs(end):
    return [leaf.seq for leaf in end.leaves]


def test_behind_every_record(region):
    known = hashes(region)
    last = len(known) - 1
    assert last == 10
    for after in range(last + 1):
        end = read_end(region.journals / "w0", after, known[after], 100)
        assert (seqs(end), end.unread, end.replaced) == (list(range(after + 1, last + 1)), 0, False)


def test_what_is_beyond_the_bound_is_counted(region):
    known = hashes(region)
    for limit in range(11):
        for after in range(11):
            end = read_end(region.journals / "w0", after, known[after], limit)
            assert len(end.leaves) == min(limit, 10 - after)
            assert end.unread == 10 - after - len(end.leaves)


@pytest.mark.parametrize("after", [1, 3, 4, 9])
def test_another_record_stands_there(region, after):
    end = read_end(region.journals / "w0", after, "ab" * 32, 100)
    assert (end.leaves, end.unread, end.replaced) == ([], 10, True)


def test_the_journal_ends_before_it(region):
    end = read_end(region.journals / "w0", 11, "ab" * 32, 100)
    assert (end.unread, end.replaced) == (10, True)
    assert read_end(region.journals / "nothing", 5, "ab" * 32, 100).replaced
    assert read_end(region.journals / "nothing", 0, GENESIS, 100) == ([], 0, False)


def test_behind_a_damaged_place_nothing_is_read_and_all_of_it_counts(region):
    second = segments(region.journals / "w0")[1]
    data = second.read_bytes()
    second.write_bytes(data[:-5] + b"?" + data[-4:])
    end = read_end(region.journals / "w0", 0, GENESIS, 100)
    assert seqs(end) == [1, 2, 3, 4, 5]
    assert end.unread == 5


def test_a_damaged_newest_segment_is_bounded_by_its_bytes(region):
    newest = segments(region.journals / "w0")[-1]
    region.slot().whole("fx-9")
    data = newest.read_bytes()
    newest.write_bytes(data[:19] + bytes(4) + b"?" + data[24:])
    end = read_end(region.journals / "w0", 0, GENESIS, 100)
    assert len(end.leaves) == 9
    assert 3 <= end.unread <= len(data) // LEAST_FRAME + 1


def test_what_was_torn_at_the_end_is_no_record(region):
    region.slot().whole("fx-9")
    newest = segments(region.journals / "w0")[-1]
    newest.write_bytes(newest.read_bytes()[:-7])
    end = read_end(region.journals / "w0", 0, GENESIS, 100)
    assert (seqs(end), end.unread) == (list(range(1, 12)), 0)


def test_a_file_that_is_only_begun(region):
    first = first_segment(region)
    first.write_bytes(b"fire")
    for path in segments(region.journals / "w0")[1:]:
        path.unlink()
    assert read_end(region.journals / "w0", 0, GENESIS, 100) == ([], 0, False)
    assert read_end(region.journals / "w0", 2, GENESIS, 100).replaced
