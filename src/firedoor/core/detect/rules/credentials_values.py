"""What stands behind a word such as "password", and how it is joined to it."""

from __future__ import annotations

import re

from firedoor.core.detect.rules import credentials_words as words

_OPEN = "[\"'\u201c\u201e\u201d\u2018\u00ab`(\\[<]{0,2}"
_BE = "|".join(sorted(map(re.escape, words.LINKS.split()), key=len, reverse=True))
_FEW_WORDS = r"(?:[ ][^\W\d_]{1,14})"
_LINK = re.compile(
    rf"(?P<sign>{_FEW_WORDS}{{0,3}}?[\"'\u2019\u201d)\]*]{{0,3}}\s{{0,3}}"
    rf"(?:=>|->|:=|[:=])[ \t*]{{0,4}}\n?[ \t]{{0,4}}{_OPEN})"
    rf"|(?P<verb>{_FEW_WORDS}{{0,6}}?[ ](?:{_BE})(?:[ ](?:now|set to|jetzt|nun|ora|ahora|teraz))?[ :]{{1,3}}{_OPEN})"
    r"|(?P<line>[ \t]{0,3}\n[ \t]{0,3})"
    rf"|(?P<quoted>[ ]{{1,3}}(?=[\"'\u201c\u201e\u00ab`(]){_OPEN})|(?P<none>[ ]{{1,3}})",
    re.IGNORECASE,
)
_CLOSE = {"(": ")", "[": "]", "<": ">", "\u201e": "\u201c", "\u201c": "\u201d", "\u00ab": "\u00bb"}
_VALUE = re.compile(r"\S{1,128}")
_MAX_VALUE = 100
_TRAIL = ".,;:\"'\u201c\u201d\u00bb`?"
_CLAUSE_ENDS = re.compile(r"[ \t]{0,2}(?:[\n.,;!?)\"'\u201c\u201d\u00bb]|\Z|[-/|\u2013]\s)")
LINE_ENDS = re.compile(r"[ \t]{0,3}(?:\r?\n|\Z)")


class Value:
    """`written` stands at `start`..`end` of `text`, and is joined by a "sign", a "verb", a new "line", or "none"."""

    __slots__ = ("end", "kind", "start", "text", "written")

    def __init__(self, text: str, start: int, end: int, kind: str) -> None:
        self.text = text
        self.start, self.end = start, end
        self.kind = kind
        self.written = text[start:end]

    def ends_its_clause(self) -> bool:
        """Whether nothing of the same clause follows."""
        return _CLAUSE_ENDS.match(self.text, self.end) is not None

    def ends_its_line(self) -> bool:
        """Whether nothing of the same line follows."""
        return LINE_ENDS.match(self.text, self.end) is not None


def value_behind(text: str, at: int) -> Value | None:
    """The value joined to the word that ends at `at`, without the quotes and the punctuation around it."""
    link = _LINK.match(text, at)
    if link is None:
        return None
    match = _VALUE.match(text, link.end())
    if match is None:
        return None
    start, end = match.span()
    opener = link[0].strip()[-1:] if link["none"] is None and link["line"] is None else ""
    closer = _CLOSE.get(opener, opener if opener in "\"'`" else "")
    closed = text.find(closer, start, start + _MAX_VALUE) if closer else -1
    if closed > start:
        end = closed
    else:
        while end > start and text[end - 1] in _TRAIL:
            end -= 1
        if end > start and text[end - 1] == ")" and "(" in text[max(0, at - 40) : at]:
            end -= 1
    kind = link.lastgroup or ""
    return Value(text, start, end, "sign" if kind == "quoted" else kind) if end > start else None


def is_word(written: str) -> bool:
    """Whether `written` may be a word of the sentence: letters only, not in mixed case."""
    bare = written.replace("'", "").replace("-", "").replace("\u2019", "")
    return bare.isalpha() and (bare[1:].islower() or bare.isupper() or len(bare) == 1)


def about_it(written: str) -> bool:
    """Whether `written` is a word of a sentence about a password or a user name."""
    low = written.lower().replace("\u2019", "'")
    return low in words.NOT_SECRET or low.endswith(words.NOT_SECRET_ENDINGS)
