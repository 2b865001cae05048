"""The keeper of a host's logs: every record of every slot ends up below one signed checkpoint, or it says why not."""

import asyncio
import itertools
import os
import shutil
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firedoor.agent.logkeeper import IDLE, LogKeeper, LogState
from firedoor.core.evidence.checkpoint import open_checkpoint
from firedoor.core.evidence.frames import MAGIC, encode_frame
from firedoor.core.evidence.leaf import decode, encode
from firedoor.core.evidence.note import Signature, log_signers, parse_note
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.subjects import EpochPublic
from firedoor.core.evidence.tree import EMPTY_ROOT, verify_consistency
from firedoor.errors import EvidenceDamaged, JournalFull, KeyUnusable
from firedoor.store.journal import Places, open_journal
from firedoor.store.journal_read import read
from firedoor.store.segments import Disk, segments
from firedoor.store.slotlog import HostLogs
from firedoor.store.tilelog import check

from .logs import NOW, SEEDS, signer

REGION = "checkpoints"
BASE = "firedoor.evidence/acme/eu/host1"
EPOCH = EpochPublic("eu", 1, X25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw())


def name_of(descriptor):
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


class Epochs:
    def current(self):
        return EPOCH, 0


def keys_of(slot):
    return signer(f"{BASE}/{slot}", keys=2)


def vkeys_of(slot):
    return [one.vkey for one in log_signers(f"{BASE}/{slot}", SEEDS)]


class Host:
    """The journals and logs of one host, and its agent."""

    def __init__(self, base):
        self.base = base
        self.journals, self.logs = base / "journal", base / "log"
        for folder in (self.logs, self.journals, base / "subjects"):
            folder.mkdir()
        self.now = 0.0
        self.published = []

    def journal(self, slot, **more):
        places = Places(self.journals / slot, self.base / "bodies", self.base / "subjects")
        clock = itertools.count(NOW).__next__
        return open_journal(places, region="eu", slot=slot, epochs=Epochs(), clock_ns=clock, **more)

    def write(self, slot, count, what="switch"):
        async def go():
            journal = self.journal(slot)
            records = [Record(kind=what, exchange="", at=NOW, facts={"n": n}) for n in range(count)]
            await asyncio.gather(*(journal.append(one) for one in records))
            await journal.aclose()

        asyncio.run(go())

    async def keeper(self, **more):
        more = {"clock_ns": lambda: NOW, "monotonic": lambda: self.now, "on_checkpoint": self.hook, **more}
        disk = more.pop("disk", Disk())
        journal = more.pop("journal", None) or self.journal(REGION)
        keeper = LogKeeper(HostLogs(self.journals, self.logs, disk), journal, more.pop("keys", keys_of), **more)
        keeper.journal = journal
        return keeper

    def hook(self, note, old, proof):
        self.published.append((note, old, proof))

    def tick(self, times=1, **more):
        """Start an agent, let it tick, stop it; what it says of its logs."""

        async def go():
            keeper = await self.keeper(**more)
            for _ in range(times):
                await keeper.tick()
            status = {state.slot: state for state in keeper.status()}
            await keeper.aclose()
            await keeper.journal.aclose()
            return status

        return asyncio.run(go())

    def checkpoint(self, slot):
        return open_checkpoint((self.logs / slot / "checkpoint").read_bytes(), vkeys_of(slot))[0]

    def leaves(self, slot):
        return [stored.data for stored in read(self.journals / slot)]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_every_slot_has_a_log_and_the_region_one_over_them(host):
    host.write("w0", 300)
    host.write("w1", 3)
    status = host.tick()
    sizes = {slot: len(host.leaves(slot)) for slot in ("w0", "w1", REGION)}
    assert sizes["w0"] > 300
    assert status == {slot: LogState(slot, "ok", None, size, size) for slot, size in sizes.items()}
    for slot, size in sizes.items():
        assert host.checkpoint(slot).size == size
        assert check(host.logs / slot, keys_of(slot)) == []

    records = [decode(data) for data in host.leaves(REGION)]
    checkpoints = [leaf.facts for leaf in records if leaf.kind == "checkpoint"]
    assert [(facts["log"], facts["size"]) for facts in checkpoints] == [
        (f"{BASE}/{slot}", sizes[slot]) for slot in ("w0", "w1")
    ]
    note = checkpoints[0]["note"].encode()
    assert len(parse_note(note).signatures) == 1, "the Ed25519 signature alone"
    recorded, verified = open_checkpoint(note, vkeys_of("w0"))
    assert (recorded, len(verified)) == (host.checkpoint("w0"), 1)

    region = (host.logs / REGION / "checkpoint").read_bytes()
    assert len(open_checkpoint(region, vkeys_of(REGION))[1]) == 2, "Ed25519 and ML-DSA-44"


