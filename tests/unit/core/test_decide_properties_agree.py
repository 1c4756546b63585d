"""One property for each rule about who else must agree, and for exits: what its line says, and what follows."""

from typing import Any

from builders import a_lane, a_plate_attempt, a_plate_grant, a_policy, a_read, a_view
from decide_models import (
    CALM,
    IN,
    ORDINARY,
    OUT,
    PLATE_OF,
    World,
    asked,
    is_granted,
    the_line,
    verdict_of,
    worlds,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_gate import LaneGate, all_of

from gatectl.core.decide import VERDICTS
from gatectl.core.lane_io import OpenBarrier
from gatectl.core.model import (
    ClockTrust,
    Direction,
    GrantState,
    InputName,
    Occupancy,
    Passback,
    Verdict,
)
from gatectl.core.reasons import REASONS, Reason

DIRECTIONS = st.sampled_from(Direction)
FREE: dict[str, Any] = {
    "state": GrantState.ACTIVE,
    "has_no_plate": False,
    "colour": None,
    "valid_from_s": None,
    "valid_until_s": None,
    "levels": ("all",),
    "uses": None,
}
"""A right that holds here and now, as often as its holder likes."""
HERE: dict[str, Any] = CALM | {"clock": ClockTrust.SYNCED}
SAME = "read claim"

few = settings(max_examples=200)

ROOMY: dict[str, Any] = {"passback": Passback.OFF, "capacity": 0}
ALONE: dict[str, Any] = HERE | {"is_link_up": True}


@few
@given(
    worlds(
        direction=DIRECTIONS,
        grant=FREE,
        household={"quota": None},
        area=ROOMY,
        policy=ORDINARY,
        state=ALONE | {"is_interlocked": st.booleans(), "pending": (), "occupancy": Occupancy()},
        sane=SAME,
    )
)
def test_while_another_lane_of_its_interlock_stands_open_nobody_enters_and_everybody_leaves(world: World) -> None:
    decision = world.decision
    if not world.state.is_interlocked or world.attempt.direction is OUT:
        assert not asked(decision, "interlock")
        assert decision.reason is not Reason.INTERLOCK
        assert world.attempt.direction is IN or is_granted(decision)
        return
    assert the_line(decision, "interlock") == ("other_lane_open", "fail")
    assert (is_granted(decision), decision.reason) == (False, Reason.INTERLOCK)


@few
@given(
    worlds(
        "card code plate",
        direction=DIRECTIONS,
        grant=FREE | {"asks_guard": st.booleans()},
        household={"quota": None},
        area=ROOMY,
        policy=ORDINARY,
        state=ALONE | {"is_interlocked": False, "pending": (), "occupancy": Occupancy()},
        sane=SAME,
    )
)
def test_whoever_must_be_asked_about_each_time_never_enters_by_themselves(world: World) -> None:
    decision, grant = world.decision, world.grant
    assert grant is not None
    if not grant.asks_guard or world.attempt.direction is OUT:
        assert not asked(decision, "guard")
        assert decision.reason is not Reason.WAIT_GUARD
        return
    assert the_line(decision, "guard") == ("asked_each_time", "fail")
    assert (decision.verdict, decision.reason) == (Verdict.HELD, Reason.WAIT_GUARD)


@few
@given(
    worlds(
        "card code plate",
        direction=DIRECTIONS,
        grant=FREE | {"asks_guard": False, "subject": st.sampled_from(["p1", "p2", ""])},
        household={"quota": None},
        area=ROOMY,
        policy=ORDINARY | {"is_two_person": st.booleans()},
        state=ALONE
        | {
            "is_interlocked": False,
            "pending": (),
            "occupancy": Occupancy(),
            "first_of_two": st.sampled_from(["p1", "p2", None, "em:0A1B2C3D4E", PLATE_OF]),
        },
        sane=SAME,
    )
)
def test_at_a_lane_for_two_nobody_enters_alone_or_as_their_own_second(world: World) -> None:
    decision, grant, first = world.decision, world.grant, world.state.first_of_two
    assert grant is not None
    if world.attempt.direction is OUT or not world.view.policies[world.attempt.lane].is_two_person:
        assert not asked(decision, "two_person")
        assert decision.reason is not Reason.TWO_PERSON
        return
    is_second = first not in (None, grant.subject or grant.key)
    assert the_line(decision, "two_person") == ("second" if is_second else "first", verdict_of(is_ok=is_second))
    assert (decision.reason is Reason.TWO_PERSON) == (not is_second)
    assert is_granted(decision) == is_second


@few
@given(st.lists(st.sampled_from([f"粤E1000{n}" for n in range(6)]), min_size=1, max_size=8), st.integers(0, 3))
def test_no_more_than_two_cars_are_granted_behind_the_one_under_the_arm(plates: list[str], passes: int) -> None:
    view = a_view(a_plate_grant(), *(a_plate_grant(f"粤E1000{n}") for n in range(6)), policies=a_policy())
    gate = LaneGate(a_lane(), view).at_rest()
    gate.sense(InputName.PRESENCE, True)
    gate.present(a_plate_attempt())
    gate.arm(is_up=True)
    gate.sense(InputName.SAFETY, True)
    for i, plate in enumerate(plates):
        waiting = gate.machine.motion.queue
        known = {pending.key for pending in gate.machine.pending}
        before = len(gate.records)
        effects = gate.present(a_plate_attempt(a_read(plate)))
        made = [event for event in gate.records[before:] if event.plate is not None]
        if f"plate:{plate}" in known:
            assert made == [], "the same car"
        elif waiting == 2:
            lines = [(step.value, step.outcome) for event in made for step in event.trace if step.rule == "queue"]
            assert all(event.verdict is Verdict.HELD for event in made)
            assert set(lines) <= {("2 / 2", "fail")}
            assert not all_of(OpenBarrier, effects)
            assert gate.machine.is_held
            assert len(lines) == len(made)
        else:
            assert [event.reason for event in made] == [Reason.PLATE_OK]
            assert gate.machine.motion.queue == waiting + 1
        assert gate.machine.motion.queue <= 2
        if i < passes:
            gate.sense(InputName.SAFETY, False)
            gate.sense(InputName.SAFETY, True)


# --- exits ---


@settings(max_examples=200)
@given(
    worlds(
        direction=OUT,
        is_listed=st.sampled_from([True, True, False]),
        grant={"state": st.sampled_from([GrantState.LOST, GrantState.ACTIVE, GrantState.REVOKED])},
        claim={"is_genuine": st.booleans()},
        state={"is_emergency": False},
    )
)
def test_an_exit_opens_and_its_line_says_what_stood_against_it(world: World) -> None:
    decision = world.decision
    assert decision.verdict is Verdict.GRANTED
    lines = asked(decision, "exit_open")
    assert len(lines) == (decision.reason is Reason.EXIT_FREE)
    for value, outcome in lines:
        assert outcome == "pass"
        assert VERDICTS[Reason[value]] is not Verdict.GRANTED
        if REASONS[Reason[value]].severity == "major":
            assert decision.alarm is Reason[value]
    grant = world.grant
    is_doubtful = world.attempt.plate is not None and not asked(decision, "state")
    if grant is not None and grant.state is not GrantState.ACTIVE and not is_doubtful and decision.grant is not None:
        assert decision.reason is Reason.EXIT_FREE, "what is wrong with the credential is said"
    entry = world.with_attempt(direction=IN).decision
    assert not asked(entry, "exit_open")
    assert entry.reason is not Reason.EXIT_FREE
