"""Decisions as they were: verdict, reason and every line of the trace. A change shows as a diff of decisions.json.

`python tests/golden/test_decisions.py` writes the file anew; read the diff before you commit it.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from builders import (
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
    Calendar,
    CharVote,
    ClockTrust,
    CredentialKey,
    DayException,
    DayKind,
    Direction,
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
    WhitelistView,
    Window,
)
from gatectl.core.reasons import Reason
from gatectl.core.schedule import day_and_minute

FILE = Path(__file__).with_name("decisions.json")
CODE = CredentialKey("code:" + "0" * 32)
TODAY = day_and_minute(NOON)[0]
DAYTIME = Schedule("day", (Window(0, 480, 1200), Window(7, 600, 660)), follows_calendar=True)
MORNING = Schedule("morning", (Window(0, 480, 660),))
CLOSED_TODAY = replace(DAYTIME, exceptions=(DayException(TODAY, TODAY),))
HOLIDAY = Calendar(TODAY, TODAY, {TODAY: DayKind.HOLIDAY})
MAKE_UP = Calendar(TODAY, TODAY, {TODAY: DayKind.WORKDAY})
CLAIM = PassClaim("n1", SiteId("home"), (), NOON_S - 60, NOON_S + 60, 1, is_genuine=True)
INSIDE = Occupancy(
    {"p1": Inside("site", NOON_S - 100), "plate:粤E99999": Inside("site", NOON_S - 99, "h1", is_vehicle=True)},
    {"h1": frozenset({"plate:粤E99999"})},
    {"site": 1},
    {"pass:n1": 1},
)
Case = tuple[str, Attempt, WhitelistView, LaneState]


def foot(**changes: Any) -> Attempt:
    return an_attempt(**({"lane": WALK} | changes))


def walk(**changes: Any) -> LaneState:
    return a_state(**({"lane": a_walk_lane(), "is_present": None} | changes))


def doubtful(text: str, place: int, other: str, share: float) -> Attempt:
    chars = tuple(
        CharVote(((char, 1 - share), (other, share))) if i == place else CharVote(((char, 0.99999),))
        for i, char in enumerate(text)
    )
    return a_plate_attempt(a_read(text, 0.9, chars=chars))


def cards() -> Iterator[Case]:
    view = a_view()
    yield "card", foot(), view, walk()
    yield "card by its short form", foot(key=CredentialKey("w26:27:15694")), view, walk()
    yield "card unknown", foot(key=CredentialKey("em:0000000009")), view, walk()
    for state in (GrantState.LOST, GrantState.REVOKED, GrantState.BLOCKED):
        yield f"card {state}", foot(), a_view(a_grant(state=state)), walk()
        yield f"card {state} at an exit", foot(direction=Direction.OUT), a_view(a_grant(state=state)), walk()
    yield "card over", foot(), a_view(a_grant(valid_until_s=NOON_S)), walk()
    yield "card early", foot(), a_view(a_grant(valid_from_s=NOON_S + 1, valid_until_s=NOON_S + 9)), walk()
    yield "card elsewhere", foot(), a_view(a_grant(levels=("none", "gone"))), walk()
    grace = a_grant(valid_until_s=NOON_S - 5, exit_until_s=NOON_S + 5)
    yield "tenant leaves in the grace", foot(direction=Direction.OUT), a_view(grace), walk()
    yield "tenant leaves after it", foot(direction=Direction.OUT, at=NOON + timedelta(seconds=9)), a_view(grace), walk()
    for name, schedule, calendar in (
        ("weekday", DAYTIME, Calendar(TODAY, TODAY)),
        ("beyond the calendar", DAYTIME, Calendar()),
        ("holiday", DAYTIME, HOLIDAY),
        ("make-up day", DAYTIME, MAKE_UP),
        ("exception", CLOSED_TODAY, Calendar()),
        ("off hours", MORNING, Calendar()),
    ):
        view = a_view(
            a_grant(levels=("day",)),
            levels=(a_level(id="day", schedule=schedule.id),),
            schedules=(schedule,),
            calendar=calendar,
        )
        yield f"schedule: {name}", foot(), view, walk()
        yield f"schedule: {name}, clock not trusted", foot(), view, walk(clock=ClockTrust.UNTRUSTED)
    either = (a_level(id="a", schedule="morning"), a_level(id="b", schedule="day"))
    both = a_view(a_grant(levels=("a", "b")), levels=either, schedules=(MORNING, DAYTIME))
    yield "the second schedule is open", foot(), both, walk()
    missing = a_view(a_grant(levels=("a",)), levels=either)
    yield "the schedule is gone", foot(), missing, walk()
    early = a_view(a_grant(valid_from_s=NOON_S + 1, valid_until_s=NOON_S))
    yield "clock not trusted", foot(), early, walk(clock=ClockTrust.UNTRUSTED)
    yield "clock not trusted, floor", foot(), early, walk(clock=ClockTrust.UNTRUSTED, clock_floor_s=NOON_S)
    for profile in Profile:
        yield f"profile {profile}", foot(), a_view(a_grant(profile=profile, max_stay_s=60)), walk()


def codes() -> Iterator[Case]:
    yield "code", foot(key=CODE), a_view(a_grant(key=CODE)), walk()
    yield "code unknown", foot(key=CODE), a_view(), walk()
    yield "code under duress", foot(key=CODE), a_view(a_grant(key=CODE, is_duress=True)), walk()
    yield "keypad locked", foot(key=CODE), a_view(a_grant(key=CODE)), walk(is_keypad_locked=True)
    guest = a_grant(key=CODE, profile=Profile.VISITOR, uses=1)
    yield "visitor's code", foot(key=CODE), a_view(guest), walk()
    yield "visitor's code used", foot(key=CODE), a_view(guest), walk(occupancy=Occupancy(uses={CODE: 1}))
    home = a_view(site=SiteId("home"))
    for name, changes in (
        ("", {}),
        (" forged", {"is_genuine": False}),
        (" of another site", {"site": SiteId("x")}),
        (" for another lane", {"lanes": ("x",)}),
        (" early", {"valid_from_s": NOON_S + 1}),
        (" over", {"valid_until_s": NOON_S}),
        (" of staff", {"profile": Profile.STAFF}),
    ):
        yield f"pass{name}", foot(key=None, claim=replace(CLAIM, **changes)), home, walk()
    yield "pass used", foot(key=None, claim=CLAIM), home, walk(occupancy=INSIDE)
    yield "pass under way", foot(key=None, claim=CLAIM), home, walk(pending=(Pending("pass:n1", "x"),))
    withdrawn = a_view(a_grant(key=CredentialKey("pass:n1"), state=GrantState.REVOKED), site=SiteId("home"))
    yield "pass withdrawn", foot(key=None, claim=CLAIM), withdrawn, walk()
    for policy in LinkPolicy:
        area = an_area(passback=Passback.OFF, link_policy=policy)
        view = a_view(site=SiteId("home"), policies=a_policy(), areas=area)
        yield f"pass, link down, {policy}", foot(key=None, claim=CLAIM), view, walk(is_link_up=False)


def plates() -> Iterator[Case]:
    view = a_view(emergency=("粤E00120",))
    yield "plate", a_plate_attempt(), view, a_state()
    yield "plate unknown", a_plate_attempt(a_read("粤B00000")), view, a_state()
    yield "plate none", a_plate_attempt(a_read("", 0.0, frames=0)), view, a_state()
    yield "plate covered", a_plate_attempt(a_read("", 0.0, is_covered=True)), view, a_state()
    yield "plate unsure", a_plate_attempt(a_read(confidence=0.5)), view, a_state()
    yield "plate too short for green", a_plate_attempt(a_read(colour=PlateColour.GREEN)), view, a_state()
    yield "plate of no colour", a_plate_attempt(a_read(colour=None)), view, a_state()
    yield "plate of another colour", a_plate_attempt(a_read(colour=PlateColour.YELLOW)), view, a_state()
    yield "plate without a vehicle", a_plate_attempt(), view, a_state(is_present=False)
    yield "plate without a loop", a_plate_attempt(), view, a_state(is_present=None)
    yield "plate, no rule", a_plate_attempt(), view, a_state(lane=a_lane(require_presence=False), is_present=False)
    yield "plate at an exit", a_plate_attempt(direction=Direction.OUT), view, a_state(is_present=False)
    yield "plate not legal", a_plate_attempt(a_read("粤E12I")), view, a_state()
    yield "emergency list", a_plate_attempt(a_read("粤E00120")), view, a_state()
    white = PlateColour.WHITE
    yield "emergency class", a_plate_attempt(a_read("粤X1234应急", colour=white)), view, a_state()
    for state in (GrantState.REVOKED, GrantState.BLOCKED):
        yield f"plate {state}", a_plate_attempt(), a_view(a_plate_grant(state=state)), a_state()
    yield "plate over", a_plate_attempt(), a_view(a_plate_grant(valid_until_s=NOON_S)), a_state()
    yield "plate early", a_plate_attempt(), a_view(a_plate_grant(valid_from_s=NOON_S + 1)), a_state()
    yield "plate elsewhere", a_plate_attempt(), a_view(a_plate_grant(levels=())), a_state()
    yield "plate of a visitor", a_plate_attempt(), a_view(a_plate_grant(profile=Profile.VISITOR)), a_state()
    yield "look-alike", doubtful("粤E123O5", 5, "0", 0.4), a_view(a_plate_grant("粤E12305")), a_state()
    rivals = a_view(a_plate_grant("粤E12B45"), a_plate_grant("粤E12845"))
    yield "two listed plates", doubtful("粤E12B45", 4, "8", 0.2), rivals, a_state()
    yield "a stranger as likely", doubtful("粤E12B45", 4, "8", 0.2), a_view(a_plate_grant("粤E12B45")), a_state()


def lanes() -> Iterator[Case]:
    stranger = foot(key=CredentialKey("em:0000000009"))
    yield "emergency", stranger, a_view(), walk(is_emergency=True)
    for mode in LaneMode:
        for until_s in (None, NOON_S + 1, NOON_S):
            view = a_view(policies=a_policy(mode=mode, mode_until_s=until_s))
            name = f"{mode} until {'changed' if until_s is None else until_s - NOON_S}"
            yield f"{name}: card", foot(), view, walk()
            yield f"{name}: stranger", stranger, view, walk()
            yield f"{name}: clock not trusted", foot(), view, walk(clock=ClockTrust.UNTRUSTED, clock_floor_s=NOON_S - 9)
            yield f"{name}: out", replace(stranger, direction=Direction.OUT), view, walk()
    staff = a_view(a_grant(profile=Profile.STAFF), policies=a_policy(mode=LaneMode.LOCKDOWN))
    yield "lockdown: staff", foot(), staff, walk()
    for name, hours in (
        ("open hours", a_policy(open_schedule="day")),
        ("open hours over", a_policy(open_schedule="morning")),
        ("open hours gone", a_policy(open_schedule="gone")),
        ("first card in", a_policy(open_schedule="day", is_first_card_in=True)),
    ):
        view = a_view(policies=hours, schedules=(DAYTIME, MORNING))
        yield name, stranger, view, walk()
        yield f"{name}, seen", stranger, view, walk(is_first_card_seen=True)
        yield f"{name}, clock not trusted", stranger, view, walk(clock=ClockTrust.UNTRUSTED)
    for passback in Passback:
        for policy in LinkPolicy:
            view = a_view(policies=a_policy(), areas=an_area(passback=passback, passback_s=101, link_policy=policy))
            for is_up in (True, False):
                name = f"passback {passback}, {policy}, link {'up' if is_up else 'down'}"
                yield f"{name}: inside", foot(), view, walk(occupancy=INSIDE, is_link_up=is_up)
                yield f"{name}: outside", foot(), view, walk(is_link_up=is_up)
    timed = a_view(policies=a_policy(), areas=an_area(passback=Passback.TIMED, passback_s=100))
    yield "passback timed, over", foot(), timed, walk(occupancy=INSIDE)
    yield "interlock", foot(), a_view(), walk(is_interlocked=True)
    yield "guard", foot(), a_view(a_grant(asks_guard=True)), walk()
    two = a_view(policies=a_policy(is_two_person=True))
    yield "two persons, first", foot(), two, walk()
    yield "two persons, the same", foot(), two, walk(first_of_two="p1")
    yield "two persons, second", foot(), two, walk(first_of_two="p2")


def parking() -> Iterator[Case]:
    for quota in (None, 0, 1, 2):
        for unloading_s in (0, 1800):
            home = Household("h1", quota, unloading_s)
            view = a_view(households=(home,), policies=a_policy(), areas=an_area(passback=Passback.OFF))
            name = f"quota {quota}, unloading {unloading_s}"
            yield name, a_plate_attempt(), view, a_state(occupancy=INSIDE)
            yield f"{name}, empty", a_plate_attempt(), view, a_state()
    soft = an_area(passback=Passback.OFF, link_policy=LinkPolicy.SOFT)
    view = a_view(households=(Household("h1", 1),), policies=a_policy(), areas=soft)
    yield "quota, soft, link down", a_plate_attempt(), view, a_state(occupancy=INSIDE, is_link_up=False)
    for grant in (a_plate_grant(), a_plate_grant(has_fixed_space=True)):
        for capacity in (1, 2):
            areas = an_area(passback=Passback.OFF, capacity=capacity)
            name = f"capacity {capacity}, fixed {grant.has_fixed_space}"
            yield name, a_plate_attempt(), a_view(grant, policies=a_policy(), areas=areas), a_state(occupancy=INSIDE)
    stranger = a_plate_attempt(a_read("粤B00000"))
    for name, policy in (
        ("short stay", a_policy(short_stay_s=900)),
        ("short stay, hours", a_policy(short_stay_s=900, short_stay_schedule="day")),
        ("short stay, off hours", a_policy(short_stay_s=900, short_stay_schedule="morning")),
        ("short stay, no hours", a_policy(short_stay_s=900, short_stay_schedule="gone")),
    ):
        view = a_view(policies=policy, schedules=(DAYTIME, MORNING), areas=an_area(passback=Passback.OFF, capacity=2))
        yield name, stranger, view, a_state(occupancy=INSIDE)
        yield f"{name}, clock not trusted", stranger, view, a_state(clock=ClockTrust.UNTRUSTED)
    held = a_state(held_reason=Reason.PLATE_LOW_CONF)
    levels = (a_level(id="walk", lanes=frozenset({WALK})), a_level(id="cars", lanes=frozenset({LANE})))
    cars = (CredentialKey(f"plate:{PLATE}"),)
    for home in (Household("h1", cars=cars), Household("h1", cars=cars, is_card_for_car=False), Household("h1")):
        view = a_view(a_grant(levels=("walk",)), a_plate_grant(levels=("cars",)), levels=levels, households=(home,))
        name = f"household card, {len(home.cars)} cars, {home.is_card_for_car}"
        yield name, an_attempt(), view, held
    bare = a_view(a_grant(has_no_plate=True))
    yield "no-plate card", an_attempt(), bare, a_state(held_reason=Reason.PLATE_NONE)
    plated = a_state(held_reason=Reason.PLATE_UNKNOWN, held_read="粤B00000")
    yield "no-plate card for a car with plates", an_attempt(), bare, plated
    yield "card without a vehicle", an_attempt(), a_view(), a_state(is_present=False)


def decisions() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in (cards, codes, plates, lanes, parking):
        for name, attempt, view, state in part():
            decision = decide(attempt, view, state)
            assert name not in found, name
            found[name] = {
                "verdict": decision.verdict,
                "reason": decision.reason.name,
                "trace": [f"{step.rule} | {step.value} | {step.outcome}" for step in decision.trace],
                "subject": decision.subject,
                "uses_key": decision.uses_key,
                "max_stay_s": decision.max_stay_s,
                "link_policy": decision.link_policy,
                "alarm": decision.alarm.name if decision.alarm is not None else None,
                "grant": decision.grant.key if decision.grant is not None else None,
            }
    return found


def test_every_decision_is_as_it_was() -> None:
    recorded = json.loads(FILE.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(decisions()))
    assert list(now) == list(recorded)
    for name, decision in now.items():
        assert decision == recorded[name], name


if __name__ == "__main__":
    FILE.write_text(json.dumps(decisions(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
