"""The shopper's own names in a text: in either order, one alone, with initials, inflected, spaced out, glued together.

A name that is an everyday word as well (`ORDINARY`), or has fewer than three letters, counts only beside its other part
in the usual order ("rose green", not "a green rose"), after words that come before names ("my name is rose", "for
Rose"), or as a signature. Inflected forms need their capital where the ending makes other words of many stems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from firedoor.core.detect.own.text import Letters, OwnFolding
from firedoor.core.detect.own.words import (
    AFTER_FLEETING,
    AFTER_NAME,
    AFTER_SHORT,
    AFTER_STEM,
    AMBIGUOUS,
    BEFORE_NAMES,
    GREETINGS,
    NAME_CUES,
    ORDINARY,
    PARTICLES,
    TIMES,
    TITLES,
)
from firedoor.core.subject import Name

_VOWELS = "aeoiy"
_LONGEST_ENDING = 4
_FLEETING = ("ek", "el", "ec")
# Polish and Czech consonants before the ending -e: Monika, Monice; Agata, Agacie; Petra, Petře.
_SOFTENED = {"ka": ("ce",), "ta": ("cie",), "da": ("dzie",), "ra": ("rze",), "ga": ("dze", "ze")}
_MIN_SOFTENED = 5
_E = frozenset("e")
_AFTER_STEM_OF = {vowel: AFTER_STEM | {vowel + "s", vowel + "n"} for vowel in _VOWELS}

_PARTS = re.compile(r"[\W_]+")
_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ø": "oe", "Ø": "Oe", "å": "aa"}
)
_SPELLED_OUT = re.compile("[aou]e")
_MIN_SPELLED_OUT = 5

_LONGEST_GAP = 24
_PARTICLE = rf"(?:{'|'.join(sorted(PARTICLES))})(?: (?:de[nr]?|la))?"
_BETWEEN = re.compile(
    rf"[\s,.'\u2019_-]{{0,3}}|[\s,.]{{1,2}}(?:[^\W\d_]\.?|{_PARTICLE})[\s.]{{1,2}}",
    re.IGNORECASE,
)
_MIDDLE = re.compile(r"\s[^\W\d_a-zß-öø-ÿ][^\W\d_A-ZÀ-Ö]{1,14}[\s-]")  # a middle name that is not on record
_BESIDE = re.compile(r"[\s'\u2019_-]{1,2}")
_INITIALS_AFTER = re.compile(r"[ ,]{1,2}([^\W\d_])(\.?)(?![\w'\u2019])")
_INITIALS_BEFORE = re.compile(r"(?<![\w.'\u2019])([^\W\d_])(\.?)(?:[ -]?[^\W\d_]\.)?[ ]?$")
_CUE = re.compile(NAME_CUES)
_I_AM = re.compile(r"(?<!\w)i(?:['\u2019]m| am)\s$", re.IGNORECASE)
_WORD_BEFORE = re.compile(r"([^\W\d_]{1,20}(?:['\u2019][^\W\d_]{1,2})?)[\s,.:!]{1,3}$")
_REACH = 28
_ADDRESS = re.compile(r"[\w.+-]*@[\w.-]")
_HOST_BEFORE = re.compile(r"\w@[\w.-]*$")


class Word:
    """A folded word that is looked for as it is and, unless `exact`, with its endings."""

    __slots__ = ("_forms", "_scriptless", "folded", "joints")

    def __init__(self, folded: str, joints: frozenset[int] = frozenset(), *, exact: bool = False) -> None:
        self.folded = folded
        self.joints = joints
        self._scriptless = has_no_case(folded)  # and is often written without spaces
        self._forms = [(folded, frozenset[str]())] if exact or joints or self._scriptless else _forms(folded)

    def places(self, letters: Letters) -> Iterator[tuple[int, int]]:
        """Where it stands, start and end, as places of `letters`."""
        for needle, endings in self._forms:
            if needle in letters.folded:
                yield from letters.ranges(needle, partial(self._end, letters, needle, endings))

    def _end(self, letters: Letters, needle: str, endings: frozenset[str], at: int) -> int:
        """The end of the word at `at`; 0 if it is another."""
        if self._scriptless:
            return at + len(needle) if letters.together(at, at + len(needle), 0, self.joints) else 0
        if not letters.begins_word(at):
            return 0
        end = at + len(self.folded)
        if (
            letters.folded.startswith(self.folded, at)
            and letters.together(at, end, 0, self.joints)
            and letters.tail(end, 0) == ""
        ):
            return end
        end = at + len(needle)
        if not endings or not letters.together(at, end, 0, self.joints):
            return 0
        tail = letters.tail(end, _LONGEST_ENDING)
        if tail not in endings:
            return 0
        clear = tail not in AMBIGUOUS or (tail == "i" and needle[-1] in "kg")
        return end + len(tail) if capital(letters, at) or (clear and len(needle) > 4) else 0


def _forms(folded: str) -> list[tuple[str, frozenset[str]]]:
    """What to look for, and what may follow it."""
    if len(folded) <= 3:
        return [(folded, AFTER_SHORT)]
    if folded[-1] not in _VOWELS:
        forms = [(folded, AFTER_NAME)]
        if folded.endswith(_FLEETING):
            forms.append((folded[:-2] + folded[-1], AFTER_FLEETING))
        return forms
    forms = [(folded[:-1], _AFTER_STEM_OF[folded[-1]])]
    if len(folded) >= _MIN_SOFTENED:
        forms += [(folded[:-2] + new[:-1], _E) for new in _SOFTENED.get(folded[-2:], ())]
    return forms


def has_no_case(folded: str) -> bool:
    """Whether the script of `folded` has no capitals: Chinese, Arabic, Georgian."""
    return folded.upper() == folded.lower() and not folded.isascii()


def capital(letters: Letters, at: int) -> bool:
    """Whether the word that begins at `at` has a capital, or its script has none."""
    first = letters.text[letters.offsets[at]]
    return first.isupper() or not first.islower()


class _Piece(NamedTuple):
    word: Word
    family: bool
    weak: bool


class _Mark(NamedTuple):
    """A word of the name in a text. `weak`: it says nothing alone; `time`: it may say when."""

    start: int
    end: int
    family: bool
    weak: bool
    time: bool


class Names:
    """Finds one person's `name`."""

    __slots__ = ("_folding", "_initials", "_pieces")

    def __init__(self, name: Name, folding: OwnFolding) -> None:
        pieces: dict[str, _Piece] = {}
        for given, family in _spellings(name, folding):
            for piece in _pieces(given, family):
                pieces.setdefault(piece.word.folded, piece)
        self._pieces = tuple(pieces.values())
        self._initials = frozenset(folded[0] for folded in pieces)
        self._folding = folding

    def spans(self, letters: Letters) -> Iterator[tuple[int, int]]:
        """Code points of the text: start and end of each mention."""
        marks = {
            _Mark(start, end, piece.family, piece.weak, piece.word.folded in TIMES)
            for piece in self._pieces
            for start, end in piece.word.places(letters)
        }
        if marks and "@" in letters.text:
            marks = {mark for mark in marks if not _in_address(letters.text, *letters.span(mark.start, mark.end))}
        for group in _groups(letters, sorted(marks)):
            start, end = self._judged(letters, group)
            if start < end:
                yield self._with_initials(letters.text, start, end)

    def _judged(self, letters: Letters, group: list[_Mark]) -> tuple[int, int]:
        """What of a group of neighbouring words is the name, as code points; nothing is (0, 0)."""
        if all(mark.weak for mark in group):
            if not self._told(letters, group):
                return 0, 0
        else:
            group = _without_words_around(letters, group)
        return letters.span(min(mark.start for mark in group), max(mark.end for mark in group))

    def _told(self, letters: Letters, group: list[_Mark]) -> bool:
        """Whether everyday words are a name here."""
        text, first = letters.text, group[0]
        for mark, following in pairwise(group):
            between = letters.between(mark.end, following.start)
            if not mark.family and following.family and _BESIDE.fullmatch(between):
                return True
            both = capital(letters, mark.start) and capital(letters, following.start)
            if both and mark.family and not following.family and between.strip() == ",":
                return True
        start, end = letters.span(first.start, first.end)
        if text[start:end].rpartition(" ")[2][:1].isupper() and " " in text[start:end]:
            return True  # more than one word ("van der Berg"), the last of them with a capital
        before = text[max(0, start - _REACH) : start]
        if _CUE.search(before):
            return True
        if not capital(letters, first.start):
            return False
        if not text[end : end + 2].strip().isupper() and (_I_AM.search(before) or self._follows_a_word(before, first)):
            return True
        return _is_signature(text, start, end)

    def _follows_a_word(self, before: str, mark: _Mark) -> bool:
        """Whether the last word of `before` comes before names."""
        match = _WORD_BEFORE.search(before)
        word = self._folding.text(match[1]) if match else ""
        return word in GREETINGS or (word in BEFORE_NAMES and not mark.time)

    def _with_initials(self, text: str, start: int, end: int) -> tuple[int, int]:
        after = _INITIALS_AFTER.match(text, end)
        if after and self._is_initial(after):
            end = after.end()
        head = max(0, start - 8)
        before = _INITIALS_BEFORE.search(text[head:start])
        if before and self._is_initial(before):
            start = head + before.start()
        return start, end

    def _is_initial(self, match: re.Match[str]) -> bool:
        letter, dot = match.groups()
        return self._folding.text(letter)[:1] in self._initials and (bool(dot) or letter.isupper())


