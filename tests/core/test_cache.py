"""What may be asked of the answer cache and enter it, and that keys tell apart all that matters."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firedoor.core import answers, sse
from firedoor.core.cache import (
    CALLER,
    DELIVERY,
    MAX_ANSWER,
    Asked,
    Found,
    Partition,
    Said,
    as_sent,
    canonical,
    digest_of,
    key_of,
    may_be_asked,
    may_be_kept,
    partition_of,
)
from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex
from firedoor.core.plan import checks_answers
from firedoor.core.plan.decode import decode
from firedoor.core.plan.model import CacheRules, Plan, ProtectedSet, RoleGrant, Rule, RulesFallback
from firedoor.core.plan.words import Duration
from firedoor.core.switches import Scope

KEY = b"k" * 32
SUBJECT, SURFACE = CacheRules(scope="subject"), CacheRules(scope="surface")
PLAIN = Asked(personal=False, record=False, protected=False)
REQUEST = {
    "model": "small",
    "messages": [
        {"role": "system", "content": "You help in a shop."},
        {"role": "user", "content": "Do you ship to Austria?"},
    ],
}
FACTS = {
    "subject": "a1" * 16, "role": None, "granted": (), "jurisdiction": "DE", "plan": "p1", "remote_name": "small-v1",
    "in_force": "r1", "cache_epoch": 0,
}  # fmt: skip
GOOD = decode((Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml").plan


def part(request=REQUEST, rules=SUBJECT, scope=None, **facts):
    return partition_of(rules, scope or Scope("eu", "alpenladen", "support", "eu-chat"), request, **{**FACTS, **facts})


def key(request=REQUEST, rules=SUBJECT, scope=None, secret=KEY, **facts):
    return key_of(part(request, rules, scope, **facts), request, secret)


def asking(text, **more):
    return {**REQUEST, "messages": [{"role": "user", "content": text}], **more}


# --- partitions and keys ----------------------------------------------------------------------------------------------

ELSEWHERE = [
    {"subject": "b0" * 16},
    {"role": "purchasing"},
    {"granted": ("costs",)},
    {"jurisdiction": "AT"},
    {"jurisdiction": None},
    {"plan": "p2"},
    {"remote_name": "small-v2"},
    {"in_force": "r2"},
    {"cache_epoch": 1},
    {"scope": Scope("us", "alpenladen", "support", "eu-chat")},
    {"scope": Scope("eu", "seeladen", "support", "eu-chat")},
    {"scope": Scope("eu", "alpenladen", "product_discovery", "eu-chat")},
    {"scope": Scope("eu", "alpenladen", "support", "eu-chat-b")},
    {"rules": SURFACE},
]


@pytest.mark.parametrize("other", ELSEWHERE, ids="-".join)
def test_whatever_decides_about_an_answer_is_another_partition_and_another_key(other):
    assert part(**other) != part()
    assert key(**other) != key()


def test_every_field_of_a_partition_is_tried_above():
    moved = {
        field
        for other in ELSEWHERE
        for field in Partition.__struct_fields__
        if getattr(part(**other), field) != getattr(part(), field)
    }
    assert moved == set(Partition.__struct_fields__) - {"prompt"}  # the shop's instructions: in the next test


def test_the_shops_instructions_are_part_of_the_partition_and_nothing_else_of_the_request_is():
    for role in ("system", "developer"):
        other = {**REQUEST, "messages": [{"role": role, "content": "Give codes to all."}, REQUEST["messages"][1]]}
        assert part(other).prompt != part().prompt
    assert part({**REQUEST, "temperature": 0.5}) == part()
    assert part({**REQUEST, "messages": [*REQUEST["messages"], {"role": "user", "content": "And?"}]}) == part()


def test_without_a_subject_there_is_no_cache_of_a_subjects_answers():
    assert part(subject=None) is None
    assert part(subject="") is None
    assert part(rules=SURFACE, subject=None) == part(rules=SURFACE)


def test_grants_count_as_a_set():
    assert part(granted=("a", "b")) == part(granted=("b", "a", "b")) != part(granted=("a",))


def test_the_key_depends_on_the_regions_secret():
    assert key(secret=b"o" * 32) != key()
    assert len(key()) == 32


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
REQUESTS = st.dictionaries(
    st.sampled_from(["temperature", "seed", "tools", "response_format", "stop", "vendor", "n", "max_tokens"]), VALUES
).map(lambda more: {**REQUEST, **more})


def as_read(value):
    """As a request comes: read from JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))


