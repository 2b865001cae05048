import asyncio
import base64
import hashlib
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import structs

from firedoor.core.people import LIFETIME, Signed, key_id, raw_key
from firedoor.core.switches import MAX_DRILLS, MAX_SWITCHES
from firedoor.errors import ActRefused, EvidenceDamaged, SetupError
from firedoor.store import journal_read
from firedoor.store.opening import BodyOpener

from .region import NOTE, Region

ONE = "eu/alpen/support/m0"
ALL = "eu/*/*/*"


@pytest.fixture
def region(tmp_path):
    return Region(tmp_path / "eu")


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def refusal(awaitable):
    with pytest.raises(ActRefused) as refused:
        await awaitable
    return refused.value.code


async def opened(region, board, scope, first="ana", second="ben"):
    pending = await board.propose(region.open_by(scope, first), NOTE)
    return await board.approve(pending.id, region.sign(pending.signed.act, second))


def test_a_first_start_is_open_and_beats(region):
    async def life():
        async with region.control() as board:
            table, age = region.seen()
            assert (table.version, table.shut, table.plan) == (2, (), region.loaded.digest)
            assert age < 2
            board.beat()

    run(life())
    assert region.home.control_state.stat().st_mode & 0o777 == 0o600


def test_one_person_shuts_and_it_is_shown_saved_and_recorded(region):
    async def life():
        async with region.control() as board:
            done = await board.shut(region.shut_by(ONE, reason="suspicion", note="odd answers"), "odd answers")
            assert done.changed
            assert done.durable
            assert done.recorded
            assert region.shut_scopes() == [ONE]
            again = await board.shut(region.shut_by(ONE))
            assert not again.changed
        async with region.control():
            assert region.shut_scopes() == [ONE]

    run(life())
    (shut,) = [leaf.facts for leaf in region.records() if leaf.kind == "switch"]
    assert (shut["state"], shut["reason"], shut["by"], shut["cause"]) == ("shut", "suspicion", ["cem"], "person")
    stored = [s for s in journal_read.read(region.home.journal("control")) if s.leaf.kind == "request"]
    assert "odd answers" not in str([s.leaf.facts for s in stored])
    opener = BodyOpener(region.home.bodies, region.home.subjects, region.epochs)
    assert opener.open(stored[0].leaf) == b"odd answers"
    opener.close()


def test_two_people_open_and_the_order_is_in_the_evidence(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))
            version = board.table.version
            done = await opened(region, board, ONE)
            assert done.entry.by == ("ana", "ben")
            assert region.shut_scopes() == []
            assert region.seen()[0].version == done.entry.version > version
            assert board.requests() == []
        async with region.control():
            assert region.shut_scopes() == []

    run(life())
    assert region.switch_records() == [("shut", ONE), ("open", ONE)]
    states = [leaf.facts["state"] for leaf in region.records() if leaf.kind == "request"]
    assert states == ["done", "proposed", "approved"]
    opening = next(leaf.facts for leaf in region.records() if leaf.facts.get("state") == "open")
    assert opening["digest"] == hashlib.sha256(opening["content"].encode()).hexdigest()
    for line in opening["signatures"]:  # a stranger with the plan can check who opened
        who, _, value = line.partition(":")
        key = Ed25519PublicKey.from_public_bytes(raw_key(region.loaded.plan.people[who]))
        key.verify(base64.b64decode(value), opening["content"].encode())


def test_who_may_not_open(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))
            assert await refusal(board.propose(region.open_by(ONE, "cem"), NOTE)) == "role_missing"
            assert await refusal(board.propose(region.open_by(ONE), "another note")) == "bad_note"
            assert await refusal(board.propose(region.open_by("eu/alpen"), NOTE)) == "not_shut"
            assert await refusal(board.propose(region.shut_by(ONE), NOTE)) == "bad_act"
            assert await refusal(board.shut(region.open_by(ONE), NOTE)) == "bad_act"
            pending = await board.propose(region.open_by(ONE), NOTE)
            act = pending.signed.act
            forged = structs.replace(region.sign(act, "ana"), by="ben")
            altered = structs.replace(act, args={**act.args, "scope": ALL})
            for signature, code in (
                (region.sign(act, "ana"), "same_person"),
                (region.sign(act, "ana2"), "same_key"),
                (region.sign(act, "cem"), "role_missing"),
                (forged, "bad_signature"),
                (region.sign(altered, "ben"), "bad_signature"),
                (structs.replace(region.sign(act, "ben"), by="nobody"), "unknown_person"),
            ):
                assert await refusal(board.approve(pending.id, signature)) == code
            assert await refusal(board.approve("eu-0123456789ab", region.sign(act, "ben"))) == "unknown_request"
            assert region.shut_scopes() == [ONE]
            await board.approve(pending.id, region.sign(act, "ben"))
            assert region.shut_scopes() == []

    run(life())


