"""The journal of one process: durable in order, one writer, segments, recovery, sealed bodies."""

import asyncio
import itertools
import os
import shutil
import threading
import time

import pytest

from firedoor.core.evidence.leaf import CARRIED, KEY
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.seal import EvidenceOpener
from firedoor.errors import EvidenceDamaged, JournalFull, JournalPoisoned, KeyUnusable, SetupError
from firedoor.store import journal as journal_module
from firedoor.store.journal import open_journal
from firedoor.store.journal_read import JournalCursor, KeyRing, open_body, read
from firedoor.store.journal_verify import verify
from firedoor.store.segments import Disk, segments

OPENER = EvidenceOpener("eu", bytes(range(32)))


def opened(folder, slot="w0", **more):
    more = {"region": "eu", "seal": OPENER.seal, "clock_ns": itertools.count(1).__next__, **more}
    return open_journal(folder, slot=slot, **more)


def record(kind="intent", exchange="fx-1", body=None, **facts):
    return Record(kind=kind, exchange=exchange, at=time.time_ns(), facts=facts, body=body)


def write(folder, records, **more):
    """Append all records at once, close; their sequence numbers."""

    async def go():
        journal = opened(folder, **more)
        try:
            return await asyncio.gather(*(journal.append(one) for one in records))
        finally:
            await journal.aclose()

    return asyncio.run(go())


def kinds(folder):
    return [stored.leaf.kind for stored in read(folder)]


def test_records_are_durable_in_the_order_given(tmp_path):
    folder = tmp_path / "w0"
    given = [record("intent", f"fx-{n}", n=n) for n in range(500)]
    assert write(folder, given) == list(range(2, 502))
    found = [stored.leaf for stored in read(folder)]
    assert [leaf.kind for leaf in found[:2]] == [KEY, "intent"]
    assert [leaf.facts["n"] for leaf in found[1:]] == list(range(500))
    report = verify(folder)
    assert report.ok
    assert (report.slots[0].records, report.slots[0].open) == (501, 500)


def test_notes_are_written_with_the_next_sync(tmp_path):
    async def go():
        journal = opened(tmp_path / "w0")
        for number in range(5):
            journal.note(record("progress", n=number))
        seq = await journal.append(record("outcome"))
        await journal.aclose()
        return seq

    assert asyncio.run(go()) == 7
    assert kinds(tmp_path / "w0") == [KEY, *["progress"] * 5, "outcome"]


def test_closing_writes_what_is_queued_and_takes_nothing_after(tmp_path):
    async def go():
        journal = opened(tmp_path / "w0")
        waiting = [journal.append(record(n=number)) for number in range(200)]
        await journal.aclose()
        await journal.aclose()
        assert [future.result() for future in waiting] == list(range(2, 202))
        with pytest.raises(JournalPoisoned, match="closed"):
            await journal.append(record())
        journal.note(record())

    asyncio.run(go())
    assert verify(tmp_path / "w0").slots[0].records == 201


def test_a_caller_that_gave_up_does_not_stop_its_record(tmp_path):
    async def go():
        journal = opened(tmp_path / "w0")
        journal.append(record(n=1)).cancel()
        assert await journal.append(record(n=2)) == 3
        await journal.aclose()

    asyncio.run(go())
    assert [stored.leaf.facts["n"] for stored in read(tmp_path / "w0", from_seq=2)] == [1, 2]


def test_a_slot_has_one_writer_and_is_reused_after_it(tmp_path):
    async def go():
        first = opened(tmp_path / "w0")
        with pytest.raises(SetupError, match="in use by another process"):
            opened(tmp_path / "w0")
        await first.append(record("intent"))
        await first.append(record("outcome"))
        await first.aclose()
        second = opened(tmp_path / "w0")
        assert await second.append(record("intent")) == 5
        await second.aclose()

    asyncio.run(go())
    assert kinds(tmp_path / "w0") == [KEY, "intent", "outcome", KEY, "intent"]
    assert verify(tmp_path).slots[0].keys == 2


def test_a_slot_of_another_region_or_name_is_refused(tmp_path):
    write(tmp_path / "w0", [record()])
    shutil.copytree(tmp_path / "w0", tmp_path / "w1")
    with pytest.raises(EvidenceDamaged, match="belongs to eu/w0"):
        opened(tmp_path / "w1", slot="w1")
    with pytest.raises(KeyUnusable, match="region eu"):
        opened(tmp_path / "w0", region="us")
    with pytest.raises(ValueError, match="slot"):
        opened(tmp_path / "w0", slot="../w0")


