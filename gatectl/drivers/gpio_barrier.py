"""A barrier on the Pi's own pins, through the RPi.GPIO API (rpi-lgpio brings it on a Pi 5).

There is no lease here: if this process hangs with a relay closed, nobody lets go of it but the hardware watchdog. So it
is for the momentary inputs of an operator with its own safety logic, and it says so at start.
"""

import importlib
import threading
import time
from collections.abc import Mapping
from typing import Protocol, cast

from gatectl.core.model import InputName, LaneId
from gatectl.drivers.ports import Clock, DeviceState, InputSeen, Sink
from gatectl.errors import ConfigError, ContractError, LinkError
from gatectl.logs import get_logger

POLL_S = 0.010
"""Polled: RPi.GPIO's edge detection fails on kernels from 6.6 on (raspberrypi/linux 6037)."""
_STEADY_POLLS = 3
_STALE_NS = 1_000_000_000
_RETRY_S = 5.0
_STOP_S = 2.0
_OUTPUTS = ("open", "close")
_NORMALLY_CLOSED = frozenset({InputName.SAFETY, InputName.FIRE, InputName.TAMPER})
"""Contacts that open when active: a cut wire reads as occupied, as fire, as tampered."""
NO_LEASE = "direct GPIO without a lease: only for an operator's momentary inputs with its own safety logic"

_log = get_logger(__name__)


class GpioModule(Protocol):
    """What we use of RPi.GPIO."""

    BCM: int
    IN: int
    OUT: int
    LOW: int
    HIGH: int
    PUD_UP: int

    def setmode(self, mode: int) -> None:
        """Choose the numbering of pins."""

    def setwarnings(self, is_on: bool) -> None:
        """Warn on pins that are in use."""

    def setup(self, channel: int, direction: int, *, pull_up_down: int = ..., initial: int = ...) -> None:
        """Make a pin an input or an output."""

    def output(self, channel: int, value: int) -> None:
        """Drive an output."""

    def input(self, channel: int) -> int:
        """Read a pin."""

    def cleanup(self, channel: list[int]) -> None:
        """Make pins inputs again."""


