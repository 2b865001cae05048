"""What there is to read in a request, in order, and where it stands. Pure.

Every string and every key is read, in fields nobody knows as well, but the values of `chat.PROTOCOL`, whose form has no
room for a text, and the content of images, audio and files where a surface lets them pass. Messages come first and in
order, so that a history sent again is read in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from firedoor.core.chat import INSIDE, MEDIA, PROTOCOL, is_protocol_value
from firedoor.core.minimise.fields import TooDeep
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.minimise.jsontext import WHOLE_NUMBER, JsonReader, context_of, decoded
from firedoor.core.minimise.leaves import Document, Keys, Leaf, Slot, UrlLeaf

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
    json_schema schema image_url input_audio file file_id file_data file_url filename url data format detail"""
)
_SAID = frozenset({("message", "content"), ("part", "text")})
_STRUCTURED = frozenset({("message", "content"), ("part", "text"), ("function", "arguments"), ("request", "input")})
"""Fields whose whole text may be a document that the plan has rules for."""

_PAYLOADS = frozenset({"url", "image_url", "file_url", "file_data", "data"})
_DATA_URL = re.compile(r"data:[\w.+-]{0,60}/[\w.+-]{0,80}(?:;[\w=.+-]{1,60}){0,4};base64,[A-Za-z0-9+/_=-]*\s*\Z")
_BASE64 = re.compile(r"(?=.{0,256}[a-z])(?=.{0,256}[A-Z])[A-Za-z0-9+/_-]{64,}={0,2}\s*\Z")
_WEB_URL = re.compile(r"https?://[^\s?#]+([?#][^\s]*)?\Z")
_URL_PARTS = re.compile(r"[^?&=#;]+")

_TOO_LONG = 10**32


class _Place(NamedTuple):
    """Where a value stands: in what kind of thing, the name a refusal gives it, and what its key tells."""

    inside: str
    name: str
    context: str = ""
    role: str = ""  # whose words it is, where it is what a message says
    structured: bool = False
    media: bool = False


class Reading:
    """A copy of a request under way. `leaves` are its texts in order; `copy` is complete after `write`.

    `unread` are the names and ids that stay as they are: they may look like placeholders.

    Raises `TooDeep` if there are rules about fields and a document is nested too deep for them, and `Ambiguous` if one
    says a key twice.
    """

    def __init__(self, request: dict[str, Any], handlings: Handlings) -> None:
        self.leaves: list[Leaf] = []
        self.unread: list[str] = []
        dropped = () if handlings.shadow else DROPPED
        self.copy: dict[str, Any] = {name: value for name, value in request.items() if name not in dropped}
        self._slots: list[Slot] = []
        self._keys: list[Keys] = []
        self._handlings = handlings
        self._json = JsonReader(self.leaves.append)
        first = [name for name in _FIRST if name in self.copy]
        order = [*first, *(name for name in self.copy if name not in _FIRST)]
        self._fields(self.copy, order, _Place("request", "request"))

    def write(self, own: Callable[[Leaf], str]) -> None:
        """Write what was replaced into `copy`. `own` gives a key a name that no other key has."""
        for slot in self._slots:
            slot.write()
        for keys in self._keys:
            keys.write(own)

    def _fields(self, fields: dict[str, Any], order: Iterable[str], at: _Place) -> None:
        passed = PROTOCOL.get(at.inside, frozenset())
        media = at.media or (at.inside == "part" and self._handlings.media == "pass" and fields.get("type") in MEDIA)
        role = fields.get("role") if at.inside == "message" else at.role
        for name in order:
            value = fields[name]
            if name in passed and is_protocol_value(value):
                self.unread += _strings(value)
                continue
            if at.inside == "request" and _is_setting(name, value):
                continue
            inner = _Place(
                INSIDE.get((at.inside, name), _CALLER_DATA),
                _named(at, name),
                "" if (at.inside or media) and name in _FIELDS else context_of(name),
                str(role) if (at.inside, name) in _SAID else "",
                bool(self._handlings.fields) and (at.inside, name) in _STRUCTURED,
                media,
            )
            if media and name in _PAYLOADS and isinstance(value, str):
                self._payload(fields, name, value, inner)
            elif (at.inside, name) == ("message", "name") and isinstance(value, str):
                self._leaf(fields, name, Leaf(value, inner.name, "name" if role == "user" else "", bare=True))
            else:
                self._value(fields, name, value, inner)
        leaves = {key: Leaf(key, at.name, key=True) for key in fields if key not in _FIELDS}
        if leaves:
            self._keys.append(Keys(fields, leaves))
            self.leaves += leaves.values()

    def _value(self, holder: Any, key: Any, value: Any, at: _Place) -> None:
        if isinstance(value, str):
            if value:
                self._text(holder, key, value, at)
        elif isinstance(value, list):
            copied: list[Any] = list(value)
            holder[key] = copied
            numbered = at.name in _FIRST
            for position, inner in enumerate(value):
                self._value(copied, position, inner, at._replace(name=f"{at.name}[{position}]") if numbered else at)
        elif isinstance(value, dict):
            rules = self._handlings.fields.at(value) if at.structured and key == "arguments" else {}
            if rules:
                source = msgspec.json.encode(value).decode()
                self._slots.append(Slot(holder, key, self._json.read(source, at.name, rules), as_object=True))
                return
            holder[key] = fields = dict(value)
            self._fields(fields, list(fields), at)
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_LONG:
            written = str(int(value)) if value == int(value) else ""
            if WHOLE_NUMBER.fullmatch(written):
                self._leaf(holder, key, Leaf(written, at.name, at.context, number=True))

    def _text(self, holder: Any, key: Any, text: str, at: _Place) -> None:
        try:
            document = decoded(text)
            rules = self._handlings.fields.at(document) if at.structured else {}
        except TooDeep:
            if at.structured:
                raise
            document = None
        if document is None:
            self._leaf(holder, key, Leaf(text, at.name, at.context, role=at.role))
        else:
            self._slots.append(Slot(holder, key, self._json.read(text, at.name, rules, ruled=at.structured)))

    def _payload(self, holder: Any, key: Any, value: str, at: _Place) -> None:
        """The content of an image, audio or file: only what a URL asks for is read, and what is no content at all."""
        if _DATA_URL.match(value) or _BASE64.match(value):
            return
        url = _WEB_URL.match(value)
        if url is None:
            self._text(holder, key, value, at)
            return
        document = Document()
        copied, name = 0, ""
        for part in _URL_PARTS.finditer(value, url.start(1) if url[1] else len(value)):
            valued = value[part.start() - 1] == "="
            leaf = UrlLeaf(unquote(part[0]), at.name, context_of(name) if valued else "")
            document.pieces += (value[copied : part.start()], (part[0], leaf))
            self.leaves.append(leaf)
            copied, name = part.end(), part[0]
        document.pieces.append(value[copied:])
        self._slots.append(Slot(holder, key, document))

    def _leaf(self, holder: Any, key: Any, leaf: Leaf) -> None:
        self._slots.append(Slot(holder, key, leaf))
        self.leaves.append(leaf)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _is_setting(name: str, value: Any) -> bool:
    return name in _SETTINGS and (name == "model" or not isinstance(value, str | list | dict))


def _named(at: _Place, name: str) -> str:
    """The name of a field for a refusal: only names of the API, the caller's own may be somebody's data."""
    if name not in _FIELDS or at.inside not in ("request", "message"):
        return at.name
    return name if at.inside == "request" else f"{at.name}.{name}"
