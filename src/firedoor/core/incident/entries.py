"""The entries of a case: one type for each fact, technical and legal ones on one axis. A case is its entries, in order.

An entry is never changed or removed: a `Correction` says what an earlier one should have said. Entries of people are
signed: the act names the kind of the entry and the salted SHA-256 of what it says. Every entry is put on record in the
evidence, with the payload as its sealed body: free text may tell of people.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from firedoor.core.incident.entrywords import (
    AUTOMATIC,
    BROUGHT,
    HANDED_IN,
    MICRO,
    NAMED,
    PAYLOAD_LIMIT,
    Address,
    CaseId,
    Code,
    FoundOne,
    Line,
    Moment,
    Number,
    Said,
    ScopeText,
    Words,
)
from firedoor.core.incident.firstentries import (
    Called,
    Cause,
    ClockLine,
    ClocksSet,
    Contained,
    Counted,
    Findings,
    Opened,
    Purged,
    Sealed,
    StepFailed,
)
from firedoor.core.people import Signed
from firedoor.core.plan.response import StartEvent
from firedoor.core.plan.words import Name, Role

__all__ = [
    "AUTOMATIC", "BROUGHT", "HANDED_IN", "MICRO", "NAMED", "PAYLOAD_LIMIT", "Acknowledged", "Address", "Assigned",
    "Automatic", "Before", "Called", "CaseId", "Cause", "ClockLine", "ClocksSet", "Closed", "Code", "Contained",
    "Correction", "Counted", "Decided", "Entry", "Findings", "FoundOne", "HandedOver", "Line", "Linked", "MergedInto",
    "Moment", "MomentSet", "Noted", "Number", "Opened", "Outcome", "Payload", "Purged", "Reopened", "Resolved",
    "Restricted", "ScopeText", "Scored", "Sealed", "SplitFrom", "SplitOff", "StepFailed", "Submitted", "TaskEnded",
    "Tasked", "TookIn", "Waived", "Words", "case_id", "decode_entry", "decode_payload", "encode_entry",
    "encode_payload", "kind_of", "payload_digest",
]  # fmt: skip

Outcome = Literal["no_breach", "not_notified", "authority", "authority_and_people"]
"""What is decided about telling: it was no personal data breach; register only, because risk is unlikely (GDPR Art.
33(1), 33(5)); the authority (33); the authority and the people (34)."""


# What people do


class Acknowledged(Said, tag="acknowledged", frozen=True, kw_only=True):
    """Somebody is at it: calling ends until a clock calls again."""

    note: Words | None = None


class Assigned(Said, tag="assigned", frozen=True, kw_only=True):
    """`person` has `role` in this case."""

    role: Role
    person: Name


class Noted(Said, tag="noted", frozen=True, kw_only=True):
    """What somebody saw or did. `exchanges` names exchanges of the evidence that show it."""

    text: Words
    exchanges: Annotated[tuple[Code, ...], Meta(max_length=NAMED)] = ()


class Tasked(Said, tag="tasked", frozen=True, kw_only=True):
    """Something to be done, known by the number of this entry."""

    text: Words
    role: Role | None = None
    person: Name | None = None
    due: Moment | None = None


class TaskEnded(Said, tag="task_ended", frozen=True, kw_only=True):
    """The task of entry `task` was done, or dropped for a reason."""

    task: Number
    state: Literal["done", "dropped"]
    text: Words | None = None


class MomentSet(Said, tag="moment_set", frozen=True, kw_only=True):
    """When `event` happened, and on what that rests. Set again, the newest counts; what stood before stays.

    `even_so`: how it can be, where it looks as if it could not (`core.incident.plausible`).
    """

    event: StartEvent | Literal["occurred_from", "occurred_to", "processor_told"]
    at: Moment
    because: Words
    evidence: Annotated[tuple[Code, ...], Meta(max_length=NAMED)] = ()
    even_so: Words | UnsetType = UNSET


class Scored(Said, tag="scored", frozen=True, kw_only=True):
    """The severity of the breach by ENISA's method: the encoded `core.incident.severity.Inputs`, and the score.

    `quarters` is the score times four: every factor is a multiple of 0.25.
    """

    inputs: Annotated[str, Meta(max_length=16_384)]
    quarters: Annotated[int, Meta(ge=0, le=24)]
    because: Words


class Decided(Said, tag="decided", frozen=True, kw_only=True):
    """What is done about telling, and why. `ground` is that of Art. 34(3) where people are not told at high risk."""

    outcome: Outcome
    because: Words
    ground: Literal["unintelligible", "later_measures", "disproportionate"] | None = None


class Submitted(Said, tag="submitted", frozen=True, kw_only=True):
    """What the clock `clock` asks for was handed in at `at`. Late, `delay` gives the reasons (GDPR Art. 33(1)).

    `even_so`: why, where nothing asks for it (`core.incident.plausible`).
    """

    clock: Code
    at: Moment
    to: Line
    ref: Code = ""
    delay: Words | None = None
    even_so: Words | UnsetType = UNSET


class Waived(Said, tag="waived", frozen=True, kw_only=True):
    """The clock `clock` asks for nothing here, or was halted by law (`state`), on this ground."""

    clock: Code
    state: Literal["waived", "halted", "resumed"] = "waived"
    because: Words


class Linked(Said, tag="linked", frozen=True, kw_only=True):
    """The case is `ref` in another system, at `url`."""

    system: Name
    ref: Code
    url: Address = ""


class HandedOver(Said, tag="handed_over", frozen=True, kw_only=True):
    """Who leads: `here`, or the linked `system`. The clocks are still this case's: there is one."""

    leads: Literal["here", "there"]
    system: Name
    because: Words


