"""What this process costs: resident memory, and latencies as figures."""

from collections.abc import Sequence
from pathlib import Path


def rss_mb() -> float:
    """Resident memory now, in MB (10^6 bytes)."""
    return _status_mb("VmRSS")


def peak_rss_mb() -> float:
    """The most resident memory so far, in MB."""
    return _status_mb("VmHWM")


def _status_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise OSError(f"/proc/self/status has no {field}")


def percentiles(samples: Sequence[float], digits: int = 1) -> dict[str, float]:
    """p50, p99 and max of at least one sample, in its own unit."""
    ordered = sorted(samples)
    last = len(ordered) - 1
    return {
        "p50": round(ordered[last // 2], digits),
        "p99": round(ordered[min(last, int(len(ordered) * 0.99))], digits),
        "max": round(ordered[last], digits),
    }
