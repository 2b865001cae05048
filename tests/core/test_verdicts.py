"""What becomes of an answer that holds what it must not: recorded, masked, cut, replaced, shut; or not scanned at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core import policy
from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex
from firedoor.core.detect.spans import Hit
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.machine import Exchange, Phase
from firedoor.core.exchange.texts import MASK, Text
from firedoor.core.fallback import FallbackAnswer
from firedoor.core.plan.model import AnswerRules
from firedoor.core.policy import Sighting
from firedoor.core.switches import Scope
from firedoor.core.taxonomy import IDS, ids_of

from .world import (
    CUT_TEXT,
    FALLBACK_TEXT,
    INDEX,
    OPEN,
    SECRET,
    Crashes,
    answer,
    body,
    call,
    chunk,
    inspected,
    let_through,
    streamed_text,
    terms,
)

SCOPE = Scope("eu", "shop", "support", "eu-chat")
SAID = f"First, we pay {SECRET} for it, and sell it well."
END = chunk(finish="stop") + b"data: [DONE]\n\n"
FALLBACK = ev.FallbackGiven(FallbackAnswer(FALLBACK_TEXT, False, "message"))


def upto_call(rules, *, stream=True, index=INDEX):
    exchange = Exchange(call(), terms(answer_rules=rules))
    exchange.begin(OPEN)
    (inspect,) = exchange.handle(ev.BodyRead(body("Hello", stream=stream)))
    let_through(exchange, exchange.handle(inspected(inspect.request, index)))
    exchange.handle(ev.IntentRecorded())
    exchange.handle(ev.ModelResponded(200, event_stream=stream))
    return exchange


def bytes_of(effects):
    return b"".join(e.data for e in effects if isinstance(e, do.Send | do.EndStream))


def facts_of(effects, kind):
    return [e.facts for e in effects if isinstance(e, kind)]


def stream(rules, size, said=SAID):
    exchange = upto_call(rules)
    effects = []
    for start in range(0, len(said), size):
        effects += exchange.handle(ev.ModelSent(chunk(said[start : start + size])))
    effects += exchange.handle(ev.ModelSent(END))
    if exchange.phase is Phase.FALLING_BACK:
        effects += exchange.handle(FALLBACK)
    outcome = facts_of(effects, do.RecordOutcome)[-1]
    effects += exchange.handle(ev.OutcomeRecorded(1))
    return effects, outcome


@pytest.mark.parametrize("size", [1, 4, 13, 500])
def test_a_leak_on_record_goes_on(size):
    effects, outcome = stream(AnswerRules(leak="record"), size)
    assert streamed_text(bytes_of(effects)) == SAID
    (finding,) = facts_of(effects, do.RecordFinding)
    assert (finding["rule"], finding["verdict"], finding["owasp"]) == ("protected_value", "record", ["LLM02:2025"])
    assert SECRET not in json.dumps(finding)
    assert (outcome["outcome"], outcome["scan"]) == ("answered", "found")


@pytest.mark.parametrize("size", [1, 4, 13, 500])
def test_a_masked_leak_leaves_a_mark(size):
    effects, outcome = stream(AnswerRules(leak="mask"), size)
    assert streamed_text(bytes_of(effects)) == SAID.replace(SECRET, MASK)
    assert len(facts_of(effects, do.RecordFinding)) == 1
    assert not facts_of(effects, do.ShutDoor)
    assert outcome["outcome"] == "answered"


@pytest.mark.parametrize("size", [1, 4, 13])
def test_the_fallback_goes_on_where_the_model_was_stopped(size):
    effects, outcome = stream(AnswerRules(leak="fallback"), size)
    said, _, told = streamed_text(bytes_of(effects)).partition("\n\n")
    assert "First, we pay ".startswith(said)
    assert told == FALLBACK_TEXT
    assert bytes_of(effects).endswith(b"data: [DONE]\n\n")
    assert (outcome["outcome"], outcome["reason"]) == ("cut", "leak")
    assert not facts_of(effects, do.ShutDoor)


def test_a_stream_that_has_not_begun_is_replaced_as_a_whole():
    effects, outcome = stream(AnswerRules(leak="fallback"), 500)
    assert streamed_text(bytes_of(effects)) == FALLBACK_TEXT
    assert (outcome["outcome"], outcome["reason"]) == ("fallback", "leak")


def test_a_fallback_that_fails_in_mid_stream_is_a_cut():
    exchange = upto_call(AnswerRules(leak="fallback"))
    effects = []
    for letter in SAID:
        effects += exchange.handle(ev.ModelSent(chunk(letter)))
    effects += exchange.handle(ev.FallbackFailed())
    effects += exchange.handle(ev.OutcomeRecorded(1))
    assert streamed_text(bytes_of(effects)) == f"First, we pay \n\n{CUT_TEXT}"


def test_a_cut_shuts_nothing():
    effects, outcome = stream(AnswerRules(leak="cut"), 4)
    said, _, told = streamed_text(bytes_of(effects)).partition("\n\n")
    assert "First, we pay ".startswith(said)
    assert told == CUT_TEXT
    assert not facts_of(effects, do.ShutDoor)
    assert facts_of(effects, do.RecordFinding)[0]["verdict"] == "cut"
    assert outcome["reason"] == "leak"


@pytest.mark.parametrize(
    ("rules", "text", "outcome"),
    [
        (AnswerRules(leak="mask"), SAID.replace(SECRET, MASK), "answered"),
        (AnswerRules(leak="record"), SAID, "answered"),
        (AnswerRules(leak="cut"), FALLBACK_TEXT, "fallback"),
        (AnswerRules(leak="fallback"), FALLBACK_TEXT, "fallback"),
    ],
)
def test_a_whole_answer(rules, text, outcome):
    exchange = upto_call(rules, stream=False)
    exchange.handle(ev.ModelSent(answer(SAID)))
    effects = exchange.handle(ev.ModelFinished())
    if exchange.phase is Phase.FALLING_BACK:
        effects += exchange.handle(FALLBACK)
    assert facts_of(effects, do.RecordOutcome)[0]["outcome"] == outcome
    (respond,) = exchange.handle(ev.OutcomeRecorded(1))
    assert json.loads(respond.body)["choices"][0]["message"]["content"] == text


def test_a_clean_answer_is_a_scanned_one():
    _, outcome = stream(AnswerRules(), 4, "We sell boots.")
    assert (outcome["scan"], outcome["findings"]) == ("clean", 0)


# --- not scanned ------------------------------------------------------------------------------------------------------


class Breaks:
    """A search that goes wrong after `after` code points, or when it is asked for."""

    def __init__(self, after):
        self.after = after

    def guard(self, _):
        return self

    def read(self, *_):
        return None

    def touched(self):
        return ()

    def watch(self):
        if self.after < 0:
            raise IndexError("protected text")
        return self

    def look(self, _):
        return []

    def feed(self, text):
        self.after -= len(text)
        if self.after <= 0:
            raise IndexError("protected text")
        return []

    def held_from(self):
        return 10_000

    def end(self):
        if self.after < 10:
            raise IndexError("protected text")
        return []


@pytest.mark.parametrize("after", [-1, 1, 20, 49])
def test_a_search_that_crashes_is_not_a_clean_answer(after):
    exchange = upto_call(AnswerRules(), index=Breaks(after))
    effects = []
    for start in range(0, len(SAID), 4):
        effects += exchange.handle(ev.ModelSent(chunk(SAID[start : start + 4])))
    effects += exchange.handle(ev.ModelSent(END))
    (finding,) = facts_of(effects, do.RecordFinding)
    assert (finding["rule"], finding["verdict"]) == ("not_scanned", "cut")
    if exchange.phase is Phase.FALLING_BACK:
        effects += exchange.handle(FALLBACK)
    outcome = facts_of(effects, do.RecordOutcome)[-1]
    assert (outcome["scan"], outcome["reason"]) == ("not_scanned", "not_scanned")
    effects += exchange.handle(ev.OutcomeRecorded(1))
    assert not facts_of(effects, do.ShutDoor)
    assert "protected text" not in json.dumps([finding, outcome])
    assert not streamed_text(bytes_of(effects)).startswith(SAID)


@pytest.mark.parametrize("ended", [b"", b"data: [DONE]\n\n"])
def test_what_is_due_before_a_crash_at_the_end_is_still_sent(ended):
    index = Crashes(1001)
    exchange = upto_call(AnswerRules(), index=index)
    said = "We sell boots in six sizes, and shoes in nine. " * 3
    effects = exchange.handle(ev.ModelSent(chunk(said) + ended)) + exchange.handle(ev.ModelFinished())
    assert index.crashed
    effects = [e for e in effects if not isinstance(e, do.TellBreaker)]
    assert isinstance(effects[0], do.StartStream)
    told = streamed_text(bytes_of(effects))
    assert told.endswith(f"\n\n{CUT_TEXT}")
    assert said.startswith(told.partition("\n\n")[0])
    assert facts_of(effects, do.RecordOutcome)[0]["scan"] == "not_scanned"


def test_a_search_that_takes_too_long_ends_the_answer():
    exchange = upto_call(AnswerRules())
    effects = exchange.handle(ev.ModelSent(chunk("We sell boots in six sizes, and shoes in nine. " * 3)))
    effects += exchange.handle(ev.CheckOverran())
    assert facts_of(effects, do.RecordFinding)[0]["rule"] == "not_scanned"
    assert facts_of(effects, do.RecordOutcome)[0]["outcome"] == "cut"
    assert exchange.handle(ev.CheckOverran()) == []


# --- verdicts ---------------------------------------------------------------------------------------------------------


def seen(rules, *kinds):
    hits = [Hit(0, 9, f"id-{kind}", "s", kind) for kind in kinds]
    return [Sighting(hit, "0.content", "…", policy.action_on(hit, rules)) for hit in hits]


def test_the_strictest_verdict_counts():
    rules = AnswerRules(leak="mask", doubtful="record", secrets="cut")
    assert policy.judge(seen(rules, "rounded", "value"), SCOPE).action == "mask"
    verdict = policy.judge(seen(rules, "rounded", "value", "card"), SCOPE)
    assert (verdict.action, verdict.facts["rule"], verdict.facts["hits"]) == ("cut", "payment_card", 3)
    assert policy.judge([], SCOPE) is None
    assert policy.judge(seen(rules, "value", "honeytoken"), SCOPE).facts["rule"] == "honeytoken"


@pytest.mark.parametrize("kind", sorted(policy.RULES))
def test_only_what_is_certain_shuts(kind):
    rules = AnswerRules(leak="shut", doubtful="cut", secrets="cut", system_prompt="cut")
    action = policy.action_on(Hit(0, 9, "i", "s", kind), rules)
    assert (action == "shut") == (kind in ("value", "honeytoken", "amount", "document"))


def test_every_rule_has_its_ids():
    assert set(policy.RULES.values()) <= set(IDS)
    for atlas, owasp in IDS.values():
        assert all(one.startswith("AML.T") for one in atlas)
        assert all(one.startswith("LLM") and one.endswith(":2025") for one in owasp)
    assert ids_of("system_prompt").owasp == ("LLM07:2025",)


# --- masks ------------------------------------------------------------------------------------------------------------

MASKED = ["nordlicht 77", "licht 7731 x", "7731 x 99 zz"]
VALUES = ValueIndex.build([ProtectedValue(f"v{i}", "s", "value", text) for i, text in enumerate(MASKED)])
WORDS = st.lists(st.sampled_from([*MASKED, "nord", " ", "7731 x", "boots", "99", "zz"]), max_size=7).map("".join)


def masked(parts):
    text = Text(VALUES.watch(), None, as_json=False)
    out = []
    for part in parts:
        for hit in text.feed(part):
            text.mask(hit)
        out.append(text.take(text.fed))
    text.end()
    return "".join(out) + text.take(text.fed)


@given(WORDS, st.lists(st.integers(0, 80), max_size=8))
def test_what_is_masked_does_not_depend_on_the_split(said, places):
    cuts = sorted({place % (len(said) + 1) for place in places})
    parts = [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)]
    whole = masked([said])
    assert all(text not in whole for text in MASKED)
    assert masked(parts).replace(MASK * 2, MASK) == whole.replace(MASK * 2, MASK)


class Nothing:
    """A watch that finds nothing and holds nothing."""

    def feed(self, _):
        return []

    def held_from(self):
        return 10_000

    end = feed


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(1, 12)), max_size=6), st.integers(0, 40))
def test_masks_may_come_in_any_order(spans, taken):
    said = "".join(chr(ord("!") + i) for i in range(40))
    text = Text(Nothing(), None, as_json=False)
    text.feed(said)
    out = text.take(taken)
    hidden = set()
    for start, size in spans:
        end = min(40, start + size)
        assert text.mask(Hit(start, end, "v1", "s", "value"))
        hidden.update(range(max(start, taken), end))
    out += text.take(40)
    assert out.replace(MASK, "") == "".join(c for i, c in enumerate(said) if i not in hidden)
    touching = sorted((max(a, taken), min(40, a + n)) for a, n in spans if min(40, a + n) > taken)
    stretches = sum(i not in hidden or i - 1 not in hidden for i in hidden)
    assert (out.count(MASK) > 0) == bool(touching)
    assert out.count(MASK) == stretches


TOOL = {"id": "t1", "type": "function"}


def with_arguments(text):
    message = {"role": "assistant", "tool_calls": [{**TOOL, "function": {"name": "quote", "arguments": text}}]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    document = {"id": "c1", "object": "chat.completion", "created": 1, "model": "small", "choices": [choice]}
    return json.dumps(document).encode()


COSTS = LeakIndex(ValueIndex.build([ProtectedValue("v1", "s", "value", "QX 4185 1977")]))


@pytest.mark.parametrize(
    ("arguments", "given_"),
    [
        ('{"note": "it is QX 4185 1977 now"}', '{"note": "it is […] now"}'),
        (r'{"note": "\"QX 4185 1977\"\u0021"}', r'{"note": "\"[…]\"\u0021"}'),
        ('{"QX": 41851977}', None),
        ('{"note": ["QX", "4185", "1977"]}', None),
    ],
)
def test_json_stays_json_behind_a_mask(arguments, given_):
    exchange = upto_call(AnswerRules(leak="mask"), stream=False, index=COSTS)
    exchange.handle(ev.ModelSent(with_arguments(arguments)))
    effects = exchange.handle(ev.ModelFinished())
    (finding,) = facts_of(effects, do.RecordFinding)
    if given_ is None:
        assert finding["verdict"] == "cut"
        assert isinstance(effects[-1], do.GiveFallback)
        return
    assert finding["verdict"] == "mask"
    (respond,) = exchange.handle(ev.OutcomeRecorded(1))
    said = json.loads(respond.body)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert (said, type(json.loads(said))) == (given_, dict)


def test_where_a_mask_has_no_place_the_answer_is_cut():
    exchange = upto_call(AnswerRules(leak="mask"), stream=False)
    document = json.loads(answer("Hello"))
    document["choices"][0]["message"]["name"] = SECRET
    exchange.handle(ev.ModelSent(json.dumps(document).encode()))
    effects = exchange.handle(ev.ModelFinished())
    assert facts_of(effects, do.RecordFinding)[0]["verdict"] == "cut"
    assert isinstance(effects[-1], do.GiveFallback)
