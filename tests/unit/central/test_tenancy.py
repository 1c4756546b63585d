"""Tenancies, moving out, and what a person's cards are given: as the gates decide on it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, select, update

from gatectl.central import compile as compiler
from gatectl.central import residents, rules, tables, tenancy, visitors
from gatectl.central.audit import now_ms
from gatectl.core.decide import decide
from gatectl.core.model import (
    Attempt,
    ClockTrust,
    CredentialKey,
    Direction,
    GrantState,
    Lane,
    LaneId,
    LaneKind,
    LaneState,
    Profile,
    WhitelistView,
)
from gatectl.core.reasons import Reason
from gatectl.errors import NotFoundError, RefusedError
from gatectl.wire.view import view_of

CARD, SECOND = "0A1B2C3D4E", "0A1B2C3D4F"
DAY_S = 86_400
MONDAY_NOON = int(datetime(2026, 5, 11, 4, 0, tzinfo=UTC).timestamp())  # 12:00 site time
WALK_IN = Lane(LaneId("south-walk"), LaneKind.PEDESTRIAN, Direction.IN)
WALK_OUT = Lane(LaneId("south-walk"), LaneKind.PEDESTRIAN, Direction.OUT)


@pytest.fixture
def home(conn: Connection) -> str:
    return residents.add_household(conn, "chen", "danzao", "3", "2", "501")


@pytest.fixture
def person(conn: Connection, home: str) -> str:
    return residents.add_person(conn, "chen", home, "张小三", relation="tenant")


def the_view(conn: Connection) -> WhitelistView:
    rows = compiler.compile_rows(conn, "danzao")
    return view_of("e", 1, 0, "danzao", (data for _, data in rows.values()))


def reason(conn: Connection, at_s: int, lane: Lane = WALK_IN, card: str = CARD) -> Reason:
    at = datetime.fromtimestamp(at_s, UTC)
    attempt = Attempt("a", lane.id, lane.direction, at, "r", key=CredentialKey(f"em:{card}"))
    return decide(attempt, the_view(conn), LaneState(lane, None, ClockTrust.SYNCED)).reason


def test_a_tenants_card_stops_with_the_tenancy_and_is_known_at_the_exit_for_a_day(
    conn: Connection, home: str, person: str
) -> None:
    residents.issue_card(conn, "chen", person, CARD)
    end_s = now_ms() // 1000 + DAY_S
    tenancy.set_tenancy(conn, "chen", home, end_s)
    assert reason(conn, end_s - 1) is Reason.CARD_OK
    assert reason(conn, end_s) is Reason.CARD_EXPIRED
    grant = the_view(conn).grants.get(CredentialKey(f"em:{CARD}"))
    assert grant is not None
    assert (grant.valid_until_s, grant.exit_until_s) == (end_s, end_s + DAY_S)
    tenancy.set_tenancy(conn, "chen", home, None)
    assert reason(conn, end_s) is Reason.CARD_OK


def test_the_cars_of_a_let_flat_are_the_tenants_and_the_owners_card_is_not(
    conn: Connection, home: str, person: str
) -> None:
    assert person
    owner = residents.add_person(conn, "chen", home, "李房东", relation="owner")
    residents.issue_card(conn, "chen", owner, SECOND)
    residents.add_vehicle(conn, "chen", home, "粤E12345")
    end_s = now_ms() // 1000 + DAY_S
    tenancy.set_tenancy(conn, "chen", home, end_s)
    residents.add_vehicle(conn, "chen", home, "粤E54321")
    view = the_view(conn)
    for plate in ("粤E12345", "粤E54321"):
        grant = view.grants.get(CredentialKey(f"plate:{plate}"))
        assert grant is not None
        assert (grant.profile, grant.valid_until_s) == (Profile.TENANT, end_s)
    assert reason(conn, end_s, card=SECOND) is Reason.CARD_OK
    tenancy.set_tenancy(conn, "chen", home, None)
    profiles = conn.execute(select(tables.credentials.c.profile).where(tables.credentials.c.kind == "plate"))
    assert set(profiles.scalars()) == {"resident"}


def test_an_older_tenant_becomes_one_for_the_gates_too_when_the_flat_is_let(
    conn: Connection, home: str, person: str
) -> None:
    card = residents.issue_card(conn, "chen", person, CARD)
    for table in (tables.cardholders, tables.credentials):  # as an import before profiles left them
        conn.execute(update(table).values(profile="resident"))
    tenancy.set_tenancy(conn, "chen", home, now_ms() // 1000 + 60)
    row = conn.execute(select(tables.credentials.c.profile).where(tables.credentials.c.id == card)).scalar_one()
    assert row == "tenant"
    assert tenancy.terms_of(conn, person).profile is Profile.TENANT


def test_a_tenancy_of_more_than_thirty_years_is_a_slip(conn: Connection, home: str) -> None:
    with pytest.raises(RefusedError, match="30 years"):
        tenancy.set_tenancy(conn, "chen", home, now_ms() // 1000 + 40 * 366 * DAY_S)
    with pytest.raises(NotFoundError):
        tenancy.set_tenancy(conn, "chen", "none", None)


def test_tenancies_that_end_soon_are_listed_until_their_cards_are_taken_back(
    conn: Connection, home: str, person: str
) -> None:
    now_s = now_ms() // 1000
    residents.issue_card(conn, "chen", person, CARD)
    tenancy.set_tenancy(conn, "chen", home, now_s + 5 * DAY_S)
    assert tenancy.endings(conn, "danzao", now_s + 5 * DAY_S) == ()
    (soon,) = tenancy.endings(conn, None, now_s + 14 * DAY_S)
    assert (soon.door, soon.credentials, soon.until_s) == ("3-2-501", 1, now_s + 5 * DAY_S)
    assert tenancy.endings(conn, "xianhu", now_s + 14 * DAY_S) == ()
    tenancy.move_out(conn, "chen", home)
    assert tenancy.endings(conn, None, now_s + 14 * DAY_S) == ()


def test_moving_out_ends_people_cards_cars_the_tenancy_and_visits_to_come(
    conn: Connection, home: str, person: str
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    residents.issue_card(conn, "chen", person, CARD)
    residents.add_vehicle(conn, "chen", home, "粤E12345")
    tenancy.set_tenancy(conn, "chen", home, now_ms() // 1000 + DAY_S)
    begin_s = now_ms() // 60_000 * 60
    guest = visitors.Visit(home, "王", begin_s, begin_s + 3600)
    made = visitors.invite(conn, "chen", guest, Ed25519PrivateKey.generate())
    revoked = tenancy.move_out(conn, "chen", home)
    assert {row.kind for row in revoked} == {"card", "plate", "code"}
    view = residents.household(conn, home)
    assert view is not None
    assert (view.members, view.tenancy_until_s) == ((), None)
    assert {card.state for card in view.cards} | {car.state for car in view.vehicles} == {GrantState.REVOKED}
    visit = visitors.visit(conn, made.id)
    assert visit.state == "cancelled"
    withdrawn = the_view(conn).grants.get(CredentialKey(f"pass:{visit.pass_nonce}"))
    assert withdrawn is not None
    assert withdrawn.state is GrantState.REVOKED
    assert reason(conn, MONDAY_NOON) is Reason.CARD_REVOKED


def test_a_nanny_comes_on_her_days_and_hours_with_every_card_and_to_its_end(conn: Connection, person: str) -> None:
    residents.issue_card(conn, "chen", person, CARD)
    level = rules.level_for_hours(conn, "chen", "danzao", "mon-fri 08:00-18:00")
    end_s = now_ms() // 1000 + 3650 * DAY_S
    tenancy.set_terms(conn, "chen", person, tenancy.Terms(Profile.NANNY, level, end_s, 3600))
    residents.issue_card(conn, "chen", person, SECOND)
    for card in (CARD, SECOND):
        assert reason(conn, MONDAY_NOON, card=card) is Reason.CARD_OK
        assert reason(conn, MONDAY_NOON + 6 * 3600, card=card) is Reason.OUT_OF_SCHEDULE
        assert reason(conn, MONDAY_NOON - DAY_S, card=card) is Reason.OUT_OF_SCHEDULE
        grant = the_view(conn).grants.get(CredentialKey(f"em:{card}"))
        assert grant is not None
        assert (grant.profile, grant.valid_until_s, grant.max_stay_s) == (Profile.NANNY, end_s, 3600)
    assert tenancy.terms_of(conn, person) == tenancy.Terms(Profile.NANNY, level, end_s, 3600)
    tenancy.set_terms(conn, "chen", person, tenancy.Terms(Profile.FAMILY))
    assert reason(conn, MONDAY_NOON - DAY_S) is Reason.CARD_OK


def test_the_same_hours_in_other_words_are_the_same_level(conn: Connection) -> None:
    english = rules.level_for_hours(conn, "chen", "danzao", "mon-fri 08:00-18:00")
    assert rules.level_for_hours(conn, "chen", "danzao", "周一至周五 8:00-18:00") == english
    assert rules.level_for_hours(conn, "chen", "danzao", "mon-sat 08:00-18:00") != english
    row = conn.execute(select(tables.access_levels).where(tables.access_levels.c.id == english)).one()
    assert (row.name_zh, row.name_en) == ("周一至周五 08:00-18:00", "mon-fri 08:00-18:00")
    with pytest.raises(RefusedError):
        rules.level_for_hours(conn, "chen", "danzao", "")


def test_terms_that_make_no_sense_are_refused_and_change_nothing(conn: Connection, person: str) -> None:
    before = tenancy.terms_of(conn, person)
    for wrong in (
        tenancy.Terms(until_s=now_ms() // 1000 - 60),
        tenancy.Terms(max_stay_s=8 * DAY_S),
        tenancy.Terms(max_stay_s=-1),
    ):
        with pytest.raises(RefusedError):
            tenancy.set_terms(conn, "chen", person, wrong)
    with pytest.raises(NotFoundError, match="rule list"):
        tenancy.set_terms(conn, "chen", person, tenancy.Terms(level_id="moon"))
    with pytest.raises(NotFoundError):
        tenancy.terms_of(conn, "nobody")
    assert tenancy.terms_of(conn, person) == before


def test_a_card_for_a_car_without_plates_ends_with_its_paper_plate(conn: Connection, person: str) -> None:
    end_s = now_ms() // 1000 + 30 * DAY_S
    residents.issue_card(conn, "chen", person, CARD, has_no_plate=True, until_s=end_s)
    grant = the_view(conn).grants.get(CredentialKey(f"em:{CARD}"))
    assert grant is not None
    assert (grant.has_no_plate, grant.valid_until_s) == (True, end_s)
    with pytest.raises(RefusedError, match="past"):
        residents.issue_card(conn, "chen", person, SECOND, until_s=1)


def test_a_fixed_space_goes_into_the_list_and_can_be_taken_back(conn: Connection, home: str) -> None:
    car = residents.add_vehicle(conn, "chen", home, "粤E12345")
    key = CredentialKey("plate:粤E12345")
    for is_fixed in (True, False):
        assert residents.set_fixed_space(conn, "chen", "粤E12345", is_fixed) == car
        grant = the_view(conn).grants.get(key)
        assert grant is not None
        assert grant.has_fixed_space is is_fixed
    with pytest.raises(NotFoundError):
        residents.set_fixed_space(conn, "chen", "粤E99999", True)


def test_a_plate_may_come_again_for_another_visit_and_the_old_visit_cannot_end_it(conn: Connection, home: str) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, begin_s = Ed25519PrivateKey.generate(), now_ms() // 60_000 * 60
    first = visitors.invite(conn, "chen", visitors.Visit(home, "王", begin_s, begin_s + 3600, plate="粤E77777"), key)
    again = visitors.Visit(home, "王", begin_s + 7200, begin_s + 9000, plate="粤E77777")
    with pytest.raises(RefusedError, match="has a right here"):
        visitors.invite(conn, "chen", again, key)
    mine = tables.credentials.c.key == "plate:粤E77777"
    over = {"valid_from_s": begin_s - 7200, "valid_until_s": begin_s - 60}
    conn.execute(update(tables.credentials).where(mine).values(**over))
    conn.execute(update(tables.visits).where(tables.visits.c.id == first.id).values(**over))
    visitors.invite(conn, "chen", again, key)
    visitors.cancel(conn, "chen", first.id)
    state = conn.execute(select(tables.credentials.c.state).where(mine)).scalar_one()
    assert state == GrantState.ACTIVE


@pytest.mark.parametrize(
    ("state", "from_s", "until_s", "shown"),
    [
        ("issued", 0, 100, "issued"),
        ("issued", 51, 100, "expected"),
        ("issued", 0, 50, "expired"),
        ("arrived", 0, 100, "arrived"),
        ("arrived", 0, 50, "overstay"),
        ("left", 0, 10, "left"),
        ("cancelled", 0, 100, "cancelled"),
    ],
)
def test_a_visit_is_shown_as_it_stands_now(
    conn: Connection, home: str, state: str, from_s: int, until_s: int, shown: str
) -> None:
    values = {"id": "v", "site_id": "danzao", "household_id": home, "visitor_name": "王", "created_at": 0}
    conn.execute(tables.visits.insert().values(**values, state=state, valid_from_s=from_s, valid_until_s=until_s))
    assert visitors.visit_state(visitors.visit(conn, "v"), 50) == shown
