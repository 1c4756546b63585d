"""Who is inside, read and corrected by the office; the gates end up with the same count."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, insert, select
from test_presence import CAR, ENTRY, Gates, gates, yard  # noqa: F401 - its fixtures

from gatectl.central import inside, presence, residents, rules, tables
from gatectl.core.model import CredentialKey, Occupancy
from gatectl.core.occupancy import crossed
from gatectl.edge.presence import Presence
from gatectl.errors import NotFoundError, RefusedError
from gatectl.wire.messages import Passages

SITE = "danzao"
NOBODY = Occupancy()


@pytest.fixture
def car(conn: Connection) -> str:
    """粤E12345 of 3-2-501, with a garage and a yard at the site."""
    home = residents.add_household(conn, "chen", SITE, "3", "2", "501")
    residents.add_vehicle(conn, "chen", home, "粤E12345")
    rules.set_area(conn, "chen", SITE, "garage", capacity=2, name="车库")
    rules.set_area(conn, "chen", SITE, "yard")
    return CAR


def heard(conn: Connection, before: Occupancy = NOBODY) -> Presence:
    """A gate that hears every correction which is waiting."""
    gate = Presence()
    gate.occupancy = before
    for news in inside.take_waiting(conn):
        gate.heard(Passages.model_validate_json(news.model_dump_json()), "south")
    return gate


def counts(conn: Connection) -> dict[str, tuple[int, int, int]]:
    return {area.id: (area.people, area.vehicles, area.strangers) for area in inside.stand(conn, SITE).areas}


def test_a_car_is_put_inside_moved_and_taken_out_and_the_gates_follow(conn: Connection, car: str) -> None:
    inside.correct(conn, "chen", SITE, "粤E·12345", "garage", "stock-take")
    (present,) = inside.stand(conn, SITE).present
    assert (present.subject, present.area, present.door, present.plate) == (car, "garage", "3-2-501", "粤E12345")
    assert counts(conn)["garage"] == (0, 1, 0)
    gate = heard(conn)
    assert gate.occupancy.vehicles["garage"] == 1
    assert gate.occupancy.cars == {present.household_id: frozenset({car})}
    inside.correct(conn, "chen", SITE, car, "yard", "stands in the yard")
    gate = heard(conn, gate.occupancy)
    assert (gate.occupancy.vehicles["garage"], gate.occupancy.inside[car].area) == (0, "yard")
    inside.correct(conn, "chen", SITE, car, "", "it is gone")
    gate = heard(conn, gate.occupancy)
    assert car not in gate.occupancy.inside
    assert set(gate.occupancy.vehicles.values()) == {0}
    assert inside.stand(conn, SITE).present == ()


def test_corrections_wait_once_in_order_and_each_for_its_site(conn: Connection, car: str) -> None:
    assert not inside.is_waiting(conn)
    inside.correct(conn, "chen", SITE, car, "garage", "stock-take")
    inside.correct(conn, "chen", SITE, car, "", "no, it left")
    assert inside.is_waiting(conn)
    news = inside.take_waiting(conn)
    assert [(one.site, [(item.dir, item.gate) for item in one.items]) for one in news] == [
        (SITE, [("in", "")]),
        (SITE, [("out", "")]),
    ]
    assert not inside.is_waiting(conn)


def test_a_correction_needs_a_reason_somebody_and_an_area_that_exists(conn: Connection, car: str) -> None:
    with pytest.raises(RefusedError, match="reason"):
        inside.correct(conn, "chen", SITE, car, "garage", " ")
    with pytest.raises(NotFoundError, match="garage, yard"):
        inside.correct(conn, "chen", SITE, car, "moon", "stock-take")
    with pytest.raises(NotFoundError, match="neither inside nor registered"):
        inside.correct(conn, "chen", SITE, "粤E99999", "garage", "stock-take")
    with pytest.raises(NotFoundError):
        inside.correct(conn, "chen", "xianhu", car, "", "other site")
    with pytest.raises(RefusedError, match="known already"):
        inside.correct(conn, "chen", SITE, car, "", "it is not here")
    assert not inside.is_waiting(conn)


def test_a_correction_stands_in_the_audit_with_who_why_and_no_plate(conn: Connection, car: str) -> None:
    inside.correct(conn, "chen", SITE, car, "garage", "盘点")
    row = conn.execute(select(tables.audit).where(tables.audit.c.action == "inside.correct")).one()
    assert (row.actor, row.detail) == ("chen", "- → garage: 盘点")
    assert "E12345" not in row.subject


def test_a_person_inside_is_named_and_can_be_taken_out_by_id(conn: Connection, car: str) -> None:
    home = residents.household(conn, residents.find_household(conn, SITE, "3-2-501") or "")
    assert home is not None
    person = residents.add_person(conn, "chen", home.id, "张小三")
    inside.correct(conn, "chen", SITE, person, "yard", "came in by the tradesmen's door")
    (present,) = inside.stand(conn, SITE, "yard").present
    assert (present.name, present.plate, present.is_vehicle) == ("张小三", "", False)
    assert counts(conn)["yard"] == (1, 0, 0)
    inside.correct(conn, "chen", SITE, person, "", "went home")
    assert inside.stand(conn, SITE, "yard").present == ()


@pytest.mark.parametrize(("before", "after"), [(0, 3), (3, 1), (5, 0)])
def test_unknown_vehicles_are_set_to_a_number_that_the_gates_reach_too(
    conn: Connection, car: str, before: int, after: int
) -> None:
    assert car
    if before:
        conn.execute(insert(tables.strangers).values(site_id=SITE, area="garage", vehicles=before))
    inside.correct_strangers(conn, "chen", SITE, "garage", after, "counted by hand")
    assert counts(conn)["garage"] == (0, 0, after)
    start = Occupancy(vehicles={"garage": before})
    assert heard(conn, start).occupancy.vehicles["garage"] == after


def test_unknown_vehicles_are_not_set_to_what_they_are_nor_too_far_away(conn: Connection, car: str) -> None:
    assert car
    for count in (0, -1, inside.MAX_STRANGERS_AT_ONCE + 1):
        with pytest.raises(RefusedError):
            inside.correct_strangers(conn, "chen", SITE, "garage", count, "counted")
    with pytest.raises(NotFoundError):
        inside.correct_strangers(conn, "chen", SITE, "moon", 1, "counted")


def test_a_late_entry_from_before_the_correction_brings_nobody_back(gates: Gates, yard: Connection) -> None:  # noqa: F811
    rules.set_area(yard, "chen", SITE, "yard")
    late = gates.write(gates.event(5, credential=CredentialKey(CAR), crossing=ENTRY))
    gates.passed(0, credential=CredentialKey(CAR), crossing=ENTRY)
    inside.correct(yard, "chen", SITE, CAR, "", "not here any more")
    gates.send(late)
    assert inside.stand(yard, SITE).present == ()


def test_free_places_and_overdue_guests_are_told(conn: Connection, car: str) -> None:
    inside.correct(conn, "chen", SITE, car, "garage", "stock-take")
    inside.correct_strangers(conn, "chen", SITE, "garage", 1, "counted")
    garage, open_air = inside.stand(conn, SITE).areas
    assert (garage.name_zh, garage.free, open_air.free) == ("车库", 0, None)
    since = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp() * 1000)
    one = inside.Present("em:1", "garage", since, False, "", "", "", 900, "")
    assert not one.is_overdue(since + 900_000)
    assert one.is_overdue(since + 900_001)
    row = inside.as_row(one, since, "张*")
    assert (row["since"], row["name"], row["is_overdue"]) == ("2026-05-01T00:00:00+00:00", "张*", False)


def test_central_and_gate_count_the_same_after_passages_and_corrections(gates: Gates, yard: Connection) -> None:  # noqa: F811
    rules.set_area(yard, "chen", SITE, "yard")
    rules.set_area(yard, "chen", SITE, "garage")
    gate = Occupancy()
    for item in gates.passed(0, credential=CredentialKey(CAR), crossing=ENTRY):
        gate = crossed(
            gate,
            subject=item.subject,
            area_from=item.area_from,
            area_to=item.area_to,
            at_s=0,
            household=item.household,
            is_vehicle=item.is_vehicle,
        )
    inside.correct(yard, "chen", SITE, CAR, "garage", "stands in the garage")
    after = heard(yard, gate).occupancy
    central = presence.inside_list(yard, SITE, datetime.now(UTC))
    assert {entry.subject: entry.area for entry in central.inside} == {
        subject: where.area for subject, where in after.inside.items()
    }
    assert after.vehicles == {"yard": 0, "garage": 1}
