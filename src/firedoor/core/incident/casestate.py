"""A case as a value: what its entries made of it. Made in `core.incident.case`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from firedoor.core.incident import affected
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.entries import AUTOMATIC, Entry, FoundOne, Payload, decode_payload
from firedoor.core.plan.words import Role

State = Literal["new", "in_progress", "resolved", "closed", "merged"]
"""After ISO/IEC 27035: detected and reported; assessed and responded to; handled; learned from. Or it goes on as
another case.
"""

KEPT: Final = 1000
"""Findings that a folded case names; more are counted. Every entry keeps its own."""
LEAKED: Final = "shut"
"""The verdict of a confirmed leak."""
PLACES: Final = 200
"""Scopes, rules and protected sets that a folded case names."""


class Task(Struct, frozen=True, kw_only=True):
    """Something to be done, known by the `number` of its entry. `ended_at` is in microseconds."""

    number: int
    text: str
    by: str
    role: Role | None = None
    person: str | None = None
    due: int | None = None
    state: Literal["open", "done", "dropped"] = "open"
    ended_at: int | None = None


class Call(Struct, frozen=True, kw_only=True):
    """Somebody was called at `at` (microseconds). `told` are the systems that carried it: none, and nobody was reached;
    None in entries of older releases, which do not say.
    """

    at: int
    role: Role
    person: str
    reason: str
    rung: int
    told: tuple[str, ...] | None = None


class Waiver(Struct, frozen=True, kw_only=True):
    """What was said of a clock at `at` (microseconds): it asks for nothing, or was halted, or goes on."""

    at: int
    clock: str
    state: Literal["waived", "halted", "resumed"]
    because: str


class Case(Struct, frozen=True, kw_only=True):
    """A case. `number` is that of its newest entry; moments are Unix microseconds.

    `found` names findings, `found_count` counts all of them. `moments` are events with when they happened: what a
    person set last (`moments_set`), else the earliest that was found or taken in. `assigned` is who has a role in it.
    `leads` is ``here`` or the system that leads. `clocks_at` is the case that has the legal clocks: this one, the one
    it was merged into, or the one it was split from. Moments of steps (`contained_at`,
    `sealed_at`, `purged_at`) are those of the first time; what was said is the newest. `corrected` names the
    corrected entries, each with the number of the correction that counts.
    """

    id: str
    number: int
    opened: kinds.Opened
    opened_at: int
    opened_by: str
    clocks_at: str
    state: State = "new"
    found: tuple[FoundOne, ...] = ()
    found_count: int = 0
    first_found: int | None = None
    last_found: int | None = None
    scopes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    moments: dict[str, int] = {}
    moments_set: frozenset[str] = frozenset()
    acknowledged_by: str | None = None
    acknowledged_at: int | None = None
    assigned: dict[Role, str] = {}
    tasks: tuple[Task, ...] = ()
    contained: kinds.Contained | None = None
    contained_at: int | None = None
    sealed: kinds.Sealed | None = None
    sealed_at: int | None = None
    purged: kinds.Purged | None = None
    purged_at: int | None = None
    clocks_set: kinds.ClocksSet | None = None
    counted: affected.Affected | None = None
    counted_at: int | None = None
    first_counted_at: int | None = None
    scored: kinds.Scored | None = None
    scored_at: int | None = None
    decided: kinds.Decided | None = None
    decided_at: int | None = None
    submitted: tuple[kinds.Submitted, ...] = ()
    waived: tuple[Waiver, ...] = ()
    links: tuple[kinds.Linked, ...] = ()
    leads: str = "here"
    merged_into: str | None = None
    took_in: tuple[str, ...] = ()
    split_from: str | None = None
    split_off: tuple[str, ...] = ()
    restricted: kinds.Restricted | None = None
    calls: tuple[Call, ...] = ()
    failures: tuple[kinds.StepFailed, ...] = ()
    resolved_at: int | None = None
    closed_at: int | None = None
    corrected: dict[int, int] = {}
    entries: tuple[Entry, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether it is closed, or goes on as another case."""
        return self.state in ("closed", "merged")

    @property
    def has_clocks(self) -> bool:
        """Whether the legal clocks of what it is about are its own."""
        return self.clocks_at == self.id

    def said(self, number: int) -> Payload | None:
        """What entry `number` says, as corrected; None if it was withdrawn, or is not there."""
        return said(self.entries).get(number)


def said(entries: Iterable[Entry]) -> dict[int, Payload | None]:
    """What each entry says, as corrected by corrections among them: of several the newest counts. None: withdrawn."""
    says: dict[int, Payload | None] = {}
    for entry in entries:
        says[entry.number] = payload = entry.payload
        if isinstance(payload, kinds.Correction) and payload.of in says:
            says[payload.of] = None if payload.instead is None else decode_payload(payload.instead.encode())
    return says


def by_person(entry: Entry) -> bool:
    """Whether a person of the plan wrote it."""
    return entry.by != AUTOMATIC and not entry.by.startswith("hook:")
