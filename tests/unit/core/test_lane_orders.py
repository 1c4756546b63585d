"""Orders, emergencies and calls: each is recorded, each order is answered once, and fire waits for a person."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from builders import a_lane, a_plate_attempt, a_policy, a_read, a_view, a_walk_lane, an_attempt
from lane_gate import LaneGate, all_of

from gatectl.core.lane import Phase
from gatectl.core.lane_io import CloseBarrier, CommandAnswered, Effect, Indicate, OpenBarrier, ReadPlate, Signal
from gatectl.core.model import Direction, EventKind, InputName, Lane, LaneKind, Verdict
from gatectl.core.reasons import Reason

HELD = a_plate_attempt(a_read("粤B00000"))


def answers(effects: Sequence[Effect]) -> list[tuple[str, str]]:
    return [(x.command_id, x.state) for x in all_of(CommandAnswered, effects)]


def held() -> LaneGate:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(HELD)
    return gate


def standing_open() -> LaneGate:
    gate = LaneGate().at_rest()
    gate.emergency("e0")
    gate.arm(is_up=True)
    return gate


# --- orders ---


def test_an_order_names_who_gave_it_why_and_for_which_held_car() -> None:
    gate = held()
    gate.order()
    event = gate.last(Reason.GUARD_OPEN)
    assert (event.kind, event.verdict, event.actor, event.note, event.ref) == (
        *(EventKind.COMMAND, Verdict.GRANTED, "li.wei", "parcel", "a1"),
    )
    assert event.direction is Direction.IN
    assert gate.last(Reason.HOLD_ENDED).actor == "li.wei"


def test_the_passage_on_an_order_for_a_held_car_counts_that_car() -> None:
    gate = held()
    gate.order()
    gate.arm(is_up=True)
    gate.pass_under()
    gate.arm(is_up=False)
    passage = gate.last(Reason.PASSED)
    assert passage.crossing is not None
    assert passage.crossing.subject == "plate:粤B00000"


def test_the_passage_on_an_order_for_an_unread_car_counts_somebody_unknown() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt(a_read("粤E1234", 0.2)))
    gate.order()
    gate.arm(is_up=True)
    gate.pass_under()
    gate.arm(is_up=False)
    passage = gate.last(Reason.PASSED)
    assert passage.crossing is not None
    assert (passage.crossing.subject, passage.crossing.max_stay_s, passage.crossing.uses_key) == ("", 0, "")
    assert passage.credential is None


def test_an_order_while_the_arm_is_up_is_confirmed_at_once_and_lets_nobody_else_through() -> None:
    gate = LaneGate().at_rest()
    gate.order("c1")
    gate.arm(is_up=True)
    effects = gate.order("c2")
    assert answers(effects) == [("c2", "confirmed")]
    assert not all_of(OpenBarrier, effects)
    assert gate.last(Reason.NOT_ENTERED).outcome == "merged"


def test_an_order_while_the_arm_falls_by_itself_opens_again() -> None:
    gate = LaneGate().at_rest()
    gate.order("c1")
    gate.arm(is_up=True)
    gate.sense(InputName.ARM_UP, False)
    effects = gate.order("c2")
    assert [event.id for event in gate.opened_for(effects)] == [gate.last(Reason.GUARD_OPEN).id]
    assert answers(effects) == []
    assert answers(gate.sense(InputName.ARM_UP, True)) == [("c2", "confirmed")]


def test_an_order_behind_a_full_queue_is_refused_and_recorded() -> None:
    gate = held()
    gate.order("c1")
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    for command, plate in (("c2", "粤B00001"), ("c3", "粤B00002"), ("c4", "粤B00003")):
        gate.present(a_plate_attempt(a_read(plate)))
        effects = gate.order(command)
    assert answers(effects) == [("c4", "refused")]
    refused = gate.last(Reason.COMMAND_REFUSED)
    assert (refused.actor, refused.ref) == ("li.wei", gate.machine.held_attempt)
    assert gate.machine.motion.queue == 2
    assert gate.machine.is_held


def test_an_order_whose_turn_never_comes_is_answered_after_the_time_of_a_hold() -> None:
    gate = held()
    gate.order("c1")
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    gate.present(a_plate_attempt(a_read("粤B00001")))
    gate.order("c2")
    assert answers(gate.wait(gate.lane.hold_timeout_s - 0.2)) == []
    late = all_of(CommandAnswered, gate.wait(0.2))
    assert [(x.command_id, x.state, x.words) for x in late] == [
        ("c2", "unconfirmed", "the car before is still passing")
    ]
    effects = gate.pass_under()
    assert gate.opened_for(effects) == [gate.last(Reason.GUARD_OPEN)], "its car is still let in"
    assert answers(effects) == []


def test_an_order_that_waits_for_its_turn_is_confirmed_when_a_fire_opens_the_lane() -> None:
    gate = held()
    gate.order("c1")
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    gate.present(a_plate_attempt(a_read("粤B00001")))
    gate.order("c2")
    gate.sense(InputName.FIRE, True)
    gate.sense(InputName.ARM_UP, False)
    assert answers(gate.sense(InputName.ARM_UP, True)) == [("c2", "confirmed")]
    assert answers(gate.wait(70)) == []


def test_an_order_that_waited_for_its_turn_is_answered_once() -> None:
    gate = held()
    gate.order("c1")
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    gate.present(a_plate_attempt(a_read("粤B00001")))
    gate.order("c2")
    assert answers(gate.sense(InputName.SAFETY, False)) == [("c2", "confirmed")]
    assert answers(gate.wait(70)) == []


def test_two_orders_that_wait_are_each_answered_at_their_own_turn() -> None:
    gate = held()
    gate.order("c1")
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    for command, plate in (("c2", "粤B00001"), ("c3", "粤B00002")):
        gate.present(a_plate_attempt(a_read(plate)))
        gate.order(command)
    assert answers(gate.sense(InputName.SAFETY, False)) == [("c2", "confirmed")]
    gate.sense(InputName.SAFETY, True)
    assert answers(gate.sense(InputName.SAFETY, False)) == [("c3", "confirmed")]


# --- emergencies ---


def test_an_emergency_opens_holds_open_and_is_confirmed_by_the_arm() -> None:
    gate = LaneGate().at_rest()
    effects = gate.emergency()
    event = gate.last(Reason.EMERGENCY_MANUAL)
    assert gate.opened_for(effects) == [event]
    assert (event.kind, event.actor, event.note, event.verdict) == (
        *(EventKind.COMMAND, "li.wei", "drill", Verdict.GRANTED),
    )
    assert answers(effects) == []
    assert answers(gate.arm(is_up=True)) == [("e1", "confirmed")]
    assert gate.kept == {"emergency:east-car": "manual"}
    assert not all_of(CloseBarrier, gate.wait(600))
    assert gate.machine.phase is Phase.STANDING


def test_an_emergency_at_an_arm_that_is_up_is_confirmed_at_once() -> None:
    gate = standing_open()
    assert answers(gate.emergency("e2")) == [("e2", "confirmed")]


def test_an_emergency_that_the_arm_does_not_follow_is_unconfirmed_told_and_tried_again() -> None:
    gate = LaneGate().at_rest()
    gate.emergency()
    effects = gate.wait(gate.lane.arm_up_timeout_s)
    assert answers(effects) == [("e1", "unconfirmed")]
    again = gate.opened_for([*effects, *gate.wait(gate.lane.arm_up_timeout_s)])
    assert again == 2 * [gate.last(Reason.EMERGENCY_MANUAL)]
    assert gate.reasons().count(Reason.RELAY_NO_EFFECT) == 1


def test_a_release_is_recorded_and_the_arm_comes_down() -> None:
    gate = standing_open()
    effects = gate.emergency("e1", is_release=True)
    event = gate.last(Reason.EMERGENCY_RELEASED)
    assert (event.kind, event.actor) == (EventKind.COMMAND, "li.wei")
    assert answers(effects) == [("e1", "confirmed")]
    assert all_of(CloseBarrier, effects)
    assert gate.kept == {"emergency:east-car": ""}
    assert all_of(Indicate, effects)[-1].signal is Signal.IDLE


def test_a_release_of_nothing_is_refused() -> None:
    gate = LaneGate().at_rest()
    assert answers(gate.emergency(is_release=True)) == [("e1", "refused")]
    assert gate.records == []


def test_fire_over_an_emergency_is_kept_and_one_release_ends_both() -> None:
    gate = standing_open()
    gate.sense(InputName.FIRE, True)
    assert gate.kept == {"emergency:east-car": "fire"}
    gate.emergency("e1")
    assert gate.kept == {"emergency:east-car": "fire"}
    gate.sense(InputName.FIRE, False)
    assert all_of(CloseBarrier, gate.emergency("e2", is_release=True))


@pytest.mark.parametrize("name", [InputName.FIRE, InputName.EMERGENCY_KEY])
def test_what_still_lasts_cannot_be_released(name: InputName) -> None:
    gate = LaneGate().at_rest()
    gate.sense(name, True)
    gate.arm(is_up=True)
    effects = gate.emergency(is_release=True)
    assert answers(effects) == [("e1", "refused")]
    assert not all_of(CloseBarrier, effects)
    assert gate.machine.phase is Phase.STANDING


@pytest.mark.parametrize(("kept", "reason"), [("fire", Reason.EMERGENCY_INPUT), ("manual", Reason.EMERGENCY_MANUAL)])
@pytest.mark.parametrize("lane", [a_lane(), a_walk_lane()], ids=lambda lane: lane.kind.value)
def test_an_emergency_outlasts_a_restart(kept: str, reason: Reason, lane: Lane) -> None:
    gate = LaneGate(lane, kept={f"emergency:{lane.id}": kept})
    effects = gate.wait(0.1)
    assert gate.opened_for(effects) == [gate.last(reason)]
    assert gate.last(reason).note == "held open since before the restart"
    assert gate.emergency(is_release=True)
    assert gate.machine.phase is not Phase.STANDING


def test_the_latch_of_another_lane_is_not_this_ones() -> None:
    gate = LaneGate(kept={"emergency:west-car": "fire"})
    assert not all_of(OpenBarrier, gate.wait(0.1))


def test_in_an_emergency_everybody_is_let_in_and_counted_on_their_own_passage() -> None:
    gate = standing_open()
    gate.sense(InputName.PRESENCE, True)
    gate.present(HELD)
    assert gate.last(Reason.EMERGENCY_INPUT).verdict is Verdict.GRANTED
    gate.pass_under()
    assert gate.last(Reason.PASSED).ref == "a1"
    gate.pass_under()
    assert gate.last(Reason.PASSED).ref == ""


def test_a_call_at_a_lane_that_was_opened_by_an_emergency_is_answered() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.CALL, True)
    gate.emergency()
    gate.arm(is_up=True)
    gate.wait(12)
    assert gate.reasons().count(Reason.EMERGENCY_CALL) == 1


# --- calls ---


def calling(**policy: object) -> LaneGate:
    gate = LaneGate(view=a_view(policies=a_policy(**policy))).at_rest()
    effects = gate.sense(InputName.CALL, True)
    gate.sense(InputName.CALL, False)
    assert all_of(Indicate, effects)[-1].reason is Reason.EMERGENCY_CALL
    return gate


def test_a_call_that_nobody_answers_opens_after_ten_seconds() -> None:
    gate = calling()
    assert gate.wait(9.9) == []
    event_id = gate.last(Reason.EMERGENCY_CALL).id
    effects = gate.wait(0.1)
    opened = gate.last(Reason.EMERGENCY_CALL)
    assert gate.opened_for(effects) == [opened]
    assert (opened.kind, opened.ref, opened.verdict) == (EventKind.ALARM, event_id, Verdict.GRANTED)


def test_a_second_press_is_told_and_does_not_begin_the_wait_anew() -> None:
    gate = calling()
    gate.wait(6)
    gate.sense(InputName.CALL, True)
    assert gate.reasons().count(Reason.EMERGENCY_CALL) == 2
    assert all_of(OpenBarrier, gate.wait(4))


def test_a_lane_that_is_no_fire_lane_only_tells() -> None:
    gate = calling(is_fire_lane=False)
    assert not all_of(OpenBarrier, gate.wait(60))
    assert answers(gate.refuse()) == [("r1", "confirmed")]


def test_a_lane_without_a_policy_is_a_fire_lane() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.CALL, True)
    assert all_of(OpenBarrier, gate.wait(10))


@pytest.mark.parametrize("how", ["order", "refuse", "card"])
def test_a_call_that_is_answered_opens_nothing_more(how: str) -> None:
    gate = calling()
    gate.sense(InputName.PRESENCE, True)
    if how == "card":
        gate.present(an_attempt())
    else:
        getattr(gate, how)()
    effects = gate.wait(12)
    assert gate.reasons().count(Reason.EMERGENCY_CALL) == 1
    assert not all_of(OpenBarrier, effects)


def test_a_refused_call_says_so_and_a_second_refusal_finds_nothing() -> None:
    gate = calling()
    call = gate.last(Reason.EMERGENCY_CALL).id
    assert answers(gate.refuse("r1")) == [("r1", "confirmed")]
    assert gate.last(Reason.GUARD_DENIED).ref == call
    assert answers(gate.refuse("r2")) == [("r2", "refused")]


def test_a_held_car_whose_call_nobody_answers_is_let_in() -> None:
    gate = held()
    gate.sense(InputName.CALL, True)
    assert all_of(OpenBarrier, gate.wait(10))
    assert gate.last(Reason.HOLD_ENDED).outcome == "call"


# --- the rest of the inputs ---


def test_the_exit_button_lets_out_at_a_door_that_leads_in() -> None:
    gate = LaneGate(a_walk_lane()).at_rest()
    gate.sense(InputName.REX, True)
    event = gate.last(Reason.BUTTON_EXIT)
    assert (event.direction, event.verdict) == (Direction.OUT, Verdict.GRANTED)
    assert gate.machine.pending == (), "nobody has come in"


def test_a_tamper_contact_is_an_alarm_each_time_it_opens() -> None:
    gate = LaneGate().at_rest()
    for is_active in (True, True, False, True):
        gate.sense(InputName.TAMPER, is_active)
    assert gate.reasons() == [Reason.TAMPER, Reason.TAMPER]


def test_the_exit_loop_changes_nothing() -> None:
    gate = LaneGate().at_rest()
    assert gate.sense(InputName.EXIT, True) == ()


@pytest.mark.parametrize("kind", LaneKind)
def test_the_interlock_sees_a_lane_that_may_be_open(kind: LaneKind) -> None:
    gate = LaneGate(replace(a_lane(), kind=kind))
    seen = [gate.machine.stands_open]  # nothing is known of it yet
    gate.at_rest()
    seen.append(gate.machine.stands_open)
    gate.order()
    seen.append(gate.machine.stands_open)
    assert seen == [True, False, True]


def test_a_safety_loop_that_faults_is_told_and_told_when_it_is_well_again() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.SAFETY_FAULT, True)
    gate.sense(InputName.SAFETY, True)
    gate.sense(InputName.SAFETY_FAULT, False)
    assert gate.reasons() == [Reason.LOOP_FAULT, Reason.RECOVERED]
    assert gate.machine.motion.safety == "occupied"


def test_a_car_under_a_blind_loop_is_written_as_not_seen() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.SAFETY_FAULT, True)
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    assert not all_of(CloseBarrier, gate.wait(60))
    assert gate.reasons()[-1] is Reason.HELD_OPEN
    gate.arm(is_up=False)
    assert gate.last(Reason.NOT_ENTERED).outcome == "not_seen"
    assert all_of(ReadPlate, gate.sense(InputName.PRESENCE, False)) == []
