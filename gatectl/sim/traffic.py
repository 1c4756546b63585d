"""Who comes to which lane, when, and what is right: the script of `--once`, and a morning that plays by itself.

The author of a script knows what must happen (`must`), because the cast's parts were written before any gate was
asked. What did happen is read at the relay and at central, never from the gate's own answer.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gatectl.core.model import CredentialKey, Direction, InputName, LaneKind, PlateColour, Verdict
from gatectl.sim.cast import CardRole, CarRole, Part, SiteCast, TownCast
from gatectl.sim.plan import LanePlan
from gatectl.sim.platepics import Condition
from gatectl.sim.site import Actor, LaneStage, Until, pause

_CARD_PATIENCE_S = 4.0
_CAR_PATIENCE_S = 14.0
_HELD_CAR_PATIENCE_S = 7.0
_PICTURE_EVERY_S = 0.35
_PICTURES_PER_CAR = 16
_CONDITIONS: tuple[Condition, ...] = ("day", "day", "day", "night", "blur")
_UNREADABLE: Condition = "unreadable"

T = TypeVar("T")


@dataclass(slots=True)
class Presentation:
    """One credential shown at one lane: what it is, what must happen, what was seen to happen."""

    lane: LanePlan
    must: Verdict
    part: Part
    card: CredentialKey | None = None
    plate: str = ""
    colour: PlateColour | None = None
    condition: Condition = "day"
    ends_by: str = "backing_off"
    """How a held car goes on: backing_off, household_card or staff."""
    household_card: CredentialKey | None = None
    shown_ns: int = 0
    opened_ns: int = 0
    """When the OPEN relay closed for it; 0 = it did not."""
    extra: list["Presentation"] = field(default_factory=list)
    """The household card shown for a held car."""

    @property
    def must_open(self) -> bool:
        """The lane must open for it, by itself."""
        return self.must is Verdict.GRANTED


@dataclass(frozen=True, slots=True)
class Scenery:
    """What the author of traffic may use."""

    cast: TownCast
    rng: random.Random
    order_open: Callable[[LanePlan], None]
    """Have staff open a lane, through the console's own use case."""


def card_verdict(lane: LanePlan, part: Part) -> Verdict:
    """What a card of this part must get on this lane (exits open for everybody, DOMAIN 1.6)."""
    if lane.direction is Direction.OUT or part is Part.RIGHTFUL:
        return Verdict.GRANTED
    return Verdict.DENIED


def car_verdict(lane: LanePlan, part: Part, condition: Condition) -> Verdict:
    """What a car of this part must get on this lane."""
    if lane.direction is Direction.OUT:
        return Verdict.GRANTED
    if part is Part.RIGHTFUL and condition != _UNREADABLE:
        return Verdict.GRANTED
    return Verdict.HELD


def show_card(stage: LaneStage, seen: Presentation) -> Actor:
    """A resident taps, waits for the lock, walks through."""
    if seen.card is None:
        raise ValueError("a card presentation without a card")
    before = len(stage.opened_ticks)
    seen.shown_ns = stage.tap(seen.card)
    patience = _CARD_PATIENCE_S if seen.must_open else 1.5
    opened = yield Until(lambda: len(stage.opened_ticks) > before, patience)
    if not opened:
        return
    seen.opened_ns = stage.opened_ticks[before]
    if stage.plan.kind is LaneKind.PEDESTRIAN:
        yield pause(0.2)
        stage.sense(InputName.DOOR_OPEN, True)
        yield pause(0.4)
        stage.sense(InputName.DOOR_OPEN, False)
        yield pause(0.3)


def drive_up(stage: LaneStage, seen: Presentation, scenery: Scenery) -> Actor:
    """A driver stops on the loop, is photographed, and passes or is held."""
    if seen.colour is None:
        raise ValueError("a car without a plate colour")
    before = len(stage.opened_ticks)

    def is_open() -> bool:
        return len(stage.opened_ticks) > before

    stage.sense(InputName.PRESENCE, True)
    seen.shown_ns = time.monotonic_ns()
    patience = _CAR_PATIENCE_S if seen.must_open else _HELD_CAR_PATIENCE_S
    give_up = time.monotonic() + patience
    for _ in range(_PICTURES_PER_CAR):
        stage.photograph(seen.plate, seen.colour, scenery.rng, seen.condition)
        opened = yield Until(is_open, _PICTURE_EVERY_S)
        if opened or time.monotonic() > give_up:
            break
    yield Until(is_open, max(0.0, give_up - time.monotonic()))
    if is_open():
        seen.opened_ns = stage.opened_ticks[before]
    elif not seen.must_open:
        yield from _end_hold(stage, seen, scenery, before)
    if is_open():
        yield from _pass_through(stage)
    else:
        stage.sense(InputName.PRESENCE, False)
        yield pause(0.8)