class GpioBarrier:
    """Device and Barrier of one lane on the Pi's pins. Pins are BCM numbers; relays are active high."""

    def __init__(self, name: str, lane: LaneId, pins: Mapping[str, int], clock: Clock) -> None:
        self.name = name
        self._lane = lane
        self._clock = clock
        wrong = [pin for pin in pins if pin not in _OUTPUTS and pin not in set(InputName)]
        if wrong or "open" not in pins or len(set(pins.values())) != len(pins):
            raise ConfigError(
                f"devices.{name}.pins: needs `open` and may have `close` and inputs ({', '.join(InputName)}), each on "
                f"a pin of its own; given: {dict(pins)}"
            )
        self._outputs = {pin: number for pin, number in pins.items() if pin in _OUTPUTS}
        self._inputs = {InputName(pin): number for pin, number in pins.items() if pin not in _OUTPUTS}
        self._gpio: GpioModule | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._until_ns: dict[str, int] = {}
        self._active: dict[InputName, bool] = {}
        self._steady: dict[InputName, int] = {}
        self._told: bool | None = None
        self._sink: Sink | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._beat_ns = time.monotonic_ns()

    # --- Device ---

    def start(self, sink: Sink) -> None:
        """Start the device's thread. Pins that cannot be had are a DeviceState."""
        self._sink = sink
        self._thread.start()

    def stop(self) -> None:
        """Relays off, pins back to inputs. Safe to call twice."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def beat_ns(self) -> int:
        """Monotonic ns of the thread's last turn."""
        return self._beat_ns

    # --- Barrier, from the controller's thread ---

    def pulse_open(self, lane: LaneId, pulse_ms: int) -> None:
        """Close the OPEN relay; the device's thread lets go of it. Raises LinkError when nothing would move."""
        self._pulse(lane, "open", pulse_ms)

    def pulse_close(self, lane: LaneId, pulse_ms: int) -> None:
        """Close the CLOSE relay, where there is one. Raises LinkError on an occupied safety loop or under fire."""
        if "close" in self._outputs:
            self._pulse(lane, "close", pulse_ms)

    def keep_alive(self) -> None:
        """There is no lease to feed."""

    def _pulse(self, lane: LaneId, relay: str, pulse_ms: int) -> None:
        if lane != self._lane or not 50 <= pulse_ms <= 2000:
            raise ContractError(f"{self.name} cannot pulse {lane} for {pulse_ms} ms")
        with self._lock:
            gpio = self._gpio
            if gpio is None:
                raise LinkError(f"{self.name}: its pins are not to be had")
            now_ns = time.monotonic_ns()
            if now_ns - self._beat_ns > _STALE_NS:
                raise LinkError(f"{self.name}: its thread hangs; nobody would end the pulse")
            if relay == "close":
                self._may_close()
            elif self._until_ns.pop("close", None) is not None:
                gpio.output(self._outputs["close"], gpio.LOW)
            self._until_ns[relay] = now_ns + pulse_ms * 1_000_000
            gpio.output(self._outputs[relay], gpio.HIGH)
        self._wake.set()

    def _may_close(self) -> None:
        for name, words in (
            (InputName.SAFETY, "the safety loop is occupied"),
            (InputName.FIRE, "the fire input is on"),
        ):
            if name in self._inputs and self._active.get(name, True):
                raise LinkError(f"{self.name} refuses to close: {words}")
        if "open" in self._until_ns:
            raise LinkError(f"{self.name} refuses to close: it is opening")

    # --- the device's thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._beat_ns = time.monotonic_ns()
            try:
                self._serve(self._take_pins())
            except LinkError as error:
                self._say(False, str(error))
                self._stopping.wait(_RETRY_S)

    def _take_pins(self) -> GpioModule:
        """Raises LinkError with words."""
        try:
            gpio = cast("GpioModule", importlib.import_module("RPi.GPIO"))
            gpio.setwarnings(False)
            gpio.setmode(gpio.BCM)
            for number in self._outputs.values():
                gpio.setup(number, gpio.OUT, initial=gpio.LOW)
            for number in self._inputs.values():
                gpio.setup(number, gpio.IN, pull_up_down=gpio.PUD_UP)
        except ImportError as error:
            raise LinkError("there is no RPi.GPIO: install gatectl[pi] (on a Pi 5 it is rpi-lgpio)") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise LinkError(f"the pins cannot be had: {error}") from error
        return gpio

    def _serve(self, gpio: GpioModule) -> None:
        """Poll until stopped. Raises LinkError when the pins are lost; relays are let go of first, either way."""
        _log.warning("gpio.no_lease", device=self.name, words=NO_LEASE)
        self._active.clear()
        try:
            self._beat_ns = time.monotonic_ns()
            self._read_inputs(gpio)
            with self._lock:
                self._gpio = gpio
            self._say(True, NO_LEASE)
            while not self._stopping.is_set():
                self._wake.wait(self._until_next_s())
                self._wake.clear()
                self._beat_ns = time.monotonic_ns()
                self._end_pulses(gpio)
                self._read_inputs(gpio)
        except (OSError, RuntimeError) as error:
            raise LinkError(f"the pins were lost: {error}") from error
        finally:
            self._release(gpio)

    def _until_next_s(self) -> float:
        with self._lock:
            ends_ns = min(self._until_ns.values(), default=None)
        if ends_ns is None:
            return POLL_S
        return min(POLL_S, max(0.0, (ends_ns - time.monotonic_ns()) / 1e9))

    def _end_pulses(self, gpio: GpioModule) -> None:
        now_ns = time.monotonic_ns()
        with self._lock:
            for relay in [relay for relay, until_ns in self._until_ns.items() if now_ns >= until_ns]:
                gpio.output(self._outputs[relay], gpio.LOW)
                del self._until_ns[relay]

    def _read_inputs(self, gpio: GpioModule) -> None:
        for name, number in self._inputs.items():
            is_open = gpio.input(number) == gpio.HIGH
            is_active = is_open if name in _NORMALLY_CLOSED else not is_open
            if name not in self._active:
                self._changed(name, is_active)
            elif is_active == self._active[name]:
                self._steady[name] = 0
            else:
                self._steady[name] += 1
                if self._steady[name] >= _STEADY_POLLS:
                    self._changed(name, is_active)

    def _changed(self, name: InputName, is_active: bool) -> None:
        self._active[name] = is_active
        self._steady[name] = 0
        self._out(InputSeen(self._lane, name, is_active, self._clock.tick_ns()))

    def _release(self, gpio: GpioModule) -> None:
        with self._lock:
            self._gpio = None
            self._until_ns.clear()
        try:
            for number in self._outputs.values():
                gpio.output(number, gpio.LOW)
            gpio.cleanup([*self._outputs.values(), *self._inputs.values()])
        except (OSError, RuntimeError) as error:
            _log.error("gpio.not_released", device=self.name, words=str(error))

    def _say(self, is_ok: bool, words: str) -> None:
        if self._told != is_ok:
            self._told = is_ok
            self._out(DeviceState(self.name, is_ok, words, self._clock.tick_ns()))

    def _out(self, event: DeviceState | InputSeen) -> None:
        if self._sink is None:
            raise ContractError(f"{self.name} was not started")
        self._sink(event)
