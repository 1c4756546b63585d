"""Every reason that `decide` gives, the instants at which it turns, and that nothing makes it raise."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from builders import (
    CARD,
    LANE,
    NOON,
    NOON_S,
    PLATE,
    a_grant,
    a_lane,
    a_level,
    a_plate_attempt,
    a_plate_grant,
    a_read,
    a_state,
    a_view,
    a_walk_lane,
    an_attempt,
)
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.decide import VERDICTS, decide
from gatectl.core.model import (
    AccessLevel,
    Attempt,
    CharVote,
    ClockTrust,
    CredentialKey,
    Direction,
    Grant,
    GrantState,
    LaneId,
    LaneKind,
    LaneState,
    PlateColour,
    PlateRead,
    Schedule,
    Verdict,
    WhitelistView,
    Window,
)
from gatectl.core.plate_match import MIN_CONFIDENCE
from gatectl.core.reasons import REASONS, Reason

CLEANING = Schedule("cleaning", (Window(0, 8 * 60, 12 * 60),))
"""Mondays 08:00 to 12:00; noon itself is already outside."""


def test_a_registered_card_is_granted_with_its_revision_and_trace() -> None:
    decision = decide(an_attempt(), a_view(), a_state())
    assert (decision.verdict, decision.reason) == (Verdict.GRANTED, Reason.CARD_OK)
    assert decision.revision == ("ep", 7)
    assert [step.rule for step in decision.trace] == ["vehicle_present", "registered", "state", "lane", "schedule"]
    assert {step.outcome for step in decision.trace} == {"pass"}


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (a_grant(state=GrantState.LOST), Reason.CARD_LOST),
        (a_grant(state=GrantState.REVOKED), Reason.CARD_REVOKED),
        (a_grant(state=GrantState.BLOCKED), Reason.CARD_REVOKED),
        (a_grant(valid_until_s=NOON_S), Reason.CARD_EXPIRED),
        (a_grant(valid_from_s=NOON_S + 1), Reason.NOT_YET_VALID),
        (a_grant(levels=("elsewhere",)), Reason.NO_PERMISSION_GATE),
        (a_grant(levels=("cleaning",)), Reason.OUT_OF_SCHEDULE),
        (a_grant(key=CredentialKey("em:0000000001")), Reason.CARD_UNKNOWN),
    ],
)
def test_a_card_is_denied_with_its_reason(grant: Grant, reason: Reason) -> None:
    levels = (
        a_level(),
        a_level(id="elsewhere", lanes=frozenset({LaneId("x")})),
        a_level(id="cleaning", schedule="cleaning"),
    )
    decision = decide(an_attempt(), a_view(grant, levels=levels, schedules=(CLEANING,)), a_state())
    assert (decision.verdict, decision.reason) == (Verdict.DENIED, reason)
    assert decision.trace[-1].outcome == "fail"


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (a_plate_grant(state=GrantState.BLOCKED), Reason.PLATE_BLOCKED),
        (a_plate_grant(state=GrantState.REVOKED), Reason.PLATE_BLOCKED),
        (a_plate_grant(valid_until_s=NOON_S), Reason.PLATE_EXPIRED),
        (a_plate_grant(levels=("elsewhere",)), Reason.PLATE_WRONG_GATE),
        (a_plate_grant(levels=("cleaning",)), Reason.PLATE_OUT_OF_SCHEDULE),
        (a_plate_grant("粤E54321"), Reason.PLATE_UNKNOWN),
        (a_plate_grant(colour=PlateColour.YELLOW), Reason.PLATE_AMBIGUOUS),
    ],
)
def test_a_car_is_held_with_its_reason(grant: Grant, reason: Reason) -> None:
    levels = (
        a_level(),
        a_level(id="elsewhere", lanes=frozenset({LaneId("x")})),
        a_level(id="cleaning", schedule="cleaning"),
    )
    decision = decide(a_plate_attempt(), a_view(grant, levels=levels, schedules=(CLEANING,)), a_state())
    assert (decision.verdict, decision.reason) == (Verdict.HELD, reason)


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (a_read("", 0.0, colour=None, frames=0), Reason.PLATE_NONE),
        (a_read(confidence=MIN_CONFIDENCE - 0.001), Reason.PLATE_LOW_CONF),
        (a_read(colour=PlateColour.GREEN), Reason.PLATE_AMBIGUOUS),
        (a_read("粤E1O3456"), Reason.PLATE_AMBIGUOUS),
        (a_read("粤E1I3O5"), Reason.PLATE_LOW_CONF),
        (a_read("1234567"), Reason.PLATE_LOW_CONF),
    ],
)
def test_a_doubtful_read_is_held_before_anybody_is_looked_up(read: PlateRead, reason: Reason) -> None:
    decision = decide(a_plate_attempt(read), a_view(), a_state())
    assert (decision.verdict, decision.reason) == (Verdict.HELD, reason)


def doubtful(text: str, place: int, other: str, share: float) -> PlateRead:
    """Sure of every character but one, of which the reader says that it may be another."""
    chars = tuple(
        CharVote(((char, 1 - share), (other, share))) if i == place else CharVote(((char, 0.99999),))
        for i, char in enumerate(text)
    )
    return a_read(text, 1 - share, chars=chars)


def test_a_read_at_the_very_threshold_is_looked_up_and_opens_when_nothing_else_explains_it() -> None:
    for confidence, reason in ((MIN_CONFIDENCE, Reason.PLATE_OK), (0.4999, Reason.PLATE_LOW_CONF)):
        chars = tuple(CharVote(((char, 0.99999),)) for char in PLATE)
        read = a_read(confidence=confidence, chars=chars)
        assert decide(a_plate_attempt(read), a_view(), a_state()).reason is reason


def test_a_listed_plate_that_another_plate_explains_nearly_as_well_is_held() -> None:
    read = replace(doubtful("粤E12B45", 4, "8", 0.2), confidence=0.8)
    decision = decide(a_plate_attempt(read), a_view(a_plate_grant("粤E12B45")), a_state())
    assert (decision.verdict, decision.reason) == (Verdict.HELD, Reason.PLATE_LOW_CONF)
    both = a_view(a_plate_grant("粤E12B45"), a_plate_grant("粤E12845"))
    assert decide(a_plate_attempt(read), both, a_state()).reason is Reason.PLATE_AMBIGUOUS


def test_an_illegal_read_opens_for_its_one_look_alike_of_the_same_colour() -> None:
    read = replace(doubtful("粤E123O5", 5, "0", 0.4), confidence=0.8)
    decision = decide(a_plate_attempt(read), a_view(a_plate_grant("粤E12305")), a_state())
    assert decision.reason is Reason.PLATE_LOOKALIKE
    assert decision.grant is not None
    assert decision.grant.key == "plate:粤E12305"
    assert ("lookalike", "粤E123O5 · 粤E12305") in {(step.rule, step.value) for step in decision.trace}


def test_an_illegal_read_with_two_look_alikes_opens_for_nobody() -> None:
    twins = (a_plate_grant("粤E123B1"), a_plate_grant("粤E12381"))
    assert decide(a_plate_attempt(a_read("粤E123BI")), a_view(*twins), a_state()).verdict is Verdict.HELD


def test_a_legal_read_never_opens_for_its_neighbour() -> None:
    decision = decide(a_plate_attempt(a_read("粤E12B45")), a_view(a_plate_grant("粤E12845")), a_state())
    assert decision.reason is Reason.PLATE_UNKNOWN


def test_a_plate_without_a_vehicle_on_the_loop_is_a_spoof_and_a_card_there_opens_nothing() -> None:
    state = a_state(is_present=False)
    assert decide(a_plate_attempt(), a_view(), state).reason is Reason.SPOOF_SUSPECT
    assert decide(an_attempt(), a_view(), state).reason is Reason.NO_VEHICLE


def test_a_card_on_foot_needs_no_vehicle() -> None:
    attempt = an_attempt(lane=a_walk_lane().id)
    assert decide(attempt, a_view(), a_state(lane=a_walk_lane(), is_present=None)).reason is Reason.CARD_OK


def test_a_card_is_expired_at_the_very_instant_valid_until() -> None:
    view = a_view(a_grant(valid_until_s=NOON_S))
    before = an_attempt(at=NOON - timedelta(milliseconds=1))
    assert decide(before, view, a_state()).reason is Reason.CARD_OK
    assert decide(an_attempt(), view, a_state()).reason is Reason.CARD_EXPIRED


def test_a_card_is_valid_from_its_very_first_instant() -> None:
    assert decide(an_attempt(), a_view(a_grant(valid_from_s=NOON_S)), a_state()).reason is Reason.CARD_OK


def test_a_schedule_opens_at_its_start_and_not_at_its_end() -> None:
    view = a_view(a_grant(levels=("c",)), levels=(a_level(id="c", schedule="cleaning"),), schedules=(CLEANING,))
    at_eight = an_attempt(at=datetime(2026, 11, 23, 0, 0, tzinfo=UTC))
    assert decide(at_eight, view, a_state()).reason is Reason.CARD_OK
    assert decide(an_attempt(), view, a_state()).reason is Reason.OUT_OF_SCHEDULE


def test_an_untrusted_clock_lets_no_schedule_and_no_start_refuse_anybody() -> None:
    grant = a_grant(levels=("c",), valid_from_s=NOON_S + 99)
    view = a_view(grant, levels=(a_level(id="c", schedule="cleaning"),), schedules=(CLEANING,))
    attempt = an_attempt(at=datetime(1970, 1, 1, tzinfo=UTC))
    assert decide(attempt, view, a_state(clock=ClockTrust.UNTRUSTED)).reason is Reason.CLOCK_UNTRUSTED


def test_an_untrusted_clock_still_refuses_what_its_floor_proves_expired_and_what_is_lost() -> None:
    state = a_state(clock=ClockTrust.UNTRUSTED, clock_floor_s=NOON_S)
    attempt = an_attempt(at=datetime(1970, 1, 1, tzinfo=UTC))
    assert decide(attempt, a_view(a_grant(valid_until_s=NOON_S)), state).reason is Reason.CARD_EXPIRED
    assert decide(attempt, a_view(a_grant(valid_until_s=NOON_S + 1)), state).reason is Reason.CARD_OK
    assert decide(attempt, a_view(a_grant(state=GrantState.LOST)), state).reason is Reason.CARD_LOST


def test_an_emergency_plate_and_one_on_the_emergency_list_open_without_a_right() -> None:
    view = a_view(a_plate_grant("粤E54321"), emergency=("粤E12345",))
    assert decide(a_plate_attempt(), view, a_state()).reason is Reason.EMERGENCY_LIST
    fire_engine = a_read("粤X1234应急", colour=PlateColour.WHITE)
    assert decide(a_plate_attempt(fire_engine), view, a_state()).reason is Reason.EMERGENCY_PLATE


@pytest.mark.parametrize(
    "attempt",
    [
        an_attempt(direction=Direction.OUT, key=CredentialKey("em:FFFFFFFFFF")),
        a_plate_attempt(a_read("", 0.0, frames=0), direction=Direction.OUT),
        a_plate_attempt(a_read("粤B99999"), direction=Direction.OUT),
    ],
)
def test_exits_open_for_everything(attempt: Attempt) -> None:
    state = a_state(lane=a_lane(direction=Direction.OUT), is_present=False)
    decision = decide(attempt, a_view(), state)
    assert (decision.verdict, decision.reason) == (Verdict.GRANTED, Reason.EXIT_FREE)


def test_a_wiegand_reader_finds_the_em_card_and_two_owners_of_one_number_are_nobody() -> None:
    as_w26 = an_attempt(key=CredentialKey("w26:44:15694"))
    assert decide(as_w26, a_view(), a_state()).reason is Reason.CARD_OK
    twin = a_grant(key=CredentialKey("em:FF1B2C3D4E"))
    assert decide(as_w26, a_view(a_grant(), twin), a_state()).reason is Reason.CARD_UNKNOWN


texts = st.text(max_size=12) | st.sampled_from(["粤E12345", "粤E123I5", "粤X1234应急", ""])
reads = st.builds(
    PlateRead,
    text=texts,
    confidence=st.floats(0, 1),
    colour=st.none() | st.sampled_from(PlateColour),
    frames=st.integers(0, 9),
)
moments = st.integers(86_400, 3_786_912_000).map(lambda s: datetime.fromtimestamp(s, UTC))
attempts = st.builds(
    Attempt,
    id=st.just("a"),
    lane=st.sampled_from([LANE, LaneId("")]),
    direction=st.sampled_from(Direction),
    at=moments,
    reader=st.text(max_size=3),
    key=st.none() | st.sampled_from([CARD, CredentialKey("w26:44:15694"), CredentialKey("?")]),
    plate=st.none() | reads,
)
grants = st.builds(
    a_grant,
    key=st.sampled_from([CARD, CredentialKey("plate:粤E12345"), CredentialKey("plate:粤E12315")]),
    state=st.sampled_from(GrantState),
    levels=st.sampled_from([("all",), ("c",), ("gone",), ()]),
    valid_from_s=st.none() | st.integers(0, 2**33),
    valid_until_s=st.none() | st.integers(0, 2**33),
    colour=st.none() | st.sampled_from(PlateColour),
)
views = st.lists(grants, max_size=4).map(
    lambda some: a_view(
        *some,
        levels=(
            a_level(),
            AccessLevel("c", frozenset({LANE}), "cleaning"),
            AccessLevel("d", frozenset({LANE}), "none"),
        ),
        schedules=(CLEANING,),
    )
)
states = st.builds(
    a_state,
    lane=st.builds(a_lane, kind=st.sampled_from(LaneKind), require_presence=st.booleans()),
    is_present=st.none() | st.booleans(),
    clock=st.sampled_from(ClockTrust),
    clock_floor_s=st.integers(0, 2**33),
)


@given(attempts, views, states)
def test_decide_is_total_and_never_refuses_an_exit(attempt: Attempt, view: WhitelistView, state: LaneState) -> None:
    decision = decide(attempt, view, state)
    assert decision.trace
    if attempt.direction is Direction.OUT:
        assert decision.verdict is Verdict.GRANTED
    else:
        assert decision.verdict is VERDICTS[decision.reason]
        assert decision.verdict == REASONS[decision.reason].verdict


@given(attempts, views, states)
def test_nobody_without_an_active_grant_on_this_lane_is_let_in(
    attempt: Attempt, view: WhitelistView, state: LaneState
) -> None:
    decision = decide(attempt, view, state)
    special = (Reason.EMERGENCY_LIST, Reason.EMERGENCY_PLATE)
    if attempt.direction is Direction.IN and decision.verdict is Verdict.GRANTED and decision.reason not in special:
        assert decision.grant is not None
        assert decision.grant.state is GrantState.ACTIVE
        assert any(attempt.lane in view.levels[name].lanes for name in decision.grant.levels if name in view.levels)
