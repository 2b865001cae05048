"""Keys of machines and payment cards in an answer that the caller did not bring, while it grows.

Keys with their maker's prefix, JSON web tokens, private keys, passwords in URLs; and random-looking strings, but only
behind a word such as "API key": answers of a shop are full of order, tracking and article numbers. The forms are those
of `rules/credentials_tokens.py`, read more strictly: what a shop calls ``sk-ii-facial-treatment`` is no key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from firedoor.core.detect.fold import normalise
from firedoor.core.detect.leak.cards import Cards, Secret
from firedoor.core.detect.rules import credentials_words as words
from firedoor.core.detect.rules.credentials_tokens import _TOKEN
from firedoor.core.detect.spans import Hit

MAX_WORD = 8192
"""Code points of one key: the longest JSON web tokens. A longer word is looked at in parts."""
MAX_PRIVATE_KEY = 16_384
MIN_WORD = 12
"""Code points of a word that can be a key."""
REACH = 64
"""Code points before a key in which the word for it stands."""

BREAKS = r"\x00-\x20\"'`<>()\[\]{},;|\x7f-\xa0\xab\xbb"
"""What no key has: a class of characters that is quick to look for."""
_BREAK = re.compile(f"[{BREAKS}]")
_WORD = re.compile(f"[^{BREAKS}]+")
_LONG = re.compile(rf"[^{BREAKS}]{{{MIN_WORD},{MAX_WORD}}}")
_MORE_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:SK|AC)[0-9a-f]{32}|GOCSPX-[A-Za-z0-9_-]{20,40}|key-[0-9a-f]{32}"
    r"|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43}|(?:live|test)_[A-Za-z0-9]{30,40}|dckr_pat_[A-Za-z0-9_-]{20,40}"
    r"|access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[0-9a-f]{32})"
)
_MAKERS = {
    "sk-ant": "anthropic", "sk-": "openai", "sk_": "stripe", "rk_": "stripe", "whsec_": "stripe", "gh": "github",
    "github_": "github", "gl": "gitlab", "xox": "slack", "xapp-": "slack", "AKIA": "aws", "ASIA": "aws", "ABIA": "aws",
    "ACCA": "aws", "AIza": "google", "ya29.": "google", "GOCSPX-": "google", "shp": "shopify", "npm_": "npm",
    "pypi-": "pypi", "hf_": "huggingface", "SG.": "sendgrid", "do": "digitalocean", "fd_": "firedoor",
    "AGE-SECRET-KEY-": "age", "EAA": "meta", "eyJ": "jwt", "SK": "twilio", "AC": "twilio", "key-": "mailgun",
    "sq0": "square", "live_": "mollie", "test_": "mollie", "dckr_pat_": "docker", "access_token$": "braintree",
}  # fmt: skip
_PREFIXES = (
    "sk- sk_live_ sk_test_ rk_live_ rk_test_ whsec_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- gldt- glrt- glptt- "
    "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- AKIA ASIA ABIA ACCA AIza ya29. shpat_ shpca_ shppa_ shpss_ "
    "shptka_ npm_ pypi- hf_ SG. dop_v1_ doo_v1_ dor_v1_ fd_ AGE-SECRET-KEY-1 EAA eyJ SK AC GOCSPX- key- sq0atp- sq0csp- "
    "live_ test_ dckr_pat_ access_token$"
).split()
PREFIXES = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, _PREFIXES))})")
BEGINNINGS = frozenset(prefix[:n] for prefix in _PREFIXES for n in range(1, len(prefix)))
"""What may become one of `PREFIXES`, behind no letter and no digit."""
_LONGEST = 18
_IN_A_TOKEN = re.compile(r"[A-Za-z0-9_.+/=~$-]*\Z")
_FIXED = ("AKIA", "ASIA", "ABIA", "ACCA", "eyJ", "AGE-", "shp")
"""Makers' forms that are no words whatever stands in them."""
_PARTS = re.compile(r"[A-Za-z0-9]{8,}")

_CUES = words.Cues(
    tuple(
        phrase
        for phrase in (*words.PASSWORDS, *words.KEYS)
        if phrase not in ("license key", "wifi key", "key", "session", "session id", "sessionid", "cookie")
    )
    + ("consumer key", "consumer secret", "integration token", "bearer", "akia", "asia", "secret access key", "hmac")
)
STEMS = tuple(
    "pass pasw pswd pwd pw kennw losung mdp contrase clave parola wachtw hasł hasl senha palavra lösen adgang heslo heslem "
    "key token secret jeton klucz chiave schlüssel credential auth bearer akia asia hmac".split()
)
"""Parts of all the words for keys: quick to look for."""
_SAID = re.compile(r"[^\W_]+")
_SIGN = re.compile(r"[:=]\**[ \t]{0,3}[\"'`\u201c\u201e]{0,2}\**\Z")
_LINK = re.compile(r"[^\n.!?]{0,24}\n?[^\n.!?]{0,4}\Z")
_QUOTES = "\u201c\u201d\u201e\u2018\u201a"
MAX_VALUE = 256
_VALUE = re.compile(rf"[A-Za-z0-9_+/.~!$%&*#^@-]{{{MIN_WORD},{MAX_VALUE}}}={{0,2}}")
_TELLING = re.compile(r"[0-9]|(?<=[A-Za-z0-9+/_-])[A-Z]")
"""What a key has and an ordinary word has not."""
_VALUE_AT = re.compile(rf"[:=](?=[^:=]{{{MIN_WORD}}})")
_LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s:/@]{0,64}:(?P<secret>[^\s/@]{1,128})@")
_LOGIN_GROWS = re.compile(r"://[^\s/@]{0,193}\Z")
_SIGNS = re.compile("[:=]")
_NO_PASSWORD = words.words_of("password passwort secret pass pwd user xxx xxxx xxxxx changeme example your_password")
_MIN_DISTINCT = 8

