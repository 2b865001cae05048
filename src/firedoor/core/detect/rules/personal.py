"""Personal data with a form of its own: e-mail addresses, phone numbers, cards, bank accounts, IP addresses, order ids.

Three stages, cheapest first: one search for ``@`` and one for runs of digits (a text without either is done within
microseconds), then the words before a run and its form, then checksums and numbering plans for what is left. Every
pattern is linear in the text and every look-around is bounded.

Where two findings overlap, the first of this list stands: EMAIL, IBAN, CREDIT_CARD, IP, PHONE, ORDER_ID. Decisions:

- A word such as "IBAN" or "card" makes a number personal whose checksum fails: customers mistype.
- An order id needs the word (``order 10042``), a ``#`` (``#1001``, but not six digits: that is a colour), or a prefix
  of its own (``ORD-2024-00123``). A bare number is nothing.
- ``version 10.0.0.1`` is a version, ``10.0.0.1`` an address. Loopback and unspecified addresses are nobody's.
- A word right behind a number counts as well (``781 1704 office``), unless another number follows it.
- Disguises (``jan at example dot org``, zero-width characters) are undone before: see `disguise`.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator

from firedoor.core.detect.rules import numbers
from firedoor.core.detect.rules.cues import Cue, cue_before
from firedoor.core.detect.spans import Span

_PRECEDENCE = {label: rank for rank, label in enumerate(("EMAIL", "IBAN", "CREDIT_CARD", "IP", "PHONE", "ORDER_ID"))}

# The spaces and hyphens that keyboards and word processors put into numbers, and full-width signs.
_SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_PLAIN = {
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\uff0d", "-"),
    "\uff20": "@",
    "\uff0b": "+",
    "\uff0e": ".",
    "\uff1a": ":",
    "\uff03": "#",
}
_UNUSUAL = re.compile("[^\x00-\x9f\xa1-\u065f]")  # Latin, Greek, Cyrillic, Hebrew pass in one comparison

# --- e-mail: a dot-atom of RFC 5321 with letters of any script (RFC 6531), at a host name with a dot ---
_LOCAL_BACKWARDS = re.compile(r"[\w.+'%&~-]{1,64}")
_DOMAIN = re.compile(
    r"(?:[^\W_]{1,63}(?:-{1,3}[^\W_]{1,63}){0,8}\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})", re.IGNORECASE
)
_MAX_DOMAIN = 255
_AT = re.compile("@")
_ESCAPED_AT = re.compile(r"@|\\{1,4}u0040")  # as the source of JSON may have it; inside its strings escaped again
_ESCAPE = re.compile(r"u[0-9A-Fa-f]{4}|[nrt]")
_FILES = frozenset({"png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "pdf", "js", "css", "html"})  # logo@2x.png

# --- numbers: groups of digits and the separators people put between them ---
_NUMBER = re.compile(r"[0-9]+(?:(?: ?[-.()]{1,2} ?| {1,2}|/)[0-9]+){0,23}")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_QUAD = re.compile(rf"(?<![0-9.]){_OCTET}(?:\.{_OCTET}){{3}}(?!\.?[0-9])")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15}(?!\w)")
_MIN_IPV6 = 6
_MAX_POSTCODE = 5
_MONEY_OR_MEASURE = re.compile(
    r",[0-9]|\s?(?:[%€$£°]|(?:eur|euros?|usd|gbp|chf|pln|zł|kr|sek|nok|dkk|kg|g|mg|cm|mm|m|km|ml|l|mah|gb|tb|mb|hz|w|v|x|"
    r"pcs|pieces?|items?|stk|stück|pièces?|articles?|unidades|pezzi|stuks|sztuk|points?|punkte|dollars?|bucks|pounds?|quid)(?![^\W_]))",
    re.IGNORECASE,
)

_SAID_BEHIND = re.compile(  # 781 1704 office, 082 490 1693 (mobile): no word that belongs to the next number
    r"\s?[-(\[]?\s?(?:office|fax|mobile|cell|landline|telephone|whatsapp|mobil|handy|festnetz|privat|portable|fixe|movil|móvil"
    r"|fijo|cellulare|mobiel|komórka|komorka)\s{0,2}(?:[,;|)\]\\\n.]|\Z)",
    re.IGNORECASE,
)

# --- order ids ---
_ID = re.compile(r"[A-Za-z0-9]{1,20}(?:[-_][A-Za-z0-9]{1,20}){0,4}")
_ID_HEAD_BACKWARDS = re.compile(r"[A-Za-z0-9_-]{1,24}(?![A-Za-z0-9_-])")
_PLAIN_ID = re.compile(r"(?:[A-Za-z]{1,6}[-_]?)?[0-9]+(?:[-_][0-9]+){0,3}")
_OWN_PREFIX = re.compile(r"(?:ord|order|cmd|ped|zam|bst)[-_]?[0-9]", re.IGNORECASE)
_FOREIGN_PREFIX = re.compile(r"(?:sku|art|ean|isbn|ref|item|model|mod|inv|re|rma|tel)(?![A-Za-z])", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_ANOTHER = re.compile(r"\s*(?:[,;/&+]|and|or|und|oder|et|ou|y|o|e|en|i|oraz)\s*#?", re.IGNORECASE)
_COLOUR_DIGITS = 6
_MAX_ID = 32
_MIN_ID_DIGITS = 3


class PersonalData:
    """Finds personal data in texts: of the labels above, and no others."""

    def __init__(self) -> None:
        self._plans = numbers.numbering_plans()

    def find(self, text: str) -> list[Span]:
        """Spans of personal data, sorted, not overlapping; offsets count code points."""
        found = self.spans(plain(text))
        return _settled(found) if found else found

    def spans(self, text: str) -> list[Span]:
        """Everything found in `text`, which is `plain`; spans may overlap."""
        found = list(_NumberSearch(text, self._plans).spans())
        if "@" in text or "\\u0040" in text:
            found += _emails(text)
        if "::" in text or text.count(":") >= 6:
            found += _ipv6(text)
        return found


def plain(text: str) -> str:
    """`text` with ASCII digits for those of any script, and plain signs for full-width ones; offsets stay."""
    return text if text.isascii() else _UNUSUAL.sub(_plain, text)


class _NumberSearch:
    """Cards, bank accounts, IPv4 addresses, phone numbers and order ids of one text: whatever has digits in a row."""

    __slots__ = ("_cardless", "_last", "_plans", "_text")

    def __init__(self, text: str, plans: numbers.NumberingPlans) -> None:
        self._text = text
        self._plans = plans
        self._last: Span | None = None
        self._cardless = 0  # the end of the digits in which no card was found: their later parts have none either

    def spans(self) -> Iterator[Span]:
        """Everything found, roughly in the order of the text."""
        taken = 0
        for match in _NUMBER.finditer(self._text):
            start, end = max(match.start(), taken), match.end()
            parts = [(start, end)] if start < end else []
            while parts:
                start, end = parts.pop()
                span = self._number(start, end)
                if span is None:
                    if start == match.start():
                        parts += self._digits_in(_behind_something_else(self._text, start, end), end)
                    continue
                yield span
                self._last = span
                taken = max(taken, span.end)
                parts += self._digits_in(span.end, end)
                parts += self._digits_in(start, span.start)

    def _digits_in(self, start: int, end: int) -> list[tuple[int, int]]:
        """`start` to `end` without what stands around the digits there; nothing if there are none."""
        while start < end and not self._text[start].isdigit():
            start += 1
        while start < end and not self._text[end - 1].isdigit():
            end -= 1
        return [(start, end)] if start < end else []

    def _number(self, start: int, end: int) -> Span | None:
        """What the digits from `start` on are; the separators and groups up to `end` may belong to them."""
        text = self._text
        before = text[start - 1] if start else " "
        length = end - start
        dots = length >= 7 and text.count(".", start, end) >= 3
        if before.isalpha():
            found = _iban(text, start)
            if found is None and dots:
                found = _ipv4(text, start, end, cue_before(text, start))
            return found or (_order_id(text, start, None, self._last) if length >= 3 else None)
        if length < 3:
            return None
        cue = cue_before(text, start)
        run = numbers.run_of(text, start, end) if length >= numbers.MIN_PHONE and not _word_like(before) else None
        found = self._card(run, cue) if run else None
        if found is None and dots:
            found = _ipv4(text, start, end, cue)
        if found is None and run:
            found = self._phone(run, cue)
        listed = self._last is not None and self._last.label == "ORDER_ID"
        if found is None and (listed or before in "#-_" or _is(cue, "order")):
            found = _order_id(text, start, cue, self._last)
        return found

    def _card(self, run: numbers.Run, cue: Cue | None) -> Span | None:
        end = run.groups[-1][1]
        if _is(cue, "other") or end == self._cardless:
            return None
        card = numbers.card_in(run, named=_is(cue, "card"))
        if card is None:
            self._cardless = end
        if card is None or _joined(self._text, *card):
            return None
        return Span(*card, "CREDIT_CARD", "card.context" if _is(cue, "card") else "card.luhn")

    def _phone(self, run: numbers.Run, cue: Cue | None) -> Span | None:
        text = self._text
        start, end = run.groups[0][0], run.groups[-1][1]
        begin = start
        if text[begin - 1 : begin] == "(":
            begin -= 1
        plus = text[begin - 1 : begin] == "+" if begin else False
        if plus:
            begin -= 2 if text[begin - 2 : begin - 1] == "(" else 1
        if begin and _word_like(text[begin - 1]):
            return None
        if plus or text.startswith("00", start):
            last = self._plans.international_end(run, 0 if plus else 2)
            if last:
                return Span(begin, last, "PHONE", "phone.international")
            if plus and numbers.looks_international(run.digits) and not numbers.has_date(text[start:end]):
                return Span(begin, end, "PHONE", "phone.international", 0.7)
        if _joined(text, start, end) or _MONEY_OR_MEASURE.match(text, end):
            return None
        if _SAID_BEHIND.match(text, end) and numbers.could_be_phone(run.digits) and not _is(cue, "other"):
            return Span(begin, end, "PHONE", "phone.context", 0.9)
        if _is(cue, "phone") and numbers.could_be_phone(run.digits) and not numbers.has_date(text[start:end]):
            return Span(begin, end, "PHONE", "phone.context")
        # No order id has spaces in it, whatever the word before says.
        unannounced = cue is None or not cue.near or (cue.kind == "order" and len(run.groups) > 1)
        last = self._plans.national_end(text, run) if unannounced else None
        return Span(begin, last, "PHONE", "phone.national", 0.8) if last else None


def _behind_something_else(text: str, start: int, end: int) -> int:
    """Where a phone number may begin behind a size, a postcode or a date: ``84473 08250 38073``; `end` if nowhere."""
    space = text.find(" 0", start, end)
    if (
        space < 0
        or text[start - 1 : start].isalnum()
        or (space - start > _MAX_POSTCODE and not numbers.has_date(text[start:space]))
    ):
        return end
    return space + 1


def _plain(match: re.Match[str]) -> str:
    character = match[0]
    return str(unicodedata.decimal(character)) if character.isdecimal() else _PLAIN.get(character, character)


def _is(cue: Cue | None, kind: str) -> bool:
    return cue is not None and cue.kind == kind


def _word_like(character: str) -> bool:
    """Whether a digit after `character` goes on with a word, a price, a path or a longer number."""
    return character.isalnum() or character in "-_/#.,$€£"


def _joined(text: str, start: int, end: int) -> bool:
    """Whether a letter or digit touches `start`..`end`."""
    return text[end : end + 1].isalnum() or (start > 0 and text[start - 1].isalnum())


def _emails(text: str) -> Iterator[Span]:
    for sign in (_ESCAPED_AT if "\\u0040" in text else _AT).finditer(text):
        at = sign.start()
        local = _LOCAL_BACKWARDS.match(text[max(0, at - 64) : at][::-1])
        domain = _DOMAIN.match(text, sign.end(), sign.end() + _MAX_DOMAIN)
        if local and domain and not local[0].startswith(".") and domain[0].rpartition(".")[2].lower() not in _FILES:
            name = local[0][::-1]
            if text[at - len(name) - 1 : at - len(name)] == "\\" and (escape := _ESCAPE.match(name)):
                name = name[escape.end() :]  # a line break in the source of JSON is no letter of the name
            name = name.rpartition("..")[2].lstrip(".'-&%~+")  # what a sentence put before the address
            if name:
                yield Span(at - len(name), domain.end(), "EMAIL", "email")


def _iban(text: str, digits: int) -> Span | None:
    head = digits - 2 if text[digits - 1].isalpha() else digits - 3
    country = text[max(head, 0) : head + 2]
    if head < 0 or not (country.isascii() and country.isalpha()) or (head and text[head - 1].isalnum()):
        return None
    named = _is(cue_before(text, head), "iban")
    end = numbers.iban_at(text, head, named=named)
    return Span(head, end, "IBAN", "iban.context" if named else "iban.checksum") if end else None


def _ipv4(text: str, start: int, end: int, cue: Cue | None) -> Span | None:
    match = _QUAD.search(text, start, end)
    if match is None or _is(cue, "version") or _joined(text, *match.span()):
        return None
    before = text[max(0, match.start() - 2) : match.start()]
    if before[-1:] == "/" and before[:1].isalpha():  # Browser/10.0.0.1
        return None
    nobodys = match[0].startswith("127.") or match[0] == "0.0.0.0"
    return None if nobodys else Span(*match.span(), "IP", "ip.v4")


def _ipv6(text: str) -> Iterator[Span]:
    for match in _IPV6.finditer(text):
        written = match[0].rstrip(".")
        if len(written) >= _MIN_IPV6 and any(c.isdigit() for c in written) and _is_ipv6(written):
            yield Span(match.start(), match.start() + len(written), "IP", "ip.v6")


def _is_ipv6(written: str) -> bool:
    """Whether `written` is an address (RFC 4291) that may be somebody's. Most of what is none ends at the counting."""
    tail = written.rpartition(":")[2]
    quad = "." in tail
    if quad and not _QUAD.fullmatch(tail):
        return False
    left_out, colons = written.count("::"), written.count(":")
    if left_out > 1 or ":::" in written or (not left_out and colons != (6 if quad else 7)):
        return False
    try:
        address = ipaddress.IPv6Address(written)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _order_id(text: str, digits: int, cue: Cue | None, last: Span | None) -> Span | None:
    head = _ID_HEAD_BACKWARDS.match(text[max(0, digits - 26) : digits][::-1])
    start = digits - head.end() if head else digits
    while text[start] in "-_":
        start += 1
    match = _ID.match(text, start)
    if (
        match is None
        or (start and text[start - 1].isalnum())
        or len(match[0]) > _MAX_ID
        or text[match.end() : match.end() + 1].isalnum()
    ):
        return None
    written = match[0]
    count = sum(map(str.isdigit, written))
    if count < _MIN_ID_DIGITS:
        return None
    begin = start - 1 if start and text[start - 1] == "#" else start
    own_prefix = _OWN_PREFIX.match(written) is not None
    if not own_prefix and (_FOREIGN_PREFIX.match(written) or _MONEY_OR_MEASURE.match(text, match.end())):
        return None
    if last is not None and last.label == "ORDER_ID" and count >= 4 and _ANOTHER.fullmatch(text, last.end, start):
        return Span(begin, match.end(), "ORDER_ID", "order.list", 0.8)
    if own_prefix and count >= 4:
        return Span(begin, match.end(), "ORDER_ID", "order.prefix")
    if start < digits:
        cue = cue_before(text, start)  # the letters are part of the id, not a word before it
    if _is(cue, "order") and cue is not None and cue.near and _is_an_id(written, count, begin < start, cue):
        return Span(begin, match.end(), "ORDER_ID", "order.context")
    if begin < start and written.isdigit() and 4 <= count <= 10 and count != _COLOUR_DIGITS and cue is None:
        return Span(begin, match.end(), "ORDER_ID", "order.hash", 0.6)
    return None


def _is_an_id(written: str, digits: int, hashed: bool, cue: Cue) -> bool:
    """Whether `written`, right after a word for an order, is its id and not a quantity, a year or a product."""
    if hashed or cue.numbered:
        return True
    return digits >= 4 and _PLAIN_ID.fullmatch(written) is not None and not _YEAR.fullmatch(written)


def _settled(found: list[Span]) -> list[Span]:
    """`found` in the order of the text, the one with precedence where two overlap."""
    kept: list[Span] = []
    for span in sorted(found):
        while kept and kept[-1].end > span.start:
            if _PRECEDENCE[kept[-1].label] <= _PRECEDENCE[span.label]:
                break
            kept.pop()
        else:
            kept.append(span)
    return kept
