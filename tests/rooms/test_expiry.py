"""Expiry on a real region: what goes, what stays, what the record says."""

import asyncio

import pytest
from tests.core.test_retention import plan
from tests.rooms.archives import ALICE, BO, NOON, Archive, Days

from firedoor.core.evidence.leaf import hour
from firedoor.core.evidence.retention import DAY, HOUR, Periods
from firedoor.errors import JournalPoisoned, SetupError
from firedoor.store.expiry import bodies_in, expire


@pytest.fixture
def region(tmp_path):
    return Archive(tmp_path)


def fill(region, *hours, surface="support"):
    """One exchange in each of these hours before noon, then a first run."""
    for back in hours:
        at = NOON - back * HOUR
        region.write(region.record(f"fx-{surface}-{back}", ALICE, at, surface))
    region.expire(3000, confirmed=True)


def test_whole_hours_go_when_their_time_is_over_and_are_on_record_first(region):
    fill(region, 2, 1, 0)
    done = region.expire(1, now=NOON - HOUR + DAY)
    assert (done.clock, done.hours, done.files, done.kept) == ("ok", 1, 1, 0)
    assert region.readable() == {"fx-support-1", "fx-support-0"}
    (record,) = region.records("expiry")
    assert record.facts == {
        "hours": [f"support/{hour(NOON - 2 * HOUR)}"], "files": 1, "bytes": done.bytes, "reason": "retention",
    }  # fmt: skip
    assert not (region.place.bodies / "support" / hour(NOON - 2 * HOUR)).exists()
    report = region.verify()
    assert sum(slot.expired for slot in report.slots) == 1
    assert region.expire(1).hours == 0  # nothing twice
    assert len(region.records("expiry")) == 1


def test_each_class_has_its_own_time(region):
    fill(region, 48)
    fill(region, 48, surface="account_chat")
    region.write(region.record("fx-op", None, NOON - 48 * HOUR, "operations"))
    fill(region, 48, surface="left_the_plan")
    periods = Periods(plan(support=1, account_chat=30, region=365), "eu")
    region.expire(3000, confirmed=True)
    done = region.act(lambda write: expire(region.archive, periods, write, now=NOON))
    assert done.hours == 1
    assert region.readable() == {"fx-account_chat-48", "fx-op", "fx-left_the_plan-48"}
    region.verify()


def test_many_hours_go_in_several_records(region):
    records = [region.record(f"fx-{back}", ALICE, NOON - back * HOUR) for back in range(450, 0, -1)]
    region.write(*records)
    region.expire(3000, confirmed=True)
    done = region.expire(1)
    written = region.records("expiry")
    assert [len(record.facts["hours"]) for record in written] == [200, 200, 26]
    assert done.hours == 426 == sum(record.facts["files"] for record in written)
    assert len(region.readable()) == 24
    region.verify()


def test_a_clock_that_went_back_expires_nothing_this_time(region):
    fill(region, 48)
    region.expire(3000, now=NOON + HOUR)
    done = region.expire(1, now=NOON)
    assert (done.clock, done.hours, done.refused) == ("back", 0, False)
    assert region.expire(1).hours == 1  # from now on this is the clock


@pytest.mark.parametrize("runs", [0, 1])
def test_a_clock_that_jumped_ahead_deletes_nothing_until_a_person_says_it_is_right(region, runs):
    """Before the first run the newest evidence says what time it was."""
    region.write(region.record("fx-1", ALICE, NOON))
    for _ in range(runs):
        region.expire(30, now=NOON + HOUR)
    for _ in range(2):  # asking twice changes nothing
        done = region.expire(30, now=NOON + 400 * DAY)
        assert (done.clock, done.hours, done.refused) == ("ahead", 0, True)
    assert region.readable() == {"fx-1"}
    done = region.expire(30, confirmed=True)
    assert (done.hours, done.refused) == (1, False)
    assert region.expire(30, now=NOON + 401 * DAY).clock == "ok"


def test_an_empty_region_has_nothing_to_expire(region):
    assert region.expire(30).clock == "ok"
    assert region.records("expiry") == []


