"""The answer cache: what may be asked of it, what may enter it, and who gets it. `store/cache.py` keeps the entries.

An answer is given again only to exactly the request that it answered, never to one that is like it, and only within its
partition: everything that decides which answer a caller may have. Partition and request make the key; both are also
bound to the sealed entry, so that an entry under another key, or in another partition, does not open.

What is found is still only what a model once said: it goes through the whole check of answers again.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from firedoor.core import sse
from firedoor.core.chat import TEXT_PARTS
from firedoor.core.fallback import FallbackAnswer, as_chunks, as_completion
from firedoor.core.plan.model import CacheRules
from firedoor.core.switches import Scope

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that is kept: about four times as much as 4,096 tokens are. Longer ones hardly come twice."""

DELIVERY = frozenset({"stream", "stream_options"})
"""Fields that say how an answer is sent, not what it says."""
CALLER = frozenset({"user", "metadata"})
"""Fields that say who asks. Within one shopper's partition they change nothing."""
INSTRUCTIONS = frozenset({"system", "developer"})
"""Roles whose messages are the shop's own."""
SPEAKERS = INSTRUCTIONS | {"user", "assistant"}
"""Roles of a conversation without tools: what a tool told may be somebody's, and is another thing tomorrow."""

MESSAGE = frozenset({"role", "content", "name", "refusal", "tool_calls", "function_call"})
"""Fields of a message that name nothing outside it."""

SETTINGS = DELIVERY | CALLER | frozenset(
    ("model", "messages", "n", "seed", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop",
     "presence_penalty", "frequency_penalty", "logit_bias", "response_format", "tools", "tool_choice",
     "parallel_tool_calls", "functions", "function_call", "reasoning_effort", "verbosity", "modalities", "logprobs",
     "top_logprobs", "service_tier", "top_k", "min_p", "typical_p", "min_tokens", "repeat_penalty", "repeat_last_n",
     "repetition_penalty", "length_penalty", "stop_token_ids", "bad_words", "ignore_eos", "best_of", "mirostat",
     "mirostat_tau", "mirostat_eta", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar",
     "chat_template_kwargs", "cache_prompt")
)  # fmt: skip
"""Fields of which it is known that the answer depends on nothing but their values. Any other may name something that
the model server keeps, such as a conversation or a collection of documents, and what that says changes."""


class Partition(Struct, frozen=True, kw_only=True):
    """Everything but the request that decides which answer a caller may have. No entry is seen from another partition.

    `subject` is the shopper's look-up pseudonym, or empty where answers are shared by the whole surface. `prompt` is
    the SHA-256 (hex) of the shop's instructions in the request, `in_force` that of the protected content and rules that
    answers are checked by, `cache_epoch` the switch table's.
    """

    region: str
    shop: str
    surface: str
    subject: str
    role: str
    granted: tuple[str, ...]
    jurisdiction: str
    plan: str
    model: str
    remote_name: str
    prompt: str
    in_force: str
    cache_epoch: int


class Asked(Struct, frozen=True, kw_only=True):
    """What the inspection of a request told.

    `personal`: personal data was taken out, passed or only seen. `record`: the shop told about its shopper.
    `protected`: the caller typed protected content, or may receive some.
    """

    personal: bool
    record: bool
    protected: bool


class Said(Struct, frozen=True, kw_only=True):
    """What became of an answer of the model. `texts` are its texts by channel, as `Inspection.released_text` has them.

    `findings` counts what was found in it, whatever was done about that; `restored` the placeholders put back,
    `invented` those that stood for nothing. `recorded` says that its outcome is durable.
    """

    texts: Mapping[str, str]
    outcome: str
    finish_reason: str | None
    findings: int
    restored: int
    invented: int
    recorded: bool


class Source(Struct, frozen=True, kw_only=True):
    """The exchange that an answer comes from; `subject` and `session` are look-up pseudonyms."""

    exchange: str
    subject: str | None = None
    session: str | None = None


class Found(Struct, frozen=True):
    """An answer that was kept. `exchange` is where it comes from, `created` when it was kept (Unix seconds)."""

    text: str
    exchange: str
    created: int


class Poisoned(Struct, frozen=True):
    """There was an entry that was not kept for this partition and request, or was changed. It is gone.

    `exchange` is where it said it came from: nothing vouches for that.
    """

    exchange: str


class Chosen(Struct, frozen=True, kw_only=True):
    """Which entries an operator means: those that fulfil all of it. Times are Unix seconds, `until` not included."""

    exchanges: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    shop: str | None = None
    surface: str | None = None
    since: float | None = None
    until: float | None = None
    before_epoch: int | None = None


