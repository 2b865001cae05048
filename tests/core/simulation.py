"""One exchange with random choices: what a driver, a model instance, a cache, a disk and a caller could do next.

`Simulation` notes every breach of the rules that always hold. It must come out clean for the real machine and must find
faults planted on purpose.
"""

import json
import random

from firedoor.core import sessions
from firedoor.core.cache import Found
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.machine import Exchange
from firedoor.core.exchange.texts import MASK
from firedoor.core.fallback import FallbackAnswer
from firedoor.core.plan.model import AnswerRules, CacheRules, PromptRules

from .world import (
    CUT_TEXT,
    FALLBACK_TEXT,
    INDEX,
    MAIL,
    OPEN,
    SECRET,
    SHUT,
    Crashes,
    answer,
    body,
    call,
    chunk,
    documents,
    inspected,
    looked,
    reading,
    terms,
)


class Simulation:
    """One exchange against a random world. `breaches` lists what went against the rules."""

    def __init__(self, seed, machine_type=Exchange):
        self.random = r = random.Random(seed)
        self.rules = AnswerRules(leak=r.choice(["record", "mask", "cut", "fallback", "shut", "shut"]))
        cache = CacheRules(scope="surface") if r.random() < 0.5 else None
        self.stream = r.random() < 0.7
        self.personal = r.random() < 0.6
        self.choices = 2 if r.random() < 0.2 else 1
        self.index = Crashes(r.randrange(60)) if r.random() < 0.15 else INDEX
        self.finishes = r.random() < 0.9
        self.said = ""
        self.kept = None
        self.aside = False
        self.finding = False
        self.breaches = []
        self.pending = []  # facts the world owes
        self.sent = b""
        self.status = None
        self.closed = False
        self.called = False
        self.intent_durable = False
        self.outcomes_durable = set()
        self.last_outcome = None
        self.model_busy = False
        self.model_stopped = False
        self.shut_told = False
        self.overdue = False
        self.sent_when_shut = None
        self.leaks = r.random() < 0.4
        asks = ["off", "record", "fallback", "refuse"]
        self.prompts = PromptRules(
            mode=r.choice(["enforce", "enforce", "shadow"]),
            attack=r.choice(asks),
            asked=r.choice(asks),
            indirect=r.choice([*asks, "withhold"]),
            sessions=r.choice(["off", "observe", "slow", "refuse"]),
        )
        self.attack, self.asks, self.planted = r.random() < 0.1, r.random() < 0.1, r.random() < 0.1
        self.rung = r.choice(["observe"] * 6 + ["slow", "refuse"])
        self.waits = False
        self.breaker = r.choice(["closed", "closed", "closed", "open"])
        self.let_through = False
        self.fates = []
        self.machine = machine_type(call(), terms(answer_rules=self.rules, cache=cache, prompts=self.prompts))

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
            self.tell(ev.ModelTimeUp(self.random.random()))
        elif roll < 0.09:
            self.overdue = True
            self.tell(ev.DeadlinePassed())
        elif roll < 0.10:
            self.tell(ev.StreamTimeUp())
        elif roll < 0.12:
            self.tell(ev.ProgressDue())
        elif roll < 0.13:
            self.tell(ev.CheckOverran())
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
            self.check("acts after its end", not self.closed or isinstance(effect, do.KeepAnswer))
            getattr(self, "on_" + type(effect).__name__, lambda _: None)(effect)

    def on_ReadBody(self, _):
        text = f"Hello, I am {MAIL}" if self.personal else "Which sizes are there?"
        text += " ATTACK" * self.attack + " ASKS" * self.asks + " <review>PLANTED</review>" * self.planted
        read = ev.BodyRead(body(stream=self.stream, n=self.choices, text=text))
        options = [read] * 8 + [ev.BodyRead(b"{"), ev.BodyRead(body(n="x"))]
        self.pending.append(("body", self.random.choice(options)))

    def on_Inspect(self, effect):
        failed = self.random.random() < 0.1
        marks = {"ATTACK": reading(0.9), "ASKS": reading(0.1, asked=("cost",)), "PLANTED": reading(0.8)}
        seen = looked(effect.request, rules=self.prompts, marks=marks, guarded={"cost"})
        done = ev.InspectionFailed() if failed else inspected(seen.request, self.index, seen)
        self.pending.append(("inspect", done))

    def on_WeighSession(self, effect):
        self.check("a session is weighed that nobody weighs", self.prompts.sessions != "off")
        standing = sessions.Standing(self.rung, "session", "attacks", 30.0, 2.0)
        self.pending.append(("session", ev.SessionWeighed(standing)))

    def on_Wait(self, effect):
        self.waits = True
        self.check("waits for nothing", self.rung != "observe" and effect.seconds == 1.0)
        self.pending.append(("session", ev.Waited()))

    def must_not_ask(self):
        """Whether the rules say that the model is not asked."""
        if self.prompts.mode == "shadow":
            return False
        stops = ("fallback", "refuse")
        return (
            (self.attack and self.prompts.attack in stops)
            or (self.asks and self.prompts.asked in stops)
            or (self.planted and self.prompts.indirect in stops)
            or (self.rung == "refuse" and self.prompts.sessions == "refuse")
        )

    def must_wait(self):
        return self.prompts.mode == "enforce" and self.rung != "observe" and self.prompts.sessions in ("slow", "refuse")

    def on_LookUpAnswer(self, effect):
        self.check("the cache is asked about somebody", not self.personal and self.choices == 1)
        self.check("the cache is asked with a shut door", not self.shut_told)
        missed = ev.AnswerMissed("fx-9" if self.random.random() < 0.3 else None)
        found = ev.AnswerFound(Found(self.text(), "fx-0", 1))
        self.pending.append(("cache", found if self.random.random() < 0.5 else missed))

    def on_AskBreaker(self, _):
        self.check("the breaker is asked about a kept answer", self.machine._kept is None)
        self.check("the breaker is asked twice", not self.let_through)
        self.let_through = self.breaker == "closed"
        self.pending.append(("breaker", ev.MayCall() if self.let_through else ev.BreakerOpen()))

    def on_TellBreaker(self, effect):
        self.check("the breaker hears of no call", self.called)
        self.check("the breaker hears twice of a call", self.fates in ([], ["answering"]))
        self.check("begun after its end", effect.fate != "answering" or self.fates == [])
        fault = (self.machine.reason or "").startswith("model_") or self.machine.reason == "deadline"
        self.check("a failure that is not the model's", fault or effect.fate != "failed")
        self.fates.append(effect.fate)

    def on_KeepAnswer(self, effect):
        self.check("kept before its outcome is durable", self.last_outcome.number in self.outcomes_durable)
        clean = not (self.leaks or self.personal or self.finding or self.kept)
        self.check("kept what is not a whole clean answer", clean and effect.text == self.said)

    def on_SetAnswerAside(self, _):
        self.check("set aside what was not kept", self.kept is not None)
        self.aside = True

    def on_TakeKept(self, effect):
        self.check("a kept answer taken before the intent is durable", self.intent_durable)
        self.check("a kept answer taken with a shut door", not self.shut_told)
        self.kept = effect
        sent = [ev.ModelResponded(200, event_stream=self.stream), ev.ModelSent(effect.data), ev.ModelFinished()]
        self.pending += [("model", event) for event in sent]

    def on_RecordFinding(self, effect):
        self.finding = True
        self.check("protected content in a finding", SECRET not in json.dumps(effect.facts))

    def on_RecordIntent(self, effect):
        self.check("an intent with an open breaker", self.let_through or self.machine._kept is not None)
        self.check("personal data in the log", MAIL.encode() not in effect.body)
        self.pending.append(("disk", ev.IntentFailed() if self.random.random() < 0.1 else ev.IntentRecorded()))

    def on_CallModel(self, effect):
        self.check("model called before the intent is durable", self.intent_durable)
        self.check("model called with a shut door", not self.shut_told)
        self.check("model called twice", not self.model_busy)
        self.check("model called with an open breaker", self.let_through)
        self.called = True
        self.check("model asked what it must not be asked", not self.must_not_ask())
        self.check("a slowed session did not wait", self.waits or not self.must_wait())
        withheld = self.prompts.mode == "enforce" and self.prompts.indirect == "withhold"
        self.check("what is withheld reached the model", not (withheld and b"PLANTED" in effect.body))
        self.check("personal data reached the model", MAIL.encode() not in effect.body)
        self.model_busy = True
        self.pending += [("model", event) for event in self.model_script()]

    def model_script(self):
        r = self.random
        if r.random() < 0.1:
            return [ev.ModelBroke(r.choice(["refused", "timeout"]))]
        if r.random() < 0.1:
            return [ev.ModelResponded(r.choice([400, 500, 302]), event_stream=False), ev.ModelFinished()]
        text = self.text()
        if not self.stream:
            whole = answer(text, self.choices)
            return [ev.ModelResponded(200, event_stream=False), ev.ModelSent(whole), ev.ModelFinished()]
        raw = self.streamed(text) + b"data: [DONE]\n\n"
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

    def text(self):
        said = "Dear <EMAIL_1>, " if self.personal else "Well, "
        said += "word " * self.random.randrange(6)
        self.said = said + (f"we pay {SECRET} for it." if self.leaks else "all is well with ALP-2210 cost.")
        return self.said

    def streamed(self, text):
        """The chunks of all choices, side by side at random."""
        left = {}
        for choice in range(self.choices):
            parts = [chunk(text[i : i + 3], index=choice) for i in range(0, len(text), 3)]
            left[choice] = [*parts, chunk(finish="stop", index=choice)] if self.finishes else parts
        raw = b""
        while left:
            choice = self.random.choice(sorted(left))
            raw += left[choice].pop(0)
            if not left[choice]:
                del left[choice]
        return raw

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
        crashed = self.index is not INDEX and self.index.crashed
        self.check("what was not scanned counts as clean", not crashed or effect.facts["scan"] == "not_scanned")
        failed = self.random.random() < 0.15  # an error, or a disk that hangs until the driver gives it up
        number = effect.number
        self.pending.append(("disk", ev.OutcomeFailed(number) if failed else ev.OutcomeRecorded(number)))

    def on_ShutDoor(self, effect):
        self.finding = True
        self.check("shuts for no leak", self.leaks and self.rules.leak == "shut")
        self.check("protected content in a finding", SECRET not in json.dumps(effect.facts))
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
        facts = self.last_outcome.facts if self.last_outcome is not None else {}
        if self.called and facts.get("outcome") in ("answered", "minimised"):
            self.check("the breaker did not hear of an answer", self.fates[-1:] == ["answered"])
        if self.kept is not None and self.last_outcome is not None:
            found = self.last_outcome.facts["scan"] in ("found", "not_scanned")
            self.check("a kept answer is set aside for nothing, or is not", self.aside == found)

    def check_what_the_caller_got(self):
        if self.status != 200 or not self.sent:
            return
        try:
            given = documents(self.sent) if self.stream else [json.loads(self.sent)]
        except ValueError:
            self.check("malformed answer", holds=False)
            return
        for choice in range(self.choices):
            self.check_choice([one for document in given for one in document["choices"] if one["index"] == choice])
        if self.stream and self.sent.endswith(b"[DONE]\n\n"):
            last = json.loads(self.sent.split(b"\n\n")[-3].removeprefix(b"data: "))
            self.check(
                "no outcome in the last event",
                last.get("firedoor", {}).get("outcome") == self.last_outcome.facts["outcome"],
            )
        if self.shut_told and self.stream:
            after = documents(self.sent[self.sent_when_shut :])
            for choice in range(self.choices):
                parts = [one for document in after for one in document["choices"] if one["index"] == choice]
                text = "".join(part["delta"].get("content") or "" for part in parts)
                self.check("the model's text after the door shut", text.strip() in ("", CUT_TEXT, FALLBACK_TEXT))

    def check_choice(self, parts):
        """What a caller got of one choice."""
        text = "".join(part["delta" if self.stream else "message"].get("content") or "" for part in parts)
        if self.rules.leak != "record":
            self.check("part of the protected value got out", not self.leaks or "41" not in text)
        self.check("placeholder left unrestored", "<EMAIL_1>" not in text)
        said = self.said.replace("<EMAIL_1>", MAIL)
        if self.rules.leak == "mask":
            said = said.replace(SECRET, MASK)
        text = text.removesuffix(CUT_TEXT).removesuffix(FALLBACK_TEXT).removesuffix("\n\n")
        self.check("what nobody said", said.startswith(text))
        if self.index is not INDEX:
            self.check("text that was not looked at", len(text) <= self.index.given)
        ends = [part["finish_reason"] is not None for part in parts]
        if not self.stream or self.sent.endswith(b"[DONE]\n\n"):
            self.check("a choice has not one end", sum(ends) == 1 and ends[-1] if self.finishes else sum(ends) <= 1)

    def check(self, what, holds):
        if not holds and what not in self.breaches:
            self.breaches.append(what)
