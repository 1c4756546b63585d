"""The office's rules and guests from the command line into the list that gates decide on."""

import json
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select
from test_cli_office import RunCli, _ok, config, engine, run  # noqa: F401 - its fixtures

from gatectl.central import tables
from gatectl.central.audit import now_ms
from gatectl.central.compile import compile_rows
from gatectl.core.codes import code_key, duress_form
from gatectl.core.decide import decide
from gatectl.core.model import (
    Attempt,
    ClockTrust,
    Direction,
    Lane,
    LaneId,
    LaneKind,
    LaneMode,
    LaneState,
    LinkPolicy,
    Passback,
    Profile,
    WhitelistView,
)
from gatectl.core.reasons import Reason
from gatectl.wire.passes import read_pass
from gatectl.wire.view import view_of


def the_view(engine: Engine) -> WhitelistView:  # noqa: F811
    with engine.connect() as conn:
        rows = compile_rows(conn, "danzao")
    return view_of("e", 1, 0, "danzao", (data for _, data in rows.values()))


def answer(view: WhitelistView, **shown: object) -> Reason:
    from datetime import UTC, datetime

    lane = Lane(LaneId("south-in"), LaneKind.PEDESTRIAN, Direction.IN)
    at = datetime.fromtimestamp(time.time() + 1, UTC)
    attempt = Attempt("a", lane.id, Direction.IN, at, "r", **shown)  # type: ignore[arg-type]
    return decide(attempt, view, LaneState(lane, None, ClockTrust.SYNCED)).reason


def test_a_mode_is_in_the_list_with_its_end_and_needs_reasons(run: RunCli, engine: Engine) -> None:  # noqa: F811
    assert run("gate", "mode", "south", "lockdown").exit_code == 10
    _ok(run("gate", "mode", "south", "lockdown", "--reason", "police", "--until", "23:59"))
    policies = the_view(engine).policies
    assert policies
    assert all(policy.mode is LaneMode.LOCKDOWN and policy.mode_until_s for policy in policies.values())
    _ok(run("gate", "mode", "south", "normal"))
    assert the_view(engine).policies == {}
    assert run("gate", "mode", "nowhere", "normal").exit_code == 3
    assert run("gate", "mode", "south", "normal", "--until", "soon").exit_code == 2


def test_holding_open_for_long_needs_a_second_person(run: RunCli, engine: Engine) -> None:  # noqa: F811
    hold = ("gate", "mode", "south", "hold-open", "--reason", "delivery")
    refused = run(*hold)
    assert refused.exit_code == 10
    assert "second" in refused.stderr
    assert run(*hold, "--second", "nobody").exit_code == 10
    with engine.begin() as conn:
        values = {"id": "s1", "login": "chen", "password_hash": "x", "role": "guard", "created_at": now_ms()}
        conn.execute(insert(tables.staff).values(**values))
    _ok(run(*hold, "--second", "chen"))
    assert all(policy.mode is LaneMode.HELD_OPEN for policy in the_view(engine).policies.values())


def test_lanes_areas_and_schedules_reach_the_list(run: RunCli, engine: Engine) -> None:  # noqa: F811
    _ok(run("rule", "area", "garage", "--passback", "timed", "--minutes", "10", "--link", "strict", "--capacity", "9"))
    _ok(
        run(
            *("rule", "schedule", "day", "mon-fri 07:00-20:00, sat-sun 22:00-02:00, holiday 09:00-11:00"),
            *("--except", "2026-02-16..2026-02-18 closed", "--except", "2026-12-31 08:00-12:00"),
        )
    )
    said = run("rule", "lane", "south-in", "--area-to", "garage", "--open-schedule", "day", "--two-person", "--yes")
    assert said.exit_code == 0
    assert "affects 0 credentials at 1 gates" in said.stderr
    view = the_view(engine)
    area = view.areas["garage"]
    assert (area.passback, area.passback_s, area.capacity) == (Passback.TIMED, 600, 9)
    assert area.link_policy is LinkPolicy.STRICT
    day = view.schedules["day"]
    assert day.follows_calendar
    assert len(day.windows) == 5 + 2 * 2 + 1
    assert {(w.start_min, w.end_min) for w in day.windows if w.weekday == 0} == {(420, 1200), (0, 120)}
    assert [len(exception.windows) for exception in day.exceptions] == [0, 1]
    policy = view.policies[LaneId("south-in")]
    assert (policy.area_to, policy.open_schedule, policy.is_two_person) == ("garage", "day", True)
    _ok(run("rule", "lane", "south-in", "--open-schedule", "", "--yes"))
    assert the_view(engine).policies[LaneId("south-in")].open_schedule is None
    assert json.loads(_ok(run("rule", "list", "--json")))["areas"][0]["id"] == "garage"
    assert "garage" in _ok(run("rule", "list"))
    assert run("rule", "lane", "south-in", "--area-to", "garage", typed="n\n").exit_code == 10


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("rule", "lane", "none", "--yes"), 3, "no gate and no lane"),
        (("rule", "lane", "south-in", "--area-to", "moon", "--yes"), 3, "no area"),
        (("rule", "lane", "south-in", "--open-schedule", "moon", "--yes"), 3, "no schedule"),
        (("rule", "area", "garage", "--passback", "timed"), 10, "minutes"),
        (("rule", "area", "Garage!"), 10, "no id"),
        (("rule", "schedule", "s", "someday 07:00-20:00"), 10, "someday"),
        (("rule", "schedule", "s", "mon 07:00-25:00"), 10, "25:00"),
        (("rule", "schedule", "s", "mon 07:61-08:00"), 10, "07:61"),
        (("rule", "schedule", "s", "mon 07:00-08:00", "--except", "2026-13-01 closed"), 10, "2026-13-01"),
        (("rule", "schedule", "s", "mon 07:00-08:00", "--except", "2026-02-02 09:00-08:00"), 10, "cannot read"),
        (("visitor", "invite", "9-9-909", "--name", "王", "--until", "2099-01-01T00:00"), 3, "no household"),
        (("visitor", "check", "000000"), 3, "nobody"),
        (("visitor", "check", "12"), 2, "digits"),
        (("visitor", "cancel", "none"), 3, "no visit"),
        (("card", "pin", "none"), 3, "no person"),
        (("emergency", "open", "nowhere", "--reason", "fire"), 3, "nowhere"),
        (("emergency", "import", "/none/list.csv"), 2, "list.csv"),
    ],
)
def test_a_mistake_ends_in_words_and_its_code(run: RunCli, args: tuple[str, ...], code: int, words: str) -> None:  # noqa: F811
    result = run(*args)
    assert result.exit_code == code, result.output
    assert words in result.stderr


