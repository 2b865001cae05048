"""Checksums of national and tax numbers that `python-stdnum` lacks, or asks a clock for: detection has none."""

from __future__ import annotations

import re

from stdnum import luhn
from stdnum.eu import vat
from stdnum.fi import hetu
from stdnum.iso7064 import mod_97_10
from stdnum.no import fodselsnummer
from stdnum.pt import cc, nif

_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def is_day(day: int, month: int) -> bool:
    """Whether a year has such a day; 29 February counts."""
    return 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]


def se_personnummer(digits: str) -> bool:
    """Swedish personal number, 10 or 12 digits: date of birth (day + 60 in a co-ordination number), Luhn digit."""
    short = digits[-10:]
    day = int(short[4:6])
    return is_day(day - 60 if day > 60 else day, int(short[2:4])) and bool(luhn.is_valid(short))


def dk_cpr(digits: str) -> bool:
    """Danish CPR number: a date of birth and four digits; since 2007 without a checksum."""
    return is_day(int(digits[:2]), int(digits[2:4]))


def be_nn(digits: str) -> bool:
    """Belgian national number: nine digits and 97 less their remainder, with a 2 before them for births since 2000."""
    return int(digits[9:]) in (97 - int(digits[:9]) % 97, 97 - int("2" + digits[:9]) % 97)


def no_fodselsnummer(digits: str) -> bool:
    """Norwegian birth number, with day + 40 (D number): two check digits."""
    day, month = int(digits[:2]) % 40, int(digits[2:4]) % 40
    return (
        is_day(day, month)
        and digits[9] == fodselsnummer.calc_check_digit1(digits)
        and digits[10] == fodselsnummer.calc_check_digit2(digits)
    )


def fi_hetu(compact: str) -> bool:
    """Finnish personal identity code without its century sign, which may also be a letter."""
    signs = "-+" if compact[6].isdigit() and len(compact) == 10 else compact[6]
    rest = compact[6:] if len(signs) == 2 else compact[7:]
    return any(hetu.is_valid(compact[:6] + sign + rest) for sign in signs)


def us_npi(digits: str) -> bool:
    """US National Provider Identifier: Luhn over the digits behind the card issuer number 80840 (ISO/IEC 7812)."""
    return bool(luhn.is_valid("80840" + digits))


def pt_number(compact: str) -> bool:
    """Portuguese tax number (9 digits) or citizen card number (12 letters and digits)."""
    return bool(nif.is_valid(compact) if len(compact) == 9 else cc.is_valid(compact))


def pl_nrb(digits: str) -> bool:
    """Polish account number of 26 digits: the checksum of its IBAN (ISO 13616), PL being 2521."""
    return bool(mod_97_10.is_valid(digits[2:] + "2521" + digits[:2]))


_LETTERED = re.compile(r"GB(?:GD|HA)[0-9]{3}")


def eu_vat(compact: str) -> bool:
    """VAT number of an EU member state with its prefix."""
    return bool(vat.is_valid(compact))


def gb_vat_lettered(compact: str) -> bool:
    """VAT number of a British government department (GD000-499) or health authority (HA500-999)."""
    return _LETTERED.fullmatch(compact) is not None and (compact[2] == "G") == (int(compact[4:]) < 500)
