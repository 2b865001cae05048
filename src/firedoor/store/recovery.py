"""What the newest segment of a slot says about where its writer stopped."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from firedoor.core.evidence.chain import Chain, OpenExchanges
from firedoor.core.evidence.leaf import BEGIN, CARRIED, GENESIS, Leaf, carried_after
from firedoor.errors import EvidenceDamaged
from firedoor.store.segments import Disk, SegmentReader, first_seq, segments


class Resume(Struct, frozen=True):
    """Where to go on: after record `seq` whose leaf has the hash `prev`, at byte `length` of `segment` (None: a new
    slot). `open` are the exchanges without outcome.
    """

    seq: int
    prev: str
    open: OpenExchanges
    segment: Path | None
    length: int


def find_end(folder: Path, region: str, slot: str, disk: Disk) -> Resume:
    """Read the newest segment of the slot in bounded memory. Raises `EvidenceDamaged` if a whole frame does not verify.

    An incomplete last frame is what a crash leaves; it was never acknowledged and is not counted. A newest segment
    whose head (begin record and carried exchanges) is not whole holds nothing acknowledged and is removed: head and
    first records are synced together.
    """
    paths = segments(folder)
    found = _read(paths[-1], region, slot) if paths else None
    if paths and found is None:
        disk.unlink(paths.pop())
        disk.sync_folder(folder)
        if paths:
            found = _read(paths[-1], region, slot)
            if found is None:
                raise EvidenceDamaged(f"{paths[-1].name} does not begin with a whole head.")
    return found or Resume(0, GENESIS, OpenExchanges(), None, 0)


def _read(path: Path, region: str, slot: str) -> Resume | None:
    chain = Chain(region, slot, seq=None)
    exchanges = OpenExchanges()
    carried_left: int | None = None
    reader = SegmentReader(path)
    try:
        for offset, frame in reader.frames():
            try:
                leaf = chain.follow(frame.leaf)
                if carried_left is None:
                    carried_left = _carried(leaf, first_seq(path))
                elif leaf.kind == CARRIED:
                    carried_left -= 1
                    exchanges.carry(leaf)
            except EvidenceDamaged as error:
                raise EvidenceDamaged(f"{path.name} at byte {offset}: {error.message}") from error
            exchanges.see(leaf.kind, leaf.exchange)
        if carried_left is None or carried_left > 0:
            return None
        if carried_left < 0:
            raise EvidenceDamaged(f"{path.name} names more open exchanges than its head says.")
        assert chain.seq is not None
        return Resume(chain.seq, chain.prev, exchanges, path, reader.offset)
    finally:
        reader.close()


def _carried(leaf: Leaf, first: int) -> int:
    """How many `carried` records follow the first record of a segment."""
    if leaf.seq != first or leaf.kind != BEGIN:
        raise EvidenceDamaged(f"The segment does not begin with begin record {first}.")
    return carried_after(leaf)
