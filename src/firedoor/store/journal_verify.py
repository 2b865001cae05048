"""Verify journals and bodies: every frame, hash, sequence number, body; says which file and record is wrong."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from firedoor.core.evidence.chain import Chain, OpenExchanges
from firedoor.core.evidence.leaf import Leaf, body_file
from firedoor.core.evidence.leaf import decode as decode_leaf
from firedoor.core.evidence.retention import Kept, parse_kept
from firedoor.errors import EvidenceDamaged
from firedoor.store.bodies import BodyReader
from firedoor.store.journal_read import read
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
    """What the region's records say was destroyed on purpose: bodies under erased keys, and hours that expired.

    An expiry record destroys all of its hours but the bodies that it says are `kept` for a legal hold; a later record
    may destroy those. So a body is accounted for if any record that names its hour does not keep it.
    """

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.hours: set[str] = set()
        self._partly: dict[str, list[list[Kept]]] = {}
        self._whole: set[str] = set()

    def learn(self, leaf: Leaf) -> None:
        """Take note of an erasure or an expiry."""
        if leaf.kind == "erasure" and isinstance(keys := leaf.facts.get("keys"), list):
            self.keys.update(keys)
        elif leaf.kind == "expiry" and isinstance(hours := leaf.facts.get("hours"), list):
            self.hours.update(hours)
            facts = leaf.facts.get("kept")
            kept = [found for text in facts if (found := parse_kept(text))] if isinstance(facts, list) else []
            for hour in {found.hour for found in kept} & set(hours):
                self._partly.setdefault(hour, []).append([found for found in kept if found.hour == hour])
            self._whole.update(set(hours) - {found.hour for found in kept})

    def partly(self, hour: str) -> bool:
        """Whether it takes `why` to know about a body of this hour (``CLASS/HOUR``): records kept some of it."""
        return hour in self._partly and hour not in self._whole

    def why(self, leaf: Leaf) -> Literal["erased", "expired"] | None:
        """Why the body of `leaf` is not there as it says; None if no record accounts for it."""
        if leaf.body is None or leaf.key in self.keys:
            return None if leaf.body is None else "erased"
        hour = body_file(leaf.slot, leaf.at, leaf.body).rpartition("/")[0]
        if not self.partly(hour):
            return "expired" if hour in self.hours else None
        for record in self._partly[hour]:
            if not any(kept.slot == leaf.slot and kept.has(leaf.seq) for kept in record):
                return "expired"
        return None


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
        found = (
            [path for path in sorted(folder.iterdir()) if path.is_dir() and segments(path)] if folder.is_dir() else []
        )
    if not found:
        raise EvidenceDamaged(f"There is no journal in {folder}.")
    destroyed = Destroyed()
    checks = [_SlotCheck(path, bodies, destroyed) for path in found]
    for check in checks:
        check.run()
    for check in checks:
        check.learn_on()
    for check in checks:
        check.settle()
    return Report([check.report for check in checks])


class _Missing(Struct, frozen=True):
    """Bodies of one file and key that are not as their leaves say, and the first record of them.

    `changed`: something else stands there, as a run leaves it that ended within a body it was blanking.
    """

    file: str
    key: str
    changed: bool


class _SlotCheck:
    """The state carried from record to record."""

    def __init__(self, folder: Path, bodies: Path | None, destroyed: Destroyed) -> None:
        self.report = SlotReport(folder.name)
        self._folder = folder
        self._folders = bodies
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

    def learn_on(self) -> None:
        """What was destroyed while the other slots were read: its record came before the bodies went."""
        if not self.report.damage:
            with contextlib.suppress(EvidenceDamaged, OSError):
                for stored in read(self._folder, self.report.last_seq + 1):
                    self._destroyed.learn(stored.leaf)

    def settle(self) -> None:
        """Tell bodies that were destroyed on purpose from those that were lost. Call when all slots were read."""
        one_by_one: set[str] = set()
        for missing, count in self._missing.items():
            hour = missing.file.rpartition("/")[0]
            if missing.key in self._destroyed.keys:
                self.report.erased += count
            elif self._destroyed.partly(hour):
                one_by_one.add(missing.file)
            elif hour in self._destroyed.hours:
                self.report.expired += count
            else:
                self._lost(missing, count, self._first[missing])
        if one_by_one and self._folders is not None:
            self._settle_each(one_by_one, BodyReader(self._folders))

    def _settle_each(self, files: set[str], bodies: BodyReader) -> None:
        """A legal hold kept some bodies of these files: look at each again."""
        for stored in read(self._folder):
            leaf, body = stored.leaf, stored.leaf.body
            if body is None or body_file(leaf.slot, leaf.at, body) not in files:
                continue
            state = bodies.look(leaf)[0]
            if state == "whole" or leaf.key in self._destroyed.keys:
                continue
            if self._destroyed.why(leaf) is not None:
                self.report.expired += 1
            else:
                file = body_file(leaf.slot, leaf.at, body)
                self._lost(_Missing(file, leaf.key or "", state == "changed"), 1, leaf.seq)
        bodies.close()

    def _lost(self, missing: _Missing, count: int, record: int) -> None:
        problem = f"{count} bodies are not there, and no record says that they were erased or have expired."
        if missing.changed:
            problem = f"The body of record {record} is not the one its leaf names."
        self.report.damage.append(Damage(f"bodies/{missing.file}", record, problem))

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
        missing = _Missing(file, leaf.key or "", state == "changed")
        self._missing[missing] += 1
        self._first.setdefault(missing, leaf.seq)
