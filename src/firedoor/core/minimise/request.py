"""Replace personal data in a chat or embeddings request by placeholders.

Every string and every key of the request is looked at, in fields nobody knows as well, except the values of
`chat.PROTOCOL`, whose form has no room for a text. Messages come first and in order, so that a history sent again gets
the same numbers. Strings that hold JSON (arguments of tool calls, results of tools) stay valid JSON, also where they
hold strings that hold JSON. Whole numbers are replaced too (``{"order_id": 10042}``), by strings; the settings of the
request itself (``seed``) stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from firedoor.core.chat import INSIDE, PROTOCOL, is_protocol_value
from firedoor.core.detect.cues import telling_words
from firedoor.core.detect.spans import Span
from firedoor.core.minimise.identity import identity
from firedoor.core.minimise.placeholders import Name, Placeholders, json_escaped, typed_in

Find = Callable[[str], list[Span]]

DROPPED = ("user", "safety_identifier", "prompt_cache_key")
"""Top-level fields whose only purpose is to tell the model server which shopper this is."""

_FIRST = ("messages", "input")
_CALLER_DATA = ""  # the place of everything that INSIDE does not name: all its keys are the caller's own


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The choice of model, and numbers: the caller's server sets them and the model server needs them as they are.
_SETTINGS = _names(
    """
    model seed n temperature top_p top_k min_p max_tokens max_completion_tokens presence_penalty frequency_penalty
    repetition_penalty dimensions"""
)
# Names of OpenAI's API. They are no personal data and, in its own places, say nothing about their values.
_FIELDS = _SETTINGS | _names(
    """
    messages input stream stream_options stop logit_bias tools tool_choice parallel_tool_calls functions function_call
    response_format metadata store service_tier reasoning_effort verbosity modalities prediction encoding_format
    role content name tool_calls tool_call_id refusal id type text function arguments description parameters strict
    json_schema schema"""
)

MAX_WITH_KEY = 64
"""A string this short is read together with its key (``order_id: 10042``); a longer one speaks for itself."""

MAX_JSON_IN_JSON = 4
"""Documents in strings of documents. Tools that wrap others' results reach three; what is deeper is read as text."""

_JSON_TOKEN = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|(-?[0-9][0-9.eE+-]*)', re.DOTALL)
_WHOLE = re.compile(r"-?[0-9]{3,32}(?:\.0{1,3})?")  # fractions are prices and measures; two digits are nothing
_TOO_LONG = 10**32


class Minimised(Struct, frozen=True):
    """A request without the personal data found in it.

    `counts` are distinct values by label, `dropped` the identifying fields left out; `changed` says whether `request`
    differs from what came.
    """

    request: dict[str, Any]
    placeholders: Placeholders
    counts: dict[str, int]
    dropped: tuple[str, ...]
    changed: bool


def minimise(request: dict[str, Any], find: Find) -> Minimised:
    """`request` with everything `find` finds replaced. The request itself is not touched.

    Its nesting must be bounded, as `chat.parse_chat` does.
    """
    work = _Request()
    copy = work.copy_request(request)
    names = _Names(typed_in(work.texts()))
    for step in work.steps:
        if isinstance(step, dict):
            _rename_keys(step, find, names)
        else:
            step.holder[step.key] = _replaced(step, find, names)
    dropped = tuple(name for name in DROPPED if name in request)
    return Minimised(copy, Placeholders(names.values), names.counts(), dropped, bool(names.values or dropped))


class _Value(NamedTuple):
    """A string or number that stands at ``holder[key]``, and what the key before it tells."""

    holder: Any
    key: Any
    value: str | int | float
    context: str


class _Request:
    """A copy of a request under way: its values in order, each dictionary behind what is in it, for its keys."""

    def __init__(self) -> None:
        self.steps: list[_Value | dict[str, Any]] = []

    def texts(self) -> list[str]:
        """All strings and all keys."""
        texts: list[str] = []
        for step in self.steps:
            if isinstance(step, dict):
                texts += step
            elif isinstance(step.value, str):
                texts.append(step.value)
        return texts

    def copy_request(self, request: dict[str, Any]) -> dict[str, Any]:
        copy: dict[str, Any] = {name: value for name, value in request.items() if name not in DROPPED}
        first = [name for name in _FIRST if name in copy]
        self._copy_fields(copy, [*first, *(name for name in copy if name not in _FIRST)], "request")
        return copy

    def _copy_fields(self, copy: dict[str, Any], order: Iterable[str], place: str) -> None:
        passed = PROTOCOL.get(place, frozenset())
        for name in order:
            value = copy[name]
            if name in passed and is_protocol_value(value):
                continue
            if (
                place == "request"
                and name in _SETTINGS
                and (name == "model" or not isinstance(value, str | list | dict))
            ):
                continue
            context = "" if place and name in _FIELDS else telling_words(name)
            self._copy_into(copy, name, value, INSIDE.get((place, name), _CALLER_DATA), context)
        self.steps.append(copy)

    def _copy_into(self, holder: Any, key: Any, value: Any, place: str, context: str) -> None:
        if isinstance(value, str):
            if value:
                self.steps.append(_Value(holder, key, value, context))
        elif isinstance(value, list):
            copied: list[Any] = list(value)
            holder[key] = copied
            for position, inner in enumerate(value):
                self._copy_into(copied, position, inner, place, context)
        elif isinstance(value, dict):
            holder[key] = copy = dict(value)
            self._copy_fields(copy, list(copy), place)
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_LONG:
            self.steps.append(_Value(holder, key, value, context))


