"""Control and the hosts of its region: real switch agents with pages of their own, on a wire that can be cut."""

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest
from msgspec import structs

from firedoor.agent.page import PageReader, PageWriter
from firedoor.agent.switchagent import SwitchAgent
from firedoor.app.control import _had_table
from firedoor.control.findings import ABSORBED
from firedoor.control.hosts import HOSTS, LIVING, Hosts
from firedoor.control.keeper import MAX_VERSION
from firedoor.core import topics
from firedoor.core.crossing import GlobalSaid, decode
from firedoor.core.hosts import HostSaid, Report, seal
from firedoor.core.switches import MAX_SWITCHES, Scope, Switch
from firedoor.core.switchtable import unseal
from firedoor.errors import ActRefused
from firedoor.ports.switches import Copied
from firedoor.store.tablecopy import TableCopy

from .region import NOTE, Region

KEY = b"k" * 32
ONE, OTHER, ALL = "eu/alpen/support/m0", "eu/berg/*/*", "eu/*/*/*"


class Wire:
    """Carries what control publishes to the hosts that are not cut off, at once."""

    def __init__(self):
        self.hosts = []
        self.said = []

    def publish(self, topic, message):
        self.said.append((topic, message))
        for host in self.hosts:
            if host.linked and topic == topics.table("eu"):
                host.agent.take_table(message)


class RemoteHost:
    """A switch agent with its own page, and the SHUT file of its host."""

    def __init__(self, house, name):
        self.house, self.name = house, name
        self.linked, self.latched, self.count = True, False, 0
        self.folder = house.folder / name
        self.folder.mkdir(exist_ok=True)
        self.start()

    def start(self):
        keys = self.house.region.signer.keys
        self.agent = SwitchAgent(
            "eu", self.house.region.loaded, self.name, page=PageWriter(self.folder / "page"),
            copy=TableCopy(self.folder / "copy"), keys=keys, global_keys=keys, nudge=lambda: None,
        )  # fmt: skip
        self.agent.begin()
        self.agent.journals_known()

    def say(self, **more):
        """Its next message, as `firedoor switches follow` would send it; returns the bytes."""
        self.count += 1
        shown = self.agent.belief.table
        if self.latched and shown is not None and any(s.scope == Scope("eu") for s in shown.shut):
            self.latched = False  # its agent removes the note once the table it took shuts the region
        data = seal(self.agent.said(self.count, latched=self.latched, **more), KEY)
        if self.linked:
            self.house.hosts.take(data)
        return data

    def shut_scopes(self):
        reader = PageReader(self.folder / "page")
        shown = reader.look().shown
        reader.close()
        return sorted({str(s.scope) for s in shown.table.shut}) if shown is not None else None


class House:
    def __init__(self, folder):
        self.folder = folder
        self.region = Region(folder / "eu")
        self.wire = Wire()
        self.hosts = self.board = None
        self.clock = 1000.0
        self.asked = 0

    def host(self, name):
        host = RemoteHost(self, name)
        self.wire.hosts.append(host)
        return host

    def ask(self):
        self.asked += 1
        self.board.beat()

    @asynccontextmanager
    async def control(self, **more):
        echo = lambda: self.hosts.echo() if self.hosts is not None else {}  # noqa: E731
        async with self.region.control(own_host=False, bus=self.wire, echo=echo, begin=False, **more) as board:
            self.board = board
            self.hosts = Hosts(
                "eu", KEY, board, lambda: self.clock, ask=self.ask, beat=lambda: self.region.announcer.beats
            )
            await board.begin()
            yield board

    def table(self):
        return self.board.table

    async def open(self, scope):
        region = self.region
        pending = await self.board.propose(region.open_by(scope), NOTE)
        return await self.board.approve(pending.id, region.sign(pending.signed.act, "ben"))


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def said(**values):
    return seal(HostSaid(**{"region": "eu", "host": "h1", "count": 1, **values}), KEY)


def scopes(table):
    return sorted(str(s.scope) for s in table.shut)


def test_of_two_hosts_with_one_name_one_is_heard_and_it_is_told(house, caplog):
    async def life():
        async with house.control() as board:
            first, second = house.host("h1"), house.host("h1")
            second.count = 1000
            for _ in range(3):
                second.say()
                first.say()
            board.beat()
            assert house.hosts.echo() == {"h1": 1003}
            assert house.hosts.counts["replayed"] == 3

    run(life())
    assert [r.getMessage().partition(",")[0] for r in caplog.records] == ["messages of host h1 are played again"]


