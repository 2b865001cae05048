"""How a leak may be written so that a plain search does not see it, and words changed in it."""

from __future__ import annotations

import base64
import codecs
import random
from collections.abc import Callable
from typing import Final

_HOMOGLYPHS: Final = str.maketrans("aceopxyTOAEHKMBP", "асеорхуТОАЕНКМВР")  # noqa: RUF001  Cyrillic on purpose
_LEET: Final = str.maketrans("aeiostAEIOST", "431057431057")
_WIDE: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


def _markdown(text: str) -> str:
    words = text.split(" ")
    lines = (" ".join(words[at : at + 4]) for at in range(0, len(words), 4))
    return "\n".join(f"- **{line}**" if at % 2 else f"- {line}" for at, line in enumerate(lines))


DISGUISES: Final[dict[str, Callable[[str], str]]] = {
    "as it is": lambda text: text,
    "upper case": str.upper,
    "Markdown list": _markdown,
    "no spaces": lambda text: text.replace(" ", ""),
    "spaced letters": " ".join,
    "zero-width": "\u200b".join,
    "look-alikes": lambda text: text.translate(_HOMOGLYPHS),
    "full-width": lambda text: text.translate(_WIDE),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "leet": lambda text: text.translate(_LEET),
}
"""By name, as an attacker asks a model for it."""


def changed_words(text: str, share: float, words: tuple[str, ...], rng: random.Random) -> str:
    """`text` with `share` of its words, at least one, exchanged for others of `words`."""
    parts = text.split(" ")
    for at in rng.sample(range(len(parts)), max(1, round(share * len(parts)))):
        parts[at] = rng.choice(words)
    return " ".join(parts)
