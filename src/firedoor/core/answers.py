"""OpenAI-shaped answers and stream chunks: their shape, and every string in them.

A model server is not trusted. What is not shaped like an answer is refused as garbage, and each string, names of fields
included, is found: those that grow over a stream by the channel they continue, all others by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from firedoor.errors import ModelFailed

MAX_DEPTH = 32
"""Nesting of an answer. Tool calls reach 6."""

ALONE = frozenset({"role", "type", "id", "name", "object", "model", "finish_reason"})
"""Fields whose strings come whole in one chunk: they are looked at by themselves and never hold other texts back."""

FIELDS = frozenset(
    ("id", "object", "created", "model", "choices", "index", "delta", "message", "content", "role", "finish_reason",
     "usage", "system_fingerprint", "service_tier", "refusal", "reasoning_content", "reasoning", "tool_calls",
     "function", "function_call", "arguments", "name", "type", "text", "annotations", "prompt_tokens",
     "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details", "cached_tokens",
     "timings", "data", "embedding")
)  # fmt: skip
WORDS = frozenset(
    ("assistant", "function", "text", "stop", "length", "tool_calls", "content_filter", "list", "embedding",
     "chat.completion", "chat.completion.chunk")
)  # fmt: skip
"""Names and words of the protocol: in every answer, and nobody's secret."""

TOKEN_LEVEL = ("logprobs", "prompt_logprobs", "token_ids", "prompt_token_ids", "prompt_text")
"""Fields that spell the text a second time, token by token, some of it ahead of what was checked. Never passed on."""

_HOLDS_STRINGS = (str, dict, list)

Part = Literal["delta", "message"]
Channel = tuple[int | str, ...]


class Piece(NamedTuple):
    """A string in an answer and where it stands (None for the name of a field).

    `channel` is the growing text that it continues, beginning with the index of its choice; None if it stands alone.
    """

    channel: Channel | None
    text: str
    holder: Any
    key: Any


def decode_chunk(data: bytes, choices: int) -> dict[str, Any]:
    """One stream event of an answer with `choices` choices. Raises `ModelFailed` for what is not one."""
    document = _decode(data)
    if document.get("error") is not None:
        raise ModelFailed("error_event", "the model server reported an error in the stream")
    _check_choices(document, choices, "delta")
    return document


def decode_answer(data: bytes, choices: int) -> dict[str, Any]:
    """A whole chat answer. Raises `ModelFailed` for what is not one."""
    document = _decode(data)
    _check_choices(document, choices, "message")
    if not document.get("choices"):
        raise ModelFailed("garbage", "the answer has no choices")
    return document


def decode_embeddings(data: bytes) -> dict[str, Any]:
    """A whole embeddings answer. Raises `ModelFailed` for what is not one."""
    document = _decode(data)
    if not isinstance(document.get("data"), list) or not document["data"]:
        raise ModelFailed("garbage", "the answer has no data")
    return document


def finished_choices(chunk: dict[str, Any]) -> list[int]:
    """Indices of the choices that say in this chunk why they ended."""
    return [choice["index"] for choice in chunk.get("choices") or () if choice.get("finish_reason")]


def pieces(document: dict[str, Any], skip: str = "") -> Iterator[Piece]:
    """Every string in a decoded chunk or answer, but the protocol's own and those below fields named `skip`.

    Raises `ModelFailed` for one that is too deep.
    """
    for name, value in document.items():
        if name not in FIELDS:
            yield Piece(None, name, None, None)
        if name == "choices":
            for choice in value or ():
                for field, inner in choice.items():
                    if field not in FIELDS:
                        yield Piece(None, field, None, None)
                    yield from _strings(inner, (choice["index"], field), choice, field, skip, MAX_DEPTH)
        elif isinstance(value, _HOLDS_STRINGS):
            yield from _strings(value, None, document, name, skip, MAX_DEPTH)


def _strings(value: Any, channel: Channel | None, holder: Any, key: Any, skip: str, depth: int) -> Iterator[Piece]:
    if isinstance(value, str):
        if channel is not None and key not in ALONE:
            yield Piece(channel, value, holder, key)
        elif value not in WORDS:
            yield Piece(None, value, holder, key)
    elif isinstance(value, dict):
        _bound(depth)
        for name, inner in value.items():
            if name not in FIELDS:
                yield Piece(None, name, None, None)
            if name != skip:
                yield from _strings(inner, channel and (*channel, name), value, name, skip, depth - 1)
    elif isinstance(value, list):
        _bound(depth)
        for place, inner in enumerate(value):
            # Tool calls name their own place: fragments of one call come in any chunk. Other items, as the parts of a
            # content, are read on as one text.
            named = inner.get("index") if isinstance(inner, dict) else None
            item = (*channel, named) if channel and type(named) is int else channel
            yield from _strings(inner, item, value, place, skip, depth - 1)


def _check_choices(document: dict[str, Any], choices: int, part: Part) -> None:
    """Each choice is an object with an index of its own below `choices`; what spells tokens is taken out."""
    listed = document.get("choices")
    if listed is not None and not isinstance(listed, list):
        raise ModelFailed("garbage", "choices is not a list")
    seen: set[int] = set()
    for place, choice in enumerate(listed or ()):
        if not isinstance(choice, dict):
            raise ModelFailed("garbage", "a choice is not an object")
        index = choice.setdefault("index", place)
        inner = choice.get(part)
        if type(index) is not int or not 0 <= index < choices or index in seen:
            raise ModelFailed("garbage", "a choice has no index of its own")
        if inner is not None and not isinstance(inner, dict):
            raise ModelFailed("garbage", f"the {part} of a choice is not an object")
        seen.add(index)
        for name in TOKEN_LEVEL:
            choice.pop(name, None)
    for name in TOKEN_LEVEL:
        document.pop(name, None)


def _decode(data: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ModelFailed("garbage", "an answer is not JSON") from None
    if not isinstance(document, dict):
        raise ModelFailed("garbage", "an answer is not an object")
    return document


def _bound(depth: int) -> None:
    if depth == 0:
        raise ModelFailed("garbage", f"an answer is nested more than {MAX_DEPTH} levels deep")
