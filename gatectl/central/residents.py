"""Households and the people in them: find, add, change, remove. Cards and vehicles come from `credentials`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import mark_dirty, new_id, now_ms, write_audit
from gatectl.central.credentials import (
    NearVehicle,
    add_vehicle,
    edit_vehicle,
    in_use,
    issue_card,
    mask_key,
    mask_name,
    mask_phone,
    near_plates,
    near_vehicles,
    revoke_vehicle,
    set_card_state,
    set_fixed_space,
    standing,
    state_words,
)
from gatectl.central.directory import PersonRow, find_household, find_people, person, split_room
from gatectl.core.cards import printed_forms
from gatectl.core.model import CredentialKey, GrantState, Profile
from gatectl.errors import NotFoundError, RefusedError

__all__ = [
    "CardRow",
    "HouseholdView",
    "MemberRow",
    "NearVehicle",
    "PersonRow",
    "VehicleRow",
    "add_household",
    "add_person",
    "add_vehicle",
    "edit_person",
    "edit_vehicle",
    "find_household",
    "find_people",
    "household",
    "issue_card",
    "mask_key",
    "mask_name",
    "mask_phone",
    "near_plates",
    "near_vehicles",
    "person",
    "remove_person",
    "revoke_vehicle",
    "set_card_state",
    "set_fixed_space",
    "split_room",
    "standing",
    "state_words",
]

RELATIONS = ("owner", "family", "tenant", "helper", "resident")
PROFILE_OF = {"tenant": Profile.TENANT, "family": Profile.FAMILY}
"""What a new member of this relation is to the gates, unless the office says otherwise."""
_PHONE = re.compile(r"\+?[0-9][0-9 -]{4,18}")


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One person of a household."""

    id: str
    name: str
    phone: str
    relation: str
    extended_open: bool
    created_at_ms: int
    profile: str = "resident"
    level_id: str = ""
    """Of this person's cards; "" = the residents'."""
    valid_until_s: int | None = None
    max_stay_s: int = 0


@dataclass(frozen=True, slots=True)
class CardRow:
    """A card of a household. `forms` are its printed numbers (hex, 10-digit, W26)."""

    id: str
    key: str
    forms: Mapping[str, str]
    state: str
    person_id: str
    person_name: str
    note: str
    valid_from_s: int | None
    valid_until_s: int | None
    created_at_ms: int
    changed_at_ms: int
    has_no_plate: bool = False


@dataclass(frozen=True, slots=True)
class VehicleRow:
    """A vehicle of a household."""

    id: str
    plate: str
    colour: str
    state: str
    note: str
    valid_from_s: int | None
    valid_until_s: int | None
    created_at_ms: int
    changed_at_ms: int
    has_fixed_space: bool = False
    exit_until_s: int | None = None

    @property
    def subject(self) -> str:
        """As it stands in the list of who is inside."""
        return f"plate:{self.plate}"


@dataclass(frozen=True, slots=True)
class HouseholdView:
    """A household with all that belongs to it; revoked and expired cards and vehicles come last."""

    id: str
    site_id: str
    site_zh: str
    site_en: str
    building: str
    unit: str
    room: str
    is_closed: bool
    members: tuple[MemberRow, ...]
    cards: tuple[CardRow, ...]
    vehicles: tuple[VehicleRow, ...]
    quota: int | None = None
    unloading_s: int = 0
    tenancy_until_s: int | None = None
    inside: tuple[str, ...] = ()
    """The subjects of this household that are inside."""

    @property
    def door(self) -> str:
        """3-2-501."""
        return "-".join(part for part in (self.building, self.unit, self.room) if part)


