"""Frames between the daemon and its vision process: two lengths, a JSON header, bytes. Sans-I/O on the reading side."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from gatectl.errors import FrameError

_LENGTHS = struct.Struct(">II")
MAX_HEADER_BYTES = 64 * 1024
MAX_BLOB_BYTES = 4 * 1024 * 1024


def pack(header: Mapping[str, Any], blob: bytes = b"") -> bytes:
    """One frame."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return _LENGTHS.pack(len(text), len(blob)) + text + blob


class Unpacker:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """The frames that are complete now. Raises FrameError when the stream is not ours; drop it then."""
        self._buffer += data
        frames: list[tuple[dict[str, Any], bytes]] = []
        while len(self._buffer) >= _LENGTHS.size:
            text_bytes, blob_bytes = _LENGTHS.unpack_from(self._buffer)
            if text_bytes > MAX_HEADER_BYTES or blob_bytes > MAX_BLOB_BYTES:
                raise FrameError("a frame longer than any of ours", bytes(self._buffer[:64]))
            end = _LENGTHS.size + text_bytes + blob_bytes
            if len(self._buffer) < end:
                break
            text = bytes(self._buffer[_LENGTHS.size : _LENGTHS.size + text_bytes])
            blob = bytes(self._buffer[_LENGTHS.size + text_bytes : end])
            del self._buffer[:end]
            frames.append((_header(text), blob))
        return frames


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except ValueError as error:
        raise FrameError("a header that is no JSON", text[:64]) from error
    if not isinstance(header, dict):
        raise FrameError("a header that is no object", text[:64])
    return header
