"""The index of exchanges on SQLite and PostgreSQL: what it says, that it can be made again, whom it forgets."""

import logging
import random
import shutil
import sqlite3
from operator import attrgetter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rooms.indexed import EPOCH, FACTS, SECOND, Region, lookup
from tests.rooms.postgres import running

from firedoor.agent.follower import Follower, bring_up_to_date
from firedoor.agent.indexer import Indexer
from firedoor.core.evidence.exchanges import fold
from firedoor.core.evidence.leaf import GENESIS
from firedoor.core.evidence.questions import Question
from firedoor.core.evidence.subjects import CELL_BYTES, EpochPrivate, Sealing, decode_cell, rewrap
from firedoor.store.index import FileIndex
from firedoor.store.index_read import open_index
from firedoor.store.index_tables import OTHER
from firedoor.store.journal_read import read
from firedoor.store.state import open_state


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def region(request, tmp_path):
    where = request.getfixturevalue("server").database() if request.param == "postgresql" else None
    made = Region(tmp_path / "eu", where)
    yield made
    for writer in made.writers.values():
        writer.close()


def index(region):
    bring_up_to_date(region.place, region.slots, "eu")


def ask(region, limit=1000, **question):
    reader = open_index(region.where, "eu")
    try:
        return reader.find(Question(**question), limit)
    finally:
        reader.close()


def count(region, **question):
    reader = open_index(region.where, "eu")
    try:
        return reader.summary(Question(**question))
    finally:
        reader.close()


def ids(found):
    return [one.exchange for one in found]


class TestRows:
    def test_an_exchange(self, region):
        writer = region.slot()
        writer.write("intent", at=1000, subject=7, session="5" * 32, minimised={"EMAIL": 2, "IBAN": 1})
        writer.write("progress", at=1001, subject=7, released=40)
        writer.write(
            "outcome", at=1002, subject=7, outcome="minimised", reason=None, released=90, restored={"EMAIL": 1}
        )
        index(region)
        (found,) = ask(region)
        assert (found.exchange, found.began, found.last) == ("fx-1", 1000 * SECOND, 1002 * SECOND)
        assert (found.shop, found.surface, found.model) == ("alpenladen", "support", "eu-chat")
        assert (found.jurisdiction, found.credential, found.plan) == ("DE", "c-1", "0123456789abcdef")
        assert (found.subject, found.erased, found.called) == (lookup(7), False, True)
        assert found.session == writer.keys[7].pseudonym("session", "5" * 32)
        assert (found.outcome, found.reason, found.released) == ("minimised", "", 90)
        assert (found.present, found.restored, found.findings) == (["EMAIL", "IBAN"], ["EMAIL"], [])
        assert (found.slot, found.first_seq, found.last_seq) == ("w0", 2, 4)

    def test_a_recovered_outcome_adds_only_what_it_knows(self, region):
        writer = region.slot()
        writer.write("intent", at=1000, subject=1)
        index(region)
        assert ask(region)[0].outcome == "open"
        writer.write("outcome", at=5000, facts={"outcome": "unknown", "reason": "recovered"})
        index(region)
        (found,) = ask(region)
        assert (found.outcome, found.reason, found.shop, found.subject) == (
            "unknown",
            "recovered",
            "alpenladen",
            lookup(1),
        )

    def test_findings_of_an_exchange_and_of_none(self, region):
        writer = region.slot()
        writer.whole("fx-1")
        writer.write("finding", "fx-1", 1000, rule="honeytoken", verdict="shut")
        writer.write("finding", "fx-1", 1000, rule="honeytoken", verdict="shut")
        writer.write("finding", "", 1000, rule="undeclared_flow", verdict="flag")
        writer.whole("fx-2")
        index(region)
        assert [(one.exchange, one.findings) for one in ask(region)] == [("fx-1", ["honeytoken"]), ("fx-2", [])]
        assert count(region).findings == {"honeytoken": 1}
        assert ids(ask(region, finding="honeytoken")) == ["fx-1"]
        assert ids(ask(region, finding="undeclared_flow")) == []
        assert ids(ask(region, finding="never_seen")) == []

    def test_more_labels_than_bits_share_the_last(self, region):
        writer = region.slot()
        for number in range(70):
            writer.whole(f"fx-{number}", minimised={f"L{number:02}": 1})
        index(region)
        found = {one.exchange: one.present for one in ask(region)}
        assert found["fx-61"] == ["L61"]
        assert found["fx-62"] == found["fx-69"] == [OTHER]
        assert count(region).categories == {**{f"L{n:02}": 1 for n in range(62)}, OTHER: 8}
        assert len(ask(region, category=OTHER)) == 8
        assert ask(region, category="L65") == []
        assert ids(ask(region, category="L07")) == ["fx-7"]


