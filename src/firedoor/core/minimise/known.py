"""Placeholders handed out, and values seen before found again wherever else they stand. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.minimise.identity import identity
from firedoor.core.minimise.placeholders import Name

MIN_CARRIED = 7
"""Letters and digits of a value that is replaced wherever it stands; five digits may be a price somewhere else."""
MAX_ALIKE = 16
"""Values that begin with the same word and are compared with a text there; phone numbers of a country are such."""

FEW = 64
"""Values that are looked for one by one, before a text is taken apart into words."""

_WORD = re.compile(r"[^\W_]+")


class Names:
    """Hands out placeholders: one for each identity, in order of first appearance, never one the caller typed."""

    def __init__(self, typed: frozenset[Name]) -> None:
        self.typed = typed
        self.values: dict[Name, str] = {}
        self._known: dict[tuple[str, str], str] = {}
        self._last: dict[str, int] = {}

    def placeholder(self, label: str, value: str) -> str:
        """The placeholder of `value`; other spellings of it share it."""
        return self._named(label, identity(label, value), value)

    def placeholder_of_its_own(self, label: str, value: str) -> str:
        """One that no other spelling of the same identity shares."""
        return self._named(label, "exactly " + value, value)

    def number(self, label: str) -> int:
        """The next number of `label`."""
        number = self._last.get(label, 0) + 1
        while (label, number) in self.typed:
            number += 1
        self._last[label] = number
        return number

    def _named(self, label: str, known_as: str, value: str) -> str:
        known = self._known.get((label, known_as))
        if known is None:
            number = self.number(label)
            self.values[label, number] = value
            known = self._known[label, known_as] = f"<{label}_{number}>"
        return known


class Values:
    """What was replaced by what, to be replaced again where no detector sees it: exact, in any case, whole words."""

    def __init__(self) -> None:
        self.version = 0
        self._by_word: dict[str, list[tuple[str, str, str]]] = {}
        self._all: set[str] = set()

    def add(self, value: str, shown: str, label: str) -> None:
        """Remember `value` of kind `label`: `shown` stands in its place."""
        small = value.lower()
        if small in self._all or sum(map(str.isalnum, value)) < MIN_CARRIED:
            return
        first = _WORD.search(small)
        if first is None:
            return
        self._all.add(small)
        alike = self._by_word.setdefault(first[0], [])
        if len(alike) < MAX_ALIKE:
            alike.append((value, shown, label))
            self.version += 1

    def found_in(self, text: str) -> Iterator[tuple[int, int, str, str]]:
        """Where `text` has a remembered value, what stands for it and its label; sorted, not overlapping."""
        if not self._by_word or not self._may_hold(text):
            return
        done = 0
        for word in _WORD.finditer(text):
            for value, shown, label in self._by_word.get(word[0].lower(), ()):
                start = word.start() - _before_first_word(value)
                end = start + len(value)
                if start >= done and text[start:end].lower() == value.lower() and _is_whole(text, start, end):
                    yield start, end, shown, label
                    done = end
                    break

    def _may_hold(self, text: str) -> bool:
        """A quick look. Only of ASCII is a part of a text the same in lower case as that part of the text in it."""
        if not text.isascii():
            return True
        small = text.lower()
        if len(self._all) <= FEW:
            return any(value in small for value in self._all)
        return not self._by_word.keys().isdisjoint(_WORD.findall(small))


def _before_first_word(value: str) -> int:
    first = _WORD.search(value)
    return first.start() if first else 0


def _is_whole(text: str, start: int, end: int) -> bool:
    inside = text[start : start + 1].isalnum() and text[start - 1 : start].isalnum() and start > 0
    return not inside and not (text[end - 1 : end].isalnum() and text[end : end + 1].isalnum())
