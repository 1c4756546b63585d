"""Keypads on the bridge and scanners on a serial port, over real ptys."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand import CAR, Ear, TestClock, turning, wait_for

from gatectl.core.model import InputName, LaneKind
from gatectl.drivers.mcu_bridge import BridgeLane, BridgeReader, McuBridge
from gatectl.drivers.ports import CodeTyped, PassShown
from gatectl.drivers.qr_serial import MAX_LINE_BYTES, LineParser, QrSerial
from gatectl.drivers.taps import Keypad
from gatectl.sim.devices import Pty
from gatectl.sim.mcu import SimLane, SimMcu
from gatectl.wire.bridge_ids import FaultCode, OnHostLoss

H10304 = "1000000000110010000000110000001110011"


class Pad:
    """A bridge with one keypad reader."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.ear = Ear()
        line = stack.enter_context(Pty(folder / "bridge"))
        self.mcu = SimMcu(line, (SimLane(LaneKind.VEHICLE),), speed=4.0)
        stack.enter_context(turning(self.mcu))
        lanes = (BridgeLane(CAR, 0, OnHostLoss.FAIL_SECURE),)
        reader = BridgeReader("post", 0, "h10304")
        self.bridge = McuBridge("bridge", str(folder / "bridge"), lanes, (reader,), TestClock(), 1)
        stack.callback(self.bridge.stop)
        self.bridge.start(self.ear)
        wait_for(lambda: self.ear.opens(CAR) is not None, "the bridge told how everything stands")

    def press(self, keys: str) -> None:
        for key in keys:
            self.mcu.press_key(0, key)

    @property
    def codes(self) -> list[str]:
        return [event.digits for event in self.ear.events if isinstance(event, CodeTyped)]


@pytest.fixture
def pad(tmp_path: Path) -> Iterator[Pad]:
    with ExitStack() as stack:
        yield Pad(stack, tmp_path)


def test_digits_are_one_code_when_they_are_entered(pad: Pad) -> None:
    pad.press("12*123456#")
    wait_for(lambda: pad.codes == ["123456"], "the code was told")


def test_a_card_of_37_bits_is_read_by_the_format_that_its_reader_is_set_to(pad: Pad) -> None:
    pad.mcu.tap(0, H10304)
    wait_for(lambda: [card.key for card in pad.ear.cards] == ["h10304:100:12345"], "the card was told")


def test_a_broken_safety_loop_reaches_the_lane(pad: Pad) -> None:
    pad.mcu.set_fault(0, FaultCode.SAFETY_LOOP_BROKEN, True)
    wait_for(lambda: pad.ear.input(CAR, InputName.SAFETY_FAULT) is True, "the fault was told")
    pad.mcu.set_fault(0, FaultCode.SAFETY_LOOP_BROKEN, False)
    wait_for(lambda: pad.ear.input(CAR, InputName.SAFETY_FAULT) is False, "its end was told")


def test_the_digits_stand_in_no_log() -> None:
    assert "123456" not in repr(CodeTyped("post", "123456", 1))


S = 1_000_000_000


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ([("1234#", 0)], ["1234"]),
        ([("12", 0), ("34#", 9 * S)], ["1234"]),
        ([("12", 0), ("34#", 11 * S)], ["34"]),
        ([("123456789#", 0)], []),
        ([("12*34#", 0)], ["34"]),
        ([("##*#", 0)], []),
        ([("12A34#", 0)], ["34"]),
        ([("1234#1234#", 0)], ["1234", "1234"]),
    ],
)
def test_a_keypad_collects_until_enter(keys: list[tuple[str, int]], codes: list[str]) -> None:
    keypad, told = Keypad(), []
    now_ns = 100 * S
    for text, pause_ns in keys:
        now_ns += pause_ns
        told += [code for key in text if (code := keypad.press(key, now_ns)) is not None]
    assert told == codes


class Scan:
    """A scanner on a port of its own."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.ear = Ear()
        self.line = stack.enter_context(Pty(folder / "qr"))
        self.driver = QrSerial("qr", str(folder / "qr"), 2.0, TestClock())
        stack.callback(self.driver.stop)
        self.driver.start(self.ear)
        wait_for(lambda: bool(self.ear.states), "the scanner came up")

    @property
    def heard(self) -> list[str]:
        events = (event for event in self.ear.events if isinstance(event, CodeTyped | PassShown))
        return [event.digits if isinstance(event, CodeTyped) else event.text for event in events]


@pytest.fixture
def scan(tmp_path: Path) -> Iterator[Scan]:
    with ExitStack() as stack:
        yield Scan(stack, tmp_path)


def test_a_scanner_tells_passes_from_codes_and_one_showing_from_two(scan: Scan) -> None:
    scan.line.write(b"I4AQUGZMHUAA\r\n" * 3 + b"123456\r\n")
    wait_for(lambda: scan.heard == ["I4AQUGZMHUAA", "123456"], "a pass and a code")
    assert [type(event) for event in scan.ear.events[1:]] == [PassShown, CodeTyped]
    assert scan.driver.counters["repeats"] == 2


def test_a_babbling_scanner_delays_nobody(scan: Scan) -> None:
    scan.line.write(b"\xff\x00" * 600 + b"A" * (MAX_LINE_BYTES + 1) + b"\rNEXT\n")
    wait_for(lambda: scan.heard == ["NEXT"], "the line after the noise")
    assert scan.driver.counters["noise_lines"] == 1


@given(st.lists(st.binary(max_size=60)), st.text("ABC234", min_size=1, max_size=20))
def test_a_line_after_any_noise_is_read(noise: list[bytes], line: str) -> None:
    parser = LineParser()
    for part in noise:
        assert all(len(text) <= MAX_LINE_BYTES for text in parser.feed(part))
    parser.feed(b"\r")
    assert parser.feed(f"{line}\r".encode()) == [line]
