"""The journal of one process: durable in order, one writer, segments, recovery; keys before bodies before leaves."""

import asyncio
import itertools
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from firedoor.core.evidence.leaf import BEGIN, CARRIED
from firedoor.core.evidence.subjects import NOBODY
from firedoor.errors import EvidenceDamaged, JournalFull, JournalPoisoned, KeyUnusable, SetupError
from firedoor.store import journal as journal_module
from firedoor.store.cells import cell_files, cells
from firedoor.store.journal_read import JournalCursor, read
from firedoor.store.journal_verify import verify
from firedoor.store.segments import Disk

from .journals import ANN, BEN, HOUR, Epochs, Evidence, chained, free, record, rewrite


@pytest.fixture
def region(tmp_path):
    return Evidence(tmp_path)


def kinds(region):
    return [leaf.kind for leaf in region.leaves()]


def live_cells(region, slot="w0"):
    """(epoch, look-up pseudonym) of every living cell of a slot, in order."""
    files = [(epoch, path) for epoch, path in cell_files(region.subjects) if path.stem == slot]
    return [(epoch, cell.lookup) for epoch, path in files for _, cell in cells(path)]


def test_records_are_durable_in_the_order_given(region):
    assert region.write([record("intent", f"fx-{n}", n=n) for n in range(500)]) == list(range(2, 502))
    found = region.leaves()
    assert [leaf.kind for leaf in found[:2]] == [BEGIN, "intent"]
    assert [leaf.facts["n"] for leaf in found[1:]] == list(range(500))
    report = region.verify()
    assert (report.damage, report.records, report.open) == ([], 501, 500)


def test_notes_are_written_with_the_next_sync(region):
    async def go():
        journal = region.open()
        for number in range(5):
            journal.note(record("progress", n=number))
        seq = await journal.append(record("outcome"))
        await journal.aclose()
        return seq

    assert asyncio.run(go()) == 7
    assert kinds(region) == [BEGIN, *["progress"] * 5, "outcome"]


def test_closing_writes_what_is_queued_and_takes_nothing_after(region):
    async def go():
        journal = region.open()
        waiting = [journal.append(record(n=number)) for number in range(200)]
        await journal.aclose()
        await journal.aclose()
        assert [future.result() for future in waiting] == list(range(2, 202))
        with pytest.raises(JournalPoisoned, match="closed"):
            await journal.append(record())
        journal.note(record())

    asyncio.run(go())
    assert region.verify().records == 201


def test_a_caller_that_gave_up_does_not_stop_its_record(region):
    async def go():
        journal = region.open()
        journal.append(record(n=1)).cancel()
        assert await journal.append(record(n=2)) == 3
        await journal.aclose()

    asyncio.run(go())
    assert [stored.leaf.facts["n"] for stored in read(region.slot, from_seq=2)] == [1, 2]


def test_a_slot_has_one_writer_and_is_reused_after_it(region):
    async def go():
        first = region.open()
        with pytest.raises(SetupError, match="in use by another process"):
            region.open()
        await first.append(record("intent"))
        await first.append(record("outcome"))
        await first.aclose()
        second = region.open()
        assert await second.append(record("intent")) == 5
        await second.aclose()

    asyncio.run(go())
    assert kinds(region) == [BEGIN, "intent", "outcome", BEGIN, "intent"]
    assert region.verify().damage == []


def test_a_slot_of_another_region_or_name_is_refused(region):
    region.write([record()])
    shutil.copytree(region.slot, region.journals / "w1")
    with pytest.raises(EvidenceDamaged, match="belongs to eu/w0"):
        region.open("w1")
    with pytest.raises(KeyUnusable, match="region eu"):
        region.open(region="us")
    with pytest.raises(EvidenceDamaged, match="belongs to eu/w0"):
        region.open(region="us", epochs=Epochs("us"))
    with pytest.raises(ValueError, match="slot"):
        region.open("../w0")


