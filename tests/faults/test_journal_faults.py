"""A table of disasters: the process dies, the disk fails, somebody changes bytes. Nothing acknowledged is lost unseen."""

import asyncio
import errno
import itertools
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from firedoor.core.evidence.frames import MAGIC, decode_frame, encode_frame
from firedoor.core.evidence.leaf import KEY
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.seal import EvidenceOpener
from firedoor.errors import EvidenceDamaged, JournalPoisoned
from firedoor.store.journal import open_journal
from firedoor.store.journal_read import KeyRing, open_body, read
from firedoor.store.journal_verify import verify
from firedoor.store.segments import Disk, segments

OPENER = EvidenceOpener("eu", bytes(range(32)))

WRITER = """
import asyncio, sys, time
from pathlib import Path
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.seal import EvidenceSeal
from firedoor.store.journal import open_journal

async def main():
    seal = EvidenceSeal("eu", bytes.fromhex(sys.argv[2]))
    journal = open_journal(Path(sys.argv[1]), region="eu", slot="w0", seal=seal, clock_ns=time.time_ns,
                           segment_bytes=40_000)
    async def exchanges(name):
        for n in range(100_000):
            for kind in ("intent", "outcome"):
                exchange = f"fx-{name}-{n}"
                seq = await journal.append(Record(kind=kind, exchange=exchange, at=time.time_ns(),
                                                  facts={"outcome": "answered"}, body=b"b" * 200))
                print(seq, kind, exchange, flush=True)
    await asyncio.gather(*(exchanges(name) for name in range(20)))

asyncio.run(main())
"""


def opened(folder, **more):
    more = {"clock_ns": itertools.count(1).__next__, **more}
    return open_journal(folder, region="eu", slot="w0", seal=OPENER.seal, **more)


def record(kind="intent", exchange="fx-1", body=None, **facts):
    return Record(kind=kind, exchange=exchange, at=time.time_ns(), facts=facts, body=body)


def write(folder, records, **more):
    async def go():
        journal = opened(folder, **more)
        try:
            return await asyncio.gather(*(journal.append(one) for one in records))
        finally:
            await journal.aclose()

    return asyncio.run(go())


def restore(folder, whole):
    for path in segments(folder):
        if path.name not in whole:
            path.unlink()
    for name, content in whole.items():
        (folder / name).write_bytes(content)


def test_kill_9_loses_nothing_acknowledged(tmp_path):
    folder = tmp_path / "w0"
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    rng = random.Random(7)
    acknowledged = {}
    for _ in range(6):
        command = [sys.executable, str(script), str(folder), OPENER.seal.public.hex()]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = list(itertools.islice(child.stdout, rng.randrange(1, 800)))
        child.send_signal(signal.SIGKILL)
        lines += [line for line in child.stdout.readlines() if line.endswith("\n")]
        child.wait()
        for line in lines:
            seq, kind, exchange = line.split()
            assert int(seq) not in acknowledged
            acknowledged[int(seq)] = (kind, exchange)
        assert verify(folder).damage == []
    assert len(acknowledged) > 500
    assert len(segments(folder)) > 3

    write(folder, [])
    found = {stored.leaf.seq: (stored.leaf.kind, stored.leaf.exchange) for stored in read(folder)}
    assert {seq: found.get(seq) for seq in acknowledged} == acknowledged
    slot = verify(folder).slots[0]
    assert (slot.damage, slot.open) == ([], 0)
    assert slot.unknown > 0
    ring = KeyRing(OPENER)
    for stored in read(folder):
        ring.learn(stored)
        if stored.leaf.body and stored.leaf.kind != KEY:
            assert open_body(stored, ring) == b"b" * 200


def test_a_tail_torn_at_any_byte_is_cut_back(tmp_path):
    folder = tmp_path / "w0"
    write(folder, [record("intent", "fx-1", body=b"question"), record("outcome", "fx-1", body=b"answer")])
    path = segments(folder)[0]
    whole = path.read_bytes()
    last = list(read(folder))[-1].offset
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        slot = verify(folder).slots[0]
        assert (slot.damage, slot.records, slot.torn, slot.open) == ([], 2, cut - last, 1)
        write(folder, [])
        slot = verify(folder).slots[0]
        assert (slot.damage, slot.records, slot.torn, slot.unknown) == ([], 4, 0, 1)


@pytest.mark.parametrize("zeros", [1, 15, 16, 4096, 2_000_000])
def test_zeros_after_a_power_cut_are_cut_back(tmp_path, zeros):
    folder = tmp_path / "w0"
    write(folder, [record("intent"), record("outcome")])
    with segments(folder)[0].open("ab") as file:
        file.write(bytes(zeros))
    assert verify(folder).slots[0].torn == zeros
    assert write(folder, [record()]) == [5]
    assert verify(folder).slots[0].torn == 0


