"""Who is affected, against invented exchanges of which the truth is known: exact without gaps, in the range with them."""

import functools
import itertools
import shutil
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rooms.affected_truth import END, START, House, Truth, ranges, specs
from tests.rooms.indexed import SECOND, lookup
from tests.rooms.postgres import running

from firedoor.agent.follower import bring_up_to_date
from firedoor.agent.indexer import Indexer
from firedoor.core.evidence.exchanges import fold
from firedoor.core.incident.affected import AskedFor
from firedoor.errors import StateUnavailable
from firedoor.store.index_affected import Part, Window
from firedoor.store.index_packs import Packs
from firedoor.store.index_read import open_index
from firedoor.store.journal_read import read
from firedoor.store.state import STEPS, State, open_state
from firedoor.store.state_connect import writer

WHOLE = ("eu/*/*/*",)
ENGINES = pytest.mark.parametrize(
    ("engine", "many"),
    [("sqlite", False), ("postgresql", False), pytest.param("sqlite", True, marks=pytest.mark.torture)],
)
COUNTER = itertools.count()


@pytest.fixture(autouse=True)
def small_packs(monkeypatch):
    """A few exchanges are some packs, and some in none."""
    monkeypatch.setattr("firedoor.store.index.Packs", functools.partial(Packs, size=1))


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


def house(request, tmp_path_factory, engine, host=None):
    where = request.getfixturevalue("server").database() if engine == "postgresql" else None
    return House(tmp_path_factory.mktemp("house") / f"eu{next(COUNTER)}", where, host)


def asked(*, scopes=WHOLE, since=START, until=END, named=()):
    ends = None if until is None else until * SECOND
    return AskedFor(region="eu", scopes=tuple(scopes), since=since * SECOND, until=ends, exchanges=tuple(named))