@given(REQUESTS, REQUESTS)
def test_requests_that_differ_have_different_keys(one, other):
    one, other = as_read(one), as_read(other)
    assume(msgspec.json.encode(one, order="sorted") != msgspec.json.encode(other, order="sorted"))
    assert key(one) != key(other)


@given(VALUES, st.sampled_from(["messages", "temperature", "seed", "tools", "response_format", "stop", "vendor"]))
def test_one_field_more_or_another_value_is_another_key(value, name):
    more = as_read({**REQUEST, name: value})
    if name != "messages":
        assert key(more) != key()
    else:
        grown = as_read({**REQUEST, "messages": [*REQUEST["messages"], {"role": "user", "content": value}]})
        assert key(grown) != key()


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value, random):
    def shuffled(inner):
        if isinstance(inner, dict):
            items = list(inner.items())
            random.shuffle(items)
            return {name: shuffled(one) for name, one in items}
        return [shuffled(one) for one in inner] if isinstance(inner, list) else inner

    value = as_read({"a": 1, "value": value})
    assert canonical(shuffled(value)) == canonical(value)
    assert key(shuffled({**REQUEST, "vendor": value})) == key({**REQUEST, "vendor": value})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Do you ship to Austria?", "do you ship to Austria?"),
        ("Do you ship to Austria?", "Do you ship to Austria? "),
        ("Stra\u00dfe", "Strasse"),
        ("caf\u00e9", "cafe\u0301"),
        ("paypal", "p\u0430ypal"),
        ("a\u200bb", "ab"),
    ],
)
def test_what_is_only_alike_is_not_the_same(one, other):
    assert key(asking(one)) != key(asking(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [({"seed": 1}, {"seed": 1.0}), ({"seed": 1}, {"seed": "1"}), ({"seed": None}, {}), ({"stop": []}, {"stop": ""})],
)
def test_types_are_told_apart(one, other):
    assert key({**REQUEST, **one}) != key({**REQUEST, **other})


def test_how_an_answer_is_sent_does_not_matter_and_who_asks_only_where_answers_are_shared():
    for name in sorted(DELIVERY):
        assert key({**REQUEST, name: {"x": 1}}) == key()
        assert key({**REQUEST, name: {"x": 1}}, SURFACE) == key(rules=SURFACE)
    for name in sorted(CALLER):
        assert key({**REQUEST, name: "shopper-1"}) == key()
        assert key({**REQUEST, name: "shopper-1"}, SURFACE) != key({**REQUEST, name: "shopper-2"}, SURFACE)


def test_a_text_cannot_move_from_the_partition_into_the_request():
    assert key(plan='p1"}\n{"model":"small"') != key()
    assert digest_of([b"ab", b"c"]) != digest_of([b"a", b"bc"]) != digest_of([b"abc"])


# --- what may be asked ------------------------------------------------------------------------------------------------


def test_an_ordinary_question_may_be_asked():
    function = {"type": "function", "function": {"name": "find", "parameters": {}}}
    for more in (
        {}, {"n": 1}, {"n": None}, {"stream": True, "stream_options": {"include_usage": True}}, {"seed": 4},
        {"tools": [function]}, {"tools": None}, {"response_format": {"type": "json_object"}}, {"top_k": 3},
        {"user": "u", "metadata": {"a": "b"}},
    ):  # fmt: skip
        assert may_be_asked(SUBJECT, {**REQUEST, **more}, PLAIN), more
        assert may_be_asked(SURFACE, {**REQUEST, **more}, PLAIN), more


@pytest.mark.parametrize("fact", ["personal", "protected"])
@pytest.mark.parametrize("rules", [SUBJECT, SURFACE], ids=["subject", "surface"])
def test_nothing_that_is_somebodys_or_protected(fact, rules):
    assert not may_be_asked(rules, REQUEST, msgspec.structs.replace(PLAIN, **{fact: True}))


def test_what_the_shop_told_of_its_shopper_is_for_that_shopper():
    asked = msgspec.structs.replace(PLAIN, record=True)
    assert may_be_asked(SUBJECT, REQUEST, asked)
    assert not may_be_asked(SURFACE, REQUEST, asked)


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"conversation": "conv-1"},
        {"previous_response_id": "r-1"},
        {"collection": "docs"},
        {"store": True},
        {"tools": [{"type": "web_search"}]},
        {"tools": [7]},
        {"tools": 7},
        {"tools": {"type": "function"}},
    ],
    ids=str,
)
def test_not_where_the_answer_depends_on_more_than_the_request(more):
    assert not may_be_asked(SUBJECT, {**REQUEST, **more}, PLAIN)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "c1", "content": "42 in stock"},
        {"role": "function", "name": "find", "content": "42"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": "{}"}},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://shop.example/a.png"}}]},
        {"role": "user", "content": "Sum it up.", "attachments": [{"file_id": "f-1"}]},
    ],
    ids=lambda message: f"{message['role']}-{len(message)}",
)
def test_not_with_tools_in_flight_or_what_nobody_can_look_into(message):
    assert not may_be_asked(SUBJECT, {**REQUEST, "messages": [*REQUEST["messages"], message]}, PLAIN)


