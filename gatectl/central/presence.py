"""Who is inside, counted from the passages that gates recorded; what the other gates of the site must hear of it.

Everything runs in the caller's transaction. A passage is counted once: when its event is stored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, exists, or_, select, update

from gatectl.central import tables
from gatectl.central.database import put_all
from gatectl.central.event_columns import clean
from gatectl.central.intake import Passed
from gatectl.core.model import ClockTrust, Crossing, Direction, GrantState, LaneKind
from gatectl.wire.messages import InsideEntry, InsideList, PassageNews, Passages

KEEP_USES_MS = 400 * 86_400_000
"""A one-time credential's use is remembered for so long after the last: longer than any pass may be valid."""
KEEP_DEPARTURES_MS = 30 * 86_400_000
"""A gate that was cut off for longer than this may bring somebody back who has left since."""
MAX_NEWS_ITEMS = 200
"""In one message: about 64 KB."""
_PASS = "pass:"  # noqa: S105 - a kind of credential
_IN_CHUNK = 500
_MAX_INT = 2**31 - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Where:
    area: str
    household: str
    is_vehicle: bool
    max_stay_s: int
    since_ms: int
    gate: str


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a lane leads from and to, and what it is for."""

    is_vehicle: bool
    direction: str
    area_from: str
    area_to: str
    short_stay_s: int


_NOWHERE = _Ground(is_vehicle=False, direction="", area_from="", area_to="", short_stay_s=0)


@dataclass(frozen=True, slots=True)
class _Right:
    """What a credential's own row adds to a passage."""

    uses: int | None
    max_stay_s: int


@dataclass(slots=True)
class _Visit:
    """A visit with its credentials: each entry is one of the visit's, whichever it was made on."""

    id: str
    keys: frozenset[str]
    state: str
    has_uses: bool


@dataclass(slots=True)
class _Count:
    """A site's stand while a batch is counted, and what it was before."""

    site: str
    inside: dict[str, _Where] = field(default_factory=dict)
    departures: dict[str, int] = field(default_factory=dict)
    strangers: dict[str, int] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)
    visits: dict[str, _Visit] = field(default_factory=dict)
    """By credential key."""
    moved: dict[str, str] = field(default_factory=dict)
    """Visit id to its new state."""


def count_passages(
    conn: Connection, passages: Sequence[Passed], sites: Mapping[str, str], now_ms: int
) -> tuple[Passages, ...]:
    """Count what was stored just now; the news for each site's gates, to seal and send once this is committed."""
    by_site: dict[str, list[Passed]] = {}
    for passed in passages:
        by_site.setdefault(sites[passed.gate], []).append(passed)
    return tuple(
        Passages(site=site, items=tuple(part))
        for site, group in by_site.items()
        for part in _parts(_count_site(conn, site, group, now_ms), MAX_NEWS_ITEMS)
    )


def _count_site(conn: Connection, site: str, group: Sequence[Passed], now_ms: int) -> list[PassageNews]:
    ground = _grounds(conn, site)
    rights = _rights(conn, site, {passed.event.credential or "" for passed in group})
    known = [
        (_at_ms(passed, now_ms), passed, _crossing(passed, ground.get(passed.event.lane or "", _NOWHERE), rights))
        for passed in group
    ]
    known.sort(key=lambda one: (one[0], one[1].gate, one[1].seq))
    before = _load(conn, site, [(passed, crossing) for _, passed, crossing in known])
    after = replace(
        before,
        inside=dict(before.inside),
        departures=dict(before.departures),
        strangers=dict(before.strangers),
        uses=dict(before.uses),
    )
    news: list[PassageNews] = []
    for at_ms, passed, crossing in known:
        is_overtaken = not _move(after, passed, crossing, at_ms)
        news.append(_news(passed, Crossing(uses_key=crossing.uses_key) if is_overtaken else crossing, at_ms))
        news.extend(_use(after, passed, crossing, at_ms))
    _save(conn, before, after, now_ms)
    return news


def _at_ms(passed: Passed, now_ms: int) -> int:
    """When it was: central's own clock where the gate's is not believed; never before 1970, never later than now."""
    if passed.event.clock is ClockTrust.UNTRUSTED:
        return now_ms
    return max(0, min(now_ms, int(passed.event.at.timestamp() * 1000)))


