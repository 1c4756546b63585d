"""The pinned public keys: the site's, which a charter of the root may replace, and the root's, which stays."""

from collections.abc import Iterable, Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatectl.errors import ConfigError, PayloadError
from gatectl.settings import EdgeSettings
from gatectl.wire.charter import public_key


class KeyRing:
    """The keys that lists, acks and commands may be signed with now. One thread replaces them, any thread reads."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = tuple(keys)

    def __iter__(self) -> Iterator[Ed25519PublicKey]:
        return iter(self._keys)

    def replace(self, keys: Iterable[Ed25519PublicKey]) -> None:
        """From now on these, and no others."""
        self._keys = tuple(keys)


def site_keys(settings: EdgeSettings) -> tuple[Ed25519PublicKey, ...]:
    """The keys that lists, acks and commands may be signed with until a charter names others. Raises ConfigError."""
    return (_pinned("site_key", settings.site_key),)


def root_keys(settings: EdgeSettings) -> tuple[Ed25519PublicKey, ...]:
    """The keys that charters must be signed with; none where no root is pinned. Raises ConfigError."""
    return (_pinned("root_key", settings.root_key),) if settings.root_key else ()


def _pinned(name: str, text: str) -> Ed25519PublicKey:
    try:
        return public_key(text)
    except PayloadError as error:
        raise ConfigError(f"{name}: {error}; `gatectl central migrate` prints the right one") from error
