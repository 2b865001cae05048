"""What the control API reads and writes about cases. Moments are Unix microseconds, as in the entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from firedoor.core.incident import severity
from firedoor.core.incident.affected import Affected as Counts
from firedoor.core.incident.affected import Range
from firedoor.core.incident.case import Call, Case, State, Task, Waiver
from firedoor.core.incident.clocks import Clock, ClockState
from firedoor.core.incident.entries import (
    MICRO,
    Before,
    Contained,
    Decided,
    Entry,
    FoundOne,
    Linked,
    Opened,
    Outcome,
    Payload,
    Purged,
    Restricted,
    Scored,
    Sealed,
    StepFailed,
    Submitted,
    kind_of,
)
from firedoor.core.incident.merging import Part, brought, lapsed, lapsed_waivers
from firedoor.core.incident.rounds import Round, rounds, unsealed
from firedoor.core.incident.severity_advice import Advice
from firedoor.core.people import Act, Signature
from firedoor.core.plan.model import Plan
from firedoor.core.plan.words import Role

NAMED_SCOPES = 8
"""Scopes in a line of the list: more are seen in the case."""
NEXT_DUES = 4
"""Clocks in a line of the list: the next to end."""


class Write(Struct, frozen=True, forbid_unknown_fields=True):
    """A person's entry: an act `incident`, signed, and what it says. The act binds it by its salted SHA-256."""

    act: Act
    signature: Signature
    payload: Payload


class Written(Struct, frozen=True):
    """The entry is on the disk and in the evidence."""

    case: str
    number: int
    at: int
    kind: str


class DueLine(Struct, frozen=True):
    """Until when a clock runs: `due` is None while its start is not known, `cautious` counts from detection.

    With `target` the law has no number ("without undue delay"), and these are targets of ours.
    """

    id: str
    state: ClockState
    due: int | None
    cautious: int | None
    due_local: str
    zone: str
    target: bool = False


class Summary(Struct, frozen=True, kw_only=True):
    """A case in a line: what, where, who has it, how many, how severe."""

    title: str
    scopes: tuple[str, ...]
    rules: tuple[str, ...]
    cause: str
    opened_at: int
    detected: int
    entries: int
    findings: int
    last_found: int | None
    contained_at: int | None
    acknowledged_by: str | None
    assigned: dict[Role, str]
    subjects: Range | None
    exposed_subjects: Range | None
    quarters: int | None
    outcome: Outcome | None
    merged_into: str | None
    leads: str
    drill: str | None


class Line(Struct, frozen=True, kw_only=True):
    """A case of the list. Who may not see it finds nothing but this: no `summary`, and `hidden` true.

    `day` is the one it was opened on, ``2026-11-23`` (UTC). `dues` are the next clocks to
    end; None while the law of the installation is not read.
    """

    id: str
    state: State
    day: str
    restricted: bool
    hidden: bool
    dues: tuple[DueLine, ...] | None
    summary: Summary | None


class Listing(Struct, frozen=True):
    """Cases, the newest first; `more` says that there are older ones, to be asked for with `before`."""

    region: str
    incidents: tuple[Line, ...]
    more: bool


class Details(Struct, frozen=True, kw_only=True):
    """A case as its entries make it, at `at` if the past was asked for. `rounds` are its seals, `unsealed` the scopes
    that were contained and no seal covers; moments of steps are those of the first time.

    `before` is what was decided, scored and waived in cases that it took in, `lapsed` and `lapsed_waivers` what was in
    itself before that: all of it is to be said again.
    """

    opened: Opened
    opened_at: int
    opened_by: str
    entries: int
    found: tuple[FoundOne, ...]
    findings: int
    first_found: int | None
    last_found: int | None
    scopes: tuple[str, ...]
    rules: tuple[str, ...]
    sets: tuple[str, ...]
    moments: dict[str, int]
    moments_set: tuple[str, ...]
    acknowledged_by: str | None
    acknowledged_at: int | None
    assigned: dict[Role, str]
    calls: tuple[Call, ...]
    tasks: tuple[Task, ...]
    contained: Contained | None
    contained_at: int | None
    sealed: Sealed | None
    sealed_at: int | None
    purged: Purged | None
    purged_at: int | None
    rounds: tuple[Round, ...]
    unsealed: tuple[str, ...]
    clocks_set_at: int | None
    counted: Counts | None
    counted_at: int | None
    first_counted_at: int | None
    failures: tuple[StepFailed, ...]
    scored: Scored | None
    decided: Decided | None
    submitted: tuple[Submitted, ...]
    waived: tuple[Waiver, ...]
    links: tuple[Linked, ...]
    leads: str
    merged_into: str | None
    took_in: tuple[str, ...]
    before: tuple[Before, ...]
    lapsed: tuple[Part, ...]
    lapsed_waivers: tuple[Waiver, ...]
    split_from: str | None
    split_off: tuple[str, ...]
    clocks_at: str
    restricted: Restricted | None
    resolved_at: int | None
    closed_at: int | None
    corrected: dict[int, int]


