"""What an exchange asks for: requests, in the imperative. The driver carries them out and makes no choices."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from firedoor.core.cache import Partition
from firedoor.core.evidence.record import Fact
from firedoor.core.sessions import Turn
from firedoor.core.subject import SubjectRecord
from firedoor.core.switches import Scope

Headers = tuple[tuple[str, str], ...]
Fate = Literal["answering", "answered", "failed"]
"""What became of a call, as the model instance's breaker counts it."""


class Effect(Struct, frozen=True):
    """Base of all requests."""


class ReadBody(Effect, frozen=True):
    """Read the request body within the limits. Answer: BodyRead or BodyRefused."""


class Inspect(Effect, frozen=True):
    """Read the request for attacks, find and handle personal data in it.

    Answer: Inspected, InspectionRefused or InspectionFailed.

    `subject` is what the shop told about its shopper.
    """

    request: dict[str, Any]
    subject: SubjectRecord | None = None


class WeighSession(Effect, frozen=True):
    """Add what this turn asked to its session. Answer: SessionWeighed."""

    turn: Turn


class NoteTurn(Effect, frozen=True):
    """Add what the answer showed to the session; nobody waits for it."""

    turn: Turn


class Wait(Effect, frozen=True):
    """Let `seconds` go by. Answer: Waited."""

    seconds: float


class LookUpAnswer(Effect, frozen=True):
    """Ask the cache for the answer to this minimised request. Answer: AnswerFound or AnswerMissed."""

    partition: Partition
    request: dict[str, Any]


class KeepAnswer(Effect, frozen=True):
    """Give this clean answer again to the same request in the same partition; nobody waits for it."""

    partition: Partition
    request: dict[str, Any]
    text: str


class SetAnswerAside(Effect, frozen=True):
    """Something was found in a kept answer: give it to nobody any more; nobody waits for it."""

    partition: Partition
    request: dict[str, Any]


class AskBreaker(Effect, frozen=True):
    """Ask whether the model instance is to be asked. Answer: MayCall or BreakerOpen."""


class TellBreaker(Effect, frozen=True):
    """Tell the breaker what became of the call. It hears of ``answering`` and of one of the others, or of neither."""

    fate: Fate


class RecordIntent(Effect, frozen=True):
    """Make the intent durable. Answer: IntentRecorded or IntentFailed."""

    facts: dict[str, Fact]
    body: bytes


class CallModel(Effect, frozen=True):
    """Send the minimised request to the model instance.

    Answer: ModelResponded, ModelSent …, then ModelFinished or ModelBroke.
    """

    path: str
    body: bytes


class TakeKept(Effect, frozen=True):
    """Take a kept answer for the model's. Answer: as to CallModel, or DoorShut."""

    data: bytes
    event_stream: bool


class StopModel(Effect, frozen=True):
    """Give the model call up; what it still sends is not wanted."""


class GiveFallback(Effect, frozen=True):
    """Compute the surface's fallback. Answer: FallbackGiven or FallbackFailed."""

    request: dict[str, Any]


class ShutDoor(Effect, frozen=True):
    """A leak is confirmed: shut `scope` in this process now, then record the finding and tell control."""

    scope: Scope
    facts: dict[str, Fact]
    body: bytes


class RecordFinding(Effect, frozen=True):
    """Record a finding that shuts nothing. `body` is what an investigator needs to see, where no intent holds it."""

    facts: dict[str, Fact]
    body: bytes | None = None


class RecordProgress(Effect, frozen=True):
    """Note how far the stream has come; nobody waits for it."""

    facts: dict[str, Fact]


class RecordOutcome(Effect, frozen=True):
    """Make the outcome durable. Answer: OutcomeRecorded or OutcomeFailed with the same `number`.

    An outcome that is overtaken (a switch shuts while it is being recorded) is followed by another; the last counts.
    """

    number: int
    facts: dict[str, Fact]
    body: bytes | None


class Respond(Effect, frozen=True):
    """Send a whole response and close the exchange."""

    status: int
    headers: Headers
    body: bytes


class StartStream(Effect, frozen=True):
    """Send the response head of an event stream."""

    headers: Headers


class Send(Effect, frozen=True):
    """Send bytes of the event stream. Everything in them has been checked."""

    data: bytes


class EndStream(Effect, frozen=True):
    """Send the last bytes and close the exchange."""

    data: bytes


class Close(Effect, frozen=True):
    """Nobody is left to answer; the exchange is over."""
