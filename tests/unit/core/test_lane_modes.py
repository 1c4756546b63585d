"""Modes, open hours, two people, keypads and what counts: what a lane remembers of the office and of attempts."""

from dataclasses import replace

import pytest
from builders import (
    CARD,
    NOON_S,
    WALK,
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
from lane_gate import LaneGate, all_of, crossed, crossings

from gatectl.core.lane import Phase
from gatectl.core.lane_io import CloseBarrier, Indicate, OpenBarrier, ReadPlate, Signal
from gatectl.core.model import (
    ClockTrust,
    CredentialKey,
    Crossing,
    Direction,
    EventKind,
    InputName,
    Lane,
    LaneMode,
    LinkPolicy,
    PassClaim,
    Pending,
    Schedule,
    SiteId,
    Verdict,
    Window,
)
from gatectl.core.reasons import Reason

SECOND = CredentialKey("em:0000000002")
CARDS = (a_grant(), a_grant(key=SECOND, subject="p2", household="h2"), a_plate_grant(), a_plate_grant("粤E54321"))
HOURS = (Schedule("hours", tuple(Window(day, 12 * 60 + 1, 12 * 60 + 2) for day in range(7))),)
"""12:01 to 12:02 in site time; a gate of these tests begins at 12:00."""


def a_gate(lane: Lane | None = None, **policy: object) -> LaneGate:
    view = a_view(*CARDS, schedules=HOURS, policies=a_policy(**policy))
    return LaneGate(lane, view).at_rest()


def untrusted(gate: LaneGate) -> LaneGate:
    gate.context = replace(gate.context, clock=ClockTrust.UNTRUSTED)
    return gate


# --- modes and hours ---


def test_held_open_begins_with_a_record_and_an_opening_and_ends_to_the_second() -> None:
    gate = a_gate(mode=LaneMode.HELD_OPEN, mode_until_s=NOON_S + 30)
    effects = gate.wait(0.1)
    began = gate.last(Reason.MODE_BEGAN)
    assert (began.kind, began.note) == (EventKind.SYSTEM, "held_open")
    assert gate.opened_for(effects) == [began]
    assert all_of(Indicate, effects)[-1].reason is Reason.MODE_HOLD_OPEN
    assert gate.machine.why_open == "held_open"
    gate.arm(is_up=True)
    assert gate.wait(30.0 - gate.now_s - 0.1) == []
    effects = gate.wait(0.1)
    assert gate.last(Reason.MODE_ENDED).note == "held_open"
    assert all_of(CloseBarrier, effects)
    assert all_of(Indicate, effects)[-1].signal is Signal.IDLE


def test_held_open_without_an_end_lasts_until_the_office_changes_it() -> None:
    gate = a_gate(mode=LaneMode.HELD_OPEN)
    gate.wait(0.1)
    gate.arm(is_up=True)
    assert not all_of(CloseBarrier, untrusted(gate).wait(100))
    gate.view = a_view(*CARDS, policies=a_policy())
    assert all_of(CloseBarrier, gate.wait(0.1))


def test_a_list_without_a_policy_ends_the_mode() -> None:
    gate = a_gate(mode=LaneMode.HELD_OPEN)
    gate.wait(0.1)
    gate.view = a_view(*CARDS)
    gate.wait(0.1)
    assert gate.machine.why_open == ""


def test_open_hours_begin_and_end() -> None:
    gate = a_gate(open_schedule="hours")
    gate.wait(59.9)
    assert gate.machine.phase is Phase.IDLE
    effects = gate.wait(0.1)
    assert gate.opened_for(effects)[0].note == "schedule:hours"
    assert all_of(Indicate, effects)[-1].reason is Reason.SCHEDULE_OPEN
    gate.arm(is_up=True)
    assert not all_of(CloseBarrier, gate.wait(118.9 - 60))
    assert all_of(CloseBarrier, gate.wait(0.2))


def test_hours_of_a_schedule_that_the_list_does_not_have_open_nothing() -> None:
    gate = a_gate(open_schedule="unheard of")
    assert not all_of(OpenBarrier, gate.wait(61))


def test_an_untrusted_clock_begins_no_hours_and_no_timed_mode() -> None:
    for policy in ({"open_schedule": "hours"}, {"mode": LaneMode.HELD_OPEN, "mode_until_s": NOON_S + 90}):
        assert not all_of(OpenBarrier, untrusted(a_gate(**policy)).wait(70))


def test_an_untrusted_clock_ends_no_hours_and_no_timed_mode() -> None:
    for policy in ({"open_schedule": "hours"}, {"mode": LaneMode.HELD_OPEN, "mode_until_s": NOON_S + 90}):
        gate = a_gate(**policy)
        gate.wait(61)
        gate.arm(is_up=True)
        assert not all_of(CloseBarrier, untrusted(gate).wait(120))
        gate.context = replace(gate.context, clock=ClockTrust.HOLDOVER)
        assert all_of(CloseBarrier, gate.wait(0.1))


def test_an_untrusted_clock_does_not_carry_one_schedules_hours_into_anothers() -> None:
    gate = a_gate(open_schedule="hours")
    gate.wait(61)
    gate.view = a_view(*CARDS, schedules=(Schedule("other", ()),), policies=a_policy(open_schedule="other"))
    untrusted(gate).wait(0.1)
    assert gate.machine.why_open == ""


@pytest.mark.parametrize("mode", [LaneMode.HELD_CLOSED, LaneMode.EXIT_ONLY, LaneMode.LOCKDOWN])
def test_hours_do_not_open_a_lane_that_the_office_has_closed(mode: LaneMode) -> None:
    assert not all_of(OpenBarrier, a_gate(mode=mode, open_schedule="hours").wait(61))
    over = a_gate(mode=mode, mode_until_s=NOON_S + 60, open_schedule="hours")
    assert all_of(OpenBarrier, over.wait(61))


def test_hours_follow_a_mode_that_ends_within_them() -> None:
    gate = a_gate(mode=LaneMode.HELD_OPEN, mode_until_s=NOON_S + 90, open_schedule="hours")
    gate.wait(0.1)
    gate.arm(is_up=True)
    assert not all_of(CloseBarrier, gate.wait(100))
    assert [event.note for event in gate.records] == ["held_open", "held_open", "schedule:hours"]
    assert gate.machine.why_open == "schedule:hours"


def test_hours_that_wait_for_the_first_card_begin_with_it_and_are_forgotten_after_them() -> None:
    gate = a_gate(a_walk_lane(), open_schedule="hours", is_first_card_in=True)
    gate.present(an_attempt())  # before the hours: no first card
    gate.wait(65)
    assert gate.machine.why_open == ""
    gate.present(an_attempt(key=CredentialKey("em:FFFFFFFFFF")))
    gate.wait(0.1)
    assert gate.machine.why_open == "", "a stranger's card is no first card"
    gate.present(an_attempt(key=SECOND))
    gate.wait(0.1)
    assert gate.machine.why_open == "schedule:hours"
    gate.wait(60)
    assert gate.machine.why_open == ""


def test_under_a_mode_a_door_is_released_again_and_again() -> None:
    gate = a_gate(a_walk_lane(), mode=LaneMode.HELD_OPEN)
    gate.wait(0.1)
    assert len(all_of(OpenBarrier, gate.wait(3 * gate.lane.arm_up_timeout_s))) == 3
    assert Reason.RELAY_NO_EFFECT not in gate.reasons()


def test_cars_that_pass_a_lane_that_stands_open_are_counted_known_or_not() -> None:
    gate = a_gate(mode=LaneMode.HELD_OPEN)
    gate.wait(0.1)
    gate.arm(is_up=True)
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    known = crossings(gate.pass_under())
    unknown = crossings(gate.pass_under())
    assert [(x.subject, x.area_to, x.is_vehicle) for x in (*known, *unknown)] == [
        ("plate:粤E12345", "site", True),
        ("", "site", True),
    ]


def test_a_car_that_was_let_in_and_does_not_come_while_the_lane_stands_open_is_not_counted() -> None:
    gate = a_gate(mode=LaneMode.HELD_OPEN)
    gate.wait(0.1)
    gate.arm(is_up=True)
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.sense(InputName.PRESENCE, False)
    gate.wait(gate.lane.passage_timeout_s)
    assert gate.last(Reason.NOT_ENTERED).outcome == "not_entered"


# --- power ---


def test_an_arm_that_is_found_up_is_power_back_and_closes_only_after_a_while_and_when_it_is_safe() -> None:
    gate = LaneGate()
    gate.sense(InputName.ARM_DOWN, False)
    gate.sense(InputName.ARM_UP, True)
    assert gate.reasons() == [Reason.POWER_BACK]
    assert not all_of(CloseBarrier, gate.wait(30)), "nobody knows what stands under it"
    assert all_of(CloseBarrier, gate.sense(InputName.SAFETY, False))


def test_an_arm_that_goes_up_after_its_first_report_is_forced() -> None:
    gate = LaneGate().at_rest()
    gate.arm(is_up=True)
    assert gate.reasons() == [Reason.FORCED_OPEN]


def test_a_car_that_stands_before_an_arm_found_up_is_read() -> None:
    gate = LaneGate()
    gate.sense(InputName.ARM_UP, True)
    assert all_of(ReadPlate, gate.sense(InputName.PRESENCE, True))
    gate.present(a_plate_attempt())
    gate.sense(InputName.SAFETY, False)
    gate.pass_under()
    gate.arm(is_up=False)
    assert gate.last(Reason.PASSED).ref == "a1"


# --- two people ---


def two() -> LaneGate:
    return a_gate(a_walk_lane(), is_two_person=True)


def test_the_second_of_two_people_opens_and_ends_the_firsts_wait() -> None:
    gate = two()
    assert all_of(Indicate, gate.present(an_attempt()))[-1].signal is Signal.HELD
    assert all_of(OpenBarrier, gate.present(an_attempt(key=SECOND)))
    ended = gate.last(Reason.HOLD_ENDED)
    assert (ended.ref, ended.outcome) == ("a1", "card")


def test_the_same_person_twice_is_not_two() -> None:
    gate = two()
    gate.present(an_attempt())
    assert not all_of(OpenBarrier, gate.present(an_attempt()))


def test_the_second_person_is_awaited_for_fifteen_seconds() -> None:
    gate = two()
    gate.present(an_attempt())
    gate.wait(14.9)
    assert gate.machine.is_held
    gate.wait(0.1)
    assert gate.last(Reason.HOLD_ENDED).outcome == "timeout"
    assert not all_of(OpenBarrier, gate.present(an_attempt(key=SECOND)))


def test_a_first_person_whom_staff_refuse_does_not_count() -> None:
    gate = two()
    gate.present(an_attempt())
    gate.refuse()
    assert not all_of(OpenBarrier, gate.present(an_attempt(key=SECOND)))


def test_after_two_people_the_next_two_are_needed() -> None:
    gate = two()
    gate.present(an_attempt())
    gate.present(an_attempt(key=SECOND))
    gate.sense(InputName.DOOR_OPEN, True)
    gate.sense(InputName.DOOR_OPEN, False)
    assert not all_of(OpenBarrier, gate.present(an_attempt()))


# --- keypads and strangers ---


def wrong_code(gate: LaneGate, times: int, every_s: float = 1.0) -> None:
    for n in range(times):
        gate.present(an_attempt(key=CredentialKey(f"code:{n}")))
        gate.wait(every_s)


def test_five_wrong_codes_lock_the_keypad_for_a_minute_with_one_alarm() -> None:
    gate = a_gate(a_walk_lane())
    wrong_code(gate, 4)
    assert Reason.CREDENTIAL_HAMMER not in gate.reasons()
    wrong_code(gate, 1)
    assert gate.records[-1].reason is Reason.CREDENTIAL_HAMMER
    assert gate.records[-1].ref == "a5"
    wrong_code(gate, 5)
    assert gate.reasons().count(Reason.KEYPAD_LOCKED) == 5
    assert gate.reasons().count(Reason.CREDENTIAL_HAMMER) == 1
    gate.wait(54)
    wrong_code(gate, 1)
    assert gate.reasons()[-1] is Reason.PIN_INVALID


def test_a_locked_keypad_opens_to_the_second() -> None:
    gate = a_gate(a_walk_lane())
    wrong_code(gate, 5, every_s=0)
    gate.wait(59.9)
    wrong_code(gate, 1, every_s=0)
    assert gate.reasons()[-1] is Reason.KEYPAD_LOCKED
    gate.wait(0.1)
    wrong_code(gate, 1, every_s=0)
    assert gate.reasons()[-1] is Reason.PIN_INVALID


def test_a_locked_keypad_stops_no_card() -> None:
    gate = a_gate(a_walk_lane())
    wrong_code(gate, 5)
    assert all_of(OpenBarrier, gate.present(an_attempt()))


def test_five_wrong_codes_in_more_than_a_minute_lock_nothing() -> None:
    gate = a_gate(a_walk_lane())
    wrong_code(gate, 6, every_s=15)
    assert Reason.CREDENTIAL_HAMMER not in gate.reasons()


def test_a_right_code_begins_the_count_anew() -> None:
    code = CredentialKey("code:right")
    view = a_view(a_grant(key=code), policies=a_policy())
    gate = LaneGate(a_walk_lane(), view).at_rest()
    wrong_code(gate, 4)
    assert all_of(OpenBarrier, gate.present(an_attempt(key=code)))
    wrong_code(gate, 4)
    assert Reason.CREDENTIAL_HAMMER not in gate.reasons()


def test_five_unknown_cards_in_a_minute_are_one_alarm_a_minute_and_lock_nothing() -> None:
    gate = a_gate(a_walk_lane())
    for n in range(9):
        gate.present(an_attempt(key=CredentialKey(f"em:FF{n:08d}")))
        gate.wait(5)
    assert gate.reasons().count(Reason.CREDENTIAL_HAMMER) == 1
    for n in range(9):
        gate.present(an_attempt(key=CredentialKey(f"em:FF{n:08d}")))
        gate.wait(5)
    assert gate.reasons().count(Reason.CREDENTIAL_HAMMER) == 2
    assert gate.reasons().count(Reason.CARD_UNKNOWN) == 18


def test_unknown_cards_far_apart_are_no_alarm() -> None:
    gate = a_gate(a_walk_lane())
    for n in range(9):
        gate.present(an_attempt(key=CredentialKey(f"em:FF{n:08d}")))
        gate.wait(15)
    assert Reason.CREDENTIAL_HAMMER not in gate.reasons()


def test_a_pin_under_duress_opens_as_always_and_alarms_in_silence() -> None:
    code = CredentialKey("code:duress")
    gate = LaneGate(a_walk_lane(), a_view(a_grant(key=code, is_duress=True), policies=a_policy())).at_rest()
    effects = gate.present(an_attempt(key=code))
    assert all_of(OpenBarrier, effects)
    alarm = gate.last(Reason.DURESS)
    assert (alarm.kind, alarm.ref) == (EventKind.ALARM, "a1")
    assert all(x.reason is not Reason.DURESS for x in all_of(Indicate, effects))


# --- what counts ---


def test_a_completed_passage_says_who_went_where_and_for_how_long() -> None:
    courier = a_grant(max_stay_s=1800, uses=2)
    gate = LaneGate(a_walk_lane(), a_view(courier, policies=a_policy(area_from="yard"))).at_rest()
    gate.present(an_attempt())
    gate.sense(InputName.DOOR_OPEN, True)
    gate.sense(InputName.DOOR_OPEN, False)
    passage = gate.last(Reason.PASSED)
    assert (passage.credential, passage.subject, passage.household) == (CARD, "p1", "h1")
    assert passage.direction is Direction.IN
    assert passage.crossing == Crossing("p1", "yard", "site", max_stay_s=1800, uses_key=CARD)


def test_an_exit_counts_no_use_and_no_stay() -> None:
    lane = a_walk_lane(direction=Direction.OUT)
    gate = LaneGate(lane, a_view(a_grant(max_stay_s=1800, uses=2), policies=a_policy())).at_rest()
    gate.present(an_attempt())
    assert gate.machine.pending == ()
    gate.sense(InputName.DOOR_OPEN, True)
    left = crossings(gate.sense(InputName.DOOR_OPEN, False))
    assert [(x.max_stay_s, x.uses_key) for x in left] == [(0, "")]


def test_an_opening_that_nobody_uses_counts_nobody() -> None:
    gate = a_gate(a_walk_lane())
    gate.present(an_attempt())
    assert not crossed(gate.wait(20))
    assert gate.last(Reason.NOT_ENTERED).crossing is None


def test_a_grant_under_way_is_pending_until_its_passage_is_written() -> None:
    gate = a_gate()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    own = Pending("plate:粤E12345", "plate:粤E12345", "h1", is_vehicle=True)
    seen = [gate.machine.pending]
    gate.arm(is_up=True)
    gate.pass_under()
    seen.append(gate.machine.pending)
    gate.arm(is_up=False)
    seen.append(gate.machine.pending)
    assert seen == [(own,), (own,), ()]


def test_a_pass_for_one_entry_is_not_good_for_a_second_person_while_the_first_is_on_the_way() -> None:
    claim = PassClaim("n1", SiteId(""), (WALK,), 0, 2**31, 1, is_genuine=True)
    gate = a_gate(a_walk_lane())
    shown = replace(an_attempt(key=None), claim=claim)
    gate.present(shown)
    gate.sense(InputName.DOOR_OPEN, True)
    gate.present(shown)
    assert gate.records[-1].reason is Reason.CODE_USED
    assert gate.records[0].credential == "pass:n1"


def test_a_pass_that_is_shown_twice_in_haste_is_the_same_visitor() -> None:
    claim = PassClaim("n1", SiteId(""), (WALK,), 0, 2**31, 1, is_genuine=True)
    gate = a_gate(a_walk_lane())
    shown = replace(an_attempt(key=None), claim=claim)
    gate.present(shown)
    assert all_of(OpenBarrier, gate.present(shown))
    assert len(gate.records) == 1


def test_the_policy_for_a_link_that_is_down_is_written_on_the_event() -> None:
    area = an_area(link_policy=LinkPolicy.SOFT)
    gate = LaneGate(a_walk_lane(), a_view(*CARDS, areas=area, policies=a_policy())).at_rest()
    gate.context = replace(gate.context, is_link_up=False)
    gate.present(an_attempt())
    assert gate.records[0].link_policy == "soft"


def test_an_interlocked_lane_does_not_open_while_the_other_stands_open() -> None:
    gate = a_gate(a_walk_lane(), interlock="gatehouse")
    gate.context = replace(gate.context, is_interlocked=True)
    gate.present(an_attempt())
    assert (gate.records[0].reason, gate.records[0].verdict) == (Reason.INTERLOCK, Verdict.DENIED)


def test_grants_under_way_at_other_lanes_count() -> None:
    gate = LaneGate(a_walk_lane(), a_view(*CARDS, areas=an_area(), policies=a_policy())).at_rest()
    gate.context = replace(gate.context, pending=(Pending("x", "p1"),))
    gate.present(an_attempt())
    assert gate.records[0].reason is Reason.PASSBACK


def test_a_second_card_in_the_same_car_opens_nothing_more_and_ends_as_merged() -> None:
    gate = a_gate()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    assert not all_of(OpenBarrier, gate.present(an_attempt()))
    assert (gate.last(Reason.NOT_ENTERED).outcome, gate.last(Reason.NOT_ENTERED).ref) == ("merged", "a2")


def test_a_car_read_anew_after_a_dawdle_is_decided_anew() -> None:
    """Its first opening is over; the right is not used up by an opening that nobody used."""
    view = a_view(a_plate_grant(uses=1), policies=a_policy(), areas=an_area())
    gate = LaneGate(view=view).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    gate.wait(gate.lane.passage_timeout_s)
    assert gate.machine.phase is Phase.CLOSING
    assert all_of(OpenBarrier, gate.present(a_plate_attempt()))
    assert gate.last(Reason.NOT_ENTERED).outcome == "not_entered"


def test_a_full_queue_holds_the_next_car_and_reads_it_when_the_queue_moves() -> None:
    cars = tuple(a_plate_grant(f"粤E1000{n}") for n in range(4))
    gate = LaneGate(view=a_view(*cars, policies=a_policy())).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt(a_read("粤E10000")))
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    for n in (1, 2, 3):
        gate.present(a_plate_attempt(a_read(f"粤E1000{n}")))
    refused = gate.records[-1]
    assert (refused.reason, refused.verdict) == (Reason.WAIT_GUARD, Verdict.HELD)
    assert (refused.trace[-1].rule, refused.trace[-1].value, refused.trace[-1].outcome) == ("queue", "2 / 2", "fail")
    assert all_of(ReadPlate, gate.sense(InputName.SAFETY, False))
    gate.present(a_plate_attempt(a_read("粤E10003")))
    assert gate.records[-1].outcome == "retry"
    assert gate.machine.motion.queue == 2