def test_an_invited_guest_passes_by_code_or_pass_until_cancelled(run: RunCli, engine: Engine, tmp_path: Path) -> None:  # noqa: F811
    _ok(run("household", "add", "3-2-501"))
    picture = tmp_path / "pass.svg"
    until = time.strftime("%Y-%m-%dT%H:%M", time.localtime(time.time() + 86_400 + 9 * 3600))
    made = json.loads(
        _ok(
            run(
                *(
                    "visitor",
                    "invite",
                    "3-2-501",
                    "--name",
                    "王",
                    "--until",
                    until,
                    "--plate",
                    "粤E77777",
                    "--stay",
                    "90",
                ),
                *("--qr", str(picture), "--json"),
            )
        )
    )
    assert made["code"] in made["words"]
    assert picture.stat().st_size > 1000
    view = the_view(engine)
    key = code_key(view.code_salt, made["code"])
    claim = read_pass(made["pass"], view.issuers)
    assert claim.is_genuine
    assert answer(view, key=key) is Reason.VISITOR_OK
    assert answer(view, claim=claim) is Reason.VISITOR_OK
    plate = view.grants.get("plate:粤E77777")  # type: ignore[arg-type]
    assert plate is not None
    assert (plate.profile, plate.uses, plate.max_stay_s) == (Profile.VISITOR, 1, 5400)
    with engine.connect() as conn:
        assert made["code"] not in str(conn.execute(select(tables.credentials)).all())
    assert made["id"] in _ok(run("visitor", "check", made["code"]))
    assert [row["id"] for row in json.loads(_ok(run("visitor", "list", "--json")))] == [made["id"]]
    _ok(run("visitor", "cancel", made["id"]))
    after = the_view(engine)
    assert answer(after, key=key) is Reason.CODE_INVALID
    assert answer(after, claim=claim) is Reason.CODE_INVALID
    assert json.loads(_ok(run("visitor", "list", "--json"))) == []
    again = run("visitor", "invite", "3-2-501", "--name", "王", "--until", "2020-01-01T00:00")
    assert again.exit_code == 10


def test_a_pin_opens_and_its_duress_form_opens_and_alarms(run: RunCli, engine: Engine) -> None:  # noqa: F811
    _ok(run("household", "add", "3-2-501"))
    person = _ok(run("people", "add", "3-2-501", "张小三"))
    pin = _ok(run("card", "pin", person))
    view = the_view(engine)
    assert answer(view, key=code_key(view.code_salt, pin)) is Reason.PIN_OK
    forced = view.grants.get(code_key(view.code_salt, duress_form(pin)))
    assert forced is not None
    assert forced.is_duress
    _ok(run("card", "pin", person))
    assert answer(the_view(engine), key=code_key(view.code_salt, pin)) is Reason.PIN_INVALID


def test_a_quota_is_set_shown_and_in_the_list(run: RunCli, engine: Engine) -> None:  # noqa: F811
    home = _ok(run("household", "add", "3-2-501"))
    _ok(run("quota", "set", "3-2-501", "1", "--unloading", "30"))
    household = the_view(engine).households(home)
    assert household is not None
    assert (household.quota, household.unloading_s) == (1, 1800)
    assert "0 of 1 inside" in _ok(run("quota", "show", "3-2-501"))
    _ok(run("quota", "set", "3-2-501", "any"))
    assert json.loads(_ok(run("quota", "show", "3-2-501", "--json")))["quota"] is None


def test_the_emergency_list_is_taken_whole_or_not_at_all(run: RunCli, engine: Engine, tmp_path: Path) -> None:  # noqa: F811
    plates = tmp_path / "120.csv"
    plates.write_text("粤E00120, 120 fleet\n\n粤E00121\nfoo\n粤E9\n", encoding="utf-8-sig")
    refused = run("emergency", "import", str(plates))
    assert refused.exit_code == 10
    assert "4: 'foo'" in refused.stderr
    assert "5:" in refused.stderr
    assert the_view(engine).emergency_plates == frozenset()
    plates.write_text("粤E00120, 120 fleet\n粤E00121\n", encoding="utf-8")
    _ok(run("emergency", "import", str(plates)))
    assert the_view(engine).emergency_plates == {"粤E00120", "粤E00121"}
    assert json.loads(_ok(run("emergency", "list", "--json")))[0] == {"plate": "粤E00120", "note": "120 fleet"}