class TestQuestions:
    @pytest.fixture
    def region(self, region):
        one, other = region.slot("w0"), region.slot("w1")
        one.whole("fx-1", 1000, 10, "answered", subject=1)
        one.whole("fx-2", 1100, 10, "minimised", subject=1, minimised={"EMAIL": 1})
        other.whole("fx-3", 1200, 10, "fallback", subject=2, jurisdiction="FR", surface="account_chat")
        other.whole("fx-4", 1300, 10, "answered", jurisdiction=None, minimised={"EMAIL": 1, "IBAN": 1})
        one.write("intent", "fx-5", 1400, subject=3, shop="mode", model="eu-2")
        other.write("finding", "fx-4", 1300, rule="partial_value", verdict="cut")
        index(region)
        return region

    @pytest.mark.parametrize(
        ("question", "found"),
        [
            ({}, "54321"),
            ({"shop": "alpenladen"}, "4321"),
            ({"shop": "mode", "model": "eu-2"}, "5"),
            ({"shop": "mode", "model": "eu-chat"}, ""),
            ({"surface": "account_chat"}, "3"),
            ({"jurisdiction": "FR"}, "3"),
            ({"category": "EMAIL"}, "42"),
            ({"category": "IBAN"}, "4"),
            ({"category": "PHONE"}, ""),
            ({"outcome": "answered"}, "41"),
            ({"outcome": "open"}, "5"),
            ({"outcome": "cut"}, ""),
            ({"subject": lookup(1)}, "21"),
            ({"subject": lookup(9)}, ""),
            ({"since": 1111 * SECOND}, "543"),
            ({"since": 1110 * SECOND}, "5432"),
            ({"until": 1200 * SECOND}, "21"),
            ({"until": 1200 * SECOND + 1}, "321"),
            ({"since": 1205 * SECOND, "until": 1206 * SECOND}, "3"),
            ({"since": 2000 * SECOND}, "5"),
            ({"since": 2301 * SECOND}, ""),
            ({"finding": "partial_value"}, "4"),
            ({"finding": "partial_value", "shop": "mode"}, ""),
        ],
    )
    def test_which_exchanges(self, region, question, found):
        assert ids(ask(region, **question)) == [f"fx-{digit}" for digit in found]
        assert count(region, **question).exchanges == len(found)

    def test_newest_first_and_limited(self, region):
        assert ids(ask(region, limit=2)) == ["fx-5", "fx-4"]

    def test_who_is_affected(self, region):
        counts = count(region, until=1290 * SECOND)
        assert (counts.exchanges, counts.called, counts.subjects) == (3, 3, 2)
        assert (counts.no_subject, counts.erased, counts.unknown_subject) == (0, 0, 0)
        assert counts.jurisdictions == {"DE": 2, "FR": 1}
        assert counts.categories == {"EMAIL": 1}
        assert counts.outcomes == {"answered": 1, "fallback": 1, "minimised": 1}
        assert counts.findings == {}

    def test_what_is_not_known_is_counted_apart(self, region):
        counts = count(region, since=1290 * SECOND)
        assert (counts.exchanges, counts.subjects, counts.no_subject) == (2, 1, 1)
        assert counts.jurisdictions == {"DE": 1, "unknown": 1}
        assert counts.outcomes == {"answered": 1, "open": 1}
        assert counts.findings == {"partial_value": 1}

    def test_nothing_is_no_error(self, region):
        counts = count(region, shop="nobody")
        assert (counts.exchanges, counts.subjects, counts.outcomes) == (0, 0, {})

    def test_how_far_it_was_read(self, region):
        reader = open_index(region.where, "eu")
        assert reader.read_up_to() == {"w0": region.slot("w0").scribe.seq, "w1": region.slot("w1").scribe.seq}
        reader.close()


