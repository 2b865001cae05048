"""The index of a region with several hosts: each writes its own part of one database, a question goes to all."""

import pytest

from firedoor.agent.follower import bring_up_to_date
from firedoor.app.indexplace import index_place, known_index_place, read_index
from firedoor.config import RegionHome
from firedoor.core.evidence.questions import Question
from firedoor.core.plan.model import NatsBus
from firedoor.core.plan.model import Region as PlanRegion
from firedoor.errors import SetupError, StateBusy
from firedoor.store.index import IndexPlace
from firedoor.store.index_read import open_index
from firedoor.store.state_connect import schema_of

from .indexed import Region, lookup
from .postgres import running

HOSTS = ("gw-1", "gw-2")


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@pytest.fixture
def hosts(server, tmp_path):
    url = server.database()
    made = {name: Host(tmp_path / name, url, name) for name in HOSTS}
    yield made
    for host in made.values():
        for writer in host.writers.values():
            writer.close()


class Host(Region):
    def __init__(self, folder, url, name):
        super().__init__(folder, url)
        self.name = name

    @property
    def place(self):
        request = self.folder / "rebuild-index"
        return IndexPlace(self.where, "eu", subjects=self.subjects, request=request, host=self.name)

    def index(self, **more):
        assert bring_up_to_date(self.place, self.slots, "eu", **more) == ()


def ask(hosts, question=None, limit=100):
    index = open_index(hosts["gw-1"].where, "eu", of_hosts=True)
    try:
        return index.find(question or Question(), limit), index.summary(question or Question()), index.read_up_to()
    finally:
        index.close()


def two_hosts_talked(hosts):
    """Shopper 1 with both hosts, 2 and 3 with one each; both hosts have a worker w0."""
    for number, host in enumerate(hosts.values()):
        writer = host.slot("w0")
        writer.whole(f"fx-{host.name}-both", 1000 + number, subject=1, minimised={"EMAIL": 1})
        writer.whole(f"fx-{host.name}-own", 1010 + number, subject=2 + number, minimised={"PHONE": 1})
        writer.write("finding", f"fx-{host.name}-own", 1011 + number, rule="honeytoken", verdict="cut")
        host.index()


def test_a_question_goes_to_all_hosts(hosts):
    two_hosts_talked(hosts)
    found, summary, up_to = ask(hosts)
    assert [(one.exchange, one.slot, one.subject) for one in found] == [
        ("fx-gw-2-own", "gw-2/w0", lookup(3)),
        ("fx-gw-1-own", "gw-1/w0", lookup(2)),
        ("fx-gw-2-both", "gw-2/w0", lookup(1)),
        ("fx-gw-1-both", "gw-1/w0", lookup(1)),
    ]
    assert (summary.exchanges, summary.called, summary.subjects, summary.no_subject) == (4, 4, 3, 0)
    assert (summary.categories, summary.findings) == ({"EMAIL": 2, "PHONE": 2}, {"honeytoken": 2})
    assert up_to == {name + "/w0": host.slot("w0").scribe.seq for name, host in hosts.items()}


def test_the_newest_of_all_are_found_within_the_limit(hosts):
    two_hosts_talked(hosts)
    found, _, _ = ask(hosts, limit=2)
    assert [one.exchange for one in found] == ["fx-gw-2-own", "fx-gw-1-own"]


def test_a_shopper_is_one_with_whomever_they_spoke(hosts):
    two_hosts_talked(hosts)
    found, summary, _ = ask(hosts, Question(subject=lookup(1)))
    assert [one.exchange for one in found] == ["fx-gw-2-both", "fx-gw-1-both"]
    assert (summary.exchanges, summary.subjects) == (2, 1)
    assert ask(hosts, Question(category="PHONE"))[1].subjects == 2
    assert ask(hosts, Question(finding="honeytoken", until=1011 * 10**6))[1].subjects == 1


