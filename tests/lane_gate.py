"""One lane machine with its clock, its list and its world, driven by a test."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import TypeVar

from builders import NOON, NOON_S, a_lane, a_view

from gatectl.core.lane import LaneContext, LaneMachine
from gatectl.core.lane_io import (
    AttemptMade,
    Effect,
    EmergencyOrdered,
    InputChanged,
    Keep,
    LaneEvent,
    OpenBarrier,
    OpenOrdered,
    Record,
    RefuseOrdered,
    Ticked,
)
from gatectl.core.model import AccessEvent, Attempt, ClockTrust, Crossing, GateId, InputName, Lane, WhitelistView
from gatectl.core.reasons import Reason

E = TypeVar("E")
AT_REST = (InputName.ARM_UP, InputName.SAFETY, InputName.PRESENCE, InputName.DOOR_OPEN, InputName.FIRE)
"""Quiet at a lane where nothing happens."""


def all_of(kind: type[E], effects: Sequence[Effect]) -> list[E]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def crossed(effects: Sequence[Effect]) -> list[AccessEvent]:
    """The recorded passages that count somebody."""
    return [record.event for record in all_of(Record, effects) if record.event.crossing is not None]


def crossings(effects: Sequence[Effect]) -> list[Crossing]:
    """What the recorded passages count for."""
    return [event.crossing for event in crossed(effects) if event.crossing is not None]


class LaneGate:
    """A machine and everything it asked for."""

    def __init__(
        self, lane: Lane | None = None, view: WhitelistView | None = None, kept: Mapping[str, str] | None = None
    ) -> None:
        numbers = count(1)
        self.lane = lane or a_lane()
        self.view = view or a_view()
        self.machine = LaneMachine(self.lane, GateId("east"), "boot", lambda: f"n{next(numbers)}", kept)
        self.context = LaneContext(ClockTrust.SYNCED, NOON_S, False)
        self.now_s = 0.0
        self.records: list[AccessEvent] = []
        self.kept: dict[str, str] = {}
        self._attempts = count(1)

    def at_rest(self) -> "LaneGate":
        """Every input has been heard of, and nobody is there."""
        for name in AT_REST:
            self.sense(name, False)
        self.sense(InputName.ARM_DOWN, True)
        return self

    def hear(self, event: LaneEvent) -> tuple[Effect, ...]:
        """Take an event; what is recorded and kept is remembered."""
        effects = self.machine.on(event, self.view, self.context)
        self.records += [effect.event for effect in all_of(Record, effects)]
        self.kept.update({effect.name: effect.value for effect in all_of(Keep, effects)})
        return effects

    @property
    def tick_ns(self) -> int:
        """Now, monotonic."""
        return round(self.now_s * 1e9)

    def present(self, attempt: Attempt) -> tuple[Effect, ...]:
        """Show a credential at this lane; attempts are named a1, a2 …"""
        at = NOON + timedelta(seconds=self.now_s)
        named = f"a{next(self._attempts)}"
        shown = replace(attempt, id=named, lane=self.lane.id, direction=self.lane.direction, at=at)
        return self.hear(AttemptMade(shown, self.tick_ns))

    def sense(self, name: InputName, is_active: bool) -> tuple[Effect, ...]:
        """An input changes."""
        return self.hear(InputChanged(name, is_active, NOON + timedelta(seconds=self.now_s), self.tick_ns))

    def wait(self, seconds: float) -> list[Effect]:
        """Time goes by, in ticks of 0.1 s."""
        effects: list[Effect] = []
        for _ in range(round(seconds * 10)):
            self.now_s = round(self.now_s + 0.1, 1)
            effects += self.hear(Ticked(NOON + timedelta(seconds=self.now_s), self.tick_ns))
        return effects

    def order(self, command_id: str = "c1") -> tuple[Effect, ...]:
        """Staff open."""
        at = NOON + timedelta(seconds=self.now_s)
        return self.hear(OpenOrdered(command_id, "li.wei", Reason.GUARD_OPEN, "parcel", at, self.tick_ns))

    def refuse(self, command_id: str = "r1") -> tuple[Effect, ...]:
        """Staff refuse."""
        at = NOON + timedelta(seconds=self.now_s)
        return self.hear(RefuseOrdered(command_id, "li.wei", "no", at, self.tick_ns))

    def emergency(self, command_id: str = "e1", *, is_release: bool = False) -> tuple[Effect, ...]:
        """Staff open for an emergency, or release it."""
        at = NOON + timedelta(seconds=self.now_s)
        return self.hear(EmergencyOrdered(command_id, "li.wei", is_release, "drill", at, self.tick_ns))

    def arm(self, *, is_up: bool) -> tuple[Effect, ...]:
        """The arm travels for a second; what its arrival leads to comes back."""
        self.sense(InputName.ARM_DOWN if is_up else InputName.ARM_UP, False)
        self.wait(1.0)
        return self.sense(InputName.ARM_UP if is_up else InputName.ARM_DOWN, True)

    def pass_under(self) -> tuple[Effect, ...]:
        """The car drives under the arm and out; what its leaving the loop leads to comes back."""
        self.sense(InputName.SAFETY, True)
        self.sense(InputName.PRESENCE, False)
        self.wait(1.0)
        return self.sense(InputName.SAFETY, False)

    def reasons(self) -> list[Reason]:
        """Every recorded reason, in order."""
        return [event.reason for event in self.records]

    def last(self, reason: Reason) -> AccessEvent:
        """The last event of a reason."""
        return [event for event in self.records if event.reason is reason][-1]

    def opened_for(self, effects: Sequence[Effect]) -> list[AccessEvent]:
        """The events that explain the openings among the effects."""
        by_id = {event.id: event for event in self.records}
        return [by_id[effect.cause] for effect in all_of(OpenBarrier, effects)]
