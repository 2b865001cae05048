"""Values taken apart: letters and digits written singly, and pieces on several lines or turns of a chat."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from firedoor.core.detect.disguise import words
from firedoor.core.detect.disguise.views import Edit

# --- singly: "j a n @ e x a m p l e . o r g", "4.1.1.1", "0|1|7|0" ---

_SIGN = r"\s._\-/|,;:*~·•+@()"
_SAID = words.one_of(words.AT_SURE | words.AT_MAYBE | words.DOTS)
MIN_SINGLE = 5
_ONE = "[0-9A-Za-z\u00c0-\u024f]"  # scripts without spaces between words write every sign singly
_SINGLE = rf"{_ONE}(?![^\W_])"
_GAP = rf"(?:[{_SIGN}]{{1,5}}|[\s\[({{]{{1,2}}(?:{_SAID})[\s\])}}]{{1,2}})(?={_SINGLE})"
_RUN = re.compile(
    rf"(?P<plus>\+(?P<gap>[{_SIGN}]{{1,3}}))?(?<![^\W_]){_SINGLE}(?:{_GAP}{_ONE}){{{MIN_SINGLE - 1},}}", re.IGNORECASE
)
_ONE_GAP = re.compile(_GAP, re.IGNORECASE)
_KEPT = "@._-+"


def spelt_singly(text: str) -> bool:
    """Whether at least `MIN_SINGLE` letters or digits stand singly in a row."""
    return _RUN.search(text) is not None


def closed_up(text: str) -> Iterator[Edit]:
    """What stands between single letters and digits becomes nothing, a space, or the sign that belongs there.

    The gap that is most common in a run is what takes it apart; any other says something.
    """
    for run in _RUN.finditer(text):
        gaps: list[tuple[int, int]] = []
        at = (run.end("plus") if run["plus"] else run.start()) + 1
        while at < run.end() and (gap := _ONE_GAP.match(text, at)):
            gaps.append(gap.span())
            at = gap.end() + 1
        usual = Counter(text[begin:end] for begin, end in gaps).most_common(1)[0][0]
        if run["plus"]:
            yield Edit(*run.span("gap"), "")
        for begin, end in gaps:
            if "\n" in usual or "\n" not in text[begin:end]:  # else another line begins
                yield Edit(begin, end, _meant(text[begin:end], usual))


def _meant(gap: str, usual: str) -> str:
    """What `gap` says in a run that is taken apart by `usual`."""
    if gap == usual:
        return ""
    said = gap.strip().strip("[](){}").casefold()
    if said in words.DOTS:
        return "."
    if said.isalpha():
        return "@"
    mark = usual.strip()[:1]
    signs = [c for c in gap if c in _KEPT and c != mark]
    if signs:
        return signs[0]
    if mark and not gap.strip():
        return " "  # a word before or behind it: "è 4|1|1|1"
    if mark:
        return mark if mark in _KEPT and gap.count(mark) >= 3 else ""
    return " " if len(gap) > len(usual) and not gap.strip() else ""


# --- in groups with signs that nobody needs: "4111_1111_1111_1111" ---

_GROUPS = re.compile(r"(?<![^\W_])(?:[A-Z]{2})?[0-9]{2,6}(?:[_*~•·]{1,3}[0-9A-Z]{1,6}){1,9}(?![^\W_])")
_ODD_SIGNS = re.compile("[_*~•·]{1,3}")


def grouped(text: str) -> Iterator[Edit]:
    """Spaces instead of odd signs between groups that have the digits of a number."""
    for match in _GROUPS.finditer(text):
        if _MIN_JOINED <= _count(match[0]) <= _MAX_JOINED:
            for signs in _ODD_SIGNS.finditer(text, *match.span()):
                yield Edit(*signs.span(), " ")


def oddly_grouped(text: str) -> bool:
    """Whether an odd sign stands between digits, perhaps."""
    return ("_" in text or "*" in text or "~" in text or "•" in text or "·" in text) and _GROUPS.search(
        text
    ) is not None


# --- in pieces ---

_NEXT = words.one_of(
    words.one_by_one(
        """
        and then next rest the is second third last first final four three two digits part half numbers followed by it
        are goes continues ends with uh um ok okay yes so also plus
        und dann der die das den rest nächste letzte weiter danach ja
        et puis ensuite la le suite fin reste oui y luego después el resto sí e poi il fine sì en dan de laatste
        vervolgens i potem dalej reszta tak depois"""
    )
)
_FILLERS = rf"(?:(?:{_NEXT})(?:\s?['\u2019]s)?[ \t,:.…-]{{1,4}}){{0,7}}"
_ROLES = words.one_of(
    words.one_by_one(
        """
        user customer client shopper caller buyer visitor guest human me you agent assistant bot ai support service
        system operator advisor kunde kundin käufer nutzer mitarbeiter berater kundenservice ich utilisateur acheteur
        conseiller vous moi cliente comprador usuario agente asesor operador acquirente utente operatore assistente
        klant koper gebruiker medewerker klantenservice ik klient klientka konsultant użytkownik ja utilizador
        atendente"""
    )
)
_SPEAKER = rf"(?:[*\[]{{0,2}}(?:{_ROLES})[*\]]{{0,2}}(?: ?[0-9]{{1,2}})?:[*\]]{{0,2}}[ \t]{{0,3}})?"
# A line of somebody else may stand between two turns: "assistant: go on".
_ANOTHER = rf"(?:(?:{_ROLES}):[^\n0-9@]{{0,80}}\n[ \t\r]{{0,4}})?"
BREAK = rf"[ \t\r]{{0,3}}\n[ \t\r\n>]{{0,4}}{_ANOTHER}{_SPEAKER}{_FILLERS}"
_TRAIL = rf"[ \t]{{0,2}}(?:[,;:…/\u2013\u2014-]{{0,4}}|\.{{2,5}})(?:[ \t]{{1,3}}(?:{_NEXT})\b[,.…]{{0,3}}){{0,2}}"
_THEN = "and then|then|followed by|und dann|dann|puis|luego|e poi|poi|en dan|potem|depois"
_GO_ON = rf"[ \t,]{{0,3}}(?:\.{{2,5}}|…|{_THEN})[ \t.…]{{1,4}}"
_DIGIT_BREAK = re.compile(rf"(?<=[0-9])(?:{_TRAIL}{BREAK}|{_GO_ON})(?=[(+]?[0-9])", re.IGNORECASE)
_BROKEN_OFF = re.compile(
    rf"[0-9](?:[^\w\n.]{{0,4}}\n|[ ,]{{0,2}}(?:\.\.|…)|,?[ ](?:{_THEN}|(?:{_NEXT})[ .,]{{0,2}}\n))"
)
_DIGITS_BACKWARDS = re.compile(r"[0-9](?:[ ./-]{0,2}[0-9]){0,40}+(?P<account>\+|[A-Za-z]{2}(?![^\W_]))?")
_DIGITS = re.compile(r"[0-9(+]{0,2}[0-9](?:[ ./)-]{0,2}[0-9]){0,40}")
_PIECE_REACH = 60
_MIN_JOINED, _MAX_JOINED = 9, 30
"""Digits: from the shortest national ids to a bank account's."""
_WHOLE = range(9, 12)
"""Digits of a piece that is a number of its own more often than a part of one, but for a card or an account."""
_CARD = 16


