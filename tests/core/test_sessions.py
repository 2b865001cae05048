"""What turns leave behind, how it decays and adds up, and the rungs it leads to."""

import hashlib
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.sessions import (
    ASKED,
    LEAST,
    MAX_EACH,
    MOST,
    MOST_LOAD,
    OBSERVE,
    PIVOT,
    REFUSE,
    ROWS_FREE,
    RULES,
    SIGNALS,
    WEAK_ALLOWANCE,
    Rules,
    Standing,
    Turn,
    ladder,
    leaves_nothing,
    note,
    worst,
)
from firedoor.core.sums import FUTURE, SUMS_BYTES, Sums, Trail, add_up, decayed, is_nothing, merge, pack, size, unpack

NOW = 1_800_000_000.0
SESSION = RULES["session"]
HARMLESS = Turn(weak=-6.0)

amounts = st.floats(-3, 3, allow_subnormal=False)
times = st.floats(NOW - 200_000, NOW + 200_000)
bits = st.integers(0, 2**256 - 1)
guesses = st.floats(-1e6, 1e6)
trails = st.builds(Trail, guesses, guesses, guesses, times, bits, bits)
sums = st.builds(Sums, times, *[amounts] * 7, st.none() | trails)
turns = st.builds(
    Turn,
    weak=st.none() | st.floats(-12, 12),
    asked=st.integers(0, 3),
    hidden=st.integers(0, 3),
    near=st.integers(0, 3),
    compared=st.lists(st.floats(0, 100), max_size=3).map(tuple),
    rows=st.lists(st.integers(0, 2**64 - 1), max_size=20).map(tuple),
    attack=st.booleans(),
)
kinds = st.sampled_from(sorted(RULES))


def play(turns, kind="session", apart=30.0, whole=None):
    """Sums after each of `turns`."""
    rules, whole = RULES[kind], whole or Sums(NOW)
    for turn in turns:
        whole = decayed(whole, whole.at + apart, rules.half_life)
        whole = note(whole, whole, turn, rules)
        yield whole


def rungs(turns, kind="session", apart=30.0):
    return [ladder(kind, whole, RULES[kind]).rung for whole in play(turns, kind, apart)]


def after(turns, kind="session", apart=30.0):
    *_, whole = play(turns, kind, apart)
    return ladder(kind, whole, RULES[kind])


# --- bytes ------------------------------------------------------------------------------------------------------------


@given(sums)
def test_packed_sums_have_a_fixed_size_and_come_back(some):
    assert len(pack(some)) == SUMS_BYTES
    assert unpack(pack(some)) == some


@pytest.mark.parametrize(
    "data",
    [b"", bytes(SUMS_BYTES - 1), bytes(SUMS_BYTES + 1), b"\xff" * SUMS_BYTES, pack(Sums(math.nan)), pack(Sums(0, math.inf)), pack(Sums(trail=Trail(low=math.nan)))],
)  # fmt: skip
def test_what_no_sums_can_be_is_refused(data):
    with pytest.raises(ValueError):
        unpack(data)


@given(st.binary(min_size=SUMS_BYTES, max_size=SUMS_BYTES))
def test_any_other_bytes_are_sums_or_refused(data):
    try:
        found = unpack(data)
    except ValueError:
        return
    assert all(map(math.isfinite, found[:8]))


# --- decay and addition -----------------------------------------------------------------------------------------------


@given(sums, times, kinds)
def test_sums_never_grow_whichever_way_the_clock_runs(some, now, kind):
    later = decayed(some, now, RULES[kind].half_life)
    assert later.at == now
    assert all(abs(after) <= abs(before) for before, after in zip(some[1:8], later[1:8], strict=True))


def test_sums_halve_with_each_half_life():
    some = Sums(NOW, 0.8, 0.4)
    assert decayed(some, NOW + 1800, 1800.0)[1:3] == pytest.approx((0.4, 0.2))
    assert decayed(some, NOW + 5400, 1800.0)[1:3] == pytest.approx((0.1, 0.05))


def test_a_small_step_back_changes_nothing_and_sums_of_a_clock_gone_wrong_are_forgotten():
    some = Sums(NOW, attacks=2.0)
    assert decayed(some, NOW - FUTURE, 1800.0).attacks == 2.0
    assert decayed(some, NOW - FUTURE - 1, 1800.0) == Sums(NOW - FUTURE - 1)
    assert add_up([pack(some)], NOW - FUTURE - 1, 1800.0, trails=True) == Sums(NOW - FUTURE - 1)


@given(sums, sums, kinds)
def test_merging_does_not_ask_which_came_first(one, other, kind):
    half_life = RULES[kind].half_life
    assert merge(one, other, half_life) == merge(other, one, half_life)


