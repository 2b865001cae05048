import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import structs

from firedoor.core.plan.model import Surface
from firedoor.core.plan.words import Duration
from firedoor.core.switches import (
    ANY,
    MAX_DRILLS,
    MAX_SWITCHES,
    GlobalTable,
    Lease,
    Look,
    Scope,
    Shown,
    Switch,
    Table,
    absorb,
    end_drill,
    forget_slots,
    global_part,
    join,
    lease_of,
    open_,
    scope_to_shut,
    shut,
    shut_in_drill,
    standing,
)
from firedoor.core.switchstate import Stored, resumed
from firedoor.errors import ActRefused

NAMES = st.sampled_from(["a", "b", ANY])
SCOPES = st.builds(Scope, st.just("eu"), NAMES, NAMES, NAMES)
PLACES = st.builds(Scope, st.just("eu"), *[st.sampled_from(["a", "b"])] * 3)
REASONS = st.sampled_from(["leak", "operator", "file"])


def switch(scope, reason="leak", version=0, **more):
    return Switch(scope, reason, 1.0, version=version, **more)


def look(shown, age=0.0, global_age=float("inf")):
    return Look(shown, age, global_age)


def table(*scopes, reason="leak", version=7):
    return Table("eu", version, "p", tuple(switch(s, reason) for s in scopes))


class TableLife(RuleBasedStateMachine):
    """Whatever happens to a table, in any order, against a model that is a plain set of scopes."""

    def __init__(self):
        super().__init__()
        self.table = Table("eu", 1, "p")
        self.versions = [1]
        self.model = set()

    def step(self, after):
        if after is not self.table:
            self.versions.append(after.version)
        self.table = after

    @rule(scope=SCOPES, reason=REASONS)
    def shuts(self, scope, reason):
        self.step(shut(self.table, switch(scope, reason)))
        self.model.add(scope)

    @rule(scope=SCOPES, of=st.integers(0, 1))
    def opens(self, scope, of):
        if scope in self.model and of == 0:
            self.step(open_(self.table, scope, 0))
            self.model.remove(scope)
        else:
            with pytest.raises(ActRefused) as refused:
                open_(self.table, scope, of)
            assert refused.value.code == ("other_shut" if scope in self.model else "not_shut")

    @rule(slot=st.sampled_from(["w0", "w1"]), seq=st.integers(0, 9))
    def absorbs(self, slot, seq):
        before = self.table.absorbed.get(slot, -1)
        self.step(absorb(self.table, slot, seq))
        assert self.table.absorbed[slot] == max(before, seq)

    @rule(scopes=st.sets(SCOPES, max_size=3), version=st.integers(1, 50))
    def joins(self, scopes, version):
        self.step(join(self.table, table(*scopes, version=version)))
        self.model |= scopes
        assert self.table.version >= version

    @invariant()
    def versions_grow(self):
        assert all(a < b for a, b in zip(self.versions, self.versions[1:], strict=False))

    @invariant()
    def shut_is_what_the_model_says(self):
        assert {s.scope for s in self.table.shut} == self.model

    @invariant()
    def never_open_under_a_shut(self):
        for place in (Scope("eu", "a", "a", "a"), Scope("eu", "b", "a", "b")):
            covered = any(s.covers(place) for s in self.model)
            assert (standing(look(Shown(self.table)), Lease(2), place).state == "shut") == covered


TableLife.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestTableLife = TableLife.TestCase


LEASES = st.builds(Lease, st.just(2.0), st.sampled_from([5.0, float("inf")]))
AGES = st.one_of(st.floats(0, 10), st.just(float("inf")))


@given(
    st.sets(SCOPES, max_size=3), PLACES, AGES, AGES, LEASES, st.booleans(), st.sets(SCOPES, max_size=2),
    st.one_of(st.none(), st.sets(SCOPES, max_size=2)), st.sets(SCOPES, max_size=2),
)  # fmt: skip
def test_standing_is_open_only_when_no_layer_says_otherwise(
    scopes, place, age, global_age, lease, latched, reflexes, everywhere, drills
):
    shown = Shown(
        Table("eu", 7, "p", tuple(map(switch, scopes)), drills=tuple(switch(s, drill="d") for s in drills)),
        GlobalTable("us", 3, tuple(map(switch, everywhere))) if everywhere is not None else None,
    )
    held = standing(look(shown, age, global_age), lease, place, latched=latched, reflexes=reflexes)
    known = latched or any(s.covers(place) for s in {*scopes, *reflexes, *drills, *(everywhere or ())})
    fresh = age <= 2.0 and global_age <= lease.everywhere
    assert held.state == ("shut" if known else "open" if fresh else "stale"), "a known shut is told, however old"


