"""Random models for property tests of `decide`: arbitrary ones, and worlds in which little is out of the ordinary.

In an arbitrary model most attempts fail at the first rules. A `World` begins with somebody who has a right, changes a
few things about it at random, and fixes what the property under test is about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from builders import CARD, LANE, NOON, NOON_S, PLATE, WALK, a_lane, a_walk_lane
from hypothesis import strategies as st

from gatectl.core.decide import decide
from gatectl.core.model import (
    AccessLevel,
    Area,
    Attempt,
    Calendar,
    ClockTrust,
    CredentialKey,
    DayException,
    DayKind,
    Decision,
    Direction,
    Grant,
    GrantState,
    Household,
    Inside,
    Lane,
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
    RuleStep,
    Schedule,
    SiteId,
    Verdict,
    WhitelistView,
    Window,
)
from gatectl.core.reasons import Reason
from gatectl.core.whitelist import whitelist_view

CODE = CredentialKey("code:" + "a" * 32)
PASS_KEY = CredentialKey("pass:n1")
PLATE_OF = CredentialKey(f"plate:{PLATE}")
KEYS = st.sampled_from([CARD, CredentialKey("em:0000000002"), CredentialKey("w26:28:15694"), CODE])
PLATES = st.sampled_from([PLATE, "粤E54321", "粤E1Z345", "粤ED12345", "粤X1234应急", "粤A1234警", "x", ""])
SUBJECTS = st.sampled_from(["p1", "p2", "", PLATE_OF, CARD])
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
VEHICLE_LANES = st.sampled_from([a_lane(), a_lane(require_presence=False)])
LANES = st.one_of(VEHICLE_LANES, st.just(a_walk_lane()))

# --- what may be out of the ordinary, field by field ---

ANY_GRANT: Mapping[str, st.SearchStrategy[Any]] = {
    "state": st.sampled_from(GrantState),
    "levels": LEVELS,
    "subject": SUBJECTS,
    "household": st.sampled_from(["h1", ""]),
    "valid_from_s": SECONDS,
    "valid_until_s": SECONDS,
    "colour": st.one_of(st.none(), st.sampled_from(PlateColour)),
    "profile": st.sampled_from(Profile),
    "exit_until_s": SECONDS,
    "uses": st.one_of(st.none(), st.integers(0, 2)),
    "has_fixed_space": st.booleans(),
    "asks_guard": st.booleans(),
    "is_duress": st.booleans(),
    "has_no_plate": st.booleans(),
    "extended_open": st.booleans(),
    "max_stay_s": st.sampled_from([0, 1800]),
}
ANY_HOUSEHOLD: Mapping[str, st.SearchStrategy[Any]] = {
    "quota": st.one_of(st.none(), st.integers(0, 2)),
    "unloading_s": st.sampled_from([0, 1800]),
    "cars": st.lists(PLATES.map(lambda text: CredentialKey(f"plate:{text}")), max_size=2).map(tuple),
    "is_card_for_car": st.booleans(),
}
ANY_AREA: Mapping[str, st.SearchStrategy[Any]] = {
    "passback": st.sampled_from(Passback),
    "passback_s": st.integers(0, 200),
    "link_policy": st.sampled_from(LinkPolicy),
    "capacity": st.integers(0, 2),
}
ANY_POLICY: Mapping[str, st.SearchStrategy[Any]] = {
    "mode": st.sampled_from(LaneMode),
    "mode_until_s": SECONDS,
    "open_schedule": st.sampled_from([None, "hours", "gone"]),
    "is_first_card_in": st.booleans(),
    "is_two_person": st.booleans(),
    "area_to": st.sampled_from(["", "site", "gone"]),
    "short_stay_s": st.sampled_from([0, 900]),
    "short_stay_schedule": st.sampled_from([None, "hours", "gone"]),
}
ANY_READ: Mapping[str, st.SearchStrategy[Any]] = {
    "text": PLATES,
    "confidence": st.floats(0, 1),
    "colour": st.one_of(st.none(), st.sampled_from(PlateColour)),
    "frames": st.integers(0, 5),
    "is_covered": st.booleans(),
}
ANY_CLAIM: Mapping[str, st.SearchStrategy[Any]] = {
    "nonce": st.sampled_from(["n1", "n2"]),
    "site": st.sampled_from([SiteId("home"), SiteId("x")]),
    "lanes": st.sampled_from([(), (str(LANE), str(WALK)), ("x",)]),
    "valid_from_s": st.integers(NOON_S - 2, NOON_S + 2),
    "valid_until_s": st.integers(NOON_S - 2, NOON_S + 2),
    "uses": st.integers(0, 2),
    "profile": st.sampled_from(Profile),
    "is_genuine": st.booleans(),
}
ANY_STATE: Mapping[str, st.SearchStrategy[Any]] = {
    "is_present": st.sampled_from([True, False, None]),
    "clock": st.sampled_from(ClockTrust),
    "clock_floor_s": st.integers(0, 2**33),
    "held_reason": st.sampled_from([None, Reason.PLATE_NONE, Reason.PLATE_UNKNOWN, Reason.PLATE_LOW_CONF]),
    "held_read": PLATES,
    "occupancy": OCCUPANCY,
    "pending": PENDING,
    "first_of_two": st.sampled_from([None, "p1", "p2"]),
    "is_first_card_seen": st.booleans(),
    "is_link_up": st.booleans(),
    "is_emergency": st.booleans(),
    "is_interlocked": st.booleans(),
    "is_keypad_locked": st.booleans(),
}

# --- arbitrary models ---

GRANTS = st.lists(
    st.builds(Grant, key=st.one_of(KEYS, PLATES.map(lambda text: CredentialKey(f"plate:{text}"))), **ANY_GRANT),
    max_size=4,
)
HOUSEHOLD = st.builds(Household, id=st.just("h1"), **ANY_HOUSEHOLD)
AREA = st.builds(Area, id=st.just("site"), **ANY_AREA)
POLICY = st.builds(LanePolicy, lane=st.just(LANE), **ANY_POLICY)
READ = st.builds(PlateRead, **ANY_READ)
CLAIM = st.builds(PassClaim, **ANY_CLAIM)
EVERYWHERE = frozenset({LANE, WALK})


@st.composite
def views(draw: st.DrawFn) -> WhitelistView:
    """Any list."""
    return whitelist_view(
        "e",
        1,
        NOON_S,
        draw(GRANTS),
        (AccessLevel("all", EVERYWHERE), AccessLevel("hours", EVERYWHERE, draw(st.sampled_from(["hours", "gone"])))),
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
    """Any lane at any moment."""
    fields = {"lane": draw(LANES)} | {name: draw(ANY_STATE[name]) for name in ANY_STATE}
    fields["is_emergency"] = draw(st.sampled_from([False, False, False, True]))
    return LaneState(**(fields | fixed))


@st.composite
def attempts(draw: st.DrawFn, direction: Direction | None = None, kinds: str = "key plate claim") -> Attempt:
    """Any attempt."""
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


# --- worlds ---

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
STANDING_OPEN = frozenset({Reason.MODE_HOLD_OPEN, Reason.SCHEDULE_OPEN})
"""Reasons to let everybody in who is not withdrawn."""
IN, OUT = Direction.IN, Direction.OUT
KEY_OF: Mapping[str, CredentialKey] = {"card": CARD, "code": CODE, "plate": PLATE_OF, "pass": PASS_KEY}
ALWAYS = Schedule("hours", tuple(Window(day, 0, 1440) for day in range(7)))
NEVER = Schedule("hours", ())
CALM: dict[str, Any] = {"is_emergency": False, "is_present": True, "is_keypad_locked": False}
"""The state in which every credential is looked up."""
ORDINARY: dict[str, Any] = {"mode": LaneMode.NORMAL, "open_schedule": None}
"""The policy of a lane that neither stands open nor is closed."""


@dataclass(frozen=True)
class World:
    """An attempt, the list and the lane. `grant` is the listed right; None where nobody is listed."""

    attempt: Attempt
    view: WhitelistView
    state: LaneState
    grant: Grant | None

    @property
    def decision(self) -> Decision:
        """What `decide` says."""
        return decide(self.attempt, self.view, self.state)

    @property
    def now_s(self) -> int:
        """The attempt's whole UTC second."""
        return int(self.attempt.at.timestamp() // 1)

    def with_state(self, **changes: Any) -> "World":
        """The same at another lane state."""
        return replace(self, state=replace(self.state, **changes))

    def with_attempt(self, **changes: Any) -> "World":
        """The same with another attempt."""
        return replace(self, attempt=replace(self.attempt, **changes))


def value_of(draw: st.DrawFn, value: Any) -> Any:
    """A value, or one drawn from a strategy."""
    return draw(value) if isinstance(value, st.SearchStrategy) else value


@st.composite
def worlds(
    draw: st.DrawFn,
    kinds: str = "card code plate pass",
    /,
    *,
    direction: Any = IN,
    lane: Any = LANES,
    at: Any = NOON,
    grant: Mapping[str, Any] | None = None,
    is_listed: Any = True,
    others: Any = (),
    household: Mapping[str, Any] | None = None,
    area: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    read: Mapping[str, Any] | None = None,
    claim: Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
    schedule: Any = SCHEDULE,
    emergency: Any = (),
    levels: Mapping[str, Any] | None = None,
    sane: str = "",
) -> World:
    """Somebody with a right, a few things changed at random, and what is named fixed (or drawn from its strategy).

    `sane` names the parts (grant household area policy read claim state) of which nothing is changed but what is named.
    """

    def part(name: str, good: dict[str, Any], anything: Mapping[str, Any], fixed: Mapping[str, Any] | None) -> Any:
        named = {field: value_of(draw, value) for field, value in (fixed or {}).items()}
        free = [field for field in anything if field not in named]
        odd = draw(st.sets(st.sampled_from(free), max_size=2)) if free and name not in sane.split() else set()
        return good | {field: draw(anything[field]) for field in sorted(odd)} | named

    kind = draw(st.sampled_from(kinds.split()))
    here: Lane = value_of(draw, lane)
    colour = PlateColour.BLUE if kind == "plate" else None
    right = {"key": KEY_OF[kind], "state": GrantState.ACTIVE, "levels": ("all",), "subject": "p1", "household": "h1"}
    granted = Grant(**part("grant", right | {"colour": colour}, ANY_GRANT, grant))
    listed = granted if value_of(draw, is_listed) else None
    if kind == "pass" and grant is None:
        listed = None  # a pass stands in no list unless it was withdrawn
    window = {"valid_from_s": NOON_S - 60, "valid_until_s": NOON_S + 60, "uses": 1}
    good_claim = {"nonce": "n1", "site": SiteId("home"), "lanes": (), "is_genuine": True} | window
    good_read = {"text": PLATE, "confidence": 0.999, "colour": PlateColour.BLUE, "frames": 3}
    home = part("household", {"id": "h1", "cars": (PLATE_OF,)}, ANY_HOUSEHOLD, household)
    level = {"id": "all", "lanes": EVERYWHERE, "schedule": None} | {
        field: value_of(draw, value) for field, value in (levels or {}).items()
    }
    view = whitelist_view(
        "e",
        1,
        NOON_S,
        [*([listed] if listed is not None else []), *value_of(draw, others)],
        (AccessLevel(**level), AccessLevel("hours", EVERYWHERE, "hours")),
        (value_of(draw, schedule),),
        value_of(draw, emergency),
        [Household(**home)],
        site=SiteId("home"),
        areas={"site": Area(**part("area", {"id": "site"}, ANY_AREA, area))},
        policies={here.id: LanePolicy(**part("policy", {"lane": here.id, "area_to": "site"}, ANY_POLICY, policy))},
        calendar=draw(CALENDAR),
    )
    calm = {"lane": here, "is_present": True, "clock": ClockTrust.SYNCED}
    attempt = Attempt(
        "a1",
        here.id,
        value_of(draw, direction),
        value_of(draw, at),
        "reader",
        key=KEY_OF[kind] if kind in ("card", "code") else None,
        plate=PlateRead(**part("read", good_read, ANY_READ, read)) if kind == "plate" else None,
        claim=PassClaim(**part("claim", good_claim, ANY_CLAIM, claim)) if kind == "pass" else None,
    )
    return World(attempt, view, LaneState(**part("state", calm, ANY_STATE, state)), listed)


# --- what a decision says of one rule ---


def asked(decision: Decision, rule: str) -> list[tuple[str, str]]:
    """(value, outcome) of each line of a rule, in order."""
    return [(step.value, step.outcome) for step in decision.trace if step.rule == rule]


def the_line(decision: Decision, rule: str) -> tuple[str, str]:
    """The one line of a rule; fails where there is none, or more than one."""
    (line,) = asked(decision, rule)
    return line


def verdict_of(*, is_ok: bool) -> str:
    """The outcome of a rule that passes or fails."""
    return "pass" if is_ok else "fail"


def is_granted(decision: Decision) -> bool:
    """It opens."""
    return decision.verdict is Verdict.GRANTED


def line(rule: str, value: str, outcome: str) -> RuleStep:
    """A line of the trace."""
    return RuleStep(rule, value, outcome)


def day_of(at: datetime) -> tuple[int, int, int]:
    """Days since 1970, weekday (0 = Monday) and minute of the day, in site time (UTC+8)."""
    local = at.astimezone(UTC) + timedelta(hours=8)
    return (local.date() - date(1970, 1, 1)).days, local.weekday(), local.hour * 60 + local.minute


def hours_of(schedule: Schedule, at: datetime, calendar: Calendar) -> tuple[bool, str]:
    """Whether a schedule is open, and what decided: told again, to compare."""
    day, weekday, minute = day_of(at)
    windows, why = [(w.weekday, w.start_min, w.end_min) for w in schedule.windows], "weekday"
    dated = [x for x in schedule.exceptions if x.first_day <= day <= x.last_day]
    if dated:
        return any(start <= minute < end for start, end in dated[-1].windows), "exception"
    if schedule.follows_calendar:
        if day < calendar.first_day or day > calendar.last_day:
            why = "beyond_calendar"
        elif calendar.days.get(day) is DayKind.HOLIDAY:
            weekday, why = 7, "holiday"
        elif calendar.days.get(day) is DayKind.WORKDAY:
            weekday, why = 0, "make_up"
    return any(column == weekday and start <= minute < end for column, start, end in windows), why
