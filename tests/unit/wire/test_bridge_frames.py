"""Frames of the MCU link: COBS, CRC, fields, and bytes that never change."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.errors import ContractError, FrameError
from gatectl.wire import bridge_ids
from gatectl.wire.bridge_frames import (
    MAX_ENCODED_BYTES,
    Deframer,
    cobs_decode,
    cobs_encode,
    crc16,
    decode_frame,
    encode_frame,
)
from gatectl.wire.bridge_ids import (
    ENUMS,
    LAYOUTS,
    MAX_FIELDS_BYTES,
    Alive,
    BridgeMessage,
    CardRead,
    Hello,
    Input,
    InputEdge,
    Pulse,
    Relay,
    Welcome,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "bridge_frames.json"
_RANGES = {"u8": 0xFF, "u16": 0xFFFF, "u32": 0xFFFF_FFFF}


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


def inner(frame: bytes) -> bytes:
    return frame[1:-1]


def test_crc_is_the_ccitt_one_with_its_published_check_value() -> None:
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("plain", "stuffed"),
    [
        (b"", b"\x01"),
        (b"\x00", b"\x01\x01"),
        (b"\x00\x00", b"\x01\x01\x01"),
        (b"\x11\x22\x00\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\x00\x00\x00", b"\x02\x11\x01\x01\x01"),
        (bytes(range(1, 255)), b"\xff" + bytes(range(1, 255))),
        (bytes(range(256)), b"\x01\xff" + bytes(range(1, 255)) + b"\x02\xff"),
    ],
)
def test_cobs_agrees_with_its_published_examples(plain: bytes, stuffed: bytes) -> None:
    assert cobs_encode(plain) == stuffed
    assert cobs_decode(stuffed) == plain


@given(st.binary(max_size=600))
def test_cobs_leaves_no_zero_and_gives_back_what_it_got(data: bytes) -> None:
    stuffed = cobs_encode(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + len(data) // 254 + 1
    assert cobs_decode(stuffed) == data


@given(messages(), st.integers(0, 255))
def test_every_message_comes_back_as_it_went(message: BridgeMessage, seq: int) -> None:
    frame = encode_frame(message, seq)
    assert len(inner(frame)) <= MAX_ENCODED_BYTES
    assert decode_frame(inner(frame)) == (message, seq)


@given(st.binary(max_size=100))
def test_bytes_that_are_no_frame_are_a_frame_error_and_nothing_else(data: bytes) -> None:
    try:
        message, seq = decode_frame(data.replace(b"\x00", b"\x01"))
    except FrameError:
        return
    assert type(message) in {message_type for message_type, _ in LAYOUTS.values()}  # the checksum was met by chance
    assert 0 <= seq <= 255


@given(messages(), st.data())
def test_any_single_flipped_bit_is_noticed(message: BridgeMessage, data: st.DataObject) -> None:
    raw = bytearray(inner(encode_frame(message, 9)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    deframer = Deframer()
    assert deframer.feed(b"\x00" + bytes(raw) + b"\x00") == []
    assert deframer.bad_frames >= 1


@given(st.binary(max_size=300), messages(), st.lists(st.integers(1, 40), min_size=1))
def test_frame_after_any_garbage_is_read_however_the_bytes_arrive(
    garbage: bytes, message: BridgeMessage, cuts: list[int]
) -> None:
    stream = garbage + encode_frame(message, 5)
    deframer = Deframer()
    found = []
    at = 0
    while at < len(stream):
        step = cuts[at % len(cuts)]
        found += deframer.feed(stream[at : at + step])
        at += step
    assert found[-1:] == [(message, 5)]


def test_endless_noise_without_a_delimiter_takes_no_memory() -> None:
    deframer = Deframer()
    for _ in range(1000):
        assert deframer.feed(b"\x55" * 1000) == []
    assert len(deframer._piece) <= MAX_ENCODED_BYTES
    assert deframer.feed(encode_frame(Alive(1, True, 2), 0)) == [(Alive(1, True, 2), 0)]
    assert deframer.bad_frames == 1


@pytest.mark.parametrize(
    "body",
    [
        b"\x55\x01",  # no such message
        b"\x11\x01\x00\x09\x01\xf4",  # relay 9
        b"\x11\x01\x00\x01\x01",  # a field short
        b"\x11\x01\x00\x01\x01\xf4\x00",  # a byte more
        b"\x90\x01\x00\x1a\x09\x01\x02",  # nine bytes announced, two there
    ],
)
def test_frame_with_a_good_checksum_and_wrong_fields_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(cobs_encode(body + crc16(body).to_bytes(2, "big")))


@pytest.mark.parametrize(
    "message",
    [
        Pulse(0, Relay.OPEN, 70_000),
        Pulse(256, Relay.OPEN, 500),
        Hello(1, 1, "x" * MAX_FIELDS_BYTES),
        Welcome(1, 1, 1, "f" * 40, "b" * 40),
    ],
)
def test_message_that_does_not_fit_its_frame_is_our_own_bug(message: BridgeMessage) -> None:
    with pytest.raises(ContractError):
        encode_frame(message, 1)


def golden_messages() -> dict[str, tuple[BridgeMessage, int]]:
    return {
        "hello": (Hello(0x01020304, 7, "0.1.0"), 0),
        "heartbeat": (bridge_ids.Heartbeat(), 0),
        "ack": (bridge_ids.Ack(), 200),
        "lane_config": (bridge_ids.LaneConfig(1, bridge_ids.OnHostLoss.FAIL_SAFE), 1),
        "pulse_open_500": (Pulse(0, Relay.OPEN, 500), 2),
        "pulse_close_500": (Pulse(3, Relay.CLOSE, 500), 255),
        "pulse_stop_500": (Pulse(0, Relay.STOP, 500), 12),
        "release_fire": (bridge_ids.ReleaseFire(1), 13),
        "indicate_held": (bridge_ids.Indicate(0, bridge_ids.Lamp.HELD, 70), 3),
        "snapshot_request": (bridge_ids.SnapshotRequest(), 4),
        "welcome": (Welcome(0x01020304, 7, 0xBEEF, "0.1.0", "nano"), 0),
        "alive": (Alive(7, True, 60_000), 0),
        "card_w26_99_58241": (CardRead(0, 26, bytes.fromhex("b1f1c0c0"), 1_000_000), 5),
        "key_5": (bridge_ids.KeyPressed(0, ord("5"), 1), 6),
        "safety_occupied": (InputEdge(0, Input.SAFETY, True, 2_000_000), 7),
        "snapshot": (bridge_ids.InputSnapshot(0, 0x18B, 0x011), 8),
        "refused_safety": (
            bridge_ids.PulseResult(0, Relay.CLOSE, bridge_ids.Outcome.REFUSED_SAFETY_OCCUPIED),
            9,
        ),
        "relay_count": (bridge_ids.RelayCount(0, 65_536, 1), 10),
        "fault": (bridge_ids.Fault(0, bridge_ids.FaultCode.SAFETY_LOOP_BROKEN, True), 11),
    }


@pytest.mark.parametrize("name", golden_messages())
def test_bytes_on_the_wire_are_those_of_the_golden_file(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    message, seq = golden_messages()[name]
    assert encode_frame(message, seq).hex() == golden[name]
    assert Deframer().feed(bytes.fromhex(golden[name])) == [(message, seq)]


def test_every_message_of_the_schema_has_golden_bytes() -> None:
    kinds = {type(message) for message, _ in golden_messages().values()}
    assert kinds == {message_type for message_type, _ in LAYOUTS.values()}
    assert json.loads(GOLDEN.read_text(encoding="utf-8")).keys() == golden_messages().keys()
