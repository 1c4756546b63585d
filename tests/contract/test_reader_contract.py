"""The serial card reader's driver against a simulated RDM6300 over a real pty."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from stand import Ear, TestClock, wait_for

from gatectl.drivers.rfid_serial import RfidSerial
from gatectl.sim.devices import Pty, SimReader, rdm6300_frame

CARD = "010063E9AE"
OTHER = "100086F444"


class Rig:
    """A reader on a port with a lasting name."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.port = folder / "reader"
        self.ear = Ear()
        self.reader = self.plug_in()
        self.driver = RfidSerial("door", str(self.port), 2.0, TestClock())
        self.driver.start(self.ear)
        stack.callback(self.driver.stop)
        wait_for(lambda: self.ear.is_ok is True, "the reader came up")

    def plug_in(self) -> SimReader:
        self.reader = SimReader(self._stack.enter_context(Pty(self.port)))
        return self.reader

    @property
    def keys(self) -> list[str]:
        return [card.key for card in self.ear.cards]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack, tmp_path)


def test_a_tap_is_one_card_though_the_reader_repeats_it(rig: Rig) -> None:
    rig.reader.tap(CARD)
    rig.reader.tap(OTHER)
    wait_for(lambda: len(rig.keys) == 2, "both cards were read")
    wait_for(lambda: rig.driver.counters["repeats"] == 4, "all repeats were seen")
    assert rig.keys == [f"em:{CARD}", f"em:{OTHER}"]
    assert rig.ear.cards[0].reader == "door"


def test_half_frames_and_noise_are_counted_and_are_never_a_card(rig: Rig) -> None:
    rig.reader.babble(b"\xff\x00garbage\x03")
    rig.reader.tap_half(CARD)
    rig.reader.babble(rdm6300_frame(OTHER).replace(b"26\x03", b"27\x03"))
    rig.reader.tap(CARD)
    wait_for(lambda: len(rig.keys) == 1, "the good card was read")
    assert rig.keys == [f"em:{CARD}"]
    assert rig.driver.counters["noise_bytes"] == 10
    assert rig.driver.counters["bad_frames"] == 2


def test_reader_that_was_unplugged_comes_back_by_itself_and_says_so_once(rig: Rig) -> None:
    rig.reader.tap_half(CARD)
    rig.reader.close()
    wait_for(lambda: rig.ear.is_ok is False, "the loss was told")
    rig.plug_in()
    wait_for(lambda: rig.ear.is_ok is True, "it came back", 10)
    rig.reader.tap(CARD)
    wait_for(lambda: rig.keys == [f"em:{CARD}"], "the card was read")
    assert [state.is_ok for state in rig.ear.states] == [True, False, True]
    assert rig.driver.counters["times_lost"] == 1


def test_stop_releases_the_port_and_may_come_twice(rig: Rig) -> None:
    rig.driver.stop()
    rig.driver.stop()
    ear = Ear()
    second = RfidSerial("second", str(rig.port), 2.0, TestClock())
    second.start(ear)
    try:
        wait_for(lambda: ear.is_ok is True, "the port is free")
    finally:
        second.stop()


def test_reader_behind_a_serial_server_is_read_like_any_other() -> None:
    """`socket://host:port`: a serial port that a network box serves raw."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ear = Ear()
        driver = RfidSerial("door", f"socket://127.0.0.1:{server.getsockname()[1]}", 2.0, TestClock())
        driver.start(ear)
        try:
            server.settimeout(5.0)
            box, _ = server.accept()
            wait_for(lambda: ear.is_ok is True, "it is connected")
            box.sendall(rdm6300_frame(CARD))
            wait_for(lambda: len(ear.cards) == 1, "the card was read")
            box.close()
            wait_for(lambda: ear.is_ok is False, "the loss was told")
            again, _ = server.accept()
            wait_for(lambda: ear.is_ok is True, "it is connected again")
            again.sendall(rdm6300_frame(OTHER))
            wait_for(lambda: len(ear.cards) == 2, "the next card was read")
            again.close()
        finally:
            driver.stop()
        assert all(thread.name != "door" for thread in threading.enumerate())
