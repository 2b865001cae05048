"""Exact protected values and honeytokens in an answer, while it grows; also backwards and in ROT13.

One automaton holds each value in all its forms, so that one pass covers them: as it is, as it folds in capitals and in
small letters (Greek letters look like others then), backwards, and with each Latin letter 13 places on.
"""

from __future__ import annotations

from bisect import bisect_left
from codecs import encode
from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import Struct

from firedoor.core.detect.fold import letters, normalise
from firedoor.core.detect.leak.automaton import Automaton, AutomatonSearch
from firedoor.core.detect.spans import Hit, View
from firedoor.errors import ActRefused

MIN_CHARACTERS = 8
"""Folded characters. Shorter values occur by chance in innocent answers and would shut surfaces for nothing."""
MAX_CHARACTERS = 256
"""Characters as given, and folded. What is held back of a stream is at most this much; longer texts are documents."""
MAX_VALUES = 20_000
"""Values of one index: staff codes, supplier names, honeytokens of a shop. About 1 KiB each in all their forms."""
TELLING_SHARE = 0.75
"""An unfinished match of this share of a value tells the value."""
TELLING_CHARACTERS = 6
TELLING_VALUES = 8
"""A beginning that more values than this share is the name of a series and tells none of them."""


class ProtectedValue(Struct, frozen=True):
    """A text that must not leave in an answer. `set` is the plan's protected set it belongs to."""

    id: str
    set: str
    kind: Literal["value", "honeytoken"]
    text: str


class Form(NamedTuple):
    """A value as it can be written: `view` says how."""

    value: ProtectedValue
    view: View


def check_value(text: str) -> None:
    """Refuse what cannot be searched for without false alarms. Raises `ActRefused`; the text is never repeated."""
    if len(text) > MAX_CHARACTERS or len(folded := normalise(text)) > MAX_CHARACTERS:
        raise ActRefused(
            "value_too_long",
            f"A protected value has at most {MAX_CHARACTERS} characters.",
            remedy="Protect a part of it that occurs nowhere else.",
        )
    if len(folded) < MIN_CHARACTERS:
        raise ActRefused(
            "value_too_short",
            f"A protected value needs at least {MIN_CHARACTERS} letters and digits, not counting punctuation.",
            remedy="Add what stands before or after it, such as the product's name.",
        )
    if not any(map(str.isalpha, text)) and not any(map(str.isalpha, map(letters, text))):  # folded digits are letters
        raise ActRefused(
            "value_only_digits",
            "A bare number cannot be protected: prices and quantities would set it off.",
            remedy="Add a word that stands with the number, such as the supplier's or the product's name.",
        )


def forms(text: str) -> dict[str, View]:
    """The folded texts that tell `text`, each with the view it is found in."""
    found: dict[str, View] = {}
    for written in (text, text.lower(), text.upper()):
        found.setdefault(normalise(written), "plain")
    found.setdefault(normalise(text[::-1]), "reversed")
    found.setdefault(normalise(encode(text, "rot13")), "rot13")
    return found


class ValueIndex:
    """A region's protected values, ready to be searched for. Not for use from several threads at once."""

    def __init__(self, values: Iterable[ProtectedValue]) -> None:
        """An index of `values`. Raises `ActRefused` for a value that `check_value` refuses, or too many of them."""
        by_text: dict[str, list[Form]] = {}
        self._count = 0
        for value in values:
            self._count += 1
            if self._count > MAX_VALUES:
                raise ActRefused(
                    "too_many_values",
                    f"A region protects at most {MAX_VALUES} values.",
                    remedy="Protect texts as documents, or fewer of them.",
                )
            check_value(value.text)
            for text, view in forms(value.text).items():
                by_text.setdefault(text, []).append(Form(value, view))
        self._forms = {text: tuple(same) for text, same in by_text.items()}
        self._plain = sorted(text for text, same in by_text.items() if any(form.view == "plain" for form in same))
        self.automaton = Automaton(by_text)

    @classmethod
    def build(cls, values: Iterable[ProtectedValue]) -> ValueIndex:
        """The same as ``ValueIndex(values)``."""
        return cls(values)

    def __len__(self) -> int:
        return self._count

    def find(self, text: str) -> list[Hit]:
        """Every occurrence in `text`, overlapping ones too, in the order in which they end."""
        return self.watch().feed(text)

    def ids_in(self, text: str) -> frozenset[str]:
        """Ids of the values that occur in `text`, in any form: what a caller typed is no leak when it comes back.

        Who types a value backwards knows it; nobody guesses all its characters.
        """
        return frozenset(hit.value_id for hit in self.find(text)) if self._count else frozenset()

    def watch(self, ignore: frozenset[str] = frozenset(), granted: frozenset[str] = frozenset()) -> ValueWatch:
        """Search one growing text. Values with ids in `ignore`, or of a set in `granted`, are not reported (their
        beginnings are still held).
        """
        return ValueWatch(self, ignore, granted)

    def formed(self, text: str) -> tuple[Form, ...]:
        """The values that have a form with exactly this folded text."""
        return self._forms[text]

    def beginning_with(self, text: str, most: int) -> list[str]:
        """Folded plain texts that begin with `text`, at most `most` of them."""
        first = bisect_left(self._plain, text)
        found = self._plain[first : first + most]
        return [plain for plain in found if plain.startswith(text)]


class ValueWatch(AutomatonSearch):
    """Protected values in one growing text: a `Watch`."""

    __slots__ = ("_granted", "_ignore", "_index")

    def __init__(self, index: ValueIndex, ignore: frozenset[str], granted: frozenset[str]) -> None:
        super().__init__(index.automaton)
        self._index = index
        self._ignore = ignore
        self._granted = granted

    def feed(self, text: str) -> list[Hit]:
        """See `Watch.feed`."""
        if self.take(text):
            return []
        return [
            Hit(match.start, match.end, form.value.id, form.value.set, form.value.kind, form.view)
            for match in self.matches(text)
            for form in self._index.formed(match.text)
            if self._counts(form.value)
        ]

    def end(self) -> list[Hit]:
        """A text that ends in so much of a value that releasing it would tell the value."""
        text = self.live
        for start in range(len(text) - TELLING_CHARACTERS + 1):
            candidates = self._index.beginning_with(text[start:], TELLING_VALUES + 1)
            if len(candidates) > TELLING_VALUES:
                continue
            for candidate in candidates:
                if not TELLING_SHARE * len(candidate) <= len(text) - start < len(candidate):
                    continue
                for value, view in self._index.formed(candidate):
                    if view == "plain" and self._counts(value):
                        share = (len(text) - start) / len(candidate)
                        at = self.held_from()
                        return [Hit(at, self.fed, value.id, value.set, "partial", score=round(share, 2))]
        return []

    def _counts(self, value: ProtectedValue) -> bool:
        return value.id not in self._ignore and value.set not in self._granted
