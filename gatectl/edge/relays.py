"""Watches the bridges' relay counters: an opening that nobody here asked for is told to people."""

from dataclasses import dataclass

_CREDIT_LIFE_NS = 5_000_000_000
"""A pulse that the counter has not shown after this time never happened, and excuses nothing later."""


@dataclass(slots=True)
class _Account:
    """One lane: the counter as last seen, and our own pulses that it has not shown yet."""

    seen: int | None
    pulses_ns: list[int]


class RelayWatch:
    """Owned by the controller thread."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Account] = {}

    def restore(self, lane: str, expected: int) -> None:
        """The counter as the store remembers it from before a restart."""
        self._lanes[lane] = _Account(expected, [])

    def expected(self, lane: str) -> int | None:
        """What the counter will show when all our pulses have come through; None before its first report."""
        account = self._lanes.get(lane)
        if account is None or account.seen is None:
            return None
        return account.seen + len(account.pulses_ns)

    def pulsed(self, lane: str, tick_ns: int) -> None:
        """We pulse the relay now."""
        self._lanes.setdefault(lane, _Account(None, [])).pulses_ns.append(tick_ns)

    def not_pulsed(self, lane: str) -> None:
        """The last pulse did not reach the wire."""
        account = self._lanes.get(lane)
        if account is not None and account.pulses_ns:
            account.pulses_ns.pop()

    def counted(self, lane: str, opens: int, tick_ns: int) -> int:
        """Take a report; returns how many openings it shows that were not ours."""
        account = self._lanes.setdefault(lane, _Account(None, []))
        if account.seen is None or opens < account.seen:  # first report, or another bridge in its place
            account.seen = opens
            account.pulses_ns.clear()
            return 0
        rise = opens - account.seen
        explained = min(rise, len(account.pulses_ns))
        account.seen = opens
        del account.pulses_ns[:explained]
        account.pulses_ns[:] = [ns for ns in account.pulses_ns if tick_ns - ns < _CREDIT_LIFE_NS]
        return rise - explained
