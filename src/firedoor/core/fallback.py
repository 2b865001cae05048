"""The deterministic answer of a surface while AI is off, in words and in OpenAI's shapes. Pure.

The gateway and the shop's client library both answer with these functions, so a shopper gets the same words and a
checkout the same decision wherever the fallback is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from firedoor.core.language import language_of
from firedoor.core.plan.model import Fallback, MessageFallback, RefuseFallback, RulesFallback, SearchFallback
from firedoor.core.rules import rules, transaction_in_text

__all__ = [
    "FallbackAnswer",
    "answer",
    "as_chunks",
    "as_completion",
    "language_of",
    "message",
    "pick_language",
    "query_of",
    "rules",
    "search_text",
    "tail_chunks",
    "transaction_in",
]

MAX_QUERY = 1_000
"""Code points of a shopper's message used as a search query: a question, not an essay."""
MAX_CHOICES = 16
"""The plan allows no more choices than this in any surface."""
MAX_NAME = 120
"""Code points of a product's name in a fallback answer."""
REFUSAL = "This feature is not available at the moment."

Hit = Mapping[str, object]


class FallbackAnswer(Struct, frozen=True):
    """What the fallback says. `refused`: the surface has no fallback but an error, and `text` is for nobody's eyes."""

    text: str
    refused: bool
    kind: Literal["message", "search", "rules", "refuse"]


def answer(spec: Fallback, request: Any, *, language: str | None = None, hits: Sequence[Hit] = ()) -> FallbackAnswer:
    """The fallback for one decoded chat request.

    `language` is the shopper's if the caller knows it; otherwise the request's own words decide. `hits` are what a
    catalogue found for `query_of(request)`; only a search fallback looks at them.
    """
    match spec:
        case MessageFallback():
            return FallbackAnswer(message(spec, language or _vote(request, spec.text, spec.default)), False, "message")
        case SearchFallback():
            chosen = language or _vote(request, spec.text, spec.default)
            return FallbackAnswer(search_text(spec, chosen, hits), False, "search")
        case RulesFallback():
            return FallbackAnswer(rules(spec, transaction_in(request)), False, "rules")
        case RefuseFallback():
            return FallbackAnswer(REFUSAL, True, "refuse")


def message(spec: MessageFallback, language: str | None) -> str:
    """The surface's text in `language` (``de`` or ``de-AT``), else in its default language."""
    return _text(spec.text, language, spec.default)


def search_text(spec: SearchFallback, language: str | None, hits: Sequence[Hit]) -> str:
    """An introduction and one line per hit, at most `spec.hits` of them; the `empty` text when there are none."""
    lines = [_hit_line(hit) for hit in hits[: spec.hits]]
    if not lines:
        return _text(spec.empty, language, spec.default)
    return "\n".join((_text(spec.text, language, spec.default), *lines))


def query_of(request: Any) -> str:
    """The text of the last user message, at most `MAX_QUERY` code points; empty when there is none."""
    return _last_user_text(request)[:MAX_QUERY]


def transaction_in(request: Any) -> dict[str, Any]:
    """The transaction a checkout request is about: the one JSON object in its last user message, else ``{}``."""
    return transaction_in_text(_last_user_text(request))


def pick_language(request: Any, texts: Mapping[str, str], default: str = "en") -> str:
    """The key of `texts` to answer `request` with. `texts` is not empty; a `default` it lacks gives its first key."""
    chosen = _vote(request, texts, default)
    return chosen if chosen in texts else next(iter(texts))


def as_completion(
    given: FallbackAnswer, request: Any, *, model: str, created: int, completion_id: str
) -> dict[str, Any]:
    """A whole ``chat.completion``, with as many choices as the request asks for. `created` is in Unix seconds."""
    content = {"content": None, "refusal": given.text} if given.refused else {"content": given.text, "refusal": None}
    choices = [
        {"index": i, "message": {"role": "assistant", **content}, "logprobs": None, "finish_reason": "stop"}
        for i in range(_choices(request))
    ]
    head = {"id": completion_id, "object": "chat.completion", "created": created, "model": model}
    return {**head, "choices": choices, "usage": _no_usage()}


def as_chunks(
    given: FallbackAnswer, request: Any, *, model: str, created: int, completion_id: str
) -> list[dict[str, Any]]:
    """A whole stream of ``chat.completion.chunk``: role, content and finish, then usage if the request asks for it."""
    indices = range(_choices(request))
    roles = [_choice(i, {"role": "assistant", "content": None if given.refused else ""}) for i in indices]
    made: dict[str, Any] = {"model": model, "created": created, "completion_id": completion_id}
    return [
        _chunk(roles, **made),
        *tail_chunks(given, indices, usage=_wants_usage(request), **made),
    ]


def tail_chunks(
    given: FallbackAnswer,
    indices: Iterable[int],
    *,
    model: str,
    created: int,
    completion_id: str,
    usage: bool = False,
    after: str = "",
) -> list[dict[str, Any]]:
    """What ends a stream for the choices `indices`: the text, preceded by `after`, and ``finish_reason: stop``."""
    indices = tuple(indices)
    made: dict[str, Any] = {"model": model, "created": created, "completion_id": completion_id}
    delta = {"refusal": given.text} if given.refused else {"content": after + given.text}
    chunks = [
        _chunk([_choice(i, delta) for i in indices], **made),
        _chunk([_choice(i, {}, "stop") for i in indices], **made),
    ]
    if usage:
        chunks.append({**_chunk([], **made), "usage": _no_usage()})
    return chunks


def _vote(request: Any, texts: Iterable[str], default: str) -> str:
    return language_of(query_of(request), texts, default)


def _text(texts: Mapping[str, str], language: str | None, default: str) -> str:
    for key in (language, (language or "").partition("-")[0].lower(), default):
        if key and key in texts:
            return texts[key]
    return next(iter(texts.values()), "")


def _hit_line(hit: Hit) -> str:
    name = " ".join(str(hit.get("name") or hit.get("sku") or "").split())[:MAX_NAME]
    price, currency = hit.get("price"), hit.get("currency")
    if isinstance(price, bool) or not isinstance(price, int | float):
        return f"- {name}"
    return f"- {name}, {price:.2f} {currency or ''}".rstrip()


def _last_user_text(request: Any) -> str:
    messages = request.get("messages") if isinstance(request, dict) else None
    for entry in reversed(messages if isinstance(messages, list) else []):
        if isinstance(entry, dict) and entry.get("role") == "user":
            return _content_text(entry.get("content"))
    return ""


def _content_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _choices(request: Any) -> int:
    wanted = request.get("n") if isinstance(request, dict) else None
    return wanted if type(wanted) is int and 1 <= wanted <= MAX_CHOICES else 1


def _wants_usage(request: Any) -> bool:
    options = request.get("stream_options") if isinstance(request, dict) else None
    return isinstance(options, dict) and options.get("include_usage") is True


def _chunk(choices: list[dict[str, Any]], *, model: str, created: int, completion_id: str) -> dict[str, Any]:
    head = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
    return {**head, "choices": choices}


def _choice(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _no_usage() -> dict[str, int]:
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
