"""The office's pages in a real browser: rules, visitors, who is inside, holidays, a household's terms."""

import re
import time

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page
from sqlalchemy import select
from test_console import (  # noqa: F401 - its fixtures
    DESK,
    PHONE,
    Console,
    browser,
    console,
    page,
    pytestmark,
)

from gatectl.central import inside, rules, tables
from gatectl.central.database import writing
from gatectl.core.model import CredentialKey
from gatectl.wire.passes import read_pass

SITE, HAN = "jinshazhou", re.compile(r"[\u4e00-\u9fff]")
OFFICE_PAGES = ("/rules", "/visitors", "/inside", "/holidays")


@pytest.fixture(scope="module")
def ground(console: Console) -> Console:  # noqa: F811
    """The town with a garage, a schedule, and one known car inside."""
    with writing(console.engine) as conn:
        rules.set_area(conn, "seed", SITE, "garage", capacity=120, name="地下车库")
        rules.set_schedule(conn, "seed", SITE, "day", windows="mon-fri 07:00-20:00", follows_calendar=True)
        rules.set_lane(conn, "seed", "jsz-south-in", area_to="garage")
        inside.correct(conn, "seed", SITE, "粤E12345", "garage", "seed")
    return console


def test_a_lanes_mode_is_set_with_an_end_and_undone(page: Page, ground: Console) -> None:  # noqa: F811
    page.goto(f"{ground.url}/rules")
    page.click("a[href='/rules/lanes/jsz-south-out/mode']")
    page.select_option("#dialog select[name=mode]", "exit_only")
    page.click("#dialog button[type=submit]")
    page.locator("#dialog .wrong").wait_for()
    assert "原因" in page.locator("#dialog .wrong").inner_text()
    assert page.locator("#dialog select[name=mode]").input_value() == "exit_only"
    page.fill("#dialog input[name=reason]", "道路施工")
    page.fill("#dialog input[name=until]", time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 10 * 3600)))
    page.click("#dialog button[type=submit]")
    page.locator(".toast").wait_for()
    assert "道路施工" in page.inner_text("#lanes")
    page.click(".toast button")
    page.locator(".toast", has_text="恢复正常").wait_for()
    assert "道路施工" not in page.inner_text("#lanes")


def test_an_access_level_is_drawn_as_lanes_with_a_schedule(page: Page, ground: Console) -> None:  # noqa: F811
    page.goto(f"{ground.url}/rules")
    page.click("a[href='/rules/jinshazhou/levels/new']")
    page.fill("#dialog input[name=id]", "cleaners")
    page.fill("#dialog input[name=name]", "保洁")
    page.select_option("#dialog select[name=schedule]", "day")
    page.check("#dialog input[name='lane.jsz-east-walk']")
    page.click("#dialog button[type=submit]")
    row = page.locator("#levels tbody tr", has_text="保洁")
    row.wait_for()
    assert row.locator(".yes").count() == 1


def test_a_pass_is_made_shown_once_and_its_picture_is_read_back_by_a_camera(page: Page, ground: Console) -> None:  # noqa: F811
    page.goto(f"{ground.url}/visitors")
    page.click("a.btn-main")
    page.fill("#dialog input[name=door]", "3-2-501")
    page.fill("#dialog input[name=surname]", "王")
    page.click("#dialog button[type=submit]")
    page.locator("#dialog #code").wait_for()
    code = page.locator("#code").inner_text()
    assert re.fullmatch(r"\d{6}", code)
    assert code in page.locator("#dialog textarea").input_value()
    shot = cv2.imdecode(np.frombuffer(page.locator(".qr-box").screenshot(scale="css"), np.uint8), cv2.IMREAD_COLOR)
    assert shot is not None
    text, *_ = cv2.QRCodeDetector().detectAndDecode(cv2.resize(shot, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC))
    with ground.engine.connect() as conn:
        visit = conn.execute(select(tables.visits).order_by(tables.visits.c.created_at.desc())).first()
        issuers = {
            row.kid: bytes.fromhex(row.public_key)
            for row in conn.execute(select(tables.pass_issuers))
            if row.public_key
        }
    assert visit is not None
    assert text == visit.pass_text
    assert read_pass(text, issuers).is_genuine
    assert CredentialKey(f"pass:{visit.pass_nonce}")
    page.goto(f"{ground.url}/visitors/{visit.id}")
    assert code not in page.inner_text("main")
    page.emulate_media(media="print")
    assert page.locator(".qr").is_visible()
    assert not page.locator("[data-print]").is_visible()
    page.emulate_media(media="screen")
    page.goto(f"{ground.url}/visitors")
    page.click(f"a[href='/visitors/{visit.id}/cancel']")
    page.click("#dialog button[type=submit]")
    page.locator(".toast").wait_for()
    assert page.locator(f"a[href='/visitors/{visit.id}']").count() == 0


def test_who_is_inside_is_corrected_and_put_back(page: Page, ground: Console) -> None:  # noqa: F811
    page.goto(f"{ground.url}/inside")
    row = page.locator("tbody tr", has_text="12345")
    assert "119" in page.inner_text(".area")
    row.locator("a", has_text="更正").click()
    page.fill("#dialog input[name=reason]", "盘点,车不在")
    page.click("#dialog button[type=submit]")
    page.locator(".toast").wait_for()
    assert page.locator("tbody tr", has_text="12345").count() == 0
    page.click(".toast button")
    page.locator("tbody tr", has_text="12345").wait_for()


def test_a_households_terms_are_set_from_its_page(page: Page, ground: Console) -> None:  # noqa: F811
    page.goto(f"{ground.url}/households/{ground.town.household}")
    page.click("#terms a[href$='/quota']")
    page.fill("#dialog input[name=cars]", "1")
    page.click("#dialog button[type=submit]")
    page.locator(".toast").wait_for()
    assert "1/1" in page.inner_text("#terms")
    page.click("#terms a[href$='/tenancy']")
    page.fill("#dialog input[name=until]", "2030-12-31")
    page.click("#dialog button[type=submit]")
    page.locator("#terms", has_text="2030-12-31").wait_for()
    page.click("#terms a[href$='/move-out']")
    page.locator("#dialog .dialog", has_text="不能撤销").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#dialog .dialog").count() == 0


def test_the_calendar_marks_holidays_and_make_up_days(page: Page, ground: Console) -> None:  # noqa: F811
    page.goto(f"{ground.url}/rules")
    page.click("a[href='/holidays']")
    page.locator(".month").first.wait_for()
    assert page.locator(".month").count() == 12
    marks = page.locator(".day .day-mark").all_inner_texts()
    assert {"休", "班"} <= set(marks)


def test_every_new_page_speaks_english_and_fits_a_telephone(page: Page, ground: Console) -> None:  # noqa: F811
    page.goto(f"{ground.url}/rules")
    page.click("text=English")
    page.locator("html[lang=en]").wait_for()
    home = f"/households/{ground.town.household}"
    for path in OFFICE_PAGES:
        page.goto(f"{ground.url}{path}")
        assert not HAN.search(page.locator("h1").first.inner_text())
        heads = " ".join(page.locator("th, h2, .btn, .toast").all_inner_texts()).replace("中文", "")
        assert not HAN.search(heads.replace("地下车库", "").replace("保洁", "")), (path, heads)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for path in (*OFFICE_PAGES, home):
        page.goto(f"{ground.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
    page.locator(".bottom summary").click()
    assert page.locator(".bottom .menu-body a[href='/inside']").is_visible()
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    page.click("text=中文")
    page.locator("html[lang^=zh]").wait_for()
