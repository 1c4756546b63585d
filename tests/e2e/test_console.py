"""The console in a real browser: what staff do, in both languages, at a desk and on a telephone."""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import Engine, select
from town import LOGIN, PASSWORD, Town, seed

from gatectl.central import staff, tables
from gatectl.central.app import make_app
from gatectl.central.database import migrate, open_database, writing
from gatectl.settings import CentralSettings
from gatectl.sim.broker import free_port

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
DESK, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed here")


@dataclass(frozen=True, slots=True)
class Console:
    """A served console over a seeded database."""

    url: str
    engine: Engine
    town: Town
    setup_link: str


@contextlib.contextmanager
def served(folder: Path, *, is_seeded: bool) -> Iterator[Console]:
    """A console of its own under uvicorn, until the block ends."""
    database = f"sqlite:///{folder / 'central.db'}"
    migrate(database)
    engine = open_database(database)
    with writing(engine) as conn:
        link = staff.make_setup_token(conn)
        town = seed(conn) if is_seeded else Town("", "", "", "", "")
    port = free_port()
    app = make_app(CentralSettings(database=database, data_dir=folder, port=port, is_demo=True))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{url}/signin", timeout=1)
            break
        time.sleep(0.05)
    yield Console(url, engine, town, f"{url}/setup?token={link}")
    server.should_exit = True
    server.force_exit = True
    thread.join(10)
    engine.dispose()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with served(tmp_path_factory.mktemp("console"), is_seeded=True) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    """A signed-in desk; any script error or failed request of the page fails the test."""
    context = browser.new_context(viewport=DESK, locale="zh-CN")  # type: ignore[arg-type]
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("response", lambda r: troubles.append(f"{r.status} {r.url}") if r.status >= 500 else None)
    sign_in(opened, console)
    yield opened
    context.close()
    assert troubles == []


def sign_in(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/signin")
    page.fill("input[name=login]", LOGIN)
    page.fill("input[name=password]", PASSWORD)
    page.click("form[action='/signin'] button[type=submit]")
    page.wait_for_url("**/events*")


def test_the_log_shows_the_newest_first_and_the_filter_stands_in_the_url(page: Page, console: Console) -> None:
    assert page.locator("h1").first.inner_text().startswith("通行记录")
    page.goto(f"{console.url}/events?plate=*2345")
    assert page.locator("text=粤E·12345").count() + page.locator("text=粤E・12345").count() >= 1
    page.goto(f"{console.url}/events?verdict=denied")
    assert page.locator("a[href^='/events/']").count() >= 1


def test_an_events_page_shows_picture_votes_rules_and_lane_trace(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/events/{console.town.granted_event}")
    text = page.inner_text("main")
    assert all(words in text for words in ("车牌投票", "判定过程", "通道过程", "抬杆到位", "870 ms"))
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_a_lost_card_is_marked_after_a_confirmation_and_can_be_undone(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/households/{console.town.household}")
    page.locator("[href$='/lost'], [hx-get$='/lost']").first.click()
    page.locator("form[action$='/lost'] button[type=submit], form[hx-post$='/lost'] button[type=submit]").first.click()
    page.locator("text=已挂失").first.wait_for()
    with console.engine.connect() as conn:
        states = set(conn.execute(select(tables.credentials.c.state)).scalars())
    assert "lost" in states


def test_a_remote_open_needs_a_reason_and_is_queued_for_the_gate(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/gates")
    page.locator("[href$='/open'], [hx-get$='/open']").first.click()
    page.locator("text=维修施工").first.click()
    page.locator("dialog button[type=submit], form[hx-post$='/open'] button[type=submit]").first.click()
    page.locator("#dialog [hx-get^='/commands/']").first.wait_for()
    with console.engine.connect() as conn:
        row = conn.execute(select(tables.commands)).one()
    assert (row.reason, row.issuer, row.state) == ("maintenance", LOGIN, "queued")


def test_the_language_switch_turns_every_page_english(page: Page, console: Console) -> None:
    page.click("text=English")
    page.locator("html[lang=en]").wait_for()
    for path in ("/events", "/gates", "/people"):
        page.goto(f"{console.url}{path}")
        assert "通行" not in page.locator("h1").first.inner_text()
    page.click("text=中文")
    page.locator("html[lang^=zh]").wait_for()


def test_no_page_scrolls_sideways_on_a_telephone(page: Page, console: Console) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    event, home = console.town.granted_event, console.town.household
    for path in ("/events", f"/events/{event}", "/gates", "/people", f"/households/{home}"):
        page.goto(f"{console.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


def test_the_first_administrator_is_made_by_a_link_that_works_once(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, is_seeded=False) as fresh:
        context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
        opened = context.new_page()
        opened.goto(f"{fresh.url}/setup?token=guessed")
        assert opened.locator("input[type=password]").count() == 0
        opened.goto(fresh.setup_link)
        opened.fill("input[name=login]", "first.admin")
        for field in ("password", "again"):
            opened.fill(f"input[name={field}]", "correct horse battery")
        opened.click("form[action='/setup'] button[type=submit]")
        opened.wait_for_url("**/events*")
        with fresh.engine.connect() as conn:
            assert conn.execute(select(tables.staff.c.login, tables.staff.c.role)).all() == [("first.admin", "admin")]
        context.clear_cookies()
        opened.goto(fresh.setup_link)
        assert opened.locator("input[type=password]").count() == 0
        context.close()


@pytest.mark.parametrize(
    "query", ["?before=xyz", "?since=yesterday-ish", "?verdict=perhaps", "?reason=%00", "?limit=-1"]
)
def test_a_malformed_query_is_answered_in_words_and_never_with_a_500(page: Page, console: Console, query: str) -> None:
    answer = page.goto(f"{console.url}/events{query}")
    assert answer is not None
    assert answer.status in (200, 400)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}])
def test_a_post_from_another_origin_and_an_anonymous_one_change_nothing(
    console: Console, headers: dict[str, str]
) -> None:
    answer = httpx.post(
        f"{console.url}/gates/jsz-south/lanes/jsz-south-in/open", data={"reason": "visitor"}, headers=headers
    )
    assert answer.status_code in (303, 401, 403)
    with console.engine.connect() as conn:
        assert "visitor" not in set(conn.execute(select(tables.commands.c.reason)).scalars())


def test_a_viewer_may_look_but_not_open(browser: Browser, console: Console) -> None:
    with writing(console.engine) as conn:
        staff.add_staff(conn, "test", "watcher", "just looking around", role="viewer")
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    opened = context.new_page()
    opened.goto(f"{console.url}/signin")
    opened.fill("input[name=login]", "watcher")
    opened.fill("input[name=password]", "just looking around")
    opened.click("form[action='/signin'] button[type=submit]")
    opened.wait_for_url("**/events*")
    answer = opened.goto(f"{console.url}/gates/jsz-south/lanes/jsz-south-in/open")
    assert answer is not None
    assert answer.status == 403
    context.close()


def test_a_database_file_is_private(console: Console) -> None:
    path = Path(str(console.engine.url.database))
    assert path.stat().st_mode & 0o077 == 0
