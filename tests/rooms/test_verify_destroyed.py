"""What verification says of bodies that were destroyed on purpose, half destroyed, or kept and then lost."""

import pytest
from tests.rooms.archives import ALICE, BO, NOON, Archive

from firedoor.core.evidence.leaf import body_file
from firedoor.core.evidence.retention import DAY, HOUR
from firedoor.store.bodies import blank
from firedoor.store.journal_verify import verify

LOST = "1 bodies are not there, and no record says that they were erased or have expired."
OTHER = "The body of record {} is not the one its leaf names."


@pytest.fixture
def region(tmp_path):
    """Alice has the even exchanges, Bo the odd ones; all in one file. fx-N is record N + 2."""
    found = Archive(tmp_path / "home")
    found.write(*(found.record(f"fx-{n}", (ALICE, BO)[n % 2], body=b"b" * 9000) for n in range(6)))
    found.expire(3000, now=NOON + 3 * HOUR)
    return found


def place(region, exchange):
    leaf = next(stored.leaf for stored in region.leaves() if stored.leaf.exchange == exchange)
    return region.place.bodies / body_file(leaf.slot, leaf.at, leaf.body), leaf.body


def lose(region, exchange, length=None):
    """Zeros from the start of a body, the whole of it or as a process leaves them that ended while it was blanking."""
    path, body = place(region, exchange)
    blank(path, [(body.offset, length or body.length)])


def problems(region):
    return [damage.problem for damage in verify(region.place.journals, region.place.bodies).damage]


def test_a_body_half_blanked_under_an_erased_key_is_no_damage(region):
    region.erase(ALICE)
    path, body = place(region, "fx-0")
    with path.open("r+b") as file:
        file.seek(body.offset + 5000)
        file.write(b"left over")
    assert problems(region) == []
    lose(region, "fx-1", 4096)
    assert problems(region) == [OTHER.format(3)]


def test_a_body_half_blanked_in_an_expired_hour_is_no_damage(region):
    region.hold(exchanges=("fx-2",))
    region.expire(1, now=NOON + DAY + HOUR)
    path, body = place(region, "fx-4")
    with path.open("r+b") as file:
        file.seek(body.offset + 5000)
        file.write(b"left over")
    assert problems(region) == []


def test_a_kept_body_that_is_lost_is_damage_though_its_hour_has_expired(region):
    region.hold(exchanges=("fx-2", "fx-3"))
    region.expire(1, now=NOON + DAY + HOUR)
    assert problems(region) == []
    lose(region, "fx-3")
    assert problems(region) == [LOST]
    lose(region, "fx-2", 4096)
    assert problems(region) == [OTHER.format(4), LOST]
    place(region, "fx-2")[0].unlink()
    assert problems(region) == [LOST, LOST]


def test_a_kept_body_goes_with_the_record_after_the_hold(region):
    region.hold(exchanges=("fx-2", "fx-3"))
    region.expire(1, now=NOON + DAY + HOUR)
    region.end()
    assert region.expire(1).hours == 1
    assert sum(slot.expired for slot in region.verify().slots) == 6


def test_an_erased_body_of_a_kept_hour_is_no_damage(region):
    region.hold(exchanges=("fx-2",))
    region.expire(1, now=NOON + DAY + HOUR)
    region.end()
    region.erase(ALICE)
    report = region.verify()
    assert sum(slot.erased for slot in report.slots) == 3
    assert sum(slot.expired for slot in report.slots) == 3