def test_what_shuts_is_named_the_lasting_before_the_exercise():
    place = Scope("eu", "a", "a", "a")
    drill, ours, all_shut = (switch(Scope(*at), reason) for at, reason in [
        (("eu",), "drill"), (("eu", "a"), "leak"), (("*", "a"), "operator"),
    ])  # fmt: skip
    layers = Shown(Table("eu", 7, "p", (ours,), drills=(drill,)), GlobalTable("us", 3, (all_shut,)))
    held = [
        standing(look(layers), Lease(2), place, latched=True),
        standing(look(layers), Lease(2), place, reflexes=[place]),
        standing(look(layers), Lease(2), place),
        standing(look(Shown(Table("eu", 7, "p", drills=(drill,)), layers.everywhere)), Lease(2), place),
        standing(look(Shown(Table("eu", 7, "p", drills=(drill,)))), Lease(2), place),
    ]
    assert [(h.reason, str(h.by)) for h in held] == [
        ("file", "eu/*/*/*"),
        ("leak", "eu/a/a/a"),
        ("leak", "eu/a/*/*"),
        ("operator", "*/a/*/*"),
        ("drill", "eu/*/*/*"),
    ]


def test_no_table_is_stale_not_open():
    assert standing(Look(), Lease(2.0), Scope("eu", "a")).header() == "stale; v=0; reason=no_table"


def test_a_surface_says_how_old_the_tables_may_be():
    surface = Surface(models={}, deadline=Duration(1), fallback=None, lease=Duration(3), global_lease=Duration(9))
    assert lease_of(surface) == (3.0, 9.0)
    assert lease_of(structs.replace(surface, global_lease=None)) == (3.0, float("inf"))


@pytest.mark.parametrize(
    "text", ["", " ", "eu/", "/eu", "eu//support", "eu/a/b/c/d", "eu /a", "eu/a /b", "EU/a", "eu/" + "a" * 64]
)
def test_what_is_no_scope(text):
    with pytest.raises(ActRefused) as refused:
        Scope.parse(text)
    assert refused.value.code == "bad_scope"


def test_missing_parts_mean_all():
    assert str(Scope.parse("eu/shop")) == "eu/shop/*/*"


def at(text):
    return Scope.parse(text)


@pytest.mark.parametrize(
    ("already", "found", "expected"),
    [
        ([], "eu/s/chat/m1", "eu/s/chat/m1"),
        (["eu/s/chat/m1"], "eu/s/chat/m1", "eu/s/chat/m1"),
        (["eu/s/chat/m1"], "eu/s/chat/m2", "eu/s/chat/m2"),
        (["eu/s/chat/m1", "eu/s/chat/m2"], "eu/s/chat/m3", "eu/s/chat/*"),
        (["eu/s/chat/m1", "eu/s/chat/m2"], "eu/s/chat/m2", "eu/s/chat/m2"),  # the same again is no third one
        (["eu/t/chat/m1", "eu/t/chat/m2"], "eu/s/chat/m3", "eu/s/chat/m3"),  # another shop's leaks
        (["eu/s/chat/m1", "eu/s/faq/m1"], "eu/s/chat/m2", "eu/s/chat/m2"),  # one other surface only
        (["eu/s/chat/*", "eu/s/faq/*"], "eu/s/search/m1", "eu/s/*/*"),
        (["eu/s/chat/m1", "eu/s/faq/m1"], "eu/s/search/m1", "eu/s/*/*"),
        (["eu/s/chat/*", "eu/t/faq/*"], "eu/s/search/m1", "eu/s/search/m1"),
        (["eu/*/*/*", "eu/s/*/*"], "eu/s/search/m1", "eu/s/search/m1"),  # wide shuts are no surfaces
        (["eu/s/chat/*", "eu/s/faq/*"], "eu/s/*/*", "eu/s/*/*"),
        (["eu/s/chat/*", "eu/s/faq/*"], "eu/*/*/*", "eu/*/*/*"),
    ],
)
def test_a_leak_shuts_the_narrowest_scope_and_widens_by_the_ladder(already, found, expected):
    assert str(scope_to_shut(table(*map(at, already)), at(found))) == expected


