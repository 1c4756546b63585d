"""An RS-485 bus on a desk: the gate's end, readers in processes of their own, and a man in the middle of the wire."""

import json
import os
import pty
import selectors
import subprocess
import sys
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stand import Ear, TestClock, wait_for

from gatectl.core.model import LaneId
from gatectl.drivers.osdp_files import osdp_folder
from gatectl.drivers.osdp_keys import key_path, new_key, store_key
from gatectl.drivers.osdp_reader import OsdpBus, OsdpReader
from gatectl.drivers.ports import CodeTyped

LONG_S = 30.0
"""For what takes a second on an idle machine."""
W26_BITS = "10110001111100011100000011"
W26_KEY = "w26:99:58241"
W26_HEX = "B1F1C0C0"
Rewrite = Callable[[bytes], bytes]


class Bus:
    """Ptys joined by a thread: what the gate sends reaches every reader, what a reader sends reaches the gate."""

    def __init__(self, readers: int = 1) -> None:
        self.captured = bytearray()
        self.rewrite: Rewrite = lambda data: data
        """What the man in the middle makes of the readers' packets."""
        self.is_cut = False
        self._pairs = [pty.openpty() for _ in range(readers + 1)]
        for _, slave in self._pairs:
            tty.setraw(slave)
        self.gate_port = os.ttyname(self._pairs[0][1])
        self.reader_ports = [os.ttyname(slave) for _, slave in self._pairs[1:]]
        self._selector = selectors.DefaultSelector()
        for master, _ in self._pairs:
            self._selector.register(master, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                self._carry()

    def _carry(self) -> None:
        gate, *readers = (master for master, _ in self._pairs)
        for found, _ in self._selector.select(0.02):
            data = os.read(found.fd, 4096)
            if self.is_cut:
                continue
            self.captured += data
            if found.fd == gate:
                for reader in readers:
                    os.write(reader, data)
            elif gate >= 0:
                os.write(gate, self.rewrite(data))

    def pull(self) -> None:
        """Pull the gate's adapter out of its socket."""
        with self._lock:
            self._selector.unregister(self._pairs[0][0])
            for descriptor in self._pairs[0]:
                os.close(descriptor)
            self._pairs[0] = (-1, -1)

    def put_back(self) -> str:
        """Put the adapter back; it may have got another number. Its path."""
        with self._lock:
            self._pairs[0] = pty.openpty()
            tty.setraw(self._pairs[0][1])
            self._selector.register(self._pairs[0][0], selectors.EVENT_READ)
            return os.ttyname(self._pairs[0][1])

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(5)
        self._selector.close()
        for descriptor in (descriptor for pair in self._pairs for descriptor in pair if descriptor >= 0):
            os.close(descriptor)


class Device:
    """A reader in a process of its own."""

    def __init__(self, port: str, key: bytes | None, address: int = 1, serial: int = 7, *, without: str = "") -> None:
        command = [sys.executable, "-P", "-m", "gatectl.sim.osdp_pd", port, "--address", str(address)]
        command += ["--serial", str(serial)]
        command += ["--key", key.hex()] if key is not None else []
        command += ["--without", *without.split()] if without else []
        self.told: list[dict[str, Any]] = []
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        wait_for(lambda: bool(self.told), "the reader runs", LONG_S)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told.append(json.loads(line))

    def order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    @property
    def is_secure(self) -> bool:
        states = [told for told in self.told if "secure" in told]
        return bool(states and states[-1]["secure"])

    def commands(self, kind: int) -> list[dict[str, Any]]:
        return [told["command"] for told in self.told if told.get("command", {}).get("command") == kind]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._thread.join(10)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


class Stand:
    """A gate with OSDP readers, switched on when told."""

    def __init__(self, tmp_path: Path, readers: int = 1, **spec: Any) -> None:
        self.folder = osdp_folder(tmp_path)
        self.bus = Bus(readers)
        self.ear = Ear()
        self.names = [f"post-{number}" for number in range(1, readers + 1)]
        self.keys = [new_key() for _ in self.names]
        for name, key in zip(self.names, self.keys, strict=True):
            store_key(key_path(self.folder, name), key)
        specs = tuple(
            OsdpReader(name, LaneId(f"lane-{number}"), number, **spec) for number, name in enumerate(self.names, 1)
        )
        self.driver = OsdpBus(self.bus.gate_port, 115200, specs, self.folder, TestClock())
        self.devices: list[Device] = []
        self._is_on = False

    def device(self, key: bytes | None, number: int = 1, **changes: Any) -> Device:
        made = Device(self.bus.reader_ports[number - 1], key, number, **changes)
        self.devices.append(made)
        return made

    def on(self) -> None:
        self._is_on = True
        self.driver.start(self.ear)

    def ok(self, name: str = "post-1") -> bool | None:
        states = [state.is_ok for state in self.ear.states if state.device == name]
        return states[-1] if states else None

    def words(self, name: str = "post-1") -> str:
        states = [state.words for state in self.ear.states if state.device == name]
        return states[-1] if states else ""

    @property
    def typed(self) -> list[str]:
        return [event.digits for event in self.ear.events if isinstance(event, CodeTyped)]

    def tap_until_read(self, device: Device, reader: str) -> None:
        """A person holds the card there again until the post beeps."""
        before = len(self.cards(reader))
        device.order(f"card 26 {W26_HEX}")
        wait_for(lambda: len(self.cards(reader)) > before, f"{reader} read the card", LONG_S)

    def cards(self, reader: str) -> list[str]:
        return [card.key for card in self.ear.cards if card.reader == reader]

    def wait_ok(self, is_ok: bool, what: str, name: str = "post-1") -> None:
        wait_for(lambda: self.ok(name) is is_ok, f"{what} (last: {self.words(name)!r})", LONG_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_on:
            self.driver.stop()
        for device in self.devices:
            device.kill()
        self.bus.close()