def _crossing(passed: Passed, ground: _Ground, rights: Mapping[str, _Right]) -> Crossing:
    """What the gate counted; for an event that does not say, what the lane and the credential make likely."""
    event = passed.event
    if event.crossing is not None:
        stated = event.crossing
        return Crossing(
            subject=clean(stated.subject, 80),
            area_from=clean(stated.area_from, 63),
            area_to=clean(stated.area_to, 63),
            is_vehicle=stated.is_vehicle,
            max_stay_s=max(0, min(stated.max_stay_s, _MAX_INT)),
            uses_key=clean(stated.uses_key, 80),
        )
    key = clean(event.credential or "", 80)
    right = rights.get(key)
    is_entry = _direction(passed, ground) == Direction.IN
    stay_s = (right.max_stay_s if right is not None else ground.short_stay_s if not key else 0) if is_entry else 0
    is_counted = key.startswith(_PASS) or (right is not None and right.uses is not None)
    return Crossing(
        subject=key if ground.is_vehicle else clean(event.subject, 80) or key,
        area_from=ground.area_from,
        area_to=ground.area_to,
        is_vehicle=ground.is_vehicle,
        max_stay_s=stay_s,
        uses_key=key if is_counted and is_entry else "",
    )


def _direction(passed: Passed, ground: _Ground) -> str:
    return passed.event.direction or ground.direction or (Direction.IN if ground.area_to else Direction.OUT)


def _move(count: _Count, passed: Passed, crossing: Crossing, at_ms: int) -> bool:
    """Move whoever it was; False when a later passage of the same one is known already."""
    subject, before = crossing.subject, None
    if subject:
        before = count.inside.get(subject)
        if at_ms < max(before.since_ms if before is not None else 0, count.departures.get(subject, 0)):
            return False
        count.inside.pop(subject, None)
        if crossing.area_to:
            household = clean(passed.event.household, 40)
            count.inside[subject] = _Where(
                crossing.area_to, household, crossing.is_vehicle, crossing.max_stay_s, at_ms, passed.gate
            )
        else:
            count.departures[subject] = at_ms
    if crossing.is_vehicle:
        if before is None:
            _add(count.strangers, crossing.area_from, -1)  # it came in unknown
        if not subject:
            _add(count.strangers, crossing.area_to, 1)
    return True


def _add(strangers: dict[str, int], area: str, change: int) -> None:
    if area:
        strangers[area] = max(0, strangers.get(area, 0) + change)


def _use(count: _Count, passed: Passed, crossing: Crossing, at_ms: int) -> Iterator[PassageNews]:
    """Count an entry on its credential, and on the others of the same visit: one visit is one use of all three."""
    event = passed.event
    visit = count.visits.get(crossing.uses_key or event.credential or "")
    if crossing.uses_key:
        count.uses[crossing.uses_key] = count.uses.get(crossing.uses_key, 0) + 1
        others = visit.keys - {crossing.uses_key} if visit is not None and visit.has_uses else frozenset[str]()
        for key in sorted(others):
            count.uses[key] = count.uses.get(key, 0) + 1
            yield PassageNews(gate="", dir="in", at=_time(at_ms), uses_key=key, ref=event.id)
    if visit is not None:
        count.moved[visit.id] = "left" if event.direction is Direction.OUT else "arrived"


def _news(passed: Passed, crossing: Crossing, at_ms: int) -> PassageNews:
    event = passed.event
    is_out = event.direction is Direction.OUT if event.direction is not None else not crossing.area_to
    return PassageNews(
        gate=passed.gate,
        epoch=passed.epoch,
        seq=passed.seq,
        credential=event.credential or "",
        subject=crossing.subject,
        household=event.household,
        is_vehicle=crossing.is_vehicle,
        area_from=crossing.area_from,
        area_to=crossing.area_to,
        dir="out" if is_out else "in",
        at=_time(at_ms),
        max_stay_s=crossing.max_stay_s,
        uses_key=crossing.uses_key,
        ref=event.id,
    )


# --- what the tables say ---


def _grounds(conn: Connection, site: str) -> dict[str, _Ground]:
    lanes, policies = tables.lanes.c, tables.lane_policies.c
    query = (
        select(lanes.id, lanes.kind, lanes.direction, policies.area_from, policies.area_to, policies.short_stay_s)
        .join(tables.gates, tables.gates.c.id == lanes.gate_id)
        .outerjoin(tables.lane_policies, policies.lane_id == lanes.id)
        .where(tables.gates.c.site_id == site)
    )
    return {
        row.id: _Ground(
            is_vehicle=row.kind == LaneKind.VEHICLE,
            direction=row.direction,
            area_from=row.area_from or "",
            area_to=row.area_to or "",
            short_stay_s=row.short_stay_s or 0,
        )
        for row in conn.execute(query)
    }


