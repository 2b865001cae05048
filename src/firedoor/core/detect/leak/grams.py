"""Stretches of protected documents as grams: `GRAM` folded characters in a row, known by keyed fingerprints only.

A gram's fingerprint has two parts. The 64-bit one (XXH3 with a secret seed) is quick and says where in an index the
gram would stand and whether it may be there; the identity (keyed BLAKE2b) is asked only when that says yes, so that
neither chance nor somebody who worked out the seed makes a false one. Nothing of a document can be read from either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol
from unicodedata import normalize

from xxhash import xxh3_64_intdigest

from firedoor.core.detect.fold import MAX_KEPT, Folding, fold
from firedoor.core.detect.spans import View

GRAM: Final = 20
"""Folded characters. Shorter ones occur in innocent texts, longer ones are lost with every changed word."""
ENOUGH: Final = 12
"""Grams of a leak: 31 characters in a row, or as many within a `WINDOW`. With 12, no innocent text of 5,000 was hit."""
WINDOW: Final = 60
"""Places of grams in which `ENOUGH` must lie: a changed word breaks about 25 of them."""
MIN_FOLDED: Final = GRAM + ENOUGH - 1
"""Folded characters of a text that can be protected at all."""
MAX_PROMPT: Final = 65_536
"""Characters of a system prompt that are known, about 7 MiB of grams; shops' prompts have a tenth of it."""

KEY_BYTES: Final = 32
IDENTITY_BITS: Final = 32

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_MARK = str.maketrans(_LETTERS, _LETTERS.upper())
_MARKED = _LETTERS + _DIGITS + _LETTERS.upper()
_PLAIN = "".join(map(fold, _LETTERS + _DIGITS)) + _LETTERS
_TURNED = "".join(map(fold, _LETTERS[13:] + _LETTERS[:13] + _DIGITS)) + _LETTERS

PLAIN: Final = bytes.maketrans(_MARKED.encode(), _PLAIN.encode())
"""For `bytes.translate`: marked text in UTF-8, as it is compared."""
ROT13: Final = bytes.maketrans(_MARKED.encode(), _TURNED.encode())
"""The same, read as rot13."""


class DocumentRef(NamedTuple):
    """A protected document, and its protected set. `also` are other sets that hold the same stretch."""

    id: str
    set: str
    also: tuple[str, ...] = ()

    def may_leave(self, granted: frozenset[str], elsewhere: frozenset[str]) -> bool:
        """Whether it is no leak where sets `elsewhere` are not protected, for who may receive `granted`.

        One set of those that hold it is enough to receive it, and one to protect it.
        """
        if self.set not in granted and granted.isdisjoint(self.also):
            return self.set in elsewhere and elsewhere.issuperset(self.also)
        return True

    def protecting(self, elsewhere: frozenset[str]) -> str:
        """The first of its sets that is protected where sets `elsewhere` are not."""
        return next(name for name in (self.set, *self.also) if name not in elsewhere)


class Fingerprints(Protocol):
    """Grams that are protected, UTF-8. Owes: the same answers for as long as it lives."""

    def number(self, gram: bytes) -> int:
        """The number of the document that holds `gram`; -1 for none."""
        ...

    def find(self, grams: Iterable[bytes]) -> list[tuple[int, int]]:
        """(index, number) of those that a document holds, in their order."""
        ...

    def document(self, number: int) -> DocumentRef:
        """The document with a number that `number` or `find` gave."""
        ...


class GramFolding:
    """Texts folded so far that they can still be compared as they stand and as rot13: marked.

    A letter or digit of ASCII, in any width or style, stays what it is, in lower case; of all others the folded
    characters are marked by being capitals, because rot13 leaves those characters as they are. Shared by all watches of
    a thread.
    """

    __slots__ = ("_of", "table")

    def __init__(self, folding: Folding | None = None) -> None:
        marks = _Marks(folding if folding is not None else Folding())
        self._of = marks.__getitem__
        self.table: Mapping[int, str | None] = _Table(marks)
        """For `str.translate`; of ASCII only, it is slow for other texts."""

    def marked(self, text: str) -> str:
        """`text`, marked. An ASCII character gives at most one."""
        return text.translate(self.table) if text.isascii() else "".join(map(self._of, text))

    def plain(self, text: str) -> str:
        """`text`, folded."""
        return self.marked(text).encode().translate(PLAIN).decode()

    def of(self, character: str) -> str:
        """One character, marked."""
        return self._of(character)


