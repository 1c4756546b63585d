"""Who may pass: `decide` is pure, total and fast; every answer carries its reason and the rules that were asked."""

from dataclasses import dataclass, field

from gatectl.core.model import (
    Attempt,
    ClockTrust,
    Decision,
    Direction,
    Grant,
    GrantState,
    LaneKind,
    LaneState,
    PlateRead,
    RuleStep,
    Verdict,
    WhitelistView,
)
from gatectl.core.plates import PLATE_PREFIX, fold, is_emergency, is_legal, length_fits_colour, plate_key
from gatectl.core.reasons import Reason
from gatectl.core.schedule import is_open
from gatectl.core.whitelist import find_grant

MIN_PLATE_CONFIDENCE = 0.75
"""A read below this is a hold, not an opening. It is the least over the characters, after the vote: one doubtful
character is enough to make another car's plate. docs/benchmarks.md has the reader's errors below and above it."""

PASS, FAIL, SKIP = "pass", "fail", "skip"


@dataclass(slots=True)
class _Trace:
    """Collects the rules in the order they were asked."""

    steps: list[RuleStep] = field(default_factory=list)

    def note(self, rule: str, value: str, outcome: str) -> None:
        self.steps.append(RuleStep(rule, value, outcome))

    def check(self, rule: str, value: str, *, is_ok: bool) -> bool:
        self.note(rule, value, PASS if is_ok else FAIL)
        return is_ok


def decide(attempt: Attempt, view: WhitelistView, state: LaneState) -> Decision:
    """The answer to one attempt on one revision of the whitelist. Never raises, blocks, logs or reads a clock."""
    trace = _Trace()
    reason, grant = (
        _plate(attempt.plate, attempt, view, state, trace) if attempt.plate else _card(attempt, view, state, trace)
    )
    verdict = VERDICTS[reason]
    if attempt.direction is Direction.OUT:
        reason, verdict = _exit(reason, verdict, trace), Verdict.GRANTED
    return Decision(verdict, reason, tuple(trace.steps), grant, view.revision)


def _exit(reason: Reason, verdict: Verdict, trace: _Trace) -> Reason:
    """Exits open for everything, always (DOMAIN 1.6); what failed stays in the trace."""
    if verdict is Verdict.GRANTED:
        return reason
    trace.note("exit_open", reason.name, PASS)
    return Reason.EXIT_FREE


def _card(attempt: Attempt, view: WhitelistView, state: LaneState, trace: _Trace) -> tuple[Reason, Grant | None]:
    grant = find_grant(view, attempt.key) if attempt.key is not None else None
    if not _is_presence_ok(attempt, state, trace):
        return Reason.NO_VEHICLE, grant
    if not trace.check("registered", attempt.reader, is_ok=grant is not None) or grant is None:
        return Reason.CARD_UNKNOWN, None
    failed = _right(grant, attempt, view, state, trace)
    return (_CARD_REASONS[failed] if failed else Reason.CARD_OK), grant


def _plate(
    read: PlateRead, attempt: Attempt, view: WhitelistView, state: LaneState, trace: _Trace
) -> tuple[Reason, Grant | None]:
    if not _is_presence_ok(attempt, state, trace):
        return Reason.SPOOF_SUSPECT, None
    doubt = _doubt(read, trace)
    if doubt is not None:
        return doubt, None
    legal = is_legal(read.text)
    trace.note("plate_grammar", read.text, PASS if legal else FAIL)
    is_listed = read.text in view.emergency_plates
    trace.note("emergency_list", f"{len(view.emergency_plates)}", PASS if is_listed else SKIP)
    if is_listed:
        return Reason.EMERGENCY_LIST, None
    if is_emergency(read.text):
        trace.note("emergency_plate", read.text, PASS)
        return Reason.EMERGENCY_PLATE, None
    grant = view.grants.get(plate_key(read.text))
    is_lookalike = False
    if grant is None and not legal:
        grant = _lookalike(read, view, trace)
        is_lookalike = grant is not None
        if grant is None:
            return Reason.PLATE_LOW_CONF, None
    if not trace.check("registered", read.text, is_ok=grant is not None) or grant is None:
        return Reason.PLATE_UNKNOWN, None
    if not _colour_agrees(grant, read, trace):
        return Reason.PLATE_AMBIGUOUS, None
    failed = _right(grant, attempt, view, state, trace)
    if failed:
        return _PLATE_REASONS[failed], grant
    return (Reason.PLATE_LOOKALIKE if is_lookalike else Reason.PLATE_OK), grant


def _is_presence_ok(attempt: Attempt, state: LaneState, trace: _Trace) -> bool:
    """A vehicle lane opens only for a vehicle that its own loop feels."""
    if state.lane.kind is not LaneKind.VEHICLE or not state.lane.require_presence:
        return True
    if state.is_present is None:
        trace.note("vehicle_present", "no presence loop", SKIP)
        return True
    if attempt.direction is Direction.OUT:
        trace.note("vehicle_present", str(state.is_present).lower(), SKIP)
        return True
    return trace.check("vehicle_present", str(state.is_present).lower(), is_ok=state.is_present)


def _doubt(read: PlateRead, trace: _Trace) -> Reason | None:
    """Why this read is not good enough to be looked up, if it is not."""
    if not trace.check("plate_found", f"{read.frames}", is_ok=bool(read.text)):
        return Reason.PLATE_NONE
    colour = read.colour.value if read.colour else "unknown"
    if not trace.check(
        "length_fits_colour", f"{len(read.text)} / {colour}", is_ok=length_fits_colour(read.text, read.colour)
    ):
        return Reason.PLATE_AMBIGUOUS
    sure = read.confidence >= MIN_PLATE_CONFIDENCE
    if not trace.check("plate_confidence", f"{read.confidence:.2f} / {MIN_PLATE_CONFIDENCE:.2f}", is_ok=sure):
        return Reason.PLATE_LOW_CONF
    return None


