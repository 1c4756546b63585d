"""The office's holiday file: days go over what is known, a wrong one leaves the file as it was."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.central import holiday_file, holidays
from gatectl.central.holidays import FileDay, Override
from gatectl.errors import ConfigError

NATIONAL_DAY, PLAIN_MONDAY = date(2026, 10, 1), date(2026, 11, 23)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "holidays.toml"


def kinds(file: Path, year: int = 2026) -> dict[date, str]:
    return {day.date: str(day.kind) for day in holidays.named_days(year, year, file)}


def test_a_day_is_made_a_holiday_and_taken_back(file: Path) -> None:
    holiday_file.put(file, holiday_file.merged(file, holiday_file.one_day(PLAIN_MONDAY, "holiday", "社区日")))
    assert kinds(file)[PLAIN_MONDAY] == "holiday"
    holiday_file.put(file, holiday_file.merged(file, holiday_file.one_day(PLAIN_MONDAY, "plain", "")))
    assert PLAIN_MONDAY not in kinds(file)
    assert kinds(file) == {day.date: str(day.kind) for day in holidays.named_days(2026, 2026)}


def test_changes_name_only_the_days_that_differ_from_what_is_known(file: Path) -> None:
    new = Override(
        day=(
            FileDay(date=NATIONAL_DAY, kind="holiday"),
            FileDay(date=date(2026, 10, 2), kind="workday", name="加班"),
            FileDay(date=PLAIN_MONDAY, kind="plain"),
        )
    )
    assert [(c.date, c.before, c.after, c.name) for c in holiday_file.changes(None, new)] == [
        (date(2026, 10, 2), "holiday", "workday", "加班")
    ]
    holiday_file.put(file, new)
    assert holiday_file.changes(file, new) == ()


def test_days_beyond_what_is_known_need_a_whole_year_and_leave_the_file_alone(file: Path) -> None:
    known = holidays.known_span()
    assert known is not None
    beyond = date(known[1].year + 1, 2, 6)
    file.write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="beyond what is known"):
        holiday_file.put(file, holiday_file.one_day(beyond, "holiday", "春节"))
    assert file.read_text(encoding="utf-8") == ""
    assert list(file.parent.iterdir()) == [file]
    whole = Override(first=date(beyond.year, 1, 1), last=date(beyond.year, 12, 31))
    day = holiday_file.one_day(beyond, "holiday", "春节")
    holiday_file.put(file, holiday_file.joined(day, whole))
    assert kinds(file, beyond.year) == {beyond: "holiday"}
    assert holidays.known_span(file) == (known[0], date(beyond.year, 12, 31))


def test_a_csv_is_read_with_or_without_heading_and_every_wrong_line_is_named(tmp_path: Path) -> None:
    csv = tmp_path / "days.csv"
    csv.write_text("date,kind,name\n2026-10-08,workday,调休\n\n2026-10-09,Holiday\n", encoding="utf-8-sig")
    days = holiday_file.read_days(csv).day
    assert [(day.date.day, day.kind, day.name) for day in days] == [(8, "workday", "调休"), (9, "holiday", "")]
    csv.write_text("2026-10-08,off\nsoon,holiday\n2026-10-09,holiday\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"1: 2026-10-08,off; 2: soon,holiday"):
        holiday_file.read_days(csv)
    csv.write_text("2026-10-09,holiday\n2026-10-09,workday\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="given twice"):
        holiday_file.read_days(csv)
    with pytest.raises(ConfigError, match="cannot be read"):
        holiday_file.read_days(tmp_path / "none.csv")


def test_a_file_that_is_not_configured_or_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holidays_file ="):
        holiday_file.need_file(None)
    with pytest.raises(ConfigError, match="cannot be written"):
        holiday_file.put(tmp_path / "nowhere" / "holidays.toml", Override())


@given(
    st.dictionaries(
        st.dates(date(2026, 1, 1), date(2026, 12, 31)),
        st.tuples(st.sampled_from(["holiday", "workday", "plain"]), st.text(max_size=12)),
        max_size=8,
    )
)
def test_what_is_written_is_read_back_the_same(days: dict[date, tuple[str, str]]) -> None:
    import tempfile

    override = Override(
        day=tuple(FileDay.model_validate({"date": d, "kind": k, "name": n}) for d, (k, n) in days.items())
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "holidays.toml"
        holiday_file.put(file, override)
        assert holidays.read_override(file) == override
