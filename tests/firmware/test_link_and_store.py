"""The session with the host, and what outlives power."""

import pytest
from firmware_board import FREE, MS, OCCUPIED, Rig

from gatectl.wire.bridge import LinkState
from gatectl.wire.bridge_frames import Deframer, encode_frame
from gatectl.wire.bridge_ids import (
    SCHEMA_HASH,
    Alive,
    BridgeMessage,
    CardRead,
    FaultCode,
    Heartbeat,
    Hello,
    Indicate,
    Input,
    Lamp,
    Outcome,
    Pulse,
    PulseResult,
    Relay,
    Welcome,
)

W26 = "10110001111100011100000011"


def answers(rig: Rig, data: bytes, ms: int = 30) -> list[BridgeMessage]:
    """What the board says when it hears these bytes, without a host's link in between."""
    rig.bench.sent = b""
    if data:
        rig.bench.do(f"uart {data.hex()}")
    rig.bench.do(f"step {ms * MS}")
    return [message for message, _ in Deframer().feed(rig.bench.sent)]


def test_welcome_names_firmware_board_and_session(alone: Rig) -> None:
    (welcome,) = [m for m in answers(alone, encode_frame(Hello(SCHEMA_HASH, 77, "x"), 0)) if isinstance(m, Welcome)]
    assert (welcome.schema_hash, welcome.session, welcome.firmware) == (SCHEMA_HASH, 77, "1.0.0")
    assert welcome.board == {"avr": "nano-atmega328p", "host": "host"}[alone.kind]
    assert welcome.boot_id != 0


def test_host_with_another_schema_is_answered_and_obeyed_in_nothing(alone: Rig) -> None:
    hello = encode_frame(Hello(SCHEMA_HASH ^ 1, 5, "old"), 0)
    heard = answers(alone, hello + encode_frame(Heartbeat(), 0) + encode_frame(Pulse(0, Relay.OPEN, 500), 1), 100)
    assert [m.schema_hash for m in heard if isinstance(m, Welcome)] == [SCHEMA_HASH]
    assert not any(isinstance(m, PulseResult) for m in heard)
    assert alone.bench.moved == []


def test_pulse_without_a_session_or_before_a_heartbeat_moves_nothing(alone: Rig) -> None:
    answers(alone, encode_frame(Heartbeat(), 0) + encode_frame(Pulse(0, Relay.OPEN, 500), 1), 100)
    heard = answers(
        alone, encode_frame(Hello(SCHEMA_HASH, 5, "x"), 0) + encode_frame(Pulse(0, Relay.OPEN, 500), 1), 100
    )
    assert next(m.outcome for m in heard if isinstance(m, PulseResult)) is Outcome.REFUSED_NO_LEASE
    assert alone.bench.moved == []


def test_order_without_a_session_is_not_heeded(alone: Rig) -> None:
    answers(alone, encode_frame(Indicate(0, Lamp.GRANTED, 1), 1), 100)
    assert alone.bench.lit == []
    answers(alone, encode_frame(Hello(SCHEMA_HASH, 5, "x"), 0) + encode_frame(Indicate(0, Lamp.GRANTED, 1), 1), 100)
    assert alone.bench.lit != []


def test_heartbeats_of_a_host_that_never_greeted_keep_nobody_from_the_exit_button(alone: Rig) -> None:
    answers(alone, encode_frame(Heartbeat(), 0))
    alone.bench.contact(0, Input.REX, is_closed=True)
    answers(alone, encode_frame(Heartbeat(), 0), 100)
    assert alone.bench.closed(0) == {Relay.OPEN}


def test_order_that_is_heard_twice_is_obeyed_once(rig: Rig) -> None:
    rig.link.pulse(0, Relay.OPEN, 100)
    frame = rig.link.to_write()
    rig.bench.do(f"uart {(frame * 3).hex()}")
    rig.pass_ms(400)
    assert [move.is_closed for move in rig.bench.moved] == [True, False]
    assert rig.counts()[0] == 1