class TestSubjects:
    def test_keys_of_one_subject_are_one_subject(self, region):
        for name in ("w0", "w1"):
            region.slot(name).whole(f"fx-{name}", subject=1)
        region.slot("w0").new_key(1)  # it was forgotten by the worker, and minted anew
        region.slot("w0").whole("fx-again", subject=1)
        index(region)
        assert count(region).subjects == 1
        assert len(ask(region, subject=lookup(1))) == 3

    def test_erasure_forgets_whose_exchanges_they_were(self, region):
        writer = region.slot()
        writer.whole("fx-1", subject=1)
        writer.whole("fx-2", subject=2)
        index(region)
        writer.write("erasure", "", facts={"keys": [writer.keys[1].id]})
        index(region)
        assert {one.exchange: (one.subject, one.erased) for one in ask(region)} == {
            "fx-1": (None, True), "fx-2": (lookup(2), False),
        }  # fmt: skip
        counts = count(region)
        assert (counts.exchanges, counts.subjects, counts.erased, counts.unknown_subject) == (2, 1, 1, 0)
        assert ask(region, subject=lookup(1)) == []
        bring_up_to_date(region.place, region.slots, "eu", rebuild=True)  # its cell is still there: a backup came back
        assert ask(region, subject=lookup(1)) == []

    def test_a_cell_that_comes_later_brings_no_erased_subject_back(self, region):
        writer = region.slot()
        key = writer.new_key(1)
        cells = writer.cells.read_bytes()
        writer.cells.write_bytes(b"")
        writer.write("erasure", "", facts={"keys": [key.id]})
        index(region)
        writer.cells.write_bytes(cells)
        writer.whole("fx-1", subject=1)
        writer.whole("fx-2", subject=2)
        index(region)
        assert {one.exchange: one.subject for one in ask(region)} == {"fx-1": None, "fx-2": lookup(2)}

    def test_erased_before_it_was_indexed(self, region):
        writer = region.slot()
        writer.whole("fx-1", subject=1)
        writer.cells.write_bytes(bytes(CELL_BYTES))
        writer.write("erasure", "", facts={"keys": [writer.keys[1].id]})
        index(region)
        counts = count(region)
        assert (counts.exchanges, counts.subjects, counts.erased, counts.unknown_subject) == (1, 0, 1, 0)

    def test_a_key_without_a_cell_is_an_unknown_subject_until_the_cell_is_found(self, region):
        writer = region.slot()
        writer.whole("fx-0", subject=1)
        writer.new_key(2, cell=False)
        writer.whole("fx-1", subject=2)
        index(region)
        counts = count(region)
        assert (counts.subjects, counts.unknown_subject, counts.no_subject, counts.erased) == (1, 1, 0, 0)
        writer.add_cell(decode_cell(cell_of(writer.keys[2].id, 2)))
        writer.whole("fx-2", subject=3)  # something new makes it look
        index(region)
        counts = count(region)
        assert (counts.subjects, counts.unknown_subject) == (3, 0)

    def test_cells_carried_over_to_a_new_epoch(self, region):
        writer = region.slot()
        writer.whole("fx-1", subject=1)
        index(region)
        new = Sealing(EpochPrivate("eu", 2, bytes(32)).public, bytes(range(32)))
        moved = rewrap(decode_cell(writer.cells.read_bytes()), EPOCH, new)
        (region.subjects / "2").mkdir()
        (region.subjects / "2" / "carried.cells").write_bytes(moved.encode())
        shutil.rmtree(region.subjects / "1")
        writer.cells = region.subjects / "2" / "w0.cells"
        writer.whole("fx-2", subject=2)
        index(region)
        assert count(region).subjects == 2
        bring_up_to_date(region.place, region.slots, "eu", rebuild=True)
        assert count(region).subjects == 2

    def test_cells_that_a_power_cut_took_and_others_in_their_place(self, region):
        writer = region.slot()
        for subject in (1, 2):
            writer.whole(f"fx-{subject}", subject=subject)
        index(region)
        writer.cells.write_bytes(writer.cells.read_bytes()[:CELL_BYTES])  # same file, the second cell is lost
        writer.whole("fx-3", subject=3)
        index(region)
        assert count(region).subjects == 3

    def test_a_damaged_cell_is_skipped_and_said(self, region, caplog):
        writer = region.slot()
        writer.whole("fx-1", subject=1)
        writer.cells.write_bytes(writer.cells.read_bytes()[:-1] + b"?" + b"part of a cell")
        writer.cells = writer.cells.with_name("w0b.cells")
        writer.whole("fx-2", subject=2)
        index(region)
        counts = count(region)
        assert (counts.subjects, counts.unknown_subject) == (1, 1)
        assert "1 key cells of 1/w0.cells are damaged" in caplog.text

    def test_what_was_erased_is_in_no_file(self, tmp_path):
        region = Region(tmp_path / "eu")
        writer = region.slot()
        number = random.Random(1).getrandbits(120)
        writer.whole("fx-1", subject=number)
        live = region.place.open()
        follower = Follower(live, region.slots, "eu")
        follower.catch_up()
        shutil.copy(region.where, region.where.with_name("state.sqlite.damaged"))  # as `set_aside` leaves one
        files = sorted(region.folder.glob("state.sqlite*"))
        assert any(lookup(number).encode() in file.read_bytes() for file in files)
        writer.write("erasure", "", facts={"keys": [writer.keys[number].id]})
        follower.catch_up()
        assert not any(lookup(number).encode() in file.read_bytes() for file in region.folder.glob("state.sqlite*"))
        follower.close()
        live.close()
        writer.close()


