"""The answer cache on the disk: what is planted in it is found at the first hit, and what is broken is a miss."""

import os
import shutil
import sqlite3
import stat
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rooms.archives import ALICE, BO, Archive

from firedoor.app.housekeeping import RegionHousekeeping
from firedoor.core.cache import MAX_ANSWER, Chosen, Found, Poisoned, Source, partition_of
from firedoor.core.plan.model import CacheRules
from firedoor.core.plan.words import Duration
from firedoor.core.switches import Scope
from firedoor.errors import StateDamaged, StateUnavailable
from firedoor.keys.derive import SealingBox
from firedoor.store import cache_care
from firedoor.store.cache import SEALING, SWEEP, CacheFile
from firedoor.store.cache_rows import COLUMNS, PURPOSE

SECRET = SealingBox("eu", b"k" * 32).subkey(PURPOSE)
RULES = CacheRules(scope="subject", ttl=Duration(60), entries=1000)
REQUEST = {"model": "small", "messages": [{"role": "user", "content": "Do you ship to Austria?"}]}
FACTS = {
    "subject": ALICE, "role": None, "granted": (), "jurisdiction": "DE", "plan": "p1", "remote_name": "small",
    "in_force": "r1", "cache_epoch": 3,
}  # fmt: skip
ANSWER = "Yes, in three days: grüezi."


def part(request=REQUEST, rules=RULES, shop="alpenladen", surface="support", model="eu-chat", **facts):
    return partition_of(rules, Scope("eu", shop, surface, model), request, **{**FACTS, **facts})


def asking(text):
    return {"model": "small", "messages": [{"role": "user", "content": text}]}


