"""Names that are nobody's: the shop's brands and products, so that "Hugo Boss" is bought and not masked."""

from __future__ import annotations

import re
from collections.abc import Iterable

from firedoor.core.detect.spans import Span
from firedoor.core.detect.tokens import folded

_WORD = re.compile(r"[^\W_]+")
MAX_WORDS = 4
MAX_PHRASES = 200_000
"""Word sequences of a catalogue that are kept, about 20 MiB; what comes later is left out."""
_NAME_LIKE = frozenset({"PERSON", "CITY"})


class Brands:
    """`phrases` are nobody's names exactly as given; of `products` only sequences of two to four words count.

    A single word of a product's name may be a shopper's first name, and is no reason to let one pass.
    """

    def __init__(self, phrases: Iterable[str] = (), products: Iterable[str] = ()) -> None:
        self._phrases = {" ".join(_words(phrase)) for phrase in phrases}
        self._phrases.discard("")
        for product in products:
            words = _words(product)
            for count in range(2, MAX_WORDS + 1):
                self._phrases.update(" ".join(words[i : i + count]) for i in range(len(words) - count + 1))
            if len(self._phrases) > MAX_PHRASES:
                break

    def without(self, spans: list[Span], text: str) -> list[Span]:
        """`spans` without names, guessed by a model, that are a brand or part of a product's name."""
        if not self._phrases:
            return spans
        return [span for span in spans if not self._is_brand(span, text)]

    def _is_brand(self, span: Span, text: str) -> bool:
        return (
            span.tier in ("model", "deep")
            and span.label in _NAME_LIKE
            and " ".join(_words(text[span.start : span.end])) in self._phrases
        )


def _words(text: str) -> list[str]:
    return [folded(word) for word in _WORD.findall(text)]
