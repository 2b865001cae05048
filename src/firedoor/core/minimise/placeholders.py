r"""Placeholders such as ``<EMAIL_1>``: which value each stands for, and putting the values back.

Models write placeholders back with small changes, so these forms are restored too: another case (``<email_1>``),
escaped for Markdown (``\<EMAIL\_1\>``), for HTML (``&lt;EMAIL_1&gt;``) and for JSON (``\u003cEMAIL_1\u003e``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from firedoor.core.plan.model import LABELS

Name = tuple[str, int]
"""Label and number of a placeholder."""

_ESCAPE = r"\\{0,2}"  # two: JSON writes a backslash as two, and taking one of them would break the document
_LABEL = "|".join(label.replace("_", _ESCAPE + "_") for label in LABELS)
_PLACEHOLDER = re.compile(
    # No leading zero, so that a number has one form; no request has room for a million values.
    rf"(?:{_ESCAPE}<|&lt;|\\{{1,2}}u003c)({_LABEL}){_ESCAPE}_([1-9][0-9]{{0,5}})(?:{_ESCAPE}>|&gt;|\\{{1,2}}u003e)",
    re.IGNORECASE | re.ASCII,  # ASCII: the Kelvin sign is not a K
)
LONGEST = max(len(label) + 2 * label.count("_") for label in LABELS) + len(r"\\u003c" + r"\\_999999" + r"\\u003e")
"""Code points of the longest form: less than this is held of a stream."""

_OPENER = re.compile(r"[<&\\]")
# Everything that may stand in an unfinished placeholder: a little more than can become one, and much simpler.
_UNFINISHED = re.compile(rf"[<&\\][A-Za-z0-9_<&;\\]{{0,{LONGEST - 2}}}\Z")


class Replacement(NamedTuple):
    """Put `text` in place of the code points `start`..`end`, counted from the start of the growing text."""

    start: int
    end: int
    text: str


class Placeholders:
    """The placeholders of one request and the values they stand for."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[Name, str]) -> None:
        self._values = values

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
            found = self._values.get(_name(match))
            if found is None:
                return match[0]
            return json_escaped(found) if json_string else found

        return _PLACEHOLDER.sub(value, text)

    def watch(self) -> PlaceholderWatch:
        """Restore one growing text."""
        return PlaceholderWatch(self)


class PlaceholderWatch:
    """Finds the placeholders of one growing text, whatever its chunks."""

    __slots__ = ("_fed", "_placeholders", "_unfinished")

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._unfinished = ""
        self._fed = 0

    def feed(self, text: str) -> list[Replacement]:
        """Take the next piece; return what is to be replaced now that it is complete. Values are not escaped."""
        if not self._unfinished and not _OPENER.search(text):
            self._fed += len(text)
            return []
        start = self._fed - len(self._unfinished)
        self._fed += len(text)
        text = self._unfinished + text
        replacements: list[Replacement] = []
        done = 0
        for match in _PLACEHOLDER.finditer(text):
            done = match.end()
            value = self._placeholders.value(_name(match))
            if value is not None:
                replacements.append(Replacement(start + match.start(), start + done, value))
        unfinished = _UNFINISHED.search(text, max(done, len(text) - LONGEST + 1))
        self._unfinished = unfinished[0] if unfinished else ""
        return replacements

    def held_from(self) -> int:
        """Where an unfinished placeholder may start; the length fed so far when there is none."""
        return self._fed - len(self._unfinished)


def written(text: str) -> Iterator[Name]:
    """The placeholders that stand in `text`, in any form that would be restored."""
    return map(_name, _PLACEHOLDER.finditer(text))


def typed_in(texts: Iterable[str]) -> frozenset[Name]:
    """The placeholders that a caller's own texts contain."""
    return frozenset(name for text in texts if _OPENER.search(text) for name in written(text))


def json_escaped(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return msgspec.json.encode(text)[1:-1].decode()


def _name(match: re.Match[str]) -> Name:
    return match[1].replace("\\", "").upper(), int(match[2])
