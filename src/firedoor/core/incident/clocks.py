"""What a clock of a case is: a time limit of law or contract, when it started, when it ends, what was handed in."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from firedoor.core.plan.words import Role

ClockState = Literal["not_started", "running", "halted", "met", "met_late", "missed", "waived", "not_applicable"]


class Due(Struct, frozen=True):
    """Another reading of the same limit, for counsel: ``hours_1182``, ``two_working_days`` …; never the one to act on.

    `at` is in Unix microseconds, `local` as people of the clock's zone write it.
    """

    reading: str
    at: int
    local: str


class Clock(Struct, frozen=True, kw_only=True):
    """One clock. Moments are Unix microseconds; `due` is the strict reading, the one to act on.

    `cautious` is where the same length would end counted from detection: what is shown while the legal start is not
    decided. `applies` says whether it does as far as is known (``likely`` while it depends on who is affected), and
    `why` by which rule. `basis` is law or contract, `source` where it stands. `target`: the law has no number, and the
    ends are targets of ours. `share` is how much of the time is over (1.0 at `due`; of the cautious one before the
    start), `depends_on` the clock whose submission starts it.
    """

    id: str
    title: str
    rule_version: str
    basis: Literal["law", "contract", "internal"]
    source: str
    target: bool = False
    recipients: tuple[str, ...]
    start_event: str
    start_at: int | None
    length: str
    zone: str
    due: int | None
    due_local: str = ""
    alternatives: tuple[Due, ...] = ()
    cautious: int | None = None
    state: ClockState = "not_started"
    applies: Literal["yes", "likely", "no", "unknown"] = "yes"
    why: str = ""
    owner: Role = "dpo"
    share: float = 0.0
    depends_on: str | None = None
    submitted: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
