"""What leaves for the model: no personal data, everything else as it came."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.detect.rules.personal import PersonalData
from firedoor.core.detect.seen import MIN_LENGTH, SeenTexts
from firedoor.core.detect.spans import Span
from firedoor.core.minimise.request import Minimised, minimise

FIND = PersonalData().find
MIA = "mia.vogt@example.org"


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "shop-chat", "messages": list(messages), **fields}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def of_user(text: str) -> Minimised:
    return minimise(chat(user(text)), FIND)


def text_of(done: Minimised) -> str:
    return done.request["messages"][0]["content"]


def test_values_become_placeholders_and_come_back() -> None:
    text = f"order 10042 for {MIA}, call +49 170 1234567, again: {MIA}"
    done = of_user(text)
    assert text_of(done) == "order <ORDER_ID_1> for <EMAIL_1>, call <PHONE_1>, again: <EMAIL_1>"
    assert done.counts == {"ORDER_ID": 1, "EMAIL": 1, "PHONE": 1}
    assert done.changed
    assert done.placeholders.restore(text_of(done)) == text


def test_a_request_without_personal_data_is_the_same() -> None:
    request = chat(user("is the red jacket in stock in size 42?"), temperature=0.2, tools=[], metadata={"a": "b"})
    done = minimise(request, FIND)
    assert done.request == request
    assert not done.changed
    assert not done.placeholders
    assert done.counts == {}


def test_the_request_itself_is_not_touched() -> None:
    request = chat({"role": "user", "content": [{"type": "text", "text": MIA}]}, metadata={MIA: {"x": [MIA]}}, user="u")
    before = copy.deepcopy(request)
    minimise(request, FIND)
    assert request == before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Mia.Vogt@Example.org", "mia.vogt@example.org"),
        ("+49 170 1234567", "+49(0)170-1234567"),
        ("+49 170 1234567", "0049 170 1234567"),
        ("DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        ("4111 1111 1111 1111", "4111-1111-1111-1111"),
        ("2001:db8::ff00:42:8329", "2001:0DB8::FF00:42:8329"),
        ("order #1001", "order 1001"),
    ],
)
def test_spellings_of_one_identity_share_a_placeholder(first: str, second: str) -> None:
    done = of_user(f"{first} / {second}")
    assert len(done.placeholders) == 1
    assert len(re.findall(r"<[A-Z_]+_1>", text_of(done))) == 2


def test_addresses_that_only_fold_alike_are_two() -> None:
    assert text_of(of_user("straße@example.org strasse@example.org")) == "<EMAIL_1> <EMAIL_2>"


def test_a_history_sent_again_gets_the_same_numbers() -> None:
    turns = [
        {"role": "system", "content": "You help. Write to help@shop.example."},
        user(f"I am {MIA}"),
        {"role": "assistant", "content": f"Hello {MIA}, not lea@example.fr?"},
        user("no, my order is 10042"),
    ]
    whole = minimise(chat(*turns, metadata={"first": "zoe@example.org"}), FIND).request["messages"]
    for length in range(1, len(turns)):
        assert minimise(chat(*turns[:length]), FIND).request["messages"] == whole[:length]


def test_what_the_caller_typed_as_a_placeholder_stands_for_nothing() -> None:
    typed = r"what is EMAIL_1, [email 3] and \<EMAIL\_4\>?"
    done = minimise(chat(user(f"I am {MIA}"), user(typed), user("lea@example.fr and tom@example.com")), FIND)
    assert [m["content"] for m in done.request["messages"]] == ["I am <EMAIL_2>", typed, "<EMAIL_5> and <EMAIL_6>"]
    assert done.placeholders.restore("<EMAIL_1> <EMAIL_2> <EMAIL_3>") == f"<EMAIL_1> {MIA} <EMAIL_3>"


PLACES: dict[str, dict[str, Any]] = {
    "content": chat(user(MIA)),
    "part": chat({"role": "user", "content": [{"type": "text", "text": MIA}]}),
    "name": chat({"role": "user", "name": MIA, "content": "hi"}),
    "part of a response": chat({"role": "user", "content": [{"type": "input_text", "text": MIA}]}),
    "refusal": chat({"role": "assistant", "content": [{"type": "refusal", "refusal": MIA}]}),
    "system": chat({"role": "system", "content": f"You answer {MIA}."}),
    "unknown in message": chat({"role": "user", "content": "hi", "reasoning_content": {"x": [MIA]}}),
    "unknown on top": chat(user("hi"), documents=[{"title": {"deep": [[MIA]]}}]),
    "metadata": chat(user("hi"), metadata={"contact": MIA}),
    "metadata key": chat(user("hi"), metadata={MIA: "x"}),
    "metadata protocol-like keys": chat(
        user("hi"), metadata={"role": MIA, "model": MIA, "type": MIA, "id": MIA, "name": MIA}
    ),
    "stop": chat(user("hi"), stop=[MIA]),
    "prediction": chat(user("hi"), prediction={"type": "content", "content": MIA}),
    "tool description": chat(user("hi"), tools=[{"type": "function", "function": {"name": "f", "description": MIA}}]),
    "tool enum": chat(
        user("hi"),
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"properties": {"to": {"enum": [MIA]}}}}}],
    ),
    "legacy functions": chat(user("hi"), functions=[{"name": "f", "description": MIA}]),
    "schema": chat(
        user("hi"), response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"const": MIA}}}
    ),
    "tool result": chat({"role": "tool", "tool_call_id": "call_1", "content": f"mail: {MIA}"}),
    "arguments": chat(
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": MIA}}],
        }
    ),
    "arguments of an object": chat(
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"to": MIA}}}]}
    ),
    "key of the request": chat(user("hi"), **{MIA: 1}),
    "key of a message": chat({"role": "user", "content": "hi", MIA: 1}),
    "key of a part": chat({"role": "user", "content": [{"type": "text", "text": "hi", MIA: 1}]}),
    "key of a tool": chat(user("hi"), tools=[{"type": "function", MIA: {}}]),
    # Whatever is not of the form of a protocol value is no protocol value.
    "tool call's id": chat({"role": "tool", "tool_call_id": MIA, "content": "ok"}),
    "tool choice": chat(user("hi"), tool_choice={"type": [{"function": MIA}]}),
    "tool choice key": chat(user("hi"), tool_choice={MIA: "x"}),
    "setting": chat(user("hi"), reasoning_effort=MIA),
    "modality": chat(user("hi"), modalities=["text", MIA]),
    "seed": chat(user("hi"), seed=MIA),
    "tool's name": chat(user("hi"), tools=[{"type": "function", "function": {"name": MIA}}]),
    "input": {"model": "embed", "input": MIA},
    "inputs": {"model": "embed", "input": ["hi", MIA]},
}


@pytest.mark.parametrize("request_", PLACES.values(), ids=PLACES.keys())
def test_every_string_is_looked_at(request_: dict[str, Any]) -> None:
    done = minimise(request_, FIND)
    assert MIA not in json.dumps(done.request)
    back = done.placeholders.restore(json.dumps(done.request))
    assert json.loads(back) == request_
    assert done.counts == {"EMAIL": 1}


def test_protocol_fields_are_passed_as_they_are() -> None:
    number = "4111111111111111"
    call = {"id": f"call_{number}", "type": "function", "function": {"name": f"f_{number}", "arguments": "{}"}}
    request = chat(
        {"role": "assistant", "tool_calls": [call], "id": number},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": "ok"},
        tools=[{"type": "function", "function": {"name": f"f_{number}"}}],
        tool_choice={"type": "function", "function": {"name": f"f_{number}"}},
        seed=4111111111111111,
    )
    assert minimise({**request, "model": f"m {number}"}, FIND).request == {**request, "model": f"m {number}"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"phone": 491701234567, "card": 4111111111111111, "size": 10042, "big": 2**63},
            {"phone": "<PHONE_1>", "card": "<CREDIT_CARD_1>", "size": 10042, "big": 2**63},
        ),
        ({"orders": [10042, 10043]}, {"orders": ["<ORDER_ID_1>", "<ORDER_ID_2>"]}),
        ({"orderNumber": 10042, "phone_2": 537792402.0}, {"orderNumber": "<ORDER_ID_1>", "phone_2": "<PHONE_1>"}),
        (
            {"price": 0.3000000000000004, "order": True, "orders": 2, "phone": None, "lat": 1e300},
            {"price": 0.3000000000000004, "order": True, "orders": 2, "phone": None, "lat": 1e300},
        ),
    ],
)
def test_a_key_says_what_its_number_is(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert minimise(chat(user("hi"), metadata=before), FIND).request["metadata"] == after
    assert minimise(chat({**user("hi"), **before}), FIND).request["messages"] == [{**user("hi"), **after}]
    assert minimise(chat(user("hi"), **before), FIND).request == chat(user("hi"), **after)
    in_text = minimise(chat(user(json.dumps(before))), FIND).request["messages"][0]["content"]
    assert json.loads(in_text) == after


def test_settings_keep_their_numbers() -> None:
    request = chat(user("hi"), seed=4111111111111111, temperature=0.30000000000000004, logit_bias={"50256": -100})
    assert minimise(request, FIND).request == request


def test_keys_of_messages_keep_their_numbers_in_a_history() -> None:
    first = {**user("hi"), "zoe@example.org": 1}
    whole = minimise(chat(first, user(MIA)), FIND).request["messages"]
    assert whole == [{**user("hi"), "<EMAIL_1>": 1}, user("<EMAIL_2>")]
    assert minimise(chat(first), FIND).request["messages"] == whole[:1]


def test_fields_that_only_identify_the_shopper_are_left_out() -> None:
    request = chat(user("hi"), user="shopper-77", safety_identifier="h", prompt_cache_key="k")
    done = minimise(request, FIND)
    assert done.request == chat(user("hi"))
    assert done.dropped == ("user", "safety_identifier", "prompt_cache_key")
    assert done.changed
    assert minimise(chat(user("hi"), metadata={"user": "shopper-77"}), FIND).dropped == ()


def replaced_json(source: str) -> str:
    return of_user(source).request["messages"][0]["content"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('{"email": "mia.vogt@example.org",  "n":1.10}', '{"email": "<EMAIL_1>",  "n":1.10}'),
        ('{"order_id":"10042"}', '{"order_id":"<ORDER_ID_1>"}'),
        ('{"order_id": 10042, "qty": 10042}', '{"order_id": "<ORDER_ID_1>", "qty": 10042}'),
        ('{"orders": ["10042","10043"]}', '{"orders": ["<ORDER_ID_1>","<ORDER_ID_2>"]}'),
        (r'{"to":"j\u00fcrgen@example.org \"x\""}', r'{"to":"<EMAIL_1> \"x\""}'),
        (r'["line\nmia.vogt\u0040example.org"]', r'["line\n<EMAIL_1>"]'),
        ('{"mia.vogt@example.org": true}', '{"<EMAIL_1>": true}'),
        ('{"phone": "+49 170 1234567", "b": null}', '{"phone": "<PHONE_1>", "b": null}'),
        (r'{"data":"{\"mail\":\"a\\nmia.vogt@example.org\"}"}', r'{"data":"{\"mail\":\"a\\n<EMAIL_1>\"}"}'),
        (r'{"data":"{\"mail\":\"mia.vogt\\u0040example.org\"}"}', r'{"data":"{\"mail\":\"<EMAIL_1>\"}"}'),
        (r'{"data":"{\"order_id\": 10042, \"qty\": 1}"}', r'{"data":"{\"order_id\": \"<ORDER_ID_1>\", \"qty\": 1}"}'),
        (r'"{\"phone\": \"537792402\"}"', r'"{\"phone\": \"<PHONE_1>\"}"'),
        ("[4111111111111111, 12, 1.5]", '["<CREDIT_CARD_1>", 12, 1.5]'),
        ('"mia.vogt@example.org"', '"<EMAIL_1>"'),
        ("{not json: mia.vogt@example.org", "{not json: <EMAIL_1>"),
        ('{"size": 42, "sku": "0123456789"}', '{"size": 42, "sku": "0123456789"}'),
    ],
)
def test_json_in_strings_stays_json(source: str, expected: str) -> None:
    assert replaced_json(source) == expected


@pytest.mark.parametrize("depth", range(1, 8))
def test_json_in_json_stays_json(depth: int) -> None:
    """Deeper than four documents it is read as text, where the address is found as well."""
    inside = {"mail": f"hi\n{MIA}", "ok": 'é"\\'}
    source: Any = inside
    for _ in range(depth):
        source = {"data": json.dumps(source)}
    done = of_user(json.dumps(source))
    assert MIA not in text_of(done)
    read = json.loads(text_of(done))
    for _ in range(depth):
        read = json.loads(read["data"])
    assert read == {**inside, "mail": "hi\n<EMAIL_1>"}


def test_a_long_key_is_not_read_again_with_each_of_its_values() -> None:
    read = 0

    def find(text: str) -> list[Span]:
        nonlocal read
        read += len(text)
        return []

    source = json.dumps({"order " * 5000: list(range(1000, 6000))})
    minimise(chat(user(source), metadata={"order " * 5000: list(range(1000, 6000))}), find)
    assert read <= 20 * 2 * len(source)


def test_arguments_come_back_as_they_were() -> None:
    arguments = r'{"to": "j\u00fcrgen@example.org", "order": "10042"}'
    done = of_user(arguments)
    restored = done.placeholders.restore(text_of(done), json_string=True)
    assert json.loads(restored) == json.loads(arguments)


def test_values_are_escaped_inside_json() -> None:
    done = minimise(chat(user("xx")), lambda text: [Span(0, 2, "EMAIL", "r")] if text == "xx" else [])
    assert done.placeholders.restore("<EMAIL_1>") == "xx"
    odd = minimise(chat(user('"\\\n')), lambda text: [Span(0, 3, "EMAIL", "r")] if text == '"\\\n' else [])
    assert json.loads(odd.placeholders.restore(r'{"a": "\\<EMAIL_1>"}', json_string=True)) == {"a": '"\\\n'}


def test_two_spellings_as_keys_keep_both_entries() -> None:
    done = minimise(chat(user("hi"), metadata={"Mia@example.org": "1", "mia@example.org": "2"}), FIND)
    assert done.request["metadata"] == {"<EMAIL_1>": "1", "<EMAIL_2>": "2"}


def test_a_key_says_what_its_value_is() -> None:
    done = minimise(chat(user("hi"), metadata={"order_id": "10042", "size": "10042", "phone": "537792402"}), FIND)
    assert done.request["metadata"] == {"order_id": "<ORDER_ID_1>", "size": "10042", "phone": "<PHONE_1>"}


def test_lone_surrogates_and_nul_survive() -> None:
    text = f"\ud800 {{\x00 {MIA}"
    assert text_of(of_user(text)) == "\ud800 {\x00 <EMAIL_1>"
    assert text_of(of_user('{"\ud800": 1}')) == '{"\ud800": 1}'


WORDS = st.sampled_from(
    [
        MIA,
        "lea@example.fr",
        "order 10042",
        "+49 170 1234567",
        "<EMAIL_1>",
        r"\<EMAIL\_2\>",
        "<ORDER_ID_1>",
        "jacket",
        "{",
        '"',
    ]
)


@given(st.lists(st.lists(WORDS, max_size=6).map(" ".join), min_size=1, max_size=4))
def test_restoring_gives_back_what_came_and_typed_placeholders_stay(texts: list[str]) -> None:
    done = minimise(chat(*map(user, texts)), FIND)
    for message, text in zip(done.request["messages"], texts, strict=True):
        assert done.placeholders.restore(message["content"]) == text
        assert not FIND(message["content"])


def test_texts_seen_before_are_not_searched_again() -> None:
    searched: list[str] = []

    def find(text: str) -> list[Span]:
        searched.append(text)
        return FIND(text)

    seen = SeenTexts(find, b"k" * 32, capacity=2)
    long = [f"{MIA} {n} " + "x" * MIN_LENGTH for n in range(3)]
    assert [seen.find(long[0]), seen.find(long[0])] == [FIND(long[0])] * 2
    assert searched == [long[0]]
    seen.find(long[1])
    seen.find(long[0])
    seen.find(long[2])  # the least recently used, long[1], goes
    assert len(seen) == 2
    searched.clear()
    seen.find(long[0])
    seen.find(long[1])
    seen.find("short \ud800")
    seen.find("short \ud800")
    assert searched == [long[1], "short \ud800", "short \ud800"]
    assert not any(MIA in repr(part) for part in seen._memory._kept.items())


def test_a_caller_cannot_change_what_was_seen() -> None:
    seen = SeenTexts(FIND, b"k" * 32, capacity=2)
    text = f"{MIA} " + "x" * MIN_LENGTH
    seen.find(text).clear()
    seen.find(text).clear()
    assert seen.find(text) == FIND(text)


def test_names_and_ids_of_tools_that_look_like_placeholders_stand_for_nothing() -> None:
    tool = {"type": "function", "function": {"name": "EMAIL_1"}}
    done = minimise(chat(user(f"I am {MIA}"), tools=[tool]), FIND)
    assert done.placeholders.restore("EMAIL_1 <EMAIL_2>") == f"EMAIL_1 {MIA}"