_ARMOUR = re.compile("-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
ARMOUR_GROWS = re.compile(r"-----(?:B(?:E(?:G(?:I(?:N(?: [A-Z0-9 ]{0,56}-{0,4})?)?)?)?)?)?\Z|-{1,4}\Z")
_BODY = re.compile(r"[A-Za-z0-9+/=\s:,.\\]*")
_ARMOUR_END = re.compile("-----END [A-Z0-9 ]{1,56}-----")
_END_GROWS = re.compile(r"-{1,5}\Z|-----(?:E(?:N(?:D(?: [A-Z0-9 ]{0,56}-{0,4})?)?)?)\Z")
_KEY_LINE = re.compile("[A-Za-z0-9+/]{24}")
_KEY_BY = 256
"""Code points behind the head of an armour in which the key begins; otherwise it is only spoken of."""


class SecretWatch:
    """Keys of machines and payment cards in one growing text: a `Watch`. What is in `typed` is not reported."""

    __slots__ = ("_parts", "_typed")

    def __init__(self, typed: Iterable[str] = ()) -> None:
        self._typed = "\n".join(map(normalise, typed))
        self._parts = (_Words(), _PrivateKeys(), Cards())

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
        return [
            Hit(start, end, rule, "", kind)
            for start, end, rule, written, kind in found
            if not self._typed or normalise(written) not in self._typed
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
            found += _placed(_keys(match[0], data[max(0, start - REACH) : start]), base + start)
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
        sign = _SIGN.search(self._before, max(0, len(self._before) - 12))
        if sign is None or _cue(self._before) is None:
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
            found += _placed(_keys(word.text, self._before), word.start)
        self._before = (self._before + word.text)[-REACH:]


class _OpenWord:
    """A word that may go on: from where it can become a key, or have one in it."""

    __slots__ = ("_before", "_cue", "_prefix", "_told", "_value", "start", "text")

    def __init__(self, start: int, before: str) -> None:
        self.start = start
        self.text = ""
        self._before = before
        self._prefix = -1  # where a maker's prefix stands that may still be one
        self._value = 0  # where what a word announces begins
        self._told = -1  # its first telling character
        self._cue: str | None = None

    def grow(self, text: str) -> None:
        """The word goes on."""
        at = len(self.text)
        self.text += text
        if self._prefix < 0 or not _IN_A_TOKEN.match(text):
            self._prefix = -1
            for match in PREFIXES.finditer(self.text, max(0, at - _LONGEST)):
                if _IN_A_TOKEN.match(self.text, match.end()):
                    self._prefix = match.start()
                    break
        if not at and _SIGN.search(self._before):
            self._cue = _cue(self._before)
        for match in _SIGNS.finditer(text):
            if not self._value or at + match.start() - self._value < MIN_WORD:
                self._value, self._told = at + match.end(), -1
                self._cue = _cue((self._before + self.text[: self._value])[-REACH:])
        if self._told < 0:
            telling = _TELLING.search(self.text, max(self._value, at))
            if telling is not None:
                self._told = telling.start()
                self._cue = self._cue or _cue((self._before + self.text[: self._value])[-REACH:])

    def held_from(self) -> int:
        """The code point from which a key may still come."""
        text = self.text
        starts = [len(text)]
        if self._prefix >= 0:
            starts.append(self._prefix)
        starts += _beginnings(text)
        if (login := _LOGIN_GROWS.search(text, max(0, len(text) - 200))) is not None:
            starts.append(login.start())
        if self._cue and len(text) - self._value <= MAX_VALUE + 2:
            if self._cue == "sign":
                starts.append(min(self._value, len(text) - 1))
            elif self._told >= 0:
                starts.append(self._told)
        return self.start + min(starts)


class _PrivateKeys:
    """Private keys in their armour (RFC 7468, OpenPGP), also cut off."""

    __slots__ = ("_at", "_fed", "_head", "_text")

    def __init__(self) -> None:
        self._fed = 0
        self._text = ""  # an armour that may begin, or begins, and what follows
        self._head = 0  # how long its head is; 0: not whole yet
        self._at = 0  # up to here it is read

    def feed(self, text: str) -> list[Secret]:
        self._fed += len(text)
        if not self._text and "-" not in text:
            return []
        self._text += text
        return self._read(final=False)

    @property
    def idle(self) -> bool:
        return not self._text

    def held_from(self) -> int:
        return self._fed - len(self._text)

    def end(self) -> list[Secret]:
        return self._read(final=True)

    def skip(self, count: int, before: str) -> None:  # noqa: ARG002
        self._fed += count
        self._text, self._head = "", 0

    def _read(self, *, final: bool) -> list[Secret]:
        found: list[Secret] = []
        while self._text:
            if not self._head and not self._find_head(final=final):
                return found
            if not self._find_end(final=final):
                return found
            if _KEY_LINE.search(self._text, self._head, min(self._at, self._head + _KEY_BY)):
                start, written = self.held_from(), self._text[: self._at].rstrip()
                found.append(Secret(start, start + len(written), "private_key", written))
            self._text = self._text[self._at :]
            self._head = 0
        return found

    def _find_head(self, *, final: bool) -> bool:
        """Whether an armour begins: it is then all that is kept."""
        head = _ARMOUR.search(self._text)
        if head is not None:
            self._text = self._text[head.start() :]
            self._head = self._at = len(head[0])
            return True
        grows = None if final else ARMOUR_GROWS.search(self._text, max(0, len(self._text) - 80))
        self._text = "" if grows is None else grows[0]
        return False

    def _find_end(self, *, final: bool) -> bool:
        """Whether it is known where the key ends: at `_at`."""
        text = self._text
        while self._at < MAX_PRIVATE_KEY:
            body = _BODY.match(text, self._at, MAX_PRIVATE_KEY)
            assert body is not None
            self._at = body.end()
            if self._at > self._head + _KEY_BY and not _KEY_LINE.search(text, self._head, self._head + _KEY_BY):
                return True
            if self._at == len(text) or self._at >= MAX_PRIVATE_KEY:
                return final or self._at >= MAX_PRIVATE_KEY
            if (end := _ARMOUR_END.match(text, self._at)) is not None:
                self._at = end.end()
                return True
            if not final and _END_GROWS.match(text, self._at):
                return False
            if text[self._at] != "-" or text.startswith("-----", self._at):
                return True
            self._at += 1
        return True


def _beginnings(text: str) -> Iterator[int]:
    """Where at the end of `text` a maker's prefix may begin."""
    for at in range(max(0, len(text) - _LONGEST), len(text)):
        if text[at:] in BEGINNINGS and not (at and text[at - 1].isascii() and text[at - 1].isalnum()):
            yield at


def may_announce(text: str) -> bool:
    """Whether a word for a key is in `text`."""
    lower = text.lower()
    return any(stem in lower for stem in STEMS)


def _placed(found: Iterable[Secret], base: int) -> list[Secret]:
    return [each._replace(start=each.start + base, end=each.end + base) for each in found]


def _keys(word: str, before: str) -> Iterator[Secret]:
    """The keys in a whole word; `before` stands before it."""
    if "://" in word and (login := _LOGIN.search(word)) and login["secret"].strip("*<>[]{}").lower() not in _NO_PASSWORD:
        yield Secret(*login.span("secret"), "login", login["secret"])
    if not _TELLING.search(word):
        return
    formed = False
    for pattern in (_TOKEN, _MORE_TOKENS):
        for match in pattern.finditer(word):
            if not match[0].startswith("pk_") and (match[0].startswith(_FIXED) or _random_part(match[0])):
                formed = True
                yield Secret(*match.span(), _maker(match[0]), match[0])
    if formed:
        return
    announced = _VALUE_AT.search(word)
    start = 0 if announced is None else announced.end()
    start += len(word[start:]) - len(word[start:].lstrip(_QUOTES))
    value = _VALUE.match(word, start)
    telling = _TELLING.search(word, start)
    if value is None or telling is None or value.end() < len(word.rstrip(".!?:")):
        return
    cue = _cue((before + word[:start])[-REACH:])
    written = value[0].rstrip(".!?")
    if cue is not None and _random(written):
        first = start if cue == "sign" else telling.start()
        yield Secret(first, start + len(written), "announced", written)


def _cue(before: str) -> str | None:
    """Whether a word for a key stands right before; "sign" if ``:`` or ``=`` stands between."""
    lower = before.lower()
    said = _CUES.telling.intersection(_SAID.findall(lower))
    for match in _CUES.find(lower, said):
        if _LINK.fullmatch(before, match.end()):
            return "sign" if _SIGN.search(before) else "near"
    return None


def _maker(written: str) -> str:
    return next(name for prefix, name in _MAKERS.items() if written.startswith(prefix))


def _random_part(written: str) -> bool:
    """Whether a part of a key looks like no word: two kinds of characters mixed."""
    return any(_mixed(part) for part in _PARTS.findall(written))


def _random(written: str) -> bool:
    """Whether an announced value looks like a key: no words, no single character again and again."""
    return len(set(written)) >= _MIN_DISTINCT and "://" not in written and _random_part(written)


def _mixed(part: str) -> bool:
    digits = sum(map(str.isdigit, part))
    if digits == len(part):
        return False
    cases = sum(a.islower() and b.isupper() for a, b in zip(part, part[1:], strict=False))
    return digits >= 2 or cases >= 2
