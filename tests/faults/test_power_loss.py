"""The power fails at any call, in any state of the disk: what was acknowledged is there, and nothing half is taken."""

import asyncio
import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.errors import EvidenceDamaged, JournalPoisoned, SetupError
from firedoor.store import bodies as bodies_module
from firedoor.store import journal as journal_module
from firedoor.store.journal import FileJournal
from firedoor.store.journal_verify import verify
from firedoor.store.segments import SegmentFile

from ..rooms.journals import ANN, BEN, HOUR, Evidence, record  # noqa: TID252
from .disks import Hole, Never, RecordingDisk

SEGMENT = 3000
"""Bytes of a segment, so that a few records fill it."""


class House:
    """A region on a recording disk, and what was acknowledged by its journals."""

    def __init__(self, folder, forgets=lambda _path: False):
        root = folder / "region"
        root.mkdir()
        self.evidence = Evidence(root)
        self.disk = RecordingDisk(root, forgets)
        self.acknowledged = {}
        self.at = 1_000_000 * HOUR

    def live(self, steps, slot="w0", die_at=None):
        """One life of a process: do `steps`, until call `die_at` of the disk."""
        self.disk.die_at = die_at
        asyncio.run(self._live(steps, slot))

    async def _live(self, steps, slot):
        try:
            journal = self.evidence.open(slot, disk=self.disk.disk, segment_bytes=SEGMENT)
        except (JournalPoisoned, SetupError):
            return
        waiting = []
        for step in steps:
            if step == "hour":
                self.at += HOUR
            elif step == "epoch":
                self.evidence.epochs.next()
            elif step == "erased":
                self.evidence.epochs.erased += 1
            else:
                now = [(one, journal.append(one)) for one in map(self._record, step)]
                waiting += now
                await asyncio.wait([future for _, future in now])
        await journal.aclose()
        for one, future in waiting:
            if future.exception() is None:
                assert (slot, future.result()) not in self.acknowledged
                self.acknowledged[slot, future.result()] = one
            else:
                assert isinstance(future.exception(), JournalPoisoned)

    def _record(self, drawn):
        kind, exchange, body, subject, retention, n = drawn
        content = None if body is None else bytes([n % 251]) * body
        return record(kind, f"fx-{exchange}", content, subject, subject, self.at, retention, n=n)

    def check(self):
        """Before and after the next writer: all that was acknowledged, whole; all that is there, readable."""
        self._verify()
        for slot in ("w0", "w1"):
            asyncio.run(self._reopen(slot))
        self._verify()
        for slot in ("w0", "w1"):
            leaves = {leaf.seq: leaf for leaf in self.evidence.leaves(slot)}
            bodies = self.evidence.bodies_in_clear(slot)
            for (where, seq), given_ in self.acknowledged.items():
                if where == slot:
                    assert seq in leaves, f"record {seq} of {slot} was acknowledged and is gone"
                    leaf = leaves[seq]
                    assert (leaf.kind, leaf.exchange, leaf.facts) == (given_.kind, given_.exchange, given_.facts)
                    assert bodies.get(seq) == given_.body

    def _verify(self):
        if self.evidence.journals.is_dir() and any(self.evidence.journals.glob("*/*.journal")):
            assert verify(self.evidence.journals, self.evidence.bodies).damage == []

    async def _reopen(self, slot):
        journal = self.evidence.open(slot, disk=self.disk.disk, segment_bytes=SEGMENT)
        await journal.aclose()


