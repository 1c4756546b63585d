"""A test stand: simulated hardware turning on one thread, and an ear that remembers what devices said."""

import selectors
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from gatectl.core.model import ClockTrust, InputName, LaneId
from gatectl.drivers.ports import CardPresented, DeviceEvent, DeviceState, InputSeen, RelayCounted
from gatectl.sim.mcu import SimMcu

DEADLINE_S = 5.0
CAR = LaneId("car")
WALK = LaneId("walk")


class TestClock:
    """Real ticks, a wall time that stands still."""

    __test__ = False

    def now(self) -> datetime:
        return datetime(2026, 5, 1, tzinfo=UTC)

    def tick_ns(self) -> int:
        return time.monotonic_ns()

    def trust(self) -> ClockTrust:
        return ClockTrust.SYNCED


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Return once the condition holds; fail with `what` when it never does."""
    ends = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > ends:
            raise AssertionError(f"never happened: {what}")
        threading.Event().wait(0.002)


class Ear:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.events: list[DeviceEvent] = []

    def __call__(self, event: DeviceEvent) -> None:
        self.events.append(event)

    @property
    def cards(self) -> list[CardPresented]:
        return [event for event in self.events if isinstance(event, CardPresented)]

    @property
    def states(self) -> list[DeviceState]:
        return [event for event in self.events if isinstance(event, DeviceState)]

    def input(self, lane: LaneId, name: InputName) -> bool | None:
        """The input as last heard; None = never."""
        heard = [e.is_active for e in self.events if isinstance(e, InputSeen) and (e.lane, e.input) == (lane, name)]
        return heard[-1] if heard else None

    def opens(self, lane: LaneId) -> int | None:
        """The relay counter as last heard."""
        heard = [event.opens for event in self.events if isinstance(event, RelayCounted) and event.lane == lane]
        return heard[-1] if heard else None

    @property
    def is_ok(self) -> bool | None:
        """The device's state as last told."""
        return self.states[-1].is_ok if self.states else None


@contextmanager
def turning(mcu: SimMcu) -> Iterator[None]:
    """Let a simulated bridge live, on a thread of its own."""
    stopping = threading.Event()
    selector = selectors.DefaultSelector()
    selector.register(mcu.fileno(), selectors.EVENT_READ)

    def turn() -> None:
        while not stopping.is_set():
            selector.select(0.005)
            mcu.poll(time.monotonic_ns())

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(DEADLINE_S)
        selector.close()
