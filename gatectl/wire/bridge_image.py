"""Images of the bridge's firmware: Intel HEX with a manifest at a fixed place, checked before anything is flashed."""

import binascii
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from gatectl.errors import ConfigError

FLASH_BYTES = 32256
"""What an image may fill: 32 KB less the 512 bytes that a bootloader would take (ATmega328P)."""
RAM_BYTES = 2048
EEPROM_BYTES = 1024
BOARD = "nano-atmega328p"

_MAGIC = b"GATECTLB"
_LAYOUT = 1
_MANIFEST = struct.Struct(">8sH16s16sII32s")
"""Magic, layout, board, version, schema hash, length of the code, SHA-256 of the code; a CRC-16 follows."""
_MANIFEST_BYTES = 96
MANIFEST_AT = FLASH_BYTES - _MANIFEST_BYTES
_RECORD_BYTES = 16
_DATA, _END = 0, 1
_CRC_START = 0xFFFF

RELEASED: Mapping[str, str] = {
    "1.0.0": "04e18726f9173e296824e27e463d2ec40ecc366e5a8b2ddb238fa0a6465cc60d",
}
"""Version -> SHA-256 (`ident`) of every image that was released; `make -C firmware_bridge release` prints the line."""


@dataclass(frozen=True, slots=True)
class Image:
    """A whole, undamaged image."""

    board: str
    version: str
    schema_hash: int
    code: bytes

    @property
    def manifest(self) -> bytes:
        """The 96 bytes that stand at MANIFEST_AT."""
        fixed = _MANIFEST.pack(
            _MAGIC,
            _LAYOUT,
            self.board.encode(),
            self.version.encode(),
            self.schema_hash,
            len(self.code),
            hashlib.sha256(self.code).digest(),
        )
        return (fixed + binascii.crc_hqx(fixed, _CRC_START).to_bytes(2, "big")).ljust(_MANIFEST_BYTES, b"\xff")

    @property
    def ident(self) -> str:
        """SHA-256 of the manifest, which names the code's own: what a release lists, and what a key signs."""
        return hashlib.sha256(self.manifest).hexdigest()

    @property
    def is_released(self) -> bool:
        """Whether this very image was released with this or an earlier gatectl."""
        return RELEASED.get(self.version) == self.ident


def _records(at: int, data: bytes) -> list[str]:
    lines = []
    for start in range(0, len(data), _RECORD_BYTES):
        part = data[start : start + _RECORD_BYTES]
        body = bytes((len(part),)) + (at + start).to_bytes(2, "big") + bytes((_DATA,)) + part
        lines.append(f":{(body + bytes((-sum(body) & 0xFF,))).hex().upper()}")
    return lines


def to_hex(image: Image) -> str:
    """The image as Intel HEX. Raises ConfigError when it does not fit the chip."""
    if len(image.code) > MANIFEST_AT:
        raise ConfigError(f"the code has {len(image.code)} bytes; the chip takes {MANIFEST_AT}")
    return "\n".join([*_records(0, image.code), *_records(MANIFEST_AT, image.manifest), ":00000001FF", ""])


def _memory(text: str) -> Mapping[int, int]:
    """Address -> byte. Raises ConfigError on any line that is not Intel HEX."""
    found: dict[int, int] = {}
    lines = text.split()
    for number, line in enumerate(lines, 1):
        try:
            raw = bytes.fromhex(line[1:])
        except ValueError:
            raw = b""
        if not line.startswith(":") or len(raw) < 5 or len(raw) != raw[0] + 5 or sum(raw) & 0xFF:
            raise ConfigError(f"line {number} is no Intel HEX record")
        kind, at = raw[3], int.from_bytes(raw[1:3], "big")
        if kind not in (_DATA, _END) or (kind == _END) != (number == len(lines)):
            raise ConfigError(f"line {number} does not belong into an image of {FLASH_BYTES} bytes")
        found.update(enumerate(raw[4:-1], at))
    if not lines:
        raise ConfigError("the file is empty")
    return found


def from_hex(text: str) -> Image:
    """The image in a .hex file. Raises ConfigError, with words, when a byte of it is missing, damaged or too much."""
    memory = _memory(text)
    manifest = bytes(memory.get(at, 0xFF) for at in range(MANIFEST_AT, FLASH_BYTES))
    fixed, crc = manifest[: _MANIFEST.size], manifest[_MANIFEST.size :][:2]
    if not manifest.startswith(_MAGIC):
        raise ConfigError("there is no manifest: this is no image of gatectl's bridge")
    _, layout, board, version, schema_hash, length, digest = _MANIFEST.unpack(fixed)
    if layout != _LAYOUT or binascii.crc_hqx(fixed, _CRC_START) != int.from_bytes(crc, "big"):
        raise ConfigError("the manifest is damaged, or of a later release")
    code_at = [at for at in memory if not MANIFEST_AT <= at < FLASH_BYTES]
    if sorted(code_at) != list(range(length)):
        raise ConfigError(f"the manifest names {length} bytes of code; the file has {len(code_at)}")
    code = bytes(memory[at] for at in range(length))
    if hashlib.sha256(code).digest() != digest:
        raise ConfigError("the code is not what the manifest says: the file is damaged or was altered")
    names = [field.rstrip(b"\0").decode("ascii", "replace") for field in (board, version)]
    return Image(names[0], names[1], schema_hash, code)
