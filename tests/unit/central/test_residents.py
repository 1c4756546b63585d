"""Households, people, cards, vehicles: find, add, change, revoke."""

import pytest
from sqlalchemy import Connection, func, select, update

from gatectl.central import residents, tables
from gatectl.central.audit import now_ms
from gatectl.core.model import GrantState, PlateColour
from gatectl.errors import NotFoundError, RefusedError

CARD = "0A1B2C3D4E"


@pytest.fixture
def home(conn: Connection) -> str:
    """3-2-501 at danzao."""
    return residents.add_household(conn, "chen", "danzao", "3", "2", "501")


@pytest.fixture
def person(conn: Connection, home: str) -> str:
    """张小三 of 3-2-501."""
    return residents.add_person(conn, "chen", home, "张小三", "138 0013 1234", "owner")


def _dirty(conn: Connection) -> list[tuple[str, bool]]:
    return [(row.site_id, bool(row.is_urgent)) for row in conn.execute(select(tables.list_dirty))]


def _found(conn: Connection, query: str, site: str | None = None) -> list[tuple[str, str]]:
    return [(row.name, row.matched) for row in residents.find_people(conn, query, site)]


def _state(conn: Connection, credential_id: str) -> str:
    found = tables.credentials.c
    return str(conn.execute(select(found.state).where(found.id == credential_id)).scalar_one())


def _levels(conn: Connection, credential_id: str) -> list[str]:
    found = tables.credential_levels.c
    return list(conn.execute(select(found.level_id).where(found.credential_id == credential_id)).scalars())


def test_a_person_is_found_by_name_room_phone_tail_card_and_plate_part(
    conn: Connection, home: str, person: str
) -> None:
    other = residents.add_household(conn, "chen", "xianhu", "3", "", "501")
    residents.add_person(conn, "chen", other, "李四")
    residents.issue_card(conn, "chen", person, CARD)
    residents.add_vehicle(conn, "chen", home, "粤E12345")
    assert _found(conn, "小三") == [("张小三", "name")]
    assert _found(conn, "3-2-501") == [("张小三", "room")]
    assert _found(conn, "3-501") == [("张小三", "room"), ("李四", "room")]
    assert _found(conn, "501", site="xianhu") == [("李四", "room")]
    assert _found(conn, "1234") == [("张小三", "phone")]
    assert _found(conn, "e123") == [("张小三", "plate")]
    assert _found(conn, "粤E·12345") == [("张小三", "plate")]
    view = residents.household(conn, home)
    assert view is not None
    for form in view.cards[0].forms.values():
        assert ("张小三", "card") in _found(conn, form), form
    assert _found(conn, "%") == []
    assert _found(conn, "_小_") == []
    assert {name for name, _ in _found(conn, "")} == {"张小三", "李四"}


def test_a_search_hit_counts_live_cards_and_vehicles_and_masks_on_request(
    conn: Connection, home: str, person: str
) -> None:
    card = residents.issue_card(conn, "chen", person, CARD)
    residents.add_vehicle(conn, "chen", home, "粤E12345")
    row = residents.person(conn, person)
    assert (row.cards, row.vehicles, row.door) == (1, 1, "3-2-501")
    assert (row.masked_name, row.masked_phone) == ("张*三", "138****1234")
    residents.set_card_state(conn, "chen", card, GrantState.REVOKED)
    assert residents.person(conn, person).cards == 0


def test_a_household_without_members_is_found_by_its_room(conn: Connection, home: str) -> None:
    rows = residents.find_people(conn, "3-2-501")
    assert [(row.person_id, row.household_id) for row in rows] == [("", home)]


@pytest.mark.parametrize(
    ("name", "masked"), [("", ""), ("张", "张"), ("张三", "张*"), ("张小三", "张*三"), ("欧阳小三", "欧*三")]
)
def test_a_masked_name_keeps_its_ends(name: str, masked: str) -> None:
    assert residents.mask_name(name) == masked


@pytest.mark.parametrize(
    ("phone", "masked"),
    [("", ""), ("13800131234", "138****1234"), ("12345678", "123*5678"), ("8765", "**65"), ("9", "9")],
)
def test_a_masked_phone_hides_its_middle(phone: str, masked: str) -> None:
    assert residents.mask_phone(phone) == masked


def test_a_new_card_opens_every_lane_and_a_vehicle_the_vehicle_lanes(conn: Connection, home: str, person: str) -> None:
    card = residents.issue_card(conn, "chen", person, CARD)
    car = residents.add_vehicle(conn, "chen", home, "粤E12345")
    lanes = tables.access_level_lanes.c
    reach = {
        credential: set(
            conn.execute(select(lanes.lane_id).where(lanes.level_id.in_(_levels(conn, credential)))).scalars()
        )
        for credential in (card, car)
    }
    assert reach == {card: {"south-in", "south-walk", "north-out"}, car: {"south-in", "north-out"}}
    assert ("danzao", False) in _dirty(conn)


