"""The root's word on a site's list (PROTOCOLS 8): which epoch is the newest, and which site keys may sign it.

A charter travels inside every head, sealed by the root key, so that a gate that slept through a rotation still
learns of it. The root key signs nothing else and may be kept offline in between.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import Field

from gatectl.errors import PayloadError
from gatectl.wire.messages import AwareTime, Message, decode
from gatectl.wire.signed import seal, unseal

CHARTER_PURPOSE = "wl.charter"


class Charter(Message):
    """Who may sign a site's list. A later charter has a higher `serial`; one that goes back is refused."""

    v: Literal[1] = 1
    site: str
    epoch: str = Field(min_length=1, max_length=64)
    serial: int = Field(ge=1)
    site_keys: tuple[str, ...] = Field(min_length=1, max_length=4)
    """Ed25519 public keys: 32 bytes in base64 each."""
    issued: AwareTime


def public_text(key: Ed25519PublicKey) -> str:
    """A public key as charters and settings hold it: 32 bytes in base64."""
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def public_key(text: str) -> Ed25519PublicKey:
    """The key in such a text. Raises PayloadError."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise PayloadError("not an Ed25519 public key (32 bytes in base64)") from error


def encode_charter(charter: Charter, root: Ed25519PrivateKey) -> str:
    """A sealed charter as a head carries it."""
    return base64.b64encode(seal(charter.model_dump_json().encode(), CHARTER_PURPOSE, root)).decode()


def decode_charter(text: str, roots: Iterable[Ed25519PublicKey]) -> Charter:
    """A verified charter. Raises PayloadError."""
    return decode(Charter, unseal(_sealed(text), CHARTER_PURPOSE, roots))


def _sealed(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PayloadError("a charter that is not base64") from error


def charter_keys(charter: Charter) -> tuple[Ed25519PublicKey, ...]:
    """The keys that it names. Raises PayloadError."""
    return tuple(public_key(text) for text in charter.site_keys)
