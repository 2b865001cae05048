"""Answers of a model server nobody trusts: their shape, and every string in them."""

import json

import pytest

from firedoor.core.answers import decode_answer, decode_chunk, decode_embeddings, pieces
from firedoor.errors import ModelFailed


def test_every_string_of_a_delta_is_found():
    chunk = {
        "id": "c1",
        "choices": [
            {
                "index": 1,
                "text": "T",
                "delta": {
                    "role": "assistant",
                    "content": "A",
                    "reasoning_content": "B",
                    "tool_calls": [{"index": 3, "id": "call", "function": {"name": "f", "arguments": "D"}}],
                    "vendor": {"deep": ["E"]},
                },
            }
        ],
        "vendor": "F",
        "usage": {"note": "G"},
    }
    growing = {p.channel: p.text for p in pieces(chunk) if p.channel is not None}
    assert growing == {
        (1, "text"): "T",
        (1, "delta", "content"): "A",
        (1, "delta", "reasoning_content"): "B",
        (1, "delta", "tool_calls", 3, "function", "arguments"): "D",
        (1, "delta", "vendor", "deep"): "E",
    }
    alone = {p.text for p in pieces(chunk) if p.channel is None}
    assert alone == {"c1", "call", "f", "F", "G", "vendor", "note", "deep"}


def test_parts_of_a_content_are_read_on_as_one_text():
    answer = {
        "choices": [
            {"index": 0, "message": {"content": [{"type": "text", "text": "AL"}, {"type": "text", "text": "P"}]}}
        ]
    }
    assert [(p.channel, p.text) for p in pieces(answer) if p.channel] == [
        ((0, "message", "content", "text"), "AL"),
        ((0, "message", "content", "text"), "P"),
    ]


GARBAGE = [
    "text",
    5,
    [],
    {"choices": "text"},
    {"choices": {"0": "text"}},
    {"choices": ["text"]},
    {"choices": [{"index": "0"}]},
    {"choices": [{"index": 0.0}]},
    {"choices": [{"index": True}]},
    {"choices": [{"index": -1}]},
    {"choices": [{"index": 2}]},
    {"choices": [{"index": []}]},
    {"choices": [{"index": 0}, {"index": 0}]},
    {"choices": [{"index": 0, "delta": "text"}]},
    {"error": {"message": "internal: key sk-1"}},
]


@pytest.mark.parametrize("document", GARBAGE)
def test_what_is_not_a_chunk_is_garbage(document):
    with pytest.raises(ModelFailed) as caught:
        decode_chunk(json.dumps(document).encode(), 2)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"{}", b'{"choices": []}', b'{"choices": [{"message": "x"}]}', b"[" * 9999]
)
def test_what_is_not_an_answer_is_garbage(raw):
    with pytest.raises(ModelFailed):
        decode_answer(raw, 1)


@pytest.mark.parametrize("raw", [b"{}", b'{"data": "text"}', b'{"data": []}'])
def test_what_is_not_an_embedding_is_garbage(raw):
    with pytest.raises(ModelFailed):
        decode_embeddings(raw)


def test_what_spells_tokens_is_taken_out():
    document = decode_chunk(
        b'{"prompt_logprobs": [1], "choices": [{"delta": {"content": "a"}, "logprobs": {"x": 1}}]}', 1
    )
    assert document == {"choices": [{"index": 0, "delta": {"content": "a"}}]}


def test_a_deep_answer_is_garbage():
    nested = "x"
    for _ in range(40):
        nested = {"a": nested}
    with pytest.raises(ModelFailed):
        list(pieces({"choices": [{"index": 0, "delta": nested}]}))
