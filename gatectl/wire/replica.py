"""The whitelist on the wire (`wl/1`, PROTOCOLS 8): set hash, signed heads and deltas, snapshots in chunks.

Rows travel as canonical msgpack; heads and requests as JSON; heads and deltas sealed (see `signed`). Nothing here opens
a port or reads a clock.
"""

import hashlib
import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from gatectl.errors import PayloadError
from gatectl.wire.messages import AwareTime, Message, decode
from gatectl.wire.packed import RowTable
from gatectl.wire.signed import seal, unseal, unverified_body

HEAD_PURPOSE = "wl.head"
DELTA_PURPOSE = "wl.delta"
CHUNK_BYTES = 64 * 1024
MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024
"""Refuse to inflate more than this from a peer: a million grants take about 100 MB."""
DELTA_TAG = b"D"
CHUNK_TAG = b"C"
WINDOW_CHUNKS = 4
"""PROTOCOLS 8: how many chunks central sends for one request."""
MAX_JITTER_S = 300.0


class Snapshot(Message):
    """Where a list's snapshot stands: its version, size and digest, and how many chunks it is sent in."""

    ver: int
    bytes: int
    sha256: str
    chunks: int


class Head(Message):
    """The retained head of a site's list."""

    v: Literal[1] = 1
    site: str
    epoch: str
    ver: int = Field(ge=0)
    n: int = Field(ge=0)
    set_hash: str
    snap: Snapshot
    min_delta: int
    issued: AwareTime
    expires: AwareTime
    charter: str = Field(default="", max_length=4096)
    """The root's word on this epoch and its keys (see `charter`); base64."""
    jitter_s: float = Field(default=0.0, ge=0, le=MAX_JITTER_S)
    """Over how many seconds gates spread their requests for a snapshot."""


class Delta(Message):
    """The change from one version to another: whole rows put, row keys deleted."""

    v: Literal[1] = 1
    site: str
    epoch: str
    from_ver: int
    to_ver: int
    put: tuple[bytes, ...]
    delete: tuple[str, ...]
    set_hash_after: str
    issued: AwareTime


class ListRequest(Message):
    """What a gate asks central for; `chunk_from` resumes the snapshot of digest `sha256`."""

    v: Literal[1] = 1
    site: str
    epoch: str
    have: int
    want: Literal["delta", "snap", "buckets", "inside"]
    """`inside`: who is inside, as central counts completed passages."""
    chunk_from: int = Field(default=0, ge=0)
    sha256: str = ""
    sums: str = Field(default="", max_length=4096)
    """For `buckets`: the gate's own bucket sums, base64."""


class ListState(Message):
    """What a gate decides on now; `nack` keeps the old version and says why."""

    v: Literal[1] = 1
    site: str
    epoch: str
    ver: int
    n: int
    set_hash: str
    status: Literal["ok", "nack"]
    err: str = ""
    applied_at: AwareTime


@dataclass(frozen=True, slots=True)
class SnapChunk:
    """Part `i` of `n` of the snapshot of version `ver`."""

    ver: int
    i: int
    n: int
    data: bytes


class SetHash:
    """An additive hash over a set of encoded rows: the order does not matter, a row can be added and removed.

    It finds drift; it proves nothing (Wagner-type collisions exist): authenticity is the signature.
    """

    _MODULUS = 1 << 256

    def __init__(self, start: str = "0" * 64) -> None:
        self._sum = int(start, 16)

    def add(self, row: bytes) -> None:
        """Take a row in."""
        self._sum = (self._sum + self._digest(row)) % self._MODULUS

    def remove(self, row: bytes) -> None:
        """Take a row out."""
        self._sum = (self._sum - self._digest(row)) % self._MODULUS

    def hex(self) -> str:
        """64 hex digits."""
        return f"{self._sum:064x}"

    @staticmethod
    def _digest(row: bytes) -> int:
        return int.from_bytes(hashlib.sha256(row).digest(), "big")


def encode_head(head: Head, key: Ed25519PrivateKey) -> bytes:
    """A sealed head."""
    return seal(head.model_dump_json().encode(), HEAD_PURPOSE, key)


def decode_head(payload: bytes, keys: Iterable[Ed25519PublicKey]) -> Head:
    """A verified head. Raises PayloadError."""
    return decode(Head, unseal(payload, HEAD_PURPOSE, keys))


