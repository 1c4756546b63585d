"""A simulated bridge: speaks the MCU link over a pty and obeys the rules that the firmware must obey.

It times every pulse and ends it itself, never closes on an occupied safety loop or under fire, refuses a host whose
lease ran out, counts its openings, and moves arms and locks the way an operator does. No call of it blocks.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gatectl.core.model import InputName, LaneKind
from gatectl.sim.devices import Pty
from gatectl.wire.bridge import DeviceLink
from gatectl.wire.bridge_ids import (
    CHANNELS,
    LANE_RELEASE_MS,
    LOCAL_PULSE_MS,
    PULSE_MAX_MS,
    PULSE_MIN_MS,
    SCHEMA_HASH,
    BridgeMessage,
    CardRead,
    Fault,
    FaultCode,
    Indicate,
    Input,
    InputEdge,
    InputSnapshot,
    KeyPressed,
    Lamp,
    LaneConfig,
    OnHostLoss,
    Outcome,
    Pulse,
    PulseResult,
    Relay,
    RelayCount,
    ReleaseFire,
    SnapshotRequest,
)

_MS_NS = 1_000_000
_TURN_NS = 2 * _MS_NS
"""The model's time step: a poll that comes sooner and brings no bytes costs next to nothing."""
_INPUT_IDS = {name: Input[name.name] for name in InputName}
_WIRED = {
    LaneKind.VEHICLE: (
        InputName.PRESENCE,
        InputName.SAFETY,
        InputName.ARM_UP,
        InputName.ARM_DOWN,
        InputName.FIRE,
        InputName.TAMPER,
    ),
    LaneKind.PEDESTRIAN: (InputName.DOOR_OPEN, InputName.REX, InputName.FIRE, InputName.TAMPER),
}


@dataclass(frozen=True, slots=True)
class SimLane:
    """What hangs on one channel of the bridge."""

    kind: LaneKind
    rise_s: float = 0.8
    is_automatic: bool = True
    """The operator lowers its arm by itself once a vehicle has cleared the safety loop."""
    close_delay_s: float = 0.2
    unlock_s: float = 3.0
    """How long a lock stays open after an OPEN pulse."""


