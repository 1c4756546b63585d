"""How values are shown."""

from gatectl.central.desk import HOUR_MS, Hour
from gatectl.central.web import present
from gatectl.central.web.charts import HEIGHT, WIDTH, bars
from gatectl.central.web.i18n import Words

NEW_YEAR_MS = 1_767_196_800_000  # 2026-01-01 00:00:00 in Beijing, a Thursday


def test_times_are_beijing_time() -> None:
    assert present.stamp(NEW_YEAR_MS) == "2026-01-01 00:00:00"
    assert present.weekday(Words("zh"), NEW_YEAR_MS) == "周四"
    assert present.stamp(None) == "–"


def test_an_age_is_one_rounded_unit() -> None:
    words = Words("zh")
    assert present.age(words, 0, 59_000) == "59 秒"
    assert present.age(words, 0, 12 * 60_000) == "12 分钟"
    assert present.age(words, 0, 26 * 3_600_000) == "1 天"
    assert present.age(words, 5_000, 0) == "0 秒"
    assert present.age(words, None, 0) == "–"


def test_a_plate_chip_has_the_plates_own_colour_or_that_of_its_length() -> None:
    assert present.plate_class("粤E12345", "yellow") == "plate plate-yellow"
    assert present.plate_class("粤ED12345", "") == "plate plate-green"
    assert present.plate_class("粤E12345", '"><script>') == "plate plate-blue"


def test_an_asset_url_changes_with_its_content() -> None:
    path, _, digest = present.asset("app.css").partition("?v=")
    assert path == "/static/app.css"
    assert len(digest) == 12


def test_bars_fit_their_chart_and_show_even_a_single_denial() -> None:
    hours = [Hour(i * HOUR_MS, entered=500 if i == 3 else 1, denied=1 if i == 3 else 0) for i in range(24)]
    drawn = bars(Words("en"), hours, lambda hour: f"/events?since={hour.start_ms}")
    assert len(drawn) == 24
    assert drawn[-1].x + drawn[-1].width <= WIDTH
    denied = [piece for piece in drawn[3].pieces if piece.css == "denied"]
    assert denied[0].height >= 1.5
    assert all(piece.y >= -2 and piece.y + piece.height <= HEIGHT + 0.2 for bar in drawn for piece in bar.pieces)


def test_no_hours_draw_no_bars() -> None:
    assert bars(Words("zh"), [], lambda _hour: "") == []
