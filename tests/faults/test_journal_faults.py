"""A table of disasters: the process dies, the disk fails, somebody changes bytes. Nothing acknowledged is lost unseen."""

import asyncio
import errno
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.bench.evidence_kills import Kills, kill
from firedoor.errors import EvidenceDamaged, JournalPoisoned, LogRefused, SetupError
from firedoor.store.journal_verify import verify
from firedoor.store.segments import Disk
from firedoor.store.slotlog import HostLogs

from ..rooms.journals import ANN, BEN, HOUR, Evidence, chained, record, rewrite  # noqa: TID252
from ..rooms.logs import signer  # noqa: TID252
from .disks import Failing, flipped

WRITER = """
import asyncio, sys, time
from pathlib import Path
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.subjects import EpochPublic
from firedoor.store.journal import Places, open_journal

class Epochs:
    def current(self):
        return EpochPublic("eu", 1, bytes.fromhex(sys.argv[2])), 0

async def main():
    root = Path(sys.argv[1])
    places = Places(root / "journal" / "w0", root / "bodies", root / "keys" / "subjects")
    journal = open_journal(places, region="eu", slot="w0", epochs=Epochs(), clock_ns=time.time_ns, segment_bytes=40_000)
    async def exchanges(name):
        for n in range(100_000):
            for kind in ("intent", "outcome"):
                exchange = f"fx-{name}-{n}"
                seq = await journal.append(Record(kind=kind, exchange=exchange, at=time.time_ns(), retention="support",
                                                  facts={"outcome": "answered"}, body=b"b" * 200,
                                                  subject=f"{n % 7:032x}", session=f"{n % 7:032x}"))
                print(seq, kind, exchange, flush=True)
    await asyncio.gather(*(exchanges(name) for name in range(20)))

asyncio.run(main())
"""


@pytest.fixture
def region(tmp_path):
    return Evidence(tmp_path / "region")


def command(region, script):
    return [sys.executable, str(script), str(region.root), region.epochs.current()[0].public.hex()]


def test_kill_9_loses_nothing_acknowledged(region, tmp_path):
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    rng = random.Random(7)
    acknowledged = {}
    for _ in range(6):
        child = subprocess.Popen(command(region, script), stdout=subprocess.PIPE, text=True)
        lines = list(itertools.islice(child.stdout, rng.randrange(1, 800)))
        child.send_signal(signal.SIGKILL)
        lines += [line for line in child.stdout.readlines() if line.endswith("\n")]
        child.wait()
        for line in lines:
            seq, kind, exchange = line.split()
            assert int(seq) not in acknowledged
            acknowledged[int(seq)] = (kind, exchange)
        assert region.damage() == []
    assert len(acknowledged) > 500
    assert len(region.segments()) > 3

    region.write([])
    found = {leaf.seq: (leaf.kind, leaf.exchange) for leaf in region.leaves()}
    assert {seq: found.get(seq) for seq in acknowledged} == acknowledged
    report = region.verify()
    assert (report.damage, report.open) == ([], 0)
    assert report.unknown > 0
    bodies = region.bodies_in_clear()
    assert acknowledged.keys() <= bodies.keys()
    assert set(bodies.values()) == {b"b" * 200}


@pytest.mark.torture
def test_kill_9_again_and_again_loses_nothing_acknowledged():
    kills = kill(10 * int(os.environ.get("FIREDOOR_TORTURE_ROUNDS", "20")), print)
    assert kills == Kills(times=kills.times, acknowledged=kills.acknowledged)
    assert kills.acknowledged > 10 * kills.times


def test_a_tail_torn_at_any_byte_is_cut_back(region):
    region.write([record("intent", body=b"question"), record("outcome", body=b"answer")])
    (path,) = region.segments()
    whole = path.read_bytes()
    last = region.read()[-1].offset
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        report = region.verify()
        assert (report.damage, report.records, report.torn, report.open) == ([], 2, cut - last, 1)
        region.write([])
        report = region.verify()
        assert (report.damage, report.records, report.torn, report.unknown) == ([], 4, 0, 1)


@pytest.mark.parametrize("zeros", [1, 11, 12, 4096, 2_000_000, 5_000_000])
def test_zeros_after_a_power_cut_are_cut_back(region, zeros):
    region.write([record("intent"), record("outcome")])
    with region.segments()[0].open("ab") as file:
        file.write(bytes(zeros))
    assert region.verify().torn == zeros
    assert region.write([record()]) == [5]
    assert region.verify().torn == 0


