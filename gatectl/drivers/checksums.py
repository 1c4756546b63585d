"""The checksums of serial readers. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Literal

ChecksumKind = Literal[
    "xor",
    "sum",
    "sum2c",
    "crc16_ccitt",
    "crc16_xmodem",
    "crc16_aug",
    "crc16_kermit",
    "crc16_x25",
    "crc16_modbus",
    "crc16_arc",
]


@dataclass(frozen=True, slots=True)
class _Crc16:
    """The usual description of a CRC of 16 bits; a reflected one shifts right, its polynomial written reversed."""

    polynomial: int
    begin: int
    is_reflected: bool
    end_xor: int


_CRCS: Mapping[str, _Crc16] = {
    # Each gives, over the ASCII digits 123456789, the value that its name stands for in CRC catalogues:
    "crc16_ccitt": _Crc16(0x1021, 0xFFFF, False, 0),  # 29B1
    "crc16_xmodem": _Crc16(0x1021, 0, False, 0),  # 31C3
    "crc16_aug": _Crc16(0x1021, 0x1D0F, False, 0),  # E5CC, OSDP's
    "crc16_kermit": _Crc16(0x8408, 0, True, 0),  # 2189
    "crc16_x25": _Crc16(0x8408, 0xFFFF, True, 0xFFFF),  # 906E
    "crc16_modbus": _Crc16(0xA001, 0xFFFF, True, 0),  # 4B37
    "crc16_arc": _Crc16(0xA001, 0, True, 0),  # BB3D
}
_BYTES: Mapping[str, Callable[[bytes], int]] = {
    "xor": lambda data: reduce(xor, data, 0),
    "sum": lambda data: sum(data) & 0xFF,
    "sum2c": lambda data: -sum(data) & 0xFF,
}


def checksum(kind: ChecksumKind, data: bytes) -> int:
    """The sum of the bytes: 0-255, or 0-65535 for a CRC."""
    if kind in _BYTES:
        return _BYTES[kind](data)
    rule = _CRCS[kind]
    value = rule.begin
    for byte in data:
        value ^= byte if rule.is_reflected else byte << 8
        for _ in range(8):
            if rule.is_reflected:
                value = value >> 1 ^ (rule.polynomial if value & 1 else 0)
            else:
                value = (value << 1 ^ (rule.polynomial if value & 0x8000 else 0)) & 0xFFFF
    return value ^ rule.end_xor


def checksum_bytes(kind: ChecksumKind) -> int:
    """How many bytes such a sum has."""
    return 1 if kind in _BYTES else 2
