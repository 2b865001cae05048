"""What reckoning asks of the world: time zones, and which days are holidays where."""

from __future__ import annotations

from datetime import date, tzinfo
from typing import Protocol


class Calendars(Protocol):
    """Owes: the same answers for the same questions within a process; the calls do not block for long."""

    def zone(self, name: str) -> tzinfo:
        """The time zone of an IANA name. Raises KeyError for one that is not known."""
        ...

    def is_holiday(self, place: str, day: date) -> bool:
        """Whether `day` is a public holiday in `place` (ISO 3166-1 or -2). Not of a place that is not known."""
        ...

    def knows(self, place: str) -> bool:
        """Whether the holidays of `place` are known."""
        ...
