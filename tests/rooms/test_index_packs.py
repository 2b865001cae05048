"""Packs of the index: what they hold is what the table holds, whatever is written in between; damage is told."""

import functools
import itertools
import random

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rooms.indexed import Region, lookup
from tests.rooms.postgres import running

from firedoor.agent.follower import bring_up_to_date
from firedoor.core.evidence.exchanges import Changes, ExchangeChange, Place
from firedoor.errors import StateDamaged
from firedoor.store.index import FileIndex
from firedoor.store.index_columns import Columns, joined, pack, unpack
from firedoor.store.index_packs import Packs, columns_of, gaps
from firedoor.store.index_tables import LIVE
from firedoor.store.state import open_state

INTS = st.integers(-(2**61), 2**61)
ROWS = st.lists(st.tuples(*[INTS] * (len(Columns._fields) - 1)), max_size=50)


def columns(rows):
    """Rows without their `seq`, which is made to go up."""
    found = np.array(rows, np.int64).reshape(-1, len(Columns._fields) - 1)
    return Columns(np.cumsum(np.abs(found[:, 0]) % 1000), *found.T)


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@given(ROWS)
def test_what_is_packed_comes_out_again(rows):
    before = columns(rows)
    after = unpack(pack(before))
    for name in Columns._fields:
        assert getattr(after, name).tolist() == getattr(before, name).tolist()
        assert getattr(after, name).dtype == np.int64


def test_a_pack_is_narrow():
    count = 2048
    seq = np.arange(count, dtype=np.int64) * 3
    began = 1_700_000_000_000_000 + np.sort(np.random.default_rng(1).integers(0, 2**31, count))
    same = np.ones(count, np.int64)
    made = Columns(seq, began, began + 1000, same, same, same, seq % 700, same, (seq % 2) << 60)
    assert len(pack(made)) < 10 * count


@given(ROWS.filter(bool), st.randoms(use_true_random=False), st.binary(max_size=4))
def test_a_damaged_pack_is_told_as_such(rows, chance, noise):
    whole = pack(columns(rows))
    for damaged in (whole[: chance.randrange(len(whole))], noise, b"\x02" + whole[1:]):
        with pytest.raises(StateDamaged, match="rebuild"):
            unpack(damaged)
    at = chance.randrange(len(whole))
    flipped = whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]
    with pytest.raises(StateDamaged):
        unpack(flipped)


@given(st.lists(st.integers(0, 60), unique=True, max_size=12))
def test_packs_and_gaps_are_all_there_is(ends):
    ends = sorted(ends)[: len(ends) // 2 * 2]
    packed = list(zip(ends[::2], ends[1::2], strict=True))
    found = packed + [(gap.first, 1000 if gap.after is None else gap.after) for gap in gaps(packed)]
    assert sorted(n for first, after in found for n in range(first, after)) == list(range(1000))


def change(slot, number, seq, **more):
    return ExchangeChange(
        slot=slot, exchange=f"fx-{number}", first_seq=seq, last_seq=seq, began=1000 + seq, last=1000 + seq,
        place=Place("alpenladen", "support", "eu-chat", "DE"), **more,
    )  # fmt: skip


def batch(*changes):
    return Changes(exchanges={(one.slot, one.exchange): one for one in changes}, findings=[], erased=set())


def table(connection, slot, first=0, after=2**62):
    of = LIVE.exchanges.c
    query = sa.select(*columns_of(LIVE.exchanges)).where(of.slot == slot, of.first_seq >= first, of.first_seq < after)
    return [tuple(row) for row in connection.execute(query.order_by(of.first_seq))]


def packed(connection):
    return list(connection.execute(LIVE.packs.select().order_by(LIVE.packs.c.slot, LIVE.packs.c.first)))


def check(state):
    """Every pack holds what the table holds, and no two of a slot meet; how many there are."""
    with state.writing() as connection:
        found = packed(connection)
        for row in found:
            held = unpack(row.data)
            assert list(zip(*(column.tolist() for column in held), strict=True)) == table(
                connection, row.slot, row.first, row.after
            )
            assert row.first < row.after
            if len(held.seq):
                assert (row.began, row.last) == (held.began.min(), held.last.max())
            assert row.blank == bool((held.scope == 0).any())
        for one, next_one in itertools.pairwise(found):
            assert one.slot < next_one.slot or one.after <= next_one.first
    return len(found)


SHOPPER = 0x5EED << 100
"""The first of some shoppers whose pseudonyms are no row of zeros."""


class Cut(Exception):
    """In the place of whatever ends a transaction."""


STEP = st.tuples(
    st.sampled_from(["new", "new", "new", "old", "earlier", "gone", "cut", "idle", "again"]),
    st.sampled_from(["w0", "w1"]),
    st.integers(1, 6),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=25), st.integers(0, 2**32))