def cell_of(key_id, subject):
    """A cell with this id; what it seals does not matter to the index."""
    from firedoor.core.evidence.subjects import WRAPPED_BYTES, Cell

    return Cell(key_id, lookup(subject), 0, bytes(WRAPPED_BYTES)).encode()


class TestFollowing:
    def test_slots_that_appear_later_and_segments(self, region):
        live = region.place.open()
        follower = Follower(live, region.slots, "eu")
        assert follower.catch_up() == 0
        writer = region.slot("w0")
        writer.whole("fx-1")
        writer.next_segment()
        writer.whole("fx-2")
        assert follower.catch_up() == 6
        region.slot("w1").whole("fx-3")
        assert follower.catch_up() == 3
        assert live.positions()["w0"][0] == 6
        follower.close()
        live.close()
        assert len(ask(region)) == 3

    @pytest.mark.parametrize("how", ["shorter", "other", "same length"])
    def test_a_replaced_journal_is_indexed_from_its_start(self, region, caplog, how):
        region.slot("w0").whole("fx-1", subject=1)
        region.slot("w0").write("finding", "fx-1", rule="leak", verdict="shut")
        region.slot("w1").whole("fx-2")
        index(region)
        region.slot("w0").close()
        shutil.rmtree(region.journals / "w0")
        del region.writers["w0"]
        writer = region.slot("w0")
        if how != "shorter":
            writer.whole("fx-8", outcome="cut")
        if how == "other":
            writer.whole("fx-9")
            writer.whole("fx-10")
        with caplog.at_level(logging.WARNING):
            index(region)
        assert "indexed from its start" in caplog.text
        expected = {"shorter": set(), "other": {"fx-8", "fx-9", "fx-10"}, "same length": {"fx-8"}}[how]
        assert set(ids(ask(region))) == {"fx-2"} | expected
        assert count(region).findings == {}

    def test_replaced_while_it_is_followed(self, region, caplog):
        region.slot("w0").whole("fx-1")
        live = region.place.open()
        follower = Follower(live, region.slots, "eu")
        follower.catch_up()
        region.slot("w0").close()
        (region.journals / "w0").rename(region.folder / "old")
        del region.writers["w0"]
        region.slot("w0").whole("fx-2")
        follower.catch_up()
        follower.close()
        live.close()
        assert ids(ask(region)) == ["fx-2"]

    def test_a_slot_that_is_gone_keeps_its_rows(self, region):
        region.slot("w0").whole("fx-1")
        index(region)
        (region.journals / "w0").rename(region.folder / "old")
        index(region)
        assert ids(ask(region)) == ["fx-1"]

    def test_a_damaged_slot_stops_only_itself(self, region, caplog):
        region.slot("w0").whole("fx-1")
        region.slot("w0").whole("fx-2")
        region.slot("w1").whole("fx-3")
        (path,) = (region.journals / "w0").glob("*.journal")
        good = path.read_bytes()
        path.write_bytes(good[:-30] + b"?" + good[-29:])
        assert bring_up_to_date(region.place, region.slots, "eu") == ("w0",)
        assert "slot w0 cannot be read on" in caplog.text
        assert "fx-3" in ids(ask(region))
        path.write_bytes(good)
        assert bring_up_to_date(region.place, region.slots, "eu") == ()
        assert sorted(ids(ask(region))) == ["fx-1", "fx-2", "fx-3"]

    def test_another_regions_journal_is_refused(self, region):
        region.slot("w0", region="us").whole("fx-1")
        assert bring_up_to_date(region.place, region.slots, "eu") == ("w0",)
        assert ask(region) == []

    def test_a_folder_that_is_no_slot_is_refused(self, region):
        (region.journals / "Not a slot").mkdir()
        assert bring_up_to_date(region.place, region.slots, "eu") == ("Not a slot",)


