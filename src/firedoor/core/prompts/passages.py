"""The texts of a chat request that are read for attacks, and whose words they are.

What a `user` says is the shopper's; what a `tool` answered is the tool's. Somebody else's words are documents: what
stands between tags such as ``<review>``, strings in JSON, names. The shop's own instructions and what the model said
are not read: they are no input of strangers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from firedoor.core.chat import MAX_DEPTH, MEDIA, TEXT_PARTS
from firedoor.core.detect.attack.signs import Role

Step = str | int
Place = tuple[Step, ...]

_TAGS = (
    "documents?|docs?|reviews?|context|sources?|passages?|chunks?|snippets?|search[_-]results?|results?|retrieved|"
    "items?|products?|descriptions?|catalog(?:ue)?|e?mails?|messages?|notes?|order[_-]notes?|comments?|pages?|web[_-]?pages?|"
    "files?|attachments?|articles?|faq|tickets?|transcripts?|data|content|quotes?|untrusted"
)
_TAG = re.compile(rf"<(/?)({_TAGS})(?:\s[^<>]{{0,200}})?>", re.IGNORECASE)
"""Tags that shops put around what they looked up."""
MIN_LETTERS = 4
"""Of a text: `DAN!` is the shortest that asks for anything."""
MIN_NAME = 12
"""Characters of a speaker's name that may be a sentence."""

_OWN = frozenset({"system", "developer"})
_TOOLS = frozenset({"tool", "function"})


class Passage(NamedTuple):
    """A text of a request. `place` leads to the string in the request, `inside` into the JSON that the string holds.

    `start`..`end` are its code points in that string; for a string of its own they are all of it. `new`: said since the
    model spoke last. `typed`: it came in a message of the shopper's.
    """

    place: Place
    inside: Place
    start: int
    end: int
    text: str
    role: Role
    new: bool
    typed: bool

    def where(self) -> str:
        """The place in words: ``messages[2].content``."""
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.place)
        # Keys inside a document are its author's words, and findings hold none.
        return path.lstrip(".") + (".$" + f"[{len(self.inside)}]" if self.inside else "")


class Document(NamedTuple):
    """JSON in a string, and its texts."""

    whole: Passage
    leaves: tuple[Passage, ...]


def passages(request: dict[str, Any]) -> Iterator[Passage | Document]:
    """What there is to read in `request`, in order."""
    messages = request.get("messages", ())
    spoke = max((at for at, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
    for at, message in enumerate(messages):
        role = message.get("role")
        if role == "assistant":
            continue
        new = at > spoke
        yield from _named(message, at, new=new)
        for place, text in _texts(message.get("content"), ("messages", at, "content")):
            if place[-1] == "filename":
                yield Passage(place, (), 0, len(text), text, "document", new, typed=False)
            elif role in _OWN:
                yield from fenced(place, text, new=new, typed=False)
            elif role in _TOOLS:
                yield _structured(place, text, "tool", new=new, typed=False)
            else:
                yield from _said(place, text, new=new)


def passages_of(text: str, role: Role) -> Iterator[Passage | Document]:
    """The same of one text that `role` wrote."""
    if role == "shopper":
        return _said((), text, new=True)
    return iter((_structured((), text, role, new=True, typed=False),))


def _said(place: Place, text: str, *, new: bool) -> Iterator[Passage | Document]:
    """What the shopper's message holds: their words, and what their shop put between tags or into JSON."""
    found = _structured(place, text, "document", new=new, typed=True)
    if isinstance(found, Document):
        yield found
        return
    yield found._replace(role="shopper")
    yield from fenced(place, text, new=new, typed=True)


def fenced(place: Place, text: str, *, new: bool, typed: bool) -> Iterator[Passage]:
    """What stands between tags; up to the end of the text where a tag is not closed."""
    if "<" not in text:
        return
    opened: dict[str, int] = {}
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            opened.setdefault(name, tag.end())
        elif name in opened:
            start = opened.pop(name)
            if not any(start > other for other in opened.values()):  # the outermost has it all
                yield Passage(place, (), start, tag.start(), text[start : tag.start()], "document", new, typed)
    if opened:
        start = min(opened.values())
        yield Passage(place, (), start, len(text), text[start:], "document", new, typed)


def _structured(place: Place, text: str, role: Role, *, new: bool, typed: bool) -> Passage | Document:
    """A text, or the texts of the JSON that it is."""
    whole = Passage(place, (), 0, len(text), text, role, new, typed)
    value = document_in(text)
    if value is None:
        return whole
    leaves = tuple(
        Passage(place, inside, 0, len(leaf), leaf, role, new, typed) for inside, leaf in _leaves(value, (), MAX_DEPTH)
    )
    return Document(whole._replace(text="\n".join(leaf.text for leaf in leaves)), leaves)


def document_in(text: str) -> Any:
    """The JSON object or array that `text` is; None for any other text."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _leaves(value: Any, place: Place, depth: int) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        if len(value) >= MIN_LETTERS:
            yield place, value
    elif depth and isinstance(value, dict):
        for name, inner in value.items():
            if " " in name:  # a key that is a sentence
                yield place, name
            yield from _leaves(inner, (*place, name), depth - 1)
    elif depth and isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _leaves(inner, (*place, at), depth - 1)


def _texts(content: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(content, str):
        if len(content) >= MIN_LETTERS:
            yield place, content
    elif isinstance(content, list):
        for at, part in enumerate(content):
            kind = part.get("type")
            field = TEXT_PARTS.get(kind)
            if field is not None:
                yield from _texts(part.get(field), (*place, at, field))
            elif kind in MEDIA:
                yield from _file_name(part, (*place, at))


def _file_name(part: dict[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    """A file's name is read by the model, and whoever sent the file chose it."""
    for holder, path in ((part, place), (part.get("file"), (*place, "file"))):
        name = holder.get("filename") if isinstance(holder, dict) else None
        if isinstance(name, str) and len(name) >= MIN_NAME:
            yield (*path, "filename"), name


def _named(message: dict[str, Any], at: int, *, new: bool) -> Iterator[Passage]:
    name = message.get("name")
    if isinstance(name, str) and len(name) >= MIN_NAME:
        yield Passage(("messages", at, "name"), (), 0, len(name), name, "document", new, typed=False)
