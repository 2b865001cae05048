"""Passwords, codes, keys and secret answers: what stands behind their words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.rules import credentials_words as words
from firedoor.core.detect.rules.credentials_tokens import MIN_TOKEN
from firedoor.core.detect.rules.credentials_values import LINE_ENDS, Value, about_it, is_word, value_behind
from firedoor.core.detect.spans import Span

_PASSWORD, _PASS, _CODE = words.Cues(words.PASSWORDS), words.Cues(words.PASSES), words.Cues(words.CODES)
_KEY, _ANSWER = words.Cues(words.KEYS), words.Cues(words.ANSWERS)
CUES = _PASSWORD.telling | _PASS.telling | _CODE.telling | _KEY.telling | _ANSWER.telling
_IN_A_KEY = re.compile("passw(?:or[dt]|d)|contrase[ñn]a")
"""Also inside longer words: ``newPassword``."""

_TWO_WORDS = re.compile(r"[^\W\d_]{1,12} [0-9]{1,8}(?: [^\W\d_]{1,3})?(?=[ \t]{0,2}(?:\r?\n|\Z))")


def passwords(text: str, lower: str, cues: frozenset[str]) -> Iterator[Span]:
    """Passwords. `lower`: `text` in lower case; `cues`: its words that are in `CUES`."""
    ends = [cue.end() for cue in _PASSWORD.find(lower, cues)]
    if not ends and ("passw" in lower or "contrase" in lower):
        ends = [cue.end() for cue in _IN_A_KEY.finditer(lower)]
    for end in ends:
        value = value_behind(text, end)
        if value:
            yield from _password(value)
    for cue in _PASS.find(lower, cues):
        value = value_behind(text, cue.end())
        if value and value.kind == "sign":
            yield from _password(value)


def _password(value: Value) -> Iterator[Span]:
    written = value.written
    if len(written) < 3 and value.kind != "sign":
        pair = _TWO_WORDS.match(value.text, value.start)
        if pair:
            yield Span(*pair.span(), "SECRET", "secret.password", 0.6)
        return
    if is_word(written):
        if value.kind == "line" or written.lower() in words.NOT_SECRET:
            return
        pair = _TWO_WORDS.match(value.text, value.start)
        if pair:
            yield Span(*pair.span(), "SECRET", "secret.password", 0.6)
        elif value.kind != "none" and len(written) >= 4 and value.ends_its_clause() and not about_it(written):
            yield Span(value.start, value.end, "SECRET", "secret.password", 0.6)
        return
    if value.kind == "line" and not value.ends_its_line():
        return
    if _looks_secret(written, value):
        score = {"sign": 0.95, "verb": 0.9}.get(value.kind, 0.8)
        yield Span(value.start, value.end, "SECRET", "secret.password", score)


_QUANTITY = re.compile(
    r"[ ]?(?:times?|x|days?|hours?|hrs?|min(?:ute)?s?|weeks?|months?|years?|characters?|chars?|letters?|digits?|"
    r"attempts?|tagen?|stunden?|minuten?|wochen?|monaten?|zeichen|mal|ziffern|stellen|jours?|heures?|semaines?|fois|caractères|"
    r"chiffres|días?|horas?|semanas?|veces|caracteres|dígitos|giorni|ore|settimane|volte|caratteri|cifre|dagen|uur|uren|"
    r"weken|keer|tekens|cijfers|dni|godzin|tygodni|razy|znaków|cyfr)(?![^\W\d_])",
    re.IGNORECASE,
)
_ORDINAL = re.compile(
    r"[0-9]{1,4}(?:st|nd|rd|th|x|ème|e|er|h|min|s|[.:][0-9]{1,2})?|[0-9]{1,2}[./-][0-9]{1,2}(?:[./-][0-9]{2,4})?"
)


def _looks_secret(written: str, value: Value) -> bool:
    """Whether a value that is no word can be a password: digits or signs among letters, or a number of some length."""
    if len(written) < 3 or "://" in written or written.startswith("//") or _QUANTITY.match(value.text, value.end):
        return False
    if written.isdigit():
        return True
    if _ORDINAL.fullmatch(written):
        return value.kind == "sign"
    digits = any(map(str.isdigit, written))
    letters = any(map(str.isalpha, written))
    signs = not written.replace("'", "").replace("-", "").replace("/", "").isalnum()
    mixed = letters and not written[1:].islower() and not written.isupper() and not written.islower()
    if digits:
        return letters or signs
    return (signs and letters and value.kind in ("sign", "verb")) or (mixed and not written[1:].islower())


_CODE_VALUE = re.compile(r"[0-9]{3}[ -][0-9]{3}(?![\w-])|[A-Za-z0-9](?:[A-Za-z0-9-]{1,14}[A-Za-z0-9])?(?!\w)")


_GOES_ON = re.compile(r"[%€$£@]|[.,][0-9]")


def codes(text: str, lower: str, cues: frozenset[str]) -> Iterator[Span]:
    """PINs, TANs, one-time and door codes."""
    for cue in _CODE.find(lower, cues):
        value = value_behind(text, cue.end())
        match = _CODE_VALUE.match(text, value.start) if value else None
        if value is None or match is None or _QUANTITY.match(text, match.end()):
            continue
        written = match[0]
        digits = sum(map(str.isdigit, written))
        if digits < 3 and not (value.kind == "sign" and digits and len(written) >= 4):
            continue
        if value.kind == "line" and not LINE_ENDS.match(text, match.end()):
            continue
        if cue[0] == "tan" and (len(written) != digits or digits < 5):
            continue  # the colour, with a size
        if _GOES_ON.match(text, match.end()):
            continue
        yield Span(*match.span(), "SECRET", "secret.code", 0.9 if value.kind in ("sign", "verb") else 0.8)


_KEY_VALUE = re.compile(r"[A-Za-z0-9_+/=.~!$%&*#^:-]{6,2000}")


def keys(text: str, lower: str, cues: frozenset[str]) -> Iterator[Span]:
    """Keys and tokens without a form of their own."""
    for cue in _KEY.find(lower, cues):
        value = value_behind(text, cue.end())
        match = _KEY_VALUE.match(text, value.start) if value else None
        if value is None or match is None:
            continue
        end = match.end()
        while text[end - 1] in ".:!":
            end -= 1
        written = text[value.start : end]
        digits = sum(map(str.isdigit, written))
        if len(written) < 8 and value.kind != "sign":
            continue
        if digits >= 2 and any(map(str.isalpha, written)) and "://" not in written and "--" not in written:
            yield Span(value.start, end, "SECRET", "secret.key", 0.9 if len(written) >= MIN_TOKEN else 0.7)


_ANSWER_VALUE = re.compile(r"[^\W_][^\n.,;!?\"'\u201c\u201d]{1,39}")


def answers(text: str, lower: str, cues: frozenset[str]) -> Iterator[Span]:
    """Answers to secret questions."""
    for cue in _ANSWER.find(lower, cues):
        value = value_behind(text, cue.end())
        match = _ANSWER_VALUE.match(text, value.start) if value and value.kind in ("sign", "verb") else None
        if match and not about_it(match[0].split()[0]):
            end = match.start() + len(match[0].rstrip())
            yield Span(match.start(), end, "SECRET", "secret.answer", 0.8)