def test_earlier_turns_and_parts_of_text_may_be_asked():
    turns = [
        {"role": "assistant", "content": "Yes.", "tool_calls": None, "refusal": None},
        {"role": "user", "content": [{"type": "text", "text": "And to Italy?"}]},
    ]
    assert may_be_asked(SUBJECT, {**REQUEST, "messages": [*REQUEST["messages"], *turns]}, PLAIN)


# --- what may be kept -------------------------------------------------------------------------------------------------

CLEAN = Said(
    texts={"0.message.content": "Yes, in three days."}, outcome="answered", finish_reason="stop", findings=0,
    restored=0, invented=0, recorded=True,
)  # fmt: skip


def test_one_clean_text_said_to_its_end_is_kept():
    assert may_be_kept(CLEAN) == "Yes, in three days."
    assert may_be_kept(msgspec.structs.replace(CLEAN, texts={"0.delta.content": "Yes."})) == "Yes."
    longest = {"0.delta.content": "x" * MAX_ANSWER}
    assert may_be_kept(msgspec.structs.replace(CLEAN, texts=longest)) == "x" * MAX_ANSWER


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "cut"},
        {"outcome": "minimised"},
        {"outcome": "fallback"},
        {"finish_reason": "length"},
        {"finish_reason": "tool_calls"},
        {"finish_reason": "content_filter"},
        {"finish_reason": None},
        {"findings": 1},
        {"restored": 1},
        {"invented": 1},
        {"recorded": False},
        {"texts": {}},
        {"texts": {"0.message.content": ""}},
        {"texts": {"0.message.content": "x" * MAX_ANSWER + "x"}},
        {"texts": {"0.message.content": "ü" * (MAX_ANSWER // 2) + "x"}},
        {"texts": {"0.message.refusal": "No."}},
        {"texts": {"1.message.content": "Yes."}},
        {"texts": {"0.message.content": "Yes.", "0.message.reasoning_content": "Hm."}},
        {"texts": {"0.message.content": "Yes.", "1.message.content": "No."}},
    ],
    ids=lambda change: "-".join(f"{k}={str(v)[:30]}" for k, v in change.items()),
)
def test_nothing_else_is(change):
    assert may_be_kept(msgspec.structs.replace(CLEAN, **change)) is None


# --- what is found is checked like a model's --------------------------------------------------------------------------

SENT = {"model": "small-v1", "created": 7, "completion_id": "fx-2"}


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=80))
def test_what_is_found_comes_as_a_model_would_send_it(text):
    found = Found(text, "fx-1", 1)
    whole = answers.decode_answer(as_sent(found, REQUEST, stream=False, **SENT), 1)
    assert whole["choices"][0]["message"]["content"] == text
    assert answers.finished_choices(whole) == [0]
    assert whole["usage"]["total_tokens"] == 0
    frames = sse.FrameDecoder().feed(as_sent(found, REQUEST, stream=True, **SENT))
    assert frames[-1].data == sse.DONE
    chunks = [answers.decode_chunk(frame.data, 1) for frame in frames[:-1]]
    spoken = [
        piece.text for chunk in chunks for piece in answers.pieces(chunk) if piece.channel == (0, "delta", "content")
    ]
    assert "".join(spoken) == text
    assert answers.finished_choices(chunks[-1]) == [0]


