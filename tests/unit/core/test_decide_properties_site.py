"""One property for each rule about who and what is inside: what its line says, and what follows from it."""

from collections.abc import Iterable
from typing import Any

from builders import NOON_S, a_walk_lane
from decide_models import (
    CALM,
    LANES,
    OCCUPANCY,
    ORDINARY,
    OUT,
    PENDING,
    PLATE_OF,
    SCHEDULE,
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
    LinkPolicy,
    Occupancy,
    Passback,
    PassClaim,
    Pending,
    Verdict,
)
from gatectl.core.occupancy import crossed
from gatectl.core.reasons import Reason

DIRECTIONS = st.sampled_from(Direction)
VALID: dict[str, Any] = {
    "state": GrantState.ACTIVE,
    "has_no_plate": False,
    "colour": None,
    "valid_from_s": None,
    "valid_until_s": None,
    "levels": ("all",),
}
"""A right that holds here and now."""
FREE: dict[str, Any] = VALID | {"uses": None}
"""…as often as its holder likes."""
HERE: dict[str, Any] = CALM | {"clock": ClockTrust.SYNCED}
SAME = "read claim"
IN_FORCE = {LinkPolicy.LOCAL_ONLY: "local_only", LinkPolicy.SOFT: "link_soft", LinkPolicy.STRICT: "strict"}
POLICIES = st.sampled_from(LinkPolicy)

few = settings(max_examples=200)


def pending_of(world: World) -> Pending:
    """What the world's own attempt counts for, once it is granted."""
    decision = world.decision
    assert decision.grant is not None
    is_vehicle = world.state.lane.kind.value == "vehicle"
    return Pending(decision.grant.key, decision.subject, decision.grant.household, is_vehicle)


def with_entry(world: World) -> World:
    """The same attempt again, once the first passage is completed."""
    decision, area = world.decision, world.view.policies[world.attempt.lane].area_to
    entry = pending_of(world)
    occupancy = crossed(
        world.state.occupancy,
        subject=entry.subject,
        area_from="",
        area_to=area,
        at_s=NOON_S,
        household=entry.household,
        is_vehicle=entry.is_vehicle,
        uses_key=decision.uses_key,
    )
    return world.with_state(occupancy=occupancy)


def with_exit(world: World) -> World:
    """…and out again."""
    occupancy = crossed(
        world.state.occupancy, subject=world.decision.subject, area_from="site", area_to="", at_s=NOON_S
    )
    return world.with_state(occupancy=occupancy)


# --- uses and the link ---


@few
@given(
    worlds(
        grant=VALID | {"uses": st.one_of(st.none(), st.integers(0, 3))},
        claim={"uses": st.integers(0, 3)},
        policy=ORDINARY,
        state=HERE | {"occupancy": OCCUPANCY, "pending": PENDING, "is_link_up": True},
        sane="claim read",
    )
)
def test_a_right_to_so_many_entries_counts_those_made_and_those_under_way(world: World) -> None:
    decision, state = world.decision, world.state
    right: Grant | PassClaim | None = world.attempt.claim or world.grant
    assert right is not None
    key = f"pass:{right.nonce}" if isinstance(right, PassClaim) else right.key
    if right.uses is None:
        assert not asked(decision, "uses")
        return
    made = state.occupancy.uses.get(key, 0) + sum(one.key == key for one in state.pending)
    assert the_line(decision, "uses") == (f"{made} / {right.uses}", verdict_of(is_ok=made < right.uses))
    if made >= right.uses:
        assert not is_granted(decision)
        used = {Reason.CARD_EXPIRED, Reason.PIN_INVALID, Reason.PLATE_EXPIRED, Reason.CODE_USED}
        assert decision.reason in used
    elif is_granted(decision):
        assert decision.uses_key == key
        entered = with_entry(world).decision
        assert asked(entered, "uses")[0][0] == f"{made + 1} / {right.uses}", "an entry counts"
        under_way = world.with_state(pending=(*state.pending, pending_of(world))).decision
        assert asked(under_way, "uses")[0][0] == f"{made + 1} / {right.uses}", "so does one that is under way"


