"""QR scanners on a serial port: one line of text for each code that is shown, ended by CR or LF."""

from gatectl.core.codes import is_code
from gatectl.drivers.ports import Clock, CodeTyped, PassShown
from gatectl.drivers.serial_port import SerialDevice

BAUD = 9600
"""The common default of serial scanners; set the scanner to it."""
MAX_LINE_BYTES = 400
"""A longer line is no pass of ours: it is dropped up to its end."""
_READ_TIMEOUT_S = 0.1
_ENDS = frozenset(b"\r\n")


class LineParser:
    """Printable ASCII lines, sans-I/O. A line with other bytes in it, or a too long one, is noise."""

    def __init__(self) -> None:
        self.noise_lines = 0
        self.noise_bytes = 0
        """Bytes that belonged to no good line."""
        self._line = bytearray()
        self._is_noise = False

    def feed(self, data: bytes) -> list[str]:
        """The complete lines; never raises."""
        found = []
        for byte in data:
            if byte in _ENDS:
                if self._is_noise:
                    self.noise_lines += 1
                elif self._line:
                    found.append(self._line.decode("ascii"))
                self._line, self._is_noise = bytearray(), False
            elif self._is_noise or not 0x20 <= byte < 0x7F or len(self._line) == MAX_LINE_BYTES:
                self.noise_bytes += len(self._line) + 1
                self._line, self._is_noise = bytearray(), True
            else:
                self._line.append(byte)
        return found


class QrSerial(SerialDevice):
    """A scanner on a port of its own. The same text again within `repeat_s` is the same showing."""

    def __init__(self, name: str, port: str, repeat_s: float, clock: Clock) -> None:
        super().__init__(name, port, BAUD, clock, _READ_TIMEOUT_S)
        self.counters |= {"shown": 0, "repeats": 0, "noise_lines": 0, "times_noisy": 0}
        self._repeat_ns = int(repeat_s * 1e9)
        self._last = ("", 0)
        self._parser = LineParser()

    def _opened(self) -> None:
        self._parser = LineParser()
        self._say(True, f"reading {self._port}")

    def _heard(self, data: bytes) -> None:
        tick_ns = self._clock.tick_ns()
        before, noise_before = self._parser.noise_lines, self._parser.noise_bytes
        lines = self._parser.feed(data)
        self._judge(self._parser.noise_bytes - noise_before, len(lines))
        for text in lines:
            (last, last_ns), self._last = self._last, (text, tick_ns)
            if text == last and tick_ns - last_ns < self._repeat_ns:
                self.counters["repeats"] += 1
                continue
            self.counters["shown"] += 1
            self._out(CodeTyped(self.name, text, tick_ns) if is_code(text) else PassShown(self.name, text, tick_ns))
        self.counters["noise_lines"] += self._parser.noise_lines - before
