"""Frames of the MCU link: COBS, CRC-16/CCITT, and the fields that protocol.toml lays out."""

import binascii
from dataclasses import astuple
from typing import Any

from gatectl.errors import ContractError, FrameError
from gatectl.wire.bridge_ids import ENUMS, LAYOUTS, MAX_FIELDS_BYTES, BridgeMessage

DELIMITER = b"\x00"
_CRC_START = 0xFFFF
_HEAD_BYTES = 2
_CRC_BYTES = 2
_MAX_BODY_BYTES = _HEAD_BYTES + MAX_FIELDS_BYTES + _CRC_BYTES
MAX_ENCODED_BYTES = _MAX_BODY_BYTES + _MAX_BODY_BYTES // 254 + 1
_SIZES = {"u8": 1, "u16": 2, "u32": 4, "bool": 1}
_IDS = {message: number for number, (message, _) in LAYOUTS.items()}


def crc16(data: bytes) -> int:
    """CRC-16/CCITT, poly 0x1021, start 0xFFFF; b"123456789" gives 0x29B1."""
    return binascii.crc_hqx(data, _CRC_START)


def cobs_encode(data: bytes) -> bytes:
    """Consistent overhead byte stuffing: the same bytes without any zero (Cheshire & Baker 1997)."""
    out = bytearray()
    blocks = data.split(b"\x00")
    for index, block in enumerate(blocks):
        rest = block
        while len(rest) >= 254:
            out.append(255)
            out += rest[:254]
            rest = rest[254:]
            if not rest and index == len(blocks) - 1:
                return bytes(out)
        out.append(len(rest) + 1)
        out += rest
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """The bytes that `cobs_encode` was given. Raises FrameError."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        end = at + code
        if code == 0 or end > len(data):
            raise FrameError("COBS: a block runs past the frame's end", data)
        out += data[at + 1 : end]
        at = end
        if code != 255 and at < len(data):
            out.append(0)
    return bytes(out)


def _encode_field(kind: str, value: object) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        if len(value) > MAX_FIELDS_BYTES - 1:
            raise ContractError(f"{kind} of {len(value)} bytes does not fit a frame")
        return bytes((len(value),)) + value
    if not isinstance(value, int):
        raise ContractError(f"{kind} cannot carry {value!r}")
    try:
        return int(value).to_bytes(_SIZES.get(kind, 1), "big")
    except OverflowError as error:
        raise ContractError(f"{value} does not fit {kind}") from error


def _decode_field(kind: str, data: bytes, at: int) -> tuple[object, int]:
    """One field and where the next one begins. Raises FrameError."""
    if kind in ("text", "bytes"):
        end = at + 1 + (data[at] if at < len(data) else MAX_FIELDS_BYTES)
        raw = data[at + 1 : end]
        return (raw.decode(errors="replace") if kind == "text" else raw), end
    end = at + _SIZES.get(kind, 1)
    number = int.from_bytes(data[at:end], "big")
    if kind == "bool":
        return number != 0, end
    if kind in ENUMS:
        try:
            return ENUMS[kind](number), end
        except ValueError as error:
            raise FrameError(f"{kind} has no member {number}", data) from error
    return number, end


def encode_frame(message: BridgeMessage, seq: int) -> bytes:
    """A message as it goes on the wire, delimiters and all."""
    number = _IDS[type(message)]
    kinds = LAYOUTS[number][1]
    fields = b"".join(_encode_field(kind, value) for kind, value in zip(kinds, astuple(message), strict=True))
    if len(fields) > MAX_FIELDS_BYTES:
        raise ContractError(f"{type(message).__name__} has {len(fields)} bytes of fields, over {MAX_FIELDS_BYTES}")
    body = bytes((number, seq)) + fields
    return DELIMITER + cobs_encode(body + crc16(body).to_bytes(_CRC_BYTES, "big")) + DELIMITER


def decode_frame(encoded: bytes) -> tuple[BridgeMessage, int]:
    """(message, seq) of what stood between two delimiters. Raises FrameError."""
    raw = cobs_decode(encoded)
    if len(raw) < _HEAD_BYTES + _CRC_BYTES:
        raise FrameError(f"{len(raw)} bytes are no frame", encoded)
    body, crc = raw[:-_CRC_BYTES], int.from_bytes(raw[-_CRC_BYTES:], "big")
    if crc16(body) != crc:
        raise FrameError("the checksum is wrong", encoded)
    number, seq = body[0], body[1]
    if number not in LAYOUTS:
        raise FrameError(f"unknown message 0x{number:02X}", encoded)
    message_type, kinds = LAYOUTS[number]
    values: list[Any] = []
    at = _HEAD_BYTES
    for kind in kinds:
        value, at = _decode_field(kind, body, at)
        values.append(value)
    if at != len(body):
        raise FrameError(f"{message_type.__name__}: its fields end at byte {at} of {len(body)}", encoded)
    return message_type(*values), seq


class Deframer:
    """Cuts a byte stream into frames; after garbage, the next frame is read again."""

    def __init__(self) -> None:
        self.bad_frames = 0
        """Pieces that were no frame: noise, halves, wrong checksums."""
        self._piece = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes) -> list[tuple[BridgeMessage, int]]:
        """The complete, checked frames (message, seq) that these bytes end; never raises."""
        found = []
        *ended, rest = data.split(DELIMITER)
        for part in ended:
            self._take(part)
            if self._piece or self._is_too_long:
                frame = self._close()
                if frame is not None:
                    found.append(frame)
        self._take(rest)
        return found

    def _take(self, part: bytes) -> None:
        if len(self._piece) + len(part) > MAX_ENCODED_BYTES:
            self._is_too_long = True
            self._piece.clear()
        if not self._is_too_long:
            self._piece += part

    def _close(self) -> tuple[BridgeMessage, int] | None:
        piece, self._piece = bytes(self._piece), bytearray()
        is_too_long, self._is_too_long = self._is_too_long, False
        if not is_too_long:
            try:
                return decode_frame(piece)
            except FrameError:
                pass
        self.bad_frames += 1
        return None