def test_a_card_in_use_is_refused_with_words_that_name_the_holder_masked(
    conn: Connection, home: str, person: str
) -> None:
    second = residents.add_person(conn, "chen", home, "王五")
    card = residents.issue_card(conn, "chen", person, CARD)
    forms = residents.household(conn, home).cards[0].forms  # type: ignore[union-attr] # the fixture made it
    for form in (CARD, *forms.values()):
        with pytest.raises(RefusedError, match=r"3-2-501 张\*三"):
            residents.issue_card(conn, "chen", second, form)
    residents.set_card_state(conn, "chen", card, GrantState.LOST)
    with pytest.raises(RefusedError, match="lost"):
        residents.issue_card(conn, "chen", second, CARD)


def test_a_revoked_card_can_be_given_to_another_person(conn: Connection, home: str, person: str) -> None:
    second = residents.add_person(conn, "chen", home, "王五")
    card = residents.issue_card(conn, "chen", person, CARD)
    residents.set_card_state(conn, "chen", card, GrantState.REVOKED)
    again = residents.issue_card(conn, "chen", second, CARD)
    view = residents.household(conn, home)
    assert view is not None
    assert [(c.id, c.person_name, c.state) for c in view.cards] == [(again, "王五", "active")]
    assert len(_levels(conn, again)) == 1


def test_the_same_card_may_be_used_at_another_site_and_then_the_site_must_be_said(
    conn: Connection, person: str
) -> None:
    other = residents.add_household(conn, "chen", "xianhu", "3", "", "501")
    neighbour = residents.add_person(conn, "chen", other, "李四")
    residents.issue_card(conn, "chen", person, CARD)
    there = residents.issue_card(conn, "chen", neighbour, CARD)
    with pytest.raises(RefusedError, match="danzao 3-2-501, xianhu 3-501"):
        residents.set_card_state(conn, "chen", CARD, GrantState.LOST)
    assert residents.set_card_state(conn, "chen", CARD, GrantState.LOST, site="xianhu") == there


@pytest.mark.parametrize("state", [GrantState.LOST, GrantState.REVOKED, GrantState.ACTIVE])
def test_a_card_state_is_urgent_and_written_down_without_the_number(
    conn: Connection, person: str, state: GrantState
) -> None:
    card = residents.issue_card(conn, "chen", person, CARD)
    residents.set_card_state(conn, "chen", CARD, state, note="found at the desk")
    assert _state(conn, card) == state
    assert _dirty(conn)[-1] == ("danzao", True)
    details = " ".join(conn.execute(select(tables.audit.c.detail)).scalars())
    assert CARD not in details
    assert "13800131234" not in details
    assert "…3D4E" in details


def test_nonsense_is_refused_with_words(conn: Connection, home: str, person: str) -> None:
    with pytest.raises(RefusedError, match="not a card number"):
        residents.issue_card(conn, "chen", person, "hello")
    with pytest.raises(RefusedError, match="not a plate"):
        residents.add_vehicle(conn, "chen", home, "ABC")
    with pytest.raises(RefusedError, match="cannot be"):
        residents.add_vehicle(conn, "chen", home, "粤ED12345", PlateColour.BLUE)
    with pytest.raises(RefusedError):
        residents.add_household(conn, "chen", "danzao", "", "", "501")
    with pytest.raises(RefusedError, match="exists already"):
        residents.add_household(conn, "chen", "danzao", "3", "2", "501")
    for name, phone, relation in (("", "", ""), ("王", "call me", ""), ("王", "", "king")):
        with pytest.raises(RefusedError):
            residents.add_person(conn, "chen", home, name, phone, relation)
    for call in (
        lambda: residents.add_household(conn, "chen", "none", "1", "1", "1"),
        lambda: residents.add_person(conn, "chen", "none", "王五"),
        lambda: residents.issue_card(conn, "chen", "none", CARD),
        lambda: residents.add_vehicle(conn, "chen", "none", "粤E12345"),
        lambda: residents.set_card_state(conn, "chen", "none", GrantState.LOST),
        lambda: residents.revoke_vehicle(conn, "chen", "粤E12345"),
        lambda: residents.edit_person(conn, "chen", "none", name="王五"),
    ):
        with pytest.raises(NotFoundError):
            call()