def test_a_host_without_records_publishes_its_region_log(host):
    host.tick()
    assert host.checkpoint(REGION).size == len(host.leaves(REGION)) > 0


def test_each_checkpoint_extends_the_one_before_also_over_restarts(host):
    old = None
    for count in (5, 300, 1, 0):
        host.write("w0", count)
        host.tick(2)
        note, size, proof = host.published[-1]
        new, _ = open_checkpoint(note, vkeys_of(REGION))
        if old is not None:
            known = old.size, old.root
            earlier, before = open_checkpoint(host.published[0][0], vkeys_of(REGION))[0], host.published[-1][1]
            assert before == size <= new.size
            assert host.checkpoint(REGION) == new
            verify_consistency(*known, new.size, new.root, proof(old.size))
            verify_consistency(earlier.size, earlier.root, new.size, new.root, proof(earlier.size))
        verify_consistency(0, EMPTY_ROOT, new.size, new.root, proof(0))
        old = new


def test_proofs_for_an_older_checkpoint_are_given_while_the_log_grows(host):
    async def go():
        keeper = await host.keeper()
        for _ in range(100):
            await keeper.journal.append(Record(kind="switch", exchange="", at=NOW, facts={}))
            await keeper.tick()
        await keeper.aclose()
        await keeper.journal.aclose()

    asyncio.run(go())
    notes = [open_checkpoint(note, vkeys_of(REGION))[0] for note, _, _ in host.published]
    for (_, _, proof), new in list(zip(host.published, notes, strict=True))[::10]:
        for old in notes[:: len(notes) // 3]:
            if old.size <= new.size:
                verify_consistency(old.size, old.root, new.size, new.root, proof(old.size))


def test_nothing_is_signed_while_nothing_happens_but_once_a_minute(host):
    async def go():
        keeper = await host.keeper()
        assert keeper.age() == float("inf")
        await keeper.tick()
        first = host.checkpoint(REGION)
        for at, signed in ((1, 1), (IDLE - 0.5, 1), (IDLE, 2), (IDLE + 1, 2), (2 * IDLE, 3)):
            host.now = at
            await keeper.tick()
            assert len(host.published) == signed
        assert keeper.age() == 0
        assert host.checkpoint(REGION) == first
        await keeper.aclose()
        await keeper.journal.aclose()

    asyncio.run(go())


def test_it_ticks_every_second_and_at_once_while_behind(host, monkeypatch):
    monkeypatch.setattr("firedoor.agent.logkeeper.PER_TICK", 100)
    monkeypatch.setattr("firedoor.agent.logkeeper.BATCH", 100)
    host.write("w0", 350)
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)
        host.now += seconds
        if len(pauses) == 7:
            raise asyncio.CancelledError

    async def go():
        keeper = await host.keeper(sleep=sleep)
        with pytest.raises(asyncio.CancelledError):
            await keeper.run()
        assert {state.state for state in keeper.status()} == {"ok"}
        await keeper.aclose()
        await keeper.journal.aclose()

    asyncio.run(go())
    assert pauses == [0, 0, 0, 1, 1, 1, 1]
    assert host.checkpoint("w0").size == len(host.leaves("w0"))


def test_only_synced_records_are_signed(host):
    """A segment is synced through a descriptor of the keeper's own before what was read of it enters the tree."""
    host.write("w0", 10)
    synced = []

    def note_sync(descriptor):
        synced.append(name_of(descriptor))
        os.fdatasync(descriptor)

    host.tick(disk=Disk(fdatasync=note_sync))
    segment = str(segments(host.journals / "w0")[0])
    bundle = next(name for name in synced if "/log/w0/tile/entries" in name)
    assert synced.index(segment) < synced.index(bundle)

    host.write("w0", 1)
    size = host.checkpoint("w0").size

    def fail(descriptor):
        if "/journal/w0/" in name_of(descriptor):
            raise OSError(5, "Input/output error")
        os.fdatasync(descriptor)

    status = host.tick(disk=Disk(fdatasync=fail))
    assert status["w0"] == LogState("w0", "refused", "journal_unreadable", size, size)
    assert status[REGION].state == "ok"
    assert host.tick()["w0"].state == "ok"


