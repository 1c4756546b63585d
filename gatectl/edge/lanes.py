"""From a gate's settings to the core's lanes."""

from gatectl.core.model import Lane, LaneId
from gatectl.settings import EdgeSettings


def lane_of(settings: EdgeSettings, lane_id: str) -> Lane:
    """The core's lane for one of the settings' lanes."""
    found = next(lane for lane in settings.lanes if lane.id == lane_id)
    return Lane(
        id=LaneId(found.id),
        kind=found.kind,
        direction=found.direction,
        require_presence=found.require_presence,
        pulse_ms=found.pulse_ms,
        arm_up_timeout_s=found.arm_up_timeout_s,
        passage_timeout_s=found.passage_timeout_s,
        hold_timeout_s=found.hold_timeout_s,
        held_open_after_s=found.held_open_after_s,
    )
