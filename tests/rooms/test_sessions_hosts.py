"""Sessions that are balanced over several hosts: what each host tells the others, and what they make of it."""

import asyncio
import contextlib
import itertools
import os
import random
import time
from contextlib import ExitStack, closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.app import sessiontalk
from firedoor.app.sessiontalk import SessionTalk
from firedoor.bus.local import LocalBus
from firedoor.bus.several import Several
from firedoor.core import topics
from firedoor.core.sessionnews import (
    BUCKETS,
    MESSAGE_LIMIT,
    PART,
    SAID,
    WAYS,
    News,
    bucket_of,
    decode,
    digest_of,
    encode,
    unwrap,
    wrap,
)
from firedoor.core.sessions import MOST_LOAD, OBSERVE, REFUSE, ROWS_FREE, RULES, Key, Turn, ladder, note
from firedoor.core.sums import FUTURE, Sums, decayed
from firedoor.errors import SetupError
from firedoor.keys.derive import SealingBox
from firedoor.store.sessionfile import HOSTS, SLOTS, table_bytes
from firedoor.store.sessionnews import SILENT, SWEEP, SessionNews
from firedoor.store.sessiontable import CHECK_EVERY, FORGET_AFTER, SessionTable, _Hashed

BOX = SealingBox("eu", bytes(range(32)))
SECRET = BOX.subkey("sessions")
NOW = 1_800_000_000.0
SESSION = Key("session", "5e55" * 8)
ADDRESS = Key("address", "add7" * 8)
BAD = Turn(weak=1.0, attack=True, asked=1)
HARMLESS = Turn(weak=-6.0)

adding = st.builds(
    Turn,
    asked=st.integers(0, 2),
    near=st.integers(0, 1),
    compared=st.lists(st.floats(0, 99), max_size=2).map(tuple),
    rows=st.lists(st.integers(0, 2**64 - 1), max_size=ROWS_FREE + 8).map(tuple),
)
any_turns = st.builds(Turn, weak=st.floats(-8, 0), asked=st.integers(0, 1), attack=st.booleans())


class Host:
    """A table with two workers, and what tells of it."""

    def __init__(self, folder, name):
        folder.mkdir()
        self.name = name
        self.path = folder / "sessions.table"
        self.news = SessionNews(self.path, SECRET)
        self.workers = [SessionTable.open(self.path, slot, SECRET) for slot in (0, 1)]
        self._turn = itertools.count()

    def note(self, turn, now, *keys):
        """By one worker after the other."""
        return self.workers[next(self._turn) % 2].note(keys or (SESSION,), turn, now)

    def says(self, now):
        """The messages with all that is new."""
        self.news.look(now)
        messages = []
        while found := self.news.said(now):
            self.count = max(getattr(self, "count", 0) + 1, int(now * 1e9))
            messages.append(encode(News(self.count, found)))
        return messages

    def hears(self, other, messages, now):
        for message in messages:
            self.news.take(other.name, decode(message), now)

    def restart(self):
        """Of the process that tells and hears."""
        self.news.close()
        self.news = SessionNews(self.path, SECRET)

    def close(self):
        self.news.close()
        for worker in self.workers:
            worker.close()


def seen(host, now, *keys):
    """What holds there as it is: an empty turn adds nothing."""
    return host.note(Turn(), now, *keys)


def meet(hosts, now):
    """All tell all."""
    said = [(host, host.says(now)) for host in hosts]
    for (teller, messages), other in itertools.product(said, hosts):
        if teller is not other:
            other.hears(teller, messages, now)


def refused(host, now=NOW):
    for _ in range(4):
        standing = host.note(BAD, now)
    assert standing.rung == "refuse"
    return standing


@pytest.fixture
def hosts(tmp_path):
    """Two of them, as after they have told each other that there is nothing."""
    with ExitStack() as stack:
        two = [stack.enter_context(closing(Host(tmp_path / name, name))) for name in ("one", "two")]
        for host in two:
            host.news._due[:] = bytes(BUCKETS)
        yield two


def whole(sums):
    return sum(sums[1:8])


# --- adding up


def test_probes_on_two_hosts_add_up_and_are_refused_on_both(hosts):
    one, two = hosts
    one.note(BAD, NOW)
    two.note(BAD, NOW)
    assert {host.note(Turn(), NOW).rung for host in hosts} == {"observe"}
    meet(hosts, NOW)
    meet(hosts, NOW)
    assert {seen(host, NOW).rung for host in hosts} == {"refuse"}
    assert {host.note(Turn(), NOW, Key("session", "another")) for host in hosts} == {OBSERVE}