def test_a_vehicle_takes_its_colour_from_its_plate(conn: Connection, home: str) -> None:
    residents.add_vehicle(conn, "chen", home, "粤e·d12345")
    view = residents.household(conn, home)
    assert view is not None
    assert [(car.plate, car.colour) for car in view.vehicles] == [("粤ED12345", "green")]


def test_near_identical_plates_of_the_site_are_named(conn: Connection, home: str) -> None:
    other = residents.add_household(conn, "chen", "xianhu", "1", "1", "101")
    for plate in ("粤E12345", "粤E12845", "粤E12B45", "粤E99999"):
        residents.add_vehicle(conn, "chen", home, plate)
    residents.add_vehicle(conn, "chen", other, "粤E12346")
    gone = residents.add_vehicle(conn, "chen", home, "粤E12347")
    residents.revoke_vehicle(conn, "chen", gone)
    assert residents.near_plates(conn, "danzao", "粤E12345") == ("粤E12845", "粤E12B45")
    assert residents.near_plates(conn, "danzao", "nonsense") == ()


def test_a_changed_plate_leaves_the_old_one_known_at_the_exit_for_three_days(conn: Connection, home: str) -> None:
    old = residents.add_vehicle(conn, "chen", home, "粤E12345", has_fixed_space=True)
    new = residents.edit_vehicle(conn, "chen", "粤E12345", "粤E54321")
    now_s = now_ms() // 1000
    view = residents.household(conn, home)
    assert view is not None
    assert [(car.id, car.plate) for car in view.vehicles] == [(new, "粤E54321"), (old, "粤E12345")]
    fresh, gone = view.vehicles
    assert (fresh.has_fixed_space, gone.has_fixed_space) == (True, False)
    assert residents.standing(gone.state, gone.valid_from_s, gone.valid_until_s, now_s) == "expired"
    assert gone.exit_until_s is not None
    assert abs(gone.exit_until_s - now_s - 3 * 86_400) <= 5
    assert "粤E54321" in gone.note
    assert ("danzao", True) in _dirty(conn)
    with pytest.raises(RefusedError, match="anew"):
        residents.edit_vehicle(conn, "chen", old, "粤E11111")
    back = residents.edit_vehicle(conn, "chen", new, "粤E12345")
    view = residents.household(conn, home)
    assert view is not None
    assert (back, view.vehicles[0].id, view.vehicles[0].valid_until_s) == (old, old, None)
    assert view.vehicles[0].exit_until_s is None


def test_a_plate_in_its_days_of_grace_warns_nobody_and_may_be_registered_by_its_next_owner(
    conn: Connection, home: str
) -> None:
    residents.add_vehicle(conn, "chen", home, "粤E12345")
    residents.edit_vehicle(conn, "chen", "粤E12345", "粤E12346")
    assert [near.plate for near in residents.near_vehicles(conn, "danzao", "粤E12345")] == ["粤E12346"]
    assert residents.near_vehicles(conn, "danzao", "粤E12346") == ()
    other = residents.add_household(conn, "chen", "danzao", "9", "9", "909")
    residents.add_vehicle(conn, "chen", other, "粤E12345")
    view = residents.household(conn, home)
    assert view is not None
    assert [car.plate for car in view.vehicles] == ["粤E12346"]


def test_near_plates_are_told_with_the_door_and_where_they_differ(conn: Connection, home: str) -> None:
    residents.add_vehicle(conn, "chen", home, "粤E12845")
    other = residents.add_household(conn, "chen", "danzao", "9", "9", "909")
    residents.add_vehicle(conn, "chen", other, "粤E12B45")
    near = residents.near_vehicles(conn, "danzao", "粤E12B45")
    assert [(one.plate, one.is_lookalike, one.places) for one in near] == [("粤E12845", True, (4,))]
    assert near[0].words("粤E12B45", "en") == f"粤E12845, {near[0].door}: look alike (B/8)"
    assert "形近(B/8)" in near[0].words("粤E12B45", "zh")
    apart = residents.near_vehicles(conn, "danzao", "粤E12345")
    assert {one.plate for one in apart} == {"粤E12845", "粤E12B45"}
    assert not any(one.is_lookalike for one in apart)


