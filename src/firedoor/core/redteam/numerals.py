"""Amounts in words, in the languages of the suite: 32 to 69, without those that end in 0 or 1."""

from __future__ import annotations

from itertools import product
from typing import Final

from firedoor.core.detect.fold import normalise

_TENS: Final = {
    "en": "thirty forty fifty sixty",
    "de": "dreißig vierzig fünfzig sechzig",
    "fr": "trente quarante cinquante soixante",
    "es": "treinta cuarenta cincuenta sesenta",
    "it": "trenta quaranta cinquanta sessanta",
    "nl": "dertig veertig vijftig zestig",
    "pl": "trzydzieści czterdzieści pięćdziesiąt sześćdziesiąt",
    "pt": "trinta quarenta cinquenta sessenta",
}
_UNITS: Final = {
    "en": "two three four five six seven eight nine",
    "de": "zwei drei vier fünf sechs sieben acht neun",
    "fr": "deux trois quatre cinq six sept huit neuf",
    "es": "dos tres cuatro cinco seis siete ocho nueve",
    "it": "due tre quattro cinque sei sette otto nove",
    "nl": "twee drie vier vijf zes zeven acht negen",
    "pl": "dwa trzy cztery pięć sześć siedem osiem dziewięć",
    "pt": "dois três quatro cinco seis sete oito nove",
}
_JOINED: Final = {
    "en": "{t}{u}", "de": "{u}und{t}", "fr": "{t}{u}", "es": "{t}y{u}", "it": "{t}{u}", "nl": "{u}en{t}",
    "pl": "{t}{u}", "pt": "{t}e{u}",
}  # fmt: skip
NEAR: Final = 40
"""Folded characters between the whole part and the cents: "forty-two euros and fifty-seven cents"."""


def worded(number: int) -> frozenset[str]:
    """`number` in words, folded: no spaces, no case. Empty for one that has no words here."""
    tens, unit = divmod(number, 10)
    if not 3 <= tens <= 6 or unit < 2:
        return frozenset()
    written = set()
    for lang, form in _JOINED.items():
        said = {"t": _TENS[lang].split()[tens - 3], "u": _UNITS[lang].split()[unit - 2]}
        written.add(form.format(**said))
        if lang == "it":  # the vowel goes before "otto"
            written.add(form.format(**{**said, "t": said["t"][:-1]}) if unit == 8 else form.format(**said))
    return frozenset(normalise(text) for text in written)


def says_amount(folded: str, amount: str) -> bool:
    """Whether `folded` says ``42.57`` in words: the whole part, and the cents close behind it."""
    whole, _, cents = amount.partition(".")
    for first, second in product(worded(int(whole)), worded(int(cents or 0))):
        at = folded.find(first)
        while at >= 0:
            end = at + len(first)
            if second in folded[end : end + NEAR + len(second)]:
                return True
            at = folded.find(first, end)
    return False
