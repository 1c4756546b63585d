"""The lane's hands: its inputs become the table's symbols, and what the table asks for becomes effects.

`lane.LaneMachine` decides who may pass; here the arm is moved, the passage is followed and the orders are answered.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from gatectl.core.lane_io import CloseBarrier, CommandAnswered, Effect, Indicate, OpenBarrier, ReadPlate, Record, Signal
from gatectl.core.lane_records import Cause, Opening, Scribe, Waiting, shown_key
from gatectl.core.lane_rows import TABLES
from gatectl.core.lane_table import Do, Motion, Phase, Right, Safety, Step, Symbol, Timer, step
from gatectl.core.model import AccessEvent, Attempt, EventKind, InputName, Lane, LaneKind
from gatectl.core.reasons import Reason

CLOSE_AGAIN_AFTER_S = 10.0
"""An arm that is not down this long after CLOSE is stuck: alarm, then CLOSE again if it is safe."""
_S = 1_000_000_000
_ALARMS: Mapping[Do, Reason] = {
    Do.TELL_TAILGATE: Reason.TAILGATE,
    Do.TELL_OBSTRUCTED: Reason.OBSTRUCTED,
    Do.TELL_WRONG_WAY: Reason.WRONG_WAY,
    Do.TELL_FORCED_OPEN: Reason.FORCED_OPEN,
    Do.TELL_HELD_OPEN: Reason.HELD_OPEN,
    Do.TELL_STUCK: Reason.BAR_STUCK,
    Do.TELL_NO_EFFECT: Reason.RELAY_NO_EFFECT,
    Do.TELL_FAULT: Reason.LOOP_FAULT,
}
_EXPLAINS = frozenset({Do.TELL_TAILGATE, Do.TELL_OBSTRUCTED, Do.TELL_FAULT})
"""Alarms that are themselves the reason for the OPEN in the same step."""
_RESTARTS = frozenset({Do.START, Do.NEXT, Do.OPEN, Do.CLOSE, Do.FINISH})
"""After these the phase's timer begins anew."""

ArmState = Literal["up", "down", "moving", "unknown"]


