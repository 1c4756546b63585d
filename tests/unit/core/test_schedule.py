"""Weeks, holidays, make-up workdays and dates of their own."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.model import Calendar, DayException, DayKind, Schedule, Window
from gatectl.core.schedule import HOLIDAY, DayRule, asked, day_and_minute, epoch_s, is_open, weekday, windows_of

SITE = timedelta(hours=8)
OFFICE = tuple(Window(day, 9 * 60, 18 * 60) for day in range(5))


def site_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) - SITE


def day(text: str) -> int:
    return day_and_minute(site_time(f"{text}T00:00"))[0]


CALENDAR = Calendar(
    day("2026-01-01"),
    day("2026-12-31"),
    {day("2026-10-01"): DayKind.HOLIDAY, day("2026-10-10"): DayKind.WORKDAY},
)


@pytest.mark.parametrize(
    ("at", "is_in"),
    [
        ("2026-11-23T08:59:59", False),
        ("2026-11-23T09:00", True),
        ("2026-11-23T17:59:59", True),
        ("2026-11-23T18:00", False),
        ("2026-11-22T12:00", False),
        ("2026-11-28T12:00", False),
    ],
)
def test_a_window_opens_at_its_first_minute_and_closes_at_its_last_in_site_time(at: str, is_in: bool) -> None:
    assert is_open(Schedule("office", OFFICE), site_time(at)) is is_in


@pytest.mark.parametrize(
    ("at", "is_in", "rule"),
    [
        ("2026-10-01T12:00", False, DayRule.HOLIDAY),  # a Thursday
        ("2026-10-10T12:00", True, DayRule.MAKE_UP),  # a Saturday
        ("2026-10-08T12:00", True, DayRule.WEEKDAY),
        ("2026-01-01T12:00", True, DayRule.WEEKDAY),
        ("2026-12-31T12:00", True, DayRule.WEEKDAY),
        ("2027-01-01T12:00", True, DayRule.BEYOND_CALENDAR),
        ("2025-12-31T12:00", True, DayRule.BEYOND_CALENDAR),
        ("2027-01-02T12:00", False, DayRule.BEYOND_CALENDAR),
    ],
)
def test_the_calendar_decides_where_it_reaches_and_the_weekday_beyond(at: str, is_in: bool, rule: DayRule) -> None:
    schedule = Schedule("office", OFFICE, follows_calendar=True)
    assert asked(schedule, site_time(at), CALENDAR) == (is_in, rule)


def test_a_schedule_that_does_not_follow_the_calendar_knows_no_holidays() -> None:
    assert asked(Schedule("office", OFFICE), site_time("2026-10-01T12:00"), CALENDAR) == (True, DayRule.WEEKDAY)
    assert not is_open(Schedule("office", OFFICE), site_time("2026-10-10T12:00"), CALENDAR)


def test_holidays_may_have_windows_of_their_own() -> None:
    schedule = Schedule("office", (*OFFICE, Window(HOLIDAY, 600, 660)), follows_calendar=True)
    assert is_open(schedule, site_time("2026-10-01T10:30"), CALENDAR)
    assert not is_open(schedule, site_time("2026-10-01T12:00"), CALENDAR)
    assert not is_open(schedule, site_time("2026-10-03T10:30"), CALENDAR), "a plain Saturday is no holiday"


def test_an_exception_wins_over_week_and_calendar_and_a_later_one_over_an_earlier() -> None:
    first, last = day("2026-10-01"), day("2026-10-03")
    open_days = DayException(first, last, ((0, 60),))
    closed_day = DayException(day("2026-10-02"), day("2026-10-02"))
    schedule = Schedule("office", OFFICE, follows_calendar=True, exceptions=(open_days, closed_day))
    assert asked(schedule, site_time("2026-10-01T00:30"), CALENDAR) == (True, DayRule.EXCEPTION)
    assert asked(schedule, site_time("2026-10-02T00:30"), CALENDAR) == (False, DayRule.EXCEPTION)
    assert asked(schedule, site_time("2026-10-03T00:30"), CALENDAR) == (True, DayRule.EXCEPTION)
    assert asked(schedule, site_time("2026-10-04T00:30"), CALENDAR)[1] is DayRule.WEEKDAY
    assert asked(schedule, site_time("2026-09-30T12:00"), CALENDAR)[1] is DayRule.WEEKDAY


def test_midnight_belongs_to_the_new_day() -> None:
    assert day_and_minute(site_time("2026-11-23T00:00")) == (day("2026-11-23"), 0)
    assert day_and_minute(site_time("2026-11-22T23:59:59")) == (day("2026-11-22"), 1439)
    assert weekday(day("2026-11-23")) == 0
    assert weekday(0) == 3


def test_the_seconds_before_1970_round_down() -> None:
    assert epoch_s(datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)) == -1
    assert epoch_s(datetime(1970, 1, 1, 8, 0, 2, tzinfo=timezone(SITE))) == 2
    assert epoch_s(datetime(1970, 1, 1, 0, 0, 1)) == 1  # noqa: DTZ001 - a time without a zone is taken as UTC


@given(
    st.datetimes(),
    st.lists(st.builds(Window, st.integers(0, 7), st.integers(0, 1440), st.integers(0, 1440)), max_size=5),
    st.booleans(),
)
def test_no_time_raises_and_open_means_inside_a_window_of_that_day(
    naive: datetime, windows: list[Window], is_following: bool
) -> None:
    at = naive.replace(tzinfo=UTC)
    schedule = Schedule("s", tuple(windows), is_following)
    today, minute = day_and_minute(at)
    _, held = windows_of(schedule, today, CALENDAR)
    assert is_open(schedule, at, CALENDAR) == any(start <= minute < end for start, end in held)