def test_what_is_no_message_of_a_host_changes_nothing(house):
    async def life():
        async with house.control() as board:
            before = board.table
            good = said(latched=True)
            for bad in (
                b"", good[:-1], good + b" ", good.replace(b"h1", b"h2"), seal(HostSaid(region="eu", host="h1", count=1,
                latched=True), b"x" * 32), said(latched=True, region="us"),
            ):  # fmt: skip
                house.hosts.take(bad)
            assert board.table is before
            assert (house.hosts.heard(), house.hosts.echo()) == ([], {})
            assert sum(house.hosts.counts.values()) == 6
            assert house.hosts.counts["taken"] == 0

    run(life())


def test_a_leak_of_a_host_is_absorbed_once_under_its_name(house):
    async def life():
        async with house.control() as board:
            host = house.host("h1")
            report = Report("worker-0", 7, ONE, "fx-7")
            host.say(reports=(report,))
            assert host.shut_scopes() == [ONE]
            (switch,) = board.table.shut
            assert (switch.reason, switch.keys, switch.exchange) == ("leak", (), "fx-7")
            assert board.table.absorbed == {"h1/worker-0": 7}
            assert host.agent.absorbed == {"worker-0": 7}
            await board.settled()
            await house.open(ONE)
            for _ in range(2):
                host.say(reports=(report,))
            assert scopes(board.table) == []
            house.host("h2").say(reports=(report,))
            assert scopes(board.table) == [ONE], "the same number on another host is another leak"
            host.say(reports=(Report("worker-0", 9, "what?", ""), Report("worker-0", 8, "eu/berg/faq/m1", "")))
            assert {ALL, "eu/berg/faq/m1"} < set(scopes(board.table)), "in their order, and in doubt all is shut"
            await board.settled()
        facts = [leaf.facts for leaf in house.region.records() if leaf.kind == "switch"]
        assert (facts[0]["slot"], facts[0]["seq"], facts[0]["cause"]) == ("h1/worker-0", 7, "finding")

    run(life())


@pytest.mark.parametrize(
    "bad",
    [
        Switch(Scope("eu", "alpen"), "operator", 1.0, version=1 << 60),
        Switch(Scope("eu", "x" * 64), "operator", 1.0),
        Switch(Scope("*", "AL PEN"), "operator", 1.0),
        Switch(Scope("*"), "operator", 1e300),
    ],
)
def test_what_no_host_could_take_does_not_come_into_the_table(house, bad):
    """One process of the region that lies must not make a table that all others refuse, and nobody can open."""

    async def life():
        async with house.control() as board:
            host = house.host("h1")
            house.hosts.take(said(host="h2", kept=(bad,)))
            host.say(reports=(Report("worker-0", 7, "eu/" + "x" * 290, "fx-7"),))
            assert scopes(board.table) == host.shut_scopes() == [ALL]
            assert (house.hosts.counts["malformed"], host.agent.refused) == (1, "")

    run(life())


def test_a_message_played_again_shuts_nothing_that_was_opened(house):
    async def life():
        async with house.control() as board:
            host = house.host("h1")
            host.latched = True
            first = host.say()
            assert scopes(board.table) == [ALL]
            host.say()
            assert not host.latched
            await house.open(ALL)
            for _ in range(3):
                house.hosts.take(first)
            assert scopes(board.table) == []
            assert house.hosts.counts["replayed"] == 3
            assert house.hosts.echo() == {"h1": 2}

    run(life())


def test_a_shut_file_anywhere_shuts_all_and_nobody_opens_before_it_is_gone(house):
    async def life():
        async with house.control() as board:
            near, far = house.host("h1"), house.host("h2")
            far.latched = True
            far.linked = False
            far.agent.sent(0)
            house.hosts.take(seal(far.agent.said(1, latched=True), KEY))
            assert (near.shut_scopes(), board.table.shut[0].reason) == ([ALL], "file")
            near.say()
            with pytest.raises(ActRefused) as refused:
                await board.propose(house.region.open_by(ALL), NOTE)
            assert refused.value.code == "shut_file_present"
            assert "h2" in refused.value.message
            far.count = 1
            far.linked = True
            board.beat()
            far.say()  # it saw the region shut, so its note is gone
            await house.open(ALL)
            for host in (near, far):
                host.say()
                assert host.shut_scopes() == []
            assert scopes(board.table) == []

    run(life())


