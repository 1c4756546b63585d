"""The site's pinned public key."""

import base64
import binascii

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatectl.errors import ConfigError
from gatectl.settings import EdgeSettings


def site_keys(settings: EdgeSettings) -> tuple[Ed25519PublicKey, ...]:
    """The keys that lists, acks and commands may be signed with. Raises ConfigError."""
    try:
        raw = base64.b64decode(settings.site_key, validate=True)
        return (Ed25519PublicKey.from_public_bytes(raw),)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(
            "site_key: not an Ed25519 public key (32 bytes in base64); central's key file shows the right one"
        ) from error