class LaneModel:
    """One arm or lock, its inputs and its relays. Changed by its SimMcu only."""

    def __init__(self, lane: SimLane, channel: int) -> None:
        self.lane = lane
        self.channel = channel
        self.inputs = dict.fromkeys(_WIRED[lane.kind], False)
        self.lamp = Lamp.IDLE
        self.opens = 0
        self.local_opens = 0
        self.on_host_loss = OnHostLoss.UNSET
        self.has_released = False
        """Held open because the host stays away."""
        self.is_fire_latched = False
        """Held open since a fire alarm, until a named person releases it."""
        self.is_jammed = False
        """The arm does not move, whatever the relay says."""
        self.pulse_until_ns: dict[Relay, int] = {}
        """Relays that are closed now, and when the bridge lets go of them."""
        self._position = 0.0
        self._direction = 0
        self._unlocked_until_ns = 0
        self._close_at_ns: int | None = None
        self._now_ns = 0
        if lane.kind is LaneKind.VEHICLE:
            self.inputs[InputName.ARM_DOWN] = True

    @property
    def arm_is_up(self) -> bool:
        """The upper limit switch."""
        return self.lane.kind is LaneKind.VEHICLE and self._position >= 1.0

    @property
    def arm_is_down(self) -> bool:
        """The lower limit switch; a lock's bolt."""
        if self.lane.kind is LaneKind.PEDESTRIAN:
            return not self.is_unlocked
        return self._position <= 0.0

    @property
    def is_unlocked(self) -> bool:
        """Whether the lock of a pedestrian lane lets people through."""
        return self.lane.kind is LaneKind.PEDESTRIAN and (self.is_held_open or self._now_ns < self._unlocked_until_ns)

    @property
    def is_under_fire(self) -> bool:
        """The line alarms, or did and nobody released it."""
        return self.is_fire_latched or self.inputs.get(InputName.FIRE, False)

    @property
    def is_held_open(self) -> bool:
        """The OPEN relay stays closed without a pulse."""
        return self.is_under_fire or self.has_released

    @property
    def is_blocked(self) -> bool:
        """Lowering would hit somebody, or shut people in."""
        return self.inputs.get(InputName.SAFETY, False) or self.is_held_open

    def relay_closed(self, relay: Relay, now_ns: int, speed: float) -> None:
        """The operator sees a contact close."""
        self._now_ns = now_ns
        if relay is Relay.STOP:
            self._direction, self._close_at_ns = 0, None
            return
        if self.lane.kind is LaneKind.PEDESTRIAN:
            self._unlocked_until_ns = now_ns + int(self.lane.unlock_s / speed * 1e9) if relay is Relay.OPEN else now_ns
        elif relay is Relay.OPEN:
            self._direction, self._close_at_ns = 1, None
        elif not self.is_blocked:
            self._direction, self._close_at_ns = -1, None

    def safety_changed(self, is_occupied: bool, now_ns: int, speed: float) -> None:
        """The operator's own logic: reverses on an obstacle, and may lower after the vehicle."""
        if is_occupied:
            self._close_at_ns = None
            if self._direction < 0:
                self._direction = 1
        elif self.lane.is_automatic and (self._position > 0 or self._direction > 0):
            self._close_at_ns = now_ns + int(self.lane.close_delay_s / speed * 1e9)

    def move(self, now_ns: int, speed: float) -> list[tuple[InputName, bool]]:
        """Let the arm move until `now_ns`; returns the limit switches that changed."""
        elapsed_ns, self._now_ns = now_ns - self._now_ns, now_ns
        if self.lane.kind is not LaneKind.VEHICLE or self.is_jammed:
            return []
        if self._close_at_ns is not None and now_ns >= self._close_at_ns and self._position >= 1.0:
            self._close_at_ns = None
            if not self.is_blocked:
                self._direction = -1
        if self._direction:
            share = elapsed_ns / 1e9 * speed / self.lane.rise_s
            self._position = min(1.0, max(0.0, self._position + self._direction * share))
            if self._position == (1.0 if self._direction > 0 else 0.0):
                self._direction = 0
        changed = []
        for name, is_active in ((InputName.ARM_UP, self.arm_is_up), (InputName.ARM_DOWN, self.arm_is_down)):
            if self.inputs[name] != is_active:
                self.inputs[name] = is_active
                changed.append((name, is_active))
        return changed


