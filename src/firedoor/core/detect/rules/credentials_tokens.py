"""Keys of machines that tell their maker: access tokens with a prefix, JSON Web Tokens, private keys, log-ins in URLs.

Prefixes and lengths are the makers' published ones (GitHub, GitLab, Slack, Stripe, Shopify, AWS, Google, npm, PyPI,
Hugging Face, SendGrid, DigitalOcean, OpenAI and Anthropic), rounded down: a cut-off token is a secret as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.rules.credentials_words import words_of
from firedoor.core.detect.spans import Span

MIN_TOKEN = 16
"""Code points of a word long enough to be looked at."""
_TELLING = words_of(
    "sk xoxa xoxb xoxe xoxo xoxp xoxr xoxs xapp glpat gldt glrt glptt bearer basic token sg ya29 fd pypi"
)
_WORD = "A-Za-z0-9_"
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    rf"sk-[{_WORD}-]{{20,200}}|[srp]k_(?:live|test)_[{_WORD}]{{16,200}}|whsec_[{_WORD}+/=]{{16,100}}"
    rf"|gh[opusr]_[A-Za-z0-9]{{30,255}}|github_pat_[{_WORD}]{{22,255}}|gl(?:pat|dt|rt|ptt)-[{_WORD}-]{{16,100}}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-[A-Za-z0-9-]{10,250}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,40}|ya29\.[A-Za-z0-9_-]{20,250}"
    r"|shp(?:at|ca|pa|ss|tka)_[A-Fa-f0-9]{16,64}|npm_[A-Za-z0-9]{30,40}|pypi-[A-Za-z0-9_-]{50,250}"
    r"|hf_[A-Za-z]{30,40}|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}|do[opr]_v1_[a-f0-9]{32,64}"
    r"|fd_[A-Za-z0-9_-]{20,100}|AGE-SECRET-KEY-1[A-Z0-9]{50,60}|EAA[A-Za-z0-9]{40,250}"
    r"|eyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{8,4000}(?:\.[A-Za-z0-9_-]{0,2000})?"
    r")"
)
_ARMOUR = "(?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PEM = re.compile(rf"-----BEGIN {_ARMOUR}(?:[A-Za-z0-9+/=\s:,.\\]|-(?!----)){{0,16384}}(?:-----END {_ARMOUR})?")
_SCHEME = re.compile(r"\b(?:Bearer|Basic|Token)\s{1,3}(?P<token>[A-Za-z0-9._~+/=-]{16,2000})", re.IGNORECASE)
_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}://(?P<user>[^\s:/@]{1,64}):(?P<secret>[^\s/@]{1,128})@")
_OPTION = re.compile(r"(?:\s-u|--user)[ =](?P<user>[^\s:'\"]{1,64}):(?P<secret>[^\s'\"]{1,128})")


def may_have_tokens(said: frozenset[str]) -> bool:
    """Whether the words `said` (runs of letters and digits in lower case) are long enough or begin a token."""
    return max(map(len, said), default=0) >= MIN_TOKEN or not _TELLING.isdisjoint(said)


def tokens(text: str) -> Iterator[Span]:
    """Keys with a form of their own."""
    for match in _TOKEN.finditer(text):
        yield Span(*match.span(), "SECRET", "secret.token", 0.95)
    for match in _SCHEME.finditer(text):
        if any(map(str.isdigit, match["token"])):
            yield Span(*match.span("token"), "SECRET", "secret.authorization", 0.9)


def private_keys(text: str) -> Iterator[Span]:
    """Private keys in their armour (RFC 7468, OpenPGP), also cut off."""
    for match in _PEM.finditer(text):
        yield Span(match.start(), match.start() + len(match[0].rstrip()), "SECRET", "secret.private_key")


def logins(text: str) -> Iterator[Span]:
    """User name and password in a URL or behind ``-u``."""
    for pattern in (_IN_URL, _OPTION):
        for match in pattern.finditer(text):
            yield Span(*match.span("user"), "USERNAME", "user.login", 0.9)
            yield Span(*match.span("secret"), "SECRET", "secret.login", 0.95)
