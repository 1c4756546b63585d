"""Repair of a list that has drifted (PROTOCOLS 8): rows in 256 buckets, and only those that differ are sent.

The gate sends a short sum of each of its buckets; central answers with all rows of the buckets that differ, signed, and
with the hash of the whole list that they lead to. The short sums only find where to look: the whole hash decides.
"""

import base64
import binascii
import hashlib
import zlib
from array import array
from collections.abc import Iterable
from typing import Literal

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError

from gatectl.errors import PayloadError
from gatectl.wire.messages import AwareTime, Message
from gatectl.wire.replica import inflate
from gatectl.wire.rows import prefix_size
from gatectl.wire.signed import seal, unseal

REPAIR_PURPOSE = "wl.buckets"
REPAIR_TAG = b"B"
BUCKETS = 256
MAX_REPAIRED = 64
"""When more buckets than this differ, a snapshot is the smaller answer."""
_SUM_BYTES = 8
_MASK = (1 << 8 * _SUM_BYTES) - 1


class Repair(Message):
    """All rows that belong into `buckets` at version `ver`; `is_too_much`: ask for a snapshot instead."""

    v: Literal[1] = 1
    site: str
    epoch: str
    ver: int = Field(ge=0)
    set_hash: str
    """Of the whole list after the repair."""
    buckets: tuple[int, ...]
    rows: tuple[bytes, ...]
    is_too_much: bool = False
    issued: AwareTime


def bucket_of(row: bytes) -> int:
    """Where a row belongs, by its kind and id: a changed row stays in its bucket. Raises PayloadError."""
    return hashlib.sha256(row[: prefix_size(row)]).digest()[0]


def bucket_sums(rows: Iterable[bytes]) -> bytes:
    """Eight bytes for each of the 256 buckets; the rows' order does not matter. Raises PayloadError."""
    sums = [0] * BUCKETS
    for row in rows:
        sums[bucket_of(row)] += int.from_bytes(hashlib.sha256(row).digest()[:_SUM_BYTES], "big")
    return array("Q", (total & _MASK for total in sums)).tobytes()


def differing(ours: bytes, theirs: bytes) -> tuple[int, ...]:
    """The buckets whose sums differ. Raises PayloadError for sums of another length."""
    if not len(ours) == len(theirs) == BUCKETS * _SUM_BYTES:
        raise PayloadError(f"bucket sums must be {BUCKETS * _SUM_BYTES} bytes")
    pairs = zip(array("Q", ours), array("Q", theirs), strict=True)
    return tuple(number for number, (one, other) in enumerate(pairs) if one != other)


def sums_text(sums: bytes) -> str:
    """Sums as a request holds them."""
    return base64.b64encode(sums).decode()


def read_sums(text: str) -> bytes:
    """The sums in a request. Raises PayloadError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PayloadError("bucket sums that are not base64") from error


def encode_repair(repair: Repair, key: Ed25519PrivateKey) -> bytes:
    """A sealed, compressed repair, tagged for `wl/data`."""
    fields = repair.model_dump()
    fields["issued"] = repair.issued.isoformat()
    return REPAIR_TAG + seal(zlib.compress(msgpack.packb(fields, use_bin_type=True)), REPAIR_PURPOSE, key)


def decode_repair(payload: bytes, keys: Iterable[Ed25519PublicKey]) -> Repair:
    """A verified repair whose rows all belong into its buckets. Raises PayloadError."""
    if not payload.startswith(REPAIR_TAG):
        raise PayloadError("not a repair", payload[:64])
    body = unseal(payload[len(REPAIR_TAG) :], REPAIR_PURPOSE, keys)
    try:
        repair = Repair.model_validate(msgpack.unpackb(inflate(body), raw=False))
    except (ValidationError, ValueError, TypeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a repair: {error}", payload[:64]) from error
    buckets = set(repair.buckets)
    if any(bucket_of(row) not in buckets for row in repair.rows):
        raise PayloadError("a repair with rows that belong elsewhere")
    return repair
