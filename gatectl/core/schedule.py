"""Weekly schedules in site time, with holidays, make-up workdays and dates of their own."""

from datetime import UTC, datetime
from enum import StrEnum

from gatectl.core.model import Calendar, DayKind, Schedule

SITE_OFFSET_S = 8 * 3600
"""Asia/Shanghai: UTC+8 without daylight saving since 1991; a fixed offset keeps the core free of zone files."""
DAY_S = 86400
HOLIDAY = 7
"""`Window.weekday` of the windows that hold on holidays."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday (0 = Monday)."""
_MONDAY = 0


class DayRule(StrEnum):
    """What decided which windows hold on a day."""

    EXCEPTION = "exception"
    HOLIDAY = "holiday"
    MAKE_UP = "make_up"
    """A make-up workday: Monday's windows."""
    WEEKDAY = "weekday"
    BEYOND_CALENDAR = "beyond_calendar"
    """The calendar does not reach this day: the weekday decides, and the trace says so."""


def epoch_s(at: datetime) -> int:
    """Whole UTC seconds of a time, rounded down; a time without a zone is taken as UTC. Never raises."""
    aware = at if at.utcoffset() is not None else at.replace(tzinfo=UTC)
    difference = aware - _EPOCH
    return difference.days * DAY_S + difference.seconds


def day_and_minute(at: datetime) -> tuple[int, int]:
    """Days since 1970-01-01 and minutes since midnight, both in site time. Never raises."""
    days, second = divmod(epoch_s(at) + SITE_OFFSET_S, DAY_S)
    return days, second // 60


def weekday(day: int) -> int:
    """0 = Monday."""
    return (day + _EPOCH_WEEKDAY) % 7


def windows_of(schedule: Schedule, day: int, calendar: Calendar) -> tuple[DayRule, tuple[tuple[int, int], ...]]:
    """The (start_min, end_min) windows that hold on a day, and why these. A later exception wins over an earlier."""
    for exception in reversed(schedule.exceptions):
        if exception.first_day <= day <= exception.last_day:
            return DayRule.EXCEPTION, exception.windows
    rule, column = DayRule.WEEKDAY, weekday(day)
    if schedule.follows_calendar:
        kind = calendar.days.get(day)
        if not calendar.first_day <= day <= calendar.last_day:
            rule = DayRule.BEYOND_CALENDAR
        elif kind is DayKind.HOLIDAY:
            rule, column = DayRule.HOLIDAY, HOLIDAY
        elif kind is DayKind.WORKDAY:
            rule, column = DayRule.MAKE_UP, _MONDAY
    return rule, tuple((w.start_min, w.end_min) for w in schedule.windows if w.weekday == column)


def asked(schedule: Schedule, at: datetime, calendar: Calendar) -> tuple[bool, DayRule]:
    """Whether a time falls into one of its day's windows (start included, end not), and what decided. Never raises."""
    day, minute = day_and_minute(at)
    rule, windows = windows_of(schedule, day, calendar)
    return any(start <= minute < end for start, end in windows), rule


def is_open(schedule: Schedule, at: datetime, calendar: Calendar = Calendar()) -> bool:  # noqa: B008 - frozen
    """Whether a time falls into one of its day's windows. Never raises."""
    return asked(schedule, at, calendar)[0]
