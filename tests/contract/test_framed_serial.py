"""Declared readers over a real pty, and what every serial reader does about noise."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from stand import Ear, TestClock, wait_for

from gatectl.drivers.framed_serial import FramedSerial
from gatectl.drivers.framing_file import load_framing
from gatectl.drivers.noise import BABBLE_LIMIT, NOISE_LIMIT
from gatectl.drivers.ports import CodeTyped, PassShown
from gatectl.drivers.qr_serial import QrSerial
from gatectl.drivers.rfid_serial import RfidSerial
from gatectl.drivers.serial_port import SerialDevice
from gatectl.sim.devices import Pty, rdm6300_frame

LONG_S = 20.0
CARD = bytes.fromhex("01006DBC25")
POLL = bytes.fromhex("AAAA0700D2")


def rongshi_answer(card: bytes) -> bytes:
    body = b"\x69\xd2" + card
    checksum = 0
    for byte in body:
        checksum ^= byte
    return body + bytes((checksum,))


class Rongshi:
    """A polled reader: answers its own poll with the card that lies on it, and nothing else."""

    def __init__(self, line: Pty) -> None:
        self.card = bytes(5)
        self.is_deaf = False
        self.echoes = False
        self.polls = 0
        self._line = line
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        heard = b""
        while not self._stopping.wait(0.002):
            heard += self._line.read_available()
            while POLL in heard:
                heard = heard.partition(POLL)[2]
                self.polls += 1
                if self.echoes:
                    self._line.write(POLL)
                if not self.is_deaf:
                    self._line.write(rongshi_answer(self.card))

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(5)


@contextmanager
def running(driver: SerialDevice) -> Iterator[Ear]:
    ear = Ear()
    driver.start(ear)
    try:
        yield ear
    finally:
        driver.stop()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def polled(stack: ExitStack, folder: Path) -> tuple[Rongshi, FramedSerial, Ear]:
    line = stack.enter_context(Pty(folder / "reader"))
    reader = Rongshi(line)
    stack.callback(reader.stop)
    driver = FramedSerial("post", line.path, load_framing("rongshi"), TestClock(), address=7)
    return reader, driver, stack.enter_context(running(driver))


def test_polled_reader_tells_a_card_once_while_it_lies_there(stack: ExitStack, tmp_path: Path) -> None:
    reader, driver, ear = polled(stack, tmp_path)
    wait_for(lambda: ear.is_ok is True, "the reader answers", LONG_S)
    reader.card = CARD
    wait_for(lambda: driver.counters["repeats"] >= 3, "it was asked while the card lay there", LONG_S)
    assert [card.key for card in ear.cards] == ["em:01006DBC25"]
    assert driver.counters["bad_frames"] == 0


def test_polled_reader_that_falls_silent_is_told_once_and_comes_back(stack: ExitStack, tmp_path: Path) -> None:
    reader, driver, ear = polled(stack, tmp_path)
    wait_for(lambda: ear.is_ok is True, "the reader answers", LONG_S)
    reader.is_deaf = True
    wait_for(lambda: ear.is_ok is False, "its silence is told", LONG_S)
    asked = reader.polls
    wait_for(lambda: reader.polls > asked + 3, "it is still asked", LONG_S)
    reader.is_deaf = False
    wait_for(lambda: ear.is_ok is True, "it is back", LONG_S)
    assert [state.is_ok for state in ear.states] == [True, False, True]
    assert driver.counters["unanswered"] > 3


def test_adapter_that_hears_itself_is_no_noise(stack: ExitStack, tmp_path: Path) -> None:
    reader, driver, ear = polled(stack, tmp_path)
    reader.echoes = True
    reader.card = CARD
    wait_for(lambda: driver.counters["polls"] > 20, "many polls", LONG_S)
    assert len(ear.cards) == 1
    assert driver.counters["noise_bytes"] == 0


def test_declared_scanner_gives_codes_and_passes(stack: ExitStack, tmp_path: Path) -> None:
    line = stack.enter_context(Pty(tmp_path / "reader"))
    ear = stack.enter_context(running(FramedSerial("qr", line.path, load_framing("qr-line"), TestClock())))
    wait_for(lambda: ear.is_ok is True, "the port is open")
    line.write(b"123456\r\nhello\r\n" + b"G" * 190 + b"\r\n")
    wait_for(lambda: any(isinstance(event, PassShown) for event in ear.events), "the pass was shown")
    codes = [event.digits for event in ear.events if isinstance(event, CodeTyped)]
    passes = [event.text for event in ear.events if isinstance(event, PassShown)]
    assert (codes, passes) == (["123456"], ["G" * 190])


Make = Callable[[str], SerialDevice]
MAKERS: dict[str, tuple[Make, bytes]] = {
    "rfid_serial": (lambda port: RfidSerial("door", port, 0.0, TestClock()), rdm6300_frame("010063E9AE")),
    "qr_serial": (lambda port: QrSerial("door", port, 0.0, TestClock()), b"123456\r\n"),
    "framed_serial": (
        lambda port: FramedSerial("door", port, load_framing("rdm6300"), TestClock(), repeat_s=0.0),
        rdm6300_frame("010063E9AE"),
    ),
}
every_driver = pytest.mark.parametrize("driver", sorted(MAKERS))


class Desk:
    """A driver on a port with a lasting name."""

    def __init__(self, stack: ExitStack, folder: Path, driver: str) -> None:
        self.make, self.frame = MAKERS[driver]
        self._stack, self._link = stack, folder / "reader"
        self.line = self.plug_in()
        self.driver = self.make(self.line.path)
        self.ear = stack.enter_context(running(self.driver))
        wait_for(lambda: self.ear.is_ok is True, "the port is open")

    def plug_in(self) -> Pty:
        self.line = self._stack.enter_context(Pty(self._link))
        return self.line

    def shown(self) -> list[Any]:
        return [event for event in self.ear.events if event not in self.ear.states]

    def noise(self, total: int) -> None:
        """As a wrong baud rate brings it: no start mark, no line's end."""
        chance = random.Random("wrong baud")
        sent = 0
        while sent < total:
            self.line.write(bytes(chance.randrange(0x80, 0x100) for _ in range(100)))
            sent += 100