@pytest.mark.parametrize("why", ["exit", "emergency"])
def test_at_an_exit_and_in_an_emergency_no_queue_is_full(why: str) -> None:
    cars = tuple(a_plate_grant(f"粤E1000{n}") for n in range(4))
    view = a_view(*cars, policies=a_policy(), emergency=("粤E10003",) if why == "emergency" else ())
    gate = LaneGate(a_lane(direction=Direction.OUT if why == "exit" else Direction.IN), view).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt(a_read("粤E10000")))
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    for n in (1, 2, 3):
        gate.present(a_plate_attempt(a_read(f"粤E1000{n}")))
    assert not gate.machine.is_held
    assert (gate.records[-1].outcome, gate.records[-1].ref) == ("merged", "a2")
    assert gate.opened_for(gate.sense(InputName.SAFETY, False))[0].id == "a3"


@pytest.mark.parametrize("is_sure_at_last", [True, False])
def test_a_held_car_that_turns_out_to_have_a_right_waits_for_the_queue(is_sure_at_last: bool) -> None:
    cars = tuple(a_plate_grant(f"粤E1000{n}") for n in range(4))
    gate = LaneGate(view=a_view(*cars, policies=a_policy())).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt(a_read("粤E10000")))
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    for text, sure in (("粤E10001", 0.999), ("粤E10002", 0.999), ("粤B00000", 0.2), ("粤E10003", 0.999)):
        gate.present(a_plate_attempt(a_read(text, sure)))
    if not is_sure_at_last:
        gate.present(a_plate_attempt(a_read("粤B00000")))
    assert bool(all_of(ReadPlate, gate.sense(InputName.SAFETY, False))) is is_sure_at_last


def test_a_car_under_the_arm_that_nobody_let_in_does_not_use_up_the_grant_of_the_next() -> None:
    """Power comes back with a car under the arm; the next one is let in, and then the guard opens for good."""
    gate = LaneGate(view=a_view(*CARDS, policies=a_policy()))
    gate.sense(InputName.ARM_UP, True)
    gate.sense(InputName.SAFETY, False)
    gate.sense(InputName.SAFETY, True)
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.emergency()
    first = crossings(gate.sense(InputName.SAFETY, False))
    second = crossings(gate.pass_under())
    assert [x.subject for x in (*first, *second)] == ["", "plate:粤E12345"]
