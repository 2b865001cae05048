"""Whether a run of digits can be a payment card, a bank account, or a phone number.

Checksums and numbering plans come from `python-stdnum` and `phonenumbers`; what is here is which parts of a text are
worth asking about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from typing import NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from stdnum.iso7064 import mod_97_10

_GROUP = re.compile(r"[0-9]+")


class Run(NamedTuple):
    """Digits and what people write between them: where each group of digits stands, and all digits."""

    groups: list[tuple[int, int]]
    digits: str


def run_of(text: str, start: int, end: int) -> Run:
    """The digits of `text` from `start` to `end`, which are the first and the last of them."""
    written = text[start:end]
    if written.isdigit():
        return Run([(start, end)], written)
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    return Run(groups, "".join([text[begin:stop] for begin, stop in groups]))


# --- payment cards: lengths by issuer prefix (ISO/IEC 7812-1; the issuers' published ranges) ---

_CARD = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|095|6[0-9]|[89][0-9])[0-9]{11,16}"  # Diners
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|62[0-9]{14,17}"  # UnionPay
    r"|(?:50|5[6-8]|6[0-9])[0-9]{10,17}"  # Maestro
)
MIN_CARD, MAX_CARD = 13, 19
MIN_NAMED_CARD = 12  # the shortest of Maestro; nobody takes twelve digits for a card unless told so
_CARD_BEGINS = "23456"
_SHORTEST_GROUP = 3  # no card is printed in smaller ones; digits spelt singly count from the first
_SURE_LENGTHS = range(14, MAX_CARD + 1)  # 13 digits beginning with 4 are a German EAN far more often than an old Visa

_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")


def card_in(run: Run, *, named: bool) -> tuple[int, int] | None:
    """Where in `run` a card number stands, groups of digits being kept whole.

    With `named` (a word said "card"), 12 digits and a failed checksum will do: customers mistype.
    """
    groups, digits = run
    if len(digits) < MIN_CARD:
        return (groups[0][0], groups[-1][1]) if named and len(digits) == MIN_NAMED_CARD else None
    ends = list(accumulate(stop - begin for begin, stop in groups))
    for first, (begin, stop) in enumerate(groups):
        at = ends[first] - (stop - begin)
        if (first and stop - begin < _SHORTEST_GROUP) or digits[at] not in _CARD_BEGINS:
            continue
        for last, to in _runs(ends, first, at):
            sure = to - at in _SURE_LENGTHS or named
            if sure and _CARD.fullmatch(digits, at, to) and luhn_holds(digits[at:to]):
                return begin, groups[last][1]
    if named:
        for last, to in _runs(ends, 0, 0):
            if to >= 15 or last == len(groups) - 1:
                return groups[0][0], groups[last][1]
    return None


def _runs(ends: list[int], first: int, at: int) -> Iterator[tuple[int, int]]:
    """The groups from `first` on with which the digits from `at` on make 13 to 19, and where they end there."""
    for last in range(first, len(ends)):
        if ends[last] - at > MAX_CARD:
            return
        if ends[last] - at >= MIN_CARD:
            yield last, ends[last]


def luhn_holds(digits: str) -> bool:
    """The checksum of ISO/IEC 7812-1, as `stdnum.luhn` has it, in a tenth of its time: texts ask thousands of times."""
    backwards = digits.encode()[::-1]
    # An ASCII digit is its value and 48, which is 8 modulo 10.
    return (sum(backwards[::2]) + sum(backwards[1::2].translate(_DOUBLED)) - 8 * len(digits)) % 10 == 0


# --- bank accounts: total length by country (ISO 13616 registry) ---

_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2}) ([0-9]{2})",
        """
        AD 24 AE 23 AL 28 AT 20 AZ 28 BA 20 BE 16 BG 22 BH 22 BR 29 BY 28 CH 21 CR 22 CY 28 CZ 24 DE 22 DK 18
        DO 28 EE 20 EG 29 ES 24 FI 18 FO 18 FR 27 GB 22 GE 22 GI 23 GL 18 GR 27 GT 28 HR 21 HU 28 IE 22 IL 23
        IQ 23 IS 26 IT 27 JO 30 KW 30 KZ 20 LB 28 LC 32 LI 21 LT 20 LU 20 LV 21 LY 25 MC 27 MD 24 ME 22 MK 19
        MR 27 MT 31 MU 30 NL 18 NO 15 PK 24 PL 28 PS 29 PT 25 QA 29 RO 24 RS 22 SA 24 SC 31 SE 24 SI 19 SK 24
        SM 27 ST 25 SV 28 TL 23 TN 24 TR 26 UA 29 VA 22 VG 24 XK 20""",
    )
}
_IBAN_OF = {
    country: re.compile(
        rf"[A-Z]{{2}} ?[0-9] ?[0-9](?:[ -]?[A-Z0-9]){{{length - 4}}}(?![A-Z0-9])", re.IGNORECASE | re.ASCII
    )
    for country, length in _IBAN_LENGTHS.items()
}
# What a customer may have meant as an IBAN after the word: groups of capitals and digits, 12 to 34 characters.
# Possessive: a longer run of capitals is not tried in all its cuts.
_ROUGHLY_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{1,4}+){2,8}+(?![A-Za-z0-9])")
_MIN_IBAN = 12


def iban_at(text: str, head: int, *, named: bool) -> int | None:
    """The end of the IBAN whose country code is at `head`. With `named`, a failed checksum or length will do."""
    pattern = _IBAN_OF.get(text[head : head + 2].upper())
    match = pattern.match(text, head) if pattern else None
    if match and (named or _iban_checks(match[0])):
        return match.end()
    rough = _ROUGHLY_IBAN.match(text, head) if named else None
    return rough.end() if rough and sum(map(str.isalnum, rough[0])) >= _MIN_IBAN else None


def _iban_checks(iban: str) -> bool:
    compact = "".join(filter(str.isalnum, iban)).upper()
    return bool(mod_97_10.is_valid(compact[4:] + compact[:4]))


# --- phone numbers ---

REGIONS = re.findall(
    "[A-Z]{2}", "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE GB CH NO US"
)
"""The numbering plans of shoppers: EU, UK, Switzerland, Norway, USA."""
MIN_PHONE, MAX_PHONE = 7, 15
"""Digits; 15 is the most E.164 allows, to which people add the 0 of national calls: ``+49 (0)170 …``."""
_COUNTRY_CODES = frozenset(map(str, COUNTRY_CODE_TO_REGION_CODE))
_DROPPED_GROUPS = 3  # groups after a number that may belong to something else

_DATE = re.compile(
    r"(?<![0-9])(?<![0-9][-./])"
    r"(?:[0-3]?[0-9]([-./])[0-3]?[0-9]\1(?:19|20)?[0-9]{2}|(?:19|20)[0-9]{2}([-./])[01]?[0-9]\2[0-3]?[0-9])"
    r"(?![-./]?[0-9])"
)
_NORTH_AMERICAN = re.compile(
    r"(?:1[-. ])?(?:(?:\(?[2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])[2-9][0-9]{2}[-.]|[2-9][0-9]{2} [2-9][0-9]{2} )"
    r"[0-9]{4}(?![0-9])"
)


# Kinds of numbers in a numbering plan: what none of them has is not a valid number.
_TYPES = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("personal_number", "voip", "pager", "uan", "voicemail"),
)


class NumberingPlans:
    """The world's numbering plans, one pattern for each country code, and the national numbers of `REGIONS`.

    `phonenumbers` says the same a hundred times slower: it keeps few patterns and compiles the others again and again.
    """

    def __init__(self) -> None:
        patterns = []
        for region in REGIONS:
            plan = PhoneMetadata.metadata_for_region(region)
            assert plan is not None, region
            assert plan.general_desc is not None, region
            prefix = "0" if plan.national_prefix == "0" else ""  # Italy's numbers keep their 0 and have no prefix
            patterns.append(f"{prefix}(?:{plan.general_desc.national_number_pattern})")
        self._national = re.compile("(?=0)(?:" + "|".join(patterns) + ")")
        self._international = {str(code): _numbers_behind(code) for code in COUNTRY_CODE_TO_REGION_CODE}

    def national_end(self, text: str, run: Run) -> int | None:
        """The end of a national number nobody needs to announce: ``0170 1234567``, ``(555) 234-5678``."""
        start, end = run.groups[0][0], run.groups[-1][1]
        if run.digits.startswith("00"):
            return None
        if text[start] == "0":
            last = next((last for last, digits in _cuts(run) if self._is_national(digits, last - start)), None)
        else:
            match = _NORTH_AMERICAN.match(text, start, end)
            last = match.end() if match else None
        return last if last and not has_date(text[start:end]) else None

    def _is_national(self, digits: str, length: int) -> bool:
        if not 9 <= len(digits) <= 12:
            return False
        if len(digits) == length and (length < 10 or (length == 12 and digits[:2] != "01")):
            return False  # article numbers (Magento pads with zeros) and UPC codes have these lengths
        return bool(self._national.fullmatch(digits))

    def international_end(self, run: Run, skipped: int) -> int | None:
        """The end of the number whose country code comes after the first `skipped` digits, 0 or the two of a ``00``."""
        code = country_code(run.digits[skipped:])
        if code is None:
            return None
        behind = skipped + len(code)
        numbers = self._international[code]
        for last, digits in _cuts(run):
            if MIN_PHONE <= len(digits) - skipped <= MAX_PHONE + 1 and numbers.fullmatch(digits, behind):
                return last
        return None


@cache
def numbering_plans() -> NumberingPlans:
    """Those of the process: they hold patterns only, and compiling them takes a tenth of a second."""
    return NumberingPlans()


def _numbers_behind(code: int) -> re.Pattern[str]:
    """The valid numbers of a country code, also with the prefix of national calls (``+49 (0)170 …``)."""
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    plans = [
        PhoneMetadata.metadata_for_nongeo_region(code) if region == "001" else PhoneMetadata.metadata_for_region(region)
        for region in regions
    ]
    numbers = [
        kind.national_number_pattern for plan in plans if plan for name in _TYPES if (kind := getattr(plan, name))
    ]
    prefix = plans[0].national_prefix_for_parsing if plans[0] else None
    return re.compile(f"(?:{prefix or ''})?(?:{'|'.join(dict.fromkeys(filter(None, numbers)))})")


def country_code(digits: str) -> str | None:
    """The country code that `digits` begin with; none is the beginning of another."""
    return next((digits[:n] for n in (1, 2, 3) if digits[:n] in _COUNTRY_CODES), None)


def _cuts(run: Run) -> Iterator[tuple[int, str]]:
    """Where a number may end, and its digits, longest first: groups after it may be a size or a postcode."""
    groups, digits = run
    for begin, end in groups[: -_DROPPED_GROUPS - 2 : -1]:
        yield end, digits
        digits = digits[: begin - end]


def looks_international(digits: str) -> bool:
    """Whether what follows a plus could be a mistyped phone number: a country's code, and enough digits."""
    return 9 <= len(digits) <= MAX_PHONE and country_code(digits) is not None


def could_be_phone(digits: str) -> bool:
    """Whether `digits` have the length of a phone number."""
    return MIN_PHONE <= len(digits) <= MAX_PHONE


def has_date(written: str) -> bool:
    """Whether a day with month and year stands in `written`."""
    return _DATE.search(written) is not None
