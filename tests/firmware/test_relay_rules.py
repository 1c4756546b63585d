"""Relays: what moves them, what must not, and that every pulse ends."""

import pytest
from firmware_board import CUT, FREE, MS, OCCUPIED, SHORTED, Rig

from gatectl.wire.bridge_ids import (
    FaultCode,
    Input,
    InputSnapshot,
    OnHostLoss,
    Outcome,
    Pulse,
    Relay,
    ReleaseFire,
    Welcome,
)


def times_us(rig: Rig, relay: Relay, channel: int = 0) -> list[tuple[int, int]]:
    """(closed at, for) of each closing that has ended."""
    moves = [move for move in rig.bench.moved if (move.channel, move.relay) == (channel, relay)]
    return [(on.us, off.us - on.us) for on, off in zip(moves[::2], moves[1::2], strict=False)]


def test_no_relay_moves_from_power_on_to_the_first_order(rig: Rig) -> None:
    rig.pass_ms(1500)
    rig.bench.do("reset")
    rig.pass_ms(1500)
    assert rig.bench.moved == []


@pytest.mark.parametrize("pulse_ms", [50, 500, 2000])
@pytest.mark.parametrize("relay", list(Relay))
def test_pulse_is_ended_by_the_board_at_the_commanded_millisecond(rig: Rig, relay: Relay, pulse_ms: int) -> None:
    assert rig.order(relay, pulse_ms) is Outcome.STARTED
    rig.is_feeding = False
    rig.is_host_there = False
    rig.pass_ms(2500)
    (_, lasted_us), *more = times_us(rig, relay)
    assert pulse_ms * MS - 100 <= lasted_us <= pulse_ms * MS + 2000
    assert more == []


def test_relay_closes_within_two_milliseconds_of_the_orders_last_byte(rig: Rig) -> None:
    rig.link.pulse(0, Relay.OPEN, 500)
    start_us = rig.bench.now_us
    rig.pass_ms(20)
    wire_us = 15 * 87  # the frame's bytes at 115200 baud
    assert rig.bench.moved[0].us - start_us - wire_us < 2000


@pytest.mark.parametrize("pulse_ms", [0, 49, 2001, 65535])
def test_pulse_out_of_range_moves_nothing(rig: Rig, pulse_ms: int) -> None:
    rig.say(Pulse(0, Relay.OPEN, pulse_ms))
    rig.pass_ms(60)
    assert rig.results[-1].outcome is Outcome.REFUSED_RANGE
    assert rig.bench.moved == []


@pytest.mark.parametrize(("channel", "relay"), [(1, Relay.CLOSE), (1, Relay.STOP), (2, Relay.OPEN), (255, Relay.OPEN)])
def test_relay_that_is_not_there_is_refused(rig: Rig, channel: int, relay: Relay) -> None:
    rig.say(Pulse(channel, relay, 500))
    rig.pass_ms(60)
    assert rig.results[-1].outcome is Outcome.REFUSED_RANGE
    assert rig.bench.moved == []


@pytest.mark.parametrize("level", [OCCUPIED, CUT, SHORTED])
def test_close_is_refused_on_a_safety_loop_that_is_occupied_cut_or_shorted(rig: Rig, level: int) -> None:
    rig.bench.line(Input.SAFETY, level)
    rig.pass_ms(60)
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_SAFETY_OCCUPIED
    assert rig.bench.moved == []
    rig.bench.line(Input.SAFETY, FREE)
    rig.pass_ms(500)
    assert rig.order(Relay.CLOSE) is Outcome.STARTED


def test_loop_must_be_clear_for_400_ms_before_close_is_taken(rig: Rig) -> None:
    rig.bench.line(Input.SAFETY, OCCUPIED)
    rig.pass_ms(60)
    rig.bench.line(Input.SAFETY, FREE)
    rig.pass_ms(300)
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_SAFETY_OCCUPIED
    rig.pass_ms(150)
    assert rig.order(Relay.CLOSE) is Outcome.STARTED


def test_close_in_progress_is_dropped_when_the_loop_is_hit(rig: Rig) -> None:
    assert rig.order(Relay.CLOSE, 2000) is Outcome.STARTED
    rig.pass_ms(100)
    hit_us = rig.bench.now_us
    rig.bench.line(Input.SAFETY, OCCUPIED)
    rig.pass_ms(100)
    assert not rig.bench.closed(0)
    assert rig.bench.moved[-1].us - hit_us < 20 * MS


def test_close_is_refused_until_the_loop_has_been_seen_clear(rig: Rig) -> None:
    rig.bench.do("reset")
    rig.heard.clear()
    rig.until(lambda: any(isinstance(message, Welcome) for message in rig.heard), 300)
    rig.link.heartbeat()
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_SAFETY_OCCUPIED
    rig.pass_ms(450)
    assert rig.order(Relay.CLOSE) is Outcome.STARTED


