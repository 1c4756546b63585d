"""The lane machine, told as what happens at a gate."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from builders import NOON, a_grant, a_lane, a_plate_attempt, a_plate_grant, a_read, a_view, a_walk_lane, an_attempt

from gatectl.core.lane import LaneContext, LaneMachine, Phase
from gatectl.core.lane_io import (
    AttemptMade,
    CloseBarrier,
    CommandAnswered,
    Effect,
    EmergencyOrdered,
    InputChanged,
    LaneEvent,
    OpenBarrier,
    OpenOrdered,
    ReadPlate,
    Record,
    RefuseOrdered,
    Ticked,
)
from gatectl.core.model import (
    AccessEvent,
    Attempt,
    ClockTrust,
    CredentialKey,
    Direction,
    EventKind,
    GateId,
    InputName,
    Lane,
    Verdict,
)
from gatectl.core.reasons import Reason

SECOND_NS = 1_000_000_000
VIEW = a_view(a_grant(), a_plate_grant(), a_plate_grant("粤E54321"))
STRANGER = CredentialKey("em:FFFFFFFFFF")


class Gate:
    """One machine, its clock, and everything it asked for."""

    def __init__(self, lane: Lane) -> None:
        numbers = count(1)
        self.machine = LaneMachine(lane, GateId("east"), "boot", lambda: f"n{next(numbers)}")
        self.lane = lane
        self.now_s = 0.0
        self.last: tuple[Effect, ...] = ()
        self.records: list[AccessEvent] = []
        self._attempts = count(1)

    def hear(self, event: LaneEvent) -> tuple[Effect, ...]:
        self.last = self.machine.on(event, VIEW, LaneContext(ClockTrust.SYNCED, 0, False))
        self.records += [effect.event for effect in self.last if isinstance(effect, Record)]
        for i, effect in enumerate(self.last):
            if isinstance(effect, OpenBarrier):
                before = [e.event.id for e in self.last[:i] if isinstance(e, Record)]
                assert effect.cause in before or any(event.id == effect.cause for event in self.records)
        return self.last

    def tick_ns(self) -> int:
        return int(self.now_s * SECOND_NS)

    def present(self, attempt: Attempt) -> tuple[Effect, ...]:
        named = replace(attempt, id=f"a{next(self._attempts)}", lane=self.lane.id, direction=self.lane.direction)
        return self.hear(AttemptMade(named, self.tick_ns()))

    def sense(self, name: InputName, is_active: bool) -> tuple[Effect, ...]:
        return self.hear(InputChanged(name, is_active, NOON + timedelta(seconds=self.now_s), self.tick_ns()))

    def wait(self, seconds: float) -> list[Effect]:
        effects: list[Effect] = []
        for _ in range(int(seconds * 10)):
            self.now_s += 0.1
            effects += self.hear(Ticked(NOON + timedelta(seconds=self.now_s), self.tick_ns()))
        return effects

    def order(self, command_id: str = "c1") -> tuple[Effect, ...]:
        at = NOON + timedelta(seconds=self.now_s)
        return self.hear(OpenOrdered(command_id, "guard", Reason.REMOTE_OPEN, "visitor", at, self.tick_ns()))

    def refuse(self, command_id: str = "r1") -> tuple[Effect, ...]:
        return self.hear(RefuseOrdered(command_id, "guard", "", NOON, self.tick_ns()))

    def emergency(self, command_id: str = "e1", *, is_release: bool = False) -> tuple[Effect, ...]:
        at = NOON + timedelta(seconds=self.now_s)
        return self.hear(EmergencyOrdered(command_id, "guard", is_release, "drill", at, self.tick_ns()))

    def arm(self, *, is_up: bool) -> None:
        """The arm travels and its switches say so."""
        self.sense(InputName.ARM_DOWN if is_up else InputName.ARM_UP, False)
        self.wait(0.8)
        self.sense(InputName.ARM_UP if is_up else InputName.ARM_DOWN, True)

    def last_of(self, kind: EventKind) -> AccessEvent:
        return [event for event in self.records if event.kind is kind][-1]


def a_gate(lane: Lane | None = None) -> Gate:
    gate = Gate(lane or a_lane())
    for name, is_active in (
        (InputName.ARM_UP, False),
        (InputName.ARM_DOWN, True),
        (InputName.SAFETY, False),
        (InputName.PRESENCE, False),
        (InputName.FIRE, False),
    ):
        gate.sense(name, is_active)
    return gate


def kinds(effects: Iterable[Effect]) -> list[type]:
    return [type(effect) for effect in effects]


def with_car(gate: Gate) -> Gate:
    gate.sense(InputName.PRESENCE, True)
    return gate


def let_in(gate: Gate) -> None:
    """A car is read, the arm is up."""
    with_car(gate)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)


def test_a_car_that_drives_up_is_read_and_its_record_comes_before_its_opening() -> None:
    gate = a_gate()
    assert gate.sense(InputName.PRESENCE, True) == (ReadPlate(gate.lane.id),)
    effects = gate.present(a_plate_attempt())
    assert kinds(effects)[:2] == [Record, OpenBarrier]
    assert isinstance(effects[1], OpenBarrier)
    assert effects[1].cause == gate.records[-1].id == "a1"


def test_a_passage_is_recorded_when_the_arm_is_down_behind_the_car_with_its_lane_trace() -> None:
    gate = a_gate()
    let_in(gate)
    gate.wait(1)
    gate.sense(InputName.SAFETY, True)
    gate.sense(InputName.PRESENCE, False)
    assert CloseBarrier not in kinds(gate.last)
    gate.wait(1)
    assert kinds(gate.sense(InputName.SAFETY, False)) == [CloseBarrier]
    gate.arm(is_up=False)
    passage = gate.last_of(EventKind.PASSAGE)
    assert (passage.reason, passage.outcome, passage.ref) == (Reason.PASSED, "passed", "a1")
    assert [moment.what for moment in passage.lane_trace] == [
        *("open_ordered", "arm_up", "safety_occupied", "safety_clear", "close_ordered", "arm_down"),
    ]
    assert [moment.ms for moment in passage.lane_trace] == sorted(moment.ms for moment in passage.lane_trace)
    assert gate.machine.phase is Phase.IDLE


def test_a_relay_without_effect_is_an_alarm_and_ends_the_opening() -> None:
    gate = with_car(a_gate())
    gate.present(a_plate_attempt())
    gate.wait(gate.lane.arm_up_timeout_s + 0.5)
    assert gate.last_of(EventKind.ALARM).reason is Reason.RELAY_NO_EFFECT
    assert gate.last_of(EventKind.PASSAGE).outcome == "no_arm"


def test_an_opening_that_nobody_uses_is_closed_again() -> None:
    gate = a_gate()
    let_in(gate)
    gate.sense(InputName.PRESENCE, False)
    assert CloseBarrier in kinds(gate.wait(gate.lane.passage_timeout_s + 1))
    gate.arm(is_up=False)
    assert gate.last_of(EventKind.PASSAGE).reason is Reason.NOT_ENTERED


def test_a_second_car_on_one_grant_is_tailgating_and_the_arm_goes_up_again() -> None:
    gate = a_gate()
    let_in(gate)
    gate.sense(InputName.SAFETY, True)
    gate.sense(InputName.SAFETY, False)
    effects = gate.sense(InputName.SAFETY, True)
    assert kinds(effects)[:2] == [Record, OpenBarrier]
    assert gate.last_of(EventKind.ALARM).reason is Reason.TAILGATE


def test_the_next_car_is_decided_while_the_first_passes_and_gets_an_opening_of_its_own() -> None:
    gate = a_gate()
    let_in(gate)
    gate.sense(InputName.PRESENCE, False)
    gate.sense(InputName.SAFETY, True)
    assert gate.sense(InputName.PRESENCE, True) == (ReadPlate(gate.lane.id),)
    assert OpenBarrier not in kinds(gate.present(a_plate_attempt(a_read("粤E54321"))))
    effects = gate.sense(InputName.SAFETY, False)
    assert kinds(effects)[:1] == [Record]
    assert [effect.cause for effect in effects if isinstance(effect, OpenBarrier)] == ["a2"]
    assert CloseBarrier not in kinds(effects)


def test_a_car_granted_behind_the_first_is_opened_for_though_the_arm_fell_in_between() -> None:
    gate = a_gate()
    let_in(gate)
    gate.sense(InputName.PRESENCE, False)
    gate.sense(InputName.SAFETY, True)
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt(a_read("粤E54321")))
    gate.sense(InputName.ARM_UP, False)
    effects = gate.sense(InputName.ARM_DOWN, True)
    assert [effect.cause for effect in effects if isinstance(effect, OpenBarrier)] == ["a2"]


def test_the_same_cars_plate_read_again_before_it_passes_is_not_recorded_twice() -> None:
    gate = a_gate()
    let_in(gate)
    assert gate.present(a_plate_attempt()) == ()


def test_a_late_read_after_the_car_has_left_is_no_spoof() -> None:
    gate = a_gate()
    let_in(gate)
    gate.sense(InputName.SAFETY, True)
    gate.sense(InputName.PRESENCE, False)
    assert gate.present(a_plate_attempt(a_read("", 0.0, frames=0))) == ()
    assert gate.present(a_plate_attempt()) == ()


def held(gate: Gate) -> Gate:
    with_car(gate)
    gate.present(a_plate_attempt(a_read("粤E1", 0.2)))
    assert gate.machine.held_attempt == "a1"
    return gate


def ends(gate: Gate) -> tuple[str, str]:
    event = gate.last_of(EventKind.HOLD_END)
    return event.outcome, event.ref


def test_a_hold_ends_with_a_household_card_that_opens() -> None:
    gate = held(a_gate())
    assert OpenBarrier in kinds(gate.present(an_attempt()))
    assert ends(gate) == ("card", "a1")


def test_a_strangers_card_does_not_end_a_hold() -> None:
    gate = held(a_gate())
    assert OpenBarrier not in kinds(gate.present(an_attempt(key=STRANGER)))
    assert gate.machine.is_held


def test_a_hold_ends_by_staff_who_open_and_the_arm_confirms_the_order() -> None:
    gate = held(a_gate())
    assert OpenBarrier in kinds(gate.order())
    assert ends(gate) == ("staff", "a1")
    gate.arm(is_up=True)
    assert [e.state for e in gate.last if isinstance(e, CommandAnswered)] == ["confirmed"]


def test_a_hold_ends_by_staff_who_refuse() -> None:
    gate = held(a_gate())
    effects = gate.refuse()
    assert gate.last_of(EventKind.HOLD_END).reason is Reason.GUARD_DENIED
    assert OpenBarrier not in kinds(effects)


def test_a_hold_ends_by_backing_off() -> None:
    gate = held(a_gate())
    gate.sense(InputName.PRESENCE, False)
    assert ends(gate) == ("backed_off", "a1")


def test_a_hold_ends_by_its_timeout() -> None:
    gate = held(a_gate())
    gate.wait(gate.lane.hold_timeout_s + 0.5)
    assert ends(gate) == ("timeout", "a1")


def test_an_unread_car_is_read_once_more_and_opens_when_it_is_read() -> None:
    gate = held(a_gate())
    assert kinds(gate.wait(10)).count(ReadPlate) == 1
    assert OpenBarrier in kinds(gate.present(a_plate_attempt()))
    assert ends(gate) == ("retry", "a1")
    assert gate.last_of(EventKind.ACCESS).ref == "a1"


def test_an_order_that_the_arm_does_not_follow_is_unconfirmed() -> None:
    gate = a_gate()
    gate.order()
    effects = gate.wait(gate.lane.arm_up_timeout_s + 0.5)
    assert [e.state for e in effects if isinstance(e, CommandAnswered)] == ["unconfirmed"]


def test_a_refusal_without_a_held_car_is_refused_itself() -> None:
    answers = [e for e in a_gate().refuse() if isinstance(e, CommandAnswered)]
    assert [answer.state for answer in answers] == ["refused"]


def test_fire_opens_holds_open_and_only_a_named_person_lets_the_arm_down() -> None:
    gate = a_gate()
    assert OpenBarrier in kinds(gate.sense(InputName.FIRE, True))
    gate.arm(is_up=True)
    assert CloseBarrier not in kinds(gate.wait(120))
    assert CloseBarrier not in kinds(gate.emergency("e0", is_release=True)), "fire still burns"
    gate.sense(InputName.FIRE, False)
    assert CloseBarrier not in kinds(gate.wait(120))
    assert CloseBarrier not in kinds(gate.refuse())
    assert CloseBarrier in kinds(gate.emergency(is_release=True))
    event = gate.last_of(EventKind.COMMAND)
    assert (event.actor, event.reason) == ("guard", Reason.EMERGENCY_RELEASED)


def test_the_exit_button_opens() -> None:
    effects = a_gate(a_walk_lane()).sense(InputName.REX, True)
    assert kinds(effects)[:2] == [Record, OpenBarrier]


def test_an_arm_that_goes_up_without_a_grant_is_forced_open() -> None:
    gate = a_gate()
    gate.arm(is_up=True)
    assert gate.last_of(EventKind.ALARM).reason is Reason.FORCED_OPEN


def test_an_arm_that_stays_up_is_told_once() -> None:
    gate = a_gate()
    gate.arm(is_up=True)
    gate.wait(gate.lane.held_open_after_s * 2)
    assert [event.reason for event in gate.records].count(Reason.HELD_OPEN) == 1


def test_on_foot_the_door_contact_confirms_and_its_closing_ends_the_passage() -> None:
    gate = a_gate(a_walk_lane())
    gate.sense(InputName.DOOR_OPEN, False)
    assert OpenBarrier in kinds(gate.present(an_attempt()))
    gate.sense(InputName.DOOR_OPEN, True)
    gate.wait(1)
    gate.sense(InputName.DOOR_OPEN, False)
    assert gate.last_of(EventKind.PASSAGE).outcome == "passed"


def test_on_foot_a_lock_that_nobody_pulls_is_not_a_broken_relay() -> None:
    gate = a_gate(a_walk_lane())
    gate.sense(InputName.DOOR_OPEN, False)
    gate.present(an_attempt())
    gate.wait(30)
    assert gate.last_of(EventKind.PASSAGE).reason is Reason.NOT_ENTERED
    assert all(event.kind is not EventKind.ALARM for event in gate.records)


@pytest.mark.parametrize("attempt", [an_attempt(key=STRANGER), a_plate_attempt(a_read("", 0.0, frames=0))])
def test_an_exit_lane_opens_for_everybody(attempt: Attempt) -> None:
    gate = with_car(a_gate(a_lane(direction=Direction.OUT)))
    assert OpenBarrier in kinds(gate.present(attempt))
    assert gate.records[-1].verdict is Verdict.GRANTED
    assert gate.records[-1].reason is Reason.EXIT_FREE


def test_a_slow_walker_gets_three_times_as_long() -> None:
    slow = a_view(a_grant(extended_open=True), a_plate_grant())
    gate = with_car(a_gate())
    gate.last = gate.machine.on(
        AttemptMade(an_attempt(), gate.tick_ns()), slow, LaneContext(ClockTrust.SYNCED, 0, False)
    )
    gate.arm(is_up=True)
    assert CloseBarrier not in kinds(gate.wait(gate.lane.passage_timeout_s * 2))
    assert CloseBarrier in kinds(gate.wait(gate.lane.passage_timeout_s + 1))
