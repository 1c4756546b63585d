"""Python and C read the same bytes alike, and write them alike."""

import ctypes
from functools import cache
from typing import Any

from firmware_board import BUILD, make, require
from hypothesis import given
from hypothesis import strategies as st

from gatectl.wire.bridge_frames import Deframer, cobs_encode, crc16, encode_frame
from gatectl.wire.bridge_ids import ENUMS, LAYOUTS, MAX_FIELDS_BYTES, BridgeMessage

_RANGES = {"u8": 0xFF, "u16": 0xFFFF, "u32": 0xFFFF_FFFF}


@cache
def library() -> ctypes.CDLL:
    require("host")
    make("host")
    return ctypes.CDLL(str(BUILD / "host" / "libfilter.so"))


def by_c(data: bytes) -> tuple[bytes, int]:
    """(what C understood, encoded anew; how many pieces were no frame)."""
    c = library()
    out = ctypes.create_string_buffer(4 * len(data) + 100)
    c.filter_reset()
    length = c.filter_feed(data, len(data), out)
    return out.raw[:length], int(c.filter_bad_frames())


def by_python(data: bytes) -> bytes:
    return b"".join(encode_frame(message, seq) for message, seq in Deframer().feed(data))


def field_values(kind: str) -> st.SearchStrategy[Any]:
    if kind in ENUMS:
        return st.sampled_from(sorted(ENUMS[kind]))
    if kind == "bool":
        return st.booleans()
    if kind == "text":
        return st.text(max_size=6)
    if kind == "bytes":
        return st.binary(max_size=24)
    return st.integers(0, _RANGES[kind])


@st.composite
def messages(draw: st.DrawFn) -> BridgeMessage:
    message_type, kinds = draw(st.sampled_from(list(LAYOUTS.values())))
    return message_type(*(draw(field_values(kind)) for kind in kinds))


def wrapped(body: bytes) -> bytes:
    """Any body as a frame whose checksum is right."""
    return b"\0" + cobs_encode(body + crc16(body).to_bytes(2, "big")) + b"\0"


@given(st.lists(st.tuples(messages(), st.integers(0, 255)), max_size=8))
def test_c_reads_and_writes_every_message_as_python_does(told: list[tuple[BridgeMessage, int]]) -> None:
    stream = b"".join(encode_frame(message, seq) for message, seq in told)
    assert by_c(stream) == (stream, 0)


@given(st.lists(st.binary(max_size=MAX_FIELDS_BYTES + 6), max_size=6))
def test_both_take_or_refuse_any_body_with_a_good_checksum(bodies: list[bytes]) -> None:
    stream = b"".join(wrapped(body) for body in bodies)
    assert by_c(stream)[0] == by_python(stream)


@given(
    st.sampled_from([number for number, (_, kinds) in LAYOUTS.items() if "text" not in kinds]),
    st.integers(0, 255),
    st.binary(max_size=20),
)
def test_both_take_or_refuse_any_fields_of_a_known_message(number: int, seq: int, fields: bytes) -> None:
    stream = wrapped(bytes((number, seq)) + fields)
    assert by_c(stream)[0] == by_python(stream)


@given(st.binary(max_size=600), messages())
def test_both_resynchronise_within_one_frame_after_any_garbage(garbage: bytes, message: BridgeMessage) -> None:
    stream = garbage + encode_frame(message, 9)
    understood, _ = by_c(stream)
    assert understood == by_python(stream)
    assert understood.endswith(encode_frame(message, 9))


@given(messages(), st.data())
def test_c_notices_any_single_flipped_bit(message: BridgeMessage, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(message, 9))
    bit = data.draw(st.integers(8, len(frame) * 8 - 9))
    frame[bit // 8] ^= 1 << bit % 8
    understood, bad_frames = by_c(bytes(frame))
    assert understood == b""
    assert bad_frames >= 1
