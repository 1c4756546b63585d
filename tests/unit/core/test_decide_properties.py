"""What must hold of every decision, whatever the list, the lane, the clock and the attempt."""

from dataclasses import replace
from datetime import UTC

from builders import a_lane
from decide_models import OPEN_TO_ALL, attempts, states, views
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.decide import VERDICTS, decide
from gatectl.core.model import (
    Area,
    Attempt,
    ClockTrust,
    Direction,
    GrantState,
    LaneMode,
    LanePolicy,
    LaneState,
    Passback,
    Profile,
    Verdict,
    WhitelistView,
)
from gatectl.core.plates import is_legal
from gatectl.core.reasons import REASONS, Reason
from gatectl.core.trace_words import RULES, step_words


@given(attempts(), views(), states())
def test_every_attempt_has_one_answer_that_fits_its_reason_and_a_trace_in_words(
    attempt: Attempt, view: WhitelistView, state: LaneState
) -> None:
    decision = decide(attempt, view, state)
    assert decision.verdict is VERDICTS[decision.reason]
    assert REASONS[decision.reason].verdict == decision.verdict
    assert decision.revision == ("e", 1)
    assert decision.trace
    for step in decision.trace:
        assert step.rule in RULES, step.rule
        assert step.outcome in ("pass", "fail", "skip")
        assert all(step_words(step, "zh")[0::2])
        assert all(step_words(step, "en")[0::2])
    assert decide(attempt, view, state) == decision, "the same question has the same answer"


@given(attempts(Direction.OUT), views(), states())
def test_everybody_gets_out_always(attempt: Attempt, view: WhitelistView, state: LaneState) -> None:
    assert decide(attempt, view, state).verdict is Verdict.GRANTED


@given(attempts(Direction.IN), views(), states())
def test_nobody_enters_without_an_active_grant_that_names_the_lane_or_a_reason_that_is_open_to_all(
    attempt: Attempt, view: WhitelistView, state: LaneState
) -> None:
    decision = decide(attempt, view, state)
    if decision.verdict is not Verdict.GRANTED or decision.reason in OPEN_TO_ALL:
        return
    grant = decision.grant
    assert grant is not None
    assert grant.state is GrantState.ACTIVE
    if attempt.claim is not None:
        assert attempt.claim.is_genuine
        assert attempt.claim.site == "home"
    elif decision.reason is not Reason.HOUSEHOLD_CARD:
        assert any(name in view.levels and attempt.lane in view.levels[name].lanes for name in grant.levels)
    if state.clock is not ClockTrust.UNTRUSTED:
        now_s = attempt.at.replace(tzinfo=attempt.at.tzinfo or UTC).timestamp()
        assert grant.valid_from_s is None or grant.valid_from_s <= now_s
        assert grant.valid_until_s is None or now_s < grant.valid_until_s


@given(attempts(Direction.IN), views(), states(is_emergency=False))
def test_a_lost_revoked_or_blocked_credential_never_enters(
    attempt: Attempt, view: WhitelistView, state: LaneState
) -> None:
    decision = decide(attempt, view, state)
    if decision.grant is not None and decision.grant.state is not GrantState.ACTIVE:
        assert decision.verdict is not Verdict.GRANTED


@given(attempts(Direction.IN), views(), states(is_emergency=False, lane=a_lane(), is_present=False))
def test_a_vehicle_lane_opens_for_no_plate_without_a_vehicle(
    attempt: Attempt, view: WhitelistView, state: LaneState
) -> None:
    decision = decide(attempt, view, state)
    if decision.verdict is Verdict.GRANTED:
        assert decision.reason in (Reason.MODE_HOLD_OPEN, Reason.SCHEDULE_OPEN)


@given(
    attempts(Direction.IN),
    views(),
    states(is_emergency=False),
    st.sampled_from([LaneMode.HELD_CLOSED, LaneMode.EXIT_ONLY, LaneMode.LOCKDOWN]),
)
def test_a_closed_lane_lets_in_nobody_but_staff_and_emergencies(
    attempt: Attempt, view: WhitelistView, state: LaneState, mode: LaneMode
) -> None:
    policy = LanePolicy(attempt.lane, mode, open_schedule="hours")
    shut = replace(view, policies={attempt.lane: policy})
    decision = decide(attempt, shut, state)
    if decision.verdict is Verdict.GRANTED:
        is_staff = decision.grant is not None and decision.grant.profile is Profile.STAFF
        is_emergency = decision.reason in (Reason.EMERGENCY_LIST, Reason.EMERGENCY_PLATE)
        assert is_emergency or (is_staff and mode is not LaneMode.HELD_CLOSED)


@given(attempts(Direction.IN), views(), states())
def test_an_untrusted_clock_refuses_nobody_by_a_schedule(
    attempt: Attempt, view: WhitelistView, state: LaneState
) -> None:
    decision = decide(attempt, view, replace(state, clock=ClockTrust.UNTRUSTED))
    assert decision.reason not in (
        Reason.OUT_OF_SCHEDULE,
        Reason.PLATE_OUT_OF_SCHEDULE,
        Reason.NOT_YET_VALID,
        Reason.PLATE_NOT_YET_VALID,
        Reason.CODE_EARLY,
    )


@given(attempts(Direction.IN, "plate"), views(), states(is_emergency=False, is_present=True))
def test_a_plate_that_is_not_in_the_list_never_opens_as_somebody_elses_when_it_is_a_legal_plate(
    attempt: Attempt, view: WhitelistView, state: LaneState
) -> None:
    read = attempt.plate
    assert read is not None
    decision = decide(attempt, view, state)
    is_open_to_all = decision.reason in OPEN_TO_ALL
    if is_legal(read.text) and decision.verdict is Verdict.GRANTED and not is_open_to_all:
        assert decision.grant is not None
        assert decision.grant.key == f"plate:{read.text}"


@given(attempts(Direction.IN), views(), states(is_emergency=False))
def test_one_use_lets_one_in(attempt: Attempt, view: WhitelistView, state: LaneState) -> None:
    decision = decide(attempt, view, state)
    grant = decision.grant
    is_entry = decision.verdict is Verdict.GRANTED and decision.reason not in OPEN_TO_ALL
    if is_entry and grant is not None and grant.uses is not None:
        under_way = sum(1 for pending in state.pending if pending.key == grant.key)
        assert state.occupancy.uses.get(grant.key, 0) + under_way < grant.uses
        assert decision.uses_key == grant.key


@given(attempts(Direction.IN), views(), states(is_emergency=False))
def test_hard_passback_lets_nobody_in_twice_while_the_link_is_up(
    attempt: Attempt, view: WhitelistView, state: LaneState
) -> None:
    hard = replace(view, areas={"site": Area("site", Passback.HARD)})
    state = replace(state, is_link_up=True)
    decision = decide(attempt, hard, state)
    policy = hard.policies.get(attempt.lane)
    if decision.verdict is Verdict.GRANTED and decision.reason not in OPEN_TO_ALL and policy is not None:
        inside = state.occupancy.inside.get(decision.subject) if decision.subject else None
        assert policy.area_to != "site" or inside is None
