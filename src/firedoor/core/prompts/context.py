"""Protected content that the caller may not receive, kept out of what the model is told.

What the model does not know it cannot tell. Honeytokens stay: they are there to be told by a model that leaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from firedoor.core.chat import TEXT_PARTS
from firedoor.core.detect.leak.watch import Watch
from firedoor.core.prompts.leaving_out import WITHHELD, cut_out
from firedoor.core.prompts.passages import document_in

TOLD_BY_THE_SHOP = frozenset({"system", "developer", "tool", "function"})
"""Roles whose messages tell the model what the shop knows. What the shopper typed is known to them."""
_KEPT_BACK = frozenset({"value", "amount", "document"})
_JSON_VALUE = re.compile(r'"(?:[^"\\]|\\.)*+"|-?[0-9][0-9.eE+-]*', re.DOTALL)

Withhold = Callable[[str], "Withheld"]
Stretches = tuple[tuple[int, int], ...]
"""Code points of a text, from and to."""


class Withheld(NamedTuple):
    """A text without protected content, and how many stretches were taken out."""

    text: str
    stretches: int


def stretches_of(text: str, watch: Watch) -> Stretches:
    """Where `text` holds what the model must not know."""
    return tuple((hit.start, hit.end) for hit in (*watch.feed(text), *watch.end()) if hit.kind in _KEPT_BACK)


def withhold(text: str, hits: Stretches) -> Withheld:
    """`text` without `hits`; JSON stays JSON."""
    if not hits:
        return Withheld(text, 0)
    if document_in(text) is None:
        return Withheld(cut_out(text, hits), len(hits))
    parts: list[str] = []
    upto = at = 0
    stretches = _apart(hits)
    for token in _JSON_VALUE.finditer(text):  # a string or number goes whole: half of one says the rest
        while at < len(stretches) and stretches[at][1] <= token.start():
            at += 1
        if at < len(stretches) and stretches[at][0] < token.end():
            parts += (text[upto : token.start()], f'"{WITHHELD}"' if token[0][0] == '"' else "null")
            upto = token.end()
    return Withheld("".join([*parts, text[upto:]]), len(hits))


def _apart(hits: Stretches) -> list[tuple[int, int]]:
    """`hits` in order, those that overlap as one."""
    apart: list[tuple[int, int]] = []
    for start, end in sorted(hits):
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def withheld_context(request: dict[str, Any], withhold_from: Withhold) -> tuple[dict[str, Any], int]:
    """`request` with `withhold_from` applied to what the shop tells the model, and how many stretches are gone."""
    messages = request.get("messages")
    if not messages:
        return request, 0
    gone = 0
    written: list[dict[str, Any]] = []
    for message in messages:
        stretches = 0
        if message.get("role") in TOLD_BY_THE_SHOP:
            content, stretches = _content(message.get("content"), withhold_from)
        gone += stretches
        written.append({**message, "content": content} if stretches else message)
    return ({**request, "messages": written}, gone) if gone else (request, 0)


def _content(content: Any, withhold_from: Withhold) -> tuple[Any, int]:
    if isinstance(content, str):
        return withhold_from(content)
    if not isinstance(content, list):
        return content, 0
    gone = 0
    parts: list[Any] = []
    for part in content:
        field = TEXT_PARTS.get(part.get("type"))
        found = withhold_from(part[field]) if field is not None else None
        gone += found.stretches if found is not None else 0
        parts.append({**part, field: found.text} if found is not None and found.stretches else part)
    return parts, gone
