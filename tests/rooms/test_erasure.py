"""Erasing a subject on a real region: keys, bodies, writers that are at work, what backups still hold."""

import asyncio
import shutil
import threading
import time

import pytest
from tests.rooms.archives import ALICE, BO, CEM, Archive
from tests.rooms.rings import Recorded

from firedoor.app.operator import durable
from firedoor.core.evidence.exchanges import fold
from firedoor.core.evidence.subjects import NOBODY, SubjectKey
from firedoor.errors import ActRefused, EvidenceDamaged, KeyUnusable
from firedoor.keys.epochs import new_epoch
from firedoor.store.erasure import SETTLE, Eraser, leaves_under
from firedoor.store.holds import Erasure, living, load
from firedoor.store.opening import BodyOpener

MINUTE = 60_000_000


@pytest.fixture
def region(tmp_path):
    return Archive(tmp_path / "home")


def fill(region):
    """Alice in two slots and two epochs, Bo beside her."""
    region.write(
        region.record("fx-a1", ALICE), region.record("fx-b1", BO), region.record("fx-a2", ALICE, surface="account_chat")
    )
    region.write(region.record("fx-a3", ALICE), region.record("fx-op", None, surface="operations"), slot="w1")
    assert not new_epoch(region.ring, Recorded()).held_by
    region.write(region.record("fx-a4", ALICE), region.record("fx-b2", BO))


def test_keys_and_bodies_go_and_nobody_elses(region):
    fill(region)
    keys = sorted({found.cell.key for found in living(region.place.subjects, ALICE)})
    assert len(keys) == 3
    assert region.erase(ALICE) == (3, 4)
    assert region.readable() == {"fx-b1", "fx-b2", "fx-op"}
    assert living(region.place.subjects, ALICE) == []
    begun, done = region.records("erasure")
    assert begun.facts == {"keys": keys, "state": "begun", "reason": "request"}
    assert done.facts == {"keys": keys, "state": "done", "bodies": 4}
    assert sum(slot.erased for slot in region.verify().slots) == 4
    assert region.ring.state.erasures == 1


def test_nothing_in_the_log_names_the_subject(region):
    fill(region)
    region.erase(ALICE)
    for stored in region.leaves():
        assert ALICE.encode() not in stored.data


def test_a_stranger_is_refused_and_leaves_no_trace(region):
    fill(region)
    with pytest.raises(ActRefused) as refusal:
        region.erase(CEM)
    assert refusal.value.code == "unknown_subject"
    assert region.records("erasure") == []
    assert load(region.place.holds).erasures_pending == ()


@pytest.mark.parametrize("lookup", [NOBODY, "", "a1" * 15, "A1" * 16, "a1" * 16 + "\n", "zz" * 16])
def test_what_is_no_pseudonym_of_a_subject_is_refused(region, lookup):
    fill(region)
    with pytest.raises(ActRefused) as refusal:
        region.erase(lookup)
    assert refusal.value.code == "bad_pseudonym"


def test_erasing_twice_is_erasing_once(region):
    fill(region)
    region.erase(ALICE)
    assert region.erase(ALICE).bodies == 0
    assert len(region.records("erasure")) == 2


def test_a_subject_who_comes_back_is_new_evidence(region):
    fill(region)
    region.erase(ALICE)
    region.now += MINUTE
    region.write(region.record("fx-a5", ALICE))
    region.now += MINUTE
    region.resume()  # the last look
    assert load(region.place.holds).erasures_pending == ()
    assert "fx-a5" in region.readable()
    assert region.erase(ALICE) == (1, 1)
    region.verify()


def test_a_cell_that_was_still_on_its_way_is_found_by_the_last_look(region, tmp_path):
    """A key minted before the erasure, whose cell and records reach the disk after it."""
    fill(region)
    late = region.copy(tmp_path / "late")
    late.write(late.record("fx-late", ALICE), slot="w2")
    region.now += 10
    region.erase(ALICE)
    for path in ("journal/w2", f"keys/subjects/{region.ring.state.epoch.name}/w2.cells"):
        source, target = late.place.root / path, region.place.root / path
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    for source in late.place.bodies.rglob("w2.*"):
        shutil.copy(source, region.place.bodies / source.relative_to(late.place.bodies))
    assert "fx-late" in region.readable()
    assert region.resume() == 0  # not yet
    assert "fx-late" in region.readable()
    region.now += int(SETTLE * 1_000_000) + MINUTE
    region.resume()
    assert "fx-late" not in region.readable()
    assert living(region.place.subjects, ALICE) == []
    region.verify()
    assert region.resume() == 1
    assert load(region.place.holds).erasures_pending == ()


