"""Cards and vehicles of a household: issue, change, revoke. `residents` offers these to the console and the CLI."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, or_, select, update

from gatectl.central import tables
from gatectl.central.audit import mark_dirty, new_id, now_ms, write_audit
from gatectl.core import plates
from gatectl.core.cards import derived_keys, parse_card
from gatectl.core.model import CredentialKey, CredentialKind, GrantState, PlateColour, Profile
from gatectl.core.plates import parse_plate, plate_key
from gatectl.errors import NotFoundError, RefusedError

RESIDENTS = "residents"
VEHICLES = "vehicles"
OLD_PLATE_GRACE_S = 3 * 86_400
"""A changed plate is still known at the exit for so long (DOMAIN 18)."""
_LEVEL_WORDS = {RESIDENTS: ("住户", "Residents"), VEHICLES: ("住户车辆", "Residents' vehicles")}
_STATE_ZH = {
    GrantState.ACTIVE: "有效",
    GrantState.LOST: "已挂失",
    GrantState.REVOKED: "已注销",
    GrantState.BLOCKED: "已禁用",
}


def state_words(state: str, language: str) -> str:
    """A credential's state in words."""
    return _STATE_ZH[GrantState(state)] if language == "zh" else str(state)


def mask_name(name: str) -> str:
    """张* for two characters, 张*三 for more; a single character stays."""
    if len(name) <= 1:
        return name
    return name[0] + "*" if len(name) == 2 else f"{name[0]}*{name[-1]}"


def mask_phone(phone: str) -> str:
    """138****1234; short numbers keep their last two digits."""
    if len(phone) >= 8:
        return f"{phone[:3]}{'*' * (len(phone) - 7)}{phone[-4:]}"
    return "*" * max(0, len(phone) - 2) + phone[-2:] if phone else ""


def mask_key(key: str) -> str:
    """A credential for the audit: its kind and last four characters."""
    kind, _, rest = key.partition(":")
    return f"{kind}:…{rest[-4:]}"


def level_id(conn: Connection, site_id: str, name: str) -> str:
    """The site's access level `residents` or `vehicles`, made with every fitting lane where it is missing."""
    levels = tables.access_levels.c
    wanted = f"{site_id}-{name}"
    for row in conn.execute(select(levels.id, levels.name_en).where(levels.site_id == site_id).order_by(levels.id)):
        if row.id in {wanted, name} or row.name_en.lower() == name:
            return str(row.id)
    zh, en = _LEVEL_WORDS[name]
    conn.execute(insert(tables.access_levels).values(id=wanted, site_id=site_id, name_zh=zh, name_en=en))
    lanes = (
        select(tables.lanes.c.id)
        .join(tables.gates, tables.gates.c.id == tables.lanes.c.gate_id)
        .where(tables.gates.c.site_id == site_id)
    )
    if name == VEHICLES:
        lanes = lanes.where(tables.lanes.c.kind == "vehicle")
    for lane_id in conn.execute(lanes).scalars().all():
        conn.execute(insert(tables.access_level_lanes).values(level_id=wanted, lane_id=lane_id))
    return wanted


@dataclass(frozen=True, slots=True)
class _Holder:
    """Whom a credential is for, and what it is given."""

    site_id: str
    household_id: str
    cardholder_id: str | None
    profile: str = Profile.RESIDENT.value
    level_id: str = ""
    valid_until_s: int | None = None
    max_stay_s: int = 0
    has_no_plate: bool = False


def standing(state: str, valid_from_s: int | None, valid_until_s: int | None, now_s: int) -> str:
    """A credential's state as it is now: active, lost, revoked or blocked, and expired or not_yet by its times."""
    if state != GrantState.ACTIVE:
        return state
    if valid_until_s is not None and valid_until_s <= now_s:
        return "expired"
    return "not_yet" if valid_from_s is not None and valid_from_s > now_s else state


def in_use(now_s: int) -> ColumnElement[bool]:
    """The condition that a credential has a right now or later: neither revoked nor over."""
    found = tables.credentials.c
    return and_(found.state != GrantState.REVOKED, or_(found.valid_until_s.is_(None), found.valid_until_s > now_s))


