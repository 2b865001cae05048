"""What other systems may tell a region: that a case begins, which of theirs it is, a moment, a state. Pure.

Strict shapes after the recommendation of Standard Webhooks: ``type``, ``timestamp``, ``data``. What a system says is
never an act of a person: it opens cases and shuts nothing, moves `detected` to an earlier time (the careful side) and
no other moment: of those the law counts from, a person must sign each.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from firedoor.core.incident.entries import CaseId, Linked, MomentSet, Noted, Opened
from firedoor.core.incident.hooks import moment
from firedoor.core.patterns import END
from firedoor.core.plan.model import Plan
from firedoor.core.plan.response import StartEvent
from firedoor.core.switches import Scope, check_scope
from firedoor.errors import ActRefused

BODY_LIMIT: Final = 64 * 1024
"""Bytes of a body: a reason of 4,000 characters with room for escapes."""
OLDEST: Final = 366 * 86_400 * 1_000_000
"""Microseconds: what was detected longer ago is a case that people open, not a machine."""
AHEAD: Final = 300 * 1_000_000
"""Microseconds that the other system's clock may be ahead: as much as its signature may."""

At = Annotated[datetime, Meta(tz=True)]
Ref = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f-\x9f]*" + END)]
Title = Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]*" + END)]
Because = Annotated[str, Meta(min_length=1, max_length=4000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
Address = Annotated[str, Meta(max_length=2000, pattern=r"^https?://[^\s\x00-\x1f\x7f-\x9f]+" + END)]


class _Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is told."""


class _Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of a body; `timestamp` is when it happened there."""

    timestamp: At


class OpenData(_Data, frozen=True, kw_only=True):
    """`ref` is the case's id there; `scope` is where, ``REGION/SHOP/SURFACE/MODEL``; `detected` when it was seen."""

    ref: Ref
    title: Title
    scope: Annotated[str, Meta(min_length=1, max_length=300)]
    detected: At
    url: Address | None = None


class OpenCase(_Body, tag="case.open", frozen=True, kw_only=True):
    """A case begins."""

    data: OpenData


class LinkData(_Data, frozen=True, kw_only=True):
    """Our case `case` is `ref` there."""

    case: CaseId
    ref: Ref
    url: Address | None = None


class LinkCase(_Body, tag="case.link", frozen=True, kw_only=True):
    """A case of ours is one of theirs."""

    data: LinkData


class MomentData(_Data, frozen=True, kw_only=True):
    """`event` was `at`. The case is our `case`, or their `ref`."""

    event: StartEvent
    at: At
    because: Because
    case: CaseId | None = None
    ref: Ref | None = None


class TellMoment(_Body, tag="case.moment", frozen=True, kw_only=True):
    """When something happened, as they know it."""

    data: MomentData


class StateData(_Data, frozen=True, kw_only=True):
    """Their case is `state` since the body's timestamp. The case is our `case`, or their `ref`."""

    state: Literal["acknowledged", "in_progress", "resolved", "closed", "reopened"]
    case: CaseId | None = None
    ref: Ref | None = None


class TellState(_Body, tag="case.state", frozen=True, kw_only=True):
    """What became of it there."""

    data: StateData


Incoming = OpenCase | LinkCase | TellMoment | TellState
_decoder: msgspec.json.Decoder[Incoming] = msgspec.json.Decoder(Incoming)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode(body: bytes) -> Incoming:
    """Raises `ActRefused` with ``bad_body``, and what is wrong where."""
    try:
        message = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise _malformed(reason) from None
    if isinstance(message, TellMoment | TellState) and (message.data.case is None) == (message.data.ref is None):
        raise _malformed("it names the case by `case` or by `ref`: one of them - at `$.data`")
    return message


def opened(system: str, message: OpenCase, plan: Plan, region: str, now: int) -> Opened:
    """The first entry of the case that `system` opens. Shut is nothing: a person does that, or a leak that was seen.

    Raises `ActRefused`: ``bad_scope``, ``unknown_scope``, ``other_region``, ``bad_moment``.
    """
    data = message.data
    scope = Scope.parse(data.scope)
    if scope.region != region:
        raise ActRefused("other_region", f"The scope does not lie in region {region}.", remedy="Tell its own region.")
    check_scope(plan, region, scope)
    seen = min(micro(data.detected, now), now)
    return Opened(
        cause="hook", title=data.title, scope=str(scope), detected=seen, shut=False, system=system, ref=data.ref
    )


def trigger(system: str, ref: str) -> bytes:
    """What makes the id of the case that `system` opens for its `ref`: always the same one."""
    return b"hook\n" + system.encode() + b"\n" + ref.encode()


def linked(system: str, data: OpenData | LinkData) -> Linked:
    """That the case is theirs, too."""
    return Linked(system=system, ref=data.ref, url=data.url or "")


def detected(system: str, data: MomentData, now: int) -> MomentSet:
    """What moves `detected`. Raises `ActRefused` with ``bad_moment``."""
    return MomentSet(event="detected", at=micro(data.at, now), because=f"{system}: {data.because}")


def noted(system: str, message: TellMoment | TellState, now: int) -> Noted:
    """What is kept of what no system may set. Raises `ActRefused` with ``bad_moment``."""
    if isinstance(message, TellState):
        return Noted(text=f"{system}: {message.data.state} there since {moment(micro(message.timestamp, now))}.")
    data = message.data
    return Noted(text=f"{system}: {data.event} there at {moment(micro(data.at, now))}: {data.because}")


def micro(at: datetime, now: int) -> int:
    """Unix microseconds of a moment that can be meant. Raises `ActRefused` with ``bad_moment``."""
    found = (at - _EPOCH) // timedelta(microseconds=1)
    if not now - OLDEST <= found <= now + AHEAD:
        raise ActRefused(
            "bad_moment", "A moment lies in the future, or more than a year back.", remedy="Look at the system's clock."
        )
    return found


def _malformed(reason: str) -> ActRefused:
    return ActRefused("bad_body", f"The body is not as it must be: {reason}.", remedy="See docs/incident-systems.md.")
