"""The exchange machine: conversations, and a random world that must find planted faults."""

import json

import pytest

from firedoor.core.detect.leak.guard import Brought
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange import machine as machine_module
from firedoor.core.exchange.machine import Exchange, Phase
from firedoor.core.fallback import FallbackAnswer
from firedoor.core.minimise.placeholders import Placeholders

from .simulation import Simulation
from .world import (
    CUT_TEXT,
    FALLBACK_TEXT,
    INDEX,
    MAIL,
    OPEN,
    SECRET,
    SHUT,
    answer,
    body,
    call,
    chunk,
    inspected,
    let_through,
    streamed_text,
    terms,
)

FALLBACK = ev.FallbackGiven(FallbackAnswer(FALLBACK_TEXT, False, "message"))


def names(effects):
    return [type(e).__name__ for e in effects]


def upto_call(*, stream=True, text=f"Hello, I am {MAIL}", **more):
    exchange = Exchange(call(), terms())
    assert names(exchange.begin(OPEN)) == ["ReadBody"]
    (inspect,) = exchange.handle(ev.BodyRead(body(text, stream=stream, **more)))
    (intent,) = let_through(exchange, exchange.handle(inspected(inspect.request)))
    assert isinstance(intent, do.RecordIntent)
    (called,) = exchange.handle(ev.IntentRecorded())
    assert isinstance(called, do.CallModel)
    exchange.handle(ev.ModelResponded(200, event_stream=stream))
    return exchange, called


def sent(effects):
    return b"".join(e.data for e in effects if isinstance(e, do.Send | do.EndStream))


def test_a_stream_is_minimised_released_and_restored():
    exchange, called = upto_call()
    assert MAIL.encode() not in called.body
    effects = exchange.handle(
        ev.ModelSent(chunk("Hi <EM") + chunk("AIL_1>, ok") + chunk(finish="stop") + b"data: [DONE]\n\n")
    )
    assert names(effects) == ["TellBreaker", "StartStream", "Send", "RecordOutcome"]
    assert effects[0].fate == "answered"
    assert dict(effects[1].headers)["firedoor-outcome"] == "minimised"
    effects += exchange.handle(ev.ModelFinished())
    assert names(effects)[-1] == "RecordOutcome"
    effects += exchange.handle(ev.OutcomeRecorded(1))
    raw = sent(effects)
    assert streamed_text(raw) == f"Hi {MAIL}, ok"
    assert raw.endswith(b"data: [DONE]\n\n")
    assert exchange.phase is Phase.CLOSED


def test_unknown_fields_of_a_frame_survive():
    exchange, _ = upto_call(text="Hello")
    odd = b'data:  {"choices":[{"index":0,"delta":{"content":"Boots!"}}], "vendor": {"x": 1.5}}\r\n\r\n'
    effects = exchange.handle(ev.ModelSent(odd + chunk(" We have them in six sizes, and shoes in nine. ")))
    assert json.loads(sent(effects).partition(b"\n\n")[0].removeprefix(b"data: "))["vendor"] == {"x": 1.5}


def test_not_one_character_of_a_protected_value_leaves():
    exchange, _ = upto_call()
    effects = []
    for letter in f"We pay {SECRET}, as ever.":
        effects += exchange.handle(ev.ModelSent(chunk(letter)))
    kinds = names(effects)
    assert kinds.index("ShutDoor") < kinds.index("StopModel") < kinds.index("RecordOutcome")
    shut = next(e for e in effects if isinstance(e, do.ShutDoor))
    assert str(shut.scope) == "eu/shop/support/eu-chat"
    assert SECRET not in json.dumps(shut.facts)
    effects += exchange.handle(ev.OutcomeRecorded(1))
    assert streamed_text(sent(effects)) == "We pay \n\n" + CUT_TEXT
    last = json.loads(sent(effects).split(b"\n\n")[-3].removeprefix(b"data: "))
    assert last["firedoor"]["outcome"] == "cut"
    assert last["choices"][0]["finish_reason"] == "content_filter"


