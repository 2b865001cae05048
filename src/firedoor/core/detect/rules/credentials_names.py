"""What people are called online: behind its word, and ``@names`` that somebody says are theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.rules import credentials_words as words
from firedoor.core.detect.rules.credentials_values import Value, about_it, value_behind
from firedoor.core.detect.spans import Span

_USER_NAME, _USER = words.Cues(words.USER_NAMES), words.Cues(words.USERS)
CUES = _USER_NAME.telling | _USER.telling

_NAME = re.compile(r"@?[^\W_][\w.-]{1,39}")
_HANDLE = re.compile(
    r"[^\W\d_]{2}[\w.-]{0,28}[0-9][\w.-]{0,10}|[^\W\d_][^\W_]{0,20}_[\w.-]{1,20}"
    r"|[^\W\d_]{2,20}[.-][^\W\d_]{2,20}(?:[.-]?[0-9]{1,4})?"
)
_ENDS_IN_A_DOMAIN = re.compile(r"\.(?:com|org|net|de|fr|es|it|nl|pl|pt|co|io|eu|uk|info|html?|php)\Z", re.IGNORECASE)
_FROM = re.compile(r" (?:from|ip|rhost)[ =]")


def user_names(text: str, lower: str, cues: frozenset[str]) -> Iterator[Span]:
    """User names behind their words. `lower`: `text` in lower case; `cues`: its words that are in `CUES`."""
    for table, sure in ((_USER_NAME, True), (_USER, False)):
        for cue in table.find(lower, cues):
            value = value_behind(text, cue.end())
            name = _NAME.match(text, value.start) if value else None
            if value is None or name is None or (not sure and value.kind == "line"):
                continue
            if value.kind == "sign" and any(map(str.isalpha, text[cue.end() : value.start])):
                continue  # "user says: hello"
            end = value.start + len(name[0].rstrip(".-"))
            written = text[value.start : end]
            if text[end : end + 1] == "@" or _ENDS_IN_A_DOMAIN.search(written) or about_it(written):
                continue
            if _fits(Value(text, value.start, end, value.kind), cue[0], sure=sure):
                yield Span(value.start, end, "USERNAME", "user.name", 0.9 if sure else 0.8)


def _fits(value: Value, cue: str, *, sure: bool) -> bool:
    """Whether `value` is a user name behind `cue`."""
    written = value.written.lstrip("@")
    looks = _looks_like_a_handle(written) or value.written.startswith("@")
    if sure:
        if value.kind == "line":
            return value.ends_its_line() and not _is_sentence_case(written)
        return looks or (len(written) >= 3 and (value.kind in ("sign", "verb") or value.ends_its_clause()))
    if value.kind == "verb" and cue in ("handle", "steam"):
        return looks
    if value.kind == "sign" and value.text[value.start - 1] in "=\"'" and len(written) >= 3:
        return True
    if value.kind == "sign" and cue in words.LOGINS and len(written) >= 3 and value.ends_its_line():
        return True
    return looks or (cue == "user" and _FROM.match(value.text, value.end) is not None)


def _looks_like_a_handle(written: str) -> bool:
    """Letters first, then digits or a ``_``, ``.`` or ``-`` in it; not an id in capitals, not a name in title case."""
    if not 4 <= len(written) <= 32 or not _HANDLE.fullmatch(written) or written[0].isupper():
        return False
    if "-" in written and not any(map(str.isdigit, written)):
        return False  # a hyphenated word
    return any(map(str.islower, written))


def _is_sentence_case(written: str) -> bool:
    return written[0].isupper() and written[1:].islower()


_MENTION = re.compile(r"(?<![\w@./+-])@[A-Za-z_][\w.]{2,29}(?![\w@])")
_WHOSE = re.compile(
    r"(?:\b(?:i'?m|i am|my|me|mine|dm|tag(?:ged)?|follow|handle|nick(?:name)?|user(?:name)?|insta(?:gram)?|twitter|"
    r"tiktok|telegram|discord|"
    r"snap(?:chat)?|threads|mastodon|posted by|reviewers?|rt|ich|mein[e]?|bin|folgt?|mir|moi|mon|suis|"
    r"soy|mi|mío|sígueme|sono|mio|seguimi|ik|mijn|volg|jestem|mój|moje|moja|sou|meu)\b[^\n@]{0,24})\Z"
)
_MENTION_REACH = 40


def mentions(text: str, lower: str) -> Iterator[Span]:
    """``@names`` that are somebody's, not a brand's: after a word that says whose."""
    for match in _MENTION.finditer(text):
        start, end = match.start(), match.start() + len(match[0].rstrip("."))
        if _ENDS_IN_A_DOMAIN.search(match[0].rstrip(".")):
            continue
        if _WHOSE.search(lower, max(0, start - _MENTION_REACH), start):
            yield Span(start, end, "USERNAME", "user.mention", 0.7)
