"""The office's tables as list rows: every fact arrives at the gate as it was meant, and nothing else does."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, insert, select, text, update

from gatectl.central import tables
from gatectl.central.compile import EXIT_GRACE_S, compile_rows
from gatectl.central.database import MIGRATIONS, migrate, open_database, require_current, writing
from gatectl.core.model import (
    Area,
    Calendar,
    CredentialKey,
    DayException,
    DayKind,
    Grant,
    GrantState,
    Household,
    LaneId,
    LaneMode,
    LanePolicy,
    LinkPolicy,
    Passback,
    Profile,
    Schedule,
    WhitelistView,
    Window,
)
from gatectl.wire.view import view_of

END_S = 1_800_000_000
CALENDAR = Calendar(20_454, 20_818, {20_454: DayKind.HOLIDAY, 20_457: DayKind.WORKDAY})


def add_household(conn: Connection, name: str = "h1", **changes: Any) -> str:
    values = {"id": name, "site_id": "danzao", "building": "3", "room": name, "created_at": 0} | changes
    conn.execute(insert(tables.households).values(values))
    return name


def add_person(conn: Connection, name: str = "p1", **changes: Any) -> str:
    values = {"id": name, "household_id": "h1", "site_id": "danzao", "name": "王", "created_at": 0} | changes
    conn.execute(insert(tables.cardholders).values(values))
    return name


def add_credential(conn: Connection, key: str = "em:0A1B2C3D4E", **changes: Any) -> str:
    values = {
        "id": f"c-{key}",
        "site_id": "danzao",
        "household_id": "h1",
        "kind": "plate" if key.startswith("plate:") else "card",
        "key": key,
        "state": "active",
        "created_at": 0,
        "changed_at": 0,
    }
    conn.execute(insert(tables.credentials).values(values | changes))
    return key


def view(conn: Connection, site: str = "danzao", calendar: Calendar = CALENDAR) -> WhitelistView:
    return view_of("e", 1, 0, site, (data for _row, data in compile_rows(conn, site, calendar).values()))


def grant_of(conn: Connection, key: str = "em:0A1B2C3D4E") -> Grant:
    found = view(conn).grants.get(CredentialKey(key))
    assert found is not None
    return found


def test_every_field_of_a_credential_reaches_the_gate(conn: Connection) -> None:
    add_household(conn)
    add_person(conn, extended_open=True)
    add_credential(
        conn,
        cardholder_id="p1",
        valid_from_s=1,
        valid_until_s=END_S,
        profile="courier",
        exit_until_s=END_S + 60,
        max_stay_s=900,
        uses=3,
        has_fixed_space=True,
        asks_guard=True,
        is_duress=True,
        has_no_plate=True,
    )
    assert grant_of(conn) == Grant(
        key=CredentialKey("em:0A1B2C3D4E"),
        state=GrantState.ACTIVE,
        levels=(),
        subject="p1",
        household="h1",
        valid_from_s=1,
        valid_until_s=END_S,
        extended_open=True,
        profile=Profile.COURIER,
        exit_until_s=END_S + 60,
        max_stay_s=900,
        uses=3,
        has_fixed_space=True,
        asks_guard=True,
        is_duress=True,
        has_no_plate=True,
    )


def test_a_person_s_profile_holds_unless_the_credential_has_its_own(conn: Connection) -> None:
    add_household(conn)
    add_person(conn, profile="nanny")
    add_credential(conn, cardholder_id="p1")
    add_credential(conn, "em:0000000001", cardholder_id="p1", profile="decorator")
    assert grant_of(conn).profile is Profile.NANNY
    assert grant_of(conn, "em:0000000001").profile is Profile.DECORATOR


@pytest.mark.parametrize(
    ("own_until_s", "own_exit_s", "until_s", "exit_s"),
    [
        (None, None, END_S, END_S + EXIT_GRACE_S),
        (END_S + 1, END_S + EXIT_GRACE_S + 1, END_S, END_S + EXIT_GRACE_S),
        (END_S - 1, END_S + 1, END_S - 1, END_S + 1),
    ],
)
def test_a_tenancy_caps_what_its_tenants_hold_and_leaves_a_day_to_leave(
    conn: Connection, own_until_s: int | None, own_exit_s: int | None, until_s: int, exit_s: int
) -> None:
    add_household(conn, tenancy_until_s=END_S)
    add_person(conn, profile="tenant")
    add_credential(conn, cardholder_id="p1", valid_until_s=own_until_s, exit_until_s=own_exit_s)
    found = grant_of(conn)
    assert (found.valid_until_s, found.exit_until_s) == (until_s, exit_s)


def test_a_tenancy_does_not_touch_its_landlord(conn: Connection) -> None:
    add_household(conn, tenancy_until_s=END_S)
    add_person(conn)
    add_credential(conn, cardholder_id="p1")
    assert (grant_of(conn).valid_until_s, grant_of(conn).exit_until_s) == (None, None)


def test_a_household_travels_only_when_a_lane_must_know_of_it(conn: Connection) -> None:
    for name in ("h1", "h2", "h3", "h4"):
        add_household(conn, name)
    add_household(conn, "closed", quota=1, closed_at=5)
    conn.execute(update(tables.households).where(tables.households.c.id == "h2").values(quota=0))
    conn.execute(update(tables.households).where(tables.households.c.id == "h3").values(unloading_s=1800))
    add_credential(conn, "plate:粤E22222")
    add_credential(conn, "plate:粤E11111")
    add_credential(conn, "plate:粤E33333", state="revoked")
    add_credential(conn, "plate:粤E44444", profile="visitor")
    add_credential(conn, household_id="h4")
    rows = compile_rows(conn, "danzao")
    assert sorted(name for name in rows if name.startswith("household/")) == [
        "household/h1",
        "household/h2",
        "household/h3",
    ]
    households = view(conn).households
    assert households("h1") == Household("h1", cars=(CredentialKey("plate:粤E11111"), CredentialKey("plate:粤E22222")))
    assert households("h2") == Household("h2", quota=0)
    assert households("h3") == Household("h3", unloading_s=1800)


def test_a_removed_person_s_car_is_nobody_s_and_its_right_is_withdrawn(conn: Connection) -> None:
    add_household(conn)
    add_person(conn, removed_at=7)
    add_credential(conn, "plate:粤E11111", cardholder_id="p1")
    assert grant_of(conn, "plate:粤E11111").state is GrantState.REVOKED
    assert "household/h1" not in compile_rows(conn, "danzao")


def test_schedules_carry_their_exceptions_and_the_calendar(conn: Connection) -> None:
    conn.execute(
        insert(tables.schedules).values(
            id="days",
            site_id="danzao",
            name_zh="日",
            name_en="days",
            windows="[[0, 420, 1200], [7, 540, 660]]",
            follows_calendar=True,
            exceptions="[[20500, 20502, []], [20510, 20510, [[480, 720], [800, 900]]]]",
        )
    )
    seen = view(conn)
    assert seen.schedules["days"] == Schedule(
        "days",
        (Window(0, 420, 1200), Window(7, 540, 660)),
        follows_calendar=True,
        exceptions=(DayException(20500, 20502), DayException(20510, 20510, ((480, 720), (800, 900)))),
    )
    assert seen.calendar == CALENDAR


def test_an_unknown_calendar_is_no_row(conn: Connection) -> None:
    assert "calendar/calendar" not in compile_rows(conn, "danzao", Calendar())


def test_areas_and_lane_policies_arrive_and_defaults_stay_home(conn: Connection) -> None:
    area = {"id": "yard", "site_id": "danzao", "name_zh": "院", "name_en": "yard", "passback": "timed"}
    conn.execute(insert(tables.areas).values(area | {"passback_s": 300, "link_policy": "strict", "capacity": 40}))
    conn.execute(
        insert(tables.lane_policies).values(
            lane_id="south-in",
            mode="held_open",
            mode_until_s=5,
            mode_reason="搬家",
            mode_by="王",
            is_first_card_in=True,
            is_two_person=True,
            interlock="sluice",
            area_to="yard",
            short_stay_s=900,
            is_fire_lane=False,
        )
    )
    conn.execute(insert(tables.lane_policies).values(lane_id="south-walk", mode_by="王"))
    conn.execute(insert(tables.lane_policies).values(lane_id="lake-in", mode="lockdown"))
    seen = view(conn)
    assert seen.areas == {"yard": Area("yard", Passback.TIMED, 300, LinkPolicy.STRICT, 40)}
    assert seen.policies == {
        LaneId("south-in"): LanePolicy(
            LaneId("south-in"),
            mode=LaneMode.HELD_OPEN,
            mode_until_s=5,
            is_first_card_in=True,
            is_two_person=True,
            interlock="sluice",
            area_to="yard",
            short_stay_s=900,
            is_fire_lane=False,
        )
    }
    assert view(conn, "xianhu").policies[LaneId("lake-in")].mode is LaneMode.LOCKDOWN
    assert "王".encode() not in b"".join(data for _row, data in compile_rows(conn, "danzao").values())


def test_keys_in_force_and_the_site_s_salt_arrive(conn: Connection) -> None:
    assert (view(conn).issuers, view(conn).code_salt) == ({}, b"")
    for kid, retired_at in (("old", 5), ("new", None)):
        issuer = {"site_id": "danzao", "kid": kid, "public_key": "ab" * 32, "created_at": 0, "retired_at": retired_at}
        conn.execute(insert(tables.pass_issuers).values(issuer))
    conn.execute(insert(tables.site_settings).values(site_id="danzao", code_salt="0f" * 16))
    seen = view(conn)
    assert (seen.issuers, seen.code_salt) == ({"new": b"\xab" * 32}, b"\x0f" * 16)


def fill(conn: Connection, credentials: int) -> None:
    homes = credentials // 4
    conn.execute(
        insert(tables.households),
        [
            {"id": f"h{n}", "site_id": "danzao", "building": "1", "room": str(n), "created_at": 0, "quota": 1}
            for n in range(homes)
        ],
    )
    conn.execute(
        insert(tables.credentials),
        [
            {
                "id": f"c{n}",
                "site_id": "danzao",
                "household_id": f"h{n % homes}",
                "kind": "card",
                "key": f"plate:粤E{n:05d}" if n % 3 == 0 else f"em:{n:010X}",
                "state": "active",
                "created_at": 0,
                "changed_at": 0,
            }
            for n in range(credentials)
        ],
    )


def test_twenty_thousand_credentials_compile_to_the_same_rows_each_time(conn: Connection) -> None:
    fill(conn, 20_000)
    rows = compile_rows(conn, "danzao", CALENDAR)
    assert len(rows) == 20_000 + 5_000 + 1
    assert rows == compile_rows(conn, "danzao", CALENDAR)


# --- an old database goes forward ---


OLD_ROWS = """
INSERT INTO sites (id, name_zh, name_en) VALUES ('danzao', '丹灶', 'Danzao');
INSERT INTO gates (id, site_id, name_zh, name_en) VALUES ('south', 'danzao', '南', 'South');
INSERT INTO lanes VALUES ('south-in', 'south', 'vehicle', 'in', '进', 'in');
INSERT INTO households VALUES ('h1', 'danzao', '3', '', '501', 1, NULL);
INSERT INTO cardholders VALUES ('p1', 'h1', 'danzao', '王', '', 'owner', false, 1, NULL);
INSERT INTO schedules VALUES ('days', 'danzao', '日', 'days', '[[0, 1, 2]]');
INSERT INTO credentials
  VALUES ('c1', 'danzao', 'h1', 'p1', 'card', 'em:0A1B2C3D4E', 'active', NULL, 9, NULL, '', 1, 1);
