"""A module with RPi.GPIO's API and pins that a test can see and move."""

import threading
import time


class FakeGpio:
    """Stands where `RPi.GPIO` is imported from. Unconnected inputs read HIGH through their pull-up."""

    BCM, IN, OUT, LOW, HIGH, PUD_UP = 11, 1, 0, 0, 1, 22

    def __init__(self) -> None:
        self.levels: dict[int, int] = {}
        self.edges: list[tuple[int, int, int]] = []
        """(pin, level, monotonic ns) of each change of an output."""
        self.cleaned: list[int] = []
        self.directions: dict[int, int] = {}
        self.is_broken = False
        self._lock = threading.Lock()

    def setmode(self, mode: int) -> None:
        if mode != self.BCM:
            raise ValueError("pins are numbered by BCM here")

    def setwarnings(self, is_on: bool) -> None:
        pass

    def setup(self, channel: int, direction: int, *, pull_up_down: int = -1, initial: int = -1) -> None:
        if self.is_broken:
            raise RuntimeError("No access to /dev/gpiochip0")
        with self._lock:
            self.directions[channel] = direction
            if direction == self.OUT:
                self.levels[channel] = initial
            else:
                self.levels.setdefault(channel, self.HIGH if pull_up_down == self.PUD_UP else self.LOW)

    def output(self, channel: int, value: int) -> None:
        with self._lock:
            if self.directions.get(channel) != self.OUT:
                raise RuntimeError("The GPIO channel has not been set up as an OUTPUT")
            if self.levels[channel] != value:
                self.edges.append((channel, value, time.monotonic_ns()))
            self.levels[channel] = value

    def input(self, channel: int) -> int:
        if self.is_broken:
            raise RuntimeError("the chip is gone")
        return self.levels[channel]

    def cleanup(self, channel: list[int]) -> None:
        with self._lock:
            self.cleaned = list(channel)
            self.directions = {pin: kind for pin, kind in self.directions.items() if pin not in channel}

    def set_input(self, channel: int, level: int) -> None:
        self.levels[channel] = level
