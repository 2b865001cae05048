"""A model's answer on its way to the caller: taken in, looked at, given on."""

from __future__ import annotations

from collections.abc import Sequence

from firedoor.core import answers, policy, sse
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange import shapes
from firedoor.core.exchange.call import Call, Terms
from firedoor.core.exchange.ending import MODEL_SAID, Effects, Ending, Phase
from firedoor.core.exchange.release import Inspection, Release, inspect_answer
from firedoor.core.exchange.repeats import Repeats
from firedoor.errors import CheckFailed, ModelFailed

FAILURES = (ModelFailed, CheckFailed, ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
"""What an answer may raise on its way: an answer of a form that nobody thought of is no answer."""


BUSY = 429
"""The status of a server that takes no more at the moment: the one 4xx that says something of the server."""
NO_FAULT = frozenset({"model_replayed", "model_internal"})
"""Ends that speak of a model instance, and not of how it runs: a cache behind it; a fault of ours."""
FAIR = 0.5
"""Share of its time that a model instance must have been given for silence to count as its time-out."""


class Answering(Ending):
    """What the machine does with what a model says; a kept answer comes the same way."""

    def __init__(self, call: Call, terms: Terms) -> None:
        super().__init__(call, terms)
        self._decoder = sse.FrameDecoder()
        self._collected_size = 0
        self._repeats = Repeats(call, terms)

    @property
    def stream(self) -> bool:
        """Whether the caller asked for a stream."""
        return self._request is not None and self._request.stream

    def _model_responded(self, event: ev.ModelResponded) -> Effects:
        assert self._request is not None
        assert self._inspected is not None
        if event.status != 200:
            self._rejected = 400 <= event.status < 500 and event.status != BUSY
            return self._fall_back("model_rejected" if 400 <= event.status < 500 else "model_error")
        if event.event_stream != self.stream:
            return self._fall_back("model_garbage")
        if not self.stream:
            self.phase = Phase.COLLECTING
            return []
        self.phase = Phase.STREAMING
        self._inspection = self._new_inspection()
        self._release = Release(self._inspection, self._request.choices)
        return []

    def _collect(self, event: ev.ModelSent) -> Effects:
        self._collected_size += len(event.data)
        if self._collected_size > self.terms.answer_bytes:
            return self._fall_back("model_too_large")
        self._collected.append(event.data)
        return []

    def _collected_all(self, _: ev.ModelFinished) -> Effects:
        assert self._request is not None
        self._model_busy = False
        raw = b"".join(self._collected)
        chatting = self.call.route == "chat"
        answer = answers.decode_answer(raw, self._request.choices) if chatting else answers.decode_embeddings(raw)
        self._inspection = inspection = self._new_inspection()
        step = inspect_answer(answer, inspection, skip="" if chatting else "embedding")
        noted = self._noted(step.noted)
        if step.stops:
            verdict = self._findings.stopping(step.stops)
            return [*noted, self._finding(verdict), *self._fall_back(verdict.reason)]
        if self._repeats.is_replayed(answer.get("id")):
            return [*noted, *self._replayed()]
        if step.stranger:
            return [*noted, *self._strangers(), *self._fall_back("stranger_data")]
        outcome = self._answered()
        self._finish_reason = answer["choices"][0].get("finish_reason") if chatting else None
        noted += self._same_answer(answer.get("id"))
        ready = [self._replies.whole(step.data, outcome, self.standing)]
        return [*noted, *self._close(outcome, ready, body=raw if chatting else None)]

    def _stream(self, event: ev.ModelSent) -> Effects:
        self._collected_size += len(event.data)
        if self._collected_size > self.terms.answer_bytes:
            return self._end_early("model_too_large")
        return self._released(self._decoder.feed(event.data))

    def _released(self, frames: list[sse.Frame]) -> Effects:
        """Pass frames through the release queue. What was covered before a leak or garbage leaves; then the cut."""
        assert self._release is not None
        out: list[bytes] = []
        noted: Effects = []
        for frame in frames:
            try:
                step = self._release.feed(frame)
            except FAILURES as failure:
                return [*noted, *self._send(b"".join(out)), *self._failed(failure)]
            if step.stops:  # the door shuts first: sending may wait for a slow caller
                verdict = self._findings.stopping(step.stops)
                noted += self._noted(step.noted)
                return [self._finding(verdict), *noted, *self._send(b"".join(out)), *self._stopped(verdict)]
            noted += self._noted(step.noted)
            if self._repeats.is_replayed(self._release.answer_id):
                return [*noted, *self._send(b"".join(out)), *self._replayed()]
            out.append(step.data)
            if step.stranger:
                found = self._strangers()
                return [*noted, *found, *self._send(b"".join(out)), *self._end_early("stranger_data")]
        sent = [*noted, *self._send(b"".join(out))]
        return [*sent, *self._completed()] if self._release.done else sent

    def _streamed_all(self, _: ev.ModelFinished) -> Effects:
        self._model_busy = False
        last = self._released(self._decoder.finish())
        return [*last, *self._completed()] if self.phase is Phase.STREAMING else last

    def _completed(self) -> Effects:
        """The model has said all: close, unless it stopped in the middle of something."""
        assert self._release is not None
        release = self._release
        if not (release.done or release.complete):
            return self._end_early("model_died")
        try:
            seen = release.inspection.end()
        except CheckFailed:
            return self._unscanned()  # here, so that what is to be sent before it is
        noted = self._noted(seen.noted)
        if seen.stops:
            verdict = self._findings.stopping(seen.stops)
            return [self._finding(verdict), *noted, *self._stopped(verdict)]
        if release.inspection.stops:
            before = self._send(release.before_stranger())
            return [*noted, *self._strangers(), *before, *self._end_early("stranger_data")]
        rest, last = release.finish()
        self._finish_reason = release.finish_reason
        noted += self._same_answer(release.answer_id)
        outcome = self._answered()
        head = [] if self.started else [self._replies.start(outcome, self.standing)]
        last = last or shapes.chunk(release.head, [])
        end = do.EndStream(rest + shapes.last_event(last, self.call.exchange, outcome, None))
        return [*noted, *self._close(outcome, [*head, end], body=self._streamed_text())]

    def _model_broke(self, event: ev.ModelBroke) -> Effects:
        self._model_busy = False
        return self._end_early(f"model_{event.reason}")

    # --- what the breaker hears ---------------------------------------------------------------------------------------

    def _tell_breaker(self) -> Effects:
        """What is known by now of the call's fate, if that is news."""
        fate = self._fate_by_now() if self._called else None
        if fate is None or fate == self._fate or self._fate in ("answered", "failed"):
            return []
        self._fate = fate
        return [do.TellBreaker(fate)]

    def _fate_by_now(self) -> do.Fate | None:
        """A caller who left, a shut door, a leak say nothing of the model instance, nor does a slow end."""
        if self.outcome in MODEL_SAID or self._rejected:
            return "answered"
        reason = self.reason or ""
        if reason.startswith("model_") and reason not in NO_FAULT:
            return "failed"
        if reason == "deadline" and not self._collected_size and self._had >= FAIR:
            return "failed"
        return "answering" if self.started and not reason else None

    # --- small parts --------------------------------------------------------------------------------------------------

    def _failed(self, failure: Exception) -> Effects:
        """The end of an answer that cannot be read, or that could not be looked at."""
        if isinstance(failure, CheckFailed):
            return self._unscanned()
        reason = failure.reason if isinstance(failure, ModelFailed) else "garbage"
        return self._end_early(f"model_{reason}")

    def _replayed(self) -> Effects:
        verdict = self._findings.plain("replayed_answer", "model", "cut")
        return [self._finding(verdict), *self._end_early("model_replayed")]

    def _same_answer(self, answer_id: object) -> Effects:
        """A finding, if the model server said the same, at length, to somebody else who asked something else."""
        if self._inspection is None or not self._repeats.same_text(answer_id, self._inspection.seen_text()):
            return []
        return [self._finding(self._findings.plain("same_answer", "model", "record"))]

    def _new_inspection(self) -> Inspection:
        assert self._inspected is not None
        inspected = self._inspected
        self._findings.begin()
        format_ = self._request_body().get("response_format")
        return Inspection(
            inspected.guard,
            self.terms.answer_rules,
            inspected.placeholders,
            inspected.check,
            json_content=isinstance(format_, dict) and format_.get("type") in ("json_object", "json_schema"),
        )

    def _noted(self, noted: Sequence[policy.Sighting]) -> Effects:
        return self._told(self._findings.noted(noted))

    def _send(self, data: bytes) -> Effects:
        if not data:
            return []
        if self.started:
            return [do.Send(data)]
        self.started = True
        return [self._replies.start(self._answered(), self.standing), do.Send(data)]

    def _answered(self) -> str:
        return "minimised" if self._inspected is not None and self._inspected.counts else "answered"