def test_a_value_that_was_protected_since_is_there_for_the_check_to_find():
    found = Found("The winter launch is called Falkenhorst 2027.", "fx-1", 1)
    index = ValueIndex.build([ProtectedValue("v1", "launches", "value", "Falkenhorst 2027")])
    sent = answers.decode_answer(as_sent(found, REQUEST, stream=False, **SENT), 1)
    hits = [hit for piece in answers.pieces(sent) for hit in index.find(piece.text)]
    assert [hit.value_id for hit in hits] == ["v1"]
    assert part(in_force=digest_of([b"before"])) != part(in_force=digest_of([b"after"]))  # so it is not even found


# --- checks of the plan -----------------------------------------------------------------------------------------------

RULES = RulesFallback(rules=(Rule(field="amount", op="gt", value=1.0, points=1.0, reason="big"),), review=1, block=2)


def surface(name="support", **values) -> Plan:
    entry = msgspec.structs.replace(GOOD.surfaces["support"], **values)
    return msgspec.structs.replace(GOOD, surfaces={**GOOD.surfaces, name: entry})


def faults(check, plan):
    return [fault.path for fault in check(plan)]


def test_decisions_are_never_cached():
    check = checks_answers.decisions_are_never_cached
    assert faults(check, surface(cache=SUBJECT)) == []
    assert faults(check, surface(cache=None, fallback=RULES)) == []
    assert faults(check, surface(cache=SUBJECT, fallback=RULES)) == [("surfaces", "support", "cache")]
    for name in ("fraud_scoring", "payment_validation"):
        assert faults(check, surface(name, cache=SUBJECT)) == [("surfaces", name, "cache")]


@pytest.mark.parametrize(("ttl", "fine"), [(1, True), (0.999, False), (600, True), (86_400, True), (86_401, False)])
def test_a_time_to_live_lies_between_a_second_and_a_day(ttl, fine):
    plan = surface(cache=CacheRules(ttl=Duration(ttl)))
    assert (faults(checks_answers.cached_answers_grow_old, plan) == []) is fine


def test_grants_name_what_is_declared():
    def plan(name="purchasing", **values):
        return msgspec.structs.replace(
            surface(), protected={"costs": ProtectedSet(description="Costs.")}, grants={name: RoleGrant(**values)}
        )

    check = checks_answers.grants_name_known_things
    assert faults(check, plan(receives=("costs",))) == []
    assert faults(check, plan(receives=("costs",), surfaces=("support",))) == []
    assert faults(check, plan(receives=())) == []
    assert faults(check, plan(receives=("costs", "cots"))) == [("grants", "purchasing", "receives", 1)]
    assert faults(check, plan(receives=("costs",), surfaces=("suport",))) == [("grants", "purchasing", "surfaces", 0)]
    assert faults(check, plan("shopper", receives=("costs",))) == [("grants", "shopper")]
