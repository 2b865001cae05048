"""Characters as a protected value is compared: letters and digits only, without case, accents or look-alikes.

Per code point, so that a text can be folded as it grows and every folded character keeps the offset it came from:
compatibility decomposition (NFKD, UAX #15), look-alikes of other scripts, case folding, then whatever is not a letter
or a digit is dropped: white space, punctuation, symbols, zero-width, direction and tag characters, variation
selectors, combining marks, controls, lone surrogates.

Digits become the letters that people write them for (``n0rdl1cht``). No two digits become the same letter, so a number
never equals another number; only ``1``, ``i`` and ``l`` become one.
"""

from __future__ import annotations

import re
import unicodedata

# Letters that look like a Latin one and do not decompose to it (after case folding).
# A small table of ours: Cyrillic, Greek, and Latin letters with a stroke.
_COMMON = dict(
    zip(
        "авекмнорстухіјѕһԁԛԝ" + "αβεικνορτυχγ" + "łøđħıŧɡɑ",
        "abekmhopctyxijshdqw" + "abeikvoptuxy" + "lodhitga",
        strict=True,
    )
)

# The same by look alone, each letter with what looks like it: Greek, Cyrillic, Armenian, Coptic, Cherokee, Lisu …
# A capital stands here where it looks like another letter than its small one.
_LOOKS = """
a ΑАаᎪꓮⲁ∀ɑα  b ΒВвбьᏴᏏꓐⲃβ  c СсϲᏟꓚⲥↄ  d ԁᎠꓓꓒժ  e ΕЕеэзεҽєᎬꓰⲉℯəʒ  f Ϝꓝƒ  g ԍցᏀᏻꓖɡ  h ΗНнһҺհᎻꓧⲏ
i ΙІіїӏլᎥᏆꓲⲓιı  j ЈјյᎫꓙ  k ΚКкκқᏦꓗⲕ  l ʟᏞꓡԼ  m ΜМмᎷꓟⲙ  n Νπпиηⲛⲡռոꓠᴎŋɴ  o ΟОоσςθοօΩꓳⲟⵔɔ⊙  p ΡРрρþքᏢꓑⲣ
q ԛզᏳ  r гяᎡᏒꓣⲅʀ  s ЅѕՏʃᏚꓢ  t ΤТтτᎢꓔⲧ  u μцυսʊꓴᏌ  v νѵᏙꓦʌ  w шщωωԝաᎳᏔꓪⲱ  x ΧХхχҳꓫⲭ  y ΥУуγүұᎩꓬⲩ  z ΖζȥᏃꓜ
"""  # noqa: RUF001
_LOOK_ALIKES = _COMMON | {
    alike: entry[0] for entry in re.split(r"\s{2,}|\n", _LOOKS.strip()) for alike in entry[1:].strip()
}

_LEET = str.maketrans("l012345789", "ioizeastbg")

# Small capitals, hooks and strokes, turned letters, letters in filled circles and squares: their names say the letter.
_LATIN = re.compile(
    r"(?:(?:CROSSED )?(?:NEGATIVE )?(?:CIRCLED |SQUARED ))?"
    r"(?:LATIN (?:LETTER SMALL CAPITAL|(?:SMALL|CAPITAL) (?:LETTER|LIGATURE))"
    r"|REGIONAL INDICATOR SYMBOL LETTER) (?:(?:SCRIPT|INSULAR|TURNED|REVERSED|SIDEWAYS|INVERTED|OPEN|CLOSED|DOTLESS"
    r"|LONG|BARRED|BLACKLETTER|TAILLESS|STRETCHED|TOP HALF|BOTTOM HALF) )*(?P<letters>[A-Z]{1,2})(?: WITH .+)?"
)

MAX_KEPT = 16_384
"""Code points remembered by a `Folding`: more than the letters a shop's languages use, less than 2 MiB."""


def letters(character: str) -> str:
    """One code point as zero or more letters and digits, the commonest look-alikes only, digits as they are."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", character).casefold() if c.isalnum())
    return "".join(_COMMON.get(c, c) for c in folded)


def fold(character: str) -> str:
    """One code point as zero or more folded characters."""
    return "".join(map(_folded, unicodedata.normalize("NFKD", character))).translate(_LEET)


def normalise(text: str) -> str:
    """All of `text`, folded."""
    return text.translate(_ASCII) if text.isascii() else "".join(map(fold, text))


class Folding(dict[str, str]):
    """`fold` with a memory: ``folding[character]``. Bounded; forgets everything when full."""

    folded = staticmethod(fold)

    def __missing__(self, character: str) -> str:
        if len(self) >= MAX_KEPT:
            self.clear()
        folded = self[character] = self.folded(character)
        return folded


def seen_as(character: str) -> str:
    """The Latin letter that a letter of another script looks like, or that a sign is made of, in its own case.

    Empty for every other character, and for the letters that are Latin already.
    """
    alike = _LOOK_ALIKES.get(character) if character >= "\u0250" else None
    if alike is None:
        folded = character.casefold()
        alike = _LOOK_ALIKES.get(folded) if folded >= "\u0250" else None
    if alike is None:
        named = _LATIN.fullmatch(unicodedata.name(character, "")) if character >= "\u0250" else None
        if named is None:
            return ""
        alike = named["letters"].lower()
    return alike.upper() if character.isupper() else alike


def _folded(character: str) -> str:
    if character.isascii():
        return character.lower() if character.isalnum() else ""
    alike = _LOOK_ALIKES.get(character)
    if alike is None:
        alike = "".join(_LOOK_ALIKES.get(c) or _by_name(c) for c in character.casefold())
    return alike


def _by_name(character: str) -> str:
    """The digit or the Latin letters that a folded character stands for, else itself if it is a letter or a digit."""
    if character.isascii():
        return character if character.isalnum() else ""
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    named = _LATIN.fullmatch(unicodedata.name(character, ""))
    if named:
        return named["letters"].lower()
    return character if character.isalnum() and character not in _MODIFIERS else ""


_MODIFIERS = frozenset(map(chr, range(0x2B0, 0x300)))  # letters by name, signs to the eye
_ASCII = {code: fold(chr(code)) for code in range(128)}
