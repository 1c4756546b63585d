"""Weekly schedules in site time."""

from datetime import UTC, datetime

from gatectl.core.model import Schedule

SITE_OFFSET_S = 8 * 3600
"""Asia/Shanghai: UTC+8 without daylight saving since 1991; a fixed offset keeps the core free of zone files."""
_DAY_S = 86400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday (0 = Monday)."""


def epoch_s(at: datetime) -> int:
    """Whole UTC seconds of a time, rounded down; a time without a zone is taken as UTC. Never raises."""
    aware = at if at.utcoffset() is not None else at.replace(tzinfo=UTC)
    difference = aware - _EPOCH
    return difference.days * _DAY_S + difference.seconds


def is_open(schedule: Schedule, at: datetime) -> bool:
    """Whether a time falls into one of the windows: start included, end not. Never raises."""
    days, second = divmod(epoch_s(at) + SITE_OFFSET_S, _DAY_S)
    weekday, minute = (days + _EPOCH_WEEKDAY) % 7, second // 60
    return any(window.weekday == weekday and window.start_min <= minute < window.end_min for window in schedule.windows)
