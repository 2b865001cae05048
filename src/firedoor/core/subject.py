"""What the shop tells about the shopper of an exchange, in the request's own field ``firedoor.subject``.

The gateway consumes the field: the model server never gets it. What is told here is looked for in the exchange's texts
(`detect/own/`) and kept nowhere. The shape is the one people write by hand; the names that customer and address
objects have at Shopify (Admin API) and Magento 2 (REST) are taken as well, so that such an object can be sent with the
fields that matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from msgspec import Struct

from firedoor.errors import CallerError

FIELD = "firedoor"

MAX_VALUES = 64
"""Values of one shopper: a name, some addresses and two dozen orders. Each is searched for in every text."""
MAX_CHARACTERS = 200
"""Of one value: the longest street lines and e-mail addresses in use are shorter."""
MAX_TOTAL = 4096
"""Characters of all values: `MAX_VALUES` of a usual length. Bounds the work before a text is looked at."""


class Name(Struct, frozen=True):
    """A person's name, whole or in parts; at least one is not empty."""

    full: str = ""
    given: str = ""
    family: str = ""


class Address(Struct, frozen=True):
    """A postal address, or part of one; at least one is not empty. `streets` are the lines with street and number."""

    streets: tuple[str, ...] = ()
    postcode: str = ""
    city: str = ""


class SubjectRecord(Struct, frozen=True):
    """The shopper's own values. `date_of_birth` is ISO 8601; `other` holds values by a label of the plan."""

    names: tuple[Name, ...] = ()
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    order_ids: tuple[str, ...] = ()
    account_ids: tuple[str, ...] = ()
    tax_ids: tuple[str, ...] = ()
    usernames: tuple[str, ...] = ()
    date_of_birth: str = ""
    other: tuple[tuple[str, tuple[str, ...]], ...] = ()


def take_subject(body: dict[str, Any]) -> tuple[dict[str, Any], SubjectRecord | None]:
    """`body` without the field ``firedoor``, and what it told; None when it told nothing.

    `body` is a decoded request and is not touched. Raises `CallerError` (400); `param` is the path of the field that
    is wrong. What the field holds is never part of the error.
    """
    if FIELD not in body:
        return body, None
    rest = {name: value for name, value in body.items() if name != FIELD}
    subject = None
    for name, value in _fields(body[FIELD], FIELD):
        if name != "subject":
            _unknown(FIELD, name)
        subject = value
    return rest, _record(subject)


def _record(subject: Any) -> SubjectRecord | None:
    reader = _Reader()
    reader.read(subject, "firedoor.subject", _SUBJECT)
    if not reader.values:
        return None
    found = {name: tuple(dict.fromkeys(values)) for name, values in reader.lists.items()}
    names = (*reader.names, *(Name(full=written) for written in found.pop("names", ())))
    return SubjectRecord(
        names=tuple(dict.fromkeys(names)),
        addresses=tuple(dict.fromkeys(reader.addresses)),
        date_of_birth=reader.date_of_birth,
        other=tuple((label, tuple(dict.fromkeys(values))) for label, values in sorted(reader.other.items())),
        **found,
    )


class _Reader:
    """What is read so far. `values` and `characters` count all of it."""

    def __init__(self) -> None:
        self.values = 0
        self.characters = 0
        self.names: list[Name] = []
        self.addresses: list[Address] = []
        self.lists: dict[str, list[str]] = {}
        self.other: dict[str, list[str]] = {}
        self.date_of_birth = ""
        self._parts: dict[str, list[str]] = {}

    def read(self, value: Any, path: str, shape: Mapping[str, _Field]) -> None:
        """Read the object at `path`, whose fields are those of `shape`."""
        outer, self._parts = self._parts, {}
        for name, inner in _fields(value, path):
            field = shape.get(name)
            if field is None:
                _unknown(path, name)
            if inner is not None:
                field(self, inner, f"{path}.{name}")
        parts, self._parts = self._parts, outer
        if parts.keys() & _NAME_PARTS:
            self.names.append(Name(**{part: " ".join(parts.get(part, ())) for part in _NAME_PARTS}))
        if "street" in parts or parts.keys() & _PLACE_PARTS:
            written = {part: " ".join(parts.get(part, ())) for part in _PLACE_PARTS}
            self.addresses.append(Address(tuple(parts.get("street", ())), **written))

    def part(self, name: str, value: Any, path: str) -> None:
        """A part of the name or address that is being read."""
        if strings := self.strings(value, path):
            self._parts.setdefault(name, []).extend(strings)

    def text(self, value: Any, path: str) -> str:
        """One value: a string, or a whole number, which is what platforms' ids are. Empty ones do not count."""
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_LONG
        if not isinstance(value, str) and not whole:
            raise _bad("invalid_type", f"'{path}' must be a string.", path)
        text = str(value).strip()
        if len(text) > MAX_CHARACTERS:
            raise _bad("invalid_value", f"'{path}' is longer than {MAX_CHARACTERS} characters.", path)
        self.values += bool(text)
        self.characters += len(text)
        if self.values > MAX_VALUES:
            raise _bad("invalid_value", f"At most {MAX_VALUES} values are taken of one shopper.", path)
        if self.characters > MAX_TOTAL:
            raise _bad("invalid_value", f"At most {MAX_TOTAL} characters are taken of one shopper.", path)
        return text

    def strings(self, value: Any, path: str) -> list[str]:
        """One value or a list of them."""
        return [text for inner, where in _items(value, path) if (text := self.text(inner, where))]