@given(st.lists(sums, min_size=1, max_size=5), kinds, st.randoms())
def test_adding_up_packed_parts_is_merging_them_in_any_order(parts, kind, random):
    half_life, now = RULES[kind].half_life, NOW + 100
    found = add_up([pack(part) for part in parts], now, half_life, trails=True)
    random.shuffle(parts)
    merged = decayed(parts[0], now, half_life)
    for part in parts[1:]:
        merged = merge(merged, decayed(part, now, half_life), half_life)
    assert found[:8] == pytest.approx(merged[:8])
    assert found.trail == merged.trail


def test_rows_and_guesses_of_long_ago_are_forgotten():
    start = 1800.0 * 1_000_000
    whole = Sums(start, trail=Trail(10, 20, 15, start, 0b11, 0b100))
    assert decayed(whole, start + 1799, 1800.0).trail == whole.trail
    assert decayed(whole, start + 1800, 1800.0).trail == Trail(10, 20, 15, start, 0, 0b11)
    assert decayed(whole, start + 1801, 1800.0).trail == Trail(seen=0, before=0b11)
    assert decayed(whole, start + 3600, 1800.0).trail is None


def test_nothing_is_what_has_no_sums_and_no_trail():
    assert is_nothing(Sums(NOW))
    assert is_nothing(Sums(NOW, weak=1e-12))
    assert not is_nothing(Sums(NOW, weak=-0.1))
    assert not is_nothing(Sums(NOW, trail=Trail(seen=1)))
    assert size(Sums(NOW, weak=-0.5, asked=0.25)) == 0.75


# --- turns ------------------------------------------------------------------------------------------------------------


@given(st.lists(turns, min_size=1, max_size=30), kinds)
def test_sums_stay_between_nothing_and_the_most(taken, kind):
    for whole in play(taken, kind):
        assert all(part >= 0 for part in whole[1:8])
        assert sum(whole[1:8]) <= MOST_LOAD * RULES[kind].allows + 1e-9


@given(st.lists(st.tuples(turns, st.integers(0, 3)), min_size=1, max_size=20), kinds)
@settings(deadline=None)
def test_a_session_that_four_workers_serve_is_one_session(taken, kind):
    rules, now = RULES[kind], NOW
    parts = [Sums(NOW)] * 4
    for (turn, worker), alone in zip(taken, play([turn for turn, _ in taken], kind), strict=True):
        now += 30.0
        parts = [decayed(part, now, rules.half_life) for part in parts]
        whole = add_up([pack(part) for part in parts], now, rules.half_life, trails=True)
        parts[worker] = note(whole, parts[worker], turn, rules)
        together = add_up([pack(part) for part in parts], now, rules.half_life, trails=True)
        assert together[:8] == pytest.approx(alone[:8], abs=1e-6)
        assert together.trail == alone.trail


@given(turns, kinds)
def test_what_leaves_nothing_behind_adds_nothing(turn, kind):
    whole = note(Sums(NOW), Sums(NOW), turn, RULES[kind])
    if leaves_nothing(turn):
        assert is_nothing(whole)
    elif turn.asked or turn.near or turn.hidden or turn.attack:
        assert not is_nothing(whole)


def test_harmless_turns_leave_nothing_however_many():
    turns = [Turn(weak=PIVOT - 0.01), HARMLESS] * 300
    assert all(is_nothing(whole) for whole in play(turns, apart=1.0))


def test_long_harmless_sessions_do_not_drift():
    chance = random.Random(3)
    slowed = 0
    for _ in range(60):
        # Texts as shoppers write them: one in 300 is taken for an attack, some are a little suspect.
        texts = [min(chance.gauss(-5.8, 1.3), -0.5) for _ in range(300)]
        turns = [Turn(weak=weak, attack=chance.random() < 1 / 300) for weak in texts]
        found = rungs(turns, apart=20.0)
        slowed += "slow" in found
        assert "refuse" not in found
    assert slowed <= 3


def test_probes_that_pass_alone_add_up():
    assert rungs([Turn(weak=-1.8)] * 10)[-1] != "observe"
    assert after([Turn(weak=-1.8)] * 10).signal == "weak"


@pytest.mark.parametrize("padding", [1, 2, 3])
def test_padding_with_harmless_turns_does_not_hide_an_attack(padding):
    turns = [Turn(weak=-0.5), *[HARMLESS] * padding] * 12
    assert "slow" in rungs(turns)


