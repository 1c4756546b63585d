"""RDM6300-style EM4100 readers on a serial port of their own: 9600 8N1, transmit only (PROTOCOLS 1)."""

from gatectl.core.cards import EM4100_BYTES, em4100_key
from gatectl.drivers.ports import CardPresented, Clock
from gatectl.drivers.serial_port import SerialDevice
from gatectl.drivers.taps import TapFilter

BAUD = 9600
_STX, _ETX = 0x02, 0x03
HALF_FRAME_BYTES = 8
"""What a frame that did not end well counts as, in bytes of noise."""
_DIGITS = 2 * (EM4100_BYTES + 1)
_HEX = frozenset(b"0123456789ABCDEFabcdef")
_READ_TIMEOUT_S = 0.25


class Rdm6300Parser:
    """STX, ten hex digits, XOR of the five bytes as two more, ETX; sans-I/O. A frame after garbage is read."""

    def __init__(self) -> None:
        self.noise_bytes = 0
        """Bytes outside any frame."""
        self.bad_frames = 0
        """Frames begun and not ended well: halves, foreign bytes, wrong checksums."""
        self._digits: bytearray | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The five raw bytes of each complete, checked frame; never raises."""
        found = []
        for byte in data:
            if byte == _STX:  # never part of a frame's inside: whatever came before is over
                self.bad_frames += self._digits is not None
                self._digits = bytearray()
            elif self._digits is None:
                self.noise_bytes += 1
            elif byte in _HEX and len(self._digits) < _DIGITS:
                self._digits.append(byte)
            else:
                raw = self._checked(self._digits) if byte == _ETX else None
                self._digits = None
                if raw is None:
                    self.bad_frames += 1
                else:
                    found.append(raw)
        return found

    @staticmethod
    def _checked(digits: bytearray) -> bytes | None:
        if len(digits) != _DIGITS:
            return None
        *raw, checksum = bytes.fromhex(digits.decode("ascii"))
        for byte in raw:
            checksum ^= byte
        return bytes(raw) if checksum == 0 else None


class RfidSerial(SerialDevice):
    """A card reader on a port of its own."""

    def __init__(self, name: str, port: str, repeat_s: float, clock: Clock) -> None:
        super().__init__(name, port, BAUD, clock, _READ_TIMEOUT_S)
        self.counters |= {"taps": 0, "repeats": 0, "noise_bytes": 0, "bad_frames": 0, "times_noisy": 0}
        self._taps = TapFilter(repeat_s)
        self._parser = Rdm6300Parser()

    def _opened(self) -> None:
        self._parser = Rdm6300Parser()
        self._noise_before = (self.counters["noise_bytes"], self.counters["bad_frames"])
        self._say(True, f"reading {self._port}")

    def _heard(self, data: bytes) -> None:
        tick_ns = self._clock.tick_ns()
        before = self._parser.noise_bytes + HALF_FRAME_BYTES * self._parser.bad_frames
        found = self._parser.feed(data)
        self._judge(self._parser.noise_bytes + HALF_FRAME_BYTES * self._parser.bad_frames - before, len(found))
        for raw in found:
            key = em4100_key(raw)
            if self._taps.is_new(key, tick_ns):
                self.counters["taps"] += 1
                self._out(CardPresented(self.name, key, tick_ns))
        self.counters["repeats"] = self._taps.repeats
        self.counters["noise_bytes"] = self._noise_before[0] + self._parser.noise_bytes
        self.counters["bad_frames"] = self._noise_before[1] + self._parser.bad_frames