def _end_hold(stage: LaneStage, seen: Presentation, scenery: Scenery, before: int) -> Actor:
    if seen.ends_by == "household_card" and seen.household_card is not None:
        card = Presentation(stage.plan, Verdict.GRANTED, Part.RIGHTFUL, card=seen.household_card)
        seen.extra.append(card)
        card.shown_ns = stage.tap(seen.household_card)
        yield Until(lambda: len(stage.opened_ticks) > before, _CARD_PATIENCE_S)
        if len(stage.opened_ticks) > before:
            card.opened_ns = stage.opened_ticks[before]
    elif seen.ends_by == "staff":
        scenery.order_open(stage.plan)
        yield Until(lambda: len(stage.opened_ticks) > before, 8.0)


def _pass_through(stage: LaneStage) -> Actor:
    yield Until(lambda: stage.is_arm_up, 6.0)
    stage.sense(InputName.SAFETY, True)
    yield pause(0.3)
    stage.sense(InputName.PRESENCE, False)
    yield pause(0.5)
    stage.sense(InputName.SAFETY, False)
    yield Until(lambda: stage.is_arm_down, 8.0)
    yield pause(0.3)


class Author:
    """Writes presentations for one lane from the site's cast."""

    def __init__(self, lane: LanePlan, site: SiteCast, scenery: Scenery) -> None:
        self._lane = lane
        self._site = site
        self._scenery = scenery
        self._rng = random.Random(f"{lane.id}")  # noqa: S311 - a play, not a secret
        self._cards = iter(_endless(site.residents, self._rng))
        self._cars = iter(_endless(site.cars, self._rng))

    def resident(self) -> Presentation:
        """A rightful card."""
        return self._card(next(self._cards))

    def refused(self, part: Part) -> Presentation:
        """A card that must be refused for this reason; a stranger's where the site's cast has none."""
        roles = [role for role in self._site.refused_cards if role.part is part]
        if part is Part.OTHER_GATE and self._lane.gate == self._site.site.gates[0].id:
            roles = []  # that card's one gate is this one
        return self._card(roles[0] if roles else self._stranger_card())

    def _stranger_card(self) -> CardRole:
        return CardRole(self._scenery.cast.registry.card_key(), Part.STRANGER)

    def _card(self, role: CardRole) -> Presentation:
        return Presentation(self._lane, card_verdict(self._lane, role.part), role.part, card=role.key)

    def car(self) -> Presentation:
        """A resident's car."""
        return self._car(next(self._cars), self._rng.choice(_CONDITIONS))

    def refused_car(self, part: Part) -> Presentation:
        """A car that must not open the lane by itself."""
        roles = [role for role in self._site.refused_cars if role.part is part]
        if not roles:
            plate, colour = self._scenery.cast.registry.plate()
            roles = [CarRole(plate, colour, Part.STRANGER)]
        return self._car(roles[0], "day")

    def unreadable_car(self) -> Presentation:
        """A resident's car whose plate cannot be read; a card of the household opens."""
        cards = {card.household: card.key for card in self._site.residents}
        role = next(role for role in self._site.cars if role.household in cards)
        seen = self._car(role, _UNREADABLE)
        seen.ends_by, seen.household_card = "household_card", cards[role.household]
        return seen

    def _car(self, role: CarRole, condition: Condition) -> Presentation:
        must = car_verdict(self._lane, role.part, condition)
        return Presentation(self._lane, must, role.part, plate=role.plate, colour=role.colour, condition=condition)


def _endless(items: Sequence[T], rng: random.Random) -> Iterator[T]:
    while True:
        yield from rng.sample(items, len(items))


def once_script(lane: LanePlan, author: Author) -> list[Presentation]:
    """The fixed play of one lane for `gatectl demo --once`."""
    if lane.kind is LaneKind.PEDESTRIAN:
        refused = [Part.STRANGER, Part.LOST, Part.REVOKED, Part.EXPIRED, Part.NOT_YET, Part.OTHER_GATE, Part.OFF_HOURS]
        first = sum(map(ord, lane.id)) % len(refused)
        some = [refused[(first + i) % len(refused)] for i in range(3)]
        return [
            author.resident(),
            author.refused(some[0]),
            author.resident(),
            author.refused(some[1]),
            author.refused(some[2]),
            author.resident(),
        ]
    play = [author.car(), author.car(), author.refused_car(Part.STRANGER), author.car(), author.car(), author.car()]
    play += [author.refused_car(Part.EXPIRED), author.car(), author.car(), author.car()]
    if lane.direction is Direction.IN:
        is_odd = sum(map(ord, lane.id)) % 2
        play[2].ends_by = "staff" if is_odd else "backing_off"
    return play


def play_lane(
    stage: LaneStage, presentations: Iterator[Presentation], scenery: Scenery, gap_s: Callable[[], float]
) -> Actor:
    """Show one presentation after the other at a lane."""
    for seen in presentations:
        if seen.card is not None:
            yield from show_card(stage, seen)
        else:
            yield from drive_up(stage, seen, scenery)
        yield pause(gap_s())