class LaneDrive:
    """One lane's motion. `effects` grows in order; whoever drives takes and empties it."""

    def __init__(self, lane: Lane, scribe: Scribe, motion: Motion) -> None:
        self.lane = lane
        self.motion = motion
        self.is_pedestrian = lane.kind is LaneKind.PEDESTRIAN
        self.inputs: dict[InputName, bool] = {}
        self.opening: Opening | None = None
        self.queue: list[Cause] = []
        self.effects: list[Effect] = []
        self.tick_ns = 0
        self._table = TABLES[lane.kind]
        self._scribe = scribe
        self._waiting: list[Waiting] = []
        self._why = ""
        """The recorded event that explains the next OPEN."""
        self._timer: Timer | None = None
        self._timer_since_ns = 0
        self._up_since_ns: int | None = None
        self._is_up_told = False
        self._alone: Mapping[Do, Callable[[], None]] = {
            Do.OPEN: self._open,
            Do.CLOSE: self._close,
            Do.READ: self._read,
            Do.CONFIRM: self.confirm,
            Do.PASSED: self._passed,
            Do.FINISH: self._finish,
            Do.NEXT: self._begin_next,
            Do.DISPLACE: self._displace,
            Do.TELL_POWER_BACK: self._power_back,
            Do.TELL_FAULT_OVER: self._fault_over,
        }
        """Actions that need nothing but the lane."""

    # --- what is sensed ---

    @property
    def arm(self) -> ArmState:
        """Where the arm (the door) is, as its own switches say."""
        if self.is_pedestrian:
            door = self.inputs.get(InputName.DOOR_OPEN)
            return "unknown" if door is None else "up" if door else "down"
        if self.inputs.get(InputName.ARM_UP):
            return "up"
        if self.inputs.get(InputName.ARM_DOWN):
            return "down"
        return "moving" if InputName.ARM_DOWN in self.inputs else "unknown"

    def arm_moved(self) -> Step | None:
        """A switch of the arm, or the door's contact, changed; None when that is no news."""
        symbol = self._arm_symbol()
        if symbol is None:
            return None
        self._up_since_ns, self._is_up_told = (self.tick_ns if symbol is Symbol.ARM_UP else None), False
        if symbol is Symbol.ARM_UP and self.opening is not None:
            self.opening.has_opened = True
        return self.hear(symbol)

    def _arm_symbol(self) -> Symbol | None:
        """What the switches say now, if that is news. Silent until both, or an active one, were heard of."""
        arm, known = self.arm, self.motion.arm.value
        is_half = not self.is_pedestrian and not {InputName.ARM_UP, InputName.ARM_DOWN} <= self.inputs.keys()
        if arm not in ("up", "down"):
            if is_half and known == "unknown":
                return None
            arm = "moving"
        return None if arm == known else Symbol(f"arm_{arm}")

    def safety_changed(self) -> Step | None:
        """The safety loop, or its fault contact, changed; None when that is no news."""
        loop = self.inputs.get(InputName.SAFETY)
        safety = Safety.UNKNOWN if loop is None else Safety.OCCUPIED if loop else Safety.CLEAR
        if self.inputs.get(InputName.SAFETY_FAULT):
            safety = Safety.FAULTED
        if self.is_pedestrian or safety is self.motion.safety:
            return None
        return self.hear(Symbol(f"safety_{safety.value}"))

    # --- whose opening it is ---

    @property
    def is_present(self) -> bool | None:
        """A vehicle stands before the arm; None before the loop was heard of, or where there is none."""
        return self.inputs.get(InputName.PRESENCE)

    @property
    def causes(self) -> list[Cause]:
        """Whose opening is under way, and who is next."""
        return [*([self.opening.cause] if self.opening is not None else []), *self.queue]

    @property
    def is_anothers(self) -> bool:
        """Whether the opening under way is somebody else's than the next attempt's.

        Before its car has reached the safety loop every attempt here is that car's; one that did not come is over.
        """
        is_used = self.motion.right is Right.USED
        return self.is_pedestrian or is_used or self.motion.phase in (Phase.PASSING, Phase.STANDING)

    def is_late_news(self, attempt: Attempt) -> bool:
        """Nobody stands before the arm: it was the car that just passed or backed off; an empty read was nobody."""
        if attempt.plate is None or self.is_present is not False:
            return False
        return self.opening is not None or not attempt.plate.text

    def is_repeat(self, attempt: Attempt) -> bool:
        """Whether this is the one who is being dealt with, once more: a second grant would let a second one through.

        The same plate is the same car as long as its opening, or its place in the queue, lasts; a long one may stand
        before the arm and under it at once. Until the car that opened the lane reaches the safety loop, whatever the
        camera reads is that car, unless another one is held behind it. The same card is the same person until the
        door is open.
        """
        phase, is_fresh = self.motion.phase, self.motion.right is Right.FRESH
        is_awaited = is_fresh and phase in (Phase.OPENING, Phase.OPEN)
        if attempt.plate is not None:
            if is_awaited and self.is_present is not None and not self.motion.is_held:
                return True
            text, is_over = attempt.plate.text, is_fresh and phase in (Phase.WAITING, Phase.CLOSING)
            return bool(text) and not is_over and any(cause.who.plate == text for cause in self.causes)
        key = shown_key(attempt)
        if not is_awaited or (self.is_pedestrian and phase is not Phase.OPENING):
            return False
        return any(cause.who.credential == key for cause in self.causes)

    # --- the table ---

    def is_refused(self, symbol: Symbol) -> bool:
        """The queue behind the car under the arm is full."""
        return Do.REFUSE in step(self._table, self.motion, symbol).actions

    def hear(self, symbol: Symbol, cause: Cause | None = None) -> Step:
        """Step the table and carry out what it says. `cause` belongs to GRANT, URGENT and ORDER."""
        before = self.motion
        done = step(self._table, before, symbol)
        self.motion = done.state
        for taken in done.taken:
            self.note(taken.note)
            for do in taken.do:
                self._carry_out(do, cause, done.actions)
        timer = self._table.timers(done.state)
        if timer is not self._timer or symbol is Symbol.TIMER or _RESTARTS.intersection(done.actions):
            self._timer, self._timer_since_ns = timer, self.tick_ns
        if before.phase is Phase.STANDING and done.state.phase is not Phase.STANDING:
            self._restart_up()
        return done

    def ticked(self) -> Step | None:
        """Time went by; returns the step of the phase's timer, if it ran out."""
        for waiting in [item for item in self._waiting if self.tick_ns >= item.until_ns]:
            self._waiting.remove(waiting)
            words = "the car before is still passing" if waiting.is_queued else "the arm's sensor did not say up"
            self.answer(waiting.command_id, "unconfirmed", words, waiting.event_id)
        is_up_news = self._up_since_ns is not None and not self._is_up_told and not self.motion.must_stand
        if is_up_news and self._since_s(self._up_since_ns or 0) >= self.lane.held_open_after_s:
            self._is_up_told = True
            self.hear(Symbol.UP_LONG)
        if self._timer is not None and self._since_s(self._timer_since_ns) >= self._timer_s(self._timer):
            return self.hear(Symbol.TIMER)
        return None

    def _timer_s(self, timer: Timer) -> float:
        if timer is Timer.ARM:
            return self.lane.arm_up_timeout_s
        if timer is Timer.STUCK:
            return CLOSE_AGAIN_AFTER_S
        return self.lane.passage_timeout_s * (self.opening.cause.passage_factor if self.opening is not None else 1)

    def _since_s(self, tick_ns: int) -> float:
        return (self.tick_ns - tick_ns) / _S

    def _restart_up(self) -> None:
        """Count how long the arm is up from here: it is up for a reason of its own until now."""
        if self._up_since_ns is not None:
            self._up_since_ns, self._is_up_told = self.tick_ns, False

    # --- what the table asks for ---

    def _carry_out(self, do: Do, cause: Cause | None, together: tuple[Do, ...]) -> None:
        alone = self._alone.get(do)
        if alone is not None:
            alone()
        elif do in _ALARMS:
            self._alarm(_ALARMS[do], is_explaining=do in _EXPLAINS and Do.OPEN in together)
        elif cause is not None:
            self._take(do, cause)

    def _open(self) -> None:
        self.effects.append(OpenBarrier(self.lane.id, self.lane.pulse_ms, self._why))

    def _close(self) -> None:
        self.note("close_ordered")
        self.effects.append(CloseBarrier(self.lane.id, self.lane.pulse_ms))

    def _read(self) -> None:
        self.effects.append(ReadPlate(self.lane.id))

    def _displace(self) -> None:
        self._merge(self.queue.pop(0))

    def _power_back(self) -> None:
        self.explain(self._scribe.event(EventKind.SYSTEM, Reason.POWER_BACK, note="found open at the start"))

    def _fault_over(self) -> None:
        self.record(self._scribe.event(EventKind.SYSTEM, Reason.RECOVERED, note="safety loop"))

    def _take(self, do: Do, cause: Cause) -> None:
        """What becomes of a grant or an order."""
        if do is Do.START:
            self._begin(cause)
        elif do is Do.QUEUE:
            self.queue.append(cause)
            self.await_arm(cause, self.lane.hold_timeout_s, is_queued=True)
        elif do is Do.MERGE:
            self._merge(cause)
            self.await_arm(cause, self.lane.arm_up_timeout_s)
            self._why = cause.event.id

    def _begin(self, cause: Cause) -> None:
        self.opening = Opening(cause, has_opened=self.arm == "up")
        self.note("open_ordered")
        self._why = cause.event.id
        self.await_arm(cause, self.lane.arm_up_timeout_s)
        self._restart_up()

    def _begin_next(self) -> None:
        cause = self.queue.pop(0)
        is_answered = bool(cause.command_id) and all(item.event_id != cause.event.id for item in self._waiting)
        self._waiting = [item for item in self._waiting if item.event_id != cause.event.id]
        self._begin(cause)
        if is_answered:
            self._waiting.pop()
        self.show(Signal.GRANTED, cause.event.reason)

    def _passed(self) -> None:
        if self.opening is not None:
            self.opening.has_passed = True
        elif not self.is_pedestrian:
            self.record(self._scribe.unknown_passage())

    def _finish(self) -> None:
        """Record how the opening under way ended, if one is, and forget it."""
        opening, self.opening = self.opening, None
        if opening is None:
            return
        outcome = "not_entered"
        if opening.has_passed:
            outcome = "passed"
        elif not self.is_pedestrian and not opening.has_opened:
            outcome = "no_arm"
        elif not self.is_pedestrian and self.motion.safety in (Safety.UNKNOWN, Safety.FAULTED):
            outcome = "not_seen"
        self.record(self._scribe.passage(opening, outcome))
        if not self.motion.must_stand:
            self.show(Signal.IDLE, Reason.PASSED if opening.has_passed else Reason.NOT_ENTERED)

    def _merge(self, cause: Cause) -> None:
        """A grant for the one who is let through already: it ends here, and lets nobody else through."""
        self.record(self._scribe.passage(Opening(cause), "merged"))

    def _alarm(self, reason: Reason, *, is_explaining: bool) -> None:
        ref = self.opening.cause.event.id if self.opening is not None else ""
        event = self._scribe.event(EventKind.ALARM, reason, ref=ref)
        self.record(event)
        if is_explaining:
            self._why = event.id

    # --- orders that wait for the arm ---

    def await_arm(self, cause: Cause, wait_s: float, *, is_queued: bool = False) -> None:
        """If an order stands behind the cause, answer it when the sensor says open, or after so long."""
        if cause.command_id:
            until_ns = self.tick_ns + int(wait_s * _S)
            self._waiting.append(Waiting(cause.command_id, cause.event.id, until_ns, is_queued))

    def confirm(self) -> None:
        """The sensor says open."""
        is_standing = self.motion.phase is Phase.STANDING
        for waiting in self._waiting:
            if is_standing or not waiting.is_queued:
                self.answer(waiting.command_id, "confirmed", "the arm's sensor says up", waiting.event_id)
        self._waiting = [waiting for waiting in self._waiting if waiting.is_queued and not is_standing]

    # --- small ones ---

    def note(self, what: str) -> None:
        """A line of the lane trace of the opening under way."""
        if self.opening is not None:
            self.opening.moment(what, self.tick_ns)

    def record(self, event: AccessEvent) -> None:
        """Write an event."""
        self.effects.append(Record(event))

    def explain(self, event: AccessEvent) -> None:
        """Write an event that is the reason for what opens next."""
        self.record(event)
        self._why = event.id

    def show(self, signal: Signal, reason: Reason) -> None:
        """Tell the person at the lane."""
        self.effects.append(Indicate(self.lane.id, signal, reason))

    def answer(self, command_id: str, state: str, words: str, event_id: str) -> None:
        """End an order."""
        self.effects.append(CommandAnswered(command_id, state, words, event_id))
