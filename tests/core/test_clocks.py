"""When time limits end: the vectors of the law, summer time in both directions, holidays, months, and what always holds."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from firedoor.app.lawbook import calendars
from firedoor.core.incident import reckoning
from firedoor.core.incident.reckoning import Length

CALENDARS = calendars()
H72 = Length("eh", 72 * 3600)
ZONES = [
    "UTC", "Europe/Berlin", "Europe/Paris", "Europe/London", "Europe/Dublin", "Europe/Kyiv", "America/New_York",
    "America/Los_Angeles", "America/St_Johns", "America/Sao_Paulo", "America/Santiago", "America/Havana",
    "America/Nuuk", "Atlantic/Azores", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Asia/Singapore", "Asia/Tokyo",
    "Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia",
]  # fmt: skip


def at(text, zone, fold=0):
    return reckoning.utc(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold))


def shown(moment, zone):
    return reckoning.local(moment, ZoneInfo(zone)).isoformat(sep=" ")


def off(place):
    return lambda day: CALENDARS.is_holiday(place, day)


def never(_):
    return False


@pytest.mark.parametrize(
    ("zone", "aware", "strict", "h1182"),
    [
        ("Europe/Berlin", "2020-12-22 12:17", "2020-12-25 12:17:00+01:00", "2020-12-25 13:00:00+01:00"),
        ("Europe/Berlin", "2020-12-22 12:59", "2020-12-25 12:59:00+01:00", "2020-12-25 13:00:00+01:00"),
        (
            "Europe/Berlin",
            "2020-12-22 12:59:59.999999",
            "2020-12-25 12:59:59.999999+01:00",
            "2020-12-25 13:00:00+01:00",
        ),
        ("Europe/Berlin", "2020-12-22 12:00", "2020-12-25 12:00:00+01:00", "2020-12-25 13:00:00+01:00"),
        ("Europe/Berlin", "2026-11-20 16:20", "2026-11-23 16:20:00+01:00", "2026-11-23 17:00:00+01:00"),
        ("Europe/Berlin", "2026-10-24 10:30", "2026-10-27 09:30:00+01:00", "2026-10-27 10:00:00+01:00"),
        ("Europe/Berlin", "2026-03-27 10:30", "2026-03-30 11:30:00+02:00", "2026-03-30 12:00:00+02:00"),
        ("Europe/Paris", "2026-12-23 18:45", "2026-12-26 18:45:00+01:00", "2026-12-26 19:00:00+01:00"),
        ("America/New_York", "2026-10-30 09:10", "2026-11-02 08:10:00-05:00", "2026-11-02 09:00:00-05:00"),
        ("America/New_York", "2026-03-06 09:10", "2026-03-09 10:10:00-04:00", "2026-03-09 11:00:00-04:00"),
        ("Australia/Adelaide", "2026-10-02 09:10", "2026-10-05 10:10:00+10:30", "2026-10-05 11:00:00+10:30"),
        ("Australia/Lord_Howe", "2026-10-03 09:10", "2026-10-06 09:40:00+11:00", "2026-10-06 10:30:00+11:00"),
        ("Australia/Lord_Howe", "2026-04-04 09:10", "2026-04-07 08:40:00+10:30", "2026-04-07 09:30:00+10:30"),
        ("Asia/Kolkata", "2026-11-20 16:20", "2026-11-23 16:20:00+05:30", "2026-11-23 17:00:00+05:30"),
        ("Asia/Kathmandu", "2026-11-20 16:20", "2026-11-23 16:20:00+05:45", "2026-11-23 17:00:00+05:45"),
    ],
)
def test_seventy_two_hours(zone, aware, strict, h1182):
    start, where = at(aware, zone), ZoneInfo(zone)
    assert shown(reckoning.due(start, H72, where, never), zone) == strict
    assert shown(reckoning.hours_1182(start, H72, where), zone) == h1182


@pytest.mark.parametrize(
    ("aware", "ends"),
    [
        ("2026-11-20 16:20", "2026-11-24 23:59:59+01:00"),  # Friday: Tuesday is the second working day
        ("2026-11-19 16:20", "2026-11-23 23:59:59+01:00"),  # Thursday
        ("2026-11-18 16:20", None),  # Wednesday: Thursday and Friday are in it
        ("2026-11-21 10:00", "2026-11-24 23:59:59+01:00"),  # Saturday: Tuesday is not whole
        ("2026-11-22 10:00", None),  # Sunday
        ("2026-12-23 18:45", "2026-12-28 23:59:59+01:00"),  # Wednesday: Friday is a holiday
        ("2026-12-24 10:00", "2026-12-29 23:59:59+01:00"),
    ],
)
def test_the_contested_reading_of_two_working_days(aware, ends):
    start = at(aware, "Europe/Berlin")
    found = reckoning.two_working_days(start, H72, ZoneInfo("Europe/Berlin"), off("DE"))
    assert (None if found is None else shown(found, "Europe/Berlin")) == ends
    assert reckoning.two_working_days(start, Length("eh", 24 * 3600), UTC, never) is None


def test_two_working_days_are_those_of_the_place():
    start = at("2026-12-23 18:45", "Europe/Paris")  # 26 December is none in France, and a Saturday
    found = reckoning.two_working_days(start, H72, ZoneInfo("Europe/Paris"), off("FR"))
    assert found is not None
    assert shown(found, "Europe/Paris") == "2026-12-28 23:59:59+01:00"  # the 24th and the 28th


@pytest.mark.parametrize(
    ("zone", "start", "length", "place", "ends"),
    [
        ("Asia/Singapore", "2026-11-20 09:00", Length("cd", 3), None, "2026-11-23 23:59:59+08:00"),
        ("Asia/Singapore", "2026-11-20 23:59:59", Length("cd", 3), None, "2026-11-23 23:59:59+08:00"),
        ("Asia/Singapore", "2026-11-20 00:00", Length("cd", 3), None, "2026-11-23 23:59:59+08:00"),
        ("America/Sao_Paulo", "2026-11-19 09:00", Length("bd", 3), "BR", "2026-11-25 23:59:59-03:00"),
        ("America/Sao_Paulo", "2026-11-19 23:59", Length("bd", 6), "BR", "2026-11-30 23:59:59-03:00"),
        ("America/Sao_Paulo", "2026-11-21 10:00", Length("bd", 3), "BR", "2026-11-25 23:59:59-03:00"),  # a Saturday
        ("America/New_York", "2026-11-24 10:00", Length("bd", 4), "US", "2026-12-01 23:59:59-05:00"),  # Thanksgiving
        ("America/Los_Angeles", "2026-10-10 22:00", Length("cd", 30), None, "2026-11-09 23:59:59-08:00"),
        ("Europe/Berlin", "2027-01-31 12:00", Length("cm", 1), None, "2027-02-28 23:59:59+01:00"),
        ("Europe/Berlin", "2028-01-31 12:00", Length("cm", 1), None, "2028-02-29 23:59:59+01:00"),
        ("Europe/Berlin", "2026-12-15 12:00", Length("cm", 1), None, "2027-01-15 23:59:59+01:00"),
        ("Europe/Berlin", "2028-02-29 12:00", Length("cm", 12), None, "2029-02-28 23:59:59+01:00"),
        ("Europe/Berlin", "2027-02-28 12:00", Length("cm", 1), None, "2027-03-28 23:59:59+02:00"),
        ("Europe/Berlin", "2028-02-27 12:00", Length("cd", 2), None, "2028-02-29 23:59:59+01:00"),
        ("America/Sao_Paulo", "2018-11-02 12:00", Length("cd", 1), None, "2018-11-03 23:59:59-03:00"),  # no 4 Nov 00:00
        (
            "America/Santiago",
            "2026-04-03 12:00",
            Length("cd", 1),
            None,
            "2026-04-04 23:59:59-04:00",
        ),  # 23:59 comes twice
        ("America/Nuuk", "2024-03-29 12:00", Length("cd", 1), None, "2024-03-30 22:59:59-02:00"),  # 23:00 is 00:00
        ("America/Havana", "2026-10-30 12:00", Length("cd", 1), None, "2026-10-31 23:59:59-04:00"),  # 00:00 comes twice
        ("Pacific/Apia", "2011-12-28 12:00", Length("cd", 1), None, "2011-12-29 23:59:59-10:00"),
        ("Pacific/Apia", "2011-12-28 12:00", Length("cd", 2), None, "2011-12-29 23:59:59-10:00"),  # there was no 30th
    ],
)
def test_days_and_months(zone, start, length, place, ends):
    found = reckoning.due(at(start, zone), length, ZoneInfo(zone), off(place) if place else never)
    assert shown(found, zone) == ends


class Jumps(tzinfo):
    """A clock that goes from 23:30 to 00:30 and skips midnight."""

    CHANGE = datetime.fromisoformat("2026-05-01 23:30")

    def dst(self, when):
        return timedelta(0)

    def utcoffset(self, when):
        naive = when.replace(tzinfo=None)
        if naive >= self.CHANGE + timedelta(hours=1) or (naive >= self.CHANGE and when.fold):
            return timedelta(hours=1)
        return timedelta(0)

    def fromutc(self, when):
        return when + timedelta(hours=1) if when.replace(tzinfo=None) >= self.CHANGE else when


def test_a_day_whose_midnight_is_skipped_ends_before_the_jump():
    found = reckoning.end_of_day(date(2026, 5, 1), Jumps())
    assert reckoning.local(found, UTC).isoformat() == "2026-05-01T23:29:59+00:00"


def test_an_hour_that_comes_twice_is_told_apart():
    first, second = at("2026-10-25 02:30", "Europe/Berlin"), at("2026-10-25 02:30", "Europe/Berlin", fold=1)
    assert second - first == 3600 * 10**6
    assert shown(reckoning.due(first, H72, UTC, never), "Europe/Berlin") == "2026-10-28 01:30:00+01:00"
    assert shown(reckoning.due(second, H72, UTC, never), "Europe/Berlin") == "2026-10-28 02:30:00+01:00"
    assert reckoning.written(first, ZoneInfo("Europe/Berlin")) == "Sun 2026-10-25 02:30:00 +02:00"
    assert reckoning.written(second, ZoneInfo("Europe/Berlin")) == "Sun 2026-10-25 02:30:00 +01:00"


@pytest.mark.parametrize(
    ("ends", "rolled", "noon"),
    [
        ("2027-02-28 23:59:59", "2027-03-01 23:59:59+01:00", "2027-03-01 12:00:00+01:00"),  # a Sunday
        ("2027-03-26 23:59:59", "2027-03-30 23:59:59+02:00", "2027-03-30 12:00:00+02:00"),  # Good Friday to Tuesday
        ("2026-11-27 09:00:00", None, None),
        ("2026-11-28 09:00:00", "2026-11-30 23:59:59+01:00", "2026-11-30 12:00:00+01:00"),
    ],
)
def test_an_end_on_a_day_off(ends, rolled, noon):
    end, zone = at(ends, "Europe/Berlin"), ZoneInfo("Europe/Berlin")
    for reading, wanted in ((reckoning.next_working_day, rolled), (reckoning.noon_of_next_working_day, noon)):
        found = reading(end, zone, off("DE"))
        assert (None if found is None else shown(found, "Europe/Berlin")) == wanted


def test_a_calendar_without_working_days_is_damaged():
    with pytest.raises(ValueError, match="without working days"):
        reckoning.business_day(date(2026, 11, 20), 1, lambda _: True)


# What always holds

MOMENTS = st.integers(at("1990-01-01 00:00", "UTC"), at("2037-12-31 00:00", "UTC"))
LENGTHS = st.one_of(
    st.builds(Length, st.just("eh"), st.integers(1, 1000).map(lambda hours: hours * 3600)),
    st.builds(Length, st.just("cd"), st.integers(1, 90)),
    st.builds(Length, st.just("bd"), st.integers(1, 40)),
    st.builds(Length, st.just("cm"), st.integers(1, 24)),
)


@given(MOMENTS, st.integers(1, 1000), st.sampled_from(ZONES))
def test_hours_are_elapsed_in_every_zone(start, hours, zone):
    length = Length("eh", hours * 3600)
    strict = reckoning.due(start, length, ZoneInfo(zone), never)
    later = reckoning.hours_1182(start, length, ZoneInfo(zone))
    assert strict - start == hours * 3600 * 10**6
    assert 0 < later - strict <= 3600 * 10**6  # an event on the full hour loses the hour that begins with it
    began = reckoning.local(later - hours * 3600 * 10**6, ZoneInfo(zone))
    if began.utcoffset() == reckoning.local(start, ZoneInfo(zone)).utcoffset():
        assert (began.minute, began.second, began.microsecond) == (0, 0, 0)


@given(MOMENTS, st.sampled_from(["cd", "cm"]), st.integers(1, 24), st.sampled_from(ZONES))
def test_dates_end_with_the_last_second_of_their_day(start, mode, count, zone):
    where = ZoneInfo(zone)
    began = reckoning.local(start, where).date()
    ends = reckoning.local(reckoning.due(start, Length(mode, count), where, never), where)
    wanted = began + timedelta(days=count) if mode == "cd" else reckoning.months_later(began, count)
    assume(wanted != date(2011, 12, 30) or zone != "Pacific/Apia")  # which was skipped
    assert ends.date() == wanted
    assert reckoning.local(reckoning.utc(ends) + 10**6, where).date() > wanted


@given(st.dates(date(1990, 1, 1), date(2100, 12, 31)), st.integers(1, 120))
def test_months_keep_the_day_number_or_end_with_the_month(day, months):
    later = reckoning.months_later(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).day == 1)


@settings(deadline=None)
@given(MOMENTS, st.integers(1, 40), st.sampled_from(["BR", "US", "DE", "FR", "JP", "CA-QC"]), st.sampled_from(ZONES))
def test_business_days_are_working_days_and_each_is_counted(start, count, place, zone):
    where = ZoneInfo(zone)
    first = reckoning.local(start, where).date()
    last = reckoning.local(reckoning.due(start, Length("bd", count), where, off(place)), where).date()
    days = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    working = [day for day in days if day.weekday() < 5 and not CALENDARS.is_holiday(place, day)]
    assert len(working) == count
    assert working[-1] == last or zone == "Pacific/Apia"


@settings(deadline=None)
@given(MOMENTS, st.integers(0, 10 * 86_400 * 10**6), LENGTHS, st.sampled_from(ZONES))
def test_who_starts_later_ends_no_earlier(start, after, length, zone):
    where = ZoneInfo(zone)
    assert reckoning.due(start, length, where, off("BR")) <= reckoning.due(start + after, length, where, off("BR"))


@given(MOMENTS, st.sampled_from(ZONES))
def test_moments_survive_the_way_through_a_zone(moment, zone):
    assert reckoning.utc(reckoning.local(moment, ZoneInfo(zone))) == moment


# The calendars of this machine


@pytest.mark.parametrize("name", ["Europe", "Europe/Nowhere", "", "../etc/passwd", "/etc/passwd", "Europe/Berlin\0"])
def test_zones_that_are_none(name):
    with pytest.raises(KeyError):
        CALENDARS.zone(name)


def test_holidays_of_places():
    assert CALENDARS.is_holiday("BR", date(2026, 11, 20))
    assert not CALENDARS.is_holiday("DE", date(2026, 11, 20))
    assert CALENDARS.is_holiday("CA-QC", date(2026, 6, 24))
    assert not CALENDARS.is_holiday("CA", date(2026, 6, 24))
    assert [CALENDARS.knows(place) for place in ("DE", "US-CA", "XX", "US-ZZ", "EU")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not CALENDARS.is_holiday("XX", date(2026, 12, 25))
