"""The other side of an exchange, in memory: what a driver, a model instance, a disk and a caller could do next.

`Simulation` plays one exchange with random choices and notes every breach of the rules that always hold. The same
simulation must come out clean for the real machine and must find faults planted on purpose.
"""

import json
import random

from firedoor.core.answers import pieces
from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.call import Call, Terms
from firedoor.core.exchange.machine import Exchange
from firedoor.core.fallback import FallbackAnswer
from firedoor.core.minimise import minimise
from firedoor.core.plan.model import Limits, MessageFallback
from firedoor.core.sse import FrameDecoder
from firedoor.core.switches import Scope, Standing

SECRET = "ALP-2210 cost EUR 41.85"
MAIL = "mia@example.org"
OPEN = Standing("open", 1)
SHUT = Standing("shut", 2, "operator", Scope("eu"))
FALLBACK_TEXT = "Our team will answer you."
CUT_TEXT = "This answer was stopped."


def leak_index(values=(SECRET,)):
    return LeakIndex(ValueIndex.build([ProtectedValue(f"v{i}", "prices", "value", v) for i, v in enumerate(values)]))


INDEX = leak_index()


def terms(**more):
    return Terms(
        model_id="eu-chat",
        model_name="small",
        remote_name="small",
        limits=Limits(),
        fallback=MessageFallback(text={"en": FALLBACK_TEXT}),
        cut_text={"en": CUT_TEXT},
        **more,
    )


def call(route="chat"):
    return Call(
        exchange="fx-1",
        route=route,
        scope=Scope("eu", "shop", "support", "eu-chat"),
        credential="c1",
        plan="p",
        began=1,
    )


def find_mail(text):
    from firedoor.core.detect.spans import Span

    start = text.find(MAIL)
    return [Span(start, start + len(MAIL), "EMAIL", "test")] if start >= 0 else []


def inspected(request, index=INDEX):
    done = minimise(request, find_mail)
    return ev.Inspected(done.request, done.placeholders, done.counts, index.guard(index.read(request)))


def body(text=f"Hello, I am {MAIL}", **more):
    return json.dumps({"model": "small", "messages": [{"role": "user", "content": text}], **more}).encode()