def test_nonces_count_once_also_after_a_restart(region):
    async def life():
        shut = region.shut_by(ONE)
        async with region.control() as board:
            await board.shut(shut)
            pending = await board.propose(region.open_by(ONE), NOTE)
            assert await refusal(board.propose(pending.signed, NOTE)) == "nonce_spent"
            await board.approve(pending.id, region.sign(pending.signed.act, "ben"))
            assert await refusal(board.shut(shut)) == "nonce_spent"
        async with region.control(crash=True) as board:
            assert await refusal(board.shut(shut)) == "nonce_spent"
            await board.shut(region.shut_by(ONE))
            assert await refusal(board.propose(pending.signed, NOTE)) == "nonce_spent"
            assert await refusal(board.approve(pending.id, region.sign(pending.signed.act, "ben"))) == "unknown_request"
            assert region.shut_scopes() == [ONE]

    run(life())


def test_requests_expire_and_outlive_a_restart_until_then(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))
            pending = await board.propose(region.open_by(ONE), NOTE)
            assert board.requests() == [(pending, NOTE)]
        assert NOTE.encode() not in region.home.control_state.read_bytes()
        async with region.control() as board:
            assert board.requests() == [(pending, None)]
            region.now += LIFETIME + 1
            assert await refusal(board.approve(pending.id, region.sign(pending.signed.act, "ben"))) == "expired"
            assert board.requests() == []
            assert region.shut_scopes() == [ONE]

    run(life())


def test_a_scope_that_names_nothing_is_refused(region):
    async def life():
        async with region.control() as board:
            for scope, code in (
                ("eu/alpn", "unknown_scope"),
                ("eu/alpen/suport", "unknown_scope"),
                ("us", "other_region"),
            ):
                assert await refusal(board.shut(region.shut_by(scope))) == code
            await board.shut(region.shut_by("eu"))
            assert region.shut_scopes() == [ALL]

    run(life())


def test_findings_shut_once_and_say_how_far_was_read(region):
    async def life():
        async with region.control() as board:
            seq = await region.finding(ONE)
            await region.finding("eu/alpen/search/m0", verdict="cut")
            board.beat()
            await board.settled()
            table = region.seen()[0]
            assert region.shut_scopes() == [ONE]
            assert table.absorbed == {"w0": seq}
            assert (table.shut[0].reason, table.shut[0].keys, table.shut[0].exchange) == ("leak", (), "fx-1")
            board.beat()
            assert region.seen()[0] == table
            await opened(region, board, ONE)
        async with region.control(crash=True) as board:
            board.beat()
            assert region.shut_scopes() == [], "a finding that was dealt with does not shut again"
            await region.finding(ONE)
            board.beat()
            assert region.shut_scopes() == [ONE], "a new one does"
            await board.settled()

    run(life())
    facts = [leaf.facts for leaf in region.records() if leaf.kind == "switch"]
    assert [f["state"] for f in facts] == ["shut", "open", "shut"]
    assert (facts[0]["slot"], facts[0]["cause"], facts[0]["found"]) == ("w0", "finding", ONE)


def test_findings_from_before_the_start_are_in_the_first_table_shown(region):
    async def life():
        await region.finding(ONE)
        await region.finding("eu/berg/faq/m0", slot="w1")
        async with region.control():
            assert region.shut_scopes() == [ONE, "eu/berg/faq/m0"]

    run(life())


@pytest.mark.parametrize("scope", ["", "nonsense//", "us/alpen", 7, None, "eu/" + "x" * 64, "eu/al pen"])
def test_a_finding_that_cannot_be_read_shuts_the_region(region, scope):
    async def life():
        async with region.control() as board:
            await region.finding(scope)
            board.beat()
            assert region.shut_scopes() == [ALL]

    run(life())


