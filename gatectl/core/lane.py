"""The lane machine: attempts, inputs, orders and time in; records, openings and signals out.

The rules above everything else, each with a test of its own:
* CLOSE is never asked for unless the safety loop is known to be clear, and never under fire.
* An opening is asked for only together with the record that explains it, and after it.
* One grant, one passage: a second car needs a grant of its own.
* Every order to open ends in exactly one answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from gatectl.core.decide import decide
from gatectl.core.lane_io import (
    AttemptMade,
    CloseBarrier,
    CommandAnswered,
    Effect,
    Indicate,
    InputChanged,
    LaneEvent,
    OpenBarrier,
    OpenOrdered,
    ReadPlate,
    Record,
    RefuseOrdered,
    Signal,
    Ticked,
)
from gatectl.core.model import (
    AccessEvent,
    Attempt,
    ClockTrust,
    Decision,
    EventKind,
    GateId,
    InputName,
    Lane,
    LaneKind,
    LaneMoment,
    LaneState,
    Verdict,
    WhitelistView,
)
from gatectl.core.reasons import Reason

RETRY_AFTER_S = 3.0
"""An unread car gets one second chance this long after its hold (DOMAIN 14)."""
CLOSE_AGAIN_AFTER_S = 10.0
"""An arm that is not down this long after CLOSE is stuck: alarm, then CLOSE again if it is safe."""
EXTENDED_OPEN_FACTOR = 3
"""Cardholders with `extended_open` get three times as long to pass (DOMAIN 2: 15 s instead of 5 s)."""
_S = 1_000_000_000
_MS = 1_000_000
_UNREAD = frozenset({Reason.PLATE_LOW_CONF, Reason.PLATE_NONE, Reason.PLATE_AMBIGUOUS})

ArmState = Literal["up", "down", "moving", "unknown"]


class Phase(StrEnum):
    """Where an opening stands."""

    IDLE = "idle"
    OPENING = "opening"
    """OPEN was given; the arm's upper switch (the door contact) has not answered yet."""
    OPEN = "open"
    PASSING = "passing"
    """The safety loop is occupied."""
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class LaneContext:
    """What the shell knows of the gate at this moment."""

    clock: ClockTrust
    clock_floor_s: int
    is_offline: bool


@dataclass(frozen=True, slots=True)
class _Cause:
    """Why the lane opens: the recorded event, and the order that waits for the arm, if one does."""

    event: AccessEvent
    tick_ns: int
    command_id: str = ""
    passage_factor: int = 1