def test_each_host_has_its_own_writer(hosts):
    two_hosts_talked(hosts)
    one = hosts["gw-1"].place.open()
    with pytest.raises(StateBusy):
        hosts["gw-1"].place.open()
    hosts["gw-2"].place.open().close()
    one.close()


def test_one_host_makes_its_part_again_and_leaves_the_others_alone(hosts):
    two_hosts_talked(hosts)
    before = ask(hosts)
    hosts["gw-1"].index(rebuild=True)
    assert ask(hosts) == before
    index = hosts["gw-2"].place.open()
    index.forget("w0")
    index.close()
    found, summary, up_to = ask(hosts)
    assert {one.slot for one in found} == set(up_to) == {"gw-1/w0"}
    assert summary.subjects == 2
    hosts["gw-2"].index()
    assert ask(hosts) == before


def test_who_was_erased_on_one_host_is_known_only_to_the_other(hosts):
    two_hosts_talked(hosts)
    writer = hosts["gw-1"].slot("w0")
    writer.write("erasure", "", 1100, facts={"keys": [writer.keys[1].id]})
    hosts["gw-1"].index()
    found, summary, _ = ask(hosts)
    assert {one.exchange: one.subject for one in found if one.exchange.endswith("both")} == {
        "fx-gw-1-both": None, "fx-gw-2-both": lookup(1),
    }  # fmt: skip
    assert (summary.subjects, summary.erased) == (3, 1)


def test_a_part_that_cannot_be_read_is_never_left_out(server, hosts):
    two_hosts_talked(hosts)
    version = f'"{schema_of("gw-2")}".alembic_version'
    server.execute(hosts["gw-1"].where, f"UPDATE {version} SET version_num = '0001'")
    with pytest.raises(SetupError, match="older release of host gw-2"):
        ask(hosts)
    server.execute(hosts["gw-1"].where, f"UPDATE {version} SET version_num = '9999'")
    with pytest.raises(SetupError, match="newer release"):
        ask(hosts)


def test_a_part_that_was_only_begun_is_passed_over(server, hosts):
    with pytest.raises(SetupError, match="no state database yet"):
        ask(hosts)
    server.execute(hosts["gw-1"].where, f'CREATE SCHEMA "{schema_of("gw-3")}"')
    two_hosts_talked(hosts)
    assert ask(hosts)[1].exchanges == 4


def test_the_names_of_schemas_fit_and_differ():
    names = ["a", "a" * 62, "a" * 61 + "b", "x" * 37, "x" * 38]
    assert len({schema_of(name) for name in names}) == len(names)
    assert all(len(schema_of(name)) <= 63 for name in names)


class TestPlace:
    def plan(self, **more):
        return PlanRegion(jurisdictions=("EU",), address="http://127.0.0.1:1", listen="127.0.0.1:1", **more)

    def test_a_host_keeps_the_name_it_began_with(self, tmp_path, server, monkeypatch):
        place = RegionHome("eu", tmp_path / "eu")
        place.make()
        declared = self.plan(state=server.database(), bus=NatsBus(servers=("nats://127.0.0.1:4222",)))
        assert known_index_place(place, declared) is None
        monkeypatch.setenv("FIREDOOR_HOST", "gw-7")
        index_place(place, declared).open().close()
        monkeypatch.setenv("FIREDOOR_HOST", "gw-8")
        for known in (index_place(place, declared), known_index_place(place, declared)):
            known.open().close()
        reader = read_index(place, declared)
        assert list(reader._parts) == ["gw-7"]
        reader.close()

    def test_alone_it_has_no_name(self, tmp_path, server):
        place = RegionHome("eu", tmp_path / "eu")
        place.make()
        for declared in (None, self.plan(), self.plan(state=server.database())):
            for known in (index_place(place, declared), known_index_place(place, declared)):
                known.open().close()
            read_index(place, declared).close()
        assert not place.host_part.exists()
