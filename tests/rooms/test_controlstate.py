"""The durable state of control: what was saved whole or not at all, by one process, on SQLite and on PostgreSQL."""

import contextlib
import hashlib
import sqlite3

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rooms.controlstates import open_control_state

from firedoor.control.begin import take_up
from firedoor.core.people import Act, Signature, Signed
from firedoor.core.switches import Scope, Switch, Table
from firedoor.core.switchstate import Entry, Pending, Stored
from firedoor.errors import SetupError, StateBusy, StateUnavailable
from firedoor.store import controldb, incident_tables  # noqa: F401  the latter adds its tables
from firedoor.store.controlstate import REQUESTS_LIMIT, STATE_LIMIT, ControlState
from firedoor.store.state import open_state
from firedoor.store.state_connect import writer

from .postgres import running

ONE = Scope("eu", "alpen", "support", "m0")


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
def opened(where, region="eu", host=""):
    state = open_control_state(where, region, host)
    try:
        yield state
    finally:
        state.close()


def stored(version, *scopes):
    switches = tuple(Switch(scope, "operator", 1.5, ("ab12",), version=version) for scope in scopes)
    return Stored(Table("eu", version, "ab" * 32, switches), cursors={"w0": version})


def pending(number):
    act = Act(
        region="eu", act="open", args={"scope": "eu/*/*/*", "of": str(number)}, plan="ab" * 32, by="ana", made_at=100,
        nonce=f"{number:032x}",
    )  # fmt: skip
    return Pending(f"eu-{number}", Signed(act, (Signature("ana", "A" * 86 + "=="),)), number)


def change(where, statement):
    """Write into the database behind the back of whoever has it open."""
    engine = sa.create_engine(
        f"sqlite:///{where}" if not isinstance(where, str) else where.replace("postgresql:", "postgresql+psycopg:")
    )
    with engine.begin() as connection:
        result = connection.exec_driver_sql(statement)
        found = result.fetchall() if result.returns_rows else []
    engine.dispose()
    return found


def test_what_was_saved_is_there_after_closing(where):
    entry = Entry(state="shut", scope=ONE, reason="operator", cause="person", at=2.5, by=("cem",), version=7)
    full = Stored(stored(7, ONE).table, (entry,), {"aa": 5}, {"w0": 9, "w1": 3})
    with opened(where) as state:
        assert state.load() is None
        assert state.requests() == ()
        state.save(stored(6), ())
        state.save(full, (pending(1), pending(2)))
        assert state.load() == full
    with opened(where) as state:
        assert state.load() == full
        assert state.requests() == (pending(1), pending(2))
        state.save(full, ())
        assert state.requests() == ()


versions = st.integers(0, 1 << 53)
names = st.text("abz09_-", min_size=1, max_size=62).map("n".__add__)
switches = st.builds(
    Switch,
    st.builds(Scope, st.just("eu"), names | st.just("*"), names | st.just("*"), names | st.just("*")),
    st.sampled_from(["operator", "leak", "file"]),
    st.floats(0, 4e9),
    st.lists(names, max_size=2).map(tuple),
    st.none() | names,
    st.none() | names,
    versions,
)


