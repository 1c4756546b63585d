"""What a picture file says of itself before anything decodes it: format, size, and whether it is whole."""

from dataclasses import dataclass

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 50_000_000
"""A decoded picture of this size takes 150 MB; a larger one is refused unseen."""
MIN_SIDE_PX = 16

_NO_SIZE_MARKERS = frozenset({0xC4, 0xC8, 0xCC})
"""JPEG markers in the range of the frame headers that are none: DHT, JPG, DAC (ITU-T T.81 table B.1)."""


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """A picture's format ("jpeg", "png", "bmp", "webp") and its size in px."""

    format: str
    width_px: int
    height_px: int


def check_picture(data: bytes) -> PictureHeader:
    """The header of a whole, reasonably sized picture; raises ValueError with words for anything else."""
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{len(data) / 1048576:.0f} MB is too large for a picture: the limit is 32 MB")
    header = _header(data)
    if header is None:
        raise ValueError("this is no JPEG, PNG, BMP or WebP picture" if data else "the file is empty")
    width, height = header.width_px, header.height_px
    if min(width, height) < MIN_SIDE_PX:
        raise ValueError(f"{width} x {height} px is too small to show a plate")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} px is too large: the limit is {MAX_PIXELS // 1_000_000} megapixels")
    if not _is_whole(data, header.format):
        raise ValueError(f"the {header.format.upper()} file is cut off: its end is missing")
    return header


def _header(data: bytes) -> PictureHeader | None:
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) > 24:
        return PictureHeader("png", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    if data[:2] == b"BM" and len(data) > 26:
        width = int.from_bytes(data[18:22], "little", signed=True)
        return PictureHeader("bmp", width, abs(int.from_bytes(data[22:26], "little", signed=True)))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) > 30:
        return _webp(data)
    return None


def _jpeg(data: bytes) -> PictureHeader | None:
    for marker, at in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE_MARKERS and at + 9 <= len(data):
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            return PictureHeader("jpeg", width, height)
    raise ValueError("the JPEG file is cut off: its header is incomplete")


def _jpeg_segments(data: bytes) -> list[tuple[int, int]]:
    """(marker, offset of its 0xFF byte) of every segment up to the start of the scan."""
    found = []
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xFF or marker == 0 or 0xD0 <= marker <= 0xD9:
            at += 1 if marker == 0xFF else 2
            continue
        found.append((marker, at))
        if marker == 0xDA:
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return found


def _webp(data: bytes) -> PictureHeader | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return PictureHeader(
            "webp", 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        )
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return PictureHeader("webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        width, height = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
        return PictureHeader("webp", width & 0x3FFF, height & 0x3FFF)
    return None


def _is_whole(data: bytes, form: str) -> bool:
    if form == "jpeg":
        scans = [at for marker, at in _jpeg_segments(data) if marker == 0xDA]
        # After the scan's start: a thumbnail inside the header has an end mark of its own.
        return bool(scans) and data.find(b"\xff\xd9", scans[0]) >= 0
    if form == "png":
        return b"IEND" in data[-64:]
    if form == "bmp":
        return len(data) >= int.from_bytes(data[2:6], "little")
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")
