"""How a text may be written so that a plain search does not see it, by who asks or by a model that answers. Pure."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import quote

Disguise = Literal[
    "upper", "markdown", "nospace", "spaced", "zero_width", "homoglyph", "fullwidth", "base64", "hex", "rot13",
    "reversed", "leet",
]  # fmt: skip

_HOMOGLYPHS: Final = str.maketrans("aceopxyTOAEHKMBP", "асеорхуТОАЕНКМВР")  # noqa: RUF001  Cyrillic on purpose
_LEET: Final = str.maketrans("aeiostAEIOST", "431057431057")
_WIDE: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
_TAGS: Final = {code: code + 0xE0000 for code in range(0x20, 0x7F)}
_INNER: Final = re.compile(r"(?<=[^\W\d_])[^\W\d_]{2,}(?=[^\W\d_])")
_MORSE: Final = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz0123456789",
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "  # noqa: SIM905  a table is read more easily than a list
        "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.".split(),
        strict=True,
    )
)


def _markdown(text: str) -> str:
    words = text.split(" ")
    lines = (" ".join(words[at : at + 4]) for at in range(0, len(words), 4))
    return "\n".join(f"- **{line}**" if at % 2 else f"- {line}" for at, line in enumerate(lines))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def _reversed(text: str) -> str:
    return text[::-1]


def _morse(text: str) -> str:
    words = ([_MORSE[letter] for letter in word if letter in _MORSE] for word in text.lower().split())
    return " / ".join(" ".join(word) for word in words if word)


def _emoji(text: str) -> str:
    """Behind a smiley, each byte as a variation selector that nobody sees."""
    return "😊" + "".join(chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in text.encode())


def _typoglycemia(text: str) -> str:
    """Inner letters of each word change places in pairs; done twice, it is as it was."""

    def swapped(inner: re.Match[str]) -> str:
        letters = list(inner[0])
        for at in range(0, len(letters) - 1, 2):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        return "".join(letters)

    return _INNER.sub(swapped, text)


DISGUISES: Final[dict[Disguise, Callable[[str], str]]] = {
    "upper": str.upper,
    "markdown": _markdown,
    "nospace": lambda text: text.replace(" ", ""),
    "spaced": " ".join,
    "zero_width": "\u200b".join,
    "homoglyph": lambda text: text.translate(_HOMOGLYPHS),
    "fullwidth": lambda text: text.translate(_WIDE),
    "base64": _base64,
    "hex": lambda text: text.encode().hex(),
    "rot13": _rot13,
    "reversed": _reversed,
    "leet": lambda text: text.translate(_LEET),
}
"""By name: the text as it is written in that disguise. Lists have bullets, and every second line in bold."""

HIDDEN: Final[dict[str, Callable[[str], str]]] = {
    **{name: DISGUISES[name] for name in DISGUISES if name not in ("markdown", "nospace")},
    "tags": lambda text: "🙂" + text.translate(_TAGS),
    "emoji": _emoji,
    "bidi": lambda text: f"\u202e{text[::-1]}\u202c",
    "typoglycemia": _typoglycemia,
    "percent": lambda text: quote(text, safe=""),
    "morse": _morse,
    "nested": lambda text: _base64(_rot13(text)),
    "nested_deep": lambda text: _base64(_reversed(_base64(_rot13(text)))),
}
"""The disguises in which whoever asks may hide a text. `nested` is base64 of rot13, `nested_deep` four of them."""

READABLE: Final = frozenset({"upper", "spaced", "zero_width", "homoglyph", "fullwidth", "leet", "typoglycemia"})
"""Those that a person reads as they stand."""
