"""What a gate remembers of its OSDP readers beside their keys: who they were, and which may be installed now."""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gatectl.drivers.osdp_keys import private_folder, write_private

MAX_INSTALL_S = 1800
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CAPABILITY_NAMES: Mapping[int, str] = {
    1: "contacts",
    2: "outputs",
    3: "card format",
    4: "LED",
    5: "buzzer",
    6: "text",
    7: "time",
    8: "check character",
    9: "security",
    10: "buffer",
    11: "message size",
    12: "smart card",
    13: "readers",
    14: "biometrics",
}
"""OSDP function codes (osdp_PDCAP)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a reader says it is, and what it says it can do."""

    vendor: int
    model: int
    version: int
    serial: int
    firmware: int
    capabilities: tuple[tuple[int, int, int], ...]
    """Function code, compliance level, number of items; those that are not all zero."""


def osdp_folder(data_dir: Path) -> Path:
    """Where a gate keeps keys and memories of its OSDP readers."""
    return data_dir / "osdp"


def differences(old: Identity, new: Identity) -> str:
    """What changed, in words; empty when nothing did."""
    words = [
        f"{name} {getattr(old, name):#x} became {getattr(new, name):#x}"
        for name in ("vendor", "model", "version", "serial", "firmware")
        if getattr(old, name) != getattr(new, name)
    ]
    before = {code: (level, items) for code, level, items in old.capabilities}
    after = {code: (level, items) for code, level, items in new.capabilities}
    for code in sorted(before.keys() | after.keys()):
        if before.get(code) != after.get(code):
            name = CAPABILITY_NAMES.get(code, f"capability {code}")
            words.append(f"{name} is gone" if code not in after else f"{name} is not what it was")
    return ", ".join(words)


def _identity_path(folder: Path, reader: str) -> Path:
    return folder / f"{reader}.identity.json"


def known_identity(folder: Path, reader: str) -> Identity | None:
    """Who this reader was when it was first seen; None when it never was, or the file says nothing."""
    try:
        raw = json.loads(_identity_path(folder, reader).read_text(encoding="utf-8"))
        raw["capabilities"] = tuple(tuple(entry) for entry in raw["capabilities"])
        return Identity(**raw)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def identity_stamp(folder: Path, reader: str) -> int:
    """When this reader was remembered, in ns; 0 = never. It changes when the reader is installed anew."""
    try:
        return _identity_path(folder, reader).stat().st_mtime_ns
    except OSError:
        return 0


def remember_identity(folder: Path, reader: str, identity: Identity) -> None:
    """Keep who this reader is. Raises OSError."""
    private_folder(folder)
    write_private(_identity_path(folder, reader), json.dumps(asdict(identity)) + "\n")


def forget_identity(folder: Path, reader: str) -> bool:
    """The next reader that knows the key is the right one; False when none was known."""
    try:
        _identity_path(folder, reader).unlink()
    except FileNotFoundError:
        return False
    return True


def _marker_path(folder: Path, reader: str) -> Path:
    return folder / f"{reader}.install"


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def allow_install(folder: Path, reader: str, lasts_s: float) -> None:
    """Let one reader be given this gate's key, once, from now for `lasts_s` (30 min at most); a restart ends it.

    The time counts by CLOCK_BOOTTIME: a gate's wall clock may stand at 1970. Raises OSError.
    """
    until_s = time.clock_gettime(time.CLOCK_BOOTTIME) + min(lasts_s, MAX_INSTALL_S)
    private_folder(folder)
    write_private(_marker_path(folder, reader), json.dumps({"boot": _boot_id(), "until_s": until_s}) + "\n")


def is_install_asked(folder: Path, reader: str) -> bool:
    """Whether a marker waits to be taken."""
    return _marker_path(folder, reader).exists()


def take_install(folder: Path, reader: str) -> float:
    """Take the marker away and return the seconds it is good for; 0.0 when there is none or it is over."""
    path = _marker_path(folder, reader)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        boot, until_s = str(raw["boot"]), float(raw["until_s"])
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError, TypeError, KeyError):
        boot, until_s = "", 0.0
    try:
        path.unlink()
    except OSError:
        return 0.0  # what cannot be taken away could be used twice
    left_s = until_s - time.clock_gettime(time.CLOCK_BOOTTIME)
    return min(left_s, MAX_INSTALL_S) if boot == _boot_id() and left_s > 0 else 0.0


def cancel_install(folder: Path, reader: str) -> None:
    """Take the marker away, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        _marker_path(folder, reader).unlink()
