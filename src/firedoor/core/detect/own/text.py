"""A text as its letters and digits only, folded, each of which knows where it stands: how own values are looked for.

Spaces, punctuation, case, accents, look-alike letters and characters nobody sees make no difference to what is found;
what stands between two letters is looked at afterwards, where a value was found. Finding is `str.find` for each value:
for the few values of one shopper that is faster than any automaton, which would have to be built for each request.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import compress, count

from firedoor.core.detect.fold import Folding, letters

_ASCII = {code: chr(code).lower() if chr(code).isalnum() else None for code in range(128)}
_KEPT = bytes(chr(code).isalnum() for code in range(128)) + bytes(128)
# Soft hyphen, marks that combine with a letter, zero-width and direction characters, variation selectors, tags.
_UNSEEN = re.compile(
    "[\u00ad\u0300-\u036f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]+"
)


class OwnFolding(Folding):
    """Letters as they are, digits of every script as 0 to 9: a shopper's numbers are told from their names."""

    folded = staticmethod(letters)

    def __missing__(self, character: str) -> str:
        folded = super().__missing__(character)
        if not folded.isascii() and folded.isdecimal():
            folded = self[character] = "".join(str(unicodedata.decimal(c)) for c in folded)
        return folded

    def text(self, text: str) -> str:
        """All of `text`, folded."""
        return text.translate(_ASCII) if text.isascii() else "".join(map(self.__getitem__, text))


class Letters:
    """The letters and digits of `text`. Places are indexes into `folded` unless they are said to be of the text."""

    def __init__(self, text: str, folding: OwnFolding) -> None:
        self.text = text
        self.folded = folding.text(text)
        self._folding = folding

    @cached_property
    def offsets(self) -> list[int]:
        """Where in the text each folded character stands. Made only for a text in which something was found."""
        if self.text.isascii():
            return list(compress(count(), self.text.encode().translate(_KEPT)))
        folding = self._folding
        return [place for place, character in enumerate(self.text) for _ in folding[character]]

    def places(self, needle: str) -> Iterator[int]:
        """Where `needle` (folded, not empty) begins, overlapping ones too."""
        at = self.folded.find(needle)
        while at >= 0:
            yield at
            at = self.folded.find(needle, at + 1)

    def ranges(self, needle: str, end_of: Callable[[int], int]) -> Iterator[tuple[int, int]]:
        """Start and end of the places of `needle` for which `end_of` gives an end and not 0, none within another."""
        done = 0
        for at in self.places(needle):
            if at >= done and (end := end_of(at)):
                done = end
                yield at, end

    def gap(self, place: int) -> int:
        """How many visible characters stand between the one at `place` and the one before it; a text's edge is one."""
        offsets = self.offsets
        if not 0 < place < len(offsets):
            return 1
        before, here = offsets[place - 1], offsets[place]
        if here - before <= 1:
            return 0
        return len(self.between(place, place))

    def between(self, end: int, start: int) -> str:
        """What is seen between the character before `end` and the one at `start`."""
        between = self.text[self.offsets[end - 1] + 1 : self.offsets[start]]
        return between if between.isascii() else _UNSEEN.sub("", between)

    def begins_word(self, place: int) -> bool:
        """Whether no letter is glued to the one at `place`; ``janKowalski`` has two words."""
        if self.gap(place) or not self.folded[place - 1].isalpha():
            return True
        return self.text[self.offsets[place]].isupper() and self.text[self.offsets[place - 1]].islower()

    def tail(self, place: int, limit: int) -> str | None:
        """The letters glued to what ends before `place`; None when there are more than `limit`."""
        end = place
        while end < len(self.folded) and self.folded[end].isalpha() and not self.begins_word(end):
            end += 1
            if end - place > limit:
                return None
        return self.folded[place:end]

    def alone(self, start: int, end: int) -> bool:
        """Whether no letter and no digit is glued to either side."""
        return bool(self.gap(start) and self.gap(end))

    def between_digits(self, start: int, end: int) -> bool:
        """Whether a digit is glued to either side."""
        before = start > 0 and self.folded[start - 1].isdigit() and not self.gap(start)
        return before or (end < len(self.folded) and self.folded[end].isdigit() and not self.gap(end))

    def together(self, start: int, end: int, most: int, joints: frozenset[int] = frozenset()) -> bool:
        """Whether `start` to `end` reads as one: at most `most` characters between two, and three at `joints`.

        Also when all of it is spaced out: ``A n n a``.
        """
        where = self.offsets[start:end]
        length = end - start
        if where[-1] - where[0] == length - 1:
            return True
        tight, spaced = True, length > 3
        for number in range(1, length):
            gap = self.gap(start + number) if where[number] - where[number - 1] > 1 else 0
            tight = tight and gap <= (3 if number in joints else most)
            spaced = spaced and 1 <= gap <= 3
            if not tight and not spaced:
                return False
        return True

    def spread(self, start: int, end: int) -> int:
        """How many visible characters that are no letters and no digits stand between `start` and `end`."""
        return sum(map(self.gap, range(start + 1, end)))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Code points of the text from the folded character at `start` to the one before `end`."""
        return self.offsets[start], self.offsets[end - 1] + 1
