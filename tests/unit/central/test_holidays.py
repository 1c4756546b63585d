"""Holidays: the State Council's year, the office's file over it, and words when a year is missing."""

import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from gatectl.central.holidays import HolidaySource, calendar, day_number, missing_warning, named_days
from gatectl.core.model import Calendar, DayKind
from gatectl.errors import ConfigError


def days_of(first: date, last: date) -> set[date]:
    return {first + timedelta(n) for n in range((last - first).days + 1)}


# DOMAIN 2.5 names these for 2026.
HOLIDAYS_2026 = (
    days_of(date(2026, 1, 1), date(2026, 1, 3))
    | days_of(date(2026, 2, 15), date(2026, 2, 23))
    | days_of(date(2026, 4, 4), date(2026, 4, 6))
    | days_of(date(2026, 5, 1), date(2026, 5, 5))
    | days_of(date(2026, 6, 19), date(2026, 6, 21))
    | days_of(date(2026, 9, 25), date(2026, 9, 27))
    | days_of(date(2026, 10, 1), date(2026, 10, 7))
)
WORKDAYS_2026 = {
    date(2026, 1, 4),
    date(2026, 2, 14),
    date(2026, 2, 28),
    date(2026, 5, 9),
    date(2026, 9, 20),
    date(2026, 10, 10),
}


def override(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "holidays.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_year_2026_is_as_the_state_council_gave_it() -> None:
    found = calendar(2026, 2026)
    assert found.days == {
        **{day_number(day): DayKind.HOLIDAY for day in HOLIDAYS_2026},
        **{day_number(day): DayKind.WORKDAY for day in WORKDAYS_2026},
    }
    assert (found.first_day, found.last_day) == (day_number(date(2026, 1, 1)), day_number(date(2026, 12, 31)))


def test_make_up_workdays_fall_on_weekends_in_every_year_that_is_known() -> None:
    days = named_days(2004, 2026)
    assert len({day.date.year for day in days}) == 23
    assert all(day.date.weekday() >= 5 for day in days if day.kind is DayKind.WORKDAY)


def test_a_calendar_ends_where_nothing_more_is_known() -> None:
    known = calendar(2025, 2099)
    assert known.first_day == day_number(date(2025, 1, 1))
    last = date(1970, 1, 1) + timedelta(known.last_day)
    assert (last.month, last.day) == (12, 31)
    assert last.year < 2099
    assert calendar(2090, 2099) == Calendar()


def test_the_office_s_file_replaces_adds_and_removes_days(tmp_path: Path) -> None:
    path = override(
        tmp_path,
        """
        [[day]]
        date = 2026-10-10
        kind = "plain"
        [[day]]
        date = 2026-10-01
        kind = "workday"
        [[day]]
        date = 2026-03-02
        kind = "holiday"
        name = "村庆"
        """,
    )
    days = calendar(2026, 2026, path).days
    assert day_number(date(2026, 10, 10)) not in days
    assert days[day_number(date(2026, 10, 1))] is DayKind.WORKDAY
    assert days[day_number(date(2026, 3, 2))] is DayKind.HOLIDAY
    assert next(day.name for day in named_days(2026, 2026, path) if day.date == date(2026, 3, 2)) == "村庆"


def a_later_year(tmp_path: Path) -> tuple[Path, int]:
    """A file that is complete for the year after the last one that the library knows."""
    year = (date(1970, 1, 1) + timedelta(calendar(2026, 2099).last_day)).year + 1
    text = f'first = {year}-01-01\nlast = {year}-12-31\n[[day]]\ndate = {year}-01-01\nkind = "holiday"\n'
    return override(tmp_path, text), year


def test_the_file_continues_what_the_library_knows(tmp_path: Path) -> None:
    path, year = a_later_year(tmp_path)
    found = calendar(2026, year, path)
    assert found.last_day == day_number(date(year, 12, 31))
    assert found.days[day_number(date(year, 1, 1))] is DayKind.HOLIDAY
    assert missing_warning(date(year - 1, 12, 1)) is not None
    assert missing_warning(date(year - 1, 12, 1), path) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[day]]\ndate = 2099-01-01\nkind = "holiday"', "state `first` and `last`"),
        ("first = 2098-01-01\nlast = 2099-12-31", "leaves a gap"),
        ("first = 2027-01-01", "stand together"),
        ("first = 2027-02-01\nlast = 2027-01-01", "lies before"),
        ('[[day]]\ndate = 2026-01-05\nkind = "feast"', "day.0.kind"),
        ('[[day]]\ndate = 2026-01-05\nkind = "holiday"\nnotes = 1', "day.0.notes"),
        ('[[day]]\ndate = 2026-01-05\nkind = "holiday"\n[[day]]\ndate = 2026-01-05\nkind = "plain"', "given twice"),
        ("first = ", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        calendar(2026, 2027, override(tmp_path, text))


def test_a_file_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        calendar(2026, 2027, tmp_path / "none.toml")


def test_the_example_file_of_the_package_changes_nothing() -> None:
    example = Path(__file__).parents[3] / "config" / "holidays.toml"
    assert calendar(2025, 2027, example) == calendar(2025, 2027)


def test_a_missing_next_year_is_told_from_the_first_of_december_in_both_languages() -> None:
    last_year = (date(1970, 1, 1) + timedelta(calendar(2026, 2099).last_day)).year
    assert missing_warning(date(last_year, 11, 30)) is None
    assert str(last_year + 1) in (missing_warning(date(last_year, 12, 1)) or "")
    assert "节假日" in (missing_warning(date(last_year, 12, 1)) or "")
    assert "holidays" in (missing_warning(date(last_year, 12, 1), language="en") or "")
    assert missing_warning(date(last_year + 1, 3, 1)) is not None


def test_without_the_library_the_calendar_is_empty_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "chinese_calendar"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "chinese_calendar", None)
    assert calendar(2026, 2026) == Calendar()
    assert "2026" in (missing_warning(date(2026, 3, 1)) or "")
    path = override(tmp_path, 'first = 2026-01-01\nlast = 2026-12-31\n[[day]]\ndate = 2026-01-01\nkind = "holiday"\n')
    assert calendar(2026, 2026, path).days == {day_number(date(2026, 1, 1)): DayKind.HOLIDAY}


def test_the_calendar_follows_the_file_and_keeps_the_last_good_one(tmp_path: Path) -> None:
    today = date(2026, 6, 1)
    path = override(tmp_path, "")
    source = HolidaySource(path)
    assert source.refresh(today)
    assert not source.refresh(today)
    override(tmp_path, '[[day]]\ndate = 2026-03-02\nkind = "holiday"\n')
    assert source.refresh(today)
    good = source.calendar
    assert source.missing == ""
    override(tmp_path, "[[day]]\n")
    assert not source.refresh(today)
    assert (source.calendar, "day.0.date" in source.problem) == (good, True)
    override(tmp_path, '[[day]]\ndate = 2026-03-02\nkind = "holiday"\n# mended\n')
    assert (source.refresh(today), source.problem) == (False, "")
    source.refresh(date(2099, 1, 1))
    assert "2099" in source.missing


def test_a_wrong_file_at_the_start_leaves_the_library_s_calendar(tmp_path: Path) -> None:
    source = HolidaySource(override(tmp_path, "[[day]]\n"))
    assert source.refresh(date(2026, 6, 1))
    assert source.calendar == calendar(2025, 2028)
    assert "day.0.date" in source.problem