class _Chartered(BaseModel):
    """The one field of a head that must be known before its seal can be checked."""

    charter: str = Field(default="", max_length=4096)


def charter_of(payload: bytes) -> str:
    """The charter inside a head of which nothing is believed yet; "" for none. Raises PayloadError."""
    try:
        return _Chartered.model_validate_json(unverified_body(payload)).charter
    except ValidationError as error:
        raise PayloadError("not a head", payload[:64]) from error


def encode_delta(delta: Delta, key: Ed25519PrivateKey) -> bytes:
    """A sealed, compressed delta."""
    fields = delta.model_dump()
    fields["issued"] = delta.issued.isoformat()
    return seal(zlib.compress(msgpack.packb(fields, use_bin_type=True)), DELTA_PURPOSE, key)


def decode_delta(payload: bytes, keys: Iterable[Ed25519PublicKey]) -> Delta:
    """A verified delta. Raises PayloadError."""
    return _delta_of(unseal(payload, DELTA_PURPOSE, keys), payload)


def own_delta(payload: bytes) -> Delta:
    """A delta out of our own database: whoever could change it there could sign it too. Raises PayloadError."""
    return _delta_of(unverified_body(payload), payload)


def _delta_of(body: bytes, payload: bytes) -> Delta:
    try:
        return Delta.model_validate(msgpack.unpackb(inflate(body), raw=False))
    except (ValidationError, ValueError, TypeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a delta: {error}", payload) from error


def encode_snapshot(rows: Iterable[bytes]) -> bytes:
    """All encoded rows in byte order, compressed: a gate can search them as they are."""
    return zlib.compress(msgpack.packb(sorted(rows), use_bin_type=True))


def decode_snapshot(data: bytes) -> RowTable:
    """The rows of a snapshot, left in its bytes. Raises PayloadError. Check the head's sha256 first."""
    try:
        return _table(inflate(data))
    except (ValueError, IndexError, OverflowError) as error:
        raise PayloadError(f"not a snapshot: {error}") from error


def _table(blob: bytes) -> RowTable:
    """Where the rows lie in a msgpack array of binaries (its headers read here: nothing is copied)."""
    at, count = _header(blob, 0, 0x90, {0xDC: 2, 0xDD: 4})
    starts, ends = array("I"), array("I")
    for _ in range(count):
        if blob[at] == 0xC4:  # nearly all: shorter than 256 bytes
            start, size = at + 2, blob[at + 1]
        else:
            start, size = _header(blob, at, None, {0xC5: 2, 0xC6: 4})
        at = start + size
        starts.append(start)
        ends.append(at)
    if at != len(blob):
        raise ValueError("bytes are missing, or left over")
    return RowTable(blob, starts, ends)


def _header(blob: bytes, at: int, fix: int | None, sizes: Mapping[int, int]) -> tuple[int, int]:
    """Where the content of a msgpack array or binary begins, and how much it is. Raises ValueError, IndexError."""
    tag = blob[at]
    if fix is not None and tag & 0xF0 == fix:
        return at + 1, tag & 0x0F
    if tag not in sizes:
        raise ValueError("it must hold encoded rows")
    after = at + 1 + sizes[tag]
    return after, int.from_bytes(blob[at + 1 : after], "big")


def encode_chunk(chunk: SnapChunk) -> bytes:
    """A chunk, tagged for `wl/data`."""
    return CHUNK_TAG + bytes(msgpack.packb([chunk.ver, chunk.i, chunk.n, chunk.data], use_bin_type=True))


_CHUNK: TypeAdapter[tuple[int, int, int, bytes]] = TypeAdapter(tuple[int, int, int, bytes])


def decode_chunk(payload: bytes) -> SnapChunk:
    """A chunk from `wl/data`. Raises PayloadError."""
    if not payload.startswith(CHUNK_TAG):
        raise PayloadError("not a snapshot chunk", payload)
    try:
        return SnapChunk(*_CHUNK.validate_python(msgpack.unpackb(payload[1:], raw=False)))
    except (ValidationError, ValueError, TypeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a snapshot chunk: {error}", payload) from error


def inflate(data: bytes) -> bytes:
    """Decompress, but never more than `MAX_SNAPSHOT_BYTES`. Raises ValueError."""
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(data, MAX_SNAPSHOT_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if engine.unconsumed_tail or not engine.eof:
        raise ValueError("cut short, or larger than any list of ours")
    return plain