def test_leaks_that_pile_up_climb_the_ladder(region):
    async def life():
        async with region.control() as board:
            for place in ("support/m0", "search/m0", "faq/m0"):
                await region.finding(f"eu/alpen/{place}")
            board.beat()
            assert region.shut_scopes() == ["eu/alpen/*/*", "eu/alpen/search/m0", ONE]

    run(life())


def test_a_full_table_shuts_the_region(region):
    async def life():
        async with region.control() as board:
            scopes = [f"eu/{shop}/faq/m{i}" for i in range(60) for shop in ("alpen", "berg")]
            for scope in scopes[: MAX_SWITCHES + 1]:
                done = await board.shut(region.shut_by(scope))
            assert str(done.entry.scope) == ALL
            assert len(board.table.shut) == MAX_SWITCHES + 1
            assert not (await board.shut(region.shut_by(scopes[-1]))).changed
            assert ALL in region.shut_scopes()

    run(life())


def test_a_new_leak_withdraws_the_requests_to_open_over_it(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by("eu/alpen"))
            await board.shut(region.shut_by("eu/berg"))
            over, beside = [await board.propose(region.open_by(s), NOTE) for s in ("eu/alpen", "eu/berg")]
            await region.finding(ONE)
            board.beat()
            await board.settled()
            assert [p.id for p, _ in board.requests()] == [beside.id]
            assert await refusal(board.approve(over.id, region.sign(over.signed.act, "ben"))) == "unknown_request"
        async with region.control() as board:
            assert [p.id for p, _ in board.requests()] == [beside.id]
            await board.approve(beside.id, region.sign(beside.signed.act, "ben"))
            assert "eu/alpen/*/*" in region.shut_scopes()

    run(life())


@pytest.mark.parametrize("note", [False, True])
def test_a_shut_file_latches(region, note):
    file = region.home.latch_file if note else region.home.shut_file

    async def life():
        async with region.control() as board:
            file.touch()
            board.beat()
            assert region.shut_scopes() == [ALL]
            await board.settled()
            assert region.home.latch_file.exists() is False, "once the table knows, the workers' note has done its work"
            file.unlink(missing_ok=True)
            board.beat()
            assert region.shut_scopes() == [ALL], "taking the file away opens nothing"
        async with region.control() as board:
            assert region.seen()[0].shut[0].reason == "file"
            await opened(region, board, ALL)
            board.beat()
            assert region.shut_scopes() == []

    run(life())


def test_a_shut_file_withdraws_the_requests_from_before_it_also_where_the_region_was_shut(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by("eu"))
            pending = await board.propose(region.open_by(ALL), NOTE)
            region.home.shut_file.touch()
            board.beat()
            region.home.shut_file.unlink()
            assert await refusal(board.approve(pending.id, region.sign(pending.signed.act, "ben"))) == "unknown_request"
            await opened(region, board, ALL)

    run(life())


def test_the_latch_stays_while_the_file_is_there(region):
    async def life():
        region.home.shut_file.symlink_to("nowhere")
        async with region.control() as board:
            assert region.shut_scopes() == [ALL]
            assert await refusal(board.propose(region.open_by(ALL), NOTE)) == "shut_file_present"
            region.home.shut_file.unlink()
            pending = await board.propose(region.open_by(ALL), NOTE)
            region.home.shut_file.touch()
            approval = region.sign(pending.signed.act, "ben")
            assert await refusal(board.approve(pending.id, approval)) == "shut_file_present"
            region.home.shut_file.unlink()
            await board.approve(pending.id, approval)
            assert region.shut_scopes() == []

    run(life())