def test_what_a_crash_left_open_is_closed_as_unknown(tmp_path):
    folder = tmp_path / "w0"
    write(folder, [record("intent", "fx-1"), record("intent", "fx-2"), record("outcome", "fx-1", outcome="answered")])
    write(folder, [])
    leaves = [stored.leaf for stored in read(folder)]
    assert [(leaf.kind, leaf.exchange) for leaf in leaves[4:]] == [(KEY, ""), ("outcome", "fx-2")]
    assert leaves[-1].facts == {"outcome": "unknown", "reason": "recovered"}
    write(folder, [])  # once is enough
    slot = verify(folder).slots[0]
    assert (slot.records, slot.answered, slot.unknown, slot.open) == (7, 1, 1, 0)


def test_many_open_exchanges_are_closed(tmp_path):
    folder = tmp_path / "w0"
    write(folder, [record("intent", f"fx-{number}") for number in range(2500)])
    write(folder, [])
    slot = verify(folder).slots[0]
    assert (slot.unknown, slot.open) == (2500, 0)


def test_segments_roll_and_each_begins_with_a_key_and_the_open_exchanges(tmp_path):
    folder = tmp_path / "w0"
    given = [record("intent", "fx-open"), *(record("finding", f"fx-{n}", body=b"x" * 100) for n in range(200))]
    write(folder, given, segment_bytes=8_000)
    paths = segments(folder)
    assert len(paths) > 5
    assert all(path.stat().st_size < 10_000 for path in paths)
    by_segment = [list(group) for _, group in itertools.groupby(read(folder), key=lambda stored: stored.segment)]
    assert len(by_segment) == len(paths)
    for stored in by_segment[1:]:
        assert [one.leaf.kind for one in stored[:2]] == [KEY, CARRIED]
        assert stored[1].leaf.facts == {"open": ["fx-open"]}
    assert verify(folder).ok
    # Recovery reads the newest segment alone and still knows what was open.
    write(folder, [], segment_bytes=8_000)
    assert list(read(folder))[-1].leaf.exchange == "fx-open"
    assert verify(folder).slots[0].open == 0


def test_a_new_segment_whose_head_is_torn_is_dropped(tmp_path):
    folder = tmp_path / "w0"
    write(folder, [record("intent", "fx-open"), *(record("finding", n=n) for n in range(30))], segment_bytes=4_000)
    whole = [path.read_bytes() for path in segments(folder)]
    newest = segments(folder)[-1]
    records_before = len(list(read(folder))) - sum(1 for s in read(folder) if s.segment == newest.name)
    head = [stored for stored in read(folder) if stored.segment == newest.name][2].offset
    for cut in range(0, head, 13):
        newest.write_bytes(whole[-1][:cut])
        cursor = JournalCursor(folder)
        before = len(cursor.new())
        assert before >= records_before
        write(folder, [])
        slot = verify(folder).slots[0]
        assert slot.damage == []
        assert (slot.records, slot.unknown) == (records_before + 2, 1)
        assert [stored.leaf.kind for stored in cursor.new()][-1:] == ["outcome"]
        cursor.close()
        for path, content in zip(segments(folder), whole, strict=False):  # back to before the crash
            path.write_bytes(content)
        newest.write_bytes(whole[-1])


def test_bodies_are_sealed_and_only_the_region_opens_them(tmp_path):
    folder = tmp_path / "w0"
    write(folder, [record(body=b"Wo ist meine Bestellung?"), record("outcome", body=b"")])
    assert b"Bestellung" not in b"".join(path.read_bytes() for path in segments(folder))
    ring, stranger = KeyRing(OPENER), KeyRing(EvidenceOpener("eu", bytes(32)))
    found = list(read(folder))
    for stored in found:
        ring.learn(stored)
        stranger.learn(stored)
    assert open_body(found[1], ring) == b"Wo ist meine Bestellung?"
    assert open_body(found[2], ring) == b""
    with pytest.raises(EvidenceDamaged, match="was not sealed to region eu"):
        open_body(found[1], stranger)
    with pytest.raises(EvidenceDamaged, match="has no body"):
        open_body(found[0], ring)
    with pytest.raises(EvidenceDamaged, match="is missing"):
        open_body(found[1], KeyRing(OPENER))


def test_no_data_key_or_nonce_is_used_twice(tmp_path):
    folder = tmp_path / "w0"
    for _ in range(3):
        write(folder, [record(body=b"x") for _ in range(40)], segment_bytes=5_000)
    sealed = [(s.leaf.body.key, s.leaf.seq) for s in read(folder) if s.leaf.body and s.leaf.kind != KEY]
    keys = [s.leaf.body.key for s in read(folder) if s.leaf.kind == KEY]
    assert len(sealed) == len(set(sealed)) == 120
    assert len(keys) == len(set(keys)) > 6


