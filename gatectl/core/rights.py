"""What a grant must satisfy at this lane and time. Each rule adds to the trace and says why it refuses, if it does."""

from gatectl.core.case import FAIL, PASS, SKIP, Case
from gatectl.core.identify import Found
from gatectl.core.model import (
    Area,
    Grant,
    GrantState,
    Household,
    LaneMode,
    LanePolicy,
    LinkPolicy,
    Passback,
    Profile,
)
from gatectl.core.plates import PLATE_PREFIX
from gatectl.core.reasons import Reason
from gatectl.core.schedule import asked
from gatectl.core.trace_words import JOIN

UNREAD = frozenset({Reason.PLATE_LOW_CONF, Reason.PLATE_NONE, Reason.PLATE_AMBIGUOUS, Reason.PLATE_COVERED})
"""Holds of a car whose plate nobody knows."""
_CLOSED = {
    LaneMode.HELD_CLOSED: Reason.LANE_CLOSED,
    LaneMode.EXIT_ONLY: Reason.LANE_EXIT_ONLY,
    LaneMode.LOCKDOWN: Reason.LOCKDOWN,
}

_IN_FORCE = {LinkPolicy.LOCAL_ONLY: "local_only", LinkPolicy.SOFT: "link_soft", LinkPolicy.STRICT: "strict"}


def withdrawn(case: Case, found: Found) -> Reason | None:
    """Lost, revoked, blocked: asked first, and of a lane that stands open too."""
    grant = found.grant
    if grant is None:
        return None
    if case.check("state", grant.state.value, is_ok=grant.state is GrantState.ACTIVE):
        return None
    reason: Reason = getattr(found.words, grant.state.value)
    return reason


def standing_open(case: Case) -> Reason | None:
    """Why the lane stands open for everybody now, if it does."""
    policy = case.policy
    if policy is None:
        return None
    now = mode(case)
    if now is LaneMode.HELD_OPEN:
        case.note("mode", now.value, PASS)
        return Reason.MODE_HOLD_OPEN
    if now in _CLOSED:
        return None  # what the office has closed is not opened by its hours
    schedule = case.view.schedules.get(policy.open_schedule or "")
    if schedule is None:
        return None
    if not case.is_clock_trusted:
        case.note("open_hours", "clock_untrusted", SKIP)
        return None
    is_open, rule = asked(schedule, case.attempt.at, case.view.calendar)
    if is_open and policy.is_first_card_in and not case.state.is_first_card_seen:
        case.note("open_hours", f"{schedule.id}{JOIN}first_card_awaited", SKIP)
        return None
    case.note("open_hours", f"{schedule.id}{JOIN}{rule}", PASS if is_open else SKIP)
    return Reason.SCHEDULE_OPEN if is_open else None


def mode(case: Case) -> LaneMode:
    """The mode in force. One that ends by itself refuses nobody while the clock is not trusted."""
    return mode_of(case.policy, case.now_s, is_clock_trusted=case.is_clock_trusted)


def mode_of(policy: LanePolicy | None, now_s: int, *, is_clock_trusted: bool) -> LaneMode:
    """The mode of a lane's policy; `now_s` is the clock's floor while it is not trusted."""
    if policy is None:
        return LaneMode.NORMAL
    until_s = policy.mode_until_s
    if until_s is None or (now_s < until_s and (is_clock_trusted or policy.mode is LaneMode.HELD_OPEN)):
        return policy.mode
    return LaneMode.NORMAL


def closed(case: Case, grant: Grant | None) -> Reason | None:
    """Why nobody enters here now, whatever their right."""
    now = mode(case)
    reason = _CLOSED.get(now)
    if reason is None:
        return None
    is_staff = grant is not None and grant.profile is Profile.STAFF and now is not LaneMode.HELD_CLOSED
    return None if case.check("mode", now.value, is_ok=is_staff) else reason


def valid_in_time(case: Case, found: Found, grant: Grant) -> Reason | None:
    """valid_from <= now < valid_until, to the second; an untrusted clock refuses only what its floor proves over."""
    now_s, until_s, from_s = case.now_s, grant.valid_until_s, grant.valid_from_s
    if until_s is not None and not case.check("valid_until", str(until_s), is_ok=now_s < until_s):
        if grant.exit_until_s is not None and case.is_exit:
            case.check("exit_grace", str(grant.exit_until_s), is_ok=now_s < grant.exit_until_s)
        return found.words.expired
    if from_s is not None and not case.is_clock_trusted:
        case.skip_for_clock("valid_from")
    elif from_s is not None and not case.check("valid_from", str(from_s), is_ok=from_s <= now_s):
        return found.words.not_yet
    return None


