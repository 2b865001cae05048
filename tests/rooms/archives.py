"""A region's evidence of real parts, for tests of what destroys it; only the clock is set by hand."""

import asyncio
import os
import shutil
import threading
from pathlib import Path

from tests.rooms.rings import make_ring

from firedoor.app.housekeeping import archive
from firedoor.app.operator import durable
from firedoor.config import Home
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.retention import HOUR, Hold
from firedoor.errors import EvidenceDamaged
from firedoor.keys.ring import open_ring
from firedoor.keys.ringfile import RingFile
from firedoor.keys.roots.file import FileRoot
from firedoor.store.erasure import Eraser
from firedoor.store.expiry import expire
from firedoor.store.holds import add_hold, end_hold
from firedoor.store.journal import Places, open_journal
from firedoor.store.journal_read import read
from firedoor.store.journal_verify import verify
from firedoor.store.opening import BodyOpener
from firedoor.store.segments import Disk, slots

NOON = 1_795_435_200_000_000
"""23 November 2026, 12:00 UTC, in microseconds."""
DAY_TWO = NOON + 26 * HOUR
ALICE, BO, CEM = "a1" * 16, "b0" * 16, "ce" * 16
"""Look-up pseudonyms of invented shoppers."""
NO_SYNC = Disk(fdatasync=lambda _: None, fsync=lambda _: None)


class Days:
    """Every class stays so long."""

    def __init__(self, days):
        self.days = days

    def of(self, retention):
        return self.days * 24 * HOUR


class Stop(BaseException):
    """The process ends here."""


class Archive:
    """A region's folders and keys. `now` is in microseconds."""

    def __init__(self, folder, disk=None):
        self.home = Home(Path(folder))
        self.place = self.home.region("eu")
        self.disk = disk or Disk()
        self.now = NOON
        if not self.place.keys.exists():
            self.place.make()
            make_ring(self.place.keys)
        self.ring = open_ring(self.place.keys, "eu", FileRoot(self.place.keys / "root.json", "eu"))
        self.archive = archive(self.place)

    def copy(self, folder):
        """The same region elsewhere."""
        shutil.copytree(self.home.root, folder)
        other = Archive(folder, self.disk)
        other.now = self.now
        return other

    def journal(self, slot="w0"):
        return open_journal(
            Places(self.place.journal(slot), self.place.bodies, self.place.subjects),
            region="eu",
            slot=slot,
            epochs=RingFile(self.place.keys, self.ring.worker()),
            clock_ns=lambda: self.now * 1000,
            disk=self.disk,
        )

    def write(self, *records, slot="w0"):
        """Append `records` as one process of the slot; their sequence numbers."""

        async def run():
            journal = self.journal(slot)
            try:
                return [await journal.append(record) for record in records]
            finally:
                await journal.aclose()

        return asyncio.run(run())

    def record(self, exchange, subject=None, at=None, surface="support", kind="outcome", body=b"clear words"):
        at = self.now if at is None else at
        facts = {"outcome": "answered", "surface": surface}
        return Record(
            kind=kind, exchange=exchange, at=at * 1000, facts=facts, body=body, retention=surface, subject=subject
        )

    def act(self, work, write=None):
        """Run `work(write)` as the operator, in a thread of its own as the commands do."""

        async def run():
            journal = self.journal("operator")
            try:
                append = durable(journal)
                return await asyncio.to_thread(work, append if write is None else lambda record: write(append, record))
            finally:
                await journal.aclose()

        return asyncio.run(run())

    def expire(self, days=30, *, now=None, confirmed=False, write=None):
        self.now = self.now if now is None else now
        return self.act(lambda w: expire(self.archive, Days(days), w, now=self.now, confirmed=confirmed), write)

    def eraser(self, write):
        return Eraser(self.archive, self.ring, write, clock_ns=lambda: self.now * 1000, pause=lambda _: None)

    def erase(self, lookup, write=None):
        return self.act(lambda w: self.eraser(w).erase(lookup, by="uid:1", reason="request"), write)

    def resume(self):
        return self.act(lambda w: self.eraser(w).resume())

    def hold(self, hold_id="hold-1", **scope):
        hold = Hold(id=hold_id, incident="INC-7", by="uid:1", at=self.now, **scope)
        known = {stored.leaf.exchange for stored in self.leaves()}
        return self.act(lambda w: add_hold(self.archive, hold, b"Ms Ber asked", w, known=known.__contains__))

    def end(self, hold_id="hold-1"):
        return self.act(lambda w: end_hold(self.archive, hold_id, "uid:1", self.now, b"closed", w))

    def leaves(self):
        return [stored for slot in slots(self.place.journals) for stored in read(self.place.journal(slot))]

    def records(self, kind):
        return [stored.leaf for stored in self.leaves() if stored.leaf.kind == kind]

    def verify(self):
        """The report; asserts that all verifies."""
        report = verify(self.place.journals, self.place.bodies)
        assert report.ok, report.damage
        return report

    def readable(self):
        """Exchanges whose body opens."""
        opener = BodyOpener(self.place.bodies, self.place.subjects, self.ring)
        found = set()
        for stored in self.leaves():
            if stored.leaf.body is None or not stored.leaf.exchange:
                continue
            try:
                opener.open(stored.leaf)
            except EvidenceDamaged:
                continue
            found.add(stored.leaf.exchange)
        opener.close()
        return found

    def files(self):
        """Body files of surfaces by path below the bodies folder, with whether anything in them is not zero."""
        root = self.place.bodies
        paths = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(root / "operations")]
        return {str(path.relative_to(root)): bool(path.read_bytes().strip(b"\0")) for path in paths}


class Steps:
    """Counts the system calls by which an act changes the disk, and ends the process before the one numbered `last`.

    Those of the journal's own thread are not counted: what it owes is tested by itself.
    """

    CALLS = ("fsync", "unlink", "rename", "rmdir")

    def __init__(self, monkeypatch, last=None):
        self.last = last
        self.count = 0
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def step(self):
        self.count += 1
        if self.count == self.last:
            raise Stop

    def write(self, append, record):
        """A step before and after each record."""
        self.step()
        append(record)
        self.step()

    def _counted(self, call):
        def counted(*arguments, **named):
            if threading.current_thread().name.startswith("asyncio"):
                self.step()
            return call(*arguments, **named)

        return counted
