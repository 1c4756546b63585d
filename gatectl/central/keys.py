"""Central's signing key: one Ed25519 key in a file of its own, made at the first use."""

import base64
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gatectl.errors import ConfigError

KEY_FILE = "site_key.pem"


@dataclass(frozen=True, slots=True)
class CentralKeys:
    """What lists, acks and commands are signed with, and what each gate's `site_key` must say."""

    site_key: Ed25519PrivateKey
    public_base64: str


def load_or_make_keys(data_dir: Path, name: str = KEY_FILE) -> CentralKeys:
    """The key in `data_dir`; two processes that start at once agree on one. Raises ConfigError."""
    path = data_dir / name
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ConfigError(f"{path} may be read by others (mode {mode:04o}); repair it with: chmod 600 {path}")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigError(f"data_dir: {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} holds no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds a key of another kind; an Ed25519 key is needed")
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return CentralKeys(key, base64.b64encode(raw).decode())


def _make(path: Path) -> None:
    """Write a fresh key beside `path`, synced, and link it there unless another process was quicker."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink()
