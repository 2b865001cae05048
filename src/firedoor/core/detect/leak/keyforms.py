"""The forms of machines' keys: what their makers begin them with, and which words announce others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from firedoor.core.detect.leak.cards import Secret
from firedoor.core.detect.leak.encoded import TELLING
from firedoor.core.detect.rules import credentials_words as words
from firedoor.core.detect.rules.credentials_tokens import _TOKEN

MAX_WORD = 8192
"""Code points of one key: the longest JSON web tokens. A longer word is looked at in parts."""
MIN_WORD = 12
"""Code points of a word that can be a key."""
REACH = 64
"""Code points before a key in which the word for it stands."""

BREAKS = r"\x00-\x20\"'`<>()\[\]{},;|\x7f-\xa0\xab\xbb"
"""What no key has: a class of characters that is quick to look for."""
_MORE_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_])(?:(?:SK|AC)[0-9a-f]{32}|GOCSPX-[A-Za-z0-9_-]{20,40}|key-[0-9a-f]{32}"
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
_PREFIXES = words.words_of(
    "sk- sk_live_ sk_test_ rk_live_ rk_test_ whsec_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- gldt- glrt- glptt- "
    "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- AKIA ASIA ABIA ACCA AIza ya29. shpat_ shpca_ shppa_ shpss_ "
    "shptka_ npm_ pypi- hf_ SG. dop_v1_ doo_v1_ dor_v1_ fd_ AGE-SECRET-KEY-1 EAA eyJ SK AC GOCSPX- key- sq0atp- "
    "sq0csp- live_ test_ dckr_pat_ access_token$"
)
PREFIXES = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, sorted(_PREFIXES)))})")
BEGINNINGS = frozenset(prefix[:n] for prefix in _PREFIXES for n in range(1, len(prefix)))
"""What may become one of `PREFIXES`, behind no letter and no digit."""
LONGEST = 18
IN_A_TOKEN = re.compile(r"[A-Za-z0-9_.+/=~$-]*")
_FIXED = ("AKIA", "ASIA", "ABIA", "ACCA", "eyJ", "AGE-", "shp")
"""Makers' forms that are no words whatever stands in them."""
_PARTS = re.compile(r"[A-Za-z0-9]{8,}")

_GIVEN_TO_SHOPPERS = ("license key", "wifi key", "key", "session", "session id", "sessionid", "cookie")
_CUES = words.Cues(
    (
        *(phrase for phrase in (*words.PASSWORDS, *words.KEYS) if phrase not in _GIVEN_TO_SHOPPERS),
        *("consumer key", "consumer secret", "integration token", "bearer", "secret access key", "hmac"),
    )
)
_STEMS = words.words_of(
    """
    pass pasw pswd pwd pw kennw losung mdp contrase clave parola wachtw hasł hasl senha palavra lösen adgang heslo
    heslem key token secret jeton klucz chiave schlüssel credential auth bearer akia asia hmac"""
)
"""Parts of all the words for keys: quick to look for."""
_SAID = re.compile(r"[^\W_]+")
SIGN = re.compile(r"[:=]\**[ \t]{0,3}[\"'`\u201c\u201e]{0,2}\**\Z")
_LINK = re.compile(r"[^\n.!?]{0,24}\n?[^\n.!?]{0,4}\Z")
_QUOTES = "\u201c\u201d\u201e\u2018\u201a"
MAX_VALUE = 256
_VALUE = re.compile(rf"[A-Za-z0-9_+/.~!$%&*#^@-]{{{MIN_WORD},{MAX_VALUE}}}={{0,2}}")
_VALUE_AT = re.compile(rf"[:=](?=[^:=]{{{MIN_WORD}}})")
LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s:/@]{0,64}:(?P<secret>[^\s/@]{1,128})@")
LOGIN_GROWS = re.compile(r"://[^\s/@]{0,193}\Z")
_AWS_ID = re.compile("A[KS]IA[A-Z0-9]{12,20}")
SIGNS = re.compile("[:=]")
_NO_PASSWORD = words.words_of("password passwort secret pass pwd user xxx xxxx xxxxx changeme example your_password")
_MIN_DISTINCT, _MIN_CHANGES = 8, 3


def beginnings(text: str) -> Iterator[int]:
    """Where at the end of `text` a maker's prefix may begin."""
    for at in range(max(0, len(text) - LONGEST), len(text)):
        if text[at:] in BEGINNINGS and not (at and text[at - 1].isascii() and text[at - 1].isalnum()):
            yield at


def may_announce(text: str) -> bool:
    """Whether a word for a key is in `text`."""
    lower = text.lower()
    return any(stem in lower for stem in _STEMS)


def keys_in(word: str, before: str) -> Iterator[Secret]:
    """The keys in a whole word; `before` stands before it."""
    if "://" in word and (login := LOGIN.search(word)) and login["secret"].strip("*<>[]{}").lower() not in _NO_PASSWORD:
        yield Secret(*login.span("secret"), "login", login["secret"])
    if not TELLING.search(word):
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
    telling = TELLING.search(word, start)
    if value is None or telling is None or value.end() < len(word.rstrip(".!?:")):
        return
    cue = cue_of((before + word[:start])[-REACH:])
    written = value[0].rstrip(".!?")
    if cue is not None and _random(written):
        first = start if cue == "sign" else telling.start()
        yield Secret(first, start + len(written), "announced", written)


def cue_of(before: str) -> str | None:
    """Whether a word for a key stands right before; "sign" if ``:`` or ``=`` stands between."""
    lower = before.lower()
    said = _CUES.telling.intersection(_SAID.findall(lower))
    for match in (*_CUES.find(lower, said), *_AWS_ID.finditer(before)):
        if _LINK.fullmatch(before, match.end()):
            return "sign" if SIGN.search(before) else "near"
    return None


def _maker(written: str) -> str:
    return next(name for prefix, name in _MAKERS.items() if written.startswith(prefix))


def _random_part(written: str, changes: int = 2) -> bool:
    """Whether a part of a key looks like no word: its kind of characters changes at least so many times."""
    return any(_changes(part) >= changes for part in _PARTS.findall(written))


def _random(written: str) -> bool:
    """Whether an announced value looks like a key: no words, no single character again and again."""
    return len(set(written)) >= _MIN_DISTINCT and "://" not in written and _random_part(written, _MIN_CHANGES)


def _changes(part: str) -> int:
    """How often digits follow letters, letters digits, or capitals small letters."""
    return sum(a.isdigit() != b.isdigit() or (a.islower() and b.isupper()) for a, b in pairwise(part))
