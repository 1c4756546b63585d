"""How a table is stepped, told on tables of a row or two: what an action does to the state, and which row is taken."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from gatectl.core.lane_rows import PEDESTRIAN, VEHICLE
from gatectl.core.lane_table import (
    Always,
    Arm,
    Do,
    Motion,
    Phase,
    Right,
    Row,
    Safety,
    Symbol,
    Table,
    Taken,
    Timer,
    When,
    sensed,
    step,
)

IDLE, OPEN, WAITING, CLOSING = Phase.IDLE, Phase.OPEN, Phase.WAITING, Phase.CLOSING
CLEAR = Motion(safety=Safety.CLEAR, arm=Arm.UP)


def a_row(*do: Do, on: Symbol = Symbol.GRANT, when: tuple[When, ...] = (), then: Phase = IDLE) -> Row:
    return Row(IDLE, (on,), when, "", do, then)


def a_table(*rows: Row, always: tuple[Always, ...] = (), stays: Iterable[Symbol] = ()) -> Table:
    return Table("few rows", (Symbol.GRANT,), always, rows, {IDLE: frozenset(stays)}, lambda _state: None)


@pytest.mark.parametrize(
    ("do", "before", "after"),
    [
        (Do.START, {}, {"right": Right.FRESH}),
        (Do.NEXT, {"queue": 2, "right": Right.USED}, {"queue": 1, "right": Right.FRESH}),
        (Do.NEXT, {}, {"right": Right.FRESH}),
        (Do.QUEUE, {}, {"queue": 1}),
        (Do.QUEUE, {"queue": 2}, {"queue": 2}),
        (Do.DISPLACE, {"queue": 2}, {"queue": 1}),
        (Do.DISPLACE, {"queue": 1}, {"queue": 0}),
        (Do.DISPLACE, {}, {"queue": 0}),
        (Do.PASSED, {"right": Right.FRESH}, {"right": Right.USED}),
        (Do.PASSED, {}, {"right": Right.NOBODYS}),
        (Do.FINISH, {"right": Right.USED}, {"right": Right.NOBODYS}),
        (Do.TELL_TAILGATE, {"right": Right.FRESH}, {"right": Right.USED}),
        (Do.END_HOLD, {"is_held": True}, {"is_held": False}),
        (Do.TELL_STUCK, {}, {"is_told": True}),
        (Do.TELL_NO_EFFECT, {}, {"is_told": True}),
        (Do.READ, {"queue": 1, "is_held": True}, {"queue": 1, "is_held": True}),
    ],
)
def test_an_action_changes_the_state_so(do: Do, before: dict[str, object], after: dict[str, object]) -> None:
    state = replace(Motion(), **before)  # type: ignore[arg-type]
    taken = step(a_table(a_row(do)), state, Symbol.GRANT)
    assert taken.state == replace(state, **after)  # type: ignore[arg-type]
    assert taken.actions == (do,)


def test_the_first_row_that_fits_is_taken() -> None:
    guarded, plain = a_row(Do.READ, when=(When.UP,)), a_row(Do.START)
    table = a_table(guarded, plain, a_row(Do.CLOSE))
    assert table.first(Symbol.GRANT, Motion(), Motion()) == plain
    assert table.first(Symbol.GRANT, Motion(), Motion(arm=Arm.UP)) == guarded
    assert table.first(Symbol.ORDER, Motion(), Motion()) is None
    assert table.first(Symbol.GRANT, Motion(), Motion(phase=OPEN)) is None


def test_a_phase_handles_what_it_leaves_alone_and_what_its_last_row_takes_whatever_holds() -> None:
    guarded, plain = a_row(when=(When.UP,)), a_row()
    assert a_table(plain).handles(IDLE, Symbol.GRANT)
    assert a_table(guarded, plain).handles(IDLE, Symbol.GRANT)
    assert not a_table(guarded).handles(IDLE, Symbol.GRANT)
    assert not a_table(plain, guarded).handles(IDLE, Symbol.GRANT)
    assert not a_table().handles(IDLE, Symbol.GRANT)
    assert not a_table(plain).handles(OPEN, Symbol.GRANT)
    assert a_table(stays=[Symbol.TIMER]).handles(IDLE, Symbol.TIMER)
    assert not a_table(stays=[Symbol.TIMER]).handles(OPEN, Symbol.TIMER)


def test_what_is_always_done_comes_first_and_keeps_its_own_place() -> None:
    always, row = Always((Symbol.GRANT,), (), (Do.TELL_FAULT,)), a_row(Do.READ)
    taken = step(a_table(row, always=(always,)), Motion(), Symbol.GRANT)
    assert taken.taken == (Taken(always, (Do.TELL_FAULT,)), Taken(row, (Do.READ,)))
    assert [one.note for one in taken.taken] == ["", ""]


def test_what_is_always_done_waits_for_its_symbol_and_all_its_guards() -> None:
    always = Always((Symbol.GRANT,), (When.UP, When.HELD), (Do.TELL_FAULT,))
    table = a_table(always=(always,))
    assert step(table, Motion(arm=Arm.UP, is_held=True), Symbol.GRANT).actions == (Do.TELL_FAULT,)
    assert step(table, Motion(arm=Arm.UP, is_held=True), Symbol.ORDER).actions == ()
    assert step(table, Motion(arm=Arm.UP), Symbol.GRANT).actions == ()


def test_a_settling_row_compares_the_state_with_itself() -> None:
    table = a_table(a_row(Do.READ), a_row(Do.START, on=Symbol.SETTLE, when=(When.FELL, When.NOBODYS)))
    assert step(table, Motion(arm=Arm.UP), Symbol.GRANT).actions == (Do.READ, Do.START)
    assert step(table, Motion(arm=Arm.DOWN), Symbol.GRANT).actions == (Do.READ,)


def test_a_step_opens_once() -> None:
    again = a_row(Do.OPEN, Do.READ, on=Symbol.SETTLE, when=(When.NOBODYS,), then=OPEN)
    taken = step(a_table(a_row(Do.OPEN), again), CLEAR, Symbol.GRANT)
    assert taken.actions == (Do.OPEN, Do.READ)
    assert taken.state.phase is OPEN


def test_a_step_that_opens_does_not_close() -> None:
    close = a_row(Do.CLOSE, on=Symbol.SETTLE, when=(When.NOBODYS,), then=CLOSING)
    taken = step(a_table(a_row(Do.OPEN), close), CLEAR, Symbol.GRANT)
    assert (taken.actions, taken.is_vetoed, taken.state.phase) == ((Do.OPEN,), True, WAITING)
    both = step(a_table(a_row(Do.CLOSE, Do.OPEN, then=CLOSING)), CLEAR, Symbol.GRANT)
    assert (both.actions, both.is_vetoed, both.state.phase) == ((Do.OPEN,), True, WAITING)


def test_a_close_that_is_safe_is_left_alone() -> None:
    taken = step(a_table(a_row(Do.CLOSE, Do.READ, then=CLOSING)), CLEAR, Symbol.GRANT)
    assert (taken.actions, taken.is_vetoed, taken.state.phase) == ((Do.CLOSE, Do.READ), False, CLOSING)


def test_a_close_that_is_struck_out_leaves_the_rest_of_its_row() -> None:
    occupied = replace(CLEAR, safety=Safety.OCCUPIED)
    taken = step(a_table(a_row(Do.FINISH, Do.CLOSE, Do.READ, then=CLOSING)), occupied, Symbol.GRANT)
    assert (taken.actions, taken.is_vetoed, taken.state.phase) == ((Do.FINISH, Do.READ), True, WAITING)
    elsewhere = step(a_table(a_row(Do.CLOSE, then=OPEN)), occupied, Symbol.GRANT)
    assert (elsewhere.actions, elsewhere.state.phase) == ((), OPEN)


def test_what_was_told_of_a_phase_is_forgotten_with_it_and_kept_within_it() -> None:
    told = Motion(is_told=True)
    assert step(a_table(a_row(then=OPEN)), told, Symbol.GRANT).state == Motion(phase=OPEN, is_told=False)
    assert step(a_table(a_row(then=IDLE)), told, Symbol.GRANT).state.is_told is True


def test_a_release_while_fire_burns_ends_the_emergency_and_not_the_fire() -> None:
    burning = Motion(is_fire_input=True, is_fire=True, is_emergency=True)
    assert sensed(burning, Symbol.RELEASED) == Motion(is_fire_input=True, is_fire=True)
    assert sensed(replace(burning, is_fire_input=False), Symbol.RELEASED) == Motion()


ANYWHERE = [(arm, right, safety) for arm in Arm for right in Right for safety in Safety]


@pytest.mark.parametrize(
    ("phase", "timer"),
    [
        (Phase.IDLE, None),
        (Phase.OPENING, Timer.ARM),
        (Phase.OPEN, Timer.PASSAGE),
        (Phase.PASSING, None),
        (Phase.WAITING, None),
        (Phase.CLOSING, Timer.STUCK),
    ],
)
def test_an_arms_phase_has_its_timer_wherever_the_arm_is(phase: Phase, timer: Timer | None) -> None:
    for arm, right, safety in ANYWHERE:
        assert VEHICLE.timers(Motion(phase, arm, safety, right)) is timer


def test_an_arm_that_should_stand_open_is_awaited_and_then_whoever_has_an_unused_grant() -> None:
    for arm, right, safety in ANYWHERE:
        expected = None if right is not Right.FRESH or safety is Safety.OCCUPIED else Timer.PASSAGE
        if arm is not Arm.UP:
            expected = Timer.ARM
        assert VEHICLE.timers(Motion(Phase.STANDING, arm, safety, right)) is expected


@pytest.mark.parametrize("phase", Phase)
def test_a_door_is_awaited_while_its_lock_is_released_and_a_person_while_it_stands_open(phase: Phase) -> None:
    for arm, right, safety in ANYWHERE:
        timer = PEDESTRIAN.timers(Motion(phase, arm, safety, right))
        if phase is Phase.STANDING and arm is Arm.UP:
            assert timer is (Timer.PASSAGE if right is Right.FRESH else None)
        else:
            assert timer is (Timer.ARM if phase in (Phase.OPENING, Phase.STANDING) else None)
