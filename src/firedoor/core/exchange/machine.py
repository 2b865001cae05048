"""One request and all that follows from it, as a pure state machine: facts in, requests out.

The order of things is the table at the end: which fact may come in which phase, and what answers it. A fact about a
step that a shut switch, a deadline or a leaving caller has overtaken is late and dropped; a fact that comes too early
is a fault of the driver and raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum, auto
from typing import Any

import msgspec
from msgspec.structs import replace

from firedoor.core import answers, chat, policy, sse
from firedoor.core.cache import Found, Partition
from firedoor.core.evidence.record import Fact
from firedoor.core.exchange import caching, shapes
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.call import Call, Terms
from firedoor.core.exchange.findings import Findings
from firedoor.core.exchange.release import Inspection, Release, inspect_answer
from firedoor.core.exchange.repeats import Repeats
from firedoor.core.exchange.replies import UNAVAILABLE, Replies
from firedoor.core.fallback import pick_language
from firedoor.core.subject import take_subject
from firedoor.core.switches import Standing
from firedoor.errors import CallerError, CheckFailed, ModelFailed

Effects = list[do.Effect]


class Phase(IntEnum):
    """Where an exchange stands, in the order of a normal one."""

    READING = auto()  # the body is being read
    INSPECTING = auto()  # personal data is being replaced
    LOOKING_UP = auto()  # the cache is asked
    INTENT = auto()  # the intent is being made durable
    CALLING = auto()  # the model was called, no response head yet
    COLLECTING = auto()  # a whole answer is arriving
    STREAMING = auto()  # a stream is arriving; `started` says whether any of it has left
    FALLING_BACK = auto()  # the fallback is being computed
    CLOSING = auto()  # the outcome is being made durable; `ready` is what will be sent then
    CLOSED = auto()


class Exchange:
    """The machine of one exchange. `begin` once, then `handle` every fact; each returns what to do next."""

    def __init__(self, call: Call, terms: Terms) -> None:
        self.call = call
        self.terms = terms
        self.phase = Phase.READING
        self.started = False
        self.outcome = ""
        self.reason: str | None = None
        self.standing = Standing("stale", 0)
        self._replies = Replies(call, terms.model_name)
        self._ai_off: str | None = None
        self._request: chat.Request | None = None
        self._inspected: ev.Inspected | None = None
        self._model_busy = False
        self._decoder = sse.FrameDecoder()
        self._release: Release | None = None
        self._collected: list[bytes] = []
        self._collected_size = 0
        self._ready: Effects = []
        self._findings = Findings(call, terms)
        self._outcomes = 0
        self._inspection: Inspection | None = None
        self._finish_reason: str | None = None
        self._partition: Partition | None = None
        self._kept: Found | None = None
        self._repeats = Repeats(call, terms)
        self._overdue = False

    def begin(self, standing: Standing, ai_off: str | None = None) -> Effects:
        """Start. `ai_off` is the worker's own reason to keep the model out of it: a poisoned journal, overload."""
        self.standing = standing
        self._ai_off = ai_off if standing.state == "open" else (standing.reason or standing.state)
        return [do.ReadBody()]

    def handle(self, event: ev.Event) -> Effects:
        """Take one fact. Raises `LookupError` for a fact that cannot have come yet."""
        kind = type(event)
        if self.phase is Phase.CLOSED:
            return []
        handler = _TABLE.get((self.phase, kind)) or _ANY_PHASE.get(kind)
        if handler is None:
            if self.phase > _LAST_PHASE[kind]:
                return []
            raise LookupError(f"{kind.__name__} cannot come while {self.phase.name}")
        try:
            return handler(self, event)
        except ModelFailed as failed:
            return self._end_early(f"model_{failed.reason}")
        except CheckFailed:
            return self._unscanned()
        except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError):
            if self.phase not in (Phase.COLLECTING, Phase.STREAMING):
                raise
            return self._end_early("model_garbage")  # an answer of a form nobody thought of is no answer

    @property
    def stream(self) -> bool:
        """Whether the caller asked for a stream."""
        return self._request is not None and self._request.stream

    # --- reading and inspecting ---------------------------------------------------------------------------------------

    def _body_read(self, event: ev.BodyRead) -> Effects:
        limits = self.terms.limits
        request: chat.Request
        try:
            if self.call.route == "chat":
                request = chat.parse_chat(event.body, limits, self.terms.media)
            else:
                request = chat.parse_embeddings(event.body, limits)
            if request.model != self.terms.model_name:
                raise CallerError(404, "model_not_found", "This credential cannot use that model.", param="model")
            body, subject = take_subject(request.body)
        except CallerError as error:
            return self._refuse(error)
        self._request = replace(request, body=body)
        if self._ai_off is not None:
            return self._fall_back(self._ai_off)
        self.phase = Phase.INSPECTING
        return [do.Inspect(body, subject)]

    def _body_refused(self, event: ev.BodyRefused) -> Effects:
        return self._refuse(event.error)

    def _inspected_request(self, event: ev.Inspected) -> Effects:
        self._inspected = event
        self._partition = caching.partition(self.call, self.terms, event, self.standing)
        if self._partition is None:
            return self._intend()
        self.phase = Phase.LOOKING_UP
        return [do.LookUpAnswer(self._partition, event.request)]

    def _answer_found(self, event: ev.AnswerFound) -> Effects:
        self._kept = event.answer
        return self._intend(cache="hit", cached_from=event.answer.exchange)

    def _answer_missed(self, event: ev.AnswerMissed) -> Effects:
        found: Effects = []
        if event.poisoned is not None:
            verdict = self._findings.plain("poisoned_cache", "cache", "record", cached_from=event.poisoned)
            found = [self._finding(verdict)]
        return [*found, *self._intend(cache="miss")]

    def _intend(self, **cache: str) -> Effects:
        assert self._inspected is not None
        self.phase = Phase.INTENT
        facts = {**self._facts(), "stream": self.stream, **self._personal(), **cache}
        return [do.RecordIntent(facts, msgspec.json.encode(self._inspected.request))]

    def _inspection_refused(self, event: ev.InspectionRefused) -> Effects:
        return self._refuse(event.error)

    def _inspection_failed(self, _: ev.InspectionFailed) -> Effects:
        return self._fall_back("inspection_failed")

    def _intent_recorded(self, _: ev.IntentRecorded) -> Effects:
        assert self._inspected is not None
        self.phase = Phase.CALLING
        if self._kept is not None:  # it comes as if the model had sent it now, and is checked as any other
            data = caching.as_sent(self.call, self.terms, self._kept, self._request_body(), stream=self.stream)
            return [do.TakeKept(data, self.stream)]
        self._model_busy = True
        body = msgspec.json.encode({**self._inspected.request, "model": self.terms.remote_name})
        self._repeats.asked(body)
        return [do.CallModel("/chat/completions" if self.call.route == "chat" else "/embeddings", body)]

    def _intent_failed(self, _: ev.IntentFailed) -> Effects:
        return self._fall_back("not_recorded")

    # --- the model's answer -------------------------------------------------------------------------------------------

    def _model_responded(self, event: ev.ModelResponded) -> Effects:
        assert self._request is not None
        assert self._inspected is not None
        if event.status != 200:
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
        if self._repeats.is_replayed(answer.get("id")):
            return self._replayed()
        self._inspection = inspection = self._new_inspection()
        step = inspect_answer(answer, inspection, skip="" if chatting else "embedding")
        noted = self._noted(step.noted)
        if step.stops:
            verdict = self._findings.stopping(step.stops)
            return [*noted, self._finding(verdict), *self._fall_back(verdict.reason)]
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
            except ModelFailed as failed:
                return [*noted, *self._send(b"".join(out)), *self._end_early(f"model_{failed.reason}")]
            except CheckFailed:
                return [*noted, *self._send(b"".join(out)), *self._unscanned()]
            if self._repeats.is_replayed(self._release.answer_id):
                return [*noted, *self._send(b"".join(out)), *self._replayed()]
            noted += self._noted(step.noted)
            if step.stops:  # the door shuts first: sending may wait for a slow caller
                verdict = self._findings.stopping(step.stops)
                return [self._finding(verdict), *noted, *self._send(b"".join(out)), *self._stopped(verdict)]
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
        seen = release.inspection.end()
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

    # --- what may come at any time ------------------------------------------------------------------------------------

    def _door_shut(self, event: ev.DoorShut) -> Effects:
        self.standing = event.standing
        reason = event.standing.reason or event.standing.state
        if self.phase is Phase.READING:
            self._ai_off = reason
            return []
        if self.phase is Phase.FALLING_BACK or (self.phase is Phase.CLOSING and self.outcome not in _MODEL_SAID):
            return []
        return self._end_early(reason)

    def _client_left(self, _: ev.ClientLeft) -> Effects:
        if self.phase is Phase.READING:
            # Without a whole request there was no exchange yet; it is still recorded.
            return [*self._stop(), *self._close("refused", [do.Close()], reason="client_left", body=None)]
        if self.phase is Phase.CLOSING:
            self._ready = [do.Close()]
            return []
        return [*self._stop(), *self._close("cut", [do.Close()], reason="client_left", body=self._streamed_text())]

    def _model_time_up(self, _: ev.ModelTimeUp) -> Effects:
        if self.started or self.phase in (Phase.FALLING_BACK, Phase.CLOSING, Phase.READING):
            return []
        return self._fall_back("deadline")

    def _stream_time_up(self, _: ev.StreamTimeUp) -> Effects:
        return self._end_early("stream_deadline") if self.started and self.phase is Phase.STREAMING else []

    def _deadline(self, _: ev.DeadlinePassed) -> Effects:
        if self.started:
            return []
        self._overdue = True  # from here on nothing waits for a record
        if self.phase is Phase.READING:
            return self._refuse(CallerError(408, "request_timeout", "The request body did not arrive in time."))
        if self.phase is Phase.FALLING_BACK:
            return []  # it is being computed, and will not wait for its record
        if self.phase is Phase.CLOSING and self.outcome not in _MODEL_SAID:
            return self._send_ready()
        return self._fall_back("deadline")

    def _check_overran(self, _: ev.CheckOverran) -> Effects:
        return self._unscanned() if self.phase in (Phase.COLLECTING, Phase.STREAMING) else []

    def _progress(self, _: ev.ProgressDue) -> Effects:
        if self.phase is not Phase.STREAMING or self._release is None:
            return []
        return [do.RecordProgress({**self._facts(), "released": self._release.inspection.released})]

    # --- fallback, refusal, close -------------------------------------------------------------------------------------

    def _fallback_given(self, event: ev.FallbackGiven) -> Effects:
        assert self._request is not None
        if self.started:  # it goes on where the model was stopped
            return self._cut(self.reason or "", None if event.answer.refused else event.answer.text)
        if event.answer.refused:
            ready: Effects = [self._replies.error(UNAVAILABLE, "fallback", self.standing, self.reason)]
        else:
            ready = self._replies.fallback(event.answer, self._request, self.standing, self.reason)
        return self._close("fallback", ready, reason=self.reason, body=None)

    def _fallback_failed(self, _: ev.FallbackFailed) -> Effects:
        if self.started:
            return self._cut(self.reason or "")
        return self._close(
            "refused",
            [self._replies.error(UNAVAILABLE, "refused", self.standing, self.reason)],
            reason="fallback_failed",
            body=None,
        )

    def _recorded(self, event: ev.OutcomeRecorded) -> Effects:
        if event.number != self._outcomes:
            return []
        return [*self._send_ready(), *self._keep()]

    def _not_recorded(self, event: ev.OutcomeFailed) -> Effects:
        if event.number != self._outcomes:
            return []
        return self._end_early("not_recorded") if self.outcome in _MODEL_SAID else self._send_ready()

    def _overtaken(self, _: ev.Event) -> Effects:
        return []  # news of an outcome that a shut switch has since replaced

    def _fall_back(self, reason: str) -> Effects:
        assert self._request is not None
        stop = self._stop()
        self.reason = reason
        self._release = None
        if self.call.route == "embeddings":  # there is no deterministic embedding to fall back to
            return [
                *stop,
                *self._close(
                    "refused",
                    [self._replies.error(UNAVAILABLE, "refused", self.standing, self.reason)],
                    reason=reason,
                    body=None,
                ),
            ]
        self.phase = Phase.FALLING_BACK
        return [*stop, do.GiveFallback(self._request.body)]

    def _end_early(self, reason: str) -> Effects:
        """Before the first byte: the fallback. After it: a well-formed end of the stream."""
        if not self.started:
            return self._fall_back(reason)
        return self._cut(reason)

    def _stopped(self, verdict: policy.Verdict) -> Effects:
        """The end of a stream for what was seen in it: cut, or gone on with by the fallback."""
        if not self.started or verdict.action != "fallback":
            return self._end_early(verdict.reason)
        self.reason = verdict.reason
        self.phase = Phase.FALLING_BACK
        return [*self._stop(), do.GiveFallback(self._request_body())]

    def _cut(self, reason: str, text: str | None = None) -> Effects:
        """A well-formed end of a stream that has begun, with `text` or the surface's own words."""
        assert self._release is not None
        release = self._release
        open_choices = release.open_choices() or [0]
        text = text or self.terms.cut_text[pick_language(self._request_body(), self.terms.cut_text)]
        if release.inspection.released:
            text = f"\n\n{text}"
        tail = do.Send(shapes.cut_text_chunk(release.head, open_choices, text))
        end = shapes.cut_end_chunk(release.head, open_choices)
        ready = [do.EndStream(shapes.last_event(end, self.call.exchange, "cut", reason))]
        if self.phase is Phase.CLOSING:
            # The answer was whole and only its outcome was being recorded: the correction is a new record.
            return self._close("cut", ready, reason=reason, body=None)
        return [*self._stop(), tail, *self._close("cut", ready, reason=reason, body=self._streamed_text())]

    def _unscanned(self) -> Effects:
        """The check of the answer failed or took too long: what is left of it is not given."""
        return [self._finding(self._findings.unscanned()), *self._end_early("not_scanned")]

    def _refuse(self, error: CallerError) -> Effects:
        return [
            *self._stop(),
            *self._close(
                "refused",
                [self._replies.error(error, "refused", self.standing, self.reason)],
                reason=error.code,
                body=None,
            ),
        ]

    def _close(
        self, outcome: str, ready: Sequence[do.Effect], *, reason: str | None = None, body: bytes | None
    ) -> Effects:
        self.phase = Phase.CLOSING
        self.outcome = outcome
        self.reason = reason
        self._ready = list(ready)
        self._outcomes += 1
        ending = self._at_its_end()
        findings = self._findings
        facts: dict[str, Fact] = {**self._facts(), "outcome": outcome, "reason": reason, "findings": findings.count}
        facts["scan"] = findings.scan
        if self._release is not None:
            facts["released"] = self._release.inspection.released
            facts["withheld_frames"] = self._release.held
        facts.update(self._personal())
        if self._inspected is not None:
            placeholders = self._inspected.placeholders
            facts["restored"] = placeholders.restored
            if placeholders.invented:
                facts["invented"] = placeholders.invented
        record = do.RecordOutcome(self._outcomes, facts, body)
        closing = [*ending, record]
        return [*closing, *self._send_ready()] if self._overdue else closing

    def _send_ready(self) -> Effects:
        self.phase = Phase.CLOSED
        # After [DONE] a server may hold the connection open; by the time the outcome is durable it need not any more.
        return [*self._stop(), *self._ready]

    # --- small parts --------------------------------------------------------------------------------------------------

    # --- answers that were given before -------------------------------------------------------------------------------

    def _replayed(self) -> Effects:
        verdict = self._findings.plain("replayed_answer", "model", "cut")
        return [self._finding(verdict), *self._end_early("model_replayed")]

    def _same_answer(self, answer_id: object) -> Effects:
        """A finding, if the model server said the same, at length, to somebody else who asked something else."""
        if self._inspection is None or not self._repeats.same_text(answer_id, self._inspection.seen_text()):
            return []
        return [self._finding(self._findings.plain("same_answer", "model", "record"))]

    def _keep(self) -> Effects:
        """Keep a clean answer of the model, once its outcome is durable; set a kept one aside that was not clean."""
        if self._partition is None or self._inspected is None:
            return []
        if self._kept is not None:
            clean = self._findings.scan == "clean"
            return [] if clean else [do.SetAnswerAside(self._partition, self._inspected.request)]
        text = caching.text_to_keep(
            self._inspection, self.outcome, self._finish_reason, self._findings.count, self._inspected.placeholders
        )
        return [] if text is None else [do.KeepAnswer(self._partition, self._inspected.request, text)]

    def _at_its_end(self) -> Effects:
        """What has left is looked at to its end, also when the answer was cut short; what that finds."""
        if self._release is not None:
            try:
                self._release.inspection.end()
            except CheckFailed:
                if self._findings.scan != "not_scanned":
                    return [self._finding(self._findings.unscanned())]
        return self._strangers()

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

    def _personal(self) -> dict[str, Fact]:
        """What the inspection found: labels and counts."""
        if self._inspected is None:
            return {}
        others = {"passed": self._inspected.passed, "shadow": self._inspected.shadow}
        return {"minimised": self._inspected.counts, **{name: counts for name, counts in others.items() if counts}}

    def _strangers(self) -> Effects:
        """The finding, if the answer holds personal data that nobody brought."""
        return self._told(self._findings.strangers(self._inspected.check if self._inspected is not None else None))

    def _noted(self, noted: Sequence[policy.Sighting]) -> Effects:
        return self._told(self._findings.noted(noted))

    def _told(self, verdict: policy.Verdict | None) -> Effects:
        return [] if verdict is None else [self._finding(verdict)]

    def _finding(self, verdict: policy.Verdict) -> do.Effect:
        facts = {**self._facts(), **verdict.facts}
        if verdict.action == "shut":
            return do.ShutDoor(self.call.scope, facts, self._transcript())
        return do.RecordFinding(facts)

    def _send(self, data: bytes) -> Effects:
        if not data:
            return []
        if self.started:
            return [do.Send(data)]
        self.started = True
        return [self._replies.start(self._answered(), self.standing), do.Send(data)]

    def _stop(self) -> Effects:
        busy, self._model_busy = self._model_busy, False
        return [do.StopModel()] if busy else []

    def _answered(self) -> str:
        return "minimised" if self._inspected is not None and self._inspected.counts else "answered"

    def _streamed_text(self) -> bytes | None:
        """What was released, as the model wrote it: placeholders stay placeholders in the log."""
        return None if self._release is None else msgspec.json.encode(self._release.inspection.released_text())

    def _transcript(self) -> bytes:
        """All that the model wrote, released or not: what an investigator needs to see, sealed like any body."""
        if self._release is None:
            return b"".join(self._collected)
        texts = self._release.inspection
        return msgspec.json.encode({"released": texts.released_text(), "seen": texts.seen_text()})

    def _facts(self) -> dict[str, Fact]:
        return {**self.call.facts(), "switches": self.standing.version}

    def _request_body(self) -> dict[str, Any]:
        return self._request.body if self._request is not None else {}