def test_old_card_is_not_delivered_to_a_new_session(rig: Rig) -> None:
    rig.is_host_there = False
    rig.bench.card(0, W26)
    rig.pass_ms(100)
    rig.bench.sent = b""
    rig.greet()
    rig.pass_ms(500)
    assert rig.cards == []


def test_frame_is_sent_again_until_it_is_acknowledged_and_told_once(rig: Rig) -> None:
    rig.bench.card(0, W26)
    rig.bench.do("step 70000")
    rig.bench.sent = b""  # the first sending is lost on the wire
    rig.pass_ms(300)
    assert rig.cards == [(0, W26)]


def test_host_that_never_acknowledges_loses_its_session_within_two_seconds(rig: Rig) -> None:
    rig.is_host_there = False
    rig.bench.card(0, W26)
    rig.pass_ms(2200)
    alive = [message for message, _ in Deframer().feed(rig.bench.sent) if isinstance(message, Alive)]
    assert alive[-1].session == 0
    copies = [message for message, _ in Deframer().feed(rig.bench.sent) if isinstance(message, CardRead)]
    assert len(copies) == 9


def test_full_queue_ends_the_session_and_the_next_one_begins_with_a_snapshot(rig: Rig) -> None:
    rig.is_host_there = False
    for number in range(40):
        rig.bench.contact(0, Input.ARM_UP, is_closed=number % 2 == 0)
        rig.bench.do("step 15000")
    alive = [message for message, _ in Deframer().feed(rig.bench.sent) if isinstance(message, Alive)]
    rig.bench.do("step 100000")
    alive += [message for message, _ in Deframer().feed(rig.bench.sent) if isinstance(message, Alive)]
    assert alive[-1].session == 0
    rig.heard.clear()
    rig.bench.contact(0, Input.ARM_UP, is_closed=True)
    rig.is_host_there = True
    rig.until(lambda: bool([m for m in rig.heard if isinstance(m, Welcome)]), 3000)
    rig.pass_ms(100)
    assert rig.snapshot().active >> Input.ARM_UP & 1


