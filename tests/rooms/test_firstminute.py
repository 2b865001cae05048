"""The first minute of a case by itself, with real switches, journals, cache and store."""

import asyncio
import hashlib

import msgspec
import pytest
from msgspec import structs
from tests.rooms.firstminutes import LEAK, STEPS, CaseRegion, kinds_of, until

from firedoor.control import firstminute
from firedoor.core.incident import entries as kinds
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import Scope
from firedoor.core.switchstate import Entry
from firedoor.errors import ActRefused, JournalPoisoned, StateBusy, StateUnavailable
from firedoor.ports.incidents import SnapshotTaken
from firedoor.store import cache_care

SEEN = {"verdict": "mask", "rule": "stranger_data"}


@pytest.fixture
def house(tmp_path):
    return CaseRegion(tmp_path)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """What waits for seconds in earnest waits for moments here."""
    monkeypatch.setattr(firstminute, "AGAIN", (0.02,))
    monkeypatch.setattr(firstminute, "DEBOUNCE", 0.02)
    monkeypatch.setattr(firstminute, "INDEX_WAIT", 0.1)
    monkeypatch.setattr(firstminute, "INDEX_LOOK", 0.02)
    monkeypatch.setattr(firstminute, "COUNT_LATER", (0.05,) * 5)


def run(life):
    return asyncio.run(asyncio.wait_for(life(), 120))


def only(life):
    (case,) = life.incidents.open_cases()
    return case


def done(life, steps=STEPS):
    return lambda: life.incidents.open_cases() and set(steps) <= set(kinds_of(only(life)))


async def leaks(house, life, scope=LEAK, **more):
    """A worker finds a leak; the switches look, then the cases."""
    await house.region.finding(scope, **more)
    life.board.beat()
    await life.incidents.look()


def opened(scope=LEAK, **more):
    values = {"cause": "hook", "title": "An alarm", "scope": scope, "detected": 1, "system": None}
    return kinds.Opened(**values | more)


async def alarm(life, trigger=b"1", **more):
    return await life.incidents.open_for("hook:siem", opened(**more), trigger)


def test_a_leak_is_contained_sealed_purged_clocked_and_counted(house):
    house.keep_answers(3)
    house.keep_answers(2, shop="berg")

    async def life():
        async with house.life() as life:
            await leaks(house, life)
            await until(done(life), "the first minute")
            case = only(life)
            assert kinds_of(case) == ["opened", "findings", *STEPS]
            (switch,) = life.board.table.shut
            assert (case.contained.scope, case.contained.version) == (str(switch.scope), switch.version)
            assert case.contained.at == int(switch.since * 1e6)
            # the leak's own shut began the new cache epoch
            assert (case.purged.cache_epoch, life.board.table.cache_epoch) == (1, 1)
            assert case.purged.items == {"removed": 5}
            assert case.purged.seal == case.sealed.sha256
            assert case.counted.asked.until == case.contained.at
            return case

    case = run(life)
    ((leaf, document),) = house.snapshots()
    assert (leaf.seq, leaf.slot) == (case.sealed.seq, case.sealed.slot)
    assert leaf.facts["sha256"] == case.sealed.sha256 == hashlib.sha256(document).hexdigest()
    taken = msgspec.json.decode(document)
    answers = next(item for item in taken["items"] if item["kind"] == "cache")["content"]["entries"]
    assert len(answers) == 5  # what is purged was sealed before
    assert cache_care.status(house.place.cache, epoch=0, now=0) == []


def test_the_seal_is_in_the_evidence_before_anything_is_purged(house):
    house.keep_answers(1)

    def check(part, real):
        if part != "caches":
            return real

        class Care:
            def clear(self, **chosen):
                assert len(house.snapshots()) == 1
                return real.clear(**chosen)

        return Care()

    async def life():
        async with house.life(wrap=check) as life:
            await leaks(house, life)
            await until(done(life), "the first minute")
            assert only(life).purged.items == {"removed": 1}
            assert not only(life).failures

    run(life)


