"""How people and attackers hide structured values (addresses, numbers, ids), undone into views of the text.

A view is the text as it reads once some disguises are undone, with a way back to the code points of the original. Each
view has everything undone that those before it have, so that disguises may be combined:

- ``plain``: characters nobody sees, compatibility forms, letters of other scripts that look Latin, ``%40``;
- ``spoken``: letters and digits spelt singly or grouped with odd signs (``4111_1111``), ``jan at web dot de``, digits
  in words (en de fr es it nl pl pt);
- ``joined``: values in pieces over lines, turns of a chat or fillers;
- ``ocr``: the letters that a scanner reads for digits (``O l I S B Z``) within numbers.

Whether a view is needed is asked first and costs some microseconds; an ordinary text has none. Everything is linear in
the text: each pattern has bounded look-arounds and bounded repeats inside repeats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.disguise import addresses, characters, joined, spoken
from firedoor.core.detect.disguise.views import Edit, View

MAX_VIEWS = 4
__all__ = ["MAX_VIEWS", "Edit", "View", "views"]

_BETWEEN_WORDS = ".,-/|_:;*~()"
_SPACES = str.maketrans(_BETWEEN_WORDS, " " * len(_BETWEEN_WORDS))
"""Besides white space. Replacing each of them takes a tenth of the time that a pattern for words takes."""

# --- letters read for digits ---
_READ_AS = str.maketrans("OoQDlISBZ", "000011582")
_LETTERS = "OoQDlISBZ"
_MISREAD = re.compile(rf"[0-9](?:[{_LETTERS}]|(?<=[{_LETTERS}][0-9]))")
# The letters of a country or of a series stay.
_RUN = re.compile(
    rf"(?<![^\W_])(?P<series>[A-Z]{{2}}(?=[0-9OolI]{{2}})|[A-Z]{{0,3}}?)"
    rf"(?P<run>[0-9{_LETTERS}](?:[ ./-]?[0-9{_LETTERS}]){{5,40}})(?![^\W_])"
)
_GROUP = re.compile(rf"[0-9{_LETTERS}]+")
_TELLING = frozenset("OolI")
_MIN_DIGITS, _MIN_SHARE = 3, 0.4
_MIN_READ = 7


def views(text: str) -> Iterator[View]:
    """The views of `text` worth a search, at most `MAX_VIEWS`; none for an ordinary text."""
    view = View("", text)
    for step in (_plain, _spoken, _joined, _read):
        changed = step(view)
        if changed.text != view.text:
            view = changed
            yield view


def _plain(view: View) -> View:
    if not characters.dressed(view.text):
        return view
    view = view.respelt("plain", characters.plain(view.text))
    view = view.rewritten("plain", characters.undressed(view.text))
    return view.respelt("plain", characters.latin(view.text))


def _spoken(view: View) -> View:
    text, said = _words(view.text)
    if spoken.sounds_like_a_number(said):
        view = view.rewritten("spoken", spoken.ids(view.text))
        text, said = _words(view.text)
    if _spelt(said) and joined.spelt_singly(view.text):
        view = view.rewritten("spoken", joined.closed_up(view.text))
        text, said = _words(view.text)
    if joined.oddly_grouped(view.text):
        view = view.rewritten("spoken", joined.grouped(view.text))
    if spoken.sounds_like_an_address(text, frozenset(said)):
        view = view.rewritten("spoken", spoken.addresses(view.text))
    if spoken.sounds_like_a_number(said):
        view = view.rewritten("spoken", spoken.numbers(view.text))
    return view


def _words(text: str) -> tuple[str, list[str]]:
    """`text` without case, and its words."""
    folded = spaced = text.casefold()
    if folded.isascii():  # where the interpreter has a fast way
        return folded, folded.translate(_SPACES).split()
    for sign in _BETWEEN_WORDS:
        spaced = spaced.replace(sign, " ")
    return folded, spaced.split()


def _spelt(said: list[str]) -> bool:
    """Whether three words in a row have one character each."""
    lengths = [*map(len, said)]
    return lengths.count(1) >= 3 and b"\1\1\1" in bytes([length == 1 for length in lengths])


def _joined(view: View) -> View:
    if addresses.broken_at_a_sign(view.text):
        view = view.rewritten("joined", addresses.mended(view.text))
    if _has_digits(view.text) and joined.broken_off(view.text):
        view = view.rewritten("joined", joined.rejoined(view.text))
    return view


def _read(view: View) -> View:
    if _has_digits(view.text) and _MISREAD.search(view.text):
        view = view.respelt("ocr", _RUN.sub(_as_digits, view.text))
    return view


def _has_digits(text: str) -> bool:
    # A pattern for a digit takes twenty times as long.
    return (
        ("0" in text or "1" in text or "2" in text or "3" in text or "4" in text)
        or ("5" in text or "6" in text or "7" in text or "8" in text or "9" in text)
    )  # fmt: skip


def _as_digits(match: re.Match[str]) -> str:
    """The run with digits for the letters, if enough of it are digits already."""
    run = match["run"]
    written = [c for c in run if c.isalnum()]
    digits = sum(map(str.isdigit, written))
    if digits < _MIN_DIGITS or digits < _MIN_SHARE * len(written) or len(match[0]) < _MIN_READ:
        return match[0]
    return match["series"] + _GROUP.sub(_group_as_digits, run)


def _group_as_digits(match: re.Match[str]) -> str:
    group = match[0]
    if _TELLING.issuperset(group) or any(map(str.isdigit, group)):
        return group.translate(_READ_AS)
    return group  # the letters of a bank