def test_only_leaks_climb_the_ladder():
    others = table(at("eu/s/chat/m1"), at("eu/s/chat/m2"), at("eu/s/faq/*"), reason="maintenance")
    assert str(scope_to_shut(others, at("eu/s/chat/m3"))) == "eu/s/chat/m3"


@given(st.sets(SCOPES, max_size=6), SCOPES)
def test_what_is_shut_always_covers_what_was_found(scopes, found):
    chosen = scope_to_shut(table(*scopes), found)
    assert chosen.covers(found)
    assert chosen.region == "eu"


def test_forgetting_a_lost_slot_lets_its_new_findings_count():
    known = absorb(table(), "w0", 500)
    forgot = forget_slots(known, ["w0", "w9"])
    assert forgot.version == known.version + 1
    assert absorb(forgot, "w0", 3).absorbed == {"w0": 3}
    assert forget_slots(known, ["w9"]) is known


@given(st.sets(SCOPES, max_size=4), st.sets(SCOPES, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_a_restart_opens_only_what_is_durably_open(stored, shown, stored_version, shown_version):
    page = table(*shown, version=shown_version)
    after = resumed(Stored(table(*stored, version=stored_version)), page, "p").table
    kept = {s.scope for s in after.shut}
    assert kept >= stored
    assert after.version >= stored_version
    if shown_version >= stored_version:
        assert kept >= shown
        assert after.version >= shown_version


def test_of_two_shuts_of_a_scope_the_later_one_stands():
    a, b = Scope("eu", "a"), Scope("eu", "b")
    ours = Table("eu", 7, "p", (switch(a, version=5), switch(b, version=6)))
    theirs = Table("eu", 3, "p", (switch(a, version=8), switch(b, version=2)))
    for joined in (join(ours, theirs), join(theirs, ours)):
        assert {(s.scope, s.version) for s in joined.shut} == {(a, 8), (b, 6)}
        assert joined.version == 8
    assert join(ours, structs.replace(ours, version=2)) is ours


def test_a_drill_shuts_in_its_own_layer_and_takes_all_of_it_along_when_it_ends():
    here = Scope("eu", "a")
    begun = shut_in_drill(table(here), switch(here, "drill", drill="one"))
    begun = shut_in_drill(begun, switch(Scope("eu", "b"), "drill", drill="two"))
    assert shut_in_drill(begun, switch(here, "drill", drill="one")) is begun
    assert (begun.version, begun.cache_epoch) == (9, 0)
    ended = end_drill(begun, "one")
    assert [s.scope for s in ended.shut] == [here], "what was shut in earnest stays shut"
    assert [s.drill for s in ended.drills] == ["two"]
    with pytest.raises(ActRefused) as refused:
        end_drill(ended, "one")
    assert refused.value.code == "no_drill"


def test_drills_have_room_for_some_switches_and_no_more():
    full = table()
    for i in range(MAX_DRILLS):
        full = shut_in_drill(full, switch(Scope("eu", f"s{i}"), "drill", drill="d"))
    with pytest.raises(ActRefused) as refused:
        shut_in_drill(full, switch(Scope("eu"), "drill", drill="d"))
    assert refused.value.code == "drills_full"


def test_only_switches_of_all_regions_pass_to_the_others_and_no_exchange_with_them():
    here, all_of = switch(Scope("eu", "a"), exchange="fx-1"), switch(Scope("*", "a"), exchange="fx-2", version=4)
    passed = global_part(Table("eu", 9, "p", (here, structs.replace(all_of, since=12.75)), {"w0": 3}, 2, (here,)))
    assert passed == GlobalTable("eu", 9, (structs.replace(all_of, exchange=None, since=12.0),))


@pytest.mark.parametrize(("reason", "epoch"), [("leak", 1), ("suspicion", 1), ("operator", 0), ("file", 0)])
def test_what_may_have_spoilt_kept_answers_begins_a_new_cache_epoch(reason, epoch):
    assert shut(table(), switch(Scope("eu"), reason)).cache_epoch == epoch


def test_a_full_table_of_the_longest_names_fits_a_switch_page():
    name = "n" * 63
    longest = tuple(
        Switch(Scope(name, name, name, f"{i:063d}"), "maintenance", 1234567890.123456, ("k" * 16,), "e" * 64)
        for i in range(MAX_SWITCHES + 1)
    )
    full = Table(name, 1 << 62, "f" * 64, longest, {f"{i:063d}": 1 << 40 for i in range(128)}, 1 << 40)
    assert len(msgspec.json.encode(full)) <= 65_536
