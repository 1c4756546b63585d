"""A board under test (the shipped image in simavr, or the core on virtual pins) in emulated time, and its host."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pytest

from gatectl.wire.bridge import Link, LinkState
from gatectl.wire.bridge_ids import (
    BridgeMessage,
    CardRead,
    Fault,
    FaultCode,
    Input,
    InputEdge,
    InputSnapshot,
    KeyPressed,
    Outcome,
    PulseResult,
    Relay,
    RelayCount,
    Welcome,
)

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_bridge"
IMAGE = FIRMWARE / "release" / "gatectl-bridge-atmega328p.hex"
BUILD = FIRMWARE / "build"
HOST_BENCH_VARIABLE = "GATECTL_FIRMWARE_BENCH"
"""A bench to run instead of the sanitised host build: the mutants use it."""
_TOOLS = {
    "avr": ("gcc", "make"),
    "host": ("gcc", "make"),
    "fuzz": ("clang", "make"),
    "image": ("avr-gcc", "avr-objcopy", "avr-size", "make"),
}
_PACKAGES = "gcc make clang gcc-avr avr-libc libsimavr-dev libelf-dev"
FREE, OCCUPIED, CUT, SHORTED = 128, 170, 255, 0
"""A supervised line's voltage of 255: contact closed, contact open, wire cut, wires touching."""
MS = 1000


def require(kind: str) -> None:
    """Skip where the tools are not installed; on CI that is a failure."""
    missing = [tool for tool in _TOOLS[kind] if shutil.which(tool) is None]
    if kind == "avr" and not Path("/usr/include/simavr/sim_avr.h").exists():
        missing.append("libsimavr-dev")
    if missing:
        words = f"not installed: {', '.join(missing)} (apt-get install {_PACKAGES})"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)


def make(*targets: str) -> str:
    """Run make in firmware_bridge, one at a time however many tests ask; returns what it printed."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "-C", str(FIRMWARE), *targets], capture_output=True, text=True, check=False, timeout=170
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bench_command(kind: str) -> list[str]:
    """The bench of a board, built if need be: `avr` runs the released image, `host` the core under the sanitisers."""
    mutant = os.environ.get(HOST_BENCH_VARIABLE)
    if mutant and kind == "host":
        return [mutant]
    require(kind)
    if kind == "avr":
        make("bench")
        return [str(BUILD / "bench_avr"), str(IMAGE)]
    make("asan")
    return [str(BUILD / "asan" / "bench")]


class Moved(NamedTuple):
    """A relay's pin changed."""

    channel: int
    relay: Relay
    is_closed: bool
    us: int


@dataclass(frozen=True, slots=True)
class Lit:
    """A lamp or (channel None) the buzzer changed."""

    channel: int | None
    is_on: bool
    us: int


class Bench:
    """A bench's process: commands in, what its pins do out. Emulated time passes in `step` only."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.now_us = 0
        self.moved: list[Moved] = []
        self.lit: list[Lit] = []
        self.sent = b""
        self._store = ""
        self._untouched = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def do(self, command: str) -> None:
        """One command; what is told meanwhile is noted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        for line in self._process.stdout:
            if line.startswith("ok "):
                self.now_us = int(line[3:])
                return
            assert not line.startswith("no "), line
            self._note(line.split())
        raise AssertionError(f"the bench died of {command[:60]!r}: exit {self._process.wait(10)}")

    def _note(self, words: list[str]) -> None:
        if words[0] == "relay":
            channel, relay, is_closed, us = map(int, words[1:])
            self.moved.append(Moved(channel, Relay(relay), bool(is_closed), us))
        elif words[0] == "tx":
            self.sent += bytes.fromhex(words[1])
        elif words[0] == "lamp":
            self.lit.append(Lit(int(words[1]), words[2] == "1", int(words[3])))
        elif words[0] == "buzzer":
            self.lit.append(Lit(None, words[1] == "1", int(words[2])))
        elif words[0] == "store":
            self._store = words[1]
        elif words[0] == "untouched":
            self._untouched = int(words[1])

    def untouched_bytes(self) -> int:
        """Memory that neither data nor stack has reached since the last power cut."""
        self.do("untouched")
        return self._untouched

    def peek(self, at: int, count: int) -> bytes:
        """Bytes of the store."""
        self.do(f"peek {at} {count}")
        return bytes.fromhex(self._store)

    def contact(self, channel: int, number: Input, *, is_closed: bool) -> None:
        """Close or open a contact."""
        self.do(f"contact {channel} {int(number)} {int(is_closed)}")

    def line(self, number: Input, level: int) -> None:
        """The voltage of a supervised line."""
        self.do(f"line {int(number)} {level}")

    def card(self, reader: int, bits: str, pulse_us: int = 50, period_us: int = 1000) -> None:
        """A reader sends bits, from now on."""
        self.do(f"card {reader} {bits} {pulse_us} {period_us}")

    def closed(self, channel: int) -> set[Relay]:
        """Relays whose pins are high."""
        state: dict[Relay, bool] = {move.relay: move.is_closed for move in self.moved if move.channel == channel}
        return {relay for relay, is_closed in state.items() if is_closed}


