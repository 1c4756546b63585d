"""Lamps and buzzers at the lanes, through whatever can reach them. An opening never waits for a lamp."""

from collections.abc import Mapping
from typing import Protocol

from gatectl.core.lane_io import Signal
from gatectl.core.model import LaneId
from gatectl.core.reasons import Reason
from gatectl.errors import LinkError


class LampPort(Protocol):
    """A device with lamps."""

    def indicate(self, lane: LaneId, signal: Signal, reason: Reason) -> None:
        """Show a signal. Raises LinkError when the device is away."""


class LaneIndicator:
    """Shows signals at the lanes that have lamps; a lamp that cannot be reached stays dark and is counted."""

    def __init__(self, lamps: Mapping[LaneId, LampPort]) -> None:
        self.dark = 0
        """Signals that reached no lamp because the device was away."""
        self._lamps = lamps

    def show(self, lane: LaneId, signal: Signal, reason: Reason) -> None:
        """Show a signal; never raises."""
        lamp = self._lamps.get(lane)
        if lamp is None:
            return
        try:
            lamp.indicate(lane, signal, reason)
        except LinkError:
            self.dark += 1
