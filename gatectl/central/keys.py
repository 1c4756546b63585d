"""Central's signing key."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatectl.key_files import load_or_make_key, public_base64

KEY_FILE = "site_key.pem"


@dataclass(frozen=True, slots=True)
class CentralKeys:
    """What lists, acks and commands are signed with, and what each gate's `site_key` must say."""

    site_key: Ed25519PrivateKey
    public_base64: str


def load_or_make_keys(data_dir: Path, name: str = KEY_FILE) -> CentralKeys:
    """The key in `data_dir`, made at the first use. Raises ConfigError."""
    key = load_or_make_key(data_dir / name)
    return CentralKeys(key, public_base64(key))
