r"""Placeholders such as ``<EMAIL_1>``: which value each stands for, and putting the values back.

Models write placeholders back with small changes, so these forms are restored too: another case (``<email_1>``), other
gaps (``< EMAIL_1 >``, ``<EMAIL 1>``, ``<Credit Card-1>``), square brackets (``[EMAIL_1]``) and none at all where it is
a word of its own (``EMAIL_1``, capitals only), escaped for Markdown (``\<EMAIL\_1\>``), for HTML (``&lt;EMAIL_1&gt;``)
and for JSON (``\u003cEMAIL_1\u003e``). What follows stays: ``<PERSON_1>'s`` becomes ``Mia's``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from firedoor.core.plan.model import LABELS

Name = tuple[str, int]
"""Label and number of a placeholder."""

_ESCAPE = r"\\{0,2}"  # two: JSON writes a backslash as two, and taking one of them would break the document
_UNDERLINE = rf"{_ESCAPE}_"
_GAP = rf"(?:{_UNDERLINE}|[ -])"
_NUMBER = "[1-9][0-9]{0,5}"  # no leading zero, so that a number has one form; no request has room for a million values
_OPEN = rf"(?:{_ESCAPE}<|&lt;|\\{{1,2}}u003c)"
_CLOSE = rf"(?:{_ESCAPE}>|&gt;|\\{{1,2}}u003e)"
_WORDS = "|".join(label.replace("_", _UNDERLINE) for label in LABELS)  # as a bare word
_LABELS = "|".join(label.replace("_", _GAP) for label in LABELS)  # in brackets
# A bare one begins a word; in the source of JSON it may stand right behind an escaped line break.
_BORDER = r"(?:(?u:(?<!\w))|(?<=\\[nrtbf]))"
_FLAGS = re.IGNORECASE | re.ASCII  # ASCII: the Kelvin sign is not a K


def _forms(not_in_word: str, no_link: str) -> re.Pattern[str]:
    """All forms. A bare one and one in square brackets depend on what follows: a word goes on, a link has a text."""
    return re.compile(
        rf"{_OPEN} ?({_LABELS}){_GAP}({_NUMBER}) ?{_CLOSE}"
        rf"|{_ESCAPE}\[ ?({_LABELS}){_GAP}({_NUMBER}) ?{_ESCAPE}\]{no_link}"
        rf"|{_BORDER}(?-i:({_WORDS}){_UNDERLINE}({_NUMBER})){not_in_word}",
        _FLAGS,
    )


_WHOLE = _forms(r"(?u:(?!\w))", r"(?!\()")
_GROWING = _forms(r"(?u:(?=\W))", r"(?=[^(])")  # the end of what has come so far is no border yet
LONGEST = len(r"\\u003c" + r"\\u003e" + r"\\_999999") + max(len(w) + 2 * w.count("_") for w in LABELS) + 3
"""More than the code points of the longest form, spaces in it and the one after it: less than this is held back."""


def _begun(gap: str) -> str:
    """A pattern for the beginnings of all labels, from one letter up to all of them."""
    tree: dict[str, dict[str, object]] = {}
    for label in LABELS:
        branch = tree
        for letter in label:
            branch = branch.setdefault(letter, {})  # type: ignore[assignment]
    return _branches(tree, gap)


def _branches(tree: dict[str, dict[str, object]], gap: str) -> str:
    ways = []
    for letter, rest in tree.items():
        more = f"(?:{_branches(rest, gap)})?" if rest else ""  # type: ignore[arg-type]
        ways.append(rf"{gap}{more}|\\{{1,2}}" if letter == "_" else letter + more)
    return "|".join(ways)


_ESCAPED_BEGUN = r"\\{1,2}(?:u(?:0(?:0(?:3)?)?)?)?"
# What more text can still make a placeholder of, or a longer one.
_UNFINISHED = re.compile(
    rf"(?:{_ESCAPED_BEGUN}|&(?:lt?)?"
    rf"|(?:{_OPEN}|{_ESCAPE}\[) ?(?:{_begun(_GAP)}"
    rf"|(?:{_LABELS})(?:\\{{1,2}}|{_GAP}(?:{_NUMBER} ?(?:{_ESCAPED_BEGUN}|&(?:gt?)?|{_ESCAPE}\])?)?))?"
    rf"|{_BORDER}(?-i:{_begun(_UNDERLINE)}|(?:{_WORDS})(?:\\{{1,2}}|{_UNDERLINE}(?:{_NUMBER})?)))\Z",
    _FLAGS,
)
_BEFORE = 2  # code points that decide where a word begins

# What a caller may not be given a value for: far more than is restored, lest a model mends it.
_LOOSE = "|".join(label.replace("_", r"[\W_]{0,3}") for label in LABELS)
_TYPED = re.compile(rf"({_LOOSE})[\W_]{{0,8}}0{{0,3}}({_NUMBER})", _FLAGS)
_MAY_BE_TYPED = re.compile(r"[A-Za-z][\W_]{0,8}[0-9]", re.ASCII)  # in all of them, and found in a fraction of the time
_NO_LETTER = re.compile(r"[\W_]+")
_BY_LETTERS = {label.replace("_", ""): label for label in LABELS}
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")


def _may_begin(text: str) -> bool:
    """Whether `text` may hold a placeholder or the beginning of one: a bare one has an underline, or has none yet."""
    return "_" in text or "<" in text or "[" in text or "&" in text or "\\" in text or "A" <= text[-1:] <= "Z"


class Replacement(NamedTuple):
    """Put `text` in place of the code points `start`..`end`, counted from the start of the growing text."""

    start: int
    end: int
    text: str


class Placeholders:
    """The placeholders of one request and the values they stand for.

    `restored` counts by label what has been put back so far, `invented` the placeholders in answers that stand for
    nothing. Those of `typed` stand for nothing either, but it was the caller who wrote them.
    """

    __slots__ = ("_typed", "_values", "invented", "restored")

    def __init__(self, values: dict[Name, str], typed: frozenset[Name] = frozenset()) -> None:
        self._values = values
        self._typed = typed
        self.restored: dict[str, int] = {}
        self.invented = 0

    def __len__(self) -> int:
        return len(self._values)

    def value(self, name: Name) -> str | None:
        """What `name` stands for; None when it stands for nothing."""
        return self._values.get(name)

    def restore(self, text: str, *, json_string: bool = False) -> str:
        """`text` with every placeholder of this request replaced by its value.

        With `json_string`, `text` is the source of a JSON document and values are escaped as inside a JSON string.
        Placeholders that stand for nothing are left alone.
        """

        def value(match: re.Match[str]) -> str:
            found = self._counted(match)
            if found is None:
                return match[0]
            return json_escaped(found) if json_string else found

        return _WHOLE.sub(value, text) if _may_begin(text) else text

    def watch(self) -> PlaceholderWatch:
        """Restore one growing text."""
        return PlaceholderWatch(self)

    def _counted(self, match: re.Match[str]) -> str | None:
        name = _name(match)
        value = self._values.get(name)
        if value is not None:
            self.restored[name[0]] = self.restored.get(name[0], 0) + 1
        elif name not in self._typed:
            self.invented += 1
        return value


class PlaceholderWatch:
    """Finds the placeholders of one growing text, whatever its chunks."""

    __slots__ = ("_before", "_fed", "_placeholders", "_unfinished")

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._before = ""
        self._unfinished = ""
        self._fed = 0

    def feed(self, text: str) -> list[Replacement]:
        """Take the next piece; return what is to be replaced now that it is complete. Values are not escaped."""
        self._fed += len(text)
        if not self._unfinished and not _may_begin(text):
            if text:
                self._before = (self._before + text)[-_BEFORE:]
            return []
        text = self._before + self._unfinished + text
        start = self._fed - len(text)
        at = len(self._before)
        tail = max(at, len(text) - LONGEST + 1)
        begun = _UNFINISHED.search(text, tail)
        replacements: list[Replacement] = []
        while (match := _GROWING.search(text, at)) and not (begun and begun.start() < match.start()):
            at = match.end()
            if begun and begun.start() < at:
                begun = _UNFINISHED.search(text, max(at, tail))
            self._replace(match, start, replacements)
        held = begun.start() if begun else len(text)
        self._before, self._unfinished = text[max(0, held - _BEFORE) : held], text[held:]
        return replacements

    def finish(self) -> list[Replacement]:
        """No more will come: what stands at the very end, where only now no longer word can follow."""
        text = self._before + self._unfinished
        replacements: list[Replacement] = []
        for match in _WHOLE.finditer(text, len(self._before)):
            self._replace(match, self._fed - len(text), replacements)
        self._before, self._unfinished = text[-_BEFORE:], ""
        return replacements

    def held_from(self) -> int:
        """Where an unfinished placeholder may start; the length fed so far when there is none."""
        return self._fed - len(self._unfinished)

    def _replace(self, match: re.Match[str], start: int, replacements: list[Replacement]) -> None:
        value = self._placeholders._counted(match)
        if value is not None:
            replacements.append(Replacement(start + match.start(), start + match.end(), value))


def typed_in(texts: Iterable[str]) -> frozenset[Name]:
    """The placeholders that a caller's own texts contain, in any form that would be restored and some more."""
    return frozenset(name for text in texts for name in _typed(text))


def _typed(text: str) -> Iterator[Name]:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text))
    if _MAY_BE_TYPED.search(text):
        for match in _TYPED.finditer(text):
            yield _BY_LETTERS[_NO_LETTER.sub("", match[1]).upper()], int(match[2])


def json_escaped(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return msgspec.json.encode(text)[1:-1].decode()


def _name(match: re.Match[str]) -> Name:
    number = match.lastindex
    assert number is not None  # every form has a label and a number
    return _plain(match[number - 1]), int(match[number])


def _plain(label: str) -> str:
    return label.replace("\\", "").replace(" ", "_").replace("-", "_").upper()
