"""What every Device that is a Barrier keeps to: the bridge on a pty, and pins through the RPi.GPIO API."""

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from fake_gpio import FakeGpio
from stand import CAR, Ear, TestClock, turning, wait_for

from gatectl.core.model import InputName, LaneKind
from gatectl.drivers.gpio_barrier import GpioBarrier
from gatectl.drivers.mcu_bridge import BridgeLane, McuBridge
from gatectl.errors import ContractError, LinkError
from gatectl.sim.devices import Pty
from gatectl.sim.mcu import SimLane, SimMcu
from gatectl.wire.bridge_ids import Relay

PINS = {"open": 17, "close": 18, "arm_up": 27, "presence": 22, "safety": 23, "fire": 24}


class Bench(ABC):
    """One barrier, its device, and the relay and loops at the far end of its wires."""

    ear: Ear
    barrier: McuBridge | GpioBarrier

    def start(self) -> None:
        self.barrier.start(self.ear)
        wait_for(lambda: self.ear.is_ok is True, "the device came up")
        self.barrier.keep_alive()

    @abstractmethod
    def is_closed(self, relay: Relay) -> bool:
        """The relay, as the operator feels it."""

    @abstractmethod
    def sense(self, name: InputName, is_active: bool) -> None:
        """A loop or contact."""

    @abstractmethod
    def break_it(self) -> None:
        """The hardware goes away."""


class BridgeBench(Bench):
    def __init__(self, stack: ExitStack) -> None:
        line = stack.enter_context(Pty())
        self.mcu = SimMcu(line, (SimLane(LaneKind.VEHICLE, is_automatic=False),), speed=4.0)
        stack.enter_context(turning(self.mcu))
        self.ear = Ear()
        self.barrier = McuBridge("bridge", line.path, (BridgeLane(CAR, 0),), (), TestClock(), 7)

    def is_closed(self, relay: Relay) -> bool:
        return relay in self.mcu.lane(0).pulse_until_ns

    def sense(self, name: InputName, is_active: bool) -> None:
        self.mcu.set_input(0, name, is_active)

    def break_it(self) -> None:
        self.mcu.close()


class GpioBench(Bench):
    def __init__(self, gpio: FakeGpio) -> None:
        self.gpio = gpio
        self.ear = Ear()
        gpio.levels |= {PINS["safety"]: gpio.LOW, PINS["fire"]: gpio.LOW}
        self.barrier = GpioBarrier("pins", CAR, PINS, TestClock())

    def is_closed(self, relay: Relay) -> bool:
        return self.gpio.levels[PINS[relay.name.lower()]] == self.gpio.HIGH

    def sense(self, name: InputName, is_active: bool) -> None:
        is_open_contact = is_active == (name in (InputName.SAFETY, InputName.FIRE))
        self.gpio.set_input(PINS[name], self.gpio.HIGH if is_open_contact else self.gpio.LOW)

    def break_it(self) -> None:
        self.gpio.is_broken = True


