"""The words that entries of a case are made of: bounded texts and numbers, and what every payload is."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from firedoor.core.patterns import END

MICRO: Final = 1_000_000
"""Entries tell moments in Unix microseconds, as leaves do."""
PAYLOAD_LIMIT: Final = 64 * 1024
"""Bytes of a payload: fifty findings with names of any length, or a text of 8,000 characters, with room."""
AUTOMATIC: Final = "firedoor"
"""`by` of what nobody asked for."""
HANDED_IN: Final = 20
"""Submissions that a case brings along: a law asks for four at most, and a payload has its limit."""
NAMED: Final = 50
"""Findings named in one entry; above it they are counted."""
BROUGHT: Final = 40
"""What had been said in a case that is taken in: a decision, a score, and waivers of any law there is."""

Moment = Annotated[int, Meta(ge=0, le=1 << 53, description="Unix microseconds")]
Line = Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]*" + END)]
Words = Annotated[str, Meta(min_length=1, max_length=8000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
ScopeText = Annotated[str, Meta(max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]*" + END)]
CaseId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}" + END)]
Number = Annotated[int, Meta(ge=1, le=1_000_000)]
Code = Annotated[str, Meta(max_length=130, pattern=r"^[^\x00-\x1f\x7f-\x9f]*" + END)]
Address = Annotated[str, Meta(max_length=2000, pattern=r"^(https?://[^\s\x00-\x1f\x7f-\x9f]+)?" + END)]
"""A page that people open; nothing that a browser would run."""


class Said(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of every payload: what an entry says."""


class FoundOne(Struct, frozen=True, forbid_unknown_fields=True):
    """A finding: record `seq` of journal slot `slot` (``HOST/SLOT`` of another host), found `at` (microseconds)."""

    slot: Code
    seq: Annotated[int, Meta(ge=0, le=1 << 62)]
    at: Moment
    rule: Code
    verdict: Code
    scope: ScopeText
    exchange: Code = ""
    sets: tuple[Code, ...] = ()
