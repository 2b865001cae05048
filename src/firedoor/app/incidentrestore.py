"""Cases taken up again from the evidence, where control's database was lost or a case in it is damaged.

The evidence holds every entry whole, as the sealed body of its record. Control stands still meanwhile. What the store
has and can read is never changed: a case of which both tell different things is left alone, and told.
"""

from __future__ import annotations

import hashlib
import time

import msgspec
from msgspec import Struct

from firedoor.app.caserecords import CaseRecord, case_records, is_shared, state_of
from firedoor.app.hostpart import known_host_part
from firedoor.config import RegionHome
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.incident.case import fold
from firedoor.core.incident.entries import Entry, Findings, TookIn, decode_entry
from firedoor.core.plan.model import Loaded
from firedoor.errors import EvidenceDamaged, StateBusy, StateDamaged
from firedoor.keys.ring import Ring
from firedoor.store.controlstate import ControlState
from firedoor.store.holds import Write
from firedoor.store.incidents import BATCH, IncidentStore
from firedoor.store.opening import BodyOpener


class Restored(Struct):
    """What came back: `entries` of `cases`. `left` says of which cases nothing more could be taken up, and why."""

    region: str
    cases: int = 0
    entries: int = 0
    left: dict[str, str] = {}


def restore(place: RegionHome, loaded: Loaded, ring: Ring, write: Write) -> Restored:
    """Take up all that the store lacks.

    Raises `StateBusy` while control runs, `StateUnavailable`, `SetupError`, `EvidenceDamaged`, OSError.
    """
    found: dict[str, dict[int, list[CaseRecord]]] = {}
    for record in case_records(place):
        found.setdefault(record.case, {}).setdefault(record.number, []).append(record)
    host = known_host_part(place) or "" if is_shared(place, loaded) else ""
    state = ControlState(state_of(place, loaded), place.name, host)
    try:
        _begin(state, place.name)
        store = IncidentStore(state.database, ring.worker().protect, host)
        opener = BodyOpener(place.bodies, place.subjects, ring)
        try:
            done = _Restoring(place.name, store, opener).all(found)
        finally:
            opener.close()
    finally:
        state.close()
    if done.entries:
        facts: dict[str, Fact] = {"what": "cases", "cases": done.cases, "entries": done.entries}
        write(Record(kind="repair", exchange="", at=time.time_ns(), facts=facts))
    return done


def _begin(state: ControlState, region: str) -> None:
    try:
        state.begin()
    except StateBusy as error:
        raise StateBusy(
            f"Control of region {region} runs: it keeps the cases itself.",
            remedy="Stop `firedoor up` or `firedoor control` first.",
        ) from error


class _Restoring:
    def __init__(self, region: str, store: IncidentStore, opener: BodyOpener) -> None:
        self._store = store
        self._opener = opener
        self._done = Restored(region)
        self._cursors: dict[str, int] = {}

    def all(self, found: dict[str, dict[int, list[CaseRecord]]]) -> Restored:
        known = {case.id: case.entries for case in self._store.cases()}
        for case, records in found.items():
            try:
                entries = self._entries(case, records)
                new = self._lacking(case, known.get(case, 0), entries)
            except (EvidenceDamaged, StateDamaged) as error:
                self._done.left[case] = error.message
                continue
            self._append(case, entries, new)
        have = self._store.cursors()
        lost = {slot: seq for slot, seq in self._cursors.items() if slot not in have}
        self._store.append((), cursors=lost, ended={})
        return self._done

    def _entries(self, case: str, records: dict[int, list[CaseRecord]]) -> list[Entry]:
        """The case as the evidence has it. Raises `EvidenceDamaged` if it lacks an entry: half a case is none."""
        entries: list[Entry] = []
        for number in range(1, max(records) + 1):
            several = records.get(number)
            if not several or len({record.sha256 for record in several}) != 1:
                raise EvidenceDamaged(f"The evidence does not tell what entry {number} was.")
            body = self._opener.open(several[0].leaf)
            if hashlib.sha256(body).hexdigest() != several[0].sha256:
                raise EvidenceDamaged(f"The body of entry {number} is not what its record says.")
            try:
                entry = decode_entry(body)
            except msgspec.DecodeError as error:
                raise EvidenceDamaged(f"Entry {number} is of another release.") from error
            if (entry.case, entry.number) != (case, number):
                raise EvidenceDamaged(f"The body of entry {number} is that of another.")
            entries.append(entry)
        return entries

    def _lacking(self, case: str, known: int, entries: list[Entry]) -> list[Entry]:
        """What the store lacks of a case; one that it cannot read is dropped there first. Raises `StateDamaged`."""
        try:
            have = self._store.entries(case)
        except StateDamaged:
            if known > len(entries):
                raise StateDamaged(f"It cannot be read, and the evidence lacks {known - len(entries)} of it.") from None
            self._store.forget(case)
            return entries
        if have[: len(entries)] != entries[: len(have)]:
            raise StateDamaged("Store and evidence tell different things: see `firedoor incident verify`.")
        return entries[len(have) :]

    def _append(self, case: str, entries: list[Entry], new: list[Entry]) -> None:
        ended = fold(entries).ended
        for start in range(0, len(new), BATCH):
            part = new[start : start + BATCH]
            self._store.append(part, cursors={}, ended={case: ended})
            self._store.recorded(part)
        if new:
            self._done.cases += 1
            self._done.entries += len(new)
        for entry in entries:
            if isinstance(entry.payload, Findings | TookIn):
                for one in entry.payload.found:
                    if "/" not in one.slot:  # of another host: it reports anew
                        self._cursors[one.slot] = max(one.seq, self._cursors.get(one.slot, 0))
