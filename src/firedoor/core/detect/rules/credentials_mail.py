"""E-mail addresses whose signs a chat has lost: ``havocmano 11 gmailcom``, ``johnmac55 gmail com``, ``arivugmailcom``.

What gives them away is a mail provider's name with its ending, in one word or two; what stands before it in the line
and looks like the name of an address belongs to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.rules.credentials_words import words_of
from firedoor.core.detect.spans import Span

_SURE = (
    "gmail", "g mail", "googlemail", "hotmail", "yahoo", "icloud", "outlook", "ymail", "rocketmail", "protonmail",
    "tutanota", "rediffmail", "fastmail", "gmx", "comcast", "freenet", "wanadoo", "ziggo", "interia", "hotmial",
)  # fmt: skip
"""Providers that are nothing else: their ending may be a word of its own."""
_GLUED = (
    "mail", "gail", "gmai", "gmal", "gmil", "gamil", "yaho", "google", "aol", "msn", "att", "live", "zoho", "verizon",
    "sbcglobal", "bellsouth", "btinternet", "libero", "virgilio", "tiscali", "orange", "laposte", "seznam", "house",
)  # fmt: skip
"""Providers that are a word or part of one, and how people mistype Gmail: only with their ending in the same word."""
_SURE_WORDS = frozenset(_SURE) | {"mail"}  # "g mail com"
_COUNTRIES = tuple(
    f"{name}{country} " for name in ("mail", "gmx", "yahoo") for country in ("de", "fr", "es", "it", "at")
)
_ENDING = r"com|cpm|con|net|org|gov|edu|de|fr|es|it|nl|pl|pt|be|at|ch|cz|se|co ?uk"
_BEHIND_SURE = re.compile(rf"(?P<dot>[ .,]?)(?:{_ENDING})(?![\w@]|\.\w)")
_BEHIND_GLUED = re.compile(r"(?P<dot>)(?:com|cpm|net|org|gov|(?:de|fr|es|it|at)(?<=mail..))(?![\w@]|\.\w)")
_TOLD = re.compile(
    r"mail(?:[ -]?(?:address|adresse?|id))?(?: (?:id|is|its|ist|est|es|jest)| ?:)? "
    r"(?P<address>[a-z][\w.-]{1,40}(?: [0-9]{1,6})?(?: [a-z]{2,20})?? ?(?:com|net|org))(?![\w@]|\.\w)"
)
"""After the word "mail", whatever the provider."""
_HEAD = re.compile(r"[^\W_][\w.+-]{0,39}\Z")
_NEAR = re.compile(r"(?<![^\s,;:])(?P<word>[\w.+-]{1,40})[ ]{1,2}\Z")
_MAX_DIGITS = 6
_SHORT_HEAD = 2
_REACH = 48
_NO_NAME = words_of(
    """
    a account address adres adresse adresse also an and any are as asked at auf aus bei by con contact correct correo da
    de dem der di die e e-mail el email emailaddress en est et for free from has have hello hi i id ik il im in ins is
    ist it its la le lautet mail mailadresse mein meine mi mia mijn mio moj moja mon my na name new no not o of ok okay
    old on one or other our own posta send sent some su sure tak te that the their this to un und use used uses using
    van via want was with write y yes your z za"""
)


def may_be_stripped(spaced: str, said: frozenset[str]) -> bool:
    """Whether one of the words `said` is a provider, or a word of `spaced` (signs replaced by spaces) ends like one."""
    return (
        not _SURE_WORDS.isdisjoint(said)
        or ("com " in spaced or "net " in spaced or "org " in spaced or "cpm " in spaced or "gov " in spaced)
        or (("mail" in spaced or "gmx" in spaced or "yahoo" in spaced) and any(end in spaced for end in _COUNTRIES))
    )


def stripped_addresses(lower: str) -> Iterator[Span]:
    """Addresses without their signs, each on one line, in a text in lower case."""
    ends: dict[int, tuple[int, str]] = {}
    for providers, behind in ((_SURE, _BEHIND_SURE), (_GLUED, _BEHIND_GLUED)):
        for provider in providers:
            at = lower.find(provider)
            while at >= 0:
                ending = behind.match(lower, at + len(provider))
                if ending:
                    ends.setdefault(ending.end(), (at, ending["dot"]))
                at = lower.find(provider, at + 1)
    for match in _TOLD.finditer(lower):
        if match.end() not in ends and match["address"].partition(" ")[0] not in _NO_NAME:
            yield Span(*match.span("address"), "EMAIL", "email.stripped", 0.7)
    for end, (at, dot) in sorted(ends.items()):
        start = _start(lower, at, dotted=dot == ".")
        if start is not None:
            yield Span(start, end, "EMAIL", "email.stripped", 0.8 if dot == "." else 0.9)


def _start(text: str, at: int, *, dotted: bool) -> int | None:
    """Where the name before the provider at `at` begins; nothing if there is none."""
    head = _HEAD.search(text, max(0, at - 40), at)
    begin = head.start() if head else at
    if begin and text[begin - 1] == "@":
        return None
    near = _NEAR.search(text, max(0, begin - _REACH), begin)
    word = near["word"] if near else ""
    if near and word.isdigit() and len(word) <= _MAX_DIGITS and not (dotted and head):
        far = _NEAR.search(text, max(0, near.start() - _REACH), near.start())
        if far is None or not far["word"][0].isalpha() or far["word"] in _NO_NAME:
            return near.start()
        again = _NEAR.search(text, max(0, far.start() - _REACH), far.start())
        return again.start() if again and again["word"] == far["word"] else far.start()
    if dotted:
        return near.start() if near and not head and any(map(str.isdigit, word)) else None
    if begin < at - _SHORT_HEAD:
        return begin
    if near and word[0].isalpha() and word not in _NO_NAME:
        return near.start()
    return begin if begin < at else None
