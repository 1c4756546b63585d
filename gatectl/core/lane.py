"""The lane machine: attempts, inputs, orders and time in; records, openings and signals out.

How the arm or the door moves is `lane_table.step` over the tables of `lane_rows`, with the safety rules above them;
`lane_drive` carries that out. Here stands who may pass, who waits, and who orders:
* An opening is asked for only together with the record that explains it, and after it.
* One grant, one passage: every event that grants ends in exactly one passage event, passed or not.
* Every order ends in exactly one answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from gatectl.core.decide import decide
from gatectl.core.lane_drive import ArmState, LaneDrive
from gatectl.core.lane_io import (
    AttemptMade,
    Effect,
    EmergencyOrdered,
    InputChanged,
    Keep,
    LaneEvent,
    OpenOrdered,
    ReadPlate,
    RefuseOrdered,
    Signal,
    Ticked,
)
from gatectl.core.lane_records import Cause, Hold, LaneContext, Scribe, Who, who_of
from gatectl.core.lane_table import QUEUE_MAX, Do, Motion, Phase, Step, Symbol
from gatectl.core.lane_watch import HELD_OPEN, SECOND_PERSON_S, AttemptWatch, OpenHours
from gatectl.core.model import (
    AccessEvent,
    Attempt,
    Decision,
    Direction,
    EventKind,
    GateId,
    InputName,
    Lane,
    LanePolicy,
    LaneState,
    Pending,
    RuleStep,
    Verdict,
    WhitelistView,
)
from gatectl.core.reasons import Reason
from gatectl.core.rights import UNREAD

__all__ = ["LaneContext", "LaneMachine", "Phase"]

RETRY_AFTER_S = 3.0
"""An unread car gets one second chance this long after its hold (DOMAIN 14)."""
EXTENDED_OPEN_FACTOR = 3
"""Cardholders with `extended_open` get three times as long to pass (DOMAIN 2: 15 s instead of 5 s)."""
CALL_AFTER_S = 10.0
"""An emergency call that nobody answers opens a fire lane (DOMAIN 1.6)."""
_S = 1_000_000_000
_URGENT = frozenset({Reason.EMERGENCY_LIST, Reason.EMERGENCY_PLATE, Reason.EMERGENCY_INPUT, Reason.EMERGENCY_MANUAL})
_FIRE, _MANUAL = "fire", "manual"


class LaneMachine:
    """One lane. `on` takes one event and returns what must be done, in order; it never raises or blocks.

    `kept` is what earlier machines of this lane asked to keep (`Keep`), by name: a latched emergency starts latched.
    """

    def __init__(
        self, lane: Lane, gate: GateId, boot_id: str, new_id: Callable[[], str], kept: Mapping[str, str] | None = None
    ) -> None:
        self.lane = lane
        self._keep_name = f"emergency:{lane.id}"
        self._kept = (kept or {}).get(self._keep_name, "")
        self._scribe = Scribe(lane, gate, boot_id, new_id)
        self._drive = LaneDrive(
            lane, self._scribe, Motion(is_fire=self._kept == _FIRE, is_emergency=self._kept == _MANUAL)
        )
        self._is_started = False
        self._hold: Hold | None = None
        self._call: tuple[str, int] | None = None
        """The event of a call that nobody has answered, and when it was made."""
        self._watch = AttemptWatch()
        self._hours = OpenHours()
        self._tick_ns = 0

    # --- what others may see ---

    @property
    def phase(self) -> Phase:
        """Where an opening stands."""
        return self._drive.motion.phase

    @property
    def motion(self) -> Motion:
        """All that the lane's next move depends on."""
        return self._drive.motion

    @property
    def arm(self) -> ArmState:
        """Where the arm (the door) is, as its own switches say."""
        return self._drive.arm

    @property
    def is_present(self) -> bool | None:
        """A vehicle stands before the arm; None before the loop was heard of, or where there is none."""
        return self._drive.is_present

    @property
    def is_held(self) -> bool:
        """A car waits for a person or a card."""
        return self._hold is not None

    @property
    def held_attempt(self) -> str | None:
        """The held car's access event."""
        return self._hold.event.id if self._hold else None

    @property
    def stands_open(self) -> bool:
        """For the interlock: the arm is not known to be down, or an opening is under way."""
        return self.arm != "down" or self.phase is not Phase.IDLE

    @property
    def is_emergency(self) -> bool:
        """Fire, or a person's emergency order, holds the lane open."""
        return self.motion.is_fire or self.motion.is_emergency

    @property
    def why_open(self) -> str:
        """What the office holds the lane open for now: `held_open`, `schedule:<id>`, or "" for nothing."""
        return self._hours.why

    @property
    def pending(self) -> tuple[Pending, ...]:
        """Entries that were granted and are not completed yet, the one under way first."""
        return tuple(cause.pending(self.lane) for cause in self._drive.causes if cause.is_entry)

    def on(self, event: LaneEvent, view: WhitelistView, context: LaneContext) -> tuple[Effect, ...]:
        """Take one event; what must be done comes back in order."""
        self._tick_ns = self._drive.tick_ns = event.tick_ns
        at = event.attempt.at if isinstance(event, AttemptMade) else event.at
        self._scribe.now(at, event.tick_ns, view, context)
        if not self._is_started:
            self._start()
        if isinstance(event, AttemptMade):
            self._attempt(event.attempt, view, context)
        elif isinstance(event, InputChanged):
            self._input(event.input, event.is_active)
        elif isinstance(event, OpenOrdered):
            self._open_ordered(event)
        elif isinstance(event, RefuseOrdered):
            self._refuse_ordered(event)
        elif isinstance(event, EmergencyOrdered):
            self._emergency_ordered(event)
        else:
            self._ticked(event, view, context)
        effects, self._drive.effects = tuple(self._drive.effects), []
        return effects

    def _start(self) -> None:
        """An emergency that was latched before the restart opens again."""
        self._is_started = True
        if self.motion.must_stand:
            reason = Reason.EMERGENCY_INPUT if self.motion.is_fire else Reason.EMERGENCY_MANUAL
            note = "held open since before the restart"
            self._drive.explain(self._scribe.opened(EventKind.ALARM, reason, note=note))
            self._hear(Symbol.SETTLE)
            self._drive.show(Signal.GRANTED, reason)

    # --- attempts ---

    def _attempt(self, attempt: Attempt, view: WhitelistView, context: LaneContext) -> None:
        if self._drive.is_late_news(attempt):
            self._drive.note("plate_read_again")
            return
        if self._drive.is_repeat(attempt):
            self._hear(Symbol.REPEAT)
            if attempt.plate is None and self._drive.opening is not None:
                self._drive.show(Signal.GRANTED, self._drive.opening.cause.event.reason)
            return
        decision = decide(attempt, view, self._state(view.policies.get(self.lane.id), context))
        alarm = self._watch.heard(attempt, decision, self._tick_ns)
        is_granted = decision.verdict is Verdict.GRANTED
        is_urgent = attempt.direction is Direction.OUT or decision.reason in _URGENT
        symbol = Symbol.URGENT if is_urgent else Symbol.GRANT
        if is_granted and self._drive.is_refused(symbol):
            decision, is_granted = _queue_is_full(decision), False
        event = self._scribe.access(attempt, decision, self.held_attempt or "")
        who = who_of(attempt, decision)
        if is_granted:
            self._drive.record(event)
            self._granted(event, who, decision, symbol, "card" if attempt.plate is None else "retry")
        elif self._hold is not None and attempt.plate is not None:
            self._read_again(self._hold, event, who)
        else:
            self._drive.record(event)
            self._not_granted(event, who, decision)
        if decision.alarm is not None:
            self._drive.record(self._scribe.event(EventKind.ALARM, decision.alarm, ref=event.id))
        if alarm:
            self._drive.record(self._scribe.event(EventKind.ALARM, Reason.CREDENTIAL_HAMMER, ref=event.id, note=alarm))

    def _granted(self, event: AccessEvent, who: Who, decision: Decision, symbol: Symbol, ends: str) -> None:
        is_slow = decision.grant is not None and decision.grant.extended_open
        factor = EXTENDED_OPEN_FACTOR if is_slow else 1
        self._call = None
        self._hear(symbol, Cause(event, self._tick_ns, who, passage_factor=factor))
        self._end_hold(ends)
        self._drive.show(Signal.GRANTED, decision.reason)

    def _not_granted(self, event: AccessEvent, who: Who, decision: Decision) -> None:
        if decision.verdict is not Verdict.HELD:
            self._drive.show(Signal.DENIED, decision.reason)
            return
        if self._hold is None:
            self._begin_hold(event, who)
        else:
            self._hold_anew(self._hold, event, who)
        self._drive.show(Signal.HELD, decision.reason)

    def _read_again(self, hold: Hold, event: AccessEvent, who: Who) -> None:
        """A held car was read again and still may not pass: told only when the read says something new."""
        text = event.plate.text if event.plate else ""
        before = hold.event.plate.text if hold.event.plate else ""
        if text and (text != before or event.reason is not hold.event.reason):
            self._drive.record(event)
            self._hold_anew(hold, event, who)
            self._drive.show(Signal.DENIED if event.verdict is Verdict.DENIED else Signal.HELD, event.reason)

    def _begin_hold(self, event: AccessEvent, who: Who) -> None:
        self._hold = Hold(event, who, self._tick_ns, is_for_queue=event.reason is Reason.WAIT_GUARD and self._is_full)
        self._hear(Symbol.HOLD_BEGAN)

    def _hold_anew(self, hold: Hold, event: AccessEvent, who: Who) -> None:
        """The same car, known better: its hold keeps the event that it began with."""
        hold.event = replace(hold.event, plate=event.plate or hold.event.plate, reason=event.reason)
        hold.who = who
        hold.is_for_queue = event.reason is Reason.WAIT_GUARD and self._is_full
        if event.reason is Reason.TWO_PERSON:
            hold.since_ns = self._tick_ns

    def _state(self, policy: LanePolicy | None, context: LaneContext) -> LaneState:
        hold = self._hold
        causes = self._drive.causes if self._drive.is_anothers else self._drive.queue
        own = (cause.pending(self.lane) for cause in causes if cause.is_entry)
        return LaneState(
            lane=self.lane,
            is_present=self.is_present,
            clock=context.clock,
            clock_floor_s=context.clock_floor_s,
            held_reason=hold.event.reason if hold else None,
            held_read=hold.event.plate.text if hold and hold.event.plate else "",
            occupancy=context.occupancy,
            pending=(*context.pending, *own),
            first_of_two=self._watch.first_of_two(self._tick_ns) if policy and policy.is_two_person else None,
            is_first_card_seen=self._watch.is_first_card_seen,
            is_link_up=context.is_link_up,
            is_emergency=self.is_emergency,
            is_interlocked=context.is_interlocked,
            is_keypad_locked=self._watch.is_keypad_locked(self._tick_ns),
        )

    # --- inputs ---

    def _input(self, name: InputName, is_active: bool) -> None:
        before = self._drive.inputs.get(name)
        self._drive.inputs[name] = is_active
        if before is is_active:
            return
        if name in (InputName.ARM_UP, InputName.ARM_DOWN, InputName.DOOR_OPEN):
            self._heed(self._drive.arm_moved())
        elif name in (InputName.SAFETY, InputName.SAFETY_FAULT):
            self._heed(self._drive.safety_changed())
        elif name is InputName.PRESENCE and not self._drive.is_pedestrian:
            self._hear(Symbol.PRESENCE_ON if is_active else Symbol.PRESENCE_OFF)
        elif name is InputName.FIRE:
            self._fire(is_active)
        elif not is_active:
            return
        elif name is InputName.REX:
            self._rex()
        elif name is InputName.EMERGENCY_KEY:
            self._hold_open(self._scribe.opened(EventKind.ALARM, Reason.EMERGENCY_MANUAL, note="key switch"))
        elif name is InputName.CALL:
            self._called()
        elif name is InputName.TAMPER:
            self._drive.record(self._scribe.event(EventKind.ALARM, Reason.TAMPER))

    def _fire(self, is_active: bool) -> None:
        """Fire opens, and holds open until a named person releases it (DOMAIN 1.6)."""
        if not is_active:
            self._hear(Symbol.FIRE_OFF)
            return
        self._drive.explain(self._scribe.opened(EventKind.ALARM, Reason.EMERGENCY_INPUT))
        self._hear(Symbol.FIRE_ON)
        self._keep(_FIRE)
        self._drive.show(Signal.GRANTED, Reason.EMERGENCY_INPUT)

    def _hold_open(self, event: AccessEvent) -> None:
        """A person opens and holds open, until a named person releases it."""
        self._call = None
        self._drive.explain(event)
        self._hear(Symbol.EMERGENCY)
        self._keep(_FIRE if self.motion.is_fire else _MANUAL)
        self._drive.show(Signal.GRANTED, Reason.EMERGENCY_MANUAL)

    def _rex(self) -> None:
        """The exit button always works."""
        event = self._scribe.button()
        self._drive.record(event)
        self._hear(Symbol.URGENT, Cause(event, self._tick_ns))
        self._drive.show(Signal.GRANTED, Reason.BUTTON_EXIT)

    def _called(self) -> None:
        """Every press is told; the first that nobody has answered counts."""
        event = self._scribe.event(EventKind.ALARM, Reason.EMERGENCY_CALL)
        self._drive.record(event)
        self._drive.show(Signal.HELD, Reason.EMERGENCY_CALL)
        self._call = self._call or (event.id, self._tick_ns)

    # --- orders ---

    def _open_ordered(self, order: OpenOrdered) -> None:
        held, self._call = self._hold, None
        if self._drive.is_refused(Symbol.ORDER):
            event = self._scribe.command(order, Reason.COMMAND_REFUSED, self.held_attempt or "")
            self._drive.record(event)
            self._drive.answer(
                order.command_id, "refused", "the cars that were let in first are still passing", event.id
            )
            return
        event = replace(
            self._scribe.command(order, order.reason, self.held_attempt or ""),
            verdict=Verdict.GRANTED,
            direction=self.lane.direction,
        )
        self._drive.record(event)
        self._hear(Symbol.ORDER, Cause(event, self._tick_ns, held.who if held else Who(), order.command_id))
        self._end_hold("staff", actor=order.actor, note=order.note)
        self._drive.show(Signal.GRANTED, order.reason)

    def _refuse_ordered(self, order: RefuseOrdered) -> None:
        call, self._call = self._call, None
        if self._hold is not None:
            ended = self._end_hold("staff", actor=order.actor, note=order.note, reason=Reason.GUARD_DENIED)
            self._drive.show(Signal.DENIED, Reason.GUARD_DENIED)
            self._drive.answer(order.command_id, "confirmed", "the car was refused", ended)
        elif call is not None:
            event = self._scribe.command(order, Reason.GUARD_DENIED, call[0])
            self._drive.record(event)
            self._drive.show(Signal.DENIED, Reason.GUARD_DENIED)
            self._drive.answer(order.command_id, "confirmed", "the call was refused", event.id)
        else:
            self._drive.answer(order.command_id, "refused", "no car is held at this lane", "")

    def _emergency_ordered(self, order: EmergencyOrdered) -> None:
        if order.is_release:
            self._release(order)
            return
        event = replace(
            self._scribe.command(order, Reason.EMERGENCY_MANUAL, ""),
            verdict=Verdict.GRANTED,
            direction=self.lane.direction,
        )
        cause = Cause(event, self._tick_ns, command_id=order.command_id)
        self._drive.await_arm(cause, self.lane.arm_up_timeout_s)
        self._hold_open(event)
        if self.arm == "up":
            self._drive.confirm()

    def _release(self, order: EmergencyOrdered) -> None:
        """A named person ends the hold; not while what caused it lasts."""
        if self._drive.inputs.get(InputName.FIRE):
            self._drive.answer(order.command_id, "refused", "the fire input is still active", "")
        elif self._drive.inputs.get(InputName.EMERGENCY_KEY):
            self._drive.answer(order.command_id, "refused", "the key switch is still turned", "")
        elif not self.is_emergency:
            self._drive.answer(order.command_id, "refused", "no emergency holds this lane open", "")
        else:
            event = self._scribe.command(order, Reason.EMERGENCY_RELEASED, "")
            self._drive.record(event)
            self._hear(Symbol.RELEASED)
            self._keep("")
            if not self.motion.must_stand:
                self._drive.show(Signal.IDLE, Reason.EMERGENCY_RELEASED)
            self._drive.answer(order.command_id, "confirmed", "the emergency is released", event.id)

    # --- holds ---

    def _hear(self, symbol: Symbol, cause: Cause | None = None) -> None:
        self._heed(self._drive.hear(symbol, cause))

    def _heed(self, done: Step | None) -> None:
        """What a step means for the car that is held."""
        hold = self._hold
        if hold is None or done is None:
            return
        if Do.END_HOLD in done.actions:
            self._end_hold("backed_off")
            if self._drive.opening is None:
                self._drive.show(Signal.IDLE, Reason.HOLD_ENDED)
        elif hold.is_for_queue and Do.NEXT in done.actions:
            self._drive.effects.append(ReadPlate(self.lane.id))

    def _end_hold(self, outcome: str, *, actor: str = "", note: str = "", reason: Reason = Reason.HOLD_ENDED) -> str:
        """Record how the hold ended, if there is one; returns that event's id."""
        hold, self._hold = self._hold, None
        if hold is None:
            return ""
        self._watch.forget_first()
        event = self._scribe.event(EventKind.HOLD_END, reason, ref=hold.event.id, note=note)
        self._drive.record(replace(event, outcome=outcome, actor=actor))
        if self.motion.is_held:
            self._drive.hear(Symbol.HOLD_ENDED)
        return event.id

    # --- time ---

    def _ticked(self, tick: Ticked, view: WhitelistView, context: LaneContext) -> None:
        policy = view.policies.get(self.lane.id)
        self._look_at_hours(tick, view, context)
        self._heed(self._drive.ticked())
        if self._hold is not None:
            self._hold_ticked(self._hold)
        if self._call is not None and (policy is None or policy.is_fire_lane):
            self._call_ticked(*self._call)

    def _look_at_hours(self, tick: Ticked, view: WhitelistView, context: LaneContext) -> None:
        """The office's mode and hours: the lane stands open from now on, or no longer."""
        before = self._hours.why
        why = self._hours.look(view, self.lane.id, tick.at, context.clock, self._watch)
        if why == before:
            return
        if before:
            self._drive.record(self._scribe.event(EventKind.SYSTEM, Reason.MODE_ENDED, note=before))
        if why:
            self._drive.explain(self._scribe.event(EventKind.SYSTEM, Reason.MODE_BEGAN, note=why))
            self._hear(Symbol.MODE_OPEN)
            self._drive.show(Signal.GRANTED, Reason.MODE_HOLD_OPEN if why == HELD_OPEN else Reason.SCHEDULE_OPEN)
        else:
            self._hear(Symbol.MODE_END)
            self._drive.show(Signal.IDLE, Reason.MODE_ENDED)

    def _hold_ticked(self, hold: Hold) -> None:
        waited_s = (self._tick_ns - hold.since_ns) / _S
        if not hold.is_retried and hold.event.reason in UNREAD and waited_s >= RETRY_AFTER_S:
            hold.is_retried = True
            self._drive.effects.append(ReadPlate(self.lane.id))
        is_pair = hold.event.reason is Reason.TWO_PERSON
        if waited_s >= (SECOND_PERSON_S if is_pair else self.lane.hold_timeout_s):
            self._end_hold("timeout")
            self._drive.show(Signal.IDLE, Reason.HOLD_ENDED)

    def _call_ticked(self, call: str, since_ns: int) -> None:
        """Nobody answers: a fire lane opens (DOMAIN 1.6)."""
        if (self._tick_ns - since_ns) / _S < CALL_AFTER_S:
            return
        self._call = None
        note = f"nobody answered within {CALL_AFTER_S:.0f} s: opened"
        event = self._scribe.opened(EventKind.ALARM, Reason.EMERGENCY_CALL, ref=call, note=note)
        self._drive.record(event)
        self._hear(Symbol.URGENT, Cause(event, self._tick_ns, self._hold.who if self._hold else Who()))
        self._end_hold("call")
        self._drive.show(Signal.GRANTED, Reason.EMERGENCY_MANUAL)

    # --- small ones ---

    @property
    def _is_full(self) -> bool:
        return len(self._drive.queue) >= QUEUE_MAX

    def _keep(self, value: str) -> None:
        if value != self._kept:
            self._kept = value
            self._drive.effects.append(Keep(self._keep_name, value))


def _queue_is_full(decision: Decision) -> Decision:
    """A granted car that must wait until the cars before it are through; it is read again then."""
    rule = RuleStep("queue", f"{QUEUE_MAX} / {QUEUE_MAX}", "fail")
    return replace(decision, verdict=Verdict.HELD, reason=Reason.WAIT_GUARD, trace=(*decision.trace, rule))
