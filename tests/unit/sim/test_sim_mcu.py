"""The simulated bridge obeys the rules that the firmware must obey. Time is an argument, the wire is in memory."""

from collections.abc import Callable, Iterator

import pytest

from gatectl.core.model import InputName, LaneKind
from gatectl.sim.devices import Pty
from gatectl.sim.mcu import SimLane, SimMcu
from gatectl.wire.bridge import Link, LinkState
from gatectl.wire.bridge_ids import (
    BridgeMessage,
    InputSnapshot,
    OnHostLoss,
    Outcome,
    PulseResult,
    Relay,
    RelayCount,
)

MS = 1_000_000
CAR, WALK = 0, 1
LANES = (SimLane(LaneKind.VEHICLE), SimLane(LaneKind.PEDESTRIAN))


class Line(Pty):
    """A pty whose driver's side is this test: no thread, no kernel between them."""

    def __init__(self) -> None:
        super().__init__()
        self.to_mcu = b""
        self.from_mcu = b""

    def write(self, data: bytes) -> None:
        self.from_mcu += data

    def read_available(self) -> bytes:
        data, self.to_mcu = self.to_mcu, b""
        return data


class Bench:
    """A host's link, the simulated bridge, and time."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.opened: list[tuple[int, int]] = []
        self.mcu = SimMcu(line, LANES, on_open=lambda channel, tick_ns: self.opened.append((channel, tick_ns)))
        self.host = Link(1)
        self.heard: list[BridgeMessage] = []
        self.now_ns = 5_000 * MS
        self.is_feeding = True
        self.host.start(self.now_ns)
        self.pass_ms(300)
        assert self.host.state is LinkState.READY

    def pass_ms(self, ms: int) -> None:
        for _ in range(0, ms, 5):
            self.now_ns += 5 * MS
            self.host.tick(self.now_ns)
            if self.is_feeding and self.host.state is LinkState.READY:
                self.host.heartbeat()
            self.line.to_mcu += self.host.to_write()
            self.mcu.poll(self.now_ns)
            heard, self.line.from_mcu = self.line.from_mcu, b""
            self.heard += self.host.receive(heard)

    def order(self, channel: int, relay: Relay, pulse_ms: int = 500) -> Outcome:
        self.host.pulse(channel, relay, pulse_ms)
        self.pass_ms(10)
        return [message for message in self.heard if isinstance(message, PulseResult)][-1].outcome

    def ms_until(self, condition: Callable[[], bool]) -> int:
        for waited in range(0, 20_000, 5):
            if condition():
                return waited
            self.pass_ms(5)
        raise AssertionError("never happened")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Line() as line:
        yield Bench(line)


@pytest.mark.parametrize("pulse_ms", [50, 500, 2000])
def test_pulse_ends_by_itself_after_its_time(bench: Bench, pulse_ms: int) -> None:
    lane = bench.mcu.lane(CAR)
    assert bench.order(CAR, Relay.OPEN, pulse_ms) is Outcome.STARTED
    closed_ns = bench.opened[0][1]
    bench.ms_until(lambda: Relay.OPEN not in lane.pulse_until_ns)
    assert pulse_ms <= (bench.now_ns - closed_ns) // MS <= pulse_ms + 10


def test_pulse_ends_though_the_host_dies_in_the_middle(bench: Bench) -> None:
    bench.order(CAR, Relay.OPEN, 2000)
    bench.is_feeding = False
    assert bench.ms_until(lambda: not bench.mcu.lane(CAR).pulse_until_ns) <= 2010


def test_arm_rises_stays_for_the_car_and_comes_down_behind_it(bench: Bench) -> None:
    lane = bench.mcu.lane(CAR)
    bench.order(CAR, Relay.OPEN)
    assert not lane.arm_is_down
    assert 700 <= bench.ms_until(lambda: lane.arm_is_up) <= 820
    bench.mcu.set_input(CAR, InputName.SAFETY, True)
    bench.pass_ms(3000)
    assert lane.arm_is_up
    bench.mcu.set_input(CAR, InputName.SAFETY, False)
    assert 900 <= bench.ms_until(lambda: lane.arm_is_down) <= 1100


def test_close_is_refused_on_an_occupied_safety_loop_under_fire_and_while_opening(bench: Bench) -> None:
    assert bench.order(CAR, Relay.OPEN) is Outcome.STARTED
    assert bench.order(CAR, Relay.CLOSE) is Outcome.REFUSED_OPENING
    bench.ms_until(lambda: bench.mcu.lane(CAR).arm_is_up)
    bench.mcu.set_input(CAR, InputName.SAFETY, True)
    assert bench.order(CAR, Relay.CLOSE) is Outcome.REFUSED_SAFETY_OCCUPIED
    bench.mcu.set_input(CAR, InputName.FIRE, True)
    assert bench.order(CAR, Relay.CLOSE) is Outcome.REFUSED_FIRE
    assert bench.mcu.lane(CAR).arm_is_up


def test_lowering_arm_reverses_when_the_safety_loop_is_hit(bench: Bench) -> None:
    lane = bench.mcu.lane(CAR)
    bench.order(CAR, Relay.OPEN)
    bench.ms_until(lambda: lane.arm_is_up)
    assert bench.order(CAR, Relay.CLOSE) is Outcome.STARTED
    bench.pass_ms(300)
    assert not lane.arm_is_up
    bench.mcu.set_input(CAR, InputName.SAFETY, True)
    assert bench.ms_until(lambda: lane.arm_is_up) <= 500


def test_host_without_a_lease_is_refused(bench: Bench) -> None:
    bench.is_feeding = False
    bench.pass_ms(990)
    bench.host.pulse(CAR, Relay.OPEN, 500)  # its own lease still stands by a hair
    late = bench.host.to_write()
    bench.pass_ms(50)
    bench.line.to_mcu += late
    bench.pass_ms(50)
    assert bench.mcu.outcomes == [PulseResult(CAR, Relay.OPEN, Outcome.REFUSED_NO_LEASE)]
    assert bench.mcu.lane(CAR).opens == 0
    assert bench.opened == []


def test_relay_counter_survives_a_power_cut(bench: Bench) -> None:
    bench.order(CAR, Relay.OPEN)
    bench.mcu.restart()
    bench.pass_ms(600)
    bench.host.request_snapshot()
    bench.pass_ms(50)
    counts = [message for message in bench.heard if isinstance(message, RelayCount) and message.channel == CAR]
    assert counts[-1].opens == 1


def test_snapshot_tells_all_inputs_as_they_stand(bench: Bench) -> None:
    bench.mcu.set_input(CAR, InputName.PRESENCE, True)
    bench.host.request_snapshot()
    bench.pass_ms(50)
    car = next(message for message in bench.heard if isinstance(message, InputSnapshot) and message.channel == CAR)
    assert car.active == 0b10001  # presence, arm_down
    assert car.wired & car.active == car.active


def test_fire_opens_without_being_asked_and_is_counted_apart(bench: Bench) -> None:
    bench.mcu.set_input(CAR, InputName.FIRE, True)
    bench.ms_until(lambda: bench.mcu.lane(CAR).arm_is_up)
    bench.pass_ms(2000)
    assert bench.mcu.lane(CAR).arm_is_up
    count = [message for message in bench.heard if isinstance(message, RelayCount)][-1]
    assert (count.opens, count.local_opens) == (0, 1)


def test_fire_holds_until_a_named_person_releases_it_and_not_while_the_line_alarms(bench: Bench) -> None:
    lane = bench.mcu.lane(CAR)
    bench.mcu.set_input(CAR, InputName.FIRE, True)
    bench.host.release_fire(CAR)
    bench.pass_ms(5000)
    assert Relay.OPEN in lane.pulse_until_ns
    bench.mcu.set_input(CAR, InputName.FIRE, False)
    bench.pass_ms(50)
    assert bench.order(CAR, Relay.CLOSE) is Outcome.REFUSED_FIRE
    assert bench.order(CAR, Relay.STOP) is Outcome.REFUSED_FIRE
    bench.host.release_fire(CAR)
    bench.pass_ms(50)
    assert Relay.OPEN not in lane.pulse_until_ns
    assert bench.order(CAR, Relay.CLOSE) is Outcome.STARTED


def test_stop_goes_before_open_and_close(bench: Bench) -> None:
    lane = bench.mcu.lane(CAR)
    assert bench.order(CAR, Relay.OPEN, 2000) is Outcome.STARTED
    bench.pass_ms(200)
    assert bench.order(CAR, Relay.STOP) is Outcome.STARTED
    assert list(lane.pulse_until_ns) == [Relay.STOP]
    assert bench.order(CAR, Relay.OPEN) is Outcome.REFUSED_STOPPING
    assert bench.order(CAR, Relay.CLOSE) is Outcome.REFUSED_STOPPING
    bench.pass_ms(500)
    assert not lane.arm_is_up
    assert not lane.arm_is_down
    assert bench.order(CAR, Relay.CLOSE) is Outcome.STARTED


def test_exit_button_opens_the_lock_when_the_host_is_gone_and_leaves_it_to_the_host_else(bench: Bench) -> None:
    lane = bench.mcu.lane(WALK)
    bench.mcu.set_input(WALK, InputName.REX, True)
    bench.mcu.set_input(WALK, InputName.REX, False)
    assert not lane.is_unlocked
    bench.is_feeding = False
    bench.pass_ms(1100)
    bench.mcu.set_input(WALK, InputName.REX, True)
    assert lane.is_unlocked


def test_fail_safe_lane_opens_once_when_the_host_stays_away_and_fail_secure_does_not(bench: Bench) -> None:
    bench.host.configure_lane(CAR, OnHostLoss.FAIL_SECURE)
    bench.host.configure_lane(WALK, OnHostLoss.FAIL_SAFE)
    bench.pass_ms(50)
    bench.is_feeding = False
    bench.pass_ms(9000)
    assert bench.opened == []
    bench.pass_ms(5000)
    assert [channel for channel, _ in bench.opened] == [WALK]
    assert bench.mcu.lane(CAR).arm_is_down


def test_jammed_arm_does_not_rise_though_its_relay_closed(bench: Bench) -> None:
    bench.mcu.lane(CAR).is_jammed = True
    assert bench.order(CAR, Relay.OPEN) is Outcome.STARTED
    bench.pass_ms(3000)
    assert bench.mcu.lane(CAR).arm_is_down


def test_idle_poll_between_two_turns_does_nothing(bench: Bench) -> None:
    bench.pass_ms(50)
    bench.line.from_mcu = b""
    before = bench.mcu._next_ns
    bench.mcu.poll(bench.now_ns + MS)
    assert bench.mcu._next_ns == before


def test_more_lanes_than_a_bridge_has_are_refused() -> None:
    with Pty() as line, pytest.raises(ValueError, match="4 lanes"):
        SimMcu(line, LANES * 3)


def test_pty_that_nobody_reads_drops_bytes_instead_of_blocking() -> None:
    with Pty() as line:
        for _ in range(200):
            line.write(b"x" * 1000)
        assert line.dropped_bytes > 0
        line.close()
        line.close()
        assert not line.is_open
