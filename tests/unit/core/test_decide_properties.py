"""What must hold of every decision, whatever the list, the lane, the clock and the attempt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from builders import CARD, LANE, NOON, NOON_S, PLATE, WALK, a_lane, a_walk_lane
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.decide import VERDICTS, decide
from gatectl.core.model import (
    AccessLevel,
    Area,
    Attempt,
    Calendar,
    ClockTrust,
    CredentialKey,
    DayException,
    DayKind,
    Direction,
    Grant,
    GrantState,
    Household,
    Inside,
    LaneMode,
    LanePolicy,
    LaneState,
    LinkPolicy,
    Occupancy,
    Passback,
    PassClaim,
    Pending,
    PlateColour,
    PlateRead,
    Profile,
    Schedule,
    SiteId,
    Verdict,
    WhitelistView,
    Window,
)
from gatectl.core.plates import is_legal
from gatectl.core.reasons import REASONS, Reason
from gatectl.core.trace_words import RULES, step_words
from gatectl.core.whitelist import whitelist_view

CODE = CredentialKey("code:" + "a" * 32)
KEYS = st.sampled_from([CARD, CredentialKey("em:0000000002"), CredentialKey("w26:28:15694"), CODE])
PLATES = st.sampled_from([PLATE, "粤E54321", "粤E1Z345", "粤ED12345", "粤X1234应急", "粤A1234警", "x", ""])
SUBJECTS = st.sampled_from(["p1", "p2", "", f"plate:{PLATE}", CARD])
SECONDS = st.one_of(st.none(), st.integers(NOON_S - 2, NOON_S + 2), st.integers(0, 2**33))
LEVELS = st.lists(st.sampled_from(["all", "hours", "gone"]), max_size=3).map(tuple)
WINDOWS = st.builds(Window, st.integers(0, 7), st.integers(0, 1440), st.integers(0, 1440))
DAYS = st.integers(20770, 20790)
SCHEDULE = st.builds(
    Schedule,
    st.just("hours"),
    st.lists(WINDOWS, max_size=3).map(tuple),
    st.booleans(),
    st.lists(st.builds(DayException, DAYS, DAYS, st.just(((0, 1440),))), max_size=2).map(tuple),
)
CALENDAR = st.builds(Calendar, DAYS, DAYS, st.dictionaries(DAYS, st.sampled_from(DayKind), max_size=3))
GRANTS = st.lists(
    st.builds(
        Grant,
        key=st.one_of(KEYS, PLATES.map(lambda text: CredentialKey(f"plate:{text}"))),
        state=st.sampled_from(GrantState),
        levels=LEVELS,
        subject=SUBJECTS,
        household=st.sampled_from(["h1", ""]),
        valid_from_s=SECONDS,
        valid_until_s=SECONDS,
        colour=st.one_of(st.none(), st.sampled_from(PlateColour)),
        profile=st.sampled_from(Profile),
        exit_until_s=SECONDS,
        uses=st.one_of(st.none(), st.integers(0, 2)),
        has_fixed_space=st.booleans(),
        asks_guard=st.booleans(),
        is_duress=st.booleans(),
        has_no_plate=st.booleans(),
    ),
    max_size=4,
)
HOUSEHOLD = st.builds(
    Household,
    st.just("h1"),
    st.one_of(st.none(), st.integers(0, 2)),
    st.sampled_from([0, 1800]),
    st.lists(PLATES.map(lambda text: CredentialKey(f"plate:{text}")), max_size=2).map(tuple),
    st.booleans(),
)
AREA = st.builds(
    Area,
    st.just("site"),
    st.sampled_from(Passback),
    st.integers(0, 200),
    st.sampled_from(LinkPolicy),
    st.integers(0, 2),
)
POLICY = st.builds(
    LanePolicy,
    lane=st.just(LANE),
    mode=st.sampled_from(LaneMode),
    mode_until_s=SECONDS,
    open_schedule=st.sampled_from([None, "hours", "gone"]),
    is_first_card_in=st.booleans(),
    is_two_person=st.booleans(),
    area_to=st.sampled_from(["", "site", "gone"]),
    short_stay_s=st.sampled_from([0, 900]),
    short_stay_schedule=st.sampled_from([None, "hours", "gone"]),
)
READ = st.builds(
    PlateRead,
    text=PLATES,
    confidence=st.floats(0, 1),
    colour=st.one_of(st.none(), st.sampled_from(PlateColour)),
    frames=st.integers(0, 5),
    is_covered=st.booleans(),
)
CLAIM = st.builds(
    PassClaim,
    nonce=st.sampled_from(["n1", "n2"]),
    site=st.sampled_from([SiteId("home"), SiteId("x")]),
    lanes=st.sampled_from([(), (str(LANE),), ("x",)]),
    valid_from_s=st.integers(NOON_S - 2, NOON_S + 2),
    valid_until_s=st.integers(NOON_S - 2, NOON_S + 2),
    uses=st.integers(0, 2),
    profile=st.sampled_from(Profile),
    is_genuine=st.booleans(),
)
OCCUPANCY = st.builds(
    Occupancy,
    st.dictionaries(SUBJECTS, st.builds(Inside, st.just("site"), st.integers(NOON_S - 300, NOON_S)), max_size=3),
    st.dictionaries(st.just("h1"), st.frozensets(SUBJECTS, max_size=3)),
    st.dictionaries(st.just("site"), st.integers(0, 3)),
    st.dictionaries(st.one_of(KEYS, st.just("pass:n1")), st.integers(0, 2)),
)
PENDING = st.lists(
    st.builds(Pending, st.one_of(KEYS, st.just("pass:n1")), SUBJECTS, st.sampled_from(["h1", ""]), st.booleans()),
    max_size=2,
).map(tuple)
ENDS = (datetime.max, datetime.min)  # noqa: DTZ901 - the zone is put in below
TIMES = st.one_of(
    st.timedeltas(timedelta(days=-10), timedelta(days=10)).map(lambda d: NOON + d),
    st.sampled_from([datetime(1970, 1, 1, tzinfo=UTC), *(end.replace(tzinfo=UTC) for end in ENDS)]),
)


@st.composite
def views(draw: st.DrawFn) -> WhitelistView:
    everywhere = frozenset({LANE, WALK})
    return whitelist_view(
        "e",
        1,
        NOON_S,
        draw(GRANTS),
        (AccessLevel("all", everywhere), AccessLevel("hours", everywhere, draw(st.sampled_from(["hours", "gone"])))),
        (draw(SCHEDULE),),
        draw(st.lists(PLATES, max_size=1)),
        draw(st.lists(HOUSEHOLD, max_size=1)),
        site=SiteId("home"),
        areas={"site": draw(AREA)},
        policies=draw(st.dictionaries(st.sampled_from([LANE, WALK]), POLICY)),
        calendar=draw(CALENDAR),
    )


@st.composite
def states(draw: st.DrawFn, /, **fixed: Any) -> LaneState:
    lane = draw(st.sampled_from([a_lane(), a_lane(require_presence=False), a_walk_lane()]))
    fields: dict[str, Any] = {
        "lane": lane,
        "is_present": draw(st.sampled_from([True, False, None])),
        "clock": draw(st.sampled_from(ClockTrust)),
        "clock_floor_s": draw(st.integers(0, 2**33)),
        "held_reason": draw(st.sampled_from([None, Reason.PLATE_NONE, Reason.PLATE_UNKNOWN, Reason.PLATE_LOW_CONF])),
        "held_read": draw(PLATES),
        "occupancy": draw(OCCUPANCY),
        "pending": draw(PENDING),
        "first_of_two": draw(st.sampled_from([None, "p1", "p2"])),
        "is_first_card_seen": draw(st.booleans()),
        "is_link_up": draw(st.booleans()),
        "is_emergency": draw(st.sampled_from([False, False, False, True])),
        "is_interlocked": draw(st.booleans()),
        "is_keypad_locked": draw(st.booleans()),
    }
    return LaneState(**(fields | fixed))


@st.composite
def attempts(draw: st.DrawFn, direction: Direction | None = None, kinds: str = "key plate claim") -> Attempt:
    kind = draw(st.sampled_from(kinds.split()))
    return Attempt(
        "a",
        draw(st.sampled_from([LANE, WALK])),
        direction or draw(st.sampled_from(Direction)),
        draw(TIMES),
        "reader",
        key=draw(KEYS) if kind == "key" else None,
        plate=draw(READ) if kind == "plate" else None,
        claim=draw(CLAIM) if kind == "claim" else None,
    )


CLOSED = (LaneMode.HELD_CLOSED, LaneMode.EXIT_ONLY, LaneMode.LOCKDOWN)
OPEN_TO_ALL = frozenset(
    {
        Reason.EMERGENCY_INPUT,
        Reason.EMERGENCY_LIST,
        Reason.EMERGENCY_PLATE,
        Reason.MODE_HOLD_OPEN,
        Reason.SCHEDULE_OPEN,
        Reason.PLATE_SHORT_STAY,
    }
)


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