def test_what_a_crash_left_open_is_closed_as_unknown(region):
    region.write([record("intent", "fx-1"), record("intent", "fx-2"), record("outcome", "fx-1", outcome="answered")])
    region.write([])
    leaves = region.leaves()
    assert [(leaf.kind, leaf.exchange) for leaf in leaves[4:]] == [(BEGIN, ""), ("outcome", "fx-2")]
    assert leaves[-1].facts == {"outcome": "unknown", "reason": "recovered"}
    region.write([])  # once is enough
    report = region.verify()
    assert (report.records, report.answered, report.unknown, report.open) == (7, 1, 1, 0)


def test_many_open_exchanges_are_closed(region):
    region.write([record("intent", f"fx-{number}") for number in range(2500)])
    region.write([])
    report = region.verify()
    assert (report.unknown, report.open) == (2500, 0)


def test_segments_roll_and_each_begins_with_the_open_exchanges(region):
    given = [record("intent", "fx-open"), *(record("finding", f"fx-{n}", body=b"x" * 100) for n in range(200))]
    region.write(given, segment_bytes=8_000)
    paths = region.segments()
    assert len(paths) > 5
    assert all(path.stat().st_size < 10_000 for path in paths)
    by_segment = [list(group) for _, group in itertools.groupby(region.read(), key=lambda stored: stored.segment)]
    assert len(by_segment) == len(paths)
    for stored in by_segment[1:]:
        assert [one.leaf.kind for one in stored[:2]] == [BEGIN, CARRIED]
        assert stored[1].leaf.facts == {"open": ["fx-open"]}
    assert region.verify().damage == []
    # Recovery reads the newest segment alone and still knows what was open.
    region.write([], segment_bytes=8_000)
    assert region.leaves()[-1].exchange == "fx-open"
    assert region.verify().open == 0


def test_a_new_segment_whose_head_is_torn_is_dropped(region):
    region.write([record("intent", "fx-open"), *(record("finding", n=n) for n in range(30))], segment_bytes=4_000)
    whole = [path.read_bytes() for path in region.segments()]
    newest = region.segments()[-1]
    records_before = sum(stored.segment != newest.name for stored in region.read())
    head = [stored for stored in region.read() if stored.segment == newest.name][2].offset
    for cut in range(0, head, 13):
        newest.write_bytes(whole[-1][:cut])
        cursor = JournalCursor(region.slot)
        assert len(cursor.new()) >= records_before
        region.write([])
        report = region.verify()
        assert report.damage == []
        assert (report.records, report.unknown) == (records_before + 2, 1)
        assert [stored.leaf.kind for stored in cursor.new()][-1:] == ["outcome"]
        cursor.close()
        for path, content in zip(region.segments(), whole, strict=False):  # back to before the crash
            path.write_bytes(content)
        newest.write_bytes(whole[-1])


def test_a_head_that_names_more_than_it_says_is_damage_and_nothing_is_removed(region):
    region.write([record("intent", "fx-open"), *(record("finding", n=n) for n in range(30))], segment_bytes=4_000)
    newest = region.segments()[-1]
    first = next(stored for stored in region.read() if stored.segment == newest.name).data
    assert b'"carried":1' in first
    rewrite(newest, lambda leaves: chained([leaves[0].replace(b'"carried":1', b'"carried":0'), *leaves[1:]]))
    with pytest.raises(EvidenceDamaged, match="more open exchanges than its head says"):
        region.open()
    assert newest.exists()