class MergedInto(Said, tag="merged_into", frozen=True, kw_only=True):
    """It goes on as `case`."""

    case: CaseId
    because: Words


class Before(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a person had said in a case before it was taken in: entry `number` of `case`, by `by`, at `at`. There it
    stands whole, signed. One of: `outcome` decided (on `ground`), `quarters` scored (`malicious`: done on purpose),
    the clock `waived`.
    """

    case: CaseId
    number: Number
    by: Annotated[str, Meta(max_length=80)]
    at: Moment
    because: Words
    outcome: Outcome | None = None
    ground: Code = ""
    quarters: Annotated[int, Meta(ge=0, le=24)] | None = None
    malicious: bool = False
    waived: Code = ""


class TookIn(Said, tag="took_in", frozen=True, kw_only=True):
    """The case `case` goes on here, with its places, its findings and its moments: of two, the earlier starts a clock.

    Findings that do not fit follow in entries of their own. What was handed in there was handed in for this case too;
    the whole reasons of a delay stand where it was said. `before` is what was decided, scored and waived there, and in
    what it had taken in itself: see `core.incident.merging` for what that counts for here.
    """

    case: CaseId
    because: Words
    detected: Moment
    moments: dict[Code, Moment] = field(default_factory=dict)
    found: Annotated[tuple[FoundOne, ...], Meta(max_length=NAMED)] = ()
    more: Annotated[int, Meta(ge=0)] = 0
    scopes: Annotated[tuple[ScopeText, ...], Meta(max_length=200)] = ()
    submitted: Annotated[tuple[Submitted, ...], Meta(max_length=HANDED_IN)] = ()
    before: Annotated[tuple[Before, ...], Meta(max_length=BROUGHT)] | UnsetType = UNSET


class SplitOff(Said, tag="split_off", frozen=True, kw_only=True):
    """Findings go on as `case` (`case.case_of`): the numbers of the entries that brought them.

    With `clocks` ``here`` the legal clocks of both stay here; ``there``: the new case has clocks of its own.
    """

    case: CaseId
    because: Words
    entries: Annotated[tuple[Number, ...], Meta(min_length=1, max_length=200)]
    clocks: Literal["here", "there"] = "there"


class SplitFrom(Said, tag="split_from", frozen=True, kw_only=True):
    """It began as a part of `case`. With `clocks` ``there``, the legal clocks stay that case's."""

    case: CaseId
    because: Words
    clocks: Literal["here", "there"] = "here"
    moments: dict[Code, Moment] = field(default_factory=dict)


class Restricted(Said, tag="restricted", frozen=True, kw_only=True):
    """Who may see the case from now on: roles and persons; all people of the plan, if both are empty."""

    roles: tuple[Role, ...] = ()
    people: tuple[Name, ...] = ()


class Resolved(Said, tag="resolved", frozen=True, kw_only=True):
    """Handling is over; clocks still run."""

    because: Words


class Closed(Said, tag="closed", frozen=True, kw_only=True):
    """The case is closed, and what was learned."""

    because: Words
    lessons: Words | None = None


class Reopened(Said, tag="reopened", frozen=True, kw_only=True):
    """The case goes on after all."""

    because: Words


class Correction(Said, tag="correction", frozen=True, kw_only=True):
    """Entry `of` should have said `instead` (a payload of the same kind, encoded), or nothing. It stays as it was."""

    of: Number
    instead: Annotated[str, Meta(max_length=PAYLOAD_LIMIT)] | None
    because: Words


Automatic = (
    Opened | Findings | Contained | Sealed | Purged | ClocksSet | Counted | StepFailed | Called | Linked | MomentSet
    | MergedInto | TookIn | SplitOff | SplitFrom | Noted
)  # fmt: skip
Payload = (
    Opened | Findings | Contained | Sealed | Purged | ClocksSet | Counted | StepFailed | Called
    | Acknowledged | Assigned | Noted | Tasked | TaskEnded | MomentSet | Scored | Decided | Submitted | Waived
    | Linked | HandedOver | MergedInto | TookIn | SplitOff | SplitFrom | Restricted | Resolved | Closed | Reopened
    | Correction
)  # fmt: skip


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry: the `number`-th of its case (from 1 on), written at `at`. `by` is a person of the plan, `AUTOMATIC`,
    or ``hook:NAME``; what a person says is `signed`.
    """

    case: CaseId
    number: Number
    at: Moment
    by: Annotated[str, Meta(max_length=80)]
    payload: Payload
    signed: Signed | None = None


_payload_encoder = msgspec.json.Encoder(order="sorted")
_payload_decoder: msgspec.json.Decoder[Payload] = msgspec.json.Decoder(Payload)
_entry_decoder = msgspec.json.Decoder(Entry)


def encode_payload(payload: Payload) -> bytes:
    """The canonical bytes of what an entry says."""
    return _payload_encoder.encode(payload)


def decode_payload(data: bytes) -> Payload:
    """Raises `msgspec.DecodeError` for anything else."""
    return _payload_decoder.decode(data)


def encode_entry(entry: Entry) -> bytes:
    """The canonical bytes of a whole entry."""
    return _payload_encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Raises `msgspec.DecodeError` for anything else."""
    return _entry_decoder.decode(data)


def payload_digest(nonce: str, payload: Payload) -> str:
    """What binds a payload to an act: SHA-256 (hex) of nonce, line feed and canonical payload."""
    return hashlib.sha256(nonce.encode() + b"\n" + encode_payload(payload)).hexdigest()


def kind_of(payload: Payload) -> str:
    """The kind of an entry, as acts, records and people call it: ``moment_set``."""
    return str(payload.__struct_config__.tag)


def case_id(region: str, day: str, trigger: bytes) -> str:
    """The name of the case that `trigger` opens: the same trigger always opens the same one.

    `day` is ``20261123``; ten characters of base32 keep cases of a day apart.
    """
    tail = base64.b32encode(hashlib.sha256(b"firedoor/case/1\n" + trigger).digest()).decode().lower()[:10]
    return f"{region[:40]}-{day}-{tail}"
