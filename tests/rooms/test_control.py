import asyncio
import base64
import hashlib
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import structs

from firedoor.core.people import LIFETIME, raw_key
from firedoor.core.switches import MAX_SWITCHES
from firedoor.errors import ActRefused, EvidenceDamaged, SetupError
from firedoor.store import journal_read
from firedoor.store.opening import BodyOpener
from firedoor.store.switchfile import SwitchFile

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
            assert (table.version, table.shut, table.plan) == (1, (), region.loaded.digest)
            assert age < 2
            board.beat()

    run(life())
    assert region.home.switches.stat().st_mode & 0o777 == 0o600


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
        assert NOTE.encode() not in region.home.requests.read_bytes()
        assert NOTE.encode() not in region.home.switches.read_bytes()
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
            assert (table.shut[0].reason, table.shut[0].by, table.shut[0].exchange) == ("leak", ("firedoor",), "fx-1")
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


@pytest.mark.parametrize("scope", ["", "nonsense//", "us/alpen", 7, None])
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
        data[:-1],
        data + b" x",
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
        good = region.home.switches.read_bytes()
        for bad in damage(good):
            region.home.switches.write_bytes(bad)
            with pytest.raises(SetupError, match="SHUT"):
                await start()
        region.home.switches.unlink()
        with pytest.raises(SetupError, match="gone"):
            await start()
        region.home.switches.write_bytes(good)
        await start()
        assert region.shut_scopes() == [ONE]

    run(life())


@pytest.mark.parametrize("lost", ["switches.json damaged", "switches.json gone", "both gone"])
def test_after_a_loss_a_shut_file_lets_it_start_with_everything_shut(region, lost):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))
            version = board.table.version
        if lost == "switches.json damaged":
            region.home.switches.write_bytes(b"?")
        else:
            region.home.switches.unlink()
        if lost == "both gone":
            region.home.page.unlink()
        region.home.shut_file.touch()
        async with region.control() as board:
            assert ALL in region.shut_scopes()
            assert board.table.version > version or lost == "both gone"
            region.home.shut_file.unlink()
            await opened(region, board, ALL)
        kept = list(region.home.root.glob("switches.json.damaged-*"))
        assert len(kept) == (lost == "switches.json damaged")

    run(life())


def test_every_flipped_bit_of_the_table_is_noticed(region):
    async def life():
        async with region.control() as board:
            await board.shut(region.shut_by(ONE))

    run(life())
    data = region.home.switches.read_bytes()
    file = SwitchFile(region.home.switches, -1)
    good = file.load()
    for at in range(0, len(data), 3):
        region.home.switches.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            loaded = file.load()
        except SetupError:
            continue
        assert loaded == good, at


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