def at_this_lane(case: Case, found: Found, grant: Grant) -> Reason | None:
    """Some access level must name this lane, and one such level's schedule must be open."""
    if case.attempt.claim is not None:
        return None  # a pass names its lanes itself
    view = case.view
    here = [level for name in grant.levels if (level := view.levels.get(name)) and case.attempt.lane in level.lanes]
    if not case.check("lane", case.attempt.lane, is_ok=bool(here)):
        return found.words.wrong_gate
    if any(level.schedule is None for level in here):
        case.note("schedule", "always", PASS)
        return None
    if not case.is_clock_trusted:
        case.skip_for_clock("schedule")
        return None
    for level in here:
        schedule = view.schedules.get(level.schedule or "")
        if schedule is not None:
            is_open, rule = asked(schedule, case.attempt.at, view.calendar)
            if case.check("schedule", f"{schedule.id}{JOIN}{rule}", is_ok=is_open):
                return None
    return found.words.off_hours


def household_card(case: Case, grant: Grant) -> bool:
    """Any card of the household opens the lane for its unread car (DOMAIN 14)."""
    if not case.is_vehicle_lane or case.state.held_reason not in UNREAD or case.attempt.key is None:
        return False
    household = case.view.households(grant.household) if grant.household else None
    if household is None or not household.is_card_for_car:
        return False
    cars = sum(1 for key in household.cars if _may_be_here(case, key))
    return case.check("household_card", str(cars), is_ok=cars > 0)


def subject_of(case: Case, grant: Grant | None) -> str:
    """Who is counted: a car's credential key on a vehicle lane, the cardholder's id on foot; "" for nobody known.

    A card that opens for an unread car stands for the household's one car that is not inside; for one of several it
    stands for none, or the exit that reads the plate could never be paired with it.
    """
    if grant is None:
        plate = case.attempt.plate
        return f"{PLATE_PREFIX}{plate.text}" if plate is not None and plate.text else ""
    if not case.is_vehicle_lane:
        return grant.subject or grant.key
    if case.state.held_reason not in UNREAD or case.attempt.plate is not None or grant.has_no_plate:
        return grant.key
    household = case.view.households(grant.household) if grant.household else None
    cars = [key for key in household.cars if key not in case.state.occupancy.inside] if household is not None else []
    return cars[0] if len(cars) == 1 else ""


def _may_be_here(case: Case, key: str) -> bool:
    """Whether a car of the household has a right at this lane now; what is asked of it stays out of the trace."""
    car = case.view.grants.get(key)  # type: ignore[arg-type]
    if car is None or car.state is not GrantState.ACTIVE:
        return False
    apart = Case(case.attempt, case.view, case.state)
    found = Found()
    return valid_in_time(apart, found, car) is None and at_this_lane(apart, found, car) is None


def used_up(case: Case, found: Found, grant: Grant) -> Reason | None:
    """A credential for one visit, or for n. Grants under way count: one use never lets two through."""
    if grant.uses is None:
        return None
    made = case.state.occupancy.uses.get(grant.key, 0) + sum(1 for x in case.state.pending if x.key == grant.key)
    if not case.check("uses", f"{made} / {grant.uses}", is_ok=made < grant.uses):
        return found.words.used
    if not case.state.is_link_up:
        return _unsure(case, case.area.link_policy if case.area is not None else LinkPolicy.LOCAL_ONLY)
    return None