@given(
    st.lists(switches, max_size=8, unique_by=lambda s: s.scope), versions, st.dictionaries(names, versions, max_size=4)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_comes_back_as_it_was(where, shut, version, cursors):
    one = Stored(Table("eu", version, "cd" * 32, tuple(shut), cursors), (), {"ab": version}, cursors)
    with opened(where) as state:
        state.save(one, (pending(version),))
        assert state.load() == one
        assert state.requests() == (pending(version),)


def test_one_process_writes(where):
    with opened(where) as state:
        state.save(stored(1), ())
        with pytest.raises(StateBusy):
            open_control_state(where, "eu")
        state.confirm()
        assert state.load() == stored(1)
    with opened(where) as state:
        assert state.load() == stored(1)


def test_who_waits_gets_it_when_the_other_is_gone(where):
    waiting = ControlState(where, "eu")
    with opened(where):
        for _ in range(3):
            with pytest.raises(StateBusy):
                waiting.begin()
    waiting.begin()
    waiting.save(stored(1), ())
    waiting.close()


def test_another_regions_database_is_refused(where):
    with opened(where):
        pass
    with pytest.raises(SetupError, match=r"belongs to region eu, not us"):
        open_control_state(where, "us")
    with opened(where):
        pass


def test_a_newer_release_is_refused(where):
    with opened(where):
        pass
    change(where, "UPDATE control_version SET version_num = '9999'")
    with pytest.raises(SetupError, match="newer release"):
        open_control_state(where, "eu")


def test_the_steps_end_in_the_tables_that_the_code_uses(where):
    with opened(where):
        pass
    engine = writer(where)
    with engine.begin() as connection:
        options = {"compare_type": True, "version_table": "control_version"}
        context = MigrationContext.configure(connection, opts=options)
        assert controldb.STEPS.latest(connection)
        assert compare_metadata(context, controldb.TABLES) == []
    engine.dispose()


def test_on_another_host_other_journals_are_read(server):
    url = server.database()
    first = {"control": 700, "w0": 9, "gw-7/w0": 3}
    with opened(url, host="one") as state:
        state.save(Stored(Table("eu", 5, "ab" * 32, absorbed=first), cursors=first), ())
        assert state.load().cursors == state.load().table.absorbed == first
    second = {"gw-7/w0": 3}
    with opened(url, host="two") as state:
        assert state.load().cursors == state.load().table.absorbed == second
        second = {"control": 20, "gw-7/w0": 4}
        state.save(Stored(Table("eu", 6, "ab" * 32, absorbed=second), cursors=second), ())
        assert state.load().cursors == state.load().table.absorbed == second
    with opened(url, host="one") as state:
        assert state.load().cursors == state.load().table.absorbed == {"control": 700, "w0": 9, "gw-7/w0": 4}
        change(url, "UPDATE control_state SET sha256 = 'ab' WHERE name = 'slots one'")
        assert state.load().cursors == {"gw-7/w0": 4}, "its journals are read again"


def test_index_and_control_share_a_postgresql_database(server):
    url = server.database()
    index = open_state(url, "eu")
    with opened(url) as state:
        state.save(stored(3), ())
        with index.writing() as connection:
            index.set(connection, "a", "1")
        assert state.load() == stored(3)
    index.close()
    open_state(url, "eu").close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE control_state SET sha256 = 'ab' WHERE name = 'switches'",
        "UPDATE control_state SET content = substr(content, 2) WHERE name = 'switches'",
        "UPDATE control_state SET content = content || content WHERE name = 'switches'",
        f"UPDATE control_state SET sha256 = '{hashlib.sha256(b'{}').hexdigest()}', content = CAST('{{}}' AS {{bytes}})",
    ],
    ids=["another hash", "a byte less", "twice", "whole, but no table"],
)
def test_a_changed_table_is_never_loaded(where, damage):
    with opened(where) as state:
        state.save(stored(3, ONE), (pending(1),))
    change(where, damage.replace("{bytes}", "bytea" if isinstance(where, str) else "BLOB"))
    with opened(where) as state:
        for _ in range(2):
            with pytest.raises(SetupError, match="damaged"):
                state.load()
        state.set_aside()
        assert state.load() is None
        state.save(stored(4), ())
        assert state.load() == stored(4)
    assert sorted(change(where, "SELECT name FROM control_state")) == [
        ("requests",),
        ("switches",),
        ("switches.damaged",),
    ]


@pytest.mark.parametrize("name", ["switches", "requests"])
def test_what_is_too_large_is_not_read(where, name):
    with opened(where) as state:
        state.save(stored(3), (pending(1),))
    size = (STATE_LIMIT if name == "switches" else REQUESTS_LIMIT) + 1
    many = f"CAST(repeat(' ', {size}) AS bytea)" if isinstance(where, str) else f"zeroblob({size})"
    change(where, f"UPDATE control_state SET content = {many} WHERE name = '{name}'")
    with opened(where) as state:
        if name == "requests":
            assert (state.load(), state.requests()) == (stored(3), ())
        else:
            assert state.requests() == (pending(1),)
            with pytest.raises(SetupError, match="damaged"):
                state.load()


def test_requests_that_changed_by_themselves_are_forgotten(where):
    with opened(where) as state:
        state.save(stored(3, ONE), (pending(1),))
        change(where, "UPDATE control_state SET sha256 = 'ab' WHERE name = 'requests'")
        assert state.requests() == ()
        assert state.load() == stored(3, ONE)


class Page:
    """What a host's page says of the past."""

    def __init__(self, there):
        self.there = there

    def exists(self):
        return self.there

    def last(self):
        return None


class Files:
    def __init__(self, there):
        self.there = there

    def shut(self):
        return self.there


