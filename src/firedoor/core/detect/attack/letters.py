"""The plain view: characters as they are meant, without those that nobody sees.

Compatibility forms (NFKC, UAX #15), look-alikes of other scripts within words that mix scripts or in a text that is
otherwise Latin, small capitals and letters in circles and squares, zero-width, direction and variation marks, marks
heaped on a letter. A text that is Cyrillic, Greek, Arabic, Thai … keeps its letters. Case is kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from firedoor.core.detect.disguise.views import Edit, View
from firedoor.core.detect.fold import MAX_KEPT, seen_as

_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_UNSEEN = (
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef"
)
# A joiner within a word of an Arabic or Indic script belongs to the word.
_JOINER = r"[\u200c\u200d](?<=[\u0600-\u0dff\u1000-\u109f\u1780-\u17ff].)(?=[\u0600-\u0dff\u1000-\u109f\u1780-\u17ff])"
_CHANGED = re.compile(
    rf"(?P<kept>{_JOINER})|[{_UNSEEN}]+|(?P<marked>[^\W\d_]?[{_MARKS}]+)|(?:[^\x00-\x7f\u200c\u200d](?![{_MARKS}]))+"
)
_EDITED = re.compile(f"[{_UNSEEN}{_MARKS}]")
_NEVER = frozenset("\u0e33\u0eb3") | frozenset(map(chr, range(0x3130, 0x3190)))
"""Letters whose compatibility form is another way to write them: Thai and Lao am, the jamo of Korean laughter."""

_WORD = re.compile(r"[^\W_]+")
_ASCII_LETTER = re.compile(r"[A-Za-z]")
_CYRILLIC_LETTER = re.compile(r"[\u0400-\u04ff]")
_LOOKS_CYRILLIC = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")  # noqa: RUF001


class _Memory(dict[str, str]):
    """What each character is written as: one character or more. Bounded; forgets everything when full."""

    def __missing__(self, character: str) -> str:
        if len(self) >= MAX_KEPT:
            self.clear()
        written = self[character] = _form(character)
        return written


_DRAWN = re.compile("[\u0250-\u02af\u1d00-\u1d7f\ua730\ua731\ua7af\u2c7b\u24b6-\u24ff\U0001f130-\U0001f1ff]")
"""Letters that are drawn in a way of their own: phonetic, small capitals, in circles and squares."""
_forms = _Memory()


def _form(character: str) -> str:
    if character in _NEVER or character.isascii():
        return character
    if _EDITED.match(character):
        return ""
    written = unicodedata.normalize("NFKC", character)
    if written == character and _DRAWN.match(character):
        return seen_as(character) or character
    return written


def plain(view: View, name: str) -> View:
    """`view` in plain characters, under `name`."""
    if view.text.isascii():
        return view if view.name == name else view.rewritten(name, ())
    characters = set(view.text)
    forms = {character: form for character in characters if (form := _forms[character]) != character}
    if forms:
        if "\u01eb" in characters and not characters.isdisjoint("\u026a\u0280\u1d00\u1d07"):
            forms["\u01eb"] = "q"  # what is written for the small capital that there is not
        single = {ord(character): form for character, form in forms.items() if len(form) == 1}
        if single:
            view = view.respelt(name, view.text.translate(single))
        if len(single) < len(forms):
            view = view.rewritten(name, _edits(view.text, heaped=_heaped(view.text)))
    alike = _unmixed(view.text)
    if alike != view.text:
        return view.respelt(name, alike)
    return view if view.name == name else view.rewritten(name, ())


def _edits(text: str, *, heaped: bool) -> Iterator[Edit]:
    """What goes, what is several characters, and the marks of a letter that it is not written with in any language."""
    for match in _CHANGED.finditer(text):
        found = match[0]
        if match["kept"]:
            continue
        if match["marked"]:
            written = _MARKED.sub("", found) if heaped else _composed(found)
        else:
            written = "".join([_forms[character] for character in found])
        if written != found:
            yield Edit(*match.span(), written)


def _composed(found: str) -> str:
    """A letter with its marks if Unicode has that as one letter, else the letter."""
    whole = unicodedata.normalize("NFC", found) if len(found) <= _MOST_MARKS + 1 else found
    return whole if len(whole) == 1 and not _MARKED.match(whole) else _MARKED.sub("", found)


_MOST_MARKS = 2
"""On one letter, in Vietnamese."""
_HEAPED = 0.8


def _heaped(text: str) -> bool:
    """Whether there are more marks than any language writes, for its letters."""
    marks = len(_MARKED.findall(text))
    return marks > _MOST_MARKS and marks >= _HEAPED * sum(map(str.isalpha, text))


_MARKED = re.compile(f"[{_MARKS}]")
_MIXING = "\u0250-\u058f\u13a0-\u13ff\u2c80-\u2cff\ua4d0-\ua4ff\u2200-\u22ff"
"""Scripts that have letters that look Latin."""
_MAY_MIX = re.compile(f"[{_MIXING}]")
_MIXED = re.compile(f"[A-Za-z0-9][{_MIXING}]|[{_MIXING}][A-Za-z0-9]")
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())


def _unmixed(text: str) -> str:
    """`text`, as long as before, with one script for each word that mixes them."""
    if not _MAY_MIX.search(text):
        return text
    ascii_letters = len(text.encode("ascii", "ignore").translate(None, _NO_LETTERS))
    wide = len(text) - len(text.encode("latin-1", "ignore"))
    latin = ascii_letters > wide or (ascii_letters >= _LATIN_SHARE * wide and _MIXED.search(text) is not None)
    if not latin and not _MIXED.search(text):
        return text
    cyrillic = not latin and len(_CYRILLIC_LETTER.findall(text)) > ascii_letters
    return _WORD.sub(lambda word: _in_one_script(word[0], latin, cyrillic), text)


_LATIN_SHARE = 0.5
"""In a text of mixed words, look-alikes may be up to two letters in three."""


def _in_one_script(word: str, latin_text: bool, cyrillic_text: bool) -> str:
    if word.isascii():
        return word
    if _ASCII_LETTER.search(word):
        if cyrillic_text and len(_CYRILLIC_LETTER.findall(word)) * 2 >= len(word):
            return word.translate(_LOOKS_CYRILLIC)
        return "".join([_alikes[character] or character for character in word])
    if not latin_text:
        return word
    seen = [character if character.isascii() else _alikes[character] for character in word]
    return "".join(seen) if all(seen) else word


class _Alikes(dict[str, str]):
    """The one Latin letter that each character looks like, if any. Bounded as the other memory."""

    def __missing__(self, character: str) -> str:
        if len(self) >= MAX_KEPT:
            self.clear()
        seen = self[character] = seen_as(character)[:1] if character > "\u024f" else ""
        return seen


_alikes = _Alikes()