class SimMcu:
    """One bridge on one pty. `poll` it each 10 ms or sooner; every method may be called from any thread."""

    def __init__(
        self,
        line: Pty,
        lanes: Sequence[SimLane],
        *,
        speed: float = 1.0,
        schema_hash: int = SCHEMA_HASH,
        on_open: Callable[[int, int], None] | None = None,
    ) -> None:
        if len(lanes) > CHANNELS:
            raise ValueError(f"a bridge drives {CHANNELS} lanes, not {len(lanes)}")
        self.speed = speed
        self.on_open = on_open
        """Called with (channel, monotonic ns) when an OPEN relay closes."""
        self.outcomes: list[PulseResult] = []
        """What became of the last pulses the host ordered, oldest first; at most 100."""
        self._line = line
        self._lanes = tuple(LaneModel(lane, channel) for channel, lane in enumerate(lanes))
        self._lock = threading.RLock()
        self._schema_hash = schema_hash
        self._now_ns = 0
        self._next_ns = 0
        self._faults: set[tuple[int, FaultCode]] = set()
        self._link = self._new_link()

    def _new_link(self) -> DeviceLink:
        return DeviceLink("sim", "simulated bridge", secrets.randbelow(0xFFFF) + 1, self._schema_hash)

    # --- for traffic ---

    def fileno(self) -> int:
        """For a selector: readable when the host wrote."""
        return self._line.fileno()

    def lane(self, channel: int) -> LaneModel:
        """The arm or lock on a channel, to look at."""
        return self._lanes[channel]

    @property
    def is_hosted(self) -> bool:
        """A host has greeted us."""
        return self._link.session != 0

    @property
    def is_lease_held(self) -> bool:
        """The host's controller is feeding the lease."""
        return self._link.is_lease_held

    def tap(self, reader_channel: int, bits: str) -> None:
        """A reader on the bridge delivers a frame of `bits` ("0" and "1")."""
        padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
        data = int(padded, 2).to_bytes(len(padded) // 8, "big")
        with self._lock:
            self._tell(CardRead(reader_channel, len(bits), data, self._tick_us()))
            self._flush()

    def press_key(self, reader_channel: int, key: str) -> None:
        """A keypad delivers one key."""
        with self._lock:
            self._tell(KeyPressed(reader_channel, ord(key), self._tick_us()))
            self._flush()

    def set_input(self, channel: int, name: InputName, is_active: bool) -> None:
        """A loop, a contact or a button changes (debounced already)."""
        with self._lock:
            self._input(self._lanes[channel], name, is_active)
            self._flush()

    def set_fault(self, channel: int, code: FaultCode, is_active: bool) -> None:
        """The bridge finds a fault, or its end."""
        with self._lock:
            (self._faults.add if is_active else self._faults.discard)((channel, code))
            self._tell(Fault(channel, code, is_active))
            self._flush()

    def restart(self) -> None:
        """A power cut: relays drop, the session is gone; counters, loops, lanes' declarations and fire's latch stay."""
        with self._lock:
            for lane in self._lanes:
                lane.pulse_until_ns.clear()
                if lane.is_fire_latched:
                    self._open_locally(lane)
            self._link = self._new_link()

    def close(self) -> None:
        """Unplug the bridge. Safe to call twice."""
        with self._lock:
            self._line.close()

    # --- time ---

    def poll(self, now_ns: int) -> None:
        """Let time be `now_ns` (monotonic): read, obey, move the arms, answer."""
        with self._lock:
            if not self._line.is_open:
                return
            data = self._line.read_available()
            if not data and now_ns < self._next_ns:
                return
            self._now_ns, self._next_ns = now_ns, now_ns + _TURN_NS
            self._link.tick(now_ns)
            for message in self._link.receive(data):
                self._obey(message)
            for lane in self._lanes:
                self._end_pulses(lane)
                for name, is_active in lane.move(now_ns, self.speed):
                    self._tell_input(lane, name, is_active)
                self._watch_host(lane)
            self._flush()

    def _flush(self) -> None:
        out = self._link.to_write()
        if out and self._line.is_open:
            self._line.write(out)

    def _tell(self, message: BridgeMessage) -> None:
        self._link.tell(message)

    def _tick_us(self) -> int:
        return self._now_ns // 1000 & 0xFFFF_FFFF

    # --- the rules ---

    def _obey(self, message: BridgeMessage) -> None:
        if isinstance(message, Pulse):
            outcome = self._pulse(message)
            result = PulseResult(message.channel, message.relay, outcome)
            self.outcomes = [*self.outcomes[-99:], result]
            self._tell(result)
        elif isinstance(message, Indicate) and message.channel < len(self._lanes):
            self._lanes[message.channel].lamp = message.lamp
        elif isinstance(message, LaneConfig) and message.channel < len(self._lanes):
            self._link.host_spoke()
            self._lanes[message.channel].on_host_loss = message.on_host_loss
        elif isinstance(message, ReleaseFire) and message.channel < len(self._lanes):
            self._release_fire(self._lanes[message.channel])
        elif isinstance(message, SnapshotRequest):
            for lane in self._lanes:
                self._snapshot(lane)
            for channel, code in sorted(self._faults):
                self._tell(Fault(channel, code, True))

    def _pulse(self, order: Pulse) -> Outcome:
        if not self._link.is_lease_held:
            return Outcome.REFUSED_NO_LEASE
        if order.channel >= len(self._lanes) or not PULSE_MIN_MS <= order.pulse_ms <= PULSE_MAX_MS:
            return Outcome.REFUSED_RANGE
        lane = self._lanes[order.channel]
        refusal = self._refusal(lane, order.relay)
        if refusal is not Outcome.STARTED:
            return refusal
        lane.opens += order.relay is Relay.OPEN
        self._close_relay(lane, order.relay, order.pulse_ms)
        return Outcome.STARTED

    def _refusal(self, lane: LaneModel, relay: Relay) -> Outcome:
        if relay is not Relay.OPEN and lane.is_under_fire:
            return Outcome.REFUSED_FIRE
        if relay is Relay.CLOSE and (
            lane.inputs.get(InputName.SAFETY, False) or (lane.channel, FaultCode.SAFETY_LOOP_BROKEN) in self._faults
        ):
            return Outcome.REFUSED_SAFETY_OCCUPIED
        if relay is not Relay.STOP and Relay.STOP in lane.pulse_until_ns:
            return Outcome.REFUSED_STOPPING
        if relay is Relay.CLOSE and (Relay.OPEN in lane.pulse_until_ns or lane.is_held_open):
            return Outcome.REFUSED_OPENING
        return Outcome.STARTED

    def _close_relay(self, lane: LaneModel, relay: Relay, pulse_ms: int) -> None:
        if relay is Relay.OPEN:
            lane.pulse_until_ns.pop(Relay.CLOSE, None)  # OPEN goes before CLOSE
        elif relay is Relay.STOP:
            lane.pulse_until_ns.clear()  # STOP goes before both
        lane.pulse_until_ns[relay] = self._now_ns + pulse_ms * _MS_NS
        lane.relay_closed(relay, self._now_ns, self.speed)
        if relay is Relay.OPEN:
            self._tell(RelayCount(lane.channel, lane.opens, lane.local_opens))
            if self.on_open is not None:
                self.on_open(lane.channel, self._now_ns)

    def _open_locally(self, lane: LaneModel) -> None:
        lane.local_opens += 1
        lane.pulse_until_ns.pop(Relay.STOP, None)
        self._close_relay(lane, Relay.OPEN, LOCAL_PULSE_MS)

    def _end_pulses(self, lane: LaneModel) -> None:
        for relay in [relay for relay, until_ns in lane.pulse_until_ns.items() if self._now_ns >= until_ns]:
            if not (relay is Relay.OPEN and lane.is_held_open):
                del lane.pulse_until_ns[relay]

    def _watch_host(self, lane: LaneModel) -> None:
        """Without a host for long enough, a fail-safe lane stands open until one is back."""
        is_released = self._link.unfed_ms() > LANE_RELEASE_MS and lane.on_host_loss is OnHostLoss.FAIL_SAFE
        if is_released and not lane.is_held_open:
            self._open_locally(lane)
        lane.has_released = is_released

    def _release_fire(self, lane: LaneModel) -> None:
        if self._link.is_lease_held and not lane.inputs.get(InputName.FIRE, False):
            lane.is_fire_latched = False

    def _input(self, lane: LaneModel, name: InputName, is_active: bool) -> None:
        if lane.inputs.get(name, False) == is_active:
            return
        lane.inputs[name] = is_active
        self._tell_input(lane, name, is_active)
        if name is InputName.SAFETY:
            lane.safety_changed(is_active, self._now_ns, self.speed)
        if not is_active:
            return
        if name is InputName.FIRE and not lane.is_fire_latched:
            lane.is_fire_latched = True
            self._open_locally(lane)
        elif name is InputName.REX and not self._link.is_lease_held:
            self._open_locally(lane)

    def _tell_input(self, lane: LaneModel, name: InputName, is_active: bool) -> None:
        self._tell(InputEdge(lane.channel, _INPUT_IDS[name], is_active, self._tick_us()))

    def _snapshot(self, lane: LaneModel) -> None:
        wired = sum(1 << _INPUT_IDS[name] for name in lane.inputs)
        active = sum(1 << _INPUT_IDS[name] for name, is_active in lane.inputs.items() if is_active)
        is_only_latched = lane.is_fire_latched and not lane.inputs.get(InputName.FIRE, False)
        fire = is_only_latched << Input.FIRE
        self._tell(InputSnapshot(lane.channel, wired, active | fire))
        if is_only_latched:  # a host that was away while fire came and went hears both
            self._tell_input(lane, InputName.FIRE, False)
        self._tell(RelayCount(lane.channel, lane.opens, lane.local_opens))
