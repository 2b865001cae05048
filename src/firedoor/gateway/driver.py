"""Carries out what an exchange asks for. It decides nothing: every choice is the machine's in `core/exchange`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from firedoor.core.breaker import Leave
from firedoor.core.cache import Poisoned, Source
from firedoor.core.evidence.record import Fact, Kind, Record
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.call import Call
from firedoor.core.exchange.machine import Exchange
from firedoor.core.exchange.shapes import error_body
from firedoor.core.switches import Standing
from firedoor.errors import CallerError, ModelFailed
from firedoor.gateway.caller import CLOSE, Caller, CallerLeft, Receive, Send
from firedoor.gateway.service import AT_ONCE, Service, SurfaceService, weight_of

log = logging.getLogger("firedoor.gateway")

BODY_TIME = 15.0
"""Seconds for a request body. Shops' servers send theirs in milliseconds; a dripping one is given up."""
RECORD_TIME = 1.0
"""Seconds after which an outcome that is not durable counts as failed: a disk that hangs must not hold answers."""
AHEAD = 32 * 1024
"""Bytes of the model's answer that may wait for a slow caller before the model has to."""
CHECKING = 2.0
"""Seconds that the check of one answer may take in all: a thousand times what it takes, for a search gone wrong."""
PROGRESS = 0.25
"""Seconds between progress records of a long stream."""
CHANCES = 1 << 20
"""Steps of a random number from 0 to 1."""

INTERNAL = CallerError(500, "internal_error", "Firedoor could not handle this request.")