class Shown(Struct, frozen=True, kw_only=True):
    """One case. `details` are missing for who may not see it: then `hidden` is true. `dues` are
    all clocks that run or may start, the next to end first.
    """

    region: str
    id: str
    state: State
    day: str
    at: int | None
    restricted: bool
    hidden: bool
    dues: tuple[DueLine, ...] | None
    details: Details | None


class Entries(Struct, frozen=True):
    """Entries of a case in order; `more` says that there are later ones, to be asked for with `after`."""

    id: str
    entries: tuple[Entry, ...]
    more: bool


class UnsealedCase(Struct, frozen=True):
    """An open case whose snapshot is not in the evidence yet, and its scopes; of a restricted one, the whole region."""

    id: str
    scopes: tuple[str, ...]


class Unsealed(Struct, frozen=True):
    """The cases whose scopes nothing is to be deleted from."""

    region: str
    cases: tuple[UnsealedCase, ...]


class Clocks(Struct, frozen=True):
    """The clocks of a case as they stand at `at`. `clocks_at` is the case that has the legal ones."""

    id: str
    at: int
    zone: str
    clocks_at: str
    clocks: tuple[Clock, ...]


class Affected(Struct, frozen=True):
    """Who is affected, as counted last; None before the first count."""

    id: str
    counted_at: int | None
    affected: Counts | None


class Severity(Struct, frozen=True, kw_only=True):
    """What Firedoor suggests now, and what a person scored last. `inputs` are what a signed score begins with."""

    id: str
    inputs: severity.Inputs
    suggested: severity.Score
    advice: Advice
    scored: severity.Score | None
    scored_inputs: severity.Inputs | None
    because: str | None
    decided: Decided | None


def written(entry: Entry) -> Written:
    """What a person is answered."""
    return Written(entry.case, entry.number, entry.at, kind_of(entry.payload))


def day(moment: int) -> str:
    """The day of a moment, in UTC."""
    return datetime.fromtimestamp(moment // MICRO, UTC).date().isoformat()


def dues(clocks: Sequence[Clock] | None, most: int | None = None) -> tuple[DueLine, ...] | None:
    """The clocks that run or may start, the next to end first: of those that are known, or likely, to apply."""
    if clocks is None:
        return None
    going = [
        c
        for c in clocks
        if c.state in ("running", "not_started", "halted", "missed") and c.applies in ("yes", "likely")
    ]
    going.sort(key=lambda c: (_next(c) is None, _next(c) or 0, c.id))
    return tuple(DueLine(c.id, c.state, c.due, c.cautious, c.due_local, c.zone, c.target) for c in going[:most])


def line(case: Case, clocks: Sequence[Clock] | None, *, hidden: bool) -> Line:
    """A case of the list."""
    return Line(
        id=case.id, state=case.state, day=day(case.opened_at), restricted=case.restricted is not None, hidden=hidden,
        dues=dues(clocks, NEXT_DUES), summary=None if hidden else _summary(case),
    )  # fmt: skip


def shown(region: str, case: Case, clocks: Sequence[Clock] | None, *, at: int | None, hidden: bool) -> Shown:
    """One case."""
    return Shown(
        region=region, id=case.id, state=case.state, day=day(case.opened_at), at=at,
        restricted=case.restricted is not None, hidden=hidden, dues=dues(clocks),
        details=None if hidden else _details(case),
    )  # fmt: skip


def clocks(case: Case, found: Sequence[Clock], plan: Plan, at: int) -> Clocks:
    """The clocks of a case."""
    return Clocks(case.id, at, plan.legal.zone, case.clocks_at, tuple(found))


def _next(clock: Clock) -> int | None:
    return clock.due if clock.due is not None else clock.cautious


def _summary(case: Case) -> Summary:
    counted = case.counted
    return Summary(
        title=case.opened.title,
        scopes=case.scopes[:NAMED_SCOPES],
        rules=case.rules[:NAMED_SCOPES],
        cause=case.opened.cause,
        opened_at=case.opened_at,
        detected=case.moments.get("detected", case.opened.detected),
        entries=case.number,
        findings=case.found_count,
        last_found=case.last_found,
        contained_at=case.contained_at,
        acknowledged_by=case.acknowledged_by,
        assigned=case.assigned,
        subjects=counted.subjects if counted is not None else None,
        exposed_subjects=counted.exposed_subjects if counted is not None else None,
        quarters=case.scored.quarters if case.scored is not None else None,
        outcome=case.decided.outcome if case.decided is not None else None,
        merged_into=case.merged_into,
        leads=case.leads,
        drill=case.opened.drill,
    )


def _details(case: Case) -> Details:
    names = set(Details.__struct_fields__) & set(Case.__struct_fields__) - {"entries", "moments_set"}
    clocks_set = next((e.at for e in case.entries if kind_of(e.payload) == "clocks_set"), None)
    return Details(
        **{name: getattr(case, name) for name in names},
        entries=case.number,
        findings=case.found_count,
        moments_set=tuple(sorted(case.moments_set)),
        before=brought(case),
        lapsed=tuple(sorted(lapsed(case))),
        lapsed_waivers=lapsed_waivers(case),
        clocks_set_at=clocks_set,
        rounds=rounds(case.entries),
        unsealed=tuple(dict.fromkeys(scope for _, scope in unsealed(case.entries))),
    )
