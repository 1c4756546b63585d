"""The daemon's own driver against the released image: over a pty, in real time."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from firmware_board import MS, OCCUPIED
from live_board import Ear, LiveBoard, WallClock, wait_for

from gatectl.core.model import LaneId
from gatectl.drivers.mcu_bridge import BridgeLane, BridgeReader, McuBridge
from gatectl.errors import LinkError
from gatectl.wire.bridge_ids import Input, OnHostLoss, Relay

W26 = "10110001111100011100000011"  # facility 99, card 58241 (PROTOCOLS 2)
W34 = "1100010011101010000011011100000011"  # 89D41B81
CAR, WALK = LaneId("car"), LaneId("walk")
LANES = (BridgeLane(CAR, 0, OnHostLoss.FAIL_SECURE), BridgeLane(WALK, 1, OnHostLoss.FAIL_SAFE))
READERS = (BridgeReader("in", 0, "w26"), BridgeReader("out", 1, "w34"))


class Daemon:
    """A driver, and a thread that feeds the lease as the controller does."""

    def __init__(self, board: LiveBoard, first_session: int = 7) -> None:
        self.ear = Ear()
        self.bridge = McuBridge("bridge", board.port, LANES, READERS, WallClock(), first_session)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)

    def start(self) -> None:
        self.bridge.start(self.ear)
        self._thread.start()
        wait_for(lambda: self.ear.opens(WALK) is not None, "the board told how everything stands")
        wait_for(self._is_leased, "the lease was taken")
        wait_for(lambda: self.ear.inputs(CAR).get("safety") is False, "the loop is known to be clear")

    def _is_leased(self) -> bool:
        try:
            self.bridge.keep_alive()
        except LinkError:
            return False
        return True

    def _feed(self) -> None:
        while not self._stopping.wait(0.25):
            self._is_leased()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(5)
        self.bridge.stop()


@pytest.fixture
def board() -> Iterator[LiveBoard]:
    with LiveBoard() as board:
        yield board


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def a_daemon(board: LiveBoard, stack: ExitStack, first_session: int = 7) -> Daemon:
    daemon = Daemon(board, first_session)
    stack.callback(daemon.stop)
    daemon.start()
    return daemon


def test_driver_meets_the_image_and_learns_how_everything_stands(board: LiveBoard, stack: ExitStack) -> None:
    daemon = a_daemon(board, stack)
    assert daemon.ear.states == [True]
    assert "nano-atmega328p, firmware 1.0.0" in daemon.ear.words
    assert daemon.ear.inputs(CAR) == dict.fromkeys(
        ["presence", "safety", "arm_up", "arm_down", "rex", "fire", "tamper"], False
    )
    assert daemon.ear.opens(CAR) == 0


def test_taps_and_codes_at_both_readers_reach_the_daemon(board: LiveBoard, stack: ExitStack) -> None:
    daemon = a_daemon(board, stack)
    board.do(f"card 0 {W26} 50 1000")
    board.do(f"card 1 {W34} 100 1000")
    wait_for(lambda: len(daemon.ear.cards) == 2, "both cards")
    assert sorted(daemon.ear.cards) == [("in", "w26:99:58241"), ("out", "w34:89D41B81")]
    for key in ("0001", "0010", "0011", "0100", "1011"):
        board.do(f"card 0 {key} 50 1000")
        board.pass_ms(60)  # 30 ms of idle lines end a key's frame
    wait_for(lambda: daemon.ear.codes == ["1234"], "the code")


def test_order_becomes_a_pulse_of_its_length_and_a_count(board: LiveBoard, stack: ExitStack) -> None:
    daemon = a_daemon(board, stack)
    daemon.bridge.pulse_open(CAR, 300)
    wait_for(lambda: len(board.moved) == 2, "the pulse began and ended")
    on, off = board.moved
    assert (on.channel, on.relay, on.is_closed) == (0, Relay.OPEN, True)
    assert 299 * MS <= off.us - on.us <= 302 * MS
    wait_for(lambda: daemon.ear.opens(CAR) == 1, "the count")
    daemon.bridge.pulse_close(CAR, 100)
    daemon.bridge.pulse_stop(CAR, 100)
    wait_for(lambda: {move.relay for move in board.moved} == set(Relay), "close and stop")


def test_fire_opens_at_once_and_the_named_persons_release_ends_it(board: LiveBoard, stack: ExitStack) -> None:
    daemon = a_daemon(board, stack)
    board.do(f"line {int(Input.FIRE)} {OCCUPIED}")
    wait_for(lambda: daemon.ear.inputs(CAR)["fire"], "fire was told")
    wait_for(lambda: board.closed(0) == board.closed(1) == {Relay.OPEN}, "both lanes are held open")
    board.do(f"line {int(Input.FIRE)} 128")
    wait_for(lambda: not daemon.ear.inputs(CAR)["fire"], "the end of the alarm was told")
    assert board.closed(0) == {Relay.OPEN}
    daemon.bridge.release_fire(CAR)
    wait_for(lambda: board.closed(0) == set(), "the hold ended")
    assert board.closed(1) == {Relay.OPEN}


def test_cut_safety_wire_is_an_alarm_in_words(board: LiveBoard, stack: ExitStack) -> None:
    daemon = a_daemon(board, stack)
    board.do(f"line {int(Input.SAFETY)} 255")
    wait_for(lambda: daemon.ear.states[-1] is False, "the fault was told")
    assert "safety loop broken" in daemon.ear.words
    wait_for(lambda: daemon.ear.inputs(CAR).get("safety_fault") is True, "the lane heard it")
    assert daemon.ear.inputs(CAR)["safety"]


def test_board_that_hangs_comes_back_and_its_counter_stands(board: LiveBoard, stack: ExitStack) -> None:
    daemon = a_daemon(board, stack)
    daemon.bridge.pulse_open(CAR, 2000)
    wait_for(lambda: board.closed(0) == {Relay.OPEN}, "the relay closed")
    wait_for(lambda: daemon.ear.opens(CAR) == 1, "it was counted")
    hung = len(daemon.ear.events)
    board.do("hang")
    wait_for(lambda: board.closed(0) == set(), "the watchdog dropped the relay")
    assert board.moved[-1].us - board.moved[-2].us < 1900 * MS
    wait_for(lambda: any("watchdog reset" in getattr(e, "words", "") for e in daemon.ear.events[hung:]), "the cause")
    assert daemon.ear.opens(CAR) == 1


def test_second_daemon_finds_the_board_running_and_does_not_reset_it(board: LiveBoard, stack: ExitStack) -> None:
    first = Daemon(board)
    first.start()
    first.bridge.pulse_open(CAR, 50)
    wait_for(lambda: first.ear.opens(CAR) == 1, "an opening")
    first.stop()
    second = a_daemon(board, stack, first_session=700)
    assert second.ear.opens(CAR) == 1
    assert second.ear.states == [True]
    second.bridge.pulse_open(CAR, 50)
    wait_for(lambda: second.ear.opens(CAR) == 2, "another")