class Host:
    """A cache file with one worker, and a clock set by hand."""

    def __init__(self, path):
        self.path = path
        self.now = 1_000_000.0
        self.cache = self.worker()

    def worker(self, secret=SECRET):
        return CacheFile(self.path, secret, clock=lambda: self.now)

    def keep(
        self, text=ANSWER, request=REQUEST, exchange="fx-1", subject=ALICE, session="5e" * 16, rules=RULES, **facts
    ):
        source = Source(exchange=exchange, subject=subject, session=session)
        place = part(request, rules, **({"subject": subject} | facts))
        return self.cache.keep(place, request, text, source, rules)

    def find(self, request=REQUEST, rules=RULES, cache=None, **facts):
        return (cache or self.cache).find(part(request, rules, **facts), request)

    def sql(self, statement, *values):
        """What somebody with the file, and without keys, may do."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def count(self, table="entries"):
        ((count,),) = self.sql(f"SELECT count(*) FROM {table}")
        return count


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path / "cache.sqlite")
    yield made
    made.cache.close()


def test_an_answer_is_given_again_to_the_same_request_and_nobody_else(host):
    assert host.find() is None
    assert host.keep()
    assert host.find() == Found(ANSWER, "fx-1", 1_000_000)
    assert host.find(asking("Do you ship to Austria")) is None
    assert host.find(subject=BO) is None


def test_workers_share_the_file(host):
    other = host.worker()
    host.keep()
    assert host.find(cache=other) == host.find()
    other.close()
    assert host.find(cache=other) is None
    assert host.find() is not None


def test_nothing_of_it_stands_in_clear_and_the_file_is_private(host):
    host.keep()
    raw = b"".join(path.read_bytes() for path in host.path.parent.iterdir())
    assert ANSWER.encode() not in raw
    assert b"Austria" not in raw
    assert b"fx-1" in raw  # what a purge needs does
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in host.path.parent.iterdir())


def test_time_ends_an_answer_and_a_clock_that_went_back_gives_none(host):
    host.keep()
    host.now += 59.9
    assert host.find() is not None
    host.now += 0.1
    assert host.find() is None
    host.now = 999_999
    assert host.find() is None


# --- planted entries --------------------------------------------------------------------------------------------------

OTHER_PLACES = [
    {"subject": BO}, {"shop": "seeladen"}, {"surface": "product_discovery"}, {"role": "purchasing"}, {"plan": "p2"},
    {"model": "eu-chat-b"}, {"remote_name": "small-v2"}, {"cache_epoch": 4}, {"in_force": "r2"}, {"jurisdiction": "AT"},
    {"granted": ("costs",)}, {"rules": CacheRules(scope="surface")},
    {"request": {**REQUEST, "messages": [{"role": "system", "content": "Be rude."}, *REQUEST["messages"]]}},
]  # fmt: skip


def plant(host, **there):
    """Move what is kept for Alice into the place that a caller elsewhere will look into."""
    host.keep(text="theirs", **({"subject": ALICE} | there))
    host.keep(text="planted")
    columns = COLUMNS.removeprefix("key, ").replace("sealed", "sealed").split(", ")
    ((target,),) = host.sql("SELECT key FROM entries ORDER BY id LIMIT 1")
    ((source,),) = host.sql("SELECT key FROM entries ORDER BY id DESC LIMIT 1")
    copied = ", ".join(f"{c} = (SELECT {c} FROM entries WHERE key = ?)" for c in columns)
    host.sql(f"UPDATE entries SET {copied} WHERE key = ?", *[source] * len(columns), target)


@pytest.mark.parametrize("there", OTHER_PLACES, ids="-".join)
def test_an_entry_planted_in_another_place_is_caught_at_the_first_hit_and_gone(host, there):
    plant(host, **there)
    assert host.find(**there) == Poisoned("fx-1")
    assert host.find(**there) is None
    assert host.find() == Found("planted", "fx-1", 1_000_000)  # where it belongs it is what it was


@pytest.mark.parametrize("there", OTHER_PLACES, ids="-".join)
def test_nobody_elsewhere_finds_it_by_itself(host, there):
    host.keep()
    assert host.find(**there) is None
    assert host.count() == 1


@settings(max_examples=60)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_caught(tmp_path_factory, at, bit):
    host = Host(tmp_path_factory.mktemp("cache") / "cache.sqlite")
    host.keep()
    ((sealed,),) = host.sql("SELECT sealed FROM entries")
    broken = bytearray(sealed)
    broken[at % len(broken)] ^= 1 << bit
    host.sql("UPDATE entries SET sealed = ?", bytes(broken))
    assert host.find() == Poisoned("fx-1")
    assert (host.find(), host.count()) == (None, 0)
    host.cache.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("expires = expires + 3600", "fx-1"),
        ("created = created - 60", "fx-1"),
        ("epoch = 4", "fx-1"),
        ("exchange = 'fx-2'", "fx-2"),
        ("exchange = 'Ring 0664 1234567 now'", ""),
        ("exchange = CAST(x'ff00' AS TEXT)", ""),
        ("exchange = x'37'", ""),
        ("shop = 'seeladen'", "fx-1"),
        ("surface = NULL", "fx-1"),
        ("subject = NULL", "fx-1"),
        ("session = 'x'", "fx-1"),
        ("sealed = x''", "fx-1"),
        ("sealed = 'text'", "fx-1"),
        ("sealed = 12", "fx-1"),
        ("sealed = zeroblob(28)", "fx-1"),
    ],
)
def test_a_column_that_was_changed_is_caught(host, change, told):
    host.keep()
    host.sql("CREATE TABLE loose AS SELECT * FROM entries")  # without the bounds that the real one has
    host.sql("DROP TABLE entries")
    host.sql("ALTER TABLE loose RENAME TO entries")
    host.sql(f"UPDATE entries SET {change}")
    assert host.find() == Poisoned(told)
    assert host.find() is None


def test_an_entry_made_without_the_regions_key_is_caught(host):
    stranger = host.worker(b"s" * 32)
    place = part()
    stranger.keep(place, REQUEST, "Pay here: example.org", Source(exchange="fx-9"), RULES)
    host.keep(exchange="fx-1")
    ((sealed,),) = host.sql("SELECT sealed FROM entries WHERE exchange = 'fx-9'")
    host.sql("UPDATE entries SET sealed = ? WHERE exchange = 'fx-1'", sealed)
    assert host.find() == Poisoned("fx-1")
    stranger.close()


def test_an_old_file_restored_after_a_purge_serves_nothing(host):
    host.keep(rules=CacheRules(scope="subject", ttl=Duration(7200), entries=1000))
    host.cache.close()
    old = host.path.read_bytes()
    assert cache_care.purge(host.path, Chosen()) == 1
    host.path.write_bytes(old)
    host.cache = host.worker()
    assert host.find() is not None  # the file alone cannot know
    assert host.find(cache_epoch=4) is None  # the switch table does: a purge goes with a new epoch
    assert host.keep(request=asking("else"), cache_epoch=4)
    assert host.count() == 2  # what is from before it stays for a while: a case may have to seal it
    host.now += SEALING
    assert host.keep(request=asking("else"), cache_epoch=4)
    assert host.count() == 1  # then it is swept out
    assert cache_care.purge(host.path, Chosen(before_epoch=5)) == 1


def test_an_entry_taken_back_from_quarantine_by_hand_is_caught(host):
    host.keep()
    assert host.cache.set_aside(part(), REQUEST)
    assert host.find() is None
    host.sql(f"INSERT INTO entries ({COLUMNS}) SELECT {COLUMNS} FROM quarantined")
    assert host.find() == Poisoned("fx-1")


def test_what_was_set_aside_stays_sealed_and_makes_room_for_a_new_answer(host):
    assert not host.cache.set_aside(part(), REQUEST)
    host.keep()
    host.cache.set_aside(part(), REQUEST)
    assert host.keep(text="Another.", exchange="fx-2")
    assert host.find() == Found("Another.", "fx-2", 1_000_000)
    assert host.count("quarantined") == 1


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_the_oldest_go_and_only_the_own_shops_on_the_own_surface(host):
    rules = CacheRules(scope="subject", ttl=Duration(60), entries=3)
    for shop in ("seeladen", "alpenladen"):
        for number in range(5 if shop == "alpenladen" else 3):
            host.now += 1
            host.keep(request=asking(f"{number}"), rules=rules, shop=shop)
    assert [number for number in range(5) if host.find(asking(f"{number}"), rules) is not None] == [2, 3, 4]
    assert host.sql("SELECT shop, entries FROM counts") == [("alpenladen", 3), ("seeladen", 3)]
    host.keep(request=asking("4"), text="Newer.", rules=rules)
    assert host.find(asking("4"), rules).text == "Newer."
    assert host.count() == 6


def test_a_lower_bound_in_a_new_plan_takes_effect(host):
    for number in range(10):
        host.keep(request=asking(f"{number}"))
    assert host.keep(request=asking("new"), rules=CacheRules(scope="subject", ttl=Duration(60), entries=2))
    assert host.count() == 2


def test_what_is_over_goes_with_the_next_answers(host):
    for number in range(SWEEP + 1):
        host.keep(request=asking(f"{number}"))
    host.now += 100
    host.keep(request=asking("new"))
    assert host.count() == 2
    host.keep(request=asking("newer"))
    assert host.count() == 2


def test_answers_have_a_bound(host):
    assert host.keep(text="x" * MAX_ANSWER)
    assert host.find().text == "x" * MAX_ANSWER
    assert not host.keep(text="ü" * (MAX_ANSWER // 2) + "x", request=asking("long"))
    assert not host.keep(text="", request=asking("empty"))


# --- timing -----------------------------------------------------------------------------------------------------------


def test_a_look_is_the_same_statement_whatever_other_partitions_hold(host):
    def looked(**place):
        statements = []
        host.cache._reader.set_trace_callback(statements.append)
        assert host.find(**place) is None
        host.cache._reader.set_trace_callback(None)
        return [statement.partition("WHERE")[0] for statement in statements]

    nobody = looked(subject=BO)
    host.keep()
    assert looked(subject=BO) == nobody
    assert len(nobody) == 1
    plan = host.sql("EXPLAIN QUERY PLAN SELECT id FROM entries WHERE key = x'00'")
    assert "USING" in plan[0][3]
    assert "INDEX" in plan[0][3]


# --- a file that is broken, locked or gone ----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_file_that_is_none_is_a_miss(tmp_path, content):
    path = tmp_path / "cache.sqlite"
    path.write_bytes(content)
    host = Host(path)
    assert host.find() is None
    assert not host.keep()
    assert not host.cache.set_aside(part(), REQUEST)
    with pytest.raises(StateDamaged) as told:
        cache_care.status(path, epoch=0, now=0)
    assert "purge --all" in told.value.remedy
    cache_care.discard(path)
    host.cache.close()
    host.cache = host.worker()
    assert host.keep()
    host.cache.close()


def test_a_file_of_another_version_or_with_other_tables_is_a_miss(tmp_path):
    for number, statements in enumerate(
        (["PRAGMA user_version = 9"], ["CREATE TABLE entries (key)", "PRAGMA user_version = 1"])
    ):
        path = tmp_path / f"{number}.sqlite"
        for statement in statements:
            connection = sqlite3.connect(path)
            connection.execute(statement)
            connection.close()
        host = Host(path)
        assert host.find() is None
        assert not host.keep()
        host.cache.close()


def test_a_table_with_other_triggers_hurts_nobody(host):
    host.keep()
    host.sql("DROP TRIGGER kept")
    host.sql("DELETE FROM counts")
    assert not host.keep(request=asking("else"))
    host.cache.close()
    host.cache = host.worker()
    assert host.find() is not None


def test_a_file_broken_in_the_middle_hurts_nobody(host):
    for number in range(200):
        host.keep(request=asking(f"{number}"), text="x" * 500)
    host.cache.close()
    data = bytearray(host.path.read_bytes())
    data[8192:-4096] = os.urandom(len(data) - 12288)
    host.path.write_bytes(bytes(data))
    host.cache = host.worker()
    found = [host.find(asking(f"{number}")) for number in range(200)]
    assert not any(isinstance(one, Found) and one.text != "x" * 500 for one in found)


def test_a_folder_that_cannot_be_written_is_a_miss(tmp_path):
    host = Host(tmp_path / "missing" / "cache.sqlite")
    assert host.find() is None
    assert not host.keep()
    (tmp_path / "missing").mkdir()
    host.cache.close()


def test_who_holds_the_lock_keeps_nobody_from_reading_and_writers_give_up(host):
    host.keep()
    holder = sqlite3.connect(host.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert host.find() is not None
    assert not host.keep(request=asking("else"))
    holder.execute("ROLLBACK")
    holder.close()
    assert host.keep(request=asking("else"))


def test_a_file_that_was_replaced_or_removed_is_opened_anew(host, tmp_path):
    host.keep()
    other = Host(tmp_path / "other.sqlite")
    other.keep(text="From the other file.")
    other.cache.close()
    for name in ("cache.sqlite-wal", "cache.sqlite-shm"):
        (tmp_path / name).unlink()
    shutil.move(other.path, host.path)
    assert host.find().text == "From the other file."
    cache_care.discard(host.path)
    assert host.find() is None
    assert host.keep(text="New.")
    assert host.find().text == "New."


def test_a_look_and_writes_from_other_threads(host):
    def write(number):
        for one in range(20):
            host.cache.keep(
                part(asking(f"{number}-{one}")), asking(f"{number}-{one}"), "Yes.", Source(exchange="e"), RULES
            )

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert host.find() is None
    for thread in threads:
        thread.join()
    assert host.count() == 60


# --- operators and erasure --------------------------------------------------------------------------------------------


def fill(host):
    """Six entries of two shoppers, two sessions, two surfaces, one second apart."""
    host.now = 1_000_000
    for number, (subject, session, surface) in enumerate(
        [(ALICE, "s1", "support"), (ALICE, "s2", "support"), (BO, "s3", "support"), (BO, "s3", "account_chat"),
         (ALICE, "s1", "account_chat"), (None, None, "support")]
    ):  # fmt: skip
        rules = RULES if subject else CacheRules(scope="surface", ttl=Duration(60))
        host.keep(
            request=asking(f"{number}"),
            exchange=f"fx-{number}",
            subject=subject,
            session=session,
            rules=rules,
            surface=surface,
        )
        host.now += 1


CHOICES = [
    (Chosen(), {0, 1, 2, 3, 4, 5}),
    (Chosen(exchanges=("fx-1", "fx-3", "fx-99")), {1, 3}),
    (Chosen(subjects=(ALICE,)), {0, 1, 4}),
    (Chosen(subjects=(ALICE, BO)), {0, 1, 2, 3, 4}),
    (Chosen(sessions=("s1",)), {0, 4}),
    (Chosen(subjects=(ALICE,), surface="support"), {0, 1}),
    (Chosen(since=1_000_002, until=1_000_004), {2, 3}),
    (Chosen(shop="seeladen"), set()),
    (Chosen(shop="alpenladen", surface="account_chat"), {3, 4}),
    (Chosen(before_epoch=3), set()),
    (Chosen(before_epoch=4), {0, 1, 2, 3, 4, 5}),
    (Chosen(sessions=("' OR 1=1 --",)), set()),
]


def numbers(host, table="entries"):
    return {int(exchange.removeprefix("fx-")) for (exchange,) in host.sql(f"SELECT exchange FROM {table}")}


@pytest.mark.parametrize(("chosen", "meant"), CHOICES, ids=range(len(CHOICES)))
def test_a_purge_and_a_quarantine_take_what_was_chosen(host, chosen, meant):
    fill(host)
    assert cache_care.quarantine(host.path, chosen, SECRET) == len(meant)
    assert numbers(host, "quarantined") == meant
    assert numbers(host) == set(range(6)) - meant
    assert cache_care.purge(host.path, chosen) == 0
    assert cache_care.purge(host.path, chosen, "quarantined") == len(meant)
    fill(host)
    assert cache_care.purge(host.path, chosen) == len(meant)
    assert numbers(host) == set(range(6)) - meant


def test_workers_that_are_at_work_give_nothing_of_it_any_more(host):
    host.keep()
    assert host.find() is not None
    cache_care.quarantine(host.path, Chosen(subjects=(ALICE,)), SECRET)
    assert host.find() is None
    host.keep()
    cache_care.purge(host.path, Chosen(subjects=(ALICE,)))
    assert host.find() is None


def test_what_is_purged_is_overwritten(host):
    host.keep(exchange="fx-rare-4711")
    ((sealed,),) = host.sql("SELECT sealed FROM entries")
    cache_care.purge(host.path, Chosen(exchanges=("fx-rare-4711",)))
    raw = b"".join(path.read_bytes() for path in host.path.parent.iterdir())
    assert sealed not in raw
    assert b"fx-rare-4711" not in raw


def test_a_quarantine_of_many_goes_in_parts(host, monkeypatch):
    monkeypatch.setattr(cache_care, "BATCH", 4)
    fill(host)
    assert cache_care.quarantine(host.path, Chosen(), SECRET) == 6
    assert host.count() == 0


def test_status_counts_by_shop_and_surface(host):
    fill(host)
    cache_care.quarantine(host.path, Chosen(exchanges=("fx-0",)), SECRET)
    now = 1_000_000 + 60 + 2  # the first three are over
    told = [msgspec.structs.astuple(one) for one in cache_care.status(host.path, epoch=3, now=now)]
    assert told == [("alpenladen", "account_chat", 2, 0, 0), ("alpenladen", "support", 1, 2, 1)]
    (_, support) = cache_care.status(host.path, epoch=4, now=now)
    assert (support.served, support.over) == (0, 3)
    assert cache_care.sweep(host.path, now) == 2


def test_where_there_is_no_cache_there_is_nothing_to_do(tmp_path):
    path = tmp_path / "cache.sqlite"
    assert cache_care.status(path, epoch=0, now=0) == []
    assert cache_care.purge(path, Chosen(), "both") == 0
    assert cache_care.quarantine(path, Chosen(), SECRET) == 0
    assert cache_care.sweep(path, 0) == 0
    assert not path.exists()


def test_an_operator_is_told_that_the_file_is_locked(host, monkeypatch):
    host.keep()
    monkeypatch.setattr(cache_care, "PATIENCE", 0.01)
    holder = sqlite3.connect(host.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailable):
        cache_care.purge(host.path, Chosen())
    holder.close()
    assert host.find() is not None


def test_erasing_a_shopper_empties_the_cache_of_them_and_of_nobody_else(tmp_path):
    region = Archive(tmp_path / "home")
    region.write(region.record("fx-0", ALICE), region.record("fx-2", BO))
    host = Host(region.place.cache)
    fill(host)
    cache_care.quarantine(host.path, Chosen(exchanges=("fx-1",)), SECRET)
    region.erase(ALICE)
    assert numbers(host) == {2, 3, 5}
    assert numbers(host, "quarantined") == set()
    host.keep(exchange="fx-7")  # an exchange that was on its way
    region.now += 10 * 60_000_000
    region.resume()
    assert numbers(host) == {2, 3, 5}
    host.cache.close()


def test_the_agent_deletes_what_is_over(tmp_path):
    region = Archive(tmp_path / "home")
    host = Host(region.place.cache)
    host.keep()

    class Forever:
        def of(self, retention):
            return 10**18

    def work(write):
        return RegionHousekeeping(region.place, Forever(), region.ring, write).expire()

    region.act(work)
    assert host.count() == 0  # 1970 is over
    host.cache.close()
    host.path.write_bytes(b"no database" * 1000)
    region.act(work)  # and a damaged cache keeps no evidence from expiring
