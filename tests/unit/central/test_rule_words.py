"""Schedules in words: what is stored is said in both languages, and what is said is read back the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from gatectl.central import residents, rule_view, rules
from gatectl.central.audit import now_ms
from gatectl.core.model import LaneMode, Passback
from gatectl.errors import NotFoundError, RefusedError

SITE = "danzao"


@st.composite
def windows(draw: st.DrawFn) -> list[list[int]]:
    found = draw(
        st.lists(
            st.tuples(st.integers(0, 7), st.integers(0, 1439), st.integers(1, 1440)).filter(lambda w: w[1] < w[2]),
            min_size=1,
            max_size=8,
            unique=True,
        )
    )
    return [list(window) for window in found]


@given(windows())
@pytest.mark.parametrize("language", ["zh", "en"])
def test_windows_said_in_words_are_read_back_the_same(language: str, found: list[list[int]]) -> None:
    words = rules.windows_words(json.dumps(found), language)
    assert sorted(rules.parse_windows(words)) == sorted(found)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("text", ["2026-02-16..2026-02-18 closed", "2026-12-31 08:00-12:00, 14:00-18:00"])
def test_exceptions_said_in_words_are_read_back_the_same(language: str, text: str) -> None:
    stored = rules.parse_exception(text)
    (words,) = rules.exceptions_words(json.dumps([stored]), language)
    assert rules.parse_exception(words) == stored
    assert (words == text) is (language == "en" or "closed" not in text)


@pytest.mark.parametrize(
    ("zh", "en"),
    [
        ("周一至周五 07:00-20:00", "mon-fri 07:00-20:00"),
        ("周六到周日7:00–9:30,节假日 9:00~11:00", "sat-sun 7:00-9:30, holiday 9:00-11:00"),
        ("周五至周一 22:00-02:00", "fri-mon 22:00-02:00"),
    ],
)
def test_chinese_hours_mean_what_the_english_ones_mean(zh: str, en: str) -> None:
    assert rules.parse_windows(zh) == rules.parse_windows(en)


@pytest.mark.parametrize("text", ["周八 07:00-20:00", "周一 25:00-26:00", "早上"])
def test_hours_that_cannot_be_read_are_named_in_both_languages(text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        rules.parse_windows(text)
    assert "例:" in refused.value.words("zh")
    assert "e.g." in refused.value.words("en")


def test_a_level_is_made_changed_and_kept_to_its_site(conn: Connection) -> None:
    rules.set_schedule(conn, "chen", SITE, "day", windows="mon-fri 07:00-20:00")
    rules.set_level(conn, "chen", SITE, "cleaners", lanes=("south-walk", "south-in"), schedule="day", name="保洁")
    (level,) = rule_view.level_rules(conn, SITE)
    assert (level.name_zh, level.schedule_id, sorted(level.lanes)) == ("保洁", "day", ["south-in", "south-walk"])
    rules.set_level(conn, "chen", SITE, "cleaners", schedule="")
    (level,) = rule_view.level_rules(conn, SITE)
    assert (level.schedule_id, len(level.lanes)) == ("", 2)
    rules.set_level(conn, "chen", SITE, "cleaners", lanes=("south-in",))
    assert rule_view.level_rules(conn, SITE)[0].lanes == {"south-in"}
    with pytest.raises(RefusedError, match="not of site"):
        rules.set_level(conn, "chen", SITE, "cleaners", lanes=("lake-in",))
    with pytest.raises(RefusedError, match="is of site"):
        rules.set_level(conn, "chen", "xianhu", "cleaners", lanes=())
    with pytest.raises(NotFoundError):
        rules.set_level(conn, "chen", SITE, "cleaners", schedule="moon")
    with pytest.raises(RefusedError, match="no id"):
        rules.set_level(conn, "chen", SITE, "Cleaners!", lanes=())
    assert rules.overview(conn, SITE)["levels"][0]["lanes"] == ["south-in"]


def test_the_page_of_rules_shows_every_lane_with_its_policy_or_the_default(conn: Connection) -> None:
    rules.set_area(conn, "chen", SITE, "garage", passback=Passback.HARD, capacity=9, name="车库")
    rules.set_schedule(conn, "chen", SITE, "day", windows="mon 07:00-20:00")
    rules.set_lane(conn, "chen", "south-in", area_to="garage", open_schedule_id="day", is_first_card_in=True)
    now_s = now_ms() // 1000
    rules.set_mode(conn, "chen", "south-in", LaneMode.EXIT_ONLY, until_s=now_s + 600, reason="works")
    lanes = {lane.id: lane for lane in rule_view.lane_rules(conn, SITE)}
    assert set(lanes) == {"south-in", "south-walk", "north-out"}
    changed, plain = lanes["south-in"], lanes["north-out"]
    assert (changed.area_to, changed.open_schedule_id, changed.is_first_card_in) == ("garage", "day", True)
    assert (changed.mode_at(now_s), changed.mode_at(now_s + 600)) == ("exit_only", "normal")
    assert (plain.mode, plain.area_to, plain.is_fire_lane) == ("normal", "", True)
    (area,) = rule_view.area_rules(conn, SITE)
    assert (area.name_zh, area.passback, area.capacity) == ("车库", "hard", 9)
    (schedule,) = rule_view.schedule_rules(conn, SITE)
    assert schedule.used_by == 1
    home = residents.add_household(conn, "chen", SITE, "3", "2", "501")
    residents.add_vehicle(conn, "chen", home, "粤E12345")
    assert [level.credentials for level in rule_view.level_rules(conn, SITE)] == [1]
    assert rules.held_by(conn, rule_view.level_rules(conn, SITE)[0].id) == 1
