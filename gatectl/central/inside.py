"""Who is inside, to read and to correct; the gates hear of a correction as of a passage that none of them saw."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from gatectl.central import tables
from gatectl.central.audit import new_id, now_ms, write_audit
from gatectl.central.credentials import mask_key
from gatectl.central.database import put_all
from gatectl.core.model import GrantState
from gatectl.core.plates import parse_plate, plate_key
from gatectl.errors import NotFoundError, RefusedError
from gatectl.wire.messages import PassageNews, Passages

MAX_STRANGERS_AT_ONCE = 200
"""One correction is one message of at most about 64 KB."""
_PLATE = "plate:"


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody inside. `subject` is a cardholder's id or a car's credential key; times are UTC epoch milliseconds."""

    subject: str
    area: str
    since_ms: int
    is_vehicle: bool
    household_id: str
    door: str
    name: str
    max_stay_s: int
    gate_id: str

    @property
    def plate(self) -> str:
        """粤E12345; "" for a person."""
        return self.subject.removeprefix(_PLATE) if self.subject.startswith(_PLATE) else ""

    def is_overdue(self, at_ms: int) -> bool:
        """Whether it has stayed longer than it was let in for."""
        return self.max_stay_s > 0 and at_ms - self.since_ms > self.max_stay_s * 1000


@dataclass(frozen=True, slots=True)
class AreaCount:
    """An area and who is in it. `capacity` 0 = its vehicles are not limited."""

    id: str
    name_zh: str
    name_en: str
    capacity: int
    people: int
    vehicles: int
    """Those that are known."""
    strangers: int
    """Vehicles beside them that nobody knows."""

    @property
    def free(self) -> int | None:
        """Places for vehicles that are left; None where they are not limited."""
        return max(0, self.capacity - self.vehicles - self.strangers) if self.capacity else None


@dataclass(frozen=True, slots=True)
class Stand:
    """A site's areas and everybody who is known to be in them, the longest first."""

    areas: tuple[AreaCount, ...]
    present: tuple[Present, ...]


def stand(conn: Connection, site: str, area: str = "") -> Stand:
    """Who is inside a site, or one area of it; every area is counted either way."""
    found = _present(conn, site)
    vehicles = Counter(one.area for one in found if one.is_vehicle)
    people = Counter(one.area for one in found if not one.is_vehicle)
    unknown = tables.strangers.c
    strangers = {
        row.area: row.vehicles
        for row in conn.execute(select(unknown.area, unknown.vehicles).where(unknown.site_id == site))
    }
    areas = {row.id: row for row in conn.execute(select(tables.areas).where(tables.areas.c.site_id == site))}
    names = sorted(areas.keys() | vehicles.keys() | people.keys() | {name for name, n in strangers.items() if n})
    counts = tuple(
        AreaCount(
            id=name,
            name_zh=areas[name].name_zh if name in areas else name,
            name_en=areas[name].name_en if name in areas else name,
            capacity=areas[name].capacity if name in areas else 0,
            people=people[name],
            vehicles=vehicles[name],
            strangers=strangers.get(name, 0),
        )
        for name in names
    )
    return Stand(counts, tuple(one for one in found if not area or one.area == area))


def _present(conn: Connection, site: str) -> list[Present]:
    inside, people, homes = tables.inside.c, tables.cardholders.c, tables.households.c
    query = (
        select(tables.inside, people.name, homes.building, homes.unit, homes.room)
        .outerjoin(tables.cardholders, people.id == inside.subject)
        .outerjoin(tables.households, homes.id == inside.household_id)
        .where(inside.site_id == site)
        .order_by(inside.since_ms, inside.subject)
    )
    return [
        Present(
            subject=row.subject,
            area=row.area,
            since_ms=row.since_ms,
            is_vehicle=bool(row.is_vehicle),
            household_id=row.household_id,
            door="-".join(part for part in (row.building, row.unit, row.room) if part),
            name=row.name or "",
            max_stay_s=row.max_stay_s,
            gate_id=row.gate_id,
        )
        for row in conn.execute(query)
    ]


# --- corrections ---


def correct(conn: Connection, actor: str, site: str, who: str, area: str, reason: str) -> None:
    """Say where somebody is ("" = gone): a plate, a person's id, or a subject as listed.

    Raises NotFoundError (nobody, or no such area), RefusedError (no reason, or it is so already).
    """
    reason = _reason(reason)
    subject, household, is_vehicle = _subject(conn, site, who)
    if area:
        _need_area(conn, site, area)
    inside = tables.inside.c
    mine = (inside.site_id == site) & (inside.subject == subject)
    before = conn.execute(select(tables.inside).where(mine)).first()
    if (before.area if before is not None else "") == area:
        raise RefusedError("that is what is known already", zh="已经是这个状态,无需更正")
    at_ms = now_ms()
    household = before.household_id if before is not None and before.household_id else household
    if before is not None:
        conn.execute(delete(tables.inside).where(mine))
    if area:
        values = {"site_id": site, "subject": subject, "area": area, "household_id": household}
        conn.execute(insert(tables.inside).values(**values, is_vehicle=is_vehicle, since_ms=at_ms))
    else:  # a late word of an earlier entry must not bring them back
        put_all(conn, tables.departures, [{"site_id": site, "subject": subject, "at_ms": at_ms}], "site_id", "subject")
    news = PassageNews(
        gate="",
        subject=subject,
        household=household,
        is_vehicle=is_vehicle,
        area_from=before.area if before is not None else "",
        area_to=area,
        dir="in" if area else "out",
        at=_time(at_ms),
    )
    _tell(conn, site, [news])
    was = before.area if before is not None else "-"
    write_audit(conn, actor, "inside.correct", _masked(subject), f"{was} → {area or '-'}: {reason}")