def test_a_host_with_a_shut_file_that_is_gone_for_long_keeps_nobody_from_opening(house):
    async def life():
        async with house.control() as board:
            house.hosts.take(said(latched=True))
            house.clock += LIVING + 0.1
            assert house.hosts.echo() == {}
            await house.open(ALL)
            house.hosts.take(said(count=2, latched=True))
            assert scopes(board.table) == [ALL], "it is back, and nobody told that its file is gone"

    run(life())


@pytest.mark.parametrize("stale", ["shut since", "opened since"])
def test_control_put_back_to_an_old_state_opens_nothing_and_heals(house, stale):
    state = house.region.home.control_state

    async def life():
        async with house.control() as board:
            host = house.host("h1")
            host.say()
            await board.shut(house.region.shut_by(OTHER))
            if stale == "opened since":
                await board.shut(house.region.shut_by(ONE))
        old = state.read_bytes()
        async with house.control() as board:
            if stale == "opened since":
                await house.open(ONE)
            else:
                await board.shut(house.region.shut_by(ONE))
            for _ in range(5):
                await board.shut(house.region.shut_by(f"eu/alpen/*/m{_ + 1}"))
            for _ in range(5):
                await house.open(f"eu/alpen/*/m{_ + 1}")
            known = board.table.version
            assert host.agent.belief.version == known
        state.write_bytes(old)
        async with house.control() as board:
            assert board.table.version < known
            assert host.agent.refused == "older"
            assert ONE in host.shut_scopes() or stale == "opened since"
            host.say()
            assert board.table.version > known
            assert host.agent.refused == ""
            host.say()
            assert scopes(board.table) == host.shut_scopes() == [ONE, OTHER]
            assert host.agent.belief.kept == ()
            await board.settled()
            for scope in (ONE, OTHER):
                await house.open(scope)
            assert host.shut_scopes() == []

    run(life())


@pytest.mark.parametrize("heard", ["before", "after"])
def test_an_opening_that_was_replayed_after_control_was_put_back_opens_nothing(house, heard):
    """Whoever kept an old state and an old opening has both signatures, and still the wrong shut."""
    state = house.region.home.control_state

    async def life():
        async with house.control() as board:
            host = house.host("h1")
            await board.shut(house.region.shut_by(ONE))
        old = state.read_bytes()
        async with house.control() as board:
            await house.open(ONE)
            opening = board.keeper.trail[-1].signed
            await board.shut(house.region.shut_by(ONE))
            assert host.shut_scopes() == [ONE]
        state.write_bytes(old)
        async with house.control() as board:
            first = structs.replace(opening, signatures=opening.signatures[:1])
            pending = await board.propose(first, NOTE)
            if heard == "before":
                host.say()  # its later shut of the same scope is control's, too, now
                with pytest.raises(ActRefused) as refused:
                    await board.approve(pending.id, opening.signatures[1])
                assert refused.value.code == "unknown_request"
                again = house.region.open_by(ONE, arguments={"of": opening.act.args["of"]})
                with pytest.raises(ActRefused, match="was shut with table version"):
                    await board.propose(again, NOTE)
            else:
                await board.approve(pending.id, opening.signatures[1])
                assert host.shut_scopes() == [ONE], "an older table, and then a proof of another shut"
                for _ in range(2):
                    host.say()
            assert (scopes(board.table), host.shut_scopes()) == ([ONE], [ONE])

    run(life())


def test_a_host_that_missed_many_openings_is_shown_the_proof(house):
    async def life():
        async with house.control() as board:
            near, far = house.host("h1"), house.host("h2")
            await board.shut(house.region.shut_by(ONE))
            far.linked = False
            await house.open(ONE)
            for number in range(40):
                scope = f"eu/berg/*/m{number}"
                await board.shut(house.region.shut_by(scope))
                await house.open(scope)
            far.linked = True
            board.beat()
            assert far.shut_scopes() == [ONE], "no proof of it among the newest openings"
            far.say()
            assert far.shut_scopes() == near.shut_scopes() == scopes(board.table) == []
            version = board.table.version
            far.say()
            assert board.table.version == version

    run(life())


