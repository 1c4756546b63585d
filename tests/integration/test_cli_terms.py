"""Tenancies, profiles, spaces, holidays and who is inside, from the command line."""

import json
import time
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select
from test_cli_office import RunCli, _ok, config, engine, run  # noqa: F401 - its fixtures

from gatectl.central import inside, tables
from gatectl.central.compile import compile_rows
from gatectl.cli.output import SITE_TIME
from gatectl.core.model import CredentialKey, Grant, Profile
from gatectl.wire.view import view_of

CARD = "0A1B2C3D4E"


def the_grant(engine: Engine, key: str) -> Grant:  # noqa: F811
    with engine.connect() as conn:
        rows = compile_rows(conn, "danzao")
    found = view_of("e", 1, 0, "danzao", (data for _, data in rows.values())).grants.get(CredentialKey(key))
    assert found is not None
    return found


def a_tenant(run: RunCli) -> str:  # noqa: F811
    _ok(run("household", "add", "3-2-501"))
    person = _ok(run("people", "add", "3-2-501", "张小三", "--relation", "tenant"))
    _ok(run("card", "issue", person, CARD))
    return person


def test_a_flat_is_let_reminded_of_and_moved_out_of(run: RunCli, engine: Engine) -> None:  # noqa: F811
    a_tenant(run)
    _ok(run("vehicle", "add", "3-2-501", "粤E12345"))
    end = datetime.fromtimestamp(time.time() + 5 * 86_400, SITE_TIME).date().isoformat()
    let = run("people", "tenancy", "3-2-501", end)
    assert let.exit_code == 0
    assert f"let until {end} 23:59:59; for 24 h more they may leave" in let.stderr
    card = the_grant(engine, f"em:{CARD}")
    assert card.profile is Profile.TENANT
    assert (card.exit_until_s or 0) - (card.valid_until_s or 0) == 86_400
    (soon,) = json.loads(_ok(run("people", "tenancies", "--json")))
    assert (soon["door"], soon["credentials"], soon["is_over"]) == ("3-2-501", 2, False)
    assert "3-2-501" in _ok(run("people", "tenancies"))
    assert json.loads(_ok(run("people", "tenancies", "--within", "1", "--json"))) == []
    assert f"let until {end}" in _ok(run("household", "show", "3-2-501"))
    refused = run("people", "move-out", "3-2-501", typed="n\n")
    assert refused.exit_code == 10
    assert "--yes" in refused.stderr
    gone = json.loads(_ok(run("people", "move-out", "3-2-501", "--yes", "--json")))
    assert (gone["revoked"], gone["cards"]) == (2, ["em:…3D4E"])
    assert json.loads(_ok(run("household", "show", "3-2-501", "--json")))["members"] == []
    _ok(run("people", "tenancy", "3-2-501", "none"))


def test_a_profile_has_days_and_hours_an_end_and_a_stay(run: RunCli, engine: Engine) -> None:  # noqa: F811
    person = a_tenant(run)
    _ok(
        run(
            *("people", "profile", person, "nanny", "--hours", "mon-fri 08:00-18:00", "--until", "2099-12-31"),
            *("--stay", "90", "--extended-open"),
        )
    )
    grant = the_grant(engine, f"em:{CARD}")
    assert (grant.profile, grant.max_stay_s, grant.extended_open) == (Profile.NANNY, 5400, True)
    (level,) = grant.levels
    shown = json.loads(_ok(run("people", "profile", person, "--json")))
    assert (shown["profile"], shown["level"], shown["max_stay_s"]) == ("nanny", level, 5400)
    assert "leaves within 90 min" in _ok(run("people", "profile", person))
    _ok(run("people", "profile", person, "courier", "--hours", "", "--until", ""))
    after = the_grant(engine, f"em:{CARD}")
    assert (after.profile, after.valid_until_s, after.max_stay_s) == (Profile.COURIER, None, 5400)
    assert after.levels != grant.levels
    _ok(run("rule", "level", "cleaners", "--lane", "south-in", "--yes"))
    _ok(run("people", "profile", person, "--level", "cleaners"))
    assert the_grant(engine, f"em:{CARD}").levels == ("cleaners",)
    asked = run("rule", "level", "cleaners", "--lane", "north-in", typed="n\n")
    assert asked.exit_code == 10
    assert "affects 1 credentials" in asked.stderr


def test_a_changed_plate_a_fixed_space_and_a_card_without_plate(run: RunCli, engine: Engine) -> None:  # noqa: F811
    person = a_tenant(run)
    _ok(run("vehicle", "add", "3-2-501", "粤E12345", "--fixed-space"))
    assert the_grant(engine, "plate:粤E12345").has_fixed_space
    _ok(run("vehicle", "space", "粤E12345", "--none"))
    assert not the_grant(engine, "plate:粤E12345").has_fixed_space
    _ok(run("vehicle", "edit", "粤E12345", "粤E54321"))
    old = the_grant(engine, "plate:粤E12345")
    assert old.valid_until_s is not None
    assert (old.exit_until_s or 0) - old.valid_until_s == 3 * 86_400
    cars = json.loads(_ok(run("household", "show", "3-2-501", "--json")))["vehicles"]
    assert [(car["plate"], car["state"]) for car in cars] == [("粤E54321", "active"), ("粤E12345", "expired")]
    _ok(run("card", "issue", person, "0A1B2C3D50", "--no-plate", "--until", "2099-12-31"))
    assert the_grant(engine, "em:0A1B2C3D50").has_no_plate
    near = run("vehicle", "near", "粤E54327")
    assert "粤E54321, 3-2-501: one character apart (7/1)" in near.stdout
    assert json.loads(_ok(run("vehicle", "near", "粤B88888", "--json"))) == []


