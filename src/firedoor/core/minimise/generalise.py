"""A value's coarser form, which says less about its person and still serves the model. Pure; never put back.

Kinds of data without a coarser form that is worth something (a name, a street, a city, an id) have none here: where a
plan says `generalise` for one of them, it is masked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

MAX_AGE = 120
"""Years. An older birthday is no birthday."""
OLD = 90
"""From this age on there is one band, as in HIPAA's safe harbour: few people are that old (45 CFR 164.514(b)(2))."""

_YEAR = re.compile(r"(?<!\d)(?:18|19|20)\d{2}(?!\d)")
_SHORT_YEAR = re.compile(r"\d{1,2}\D{1,3}\d{1,2}\D{1,3}(\d{2})(?!\d)\W*\Z")
_PREFIX = re.compile(r"\s*\(?(?:\+|00)\s?\(?([1-9][\d ]{0,5})")
_EMAIL_DOMAIN = re.compile(r"@([^\s@]{1,255})\Z")
_PLAIN_NUMBER = re.compile(r"\s*(-?\d{1,15}(?:[.,]\d{1,6})?)\s*\Z")
# ITU-T E.164 country codes of one and two digits (list of November 2016); all others have three.
_ONE_DIGIT = frozenset("17")
_TWO_DIGITS = frozenset(
    map(str, (20, 27, *range(30, 35), 36, 39, 40, 41, *range(43, 50), *range(51, 59), *range(60, 67), 81, 82, 84, 86,
              *range(90, 96), 98))
)  # fmt: skip


def generalise(label: str, value: str, year: int | None) -> str | None:
    """The coarser form of `value`, None if there is none. `year` is the current one: an age is counted to it.

    POSTCODE: the first half, at most three characters (``803xx``). DATE_OF_BIRTH: ten years of age (``30-39``).
    PHONE: the country's code (``+49``). IP: the network (/24, /48). EMAIL: the domain.
    """
    if label == "DATE_OF_BIRTH":
        return None if year is None else _age(value, year)
    way = _WAYS.get(label)
    return way(value) if way is not None else None


def amount_band(number: float) -> str:
    """The band of 1, 2, 5, 10, 20, 50 … that `number` lies in: 79.9 is ``50-100``. Both ends are whole."""
    if number == 0:
        return "0"
    if number < 0:
        return f"-({amount_band(-number)})"
    low, high, step = 0, 1, 0
    while number >= high and high < 10**12:
        low, high = high, high * 2 if step % 3 != 1 else high // 2 * 5
        step += 1
    return f"{low}-{high}" if number < high else f"over {high}"


def plain_number(text: str) -> float | None:
    """`text` as a number, if it is one and nothing else: ``79.90``, ``79,90``."""
    match = _PLAIN_NUMBER.fullmatch(text)
    return float(match[1].replace(",", ".")) if match else None


def _postcode(value: str) -> str | None:
    count = sum(map(str.isalnum, value))
    if count < 3:
        return None
    left = min(3, (count + 1) // 2)
    out = []
    for character in value:
        if character.isalnum():
            left -= 1
            out.append(character if left >= 0 else "x")
        else:
            out.append(character)
    return "".join(out)


def _age(value: str, now: int) -> str | None:
    if found := _YEAR.search(value):
        born = int(found[0])
    elif found := _SHORT_YEAR.search(value):
        born = now - now % 100 + int(found[1])
        born -= 100 if born > now else 0
    else:
        return None
    age = now - born
    if not 0 <= age <= MAX_AGE:
        return None
    return f"{OLD}+" if age >= OLD else f"{age // 10 * 10}-{age // 10 * 10 + 9}"


def _country_code(value: str) -> str | None:
    found = _PREFIX.match(value)
    if found is None:
        return None
    digits = found[1].replace(" ", "")
    length = 1 if digits[0] in _ONE_DIGIT else 2 if digits[:2] in _TWO_DIGITS else 3
    return f"+{digits[:length]}" if len(digits) >= length else None


def _network(value: str) -> str | None:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def _domain(value: str) -> str | None:
    found = _EMAIL_DOMAIN.search(value)
    return found[1] if found else None


_WAYS: dict[str, Callable[[str], str | None]] = {
    "POSTCODE": _postcode,
    "PHONE": _country_code,
    "IP": _network,
    "EMAIL": _domain,
}
GENERALISED = frozenset({*_WAYS, "DATE_OF_BIRTH"})
"""Labels that have a coarser form."""
