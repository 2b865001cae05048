"""How alike two answers are, what they repeat of the shopper, and what became of placeholders. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from firedoor.core.language import KNOWN, language_of
from firedoor.core.minimise.placeholders import Placeholders
from firedoor.core.plan.model import LABELS

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_GAPS = "|".join(label.replace("_", "[_ -]?") for label in LABELS)
_BARE = "|".join(LABELS)
# A label in brackets, or one in capitals that a number seems to follow: "IP 203.0.113.7" is an address, not a number.
_LIKE = re.compile(
    rf"[<\[{{]\W{{0,2}}(?:{_GAPS})(?![^\W\d_])|(?<!\w)(?-i:{_BARE})(?:_|[ -]?[1-9](?![\w.:, -]?\d))", re.IGNORECASE
)
_OPENED = re.compile(r"[<\[] ?([A-Za-z_]{0,14})\d{0,6}\Z")


def words_of(text: str) -> list[str]:
    """Its words in lower case; the parts of an address are words as well."""
    return _WORD.findall(text.lower())


def rouge_l(one: str, other: str) -> float:
    """F1 of the longest common subsequence of words (Lin, 2004): 1 for the same words in the same order."""
    a, b = words_of(one), words_of(other)
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for i, there in enumerate(b, 1):
            before, row[i] = row[i], before + 1 if word == there else max(row[i], row[i - 1])
    return _f1(row[-1], len(a), len(b))


def token_f1(one: str, other: str) -> float:
    """F1 of the words that both have, in any order, as SQuAD counts them."""
    a, b = Counter(words_of(one)), Counter(words_of(other))
    return _f1((a & b).total(), a.total(), b.total())


def _f1(common: int, one: int, other: int) -> float:
    return 2 * common / (one + other) if one + other else 1.0


def in_language(text: str, language: str) -> bool:
    """Whether the function words of `text` are of `language`; a text without any is in none."""
    return language_of(text, KNOWN, "") == language


def repeated(values: Iterable[str], answer: str) -> set[str]:
    """The values that stand in `answer` as they are, but for case and white space."""
    text = folded(answer)
    return {value for value in values if re.search(rf"(?<!\w){re.escape(folded(value))}(?!\w)", text)}


def folded(text: str) -> str:
    """`text` in one case, with single spaces."""
    return " ".join(text.casefold().split())


class Kept(Struct, frozen=True):
    """Placeholders of an answer.

    `restored` stood for a value. `invented` have the right form and stand for nothing. `garbled` only look like one.
    `ended` is one that the answer's length cut in two. `left` were to be restored and are still there.
    """

    restored: int = 0
    invented: int = 0
    garbled: int = 0
    ended: int = 0
    left: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(
            self.restored + other.restored,
            self.invented + other.invented,
            self.garbled + other.garbled,
            self.ended + other.ended,
            self.left + other.left,
        )


def restored(answer: str, placeholders: Placeholders, *, cut: bool) -> tuple[str, Kept]:
    """The answer as the shopper reads it, and its placeholders. `cut`: the model was stopped, it had not ended."""
    text = placeholders.restore(answer)
    put_back, invented = sum(placeholders.restored.values()), placeholders.invented
    placeholders.restore(text)
    left = sum(placeholders.restored.values()) - put_back
    garbled, ended = looks_like(answer, cut=cut)
    return text, Kept(put_back, invented, garbled, ended, left)


def looks_like(answer: str, *, cut: bool) -> tuple[int, int]:
    """How often `answer` seems to mean a placeholder and none would be seen there; 1 if its end cuts one in two."""
    numbers = {int(number) for number in _NUMBER.findall(answer)}
    rest = Placeholders({(label, number): "\0" for label in LABELS for number in numbers}).restore(answer)
    opened = _OPENED.search(rest) if cut else None
    begun = opened is not None and any(label.startswith(opened[1].upper().rstrip("_")) for label in LABELS)
    if opened is not None and begun:
        rest = rest[: opened.start()]
    return len(_LIKE.findall(rest)), int(begun)