def test_a_flipped_bit_in_any_byte_of_a_middle_frame_is_named(tmp_path):
    folder = tmp_path / "w0"
    write(folder, [record("intent"), record("finding", body=b"content"), record("outcome")])
    path = segments(folder)[0]
    whole = path.read_bytes()
    offsets = [stored.offset for stored in read(folder)]
    rng = random.Random(3)
    for place in range(offsets[2], offsets[3]):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        [damage] = verify(folder).damage
        assert (damage.file, damage.record) == (f"w0/{path.name}", 3)
        with pytest.raises(EvidenceDamaged, match=path.name):
            opened(folder)
        with pytest.raises(EvidenceDamaged, match=path.name):
            list(read(folder))
        assert path.read_bytes() == flipped  # refused, not repaired


def test_a_flipped_bit_in_the_name_of_the_format_is_named(tmp_path):
    write(tmp_path / "w0", [record()])
    path = segments(tmp_path / "w0")[0]
    whole = path.read_bytes()
    for place in range(19):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        assert verify(tmp_path).damage[0].record == 1


def _rewritten(folder, change):
    """Every frame of the slot written anew with right CRCs, after `change` of the list of (leaf, sealed)."""
    path = segments(folder)[0]
    data, offset, frames = path.read_bytes(), len(MAGIC), []
    while (frame := decode_frame(data, offset)) is not None:
        frames.append((frame.leaf, frame.sealed))
        offset = frame.end
    frames = change(frames)
    path.write_bytes(MAGIC + b"".join(encode_frame(leaf, sealed) for leaf, sealed in frames))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: [*f[:2], (f[2][0].replace(b"answered", b"anuwered"), f[2][1]), *f[3:]], "one was changed"),
        (lambda f: [*f[:2], *f[3:]], "Record 3 is missing"),
        (lambda f: [*f[:2], f[3], f[2], *f[4:]], "Record 3 is missing"),
        (lambda f: [*f[:2], f[2], f[2], *f[3:]], "Record 4 is missing"),
        (lambda f: [*f[:2], (f[2][0], f[3][1]), (f[3][0], f[2][1]), *f[4:]], "body of record 3"),
        (lambda f: [*f[:2], (f[2][0], b""), *f[3:]], "body of record 3"),
        (lambda f: f[1:], "Record 1 is missing"),
        (lambda f: [(f[0][0], bytes(80)), *f[1:]], "body of record 1"),
        (lambda f: [*f[:1], (f[1][0], b"extra"), *f[2:]], "does not name"),
    ],
)
def test_somebody_who_rewrites_records_with_right_checksums_is_found_out(tmp_path, change, problem):
    folder = tmp_path / "w0"
    write(
        folder,
        [
            record("intent"),
            record("outcome", outcome="answered", body=b"the first"),
            record("finding", body=b"the other"),
            record("intent", "fx-2"),
        ],
    )
    assert verify(folder).ok
    _rewritten(folder, change)
    assert problem in verify(folder).damage[0].problem


def test_bodies_swapped_between_slots_do_not_open(tmp_path):
    for slot in ("w0", "w1"):

        async def go(slot=slot):
            journal = open_journal(
                tmp_path / slot, region="eu", slot=slot, seal=OPENER.seal, clock_ns=itertools.count(1).__next__
            )
            await journal.append(record(body=b"the same text"))
            await journal.aclose()

        asyncio.run(go())
    ring = KeyRing(OPENER)
    (mine,) = [s for s in read(tmp_path / "w0") if not ring.learn(s) and s.leaf.kind == "intent"]
    (other,) = [s for s in read(tmp_path / "w1") if not ring.learn(s) and s.leaf.kind == "intent"]
    assert open_body(mine, ring) == open_body(other, ring)
    with pytest.raises(EvidenceDamaged, match="does not open"):
        open_body(type(mine)(mine.leaf, mine.segment, mine.offset, other.sealed), ring)


class Failing:
    """A disk that fails at one call, and counts what is asked of it afterwards."""

    def __init__(self, call, number, error, partly=0):
        self.call, self.number, self.error, self.partly = call, number, error, partly
        self.calls = {"write": 0, "fdatasync": 0, "fsync": 0}
        self.after = 0
        self.disk = Disk(self.write, self.fdatasync, self.fsync)

    def _step(self, call):
        self.after += self.calls[self.call] >= self.number
        self.calls[call] += 1
        return call == self.call and self.calls[call] == self.number

    def write(self, fd, data):
        if self._step("write"):
            if self.partly:
                os.write(fd, bytes(data)[: self.partly])
            raise OSError(self.error, os.strerror(self.error))
        return os.write(fd, data)

    def fdatasync(self, fd):
        if self._step("fdatasync"):
            raise OSError(self.error, os.strerror(self.error))
        os.fdatasync(fd)

    def fsync(self, fd):
        if self._step("fsync"):
            raise OSError(self.error, os.strerror(self.error))
        os.fsync(fd)


