"""What `firedoor doctor` says about the other systems of the plan: their secrets, and if they take what is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firedoor.app.hooksecrets import secrets_of
from firedoor.app.hostcheck import Finding
from firedoor.app.outbox import Standing, read_standing
from firedoor.config import RegionHome
from firedoor.core.incident.hooks import systems_of
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError, KeyUnusable

SOON: Final = 300
"""Seconds that a system may be away before it is told: it is restarted, updated."""
DAY: Final = 86_400
GONE: Final = frozenset({"status_404", "status_410"})
"""What a server says where nobody takes messages any more."""


def hook_findings(place: RegionHome, loaded: Loaded, plan_folder: Path) -> Iterator[Finding]:
    """By the plan, the secret files, and what the region's control wrote down last."""
    systems = loaded.plan.incidents.systems
    used = [name for name, system in systems.items() if system.webhook is not None or system.opens]
    try:
        seen = read_standing(place.run) if used else None
    except FiredoorError as error:
        yield Finding("warn", f"other systems: {error.message}", error.remedy)
        return
    here = systems_of(loaded.plan, place.name)
    for name in used:
        if name not in here:
            continue  # another region's
        try:
            secrets_of(systems, name, plan_folder)
        except KeyUnusable as error:
            yield Finding("FAIL", f"system {name}: {error.message}", error.remedy)
            continue
        if systems[name].webhook is not None:
            yield _standing(name, seen.systems.get(name) if seen is not None else None)


def _standing(name: str, standing: Standing | None) -> Finding:
    if standing is None or standing.reason is None or standing.since is None:
        return Finding("ok", f"system {name}: has what it was told")
    seconds = int(time.time()) - standing.since
    if seconds < SOON:
        return Finding("ok", f"system {name}: {standing.reason}, it is tried again")
    since = time.strftime("%Y-%m-%d %H:%M", time.gmtime(standing.since))
    what = f"system {name}: takes nothing since {since} UTC: {standing.reason}"
    if standing.reason in GONE and seconds >= DAY:
        remedy = "Its address is gone: correct `webhook` in the plan, or remove it. What waits is kept."
        return Finding("FAIL", what, remedy)
    return Finding("warn", what, "What waits is kept and tried every hour. Look at the system, and at its address.")