@pytest.mark.parametrize(
    "garbage",
    [b"\x55" * 500, bytes(range(1, 256)), b"\x00" * 40, b"\x11\x01\x01\xf4", b"\x01\xff\xff\x00\x02\x00\xff"],
)
def test_order_after_any_garbage_is_obeyed_at_once(rig: Rig, garbage: bytes) -> None:
    rig.bench.do(f"uart {garbage.hex()}")
    rig.pass_ms(len(garbage) * 87 // MS + 10)
    rig.link.pulse(0, Relay.OPEN, 100)
    rig.pass_ms(25)  # less than it takes to be sent again
    assert [move.is_closed for move in rig.bench.moved] == [True]


def test_half_a_frame_costs_no_more_than_itself(rig: Rig) -> None:
    rig.link.pulse(0, Relay.OPEN, 100)
    rig.bench.do(f"uart {rig.link.to_write()[:7].hex()}")
    rig.link.pulse(1, Relay.OPEN, 100)
    rig.pass_ms(150)
    assert {move.channel for move in rig.bench.moved} == {0, 1}
    assert rig.counts(0) == (1, 0)


@pytest.mark.parametrize("bit", range(0, 80, 7))
def test_pulse_with_a_flipped_bit_moves_nothing(rig: Rig, bit: int) -> None:
    rig.link.pulse(0, Relay.OPEN, 100)
    frame = bytearray(rig.link.to_write())
    frame[1 + bit // 8] ^= 1 << bit % 8
    rig.is_host_there = False
    rig.bench.do(f"uart {frame.hex()}")
    rig.pass_ms(100)
    assert rig.bench.moved == []


def test_board_that_restarts_is_greeted_again_within_a_second(rig: Rig) -> None:
    rig.bench.do("reset")
    rig.heard.clear()
    took_ms = rig.until(lambda: bool([m for m in rig.heard if isinstance(m, Welcome)]), 2000)
    assert took_ms < 1000
    assert rig.link.state is LinkState.READY
    rig.pass_ms(300)
    assert rig.order(Relay.OPEN, 100) is Outcome.STARTED


def test_host_that_opens_the_port_anew_resets_nothing(rig: Rig) -> None:
    rig.pass_ms(3000)
    rig.greet()
    uptime_ms = [message.uptime_ms for message in rig.heard if isinstance(message, Alive)]
    assert uptime_ms == sorted(uptime_ms)
    assert rig.order(Relay.OPEN, 100) is Outcome.STARTED


def open_often(rig: Rig, times: int) -> None:
    for _ in range(times):
        assert rig.order(Relay.OPEN, 50) is Outcome.STARTED
        rig.pass_ms(60)


@pytest.mark.parametrize("how", ["reset", "cut"])
def test_counters_survive_resets_and_power_cuts(rig: Rig, how: str) -> None:
    open_often(rig, 3)
    rig.bench.line(Input.FIRE, OCCUPIED)
    rig.pass_ms(60)
    rig.bench.line(Input.FIRE, FREE)
    rig.pass_ms(60)
    rig.link.release_fire(0)
    rig.pass_ms(200)
    rig.bench.do(how)
    rig.heard.clear()
    rig.pass_ms(1500)
    assert rig.counts(0) == (3, 1)
    open_often(rig, 1)
    assert rig.counts(0) == (4, 1)


@pytest.mark.parametrize("after_ms", [0, 3, 6, 9, 12, 15, 18, 21, 24])
def test_power_cut_within_a_write_leaves_the_count_before_or_after_it(rig: Rig, after_ms: int) -> None:
    open_often(rig, 2)
    rig.pass_ms(300)
    assert rig.order(Relay.OPEN, 50) is Outcome.STARTED
    if after_ms:
        rig.bench.do(f"step {after_ms * MS}")
    rig.bench.do("cut")
    rig.heard.clear()
    rig.pass_ms(1500)
    assert rig.counts(0)[0] in (2, 3)
    assert rig.faults(FaultCode.STORE_BROKEN) == []


def test_writes_wander_over_the_store(rig: Rig) -> None:
    open_often(rig, 60)
    rig.pass_ms(300)
    rig.bench.do("reset")
    rig.heard.clear()
    rig.pass_ms(1500)
    assert rig.counts(0) == (60, 0)
    store = rig.bench.peek(0, 1024)
    first = 6 * (16 + 8)  # after the rings of fire and configuration
    values = [int.from_bytes(store[at : at + 4], "big") for at in range(first, first + 54 * 6, 6)]
    assert sorted(values) == list(range(7, 61))


def test_store_that_cannot_be_read_is_a_fault_and_the_gate_works_on(rig: Rig) -> None:
    open_often(rig, 3)
    rig.pass_ms(300)
    rig.bench.do(f"poke {6 * (16 + 8)} {'5a' * 54 * 6}")
    rig.bench.do("cut")
    rig.pass_ms(1500)
    assert rig.faults(FaultCode.STORE_BROKEN) == [True]
    assert rig.counts(0) == (0, 0)
    assert rig.order(Relay.OPEN, 50) is Outcome.STARTED


def test_stack_never_comes_near_the_data(rig: Rig) -> None:
    if rig.kind != "avr":
        pytest.skip("only the chip's memory is that small")
    rig.bench.do("cut")
    rig.pass_ms(1500)
    for number in range(20):
        rig.bench.card(0, W26, 50, 300)
        rig.bench.card(1, "10" * 40, 50, 300)
        rig.bench.line(Input.SAFETY, (FREE, OCCUPIED, 255, 0)[number % 4])
        rig.bench.line(Input.FIRE, (FREE, OCCUPIED)[number % 2])
        rig.link.pulse(0, Relay.OPEN, 50)
        rig.link.request_snapshot()
        rig.pass_ms(70)
    rig.greet()
    rig.pass_ms(300)
    assert rig.bench.untouched_bytes() >= 64
