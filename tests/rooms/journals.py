"""A region's evidence in a folder: epochs, journals, bodies and keys, as the tests of the journal use them."""

import asyncio
import fcntl
import itertools
import os
import time
from hashlib import sha256

from firedoor.core.evidence.frames import MAGIC, decode_frame, encode_frame
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.subjects import EpochPrivate
from firedoor.errors import KeyUnusable
from firedoor.store.journal import Places, open_journal
from firedoor.store.journal_read import read
from firedoor.store.journal_verify import verify
from firedoor.store.opening import BodyOpener
from firedoor.store.segments import segments

ANN, BEN = "a" * 32, "b" * 32
"""Look-up pseudonyms of two shoppers."""
HOUR = 3_600_000_000_000


class Epochs:
    """The epochs of one region: what a writer asks (`current`) and what a reader has (`epoch_private`)."""

    def __init__(self, region="eu"):
        self.region = region
        self.privates = [EpochPrivate(region, 1, os.urandom(32))]
        self.erased = 0

    def current(self):
        return self.privates[-1].public, self.erased

    def next(self):
        self.privates.append(EpochPrivate(self.region, len(self.privates) + 1, os.urandom(32)))

    def epoch_private(self, number):
        if not 1 <= number <= len(self.privates):
            raise KeyUnusable(f"There is no epoch {number}.")
        return self.privates[number - 1]


class Evidence:
    """The folders of a region under `root`."""

    def __init__(self, root, region="eu"):
        self.root = root
        self.journals, self.bodies, self.subjects = root / "journal", root / "bodies", root / "keys" / "subjects"
        self.subjects.mkdir(parents=True, exist_ok=True)
        self.region = region
        self.epochs = Epochs(region)
        self.slot = self.journals / "w0"

    def open(self, slot="w0", **more):
        """A journal; call it inside an event loop."""
        more = {"region": self.region, "epochs": self.epochs, "clock_ns": itertools.count(1).__next__, **more}
        return open_journal(Places(self.journals / slot, self.bodies, self.subjects), slot=slot, **more)

    def write(self, records, slot="w0", **more):
        """Append all records at once, close; their sequence numbers."""

        async def go():
            journal = self.open(slot, **more)
            try:
                return await asyncio.gather(*(journal.append(one) for one in records))
            finally:
                await journal.aclose()

        return asyncio.run(go())

    def read(self, slot="w0"):
        return list(read(self.journals / slot))

    def leaves(self, slot="w0"):
        return [stored.leaf for stored in self.read(slot)]

    def segments(self, slot="w0"):
        return segments(self.journals / slot)

    def body_files(self):
        return sorted(path for path in self.bodies.rglob("*") if path.is_file())

    def verify(self):
        """The report over the only slot."""
        (report,) = verify(self.journals, self.bodies).slots
        return report

    def damage(self):
        return verify(self.journals, self.bodies).damage

    def bodies_in_clear(self, slot="w0", ring=None):
        """Sequence number -> body, of every record with one."""
        opener = BodyOpener(self.bodies, self.subjects, ring or self.epochs)
        try:
            return {leaf.seq: opener.open(leaf) for leaf in self.leaves(slot) if leaf.body}
        finally:
            opener.close()


def record(
    kind="intent", exchange="fx-1", body=None, subject=None, session=None, at=None, retention="support", **facts
):
    at = time.time_ns() if at is None else at
    more = {"body": body, "subject": subject, "session": session, "retention": retention}
    return Record(kind=kind, exchange=exchange, at=at, facts=facts, **more)


def rewrite(path, change):
    """Write a segment anew with right CRCs, after `change` of the list of its leaves."""
    data, offset, leaves = path.read_bytes(), len(MAGIC), []
    while (frame := decode_frame(data, offset)) is not None:
        leaves.append(frame.leaf)
        offset = frame.end
    path.write_bytes(MAGIC + b"".join(map(encode_frame, change(leaves))))


def chained(leaves):
    """The same leaves with each `prev` that of the one before: an insider who writes history anew."""
    out = leaves[:1]
    for leaf in leaves[1:]:
        start = leaf.index(b'"prev":"') + 8
        out.append(leaf[:start] + sha256(out[-1]).hexdigest().encode() + leaf[start + 64 :])
    return out


def free(path):
    """Whether nobody holds a key file: what must be so before its epoch is destroyed."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
