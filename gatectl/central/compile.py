"""The office's tables as the rows of a site's list: what each gate decides on, and nothing that it need not know."""

import json
from collections.abc import Iterator

from sqlalchemy import Connection, Row, select

from gatectl.central import tables
from gatectl.core.model import (
    AccessLevel,
    Area,
    Calendar,
    CredentialKey,
    DayException,
    Grant,
    GrantState,
    Household,
    LaneId,
    LaneMode,
    LanePolicy,
    LinkPolicy,
    Passback,
    PlateColour,
    Profile,
    Schedule,
    Window,
)
from gatectl.wire.rows import ListRow, emergency_row, encode_row, grant_row, issuer_row, row_key, ruling_row, site_row

EXIT_GRACE_S = 24 * 3600
"""Tenants may still leave for so long after their tenancy ended (DOMAIN 5)."""
NO_CALENDAR = Calendar()
_GUESTS = frozenset({Profile.VISITOR, Profile.COURIER, Profile.DECORATOR})
"""Their cars are not the household's: its cards do not open for them."""


def compile_rows(conn: Connection, site_id: str, calendar: Calendar = NO_CALENDAR) -> dict[str, tuple[ListRow, bytes]]:
    """Every row of a site's list by its key, with its canonical bytes. The same tables always give the same rows."""
    grants = list(_grants(conn, site_id))
    rows = [*_level_rows(conn, site_id), *_schedule_rows(conn, site_id), *map(grant_row, grants)]
    rows += _household_rows(conn, site_id, grants)
    rows += [*_area_rows(conn, site_id), *_lane_rows(conn, site_id), *_key_rows(conn, site_id)]
    rows += [emergency_row(plate) for plate in conn.execute(select(tables.emergency_plates.c.plate)).scalars()]
    if calendar.first_day <= calendar.last_day:
        rows.append(ruling_row("calendar", calendar))
    return {row_key(row): (row, encode_row(row)) for row in rows}


def _level_rows(conn: Connection, site_id: str) -> Iterator[ListRow]:
    levels, members = tables.access_levels, tables.access_level_lanes
    lanes: dict[str, set[LaneId]] = {}
    joined = select(members).join(levels, levels.c.id == members.c.level_id).where(levels.c.site_id == site_id)
    for member in conn.execute(joined):
        lanes.setdefault(member.level_id, set()).add(LaneId(member.lane_id))
    for level in conn.execute(select(levels.c.id, levels.c.schedule_id).where(levels.c.site_id == site_id)):
        yield ruling_row("level", AccessLevel(level.id, frozenset(lanes.get(level.id, ())), level.schedule_id))


def _schedule_rows(conn: Connection, site_id: str) -> Iterator[ListRow]:
    for row in conn.execute(select(tables.schedules).where(tables.schedules.c.site_id == site_id)):
        yield ruling_row(
            "schedule",
            Schedule(
                id=row.id,
                windows=tuple(Window(*window) for window in json.loads(row.windows)),
                follows_calendar=bool(row.follows_calendar),
                exceptions=tuple(
                    DayException(first, last, tuple((start, end) for start, end in windows))
                    for first, last, windows in json.loads(row.exceptions)
                ),
            ),
        )


# --- grants and households ---


def _grants(conn: Connection, site_id: str) -> Iterator[Grant]:
    cred, person, home = tables.credentials, tables.cardholders.c, tables.households.c
    given = tables.credential_levels.c
    levels: dict[str, list[str]] = {}
    rights = (
        select(given.credential_id, given.level_id)
        .join(cred, cred.c.id == given.credential_id)
        .where(cred.c.site_id == site_id)
    )
    for credential_id, level_id in conn.execute(rights):
        levels.setdefault(credential_id, []).append(level_id)
    query = (
        select(
            cred,
            person.extended_open,
            person.removed_at,
            person.profile.label("person_profile"),
            home.closed_at,
            home.tenancy_until_s,
        )
        .select_from(cred)
        .join(tables.households, home.id == cred.c.household_id)
        .outerjoin(tables.cardholders, person.id == cred.c.cardholder_id)
        .where(cred.c.site_id == site_id)
    )
    for row in conn.execute(query):
        yield _grant(row, tuple(levels.get(row.id, ())))


