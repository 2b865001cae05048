"""Legal holds on a real region: nothing they name is deleted or erased, in whatever order things happen."""

import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.rooms.archives import ALICE, BO, CEM, NO_SYNC, NOON, Archive

from firedoor.core.evidence.leaf import hour
from firedoor.core.evidence.retention import DAY, HOUR, Window, parse_kept
from firedoor.errors import ActRefused, JournalPoisoned
from firedoor.store.holds import EXCHANGES, load
from firedoor.store.opening import BodyOpener


@pytest.fixture
def region(tmp_path):
    return Archive(tmp_path / "home")


def fill(region):
    """Four exchanges of two subjects in the hour of noon, all in one file, and one an hour later."""
    region.write(
        region.record("fx-1", ALICE),
        region.record("fx-2", BO),
        region.record("fx-3", ALICE),
        region.record("fx-4", BO),
        region.record("fx-5", BO, NOON + HOUR),
    )
    region.expire(3000, now=NOON + 3 * HOUR)


def test_an_expired_hour_keeps_what_is_held_and_nothing_else(region):
    fill(region)
    region.hold(exchanges=("fx-2",))
    done = region.expire(1, now=NOON + DAY + HOUR)
    assert (done.hours, done.files, done.kept) == (1, 0, 1)
    assert region.readable() == {"fx-2", "fx-5"}
    (record,) = region.records("expiry")
    (kept,) = record.facts["kept"]
    seq = next(s.leaf.seq for s in region.leaves() if s.leaf.exchange == "fx-2")
    assert parse_kept(kept) == (f"support/{hour(NOON)}", "w0", ((seq, seq),))
    report = region.verify()
    assert sum(slot.expired for slot in report.slots) == 3
    assert region.expire(1).hours == 0  # the next runs find nothing to do, and record nothing
    assert len(region.records("expiry")) == 1
    assert region.end() == []
    assert region.expire(1).hours == 1
    assert region.readable() == {"fx-5"}
    assert len(region.files()) == 1
    region.verify()


def test_a_held_window_keeps_the_hours_it_covers_whole(region):
    fill(region)
    region.hold(windows=(Window("support", NOON - 1, NOON + HOUR),))
    done = region.expire(1, now=NOON + DAY + 2 * HOUR)
    assert (done.hours, done.kept) == (1, 1)
    assert region.readable() == {"fx-1", "fx-2", "fx-3", "fx-4"}
    assert [record.facts["hours"] for record in region.records("expiry")] == [[f"support/{hour(NOON + HOUR)}"]]


def test_a_held_subject_is_kept_under_every_key_they_have(region):
    fill(region)
    region.write(region.record("fx-6", ALICE), slot="w1")
    region.hold(subjects=(ALICE,))
    region.expire(1, now=NOON + DAY + HOUR)
    assert region.readable() == {"fx-1", "fx-3", "fx-5", "fx-6"}
    region.verify()


@pytest.mark.parametrize(
    "scope",
    [{"subjects": (ALICE,)}, {"exchanges": ("fx-3",)}, {"windows": (Window("support", NOON, NOON + 1),)}],
)
def test_a_subject_of_whom_anything_is_held_is_not_erased(region, scope):
    """The key opens all there is of them, so one held exchange keeps all."""
    fill(region)
    region.hold(**scope)
    before = region.readable()
    for _ in range(2):
        with pytest.raises(ActRefused) as refusal:
            region.erase(ALICE)
        assert refusal.value.code == "held"
        assert "hold-1" in str(refusal.value)
    assert region.readable() == before
    assert region.records("erasure") == []
    (waiting,) = load(region.place.holds).erasures_pending
    assert (waiting.lookup, waiting.state, waiting.hold, waiting.by) == (ALICE, "held", "hold-1", "uid:1")
    assert region.resume() == 0  # nobody but a person does it
    assert [erasure.lookup for erasure in region.end()] == [ALICE]
    assert region.resume() == 0
    assert region.readable() == before
    assert region.erase(ALICE).keys == 1
    assert region.readable() == before - {"fx-1", "fx-3"}
    region.verify()