def broken_off(text: str) -> bool:
    """Whether a line break, or a word that says that more follows, stands behind a digit."""
    return _BROKEN_OFF.search(text) is not None


def rejoined(text: str) -> Iterator[Edit]:
    """A space instead of what stands between the pieces of one number."""
    pending: list[tuple[int, int]] = []
    counts: list[int] = []
    account = False  # a plus, or the letters of a country, stand before the first piece
    for match in _DIGIT_BREAK.finditer(text):
        start, end = match.span()
        if pending and not _only_digits(text, pending[-1][1], start):
            yield from _joined(pending, counts, account)
            pending, counts = [], []
        if not pending:
            before = _DIGITS_BACKWARDS.match(text[max(0, start - _PIECE_REACH) : start][::-1])
            counts.append(_count(before[0]) if before else 0)
            account = before is not None and before["account"] is not None
        after = _DIGITS.match(text, end)
        counts.append(_count(after[0]) if after else 0)
        pending.append((start, end))
    yield from _joined(pending, counts, account)


def _only_digits(text: str, start: int, end: int) -> bool:
    match = _DIGITS.match(text, start, end)
    return match is not None and match.end() == end


def _count(written: str) -> int:
    return sum(map(str.isdigit, written))


def _joined(breaks: list[tuple[int, int]], counts: list[int], account: bool) -> Iterator[Edit]:
    if not breaks or not _MIN_JOINED <= sum(counts) <= _MAX_JOINED:
        return
    if not account and sum(counts) != _CARD and any(count in _WHOLE for count in counts):
        return
    for start, end in breaks:
        yield Edit(start, end, " ")
