"""What people, machines and attackers do to the spelling of a text, and what is left after it was undone."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable

_WORD = re.compile(r"[^\W\d_]{4,}")


def noisy(text: str, rng: random.Random, much: float = 0.5) -> str:
    """`text`, with chance `much` changed in one or two of these ways."""
    while rng.random() < much:
        text = rng.choices(WAYS, _SHARES)[0](text, rng)
        much *= 0.4
    return text


def _unpunctuated(text: str, _: random.Random) -> str:
    return re.sub(r"[.,!?;:'\"]+", "", text).lower()


def _unaccented(text: str, _: random.Random) -> str:
    if any(c >= "\u0900" for c in text):
        return text
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def typos(text: str, rng: random.Random) -> str:
    """Letters left out, doubled, swapped or wrong, in a few words."""

    def wrong(match: re.Match[str]) -> str:
        word = match[0]
        if rng.random() > 0.2:
            return word
        at = rng.randrange(1, len(word) - 1)
        way = rng.randrange(4)
        if way == 0:
            return word[:at] + word[at + 1 :]
        if way == 1:
            return word[:at] + word[at] + word[at:]
        if way == 2:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return word[:at] + rng.choice("aeionrst") + word[at + 1 :]

    return _WORD.sub(wrong, text)


def shuffled(text: str, rng: random.Random) -> str:
    """Typoglycemia: the letters between the first and the last in any order."""

    def mixed(match: re.Match[str]) -> str:
        word = match[0]
        inner = list(word[1:-1])
        rng.shuffle(inner)
        return word[0] + "".join(inner) + word[-1]

    return _WORD.sub(mixed, text)


def ambiguous(text: str, rng: random.Random) -> str:
    """Letters taken for their look-alikes, as after undoing leet: i, l and 1, o and 0."""
    swaps = {"l": "i", "i": "l"} if rng.random() < 0.6 else {"l": "1", "i": "1", "o": "0"}
    share = rng.choice((0.3, 1.0))
    return "".join(swaps.get(c, c) if rng.random() < share else c for c in text)


def leet(text: str, rng: random.Random) -> str:
    """Digits and signs for letters."""
    signs = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7+", "l": "1", "b": "8", "g": "9"}
    share = rng.choice((0.4, 1.0))
    return "".join(rng.choice(signs[c]) if c in signs and rng.random() < share else c for c in text.lower())


def joined(text: str, rng: random.Random) -> str:
    """Without its spaces, or without some."""
    share = rng.choice((1.0, 1.0, 0.3))
    return "".join("" if c == " " and rng.random() < share else c for c in text)


def split(text: str, rng: random.Random) -> str:
    """Spaces in the middle of words."""

    def halved(match: re.Match[str]) -> str:
        at = rng.randrange(1, len(match[0])) if rng.random() < 0.15 else 0
        return f"{match[0][:at]} {match[0][at:]}" if at else match[0]

    return _WORD.sub(halved, text)


_AROUND = (
    ("\n", ""), ('"', '"'), ("(", ")"), ("", "!!!"), ("- ", ""), ("> ", ""), ("", " ..."), ("# ", ""), ("hi, ", ""),
    ("please ", ""), ("", " thanks"), ("", " pls"),
)  # fmt: skip


def wrapped(text: str, rng: random.Random) -> str:
    """Between other signs, or on lines of its own."""
    before, behind = rng.choice(_AROUND)
    return before + text + behind


def decoded(text: str, rng: random.Random) -> str:
    """As decoders leave it: letters small, signs gone, sometimes words run together."""
    text = text.lower()
    if rng.random() < 0.5:
        text = re.sub(r"[^\w\s]", "", text)
    return joined(text, rng) if rng.random() < 0.3 else text


WAYS: tuple[Callable[[str, random.Random], str], ...] = (
    _unpunctuated, _unaccented, typos, shuffled, ambiguous, leet, joined, split, wrapped, decoded,
)  # fmt: skip
_SHARES = (3, 1, 2.5, 1.2, 1, 0.5, 0.8, 0.6, 1.5, 0.8)