@few
@given(
    worlds(
        grant=VALID | {"uses": st.sampled_from([None, 5])},
        claim={"uses": 5},
        area={"link_policy": POLICIES, "passback": Passback.OFF},
        policy=ORDINARY | {"area_to": st.sampled_from(["site", "site", ""])},
        state=HERE | {"is_link_up": st.booleans(), "occupancy": Occupancy(), "pending": ()},
        sane=SAME,
    )
)
def test_while_the_link_is_down_the_policy_says_whether_a_counted_right_is_judged_by_this_gate(world: World) -> None:
    decision, view = world.decision, world.view
    has_count = world.attempt.claim is not None or (world.grant is not None and world.grant.uses is not None)
    if world.state.is_link_up or not has_count:
        assert not [value for value, _ in asked(decision, "link") if value != "link_soft"]
        assert decision.reason is not Reason.LINK_DOWN
        return
    area = view.areas.get(view.policies[world.attempt.lane].area_to)
    policy = area.link_policy if area is not None else LinkPolicy.LOCAL_ONLY
    is_held = policy is LinkPolicy.STRICT
    assert asked(decision, "link")[0] == (IN_FORCE[policy], verdict_of(is_ok=not is_held))
    assert decision.link_policy is policy
    assert (decision.reason is Reason.LINK_DOWN) == is_held
    assert not is_held or decision.verdict is Verdict.HELD


# --- anti-passback ---


@few
@given(
    worlds(
        "card code plate",
        grant=FREE | {"subject": st.sampled_from(["p1", ""])},
        area={"passback": st.sampled_from(Passback), "passback_s": 120, "capacity": 0},
        policy=ORDINARY | {"area_to": st.sampled_from(["site", "site", "site", ""])},
        household={"quota": None},
        state=HERE | {"is_link_up": True, "occupancy": OCCUPANCY, "pending": PENDING},
        sane="read policy area",
    )
)
def test_two_entries_without_an_exit_are_never_both_granted_under_hard_and_always_under_soft(world: World) -> None:
    decision, view = world.decision, world.view
    area = view.areas.get(view.policies[world.attempt.lane].area_to)
    subject = decision.subject
    if area is None or area.passback is Passback.OFF or not subject:
        assert not asked(decision, "passback")
        assert decision.reason not in {Reason.PASSBACK, Reason.PASSBACK_SOFT}
        return
    inside = world.state.occupancy.inside.get(subject)
    is_coming = any(one.subject == subject for one in world.state.pending)
    is_inside = inside is not None or is_coming
    assert the_line(decision, "passback") == (f"site · {area.passback.value}", verdict_of(is_ok=not is_inside))
    stayed_s = NOON_S - inside.since_s if inside is not None and not is_coming else 0
    is_refused = is_inside and (area.passback is Passback.HARD or (area.passback is Passback.TIMED and stayed_s < 120))
    if area.passback is Passback.SOFT:
        is_refused = False
    assert (decision.reason is Reason.PASSBACK) == is_refused
    assert not is_refused or not is_granted(decision)
    if not is_granted(decision):
        return
    again = with_entry(world)
    assert again.decision.subject == subject
    assert is_granted(again.decision) == (area.passback is Passback.SOFT)
    under_way = world.with_state(pending=(*world.state.pending, pending_of(world))).decision
    assert (under_way.reason is Reason.PASSBACK) == (area.passback is not Passback.SOFT)
    left = with_exit(again).with_state(pending=())
    assert the_line(left.decision, "passback")[1] == "pass", "after an exit it is as before"