def test_what_the_format_cannot_hold_is_refused_at_once_and_leaves_no_gap(tmp_path):
    async def go():
        journal = opened(tmp_path / "w0")
        with pytest.raises(ValueError, match="fact 'x'"):
            journal.append(record(x=float("nan")))
        with pytest.raises(ValueError, match="exchange id"):
            journal.note(record(exchange="fx 1"))
        assert await journal.append(record()) == 2
        await journal.aclose()

    asyncio.run(go())
    assert verify(tmp_path).ok


def test_a_full_queue_refuses_and_recovers(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "QUEUE_RECORDS", 3)

    async def go():
        gate = os.pipe()
        disk = Disk(fdatasync=lambda fd: (os.read(gate[0], 1), os.fdatasync(fd))[1])
        os.write(gate[1], b"o")  # lets the key record through
        journal = opened(tmp_path / "w0", disk=disk)
        waiting = [journal.append(record(n=n)) for n in range(3)]
        with pytest.raises(JournalFull, match="3 records"):
            await journal.append(record())
        journal.note(record())
        os.write(gate[1], b"oooo")
        assert await asyncio.gather(*waiting) == [2, 3, 4]
        assert await journal.append(record(n=9)) == 5
        await journal.aclose()

    asyncio.run(go())
    assert verify(tmp_path).slots[0].records == 5


def test_nothing_is_acknowledged_before_it_is_synced(tmp_path):
    synced, written = threading.Semaphore(1), threading.Event()

    def sync(descriptor):
        written.set()
        assert synced.acquire(timeout=30)
        os.fdatasync(descriptor)

    async def go():
        journal = opened(tmp_path / "w0", disk=Disk(fdatasync=sync))
        written.clear()
        future = journal.append(record())
        await asyncio.to_thread(written.wait, 30)
        assert [stored.leaf.kind for stored in read(tmp_path / "w0")] == [KEY, "intent"]
        assert not future.done()
        synced.release()
        assert await future == 2
        await journal.aclose()

    asyncio.run(go())


class TestCursor:
    def test_it_gives_what_is_new_across_segments_while_the_writer_lives(self, tmp_path):
        folder = tmp_path / "w0"
        cursor = JournalCursor(folder)
        assert cursor.new() == []

        async def go():
            journal = opened(folder, segment_bytes=2_000)
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
        assert len(segments(folder)) > 5
        cursor.close()

    @pytest.mark.parametrize("limit", [1, 2, 7, 1000])
    @pytest.mark.parametrize("after", [0, 1, 17, 40, 1000])
    def test_it_starts_anywhere_and_in_any_steps(self, tmp_path, after, limit):
        write(tmp_path / "w0", [record("finding", n=n) for n in range(40)], segment_bytes=3_000)
        everything = [stored.leaf.seq for stored in read(tmp_path / "w0")]
        cursor, found = JournalCursor(tmp_path / "w0", after), []
        while batch := cursor.new(limit):
            assert len(batch) <= limit
            found += [stored.leaf.seq for stored in batch]
        assert found == everything[after:]
        cursor.close()

    def test_an_incomplete_last_frame_waits(self, tmp_path):
        write(tmp_path / "w0", [record("finding", n=n) for n in range(3)])
        path = segments(tmp_path / "w0")[0]
        whole = path.read_bytes()
        last = list(read(tmp_path / "w0"))[-1].offset
        for cut in range(last, len(whole)):
            path.write_bytes(whole[:cut])
            cursor = JournalCursor(tmp_path / "w0")
            assert len(cursor.new()) == 3
            path.write_bytes(whole)
            assert [stored.leaf.seq for stored in cursor.new()] == [4]
            cursor.close()

    def test_a_missing_segment_is_named(self, tmp_path):
        write(tmp_path / "w0", [record("finding", n=n) for n in range(60)], segment_bytes=3_000)
        paths = segments(tmp_path / "w0")
        paths[0].unlink()
        with pytest.raises(EvidenceDamaged, match="are missing"):
            list(read(tmp_path / "w0"))
        assert not verify(tmp_path).ok


def test_other_files_in_the_folder_do_not_disturb(tmp_path):
    write(tmp_path / "w0", [record()])
    (tmp_path / "w0" / "notes.txt").write_text("left by somebody")
    (tmp_path / "stray").write_text("x")
    assert verify(tmp_path).ok
    assert len(list(read(tmp_path / "w0"))) == 2


def test_nothing_to_verify_is_not_verified(tmp_path):
    with pytest.raises(EvidenceDamaged, match="no journal"):
        verify(tmp_path)
    with pytest.raises(EvidenceDamaged, match="no journal"):
        verify(tmp_path / "absent")
