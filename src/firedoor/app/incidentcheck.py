"""Proof that the cases of a region are whole: each entry is in the evidence as it is in the store, and signed.

That the evidence itself is whole is the business of `firedoor evidence verify`. What cannot be looked at is told, and
is not taken for right. Control may write meanwhile: the store is read first, then the evidence, then how far the store
has come.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import UNSET, Struct, structs

from firedoor.app.caserecords import CONTROL_SLOT, case_records, is_shared, read_cases
from firedoor.app.regionkeys import open_region
from firedoor.config import RegionHome
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.incident.case import by_person, case_of, fold
from firedoor.core.incident.entries import Entry, Sealed, encode_entry, kind_of, payload_digest
from firedoor.core.incident.rounds import wrong_purges
from firedoor.core.people import Act, verify
from firedoor.core.plan.model import Loaded
from firedoor.errors import ActRefused, EvidenceDamaged, FiredoorError
from firedoor.keys.ring import Ring
from firedoor.store.incidents import IncidentReader
from firedoor.store.journal_read import read
from firedoor.store.opening import BodyOpener

NAMED: Final = 200
"""Problems told one by one; above it they are counted: a lost database is one problem, not a million."""
WAITING: Final = 10_000
"""Entries looked at that the evidence is still to be given: more means that nothing was recorded for days."""


class Damage(Struct, frozen=True):
    """What is wrong with an entry of a case, or with the case (`number` 0)."""

    case: str
    number: int
    problem: str


class IncidentReport(Struct):
    """How the cases of a region are. `proved` entries are in the evidence exactly, `signed` ones hold a good signature,
    `snapshots` were opened and are what was sealed, `waiting` are entries that the evidence is still to be given.

    `unchecked` says what could not be looked at, and how often; `more` counts problems beyond those of `damage`.
    """

    region: str
    cases: int = 0
    entries: int = 0
    proved: int = 0
    signed: int = 0
    snapshots: int = 0
    waiting: int = 0
    unchecked: dict[str, int] = {}
    damage: list[Damage] = []
    more: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing that could be looked at is wrong."""
        return not self.damage


class _Said(NamedTuple):
    """An entry of the store, as its record in the evidence must tell of it."""

    kind: str
    by: str
    sha256: str


def verify_incidents(place: RegionHome, loaded: Loaded, plan_folder: Path, only: str | None = None) -> IncidentReport:
    """Check all cases of the region, or the one called `only`. Raises `ActRefused` if there is no such case."""
    check = _Check(place, loaded, only)
    try:
        ring = open_region(place, loaded, plan_folder)
        with read_cases(place, loaded, ring.worker().protect) as reader:
            check.store(reader)
            check.evidence()
            check.gaps({case.id: case.entries for case in reader.cases()})
        check.snapshots(ring)
    except ActRefused:
        raise
    except FiredoorError as error:
        check.without_store(error.message)
    except OSError as error:
        check.without_store(f"{error.strerror}")
    return check.done()


