"""Answers that were given before: from our own cache, checked again; from a model server's, refused."""

import json

import pytest

from firedoor.core.cache import Found
from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.leak.values import ValueIndex
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.machine import Exchange, Phase
from firedoor.core.fallback import FallbackAnswer
from firedoor.core.plan.model import AnswerRules, CacheRules
from firedoor.core.replays import TRUST, Replays
from firedoor.core.switches import Standing

from .world import (
    FALLBACK_TEXT,
    INDEX,
    MAIL,
    SECRET,
    answer,
    body,
    call,
    chunk,
    inspected,
    let_through,
    streamed_text,
    terms,
)

CACHED = {"cache": CacheRules(scope="surface"), "answer_rules": AnswerRules(leak="cut")}
NOTHING = LeakIndex(ValueIndex.build([]))
END = chunk(finish="stop") + b"data: [DONE]\n\n"
SAID = "We sell boots in six sizes."


def begun(text="Which sizes?", *, stream=False, index=INDEX, epoch=0, **settings):
    exchange = Exchange(call(), terms(**{**CACHED, **settings}))
    exchange.begin(Standing("open", 1, cache_epoch=epoch))
    (inspect,) = exchange.handle(ev.BodyRead(body(text, stream=stream)))
    return exchange, let_through(exchange, exchange.handle(inspected(inspect.request, index)))


def names(effects):
    return [type(e).__name__ for e in effects]


def play(exchange, fact, raw=None):
    """From the cache's answer to the end. `raw` is what the model sends, where it is asked."""
    effects = let_through(exchange, exchange.handle(fact)) + exchange.handle(ev.IntentRecorded())
    last = effects[-1]
    data = last.data if isinstance(last, do.TakeKept) else raw
    effects += exchange.handle(ev.ModelResponded(200, exchange.stream))
    effects += exchange.handle(ev.ModelSent(data)) + exchange.handle(ev.ModelFinished())
    if exchange.phase is Phase.FALLING_BACK:
        effects += exchange.handle(ev.FallbackGiven(FallbackAnswer(FALLBACK_TEXT, False, "message")))
    return effects + exchange.handle(ev.OutcomeRecorded(1))


def text_of(effects):
    for effect in effects:
        if isinstance(effect, do.Respond):
            return json.loads(effect.body)["choices"][0]["message"]["content"]
    return streamed_text(b"".join(e.data for e in effects if isinstance(e, do.Send | do.EndStream)))


@pytest.mark.parametrize("stream", [True, False])
def test_a_clean_answer_is_kept_after_its_outcome_and_given_again(stream):
    exchange, effects = begun(stream=stream)
    (look,) = effects
    assert isinstance(look, do.LookUpAnswer)
    raw = chunk(SAID) + END if stream else answer(SAID)
    effects = play(exchange, ev.AnswerMissed(), raw)
    (keep,) = [e for e in effects if isinstance(e, do.KeepAnswer)]
    assert names(effects).index("RecordOutcome") < names(effects).index("KeepAnswer")
    assert (keep.partition, keep.request, keep.text) == (look.partition, look.request, SAID)

    exchange, _ = begun(stream=stream)
    effects = play(exchange, ev.AnswerFound(Found(SAID, "fx-0", 1)))
    assert "CallModel" not in names(effects)
    assert "KeepAnswer" not in names(effects)
    assert text_of(effects) == SAID
    (intent,) = [e for e in effects if isinstance(e, do.RecordIntent)]
    assert (intent.facts["cache"], intent.facts["cached_from"]) == ("hit", "fx-0")


@pytest.mark.parametrize("stream", [True, False])
def test_a_kept_answer_is_checked_again_and_set_aside(stream):
    exchange, _ = begun(stream=stream)
    effects = play(exchange, ev.AnswerFound(Found(f"We pay {SECRET}.", "fx-0", 1)))
    assert SECRET not in text_of(effects)
    assert "SetAnswerAside" in names(effects)
    assert "RecordFinding" in names(effects)


