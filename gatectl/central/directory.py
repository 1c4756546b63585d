"""The directory of people: found by name, room, phone tail, card in any printed form, or plate part."""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from gatectl.central import tables
from gatectl.central.credentials import mask_name, mask_phone, same_card
from gatectl.core.cards import parse_card
from gatectl.core.model import GrantState
from gatectl.core.plates import normalise
from gatectl.errors import NotFoundError

_ESCAPE = "\\"


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One search hit. `person_id` is empty for a household without members; `matched` says by what it was found."""

    person_id: str
    household_id: str
    site_id: str
    site_zh: str
    site_en: str
    building: str
    unit: str
    room: str
    name: str
    phone: str
    relation: str
    cards: int
    """Cards of the person that are not revoked."""
    vehicles: int
    """Vehicles of the household that are not revoked."""
    matched: str
    """name, room, phone, card or plate; empty for a plain list."""

    @property
    def door(self) -> str:
        """3-2-501."""
        return "-".join(part for part in (self.building, self.unit, self.room) if part)

    @property
    def masked_name(self) -> str:
        """张*三."""
        return mask_name(self.name)

    @property
    def masked_phone(self) -> str:
        """138****1234."""
        return mask_phone(self.phone)


def split_room(text: str) -> tuple[str, str, str] | None:
    """`3-2-501` -> (3, 2, 501); `3-501` -> (3, "", 501); None for anything else."""
    parts = [part.strip() for part in re.split(r"[-–—/]", text.strip())]
    if len(parts) not in (2, 3) or not all(re.fullmatch(r"\w{1,20}", part) for part in parts):
        return None
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (parts[0], "", parts[1])


def _like(column: Any, text: str, *, is_tail: bool = False) -> ColumnElement[bool]:
    safe = text.replace(_ESCAPE, _ESCAPE * 2).replace("%", _ESCAPE + "%").replace("_", _ESCAPE + "_")
    found: ColumnElement[bool] = column.like(f"%{safe}" if is_tail else f"%{safe}%", escape=_ESCAPE)
    return found


def _room_match(query: str) -> ColumnElement[bool] | None:
    homes = tables.households.c
    parts = split_room(query)
    if parts is not None:
        building, unit, room = parts
        by_unit = and_(homes.building == building, homes.unit == unit, homes.room == room)
        # of two parts the first may be the building, with any unit, or the unit's own floor plan
        return by_unit if unit else and_(homes.building == building, homes.room == room)
    return homes.room == query if re.fullmatch(r"\w{1,6}", query) else None


def _card_match(query: str) -> ColumnElement[bool] | None:
    try:
        return same_card(parse_card(query))
    except ValueError:
        return None


def _plate_match(query: str) -> ColumnElement[bool] | None:
    part = normalise(query)
    if len(part) < 2 or not re.fullmatch(r"\w+", part):
        return None
    found = tables.credentials.c
    return and_(found.kind == "plate", found.state != GrantState.REVOKED, _like(found.key, part), found.key != "")


def _matches(query: str) -> list[tuple[str, ColumnElement[bool]]]:
    """What the query may mean, likeliest first, as conditions on people or their households."""
    people, found = tables.cardholders.c, tables.credentials.c
    meanings: list[tuple[str, ColumnElement[bool]]] = []
    room = _room_match(query)
    if room is not None:
        meanings.append(("room", room))
    digits = re.sub(r"[ -]", "", query)
    if re.fullmatch(r"[0-9]{4,}", digits):
        meanings.append(("phone", _like(people.phone, digits, is_tail=True)))
    card = _card_match(query)
    if card is not None:
        holders = select(found.cardholder_id).where(card, found.cardholder_id.is_not(None))
        meanings.append(("card", people.id.in_(holders)))
    plate = _plate_match(query)
    if plate is not None:
        meanings.append(("plate", tables.households.c.id.in_(select(found.household_id).where(plate))))
    if not digits.isdecimal():
        meanings.append(("name", _like(people.name, query)))
    return meanings


def find_people(conn: Connection, query: str, site: str | None = None, limit: int = 50) -> list[PersonRow]:
    """People by name, room (3-2-501), phone tail (4+ digits), card in any printed form, or plate part.

    An empty query lists everybody by site and door.
    """
    query = query.strip()
    if not query:
        return _people(conn, "", None, site, limit)
    hits: dict[tuple[str, str], PersonRow] = {}
    for matched, condition in _matches(query):
        for row in _people(conn, matched, condition, site, limit):
            hits.setdefault((row.household_id, row.person_id), row)
    return list(hits.values())[:limit]


def _people(
    conn: Connection, matched: str, condition: ColumnElement[bool] | None, site: str | None, limit: int
) -> list[PersonRow]:
    homes, people, found = tables.households, tables.cardholders, tables.credentials.c
    live = found.state != GrantState.REVOKED
    cards = (
        select(func.count())
        .where(found.cardholder_id == people.c.id, found.kind == "card", live)
        .correlate(people)
        .scalar_subquery()
    )
    vehicles = (
        select(func.count())
        .where(found.household_id == homes.c.id, found.kind == "plate", live)
        .correlate(homes)
        .scalar_subquery()
    )
    statement = (
        select(
            people.c.id.label("person_id"),
            people.c.name,
            people.c.phone,
            people.c.relation,
            homes,
            tables.sites.c.name_zh.label("site_zh"),
            tables.sites.c.name_en.label("site_en"),
            cards.label("cards"),
            vehicles.label("vehicles"),
        )
        .select_from(homes)
        .join(tables.sites, tables.sites.c.id == homes.c.site_id)
        .join(people, and_(people.c.household_id == homes.c.id, people.c.removed_at.is_(None)), isouter=True)
        .where(homes.c.closed_at.is_(None))
        .order_by(homes.c.site_id, homes.c.building, homes.c.unit, homes.c.room, people.c.created_at, people.c.id)
        .limit(limit)
    )
    if condition is not None:
        statement = statement.where(condition)
    if site:
        statement = statement.where(homes.c.site_id == site)
    return [_person_row(row, matched) for row in conn.execute(statement)]


def _person_row(row: Row[Any], matched: str) -> PersonRow:
    return PersonRow(
        person_id=row.person_id or "",
        household_id=row.id,
        site_id=row.site_id,
        site_zh=row.site_zh,
        site_en=row.site_en,
        building=row.building,
        unit=row.unit,
        room=row.room,
        name=row.name or "",
        phone=row.phone or "",
        relation=row.relation or "",
        cards=row.cards,
        vehicles=row.vehicles,
        matched=matched,
    )


def person(conn: Connection, person_id: str) -> PersonRow:
    """One person by id. Raises NotFoundError."""
    rows = _people(conn, "", tables.cardholders.c.id == person_id, None, 1)
    if not rows:
        raise NotFoundError(f"no person {person_id!r}", zh="没有这位住户")
    return rows[0]


def site_of_household(conn: Connection, household_id: str) -> str:
    """The site of a household that exists."""
    homes = tables.households.c
    return str(conn.execute(select(homes.site_id).where(homes.id == household_id)).scalar_one())


def find_household(conn: Connection, site: str, door: str) -> str | None:
    """The id of the open household behind `3-2-501` at a site."""
    parts = split_room(door)
    if parts is None:
        return None
    building, unit, room = parts
    homes = tables.households.c
    return conn.execute(
        select(homes.id).where(
            homes.site_id == site,
            homes.building == building,
            homes.unit == unit,
            homes.room == room,
            homes.closed_at.is_(None),
        )
    ).scalar()
