"""Journals and key cells for tests of the index, written by the parts that write them in earnest, but without syncs."""

import os
from pathlib import Path

from firedoor.core.evidence.chain import OpenExchanges
from firedoor.core.evidence.leaf import GENESIS
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.scribe import Scribe
from firedoor.core.evidence.subjects import RANDOM_BYTES, EpochPrivate, mint
from firedoor.store.files import write_all
from firedoor.store.index import IndexPlace
from firedoor.store.journal_slots import JournalSlots
from firedoor.store.segments import Disk, SegmentFile, segment_path

EPOCH = EpochPrivate("eu", 1, bytes(range(32)))
PLACE = {"shop": "alpenladen", "surface": "support", "model": "eu-chat", "jurisdiction": "DE"}
FACTS = {**PLACE, "credential": "c-1", "plan": "0123456789abcdef", "switches": 1}
SECOND = 1_000_000
NO_SYNC = Disk(fdatasync=lambda _: None, fsync=lambda _: None)


def lookup(number):
    """The look-up pseudonym of an invented shopper."""
    return f"{number:032x}"


class Region:
    """The folders of a region, and its index in `where` (else a SQLite file)."""

    def __init__(self, folder: Path, where=None):
        self.folder = folder
        self.journals = folder / "journal"
        self.subjects = folder / "subjects"
        self.where = where or folder / "state.sqlite"
        self.journals.mkdir(parents=True)
        self.subjects.mkdir()
        self.writers = {}

    @property
    def place(self):
        return IndexPlace(self.where, "eu", subjects=self.subjects, request=self.folder / "rebuild-index")

    @property
    def slots(self):
        return JournalSlots(self.journals)

    def slot(self, name="w0", region="eu"):
        if name not in self.writers:
            self.writers[name] = Writer(self.journals / name, self.subjects, name, region)
        return self.writers[name]


class Writer:
    """The one writer of a slot. Times are whole seconds, starting with 1,000."""

    def __init__(self, folder, subjects, slot, region="eu"):
        folder.mkdir(exist_ok=True)
        self.slot = slot
        self.folder = folder
        self.cells = subjects / "1" / f"{slot}.cells"
        self.cells.parent.mkdir(exist_ok=True)
        self.scribe = Scribe(region, slot, 0, GENESIS, OpenExchanges())
        self.keys = {}
        self._file = SegmentFile(folder, NO_SYNC)
        self._file.begin(1)
        self._append(self.scribe.begin(10**9, carry=True))

    def write(self, kind, exchange="fx-1", at=1000, subject=None, session=None, facts=None, **more):
        """One leaf; its sequence number. `subject` is the number of an invented shopper."""
        key = None
        if subject is not None:
            key = self.keys.get(subject) or self.new_key(subject)
        record = Record(
            kind=kind, exchange=exchange, at=int(at * 1e9), facts={**(FACTS if facts is None else facts), **more},
            subject=None if subject is None else lookup(subject), session=session,
        )  # fmt: skip
        written = self.scribe.write(record, key, b"")
        self._append([written])
        return written.seq

    def whole(self, exchange, at=1000, took=1, outcome="answered", subject=None, **more):
        """An exchange with its intent and outcome."""
        session = None if subject is None else lookup(subject + 10**6)
        self.write("intent", exchange, at, subject, session, **more)
        self.write("outcome", exchange, at + took, subject, session, outcome=outcome, reason=None, **more)

    def new_key(self, subject, *, cell=True):
        """A key of a shopper; with its cell, as a worker would write it first."""
        made, key = mint(EPOCH.public, lookup(subject), 10**18, os.urandom(RANDOM_BYTES))
        self.keys[subject] = key
        if cell:
            self.add_cell(made)
        return key

    def add_cell(self, cell):
        with self.cells.open("ab") as file:
            file.write(cell.encode())

    def next_segment(self):
        self._file.begin(self.scribe.seq + 1)
        self._append(self.scribe.begin(10**9, carry=True))

    def close(self):
        self._file.close()

    def _append(self, written):
        write_all(self._file._descriptor, b"".join(one.frame for one in written))


def first_segment(region, slot="w0"):
    return segment_path(region.journals / slot, 1)
