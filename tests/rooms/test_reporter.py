"""What a host reports of its workers' journals to the region's control."""

import shutil

import pytest

from firedoor.agent import reporter as reporters
from firedoor.agent.reporter import Reporter
from firedoor.core.hosts import REPORTS, HostSaid, Report, seal, unseal
from firedoor.errors import EvidenceDamaged
from firedoor.store.journal_tail import JournalTail

from .journals import Evidence, record


@pytest.fixture
def evidence(tmp_path):
    return Evidence(tmp_path)


def leak(scope="eu/s/chat/m", exchange="fx-1", **facts):
    return record("finding", exchange, **{"scope": scope, "verdict": "shut", "detector": "canary", **facts})


def reporter(evidence):
    return Reporter(JournalTail(evidence.journals), "eu")


def begun(evidence, absorbed=None):
    one = reporter(evidence)
    assert one.begin(absorbed or {}) == set()
    return one


def last(evidence, slot="w0"):
    return evidence.leaves(slot)[-1].seq


def test_confirmed_leaks_are_reported_and_nothing_else(evidence):
    seqs = evidence.write([
        record("intent"), leak(), record("finding", verdict="limit", scope="eu/s/chat/m"),
        record("outcome", verdict="shut", scope="eu/s/chat/m"), leak("eu/s/faq", "fx-2"),
    ])  # fmt: skip
    assert begun(evidence).look({}) == (
        Report("w0", seqs[1], "eu/s/chat/m", "fx-1"),
        Report("w0", seqs[4], "eu/s/faq/*", "fx-2"),
    )


def test_a_report_is_said_again_until_control_knows_of_it(evidence):
    first, second = evidence.write([leak(), leak("eu/s/faq")])
    one = begun(evidence)
    both = one.look({})
    assert [r.seq for r in both] == [first, second]
    assert one.look({}) == both
    assert one.look({"w1": second}) == both
    assert one.look({"w0": first}) == both[1:]
    (third,) = evidence.write([leak()])
    assert [r.seq for r in one.look({"w0": first})] == [second, third]
    assert one.look({"w0": third}) == ()
    assert one.look({}) == (), "what control once knew of is not said again"


def test_it_begins_after_what_control_knows(evidence):
    first, second = evidence.write([leak(), leak()])
    assert [r.seq for r in begun(evidence, {"w0": first}).look({"w0": first})] == [second]
    assert begun(evidence, {"w0": second}).look({}) == ()


def test_a_slot_whose_journal_is_another_one_begins_anew_and_is_named(evidence):
    evidence.write([leak()] * 5)
    known = last(evidence)
    evidence.write([leak()], slot="w1")
    shutil.rmtree(evidence.journals / "w0")
    evidence.write([leak("eu/s/faq")])
    one = reporter(evidence)
    assert one.begin({"w0": known, "w1": last(evidence, "w1")}) == {"w0"}
    assert [(r.slot, r.scope) for r in one.look({})] == [("w0", "eu/s/faq/*")]


def test_slots_that_appear_later_are_read_too(evidence):
    one = begun(evidence)
    assert one.look({}) == ()
    evidence.write([leak()], slot="w7")
    assert [r.slot for r in one.look({})] == ["w7"]


@pytest.mark.parametrize(
    "scope", [None, 17, "", "us/s/chat/m", "*", "eu//chat", "eu/a/b/c/d", "eu/" + "s" * 300, "eu /s", ["eu"]]
)
def test_a_leak_whose_scope_cannot_be_read_is_the_regions(evidence, scope):
    evidence.write([leak(scope) if scope is not None else record("finding", verdict="shut")])
    (report,) = begun(evidence).look({})
    assert report.scope == "eu/*/*/*"
    said = HostSaid(region="eu", host="h", count=1, reports=(report,))
    assert unseal(seal(said, b"k" * 32), b"k" * 32) == said


def test_a_message_takes_only_so_many_the_oldest_first(evidence):
    seqs = evidence.write([leak(exchange=f"fx-{i}") for i in range(REPORTS + 3)])
    one = begun(evidence)
    assert [r.seq for r in one.look({})] == seqs[:REPORTS]
    assert [r.seq for r in one.look({"w0": seqs[REPORTS - 1]})] == seqs[REPORTS:]


def test_a_backlog_is_read_in_parts_and_no_further_than_control_takes(evidence, monkeypatch):
    for name, value in (("BATCH", 10), ("BATCHES", 2), ("WAITING", 35)):
        monkeypatch.setattr(reporters, name, value)
    seqs = evidence.write([leak() for _ in range(100)])
    one = begun(evidence)
    one.look({})
    assert one.behind
    one.look({})
    assert not one.behind
    assert len(one._waiting) <= 35 + 20
    one.look({})
    held = len(one._waiting)
    one.look({})
    assert len(one._waiting) == held, "control takes nothing: the rest lies safe in the journal"
    seen, absorbed = set(), {}
    while reports := one.look(absorbed):
        seen |= {r.seq for r in reports}
        absorbed = {"w0": reports[-1].seq}
    assert seen == set(seqs)


def test_the_cursors_never_pass_a_report_that_waits(evidence):
    one, seqs = begun(evidence), evidence.write([leak(), record("intent"), leak(), record("intent")])
    evidence.write([record("intent")], slot="w1")
    one.look({})
    assert one.cursors == {"w0": seqs[0] - 1, "w1": last(evidence, "w1")}
    one.look({"w0": seqs[0]})
    assert one.cursors["w0"] == seqs[2] - 1
    one.look({"w0": seqs[2]})
    assert one.cursors["w0"] == last(evidence)
    assert begun(evidence, one.cursors).look({}) == ()


def test_a_journal_that_is_damaged_or_replaced_stops_it(evidence):
    evidence.write([leak()])
    one = begun(evidence)
    one.look({})
    shutil.rmtree(evidence.journals / "w0")
    with pytest.raises(EvidenceDamaged):
        one.look({})
