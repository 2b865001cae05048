"""Symbols that people write for letters: ``Nordl!cht``, ``$upplier``, ``pr|ce``.

Only next to letters, since the same symbols are prices, exclamations and e-mail addresses. What the digits stand for is
folded anyway, and in a plain reading the symbols are nothing: so this is a reading of its own.

A bracket before a word is read as a letter only when more symbols follow. Where those follow in a later word, a hit may
begin with a bracket that has left already.
"""

from __future__ import annotations

import re

from firedoor.core.detect.leak.respelt import Respelt

_LETTERS = str.maketrans("@$!|€£+(<{¢©¥§®¡¦", "asiielt" + "cccccysrii")
_ANY = re.escape("@$!|€£+(<{¢©¥§®¡¦")
_OFTEN = "(<{"  # begin many words: those are read as letters only near others that are some
_ENDS = "@$€£¢¥§+"
_SYMBOL = f"[{_ANY}]"
_RUN = re.compile(
    rf"{_SYMBOL}(?:(?<=[^\W\d_]{_SYMBOL}){_SYMBOL}{{0,7}}(?=[^\W_])|(?<=[0-9]{_SYMBOL}){_SYMBOL}{{0,7}}(?=[^\W\d_])"
    rf"|(?<![^\W_].)(?<!{_SYMBOL}.){_SYMBOL}{{0,7}}(?=[0-9]{{0,3}}[^\W\d_])(?P<begins>)"
    rf"(?P<again>(?=[^\W_]{{1,24}}{_SYMBOL}{{1,8}}[^\W_]))?"
    rf"|(?<=[^\W\d_][{_ENDS}])(?![^\W_]|{_SYMBOL}))",
    re.DOTALL,
)
"""Within a word; at its beginning, perhaps with more of them in it; at its end."""
_OPEN = re.compile(
    rf"(?<!{_SYMBOL}){_SYMBOL}{{1,8}}(?:[0-9]{{0,3}}|(?<![^\W_].)[0-9]{{0,3}}[^\W\d_][^\W_]{{0,23}}{_SYMBOL}{{0,8}})\Z",
    re.DOTALL,
)
_MOST_OPEN = 40
SYMBOLS = re.compile(_SYMBOL)
"""What no text without symbols for letters has."""


class Symbols:
    """A `Spelling`: one character for another."""

    def read(self, text: str, first: int, *, final: bool) -> tuple[list[Respelt], int]:
        """See `Spelling.read`."""
        open_from = None if final else _OPEN.search(text, max(first, len(text) - _MOST_OPEN))
        upto = len(text) if open_from is None else open_from.start()
        found: list[Respelt] = []
        for run in _RUN.finditer(text, first):
            if run.start() >= upto:
                break
            sure = run["begins"] is None or run["again"] is not None or run[0][0] not in _OFTEN
            found.append(Respelt(*run.span(), run[0].translate(_LETTERS), "symbols", sure))
        return found, upto