class Rig:
    """A board with quiet wires, and (after `greet`) a host that feeds its lease."""

    def __init__(self, bench: Bench, kind: str) -> None:
        self.bench = bench
        self.kind = kind
        self.link = Link(1)
        self.heard: list[BridgeMessage] = []
        self.is_feeding = True
        self.is_host_there = False
        self._fed_us = 0
        bench.line(Input.SAFETY, FREE)
        bench.line(Input.FIRE, FREE)
        bench.contact(0, Input.TAMPER, is_closed=True)
        if kind == "host":
            bench.contact(0, Input.SAFETY_FAULT, is_closed=True)
        bench.do("step 500000")

    def greet(self) -> None:
        """A host opens the port."""
        self.is_host_there = True
        self._fed_us = 0
        self.link.start(self.bench.now_us * 1000)
        self.until(lambda: self.link.state is LinkState.READY, 700)
        self.pass_ms(60)

    def _turn(self, us: int) -> None:
        self.link.tick(self.bench.now_us * 1000)
        if self.is_feeding and self.link.state is LinkState.READY and self.bench.now_us - self._fed_us >= 250 * MS:
            self._fed_us = self.bench.now_us
            self.link.heartbeat()
        out = self.link.to_write()
        if out:
            self.bench.do(f"uart {out.hex()}")
        self.bench.do(f"step {us}")
        sent, self.bench.sent = self.bench.sent, b""
        heard = self.link.receive(sent)
        if any(isinstance(message, Welcome) for message in heard) and self.link.state is LinkState.READY:
            self.link.request_snapshot()  # as the driver does when a session begins
        self.heard += heard

    def pass_ms(self, ms: int) -> None:
        """Let time pass for both ends (for the board only, where there is no host)."""
        if not self.is_host_there:
            self.bench.do(f"step {ms * MS}")
            return
        end_us = self.bench.now_us + ms * MS
        while self.bench.now_us < end_us:
            self._turn(min(10 * MS, end_us - self.bench.now_us))

    def until(self, condition: Callable[[], bool], limit_ms: int) -> int:
        """Emulated ms until the condition holds."""
        start_us = self.bench.now_us
        while not condition():
            assert self.bench.now_us - start_us < limit_ms * MS, f"not within {limit_ms} ms"
            self.pass_ms(2)
        return (self.bench.now_us - start_us) // MS

    def say(self, message: BridgeMessage) -> None:
        """An order past the host's own checks."""
        self.link.send(message)

    def order(self, relay: Relay, pulse_ms: int = 500, channel: int = 0) -> Outcome:
        """A pulse, and what became of it."""
        before = len(self.results)
        self.link.pulse(channel, relay, pulse_ms)
        self.until(lambda: len(self.results) > before, 100)
        return self.results[-1].outcome

    @property
    def results(self) -> list[PulseResult]:
        return [message for message in self.heard if isinstance(message, PulseResult)]

    @property
    def cards(self) -> list[tuple[int, str]]:
        """(reader, bits) of every frame."""
        return [
            (read.reader, "".join(f"{byte:08b}" for byte in read.data)[: read.bits])
            for read in self.heard
            if isinstance(read, CardRead)
        ]

    @property
    def keys(self) -> list[tuple[int, str]]:
        return [(pressed.reader, chr(pressed.key)) for pressed in self.heard if isinstance(pressed, KeyPressed)]

    def edges(self, number: Input, channel: int = 0) -> list[bool]:
        return [
            edge.is_active
            for edge in self.heard
            if isinstance(edge, InputEdge) and (edge.channel, edge.input) == (channel, number)
        ]

    def faults(self, code: FaultCode, channel: int = 0) -> list[bool]:
        return [
            fault.is_active
            for fault in self.heard
            if isinstance(fault, Fault) and (fault.channel, fault.code) == (channel, code)
        ]

    def counts(self, channel: int = 0) -> tuple[int, int]:
        """(by the host, by the board itself), as last told."""
        told = [count for count in self.heard if isinstance(count, RelayCount) and count.channel == channel]
        return told[-1].opens, told[-1].local_opens

    def snapshot(self, channel: int = 0) -> InputSnapshot:
        """Ask, and return the answer."""
        before = len(self.heard)
        self.link.request_snapshot()
        self.pass_ms(60)
        return next(m for m in self.heard[before:] if isinstance(m, InputSnapshot) and m.channel == channel)


@contextmanager
def a_rig(kind: str) -> Iterator[Rig]:
    """A fresh board of a kind, its wires quiet, no host yet."""
    with Bench(bench_command(kind)) as bench:
        yield Rig(bench, kind)