def _grant(row: Row[tuple[object, ...]], levels: tuple[str, ...]) -> Grant:
    state = GrantState(row.state)
    if state is GrantState.ACTIVE and (row.removed_at is not None or row.closed_at is not None):
        state = GrantState.REVOKED  # it stays in the list, so that the gate can say why
    profile = Profile(row.profile)
    if profile is Profile.RESIDENT and row.person_profile is not None:
        profile = Profile(row.person_profile)
    until_s, exit_until_s = row.valid_until_s, row.exit_until_s
    if profile is Profile.TENANT and row.tenancy_until_s is not None:
        until_s = _earlier(until_s, row.tenancy_until_s)
        exit_until_s = _earlier(exit_until_s, row.tenancy_until_s + EXIT_GRACE_S)
    return Grant(
        key=CredentialKey(row.key),
        state=state,
        levels=levels,
        subject=row.cardholder_id or "",
        household=row.household_id,
        valid_from_s=row.valid_from_s,
        valid_until_s=until_s,
        colour=PlateColour(row.colour) if row.colour else None,
        extended_open=bool(row.extended_open),
        profile=profile,
        exit_until_s=exit_until_s,
        max_stay_s=row.max_stay_s,
        uses=row.uses,
        has_fixed_space=bool(row.has_fixed_space),
        asks_guard=bool(row.asks_guard),
        is_duress=bool(row.is_duress),
        has_no_plate=bool(row.has_no_plate),
    )


def _earlier(own_s: int | None, other_s: int) -> int:
    return other_s if own_s is None else min(own_s, other_s)


def _household_rows(conn: Connection, site_id: str, grants: list[Grant]) -> Iterator[ListRow]:
    """Only households of which a lane must know something: a quota, unloading, or cars."""
    cars: dict[str, list[CredentialKey]] = {}
    for grant in grants:
        if grant.state is GrantState.ACTIVE and grant.key.startswith("plate:") and grant.profile not in _GUESTS:
            cars.setdefault(grant.household, []).append(grant.key)
    homes = tables.households.c
    query = select(homes.id, homes.quota, homes.unloading_s, homes.is_card_for_car).where(
        homes.site_id == site_id, homes.closed_at.is_(None)
    )
    for row in conn.execute(query):
        mine = cars.get(row.id)
        if mine or row.quota is not None or row.unloading_s:
            yield ruling_row(
                "household",
                Household(row.id, row.quota, row.unloading_s, tuple(sorted(mine or ())), bool(row.is_card_for_car)),
            )


# --- the ground, the lanes, the keys ---


def _area_rows(conn: Connection, site_id: str) -> Iterator[ListRow]:
    for row in conn.execute(select(tables.areas).where(tables.areas.c.site_id == site_id)):
        area = Area(row.id, Passback(row.passback), row.passback_s, LinkPolicy(row.link_policy), row.capacity)
        yield ruling_row("area", area)


def _lane_rows(conn: Connection, site_id: str) -> Iterator[ListRow]:
    """Only lanes with a policy of their own. A mode that is over is compiled as it is: the gate ends it itself."""
    policies = tables.lane_policies
    query = (
        select(policies)
        .join(tables.lanes, tables.lanes.c.id == policies.c.lane_id)
        .join(tables.gates, tables.gates.c.id == tables.lanes.c.gate_id)
        .where(tables.gates.c.site_id == site_id)
    )
    for row in conn.execute(query):
        policy = LanePolicy(
            lane=LaneId(row.lane_id),
            mode=LaneMode(row.mode),
            mode_until_s=row.mode_until_s,
            open_schedule=row.open_schedule_id,
            is_first_card_in=bool(row.is_first_card_in),
            is_two_person=bool(row.is_two_person),
            interlock=row.interlock,
            area_from=row.area_from,
            area_to=row.area_to,
            short_stay_s=row.short_stay_s,
            short_stay_schedule=row.short_stay_schedule_id,
            is_fire_lane=bool(row.is_fire_lane),
        )
        if policy != LanePolicy(policy.lane):
            yield ruling_row("lane", policy)


def _key_rows(conn: Connection, site_id: str) -> Iterator[ListRow]:
    """Who may issue passes, and the salt of the site's codes."""
    issuers = tables.pass_issuers.c
    query = select(issuers.kid, issuers.public_key).where(issuers.site_id == site_id, issuers.retired_at.is_(None))
    for row in conn.execute(query):
        yield issuer_row(row.kid, bytes.fromhex(row.public_key))
    settings = tables.site_settings.c
    salt = conn.execute(select(settings.code_salt).where(settings.site_id == site_id)).scalar()
    if salt:
        yield site_row(site_id, bytes.fromhex(salt))