def test_what_only_adds_is_the_same_on_two_hosts_as_on_one(hosts):
    clock = itertools.count(NOW, 20_000)

    @given(st.lists(st.tuples(st.integers(0, 1), adding, st.floats(0.01, 900)), max_size=15))
    @settings(max_examples=30, deadline=None)
    def play(taken):
        now = next(clock)
        key, rules, alone = Key("session", f"{now}"), RULES["session"], Sums(now)
        for number, turn, apart in taken:
            now += apart
            before = decayed(alone, now, rules.half_life)
            alone = note(before, before, turn, rules)
            hosts[number].note(turn, now, key)
            meet(hosts, now)
            if whole(alone) > MOST_LOAD - 1e-6:
                return
            for host in hosts:
                assert seen(host, now, key).load == pytest.approx(ladder("session", alone, rules).load)

    play()


def test_two_hosts_are_never_milder_than_one_whatever_comes_twice_or_late_or_not(hosts):
    clock = itertools.count(NOW, 20_000)

    @given(st.lists(st.tuples(st.integers(0, 1), any_turns, st.floats(0.01, 900)), max_size=15), st.integers(0, 2**32))
    @settings(max_examples=30, deadline=None)
    def play(taken, seed):
        now, late, chance = next(clock), [], random.Random(seed)
        key, rules, alone = Key("session", f"{now}"), RULES["session"], Sums(now)
        for number, turn, apart in taken:
            now += apart
            before = decayed(alone, now, rules.half_life)
            alone = note(before, before, turn, rules)
            hosts[number].note(turn, now, key)
            late += [(host, other, message) for host, other in (hosts, hosts[::-1]) for message in host.says(now)]
            chance.shuffle(late)
            for teller, other, message in late[: len(late) // 2]:
                other.hears(teller, [message] * chance.randrange(3), now)
            late = late[len(late) // 2 :]
        for host in hosts:
            for _ in range(BUCKETS // SWEEP):
                host.news.look(now + 1)
        meet(hosts, now + 1)
        told = [seen(host, now + 1, key).load for host in hosts]
        assert told[0] == pytest.approx(told[1])
        expected = ladder("session", decayed(alone, now + 1, rules.half_life), rules).load
        assert told[0] >= expected - 1e-6

    play()


def test_hosts_that_forgive_at_the_same_time_do_not_take_it_twice(hosts):
    """They did not hear of each other yet: what is shared by many must not swing, nor an attacker's sums go."""
    one, two = hosts
    key = Key("subject", "guest")
    loads = []
    for second in range(20):
        now = NOW + second / 4
        for host in hosts:
            host.note(BAD if second < 6 else Turn(), now, key)
            for _ in range(30 if second > 10 else 0):
                host.note(HARMLESS, now, key)
        meet(hosts, now)
        loads.append(seen(one, now, key).load)
        assert seen(two, now, key).load == pytest.approx(loads[-1])
    steps = [after - before for before, after in itertools.pairwise(loads)]
    assert min(steps[:8]) > -0.01
    assert max(steps[8:]) < 0.01
    assert loads[8] > REFUSE > loads[-1] == 0


def test_guesses_and_rows_are_followed_over_hosts(hosts):
    number = 50.0
    rows = tuple(random.Random(1).getrandbits(64) for _ in range(60))
    alone = Sums(NOW)
    for turn, low in enumerate((40.0, 60.0, 45.0, 55.0, 48.0, number)):
        guess = Turn(asked=1 if turn == 0 else 0, compared=(low,), rows=rows[: 10 * turn])
        alone = note(alone, alone, guess, RULES["session"])
        hosts[turn % 2].note(guess, NOW)
        meet(hosts, NOW)
    expected = ladder("session", alone, RULES["session"]).load
    assert expected > 1
    assert seen(hosts[0], NOW).load == pytest.approx(expected) == seen(hosts[1], NOW).load


# --- what is told


def test_there_is_news_only_when_something_changed(hosts):
    one, two = hosts
    assert one.says(NOW) == []
    one.note(HARMLESS, NOW)
    assert one.says(NOW) == []
    one.note(BAD, NOW)
    (message,) = one.says(NOW)
    assert len(decode(message).found) == 1
    assert one.says(NOW) == []
    two.hears(one, [message], NOW)
    assert two.says(NOW) == []  # what was heard is not told on


def test_workers_parts_are_told_as_one(hosts):
    one, _ = hosts
    refused(one)
    (message,) = one.says(NOW)
    ((part,),) = decode(message).found.values()
    assert digest_of(part) == _Hashed.of(SECRET, SESSION).digest


def test_what_was_forgiven_goes_elsewhere_too(hosts):
    one, two = hosts
    one.note(Turn(weak=-4.0), NOW)
    one.note(Turn(asked=1), NOW, ADDRESS)
    meet(hosts, NOW)
    assert other_parts(two) == 2
    for _ in range(12):
        one.note(HARMLESS, NOW, SESSION, ADDRESS)
    meet(hosts, NOW)
    assert other_parts(two) == 0


def other_parts(host):
    """Entries of other hosts that are there."""
    count = 0
    for bucket in range(BUCKETS):
        tags = os.pread(host.news._descriptor, HOSTS * 8, 4096 + bucket * (SLOTS + HOSTS) * 8 + SLOTS * 8)
        count += sum(any(tags[at : at + 2]) for at in range(0, len(tags), 2))
    return count


def test_everything_is_told_again_in_a_while(hosts):
    one, two = hosts
    refused(one)
    one.says(NOW)  # and lost
    assert seen(two, NOW) == OBSERVE
    for _ in range(BUCKETS // SWEEP):
        two.hears(one, one.says(NOW), NOW)
    assert seen(two, NOW).rung == "refuse"


def test_what_is_new_comes_before_what_is_told_again(hosts):
    one, _ = hosts
    one.news.say_all()
    refused(one)
    one.news.look(NOW)
    assert bucket_of(_Hashed.of(SECRET, SESSION).digest) in one.news.said(NOW)


def test_of_a_full_bucket_the_largest_are_told(hosts):
    one, two = hosts
    keys = in_one_bucket(2 * WAYS)
    for number, key in enumerate(keys):
        one.workers[number // WAYS].note([key], Turn(asked=1 + number), NOW)
    meet(hosts, NOW)
    known = [seen(two, NOW, key).load > 0 for key in keys]
    assert known[-WAYS:] == [True] * WAYS
    assert other_parts(two) == WAYS


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


# --- what is heard


def test_an_older_message_is_not_taken_even_after_a_restart(hosts):
    one, two = hosts
    one.note(Turn(asked=1), NOW)
    old = one.says(NOW)
    refused(one, NOW + 1)
    two.hears(one, one.says(NOW + 1), NOW + 1)
    for _ in range(2):
        two.hears(one, old, NOW + 1)
        assert seen(two, NOW + 1).rung == "refuse"
        two.restart()
    assert two.news.counts["taken"] == 0
    two.hears(one, old, NOW + 1)
    assert two.news.counts["repeated"] == 1


@pytest.mark.parametrize("apart", [-FUTURE - 1, FUTURE + 1])
def test_a_host_with_another_clock_is_not_heard(hosts, apart):
    one, two = hosts
    refused(one)
    news = decode(one.says(NOW)[0])
    two.news.take("one", News(int((NOW + apart) * 1e9), news.found), NOW)
    assert two.news.counts == {"other_clock": 1}
    assert seen(two, NOW) == OBSERVE
    two.news.take("one", News(int((NOW + apart / 2) * 1e9), news.found), NOW)
    assert seen(two, NOW).rung == "refuse"


def test_a_clock_that_was_wrong_on_both_is_forgotten(hosts):
    one, two = hosts
    day = 86_400
    refused(one, NOW + day)
    two.hears(one, one.says(NOW + day), NOW + day)
    one.count = 0
    one.note(BAD, NOW)
    two.hears(one, one.says(NOW), NOW)
    assert two.news.counts["repeated"] == 0


def test_a_host_that_begins_anew_is_forgotten_elsewhere(hosts):
    one, two = hosts
    refused(one)
    meet(hosts, NOW)
    one.path.unlink()
    meet(hosts, NOW)
    assert seen(two, NOW) == OBSERVE
    assert other_parts(two) == 0


def test_a_table_that_was_replaced_hears_all_of_it_again(hosts):
    one, two = hosts
    refused(one)
    meet(hosts, NOW)
    two.path.unlink()
    two.news.look(NOW)
    for worker in two.workers:
        worker.note([ADDRESS], Turn(), NOW + CHECK_EVERY + 1)
    assert seen(two, NOW + 6) == OBSERVE
    one.news.say_all()
    two.hears(one, one.says(NOW + 6), NOW + 6)
    assert seen(two, NOW + 6).rung == "refuse"


def test_there_is_room_for_so_many_hosts_and_a_silent_one_makes_room(hosts):
    one, two = hosts
    refused(one)
    meet(hosts, NOW)
    count = int(NOW * 1e9)
    for number in range(HOSTS - 1):
        two.news.take(f"h{number}", News(count + 10**9, {}), NOW)
    two.news.take("late", News(count, {}), NOW)
    assert two.news.counts["no_room"] == 1
    assert seen(two, NOW).rung == "refuse"
    later = NOW + SILENT + 1
    two.news.take("late", News(int(later * 1e9), {}), later)
    assert two.news.counts["no_room"] == 1
    assert other_parts(two) == 0  # those of the one that was silent the longest


def test_what_a_host_said_that_is_gone_goes_with_the_days(hosts):
    one, two = hosts
    refused(one)
    meet(hosts, NOW)
    assert other_parts(two) == 1
    later = NOW + FORGET_AFTER * 86_400 + 1
    for _ in range(BUCKETS // SWEEP):
        two.news.look(later)
    assert other_parts(two) == 0


def test_other_hosts_take_little_of_the_disk_and_nothing_of_the_workers(hosts):
    one, two = hosts
    refused(two)
    before = two.path.stat().st_blocks
    start = table_bytes(0)
    with two.path.open("rb") as file:
        file.seek(start)
        own = file.read(table_bytes(2) - start)
    for number in range(200):
        one.note(BAD, NOW, Key("session", f"{number}"))
    meet(hosts, NOW)
    assert (two.path.stat().st_blocks - before) * 512 < 2_000_000
    with two.path.open("rb") as file:
        file.seek(start)
        assert file.read(table_bytes(2) - start) == own
    assert two.path.stat().st_size == table_bytes(SLOTS + HOSTS)


# --- messages


def good(buckets=3):
    parts = {}
    for number in range(buckets):
        hashed = _Hashed.of(SECRET, Key("session", f"{number}"))
        parts[hashed.bucket] = (hashed.head + bytes(PART - len(hashed.head)),)
    return News(7, parts)


def test_messages_come_back_and_are_bounded():
    news = good()
    assert decode(encode(news)) == news
    assert decode(encode(News(1, {5: ()}))) == News(1, {5: ()})
    host, sealed = unwrap(wrap("h" * 63, b"x" * 9))
    assert (host, sealed) == ("h" * 63, b"x" * 9)
    assert MESSAGE_LIMIT < 96 * 1024
    parts = [part for found in good().found.values() for part in found]
    for bad in (
        News(1, {**news.found, BUCKETS: ()}),
        News(1, dict.fromkeys(range(SAID + 1), ())),
        News(1, {(bucket_of(digest_of(parts[0])) + 1) % BUCKETS: (parts[0],)}),
        News(1, {bucket_of(digest_of(parts[0])): (parts[0], parts[0])}),
        News(1, {bucket_of(digest_of(parts[0])): (bytes(4) + parts[0][4:],)}),
        News(1, {bucket_of(digest_of(parts[0])): (b"\5" + parts[0][1:],)}),
        News(1, {bucket_of(digest_of(parts[0])): (parts[0][:-160] + b"\xff" * 160,)}),
    ):
        with pytest.raises(ValueError):
            decode(encode(bad))


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 255))
def test_no_bytes_are_taken_for_more_than_they_are(data, at, value):
    damaged = bytearray(encode(good()))
    damaged[at % len(damaged)] = value
    for some in (data, bytes(damaged), bytes(damaged[:at])):
        with contextlib.suppress(ValueError):
            again = encode(decode(some))
            assert len(again) == len(some)
        with contextlib.suppress(ValueError):
            assert wrap(*unwrap(some)) == some


# --- the task


class Pair:
    """Two hosts with a bus between them."""

    def __init__(self, folder):
        self.sent = []
        self.talks = {}
        self.tables = {}
        for name in ("one", "two"):
            place = folder / name
            place.mkdir()
            path = place / "sessions.table"
            self.talks[name] = SessionTalk(name, BOX, path, lambda data, name=name: self.carry(name, data))
            self.talks[name].turn(look=False)  # makes room for others, which workers see in seconds
            self.tables[name] = SessionTable.open(path, 0, SECRET)

    def carry(self, sender, data):
        self.sent.append(data)
        for name, talk in self.talks.items():
            if name != sender:
                talk.take(data)

    @contextlib.asynccontextmanager
    async def talking(self):
        tasks = [asyncio.create_task(talk.run()) for talk in self.talks.values()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for talk in self.talks.values():
                talk.close()
            for table in self.tables.values():
                table.close()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # files and threads
            await asyncio.sleep(0.02)


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 60))


def test_a_session_is_refused_on_the_other_host_soon_after(tmp_path):
    pair = Pair(tmp_path)

    async def life():
        async with pair.talking():
            for _ in range(4):
                pair.tables["one"].note([SESSION], BAD, time.time())
            pair.tables["two"].note([ADDRESS], BAD, time.time())
            await until(lambda: pair.tables["two"].note([SESSION], Turn(), time.time() + 10).rung == "refuse")
        assert all(b"5e55" not in data and _Hashed.of(SECRET, SESSION).digest not in data for data in pair.sent)
        assert not any(talk.counts for talk in pair.talks.values())

    run(life())


def test_messages_of_others_and_of_no_host_are_counted_and_change_nothing(tmp_path):
    pair = Pair(tmp_path)
    other = SessionTalk("one", SealingBox("us", bytes(range(32))), tmp_path / "us.table", pair.sent.append)
    two = pair.talks["two"]
    for _ in range(4):
        pair.tables["one"].note([SESSION], BAD, time.time())
    (foreign, *_) = other.turn(look=True)
    other.close()
    (own, *_) = pair.talks["one"].turn(look=True)
    _, sealed = unwrap(own)
    bad = bytearray(own)
    bad[-1] ^= 1
    for message in (foreign, bytes(bad), wrap("three", sealed), own + b"x"):
        two.take(message)
    two.take(b"nothing")
    two.take(wrap("two", sealed))
    two.take(b"x" * (MESSAGE_LIMIT + 1))
    two.turn(look=False)
    assert two.counts == {"unproved": 4, "own_name": 1, "malformed": 2}
    assert pair.tables["two"].note([SESSION], Turn(), time.time() + 10) == OBSERVE
    two.take(own)
    two.turn(look=False)
    assert pair.tables["two"].note([SESSION], Turn(), time.time() + 20).rung == "refuse"


def test_a_table_that_cannot_be_used_is_told_once_and_used_when_it_can(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sessiontalk, "AGAIN", 0.02)
    path = tmp_path / "sessions.table"
    path.mkdir()
    sent = []

    async def life():
        talk = SessionTalk("one", BOX, path, sent.append)
        task = asyncio.create_task(talk.run())
        await until(lambda: "Is a directory" in caplog.text)
        await asyncio.sleep(0.1)
        assert len(caplog.records) == 1
        path.rmdir()
        await until(lambda: sent)
        os.truncate(path, 100)  # a stranger
        await until(lambda: len(caplog.records) == 2)
        sent.clear()
        await until(lambda: sent)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        talk.close()

    run(life())


def test_a_host_whose_clock_is_wrong_is_told_of_once(tmp_path, caplog, monkeypatch):
    pair = Pair(tmp_path)
    later = time.time_ns() + int(FUTURE + 60) * 10**9
    with monkeypatch.context() as clock:
        clock.setattr("time.time_ns", lambda: later)
        messages = pair.talks["one"].turn(look=True)
    for message in messages:
        pair.talks["two"].take(message)
    pair.talks["two"].turn(look=False)
    assert len(messages) > 1
    assert [record.message[:30] for record in caplog.records] == ["the clock of another host is o"]


def test_a_place_without_a_folder_is_told(tmp_path):
    with pytest.raises(SetupError, match="cannot be used"):
        SessionNews(tmp_path / "missing" / "sessions.table", SECRET)


def test_what_is_between_hosts_stays_away_from_the_processes_of_one(tmp_path):
    here, there = (
        Several(LocalBus(tmp_path / "bus", name), LocalBus(tmp_path / "all", name), None) for name in ("h", "control")
    )
    got = []
    for topic in (topics.sessions("eu"), topics.hosts("eu")):
        there.subscribe(topic, got.append)

    async def life():
        await there.open()
        await here.open()
        here.publish(topics.sessions("eu"), b"sums")
        here.publish(topics.hosts("eu"), b"host")
        await until(lambda: got)
        assert got == [b"host"]
        assert here.status.failed == 0
        await here.aclose()
        await there.aclose()

    run(life())
