"""One property for each rule about a right at this lane and time: what its line says, and what follows from it."""

from datetime import timedelta
from typing import Any

from builders import LANE, NOON, NOON_S, WALK, a_lane, a_plate_grant
from decide_models import (
    ALWAYS,
    CALM,
    EVERYWHERE,
    IN,
    NEVER,
    ORDINARY,
    OUT,
    PLATE_OF,
    SCHEDULE,
    STANDING_OPEN,
    VEHICLE_LANES,
    World,
    asked,
    hours_of,
    is_granted,
    the_line,
    verdict_of,
    worlds,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gatectl.core.model import (
    ClockTrust,
    Direction,
    Grant,
    GrantState,
    LaneMode,
    PassClaim,
    Profile,
    SiteId,
    Verdict,
)
from gatectl.core.reasons import Reason

DIRECTIONS = st.sampled_from(Direction)
NEAR = st.one_of(st.none(), st.integers(NOON_S - 2, NOON_S + 2))
"""Seconds about now."""
MOMENTS = st.timedeltas(timedelta(days=-10), timedelta(days=10)).map(lambda off: NOON + off)
TRUSTED = st.sampled_from([ClockTrust.SYNCED, ClockTrust.HOLDOVER])
SOUND: dict[str, Any] = {"state": GrantState.ACTIVE, "has_no_plate": False, "colour": None}
"""A right that is judged: nothing is wrong with whom it is about."""
TIMELESS: dict[str, Any] = SOUND | {"valid_from_s": None, "valid_until_s": None}

few = settings(max_examples=200)


def right_of(world: World) -> Grant | PassClaim:
    """What carries the right: the grant, or the pass itself."""
    right = world.attempt.claim or world.grant
    assert right is not None
    return right


WITHDRAWN = {
    "card": {"lost": Reason.CARD_LOST, "revoked": Reason.CARD_REVOKED, "blocked": Reason.CARD_REVOKED},
    "code": dict.fromkeys(("lost", "revoked", "blocked"), Reason.PIN_INVALID),
    "visitor's code": dict.fromkeys(("lost", "revoked", "blocked"), Reason.CODE_INVALID),
    "plate": dict.fromkeys(("lost", "revoked", "blocked"), Reason.PLATE_BLOCKED),
}


def kind_of(world: World) -> str:
    """What was shown."""
    attempt = world.attempt
    if attempt.plate is not None:
        return "plate"
    if attempt.claim is not None:
        return "visitor's code"
    if str(attempt.key).startswith("code:"):
        guests = (Profile.VISITOR, Profile.COURIER)
        return "visitor's code" if world.grant is not None and world.grant.profile in guests else "code"
    return "card"


@few
@given(
    worlds(direction=DIRECTIONS, grant={"state": st.sampled_from(GrantState)}, state=CALM, sane="read claim"),
)
def test_what_is_lost_revoked_or_blocked_never_enters_whatever_else_is_true(world: World) -> None:
    decision, grant = world.decision, world.grant
    assert grant is not None
    is_active = grant.state is GrantState.ACTIVE
    assert the_line(decision, "state") == (grant.state.value, verdict_of(is_ok=is_active))
    reason = WITHDRAWN[kind_of(world)].get(grant.state.value)
    if is_active:
        assert decision.reason not in {Reason.CARD_LOST, Reason.CARD_REVOKED, Reason.PLATE_BLOCKED}
    elif world.attempt.direction is IN:
        assert (is_granted(decision), decision.reason) == (False, reason)
    else:
        assert is_granted(decision)
        assert reason is not None
        assert (reason.name, "pass") in asked(decision, "exit_open")


HOURLESS = {"open_schedule": None}
STAFF_OR_NOT = st.sampled_from([Profile.STAFF, Profile.RESIDENT, Profile.VISITOR])
CLOSED = {
    LaneMode.HELD_CLOSED: Reason.LANE_CLOSED,
    LaneMode.EXIT_ONLY: Reason.LANE_EXIT_ONLY,
    LaneMode.LOCKDOWN: Reason.LOCKDOWN,
}


@few
@given(
    worlds(
        direction=st.sampled_from([IN, OUT]),
        grant=SOUND | {"profile": STAFF_OR_NOT},
        claim={"profile": STAFF_OR_NOT},
        policy={
            "mode": st.sampled_from([LaneMode.HELD_CLOSED, *LaneMode]),
            "mode_until_s": NEAR,
            "open_schedule": None,
        },
        state=CALM | {"clock": st.sampled_from(ClockTrust), "clock_floor_s": st.integers(NOON_S - 2, NOON_S + 2)},
        sane="read claim",
    )
)
def test_a_closed_lane_refuses_entries_and_never_exits_and_an_open_one_lets_everybody_in(world: World) -> None:
    decision, state = world.decision, world.state
    policy = world.view.policies[world.attempt.lane]
    until_s, is_trusted = policy.mode_until_s, state.clock is not ClockTrust.UNTRUSTED
    is_over = until_s is not None and (NOON_S if is_trusted else state.clock_floor_s) >= until_s
    if until_s is not None and not is_trusted and policy.mode is not LaneMode.HELD_OPEN:
        is_over = True  # whether it is over cannot be known, so it refuses nobody
    mode = LaneMode.NORMAL if is_over else policy.mode
    if world.attempt.direction is OUT or mode is LaneMode.NORMAL:
        assert not asked(decision, "mode")
        assert decision.reason not in {*CLOSED.values(), Reason.MODE_HOLD_OPEN}
        assert world.attempt.direction is IN or is_granted(decision)
        return
    profile = decision.grant.profile if decision.grant is not None else None
    is_ok = mode is LaneMode.HELD_OPEN or (profile is Profile.STAFF and mode is not LaneMode.HELD_CLOSED)
    assert the_line(decision, "mode") == (mode.value, verdict_of(is_ok=is_ok))
    if mode is LaneMode.HELD_OPEN:
        assert (decision.verdict, decision.reason) == (Verdict.GRANTED, Reason.MODE_HOLD_OPEN)
    elif not is_ok:
        assert (decision.verdict, decision.reason) == (Verdict.DENIED, CLOSED[mode])


@few
@given(
    worlds(
        direction=st.sampled_from([IN, IN, IN, OUT]),
        at=MOMENTS,
        grant=SOUND,
        is_listed=st.booleans(),
        policy={"mode": LaneMode.NORMAL, "open_schedule": "hours", "is_first_card_in": st.booleans()},
        schedule=st.one_of(SCHEDULE, st.just(ALWAYS)),
        state=CALM | {"clock": st.sampled_from(ClockTrust), "is_first_card_seen": st.booleans()},
        sane="read claim",
    )
)
def test_open_hours_let_everybody_in_from_their_first_card_on_and_never_by_an_untrusted_clock(world: World) -> None:
    decision, state, view = world.decision, world.state, world.view
    is_open, why = hours_of(view.schedules["hours"], world.attempt.at, view.calendar)
    if world.attempt.direction is OUT:
        assert not asked(decision, "open_hours")
        return
    expected = (f"hours · {why}", "pass" if is_open else "skip")
    if is_open and view.policies[world.attempt.lane].is_first_card_in and not state.is_first_card_seen:
        expected = ("hours · first_card_awaited", "skip")
    if state.clock is ClockTrust.UNTRUSTED:
        expected = ("clock_untrusted", "skip")
    assert the_line(decision, "open_hours") == expected
    assert (decision.reason is Reason.SCHEDULE_OPEN) == (expected[1] == "pass")
    if expected[1] == "pass":
        assert is_granted(decision)


NOT_YET = {
    "card": Reason.NOT_YET_VALID,
    "plate": Reason.PLATE_NOT_YET_VALID,
    "code": Reason.PIN_INVALID,
    "visitor's code": Reason.CODE_EARLY,
}
EXPIRED = {
    "card": Reason.CARD_EXPIRED,
    "plate": Reason.PLATE_EXPIRED,
    "code": Reason.PIN_INVALID,
    "visitor's code": Reason.CODE_EXPIRED,
}
FRACTIONS = st.sampled_from([0, 1, 999_999]).map(lambda us: NOON + timedelta(microseconds=us))


@few
@given(
    worlds(
        direction=DIRECTIONS,
        at=FRACTIONS,
        grant=SOUND | {"valid_from_s": NEAR, "valid_until_s": None},
        claim={"valid_from_s": st.integers(NOON_S - 2, NOON_S + 2), "valid_until_s": NOON_S + 9},
        policy=ORDINARY,
        state=CALM | {"clock": st.sampled_from(ClockTrust), "clock_floor_s": NOON_S - 3},
        sane="read claim",
    )
)
def test_nobody_enters_before_the_second_from_which_the_right_holds(world: World) -> None:
    decision, from_s = world.decision, right_of(world).valid_from_s
    if from_s is None:
        assert not asked(decision, "valid_from")
        return
    if world.state.clock is ClockTrust.UNTRUSTED:
        assert the_line(decision, "valid_from") == ("clock_untrusted", "skip")
        assert decision.reason not in {Reason.NOT_YET_VALID, Reason.PLATE_NOT_YET_VALID, Reason.CODE_EARLY}
        return
    assert the_line(decision, "valid_from") == (str(from_s), verdict_of(is_ok=from_s <= NOON_S))
    if from_s > NOON_S and world.attempt.direction is IN:
        assert (is_granted(decision), decision.reason) == (False, NOT_YET[kind_of(world)])


@few
@given(
    worlds(
        direction=DIRECTIONS,
        at=FRACTIONS,
        grant=SOUND | {"valid_from_s": None, "valid_until_s": NEAR},
        claim={"valid_from_s": NOON_S - 9, "valid_until_s": st.integers(NOON_S - 2, NOON_S + 2)},
        policy=ORDINARY,
        state=CALM | {"clock": st.sampled_from(ClockTrust), "clock_floor_s": st.integers(NOON_S - 2, NOON_S + 2)},
        sane="read claim",
    )
)
def test_nobody_enters_from_the_second_on_at_which_the_right_ends(world: World) -> None:
    decision, until_s = world.decision, right_of(world).valid_until_s
    if until_s is None:
        assert not asked(decision, "valid_until")
        return
    now_s = world.state.clock_floor_s if world.state.clock is ClockTrust.UNTRUSTED else NOON_S
    assert the_line(decision, "valid_until") == (str(until_s), verdict_of(is_ok=now_s < until_s))
    if now_s >= until_s and world.attempt.direction is IN:
        assert (is_granted(decision), decision.reason) == (False, EXPIRED[kind_of(world)])


@few
@given(
    worlds(
        "card code plate",
        direction=st.sampled_from([OUT, OUT, IN]),
        grant=SOUND | {"valid_until_s": st.integers(NOON_S - 1, NOON_S + 1), "exit_until_s": NEAR},
        policy=ORDINARY,
        state=CALM | {"clock": TRUSTED},
        sane="read",
    )
)
def test_who_may_still_leave_is_known_at_the_exit_until_the_grace_ends_and_never_enters(world: World) -> None:
    decision, grant = world.decision, world.grant
    assert grant is not None
    assert grant.valid_until_s is not None
    is_expired, grace_s = grant.valid_until_s <= NOON_S, grant.exit_until_s
    if not is_expired or grace_s is None or world.attempt.direction is IN:
        assert not asked(decision, "exit_grace")
        assert not is_expired or world.attempt.direction is OUT or not is_granted(decision)
        return
    assert the_line(decision, "exit_grace") == (str(grace_s), verdict_of(is_ok=grace_s > NOON_S))
    assert (decision.verdict, decision.grant) == (Verdict.GRANTED, grant)


WRONG_GATE = {
    "card": Reason.NO_PERMISSION_GATE,
    "code": Reason.NO_PERMISSION_GATE,
    "plate": Reason.PLATE_WRONG_GATE,
    "visitor's code": Reason.CODE_WRONG_GATE,
}


@few
@given(
    worlds(
        direction=DIRECTIONS,
        grant=TIMELESS | {"levels": st.sampled_from([("all",), (), ("gone",), ("gone", "all"), ("all", "all")])},
        levels={"lanes": st.sampled_from([EVERYWHERE, frozenset({LANE}), frozenset({WALK}), frozenset()])},
        claim={
            "site": st.sampled_from([SiteId("home"), SiteId("home"), SiteId("x")]),
            "lanes": st.sampled_from([(), (str(LANE),), (str(WALK), "x"), ("x",)]),
        },
        policy=ORDINARY,
        state=CALM | {"held_reason": None},
        sane="read",
    )
)
def test_nobody_enters_a_lane_that_no_level_and_no_pass_of_theirs_names(world: World) -> None:
    decision, attempt, claim, grant = world.decision, world.attempt, world.attempt.claim, world.grant
    if claim is not None and not claim.is_genuine:
        return
    if claim is not None:
        is_here = claim.site == "home" and (not claim.lanes or attempt.lane in claim.lanes)
    else:
        assert grant is not None
        is_here = "all" in grant.levels and attempt.lane in world.view.levels["all"].lanes
    assert the_line(decision, "lane") == (attempt.lane, verdict_of(is_ok=is_here))
    if not is_here and attempt.direction is IN:
        assert (is_granted(decision), decision.reason) == (False, WRONG_GATE[kind_of(world)])


OFF_HOURS = {
    "card": Reason.OUT_OF_SCHEDULE,
    "code": Reason.OUT_OF_SCHEDULE,
    "plate": Reason.PLATE_OUT_OF_SCHEDULE,
    "visitor's code": Reason.CODE_EARLY,
}


@few
@given(
    worlds(
        "card code plate",
        direction=DIRECTIONS,
        at=MOMENTS,
        grant=TIMELESS | {"levels": st.sampled_from([("hours",), ("hours",), ("hours", "all"), ("gone", "hours")])},
        schedule=st.one_of(SCHEDULE, st.just(ALWAYS), st.just(NEVER)),
        policy=ORDINARY,
        state=CALM | {"clock": st.sampled_from(ClockTrust)},
        sane="read",
    )
)
def test_nobody_enters_outside_the_hours_of_their_levels_unless_the_clock_cannot_be_trusted(world: World) -> None:
    decision, view, grant = world.decision, world.view, world.grant
    assert grant is not None
    if "all" in grant.levels:
        assert the_line(decision, "schedule") == ("always", "pass")
        return
    if world.state.clock is ClockTrust.UNTRUSTED:
        assert the_line(decision, "schedule") == ("clock_untrusted", "skip")
        assert decision.reason is not OFF_HOURS[kind_of(world)]
        return
    is_open, why = hours_of(view.schedules["hours"], world.attempt.at, view.calendar)
    assert the_line(decision, "schedule") == (f"hours · {why}", verdict_of(is_ok=is_open))
    if not is_open and world.attempt.direction is IN:
        assert (is_granted(decision), decision.reason) == (False, OFF_HOURS[kind_of(world)])


OTHER_CAR = a_plate_grant("粤E54321")
UNREAD = (Reason.PLATE_LOW_CONF, Reason.PLATE_NONE, Reason.PLATE_AMBIGUOUS, Reason.PLATE_COVERED)


@st.composite
def cars(draw: st.DrawFn) -> list[Grant]:
    """The household's two cars as the list has them, each with a right here or without."""
    found = []
    for text in ("粤E12345", "粤E54321"):
        if draw(st.sampled_from([True, True, False])):
            levels = draw(st.sampled_from([("all",), ("all",), ()]))
            state = draw(st.sampled_from([GrantState.BLOCKED, GrantState.ACTIVE, GrantState.ACTIVE]))
            until_s = draw(st.sampled_from([None, None, NOON_S, NOON_S + 1]))
            found.append(a_plate_grant(text, levels=levels, state=state, valid_until_s=until_s))
    return found


@few
@given(
    worlds(
        "card",
        lane=st.one_of(VEHICLE_LANES, st.just(a_lane()), st.just(a_lane(id=WALK))),
        grant={"levels": (), "household": st.sampled_from(["h1", "h1", ""])},
        others=cars(),
        household={
            "cars": st.sampled_from([(PLATE_OF, OTHER_CAR.key), (PLATE_OF,), ()]),
            "is_card_for_car": st.sampled_from([True, True, False]),
            "quota": None,
        },
        policy=ORDINARY,
        state=CALM | {"held_reason": st.sampled_from([*UNREAD, Reason.PLATE_UNKNOWN, None])},
        sane="grant area policy state",
    )
)
def test_a_card_opens_for_the_unread_car_of_its_household_only_where_such_a_car_has_a_right(world: World) -> None:
    decision, view, grant = world.decision, world.view, world.grant
    assert grant is not None
    home = view.households("h1")
    assert home is not None
    is_asked = world.state.held_reason in UNREAD and grant.household == "h1" and home.is_card_for_car
    welcome = 0
    for key in home.cars:
        car = view.grants.get(key)
        has_right = car is not None and car.state is GrantState.ACTIVE and car.levels == ("all",)
        welcome += has_right and car is not None and car.valid_until_s != NOON_S
    lines = [(str(welcome), verdict_of(is_ok=welcome > 0))] if is_asked else []
    assert asked(decision, "household_card") == lines
    if is_asked and welcome:
        assert (decision.verdict, decision.reason) == (Verdict.GRANTED, Reason.HOUSEHOLD_CARD)
    else:
        assert (decision.verdict, decision.reason) == (Verdict.DENIED, Reason.NO_PERMISSION_GATE)
    assert decision.reason not in STANDING_OPEN