@few
@given(
    worlds(
        "card code plate",
        grant=FREE,
        area={"passback": Passback.HARD, "link_policy": POLICIES, "capacity": 0},
        policy=ORDINARY | {"area_to": "site"},
        household={"quota": None},
        state=HERE | {"is_link_up": False, "occupancy": OCCUPANCY, "pending": ()},
        sane="read policy area",
    )
)
def test_hard_passback_over_a_link_that_is_down_does_what_its_policy_says(world: World) -> None:
    decision = world.decision
    policy = world.view.areas["site"].link_policy
    if not decision.subject:
        return
    is_inside = decision.subject in world.state.occupancy.inside
    value = f"site · hard · {IN_FORCE[policy]}"
    assert the_line(decision, "passback") == (value, verdict_of(is_ok=not is_inside))
    assert decision.link_policy is policy
    if is_inside:
        assert (decision.reason is Reason.PASSBACK) == (policy is not LinkPolicy.SOFT)
    else:
        assert (decision.reason is Reason.LINK_DOWN) == (policy is LinkPolicy.STRICT)
        assert decision.reason is not Reason.PASSBACK


# --- the car park ---

CARS = st.frozensets(st.sampled_from([PLATE_OF, "plate:粤B00001", "plate:粤B00002", "plate:粤B00003"]), max_size=3)
UNDER_WAY = st.lists(
    st.builds(
        Pending,
        st.just("em:0000000003"),
        st.sampled_from([PLATE_OF, "plate:粤B00002", "plate:粤B00004", "p1"]),
        st.sampled_from(["h1", "h2"]),
        st.booleans(),
    ),
    max_size=2,
).map(tuple)
ROOM: dict[str, Any] = {"passback": Passback.OFF, "capacity": 0}


def cars_of(home: str, pending: Iterable[Pending], inside: Iterable[str]) -> set[str]:
    return {*inside, *(one.subject for one in pending if one.is_vehicle and one.household == home)}


@st.composite
def homes(draw: st.DrawFn, unloading_s: int, /) -> World:
    """A car of a household of which some are inside and some on their way in."""
    return draw(
        worlds(
            "plate",
            lane=VEHICLE_LANES,
            grant=FREE | {"household": st.sampled_from(["h1", "h1", "h1", ""])},
            household={"quota": st.sampled_from([None, 0, 1, 2]), "unloading_s": unloading_s},
            area=ROOM,
            policy=ORDINARY,
            state=HERE
            | {
                "is_link_up": True,
                "occupancy": CARS.map(lambda cars: Occupancy(cars={"h1": cars})),
                "pending": UNDER_WAY,
            },
            sane=SAME,
        )
    )


@few
@given(homes(0))
def test_no_more_cars_of_a_household_than_its_quota_come_in_and_none_counts_twice(world: World) -> None:
    decision, state = world.decision, world.state
    home = world.view.households("h1")
    assert home is not None
    assert world.grant is not None
    if home.quota is None or not world.grant.household:
        assert not asked(decision, "quota")
        assert decision.reason is not Reason.HOUSEHOLD_QUOTA
        return
    others = cars_of("h1", state.pending, state.occupancy.cars["h1"]) - {PLATE_OF}
    is_room = len(others) < home.quota
    assert the_line(decision, "quota") == (f"{len(others)} / {home.quota}", verdict_of(is_ok=is_room))
    assert (decision.reason is Reason.HOUSEHOLD_QUOTA) == (not is_room)
    assert is_room or not is_granted(decision)
    assert not asked(decision, "unloading")


@few
@given(homes(1800))
def test_one_car_beyond_the_quota_has_time_to_unload_and_a_second_one_has_none(world: World) -> None:
    decision, state = world.decision, world.state
    home = world.view.households("h1")
    assert home is not None
    assert world.grant is not None
    others = cars_of("h1", state.pending, state.occupancy.cars["h1"]) - {PLATE_OF}
    if home.quota is None or not world.grant.household or len(others) < home.quota:
        assert not asked(decision, "unloading")
        assert decision.reason is not Reason.UNLOADING
    elif len(others) == home.quota:
        assert the_line(decision, "unloading") == ("1800", "pass")
        if is_granted(decision):
            assert (decision.reason, decision.max_stay_s) == (Reason.UNLOADING, 1800)
    else:
        assert not asked(decision, "unloading")
        assert (is_granted(decision), decision.reason) == (False, Reason.HOUSEHOLD_QUOTA)