@pytest.fixture(params=["bridge", "gpio"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with ExitStack() as stack:
        if request.param == "bridge":
            made: Bench = BridgeBench(stack)
        else:
            gpio = FakeGpio()
            monkeypatch.setitem(sys.modules, "RPi", object())
            monkeypatch.setitem(sys.modules, "RPi.GPIO", gpio)
            made = GpioBench(gpio)
        try:
            yield made
        finally:
            made.barrier.stop()


def test_pulse_closes_the_relay_and_lets_go_of_it_by_itself(bench: Bench) -> None:
    bench.start()
    began = time.monotonic()
    bench.barrier.pulse_open(CAR, 200)
    returned_s = time.monotonic() - began
    wait_for(lambda: bench.is_closed(Relay.OPEN), "the relay closed")
    wait_for(lambda: not bench.is_closed(Relay.OPEN), "the relay opened again")
    assert returned_s < 0.15
    assert 0.19 <= time.monotonic() - began < 0.6


def test_a_change_of_a_loop_is_heard_for_its_lane(bench: Bench) -> None:
    bench.start()
    wait_for(lambda: bench.ear.input(CAR, InputName.PRESENCE) is False, "the loop was reported on connect")
    bench.sense(InputName.PRESENCE, True)
    wait_for(lambda: bench.ear.input(CAR, InputName.PRESENCE) is True, "the car was heard")
    bench.sense(InputName.PRESENCE, False)
    wait_for(lambda: bench.ear.input(CAR, InputName.PRESENCE) is False, "the car went away")


@pytest.mark.parametrize("name", [InputName.SAFETY, InputName.FIRE])
def test_close_relay_stays_open_on_an_occupied_safety_loop_and_under_fire(bench: Bench, name: InputName) -> None:
    bench.start()
    bench.sense(name, True)
    wait_for(lambda: bench.ear.input(CAR, name) is True, "the input was heard")
    if isinstance(bench, BridgeBench):  # a bridge refuses at its end of the wire, and holds OPEN under fire
        mcu = bench.mcu
        wait_for(lambda: bench.is_closed(Relay.OPEN) == (name is InputName.FIRE), "fire opened, and fire only")
        bench.barrier.pulse_close(CAR, 100)
        wait_for(lambda: bool(mcu.outcomes), "the bridge answered")
        assert mcu.outcomes[-1].outcome.name.startswith("REFUSED")
    else:
        with pytest.raises(LinkError, match="refuses to close"):
            bench.barrier.pulse_close(CAR, 100)
    assert not bench.is_closed(Relay.CLOSE)


def test_close_is_obeyed_on_a_free_lane(bench: Bench) -> None:
    bench.start()
    wait_for(lambda: bench.ear.input(CAR, InputName.FIRE) is False, "the inputs were reported")
    bench.barrier.pulse_close(CAR, 100)
    wait_for(lambda: bench.is_closed(Relay.CLOSE), "the relay closed")
    wait_for(lambda: not bench.is_closed(Relay.CLOSE), "the relay opened again")


def test_opening_ends_a_closing_pulse(bench: Bench) -> None:
    bench.start()
    wait_for(lambda: bench.ear.input(CAR, InputName.SAFETY) is False, "the inputs were reported")
    bench.barrier.pulse_close(CAR, 2000)
    wait_for(lambda: bench.is_closed(Relay.CLOSE), "it is closing")
    bench.barrier.pulse_open(CAR, 100)
    wait_for(lambda: bench.is_closed(Relay.OPEN), "it is opening")
    assert not bench.is_closed(Relay.CLOSE)


def test_nothing_moves_before_the_device_is_up(bench: Bench) -> None:
    with pytest.raises(LinkError):
        bench.barrier.pulse_open(CAR, 500)
    assert not bench.ear.events


def test_hardware_that_goes_away_is_told_once_and_refuses_at_once(bench: Bench) -> None:
    bench.start()
    bench.break_it()
    wait_for(lambda: bench.ear.is_ok is False, "the loss was told")
    began = time.monotonic()
    with pytest.raises(LinkError):
        bench.barrier.pulse_open(CAR, 500)
    assert time.monotonic() - began < 0.1
    assert [state.is_ok for state in bench.ear.states] == [True, False]


@pytest.mark.parametrize("pulse_ms", [49, 2001])
def test_pulse_out_of_range_is_our_own_bug(bench: Bench, pulse_ms: int) -> None:
    bench.start()
    with pytest.raises(ContractError):
        bench.barrier.pulse_open(CAR, pulse_ms)
    assert not bench.is_closed(Relay.OPEN)


def test_stop_is_quick_and_may_come_twice(bench: Bench) -> None:
    bench.start()
    before_ns = bench.barrier.beat_ns()
    wait_for(lambda: bench.barrier.beat_ns() > before_ns, "the thread beats")
    began = time.monotonic()
    bench.barrier.stop()
    bench.barrier.stop()
    assert time.monotonic() - began < 2.0
    names = {thread.name for thread in threading.enumerate()}
    assert bench.barrier.name not in names
    with pytest.raises(LinkError):
        bench.barrier.pulse_open(CAR, 500)
