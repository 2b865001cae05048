"""What the index of exchanges can be asked, and what it answers: who is affected. Pure values."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

LONGEST: Final = 15 * 60 * 1_000_000
"""Microseconds that no exchange lasts: a plan allows a stream ten minutes. Bounds how far back a window looks."""
OPEN: Final = "open"
"""Outcome of an exchange that has none yet."""


class Question(Struct, frozen=True, kw_only=True):
    """Which exchanges; None asks for any. `since` and `until` are Unix microseconds, `subject` a look-up pseudonym.

    An exchange is in the window if it began before `until` and did not end before `since`; one that is still open has
    not ended. `category` is a label of personal data, in the request or restored in the answer; `finding` a rule.
    """

    since: int | None = None
    until: int | None = None
    shop: str | None = None
    surface: str | None = None
    model: str | None = None
    jurisdiction: str | None = None
    subject: str | None = None
    session: str | None = None
    category: str | None = None
    outcome: str | None = None
    finding: str | None = None


class Found(Struct, frozen=True):
    """One exchange. Times are Unix microseconds; `subject` is the look-up pseudonym, None if it is not known.

    `slot`, `first_seq` and `last_seq` say where its records lie. `called` says that its intent is on record.
    """

    exchange: str
    began: int
    last: int
    shop: str
    surface: str
    model: str
    jurisdiction: str
    credential: str
    plan: str
    subject: str | None
    erased: bool
    session: str | None
    called: bool
    outcome: str
    reason: str
    released: int
    present: list[str]
    restored: list[str]
    findings: list[str]
    slot: str
    first_seq: int
    last_seq: int


class Summary(Struct, frozen=True):
    """Counts of exchanges, but for `subjects`: distinct known subjects.

    Of the exchanges, `no_subject` name none, `erased` name one whose key was destroyed, `unknown_subject` one whose key
    is not to be found. `outcomes` has ``open`` and ``unknown`` beside the others; `called` reached the model instance.
    An exchange counts once under each category, and under each rule that found something in it.
    """

    exchanges: int
    called: int
    subjects: int
    no_subject: int
    erased: int
    unknown_subject: int
    jurisdictions: dict[str, int]
    categories: dict[str, int]
    restored: dict[str, int]
    outcomes: dict[str, int]
    findings: dict[str, int]