def test_what_the_caller_typed_is_not_a_leak():
    exchange, _ = upto_call(text=f"Is {SECRET} right?")
    effects = exchange.handle(ev.ModelSent(chunk(f"You said {SECRET}.") + chunk(finish="stop") + b"data: [DONE]\n\n"))
    assert "ShutDoor" not in names(effects)


def test_an_answer_that_ends_in_most_of_a_value_is_withheld():
    exchange, _ = upto_call()
    effects = exchange.handle(
        ev.ModelSent(chunk("It is " + SECRET[:-2]) + chunk(finish="length") + b"data: [DONE]\n\n")
    )
    effects += exchange.handle(ev.ModelFinished())
    assert "RecordFinding" in names(effects)
    assert "ShutDoor" not in names(effects)
    assert "41" not in streamed_text(sent(effects))


def test_a_whole_answer_with_a_leak_gives_the_fallback():
    exchange, _ = upto_call(stream=False)
    exchange.handle(ev.ModelSent(answer(f"We pay {SECRET}.")))
    effects = exchange.handle(ev.ModelFinished())
    assert names(effects) == ["ShutDoor", "GiveFallback"]
    effects = exchange.handle(FALLBACK)
    (respond,) = exchange.handle(ev.OutcomeRecorded(1))
    assert json.loads(respond.body)["choices"][0]["message"]["content"] == FALLBACK_TEXT
    assert dict(respond.headers)["firedoor-outcome"] == "fallback"


def test_tool_call_arguments_are_restored_as_json():
    exchange, _ = upto_call()

    def tool(text, **more):
        call_ = {"index": 0, "function": {"arguments": text}, **more}
        document = {"choices": [{"index": 0, "delta": {"tool_calls": [call_]}, "finish_reason": None}]}
        return b"data: " + json.dumps(document).encode() + b"\n\n"

    raw = tool('{"to": "<EMA') + tool('IL_1>"') + tool("}") + chunk(finish="tool_calls") + b"data: [DONE]\n\n"
    effects = (
        exchange.handle(ev.ModelSent(raw))
        + exchange.handle(ev.ModelFinished())
        + exchange.handle(ev.OutcomeRecorded(1))
    )
    assert json.loads(streamed_text(sent(effects))) == {"to": MAIL}


def test_a_shut_door_answers_with_the_fallback_and_never_calls_the_model():
    exchange = Exchange(call(), terms())
    exchange.begin(SHUT)
    effects = exchange.handle(ev.BodyRead(body(stream=True)))
    assert names(effects) == ["GiveFallback"]
    exchange.handle(FALLBACK)
    effects = exchange.handle(ev.OutcomeRecorded(1))
    assert streamed_text(sent(effects)) == FALLBACK_TEXT
    assert b'"outcome":"fallback"' in sent(effects)


def test_a_door_shut_in_mid_stream_cuts_before_any_record():
    exchange, _ = upto_call()
    exchange.handle(ev.ModelSent(chunk("Good day, ")))
    effects = exchange.handle(ev.DoorShut(SHUT))
    assert names(effects) == ["StopModel", "Send", "RecordOutcome"]
    assert exchange.handle(ev.ModelSent(chunk("more"))) == []


def test_an_outcome_overtaken_by_a_switch_is_followed_by_another():
    exchange, _ = upto_call(stream=False)
    exchange.handle(ev.ModelSent(answer("fine")))
    assert names(exchange.handle(ev.ModelFinished())) == ["TellBreaker", "RecordOutcome"]
    assert names(exchange.handle(ev.DoorShut(SHUT))) == ["GiveFallback"]
    (second,) = exchange.handle(FALLBACK)
    assert (second.number, second.facts["outcome"]) == (2, "fallback")
    assert exchange.handle(ev.OutcomeRecorded(1)) == []
    assert names(exchange.handle(ev.OutcomeRecorded(2))) == ["Respond"]


