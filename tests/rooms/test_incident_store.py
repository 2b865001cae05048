"""The durable cases: whole or not at all, sealed, each row in its place, on SQLite and on PostgreSQL."""

import contextlib
import threading

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.incident.entries import AUTOMATIC, Correction, Entry, MomentSet, Noted
from firedoor.errors import FiredoorError, SetupError, StateDamaged
from firedoor.keys.derive import SealingBox
from firedoor.ports.incidents import StoredCase
from firedoor.store import incident_messages, incidents
from firedoor.store.controldb import STEPS, ControlReader
from firedoor.store.controlstate import ControlState
from firedoor.store.incident_messages import MESSAGE_LIMIT
from firedoor.store.incidents import ENTRY_LIMIT, IncidentReader, IncidentStore
from firedoor.store.state_connect import writer

from .controlstates import open_control_state, pending, stored, version_of
from .incidentstores import AT, BOX, CASE, SECRET, add, case_of, found, message, noted, opened, opened_store
from .postgres import running


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("server").database()
    return tmp_path / "control.sqlite"


@contextlib.contextmanager
def behind(where):
    """The database behind the back of whoever has it open."""
    url = f"sqlite:///{where}" if not isinstance(where, str) else where.replace("postgresql:", "postgresql+psycopg:")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def change(where, *statements):
    with behind(where) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


class TestEntries:
    def test_what_was_appended_is_there_after_closing(self, where):
        entries = [opened(), noted(2), found(3)]
        with opened_store(where) as store:
            assert (store.cases(), store.entries(CASE), store.cursors()) == ([], [], {})
            add(store, *entries[:2], cursors={"w0": 5, "control": 9})
            add(store, entries[2], cursors={"w0": 7})
            assert store.entries(CASE) == entries
        with opened_store(where) as store:
            assert store.entries(CASE) == entries
            assert store.cases() == [StoredCase(CASE, AT, True, 3)]
            assert store.cursors() == {"w0": 7, "control": 9}

    def test_cases_are_listed_oldest_first_with_whether_they_ended(self, where, monkeypatch):
        monkeypatch.setattr(incidents, "LISTED", 2)
        with opened_store(where) as store:
            for name, at in (("c", 3), ("a", 2), ("d", 2), ("b", 9), ("e", 1)):
                add(store, opened(name, AT + at))
            add(store, found(2, "a", AT + 2), ended={"a": True, "b": True})
            add(store, ended={"b": False})
            assert [(one.id, one.open, one.entries) for one in store.cases()] == [
                ("e", True, 1), ("a", False, 2), ("d", True, 1), ("c", True, 1), ("b", True, 1),
            ]  # fmt: skip

    def test_a_long_case_is_read_in_batches_and_may_grow_meanwhile(self, where, monkeypatch):
        monkeypatch.setattr(incidents, "BATCH", 7)
        entries = case_of(30)
        with opened_store(where) as store:
            add(store, *entries)
            assert store.entries(CASE) == entries
            real, grown = store._entry, []

            def grow(row):
                if not grown:
                    grown.append(True)
                    add(store, found(31))
                return real(row)

            # the connection is free while a batch is looked at
            store._entry = grow
            assert store.entries(CASE) == entries
            store._entry = real
            assert len(store.entries(CASE)) == 31

    def test_an_entry_that_is_there_is_left_as_it_is(self, where):
        with opened_store(where) as store:
            add(store, opened(), found(2), messages=[message(2)])
            store.recorded([opened()])
            store.sent(message(2))
            add(store, opened(), found(2), cursors={"w0": 3}, messages=[message(2)])
            assert store.entries(CASE) == [opened(), found(2)]
            assert store.unrecorded(10) == [found(2)]
            assert store.messages("pager", 10) == [], "it came with the entries, and was sent"
            add(store, found(2), found(3), messages=[message(3)])
            assert [entry.number for entry in store.entries(CASE)] == [1, 2, 3]
            assert store.messages("pager", 10) == [message(3)]

    @pytest.mark.parametrize(
        "entries",
        [
            [structs.replace(found(2), at=AT + 99)],
            [structs.replace(found(2), by="hook:pager")],
            [found(4)],
            [found(3), found(5)],
            [found(3), found(3)],
            [opened(title="Another")],
            [found(2, "other")],
        ],
        ids=["at", "by", "a gap", "a gap within", "twice", "another first", "no first"],
    )
    def test_what_does_not_fit_is_refused_and_changes_nothing(self, where, entries):
        with opened_store(where) as store:
            add(store, opened(), found(2), cursors={"w0": 1})
            with pytest.raises(StateDamaged):
                add(store, *entries, cursors={"w0": 2}, ended={CASE: True}, messages=[message(9)])
            assert store.entries(CASE) == [opened(), found(2)]
            assert store.cases() == [StoredCase(CASE, AT, True, 2)]
            assert (store.cursors(), store.messages("pager", 9)) == ({"w0": 1}, [])

    def test_of_a_case_that_is_not_there_nothing_is_noted(self, where):
        with opened_store(where) as store:
            with pytest.raises(StateDamaged, match="no case"):
                add(store, opened(), ended={"other": True})
            assert store.cases() == []

    def test_two_cases_in_one_transaction(self, where):
        with opened_store(where) as store:
            add(store, opened("a"), opened("b"), found(2, "a"), found(2, "b"), found(3, "a"))
            assert [len(store.entries(case)) for case in "ab"] == [3, 2]
            assert [(e.case, e.number) for e in store.unrecorded(9)] == [
                ("a", 1),
                ("a", 2),
                ("a", 3),
                ("b", 1),
                ("b", 2),
            ]

    def test_an_entry_may_be_as_large_as_a_correction_of_the_largest_payload(self, where):
        instead = msgspec.json.encode(Noted(text="\\" * 8000)).decode()
        largest = Correction(of=1, instead='"' * 65_536, because="é" * 8000)
        with opened_store(where) as store:
            for number, payload in ((2, Correction(of=1, instead=instead, because="x")), (3, largest)):
                entry = structs.replace(noted(number), payload=payload)
                add(store, *([opened()] if number == 2 else []), entry)
                assert store.entries(CASE)[-1] == entry
            with pytest.raises(ValueError, match="over"):
                add(store, structs.replace(noted(4), payload=structs.replace(largest, instead="\0" * 65_536)))
            assert len(store.entries(CASE)) == 3

    moments = st.integers(0, 1 << 53)
    words = st.text(st.characters(min_codepoint=32, max_codepoint=0x1FFFF, exclude_categories=["Cs", "Cc"]), min_size=1)
    payloads = st.one_of(
        st.builds(Noted, text=words),
        st.builds(MomentSet, event=st.sampled_from(["aware", "triaged"]), at=moments, because=words),
        st.builds(Correction, of=st.integers(1, 9), instead=st.none() | words, because=words),
    )

    @given(st.lists(st.tuples(payloads, moments, st.sampled_from(["ana", AUTOMATIC])), max_size=6), moments)
    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_entries_come_back_as_they_were(self, where, said, at):
        case = f"c{at}-{abs(hash(tuple(map(repr, said)))):x}"[:64]
        entries = [opened(case, at)]
        for number, (payload, moment, by) in enumerate(said, 2):
            entries.append(Entry(case=case, number=number, at=moment, by=by, payload=payload))
        with opened_store(where) as store:
            add(store, *entries)
            assert store.entries(case) == entries
            add(store, *entries)
            assert store.entries(case) == entries