def index(region, leaves=None):
    """Take records into the index: all of them if `leaves` is None, else so many, of the slots in turn."""
    if leaves is None:
        assert bring_up_to_date(region.place, region.slots, "eu") == ()
        return
    live = region.place.open()
    slots = [list(read(region.journals / slot)) for slot in sorted(region.slots.present())]
    turns = [stored for turn in itertools.zip_longest(*slots) for stored in turn if stored is not None]
    for part in (turns[: leaves // 2], turns[leaves // 2 : leaves]):
        positions = {stored.leaf.slot: (stored.leaf.seq, sha256(stored.data).hexdigest()) for stored in part}
        live.apply(fold(stored.leaf for stored in part), positions)
    live.close()


def made_of(listed):
    return {f"fx-{number}": spec for number, spec in enumerate(listed)}


def some_examples(engine, many):
    return settings(
        max_examples=600 if many else 15 if engine == "sqlite" else 4,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@ENGINES
def test_without_gaps_the_counts_are_the_truth(request, tmp_path_factory, engine, many):
    @some_examples(engine, many)
    @given(
        st.lists(specs(sure=True), max_size=8),
        st.integers(0, 40),
        st.sampled_from([WHOLE, ("eu/mode/*/*", "eu/mode/support/*"), ("eu/alpenladen/support/*",)]),
        st.booleans(),
    )
    def run(listed, indexed, scopes, bounded):
        made = made_of(listed)
        region = house(request, tmp_path_factory, engine)
        region.write(made)
        index(region, indexed)
        until = END if bounded else None
        named = tuple(made)[:1]
        found = region.source().count(asked(scopes=scopes, until=until, named=named))
        truth = Truth(made, scopes=None if scopes == WHOLE else scopes, until=until, named=named).figures()
        assert {name: value for name, value in ranges(found).items() if value != (0, 0)} == {
            name: (value, value) for name, value in truth.items() if value
        }
        assert found.unknown == {}
        region.close()

    run()


@ENGINES
def test_with_gaps_the_truth_lies_in_the_range(request, tmp_path_factory, engine, many):
    @some_examples(engine, many)
    @given(
        st.lists(specs(sure=False), max_size=8),
        st.lists(st.tuples(st.integers(START - 500, END), st.integers(1, 4)), max_size=2),
        st.integers(0, 40),
        st.sampled_from([0, 3, 20_000]),
        st.sampled_from([0, 1, 4, 100]),
        st.booleans(),
    )
    def run(listed, erased, indexed, tail, cut, gone):
        made = made_of(listed)
        region = house(request, tmp_path_factory, engine)
        region.write(made, erased)
        written = {slot: writer.scribe.seq for slot, writer in region.writers.items()}
        for slot in region.writers:
            region.publish(slot)
        index(region, indexed)
        if "w0" in region.writers and gone:
            region.lose("w0")
        elif "w0" in region.writers and cut:
            region.cut("w0", cut)
        found = region.source(tail=tail).count(asked())
        truth = Truth(made)
        check(found, truth.figures())
        doubts = sum(found.unknown.values())
        assert found.exchanges.most - found.exchanges.least <= doubts
        assert found.subjects.most - found.subjects.least <= doubts
        assert found.unknown.get("not_indexed", 0) + found.unknown.get("log_missing", 0) <= 2 * sum(written.values())
        region.close()

    run()


def check(found, truth):
    """Every true figure is in its range; what is not listed may be as many as nobody has read."""
    beyond = found.unknown.get("not_indexed", 0) + found.unknown.get("log_missing", 0)
    told = ranges(found)
    untold = told.get("jurisdictions unknown", (0, beyond))
    for name, value in truth.items():
        least, most = told.get(name, (0, untold[1] if name.startswith("jurisdictions") else beyond))
        assert least <= value <= most, (name, value, (least, most), found)


@pytest.fixture
def region(tmp_path):
    made = House(tmp_path / "eu")
    yield made
    made.close()


def spoke(region, name, slot="w0", at=3000, **more):
    """An exchange that was answered."""
    facts = {"released": 10, "minimised": {"EMAIL": 1}, **more}
    region.slot(slot).whole(name, at, 5, "answered", **facts)


def subjects(region, **more):
    return {one.lookup: one for one in region.source().affected_subjects(asked(**more))}


class TestSubjects:
    def test_each_known_shopper_once_with_what_is_known(self, region):
        spoke(region, "fx-1", subject=1)
        spoke(region, "fx-2", slot="w1", subject=1, jurisdiction="FR", minimised={"IBAN": 1})
        region.slot().write("finding", "fx-1", 3001, 1, rule="honeytoken", verdict="cut")
        index(region)
        spoke(region, "fx-3", subject=2)  # neither it nor the key of its shopper is in the index yet
        region.slot().whole("fx-4", 3000, 5, "fallback", subject=3)
        spoke(region, "fx-5")
        found = subjects(region)
        assert set(found) == {lookup(1), lookup(2), lookup(3)}
        one = found[lookup(1)]
        assert (one.confirmed, one.exposed) == (True, True)
        assert (set(one.jurisdictions), set(one.categories)) == ({"DE", "FR"}, {"EMAIL", "IBAN"})
        assert (found[lookup(2)].confirmed, found[lookup(2)].exposed) == (False, True)
        assert found[lookup(3)].exposed is False
        assert found[lookup(3)].categories == ()

    def test_an_erased_shopper_is_not_told_and_still_counts(self, region):
        spoke(region, "fx-1", subject=1)
        spoke(region, "fx-2", subject=2)
        index(region)
        assert region.source().count(asked()).subjects.most == 2
        region.erase(1)  # the index does not know of it yet
        spoke(region, "fx-3", subject=1)  # and they came back
        found = region.source().count(asked())
        assert (found.subjects.least, found.subjects.most, found.unknown) == (2, 3, {"erased_subject": 1})
        assert set(subjects(region)) == {lookup(1), lookup(2)}
        index(region)
        assert region.source().count(asked()).subjects == found.subjects

    def test_a_shopper_with_two_keys_of_which_one_was_destroyed_is_one(self, region):
        spoke(region, "fx-1", subject=1)
        spoke(region, "fx-2", slot="w1", subject=1)
        index(region)
        region.slot().write("erasure", "", facts={"keys": [region.slot().keys.pop(1).id]})
        spoke(region, "fx-3", subject=1)
        found = region.source().count(asked())
        assert (found.subjects.least, found.subjects.most) == (1, 2)
        assert set(subjects(region)) == {lookup(1)}

    def test_an_exchange_that_a_case_names_counts_wherever_it_was(self, region):
        spoke(region, "fx-1", at=100, subject=1, shop="mode")
        spoke(region, "fx-2", subject=2)
        index(region)
        found = region.source().count(asked(scopes=("eu/alpenladen/*/*",), named=("fx-1", "fx-gone")))
        assert (found.exchanges.least, found.exchanges.most) == (2, 3)
        assert found.confirmed.least == 1
        assert found.unknown == {"not_indexed": 1}
        assert subjects(region, scopes=("eu/alpenladen/*/*",), named=("fx-1",))[lookup(1)].confirmed


class TestGaps:
    def test_what_the_journals_hold_and_the_index_not_yet_is_counted_exactly(self, region):
        region.slot().write("intent", "fx-1", 3000, 1)
        index(region)
        open_one = region.source().count(asked())
        assert (open_one.exposed.least, open_one.exposed.most) == (0, 1)
        assert open_one.unknown == {"open_or_unknown": 1}
        region.slot().write("outcome", "fx-1", 3001, 1, outcome="fallback", reason="leak")
        ended = region.source().count(asked())
        assert (ended.exchanges.most, ended.exposed.most, ended.unknown) == (1, 0, {})
        assert ended.read_up_to == {"w0": region.slot().scribe.seq}

    def test_beyond_the_bound_it_is_a_range(self, region):
        for number in range(4):
            spoke(region, f"fx-{number}", subject=number)
        index(region, 3)
        found = region.source(tail=2).count(asked())
        assert found.unknown["not_indexed"] == 4
        assert (found.exchanges.least, found.exchanges.most) == (2, 6)
        assert found.read_up_to == {"w0": 5}

    def test_a_journal_that_is_gone_and_has_no_log_leaves_the_upper_end_open(self, region):
        spoke(region, "fx-1", subject=1)
        spoke(region, "fx-2", slot="w1", subject=2)
        index(region)
        region.lose("w0")
        found = region.source().count(asked())
        assert (found.exchanges.least, found.exchanges.most) == (2, None)
        assert found.unknown == {"log_missing": None}
        over = region.source().count(asked(until=2100))  # what may be gone is younger than what is there
        assert (over.exchanges.most, over.unknown) == (0, {})

    def test_a_log_says_how_much_is_gone(self, region):
        for number in range(5):
            spoke(region, f"fx-{number}", subject=number)
        region.publish("w0")
        index(region, 5)
        region.cut("w0", 3)
        found = region.source().count(asked())
        assert found.unknown["log_missing"] == 3
        assert found.exchanges.least <= 5 <= found.exchanges.most

    def test_another_journal_in_the_place_of_one_that_was_indexed(self, region):
        spoke(region, "fx-1", subject=1)
        index(region)
        region.publish("w0")
        region.slot().close()
        shutil.rmtree(region.journals / "w0")
        del region.writers["w0"]
        spoke(region, "fx-2", subject=2)
        found = region.source().count(asked())
        assert found.exchanges.least == 1
        assert found.exchanges.most >= 2
        assert found.unknown == {"not_indexed": 3}

    def test_an_outcome_that_stands_alone_may_be_anything(self, region):
        spoke(region, "fx-1", subject=1)
        region.slot().write("outcome", "fx-2", 8000, facts={"outcome": "unknown", "reason": "recovered"})
        for indexed in (2, None):
            index(region, indexed)
            found = region.source().count(asked(scopes=("eu/alpenladen/*/*",)))
            assert (found.exchanges.least, found.exchanges.most) == (1, 2)
            assert (found.jurisdictions["DE"].least, found.jurisdictions["DE"].most) == (1, 2)
            assert found.unknown == {"open_or_unknown": 1, "not_seen": 1}

    def test_without_an_index_it_says_so(self, tmp_path):
        region = House(tmp_path / "eu")
        with pytest.raises(StateUnavailable, match="no state database"):
            region.source().count(asked())


@pytest.fixture
def hosts(server, tmp_path):
    url = server.database()
    made = [House(tmp_path / name, url, name) for name in ("gw-1", "gw-2")]
    yield made
    for host in made:
        host.close()


class TestHosts:
    def index(self, host, now):
        indexer = Indexer(host.place, host.slots, "eu", clock_ns=lambda: now * 10**9)
        while indexer.work():
            pass
        indexer.close()

    def test_a_shopper_of_two_hosts_is_one_and_a_host_that_lags_leaves_the_upper_end_open(self, hosts):
        here, _ = hosts
        for number, host in enumerate(hosts):
            spoke(host, f"fx-{number}", subject=1, minimised={"IBAN" if number else "EMAIL": 1})
            spoke(host, f"fx-{number}-own", subject=2 + number)
            self.index(host, 5000)
        spoke(here, "fx-late", subject=3)  # with the other host before, with this one for the first time
        found = here.source(now=5009).count(asked())
        assert (found.exchanges.least, found.exchanges.most) == (5, 5)
        assert (found.subjects.least, found.subjects.most) == (3, 3)
        assert {name: value.least for name, value in found.categories.items()} == {"EMAIL": 4, "IBAN": 1}
        assert set(found.read_up_to) == {"gw-1/w0", "gw-2/w0"}
        assert len(list(here.source(now=5009).affected_subjects(asked()))) == 3
        late = here.source(now=5011).count(asked(until=None))
        assert (late.exchanges.least, late.exchanges.most, late.unknown) == (5, None, {"host_silent": None})
        assert here.source(now=9000).count(asked()).exchanges.most == 5  # it was heard of after the time in question
        unheard = here.source(now=5009, silent=("gw-3",)).count(asked())
        assert unheard.unknown == {"host_silent": None}

    def test_a_host_that_never_wrote_its_part_counts_what_its_journals_hold_as_a_range(self, hosts):
        here, there = hosts
        spoke(there, "fx-0", subject=1)
        self.index(there, 5000)
        spoke(here, "fx-1", subject=2)
        found = here.source(now=5001).count(asked())
        assert (found.exchanges.least, found.exchanges.most) == (1, 4)
        assert found.unknown == {"not_indexed": 3}

    def test_labels_of_two_hosts_that_have_other_numbers(self, hosts):
        for host, labels in zip(hosts, (["EMAIL", "IBAN"], ["PHONE", "EMAIL"]), strict=True):
            for number, label in enumerate(labels):
                spoke(host, f"fx-{host.host}-{number}", subject=1, minimised={label: 1})
            self.index(host, 5000)
        found = hosts[0].source(now=5001).count(asked())
        assert {name: value.least for name, value in found.categories.items()} == {"EMAIL": 2, "IBAN": 1, "PHONE": 1}
        assert {value.most for value in found.subjects_by_category.values()} == {1}


def test_the_scan_reads_what_is_in_no_pack_by_its_index(region):
    spoke(region, "fx-1", subject=1)
    index(region)
    reader = open_index(region.where, "eu")
    with reader.parts() as (connection, parts):
        seen = []
        connection.connection.driver_connection.set_trace_callback(seen.append)
        part = Part(connection, parts[""], "")
        assert [which for which, _ in part.scan(Window(START * SECOND, None, -1), set(part.places), {})] == ["sure"]
        plans = [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
            for query in seen
            if "group_concat" in query
        ]
    reader.close()
    assert any("USING INDEX ix_exchanges_slot" in step for step in plans[0])
    assert not any("TEMP B-TREE" in step for step in plans[0])


def test_a_database_of_an_older_release_gets_the_new_index(region, server):
    for where in (region.where, server.database()):
        state = State(writer(where), "eu", writable=True)
        with state.writing() as connection:
            STEPS.take(connection, "0002")
            state.set(connection, "region", "eu")
            connection.exec_driver_sql("DROP INDEX ix_exchanges_summary")
            connection.exec_driver_sql("CREATE INDEX ix_exchanges_summary_3 ON exchanges (scope)")
        state.close()
        open_state(where, "eu").close()
        state = State(writer(where), "eu", writable=True)
        with state.writing() as connection:
            sql = "SELECT indexdef FROM pg_indexes" if "://" in str(where) else "SELECT sql FROM sqlite_master"
            found = [row[0] for row in connection.exec_driver_sql(sql) if "ix_exchanges_summary" in str(row[0])]
        state.close()
        assert len(found) == 1
        assert "released" in found[0]
