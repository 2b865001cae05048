"""A name as it stands in a text, taken apart: titles, initials, ``Kowalska, Anna``, ``O'Brien's``. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from firedoor.core.minimise.inflection import folded, is_declined
from firedoor.core.minimise.person_words import PARTICLES, POLITE_WITH_FIRST_NAMES, SUFFIXES, TITLES, Gender

WORD = re.compile(r"[^\W\d_]+")
"""What names are made of. Hyphens and apostrophes divide: Anna-Maria is two words, and so is O'Brien."""

_TWO_IN_ONE = re.compile(r"(?<=[^\W\d_A-Z]{3})(?=[A-Z][^\W\d_A-Z]{2})")  # AnnaNowak, as OCR reads it
_POSSESSIVE = re.compile(r"['\u2019](?:s|S)?\Z")
_TITLE_BEFORE = re.compile(r"(?:\A|[^\w])([^\W\d_]{1,10})\.? \Z")


class Mention(NamedTuple):
    """A name as it stands in a text: its folded words, first name first, and what a title before it tells."""

    text: str
    words: tuple[str, ...]
    start: int  # of the text it was read from: without title and possessive
    end: int
    gender: Gender | None = None
    titled: bool = False  # the title is one that stands before family names only
    turned: bool = False  # Kowalska, Anna

    def worth(self) -> tuple[int, bool, int, bool, bool]:
        """How good a form of a name this is."""
        return (
            sum(len(word) > 1 for word in self.words),
            not self.turned,
            len(WORD.findall(self.text)),
            not self.text.endswith(("ą", "ę")),  # which folding took away
            self.text[:1].isupper() and not self.text.isupper(),
        )


def mention(text: str, start: int = 0, end: int | None = None) -> Mention:
    """The name at `start`..`end` of `text`."""
    end = len(text) if end is None else end
    whole = text[start:end]
    if possessive := _POSSESSIVE.search(whole):
        whole = whole[: possessive.start()] or whole
    pieces = list(WORD.finditer(whole))
    before = _TITLE_BEFORE.search(text[max(0, start - 14) : start])
    title = folded(before[1]) if before else ""
    # M. alone before a name is an initial more often than Monsieur.
    while len(pieces) > 1 and len(pieces[0][0]) > 1 and folded(pieces[0][0]) in TITLES:
        title = folded(pieces.pop(0)[0])
    if pieces:
        start += pieces[0].start()
        whole = whole[pieces[0].start() :]
    words, turned = _words(whole)
    return Mention(
        whole,
        words,
        start,
        start + len(whole),
        TITLES.get(title),
        title in TITLES and title not in POLITE_WITH_FIRST_NAMES,
        turned,
    )


def _words(whole: str) -> tuple[tuple[str, ...], bool]:
    """The words of a name that tell people apart, first name first, and whether they stood the other way round."""
    family, comma, first = whole.partition(",")
    turned = bool(comma and WORD.search(first) and WORD.search(family))
    ordered = f"{first} {family}" if turned else whole
    if _TWO_IN_ONE.search(ordered):
        ordered = _TWO_IN_ONE.sub(" ", ordered)
    words = [
        folded(piece[0])
        for piece in WORD.finditer(ordered)
        if not (len(piece[0]) == 1 and ordered[piece.end() : piece.end() + 1] in ("'", "\u2019"))  # the O of O'Brien
    ]
    telling = [word for word in words if word not in PARTICLES and word not in SUFFIXES]
    return tuple(telling or words or [whole.lower()]), turned


class Person:
    """Somebody. `number` is that of their placeholder, 0 while they have none. Compare by `is` after `root`."""

    __slots__ = ("alone", "gender", "joined", "number", "titled", "words", "written")

    def __init__(self, mention: Mention, *, alone: bool) -> None:
        self.words = mention.words
        self.gender = mention.gender
        self.titled = mention.titled
        self.alone = alone  # in doubt who this is: nobody is merged into them
        self.written: list[Mention] = []
        self.joined: Person | None = None
        self.number = 0

    def root(self) -> Person:
        """The person this one turned out to be."""
        person = self
        while person.joined is not None:
            person = person.joined
        return person

    @property
    def full(self) -> bool:
        """Whether first and family name are known."""
        return len(self.words) > 1

    def name(self) -> str:
        """The best form seen: most words, no initials, in the usual order and case, not inflected; else the first."""
        best = self.written[0]
        for other in self.written[1:]:
            if other.worth() > best.worth() or (other.worth() == best.worth() and _inflects(other.words, best.words)):
                best = other
        return " ".join(best.text.split())


def fuller(new: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Whether `new` are more whole words of a name than `known`."""
    return sum(len(word) > 1 for word in new) > sum(len(word) > 1 for word in known)


def _inflects(nominative: tuple[str, ...], form: tuple[str, ...]) -> bool:
    """Whether `form` is another case of the name `nominative`."""
    return (
        nominative != form
        and len(nominative) == len(form)
        and all(one == other or is_declined(other, one) for one, other in zip(nominative, form, strict=True))
    )
