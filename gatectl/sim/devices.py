"""Simulated serial devices: a pty pair that a driver opens like any port, and a card reader on one."""

import os
import pty
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

_READ_BYTES = 4096
_STX, _ETX = b"\x02", b"\x03"


class Pty:
    """A raw pty pair; `path` is the side that a driver opens. `link` makes it a path of your choice (as udev does)."""

    def __init__(self, link: Path | None = None) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.dropped_bytes = 0
        """Bytes that nobody was there to read."""
        self._link = link
        self.path = os.ttyname(self._slave)
        """What to write into a config as the port."""
        if link is not None:
            link.unlink(missing_ok=True)
            link.symlink_to(self.path)
            self.path = str(link)

    def fileno(self) -> int:
        """For a selector: readable when the driver wrote."""
        return self._master

    @property
    def is_open(self) -> bool:
        """False after `close`."""
        return self._master >= 0

    def write(self, data: bytes) -> None:
        """Send to the driver; never blocks. What does not fit the kernel's buffer is dropped and counted."""
        try:
            sent = os.write(self._master, data)
        except BlockingIOError:
            sent = 0
        self.dropped_bytes += len(data) - sent

    def read_available(self) -> bytes:
        """What the driver wrote; empty when nothing is there. Never blocks."""
        try:
            return os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Pull the plug: the driver's side fails. Safe to call twice."""
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link = None
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def rdm6300_frame(card_hex10: str) -> bytes:
    """STX, ten hex digits, two of checksum (XOR of the five bytes), ETX (PROTOCOLS 1). Raises ValueError."""
    raw = bytes.fromhex(card_hex10)
    if len(raw) != 5:
        raise ValueError(f"an EM4100 card has ten hex digits: {card_hex10!r}")
    checksum = 0
    for byte in raw:
        checksum ^= byte
    return _STX + f"{raw.hex().upper()}{checksum:02X}".encode() + _ETX


class SimReader:
    """An RDM6300 on a pty. A tap is a few frames, as while a card lies in the field for a moment."""

    def __init__(self, line: Pty, frames_a_tap: int = 3) -> None:
        self._line = line
        self._frames_a_tap = frames_a_tap

    def tap(self, card_hex10: str) -> None:
        """Hold a card to the reader."""
        self._line.write(rdm6300_frame(card_hex10) * self._frames_a_tap)

    def tap_half(self, card_hex10: str, kept_bytes: int = 7) -> None:
        """A card pulled away in the middle of its only frame."""
        self._line.write(rdm6300_frame(card_hex10)[:kept_bytes])

    def babble(self, noise: bytes) -> None:
        """Anything a bad cable may bring."""
        self._line.write(noise)

    def close(self) -> None:
        """Unplug the reader."""
        self._line.close()