def chunk(text=None, *, finish=None, index=0):
    delta = {} if text is None else {"content": text}
    document = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "small",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def answer(text):
    message = {"role": "assistant", "content": text}
    document = {"id": "c1", "object": "chat.completion", "created": 1, "model": "small"}
    return json.dumps({**document, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def streamed_text(data):
    """The content a caller reads from event-stream bytes."""
    decoder = FrameDecoder()
    text = ""
    for frame in decoder.feed(data) + decoder.finish():
        if frame.data and frame.data != b"[DONE]":
            text += "".join(p.text for p in pieces(json.loads(frame.data)) if p.channel is not None)
    return text


def whole_text(data):
    return "".join(p.text for p in pieces(json.loads(data)) if p.channel is not None)


class Simulation:
    """One exchange against a random world. `breaches` lists what went against the rules."""

    def __init__(self, seed, machine_type=Exchange):
        self.random = random.Random(seed)
        self.machine = machine_type(call(), terms())
        self.stream = self.random.random() < 0.7
        self.breaches = []
        self.pending = []  # facts the world owes
        self.sent = b""
        self.status = None
        self.closed = False
        self.intent_durable = False
        self.outcomes_durable = set()
        self.last_outcome = None
        self.model_busy = False
        self.model_stopped = False
        self.shut_told = False
        self.overdue = False
        self.sent_when_shut = None
        self.leaks = self.random.random() < 0.4

    def run(self):
        begin = OPEN if self.random.random() < 0.9 else SHUT
        self.perform(self.machine.begin(begin))
        for _ in range(300):
            if self.closed:
                break
            self.step()
        self.check("never ended", self.closed)
        if self.closed:
            for late in (
                ev.ModelSent(b"x"),
                ev.ModelFinished(),
                ev.DoorShut(SHUT),
                ev.OutcomeRecorded(1),
                ev.ClientLeft(),
            ):
                self.check("acts after its end", self.machine.handle(late) == [])
        self.check_what_the_caller_got()
        return self.breaches

    def step(self):
        roll = self.random.random()
        if roll < 0.03:
            self.tell(ev.DoorShut(SHUT))
        elif roll < 0.05:
            self.tell(ev.ClientLeft())
        elif roll < 0.07:
            self.tell(ev.ModelTimeUp())
        elif roll < 0.09:
            self.overdue = True
            self.tell(ev.DeadlinePassed())
        elif roll < 0.10:
            self.tell(ev.StreamTimeUp())
        elif roll < 0.12:
            self.tell(ev.ProgressDue())
        elif self.pending:
            # Facts of one source keep their order; sources overtake each other.
            source = self.random.choice(sorted({s for s, _ in self.pending}))
            index = next(i for i, (s, _) in enumerate(self.pending) if s == source)
            self.tell(self.pending.pop(index)[1])
        else:
            self.overdue = True
            self.tell(ev.DeadlinePassed())
            self.tell(ev.StreamTimeUp())

    def tell(self, event):
        if isinstance(event, ev.IntentRecorded):
            self.intent_durable = True
        if isinstance(event, ev.OutcomeRecorded):
            self.outcomes_durable.add(event.number)
        if isinstance(event, ev.DoorShut) and not self.closed:
            self.shut_told = True
            self.sent_when_shut = len(self.sent)
        if (
            isinstance(event, ev.ModelSent | ev.ModelFinished | ev.ModelBroke | ev.ModelResponded)
            and self.model_stopped
        ):
            pass  # late news is part of the world
        if isinstance(event, ev.ModelFinished | ev.ModelBroke):
            self.model_busy = False
        self.perform(self.machine.handle(event))

    def perform(self, effects):
        for effect in effects:
            self.check("acts after its end", not self.closed)
            getattr(self, "on_" + type(effect).__name__, lambda _: None)(effect)

    def on_ReadBody(self, _):
        options = [ev.BodyRead(body(stream=self.stream))] * 8 + [ev.BodyRead(b"{"), ev.BodyRead(body(n="x"))]
        self.pending.append(("body", self.random.choice(options)))

    def on_Inspect(self, effect):
        failed = self.random.random() < 0.1
        self.pending.append(("inspect", ev.InspectionFailed() if failed else inspected(effect.request)))

    def on_RecordIntent(self, effect):
        self.check("personal data in the log", MAIL.encode() not in effect.body)
        self.pending.append(("disk", ev.IntentFailed() if self.random.random() < 0.1 else ev.IntentRecorded()))

    def on_CallModel(self, effect):
        self.check("model called before the intent is durable", self.intent_durable)
        self.check("model called with a shut door", not self.shut_told)
        self.check("model called twice", not self.model_busy)
        self.check("personal data reached the model", MAIL.encode() not in effect.body)
        self.model_busy = True
        self.pending += [("model", event) for event in self.model_script()]

    def model_script(self):
        r = self.random
        if r.random() < 0.1:
            return [ev.ModelBroke(r.choice(["refused", "timeout"]))]
        if r.random() < 0.1:
            return [ev.ModelResponded(r.choice([400, 500, 302]), event_stream=False), ev.ModelFinished()]
        text = "Dear <EMAIL_1>, " + "word " * r.randrange(6)
        text += f"we pay {SECRET} for it." if self.leaks else "all is well with ALP-2210 cost."
        if not self.stream:
            return [ev.ModelResponded(200, event_stream=False), ev.ModelSent(answer(text)), ev.ModelFinished()]
        raw = (
            b"".join(chunk(text[i : i + 3]) for i in range(0, len(text), 3))
            + chunk(finish="stop")
            + b"data: [DONE]\n\n"
        )
        cuts = sorted(r.randrange(len(raw)) for _ in range(r.randrange(1, 12)))
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        events = [ev.ModelResponded(200, event_stream=True), *(ev.ModelSent(p) for p in pieces)]
        if r.random() < 0.15:
            return [*events[: r.randrange(1, len(events))], ev.ModelBroke("died")]
        if r.random() < 0.1:
            return [*events[: r.randrange(1, len(events))], ev.ModelFinished()]
        if r.random() < 0.1:
            return [*events[: r.randrange(1, len(events))], ev.ModelSent(b"data: garbage\n\n"), ev.ModelFinished()]
        return [*events, ev.ModelFinished()]

    def on_StopModel(self, _):
        self.model_busy = False
        self.model_stopped = True

    def on_GiveFallback(self, _):
        failed = self.random.random() < 0.1
        given = ev.FallbackFailed() if failed else ev.FallbackGiven(FallbackAnswer(FALLBACK_TEXT, False, "message"))
        self.pending.append(("fallback", given))

    def on_RecordOutcome(self, effect):
        self.last_outcome = effect
        if effect.body:
            self.check("personal data in the log", MAIL.encode() not in effect.body)
        failed = self.random.random() < 0.15  # an error, or a disk that hangs until the driver gives it up
        number = effect.number
        self.pending.append(("disk", ev.OutcomeFailed(number) if failed else ev.OutcomeRecorded(number)))

    def on_ShutDoor(self, effect):
        self.check("shuts more than the narrowest scope", effect.scope == self.machine.call.scope)
        self.pending.append(("switches", ev.DoorShut(SHUT)))  # the driver looks again before the next chunk

    def on_StartStream(self, _):
        self.check("two response heads", self.status is None)
        self.status = 200

    def on_Send(self, effect):
        self.check("bytes before the head", self.status is not None)
        self.sent += effect.data

    def on_EndStream(self, effect):
        self.check("bytes before the head", self.status is not None)
        self.end(effect.data)

    def on_Respond(self, effect):
        self.check("two response heads", self.status is None)
        self.status = effect.status
        self.end(effect.body)

    def end(self, data):
        self.sent += data
        outcome = self.last_outcome
        self.check("ended without an outcome", outcome is not None)
        if outcome is not None and outcome.facts["outcome"] in ("answered", "minimised"):
            recorded = outcome.number in self.outcomes_durable
            self.check(
                "answer closed before its outcome is durable", recorded or (self.stream and self.machine.started)
            )
        self.finish()

    def on_Close(self, _):
        self.finish()

    def finish(self):
        self.closed = True
        self.check("model left running", not self.model_busy)

    def check_what_the_caller_got(self):
        if self.status != 200 or not self.sent:
            return
        try:
            text = streamed_text(self.sent) if self.stream else whole_text(self.sent)
        except ValueError:
            self.check("malformed answer", holds=False)
            return
        self.check("part of the protected value got out", not self.leaks or "41" not in text)
        self.check("placeholder left unrestored", "<EMAIL_1>" not in text)
        if self.stream and self.sent.endswith(b"[DONE]\n\n"):
            last = json.loads(self.sent.split(b"\n\n")[-3].removeprefix(b"data: "))
            self.check(
                "no outcome in the last event",
                last.get("firedoor", {}).get("outcome") == self.last_outcome.facts["outcome"],
            )
        if self.shut_told and self.stream:
            after = streamed_text(self.sent[self.sent_when_shut :])
            self.check("the model's text after the door shut", after.strip() in ("", CUT_TEXT, FALLBACK_TEXT))

    def check(self, what, holds):
        if not holds and what not in self.breaches:
            self.breaches.append(what)
