"""An office on an empty database: two sites, three gates, four lanes.

SQLite, or the PostgreSQL that GATECTL_TEST_POSTGRESQL names (tests/integration/test_postgresql.py runs them so).
"""

import itertools
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert

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


@pytest.fixture(scope="session")
def server() -> Iterator[Engine | None]:
    """PostgreSQL with every table, where one is named; a test's rows never stay in it."""
    url = os.environ.get("GATECTL_TEST_POSTGRESQL", "")
    if not url:
        yield None
        return
    made = create_engine(url)
    tables.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def conn(server: Engine | None) -> Iterator[Connection]:
    """One transaction on empty tables with foreign keys enforced, and two sites in them."""
    engine = server if server is not None else create_engine("sqlite://")
    with engine.connect() as connection, connection.begin() as transaction:
        if server is None:
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
            tables.metadata.create_all(connection)
        else:  # numbers begin at 1, as in a new database
            names = connection.exec_driver_sql("SELECT oid::regclass FROM pg_class WHERE relkind = 'S'").scalars()
            for name in names.all():
                connection.exec_driver_sql(f"ALTER SEQUENCE {name} RESTART")
        _seed(connection)
        yield connection
        transaction.rollback()
    if server is None:
        engine.dispose()


def _seed(connection: Connection) -> None:
    for site in ("danzao", "xianhu"):
        connection.execute(insert(tables.sites).values(id=site, name_zh=f"{site}小区", name_en=site))
    for gate, site in GATES:
        connection.execute(insert(tables.gates).values(id=gate, site_id=site, name_zh=f"{gate}门", name_en=gate))
    for lane, gate, kind, direction in LANES:
        values = {"kind": kind, "direction": direction, "name_zh": lane, "name_en": lane}
        connection.execute(insert(tables.lanes).values(id=lane, gate_id=gate, **values))


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