def _where_is(conn: Connection, household_id: str) -> str:
    row = conn.execute(
        select(tables.households.c.building, tables.households.c.unit, tables.households.c.room).where(
            tables.households.c.id == household_id
        )
    ).one()
    return "-".join(part for part in row if part)


def _refuse_taken(conn: Connection, row: Row[Any], zh: str, en: str) -> None:
    """Raise RefusedError that says, masked, who holds it and in which state."""
    name = ""
    if row.cardholder_id is not None:
        name = conn.execute(
            select(tables.cardholders.c.name).where(tables.cardholders.c.id == row.cardholder_id)
        ).scalar_one()
    who = " ".join(part for part in (_where_is(conn, row.household_id), mask_name(name)) if part)
    raise RefusedError(
        f"{en} is already registered: {who} ({row.state})",
        zh=f"{zh}已登记:{who}({_STATE_ZH[GrantState(row.state)]})",
    )


def same_card(key: CredentialKey) -> ColumnElement[bool]:
    """The condition that a credential is this card, whatever printed form either was entered in.

    Ten decimal digits do not show an EM card's version byte, so EM cards compare by their low 32 bits.
    """
    found = tables.credentials.c
    forms: set[str] = {key, *derived_keys(key)}
    if key.startswith("w26:"):
        facility, number = key.removeprefix("w26:").split(":")
        pattern = f"em:____{int(facility):02X}{int(number):04X}"
    else:
        pattern = f"em:__{key[-8:]}"
    return and_(found.kind == "card", or_(found.key.in_(forms), found.key.like(pattern)))


def _card_in_use(conn: Connection, site_id: str, key: CredentialKey) -> Row[Any] | None:
    found = tables.credentials.c
    return conn.execute(
        select(tables.credentials)
        .where(found.site_id == site_id, found.state != GrantState.REVOKED, same_card(key))
        .limit(1)
    ).first()


_PLAIN = {"uses": None, "has_fixed_space": False, "asks_guard": False, "is_duress": False}
"""What a key that had another holder before must not keep."""


def _enrol(
    conn: Connection, holder: _Holder, kind: CredentialKind, key: CredentialKey, colour: PlateColour | None
) -> str:
    """Insert the credential, or take over the row of a revoked one (`(site, key)` is unique)."""
    at_ms = now_ms()
    values: dict[str, Any] = {
        "household_id": holder.household_id,
        "cardholder_id": holder.cardholder_id,
        "kind": str(kind),
        "state": str(GrantState.ACTIVE),
        "colour": None if colour is None else str(colour),
        "valid_from_s": None,
        "valid_until_s": holder.valid_until_s,
        "exit_until_s": None,
        "profile": holder.profile,
        "max_stay_s": holder.max_stay_s,
        "has_no_plate": holder.has_no_plate,
        "note": "",
        "changed_at": at_ms,
        **_PLAIN,
    }
    found = tables.credentials.c
    old_id = conn.execute(select(found.id).where(found.site_id == holder.site_id, found.key == key)).scalar()
    credential_id = str(old_id or new_id(at_ms))
    if old_id is not None:
        conn.execute(update(tables.credentials).where(found.id == old_id).values(**values))
        conn.execute(delete(tables.credential_levels).where(tables.credential_levels.c.credential_id == old_id))
    else:
        conn.execute(
            insert(tables.credentials).values(
                id=credential_id, site_id=holder.site_id, key=key, created_at=at_ms, **values
            )
        )
    level = holder.level_id or level_id(conn, holder.site_id, RESIDENTS if kind is CredentialKind.CARD else VEHICLES)
    conn.execute(insert(tables.credential_levels).values(credential_id=credential_id, level_id=level))
    mark_dirty(conn, holder.site_id)
    return credential_id