def _rights(conn: Connection, site: str, keys: Iterable[str]) -> dict[str, _Right]:
    found, cred = dict[str, _Right](), tables.credentials.c
    for part in _parts(sorted(keys), _IN_CHUNK):
        query = select(cred.key, cred.uses, cred.max_stay_s).where(cred.site_id == site, cred.key.in_(part))
        found.update({row.key: _Right(row.uses, row.max_stay_s) for row in conn.execute(query)})
    return found


def _load(conn: Connection, site: str, known: Sequence[tuple[Passed, Crossing]]) -> _Count:
    count = _Count(site)
    inside, gone, used = tables.inside.c, tables.departures.c, tables.pass_uses.c
    for subjects in _parts(sorted({crossing.subject for _, crossing in known} - {""}), _IN_CHUNK):
        for row in conn.execute(select(tables.inside).where(inside.site_id == site, inside.subject.in_(subjects))):
            count.inside[row.subject] = _where(row)
        query = select(gone.subject, gone.at_ms).where(gone.site_id == site, gone.subject.in_(subjects))
        count.departures.update({row.subject: row.at_ms for row in conn.execute(query)})
    strangers = tables.strangers.c
    query_strangers = select(strangers.area, strangers.vehicles).where(strangers.site_id == site)
    count.strangers.update({row.area: row.vehicles for row in conn.execute(query_strangers)})
    keys = {clean(passed.event.credential or "", 80) for passed, _ in known}
    keys |= {crossing.uses_key for _, crossing in known}
    count.visits.update(_visits(conn, site, keys - {""}))
    keys |= {key for visit in count.visits.values() for key in visit.keys}
    for part in _parts(sorted(keys), _IN_CHUNK):
        query_uses = select(used.key, used.uses).where(used.site_id == site, used.key.in_(part))
        count.uses.update({row.key: row.uses for row in conn.execute(query_uses)})
    return count


def _where(row: Row[tuple[object, ...]]) -> _Where:
    return _Where(row.area, row.household_id, bool(row.is_vehicle), row.max_stay_s, row.since_ms, row.gate_id)


def _visits(conn: Connection, site: str, keys: Iterable[str]) -> dict[str, _Visit]:
    """The visits whose code, plate or pass is among these keys, by each of their keys."""
    visits, code, plate = tables.visits.c, tables.credentials.alias(), tables.credentials.alias()
    found: dict[str, _Visit] = {}
    for part in _parts(sorted(keys), _IN_CHUNK):
        nonces = [key.removeprefix(_PASS) for key in part if key.startswith(_PASS)]
        query = (
            select(visits.id, visits.state, visits.uses, visits.pass_nonce, code.c.key, plate.c.key.label("plate_key"))
            .outerjoin(code, code.c.id == visits.code_credential_id)
            .outerjoin(plate, plate.c.id == visits.plate_credential_id)
            .where(
                visits.site_id == site,
                or_(code.c.key.in_(part), plate.c.key.in_(part), visits.pass_nonce.in_(nonces)),
            )
            .order_by(visits.created_at)
        )
        for row in conn.execute(query):
            nonce = f"{_PASS}{row.pass_nonce}" if row.pass_nonce else None
            its = frozenset(key for key in (row.key, row.plate_key, nonce) if key)
            visit = _Visit(row.id, its, row.state, row.uses is not None)
            found.update(dict.fromkeys(its, visit))
    return found


def _save(conn: Connection, before: _Count, after: _Count, now_ms: int) -> None:
    site = after.site
    gone = sorted(before.inside.keys() - after.inside.keys())
    inside = tables.inside.c
    for part in _parts(gone, _IN_CHUNK):
        conn.execute(delete(tables.inside).where(inside.site_id == site, inside.subject.in_(part)))
    moved = [
        {
            "site_id": site,
            "subject": subject,
            "area": where.area,
            "household_id": where.household,
            "is_vehicle": where.is_vehicle,
            "max_stay_s": where.max_stay_s,
            "since_ms": where.since_ms,
            "gate_id": where.gate,
        }
        for subject, where in after.inside.items()
        if before.inside.get(subject) != where
    ]
    put_all(conn, tables.inside, moved, "site_id", "subject")
    _put_all(conn, tables.departures, site, ("subject", "at_ms"), before.departures, after.departures)
    _put_all(conn, tables.strangers, site, ("area", "vehicles"), before.strangers, after.strangers)
    _put_all(conn, tables.pass_uses, site, ("key", "uses"), before.uses, after.uses, {"changed_at": now_ms})
    for visit_id, state in after.moved.items():
        visits = tables.visits
        conn.execute(update(visits).where(visits.c.id == visit_id, visits.c.state != "cancelled").values(state=state))


