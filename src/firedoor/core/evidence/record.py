"""What goes into the evidence of a region: one shape for every record."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal[
    "intent",  # a model instance is about to be called
    "progress",  # a long stream is still going
    "outcome",  # how the exchange ended
    "finding",  # a detection
    "switch",  # a switch was shut or opened
    "request",  # a signed request of a person, or its approval
    "access",  # somebody read sealed evidence
    "refused",  # a call that never became an exchange, or a count of such calls
]

Fact = str | int | float | bool | None | list[str] | dict[str, int]


class Record(Struct, frozen=True, kw_only=True):
    """One fact about an exchange or the region.

    `at` is Unix nanoseconds. `facts` hold codes, ids, counts and keyed pseudonyms, never free text: they stay readable
    for as long as the log. `body` is content (already minimised); it is sealed before it touches the disk.
    """

    kind: Kind
    exchange: str
    at: int
    facts: dict[str, Fact]
    body: bytes | None = None
