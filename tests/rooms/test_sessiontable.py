"""The session table: shared by workers, there after a restart, and harmless when it is damaged."""

import os
import random
from contextlib import ExitStack, closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firedoor.core.sessionnews import BUCKETS, WAYS
from firedoor.core.sessions import OBSERVE, PIVOT, REFUSE, RULES, Key, Turn, ladder, note
from firedoor.core.sums import Sums, decayed
from firedoor.errors import SetupError
from firedoor.gateway.metrics import Metrics
from firedoor.store import sessionfile
from firedoor.store.nosessions import NoSessions
from firedoor.store.sessionfile import ENTRIES, ENTRY, HOSTS, SEGMENTS_AT, SLOTS, TAGS_AT, table_bytes
from firedoor.store.sessiontable import CHECK_EVERY, FORGET_AFTER, SessionTable, _Hashed

SECRET = bytes(range(32))
NOW = 1_800_000_000.0
SESSION = Key("session", "5e55" * 8)
KEYS = [SESSION, Key("subject", "5b1e" * 8), Key("credential", "cr_7"), Key("address", "add7" * 8)]
BAD = Turn(weak=1.0, attack=True, asked=1)
HARMLESS = Turn(weak=-6.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sessions.table"


@pytest.fixture
def tables(path):
    """Opens a worker's view; all are closed at the end."""
    opened = []

    def view(slot=0, key=SECRET, at=path):
        opened.append(SessionTable.open(at, slot, key))
        return opened[-1]

    yield view
    for table in opened:
        table.close()


def refused(table, keys=(SESSION,), now=NOW):
    for _ in range(4):
        standing = table.note(keys, BAD, now)
    assert standing.rung == "refuse"
    return standing


def seen(table, keys, now):
    """What holds for `keys` as they are: an empty turn adds nothing."""
    return table.note(keys, Turn(), now)


def held(path):
    """What is in the file, without the marks of the first slot."""
    data = path.read_bytes()
    return data[: SEGMENTS_AT + ENTRIES] + data[table_bytes(1) :]


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_what_is_noted_is_seen_and_told(tables):
    table = tables()
    assert seen(table, KEYS, NOW) == OBSERVE
    noted = refused(table, KEYS)
    assert seen(table, KEYS, NOW) == noted
    assert (noted.kind, noted.signal) == ("session", "attacks")
    assert seen(table, [KEYS[2], KEYS[3]], NOW) == OBSERVE
    assert seen(table, [Key("subject", SESSION.name)], NOW) == OBSERVE


def test_a_refusal_ends_when_it_was_said(tables):
    table = tables()
    standing = refused(table)
    assert seen(table, [SESSION], NOW + standing.retry_after - 1).rung == "refuse"
    assert seen(table, [SESSION], NOW + standing.retry_after + 1).rung == "slow"
    assert seen(table, [SESSION], NOW + 4 * 1800) == OBSERVE


def test_four_workers_see_one_session(tables):
    workers = [tables(slot) for slot in range(4)]
    for worker in workers:
        standing = worker.note([SESSION], BAD, NOW)
    assert standing.rung == "refuse"
    assert {seen(worker, [SESSION], NOW) for worker in workers} == {standing}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["a", "b", "c"]),
            st.builds(
                Turn,
                weak=st.floats(-8, 0),
                asked=st.integers(0, 2),
                compared=st.lists(st.floats(0, 99), max_size=2).map(tuple),
                rows=st.lists(st.integers(0, 2**64 - 1), max_size=12).map(tuple),
            ),
            st.floats(0.01, 900),
        ),
        max_size=25,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shared_sums_are_those_of_one_writer(path, taken):
    path.unlink(missing_ok=True)
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(SessionTable.open(path, slot, SECRET))) for slot in range(4)]
        play_on(workers, taken)


def play_on(workers, taken):
    alone, now = {}, NOW
    for slot, name, turn, apart in taken:
        now += apart
        key, rules = Key("session", name), RULES["session"]
        whole = decayed(alone.get(name, Sums(now)), now, rules.half_life)
        alone[name] = note(whole, whole, turn, rules)
        told = workers[slot].note([key], turn, now)
        expected = ladder("session", alone[name], rules)
        if all(abs(sum(alone[name][1:8]) - edge) > 1e-6 for edge in (1, REFUSE)):
            assert (told.rung, told.kind) == (expected.rung, expected.kind)
            assert (told.load, told.retry_after) == pytest.approx((expected.load, expected.retry_after), abs=0.01)


def test_it_survives_a_restart(tables):
    standing = refused(tables())
    again = tables()
    assert seen(again, [SESSION], NOW) == standing
    assert again.counts["begun_anew"] == 0


def test_a_turn_that_leaves_nothing_writes_nothing(tables, path):
    table = tables()
    before = path.read_bytes()
    for _ in range(50):
        assert table.note(KEYS, HARMLESS, NOW) == OBSERVE
    assert path.read_bytes() == before


