"""What the edge asks of hardware. One Protocol a device; units, limits, what blocks and what is raised."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gatectl.core.lane_io import Signal
from gatectl.core.model import ClockTrust, CredentialKey, InputName, LaneId
from gatectl.core.reasons import Reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frame = npt.NDArray[np.uint8]
    """A BGR picture, height x width x 3."""
else:  # a gate's daemon handles no pixels: it must not pay for numpy's 10 MB and 50 ms
    Frame = Any


@dataclass(frozen=True, slots=True)
class CardPresented:
    """A reader delivered one complete, checked credential."""

    reader: str
    key: CredentialKey
    tick_ns: int


@dataclass(frozen=True, slots=True)
class CodeTyped:
    """1 to 8 digits were entered on a keypad, or 4 to 8 shown to a scanner. They are secrets: never logged."""

    reader: str
    digits: str = field(repr=False)
    tick_ns: int


@dataclass(frozen=True, slots=True)
class PassShown:
    """A scanner read a text that may be a visitor pass: who holds the text may pass, so it is never logged."""

    reader: str
    text: str = field(repr=False)
    tick_ns: int


@dataclass(frozen=True, slots=True)
class InputSeen:
    """A lane input changed, or was reported on connect."""

    lane: LaneId
    input: InputName
    is_active: bool
    tick_ns: int


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device came up, failed or recovered; `words` say what to look at. Sent once a change."""

    device: str
    is_ok: bool
    words: str
    tick_ns: int


@dataclass(frozen=True, slots=True)
class RelayCounted:
    """The bridge's relay counter for a lane's OPEN relay: total pulses since the bridge was made."""

    lane: LaneId
    opens: int
    tick_ns: int


DeviceEvent = CardPresented | CodeTyped | PassShown | InputSeen | DeviceState | RelayCounted
Sink = Callable[[DeviceEvent], None]
"""Takes one event from a driver's thread. Must not block for long and must not raise."""


class Device(Protocol):
    """Anything with a thread of its own. `start` returns at once; a missing port is a DeviceState, no exception."""

    name: str

    def start(self, sink: Sink) -> None:
        """Start the device's thread; everything it hears goes to `sink`."""

    def stop(self) -> None:
        """Stop within 2 s and release the port. Safe to call twice."""

    def beat_ns(self) -> int:
        """Monotonic ns of the thread's last turn; the daemon's watchdog reads it."""


class Barrier(Protocol):
    """An arm's operator, or a pedestrian lock."""

    def pulse_open(self, lane: LaneId, pulse_ms: int) -> None:
        """Pulse OPEN for 50-2000 ms; returns when the command is on the wire (never waits for the arm).

        Raises LinkError when the bridge is away or its lease is lost: nothing moved.
        """

    def pulse_close(self, lane: LaneId, pulse_ms: int) -> None:
        """Pulse CLOSE likewise. The bridge refuses it on an occupied or faulted safety loop or under fire."""

    def keep_alive(self) -> None:
        """Feed the lease. The controller calls it each 250 ms; 1 s of silence and the bridge refuses commands."""


@runtime_checkable
class FireLatch(Protocol):
    """A barrier's hardware that holds its lanes open after a fire alarm, until a named person releases them."""

    def release_fire(self, lane: LaneId) -> None:
        """End the hold, unless its line still alarms. Raises LinkError when the device is away: it holds on."""


class Indicator(Protocol):
    """Light, buzzer, voice."""

    def show(self, lane: LaneId, signal: Signal, reason: Reason) -> None:
        """Show a signal; never blocks, never raises: an opening does not wait for a lamp."""


class Camera(Protocol):
    """A source of frames. Used from one thread of the vision process only."""

    def read(self) -> Frame | None:
        """The newest frame, or None when no new one came within 0.2 s. Raises LinkError when the source is dead."""

    def close(self) -> None:
        """Release the source."""


class Clock(Protocol):
    """Time, as the shells see it; tests inject their own."""

    def now(self) -> datetime:
        """Aware UTC wall time, believed or not."""

    def tick_ns(self) -> int:
        """Monotonic ns (CLOCK_BOOTTIME where there is one)."""

    def trust(self) -> ClockTrust:
        """How far `now` can be believed."""