drawn_records = st.lists(
    st.tuples(
        st.sampled_from(["intent", "outcome", "finding", "progress"]),
        st.integers(0, 5),
        st.sampled_from([None, None, 0, 40, 3000, 20_000]),
        st.sampled_from([None, ANN, BEN]),
        st.sampled_from(["support", "search", "operations"]),
        st.integers(0, 10**6),
    ),
    min_size=1,
    max_size=8,
)
lives = st.lists(
    st.tuples(
        st.lists(drawn_records | st.sampled_from(["hour", "epoch", "erased"]), max_size=5),
        st.sampled_from(["w0", "w0", "w1"]),
        st.none() | st.integers(1, 60),
        st.floats(0, 1),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def survive(given_, seed):
    rng = random.Random(seed)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_module, "REFRESH", 0.0)  # epochs change between two records here
        patch.setattr(bodies_module, "OPEN_FILES", 2)
        house = House(Path(folder))
        for steps, slot, die_at, part, power in given_:
            house.disk.part = part
            house.live(steps, slot, die_at)
            if power:
                house.disk.power_loss(rng)
            else:
                house.disk.restart()
        house.disk.power_loss(rng)
        house.check()


@settings(max_examples=40, deadline=None)
@given(lives, st.integers(0, 2**32))
def test_what_was_acknowledged_survives_any_power_cut(given_, seed):
    survive(given_, seed)


@pytest.mark.torture
@settings(max_examples=200 * int(os.environ.get("FIREDOOR_TORTURE_ROUNDS", "20")), deadline=None)
@given(lives, st.integers(0, 2**32))
def test_what_was_acknowledged_survives_many_power_cuts(given_, seed):
    survive(given_, seed)


BATCH = [("intent", 1, 3000, ANN, "support", 1), ("finding", 1, 40, BEN, "search", 2)]
LIFE = [BATCH, "hour", BATCH, "epoch", [("outcome", 1, 40, ANN, "support", 3)], *[BATCH] * 4]


def lose(house, die_at=None, slot="w0"):
    house.live(LIFE, slot, die_at)
    house.disk.power_loss(Never())
    house.check()


def test_the_worst_power_cut_after_every_single_call(tmp_path):
    house = House(tmp_path)
    house.live(LIFE)
    calls = house.disk.calls
    assert calls > 60
    assert len(house.acknowledged) == 13
    for die_at in range(1, calls + 1):
        with TemporaryDirectory(dir=tmp_path) as folder:
            lose(House(Path(folder)), die_at)


@pytest.mark.parametrize("part", ["bodies", "keys", "journal"])
@pytest.mark.parametrize("kind", ["files", "folders"])
def test_a_sync_that_only_pretends_is_found_out(tmp_path, part, kind):
    """The test above has teeth: whichever sync is left out, something acknowledged is lost."""
    house = House(tmp_path, lambda path: part in path.parts and path.is_dir() == (kind == "folders"))
    with pytest.raises((AssertionError, EvidenceDamaged, FileNotFoundError)):
        lose(house)


def leaves_first(self, batch):
    """A writer that puts leaves on the disk before bodies and keys."""
    later = [entry._replace(cells=(), written=entry.written._replace(body=None)) for entry in batch]
    write(self, later)
    if self._failure is None:
        write(self, [entry._replace(begins=False, written=entry.written._replace(frame=b"")) for entry in batch])


write = FileJournal._write


def test_leaves_before_bodies_are_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(FileJournal, "_write", leaves_first)
    house = House(tmp_path)
    house.live(LIFE)
    found = 0
    for die_at in range(1, house.disk.calls):
        with TemporaryDirectory(dir=tmp_path) as folder:
            try:
                lose(House(Path(folder)), die_at)
            except (AssertionError, EvidenceDamaged):
                found += 1
    assert found > 3


def resume_without_sync(self, path, length):
    self._descriptor = self._disk.open(path, os.O_WRONLY | os.O_APPEND)


def survives(folder, block):
    """A process is killed before it has synced its last write, the next one writes, and a block of the disk is lost."""
    folder.mkdir()
    house = House(folder)
    house.live([BATCH])
    house.disk.restart()
    before = len(house.disk.log)
    house.live([])
    opening = len(house.disk.log) - before
    house.disk.restart()
    house.disk.part = 1.0
    house.live([[("finding", n, None, None, "support", n) for n in range(8)]], die_at=opening + 1)
    house.disk.restart()
    house.live([], die_at=opening)  # its first record is written, and not yet synced
    house.disk.power_loss(Hole(block))
    try:
        house.check()
    except (AssertionError, EvidenceDamaged):
        return False
    return True


def test_what_a_killed_process_had_not_synced_is_synced_before_the_next_one_writes(tmp_path, monkeypatch):
    """Else the mark of the next write would make a hole in the last one look like damage of what had been synced."""
    assert all(survives(tmp_path / f"with{block}", block) for block in range(10))
    monkeypatch.setattr(SegmentFile, "resume", resume_without_sync)
    assert not all(survives(tmp_path / f"without{block}", block) for block in range(10))


def test_a_folder_that_another_process_made_is_not_taken_for_durable(tmp_path):
    one = [[("finding", 0, 40, None, "support", 1)]]
    house = House(tmp_path)
    house.live(one)
    made = [n for n, (call, path) in enumerate(house.disk.log, 1) if call == "make" and "bodies" in path.parts]
    for die_at in range(made[-2], made[-1] + 3):
        with TemporaryDirectory(dir=tmp_path) as folder:
            house = House(Path(folder))
            house.live(one, die_at=die_at)
            house.disk.restart()
            house.live(one, "w1")
            assert len(house.acknowledged) == 1
            house.disk.power_loss(Never())
            house.check()