class Driver:
    """One exchange: a mailbox of facts, and the hands that carry out effects."""

    def __init__(self, service: Service, surface: SurfaceService, call: Call, receive: Receive, send: Send) -> None:
        self._service = service
        self._surface = surface
        self._call = call
        self._caller = Caller(receive, send, lambda: self.put(ev.ClientLeft()))
        self._loop = asyncio.get_running_loop()
        self._machine = Exchange(call, surface.terms)
        self._mail: deque[ev.Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self._gate: asyncio.Future[None] | None = None
        self._ahead = 0
        self._weight = 0
        self._checking = 0.0
        self._timers: list[asyncio.TimerHandle] = []
        self._progress: asyncio.TimerHandle | None = None
        self._ticket = 0
        self._leave: Leave | None = None
        self._asked_at = 0.0
        self._over = False

    async def run(self) -> None:
        """Drive the exchange to its end. Never raises; what was started is ended and awaited."""
        service, surface = self._service, self._surface
        self._set_timers()
        standing = service.doors.standing(self._call.scope, surface.lease)
        try:
            effects = deque(self._machine.begin(standing, service.ai_off()))
            if standing.state == "open":
                self._ticket = service.doors.watch(self._call.scope, surface.lease, self._door_shut)
            while not self._over:
                while effects:
                    await self._carry_out(effects.popleft())
                if self._over:
                    break
                effects.extend(self._handle(await self._next_fact()))
        except Exception as error:  # noqa: BLE001  # the last line of defence: no traceback may reach a caller
            log.error("exchange %s failed: %s", self._call.exchange, type(error).__name__)
            service.metrics.count("internal_errors")
            await self._give_up()
        finally:
            await self._end()
        service.metrics.outcome(self._call.scope.surface, self._machine.outcome or "refused")

    # --- facts --------------------------------------------------------------------------------------------------------

    def put(self, event: ev.Event) -> None:
        """Drop a fact into the mailbox."""
        self._mail.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _next_fact(self) -> ev.Event:
        while not self._mail:
            self._waiter = self._loop.create_future()
            await self._waiter
        event = self._mail.popleft()
        if type(event) is ev.ModelSent:
            self._ahead -= len(event.data)
            if self._gate is not None and self._ahead < AHEAD and not self._gate.done():
                self._gate.set_result(None)  # the caller has taken what was waiting: the model may send more
            now = self._service.doors.standing(self._call.scope, self._surface.lease)
            if now.state != "open":  # looked at before each released chunk
                return ev.DoorShut(now)
        return event

    def _handle(self, event: ev.Event) -> list[do.Effect]:
        """Have the machine take a fact; what the model said is checked in there, and that may not take for ever."""
        if type(event) is not ev.ModelSent:
            return self._machine.handle(event)
        began = self._loop.time()
        effects = self._machine.handle(event)
        self._checking += self._loop.time() - began
        if self._checking > CHECKING:
            self._mail.appendleft(ev.CheckOverran())
        return effects

    def _door_shut(self, standing: Standing) -> None:
        # At once, also while this exchange waits for a caller who takes nothing: what waits to be sent is not sent.
        if self._pump is not None:
            self._pump.cancel()
        self._caller.drop_waiting()
        self.put(ev.DoorShut(standing))

    def _set_timers(self) -> None:
        surface, later = self._surface, self._loop.call_later
        self._timers = [
            later(surface.model_time, self._model_time_up),
            later(surface.deadline, self.put, ev.DeadlinePassed()),
        ]

    def _model_time_up(self) -> None:
        had = (self._loop.time() - self._asked_at) / self._surface.model_time if self._asked_at else 0.0
        self.put(ev.ModelTimeUp(had))

    # --- effects ------------------------------------------------------------------------------------------------------

    async def _carry_out(self, effect: do.Effect) -> None:
        await _HANDS[type(effect)](self, effect)

    async def _read_body(self, _: do.ReadBody) -> None:
        limit, seconds = self._surface.terms.limits.body_bytes, min(BODY_TIME, self._surface.deadline)
        try:
            body = await self._caller.read(limit, seconds)
        except CallerError as error:
            self.put(ev.BodyRefused(error))
        except CallerLeft:
            self.put(ev.ClientLeft())
        else:
            self._weight = weight_of(body)
            self.put(ev.BodyRead(body))

    async def _inspect(self, effect: do.Inspect) -> None:
        inspector = self._surface.inspector
        if self._weight <= AT_ONCE and not inspector.slow:
            await self._inspected(inspector.inspect(effect.request, effect.subject, self._call.granted))
        else:  # beside the loop: the deadline and the switches must be heard meanwhile
            inspection = self._inspected(
                inspector.inspect_in_thread(effect.request, effect.subject, self._call.granted)
            )
            self._pumps.append(self._loop.create_task(inspection, name=f"inspect {self._call.exchange}"))

    async def _inspected(self, inspection: Awaitable[ev.Inspected | ev.InspectionRefused]) -> None:
        try:
            self.put(await inspection)
        except Exception as error:  # noqa: BLE001  # a detector that failed is not a detector that found nothing
            log.error("inspection failed: %s", type(error).__name__)
            self.put(ev.InspectionFailed())

    async def _weigh_session(self, effect: do.WeighSession) -> None:
        standing = self._service.sessions.note(self._call.session_keys(), effect.turn, time.time())
        if standing.load >= 1:  # a session, a network, or all that one credential carries
            self._service.metrics.count(f"pressed_{standing.kind}")
        self.put(ev.SessionWeighed(standing))

    async def _note_turn(self, effect: do.NoteTurn) -> None:
        self._service.sessions.note(self._call.session_keys(), effect.turn, time.time())

    async def _wait(self, effect: do.Wait) -> None:
        self._timers.append(self._loop.call_later(effect.seconds, self.put, ev.Waited()))

    async def _look_up_answer(self, effect: do.LookUpAnswer) -> None:
        cache = self._surface.cache
        found = cache.find(effect.partition, effect.request) if cache is not None else None
        if isinstance(found, Poisoned):
            self._service.metrics.count("poisoned_cache")
            self.put(ev.AnswerMissed(found.exchange))
        else:
            self.put(ev.AnswerMissed() if found is None else ev.AnswerFound(found))

    async def _keep_answer(self, effect: do.KeepAnswer) -> None:
        cache, rules, call = self._surface.cache, self._surface.terms.cache, self._call
        if cache is not None and rules is not None:
            source = Source(exchange=call.exchange, subject=call.subject, session=call.session)
            self._service.beside(partial(cache.keep, effect.partition, effect.request, effect.text, source, rules))

    async def _set_answer_aside(self, effect: do.SetAnswerAside) -> None:
        if self._surface.cache is not None:
            self._service.beside(partial(self._surface.cache.set_aside, effect.partition, effect.request))

    async def _ask_breaker(self, _: do.AskBreaker) -> None:
        breaker = self._surface.breaker
        if breaker is not None:
            self._leave = breaker.ask(self._loop.time())
        self.put(ev.BreakerOpen() if breaker is not None and self._leave is None else ev.MayCall())

    async def _tell_breaker(self, effect: do.TellBreaker) -> None:
        breaker, leave, now = self._surface.breaker, self._leave, self._loop.time()
        if breaker is None or leave is None:
            return
        match effect.fate:
            case "answering":
                breaker.answering(leave, now)
            case "answered":
                breaker.answered(leave, now)
            case "failed":
                breaker.failed(leave, now, secrets.randbelow(CHANCES) / CHANCES)

    async def _record_intent(self, effect: do.RecordIntent) -> None:
        future = self._append("intent", effect.facts, effect.body)
        future.add_done_callback(lambda done: self.put(ev.IntentFailed() if _failed(done) else ev.IntentRecorded()))

    async def _record_outcome(self, effect: do.RecordOutcome) -> None:
        number = effect.number
        future = self._append("outcome", effect.facts, effect.body)

        def recorded(done: asyncio.Future[int]) -> None:
            failed = _failed(done)
            if failed:
                self._service.metrics.count("not_recorded")
            self.put(ev.OutcomeFailed(number) if failed else ev.OutcomeRecorded(number))

        future.add_done_callback(recorded)
        self._timers.append(self._loop.call_later(RECORD_TIME, self.put, ev.OutcomeFailed(number)))

    async def _record_finding(self, effect: do.RecordFinding) -> None:
        self._append("finding", effect.facts, effect.body).add_done_callback(_failed)

    async def _record_progress(self, effect: do.RecordProgress) -> None:
        self._service.journal.note(self._record("progress", effect.facts))

    async def _shut_door(self, effect: do.ShutDoor) -> None:
        service, scope = self._service, effect.scope
        service.doors.unwatch(self._ticket)  # this exchange knows already
        service.doors.reflex(scope)
        service.metrics.count("leaks_stopped")

        def recorded(done: asyncio.Future[int]) -> None:
            if _failed(done):
                # Without its body the finding may still fit; control only needs to know of it.
                self._append("finding", effect.facts).add_done_callback(at_last)
            else:
                at_last(done)

        def at_last(done: asyncio.Future[int]) -> None:
            if _failed(done):
                service.doors.latch()
                return
            service.doors.recorded(scope, done.result())
            service.nudge()

        self._append("finding", effect.facts, effect.body).add_done_callback(recorded)

    def _is_shut(self) -> bool:
        """Whether the door is not open any more: it may have been shut while the intent was on its way to the disk."""
        now = self._service.doors.standing(self._call.scope, self._surface.lease)
        if now.state != "open":
            self.put(ev.DoorShut(now))
        return now.state != "open"

    async def _take_kept(self, effect: do.TakeKept) -> None:
        if not self._is_shut():
            self._ahead += len(effect.data)
            self.put(ev.ModelResponded(200, effect.event_stream))
            self.put(ev.ModelSent(effect.data))
            self.put(ev.ModelFinished())

    async def _call_model(self, effect: do.CallModel) -> None:
        if self._is_shut():
            return
        self._asked_at = self._loop.time()
        self._pump = self._loop.create_task(self._pump_model(effect), name=f"model {self._call.exchange}")
        self._pumps.append(self._pump)

    async def _pump_model(self, effect: do.CallModel) -> None:
        try:
            answer = await self._surface.model.call(effect.path, effect.body, timeout=self._surface.model_time)
        except ModelFailed as failed:
            self.put(ev.ModelBroke(failed.reason))
            return
        try:
            self.put(ev.ModelResponded(answer.status, answer.event_stream))
            async for data in answer.chunks():
                self._ahead += len(data)
                self.put(ev.ModelSent(data))
                if self._ahead >= AHEAD:  # a slow caller slows the model
                    self._gate = self._loop.create_future()
                    await self._gate
            self.put(ev.ModelFinished())
        except ModelFailed as failed:
            self.put(ev.ModelBroke(failed.reason))
        except Exception as error:  # noqa: BLE001  # a fault of ours must not leave the caller waiting
            log.error("reading from a model failed: %s", type(error).__name__)
            self.put(ev.ModelBroke("internal"))
        finally:
            await answer.aclose()

    async def _stop_model(self, _: do.StopModel) -> None:
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None

    async def _give_fallback(self, effect: do.GiveFallback) -> None:
        try:
            self.put(ev.FallbackGiven(self._surface.fallback(effect.request)))
        except Exception as error:  # noqa: BLE001  # the caller still gets an answer: an error with a code
            log.error("fallback failed: %s", type(error).__name__)
            self.put(ev.FallbackFailed())

    async def _respond(self, effect: do.Respond) -> None:
        await self._caller.start(effect.status, (*effect.headers, ("content-length", str(len(effect.body)))))
        await self._caller.send(effect.body, last=True)
        self._over = True

    async def _start_stream(self, effect: do.StartStream) -> None:
        await self._caller.start(200, effect.headers)
        surface = self._surface
        self._timers.append(self._loop.call_later(surface.stream_deadline, self.put, ev.StreamTimeUp()))
        self._progress = self._loop.call_later(PROGRESS, self._progress_due)

    async def _send_bytes(self, effect: do.Send) -> None:
        await self._caller.send(effect.data)

    async def _end_stream(self, effect: do.EndStream) -> None:
        await self._caller.send(effect.data, last=True)
        self._over = True

    async def _close(self, _: do.Close) -> None:
        self._over = True

    def give_up_if_stuck(self, now: float) -> None:
        """See `Caller.give_up_if_stuck`."""
        self._caller.give_up_if_stuck(now)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _progress_due(self) -> None:
        if self._service.journal.poisoned:  # what is not on record must not go on
            self.put(ev.DoorShut(Standing("stale", self._machine.standing.version, "journal_poisoned")))
            return
        self.put(ev.ProgressDue())
        self._progress = self._loop.call_later(PROGRESS, self._progress_due)

    async def _give_up(self) -> None:
        """After a fault of ours: stop the model, say so if nothing was said yet, and leave a record."""
        await self._stop_model(do.StopModel())
        facts: dict[str, Fact] = {**self._call.facts(), "outcome": "cut" if self._caller.head_sent else "refused"}
        self._append("outcome", {**facts, "reason": "internal_error"}).add_done_callback(_failed)
        if not self._caller.head_sent:
            headers = (("content-type", "application/json"), ("firedoor-exchange", self._call.exchange), *CLOSE)
            await self._respond(do.Respond(500, headers, error_body(INTERNAL)))

    async def _end(self) -> None:
        self._service.doors.unwatch(self._ticket)
        if self._surface.breaker is not None and self._leave is not None:
            self._surface.breaker.nothing(self._leave)  # unless it has heard of the call
        for timer in self._timers:
            timer.cancel()
        if self._progress is not None:
            self._progress.cancel()
        await self._caller.aclose()
        for task in self._pumps:
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def _append(self, kind: Kind, facts: dict[str, Fact], body: bytes | None = None) -> asyncio.Future[int]:
        """The journal's future; a record that it cannot hold is one that failed."""
        try:
            return self._service.journal.append(self._record(kind, facts, body))
        except ValueError as error:
            log.error("a record does not fit: %s", type(error).__name__)
            failed: asyncio.Future[int] = self._loop.create_future()
            failed.set_exception(error)
            return failed

    def _record(self, kind: Kind, facts: dict[str, Fact], body: bytes | None = None) -> Record:
        call = self._call
        return Record(
            kind=kind, exchange=call.exchange, at=time.time_ns(), facts=facts, body=body,
            retention=call.scope.surface, subject=call.subject, session=call.session,
        )  # fmt: skip


def _failed(done: asyncio.Future[int]) -> bool:
    """Whether an append failed; the journal itself logs and remembers why."""
    return done.cancelled() or done.exception() is not None


_HANDS: dict[type[do.Effect], Callable[[Driver, Any], Awaitable[None]]] = {
    do.ReadBody: Driver._read_body,
    do.Inspect: Driver._inspect,
    do.WeighSession: Driver._weigh_session,
    do.NoteTurn: Driver._note_turn,
    do.Wait: Driver._wait,
    do.LookUpAnswer: Driver._look_up_answer,
    do.KeepAnswer: Driver._keep_answer,
    do.SetAnswerAside: Driver._set_answer_aside,
    do.AskBreaker: Driver._ask_breaker,
    do.TellBreaker: Driver._tell_breaker,
    do.RecordIntent: Driver._record_intent,
    do.RecordOutcome: Driver._record_outcome,
    do.RecordFinding: Driver._record_finding,
    do.RecordProgress: Driver._record_progress,
    do.ShutDoor: Driver._shut_door,
    do.CallModel: Driver._call_model,
    do.TakeKept: Driver._take_kept,
    do.StopModel: Driver._stop_model,
    do.GiveFallback: Driver._give_fallback,
    do.Respond: Driver._respond,
    do.StartStream: Driver._start_stream,
    do.Send: Driver._send_bytes,
    do.EndStream: Driver._end_stream,
    do.Close: Driver._close,
}
