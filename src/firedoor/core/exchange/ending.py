"""How an exchange ends: answered, with the fallback, cut, refused; each is recorded before the caller hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, auto
from typing import Any

import msgspec

from firedoor.core import chat, policy
from firedoor.core.cache import Found, Partition
from firedoor.core.evidence.record import Fact
from firedoor.core.exchange import caching, shapes
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.call import Call, Terms
from firedoor.core.exchange.findings import Findings
from firedoor.core.exchange.release import Inspection, Release
from firedoor.core.exchange.replies import UNAVAILABLE, Replies
from firedoor.core.fallback import pick_language
from firedoor.core.sessions import Rung, Turn
from firedoor.core.switches import Standing
from firedoor.errors import CallerError, CheckFailed

Effects = list[do.Effect]
MODEL_SAID = frozenset({"answered", "minimised"})
"""Outcomes of an answer that a model wrote."""


class Phase(IntEnum):
    """Where an exchange stands, in the order of a normal one."""

    READING = auto()  # the body is being read
    INSPECTING = auto()  # the request is read for attacks, personal data is being replaced
    WEIGHING = auto()  # the session is asked how it stands with this turn
    SLOWED = auto()  # a session that keeps trying waits
    LOOKING_UP = auto()  # the cache is asked
    ASKING = auto()  # the model instance's breaker is asked
    INTENT = auto()  # the intent is being made durable
    CALLING = auto()  # the model was called, no response head yet
    COLLECTING = auto()  # a whole answer is arriving
    STREAMING = auto()  # a stream is arriving; `started` says whether any of it has left
    FALLING_BACK = auto()  # the fallback is being computed
    CLOSING = auto()  # the outcome is being made durable; `ready` is what will be sent then
    CLOSED = auto()


class Ending:
    """What the machine of an exchange remembers, and the ways in which the exchange ends."""

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
        self._called = False
        self._rejected = False
        self._had = 0.0
        self._fate: do.Fate | None = None
        self._release: Release | None = None
        self._collected: list[bytes] = []
        self._ready: Effects = []
        self._findings = Findings(call, terms)
        self._outcomes = 0
        self._inspection: Inspection | None = None
        self._finish_reason: str | None = None
        self._partition: Partition | None = None
        self._prompt: list[policy.Verdict] = []
        self._rung: Rung = "observe"
        self._kept: Found | None = None
        self._overdue = False

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
        return self._end_early("not_recorded") if self.outcome in MODEL_SAID else self._send_ready()

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
        open_choices = release.open_choices()
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
        closing = [*ending, record, *self._set_aside(), *self._note_turn()]
        return [*closing, *self._send_ready()] if self._overdue else closing

    def _send_ready(self) -> Effects:
        self.phase = Phase.CLOSED
        # After [DONE] a server may hold the connection open; by the time the outcome is durable it need not any more.
        return [*self._stop(), *self._ready]

    # --- an answer that was kept --------------------------------------------------------------------------------------

    def _keep(self) -> Effects:
        """Keep a clean answer of the model, once its outcome is durable."""
        if self._partition is None or self._inspected is None or self._kept is not None:
            return []
        text = caching.text_to_keep(
            self._inspection, self.outcome, self._finish_reason, self._findings.count, self._inspected.placeholders
        )
        return [] if text is None else [do.KeepAnswer(self._partition, self._inspected.request, text)]

    def _set_aside(self) -> Effects:
        """Give the kept answer to nobody any more, if something was found in it or it could not be looked at."""
        if self._kept is None or self._findings.scan not in ("found", "not_scanned"):
            return []
        assert self._partition is not None
        assert self._inspected is not None
        return [do.SetAnswerAside(self._partition, self._inspected.request)]

    # --- small parts --------------------------------------------------------------------------------------------------

    def _at_its_end(self) -> Effects:
        """What has left is looked at to its end, also when the answer was cut short; what that finds."""
        if self._release is not None:
            try:
                self._release.inspection.end()
            except CheckFailed:
                if self._findings.scan != "not_scanned":
                    return [self._finding(self._findings.unscanned())]
        return self._strangers()

    def _personal(self) -> dict[str, Fact]:
        """What the inspection found: labels and counts."""
        inspected = self._inspected
        if inspected is None:
            return {}
        others: dict[str, Fact] = {"passed": inspected.passed, "shadow": inspected.shadow}
        others["withheld"] = inspected.look.withheld if inspected.look is not None else 0
        others["kept_back"] = inspected.kept_back
        others["session_rung"] = "" if self._rung == "observe" else self._rung
        return {"minimised": inspected.counts, **{name: told for name, told in others.items() if told}}

    def _note_turn(self) -> Effects:
        """What the answer adds to the session: what it nearly told, and the protected rows it touched."""
        if self.terms.prompts.sessions == "off" or self._inspected is None or self._findings.scan == "none":
            return []
        near, rows = self._findings.near, self._inspected.guard.touched()
        return [do.NoteTurn(Turn(near=near, rows=rows))] if near or rows else []

    def _strangers(self) -> Effects:
        """The finding, if the answer holds personal data that nobody brought."""
        return self._told(self._findings.strangers(self._inspected.check if self._inspected is not None else None))

    def _told(self, verdict: policy.Verdict | None) -> Effects:
        return [] if verdict is None else [self._finding(verdict)]

    def _finding(self, verdict: policy.Verdict) -> do.Effect:
        facts = {**self._facts(), **verdict.facts}
        if verdict.action == "shut":
            return do.ShutDoor(self.call.scope, facts, self._transcript())
        return do.RecordFinding(facts)

    def _stop(self) -> Effects:
        busy, self._model_busy = self._model_busy, False
        return [do.StopModel()] if busy else []

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