def damage(data):
    return [
        b"",
        b"{}",
        data[: len(data) // 2],
        data[:4096] + bytes(len(data) - 4096),
        data.replace(b'"leak"', b'"file"'),
        data.replace(b"alpen", b"alpex"),
    ]


def test_a_damaged_or_missing_table_is_never_started_over(region):
    async def start():
        async with region.control():
            pass

    async def life():
        async with region.control() as board:
            await region.finding(ONE)
            board.beat()
        good = region.home.control_state.read_bytes()
        for bad in damage(good):
            region.home.control_state.write_bytes(bad)
            with pytest.raises(SetupError, match="SHUT"):
                await start()
        region.home.control_state.unlink()
        with pytest.raises(SetupError, match="gone"):
            await start()
        region.home.control_state.write_bytes(good)
        await start()
        assert region.shut_scopes() == [ONE]

    run(life())


@pytest.mark.parametrize("lost", ["table damaged", "table gone", "both gone"])
def test_after_a_loss_a_shut_file_lets_it_start_with_everything_shut(region, lost):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))
            version = board.table.version
        if lost == "table damaged":
            region.home.control_state.write_bytes(b"?" * 1000)
        else:
            region.home.control_state.unlink()
        if lost == "both gone":
            region.home.page.unlink()
        region.home.shut_file.touch()
        async with region.control() as board:
            assert ALL in region.shut_scopes()
            assert board.table.version > version or lost == "both gone"
            region.home.shut_file.unlink()
            await opened(region, board, ALL)
        kept = region.home.control_state.with_name("control.sqlite.damaged")
        assert kept.exists() == (lost == "table damaged")

    run(life())


def test_one_control_process_a_region(region):
    async def life():
        async with region.control():
            other = Region(region.home.root, region.people)
            with pytest.raises(SetupError, match="Another control process"):
                async with other.control():
                    pass

    run(life())


def test_a_restart_keeps_everything_and_only_grows(region):
    async def life():
        versions = []
        for shop in ("alpen", "berg"):
            async with region.control(crash=True) as board:
                await board.shut(region.shut_by(f"eu/{shop}"))
                versions.append(board.table.version)
        region.loaded = structs.replace(region.loaded, digest="cd" * 32)
        async with region.control() as board:
            versions.append(board.table.version)
            assert board.table.plan == "cd" * 32
            assert region.shut_scopes() == ["eu/alpen/*/*", "eu/berg/*/*"]
            assert [e.by for e in board.keeper.trail] == [("cem",), ("cem",)]
        assert versions == sorted(set(versions))

    run(life())


def test_a_page_that_disappears_is_made_again(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))
            region.home.page.unlink()
            board.beat()
            assert region.shut_scopes() == [ONE]

    run(life())


def test_a_journal_that_was_lost_counts_from_its_start(region):
    async def life():
        async with region.control() as board:
            for _ in range(5):
                await region.finding(ONE)
            board.beat()
            await opened(region, board, ONE)
        shutil.rmtree(region.home.journal("w0"))
        await region.finding("eu/berg/faq/m0")
        async with region.control():
            assert region.shut_scopes() == ["eu/berg/faq/m0"]

    run(life())


def test_a_journal_that_is_replaced_under_control_stops_it(region):
    async def life():
        async with region.control() as board:
            await region.finding(ONE)
            board.beat()
            shutil.rmtree(region.home.journal("w0"))
            with pytest.raises(EvidenceDamaged):
                board.beat()

    run(life())


async def shut_again(region, board):
    """What was shut as version N is opened and shut again: who signed for N did not know."""
    pending = await board.propose(region.open_by(ONE), NOTE)
    await board.approve(pending.id, region.sign(pending.signed.act, "ben"))
    await board.shut(region.shut_by(ONE))
    return pending.signed.act.args["of"]


def test_an_opening_opens_the_shut_it_names_and_no_later_one(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))
            version = board.table.shut[0].version
            assert version == board.table.version == region.seen()[0].shut[0].version
            of = await shut_again(region, board)
            assert int(of) == version < board.table.shut[0].version
            for wrong in (of, "0", str(board.table.shut[0].version + 1)):
                asked = region.open_by(ONE, arguments={"of": wrong})
                assert await refusal(board.propose(asked, NOTE)) == "other_shut"
            assert await refusal(board.propose(region.open_by(ONE, arguments={"of": "x"}), NOTE)) == "bad_act"
            await opened(region, board, ONE)
            assert await refusal(board.propose(region.open_by(ONE, arguments={"of": of}), NOTE)) == "not_shut"

    run(life())


