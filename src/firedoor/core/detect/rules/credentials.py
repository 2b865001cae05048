"""Credentials and what people are called online: passwords, codes, keys, user names, personal pages, stripped e-mails.

`spans` gives SECRET, USERNAME, URL and EMAIL. What it takes for one:

- a password: behind its word (`credentials_words`) with ``:`` or ``=``, with a verb ("is", "lautet", "est", …), on the
  next line, or directly when it looks like one (digits or signs in it). A plain word counts behind a sign or a verb
  only when the clause ends with it and it is no word of a sentence about passwords ("is wrong");
- a code (PIN, TAN, one-time): the same with three digits or more;
- a key: behind its word when it is long and mixed, or anywhere with the prefix of its maker (`credentials_tokens`);
- a user name: behind its word; behind "user", "account" or a network only when it looks like one (``ivanvolcke84``);
  ``@name`` only after a word that says whose it is, since reviews mention brands so;
- URLs: see `credentials_urls`; e-mails without their signs: see `credentials_mail`.

A text without any of the words is done in some microseconds. Patterns are linear and look-arounds bounded.
"""

from __future__ import annotations

from firedoor.core.detect.rules import credentials_names, credentials_secrets
from firedoor.core.detect.rules.credentials_mail import may_be_stripped, stripped_addresses
from firedoor.core.detect.rules.credentials_tokens import logins, may_have_tokens, private_keys, tokens
from firedoor.core.detect.rules.credentials_urls import urls
from firedoor.core.detect.spans import Span

_CUES = credentials_secrets.CUES | credentials_names.CUES
_SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\n\r\t\u2019\u201c\u201d\u201e\u2026"
_SPACES = str.maketrans(_SIGNS, " " * len(_SIGNS))


def spans(text: str) -> list[Span]:
    """SECRET, USERNAME, URL and EMAIL spans in the order of the text; they may overlap."""
    lower = _lower(text)
    spaced = _spaced(lower)
    said = frozenset(spaced.split())
    cues = _CUES & said
    found: set[Span] = set()
    if cues or "passw" in lower or "contrase" in lower:
        found.update(credentials_secrets.passwords(text, lower, cues))
    if cues:
        found.update(credentials_secrets.codes(text, lower, cues))
        found.update(credentials_secrets.keys(text, lower, cues))
        found.update(credentials_secrets.answers(text, lower, cues))
        found.update(credentials_names.user_names(text, lower, cues))
    if may_be_stripped(spaced, said):
        found.update(stripped_addresses(lower))
    if may_have_tokens(said):
        found.update(tokens(text))
    if "-----BEGIN" in text:
        found.update(private_keys(text))
    if "://" in text or "www." in lower:
        found.update(urls(text))
    if "://" in text or "-u" in text or "--user" in text:
        found.update(logins(text))
    if "@" in text:
        found.update(credentials_names.mentions(text, lower))
    return sorted(found)


def _spaced(lower: str) -> str:
    """`lower` and a space, with spaces for signs."""
    if lower.isascii():  # where the interpreter has a fast way
        return lower.translate(_SPACES) + " "
    for sign in _SIGNS:
        lower = lower.replace(sign, " ")
    return lower + " "


def _lower(text: str) -> str:
    """`text` in lower case, character by character where a letter has more of them in lower case."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join([c.lower() if len(c.lower()) == 1 else c for c in text])
