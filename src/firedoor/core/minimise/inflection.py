"""Names as Polish, Czech and German inflect them: ``Anny Kowalskiej`` is Anna Kowalska. Pure.

Suffix rules, not a dictionary: they only ever say that two words may be one name. Which of them are asked for, and what
else must fit, `persons.py` decides. Words are folded: lower case, without accents.
"""

from __future__ import annotations

import re
import unicodedata

MIN_GENITIVE = 4
"""Letters of a name that a bare s may follow: Anna, Annas. Han and Hans are two people."""

_UNDECOMPOSED = str.maketrans({"ł": "l", "ß": "ss", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "\u0131": "i"})
SLAVIC_LETTERS = re.compile("[ąćęłńśźżěčřšžůťď]", re.IGNORECASE)
"""Whoever writes these inflects names."""
_SLAVIC_ENDING = re.compile(r"(?:(?:[sc]k|dzk)(?:a|i|iej|iego|iemu|im)|ova|ove|ovou|wicz|czyk)\Z")

# The last letters of a nominative, how many of them go, and what comes in their place. The longest that fits counts;
# folded, ą is a and ę is e.
_DECLENSIONS: dict[str, tuple[int, tuple[str, ...]]] = {
    "dzka": (1, ("iej",)),
    "ska": (1, ("iej",)),
    "cka": (1, ("iej",)),
    "ova": (1, ("e", "ou")),
    "dzki": (1, ("iego", "iemu", "im")),
    "ski": (1, ("iego", "iemu", "im")),
    "cki": (1, ("iego", "iemu", "im")),
    "cha": (3, ("chy", "sze", "che", "chu", "cho")),
    "ta": (2, ("ty", "cie", "te", "to", "tu", "tou")),
    "da": (2, ("dy", "dzie", "de", "do", "du", "dou")),
    "ra": (2, ("ry", "rze", "re", "ro", "ru", "rou")),
    "ka": (2, ("ki", "ce", "ke", "ko", "ku", "kou", "ky")),
    "ga": (2, ("gi", "dze", "ge", "go", "gu", "gou")),
    "la": (2, ("ly", "li", "le", "lo", "lu", "lou")),
    "ja": (2, ("i", "je", "jo", "ju")),
    "a": (1, ("y", "i", "ie", "e", "o", "u", "ou")),
    "y": (1, ("eho", "emu", "ym", "ego")),
    "ri": (1, ("iho", "imu", "im")),
    "ek": (2, ("ka", "kowi", "kiem", "ku", "kem", "kovi")),
    "el": (2, ("la", "lowi", "lem", "le", "lu", "lovi")),
    "k": (1, ("ka", "kowi", "kiem", "ku", "kem", "kovi")),
    "g": (1, ("ga", "gowi", "giem", "gu")),
    "r": (1, ("ra", "rowi", "rem", "rze", "ru", "rovi")),
    "t": (1, ("ta", "towi", "tem", "cie", "tu", "tovi")),
    "d": (1, ("da", "dowi", "dem", "dzie", "du", "dovi")),
    **dict.fromkeys("bcfhjlmnpqsvwxz", (0, ("a", "owi", "em", "u", "ie", "ovi", "e"))),
}
MIN_DECLINED = 3
"""Letters of a name that is inflected."""


def _turned_round() -> dict[str, list[str]]:
    """The end of a form -> the ends of nominatives that it may come from."""
    ways: dict[str, list[str]] = {}
    for ending, (gone, endings) in _DECLENSIONS.items():
        stem = ending[: len(ending) - gone]
        for form in endings:
            ways.setdefault(stem + form, []).append(ending)
    return ways


_NOMINATIVES = _turned_round()
_LONGEST_FORM = max(map(len, _NOMINATIVES))

# Other women's names, not men's in the genitive: Martina is not Martin.
_WOMEN = frozenset(
    """
    adriana daniela filipa gabriela iwona ivana jana juliana kamila karla karola martina michala michaela paula pavla
    petra romana simona valentina jozefa josefa antonia alexandra aleksandra
    """.split()  # noqa: SIM905  # reads as a list of words
)
# Family names of their own, not a first name's genitive.
_FAMILIES_IN_S = frozenset(
    """
    abrahams adams daniels davids edwards georges hendriks isaacs jacobs martens martins matthews meyers michaels
    owens peters phillips rogers richards roberts simons stephens stevens walters williams willems woods
    """.split()  # noqa: SIM905
)


def folded(word: str) -> str:
    """`word` in lower case without accents."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKD", word.lower()).translate(_UNDECOMPOSED)
    return "".join(c for c in plain if not unicodedata.combining(c))


def looks_slavic(word: str) -> bool:
    """Whether the folded `word` ends as Polish and Czech family names do."""
    return _SLAVIC_ENDING.search(word, max(0, len(word) - 5)) is not None


def declined(nominative: str) -> frozenset[str]:
    """The forms that Polish and Czech make of `nominative`."""
    ending = _declension(nominative)
    if ending is None:
        return frozenset()
    gone, endings = _DECLENSIONS[ending]
    stem = nominative[: len(nominative) - gone]
    return frozenset([stem + form for form in endings]) - {nominative}


def nominatives(form: str) -> frozenset[str]:
    """What `form` may be a form of."""
    found = set()
    for length in range(1, min(_LONGEST_FORM, len(form) - 1) + 1):
        for ending in _NOMINATIVES.get(form[-length:], ()):
            candidate = form[:-length] + ending
            if candidate != form and _declension(candidate) == ending:
                found.add(candidate)
    return frozenset(found)


def _declension(nominative: str) -> str | None:
    """The ending by which `nominative` is declined."""
    if len(nominative) >= MIN_DECLINED:
        for length in (4, 3, 2, 1):
            if nominative[-length:] in _DECLENSIONS:
                return nominative[-length:]
    return None


def genitive_of(form: str) -> str | None:
    """The name that the folded `form` is the genitive of in German, Dutch and hasty English; None if of none."""
    if form.endswith("s") and form not in _FAMILIES_IN_S and len(form) > MIN_GENITIVE and form[-2] not in "sxz":
        return form[:-1]
    return None


def one_name(first: str, second: str) -> bool:
    """Whether two folded words can be one name in two Slavic cases."""
    stem = max(2, min(len(first), len(second)) - 2)  # that much no ending touches
    if first[:stem] != second[:stem]:
        return False
    return (
        second in declined(first) or first in declined(second) or not nominatives(first).isdisjoint(nominatives(second))
    )


def family_forms(word: str) -> frozenset[str]:
    """All forms of the name that the folded `word` is a form of, but no other name."""
    forms = set(declined(word))
    for nominative in nominatives(word):
        forms |= {nominative, *declined(nominative)}
    return frozenset(forms) - _WOMEN - {word}


def is_declined(form: str, nominative: str) -> bool:
    """Whether `form` is another form of `nominative`, Slavic or a genitive."""
    return form in declined(nominative) or genitive_of(form) == nominative


def is_womans(first: str, other: str) -> bool:
    """Whether of two forms of a first name the nominative ends in a: Anna, Anny, but not Jan, Jana."""
    nominative, form = (first, other) if other in declined(first) else (other, first)
    return nominative.endswith("a") and nominative not in declined(form)
