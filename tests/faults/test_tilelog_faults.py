"""What can happen to a published log: bytes change, files move, the disk fails or fills, the process dies in between."""

import base64
import errno
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.evidence.checkpoint import Checkpoint
from firedoor.core.evidence.tree import Frontier, leaf_hash, verify_consistency
from firedoor.errors import EvidenceDamaged, JournalPoisoned, LogRefused
from firedoor.store.segments import Disk
from firedoor.store.tilelog import check, open_log, repair

from ..rooms.logs import ORIGIN, entries, log_of, signer  # noqa: TID252  # tests are no installed package

SIZES = {"small": 256 * 3 + 9, "large": 256 * 257 + 9}
"""The small log has two levels of tiles, the large one three, and full ones on two."""
EDGES = [
    ("small", "tile/entries/003.p/9"),
    ("small", "tile/0/003.p/9"),
    ("small", "tile/1/000.p/3"),
    ("large", "tile/1/001.p/1"),
    ("large", "tile/2/000.p/1"),
]
FULL = [
    ("small", "tile/entries/000"),
    ("small", "tile/entries/002"),
    ("small", "tile/0/000"),
    ("small", "tile/0/002"),
    ("large", "tile/1/000"),
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    base = tmp_path_factory.mktemp("whole")
    return {name: log_of(base / name, size - 5, size) for name, size in SIZES.items()}


@pytest.fixture
def copy(logs, tmp_path):
    """Copies a log; its files are links: a test replaces a file, it never writes into one."""

    def make(name):
        shutil.copytree(logs[name], tmp_path / "w0", copy_function=os.link)
        return tmp_path / "w0"

    return make


def put(path, data):
    path.unlink()
    path.write_bytes(data)


def named(folder):
    return sorted(damage.file for damage in check(folder, signer()))


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("log", SIZES)
def test_the_log_is_whole(copy, log):
    assert named(copy(log)) == []


@pytest.mark.parametrize(("log", "name"), [*EDGES, *FULL])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_flipped_bit_is_named(copy, log, name, place):
    folder = copy(log)
    data = (folder / name).read_bytes()
    put(folder / name, flipped(data, int(place * (8 * len(data) - 1))))
    assert named(folder) == [name]


@pytest.mark.parametrize(("log", "name"), [*EDGES, *FULL])
def test_a_log_is_opened_only_if_its_end_is_whole_and_repaired(copy, log, name):
    folder = copy(log)
    put(folder / name, flipped((folder / name).read_bytes(), 100))
    if (log, name) in EDGES:
        with pytest.raises(LogRefused, match=name) as refused:
            open_log(folder, signer())
        assert refused.value.reason == "log_damaged"
    else:
        open_log(folder, signer()).close()
    assert repair(folder, signer(), entries(0, SIZES[log])) == folder / "tile.damaged-1"
    assert named(folder) == []
    open_log(folder, signer()).close()


@pytest.mark.parametrize(("log", "name"), [*EDGES, *FULL])
@pytest.mark.parametrize("cut", ["missing", "empty", "short", "long", "folder"])
def test_a_file_that_is_missing_or_of_another_length_is_named(copy, log, name, cut):
    folder = copy(log)
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    if cut == "folder":
        (folder / name).mkdir()
    elif cut != "missing":
        (folder / name).write_bytes({"empty": b"", "short": data[:-1], "long": data + b"\0"}[cut])
    assert named(folder) == [name]


@pytest.mark.parametrize(
    ("log", "one", "other"),
    [
        ("small", "tile/entries/000", "tile/entries/001"),
        ("small", "tile/0/000", "tile/0/002"),
        ("large", "tile/1/001.p/1", "tile/2/000.p/1"),
        ("large", "tile/0/003", "tile/1/000"),
    ],
)
def test_swapped_and_duplicated_files_are_named(copy, log, one, other):
    folder = copy(log)
    first, second = (folder / one).read_bytes(), (folder / other).read_bytes()
    put(folder / one, second)
    assert named(folder) == [one]
    put(folder / other, first)
    assert named(folder) == sorted((one, other))


def test_tiles_swapped_with_their_bundles_are_named(copy):
    folder = copy("large")
    for kind in ("tile/0", "tile/entries"):
        (folder / kind / "004").rename(folder / kind / "x")
        (folder / kind / "009").rename(folder / kind / "004")
        (folder / kind / "x").rename(folder / kind / "009")
    assert named(folder) == ["tile/0/004", "tile/0/009", "tile/entries/004", "tile/entries/009"]


def test_several_faults_at_once_are_all_named(copy):
    folder = copy("large")
    faults = ("tile/entries/007", "tile/0/031", "tile/1/000", "tile/2/000.p/1", "tile/0/257.p/9")
    for name in faults:
        put(folder / name, flipped((folder / name).read_bytes(), 77))
    assert named(folder) == sorted(faults)


def test_a_bundle_and_its_tile_rewritten_together_are_named(copy):
    folder = copy("small")
    other = log_of(folder.parent / "other", 256)
    bundle = (other / "tile/entries/000").read_bytes().replace(b'"entry"', b'"ENTRY"')
    put(folder / "tile/entries/002", bundle)
    put(folder / "tile/0/002", b"".join(leaf_hash(leaf.replace(b'"entry"', b'"ENTRY"')) for leaf in entries(0, 256)))
    assert named(folder) == ["tile/0/002", "tile/entries/002"]


def test_an_older_partial_file_is_looked_at_too(copy):
    folder = copy("small")
    for name in ("tile/entries/003.p/4", "tile/0/003.p/4"):
        data = (folder / name).read_bytes()
        put(folder / name, flipped(data, 9))
        assert named(folder) == [name]
        put(folder / name, data)
    assert named(folder) == []


def test_a_whole_history_rewritten_under_the_old_checkpoint_is_refused(copy, tmp_path):
    folder, size = copy("small"), SIZES["small"]
    log = open_log(tmp_path / "rewritten", signer())
    log.append([b"rewritten", *entries(1, size)])
    log.publish()
    log.close()
    (folder / "tile").rename(tmp_path / "old")
    (tmp_path / "rewritten/tile").rename(folder / "tile")
    assert named(folder) == ["checkpoint"]
    with pytest.raises(LogRefused) as refused:
        open_log(folder, signer())
    assert refused.value.reason == "log_damaged"
    with pytest.raises(EvidenceDamaged, match="was changed"):
        repair(folder, signer(), [b"rewritten", *entries(1, size)])


def test_every_byte_of_the_checkpoint(tmp_path):
    folder = log_of(tmp_path / "w0", 300, keys=signer(keys=2))
    note = (folder / "checkpoint").read_bytes()
    keys = signer(keys=2)
    for at in range(len(note)):
        put(folder / "checkpoint", flipped(note, 8 * at + at % 8))
        assert [damage.file for damage in check(folder, keys)] == ["checkpoint"], at
        with pytest.raises(LogRefused) as refused:
            open_log(folder, keys)
        assert refused.value.reason == "checkpoint_damaged"
    for wrong in (b"", note[:-1], note * 2, note[: len(note) // 2], b"x" * 600_000):
        put(folder / "checkpoint", wrong)
        assert [damage.file for damage in check(folder, keys)] == ["checkpoint"]
        with pytest.raises(LogRefused):
            open_log(folder, keys)
    (folder / "checkpoint").unlink()
    assert [damage.file for damage in check(folder, keys)] == ["checkpoint"]
    with pytest.raises(LogRefused, match="checkpoint is missing"):
        open_log(folder, keys)
    (folder / "checkpoint").write_bytes(note)
    (folder / "cosigned").write_bytes(flipped(note, 80))
    assert [damage.file for damage in check(folder, keys)] == ["cosigned"]


def test_an_older_checkpoint_put_back_shows_an_older_tree_that_is_true(tmp_path):
    folder = log_of(tmp_path / "w0", 200)
    old = (folder / "checkpoint").read_bytes()
    log_of(folder, 230)
    put(folder / "checkpoint", old)
    log = open_log(folder, signer())
    log.append(entries(200, 230))
    log.publish()
    log.close()
    assert named(folder) == []


# The disk fails, or the process dies


class Failing:
    """System calls of which one, counted from 0, fails. `kind`: how."""

    def __init__(self, at, kind):
        self.left = at
        self.kind = kind
        self.failed = False

    def disk(self):
        return Disk(write=self.write, fdatasync=self.sync, fsync=self.sync, sync_folder=self.sync_folder)

    def _now(self):
        self.left -= 1
        if self.left == -1:
            self.failed = True
        return self.failed

    def write(self, descriptor, data):
        if not self._now():
            return os.write(descriptor, data)
        if self.kind == "short":
            self.failed = False  # a short write is no failure: the rest is written by the next call
            return os.write(descriptor, bytes(data[: len(data) // 2])) if len(data) > 1 else os.write(descriptor, data)
        if self.kind == "lie":
            os.write(descriptor, bytes(len(data)))
            return len(data)
        if self.kind == "torn":
            os.write(descriptor, bytes(data[: len(data) // 2]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self, descriptor):
        if self._now():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(descriptor)

    def sync_folder(self, folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)


def root_of(leaves):
    frontier = Frontier()
    frontier.extend(map(leaf_hash, leaves))
    return frontier.root()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40),
    st.sampled_from(["refused", "torn", "short", "lie"]),
    st.integers(0, 300),
    st.integers(1, 560),
)
def test_a_failure_at_any_call_leaves_a_true_log_to_go_on_from(tmp_path_factory, at, kind, first, more):
    folder = log_of(tmp_path_factory.mktemp("log") / "w0", first)
    before = (folder / "checkpoint").read_bytes()
    failing = Failing(at, kind)
    log = open_log(folder, signer(), failing.disk())
    try:
        log.append(entries(first, first + more // 2))
        log.append(entries(first + more // 2, first + more))
        log.publish()
        published = True
    except JournalPoisoned:
        published = False
        for call in (lambda: log.append([b"x"]), log.publish, lambda: log.cosign(before)):
            with pytest.raises(JournalPoisoned):
                call()
    log.close()
    assert failing.failed == (not published)

    assert check(folder, signer()) == []
    again = open_log(folder, signer())
    if published:
        assert again.size == first + more
    elif kind != "refused":
        assert again.size in (first, first + more)
    else:
        assert again.size == first or (folder / "checkpoint").read_bytes() != before
    old = again.checkpoint
    assert old == Checkpoint(ORIGIN, again.size, root_of(entries(0, again.size)))
    again.append(entries(again.size, first + more + 3))
    again.publish()
    verify_consistency(old.size, old.root, again.size, again.checkpoint.root, again.reader().consistency(old.size))
    assert list(again.reader().entries()) == entries(0, first + more + 3)
    again.close()
    assert check(folder, signer()) == []


@pytest.mark.parametrize("at", range(6))
def test_a_failure_while_a_log_begins(tmp_path, at):
    failing = Failing(at, "refused")
    with pytest.raises(JournalPoisoned):
        open_log(tmp_path / "w0", signer(), failing.disk())
    log = open_log(tmp_path / "w0", signer())
    assert log.size == 0
    log.close()
    assert check(tmp_path / "w0", signer()) == []


@pytest.mark.parametrize("at", range(0, 30, 3))
def test_a_failure_while_repairing_leaves_the_log_as_it_was_or_whole(tmp_path, at):
    folder = log_of(tmp_path / "w0", 520)
    put(folder / "tile/0/001", bytes(8192))
    try:
        repair(folder, signer(), entries(0, 520), Failing(at, "refused").disk())
    except OSError:
        assert named(folder) in ([], ["tile/0/001"])
    assert repair(folder, signer(), entries(0, 520)) is not None
    assert named(folder) == []


WRITER = """
import base64, sys
from pathlib import Path
from firedoor.agent.logsigner import LogSigner
from firedoor.core.evidence.note import NoteSeeds, log_signers
from firedoor.store.tilelog import open_log

seeds = NoteSeeds(bytes(range(32)), bytes(range(32, 64)))
log = open_log(Path(sys.argv[1]), LogSigner(log_signers(sys.argv[2], seeds)[:1], lambda: 0))
while True:
    log.append([b'{"entry":%d}' % n + bytes(n % 7) for n in range(log.size, log.size + 90)])
    print(base64.b64encode(log.publish()).decode(), flush=True)
"""


def test_kill_9_leaves_every_checkpoint_that_was_seen_true(tmp_path):
    folder, rng, last = tmp_path / "w0", random.Random(5), None
    for _ in range(8):
        command = [sys.executable, "-c", WRITER, str(folder), ORIGIN]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = list(itertools.islice(child.stdout, rng.randrange(1, 12)))
        time.sleep(rng.random() / 200)  # anywhere within a publication
        child.send_signal(signal.SIGKILL)
        lines += [line for line in child.stdout.readlines() if line.endswith("\n")]
        child.wait()
        seen = [signer().open(base64.b64decode(line)) for line in lines]
        assert check(folder, signer()) == []
        log = open_log(folder, signer())
        assert log.checkpoint.root == root_of(entries(0, log.size))
        for one in ([last] if last else []) + seen:
            proof = log.reader().consistency(one.size)
            verify_consistency(one.size, one.root, log.size, log.checkpoint.root, proof)
        last = log.checkpoint
        log.close()
    assert last.size > 2000


def test_a_full_disk_is_no_reason_to_forget(tmp_path):
    folder = log_of(tmp_path / "w0", 100)
    failing = Failing(0, "refused")
    log = open_log(folder, signer(), failing.disk())
    log.append(entries(100, 120))
    with pytest.raises(JournalPoisoned, match="No space left"):
        log.publish()
    log.close()
    log_of(folder, 120)
    assert named(folder) == []
