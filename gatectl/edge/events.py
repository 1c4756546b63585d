"""Makes the daemon's own events: starts, alarms, refused commands, time anchors."""

from collections.abc import Callable
from dataclasses import replace

from gatectl.core.model import AccessEvent, EventKind, GateId, LaneId
from gatectl.core.reasons import Reason
from gatectl.drivers.ports import Clock


class EventMaker:
    """Fills in what every event of this gate carries."""

    def __init__(self, gate: GateId, boot_id: str, clock: Clock, new_id: Callable[[], str]) -> None:
        self.gate = gate
        self.boot_id = boot_id
        self.clock = clock
        self.new_id = new_id

    def make(
        self,
        kind: EventKind,
        reason: Reason,
        *,
        lane: LaneId | None = None,
        note: str = "",
        actor: str = "",
        ref: str = "",
        outcome: str = "",
    ) -> AccessEvent:
        """An event of this moment."""
        return AccessEvent(
            id=self.new_id(),
            kind=kind,
            gate=self.gate,
            lane=lane,
            at=self.clock.now(),
            boot_id=self.boot_id,
            mono_ns=self.clock.tick_ns(),
            clock=self.clock.trust(),
            reason=reason,
            note=note[:500],
            actor=actor[:120],
            ref=ref,
            outcome=outcome,
        )

    def alarm(self, reason: Reason, note: str, lane: LaneId | None = None, ref: str = "") -> AccessEvent:
        """Something a person should look at."""
        return self.make(EventKind.ALARM, reason, lane=lane, note=note, ref=ref)

    def gap(self, first: int, last: int, own: str) -> AccessEvent:
        """Unconfirmed events that are given up; `own` is the last one's hash."""
        words = f"events {first} to {last} were given up before central had them"
        return replace(self.alarm(Reason.OUTBOX_FULL, words), gap=(first, last, own))

    def system(self, reason: Reason, note: str, lane: LaneId | None = None, ref: str = "") -> AccessEvent:
        """Start, recovery and the like."""
        return self.make(EventKind.SYSTEM, reason, lane=lane, note=note, ref=ref)
