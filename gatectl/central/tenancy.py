"""What a household may do and until when: parking quota, the end of a tenancy, moving out, PINs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import mark_dirty, new_id, now_ms, write_audit
from gatectl.central.credentials import RESIDENTS, level_id
from gatectl.central.visitors import cancel, code_salt, free_code
from gatectl.core.codes import code_key, duress_form
from gatectl.core.model import CredentialKind, GrantState, Profile
from gatectl.errors import NotFoundError, RefusedError

MAX_TENANCY_S = 30 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Quota:
    """A household's parking: `quota` None = any number of cars."""

    quota: int | None
    unloading_s: int
    inside: tuple[str, ...]
    """The subjects of its cars inside."""


def _home(conn: Connection, household_id: str) -> Row[Any]:
    homes = tables.households.c
    row = conn.execute(select(tables.households).where(homes.id == household_id, homes.closed_at.is_(None))).first()
    if row is None:
        raise NotFoundError(f"no household {household_id!r}", zh="没有这户")
    return row


def quota(conn: Connection, household_id: str) -> Quota:
    """How many cars may be inside, and which are. Raises NotFoundError."""
    home, inside = _home(conn, household_id), tables.inside.c
    mine = (inside.household_id == household_id) & inside.is_vehicle
    query = select(inside.subject).where(mine).order_by(inside.subject)
    return Quota(home.quota, home.unloading_s, tuple(conn.execute(query).scalars()))


def set_quota(conn: Connection, actor: str, household_id: str, count: int | None, *, unloading_s: int = 0) -> None:
    """Cars that may be inside at once, and how long one more may unload. Raises NotFoundError, RefusedError."""
    home = _home(conn, household_id)
    if (count is not None and not 0 <= count <= 99) or not 0 <= unloading_s <= 86_400:
        raise RefusedError("a quota is 0 to 99 cars, unloading a day at most", zh="车位数应为 0–99,卸货最长一天")
    values = {"quota": count, "unloading_s": unloading_s}
    conn.execute(update(tables.households).where(tables.households.c.id == household_id).values(**values))
    mark_dirty(conn, home.site_id)
    write_audit(conn, actor, "household.quota", household_id, f"{count} cars, unloading {unloading_s} s")


def set_tenancy(conn: Connection, actor: str, household_id: str, until_s: int | None) -> None:
    """Let a flat until a UTC second (None = it is not let): the tenants' cards and cars stop then by themselves.

    Its tenants are the members whose relation is tenant; its cars are all theirs. For 24 h more they may leave.
    Raises NotFoundError, RefusedError.
    """
    home = _home(conn, household_id)
    if until_s is not None and until_s * 1000 > now_ms() + MAX_TENANCY_S * 1000:
        raise RefusedError("a tenancy ends within 30 years", zh="租期最长 30 年")
    conn.execute(
        update(tables.households).where(tables.households.c.id == household_id).values(tenancy_until_s=until_s)
    )
    _make_tenants(conn, household_id, is_let=until_s is not None)
    held = tables.credentials
    conn.execute(update(held).where(held.c.household_id == household_id).values(changed_at=now_ms()))
    mark_dirty(conn, home.site_id, urgent=until_s is not None and until_s * 1000 <= now_ms())
    write_audit(conn, actor, "household.tenancy", household_id, f"until {until_s}")


def _make_tenants(conn: Connection, household_id: str, *, is_let: bool) -> None:
    people, held = tables.cardholders, tables.credentials
    before, after = (
        (Profile.RESIDENT.value, Profile.TENANT.value) if is_let else (Profile.TENANT.value, Profile.RESIDENT.value)
    )
    members = people.c.household_id == household_id, people.c.relation == "tenant", people.c.profile == before
    if is_let:
        mine = held.c.cardholder_id.in_(select(people.c.id).where(*members))
        conn.execute(update(held).where(mine, held.c.profile == before).values(profile=after))
        conn.execute(update(people).where(*members).values(profile=after))
    cars = held.c.household_id == household_id, held.c.kind == CredentialKind.PLATE.value, held.c.profile == before
    conn.execute(update(held).where(*cars).values(profile=after))


