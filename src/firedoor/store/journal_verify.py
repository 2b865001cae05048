"""Verify journals: every frame, every hash, every sequence number; says which file and record is wrong."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from firedoor.core.evidence.chain import Chain, OpenExchanges
from firedoor.core.evidence.leaf import CARRIED, KEY, Leaf
from firedoor.core.evidence.leaf import decode as decode_leaf
from firedoor.core.evidence.seal import key_id
from firedoor.errors import EvidenceDamaged
from firedoor.store.segments import SegmentReader, first_seq, segments


class Damage(Struct, frozen=True):
    """One thing that does not verify. `record` is the last good sequence number before it, plus one."""

    file: str
    record: int
    problem: str


class SlotReport(Struct):
    """What one slot holds. `torn` are bytes of an incomplete last frame: a live writer, or a crash; not damage."""

    slot: str
    region: str = ""
    segments: int = 0
    records: int = 0
    bodies: int = 0
    keys: int = 0
    answered: int = 0
    unknown: int = 0
    open: int = 0
    torn: int = 0
    last_seq: int = 0
    head: str = ""
    damage: list[Damage] = []


class Report(Struct, frozen=True):
    """All slots under a folder."""

    slots: list[SlotReport]

    @property
    def ok(self) -> bool:
        """Whether everything verified."""
        return not any(slot.damage for slot in self.slots)

    @property
    def damage(self) -> list[Damage]:
        """What did not verify, at most one place a slot."""
        return [damage for slot in self.slots for damage in slot.damage]


def verify(folder: Path) -> Report:
    """Verify one slot's folder, or every slot below a journals folder. Raises `EvidenceDamaged` if there is neither.

    Checked per slot: frames and their CRCs, leaves without gap from record 1, each leaf's hash in the next, each body's
    hash and length, a key record before each body that needs it, names of segments, one region. Memory is bounded by
    the open exchanges and the key records. After the first damage of a slot the rest of it cannot be trusted and is
    not read.
    """
    if segments(folder):
        return Report([_verify_slot(folder)])
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and segments(path)] if folder.is_dir() else []
    if not found:
        raise EvidenceDamaged(f"There is no journal in {folder}.")
    return Report([_verify_slot(path) for path in found])


class _SlotCheck:
    """The state carried from record to record."""

    def __init__(self, slot: str) -> None:
        self.report = SlotReport(slot)
        self.chain: Chain | None = None
        self.keys: set[str] = set()
        self.exchanges = OpenExchanges()

    def record(self, data: bytes, sealed: bytes) -> None:
        chain = self.chain
        if chain is None:
            first = decode_leaf(data)
            chain = self.chain = Chain(first.region, self.report.slot)
            self.report.region = first.region
        leaf = chain.follow(data)
        self._body(leaf, sealed)
        self._count(leaf)

    def _body(self, leaf: Leaf, sealed: bytes) -> None:
        if leaf.body is None:
            if sealed:
                raise EvidenceDamaged(f"Record {leaf.seq} has a body that its leaf does not name.")
            return
        if len(sealed) != leaf.body.length or sha256(sealed).hexdigest() != leaf.body.sha256:
            raise EvidenceDamaged(f"The body of record {leaf.seq} is not the one its leaf names.")
        if leaf.kind == KEY:
            if leaf.body.key != key_id(sealed):
                raise EvidenceDamaged(f"Key record {leaf.seq} has the wrong id.")
            self.keys.add(leaf.body.key)
            self.report.keys += 1
        elif leaf.body.key not in self.keys:
            raise EvidenceDamaged(f"The key of record {leaf.seq} was never recorded.")
        else:
            self.report.bodies += 1

    def _count(self, leaf: Leaf) -> None:
        report = self.report
        report.records += 1
        report.last_seq = leaf.seq
        if leaf.kind == CARRIED:
            return
        self.exchanges.see(leaf.kind, leaf.exchange)
        if leaf.kind == "outcome":
            if leaf.facts.get("outcome") == "unknown":
                report.unknown += 1
            else:
                report.answered += 1


def _verify_slot(folder: Path) -> SlotReport:
    check = _SlotCheck(folder.name)
    report = check.report
    paths = segments(folder)
    for path in paths:
        file = f"{folder.name}/{path.name}"
        try:
            _verify_segment(path, check, newest=path == paths[-1])
        except EvidenceDamaged as error:
            report.damage.append(Damage(file, report.last_seq + 1, error.message))
            break
        except OSError as error:
            report.damage.append(Damage(file, report.last_seq + 1, f"It cannot be read: {error.strerror}."))
            break
        report.segments += 1
    report.open = len(check.exchanges)
    report.head = check.chain.prev if check.chain else ""
    return report


def _verify_segment(path: Path, check: _SlotCheck, *, newest: bool) -> None:
    if first_seq(path) != check.report.last_seq + 1:
        raise EvidenceDamaged(f"Record {check.report.last_seq + 1} is missing before segment {path.name}.")
    reader = SegmentReader(path)
    try:
        for _, frame in reader.frames():
            check.record(frame.leaf, frame.sealed)
        if not newest:
            reader.check_end()
        check.report.torn = reader.rest()
    finally:
        reader.close()