def partition_of(
    rules: CacheRules,
    scope: Scope,
    request: Mapping[str, Any],
    *,
    subject: str | None,
    role: str | None,
    granted: Iterable[str],
    jurisdiction: str | None,
    plan: str,
    remote_name: str,
    in_force: str,
    cache_epoch: int,
) -> Partition | None:
    """The partition of a request at `scope`; None if answers are kept per shopper and nobody says who this is."""
    if rules.scope == "subject" and not subject:
        return None
    messages = request.get("messages") or ()
    instructions = [message for message in messages if message.get("role") in INSTRUCTIONS]
    return Partition(
        region=scope.region,
        shop=scope.shop,
        surface=scope.surface,
        subject=(subject or "") if rules.scope == "subject" else "",
        role=role or "",
        granted=tuple(sorted(set(granted))),
        jurisdiction=jurisdiction or "",
        plan=plan,
        model=scope.model,
        remote_name=remote_name,
        prompt=sha256(canonical(instructions)).hexdigest(),
        in_force=in_force,
        cache_epoch=cache_epoch,
    )


def key_of(partition: Partition, request: Mapping[str, Any], key: bytes) -> bytes:
    """32 bytes under which the answer to `request` (already minimised) is kept: HMAC-SHA256 under the region's `key`.

    Everything in the request counts but how the answer is sent and, within one shopper's partition, who asks.
    """
    ignored = DELIVERY | CALLER if partition.subject else DELIVERY
    asked = {name: value for name, value in request.items() if name not in ignored}
    # Canonical JSON has no line break, so that the two parts cannot be cut in another place.
    return hmac.digest(key, b"answer 1\n" + canonical(partition) + b"\n" + canonical(asked), "sha256")


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no white space: equal bytes for equal values, whatever order their keys came in."""
    return msgspec.json.encode(value, order="sorted")


def digest_of(parts: Iterable[bytes]) -> str:
    """SHA-256 (hex) of `parts`, each with its length: for `Partition.in_force`."""
    total = sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()


def may_be_asked(rules: CacheRules, request: Mapping[str, Any], asked: Asked) -> bool:
    """Whether the answer to `request` may come from the cache, or go to it.

    Not if anything in it is somebody's or protected, nor if the answer depends on more than the request.
    """
    if asked.personal or asked.protected or (asked.record and rules.scope == "surface"):
        return False
    if not request.keys() <= SETTINGS or request.get("n") not in (None, 1):
        return False
    tools = request.get("tools") or []
    if not isinstance(tools, list) or not all(map(_is_function, tools)):
        return False
    return all(map(_is_said, request.get("messages") or ()))


def _is_said(message: Mapping[str, Any]) -> bool:
    """Whether it is text of a conversation: no part of a call of tools, and nothing that nobody can look into."""
    if not message.keys() <= MESSAGE or message.get("role") not in SPEAKERS:
        return False
    if message.get("tool_calls") or message.get("function_call"):
        return False
    content = message.get("content")
    return not isinstance(content, list) or all(part.get("type") in TEXT_PARTS for part in content)


def _is_function(tool: Any) -> bool:
    """Whether it is the shop's own function. Other tools are the model server's: it searches, or runs code."""
    return isinstance(tool, dict) and tool.get("type") == "function"


def may_be_kept(said: Said) -> str | None:
    """The text to keep, of an answer that is nothing but one clean text said to its end; else None."""
    clean = not (said.findings or said.restored or said.invented)
    if not clean or not said.recorded or said.outcome != "answered" or said.finish_reason != "stop":
        return None
    if not said.texts.keys() <= _CONTENT or len(said.texts) != 1:
        return None
    (text,) = said.texts.values()
    return text if text and len(text.encode("utf-8", "surrogatepass")) <= MAX_ANSWER else None


_CONTENT = frozenset({"0.message.content", "0.delta.content"})


def as_sent(
    found: Found, request: Mapping[str, Any], *, stream: bool, model: str, created: int, completion_id: str
) -> bytes:
    """`found` as a model instance would send it: a whole answer, or the events of a stream.

    The machine takes these bytes as it takes a model's, and checks them as it checks a model's. No tokens were used.
    """
    given = FallbackAnswer(found.text, False, "message")
    if not stream:
        document = as_completion(given, request, model=model, created=created, completion_id=completion_id)
        return msgspec.json.encode(document)
    chunks = as_chunks(given, request, model=model, created=created, completion_id=completion_id)
    return b"".join(sse.encode(msgspec.json.encode(chunk)) for chunk in chunks) + sse.encode(sse.DONE)