class _Marks(dict[str, str]):
    """Marked text by character. Bounded."""

    def __init__(self, folding: Folding) -> None:
        super().__init__()
        self._folding = folding

    def __missing__(self, character: str) -> str:
        if len(self) >= MAX_KEPT:
            self.clear()
        base = normalize("NFKD", character).lower()
        if len(base) > 1 or not base.isascii() or not base.isalnum():
            base = self._folding[character].translate(_MARK)
        self[character] = base
        return base


class _Table(dict[int, str | None]):
    """Marked text by code point of ASCII; None drops it."""

    def __init__(self, marks: _Marks) -> None:
        super().__init__()
        self._marks = marks

    def __missing__(self, code: int) -> str | None:
        marked = self._marks[chr(code)] or None
        if code < 128:
            self[code] = marked
        return marked


def grams_of(marked: str, view: View, step: int = 1) -> list[bytes]:
    """The grams of marked text at 0, `step`, 2 x `step` … as they would stand in a document. `view` reversed: of the
    text read from its end.
    """
    table = ROT13 if view == "rot13" else PLAIN
    places = range(0, len(marked) - GRAM + 1, step)
    if marked.isascii():
        data = marked.encode().translate(table)
        if view == "reversed":
            data = data[::-1]
        return [data[at : at + GRAM] for at in places]
    if view == "reversed":
        marked = marked[::-1]
    return [marked[at : at + GRAM].encode().translate(table) for at in places]


def grams_at(marked: str, at: int) -> tuple[bytes, bytes, bytes]:
    """The gram at `at` of marked text as it would stand in a document: plain, reversed, rot13."""
    gram = marked[at : at + GRAM]
    data = gram.encode()
    straight = data.translate(PLAIN)
    if len(data) == GRAM:
        return straight, straight[::-1], data.translate(ROT13)
    return straight, gram[::-1].encode().translate(PLAIN), data.translate(ROT13)


class GramKey:
    """The secret part of fingerprints: 64-bit `seed` and `key` for BLAKE2b."""

    __slots__ = ("_blake", "seed")

    def __init__(self, seed: int, key: bytes) -> None:
        self.seed = seed
        self._blake = blake2b(key=key, digest_size=IDENTITY_BITS // 8)

    @classmethod
    def derive(cls, secret: bytes) -> GramKey:
        """The key of a region, from 32 secret bytes. Raises ValueError for another number of bytes."""
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a secret of {KEY_BYTES} bytes is needed")
        seed = blake2b(key=secret, digest_size=8, person=b"gram seed").digest()
        return cls(int.from_bytes(seed, "little"), blake2b(key=secret, person=b"gram identity").digest())

    def __repr__(self) -> str:
        return "GramKey(…)"

    def hash(self, gram: bytes) -> int:
        """64 bits: the quick part. `gram` is UTF-8."""
        return xxh3_64_intdigest(gram, self.seed)

    def identity(self, gram: bytes) -> int:
        """`IDENTITY_BITS` bits: the sure part."""
        keyed = self._blake.copy()
        keyed.update(gram)
        return int.from_bytes(keyed.digest(), "little")


class PromptGrams:
    """The grams of a system prompt: `Fingerprints` of a text that is at hand and needs no key.

    Only the first `MAX_PROMPT` characters are known. `excused` are texts that may be repeated, such as the greeting.
    """

    __slots__ = ("_grams", "_ref")

    def __init__(
        self, texts: Iterable[str], folding: GramFolding, *, excused: Iterable[str] = (), document: str = "system"
    ) -> None:
        known: set[bytes] = set()
        left = MAX_PROMPT
        for text in texts:
            known.update(grams_of(folding.marked(text[:left]), "plain"))
            left -= min(len(text), left)
        for text in excused:
            known.difference_update(grams_of(folding.marked(text[:MAX_PROMPT]), "plain"))
        self._grams = frozenset(known)
        self._ref = DocumentRef(document, "")

    def __len__(self) -> int:
        return len(self._grams)

    def number(self, gram: bytes) -> int:
        """See `Fingerprints.number`."""
        return 0 if gram in self._grams else -1

    def find(self, grams: Iterable[bytes]) -> list[tuple[int, int]]:
        """See `Fingerprints.find`."""
        known = self._grams
        return [(at, 0) for at, gram in enumerate(grams) if gram in known]

    def document(self, number: int) -> DocumentRef:  # noqa: ARG002  # there is one
        """See `Fingerprints.document`."""
        return self._ref
