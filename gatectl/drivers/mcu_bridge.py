"""The bridge: readers, loops, arms and lamps of up to four lanes behind one serial port."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gatectl.core.cards import CardForm, em4100_key, number_key, wiegand_key
from gatectl.core.lane_io import Signal
from gatectl.core.model import CredentialKey, InputName, LaneId
from gatectl.core.reasons import Reason
from gatectl.drivers.ports import CardPresented, Clock, CodeTyped, InputSeen, RelayCounted
from gatectl.drivers.serial_port import SerialDevice, SerialLine
from gatectl.drivers.taps import Keypad, TapFilter
from gatectl.errors import LinkError
from gatectl.logs import get_logger
from gatectl.wire.bridge import Link, LinkState
from gatectl.wire.bridge_ids import (
    BAUD,
    Alive,
    BridgeMessage,
    CardRead,
    Fault,
    FaultCode,
    Input,
    InputEdge,
    InputSnapshot,
    KeyPressed,
    Lamp,
    OnHostLoss,
    Outcome,
    PulseResult,
    Relay,
    RelayCount,
    Welcome,
)

CardFormat = CardForm
_EM4100_BITS = 40
_READ_TIMEOUT_S = 0.04
_FIRST_ANSWER_NS = 2_000_000_000
"""A bridge that boots when its port opens is given this long before anybody is told that it is away."""
_LAMPS = {Signal.IDLE: Lamp.IDLE, Signal.GRANTED: Lamp.GRANTED, Signal.DENIED: Lamp.DENIED, Signal.HELD: Lamp.HELD}
_INPUTS = {Input[name.name]: name for name in InputName}

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BridgeLane:
    """A lane on one of the bridge's channels."""

    id: LaneId
    channel: int
    on_host_loss: OnHostLoss = OnHostLoss.UNSET


@dataclass(frozen=True, slots=True)
class BridgeReader:
    """A reader wired to one of the bridge's channels, and how its bits are to be read."""

    name: str
    channel: int
    format: CardFormat
    repeat_s: float = 2.0


