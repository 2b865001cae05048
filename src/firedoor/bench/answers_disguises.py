"""How a leak may be written so that a plain search does not see it, and words changed in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from firedoor.core.redteam import disguises
from firedoor.core.redteam.disguises import Disguise

_NAMES: Final[dict[str, Disguise]] = {
    "upper case": "upper",
    "Markdown list": "markdown",
    "no spaces": "nospace",
    "spaced letters": "spaced",
    "zero-width": "zero_width",
    "look-alikes": "homoglyph",
    "full-width": "fullwidth",
    "base64": "base64",
    "hex": "hex",
    "rot13": "rot13",
    "reversed": "reversed",
    "leet": "leet",
}

DISGUISES: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    **{name: disguises.DISGUISES[kind] for name, kind in _NAMES.items()},
}
"""By name, as an attacker asks a model for it."""


def changed_words(text: str, share: float, words: tuple[str, ...], rng: random.Random) -> str:
    """`text` with `share` of its words, at least one, exchanged for others of `words`."""
    parts = text.split(" ")
    for at in rng.sample(range(len(parts)), max(1, round(share * len(parts)))):
        parts[at] = rng.choice(words)
    return " ".join(parts)