class _Check:
    def __init__(self, place: RegionHome, loaded: Loaded, only: str | None) -> None:
        self._place = place
        self._loaded = loaded
        self._only = only
        self._shared = is_shared(place, loaded)
        self._report = IncidentReport(place.name)
        self._unchecked: Counter[str] = Counter()
        self._said: dict[str, list[_Said]] = {}
        self._waiting: set[tuple[str, int]] = set()
        self._seen: dict[str, set[int]] = {}
        self._sealed: dict[tuple[str, int], list[tuple[Entry, Sealed]]] = {}

    def store(self, reader: IncidentReader) -> None:
        """Read every entry, check what each says by itself. Raises `FiredoorError`, OSError for the whole store."""
        for case in reader.cases():
            if self._only not in (None, case.id):
                continue
            self._report.cases += 1
            try:
                entries = reader.entries(case.id)
                fold(entries)
            except (FiredoorError, ValueError) as error:
                why = error.message if isinstance(error, FiredoorError) else f"Its entries make no case: {error}."
                self._wrong(case.id, 0, why)
                continue
            self._said[case.id] = [
                _Said(kind_of(e.payload), e.by, hashlib.sha256(encode_entry(e)).hexdigest()) for e in entries
            ]
            for entry in entries:
                self._signature(entry)
                if isinstance(entry.payload, Sealed):
                    self._sealed.setdefault((entry.payload.slot, entry.payload.seq), []).append((entry, entry.payload))
            for number in wrong_purges(entries):
                self._wrong(case.id, number, "It purged under no seal of all that was contained when it began.")
        self._report.entries = sum(map(len, self._said.values()))
        waiting = ((entry.case, entry.number) for entry in reader.unrecorded(WAITING))
        self._waiting = {one for one in waiting if self._only in (None, one[0])}
        self._report.waiting = len(self._waiting)

    def evidence(self) -> None:
        """Read every record about a case, and compare it with the store."""
        try:
            for record in case_records(self._place):
                if self._only not in (None, record.case):
                    continue
                seen = self._seen.setdefault(record.case, set())
                entries = self._said.get(record.case, [])
                if record.number <= len(entries):
                    if entries[record.number - 1] != (record.kind, record.by, record.sha256):
                        self._wrong(record.case, record.number, "The evidence holds another entry of this number.")
                    elif record.number not in seen:
                        self._report.proved += 1
                seen.add(record.number)
        except (EvidenceDamaged, OSError) as error:
            said = error.message if isinstance(error, EvidenceDamaged) else f"{error.strerror}"
            self._wrong("", 0, f"The journal of slot {CONTROL_SLOT} cannot be read to its end: {said}")

    def gaps(self, known: dict[str, int]) -> None:
        """Whether store and evidence have the same numbers. `known` says how far the store has come by now."""
        if self._only is not None and self._only not in known and self._only not in self._seen:
            raise ActRefused("unknown_case", f"There is no case {self._only}.", remedy="See `firedoor incident list`.")
        for case, entries in self._said.items():
            recorded = self._seen.get(case, set())
            for number in range(1, len(entries) + 1):
                if number not in recorded and (case, number) not in self._waiting:
                    self._absent(case, number, "The evidence does not hold this entry.")
        for case, numbers in self._seen.items():
            if case not in known:
                self._wrong(case, 0, "The evidence has a case that the store lacks.")
            elif max(numbers) > known[case]:
                self._wrong(case, known[case] + 1, "The evidence has entries that the store lacks.")

    def without_store(self, why: str) -> None:
        """The store cannot be read: whether the evidence has every number is all that can be said."""
        self._unchecked[f"all that the store holds: {why}"] += 1
        if not self._seen:
            self.evidence()
        for case, numbers in self._seen.items():
            if missing := max(numbers) - len(numbers):
                self._absent(case, 0, f"The evidence lacks {missing} of its {max(numbers)} entries.")

    def snapshots(self, ring: Ring) -> None:
        """Whether snapshots are what was sealed, where their bodies can still be opened."""
        wanted = dict(self._sealed)
        opener = BodyOpener(self._place.bodies, self._place.subjects, ring)
        try:
            for slot in {slot for slot, _ in self._sealed}:
                for leaf in self._leaves(slot):
                    for entry, sealed in wanted.pop((slot, leaf.seq), ()):
                        self._snapshot(opener, leaf, entry, sealed)
        finally:
            opener.close()
        for entry, sealed in (one for several in wanted.values() for one in several):
            self._absent(entry.case, entry.number, f"Its snapshot, record {sealed.seq} of {sealed.slot}, is missing.")

    def done(self) -> IncidentReport:
        """What was found."""
        self._report.unchecked = dict(self._unchecked)
        return self._report

    def _signature(self, entry: Entry) -> None:
        """What a person wrote is signed by them, over exactly this."""
        if entry.signed is None:
            if by_person(entry):
                self._wrong(entry.case, entry.number, f"It is said to be of {entry.by}, and nobody signed it.")
            return
        act = entry.signed.act
        about = (act.act, act.by, act.args.get("entry"))
        if about != ("incident", entry.by, kind_of(entry.payload)) or not _names(act, entry):
            self._wrong(entry.case, entry.number, "What was signed is about something else.")
        elif act.args.get("payload") != payload_digest(act.nonce, entry.payload):
            self._wrong(entry.case, entry.number, "It does not say what was signed.")
        else:
            self._people(entry, act)

    def _people(self, entry: Entry, act: Act) -> None:
        """The signature, as of its time: when it was made the plan may have been another."""
        assert entry.signed is not None
        as_then = structs.replace(self._loaded, digest=act.plan)
        try:
            verify(entry.signed, as_then, region=self._place.name, now=act.made_at, spent=())
        except ActRefused as error:
            if error.code == "unknown_person":
                self._unchecked["signatures of people whom the plan does not name any more"] += 1
            elif error.code == "bad_signature" and act.plan != self._loaded.digest:
                self._unchecked["signatures made under an earlier plan that do not fit the keys of this one"] += 1
            else:
                self._wrong(entry.case, entry.number, f"Its signature does not hold: {error.message}")
        else:
            self._report.signed += 1

    def _snapshot(self, opener: BodyOpener, leaf: Leaf, entry: Entry, sealed: Sealed) -> None:
        known, facts = (entry.case, sealed.sha256, sealed.round, sealed.covers), leaf.facts
        said = (facts.get("case"), facts.get("sha256"), facts.get("round", UNSET), facts.get("covers", UNSET))
        if leaf.kind != "incident" or said != known:
            self._wrong(entry.case, entry.number, "The record that it names is not its snapshot.")
            return
        try:
            data = opener.open(leaf)
        except (FiredoorError, OSError):  # erased, expired, or its epoch was destroyed: the log still has its digest
            self._unchecked["snapshots whose body is gone or cannot be opened"] += 1
            return
        if (len(data), hashlib.sha256(data).hexdigest()) != (sealed.bytes, sealed.sha256):
            self._wrong(entry.case, entry.number, "Its snapshot is not what was sealed.")
        else:
            self._report.snapshots += 1

    def _leaves(self, slot: str) -> list[Leaf]:
        """The leaves of the snapshots of a slot; of a damaged journal those that can be read."""
        found: list[Leaf] = []
        try:
            found += (one.leaf for one in read(self._place.journal(slot)) if (slot, one.leaf.seq) in self._sealed)
        except EvidenceDamaged as error:
            self._wrong("", 0, f"The journal of slot {slot} cannot be read to its end: {error.message}")
        return found

    def _absent(self, case: str, number: int, problem: str) -> None:
        """What this host's evidence does not have, another's may."""
        if self._shared:
            self._unchecked["entries and snapshots that are not in this host's evidence, but may be in another's"] += 1
        else:
            self._wrong(case, number, problem)

    def _wrong(self, case: str, number: int, problem: str) -> None:
        if len(self._report.damage) < NAMED:
            self._report.damage.append(Damage(case, number, problem))
        else:
            self._report.more += 1


def _names(act: Act, entry: Entry) -> bool:
    """Whether an act is about this entry's case: one that it begins has its id from the act."""
    named = act.args.get("incident")
    return named == entry.case or (named == "new" and entry.number == 1 and entry.case == case_of(act))