def test_two_requests_for_one_shut_open_it_once(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))
            first, second = [await board.propose(region.open_by(ONE, who), NOTE) for who in ("ana", "ben")]
            await board.approve(first.id, region.sign(first.signed.act, "ben"))
            assert await refusal(board.approve(second.id, region.sign(second.signed.act, "ana"))) == "not_shut"
            assert await refusal(board.approve(first.id, region.sign(first.signed.act, "ben"))) == "unknown_request"

    run(life())


def test_switches_and_entries_hold_ids_of_keys(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE, arguments={"incident": "INC-7"}))
            (switch,) = board.table.shut
            people = region.loaded.plan.people
            assert (switch.keys, switch.incident) == ((key_id(people["cem"]),), "INC-7")
            done = await opened(region, board, ONE)
            assert done.entry.keys == (key_id(people["ana"]), key_id(people["ben"]))
            assert done.entry.by == ("ana", "ben")

    run(life())


def test_a_drill_is_a_layer_of_its_own(region):
    friday, monday = {"drill": "friday"}, {"drill": "monday"}

    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by("eu/berg", reason="leak"))
            epoch = board.table.cache_epoch
            await board.shut(region.shut_by(ONE))
            waiting = await board.propose(region.open_by(ONE), NOTE)
            for scope in (ONE, "eu/alpen/search"):
                done = await board.shut(region.shut_by(scope, "ana2", reason="drill", arguments=friday))
                assert (done.changed, done.entry.drill, done.durable, done.recorded) == (True, "friday", True, True)
            assert not (await board.shut(region.shut_by(ONE, reason="leak", arguments=friday))).changed
            assert (await board.shut(region.shut_by(ONE, arguments=monday))).changed
            table = region.seen()[0]
            assert [(str(s.scope), s.drill) for s in table.drills] == [
                (ONE, "friday"), ("eu/alpen/search/*", "friday"), (ONE, "monday"),
            ]  # fmt: skip
            assert table.cache_epoch == epoch, "an exercise empties no cache"
            assert region.shut_scopes() == [ONE, "eu/berg/*/*"]
            assert board.requests() == [(waiting, NOTE)], "it says nothing about why the real switch is shut"
        async with region.control() as board:
            assert len(board.table.drills) == 3
            act = region.act("end_drill", None, "cem", arguments=friday)
            done = await board.end_drill(Signed(act, (region.sign(act, "cem"),)))
            assert (done.entry.state, done.entry.drill, done.entry.by) == ("open", "friday", ("cem",))
            assert [s.drill for s in region.seen()[0].drills] == ["monday"]
            assert region.shut_scopes() == [ONE, "eu/berg/*/*"]
            assert board.keeper.openings() == (), "one person's end of a drill proves no opening"
            again = region.act("end_drill", None, "cem", arguments=friday)
            assert await refusal(board.end_drill(Signed(again, (region.sign(again, "cem"),)))) == "no_drill"
            assert await refusal(board.end_drill(Signed(act, (region.sign(act, "cem"),)))) == "nonce_spent"
            await opened(region, board, ONE)
            assert [s.drill for s in region.seen()[0].drills] == ["monday"], "and opening ends no drill"

    run(life())
    told = [(f["state"], f["scope"], f.get("drill")) for f in facts(region, "switch")]
    assert told[2:4] == [("shut", ONE, "friday"), ("shut", "eu/alpen/search/*", "friday")]
    assert told[5:7] == [("open", ONE, "friday"), ("open", "eu/alpen/search/*", "friday")]


def facts(region, kind):
    return [leaf.facts for leaf in region.records() if leaf.kind == kind]


def test_drills_shut_a_few_doors_only_and_of_one_region(region):
    async def life():
        async with region.control() as board:
            for number in range(MAX_DRILLS):
                await board.shut(region.shut_by(f"eu/*/*/m{number}", arguments={"drill": "friday"}))
            full = region.shut_by(ONE, arguments={"drill": "friday"})
            assert await refusal(board.shut(full)) == "drills_full"
            assert (await board.shut(region.shut_by(ONE))).changed, "real doors always shut"

    run(life())