@pytest.mark.parametrize(
    ("call", "number", "error", "partly", "some"),
    [  # opening writes the format's name and the key record, and syncs once
        ("write", 3, errno.ENOSPC, 0, False),
        ("write", 3, errno.ENOSPC, 50, False),
        ("write", 4, errno.EIO, 0, True),
        ("write", 8, errno.EROFS, 300, True),
        ("fdatasync", 2, errno.EIO, 0, False),
        ("fdatasync", 3, errno.EIO, 0, True),
    ],
)
def test_after_a_failed_write_or_sync_nothing_is_acknowledged_or_retried(tmp_path, call, number, error, partly, some):
    folder = tmp_path / "w0"
    failing = Failing(call, number, error, partly)

    async def go():
        journal = opened(folder, disk=failing.disk)
        acknowledged = []
        for n in range(10):
            waiting = [journal.append(record("finding", n=n, k=k)) for k in range(3)]
            results = await asyncio.gather(*waiting, return_exceptions=True)
            acknowledged += [seq for seq in results if isinstance(seq, int)]
            failed = [one for one in results if not isinstance(one, int)]
            assert all(isinstance(one, JournalPoisoned) and os.strerror(error) in str(one) for one in failed)
        assert journal.poisoned
        assert len(failed) == 3
        journal.note(record())
        await journal.aclose()
        return acknowledged

    acknowledged = asyncio.run(go())
    assert bool(acknowledged) == some
    assert failing.after == 0
    write(folder, [])
    assert verify(folder).ok
    assert set(acknowledged) <= {stored.leaf.seq for stored in read(folder)}


@pytest.mark.parametrize(("call", "number"), [("write", 1), ("write", 2), ("fsync", 1), ("fdatasync", 1)])
def test_a_disk_that_fails_at_the_start_refuses_the_journal_and_lets_go_of_the_slot(tmp_path, call, number):
    with pytest.raises(JournalPoisoned, match="No space"):
        opened(tmp_path / "w0", disk=Failing(call, number, errno.ENOSPC).disk)
    assert write(tmp_path / "w0", [record()])[0] >= 2
    assert verify(tmp_path).ok


def test_a_failed_new_segment_poisons(tmp_path):
    folder = tmp_path / "w0"
    failing = Failing("fsync", 2, errno.ENOSPC)

    async def go():
        journal = opened(folder, disk=failing.disk, segment_bytes=2_000)
        results = [
            await asyncio.gather(journal.append(record("finding", n=n)), return_exceptions=True) for n in range(20)
        ]
        await journal.aclose()
        return [one for (one,) in results if isinstance(one, int)]

    acknowledged = asyncio.run(go())
    assert failing.after == 0
    write(folder, [])
    assert verify(folder).ok
    assert 0 < len(acknowledged) < 20
    assert set(acknowledged) <= {stored.leaf.seq for stored in read(folder)}


def test_short_writes_are_completed(tmp_path):
    folder = tmp_path / "w0"
    sizes = itertools.cycle([1, 7, 100])
    write(
        folder,
        [record("finding", n=n) for n in range(50)],
        disk=Disk(write=lambda fd, d: os.write(fd, d[: next(sizes)])),
    )
    assert verify(folder).slots[0].records == 51


def test_a_write_that_takes_nothing_poisons_instead_of_spinning(tmp_path):
    with pytest.raises(JournalPoisoned):
        opened(tmp_path / "w0", disk=Disk(write=lambda _fd, _d: 0))


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
"""


def test_a_real_file_size_limit_poisons_and_keeps_what_was_acknowledged(tmp_path):
    folder = tmp_path / "w0"
    script = tmp_path / "writer.py"
    script.write_text(LIMITED + WRITER.replace("40_000", "40_000_000"))
    command = [sys.executable, str(script), str(folder), OPENER.seal.public.hex()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "JournalPoisoned" in done.stderr
    assert "File too large" in done.stderr
    acknowledged = {int(line.split()[0]) for line in done.stdout.splitlines()}
    assert acknowledged
    write(folder, [])
    assert verify(folder).ok
    assert acknowledged <= {stored.leaf.seq for stored in read(folder)}
