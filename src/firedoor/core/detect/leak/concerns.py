"""Which ways to read an answer its next piece concerns: for plain words none, and that is said by one look at it.

Of a hundred pieces two have to do with a code, a key or a symbol for a letter. Here is told which, from the piece and
the unfinished end of what came before it: a word with digits in it, a number, the beginning of an escape. Such an end
is held back and looked at again with the next piece.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from firedoor.core.detect.leak.encoded import LEAST_RUN, RUN, TELLING, reads
from firedoor.core.detect.leak.escapes import ESCAPES, Escapes
from firedoor.core.detect.leak.keyforms import BEGINNINGS, BREAKS, PREFIXES
from firedoor.core.detect.leak.privatekeys import ARMOUR_GROWS
from firedoor.core.detect.leak.symbols import SYMBOLS, Symbols

SYMBOL: Final = 1
ESCAPE: Final = 2
CODE: Final = 4
SECRET: Final = 8
SIGN: Final = 16
"""What each bit of `Concern.readings` stands for; `SIGN`: there may be a key, if a word for one stands before."""

START: Final = " "
"""The end of what is before the first piece."""
MAX_REMEMBERED = 8192
"""Pieces, of at most `_SHORT` characters with what stands before: about 2 MiB."""
_SHORT = 20
_MAX_END = 48
"""Characters of an unfinished word that wait; longer ones are read as they grow."""
_IN_A_WORD = "z"
"""Instead of a longer plain word, which is not kept."""

# Lower case, names, what stands between words, short words of capitals and digits, prices and other signs that stand
# where they are no letters; but no groups of digits as on a card.
_BETWEEN_WORDS = r"\x00-\x20,;?\"()|!:"
_EASY = re.compile(
    r"(?:[a-z ,.;?'\n]++|(?<=[ \n])[A-Z](?=[a-z ,.'\n])"
    rf"|(?<![a-z'.])(?=[^{_BETWEEN_WORDS}]{{1,{LEAST_RUN - 1}}}(?![^{_BETWEEN_WORDS}]))"
    r"(?!--|[0-9]{4}(?:[ .-][0-9]|[ .-]?\Z)|[0-9] (?:[0-9] |\Z))"
    r"(?:[0-9A-Za-z\u00c0-\u024f.'\u2019/*#-]++|[€$£](?=[0-9]{2})|(?<=[0-9])[€$£%](?![^\W_]))++"
    r"|[^\W\d_a-zA-Z]|[\"\u2026)]|(?<=[ \n])[|](?=[ \n])|[!:](?=[ \n*]|\Z)"
    r"|(?<=[ \n])(?:\((?=[^\W_]{1,24}[ .,)\n])|&(?= ))|%(?=[ .,\n])|[€$£]\Z"
    r"|(?<=[ \n])[€$£](?![^\W_])|(?<=[a-z])[-/](?=[a-z])|[*#])*+"
)
_ODD = re.compile("[^a-z ,.;?'\n]")
_WORD = re.compile(f"[^{BREAKS}]+")
_LONG = re.compile(rf"[^{BREAKS}]{{{LEAST_RUN},}}")
_GAP = r"[ \-.\u200b-\u200d\u2060\ufeff]{0,2}"
_LONG_NUMBER = re.compile(rf"[0-9](?:{_GAP}[0-9]){{12}}")
_NUMBER = re.compile(rf"[0-9](?:{_GAP}[0-9]){{0,12}}{_GAP}\Z")
_JOINT_BEFORE = re.compile(r".*[^A-Za-z0-9_-](?=[A-Za-z0-9_-]*\Z)")
_BETWEEN = frozenset(' \n,;?"')
_MAY_BE_A_LETTER = frozenset("!€$£")
_IN_CODES = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+/-_")
_LEAST_HELD = 4
"""Digits: no card is printed in groups that begin with fewer, except one by one."""

# Kinds of odd characters.
_DIGIT, _CAPITAL, _SYMBOL, _ESCAPE, _SIGN, _HYPHEN, _JOINT, _OTHER_DIGIT = (1 << n for n in range(8))


class _Kinds(dict[str, int]):
    """Kinds of ASCII characters, and of others that are no letters."""

    def __missing__(self, character: str) -> int:
        kind = _OTHER_DIGIT * character.isdecimal()
        kind |= _SYMBOL * (SYMBOLS.match(character) is not None) | _ESCAPE * (ESCAPES.match(character) is not None)
        if character.isascii():
            self[character] = kind
        return kind


_KINDS = _Kinds(dict.fromkeys("0123456789", _DIGIT))
_KINDS.update(dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", _CAPITAL))
_KINDS.update({":": _SIGN, "=": _SIGN, "-": _HYPHEN | _JOINT, "_": _JOINT, "$": _SYMBOL | _JOINT})


class Concern(NamedTuple):
    """`readings` (bits) are to read all they have not. `end` is looked at again before the next piece; its last `hold`
    characters are held back. `open`: something there may yet be respelt, and so what was held before it stays held.
    """

    readings: int
    end: str
    hold: int = 0
    open: bool = False


_AFTER_SPACE, _ANNOUNCED = Concern(0, " "), Concern(SIGN, " ")
_SYMBOLS, _ESCAPES = Symbols(), Escapes()
_REMEMBERED: dict[str, Concern] = {}
"""Of short pieces of words, prices and the like, which come again and again; nothing that may be a code or a key."""


def concern(text: str) -> Concern:
    """Whom a piece concerns; in `text` the `end` of the last concern stands before it."""
    easy = _REMEMBERED.get(text)
    if easy is None and _EASY.fullmatch(text, 1):
        easy = _easy_end(text)
        if easy is not None and len(text) <= _SHORT:
            if len(_REMEMBERED) >= MAX_REMEMBERED:
                _REMEMBERED.clear()
            _REMEMBERED[text] = easy
    return _hard(text) if easy is None else easy


def _hard(text: str) -> Concern:
    kinds = 0
    for character in _ODD.findall(text, 1):
        kinds |= _KINDS[character]
    readings, decided = 0, len(text)
    if kinds & _SYMBOL:
        edits, decided = _SYMBOLS.read(text, 1, final=False)
        readings = SYMBOL if any(edit.sure for edit in edits) else 0
    if kinds & _ESCAPE:
        edits, upto = _ESCAPES.read(text, 1, final=False)
        decided = min(decided, upto)
        readings |= ESCAPE if edits else 0
    if kinds & (_DIGIT | _CAPITAL | _JOINT):
        readings |= _in_words(text)
    if (kinds & _DIGIT and _LONG_NUMBER.search(text, 1)) or kinds & _OTHER_DIGIT:
        readings |= SECRET
    if kinds & _SIGN:
        readings |= SECRET if "://" in text else SIGN
    return _end(text, readings, decided, kinds)


def _easy_end(text: str) -> Concern | None:
    last = text[-1]
    sign = SIGN if ":" in text else 0
    if last == ":":
        return Concern(SIGN, text[-2:])
    if last in _BETWEEN:
        return _ANNOUNCED if sign else _AFTER_SPACE
    if last.islower():
        end = text[text.rfind(" ") + 1 :]
        if end.isalpha() and end[1:].islower() and end not in BEGINNINGS and len(end) < len(text) - 1:
            return Concern(sign, " " + end)
    if last in _MAY_BE_A_LETTER:
        return None if text[-2] in _IN_CODES else Concern(sign, text[-2:], 1, open=True)
    word = _WORD.match(text[:0:-1])
    if word is None:
        return Concern(sign, " ")
    start = len(text) - word.end()
    written = text[start:]
    telling = TELLING.search(text, start)
    if telling is None and not ("-" in written and PREFIXES.search(written)) and written not in BEGINNINGS:
        return Concern(sign, _plain_end(text, start))
    if last == "-":
        return None
    return Concern(sign, text[start - 1 :], len(text) - (start if telling is None else telling.start()))


def _in_words(text: str) -> int:
    """Whether a whole word is long enough to be a code or a key, and looks like one."""
    readings = 0
    rest = _WORD.match(text, 1) if text[0] == _IN_A_WORD else None
    if rest is not None and rest.end() < len(text) and TELLING.search(text, 1, rest.end()):
        readings = CODE | SIGN  # its beginning is not known
    for word in _LONG.finditer(text, 1):
        start, end = word.span()
        if not TELLING.search(text, start, end):
            continue
        if end - start >= _MAX_END:
            return CODE | SECRET
        if end < len(text):  # else it may go on
            readings |= SECRET if PREFIXES.search(text, start, end) else SIGN
            if any(map(reads, RUN.findall(text, start, end))):
                readings |= CODE
    return readings


def _end(text: str, readings: int, decided: int, kinds: int) -> Concern:
    """What is unfinished at the end of `text`."""
    length = len(text)
    keep, hold = decided, length
    word = _WORD.match(text[: -_MAX_END - 1 : -1] if length > _MAX_END else text[:0:-1])
    start = length - word.end() if word is not None else length
    if 0 < length - start < _MAX_END:
        for found in _unfinished(text, start, kinds):
            keep, hold = min(keep, start), min(hold, found.start())
        joint = _JOINT_BEFORE.search(text, start)
        if text[(begins := start if joint is None else joint.end()) :] in BEGINNINGS:
            keep, hold = min(keep, start), min(hold, begins)
    if kinds & _DIGIT and (number := _NUMBER.search(text, max(1, length - _MAX_END))) is not None:
        keep = min(keep, number.start())
        if sum(map(str.isdigit, number[0])) >= _LEAST_HELD or max(map(len, number[0].split())) == 1:
            hold = min(hold, number.start())
    if kinds & _HYPHEN and (armour := ARMOUR_GROWS.search(text, max(1, length - 16))) is not None:
        keep, hold = min(keep, armour.start()), min(hold, armour.start())
        readings |= SECRET if "B" in armour[0] else 0
    if text.endswith((":", ":/")):
        keep = min(keep, text.rindex(":"))
    if keep < length:
        return Concern(readings, text[keep - 1 :], length - hold, decided < length)
    return Concern(readings, _plain_end(text, start))


def _plain_end(text: str, start: int) -> str:
    """What is kept of a plain word from `start` on, or of none."""
    if start == len(text):
        return " "
    if len(text) - start >= _MAX_END or (text[0] == _IN_A_WORD and start == 1):
        return _IN_A_WORD
    return text[start - 1 :]


def plain_word(end: str) -> str | None:
    """The plain word that `Concern.end` is, if it is one and nothing of it is held; empty behind a space."""
    word = end[1:]
    return word if end[0] == " " and (not word or word.isalpha()) else None


def _unfinished(text: str, start: int, kinds: int) -> list[re.Match[str]]:
    """What the word at `start` has of a code or a key."""
    found = [TELLING.search(text, start)] if kinds & (_DIGIT | _CAPITAL) else []
    if kinds & (_JOINT | _DIGIT | _CAPITAL):
        found.append(PREFIXES.search(text, start))
    return [match for match in found if match is not None]