def test_the_deadline_does_not_wait_for_the_disk():
    exchange, _ = upto_call(stream=False)
    assert names(exchange.handle(ev.ModelTimeUp())) == ["StopModel", "GiveFallback"]
    assert names(exchange.handle(FALLBACK)) == ["RecordOutcome"]
    assert names(exchange.handle(ev.DeadlinePassed())) == ["Respond"]


def test_a_whole_answer_that_cannot_be_recorded_is_not_given():
    exchange, _ = upto_call(stream=False)
    exchange.handle(ev.ModelSent(answer("fine")))
    exchange.handle(ev.ModelFinished())
    assert names(exchange.handle(ev.OutcomeFailed(1))) == ["GiveFallback"]


def test_two_choices_interleaved_each_keep_their_own_window():
    exchange, _ = upto_call(n=2)
    raw = b"".join(
        chunk(a, index=0) + chunk(b, index=1) for a, b in zip("Dear <EMAIL_1>!!", "Hi, <EMAIL_1>...", strict=True)
    )
    raw += chunk(finish="stop", index=0) + chunk(finish="stop", index=1) + b"data: [DONE]\n\n"
    effects = (
        exchange.handle(ev.ModelSent(raw))
        + exchange.handle(ev.ModelFinished())
        + exchange.handle(ev.OutcomeRecorded(1))
    )
    events = [json.loads(e.removeprefix(b"data: ")) for e in sent(effects).split(b"\n\n") if e.startswith(b"data: {")]
    texts = ["", ""]
    for event in events:
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == [f"Dear {MAIL}!!", f"Hi, {MAIL}..."]


@pytest.mark.parametrize("status", [400, 429, 500, 302])
def test_errors_of_the_model_give_the_fallback(status):
    exchange = Exchange(call(), terms())
    exchange.begin(OPEN)
    (inspect,) = exchange.handle(ev.BodyRead(body()))
    let_through(exchange, exchange.handle(inspected(inspect.request)))
    exchange.handle(ev.IntentRecorded())
    told, *then = exchange.handle(ev.ModelResponded(status, event_stream=False))
    assert told == do.TellBreaker("answered" if status == 400 else "failed")
    assert names(then) == ["StopModel", "GiveFallback"]


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"", b"\xff", b'{"choices":[]}', b'{"choices":5}'])
def test_a_whole_answer_that_is_not_one_gives_the_fallback(raw):
    exchange, _ = upto_call(stream=False)
    exchange.handle(ev.ModelSent(raw))
    assert "GiveFallback" in names(exchange.handle(ev.ModelFinished()))


def test_a_fact_that_comes_too_early_is_a_fault_of_the_driver():
    exchange = Exchange(call(), terms())
    exchange.begin(OPEN)
    with pytest.raises(LookupError):
        exchange.handle(ev.IntentRecorded())


def test_embeddings_have_no_fallback():
    exchange = Exchange(call("embeddings"), terms())
    exchange.begin(SHUT)
    raw = json.dumps({"model": "small", "input": ["boots"]}).encode()
    assert names(exchange.handle(ev.BodyRead(raw))) == ["RecordOutcome"]
    (respond,) = exchange.handle(ev.OutcomeRecorded(1))
    assert (respond.status, json.loads(respond.body)["error"]["code"]) == (503, "surface_unavailable")


# --- the random world ---------------------------------------------------------------------------------------------------

WORLDS = 1500


def breaches(machine_type=Exchange):
    found = set()
    for seed in range(WORLDS):
        found.update(Simulation(seed, machine_type).run())
    return found


def test_no_world_breaks_the_rules():
    assert breaches() == set()


class CallsBeforeTheRecord(Exchange):
    def _intend(self, **cache):
        intent = super()._intend(**cache)
        return [*intent, *self._intent_recorded(ev.IntentRecorded())]


class AsksAllTheSame(Exchange):
    def _judged(self):
        return self._ask()


