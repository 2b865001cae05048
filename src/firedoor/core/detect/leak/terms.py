"""What names a product or a person in a text: the spellings of a row's terms, and where they stand."""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Literal, NamedTuple

from firedoor.core.detect.fold import MAX_KEPT, Folding, fold
from firedoor.core.detect.leak import digits
from firedoor.core.detect.leak.automaton import Automaton

MIN_TERM = 4
"""Folded characters of a term; shorter ones are in every text."""
MIN_NAME = 6
"""Folded characters of a term without a digit: shorter names are words."""
MIN_NUMBER = 5
"""Digits of a term of digits only; shorter numbers are prices, sizes and years."""
FREE = 8
"""Folded characters from which a text counts inside other words too: spaces may be missing or too many."""
SOON = 12
"""Folded characters of a text that are read soon enough: of longer ones is told that they begin backwards."""
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
_ROT13 = str.maketrans(ascii_letters, "".join(a[13:] + a[:13] for a in (ascii_lowercase, ascii_uppercase)))
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


def spellings(term: str, folding: NameFolding) -> Iterator[tuple[str, str]]:
    """The texts that name what `term` names, folded, and folded in ROT13: itself, without trade marks, and without the
    ends of variants.
    """
    written = html.unescape(term).strip()
    bare = _MARKS.sub("", written)
    seen = {""}
    for text in (term, written, bare, *_bases(bare, folding)):
        folded = folding.all(text)
        if folded not in seen and _usable(folded):
            seen.add(folded)
            yield folded, folding.all(rot13(text))


def rot13(text: str) -> str:
    """`text` with each letter of the Latin alphabet 13 places on."""
    return text.translate(_ROT13)


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


How = Literal["plain", "rot13", "reversed", "reversing"]
"""How a text stands there. `reversing`: it begins to stand there from its end to its start."""


class Seen(NamedTuple):
    """A text that is wanted, which ends at code point `end`; folded, as it is wanted."""

    end: int
    text: str
    how: How


class Wanted:
    """Folded texts that a `Finder` looks for: by their last `_ANCHOR` characters, and then the whole.

    So what an automaton learns is bounded by the ends of names, which repeat, and not by all the names of a shop.
    """

    __slots__ = ("_begun", "_held", "alone", "automaton", "backwards", "folding", "longer", "rot13", "tails", "texts")

    def __init__(
        self,
        texts: Iterable[str],
        folding: NameFolding,
        held: Iterable[str] = (),
        backwards: Iterable[str] = (),
        rot13: Iterable[tuple[str, str]] = (),
    ) -> None:
        """`held` are those that must not leave by parts, also not in ROT13 or backwards if they are of these as well.

        Those of `backwards` are looked for from their end to their start, too; those of `rot13`, each with how it
        looks, in ROT13. All are of `texts`.
        """
        self.texts = frozenset(texts)
        self.folding = folding
        whole = set(held)
        turned = {text: text[::-1] for text in backwards}
        rotated = {text: other for text, other in rot13 if other != text}
        self.longer = _lengths((text[-_ANCHOR:], text) for text in self.texts - whole if len(text) > _ANCHOR)
        self.backwards = _lengths(
            (other if text in whole else other[-_ANCHOR:], text) for text, other in turned.items()
        )
        self.rot13 = _lengths((other if text in whole else other[-_ANCHOR:], text) for text, other in rotated.items())
        self.tails = frozenset(
            other[:_ANCHOR] for text, other in turned.items() if len(text) > SOON and text not in whole
        )
        short = [text for text in self.texts if len(text) <= _ANCHOR]
        self._held = sorted({*whole, *(other[text] for other in (turned, rotated) for text in whole & other.keys())})
        # what ends there is this and nothing longer
        self.alone = frozenset(short).difference(self.longer, self.backwards, self.rot13, self.tails)
        self._begun: dict[str, int] = {}
        self.automaton = Automaton(
            {*self.longer, *self.backwards, *self.rot13, *self.tails, *short, *self._held}, folding
        )

    def begun(self, text: str) -> int:
        """How many of the last characters of `text`, the text of a state, one of those that are held begins with."""
        count = self._begun.get(text)
        if count is None:
            if len(self._begun) >= MAX_KEPT:
                self._begun.clear()
            count = self._begun[text] = self._beginning(text)
        return count

    def _beginning(self, text: str) -> int:
        for start in range(len(text)):
            rest = text[start:]
            at = bisect_left(self._held, rest)
            if at < len(self._held) and self._held[at].startswith(rest):
                return len(rest)
        return 0


