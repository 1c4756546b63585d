"""The console over HTTP: limits, headers, error pages, exports, and writes beside a busy ingest."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from sqlalchemy import Engine, insert, select

from gatectl.central import residents, staff, tables
from gatectl.central.app import make_app
from gatectl.central.database import migrate, open_database, writing
from gatectl.central.web.guard import MAX_BODY_BYTES, SESSION_COOKIE
from gatectl.central.web.routes import PAGES
from gatectl.core.model import GrantState
from gatectl.settings import CentralSettings
from gatectl.sim.broker import free_port

PASSWORD = "correct horse battery"
ROLES = ("viewer", "guard", "manager", "admin")


@contextlib.contextmanager
def served(app: object, port: int) -> Iterator[None]:
    """The app under uvicorn on its port, until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[tuple[httpx.Client, Engine]]:
    """A console over a fresh database with one site, and a client that follows no redirect."""
    url = f"sqlite:///{tmp_path / 'central.db'}"
    migrate(url)
    engine = open_database(url)
    with writing(engine) as conn:
        conn.execute(insert(tables.sites).values(id="danzao", name_zh="丹灶", name_en="Danzao"))
        staff.add_staff(conn, "test", "guard", PASSWORD, role="guard")
    port = free_port()
    with (
        served(make_app(CentralSettings(database=url)), port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        yield client, engine
    engine.dispose()


def as_role(office: tuple[httpx.Client, Engine], role: str) -> httpx.Client:
    """The client, signed in with this role."""
    client, engine = office
    with writing(engine) as conn:
        if role not in {account.login for account in staff.list_staff(conn)}:
            staff.add_staff(conn, "test", role, PASSWORD, role=role)
        token = staff.sign_in(conn, role, PASSWORD)
    assert token is not None
    client.cookies.clear()
    client.cookies.set(SESSION_COOKIE, token)
    return client


def a_household(engine: Engine) -> tuple[str, str]:
    """A household with one card; both ids."""
    with writing(engine) as conn:
        home = residents.add_household(conn, "test", "danzao", "3", "2", "501")
        person = residents.add_person(conn, "test", home, "陈志强", "13800138012")
        return home, residents.issue_card(conn, "test", person, "0A1B2C3D4E")


def test_every_url_that_needs_a_role_sends_a_stranger_to_the_door(office: tuple[httpx.Client, Engine]) -> None:
    client, _ = office
    for page in PAGES:
        if page.role is not None:
            answer = client.request(page.method, page.path.replace("{", "").replace("}", ""))
            assert (answer.status_code, answer.headers["location"][:7]) == (303, "/signin"), page.path


def test_no_account_reaches_a_page_above_its_role(office: tuple[httpx.Client, Engine]) -> None:
    for role in ROLES:
        client = as_role(office, role)
        for page in PAGES:
            if page.role is not None and ROLES.index(page.role) > ROLES.index(role):
                answer = client.request(page.method, page.path.replace("{", "").replace("}", ""))
                assert answer.status_code == 403, (role, page.path)


def test_every_response_carries_the_security_headers(office: tuple[httpx.Client, Engine]) -> None:
    client, _ = office
    for path in ("/signin", "/nothing-here", "/static/app.css"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert len(headers["x-request-id"]) == 8


def test_a_session_cookie_is_out_of_reach_of_scripts_and_of_other_sites(office: tuple[httpx.Client, Engine]) -> None:
    client, _ = office
    answer = client.post("/signin", data={"login": "guard", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_sign_in_locks_after_five_wrong_passwords(office: tuple[httpx.Client, Engine]) -> None:
    client, _ = office
    wrong = [client.post("/signin", data={"login": "guard", "password": "not the one"}) for _ in range(5)]
    assert {answer.status_code for answer in wrong} == {401}
    assert client.post("/signin", data={"login": "guard", "password": PASSWORD}).status_code == 429


@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status"),
    [
        ("POST", "/signin", b"login=" + b"x" * MAX_BODY_BYTES, "application/x-www-form-urlencoded", 413),
        ("POST", "/signin", b"{}", "application/json", 415),
        ("POST", "/signin", b"login=%ff%fe\xff", "application/x-www-form-urlencoded", 400),
        ("DELETE", "/signin", b"", "text/plain", 405),
        ("GET", "/nothing-here", b"", "text/plain", 404),
    ],
)
def test_bad_requests_get_a_page_in_words_with_a_request_id(
    office: tuple[httpx.Client, Engine], method: str, path: str, content: bytes, kind: str, status: int
) -> None:
    client, _ = office
    answer = client.request(method, path, content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["x-request-id"] in answer.text


def test_a_body_without_a_declared_length_is_cut_off_at_the_limit(office: tuple[httpx.Client, Engine]) -> None:
    client, _ = office
    chunks = (b"login=" + b"x" * 65_536 for _ in range(40))
    answer = client.post("/signin", content=chunks, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 413


def test_an_export_is_for_managers_and_is_audited(office: tuple[httpx.Client, Engine]) -> None:
    assert as_role(office, "guard").get("/events.csv").status_code == 403
    manager = as_role(office, "manager")
    form = manager.get("/events.csv?plate=E123")
    assert "调阅单位" in form.text
    refused = manager.post("/events.csv?plate=E123", data={"unit": "派出所"})
    assert refused.status_code == 422
    answer = manager.post("/events.csv?plate=E123", data={"unit": "派出所", "person": "李警官", "why": "案件 7"})
    assert answer.status_code == 200
    assert answer.content.startswith(b"\xef\xbb\xbf")
    with office[1].connect() as conn:
        exports = conn.execute(select(tables.audit.c.actor).where(tables.audit.c.action == "events.export")).scalars()
        assert list(exports) == ["manager"]


def test_whole_names_and_phones_are_for_managers_and_looking_is_audited(office: tuple[httpx.Client, Engine]) -> None:
    home, _ = a_household(office[1])
    seen = as_role(office, "guard").get(f"/households/{home}").text
    assert "陈志强" not in seen
    assert "13800138012" not in seen
    assert "138****8012" in seen
    assert "13800138012" in as_role(office, "manager").get(f"/households/{home}").text
    with office[1].connect() as conn:
        looks = conn.execute(select(tables.audit.c.actor).where(tables.audit.c.action == "household.reveal")).scalars()
        assert list(looks) == ["manager"]


def test_a_card_of_another_household_is_not_found(office: tuple[httpx.Client, Engine]) -> None:
    _home, card = a_household(office[1])
    with writing(office[1]) as conn:
        other = residents.add_household(conn, "test", "danzao", "9", "", "101")
    answer = as_role(office, "guard").post(f"/households/{other}/cards/{card}/lost")
    assert answer.status_code == 404
    with office[1].connect() as conn:
        assert conn.execute(select(tables.credentials.c.state)).scalar_one() == GrantState.ACTIVE


def test_a_form_that_is_refused_comes_back_with_what_was_typed(office: tuple[httpx.Client, Engine]) -> None:
    a_household(office[1])
    form = {"site": "danzao", "building": "3", "unit": "2", "room": "501"}
    answer = as_role(office, "manager").post("/households/new", data=form)
    assert answer.status_code == 422
    assert "已存在" in answer.text
    assert 'value="501"' in answer.text


def test_a_fragment_is_sent_on_by_a_header_and_not_by_a_redirect(office: tuple[httpx.Client, Engine]) -> None:
    form = {"site": "danzao", "building": "7", "unit": "", "room": "101"}
    answer = as_role(office, "manager").post("/households/new", data=form, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert answer.headers["hx-redirect"].startswith("/households/")


def test_enrolment_succeeds_while_ingest_keeps_writing(office: tuple[httpx.Client, Engine]) -> None:
    client, engine = as_role(office, "manager"), office[1]
    stop = threading.Event()

    def ingest() -> None:
        while not stop.is_set():
            with writing(engine) as conn:
                conn.execute(insert(tables.quarantine).values(received_at=0, topic="t", why="w", payload=b""))

    busy = threading.Thread(target=ingest, daemon=True)
    busy.start()
    try:
        answers = [
            client.post("/households/new", data={"site": "danzao", "building": "1", "unit": "", "room": str(room)})
            for room in range(30)
        ]
    finally:
        stop.set()
        busy.join(10)
    assert {answer.status_code for answer in answers} == {303}


def test_an_empty_console_shows_pages_with_a_next_step_and_not_an_error(office: tuple[httpx.Client, Engine]) -> None:
    client = as_role(office, "admin")
    with writing(office[1]) as conn:
        home = residents.add_household(conn, "test", "danzao", "9", "", "101")
    for path in ("/events", "/events?time=today", "/gates", "/people?q=nobody", f"/households/{home}"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert 'class="empty"' in answer.text, path
    for page in PAGES:
        if page.method == "GET" and "{" not in page.path and page.path not in {"/events/stream", "/setup"}:
            assert client.get(page.path).status_code in (200, 303), page.path
