"""How a number that a word announces is read: ``PESEL 79030835344``, ``NIP: 521-346-78-94``, ``ssn is 2345``.

A `Field` says which words announce it and what its values look like. A value is read group by group, so that spaces,
dots, hyphens and one line break inside it do not hide it, and letters that scanners and people mistake for digits
(``O`` ``l`` ``I`` ``S`` ``B`` ``Z``) are taken for them. A failed checksum lowers the score and clears nothing:
customers mistype.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

MISTAKEN = str.maketrans("OQDILSBZ", "00011582")
"""Upper-case letters read as the digit they are mistaken for."""
_MISTAKEN_CLASS = "[0-9OQDILSBZ]"
_MAX_VALUE, _MAX_OTHER = 40, 18  # letters and digits: an IBAN has at most 34, other numbers 16
_LONGEST_WORD = 4  # letters without a digit that may be part of a number: the head of a French VAT number

_GROUPS = re.compile(r"[^\W_]{1,41}(?:(?:[ .\-/]{1,3}|[ -]?\n ?)[^\W_]{1,41}){0,27}")
_GROUP = re.compile(r"[^\W_]+")

_ACCENTS = {
    accented: plain
    for plain, letters in (
        *(("a", "àáâãäåāăą"), ("c", "çćč"), ("d", "ďđ"), ("e", "èéêëēėęě"), ("g", "ģğ"), ("i", "ìíîïīįı"), ("k", "ķ")),
        *(("l", "ĺļľł"), ("n", "ñńņň"), ("o", "òóôõöøōő"), ("r", "ŕř"), ("s", "śșşš"), ("t", "ţțť"), ("u", "ùúûüūůűų")),
        *(("y", "ýÿ"), ("z", "źżž")),
        *(("α", "ά"), ("ε", "έ"), ("η", "ή"), ("ι", "ίϊΐ"), ("ο", "ό"), ("υ", "ύϋΰ"), ("ω", "ώ"), ("σ", "ς")),  # noqa: RUF001
    )
    for accented in letters
}


def fold(text: str) -> str:
    """`text` in lower case without accents, code point by code point: offsets stay."""
    low = text.lower()
    if len(low) != len(text):
        low = "".join([c.lower() if len(c.lower()) == 1 else c for c in text])
    if not low.isascii():
        for character in _ACCENTS.keys() & set(low):  # a text has few of them: a translation takes three times as long
            low = low.replace(character, _ACCENTS[character])
    return low


Check = Callable[[str], bool]


class Shape(NamedTuple):
    """The letters and digits of a value, upper case, without separators; `check` is its checksum, if it has one."""

    exact: re.Pattern[str]
    mistaken: re.Pattern[str] | None
    check: Check | None


def shape(pattern: str, check: Check | None = None) -> Shape:
    r"""A shape from a pattern in which ``\d`` is a digit. Shapes of digits alone are read with mistaken letters."""
    digits_only = re.fullmatch(r"(?:\\d|[0-9{},|()?:\[\]-])+", pattern) is not None
    mistaken = pattern.replace(r"\d", _MISTAKEN_CLASS) if digits_only else None
    return Shape(re.compile(pattern.replace(r"\d", "[0-9]")), re.compile(mistaken) if mistaken else None, check)


class Field(NamedTuple):
    r"""A kind of value and the words that announce it.

    `words` are phrases separated by commas, in any case, with or without accents. One that begins with ``~`` counts
    only with a word for "number" or a colon behind it, one with ``^`` only in capitals. `shapes` are tried on values
    read group by group; `value` is a pattern of the text itself, for what has no fixed length, with at least `digits`
    digits. `loose` is the number of digits from which a value of another length will do (0: never).
    """

    label: str
    rule: str
    words: str
    shapes: tuple[Shape, ...] = ()
    value: re.Pattern[str] | None = None
    digits: int = 1
    loose: int = 0


class Found(NamedTuple):
    """Where a value stands and how sure that is."""

    start: int
    end: int
    score: float


CHECKED, SHAPED, UNCHECKED, LOOSE = 1.0, 0.9, 0.8, 0.7


class Cut(NamedTuple):
    """The letters and digits, upper case, from where a value begins to `end`."""

    end: int
    compact: str
    broken: bool  # a line break stands inside


def read(field: Field, text: str, at: int, cuts: list[Cut] | None = None) -> Found | None:
    """The value of `field` that begins at `at`, or None. `cuts`: what `cuts_at` says, if that is known already."""
    found = _shaped(field, cuts_at(text, at) if cuts is None else cuts, at) if field.shapes else None
    if found is None and field.value is not None:
        match = field.value.match(text, at)
        if match and sum(map(str.isdigit, match[0])) >= field.digits:
            found = Found(at, match.end(), UNCHECKED)
    return found


def _shaped(field: Field, cuts: list[Cut], at: int) -> Found | None:
    best: tuple[bool, float, int] | None = None
    longest = _MAX_VALUE if field.label == "IBAN" else _MAX_OTHER
    for cut in cuts:
        if len(cut.compact) > longest:
            break
        score = max((_fit(shape, cut.compact) for shape in field.shapes), default=0.0)
        if score:
            rated = (not cut.broken, score, cut.end)
            best = rated if best is None else max(best, rated)
    if best is not None:
        return Found(at, best[2], best[1])
    if field.loose:
        for cut in reversed(cuts):
            if not cut.broken and cut.compact.isdigit() and field.loose <= len(cut.compact) <= 2 * field.loose + 6:
                return Found(at, cut.end, LOOSE)
    return None


def cuts_at(text: str, at: int) -> list[Cut]:
    """Where a value that begins at `at` may end: behind each group of letters and digits, shortest first."""
    cuts: list[Cut] = []
    match = _GROUPS.match(text, at)
    if match is None:
        return cuts
    compact, broken, before = "", False, at
    for group in _GROUP.finditer(text, at, match.end()):
        written = group[0].upper()
        broken = broken or "\n" in text[before : group.start()]
        before = group.end()
        compact += written
        if len(compact) > _MAX_VALUE or (len(written) > _LONGEST_WORD and not any(map(str.isdigit, written))):
            break
        cuts.append(Cut(before, compact, broken))
    return cuts


def _fit(shape: Shape, compact: str) -> float:
    if shape.exact.fullmatch(compact):
        return SHAPED if shape.check is None else CHECKED if shape.check(compact) else UNCHECKED
    if shape.mistaken and shape.mistaken.fullmatch(compact) and 2 * sum(map(str.isdigit, compact)) >= len(compact):
        checks = shape.check is not None and shape.check(compact.translate(MISTAKEN))
        return SHAPED if checks else UNCHECKED
    return 0.0