def _lengths(ends: Iterable[tuple[str, str]]) -> dict[str, tuple[int, ...]]:
    """How long the texts are, in order, by their ends."""
    lengths: dict[str, set[int]] = {}
    for end, text in ends:
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
        self._last: tuple[tuple[str, How], ...] = ()  # what ends where the text ends, so far
        self._marked = 0  # in `_text`, and the folded offset there
        self._folded = 0

    def feed(self, text: str) -> list[Seen]:
        """What is found, in order. What ends with the text comes with the next piece."""
        base = self._base
        at = len(self._text)
        self._text += text
        state = self._state
        if not self._last:
            for character in text:
                state = state[character]
                if state.ends:
                    break
            else:
                self._state = state
                return []
        found = [Seen(base + at, *match) for match in self._last]
        alone = self._wanted.alone
        state = self._state
        for end, character in enumerate(text, base + at + 1):
            state = state[character]
            if state.ends:
                for anchor, _ in state.ends:
                    if anchor in alone:
                        found.append(Seen(end, anchor, "plain"))
                    else:
                        found += [Seen(end, *match) for match in self._matches(end, anchor)]
        self._state = state
        end = base + len(self._text)
        if not found or found[-1].end != end:
            self._last = ()
            return found
        self._last = tuple((seen.text, seen.how) for seen in found if seen.end == end)
        return found[: -len(self._last)]

    def _matches(self, end: int, anchor: str) -> list[tuple[str, How]]:
        """What ends with `anchor` at offset `end`."""
        wanted = self._wanted
        texts = wanted.texts
        matches: list[tuple[str, How]] = [(anchor, "plain")] if anchor in texts else []
        if anchor in wanted.tails:
            matches.append((anchor, "reversing"))
        longer = wanted.longer.get(anchor, ())
        backwards = wanted.backwards.get(anchor, ())
        if longer or backwards:
            tail = self._tail(end - self._base, max(longer[-1:] + backwards[-1:]))
            read = [tail[-length:] for length in longer if length <= len(tail)]
            matches += [(text, "plain") for text in read if text in texts]
            read = [tail[-length:] for length in backwards if length <= len(tail)]
            matches += [(text[::-1], "reversed") for text in read if text[::-1] in texts and text not in texts]
        rotated = wanted.rot13.get(anchor)
        if rotated:
            tail = self._tail(end - self._base, rotated[-1], rotated=True)
            read = [tail[-length:] for length in rotated if length <= len(tail)]
            matches += [(text, "rot13") for text in read if text in texts and not text.isdigit()]
        return matches

    def _tail(self, end: int, count: int, *, rotated: bool = False) -> str:
        """The last `count` folded characters before code point `end` of what is kept, or all of them."""
        reach = count + 16
        while True:
            start = max(0, end - reach)
            text = self._text[start:end]
            folded = self._fold.all(rot13(text) if rotated else text)
            if len(folded) >= count or start == 0:
                return folded[-count:]
            reach *= 4

    def end(self) -> list[Seen]:
        """No more will come: what stands at the end."""
        last, self._last = self._last, ()
        return [Seen(self._base + len(self._text), *match) for match in last]

    def held_from(self) -> int:
        """Where the longest unfinished one of those that are held begins; the length fed so far when there is none."""
        end = self._base + len(self._text)
        count = self._wanted.begun(self._state.text) if self._state.text else 0
        return self.start(end, count) if count else end

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

    def start(self, offset: int, missing: int) -> int:
        """Where the `missing` folded characters that end at `offset` begin."""
        at = offset - self._base
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
        start = self.start(offset, len(match)) - self._base
        if start and text[start - 1].isalnum():
            return False
        return not match.isdigit() or text[start:end].isalnum()

    def touches(self, offset: int, count: int) -> bool:
        """Whether letters touch the `count` code points that end at `offset`."""
        text, end = self._text, offset - self._base
        start = end - count
        return text[end : end + 1].isalpha() or (start > 0 and text[start - 1].isalpha())

    def stands_as_digits(self, offset: int, match: str, *, phone: bool) -> bool:
        """Whether `match`, digits that end at `offset` however grouped, are a number of their own."""
        return digits.stands(self._text, self.start(offset, len(match)) - self._base, offset - self._base, phone=phone)

    def _length(self, text: str) -> int:
        return len(self._fold.all(text))