def test_a_table_of_the_same_version_that_says_something_else_is_outdone(house):
    async def life():
        async with house.control() as board:
            host = house.host("h1")
            twin = structs.replace(board.table, plan="ef" * 32)
            host.agent.belief = structs.replace(host.agent.belief, table=twin, beat=-1)
            board.beat()
            assert host.agent.refused == "split"
            host.say()
            assert host.agent.refused == ""
            assert host.agent.belief.table == board.table

    run(life())


def test_no_host_pushes_the_version_out_of_bounds(house):
    async def life():
        async with house.control() as board:
            house.hosts.take(said(version=MAX_VERSION + 1, refused="older"))
            assert board.table.version < 100
            house.hosts.take(said(count=2, version=MAX_VERSION, refused="older"))
            assert board.table.version == MAX_VERSION + 1
            await board.shut(house.region.shut_by(ONE))
            await house.open(ONE)
            assert scopes(board.table) == []

    run(life())


def test_what_hosts_keep_shut_and_finds_no_room_shuts_the_region(house):
    async def life():
        async with house.control() as board:

            def kept(shop):
                return tuple(Switch(Scope("eu", shop, "*", f"m{i}"), "leak", 1.0, version=1) for i in range(60))

            house.hosts.take(said(kept=kept("alpen")))
            assert len(board.table.shut) == 60
            house.hosts.take(said(count=2, kept=kept("berg")))
            assert len(board.table.shut) == 61 <= MAX_SWITCHES
            assert ALL in scopes(board.table)
            before = board.table
            foreign = Switch(Scope("us"), "leak", 1.0, version=1)
            house.hosts.take(said(count=3, kept=(foreign,)))
            assert board.table is before

    run(life())


def test_what_holds_in_all_regions_is_not_lost_for_want_of_room(tmp_path):
    """The other regions take the global table as it comes: what is gone from it opens there."""
    house = House(tmp_path)
    house.region = Region(tmp_path / "home", keeps_all="eu")

    async def life():
        async with house.control():
            many = tuple(Switch(Scope("eu", "alpen", "*", f"m{i}"), "leak", 1.0, version=9) for i in range(60))
            house.hosts.take(said(kept=many))
            others = tuple(Switch(Scope("*", f"s{i}"), "leak", 1.0, version=9) for i in range(60))
            house.hosts.take(said(count=2, kept=others, version=900, refused="older"))
            told = decode(GlobalSaid, [m for t, m in house.wire.said if t == topics.GLOBAL][-1]).table
            assert told.version > 900
            assert [s.scope for s in told.shut] == [Scope("*")]

    run(life())


def test_the_table_remembers_so_many_slots_and_no_more(house):
    async def life():
        async with house.control() as board:
            for number in range(ABSORBED + 1):
                house.hosts.take(said(count=number + 1, reports=(Report(f"s{number}", 1, ONE, ""),)))
            assert len(board.table.absorbed) <= ABSORBED
            assert f"h1/s{ABSORBED}" in board.table.absorbed
            assert "h1/s0" not in board.table.absorbed
            assert scopes(board.table) == [ONE]

    run(life())


def test_a_journal_that_begins_anew_counts_from_its_start(house):
    async def life():
        async with house.control() as board:
            house.hosts.take(said(reports=(Report("worker-0", 7, ONE, ""),)))
            await house.open(ONE)
            house.hosts.take(said(count=2, begun=("worker-0",), reports=(Report("worker-0", 3, OTHER, ""),)))
            assert (scopes(board.table), board.table.absorbed) == (["eu/berg/*/*"], {"h1/worker-0": 3})

    run(life())


def test_only_so_many_hosts_are_known_and_the_silent_make_room(house):
    async def life():
        async with house.control():
            for number in range(HOSTS + 1):
                house.hosts.take(said(host=f"h{number}"))
            assert len(house.hosts.heard()) == len(house.hosts.echo()) == HOSTS
            assert house.hosts.counts["too_many_hosts"] == 1
            house.clock += LIVING + 1
            house.hosts.take(said(host="late"))
            assert len(house.hosts.heard()) == HOSTS
            assert house.hosts.echo() == {"late": 1}

    run(life())


def test_a_host_whose_clock_was_set_back_is_heard_again(house):
    async def life():
        async with house.control():
            house.hosts.take(said(count=1_000_000))
            house.hosts.take(said(count=5))
            assert house.hosts.echo() == {"h1": 1_000_000}
            house.clock += LIVING + 1
            house.hosts.take(said(count=6))
            assert house.hosts.echo() == {"h1": 6}

    run(life())


