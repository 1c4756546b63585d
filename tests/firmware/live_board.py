"""A board that lives with the wall clock: its serial port is a pty, its pins are moved by commands."""

import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from firmware_board import FREE, Moved, bench_command

from gatectl.core.model import ClockTrust
from gatectl.drivers.ports import CardPresented, CodeTyped, DeviceEvent, DeviceState, InputSeen, RelayCounted
from gatectl.wire.bridge_ids import Input, Relay

DEADLINE_S = 20.0


class WallClock:
    """Real ticks, a wall time that stands still."""

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
        threading.Event().wait(0.005)


class Ear:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.events: list[DeviceEvent] = []

    def __call__(self, event: DeviceEvent) -> None:
        self.events.append(event)

    @property
    def cards(self) -> list[tuple[str, str]]:
        return [(event.reader, event.key) for event in self.events if isinstance(event, CardPresented)]

    @property
    def codes(self) -> list[str]:
        return [event.digits for event in self.events if isinstance(event, CodeTyped)]

    @property
    def states(self) -> list[bool]:
        return [event.is_ok for event in self.events if isinstance(event, DeviceState)]

    @property
    def words(self) -> str:
        return [event.words for event in self.events if isinstance(event, DeviceState)][-1]

    def inputs(self, lane: str) -> dict[str, bool]:
        """Every input of a lane as last heard."""
        return {str(e.input): e.is_active for e in self.events if isinstance(e, InputSeen) and e.lane == lane}

    def opens(self, lane: str) -> int | None:
        heard = [event.opens for event in self.events if isinstance(event, RelayCounted) and event.lane == lane]
        return heard[-1] if heard else None


class LiveBoard:
    """The released image in simavr, in real time. Commands are obeyed at once; pins are noted as they move."""

    def __init__(self, kind: str = "avr") -> None:
        self._process = subprocess.Popen(
            [*bench_command(kind), "--pty"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port = ""
        self.moved: list[Moved] = []
        self.done = 0
        """Commands that were answered."""
        self.now_us = 0
        """The board's own time at the last answer."""
        self._said = 0
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        wait_for(lambda: bool(self.port), "the board's port")
        for number in (Input.SAFETY, Input.FIRE):
            self.do(f"line {int(number)} {FREE}")
        self.do(f"contact 0 {int(Input.TAMPER)} 1")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            words = line.split()
            if words[0] == "pty":
                self.port = words[1]
            elif words[0] == "relay":
                self.moved.append(Moved(int(words[1]), Relay(int(words[2])), words[3] == "1", int(words[4])))
            elif words[0] in ("ok", "no"):
                self.now_us = int(words[1]) if words[0] == "ok" else self.now_us
                self.done += 1

    def do(self, command: str) -> None:
        """One command, obeyed when this returns."""
        assert self._process.stdin is not None
        self._said += 1
        self._process.stdin.write(command + "\n")
        wait_for(lambda: self.done == self._said, f"an answer to {command}")

    def pass_ms(self, ms: int) -> None:
        """Let the board live through so much of its own time."""
        self.do(f"step {ms * 1000}")

    def closed(self, channel: int) -> set[Relay]:
        """Relays whose pins are high."""
        state = {move.relay: move.is_closed for move in self.moved if move.channel == channel}
        return {relay for relay, is_closed in state.items() if is_closed}
