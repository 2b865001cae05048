"""Tier "own": the values that the shop told about the shopper of this exchange, wherever they stand in a text.

No model and no rule can know that "mirko" is this shopper's name or "10042" their order: the shop does
(`core/subject.py`). Values are found exactly and folded, as `text.py` says; each kind of value has its own idea of
what else is the same value (`names.py`, `values.py`, `places.py`, `dates.py`). Making a detector costs about as
much as searching one text that has the values in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from firedoor.core.detect.own.dates import DateOfBirth
from firedoor.core.detect.own.names import Names
from firedoor.core.detect.own.places import City, Street
from firedoor.core.detect.own.text import Letters, OwnFolding
from firedoor.core.detect.own.values import Email, Id, Phone, Postcode
from firedoor.core.detect.spans import Span
from firedoor.core.subject import SubjectRecord

RULES = {
    "PERSON": "own.name",
    "EMAIL": "own.email",
    "PHONE": "own.phone",
    "STREET_ADDRESS": "own.street",
    "POSTCODE": "own.postcode",
    "CITY": "own.city",
    "ORDER_ID": "own.order_id",
    "ACCOUNT_ID": "own.account_id",
    "TAX_ID": "own.tax_id",
    "USERNAME": "own.username",
    "DATE_OF_BIRTH": "own.date_of_birth",
    "CREDIT_CARD": "own.card",
    "IBAN": "own.iban",
    "NATIONAL_ID": "own.national_id",
    "IP": "own.ip",
    "SECRET": "own.secret",
    "URL": "own.url",
}
"""The rule that names a finding, by its label."""


class _Value(Protocol):
    """One value of the record."""

    def spans(self, letters: Letters) -> Iterator[tuple[int, int]]:
        """Start and end of each place in the text, in code points, in any order."""
        ...


class OwnValues:
    """Finds the values of `record`. `folding` may be shared by all of a process; it remembers characters, not texts."""

    def __init__(self, record: SubjectRecord, folding: OwnFolding | None = None) -> None:
        self._folding = folding if folding is not None else OwnFolding()
        self._values = tuple(_values(record, self._folding))

    def find(self, text: str) -> list[Span]:
        """Spans in the order of the text, not overlapping; offsets count code points."""
        letters = Letters(text, self._folding)
        found = [(start, end, label) for label, value in self._values for start, end in value.spans(letters)]
        return _settled(found) if found else []


def _values(record: SubjectRecord, folding: OwnFolding) -> Iterator[tuple[str, _Value]]:
    for name in record.names:
        yield "PERSON", Names(name, folding)
    for address in record.emails:
        yield "EMAIL", Email(address, folding)
    for number in record.phones:
        yield "PHONE", Phone(number, folding)
    for place in record.addresses:
        for line in place.streets:
            yield "STREET_ADDRESS", Street(line, folding)
        if place.postcode:
            yield "POSTCODE", Postcode(place.postcode, place.city, folding)
        if place.city:
            yield "CITY", City(place.city, folding)
    for order in record.order_ids:
        yield "ORDER_ID", Id(order, folding, order=True)
    if record.date_of_birth:
        yield "DATE_OF_BIRTH", DateOfBirth(record.date_of_birth, folding)
    others = (
        ("ACCOUNT_ID", record.account_ids),
        ("TAX_ID", record.tax_ids),
        ("USERNAME", record.usernames),
        *record.other,
    )
    for label, values in others:
        for value in values:
            yield label, Id(value, folding)


def _settled(found: Iterable[tuple[int, int, str]]) -> list[Span]:
    """Spans of what was found. Where some overlap, all of it is one, and is called what the longest of them is."""
    spans: list[Span] = []
    longest = 0
    for start, end, label in sorted(found):
        if spans and start < spans[-1].end:
            last = spans[-1]
            if end - start > longest:
                longest = end - start
                last = last._replace(label=label, rule=RULES[label])
            spans[-1] = last._replace(end=max(end, last.end))
        else:
            longest = end - start
            spans.append(Span(start, end, label, RULES[label], 1.0, "own"))
    return spans
