"""The ear on an OSDP bus: who answers, what it claims, and that no bytes upset it."""

import random
from itertools import pairwise
from types import TracebackType
from typing import Self

from hypothesis import given
from hypothesis import strategies as st

from gatectl.drivers.checksums import checksum
from gatectl.drivers.osdp_channel import BusChannel

ID_TO_1 = bytes.fromhex("FF53010900046100 6023".replace(" ", ""))
CAPS_OF_1 = bytes.fromhex("53811D000546040101 050101 060101 080100 090100 0A0001 100200 C36F".replace(" ", ""))


class Line:
    """A port that brings what a test gave it."""

    def __init__(self) -> None:
        self.waiting = b""
        self.is_pulled = False

    @property
    def in_waiting(self) -> int:
        return len(self.waiting)

    def read(self, size: int) -> bytes:
        if self.is_pulled:
            raise OSError(5, "gone")
        found, self.waiting = self.waiting[:size], self.waiting[size:]
        return found

    def write(self, data: bytes) -> int:
        if self.is_pulled:
            raise OSError(5, "gone")
        return len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to close."""


def heard(*pieces: bytes) -> BusChannel:
    line = Line()
    channel = BusChannel(line, 1)
    channel.write(ID_TO_1)
    for piece in pieces:
        line.waiting = piece
        channel.pump()
    return channel


@given(st.lists(st.integers(1, 29), max_size=6))
def test_capability_report_is_understood_however_it_arrives(cuts: list[int]) -> None:
    edges = sorted({0, *cuts, len(CAPS_OF_1)})
    channel = heard(*(CAPS_OF_1[a:b] for a, b in pairwise(edges)))
    assert [code for code, _, _ in channel.capabilities[1]] == [4, 5, 6, 8, 9, 10, 16]
    assert channel.offers_security(1)
    assert 1 in channel.heard_ns
    assert channel.read(1000) == CAPS_OF_1


def test_answer_of_another_address_is_not_taken_for_the_one_that_was_asked() -> None:
    channel = heard(b"\x53\x82" + CAPS_OF_1[2:])
    assert channel.heard_ns == {}
    assert channel.capabilities == {}


def test_report_without_security_is_noticed_and_none_at_all_is_not_one() -> None:
    frame = CAPS_OF_1[:-2].replace(bytes.fromhex("090100"), bytes.fromhex("090000"))
    channel = heard(frame + checksum("crc16_aug", frame).to_bytes(2, "little"))
    assert not channel.offers_security(1)
    assert channel.offers_security(2)


@given(st.integers(0, 8 * len(CAPS_OF_1) - 1))
def test_report_with_a_bit_error_is_not_believed(bit: int) -> None:
    broken = bytearray(CAPS_OF_1)
    broken[bit // 8] ^= 1 << bit % 8
    assert heard(bytes(broken)).capabilities == {}


def test_random_bytes_raise_nothing_and_are_kept_within_bounds() -> None:
    chance = random.Random("osdp noise")
    channel = heard(*(chance.randbytes(997) for _ in range(300)))
    assert len(channel.read(1_000_000)) <= 4096


def test_port_that_was_pulled_is_told_and_not_raised() -> None:
    line = Line()
    channel = BusChannel(line, 1)
    line.is_pulled = True
    channel.pump()
    assert isinstance(channel.lost, OSError)
    assert channel.write(ID_TO_1) == 0
    assert channel.read(10) == b""
