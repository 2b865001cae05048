"""Keys of machines and payment cards in an answer that the caller did not bring, while it grows.

Keys with their maker's prefix, JSON web tokens, private keys, passwords in URLs; and random-looking strings, but only
behind a word such as "API key": answers of a shop are full of order, tracking and article numbers. The forms are those
of `rules/credentials_tokens.py`, read more strictly: what a shop calls ``sk-ii-facial-treatment`` is no key.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from firedoor.core.detect.fold import normalise
from firedoor.core.detect.leak.cards import Cards, Secret
from firedoor.core.detect.leak.encoded import TELLING
from firedoor.core.detect.leak.keyforms import (
    BREAKS,
    IN_A_TOKEN,
    LOGIN,
    LOGIN_GROWS,
    LONGEST,
    MAX_VALUE,
    MAX_WORD,
    MIN_WORD,
    PREFIXES,
    REACH,
    SIGN,
    SIGNS,
    beginnings,
    cue_of,
    keys_in,
)
from firedoor.core.detect.leak.privatekeys import PrivateKeys
from firedoor.core.detect.spans import Hit

_BREAK = re.compile(f"[{BREAKS}]")
_WORD = re.compile(f"[^{BREAKS}]+")
_LONG = re.compile(rf"[^{BREAKS}]{{{MIN_WORD},{MAX_WORD}}}")


class SecretWatch:
    """Keys of machines and payment cards in one growing text: a `Watch`. What is in `typed` is not reported."""

    __slots__ = ("_folded", "_parts", "_typed")

    def __init__(self, typed: Collection[str] = ()) -> None:
        self._typed = typed
        self._folded: str | None = None  # what was typed, once something is found
        self._parts = (_Words(), PrivateKeys(), Cards())

    @property
    def idle(self) -> bool:
        """Whether nothing is held."""
        return all(part.idle for part in self._parts)

    def feed(self, text: str, held: int = 0) -> list[Hit]:  # noqa: ARG002  # like other readings
        """See `Watch.feed`."""
        return [hit for part in self._parts for hit in self._hits(part.feed(text))]

    def held_from(self) -> int:
        """See `Watch.held_from`."""
        return min(part.held_from() for part in self._parts)

    def end(self) -> list[Hit]:
        """See `Watch.end`."""
        return [hit for part in self._parts for hit in self._hits(part.end())]

    def skip(self, count: int, before: str) -> None:
        """`count` code points that hold nothing are not read; `before` is their end."""
        for part in self._parts:
            part.skip(count, before)

    def _hits(self, found: list[Secret]) -> list[Hit]:
        if not found:
            return []
        if self._folded is None:
            self._folded = "\n".join(map(normalise, self._typed))
        typed = self._folded
        return [
            Hit(start, end, rule, "", kind)
            for start, end, rule, written, kind in found
            if not typed or normalise(written) not in typed
        ]


class _Words:
    """Keys that are a word or stand in one."""

    __slots__ = ("_before", "_fed", "_word")

    def __init__(self) -> None:
        self._fed = 0
        self._before = ""  # the end of what stands before the open word
        self._word: _OpenWord | None = None

    def feed(self, text: str) -> list[Secret]:
        self._fed += len(text)
        found: list[Secret] = []
        at = 0
        if self._word is not None:
            close = _BREAK.search(text)
            at = len(text) if close is None else close.start()
            self._grow(text[:at], self._fed - len(text) + at, found)
            if close is None:
                return found
            self._close(found)
            text = text[at:]
        data = self._before + text
        base = self._fed - len(data)
        at = len(self._before)
        for match in _LONG.finditer(data, at):
            start, end = match.span()
            if end == len(data) and end - start < MAX_WORD:
                break
            found += _placed(keys_in(match[0], data[max(0, start - REACH) : start]), base + start)
            at = end
        tail = _WORD.match(data[: at - 1 if at else None : -1])
        word = "" if tail is None else tail[0][::-1]
        self._before = data[: len(data) - len(word)][-REACH:]
        if word:
            self._word = _OpenWord(self._fed - len(word), self._before)
            self._word.grow(word)
        return found

    @property
    def idle(self) -> bool:
        return self.held_from() == self._fed

    def held_from(self) -> int:
        if self._word is not None:
            return self._word.held_from()
        sign = SIGN.search(self._before, max(0, len(self._before) - 12))
        if sign is None or cue_of(self._before) is None:
            return self._fed
        return self._fed - len(self._before) + sign.start()

    def end(self) -> list[Secret]:
        found: list[Secret] = []
        if self._word is not None:
            self._close(found)
        return found

    def skip(self, count: int, before: str) -> None:
        self._fed += count
        self._before = before[-REACH:]
        self._word = None

    def _grow(self, text: str, end: int, found: list[Secret]) -> None:
        """The open word goes on, up to code point `end`."""
        while self._word is not None and len(self._word.text) + len(text) >= MAX_WORD:
            room = MAX_WORD - len(self._word.text)
            self._word.grow(text[:room])
            text = text[room:]
            self._close(found)
            self._word = _OpenWord(end - len(text), self._before)
        if self._word is not None:
            self._word.grow(text)

    def _close(self, found: list[Secret]) -> None:
        word, self._word = self._word, None
        assert word is not None
        if len(word.text) >= MIN_WORD:
            found += _placed(keys_in(word.text, self._before), word.start)
        self._before = (self._before + word.text)[-REACH:]


class _OpenWord:
    """A word that may go on: from where it can become a key, or have one in it."""

    __slots__ = ("_before", "_cue", "_kept", "_prefix", "_told", "_value", "start", "text")

    def __init__(self, start: int, before: str) -> None:
        self.start = start
        self.text = ""
        self._before = before
        self._kept = MAX_WORD  # where something stands that is a key if the word ends
        self._prefix = -1  # where a maker's prefix stands that may still be one
        self._value = 0  # where what a word announces begins
        self._told = -1  # its first telling character
        self._cue: str | None = None

    def grow(self, text: str) -> None:
        """The word goes on."""
        at = len(self.text)
        self.text += text
        self._follow_prefix(at)
        if "@" in text and (login := LOGIN.search(self.text)) is not None:
            self._kept = min(self._kept, login.start("secret"))
        if not at and SIGN.search(self._before):
            self._cue = cue_of(self._before)
        for match in SIGNS.finditer(text):
            if not self._value or at + match.start() - self._value < MIN_WORD:
                self._value, self._told = at + match.end(), -1
                self._cue = cue_of((self._before + self.text[: self._value])[-REACH:])
        if self._told < 0:
            telling = TELLING.search(self.text, max(self._value, at))
            if telling is not None:
                self._told = telling.start()
                self._cue = self._cue or cue_of((self._before + self.text[: self._value])[-REACH:])

    def _follow_prefix(self, at: int) -> None:
        """Find the maker's prefixes in the text from about `at` on, and what follows them."""
        starts = [match.start() for match in PREFIXES.finditer(self.text, max(0, at - LONGEST))]
        if self._prefix >= 0:
            starts.insert(0, self._prefix)
        self._prefix = -1
        for start in starts:
            token = IN_A_TOKEN.match(self.text, max(start, at))
            assert token is not None
            if token.end() == len(self.text):
                self._prefix = start
                return
            if token.end() - start >= MIN_WORD:  # it may be one, and something behind it
                self._kept = min(self._kept, start)

    def held_from(self) -> int:
        """The code point from which a key may still come."""
        text = self.text
        starts = [min(len(text), self._kept)]
        if self._prefix >= 0:
            starts.append(self._prefix)
        starts += beginnings(text)
        if (login := LOGIN_GROWS.search(text, max(0, len(text) - 200))) is not None:
            starts.append(login.start())
        if self._cue and len(text) - self._value <= MAX_VALUE + 2:
            if self._cue == "sign":
                starts.append(min(self._value, len(text) - 1))
            elif self._told >= 0:
                starts.append(self._told)
        return self.start + min(starts)


def _placed(found: Iterable[Secret], base: int) -> list[Secret]:
    return [each._replace(start=each.start + base, end=each.end + base) for each in found]
