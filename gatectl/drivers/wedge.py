"""USB readers of the office desk that type a card's number like a keyboard and end it with Enter (evdev).

Read from the kernel's event device itself and grabbed, so that the number is typed into no window. The events are 24
bytes each on 64-bit Linux (`struct input_event`); a library for them would have to be compiled on every machine.
"""

import contextlib
import fcntl
import os
import select
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gatectl.errors import LinkError

EVENT = struct.Struct("qqHHi")
"""Seconds, microseconds, type, code, value (linux/input.h)."""
_EV_KEY = 1
_PRESSED = 1
_EVIOCGRAB = 0x40044590
"""_IOW('E', 0x90, int) (linux/input.h)."""
_SHIFTS = frozenset({42, 54})
_ENDS = frozenset({28, 96, 15})
"""Enter, the keypad's Enter, Tab."""
_KEYS: Mapping[int, tuple[str, str]] = {
    # linux/input-event-codes.h, on the US layout that such readers assume: plain, with Shift
    **{2 + place: pair for place, pair in enumerate(zip("1234567890-=", "!@#$%^&*()_+", strict=True))},
    **{16 + place: (letter, letter.upper()) for place, letter in enumerate("qwertyuiop")},
    **{30 + place: (letter, letter.upper()) for place, letter in enumerate("asdfghjkl")},
    **{44 + place: (letter, letter.upper()) for place, letter in enumerate("zxcvbnm")},
    **{71 + place: (digit, digit) for place, digit in enumerate("789-456+1230.")},
    39: (";", ":"),
    51: (",", "<"),
    52: (".", ">"),
    53: ("/", "?"),
    57: (" ", " "),
}
MAX_TEXT = 400
"""A longer line is dropped: a cat, or a QR code that is none of ours."""


class WedgeParser:
    """Sans-I/O: the kernel's event bytes in, whole lines out. Never raises."""

    def __init__(self) -> None:
        self._kept = b""
        self._text = ""
        self._is_too_long = False
        self._shifts: set[int] = set()

    def feed(self, data: bytes) -> list[str]:
        """The lines that ended."""
        self._kept += data
        whole = len(self._kept) - len(self._kept) % EVENT.size
        events, self._kept = self._kept[:whole], self._kept[whole:]
        found = []
        for _, _, kind, code, value in EVENT.iter_unpack(events):
            if kind != _EV_KEY:
                continue
            if code in _SHIFTS:
                self._shifts.add(code) if value else self._shifts.discard(code)
            elif value == _PRESSED:
                found += self._press(code)
        return found

    def _press(self, code: int) -> list[str]:
        if code in _ENDS:
            line = [self._text] if self._text and not self._is_too_long else []
            self._text, self._is_too_long = "", False
            return line
        if code in _KEYS:
            self._is_too_long |= len(self._text) >= MAX_TEXT
            self._text += "" if self._is_too_long else _KEYS[code][bool(self._shifts)]
        return []


def _grab(descriptor: int) -> None:
    fcntl.ioctl(descriptor, _EVIOCGRAB, 1)


def read_wedge(device: Path, timeout_s: float, grab: Callable[[int], None] = _grab) -> str:
    """Wait for one line from the device. Raises LinkError when none comes in time, or others hear the device too."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        hint = {2: "there is no such device", 13: "permission denied: add yourself to the group input"}
        raise LinkError(f"{device}: {hint.get(error.errno or 0, error.strerror)}") from error
    try:
        try:
            grab(descriptor)
        except OSError as error:
            raise LinkError(f"{device} is no keyboard device, or another program has grabbed it") from error
        return _first_line(descriptor, device, timeout_s)
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _first_line(descriptor: int, device: Path, timeout_s: float) -> str:
    parser = WedgeParser()
    ends_s = time.monotonic() + timeout_s
    while (left_s := ends_s - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left_s)[0]:
            break
        try:
            data = os.read(descriptor, 64 * EVENT.size)
        except OSError as error:
            raise LinkError(f"{device} was unplugged") from error
        if not data:
            raise LinkError(f"{device} has ended")
        if lines := parser.feed(data):
            return lines[0]
    raise LinkError(f"{device}: no card within {timeout_s:.0f} s")