@few
@given(
    worlds(
        "plate card",
        lane=st.one_of(VEHICLE_LANES, LANES),
        grant=FREE | {"has_fixed_space": st.sampled_from([False, False, True])},
        household={"quota": None},
        area={"passback": Passback.OFF, "capacity": st.sampled_from([2, 0, 1])},
        policy=ORDINARY | {"area_to": "site"},
        state=HERE
        | {
            "held_reason": None,
            "occupancy": st.sampled_from([2, 1, 0, 3]).map(lambda cars: Occupancy(vehicles={"site": cars})),
            "pending": UNDER_WAY,
        },
        sane=SAME,
    )
)
def test_a_full_car_park_refuses_every_car_but_one_with_a_space_of_its_own(world: World) -> None:
    decision, state, grant = world.decision, world.state, world.grant
    assert grant is not None
    capacity = world.view.areas["site"].capacity
    if not capacity or state.lane == a_walk_lane():
        assert not asked(decision, "capacity")
        assert decision.reason is not Reason.LOT_FULL
        return
    if grant.has_fixed_space:
        assert the_line(decision, "capacity") == ("fixed_space", "skip")
        assert decision.reason is not Reason.LOT_FULL
        return
    coming = sum(one.is_vehicle and one.subject != decision.subject for one in state.pending)
    cars = state.occupancy.vehicles["site"] + coming
    assert the_line(decision, "capacity") == (f"{cars} / {capacity}", verdict_of(is_ok=cars < capacity))
    assert (decision.reason is Reason.LOT_FULL) == (cars >= capacity)
    assert cars < capacity or not is_granted(decision)


@few
@given(
    worlds(
        "plate",
        direction=DIRECTIONS,
        is_listed=False,
        policy={
            "open_schedule": None,
            "mode": st.sampled_from([LaneMode.NORMAL, LaneMode.NORMAL, LaneMode.EXIT_ONLY, LaneMode.LOCKDOWN]),
            "mode_until_s": None,
            "short_stay_s": st.sampled_from([0, 900]),
            "short_stay_schedule": st.sampled_from([None, "hours", "gone"]),
            "area_to": "site",
        },
        area={"capacity": 2},
        schedule=SCHEDULE,
        state=CALM
        | {
            "clock": st.sampled_from(ClockTrust),
            "occupancy": st.sampled_from([2, 0, 1, 3]).map(lambda cars: Occupancy(vehicles={"site": cars})),
        },
        sane=SAME,
    )
)
def test_an_unknown_car_may_stay_a_while_only_where_and_when_the_office_lets_it_and_there_is_room(world: World) -> None:
    decision, view, state = world.decision, world.view, world.state
    policy = view.policies[world.attempt.lane]
    if not policy.short_stay_s or policy.mode is not LaneMode.NORMAL or world.attempt.direction is OUT:
        assert not asked(decision, "short_stay")
        assert decision.reason is not Reason.PLATE_SHORT_STAY
        return
    is_open, has_room = True, state.occupancy.vehicles["site"] < 2
    if policy.short_stay_schedule == "hours":
        is_open, _why = hours_of(view.schedules["hours"], world.attempt.at, view.calendar)
    expected = ("900 s", verdict_of(is_ok=is_open))
    if policy.short_stay_schedule == "gone":
        expected = ("no_schedule", "skip")
    elif policy.short_stay_schedule is not None and state.clock is ClockTrust.UNTRUSTED:
        expected = ("clock_untrusted", "skip")
    assert the_line(decision, "short_stay") == expected
    if expected[1] == "pass" and has_room:
        assert (decision.verdict, decision.reason) == (Verdict.GRANTED, Reason.PLATE_SHORT_STAY)
        assert decision.max_stay_s == 900
    else:
        assert (decision.verdict, decision.reason) == (Verdict.HELD, Reason.PLATE_UNKNOWN)