class TestKeysAndBodies:
    def test_bodies_are_sealed_and_only_the_region_opens_them(self, region):
        region.write([record(body=b"Wo ist meine Bestellung?", subject=ANN), record("outcome", body=b"")])
        everything = b"".join(path.read_bytes() for path in region.root.rglob("*") if path.is_file())
        assert b"Bestellung" not in everything
        assert ANN.encode() not in everything
        assert region.bodies_in_clear() == {2: b"Wo ist meine Bestellung?", 3: b""}
        with pytest.raises(EvidenceDamaged, match="was not sealed to epoch 1 of region eu"):
            region.bodies_in_clear(ring=Epochs())

    def test_a_subject_has_one_key_and_one_pseudonym_in_a_process_and_new_ones_in_the_next(self, region):
        for _ in range(2):
            region.write([record(subject=who, session=who, body=b"x") for who in (ANN, BEN, ANN, None)])
        assert live_cells(region) == [(1, ANN), (1, BEN), (1, NOBODY)] * 2
        leaves = [leaf for leaf in region.leaves() if leaf.key]
        for first, second, third, fourth in (leaves[:4], leaves[4:]):
            assert (first.key, first.subject, first.session) == (third.key, third.subject, third.session)
            assert len({first.key, second.key, fourth.key}) == 3
            assert fourth.subject is None
        assert len({leaf.key for leaf in leaves}) == 6

    def test_a_record_without_content_or_person_needs_no_key(self, region):
        region.write([record("switch"), record("access")])
        assert live_cells(region) == []
        assert {leaf.key for leaf in region.leaves()} == {None}

    def test_keys_are_synced_before_bodies_and_bodies_before_leaves(self, region):
        calls = []
        names = {}

        def path_of(descriptor):
            if descriptor not in names:
                names[descriptor] = next(
                    part
                    for part in ("cells", "journal", "bodies")
                    if part in str(Path(f"/proc/self/fd/{descriptor}").readlink())
                )
            return names[descriptor]

        def write(descriptor, data):
            calls.append(("write", path_of(descriptor)))
            return os.write(descriptor, data)

        def sync(descriptor):
            calls.append(("sync", path_of(descriptor)))

        async def go():
            journal = region.open(disk=Disk(write=write, fdatasync=sync))
            calls.clear()
            await journal.append(record(body=b"x", subject=ANN))
            first = list(calls)
            calls.clear()
            await journal.append(record(body=b"y", subject=ANN))
            await journal.aclose()
            return first

        steps = [("write", "cells"), ("sync", "cells"), ("write", "bodies"), ("sync", "bodies")]
        steps += [("write", "journal"), ("sync", "journal")]
        assert asyncio.run(go()) == steps
        assert calls == steps[2:]

    def test_many_subjects_are_forgotten_oldest_first(self, region, monkeypatch):
        monkeypatch.setattr("firedoor.store.cells.CACHED_KEYS", 2)
        region.write([record(subject=who, body=b"x") for who in (ANN, BEN, ANN, "c" * 32, ANN, BEN)])
        assert [lookup[0] for _, lookup in live_cells(region)] == ["a", "b", "c", "b"]
        assert len(region.bodies_in_clear()) == 6

    def test_a_key_minted_for_a_refused_record_is_on_the_disk_before_it_is_used(self, region):
        async def go():
            journal = region.open()
            for number in range(3):
                with pytest.raises(ValueError, match="exchange id"):
                    journal.append(record(exchange="fx 1", body=b"x", subject=ANN, n=number))
            await journal.append(record(body=b"hers", subject=ANN))
            await journal.aclose()

        asyncio.run(go())
        assert live_cells(region) == [(1, ANN)]
        assert region.bodies_in_clear() == {2: b"hers"}

    def test_a_new_epoch_and_an_erasure_make_the_writer_forget_its_keys(self, region, monkeypatch):
        monkeypatch.setattr(journal_module, "REFRESH", 0.0)

        async def go():
            journal = region.open()
            await journal.append(record(body=b"1", subject=ANN))
            region.epochs.next()
            await journal.append(record(body=b"2", subject=ANN))
            region.epochs.erased += 1
            await journal.append(record(body=b"3", subject=ANN))
            await journal.append(record(body=b"4", subject=ANN))
            await journal.aclose()

        asyncio.run(go())
        assert live_cells(region) == [(1, ANN), (2, ANN), (2, ANN)]
        keys = [leaf.key for leaf in region.leaves()[1:]]
        assert len(set(keys)) == 3
        assert keys[2] == keys[3]
        assert list(region.bodies_in_clear().values()) == [b"1", b"2", b"3", b"4"]

    def test_a_key_of_an_old_epoch_that_was_never_used_is_dropped_with_it(self, region, monkeypatch):
        monkeypatch.setattr(journal_module, "REFRESH", 0.0)

        async def go():
            journal = region.open()
            with pytest.raises(ValueError, match="exchange id"):
                journal.append(record(exchange="fx 1", subject=ANN))
            region.epochs.next()
            shutil.rmtree(region.subjects / "1")
            await journal.append(record(body=b"x", subject=ANN))
            await journal.aclose()

        asyncio.run(go())
        assert live_cells(region) == [(2, ANN)]
        assert not (region.subjects / "1").exists()

    def test_after_a_refused_record_the_epoch_is_looked_at_again(self, region):
        """An idle writer has let go of the old epoch's file; a key minted meanwhile must not go there."""

        async def go():
            journal = region.open()
            with pytest.raises(ValueError, match="exchange id"):
                journal.append(record(exchange="fx 1", subject=ANN))
            region.epochs.next()
            await journal.append(record(body=b"x", subject=ANN))
            await journal.aclose()

        asyncio.run(go())
        assert live_cells(region) == [(2, ANN)]

    def test_an_idle_writer_lets_go_of_an_old_epoch(self, region, monkeypatch):
        monkeypatch.setattr(journal_module, "IDLE", 0.01)

        async def go():
            journal = region.open()
            await journal.append(record(body=b"x", subject=ANN))
            assert not free(region.subjects / "1" / "w0.cells")
            region.epochs.next()
            deadline = time.monotonic() + 30
            while not free(region.subjects / "1" / "w0.cells"):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            await journal.append(record(body=b"y", subject=ANN))
            await journal.aclose()

        monkeypatch.setattr(journal_module, "REFRESH", 0.0)
        asyncio.run(go())
        assert live_cells(region) == [(1, ANN), (2, ANN)]
        assert list(region.bodies_in_clear().values()) == [b"x", b"y"]

    def test_a_ring_that_cannot_be_read_poisons(self, region, monkeypatch):
        monkeypatch.setattr(journal_module, "REFRESH", 0.0)

        async def go():
            journal = region.open()
            await journal.append(record(body=b"x", subject=ANN))

            def broken():
                raise KeyUnusable("The ring does not match its seal.")

            region.epochs.current = broken
            with pytest.raises(JournalPoisoned, match="the key ring cannot be read"):
                await journal.append(record(body=b"y", subject=ANN))
            assert journal.poisoned
            with pytest.raises(JournalPoisoned):
                await journal.append(record("switch"))
            await journal.aclose()

        asyncio.run(go())
        del region.epochs.current
        assert region.bodies_in_clear() == {2: b"x"}

    def test_bodies_of_several_classes_and_hours_come_back(self, region, monkeypatch):
        monkeypatch.setattr("firedoor.store.bodies.OPEN_FILES", 2)
        start = 500_000 * HOUR
        given = [
            record(
                body=b"%d" % n * (n % 7), subject=ANN, at=start + n % 3 * HOUR, retention=("support", "search")[n % 2]
            )
            for n in range(60)
        ]
        for part in (given[:20], given[20:40], given[40:]):
            region.write(part, segment_bytes=4_000)
        expected = [one.body for one in given]
        assert list(region.bodies_in_clear().values()) == expected
        report = region.verify()
        assert (report.damage, report.bodies) == ([], 60)
        assert {path.relative_to(region.bodies).parts[0] for path in region.body_files()} == {"support", "search"}
        assert {path.stat().st_mode & 0o777 for path in region.body_files()} == {0o600}