def correct_strangers(conn: Connection, actor: str, site: str, area: str, vehicles: int, reason: str) -> None:
    """Say how many vehicles that nobody knows stand in an area. Raises NotFoundError, RefusedError."""
    reason = _reason(reason)
    _need_area(conn, site, area)
    unknown = tables.strangers.c
    mine = (unknown.site_id == site) & (unknown.area == area)
    before = conn.execute(select(unknown.vehicles).where(mine)).scalar() or 0
    change = vehicles - before
    if vehicles < 0 or not 0 < abs(change) <= MAX_STRANGERS_AT_ONCE:
        raise RefusedError(
            f"there are {before}; give another number, at most {MAX_STRANGERS_AT_ONCE} away from it",
            zh=f"现为 {before};请填写不同的数目,一次最多相差 {MAX_STRANGERS_AT_ONCE}",
        )
    row = {"site_id": site, "area": area, "vehicles": vehicles}
    put_all(conn, tables.strangers, [row], "site_id", "area")
    news = PassageNews(
        gate="",
        is_vehicle=True,
        area_from=area if change < 0 else "",
        area_to=area if change > 0 else "",
        dir="in" if change > 0 else "out",
        at=_time(now_ms()),
    )
    _tell(conn, site, [news] * abs(change))
    write_audit(conn, actor, "inside.strangers", area, f"{before} → {vehicles}: {reason}")


def _reason(reason: str) -> str:
    if len(reason.strip()) < 2:
        raise RefusedError("a correction needs a reason", zh="更正必须填写原因")
    return reason.strip()[:200]


def _need_area(conn: Connection, site: str, area: str) -> None:
    areas = tables.areas.c
    if conn.execute(select(areas.id).where(areas.id == area, areas.site_id == site)).first() is None:
        known = ", ".join(conn.execute(select(areas.id).where(areas.site_id == site).order_by(areas.id)).scalars())
        raise NotFoundError(
            f"site {site} has no area {area!r}; known: {known or 'none, see `gatectl rule area`'}",
            zh=f"小区 {site} 没有区域 {area!r};现有:{known or '无,见 gatectl rule area'}",
        )


def _subject(conn: Connection, site: str, who: str) -> tuple[str, str, bool]:
    """The subject, its household and whether it is a vehicle. Raises NotFoundError."""
    parsed = parse_plate(who.removeprefix(_PLATE))
    subject = str(plate_key(parsed.text)) if parsed is not None else who
    inside, cred, people = tables.inside.c, tables.credentials.c, tables.cardholders.c
    here = (inside.site_id == site) & (inside.subject == subject)
    row = conn.execute(select(inside.household_id, inside.is_vehicle).where(here)).first()
    if row is not None:
        return subject, row.household_id, bool(row.is_vehicle)
    if parsed is not None:
        held = (cred.site_id == site) & (cred.key == subject) & (cred.state != GrantState.REVOKED)
        household = conn.execute(select(cred.household_id).where(held)).scalar()
    else:
        known = (people.id == who) & (people.site_id == site) & people.removed_at.is_(None)
        household = conn.execute(select(people.household_id).where(known)).scalar()
    if household is None:
        raise NotFoundError(
            f"{who!r} is neither inside nor registered at {site}; see `gatectl inside list`",
            zh=f"{who!r} 不在场,也未在小区 {site} 登记;见 gatectl inside list",
        )
    return subject, str(household), parsed is not None


def _masked(subject: str) -> str:
    return mask_key(subject) if ":" in subject else subject


def _tell(conn: Connection, site: str, news: Sequence[PassageNews]) -> None:
    items = json.dumps([item.model_dump(mode="json") for item in news], ensure_ascii=False)
    conn.execute(insert(tables.corrections).values(id=new_id(), site_id=site, news=items))


def is_waiting(conn: Connection) -> bool:
    """Whether the gates have a correction to hear of."""
    return conn.execute(select(tables.corrections.c.id).limit(1)).first() is not None


def take_waiting(conn: Connection) -> tuple[Passages, ...]:
    """The corrections made since the last call, in order, to seal and send once this is committed."""
    rows = conn.execute(select(tables.corrections).order_by(tables.corrections.c.id)).all()
    conn.execute(delete(tables.corrections).where(tables.corrections.c.id.in_([row.id for row in rows])))
    return tuple(
        Passages(site=row.site_id, items=tuple(PassageNews.model_validate(item) for item in json.loads(row.news)))
        for row in rows
    )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def as_row(one: Present, at_ms: int, name: str) -> dict[str, Any]:
    """One entry as commands and exports print it, with the name as far as the reader may see it."""
    return {
        "subject": one.subject,
        "area": one.area,
        "since": _time(one.since_ms).isoformat(),
        "since_ms": one.since_ms,
        "is_vehicle": one.is_vehicle,
        "plate": one.plate,
        "door": one.door,
        "name": name,
        "is_overdue": one.is_overdue(at_ms),
    }
