"""Identifiers whose form says what they are, without a word: ``131052-308T``, ``GB980780684``, ``SW1A 2AA``.

A form counts only with what makes it rare in a shop's texts: a checksum, a date of birth inside, a list of areas, a
city behind it. The patterns are for folded text (`identifiers_fields.fold`). The gate asks for their outlines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from stdnum.at import vnr
from stdnum.ch import ssn as ahv
from stdnum.ch import uid as ch_uid
from stdnum.cz import rc
from stdnum.es import nif as es_nif
from stdnum.fr import nir
from stdnum.gb import vat as gb_vat
from stdnum.it import codicefiscale
from stdnum.pl import pesel
from stdnum.ro import cnp
from stdnum.si import emso
from stdnum.us import ssn

from firedoor.core.detect.rules import identifiers_checks as checks
from firedoor.core.detect.rules.cues import cue_before
from firedoor.core.detect.rules.identifiers_tax import EU_PREFIXED as _EU_PREFIXED
from firedoor.core.detect.spans import Span


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Candidate(NamedTuple):
    """What has the form: where it stands in `text`, and its letters and digits, upper case."""

    text: str
    start: int
    end: int
    compact: str


Check = Callable[[Candidate], bool]


class Form(NamedTuple):
    """A form. No letter or digit may touch a match of `core`, and `check` must hold.

    Every match holds one of the outlines (separated by ``|``): for the gate, as `Gate` describes them.
    """

    label: str
    rule: str
    outlines: str
    core: str
    check: Check
    score: float = 0.9


def _valid(*modules: Any) -> Check:
    """The checksum of a module of `stdnum`."""
    return lambda found: any(module.is_valid(found.compact) for module in modules)


def _holds(check: Callable[[str], bool]) -> Check:
    return lambda found: check(found.compact)


def _births(digits: str) -> bool:
    """Whether six digits are a day, a month and a year."""
    return checks.is_day(int(digits[:2]), int(digits[2:4]))


# --- post codes ---

_AREAS = _words(
    """
    AB AL B BA BB BD BH BL BN BR BS BT CA CB CF CH CM CO CR CT CV CW DA DD DE DG DH DL DN DT DY E EC ED EN EH EX FK FY
    G GL GU GY HA HD HG HP HR HS HU HX IG IM IP IV JE KA KT KW KY L LA LD LE LL LN LS LU M ME MK ML N NE NG NN NP NR
    NW OL OX PA PE PH PL PO PR RG RH RM S SA SE SG SK SL SM SN SO SP SR SS ST SW SY TA TD TF TN TQ TR TS TW UB W WA WC
    WD WF WN WR WS WV YO ZE"""
)
"""Post code areas of Royal Mail and the islands."""
_SIZES = _words("GB TB XL XS LS ST HZ KG")  # S24 8GB, M5 2XL
_NO_DUTCH = _words(
    """
    SA SD SS GB TB MB KB ML CL DL MG KG GR CM MM KM MA MW KW HZ PX ST PC FT LB OZ ER DB BT KJ AM PM IP UK US EU DE EN OF
    IN OP IS TE JE WE IK OM AL NA NU AN IM SO TO OR ON AT BY IF IT BE DO LE LA UN ET DU OU AU ES EL DI DA IL LO SE SI OD
    PO ZE ZA UR"""
)
"""Letters that no Dutch post code has, units, and short words behind a year."""
_CITY = re.compile(r",? ([^\W\d_])[^\W\d_'\u2019.-]{2,}")
_STREET = re.compile(
    r"stra(?:ss|ß|s)e|str\.|weg\b|platz|gasse|allee|\bring|damm\b|ufer\b|hof\b"
    r"|\b(?:rue|avenue|av|boulevard|bd|chemin|place|impasse|route|quai|cours"
    r"|calle|avda|avenida|plaza|paseo|camino|ronda|rambla|alameda|cuesta|glorieta|pasaje|carrer|via|viale|piazza|corso"
    r"|vicolo|largo|borgo|strada|stretto|canale|contrada|incrocio|rotonda|ul|ulica|ulicy|al|aleja|aleje|pl|plac|os|osiedle"
    r"|street|st|road|rd|ave|lane|ln|drive|dr|court|ct|close|way|square|sq|terrace|rua|travessa|praca|strada|bulevardul)\b"
    r"|straat|laan\b|plein|kade\b|gracht|singel|pad\b|steeg|hof\b|dreef|gatan|vagen|vej\b|gade\b|gata\b|veien|katu\b|ulice"
    r"|utca|\but\b"
)
_ADDRESS_CODE = re.compile(r"[0-9]{3}(?:[0-9]{1,2}| [0-9]{2})(?![^\W_]|[.,-][0-9])")
_LINE_BEFORE = re.compile(r"(?:[0-9][0-9a-z/-]{0,8}|[^\W\d_]|\.)[ ]?(?:,|\n|,\n)[ ]?\Z")
_BEFORE = 64
_STATES = _words(
    """
    AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI
    SC SD TN TX UT VT VA WA WV WI WY DC PR AA AE AP"""
)
_ZIP = 5
_STATE = re.compile(r"(?<![^\W_])([A-Za-z]{2}),? \Z")
_NO_WORDS = _words("NY NJ TX FL WA NC SC TN MN WI NV KY UT OH")  # also in lower case
ADDRESS_OUTLINES = ",000|, 000|\n000|\n 000|a-000|aa 00000|aa, 00000"
"""What every post code of an address begins with, for the gate."""


def _beside_a_city(found: Candidate) -> bool:
    """Whether a capitalised word follows, or any word after a comma or at the beginning of a line."""
    city = _CITY.match(found.text, found.end)
    if city is None:
        return False
    return city[1].isupper() or found.text[: found.start].rstrip(" ")[-1:] in ("", ",", "\n")


def _gb_postcode(found: Candidate) -> bool:
    area = re.match("[A-Z]+", found.compact)
    return area is not None and area[0] in _AREAS and found.compact[-2:] not in _SIZES


def _nl_postcode(found: Candidate) -> bool:
    return found.compact[4:] not in _NO_DUTCH and _beside_a_city(found)


def address_codes(text: str, low: str) -> Iterator[Span]:
    """Post codes of digits alone, behind a street with its number or a state of the USA."""
    for match in _ADDRESS_CODE.finditer(low):
        start, end = match.span()
        line = start - 2 if low[start - 1 : start] == "-" else start  # D-10747
        before = low[line - 2 : line].strip(" ")[-1:] if line >= 2 else ""
        if before in (",", "\n") and _behind_a_street(low, line, end):
            yield Span(start, end, "POSTCODE", "postcode.address", 0.8)
        elif (before == "," or before.isalpha()) and end - start == _ZIP and _behind_a_state(text, start):
            yield Span(start, end, "POSTCODE", "postcode.us", 0.8)


def _behind_a_street(low: str, start: int, end: int) -> bool:
    """Whether a word follows, and a street with its number ends the line or the clause before."""
    if _CITY.match(low, end) is None:
        return False
    before = low[max(0, start - _BEFORE) : start]
    return (
        any(map(str.isdigit, before)) and _LINE_BEFORE.search(before) is not None and _STREET.search(before) is not None
    )


def _behind_a_state(text: str, start: int) -> bool:
    state = _STATE.search(text, max(0, start - 5), start)
    return state is not None and (state[1] in _STATES or (state[1].islower() and state[1].upper() in _NO_WORDS))


# --- the forms ---

_N, _T, _P = "NATIONAL_ID", "TAX_ID", "POSTCODE"
_EU_VAT = _EU_PREFIXED.replace(r"\d", "#").lower().replace("#", r"\d")

FORMS = (
    Form(_N, "national.us_ssn", "000-00-0000", r"\d{3}-\d{2}-\d{4}", _valid(ssn)),
    Form(_N, "national.us_ssn", "000 00 0000", r"[1-8]\d{2} \d{2} \d{4}", _valid(ssn), 0.6),
    Form(_N, "national.pl_pesel", "00000000000", r"\d{11}", _valid(pesel), 0.6),
    Form(_N, "national.es_dni", "0000000a|0000000-a", r"(?:\d{8}|[xyz]-?\d{7})-?[a-z]", _valid(es_nif)),
    Form(
        _N,
        "national.it_codice_fiscale",
        "aaaaaa00a|aaaaaa 00a",
        r"[a-z]{6} ?\d{2}[a-z]\d{2} ?[a-z]\d{3}[a-z]",
        _valid(codicefiscale),
    ),
    Form(
        _N,
        "national.fr_nir",
        "0000000000000|000000a000000|0 00 00",
        r"[1-478](?:\d{4}(?:\d{2}|2[ab])\d{6} ?| \d{2} \d{2} (?:\d{2}|2[ab]) \d{3} \d{3} )\d{2}",
        _valid(nir),
    ),
    Form(
        _N,
        "national.fi_hetu",
        "000000-000|000000+000|000000a000",
        r"\d{6}[-+a-fu-y]\d{3}[0-9a-y]",
        _holds(checks.fi_hetu),
    ),
    Form(
        _N,
        "national.se_personnummer",
        "000000-0000|000000+0000",
        r"(?:19|20)?\d{6}[-+]\d{4}",
        _holds(checks.se_personnummer),
    ),
    Form(_N, "national.dk_cpr", "000000-0000", r"\d{6}-\d{4}", _holds(checks.dk_cpr), 0.6),
    Form(_N, "national.no_fodselsnummer", "00000000000|000000 00000", r"\d{6} ?\d{5}", _holds(checks.no_fodselsnummer)),
    Form(_N, "national.cz_rc", "000000/000", r"\d{6}/\d{3,4}", _valid(rc)),
    Form(_N, "national.be_nn", ".00-000", r"\d{2}\.\d{2}\.\d{2}-\d{3}[.-]\d{2}", _holds(checks.be_nn)),
    Form(
        _N,
        "national.ch_ahv",
        "0000000000000|000.0000.0000|000 0000 0000",
        r"756(?:\d{10}|\.\d{4}\.\d{4}\.\d{2}| \d{4} \d{4} \d{2})",
        _valid(ahv),
    ),
    Form(
        _N,
        "national.at_svnr",
        "0000 000000",
        r"\d{4} \d{6}",
        lambda found: bool(vnr.is_valid(found.compact)) and _births(found.compact[4:]),
    ),
    Form(_N, "national.ro_cnp", "0000000000000", r"[1-8]\d{12}", _valid(cnp)),
    Form(_N, "national.si_emso", "0000000000000", r"\d{13}", _valid(emso), 0.6),
    Form(
        _N,
        "national.gb_nino",
        "aa 00 00 00|aa00 00 00|aa000000|aa 000000",
        r"[a-ceghj-pr-tw-z][a-ceghj-npr-tw-z] ?(?:\d{6}|\d{2} \d{2} \d{2}) ?[a-d]",
        lambda found: found.compact[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"),
    ),
    Form(
        _N,
        "national.de_insurance",
        "00 000000",
        r"\d{2} \d{6} ?[a-z] ?\d{3}",
        lambda found: _births(found.compact[2:8]),
        0.8,
    ),
    Form(_T, "tax.vat", "aa000000|aa0a00000", _EU_VAT, _holds(checks.eu_vat)),
    Form(
        _T,
        "tax.vat",
        "aa0000000|aa 0000000|aa000 0000|aa 000 0000",
        r"gb ?\d{3} ?\d{4} ?\d{2}(?: ?\d{3})?",
        _valid(gb_vat),
    ),
    Form(_T, "tax.vat", "aaaa000", r"gb(?:gd|ha)\d{3}", _holds(checks.gb_vat_lettered)),
    Form(_T, "tax.vat", "aaa000|aaa-000", r"che-?\d{3}\.?\d{3}\.?\d{3}", _valid(ch_uid)),
    Form(
        _T,
        "tax.vat",
        "000000000aaa|000000000 aaa|000 000aaa|000 000 aaa",
        r"(?:no ?)?(?:\d{9}|\d{3} \d{3} \d{3}) ?mva",
        lambda _: True,
    ),
    Form(
        "IBAN",
        "iban.pl_nrb",
        "00000000000000000000000000|00 0000 0000 0000|00-0000-0000-0000",
        r"\d{2}(?:\d{24}|(?: \d{4}){6}|(?:-\d{4}){6})",
        _holds(checks.pl_nrb),
    ),
    Form(_P, "postcode.gb", " 0aa", r"[a-z]{1,2}\d[a-z0-9]? \d[abd-hjlnp-uw-z]{2}", _gb_postcode, 0.8),
    Form(_P, "postcode.nl", "0000aa|0000 aa", r"[1-9]\d{3} ?[a-z]{2}", _nl_postcode, 0.7),
    Form(_P, "postcode.pl", "00-000", r"\d{2}-\d{3}", _beside_a_city, 0.8),
    Form(_P, "postcode.pt", "0000-000", r"[1-9]\d{3}-\d{3}", _beside_a_city, 0.7),
)
_PATTERNS = tuple(re.compile(rf"(?:{form.core})(?![^\W_]|[-./,][0-9])") for form in FORMS)
_SEPARATORS = re.compile(r"[\W_]+")
_SOMETHING_ELSE = ("order", "other", "phone", "card", "iban", "version")


def _matches(pattern: re.Pattern[str], low: str) -> Iterator[re.Match[str]]:
    """The matches that nothing touches from the left.

    A pattern that begins with a look-behind is tried at every character, one that begins with a digit only at digits.
    """
    match = pattern.search(low)
    while match:
        start, end = match.span()
        free = _is_free(low, start)
        if free:
            yield match
        match = pattern.search(low, end if free else start + 1)


def _is_free(low: str, start: int) -> bool:
    """Whether a value may begin at `start`: no letter or digit, amount, tag or part of a code stands before it."""
    before = low[start - 1 : start] if start else " "
    if before.isspace():
        return True
    return not (before.isalnum() or before in "$€£+#" or (before in "-./," and low[start - 2 : start - 1].isalnum()))


def formed(text: str, low: str, which: int) -> Iterator[Span]:
    """The forms of the bit set `which` (bit n is ``FORMS[n]``) in `text`, of which `low` is the folded copy."""
    for number, form in enumerate(FORMS):
        if not which >> number & 1:
            continue
        for match in _matches(_PATTERNS[number], low):
            start, end = match.span()
            compact = _SEPARATORS.sub("", text[start:end]).upper()
            if form.check(Candidate(text, start, end, compact)) and not _said_otherwise(form, text, start):
                yield Span(start, end, form.label, form.rule, form.score)


def _said_otherwise(form: Form, text: str, start: int) -> bool:
    """Whether the word right before says that it is an order, a card, an article …"""
    cue = cue_before(text, start) if form.label != _P else None
    return cue is not None and cue.near and cue.kind in _SOMETHING_ELSE
