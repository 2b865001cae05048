"""The texts of a request as they are read and written again: plain, inside JSON, inside a URL. Pure.

A `Leaf` is read as its `text`, whatever escapes stand around it, and knows how it is written again. Whatever nothing
was replaced in stays as it came, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import msgspec

from firedoor.core.minimise.mentions import Person
from firedoor.core.minimise.placeholders import json_escaped
from firedoor.core.plan.model import FieldRule


class Edit(NamedTuple):
    """Code points `start`..`end` of a leaf become `text`, or the placeholder of `person`."""

    start: int
    end: int
    text: str
    label: str
    person: Person | None = None


class Text(Protocol):
    """Something that stands in a request and can be written again."""

    @property
    def changed(self) -> bool:
        """Whether anything in it was replaced."""
        ...

    def written(self) -> str:
        """It, with everything replaced."""
        ...


class Leaf:
    """One text. `context` is what the key before it tells, `where` names the field, `rule` is that of its field.

    `number`: it stands for a JSON number. `bare`: its place has no room for brackets. `role` is given to the plain
    texts of messages: the value begun in one may go on in the next of the same role. `key`: it is the key of an object.
    """

    __slots__ = ("bare", "context", "edits", "key", "number", "role", "rule", "text", "version", "where")

    def __init__(
        self,
        text: str,
        where: str,
        context: str = "",
        *,
        rule: FieldRule | None = None,
        number: bool = False,
        bare: bool = False,
        role: str = "",
        key: bool = False,
    ) -> None:
        self.text = text
        self.key = key
        self.where = where
        self.context = context
        self.rule = rule
        self.number = number
        self.bare = bare
        self.role = role
        self.edits: list[Edit] = []
        self.version = 0  # how much was known when it was searched for known values

    @property
    def changed(self) -> bool:
        """Whether anything in it was replaced."""
        return bool(self.edits)

    def written(self) -> str:
        """The text with its edits, which are sorted and do not overlap."""
        out: list[str] = []
        position = 0
        for edit in self.edits:
            shown = edit.text
            if edit.person is not None:
                shown = f"<PERSON_{edit.person.root().number}>"
            if self.bare and shown[:1] == "<":
                shown = shown[1:-1]
            out += (self.text[position : edit.start], shown)
            position = edit.end
        out.append(self.text[position:])
        return "".join(out)


class JsonLeaf(Leaf):
    """A string or number in the source of a JSON document. `tail` is the colon after a key."""

    __slots__ = ("tail",)
    tail: str

    def written(self) -> str:
        """The source of a JSON string."""
        return f'"{json_escaped(super().written())}"{self.tail}'


class UrlLeaf(Leaf):
    """A part of a URL, written percent-encoded."""

    __slots__ = ()

    def written(self) -> str:
        """The part, encoded."""
        return quote(super().written(), safe="")


class Document:
    """A text made of others: `pieces` are what stays and what may change, with its source as it came."""

    __slots__ = ("as_string", "pieces")

    def __init__(self, *, as_string: bool = False) -> None:
        self.pieces: list[str | tuple[str, Text]] = []
        self.as_string = as_string  # it stands in the string of another JSON document

    @property
    def changed(self) -> bool:
        """Whether anything in it was replaced."""
        return any(not isinstance(piece, str) and piece[1].changed for piece in self.pieces)

    def written(self) -> str:
        """The document with everything replaced."""
        whole = "".join(
            piece if isinstance(piece, str) else piece[1].written() if piece[1].changed else piece[0]
            for piece in self.pieces
        )
        return f'"{json_escaped(whole)}"' if self.as_string else whole


class Slot(NamedTuple):
    """Where a text stands in the copy of the request. `as_object`: there it is no text but the object that it says."""

    holder: Any
    key: Any
    text: Text
    as_object: bool = False

    def write(self) -> None:
        """Put the text there, if anything in it was replaced."""
        if self.text.changed:
            written = self.text.written()
            self.holder[self.key] = msgspec.json.decode(written) if self.as_object else written


class Keys(NamedTuple):
    """The keys of a dictionary that may be replaced."""

    holder: dict[str, Any]
    leaves: dict[str, Leaf]

    def write(self, own: Callable[[Leaf], str]) -> None:
        """Rename what was replaced, the order kept. Two spellings of one value must both survive: `own` names one."""
        if not any(leaf.edits for leaf in self.leaves.values()):
            return
        items = list(self.holder.items())
        self.holder.clear()
        for key, value in items:
            leaf = self.leaves.get(key)
            new = leaf.written() if leaf is not None and leaf.edits else key
            if leaf is not None and leaf.edits and new in self.holder:
                new = own(leaf)
            self.holder[new] = value