def _spellings(name: Name, folding: OwnFolding) -> Iterator[tuple[list[str], list[str]]]:
    """Given and family names as folded words: as written, with ae for ä, with a for ae."""
    given, family = _parts(name)
    plain = [_folded(given, folding), _folded(family, folding)]
    yield plain[0], plain[1]
    if not (given.isascii() and family.isascii()):
        yield _folded(given.translate(_UMLAUTS), folding), _folded(family.translate(_UMLAUTS), folding)
    elif _SPELLED_OUT.search(name.full + given + family):
        yield [_short(word) for word in plain[0]], [_short(word) for word in plain[1]]


def _short(word: str) -> str:
    return word if len(word) < _MIN_SPELLED_OUT else _SPELLED_OUT.sub(lambda match: match[0][0], word)


def _parts(name: Name) -> tuple[str, str]:
    """Given and family name. A whole name is taken apart: the last word, with "van der" before it, is the family's."""
    if name.given or name.family or not name.full:
        return name.given, name.family
    family, comma, given = name.full.partition(",")
    if comma:
        return given, family
    words = [word for word in name.full.split() if word.strip(".").casefold() not in TITLES]
    first = next((i for i, word in enumerate(words) if i and word.casefold() in PARTICLES), max(1, len(words) - 1))
    return " ".join(words[:first]), " ".join(words[first:])


