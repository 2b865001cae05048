"""What may come back in an answer: the values of its request and of its shopper's record, however they are spelt.

No value is taken from the texts in advance. One found in an answer is looked for in them, so that what a detector
missed in the request is known all the same, and an answer without personal data costs nothing here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import msgspec

from firedoor.core.detect.disguise.undone import views

MAX_FOLDED = 262_144
"""Code points of the known texts that are also read without their spelling: twice the longest request of a shop, in a
few milliseconds. What comes behind them is known only as it is written."""
MAX_UNDISGUISED = 32_768
"""Code points of them, the latest messages first, that are read with disguises undone: 80 ms at the very worst."""
NAMES = frozenset({"PERSON", "STREET_ADDRESS"})

_MIN_VALUE = 3  # letters and digits: a shorter one tells nobody anything
_ANYWHERE = 6  # characters of a value that do not stand inside another one by chance
_MIN_LOCAL = 7  # digits of a phone number without its country code and the 0 before it
_COUNTRY_CODE = 3  # digits of the longest
_MIN_ID_DIGITS = 4

_NO_WORD = re.compile(r"[\W_]+")
_WORDS = re.compile(r"[^\W_]+")
_NO_DIGIT = re.compile(r"\D+")
_NUMBER = re.compile(r"\d+")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[^u])")
_HEADED = frozenset({"TAX_ID", "IBAN", "NATIONAL_ID"})
_NUMBERED = frozenset({"ORDER_ID", "ACCOUNT_ID"})
_HEADS_TOLD = frozenset({"CREDIT_CARD", "IBAN"})
_WRITTEN = frozenset({"EMAIL", "USERNAME", "URL", "SECRET", "IP"})


class Known:
    """`texts` gives everything that came with the exchange; it is asked once, when the first value is."""

    def __init__(self, texts: Callable[[], Iterable[str]]) -> None:
        self._texts = texts

    def holds(self, label: str, value: str) -> bool:
        """Whether `value`, found as `label`, came with the exchange: in another spelling, or as a part of a value."""
        if label in NAMES:
            return _words(value) <= self._known_words
        if _stands_in(value, self._raw):
            return True
        spellings = _spellings(value)
        if any(_holds(label, spelling, self._folded, self._compact) for spelling in spellings):
            return True
        if label == "DATE_OF_BIRTH":
            return self._holds_date(value)
        return any(_holds(label, spelling, *text) for spelling in spellings for text in self._undisguised)

    def _holds_date(self, date: str) -> bool:
        """Its year and one more number: a month may be a word in one place and a number in the other."""
        numbers = [number.lstrip("0") for number in _NUMBER.findall(_folded(date))]
        known = [number in self._known_numbers for number in numbers]
        years = [found for number, found in zip(numbers, known, strict=True) if len(number) == 4]
        return all(years) and sum(known) > len(years) if years else all(known)

    @cached_property
    def _raw(self) -> str:
        return "\n".join(self._texts())

    @cached_property
    def _folded(self) -> str:
        return _folded(self._raw[:MAX_FOLDED])

    @cached_property
    def _compact(self) -> str:
        return _compact(self._folded)

    @cached_property
    def _known_words(self) -> frozenset[str]:
        return _words(self._raw[:MAX_FOLDED])

    @cached_property
    def _known_numbers(self) -> frozenset[str]:
        return frozenset(number.lstrip("0") for number in _NUMBER.findall(self._folded))

    @cached_property
    def _undisguised(self) -> tuple[tuple[str, str], ...]:
        folded = [_folded(view.text) for view in views(self._raw[:MAX_UNDISGUISED])]
        return tuple((text, _compact(text)) for text in folded)


def texts_of(value: Any) -> Iterator[str]:
    """Every string, key and number inside `value`: a decoded request, a record of the shopper, lists of such.

    Escapes are undone beside, for strings that are JSON. Images and files are left out. Nesting must be bounded, as
    `chat.parse_chat` does.
    """
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            if one and not one.startswith("data:"):
                yield one
                if "\\" in one:
                    yield _ESCAPE.sub(_unescaped, one)
        elif isinstance(one, dict):
            todo += one
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one
        elif isinstance(one, msgspec.Struct):
            todo += [getattr(one, name) for name in one.__struct_fields__]
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield str(one)


def _unescaped(escape: re.Match[str]) -> str:
    try:
        return str(msgspec.json.decode(f'"{escape[0]}"'.encode()))
    except (msgspec.DecodeError, UnicodeError):
        return " "


def _holds(label: str, value: str, text: str, compact_text: str) -> bool:
    """Whether folded `value` is in folded `text`, which without signs is `compact_text`."""
    if label in _WRITTEN:
        return _stands_in(value, text)
    compact = _compact(value.replace("(0)", "") if label == "PHONE" else value)
    if len(compact) < _MIN_VALUE or _part_of(label, compact, compact_text):
        return True
    if label == "PHONE":
        digits = _NO_DIGIT.sub("", compact).lstrip("0")
        shorter = (digits[skipped:] for skipped in range(_COUNTRY_CODE + 1))
        return any(len(number) >= _MIN_LOCAL and number in compact_text for number in shorter)
    if label in _HEADED and compact[:2].isalpha():
        return _part_of(label, compact[2:], compact_text)
    if label in _NUMBERED:
        digits = _NO_DIGIT.sub("", compact)
        return len(digits) >= _MIN_ID_DIGITS and any(first and last for first, last in _ends(digits, compact_text))
    return False


def _part_of(label: str, value: str, text: str) -> bool:
    """Whether `text` has `value`. A short number must be the last digits of one, as in ``ending in 1234``.

    Of cards and bank accounts the first digits are told as well, of an order nothing but the whole number.
    """
    if len(value) >= _ANYWHERE or not value.isdigit():
        return value in text
    if label == "ORDER_ID":
        return any(first and last for first, last in _ends(value, text))
    return any(last or (first and label in _HEADS_TOLD) for first, last in _ends(value, text))


def _ends(digits: str, text: str) -> Iterator[tuple[bool, bool]]:
    """Wherever `digits` stand in `text`: whether they are the first of their number, and the last."""
    at = text.find(digits)
    while at >= 0:
        end = at + len(digits)
        yield not (at and text[at - 1].isdigit()), not text[end : end + 1].isdigit()
        at = text.find(digits, at + 1)


def _stands_in(value: str, text: str) -> bool:
    """Whether `text` has `value` as a word of its own."""
    at = text.find(value)
    while at >= 0:
        end = at + len(value)
        if not (at and _is_of_a_word(text[at - 1], "_.+-")) and not _is_of_a_word(text[end : end + 1], "_-"):
            return True
        at = text.find(value, at + 1)
    return False


def _is_of_a_word(character: str, signs: str) -> bool:
    return character.isalnum() or (character != "" and character in signs)


def _spellings(value: str) -> list[str]:
    """`value` folded, also with its disguises undone."""
    return [_folded(value), *(_folded(view.text) for view in views(value))]


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORDS.findall(_folded(text)))


def _folded(text: str) -> str:
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def _compact(folded: str) -> str:
    return _NO_WORD.sub("", folded)
