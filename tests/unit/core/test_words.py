"""Schedules and reasons."""

from datetime import UTC, datetime

import pytest

from gatectl.core.model import Schedule, Window
from gatectl.core.reasons import REASONS, Reason, words
from gatectl.core.schedule import is_open

MONDAY_MORNING = Schedule("m", (Window(0, 8 * 60, 12 * 60),))


@pytest.mark.parametrize(
    ("utc_hour", "minute", "is_expected"), [(0, 0, True), (3, 59, True), (4, 0, False), (23, 59, False)]
)
def test_a_window_is_read_in_site_time(utc_hour: int, minute: int, is_expected: bool) -> None:
    assert is_open(MONDAY_MORNING, datetime(2026, 11, 23, utc_hour, minute, tzinfo=UTC)) is is_expected


def test_the_site_day_begins_eight_hours_before_the_utc_day() -> None:
    midnight = Schedule("n", (Window(0, 0, 60),))
    assert is_open(midnight, datetime(2026, 11, 22, 16, 0, tzinfo=UTC))


def test_a_schedule_without_windows_is_never_open() -> None:
    assert not is_open(Schedule("x", ()), datetime(2026, 11, 23, tzinfo=UTC))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words_in_both_languages_and_a_short_voice(reason: Reason) -> None:
    info = REASONS[reason]
    assert words(reason, "zh")
    assert words(reason, "en").isascii()
    spoken = [char for char in info.voice_zh if "\u4e00" <= char <= "\u9fff"]
    assert len(spoken) <= 8


def test_reason_numbers_are_grouped_and_unique() -> None:
    for reason, info in REASONS.items():
        block = "granted" if reason < 40 else "denied" if reason < 70 else "held" if reason < 100 else None
        assert info.verdict == block, reason.name
