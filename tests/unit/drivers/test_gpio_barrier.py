"""What is special to plain pins: no lease and said so, wires that are cut, relays that fall when anything ends."""

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gatectl.core.model import InputName, LaneId
from gatectl.drivers.gpio_barrier import NO_LEASE, GpioBarrier
from gatectl.drivers.ports import DeviceEvent, DeviceState, InputSeen
from gatectl.errors import LinkError

sys.path.insert(0, __file__.rsplit("/unit/", 1)[0] + "/contract")
FakeGpio = importlib.import_module("fake_gpio").FakeGpio
TestClock = importlib.import_module("stand").TestClock

CAR = LaneId("car")


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < ends, "never happened"
        threading.Event().wait(0.002)


class Rig:
    def __init__(self, gpio: Any, **pins: int) -> None:
        self.gpio = gpio
        self.events: list[DeviceEvent] = []
        self.barrier = GpioBarrier("pins", CAR, {"open": 17, **pins}, TestClock())

    def start(self) -> None:
        self.barrier.start(self.events.append)

    @property
    def states(self) -> list[DeviceState]:
        return [event for event in self.events if isinstance(event, DeviceState)]

    def inputs(self, name: InputName) -> list[bool]:
        return [event.is_active for event in self.events if isinstance(event, InputSeen) and event.input is name]


@pytest.fixture
def gpio(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = FakeGpio()
    monkeypatch.setitem(sys.modules, "RPi", object())
    monkeypatch.setitem(sys.modules, "RPi.GPIO", made)
    return made


@pytest.fixture
def rig(gpio: Any) -> Iterator[Rig]:
    made = Rig(gpio, close=18, safety=23, presence=22)
    yield made
    made.barrier.stop()


def test_it_says_at_start_that_it_has_no_lease(rig: Rig) -> None:
    rig.start()
    wait_for(lambda: bool(rig.states))
    assert rig.states[0].is_ok
    assert rig.states[0].words == NO_LEASE
    assert "without a lease" in NO_LEASE


def test_cut_safety_wire_reads_as_occupied_and_forbids_closing(rig: Rig) -> None:
    rig.start()  # nothing is connected: the pull-up holds every input high
    wait_for(lambda: bool(rig.states))
    assert rig.inputs(InputName.SAFETY) == [True]
    assert rig.inputs(InputName.PRESENCE) == [False]
    with pytest.raises(LinkError, match="safety loop"):
        rig.barrier.pulse_close(CAR, 500)


def test_bounce_shorter_than_three_polls_is_not_heard(rig: Rig) -> None:
    rig.start()
    wait_for(lambda: bool(rig.states))
    rig.barrier._read_inputs(rig.gpio)
    rig.barrier.stop()
    rig.gpio.set_input(22, rig.gpio.LOW)
    for _ in range(2):
        rig.barrier._read_inputs(rig.gpio)
    rig.gpio.set_input(22, rig.gpio.HIGH)
    rig.barrier._read_inputs(rig.gpio)
    rig.gpio.set_input(22, rig.gpio.LOW)
    for _ in range(2):
        rig.barrier._read_inputs(rig.gpio)
    assert rig.inputs(InputName.PRESENCE) == [False]
    rig.barrier._read_inputs(rig.gpio)
    assert rig.inputs(InputName.PRESENCE) == [False, True]


def test_stop_lets_go_of_a_closed_relay_and_gives_the_pins_back(rig: Rig) -> None:
    rig.start()
    wait_for(lambda: bool(rig.states))
    rig.barrier.pulse_open(CAR, 2000)
    assert rig.gpio.levels[17] == rig.gpio.HIGH
    rig.barrier.stop()
    assert rig.gpio.levels[17] == rig.gpio.LOW
    assert sorted(rig.gpio.cleaned) == [17, 18, 22, 23]


def test_chip_that_fails_within_a_pulse_lets_go_of_the_relay_at_once(rig: Rig) -> None:
    rig.start()
    wait_for(lambda: bool(rig.states))
    rig.barrier.pulse_open(CAR, 2000)
    rig.gpio.is_broken = True
    wait_for(lambda: not rig.states[-1].is_ok)
    assert rig.gpio.levels[17] == rig.gpio.LOW
    assert rig.gpio.edges[-1][2] - rig.gpio.edges[0][2] < 1_000_000_000


def test_relays_are_off_from_the_first_moment(rig: Rig) -> None:
    rig.start()
    wait_for(lambda: bool(rig.states))
    assert (rig.gpio.levels[17], rig.gpio.levels[18]) == (rig.gpio.LOW, rig.gpio.LOW)
    assert rig.gpio.edges == []


def test_pulse_is_refused_when_the_thread_that_would_end_it_hangs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.start()
    wait_for(lambda: bool(rig.states))
    with rig.barrier._lock:  # the thread waits here, as it would in a driver that hangs
        monkeypatch.setattr(rig.barrier, "_lock", threading.Lock())
        monkeypatch.setattr(rig.barrier, "_beat_ns", time.monotonic_ns() - 2_000_000_000)
        rig.barrier._wake.clear()
        monkeypatch.setattr("gatectl.drivers.gpio_barrier._STALE_NS", -1)
        with pytest.raises(LinkError, match="hangs"):
            rig.barrier.pulse_open(CAR, 500)
    assert rig.gpio.levels[17] == rig.gpio.LOW


def test_operator_that_closes_by_itself_needs_no_close_pin(gpio: Any) -> None:
    rig = Rig(gpio)
    rig.start()
    try:
        wait_for(lambda: bool(rig.states))
        rig.barrier.pulse_close(CAR, 500)
        assert gpio.edges == []
    finally:
        rig.barrier.stop()


def test_missing_library_is_told_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "RPi", None)
    rig = Rig(None)
    rig.start()
    try:
        wait_for(lambda: bool(rig.states))
        assert not rig.states[0].is_ok
        assert "rpi-lgpio" in rig.states[0].words
        with pytest.raises(LinkError):
            rig.barrier.pulse_open(CAR, 500)
    finally:
        rig.barrier.stop()