def _lookalike(read: PlateRead, view: WhitelistView, trace: _Trace) -> Grant | None:
    """The one plate that this illegal read can stand for; two, or another colour, are nobody."""
    owners = view.lookalikes.get(fold(read.text), ())
    same_length = [key for key in owners if len(key) == len(PLATE_PREFIX) + len(read.text)]
    unique = len(same_length) == 1
    trace.note("lookalike", f"{read.text}: {len(same_length)} hits", PASS if unique else FAIL)
    return view.grants[same_length[0]] if unique else None


def _colour_agrees(grant: Grant, read: PlateRead, trace: _Trace) -> bool:
    if grant.colour is None or read.colour is None:
        trace.note("colour", "not known", SKIP)
        return True
    return trace.check("colour", f"{read.colour} / {grant.colour}", is_ok=read.colour is grant.colour)


def _right(grant: Grant, attempt: Attempt, view: WhitelistView, state: LaneState, trace: _Trace) -> str:
    """The first rule that this grant fails at this lane and time: `lost`, `revoked`, … or "" for none."""
    if not trace.check("state", grant.state.value, is_ok=grant.state is GrantState.ACTIVE):
        return grant.state.value
    failed = _validity(grant, attempt, state, trace)
    return failed or _access(grant, attempt, view, state, trace)


def _validity(grant: Grant, attempt: Attempt, state: LaneState, trace: _Trace) -> str:
    """valid_from <= now < valid_until, to the second; an untrusted clock refuses only what its floor proves expired."""
    trusted = state.clock is not ClockTrust.UNTRUSTED
    now_s = attempt.at.timestamp() if trusted else float(state.clock_floor_s)
    if grant.valid_until_s is not None and not trace.check(
        "valid_until", f"{grant.valid_until_s}", is_ok=now_s < grant.valid_until_s
    ):
        return "expired"
    if grant.valid_from_s is not None:
        if not trusted:
            trace.note("valid_from", "clock not trusted", SKIP)
        elif not trace.check("valid_from", f"{grant.valid_from_s}", is_ok=grant.valid_from_s <= now_s):
            return "not_yet"
    return ""


def _access(grant: Grant, attempt: Attempt, view: WhitelistView, state: LaneState, trace: _Trace) -> str:
    """Some access level must name this lane, and one such level's schedule must be open."""
    levels = [view.levels[level] for level in grant.levels if level in view.levels]
    here = [level for level in levels if attempt.lane in level.lanes]
    if not trace.check("lane", attempt.lane, is_ok=bool(here)):
        return "wrong_gate"
    if any(level.schedule is None for level in here):
        trace.note("schedule", "always", PASS)
        return ""
    if state.clock is ClockTrust.UNTRUSTED:
        trace.note("schedule", "clock not trusted: no schedule refuses anybody", SKIP)
        return ""
    schedules = [
        view.schedules[level.schedule] for level in here if level.schedule and level.schedule in view.schedules
    ]
    names = ",".join(schedule.id for schedule in schedules)
    opened = any(is_open(schedule, attempt.at) for schedule in schedules)
    return "" if trace.check("schedule", names, is_ok=opened) else "off_hours"


_CARD_REASONS = {
    "lost": Reason.CARD_LOST,
    "revoked": Reason.CARD_REVOKED,
    "blocked": Reason.CARD_REVOKED,
    "expired": Reason.CARD_EXPIRED,
    "not_yet": Reason.NOT_YET_VALID,
    "wrong_gate": Reason.NO_PERMISSION_GATE,
    "off_hours": Reason.OUT_OF_SCHEDULE,
}
_PLATE_REASONS = {
    "lost": Reason.PLATE_BLOCKED,
    "revoked": Reason.PLATE_BLOCKED,
    "blocked": Reason.PLATE_BLOCKED,
    "expired": Reason.PLATE_EXPIRED,
    "not_yet": Reason.PLATE_EXPIRED,
    "wrong_gate": Reason.PLATE_WRONG_GATE,
    "off_hours": Reason.PLATE_OUT_OF_SCHEDULE,
}
_GRANTED = (Reason.CARD_OK, Reason.PLATE_OK, Reason.PLATE_LOOKALIKE, Reason.EMERGENCY_LIST, Reason.EMERGENCY_PLATE)
_DENIED = (
    Reason.CARD_UNKNOWN,
    Reason.CARD_LOST,
    Reason.CARD_REVOKED,
    Reason.CARD_EXPIRED,
    Reason.NOT_YET_VALID,
    Reason.NO_PERMISSION_GATE,
    Reason.OUT_OF_SCHEDULE,
    Reason.SPOOF_SUSPECT,
    Reason.NO_VEHICLE,
)
_HELD = (
    Reason.PLATE_UNKNOWN,
    Reason.PLATE_LOW_CONF,
    Reason.PLATE_AMBIGUOUS,
    Reason.PLATE_NONE,
    Reason.PLATE_EXPIRED,
    Reason.PLATE_BLOCKED,
    Reason.PLATE_WRONG_GATE,
    Reason.PLATE_OUT_OF_SCHEDULE,
)
VERDICTS = {
    **dict.fromkeys(_GRANTED, Verdict.GRANTED),
    **dict.fromkeys(_DENIED, Verdict.DENIED),
    **dict.fromkeys(_HELD, Verdict.HELD),
}
"""What each reason that `decide` gives means at an entry."""
