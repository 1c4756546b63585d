"""What a lane writes down: the events of one lane, and whose opening each of them is about."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from gatectl.core.identify import PASS_PREFIX
from gatectl.core.lane_io import EmergencyOrdered, OpenOrdered, RefuseOrdered
from gatectl.core.model import (
    AccessEvent,
    Attempt,
    ClockTrust,
    CredentialKey,
    Crossing,
    Decision,
    Direction,
    EventKind,
    GateId,
    Lane,
    LaneKind,
    LaneMoment,
    Occupancy,
    Pending,
    Verdict,
    WhitelistView,
)
from gatectl.core.plates import PLATE_PREFIX
from gatectl.core.reasons import Reason
from gatectl.core.rights import UNREAD

_MS = 1_000_000
NOTE_MAX = 40
"""Lines of one lane trace, at most: an arm that bounces for hours must not fill the disk with one event."""


@dataclass(frozen=True, slots=True)
class LaneContext:
    """What the shell knows of the gate at this moment."""

    clock: ClockTrust
    clock_floor_s: int
    is_offline: bool
    occupancy: Occupancy = field(default_factory=Occupancy)
    pending: tuple[Pending, ...] = ()
    """Grants under way at the gate's other lanes."""
    is_link_up: bool = True
    """The other gates' passages arrive."""
    is_interlocked: bool = False
    """Another lane of this lane's interlock stands open."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whom an opening is for, as far as it is known."""

    credential: CredentialKey | None = None
    subject: str = ""
    household: str = ""
    uses_key: str = ""
    max_stay_s: int = 0
    plate: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the lane opens: the recorded event, and the order that waits for the arm, if one does."""

    event: AccessEvent
    tick_ns: int
    who: Who = Who()
    command_id: str = ""
    passage_factor: int = 1

    @property
    def is_entry(self) -> bool:
        """It lets somebody in."""
        return self.event.direction is Direction.IN

    def pending(self, lane: Lane) -> Pending:
        """What it counts for until its passage is completed."""
        who = self.who
        return Pending(who.credential or "", who.subject, who.household, lane.kind is LaneKind.VEHICLE)


@dataclass(slots=True)
class Opening:
    """An opening under way."""

    cause: Cause
    moments: list[LaneMoment] = field(default_factory=list)
    has_passed: bool = False
    has_opened: bool = False
    """The arm (the door) was seen open."""

    def moment(self, what: str, tick_ns: int) -> None:
        """Add a line to the lane trace."""
        if what and len(self.moments) < NOTE_MAX:
            self.moments.append(LaneMoment(what, max(0, (tick_ns - self.cause.tick_ns) // _MS)))


@dataclass(slots=True)
class Hold:
    """A car that waits."""

    event: AccessEvent
    who: Who
    since_ns: int
    is_retried: bool = False
    is_for_queue: bool = False
    """Granted, but the queue was full: it is read again as soon as that moves."""


@dataclass(slots=True)
class Waiting:
    """An order that waits for its answer."""

    command_id: str
    event_id: str
    until_ns: int
    """Answered `unconfirmed` then."""
    is_queued: bool = False
    """Its opening has not begun: another car is under the arm."""


def shown_key(attempt: Attempt) -> CredentialKey | None:
    """The card, code or pass that was shown; None for a plate."""
    if attempt.claim is not None:
        return CredentialKey(f"{PASS_PREFIX}{attempt.claim.nonce}")
    return attempt.key


def who_of(attempt: Attempt, decision: Decision) -> Who:
    """Whom a decision is about. A doubtful plate names nobody."""
    if attempt.plate is not None and decision.reason in UNREAD:
        return Who()
    grant, text = decision.grant, attempt.plate.text if attempt.plate is not None else ""
    return Who(
        credential=grant.key if grant is not None else shown_key(attempt),
        subject=decision.subject or (f"{PLATE_PREFIX}{text}" if text else ""),
        household=grant.household if grant is not None else "",
        uses_key=decision.uses_key,
        max_stay_s=decision.max_stay_s,
        plate=text,
    )


class Scribe:
    """Makes one lane's events. `at` is told what moment it is before anything is written."""

    def __init__(self, lane: Lane, gate: GateId, boot_id: str, new_id: Callable[[], str]) -> None:
        self._lane = lane
        self._gate = gate
        self._boot_id = boot_id
        self._new_id = new_id
        self._at: datetime | None = None
        self._tick_ns = 0
        self._view: WhitelistView | None = None
        self._context = LaneContext(ClockTrust.UNTRUSTED, 0, True)

    def now(self, at: datetime, tick_ns: int, view: WhitelistView, context: LaneContext) -> None:
        """What is written from here on happens now."""
        self._at, self._tick_ns, self._view, self._context = at, tick_ns, view, context

    def event(self, kind: EventKind, reason: Reason, *, ref: str = "", note: str = "") -> AccessEvent:
        """An event of this lane, now."""
        if self._at is None:  # `LaneMachine.on` sets it first
            raise AssertionError("an event before any time was known")
        return AccessEvent(
            id=self._new_id(),
            kind=kind,
            gate=self._gate,
            lane=self._lane.id,
            at=self._at,
            boot_id=self._boot_id,
            mono_ns=self._tick_ns,
            clock=self._context.clock,
            reason=reason,
            revision=self._view.revision if self._view else ("", 0),
            is_offline=self._context.is_offline,
            ref=ref,
            note=note,
        )

    def opened(self, kind: EventKind, reason: Reason, *, ref: str = "", note: str = "") -> AccessEvent:
        """An event that is itself a reason to open."""
        return replace(
            self.event(kind, reason, ref=ref, note=note), verdict=Verdict.GRANTED, direction=self._lane.direction
        )

    def button(self) -> AccessEvent:
        """Somebody leaves by the exit button."""
        return replace(self.opened(EventKind.ACCESS, Reason.BUTTON_EXIT), direction=Direction.OUT)

    def access(self, attempt: Attempt, decision: Decision, ref: str) -> AccessEvent:
        """The attempt and its decision."""
        grant = decision.grant
        return AccessEvent(
            id=attempt.id,
            kind=EventKind.ACCESS,
            gate=self._gate,
            lane=self._lane.id,
            at=attempt.at,
            boot_id=self._boot_id,
            mono_ns=self._tick_ns,
            clock=self._context.clock,
            reason=decision.reason,
            verdict=decision.verdict,
            direction=attempt.direction,
            credential=grant.key if grant else shown_key(attempt),
            subject=grant.subject if grant else "",
            household=grant.household if grant else "",
            plate=attempt.plate,
            trace=decision.trace,
            revision=decision.revision,
            is_offline=self._context.is_offline,
            reader=attempt.reader,
            ref=ref,
            link_policy=decision.link_policy.value if decision.link_policy is not None else "",
        )

    def command(self, order: OpenOrdered | RefuseOrdered | EmergencyOrdered, reason: Reason, ref: str) -> AccessEvent:
        """A person's order."""
        event = self.event(EventKind.COMMAND, reason, ref=ref, note=order.note)
        return replace(event, actor=order.actor)

    def passage(self, opening: Opening, outcome: str) -> AccessEvent:
        """How an opening ended; with what it counts for when somebody went through on a grant."""
        cause, who = opening.cause.event, opening.cause.who
        is_counted = opening.has_passed and cause.verdict is Verdict.GRANTED
        return replace(
            self.event(EventKind.PASSAGE, Reason.PASSED if opening.has_passed else Reason.NOT_ENTERED, ref=cause.id),
            direction=cause.direction,
            credential=cause.credential or who.credential,
            subject=cause.subject,
            household=cause.household or who.household,
            lane_trace=tuple(opening.moments),
            outcome=outcome,
            crossing=self._crossing(who, cause.direction or self._lane.direction) if is_counted else None,
        )

    def unknown_passage(self) -> AccessEvent:
        """Somebody went through a lane that stood open, without a grant of their own."""
        event = self.event(EventKind.PASSAGE, Reason.PASSED)
        direction = self._lane.direction
        return replace(event, direction=direction, outcome="passed", crossing=self._crossing(Who(), direction))

    def _crossing(self, who: Who, direction: Direction) -> Crossing:
        policy = self._view.policies.get(self._lane.id) if self._view is not None else None
        areas = (policy.area_from, policy.area_to) if policy is not None else ("", "")
        if direction is not self._lane.direction:
            areas = areas[::-1]
        is_entry = direction is Direction.IN
        return Crossing(
            subject=who.subject,
            area_from=areas[0],
            area_to=areas[1],
            is_vehicle=self._lane.kind is LaneKind.VEHICLE,
            max_stay_s=who.max_stay_s if is_entry else 0,
            uses_key=who.uses_key if is_entry else "",
        )
