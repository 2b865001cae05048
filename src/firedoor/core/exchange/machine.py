"""One request and all that follows from it, as a pure state machine: facts in, requests out.

The order of things is the table at the end: which fact may come in which phase, and what answers it. A fact about a
step that a shut switch, a deadline or a leaving caller has overtaken is late and dropped; a fact that comes too early
is a fault of the driver and raises. What becomes of a model's answer is in `answering.py`, how an exchange ends in
`ending.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from firedoor.core import chat, policy
from firedoor.core.exchange import caching, prompting
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.answering import FAILURES, Answering
from firedoor.core.exchange.ending import MODEL_SAID, Effects, Phase
from firedoor.core.subject import take_subject
from firedoor.core.switches import Standing
from firedoor.errors import CallerError

__all__ = ["Exchange", "Phase"]


class Exchange(Answering):
    """The machine of one exchange. `begin` once, then `handle` every fact; each returns what to do next."""

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
            effects = handler(self, event)
        except FAILURES as failure:
            if self.phase not in (Phase.COLLECTING, Phase.STREAMING):
                raise
            effects = self._failed(failure)
        return [*self._tell_breaker(), *effects]  # at once: what follows may wait for a slow caller

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
        if event.look is None:
            return self._ask()
        self._prompt = policy.judge_prompt(event.look, self.terms.prompts, self.call.scope)
        self._findings.prompt(self._prompt)
        if self.terms.prompts.sessions == "off":
            return self._judged()
        self.phase = Phase.WEIGHING
        return [do.WeighSession(prompting.turn(event.look, self._prompt))]

    def _session_weighed(self, event: ev.SessionWeighed) -> Effects:
        self._rung = prompting.rung(event.standing, self.terms.prompts)
        if self._rung != "refuse":
            return self._judged()
        verdict = prompting.refused(event.standing, self.call.scope)
        self._findings.prompt([verdict])
        self._prompt.insert(0, verdict)
        return [*self._prompt_findings(), *self._refuse(prompting.limited(event.standing))]

    def _judged(self) -> Effects:
        """After everything that the request asks is known: refuse it, answer without the model, or go on."""
        found = self._prompt_findings()
        first = self._prompt[0] if self._prompt else None
        if first is not None and first.action == "refuse":
            return [*found, *self._refuse(prompting.refusal())]
        if first is not None and first.stops:
            return [*found, *self._fall_back(first.reason)]
        if self._rung == "slow":
            self.phase = Phase.SLOWED
            return [*found, do.Wait(float(self.terms.prompts.delay))]
        return [*found, *self._ask()]

    def _waited(self, _: ev.Waited) -> Effects:
        return self._ask()

    def _ask(self) -> Effects:
        """Nothing speaks against asking the model: look whether its answer is known."""
        assert self._inspected is not None
        clean = not self._prompt and (self._inspected.look is None or not self._inspected.look.withheld)
        if clean:
            self._partition = caching.partition(self.call, self.terms, self._inspected, self.standing)
        if self._partition is None:
            return self._ask_breaker()
        self.phase = Phase.LOOKING_UP
        return [do.LookUpAnswer(self._partition, self._inspected.request)]

    def _prompt_findings(self) -> Effects:
        """What was seen in the request, with the request where no intent will hold it."""
        assert self._inspected is not None
        stops = bool(self._prompt) and self._prompt[0].stops
        body = msgspec.json.encode(self._inspected.request) if stops else None
        return [do.RecordFinding({**self._facts(), **verdict.facts}, body) for verdict in self._prompt]

    def _answer_found(self, event: ev.AnswerFound) -> Effects:
        self._kept = event.answer
        return self._intend(cache="hit", cached_from=event.answer.exchange)

    def _answer_missed(self, event: ev.AnswerMissed) -> Effects:
        found: Effects = []
        if event.poisoned is not None:
            verdict = self._findings.plain("poisoned_cache", "cache", "record", cached_from=event.poisoned)
            found = [self._finding(verdict)]
        return [*found, *self._ask_breaker()]

    def _ask_breaker(self) -> Effects:
        """The model is to be asked, unless it fails too often: then nothing is intended, so there is no intent."""
        self.phase = Phase.ASKING
        return [do.AskBreaker()]

    def _may_call(self, _: ev.MayCall) -> Effects:
        return self._intend() if self._partition is None else self._intend(cache="miss")

    def _breaker_open(self, _: ev.BreakerOpen) -> Effects:
        return self._fall_back("breaker_open")

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
        self._model_busy = self._called = True
        body = msgspec.json.encode({**self._inspected.request, "model": self.terms.remote_name})
        self._repeats.asked(body)
        return [do.CallModel("/chat/completions" if self.call.route == "chat" else "/embeddings", body)]

    def _intent_failed(self, _: ev.IntentFailed) -> Effects:
        return self._fall_back("not_recorded")

    # --- what may come at any time ------------------------------------------------------------------------------------

    def _door_shut(self, event: ev.DoorShut) -> Effects:
        self.standing = event.standing
        reason = event.standing.reason or event.standing.state
        if self.phase is Phase.READING:
            self._ai_off = reason
            return []
        if self.phase is Phase.FALLING_BACK or (self.phase is Phase.CLOSING and self.outcome not in MODEL_SAID):
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

    def _model_time_up(self, event: ev.ModelTimeUp) -> Effects:
        if self.started or self.phase in (Phase.FALLING_BACK, Phase.CLOSING, Phase.READING):
            return []
        self._had = event.had
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
        if self.phase is Phase.CLOSING and self.outcome not in MODEL_SAID:
            return self._send_ready()
        return self._fall_back("deadline")

    def _check_overran(self, _: ev.CheckOverran) -> Effects:
        return self._unscanned() if self.phase in (Phase.COLLECTING, Phase.STREAMING) else []

    def _progress(self, _: ev.ProgressDue) -> Effects:
        if self.phase is not Phase.STREAMING or self._release is None:
            return []
        return [do.RecordProgress({**self._facts(), "released": self._release.inspection.released})]


Handler = Callable[[Exchange, Any], Effects]

_TABLE: dict[tuple[Phase, type[ev.Event]], Handler] = {
    (Phase.READING, ev.BodyRead): Exchange._body_read,
    (Phase.READING, ev.BodyRefused): Exchange._body_refused,
    (Phase.INSPECTING, ev.Inspected): Exchange._inspected_request,
    (Phase.INSPECTING, ev.InspectionRefused): Exchange._inspection_refused,
    (Phase.INSPECTING, ev.InspectionFailed): Exchange._inspection_failed,
    (Phase.WEIGHING, ev.SessionWeighed): Exchange._session_weighed,
    (Phase.SLOWED, ev.Waited): Exchange._waited,
    (Phase.LOOKING_UP, ev.AnswerFound): Exchange._answer_found,
    (Phase.LOOKING_UP, ev.AnswerMissed): Exchange._answer_missed,
    (Phase.ASKING, ev.MayCall): Exchange._may_call,
    (Phase.ASKING, ev.BreakerOpen): Exchange._breaker_open,
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