def test_packs_are_the_table_whatever_is_written(tmp_path_factory, monkeypatch, steps, seed):
    monkeypatch.setattr("firedoor.store.index.Packs", functools.partial(Packs, size=2))
    chance = random.Random(seed)
    region = Region(tmp_path_factory.mktemp("packs") / "eu")
    state = open_state(region.where, "eu")
    index = FileIndex(state, region.subjects)
    ends = {"w0": 0, "w1": 0}
    firsts = {"w0": [], "w1": []}
    for kind, slot, many in steps:
        some = []
        if kind in ("new", "cut"):
            seqs = [ends[slot] + 2 * n for n in range(1, many + 1)]
            some = [change(slot, f"{slot}-{seq}", seq, called=True, released=chance.choice((0, 5))) for seq in seqs]
        elif firsts[slot] and kind in ("old", "earlier"):
            first = chance.choice(firsts[slot])
            name = f"{slot}-{first}"
            some = [change(slot, name, first - 1 if kind == "earlier" else ends[slot] + 2, outcome="answered",
                           reason="", outcome_seq=ends[slot] + 2)]  # fmt: skip
            if kind == "earlier":
                firsts[slot].remove(first)
        end = max([ends[slot], *(one.first_seq for one in some)])
        if kind == "gone":
            index.forget(slot)
            ends[slot], firsts[slot] = 0, []
        elif kind == "cut" and some:
            with monkeypatch.context() as patched:
                patched.setattr(Packs, "make", lambda *_: (_ for _ in ()).throw(Cut))
                with pytest.raises(Cut):
                    index.apply(batch(*some), {slot: (end, "")})
        elif kind == "idle":
            index.tidy()
        elif kind == "again":
            index = FileIndex(state, region.subjects)
        elif some:
            index.apply(batch(*some), {slot: (end, "")})
            ends[slot] = end
            firsts[slot] += [one.first_seq for one in some if kind == "new"]
        check(state)
    state.close()


def test_an_old_exchange_that_goes_on_is_packed_again(tmp_path, monkeypatch):
    monkeypatch.setattr("firedoor.store.index.Packs", functools.partial(Packs, size=2))
    region = Region(tmp_path / "eu")
    state = open_state(region.where, "eu")
    index = FileIndex(state, region.subjects)
    index.apply(batch(*(change("w0", n, n) for n in range(1, 13))), {"w0": (12, "")})
    index.tidy()
    before = check(state)
    assert before >= 4
    index.apply(batch(change("w0", 3, 13, outcome="answered", reason="", outcome_seq=13)), {"w0": (13, "")})
    check(state)
    for _ in range(3):
        index.tidy()
    assert check(state) >= before
    state.close()


def test_what_a_rebuild_left_in_no_pack_is_packed_when_it_is_quiet(tmp_path, monkeypatch):
    monkeypatch.setattr("firedoor.store.index.Packs", functools.partial(Packs, size=2))
    region = Region(tmp_path / "eu")
    state = open_state(region.where, "eu")
    index = FileIndex(state, region.subjects)
    batches = [batch(change("w0", n, 2 * n), change("w0", n - 9, 2 * n + 1)) for n in range(10, 22)]
    for number, one in enumerate(batches, 10):
        index.apply(one, {"w0": (2 * number + 1, "")})
    for _ in range(20):
        index.tidy()
    fresh = index.fresh()
    for number, one in enumerate(batches, 10):
        fresh.apply(one, {"w0": (2 * number + 1, "")})
    index.replace_by(fresh)
    for _ in range(20):
        index.tidy()
    check(state)
    with state.writing() as connection:
        spans = [(row.first, row.after) for row in packed(connection)]
    assert [gap for gap in gaps(spans) if gap.after is not None] == []
    state.close()


def test_an_index_of_an_older_release_is_packed_when_it_is_opened(tmp_path, server, monkeypatch):
    monkeypatch.setattr("firedoor.store.index.Packs", functools.partial(Packs, size=2))
    for name, where in (("sqlite", None), ("postgresql", server.database())):
        region = Region(tmp_path / name, where)
        state = open_state(region.where, "eu")
        index = FileIndex(state, region.subjects)
        index.apply(batch(*(change("w0", n, n) for n in range(1, 13))), {"w0": (12, "")})
        with state.writing() as connection:
            rows = table(connection, 1)
            LIVE.packs.drop(connection)
            connection.exec_driver_sql("DROP INDEX ix_exchanges_slot")
            connection.exec_driver_sql("CREATE INDEX ix_exchanges_slot ON exchanges (slot)")
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'")
        state.close()
        state = open_state(region.where, "eu")
        assert check(state) == 0
        FileIndex(state, region.subjects).tidy()
        assert check(state) >= 4
        with state.writing() as connection:
            assert table(connection, 1) == rows
        state.close()


def test_erasing_leaves_no_pseudonym_in_a_pack(tmp_path, monkeypatch):
    monkeypatch.setattr("firedoor.store.index.Packs", functools.partial(Packs, size=1))
    region = Region(tmp_path / "eu")
    writer = region.slot()
    for number in range(6):
        writer.whole(f"fx-{number}", 1000 + number, subject=SHOPPER + number)
    bring_up_to_date(region.place, region.slots, "eu")
    state = open_state(region.where, "eu")
    assert check(state) >= 4
    with state.writing() as connection:
        data = b"".join(row.data for row in packed(connection))
    pseudonyms = [lookup(SHOPPER + number) for number in range(6)]
    assert not any(bytes.fromhex(one) in data or one.encode() in data for one in pseudonyms)
    state.close()


def test_nothing_joined_is_itself():
    one = columns([(1, *range(len(Columns._fields) - 2))])
    assert joined([one]) is one
    assert joined([one, one]).seq.tolist() == one.seq.tolist() * 2
