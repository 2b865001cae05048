"""The law that is shipped with the package, and the calendars of this machine: zoneinfo and `holidays`."""

from __future__ import annotations

from datetime import date, tzinfo
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from firedoor.core.incident.calendars import Calendars
from firedoor.core.incident.law import LawBook
from firedoor.core.incident.lawfile import bound, read_authorities, read_law

AUTHORITIES = "authorities.yaml"


@cache
def law_book() -> LawBook:
    """All law files of the package, read once. Raises `SetupError` that names file and line of what is wrong."""
    folder = files("firedoor") / "data" / "law"
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".yaml"))
    rules = [
        rule for name in names if name != AUTHORITIES for rule in read_law((folder / name).read_bytes(), name)
    ]  # fmt: skip
    return bound(rules, read_authorities((folder / AUTHORITIES).read_bytes(), AUTHORITIES))


class _Machine:
    """`Calendars` of the IANA database (this machine's, else the package tzdata) and of the package holidays."""

    def zone(self, name: str) -> tzinfo:
        """Raises KeyError for a zone that is not known."""
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # not there, not a name, a folder of the database
            raise KeyError(name) from None

    def is_holiday(self, place: str, day: date) -> bool:
        """Whether `day` is a public holiday there; False for a place that is not known."""
        known = _of(place)
        return known is not None and day in known

    def knows(self, place: str) -> bool:
        """Whether the package has the holidays of `place`."""
        return _of(place) is not None


@cache
def _of(place: str) -> Any:
    """The holidays of a place. Imported when first asked for: the package has a file for each country."""
    holidays = import_module("holidays")
    country, _, part = place.partition("-")
    try:
        return holidays.country_holidays(country, subdiv=part or None)
    except NotImplementedError:  # no such country, or no such part of it
        return None


def calendars() -> Calendars:
    """What time zones and holidays this machine knows."""
    return _Machine()