class TestBeginning:
    """`take_up` over either engine."""

    def take_up(self, state, *, page=False, copied=False, file=False):
        return take_up("eu", "ab" * 32, store=state, page=Page(page), files=Files(file), now=1e9, copied=copied)

    def test_nothing_stored_and_nothing_shown_is_a_first_start(self, where):
        with opened(where) as state:
            assert self.take_up(state).table.shut == ()

    def test_nothing_stored_where_something_was_shown_is_refused(self, where):
        with opened(where) as state, pytest.raises(SetupError, match="does not start over it"):
            self.take_up(state, page=True)
        with opened(where) as state:
            for shown in ({"page": True}, {"copied": True}):
                with pytest.raises(SetupError, match="does not start over it"):
                    self.take_up(state, **shown)
            assert [s.scope for s in self.take_up(state, page=True, file=True).table.shut] == [Scope("eu")]

    def test_a_damaged_table_is_refused_without_the_shut_file(self, where):
        with opened(where) as state:
            state.save(stored(3, ONE), ())
            change(where, "UPDATE control_state SET sha256 = 'ab'")
            with pytest.raises(SetupError, match="does not start over it"):
                self.take_up(state)
            assert [s.scope for s in self.take_up(state, file=True).table.shut] == [Scope("eu")]

    def test_a_server_that_does_not_answer_is_not_an_empty_table(self, server):
        url = server.database()
        with opened(url) as state:
            state.save(stored(3, ONE), ())
            server.stop()
            try:
                for file in (False, True):
                    with pytest.raises(StateUnavailable):
                        self.take_up(state, file=file)
                with pytest.raises(StateUnavailable):
                    open_control_state(url, "eu")
            finally:
                server.start()
            assert [s.scope for s in self.take_up(state).table.shut] == [ONE]


class TestFile:
    """What only a SQLite file can suffer."""

    def test_it_is_set_up_for_power_cuts_and_private(self, tmp_path):
        where = tmp_path / "control.sqlite"
        with opened(where) as state:
            state.save(stored(1), ())
            assert where.stat().st_mode & 0o777 == 0o600
            assert where.with_name("control.sqlite-wal").exists()
        with contextlib.closing(sqlite3.connect(where)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    @pytest.mark.parametrize("content", [b"no database, but text " * 100, b"SQLite format 3\0" + b"\xff" * 4080])
    def test_one_that_is_none_is_set_aside_only_with_the_shut_file(self, tmp_path, content):
        where = tmp_path / "control.sqlite"
        where.write_bytes(content)
        with opened(where) as state:
            with pytest.raises(SetupError, match="damaged"):
                state.load()
            assert state.requests() == ()
            with pytest.raises(OSError, match="damaged"):
                state.save(stored(1), ())
            assert where.read_bytes() == content
            state.set_aside()
            assert state.load() is None
            state.save(stored(2), ())
        assert (tmp_path / "control.sqlite.damaged").read_bytes() == content
        with opened(where) as state:
            assert state.load() == stored(2)

    def test_one_that_was_taken_away_comes_back_with_the_next_save(self, tmp_path):
        where = tmp_path / "control.sqlite"
        with opened(where) as state:
            state.save(stored(1, ONE), ())
            for path in tmp_path.glob("control.sqlite*"):
                path.unlink()
            state.save(stored(2, ONE), ())
        with opened(where) as state:
            assert state.load() == stored(2, ONE)

    def test_an_older_copy_put_there_meanwhile_is_written_over(self, tmp_path):
        where = tmp_path / "control.sqlite"
        with opened(where) as state:
            state.save(stored(1), ())
        copy = where.read_bytes()
        with opened(where) as state:
            state.save(stored(5, ONE), ())
            for path in tmp_path.glob("control.sqlite*"):
                path.unlink()
            where.write_bytes(copy)
            state.save(stored(6, ONE), ())
        with opened(where) as state:
            assert state.load() == stored(6, ONE)

    def test_no_folder(self, tmp_path):
        with pytest.raises(StateUnavailable, match="No such file"):
            open_control_state(tmp_path / "missing" / "control.sqlite", "eu")

    def test_no_flipped_bit_changes_the_table(self, tmp_path):
        where = tmp_path / "control.sqlite"
        with opened(where) as state:
            state.save(stored(3, ONE), ())
        data = where.read_bytes()
        at = data.index(b"alpen")
        for place in {*range(0, len(data), 211), *range(at - 120, at + 120, 7)}:
            for path in tmp_path.glob("control.sqlite*"):
                path.unlink()
            where.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
            try:
                with opened(where) as state:
                    found = state.load()
            except (SetupError, StateUnavailable):
                continue
            assert found == stored(3, ONE), place
