"""The console's pages of the access model over HTTP: what is saved, what is refused beside which field, who may."""

import re
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, insert, select
from test_console_http import PASSWORD, as_role, office, served  # noqa: F401 - its fixture

from gatectl.central import inside, residents, rule_view, staff, tables, visitors
from gatectl.central.app import make_app
from gatectl.central.database import writing
from gatectl.central.web.guard import SESSION_COOKIE
from gatectl.core.model import LaneMode, Passback
from gatectl.settings import CentralSettings
from gatectl.sim.broker import free_port

Office = tuple[httpx.Client, Engine]
HOUR_S = 3600
WRONG = re.compile(r'<span class="wrong" id="wrong".*?</svg>(.*?)</span>', re.DOTALL)


@pytest.fixture
def desk(office: Office) -> httpx.Client:  # noqa: F811
    """A manager; a site with one gate of two lanes, a garage, and 3-2-501 with a person, a card and a car."""
    client = as_role(office, "manager")
    with writing(office[1]) as conn:
        conn.execute(insert(tables.gates).values(id="south", site_id="danzao", name_zh="南门", name_en="South"))
        for lane, kind, direction in (("south-in", "vehicle", "in"), ("south-walk", "pedestrian", "in")):
            values = {"gate_id": "south", "kind": kind, "direction": direction, "name_zh": lane, "name_en": lane}
            conn.execute(insert(tables.lanes).values(id=lane, **values))
        home = residents.add_household(conn, "test", "danzao", "3", "2", "501")
        person = residents.add_person(conn, "test", home, "陈志强", relation="tenant")
        residents.issue_card(conn, "test", person, "0A1B2C3D4E")
        residents.add_vehicle(conn, "test", home, "粤E12345")
    return client


def the_home(engine: Engine) -> residents.HouseholdView:
    with engine.connect() as conn:
        home = residents.find_household(conn, "danzao", "3-2-501")
        view = residents.household(conn, home or "")
    assert view is not None
    return view


def refused(answer: httpx.Response, field: str) -> str:
    """The words beside the field; the form came back."""
    assert answer.status_code == 422, answer.text[:400]
    found = WRONG.search(answer.text)
    assert found is not None, answer.text
    label = answer.text[: found.start()].rfind(f'name="{field}')
    others = [m.start() for m in re.finditer(r'name="', answer.text[: found.start()])]
    assert label == others[-1], f"the words do not stand beside {field}"
    return found[1]


# --- rules ---


