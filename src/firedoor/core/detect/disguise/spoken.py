"""Addresses and numbers written as they are said: ``jan at web dot de``, ``zero six double one …``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.disguise import words
from firedoor.core.detect.disguise.views import Edit

# --- addresses ---

_SURE, _MAYBE, _DOT = map(words.one_of, (words.AT_SURE, words.AT_MAYBE, words.DOTS))
_BRACKETED_AT = rf"\s?[\[({{<]\s?(?:@|a|ad|{_SURE}|{_MAYBE})\s?[\])}}>]\s?|\s?[*_-]at[*_-]\s?"
_BRACKETED_DOT = rf"\s?[\[({{<]\s?(?:\.|{_DOT})\s?[\])}}>]\s?|\s?[*_-](?:dot|punkt)[*_-]\s?"
_AT = re.compile(
    rf"(?P<sure>{_BRACKETED_AT}|\s{{1,3}}(?:{_SURE})\s{{1,3}})|\s{{1,3}}(?:{_MAYBE})\s{{1,3}}|\s{{0,3}}@\s{{0,3}}",
    re.IGNORECASE,
)
_POINT = rf"{_BRACKETED_DOT}|\s{{1,3}}(?:{_DOT})\s{{1,3}}"
_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])??(?![^\W_])|[^\W_][^\W_]{0,62}")
_DOTTED = re.compile(rf"(?P<said>{_POINT})|\.", re.IGNORECASE)
_MARK = rf"\s{{1,3}}(?:{words.one_of(words.MARKS)})\s{{1,3}}"
_NAME_PART = r"[^\W_][\w+.-]{0,40}"
_NAME = re.compile(rf"(?<![\w+.@-]){_NAME_PART}(?:(?:{_POINT}|{_MARK}){_NAME_PART}){{0,4}}\Z", re.IGNORECASE)
_SAID = re.compile(rf"(?P<dot>{_POINT})|{_MARK}", re.IGNORECASE)
_NAME_REACH = 120
_MAX_LABELS = 5
_MAIL = re.compile(r"mail|adres|indirizzo|corre[oi]|write|schreib|conta[ck]t|kontakt", re.IGNORECASE)
_MAIL_REACH = 60
_BRACKET = re.compile(rf"[\[({{<]\s?(?:@|a|ad|at|ät|{_SURE})\s?[\])}}>]", re.IGNORECASE)
_BARE_AT = re.compile(r" [aä]t\s{1,3}[^\W_][\w-]{1,40}\.[a-z]{2}")

_AT_WORDS = words.AT_SURE | words.AT_MAYBE


def sounds_like_an_address(text: str, said: frozenset[str]) -> bool:
    """Whether `text`, which is case-folded and has the words `said`, may have words for the signs of an address."""
    if not said.isdisjoint(words.DOTS) and ("@" in text or not said.isdisjoint(_AT_WORDS)):
        return True
    if not said.isdisjoint(words.AT_SURE) or "-at-" in text or "_at_" in text or "*at*" in text:
        return True
    if ("[" in text or "(" in text or "{" in text or "<" in text) and _BRACKET.search(text):
        return True
    return (" at " in text or " ät " in text) and _BARE_AT.search(text) is not None and _MAIL.search(text) is not None


def addresses(text: str) -> Iterator[Edit]:
    """The signs to write instead of the words, in every run of words that makes an e-mail address."""
    taken = 0
    for at in _AT.finditer(text):
        if at.start() < taken:
            continue
        domain = _domain(text, at.end())
        if domain is None:
            continue
        points, end, said = domain
        name = _NAME.search(text, max(taken, at.start() - _NAME_REACH), at.start())
        if name is None or name[0].casefold() in words.NOBODY:
            continue
        sure = at["sure"] is not None or said or at[0].strip() == "@"
        if not sure and not _MAIL.search(text, max(0, name.start() - _MAIL_REACH), name.start()):
            continue
        for sign in _SAID.finditer(text, name.start(), at.start()):
            yield Edit(*sign.span(), "." if sign["dot"] else words.MARKS[" ".join(sign[0].casefold().split())])
        yield Edit(*at.span(), "@")
        for begin, stop in points:
            yield Edit(begin, stop, ".")
        taken = end


def _domain(text: str, start: int) -> tuple[list[tuple[int, int]], int, bool] | None:
    """The dots and the end of the host name that begins at `start`, and whether one of the dots is said."""
    points: list[tuple[int, int]] = []
    known: tuple[int, int] | None = None
    said, at = False, start
    for _ in range(_MAX_LABELS):
        label = _LABEL.match(text, at)
        if label is None:
            break
        if points and label[0].casefold() in words.TLDS:
            known = (len(points), label.end())
        point = _DOTTED.match(text, label.end())
        if point is None:
            break
        points.append(point.span())
        at = point.end()
    if known is None:
        return None
    points = points[: known[0]]
    said = any(text[begin:stop] != "." for begin, stop in points)
    return points, known[1], said


# --- numbers ---

MIN_SAID = 5
"""Words for digits in a row: fewer are prose ("one of the two")."""
_TOKEN = re.compile(r"[^\W\d_]+|[0-9]{1,4}")
_GAP = re.compile(r"[\s,.;:/|\u2013\u2014-]{1,4}")
_COUNTRY = re.compile(r"(?<![^\W_])(?:[A-Z]{2}|[A-Za-z][ .,-]{1,3}[A-Za-z])[ .,-]{1,3}\Z")
"""The letters of a country before the digits of an account."""
_MIN_ACCOUNT = 13
_LANGUAGES = frozenset(language for values in words.NUMBERS.values() for language in values)


def sounds_like_a_number(said: list[str]) -> bool:
    """Whether enough of the case-folded words `said` are numbers."""
    return sum(map(words.NUMBERS.__contains__, said)) >= MIN_SAID


def numbers(text: str) -> Iterator[Edit]:
    """The digits to write instead of each run of at least `MIN_SAID` words for them, all of one language."""
    run = _Run()
    for match in _TOKEN.finditer(text):
        if not run.takes(match, text):
            yield from run.edit(text)
            run = _Run()
            run.takes(match, text)
    yield from run.edit(text)


MIN_SPELT, MIN_SPELT_DIGITS = 8, 4
"""Single letters and words for digits in a row, and how many of them digits: an id that somebody reads out."""


def ids(text: str) -> Iterator[Edit]:
    """What is meant by each run of single letters and words for digits of one language: ``A B seven eight …``."""
    run: list[re.Match[str]] = []
    languages = _LANGUAGES
    for match in _TOKEN.finditer(text):
        values = _single_digit(match[0])
        if run and not _GAP.fullmatch(text, run[-1].end(), match.start()):
            yield from _id(run, languages)
            run, languages = [], _LANGUAGES
        if values is None or not languages.intersection(values):
            yield from _id(run, languages)
            run, languages = [], _LANGUAGES
        if values is not None:
            run.append(match)
            languages = languages.intersection(values)
    yield from _id(run, languages)


def _single_digit(token: str) -> frozenset[str] | None:
    """The languages in which `token` is one letter or digit; None if it is more."""
    if len(token) == 1 and token.isascii():
        return _LANGUAGES
    values = words.NUMBERS.get(token.casefold(), {})
    return frozenset(language for language, value in values.items() if 0 <= value <= 9) or None


def _id(run: list[re.Match[str]], languages: frozenset[str]) -> Iterator[Edit]:
    said = sum(len(match[0]) > 1 for match in run)
    if len(run) < MIN_SPELT or said < MIN_SPELT_DIGITS or said == len(run):
        return
    language = min(languages)
    signs = [match[0] if len(match[0]) == 1 else str(words.NUMBERS[match[0].casefold()][language]) for match in run]
    yield Edit(run[0].start(), run[-1].end(), "".join(signs))


class _Run:
    """Words and digits in a row that can be one number."""

    __slots__ = ("_end", "_languages", "_plus", "_said", "_start", "_tokens", "_until")

    def __init__(self) -> None:
        self._tokens: list[str] = []
        self._languages = _LANGUAGES
        self._start = self._end = self._until = 0
        self._said = 0
        self._plus = False

    def takes(self, match: re.Match[str], text: str) -> bool:
        """Whether the token goes on with the run (or begins it); then it is part of it."""
        start, end = match.span()
        if (self._tokens or self._plus) and not _GAP.fullmatch(text, self._until, start):
            return False
        token = match[0].casefold()
        if not self._tokens and not self._plus and token in words.PLUS:
            self._plus, self._start, self._until = True, start, end
            return True
        if self._tokens and token in words.JOINED_BY and token not in words.NUMBERS:
            self._until = end  # counts only with a number behind it
            return True
        values = words.NUMBERS.get(token)
        if values is None and not match[0].isdigit():
            return False
        languages = self._languages.intersection(values) if values else self._languages
        if not languages:
            return False
        if not self._tokens and not self._plus:
            self._start = start
        self._languages = languages
        self._tokens.append(token)
        self._said += values is not None
        self._end = self._until = end
        return True

    def edit(self, text: str) -> Iterator[Edit]:
        if self._said < MIN_SAID:
            return
        language = min(self._languages)
        values = [(words.NUMBERS[token][language] if token in words.NUMBERS else token) for token in self._tokens]
        digits = _digits(values, language)
        country = _COUNTRY.search(text, max(0, self._start - 10), self._start) if len(digits) >= _MIN_ACCOUNT else None
        if country:
            yield Edit(country.start(), self._end, "".join(filter(str.isalpha, country[0])) + digits)
        else:
            yield Edit(self._start, self._end, ("+" if self._plus else "") + digits)


def _digits(values: list[int | str], language: str) -> str:
    """The digits of numbers said one after the other; a string is digits as they were written."""
    digits: list[str] = []
    times, i = 1, 0
    while i < len(values):
        value = values[i]
        if isinstance(value, int) and value < 0:
            times = -value
            i += 1
            continue
        if isinstance(value, str):
            said, i = value, i + 1
        else:
            number, i = _number(values, i, language)
            said = str(number)
        digits.append(said * times)
        times = 1
    return "".join(digits)


def _number(values: list[int | str], i: int, language: str) -> tuple[int, int]:
    """The number said from `i` on (hundreds, tens and units as far as they make one), and where the next begins."""
    number = values[i]
    assert isinstance(number, int)
    i += 1
    if language == "fr" and number == 4 and _at(values, i) == 20:
        number, i = 80, i + 1
    if number >= 100:
        rest = _at(values, i)
        if 10 <= rest < 100:
            below, i = _number(values, i, language)
            return number + below, i
        return (number + rest, i + 1) if 1 <= rest < 10 and number % 100 == 0 else (number, i)
    if 20 <= number < 100 and number % 10 == 0:
        most = 19 if language == "fr" and number in (60, 80) else 9
        rest = _at(values, i)
        if 1 <= rest <= most:
            number, i = number + rest, i + 1
            if most == 19 and rest == 10 and 7 <= _at(values, i) <= 9:  # soixante-dix-sept
                number, i = number + _at(values, i), i + 1
    elif language == "fr" and number == 10 and 7 <= _at(values, i) <= 9:
        number, i = number + _at(values, i), i + 1
    return number, i


def _at(values: list[int | str], i: int) -> int:
    value = values[i] if i < len(values) else -1
    return value if isinstance(value, int) else -1
