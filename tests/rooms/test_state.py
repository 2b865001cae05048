"""The state database: one region, one writer, steps from any earlier shape, errors that a person can act on."""

import contextlib
import logging
import multiprocessing
import sqlite3
import sys

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.rooms.postgres import running

from firedoor.errors import SetupError, StateBusy, StateDamaged, StateUnavailable
from firedoor.store import controldb
from firedoor.store.index_tables import LIVE
from firedoor.store.state import STEPS, State, open_state, open_state_for_reading, set_aside
from firedoor.store.state_connect import BUSY, writer


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("server").database()
    return tmp_path / "state.sqlite"


@contextlib.contextmanager
def opened(where, region="eu", how=open_state):
    state = how(where, region)
    try:
        yield state
    finally:
        state.close()


def test_what_was_written_is_there_after_closing(where):
    with opened(where) as state, state.writing() as connection:
        state.set(connection, "a", "1")
        state.set(connection, "a", "2")
    with opened(where, how=open_state_for_reading) as state, state.reading() as connection:
        assert state.setting(connection, "a") == "2"
        assert state.setting(connection, "b") is None
        assert state.setting(connection, "region") == "eu"


def test_an_exception_undoes_the_transaction(where):
    with opened(where) as state:
        with pytest.raises(ZeroDivisionError), state.writing() as connection:
            state.set(connection, "a", "1")
            raise ZeroDivisionError
        with state.reading() as connection:
            assert state.setting(connection, "a") is None


@pytest.mark.parametrize("how", [open_state, open_state_for_reading])
def test_another_regions_database_is_refused(where, how):
    open_state(where, "eu").close()
    with pytest.raises(SetupError, match=r"belongs to region eu, not us"):
        how(where, "us")
    open_state(where, "eu").close()  # and nothing was changed, no lock is left


def test_one_writer(where):
    with opened(where):
        with pytest.raises(StateBusy, match="another process"):
            open_state(where, "eu")
        with opened(where, how=open_state_for_reading) as reader, reader.reading() as connection:
            assert reader.setting(connection, "region") == "eu"
    open_state(where, "eu").close()


def hold(where, ready, done):
    with opened(where):
        ready.set()
        done.wait(30)


def test_the_writers_lock_ends_with_its_process(where):
    spawn = multiprocessing.get_context("spawn")
    ready, done = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(where, ready, done))
    other.start()
    assert ready.wait(30)
    with pytest.raises(StateBusy):
        open_state(where, "eu")
    other.kill()
    other.join(30)
    for _ in range(100):  # PostgreSQL notices a vanished client a moment later
        with contextlib.suppress(StateBusy):
            open_state(where, "eu").close()
            return
    pytest.fail("the lock of a killed writer stays")


def test_readers_cannot_write(where):
    open_state(where, "eu").close()
    with opened(where, how=open_state_for_reading) as state:
        with pytest.raises(ValueError), state.writing():
            pass
        with pytest.raises(StateUnavailable), state.reading() as connection:
            connection.exec_driver_sql("DELETE FROM settings")


def test_a_reader_sees_one_state(where):
    with opened(where) as writer, opened(where, how=open_state_for_reading) as reader:
        with reader.reading() as connection:
            assert reader.setting(connection, "a") is None
            with writer.writing() as other:
                writer.set(other, "a", "1")
            assert reader.setting(connection, "a") is None
        with reader.reading() as connection:
            assert reader.setting(connection, "a") == "1"


def test_nothing_to_read_yet(where, tmp_path):
    with pytest.raises(SetupError, match="no state database yet"):
        open_state_for_reading(where, "eu")
    assert not (tmp_path / "state.sqlite").exists()


