"""Verify journals and bodies: every frame, hash, sequence number, body; says which file and record is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from msgspec import Struct

from firedoor.core.evidence.chain import Chain, OpenExchanges
from firedoor.core.evidence.leaf import Leaf, body_file
from firedoor.core.evidence.leaf import decode as decode_leaf
from firedoor.errors import EvidenceDamaged
from firedoor.store.bodies import BodyReader
from firedoor.store.segments import SegmentReader, first_seq, segments


READ_AHEAD: Final = 256 * 1024
"""Bytes of a body file read at a time."""


_EXCHANGE: Final = frozenset({"intent", "outcome"})


class Damage(Struct, frozen=True):
    """One thing that does not verify. `record` is the last good sequence number before it, plus one."""

    file: str
    record: int
    problem: str


class SlotReport(Struct):
    """What one slot holds. `torn` are bytes of an incomplete last frame: a live writer, or a crash; not damage.

    `erased` and `expired` are bodies that a record of the region says were destroyed.
    """

    slot: str
    region: str = ""
    segments: int = 0
    records: int = 0
    bodies: int = 0
    erased: int = 0
    expired: int = 0
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
        """What did not verify."""
        return [damage for slot in self.slots for damage in slot.damage]


class Destroyed:
    """What the region's records say was destroyed on purpose: bodies under erased keys, and hours that expired."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.hours: set[str] = set()

    def learn(self, leaf: Leaf) -> None:
        """Take note of an erasure or an expiry."""
        if leaf.kind == "erasure" and isinstance(keys := leaf.facts.get("keys"), list):
            self.keys.update(keys)
        elif leaf.kind == "expiry" and isinstance(hours := leaf.facts.get("hours"), list):
            self.hours.update(hours)


def verify(folder: Path, bodies: Path | None = None) -> Report:
    """Verify one slot's folder, or every slot below a journals folder. Raises `EvidenceDamaged` if there is neither.

    Checked per slot: frames and their CRCs, leaves without gap from record 1, each leaf's hash in the next, names of
    segments, one region; with `bodies`, each body's length and hash. A body that is gone or blank is damage unless an
    `erasure` record names its key or an `expiry` record its class and hour. Memory is bounded by the open exchanges and
    by what was destroyed. After the first damage of a slot's leaves the rest of it cannot be trusted and is not read.
    """
    if segments(folder):
        found = [folder]
    else:
        found = [path for path in sorted(folder.iterdir()) if path.is_dir() and segments(path)] if folder.is_dir() else []
    if not found:
        raise EvidenceDamaged(f"There is no journal in {folder}.")
    destroyed = Destroyed()
    checks = [_SlotCheck(path, bodies, destroyed) for path in found]
    for check in checks:
        check.run()
    for check in checks:
        check.settle()
    return Report([check.report for check in checks])


class _Missing(Struct, frozen=True):
    """Bodies of one file and key that are not there, and the first record of them."""

    file: str
    key: str


class _SlotCheck:
    """The state carried from record to record."""

    def __init__(self, folder: Path, bodies: Path | None, destroyed: Destroyed) -> None:
        self.report = SlotReport(folder.name)
        self._folder = folder
        self._chain: Chain | None = None
        self._exchanges = OpenExchanges()
        self._bodies = BodyReader(bodies, READ_AHEAD) if bodies is not None else None
        self._destroyed = destroyed
        self._missing: Counter[_Missing] = Counter()
        self._first: dict[_Missing, int] = {}

    def run(self) -> None:
        """Read the whole slot."""
        report = self.report
        paths = segments(self._folder)
        for path in paths:
            file = f"{self._folder.name}/{path.name}"
            try:
                self._segment(path, newest=path == paths[-1])
            except EvidenceDamaged as error:
                report.damage.append(Damage(file, report.last_seq + 1, error.message))
                break
            except OSError as error:
                report.damage.append(Damage(file, report.last_seq + 1, f"It cannot be read: {error.strerror}."))
                break
            report.segments += 1
        report.open = len(self._exchanges)
        report.head = self._chain.prev if self._chain else ""
        if self._bodies is not None:
            self._bodies.close()

    def settle(self) -> None:
        """Tell bodies that were destroyed on purpose from those that were lost. Call when all slots were read."""
        for missing, count in self._missing.items():
            hour = missing.file.rpartition("/")[0]
            if missing.key in self._destroyed.keys:
                self.report.erased += count
            elif hour in self._destroyed.hours:
                self.report.expired += count
            else:
                problem = f"{count} bodies are not there, and no record says that they were erased or have expired."
                self.report.damage.append(Damage(f"bodies/{missing.file}", self._first[missing], problem))

    def _segment(self, path: Path, *, newest: bool) -> None:
        report = self.report
        if first_seq(path) != report.last_seq + 1:
            raise EvidenceDamaged(f"Record {report.last_seq + 1} is missing before segment {path.name}.")
        reader = SegmentReader(path)
        try:
            for _, frame in reader.frames():
                self._record(frame.leaf)
            if not newest:
                reader.check_end()
            report.torn = reader.rest()
        finally:
            reader.close()

    def _record(self, data: bytes) -> None:
        chain, report = self._chain, self.report
        if chain is None:
            first = decode_leaf(data)
            chain = self._chain = Chain(first.region, report.slot)
            report.region = first.region
        leaf = chain.follow(data)
        if leaf.body is not None and self._bodies is not None:
            self._body(leaf, self._bodies)
        report.records = report.last_seq = leaf.seq
        kind = leaf.kind
        if kind in _EXCHANGE:
            self._exchanges.see(kind, leaf.exchange)
            if kind == "outcome":
                if leaf.facts.get("outcome") == "unknown":
                    report.unknown += 1
                else:
                    report.answered += 1
        else:
            self._destroyed.learn(leaf)

    def _body(self, leaf: Leaf, bodies: BodyReader) -> None:
        assert leaf.body is not None
        state, _ = bodies.look(leaf)
        if state == "whole":
            self.report.bodies += 1
            return
        file = body_file(leaf.slot, leaf.at, leaf.body)
        if state == "changed":
            problem = f"The body of record {leaf.seq} is not the one its leaf names."
            self.report.damage.append(Damage(f"bodies/{file}", leaf.seq, problem))
            return
        missing = _Missing(file, leaf.key or "")
        self._missing[missing] += 1
        self._first.setdefault(missing, leaf.seq)