class TestRebuild:
    def test_readers_see_the_old_index_until_the_new_one_is_whole(self, region):
        for number in range(20):
            region.slot("w0").whole(f"fx-{number}", subject=number % 3)
        index(region)
        before = ask(region)
        live = region.place.open()
        fresh = live.fresh()
        follower = Follower(fresh, region.slots, "eu")
        assert follower.step(10) > 0
        assert ask(region) == before
        follower.catch_up()
        assert ask(region) == before
        live.replace_by(fresh)
        assert ask(region) == before
        follower.close()
        region.slot("w0").whole("fx-new")
        after = Follower(live, region.slots, "eu")
        assert after.catch_up() == 2
        after.close()
        live.close()
        assert len(ask(region)) == 21

    def test_it_mends_what_was_changed_by_hand_and_can_be_repeated(self, region):
        region.slot("w0").whole("fx-1")
        index(region)
        state = open_state(region.where, "eu")
        with state.writing() as connection:
            connection.exec_driver_sql("UPDATE exchanges SET released = 99")
        state.close()
        assert ask(region)[0].released == 99
        for _ in range(3):
            bring_up_to_date(region.place, region.slots, "eu", rebuild=True)
            assert ask(region)[0].released == 0

    def test_a_rebuild_that_was_cut_short_is_begun_anew(self, region):
        region.slot("w0").whole("fx-1")
        index(region)
        live = region.place.open()
        follower = Follower(live.fresh(), region.slots, "eu")
        follower.catch_up()
        follower.close()
        live.close()
        bring_up_to_date(region.place, region.slots, "eu", rebuild=True)
        assert ids(ask(region)) == ["fx-1"]

    def test_a_rebuild_that_was_cut_short_keeps_no_pseudonym_and_is_asked_for_again(self, tmp_path):
        """Erasing reaches the index in use only: what a killed rebuild left behind must not outlive it."""
        region = Region(tmp_path / "eu")
        writer = region.slot()
        number = random.Random(2).getrandbits(120)
        writer.whole("fx-1", subject=number)
        index(region)
        live = region.place.open()
        follower = Follower(live.fresh(), region.slots, "eu")
        follower.catch_up()
        follower.close()
        live.close()  # and nothing more: the process was killed
        writer.write("erasure", "", facts={"keys": [writer.keys[number].id]})
        index(region)
        assert not any(lookup(number).encode() in file.read_bytes() for file in region.folder.glob("state.sqlite*"))
        assert region.place.rebuild_wanted()
        writer.close()

    @pytest.mark.parametrize("by", ["the agent", "the command"])
    def test_a_rebuild_that_is_given_up_leaves_nothing(self, region, by):
        writer = region.slot("w0")
        writer.whole("fx-1", subject=1)
        index(region)
        (path,) = (region.journals / "w0").glob("*.journal")
        data = path.read_bytes()
        path.write_bytes(data[:60] + b"?" + data[61:])
        if by == "the agent":
            indexer = Indexer(region.place, region.slots, "eu")
            indexer.rebuild()
            while indexer.work():
                pass
            indexer.close()
        else:
            bring_up_to_date(region.place, region.slots, "eu", rebuild=True)
        live = region.place.open()
        assert not live.drop_fresh()
        live.close()
        assert not region.place.rebuild_wanted()

    def test_no_rebuild_from_a_damaged_journal(self, region, caplog):
        writer = region.slot("w0")
        writer.whole("fx-1")
        index(region)
        (path,) = (region.journals / "w0").glob("*.journal")
        data = path.read_bytes()
        path.write_bytes(data[:60] + b"?" + data[61:])
        assert bring_up_to_date(region.place, region.slots, "eu", rebuild=True) == ("w0",)
        assert ids(ask(region)) == ["fx-1"]

    def test_the_indexer_goes_on_with_the_present_index_meanwhile(self, region):
        for number in range(300):
            region.slot("w0").whole(f"fx-{number}")
        indexer = Indexer(region.place, region.slots, "eu")
        while indexer.work():
            pass
        region.place.ask_rebuild()
        indexer.work()
        assert indexer.status.rebuilding
        region.slot("w0").whole("fx-late")
        while indexer.status.rebuilding:
            assert len(ask(region)) in (300, 301)
            indexer.work()
        while indexer.work():
            pass
        assert indexer.status.problem is None
        indexer.close()
        assert len(ask(region)) == 301
        assert not region.place.rebuild_wanted()


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["w0", "w1"]),
        st.sampled_from(["intent", "progress", "outcome", "finding", "erasure"]),
        st.integers(0, 4),
        st.integers(1000, 1010),
        st.sampled_from([None, 1, 2, 3]),
        st.sampled_from(["answered", "cut", "unknown"]),
        st.dictionaries(st.sampled_from(["EMAIL", "IBAN", "PHONE"]), st.integers(0, 2), max_size=2),
        st.booleans(),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, st.randoms(use_true_random=False))