class TestSteps:
    @pytest.mark.parametrize("steps", [STEPS, controldb.STEPS])
    def test_the_names_of_the_files_say_what_alembic_finds_in_them(self, steps):
        config = Config()
        config.set_main_option("script_location", str(steps._folder))
        found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
        assert steps.all() == found[::-1]

    def test_there_is_an_earlier_shape_to_come_from(self):
        assert len(STEPS.all()) >= 2

    @pytest.mark.parametrize("before", [None, *STEPS.all()])
    def test_from_every_earlier_shape(self, where, before):
        if before is not None:
            at_step(where, before)
        with opened(where) as state, state.writing() as connection:
            assert MigrationContext.configure(connection).get_current_revision() == STEPS.all()[-1]
            assert {"exchanges", "settings"} <= set(sa.inspect(connection).get_table_names())
            if before is not None:
                assert state.setting(connection, "kept") == "yes"

    def test_the_steps_end_in_the_tables_that_the_code_uses(self, where):
        with opened(where) as state, state.writing() as connection:
            context = MigrationContext.configure(connection, opts={"include_object": known, "compare_type": True})
            assert compare_metadata(context, LIVE.metadata) == []

    def test_an_older_shape_is_not_read(self, where):
        at_step(where, STEPS.all()[-2])
        with pytest.raises(SetupError, match="older release"):
            open_state_for_reading(where, "eu")

    @pytest.mark.parametrize("how", [open_state, open_state_for_reading])
    def test_a_newer_release_is_refused(self, where, how):
        with opened(where) as state, state.writing() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(SetupError, match="newer release"):
            how(where, "eu")

    def test_a_step_that_fails_leaves_the_shape_before(self, where, monkeypatch):
        at_step(where, STEPS.all()[0])

        take = STEPS.take

        def broken(connection, target="head"):
            take(connection, target)
            raise ZeroDivisionError

        monkeypatch.setattr(STEPS, "take", broken)
        with pytest.raises(ZeroDivisionError):
            open_state(where, "eu")
        monkeypatch.undo()
        with pytest.raises(SetupError, match="older release"):
            open_state_for_reading(where, "eu")
        open_state(where, "eu").close()


def known(thing, name, kind, reflected, compare_to):
    return name not in ("settings", "alembic_version")


def at_step(where, revision):
    """A database of the region as an earlier release left it."""
    state = State(writer(where), "eu", writable=True)
    with state.writing() as connection:
        STEPS.take(connection, revision)
        state.set(connection, "region", "eu")
        state.set(connection, "kept", "yes")
    state.close()


class TestTrouble:
    def test_no_server(self, server):
        url = server.database()
        server.stop()
        try:
            with pytest.raises(StateUnavailable, match="Is PostgreSQL running"):
                open_state(url, "eu")
        finally:
            server.start()
        open_state(url, "eu").close()

    def test_no_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(SetupError, match=r"firedoor\[postgres\]"):
            open_state("postgresql://127.0.0.1/x", "eu")

    @pytest.mark.parametrize("url", ["", "postgresql", "://", "postgresql://127.0.0.1:port/x"])
    def test_no_url(self, url):
        with pytest.raises(SetupError, match="not a postgresql:// URL"):
            open_state(url, "eu")

    def test_no_folder(self, tmp_path):
        with pytest.raises(StateUnavailable, match="No such file"):
            open_state(tmp_path / "missing" / "state.sqlite", "eu")

    @pytest.mark.parametrize(
        "content", [b"this is no database, but text " * 100, b"SQLite format 3\0" + b"\xff" * 4080]
    )
    @pytest.mark.parametrize("how", [open_state, open_state_for_reading])
    def test_no_database(self, tmp_path, content, how):
        (tmp_path / "state.sqlite").write_bytes(content)
        with pytest.raises(StateDamaged):
            how(tmp_path / "state.sqlite", "eu")

    def test_a_damaged_file_is_set_aside_whole(self, tmp_path):
        where = tmp_path / "state.sqlite"
        for content in (b"first", b"second"):
            for suffix in ("", "-wal", "-shm"):
                where.with_name(where.name + suffix).write_bytes(content + suffix.encode())
            aside = set_aside(where)
        assert not where.exists()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
            aside.name: b"second", aside.name + "-wal": b"second-wal", aside.name + "-shm": b"second-shm",
        }  # fmt: skip
        open_state(where, "eu").close()

    def test_errors_quote_no_values(self, where, caplog):
        secret = "5e4d" * 60
        with caplog.at_level(logging.DEBUG), opened(where) as state:
            with pytest.raises(StateUnavailable) as caught, state.writing() as connection:
                connection.execute(
                    LIVE.subject_keys.insert(), {"id": 1, "key": None, "lookup": secret, "erased": False}
                )
            assert secret not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"
        assert secret not in caplog.text


def test_sqlite_is_set_up_for_power_cuts_and_erasure(tmp_path):
    with opened(tmp_path / "state.sqlite") as state, state.writing() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "busy_timeout")
        }
    assert values == {
        "journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1,
        "busy_timeout": int(BUSY * 1000),
    }  # fmt: skip


def test_a_reader_leaves_the_checkpoint_to_the_writer(tmp_path):
    where = tmp_path / "state.sqlite"
    with opened(where) as state:
        with state.writing() as connection:
            state.set(connection, "a", "1")
        wal = where.with_name("state.sqlite-wal").read_bytes()
        with opened(where, how=open_state_for_reading) as reader, reader.reading() as connection:
            assert reader.setting(connection, "a") == "1"
        assert where.with_name("state.sqlite-wal").read_bytes() == wal
    assert sqlite3.connect(where).execute("SELECT count(*) FROM settings").fetchone() == (2,)
