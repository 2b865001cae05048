"""Identifiers of persons: national and tax numbers, documents, accounts, dates of birth, post codes, card codes.

Two ways, both on the text and a folded copy of it (lower case, no accents): a word that announces a value, and forms
that need no word. Which of the two a text needs, the gate can tell beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from firedoor.core.detect.rules import identifiers_fields as fields
from firedoor.core.detect.rules.identifiers_accounts import ACCOUNTS
from firedoor.core.detect.rules.identifiers_births import BIRTHS
from firedoor.core.detect.rules.identifiers_fields import Cut, Field, Found, cuts_at, fold
from firedoor.core.detect.rules.identifiers_forms import ADDRESS_OUTLINES, FORMS, address_codes, formed
from firedoor.core.detect.rules.identifiers_national import NATIONAL
from firedoor.core.detect.rules.identifiers_tax import TAX
from firedoor.core.detect.spans import Span


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIELDS: tuple[Field, ...] = (*NATIONAL, *TAX, *ACCOUNTS, *BIRTHS)

OUTLINES = (ADDRESS_OUTLINES, *(form.outlines for form in FORMS))
"""For the gate: what the bits of `identifiers` stand for; the bit after them stands for the words."""
_WORDS = 1 << len(OUTLINES)

_NUMBER = """
    number numbers numer numeru numerem num no nos nr nro nº n º id ids nummer nummern numero numeros cislo c
    szam szama broj stevilka numaras numurs numar code kod kode kodu nbr ref reference ending digits номер
    αριθμος numerot"""
_FILLERS = """
    is are was it its be the my our your a an as of on at for and to should last s here has with
    ist sind lautet lauten meine mein der die das den dem am vom und war le la les l est sont du de des ma mon votre sa
    son el es son mi mis su y del il lo e mio mia suo sono op de het een en mijn zijn is dnia w dniu jest to o moj moja
    moje bankowego bankowy osobistego mi meu minha os ar den din mitt min er det og on ja je jsem dne v az egy este
    data nat new old correct following given kept below tel"""
_GAP = r"[\s:;#=,.()\"'*|°º/\\\-\u2013\u2014_>\[\]{}]"
_BETWEEN_WORDS = "|".join(sorted({*_NUMBER.split(), *_FILLERS.split()}, key=len, reverse=True))
_ANY = re.compile(
    rf"(?:{_GAP}{{0,8}}(?:{_BETWEEN_WORDS}|last (?:four|4)(?: digits)?)"
    rf"(?![^\W_])){{0,6}}{_GAP}{{0,28}}"
)
_SAYS_NUMBER = re.compile(rf"[:#=]|(?<![^\W_])(?:{'|'.join(_NUMBER.split())})(?![^\W_])")
_ENDS_IN_NUMBER = re.compile(
    r"(?:number|nummer|numer|nr|no|id|code|kod|numero|cislo|szam|szama|broj|αριθμος|номер|(?<![^\W_])(?:n|num))\Z"
)
_BEGINS_WITH_NUMBER = re.compile(
    r"(?:n|nr|no|numero|numer|numeru|numerem|cislo|seria|codice|codigo|kod|codul|cod|αριθμος)(?![^\W_])"
)
_PLACE = re.compile(r" (?:in|at|a|à|en|w|we|te|v|ve|i|em|la) [^\W\d_]{2,30}(?:[ -][^\W\d_]{2,30})?,?(?= )")
_WORD = re.compile(r"[^\W\d_]+")
_BETWEEN = re.compile(r"[\W_]{1,3}")
_DIGITS = re.compile(r"[0-9]")
_GROUP = re.compile(r"[0-9a-z]+")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_MONEY = re.compile(
    r"[.,][0-9]|\s?[%€$£]|\s?(?:percent|prozent|procent|dollars?|bucks|pounds?|quid|euros?|eur|usd|gbp|pln|zl"
    r"|kr|sek|nok|dkk|chf|rs|rupees|days?|weeks?|months?|years?|hours?|hrs?|minutes?|mins?|times|points?|items?|tage"
    r"|wochen|jahre|monate|jours|mois|ans|dias|meses|anos|giorni|mesi|anni|dagen|weken|maanden|dni|miesiecy|lat|am|pm"
    r"|mah|ml|cm|mm|kg|gb|gr?|x)(?![^\W_])"
)
_ANOTHER = re.compile(r"\s{0,2}(?:[,;/&+|]|and|und|et|y|e|en|i|oraz|or|oder|ou|o)\s{1,2}")
_LISTED = frozenset({"account.medical", "national.card", "national.passport"})
_MAX_LISTED = 20
_BACK, _FAR = 64, 120  # code points that words and fillers take behind a value and before it
_SAID_BEHIND = _words(
    """
    is are was my the of ist mein meine meiner meinem est mon ma es mi e il mio la mia to moj jest moja mijn het last
    four digits number numer nummer for and"""
)
_LAST_GROUPS = re.compile(r"[0-9a-z]{1,20}(?:[ ./-][0-9a-z]{0,6}[0-9][0-9a-z]{0,12}){0,6}")


class _Entry(NamedTuple):
    """A phrase: the words behind its first one, and the fields it announces."""

    rest: tuple[str, ...]
    numbered: bool  # the phrase itself says that a number follows
    weak: bool
    capitals: bool
    field: Field


def phrases(field: Field) -> Iterator[str]:
    """The phrases of `field` as `Field` describes them, folded."""
    for written in field.words.split(","):
        words = " ".join(written.split())
        mark = words[0] if words[0] in "~^" else ""
        yield mark + fold(words.removeprefix(mark))


def _entries() -> dict[str, tuple[_Entry, ...]]:
    table: dict[str, list[_Entry]] = {}
    for field in FIELDS:
        for phrase in dict.fromkeys(phrases(field)):
            bare = phrase.lstrip("~^")
            words = _WORD.findall(bare)
            numbered = bool(_ENDS_IN_NUMBER.search(bare) or _BEGINS_WITH_NUMBER.match(bare))
            entry = _Entry(tuple(words[1:]), numbered, phrase[0] == "~", phrase[0] == "^", field)
            table.setdefault(words[0], []).append(entry)
    return {word: tuple(sorted(some, key=lambda entry: -len(entry.rest))) for word, some in table.items()}


_ENTRIES = _entries()


def cue_phrases() -> list[str]:
    """Every phrase that announces a value, folded: what the gate looks for."""
    return sorted({phrase.lstrip("~^") for field in FIELDS for phrase in phrases(field)})


def identifiers(text: str, low: str, needed: int = -1) -> Iterator[Span]:
    """The identifiers of `text`; `low` is `fold(text)`, `needed` says what to look for (bits: `OUTLINES`, words)."""
    if needed & _WORDS:
        yield from _Announced(text, low).spans()
    if forms := needed >> 1:
        yield from formed(text, low, forms)
    if needed & 1:
        yield from address_codes(text, low)


class _Announced:
    """The values of one text that a word announces. What several fields ask about one place is asked once."""

    __slots__ = ("_before", "_cuts", "_gaps", "_low", "_text")

    def __init__(self, text: str, low: str) -> None:
        self._text = text
        self._low = low
        self._gaps: dict[int, re.Match[str]] = {}
        self._cuts: dict[int, list[Cut]] = {}
        self._before: dict[int, tuple[list[int], int, bool] | None] = {}

    def spans(self) -> Iterator[Span]:
        """Everything announced, in the order of the words."""
        taken = 0
        for word in _words_near_digits(self._low):
            entries = _ENTRIES.get(word[0])
            if entries is None or word.start() < taken:
                continue
            best = self._best(word, entries)
            if best is not None:
                for span in self._with_others(*best):
                    taken = span.end
                    yield span
            self._gaps.clear()
            self._cuts.clear()
            self._before.clear()

    def _best(self, word: re.Match[str], entries: tuple[_Entry, ...]) -> tuple[Found, Field] | None:
        """What the longest phrase that begins with `word` announces, and of its fields the one that fits best."""
        best: tuple[Found, Field] | None = None
        length = -1
        for entry in entries:
            if best is not None and len(entry.rest) < length:
                break
            end = _end_of_phrase(self._low, word.end(), entry.rest)
            if end is None or (entry.capitals and not self._text[word.start() : end].isupper()):
                continue
            found = self._behind(word.start(), end, entry) or self._in_front(word.start(), entry.field)
            if found and (best is None or _better(found, best[0])):
                best, length = (found, entry.field), len(entry.rest)
        return best

    def _gap(self, end: int) -> re.Match[str]:
        """Fillers and signs from `end` on."""
        gap = self._gaps.get(end) or _ANY.match(self._low, end)
        assert gap is not None  # the pattern matches nothing as well
        self._gaps[end] = gap
        return gap

    def _read(self, field: Field, at: int) -> Found | None:
        if field.shapes and at not in self._cuts:
            self._cuts[at] = cuts_at(self._text, at)
        return fields.read(field, self._low if field.rule == "order.spelt" else self._text, at, self._cuts.get(at))

    def _behind(self, start: int, end: int, entry: _Entry) -> Found | None:
        """The value behind the phrase at `start`..`end`."""
        field, low = entry.field, self._low
        gap = self._gap(end)
        numbered = entry.numbered or _SAYS_NUMBER.search(gap[0]) is not None
        if entry.weak and not numbered:
            return None
        at = gap.end()
        if field.label == "DATE_OF_BIRTH" and (place := _PLACE.match(low, end)):
            at = self._gap(place.end()).end()
        if not low[at : at + 1].isalnum():
            return None
        found = self._read(field, at)
        if found is None or not _plausible(low, found, field, gap[0], numbered=numbered):
            return None
        if gap[0] == "-":
            if field.label == "ACCOUNT_ID" and not entry.rest:
                return found._replace(start=start)  # MRN-324113
            if field.shapes and found.score < fields.CHECKED:
                return None  # NIP-060-280-27-47 is a code of somebody's, unless its checksum says otherwise
        return found

    def _in_front(self, start: int, field: Field) -> Found | None:
        """The value right before the word at `start`: ``… is my PESEL``, ``… (NIP)``."""
        if not field.shapes:
            return None
        if start not in self._before:
            self._before[start] = self._groups_before(start)
        known = self._before[start]
        if known is None:
            return None
        begins, stop, said = known
        first = begins[0]
        written = self._text[first:stop]
        for begin in begins:
            found = fields.read(field, written, begin - first)
            if found and found.end == stop - first and found.score >= (fields.UNCHECKED if said else fields.CHECKED):
                return Found(begin, stop, found.score)
        return None

    def _groups_before(self, start: int) -> tuple[list[int], int, bool] | None:
        """Where the groups before the word at `start` begin, where they end, and whether words join them to it."""
        before = self._low[max(0, start - _BACK) : start]
        if _DIGITS.search(before) is None:
            return None
        end, said = len(before), False
        for word in reversed(list(_WORD.finditer(before))):
            if word[0] not in _SAID_BEHIND or any(map(str.isalnum, before[word.end() : end])):
                break
            end, said = word.start(), True
        tail = before[:end].rstrip(" ,:(-")
        signs = before[len(tail) : end].strip()
        back = _LAST_GROUPS.match(tail[::-1])
        if not (said or signs) or back is None or _DIGITS.search(back[0]) is None:
            return None
        stop = start - len(before) + len(tail)
        begins = [stop - back.end() + group.start() for group in _GROUP.finditer(back[0][::-1])]
        return begins, stop, said or "(" in signs

    def _with_others(self, found: Found, field: Field) -> Iterator[Span]:
        """`found`, and further values of the same kind in a list behind it."""
        yield Span(found.start, found.end, field.label, field.rule, found.score)
        if not field.shapes and field.rule not in _LISTED:
            return
        end = found.end
        for _ in range(_MAX_LISTED):
            comma = _ANOTHER.match(self._low, end)
            other = fields.read(field, self._text, comma.end()) if comma else None
            if other is None or not _plausible(self._low, other, field, "", numbered=False):
                return
            yield Span(other.start, other.end, field.label, field.rule, other.score)
            end = other.end


def _words_near_digits(low: str) -> Iterator[re.Match[str]]:
    """The words that may announce a value: values have digits, and stand at most some fillers away."""
    first = _DIGITS.search(low)
    if first is None:
        return iter(())
    last = max(map(low.rfind, "0123456789"))
    # The space before: no search begins in the middle of a word.
    start = low.rfind(" ", 0, max(0, first.start() - _FAR)) + 1
    return _WORD.finditer(low, start, last + _BACK)


def _better(one: Found, other: Found) -> bool:
    return (one.score, one.end - one.start) > (other.score, other.end - other.start)


def _end_of_phrase(low: str, end: int, rest: tuple[str, ...]) -> int | None:
    """Where the phrase ends whose first word ends at `end`; None if other words than `rest` follow."""
    for wanted in rest:
        between = _BETWEEN.match(low, end)
        if between is None or not low.startswith(wanted, between.end()):
            return None
        end = between.end() + len(wanted)
        if low[end : end + 1].isalpha():
            return None
    return end


def _plausible(low: str, found: Found, field: Field, gap: str, *, numbered: bool) -> bool:
    """Whether what was read is no amount of money, year or measure, and no other line's number."""
    if field.value is None or field.label == "DATE_OF_BIRTH":
        return True
    if _MONEY.match(low, found.end) and field.label != "POSTCODE":
        return False
    if numbered:
        return True
    return "\n" not in gap and not _YEAR.fullmatch(low, found.start, found.end)
