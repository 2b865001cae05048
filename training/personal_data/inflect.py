"""Case endings of names, well enough for training text: Polish and Czech declension, the genitive of the others.

Rough on purpose: what matters is that a name in a text need not end as it does in a list.
"""

from __future__ import annotations

_VOWELS = "aeiouyąęóáéíůúý"

_PL_FEMALE = {"gen": "y", "dat": "ie", "acc": "ę", "ins": "ą", "loc": "ie", "voc": "o"}
_PL_SKI = {"gen": "iego", "dat": "iemu", "acc": "iego", "ins": "im", "loc": "im", "voc": "i"}
_PL_SKA = {"gen": "iej", "dat": "iej", "acc": "ą", "ins": "ą", "loc": "iej", "voc": "a"}
_PL_MALE = {"gen": "a", "dat": "owi", "acc": "a", "ins": "em", "loc": "ie", "voc": "ie"}
_CS_FEMALE = {"gen": "y", "dat": "ě", "acc": "u", "ins": "ou", "loc": "ě", "voc": "o"}
_CS_OVA = {"gen": "é", "dat": "é", "acc": "ou", "ins": "ou", "loc": "é", "voc": "á"}
_CS_MALE = {"gen": "a", "dat": "ovi", "acc": "a", "ins": "em", "loc": "ovi", "voc": "e"}
_CS_Y = {"gen": "ého", "dat": "ému", "acc": "ého", "ins": "ým", "loc": "ém", "voc": "ý"}


def inflected(name: str, case: str, language: str, *, female: bool) -> str:
    """`name` (one or more words) in `case`: gen, dat, acc, ins, loc or voc."""
    words = name.split(" ")
    return " ".join("-".join(_word(part, case, language, female=female) for part in word.split("-")) for word in words)


def _word(word: str, case: str, language: str, *, female: bool) -> str:
    if len(word) < 3 or word.endswith(".") or not word[0].isupper():
        return word
    if language == "pl":
        return _polish(word, case, female=female)
    if language == "cs":
        return _czech(word, case, female=female)
    if case == "gen":
        if word[-1] in "sxzß":
            return word + "'"
        return word + ("'s" if language in ("en", "nl") and (language == "en" or word[-1] in _VOWELS) else "s")
    return word


def _polish(word: str, case: str, *, female: bool) -> str:
    if word.endswith(("ski", "cki", "dzki")):
        return word[:-1] + _PL_SKI[case]
    if word.endswith(("ska", "cka", "dzka")):
        return word[:-1] + _PL_SKA[case] if _PL_SKA[case] != "ą" else word[:-1] + "ą"
    if word.endswith("ia") and female:
        return word[:-1] + {"gen": "i", "dat": "i", "acc": "ę", "ins": "ą", "loc": "i", "voc": "o"}[case]
    if word.endswith("a"):
        stem = word[:-1]
        ending = _PL_FEMALE[case]
        if stem[-1] in "kg" and case == "gen":
            ending = "i"
        if stem.endswith("k") and case in ("dat", "loc"):
            return stem[:-1] + "ce"
        if stem.endswith(("r", "ł")) and case in ("dat", "loc"):
            return stem[:-1] + {"r": "rze", "ł": "le"}[stem[-1]]
        if stem[-1] in "jlc" and ending == "y":
            ending = "i" if stem[-1] in "jl" else "y"
        return stem + ending
    if female or word[-1] in _VOWELS:
        return word
    stem = word
    if word.endswith("ek"):
        stem = word[:-2] + "k"
    elif word.endswith("eł"):
        stem = word[:-2] + "ł"
    elif word.endswith("iec"):
        stem = word[:-3] + "c"
    if stem.endswith("r") and case in ("loc", "voc"):
        return stem[:-1] + "rze"
    if stem.endswith(("k", "g")) and case == "ins":
        return stem + "iem"
    if stem.endswith(("k", "g", "ch", "sz", "cz", "rz", "l", "j")) and case in ("loc", "voc"):
        return stem + "u"
    return stem + _PL_MALE[case]


def _czech(word: str, case: str, *, female: bool) -> str:
    if word.endswith("ová"):
        return word[:-1] + _CS_OVA[case]
    if word.endswith(("ý", "á")):
        return word[:-1] + (_CS_OVA if female else _CS_Y)[case]
    if word.endswith("a"):
        return word[:-1] + _CS_FEMALE[case]
    if female or word[-1] in _VOWELS:
        return word
    stem = word[:-2] + word[-1] if word.endswith(("ek", "ec")) else word
    if case == "voc" and stem[-1] in "khg":
        return stem + "u"
    return stem + _CS_MALE[case]