def test_what_harmless_turns_have_forgiven_is_kept_no_longer(tables, path):
    table = tables()
    empty = held(path)
    table.note([SESSION], Turn(weak=PIVOT + 0.5), NOW)
    assert held(path) != empty
    for _ in range(3):
        table.note([SESSION], HARMLESS, NOW)
    assert held(path) == empty


def test_the_file_names_nobody(tables, path):
    table = tables()
    refused(table, KEYS)
    data = path.read_bytes()
    for key in KEYS:
        assert key.name.encode() not in data
        assert bytes.fromhex(key.name) not in data if len(key.name) == 32 else True
    assert path.stat().st_mode & 0o777 == 0o600


def test_its_size_is_known_and_taken_from_the_disk_at_once(tables, path):
    tables(2)
    assert path.stat().st_size == table_bytes(3)
    held = path.stat().st_blocks * 512
    assert held >= table_bytes(1)
    refused(tables(2), [Key("session", str(n)) for n in range(50)])
    assert path.stat().st_size == table_bytes(3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a table at all" * 1000),
        lambda path: overwrite(path, 0, b"X"),
        lambda path: overwrite(path, 9, b"\xff"),
        lambda path: overwrite(path, 37, b"\xff"),
        lambda path: os.truncate(path, SEGMENTS_AT - 1),
        lambda path: os.truncate(path, table_bytes(SLOTS + HOSTS) + 1),
    ],
    ids=["empty", "foreign", "magic", "sizes", "crc", "short", "long"],
)
def test_a_damaged_table_is_begun_anew_and_counted(tables, path, damage):
    table = tables()
    refused(table)
    table.close()
    damage(path)
    again = tables()
    assert seen(again, [SESSION], NOW) == OBSERVE
    assert again.counts["begun_anew"] == 1
    assert refused(again) == seen(tables(), [SESSION], NOW)


def test_what_happened_to_the_file_is_in_the_metrics(tables, path):
    table = tables()
    assert b"sessions_" not in Metrics().render(0, table.counts)
    path.unlink()
    table.note(KEYS, BAD, NOW)
    assert b'firedoor_events_total{event="sessions_lost"} 1\n' in Metrics().render(0, table.counts)
    assert b"sessions_" not in Metrics().render(0, NoSessions().counts)


def test_a_table_under_another_key_is_begun_anew(tables):
    refused(tables())
    other = tables(key=bytes(32))
    assert seen(other, [SESSION], NOW) == OBSERVE
    assert other.counts["begun_anew"] == 1


def test_a_table_that_lost_its_end_goes_on(tables, path):
    table = tables()
    refused(table)
    table.close()
    os.truncate(path, SEGMENTS_AT + 1000)
    again = tables()
    assert path.stat().st_size == table_bytes(1)
    assert seen(again, [SESSION], NOW).rung in ("observe", "refuse")
    assert refused(again).rung == "refuse"


def test_no_damage_to_entries_stops_it_or_blames_anybody(tables, path):
    table = tables()
    refused(table, [Key("session", str(n)) for n in range(300)])
    chance = random.Random(5)
    data = path.read_bytes()
    filled = [n for n in range(SEGMENTS_AT, len(data), ENTRY) if any(data[n : n + ENTRY])]
    tagged = [n for n in range(TAGS_AT, SEGMENTS_AT, 8) if any(data[n : n + 8])]
    for start in chance.sample(filled, 150):
        overwrite(path, start + chance.randrange(ENTRY), chance.randbytes(8))
    for start in chance.sample(tagged, 100):
        overwrite(path, start, chance.randbytes(8))
    for n in range(300):
        assert seen(table, [Key("session", str(n))], NOW).rung in ("observe", "refuse")
        assert seen(table, [Key("session", f"innocent {n}")], NOW) == OBSERVE
        assert table.note([Key("session", str(n))], BAD, NOW).load >= 0
    assert refused(table, [Key("session", str(n)) for n in range(300)]).rung == "refuse"


def test_an_entry_is_never_taken_for_somebody_elses(tables, path):
    table = tables()
    refused(table)
    found = _Hashed.of(SECRET, SESSION)
    chance = random.Random(1)
    victim = next(
        key
        for key in (Key("session", chance.randbytes(8).hex()) for _ in range(10**6))
        if (_h := _Hashed.of(SECRET, key)).bucket % 64 == found.bucket % 64
    )
    at = _Hashed.of(SECRET, victim)
    data = path.read_bytes()
    entry = SEGMENTS_AT + found.bucket * WAYS * ENTRY
    overwrite(path, SEGMENTS_AT + at.bucket * WAYS * ENTRY, data[entry : entry + ENTRY])
    overwrite(path, TAGS_AT + at.bucket * sessionfile.ROW, at.tag)
    assert seen(table, [victim], NOW) == OBSERVE