def test_nothing_is_purged_without_a_seal(house):
    house.keep_answers(1)

    class Refusing:
        async def take(self, case, scopes, exchanges):
            raise OSError("no snapshot")

    async def life():
        async with house.life(wrap=lambda part, real: Refusing() if part == "snapshots" else real) as life:
            await leaks(house, life)
            await until(done(life, ("contained", "clocks_set", "counted", "step_failed")), "all but the seal")
            await asyncio.sleep(0.2)  # several tries
            case = only(life)
            assert [(f.step, f.code) for f in case.failures] == [("seal", "disk_refuses")]  # told once
            assert case.purged is None
            with pytest.raises(ActRefused) as refused:
                await life.first.purge(case)
            assert refused.value.code == "not_sealed"

    run(life)
    assert [one.served for one in cache_care.status(house.place.cache, epoch=0, now=0)] == [1]


def test_a_case_that_asks_for_it_is_shut_and_the_switch_names_it(house):
    async def life():
        async with house.life() as life:
            waiting = await alarm(life, scope="eu/alpen/search")
            await until(done(life), "the first minute")
            case = only(life)
            assert case.id == waiting.id
            (switch,) = life.board.table.shut
            assert (str(switch.scope), switch.reason, switch.incident) == ("eu/alpen/search/*", "suspicion", case.id)
            assert case.contained.version == switch.version
            (change,) = [e for e in life.board.keeper.trail if e.state == "shut"]
            assert (change.cause, change.by, change.incident) == ("finding", ("firedoor",), case.id)
        assert house.region.switch_records() == [("shut", "eu/alpen/search/*")]

    run(life)


@pytest.mark.parametrize(
    ("scope", "code"), [("eu/alpen/checkout", "unknown_scope"), ("us/alpen/support", "other_region"), ("*", "other_region")]
)  # fmt: skip
def test_a_scope_that_lies_elsewhere_is_not_shut_and_the_rest_goes_on(house, scope, code):
    async def life():
        async with house.life() as life:
            case = await alarm(life, scope="eu/alpen/support")
            # Opened long ago, under another plan.
            bad = structs.replace(case, opened=structs.replace(case.opened, scope=scope), scopes=(scope,))
            await life.first.settled(case.id)
            with pytest.raises(ActRefused) as refused:
                life.first._containment.contain(bad)
            assert refused.value.code == code
            assert [str(s.scope) for s in life.board.table.shut] == ["eu/alpen/support/*"]

    run(life)


def test_a_step_that_cannot_be_done_is_told_once_for_each_reason_and_the_others_go_on(house):
    async def life():
        async with house.life() as life:
            house.counts.failing = StateUnavailable("locked")
            await leaks(house, life)
            await until(done(life, ("contained", "sealed", "purged", "clocks_set", "step_failed")), "the others")
            await asyncio.sleep(0.1)
            house.counts.failing = OSError(5, "gone")
            await until(lambda: len(only(life).failures) == 2, "another reason")
            house.counts.failing = None
            await until(done(life), "the count")
            assert [f.code for f in only(life).failures] == ["state_unavailable", "disk_refuses"]
            assert kinds_of(only(life)).count("counted") == 1

    run(life)


def test_a_case_that_shuts_nothing_seals_and_counts(house):
    async def life():
        async with house.life() as life:
            await alarm(life, scope=LEAK, shut=False)
            await until(done(life), "the first minute")
            case = only(life)
            assert life.board.table.shut == ()
            assert (case.contained.asked, case.contained.version, case.purged.asked) == (False, -1, False)
            assert case.counted.asked.until is None

    run(life)


def test_what_was_shut_before_is_told_with_its_own_time_and_begins_an_epoch_under_the_seal(house):
    house.keep_answers(2)

    async def life():
        async with house.life() as life:
            await life.board.shut(house.region.shut_by("eu/alpen"))  # an operator, for another reason: the epoch stays
            assert life.board.table.cache_epoch == 0
            since = life.board.table.shut[0].since
            house.region.now += 100
            await alarm(life, scope="eu/alpen/support", purge=("cache",))
            await until(done(life), "the first minute")
            case = only(life)
            assert (case.contained.scope, case.contained.at) == ("eu/alpen/*/*", int(since * 1e6))
            assert len(life.board.table.shut) == 1
            assert (case.purged.cache_epoch, life.board.table.cache_epoch) == (1, 1)
            assert case.purged.items == {"removed": 2}

    run(life)


