"""Who plays: each site's ordinary people, and the few whose cards and cars must be refused."""

import random
from dataclasses import dataclass
from enum import StrEnum

from gatectl.core.model import CredentialKey, GrantState, PlateColour
from gatectl.core.plates import plate_key
from gatectl.sim.people import Card, Household, Person, Registry, Vehicle, invent_households
from gatectl.sim.plan import SitePlan, TownPlan

ROLE_HOUSEHOLD = "role"
"""The households that exist to be refused live in building 99."""


class Part(StrEnum):
    """What a credential is in the play, known to the author before any gate was asked."""

    RIGHTFUL = "rightful"
    STRANGER = "stranger"
    LOST = "lost"
    REVOKED = "revoked"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    OTHER_GATE = "other_gate"
    OFF_HOURS = "off_hours"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class CardRole:
    """A card and its part."""

    key: CredentialKey
    part: Part
    household: str = ""


@dataclass(frozen=True, slots=True)
class CarRole:
    """A car and its part; `household` owns it, "" for a stranger's."""

    plate: str
    colour: PlateColour
    part: Part
    household: str = ""

    @property
    def key(self) -> CredentialKey:
        """Its credential."""
        return plate_key(self.plate)


@dataclass(frozen=True, slots=True)
class SiteCast:
    """Everybody of one site."""

    site: SitePlan
    households: tuple[Household, ...]
    residents: tuple[CardRole, ...]
    refused_cards: tuple[CardRole, ...]
    cars: tuple[CarRole, ...]
    refused_cars: tuple[CarRole, ...]


@dataclass(frozen=True, slots=True)
class TownCast:
    """The whole town's people, and the registry that invents strangers."""

    sites: dict[str, SiteCast]
    registry: Registry


def invent_town(plan: TownPlan) -> TownCast:
    """Everybody, from the plan's seed: the same town each time."""
    rng = random.Random(plan.seed)  # noqa: S311 - an invented town, not a secret
    registry = Registry(rng)
    return TownCast({site.id: _site_cast(site, plan, rng, registry) for site in plan.sites}, registry)


def _site_cast(site: SitePlan, plan: TownPlan, rng: random.Random, registry: Registry) -> SiteCast:
    households = invent_households(site.id, plan.households_per_site, rng, registry)
    card_parts = [Part.LOST, Part.REVOKED, Part.EXPIRED, Part.NOT_YET, Part.OFF_HOURS]
    if len(site.gates) > 1:
        card_parts.append(Part.OTHER_GATE)
    role_id = f"{site.id}-{ROLE_HOUSEHOLD}"
    people = tuple(
        Person(f"{role_id}-{part}", name, f"1390001{index:04d}", "tenant")
        for index, (part, name) in enumerate(zip(card_parts, ("失", "注", "期", "待", "时", "门"), strict=False))
    )
    cards = tuple(
        Card(registry.card_key(), person.id, _STATES.get(part, GrantState.ACTIVE))
        for person, part in zip(people, card_parts, strict=True)
    )
    refused_cards = tuple(CardRole(c.key, part, role_id) for c, part in zip(cards, card_parts, strict=True))
    refused_cars = []
    for part in (Part.EXPIRED, Part.BLOCKED):
        text, colour = registry.plate("粤")
        refused_cars.append(CarRole(text, colour, part, role_id))
    role = Household(
        role_id,
        site.id,
        "99",
        "1",
        "101",
        people,
        cards,
        tuple(Vehicle(car.key, car.plate, car.colour) for car in refused_cars),
    )
    residents = [CardRole(c.key, Part.RIGHTFUL, h.id) for h in households for c in h.cards]
    cars = [CarRole(v.plate, v.colour, Part.RIGHTFUL, h.id) for h in households for v in h.vehicles]
    rng.shuffle(residents)
    rng.shuffle(cars)
    return SiteCast(site, (*households, role), tuple(residents), refused_cards, tuple(cars), tuple(refused_cars))


_STATES = {Part.LOST: GrantState.LOST, Part.REVOKED: GrantState.REVOKED}