def test_what_is_not_ours_stays(region):
    fill(region, 48)
    folder = region.place.bodies / "support" / hour(NOON - 48 * HOUR)
    (folder / "notes.txt").write_text("mine")
    (region.place.bodies / "support" / "not-an-hour").mkdir()
    (region.place.bodies / "Not A Class" / folder.name).mkdir(parents=True)
    assert region.expire(1).hours == 1
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert region.expire(1).hours == 0
    assert (region.place.bodies / "support" / "not-an-hour").is_dir()
    assert (region.place.bodies / "Not A Class" / folder.name).is_dir()


def test_a_writer_goes_on_while_older_hours_of_its_class_go(region):
    async def run():
        journal = region.journal()
        try:
            await journal.append(region.record("fx-old", ALICE, NOON - 48 * HOUR))
            await journal.append(region.record("fx-new", ALICE, NOON))
            await asyncio.to_thread(region.expire, 3000, confirmed=True)
            assert (await asyncio.to_thread(region.expire, 1)).hours == 1
            await journal.append(region.record("fx-newer", ALICE, NOON))
        finally:
            await journal.aclose()

    asyncio.run(run())
    assert region.readable() == {"fx-new", "fx-newer"}
    region.verify()


def test_the_bodies_of_a_file_are_told_by_the_journal_alone(region):
    """Two processes, two classes, torn bytes at the end, a clock that goes back into the same hour."""
    region.write(
        region.record("fx-1", ALICE), region.record("fx-2", BO, surface="account_chat"), region.record("fx-3", BO)
    )
    region.write(region.record("fx-4", ALICE), region.record("fx-5", ALICE, NOON + HOUR), region.record("fx-6", ALICE))
    folder = region.place.bodies / "support" / hour(NOON)
    files = sorted(folder.iterdir())
    with files[0].open("ab") as file:
        file.write(b"never durable")
    found = [[leaf.exchange for leaf in bodies_in(region.place.journals, path)] for path in files]
    assert found == [["fx-1", "fx-3"], ["fx-4"], ["fx-6"]]


def test_what_cannot_be_read_stays_whole_while_a_hold_may_name_it(region):
    fill(region, 48, 24)
    region.hold(exchanges=("fx-support-24",))
    journal = next(region.place.journal("w0").glob("*.journal"))
    data = bytearray(journal.read_bytes())
    data[60] ^= 1
    journal.write_bytes(data)
    done = region.expire(1, now=NOON + DAY)
    assert len(done.damaged) == 2
    assert done.hours == 0
    assert len(region.files()) == 2


@pytest.mark.parametrize("name", ["holds.json", "expiry.json"])
@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"firedoor_holds":2}', b"\xff\xfe", b'{"firedoor_expiry":1,"last":"x"}']
)
def test_with_an_unreadable_state_nothing_goes(region, name, data):
    fill(region, 48)
    (region.place.root / name).write_bytes(data)
    with pytest.raises(SetupError, match=name):
        region.expire(1)
    assert region.readable() == {"fx-support-48"}


def test_without_a_record_nothing_goes(region):
    fill(region, 48)

    def refuse(append, record):
        raise JournalPoisoned("the disk")

    with pytest.raises(JournalPoisoned):
        region.expire(1, write=refuse)
    assert region.readable() == {"fx-support-48"}
    assert region.expire(1).hours == 1


def test_a_run_that_was_cut_short_is_finished_whatever_the_clock_says(region):
    fill(region, 48)

    def cut(append, record):
        append(record)
        raise JournalPoisoned("the process ends")

    with pytest.raises(JournalPoisoned):
        region.expire(1, write=cut)
    assert region.readable() == {"fx-support-48"}
    region.verify()
    assert region.expire(3000, now=NOON - DAY).hours == 1
    assert region.files() == {}
    region.verify()


def test_days_of_the_tests_are_those_of_the_plan():
    assert Days(3).of("support") == Periods(plan(support=3, region=365), "eu").of("support")