class TestSealed:
    def test_nothing_that_was_said_is_in_the_files_in_clear(self, tmp_path):
        where = tmp_path / "control.sqlite"
        with opened_store(where) as store:
            add(store, opened(title=SECRET), noted(2), messages=[message(1)])
            files = b"".join(path.read_bytes() for path in tmp_path.glob("*"))
        assert CASE.encode() in files
        for word in (b"Quisling", b"ana", b"alpen", b'"case"'):
            assert word not in files

    @pytest.mark.parametrize(
        "damage",
        [
            ("SET number = -5 WHERE number = 2", "SET number = 2 WHERE number = 3", "SET number = 3 WHERE number = -5"),
            ("SET case_id = 'other' WHERE number = 2",),
            ("SET content = substr(content, 2) WHERE number = 3",),
            ("SET at = at + 1 WHERE number = 3",),
            ("SET kind = 'noted' WHERE number = 3",),
        ],
        ids=["swapped", "another case's", "a byte less", "at", "kind"],
    )
    def test_rows_that_are_not_in_their_place_are_never_read(self, where, damage):
        with opened_store(where) as store:
            add(store, *case_of(4))
        change(where, *(f"UPDATE incident_entries {step}" for step in damage))
        with opened_store(where) as store:
            for _ in range(2):
                with pytest.raises(StateDamaged):
                    store.entries(CASE)

    @pytest.mark.parametrize(
        "damage",
        [
            "DELETE FROM incident_entries WHERE number = 2",
            "DELETE FROM incident_entries WHERE number = 4",
            "UPDATE incident_cases SET entries = 5",
        ],
    )
    def test_a_case_is_never_read_with_a_gap_or_a_lost_end(self, where, damage):
        with opened_store(where) as store:
            add(store, *case_of(4))
            change(where, damage)
            with pytest.raises(StateDamaged, match="is missing"):
                store.entries(CASE)

    def test_a_row_as_large_as_a_disk_is_not_read(self, where):
        with opened_store(where) as store:
            add(store, *case_of(3))
        with behind(where) as connection:
            huge = sa.text("UPDATE incident_entries SET content = :content WHERE number = 2")
            connection.execute(huge, {"content": bytes(ENTRY_LIMIT + 100)})
        with opened_store(where) as store, pytest.raises(StateDamaged, match=r"Entry 2 of case .* is missing"):
            store.entries(CASE)

    def test_another_regions_key_opens_nothing(self, where):
        with opened_store(where) as store:
            add(store, opened())
        for box in (SealingBox("us", b"k" * 32), SealingBox("eu", b"l" * 32)):
            with opened_store(where, box=box) as store, pytest.raises(StateDamaged, match="does not open"):
                store.entries(CASE)