def in_one_bucket(count):
    """Sessions that share a bucket."""
    buckets = {}
    for number in range(10 * BUCKETS):
        key = Key("session", f"{number:x}")
        mine = buckets.setdefault(_Hashed.of(SECRET, key).bucket, [])
        mine.append(key)
        if len(mine) == count:
            return mine
    raise AssertionError


def test_a_full_bucket_lets_the_most_harmless_go(tables):
    table = tables()
    *first, last = in_one_bucket(WAYS + 1)
    for number, key in enumerate(first):
        table.note([key], Turn(asked=1 + (number != 2)), NOW + number)
    standings = {key: refused(table, [key], NOW + 10) for key in first if key != first[2]}
    refused(table, [last], NOW + 10)
    assert table.counts["displaced"] == 1
    assert seen(table, [first[2]], NOW + 10) == OBSERVE
    assert {key: seen(table, [key], NOW + 10) for key in standings} == standings
    assert seen(table, [last], NOW + 10).rung == "refuse"


def test_a_flood_of_new_sessions_does_not_clear_a_refused_one(tables):
    table = tables()
    crowd = in_one_bucket(12)
    standing = refused(table, [crowd[0]])
    for key in crowd[1:]:
        table.note([key], Turn(weak=PIVOT + 1), NOW)
    assert seen(table, [crowd[0]], NOW) == standing
    assert table.counts["displaced"] == len(crowd) - WAYS


def test_a_worker_with_a_higher_slot_is_seen_within_seconds(tables):
    first = tables(0)
    seen(first, [SESSION], NOW)
    second = tables(5)
    standing = refused(second, now=NOW + 1)
    assert seen(first, [SESSION], NOW + 1 + CHECK_EVERY).rung == standing.rung
    assert refused(first, now=NOW + 9).load == pytest.approx(3)
    assert first.counts["lost"] == 0


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_is_replaced_or_deleted_is_left_for_the_one_at_the_path(tables, path, replaced):
    first, second = tables(0), tables(1)
    refused(first)
    path.unlink()
    if replaced:
        tables(2)
    assert seen(first, [SESSION], NOW + 2 * CHECK_EVERY) == OBSERVE
    refused(first, now=NOW + 2 * CHECK_EVERY)
    assert seen(second, [SESSION], NOW + 2 * CHECK_EVERY).rung == "refuse"
    assert (first.counts["lost"], second.counts["lost"]) == (1, 1)


def test_a_table_that_cannot_be_made_again_goes_on_with_what_is_mapped(tables, path):
    table = tables()
    refused(table)
    path.unlink()
    path.mkdir()
    assert seen(table, [SESSION], NOW + 2 * CHECK_EVERY).rung == "refuse"
    assert refused(table, now=NOW + 3 * CHECK_EVERY).rung == "refuse"


def test_a_clock_that_jumps_back_neither_grows_nor_keeps_sums(tables):
    table = tables()
    standing = refused(table)
    assert seen(table, [SESSION], NOW - 60).load == pytest.approx(standing.load)
    assert seen(table, [SESSION], NOW - 86_400) == OBSERVE
    assert table.note([SESSION], HARMLESS, NOW - 86_400) == OBSERVE
    assert seen(table, [SESSION], NOW) == standing  # the clock is right again


def test_what_has_decayed_is_wiped_from_the_file(tables, path):
    table = tables()
    empty = held(path)
    for number in range(200):
        table.note([Key("subject", f"s{number}")], Turn(asked=1, rows=(number,)), NOW)
    later = NOW + FORGET_AFTER * 86_400 + 1
    for step in range(BUCKETS // 64):
        seen(table, [SESSION], later + step * CHECK_EVERY)
    assert held(path) == empty


def test_only_the_own_segment_is_written(tables, path):
    first, second = tables(0), tables(1)
    refused(first, KEYS)
    segment = slice(SEGMENTS_AT, table_bytes(1))
    before = path.read_bytes()[segment]
    refused(second, KEYS)
    for _ in range(50):
        second.note(KEYS, HARMLESS, NOW)
    assert path.read_bytes()[segment] == before


@pytest.mark.parametrize(("slot", "key"), [(-1, SECRET), (64, SECRET), (0, b"short"), (0, bytes(65))])
def test_slots_and_keys_have_bounds(path, slot, key):
    with pytest.raises(ValueError):
        SessionTable.open(path, slot, key)
    assert not path.exists()


def test_a_place_that_cannot_hold_it_is_told(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("folder", "link", "missing/sessions.table"):
        with pytest.raises(SetupError, match="24 MB"):
            SessionTable.open(tmp_path / name, 0, SECRET)
    assert not (tmp_path / "elsewhere").exists()


def test_after_closing_it_says_so(tables):
    table = tables()
    table.close()
    with pytest.raises(ValueError):
        seen(table, [SESSION], NOW)
