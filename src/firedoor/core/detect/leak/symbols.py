"""Symbols that people write for letters: ``Nordl!cht``, ``$upplier``, ``pr|ce``.

Only next to letters, since the same symbols are prices, exclamations and e-mail addresses. What the digits stand for is
folded anyway, and in a plain reading the symbols are nothing: so this is a reading of its own.
"""

from __future__ import annotations

import re

from firedoor.core.detect.leak.respelt import Respelt

_LETTERS = str.maketrans("@$!|€£+(<{¢©¥§®¡¦", "asiielt" + "cccccysrii")
_ANY = re.escape("@$!|€£+(<{¢©¥§®¡¦")
_BEGINS = "@$€£¢©¥§®"  # the others begin or end much that is no word
_ENDS = "@$€£¢¥§+"
_RUN = re.compile(
    rf"(?<=[^\W\d_])[{_ANY}]{{1,8}}(?=[^\W_])|(?<=[0-9])[{_ANY}]{{1,8}}(?=[^\W\d_])"  # within a word
    rf"|(?<![^\W_])(?<![{_ANY}])[{_BEGINS}][{_ANY}]{{0,7}}(?=[0-9]?[^\W\d_])"
    rf"|(?<=[^\W\d_])[{_ENDS}](?![^\W_])(?![{_ANY}])"
)
_OPEN = re.compile(rf"(?<![{_ANY}])[{_ANY}]{{1,8}}[0-9]?\Z")
SYMBOLS = re.compile(f"[{_ANY}]")
"""What no text without symbols for letters has."""


class Symbols:
    """A `Spelling`: one character for another."""

    def read(self, text: str, first: int, *, final: bool) -> tuple[list[Respelt], int]:
        """See `Spelling.read`."""
        if SYMBOLS.search(text, first) is None:
            return [], len(text)
        open_from = None if final else _OPEN.search(text, max(first, len(text) - 9))
        upto = len(text) if open_from is None else open_from.start()
        found: list[Respelt] = []
        for match in _RUN.finditer(text, first):
            start, end = match.span()
            if start >= upto:
                break
            found.append(Respelt(start, end, match[0].translate(_LETTERS), "symbols"))
        return found, upto
