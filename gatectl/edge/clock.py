"""The gate's clock: boot-time ticks, wall time, and how far the wall can be believed (PROTOCOLS 10)."""

import ctypes
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gatectl.core.model import ClockTrust

EARLIEST_PLAUSIBLE = datetime(2024, 1, 1, tzinfo=UTC)
"""A Pi without a battery clock wakes in 1970 or at its last shutdown; nobody runs this before it was written."""
SERVER_AGREES_S = 5.0
_SYNC_LIFE_S = 3600.0
_KERNEL_ASKED_EACH_S = 30.0
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
_TIMEX_BYTES = 208
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A wall time that central vouches for, at a boot-time tick."""

    mono_ns: int
    utc: datetime
    offset_ms: int
    error_ms: int


def kernel_says_synced() -> bool:
    """Whether the kernel's clock is disciplined by NTP; False where it cannot be asked."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) < _TIME_ERROR


class SystemClock:
    """The real clock. `trust` may be asked from any thread."""

    def __init__(self, last_wall_s: int = 0) -> None:
        self._lock = threading.Lock()
        self._last_wall_s = last_wall_s
        self._server_seen_tick_ns: int | None = None
        self._server_at: datetime | None = None
        self._server_agrees = False
        self._kernel_asked_ns: int | None = None
        self._kernel_synced = False

    def now(self) -> datetime:
        """Aware UTC wall time, believed or not."""
        return datetime.now(UTC)

    def tick_ns(self) -> int:
        """CLOCK_BOOTTIME in ns: it goes on while the machine sleeps."""
        return time.clock_gettime_ns(_BOOTTIME)

    def trust(self) -> ClockTrust:
        """Untrusted before 2024 or before a past time; synced by NTP or by central; else holdover."""
        now, tick = self.now(), self.tick_ns()
        with self._lock:
            if now < EARLIEST_PLAUSIBLE or now.timestamp() < self._last_wall_s - SERVER_AGREES_S:
                return ClockTrust.UNTRUSTED
            if self._kernel_asked_ns is None or tick - self._kernel_asked_ns > _KERNEL_ASKED_EACH_S * 1e9:
                self._kernel_asked_ns = tick
                self._kernel_synced = kernel_says_synced()
            fresh = self._server_seen_tick_ns is not None and tick - self._server_seen_tick_ns < _SYNC_LIFE_S * 1e9
            if fresh:
                return ClockTrust.SYNCED if self._server_agrees else ClockTrust.HOLDOVER
            return ClockTrust.SYNCED if self._kernel_synced else ClockTrust.HOLDOVER

    def note_past(self, wall_s: int) -> None:
        """A wall time, in UTC seconds, that has certainly passed."""
        with self._lock:
            self._last_wall_s = max(self._last_wall_s, wall_s)

    def floor_s(self) -> int:
        """The latest UTC second that is certainly past."""
        with self._lock:
            return self._last_wall_s

    def note_server(self, server_at: datetime, round_trip_s: float) -> Anchor:
        """Take central's signed time from an ack; `round_trip_s` is the time between a batch and its ack."""
        now, tick = self.now(), self.tick_ns()
        believed = server_at + timedelta(seconds=round_trip_s / 2)
        offset_s = (now - believed).total_seconds()
        with self._lock:
            self._server_seen_tick_ns = tick
            self._server_at = believed
            self._server_agrees = abs(offset_s) <= SERVER_AGREES_S
            if self._server_agrees:  # a floor ahead of an agreed time came from a clock that once stood wrong
                self._last_wall_s = min(self._last_wall_s, int(now.timestamp()))
        return Anchor(tick, believed, round(offset_s * 1000), max(1, round(round_trip_s * 500)))

    def server_agrees(self) -> bool:
        """Whether central's last time was within 5 s of ours."""
        with self._lock:
            return self._server_agrees

    def server_now(self) -> datetime | None:
        """Central's time carried on by our ticks; None before the first ack of this run."""
        tick = self.tick_ns()
        with self._lock:
            if self._server_at is None or self._server_seen_tick_ns is None:
                return None
            return self._server_at + timedelta(microseconds=(tick - self._server_seen_tick_ns) / 1000)
