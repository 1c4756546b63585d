"""The access model: every rule refuses and lets pass where it should, and says why."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    CARD,
    LANE,
    NOON,
    NOON_S,
    PLATE,
    WALK,
    a_grant,
    a_lane,
    a_level,
    a_plate_attempt,
    a_plate_grant,
    a_policy,
    a_read,
    a_state,
    a_view,
    a_walk_lane,
    an_area,
    an_attempt,
)

from gatectl.core.decide import decide
from gatectl.core.model import (
    Attempt,
    ClockTrust,
    CredentialKey,
    Direction,
    Grant,
    GrantState,
    Household,
    Inside,
    LaneMode,
    LaneState,
    LinkPolicy,
    Occupancy,
    Passback,
    PassClaim,
    Pending,
    PlateColour,
    Profile,
    Schedule,
    SiteId,
    Verdict,
    Window,
)
from gatectl.core.reasons import Reason

CODE = CredentialKey("code:" + "0" * 32)
OTHER_CARD = CredentialKey("em:0000000002")
PLATE_KEY = f"plate:{PLATE}"
MONDAY_MORNING = Schedule("morning", (Window(0, 8 * 60, 11 * 60),))
ALL_DAY = Schedule("all-day", tuple(Window(day, 0, 1440) for day in range(7)))


def on_foot(**changes: object) -> Attempt:
    return an_attempt(**({"lane": WALK} | changes))


def walking(**changes: object) -> LaneState:
    return a_state(**({"lane": a_walk_lane(), "is_present": None} | changes))


def a_pass(**changes: object) -> PassClaim:
    fields = {
        "nonce": "n1",
        "site": SiteId("home"),
        "lanes": (),
        "valid_from_s": NOON_S - 60,
        "valid_until_s": NOON_S + 60,
        "uses": 1,
        "is_genuine": True,
    }
    return PassClaim(**(fields | changes))  # type: ignore[arg-type]


def parked(*cars: str, household: str = "h1") -> Occupancy:
    return Occupancy(
        inside={car: Inside("site", NOON_S - 3600, household, is_vehicle=True) for car in cars},
        cars={household: frozenset(cars)} if cars else {},
        vehicles={"site": len(cars)},
    )


# --- what it is called ---


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (Profile.RESIDENT, Reason.CARD_OK),
        (Profile.TENANT, Reason.CARD_OK),
        (Profile.NANNY, Reason.CARD_OK),
        (Profile.STAFF, Reason.CARD_OK),
        (Profile.VISITOR, Reason.VISITOR_OK),
        (Profile.COURIER, Reason.RIDER_OK),
    ],
)
def test_a_card_greets_its_holder_by_what_he_is_to_the_site(profile: Profile, reason: Reason) -> None:
    assert decide(on_foot(), a_view(a_grant(profile=profile)), walking()).reason is reason


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (Profile.RESIDENT, Reason.PLATE_OK),
        (Profile.VISITOR, Reason.PLATE_VISITOR),
        (Profile.COURIER, Reason.RIDER_OK),
    ],
)
def test_a_plate_greets_its_holder_by_what_he_is_to_the_site(profile: Profile, reason: Reason) -> None:
    assert decide(a_plate_attempt(), a_view(a_plate_grant(profile=profile)), a_state()).reason is reason


# --- codes and PINs ---


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (Profile.RESIDENT, Reason.PIN_OK),
        (Profile.VISITOR, Reason.VISITOR_OK),
        (Profile.COURIER, Reason.RIDER_OK),
    ],
)
def test_digits_open_by_their_hash(profile: Profile, reason: Reason) -> None:
    view = a_view(a_grant(key=CODE, profile=profile))
    assert decide(on_foot(key=CODE), view, walking()).reason is reason


def test_unknown_digits_are_no_pin() -> None:
    decision = decide(on_foot(key=CODE), a_view(), walking())
    assert (decision.verdict, decision.reason) == (Verdict.DENIED, Reason.PIN_INVALID)


def test_a_locked_keypad_hears_no_digits_not_even_right_ones() -> None:
    view = a_view(a_grant(key=CODE))
    assert decide(on_foot(key=CODE), view, walking(is_keypad_locked=True)).reason is Reason.KEYPAD_LOCKED


def test_a_locked_keypad_does_not_stop_a_card() -> None:
    assert decide(on_foot(), a_view(), walking(is_keypad_locked=True)).reason is Reason.CARD_OK


def test_a_duress_pin_opens_as_always_and_alarms_in_silence() -> None:
    decision = decide(on_foot(key=CODE), a_view(a_grant(key=CODE, is_duress=True)), walking())
    assert (decision.reason, decision.alarm) == (Reason.PIN_OK, Reason.DURESS)
    assert not any("duress" in step.rule + step.value for step in decision.trace)


@pytest.mark.parametrize(
    ("changes", "for_visitor", "for_resident"),
    [
        ({"state": GrantState.REVOKED}, Reason.CODE_INVALID, Reason.PIN_INVALID),
        ({"state": GrantState.LOST}, Reason.CODE_INVALID, Reason.PIN_INVALID),
        ({"valid_until_s": NOON_S}, Reason.CODE_EXPIRED, Reason.PIN_INVALID),
        ({"valid_from_s": NOON_S + 1}, Reason.CODE_EARLY, Reason.PIN_INVALID),
        ({"levels": ()}, Reason.CODE_WRONG_GATE, Reason.NO_PERMISSION_GATE),
        ({"levels": ("morning",)}, Reason.CODE_EARLY, Reason.OUT_OF_SCHEDULE),
        ({"uses": 0}, Reason.CODE_USED, Reason.PIN_INVALID),
    ],
)
def test_a_code_that_fails_says_why(changes: dict[str, object], for_visitor: Reason, for_resident: Reason) -> None:
    for profile, reason in ((Profile.VISITOR, for_visitor), (Profile.RESIDENT, for_resident)):
        view = a_view(
            a_grant(**({"key": CODE, "profile": profile} | changes)),
            levels=(a_level(), a_level(id="morning", schedule="morning")),
            schedules=(MONDAY_MORNING,),
        )
        decision = decide(on_foot(key=CODE), view, walking())
        assert (decision.verdict, decision.reason) == (Verdict.DENIED, reason)


# --- passes ---


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (a_pass(), Reason.VISITOR_OK),
        (a_pass(profile=Profile.COURIER), Reason.RIDER_OK),
        (a_pass(profile=Profile.STAFF), Reason.QR_OK),
        (a_pass(lanes=(str(WALK),)), Reason.VISITOR_OK),
        (a_pass(valid_from_s=NOON_S), Reason.VISITOR_OK),
        (a_pass(is_genuine=False), Reason.CODE_INVALID),
        (a_pass(site=SiteId("elsewhere")), Reason.CODE_WRONG_GATE),
        (a_pass(lanes=("other",)), Reason.CODE_WRONG_GATE),
        (a_pass(valid_from_s=NOON_S + 1), Reason.CODE_EARLY),
        (a_pass(valid_until_s=NOON_S), Reason.CODE_EXPIRED),
        (a_pass(uses=0), Reason.CODE_USED),
    ],
)
def test_a_pass_is_judged_by_what_it_says(claim: PassClaim, reason: Reason) -> None:
    decision = decide(on_foot(key=None, claim=claim), a_view(site=SiteId("home")), walking())
    assert decision.reason is reason


def test_a_pass_that_the_office_withdrew_is_no_longer_valid() -> None:
    view = a_view(a_grant(key=CredentialKey("pass:n1"), state=GrantState.REVOKED), site=SiteId("home"))
    assert decide(on_foot(key=None, claim=a_pass()), view, walking()).reason is Reason.CODE_INVALID


def test_a_used_pass_is_refused_and_so_is_one_whose_first_use_is_under_way() -> None:
    view = a_view(site=SiteId("home"))
    used = walking(occupancy=Occupancy(uses={"pass:n1": 1}))
    under_way = walking(pending=(Pending("pass:n1", "pass:n1"),))
    assert decide(on_foot(key=None, claim=a_pass()), view, used).reason is Reason.CODE_USED
    assert decide(on_foot(key=None, claim=a_pass()), view, under_way).reason is Reason.CODE_USED
    assert decide(on_foot(key=None, claim=a_pass(uses=2)), view, used).reason is Reason.VISITOR_OK


def test_a_decision_on_a_limited_credential_names_what_is_to_be_counted() -> None:
    view = a_view(site=SiteId("home"))
    assert decide(on_foot(key=None, claim=a_pass()), view, walking()).uses_key == "pass:n1"
    assert decide(on_foot(), view, walking()).uses_key == ""


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (LinkPolicy.LOCAL_ONLY, Reason.VISITOR_OK),
        (LinkPolicy.SOFT, Reason.VISITOR_OK),
        (LinkPolicy.STRICT, Reason.LINK_DOWN),
    ],
)
def test_with_the_link_down_a_one_time_pass_follows_the_named_policy(policy: LinkPolicy, reason: Reason) -> None:
    view = a_view(site=SiteId("home"), policies=a_policy(), areas=an_area(passback=Passback.OFF, link_policy=policy))
    decision = decide(on_foot(key=None, claim=a_pass()), view, walking(is_link_up=False))
    assert (decision.reason, decision.link_policy) == (reason, policy)
    assert decide(on_foot(key=None, claim=a_pass()), view, walking()).link_policy is None


def test_where_no_area_is_named_a_one_time_pass_is_judged_by_what_this_gate_knows() -> None:
    decision = decide(on_foot(key=None, claim=a_pass()), a_view(site=SiteId("home")), walking(is_link_up=False))
    assert (decision.reason, decision.link_policy) == (Reason.VISITOR_OK, LinkPolicy.LOCAL_ONLY)


def test_a_pass_is_judged_as_the_grant_that_it_stands_for() -> None:
    key = CredentialKey("pass:n1")
    listed = a_grant(key=key, household="h7", max_stay_s=600, levels=("all",))
    claim = a_pass(profile=Profile.COURIER, uses=3)
    for view, household, stay_s in (
        (a_view(site=SiteId("home")), "", 0),
        (a_view(listed, site=SiteId("home")), "h7", 600),
    ):
        decision = decide(on_foot(key=None, claim=claim), view, walking())
        assert decision.grant == Grant(
            key,
            GrantState.ACTIVE,
            (),
            subject=key,
            household=household,
            valid_from_s=NOON_S - 60,
            valid_until_s=NOON_S + 60,
            profile=Profile.COURIER,
            uses=3,
            max_stay_s=stay_s,
        )
        assert (decision.max_stay_s, decision.subject, decision.uses_key) == (stay_s, key, key)


def test_a_withdrawn_credential_says_so_though_something_else_is_wrong_too() -> None:
    revoked = a_grant(key=CredentialKey("pass:n1"), state=GrantState.REVOKED)
    elsewhere = on_foot(key=None, claim=a_pass(lanes=("other",)))
    assert decide(elsewhere, a_view(revoked, site=SiteId("home")), walking()).reason is Reason.CODE_INVALID
    code = a_view(a_grant(key=CODE, state=GrantState.REVOKED))
    assert decide(an_attempt(key=CODE), code, a_state(is_present=False)).reason is Reason.PIN_INVALID
    yellow = a_plate_attempt(a_read(colour=PlateColour.YELLOW))
    assert decide(yellow, a_view(a_plate_grant(state=GrantState.BLOCKED)), a_state()).reason is Reason.PLATE_BLOCKED


# --- modes ---


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (LaneMode.HELD_CLOSED, Reason.LANE_CLOSED),
        (LaneMode.EXIT_ONLY, Reason.LANE_EXIT_ONLY),
        (LaneMode.LOCKDOWN, Reason.LOCKDOWN),
    ],
)
def test_a_closed_lane_refuses_entries_and_lets_out_everybody(mode: LaneMode, reason: Reason) -> None:
    view = a_view(policies=a_policy(mode=mode))
    for attempt, state in ((on_foot(), walking()), (a_plate_attempt(), a_state())):
        decision = decide(attempt, view, state)
        assert (decision.verdict, decision.reason) == (Verdict.DENIED, reason)
        leaving = decide(replace(attempt, direction=Direction.OUT), view, state)
        assert leaving.verdict is Verdict.GRANTED


def test_staff_enter_by_an_exit_only_lane_and_in_a_lockdown_but_not_where_nobody_does() -> None:
    staff = a_grant(profile=Profile.STAFF)
    for mode, verdict in (
        (LaneMode.EXIT_ONLY, Verdict.GRANTED),
        (LaneMode.LOCKDOWN, Verdict.GRANTED),
        (LaneMode.HELD_CLOSED, Verdict.DENIED),
    ):
        assert decide(on_foot(), a_view(staff, policies=a_policy(mode=mode)), walking()).verdict is verdict


@pytest.mark.parametrize("mode", [LaneMode.HELD_CLOSED, LaneMode.EXIT_ONLY, LaneMode.LOCKDOWN])
def test_no_mode_stops_an_emergency_vehicle(mode: LaneMode) -> None:
    view = a_view(policies=a_policy(mode=mode), emergency=("粤E00120",))
    listed = a_plate_attempt(a_read("粤E00120"))
    by_class = a_plate_attempt(a_read("粤X1234应急", colour=PlateColour.WHITE))
    police = a_plate_attempt(a_read("粤A1234警", colour=PlateColour.WHITE))
    assert decide(listed, view, a_state()).reason is Reason.EMERGENCY_LIST
    assert decide(by_class, view, a_state()).reason is Reason.EMERGENCY_PLATE
    assert decide(police, view, a_state()).reason is Reason.EMERGENCY_PLATE


def test_a_mode_ends_to_the_second() -> None:
    for until_s, reason in ((NOON_S + 1, Reason.LANE_CLOSED), (NOON_S, Reason.CARD_OK)):
        view = a_view(policies=a_policy(mode=LaneMode.HELD_CLOSED, mode_until_s=until_s))
        assert decide(on_foot(), view, walking()).reason is reason


def test_a_mode_that_ends_by_itself_refuses_nobody_while_the_clock_is_not_trusted() -> None:
    state = walking(clock=ClockTrust.UNTRUSTED)
    timed = a_view(policies=a_policy(mode=LaneMode.LOCKDOWN, mode_until_s=NOON_S + 60))
    until_changed = a_view(policies=a_policy(mode=LaneMode.LOCKDOWN))
    assert decide(on_foot(), timed, state).verdict is Verdict.GRANTED
    assert decide(on_foot(), until_changed, state).reason is Reason.LOCKDOWN


def test_a_lane_held_open_lets_everybody_pass_but_names_a_lost_card() -> None:
    view = a_view(a_grant(state=GrantState.LOST), policies=a_policy(mode=LaneMode.HELD_OPEN))
    assert decide(on_foot(key=OTHER_CARD), view, walking()).reason is Reason.MODE_HOLD_OPEN
    assert decide(on_foot(), view, walking()).reason is Reason.CARD_LOST


def test_held_open_holds_on_its_floor_when_the_clock_is_not_trusted() -> None:
    state = walking(clock=ClockTrust.UNTRUSTED, clock_floor_s=NOON_S)
    for until_s, reason in ((NOON_S + 1, Reason.MODE_HOLD_OPEN), (NOON_S, Reason.CARD_UNKNOWN)):
        view = a_view(policies=a_policy(mode=LaneMode.HELD_OPEN, mode_until_s=until_s))
        assert decide(on_foot(key=OTHER_CARD), view, state).reason is reason


def test_open_hours_let_everybody_pass_and_with_first_card_in_only_after_the_first_card() -> None:
    stranger = on_foot(key=OTHER_CARD)
    always = a_view(policies=a_policy(open_schedule="all-day"), schedules=(ALL_DAY,))
    assert decide(stranger, always, walking()).reason is Reason.SCHEDULE_OPEN
    first = a_view(policies=a_policy(open_schedule="all-day", is_first_card_in=True), schedules=(ALL_DAY,))
    assert decide(stranger, first, walking()).reason is Reason.CARD_UNKNOWN
    assert decide(on_foot(), first, walking()).reason is Reason.CARD_OK
    assert decide(stranger, first, walking(is_first_card_seen=True)).reason is Reason.SCHEDULE_OPEN


@pytest.mark.parametrize("mode", [LaneMode.HELD_CLOSED, LaneMode.EXIT_ONLY, LaneMode.LOCKDOWN])
def test_open_hours_do_not_open_what_the_office_has_closed(mode: LaneMode) -> None:
    view = a_view(policies=a_policy(mode=mode, open_schedule="all-day"), schedules=(ALL_DAY,))
    assert decide(on_foot(key=OTHER_CARD), view, walking()).reason is Reason.CARD_UNKNOWN
    assert decide(on_foot(), view, walking()).verdict is Verdict.DENIED
    ended = a_policy(mode=mode, mode_until_s=NOON_S, open_schedule="all-day")
    after = a_view(policies=ended, schedules=(ALL_DAY,))
    assert decide(on_foot(key=OTHER_CARD), after, walking()).reason is Reason.SCHEDULE_OPEN


def test_open_hours_are_over_at_their_end_and_open_nothing_on_a_clock_that_is_not_trusted() -> None:
    view = a_view(policies=a_policy(open_schedule="morning"), schedules=(MONDAY_MORNING,))
    stranger = on_foot(key=OTHER_CARD)
    at_ten = replace(stranger, at=NOON - timedelta(hours=2))
    assert decide(at_ten, view, walking()).reason is Reason.SCHEDULE_OPEN
    assert decide(stranger, view, walking()).reason is Reason.CARD_UNKNOWN
    assert decide(at_ten, view, walking(clock=ClockTrust.UNTRUSTED)).reason is Reason.CARD_UNKNOWN


def test_under_fire_everybody_passes() -> None:
    decision = decide(on_foot(key=OTHER_CARD), a_view(), walking(is_emergency=True))
    assert (decision.verdict, decision.reason) == (Verdict.GRANTED, Reason.EMERGENCY_INPUT)


# --- anti-passback ---


INSIDE = Occupancy(inside={"p1": Inside("site", NOON_S - 100)})


@pytest.mark.parametrize(
    ("area", "reason"),
    [
        ({"passback": Passback.OFF}, Reason.CARD_OK),
        ({"passback": Passback.SOFT}, Reason.PASSBACK_SOFT),
        ({"passback": Passback.HARD}, Reason.PASSBACK),
        ({"passback": Passback.TIMED, "passback_s": 101}, Reason.PASSBACK),
        ({"passback": Passback.TIMED, "passback_s": 100}, Reason.PASSBACK_SOFT),
    ],
)
def test_a_second_entry_without_an_exit(area: dict[str, object], reason: Reason) -> None:
    view = a_view(policies=a_policy(), areas=an_area(**area))
    assert decide(on_foot(), view, walking(occupancy=INSIDE)).reason is reason
    assert decide(on_foot(), view, walking()).reason is Reason.CARD_OK


def test_a_card_that_was_handed_back_over_the_fence_is_refused_before_the_first_has_passed() -> None:
    view = a_view(policies=a_policy(), areas=an_area())
    assert decide(on_foot(), view, walking(pending=(Pending(CARD, "p1"),))).reason is Reason.PASSBACK
    assert decide(on_foot(), view, walking(pending=(Pending(CARD, "p2"),))).reason is Reason.CARD_OK


def test_somebody_in_another_area_may_come_into_this_one() -> None:
    view = a_view(policies=a_policy(), areas=an_area())
    elsewhere = Occupancy(inside={"p1": Inside("garage", NOON_S)})
    assert decide(on_foot(), view, walking(occupancy=elsewhere)).reason is Reason.CARD_OK


@pytest.mark.parametrize(
    ("since_s", "reason"),
    [(NOON_S, Reason.PASSBACK), (NOON_S - 99, Reason.PASSBACK), (NOON_S + 1, Reason.PASSBACK_SOFT)],
)
def test_timed_passback_holds_from_its_first_second_and_not_on_a_clock_that_went_back(
    since_s: int, reason: Reason
) -> None:
    view = a_view(policies=a_policy(), areas=an_area(passback=Passback.TIMED, passback_s=100))
    inside = Occupancy(inside={"p1": Inside("site", since_s)})
    assert decide(on_foot(), view, walking(occupancy=inside)).reason is reason


def test_a_grant_under_way_is_of_now_wherever_its_holder_was_long_ago() -> None:
    view = a_view(policies=a_policy(), areas=an_area(passback=Passback.TIMED, passback_s=100))
    elsewhere = Occupancy(inside={"p1": Inside("garage", NOON_S - 9999)})
    state = walking(occupancy=elsewhere, pending=(Pending(CARD, "p1"),))
    assert decide(on_foot(), view, state).reason is Reason.PASSBACK


def test_timed_passback_refuses_nobody_while_the_clock_is_not_trusted() -> None:
    view = a_view(policies=a_policy(), areas=an_area(passback=Passback.TIMED, passback_s=10**6))
    state = walking(occupancy=INSIDE, clock=ClockTrust.UNTRUSTED, clock_floor_s=NOON_S)
    assert decide(on_foot(), view, state).reason is Reason.PASSBACK_SOFT


@pytest.mark.parametrize(
    ("policy", "when_inside", "when_not"),
    [
        (LinkPolicy.LOCAL_ONLY, Reason.PASSBACK, Reason.CARD_OK),
        (LinkPolicy.SOFT, Reason.PASSBACK_SOFT, Reason.CARD_OK),
        (LinkPolicy.STRICT, Reason.PASSBACK, Reason.LINK_DOWN),
    ],
)
def test_with_the_link_down_the_named_policy_decides_and_stands_on_the_event(
    policy: LinkPolicy, when_inside: Reason, when_not: Reason
) -> None:
    view = a_view(policies=a_policy(), areas=an_area(link_policy=policy))
    inside = decide(on_foot(), view, walking(occupancy=INSIDE, is_link_up=False))
    outside = decide(on_foot(), view, walking(is_link_up=False))
    assert (inside.reason, inside.link_policy) == (when_inside, policy)
    assert (outside.reason, outside.link_policy) == (when_not, policy)


def test_passback_and_interlock_work_together_and_passback_speaks_first() -> None:
    view = a_view(policies=a_policy(interlock="air-lock"), areas=an_area())
    assert decide(on_foot(), view, walking(is_interlocked=True)).reason is Reason.INTERLOCK
    both = walking(is_interlocked=True, occupancy=INSIDE)
    assert decide(on_foot(), view, both).reason is Reason.PASSBACK


def test_nobody_is_kept_in_by_passback_or_interlock() -> None:
    view = a_view(policies=a_policy(), areas=an_area())
    out = on_foot(direction=Direction.OUT)
    assert decide(out, view, walking(is_interlocked=True, occupancy=INSIDE)).reason is Reason.CARD_OK


# --- quota, capacity, short stay ---


def a_home(**changes: object) -> tuple[Household, ...]:
    return (Household(**({"id": "h1", "quota": 1} | changes)),)  # type: ignore[arg-type]


def test_the_second_car_of_a_household_is_refused_in_words() -> None:
    view = a_view(households=a_home(), policies=a_policy())
    decision = decide(a_plate_attempt(), view, a_state(occupancy=parked("plate:粤E99999")))
    assert (decision.verdict, decision.reason) == (Verdict.DENIED, Reason.HOUSEHOLD_QUOTA)
    assert decide(a_plate_attempt(), view, a_state()).reason is Reason.PLATE_OK


def test_the_same_car_twice_is_not_its_own_second_car() -> None:
    view = a_view(households=a_home(), policies=a_policy())
    assert decide(a_plate_attempt(), view, a_state(occupancy=parked(PLATE_KEY))).reason is Reason.PLATE_OK


def test_a_car_whose_grant_is_under_way_counts_and_another_households_does_not() -> None:
    view = a_view(households=a_home(), policies=a_policy())
    for household, reason in (("h1", Reason.HOUSEHOLD_QUOTA), ("h2", Reason.PLATE_OK)):
        pending = (Pending("plate:x", "plate:x", household, is_vehicle=True),)
        assert decide(a_plate_attempt(), view, a_state(pending=pending)).reason is reason


def test_one_car_beyond_the_quota_may_unload_and_a_second_may_not() -> None:
    view = a_view(households=a_home(unloading_s=1800), policies=a_policy())
    one = decide(a_plate_attempt(), view, a_state(occupancy=parked("plate:a")))
    assert (one.verdict, one.reason, one.max_stay_s) == (Verdict.GRANTED, Reason.UNLOADING, 1800)
    two = decide(a_plate_attempt(), view, a_state(occupancy=parked("plate:a", "plate:b")))
    assert two.reason is Reason.HOUSEHOLD_QUOTA


def test_a_quota_of_none_is_no_quota_and_one_of_nought_lets_no_car_in() -> None:
    for quota, reason in ((None, Reason.PLATE_OK), (0, Reason.HOUSEHOLD_QUOTA)):
        view = a_view(households=a_home(quota=quota), policies=a_policy())
        assert decide(a_plate_attempt(), view, a_state()).reason is reason


def test_people_on_foot_have_no_parking_quota() -> None:
    view = a_view(households=a_home(quota=0), policies=a_policy(), areas=an_area(passback=Passback.OFF, capacity=1))
    assert decide(on_foot(), view, walking(occupancy=parked("plate:a"))).reason is Reason.CARD_OK


def test_a_soft_policy_lets_a_second_car_pass_while_the_link_is_down() -> None:
    for policy, reason in ((LinkPolicy.SOFT, Reason.PLATE_OK), (LinkPolicy.LOCAL_ONLY, Reason.HOUSEHOLD_QUOTA)):
        area = an_area(passback=Passback.OFF, link_policy=policy)
        view = a_view(households=a_home(), policies=a_policy(), areas=area)
        decision = decide(a_plate_attempt(), view, a_state(occupancy=parked("plate:a"), is_link_up=False))
        assert (decision.reason, decision.link_policy) == (reason, policy)


def test_a_full_car_park_refuses_all_but_those_with_a_space_of_their_own() -> None:
    full = a_state(occupancy=parked("plate:a", "plate:b", household="h9"))
    room = a_state(occupancy=parked("plate:a", household="h9"))
    areas = an_area(passback=Passback.OFF, capacity=2)
    for grant, state, reason in (
        (a_plate_grant(), full, Reason.LOT_FULL),
        (a_plate_grant(), room, Reason.PLATE_OK),
        (a_plate_grant(has_fixed_space=True), full, Reason.PLATE_OK),
    ):
        assert decide(a_plate_attempt(), a_view(grant, policies=a_policy(), areas=areas), state).reason is reason


def test_cars_under_way_fill_the_car_park_but_not_the_car_itself() -> None:
    areas = an_area(passback=Passback.OFF, capacity=1)
    for subject, reason in (("plate:x", Reason.LOT_FULL), (PLATE_KEY, Reason.PLATE_OK)):
        state = a_state(pending=(Pending(subject, subject, "h9", is_vehicle=True),))
        view = a_view(policies=a_policy(), areas=areas)
        assert decide(a_plate_attempt(), view, state).reason is reason


def test_an_unknown_car_may_stay_shortly_where_and_when_the_office_says_so() -> None:
    stranger = a_plate_attempt(a_read("粤B00000"))
    view = a_view(policies=a_policy(short_stay_s=900))
    decision = decide(stranger, view, a_state())
    assert (decision.reason, decision.max_stay_s) == (Reason.PLATE_SHORT_STAY, 900)
    hours = a_view(policies=a_policy(short_stay_s=900, short_stay_schedule="morning"), schedules=(MONDAY_MORNING,))
    assert decide(stranger, hours, a_state()).reason is Reason.PLATE_UNKNOWN
    at_ten = replace(stranger, at=NOON - timedelta(hours=2))
    assert decide(at_ten, hours, a_state()).reason is Reason.PLATE_SHORT_STAY
    assert decide(at_ten, hours, a_state(clock=ClockTrust.UNTRUSTED)).reason is Reason.PLATE_UNKNOWN
    missing = a_view(policies=a_policy(short_stay_s=900, short_stay_schedule="gone"))
    assert decide(stranger, missing, a_state()).reason is Reason.PLATE_UNKNOWN


def test_a_short_stay_needs_a_sure_read_an_open_lane_and_room() -> None:
    view = a_view(policies=a_policy(short_stay_s=900))
    unsure = a_plate_attempt(a_read("粤B00000", confidence=0.3))
    assert decide(unsure, view, a_state()).reason is Reason.PLATE_LOW_CONF
    closed = a_view(policies=a_policy(short_stay_s=900, mode=LaneMode.LOCKDOWN))
    stranger = a_plate_attempt(a_read("粤B00000"))
    assert decide(stranger, closed, a_state()).reason is Reason.PLATE_UNKNOWN
    areas = an_area(passback=Passback.OFF, capacity=1)
    crowded = a_view(policies=a_policy(short_stay_s=900), areas=areas)
    assert decide(stranger, crowded, a_state(occupancy=parked("plate:a"))).reason is Reason.PLATE_UNKNOWN
    assert decide(stranger, crowded, a_state()).reason is Reason.PLATE_SHORT_STAY


def test_a_courier_is_expected_to_leave() -> None:
    view = a_view(a_grant(profile=Profile.COURIER, max_stay_s=1200))
    assert decide(on_foot(), view, walking()).max_stay_s == 1200
    assert decide(on_foot(direction=Direction.OUT), view, walking()).max_stay_s == 0


def test_one_car_under_way_takes_one_space() -> None:
    areas = an_area(passback=Passback.OFF, capacity=2)
    state = a_state(pending=(Pending("plate:x", "plate:x", "h9", is_vehicle=True),))
    assert decide(a_plate_attempt(), a_view(policies=a_policy(), areas=areas), state).reason is Reason.PLATE_OK


def test_a_full_car_park_speaks_before_the_interlock_and_unloading_does_not() -> None:
    areas = an_area(passback=Passback.OFF, capacity=1)
    full = a_state(occupancy=parked("plate:a", household="h9"), is_interlocked=True)
    view = a_view(policies=a_policy(), areas=areas)
    assert decide(a_plate_attempt(), view, full).reason is Reason.LOT_FULL
    home = a_view(households=a_home(unloading_s=1800), policies=a_policy())
    crowded = a_state(occupancy=parked("plate:a"), is_interlocked=True)
    assert decide(a_plate_attempt(), home, crowded).reason is Reason.INTERLOCK


# --- households, no plates, the guard, two persons ---


def unread(**changes: object) -> LaneState:
    return a_state(**({"held_reason": Reason.PLATE_LOW_CONF} | changes))


def test_any_card_of_the_household_opens_the_lane_for_its_unread_car() -> None:
    cars_only = a_level(id="cars", lanes=frozenset({LANE}))
    walk_only = a_level(id="walk", lanes=frozenset({WALK}))
    home = Household("h1", cars=(CredentialKey(PLATE_KEY),))
    view = a_view(
        a_grant(levels=("walk",)), a_plate_grant(levels=("cars",)), levels=(cars_only, walk_only), households=(home,)
    )
    assert decide(an_attempt(), view, a_state()).reason is Reason.NO_PERMISSION_GATE
    decision = decide(an_attempt(), view, unread())
    assert (decision.reason, decision.subject) == (Reason.HOUSEHOLD_CARD, PLATE_KEY)
    known = a_state(held_reason=Reason.PLATE_UNKNOWN)
    assert decide(an_attempt(), view, known).reason is Reason.NO_PERMISSION_GATE


@pytest.mark.parametrize(
    ("home", "car"),
    [
        (Household("h1", cars=(CredentialKey(PLATE_KEY),), is_card_for_car=False), {}),
        (Household("h1"), {}),
        (Household("h2", cars=(CredentialKey(PLATE_KEY),)), {}),
        (Household("h1", cars=(CredentialKey(PLATE_KEY),)), {"state": GrantState.REVOKED}),
        (Household("h1", cars=(CredentialKey(PLATE_KEY),)), {"valid_until_s": NOON_S}),
        (Household("h1", cars=(CredentialKey(PLATE_KEY),)), {"levels": ("walk",)}),
    ],
)
def test_a_household_without_a_car_that_may_come_in_here_opens_for_none(home: Household, car: dict[str, Any]) -> None:
    walk_only = a_level(id="walk", lanes=frozenset({WALK}))
    view = a_view(a_grant(levels=("walk",)), a_plate_grant(**car), levels=(a_level(), walk_only), households=(home,))
    assert decide(an_attempt(), view, unread()).reason is Reason.NO_PERMISSION_GATE


def test_a_card_at_a_vehicle_lane_stands_for_the_one_car_that_is_not_inside() -> None:
    two = Household("h1", cars=(CredentialKey(PLATE_KEY), CredentialKey("plate:粤E99999")))
    view = a_view(households=(two,))
    assert decide(an_attempt(), view, unread()).subject == ""
    assert decide(an_attempt(), view, unread(occupancy=parked("plate:粤E99999"))).subject == PLATE_KEY
    assert decide(an_attempt(), view, a_state()).subject == CARD
    assert decide(on_foot(), view, walking()).subject == "p1"
    assert decide(a_plate_attempt(), view, a_state()).subject == PLATE_KEY


def test_a_card_for_a_car_without_plates_opens_for_no_car_that_has_one() -> None:
    view = a_view(a_grant(has_no_plate=True))
    bare = a_state(held_reason=Reason.PLATE_NONE)
    assert decide(an_attempt(), view, bare).reason is Reason.NO_PLATE_OK
    assert decide(an_attempt(), view, a_state()).reason is Reason.NO_PLATE_OK
    plated = a_state(held_reason=Reason.PLATE_UNKNOWN, held_read="粤B00000")
    decision = decide(an_attempt(), view, plated)
    assert (decision.verdict, decision.reason) == (Verdict.HELD, Reason.WAIT_GUARD)
    assert decide(on_foot(), view, walking()).reason is Reason.CARD_OK


def test_who_must_be_asked_for_waits_for_the_guard() -> None:
    decision = decide(on_foot(), a_view(a_grant(asks_guard=True)), walking())
    assert (decision.verdict, decision.reason) == (Verdict.HELD, Reason.WAIT_GUARD)
    out = on_foot(direction=Direction.OUT)
    assert decide(out, a_view(a_grant(asks_guard=True)), walking()).reason is Reason.CARD_OK


def test_a_two_person_lane_needs_two_different_people() -> None:
    second = a_grant(key=OTHER_CARD, subject="p2")
    view = a_view(a_grant(), second, policies=a_policy(is_two_person=True))
    first = decide(on_foot(), view, walking())
    assert (first.verdict, first.reason) == (Verdict.HELD, Reason.TWO_PERSON)
    again = decide(on_foot(), view, walking(first_of_two="p1"))
    assert again.reason is Reason.TWO_PERSON
    assert decide(on_foot(key=OTHER_CARD), view, walking(first_of_two="p1")).reason is Reason.CARD_OK


def test_two_cards_of_one_person_are_one_person() -> None:
    view = a_view(a_grant(), a_grant(key=OTHER_CARD), policies=a_policy(is_two_person=True))
    assert decide(on_foot(key=OTHER_CARD), view, walking(first_of_two="p1")).reason is Reason.TWO_PERSON


# --- ends of tenancies, exits, emergencies ---


def test_a_tenant_whose_lease_is_over_may_still_leave_on_his_card_for_a_day_and_the_trace_says_so() -> None:
    grant = a_grant(valid_until_s=NOON_S - 10, exit_until_s=NOON_S + 10, profile=Profile.TENANT)
    view = a_view(grant)
    assert decide(on_foot(), view, walking()).reason is Reason.CARD_EXPIRED
    leaving = decide(on_foot(direction=Direction.OUT), view, walking())
    assert leaving.reason is Reason.EXIT_FREE
    assert ("exit_grace", "pass") in {(step.rule, step.outcome) for step in leaving.trace}
    assert "exit_grace" not in {step.rule for step in decide(on_foot(), view, walking()).trace}
    plain = decide(on_foot(direction=Direction.OUT), a_view(a_grant(valid_until_s=NOON_S)), walking())
    assert (plain.reason, plain.trace[-2].rule) == (Reason.EXIT_FREE, "valid_until")
    late = decide(on_foot(direction=Direction.OUT, at=NOON + timedelta(seconds=10)), view, walking())
    assert ("exit_grace", "fail") in {(step.rule, step.outcome) for step in late.trace}


def test_a_lost_card_at_an_exit_lets_out_and_alarms() -> None:
    decision = decide(on_foot(direction=Direction.OUT), a_view(a_grant(state=GrantState.LOST)), walking())
    assert (decision.verdict, decision.reason, decision.alarm) == (
        Verdict.GRANTED,
        Reason.EXIT_FREE,
        Reason.CARD_LOST,
    )


def test_a_stranger_at_an_exit_is_no_alarm() -> None:
    assert decide(on_foot(key=OTHER_CARD, direction=Direction.OUT), a_view(), walking()).alarm is None


def test_a_covered_plate_is_held_as_such() -> None:
    decision = decide(a_plate_attempt(a_read("", 0.0, is_covered=True)), a_view(), a_state())
    assert (decision.verdict, decision.reason) == (Verdict.HELD, Reason.PLATE_COVERED)


def test_an_emergency_vehicle_needs_no_grant_no_quota_and_no_room() -> None:
    view = a_view(emergency=("粤E00120",), policies=a_policy(), areas=an_area(capacity=1), households=a_home(quota=0))
    state = a_state(occupancy=parked("plate:a"), is_interlocked=True, is_link_up=False)
    assert decide(a_plate_attempt(a_read("粤E00120")), view, state).reason is Reason.EMERGENCY_LIST


def test_granted_where_only_the_clock_could_have_refused_is_flagged_but_stronger_words_stay() -> None:
    grant = a_grant(valid_from_s=NOON_S + 99)
    state = walking(clock=ClockTrust.UNTRUSTED)
    assert decide(on_foot(), a_view(grant), state).reason is Reason.CLOCK_UNTRUSTED
    soft = a_view(grant, policies=a_policy(), areas=an_area(passback=Passback.SOFT))
    assert decide(on_foot(), soft, replace(state, occupancy=INSIDE)).reason is Reason.PASSBACK_SOFT
    assert decide(on_foot(), a_view(), state).reason is Reason.CARD_OK


def test_without_a_presence_loop_or_the_rule_a_vehicle_lane_asks_for_no_vehicle() -> None:
    absent = a_state(is_present=False)
    assert decide(an_attempt(), a_view(), absent).reason is Reason.NO_VEHICLE
    assert decide(a_plate_attempt(), a_view(), absent).reason is Reason.SPOOF_SUSPECT
    assert decide(an_attempt(key=CODE), a_view(a_grant(key=CODE)), absent).reason is Reason.NO_VEHICLE
    at_car_lane = an_attempt(key=None, claim=a_pass())
    assert decide(at_car_lane, a_view(site=SiteId("home")), absent).reason is Reason.NO_VEHICLE
    assert decide(a_plate_attempt(), a_view(), a_state(is_present=None)).reason is Reason.PLATE_OK
    lax = a_state(lane=a_lane(require_presence=False), is_present=False)
    assert decide(a_plate_attempt(), a_view(), lax).reason is Reason.PLATE_OK