def test_a_writer_at_work_forgets_the_key_and_mints_another(region):
    """The real pause: what was written for the subject before is dead, what comes later is under a new key."""

    async def run():
        writer, operator = region.journal("w0"), region.journal("operator")
        stop = asyncio.Event()
        written = 0

        async def traffic():
            nonlocal written
            while not stop.is_set():
                await writer.append(region.record(f"fx-{written + 1}", ALICE, time.time_ns() // 1000))
                written += 1

        writing = asyncio.create_task(traffic())
        try:
            await writer.append(region.record("fx-first", ALICE, time.time_ns() // 1000))
            eraser = Eraser(region.archive, region.ring, durable(operator))
            before = written
            erased = await asyncio.to_thread(eraser.erase, ALICE, by="uid:1", reason="request")
            async with asyncio.timeout(20):
                while f"fx-{written}" not in await asyncio.to_thread(region.readable):  # noqa: ASYNC110  # a disk tells nobody
                    await asyncio.sleep(0.01)
        finally:
            stop.set()
            await writing
            await writer.aclose()
            await operator.aclose()
        return before, erased

    before, erased = asyncio.run(run())
    assert erased.keys >= 1
    assert erased.bodies > 0
    readable = region.readable()
    assert not {"fx-first", *(f"fx-{n}" for n in range(1, before + 1))} & readable
    assert readable
    region.verify()


def test_an_older_copy_of_the_cells_opens_until_its_epoch_is_destroyed(region, tmp_path):
    fill(region)
    copy = shutil.copytree(region.place.subjects, tmp_path / "backup")
    bodies = shutil.copytree(region.place.bodies, tmp_path / "bodies")
    region.erase(ALICE)
    restored = BodyOpener(bodies, copy, region.ring)
    alices = [s.leaf for s in region.leaves() if s.leaf.exchange.startswith("fx-a")]
    assert all(restored.open(leaf) == b"clear words" for leaf in alices)  # that is what a new epoch is for
    restored.close()
    assert not new_epoch(region.ring, Recorded()).held_by
    restored = BodyOpener(bodies, copy, region.ring)
    for leaf in alices:
        with pytest.raises(KeyUnusable):
            restored.open(leaf)
    restored.close()
    assert region.readable() == {"fx-b1", "fx-b2", "fx-op"}
    region.verify()


def test_a_body_moved_under_another_subjects_leaf_does_not_open(region):
    region.write(region.record("fx-a", ALICE, body=b"same length"), region.record("fx-b", BO, body=b"also eleven"))
    alice, bo = (next(s.leaf for s in region.leaves() if s.leaf.exchange == name) for name in ("fx-a", "fx-b"))
    opener = BodyOpener(region.place.bodies, region.place.subjects, region.ring)
    sealed, _ = opener.sealed(alice)
    key: SubjectKey = opener.key(bo)
    assert opener.key(alice).open(alice, sealed) == b"same length"
    for wrong_key, leaf in ((key, alice), (opener.key(alice), bo), (key, bo)):
        with pytest.raises(EvidenceDamaged):
            wrong_key.open(leaf, sealed)
    opener.close()


def test_a_body_half_blanked_when_the_process_died_is_blanked_by_the_next_run(region):
    region.write(region.record("fx-a", ALICE, body=b"x" * 9000))
    (path,) = (region.place.bodies / name for name in region.files())
    begun = Erasure(lookup=ALICE, by="uid:1", at=region.now, reason="request", state="begun")
    region.act(lambda write: region.eraser(write)._destroy_keys(begun))
    data = path.read_bytes()
    path.write_bytes(bytes(4096) + data[4096:])
    assert region.erase(ALICE).bodies == 1
    assert not path.read_bytes().strip(b"\0")
    assert len(path.read_bytes()) == len(data)
    region.verify()


def test_bodies_that_have_expired_meanwhile_do_not_stop_an_erasure(region):
    fill(region)
    for name in region.files():
        (region.place.bodies / name).unlink()
    assert region.erase(ALICE) == (3, 0)


def test_only_leaves_of_the_key_itself_are_found(region):
    region.write(region.record("fx-a", ALICE), region.record("fx-b", BO))
    key = living(region.place.subjects, ALICE)[0].cell.key
    region.hold(subjects=(ALICE,))  # its record names the key among its facts
    assert [leaf.exchange for leaf in leaves_under(region.place.journals, {key})] == ["fx-a"]
    assert list(leaves_under(region.place.journals, set())) == []


def test_the_index_forgets_whom_the_erasure_record_names(region):
    fill(region)
    keys = {found.cell.key for found in living(region.place.subjects, ALICE)}
    region.erase(ALICE)
    assert fold(stored.leaf for stored in region.leaves()).erased == keys


def test_erasures_of_two_subjects_at_once_do_not_mix(region):
    fill(region)
    failures = []

    def work(lookup, slot):
        try:
            other = Archive(region.home.root)
            other.act = lambda run, write=None: _as(other, slot, run)
            other.erase(lookup)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who, f"op-{n}")) for n, who in enumerate((ALICE, BO))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert region.readable() == {"fx-op"}
    assert {task.state for task in load(region.place.holds).erasures_pending} == {"done"}
    region.verify()


def _as(region, slot, work):
    async def run():
        journal = region.journal(slot)
        try:
            return await asyncio.to_thread(work, durable(journal))
        finally:
            await journal.aclose()

    return asyncio.run(run())
