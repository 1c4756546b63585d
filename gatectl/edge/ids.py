"""Ids made at the gate: sortable by time, unique without asking anybody."""

import secrets
import time
from pathlib import Path


def new_id() -> str:
    """32 hex digits: 48 bits of wall milliseconds, then 80 random bits."""
    wall_ms = (time.time_ns() // 1_000_000) & 0xFFFF_FFFF_FFFF
    return f"{wall_ms:012x}{secrets.token_hex(10)}"


def boot_id() -> str:
    """The kernel's id of this boot, so that `mono_ns` of two boots are never compared; random where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)
