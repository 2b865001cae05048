"""JSON that stands in a text: its strings, keys and telling numbers as leaves, all other bytes as they are. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from firedoor.core.detect.rules.cues import REACH
from firedoor.core.minimise.fields import Location, TooDeep
from firedoor.core.minimise.leaves import Document, Edit, JsonLeaf, Leaf
from firedoor.core.plan.model import FieldRule

MAX_JSON_IN_JSON = 4
"""Documents in strings of documents. Tools that wrap others' results reach three; what is deeper is read as text."""
REMOVED = "[removed]"
"""Stands where something was dropped, so that the sentence around it still reads."""

_TOKEN = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|(-?[0-9][0-9.eE+-]*)|(true|false|null)|([{}\[\],])', re.DOTALL)
WHOLE_NUMBER = re.compile(r"-?[0-9]{3,32}(?:\.0{1,3})?")
"""Fractions are prices and measures; two digits are nothing."""

_WORDS_OF_A_KEY = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")

Rules = dict[Location, FieldRule]


def context_of(key: str) -> str:
    """The words of a key (``orderNumber``, ``phone_2``) as a text before its value; at most `REACH` code points."""
    return " ".join(_WORDS_OF_A_KEY.findall(key[-REACH:]))[-REACH:]


def decoded(text: str) -> Any:
    """The value of `text` if it is a JSON object, array or string, else None. Raises `TooDeep`."""
    if text[:1] not in '{["\t\r\n ':
        return None
    stripped = text.strip()
    if stripped[:1] not in ("{", "[", '"'):
        return None
    try:
        return msgspec.json.decode(stripped)
    except (msgspec.DecodeError, UnicodeError):
        return None
    except RecursionError:
        raise TooDeep from None


def _nested(text: str) -> bool:
    try:
        return decoded(text) is not None
    except TooDeep:
        return False  # read as text


class JsonReader:
    """Reads documents; every leaf goes to `add`, in the order of the text."""

    def __init__(self, add: Callable[[Leaf], None]) -> None:
        self._add = add

    def read(self, source: str, where: str, rules: Rules, depth: int = 1) -> Document:
        """`source`, valid JSON. `rules` are those of its fields, by their place."""
        return _Reading(self, source, where, rules, depth).document

    def string(self, string: str, where: str, depth: int) -> Document | None:
        """What stands in a string that holds JSON itself; None for any other."""
        if depth >= MAX_JSON_IN_JSON or not string or not _nested(string):
            return None
        inside = self.read(string, where, {}, depth + 1)
        inside.as_string = True
        return inside


class _Reading:
    """One document on the way."""

    def __init__(self, reader: JsonReader, source: str, where: str, rules: Rules, depth: int) -> None:
        self._reader = reader
        self._where = where
        self._rules = rules
        self._depth = depth
        self._context = ""
        self._path: list[str | int] = []  # only followed where there are rules
        self._inherited: list[FieldRule | None] = [rules.get(())]
        self._dropped_at = -1  # where a dropped object or array began
        self._dropped_depth = 0
        self.document = Document()
        self._copied = 0
        for match in _TOKEN.finditer(source):
            self._token(source, match)
        self.document.pieces.append(source[self._copied :])

    def _token(self, source: str, match: re.Match[str]) -> None:
        string, is_key, number, word, mark = match.groups()
        if mark is not None:
            if self._rules:
                self._mark(source, match, mark)
            return
        if self._dropped_at >= 0:
            return
        if is_key:
            self._key(source, match, _unescaped(string), is_key)
            return
        rule = self._rule() if self._rules else None
        if rule is not None and rule.handling == "drop":
            self._remove(source, *match.span(), rule)
        elif number is not None:
            if rule is not None or WHOLE_NUMBER.fullmatch(number):
                self._leaf(source, match, number, rule, number=True)
        elif word is None:
            self._string(source, match, _unescaped(string), rule)

    def _key(self, source: str, match: re.Match[str], key: str, colon: str) -> None:
        if self._rules:
            self._path[-1] = key
        self._context = ""
        leaf = JsonLeaf(key, self._where)
        leaf.tail = colon
        self._put(source, *match.span(), leaf)
        self._context = context_of(key)

    def _string(self, source: str, match: re.Match[str], string: str, rule: FieldRule | None) -> None:
        inside = self._reader.string(string, self._where, self._depth) if rule is None else None
        if inside is None:
            self._leaf(source, match, string, rule, number=False)
            return
        self.document.pieces += (source[self._copied : match.start()], (match[0], inside))
        self._copied = match.end()

    def _leaf(self, source: str, match: re.Match[str], text: str, rule: FieldRule | None, *, number: bool) -> None:
        leaf = JsonLeaf(text, self._where, self._context, rule=rule, number=number)
        leaf.tail = ""
        self._put(source, *match.span(), leaf)

    def _put(self, source: str, start: int, end: int, leaf: Leaf) -> None:
        self.document.pieces += (source[self._copied : start], (source[start:end], leaf))
        self._copied = end
        self._reader._add(leaf)

    # --- places -------------------------------------------------------------------------------------------------------

    def _rule(self) -> FieldRule | None:
        return self._rules.get(tuple(self._path)) or self._inherited[-1]

    def _mark(self, source: str, match: re.Match[str], mark: str) -> None:
        if mark == ",":
            if self._path and isinstance(self._path[-1], int):
                self._path[-1] += 1
        elif mark in "[{":
            rule = self._rule()
            if rule is not None and rule.handling == "drop" and self._dropped_at < 0:
                self._dropped_at, self._dropped_depth = match.start(), len(self._path)
            self._inherited.append(rule)
            self._path.append(0 if mark == "[" else "")
        else:
            self._path.pop()
            rule = self._inherited.pop()
            if self._dropped_at >= 0 and len(self._path) == self._dropped_depth and rule is not None:
                start, self._dropped_at = self._dropped_at, -1
                self._remove(source, start, match.end(), rule)

    def _remove(self, source: str, start: int, end: int, rule: FieldRule) -> None:
        leaf = JsonLeaf(source[start:end], self._where, rule=rule)
        leaf.tail = ""
        leaf.edits = [Edit(0, end - start, REMOVED, rule.label or "")]
        self._put(source, start, end, leaf)


def _unescaped(source: str) -> str:
    return str(msgspec.json.decode(f'"{source}"')) if "\\" in source else source