def passed_back(case: Case, subject: str) -> Reason | None:
    """No second entry without an exit. PASSBACK_SOFT does not refuse."""
    area = case.area
    if area is None or area.passback is Passback.OFF or not subject:
        return None
    policy = _policy_in_force(case, area)
    inside = case.state.occupancy.inside.get(subject)
    is_inside = inside is not None and inside.area == area.id
    is_coming = any(x.subject == subject for x in case.state.pending)
    since_s = inside.since_s if inside is not None and is_inside and not is_coming else case.now_s
    is_inside = is_inside or is_coming
    value = JOIN.join((area.id, area.passback, *([_IN_FORCE[policy]] if policy is not None else [])))
    if not is_inside:
        case.note("passback", value, PASS)
        return Reason.LINK_DOWN if policy is LinkPolicy.STRICT else None
    case.note("passback", value, FAIL)
    is_over = area.passback is Passback.TIMED and not (
        case.is_clock_trusted and 0 <= case.now_s - since_s < area.passback_s
    )
    if area.passback is Passback.SOFT or is_over or policy is LinkPolicy.SOFT:
        return Reason.PASSBACK_SOFT
    return Reason.PASSBACK


def _policy_in_force(case: Case, area: Area) -> LinkPolicy | None:
    """The policy for a link that is down; it goes into the event."""
    if case.state.is_link_up:
        return None
    case.link_policy = area.link_policy
    return area.link_policy


def _unsure(case: Case, policy: LinkPolicy) -> Reason | None:
    """Another gate may know what this one cannot: the policy that is in force says what then."""
    case.link_policy = policy
    is_held = policy is LinkPolicy.STRICT
    case.note("link", _IN_FORCE[policy], FAIL if is_held else PASS)
    return Reason.LINK_DOWN if is_held else None


def parked(case: Case, grant: Grant, subject: str) -> Reason | None:
    """The household's quota and the car park's. UNLOADING does not refuse. Completed passages and grants under way."""
    area = case.area
    household = case.view.households(grant.household) if grant.household else None
    if household is not None and household.quota is not None:
        refused = _quota(case, household, subject)
        if refused is not None:
            return refused
    if area is None or not area.capacity:
        return None
    if grant.has_fixed_space:
        case.note("capacity", "fixed_space", SKIP)
        return None
    pending = sum(1 for x in case.state.pending if x.is_vehicle and x.subject != subject)
    inside = case.state.occupancy.vehicles.get(area.id, 0) + pending
    return (
        None if case.check("capacity", f"{inside} / {area.capacity}", is_ok=inside < area.capacity) else Reason.LOT_FULL
    )


def _quota(case: Case, household: Household, subject: str) -> Reason | None:
    quota = household.quota or 0
    pending = {x.subject for x in case.state.pending if x.is_vehicle and x.household == household.id}
    cars = (case.state.occupancy.cars.get(household.id, frozenset()) | pending) - {subject}
    if case.check("quota", f"{len(cars)} / {quota}", is_ok=len(cars) < quota):
        return None
    if case.area is not None and _policy_in_force(case, case.area) is LinkPolicy.SOFT:
        case.note("link", _IN_FORCE[LinkPolicy.SOFT], PASS)
        return None
    if household.unloading_s and len(cars) == quota:
        case.note("unloading", str(household.unloading_s), PASS)
        case.max_stay_s = household.unloading_s
        return Reason.UNLOADING
    return Reason.HOUSEHOLD_QUOTA


def short_stay(case: Case) -> bool:
    """An unknown car may come in for a few minutes, in set hours (DOMAIN 11)."""
    policy, area = case.policy, case.area
    if policy is None or not policy.short_stay_s:
        return False
    schedule = case.view.schedules.get(policy.short_stay_schedule or "")
    if policy.short_stay_schedule is not None and (schedule is None or not case.is_clock_trusted):
        case.note("short_stay", "no_schedule" if schedule is None else "clock_untrusted", SKIP)
        return False
    is_open = schedule is None or asked(schedule, case.attempt.at, case.view.calendar)[0]
    if not case.check("short_stay", f"{policy.short_stay_s} s", is_ok=is_open):
        return False
    case.max_stay_s = policy.short_stay_s
    full = area is not None and area.capacity and case.state.occupancy.vehicles.get(area.id, 0) >= area.capacity
    return not full


def second_person(case: Case, grant: Grant) -> Reason | None:
    """At a two-person lane, two different cardholders."""
    subject = grant.subject or grant.key
    policy = case.policy
    if policy is None or not policy.is_two_person:
        return None
    first = case.state.first_of_two
    is_second = first is not None and first != subject
    value = "second" if is_second else "first"
    return None if case.check("two_person", value, is_ok=is_second) else Reason.TWO_PERSON