def test_what_two_people_opened_meanwhile_is_not_shut_again(house):
    """A case whose entries could not be written for an hour tells what became of its leak, and shuts nothing anew."""

    async def life():
        async with house.life() as life:
            await house.region.finding(LEAK)
            life.board.beat()
            (switch,) = life.board.table.shut
            pending = await life.board.propose(house.region.open_by(LEAK), "leak understood, prompt changed")
            await life.board.approve(pending.id, house.region.sign(pending.signed.act, "ben"))
            assert life.board.table.shut == ()
            await life.incidents.look()
            await until(done(life), "the first minute")
            assert only(life).contained.version == switch.version
            assert life.board.table.shut == ()

    run(life)


def test_a_leak_that_joins_elsewhere_is_contained_and_counted_again(house):
    async def life():
        async with house.life() as life:
            await leaks(house, life)
            await until(done(life), "the first minute")
            await leaks(house, life, "eu/alpen/support/m1", slot="w1")
            await until(lambda: kinds_of(only(life)).count("contained") == 2, "the other scope")
            await until(lambda: only(life).counted.asked.scopes == (LEAK, "eu/alpen/support/m1"), "the new count")
            case = only(life)
            assert case.counted.asked.until == case.contained.at
            await until(lambda: kinds_of(only(life)).count("purged") == 2, "its own seal and purge")
            assert kinds_of(only(life)).count("sealed") == 2

    run(life)


def test_a_leak_of_a_drill_shuts_the_drills_layer_and_purges_nothing(house):
    house.keep_answers(1)

    async def life():
        async with house.life() as life:
            await alarm(life, scope=LEAK, drill="winter", purge=("cache",))
            await until(done(life), "the first minute")
            assert life.board.table.shut == ()
            assert [(s.drill, str(s.scope)) for s in life.board.table.drills] == [("winter", LEAK)]
            assert only(life).purged == kinds.Purged(asked=False)
            assert life.board.table.cache_epoch == 0

    run(life)


def test_the_first_count_does_not_wait_for_ever_and_is_made_again_when_the_index_is_there(house):
    async def life():
        async with house.life() as life:
            house.counts.read_up_to, house.counts.exchanges = {}, 0
            await leaks(house, life)
            await until(done(life), "a first count")
            house.counts.read_up_to, house.counts.exchanges = {"w0": 9}, 7
            await until(lambda: only(life).counted.exchanges.least == 7, "a better count")
            await life.first.settled(only(life).id)
            assert kinds_of(only(life)).count("counted") == 2

    run(life)


def test_a_count_that_tells_nothing_new_makes_no_entry(house):
    async def life():
        async with house.life() as life:
            house.counts.unknown = {"open_or_unknown": 1}
            await leaks(house, life)
            await until(lambda: len(house.counts.asked) >= 6, "counts")
            assert kinds_of(only(life)).count("counted") == 1
            await life.first.settled(only(life).id)  # and it ends

    run(life)


def test_a_flood_of_findings_is_counted_a_few_times_only(house):
    async def life():
        async with house.life() as life:
            await leaks(house, life)
            await until(done(life), "the first minute")
            before = len(house.counts.asked)
            for _ in range(10):
                await leaks(house, life)
            await until(lambda: only(life).counted.asked.exchanges and not life.first._tasks, "the counts")
            assert len(house.counts.asked) - before <= 10

    run(life)