def test_a_harmless_turn_takes_away_a_small_part_of_what_a_probe_adds():
    after_probe, after_both = play([Turn(weak=-1.0), HARMLESS], apart=0.0)
    gain, loss = after_probe.weak, after_probe.weak - after_both.weak
    assert loss == pytest.approx(-LEAST / WEAK_ALLOWANCE + SESSION.forgives)
    assert loss < gain / 3


def test_one_text_and_a_second_never_slow_a_session_by_their_score():
    assert 1 + 2 * SESSION.forgives >= 2 * MOST / WEAK_ALLOWANCE
    assert rungs([Turn(weak=math.inf)] * 2) == ["observe", "observe"]


def test_a_refused_text_counts_as_that_and_not_twice():
    whole = next(play([Turn(weak=5.0, attack=True)]))
    assert whole.weak == 0
    assert whole.attacks == pytest.approx(0.49)


def test_what_was_asked_counts_as_that_and_not_twice():
    whole = next(play([Turn(weak=5.0, asked=1)]))
    assert whole.weak == 0
    assert whole.asked == pytest.approx(ASKED - 0.01)


def test_what_is_noted_after_the_answer_forgives_nothing():
    first, second = play([Turn(weak=-6.0, asked=1), Turn(near=1)], apart=0.0)
    assert second.asked == first.asked


ALONE = {
    "asked": (Turn(weak=-6.0, asked=1), 4, 6),
    "near": (Turn(weak=-6.0, near=1), 4, 6),
    "hidden": (Turn(weak=-6.0, hidden=1), 5, 8),
    "attacks": (Turn(weak=3.0, attack=True), 3, 5),
}


@pytest.mark.parametrize("signal", ALONE)
def test_each_signal_alone_climbs_the_ladder(signal):
    turn, slow, refuse = ALONE[signal]
    found = rungs([turn] * 40, apart=10.0)
    assert found.index("slow") + 1 in (slow - 1, slow)
    assert found.index("refuse") + 1 in range(refuse - 2, refuse + 2)
    assert after([turn] * 40, apart=10.0).signal == signal


@pytest.mark.parametrize("signal", ALONE)
def test_the_same_now_and_then_is_nothing(signal):
    turn = ALONE[signal][0]
    assert set(rungs(([turn] + [HARMLESS] * 60) * 5)) == {"observe"}


def test_counts_of_one_turn_are_bounded():
    whole = next(play([Turn(asked=10**9, near=10**9, hidden=10**9)], "credential", apart=0.0))
    assert whole.asked == pytest.approx(ASKED * MAX_EACH)


# --- guesses ----------------------------------------------------------------------------------------------------------


def compared(*numbers, kind="session", asked=1):
    """What guesses add up to, after a question for an amount."""
    turns = [Turn(weak=-6.0, asked=asked), *(Turn(weak=-6.0, compared=(number,)) for number in numbers)]
    *_, whole = play(turns, kind, apart=1.0)
    return whole


def test_an_amount_that_is_narrowed_down_is_noticed_before_it_is_found():
    whole = compared(50, 25, 37, 43)
    standing = ladder("session", whole, SESSION)
    assert (standing.rung, standing.kind, standing.signal) == ("slow", "session", "compared")
    assert (whole.trail.low, whole.trail.high) == (37, 50)
    assert ladder("session", compared(50, 25, 37, 43, 40, 42), SESSION).rung == "refuse"


def test_going_up_step_by_step_narrows_too():
    assert ladder("session", compared(40, 41, 42, 43, 44), SESSION).rung != "observe"


@pytest.mark.parametrize("numbers", [(40,), (40, 60), (40, 40, 40), (100, 20, 500)])
def test_a_few_comparisons_are_what_shoppers_make(numbers):
    assert ladder("session", compared(*numbers), SESSION) == OBSERVE


def test_who_asked_for_nothing_guesses_at_nothing():
    assert is_nothing(compared(50, 25, 37, 43, 40, 42, asked=0))


def test_the_same_guess_again_and_one_outside_do_not_narrow():
    assert compared(40, 40).compared < compared(40, 60).compared
    assert compared(50, 40, 90).compared < compared(50, 40, 45).compared
    assert compared(50, 40, 90).trail[:3] == (-math.inf, math.inf, 90)


def test_what_is_no_number_is_no_guess():
    assert compared(math.nan, math.inf).compared == 0


def test_guesses_of_many_people_are_counted_and_not_joined():
    whole = compared(50, 25, 37, 43, kind="credential")
    assert whole.trail is None
    assert whole.compared < compared(50, 25, 37, 43).compared


# --- rows -------------------------------------------------------------------------------------------------------------


def hashes(count, start=0):
    return [
        int.from_bytes(hashlib.blake2b(b"row %d" % number, digest_size=8).digest(), "little")
        for number in range(start, start + count)
    ]


