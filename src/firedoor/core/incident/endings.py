"""When the clocks of law end at a place: the strict end, and other readings of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, tzinfo
from typing import Final, NamedTuple

from firedoor.core.incident import reckoning
from firedoor.core.incident.applies import Facts, judge
from firedoor.core.incident.calendars import Calendars
from firedoor.core.incident.clocks import Due
from firedoor.core.incident.law import Rule, length
from firedoor.core.incident.reckoning import IsHoliday, Length
from firedoor.core.plan.response import Legal

KNOWING: Final = frozenset(
    "detected triaged processor_aware aware significant_aware noticed discovered determined knew suspected".split()  # noqa: SIM905
)
"""Events that a finding is the first hint of: counted from detection, their limits end too early rather than too late.
Others (a fix is there, people were told) have nothing to do with when something was found.
"""


class Limit(NamedTuple):
    """When a clock ends: `at` strictly, `alternatives` by other readings; None where there is no number."""

    at: int | None
    alternatives: tuple[Due, ...] = ()


class Endings:
    """Reckons in the zones and with the holidays of `calendars`, for the responsible body of `legal`."""

    def __init__(self, legal: Legal, calendars: Calendars) -> None:
        self._legal = legal
        self._calendars = calendars
        self._home = self.zone(legal.zone)[1]

    def zone(self, name: str) -> tuple[str, tzinfo]:
        """The zone `name`, or UTC where it is not known, and what it is called."""
        try:
            return name, self._calendars.zone(name)
        except KeyError:
            return "UTC", UTC

    def day(self, at: int) -> str:
        """The date at the seat (ISO)."""
        return reckoning.local(at, self._home).date().isoformat()

    def place(self, rule: Rule) -> str | None:
        """Where the holidays are that `rule` leaves out."""
        return self._seat() if rule.business == "seat" else rule.business

    def _seat(self) -> str | None:
        legal = self._legal
        return legal.main or next(iter(legal.establishments), None)

    def _days_off(self, rule: Rule) -> IsHoliday:
        place = self.place(rule)
        return self._off(place) if place is not None else _no_holiday

    def _seat_off(self) -> IsHoliday | None:
        seat = self._seat()
        return self._off(seat) if seat is not None and self._calendars.knows(seat) else None

    def _off(self, place: str) -> Callable[[date], bool]:
        return lambda day: self._calendars.is_holiday(place, day)

    def limit(self, rule: Rule, facts: Facts, start: int | None, zone: tzinfo) -> Limit:
        """When `rule` ends that started at `start`."""
        limit = rule.limit
        if start is None or limit is None:
            return Limit(None)
        days_off = self._days_off(rule)
        at = reckoning.due(start, limit, zone, days_off)
        others: list[Due] = []
        for variant in rule.variants:
            verdict = judge((variant.when,), facts)
            longer = length(variant.length)
            assert longer is not None  # the law file was checked
            other = reckoning.due(start, longer, zone, days_off)
            if verdict.word == "yes":
                limit, at = longer, other
            elif verdict.word != "no":
                others.append(_due(variant.reading, other, zone))
        if rule.also is not None:
            at = min(at, _second_limb(rule, facts, start, zone))
        others += (_due(name, other, zone) for name, other in self._readings(rule, limit, start, at, zone))
        return Limit(at, tuple(others))

    def _readings(self, rule: Rule, limit: Length, start: int, at: int, zone: tzinfo) -> Iterable[tuple[str, int]]:
        seat_off = self._seat_off()
        for reading in rule.readings:
            if reading == "hours_1182":
                yield reading, reckoning.hours_1182(start, limit, zone)
            elif seat_off is not None:
                other = (
                    reckoning.two_working_days(start, limit, zone, seat_off)
                    if reading == "two_working_days"
                    else reckoning.next_working_day(at, zone, seat_off)
                    if reading == "next_working_day"
                    else reckoning.noon_of_next_working_day(at, zone, seat_off)
                )
                if other is not None:
                    yield reading, other

    def cautious(self, rule: Rule, facts: Facts, zone: tzinfo) -> int | None:
        """When `rule` would end counted from detection; None where that says nothing about its end."""
        limit = length(rule.also.length) if rule.also is not None else rule.limit
        starts = rule.also.starts if rule.also is not None else rule.starts
        if limit is None or starts not in KNOWING or rule.starts == "detected":
            return None
        for variant in rule.variants:
            if judge((variant.when,), facts).word == "yes":
                limit = length(variant.length) or limit
        return reckoning.due(facts.case.moments["detected"], limit, zone, self._days_off(rule))


def _second_limb(rule: Rule, facts: Facts, start: int, zone: tzinfo) -> int:
    """The end by the second limb; that of no time, where it does not hold."""
    assert rule.also is not None
    since = facts.case.moments.get(rule.also.starts)
    limit, within = length(rule.also.length), length(rule.also.within)
    assert limit is not None
    assert within is not None
    if since is None or start > reckoning.due(since, within, zone, _no_holiday):
        return 1 << 60
    return reckoning.due(since, limit, zone, _no_holiday)


def _no_holiday(_: date) -> bool:
    return False


def _due(reading: str, at: int, zone: tzinfo) -> Due:
    return Due(reading, at, reckoning.written(at, zone))