def test_detector_that_reports_its_own_fault_lets_nothing_be_lowered(rig: Rig) -> None:
    if rig.kind == "avr":
        pytest.skip("the Nano has no pin left for it: its safety line is supervised instead")
    rig.bench.contact(0, Input.SAFETY_FAULT, is_closed=False)
    rig.pass_ms(60)
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_SAFETY_OCCUPIED


def test_open_ends_close_and_close_waits_for_open(rig: Rig) -> None:
    assert rig.order(Relay.CLOSE, 2000) is Outcome.STARTED
    assert rig.order(Relay.OPEN, 1000) is Outcome.STARTED  # over before CLOSE would have been
    assert rig.bench.closed(0) == {Relay.OPEN}
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_OPENING
    assert rig.bench.closed(0) == {Relay.OPEN}
    rig.pass_ms(1000)
    assert rig.bench.closed(0) == set()
    assert rig.order(Relay.CLOSE) is Outcome.STARTED


def test_stop_ends_open_and_close_and_both_wait_for_it(rig: Rig) -> None:
    rig.order(Relay.OPEN, 2000)
    assert rig.order(Relay.STOP, 500) is Outcome.STARTED
    assert rig.bench.closed(0) == {Relay.STOP}
    assert rig.order(Relay.OPEN) is Outcome.REFUSED_STOPPING
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_STOPPING
    rig.pass_ms(600)
    assert rig.bench.closed(0) == set()
    rig.order(Relay.CLOSE, 2000)
    assert rig.order(Relay.STOP, 500) is Outcome.STARTED
    assert rig.bench.closed(0) == {Relay.STOP}


@pytest.mark.parametrize("level", [OCCUPIED, CUT, SHORTED])
def test_fire_or_a_broken_fire_line_opens_every_lane_and_holds_it(rig: Rig, level: int) -> None:
    rig.bench.line(Input.FIRE, level)
    rig.pass_ms(6000)
    for channel in (0, 1):
        assert rig.bench.closed(channel) == {Relay.OPEN}
        assert rig.counts(channel) == (0, 1)
        assert rig.edges(Input.FIRE, channel) == [True]
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_FIRE
    assert rig.order(Relay.STOP) is Outcome.REFUSED_FIRE
    assert rig.bench.closed(0) == {Relay.OPEN}


def test_fire_ends_a_stop_and_a_close_at_once(rig: Rig) -> None:
    rig.order(Relay.STOP, 2000)
    rig.bench.line(Input.FIRE, OCCUPIED)
    rig.pass_ms(60)
    assert rig.bench.closed(0) == {Relay.OPEN}


def test_fire_is_held_until_a_named_person_releases_it_and_not_while_the_line_alarms(rig: Rig) -> None:
    rig.bench.line(Input.FIRE, OCCUPIED)
    rig.pass_ms(60)
    rig.link.release_fire(0)
    rig.pass_ms(60)
    rig.bench.line(Input.FIRE, FREE)
    rig.pass_ms(2000)
    assert rig.bench.closed(0) == {Relay.OPEN}
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_FIRE
    rig.link.release_fire(0)
    rig.pass_ms(60)
    assert rig.bench.closed(0) == set()
    assert rig.bench.closed(1) == {Relay.OPEN}
    assert rig.order(Relay.CLOSE) is Outcome.STARTED


def test_fires_latch_survives_a_power_cut_and_the_host_hears_of_it(rig: Rig) -> None:
    rig.bench.line(Input.FIRE, OCCUPIED)
    rig.pass_ms(60)
    rig.bench.line(Input.FIRE, FREE)
    rig.pass_ms(500)
    rig.bench.do("cut")
    rig.heard.clear()
    rig.pass_ms(1500)
    assert rig.bench.closed(0) == {Relay.OPEN}
    shots = [m for m in rig.heard if isinstance(m, InputSnapshot) and m.channel == 0]
    assert [shot.active >> Input.FIRE & 1 for shot in shots] == [1]
    assert rig.edges(Input.FIRE) == [False]
    assert rig.order(Relay.CLOSE) is Outcome.REFUSED_FIRE


def test_release_needs_the_lease(rig: Rig) -> None:
    rig.bench.line(Input.FIRE, OCCUPIED)
    rig.pass_ms(60)
    rig.bench.line(Input.FIRE, FREE)
    rig.pass_ms(60)
    rig.is_feeding = False
    rig.pass_ms(1300)
    rig.say(ReleaseFire(0))
    rig.pass_ms(100)
    assert rig.bench.closed(0) == {Relay.OPEN}


def test_pulse_is_refused_a_second_after_the_last_heartbeat(rig: Rig) -> None:
    rig.pass_ms(260)
    rig.is_feeding = False
    rig.pass_ms(800)
    rig.say(Pulse(0, Relay.OPEN, 100))
    rig.pass_ms(360)
    rig.say(Pulse(0, Relay.OPEN, 100))
    rig.pass_ms(60)
    assert [result.outcome for result in rig.results] == [Outcome.STARTED, Outcome.REFUSED_NO_LEASE]
    assert len(times_us(rig, Relay.OPEN)) == 1