def card_key(card_format: CardFormat, bits: str) -> CredentialKey:
    """The key in a reader's frame. Raises ValueError with words on a wrong length or parity."""
    if card_format == "number":
        if not bits or len(bits) % 8:
            raise ValueError(f"a card's number has whole bytes, not {len(bits)} bits")
        return number_key(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    if card_format != "em4100":
        return wiegand_key(card_format, bits)
    if len(bits) != _EM4100_BITS:
        raise ValueError(f"an EM4100 card has {_EM4100_BITS} bits, not {len(bits)}")
    return em4100_key(int(bits, 2).to_bytes(_EM4100_BITS // 8, "big"))


class McuBridge(SerialDevice):
    """Device, Barrier and signal port. Orders may come from any thread; the link is guarded by one lock."""

    def __init__(
        self,
        name: str,
        port: str,
        lanes: tuple[BridgeLane, ...],
        readers: tuple[BridgeReader, ...],
        clock: Clock,
        first_session: int,
    ) -> None:
        super().__init__(name, port, BAUD, clock, _READ_TIMEOUT_S)
        self.counters |= {
            "cards": 0,
            "bad_cards": 0,
            "codes": 0,
            "keys_ignored": 0,
            "pulses_refused": 0,
            "bad_frames": 0,
            "resent": 0,
        }
        self._lanes = {lane.channel: lane for lane in lanes}
        self._channels = {lane.id: lane.channel for lane in lanes}
        self._readers = {reader.channel: (reader, TapFilter(reader.repeat_s)) for reader in readers}
        self._keypads = {reader.channel: Keypad() for reader in readers}
        self._link = Link(first_session)
        self._lock = threading.Lock()
        self._faults: set[tuple[int, int]] = set()
        self._opened_ns = 0
        self._told_state: tuple[LinkState, str] | None = None

    # --- Barrier, from the controller's thread ---

    def pulse_open(self, lane: LaneId, pulse_ms: int) -> None:
        """Pulse the OPEN relay. Raises LinkError when the bridge is away or would refuse: nothing moved."""
        self._order(lambda link: link.pulse(self._channels[lane], Relay.OPEN, pulse_ms))

    def pulse_close(self, lane: LaneId, pulse_ms: int) -> None:
        """Pulse the CLOSE relay likewise; the bridge itself refuses on an occupied safety loop or under fire."""
        self._order(lambda link: link.pulse(self._channels[lane], Relay.CLOSE, pulse_ms))

    def pulse_stop(self, lane: LaneId, pulse_ms: int) -> None:
        """Pulse the STOP relay likewise; the bridge refuses it under fire."""
        self._order(lambda link: link.pulse(self._channels[lane], Relay.STOP, pulse_ms))

    def release_fire(self, lane: LaneId) -> None:
        """A named person ended the hold that fire began. Raises LinkError when the bridge is away: it holds on."""
        self._order(lambda link: link.release_fire(self._channels[lane]))

    def keep_alive(self) -> None:
        """Feed the lease. Raises LinkError when the bridge is away."""
        self._order(lambda link: link.heartbeat())

    def indicate(self, lane: LaneId, signal: Signal, reason: Reason) -> None:
        """Show a signal at a lane. Raises LinkError when the bridge is away."""
        self._order(lambda link: link.indicate(self._channels[lane], _LAMPS[signal], int(reason)))

    def _order(self, say: Callable[[Link], None]) -> None:
        with self._lock:
            line = self._line
            if line is None:
                raise LinkError(f"{self.name}: {self._port} is not open")
            self._link.tick(time.monotonic_ns())
            try:
                say(self._link)
            except LinkError as error:
                raise LinkError(f"{self.name}: {error}") from error
            finally:
                self._write(line)

    def _write(self, line: SerialLine) -> None:
        out = self._link.to_write()
        if not out:
            return
        try:
            line.write(out)
        except (OSError, TypeError) as error:
            raise LinkError(f"{self.name}: {self._port} takes no bytes: {error}") from error

    # --- the device's thread ---

    def _opened(self) -> None:
        self._opened_ns = time.monotonic_ns()
        with self._lock:
            self._link.start(time.monotonic_ns())
        self._turn(b"")

    def _heard(self, data: bytes) -> None:
        self._turn(data)

    def _turn(self, data: bytes) -> None:
        line = self._line
        if line is None:
            return
        with self._lock:
            self._link.tick(time.monotonic_ns())
            heard = self._link.receive(data) if data else []
            if any(isinstance(message, Welcome) for message in heard) and self._link.state is LinkState.READY:
                self._begin()
            self._write(line)
            state, words = self._link.state, self._link.words
        self.counters["bad_frames"] = self._link.counters["bad_frames"]
        self.counters["resent"] = self._link.counters["resent"]
        tick_ns = self._clock.tick_ns()
        self._tell_state(state, words)
        for message in heard:
            if not isinstance(message, Welcome | Alive):
                self._tell(message, tick_ns)

    def _begin(self) -> None:
        """A session began: declare the lanes, and learn how everything stands."""
        for lane in self._lanes.values():
            self._link.configure_lane(lane.channel, lane.on_host_loss)
        self._link.request_snapshot()
        self._faults.clear()

    def _tell_state(self, state: LinkState, words: str) -> None:
        is_change = (state, words) != self._told_state
        if state is LinkState.READY:
            if is_change:
                self._say(True, words)
        elif state is LinkState.REFUSED:
            self._say(False, words, is_news=is_change)
        elif self._told is not None or time.monotonic_ns() - self._opened_ns > _FIRST_ANSWER_NS:
            self._say(False, words)
        self._told_state = (state, words)

    def _tell(self, message: BridgeMessage, tick_ns: int) -> None:
        if isinstance(message, CardRead):
            self._card(message, tick_ns)
        elif isinstance(message, InputEdge):
            self._input(message.channel, message.input, message.is_active, tick_ns)
        elif isinstance(message, InputSnapshot):
            for number in Input:
                if message.wired >> number & 1:
                    self._input(message.channel, number, bool(message.active >> number & 1), tick_ns)
        elif isinstance(message, RelayCount):
            lane = self._lanes.get(message.channel)
            if lane is not None:
                self._out(RelayCounted(lane.id, message.opens, tick_ns))
        elif isinstance(message, PulseResult):
            self._pulse_result(message)
        elif isinstance(message, Fault):
            self._fault(message)
        elif isinstance(message, KeyPressed):
            self._key(message, tick_ns)

    def _card(self, read: CardRead, tick_ns: int) -> None:
        if read.reader not in self._readers or read.bits > 8 * len(read.data):
            self.counters["bad_cards"] += 1
            _log.warning("card.no_such_reader", device=self.name, channel=read.reader, bits=read.bits)
            return
        reader, taps = self._readers[read.reader]
        bits = "".join(f"{byte:08b}" for byte in read.data)[: read.bits]
        try:
            key = card_key(reader.format, bits)
        except ValueError as error:
            self.counters["bad_cards"] += 1
            _log.warning("card.unreadable", reader=reader.name, words=str(error))
            return
        if taps.is_new(key, tick_ns):
            self.counters["cards"] += 1
            self._out(CardPresented(reader.name, key, tick_ns))

    def _key(self, pressed: KeyPressed, tick_ns: int) -> None:
        keypad = self._keypads.get(pressed.reader)
        if keypad is None:
            self.counters["keys_ignored"] += 1
            return
        digits = keypad.press(chr(pressed.key), tick_ns)
        if digits is not None:
            self.counters["codes"] += 1
            self._out(CodeTyped(self._readers[pressed.reader][0].name, digits, tick_ns))

    def _input(self, channel: int, number: Input, is_active: bool, tick_ns: int) -> None:
        lane = self._lanes.get(channel)
        if lane is not None:
            self._out(InputSeen(lane.id, _INPUTS[number], is_active, tick_ns))

    def _pulse_result(self, result: PulseResult) -> None:
        if result.outcome is not Outcome.STARTED:
            self.counters["pulses_refused"] += 1
            _log.warning(
                "pulse.refused",
                device=self.name,
                channel=result.channel,
                relay=result.relay.name,
                outcome=result.outcome.name,
            )

    def _fault(self, fault: Fault) -> None:
        where = (fault.channel, int(fault.code))
        words = f"channel {fault.channel}: {fault.code.name.lower().replace('_', ' ')}"
        lane = self._lanes.get(fault.channel)
        if fault.code is FaultCode.SAFETY_LOOP_BROKEN and lane is not None:
            self._out(InputSeen(lane.id, InputName.SAFETY_FAULT, fault.is_active, self._clock.tick_ns()))
        if fault.is_active:
            self._faults.add(where)
            self._say(False, words, is_news=True)
        else:
            self._faults.discard(where)
            if not self._faults:
                self._say(True, f"{words}: over")
