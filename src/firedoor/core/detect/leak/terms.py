"""What names a product or a person in a text: the spellings of a row's terms, and where they stand."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator

from firedoor.core.detect.fold import Folding, fold
from firedoor.core.detect.leak.automaton import Automaton

MIN_TERM = 4
"""Folded characters of a term; shorter ones are in every text."""
MIN_NAME = 6
"""Folded characters of a term without a digit: shorter names are words."""
MIN_NUMBER = 5
"""Digits of a term of digits only; shorter numbers are prices, sizes and years."""
FREE = 8
"""Folded characters from which a text counts inside other words too: spaces may be missing or too many."""
_MIN_BASE = 8
_MARKS = re.compile("[\u2122\u00ae\u00a9\u2120]")
_TAILS = (
    re.compile(r"\s*[(\[][^()\[\]]{1,40}[)\]]\s*\Z"),
    re.compile(r"(?:-[^-\s]{1,16}){1,3}\Z"),
    re.compile(r"\s*(?:,|\s-|\s?\||\s\u2013)\s[^,|]{1,40}\Z"),
    re.compile(r"\s\d{1,5}(?:[.,]\d{1,3})?\s?[A-Za-z]{1,5}\Z"),
    re.compile(r"\s(?:[Xx]{0,3}[SsLl]|[Mm])\Z"),
)
"""What variants add to the name of a product: ``(red)``, ``-XS-Black``, ``, large``, `` 500 ml``, `` XL``."""
_FIRST_OF_CODE = re.compile(r"[^\s-]+(?=-)")
_ANCHOR = 6
_KEPT = 768
"""Code points kept of what was read: what is behind the longest number and its words."""


def plain(character: str) -> str:
    """One code point as zero or more folded characters. Digits stay: ``74813`` is an article, ``table`` is not."""
    digit = unicodedata.digit(character, None)
    return fold(character) if digit is None else str(digit)


_ASCII = "".join(plain(chr(code)) or " " for code in range(128)).encode() + bytes(128)
_NOT_FOLDED = bytes(code for code in range(128) if not chr(code).isalnum())


class NameFolding(Folding):
    """`plain` with a memory."""

    folded = staticmethod(plain)

    def all(self, text: str) -> str:
        """All of `text`, folded so."""
        if text.isascii():
            return text.encode().translate(_ASCII, _NOT_FOLDED).decode()
        return "".join(map(self.__getitem__, text))


def normalise(text: str) -> str:
    """All of `text`, folded so."""
    return "".join(map(plain, text))


def spellings(term: str, folding: NameFolding) -> Iterator[str]:
    """The folded texts that name what `term` names: itself, without trade marks, and without the ends of variants."""
    written = html.unescape(term).strip()
    bare = _MARKS.sub("", written)
    seen = {""}
    for text in (term, written, bare, *_bases(bare, folding)):
        folded = folding.all(text)
        if folded not in seen and _usable(folded):
            seen.add(folded)
            yield folded


def is_ordinary(term: str) -> bool:
    """Whether a term is one word that may be an ordinary one: it names nothing for certain."""
    return term.strip().isalpha()


def _usable(folded: str) -> bool:
    if folded.isdigit():
        return len(folded) >= MIN_NUMBER
    return len(folded) >= (MIN_TERM if any(c.isdigit() for c in folded) else MIN_NAME)


def _bases(name: str, folding: NameFolding) -> Iterator[str]:
    if " " not in name:
        first = _FIRST_OF_CODE.match(name)
        if first and first[0].isalnum() and not first[0].isalpha() and not first[0].isdigit():
            yield first[0]
        return
    for tail in _TAILS:
        shorter = tail.sub("", name)
        if shorter != name and " " in shorter and len(folding.all(shorter)) >= _MIN_BASE:
            name = shorter
            yield name


class Wanted:
    """Folded texts that a `Finder` looks for: by their last `_ANCHOR` characters, and then the whole.

    So what an automaton learns is bounded by the ends of names, which repeat, and not by all the names of a shop.
    """

    __slots__ = ("automaton", "backwards", "folding", "longer", "texts")

    def __init__(self, texts: Iterable[str], backwards: Iterable[str], folding: NameFolding) -> None:
        """Those of `backwards` are of `texts`, and are looked for from their end to their start as well."""
        self.texts = frozenset(texts)
        self.folding = folding
        self.longer = _lengths((text[-_ANCHOR:], text) for text in self.texts)
        self.backwards = _lengths((text[_ANCHOR - 1 :: -1], text) for text in backwards)
        short = (text for text in self.texts if len(text) <= _ANCHOR)
        self.automaton = Automaton({*self.longer, *self.backwards, *short}, folding)


def _lengths(ends: Iterable[tuple[str, str]]) -> dict[str, tuple[int, ...]]:
    """How long the texts longer than `_ANCHOR` are, in order, by their ends."""
    lengths: dict[str, set[int]] = {}
    for end, text in ends:
        if len(text) > _ANCHOR:
            lengths.setdefault(end, set()).add(len(text))
    kept: dict[tuple[int, ...], tuple[int, ...]] = {}  # most are the same few
    return {end: kept.setdefault(one := tuple(sorted(some)), one) for end, some in lengths.items()}


class Finder:
    """Folded texts in one growing text, and folded offsets of its code points; what stands at its end waits."""

    __slots__ = ("_base", "_fold", "_folded", "_last", "_marked", "_state", "_text", "_wanted")

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._fold = wanted.folding
        self._state = wanted.automaton.start()
        self._text = ""
        self._base = 0
        self._last: tuple[str, ...] = ()  # what ends where the text ends, so far
        self._marked = 0  # in `_text`, and the folded offset there
        self._folded = 0

    def feed(self, text: str) -> list[tuple[int, str]]:
        """The ends and the texts of what is found, in order, also of what is found backwards, as it stands there. What
        ends with the text comes with the next piece.
        """
        base = self._base
        at = len(self._text)
        found = [(base + at, match) for match in self._last]
        self._text += text
        state = self._state
        for end, character in enumerate(text, base + at + 1):
            state = state[character]
            if state.ends:
                for anchor, _ in state.ends:
                    found += [(end, match) for match in self._matches(end, anchor)]
        self._state = state
        end = base + len(self._text)
        self._last = tuple(match for where, match in found if where == end)
        return found[: len(found) - len(self._last)] if self._last else found

    def _matches(self, end: int, anchor: str) -> list[str]:
        """What ends with `anchor` at offset `end`."""
        wanted = self._wanted
        texts = wanted.texts
        matches = [anchor] if anchor in texts else []
        longer = wanted.longer.get(anchor, ())
        backwards = wanted.backwards.get(anchor, ())
        if longer or backwards:
            tail = self._tail(end - self._base, max(longer[-1:] + backwards[-1:]))
            read = [tail[-length:] for length in longer if length <= len(tail)]
            matches += [text for text in read if text in texts]
            read = [tail[-length:] for length in backwards if length <= len(tail)]
            matches += [text for text in read if text[::-1] in texts and text not in texts]
        return matches

    def _tail(self, end: int, count: int) -> str:
        """The last `count` folded characters before code point `end` of what is kept, or all of them."""
        reach = count + 16
        while True:
            start = max(0, end - reach)
            folded = self._fold.all(self._text[start:end])
            if len(folded) >= count or start == 0:
                return folded[-count:]
            reach *= 4

    def end(self) -> list[tuple[int, str]]:
        """No more will come: what stands at the end."""
        last, self._last = self._last, ()
        return [(self._base + len(self._text), match) for match in last]

    def forget(self) -> None:
        """Let go of what is too far behind."""
        if len(self._text) > 4 * _KEPT:
            cut = len(self._text) - _KEPT
            self.folded(self._base + cut)
            self._text = self._text[cut:]
            self._base += cut
            self._marked = 0

    def between(self, start: int, end: int) -> tuple[int, str]:
        """What stands from `start`, or where what is kept begins, to `end`."""
        start = max(start, self._base)
        return start, self._text[start - self._base : end - self._base]

    def folded(self, offset: int) -> int:
        """How many folded characters stand before code point `offset`, which is not far behind."""
        at = max(0, offset - self._base)
        if at > self._marked:
            self._folded += self._length(self._text[self._marked : at])
        else:
            self._folded -= self._length(self._text[at : self._marked])
        self._marked = at
        return self._folded

    def start(self, offset: int, match: str) -> int:
        """Where `match`, which ends at `offset`, begins."""
        at = offset - self._base
        missing = len(match)
        while missing > 0 and at > 0:
            at -= 1
            missing -= len(self._fold[self._text[at]])
        return self._base + at

    def stands(self, offset: int, match: str, *, may_go_on: bool = False) -> bool:
        """Whether `match`, which ends at `offset`, stands by itself as far as its length asks for that."""
        text, end = self._text, offset - self._base
        behind = text[end] if end < len(text) else " "
        if len(match) >= FREE and not match.isdigit():
            return not (match[-1].isdigit() and behind.isdigit())
        if behind.isalnum() and not (may_go_on and behind.isalpha()):
            return False
        start = self.start(offset, match) - self._base
        if start and text[start - 1].isalnum():
            return False
        return not match.isdigit() or text[start:end].isalnum()

    def _length(self, text: str) -> int:
        return len(self._fold.all(text))
