"""The switch agent of a host, with its page and its copy on the disk: starts, tables, ages, forgetting and healing."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs
from tests.core.switching import LOADED, Control, loaded, opening, public, sealed, sealed_global

from firedoor.agent.page import PageReader, PageWriter, boottime_ns
from firedoor.agent.switchagent import SENT, SwitchAgent
from firedoor.core.hosts import NO_AGE, Report
from firedoor.core.hosts import seal as seal_host
from firedoor.core.hosts import unseal as unseal_host
from firedoor.core.switches import ANY, GlobalTable, Scope, Switch, Table
from firedoor.core.switchtable import Said
from firedoor.errors import KeyUnusable
from firedoor.ports.switches import Copied
from firedoor.store.tablecopy import COPY_LIMIT, TableCopy

X, Y, ALL = Scope("eu", "s", "chat"), Scope("eu", "s", "faq", "m1"), Scope(ANY, "s")
SECOND = 1_000_000_000
KEY = b"k" * 32


def shut(scope, version, **more):
    return Switch(scope, "leak", 1.0, version=version, **more)


class Host:
    """A host of region eu in `folder`: its agent, and what a worker that starts now would see."""

    def __init__(self, folder, name="h1", *, plan=LOADED, begin=True, **more):
        self.folder, self.name, self.plan, self.more = folder, name, plan, more
        folder.mkdir(exist_ok=True)
        self.nudges, self.clock, self.count = 0, None, 0
        self.keys, self.global_keys = public("eu"), public("eu")
        self.start(begin=begin)

    def start(self, *, begin=True):
        """A new process; the one before ended without a word."""
        self.page = PageWriter(self.folder / "page")
        self.copy = TableCopy(self.folder / "copy")
        self.agent = SwitchAgent(
            "eu", self.plan, self.name, page=self.page, copy=self.copy, keys=lambda: self._of(self.keys),
            global_keys=lambda: self._of(self.global_keys), nudge=self._nudged,
            boottime_ns=lambda: self.clock or boottime_ns(), **self.more,
        )  # fmt: skip
        if begin:
            self.agent.begin()
            self.agent.journals_known()

    @staticmethod
    def _of(keys):
        if isinstance(keys, Exception):
            raise keys
        return keys

    def _nudged(self):
        self.nudges += 1

    def save(self):
        """What `keep_copies` does, at once."""
        self.copy.save(self.agent._copied)

    def say(self, **more):
        self.count += 1
        said = self.agent.said(self.count, **more)
        assert unseal_host(seal_host(said, KEY), KEY) == said
        return said

    def hear(self, control, **more):
        """A whole round: this host speaks, control answers."""
        said = self.say(**more)
        control.hear(said.version, said.refused, said.kept)
        control.echo[self.name] = said.count
        self.agent.take_table(control.say())
        return said

    def look(self):
        reader = PageReader(self.folder / "page")
        look = reader.look()
        reader.close()
        return look

    def scopes(self):
        shown = self.look().shown
        everywhere = shown.everywhere.shut if shown.everywhere is not None else ()
        return {s.scope for s in (*shown.table.shut, *everywhere)}


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "h1")


def with_shut(*scopes):
    control = Control()
    for scope in scopes:
        control.shut(scope)
    return control


# Tables and their age


def test_a_table_is_shown_at_once_and_wakes_workers_only_if_it_shuts(host):
    control = Control()
    host.agent.take_table(control.say())
    assert (host.look().shown.table, host.nudges) == (control.table, 0)
    control.shut(X)
    host.agent.take_table(control.say())
    assert (host.scopes(), host.nudges) == ({X}, 1)
    host.agent.take_table(control.say())
    control.open(X)
    host.agent.take_table(control.say())
    assert (host.scopes(), host.nudges) == (set(), 1)
    control.set(cache_epoch=9)
    host.agent.take_table(control.say())
    control.set(drills=(shut(X, 9, drill="d"),))
    host.agent.take_table(control.say())
    assert host.nudges == 3
    assert host.agent.counts == {"table": 6}


def test_a_table_is_as_old_as_the_message_that_led_to_it(host):
    control = Control()
    now = boottime_ns()
    host.clock = now - 500 * SECOND
    said = host.say()
    assert (said.version, said.beat, said.global_version, said.age_ms) == (-1, -1, -1, NO_AGE)
    control.echo["h1"] = said.count
    host.clock = now - 10 * SECOND
    host.say()
    host.clock = None
    host.agent.take_table(control.say())
    assert 499 < host.look().age < 600
    assert host.say().age_ms > 499_000
    control.echo["h1"] = said.count + 1
    host.agent.take_table(control.say())
    assert 9 < host.look().age < 100


@pytest.mark.parametrize("echo", [{}, {"h2": 1}, {"h1": 0}, {"h1": 2}, {"h1": 1 << 62}, {"h1": -1}])
def test_a_table_that_no_message_of_this_process_led_to_shuts_and_has_no_age(host, echo):
    control = with_shut(X)
    host.say()
    control.echo = echo
    host.agent.take_table(control.say())
    assert host.look().age == float("inf")
    assert host.scopes() == {X}


def test_messages_of_an_earlier_process_do_not_count(host):
    control = Control()
    control.echo["h1"] = host.say().count
    host.start()
    host.agent.take_table(control.say())
    assert host.look().age == float("inf")


def test_a_backlog_that_comes_late_is_old_however_much_of_it_comes(host):
    control = Control()
    host.clock = boottime_ns() - 500 * SECOND
    control.echo["h1"] = host.say().count
    backlog = [control.say() for _ in range(20)]
    host.clock = None
    for message in backlog:
        host.agent.take_table(message)
    assert host.agent.counts["table"] == 20
    assert host.look().age > 499


def test_an_echo_that_goes_back_makes_no_table_older(host):
    control = Control()
    host.clock = boottime_ns() - 500 * SECOND
    host.say()
    host.clock = None
    host.say()
    for count in (2, 1):
        control.echo["h1"] = count
        host.agent.take_table(control.say())
        assert host.look().age < 60


def test_only_so_many_messages_are_remembered(host):
    control = Control()
    for _ in range(SENT + 1):
        host.say()
    control.echo["h1"] = 1
    host.agent.take_table(control.say())
    assert host.look().age == float("inf")
    control.echo["h1"] = 2
    host.agent.take_table(control.say())
    assert host.look().age < 60


def test_where_control_shows_its_own_table_it_holds_now(tmp_path):
    host = Host(tmp_path / "h", None)
    host.agent.take_table(Control().say())
    assert host.look().age < 60


def test_what_is_refused_changes_nothing_and_is_told(host):
    control = with_shut(X)
    host.hear(control)
    since, shown = host.page._beats, host.look().shown
    for message, code in [
        (sealed(Said(Table("eu", 1, "p"), 0, (), {"h1": 1})), "older"),
        (sealed(Said(Table("eu", control.table.version, "p"), 9)), "split"),
        (sealed(Said(Table("us", 99, "p"), 0)), "other_region"),
        (sealed(Said(Table("eu", 99, "p"), 0), "us"), "unknown_signer"),
        (b"x" * 1000, "malformed"),
    ]:
        host.say()
        host.agent.take_table(message)
        assert host.agent.refused == host.say().refused == code
        assert host.agent.counts[code] == 1
    assert (host.page._beats, host.look().shown) == (since, shown)
    host.agent.take_table(control.say())
    assert host.say().refused == ""


def test_the_same_message_on_a_second_way_is_nothing_to_tell(host):
    message = Control().say()
    host.agent.take_table(message)
    host.agent.take_table(message)
    assert (host.say().refused, host.agent.counts["again"]) == ("", 1)


@pytest.mark.parametrize("error", [KeyUnusable("The ring is damaged."), FileNotFoundError(2, "gone")])
def test_without_keys_nothing_is_taken(host, error):
    control = with_shut(X)
    host.hear(control)
    host.keys = host.global_keys = error
    control.shut(Y)
    host.agent.take_table(control.say())
    host.agent.take_global(control.say_global())
    assert (host.say().refused, host.agent.global_refused) == ("no_keys", "global_no_keys")
    assert host.scopes() == {X}


def test_a_page_that_was_removed_is_put_back_with_its_beats(host):
    host.hear(with_shut(X))
    (host.folder / "page").unlink()
    host.agent.beat()
    assert host.scopes() == {X}
    assert host.look().age < 60


def test_a_page_that_cannot_be_written_stops_the_agent(host):
    (host.folder / "page").mkdir()
    with pytest.raises(OSError):
        host.agent.take_table(Control().say())


# The global table


def test_the_global_table_is_shown_beside_the_regions_own(tmp_path):
    host = Host(tmp_path / "h")
    home = with_shut(ALL)
    host.agent.take_global(home.say_global())
    assert (host.look().shown, host.nudges) == (None, 0), "nothing is shown before the region's own table"
    host.agent.take_table(with_shut(X).say())
    assert (host.scopes(), host.nudges) == ({X, ALL}, 1)
    assert host.look().global_age == float("inf")
    host.agent.take_global(home.say_global())
    assert host.look().global_age < 60
    home.open(ALL)
    host.agent.take_global(home.say_global())
    assert host.scopes() == {X}
    assert host.say().global_version == home.table.version


def test_what_is_no_global_table_of_the_home_region_is_refused(host):
    host.hear(Control())
    home = with_shut(ALL)
    good = home.say_global()
    host.agent.take_global(good)
    for message, code in [
        (good, "again"),
        (sealed_global(GlobalTable("eu", 1), 0), "older"),
        (sealed_global(GlobalTable("eu", home.table.version), 5), "split"),
        (sealed_global(GlobalTable("us", 99), 5), "other_region"),
        (sealed_global(GlobalTable("eu", 99), 5, "us"), "unknown_signer"),
        (sealed_global(GlobalTable("eu", 99), 5).replace(b"version 99", b"version 98"), "bad_signature"),
        (home.say(), "malformed"),
        (b"", "malformed"),
    ]:
        host.agent.take_global(message)
        assert host.agent.counts[f"global_{code}"] >= 1
    assert host.scopes() == {ALL}
    assert host.say().refused == "global_malformed"
    host.hear(home)
    host.agent.take_global(home.say_global())
    assert host.say().refused == ""


# Journals


def test_workers_hear_what_control_knows_once_the_journals_are_known(tmp_path):
    control = Control()
    control.set(absorbed={"w0": 3, "h1/w0": 7, "h1/w1": 9})
    host = Host(tmp_path / "h", begin=False)
    host.agent.begin()
    host.agent.take_table(control.say())
    assert host.agent.absorbed == {"w0": 7, "w1": 9}
    assert host.look().shown.table.absorbed == {}
    host.agent.journals_known(["w1", "w7"])
    assert host.look().shown.table.absorbed == host.agent.absorbed == {"w0": 7}
    reports = tuple(Report(slot, 3, "eu/s", "fx") for slot in ("w0", "w1"))
    said = host.say(reports=reports)
    assert (said.begun, said.reports) == (("w1",), reports[:1])
    control.set(absorbed={"h1/w0": 7})
    host.agent.take_table(control.say())
    said = host.say(reports=reports)
    assert (said.begun, said.reports) == ((), reports)
    control.set(absorbed={"h1/w0": 7, "h1/w1": 9})
    host.agent.take_table(control.say())
    assert host.look().shown.table.absorbed == {"w0": 7, "w1": 9}


@pytest.mark.parametrize(("name", "beside", "seen"), [(None, False, {"w0": 3}), ("h1", True, {"w0": 7, "w1": 9})])
def test_control_reads_its_own_hosts_journals_itself(tmp_path, name, beside, seen):
    control = Control()
    control.set(absorbed={"w0": 3, "h1/w0": 7, "h1/w1": 9, "h2/w0": 11})
    host = Host(tmp_path / "h", name, beside_control=beside)
    host.agent.take_table(control.say())
    assert host.look().shown.table.absorbed == seen


# Starting again


def test_an_agent_that_starts_shows_what_was_shut_and_makes_nothing_younger(host):
    host.hear(with_shut(X))
    host.save()
    beats = host.page._beats
    host.start()
    assert host.scopes() == {X}
    assert host.page._beats == beats
    (host.folder / "page").unlink()
    host.start()
    assert host.scopes() == {X}
    assert host.look().age == float("inf")


def test_a_first_start_knows_nothing_and_shows_nothing(host):
    assert host.look().shown is None
    assert host.say().version == -1
    assert host.agent.shut == ()


def test_a_shut_that_only_the_page_knows_stays_shut_without_proof(host):
    control = with_shut(X)
    host.hear(control)
    host.save()
    before = control.snapshot()
    control.shut(Y)
    host.hear(control)
    host.start()
    assert host.scopes() == {X, Y}
    control.restore(before)
    said = host.hear(control)
    assert {s.scope for s in said.kept} == {Y}
    assert host.say().refused == ""
    assert host.scopes() == {X, Y}
    host.hear(control)
    assert (host.agent.belief.kept, host.look().shown.table) == ((), control.table)


def test_a_page_that_is_older_than_the_copy_shuts_nothing_again(host):
    control = with_shut(X)
    host.hear(control)
    page = (host.folder / "page").read_bytes()
    control.open(X)
    host.hear(control)
    host.save()
    (host.folder / "page").write_bytes(page)
    host.start()
    assert host.scopes() == set()


@pytest.mark.parametrize("harm", ["missing", "empty", "flipped", "cut", "longer", "too large", "a folder"])
def test_a_copy_that_is_damaged_is_set_aside_and_the_page_is_remembered(host, harm, caplog):
    host.hear(with_shut(X))
    host.save()
    copy = host.folder / "copy"
    data = copy.read_bytes()
    copy.unlink()
    bad = {
        "empty": b"", "flipped": data[:200] + bytes([data[200] ^ 1]) + data[201:], "cut": data[:-9],
        "longer": data + b"x", "too large": data + b" " * COPY_LIMIT,
    }  # fmt: skip
    if harm in bad:
        copy.write_bytes(bad[harm])
    elif harm == "a folder":
        copy.mkdir()
    host.start()
    assert host.agent.belief.table is None
    assert [s.scope for s in host.agent.belief.kept] == [X]
    assert host.scopes() == {X}
    assert len(list(host.folder.glob("copy.damaged-*"))) == (harm not in ("missing", "a folder"))
    assert bool(caplog.records) == (harm != "missing")
    host.agent.take_table(sealed(Said(Table("eu", 99, "p"), 0)))
    assert host.scopes() == {X}


def test_the_copy_of_a_signer_who_counts_no_more_shuts_and_proves_nothing(host):
    host.keys = public("old eu")
    host.hear(signed_by("old eu", X))
    host.save()
    (host.folder / "page").unlink()
    host.keys = public("eu")
    host.start()
    assert (host.agent.belief.table, [s.scope for s in host.agent.shut]) == (None, [X])
    control = Control()
    for _ in range(3):
        host.hear(control)
    assert host.scopes() == {X} == {s.scope for s in control.table.shut}


def signed_by(key, *scopes):
    control = with_shut(*scopes)
    control.key = key
    return control


def test_a_version_that_a_stolen_key_drove_up_is_gone_above(host):
    stolen = signed_by("old eu", X)
    stolen.set(version=1 << 40)
    stolen.table = structs.replace(stolen.table, version=1 << 40)
    host.keys = public("eu", "old eu")
    host.hear(stolen)
    host.save()
    host.keys = public("eu")
    host.start()
    control = with_shut(Y)
    for _ in range(3):
        host.hear(control)
    assert control.table.version > 1 << 40
    assert host.say().refused == ""
    assert host.scopes() == {X, Y}


def test_the_global_table_is_shown_again_after_a_start(host):
    home = with_shut(ALL)
    host.hear(Control())
    host.agent.take_global(home.say_global())
    host.save()
    older = sealed_global(GlobalTable("eu", 1), 9)
    for lost in ("nothing", "page", "copy"):
        (host.folder / lost).unlink(missing_ok=True)
        host.start()
        host.agent.take_table(Control().say())
        assert host.scopes() == {ALL}, lost
        host.agent.take_global(older)
        assert host.scopes() == {ALL}, lost
        host.save()


def test_a_global_shut_that_only_the_page_knows_gives_way_to_no_older_table(host):
    home = Control()
    host.hear(Control())
    host.agent.take_global(home.say_global())
    host.save()
    withheld = sealed_global(GlobalTable("eu", 1), 7)
    home.shut(ALL)
    host.agent.take_global(home.say_global())
    reader = PageReader(host.folder / "page")
    assert reader.look().shown.everywhere.version == 2
    host.start()
    host.agent.take_global(withheld)
    assert {s.scope for s in reader.look().shown.everywhere.shut} == {ALL}
    assert reader.look().age < 60, "a worker that lives goes on"
    home.open(ALL)
    host.agent.take_global(home.say_global())
    assert host.scopes() == set()
    assert reader.look().shown.everywhere.shut == ()


@pytest.mark.parametrize("home", [None, "us"])
def test_a_global_shut_outlives_the_region_that_kept_it(host, home):
    host.hear(Control())
    host.agent.take_global(with_shut(ALL).say_global())
    host.save()
    host.plan = loaded(home)
    host.start()
    assert host.scopes() == {Scope("eu", "s")}
    assert [s.scope for s in host.say().kept] == [Scope("eu", "s")]


def test_the_global_copy_of_a_revoked_signer_shuts_until_a_valid_table_comes(host):
    host.global_keys = public("old eu")
    host.hear(Control())
    host.agent.take_global(sealed_global(GlobalTable("eu", 1 << 40, (Switch(ALL, "leak", 1.0),)), 3, "old eu"))
    host.save()
    host.global_keys = public("eu")
    host.start()
    assert host.scopes() == {ALL}
    host.agent.take_global(sealed_global(GlobalTable("eu", 5), 0))
    assert host.scopes() == set()


# The copy


def test_the_copy_follows_what_changes_and_not_the_beats(tmp_path):
    class Disk(TableCopy):
        saved = 0

        def save(self, copied):
            super().save(copied)
            self.saved += 1

    async def go():
        host, control = Host(tmp_path / "h", begin=False), with_shut(X)
        disk = host.agent._copy = Disk(host.folder / "copy")
        host.agent.begin()
        keeping = asyncio.create_task(host.agent.keep_copies())

        async def saved(count):
            while disk.saved < count:  # noqa: ASYNC110  # a thread does it
                await asyncio.sleep(0.005)

        message = control.say()
        host.agent.take_table(message)
        await asyncio.wait_for(saved(1), 60)
        for _ in range(5):
            host.agent.take_table(control.say())
        await asyncio.sleep(0.05)
        assert disk.saved == 1
        assert TableCopy(host.folder / "copy").load() == Copied(message, floor=2)
        told = control.say_global()
        host.agent.take_global(told)
        await asyncio.wait_for(saved(2), 60)
        assert TableCopy(host.folder / "copy").load().everywhere == told
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(go())


def test_a_disk_that_refuses_is_tried_again_and_keeps_nothing_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr("firedoor.agent.switchagent.SAVE_AGAIN", 0.005)

    class Full(TableCopy):
        left = 3

        def save(self, copied):
            if self.left:
                self.left -= 1
                raise OSError(28, "No space left on device")
            super().save(copied)

    async def go():
        host = Host(tmp_path / "h")
        host.agent._copy = Full(host.folder / "copy")
        keeping = asyncio.create_task(host.agent.keep_copies())
        host.agent.take_table(with_shut(X).say())
        assert host.scopes() == {X}
        async with asyncio.timeout(60):
            while not (host.folder / "copy").exists():  # noqa: ASYNC110  # a thread does it
                await asyncio.sleep(0.005)
        assert host.agent.counts["copy_failed"] == 3
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(go())


KEPT = (Switch(Scope("eu"), "operator", 1.5, ("ab", "cd"), "fx", "inc", 7, None), shut(X, 3))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.none() | st.binary(max_size=50), st.none() | st.binary(max_size=50), st.data())
def test_a_copy_is_read_back_whole_or_not_at_all(tmp_path, table, everywhere, data):
    copy = TableCopy(tmp_path / "copy")
    copied = Copied(table, everywhere, KEPT, 17)
    copy.save(copied)
    assert copy.load() == copied
    whole = (tmp_path / "copy").read_bytes()
    at, change = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    (tmp_path / "copy").write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
    assert copy.load() in (Copied(), copied)


# All of it, in any order


class Life(RuleBasedStateMachine):
    """One host whose agent dies at any moment, before or after its copy was saved, and a control that is put back."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.host = Host(self.folder / "h")
        self.control = Control()
        self.snapshots = [self.control.snapshot()]
        self.sent = []
        self.known = {}
        self.reader = PageReader(self.folder / "h" / "page")

    def seen(self):
        """What a worker sees that has lived all the time, once it looked for a new page."""
        self.reader._reopen()
        return self.reader.look()

    def deliver(self, message, proofs):
        self.host.agent.take_table(message)
        self.check(proofs)

    def check(self, proofs=()):
        shown = self.seen().shown
        showing = {}
        for switch in shown.table.shut if shown is not None else ():
            showing[switch.scope] = max(switch.version, showing.get(switch.scope, 0))
        for scope, version in list(self.known.items()):
            if showing.get(scope, -1) < version:
                opened = {of for s, of in self.control.openings if s == scope and of >= version}
                assert opened & {int(p.act.args["of"]) for p in proofs if p.act.scope == scope}
                del self.known[scope]
        self.known.update(showing)

    @rule(scope=st.sampled_from([X, Y]))
    def shuts(self, scope):
        self.control.shut(scope)

    @precondition(lambda self: self.control.table.shut)
    @rule()
    def opens(self):
        self.control.open(self.control.table.shut[0].scope)

    @rule()
    def is_saved(self):
        self.snapshots.append(self.control.snapshot())

    @rule(at=st.integers(0, 5))
    def is_put_back(self, at):
        self.control.restore(self.snapshots[at % len(self.snapshots)])

    @rule()
    def says(self):
        said = self.control.said()
        self.sent.append((sealed(said), said.opened))
        self.deliver(*self.sent[-1])

    @precondition(lambda self: self.sent)
    @rule(at=st.integers(0, 50))
    def something_comes_again(self, at):
        self.deliver(*self.sent[at % len(self.sent)])

    @rule(by=st.sampled_from([("ana",), ("ana", "twin")]), scope=st.sampled_from([X, Y]))
    def control_is_taken_over(self, by, scope):
        table = self.host.agent.belief.table or self.control.table
        forged = structs.replace(table, version=table.version + 1, shut=())
        proofs = (*{p.act.nonce: p for _, opened in self.sent for p in opened}.values(), opening(scope, 40, by=by))
        self.deliver(sealed(Said(forged, 0, proofs)), proofs)

    @rule()
    def the_copy_is_saved(self):
        self.host.save()

    @rule(lost=st.sampled_from(["", "copy", "page"]))
    def dies_and_starts(self, lost):
        if lost == "page":
            self.host.save()
        if lost == "page" or (lost == "copy" and (self.folder / "h" / "page").exists()):  # one memory is left
            (self.folder / "h" / lost).unlink(missing_ok=True)
        self.host.start()
        self.check()

    @rule()
    def speaks(self):
        said = self.host.say()
        self.control.hear(said.version, said.refused, said.kept)
        self.control.echo["h1"] = said.count

    @invariant()
    def nothing_is_forgotten(self):
        self.check()

    def teardown(self):
        try:
            for _ in range(5):
                self.host.hear(self.control)
                self.check(self.control.proofs)
            look = self.seen()
            assert self.host.say().refused == ""
            assert look.shown.table == structs.replace(self.control.table, absorbed={})
            assert look.age < 60
        finally:
            self.reader.close()
            shutil.rmtree(self.folder)


Life.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
