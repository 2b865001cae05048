"""The cases of a region lie twice: sealed in control's database, and record by record in the evidence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from firedoor.app.hostpart import known_host_part
from firedoor.config import RegionHome
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.plan.model import Loaded
from firedoor.keys.derive import SealingBox
from firedoor.store.controldb import ControlReader
from firedoor.store.incidents import IncidentReader
from firedoor.store.journal_read import read

CONTROL_SLOT: Final = "control"
"""The slot of the process that writes cases."""


class CaseRecord(NamedTuple):
    """An entry as the evidence tells of it: its `sha256` is that of the whole entry, which is the record's body."""

    case: str
    number: int
    kind: str
    by: str
    sha256: str
    leaf: Leaf


def case_records(place: RegionHome) -> Iterator[CaseRecord]:
    """All that this host's control put on record, in order; an entry may come twice. Raises `EvidenceDamaged`."""
    for stored in read(place.journal(CONTROL_SLOT)):
        facts = stored.leaf.facts
        case, number, sha256 = facts.get("case"), facts.get("number"), facts.get("entry_sha256")
        if stored.leaf.kind == "incident" and isinstance(case, str) and isinstance(number, int):
            yield CaseRecord(case, number, str(facts.get("entry")), str(facts.get("by")), str(sha256), stored.leaf)


def state_of(place: RegionHome, loaded: Loaded) -> Path | str:
    """Where the region's control keeps its state: a SQLite file, or a PostgreSQL database that its hosts share."""
    return loaded.plan.regions[place.name].state or place.control_state


def is_shared(place: RegionHome, loaded: Loaded) -> bool:
    """Whether another host's control may have written: its evidence lies there."""
    return loaded.plan.regions[place.name].state is not None


@contextlib.contextmanager
def read_cases(place: RegionHome, loaded: Loaded, box: SealingBox) -> Iterator[IncidentReader]:
    """The region's cases, beside control or without one. Raises `SetupError`, `StateUnavailable`, `StateDamaged`."""
    host = known_host_part(place) or "" if is_shared(place, loaded) else ""
    reading = ControlReader(state_of(place, loaded), place.name)
    try:
        yield IncidentReader(reading, box, host)
    finally:
        reading.close()
