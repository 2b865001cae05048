"""What Firedoor itself writes into a case: what opened it, what was found, what was done about it by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from firedoor.core.incident.entrywords import NAMED, Code, FoundOne, Line, Moment, Number, Said, ScopeText, Words
from firedoor.core.people import Digest
from firedoor.core.plan.words import Name, Role

Cause = Literal["finding", "person", "hook"]


class Opened(Said, tag="opened", frozen=True, kw_only=True):
    """The case begins. `scope` is where; `rule` the kind of findings it is about; `detected` when it was first seen.

    `shut` says that the scope is to be shut, `purge` what goes once it is sealed, `system` and `ref` what a hook named.
    `even_so`: how it can be that `detected` is so long ago (`core.incident.plausible`).
    """

    cause: Cause
    title: Line
    scope: ScopeText
    detected: Moment
    rule: Code = ""
    shut: bool = True
    purge: tuple[Literal["cache"], ...] = ()
    restricted: tuple[Role, ...] = ()
    system: Name | None = None
    ref: Code = ""
    drill: Name | None = None
    even_so: Words | UnsetType = UNSET


class Findings(Said, tag="findings", frozen=True, kw_only=True):
    """More findings of the case; `more` were counted and not named, between `since` and `until`."""

    found: Annotated[tuple[FoundOne, ...], Meta(max_length=NAMED)]
    more: Annotated[int, Meta(ge=0)] = 0
    since: Moment = 0
    until: Moment = 0


# What the first minute does


class Contained(Said, tag="contained", frozen=True, kw_only=True):
    """The scope is shut: `scope` by the switch of table `version`, which was shut at `at`. `asked` False: the rule of
    the plan shuts nothing.
    """

    asked: bool = True
    scope: ScopeText = ""
    version: Annotated[int, Meta(ge=-1)] = -1
    at: Moment = 0


class Sealed(Said, tag="sealed", frozen=True, kw_only=True):
    """A snapshot is in the evidence: record `seq` of slot `slot`; `sha256` is that of the snapshot's bytes.

    `items` counts what it holds, `missing` says what could not be taken, and why (a code). `round` counts the seals of
    the case from 1 on; this one covers what was contained in entries up to `covers`, the newest one there was when the
    snapshot was begun. Earlier releases sealed a case once, and wrote neither (see `core.incident.rounds`).
    """

    slot: Code
    seq: Annotated[int, Meta(ge=0)]
    sha256: Digest
    bytes: Annotated[int, Meta(ge=0)]
    items: dict[Code, int]
    missing: dict[Code, Code] = field(default_factory=dict)
    round: Number | UnsetType = UNSET
    covers: Number | UnsetType = UNSET


class Purged(Said, tag="purged", frozen=True, kw_only=True):
    """What was purged under the seal `seal` (its SHA-256): `cache_epoch` is the one that holds now. `asked` False:
    the plan purges nothing. `after` is the newest entry there was when it was begun; earlier releases did not say.
    """

    asked: bool = True
    seal: Digest | None = None
    cache_epoch: Annotated[int, Meta(ge=0)] = 0
    items: dict[Code, int] = field(default_factory=dict)
    after: Number | UnsetType = UNSET


class ClockLine(Struct, frozen=True, forbid_unknown_fields=True):
    """A clock as it stood: `due` is None while its start is not known; `cautious` counts from detection. `applies` is
    missing in entries of older releases.
    """

    rule: Code
    version: Code
    start: Code
    due: Moment | None = None
    cautious: Moment | None = None
    applies: Literal["yes", "likely", "unknown", "no"] | UnsetType = UNSET


class ClocksSet(Said, tag="clocks_set", frozen=True, kw_only=True):
    """The clocks as they stand from now on: written when they start, and when a moment or a correction moves them."""

    clocks: Annotated[tuple[ClockLine, ...], Meta(max_length=200)]


class Counted(Said, tag="counted", frozen=True, kw_only=True):
    """Who is affected, as of now: the encoded `core.incident.affected.Affected`."""

    affected: Annotated[str, Meta(max_length=32_768)]


class StepFailed(Said, tag="step_failed", frozen=True, kw_only=True):
    """An automatic step could not be done yet; it is tried again. Told once for each `code`."""

    step: Literal["contain", "seal", "purge", "clocks", "count"]
    code: Code


class Called(Said, tag="called", frozen=True, kw_only=True):
    """Somebody was called: the `rung`-th try for `role`, because of `reason` (``opened``, or a clock's id with the
    share of its time that is over). `told` are the systems that carry it; with none, nobody was reached, and the call
    stands in the case alone. It is missing in entries of older releases.
    """

    role: Role
    person: Name
    reason: Code
    rung: Annotated[int, Meta(ge=0, le=1000)] = 0
    told: tuple[Name, ...] | UnsetType = UNSET