def test_what_the_format_cannot_hold_is_refused_at_once_and_leaves_no_gap(region):
    async def go():
        journal = region.open()
        with pytest.raises(ValueError, match="fact 'x'"):
            journal.append(record(x=float("nan")))
        with pytest.raises(ValueError, match="exchange id"):
            journal.note(record(exchange="fx 1"))
        assert await journal.append(record()) == 2
        await journal.aclose()

    asyncio.run(go())
    assert verify(region.journals).ok


def test_a_full_queue_refuses_and_recovers(region, monkeypatch):
    monkeypatch.setattr(journal_module, "QUEUE_RECORDS", 3)

    async def go():
        gate = os.pipe()
        disk = Disk(fdatasync=lambda fd: (os.read(gate[0], 1), os.fdatasync(fd))[1])
        os.write(gate[1], b"o")  # lets the first record through
        journal = region.open(disk=disk)
        waiting = [journal.append(record(n=n)) for n in range(3)]
        with pytest.raises(JournalFull, match="3 records"):
            await journal.append(record())
        journal.note(record())
        os.write(gate[1], b"oooo")
        assert await asyncio.gather(*waiting) == [2, 3, 4]
        assert await journal.append(record(n=9)) == 5
        await journal.aclose()

    asyncio.run(go())
    assert region.verify().records == 5