@dataclass(slots=True)
class _Opening:
    """An opening under way."""

    cause: _Cause
    phase_since_ns: int
    moments: list[LaneMoment] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    """(command id, event id) of orders that wait for the arm's sensor."""
    has_passed: bool = False
    is_told: bool = False
    """An alarm about this phase was already recorded."""

    def moment(self, what: str, tick_ns: int) -> None:
        self.moments.append(LaneMoment(what, max(0, (tick_ns - self.cause.tick_ns) // _MS)))


@dataclass(slots=True)
class _Hold:
    """A car that waits."""

    event: AccessEvent
    since_ns: int
    is_retried: bool = False


class LaneMachine:
    """One lane. `on` takes one event and returns what must be done, in order; it never raises or blocks."""

    def __init__(self, lane: Lane, gate: GateId, boot_id: str, new_id: Callable[[], str]) -> None:
        self.lane = lane
        self.phase = Phase.IDLE
        self._gate = gate
        self._boot_id = boot_id
        self._new_id = new_id
        self._inputs: dict[InputName, bool] = {}
        self._opening: _Opening | None = None
        self._hold: _Hold | None = None
        self._next: list[_Cause] = []
        self._is_fire_latched = False
        self._up_since_ns: int | None = None
        self._is_up_told = False
        self._context = LaneContext(ClockTrust.UNTRUSTED, 0, True)
        self._view: WhitelistView | None = None
        self._at: datetime | None = None
        self._tick_ns = 0
        self._effects: list[Effect] = []

    # --- what others may see ---

    @property
    def arm(self) -> ArmState:
        """Where the arm (the door) is, as its own switches say."""
        if self._is_pedestrian:
            door = self._inputs.get(InputName.DOOR_OPEN)
            return "unknown" if door is None else "up" if door else "down"
        if self._inputs.get(InputName.ARM_UP):
            return "up"
        if self._inputs.get(InputName.ARM_DOWN):
            return "down"
        return "moving" if InputName.ARM_DOWN in self._inputs else "unknown"

    @property
    def is_present(self) -> bool | None:
        """A vehicle stands before the arm; None before the loop was heard of, or where there is none."""
        return self._inputs.get(InputName.PRESENCE)

    @property
    def is_held(self) -> bool:
        """A car waits for a person or a card."""
        return self._hold is not None

    @property
    def held_attempt(self) -> str | None:
        """The held car's access event."""
        return self._hold.event.id if self._hold else None

    def on(self, event: LaneEvent, view: WhitelistView, context: LaneContext) -> tuple[Effect, ...]:
        """Take one event; what must be done comes back in order."""
        self._view, self._context = view, context
        self._tick_ns = event.tick_ns
        self._at = event.attempt.at if isinstance(event, AttemptMade) else event.at
        self._effects = []
        if isinstance(event, AttemptMade):
            self._attempt(event.attempt, view)
        elif isinstance(event, InputChanged):
            self._input(event.input, event.is_active)
        elif isinstance(event, OpenOrdered):
            self._open_ordered(event)
        elif isinstance(event, RefuseOrdered):
            self._refuse_ordered(event)
        elif isinstance(event, Ticked):
            self._ticked()
        effects, self._effects = tuple(self._effects), []
        return effects

    # --- attempts ---

    def _attempt(self, attempt: Attempt, view: WhitelistView) -> None:
        if self._is_same_car(attempt):
            if self._opening is not None:
                self._opening.moment("plate_read_again", self._tick_ns)
            return
        decision = decide(attempt, view, self._state())
        if self._hold is not None and attempt.plate is not None and decision.verdict is not Verdict.GRANTED:
            self._read_again(attempt, decision)
            return
        held = self._hold
        event = self._access_event(attempt, decision, held.event.id if held else "")
        self._record(event)
        if decision.verdict is Verdict.GRANTED:
            if held is not None:
                self._end_hold("card" if attempt.plate is None else "retry")
            is_slow = decision.grant is not None and decision.grant.extended_open
            self._grant(_Cause(event, self._tick_ns, passage_factor=EXTENDED_OPEN_FACTOR if is_slow else 1))
            self._show(Signal.GRANTED, decision.reason)
        elif decision.verdict is Verdict.HELD:
            self._hold = _Hold(event, self._tick_ns)
            self._show(Signal.HELD, decision.reason)
        else:
            self._show(Signal.DENIED, decision.reason)

    def _is_same_car(self, attempt: Attempt) -> bool:
        """Whether this read is late news of a car that was dealt with.

        Until the car that opened the lane reaches the safety loop, what the camera reads is that car. Once nobody
        stands before the arm, the read is of the car that just passed or backed off; an empty one is of nobody.
        """
        if attempt.plate is None or self.is_present is None:
            return False
        if self._opening is not None and self.phase in (Phase.OPENING, Phase.OPEN):
            return True
        return not self.is_present and (self._opening is not None or not attempt.plate.text)

    def _read_again(self, attempt: Attempt, decision: Decision) -> None:
        """A held car was read again and still may not pass: told only when the read says something new."""
        hold, read = self._hold, attempt.plate
        if hold is None or read is None:
            return
        before = hold.event.plate.text if hold.event.plate else ""
        if read.text and read.text != before:
            event = self._access_event(attempt, decision, hold.event.id)
            self._record(event)
            hold.event = replace(hold.event, plate=read, reason=decision.reason)
            self._show(Signal.HELD, decision.reason)

    def _access_event(self, attempt: Attempt, decision: Decision, ref: str) -> AccessEvent:
        grant = decision.grant
        key = grant.key if grant else attempt.key
        return AccessEvent(
            id=attempt.id,
            kind=EventKind.ACCESS,
            gate=self._gate,
            lane=self.lane.id,
            at=attempt.at,
            boot_id=self._boot_id,
            mono_ns=self._tick_ns,
            clock=self._context.clock,
            reason=decision.reason,
            verdict=decision.verdict,
            direction=attempt.direction,
            credential=key,
            subject=grant.subject if grant else "",
            household=grant.household if grant else "",
            plate=attempt.plate,
            trace=decision.trace,
            revision=decision.revision,
            is_offline=self._context.is_offline,
            reader=attempt.reader,
            ref=ref,
        )

    def _state(self) -> LaneState:
        return LaneState(
            lane=self.lane,
            is_present=self.is_present,
            clock=self._context.clock,
            clock_floor_s=self._context.clock_floor_s,
            held_attempt=self.held_attempt,
        )

    # --- opening ---

    def _grant(self, cause: _Cause) -> None:
        """Open now, or when the car under the arm is through."""
        if self._opening is not None and not self._is_pedestrian:
            if self.phase in (Phase.OPENING, Phase.OPEN):
                self._opening.moment("granted_again", self._tick_ns)
                return
            if self.phase is Phase.PASSING:
                self._next.append(cause)
                return
        self._finish()
        self._start(cause)

    def _start(self, cause: _Cause) -> None:
        opening = _Opening(cause, self._tick_ns)
        opening.moment("open_ordered", self._tick_ns)
        if cause.command_id:
            opening.waiting.append((cause.command_id, cause.event.id))
        self._opening = opening
        self.phase = Phase.OPENING
        self._effects.append(OpenBarrier(self.lane.id, self.lane.pulse_ms, cause.event.id))
        if self.arm == "up":
            self._arm_answered()

    def _arm_answered(self) -> None:
        """The sensor says open."""
        opening = self._opening
        if opening is None:
            return
        self.phase, opening.phase_since_ns, opening.is_told = Phase.OPEN, self._tick_ns, False
        opening.moment("door_open" if self._is_pedestrian else "arm_up", self._tick_ns)
        for command_id, event_id in opening.waiting:
            self._answer(command_id, "confirmed", "the arm's sensor says up", event_id)
        opening.waiting.clear()
        if self._inputs.get(InputName.SAFETY):
            self.phase = Phase.PASSING

    def _close(self) -> None:
        """Ask for CLOSE where that is certainly safe, and wait for the arm."""
        opening = self._opening
        if opening is not None:
            self.phase, opening.phase_since_ns = Phase.CLOSING, self._tick_ns
        if self._may_close:
            if opening is not None:
                opening.moment("close_ordered", self._tick_ns)
            self._effects.append(CloseBarrier(self.lane.id, self.lane.pulse_ms))

    @property
    def _may_close(self) -> bool:
        is_clear = self._inputs.get(InputName.SAFETY) is False
        is_fire = self._is_fire_latched or self._inputs.get(InputName.FIRE, False)
        return is_clear and not is_fire and not self._is_pedestrian

    def _finish(self, *, is_moved: bool = True) -> None:
        """Record how the opening under way ended, and forget it."""
        opening = self._opening
        if opening is None:
            return
        for command_id, event_id in opening.waiting:
            self._answer(command_id, "unconfirmed", "the arm's sensor did not say up", event_id)
        cause = opening.cause.event
        reason = Reason.PASSED if opening.has_passed else Reason.NOT_ENTERED
        outcome = "passed" if opening.has_passed else "not_entered" if is_moved else "no_arm"
        self._record(
            replace(
                self._event(EventKind.PASSAGE, reason, ref=cause.id),
                direction=cause.direction,
                credential=cause.credential,
                subject=cause.subject,
                household=cause.household,
                lane_trace=tuple(opening.moments),
                outcome=outcome,
            )
        )
        self._opening, self.phase = None, Phase.IDLE
        self._show(Signal.IDLE, reason)

    def _after_passage(self) -> None:
        """The safety loop is clear again: the next granted car, or close."""
        if self._opening is None:
            return
        self._opening.has_passed = True
        self._opening.moment("safety_clear", self._tick_ns)
        if self._next:
            cause = self._next.pop(0)
            self._finish()
            self._start(cause)
        else:
            self._close()

    # --- inputs ---

    def _input(self, name: InputName, is_active: bool) -> None:
        before = self._inputs.get(name)
        self._inputs[name] = is_active
        if before is is_active:
            return
        if name in (InputName.ARM_UP, InputName.DOOR_OPEN):
            self._up_switch(is_active, is_first=before is None)
        elif name is InputName.ARM_DOWN and is_active:
            self._arm_is_down()
        elif name is InputName.SAFETY:
            self._safety(is_active, is_first=before is None)
        elif name is InputName.PRESENCE:
            self._presence(is_active)
        elif name is InputName.FIRE and is_active:
            self._fire()
        elif name is InputName.REX and is_active:
            self._rex()
        elif name is InputName.TAMPER and is_active:
            self._record(self._event(EventKind.ALARM, Reason.TAMPER))

    def _up_switch(self, is_up: bool, *, is_first: bool) -> None:
        self._up_since_ns, self._is_up_told = (self._tick_ns if is_up else None), False
        if is_up and self.phase is Phase.OPENING:
            self._arm_answered()
        elif is_up and self._opening is None and not is_first and not self._is_fire_latched:
            self._record(self._event(EventKind.ALARM, Reason.FORCED_OPEN))
        elif not is_up and self._is_pedestrian and self._opening is not None and self.phase is Phase.OPEN:
            self._opening.has_passed = True
            self._opening.moment("door_closed", self._tick_ns)
            self._finish()

    def _arm_is_down(self) -> None:
        opening = self._opening
        if opening is None or self.phase is Phase.OPENING:
            return
        opening.moment("arm_down", self._tick_ns)
        self._finish()
        self._look_at_next()

    def _look_at_next(self) -> None:
        """A car that was granted behind the last one gets its opening; one that drove up unread is read now."""
        if self._next:
            self._start(self._next.pop(0))
        elif self.is_present and self._hold is None and not self._is_pedestrian:
            self._effects.append(ReadPlate(self.lane.id))

    def _safety(self, is_occupied: bool, *, is_first: bool) -> None:
        opening = self._opening
        if not is_occupied:
            if self.phase is Phase.PASSING:
                self._after_passage()
            return
        if opening is None:
            if self.arm in ("up", "moving") and not is_first and not self._is_fire_latched:
                self._record(self._event(EventKind.ALARM, Reason.WRONG_WAY))
            return
        if self.phase is Phase.CLOSING:
            self._obstructed(opening)
            return
        if self.phase is Phase.OPENING:
            opening.moment("safety_occupied_early", self._tick_ns)  # the arm has not answered; that is still awaited
            return
        self.phase, opening.phase_since_ns = Phase.PASSING, self._tick_ns
        opening.moment("safety_occupied", self._tick_ns)

    def _obstructed(self, opening: _Opening) -> None:
        """Somebody is under an arm that was told to close: open again, and say who had no grant."""
        reason = Reason.TAILGATE if opening.has_passed else Reason.OBSTRUCTED
        alarm = self._event(EventKind.ALARM, reason, ref=opening.cause.event.id)
        self._record(alarm)
        opening.moment("reopened", self._tick_ns)
        self.phase, opening.phase_since_ns = Phase.PASSING, self._tick_ns
        self._effects.append(OpenBarrier(self.lane.id, self.lane.pulse_ms, alarm.id))

    def _presence(self, is_present: bool) -> None:
        if self._is_pedestrian:
            return
        if is_present:
            if self.phase not in (Phase.OPENING, Phase.OPEN):
                self._effects.append(ReadPlate(self.lane.id))
        elif self._hold is not None:
            self._end_hold("backed_off")
            if self._opening is None:
                self._show(Signal.IDLE, Reason.HOLD_ENDED)

    def _fire(self) -> None:
        """Fire opens, and holds open until a named person releases it (DOMAIN 1.6)."""
        self._is_fire_latched = True
        event = replace(self._event(EventKind.ALARM, Reason.EMERGENCY_INPUT), verdict=Verdict.GRANTED)
        self._record(event)
        self._effects.append(OpenBarrier(self.lane.id, self.lane.pulse_ms, event.id))
        self._show(Signal.GRANTED, Reason.EMERGENCY_INPUT)

    def _rex(self) -> None:
        """The exit button always works."""
        event = replace(
            self._event(EventKind.ACCESS, Reason.BUTTON_EXIT), verdict=Verdict.GRANTED, direction=self.lane.direction
        )
        self._record(event)
        self._grant(_Cause(event, self._tick_ns))
        self._show(Signal.GRANTED, Reason.BUTTON_EXIT)

    # --- orders ---

    def _open_ordered(self, order: OpenOrdered) -> None:
        held = self._hold
        event = replace(
            self._event(EventKind.COMMAND, order.reason, ref=held.event.id if held else ""),
            verdict=Verdict.GRANTED,
            direction=self.lane.direction,
            actor=order.actor,
            note=order.note,
        )
        self._record(event)
        if held is not None:
            self._end_hold("staff", actor=order.actor, note=order.note)
        opening = self._opening
        if opening is not None and self.phase is Phase.OPENING:
            opening.waiting.append((order.command_id, event.id))
        elif opening is not None and self.phase in (Phase.OPEN, Phase.PASSING):
            self._ordered_again(opening, order.command_id, event.id)
        else:
            self._grant(_Cause(event, self._tick_ns, order.command_id))
        self._show(Signal.GRANTED, order.reason)

    def _ordered_again(self, opening: _Opening, command_id: str, event_id: str) -> None:
        """An order while the lane is open: confirmed if the sensor still says up, else the arm is asked once more."""
        opening.moment("ordered_again", self._tick_ns)
        if self.arm == "up":
            self._answer(command_id, "confirmed", "the arm was up already", event_id)
            return
        opening.waiting.append((command_id, event_id))
        self.phase, opening.phase_since_ns = Phase.OPENING, self._tick_ns
        self._effects.append(OpenBarrier(self.lane.id, self.lane.pulse_ms, event_id))

    def _refuse_ordered(self, order: RefuseOrdered) -> None:
        if self._is_fire_latched and not self._inputs.get(InputName.FIRE, False):
            event = replace(
                self._event(EventKind.COMMAND, Reason.RECOVERED),
                actor=order.actor,
                note=order.note,
                outcome="fire_released",
            )
            self._record(event)
            self._is_fire_latched = False
            self._close()
            self._answer(order.command_id, "confirmed", "the fire hold is released", event.id)
        elif self._hold is None:
            self._answer(order.command_id, "refused", "no car is held at this lane", "")
        else:
            ended = self._end_hold("staff", actor=order.actor, note=order.note, reason=Reason.GUARD_DENIED)
            self._show(Signal.DENIED, Reason.GUARD_DENIED)
            self._answer(order.command_id, "confirmed", "the car was refused", ended)

    def _end_hold(self, outcome: str, *, actor: str = "", note: str = "", reason: Reason = Reason.HOLD_ENDED) -> str:
        hold, self._hold = self._hold, None
        if hold is None:
            return ""
        event = replace(
            self._event(EventKind.HOLD_END, reason, ref=hold.event.id), outcome=outcome, actor=actor, note=note
        )
        self._record(event)
        return event.id

    # --- time ---

    def _ticked(self) -> None:
        if self._opening is not None:
            self._opening_ticked(self._opening)
        if self._hold is not None:
            self._hold_ticked(self._hold)
        is_long_up = self._up_since_ns is not None and self._since_s(self._up_since_ns) >= self.lane.held_open_after_s
        if is_long_up and not self._is_up_told and not self._is_fire_latched:
            self._is_up_told = True
            self._record(self._event(EventKind.ALARM, Reason.HELD_OPEN))

    def _opening_ticked(self, opening: _Opening) -> None:
        waited_s = self._since_s(opening.phase_since_ns)
        if self.phase is Phase.OPENING and waited_s >= self.lane.arm_up_timeout_s:
            self._no_answer(opening)
        elif self.phase is Phase.OPEN and waited_s >= self.lane.passage_timeout_s * opening.cause.passage_factor:
            if self._is_pedestrian:
                opening.phase_since_ns = self._tick_ns  # a door held open is the HELD_OPEN timer's business
            else:
                opening.moment("nobody_passed", self._tick_ns)
                self._close()
        elif self.phase is Phase.CLOSING and waited_s >= CLOSE_AGAIN_AFTER_S:
            if not opening.is_told and not self._is_fire_latched:
                opening.is_told = True
                self._record(self._event(EventKind.ALARM, Reason.BAR_STUCK, ref=opening.cause.event.id))
            self._close()

    def _no_answer(self, opening: _Opening) -> None:
        """OPEN was given and the sensor is silent: on foot nobody pulled the door; an arm that stays down is broken."""
        if not self._is_pedestrian:
            self._record(self._event(EventKind.ALARM, Reason.RELAY_NO_EFFECT, ref=opening.cause.event.id))
        self._finish(is_moved=False)
        self._look_at_next()

    def _hold_ticked(self, hold: _Hold) -> None:
        waited_s = self._since_s(hold.since_ns)
        if not hold.is_retried and hold.event.reason in _UNREAD and waited_s >= RETRY_AFTER_S:
            hold.is_retried = True
            self._effects.append(ReadPlate(self.lane.id))
        if waited_s >= self.lane.hold_timeout_s:
            self._end_hold("timeout")
            self._show(Signal.IDLE, Reason.HOLD_ENDED)

    # --- small ones ---

    @property
    def _is_pedestrian(self) -> bool:
        return self.lane.kind is LaneKind.PEDESTRIAN

    def _since_s(self, tick_ns: int) -> float:
        return (self._tick_ns - tick_ns) / _S

    def _record(self, event: AccessEvent) -> None:
        self._effects.append(Record(event))

    def _show(self, signal: Signal, reason: Reason) -> None:
        self._effects.append(Indicate(self.lane.id, signal, reason))

    def _answer(self, command_id: str, state: str, words: str, event_id: str) -> None:
        self._effects.append(CommandAnswered(command_id, state, words, event_id))

    def _event(self, kind: EventKind, reason: Reason, *, ref: str = "") -> AccessEvent:
        if self._at is None:  # `on` sets it first
            raise AssertionError("an event before any time was known")
        return AccessEvent(
            id=self._new_id(),
            kind=kind,
            gate=self._gate,
            lane=self.lane.id,
            at=self._at,
            boot_id=self._boot_id,
            mono_ns=self._tick_ns,
            clock=self._context.clock,
            reason=reason,
            revision=self._view.revision if self._view else ("", 0),
            is_offline=self._context.is_offline,
            ref=ref,
        )
