"""What staff are told in answer to an order, word for word, and what a lane asks `decide` with."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from builders import (
    CARD,
    NOON,
    NOON_S,
    PLATE,
    a_grant,
    a_lane,
    a_plate_attempt,
    a_plate_grant,
    a_policy,
    a_read,
    a_view,
    a_walk_lane,
    an_area,
    an_attempt,
)
from lane_gate import LaneGate, all_of, crossings

from gatectl.core.lane_io import CommandAnswered, Effect, Keep, OpenBarrier, ReadPlate, Ticked
from gatectl.core.lane_watch import AttemptWatch, OpenHours
from gatectl.core.model import (
    AccessEvent,
    Calendar,
    ClockTrust,
    CredentialKey,
    Crossing,
    DayKind,
    Direction,
    EventKind,
    Household,
    InputName,
    LinkPolicy,
    Schedule,
    Verdict,
    Window,
)
from gatectl.core.reasons import Reason
from gatectl.core.schedule import day_and_minute

STRANGE = a_plate_attempt(a_read("粤B00000"))
STRANGER = an_attempt(key=CredentialKey("em:FFFFFFFFFF"))
UNREAD = a_plate_attempt(a_read("粤E1234", 0.2))


def the_answer(effects: Sequence[Effect]) -> tuple[str, str, str, str]:
    (answer,) = all_of(CommandAnswered, effects)
    return answer.command_id, answer.state, answer.words, answer.event_id


def with_car(gate: LaneGate) -> LaneGate:
    gate.at_rest().sense(InputName.PRESENCE, True)
    return gate


def the_last(gate: LaneGate) -> Reason:
    """Of the last event: its reason."""
    return gate.records[-1].reason


def the_line(event: AccessEvent, rule: str) -> tuple[str, str]:
    (step,) = [step for step in event.trace if step.rule == rule]
    return step.value, step.outcome


# --- answers ---


def test_an_order_that_the_arm_follows_is_answered_with_its_event() -> None:
    gate = LaneGate().at_rest()
    gate.order()
    event = gate.last(Reason.GUARD_OPEN)
    assert event.ref == ""
    assert the_answer(gate.arm(is_up=True)) == ("c1", "confirmed", "the arm's sensor says up", event.id)


def test_an_order_that_the_arm_does_not_follow_is_answered_with_its_event() -> None:
    gate = LaneGate().at_rest()
    gate.order()
    event = gate.last(Reason.GUARD_OPEN)
    answer = the_answer(gate.wait(gate.lane.arm_up_timeout_s))
    assert answer == ("c1", "unconfirmed", "the arm's sensor did not say up", event.id)


def test_an_order_behind_a_full_queue_is_answered_with_the_refusal() -> None:
    gate = with_car(LaneGate())
    gate.present(STRANGE)
    gate.order("c1")
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    for command, plate in (("c2", "粤B00001"), ("c3", "粤B00002"), ("c4", "粤B00003")):
        gate.present(a_plate_attempt(a_read(plate)))
        effects = gate.order(command)
    words = "the cars that were let in first are still passing"
    assert the_answer(effects) == ("c4", "refused", words, gate.last(Reason.COMMAND_REFUSED).id)


def test_a_hold_that_staff_end_says_who_and_what_they_noted() -> None:
    gate = with_car(LaneGate())
    gate.present(STRANGE)
    gate.order()
    ended = gate.last(Reason.HOLD_ENDED)
    assert (ended.actor, ended.note, ended.outcome) == ("li.wei", "parcel", "staff")


def test_a_refused_car_a_refused_call_and_nothing_to_refuse_are_told_apart() -> None:
    gate = with_car(LaneGate())
    gate.present(STRANGE)
    effects = gate.refuse("r1")
    assert the_answer(effects) == ("r1", "confirmed", "the car was refused", gate.last(Reason.GUARD_DENIED).id)
    gate.sense(InputName.CALL, True)
    effects = gate.refuse("r2")
    event = gate.last(Reason.GUARD_DENIED)
    assert event.kind is EventKind.COMMAND
    assert the_answer(effects) == ("r2", "confirmed", "the call was refused", event.id)
    assert the_answer(gate.refuse("r3")) == ("r3", "refused", "no car is held at this lane", "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (InputName.FIRE, "the fire input is still active"),
        (InputName.EMERGENCY_KEY, "the key switch is still turned"),
        (None, "no emergency holds this lane open"),
    ],
)
def test_a_release_that_is_refused_says_why(name: InputName | None, words: str) -> None:
    gate = LaneGate().at_rest()
    if name is not None:
        gate.sense(name, True)
    assert the_answer(gate.emergency(is_release=True)) == ("e1", "refused", words, "")


def test_a_release_is_answered_with_its_event() -> None:
    gate = LaneGate().at_rest()
    gate.emergency("e1")
    gate.arm(is_up=True)
    answer = the_answer(gate.emergency("e2", is_release=True))
    assert answer == ("e2", "confirmed", "the emergency is released", gate.last(Reason.EMERGENCY_RELEASED).id)


def test_a_tamper_contact_is_an_alarm() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.TAMPER, True)
    assert gate.last(Reason.TAMPER).kind is EventKind.ALARM


def test_a_latch_is_kept_once_however_often_its_cause_comes() -> None:
    gate = LaneGate().at_rest()
    kept = []
    for is_active in (True, False, True):
        kept += all_of(Keep, gate.sense(InputName.FIRE, is_active))
    assert [(one.name, one.value) for one in kept] == [("emergency:east-car", "fire")]
    gate.sense(InputName.FIRE, False)
    assert [one.value for one in all_of(Keep, gate.emergency(is_release=True))] == [""]
    assert [one.value for one in all_of(Keep, gate.sense(InputName.FIRE, True))] == ["fire"]


def test_a_latch_from_before_the_restart_is_not_written_anew() -> None:
    gate = LaneGate(kept={"emergency:east-car": "fire"})
    assert not all_of(Keep, gate.sense(InputName.FIRE, True))


# --- what a held car, a call and a mode lead to ---


def test_an_unread_car_is_read_again_at_its_own_lane() -> None:
    gate = with_car(LaneGate())
    gate.present(UNREAD)
    assert all_of(ReadPlate, gate.wait(3.0)) == [ReadPlate(gate.lane.id)]


def test_a_held_car_is_waited_for_as_long_as_the_lane_says() -> None:
    gate = with_car(LaneGate(a_lane(hold_timeout_s=40.0)))
    gate.present(STRANGE)
    gate.wait(39.9)
    assert gate.machine.is_held
    gate.wait(0.1)
    assert gate.last(Reason.HOLD_ENDED).outcome == "timeout"


def test_a_car_that_is_read_behind_a_held_card_is_told_of() -> None:
    gate = with_car(LaneGate(view=a_view(a_grant(asks_guard=True), policies=a_policy())))
    gate.present(an_attempt())
    assert gate.machine.held_attempt == "a1"
    gate.present(STRANGE)
    assert the_last(gate) is Reason.PLATE_UNKNOWN
    assert gate.records[-1].ref == "a1"


def test_the_car_whose_call_nobody_answers_is_counted_as_itself() -> None:
    gate = with_car(LaneGate(view=a_view(a_plate_grant(asks_guard=True), policies=a_policy())))
    gate.present(a_plate_attempt())
    gate.sense(InputName.CALL, True)
    gate.wait(10)
    gate.arm(is_up=True)
    gate.pass_under()
    gate.arm(is_up=False)
    passage = gate.last(Reason.PASSED)
    assert passage.ref == gate.last(Reason.EMERGENCY_CALL).id
    assert passage.crossing == Crossing(f"plate:{PLATE}", "", "site", is_vehicle=True)


def test_a_call_where_no_car_is_held_counts_somebody_unknown() -> None:
    gate = LaneGate(view=a_view(policies=a_policy())).at_rest()
    gate.sense(InputName.CALL, True)
    gate.wait(10)
    gate.arm(is_up=True)
    gate.pass_under()
    gate.arm(is_up=False)
    assert gate.last(Reason.PASSED).crossing == Crossing("", "", "site", is_vehicle=True)


def test_a_car_that_passes_in_an_emergency_is_counted_as_its_plate() -> None:
    gate = LaneGate(view=a_view(policies=a_policy())).at_rest()
    gate.emergency()
    gate.arm(is_up=True)
    gate.sense(InputName.PRESENCE, True)
    gate.present(STRANGE)
    assert [crossing.subject for crossing in crossings(gate.pass_under())] == ["plate:粤B00000"]


def test_a_stranger_who_leaves_by_an_unknown_card_is_nobody() -> None:
    gate = with_car(LaneGate(a_lane(direction=Direction.OUT), a_view(policies=a_policy())))
    gate.present(STRANGER)
    gate.arm(is_up=True)
    gate.pass_under()
    gate.arm(is_up=False)
    passage = gate.last(Reason.PASSED)
    assert passage.crossing is not None
    assert passage.crossing.subject == ""


def test_a_lane_of_which_the_office_said_nothing_leads_from_the_street_to_the_street() -> None:
    gate = with_car(LaneGate())
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    gate.pass_under()
    gate.arm(is_up=False)
    crossing = gate.last(Reason.PASSED).crossing
    assert crossing is not None
    assert (crossing.area_from, crossing.area_to) == ("", "")


# --- what the switches say ---


def test_a_lane_whose_arm_was_never_heard_of_is_not_held_open() -> None:
    gate = LaneGate()
    assert gate.wait(3 * gate.lane.held_open_after_s) == []


def test_an_arm_that_was_up_at_the_first_tick_is_told_after_a_minute_to_the_nanosecond() -> None:
    gate = LaneGate(a_lane(passage_timeout_s=900.0))
    gate.sense(InputName.ARM_UP, True)
    just = round(gate.lane.held_open_after_s * 1e9)
    gate.hear(Ticked(NOON, just - 1))
    assert Reason.HELD_OPEN not in gate.reasons()
    gate.hear(Ticked(NOON, just))
    assert Reason.HELD_OPEN in gate.reasons()


def test_a_lower_switch_that_drops_late_does_not_raise_the_arm_twice() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.ARM_UP, True)
    gate.sense(InputName.ARM_DOWN, False)
    assert gate.reasons() == [Reason.FORCED_OPEN]


def test_a_fault_contact_that_is_quiet_says_nothing_about_the_loop() -> None:
    gate = LaneGate()
    gate.sense(InputName.SAFETY_FAULT, False)
    assert gate.machine.motion.safety == "unknown"
    gate.sense(InputName.SAFETY_FAULT, True)
    gate.sense(InputName.SAFETY_FAULT, False)
    assert gate.machine.motion.safety == "unknown"


# --- what `decide` is asked with ---

HOME = (Household("h1", cars=(CredentialKey(f"plate:{PLATE}"),)),)


def test_a_card_of_the_household_opens_for_its_held_unread_car_and_for_no_other() -> None:
    view = a_view(a_grant(levels=()), a_plate_grant(), households=HOME, policies=a_policy())
    gate = with_car(LaneGate(view=view))
    gate.present(an_attempt())
    assert the_last(gate) is Reason.NO_PERMISSION_GATE
    gate.present(UNREAD)
    assert all_of(OpenBarrier, gate.present(an_attempt()))
    assert gate.last(Reason.HOUSEHOLD_CARD).verdict is Verdict.GRANTED


def test_a_card_for_a_car_without_plates_is_judged_by_what_was_read_of_the_held_car() -> None:
    gate = with_car(LaneGate(view=a_view(a_grant(has_no_plate=True), policies=a_policy())))
    gate.present(STRANGE)
    gate.present(an_attempt())
    assert gate.records[-1].verdict is Verdict.HELD
    assert the_line(gate.records[-1], "no_plate_card") == ("粤B00000", "fail")
    bare = with_car(LaneGate(view=gate.view))
    bare.present(an_attempt())
    assert bare.records[-1].reason is Reason.NO_PLATE_OK
    assert the_line(bare.records[-1], "no_plate_card") == ("no_plate_read", "pass")


def test_a_clock_that_is_not_trusted_refuses_only_what_its_floor_proves_over() -> None:
    early, over = a_grant(valid_from_s=NOON_S + 9), a_grant(key="em:0000000002", valid_until_s=NOON_S)
    gate = with_car(LaneGate(view=a_view(early, over, policies=a_policy())))
    gate.context = replace(gate.context, clock=ClockTrust.UNTRUSTED, clock_floor_s=NOON_S)
    gate.present(an_attempt(key=over.key))
    assert the_last(gate) is Reason.CARD_EXPIRED
    gate.present(an_attempt())
    assert the_last(gate) is Reason.CLOCK_UNTRUSTED


def test_after_the_first_card_of_the_hours_a_stranger_is_let_in() -> None:
    hours = Schedule("hours", tuple(Window(day, 0, 1440) for day in range(7)))
    policies = a_policy(open_schedule="hours", is_first_card_in=True)
    gate = LaneGate(a_walk_lane(), a_view(a_grant(), schedules=(hours,), policies=policies)).at_rest()
    gate.present(STRANGER)
    assert the_last(gate) is Reason.CARD_UNKNOWN
    gate.present(an_attempt(key=CARD))
    gate.present(STRANGER)
    assert the_last(gate) is Reason.SCHEDULE_OPEN


@pytest.mark.parametrize("is_up", [True, False])
def test_whether_the_other_gates_can_be_heard_is_asked_of_the_link(is_up: bool) -> None:
    view = a_view(a_grant(uses=1), policies=a_policy(), areas=an_area(link_policy=LinkPolicy.STRICT))
    gate = LaneGate(a_walk_lane(), view).at_rest()
    gate.context = replace(gate.context, is_link_up=is_up)
    gate.present(an_attempt())
    event = gate.records[0]
    expected = (Reason.CARD_OK, "") if is_up else (Reason.LINK_DOWN, "strict")
    assert (event.reason, event.link_policy) == expected


@pytest.mark.parametrize("kind", [None, DayKind.HOLIDAY])
def test_open_hours_follow_the_holidays_of_the_list(kind: DayKind | None) -> None:
    hours = Schedule("hours", tuple(Window(day, 0, 1440) for day in range(7)), follows_calendar=True)
    today, _minute = day_and_minute(NOON)
    calendar = Calendar(today, today, {} if kind is None else {today: kind})
    view = a_view(schedules=(hours,), policies=a_policy(open_schedule="hours"), calendar=calendar)
    why = OpenHours().look(view, a_lane().id, NOON, ClockTrust.SYNCED, AttemptWatch())
    assert why == ("schedule:hours" if kind is None else "")