class NeverWaits(Exchange):
    def _judged(self):
        self._rung = "observe"
        return super()._judged()


class IgnoresTheSwitch(Exchange):
    def _door_shut(self, event):
        return []


class SendsBeforeTheCheck(Exchange):
    def _stream(self, event):
        return self._send(event.data)


class ClosesBeforeTheRecord(Exchange):
    def _close(self, outcome, ready, *, reason=None, body=None):
        out = super()._close(outcome, ready, reason=reason, body=body)
        return [*out, *self._send_ready()]


class LeavesTheModelRunning(Exchange):
    def _stop(self):
        return []


class ForgetsToRestore(Exchange):
    def _inspected_request(self, event):
        bare = inspected({"messages": []})
        return super()._inspected_request(ev.Inspected(event.request, bare.placeholders, event.counts, event.guard))


class SendsTheOriginal(Exchange):
    def _inspected_request(self, event):
        return super()._inspected_request(
            ev.Inspected(self._request.body, event.placeholders, event.counts, event.guard)
        )


class TreatsAnyOutcomeAsTheNewest(Exchange):
    def _recorded(self, event):
        return self._send_ready()


class ForgetsTheEnd(Exchange):
    def _end_early(self, reason):
        return self._stop()


@pytest.mark.parametrize(
    ("fault", "breach"),
    [
        (CallsBeforeTheRecord, "model called before the intent is durable"),
        (IgnoresTheSwitch, "the model's text after the door shut"),
        (SendsBeforeTheCheck, "part of the protected value got out"),
        (ClosesBeforeTheRecord, "answer closed before its outcome is durable"),
        (LeavesTheModelRunning, "model left running"),
        (ForgetsToRestore, "placeholder left unrestored"),
        (SendsTheOriginal, "personal data reached the model"),
        (ForgetsTheEnd, "model called with a shut door"),
        (AsksAllTheSame, "model asked what it must not be asked"),
        (NeverWaits, "a slowed session did not wait"),
    ],
)
def test_the_random_world_finds_planted_faults(fault, breach, monkeypatch):
    # The table names the machine's own methods; a planted fault overrides them by name.
    def by_name(table):
        return {
            key: (lambda self, event, _n=handler.__name__: getattr(self, _n)(event)) for key, handler in table.items()
        }

    monkeypatch.setattr(machine_module, "_TABLE", by_name(machine_module._TABLE))
    monkeypatch.setattr(machine_module, "_ANY_PHASE", by_name(machine_module._ANY_PHASE))
    assert breach in breaches(fault)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("format_", ["json_object", "json_schema"])
def test_an_answer_asked_for_as_json_stays_json(stream, format_):
    exchange = Exchange(call(), terms())
    exchange.begin(OPEN)
    (inspect,) = exchange.handle(ev.BodyRead(body(stream=stream, response_format={"type": format_})))
    value = 'Main Street 5\n"Rear" \\ 2nd'
    seen = ev.Inspected(inspect.request, Placeholders({("STREET_ADDRESS", 1): value}), {}, INDEX.guard(Brought()))
    let_through(exchange, exchange.handle(seen))
    exchange.handle(ev.IntentRecorded())
    exchange.handle(ev.ModelResponded(200, event_stream=stream))
    said = '{"to": "<STREET_ADDRESS_1>"}'
    if stream:
        data = sent(exchange.handle(ev.ModelSent(chunk(said[:9]) + chunk(said[9:]) + chunk(finish="stop"))))
        exchange.handle(ev.ModelSent(b"data: [DONE]\n\n"))
        text = streamed_text(data + sent(exchange.handle(ev.OutcomeRecorded(1))))
    else:
        exchange.handle(ev.ModelSent(answer(said)))
        exchange.handle(ev.ModelFinished())
        (response,) = exchange.handle(ev.OutcomeRecorded(1))
        text = json.loads(response.body)["choices"][0]["message"]["content"]
    assert json.loads(text) == {"to": value}
