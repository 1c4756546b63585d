"""The bridge's driver against a simulated bridge over a real pty."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from stand import CAR, WALK, Ear, TestClock, turning, wait_for

from gatectl.core.lane_io import Signal
from gatectl.core.model import InputName, LaneKind
from gatectl.core.reasons import Reason
from gatectl.drivers.indicator import LaneIndicator
from gatectl.drivers.mcu_bridge import BridgeLane, BridgeReader, McuBridge
from gatectl.errors import LinkError
from gatectl.sim.devices import Pty
from gatectl.sim.mcu import SimLane, SimMcu
from gatectl.wire.bridge_ids import SCHEMA_HASH, FaultCode, Lamp, OnHostLoss, Relay

W26 = "10110001111100011100000011"  # facility 99, card 58241 (PROTOCOLS 2)
W34 = "1100010011101010000011011100000011"  # 89D41B81 (PROTOCOLS 2)
EM_BITS = f"{0x010063E9AE:040b}"
LANES = (SimLane(LaneKind.VEHICLE), SimLane(LaneKind.PEDESTRIAN))
READERS = (
    BridgeReader("in-card", 0, "w26"),
    BridgeReader("in-long", 1, "w34"),
    BridgeReader("in-raw", 2, "em4100"),
)


class Rig:
    """A bridge on a port with a lasting name, and the driver on it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.port = folder / "bridge"
        self.ear = Ear()
        self.mcu = self.plug_in()
        lanes = (BridgeLane(CAR, 0, OnHostLoss.FAIL_SECURE), BridgeLane(WALK, 1, OnHostLoss.FAIL_SAFE))
        self.bridge = McuBridge("bridge", str(self.port), lanes, READERS, TestClock(), 0xFFFF)
        stack.callback(self.bridge.stop)

    def plug_in(self, schema_hash: int = SCHEMA_HASH) -> SimMcu:
        line = self._stack.enter_context(Pty(self.port))
        self.mcu = SimMcu(line, LANES, speed=4.0, schema_hash=schema_hash)
        self._stack.enter_context(turning(self.mcu))
        return self.mcu

    def start(self) -> None:
        self.bridge.start(self.ear)
        wait_for(lambda: self.ear.opens(WALK) is not None, "the bridge told how everything stands")
        self.bridge.keep_alive()
        wait_for(lambda: self.mcu.is_lease_held, "the lease was taken")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack, tmp_path)


def test_all_inputs_and_counters_are_reported_on_connect(rig: Rig) -> None:
    rig.mcu.set_input(0, InputName.PRESENCE, True)
    rig.start()
    assert rig.ear.input(CAR, InputName.PRESENCE) is True
    assert rig.ear.input(CAR, InputName.ARM_DOWN) is True
    assert rig.ear.input(WALK, InputName.DOOR_OPEN) is False
    assert rig.ear.opens(CAR) == 0
    assert rig.ear.is_ok


def test_an_opening_is_counted_and_the_arm_is_seen_to_rise(rig: Rig) -> None:
    rig.start()
    rig.bridge.pulse_open(CAR, 500)
    wait_for(lambda: rig.ear.input(CAR, InputName.ARM_UP) is True, "the arm is up")
    assert rig.ear.opens(CAR) == 1
    assert rig.ear.input(CAR, InputName.ARM_DOWN) is False
    assert rig.ear.opens(WALK) == 0


@pytest.mark.parametrize(
    ("channel", "bits", "reader", "key"),
    [
        (0, W26, "in-card", "w26:99:58241"),
        (1, W34, "in-long", "w34:89D41B81"),
        (2, EM_BITS, "in-raw", "em:010063E9AE"),
    ],
)
def test_card_bits_become_a_key_by_the_readers_own_format(
    rig: Rig, channel: int, bits: str, reader: str, key: str
) -> None:
    rig.start()
    rig.mcu.tap(channel, bits)
    wait_for(lambda: bool(rig.ear.cards), "the card was told")
    assert (rig.ear.cards[0].reader, rig.ear.cards[0].key) == (reader, key)


def test_wrong_parity_wrong_length_and_unknown_readers_never_become_a_card(rig: Rig) -> None:
    rig.start()
    rig.mcu.tap(0, W26[:-1] + ("0" if W26[-1] == "1" else "1"))
    rig.mcu.tap(0, W34)
    rig.mcu.tap(2, EM_BITS[:-1])
    rig.mcu.tap(3, W26)
    wait_for(lambda: rig.bridge.counters["bad_cards"] == 4, "all four were counted")
    rig.mcu.tap(0, W26)
    wait_for(lambda: bool(rig.ear.cards), "a good card still gets through")
    assert len(rig.ear.cards) == 1


def test_card_that_the_reader_repeats_is_one_tap(rig: Rig) -> None:
    rig.start()
    for _ in range(5):
        rig.mcu.tap(0, W26)
    rig.mcu.tap(1, W34)
    wait_for(lambda: len(rig.ear.cards) == 2, "both cards were told")
    assert [card.reader for card in rig.ear.cards] == ["in-card", "in-long"]


def test_pulse_is_refused_at_once_when_the_lease_was_not_fed(rig: Rig) -> None:
    rig.start()
    wait_for(lambda: not rig.mcu.is_lease_held, "the lease ran out")
    with pytest.raises(LinkError, match="lease"):
        rig.bridge.pulse_open(CAR, 500)
    rig.bridge.keep_alive()
    rig.bridge.pulse_open(CAR, 500)
    wait_for(lambda: rig.mcu.lane(0).opens == 1, "a fed lease opens again")