@pytest.mark.parametrize("said", [f"Ask {SECRET}.", "x" * 70_000, ""])
def test_what_is_not_clean_is_not_kept(said):
    exchange, _ = begun(answer_rules=AnswerRules(leak="record"))
    effects = play(exchange, ev.AnswerMissed(), answer(said))
    assert "KeepAnswer" not in names(effects)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (f"I am {MAIL}", {}),
        (f"Is it {SECRET}?", {}),
        ("Which sizes?", {"cache": None}),
        ("Which sizes?", {"cache": CacheRules(scope="subject")}),
    ],
)
def test_the_cache_is_not_asked(text, settings):
    _, effects = begun(text, **settings)
    assert names(effects) == ["RecordIntent"]


def test_a_poisoned_entry_is_a_finding_and_a_miss():
    exchange, _ = begun()
    effects = play(exchange, ev.AnswerMissed("fx-9"), answer(SAID))
    (finding,) = [e.facts for e in effects if isinstance(e, do.RecordFinding)]
    assert (finding["rule"], finding["stage"], finding["cached_from"]) == ("poisoned_cache", "cache", "fx-9")
    assert text_of(effects) == SAID
    assert "KeepAnswer" not in names(effects)


def test_another_epoch_is_another_partition():
    (_, (one,)), (_, (two,)) = begun(epoch=1), begun(epoch=2)
    assert one.partition != two.partition


# --- a cache behind the model server ----------------------------------------------------------------------------------


def told(answer_id, said):
    document = json.loads(answer(said))
    return json.dumps({**document, "id": answer_id}).encode()


def ask(replays, answer_id, said, text="Which sizes?", *, stream=False):
    exchange, _ = begun(text, stream=stream, cache=None, replays=replays)
    effects = exchange.handle(ev.IntentRecorded()) + exchange.handle(ev.ModelResponded(200, stream))
    raw = chunk(said).replace(b'"c1"', json.dumps(answer_id).encode()) + END if stream else told(answer_id, said)
    effects += exchange.handle(ev.ModelSent(raw)) + exchange.handle(ev.ModelFinished())
    if exchange.phase is Phase.FALLING_BACK:
        effects += exchange.handle(ev.FallbackGiven(FallbackAnswer(FALLBACK_TEXT, False, "message")))
    return effects + exchange.handle(ev.OutcomeRecorded(1))


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_somebody_else_got_is_refused_at_the_first_frame(stream):
    replays = Replays(bytes(32))
    ids = [f"chatcmpl-{n * 0x9E3779B97F4A7C15 % 2**64:016x}{n * 0xC2B2AE3D27D4EB4F % 2**64:016x}" for n in range(1, 12)]
    for number, answer_id in enumerate(ids[: TRUST + 1]):
        assert text_of(ask(replays, answer_id, SAID, f"Question {number}?")) == SAID
    effects = ask(replays, ids[3], SAID, "Quite another question", stream=stream)
    assert text_of(effects) == FALLBACK_TEXT
    (finding,) = [e.facts for e in effects if isinstance(e, do.RecordFinding)]
    assert (finding["rule"], finding["verdict"]) == ("replayed_answer", "cut")


@pytest.mark.parametrize("stream", [True, False])
def test_a_leak_in_a_replayed_answer_is_a_leak(stream):
    replays = Replays(bytes(32))
    ids = [f"chatcmpl-{n * 0x9E3779B97F4A7C15 % 2**64:016x}{n * 0xC2B2AE3D27D4EB4F % 2**64:016x}" for n in range(1, 12)]
    for number, answer_id in enumerate(ids[: TRUST + 1]):
        ask(replays, answer_id, SAID, f"Question {number}?")
    effects = ask(replays, ids[3], f"We pay {SECRET} for it.", "Quite another question", stream=stream)
    assert text_of(effects) == FALLBACK_TEXT
    (finding,) = [e.facts for e in effects if isinstance(e, do.RecordFinding)]
    assert finding["rule"] == "protected_value"