def issue_card(
    conn: Connection,
    actor: str,
    person_id: str,
    card_text: str,
    *,
    has_no_plate: bool = False,
    until_s: int | None = None,
) -> str:
    """Give a person a card, in any printed form; the credential id. Raises NotFoundError, RefusedError.

    It gets what the person's cards are given. With `has_no_plate` it opens for a car without plates, and for none
    that has some; `until_s` ends it, as a paper plate ends.
    """
    people = tables.cardholders.c
    person = conn.execute(select(tables.cardholders).where(people.id == person_id, people.removed_at.is_(None))).first()
    if person is None:
        raise NotFoundError(f"no person {person_id!r}", zh="没有这位住户")
    try:
        key = parse_card(card_text.strip())
    except ValueError as error:
        raise RefusedError(f"not a card number: {error}", zh=f"卡号无效:{error}") from error
    taken = _card_in_use(conn, person.site_id, key)
    if taken is not None:
        _refuse_taken(conn, taken, "此卡", "this card")
    ends = [end for end in (until_s, person.valid_until_s) if end is not None]
    if until_s is not None and until_s * 1000 <= now_ms():
        raise RefusedError("that time is past", zh="到期时间已过")
    holder = _Holder(
        person.site_id,
        person.household_id,
        person_id,
        profile=person.profile,
        level_id=person.level_id,
        valid_until_s=min(ends) if ends else None,
        max_stay_s=person.max_stay_s,
        has_no_plate=has_no_plate,
    )
    credential_id = _enrol(conn, holder, CredentialKind.CARD, key, None)
    for_what = ", for a car without plates" if has_no_plate else ""
    write_audit(conn, actor, "card.issue", credential_id, f"{mask_key(key)} → {person_id}{for_what}")
    return credential_id


def _credential(conn: Connection, id_or_key: str, site: str | None = None) -> Row[Any]:
    found = tables.credentials.c
    row = conn.execute(select(tables.credentials).where(found.id == id_or_key)).first()
    if row is not None:
        return row
    key = id_or_key
    try:
        key = parse_card(id_or_key)
        query = select(tables.credentials).where(same_card(CredentialKey(key)))
    except ValueError:
        query = select(tables.credentials).where(found.key == id_or_key)
    if site:
        query = query.where(found.site_id == site)
    rows = conn.execute(query.order_by(found.site_id)).all()
    if not rows:
        raise NotFoundError("no such card or vehicle", zh="没有这张卡或这辆车")
    exact = [row for row in rows if row.key == key] or rows
    if len(exact) > 1:
        where = ", ".join(f"{row.site_id} {_where_is(conn, row.household_id)}" for row in exact)
        raise RefusedError(
            f"registered more than once ({where}): say which site, or give its id",
            zh=f"登记不止一处({where}):请指明小区或使用编号",
        )
    return exact[0]


def set_card_state(
    conn: Connection, actor: str, id_or_key: str, state: GrantState, *, note: str = "", site: str | None = None
) -> str:
    """Report a card lost, revoke it, or make it active again; urgent. The credential id. Raises NotFoundError."""
    row = _credential(conn, id_or_key, site)
    if row.kind != CredentialKind.CARD:
        raise RefusedError("that is a vehicle, not a card", zh="这是车辆,不是卡")
    if state is GrantState.ACTIVE and row.cardholder_id is not None:
        removed_at = conn.execute(
            select(tables.cardholders.c.removed_at).where(tables.cardholders.c.id == row.cardholder_id)
        ).scalar_one()
        if removed_at is not None:
            raise RefusedError("its holder was removed; issue it anew", zh="持卡人已移除,请重新发卡")
    _set_state(conn, row, state, note)
    action = "card.active" if state is GrantState.ACTIVE else f"card.{state}"
    write_audit(conn, actor, action, row.id, f"{mask_key(row.key)}: {row.state} → {state}")
    return str(row.id)


def _set_state(conn: Connection, row: Row[Any], state: GrantState, note: str) -> None:
    values: dict[str, Any] = {"state": str(state), "changed_at": now_ms()}
    if note:
        values["note"] = note.strip()[:200]
    conn.execute(update(tables.credentials).where(tables.credentials.c.id == row.id).values(**values))
    mark_dirty(conn, row.site_id, urgent=True)


