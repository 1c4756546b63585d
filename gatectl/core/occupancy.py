"""Who is inside: the next `Occupancy` after a completed passage."""

from collections.abc import Mapping
from dataclasses import replace

from gatectl.core.model import Inside, Occupancy


def crossed(
    occupancy: Occupancy,
    *,
    subject: str,
    area_from: str,
    area_to: str,
    at_s: int,
    household: str = "",
    is_vehicle: bool = False,
    max_stay_s: int = 0,
    uses_key: str = "",
) -> Occupancy:
    """After somebody went from one area to another ("" is the street); `uses_key` counts an entry on a credential.

    A subject of "" is somebody unknown: only the area's vehicles are counted. Counts never fall below 0.
    """
    inside, cars, vehicles = dict(occupancy.inside), dict(occupancy.cars), dict(occupancy.vehicles)
    before = inside.pop(subject, None) if subject else None
    if before is not None and before.household:
        _drop(cars, before.household, subject)
    if is_vehicle:
        _count(vehicles, before.area if before is not None else area_from, -1)
        _count(vehicles, area_to, 1)
    if subject and area_to:
        inside[subject] = Inside(area_to, at_s, household, is_vehicle, max_stay_s)
        if household and is_vehicle:
            cars[household] = cars.get(household, frozenset()) | {subject}
    uses: Mapping[str, int] = occupancy.uses
    if uses_key:
        uses = {**uses, uses_key: uses.get(uses_key, 0) + 1}
    return Occupancy(inside, cars, vehicles, uses)


def without(occupancy: Occupancy, subject: str) -> Occupancy:
    """After a person corrected the count: nobody of this name is inside."""
    found = occupancy.inside.get(subject)
    if found is None:
        return occupancy
    inside, cars, vehicles = dict(occupancy.inside), dict(occupancy.cars), dict(occupancy.vehicles)
    del inside[subject]
    if found.is_vehicle:
        _count(vehicles, found.area, -1)
        _drop(cars, found.household, subject)
    return replace(occupancy, inside=inside, cars=cars, vehicles=vehicles)


def overdue(occupancy: Occupancy, now_s: int) -> tuple[str, ...]:
    """Subjects that have stayed longer than they were let in for."""
    return tuple(
        subject
        for subject, where in occupancy.inside.items()
        if where.max_stay_s and now_s - where.since_s > where.max_stay_s
    )


def cars_of(inside: Mapping[str, Inside]) -> dict[str, frozenset[str]]:
    """By household, the cars among these."""
    cars: dict[str, frozenset[str]] = {}
    for subject, where in inside.items():
        if where.is_vehicle and where.household:
            cars[where.household] = cars.get(where.household, frozenset()) | {subject}
    return cars


def _count(vehicles: dict[str, int], area: str, change: int) -> None:
    if area:
        vehicles[area] = max(0, vehicles.get(area, 0) + change)


def _drop(cars: dict[str, frozenset[str]], household: str, subject: str) -> None:
    left = cars.get(household, frozenset()) - {subject}
    if left:
        cars[household] = left
    else:
        cars.pop(household, None)
