"""Keys of OSDP readers: made here, kept in files of mode 0600, and refused when anybody could guess them.

libosdp takes any 16 bytes for a key. A published or patterned key is found by trying, and then every card is readable.
"""

import contextlib
import itertools
import os
import secrets
import stat
from pathlib import Path

from gatectl.errors import ConfigError

KEY_BYTES = 16
SCBK_D = bytes(range(0x30, 0x40))
"""The default key that every OSDP device knows (SIA OSDP, annex D)."""
_PUBLISHED = {
    SCBK_D: "it is SCBK-D, the key of every reader as it leaves the factory",
    bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"): "it is the sample key of FIPS 197",
    bytes.fromhex("603DEB1015CA71BE2B73AEF0857D7781"): "it is half of a sample key of FIPS 197",
    bytes.fromhex("404142434445464748494A4B4C4D4E4F"): "it is the GlobalPlatform test key",
    bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"): "it stands in data sheets",
    bytes.fromhex("5468617473206D79204B756E67204675"): "it stands in textbooks",
}
_FEWEST_VALUES = 10
"""Of 16 random bytes fewer than 10 differ once in some 10 million keys."""


def weakness(key: bytes) -> str:
    """Why a key must not be used, in words; empty for a good one. Refuses one random key in a few million."""
    if len(key) != KEY_BYTES:
        return f"it has {len(key)} bytes, not {KEY_BYTES}"
    if key in _PUBLISHED:
        return _PUBLISHED[key]
    if len(set(key)) == 1:
        return "it repeats one byte"
    if any(key == key[:size] * (KEY_BYTES // size) for size in (2, 4, 8)):
        return "it repeats a part of itself"
    if key[:8] == key[:7:-1]:
        return "its second half mirrors the first"
    if len({(after - before) & 0xFF for before, after in itertools.pairwise(key)}) == 1:
        return "its bytes count up or down"
    if any(len({(key[i + 1] - key[i]) & 0xFF for i in range(at, at + 7)}) == 1 for at in (0, 8)):
        return "half of it counts up or down"
    if len(set(key)) < _FEWEST_VALUES:
        return "it has too few different bytes"
    if all(0x20 <= byte < 0x7F for byte in key):
        return "it is text that somebody typed"
    return ""


def new_key() -> bytes:
    """A fresh key of 128 random bits."""
    while True:
        key = secrets.token_bytes(KEY_BYTES)
        if not weakness(key):
            return key


def key_path(folder: Path, reader: str) -> Path:
    """Where a reader's key stands: 32 hex digits, mode 0600."""
    return folder / f"{reader}.key"


def load_key(path: Path) -> bytes:
    """The key in a file. Raises ConfigError with words that never hold the key."""
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(200).strip()
    except FileNotFoundError as error:
        raise ConfigError(f"there is no key {path}; make one with: gatectl reader key {path.stem}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read") from error
    if mode & 0o077:
        raise ConfigError(f"{path} may be read by others (mode {mode:04o}); repair it with: chmod 600 {path}")
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise ConfigError(f"{path} does not hold {2 * KEY_BYTES} hex digits") from error
    if words := weakness(key):
        raise ConfigError(f"the key in {path} is refused: {words}; make one with: gatectl reader key {path.stem}")
    return key


def store_key(path: Path, key: bytes) -> None:
    """Write a key, synced, mode 0600, in a folder of mode 0700. Raises ConfigError for a weak key; OSError."""
    if words := weakness(key):
        raise ConfigError(f"the key is refused: {words}")
    private_folder(path.parent)
    write_private(path, key.hex().upper() + "\n")


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        _give(folder)
    folder.chmod(0o700)


def _give(path: Path) -> None:
    """What root makes belongs to the owner of the folder above: the daemon must be able to read it."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def write_private(path: Path, text: str) -> None:
    """Replace a file whole, synced, mode 0600. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            _give(draft)
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
