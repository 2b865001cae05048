"""Bytes of a YAML 1.2 document -> plain values, with the lines that each of them stands on. Pure.

Built on the parser's events, not on its object constructor: a plan has no aliases, no tags and no types of its own, and
an input made to hurt is refused at the first event that exceeds a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from firedoor.core.plan.faults import Fault, Path, shown

MAX_BYTES = 1_048_576
"""A plan of 500 shops is about 100 kB. Reading a full megabyte takes two to three seconds, which is still an answer."""
MAX_NODES = 50_000
"""Values in a document. A plan of 500 shops has about 8,000."""
MAX_DEPTH = 16
"""Nesting. The plan's own shape is 8 deep."""

_NULL = re.compile(r"(null|Null|NULL|~)?\Z")
_BOOL = re.compile(r"(true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,2})?\Z")


class Tree(Struct, frozen=True):
    """What a document says. `first` and `last` give the lines (from 1) where a path's key and content stand.

    `faults` are those that do not stop the reading: a repeated key, a tag.
    """

    value: Any
    first: dict[Path, int]
    last: dict[Path, int]
    faults: list[Fault]


class Unreadable(Exception):  # never leaves this package: decode.py turns it into PlanInvalid
    """The document is not YAML that a plan may use."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def read(document: bytes) -> Tree:
    """Parse `document`. Raises `Unreadable` at the first thing that makes the rest meaningless."""
    text = _decoded(document)
    try:
        return _Builder().build(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise _unreadable(
            mark.line + 1 if mark else 1, f"not YAML: {what}", "Mind the indentation, and quotes."
        ) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _unreadable(
            line, "a control character that YAML does not allow", "Remove it, or write it as \\u…."
        ) from None
    except (YAMLError, ValueError, OverflowError, AttributeError, TypeError, IndexError, AssertionError):
        # ruamel lets these out for some damaged escapes and directives; they carry no position.
        raise _unreadable(
            1, "not YAML that can be read", "Look for damaged escapes such as \\U and % directives."
        ) from None


def _decoded(document: bytes) -> str:
    if len(document) > MAX_BYTES:
        raise _unreadable(
            1, f"larger than {MAX_BYTES} bytes", "A plan names protected sets and catalogues, it holds neither."
        )
    try:
        return document.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = document.count(b"\n", 0, error.start) + 1
        raise _unreadable(line, "not UTF-8", "Save the file as UTF-8.") from None


def _unreadable(line: int, message: str, remedy: str) -> Unreadable:
    return Unreadable(Fault((), message, remedy, line))


class _Frame:
    """A mapping or sequence that is still open. `key` is the mapping's key whose value comes next."""

    __slots__ = ("keep", "key", "path", "value")

    def __init__(self, path: Path, value: dict[str, Any] | list[Any]) -> None:
        self.path = path
        self.value = value
        self.key: str | None = None
        self.keep = True


class _Builder:
    """Puts the tree together, one event at a time."""

    def __init__(self) -> None:
        self._open: list[_Frame] = []
        self._first: dict[Path, int] = {}
        self._last: dict[Path, int] = {}
        self._faults: list[Fault] = []
        self._documents = 0
        self._nodes = 0
        self._root: Any = None

    def build(self, events: Iterable[Event]) -> Tree:
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise _unreadable(line, "a second document", "One file holds one plan: remove the --- line.")
            elif isinstance(event, AliasEvent):
                raise _unreadable(line, "aliases such as *name are not used in a plan", "Write the value out.")
            elif isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent):
                self._node(event, line)
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                self._close(event)
        if not self._nodes:
            raise _unreadable(1, "empty", "`firedoor init` writes a plan to start from.")
        return Tree(self._root, self._first, self._last, self._faults)

    def _node(self, event: ScalarEvent | SequenceStartEvent | MappingStartEvent, line: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _unreadable(line, f"more than {MAX_NODES} values", "Split the installation into several plans.")
        frame = self._open[-1] if self._open else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self._key(frame, event, line)
            return
        path, keep = self._place(frame)
        if keep:
            self._first.setdefault(path, line)
        if event.tag is not None:
            self._faults.append(Fault(path, "tags such as !!str are not used in a plan", "Remove the tag."))
        value: Any
        if isinstance(event, ScalarEvent):
            value = _scalar(event)
            self._ended(path, event)
        else:
            value = {} if isinstance(event, MappingStartEvent) else []
        self._attach(frame, value, keep)
        if not isinstance(event, ScalarEvent):
            if len(self._open) >= MAX_DEPTH:
                raise _unreadable(line, f"nested more than {MAX_DEPTH} deep", "No part of a plan is.")
            self._open.append(_Frame(path, value))

    def _key(self, frame: _Frame, event: Event, line: int) -> None:
        if not isinstance(event, ScalarEvent):
            raise _unreadable(line, "a key must be text", "Write `key: value`; put text with braces in quotes.")
        key = str(event.value)
        path = (*frame.path, key)
        frame.key = key
        assert isinstance(frame.value, dict)
        frame.keep = key not in frame.value
        if frame.keep:
            self._first.setdefault(path, line)
        else:
            self._faults.append(Fault(path, f"{shown(key)} is here twice", "Remove one of them.", line))

    def _place(self, frame: _Frame | None) -> tuple[Path, bool]:
        if frame is None:
            return (), True
        if isinstance(frame.value, list):
            return (*frame.path, len(frame.value)), True
        assert frame.key is not None
        return (*frame.path, frame.key), frame.keep

    def _attach(self, frame: _Frame | None, value: Any, keep: bool) -> None:
        if frame is None:
            self._root = value
        elif isinstance(frame.value, list):
            frame.value.append(value)
        else:
            assert frame.key is not None
            if keep:
                frame.value[frame.key] = value
            frame.key = None

    def _close(self, event: Event) -> None:
        path = self._open.pop().path
        if event.end_mark.column > event.start_mark.column:  # a bracket; the end of a block has no width of its own
            self._ended(path, event)

    def _ended(self, path: Path, event: Event) -> None:
        """Content ends here: so does, so far, everything around it."""
        mark = event.end_mark
        line = mark.line + 1 if mark.column else mark.line
        for length in range(len(path) + 1):
            self._last[path[:length]] = max(line, self._last.get(path[:length], 0))


def _scalar(event: ScalarEvent) -> str | int | float | bool | None:
    """YAML 1.2.2, section 10.3.2 (core schema), without octal, hexadecimal, infinity and not-a-number.

    Whatever else is plain text stays text: ``NO`` is Norway, ``2024-01-01`` ten characters.
    """
    text = str(event.value)
    if not event.implicit[0] or event.style not in (None, ""):
        return text
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text[0] in "tT"
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
