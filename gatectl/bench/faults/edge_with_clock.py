"""The daemon with a wall clock of its own: the machine's, and the seconds that a file says on top."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gatectl.edge import clock, daemon

_FILE = Path(os.environ["GATECTL_BENCH_CLOCK"])


def _now(_self: clock.SystemClock) -> datetime:
    try:
        offset_s = float(_FILE.read_text(encoding="utf-8") or 0)
    except ValueError:  # it is being written
        offset_s = 0.0
    return datetime.now(UTC) + timedelta(seconds=offset_s)


if __name__ == "__main__":
    clock.SystemClock.now = _now  # type: ignore[method-assign,assignment]
    clock.kernel_says_synced = lambda: False
    raise SystemExit(daemon.main())
