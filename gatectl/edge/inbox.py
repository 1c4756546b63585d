"""What the controller's inbox takes, besides what devices report."""

from dataclasses import dataclass

from gatectl.core.lane_io import EmergencyOrdered, OpenOrdered, RefuseOrdered
from gatectl.core.model import LaneId, PlateRead
from gatectl.drivers.ports import DeviceEvent
from gatectl.wire.messages import InsideList, Passages


@dataclass(frozen=True, slots=True)
class PlateArrived:
    """The vision process ended a vote; `frame_tick_ns` is when its last frame was taken."""

    lane: LaneId
    camera: str
    plate: PlateRead
    frame_tick_ns: int


@dataclass(frozen=True, slots=True)
class LaneOrder:
    """A verified command for one lane."""

    lane: LaneId
    order: OpenOrdered | RefuseOrdered | EmergencyOrdered


@dataclass(frozen=True, slots=True)
class PassagesHeard:
    """Central told what the site's gates saw."""

    news: Passages


@dataclass(frozen=True, slots=True)
class InsideHeard:
    """Central told who is inside."""

    count: InsideList


InboxItem = DeviceEvent | PlateArrived | LaneOrder | PassagesHeard | InsideHeard