@dataclass(frozen=True, slots=True)
class Ending:
    """A tenancy that is over or will be soon."""

    household_id: str
    site_id: str
    door: str
    until_s: int
    credentials: int
    """Those that are not revoked."""


def endings(conn: Connection, site: str | None, before_s: int) -> tuple[Ending, ...]:
    """Tenancies that end before a UTC second and whose credentials are not revoked yet, the earliest first."""
    homes, held = tables.households.c, tables.credentials.c
    count = (
        select(func.count())
        .where(held.household_id == homes.id, held.state != GrantState.REVOKED)
        .correlate(tables.households)
        .scalar_subquery()
    )
    query = (
        select(tables.households, count.label("credentials"))
        .where(homes.tenancy_until_s < before_s, homes.closed_at.is_(None))
        .order_by(homes.tenancy_until_s)
    )
    if site is not None:
        query = query.where(homes.site_id == site)
    return tuple(
        Ending(
            row.id,
            row.site_id,
            "-".join(part for part in (row.building, row.unit, row.room) if part),
            row.tenancy_until_s,
            row.credentials,
        )
        for row in conn.execute(query)
        if row.credentials
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What somebody is to the site, and what all their cards are given."""

    profile: Profile = Profile.RESIDENT
    level_id: str = ""
    """The access level; "" = the residents'."""
    until_s: int | None = None
    """UTC second at which the cards end; None = never."""
    max_stay_s: int = 0
    """Expected to leave within so many seconds, else an alarm; 0 = any time."""


def terms_of(conn: Connection, person_id: str) -> Terms:
    """A person's terms. Raises NotFoundError."""
    row = _person(conn, person_id)
    return Terms(Profile(row.profile), row.level_id, row.valid_until_s, row.max_stay_s)


def set_terms(conn: Connection, actor: str, person_id: str, terms: Terms) -> None:
    """Give a person and all their cards these terms. Raises NotFoundError, RefusedError."""
    person = _person(conn, person_id)
    before = Terms(Profile(person.profile), person.level_id, person.valid_until_s, person.max_stay_s)
    if not 0 <= terms.max_stay_s <= 7 * 86_400:
        raise RefusedError("a stay lasts a week at most", zh="停留时间最长一周")
    if terms.until_s is not None and terms.until_s != before.until_s and terms.until_s * 1000 <= now_ms():
        raise RefusedError("that time is past", zh="到期时间已过")
    levels = tables.access_levels.c
    if terms.level_id:
        known = select(levels.id).where(levels.id == terms.level_id, levels.site_id == person.site_id)
        if conn.execute(known).first() is None:
            raise NotFoundError(
                f"site {person.site_id} has no access level {terms.level_id!r}; see `gatectl rule list`",
                zh=f"小区 {person.site_id} 没有权限组 {terms.level_id!r};见 gatectl rule list",
            )
    values = {"profile": terms.profile.value, "valid_until_s": terms.until_s, "max_stay_s": terms.max_stay_s}
    people, held = tables.cardholders, tables.credentials
    conn.execute(update(people).where(people.c.id == person_id).values(**values, level_id=terms.level_id))
    mine = (held.c.cardholder_id == person_id) & (held.c.state != GrantState.REVOKED)
    own_end = values if terms.until_s != before.until_s else {**values, "valid_until_s": held.c.valid_until_s}
    conn.execute(update(held).where(mine).values(**own_end, changed_at=now_ms()))
    if terms.level_id != before.level_id:
        ids = list(conn.execute(select(held.c.id).where(mine)).scalars())
        give_level(conn, ids, terms.level_id or level_id(conn, person.site_id, RESIDENTS))
    mark_dirty(conn, person.site_id, urgent=True)
    words = f"{terms.profile}, level {terms.level_id or '-'}, until {terms.until_s}, stay {terms.max_stay_s} s"
    write_audit(conn, actor, "person.profile", person_id, words)


def give_level(conn: Connection, credential_ids: Sequence[str], level: str) -> None:
    """Replace these credentials' access levels by the one."""
    given = tables.credential_levels
    conn.execute(delete(given).where(given.c.credential_id.in_(credential_ids)))
    rows = [{"credential_id": credential_id, "level_id": level} for credential_id in credential_ids]
    if rows:
        conn.execute(insert(given), rows)


def _person(conn: Connection, person_id: str) -> Row[Any]:
    people = tables.cardholders.c
    row = conn.execute(select(tables.cardholders).where(people.id == person_id, people.removed_at.is_(None))).first()
    if row is None:
        raise NotFoundError(f"no person {person_id!r}", zh="没有这位住户")
    return row


def move_out(conn: Connection, actor: str, household_id: str) -> tuple[Row[Any], ...]:
    """Revoke everything that the household holds; what was revoked, so that cards can be asked back. Urgent."""
    home, held = _home(conn, household_id), tables.credentials.c
    mine = (held.household_id == household_id) & (held.state != GrantState.REVOKED)
    found = tuple(conn.execute(select(tables.credentials).where(mine).order_by(held.kind, held.key)))
    values = {"state": GrantState.REVOKED.value, "changed_at": now_ms(), "note": "moved out"}
    conn.execute(update(tables.credentials).where(mine).values(**values))
    visits = tables.visits.c
    live = (visits.household_id == household_id) & (visits.state == "issued")
    for visit in conn.execute(select(visits.id).where(live, visits.valid_until_s * 1000 > now_ms())).scalars().all():
        cancel(conn, actor, visit)  # its signed pass is in no list: it must be withdrawn by name
    people = tables.cardholders.c
    conn.execute(
        update(tables.cardholders)
        .where(people.household_id == household_id, people.removed_at.is_(None))
        .values(removed_at=now_ms())
    )
    homes = tables.households
    conn.execute(update(homes).where(homes.c.id == household_id).values(tenancy_until_s=None))
    mark_dirty(conn, home.site_id, urgent=True)
    write_audit(conn, actor, "household.move_out", household_id, f"{len(found)} credentials")
    return found


def site_of_person(conn: Connection, person_id: str) -> str:
    """The site of a person who exists."""
    people = tables.cardholders.c
    return str(conn.execute(select(people.site_id).where(people.id == person_id)).scalar_one())


def issue_pin(conn: Connection, actor: str, person_id: str) -> str:
    """Give a person a new PIN of six digits, with its duress form beside it; shown once. Raises NotFoundError."""
    person = _person(conn, person_id)
    held, site = tables.credentials.c, person.site_id
    mine = (held.cardholder_id == person_id) & (held.kind == CredentialKind.CODE.value)
    revoked = {"state": GrantState.REVOKED.value, "changed_at": now_ms()}
    conn.execute(update(tables.credentials).where(mine).values(**revoked))
    salt = code_salt(conn, site)
    pin, key = free_code(conn, site)
    duress = code_key(salt, duress_form(pin))
    while conn.execute(select(held.id).where(held.site_id == site, held.key == duress)).first() is not None:
        pin, key = free_code(conn, site)
        duress = code_key(salt, duress_form(pin))
    level = person.level_id or level_id(conn, site, RESIDENTS)
    for code, is_duress in ((key, False), (duress, True)):
        at_ms = now_ms()
        values = {
            "id": new_id(at_ms),
            "site_id": site,
            "household_id": person.household_id,
            "cardholder_id": person_id,
            "kind": CredentialKind.CODE.value,
            "key": code,
            "state": GrantState.ACTIVE.value,
            "profile": person.profile,
            "valid_until_s": person.valid_until_s,
            "max_stay_s": person.max_stay_s,
            "is_duress": is_duress,
            "created_at": at_ms,
            "changed_at": at_ms,
        }
        conn.execute(insert(tables.credentials).values(**values))
        conn.execute(insert(tables.credential_levels).values(credential_id=values["id"], level_id=level))
    mark_dirty(conn, site, urgent=True)
    write_audit(conn, actor, "card.pin", person_id)
    return pin