_MODEL_SAID = frozenset({"answered", "minimised"})


Handler = Callable[[Exchange, Any], Effects]

_TABLE: dict[tuple[Phase, type[ev.Event]], Handler] = {
    (Phase.READING, ev.BodyRead): Exchange._body_read,
    (Phase.READING, ev.BodyRefused): Exchange._body_refused,
    (Phase.INSPECTING, ev.Inspected): Exchange._inspected_request,
    (Phase.INSPECTING, ev.InspectionRefused): Exchange._inspection_refused,
    (Phase.INSPECTING, ev.InspectionFailed): Exchange._inspection_failed,
    (Phase.LOOKING_UP, ev.AnswerFound): Exchange._answer_found,
    (Phase.LOOKING_UP, ev.AnswerMissed): Exchange._answer_missed,
    (Phase.INTENT, ev.IntentRecorded): Exchange._intent_recorded,
    (Phase.INTENT, ev.IntentFailed): Exchange._intent_failed,
    (Phase.CALLING, ev.ModelResponded): Exchange._model_responded,
    (Phase.CALLING, ev.ModelBroke): Exchange._model_broke,
    (Phase.COLLECTING, ev.ModelSent): Exchange._collect,
    (Phase.COLLECTING, ev.ModelFinished): Exchange._collected_all,
    (Phase.COLLECTING, ev.ModelBroke): Exchange._model_broke,
    (Phase.STREAMING, ev.ModelSent): Exchange._stream,
    (Phase.STREAMING, ev.ModelFinished): Exchange._streamed_all,
    (Phase.STREAMING, ev.ModelBroke): Exchange._model_broke,
    (Phase.FALLING_BACK, ev.FallbackGiven): Exchange._fallback_given,
    (Phase.FALLING_BACK, ev.FallbackFailed): Exchange._fallback_failed,
    (Phase.FALLING_BACK, ev.OutcomeRecorded): Exchange._overtaken,
    (Phase.FALLING_BACK, ev.OutcomeFailed): Exchange._overtaken,
    (Phase.CLOSING, ev.OutcomeRecorded): Exchange._recorded,
    (Phase.CLOSING, ev.OutcomeFailed): Exchange._not_recorded,
}

_LAST_PHASE = {kind: max(phase for phase, k in _TABLE if k is kind) for _, kind in _TABLE}

_ANY_PHASE: dict[type[ev.Event], Handler] = {
    ev.DoorShut: Exchange._door_shut,
    ev.ClientLeft: Exchange._client_left,
    ev.ModelTimeUp: Exchange._model_time_up,
    ev.StreamTimeUp: Exchange._stream_time_up,
    ev.DeadlinePassed: Exchange._deadline,
    ev.ProgressDue: Exchange._progress,
    ev.CheckOverran: Exchange._check_overran,
}