def test_many_cases_go_side_by_side_and_a_bounded_number_of_snapshots_is_taken_at_a_time(house):
    now, most, full = 0, 0, asyncio.Event()

    class Slow:
        async def take(self, case, scopes, exchanges):
            nonlocal now, most
            now += 1
            most = max(most, now)
            if now == firstminute.SIDE_BY_SIDE:
                full.set()
            await full.wait()
            await asyncio.sleep(0.02)
            now -= 1
            return SnapshotTaken(b"{}", {}, {})

    async def life():
        async with house.life(wrap=lambda part, real: Slow() if part == "snapshots" else real) as life:
            for number in range(12):
                await alarm(life, str(number).encode(), scope=f"eu/alpen/support/m{number}")
            # Doors wait for no snapshot.
            await until(lambda: len(life.board.table.shut) == 12, "all doors")
            await until(lambda: all(set(STEPS) <= set(kinds_of(c)) for c in life.incidents.open_cases()), "all cases")
            assert most == firstminute.SIDE_BY_SIDE

    run(life)


def test_a_step_that_hangs_makes_room_and_is_told(house, monkeypatch):
    monkeypatch.setattr(firstminute, "LONGEST", 0.1)

    class Hanging:
        async def take(self, case, scopes, exchanges):
            await asyncio.Event().wait()

    async def life():
        async with house.life(wrap=lambda part, real: Hanging() if part == "snapshots" else real) as life:
            await leaks(house, life)
            await until(done(life, ("contained", "clocks_set", "counted", "step_failed")), "all but the seal")
            assert [f.code for f in only(life).failures] == ["took_too_long"]

    run(life)


class _Evidence:
    """Control's journal for cases, whose snapshots are not taken while `broken`."""

    def __init__(self, real):
        self.real, self.broken = real, True
        self.slot = real.slot

    @property
    def poisoned(self):
        return self.broken

    def append(self, record):
        if not self.broken:
            return self.real.append(record)
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(JournalPoisoned("the disk has failed"))
        return failed

    def note(self, record):
        self.real.note(record)


def test_evidence_that_refuses_holds_up_the_seal_and_the_purge_alone(house):
    evidence = []

    def wrap(part, real):
        if part == "evidence":
            evidence.append(_Evidence(real))
            return evidence[0]
        return real

    async def life():
        async with house.life(wrap=wrap) as life:
            await leaks(house, life)
            await until(done(life, ("contained", "clocks_set", "counted", "step_failed")), "all but the seal")
            assert only(life).purged is None
            evidence[0].broken = False
            await until(done(life), "the rest")
            assert [f.code for f in only(life).failures] == ["journal_poisoned"]

    run(life)


class _Store:
    """The store of cases, which refuses while `broken`."""

    def __init__(self, real):
        self.real, self.broken = real, None

    def __getattr__(self, name):
        if self.broken is not None and name == "append":
            raise self.broken
        return getattr(self.real, name)


@pytest.mark.parametrize("error", [OSError(28, "no space left"), StateUnavailable("locked")])
def test_a_store_that_refuses_stops_no_switch_and_the_case_goes_on_afterwards(house, error):
    store = []

    def wrap(part, real):
        if part == "cases":
            store.append(_Store(real))
            return store[0]
        return real

    async def life():
        async with house.life(wrap=wrap) as life:
            store[0].broken = error
            await leaks(house, life)
            assert [str(s.scope) for s in life.board.table.shut] == [LEAK]
            assert house.region.shut_scopes() == [LEAK]
            assert life.incidents.open_cases() == []
            store[0].broken = None
            await life.incidents.look()
            await until(lambda: only(life).contained is not None, "a first entry")
            store[0].broken = error
            await leaks(house, life, "eu/alpen/search/m0", slot="w1")
            assert house.region.shut_scopes() == ["eu/alpen/search/m0", LEAK]
            await life.board.shut(house.region.shut_by("eu/berg"))
            assert len(house.region.shut_scopes()) == 3
            await asyncio.sleep(0.1)
            store[0].broken = None
            await life.incidents.look()
            await until(lambda: set(STEPS) <= set(kinds_of(life.incidents.open_cases()[0])), "the rest")
            await until(lambda: not life.first._tasks, "the other scope")
            # The snapshots that were taken while no entry could be written are those that entries name.
            assert len(house.snapshots()) == sum(kinds_of(case).count("sealed") for case in life.incidents.open_cases())

    run(life)


