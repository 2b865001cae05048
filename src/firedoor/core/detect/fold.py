"""Characters as a protected value is compared: letters and digits only, without case, accents or look-alikes.

Per code point, so that a text can be folded as it grows and every folded character keeps the offset it came from:
compatibility decomposition (NFKD), case folding, then whatever is not a letter or a digit is dropped: white space,
punctuation, symbols, zero-width and other format characters, combining marks, controls, lone surrogates.
"""

from __future__ import annotations

import unicodedata

# Letters that look like a Latin one and do not decompose to it (after case folding).
# A small table of ours: Cyrillic, Greek, and Latin letters with a stroke; digits are never swapped with letters.
_LOOK_ALIKES = dict(
    zip(
        "авекмнорстухіјѕһԁԛԝ" + "αβεικνορτυχγ" + "łøđħıŧɡɑ",
        "abekmhopctyxijshdqw" + "abeikvoptuxy" + "lodhitga",
        strict=True,
    )
)

MAX_KEPT = 16_384
"""Code points remembered by a `Folding`: more than the letters a shop's languages use, less than 2 MiB."""


def fold(character: str) -> str:
    """One code point as zero or more folded characters."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", character).casefold() if c.isalnum())
    return "".join(_LOOK_ALIKES.get(c, c) for c in folded)


def normalise(text: str) -> str:
    """All of `text`, folded."""
    return "".join(map(fold, text))


class Folding(dict[str, str]):
    """`fold` with a memory: ``folding[character]``. Bounded; forgets everything when full."""

    def __missing__(self, character: str) -> str:
        if len(self) >= MAX_KEPT:
            self.clear()
        folded = self[character] = fold(character)
        return folded