def test_an_area_a_schedule_and_a_level_are_made_and_a_lane_leads_to_them(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    area = {"id": "garage", "name": "车库", "passback": "timed", "minutes": "10", "link": "strict", "capacity": "9"}
    assert desk.post("/rules/danzao/areas/new", data=area).status_code == 303
    hours = {"id": "day", "windows": "周一至周五 07:00-20:00", "exceptions": "2026-02-16 不开放\n", "calendar": "1"}
    assert desk.post("/rules/danzao/schedules/new", data=hours).status_code == 303
    level = {"id": "cleaners", "name": "保洁", "schedule": "day", "lane.south-walk": "1"}
    assert desk.post("/rules/danzao/levels/new", data=level).status_code == 303
    lane = {"area_from": "", "area_to": "garage", "open_schedule": "day", "first_card": "1", "short_stay": "15"}
    assert desk.post("/rules/lanes/south-in", data=lane).status_code == 303
    with office[1].connect() as conn:
        (garage,) = rule_view.area_rules(conn, "danzao")
        rules_of = {one.id: one for one in rule_view.lane_rules(conn, "danzao")}
        levels = {one.id: one for one in rule_view.level_rules(conn, "danzao")}
    assert (garage.passback, garage.passback_s, garage.capacity) == (Passback.TIMED, 600, 9)
    changed = rules_of["south-in"]
    assert (changed.area_to, changed.is_first_card_in, changed.short_stay_s) == ("garage", True, 900)
    assert not changed.is_fire_lane  # its box was not ticked
    assert (sorted(levels["cleaners"].lanes), levels["cleaners"].schedule_id) == (["south-walk"], "day")
    page = desk.get("/rules").text
    assert all(words in page for words in ("车库", "保洁", "周一至周五 07:00-20:00", "2026-02-16 不开放", "首卡后"))
    assert 'value="garage" selected' in desk.get("/rules/lanes/south-in").text
    assert "影响 1 个闸口的" in desk.get("/rules/lanes/south-in").text


@pytest.mark.parametrize(
    ("path", "form", "field", "words"),
    [
        ("/rules/danzao/areas/new", {"id": "Garage!", "passback": "off", "link": "soft"}, "id", "不是有效编号"),
        ("/rules/danzao/areas/new", {"id": "g", "passback": "timed", "link": "soft"}, "minutes", "分钟"),
        (
            "/rules/danzao/areas/new",
            {"id": "g", "passback": "off", "link": "soft", "capacity": "x"},
            "capacity",
            "整数",
        ),
        ("/rules/danzao/areas/new", {"id": "g", "passback": "never", "link": "soft"}, "passback", "列表"),
        ("/rules/danzao/schedules/new", {"id": "day", "windows": "周八 7:00-8:00"}, "windows", "周八"),
        (
            "/rules/danzao/schedules/new",
            {"id": "day", "windows": "mon 7:00-8:00", "exceptions": "soon"},
            "exceptions",
            "soon",
        ),
        ("/rules/danzao/levels/new", {"id": "cleaners"}, "lane", "一条通道"),
        ("/rules/danzao/levels/new", {"id": "danzao-residents", "lane.south-in": "1"}, "id", "已存在"),
        ("/rules/lanes/south-in", {"short_stay": "9999"}, "short_stay", "1440"),
        ("/rules/lanes/south-in", {"interlock": "a b"}, "interlock", "词"),
        ("/rules/lanes/south-in/mode", {"mode": "open sesame"}, "mode", "模式"),
        ("/rules/lanes/south-in/mode", {"mode": "exit_only"}, "reason", "原因"),
        (
            "/rules/lanes/south-in/mode",
            {"mode": "exit_only", "reason": "x", "until": "2020-01-01T00:00"},
            "until",
            "已过",
        ),
        ("/rules/lanes/south-in/mode", {"mode": "held_open", "reason": "moving"}, "second", "第二名"),
        ("/visitors/new", {"site": "danzao", "door": "9-9-909"}, "door", "没有这一户"),
        ("/holidays/day", {"date": "2026-10-08", "kind": "holiday"}, "date", "holidays_file"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    desk: httpx.Client, path: str, form: dict[str, str], field: str, words: str
) -> None:
    assert words in refused(desk.post(path, data=form), field)


def test_a_mode_has_its_end_and_is_undone_by_one_press(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    until = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 10 * HOUR_S))
    done = desk.post("/rules/lanes/south-in/mode", data={"mode": "lockdown", "reason": "警情", "until": until})
    assert done.status_code == 303
    page = desk.get(done.headers["location"]).text
    assert "警情" in page
    assert 'action="/rules/lanes/south-in/mode"' in page
    assert desk.post("/rules/lanes/south-in/mode", data={"mode": "normal"}).status_code == 303
    with office[1].connect() as conn:
        modes = {one.id: one.mode for one in rule_view.lane_rules(conn, "danzao")}
    assert modes["south-in"] == LaneMode.NORMAL


def test_holding_open_for_long_needs_another_person_with_the_right_password(
    desk: httpx.Client,
    office: Office,  # noqa: F811
) -> None:
    form = {"mode": "held_open", "reason": "搬家", "second": "guard"}
    wrong = desk.post("/rules/lanes/south-in/mode", data=form | {"second_password": "guess"})
    assert "登录名或密码" in refused(wrong, "second_password")
    assert "guess" not in wrong.text
    own = desk.post("/rules/lanes/south-in/mode", data=form | {"second": "manager", "second_password": PASSWORD})
    assert "第二名" in refused(own, "second")
    right = desk.post("/rules/lanes/south-in/mode", data=form | {"second_password": PASSWORD})
    assert right.status_code == 303
    with office[1].connect() as conn:
        failed = select(tables.audit.c.subject).where(tables.audit.c.action == "staff.sign_in_failed")
        assert list(conn.execute(failed).scalars()) == ["guard"]
        assert {row.login for row in staff.list_staff(conn)} >= {"guard", "manager"}


def test_guesses_at_the_second_persons_password_are_locked_out(desk: httpx.Client) -> None:
    form = {"mode": "held_open", "reason": "搬家", "second": "guard"}
    for _ in range(5):
        desk.post("/rules/lanes/south-in/mode", data=form | {"second_password": "guess"})
    locked = desk.post("/rules/lanes/south-in/mode", data=form | {"second_password": PASSWORD})
    assert "分钟后再试" in refused(locked, "second_password")


# --- visitors ---


def a_visit(**changes: str) -> dict[str, str]:
    begin_s = time.time() + 8 * HOUR_S
    form = {
        "site": "danzao",
        "door": "3-2-501",
        "surname": "王",
        "profile": "visitor",
        "from": time.strftime("%Y-%m-%dT%H:%M", time.gmtime(begin_s)),
        "until": time.strftime("%Y-%m-%dT%H:%M", time.gmtime(begin_s + HOUR_S)),
        "uses": "1",
        "stay": "0",
    }
    return form | changes


def test_a_guard_makes_a_pass_whose_code_is_shown_once_and_withdraws_it(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    assert desk
    guard = as_role(office, "guard")
    made = guard.post("/visitors/new", data=a_visit(plate="粤E77777"))
    assert made.status_code == 200
    code = re.search(r'id="code">(\d{6})<', made.text)
    assert code is not None
    assert "<svg" in made.text
    assert made.headers["cache-control"] == "no-store"
    with office[1].connect() as conn:
        row = conn.execute(select(tables.visits)).one()
        found = visitors.find_code(conn, "danzao", code[1])
    assert found is not None
    assert found.id == row.id
    again = guard.get(f"/visitors/{row.id}").text
    assert code[1] not in again
    assert "<svg" in again
    assert "粤E・77777" in guard.get("/visitors").text.replace("·", "・")
    assert "3-2-501" in guard.get("/visitors").text
    assert guard.get(f"/visitors/{row.id}/cancel").status_code == 200
    assert guard.post(f"/visitors/{row.id}/cancel").status_code == 303
    assert row.id not in guard.get("/visitors").text
    assert row.id in guard.get("/visitors?show=all").text
    assert guard.get(f"/visitors/{row.id}/cancel").status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"surname": " "}, "surname"),
        ({"until": "2020-01-01T00:00"}, "until"),
        ({"until": ""}, "until"),
        ({"plate": "hello"}, "plate"),
        ({"plate": "粤E12345"}, "plate"),
        ({"uses": "many"}, "uses"),
        ({"stay": "-5"}, "stay"),
        ({"profile": "owner"}, "profile"),
        ({"door": ""}, "door"),
    ],
)
def test_a_visit_that_cannot_be_is_refused_beside_its_field(
    desk: httpx.Client,
    office: Office,  # noqa: F811
    change: dict[str, str],
    field: str,
) -> None:
    answer = desk.post("/visitors/new", data=a_visit(**change))
    refused(answer, field)
    with office[1].connect() as conn:
        assert conn.execute(select(tables.visits)).all() == []


