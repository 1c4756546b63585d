"""The tables of the lane, every state and every move of them: nothing unsafe, nothing forgotten, no dead end."""

from dataclasses import replace
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.bench.lane_walk import Walk, walk
from gatectl.core.lane_rows import PEDESTRIAN, VEHICLE
from gatectl.core.lane_table import (
    QUEUE_MAX,
    SETTLE_MAX,
    Do,
    Motion,
    Phase,
    Right,
    Row,
    Safety,
    Step,
    Symbol,
    Table,
    When,
    step,
)

BOTH = pytest.mark.parametrize("table", [VEHICLE, PEDESTRIAN], ids=lambda table: table.name)
WANTED = frozenset({Symbol.GRANT, Symbol.URGENT, Symbol.ORDER})
TAKEN = (Do.START, Do.QUEUE, Do.MERGE, Do.REFUSE)
EXPLAINED = frozenset({Do.START, Do.NEXT, Do.MERGE, Do.QUEUE, Do.TELL_TAILGATE, Do.TELL_OBSTRUCTED, Do.TELL_FAULT})
"""Beside these an OPEN has its reason in the same step."""


@lru_cache
def walked(table: Table) -> Walk:
    return walk(table)


def outstanding(state: Motion) -> int:
    """Grants that are taken and have not ended."""
    return state.queue + (state.right is not Right.NOBODYS)


def ended(before: Motion, actions: tuple[Do, ...]) -> int:
    """Grants that ended in a step: an opening that is somebody's is finished, or a waiting one displaced."""
    is_somebodys, count = before.right is not Right.NOBODYS, 0
    for do in actions:
        if do is Do.FINISH:
            count, is_somebodys = count + is_somebodys, False
        elif do is Do.DISPLACE:
            count += 1
        elif do in (Do.START, Do.NEXT, Do.TELL_TAILGATE):
            is_somebodys = True
    return count


@BOTH
def test_close_is_asked_for_only_while_safety_is_known_to_be_clear_and_nothing_holds_open(table: Table) -> None:
    for move in walked(table).moves:
        if Do.CLOSE in move.actions:
            after = move.step.state
            assert after.safety is Safety.CLEAR, move
            assert not after.must_stand, move
            assert Do.OPEN not in move.actions, move


@BOTH
def test_the_safety_rules_never_have_to_strike_out_what_the_table_says(table: Table) -> None:
    assert not [move for move in walked(table).moves if move.step.is_vetoed]


@BOTH
def test_an_arm_that_is_closing_over_something_or_under_a_hold_does_not_stay_closing(table: Table) -> None:
    for state in walked(table).states:
        if state.phase is Phase.CLOSING:
            assert state.may_close, state


@BOTH
def test_whatever_holds_the_lane_open_it_stands_open_and_only_then(table: Table) -> None:
    for move in walked(table).moves:
        assert (move.step.state.phase is Phase.STANDING) is move.step.state.must_stand, move


@BOTH
def test_fire_and_emergency_open_at_once_whatever_goes_on(table: Table) -> None:
    for move in walked(table).moves:
        if move.symbol in (Symbol.FIRE_ON, Symbol.EMERGENCY):
            assert Do.OPEN in move.actions, move


@BOTH
def test_fire_ends_only_by_release_and_never_while_its_input_is_active(table: Table) -> None:
    for move in walked(table).moves:
        if move.before.is_fire and not move.step.state.is_fire:
            assert move.symbol is Symbol.RELEASED, move
            assert not move.before.is_fire_input, move


@BOTH
def test_nothing_opens_without_a_reason(table: Table) -> None:
    """A grant, somebody under the arm, or a hold that the lane is under; and never twice in a step."""
    for move in walked(table).moves:
        actions = move.actions
        if Do.OPEN in actions:
            assert actions.count(Do.OPEN) == 1, move
            is_granted = bool(EXPLAINED.intersection(actions)) or move.step.state.right is Right.FRESH
            is_occupied = move.before.phase is Phase.PASSING or move.before.phase is Phase.CLOSING
            assert is_granted or is_occupied or move.step.state.must_stand, move


@BOTH
def test_every_grant_and_order_is_started_queued_merged_or_refused_and_nothing_else_is(table: Table) -> None:
    for move in walked(table).moves:
        count = sum(move.actions.count(do) for do in TAKEN)
        assert count == (1 if move.symbol in WANTED else 0), move


@BOTH
def test_no_grant_is_lost_and_none_is_used_twice(table: Table) -> None:
    for move in walked(table).moves:
        actions, after = move.actions, move.step.state
        is_tailgated = Do.TELL_TAILGATE in actions and move.before.right is Right.NOBODYS
        begun = actions.count(Do.START) + actions.count(Do.QUEUE) + is_tailgated
        assert outstanding(after) == outstanding(move.before) + begun - ended(move.before, actions), move
        assert 0 <= after.queue <= QUEUE_MAX, move


@BOTH
def test_a_grant_that_is_begun_is_unused(table: Table) -> None:
    for move in walked(table).moves:
        if {Do.START, Do.NEXT}.intersection(move.actions) and Do.PASSED not in move.actions:
            assert move.step.state.right is Right.FRESH, move


