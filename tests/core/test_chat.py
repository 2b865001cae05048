"""Requests are checked where we rely on them and survive where we do not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.chat import parse_chat, parse_embeddings
from firedoor.core.plan.model import Limits
from firedoor.errors import CallerError

LIMITS = Limits()
GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def parse(document, limits=LIMITS):
    return parse_chat(msgspec.json.encode(document), limits)


def test_unknown_fields_survive():
    request = parse({**GOOD, "vendor": {"x": [1, {"y": None}]}, "n": 2, "stream": True})
    assert request.body["vendor"] == {"x": [1, {"y": None}]}
    assert (request.stream, request.choices) == (True, 2)


BAD = [
    ({"messages": GOOD["messages"]}, "model", "invalid_type"),
    ({**GOOD, "model": ""}, "model", "invalid_type"),
    ({**GOOD, "model": 7}, "model", "invalid_type"),
    ({"model": "m"}, "messages", "invalid_value"),
    ({**GOOD, "messages": []}, "messages", "invalid_value"),
    ({**GOOD, "messages": "hi"}, "messages", "invalid_value"),
    ({**GOOD, "messages": ["hi"]}, "messages[0]", "invalid_type"),
    ({**GOOD, "messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ({**GOOD, "messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role", "invalid_value"),
    ({**GOOD, "messages": [{"role": "user"}]}, "messages[0].content", "invalid_type"),
    ({**GOOD, "messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
    (
        {**GOOD, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0]",
        "unsupported_content",
    ),
    ({**GOOD, "n": 0}, "n", "invalid_value"),
    ({**GOOD, "n": 9}, "n", "invalid_value"),
    ({**GOOD, "n": True}, "n", "invalid_value"),
    ({**GOOD, "stream": "yes"}, "stream", "invalid_type"),
    ({**GOOD, "stream_options": []}, "stream_options", "invalid_type"),
    ({**GOOD, "max_tokens": 10**9}, "max_tokens", "invalid_value"),
    ({**GOOD, "modalities": ["text", "audio"]}, "modalities", "unsupported_content"),
    ({**GOOD, "modalities": ["mia@example.org"]}, "modalities", "invalid_value"),
    ({**GOOD, "modalities": {"a": 5}}, "modalities", "invalid_value"),
    ({**GOOD, "tool_choice": {"x": "mia@example.org"}}, "tool_choice", "invalid_value"),
    ({**GOOD, "tool_choice": {"mia@example.org": "x"}}, "tool_choice", "invalid_value"),
    ({**GOOD, "tool_choice": 491701234567}, "tool_choice", "invalid_value"),
    ({**GOOD, "reasoning_effort": "call me at 537 792 402"}, "reasoning_effort", "invalid_value"),
    ({**GOOD, "service_tier": ""}, "service_tier", "invalid_value"),
    ({**GOOD, "verbosity": "x" * 129}, "verbosity", "invalid_value"),
    ({**GOOD, "response_format": {"type": "a b"}}, "response_format.type", "invalid_value"),
    ({**GOOD, "tools": [{"id": "a b"}]}, "tools[0].id", "invalid_value"),
    ({**GOOD, "tools": [{"function": {"name": "a b"}}]}, "tools[0].function.name", "invalid_value"),
    ({**GOOD, "functions": [{"name": "a\n"}]}, "functions[0].name", "invalid_value"),
    (
        {**GOOD, "messages": [{"role": "tool", "content": "x", "tool_call_id": "mia@example.org"}]},
        "messages[0].tool_call_id",
        "invalid_value",
    ),
    (
        {**GOOD, "messages": [{"role": "assistant", "tool_calls": [{"id": {"a": 5}}]}]},
        "messages[0].tool_calls[0].id",
        "invalid_value",
    ),
    ({**GOOD, "messages": GOOD["messages"] * 100_000}, "messages", "too_many_messages"),
    ({**GOOD, "user": "x" * 200_000}, "messages", "too_many_tokens"),
]


@pytest.mark.parametrize(("document", "param", "code"), BAD)
def test_bad_requests_name_the_field(document, param, code):
    with pytest.raises(CallerError) as caught:
        parse(document)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


MEDIA_PARTS = [
    {"type": "image_url", "image_url": {"url": "https://cdn.example/a.png"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
]


@pytest.mark.parametrize("part", MEDIA_PARTS)
def test_media_is_refused_unless_the_surface_lets_it_pass(part):
    document = {**GOOD, "messages": [{"role": "user", "content": [part]}]}
    with pytest.raises(CallerError) as caught:
        parse(document)
    assert caught.value.code == "unsupported_content"
    assert parse_chat(msgspec.json.encode(document), LIMITS, "pass").body == document


@pytest.mark.parametrize("kind", ["text", "input_text", "output_text", "refusal"])
def test_parts_that_are_text_hold_text(kind):
    field = "refusal" if kind == "refusal" else "text"
    assert parse({**GOOD, "messages": [{"role": "user", "content": [{"type": kind, field: "hi"}]}]})
    with pytest.raises(CallerError) as caught:
        parse({**GOOD, "messages": [{"role": "user", "content": [{"type": kind, field: 5}]}]})
    assert (caught.value.code, caught.value.param) == ("invalid_type", f"messages[0].content[0].{field}")


def test_an_unknown_part_is_refused_even_where_media_pass():
    for part in ({"type": "hologram"}, {"type": ["file"]}, {}, "text"):
        with pytest.raises(CallerError):
            parse_chat(msgspec.json.encode({**GOOD, "messages": [{"role": "user", "content": [part]}]}), LIMITS, "pass")


def test_names_and_ids_of_a_real_request_pass():
    call = {"id": "call_Ab-1.2:3", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    document = {
        "model": "org/model 1",  # compared with the plan's
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "Mia Vogt"},
            {"role": "assistant", "tool_calls": [call], "id": None},
            {"role": "tool", "tool_call_id": call["id"], "content": "ok"},
        ],
        "tools": [{"type": "function", "function": {"name": "get_order", "description": "any text!"}}],
        "tool_choice": {"type": "function", "function": {"name": "get_order"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": ["a b"]}}},
        "reasoning_effort": "low",
        "service_tier": None,
        "modalities": ["text"],
    }
    assert parse(document).body == document
    assert parse({**document, "tool_choice": "auto"})


def test_settings_of_embeddings_are_checked():
    good = {"model": "m", "input": "hi", "encoding_format": "base64"}
    assert parse_embeddings(msgspec.json.encode(good), LIMITS).body == good
    with pytest.raises(CallerError) as caught:
        parse_embeddings(msgspec.json.encode({**good, "encoding_format": "mia@example.org"}), LIMITS)
    assert (caught.value.param, caught.value.code) == ("encoding_format", "invalid_value")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"model": "\xff"}',
        b'{"a":"\\ud800"}',
        b"[" * 100_000,
        b"{" * 5_000,
        b"\x00",
        b"NaN",
    ],
)
def test_what_is_not_a_json_object_is_refused(raw):
    with pytest.raises(CallerError) as caught:
        parse_chat(raw, LIMITS)
    assert caught.value.code == "invalid_json"


def test_deep_nesting_is_refused():
    nested: object = "x"
    for _ in range(40):
        nested = {"a": nested}
    with pytest.raises(CallerError) as caught:
        parse({**GOOD, "extra": nested})
    assert caught.value.code == "too_deep"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_parsed_or_refused(value):
    for document in (value, {"model": "m", "messages": value}, {**GOOD, "tools": value, "n": value}):
        try:
            parse(document)
        except CallerError as error:
            assert error.status == 400


@pytest.mark.parametrize("text", [5, None, [], [1, 2, 3], [["x"]], {"a": 1}])
def test_embeddings_input_must_be_text(text):
    with pytest.raises(CallerError):
        parse_embeddings(msgspec.json.encode({"model": "m", "input": text}), LIMITS)
