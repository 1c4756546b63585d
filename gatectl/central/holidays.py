"""Holidays and make-up workdays: what the holiday library knows, corrected and continued by a file of the office's.

The library follows the State Council's yearly notice; the file is for what came after its release, or holds here only.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from gatectl.core.model import Calendar, DayKind
from gatectl.errors import ConfigError

Language = Literal["zh", "en"]
_EPOCH = date(1970, 1, 1)
_DAY = timedelta(days=1)
_WARN_FROM_MONTH = 12
"""The notice for the next year comes in November."""
_YEARS_BACK, _YEARS_AHEAD = 1, 2
_EXAMPLE = '[[day]] date = 2027-02-06, kind = "holiday", name = "春节"'


_NAMES_ZH = {
    "New Year's Day": "元旦",
    "Spring Festival": "春节",
    "Tomb-sweeping Day": "清明节",
    "Labour Day": "劳动节",
    "Dragon Boat Festival": "端午节",
    "Mid-autumn Festival": "中秋节",
    "National Day": "国庆节",
}


def name_words(name: str, language: Language) -> str:
    """A holiday's name; the library names them in English, the office's file as it likes."""
    return _NAMES_ZH.get(name, name) if language == "zh" else name


@dataclass(frozen=True, slots=True)
class NamedDay:
    """A day on which the weekday says the wrong thing, with the holiday that it belongs to."""

    date: date
    kind: DayKind
    name: str


DayWord = Literal["holiday", "workday", "plain"]


class FileDay(BaseModel):
    """One day of the override file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: date
    kind: DayWord
    """`plain` takes the library's word back: the weekday decides."""
    name: str = ""


class Override(BaseModel):
    """The override file. `first` to `last` says for which days it is complete, beyond what the library knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: date | None = None
    last: date | None = None
    day: tuple[FileDay, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> "Override":
        if (self.first is None) != (self.last is None):
            raise ValueError("`first` and `last` stand together")
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError("`last` lies before `first`")
        dates = [day.date for day in self.day]
        twice = sorted({str(day) for day in dates if dates.count(day) > 1})
        if twice:
            raise ValueError(f"given twice: {', '.join(twice)}")
        return self


def day_number(day: date) -> int:
    """Days since 1970-01-01, as schedules count."""
    return (day - _EPOCH).days


def read_override(path: Path) -> Override:
    """The override file. Raises ConfigError that names every mistake."""
    try:
        return Override.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"holidays_file: {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"holidays_file: {path}: not TOML: {error}") from error
    except ValidationError as error:
        lines = [f"holidays_file: {path}: {error.error_count()} mistake(s), for example write {_EXAMPLE}"]
        lines += [f"  {'.'.join(map(str, mistake['loc'])) or 'file'}: {mistake['msg']}" for mistake in error.errors()]
        raise ConfigError("\n".join(lines)) from error


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the days `first` to `last`; None = of no day."""

    span: tuple[date, date] | None
    days: Mapping[date, NamedDay]


def _library() -> _Known:
    """What the holiday library knows: whole years. Nothing where it is not installed."""
    try:
        from chinese_calendar.constants import holidays, workdays
    except ImportError:
        return _Known(None, {})
    days = {day: NamedDay(day, DayKind.HOLIDAY, str(name)) for day, name in holidays.items()}
    days |= {day: NamedDay(day, DayKind.WORKDAY, str(name)) for day, name in workdays.items()}
    years = {day.year for day in days}
    return _Known((date(min(years), 1, 1), date(max(years), 12, 31)), days) if years else _Known(None, {})


def _known(override: Path | None) -> _Known:
    """The library's word, corrected by the file. Raises ConfigError for a file that is wrong or leaves a gap."""
    return _library() if override is None else _combined(read_override(override), override)