class TestOutbox:
    def test_what_the_evidence_is_not_known_to_hold(self, where):
        entries = case_of(5)
        with opened_store(where) as store:
            add(store, *entries)
            add(store, opened("b"))
            assert store.unrecorded(3) == entries[:3]
            store.recorded([entries[1], entries[0]])
            assert store.unrecorded(100) == [*entries[2:], opened("b")]
            store.recorded([*entries, opened("b")])
            assert store.unrecorded(100) == []
            add(store, found(6))
        with opened_store(where) as store:
            assert store.unrecorded(100) == [found(6)]
            assert store.unrecorded_count() == 1

    def test_a_damaged_entry_keeps_no_other_from_the_record(self, where, caplog, monkeypatch):
        monkeypatch.setattr(incidents, "BATCH", 2)
        with opened_store(where) as store:
            add(store, *case_of(6))
            change(where, "UPDATE incident_entries SET content = substr(content, 2) WHERE number IN (1, 2, 4)")
            assert store.unrecorded(2) == [found(3), found(5)]
            assert [entry.number for entry in store.unrecorded(9)] == [3, 5, 6]
        assert "Entry 4 of case" in caplog.text


class TestMessages:
    def test_they_wait_until_they_are_taken(self, where):
        with opened_store(where) as store:
            add(store, opened(), messages=[message(1), message(1, "desk"), message(2, not_before=50.25)])
            add(store, messages=[message(1), message(3)])
        with opened_store(where) as store:
            assert store.messages("pager", 10) == [message(1), message(2, not_before=50.25), message(3)]
            assert store.messages("pager", 2) == [message(1), message(2, not_before=50.25)]
            assert store.messages("nobody", 10) == []
            store.sent(message(1))
            store.again(message(2), 100.5)
            assert store.messages("pager", 10) == [message(2, not_before=100.5, tries=1), message(3)]
            assert store.messages("desk", 10) == [message(1, "desk")]
            store.again(message(2), 200)
            assert store.messages("pager", 1) == [message(2, not_before=200, tries=2)]

    def test_for_a_system_that_is_gone_the_oldest_are_dropped_and_counted(self, where, monkeypatch, caplog):
        monkeypatch.setattr(incident_messages, "QUEUE", 3)
        with opened_store(where) as store:
            add(store, messages=[message(1, "desk")])
            for first in (1, 4, 5):
                add(store, messages=[message(n) for n in range(first, first + 3)])
            assert store.messages("pager", 10) == [message(n) for n in (5, 6, 7)]
            assert store.messages("desk", 10) == [message(1, "desk")]
            assert store.dropped() == {"pager": 4}
        with opened_store(where) as store:
            add(store, messages=[message(8)])
            assert store.dropped() == {"pager": 5}
        assert "messages to pager were dropped" in caplog.text

    def test_one_that_does_not_open_is_passed_over(self, where, caplog):
        with opened_store(where) as store:
            add(store, messages=[message(1), message(2), message(3)])
            change(where, "UPDATE incident_messages SET id = 'swapped' WHERE position = 1")
            assert store.messages("pager", 2) == [message(2), message(3)]
        assert "does not open" in caplog.text

    def test_one_that_is_too_large_is_refused_with_its_entries(self, where):
        with opened_store(where) as store:
            for wrong in (message(1)._replace(body=bytes(MESSAGE_LIMIT + 1)), message(1)._replace(id="x" * 201)):
                with pytest.raises(ValueError, match="a message"):
                    add(store, opened(), messages=[wrong])
            assert store.cases() == []


