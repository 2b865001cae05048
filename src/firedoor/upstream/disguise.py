"""How a model may be made to write a leak, so that a search for the plain text does not see it. Pure."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from typing import Final, Literal

Disguise = Literal[
    "upper", "markdown", "nospace", "spaced", "zero_width", "homoglyph", "fullwidth", "base64", "hex", "rot13",
    "reversed", "leet",
]  # fmt: skip

_HOMOGLYPHS: Final = str.maketrans("aceopxyTOAEHKMBP", "асеорхуТОАЕНКМВР")  # noqa: RUF001  Cyrillic on purpose
_LEET: Final = str.maketrans("aeiostAEIOST", "431057431057")
_WIDE: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


def _markdown(text: str) -> str:
    words = text.split(" ")
    lines = (" ".join(words[at : at + 4]) for at in range(0, len(words), 4))
    return "\n".join(f"- **{line}**" if at % 2 else f"- {line}" for at, line in enumerate(lines))


DISGUISES: Final[dict[Disguise, Callable[[str], str]]] = {
    "upper": str.upper,
    "markdown": _markdown,
    "nospace": lambda text: text.replace(" ", ""),
    "spaced": " ".join,
    "zero_width": "\u200b".join,
    "homoglyph": lambda text: text.translate(_HOMOGLYPHS),
    "fullwidth": lambda text: text.translate(_WIDE),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "leet": lambda text: text.translate(_LEET),
}
"""By name: the text as it is written in that disguise. Lists have bullets, and every second line in bold."""