def test_a_torn_tail_is_left_for_later(host):
    host.write("w0", 10)
    path = segments(host.journals / "w0")[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    status = host.tick()
    assert status["w0"].published == len(host.leaves("w0"))
    path.write_bytes(whole)
    assert host.tick()["w0"].published == status["w0"].published + 1


# A journal or a log that cannot be gone on with


def rewritten(path, change):
    """Rewrite a segment whole with `change` done to its leaves and every CRC and `prev` made right again."""
    stored = list(read(path.parent))
    leaves, prev = [], stored[0].leaf.prev
    for number, one in enumerate(stored):
        data = encode(msgspec.structs.replace(change(number, one.leaf), prev=prev))
        prev = sha256(data).hexdigest()
        leaves.append(data)
    path.write_bytes(MAGIC + b"".join(encode_frame(data) for data in leaves))


def with_fact(place, count):
    def change(number, leaf):
        return msgspec.structs.replace(leaf, facts={"n": -1}) if number == count + place else leaf

    return change


@pytest.mark.parametrize("place", [3, -1])
def test_a_rewritten_history_with_right_checksums_is_refused(host, place):
    host.write("w0", 20)
    host.write("w1", 5)
    host.tick()
    count = len(host.leaves("w0"))
    path = segments(host.journals / "w0")[0]
    rewritten(path, with_fact(place, count if place < 0 else 0))
    assert len(host.leaves("w0")) == count
    before = host.checkpoint("w0")
    host.write("w1", 5)
    status = host.tick(2)
    assert status["w0"].state == "refused"
    assert status["w0"].reason == "journal_differs"
    assert host.checkpoint("w0") == before
    assert status["w1"].state == status[REGION].state == "ok"
    assert host.checkpoint("w1").size == len(host.leaves("w1"))


def test_a_history_rewritten_behind_the_keepers_back_stops_its_slot(host):
    host.write("w0", 20)
    path = segments(host.journals / "w0")[0]

    async def go():
        keeper = await host.keeper()
        await keeper.tick()
        signed = host.checkpoint("w0")
        fork = shutil.copytree(host.journals / "w0", host.base / "fork" / "w0")
        rewritten(segments(fork)[0], with_fact(-2, 21))
        frames = segments(fork)[0].read_bytes()
        tail = [one.data for one in read(fork)][-1]
        leaf = msgspec.structs.replace(decode(tail), seq=decode(tail).seq + 1, prev=sha256(tail).hexdigest())
        with path.open("r+b") as file:
            file.write(frames + encode_frame(encode(leaf)))
        await keeper.tick()
        states = {state.slot: state for state in keeper.status()}
        await keeper.aclose()
        await keeper.journal.aclose()
        assert host.checkpoint("w0") == signed
        return states

    states = asyncio.run(go())
    assert (states["w0"].state, states["w0"].reason) == ("refused", "journal_differs")


def test_a_journal_shorter_than_its_log_is_refused(host):
    host.write("w0", 5)
    shutil.copytree(host.journals / "w0", host.base / "backup")
    host.write("w0", 5)
    host.tick()
    before = host.checkpoint("w0")
    shutil.rmtree(host.journals / "w0")
    (host.base / "backup").rename(host.journals / "w0")
    status = host.tick()
    assert (status["w0"].state, status["w0"].reason) == ("refused", "journal_short")
    host.write("w0", 40, "access")  # long enough again, with other records
    status = host.tick()
    assert (status["w0"].state, status["w0"].reason) == ("refused", "journal_differs")
    assert host.checkpoint("w0") == before
    shutil.rmtree(host.journals / "w0")
    (host.journals / "w0").mkdir()
    assert host.tick()["w0"].reason == "journal_short"
    (host.journals / "w0").rmdir()
    assert host.tick()["w0"].reason == "journal_short", "a journal that is gone is not forgotten"


def test_a_damaged_journal_is_refused_and_the_others_go_on(host):
    host.write("w0", 20)
    host.write("w1", 20)
    path = segments(host.journals / "w0")[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    status = host.tick()
    assert (status["w0"].state, status["w0"].reason) == ("refused", "journal_damaged")
    assert status["w1"].state == "ok"


def test_a_damaged_log_and_another_origin_are_refused(host):
    host.write("w0", 20)
    host.write("w1", 20)
    host.tick()
    next(host.logs.glob("w0/tile/0/000.p/*")).write_bytes(b"")
    (host.logs / "w1/checkpoint").write_bytes(b"nothing")
    status = host.tick()
    assert [status[slot].reason for slot in ("w0", "w1")] == ["log_damaged", "checkpoint_damaged"]
    other = host.tick(keys=lambda slot: signer(f"firedoor.evidence/acme/us/host1/{slot}", keys=2))
    assert {state.reason for state in other.values()} == {"origin_changed"}


def test_a_log_that_cannot_be_read_is_refused(host):
    host.write("w0", 20)
    host.tick()
    (host.logs / "w0/checkpoint").unlink()
    (host.logs / "w0/checkpoint").mkdir()
    status = host.tick()
    assert (status["w0"].state, status["w0"].reason) == ("refused", "disk")
    assert status[REGION].state == "ok"


def test_a_failing_disk_stops_a_log_until_a_restart(host):
    host.write("w0", 20)
    host.write("w1", 20)

    def full(descriptor, data):
        if "/log/w0/tile" in name_of(descriptor):
            raise OSError(28, "No space left on device")
        return os.write(descriptor, data)

    status = host.tick(2, disk=Disk(write=full))
    size = len(host.leaves("w0"))
    assert status["w0"] == LogState("w0", "refused", "disk", size, 0)
    assert status["w1"].state == "ok"
    assert host.tick()["w0"] == LogState("w0", "ok", None, size, size)


def test_keys_out_of_reach_are_asked_again(host):
    host.write("w0", 20)
    there = []

    class Keys:
        def __init__(self, slot):
            self.origin, self.open = keys_of(slot).origin, keys_of(slot).open
            self._slot = slot

        def sign(self, checkpoint):
            if not there and checkpoint.size:
                raise KeyUnusable("The root does not answer.")
            return keys_of(self._slot).sign(checkpoint)

    async def go():
        keeper = await host.keeper(keys=Keys)
        await keeper.tick()
        first = {state.slot: state for state in keeper.status()}
        there.append(True)
        await keeper.tick()
        second = {state.slot: state for state in keeper.status()}
        await keeper.aclose()
        await keeper.journal.aclose()
        return first, second

    first, second = asyncio.run(go())
    size = len(host.leaves("w0"))
    assert first["w0"] == LogState("w0", "waiting", "signing", size, 0)
    assert second["w0"] == LogState("w0", "ok", None, size, size)
    assert second[REGION].state == "ok"


def test_a_checkpoint_that_could_not_be_recorded_is_recorded_later(host):
    host.write("w0", 20)

    class Slow:
        """The agent's journal, refusing the first record as a disk does that is too slow."""

        slot = REGION

        def __init__(self, journal):
            self.journal, self.full, self.aclose = journal, True, journal.aclose

        def append(self, record):
            if not self.full:
                return self.journal.append(record)
            self.full = False
            future = asyncio.get_running_loop().create_future()
            future.set_exception(JournalFull("too many records wait"))
            return future

    async def go():
        keeper = await host.keeper(journal=Slow(host.journal(REGION)))
        await keeper.tick()
        first = [state for state in keeper.status() if state.slot == REGION]
        await keeper.tick()
        second = [state for state in keeper.status() if state.slot == REGION]
        await keeper.aclose()
        await keeper.journal.aclose()
        return first[0], second[0]

    first, second = asyncio.run(go())
    assert (first.state, first.reason) == ("waiting", "journal")
    assert second.state == "ok"
    assert [decode(data).kind for data in host.leaves(REGION)].count("checkpoint") == 1


@pytest.mark.parametrize("recorded", [True, False])
def test_a_halted_host_signs_nothing_more_whatever_else_fails(host, recorded):
    """All its logs stop, for good: a restored backup would sign the slots' logs anew as well as the region's."""

    class Full:
        slot = REGION

        def append(self, record):
            future = asyncio.get_running_loop().create_future()
            future.set_exception(JournalFull("too many records wait"))
            return future

    async def go():
        keeper = await host.keeper()
        await asyncio.to_thread(host.write, "w0", 3)
        await keeper.tick()
        before = [host.checkpoint(slot) for slot in ("w0", REGION)]
        if not recorded:
            keeper._journal = Full()
        await keeper.halt("rolled_back: witness us knows 9, here are 2")
        await asyncio.to_thread(host.write, "w0", 3)
        await asyncio.to_thread(host.write, "w1", 3)
        host.now = 2 * IDLE
        await keeper.journal.append(Record(kind="switch", exchange="", at=NOW, facts={}))
        for _ in range(2):
            await keeper.tick()
        assert [host.checkpoint(slot) for slot in ("w0", REGION)] == before
        assert {(s.slot, s.state, s.reason) for s in keeper.status()} == {
            (slot, "refused", "halted") for slot in ("w0", "w1", REGION)
        }
        await keeper.aclose()
        await keeper.journal.aclose()
        return before

    before = asyncio.run(go())
    assert len(host.published) == 1
    status = host.tick(times=2)
    assert {(s.state, s.reason) for s in status.values()} == {("refused", "halted")}, "a restart does not help"
    assert [host.checkpoint(slot) for slot in ("w0", REGION)] == before
    assert (host.logs / "halted").read_text() == "rolled_back: witness us knows 9, here are 2\n"
    assert not (host.logs / "w1").exists()


def test_a_halt_that_cannot_be_kept_holds_while_the_process_lives(host):
    async def go():
        keeper = await host.keeper()
        await asyncio.to_thread(host.write, "w0", 3)
        (host.base / "gone").mkdir()
        keeper._logs._logs = host.base / "gone" / "not there"
        with pytest.raises(OSError, match="No such file"):
            await keeper.halt("forked")
        keeper._logs._logs = host.logs
        await keeper.tick()
        await keeper.aclose()
        await keeper.journal.aclose()
        return keeper.status()

    assert {(s.state, s.reason) for s in asyncio.run(go())} == {("refused", "halted")}


def test_what_was_signed_before_can_be_asked_about_before_anything_is_signed(host):
    async def go():
        keeper = await host.keeper()
        found = await keeper.published()
        await keeper.aclose()
        await keeper.journal.aclose()
        return found

    assert asyncio.run(go()) is None, "a log that was never signed"
    host.write("w0", 3)
    host.tick()
    before = (host.logs / REGION / "checkpoint").read_bytes()
    host.write("w0", 3)
    note, proof = asyncio.run(go())
    assert note == before == (host.logs / REGION / "checkpoint").read_bytes()
    assert proof(1)


@pytest.mark.parametrize("how", ["folder", "segment", "cut"])
def test_a_journal_that_vanishes_under_a_running_agent_is_noticed(host, how):
    async def go():
        await asyncio.to_thread(host.write, "w0", 3)
        keeper = await host.keeper()
        for _ in range(2):
            await keeper.tick()
        assert {state.state for state in keeper.status()} == {"ok"}
        (path,) = segments(host.journals / "w0")
        if how == "folder":
            shutil.rmtree(path.parent)
        elif how == "segment":
            path.unlink()
        else:
            os.truncate(path, path.stat().st_size - 1)
            os.truncate(path, path.stat().st_size // 2)
        await keeper.tick()
        await keeper.aclose()
        await keeper.journal.aclose()
        return {state.slot: (state.state, state.reason) for state in keeper.status()}

    assert asyncio.run(go()) == {"w0": ("refused", "journal_short"), REGION: ("ok", None)}
    assert host.tick()["w0"].reason == "journal_short"


def test_what_a_repair_leaves_beside_the_journals_is_no_slot(host):
    host.write("w0", 3)
    shutil.copytree(host.journals / "w0", host.journals / ".w0.repaired")
    assert set(host.tick()) == {"w0", REGION}
    assert not (host.logs / ".w0.repaired").exists()


def test_cosignatures_come_back_to_the_regions_checkpoint(host):
    async def go():
        keeper = await host.keeper()
        assert await keeper.cosigned(b"anything", enough=True) is False, "nothing was published yet"
        await keeper.tick()
        note = host.published[0][0]
        more = note + Signature("witness.example/us", b"abcd", bytes(72)).line().encode()
        assert await keeper.cosigned(more, enough=True) is True
        assert (host.logs / REGION / "checkpoint").read_bytes() == more
        with pytest.raises(EvidenceDamaged):
            await keeper.cosigned(more.replace(b"eu", b"us"), enough=True)
        await keeper.aclose()
        await keeper.journal.aclose()

    asyncio.run(go())
    assert host.tick()[REGION].state == "ok"


def test_a_hook_that_fails_does_not_stop_the_log(host, caplog):
    def fail(note, old, proof):
        raise RuntimeError("secret text")

    assert host.tick(on_checkpoint=fail)[REGION].state == "ok"
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text
