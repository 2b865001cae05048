"""What can happen to an exchange: facts, in the past tense. One type per fact."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from firedoor.core.cache import Found
from firedoor.core.detect.leak.guard import LeakGuard
from firedoor.core.detect.strangers import AnswerCheck
from firedoor.core.fallback import FallbackAnswer
from firedoor.core.minimise.placeholders import Placeholders
from firedoor.core.prompts.looking import PromptLook
from firedoor.core.sessions import Standing as SessionStanding
from firedoor.core.switches import Standing
from firedoor.errors import CallerError


class Event(Struct, frozen=True):
    """Base of all facts."""


class BodyRead(Event, frozen=True):
    """The whole request body has arrived within its limits."""

    body: bytes


class BodyRefused(Event, frozen=True):
    """The body was too large, too slow or incomplete."""

    error: CallerError


class Inspected(Event, frozen=True):
    """The request was read for attacks, and personal data in it was found and handled.

    `counts` are the values taken out, by label; `passed` those that were not, because the surface lets them pass;
    `shadow` those that would have been taken out if the surface did more than look.

    `guard` knows what the answer must not hold, `check` looks for strangers' data in it. `record`: the shop told about
    its shopper. `look` is what was seen of attacks; None where nothing is looked for. `kept_back` counts stretches of
    protected content that were taken out of what the shop tells the model.
    """

    request: dict[str, Any]
    placeholders: Placeholders
    counts: dict[str, int]
    guard: LeakGuard
    passed: dict[str, int] = {}
    shadow: dict[str, int] = {}
    check: AnswerCheck | None = None
    record: bool = False
    look: PromptLook | None = None
    kept_back: int = 0


class SessionWeighed(Event, frozen=True):
    """The session's sums have this turn in them; `standing` is what follows."""

    standing: SessionStanding


class Waited(Event, frozen=True):
    """The time that a slowed session waits is over."""


class InspectionRefused(Event, frozen=True):
    """The request holds what the surface refuses."""

    error: CallerError


class InspectionFailed(Event, frozen=True):
    """The inspection could not be finished. Not the same as having found nothing."""


class AnswerFound(Event, frozen=True):
    """The cache has an answer to the request."""

    answer: Found


class AnswerMissed(Event, frozen=True):
    """The cache has none. `poisoned` is the exchange that an entry claimed to come from which was not what was kept."""

    poisoned: str | None = None


class MayCall(Event, frozen=True):
    """The breaker of the model instance lets this exchange ask it."""


class BreakerOpen(Event, frozen=True):
    """The breaker of the model instance is open, or somebody else is its probe."""


class IntentRecorded(Event, frozen=True):
    """The intent is durable."""


class IntentFailed(Event, frozen=True):
    """The journal could not make the intent durable."""


class OutcomeRecorded(Event, frozen=True):
    """Outcome number `number` of this exchange is durable."""

    number: int


class OutcomeFailed(Event, frozen=True):
    """The journal could not make outcome number `number` durable."""

    number: int


class ModelResponded(Event, frozen=True):
    """The model instance sent its response head."""

    status: int
    event_stream: bool


class ModelSent(Event, frozen=True):
    """Bytes of the model's answer."""

    data: bytes


class ModelFinished(Event, frozen=True):
    """The model's answer ended without a transport error."""


class ModelBroke(Event, frozen=True):
    """The model instance could not be reached, died, or sent what cannot be read. `reason` is a code."""

    reason: str


class ModelTimeUp(Event, frozen=True):
    """The model's share of the surface's deadline is used up. `had` is how much of it the model was given, 0 to 1."""

    had: float = 0.0


class StreamTimeUp(Event, frozen=True):
    """A stream has lasted as long as the surface allows."""


class DeadlinePassed(Event, frozen=True):
    """The surface's deadline has come: whatever is ready is given now."""


class DoorShut(Event, frozen=True):
    """The switch of this exchange's scope is shut, or the table is stale."""

    standing: Standing


class CheckOverran(Event, frozen=True):
    """The check of the answer has taken more time than there is."""


class ClientLeft(Event, frozen=True):
    """The caller closed the connection."""


class ProgressDue(Event, frozen=True):
    """A long stream is due a progress record."""


class FallbackGiven(Event, frozen=True):
    """The fallback's answer is computed."""

    answer: FallbackAnswer


class FallbackFailed(Event, frozen=True):
    """The fallback could not be computed."""
