"""A car that waits: what is told of it, what ends it, and whom an order for it lets in."""

from dataclasses import replace

import pytest
from builders import (
    CARD,
    NOON_S,
    PLATE,
    a_grant,
    a_plate_attempt,
    a_plate_grant,
    a_policy,
    a_read,
    a_view,
    a_walk_lane,
    an_area,
    an_attempt,
)
from lane_gate import LaneGate, all_of

from gatectl.core.lane_io import CommandAnswered, Indicate, OpenBarrier, ReadPlate, Signal
from gatectl.core.model import (
    CredentialKey,
    EventKind,
    GrantState,
    InputName,
    Inside,
    Occupancy,
    Schedule,
    Verdict,
    WhitelistView,
    Window,
)
from gatectl.core.reasons import Reason

STRANGE = a_plate_attempt(a_read("粤B00000"))


def held(view: WhitelistView | None = None) -> LaneGate:
    """A strange car stands there."""
    gate = LaneGate(view=view).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(STRANGE)
    return gate


def signals(effects: object) -> list[tuple[Signal, Reason]]:
    assert isinstance(effects, tuple)
    return [(x.signal, x.reason) for x in all_of(Indicate, effects)]


def test_a_held_car_that_is_read_the_same_again_is_not_told_twice() -> None:
    gate = held()
    assert gate.present(STRANGE) == ()
    assert gate.present(a_plate_attempt(a_read("", 0.0, frames=0))) == ()


def test_a_held_car_that_reads_otherwise_is_told_and_stays_the_same_hold() -> None:
    gate = held()
    effects = gate.present(a_plate_attempt(a_read("粤B00001")))
    assert signals(effects) == [(Signal.HELD, Reason.PLATE_UNKNOWN)]
    assert (gate.records[-1].ref, gate.records[-1].verdict) == ("a1", Verdict.HELD)
    assert gate.machine.held_attempt == "a1"
    assert gate.present(a_plate_attempt(a_read("粤B00001"))) == ()


def test_a_held_car_whose_reason_changes_is_told_though_it_reads_the_same() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt(a_read("粤B00000", 0.2)))
    gate.present(STRANGE)
    assert gate.reasons() == [Reason.PLATE_LOW_CONF, Reason.PLATE_UNKNOWN]


def test_a_held_car_that_is_read_and_refused_is_shown_the_refusal_and_still_waits() -> None:
    gate = held(a_view(a_plate_grant(), policies=a_policy(), areas=an_area()))
    inside = {f"plate:{PLATE}": Inside("site", NOON_S, is_vehicle=True)}
    gate.context = replace(gate.context, occupancy=Occupancy(inside=inside))
    effects = gate.present(a_plate_attempt())
    assert signals(effects) == [(Signal.DENIED, Reason.PASSBACK)]
    assert gate.machine.is_held


def test_an_order_lets_in_the_car_as_it_was_read_last() -> None:
    gate = held()
    gate.present(a_plate_attempt(a_read("粤B00001")))
    gate.order()
    assert [pending.subject for pending in gate.machine.pending] == ["plate:粤B00001"]


def test_a_strangers_card_at_a_held_car_is_recorded_and_refused() -> None:
    gate = held()
    effects = gate.present(an_attempt(key=CredentialKey("em:FFFFFFFFFF")))
    assert signals(effects) == [(Signal.DENIED, Reason.CARD_UNKNOWN)]
    assert (gate.records[-1].reason, gate.records[-1].ref) == (Reason.CARD_UNKNOWN, "a1")
    assert gate.machine.held_attempt == "a1"


def test_a_card_that_asks_the_guard_joins_the_hold_that_there_is() -> None:
    gate = held(a_view(a_grant(asks_guard=True), policies=a_policy()))
    effects = gate.present(an_attempt())
    assert signals(effects) == [(Signal.HELD, Reason.WAIT_GUARD)]
    assert gate.machine.held_attempt == "a1"
    gate.order()
    assert [event.ref for event in gate.records if event.kind is EventKind.HOLD_END] == ["a1"]
    assert [pending.key for pending in gate.machine.pending] == [CARD]


def test_the_plate_of_a_held_car_is_not_forgotten_for_a_card() -> None:
    gate = held(a_view(a_grant(asks_guard=True), policies=a_policy()))
    gate.present(an_attempt())
    assert gate.present(STRANGE) != (), "the reason is another one again"
    assert gate.present(STRANGE) == ()


def test_a_refusal_is_shown_answered_and_ends_the_hold() -> None:
    gate = held()
    effects = gate.refuse()
    ended = gate.last(Reason.GUARD_DENIED)
    assert (ended.kind, ended.ref, ended.outcome, ended.actor, ended.note) == (
        *(EventKind.HOLD_END, "a1", "staff", "li.wei", "no"),
    )
    assert signals(effects) == [(Signal.DENIED, Reason.GUARD_DENIED)]
    assert [(x.command_id, x.state, x.event_id) for x in all_of(CommandAnswered, effects)] == [
        ("r1", "confirmed", ended.id)
    ]
    assert not gate.machine.is_held
    assert not gate.machine.motion.is_held


