"""Fill central's empty database with the invented town."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select

from gatectl.central import tables
from gatectl.central.replicate import mark_dirty
from gatectl.core.model import CredentialKey, GrantState, LaneKind
from gatectl.sim.cast import Part, SiteCast, TownCast
from gatectl.sim.plan import SitePlan, TownPlan

_DAY_S = 86_400
_SITE_TIME = timedelta(hours=8)
"""Asia/Shanghai, without daylight saving since 1991."""


def is_seeded(conn: Connection) -> bool:
    """Whether a town lives here already."""
    return conn.execute(select(tables.sites.c.id).limit(1)).first() is not None


def seed_town(conn: Connection, plan: TownPlan, cast: TownCast) -> None:
    """Insert sites, gates, lanes, access levels, people, cards and vehicles; every list is left to be made."""
    for site in plan.sites:
        _seed_site(conn, site)
        _seed_people(conn, cast.sites[site.id])
        mark_dirty(conn, site.id)


def _seed_site(conn: Connection, site: SitePlan) -> None:
    conn.execute(insert(tables.sites), {"id": site.id, "name_zh": site.name_zh, "name_en": site.name_en})
    gates = [{"id": g.id, "site_id": site.id, "name_zh": g.name_zh, "name_en": g.name_en} for g in site.gates]
    conn.execute(insert(tables.gates), gates)
    lanes = [lane for gate in site.gates for lane in gate.lanes]
    conn.execute(
        insert(tables.lanes),
        [
            {
                "id": lane.id,
                "gate_id": lane.gate,
                "kind": lane.kind.value,
                "direction": lane.direction.value,
                "name_zh": lane.name_zh,
                "name_en": lane.name_en,
            }
            for lane in lanes
        ],
    )
    # Open on one weekday only, and that day is neither today nor tomorrow: off hours whenever the demo plays.
    weekday = (datetime.now(UTC) + _SITE_TIME + timedelta(days=3)).weekday()
    conn.execute(
        insert(tables.schedules),
        {
            "id": f"{site.id}-weekly",
            "site_id": site.id,
            "name_zh": "每周一次保洁",
            "name_en": "Weekly cleaning",
            "windows": json.dumps([[weekday, 8 * 60, 12 * 60]]),
        },
    )
    levels = {
        "residents": ("住户", "residents", None, lanes),
        "vehicles": ("住户车辆", "vehicles", None, [lane for lane in lanes if lane.kind is LaneKind.VEHICLE]),
        "first-gate": ("仅首门", "first gate only", None, list(site.gates[0].lanes)),
        "cleaning": ("保洁", "cleaning", f"{site.id}-weekly", lanes),
    }
    for name, (name_zh, name_en, schedule, _) in levels.items():
        conn.execute(
            insert(tables.access_levels),
            {
                "id": f"{site.id}-{name}",
                "site_id": site.id,
                "name_zh": name_zh,
                "name_en": name_en,
                "schedule_id": schedule,
            },
        )
    conn.execute(
        insert(tables.access_level_lanes),
        [
            {"level_id": f"{site.id}-{name}", "lane_id": lane.id}
            for name, (_, _, _, members) in levels.items()
            for lane in members
        ],
    )


def _seed_people(conn: Connection, cast: SiteCast) -> None:
    now_s = int(time.time())
    site = cast.site.id
    parts = {role.key: role.part for role in cast.refused_cards} | {role.key: role.part for role in cast.refused_cars}
    households: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    credentials: list[dict[str, Any]] = []
    rights: list[dict[str, str]] = []
    for household in cast.households:
        households.append(
            {
                "id": household.id,
                "site_id": site,
                "building": household.building,
                "unit": household.unit,
                "room": household.room,
                "created_at": now_s * 1000,
            }
        )
        people += [
            {
                "id": person.id,
                "household_id": household.id,
                "site_id": site,
                "name": person.name,
                "phone": person.phone,
                "relation": person.relation,
                "created_at": now_s * 1000,
            }
            for person in household.people
        ]
        owned: list[tuple[CredentialKey, str | None, str, str | None]] = [
            (card.key, card.person, "card", None) for card in household.cards
        ]
        owned += [(vehicle.key, None, "plate", vehicle.colour.value) for vehicle in household.vehicles]
        for key, person_id, kind, colour in owned:
            part = parts.get(key, Part.RIGHTFUL)
            credential_id = f"{site}-c{len(credentials) + 1:05d}"
            credentials.append(
                {
                    "id": credential_id,
                    "site_id": site,
                    "household_id": household.id,
                    "cardholder_id": person_id,
                    "kind": kind,
                    "key": key,
                    "state": _STATES.get(part, GrantState.ACTIVE).value,
                    "valid_from_s": now_s + 30 * _DAY_S if part is Part.NOT_YET else None,
                    "valid_until_s": now_s - _DAY_S if part is Part.EXPIRED else None,
                    "colour": colour,
                    "created_at": now_s * 1000,
                    "changed_at": now_s * 1000,
                }
            )
            level = _LEVELS.get(part, "residents" if kind == "card" else "vehicles")
            rights.append({"credential_id": credential_id, "level_id": f"{site}-{level}"})
    conn.execute(insert(tables.households), households)
    conn.execute(insert(tables.cardholders), people)
    conn.execute(insert(tables.credentials), credentials)
    conn.execute(insert(tables.credential_levels), rights)


_STATES = {Part.LOST: GrantState.LOST, Part.REVOKED: GrantState.REVOKED, Part.BLOCKED: GrantState.BLOCKED}
_LEVELS = {Part.OTHER_GATE: "first-gate", Part.OFF_HOURS: "cleaning"}
