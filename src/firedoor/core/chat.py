"""OpenAI-shaped requests. Fields we do not know survive; fields we rely on are checked."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from firedoor.core.plan.model import Limits
from firedoor.errors import CallerError

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
MAX_DEPTH = 32
"""Nesting of a request. JSON Schemas in tool definitions reach about 15."""

BYTES_PER_TOKEN = 4
"""Estimate used only to refuse a request early; the model server counts for real."""

PROTOCOL: dict[str, frozenset[str]] = {
    # Settings of the call: another value is another behaviour or an error.
    "request": frozenset(
        {"encoding_format", "service_tier", "reasoning_effort", "verbosity", "tool_choice", "modalities"}
    ),
    # Roles are a closed list; ids tie a tool's result to its call.
    "message": frozenset({"role", "tool_call_id", "id"}),
    "part": frozenset({"type"}),
    "tool": frozenset({"type", "id"}),
    # A function is called by its name.
    "function": frozenset({"name"}),
    "format": frozenset({"type"}),
}
"""Fields that select behaviour, by the place they stand in. Their values have a form that has no room for a text."""

INSIDE: dict[tuple[str, str], str] = {
    ("request", "messages"): "message",
    ("request", "tools"): "tool",
    ("request", "functions"): "function",
    ("request", "response_format"): "format",
    ("message", "content"): "part",
    ("message", "tool_calls"): "tool",
    ("message", "function_call"): "function",
    ("tool", "function"): "function",
    ("format", "json_schema"): "function",
}
"""Where the elements of a field belong: (place, field) -> place."""

TEXT_PARTS: dict[str, str] = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}
"""Parts of a content that are text, and the field that holds it."""
MEDIA = frozenset(
    {"image_url", "input_image", "input_audio", "audio_url", "video_url", "input_video", "file", "input_file"}
)
"""Parts of a content whose bytes nobody can look into: refused unless the surface lets them pass."""

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")  # OpenAI's names have 64 characters, other servers' ids are longer


class ChatRequest(Struct, frozen=True):
    """A checked request for `/v1/chat/completions`; `body` is the whole decoded document."""

    body: dict[str, Any]
    model: str
    stream: bool
    choices: int


class EmbeddingsRequest(Struct, frozen=True):
    """A checked request for `/v1/embeddings`."""

    body: dict[str, Any]
    model: str
    stream: bool = False
    choices: int = 1


Request = ChatRequest | EmbeddingsRequest


def parse_chat(raw: bytes, limits: Limits, media: Literal["refuse", "pass"] = "refuse") -> ChatRequest:
    """Decode and check a chat request. `media` is the surface's choice about images, audio and files.

    Raises `CallerError` (400) naming the field.
    """
    body = _decode_object(raw)
    model = _string(body, "model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad("invalid_value", "'messages' must be a non-empty array.", "messages")
    if len(messages) > limits.messages:
        raise _bad("too_many_messages", f"At most {limits.messages} messages are accepted here.", "messages")
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]", media)
    choices = body.get("n", 1)
    if choices is None:
        choices = 1
    if type(choices) is not int or not 1 <= choices <= limits.choices:
        raise _bad("invalid_value", f"'n' must be a whole number from 1 to {limits.choices}.", "n")
    for name in ("max_tokens", "max_completion_tokens"):
        wanted = body.get(name)
        if wanted is not None and (type(wanted) is not int or not 1 <= wanted <= limits.answer_tokens):
            raise _bad("invalid_value", f"{name!r} must be a whole number from 1 to {limits.answer_tokens}.", name)
    _check_tokens(raw, limits)
    _check_protocol(body, "request", "")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _bad("invalid_type", "'stream_options' must be an object.", "stream_options")
    modalities = body.get("modalities")
    for name in ("logprobs", "top_logprobs", "prompt_logprobs"):
        if body.get(name):
            raise _bad("unsupported_parameter", f"{name!r} is not offered: it spells text before it is checked.", name)
    if body.get("audio") is not None or (isinstance(modalities, list) and "audio" in modalities):
        raise _bad("unsupported_content", "Audio answers cannot be inspected and are refused.", "modalities")
    return ChatRequest(body, model, _flag(body, "stream"), choices)


def parse_embeddings(raw: bytes, limits: Limits) -> EmbeddingsRequest:
    """Decode and check an embeddings request. Raises `CallerError` (400) naming the field."""
    body = _decode_object(raw)
    model = _string(body, "model")
    text = body.get("input")
    texts = text if isinstance(text, list) else [text]
    if not texts or not all(isinstance(t, str) for t in texts):
        raise _bad("invalid_type", "'input' must be a string or a non-empty array of strings.", "input")
    if len(texts) > limits.messages:
        raise _bad("too_many_messages", f"At most {limits.messages} inputs are accepted here.", "input")
    _check_tokens(raw, limits)
    _check_protocol(body, "request", "")
    return EmbeddingsRequest(body, model)


def _check_message(message: Any, where: str, media: Literal["refuse", "pass"]) -> None:
    if not isinstance(message, dict):
        raise _bad("invalid_type", f"'{where}' must be an object.", where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise _bad("invalid_value", f"'{where}.role' must be one of {', '.join(sorted(ROLES))}.", f"{where}.role")
    content = message.get("content")
    if content is None:
        if role != "assistant":
            raise _bad("invalid_type", f"'{where}.content' is missing.", f"{where}.content")
    elif isinstance(content, list):
        for number, part in enumerate(content):
            _check_part(part, f"{where}.content[{number}]", media)
    elif not isinstance(content, str):
        raise _bad("invalid_type", f"'{where}.content' must be a string or an array of parts.", f"{where}.content")


def _check_part(part: Any, where: str, media: Literal["refuse", "pass"]) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if media == "pass" and isinstance(kind, str) and kind in MEDIA:
        return
    field = TEXT_PARTS.get(kind) if isinstance(kind, str) else None
    if field is None:
        problem = f"'{where}' is not text: images, audio and files cannot be inspected here."
        raise _bad("unsupported_content", problem, where)
    if not isinstance(part.get(field), str):
        raise _bad("invalid_type", f"'{where}.{field}' must be a string.", f"{where}.{field}")


def is_protocol_value(value: Any) -> bool:
    """Whether `value` is made of names, ids and short settings only, so that it can pass without being searched."""
    if isinstance(value, str):
        return _NAME.fullmatch(value) is not None
    if isinstance(value, dict):
        return all(_NAME.fullmatch(name) and is_protocol_value(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(map(is_protocol_value, value))
    return value is None or isinstance(value, bool)


def _check_protocol(value: Any, place: str, where: str) -> None:
    if isinstance(value, list):
        for number, inner in enumerate(value):
            _check_protocol(inner, place, f"{where}[{number}]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            path = f"{where}.{name}" if where else name
            if name in PROTOCOL[place]:
                if not is_protocol_value(inner):
                    allowed = "names of at most 128 letters, digits and '_.:-'"
                    raise _bad("invalid_value", f"{path!r} may have nothing but {allowed} in it.", path)
            elif (place, name) in INSIDE:
                _check_protocol(inner, INSIDE[place, name], path)


def _check_tokens(raw: bytes, limits: Limits) -> None:
    if len(raw) > limits.tokens * BYTES_PER_TOKEN:
        raise _bad("too_many_tokens", f"The request is longer than about {limits.tokens} tokens.", "messages")


def _decode_object(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _bad("invalid_json", "The body is not valid JSON (UTF-8, limited nesting).", None) from None
    if not isinstance(body, dict):
        raise _bad("invalid_json", "The body must be a JSON object.", None)
    if _deeper_than(body, MAX_DEPTH):
        raise _bad("too_deep", f"The body is nested more than {MAX_DEPTH} levels deep.", None)
    return body


def _deeper_than(value: Any, depth: int) -> bool:
    if depth == 0:
        return isinstance(value, dict | list)
    if isinstance(value, dict):
        return any(_deeper_than(inner, depth - 1) for inner in value.values())
    if isinstance(value, list):
        return any(_deeper_than(inner, depth - 1) for inner in value)
    return False


def _string(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _bad("invalid_type", f"'{name}' must be a non-empty string.", name)
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _bad("invalid_type", f"'{name}' must be true or false.", name)
    return bool(value)


def _bad(code: str, message: str, param: str | None) -> CallerError:
    return CallerError(400, code, message, param=param)