def test_whoever_was_taken_over_writes_nothing_more(house):
    store = []

    def wrap(part, real):
        if part == "cases":
            store.append(_Store(real))
            return store[0]
        return real

    async def life():
        async with house.life(wrap=wrap) as life:
            await leaks(house, life)
            await until(lambda: only(life).contained, "a first entry")
            store[0].broken = StateBusy("taken over")
            await until(lambda: life.first._over, "the end")
            store[0].broken = None
            await life.first.settled(only(life).id)
            assert not set(STEPS) <= set(kinds_of(only(life)))

    run(life)


def test_a_restart_goes_on_with_what_is_left(house):
    house.counts.failing = OSError("not yet")

    async def first():
        async with house.life(crash=True) as life:
            await leaks(house, life)
            await until(done(life, STEPS[:-1]), "all but the count")
            return only(life)

    async def second():
        house.counts.failing = None
        async with house.life() as life:
            await until(done(life), "the count")
            return only(life)

    before, after = run(first), run(second)
    assert before.id == after.id
    assert [kinds_of(after).count(kind) for kind in STEPS] == [1] * 5
    assert len(house.snapshots()) == 1


def test_a_full_table_shuts_the_region_and_says_so(house):
    async def life():
        async with house.life() as life:
            for number in range(96):
                draft = Entry(
                    state="shut", scope=Scope("eu", "alpen", "faq", f"m{number}"), reason="operator", cause="finding",
                    at=1.0, by=("firedoor",),
                )  # fmt: skip
                life.board.keeper.shut(draft)
            await alarm(life, scope="eu/berg/support")
            await until(done(life), "the first minute")
            assert only(life).contained.scope == "eu/*/*/*"

    run(life)


def test_clocks_that_cannot_be_reckoned_keep_nothing_else_waiting(house):
    def broken(case, now):
        raise StateUnavailable("The law of this installation is not read.")

    house.clocks = broken

    async def life():
        async with house.life() as life:
            await leaks(house, life)
            await until(done(life, ("contained", "sealed", "purged", "counted", "step_failed")), "the others")
            assert [(f.step, f.code) for f in only(life).failures] == [("clocks", "state_unavailable")]

    run(life)


def test_what_the_snapshot_could_not_hold_stays_as_evidence(house):
    house.keep_answers(4)

    class Partial:
        async def take(self, case, scopes, exchanges):
            return SnapshotTaken(b"{}", {"cache": 0}, {"cache": "cut_off"})

    async def life():
        async with house.life(wrap=lambda part, real: Partial() if part == "snapshots" else real) as life:
            await leaks(house, life)
            await until(done(life), "the first minute")
            assert only(life).purged.items == {"quarantined": 4}

    run(life)
    (held,) = cache_care.status(house.place.cache, epoch=0, now=0)
    assert (held.served, held.quarantined) == (0, 4)


def test_a_cache_that_cannot_be_cleared_is_purged_by_its_epoch_all_the_same(house):
    house.place.cache.write_bytes(b"no database at all" * 400)

    async def life():
        async with house.life() as life:
            await leaks(house, life)
            await until(done(life), "the first minute")
            case = only(life)
            assert case.sealed.missing["cache"] == "damaged"
            assert (case.purged.cache_epoch, case.purged.items) == (1, {"cache_file_left": 1})

    run(life)


def test_findings_that_the_plan_does_not_shut_for_open_no_door(house):
    rules = msgspec.convert([{"findings": ["any"], "verdicts": ["mask"]}], tuple[type(house.region.loaded.plan.incidents.opens[0]), ...])  # fmt: skip
    incidents = structs.replace(house.region.loaded.plan.incidents, opens=rules)
    plan = structs.replace(house.region.loaded.plan, incidents=incidents)
    house.region.loaded = Loaded(plan, house.region.loaded.digest, "plan.yaml")

    async def life():
        async with house.life() as life:
            await leaks(house, life, verdict="mask")
            await until(done(life), "the first minute")
            assert life.board.table.shut == ()
            assert only(life).contained == kinds.Contained(asked=False)

    run(life)
