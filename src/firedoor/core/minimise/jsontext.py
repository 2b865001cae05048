"""JSON that stands in a text: its strings, keys and telling numbers as leaves, all other bytes as they are. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from firedoor.core.detect.rules.cues import REACH
from firedoor.core.minimise.fields import Ambiguous, Location, TooDeep
from firedoor.core.minimise.leaves import Document, Edit, JsonLeaf, Leaf
from firedoor.core.plan.model import FieldRule

MAX_JSON_IN_JSON = 4
"""Documents in strings of documents. Tools that wrap others' results reach three; what is deeper is read as text."""
REMOVED = "[removed]"
"""Stands where something was dropped, so that the sentence around it still reads."""

_TOKEN = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|(-?[0-9][0-9.eE+-]*)|(true|false|null)|([{}\[\],])', re.DOTALL)
WHOLE_NUMBER = re.compile(r"-?[0-9]{3,32}")
"""Fractions are prices and measures; two digits are nothing."""
_MAX_ZEROS = 32  # that an exponent stands for
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,4}))?")

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_WORDS_OF_A_KEY = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")

Rules = dict[Location, FieldRule]


def context_of(key: str) -> str:
    """The words of a key (``orderNumber``, ``phone_2``) as a text before its value; at most `REACH` code points."""
    return " ".join(_WORDS_OF_A_KEY.findall(key[-REACH:]))[-REACH:]


def whole_number(source: str) -> str:
    """The digits of a JSON number that is whole, however it is written (``4.111e3``); else as it is."""
    match = _NUMBER.fullmatch(source)
    if match is None or source.isdecimal():
        return source
    sign, whole, fraction, exponent = match.groups("")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    if not 0 < point <= len(digits) + _MAX_ZEROS or digits[point:].strip("0"):
        return source
    return sign + (digits[:point].ljust(point, "0").lstrip("0") or "0")


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
        return _loosely_decoded(stripped)
    except RecursionError:
        raise TooDeep from None


def _loosely_decoded(text: str) -> Any:
    """What Python and JavaScript write beside JSON: NaN, numbers out of range, half of a surrogate pair.

    A model reads it, so the rules for fields must count in it too.
    """
    try:
        return json.loads(text, parse_int=float)
    except ValueError:
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

    def read(self, source: str, where: str, rules: Rules, depth: int = 1, *, ruled: bool = False) -> Document:
        """`source`, valid JSON. `rules` are those of its fields, by their place.

        With `ruled`, raises `Ambiguous` for an object that says a key twice: of the two only the last was looked at.
        """
        return _Reading(self, source, where, rules, depth, ruled=ruled or bool(rules)).document

    def string(self, string: str, where: str, depth: int) -> Document | None:
        """What stands in a string that holds JSON itself; None for any other."""
        if depth >= MAX_JSON_IN_JSON or not string or not _nested(string):
            return None
        inside = self.read(string, where, {}, depth + 1)
        inside.as_string = True
        return inside


class _Reading:
    """One document on the way."""

    def __init__(self, reader: JsonReader, source: str, where: str, rules: Rules, depth: int, *, ruled: bool) -> None:
        self._reader = reader
        self._ruled = ruled
        self._where = where
        self._rules = rules
        self._depth = depth
        self._context = ""
        self._path: list[str | int] = []  # only followed where there may be rules
        self._inherited: list[FieldRule | None] = [rules.get(())]
        self._names: list[set[str]] = []
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
            if self._ruled:
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
            number = whole_number(number)
            if rule is not None or WHOLE_NUMBER.fullmatch(number):
                self._leaf(source, match, number, rule, number=True)
        elif word is None:
            self._string(source, match, _unescaped(string), rule)

    def _key(self, source: str, match: re.Match[str], key: str, colon: str) -> None:
        if self._ruled:
            self._path[-1] = key
            names = self._names[-1]
            if key in names:
                raise Ambiguous
            names.add(key)
        self._context = ""
        leaf = JsonLeaf(key, self._where, key=True)
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
            self._names.append(set())
            self._path.append(0 if mark == "[" else "")
        else:
            self._path.pop()
            rule = self._inherited.pop()
            self._names.pop()
            if self._dropped_at >= 0 and len(self._path) == self._dropped_depth and rule is not None:
                start, self._dropped_at = self._dropped_at, -1
                self._remove(source, start, match.end(), rule)

    def _remove(self, source: str, start: int, end: int, rule: FieldRule) -> None:
        leaf = JsonLeaf(source[start:end], self._where, rule=rule)
        leaf.tail = ""
        leaf.edits = [Edit(0, end - start, REMOVED, rule.label or "")]
        self._put(source, start, end, leaf)


def _unescaped(source: str) -> str:
    if "\\" not in source:
        return source
    try:
        return str(msgspec.json.decode(f'"{source}"'))
    except msgspec.DecodeError:
        return _HALF_A_PAIR.sub("\ufffd", str(json.loads(f'"{source}"')))