def _combined(file: Override, override: Path) -> _Known:
    known = _library()
    span = known.span
    if file.first is not None and file.last is not None:
        if span is not None and (file.first > span[1] + _DAY or file.last < span[0] - _DAY):
            raise ConfigError(
                f"holidays_file: {override}: {file.first} to {file.last} leaves a gap beside {span[0]} to {span[1]}, "
                "which are known: nobody could say what holds in between"
            )
        span = (file.first, file.last) if span is None else (min(span[0], file.first), max(span[1], file.last))
    days = dict(known.days)
    for day in file.day:
        if span is None or not span[0] <= day.date <= span[1]:
            raise ConfigError(
                f"holidays_file: {override}: {day.date} is beyond what is known: state `first` and `last`"
            )
        days.pop(day.date, None)
        if day.kind != "plain":
            days[day.date] = NamedDay(day.date, DayKind(day.kind), day.name)
    return _Known(span, days)


def named_days(from_year: int, to_year: int, override: Path | None = None) -> tuple[NamedDay, ...]:
    """Holidays and make-up workdays of these years, in order. Raises ConfigError for a wrong file."""
    known = _known(override)
    return tuple(known.days[day] for day in sorted(known.days) if from_year <= day.year <= to_year)


def check(file: Override, path: Path) -> None:
    """Raise ConfigError unless central would take this up from that file."""
    _combined(file, path)


def known_span(override: Path | None = None) -> tuple[date, date] | None:
    """The first and last day for which holidays are known. Raises ConfigError for a wrong file."""
    return _known(override).span


def calendar(from_year: int, to_year: int, override: Path | None = None) -> Calendar:
    """The calendar of these years, as far as they are known; empty when none is. Raises ConfigError for a wrong file.

    A weekend day of a statutory holiday is in it too: its windows are the holiday's, not Saturday's.
    """
    known = _known(override)
    if known.span is None:
        return Calendar()
    first, last = max(known.span[0], date(from_year, 1, 1)), min(known.span[1], date(to_year, 12, 31))
    if last < first:
        return Calendar()
    days = {day_number(day): found.kind for day, found in sorted(known.days.items()) if first <= day <= last}
    return Calendar(day_number(first), day_number(last), days)


def missing_warning(today: date, override: Path | None = None, language: Language = "zh") -> str | None:
    """Words when this year, or from 1 December the next one, is not known. Raises ConfigError for a wrong file."""
    span = _known(override).span
    years = (today.year, today.year + 1) if today.month >= _WARN_FROM_MONTH else (today.year,)
    for year in years:
        if span is None or not (span[0] <= date(year, 1, 1) and date(year, 12, 31) <= span[1]):
            return (
                f"缺少 {year} 年节假日与调休安排:时间段暂按周一至周日执行。请升级节假日库或填写 holidays_file"
                if language == "zh"
                else f"holidays and make-up workdays of {year} are missing: schedules go by the weekday. "
                "Upgrade the holiday library, or write them into holidays_file"
            )
    return None


class HolidaySource:
    """The calendar that lists are made with; follows the year and the file while central runs."""

    def __init__(self, override: Path | None) -> None:
        self._override = override
        self._stamp: tuple[date, int, int] | None = None
        self._is_known = False
        self.calendar = Calendar()
        self.problem = ""
        """Why the file was not taken up at the last look; the calendar before it, or the library's, goes on."""
        self.missing = ""
        """Words when a year is missing."""

    def refresh(self, today: date) -> bool:
        """Look again; True when the calendar is another one now. Cheap while nothing changed. Never raises."""
        stamp = (today, *self._file_stamp())
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        years = (today.year - _YEARS_BACK, today.year + _YEARS_AHEAD)
        try:
            now = calendar(*years, self._override)
            self.missing = missing_warning(today, self._override, "en") or ""
            self.problem = ""
        except ConfigError as error:
            self.problem = str(error)
            now = self.calendar if self._is_known else calendar(*years)
        before, self.calendar, self._is_known = self.calendar, now, True
        return now != before

    def _file_stamp(self) -> tuple[int, int]:
        if self._override is None:
            return (0, 0)
        try:
            status = self._override.stat()
        except OSError:
            return (-1, -1)
        return (status.st_mtime_ns, status.st_size)
