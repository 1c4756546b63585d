"""The RDM6300 parser and the tap filter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.model import CredentialKey
from gatectl.drivers.rfid_serial import Rdm6300Parser
from gatectl.drivers.taps import TapFilter
from gatectl.sim.devices import rdm6300_frame

S = 1_000_000_000
ONE, TWO = CredentialKey("em:010063E9AE"), CredentialKey("em:100086F444")


@pytest.mark.parametrize(
    ("frame", "raw"),
    [
        (b"\x02010063E9AE25\x03", "010063e9ae"),  # both vectors from PROTOCOLS 1
        (b"\x02100086F44426\x03", "100086f444"),
        (b"\x02100086f44426\x03", "100086f444"),
    ],
)
def test_published_frames_are_read(frame: bytes, raw: str) -> None:
    assert Rdm6300Parser().feed(frame) == [bytes.fromhex(raw)]


@given(st.binary(min_size=5, max_size=5), st.lists(st.integers(1, 5), min_size=1))
def test_every_card_is_read_however_its_bytes_arrive(raw: bytes, cuts: list[int]) -> None:
    frame = rdm6300_frame(raw.hex())
    parser = Rdm6300Parser()
    found = []
    at = 0
    while at < len(frame):
        step = cuts[at % len(cuts)]
        found += parser.feed(frame[at : at + step])
        at += step
    assert found == [raw]


@given(st.binary(max_size=60), st.binary(min_size=5, max_size=5))
def test_frame_right_after_any_garbage_is_read(garbage: bytes, raw: bytes) -> None:
    assert Rdm6300Parser().feed(garbage + rdm6300_frame(raw.hex()))[-1:] == [raw]


@given(st.binary(min_size=5, max_size=5), st.integers(0, 13), st.integers(1, 255))
def test_frame_with_one_wrong_byte_never_becomes_another_card(raw: bytes, at: int, change: int) -> None:
    frame = bytearray(rdm6300_frame(raw.hex()))
    frame[at] ^= change
    assert Rdm6300Parser().feed(bytes(frame)) in ([], [raw])  # the same card: only a letter's case changed


@pytest.mark.parametrize(
    "half",
    [b"\x02010063E9", b"\x02010063E9AE26\x03", b"\x02010063E9AE2525\x03", b"\x020100 3E9AE25\x03", b"\x02\x03"],
)
def test_broken_frames_are_counted_and_the_next_one_is_read(half: bytes) -> None:
    parser = Rdm6300Parser()
    assert parser.feed(half) == []
    assert parser.feed(b"\x02010063E9AE25\x03") == [bytes.fromhex("010063E9AE")]
    assert parser.bad_frames == 1


def test_repeats_within_the_time_of_the_last_frame_are_the_same_tap() -> None:
    taps = TapFilter(2.0)
    seen = [taps.is_new(ONE, tick) for tick in (0, S, 2 * S, 3 * S + S // 2, 5 * S + S // 2)]
    assert seen == [True, False, False, False, True]
    assert taps.repeats == 3


def test_another_card_is_always_a_tap_of_its_own() -> None:
    taps = TapFilter(2.0)
    assert [taps.is_new(key, 0) for key in (ONE, TWO, ONE)] == [True, True, True]


def test_filter_of_no_time_lets_every_frame_through() -> None:
    taps = TapFilter(0)
    assert [taps.is_new(ONE, 0) for _ in range(3)] == [True, True, True]
