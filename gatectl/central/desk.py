"""What the duty desk needs at a glance: cars held at a lane now, and traffic by the hour."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from gatectl.central import tables
from gatectl.central.audit import now_ms
from gatectl.central.eventlog import EventQuery, conditions
from gatectl.central.gates import GateTile, LaneTile, gate_tiles
from gatectl.core.model import EventKind, PlateRead, Verdict
from gatectl.errors import PayloadError
from gatectl.wire.events import parse_event

HOUR_MS = 3_600_000
HELD_FRESH_MS = 90_000
"""A held event this young counts even before the gate's next heartbeat says so."""
HELD_OLDEST_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class HeldCar:
    """A car that waits at a lane for a person's answer. `event_id` is "" until the record has arrived."""

    tile: GateTile
    lane: LaneTile
    event_id: str
    at_ms: int | None
    reason: int
    plate: PlateRead | None
    picture_sha256: str


@dataclass(frozen=True, slots=True)
class Hour:
    """Traffic of one hour that starts at `start_ms`: granted in and out, denied, held."""

    start_ms: int
    entered: int = 0
    left: int = 0
    denied: int = 0
    held: int = 0

    @property
    def total(self) -> int:
        """Everything that happened in this hour."""
        return self.entered + self.left + self.denied + self.held


def held_cars(conn: Connection, tiles: list[GateTile] | None = None) -> list[HeldCar]:
    """Cars that are held now, longest first: by the gates' beats and by held records without an end."""
    at_ms = now_ms()
    events = tables.events.c
    rows = conn.execute(
        select(tables.events)
        .where(
            events.kind == str(EventKind.ACCESS),
            events.verdict == str(Verdict.HELD),
            events.at > at_ms - HELD_OLDEST_MS,
        )
        .order_by(events.at, events.id)
    ).all()
    newest = {row.lane_id: row for row in rows}
    ended = set(
        conn.execute(
            select(events.ref).where(
                events.kind == str(EventKind.HOLD_END),
                events.ref.in_([row.event_id for row in newest.values()]),
            )
        ).scalars()
    )
    found: list[HeldCar] = []
    for tile in gate_tiles(conn) if tiles is None else tiles:
        for lane in tile.lanes:
            row = newest.get(lane.id)
            if row is None:
                if lane.is_held:
                    found.append(HeldCar(tile, lane, "", None, 0, None, ""))
            elif row.event_id not in ended and (lane.is_held or row.at > at_ms - HELD_FRESH_MS):
                plate = _plate(row.body, row.personal)
                found.append(HeldCar(tile, lane, row.event_id, row.at, row.reason, plate, row.picture_sha256))
    return sorted(found, key=lambda car: car.at_ms or 0)


def _plate(body: str, personal: str) -> PlateRead | None:
    try:
        return parse_event(body, personal).plate
    except PayloadError:
        return None


def hourly(conn: Connection, query: EventQuery, hours: int = 24) -> list[Hour]:
    """The newest `hours` hours of the query's window, oldest first; attempts only."""
    until_ms = int(query.until.timestamp() * 1000) if query.until else now_ms()
    until_ms = min(until_ms, now_ms() + HOUR_MS)
    last = (until_ms - 1) // HOUR_MS
    first = last - hours + 1
    if query.since is not None:
        first = max(first, int(query.since.timestamp() * 1000) // HOUR_MS)
    if first > last:
        return []
    events = tables.events.c
    hour = (events.at - events.at % HOUR_MS).label("hour")
    counts: dict[int, dict[str, int]] = {}
    for row in conn.execute(
        select(hour, events.direction, events.verdict, func.count().label("n"))
        .where(
            *conditions(query),
            events.kind == str(EventKind.ACCESS),
            events.at >= first * HOUR_MS,
            events.at < (last + 1) * HOUR_MS,
        )
        .group_by(hour, events.direction, events.verdict)
    ):
        bucket = counts.setdefault(int(row.hour), {})
        name = _bucket(row.verdict, row.direction)
        bucket[name] = bucket.get(name, 0) + int(row.n)
    return [Hour(start * HOUR_MS, **counts.get(start * HOUR_MS, {})) for start in range(first, last + 1)]


def _bucket(verdict: str, direction: str) -> str:
    if verdict in {"denied", "held"}:
        return verdict
    return "left" if direction == "out" else "entered"


def rooms(conn: Connection, household_ids: Iterable[str]) -> dict[str, str]:
    """The doors (`3-2-501`) of these households."""
    homes = tables.households.c
    rows = conn.execute(
        select(homes.id, homes.building, homes.unit, homes.room).where(
            homes.id.in_([home for home in household_ids if home])
        )
    )
    return {row.id: "-".join(part for part in (row.building, row.unit, row.room) if part) for row in rows}


def sites(conn: Connection) -> list[Row[Any]]:
    """Every site, by id."""
    return list(conn.execute(select(tables.sites).order_by(tables.sites.c.id)))