def household(conn: Connection, household_id: str) -> HouseholdView | None:
    """A household with its members, cards and vehicles."""
    homes, people, found = tables.households, tables.cardholders, tables.credentials
    home = conn.execute(
        select(homes, tables.sites.c.name_zh.label("site_zh"), tables.sites.c.name_en.label("site_en"))
        .join(tables.sites, tables.sites.c.id == homes.c.site_id)
        .where(homes.c.id == household_id)
    ).first()
    if home is None:
        return None
    members = conn.execute(
        select(people)
        .where(people.c.household_id == household_id, people.c.removed_at.is_(None))
        .order_by(people.c.created_at, people.c.id)
    ).all()
    credentials = conn.execute(
        select(found, people.c.name.label("person_name"))
        .join(people, people.c.id == found.c.cardholder_id, isouter=True)
        .where(found.c.household_id == household_id)
        .order_by(~in_use(now_ms() // 1000), found.c.created_at, found.c.id)
    ).all()
    return HouseholdView(
        id=home.id,
        site_id=home.site_id,
        site_zh=home.site_zh,
        site_en=home.site_en,
        building=home.building,
        unit=home.unit,
        room=home.room,
        is_closed=home.closed_at is not None,
        members=tuple(map(_member_row, members)),
        cards=tuple(_card_row(row) for row in credentials if row.kind == "card"),
        vehicles=tuple(_vehicle_row(row) for row in credentials if row.kind == "plate"),
        quota=home.quota,
        unloading_s=home.unloading_s,
        tenancy_until_s=home.tenancy_until_s,
        inside=tuple(
            conn.execute(
                select(tables.inside.c.subject).where(
                    tables.inside.c.household_id == household_id, tables.inside.c.site_id == home.site_id
                )
            ).scalars()
        ),
    )


def _member_row(row: Row[Any]) -> MemberRow:
    return MemberRow(
        id=row.id,
        name=row.name,
        phone=row.phone,
        relation=row.relation,
        extended_open=bool(row.extended_open),
        created_at_ms=row.created_at,
        profile=row.profile,
        level_id=row.level_id,
        valid_until_s=row.valid_until_s,
        max_stay_s=row.max_stay_s,
    )


def _card_row(row: Row[Any]) -> CardRow:
    return CardRow(
        id=row.id,
        key=row.key,
        forms=printed_forms(CredentialKey(row.key)),
        state=row.state,
        person_id=row.cardholder_id or "",
        person_name=row.person_name or "",
        note=row.note,
        valid_from_s=row.valid_from_s,
        valid_until_s=row.valid_until_s,
        created_at_ms=row.created_at,
        changed_at_ms=row.changed_at,
        has_no_plate=bool(row.has_no_plate),
    )


def _vehicle_row(row: Row[Any]) -> VehicleRow:
    return VehicleRow(
        id=row.id,
        plate=row.key.removeprefix("plate:"),
        colour=row.colour or "",
        state=row.state,
        note=row.note,
        valid_from_s=row.valid_from_s,
        valid_until_s=row.valid_until_s,
        created_at_ms=row.created_at,
        changed_at_ms=row.changed_at,
        has_fixed_space=bool(row.has_fixed_space),
        exit_until_s=row.exit_until_s,
    )


# --- changing --------------------------------------------------------------------------------------


def add_household(conn: Connection, actor: str, site: str, building: str, unit: str, room: str) -> str:
    """A new household; its id. Raises NotFoundError (site), RefusedError (exists, or a part is missing)."""
    building, unit, room = building.strip(), unit.strip(), room.strip()
    if not all(re.fullmatch(r"\w{1,20}", part) for part in (building, unit or "0", room)):
        raise RefusedError(
            "building and room are letters or digits, at most 20", zh="楼栋和房号为字母、汉字或数字,最多 20 个"
        )
    if conn.execute(select(tables.sites.c.id).where(tables.sites.c.id == site)).first() is None:
        raise NotFoundError(f"no site {site!r}", zh=f"没有小区 {site!r}")
    homes = tables.households.c
    door = "-".join(part for part in (building, unit, room) if part)
    old = conn.execute(
        select(tables.households).where(
            homes.site_id == site, homes.building == building, homes.unit == unit, homes.room == room
        )
    ).first()
    if old is not None and old.closed_at is None:
        raise RefusedError(f"{door} exists already", zh=f"{door} 已存在")
    household_id = new_id()
    if old is not None:
        household_id = old.id
        conn.execute(update(tables.households).where(homes.id == old.id).values(closed_at=None))
    else:
        conn.execute(
            insert(tables.households).values(
                id=household_id, site_id=site, building=building, unit=unit, room=room, created_at=now_ms()
            )
        )
    write_audit(conn, actor, "household.add", household_id, f"{site} {door}")
    return household_id


def _name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 60:
        raise RefusedError("a name has 1 to 60 characters", zh="姓名为 1–60 个字")
    return name


def _phone(phone: str) -> str:
    phone = phone.strip()
    if phone and not _PHONE.fullmatch(phone):
        raise RefusedError(f"{mask_phone(phone)!r} is not a phone number", zh="电话号码无效")
    return re.sub(r"[ -]", "", phone)


def _relation(relation: str) -> str:
    relation = relation.strip() or "resident"
    if relation not in RELATIONS:
        raise RefusedError(
            f"unknown relation {relation!r}; one of: {', '.join(RELATIONS)}", zh=f"没有这种关系:{relation}"
        )
    return relation


def add_person(
    conn: Connection, actor: str, household_id: str, name: str, phone: str = "", relation: str = "resident"
) -> str:
    """A new member of a household; the person's id. Raises NotFoundError, RefusedError."""
    name, phone, relation = _name(name), _phone(phone), _relation(relation)
    homes = tables.households.c
    site_id = conn.execute(select(homes.site_id).where(homes.id == household_id, homes.closed_at.is_(None))).scalar()
    if site_id is None:
        raise NotFoundError(f"no household {household_id!r}", zh="没有这户")
    person_id = new_id()
    conn.execute(
        insert(tables.cardholders).values(
            id=person_id,
            household_id=household_id,
            site_id=site_id,
            name=name,
            phone=phone,
            relation=relation,
            profile=PROFILE_OF.get(relation, Profile.RESIDENT).value,
            created_at=now_ms(),
        )
    )
    write_audit(conn, actor, "person.add", person_id, f"{mask_name(name)} {relation} → {household_id}")
    return person_id


def edit_person(
    conn: Connection,
    actor: str,
    person_id: str,
    *,
    name: str | None = None,
    phone: str | None = None,
    relation: str | None = None,
    extended_open: bool | None = None,
) -> None:
    """Change what is given, keep what is None. Raises NotFoundError, RefusedError."""
    people = tables.cardholders.c
    old = _member(conn, person_id)
    values = {
        "name": old.name if name is None else _name(name),
        "phone": old.phone if phone is None else _phone(phone),
        "relation": old.relation if relation is None else _relation(relation),
    }
    is_extended = bool(old.extended_open) if extended_open is None else extended_open
    conn.execute(update(tables.cardholders).where(people.id == person_id).values(**values, extended_open=is_extended))
    changed = [field for field, value in values.items() if getattr(old, field) != value]
    if is_extended != bool(old.extended_open):
        changed.append("extended_open")
        mark_dirty(conn, old.site_id)
    write_audit(conn, actor, "person.edit", person_id, "changed: " + (", ".join(changed) or "nothing"))


def _member(conn: Connection, person_id: str) -> Row[Any]:
    people = tables.cardholders.c
    row = conn.execute(select(tables.cardholders).where(people.id == person_id, people.removed_at.is_(None))).first()
    if row is None:
        raise NotFoundError(f"no person {person_id!r}", zh="没有这位住户")
    return row


def remove_person(conn: Connection, actor: str, person_id: str) -> int:
    """Take a person out of the household and revoke the person's cards; how many. Raises NotFoundError."""
    member = _member(conn, person_id)
    found = tables.credentials.c
    at_ms = now_ms()
    cards = conn.execute(
        select(found.id).where(found.cardholder_id == person_id, found.state != GrantState.REVOKED)
    ).scalars()
    card_ids = [str(card_id) for card_id in cards]
    conn.execute(
        update(tables.credentials)
        .where(found.id.in_(card_ids))
        .values(state=str(GrantState.REVOKED), note="holder removed", changed_at=at_ms)
    )
    conn.execute(update(tables.cardholders).where(tables.cardholders.c.id == person_id).values(removed_at=at_ms))
    if card_ids:
        mark_dirty(conn, member.site_id, urgent=True)
    write_audit(conn, actor, "person.remove", person_id, f"{len(card_ids)} card(s) revoked")
    return len(card_ids)
