"""An invented town: households, residents, cards and vehicles from a seed. No real person, phone or plate is in it."""

import random
from dataclasses import dataclass

from gatectl.core.model import CredentialKey, GrantState, PlateColour
from gatectl.core.plates import PROVINCES, plate_key

_SURNAMES = "陈李黄张梁林何吴刘罗周谢叶邓杨曾冯区郭苏简潘麦关谭"
_GIVEN = "伟敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂英华玉兰志文建国欣怡子轩梓涵浩宇嘉慧"
_SERIAL = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
_DIGITS = "0123456789"
_HOME_PROVINCE = "粤"
_HOME_LETTERS = "EEEEEEXYAABCT"
"""Foshan's 粤E, X and Y lead; Guangzhou, Shenzhen and neighbours follow."""
_HOME_SHARE = 0.7
_GREEN_SHARE = 0.3
_CARS_PER_HOUSEHOLD = 0.7
"""DOMAIN 3: 0.7 cars and 2.8 persons a household."""
_PERSONS_WEIGHTS = ((1, 12), (2, 30), (3, 32), (4, 18), (5, 8))


@dataclass(frozen=True, slots=True)
class Person:
    """One resident; `relation` is the word the console shows."""

    id: str
    name: str
    phone: str
    relation: str


@dataclass(frozen=True, slots=True)
class Card:
    """One EM4100 card in somebody's pocket."""

    key: CredentialKey
    person: str
    state: GrantState = GrantState.ACTIVE


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One car: its plate and the plate's colour."""

    key: CredentialKey
    plate: str
    colour: PlateColour


@dataclass(frozen=True, slots=True)
class Household:
    """A flat with the people, cards and cars that belong to it."""

    id: str
    site: str
    building: str
    unit: str
    room: str
    people: tuple[Person, ...]
    cards: tuple[Card, ...]
    vehicles: tuple[Vehicle, ...]


class Registry:
    """Hands out card numbers and plates that nobody else in the town has."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._low24: set[int] = set()
        self._plates: set[str] = set()

    def card_key(self) -> CredentialKey:
        """A fresh EM4100 number; its low 24 bits are unique too, so that a Wiegand 26 reader can tell it."""
        while True:
            number = self._rng.getrandbits(40)
            if number & 0xFFFFFF not in self._low24:
                self._low24.add(number & 0xFFFFFF)
                return CredentialKey(f"em:{number:010X}")

    def plate(self, province: str | None = None, *, is_green: bool | None = None) -> tuple[str, PlateColour]:
        """A fresh legal plate: seven characters on blue, or eight on green."""
        rng = self._rng
        while True:
            green = rng.random() < _GREEN_SHARE if is_green is None else is_green
            where = province or (_HOME_PROVINCE if rng.random() < _HOME_SHARE else rng.choice(PROVINCES))
            letter = rng.choice(_HOME_LETTERS if where == _HOME_PROVINCE else "AABC")
            if green:
                text = where + letter + rng.choice("DDDFFA") + rng.choice(_SERIAL) + self._digits(4)
            else:
                text = where + letter + self._serial()
            if text not in self._plates:
                self._plates.add(text)
                return text, PlateColour.GREEN if green else PlateColour.BLUE

    def _digits(self, count: int) -> str:
        return "".join(self._rng.choice(_DIGITS) for _ in range(count))

    def _serial(self) -> str:
        """Five characters, at most two of them letters, as issued."""
        places = set(self._rng.sample(range(5), self._rng.choice((0, 1, 1, 2))))
        letters = _SERIAL[:24]
        return "".join(self._rng.choice(letters if i in places else _DIGITS) for i in range(5))


def invent_households(site: str, count: int, rng: random.Random, registry: Registry) -> tuple[Household, ...]:
    """`count` households of one site, in buildings of two units with four rooms a floor."""
    return tuple(_household(site, number, rng, registry) for number in range(count))


def _household(site: str, number: int, rng: random.Random, registry: Registry) -> Household:
    building, rest = divmod(number, 72)
    unit, rest = divmod(rest, 36)
    floor, room = divmod(rest, 4)
    household_id = f"{site}-h{number + 1:04d}"
    size = rng.choices([n for n, _ in _PERSONS_WEIGHTS], [w for _, w in _PERSONS_WEIGHTS])[0]
    relations = ["owner", "family", "family", "family", "family"]
    if rng.random() < 0.12:
        relations = ["tenant"] * 5
    family = rng.choice(_SURNAMES)
    people = tuple(
        Person(
            id=f"{household_id}-p{i + 1}",
            name=(family if i != 1 else rng.choice(_SURNAMES)) + "".join(rng.sample(_GIVEN, rng.choice((1, 2, 2)))),
            phone=f"1390000{rng.randrange(10_000):04d}",
            relation=relations[i],
        )
        for i in range(size)
    )
    cards = tuple(Card(registry.card_key(), person.id) for person in people if rng.random() < 0.85)
    cars = int(rng.random() < _CARS_PER_HOUSEHOLD - 0.1) + int(rng.random() < 0.1)
    vehicles = []
    for _ in range(cars):
        text, colour = registry.plate()
        vehicles.append(Vehicle(plate_key(text), text, colour))
    return Household(
        id=household_id,
        site=site,
        building=str(building + 1),
        unit=str(unit + 1),
        room=f"{floor + 1}{room + 1:02d}",
        people=people,
        cards=cards,
        vehicles=tuple(vehicles),
    )
