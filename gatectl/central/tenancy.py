"""What a household may do and until when: parking quota, the end of a tenancy, moving out, PINs."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import mark_dirty, new_id, now_ms, write_audit
from gatectl.central.credentials import RESIDENTS, level_id
from gatectl.central.visitors import code_salt, free_code
from gatectl.core.codes import code_key, duress_form
from gatectl.core.model import CredentialKind, GrantState, Profile
from gatectl.errors import NotFoundError, RefusedError


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
    """When the tenants' cards and cars stop by themselves; they may leave for a day more. Raises NotFoundError."""
    home = _home(conn, household_id)
    conn.execute(
        update(tables.households).where(tables.households.c.id == household_id).values(tenancy_until_s=until_s)
    )
    mark_dirty(conn, home.site_id)
    write_audit(conn, actor, "household.tenancy", household_id, f"until {until_s}")


def set_profile(conn: Connection, actor: str, person_id: str, profile: Profile) -> None:
    """What somebody is to the site; goes to all their cards. Raises NotFoundError."""
    people = tables.cardholders
    site = conn.execute(
        select(people.c.site_id).where(people.c.id == person_id, people.c.removed_at.is_(None))
    ).scalar()
    if site is None:
        raise NotFoundError(f"no person {person_id!r}", zh="没有这位住户")
    conn.execute(update(people).where(people.c.id == person_id).values(profile=profile.value))
    held = tables.credentials.c
    conn.execute(update(tables.credentials).where(held.cardholder_id == person_id).values(profile=profile.value))
    mark_dirty(conn, site, urgent=True)
    write_audit(conn, actor, "person.profile", person_id, profile.value)


def move_out(conn: Connection, actor: str, household_id: str) -> tuple[Row[Any], ...]:
    """Revoke everything that the household holds; what was revoked, so that cards can be asked back. Urgent."""
    home, held = _home(conn, household_id), tables.credentials.c
    mine = (held.household_id == household_id) & (held.state != GrantState.REVOKED)
    found = tuple(conn.execute(select(tables.credentials).where(mine).order_by(held.kind, held.key)))
    values = {"state": GrantState.REVOKED.value, "changed_at": now_ms(), "note": "moved out"}
    conn.execute(update(tables.credentials).where(mine).values(**values))
    people = tables.cardholders.c
    conn.execute(
        update(tables.cardholders)
        .where(people.household_id == household_id, people.removed_at.is_(None))
        .values(removed_at=now_ms())
    )
    mark_dirty(conn, home.site_id, urgent=True)
    write_audit(conn, actor, "household.move_out", household_id, f"{len(found)} credentials")
    return found


def site_of_person(conn: Connection, person_id: str) -> str:
    """The site of a person who exists."""
    people = tables.cardholders.c
    return str(conn.execute(select(people.site_id).where(people.id == person_id)).scalar_one())


def issue_pin(conn: Connection, actor: str, person_id: str) -> str:
    """Give a person a new PIN of six digits, with its duress form beside it; shown once. Raises NotFoundError."""
    people = tables.cardholders
    person = conn.execute(select(people).where(people.c.id == person_id, people.c.removed_at.is_(None))).first()
    if person is None:
        raise NotFoundError(f"no person {person_id!r}", zh="没有这位住户")
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
    level = level_id(conn, site, RESIDENTS)
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
            "is_duress": is_duress,
            "created_at": at_ms,
            "changed_at": at_ms,
        }
        conn.execute(insert(tables.credentials).values(**values))
        conn.execute(insert(tables.credential_levels).values(credential_id=values["id"], level_id=level))
    mark_dirty(conn, site, urgent=True)
    write_audit(conn, actor, "card.pin", person_id)
    return pin