@every_driver
def test_wrong_baud_rate_is_told_once_and_counted(stack: ExitStack, tmp_path: Path, driver: str) -> None:
    desk = Desk(stack, tmp_path, driver)
    desk.noise(NOISE_LIMIT * 2)
    wait_for(lambda: desk.ear.is_ok is False, "the noise is told", LONG_S)
    desk.noise(NOISE_LIMIT * 10)
    desk.line.write(b"\r\n" + desk.frame)
    wait_for(lambda: len(desk.shown()) == 1, "a good frame is read all the same", LONG_S)
    assert "baud" in desk.ear.states[-1].words
    assert [state.is_ok for state in desk.ear.states] == [True, False]
    assert desk.driver.counters["times_noisy"] == 1


@every_driver
def test_babbling_reader_that_is_changed_is_well_again(stack: ExitStack, tmp_path: Path, driver: str) -> None:
    desk = Desk(stack, tmp_path, driver)
    desk.noise(BABBLE_LIMIT + 100)
    wait_for(lambda: desk.ear.is_ok is False, "the babbling is told", LONG_S)
    desk.line.close()
    wait_for(lambda: not desk.line.is_open, "it is unplugged")
    desk.plug_in()
    wait_for(lambda: desk.ear.is_ok is True, "the new one is open", LONG_S)
    desk.line.write(desk.frame)
    wait_for(lambda: len(desk.shown()) == 1, "it reads", LONG_S)
    assert [state.is_ok for state in desk.ear.states] == [True, False, True]


@every_driver
def test_unplugged_reader_comes_back_and_its_half_frame_is_forgotten(
    stack: ExitStack, tmp_path: Path, driver: str
) -> None:
    desk = Desk(stack, tmp_path, driver)
    desk.line.write(desk.frame[:5])
    desk.line.close()
    wait_for(lambda: desk.ear.is_ok is False, "the loss is told", LONG_S)
    desk.plug_in()
    wait_for(lambda: desk.ear.is_ok is True, "it is back", LONG_S)
    desk.line.write(desk.frame)
    wait_for(lambda: len(desk.shown()) == 1, "it reads", LONG_S)
    assert desk.driver.counters["times_lost"] == 1
