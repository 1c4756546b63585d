"""A serial port that one thread owns: opened, read, lost and opened again, with a word to the sink at each change."""

import os
import termios
import threading
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import serial

from gatectl.drivers.noise import NoiseWatch
from gatectl.drivers.ports import Clock, DeviceState, Sink
from gatectl.errors import ContractError, LinkError

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_WRITE_TIMEOUT_S = 0.25
_STOP_S = 2.0


Parity = Literal["none", "even", "odd"]


class SerialLine(Protocol):
    """What we use of a pyserial port; its own stubs leave out what URL ports have."""

    @property
    def in_waiting(self) -> int:
        """Bytes that a read would return at once."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer, or none, when the timeout comes first."""

    def write(self, data: bytes) -> int | None:
        """Write all of it; an OSError when the port does not take it in time."""

    def __enter__(self) -> Self:
        """The open port."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Closed."""


def open_serial(port: str, baud: int, read_timeout_s: float, parity: Parity = "none") -> SerialLine:
    """Open a device path or `socket://host:port`, 8 data bits, 1 stop bit. Raises LinkError with words."""
    try:
        line: Any = serial.serial_for_url(
            port,
            baudrate=baud,
            parity=parity[0].upper(),
            timeout=read_timeout_s,
            write_timeout=_WRITE_TIMEOUT_S,
            do_not_open=True,
        )
        line.dtr = False  # an Arduino resets when DTR is asserted
        if "://" not in port:
            line.exclusive = True
        line.open()
        opened: SerialLine = line
    except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError
        raise LinkError(f"{port} cannot be opened: {_why(error, port)}") from error
    return opened


def _why(error: Exception, port: str) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return {
        2: "there is no such port: is the cable plugged in?",
        11: "another program has it open",
        13: "permission denied: add the service's user to the group dialout",
        16: "another program has it open",
    }.get(number or 0, str(error).removeprefix(f"could not open port {port}: "))


class SerialDevice(ABC):
    """Base of the drivers on a serial port. Subclasses say what to do with an open port and its bytes."""

    def __init__(
        self, name: str, port: str, baud: int, clock: Clock, read_timeout_s: float, parity: Parity = "none"
    ) -> None:
        self.name = name
        self.counters: dict[str, int] = {"times_lost": 0}
        self._port = port
        self._baud = baud
        self._parity = parity
        self._clock = clock
        self._read_timeout_s = read_timeout_s
        self._line: SerialLine | None = None
        self._sink: Sink | None = None
        self._told: bool | None = None
        self._noise = NoiseWatch()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._beat_ns = time.monotonic_ns()

    # --- Device ---

    def start(self, sink: Sink) -> None:
        """Start the device's thread; everything it hears goes to `sink`."""
        self._sink = sink
        self._thread.start()

    def stop(self) -> None:
        """Stop within 2 s and release the port. Safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_STOP_S)

    def beat_ns(self) -> int:
        """Monotonic ns of the thread's last turn."""
        return self._beat_ns

    # --- what subclasses do, on the device's thread ---

    @abstractmethod
    def _opened(self) -> None:
        """The port was opened."""

    @abstractmethod
    def _heard(self, data: bytes) -> None:
        """One turn: bytes came, or (empty) the read timed out."""

    # --- the thread ---

    @property
    def _out(self) -> Sink:
        if self._sink is None:
            raise ContractError(f"{self.name} was not started")
        return self._sink

    def _say(self, is_ok: bool, words: str, *, is_news: bool = False) -> None:
        """Tell the device's state once a change; `is_news` tells other words for the same state."""
        if self._told != is_ok or is_news:
            self._told = is_ok
            self.counters["times_lost"] += not is_ok and not is_news
            self._out(DeviceState(self.name, is_ok, words, self._clock.tick_ns()))

    def _judge(self, noise_bytes: int, good_frames: int) -> None:
        """Readers tell what a turn brought, which may be nothing; noise without cards is told once, and its end."""
        if not self._noise.note(noise_bytes, good_frames, time.monotonic_ns()):
            return
        if self._noise.is_bad:
            self.counters["times_noisy"] = self.counters.get("times_noisy", 0) + 1
            words = f"{self._port} brings noise: is {self._baud} baud right, the cable whole, the shield grounded?"
            self._say(False, words)
            return
        self._say(True, f"reading {self._port} again; the noise is over")

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stopping.is_set():
            self._beat_ns = time.monotonic_ns()
            opened_ns = None
            try:
                with open_serial(self._port, self._baud, self._read_timeout_s, self._parity) as line:
                    opened_ns = time.monotonic_ns()
                    self._noise = NoiseWatch()
                    self._line = line
                    self._opened()
                    self._serve(line)
            except LinkError as error:
                self._say(False, str(error))
            except (OSError, TypeError, termios.error) as error:  # TypeError: pyserial, pulled within a read
                self._say(False, f"{self._port} was lost: {_why_lost(error)}")
            finally:
                self._line = None
            lived_s = 0 if opened_ns is None else (time.monotonic_ns() - opened_ns) / 1e9
            wait_s = _FIRST_WAIT_S if lived_s > _LONGEST_WAIT_S else min(wait_s * 2, _LONGEST_WAIT_S)
            self._stopping.wait(wait_s)

    def _serve(self, line: SerialLine) -> None:
        while not self._stopping.is_set():
            self._beat_ns = time.monotonic_ns()
            data = line.read(1)
            if data and (more := line.in_waiting):
                data += line.read(more)
            self._heard(data)


def _why_lost(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "the device was unplugged"