def _parsed_plate(plate: str, colour: PlateColour | None) -> tuple[CredentialKey, PlateColour | None]:
    parsed = parse_plate(plate)
    if parsed is None:
        raise RefusedError(
            f"{plate!r} is not a plate, e.g. 粤E12345 or 粤ED12345",
            zh=f"“{plate}”不是有效车牌,例:粤E12345、粤ED12345",
        )
    if colour is not None and colour not in parsed.colours:
        allowed = ", ".join(sorted(parsed.colours))
        raise RefusedError(
            f"{parsed.text} cannot be {colour}; {allowed}", zh=f"{parsed.text} 不可能是 {colour},应为 {allowed}"
        )
    if colour is None and len(parsed.colours) == 1:
        colour = next(iter(parsed.colours))
    return plate_key(parsed.text), colour


@dataclass(frozen=True, slots=True)
class NearVehicle:
    """A registered plate that a camera or a tired clerk may take for another, whose it is, and where they differ."""

    plate: str
    door: str
    is_lookalike: bool
    """Every difference lies within one class of look-alike characters; else one character is another."""
    places: tuple[int, ...]
    """Positions from 0."""

    def words(self, plate: str, language: str) -> str:
        """`粤E12845, 9-1-302: the 5th character, 8 for 3` against `plate`."""
        differences = [f"{plate[i]}/{self.plate[i]}" for i in self.places]
        if language == "zh":
            kind = "形近" if self.is_lookalike else "只差一位"
            return f"{self.plate},{self.door}:{kind}({'、'.join(differences)})"
        kind = "look alike" if self.is_lookalike else "one character apart"
        return f"{self.plate}, {self.door}: {kind} ({', '.join(differences)})"


