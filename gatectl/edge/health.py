"""Whether everything still turns: beats of every thread, systemd's watchdog, room on the disk."""

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns

from gatectl.logs import get_logger

LOW_DISK_BYTES = 200 * 1024 * 1024
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """One thread's pulse and how old it may grow."""

    beat_ns: Callable[[], int]
    limit_s: float


class Health:
    """Asked by the main thread only."""

    def __init__(self, beats: Mapping[str, Beat], environment: Mapping[str, str] = os.environ) -> None:
        self._beats = beats
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._stale: tuple[str, ...] = ()

    def stale(self) -> tuple[str, ...]:
        """The threads whose beat is too old."""
        now_ns = monotonic_ns()
        return tuple(name for name, beat in self._beats.items() if now_ns - beat.beat_ns() > beat.limit_s * 1e9)

    def feed_watchdog(self) -> tuple[str, ...]:
        """`WATCHDOG=1` only while all beats are fresh. Returns the stale ones."""
        stale = self.stale()
        if not stale:
            self.notify("WATCHDOG=1")
        if stale != self._stale:
            self._stale = stale
            _log.error("health.stale", threads=", ".join(stale)) if stale else _log.info("health.fresh")
        return stale

    def notify(self, state: str) -> None:
        """Tell systemd; silently nothing where it did not start us."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.connect(address)
                link.sendall(state.encode())
        except OSError as error:
            _log.warning("systemd.not_told", words=error.strerror or str(error))


def free_bytes(folder: Path) -> int | None:
    """Free room on the folder's disk; None when it cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
