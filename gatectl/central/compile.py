"""The office's tables as the rows of a site's list: what each gate decides on, and nothing that it need not know."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, literal, or_, select

from gatectl.central import tables
from gatectl.central.database import raw_rows
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
from gatectl.wire.rows import (
    ListRow,
    decode_row,
    emergency_row,
    encode_row,
    grant_row,
    issuer_row,
    row_key,
    ruling_row,
    site_row,
)

EXIT_GRACE_S = 24 * 3600
"""Tenants may still leave for so long after their tenancy ended (DOMAIN 5)."""
NO_CALENDAR = Calendar()
_ACTIVE = b"\xa5state\xa6active"
"""In the bytes of every grant that is valid."""
_IN_CHUNK = 500


class _Source(NamedTuple):
    """What a grant is made of: columns of `credentials`, then of the person and of the household."""

    id: str
    key: str
    state: str
    profile: str
    cardholder_id: str | None
    household_id: str
    valid_from_s: int | None
    valid_until_s: int | None
    exit_until_s: int | None
    colour: str | None
    max_stay_s: int
    uses: int | None
    has_fixed_space: bool
    asks_guard: bool
    is_duress: bool
    has_no_plate: bool
    extended_open: bool | None
    removed_at: int | None
    person_profile: str | None
    closed_at: int | None
    tenancy_until_s: int | None


_GRANT_COLUMNS = _Source._fields[:16]
"""Of the table `credentials`."""
_GUESTS = frozenset({Profile.VISITOR, Profile.COURIER, Profile.DECORATOR})
"""Their cars are not the household's: its cards do not open for them."""


def compile_rows(conn: Connection, site_id: str, calendar: Calendar = NO_CALENDAR) -> dict[str, tuple[ListRow, bytes]]:
    """Every row of a site's list by its key, with its canonical bytes. The same tables always give the same rows."""
    found = ListCompiler().rows(conn, site_id, calendar)
    return {name: (decode_row(data), data) for name, data in found.items()}


def _small_rows(conn: Connection, site_id: str, calendar: Calendar) -> Iterator[ListRow]:
    """All that is neither a grant nor a household."""
    yield from _level_rows(conn, site_id)
    yield from _schedule_rows(conn, site_id)
    yield from _area_rows(conn, site_id)
    yield from _lane_rows(conn, site_id)
    yield from _key_rows(conn, site_id)
    for plate in conn.execute(select(tables.emergency_plates.c.plate)).scalars():
        yield emergency_row(plate)
    if calendar.first_day <= calendar.last_day:
        yield ruling_row("calendar", calendar)


class ListCompiler:
    """Compiles one site's list again and again; what has not changed since is not encoded anew."""

    def __init__(self) -> None:
        self._grants: dict[str, tuple[int, str, bytes, str]] = {}
        """Credential id -> fingerprint, row key, row, and the household whose car it is."""
        self._homes: dict[str, tuple[Household, bytes]] = {}

    def rows(self, conn: Connection, site_id: str, calendar: Calendar = NO_CALENDAR) -> dict[str, bytes]:
        """What `compile_rows` gives, as bytes alone."""
        levels = _levels_given(conn, site_id)
        grants: dict[str, tuple[int, str, bytes, str]] = {}
        for row in map(_Source._make, raw_rows(conn, _grant_query(site_id))):
            given = levels.get(row.id, ())
            mark = hash((row, tuple(given)))
            known = self._grants.get(row.id)
            grants[row.id] = (
                known if known is not None and known[0] == mark else _encoded(mark, _grant(row, tuple(given)))
            )
        self._grants = grants
        found = {name: data for _, name, data, _ in grants.values()}
        cars: dict[str, list[CredentialKey]] = {}
        for _, name, _, home in grants.values():
            if home:
                cars.setdefault(home, []).append(CredentialKey(name.removeprefix("grant/")))
        homes: dict[str, tuple[Household, bytes]] = {}
        for household in _households(conn, site_id, cars):
            known_home = self._homes.get(household.id)
            if known_home is None or known_home[0] != household:
                known_home = (household, encode_row(ruling_row("household", household)))
            homes[household.id] = known_home
            found[f"household/{household.id}"] = known_home[1]
        self._homes = homes
        found.update({row_key(row): encode_row(row) for row in _small_rows(conn, site_id, calendar)})
        return found


