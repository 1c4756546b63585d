"""How a lane hears its switches and writes its passages: the edges of what is known."""

from builders import PLATE, a_grant, a_plate_attempt, a_plate_grant, a_policy, a_read, a_view, a_walk_lane, an_attempt
from lane_gate import LaneGate, all_of

from gatectl.core.lane_io import CloseBarrier
from gatectl.core.lane_records import NOTE_MAX
from gatectl.core.model import CredentialKey, InputName, LaneMode
from gatectl.core.reasons import Reason


def test_the_arm_is_where_its_switches_say() -> None:
    gate = LaneGate()
    seen = [gate.machine.arm]
    for name, is_active in (
        (InputName.ARM_UP, False),
        (InputName.ARM_DOWN, False),
        (InputName.ARM_UP, True),
        (InputName.ARM_UP, False),
        (InputName.ARM_DOWN, True),
    ):
        gate.sense(name, is_active)
        seen.append(gate.machine.arm)
    assert seen == ["unknown", "unknown", "moving", "up", "moving", "down"]


def test_a_door_is_where_its_contact_says() -> None:
    gate = LaneGate(a_walk_lane())
    seen = [gate.machine.arm]
    for is_active in (False, True, False):
        gate.sense(InputName.DOOR_OPEN, is_active)
        seen.append(gate.machine.arm)
    assert seen == ["unknown", "down", "up", "down"]


def test_an_arm_between_its_switches_at_the_start_that_goes_up_is_forced_and_not_power_back() -> None:
    gate = LaneGate()
    for name, is_active in ((InputName.ARM_UP, False), (InputName.ARM_DOWN, False), (InputName.ARM_UP, True)):
        gate.sense(name, is_active)
    assert gate.reasons() == [Reason.FORCED_OPEN]


def test_an_arm_of_which_only_one_quiet_switch_was_heard_is_not_known_yet() -> None:
    gate = LaneGate()
    for name, is_active in ((InputName.ARM_DOWN, False), (InputName.ARM_UP, True)):
        gate.sense(name, is_active)
    assert gate.reasons() == [Reason.POWER_BACK]


def test_a_door_that_is_found_open_is_power_back_and_its_closing_is_no_passage() -> None:
    gate = LaneGate(a_walk_lane())
    gate.sense(InputName.DOOR_OPEN, True)
    gate.sense(InputName.DOOR_OPEN, False)
    assert gate.reasons() == [Reason.POWER_BACK]


def test_an_arm_that_starts_and_falls_back_has_not_opened() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.sense(InputName.ARM_DOWN, False)
    gate.wait(1)
    gate.sense(InputName.ARM_DOWN, True)
    gate.wait(gate.lane.arm_up_timeout_s)
    assert gate.last(Reason.NOT_ENTERED).outcome == "no_arm"


def test_an_empty_read_where_nobody_stands_is_nobody() -> None:
    gate = LaneGate().at_rest()
    assert gate.present(a_plate_attempt(a_read("", 0.0, frames=0))) == ()


def test_a_plate_where_nobody_stands_and_nobody_passes_is_suspect() -> None:
    gate = LaneGate().at_rest()
    gate.present(a_plate_attempt())
    assert gate.reasons() == [Reason.SPOOF_SUSPECT]


def test_without_a_presence_loop_another_plate_is_another_attempt() -> None:
    gate = LaneGate(view=a_view(a_plate_grant(), a_plate_grant("粤E54321"), policies=a_policy()))
    for name in (InputName.ARM_UP, InputName.SAFETY):
        gate.sense(name, False)
    gate.sense(InputName.ARM_DOWN, True)
    gate.order()
    assert gate.present(a_plate_attempt(a_read("粤E54321"))) != ()


def test_a_lane_that_lets_one_car_after_another_through_is_not_held_open() -> None:
    gate = LaneGate(view=a_view(*(a_plate_grant(f"粤E1000{n}") for n in range(3)), policies=a_policy())).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt(a_read("粤E10000")))
    gate.arm(is_up=True)
    for n in (1, 2):
        gate.sense(InputName.SAFETY, True)
        gate.present(a_plate_attempt(a_read(f"粤E1000{n}")))
        gate.wait(40)
        gate.sense(InputName.SAFETY, False)
    assert Reason.HELD_OPEN not in gate.reasons()


def test_an_arm_that_stays_up_after_a_mode_is_told_a_minute_after_its_end() -> None:
    gate = LaneGate(view=a_view(policies=a_policy(mode=LaneMode.HELD_OPEN))).at_rest()
    gate.wait(0.1)
    gate.arm(is_up=True)
    gate.wait(120)
    gate.view = a_view(policies=a_policy())
    gate.wait(0.1 + gate.lane.held_open_after_s - 0.1)
    assert Reason.HELD_OPEN not in gate.reasons()
    gate.wait(0.1)
    assert gate.reasons().count(Reason.HELD_OPEN) == 1


def test_an_order_that_nobody_uses_ends_after_the_passage_time() -> None:
    gate = LaneGate().at_rest()
    gate.order()
    gate.arm(is_up=True)
    assert not all_of(CloseBarrier, gate.wait(gate.lane.passage_timeout_s - 0.1))
    assert all_of(CloseBarrier, gate.wait(0.1))


def test_a_slow_person_gets_three_times_the_passage_time() -> None:
    gate = LaneGate(view=a_view(a_grant(extended_open=True), policies=a_policy())).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(an_attempt())
    gate.arm(is_up=True)
    assert not all_of(CloseBarrier, gate.wait(3 * gate.lane.passage_timeout_s - 0.1))
    assert all_of(CloseBarrier, gate.wait(0.1))


def test_a_passage_on_an_order_names_the_known_car_that_was_held() -> None:
    view = a_view(a_plate_grant(asks_guard=True), policies=a_policy())
    gate = LaneGate(view=view).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.order()
    gate.arm(is_up=True)
    gate.pass_under()
    gate.arm(is_up=False)
    passage = gate.last(Reason.PASSED)
    assert (passage.credential, passage.household) == (f"plate:{PLATE}", "h1")


def test_every_event_names_the_list_it_was_made_on() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.TAMPER, True)
    gate.present(an_attempt(key=CredentialKey("em:FFFFFFFFFF")))
    assert [event.revision for event in gate.records] == [("ep", 7), ("ep", 7)]


def test_a_lane_trace_has_a_last_line() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    for _ in range(2 * NOTE_MAX):
        gate.present(a_plate_attempt())
    gate.pass_under()
    gate.arm(is_up=False)
    moments = gate.last(Reason.PASSED).lane_trace
    assert len(moments) == NOTE_MAX == 40
    assert moments[0].ms == 0


def test_an_arm_that_leaves_its_upper_end_over_a_car_is_told_to_open_once() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    effects = gate.sense(InputName.ARM_UP, False)
    assert [event.id for event in gate.opened_for(effects)] == ["a1"]
    assert gate.wait(30) == []


def test_an_arm_that_falls_while_the_lane_must_stand_open_is_told_to_open() -> None:
    gate = LaneGate().at_rest()
    gate.emergency()
    gate.arm(is_up=True)
    for name, is_active in ((InputName.ARM_UP, False), (InputName.ARM_DOWN, True)):
        effects = gate.sense(name, is_active)
        assert gate.opened_for(effects) == [gate.last(Reason.EMERGENCY_MANUAL)]