def near_vehicles(conn: Connection, site_id: str, plate: str) -> tuple[NearVehicle, ...]:
    """Plates in use at the site that may be taken for this one (not itself); look-alikes first."""
    parsed = parse_plate(plate)
    if parsed is None:
        return ()
    found, homes = tables.credentials.c, tables.households.c
    query = (
        select(found.key, homes.building, homes.unit, homes.room)
        .join(tables.households, homes.id == found.household_id)
        .where(found.site_id == site_id, found.kind == "plate", in_use(now_ms() // 1000))
    )
    doors = {
        str(row.key).removeprefix("plate:"): "-".join(part for part in (row.building, row.unit, row.room) if part)
        for row in conn.execute(query)
    }
    near = plates.near_plates_why(parsed.text, sorted(doors))
    return tuple(
        NearVehicle(one.text, doors[one.text], one.is_lookalike, one.places)
        for one in sorted(near, key=lambda one: (not one.is_lookalike, one.text))
    )


def near_plates(conn: Connection, site_id: str, plate: str) -> tuple[str, ...]:
    """The plates of `near_vehicles` alone, in order."""
    return tuple(sorted(one.plate for one in near_vehicles(conn, site_id, plate)))


def _refuse_plate_in_use(conn: Connection, site_id: str, key: CredentialKey) -> None:
    found = tables.credentials.c
    taken = conn.execute(
        select(tables.credentials).where(found.site_id == site_id, found.key == key, in_use(now_ms() // 1000))
    ).first()
    if taken is not None:
        _refuse_taken(conn, taken, "此车牌", "this plate")


def add_vehicle(
    conn: Connection,
    actor: str,
    household_id: str,
    plate: str,
    colour: PlateColour | None = None,
    *,
    has_fixed_space: bool = False,
) -> str:
    """Register a household's vehicle; the credential id. Ask `near_vehicles` for look-alikes. Raises RefusedError.

    The cars of a let flat are the tenants': they end with the tenancy.
    """
    homes = tables.households.c
    home = conn.execute(
        select(homes.site_id, homes.tenancy_until_s).where(homes.id == household_id, homes.closed_at.is_(None))
    ).first()
    if home is None:
        raise NotFoundError(f"no household {household_id!r}", zh="没有这户")
    key, colour = _parsed_plate(plate, colour)
    _refuse_plate_in_use(conn, home.site_id, key)
    profile = Profile.RESIDENT if home.tenancy_until_s is None else Profile.TENANT
    holder = _Holder(home.site_id, household_id, None, profile=profile.value)
    credential_id = _enrol(conn, holder, CredentialKind.PLATE, key, colour)
    if has_fixed_space:
        _write_space(conn, credential_id, is_fixed=True)
    write_audit(conn, actor, "vehicle.add", credential_id, mask_key(key))
    return credential_id


def _write_space(conn: Connection, credential_id: str, *, is_fixed: bool) -> None:
    values = {"has_fixed_space": is_fixed, "changed_at": now_ms()}
    conn.execute(update(tables.credentials).where(tables.credentials.c.id == credential_id).values(**values))


def set_fixed_space(conn: Connection, actor: str, id_or_plate: str, is_fixed: bool, *, site: str | None = None) -> str:
    """Give a vehicle a parking space of its own (固定车位), or take it back: "full" never refuses one that has it."""
    row = _vehicle(conn, id_or_plate, site)
    if bool(row.has_fixed_space) != is_fixed:
        _write_space(conn, row.id, is_fixed=is_fixed)
        mark_dirty(conn, row.site_id)
        write_audit(conn, actor, "vehicle.space", row.id, f"{mask_key(row.key)}: {'fixed' if is_fixed else 'none'}")
    return str(row.id)


def _vehicle(conn: Connection, id_or_plate: str, site: str | None) -> Row[Any]:
    parsed = parse_plate(id_or_plate)
    row = _credential(conn, plate_key(parsed.text) if parsed else id_or_plate, site)
    if row.kind != CredentialKind.PLATE:
        raise RefusedError("that is a card, not a vehicle", zh="这是卡,不是车辆")
    return row


def edit_vehicle(
    conn: Connection,
    actor: str,
    id_or_plate: str,
    plate: str,
    colour: PlateColour | None = None,
    *,
    site: str | None = None,
) -> str:
    """Change a vehicle's plate; the id of the new one. The old one may still leave for three days.

    With the same plate only the colour changes. Raises NotFoundError, RefusedError.
    """
    row = _vehicle(conn, id_or_plate, site)
    key, colour = _parsed_plate(plate, colour)
    if key == row.key:
        values = {"colour": None if colour is None else str(colour), "changed_at": now_ms()}
        conn.execute(update(tables.credentials).where(tables.credentials.c.id == row.id).values(**values))
        mark_dirty(conn, row.site_id)
        write_audit(conn, actor, "vehicle.edit", row.id, f"{mask_key(key)} colour {colour}")
        return str(row.id)
    now_s = now_ms() // 1000
    if standing(row.state, None, row.valid_until_s, now_s) in (GrantState.REVOKED, "expired"):
        raise RefusedError("the vehicle was revoked or is over; add it anew", zh="该车辆已注销或到期,请重新登记")
    _refuse_plate_in_use(conn, row.site_id, key)
    changed_id = add_vehicle(conn, actor, row.household_id, plate, colour, has_fixed_space=bool(row.has_fixed_space))
    grace = {
        "valid_until_s": now_s,
        "exit_until_s": now_s + OLD_PLATE_GRACE_S,
        "has_fixed_space": False,
        "note": f"→ {key.removeprefix('plate:')}",
        "changed_at": now_s * 1000,
    }
    conn.execute(update(tables.credentials).where(tables.credentials.c.id == row.id).values(**grace))
    mark_dirty(conn, row.site_id, urgent=True)
    write_audit(conn, actor, "vehicle.edit", changed_id, f"{mask_key(row.key)} → {mask_key(key)}")
    return changed_id


def revoke_vehicle(conn: Connection, actor: str, id_or_plate: str, *, note: str = "", site: str | None = None) -> str:
    """Take a vehicle's right away; urgent. The credential id. Raises NotFoundError."""
    row = _vehicle(conn, id_or_plate, site)
    _set_state(conn, row, GrantState.REVOKED, note)
    write_audit(conn, actor, "vehicle.revoked", row.id, f"{mask_key(row.key)}: {row.state} → revoked")
    return str(row.id)