def test_somebody_else_is_erased_while_a_hold_stands(region):
    fill(region)
    region.hold(exchanges=("fx-3",), windows=(Window("account_chat", 0, NOON * 2),))
    assert region.erase(BO).bodies == 3
    assert region.readable() == {"fx-1", "fx-3"}


def test_a_hold_put_while_an_erasure_was_cut_short_saves_what_is_left(region):
    fill(region)

    def cut(append, record):
        append(record)
        raise JournalPoisoned("the process ends")

    with pytest.raises(JournalPoisoned):
        region.erase(ALICE, write=cut)
    region.hold(exchanges=("fx-1",))
    assert region.resume() == 0
    assert {"fx-1", "fx-3"} <= region.readable()
    assert load(region.place.holds).erasures_pending[0].state == "held"
    region.verify()
    region.end()
    assert region.erase(ALICE).bodies == 2
    assert not {"fx-1", "fx-3"} & region.readable()


def test_a_hold_put_while_an_expiry_was_cut_short_saves_what_is_left(region):
    fill(region)

    def cut(append, record):
        append(record)
        raise JournalPoisoned("the process ends")

    with pytest.raises(JournalPoisoned):
        region.expire(1, now=NOON + DAY + HOUR, write=cut)
    region.hold(exchanges=("fx-1",))
    region.expire(1)
    assert region.readable() == {"fx-1", "fx-5"}
    region.verify()


def test_the_record_of_a_hold_names_no_subject_and_seals_the_words(region):
    fill(region)
    region.hold(subjects=(ALICE,), exchanges=("fx-2",), windows=(Window("support", NOON, NOON + HOUR),))
    region.end()
    begun, ended = region.records("hold")
    assert begun.facts["exchanges"] == ["fx-2"]
    assert begun.facts["windows"] == [f"support:{NOON}-{NOON + HOUR}"]
    assert (begun.facts["subjects"], len(begun.facts["keys"])) == (1, 1)
    assert (ended.facts["state"], ended.facts["hold"], ended.facts["incident"]) == ("ended", "hold-1", "INC-7")
    opener = BodyOpener(region.place.bodies, region.place.subjects, region.ring)
    assert (opener.open(begun), opener.open(ended)) == (b"Ms Ber asked", b"closed")
    opener.close()
    for path in (region.place.holds, *region.place.journals.rglob("*.journal")):
        assert b"Ms Ber" not in path.read_bytes()
    for stored in region.leaves():
        assert ALICE.encode() not in stored.data


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ({}, "empty_hold"),
        ({"exchanges": ("fx-99",)}, "unknown_exchange"),
        ({"exchanges": ("fx-1", "fx-99")}, "unknown_exchange"),
        ({"subjects": (CEM,)}, "unknown_subject"),
        ({"subjects": ("0" * 32,)}, "unknown_subject"),
        ({"exchanges": tuple(f"fx-{n}" for n in range(EXCHANGES + 1))}, "hold_too_large"),
    ],
)
def test_a_hold_that_would_keep_nothing_is_refused(region, scope, code):
    fill(region)
    with pytest.raises(ActRefused) as refusal:
        region.hold(**scope)
    assert refusal.value.code == code
    assert load(region.place.holds).holds == ()
    assert region.records("hold") == []


def test_ending_a_hold_that_is_not_there_is_refused(region):
    with pytest.raises(ActRefused) as refusal:
        region.end("hold-9")
    assert refusal.value.code == "unknown_hold"