def _encoded(mark: int, grant: Grant) -> tuple[int, str, bytes, str]:
    row = grant_row(grant)
    return mark, row_key(row), encode_row(row), grant.household if _is_car_of_home(grant) else ""


def compile_urgent(conn: Connection, site_id: str, since_ms: int) -> dict[str, bytes]:
    """Rows of credentials that are withdrawn but still stand as valid in the list, of those made or changed since then
    (UTC ms), and all rows that are about neither credentials nor households nor days."""
    cred, person, home, listed = tables.credentials.c, tables.cardholders.c, tables.households.c, tables.list_rows.c
    withdrawn = or_(cred.state != GrantState.ACTIVE.value, person.removed_at.is_not(None), home.closed_at.is_not(None))
    sources = tables.credentials.join(tables.households, home.id == cred.household_id).outerjoin(
        tables.cardholders, person.id == cred.cardholder_id
    )
    of_list = and_(listed.site_id == cred.site_id, listed.row_key == literal("grant/") + cred.key)
    query = select(cred.id, listed.row).select_from(sources.join(tables.list_rows, of_list))
    wanted = {row.id for row in conn.execute(query.where(cred.site_id == site_id, withdrawn)) if _ACTIVE in row.row}
    recent = select(cred.id).where(
        cred.site_id == site_id, or_(cred.changed_at >= since_ms, cred.created_at >= since_ms)
    )
    wanted |= set(conn.execute(recent).scalars())
    rows = [row for row in _small_rows(conn, site_id, NO_CALENDAR) if row.kind != "calendar"]
    ordered = sorted(wanted)
    for start in range(0, len(ordered), _IN_CHUNK):
        part = ordered[start : start + _IN_CHUNK]
        levels = _levels_given(conn, site_id, part)
        found = map(_Source._make, raw_rows(conn, _grant_query(site_id).where(cred.id.in_(part))))
        rows += [grant_row(_grant(row, tuple(levels.get(row.id, ())))) for row in found]
    return {row_key(row): encode_row(row) for row in rows}


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


def _levels_given(conn: Connection, site_id: str, only: Sequence[str] = ()) -> dict[str, list[str]]:
    """The levels of each credential (of these alone), by credential id."""
    cred, given = tables.credentials.c, tables.credential_levels.c
    query = (
        select(given.credential_id, given.level_id)
        .join(tables.credentials, cred.id == given.credential_id)
        .where(cred.site_id == site_id)
        .order_by(given.level_id)
    )
    if only:
        query = query.where(given.credential_id.in_(only))
    levels: dict[str, list[str]] = {}
    for credential_id, level_id in raw_rows(conn, query):
        levels.setdefault(credential_id, []).append(level_id)
    return levels


def _grant_query(site_id: str) -> Select[tuple[Any, ...]]:
    """Each credential of a site with what its grant takes from the person and the household."""
    cred, person, home = tables.credentials.c, tables.cardholders.c, tables.households.c
    return (
        select(
            *(cred[name] for name in _GRANT_COLUMNS),
            person.extended_open,
            person.removed_at,
            person.profile.label("person_profile"),
            home.closed_at,
            home.tenancy_until_s,
        )
        .select_from(tables.credentials)
        .join(tables.households, home.id == cred.household_id)
        .outerjoin(tables.cardholders, person.id == cred.cardholder_id)
        .where(cred.site_id == site_id)
    )


def _grant(row: _Source, levels: tuple[str, ...]) -> Grant:
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


def _is_car_of_home(grant: Grant) -> bool:
    return grant.state is GrantState.ACTIVE and grant.key.startswith("plate:") and grant.profile not in _GUESTS


def _households(conn: Connection, site_id: str, cars: Mapping[str, list[CredentialKey]]) -> Iterator[Household]:
    """Only households of which a lane must know something: a quota, unloading, or cars."""
    homes = tables.households.c
    query = select(homes.id, homes.quota, homes.unloading_s, homes.is_card_for_car).where(
        homes.site_id == site_id, homes.closed_at.is_(None)
    )
    for row in conn.execute(query):
        mine = cars.get(row.id)
        if mine or row.quota is not None or row.unloading_s:
            yield Household(row.id, row.quota, row.unloading_s, tuple(sorted(mine or ())), bool(row.is_card_for_car))


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