# --- who is inside ---


def test_a_guard_corrects_who_is_inside_and_puts_it_back(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    desk.post("/rules/danzao/areas/new", data={"id": "garage", "passback": "off", "link": "soft", "capacity": "5"})
    with writing(office[1]) as conn:
        inside.correct(conn, "test", "danzao", "粤E12345", "garage", "stock-take")
        inside.take_waiting(conn)
    guard = as_role(office, "guard")
    page = guard.get("/inside").text
    assert "余 4" in page
    who = "plate:粤E12345"
    assert guard.get("/inside/danzao/correct", params={"who": who}).status_code == 200
    refused(guard.post("/inside/danzao/correct", data={"who": who, "area": "", "reason": ""}), "reason")
    done = guard.post("/inside/danzao/correct", data={"who": who, "area": "", "reason": "盘点,不在"})
    assert done.status_code == 303
    after = guard.get(done.headers["location"]).text
    assert "当前无人在场" in after
    assert 'action="/inside/danzao/undo"' in after
    assert guard.post("/inside/danzao/undo", data={"who": who, "area": "garage"}).status_code == 303
    with office[1].connect() as conn:
        assert [one.subject for one in inside.stand(conn, "danzao").present] == [who]
        audit = select(tables.audit.c.actor).where(
            tables.audit.c.action == "inside.correct", tables.audit.c.actor != "test"
        )
        assert list(conn.execute(audit).scalars()) == ["guard", "guard"]
    assert guard.get("/inside/danzao/correct", params={"who": "nobody"}).status_code == 404


def test_unknown_vehicles_are_counted_anew(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    desk.post("/rules/danzao/areas/new", data={"id": "garage", "passback": "off", "link": "soft", "capacity": "5"})
    with writing(office[1]) as conn:
        conn.execute(insert(tables.strangers).values(site_id="danzao", area="garage", vehicles=4))
    path = "/inside/danzao/areas/garage/unknown"
    assert 'value="4"' in desk.get(path).text
    refused(desk.post(path, data={"vehicles": "4", "reason": "counted"}), "vehicles")
    refused(desk.post(path, data={"vehicles": "1", "reason": ""}), "reason")
    assert desk.post(path, data={"vehicles": "1", "reason": "counted"}).status_code == 303
    with office[1].connect() as conn:
        assert inside.stand(conn, "danzao").areas[0].strangers == 1
    assert desk.get("/inside/danzao/areas/moon/unknown").status_code == 404


# --- households ---


def test_a_household_gets_parking_a_tenancy_and_a_person_terms(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    home = the_home(office[1])
    base, member = f"/households/{home.id}", home.members[0].id
    assert desk.post(f"{base}/quota", data={"cars": "1", "unloading": "30"}).status_code == 303
    refused(desk.post(f"{base}/quota", data={"cars": "100"}), "cars")
    assert desk.post(f"{base}/tenancy", data={"until": "2030-12-31"}).status_code == 303
    refused(desk.post(f"{base}/tenancy", data={"until": "2199-12-31"}), "until")
    terms = {"profile": "nanny", "hours": "周一至周五 8:00-18:00", "until": "2030-06-30", "stay": "60"}
    assert desk.post(f"{base}/people/{member}/terms", data=terms).status_code == 303
    for change, field in (({"hours": "早上"}, "hours"), ({"until": "2020-01-01"}, "until"), ({"stay": "x"}, "stay")):
        refused(desk.post(f"{base}/people/{member}/terms", data=terms | change), field)
    assert desk.post(f"{base}/vehicles/{home.vehicles[0].id}/space").status_code == 303
    after = the_home(office[1])
    assert (after.quota, after.unloading_s, after.tenancy_until_s) == (1, 1800, 1924963199)
    assert (after.members[0].profile, after.members[0].max_stay_s) == ("nanny", 3600)
    assert after.vehicles[0].has_fixed_space
    page = desk.get(base).text
    assert all(words in page for words in ("保姆", "周一至周五 08:00-18:00", "固定车位", "0/1", "2030-12-31"))
    assert desk.post(f"{base}/vehicles/{home.vehicles[0].id}/space").status_code == 303
    assert not the_home(office[1]).vehicles[0].has_fixed_space


def test_moving_out_asks_first_and_ends_everything(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    home = the_home(office[1])
    asked = desk.get(f"/households/{home.id}/move-out").text
    assert "1 位成员" in asked
    assert the_home(office[1]).members
    assert desk.post(f"/households/{home.id}/move-out").status_code == 303
    after = the_home(office[1])
    assert after.members == ()
    assert {card.state for card in after.cards} | {car.state for car in after.vehicles} == {"revoked"}


def test_a_near_plate_is_warned_of_with_its_door_and_enrolled_all_the_same(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    with writing(office[1]) as conn:
        other = residents.add_household(conn, "test", "danzao", "9", "", "101")
    done = desk.post(f"/households/{other}/vehicles/new", data={"plate": "粤e·12346", "fixed_space": "1"})
    assert done.status_code == 303
    page = desk.get(done.headers["location"]).text
    assert "3-2-501" in page
    assert "只差一位" in page
    assert "6/5" in page
    assert "粤E12346" in page


def test_a_card_without_plate_and_its_end_are_on_the_page(desk: httpx.Client, office: Office) -> None:  # noqa: F811
    home = the_home(office[1])
    path = f"/households/{home.id}/people/{home.members[0].id}/card"
    refused(desk.post(path, data={"number": "hello"}), "number")
    refused(desk.post(path, data={"number": "0A1B2C3D50", "until": "soon"}), "until")
    assert desk.post(path, data={"number": "0A1B2C3D50", "no_plate": "1", "until": "2030-12-31"}).status_code == 303
    page = desk.get(f"/households/{home.id}").text
    assert "无牌车卡" in page
    assert "2030-12-31 23:59" in page


# --- holidays ---


def test_a_year_shows_holidays_and_make_up_days(desk: httpx.Client) -> None:
    page = desk.get("/holidays?year=2026").text
    assert "国庆节" in page
    assert page.count("day-workday") == 6
    assert "holidays_file" in page
    assert desk.get("/holidays?year=9999").status_code == 200


def test_a_day_is_corrected_into_the_offices_file(office: Office, tmp_path: Path) -> None:  # noqa: F811
    file, port = tmp_path / "holidays.toml", free_port()
    token = as_role(office, "manager").cookies[SESSION_COOKIE]
    settings = CentralSettings(database=str(office[1].url), holidays_file=file)
    with served(make_app(settings), port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        client.cookies.set(SESSION_COOKIE, token)
        correct_a_day(client, file)


def correct_a_day(client: httpx.Client, file: Path) -> None:
    done = client.post("/holidays/day", data={"date": "2026-10-08", "kind": "workday", "name": "测试"})
    assert done.status_code == 303
    assert "2026-10-08" in file.read_text(encoding="utf-8")
    assert "测试" in client.get("/holidays?year=2026").text
    assert "调休上班" in client.get("/holidays/day?date=2026-10-08").text
    refused(client.post("/holidays/day", data={"date": "2199-01-01", "kind": "holiday"}), "date")
    file.write_text("day = 7", encoding="utf-8")
    broken = client.get("/holidays?year=2026")
    assert broken.status_code == 200
    assert "mistake" in broken.text
