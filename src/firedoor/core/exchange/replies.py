"""What an exchange answers with, as effects: whole answers, errors, fallbacks, and the headers they carry."""

from __future__ import annotations

import msgspec

from firedoor.core import sse
from firedoor.core.chat import Request
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import shapes
from firedoor.core.exchange.call import Call
from firedoor.core.fallback import FallbackAnswer, as_chunks, as_completion
from firedoor.core.switches import Standing
from firedoor.errors import CallerError

UNAVAILABLE = CallerError(
    503, "surface_unavailable", "This AI feature is off at the moment.", headers=(("retry-after", "5"),)
)


class Replies:
    """The responses of one exchange. `standing` is what its door said last, `reason` why the model did not answer."""

    def __init__(self, call: Call, model: str) -> None:
        self._call = call
        self._model = model

    def start(self, outcome: str, standing: Standing, reason: str | None = None) -> do.StartStream:
        """The head of an event stream."""
        return do.StartStream(self._headers(shapes.EVENT_STREAM, outcome, standing, reason))

    def whole(self, body: bytes, outcome: str, standing: Standing, reason: str | None = None) -> do.Respond:
        """A JSON answer."""
        return do.Respond(200, self._headers((shapes.JSON,), outcome, standing, reason), body)

    def error(self, error: CallerError, outcome: str, standing: Standing, reason: str | None) -> do.Respond:
        """An error in the OpenAI shape."""
        headers = self._headers((shapes.JSON, *error.headers), outcome, standing, reason)
        return do.Respond(error.status, headers, shapes.error_body(error))

    def fallback(
        self, answer: FallbackAnswer, request: Request, standing: Standing, reason: str | None
    ) -> list[do.Effect]:
        """The fallback's answer in the form the caller asked for."""
        call, body = self._call, request.body
        if not request.stream:
            document = as_completion(answer, body, model=self._model, created=call.began, completion_id=call.exchange)
            return [self.whole(msgspec.json.encode(document), "fallback", standing, reason)]
        chunks = as_chunks(answer, body, model=self._model, created=call.began, completion_id=call.exchange)
        lines = b"".join(sse.encode(msgspec.json.encode(chunk)) for chunk in chunks[:-1])
        end = shapes.last_event(chunks[-1], call.exchange, "fallback", reason)
        return [self.start("fallback", standing, reason), do.EndStream(lines + end)]

    def _headers(self, more: do.Headers, outcome: str, standing: Standing, reason: str | None) -> do.Headers:
        why = (("firedoor-reason", reason),) if reason and outcome in ("fallback", "refused") else ()
        return (
            *more,
            ("firedoor-exchange", self._call.exchange),
            ("firedoor-outcome", outcome),
            ("firedoor-switch", standing.header()),
            *why,
        )