def _put_all(
    conn: Connection,
    table: Table,
    site: str,
    columns: tuple[str, str],
    before: Mapping[str, int],
    after: Mapping[str, int],
    more: Mapping[str, int] | None = None,
) -> None:
    key_column, value_column = columns
    changed = [
        {"site_id": site, key_column: key, value_column: value, **(more or {})}
        for key, value in after.items()
        if before.get(key) != value
    ]
    put_all(conn, table, changed, "site_id", key_column)


# --- who vanishes, and what a gate may ask ---


def forget_gone(conn: Connection, site: str, now_s: int | None = None) -> int:
    """Take out who has no more part in the site: people removed, households closed, credentials revoked.

    With `now_s` also plates whose days of grace at the exit are over.

    A car among them still stands where it stood: it is counted as a stranger. Returns how many were taken out.
    """
    inside, people, homes, cred = tables.inside.c, tables.cardholders.c, tables.households.c, tables.credentials.c
    is_gone = or_(
        exists().where(and_(people.id == inside.subject, people.removed_at.is_not(None))),
        exists().where(and_(homes.id == inside.household_id, homes.closed_at.is_not(None))),
        exists().where(and_(cred.site_id == site, cred.key == inside.subject, _is_over(now_s))),
    )
    found = conn.execute(select(tables.inside).where(inside.site_id == site, is_gone)).all()
    for row in found:
        conn.execute(delete(tables.inside).where(inside.site_id == site, inside.subject == row.subject))
    cars: dict[str, int] = {}
    for row in found:
        if row.is_vehicle:
            cars[row.area] = cars.get(row.area, 0) + 1
    strangers = tables.strangers.c
    known = conn.execute(select(strangers.area, strangers.vehicles).where(strangers.site_id == site))
    before = {row.area: row.vehicles for row in known}
    after = {area: before.get(area, 0) + count for area, count in cars.items()}
    _put_all(conn, tables.strangers, site, ("area", "vehicles"), before, after)
    return len(found)


def _is_over(now_s: int | None) -> ColumnElement[bool]:
    cred = tables.credentials.c
    is_revoked: ColumnElement[bool] = cred.state == GrantState.REVOKED.value
    return is_revoked if now_s is None else or_(is_revoked, cred.exit_until_s <= now_s)


def inside_list(conn: Connection, site: str, at: datetime) -> InsideList:
    """Who is inside, how often counted credentials were used, and how many vehicles nobody knows."""
    inside, used, strangers = tables.inside.c, tables.pass_uses.c, tables.strangers.c
    entries = conn.execute(select(tables.inside).where(inside.site_id == site).order_by(inside.subject))
    oldest_ms = int(at.timestamp() * 1000) - KEEP_USES_MS
    uses = select(used.key, used.uses).where(used.site_id == site, used.changed_at > oldest_ms).order_by(used.key)
    unknown = select(strangers.area, strangers.vehicles).where(strangers.site_id == site, strangers.vehicles > 0)
    return InsideList(
        site=site,
        at=at,
        inside=tuple(
            InsideEntry(
                subject=row.subject,
                area=row.area,
                since_s=row.since_ms // 1000,
                household=row.household_id,
                is_vehicle=row.is_vehicle,
                max_stay_s=row.max_stay_s,
            )
            for row in entries
        ),
        uses={row.key: row.uses for row in conn.execute(uses)},
        strangers={row.area: row.vehicles for row in conn.execute(unknown.order_by(strangers.area))},
    )


def prune(conn: Connection, now_ms: int) -> None:
    """Forget uses and departures that can matter no more."""
    used, gone = tables.pass_uses, tables.departures
    conn.execute(delete(used).where(used.c.changed_at <= now_ms - KEEP_USES_MS))
    conn.execute(delete(gone).where(gone.c.at_ms <= now_ms - KEEP_DEPARTURES_MS))


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