def test_bytes_that_wait_are_bounded_too(region, monkeypatch):
    monkeypatch.setattr(journal_module, "QUEUE_BYTES", 5_000)

    async def go():
        journal = region.open()
        waiting = []
        with pytest.raises(JournalFull):
            for n in range(20):
                future = journal.append(record(n=n, body=bytes(1_000)))
                waiting.append(future)
                if future.done():
                    future.result()
        assert 3 <= len(waiting) <= 5
        await journal.aclose()

    asyncio.run(go())


def test_nothing_is_acknowledged_before_it_is_synced(region):
    synced, written = threading.Semaphore(1), threading.Event()

    def sync(descriptor):
        written.set()
        assert synced.acquire(timeout=30)
        os.fdatasync(descriptor)

    async def go():
        journal = region.open(disk=Disk(fdatasync=sync))
        written.clear()
        future = journal.append(record())
        await asyncio.to_thread(written.wait, 30)
        assert kinds(region) == [BEGIN, "intent"]
        assert not future.done()
        synced.release()
        assert await future == 2
        await journal.aclose()

    asyncio.run(go())


class TestCursor:
    def test_it_gives_what_is_new_across_segments_while_the_writer_lives(self, region):
        cursor = JournalCursor(region.slot)
        assert cursor.new() == []

        async def go():
            journal = region.open(segment_bytes=2_000)
            seen = [stored.leaf.seq for stored in cursor.new()]
            for n in range(60):
                seq = await journal.append(record("finding", n=n))
                seen += [stored.leaf.seq for stored in cursor.new()]
                assert seen[-1] == seq
            assert cursor.new() == []
            await journal.aclose()
            return seen

        seen = asyncio.run(go())
        assert seen == list(range(1, len(seen) + 1))
        assert len(region.segments()) > 5
        cursor.close()

    @pytest.mark.parametrize("limit", [1, 2, 7, 1000])
    @pytest.mark.parametrize("after", [0, 1, 17, 40, 1000])
    def test_it_starts_anywhere_and_in_any_steps(self, region, after, limit):
        region.write([record("finding", n=n) for n in range(40)], segment_bytes=3_000)
        everything = [leaf.seq for leaf in region.leaves()]
        cursor, found = JournalCursor(region.slot, after), []
        while batch := cursor.new(limit):
            assert len(batch) <= limit
            found += [stored.leaf.seq for stored in batch]
        assert found == everything[after:]
        cursor.close()

    def test_an_incomplete_last_frame_waits(self, region):
        region.write([record("finding", n=n) for n in range(3)])
        (path,) = region.segments()
        whole = path.read_bytes()
        last = region.read()[-1].offset
        for cut in range(last, len(whole)):
            path.write_bytes(whole[:cut])
            cursor = JournalCursor(region.slot)
            assert len(cursor.new()) == 3
            path.write_bytes(whole)
            assert [stored.leaf.seq for stored in cursor.new()] == [4]
            cursor.close()

    def test_a_missing_segment_is_named(self, region):
        region.write([record("finding", n=n) for n in range(60)], segment_bytes=3_000)
        region.segments()[0].unlink()
        with pytest.raises(EvidenceDamaged, match="are missing"):
            region.read()
        assert not verify(region.journals).ok


def test_other_files_in_the_folder_do_not_disturb(region):
    region.write([record()])
    (region.slot / "notes.txt").write_text("left by somebody")
    (region.journals / "stray").write_text("x")
    assert verify(region.journals).ok
    assert len(region.read()) == 2


def test_nothing_to_verify_is_not_verified(tmp_path):
    with pytest.raises(EvidenceDamaged, match="no journal"):
        verify(tmp_path)
    with pytest.raises(EvidenceDamaged, match="no journal"):
        verify(tmp_path / "absent")
