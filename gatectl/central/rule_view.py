"""A site's rules as a page shows them: lanes, areas, schedules and access levels, each with what concerns it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from gatectl.central import tables
from gatectl.core.model import LaneMode


@dataclass(frozen=True, slots=True)
class LaneRules:
    """A lane with its policy; the defaults where it has none."""

    id: str
    gate_id: str
    gate_zh: str
    gate_en: str
    name_zh: str
    name_en: str
    kind: str
    direction: str
    mode: str = LaneMode.NORMAL.value
    mode_until_s: int | None = None
    mode_reason: str = ""
    mode_by: str = ""
    area_from: str = ""
    area_to: str = ""
    open_schedule_id: str = ""
    is_first_card_in: bool = False
    is_two_person: bool = False
    interlock: str = ""
    short_stay_s: int = 0
    short_stay_schedule_id: str = ""
    is_fire_lane: bool = True

    def mode_at(self, now_s: int) -> str:
        """The mode that the office has ordered and that is not over."""
        is_over = self.mode_until_s is not None and self.mode_until_s <= now_s
        return LaneMode.NORMAL.value if is_over else self.mode


@dataclass(frozen=True, slots=True)
class ScheduleRules:
    """A schedule; `windows` and `exceptions` as stored (JSON)."""

    id: str
    name_zh: str
    name_en: str
    windows: str
    exceptions: str
    follows_calendar: bool
    used_by: int
    """Lanes and access levels that go by it."""


@dataclass(frozen=True, slots=True)
class AreaRules:
    """An area's anti-passback and capacity."""

    id: str
    name_zh: str
    name_en: str
    passback: str
    passback_s: int
    link_policy: str
    capacity: int


@dataclass(frozen=True, slots=True)
class LevelRules:
    """An access level: lanes × a schedule ("" = always), and how many active credentials have it."""

    id: str
    name_zh: str
    name_en: str
    schedule_id: str
    lanes: frozenset[str]
    credentials: int


def lane_rules(conn: Connection, site: str) -> list[LaneRules]:
    """Every lane of the site, by gate."""
    lanes, gates, policies = tables.lanes.c, tables.gates.c, tables.lane_policies
    query = (
        select(
            lanes.id,
            lanes.gate_id,
            lanes.kind,
            lanes.direction,
            lanes.name_zh,
            lanes.name_en,
            gates.name_zh.label("gate_zh"),
            gates.name_en.label("gate_en"),
            policies.c.lane_id,
            *(column for column in policies.c if column.name != "lane_id"),
        )
        .join(tables.gates, gates.id == lanes.gate_id)
        .outerjoin(policies, policies.c.lane_id == lanes.id)
        .where(gates.site_id == site)
        .order_by(lanes.gate_id, lanes.id)
    )
    return [_lane(row) for row in conn.execute(query)]


def _lane(row: Row[Any]) -> LaneRules:
    place = (row.id, row.gate_id, row.gate_zh, row.gate_en, row.name_zh, row.name_en, row.kind, row.direction)
    if row.lane_id is None:
        return LaneRules(*place)
    return LaneRules(
        *place,
        mode=row.mode,
        mode_until_s=row.mode_until_s,
        mode_reason=row.mode_reason,
        mode_by=row.mode_by,
        area_from=row.area_from,
        area_to=row.area_to,
        open_schedule_id=row.open_schedule_id or "",
        is_first_card_in=bool(row.is_first_card_in),
        is_two_person=bool(row.is_two_person),
        interlock=row.interlock,
        short_stay_s=row.short_stay_s,
        short_stay_schedule_id=row.short_stay_schedule_id or "",
        is_fire_lane=bool(row.is_fire_lane),
    )


def area_rules(conn: Connection, site: str) -> list[AreaRules]:
    """The site's areas, by id."""
    areas = tables.areas
    return [
        AreaRules(row.id, row.name_zh, row.name_en, row.passback, row.passback_s, row.link_policy, row.capacity)
        for row in conn.execute(select(areas).where(areas.c.site_id == site).order_by(areas.c.id))
    ]


def schedule_rules(conn: Connection, site: str) -> list[ScheduleRules]:
    """The site's schedules, by id."""
    schedules, levels, policies = tables.schedules, tables.access_levels.c, tables.lane_policies.c
    used = Counter(conn.execute(select(levels.schedule_id).where(levels.site_id == site)).scalars())
    for columns in conn.execute(select(policies.open_schedule_id, policies.short_stay_schedule_id)):
        used.update(columns)
    return [
        ScheduleRules(
            row.id,
            row.name_zh,
            row.name_en,
            row.windows,
            row.exceptions,
            bool(row.follows_calendar),
            used[row.id],
        )
        for row in conn.execute(select(schedules).where(schedules.c.site_id == site).order_by(schedules.c.id))
    ]


def level_rules(conn: Connection, site: str) -> list[LevelRules]:
    """The site's access levels, by id."""
    levels, members = tables.access_levels, tables.access_level_lanes.c
    given, cred = tables.credential_levels.c, tables.credentials.c
    lanes: dict[str, set[str]] = {}
    joined = (
        select(members.level_id, members.lane_id)
        .join(levels, levels.c.id == members.level_id)
        .where(levels.c.site_id == site)
    )
    for level_id, lane_id in conn.execute(joined):
        lanes.setdefault(level_id, set()).add(lane_id)
    held = (
        select(given.level_id)
        .join(tables.credentials, cred.id == given.credential_id)
        .where(cred.site_id == site, cred.state == "active")
    )
    count = Counter(conn.execute(held).scalars())
    return [
        LevelRules(
            row.id,
            row.name_zh,
            row.name_en,
            row.schedule_id or "",
            frozenset(lanes.get(row.id, ())),
            count[row.id],
        )
        for row in conn.execute(select(levels).where(levels.c.site_id == site).order_by(levels.c.id))
    ]
