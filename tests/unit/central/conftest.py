"""An office on an empty SQLite: two sites, three gates, four lanes."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, insert

from gatectl.central import tables
from gatectl.core.model import AccessEvent, ClockTrust, EventKind, GateId, LaneId
from gatectl.core.reasons import Reason
from gatectl.wire.events import event_text

START = datetime(2026, 5, 1, 0, 0, tzinfo=UTC)  # 08:00 site time
GATES = (("south", "danzao"), ("north", "danzao"), ("lake", "xianhu"))
LANES = (
    ("south-in", "south", "vehicle", "in"),
    ("south-walk", "south", "pedestrian", "in"),
    ("north-out", "north", "vehicle", "out"),
    ("lake-in", "lake", "vehicle", "in"),
)

AddEvent = Callable[..., int]


@pytest.fixture
def conn() -> Iterator[Connection]:
    """One transaction on a fresh database with foreign keys enforced."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        tables.metadata.create_all(connection)
        for site in ("danzao", "xianhu"):
            connection.execute(insert(tables.sites).values(id=site, name_zh=f"{site}小区", name_en=site))
        for gate, site in GATES:
            connection.execute(insert(tables.gates).values(id=gate, site_id=site, name_zh=f"{gate}门", name_en=gate))
        for lane, gate, kind, direction in LANES:
            connection.execute(
                insert(tables.lanes).values(
                    id=lane, gate_id=gate, kind=kind, direction=direction, name_zh=lane, name_en=lane
                )
            )
        yield connection
    engine.dispose()


@pytest.fixture
def add_event(conn: Connection) -> AddEvent:
    """Insert one event as ingest would; keywords override columns. Returns its number."""
    numbers = itertools.count(1)

    def add(**changes: Any) -> int:
        seq = next(numbers)
        at_ms = changes.pop("at", int(START.timestamp() * 1000) + seq * 1000)
        event_id = changes.pop("event_id", f"e{seq:06d}")
        reason = changes.pop("reason", Reason.PLATE_OK)
        text = event_text(
            AccessEvent(
                id=event_id,
                kind=EventKind(changes.get("kind", "access")),
                gate=GateId(changes.get("gate_id", "south")),
                lane=LaneId(changes.get("lane_id", "south-in")),
                at=datetime.fromtimestamp(at_ms / 1000, UTC),
                boot_id="b",
                mono_ns=seq,
                clock=ClockTrust.SYNCED,
                reason=Reason(reason) if reason in set(Reason) else Reason.PLATE_OK,
            ),
            "5a" * 16,
        )
        values: dict[str, Any] = {
            "gate_id": "south",
            "epoch": "e",
            "seq": seq,
            "prev": "0" * 64,
            "hash": "1" * 64,
            "body": text.body,
            "personal": text.personal,
            "kind": "access",
            "site_id": "danzao",
            "lane_id": "south-in",
            "direction": "in",
            "verdict": "granted",
            "received_at": at_ms + 40,
        }
        values |= changes
        result = conn.execute(insert(tables.events).values(event_id=event_id, at=at_ms, reason=int(reason), **values))
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0])

    return add
