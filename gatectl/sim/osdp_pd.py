"""An OSDP reader in a process of its own, on libosdp's PD role: `python -m gatectl.sim.osdp_pd PORT --key HEX`.

Orders come as lines on stdin: `card 26 B1F1C0C0` (bits, bytes in hex), `keys 1234#`, `quit`. What happens is told as
JSON lines on stdout: `{"online": …, "secure": …}` at each change, `{"command": …}` for lamps, buzzer, text and keys.
Without `--key` the reader is as it leaves the factory: it takes SCBK-D, and the first key that it is given.
"""

import argparse
import contextlib
import json
import os
import selectors
import sys
import termios
import tty
from collections.abc import Mapping
from typing import Any

import osdp_sys  # type: ignore[import-not-found,import-untyped,unused-ignore]

_TURN_S = 0.002
_KEYS = {"#": 0x0D, "*": 0x7F}
CAPABILITIES: Mapping[int, tuple[int, int]] = {
    osdp_sys.CAP_CONTACT_STATUS_MONITORING: (1, 1),
    osdp_sys.CAP_READER_LED_CONTROL: (1, 1),
    osdp_sys.CAP_READER_AUDIBLE_OUTPUT: (1, 1),
    osdp_sys.CAP_READER_TEXT_OUTPUT: (1, 1),
    osdp_sys.CAP_COMMUNICATION_SECURITY: (1, 1),
}


class _Wire:
    """The port, as libosdp wants it."""

    id = 0

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, most: int) -> bytes:
        """What has come; nothing when nothing has."""
        try:
            return os.read(self._descriptor, most)
        except OSError:  # nothing there, or pulled
            return b""

    def write(self, data: bytes) -> int:
        """Send a packet."""
        try:
            return os.write(self._descriptor, data)
        except OSError:
            return 0

    def flush(self) -> None:
        """Nothing is kept here."""


def _say(**fields: Any) -> None:
    text = json.dumps(fields, default=lambda value: value.hex() if isinstance(value, bytes) else str(value))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Reader:
    """One simulated reader. Turn it at least each 50 ms."""

    def __init__(self, port: str, address: int, key: bytes | None, serial_number: int, without: frozenset[int]) -> None:
        self.descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        with contextlib.suppress(termios.error):
            tty.setraw(self.descriptor)
        info = {
            "name": f"reader-{address}",
            "address": address,
            "flags": 0 if key is not None else osdp_sys.FLAG_INSTALL_MODE,
            "scbk": key,
            "channel": _Wire(self.descriptor),
            "version": 1,
            "model": 1,
            "vendor_code": 0x00A0B1,
            "serial_number": serial_number,
            "firmware_version": 0x010203,
        }
        capabilities = [
            {"function_code": code, "compliance_level": level, "num_items": items}
            for code, (level, items) in CAPABILITIES.items()
            if code not in without
        ]
        osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)
        self._device = osdp_sys.PeripheralDevice(info, capabilities=capabilities)
        self._device.set_command_callback(self._obey)
        self._told: tuple[bool, bool] | None = None

    def turn(self) -> None:
        """Answer what came; tell a change."""
        self._device.refresh()
        state = (bool(self._device.is_online()), bool(self._device.is_sc_active()))
        if state != self._told:
            self._told = state
            _say(online=state[0], secure=state[1])

    def order(self, line: str) -> bool:
        """Do what a line says; False when it says to end. Raises ValueError for a line that says nothing."""
        word, _, rest = line.strip().partition(" ")
        if word == "quit":
            return False
        if word == "card":
            bits, _, data = rest.partition(" ")
            card = {"format": osdp_sys.CARD_FMT_RAW_WIEGAND, "direction": 0, "length": int(bits)}
            self._submit(osdp_sys.EVENT_CARDREAD, **card, data=bytes.fromhex(data))
        elif word == "keys":
            self._submit(osdp_sys.EVENT_KEYPRESS, data=bytes(_KEYS.get(key, ord(key)) for key in rest))
        else:
            raise ValueError(f"no such order: {word!r}")
        return True

    def _submit(self, event: int, **fields: Any) -> None:
        self._device.submit_event({"event": event, "reader_no": 0, **fields})

    @staticmethod
    def _obey(command: Mapping[str, Any]) -> tuple[int, None]:
        shown = {key: value for key, value in command.items() if command["command"] != osdp_sys.CMD_KEYSET}
        _say(command=shown or {"command": osdp_sys.CMD_KEYSET})
        return 0, None


def main(arguments: list[str] | None = None) -> int:
    """Be a reader until told to quit, or until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m gatectl.sim.osdp_pd")
    parser.add_argument("port")
    parser.add_argument("--address", type=int, default=1)
    parser.add_argument("--key", default="", help="32 hex digits; without: install mode")
    parser.add_argument("--serial", type=int, default=7)
    parser.add_argument("--without", type=int, nargs="*", default=[], help="capability codes to leave out")
    options = parser.parse_args(arguments)
    key = bytes.fromhex(options.key) if options.key else None
    reader = Reader(options.port, options.address, key, options.serial, frozenset(options.without))
    selector = selectors.DefaultSelector()
    orders = sys.stdin.fileno()
    selector.register(orders, selectors.EVENT_READ)
    heard = b""
    selector.register(reader.descriptor, selectors.EVENT_READ)
    while True:
        reader.turn()
        if all(found.fileobj != orders for found, _ in selector.select(_TURN_S)):
            continue
        if not (data := os.read(orders, 4096)):
            return 0
        *lines, heard = (heard + data).split(b"\n")
        if not all(reader.order(line.decode()) for line in lines):
            return 0


if __name__ == "__main__":
    raise SystemExit(main())
