"""How long people wait: from the tap, or the frame, to the relay."""

from collections import deque

KEPT = 2000


class Latencies:
    """The newest samples of one figure, in ns; used from one thread, read from any."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._samples_ns: deque[int] = deque(maxlen=KEPT)

    def add(self, sample_ns: int) -> None:
        """Keep one sample; a negative one (two machines' ticks mixed up) is no sample."""
        if sample_ns >= 0:
            self._samples_ns.append(sample_ns)

    def counters(self) -> dict[str, int]:
        """`{name}_us_p50`, `_p99`, `_max` and `_n`; empty without samples."""
        samples = sorted(self._samples_ns)
        if not samples:
            return {}
        last = len(samples) - 1
        return {
            f"{self._name}_us_p50": samples[last // 2] // 1000,
            f"{self._name}_us_p99": samples[round(last * 0.99)] // 1000,
            f"{self._name}_us_max": samples[-1] // 1000,
            f"{self._name}_n": len(samples),
        }