def test_the_rows_of_an_ordinary_conversation_are_nothing():
    shown = hashes(60)
    turns = [Turn(weak=-6.0, rows=tuple(shown[n : n + ROWS_FREE])) for n in range(0, 52, 2)]
    assert all(is_nothing(whole) for whole in play(turns))
    turns = [Turn(weak=-6.0, rows=tuple(shown[n : n + 15])) for n in range(0, 45, 3)]
    assert set(rungs(turns)) == {"observe"}


def test_the_same_rows_again_count_once():
    turns = [Turn(rows=tuple(hashes(100)))] * 20
    first, *_, last = play(turns, apart=1.0)
    assert first.rows > 0
    assert last.rows <= first.rows


def test_paging_through_a_catalogue_is_slowed_and_then_refused():
    turns = [Turn(weak=-6.0, rows=tuple(hashes(50, start))) for start in range(0, 1000, 50)]
    found = rungs(turns, apart=5.0)
    assert 4 <= found.index("slow") + 1 <= 8
    assert found.index("refuse") < 14
    assert after(turns, apart=5.0).signal == "rows"


@pytest.mark.parametrize("count", [50, 200, 500])
def test_the_sketch_counts_distinct_rows_roughly(count):
    roomy = Rules(half_life=1e9, forgives=0, allows=100, personal=True, highest="refuse")
    whole = note(Sums(NOW), Sums(NOW), Turn(rows=tuple(hashes(count))), roomy)
    assert whole.rows * 200 + ROWS_FREE == pytest.approx(count, rel=0.25)


# --- the ladder -------------------------------------------------------------------------------------------------------


@given(sums.map(lambda some: some._replace(trail=None)), kinds)
def test_the_rung_is_left_when_it_was_said(some, kind):
    rules = RULES[kind]
    many = some._replace(**{name: abs(part) * 20 for name, part in zip(SIGNALS, some[1:8], strict=True)})
    found = ladder(kind, many, rules)
    if found.rung == "observe":
        assert found == OBSERVE or kind == "credential"
        assert found.retry_after == 0
        return
    later = decayed(many, many.at + found.retry_after + 1, rules.half_life)
    just_before = decayed(many, many.at + max(0.0, found.retry_after - 1), rules.half_life)
    assert ladder(kind, later, rules).load < (REFUSE if found.rung == "refuse" else 1)
    assert ladder(kind, just_before, rules).rung == found.rung


def test_a_refusal_ends_within_one_half_life():
    found = after([Turn(weak=5.0, attack=True, asked=9, near=9)] * 50)
    assert found.rung == "refuse"
    assert found.retry_after <= SESSION.half_life
    assert MOST_LOAD / REFUSE == 2


def test_a_network_is_slowed_at_most():
    bad = Turn(weak=5.0, attack=True, asked=1)
    found = rungs([bad] * 400, "address", apart=0.1)
    assert found[-1] == "slow"
    assert "refuse" not in found
    assert found.index("slow") > 10


def test_nobody_slows_a_surface_by_typing():
    bad = Turn(weak=5.0, attack=True, asked=1)
    assert set(rungs([bad] * 1000, "credential", apart=0.1)) == {"observe"}
    assert after([bad] * 1000, "credential", apart=0.1).load > 1  # it is told


@pytest.mark.parametrize("kind", ["credential", "address"])
def test_what_many_write_is_no_attack_because_it_is_much(kind):
    assert set(rungs([Turn(weak=-0.1)] * 3000, kind, apart=0.01)) == {"observe"}
    assert after([Turn(weak=-0.1)] * 3000, kind, apart=0.01).load == 0


@pytest.mark.parametrize("kind", ["credential", "address"])
def test_a_few_bad_shoppers_among_many_slow_nobody_else(kind):
    turns = ([Turn(weak=5.0, attack=True, asked=1)] + [HARMLESS] * 9) * 300
    assert set(rungs(turns, kind, apart=0.05)) == {"observe"}


def test_a_shopper_who_begins_new_sessions_is_still_known():
    bad = [Turn(weak=-1.0, asked=1)] * 3
    assert after(bad * 4, "subject", apart=900.0).rung != "observe"
    assert after(bad, "subject").rung == "observe"


def test_the_worst_of_all_keys_holds():
    slow, longer = Standing("slow", "address", "weak", 500.0, 1.2), Standing("slow", "session", "asked", 900.0, 1.4)
    refuse = Standing("refuse", "session", "rows", 10.0, 1.6)
    assert worst([OBSERVE, slow, longer]) == longer
    assert worst([longer, refuse, slow]) == refuse
    assert worst([]) == OBSERVE
