"""Readers whose frames are declared in a file (PROTOCOLS 4): no code a reader."""

import time
from dataclasses import dataclass

from gatectl.core.cards import number_key, wiegand_key
from gatectl.core.codes import is_code
from gatectl.core.model import CredentialKey
from gatectl.drivers.framing import Card, Framer, Framing, poll_bytes
from gatectl.drivers.ports import CardPresented, Clock, CodeTyped, PassShown
from gatectl.drivers.serial_port import SerialDevice
from gatectl.drivers.taps import TapFilter

_READ_TIMEOUT_S = 0.1
_POLL_TURN_S = 0.01
MIN_TEXT = 16
"""A shorter text that is no code is no pass either: noise."""
SILENT_AFTER_NS = 3_000_000_000
"""A polled reader that answers nothing for this long is away."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a frame says: a card, a text, or (neither) that there is none."""

    key: CredentialKey | None = None
    text: str = ""


def what_is_shown(card: Card, frame: bytes) -> Shown:
    """Take the card out of a checked frame. Raises ValueError with words (never with the digits)."""
    raw = frame[card.first : card.last]
    if card.written == "text":
        text = raw.decode("ascii").strip()
        if not is_code(text) and len(text) < MIN_TEXT:
            raise ValueError("a text too short for a pass")
        return Shown(text=text)
    if card.written == "hex":
        raw = bytes.fromhex(raw.decode("ascii"))
    elif card.written == "decimal":
        digits = raw.decode("ascii").strip()
        if not (digits.isascii() and digits.isdigit() and int(digits) <= 0xFFFFFFFF):
            raise ValueError("no decimal number of up to 32 bits where one was declared")
        raw = int(digits).to_bytes(4, "big")
    if raw in (bytes.fromhex(none) for none in card.none):
        return Shown()
    if card.reversed:
        raw = raw[::-1]
    if card.form == "number" or card.form == "em4100":
        return Shown(number_key(raw))
    bits = "".join(f"{byte:08b}" for byte in raw)
    size = {"w26": 26, "w34": 34}.get(card.form, 37)
    return Shown(wiegand_key(card.form, bits[:size]))


class FramedSerial(SerialDevice):
    """A declared reader on a port of its own; one that only answers is polled."""

    def __init__(
        self, name: str, port: str, framing: Framing, clock: Clock, *, address: int = 0, repeat_s: float = 2.0
    ) -> None:
        turn_s = _READ_TIMEOUT_S if framing.poll is None else _POLL_TURN_S
        super().__init__(name, port, framing.baud, clock, min(turn_s, framing.idle_gap_ms / 1000), framing.parity)
        self.counters |= {"taps": 0, "repeats": 0, "noise_bytes": 0, "bad_frames": 0, "bad_cards": 0, "times_noisy": 0}
        self.counters |= {"polls": 0, "unanswered": 0} if framing.poll is not None else {}
        self._framing = framing
        self._address = address
        self._poll = poll_bytes(framing.poll.frame, address) if framing.poll is not None else b""
        self._taps = TapFilter(repeat_s)
        self._framer = Framer(framing, address)
        self._heard_ns = self._polled_ns = self._answered_ns = 0
        self._is_waiting = False
        self._echo = b""

    def _opened(self) -> None:
        self._framer = Framer(self._framing, self._address)
        self._heard_ns = self._answered_ns = time.monotonic_ns()
        self._polled_ns, self._is_waiting, self._echo = 0, False, b""
        if not self._poll:
            self._say(True, f"reading {self._port}")

    def _heard(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        noise, bad = self._framer.noise_bytes, self._framer.bad_frames
        data = self._without_echo(data)
        if data:
            found = self._framer.feed(data)
            self._heard_ns = now_ns
        elif now_ns - self._heard_ns > self._framing.idle_gap_ms * 1_000_000:
            found = self._framer.idle()
        else:
            found = []
        self._judge(self._framer.noise_bytes - noise, len(found))
        self.counters["noise_bytes"] += self._framer.noise_bytes - noise
        self.counters["bad_frames"] += self._framer.bad_frames - bad
        for frame in found:
            self._take(frame)
        if self._poll:
            self._turn_of_poll(bool(found), now_ns)

    def _take(self, frame: bytes) -> None:
        tick_ns = self._clock.tick_ns()
        try:
            shown = what_is_shown(self._framing.card, frame)
        except ValueError:
            self.counters["bad_cards"] += 1
            return
        key = shown.key if shown.key is not None else CredentialKey(shown.text)
        if not key:
            return
        if not self._taps.is_new(key, tick_ns):
            self.counters["repeats"] = self._taps.repeats
            return
        self.counters["taps"] += 1
        if shown.key is not None:
            self._out(CardPresented(self.name, shown.key, tick_ns))
        elif is_code(shown.text):
            self._out(CodeTyped(self.name, shown.text, tick_ns))
        else:
            self._out(PassShown(self.name, shown.text, tick_ns))

    def _without_echo(self, data: bytes) -> bytes:
        """Some adapters hear themselves: our own poll, right after it was sent, is no answer."""
        if not self._echo or not data:
            return data
        same = 0
        while same < min(len(data), len(self._echo)) and data[same] == self._echo[same]:
            same += 1
        if same < min(len(data), len(self._echo)):
            self._echo = b""
            return data
        self._echo = self._echo[same:]
        return data[same:]

    def _turn_of_poll(self, is_answered: bool, now_ns: int) -> None:
        """Ask again once the answer, or its time, has come."""
        poll, line = self._framing.poll, self._line
        if poll is None or line is None:
            return
        if is_answered:
            self._answered_ns, self._is_waiting = now_ns, False
            if not self._noise.is_bad:
                self._say(True, f"{self._port}: the reader answers")
        elif now_ns - self._answered_ns > SILENT_AFTER_NS:
            self._say(False, f"{self._port}: the reader does not answer; look at power, wires A and B, and address")
        since_ms = (now_ns - self._polled_ns) / 1e6
        if self._is_waiting and since_ms > poll.timeout_ms:
            self._is_waiting = False
            self.counters["unanswered"] += 1
        if not self._is_waiting and since_ms >= poll.interval_ms:
            line.write(self._poll)
            self.counters["polls"] += 1
            self._polled_ns, self._is_waiting, self._echo = now_ns, True, self._poll