def test_a_key_that_had_another_holder_keeps_none_of_what_it_was_given(conn: Connection, home: str) -> None:
    car = residents.add_vehicle(conn, "chen", home, "粤E12345", has_fixed_space=True)
    old = {"uses": 1, "max_stay_s": 900, "profile": "visitor", "asks_guard": True, "exit_until_s": 5}
    conn.execute(update(tables.credentials).where(tables.credentials.c.id == car).values(**old))
    residents.revoke_vehicle(conn, "chen", car)
    other = residents.add_household(conn, "chen", "danzao", "9", "9", "909")
    assert residents.add_vehicle(conn, "chen", other, "粤E12345") == car
    row = conn.execute(select(tables.credentials).where(tables.credentials.c.id == car)).one()
    assert (row.uses, row.max_stay_s, row.profile, row.exit_until_s) == (None, 0, "resident", None)
    assert (bool(row.has_fixed_space), bool(row.asks_guard)) == (False, False)


def test_a_colour_alone_changes_in_place(conn: Connection, home: str) -> None:
    car = residents.add_vehicle(conn, "chen", home, "粤E12345", PlateColour.BLUE)
    assert residents.edit_vehicle(conn, "chen", car, "粤E12345", PlateColour.YELLOW) == car
    view = residents.household(conn, home)
    assert view is not None
    assert view.vehicles[0].colour == "yellow"


def test_an_edit_to_a_plate_that_another_household_holds_changes_nothing(conn: Connection, home: str) -> None:
    other = residents.add_household(conn, "chen", "danzao", "9", "9", "909")
    residents.add_vehicle(conn, "chen", other, "粤E54321")
    car = residents.add_vehicle(conn, "chen", home, "粤E12345")
    with pytest.raises(RefusedError, match="9-9-909"):
        residents.edit_vehicle(conn, "chen", car, "粤E54321")
    assert _state(conn, car) == "active"


def test_cards_and_vehicles_are_not_mistaken_for_each_other(conn: Connection, home: str, person: str) -> None:
    card = residents.issue_card(conn, "chen", person, CARD)
    car = residents.add_vehicle(conn, "chen", home, "粤E12345")
    with pytest.raises(RefusedError):
        residents.set_card_state(conn, "chen", car, GrantState.LOST)
    with pytest.raises(RefusedError):
        residents.revoke_vehicle(conn, "chen", card)


def test_a_person_changes_only_where_told(conn: Connection, person: str) -> None:
    before = len(_dirty(conn))
    residents.edit_person(conn, "chen", person, phone="+86 13900000000")
    row = residents.person(conn, person)
    assert (row.name, row.phone, row.relation) == ("张小三", "+8613900000000", "owner")
    assert len(_dirty(conn)) == before
    residents.edit_person(conn, "chen", person, name="张三", extended_open=True)
    assert residents.person(conn, person).name == "张三"
    assert len(_dirty(conn)) == before + 1


def test_a_removed_person_is_gone_and_the_cards_are_dead_at_once(conn: Connection, home: str, person: str) -> None:
    card = residents.issue_card(conn, "chen", person, CARD)
    assert residents.remove_person(conn, "chen", person) == 1
    assert _state(conn, card) == "revoked"
    assert _dirty(conn)[-1] == ("danzao", True)
    assert _found(conn, "张小三") == []
    with pytest.raises(NotFoundError):
        residents.remove_person(conn, "chen", person)
    with pytest.raises(RefusedError, match="removed"):
        residents.set_card_state(conn, "chen", card, GrantState.ACTIVE)
    view = residents.household(conn, home)
    assert view is not None
    assert view.members == ()
    assert residents.household(conn, "none") is None


def test_every_change_leaves_a_line_in_the_audit(conn: Connection, home: str, person: str) -> None:
    card = residents.issue_card(conn, "chen", person, CARD)
    residents.set_card_state(conn, "chen", card, GrantState.LOST)
    residents.add_vehicle(conn, "chen", home, "粤E12345")
    residents.edit_vehicle(conn, "chen", "粤E12345", "粤E54321")
    residents.revoke_vehicle(conn, "chen", "粤E54321")
    residents.edit_person(conn, "chen", person, name="张三")
    residents.remove_person(conn, "chen", person)
    actions = set(conn.execute(select(tables.audit.c.action)).scalars())
    assert actions == {
        "household.add",
        "person.add",
        "person.edit",
        "person.remove",
        "card.issue",
        "card.lost",
        "vehicle.add",
        "vehicle.edit",
        "vehicle.revoked",
    }
    assert conn.execute(select(func.count()).where(tables.audit.c.actor != "chen")).scalar_one() == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("3-2-501", ("3", "2", "501")),
        ("3-501", ("3", "", "501")),
        (" A1 – 2 – 501 ", ("A1", "2", "501")),
        ("501", None),
        ("1-2-3-4", None),
        ("3--501", None),
    ],
)
def test_a_door_splits_into_building_unit_and_room(text: str, parts: tuple[str, str, str] | None) -> None:
    assert residents.split_room(text) == parts