@pytest.mark.parametrize("is_cut", [False, True])
def test_lost_host_opens_a_fail_safe_lane_after_ten_seconds_and_moves_no_other(rig: Rig, is_cut: bool) -> None:
    rig.link.configure_lane(0, OnHostLoss.FAIL_SECURE)
    rig.link.configure_lane(1, OnHostLoss.FAIL_SAFE)
    rig.pass_ms(300)
    rig.is_host_there = False
    if is_cut:  # the declaration outlives power: a dead SD card is found by the power coming back
        rig.bench.do("cut")
    lost_us = rig.bench.now_us
    rig.pass_ms(9500)
    assert rig.bench.moved == []
    rig.pass_ms(8000)
    opening = rig.bench.moved[0]
    assert (opening.channel, opening.relay, opening.is_closed) == (1, Relay.OPEN, True)
    assert 9_700 * MS <= opening.us - lost_us <= 10_300 * MS
    assert len(rig.bench.moved) == 1
    rig.is_host_there = True
    rig.until(lambda: not rig.bench.closed(1), 3000)


def test_host_that_comes_late_declares_a_fail_safe_lane_and_nothing_moves(alone: Rig) -> None:
    """A computer takes longer to boot than ten seconds: its first word must not lift the arm."""
    alone.pass_ms(15_000)
    alone.is_feeding = False
    alone.greet()
    alone.link.configure_lane(1, OnHostLoss.FAIL_SAFE)
    alone.pass_ms(500)  # its controller comes up after its link
    alone.is_feeding = True
    alone.pass_ms(3_000)
    assert alone.bench.moved == []


def test_undeclared_lane_stays_as_it_is_without_a_host(alone: Rig) -> None:
    alone.pass_ms(15_000)
    assert alone.bench.moved == []


@pytest.mark.parametrize("channel", [0, 1])
def test_exit_button_opens_its_lane_when_no_host_obeys(alone: Rig, channel: int) -> None:
    alone.bench.contact(channel, Input.REX, is_closed=True)
    alone.pass_ms(3000)
    ((_, lasted_us),) = times_us(alone, Relay.OPEN, channel)
    assert 499_900 <= lasted_us <= 502 * MS
    alone.bench.contact(channel, Input.REX, is_closed=False)
    alone.pass_ms(100)
    alone.bench.contact(channel, Input.REX, is_closed=True)
    alone.pass_ms(1000)
    assert len(times_us(alone, Relay.OPEN, channel)) == 2


def test_exit_button_is_left_to_a_host_that_feeds_its_lease_and_taken_back_when_it_dies(rig: Rig) -> None:
    rig.bench.contact(0, Input.REX, is_closed=True)
    rig.pass_ms(700)
    assert rig.edges(Input.REX) == [True]
    assert rig.bench.moved == []
    rig.is_feeding = False
    rig.pass_ms(1300)
    assert times_us(rig, Relay.OPEN) or rig.bench.closed(0) == {Relay.OPEN}


def test_button_that_is_stuck_at_power_on_opens_nothing(alone: Rig) -> None:
    alone.bench.contact(0, Input.REX, is_closed=True)
    alone.pass_ms(1000)
    alone.bench.moved.clear()
    alone.bench.do("cut")
    alone.pass_ms(3000)
    assert alone.bench.moved == []


def test_hung_firmwares_relay_is_dropped_by_the_watchdog_and_it_starts_again(rig: Rig) -> None:
    rig.order(Relay.OPEN, 2000)
    hung_us = rig.bench.now_us
    rig.bench.do("hang")
    rig.pass_ms(400)
    off = rig.bench.moved[-1]
    assert not off.is_closed
    assert off.us - hung_us < 300 * MS
    rig.pass_ms(2500)
    assert rig.faults(FaultCode.WATCHDOG_RESET) == [True]
    assert rig.order(Relay.OPEN, 100) is Outcome.STARTED
    rig.pass_ms(10_500)
    assert rig.faults(FaultCode.WATCHDOG_RESET) == [True, False]


def test_relay_pin_that_does_not_follow_is_a_fault(rig: Rig) -> None:
    if rig.kind == "avr":
        pytest.skip("simavr cannot force an output's pin")
    rig.bench.do(f"stick 0 {int(Relay.OPEN)} 1")
    rig.pass_ms(60)
    assert rig.faults(FaultCode.RELAY_STUCK) == [True]
    rig.bench.do(f"stick 0 {int(Relay.OPEN)} -1")
    rig.pass_ms(60)
    assert rig.faults(FaultCode.RELAY_STUCK) == [True, False]