class TestBesideTheTable:
    def test_the_switch_table_is_saved_while_cases_are_written(self, where):
        state = open_control_state(where, "eu")
        store = IncidentStore(state.database, BOX)
        failed = []

        def write():
            try:
                for number, entry in enumerate(case_of(40), 1):
                    add(store, entry, messages=[message(number)])
                    store.entries(CASE)
            except (FiredoorError, OSError) as error:
                failed.append(error)

        writing = threading.Thread(target=write)
        writing.start()
        for version in range(1, 31):
            state.save(stored(version), pending(version))
        writing.join(60)
        assert not failed
        assert len(store.entries(CASE)) == 40
        assert version_of(state) == 30
        state.close()

    def test_a_table_that_was_set_aside_takes_no_case_with_it(self, where):
        with opened_store(where) as store:
            add(store, *case_of(3))
        change(where, "INSERT INTO control_state (name, sha256, content) VALUES ('switches', 'ab', 'x')")
        state = open_control_state(where, "eu")
        with pytest.raises(SetupError, match="damaged"):
            state.load()
        state.set_aside()
        assert state.load() is None
        assert len(IncidentStore(state.database, BOX).entries(CASE)) == 3
        state.close()

    def test_hosts_have_cursors_of_their_own_and_the_same_cases(self, server):
        url = server.database()
        with opened_store(url, "one") as store:
            add(store, opened(), cursors={"w0": 700, "control": 2})
        with opened_store(url, "two") as store:
            assert store.cursors() == {}
            add(store, found(2), cursors={"w0": 3})
            assert store.cursors() == {"w0": 3}
        with opened_store(url, "one") as store:
            assert store.cursors() == {"w0": 700, "control": 2}
            assert store.entries(CASE) == [opened(), found(2)]
            assert store.unrecorded(9) == [opened(), found(2)]


class TestReadBeside:
    def test_the_writer_is_not_disturbed(self, where):
        with opened_store(where) as store:
            add(store, *case_of(3))
            reading = ControlReader(where, "eu")
            reader = IncidentReader(reading, BOX)
            assert reader.entries(CASE) == case_of(3)
            add(store, found(4), ended={CASE: True})
            assert reader.cases() == [StoredCase(CASE, AT, False, 4)]
            assert (reader.unrecorded_count(), reader.dropped()) == (4, {})
            reading.close()

    def test_without_a_writer(self, where):
        with opened_store(where) as store:
            add(store, *case_of(3))
        reading = ControlReader(where, "eu")
        assert len(IncidentReader(reading, BOX).entries(CASE)) == 3
        reading.close()

    def test_what_there_is_not_to_read(self, where):
        with pytest.raises(SetupError, match="kept nothing yet"):
            ControlReader(where, "eu")
        with opened_store(where):
            pass
        with pytest.raises(SetupError, match="belongs to region eu, not us"):
            ControlReader(where, "us")


class TestSteps:
    def test_a_database_of_the_release_before_keeps_its_switches(self, where):
        engine = writer(where)
        with engine.begin() as connection:
            STEPS.take(connection, "0001")
        engine.dispose()
        with pytest.raises(SetupError, match="older release"):
            ControlReader(where, "eu")
        rows = "INSERT INTO control_writer (id, region, term, mark) VALUES (1, 'eu', 3, 'of the release before')"
        change(where, rows)
        state = ControlState(where, "eu")
        state.begin()
        state.save(stored(4), ())
        add(IncidentStore(state.database, BOX), opened())
        state.close()
        with opened_store(where) as store:
            assert store.entries(CASE) == [opened()]


def test_a_file_that_was_taken_away_takes_no_half_case(tmp_path):
    where = tmp_path / "control.sqlite"
    with opened_store(where) as store:
        add(store, *case_of(3))
        for path in tmp_path.glob("control.sqlite*"):
            path.unlink()
        with pytest.raises(StateDamaged, match=r"Entry 1 of case .* is missing"):
            add(store, found(4))
        add(store, opened("other"))
        assert [one.id for one in store.cases()] == ["other"]
