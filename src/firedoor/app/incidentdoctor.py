"""What `firedoor doctor` looks at of a region's cases: those that wait for somebody, and what is not done yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from firedoor.app.caserecords import read_cases, state_of
from firedoor.app.hostcheck import Finding
from firedoor.app.lawbook import calendars, law_book
from firedoor.config import RegionHome
from firedoor.core.incident.case import Case, fold
from firedoor.core.incident.deadlines import clocks_of
from firedoor.core.incident.entries import MICRO
from firedoor.core.incident.hooks import carriers
from firedoor.core.incident.steps import Region, left
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError
from firedoor.keys.derive import SealingBox
from firedoor.store.incidents import IncidentReader

FIRST_MINUTE: Final = 60
"""Seconds in which a case is contained, sealed, purged, clocked and counted."""
NAMED: Final = 20
"""Open cases looked at: the oldest. More than that are more than a person can read here."""


def incident_findings(place: RegionHome, loaded: Loaded, box: SealingBox) -> Iterator[Finding]:
    """All of it for one region; nothing where control never ran."""
    where = state_of(place, loaded)
    if not isinstance(where, str) and not where.exists():
        return
    if not carriers(loaded.plan, place.name):
        what = "incidents: who is called is not reached: no system of the plan carries calls of this region"
        yield Finding("warn", what, "Give one of `incidents.systems` that stands in this region a `webhook`.")
    try:
        with read_cases(place, loaded, box) as reader:
            yield from _cases(reader, place, loaded)
    except FiredoorError as error:
        yield Finding("warn", f"incidents: {error.message}", error.remedy or "Start `firedoor control`.")
    except OSError as error:
        yield Finding("warn", f"incidents: the cases cannot be read: {error.strerror}", "Does the database answer?")


def _cases(reader: IncidentReader, place: RegionHome, loaded: Loaded) -> Iterator[Finding]:
    waiting = [case for case in reader.cases() if case.open]
    for one in waiting[:NAMED]:
        try:
            case = fold(reader.entries(one.id))
        except (FiredoorError, ValueError):
            remedy = "Run `firedoor incident verify`; the evidence holds its entries: `firedoor incident restore`."
            yield Finding("FAIL", f"incidents: case {one.id} cannot be read", remedy)
        else:
            yield from _case(case, place, loaded)
    if len(waiting) > NAMED:
        more = f"incidents: {len(waiting) - NAMED} more cases are open, and were not looked at"
        yield Finding("warn", more, "See `firedoor incident list`.")
    if count := reader.unrecorded_count():
        yield Finding(
            "warn", f"incidents: {count} entries are not in the evidence yet", "Control records them while it runs."
        )
    for system, count in reader.dropped().items():
        what = f"incidents: {count} messages to {system} were dropped: it was away for too long, or left the plan"
        yield Finding("warn", what, "What it missed stands in the cases: `firedoor incident list`.")
    yield Finding("ok", f"incidents: {len(waiting)} open" if waiting else "incidents: none open")


def _case(case: Case, place: RegionHome, loaded: Loaded) -> Iterator[Finding]:
    now = int(time.time() * MICRO)
    rules = loaded.plan.incidents
    age = (now - case.opened_at) / MICRO
    if case.acknowledged_at is None and case.state == "new" and age > rules.acknowledge:
        what = f"incidents: nobody has acknowledged case {case.id}, {age / 60:.0f} minutes old"
        yield Finding("warn", what, f"firedoor incident ack {case.id} --as YOU")
    steps = left(case, Region(place.name, int(rules.lookback)))
    if steps and age > FIRST_MINUTE:
        what = f"incidents: case {case.id} is not done by itself yet: {', '.join(steps)}"
        yield Finding("warn", what, "Control goes on while it runs; `firedoor incident show` says what failed.")
    missed = [
        clock.id for clock in clocks_of(case, loaded.plan, law_book(), calendars(), now) if clock.state == "missed"
    ]
    if missed:
        what = f"incidents: case {case.id} has missed {', '.join(missed[:5])}"
        yield Finding("warn", what, "Hand it in now, with the reasons for the delay: `firedoor incident submitted`.")
