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
    "access",  # somebody read or exported sealed evidence
    "refused",  # a call that never became an exchange, or a count of such calls
    "erasure",  # a subject's keys were destroyed and their bodies blanked
    "expiry",  # bodies past their retention were deleted
    "hold",  # a legal hold was put or ended
    "key",  # a key of the region was made, replaced or destroyed
    "incident",  # an entry of a case, or its sealed snapshot
    "isolation",  # a model instance was isolated, or let back
    "repair",  # a journal or a published log was made whole from the other
    "checkpoint",  # the signed checkpoint of a slot's log
]

Fact = str | int | float | bool | None | list[str] | dict[str, int]

OPERATIONS = "operations"
"""Retention class of bodies that are about no surface: people's notes and reasons."""


class Record(Struct, frozen=True, kw_only=True):
    """One fact about an exchange or the region.

    `at` is Unix nanoseconds. `facts` hold codes, ids and counts, never free text: they stay readable for as long as
    the log. `body` is content (already minimised); it is sealed before it touches the disk, and kept as long as its
    `retention` class says (a surface's name, or `OPERATIONS`). `subject` and `session` are the region's look-up
    pseudonyms (32 hex digits): the log holds others in their place, made with a key that can be destroyed.
    """

    kind: Kind
    exchange: str
    at: int
    facts: dict[str, Fact]
    body: bytes | None = None
    retention: str = OPERATIONS
    subject: str | None = None
    session: str | None = None