INSERT INTO commands
  VALUES ('k1', 'south', 'south-in', 'open', 'visitor', '', 'office', 'confirmed', '', '', 1, NULL, 1)
"""


@pytest.fixture
def old_url(tmp_path: Path) -> str:
    """A database as the first release made it, with rows in it."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = open_database(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with writing(engine) as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0001")
        for statement in OLD_ROWS.split(";"):
            conn.execute(text(statement))
    engine.dispose()
    return url


def test_a_database_of_the_first_release_goes_forward_with_its_rows_and_twice_is_harmless(old_url: str) -> None:
    migrate(old_url)
    migrate(old_url)
    engine = open_database(old_url)
    require_current(engine)
    with writing(engine) as conn:
        assert grant_of(conn) == Grant(
            CredentialKey("em:0A1B2C3D4E"), GrantState.ACTIVE, (), "p1", "h1", valid_until_s=9
        )
        assert view(conn).schedules["days"] == Schedule("days", (Window(0, 1, 2),))
        assert conn.execute(select(tables.households.c.quota, tables.households.c.is_card_for_car)).one() == (None, 1)
        assert conn.execute(select(tables.cardholders.c.relation, tables.cardholders.c.profile)).one() == (
            "owner",
            "resident",
        )
        assert conn.execute(select(tables.commands.c.action, tables.commands.c.state)).one() == ("open", "confirmed")
        conn.execute(update(tables.commands).values(action="emergency_release"))
    engine.dispose()


def test_the_way_back_keeps_what_the_first_release_knew(old_url: str) -> None:
    migrate(old_url)
    engine = open_database(old_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with writing(engine) as conn:
        config.attributes["connection"] = conn
        command.downgrade(config, "0001")
        assert conn.execute(text("SELECT key, valid_until_s FROM credentials")).one() == ("em:0A1B2C3D4E", 9)
        assert "profile" not in conn.execute(text("SELECT * FROM credentials")).one()._fields
    engine.dispose()
