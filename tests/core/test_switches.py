import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firedoor.core.switches import (
    ANY,
    MAX_SWITCHES,
    Scope,
    Switch,
    Table,
    absorb,
    forget_slots,
    join,
    open_,
    scope_to_shut,
    shut,
    standing,
)
from firedoor.core.switchstate import Stored, resumed
from firedoor.errors import ActRefused

NAMES = st.sampled_from(["a", "b", ANY])
SCOPES = st.builds(Scope, st.just("eu"), NAMES, NAMES, NAMES)
PLACES = st.builds(Scope, st.just("eu"), *[st.sampled_from(["a", "b"])] * 3)
REASONS = st.sampled_from(["leak", "operator", "file"])


def switch(scope, reason="leak"):
    return Switch(scope, reason, 1.0, ("firedoor",))


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

    @rule(scope=SCOPES)
    def opens(self, scope):
        if scope in self.model:
            self.step(open_(self.table, scope))
            self.model.remove(scope)
        else:
            with pytest.raises(ActRefused) as refused:
                open_(self.table, scope)
            assert refused.value.code == "not_shut"

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
            assert (standing(self.table, 0.1, 2, place).state == "shut") == covered


TestTableLife = TableLife.TestCase


@given(st.sets(SCOPES, max_size=4), PLACES, st.floats(0, 1e9), st.booleans(), st.sets(SCOPES, max_size=2))
def test_standing_is_open_only_when_nothing_says_otherwise(scopes, place, age, latched, reflexes):
    held = standing(table(*scopes), age, 2.0, place, latched=latched, reflexes=reflexes)
    nothing = not latched and age <= 2.0 and not any(s.covers(place) for s in {*scopes, *reflexes})
    assert (held.state == "open") == nothing
    if latched or any(s.covers(place) for s in {*scopes, *reflexes}):
        assert held.state == "shut", "a known shut is told, however old the table"


def test_no_table_is_stale_not_open():
    assert standing(None, float("inf"), 2.0, Scope("eu", "a")).header() == "stale; v=0; reason=no_table"


@pytest.mark.parametrize("text", ["", " ", "eu/", "/eu", "eu//support", "eu/a/b/c/d", "eu /a", "eu/a /b"])
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


def test_a_full_table_of_the_longest_names_fits_a_switch_page():
    name = "n" * 63
    longest = tuple(
        Switch(Scope(name, name, name, f"{i:063d}"), "maintenance", 1234567890.123456, (name,), "e" * 64)
        for i in range(MAX_SWITCHES + 1)
    )
    full = Table(name, 1 << 62, "f" * 64, longest, {f"{i:063d}": 1 << 40 for i in range(128)}, 1 << 40)
    assert len(msgspec.json.encode(full)) <= 65_536