def test_any_batches_any_order_of_slots_any_repetition_give_the_same_index(tmp_path_factory, operations, chance):
    region = Region(tmp_path_factory.mktemp("any") / "eu")
    for slot, kind, number, at, subject, outcome, labels, placed in operations:
        writer = region.slot(slot)
        if kind == "erasure":
            writer.write("erasure", "", at, facts={"keys": [key.id for key in writer.keys.values()][:1]})
            continue
        facts = {**(FACTS if placed else {}), "minimised": labels, "released": number * 10}
        if kind == "outcome":
            facts |= {"outcome": outcome, "reason": None}
        writer.write(kind, f"fx-{number}", at, subject, facts={**facts, "rule": "r", "verdict": "v"})
    index(region)
    expected = sorted(ask(region), key=attrgetter("exchange", "slot"))
    (region.folder / "state.sqlite").unlink()
    state = open_state(region.where, "eu")
    target = FileIndex(state, region.subjects)
    left = {slot: [stored.leaf for stored in read(region.journals / slot)] for slot in region.writers}
    done = {slot: [] for slot in left}
    while any(left.values()):
        slot = chance.choice([name for name in left if left[name]])
        size = chance.randint(1, 4)
        batch, left[slot] = left[slot][:size], left[slot][size:]
        target.apply(fold(batch), {slot: (batch[-1].seq, GENESIS)})
        done[slot].append(batch)
        if chance.random() < 0.4:  # again, as after a crash that kept the rows and lost the position
            again = chance.choice(done[slot])
            target.apply(fold(again), {slot: (batch[-1].seq, GENESIS)})
    state.close()
    for writer in region.writers.values():
        writer.close()
    assert sorted(ask(region), key=attrgetter("exchange", "slot")) == expected


def test_the_file_is_private(tmp_path):
    region = Region(tmp_path / "eu")
    index(region)
    assert {oct(path.stat().st_mode & 0o777) for path in region.folder.glob("state.sqlite*")} == {"0o600"}
    assert sqlite3.connect(region.where).execute("PRAGMA journal_mode").fetchone() == ("wal",)
