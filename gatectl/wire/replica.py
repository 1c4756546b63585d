"""The whitelist on the wire (`wl/1`, PROTOCOLS 8): typed rows, set hash, signed heads and deltas, snapshots in chunks.

Rows travel as canonical msgpack; heads and requests as JSON; heads and deltas sealed (see `signed`). Nothing here opens
a port or reads a clock.
"""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, TypeAdapter, ValidationError

from gatectl.core.model import (
    AccessLevel,
    CredentialKey,
    Grant,
    GrantState,
    LaneId,
    PlateColour,
    Schedule,
    WhitelistView,
    Window,
)
from gatectl.core.whitelist import whitelist_view
from gatectl.errors import PayloadError
from gatectl.wire.messages import AwareTime, Message, decode
from gatectl.wire.signed import seal, unseal

HEAD_PURPOSE = "wl.head"
DELTA_PURPOSE = "wl.delta"
CHUNK_BYTES = 64 * 1024
MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024
"""Refuse to inflate more than this from a peer: a million grants take about 100 MB."""
DELTA_TAG = b"D"
CHUNK_TAG = b"C"

RowKind = Literal["grant", "level", "schedule", "emergency_plate"]


@dataclass(frozen=True, slots=True)
class ListRow:
    """One row of the list. `fields` holds JSON values only."""

    kind: RowKind
    id: str
    fields: dict[str, Any]


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
    """What a gate asks central for; `chunk_from` resumes a snapshot."""

    v: Literal[1] = 1
    site: str
    epoch: str
    have: int
    want: Literal["delta", "snap"]
    chunk_from: int = 0


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


def row_key(row: ListRow) -> str:
    """`grant/em:0A1B2C3D4E`."""
    return f"{row.kind}/{row.id}"


def encode_row(row: ListRow) -> bytes:
    """Canonical bytes: the same row always gives the same ones."""
    fields = {name: row.fields[name] for name in sorted(row.fields)}
    return bytes(msgpack.packb([row.kind, row.id, fields], use_bin_type=True))


_ROW: TypeAdapter[tuple[RowKind, str, dict[str, Any]]] = TypeAdapter(tuple[RowKind, str, dict[str, Any]])


def decode_row(data: bytes) -> ListRow:
    """The row in canonical bytes. Raises PayloadError."""
    try:
        kind, row_id, fields = _ROW.validate_python(msgpack.unpackb(data, raw=False))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a list row: {error}", data) from error
    return ListRow(kind, row_id, fields)


def grant_row(grant: Grant) -> ListRow:
    """A grant as a row; fields at their defaults are left out."""
    fields: dict[str, Any] = {"state": grant.state.value, "levels": sorted(grant.levels)}
    optional = {
        "subject": grant.subject,
        "household": grant.household,
        "from": grant.valid_from_s,
        "until": grant.valid_until_s,
        "colour": grant.colour.value if grant.colour else None,
        "extended_open": grant.extended_open,
    }
    fields |= {name: value for name, value in optional.items() if value not in ("", None, False)}
    return ListRow("grant", grant.key, fields)


def level_row(level: AccessLevel) -> ListRow:
    """An access level as a row."""
    return ListRow("level", level.id, {"lanes": sorted(level.lanes), "schedule": level.schedule})


def schedule_row(schedule: Schedule) -> ListRow:
    """A schedule as a row."""
    windows = [[window.weekday, window.start_min, window.end_min] for window in schedule.windows]
    return ListRow("schedule", schedule.id, {"windows": windows})


def emergency_row(plate: str) -> ListRow:
    """A plate of the emergency list as a row."""
    return ListRow("emergency_plate", plate, {})


def view_of(epoch: str, ver: int, issued_s: int, rows: Iterable[ListRow]) -> WhitelistView:
    """The view that `decide` reads. Raises PayloadError for a row with wrong fields."""
    grants, levels, schedules, emergency = [], [], [], []
    for row in rows:
        try:
            if row.kind == "grant":
                grants.append(_grant(row))
            elif row.kind == "level":
                levels.append(_level(row))
            elif row.kind == "schedule":
                schedules.append(Schedule(row.id, tuple(Window(*map(int, item)) for item in row.fields["windows"])))
            else:
                emergency.append(row.id)
        except (KeyError, TypeError, ValueError) as error:
            raise PayloadError(f"list row {row.kind} has wrong fields: {error!r}") from error
    return whitelist_view(epoch, ver, issued_s, grants, levels, schedules, emergency)


def _grant(row: ListRow) -> Grant:
    fields = row.fields
    return Grant(
        key=CredentialKey(row.id),
        state=GrantState(fields["state"]),
        levels=tuple(fields["levels"]),
        subject=fields.get("subject", ""),
        household=fields.get("household", ""),
        valid_from_s=fields.get("from"),
        valid_until_s=fields.get("until"),
        colour=PlateColour(fields["colour"]) if "colour" in fields else None,
        extended_open=fields.get("extended_open", False),
    )


def _level(row: ListRow) -> AccessLevel:
    return AccessLevel(row.id, frozenset(LaneId(lane) for lane in row.fields["lanes"]), row.fields["schedule"])


def encode_head(head: Head, key: Ed25519PrivateKey) -> bytes:
    """A sealed head."""
    return seal(head.model_dump_json().encode(), HEAD_PURPOSE, key)


def decode_head(payload: bytes, keys: tuple[Ed25519PublicKey, ...]) -> Head:
    """A verified head. Raises PayloadError."""
    return decode(Head, unseal(payload, HEAD_PURPOSE, keys))


def encode_delta(delta: Delta, key: Ed25519PrivateKey) -> bytes:
    """A sealed, compressed delta."""
    fields = delta.model_dump()
    fields["issued"] = delta.issued.isoformat()
    return seal(zlib.compress(msgpack.packb(fields, use_bin_type=True)), DELTA_PURPOSE, key)


def decode_delta(payload: bytes, keys: tuple[Ed25519PublicKey, ...]) -> Delta:
    """A verified delta. Raises PayloadError."""
    body = unseal(payload, DELTA_PURPOSE, keys)
    try:
        return Delta.model_validate(msgpack.unpackb(_inflate(body), raw=False))
    except (ValidationError, ValueError, TypeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a delta: {error}", payload) from error


def encode_snapshot(rows: Iterable[bytes]) -> bytes:
    """All encoded rows, compressed."""
    return zlib.compress(msgpack.packb(list(rows), use_bin_type=True))


def decode_snapshot(data: bytes) -> tuple[bytes, ...]:
    """The encoded rows of a snapshot. Raises PayloadError. Check the head's sha256 first."""
    try:
        rows = msgpack.unpackb(_inflate(data), raw=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a snapshot: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, bytes) for row in rows):
        raise PayloadError("not a snapshot: it must hold encoded rows")
    return tuple(rows)


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


def _inflate(data: bytes) -> bytes:
    """Decompress, but never more than `MAX_SNAPSHOT_BYTES`. Raises ValueError."""
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(data, MAX_SNAPSHOT_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if engine.unconsumed_tail or not engine.eof:
        raise ValueError("cut short, or larger than any list of ours")
    return plain