def test_holidays_are_listed_and_imported_whole_or_not_at_all(
    run: RunCli,  # noqa: F811
    config: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    listed = json.loads(_ok(run("holiday", "list", "2026", "--json")))
    assert {"date": "2026-10-10", "kind": "workday", "name": "National Day"} in listed["days"]
    assert "国庆节" in run("--lang", "zh", "holiday", "list", "2026").stdout
    source = tmp_path / "notice.csv"
    source.write_text("2026-10-08,workday,测试\n", encoding="utf-8")
    refused = run("holiday", "import", str(source))
    assert refused.exit_code == 2
    assert "holidays_file =" in refused.stderr
    file = tmp_path / "holidays.toml"
    config.write_text(f'holidays_file = "{file}"\n{config.read_text(encoding="utf-8")}', encoding="utf-8")
    assert json.loads(_ok(run("holiday", "list", "2026", "--json"))) == listed
    dry = json.loads(_ok(run("holiday", "import", str(source), "--dry-run", "--json")))
    assert [(day["before"], day["after"]) for day in dry["changed"]] == [("plain", "workday")]
    assert not file.exists()
    done = run("holiday", "import", str(source))
    assert done.exit_code == 0
    assert "1 day(s) changed" in done.stderr
    assert {"date": "2026-10-08", "kind": "workday", "name": "测试"} in json.loads(
        _ok(run("holiday", "list", "2026", "--json"))
    )["days"]
    far = tmp_path / "far.csv"
    far.write_text("2199-02-06,holiday,春节\n", encoding="utf-8")
    before = file.read_bytes()
    assert run("holiday", "import", str(far), "--complete", "2199").exit_code == 2
    assert file.read_bytes() == before
    nothing = run("holiday", "list", "2150")
    assert nothing.exit_code == 3
    assert "holiday import" in nothing.stderr


def test_who_is_inside_is_listed_and_corrected_with_a_reason(run: RunCli, engine: Engine) -> None:  # noqa: F811
    person = a_tenant(run)
    _ok(run("vehicle", "add", "3-2-501", "粤E12345"))
    _ok(run("rule", "area", "garage", "--capacity", "9"))
    _ok(run("inside", "correct", "粤E12345", "--area", "garage", "--reason", "stock-take"))
    _ok(run("inside", "correct", "--area", "garage", "--unknown", "2", "--reason", "stock-take"))
    with engine.begin() as conn:
        values = {"site_id": "danzao", "subject": person, "area": "garage", "since_ms": 0, "max_stay_s": 60}
        conn.execute(insert(tables.inside).values(**values))
    listed = json.loads(_ok(run("inside", "list", "--json")))
    assert [(a["id"], a["people"], a["vehicles"], a["strangers"]) for a in listed["areas"]] == [("garage", 1, 1, 2)]
    assert [(row["plate"], row["name"], row["is_overdue"]) for row in listed["inside"]] == [
        ("", "张*三", True),
        ("粤E12345", "", False),
    ]
    table = run("inside", "list", "--overdue", "--reveal", "police")
    assert "张小三" in table.stdout
    assert "粤E12345" not in table.stdout
    assert "garage: 1 people, 3/9 vehicles (2 of them unknown)" in table.stderr
    _ok(run("inside", "correct", "粤E12345", "--gone", "--reason", "it left at night"))
    with engine.connect() as conn:
        assert len(conn.execute(select(tables.corrections)).all()) == 3
        assert inside.is_waiting(conn)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("people", "tenancy", "9-9-909", "2099-01-01"), 3, "household add"),
        (("people", "tenancy", "3-2-501", "soon"), 2, "no time"),
        (("people", "move-out", "9-9-909", "--yes"), 3, "no household"),
        (("people", "profile", "nobody", "nanny"), 3, "no person"),
        (("people", "profile", "nobody", "--hours", "x", "--level", "y"), 2, "not both"),
        (("vehicle", "space", "粤E99999", "--fixed"), 3, "no such"),
        (("vehicle", "near", "hello"), 10, "not a plate"),
        (("inside", "correct", "粤E99999", "--gone", "--reason", "stock-take"), 3, "inside list"),
        (("inside", "correct", "粤E99999", "--reason", "stock-take"), 2, "WHO --gone"),
        (("inside", "correct", "粤E99999", "--area", "a", "--gone", "--reason", "stock-take"), 2, "WHO --gone"),
        (("inside", "correct", "--area", "moon", "--unknown", "1", "--reason", "stock-take"), 3, "rule area"),
        (("inside", "correct", "--unknown", "1", "--reason", "stock-take"), 2, "--unknown 3"),
        (("rule", "level", "cleaners", "--lane", "none", "--yes"), 3, "no lane"),
        (("holiday", "list", "1200"), 2, "1990"),
    ],
)
def test_what_cannot_be_done_is_told_with_a_way_on(
    run: RunCli,  # noqa: F811
    args: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    result = run(*args)
    assert result.exit_code == code, result.output
    assert words in result.stderr