def test_bridge_with_another_schema_is_refused_with_words(tmp_path: Path) -> None:
    with ExitStack() as stack:
        rig = Rig(stack, tmp_path)
        rig.mcu.close()
        rig.plug_in(schema_hash=0xDEADBEEF)
        rig.bridge.start(rig.ear)
        wait_for(lambda: rig.ear.is_ok is False, "the mismatch was told")
        assert "deadbeef" in rig.ear.states[-1].words
        assert "firmware" in rig.ear.states[-1].words
        with pytest.raises(LinkError, match="refused"):
            rig.bridge.keep_alive()
        with pytest.raises(LinkError, match="refused"):
            rig.bridge.pulse_open(CAR, 500)
        assert rig.mcu.lane(0).opens == 0


def test_bridge_that_was_unplugged_comes_back_by_itself_and_reports_again(rig: Rig) -> None:
    rig.start()
    rig.mcu.close()
    wait_for(lambda: rig.ear.is_ok is False, "the loss was told")
    rig.plug_in()
    rig.mcu.set_input(0, InputName.PRESENCE, True)
    wait_for(lambda: rig.ear.is_ok is True, "it came back", 10)
    wait_for(lambda: rig.ear.input(CAR, InputName.PRESENCE) is True, "the inputs were reported again")
    assert [state.is_ok for state in rig.ear.states] == [True, False, True]


def test_bridge_that_restarts_is_greeted_again_within_a_second(rig: Rig) -> None:
    rig.start()
    rig.bridge.pulse_open(CAR, 100)
    wait_for(lambda: rig.ear.opens(CAR) == 1, "it opened")
    rig.mcu.restart()
    began = time.monotonic()
    wait_for(lambda: rig.mcu.is_hosted, "it was greeted again")
    assert time.monotonic() - began < 1.5
    wait_for(lambda: rig.ear.is_ok is True, "the driver is content")
    rig.bridge.keep_alive()
    rig.bridge.pulse_open(CAR, 100)
    wait_for(lambda: rig.ear.opens(CAR) == 2, "the counter went on")


def test_silent_bridge_is_noticed_though_its_port_stays_open(tmp_path: Path) -> None:
    with Pty() as line:
        ear = Ear()
        bridge = McuBridge("bridge", line.path, (BridgeLane(CAR, 0),), (), TestClock(), 1)
        bridge.start(ear)
        try:
            wait_for(lambda: ear.is_ok is False, "the silence was told")
            assert "does not answer" in ear.states[0].words
            with pytest.raises(LinkError, match="does not answer"):
                bridge.pulse_open(CAR, 500)
        finally:
            bridge.stop()


def test_missing_port_is_told_in_words_and_nothing_is_raised(tmp_path: Path) -> None:
    ear = Ear()
    bridge = McuBridge("bridge", str(tmp_path / "nowhere"), (BridgeLane(CAR, 0),), (), TestClock(), 1)
    bridge.start(ear)
    try:
        wait_for(lambda: ear.is_ok is False, "the missing port was told")
        assert "plugged in" in ear.states[0].words
    finally:
        bridge.stop()


def test_port_that_another_program_holds_is_told_in_words(rig: Rig) -> None:
    rig.start()
    ear = Ear()
    second = McuBridge("second", str(rig.port), (BridgeLane(CAR, 0),), (), TestClock(), 1)
    second.start(ear)
    try:
        wait_for(lambda: ear.is_ok is False, "the held port was told")
        assert "another program" in ear.states[0].words
    finally:
        second.stop()


def test_noise_on_the_line_is_counted_and_moves_nothing(rig: Rig) -> None:
    rig.start()
    rig.mcu._line.write(bytes(range(1, 256)) * 3 + b"\x00\x05abc\x00")
    wait_for(lambda: rig.bridge.counters["bad_frames"] >= 2, "the noise was counted")
    rig.mcu.tap(0, W26)
    wait_for(lambda: bool(rig.ear.cards), "the next card was read")
    assert rig.ear.is_ok
    assert rig.mcu.lane(0).opens == 0


def test_fault_is_told_and_so_is_its_end(rig: Rig) -> None:
    rig.start()
    rig.mcu.set_fault(0, FaultCode.SAFETY_LOOP_BROKEN, True)
    wait_for(lambda: rig.ear.is_ok is False, "the fault was told")
    assert "safety loop broken" in rig.ear.states[-1].words
    rig.mcu.restart()
    wait_for(
        lambda: [state.is_ok for state in rig.ear.states[-2:]] == [True, False], "it is told again after a restart"
    )
    rig.mcu.set_fault(0, FaultCode.SAFETY_LOOP_BROKEN, False)
    wait_for(lambda: rig.ear.is_ok is True, "its end was told")


def test_lamp_shows_the_signal_and_a_dark_lamp_stops_nobody(rig: Rig) -> None:
    lamp = LaneIndicator({CAR: rig.bridge})
    lamp.show(CAR, Signal.GRANTED, Reason.CARD_OK)
    assert lamp.dark == 1
    rig.start()
    lamp.show(CAR, Signal.HELD, Reason.PLATE_UNKNOWN)
    lamp.show(WALK, Signal.GRANTED, Reason.CARD_OK)  # a lane without a lamp
    wait_for(lambda: rig.mcu.lane(0).lamp is Lamp.HELD, "the lamp shows it")
    assert lamp.dark == 1


def test_lanes_declare_what_they_do_without_a_host(rig: Rig) -> None:
    rig.start()
    wait_for(lambda: rig.mcu.lane(1).on_host_loss is OnHostLoss.FAIL_SAFE, "the lane was declared")
    assert rig.mcu.lane(0).on_host_loss is OnHostLoss.FAIL_SECURE
    assert Relay.OPEN not in rig.mcu.lane(1).pulse_until_ns
