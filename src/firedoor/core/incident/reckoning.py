"""When a time limit ends. Pure: moments are Unix microseconds in UTC, zones and holidays are handed in.

Hours are elapsed hours: added in UTC, whatever the wall clock does meanwhile. Days and months are dates of a place:
the day of the event is not counted, and the limit ends with the last second of its last day there.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, NamedTuple

MICRO: Final = 1_000_000
HOUR: Final = 3600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_LONGEST_REST: Final = 60
"""Days without a working day among them: no calendar has as many; one that does is damaged."""

IsHoliday = Callable[[date], bool]
Mode = Literal["eh", "cd", "bd", "cm"]
"""Elapsed hours; calendar days; business days; calendar months."""


class Length(NamedTuple):
    """How long a limit is: `amount` seconds for ``eh``, else days or months."""

    mode: Mode
    amount: int

    def __str__(self) -> str:
        if self.mode == "eh":
            return f"{self.amount / HOUR:g} h"
        unit = {"cd": "calendar day", "bd": "business day", "cm": "month"}[self.mode]
        return f"{self.amount} {unit}{'' if self.amount == 1 else 's'}"


def utc(moment: datetime) -> int:
    """Unix microseconds of an aware datetime. Of an hour that the clock shows twice, `fold` says which is meant."""
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def local(at: int, zone: tzinfo) -> datetime:
    """What the clock in `zone` shows at `at`."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone)


def written(at: int, zone: tzinfo) -> str:
    """``Tue 2026-10-27 09:30:00 +01:00``, to the second."""
    shown = local(at, zone).replace(microsecond=0)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[shown.weekday()]
    stamp = shown.isoformat(sep=" ")
    return f"{day} {stamp[:19]} {stamp[19:]}"


def due(start: int, length: Length, zone: tzinfo, is_holiday: IsHoliday) -> int:
    """When a limit of `length` from `start` ends, strictly read. The last moment that is in time."""
    match length.mode:
        case "eh":
            return start + length.amount * MICRO
        case "cd":
            return end_of_day(local(start, zone).date() + length.amount * _DAY, zone)
        case "bd":
            return end_of_day(business_day(local(start, zone).date(), length.amount, is_holiday), zone)
        case "cm":
            return end_of_day(months_later(local(start, zone).date(), length.amount), zone)


def end_of_day(day: date, zone: tzinfo) -> int:
    """The last second that is still `day` in `zone`: 23:59:59, and what comes before it where that is skipped."""
    at = utc(datetime.combine(day + _DAY, time(), zone)) - MICRO
    while local(at, zone).date() > day:  # the clock jumps from before midnight to after it
        at -= 60 * MICRO
    return at


def months_later(day: date, months: int) -> date:
    """The same day number `months` later, or the last day of a month that is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def business_day(day: date, count: int, is_holiday: IsHoliday) -> date:
    """The `count`-th business day after `day`: weekends (Saturday, Sunday) and holidays are left out."""
    for _ in range(count):
        day = _working(day + _DAY, is_holiday)
    return day


def _working(day: date, is_holiday: IsHoliday) -> date:
    """`day`, or the next business day. Raises ValueError for a calendar without any."""
    for _ in range(_LONGEST_REST):
        if day.weekday() < 5 and not is_holiday(day):
            return day
        day += _DAY
    raise ValueError("a calendar without working days")


# Other readings of the same limit: for counsel, never the one to act on


def hours_1182(start: int, hours: Length, zone: tzinfo) -> int:
    """Regulation 1182/71 Art. 3(1), 3(2)(a): the clock hour in which the event falls is not counted.

    An event on the full hour falls into the hour that begins with it: that one is not counted either.
    """
    shown = local(start, zone)
    into = (shown.minute * 60 + shown.second) * MICRO + shown.microsecond
    return start - into + HOUR * MICRO + hours.amount * MICRO


def two_working_days(start: int, hours: Length, zone: tzinfo, is_holiday: IsHoliday) -> int | None:
    """Regulation 1182/71 Art. 3(5): a period of two days or more holds at least two working days.

    Whether that goes for hours is disputed. None if the period holds them, or is shorter than two days.
    """
    if hours.amount < 48 * HOUR:
        return None
    second = end_of_day(business_day(local(start, zone).date(), 2, is_holiday), zone)
    return second if second > hours_1182(start, hours, zone) else None


def next_working_day(at: int, zone: tzinfo, is_holiday: IsHoliday) -> int | None:
    """Regulation 1182/71 Art. 3(4): a period that is not in hours, and ends on a day off, ends with the next working
    day. None if it ends on a working day.
    """
    day = local(at, zone).date()
    working = _working(day, is_holiday)
    return end_of_day(working, zone) if working != day else None


def noon_of_next_working_day(at: int, zone: tzinfo, is_holiday: IsHoliday) -> int | None:
    """Delegated Regulation (EU) 2025/301 Art. 5: what ends on a weekend or bank holiday may be handed in by noon of
    the next working day. None if it ends on a working day.
    """
    day = local(at, zone).date()
    working = _working(day, is_holiday)
    return utc(datetime.combine(working, time(12), zone)) if working != day else None