class Custody(RuleBasedStateMachine):
    """Writing, holding, ending, expiring and erasing in all orders, and a process that ends within any of them."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.region = Archive(self.folder.name, NO_SYNC)
        self.exchanges = {}  # id -> (subject, at)
        self.holds = {}  # id -> what it names
        self.gone = set()
        self.number = 0
        self.region.expire(1)

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def held(self):
        found = set()
        for scope in self.holds.values():
            for name, (subject, at) in self.exchanges.items():
                if name in scope.get("exchanges", ()) or subject in scope.get("subjects", ()):
                    found.add(name)
                if any(window.since <= at < window.until for window in scope.get("windows", ())):
                    found.add(name)
        return found - self.gone

    def over(self):
        now = self.region.now
        return {name for name, (_, at) in self.exchanges.items() if at - at % HOUR + HOUR + DAY <= now}

    @rule(
        subjects=st.lists(st.sampled_from([ALICE, BO, CEM]), min_size=1, max_size=4), slot=st.sampled_from(["w0", "w1"])
    )
    def write(self, subjects, slot):
        records = []
        for subject in subjects:
            self.number += 1
            self.exchanges[f"fx-{self.number}"] = (subject, self.region.now)
            records.append(self.region.record(f"fx-{self.number}", subject))
        self.region.write(*records, slot=slot)

    @rule(hours=st.integers(1, 20))
    def wait(self, hours):
        self.region.now += hours * HOUR
        self.region.expire(3000)  # the agent looks at the clock all the while

    @precondition(lambda self: len(self.holds) < 3)
    @rule(data=st.data())
    def hold(self, data):
        present = sorted(set(self.exchanges) - self.gone)
        if not present:
            return
        name = data.draw(st.sampled_from(present))
        subject, at = self.exchanges[name]
        scope = data.draw(
            st.sampled_from(
                [{"exchanges": (name,)}, {"subjects": (subject,)}, {"windows": (Window("support", at, at + HOUR),)}]
            )
        )
        self.number += 1
        try:
            self.region.hold(f"hold-{self.number}", **scope)
        except ActRefused as refusal:
            assert refusal.code == "unknown_subject"
            return
        self.holds[f"hold-{self.number}"] = scope

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def end(self, data):
        hold = data.draw(st.sampled_from(sorted(self.holds)))
        self.region.end(hold)
        del self.holds[hold]

    @rule()
    def expire(self):
        self.region.expire(1)
        self.gone |= self.over() - self.held()

    @rule(subject=st.sampled_from([ALICE, BO, CEM]))
    def erase(self, subject):
        theirs = {name for name, (whose, _) in self.exchanges.items() if whose == subject}
        try:
            self.region.erase(subject)
        except ActRefused as refusal:
            if refusal.code == "held":
                return
            assert refusal.code == "unknown_subject"
        assert not theirs & self.held()
        self.gone |= theirs

    @rule(subject=st.sampled_from([ALICE, BO, CEM]), after=st.integers(1, 2), expiry=st.booleans())
    def cut_short(self, subject, after, expiry):
        """The process ends after a record. A later run finishes; what went meanwhile was not held."""
        left = [after]

        def cut(append, record):
            append(record)
            left[0] -= 1
            if not left[0]:
                raise JournalPoisoned("the process ends")

        try:
            if expiry:
                self.region.expire(1, write=cut)
            else:
                self.region.erase(subject, write=cut)
        except (JournalPoisoned, ActRefused):
            pass
        there = self.region.readable()
        self.gone |= {name for name in self.exchanges if name not in there and name not in self.held()}

    @rule()
    def resume(self):
        self.region.now += 2 * 60_000_000
        self.region.resume()
        there = self.region.readable()
        self.gone |= {name for name in self.exchanges if name not in there and name not in self.held()}

    @invariant()
    def nothing_held_is_destroyed_and_all_verifies(self):
        if not hasattr(self, "folder"):
            return
        there = self.region.readable()
        assert self.held() <= there
        assert not self.gone & there
        self.region.verify()


Custody.TestCase.settings = settings(
    max_examples=12, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCustody = Custody.TestCase
