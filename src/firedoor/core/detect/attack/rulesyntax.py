r"""How a pattern of the rule file is read: a small dialect that every engine understands in the same way.

Letters and signs stand for themselves, folded (`folded`). A space is one to four spaces, quotes or other light signs;
``...`` is some words of the same sentence, or letters where no spaces are around it; ``*`` behind a letter is the rest
of the word; ``{name}`` is one of a word list. Besides, of regular expressions: ``(a|b)``, ``?``, ``{2,5}``,
``[a-z0-9]``, ``\d``, ``\w``, ``\n``, ``\b``, ``^`` (start of a line) and ``\`` before a sign. Nothing is unbounded and
nothing looks around: matching is linear.

A pattern becomes an expression for RE2, and the words that a text must have for it to match.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from firedoor.core.detect.attack.rulefold import folded
from firedoor.core.detect.attack.rulewords import EDGE, Pattern, Piece, either, literal, made_of

MAX_WIDTH = 800
"""Bytes a pattern may take: what says one thing stands close together."""
MAX_REPEAT = 120
"""Times a part may come again: automata grow with it."""
MAX_DEPTH = 8
"""Brackets in brackets: more than anybody reads."""

_LIGHT = b" \\t\\r\\n,;:'\"*_`()/-"
_GAP, _WIDE_GAP = 48, 96  # bytes: some eight words, of letters of one byte and of two or three
_REST = b"[a-z\\x80-\\xff]{0,24}"
_CLASS = re.compile(r"\[\^?(?:[^\]\[\\]|\\[\\\]\[^n-])+\]")
_RUN = re.compile(r"[a-z0-9]{2,}(?![?{])")
"""Letters that stand for themselves and are read at once; the last may be repeated, so it is left out then."""
_REPEAT = re.compile(r"\{(\d{1,3})(?:,(\d{1,3}))?\}")
_NAME = re.compile(r"\{([a-z][a-z0-9_.-]*)\}")
_GOES_ON = re.compile(r"[(\[]?[a-z0-9]")
_SENTENCE_SIGNS = frozenset(".!?")
_BARE = frozenset("<>#=/-:,;'\"!&%@~`_")

_ONE_SPACE = frozenset([b" "])
_SPACE = Piece(b"[" + _LIGHT + b"]{1,4}", 4, _ONE_SPACE, whole=True, first=True, space=True)
_SPACE_AS_IS = Piece(_SPACE.expression, _SPACE.most)
_ESCAPES = {
    "d": Piece(b"[0-9]", 1, opens=True, closes=True),
    "w": Piece(b"[a-z0-9_\\x80-\\xff]", 1, opens=True, closes=True),
    "n": Piece(b"\\n", 1),
    "b": EDGE,
}


class PatternInvalid(ValueError):
    """A pattern cannot be used; the text says why."""


def word_list(source: str, words: Mapping[str, Piece]) -> Piece:
    """One of the words in `source`, with ``|`` between. Raises `PatternInvalid`."""
    return either(_read(source, words, latin=True))


def patterns(source: str, words: Mapping[str, Piece], *, latin: bool) -> list[Pattern]:
    """What is written as `source`, one for each alternative that it is made of.

    `latin`: in letters that fold to ASCII; it begins and ends with whole words. Raises `PatternInvalid`.
    """
    made = []
    for pieces in _read(source, words, latin=latin):
        if sum(piece.most for piece in pieces) > MAX_WIDTH:
            raise PatternInvalid(f"it may match more than {MAX_WIDTH} bytes")
        pattern = made_of(pieces, latin=latin)
        if not pattern.parts:
            raise PatternInvalid("it has no letters that every match has")
        made.append(pattern)
    return made


def _read(source: str, words: Mapping[str, Piece], *, latin: bool) -> list[list[Piece]]:
    reader = _Reader(folded(source.strip()), words, latin=latin)
    made = reader.alternatives()
    if reader.at < len(reader.source):
        raise PatternInvalid("a closing bracket has no opening one")
    return made


class _Reader:
    def __init__(self, source: str, words: Mapping[str, Piece], *, latin: bool) -> None:
        self.source = source
        self.at = 0
        self._words = words
        self._latin = latin
        self._gap = _GAP if latin else _WIDE_GAP
        self._space = _SPACE if latin else _SPACE_AS_IS
        self._depth = 0

    def alternatives(self) -> list[list[Piece]]:
        parts = [self._sequence()]
        while self.source.startswith("|", self.at):
            self.at += 1
            parts.append(self._sequence())
        return parts

    def _sequence(self) -> list[Piece]:
        made: list[Piece] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            if self.source.startswith(" ... ", self.at):
                self.at += 5
                words = b"(?:[^.!?]{0,%d}[%s])?" % (self._gap, _LIGHT)
                made += (self._space, Piece(words, self._gap + 1, empty=True, space=True))
            else:
                made.append(self._repeated(self._atom()))
        return made

    def _repeated(self, atom: Piece) -> Piece:
        if self.source.startswith("?", self.at):
            self.at += 1
            literals = atom.literals | {b""} if atom.whole else frozenset[bytes]()
            return atom._replace(
                expression=b"(?:" + atom.expression + b")?", literals=literals, first=atom.whole, empty=True
            )
        times = _REPEAT.match(self.source, self.at)
        if times is None:
            return atom
        least, most = int(times[1]), int(times[2] or times[1])
        if not 1 <= most <= MAX_REPEAT or least > most:
            raise PatternInvalid(f"a part may come up to {MAX_REPEAT} times, not {times[0]}")
        self.at = times.end()
        return Piece(
            b"(?:" + atom.expression + b"){%d,%d}" % (least, most),
            atom.most * most,
            empty=atom.empty or least == 0,
            opens=atom.opens,
            closes=atom.closes,
            space=atom.space,
        )

    def _atom(self) -> Piece:
        source, at = self.source, self.at
        if source.startswith("...", at):
            self.at += 3
            return Piece(b"[^.!?]{0,%d}" % self._gap, self._gap, empty=True)
        run = _RUN.match(source, at)
        if run is not None:
            self.at = run.end()
            return literal(run[0], latin=self._latin)
        sign = source[at]
        self.at += 1
        if sign == " ":
            return self._space
        if sign == "*" and at and source[at - 1].isalpha():
            return Piece(_REST, 24, empty=True, opens=True, closes=True)
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._class(at)
        if sign == "{":
            return self._word_list(at)
        if sign == "\\":
            return self._escape()
        if sign == "^":
            return Piece(b"^", 0, empty=True)
        self._check_sentence(sign)
        if not sign.isascii() or sign.isalnum() or sign in _BARE:
            return literal(sign, latin=self._latin)
        raise PatternInvalid(f"{sign} needs a backslash before it")

    def _check_sentence(self, sign: str) -> None:
        """Patterns in Latin letters are looked for sentence by sentence."""
        if self._latin and sign in ".!?" and not _GOES_ON.match(self.source, self.at):
            raise PatternInvalid(f"a sentence may end at {sign}: letters must follow, or the language be any")

    def _group(self) -> Piece:
        if self.source.startswith("?", self.at):
            raise PatternInvalid("brackets group, and have no other use")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PatternInvalid(f"brackets are nested more than {MAX_DEPTH} deep")
        inner = self.alternatives()
        if not self.source.startswith(")", self.at):
            raise PatternInvalid("an opening bracket has no closing one")
        self.at += 1
        self._depth -= 1
        return either(inner)

    def _class(self, at: int) -> Piece:
        found = _CLASS.match(self.source, at)
        if found is None or not found[0].isascii():
            raise PatternInvalid("a class is ASCII signs in square brackets; write other letters as (a|b)")
        self.at = found.end()
        if self._latin and (found[0][1] == "^" or not _SENTENCE_SIGNS.isdisjoint(found[0])):
            raise PatternInvalid("a sentence may end in this class: the language must be any")
        letters = all(c.isalnum() or c == "-" for c in found[0][1:-1])
        return Piece(found[0].encode(), 1, opens=letters, closes=letters)

    def _word_list(self, at: int) -> Piece:
        if not self._latin:
            raise PatternInvalid("word lists are for languages in Latin letters")
        found = _NAME.match(self.source, at)
        if found is None or found[1] not in self._words:
            raise PatternInvalid(f"there is no word list {found[0] if found else 'of this name'}")
        self.at = found.end()
        return self._words[found[1]]

    def _escape(self) -> Piece:
        if self.at >= len(self.source):
            raise PatternInvalid("a backslash stands at the end")
        sign = self.source[self.at]
        self.at += 1
        if sign == "b" and not self._latin:
            return Piece(EDGE.expression, 0, empty=True)
        if sign in _ESCAPES:
            return _ESCAPES[sign]
        if sign.isalnum() or not sign.isascii():
            raise PatternInvalid(f"\\{sign} means nothing here")
        self._check_sentence(sign)
        return literal(sign, latin=self._latin)
