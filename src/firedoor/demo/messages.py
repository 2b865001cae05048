"""What the demonstration's shoppers write, and the transactions its checkout asks about.

Every person is invented. Mail addresses are under ``example.*`` (RFC 2606), IP addresses from the documentation ranges
(RFC 5737, RFC 3849), phone numbers from ranges kept free for fiction, card numbers those that card networks publish for
tests, and account numbers the examples of the IBAN registry: valid in form, nobody's in fact.
"""

from __future__ import annotations

from importlib.resources import files

import msgspec
from msgspec import Struct


class Message(Struct, frozen=True):
    """One message of a shopper to a surface. `subject` is the shop's opaque id of the shopper.

    `personal` are the names, addresses and other values in it that no pattern tells, as a reader would mark them.
    """

    surface: str
    region: str
    language: str
    subject: str
    text: str
    personal: tuple[str, ...] = ()


class Transaction(Struct, frozen=True):
    """One order that a checkout surface is asked about; `facts` is what it is told."""

    surface: str
    region: str
    subject: str
    facts: dict[str, str | float]


def messages() -> list[Message]:
    """All messages, by surface."""
    return msgspec.json.decode(_lines("demo-messages.jsonl"), type=list[Message])


def transactions() -> list[Transaction]:
    """All transactions, by surface."""
    return msgspec.json.decode(_lines("demo-transactions.jsonl"), type=list[Transaction])


def _lines(name: str) -> bytes:
    data = (files("firedoor") / "data" / name).read_bytes()
    return b"[" + b",".join(data.splitlines()) + b"]"