class _Names:
    """Hands out placeholders: one for each identity, in order of first appearance, never one the caller typed."""

    def __init__(self, typed: frozenset[Name]) -> None:
        self._typed = typed
        self.values: dict[Name, str] = {}
        self._known: dict[tuple[str, str], str] = {}
        self._last: dict[str, int] = {}

    def placeholder(self, label: str, value: str) -> str:
        return self._named(label, identity(label, value), value)

    def placeholder_of_its_own(self, label: str, value: str) -> str:
        """One that no other spelling of the same identity shares."""
        return self._named(label, "exactly " + value, value)

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for label, _ in self.values:
            counts[label] = counts.get(label, 0) + 1
        return counts

    def _named(self, label: str, known_as: str, value: str) -> str:
        known = self._known.get((label, known_as))
        if known is None:
            number = self._last.get(label, 0) + 1
            while (label, number) in self._typed:
                number += 1
            self._last[label] = number
            self.values[label, number] = value
            known = self._known[label, known_as] = f"<{label}_{number}>"
        return known


def _replaced(step: _Value, find: Find, names: _Names) -> str | int | float:
    if not isinstance(step.value, str):
        written = str(step.value)
        spans = _number_spans(written, step.context, find)
        return _spliced(written, spans, names) if spans else step.value
    if _is_json(step.value):
        return _replaced_in_json(step.value, 1, find, names)
    spans = _spans(step.value, step.context, find)
    return _spliced(step.value, spans, names) if spans else step.value


def _spans(text: str, context: str, find: Find) -> list[Span]:
    """What is found in `text`, read together with what its key tells."""
    if not context or len(text) > MAX_WITH_KEY:
        return find(text)
    before = len(context) + 2
    shifted = [
        span._replace(start=max(span.start - before, 0), end=span.end - before) for span in find(f"{context}: {text}")
    ]
    return [span for span in shifted if span.end > 0]


def _number_spans(written: str, context: str, find: Find) -> list[Span]:
    return _spans(written, context, find) if _WHOLE.fullmatch(written) else []


def _spliced(text: str, spans: list[Span], names: _Names) -> str:
    out: list[str] = []
    position = 0
    for span in spans:
        out += (text[position : span.start], names.placeholder(span.label, text[span.start : span.end]))
        position = span.end
    out.append(text[position:])
    return "".join(out)


def _rename_keys(holder: dict[str, Any], find: Find, names: _Names) -> None:
    found = {key: spans for key in holder if key not in _FIELDS and (spans := find(key))}
    if not found:
        return
    items = list(holder.items())
    holder.clear()
    for key, value in items:
        new = key
        if key in found:
            new = _spliced(key, found[key], names)
            if new in holder:  # two spellings of one value: both entries must survive
                new = names.placeholder_of_its_own(found[key][0].label, key)
        holder[new] = value


def _is_json(text: str) -> bool:
    if text[0] not in '{["\t\r\n ':
        return False
    stripped = text.strip()
    if stripped[:1] not in ("{", "[", '"'):
        return False
    try:
        msgspec.json.decode(stripped)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _replaced_in_json(text: str, depth: int, find: Find, names: _Names) -> str:
    """`text`, valid JSON, with strings and telling numbers replaced in place; all other bytes stay as they are."""
    context = ""

    def token(match: re.Match[str]) -> str:
        nonlocal context
        source, is_key, number = match.groups()
        if number is not None:
            spans = _number_spans(number, context, find)
            return f'"{_spliced(number, spans, names)}"' if spans else match[0]
        string = msgspec.json.decode(f'"{source}"') if "\\" in source else source
        if is_key:
            context = telling_words(string)
            spans = find(string)
        elif depth < MAX_JSON_IN_JSON and string and _is_json(string):
            inner = _replaced_in_json(string, depth + 1, find, names)
            return match[0] if inner == string else f'"{json_escaped(inner)}"'
        else:
            spans = _spans(string, context, find)
        return f'"{json_escaped(_spliced(string, spans, names))}"{is_key or ""}' if spans else match[0]

    return _JSON_TOKEN.sub(token, text)
