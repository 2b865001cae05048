"""Replace personal data in a chat or embeddings request by placeholders.

Every string of the request is looked at, in fields nobody knows as well, except the few listed in `PROTOCOL`. Messages
come first and in order, so that a history sent again gets the same numbers. Strings that hold JSON (arguments of tool
calls, results of tools) stay valid JSON. Numbers are replaced there too when their key says what they are
(``{"order_id": 10042}``); outside of such strings a number is a setting (``seed``) and stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from firedoor.core.detect.spans import Span
from firedoor.core.minimise.identity import identity
from firedoor.core.minimise.placeholders import Name, Placeholders, json_escaped, typed_in

Find = Callable[[str], list[Span]]

PROTOCOL: dict[str, frozenset[str]] = {
    # Settings of the call: another value is another behaviour or an error.
    "request": frozenset(
        {"model", "encoding_format", "service_tier", "reasoning_effort", "verbosity", "tool_choice", "modalities"}
    ),
    # Roles are a closed list; ids tie a tool's result to its call.
    "message": frozenset({"role", "tool_call_id", "id"}),
    "part": frozenset({"type"}),
    "tool": frozenset({"type", "id"}),
    # A function is called by its name.
    "function": frozenset({"name"}),
    "format": frozenset({"type"}),
}
"""Fields that select behaviour and are passed as they are, by the place they stand in. Nowhere else is skipped."""

DROPPED = ("user", "safety_identifier", "prompt_cache_key")
"""Top-level fields whose only purpose is to tell the model server which shopper this is."""

_FIRST = ("messages", "input")

# Where the elements of a field belong: (place, field) -> place.
_INSIDE: dict[tuple[str, str], str] = {
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
_CALLER_DATA = ""  # the place of everything else: its keys are the caller's own, and say what their values are

MAX_WITH_KEY = 64
"""A string this short is read together with its key (``order_id: 10042``); a longer one speaks for itself."""

_JSON_TOKEN = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|(-?[0-9][0-9.eE+-]*)', re.DOTALL)


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
    for holder, key, text, context in work.strings:
        holder[key] = _replaced(text, context, find, names)
    for holder in work.keyed:
        _rename_keys(holder, find, names)
    dropped = tuple(name for name in DROPPED if name in request)
    placeholders = Placeholders(names.values, names.typed)
    return Minimised(copy, placeholders, names.counts(), dropped, bool(names.values or dropped))


class _Request:
    """A copy of a request under way, with a list of its strings: (container, key or index, string, key for context)."""

    def __init__(self) -> None:
        self.strings: list[tuple[Any, Any, str, str]] = []
        self.keyed: list[dict[str, Any]] = []

    def texts(self) -> list[str]:
        """All strings and all keys of the caller's own."""
        return [text for _, _, text, _ in self.strings] + [key for holder in self.keyed for key in holder]

    def copy_request(self, request: dict[str, Any]) -> dict[str, Any]:
        copy: dict[str, Any] = {name: value for name, value in request.items() if name not in DROPPED}
        first = [name for name in _FIRST if name in copy]
        for name in [*first, *(name for name in copy if name not in _FIRST)]:
            if name not in PROTOCOL["request"]:
                self._copy_into(copy, name, copy[name], _INSIDE.get(("request", name), _CALLER_DATA), "")
        return copy

    def _copy_into(self, holder: Any, key: Any, value: Any, place: str, context: str) -> None:
        if isinstance(value, str):
            if value:
                self.strings.append((holder, key, value, context))
        elif isinstance(value, list):
            copied: list[Any] = list(value)
            holder[key] = copied
            for position, inner in enumerate(value):
                self._copy_into(copied, position, inner, place, context)
        elif isinstance(value, dict):
            holder[key] = copy = dict(value)
            passed = PROTOCOL.get(place, frozenset())
            for name, inner in value.items():
                if name not in passed:
                    inside = _INSIDE.get((place, name), _CALLER_DATA)
                    self._copy_into(copy, name, inner, inside, "" if place else name)
            if not place:
                self.keyed.append(copy)


class _Names:
    """Hands out placeholders: one for each identity, in order of first appearance, never one the caller typed."""

    def __init__(self, typed: frozenset[Name]) -> None:
        self.typed = typed
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
            while (label, number) in self.typed:
                number += 1
            self._last[label] = number
            self.values[label, number] = value
            known = self._known[label, known_as] = f"<{label}_{number}>"
        return known


def _replaced(text: str, context: str, find: Find, names: _Names) -> str:
    if text[0] in "{[ \t\r\n" and _is_json(text):
        return _replaced_in_json(text, find, names)
    spans = _spans(text, context, find)
    return _spliced(text, spans, names) if spans else text


def _spans(text: str, context: str, find: Find) -> list[Span]:
    """What is found in `text`, read together with the key it stands under."""
    if not context or len(text) > MAX_WITH_KEY:
        return find(text)
    before = len(context) + 2
    shifted = [
        span._replace(start=max(span.start - before, 0), end=span.end - before) for span in find(f"{context}: {text}")
    ]
    return [span for span in shifted if span.end > 0]


def _spliced(text: str, spans: list[Span], names: _Names) -> str:
    out: list[str] = []
    position = 0
    for span in spans:
        out += (text[position : span.start], names.placeholder(span.label, text[span.start : span.end]))
        position = span.end
    out.append(text[position:])
    return "".join(out)


def _rename_keys(holder: dict[str, Any], find: Find, names: _Names) -> None:
    found = {key: spans for key in holder if (spans := find(key))}
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
    stripped = text.strip()
    if stripped[:1] not in ("{", "["):
        return False
    try:
        msgspec.json.decode(stripped)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _replaced_in_json(text: str, find: Find, names: _Names) -> str:
    """`text`, valid JSON, with strings and telling numbers replaced in place; all other bytes stay as they are."""
    context = ""

    def token(match: re.Match[str]) -> str:
        nonlocal context
        source, is_key, number = match.groups()
        if number is not None:
            spans = _spans(number, context, find) if context else []
            return f'"{_spliced(number, spans, names)}"' if spans else match[0]
        string = msgspec.json.decode(f'"{source}"') if "\\" in source else source
        if is_key:
            context = string
            spans = find(string)
        else:
            spans = _spans(string, context, find)
        return f'"{json_escaped(_spliced(string, spans, names))}"{is_key or ""}' if spans else match[0]

    return _JSON_TOKEN.sub(token, text)