@BOTH
def test_only_a_car_under_an_open_arm_or_a_door_that_was_open_counts_as_passed(table: Table) -> None:
    seen = {move.before.phase for move in walked(table).moves if Do.PASSED in move.actions}
    assert seen <= {Phase.PASSING, Phase.OPEN, Phase.STANDING}


@BOTH
def test_a_queue_keeps_moving(table: Table) -> None:
    """Whatever ends the opening under way begins the next one."""
    moved = 0
    for move in walked(table).moves:
        before, after = move.before, move.step.state
        if before.queue and Do.FINISH in move.actions:
            assert Do.NEXT in move.actions, move
            moved += 1
        if after.queue and after.right is Right.NOBODYS:
            assert after.safety is Safety.OCCUPIED, "nobody is under the arm, and the next one is not begun"
    assert moved


def test_a_waiting_car_is_let_in_when_the_one_before_is_through_or_does_not_come() -> None:
    for state in walked(VEHICLE).states:
        if state.queue and state.phase is Phase.PASSING:
            for symbol in (Symbol.SAFETY_CLEAR, Symbol.SAFETY_FAULTED, Symbol.ARM_DOWN):
                assert Do.NEXT in step(VEHICLE, state, symbol).actions, (state, symbol)
        if state.queue and state.phase in (Phase.OPENING, Phase.OPEN):
            once = step(VEHICLE, state, Symbol.TIMER)
            again = step(VEHICLE, once.state, Symbol.TIMER)
            assert Do.NEXT in (*once.actions, *again.actions), state


@BOTH
def test_a_car_that_nobody_lets_through_is_never_left_with_a_right(table: Table) -> None:
    for state in walked(table).states:
        if state.phase is Phase.IDLE:
            assert state.right is Right.NOBODYS, state
        if state.phase in (Phase.IDLE, Phase.WAITING, Phase.CLOSING):
            assert state.queue == 0, state


@BOTH
def test_every_state_can_come_to_rest(table: Table) -> None:
    assert not walked(table).stranded()


@BOTH
def test_no_symbol_is_unhandled_in_any_phase(table: Table) -> None:
    reached = {state.phase for state in walked(table).states}
    assert not [(p, x) for p in reached for x in table.alphabet if not table.handles(p, x)]


@BOTH
def test_a_phase_does_not_both_act_on_a_symbol_and_leave_it_alone(table: Table) -> None:
    assert not [(row.phase, x) for row in table.rows for x in row.symbols if x in table.stays[row.phase]]


@BOTH
def test_every_row_is_needed_by_some_move(table: Table) -> None:
    """A row that another one hides, or that no state comes to, is a mistake in reading the page."""
    needed = {taken.row for move in walked(table).moves for taken in move.step.taken}
    assert {*table.rows, *table.always} == needed


def test_every_guard_is_used() -> None:
    guards = [row.when for one in (VEHICLE, PEDESTRIAN) for row in one.rows]
    guards += [always.when for one in (VEHICLE, PEDESTRIAN) for always in one.always]
    assert {guard for when in guards for guard in when} == set(When)


@BOTH
def test_a_step_settles_and_another_settling_changes_nothing(table: Table) -> None:
    for state in walked(table).states:
        again = step(table, state, Symbol.SETTLE)
        if state.must_stand and state.phase is not Phase.STANDING:
            continue  # as it starts after a restart
        assert again.state == state
        assert again.taken == ()
    assert max(len(move.step.taken) for move in walked(table).moves) <= SETTLE_MAX


@BOTH
def test_the_walk_is_as_large_as_the_page_says(table: Table) -> None:
    found = walked(table)
    print(f"{table.name}: {len(found.states)} states, {len(found.moves)} transitions")
    assert len(found.moves) > len(found.states) > 100


def _rogue(row: Row) -> Row:
    return replace(row, do=(*row.do, Do.CLOSE), then=Phase.CLOSING)


ROGUE = Table(
    name="rogue",
    alphabet=VEHICLE.alphabet,
    always=VEHICLE.always,
    rows=tuple(_rogue(row) for row in VEHICLE.rows),
    stays={},
    timers=VEHICLE.timers,
)
"""A table that closes on everything: only the rules above it stand between the arm and the car."""


@given(st.lists(st.sampled_from(VEHICLE.alphabet), max_size=40))
def test_a_table_that_closes_on_everything_still_closes_on_nobody(symbols: list[Symbol]) -> None:
    state = Motion()
    for symbol in symbols:
        taken = step(ROGUE, state, symbol)
        if Do.CLOSE in taken.actions:
            assert taken.state.may_close
            assert Do.OPEN not in taken.actions
        state = taken.state


def test_a_struck_out_close_leaves_the_lane_waiting_to_close() -> None:
    state = Motion(phase=Phase.OPEN, safety=Safety.UNKNOWN)
    taken = step(ROGUE, state, Symbol.TIMER)
    assert taken.is_vetoed
    assert taken.state.phase is Phase.WAITING


def test_a_symbol_that_no_row_is_for_changes_only_what_is_sensed() -> None:
    empty = Table("empty", (), (), (), {}, lambda _state: None)
    taken = step(empty, Motion(), Symbol.SAFETY_CLEAR)
    assert taken == Step(Motion(safety=Safety.CLEAR), ())