def test_an_ended_drill_stays_shut_if_that_is_not_durable(region):
    broken = {"now": False}

    class Disk:
        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            if broken["now"] and name == "save":
                raise OSError(5, "Input/output error")
            return getattr(self._real, name)

    async def life():
        async with region.control(crash=True, wrap=lambda n, real: Disk(real) if n == "store" else real) as board:
            await board.shut(region.shut_by(ONE, arguments={"drill": "friday"}))
            broken["now"] = True
            act = region.act("end_drill", None, "cem", arguments={"drill": "friday"})
            with pytest.raises(SetupError, match="durable"):
                await board.end_drill(Signed(act, (region.sign(act, "cem"),)))
            assert len(region.seen()[0].drills) == 1

    run(life())


def test_scopes_of_all_regions_are_kept_by_one(tmp_path):
    region = Region(tmp_path / "eu", keeps_all="eu")

    async def life():
        async with region.control() as board:
            assert await refusal(board.shut(region.shut_by("*/alpn"))) == "unknown_scope"
            drill = region.shut_by("*/alpen", arguments={"drill": "friday"})
            assert await refusal(board.shut(drill)) == "other_region"
            await board.shut(region.shut_by("*/alpen"))
            assert region.shut_scopes() == ["*/alpen/*/*"]
            assert [str(s.scope) for s in region.agent.belief.everywhere.shut] == ["*/alpen/*/*"]
            await opened(region, board, "*/alpen")
            assert region.agent.belief.everywhere.shut == ()
            for number in range(MAX_SWITCHES + 1):
                await board.shut(region.shut_by(f"*/*/*/m{number}"))
            assert "*/*/*/*" in region.shut_scopes(), "a full table shuts them all, not only its own"
            assert "*/*/*/*" in [str(s.scope) for s in region.agent.belief.everywhere.shut]
        for elsewhere in (None, "us"):
            region.loaded = structs.replace(region.loaded, plan=region.people.plan(elsewhere))
            async with region.control() as board:
                assert await refusal(board.shut(region.shut_by("*/berg"))) == "other_region"

    run(life())


def test_every_start_says_a_version_that_none_before_it_said(region):
    async def life():
        said = []
        for _ in range(3):
            async with region.control(crash=True) as board:
                said.append(board.table.version)
                assert region.store.load().table.version == board.table.version, "durable before it is said"
        assert said == sorted(set(said))

    run(life())


def test_a_start_that_cannot_be_made_durable_is_said_all_the_same(region):
    class Refusing:
        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            if name == "save":
                raise OSError(28, "No space left on device")
            return getattr(self._real, name)

    async def life():
        async with region.control(crash=True, wrap=lambda n, r: Refusing(r) if n == "store" else r) as board:
            assert (board.keeper.durable, region.shut_scopes()) == (False, [])
            assert (await board.shut(region.shut_by(ONE))).durable is False
            assert region.shut_scopes() == [ONE]

    run(life())


class Isolating:
    """What control asked for, in order; it takes as long as the test lets it."""

    def __init__(self):
        self.asked, self.go = [], asyncio.Event()

    async def isolate(self, model, how, entry):
        self.asked.append((model, how, str(entry.scope), entry.version))
        await self.go.wait()

    async def release(self, model):
        self.asked.append((model, "release"))


def test_a_model_instance_is_isolated_after_it_is_shut_and_let_go_when_nothing_shuts_it(region):
    m0 = "eu/*/*/m0"

    async def life():
        isolating = Isolating()
        async with region.control(isolation=isolating) as board:
            done = await board.shut(region.shut_by(m0, arguments={"isolate": "freeze"}))
            assert region.shut_scopes() == [m0]
            assert isolating.asked == [("m0", "freeze", m0, done.entry.version)]
            again = await board.shut(region.shut_by(m0, arguments={"isolate": "stop"}))
            assert not again.changed
            assert isolating.asked[1][:2] == ("m0", "stop"), "also where a leak had shut it before"
            del isolating.asked[:]
            await board.shut(region.shut_by("eu"))
            await opened(region, board, m0)
            await board.shut(region.shut_by(ONE))
            await opened(region, board, ONE)
            assert isolating.asked == [], "the region is still shut"
            await board.shut(region.shut_by("eu/*/*/m1"))
            await opened(region, board, "eu")
            await asyncio.sleep(0)
            assert ("m0", "release") in isolating.asked
            assert ("m1", "release") not in isolating.asked
            assert await refusal(board.shut(region.shut_by(ONE, arguments={"isolate": "cut"}))) == "bad_act"
            isolating.go.set()

    run(life())