def test_a_car_that_backs_off_clears_the_display() -> None:
    gate = held()
    assert signals(gate.sense(InputName.PRESENCE, False)) == [(Signal.IDLE, Reason.HOLD_ENDED)]


def test_a_held_car_that_backs_off_behind_another_does_not_clear_that_ones_display() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    gate.present(STRANGE)
    effects = gate.sense(InputName.PRESENCE, False)
    assert gate.last(Reason.HOLD_ENDED).outcome == "backed_off"
    assert signals(effects) == []


def test_an_unread_car_is_read_again_after_three_seconds_once() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt(a_read("粤E1234", 0.2)))
    assert gate.wait(2.9) == []
    assert all_of(ReadPlate, gate.wait(0.1))
    assert not all_of(ReadPlate, gate.wait(30))


def test_a_strange_car_is_not_read_again_by_itself() -> None:
    assert not all_of(ReadPlate, held().wait(10))


def test_a_car_that_waits_for_the_guard_is_not_read_again_when_a_queue_moves() -> None:
    view = a_view(a_plate_grant(), a_plate_grant("粤E54321"), a_plate_grant("粤E99999", asks_guard=True))
    gate = LaneGate(view=view).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    gate.present(a_plate_attempt(a_read("粤E54321")))
    gate.present(a_plate_attempt(a_read("粤E99999")))
    effects = gate.sense(InputName.SAFETY, False)
    assert gate.opened_for(effects)[0].id == "a2"
    assert not all_of(ReadPlate, effects)


def test_a_read_of_a_car_that_has_left_is_a_line_in_its_lane_trace() -> None:
    gate = LaneGate().at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    gate.sense(InputName.PRESENCE, False)
    gate.present(a_plate_attempt(a_read("粤E00000")))
    gate.sense(InputName.SAFETY, False)
    gate.arm(is_up=False)
    assert "plate_read_again" in [moment.what for moment in gate.last(Reason.PASSED).lane_trace]


# --- two people, to the second ---


def two() -> LaneGate:
    grants = (a_grant(), a_grant(key=CredentialKey("em:0000000002"), subject="p2"))
    bad = a_grant(key=CredentialKey("em:0000000003"), subject="p3", state=GrantState.LOST)
    return LaneGate(a_walk_lane(), a_view(*grants, bad, policies=a_policy(is_two_person=True))).at_rest()


def test_the_second_person_is_too_late_at_fifteen_seconds_sharp() -> None:
    gate = two()
    gate.present(an_attempt())
    gate.now_s = 15.0
    assert not all_of(OpenBarrier, gate.present(an_attempt(key=CredentialKey("em:0000000002"))))


def test_the_second_person_is_in_time_just_before() -> None:
    gate = two()
    gate.present(an_attempt())
    gate.now_s = 14.9
    assert all_of(OpenBarrier, gate.present(an_attempt(key=CredentialKey("em:0000000002"))))


def test_the_first_of_two_who_taps_again_is_waited_for_anew() -> None:
    gate = two()
    gate.present(an_attempt())
    gate.wait(10)
    gate.present(an_attempt())
    gate.wait(14.9)
    assert gate.machine.is_held
    assert all_of(OpenBarrier, gate.present(an_attempt(key=CredentialKey("em:0000000002"))))


def test_a_lost_card_is_no_first_person() -> None:
    gate = two()
    gate.present(an_attempt(key=CredentialKey("em:0000000003")))
    assert not all_of(OpenBarrier, gate.present(an_attempt()))


# --- first card, strangers: the edges ---

HOURS = (Schedule("hours", tuple(Window(day, 12 * 60, 12 * 60 + 2) for day in range(7))),)
"""They run already when a gate of these tests begins."""


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_gate_that_starts_within_its_hours_waits_for_the_first_card_and_a_lost_one_is_none(is_lost: bool) -> None:
    card = a_grant(state=GrantState.LOST if is_lost else GrantState.ACTIVE)
    policies = a_policy(open_schedule="hours", is_first_card_in=True)
    gate = LaneGate(a_walk_lane(), a_view(card, schedules=HOURS, policies=policies)).at_rest()
    gate.wait(0.1)
    assert gate.machine.why_open == ""
    gate.present(an_attempt())
    gate.wait(0.1)
    assert gate.machine.why_open == ("" if is_lost else "schedule:hours")


def test_the_fifth_unknown_card_is_the_alarm_and_the_next_may_come_a_minute_later_to_the_second() -> None:
    gate = LaneGate(a_walk_lane()).at_rest()
    counts = []
    for n in range(13):
        gate.now_s = float(n * 12)
        gate.present(an_attempt(key=CredentialKey(f"em:FF{n:08d}")))
        counts.append(gate.reasons().count(Reason.CREDENTIAL_HAMMER))
    assert counts == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2]