def test_who_asks_is_told_at_once_how_far_it_was_heard(house):
    async def life():
        async with house.control():
            host = house.host("h1")
            assert host.agent.belief.table is None
            host.say(ask=True)
            assert house.asked == 1
            assert host.agent.belief.table == house.table()
            assert host.agent.said(99).age_ms < 60_000

    run(life())


def test_the_key_that_was_renewed_signs_and_the_old_one_counts_no_more(house):
    async def life():
        async with house.control() as board:
            host = house.host("h1")
            board.beat()
            assert host.agent.refused == ""
            old = house.wire.said[-1][1]
            house.region.signer.renew()
            host.agent.take_table(old)
            assert host.agent.refused == "unknown_signer"
            await board.shut(house.region.shut_by(ONE))
            assert (host.agent.refused, host.shut_scopes()) == ("", [ONE])

    run(life())


def test_a_lost_region_comes_back_shut_wherever_a_host_knows_more(house):
    """Everything of control is gone, and a first start would be open: the hosts still shut what they know."""

    async def life():
        async with house.control() as board:
            host = house.host("h1")
            await board.shut(house.region.shut_by(ONE))
            for number in range(3):
                await board.shut(house.region.shut_by(f"eu/*/*/m{number}"))
        shutil.rmtree(house.region.home.root)
        house.region.home.make()
        async with house.control() as board:
            assert scopes(board.table) == []
            for _ in range(2):
                host.say()
            assert len(board.table.shut) == len(host.shut_scopes()) == 4

    run(life())


def test_control_reads_its_own_journal_and_leaves_the_others_to_the_hosts(house):
    async def life():
        async with house.region.control() as board:  # the region had one host, and control was its agent
            seq = await house.region.finding("eu/berg/faq/m0")
            board.beat()
            await board.settled()
            assert board.table.absorbed == {"w0": seq}
        shutil.rmtree(house.region.home.journal("w0"))
        async with house.control() as board:
            await house.region.finding(ONE)
            board.beat()
            assert scopes(board.table) == ["eu/berg/faq/m0"]
            assert board.table.absorbed == {"w0": seq}, "that is for the host to say"
            await board.keeper.record("finding", {"verdict": "shut", "scope": OTHER})
            board.beat()
            assert scopes(board.table) == [OTHER, "eu/berg/faq/m0"]
            house.region.home.latch_file.touch()
            board.beat()
            assert ALL not in scopes(board.table), "the note is for the host's agent to tell"
            house.region.home.shut_file.touch()
            board.beat()
            await board.settled()
            assert ALL in scopes(board.table)
            assert house.region.home.latch_file.exists(), "and to take away"

    run(life())


def test_a_copy_of_the_global_table_alone_is_no_sign_of_a_lost_table(house):
    """It comes to a host before the control of its own region was ever started."""
    place = house.region.home
    copy = TableCopy(place.table_copy)
    assert not _had_table(place)
    copy.save(Copied(everywhere=b"global"))
    assert not _had_table(place)
    for told in (Copied(table=b"table", everywhere=b"global"), Copied(kept=(Switch(Scope("eu"), "leak", 1.0),))):
        copy.save(told)
        assert _had_table(place)
    place.table_copy.write_bytes(b"?")
    assert _had_table(place)


def test_control_that_was_put_back_says_nothing_new_before_it_holds_what_hosts_shut(house):
    """The other regions take its global table as it comes: no version that they would take lacks a switch."""
    state = house.region.home.control_state

    async def life():
        async with house.control():
            host = house.host("h1")
        old = state.read_bytes()
        async with house.control() as board:
            board.findings.leak("h1/w0", 3, ONE, "fx-1")
            await board.shut(house.region.shut_by(OTHER))
            known = host.agent.belief.table
            assert scopes(known) == sorted([ONE, OTHER])
        state.write_bytes(old)
        async with house.control() as board:
            house.wire.said.clear()
            host.say()
            said = [unseal(m, house.region.signer.keys()).table for t, m in house.wire.said if t == topics.table("eu")]
            assert any(table.version > known.version for table in said)
            assert all(scopes(table) == sorted([ONE, OTHER]) for table in said if table.version > known.version)
            assert board.table.cache_epoch > known.cache_epoch, "answers that were kept before the leak stay forgotten"
            assert host.agent.refused == ""

    run(life())