def _folded(name: str, folding: OwnFolding) -> list[str]:
    words = (folding.text(word) for word in _PARTS.split(name))
    return [word for word in words if word and word not in TITLES]


def _pieces(given: list[str], family: list[str]) -> Iterator[_Piece]:
    """The words of a name, then what they make when joined."""
    words = [(word, False) for word in given] + [(word, True) for word in family]
    weak = []
    for word, is_family in words:
        weak.append(_is_weak(word))
        if len(word) > 1 and (word not in PARTICLES or len(words) == 1):
            yield _Piece(Word(word, exact=weak[-1]), is_family, weak[-1])
    if len(given) > 1:
        yield _Piece(_joined(given), False, all(weak[: len(given)]))
    if len(family) > 1:
        yield _Piece(_joined(family), True, all(map(_is_everyday, family)))
    if given and family and not all(weak):
        yield _Piece(_joined([*given, *family]), True, False)
        yield _Piece(_joined([*family, *given]), True, False)


def _joined(words: list[str]) -> Word:
    joints, length = [], 0
    for word in words[:-1]:
        length += len(word)
        joints.append(length)
    return Word("".join(words), frozenset(joints), exact=True)


def _is_weak(word: str) -> bool:
    return (len(word) < 3 and not has_no_case(word)) or word in ORDINARY


def _is_everyday(word: str) -> bool:
    return word in ORDINARY or word in PARTICLES


def _groups(letters: Letters, marks: Iterable[_Mark]) -> Iterator[list[_Mark]]:
    """Words that overlap or stand side by side."""
    group: list[_Mark] = []
    end = 0
    for mark in marks:
        if group and mark.start >= end:
            between = letters.between(end, mark.start)
            if len(between) > _LONGEST_GAP or not (_BETWEEN.fullmatch(between) or _MIDDLE.fullmatch(between)):
                yield group
                group = []
        group.append(mark)
        end = max(end, mark.end) if len(group) > 1 else mark.end
    if group:
        yield group


def _without_words_around(letters: Letters, group: list[_Mark]) -> list[_Mark]:
    """A name without everyday words at its wrong end: the "green" of "a green Anna"."""
    while group[0].weak and group[0].family and not capital(letters, group[0].start):
        group = group[1:]
    while group[-1].weak and not group[-1].family and not capital(letters, group[-1].start):
        group = group[:-1]
    return group


def _is_signature(text: str, start: int, end: int) -> bool:
    """Whether the name is all that its line says, and lines stand before it."""
    line = text.rfind("\n", 0, start) + 1
    if not line or start - line > 4 or not text[max(0, line - _REACH) : line].strip():
        return False
    return not text[line:start].strip(" -\u2013\u2014,") and not text[end : end + 3].partition("\n")[0].strip(" .!,")


def _in_address(text: str, start: int, end: int) -> bool:
    """Whether `start` to `end` is in the middle of somebody's e-mail address."""
    if text[end : end + 1] == "@":
        return text[end + 1 : end + 2].isalnum()
    if _ADDRESS.match(text, end, end + 64) and not text[end : end + 1].isspace():
        return True
    return _HOST_BEFORE.search(text, max(0, start - 64), start) is not None
