"""When it really happened: times stamped by clocks that were not synced, corrected by anchors (PROTOCOLS 10).

`at` is the corrected time where one is known and the stamped one elsewhere; the stamp stays beside it, the event is
never rewritten. The error is the anchor's own and the tick's drift since.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, cast, func, select, update

from gatectl.central import tables
from gatectl.central.database import insert_new
from gatectl.core.model import AccessEvent, ClockTrust, EventKind

DRIFT_PPM = 100
"""A plain crystal's tick: 20 ppm as sold, five times that in a hot cabinet."""
SYNCED_ERROR_MS = 5000
"""A clock counts as synced within 5 s of central's (`edge.clock.SERVER_AGREES_S`)."""
_ANCHOR = re.compile(r"mono_ns=(\d{1,19}) utc_ns=(\d{1,19}) err_ms=(\d{1,9})\b")


@dataclass(frozen=True, slots=True)
class Anchor:
    """A gate's ticks, and what time it was then."""

    mono_ns: int
    utc_ms: int
    error_ms: int

    def at(self, mono_ns: int) -> tuple[int, int]:
        """(UTC ms, error in ms) of another tick of the same boot."""
        apart_ms = (mono_ns - self.mono_ns) // 1_000_000
        return self.utc_ms + apart_ms, self.error_ms + abs(apart_ms) * DRIFT_PPM // 1_000_000


def anchor_of(event: AccessEvent) -> Anchor | None:
    """What an anchor event says; None for other events, and for one that says nothing."""
    found = _ANCHOR.search(event.note) if event.kind is EventKind.ANCHOR else None
    return Anchor(int(found[1]), int(found[2]) // 1_000_000, int(found[3])) if found else None


def corrected(conn: Connection, gate: str, rows: Iterable[dict[str, Any]]) -> None:
    """Set `at` and `clock_error_ms` of new rows (changed in place) from the anchors that are known already."""
    known: dict[str, Anchor | None] = {}
    for row in rows:
        if row["clock"] == ClockTrust.SYNCED.value:
            row["clock_error_ms"] = SYNCED_ERROR_MS
            continue
        boot = row["boot_id"]
        if boot not in known:
            known[boot] = _latest(conn, gate, boot)
        if (anchor := known[boot]) is not None:
            row["at"], row["clock_error_ms"] = anchor.at(row["mono_ns"])


def note_anchor(conn: Connection, gate: str, boot_id: str, anchor: Anchor) -> None:
    """Keep an anchor, and correct the boot's earlier events that no anchor had reached."""
    previous = _latest(conn, gate, boot_id)
    values = {"gate_id": gate, "boot_id": boot_id, "mono_ns": anchor.mono_ns}
    statement = insert_new(conn, tables.anchors, "gate_id", "boot_id", "mono_ns")
    conn.execute(statement, [{**values, "utc_ms": anchor.utc_ms, "error_ms": anchor.error_ms}])
    events = tables.events
    apart_ms = cast((events.c.mono_ns - anchor.mono_ns) / 1_000_000, BigInteger)
    conn.execute(
        update(events)
        .where(
            events.c.gate_id == gate,
            events.c.boot_id == boot_id,
            events.c.mono_ns > (previous.mono_ns if previous is not None else -1),
            events.c.mono_ns <= anchor.mono_ns,
            events.c.clock.in_((ClockTrust.UNTRUSTED.value, ClockTrust.HOLDOVER.value)),
        )
        .values(
            at=anchor.utc_ms + apart_ms,
            clock_error_ms=anchor.error_ms + cast(func.abs(apart_ms) * DRIFT_PPM / 1_000_000, BigInteger),
        )
    )


def _latest(conn: Connection, gate: str, boot_id: str) -> Anchor | None:
    anchors = tables.anchors.c
    query = (
        select(anchors.mono_ns, anchors.utc_ms, anchors.error_ms)
        .where(anchors.gate_id == gate, anchors.boot_id == boot_id)
        .order_by(anchors.mono_ns.desc())
    )
    row = conn.execute(query.limit(1)).first()
    return Anchor(row.mono_ns, row.utc_ms, row.error_ms) if row is not None else None
