"""Sealed payloads: Ed25519 over the exact bytes sent, bound to the purpose they are sent for."""

from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatectl.errors import PayloadError

MAGIC = b"gs1"
_KEY_ID_BYTES = 8
_SIGNATURE_BYTES = 64
_HEAD_BYTES = len(MAGIC) + _KEY_ID_BYTES + _SIGNATURE_BYTES


def key_id(public_key: Ed25519PublicKey) -> bytes:
    """The first eight bytes of the raw public key: enough to pick the right one of a handful."""
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)[:_KEY_ID_BYTES]


def seal(body: bytes, purpose: str, key: Ed25519PrivateKey) -> bytes:
    """`gs1` | key id (8) | signature (64) | body. The signature covers `purpose`, a NUL and the body."""
    signature = key.sign(purpose.encode() + b"\0" + body)
    return MAGIC + key_id(key.public_key()) + signature + body


def unseal(payload: bytes, purpose: str, keys: Iterable[Ed25519PublicKey]) -> bytes:
    """The body of a payload signed for `purpose` by one of `keys`. Raises PayloadError otherwise."""
    if len(payload) < _HEAD_BYTES or not payload.startswith(MAGIC):
        raise PayloadError("not a sealed payload: it must start with gs1, a key id and a signature", payload)
    wanted = payload[len(MAGIC) : len(MAGIC) + _KEY_ID_BYTES]
    signature = payload[len(MAGIC) + _KEY_ID_BYTES : _HEAD_BYTES]
    body = payload[_HEAD_BYTES:]
    for key in keys:
        if key_id(key) != wanted:
            continue
        try:
            key.verify(signature, purpose.encode() + b"\0" + body)
        except InvalidSignature as error:
            raise PayloadError(f"bad signature on a {purpose} payload", payload) from error
        return body
    raise PayloadError(f"a {purpose} payload signed by a key that is not pinned here", payload)


def sealed_by(payload: bytes) -> bytes:
    """The `key_id` that a sealed payload names; nothing of it is checked."""
    return payload[len(MAGIC) : len(MAGIC) + _KEY_ID_BYTES]


def unverified_body(payload: bytes) -> bytes:
    """The body before anything is known of its seal: only to find out which keys to ask for. Raises PayloadError."""
    if len(payload) < _HEAD_BYTES or not payload.startswith(MAGIC):
        raise PayloadError("not a sealed payload: it must start with gs1, a key id and a signature", payload)
    return payload[_HEAD_BYTES:]
