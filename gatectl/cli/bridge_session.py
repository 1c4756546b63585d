"""A short session with a bridge, for the installer's commands: greet it, ask it, let go. One thread, no daemon."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gatectl.drivers.serial_port import SerialLine, open_serial
from gatectl.errors import LinkError
from gatectl.wire.bridge import Link, LinkState
from gatectl.wire.bridge_ids import (
    BAUD,
    Alive,
    BridgeMessage,
    Fault,
    FaultCode,
    Input,
    InputEdge,
    InputSnapshot,
    Outcome,
    Pulse,
    PulseResult,
    Relay,
    RelayCount,
    Welcome,
)

GREETING_S = 3.0
"""A bridge that boots when its port opens answers within 2 s."""
ANSWER_S = 1.0
_READ_TIMEOUT_S = 0.02


@dataclass(slots=True)
class Channel:
    """One lane as the bridge reports it."""

    wired: frozenset[Input] = frozenset()
    active: frozenset[Input] = frozenset()
    opens: int = 0
    local_opens: int = 0


@dataclass(slots=True)
class Report:
    """What a bridge says of itself."""

    welcome: Welcome
    uptime_ms: int = 0
    channels: dict[int, Channel] = field(default_factory=dict)
    faults: set[tuple[int, FaultCode]] = field(default_factory=set)

    def note(self, message: BridgeMessage) -> None:
        """Take in what the bridge told."""
        if isinstance(message, Alive):
            self.uptime_ms = message.uptime_ms
        elif isinstance(message, InputSnapshot):
            lane = self.channels.setdefault(message.channel, Channel())
            lane.wired = frozenset(number for number in Input if message.wired >> number & 1)
            lane.active = frozenset(number for number in Input if message.active >> number & 1)
        elif isinstance(message, InputEdge):
            lane = self.channels.setdefault(message.channel, Channel())
            lane.active = lane.active | {message.input} if message.is_active else lane.active - {message.input}
        elif isinstance(message, RelayCount):
            lane = self.channels.setdefault(message.channel, Channel())
            lane.opens, lane.local_opens = message.opens, message.local_opens
        elif isinstance(message, Fault):
            (self.faults.add if message.is_active else self.faults.discard)((message.channel, message.code))


class BridgeSession:
    """An open port and the link on it. Every method raises LinkError when the bridge does not answer in time."""

    def __init__(self, line: SerialLine, port: str) -> None:
        self._line = line
        self._port = port
        self._link = Link(secrets.randbelow(0xFFFF))
        self._results: list[PulseResult] = []
        self._welcome: Welcome | None = None
        self._report: Report | None = None

    def greet(self) -> Welcome:
        """The bridge's first words; also of one that speaks another schema."""
        self._link.start(time.monotonic_ns())
        self._turn_until(lambda: self._welcome is not None, GREETING_S)
        if self._welcome is None:
            raise LinkError(f"{self._port}: no bridge answers; is it powered, is TX on RX, is this the right port?")
        self._report = Report(self._welcome)
        return self._welcome

    @property
    def is_ready(self) -> bool:
        """Both ends speak the same schema."""
        return self._link.state is LinkState.READY

    @property
    def words(self) -> str:
        """How the link stands."""
        return self._link.words

    def report(self) -> Report:
        """Everything that a snapshot tells, waited for; `greet` comes first."""
        if self._report is None:
            raise LinkError(f"{self._port}: the bridge was not greeted")
        report = self._report
        self._link.request_snapshot()
        self._turn_until(lambda: False, ANSWER_S)
        if not report.channels:
            raise LinkError(f"{self._port}: the bridge greets, but reports nothing")
        return report

    def feed(self) -> None:
        """One heartbeat: for the next second the bridge obeys."""
        self._link.heartbeat()
        self._turn_until(lambda: False, 0.1)

    def order(self, channel: int, relay: Relay, pulse_ms: int) -> Outcome:
        """A pulse past the host's own checks, and what the bridge made of it."""
        known = len(self._results)
        self._link.send(Pulse(channel, relay, pulse_ms))
        self._turn_until(lambda: len(self._results) > known, ANSWER_S)
        if len(self._results) == known:
            raise LinkError(f"{self._port}: the bridge does not say what became of an order")
        return self._results[-1].outcome

    def _turn_until(self, is_done: Callable[[], bool], limit_s: float) -> None:
        ends = time.monotonic() + limit_s
        while not is_done() and time.monotonic() < ends:
            self._link.tick(time.monotonic_ns())
            try:
                out = self._link.to_write()
                if out:
                    self._line.write(out)
                data = self._line.read(1)
                if data and (more := self._line.in_waiting):
                    data += self._line.read(more)
            except (OSError, TypeError) as error:
                raise LinkError(f"{self._port} was lost: {error}") from error
            for message in self._link.receive(data):
                self._heard(message)

    def _heard(self, message: BridgeMessage) -> None:
        if isinstance(message, Welcome):
            self._welcome = message
        elif isinstance(message, PulseResult):
            self._results.append(message)
        elif self._report is not None:
            self._report.note(message)


@contextmanager
def bridge_session(port: str) -> Iterator[BridgeSession]:
    """Open a port for a session. Raises LinkError, also while the daemon holds it."""
    with open_serial(port, BAUD, _READ_TIMEOUT_S) as line:
        yield BridgeSession(line, port)
