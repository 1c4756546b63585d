"""Counts come from completed passages, and never fall below nothing."""

from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.model import Inside, Occupancy
from gatectl.core.occupancy import cars_of, crossed, overdue, without

CAR = "plate:粤E12345"


def entered(
    before: Occupancy | None = None, subject: str = CAR, household: str = "h1", max_stay_s: int = 0
) -> Occupancy:
    return crossed(
        before or Occupancy(),
        subject=subject,
        area_from="",
        area_to="site",
        at_s=100,
        household=household,
        is_vehicle=True,
        max_stay_s=max_stay_s,
    )


def left(before: Occupancy, subject: str = CAR) -> Occupancy:
    return crossed(before, subject=subject, area_from="site", area_to="", at_s=200, is_vehicle=True)


def test_a_car_that_came_in_is_inside_and_one_that_left_is_not() -> None:
    inside = entered()
    assert inside.inside == {CAR: Inside("site", 100, "h1", is_vehicle=True)}
    assert inside.cars == {"h1": {CAR}}
    assert inside.vehicles == {"site": 1}
    gone = left(inside)
    assert (gone.inside, gone.cars, gone.vehicles) == ({}, {}, {"site": 0})


def test_a_car_seen_to_enter_twice_is_one_car() -> None:
    twice = entered(entered())
    assert twice.vehicles == {"site": 1}
    assert twice.cars == {"h1": {CAR}}


def test_a_car_that_changes_areas_is_counted_where_it_is() -> None:
    moved = crossed(entered(), subject=CAR, area_from="", area_to="garage", at_s=9, household="h1", is_vehicle=True)
    assert moved.vehicles == {"site": 0, "garage": 1}
    assert moved.inside[CAR].area == "garage"


def test_the_other_cars_of_a_household_stay() -> None:
    two = entered(entered(), subject="plate:b")
    assert two.cars == {"h1": {CAR, "plate:b"}}
    assert two.vehicles == {"site": 2}
    assert left(two).vehicles == {"site": 1}
    only_b = Occupancy({"plate:b": two.inside["plate:b"]}, {"h1": frozenset({"plate:b"})}, {"site": 1})
    assert without(two, CAR) == only_b
    assert cars_of(two.inside) == two.cars
    assert left(two).cars == {"h1": {"plate:b"}}


def test_unknown_cars_are_only_counted() -> None:
    one = entered(subject="")
    assert (one.inside, one.cars, one.vehicles) == ({}, {}, {"site": 1})
    assert left(one, subject="").vehicles == {"site": 0}


def test_people_on_foot_fill_no_car_park() -> None:
    person = crossed(Occupancy(), subject="p1", area_from="", area_to="site", at_s=1)
    assert person.vehicles == {}
    assert person.cars == {}
    assert person.inside["p1"] == Inside("site", 1)
    neighbour = crossed(person, subject="p2", area_from="", area_to="site", at_s=1, household="h1")
    assert (neighbour.cars, cars_of(neighbour.inside)) == ({}, {})


def test_a_car_of_no_household_is_nobodys_quota() -> None:
    car = entered(household="")
    assert (car.cars, cars_of(car.inside)) == ({}, {})


def test_entries_on_a_credential_are_counted() -> None:
    used = crossed(Occupancy(), subject="p", area_from="", area_to="site", at_s=1, uses_key="pass:n")
    again = crossed(used, subject="p", area_from="", area_to="site", at_s=2, uses_key="pass:n")
    assert again.uses == {"pass:n": 2}
    assert crossed(again, subject="p", area_from="site", area_to="", at_s=3).uses == {"pass:n": 2}


def test_a_person_can_correct_the_count() -> None:
    assert without(entered(), CAR) == Occupancy(vehicles={"site": 0})
    assert without(entered(), "nobody") == entered()
    walked = crossed(entered(), subject="p1", area_from="", area_to="site", at_s=1)
    assert without(walked, "p1") == entered()


def test_who_stays_longer_than_agreed_is_overdue_after_that_second() -> None:
    guest = entered(max_stay_s=60)
    assert overdue(guest, 160) == ()
    assert overdue(guest, 161) == (CAR,)
    assert overdue(entered(), 10**9) == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", ""]),
            st.sampled_from(["", "x", "y"]),
            st.sampled_from(["", "x", "y"]),
            st.booleans(),
        )
    )
)
def test_no_order_of_passages_makes_a_count_negative_or_leaves_a_car_in_two_households(
    passages: list[tuple[str, str, str, bool]],
) -> None:
    now = Occupancy()
    for number, (subject, area_from, area_to, is_vehicle) in enumerate(passages):
        before = now
        now = crossed(
            now,
            subject=subject,
            area_from=area_from,
            area_to=area_to,
            at_s=number,
            household=f"h{number % 2}",
            is_vehicle=is_vehicle,
        )
        assert before is not now
    assert all(count >= 0 for count in now.vehicles.values())
    for household, cars in now.cars.items():
        assert cars
        assert all(now.inside[car].household == household for car in cars)