def _read_other(reader: _Reader, value: Any, path: str) -> None:
    for name, inner in _fields(value, path):
        if name not in OTHER_LABELS:
            _unknown(path, name)
        if inner is not None and (strings := reader.strings(inner, f"{path}.{name}")):
            reader.other.setdefault(name, []).extend(strings)


def _read_date(reader: _Reader, value: Any, path: str) -> None:
    text = reader.text(value, path)
    if text and not _is_date(text):
        raise _bad("invalid_value", f"'{path}' must be a date written YYYY-MM-DD.", path)
    reader.date_of_birth = text[:10] or reader.date_of_birth


def _read_addresses(reader: _Reader, value: Any, path: str) -> None:
    for inner, where in _items(value, path):
        if inner is not None:
            reader.read(inner, where, _ADDRESS)


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    year, month, day = map(int, match.groups())
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return year > 0 and 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] + (month == 2 and leap)


_Field = Callable[[_Reader, Any, str], None]


def _list(name: str) -> _Field:
    def read(reader: _Reader, value: Any, path: str) -> None:
        reader.lists.setdefault(name, []).extend(reader.strings(value, path))

    return read


def _part(name: str) -> _Field:
    return lambda reader, value, path: reader.part(name, value, path)


def _shape(fields: Mapping[str, _Field]) -> dict[str, _Field]:
    return {name: field for names, field in fields.items() for name in names.split()}


_PERSON = {
    "full_name name": _part("full"),
    "given_name first_name firstname middlename": _part("given"),
    "family_name last_name lastname": _part("family"),
    "phone phones telephone": _list("phones"),
    "tax_id tax_ids taxvat vat_id": _list("tax_ids"),
}
_ADDRESS = _shape(
    {
        **_PERSON,
        "street address1 address2": _part("street"),
        "postcode postal_code zip": _part("postcode"),
        "city": _part("city"),
    }
)
_SUBJECT = _shape(
    {
        **_PERSON,
        "names": _list("names"),
        "email emails": _list("emails"),
        "address addresses default_address": _read_addresses,
        "order_id order_ids": _list("order_ids"),
        "account_id account_ids id customer_id": _list("account_ids"),
        "username usernames": _list("usernames"),
        "date_of_birth dob": _read_date,
        "other": _read_other,
    }
)

OTHER_LABELS = frozenset({"CREDIT_CARD", "IBAN", "NATIONAL_ID", "IP", "SECRET", "URL"})
"""Keys of `other`: kinds of data that have no field of their own."""

_NAME_PARTS = frozenset({"full", "given", "family"})
_PLACE_PARTS = frozenset({"postcode", "city"})

_TOO_LONG = 10**32
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ][0-9:.Z+-]{0,30})?")
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SAFE_KEY = re.compile(r"[A-Za-z][A-Za-z_]{0,31}")


def _fields(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if value is None:
        return
    if not isinstance(value, dict):
        raise _bad("invalid_type", f"'{path}' must be an object.", path)
    yield from value.items()


def _items(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    if not isinstance(value, list):
        yield value, path
        return
    for number, inner in enumerate(value):
        if number >= MAX_VALUES:
            raise _bad("invalid_value", f"'{path}' has more than {MAX_VALUES} entries.", path)
        yield inner, f"{path}[{number}]"


def _unknown(path: str, name: str) -> NoReturn:
    """A key is the caller's, and may be a value that slipped: only one that looks like a field's name is repeated."""
    where = f"{path}.{name}" if _SAFE_KEY.fullmatch(name) else path
    raise _bad("invalid_value", f"'{where}' is not a field that is known here.", where)


def _bad(code: str, message: str, param: str) -> CallerError:
    return CallerError(400, code, message, param=param)