def test_a_flipped_bit_in_any_byte_of_a_frame_is_named(region):
    region.write([record("intent"), record("finding", body=b"content"), record("outcome")])
    (path,) = region.segments()
    whole = path.read_bytes()
    offsets = [*(stored.offset for stored in region.read()), len(whole)]
    rng = random.Random(3)
    for number in (2, 3):
        for place in range(offsets[number], offsets[number + 1]):
            path.write_bytes(whole)
            flipped(path, 8 * place + rng.randrange(8))
            content = path.read_bytes()
            [damage] = region.damage()
            assert (damage.file, damage.record) == (f"w0/{path.name}", number + 1)
            with pytest.raises(EvidenceDamaged, match=path.name):
                region.open()
            with pytest.raises(EvidenceDamaged, match=path.name):
                region.read()
            assert path.read_bytes() == content  # refused, not repaired


def test_a_flipped_bit_in_the_name_of_the_format_is_named(region):
    region.write([record()])
    (path,) = region.segments()
    for bit in range(19 * 8):
        flipped(path, bit)
        assert region.damage()[0].record == 1
        flipped(path, bit)
    assert region.damage() == []


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Segments, bodies and keys of two hours and two classes."""
    region = Evidence(tmp_path_factory.mktemp("large"))
    given_ = [
        record("intent", f"fx-{n}", b"%d" % n * n, (ANN, BEN)[n % 2], at=500_000 * HOUR + n % 2 * HOUR, n=n)
        for n in range(40)
    ]
    for part in (given_[:15], given_[15:30], given_[30:]):
        region.write(part, segment_bytes=5_000)
    assert len(region.segments()) > 4
    return region


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_told(large, data):
    """In a journal, a body file or a key file: verifying, or opening what it belongs to, says so."""
    files = [path for path in sorted(large.root.rglob("*")) if path.is_file() and path.name != "lock"]
    path = data.draw(st.sampled_from(files))
    bit = data.draw(st.integers(0, 8 * path.stat().st_size - 1))
    flipped(path, bit)
    try:
        if path.suffix == ".cells":
            with pytest.raises(EvidenceDamaged, match=r"key cell|was erased"):
                large.bodies_in_clear()
        else:
            [damage] = large.damage()
            name = path.relative_to(large.journals if path.suffix == ".journal" else large.root)
            assert damage.file == str(name)
    finally:
        flipped(path, bit)
    assert large.damage() == []


class TestSegments:
    """Whole files that were copied, swapped, cut or lost."""

    @pytest.fixture
    def paths(self, region):
        region.write([record("finding", n=n) for n in range(80)], segment_bytes=4_000)
        assert len(region.segments()) > 4
        return region.segments()

    def named(self, region):
        [damage] = region.damage()
        return damage.file, damage.problem

    def test_a_lost_one_is_named(self, region, paths):
        paths[1].unlink()
        file, problem = self.named(region)
        assert file == f"w0/{paths[2].name}"
        assert f"Record {int(paths[1].stem)} is missing" in problem

    def test_a_copy_under_another_name_is_named(self, region, paths):
        paths[2].write_bytes(paths[1].read_bytes())
        assert self.named(region)[0] == f"w0/{paths[2].name}"
        extra = region.slot / f"{10**19:020d}.journal"
        extra.write_bytes(paths[1].read_bytes())
        with pytest.raises(EvidenceDamaged):
            region.open()

    def test_two_that_were_swapped_are_named(self, region, paths):
        first, second = paths[1].read_bytes(), paths[2].read_bytes()
        paths[1].write_bytes(second)
        paths[2].write_bytes(first)
        assert self.named(region)[0] == f"w0/{paths[1].name}"

    @pytest.mark.parametrize("within", [True, False])
    def test_an_older_one_cut_short_is_named(self, region, paths, within):
        in_second = [stored for stored in region.read() if stored.segment == paths[1].name]
        with paths[1].open("r+b") as file:
            file.truncate(in_second[-1].offset + (5 if within else 0))
        file, problem = self.named(region)
        assert file == f"w0/{paths[1 if within else 2].name}"
        assert "within a frame" in problem or f"Record {in_second[-1].leaf.seq} is missing" in problem

    def test_another_slots_segments_do_not_belong(self, region, paths):
        region.write([record("finding", n=n) for n in range(80)], segment_bytes=4_000, slot="w1")
        paths[1].write_bytes(region.segments("w1")[1].read_bytes())
        assert "belongs to eu/w1" in self.named(region)[1]

    def test_what_was_cut_off_at_a_frames_end_is_only_known_from_the_signed_log(self, region, paths):
        logs = HostLogs(region.journals, region.root / "log")
        log = logs.open("w0", signer())
        while log.read_new(1000):
            pass
        log.publish()
        log.close()
        size = region.verify().records
        last = region.read()[-1]
        with paths[-1].open("r+b") as file:
            file.truncate(last.offset)
        report = region.verify()
        assert (report.damage, report.records, report.torn) == ([], size - 1, 0)  # the chain alone cannot tell
        with pytest.raises(LogRefused, match=f"ends before record {size}") as refused:
            logs.open("w0", signer())
        assert refused.value.reason == "journal_short"
        region.write([record()])  # records in the place of the lost ones
        assert region.verify().records > size
        with pytest.raises(LogRefused, match=f"Record {size} of slot w0") as refused:
            logs.open("w0", signer())
        assert refused.value.reason == "journal_differs"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: [*f[:2], f[2].replace(b"answered", b"anuwered"), *f[3:]], "one was changed"),
        (lambda f: [*f[:2], *f[3:]], "Record 3 is missing"),
        (lambda f: [*f[:2], f[3], f[2], *f[4:]], "Record 3 is missing"),
        (lambda f: [*f[:2], f[2], f[2], *f[3:]], "Record 4 is missing"),
        (lambda f: f[1:], "Record 1 is missing"),
        (lambda f: chained([*f[:2], f[2].replace(b'"offset":0', b'"offset":9'), *f[3:]]), "body of record 3"),
        (lambda f: chained([*f[:2], f[2].replace(b'"length":49', b'"length":50'), *f[3:]]), "body of record 3"),
        (lambda f: [*f[:2], b"{}", *f[3:]], "expected shape"),
    ],
)
def test_somebody_who_rewrites_records_with_right_checksums_is_found_out(region, change, problem):
    region.write(
        [
            record("intent"),
            record("outcome", outcome="answered", body=b"the first"),
            record("finding", body=b"the other"),
            record("intent", "fx-2"),
        ]
    )
    assert region.damage() == []
    rewrite(region.segments()[0], change)
    assert problem in region.damage()[0].problem


def test_bodies_swapped_between_slots_do_not_open(region):
    for slot in ("w0", "w1"):
        region.write([record(body=b"the same text", subject=ANN, at=500_000 * HOUR)], slot=slot)
    one, other = region.body_files()
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert [damage.record for damage in region.damage()] == [2, 2]
    with pytest.raises(EvidenceDamaged, match="is not the one its leaf names"):
        region.bodies_in_clear()


FAULTS = [
    # of the calls that a journal makes once it is open; `some`: whether anything was acknowledged before
    ("write", 1, errno.ENOSPC, 0, "journal", False),
    ("write", 1, errno.ENOSPC, 50, "journal", False),
    ("write", 4, errno.EIO, 0, "journal", True),
    ("write", 6, errno.EROFS, 300, "journal", True),
    ("write", 1, errno.ENOSPC, 0, "bodies", False),
    ("write", 3, errno.ENOSPC, 70, "bodies", True),
    ("write", 1, errno.ENOSPC, 100, "keys", False),
    ("fdatasync", 1, errno.EIO, 0, "journal", False),
    ("fdatasync", 3, errno.EIO, 0, "journal", True),
    ("fdatasync", 1, errno.EIO, 0, "bodies", False),
    ("fdatasync", 3, errno.EIO, 0, "bodies", True),
    ("fdatasync", 1, errno.EIO, 0, "keys", False),
    ("open", 1, errno.EMFILE, 0, "bodies", False),
    ("open", 2, errno.EACCES, 0, "bodies", True),
    ("open", 2, errno.EROFS, 0, "bodies", True),
    ("make", 1, errno.EROFS, 0, "bodies", False),
    ("make", 2, errno.ENOSPC, 0, "bodies", False),
    ("sync_folder", 2, errno.EIO, 0, "bodies", False),
]


@pytest.mark.parametrize(("call", "number", "error", "partly", "where", "some"), FAULTS)
def test_after_a_failure_nothing_is_acknowledged_or_retried(region, call, number, error, partly, where, some):
    failing = Failing(call, number, error, partly, lambda path: armed and where in path.parts)
    armed = []

    async def go():
        journal = region.open(disk=failing.disk)
        armed.append(True)
        acknowledged = {}
        for n in range(10):
            given_ = [
                record("finding", body=b"%d" % n, subject=ANN, at=500_000 * HOUR + n * HOUR, n=n) for _ in range(3)
            ]
            results = await asyncio.gather(*map(journal.append, given_), return_exceptions=True)
            acknowledged |= {seq: n for seq in results if isinstance(seq, int)}
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
    assert region.damage() == []
    region.write([])
    assert region.damage() == []
    bodies = region.bodies_in_clear()
    assert {seq: bodies.get(seq) for seq in acknowledged} == {seq: b"%d" % n for seq, n in acknowledged.items()}


@pytest.mark.parametrize(
    ("call", "number", "kind"),
    [
        ("make", 1, SetupError),
        ("make", 2, SetupError),
        ("make", 3, JournalPoisoned),
        ("make", 4, JournalPoisoned),
        ("sync_folder", 2, SetupError),
        ("sync_folder", 4, JournalPoisoned),
        ("sync_folder", 5, JournalPoisoned),
        ("sync_folder", 6, JournalPoisoned),
        ("open", 1, JournalPoisoned),
        ("open", 2, JournalPoisoned),
        ("write", 1, JournalPoisoned),
        ("write", 2, JournalPoisoned),
        ("fsync", 1, JournalPoisoned),
        ("fsync", 2, JournalPoisoned),
        ("fdatasync", 1, JournalPoisoned),
    ],
)
def test_a_disk_that_fails_at_the_start_refuses_the_journal_and_lets_go_of_the_slot(region, call, number, kind):
    for error in (errno.ENOSPC, errno.EROFS):
        failing = Failing(call, number, error)
        with pytest.raises(kind, match=os.strerror(error)):
            region.open(disk=failing.disk)
        assert failing.count == number
        shutil.rmtree(region.journals, ignore_errors=True)
    assert region.write([record()])[0] >= 2
    assert region.damage() == []


@pytest.mark.parametrize("call", ["truncate", "fsync", "unlink", "sync_folder", "open", "write", "fdatasync"])
def test_a_disk_that_fails_at_recovery_loses_nothing(region, call):
    region.write([record("intent"), *(record("finding", n=n) for n in range(30))], segment_bytes=4_000)
    newest = region.segments()[-1]
    content = newest.read_bytes()
    if call in ("unlink", "sync_folder"):
        newest.write_bytes(content[:50])  # not even its head
    else:
        newest.write_bytes(content[:-3])
    failing = Failing(call, 1, errno.EIO, when=lambda path: newest.parent in (path, path.parent))
    with pytest.raises((JournalPoisoned, SetupError), match="Input/output"):
        region.open(disk=failing.disk)
    assert failing.after == 0
    region.write([])
    report = region.verify()
    assert (report.damage, report.torn, report.unknown) == ([], 0, 1)


def test_a_failed_new_segment_poisons(region):
    failing = Failing("fsync", 2, errno.ENOSPC, when=lambda path: path.suffix == ".journal")

    async def go():
        journal = region.open(disk=failing.disk, segment_bytes=2_000)
        results = [
            await asyncio.gather(journal.append(record("finding", n=n)), return_exceptions=True) for n in range(20)
        ]
        await journal.aclose()
        return [one for (one,) in results if isinstance(one, int)]

    acknowledged = asyncio.run(go())
    assert failing.after == 0
    region.write([])
    assert region.damage() == []
    assert 0 < len(acknowledged) < 20
    assert set(acknowledged) <= {leaf.seq for leaf in region.leaves()}


def test_short_writes_are_completed(region):
    sizes = itertools.cycle([1, 7, 100])
    disk = Disk(write=lambda fd, data: os.write(fd, data[: next(sizes)]))
    region.write([record("finding", body=b"%d" % n, subject=ANN, n=n) for n in range(50)], disk=disk)
    report = region.verify()
    assert (report.damage, report.records, report.bodies) == ([], 51, 50)
    assert list(region.bodies_in_clear().values()) == [b"%d" % n for n in range(50)]


def test_a_write_that_takes_nothing_poisons_instead_of_spinning(region):
    with pytest.raises(JournalPoisoned):
        region.open(disk=Disk(write=lambda _fd, _data: 0))


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
"""


def test_a_real_file_size_limit_poisons_and_keeps_what_was_acknowledged(region, tmp_path):
    script = tmp_path / "writer.py"
    script.write_text(LIMITED + WRITER.replace("40_000", "40_000_000"))
    done = subprocess.run(command(region, script), capture_output=True, text=True, timeout=60, check=False)
    assert "JournalPoisoned" in done.stderr
    assert "File too large" in done.stderr
    acknowledged = {int(line.split()[0]) for line in done.stdout.splitlines()}
    assert acknowledged
    region.write([])
    assert verify(region.journals, region.bodies).ok
    assert acknowledged <= region.bodies_in_clear().keys()
