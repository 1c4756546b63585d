"""Readers: every frame that a reader sends is told bit by bit, and nothing that is none."""

import pytest
from firmware_board import MS, Rig

W26 = "10110001111100011100000011"  # facility 99, card 58241 (PROTOCOLS 2)
W34 = "1100010011101010000011011100000011"  # 89D41B81
W37 = "1000000000110010000000110000001110011"  # H10304 100/12345
TIMINGS = {
    "promag_fastest": (20, 220),
    "promag_slowest": (100, 20_000),
    "cdvi": (50, 2000),
    "zk": (100, 1000),
    "seeed": (160, 880),
    "widest_pulse": (200, 2000),
}
"""(pulse, from one pulse to the next) in us, as makers state them (PROTOCOLS 2)."""


@pytest.mark.parametrize("bits", [W26, W34, W37])
@pytest.mark.parametrize("reader", [0, 1])
def test_frame_is_told_bit_by_bit_within_40_ms_of_its_end(rig: Rig, reader: int, bits: str) -> None:
    rig.bench.card(reader, bits)
    rig.pass_ms(len(bits) + 40)
    assert rig.cards == [(reader, bits)]


@pytest.mark.parametrize("timing", TIMINGS)
def test_every_makers_timing_is_read(rig: Rig, timing: str) -> None:
    pulse_us, period_us = TIMINGS[timing]
    rig.bench.card(0, W26, pulse_us, period_us)
    rig.pass_ms(26 * period_us // MS + 50)
    assert rig.cards == [(0, W26)]


def test_two_readers_at_once_do_not_mix(rig: Rig) -> None:
    rig.bench.card(0, W26, 50, 300)
    rig.bench.card(1, W34, 70, 310)
    rig.pass_ms(80)
    assert sorted(rig.cards) == [(0, W26), (1, W34)]


def test_hundred_taps_are_hundred_frames(rig: Rig) -> None:
    for number in range(100):
        rig.bench.card(number % 2, f"{number:026b}", 50, 1000)
        rig.pass_ms(70)
    assert [bits for _, bits in rig.cards] == [f"{number:026b}" for number in range(100)]


def test_pause_of_20_ms_is_within_a_frame_and_one_of_50_ms_ends_it(rig: Rig) -> None:
    rig.bench.card(0, W26[:13])
    rig.pass_ms(13 + 19)
    rig.bench.card(0, W26[13:])
    rig.pass_ms(13 + 60)
    rig.bench.card(0, W26)
    rig.pass_ms(80)
    assert rig.cards == [(0, W26), (0, W26)]


@pytest.mark.parametrize("key", range(12))
def test_keypad_sends_four_bits_or_a_burst_of_eight_for_each_key(rig: Rig, key: int) -> None:
    rig.bench.card(0, f"{key:04b}")
    rig.pass_ms(60)
    rig.bench.card(1, f"{key ^ 15:04b}{key:04b}")
    rig.pass_ms(60)
    character = "0123456789*#"[key]
    assert rig.keys == [(0, character), (1, character)]
    assert rig.cards == []


@pytest.mark.parametrize("bits", ["1100", "1111", "00010001", "00111100"])
def test_frame_of_a_keys_length_that_is_no_key_is_told_as_bits(rig: Rig, bits: str) -> None:
    rig.bench.card(0, bits)
    rig.pass_ms(60)
    assert rig.keys == []
    assert rig.cards == [(0, bits)]


@pytest.mark.parametrize("width_us", [2, 5])
def test_spike_is_no_bit_and_spoils_no_card(rig: Rig, width_us: int) -> None:
    rig.bench.do(f"pulse 0 0 {width_us}")
    rig.pass_ms(60)
    assert rig.cards == []
    rig.bench.card(0, W26)
    rig.pass_ms(70)
    assert rig.cards == [(0, W26)]


@pytest.mark.parametrize("bits", ["1", "01", "110"])
def test_few_pulses_are_noise(rig: Rig, bits: str) -> None:
    rig.bench.card(0, bits)
    rig.pass_ms(60)
    assert rig.cards == []
    assert rig.keys == []


def test_frame_with_too_long_a_pulse_or_too_many_bits_is_void_and_the_next_one_is_read(rig: Rig) -> None:
    rig.bench.card(0, W26, 1500, 2500)
    rig.pass_ms(110)
    rig.bench.card(0, "10" * 41, 50, 300)
    rig.pass_ms(80)
    assert rig.cards == []
    rig.bench.card(0, W26)
    rig.pass_ms(70)
    assert rig.cards == [(0, W26)]


def test_both_lines_low_is_no_reader(rig: Rig) -> None:
    rig.bench.card(0, W26[:10])
    rig.pass_ms(15)
    rig.bench.do("level 0 0 0")
    rig.pass_ms(1)
    rig.bench.do("level 0 1 0")
    rig.pass_ms(1)
    rig.bench.do("level 0 0 1")
    rig.bench.do("level 0 1 1")
    rig.bench.card(0, W26[10:])
    rig.pass_ms(70)
    assert rig.cards == []
    rig.bench.card(0, W26)
    rig.pass_ms(70)
    assert rig.cards == [(0, W26)]


def test_line_held_low_blocks_its_own_reader_only(rig: Rig) -> None:
    rig.bench.do("level 0 0 0")
    rig.pass_ms(200)
    rig.bench.card(1, W26)
    rig.pass_ms(70)
    assert rig.cards == [(1, W26)]


def test_storm_on_a_line_is_no_card_and_stops_nothing(rig: Rig) -> None:
    for _ in range(10):
        rig.bench.card(0, "01" * 60, 12, 40)
        rig.pass_ms(5)
    rig.pass_ms(60)
    assert rig.cards == []
    rig.bench.card(0, W26)
    rig.pass_ms(70)
    assert rig.cards == [(0, W26)]
