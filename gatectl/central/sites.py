"""What a real central is built of: sites, gates and lanes, entered by the office."""

import re
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from gatectl.central import tables
from gatectl.central.audit import mark_dirty, write_audit
from gatectl.central.credentials import RESIDENTS, VEHICLES, level_id
from gatectl.core.model import Direction, LaneKind
from gatectl.errors import ConfigError, NotFoundError, RefusedError

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_MAX_NAME_CHARS = 80


@dataclass(frozen=True, slots=True)
class SiteRow:
    """A site and how much stands in it."""

    id: str
    name_zh: str
    name_en: str
    village: str
    gates: int
    lanes: int


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane as central knows it."""

    id: str
    gate: str
    site: str
    kind: str
    direction: str
    name_zh: str
    name_en: str


def list_sites(conn: Connection) -> tuple[SiteRow, ...]:
    """Every site, in the order of their ids."""
    gates, lanes = tables.gates, tables.lanes
    site, n = gates.c.site_id, func.count().label("n")
    in_site = {row.site_id: row.n for row in conn.execute(select(site, n).group_by(site))}
    with_lanes = select(site, n).join_from(lanes, gates, gates.c.id == lanes.c.gate_id).group_by(site)
    ways = {row.site_id: row.n for row in conn.execute(with_lanes)}
    rows = conn.execute(select(tables.sites).order_by(tables.sites.c.id))
    return tuple(
        SiteRow(row.id, row.name_zh, row.name_en, row.village, in_site.get(row.id, 0), ways.get(row.id, 0))
        for row in rows
    )


def list_lanes(conn: Connection, gate: str | None = None) -> tuple[LaneRow, ...]:
    """Every lane (of one gate), in the order of gate and id."""
    lanes, gates = tables.lanes, tables.gates
    query = select(lanes, gates.c.site_id).join(gates, gates.c.id == lanes.c.gate_id)
    if gate is not None:
        query = query.where(lanes.c.gate_id == gate)
    return tuple(
        LaneRow(row.id, row.gate_id, row.site_id, row.kind, row.direction, row.name_zh, row.name_en)
        for row in conn.execute(query.order_by(lanes.c.gate_id, lanes.c.id))
    )


def add_site(conn: Connection, actor: str, site: str, zh: str, en: str, village: str = "") -> None:
    """Enter a site. Raises ConfigError (an id or name that is none), RefusedError (it is there already)."""
    values = {"id": _checked(site), **_names(zh, en), "village": village.strip()[:_MAX_NAME_CHARS]}
    _require_new(conn, "site", site)
    conn.execute(insert(tables.sites).values(values))
    write_audit(conn, actor, "site.add", site)
    mark_dirty(conn, site)


def add_gate(conn: Connection, actor: str, gate: str, site: str, zh: str, en: str, *, reserved: str = "") -> None:
    """Enter a gate of a site; `reserved` is central's own name at the broker, which no gate may have.

    Raises ConfigError, NotFoundError, RefusedError.
    """
    values = {"id": _checked(gate), "site_id": site, **_names(zh, en)}
    if gate in {reserved, "central"}:
        raise RefusedError(f"{gate!r} is central's own name at the broker", zh=f"{gate!r} 是中心自己的账号名")
    if conn.execute(select(tables.sites.c.id).where(tables.sites.c.id == site)).first() is None:
        raise NotFoundError(f"no site {site!r}; `gatectl site add` makes one", zh=f"没有小区 {site!r}")
    _require_new(conn, "gate", gate)
    conn.execute(insert(tables.gates).values(values))
    write_audit(conn, actor, "gate.add", gate, f"site {site}")


def add_lane(
    conn: Connection, actor: str, lane: str, gate: str, kind: LaneKind, direction: Direction, zh: str, en: str
) -> None:
    """Enter a lane of a gate; residents' cards open it, their cars too where it is for cars.

    Raises ConfigError, NotFoundError, RefusedError.
    """
    site = conn.scalar(select(tables.gates.c.site_id).where(tables.gates.c.id == gate))
    if site is None:
        raise NotFoundError(f"no gate {gate!r}; `gatectl gate add` makes one", zh=f"没有闸口 {gate!r}")
    values = {"id": _checked(lane), "gate_id": gate, "kind": kind.value, "direction": direction.value}
    values |= _names(zh, en)
    _require_new(conn, "lane", lane)
    conn.execute(insert(tables.lanes).values(values))
    members = tables.access_level_lanes
    for name in (RESIDENTS, VEHICLES) if kind is LaneKind.VEHICLE else (RESIDENTS,):
        level = level_id(conn, str(site), name)  # one that it makes just now has the lane already
        held = select(members.c.lane_id).where(members.c.level_id == level, members.c.lane_id == lane)
        if conn.execute(held).first() is None:
            conn.execute(insert(members).values(level_id=level, lane_id=lane))
    write_audit(conn, actor, "lane.add", lane, f"gate {gate}")
    mark_dirty(conn, str(site))


def _checked(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ConfigError(
            f"{text!r} is no id: 1 to 63 small letters, digits, - and _, beginning with a letter or a digit",
            zh=f"{text!r} 不是有效编号:1–63 个小写字母、数字、- 或 _,以字母或数字开头",
        )
    return text


def _names(zh: str, en: str) -> dict[str, str]:
    names = {"name_zh": zh.strip(), "name_en": en.strip()}
    for name in names.values():
        if not 0 < len(name) <= _MAX_NAME_CHARS:
            raise ConfigError(f"a name has 1 to {_MAX_NAME_CHARS} characters", zh=f"名称须为 1–{_MAX_NAME_CHARS} 个字")
    return names


def _require_new(conn: Connection, what: str, text: str) -> None:
    table = {"site": tables.sites, "gate": tables.gates, "lane": tables.lanes}[what]
    if conn.execute(select(table.c.id).where(table.c.id == text)).first() is not None:
        zh = {"site": "小区", "gate": "闸口", "lane": "通道"}[what]
        raise RefusedError(f"{what} {text!r} is there already", zh=f"{zh} {text!r} 已存在")
