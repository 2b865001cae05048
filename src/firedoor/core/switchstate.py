"""What the control process of a region keeps about its switches, and how a lost or doubtful copy is met. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, structs

from firedoor.core.evidence.record import Fact
from firedoor.core.people import Signed
from firedoor.core.switches import Reason, Scope, Switch, Table, join

AUTOMATIC = ("firedoor",)
"""`by` of a switch that no person shut."""

TRAIL = 256
"""Newest entries kept beside the table: enough to show who did what in an incident. The evidence keeps all of them."""

PENDING = 32
"""Requests that may wait for a second person at a time; each lives 15 minutes."""

Cause = Literal["person", "finding", "file"]


class Entry(Struct, frozen=True, kw_only=True):
    """One change of the table: what, when (Unix seconds), by whom, why, and the signed request behind it.

    `slot` and `seq` name the finding behind an automatic shut. `keys` are the ids of the keys of the persons in `by`; a
    `drill` is one whose layer was changed. `recorded` says that the evidence is known to hold it.
    """

    state: Literal["shut", "open"]
    scope: Scope
    reason: Reason
    cause: Cause
    at: float
    by: tuple[str, ...]
    version: int = 0
    exchange: str = ""
    slot: str | None = None
    seq: int | None = None
    found: str | None = None
    signed: Signed | None = None
    recorded: bool = False
    keys: tuple[str, ...] = ()
    drill: str | None = None
    incident: str | None = None

    def switch(self) -> Switch:
        """The switch that this change shut."""
        return Switch(
            self.scope, self.reason, self.at, self.keys, self.exchange or None, self.incident, self.version, self.drill
        )

    def facts(self) -> dict[str, Fact]:
        """What the evidence record of this change says."""
        facts: dict[str, Fact] = {
            "state": self.state,
            "scope": str(self.scope),
            "reason": self.reason,
            "cause": self.cause,
            "by": list(self.by),
            "version": self.version,
        }
        if self.slot is not None:
            facts |= {"slot": self.slot, "seq": self.seq, "found": self.found}
        if self.drill is not None:
            facts["drill"] = self.drill
        if self.incident is not None:
            facts["incident"] = self.incident
        if self.signed is not None:
            facts |= signed_facts(self.signed)
        return facts


class Pending(Struct, frozen=True):
    """A signed request that waits for a second person. `version` is the table's when it came in."""

    id: str
    signed: Signed
    version: int


class Stored(Struct, frozen=True):
    """The durable state: the table, how it came about, nonces that were used (with the time they may be forgotten),
    and per journal slot the last record that was read.
    """

    table: Table
    trail: tuple[Entry, ...] = ()
    spent: dict[str, int] = {}
    cursors: dict[str, int] = {}


def signed_facts(signed: Signed) -> dict[str, Fact]:
    """A signed request as facts, whole: whoever reads the evidence can check the signatures again."""
    return {
        "digest": signed.act.digest,
        "content": signed.act.content.decode(),
        "signatures": [f"{s.by}:{s.value}" for s in signed.signatures],
    }


def first(region: str, plan: str) -> Stored:
    """The state of a region that never had one: everything open, version 1."""
    return Stored(Table(region, 1, plan))


def rebuilt(region: str, plan: str, page: Table | None, now: float) -> Stored:
    """The state after a loss that the operator met with a SHUT file: the whole region shut.

    Its version is the Unix time: more than any count of changes, so that it is above every version ever published.
    """
    version = max(int(now), page.version + 1 if page else 0)
    scope = Scope(region)
    switch = Switch(scope, "file", now, version=version)
    entry = Entry(state="shut", scope=scope, reason="file", cause="file", at=now, by=AUTOMATIC, version=version)
    return Stored(Table(region, version, plan, (switch,)), (entry,))


def resumed(stored: Stored, page: Table | None, plan: str) -> Stored:
    """The state to go on with after a restart.

    A shut takes effect on the page before it is durable, an opening is durable before it is on the page. So a page that
    is as new as the durable table, or newer, may shut what the table does not know of: both are joined. An older page
    may only be behind on openings, or on nothing.
    """
    table = stored.table
    if page is not None and page.region == table.region and page.version >= table.version:
        table = join(table, page)
    found = missing_entries(stored.table, table)
    if table.plan != plan:
        table = structs.replace(table, plan=plan, version=table.version + 1)
    return structs.replace(stored, table=table, trail=(*stored.trail, *found)[-TRAIL:])


def missing_entries(before: Table, after: Table) -> tuple[Entry, ...]:
    """The entries of what joining brought from a page or a host: the signed requests behind it are not known here."""
    known = {(s.scope, s.version) for s in before.shut}
    layer = {(s.scope, s.drill) for s in before.drills}
    shut = (s for s in after.shut if (s.scope, s.version) not in known)
    drills = (s for s in after.drills if (s.scope, s.drill) not in layer)
    return tuple(_entry(s) for s in (*shut, *drills))


def _entry(switch: Switch) -> Entry:
    cause: Cause = "file" if switch.reason == "file" else "person" if switch.keys else "finding"
    return Entry(
        state="shut", scope=switch.scope, reason=switch.reason, cause=cause, at=switch.since, by=(),
        version=switch.version, exchange=switch.exchange or "", keys=switch.keys, incident=switch.incident,
        drill=switch.drill,
    )  # fmt: skip
